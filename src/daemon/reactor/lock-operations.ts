/**
 * Users' locks: each owner has one descriptor per file, and its locks are OFD locks there, so that they hold between the
 * nodes and between the users of one node. flock is a lock on one reserved byte. A lock that must wait is tried again: at
 * once when somebody of this node gives one up, and every few milliseconds for the others' sake. Who waits in a circle of
 * processes is refused: among those of this node at once, over several nodes a moment later (daemon/lock-circles.ts).
 *
 * Source    safety H7 (pages are dropped at each grant), H9; fcntl(2), flock(2).
 */
import type { LockReport } from "../../cluster/messages.js";
import { LOCK_IS_FLOCK } from "../../fuse/codec/constants.js";
import type { LockRange, RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { getLock, LockRequest, type LockType } from "../../os/locks.js";
import { clipUserRange, FLOCK_BYTE, unclippedEnd } from "../../volume/guard.js";
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import { LockTable, newTurn, type LockOwner, type LockWait, type Range } from "./lock-table.js";
import { Task, type Steps } from "./task.js";

const LOOK_AGAIN_MS = 20;
/** When it is first asked whether a circle goes over other nodes; then after twice as long, and so on. */
const STUCK_MS = 500;
const STUCK_PAUSE_MAX_MS = 16_000;
const typeOf: readonly LockType[] = ["read", "write", "unlock"];
const lockRequest = new LockRequest();

const tables = new WeakMap<ReactorCore, LockTable>();
function tableOf(core: ReactorCore): LockTable {
  let table = tables.get(core);
  if (table === undefined) {
    table = new LockTable();
    tables.set(core, table);
  }
  return table;
}
export function lockDescriptors(core: ReactorCore): number[] {
  return [...tableOf(core).all()].map(([, owner]) => owner.fd);
}

/** Of most files nobody has: their closes have nothing to give up. */
export function hasLocks(core: ReactorCore, inode: Inode): boolean {
  return tableOf(core).hasOwners(inode);
}
/** A close by that owner: its locks of ranges go (POSIX). */
export function* dropOwnerLocks(core: ReactorCore, inode: Inode, id: bigint): Steps<void> {
  const owner = tableOf(core).owner(inode, id, false);
  if (owner !== undefined) yield* drop(core, inode, owner);
}
/** The open file itself is gone. */
export function* dropLocksOfOpen(core: ReactorCore, inode: Inode, fh: number): Steps<void> {
  for (const owner of tableOf(core).ofOpen(inode, fh)) yield* drop(core, inode, owner);
}
function* drop(core: ReactorCore, inode: Inode, owner: LockOwner): Steps<void> {
  if (!(yield* comesOn(core, owner))) return;
  // Before anybody is answered: a worker closes the descriptor in its own time, and the holder, which has it too, in its.
  yield* core.call("lock", owner.fd, "unlock", 0n, 0n);
  core.keeper?.drop([owner.key]);
  core.closeLater(owner.fd);
  tableOf(core).remove(inode, owner);
  core.inodes.unpin(inode);
  owner.turn.isOver = true;
  goesOff(core, owner);
}

/**
 * An owner's calls are made one after another, so that the table learns of them in their order, and its descriptor is open
 * as long as one runs. False: the owner is no more.
 */
function* comesOn(core: ReactorCore, { turn }: LockOwner): Steps<boolean> {
  while (turn.isTaken && !turn.isOver) {
    turn.waiting.push(core.currentTask);
    yield* core.suspend();
  }
  turn.isTaken = true;
  return !turn.isOver;
}
function goesOff(core: ReactorCore, { turn }: LockOwner): void {
  turn.isTaken = false;
  if (turn.waiting.length === 0) return;
  for (const task of turn.waiting.splice(0)) core.wake(task, 0);
}

/** The user's range as far as it is the user's, or the one byte of flock; undefined: nothing is left of it. */
function rangeOf(lock: LockRange, isFlock: boolean): Range | undefined {
  const isExclusive = typeOf[lock.type] === "write";
  if (isFlock) return { start: FLOCK_BYTE, end: FLOCK_BYTE, isExclusive };
  const range = clipUserRange(lock.start, lock.end);
  return range === undefined ? undefined : { start: range.start, end: range.start + range.length - 1n, isExclusive };
}
const lengthOf = (range: Range) => range.end - range.start + 1n;

type Locking = RequestOf<"getlk" | "setlk" | "setlkw">;
/** The owner, whose turn it is until `goesOff`. */
function* nextOwnerOf(core: ReactorCore, inode: Inode, request: Locking): Steps<LockOwner | number> {
  for (;;) {
    const owner = yield* ownerOf(core, inode, request);
    if (typeof owner === "number" || (yield* comesOn(core, owner))) return owner;
  }
}
function* ownerOf(core: ReactorCore, inode: Inode, request: Locking): Steps<LockOwner | number> {
  const table = tableOf(core);
  const isFlock = (request.flags & LOCK_IS_FLOCK) !== 0;
  const found = table.owner(inode, request.owner, isFlock);
  if (found !== undefined) return found;
  const pathFd = yield* core.pathFd(inode);
  if (pathFd < 0) return pathFd;
  let fd = yield* core.reopen(pathFd, files.open.readWrite);
  if (fd < 0) fd = yield* core.reopen(pathFd, files.open.readOnly);
  if (fd < 0) return fd;
  const meanwhile = table.owner(inode, request.owner, isFlock);
  if (meanwhile !== undefined) {
    core.closeLater(fd);
    return meanwhile;
  }
  const made: LockOwner = { fd, id: request.owner, isFlock, fh: request.fh, pid: request.lock.pid, ranges: [], change: 0, turn: newTurn(), key: keyOf(inode, request.owner, isFlock) };
  core.keeper?.keep({ key: made.key, note: noteOf(inode, made) }, fd); // before anything is granted on it
  table.add(inode, made);
  core.inodes.pin(inode);
  return made;
}

// Of locks that outlive a daemon: the descriptor has them (safety H11), the rest is in its note.

interface Noted {
  readonly nodeid: number;
  readonly id: string;
  readonly isFlock: boolean;
  readonly fh: number;
  readonly pid: number;
}
const keyOf = (inode: Inode, id: bigint, isFlock: boolean) => `lock ${inode.nodeid} ${id}${isFlock ? " flock" : ""}`;

function noteOf(inode: Inode, { id, isFlock, fh, pid }: LockOwner): string {
  const note: Noted = { nodeid: inode.nodeid, id: `${id}`, isFlock, fh, pid };
  return JSON.stringify(note);
}
/** Another holder has nothing yet. */
export function keepLocksAgain(core: ReactorCore): void {
  core.keeper?.keepAll([...tableOf(core).all()].map(([inode, owner]) => ({ name: { key: owner.key, note: noteOf(inode, owner) }, fd: owner.fd })));
}

/** An owner of locks that an earlier daemon had; `fd` is ours from then on. False: the kernel knows the file no more. */
export function restoreLocks(core: ReactorCore, kept: { readonly key: string; readonly note: string; readonly fd: number }): boolean {
  const { nodeid, id, isFlock, fh, pid } = JSON.parse(kept.note) as Noted;
  const inode = core.inodes.get(nodeid);
  if (inode === undefined) return false;
  tableOf(core).add(inode, { fd: kept.fd, id: BigInt(id), isFlock, fh, pid, ranges: rangesOn(kept.fd), change: 0, turn: newTurn(), key: kept.key });
  core.inodes.pin(inode);
  return true;
}
/** What the kernel says is locked by way of the descriptor itself (Linux 6.6). */
function rangesOn(fd: number): Range[] {
  const ranges: Range[] = [];
  for (let from = 0n; ; ) {
    const own = getLock(fd, lockRequest.fill("unlock", from, 0n)) < 0 ? undefined : lockRequest.conflict;
    if (own === undefined) return ranges;
    const length = own.length === 0n ? LAST_OFFSET - own.start + 1n : own.length;
    ranges.push({ start: own.start, end: own.start + length - 1n, isExclusive: own.type === "write" });
    from = own.start + length;
    if (from > LAST_OFFSET) return ranges;
  }
}
const LAST_OFFSET = (1n << 63n) - 1n;

export function* getlk(core: ReactorCore, task: Task, request: RequestOf<"getlk">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  const isFlock = (request.flags & LOCK_IS_FLOCK) !== 0;
  const owner = yield* nextOwnerOf(core, inode, request);
  if (typeof owner === "number") return owner;
  const type = typeOf[request.lock.type];
  const range = type === undefined ? undefined : rangeOf(request.lock, isFlock);
  const conflict = range === undefined ? undefined : yield* core.call("lockInTheWay", owner.fd, type!, range.start, lengthOf(range));
  goesOff(core, owner);
  if (typeof conflict === "number") return conflict;
  const reply = core.reply.begin(request.header.unique);
  if (conflict === undefined) reply.u64(request.lock.start).u64(request.lock.end).u32(2).u32(0);
  else {
    const end = unclippedEnd(conflict.start + conflict.length - 1n);
    // Of a lock on another node nobody here knows the process.
    const pid = tableOf(core).holderAt(inode, conflict.start, isFlock, owner)?.pid ?? 0;
    reply.u64(conflict.start).u64(end).u32(conflict.type === "read" ? 0 : 1).u32(pid);
  }
  core.send(reply.finish());
  return undefined;
}

export function* setlk(core: ReactorCore, task: Task, request: RequestOf<"setlk">): Steps {
  return yield* setLockOf(core, task, request, false);
}
export function* setlkw(core: ReactorCore, task: Task, request: RequestOf<"setlkw">): Steps {
  return yield* setLockOf(core, task, request, true);
}
function* setLockOf(core: ReactorCore, task: Task, request: RequestOf<"setlk"> | RequestOf<"setlkw">, waits: boolean): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  task.inode = inode;
  const table = tableOf(core);
  const isFlock = (request.flags & LOCK_IS_FLOCK) !== 0;
  const type = typeOf[request.lock.type];
  const range = type === undefined ? undefined : rangeOf(request.lock, isFlock);
  if (type === undefined || range === undefined) return 0;
  const isUnlock = type === "unlock";
  if (isUnlock && table.owner(inode, request.owner, isFlock) === undefined) return 0;
  let waiting: LockWait | undefined;
  for (let stuckMs = STUCK_MS; ; ) {
    // Asked for anew each time: another thread of the process may have closed the file, and with it this owner's descriptor.
    const owner = yield* nextOwnerOf(core, inode, request);
    if (typeof owner === "number") return owner;
    if (!isUnlock) owner.pid = request.lock.pid;
    const result = yield* core.call("lock", owner.fd, type, range.start, lengthOf(range));
    if (result >= 0) table.granted(inode, owner, range.start, range.end, isUnlock ? undefined : range);
    goesOff(core, owner);
    if (result >= 0) break;
    if (result !== -errno.EAGAIN && result !== -errno.EACCES) return result;
    if (!waits) return -errno.EAGAIN;
    if (waiting?.isRefused === true) {
      core.count("locks refused for a circle over nodes");
      return -errno.EDEADLK;
    }
    waiting ??= table.newWait(core.timers.nowMs, isFlock);
    if (waiting.by === "running") waiting.by = waiting.learnt; // in the step that looks, so that the last one to wait is refused
    if (table.holds(request.owner) && waiting.by !== "open-file") {
      if (waiting.by === "running") learnFor(core, task, waiting, request.header.pid);
      else if (table.isCircle(inode, owner, range)) return -errno.EDEADLK;
      if (waiting.by === "process" && core.timers.nowMs - waiting.sinceMs >= stuckMs) {
        stuckMs += Math.min(stuckMs, STUCK_PAUSE_MAX_MS);
        core.post({ kind: "locks-stuck" });
      }
    }
    const isOver = table.waits(inode, owner, range, waiting, () => goOn(core, task));
    const ended = yield* waitABit(core, task, isFlock);
    isOver();
    if (ended < 0) return -errno.EINTR;
  }
  if (!isUnlock) yield* core.pages.dropped(inode);
  return 0;
}

