/**
 * Users' locks: each owner has one descriptor per file, and its locks are OFD locks there, so that they hold between the
 * nodes and between the users of one node. flock is a lock on one reserved byte. A lock that must wait is tried again.
 *
 * Source    safety H7 (pages are dropped at each grant), H9; fcntl(2), flock(2).
 */
import { LOCK_IS_FLOCK } from "../../fuse/codec/constants.js";
import type { LockRange, RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { getLock, LockRequest, setLock, type LockType } from "../../os/locks.js";
import { clipUserRange, FLOCK_BYTE } from "../../volume/guard.js";
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import type { Steps, Task } from "./task.js";

const LOOK_AGAIN_MS = 20;
const typeOf: readonly LockType[] = ["read", "write", "unlock"];
const lockRequest = new LockRequest();

interface Owner {
  readonly fd: number;
  /** Through which open the user first locked: with it go the locks of an open file (flock, OFD), which have no other end. */
  readonly fh: number;
  pid: number;
}
/** By core, inode and owner; flock and fcntl owners are different. */
const ownersOf = new WeakMap<ReactorCore, Map<Inode, Map<string, Owner>>>();
function owners(core: ReactorCore, inode: Inode): Map<string, Owner> {
  let ofCore = ownersOf.get(core);
  if (ofCore === undefined) {
    ofCore = new Map();
    ownersOf.set(core, ofCore);
  }
  let ofInode = ofCore.get(inode);
  if (ofInode === undefined) {
    ofInode = new Map();
    ofCore.set(inode, ofInode);
  }
  return ofInode;
}
const keyOf = (owner: bigint, isFlock: boolean) => `${owner}${isFlock ? "f" : ""}`;

export function lockDescriptors(core: ReactorCore): number[] {
  return [...(ownersOf.get(core)?.values() ?? [])].flatMap((ofInode) => [...ofInode.values()].map((owner) => owner.fd));
}

/** A close by that owner: its locks of ranges go (POSIX). */
export function dropOwnerLocks(core: ReactorCore, inode: Inode, owner: bigint): void {
  drop(core, inode, keyOf(owner, false));
}
/** The open file itself is gone. */
export function dropLocksOfOpen(core: ReactorCore, inode: Inode, fh: number): void {
  for (const [key, owner] of ownersOf.get(core)?.get(inode) ?? []) if (owner.fh === fh) drop(core, inode, key);
}
function drop(core: ReactorCore, inode: Inode, key: string): void {
  const ofInode = ownersOf.get(core)?.get(inode);
  const found = ofInode?.get(key);
  if (ofInode === undefined || found === undefined) return;
  ofInode.delete(key);
  if (ofInode.size === 0) ownersOf.get(core)?.delete(inode);
  core.closeLater(found.fd);
  core.inodes.unpin(inode);
}

/** The whole of one flock, or the user's range as far as it is the user's; undefined: nothing is left of it. */
function fill(lock: LockRange, isFlock: boolean): LockRequest | undefined {
  const type = typeOf[lock.type];
  if (type === undefined) return undefined;
  if (isFlock) return lockRequest.fill(type, FLOCK_BYTE, 1n);
  const range = clipUserRange(lock.start, lock.end);
  return range === undefined ? undefined : lockRequest.fill(type, range.start, range.length);
}

function* ownerOf(core: ReactorCore, inode: Inode, request: RequestOf<"getlk" | "setlk" | "setlkw">): Steps<Owner | number> {
  const known = owners(core, inode);
  const key = keyOf(request.owner, (request.flags & LOCK_IS_FLOCK) !== 0);
  const found = known.get(key);
  if (found !== undefined) return found;
  const pathFd = yield* core.pathFd(inode);
  if (pathFd < 0) return pathFd;
  let fd = yield* core.call("reopen", pathFd, files.open.readWrite);
  if (fd < 0) fd = yield* core.call("reopen", pathFd, files.open.readOnly);
  if (fd < 0) return fd;
  const made = { fd, fh: request.fh, pid: request.lock.pid };
  known.set(key, made);
  core.inodes.pin(inode);
  return made;
}

export function* getlk(core: ReactorCore, task: Task, request: RequestOf<"getlk">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  const isFlock = (request.flags & LOCK_IS_FLOCK) !== 0;
  const owner = yield* ownerOf(core, inode, request);
  if (typeof owner === "number") return owner;
  const asked = fill(request.lock, isFlock);
  const result = asked === undefined ? 0 : getLock(owner.fd, asked);
  if (result < 0) return result;
  const conflict = asked?.conflict;
  const reply = core.reply.begin(request.header.unique);
  if (conflict === undefined) reply.u64(request.lock.start).u64(request.lock.end).u32(2).u32(0);
  else {
    const end = conflict.length === 0n ? 0x7fff_ffff_ffff_ffffn : conflict.start + conflict.length - 1n;
    reply.u64(conflict.start).u64(end).u32(conflict.type === "read" ? 0 : 1).u32(otherPid(core, inode, owner));
  }
  core.send(reply.finish());
  return undefined;
}
/** OFD locks have no pid; where one other owner of this node can be meant, it is told. */
function otherPid(core: ReactorCore, inode: Inode, owner: Owner): number {
  const others = [...owners(core, inode).values()].filter((other) => other !== owner);
  return others.length === 1 ? others[0]!.pid : 0;
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
  const isFlock = (request.flags & LOCK_IS_FLOCK) !== 0;
  const isUnlock = typeOf[request.lock.type] === "unlock";
  if (isUnlock && !owners(core, inode).has(keyOf(request.owner, isFlock))) return 0;
  const owner = yield* ownerOf(core, inode, request);
  if (typeof owner === "number") return owner;
  owner.pid = request.lock.pid;
  for (;;) {
    const asked = fill(request.lock, isFlock);
    if (asked === undefined) return 0;
    const result = setLock(owner.fd, asked);
    if (result >= 0) break;
    if (result !== -errno.EAGAIN && result !== -errno.EACCES) return result;
    if (!waits) return -errno.EAGAIN;
    if ((yield* waitABit(core, task, isFlock)) < 0) return -errno.EINTR;
  }
  if (!isUnlock) yield* core.pages.dropped(inode);
  return 0;
}

function* waitABit(core: ReactorCore, task: Task, isFlock: boolean): Steps<number> {
  task.hold ??= { sinceMs: core.timers.nowMs, cause: "lock", detail: isFlock ? "somebody's flock" : "somebody's lock of a range", handle: undefined };
  task.isInterruptible = true;
  core.timers.after(LOOK_AGAIN_MS, () => {
    if (!task.isSuspended || !task.isInterruptible) return;
    task.isSuspended = false;
    core.wake(task, 0);
  });
  const result = (yield* core.suspend()) as number;
  task.isInterruptible = false;
  return result;
}
