/**
 * Which users of this node hold and await which locks of one mount: who stands in the way, whom to wake, who waits in a
 * circle. That a lock holds, between the nodes too, is the backing's word (lock-operations.ts); this knows only whose it is.
 * Of circles over several nodes it tells this node's part (cluster/locks/circles.ts).
 *
 * Units     ranges are bytes, both ends included.
 * Source    safety H9; fcntl(2), EDEADLK.
 */
import { randomUUID } from "node:crypto";
import type { LockedRange, LockReport, WaitingOwner } from "../../cluster/messages.js";
import type { Handle } from "../../dmapi/ids.js";
import type { Inode } from "./inode-table.js";
import type { Task } from "./task.js";
import type { LockWaitKind } from "./user-process.js";

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
  /** Another one after each change of the ranges; the table's. */
  change: number;
  readonly turn: Turn;
  /** What the holder calls its descriptor. */
  readonly key: string;
}
/** Whether a call is made by its descriptor, which whose next is. */
export interface Turn {
  isTaken: boolean;
  /** The descriptor is closed. */
  isOver: boolean;
  readonly waiting: Task[];
}
export const newTurn = (): Turn => ({ isTaken: false, isOver: false, waiting: [] });
/** A user's request, from the first time it must wait until it is answered. */
export interface LockWait {
  /** Of no other request of this table. */
  readonly wait: number;
  readonly sinceMs: number;
  /** For whose sake; "running": not known yet. */
  by: LockWaitKind;
  /** What has been found out since it last tried. */
  learnt: LockWaitKind;
  isLearning: boolean;
  /** It stands in a circle over several nodes. */
  isRefused: boolean;
}
interface Waiting {
  readonly request: LockWait;
  readonly inode: Inode;
  readonly owner: LockOwner;
  readonly range: Range;
  readonly wake: () => void;
}

const meet = (a: Range, b: Range) => a.start <= b.end && b.start <= a.end && (a.isExclusive || b.isExclusive);
const keyOf = (id: bigint, isFlock: boolean) => `${id}${isFlock ? "f" : ""}`;

/** So much is told of one mount, the longest waits first: a circle among more is not found. */
const OWNERS_TOLD_MAX = 256;
const RANGES_TOLD_MAX = 1024;

export class LockTable {
  readonly #owners = new Map<Inode, Map<string, LockOwner>>();
  /** The same, but for flock. */
  readonly #ofId = new Map<bigint, Map<Inode, LockOwner>>();
  readonly #waiting = new Set<Waiting>();
  readonly #life = randomUUID();
  #lastWait = 0;
  #lastChange = 0;

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
    owner.change = ++this.#lastChange;
    if (owner.isFlock) return;
    const ofId = this.#ofId.get(owner.id);
    if (ofId === undefined) this.#ofId.set(owner.id, new Map([[inode, owner]]));
    else ofId.set(inode, owner);
  }
  /** With all its locks of that inode; whoever waited for them tries again. */
  remove(inode: Inode, owner: LockOwner): void {
    const ofInode = this.#owners.get(inode);
    ofInode?.delete(keyOf(owner.id, owner.isFlock));
    if (ofInode?.size === 0) this.#owners.delete(inode);
    const ofId = owner.isFlock ? undefined : this.#ofId.get(owner.id);
    if (ofId?.delete(inode) === true && ofId.size === 0) this.#ofId.delete(owner.id);
    this.#wake(inode, owner);
  }
  hasOwners(inode: Inode): boolean {
    return this.#owners.has(inode);
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
    owner.change = ++this.#lastChange;
    if (range?.isExclusive !== true) this.#wake(inode, owner);
  }
  /** Whose lock that is, of those on this node. */
  holderAt(inode: Inode, start: bigint, isFlock: boolean, asking: LockOwner): LockOwner | undefined {
    return [...(this.#owners.get(inode)?.values() ?? [])].find((owner) => owner !== asking && owner.isFlock === isFlock && owner.ranges.some((range) => range.start <= start && range.end >= start));
  }

  newWait(sinceMs: number, isFlock: boolean): LockWait {
    return { wait: ++this.#lastWait, sinceMs, by: isFlock ? "open-file" : "running", learnt: "running", isLearning: false, isRefused: false };
  }
  /** Until the result is called. */
  waits(inode: Inode, owner: LockOwner, range: Range, request: LockWait, wake: () => void): () => void {
    const waiting = { inode, owner, range, request, wake };
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
        const { by } = waiting.request;
        if (waiting.owner.id === other.id && (by === "process" || by === "unknown")) next.push(...this.#inTheWay(waiting.inode, waiting.owner, waiting.range));
      }
    }
    return false;
  }
  /** Somebody could wait for this owner: who holds nothing is in no circle. */
  holds(id: bigint): boolean {
    for (const owner of this.#ofId.get(id)?.values() ?? []) if (owner.ranges.length > 0) return true;
    return false;
  }
  /** Processes that hold locks and wait for others. */
  report(handleOf: (inode: Inode) => Handle): LockReport {
    const waiting = [...this.#waiting].filter(({ owner, request }) => request.by === "process" && this.holds(owner.id)).sort((a, b) => a.request.wait - b.request.wait);
    const owners = new Map<bigint, WaitingOwner & { waits: WaitingOwner["waits"][number][] }>();
    let left = RANGES_TOLD_MAX;
    for (const { inode, owner: { id }, range, request: { wait } } of waiting) {
      let owner = owners.get(id);
      if (owner === undefined) {
        const holds = [...this.#ofId.get(id)!].map(([of, { ranges, change }]) => ({ handle: handleOf(of), change, ranges: joined(ranges).map(told) }));
        left -= holds.reduce((sum, { ranges }) => sum + ranges.length, 0);
        if (left < 0 || owners.size === OWNERS_TOLD_MAX) break;
        owner = { owner: `${id}`, waits: [], holds };
        owners.set(id, owner);
      }
      if (owner.waits.length < RANGES_TOLD_MAX) owner.waits.push({ wait, handle: handleOf(inode), range: told(range) });
    }
    return { life: this.#life, owners: [...owners.values()] };
  }
  /** It tries again, and is not to wait if that is in vain. False: it stands no more. */
  refuse(life: string, wait: number): boolean {
    const waiting = life === this.#life ? [...this.#waiting].find(({ request }) => request.wait === wait) : undefined;
    if (waiting === undefined) return false;
    waiting.request.isRefused = true;
    waiting.wake();
    return true;
  }

  #inTheWay(inode: Inode, asking: LockOwner, range: Range): LockOwner[] {
    return [...(this.#owners.get(inode)?.values() ?? [])].filter((owner) => owner.id !== asking.id && owner.isFlock === asking.isFlock && owner.ranges.some((held) => meet(held, range)));
  }
  #wake(inode: Inode, by: LockOwner): void {
    for (const waiting of [...this.#waiting]) if (waiting.inode === inode && waiting.owner.isFlock === by.isFlock) waiting.wake();
  }
}

const told = ({ start, end, isExclusive }: Range): LockedRange => ({ start: `${start}`, end: `${end}`, isExclusive });
/** The same bytes in as few ranges as there can be. */
function joined(ranges: readonly Range[]): Range[] {
  const all: Range[] = [];
  for (const range of [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    const last = all.at(-1);
    if (last !== undefined && last.end + 1n === range.start && last.isExclusive === range.isExclusive) all[all.length - 1] = { ...last, end: range.end };
    else all.push(range);
  }
  return all;
}
