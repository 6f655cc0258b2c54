/**
 * The objects the kernel knows of one mount, by node id and by kernel handle.
 *
 * A node id is our own small number, never used twice in one life of the mount. A descriptor (O_PATH) is cached for some of
 * them; one is pinned while the object is open or an operation uses it, so that an object without a name stays reachable.
 *
 * Owns      look-up counts, node ids, the O_PATH descriptors and their bound.
 * Not here  open files (open-files.ts), guard descriptors (guard-keeper.ts), records (the admission machine).
 */
import { assert } from "../../base/assert.js";
import type { Handle } from "../../dmapi/ids.js";
import type { Stored } from "./backing-calls.js";

export const ROOT = 1;

/** A descriptor for reading, opened while the stored record had that generation; closed when retired and unused. */
export interface Reader {
  readonly fd: number;
  readonly generation: number;
  users: number;
  isRetired: boolean;
}

export class Inode {
  readonly nodeid: number;
  readonly own: string;
  readonly handleType: number;
  readonly handleBytes: Uint8Array;
  /** Type bits of st_mode. */
  readonly type: number;
  /** Sealed; made when first needed. */
  handle: Handle | undefined = undefined;
  lookups = 0;
  /** Its place in the mount's memory while the kernel knows it; -1: none. */
  place = -1;
  pathFd = -1;
  /** On the backing, while `pathFd` keeps anybody else from having it (known-objects.ts). */
  number: bigint | undefined = undefined;
  /** Operations and opens that need `pathFd`. */
  pins = 0;
  opens = 0;
  writableOpens = 0;
  cachedOpens = 0;
  /** Where it was last found, for people. */
  parent = 0;
  name = "";
  /** Generation of the stored record that admission goes by; -1 while none was read. */
  generation = -1;
  reader: Reader | undefined = undefined;
  /** Being opened by one operation; the others wait for it. */
  isOpening = false;
  /** Of cached reads, faults and cached writes not answered yet: their pages are locked in the kernel (safety C6). */
  readonly lockedRanges = new Set<{ readonly offset: number; readonly size: number }>();
  /** Droppings of pages that are under way in the kernel. */
  invalidating = 0;
  /** Pages were locked when others were dropped: all are dropped once the last of them is filled. */
  mustDropLocked = false;
  /** The kernel may keep pages of it: it was opened cached, or pages were filled. */
  mayHavePages = false;
  /** Last seen without a name. */
  isUnlinked = false;
  /** Number of the sweep during which its descriptor became idle. */
  idleSweep = 0;
  isDestroyTold = false;
  /** The holder has a descriptor of it (safety H11). */
  isKept = false;

  constructor(identity: { nodeid: number; own: string; handleType: number; handleBytes: Uint8Array; type: number }) {
    this.nodeid = identity.nodeid;
    this.own = identity.own;
    this.handleType = identity.handleType;
    this.handleBytes = identity.handleBytes;
    this.type = identity.type;
  }
}

/** Where it is written down which node ids the kernel has, for the next daemon (safety H11). */
export interface InodeMemory {
  nextNodeid: number;
  addInode(inode: Inode, lookups: number): number;
  setLookups(place: number, lookups: number): void;
  dropInode(place: number): void;
}

export class InodeTable {
  readonly #byNodeid = new Map<number, Inode>();
  readonly #byOwn = new Map<string, Inode>();
  readonly #byHandle = new Map<Handle, Inode>();
  /** Inodes with a cached descriptor that nothing pins; the longest unused first. */
  readonly #idle = new Set<Inode>();
  #sweep = 0;
  readonly #descriptorsMax: number;
  readonly #close: (fd: number) => void;
  /** The kernel knows it no more, and nothing here uses it. */
  readonly #onGone: (inode: Inode) => void;
  readonly #onClose: (inode: Inode) => void;
  readonly #seal: (inode: Inode) => Handle;
  readonly #memory: InodeMemory | undefined;
  #next = ROOT;

  constructor(options: { memory?: InodeMemory | undefined; descriptorsMax: number; close: (fd: number) => void; onGone: (inode: Inode) => void; onClose: (inode: Inode) => void; seal: (inode: Inode) => Handle }) {
    this.#descriptorsMax = options.descriptorsMax;
    this.#close = options.close;
    this.#onGone = options.onGone;
    this.#onClose = options.onClose;
    this.#seal = options.seal;
    this.#memory = options.memory;
  }

  get size(): number {
    return this.#byNodeid.size;
  }
  get(nodeid: number): Inode | undefined {
    return this.#byNodeid.get(nodeid);
  }
  byHandle(handle: Handle): Inode | undefined {
    return this.#byHandle.get(handle);
  }
  byOwn(own: string): Inode | undefined {
    return this.#byOwn.get(own);
  }
  handleOf(inode: Inode): Handle {
    if (inode.handle === undefined) {
      inode.handle = this.#seal(inode);
      this.#byHandle.set(inode.handle, inode);
    }
    return inode.handle;
  }
  [Symbol.iterator](): IterableIterator<Inode> {
    return this.#byNodeid.values();
  }

