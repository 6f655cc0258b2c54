/**
 * The objects the kernel knows of one mount, by node id and by kernel handle.
 *
 * A node id is our own small number, never used twice in one life of the mount. A descriptor (O_PATH) is cached for some of
 * them; one is pinned while the object is open or an operation uses it, so that an object without a name stays reachable.
 *
 *   in use (pinned) -> idle (has a descriptor) -> awake (has none) -> resting (packed, no object of ours) -> in use
 *
 * The kernel may know millions; of those that are not in use only the last used ones are objects here. One that rests is made
 * anew when it is wanted: an `Inode` that nobody pins may be kept only until other requests are served.
 *
 * Owns      look-up counts, node ids, the O_PATH descriptors and their bound, which objects rest.
 * Not here  open files (open-files.ts), guard descriptors (guard-keeper.ts), records (the admission machine), how those that
 *           rest are packed (resting-inodes.ts).
 */
import { assert } from "../../base/assert.js";
import type { Handle } from "../../dmapi/ids.js";
import { kernelHandleOf, ownText } from "../../volume/handles.js";
import type { Stored } from "./backing-calls.js";
import { type RestingInode, RestingInodes } from "./resting-inodes.js";
import { Ordered, UseOrder } from "./use-order.js";

export const ROOT = 1;

/** A descriptor for reading, opened while the stored record had that generation; closed when retired and unused. */
export interface Reader {
  readonly fd: number;
  readonly generation: number;
  users: number;
  isRetired: boolean;
}

export class Inode extends Ordered<Inode> {
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
  /** Direct ones that append. */
  directAppends = 0;
  /** By users of other nodes too, while it is open here (kept-pages.ts). */
  isWrittenElsewhere = false;
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
  /** Since when its pages are true (kept-pages.ts); 0: they may not be. */
  pagesSince = 0;
  /** When it was written last, of which its pages know, nanoseconds; undefined: they may know of nothing. */
  pagesOf: bigint | undefined = undefined;
  /** When a user of this node wrote to it last, by the reactor's clock. */
  writtenMs = -Infinity;
  /** Last seen without a name. */
  isUnlinked = false;
  /** Number of the sweep during which its descriptor became idle. */
  idleSweep = 0;
  isDestroyTold = false;
  /** The holder has a descriptor of it (safety H11). */
  isKept = false;
  /** What is known of it is packed, and this object is not it any more. */
  isPacked = false;

