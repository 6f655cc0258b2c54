/**
 * Which users of this node hold and await which locks of one mount: who stands in the way, whom to wake, who waits in a
 * circle. That a lock holds, between the nodes too, is the backing's word (lock-operations.ts); this knows only whose it is.
 *
 * Units     ranges are bytes, both ends included.
 * Source    safety H9; fcntl(2), EDEADLK.
 */
import type { Inode } from "./inode-table.js";

export interface Range {
  readonly start: bigint;
  readonly end: bigint;
  readonly isExclusive: boolean;
}
export interface LockOwner {
  readonly fd: number;
  /** The kernel's word for the process or the open file. */
  readonly id: bigint;
  readonly isFlock: boolean;
  /** Through which open the user first locked: with it go the locks of an open file (flock, OFD), which have no other end. */
  readonly fh: number;
  pid: number;
  ranges: Range[];
  /** What the holder calls its descriptor. */
  readonly key: string;
}
interface Waiting {
  readonly inode: Inode;
  readonly owner: LockOwner;
  readonly range: Range;
  readonly wake: () => void;
}

const meet = (a: Range, b: Range) => a.start <= b.end && b.start <= a.end && (a.isExclusive || b.isExclusive);
const keyOf = (id: bigint, isFlock: boolean) => `${id}${isFlock ? "f" : ""}`;

export class LockTable {
  readonly #owners = new Map<Inode, Map<string, LockOwner>>();
  readonly #waiting = new Set<Waiting>();

  owner(inode: Inode, id: bigint, isFlock: boolean): LockOwner | undefined {
    return this.#owners.get(inode)?.get(keyOf(id, isFlock));
  }
  add(inode: Inode, owner: LockOwner): void {
    let ofInode = this.#owners.get(inode);
    if (ofInode === undefined) {
      ofInode = new Map();
      this.#owners.set(inode, ofInode);
    }
    ofInode.set(keyOf(owner.id, owner.isFlock), owner);
  }
  /** With all its locks of that inode; whoever waited for them tries again. */
  remove(inode: Inode, owner: LockOwner): void {
    const ofInode = this.#owners.get(inode);
    ofInode?.delete(keyOf(owner.id, owner.isFlock));
    if (ofInode?.size === 0) this.#owners.delete(inode);
    this.#wake(inode, owner);
  }
  ofOpen(inode: Inode, fh: number): LockOwner[] {
    return [...(this.#owners.get(inode)?.values() ?? [])].filter((owner) => owner.fh === fh);
  }
  *all(): Generator<[Inode, LockOwner]> {
    for (const [inode, ofInode] of this.#owners) for (const owner of ofInode.values()) yield [inode, owner];
  }

  /** The backing has granted it, or taken it back: `range` undefined. What the owner held of it before is replaced. */
  granted(inode: Inode, owner: LockOwner, start: bigint, end: bigint, range: Range | undefined): void {
    const left = owner.ranges.flatMap((old) => {
      if (old.end < start || old.start > end) return [old];
      return [...(old.start < start ? [{ ...old, end: start - 1n }] : []), ...(old.end > end ? [{ ...old, start: end + 1n }] : [])];
    });
    owner.ranges = range === undefined ? left : [...left, range];
    if (range?.isExclusive !== true) this.#wake(inode, owner);
  }
  /** Whose lock that is, of those on this node. */
  holderAt(inode: Inode, start: bigint, isFlock: boolean, asking: LockOwner): LockOwner | undefined {
    return [...(this.#owners.get(inode)?.values() ?? [])].find((owner) => owner !== asking && owner.isFlock === isFlock && owner.ranges.some((range) => range.start <= start && range.end >= start));
  }

  /** Until the result is called. */
  waits(inode: Inode, owner: LockOwner, range: Range, wake: () => void): () => void {
    const waiting = { inode, owner, range, wake };
    this.#waiting.add(waiting);
    return () => this.#waiting.delete(waiting);
  }
  /**
   * Whether an owner that waited for this would wait for itself, by way of others who wait. Only processes: an open file
   * waits for nobody else's sake, and neither does the kernel find circles among those.
   */
  isCircle(inode: Inode, owner: LockOwner, range: Range): boolean {
    if (owner.isFlock) return false;
    const met = new Set<bigint>();
    const next = this.#inTheWay(inode, owner, range);
    for (let other = next.pop(); other !== undefined; other = next.pop()) {
      if (other.id === owner.id) return true;
      if (met.has(other.id)) continue;
      met.add(other.id);
      for (const waiting of this.#waiting) {
        if (waiting.owner.id === other.id && !waiting.owner.isFlock) next.push(...this.#inTheWay(waiting.inode, waiting.owner, waiting.range));
      }
    }
    return false;
  }
  #inTheWay(inode: Inode, asking: LockOwner, range: Range): LockOwner[] {
    return [...(this.#owners.get(inode)?.values() ?? [])].filter((owner) => owner.id !== asking.id && owner.isFlock === asking.isFlock && owner.ranges.some((held) => meet(held, range)));
  }
  #wake(inode: Inode, by: LockOwner): void {
    for (const waiting of [...this.#waiting]) if (waiting.inode === inode && waiting.owner.isFlock === by.isFlock) waiting.wake();
  }
}
