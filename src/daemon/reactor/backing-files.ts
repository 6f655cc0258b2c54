/**
 * Descriptors that the kernel reads and writes by itself: registered for the opens that pass through, and let go when
 * nothing uses the file any more.
 *
 * Each carries the node's shared guard from before it was registered until its id is closed, so that the kernel keeps the
 * lock for as long as it may read or write there, with us or without us. Nothing uses the file any more when the kernel grants a
 * lease on the very descriptor; or when it has forgotten the inode, which it keeps while anything of this mount has it
 * open or mapped. The second is what counts where several daemons of one machine have such a descriptor of one file, each
 * of which keeps the lease from the others; the kernel is asked to forget, and does where it can.
 *
 * Not here  in which mode an open is answered, and when it is asked (cluster/admission/open-modes.ts).
 * Source    safety C2, V1-V3.
 */
import { codeOf } from "../../dmapi/errors.js";
import type { Handle } from "../../dmapi/ids.js";
import { prune } from "../../fuse/codec/notify.js";
import { errno, errnoName } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { FileStat } from "../../os/stat.js";
import type { CorePorts, ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import type { Steps } from "./task.js";
import { Ordered, UseOrder } from "./use-order.js";

/** Descriptors looked at each second; mapped programs and libraries of long-lived processes are looked at in turns. */
const TESTS_MAX = 256;
/** Descriptors kept although no open passes through them just now; of more, the oldest is tested at once. */
const UNOPENED_MAX = 2048;
/** The kernel is asked to forget after the first test in vain, and then after so many. */
const PRUNE_EACH = 8;
/** Somebody's guard, or his trial of a lease, stands in the way: mostly a moment later it does not. */
const REGISTER_TRIES = 8;
const REGISTER_AGAIN_MS = 2;
/** Its record or its set-id bits say no, or it is being moved. */
const isOfFile: ReadonlySet<number> = new Set([0, errno.EAGAIN, errno.EACCES]);
/** What says that no file of this mount can be registered, not just this one. */
const isOfMount: ReadonlySet<number> = new Set([errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.ELOOP]);

class BackingFile extends Ordered<BackingFile> {
  readonly inode: Inode;
  /** -1: an earlier daemon's, which only the kernel has. */
  readonly fd: number;
  readonly id: number;
  failedTests = 0;
  isTesting = false;
  /** Not since the last open ended. */
  isTested = false;
  /** An open for writing passes or passed through it: stores through its mappings change it without a word to us, until the kernel uses it no more. */
  isWritten = false;
  /** So do reads that move its time of access; of those the own kernel knows. */
  isReadUnseen = false;

  constructor(inode: Inode, { fd, id }: { readonly fd: number; readonly id: number }) {
    super();
    this.inode = inode;
    this.fd = fd;
    this.id = id;
  }
}

const stat = new FileStat();

export class BackingFiles {
  readonly #core: ReactorCore;
  readonly #notifiers: CorePorts["patientNotifiers"];
  readonly #files = new Map<Inode, BackingFile>();
  /** Those that no open passes through; the longest untested first. */
  readonly #unopened = new UseOrder<BackingFile>();
  /** The kernel agreed, and no file of this backing was refused for all. */
  isOffered = false;

  constructor(core: ReactorCore, ports: Pick<CorePorts, "patientNotifiers">) {
    this.#core = core;
    this.#notifiers = ports.patientNotifiers;
  }

  /** -1 while none is registered. */
  idOf(inode: Inode): number {
    return this.#files.get(inode)?.id ?? -1;
  }
  fdOf(inode: Inode): number {
    return this.#files.get(inode)?.fd ?? -1;
  }
  /** Somebody may write to the file without a word to us. What nobody has open any more is looked at once for whether it is mapped. */
  mayBeWritten(inode: Inode): boolean {
    const file = this.#files.get(inode);
    if (file !== undefined && inode.opens === 0 && !file.isTested) this.#begin(file, false);
    return file?.isWritten === true;
  }
  changesUnseen(inode: Inode): boolean {
    const file = this.#files.get(inode);
    return file !== undefined && (file.isWritten || file.isReadUnseen);
  }
  /** The kernel alone may change it from now on, if only by reading. @param moves whether a read would, of what a file's struct statx says. */
  mayChangeUnseen(inode: Inode, moves: (statx: Uint8Array) => boolean): boolean {
    const file = this.#files.get(inode);
    if (file === undefined) return false;
    file.isReadUnseen ||= files.fstat(file.fd, stat) < 0 || moves(stat.bytes);
    return file.isWritten || file.isReadUnseen;
  }
  get size(): number {
    return this.#files.size;
  }
  /** An open is answered with it. @param isEmpty just made: nothing of it can be mapped before the kernel has seen it grow. */
  used(inode: Inode, { isForWriting, isReadUnseen, isEmpty = false }: { readonly isForWriting: boolean; readonly isReadUnseen: boolean; readonly isEmpty?: boolean }): void {
    const file = this.#files.get(inode);
    if (file === undefined) return;
    if (isForWriting && !file.isWritten && !isEmpty) this.#core.pages.expireAttributes(inode); // from now on they change unseen
    file.isWritten ||= isForWriting;
    file.isReadUnseen ||= isReadUnseen;
    this.#unopened.delete(file);
  }

  // What admission wants.

  register(handle: Handle, isWritable: boolean): void {
    this.#work(handle, "register", (inode) => this.#register(inode, handle, isWritable), () => this.#core.step({ kind: "backing-refused", handle }));
  }
  *#register(inode: Inode, handle: Handle, isWritable: boolean): Steps {
    const core = this.#core;
    const pathFd = yield* core.pathFd(inode);
    const created = core.guards.takeCreated(inode);
    if (pathFd < 0) {
      if (created >= 0) core.closeLater(created);
      core.step({ kind: "backing-refused", handle });
      return undefined;
    }
    const { fuseFd, slot = 0 } = core.options;
    let done = yield* core.call("registerBacking", fuseFd, pathFd, created, inode.own, core.metaFd, slot, isWritable);
    for (let tries = 1; tries < REGISTER_TRIES && done.kind === "refused" && done.errno === errno.EAGAIN; tries++) {
      yield* core.sleep(REGISTER_AGAIN_MS);
      done = yield* core.call("registerBacking", fuseFd, pathFd, -1, inode.own, core.metaFd, slot, isWritable);
    }
    const { stored } = done;
    if (stored !== undefined) inode.generation = Math.max(inode.generation, stored.generation);
    if (done.kind === "registered") {
      this.#files.set(inode, new BackingFile(inode, done));
      if (inode.place >= 0) core.memory?.setBackingId(inode.place, done.id);
      core.step({ kind: "backing-registered", handle, record: done.stored.record, stored: done.stored.generation, isMarkGone: done.isMarkGone });
      return undefined;
    }
    if (!isOfFile.has(done.errno)) {
      core.count(`opens that could not pass through: ${errnoName(-done.errno)}`);
      if (isOfMount.has(done.errno)) this.isOffered = false;
    }
    core.step({ kind: "backing-refused", handle, ...(stored === undefined ? {} : { record: stored.record, stored: stored.generation }) });
    return undefined;
  }

  /** Registered by an earlier daemon (safety H11): the kernel has the descriptor, with the guard on it, and nobody else. */
  restore(inode: Inode, id: number): void {
    const file = new BackingFile(inode, { fd: -1, id });
    file.isWritten = file.isReadUnseen = true; // perhaps
    this.#files.set(inode, file);
    this.#core.step({ kind: "backing-resumed", handle: this.#core.handleOf(inode) });
  }

  breakMark(handle: Handle): void {
    this.#work(handle, "mark", (inode) => this.#breakMark(inode, handle), () => this.#core.step({ kind: "mark-broken", handle, failure: "ESTALE" }));
  }
  *#breakMark(inode: Inode, handle: Handle): Steps {
    const removed = yield* this.#core.callOnBacking("breakMark", inode, this.fdOf(inode));
    this.#core.step({ kind: "mark-broken", handle, ...(removed < 0 ? { failure: codeOf(-removed) } : {}) });
    return undefined;
  }

  test(handle: Handle, isAsked: boolean): void {
    const inode = this.#core.inodes.byHandle(handle);
    const file = inode === undefined ? undefined : this.#files.get(inode);
    if (file === undefined) return;
    if (!this.#unopened.has(file)) this.#unopened.add(file);
    if (!isAsked) file.isTested = false;
    const { oldest } = this.#unopened;
    if (isAsked) this.#begin(file, true);
    else if (oldest !== undefined && this.#unopened.size > UNOPENED_MAX) this.#begin(oldest, false);
  }
  /** Once a second. */
  look(): void {
    for (const file of [...this.#unopened].slice(0, TESTS_MAX)) this.#begin(file, false);
  }

  #begin(file: BackingFile, isAsked: boolean): void {
    if (file.isTesting) return;
    file.isTesting = true;
    file.isTested = true;
    this.#unopened.add(file);
    this.#core.startFor(file.inode, "lease", () => this.#test(file, isAsked));
  }
  /** Our own descriptors of the file would keep the lease from us: reader and guard went with the last open, or go soon. */
  *#test(file: BackingFile, isAsked: boolean): Steps {
    const { inode } = file;
    const core = this.#core;
    // A lease is granted on the very descriptor alone; of one that we do not have, only that the kernel forgets the inode shows it.
    const tested = file.fd < 0 ? -1 : yield* core.call("testLease", file.fd);
    file.isTesting = false;
    if (this.#files.get(inode) !== file) return undefined;
    if (tested >= 0) {
      core.step({ kind: "backing-unused", handle: core.handleOf(inode) });
      return undefined;
    }
    if (isAsked || file.failedTests++ % PRUNE_EACH === 0) this.#askToForget(inode);
    return undefined;
  }
  /** Answered, if at all, by a FORGET. */
  #askToForget(inode: Inode): void {
    if (inode.lookups > 0 && inode.opens === 0) this.#notifiers.ask({ kind: "notify", message: prune(inode.nodeid) }, () => {});
  }

  close(handle: Handle): void {
    const inode = this.#core.inodes.byHandle(handle);
    if (inode !== undefined) this.gone(inode);
  }
  /** Also when the kernel has forgotten the inode, or the mount is over. */
  gone(inode: Inode): void {
    const file = this.#files.get(inode);
    if (file === undefined) return;
    this.#files.delete(inode);
    this.#unopened.delete(file);
    this.#core.keptNames.closed(inode);
    this.#core.count("files given back by the kernel");
    if (inode.place >= 0) this.#core.memory?.setBackingId(inode.place, 0);
    this.#core.closeBackingLater(file.id, file.fd);
  }
  /** Ids stay: the kernel keeps what it may still use until its connection ends. */
  closeAll(): void {
    for (const { fd } of this.#files.values()) if (fd >= 0) files.close(fd);
    this.#files.clear();
    this.#unopened.clear();
  }

  #work(handle: Handle, call: string, steps: (inode: Inode) => Steps, gone: () => void): void {
    const inode = this.#core.inodes.byHandle(handle);
    if (inode === undefined) return gone();
    this.#core.startFor(inode, call, () => steps(inode));
  }
}