export function reportLocks(core: ReactorCore): LockReport {
  return tableOf(core).report((inode) => core.handleOf(inode));
}
export function refuseLock(core: ReactorCore, life: string, wait: number): void {
  tableOf(core).refuse(life, wait);
}

/** For whose sake its thread waits. Beside the task, which an interrupt can end meanwhile. */
function learnFor(core: ReactorCore, waiter: Task, waiting: LockWait, thread: number): void {
  if (waiting.isLearning) return;
  waiting.isLearning = true;
  core.start(new Task(undefined, "who waits"), (function* (): Steps {
    waiting.learnt = yield* core.callAside("lockWaitOf", thread);
    waiting.isLearning = false;
    if (waiting.learnt !== "running") goOn(core, waiter);
    return undefined;
  })());
}
function* waitABit(core: ReactorCore, task: Task, isFlock: boolean): Steps<number> {
  task.hold ??= { sinceMs: core.timers.nowMs, cause: "lock", detail: isFlock ? "somebody's flock" : "somebody's lock of a range", handle: undefined };
  task.isInterruptible = true;
  core.timers.after(LOOK_AGAIN_MS, () => goOn(core, task));
  const result = (yield* core.suspend()) as number;
  task.isInterruptible = false;
  return result;
}
function goOn(core: ReactorCore, task: Task): void {
  if (!task.isSuspended || !task.isInterruptible) return;
  task.isSuspended = false;
  core.wake(task, 0);
}
