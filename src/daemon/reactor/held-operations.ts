/**
 * Operations that wait: what ends their wait from the user's side, and what is shown of them.
 *
 * Interrupts: a killed user's operation ends at once; one that is asked to stop gets EINTR at once where it waits for an
 * application or for the cluster to be whole; any other signal (a runtime's own, a child's end), and what the nodes have
 * to settle among themselves in a moment, after a grace: a handler may simply try again, and few programs expect EINTR of
 * utime(2). Page fills, which may be faults,
 * are not answered before their time. No interrupt is promised, so the threads are also looked after each second.
 *
 * Source    safety C5 (what the kernel keeps locked), H2; requirement "no silent hang".
 */
import { READ_LOCKOWNER } from "../../fuse/codec/constants.js";
import type { Request } from "../../fuse/codec/request.js";
import type { WaiterEntry } from "../../dmapi/status.js";
import type { NodeId } from "../../dmapi/ids.js";
import type { ReactorCore } from "./core.js";
import type { Task } from "./task.js";
import { interruptionOf, isAskedToStop } from "./user-process.js";

const LOOK_MS = 1000;

export class HeldOperations {
  readonly #core: ReactorCore;
  #lookedAtMs = 0;

  constructor(core: ReactorCore) {
    this.#core = core;
  }

  interrupt(unique: bigint): void {
    const task = this.#core.suspended.get(unique);
    if (task?.request === undefined || !task.isInterruptible) return;
    const { pid } = task.request.header;
    const why = pid === 0 ? "none" : interruptionOf(pid);
    if (why === "gone" || why === "killed") return this.#core.waits.interrupt(task);
    if (task.isDone || isFill(task.request)) return;
    if (task.request.kind === "setlkw" || (mayWaitLong(task) && isAskedToStop(pid))) return this.#core.waits.interrupt(task);
    const leftMs = this.#core.options.interruptGraceMs - (this.#core.timers.nowMs - (task.hold?.sinceMs ?? this.#core.timers.nowMs));
    if (leftMs <= 0) return this.#core.waits.interruptButKeepEvent(task);
    this.#core.timers.after(leftMs, () => {
      if (this.#core.suspended.get(unique) === task && task.isInterruptible && !task.isDone) this.#core.waits.interruptButKeepEvent(task);
    });
  }

  /** Once a second: threads of held requests that are no more; descriptors that nobody uses. */
  look(also: () => void = () => {}): void {
    const { nowMs } = this.#core.timers;
    if (nowMs - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    also();
    this.#core.backingFiles.look();
    this.#core.pace.look();
    this.#core.keptNames.look();
    this.#core.inodes.sweepIdle((inode) => this.#core.retireReader(inode));
    for (const task of [...this.#core.suspended.values()]) {
      const pid = task.request?.header.pid ?? 0;
      if (pid === 0 || !task.isInterruptible || !task.isSuspended) continue;
      const why = interruptionOf(pid);
      if (why === "gone" || why === "killed") this.#core.waits.interrupt(task);
    }
  }

  report(): WaiterEntry[] {
    const entries: WaiterEntry[] = [];
    for (const task of this.#core.suspended.values()) {
      if (task.hold !== undefined && task.request !== undefined) entries.push(this.#entry(task, task.request));
    }
    return entries;
  }
  #entry(task: Task, request: Request): WaiterEntry {
    const core = this.#core;
    const hold = task.hold!;
    const process = core.processOf(task);
    const cause = hold.described?.cause as WaiterEntry["cause"] | undefined;
    return {
      node: core.options.node as NodeId, operation: task.operation ?? 0, call: task.call, fs: core.options.fs,
      pid: process?.pid ?? request.header.pid, uid: request.header.uid, command: process?.command ?? "",
      ageMs: Math.round(core.timers.nowMs - hold.sinceMs), cause: cause ?? causeShown(hold.cause), detail: hold.described?.detail ?? hold.detail,
      blocks: blocksOf(core, task, request),
      ...(hold.described?.untilMs === undefined ? {} : { deadlineMs: Math.max(0, Math.round(hold.described.untilMs - core.timers.nowMs)) }),
      ...(task.inode === undefined ? {} : { path: core.pathOf(task.inode), handle: core.handleOf(task.inode) }),
      ...(hold.token === undefined ? {} : { token: hold.token as NonNullable<WaiterEntry["token"]> }),
      ...(hold.session === undefined ? {} : { session: hold.session as NonNullable<WaiterEntry["session"]> }),
    };
  }
}

/** Behind people and applications; all else is over in a moment, or its user is let go after the grace. */
function mayWaitLong(task: Task): boolean {
  return task.hold === undefined || waitsForPeople(task);
}
/** Or applications. */
export function waitsForPeople({ hold }: Task): boolean {
  return hold !== undefined && ["event", "no-owner", "fence", "closed"].includes(hold.cause);
}

function causeShown(cause: NonNullable<Task["hold"]>["cause"]): WaiterEntry["cause"] {
  switch (cause) {
    case "closed": return "excluded";
    case "record":
    case "lock":
    case "append":
    case "members": return "backing";
    default: return cause;
  }
}

/** A page fill: read by the kernel for its cache, maybe for a fault. */
export function isFill(request: Request): boolean {
  return request.kind === "read" && (request.readFlags & READ_LOCKOWNER) === 0;
}

/** What the kernel keeps locked while the request is not answered (safety C5). */
function blocksOf(core: ReactorCore, task: Task, request: Request): string {
  switch (request.kind) {
    case "write":
    case "setattr":
    case "setxattr":
    case "removexattr":
    case "fallocate":
    case "copyFileRange":
      return "writes to the file, its removal and changes of its attributes";
    case "create":
    case "mkdir":
    case "mknod":
    case "symlink":
    case "unlink":
    case "rmdir":
      return `everything in ${core.pathOf(task.inode!)}`;
    case "link":
      return "everything in the new name's directory, and writes to the file";
    case "rename":
      return request.newDirectory === request.header.nodeid ? `everything in ${core.pathOf(task.inode!)}` : `everything in ${core.pathOf(task.inode!)} and in the new directory; all renames between directories`;
    default:
      return isFill(request) ? "truncation of the file" : "";
  }
}