  constructor(identity: { nodeid: number; own: string; handleType: number; handleBytes: Uint8Array; type: number }) {
    super();
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

export interface InodeTableOptions {
  readonly memory?: InodeMemory | undefined;
  /** Of objects that nobody uses. */
  readonly descriptorsMax: number;
  /** Objects that nobody uses, without a descriptor, that do not rest. */
  readonly awakeMax: number;
  readonly close: (fd: number) => void;
  /** The kernel knows it no more, and nothing here uses it. */
  readonly onGone: (inode: Inode) => void;
  readonly onClose: (inode: Inode) => void;
  /** Whether nothing here hangs on the very `Inode`, which is then let go. */
  readonly mayRest: (inode: Inode) => boolean;
  readonly seal: (inode: Inode) => Handle;
  /** What `seal` was given; undefined: it is not one of this mount's. */
  readonly unseal: (handle: Handle) => { readonly type: number; readonly bytes: Uint8Array } | undefined;
}

export class InodeTable {
  readonly #byNodeid = new Map<number, Inode>();
  readonly #byOwn = new Map<string, Inode>();
  readonly #byHandle = new Map<Handle, Inode>();
  /** None of those above. */
  readonly #resting = new RestingInodes();
  /** Inodes with a cached descriptor that nothing pins; the longest unused first. */
  readonly #idle = new UseOrder<Inode>();
  /** Those without one; the longest unused first. */
  readonly #awake = new UseOrder<Inode>();
  #sweep = 0;
  readonly #options: InodeTableOptions;
  readonly #memory: InodeMemory | undefined;
  #next = ROOT;

  constructor(options: InodeTableOptions) {
    this.#options = options;
    this.#memory = options.memory;
  }

  get size(): number {
    return this.#byNodeid.size + this.#resting.size;
  }
  get restingSize(): number {
    return this.#resting.size;
  }
  get(nodeid: number): Inode | undefined {
    return this.#byNodeid.get(nodeid) ?? this.#woken(this.#resting.take(nodeid));
  }
  getAwake(nodeid: number): Inode | undefined {
    return this.#byNodeid.get(nodeid);
  }
  byHandle(handle: Handle): Inode | undefined {
    const inode = this.#byHandle.get(handle);
    if (inode !== undefined) return inode;
    const kernel = this.#options.unseal(handle);
    return kernel === undefined ? undefined : this.#byKernelHandle(ownText({ type: kernel.type, bytes: Buffer.from(kernel.bytes) }), kernel.type, kernel.bytes);
  }
  byOwn(own: string): Inode | undefined {
    const inode = this.#byOwn.get(own);
    if (inode !== undefined) return inode;
    const { type, bytes } = kernelHandleOf(own);
    return this.#byKernelHandle(own, type, bytes);
  }
  awakeByOwn(own: string): Inode | undefined {
    return this.#byOwn.get(own);
  }
  #byKernelHandle(own: string, type: number, bytes: Uint8Array): Inode | undefined {
    return this.#byOwn.get(own) ?? this.#woken(this.#resting.takeByHandle(type, bytes));
  }
  handleOf(inode: Inode): Handle {
    if (inode.handle === undefined) {
      inode.handle = this.#options.seal(inode);
      this.#byHandle.set(inode.handle, inode);
    }
    return inode.handle;
  }
  /** Of one that may go on resting. */
  peek(nodeid: number): { readonly own: string; readonly parent: number; readonly name: string } | undefined {
    const inode = this.#byNodeid.get(nodeid);
    if (inode !== undefined) return inode;
    const resting = this.#resting.peek(nodeid);
    return resting === undefined ? undefined : { own: ownOf(resting), parent: resting.parent, name: resting.name };
  }
  /** Those that do not rest. */
  [Symbol.iterator](): IterableIterator<Inode> {
    return this.#byNodeid.values();
  }
  /** Those that do. */
  restingNodeids(): number[] {
    return this.#resting.nodeids();
  }

  /**
   * The inode of something found; takes over its descriptor or closes it. It stays while it is looked up, pinned or open:
   * pin or count it before anything else runs.
   */
  intern(found: { fd: number; own: string; handleType: number; handleBytes: Uint8Array; stored: Stored | undefined }, type: number): Inode {
    let inode = this.#byKernelHandle(found.own, found.handleType, found.handleBytes);
    if (inode === undefined) {
      inode = new Inode({ nodeid: this.#next++, own: found.own, handleType: found.handleType, handleBytes: found.handleBytes, type });
      this.#add(inode);
      if (this.#memory !== undefined) this.#memory.nextNodeid = this.#next;
    }
    if (found.fd >= 0) {
      if (inode.pathFd >= 0) this.#options.close(found.fd);
      else this.setDescriptor(inode, found.fd);
    }
    return inode;
  }
  #add(inode: Inode): void {
    this.#byNodeid.set(inode.nodeid, inode);
    this.#byOwn.set(inode.own, inode);
    if (inode.pins === 0) this.#unused(inode);
  }

  /** One that an earlier daemon told the kernel of; it rests. */
  restore(known: Pick<RestingInode, "nodeid" | "handleType" | "handleBytes" | "type" | "lookups" | "place">): void {
    this.#next = Math.max(this.#next, known.nodeid + 1);
    const inode = this.#byNodeid.get(known.nodeid);
    if (inode === undefined) return this.#resting.add({ ...known, parent: 0, name: "", isUnlinked: false, isDestroyTold: false, mayHavePages: false });
    inode.lookups = known.lookups;
    inode.place = known.place;
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
    if (inode.pins === 0) this.#unused(inode);
  }
  pin(inode: Inode): void {
    assert(!inode.isPacked, "what nobody pinned was kept while others ran");
    inode.pins++;
    inode.order?.delete(inode);
  }
  unpin(inode: Inode): void {
    inode.pins--;
    assert(inode.pins >= 0, "each pin is taken out once");
    if (inode.pins > 0) return;
    if (inode.lookups === 0 && inode.nodeid !== ROOT) this.#remove(inode);
    else this.#unused(inode);
  }
  forget(nodeid: number, count: number): void {
    const inode = this.get(nodeid);
    if (inode === undefined || nodeid === ROOT) return;
    this.#countedDown(inode, Math.max(0, inode.lookups - count));
    if (inode.lookups === 0 && inode.pins === 0) this.#remove(inode);
  }
  /** An unpinned object that lost its last name need not be kept alive by our descriptor. */
  letGo(inode: Inode): void {
    if (inode.pins > 0 || inode.pathFd < 0 || inode.nodeid === ROOT) return;
    this.#closeDescriptor(inode);
    this.#unused(inode);
  }
  /**
   * Closes descriptors that were idle through a whole interval between two calls: another node may have removed the
   * object, and its space is free only when nobody keeps it open. Told of each before it goes.
   */
  sweepIdle(tell: (inode: Inode) => void): void {
    // The rest became idle later.
    for (let inode = this.#idle.oldest; inode !== undefined && inode.idleSweep < this.#sweep; inode = this.#idle.oldest) {
      tell(inode);
      this.letGo(inode);
      assert(!this.#idle.has(inode), "what nobody pins can be let go");
    }
    this.#sweep++;
  }
  closeAll(): void {
    for (const inode of this.#byNodeid.values()) {
      this.#closeDescriptor(inode);
      this.#options.onGone(inode);
    }
    this.#byNodeid.clear();
    this.#byOwn.clear();
    this.#byHandle.clear();
    this.#idle.clear();
    this.#awake.clear();
  }

  /** Nobody uses it; one in excess of each bound goes a step further. */
  #unused(inode: Inode): void {
    if (inode.nodeid === ROOT) return;
    inode.order?.delete(inode);
    if (inode.pathFd < 0) {
      this.#awake.add(inode);
      if (this.#awake.size > this.#options.awakeMax) this.#letRest(inode);
      return;
    }
    inode.idleSweep = this.#sweep;
    this.#idle.add(inode);
    const { oldest } = this.#idle;
    if (oldest !== undefined && this.#idle.size > this.#options.descriptorsMax) this.letGo(oldest);
  }
  /** Of those that have to wait some are asked each time, so that they go when they may. */
  #letRest(last: Inode): void {
    for (let tries = REST_TRIES; tries > 0 && this.#awake.size > this.#options.awakeMax; tries--) {
      const inode = this.#awake.oldest;
      if (inode === undefined || inode === last) return; // that one is in somebody's hands just now
      this.#awake.delete(inode);
      if (isBusy(inode) || !this.#options.mayRest(inode)) this.#unrested(inode);
      else this.#rest(inode);
    }
  }
  /** Its turn comes again, unless somebody took it meanwhile. */
  #unrested(inode: Inode): void {
    if (inode.order === undefined && inode.pins === 0) this.#awake.add(inode);
  }
  #rest(inode: Inode): void {
    this.#byNodeid.delete(inode.nodeid);
    this.#byOwn.delete(inode.own);
    if (inode.handle !== undefined) this.#byHandle.delete(inode.handle);
    this.#resting.add(inode);
    inode.isPacked = true;
  }
  #woken(resting: RestingInode | undefined): Inode | undefined {
    if (resting === undefined) return undefined;
    const { nodeid, handleType, handleBytes, type, lookups, place, parent, name, isUnlinked, isDestroyTold, mayHavePages } = resting;
    const inode = new Inode({ nodeid, own: ownOf(resting), handleType, handleBytes, type });
    Object.assign(inode, { lookups, place, parent, name, isUnlinked, isDestroyTold, mayHavePages });
    this.#add(inode);
    return inode;
  }
  #remove(inode: Inode): void {
    this.#byNodeid.delete(inode.nodeid);
    this.#byOwn.delete(inode.own);
    if (inode.handle !== undefined) this.#byHandle.delete(inode.handle);
    inode.order?.delete(inode);
    this.#options.onGone(inode);
    this.#closeDescriptor(inode);
  }
  #closeDescriptor(inode: Inode): void {
    if (inode.pathFd < 0) return;
    this.#options.onClose(inode);
    this.#options.close(inode.pathFd);
    inode.pathFd = -1;
  }
}

const REST_TRIES = 8;
/** Something is under way that ends in the object itself. */
function isBusy(inode: Inode): boolean {
  return inode.pins > 0 || inode.opens > 0 || inode.lookups === 0 || inode.isOpening || inode.isKept || inode.reader !== undefined || inode.lockedRanges.size > 0 || inode.invalidating > 0 || inode.mustDropLocked;
}
function ownOf({ handleType, handleBytes }: RestingInode): string {
  return ownText({ type: handleType, bytes: Buffer.from(handleBytes) });
}
