/**
 * The node's one writable descriptor of each file that users write to, with the guard shared on it (safety C1).
 *
 * Taking it never blocks: while somebody holds the guard exclusive the attempt is repeated until its deadline. Every write,
 * truncate and allocation of this node goes through this descriptor, and the kernel keeps the lock as long as it lives.
 */
import type { Handle } from "../../dmapi/ids.js";
import { codeOf } from "../../dmapi/errors.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import { Task, type Steps } from "./task.js";

const LOOK_AGAIN_MS = 20;

interface Guard {
  /** -1 while being taken. */
  fd: number;
  isCancelled: boolean;
  /** The file may only grow: what is written through the descriptor goes to its end. */
  onlyAppends: boolean;
}

export class GuardKeeper {
  readonly #core: ReactorCore;
  readonly #guards = new Map<Inode, Guard>();
  /** Descriptors that a creation opened, to be used for the first guard. */
  readonly #created = new Map<Inode, number>();

  constructor(core: ReactorCore) {
    this.#core = core;
  }

  /** The descriptor that writes; -1 while the guard is not held. */
  fdOf(inode: Inode): number {
    return this.#guards.get(inode)?.fd ?? -1;
  }
  onlyAppends(inode: Inode): boolean {
    return this.#guards.get(inode)?.onlyAppends ?? false;
  }
  uses(inode: Inode): boolean {
    return this.#guards.has(inode) || this.#created.has(inode);
  }
  get size(): number {
    return this.#guards.size;
  }

  created(inode: Inode, fd: number): void {
    if (this.#created.has(inode) || this.#guards.has(inode)) this.#core.closeLater(fd);
    else this.#created.set(inode, fd);
  }
  /** For another use; -1 when there is none. */
  takeCreated(inode: Inode): number {
    const fd = this.#created.get(inode) ?? -1;
    this.#created.delete(inode);
    return fd;
  }
  /** Nobody has it open for writing any more. */
  closeCreated(inode: Inode): void {
    const fd = this.#created.get(inode);
    if (fd === undefined) return;
    this.#created.delete(inode);
    this.#core.closeLater(fd);
  }

  take(handle: Handle): void {
    const inode = this.#core.inodes.byHandle(handle);
    if (inode === undefined) return this.#core.step({ kind: "guard-failed", handle, code: "ESTALE", isBusy: false });
    const guard: Guard = { fd: -1, isCancelled: false, onlyAppends: false };
    this.#guards.set(inode, guard);
    const task = new Task(undefined, "guard");
    this.#core.useInode(task, inode);
    this.#core.start(task, this.#take(inode, handle, guard));
  }
  *#take(inode: Inode, handle: Handle, guard: Guard): Steps {
    const core = this.#core;
    const deadlineMs = core.timers.nowMs + core.options.guardTimeoutMs;
    for (;;) {
      const pathFd = yield* core.pathFd(inode);
      const created = this.#created.get(inode) ?? -1;
      this.#created.delete(inode);
      const taken = pathFd < 0 ? pathFd : yield* core.call("takeGuard", pathFd, created, inode.own, core.metaFd, core.options.slot ?? 0);
      if (typeof taken !== "number") {
        if (guard.isCancelled) {
          yield* core.call("dropGuard", taken.fd);
          return undefined;
        }
        guard.fd = taken.fd;
        guard.onlyAppends = taken.onlyAppends;
        inode.generation = Math.max(inode.generation, taken.stored.generation);
        core.step({ kind: "guard-taken", handle, record: taken.stored.record, stored: taken.stored.generation });
        return undefined;
      }
      if (guard.isCancelled) return undefined;
      if (taken !== -errno.EAGAIN || core.timers.nowMs >= deadlineMs) {
        this.#guards.delete(inode);
        core.count("guards refused");
        const isBusy = taken === -errno.EAGAIN;
        core.step({ kind: "guard-failed", handle, code: isBusy ? "EIO" : codeOf(-taken), isBusy });
        return undefined;
      }
      yield* core.sleep(LOOK_AGAIN_MS);
      if (guard.isCancelled) return undefined;
    }
  }

  /** Nothing runs under it any more. */
  drop(handle: Handle): void {
    const inode = this.#core.inodes.byHandle(handle);
    if (inode !== undefined) this.close(inode);
  }
  close(inode: Inode): void {
    this.closeCreated(inode);
    const guard = this.#guards.get(inode);
    if (guard === undefined) return;
    this.#guards.delete(inode);
    guard.isCancelled = true;
    if (guard.fd < 0) return;
    const fd = guard.fd;
    guard.fd = -1;
    if (this.#core.isLocal) {
      files.close(fd); // the lock goes with it
      return;
    }
    this.#core.closeLater(fd);
  }
}
