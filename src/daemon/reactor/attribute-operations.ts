/**
 * Operations on attributes: stat, chmod, chown, truncate, times, extended attributes, the file system's numbers.
 *
 * While a file is not resident, users see the record's size and times, and what they set goes to backing and record
 * (safety H12). Our own attributes are hidden from everybody; some virtual ones tell a path's handle and state.
 *
 * Source    safety H7, H10, H12, H15; XDSM 3.5 (attribute event).
 */
import type { PreEvent } from "../../cluster/admission/operation.js";
import { attributeBits } from "../../fuse/codec/constants.js";
import type { RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { fileTypes } from "../../os/stat.js";
import { changerOf } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import { changedBefore } from "./done-before.js";
import type { Inode } from "./inode-table.js";
import { changeFace, isRoot, shownStatx } from "./root-face.js";
import { truncateShown, updateShown } from "./shown-attributes.js";
import type { Steps, Task } from "./task.js";
import { isCapable } from "./user-process.js";

export function* getattr(core: ReactorCore, task: Task, request: RequestOf<"getattr">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  return yield* replyAttributes(core, inode, request.header.unique, true);
}
/** @param isQuestion for the kernel asks; it does not write back what is mapped before a change of attributes is answered. */
function* replyAttributes(core: ReactorCore, inode: Inode, unique: bigint, isQuestion = false): Steps {
  const looked = yield* core.look(inode);
  if (typeof looked === "number") return looked;
  core.records.seen(inode, looked.stored);
  if (isQuestion && inode.cachedOpens > 0) yield* core.keptPages.compare(inode, looked.statx);
  const shown = yield* shownStatx(core, inode, looked.statx);
  core.send(core.reply.begin(unique).attributeReply(shown, looked.stored?.record?.virtual, core.keptNames.attributesMs(inode, looked)).finish());
  return undefined;
}
export function* statx(core: ReactorCore, task: Task, request: RequestOf<"statx">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  const looked = yield* core.look(inode);
  if (typeof looked === "number") return looked;
  const shown = yield* shownStatx(core, inode, looked.statx);
  core.send(core.reply.begin(request.header.unique).statxReply(shown, looked.stored?.record?.virtual, core.keptNames.attributesMs(inode, looked)).finish());
  return undefined;
}

export function* setattr(core: ReactorCore, task: Task, request: RequestOf<"setattr">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  task.inode = inode;
  const handle = core.handleOf(inode);
  const has = (bit: number) => (request.valid & bit) !== 0;
  const before = changedBefore(core, task);
  if (before !== undefined) {
    if (before < 0) return before;
    core.tell(task, "attribute", () => ({ type: "attribute", handle }));
    yield* core.toldAgain(task, [{ type: "attribute", lists: [handle] }]);
    return yield* replyAttributes(core, inode, request.header.unique);
  }
  const isRegular = inode.type === fileTypes.regular;
  const waited = yield* core.keptNames.mayChange(task, [inode]);
  if (waited < 0) return waited;
  const setsBackMtime = isRegular && has(attributeBits.mtime) && !has(attributeBits.mtimeNow) && core.options.mode === "fast";
  if (setsBackMtime) {
    const told = yield* dropPagesElsewhere(core, task, inode);
    if (told < 0) return told;
  }
  core.tell(task, "attribute", () => ({ type: "attribute", handle }));
  const events: PreEvent[] = has(attributeBits.size) ? [{ kind: "data", type: "truncate", handle, offset: request.size, length: 0 }] : [];
  const needsGuard = isRegular && (has(attributeBits.size | attributeBits.atime | attributeBits.mtime) || (yield* isPartial(core, inode)));
  const refused = yield* core.admit(task, [core.useOf(inode, "change", needsGuard)], events);
  if (refused < 0) return refused;
  let result: number;
  for (;;) {
    if (has(attributeBits.size)) core.journal.begin(task);
    result = yield* change(core, inode, request);
    if (result !== -errno.ENOSPC) break;
    const again = yield* core.admitWithSpace(task);
    if (again < 0) return again;
  }
  core.journal.done(task, result);
  core.keptPages.changedHere(inode);
  yield* core.ran(task, result < 0 ? [] : [{ type: "attribute", lists: [handle] }]);
  core.guardDone(inode);
  if (result < 0) return result;
  if (setsBackMtime) {
    // What was filled since then, and overwritten before the change, would look current by its mtime.
    const told = yield* dropPagesElsewhere(core, task, inode);
    if (told < 0) return told;
  }
  return yield* replyAttributes(core, inode, request.header.unique);
}

/** Then its record has to follow, under the guard; else a change of mode or owner leaves the mark alone. */
function* isPartial(core: ReactorCore, inode: Inode): Steps<boolean> {
  const looked = yield* core.look(inode);
  return typeof looked === "number" || looked.stored === undefined || looked.stored.record?.residency === "partial";
}

/** Pages elsewhere are believed by size and mtime: who sets the mtime back must have them dropped before and after (safety H7). */
function* dropPagesElsewhere(core: ReactorCore, task: Task, inode: Inode): Steps<number> {
  core.pages.drop(inode, 0, 0);
  const work = { kind: "drop-pages", handle: core.handleOf(inode) } as const;
  return yield* core.waits.awaitMain(task, "the other members drop their pages", (operation) => core.post({ kind: "round-wanted", work, operation }));
}

function* change(core: ReactorCore, inode: Inode, request: RequestOf<"setattr">): Steps<number> {
  const { valid } = request;
  const has = (bit: number) => (valid & bit) !== 0;
  const fd = yield* core.pathFd(inode);
  if (fd < 0) return fd;
  if (has(attributeBits.size)) {
    if (inode.type !== fileTypes.regular) return -errno.EINVAL;
    const result = yield* truncateShown(core, inode, request.size, has(attributeBits.killSuidgid) ? changerOf(request) : undefined);
    if (result < 0) return result;
  }
  // Nothing is to be set: somebody's change of data, or a chown without an owner, takes the set-id bits.
  if ((valid & SETTABLE) === 0 && !isRoot(inode)) return yield* core.call("touchOwner", fd, changerOf(request));
  const notOwner = yield* refusalOfStranger(core, inode, fd, request);
  if (notOwner < 0) return notOwner;
  const isFace = isRoot(inode) && has(attributeBits.uid | attributeBits.gid | attributeBits.mode);
  if (isFace) {
    const result = yield* changeFace(core, request);
    if (result < 0) return result;
  }
  if (!isFace && has(attributeBits.uid | attributeBits.gid)) {
    const uid = has(attributeBits.uid) ? request.uid : 0xffffffff;
    const gid = has(attributeBits.gid) ? request.gid : 0xffffffff;
    const result = yield* core.call("changeOwner", fd, uid, gid);
    if (result < 0) return result;
  }
  if (!isFace && has(attributeBits.mode)) {
    const result = yield* core.call("changeMode", fd, request.mode);
    if (result < 0) return result;
  }
  if (has(attributeBits.atime | attributeBits.mtime)) {
    const atime = timeOf(has(attributeBits.atime), has(attributeBits.atimeNow), request.atimeNs);
    const mtime = timeOf(has(attributeBits.mtime), has(attributeBits.mtimeNow), request.mtimeNs);
    const result = yield* core.call("changeTimes", fd, atime, mtime);
    if (result < 0) return result;
    yield* showTimes(core, inode, atime, mtime);
  } else if (has(attributeBits.mode | attributeBits.uid | attributeBits.gid)) yield* showTimes(core, inode, "omit", "omit");
  return 0;
}
/** The kernel checks by the owner it knows; through a descriptor it does not ask whether another node has changed that. */
function* refusalOfStranger(core: ReactorCore, inode: Inode, fd: number, { header, valid }: RequestOf<"setattr">): Steps<number> {
  const bits = valid & SETTABLE;
  const isNow = (valid & attributeBits.atimeNow) !== 0 && (valid & attributeBits.mtimeNow) !== 0; // whoever may write may do that
  const isOwners = (bits & (attributeBits.mode | attributeBits.uid | attributeBits.gid)) !== 0 || ((bits & (attributeBits.atime | attributeBits.mtime)) !== 0 && !isNow);
  if (header.uid === 0 || !isOwners || (bits & attributeBits.size) !== 0 || isRoot(inode)) return 0;
  const looked = yield* core.call("look", fd, inode.own, core.metaFd);
  if (typeof looked === "number") return looked;
  if (Buffer.from(looked.statx).readUInt32LE(UID_AT) === header.uid || isCapable(header.pid, CAP_CHOWN, CAP_FOWNER)) return 0;
  core.pages.expireAttributes(inode);
  return -errno.EPERM;
}
/** Of struct statx. */
const UID_AT = 20;
const CAP_CHOWN = 0;
const CAP_FOWNER = 3;

const SETTABLE = attributeBits.mode | attributeBits.uid | attributeBits.gid | attributeBits.size | attributeBits.atime | attributeBits.mtime;
function timeOf(isSet: boolean, isNow: boolean, ns: bigint): files.TimeChange {
  return !isSet ? "omit" : isNow ? "now" : ns;
}
/** Of a file that is not resident: its record shows the times, so it has to follow. */
function* showTimes(core: ReactorCore, inode: Inode, atime: files.TimeChange, mtime: files.TimeChange): Steps<void> {
  const record = core.admission.recordOf(core.handleOf(inode));
  const guardFd = core.guards.fdOf(inode);
  if (record?.residency !== "partial" || record.virtual === undefined || guardFd < 0) return;
  const now = BigInt(Date.now()) * 1_000_000n;
  const shown = (time: files.TimeChange) => (time === "now" ? now : time === "omit" ? undefined : time);
  const atimeNs = shown(atime);
  const mtimeNs = shown(mtime);
  yield* updateShown(core, inode, { ctimeNs: now, ...(atimeNs === undefined ? {} : { atimeNs }), ...(mtimeNs === undefined ? {} : { mtimeNs }) });
}

// Extended attributes.

/** For root alone, ours among them. */
const TRUSTED_PREFIX = "trusted.";
const OWN_PREFIX = "trusted.sluice";
const HANDLE_ATTRIBUTE = "system.sluice.handle";
const FS_ATTRIBUTE = "system.sluice.fs";
const ACCESS_ACL = "system.posix_acl_access";
const STATE_ATTRIBUTE = "user.sluice.state";
const isVirtual = (name: string) => name === HANDLE_ATTRIBUTE || name === FS_ATTRIBUTE || name === STATE_ATTRIBUTE;

export function* getxattr(core: ReactorCore, task: Task, request: RequestOf<"getxattr">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  if (request.name.startsWith(OWN_PREFIX)) return -errno.ENODATA;
  const fd = yield* core.pathFd(inode);
  if (fd < 0) return fd;
  const value = isVirtual(request.name) ? yield* virtualValue(core, inode, fd, request) : yield* core.call("getAttribute", fd, request.name, request.size);
  return replyValue(core, request.header.unique, request.size, value);
}
function* virtualValue(core: ReactorCore, inode: Inode, fd: number, request: RequestOf<"getxattr">): Steps<Uint8Array | number> {
  if (request.name === STATE_ATTRIBUTE) {
    if (inode.type !== fileTypes.regular) return -errno.ENODATA;
    const stored = yield* core.call("loadRecord", fd, inode.own, core.metaFd);
    return typeof stored === "number" ? stored : Buffer.from(stored.record?.residency ?? "resident");
  }
  if (request.header.uid !== 0) return -errno.EPERM;
  return Buffer.from(request.name === FS_ATTRIBUTE ? core.handles.fsHandle : core.handleOf(inode));
}
/** `value` a number: a failure, or the length asked for with size 0. */
function replyValue(core: ReactorCore, unique: bigint, size: number, value: Uint8Array | number): number | undefined {
  if (typeof value === "number" && value < 0) return value;
  const length = typeof value === "number" ? value : value.length;
  const reply = core.reply.begin(unique);
  if (size === 0 || typeof value === "number") core.send(reply.u32(length).u32(0).finish());
  else if (length > size) return -errno.ERANGE;
  else core.send(reply.data(value).finish());
  return undefined;
}

export function* listxattr(core: ReactorCore, task: Task, request: RequestOf<"listxattr">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  const fd = yield* core.pathFd(inode);
  const names = fd < 0 ? fd : yield* core.call("listAttributes", fd, request.header.uid === 0 ? [OWN_PREFIX] : [TRUSTED_PREFIX]);
  return replyValue(core, request.header.unique, request.size, names);
}
export function* setxattr(core: ReactorCore, task: Task, request: RequestOf<"setxattr">): Steps {
  return yield* changeAttribute(core, task, request);
}
export function* removexattr(core: ReactorCore, task: Task, request: RequestOf<"removexattr">): Steps {
  return yield* changeAttribute(core, task, request);
}
function* changeAttribute(core: ReactorCore, task: Task, request: RequestOf<"setxattr"> | RequestOf<"removexattr">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  task.inode = inode;
  if (request.name.startsWith(OWN_PREFIX) || isVirtual(request.name)) return -errno.EPERM;
  if (isRoot(inode) && request.name === ACCESS_ACL) return -errno.EOPNOTSUPP; // it would open the backing's own root
  const handle = core.handleOf(inode);
  const before = changedBefore(core, task);
  if (before !== undefined) return Math.min(before, 0);
  core.tell(task, "attribute", () => ({ type: "attribute", handle }));
  const waited = yield* core.keptNames.mayChange(task, [inode]);
  if (waited < 0) return waited;
  const refused = yield* core.admit(task, [core.useOf(inode, "change")], []);
  if (refused < 0) return refused;
  const fd = yield* core.pathFd(inode);
  core.journal.begin(task);
  let result = fd;
  if (fd >= 0 && request.kind === "removexattr") result = yield* core.call("removeAttribute", fd, request.name);
  else if (fd >= 0 && request.kind === "setxattr") {
    const value = task.data;
    result = typeof value === "number" ? value : yield* core.call("setAttribute", fd, request.name, value, request.flags, (request.extraFlags & 1) !== 0);
  }
  if (task.past?.state === "begun") result = yield* asIfOnce(core, task, request, fd, result);
  core.journal.done(task, result);
  if (result >= 0) core.pages.expireAttributes(inode); // its ctime
  const isAcl = request.name.startsWith("system.posix_acl");
  yield* core.ran(task, result >= 0 && isAcl ? [{ type: "attribute", lists: [handle] }] : []);
  return Math.min(result, 0);
}

/** An earlier daemon had begun with it: what is there already, or gone, is its doing. */
function* asIfOnce(core: ReactorCore, task: Task, request: RequestOf<"setxattr"> | RequestOf<"removexattr">, fd: number, result: number): Steps<number> {
  if (request.kind === "removexattr") return result === -errno.ENODATA ? 0 : result;
  if (result !== -errno.EEXIST) return result;
  const there = yield* core.call("getAttribute", fd, request.name, XATTR_SIZE_MAX);
  const value = task.data;
  return typeof there !== "number" && typeof value !== "number" && Buffer.from(there).equals(value) ? 0 : result;
}
const XATTR_SIZE_MAX = 65536;

// Flags of objects, as chattr(1) sets them.

const flagCommands = { getFlags: 0x80086601, setFlags: 0x40086602, getExtended: 0x801c581f, setExtended: 0x401c5820 } as const;
const IMMUTABLE_OR_APPEND = 0x30;
/** The same two in struct fsxattr. */
const EXTENDED_IMMUTABLE_OR_APPEND = 0x18;

/** The kernel has checked who may. Other commands are none of ours. */
export function* ioctl(core: ReactorCore, task: Task, request: RequestOf<"ioctl">): Steps {
  const { command, data } = request;
  const isGet = command === flagCommands.getFlags || command === flagCommands.getExtended;
  if (!isGet && command !== flagCommands.setFlags && command !== flagCommands.setExtended) return -errno.ENOTTY;
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  if (!isGet && isRoot(inode)) return -errno.EOPNOTSUPP; // it would be the backing's own root
  task.inode = inode;
  const handle = core.handleOf(inode);
  core.tell(task, "attribute", () => ({ type: "attribute", handle }));
  const waited = isGet ? 0 : yield* core.keptNames.mayChange(task, [inode]);
  if (waited < 0) return waited;
  const refused = isGet ? 0 : yield* core.admit(task, [core.useOf(inode, "change")], []);
  if (refused < 0) return refused;
  const fd = yield* core.pathFd(inode);
  const bars = !isGet && data.length >= 4 && (Buffer.from(data).readUInt32LE(0) & (command === flagCommands.setFlags ? IMMUTABLE_OR_APPEND : EXTENDED_IMMUTABLE_OR_APPEND)) !== 0;
  let result: Uint8Array | number = fd;
  // A stub that nobody may write could never be recalled.
  if (fd >= 0 && bars && inode.type === fileTypes.regular && (yield* isPartial(core, inode))) result = -errno.EOPNOTSUPP;
  else if (fd >= 0) result = yield* core.call("fileFlags", fd, command, data);
  if (!isGet && typeof result !== "number") core.pages.expireAttributes(inode); // its ctime
  if (!isGet) yield* core.ran(task, typeof result === "number" ? [] : [{ type: "attribute", lists: [handle] }]);
  if (typeof result === "number") return result;
  core.send(core.reply.begin(request.header.unique).u32(0).u32(0).u32(0).u32(0).data(result.subarray(0, request.outSize)).finish());
  return undefined;
}

// The file system.

export function* statfs(core: ReactorCore, _task: Task, request: RequestOf<"statfs">): Steps {
  const found = yield* core.call("statfs", core.rootFd);
  if (typeof found === "number") return found;
  const from = Buffer.from(found.bytes);
  const reply = core.reply.begin(request.header.unique);
  reply.data(from.subarray(16, 56)); // blocks, free, available, files, files free
  reply.u32(Number(from.readBigInt64LE(8))).u32(Number(from.readBigInt64LE(64))).u32(Number(from.readBigInt64LE(72))).u32(0);
  for (let i = 0; i < 6; i++) reply.u32(0);
  core.send(reply.finish());
  return undefined;
}
export function* syncfs(core: ReactorCore): Steps {
  const fd = files.dup(core.rootFd);
  if (fd < 0) return fd;
  const result = yield* core.callAside("syncAll", fd);
  core.closeLater(fd);
  return result;
}