  /**
   * The inode of something found; takes over its descriptor or closes it. It stays while it is looked up, pinned or open:
   * pin or count it before anything else runs.
   */
  intern(found: { fd: number; own: string; handleType: number; handleBytes: Uint8Array; stored: Stored | undefined }, type: number): Inode {
    let inode = this.#byOwn.get(found.own);
    if (inode === undefined) {
      inode = new Inode({ nodeid: this.#next++, own: found.own, handleType: found.handleType, handleBytes: found.handleBytes, type });
      this.#byNodeid.set(inode.nodeid, inode);
      this.#byOwn.set(inode.own, inode);
      if (this.#memory !== undefined) this.#memory.nextNodeid = this.#next;
    }
    if (found.fd >= 0) {
      if (inode.pathFd >= 0) this.#close(found.fd);
      else this.setDescriptor(inode, found.fd);
    }
    return inode;
  }

  /** One that an earlier daemon told the kernel of. */
  restore(inode: Inode, lookups: number, place: number): void {
    inode.lookups = lookups;
    inode.place = place;
    this.#byNodeid.set(inode.nodeid, inode);
    this.#byOwn.set(inode.own, inode);
    this.#next = Math.max(this.#next, inode.nodeid + 1);
  }
  /** Numbers below have been given. */
  continueFrom(next: number): void {
    this.#next = Math.max(this.#next, next);
  }
  /** The kernel is about to be told of it, once more. */
  lookedUp(inode: Inode): void {
    inode.lookups++;
    if (this.#memory === undefined) return;
    if (inode.place < 0) inode.place = this.#memory.addInode(inode, inode.lookups);
    else this.#memory.setLookups(inode.place, inode.lookups);
  }
  #countedDown(inode: Inode, lookups: number): void {
    inode.lookups = lookups;
    if (inode.place < 0) return;
    if (lookups > 0) return this.#memory?.setLookups(inode.place, lookups);
    this.#memory?.dropInode(inode.place);
    inode.place = -1;
  }

  setDescriptor(inode: Inode, fd: number): void {
    assert(inode.pathFd < 0, "one descriptor per inode");
    inode.pathFd = fd;
    if (inode.pins === 0) this.#makeIdle(inode);
  }
  pin(inode: Inode): void {
    inode.pins++;
    this.#idle.delete(inode);
  }
  unpin(inode: Inode): void {
    inode.pins--;
    assert(inode.pins >= 0, "each pin is taken out once");
    if (inode.pins > 0) return;
    if (inode.lookups === 0 && inode.nodeid !== ROOT) this.#remove(inode);
    else this.#makeIdle(inode);
  }
  forget(nodeid: number, count: number): void {
    const inode = this.#byNodeid.get(nodeid);
    if (inode === undefined || nodeid === ROOT) return;
    this.#countedDown(inode, Math.max(0, inode.lookups - count));
    if (inode.lookups === 0 && inode.pins === 0) this.#remove(inode);
  }
  /** An unpinned object that lost its last name need not be kept alive by our descriptor. */
  letGo(inode: Inode): void {
    if (inode.pins > 0 || inode.pathFd < 0 || inode.nodeid === ROOT) return;
    this.#idle.delete(inode);
    this.#closeDescriptor(inode);
  }
  /**
   * Closes descriptors that were idle through a whole interval between two calls: another node may have removed the
   * object, and its space is free only when nobody keeps it open. Told of each before it goes.
   */
  sweepIdle(tell: (inode: Inode) => void): void {
    for (const inode of this.#idle) {
      if (inode.idleSweep >= this.#sweep) break; // the rest became idle later
      tell(inode);
      this.letGo(inode);
    }
    this.#sweep++;
  }
  closeAll(): void {
    for (const inode of this.#byNodeid.values()) {
      this.#closeDescriptor(inode);
      this.#onGone(inode);
    }
    this.#byNodeid.clear();
    this.#byOwn.clear();
    this.#byHandle.clear();
    this.#idle.clear();
  }

  #makeIdle(inode: Inode): void {
    if (inode.nodeid === ROOT) return;
    this.#idle.delete(inode);
    inode.idleSweep = this.#sweep;
    if (inode.pathFd >= 0) this.#idle.add(inode);
    if (this.#idle.size <= this.#descriptorsMax) return;
    const [oldest] = this.#idle;
    if (oldest !== undefined) this.letGo(oldest);
  }
  #remove(inode: Inode): void {
    this.#byNodeid.delete(inode.nodeid);
    this.#byOwn.delete(inode.own);
    if (inode.handle !== undefined) this.#byHandle.delete(inode.handle);
    this.#idle.delete(inode);
    this.#onGone(inode);
    this.#closeDescriptor(inode);
  }
  #closeDescriptor(inode: Inode): void {
    if (inode.pathFd < 0) return;
    this.#onClose(inode);
    this.#close(inode.pathFd);
    inode.pathFd = -1;
  }
}
