/**
 * What touches the data of open files: read, write, allocate, copy, seek, sync.
 *
 * Writes and allocations run under the node's shared guard, on its one descriptor of the file; reads look at the record's
 * generation again after the data and before the reply.
 *
 * Source    safety C1, C3, C5, H7, H9; XDSM 6.
 */
import { regionFlags } from "../../dmapi/regions.js";
import { FSYNC_DATA_ONLY, READ_LOCKOWNER, READ_SIZE_MAX, writeFlags } from "../../fuse/codec/constants.js";
import type { RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { peekGeneration } from "../../volume/record.js";
import { changerOf } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import { appendedBefore, changedBefore } from "./done-before.js";
import type { Inode } from "./inode-table.js";
import { showGrowth } from "./shown-attributes.js";
import type { Steps, Task } from "./task.js";

export function* read(core: ReactorCore, task: Task, request: RequestOf<"read">): Steps {
  const file = core.opens.get(request.fh);
  if (file === undefined) return -errno.EBADF;
  const inode = core.useInode(task, file.inode);
  task.inode = inode;
  const handle = core.handleOf(inode);
  const isFill = (request.readFlags & READ_LOCKOWNER) === 0;
  const size = Math.min(request.size, READ_SIZE_MAX);
  const passesFences = isFill && inode.invalidating > 0;
  const fill = { offset: request.offset, size };
  if (isFill) {
    inode.lockedRanges.add(fill);
    inode.mayHavePages = true;
  }
  let verdict = yield* core.admit(task, [core.useOf(inode, "read")], [{ kind: "data", type: "read", handle, offset: request.offset, length: size }], { passesFences });
  let result: number | Uint8Array = verdict;
  while (verdict >= 0) {
    const reader = yield* core.borrowReader(inode);
    if (typeof reader === "number") result = reader;
    else {
      const generation = core.generationUnder(task, inode);
      if (core.isLocal) yield* core.keptNames.mayRead(task, inode, true);
      const here = core.isLocal ? readHere(core, request, reader.fd, size, generation) : "aside";
      if (here === "aside") yield* core.keptNames.mayRead(task, inode, false);
      result = here === "aside" ? yield* core.callAside("read", reader.fd, size, request.offset, generation) : here;
      core.returnReader(reader);
    }
    if (result !== -errno.EAGAIN) break;
    verdict = yield* core.admitAgain(task);
    result = verdict;
  }
  // Nothing may wait between reading into the reply buffer and sending it: a read has no post events.
  if (verdict >= 0) core.step({ kind: "operation-ran", operation: task.operation!, events: [] });
  if (typeof result === "number" && result < 0) {
    core.send(core.reply.error(request.header.unique, -result));
  } else {
    if (typeof result !== "number") core.reply.begin(request.header.unique).data(result);
    core.send(core.reply.finish());
    if (isFill) dropFilled(core, inode, request.offset, size);
  }
  if (isFill) core.pages.rangeAnswered(inode, fill); // answered: its pages are locked no more
  return undefined;
}
/** Straight into the reply, where the bytes lie in memory; "aside" where the disk has to be waited for (safety H1). */
function readHere(core: ReactorCore, request: RequestOf<"read">, fd: number, size: number, generation: number): number | "aside" {
  core.reply.begin(request.header.unique);
  let length = readInMemory(fd, core.reply.bytes, core.reply.length, size, request.offset);
  if (length === -errno.EOPNOTSUPP) length = files.pread(fd, core.reply.room(size), 0, size, request.offset);
  if (length === -errno.EAGAIN) return "aside";
  if (length < 0) return length;
  const now = peekGeneration({ fd });
  if (now < 0 || now > generation) return now < 0 ? now : -errno.EAGAIN;
  core.reply.advance(length);
  return length;
}
/** Fewer bytes than asked for are all there are. */
function readInMemory(fd: number, into: Buffer, at: number, size: number, offset: number): number {
  const length = files.preadv2At(fd, into, at, size, offset, files.RWF_NOWAIT);
  if (length <= 0 || length === size) return length;
  const more = files.preadv2At(fd, into, at + length, size - length, offset + length, files.RWF_NOWAIT);
  return more === 0 ? length : -errno.EAGAIN;
}
/** splice, sendfile and readahead fill pages also of direct opens; where reads are watched, the next must ask again. */
function dropFilled(core: ReactorCore, inode: Inode, offset: number, size: number): void {
  const record = core.admission.recordOf(core.handleOf(inode));
  if (record?.regions.some((region) => (region.flags & regionFlags.read) !== 0)) core.pages.drop(inode, offset, size);
}

/** A cached write keeps its pages locked in the kernel until it is answered, like a fill (safety C6). */
export function* write(core: ReactorCore, task: Task, request: RequestOf<"write">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  task.inode = inode;
  const isWriteback = (request.writeFlags & writeFlags.cache) !== 0;
  if (!isWriteback && core.opens.get(request.fh)?.mode === "direct") return yield* writeOut(core, task, request, inode, { isWriteback });
  const range = { offset: request.offset, size: request.data.length };
  const passesFences = inode.invalidating > 0;
  inode.lockedRanges.add(range);
  const result = yield* writeOut(core, task, request, inode, { isWriteback, passesFences });
  if (result !== undefined) core.send(core.reply.error(request.header.unique, -result));
  core.pages.rangeAnswered(inode, range);
  return undefined;
}
function* writeOut(core: ReactorCore, task: Task, request: RequestOf<"write">, inode: Inode, how: { isWriteback: boolean; passesFences?: boolean }): Steps {
  const { isWriteback } = how;
  const handle = core.handleOf(inode);
  if (inode.writableOpens === 0) yield* core.keptNames.mayChange(task, [inode], false); // of a mapping whose file was closed
  const appends = !isWriteback && (request.flags & files.open.append) !== 0;
  const before = task.past === undefined ? undefined : changedBefore(core, task) ?? (appends ? yield* appendedBefore(core, task, inode) : undefined);
  if (before !== undefined) {
    if (before < 0) return before;
    core.pages.expireAttributes(inode);
    if (appends) yield* showEnd(core, inode, request);
    core.send(core.reply.begin(request.header.unique).u32(before).u32(0).finish());
    return undefined;
  }
  const length = request.data.length;
  const offset = appends ? yield* endOf(core, inode, request.offset) : request.offset;
  let verdict = yield* core.admit(task, [core.useOf(inode, "change", true)], [{ kind: "data", type: "write", handle, offset, length }], how);
  if (verdict < 0) return verdict;
  const dropsFor = (request.writeFlags & writeFlags.killSuidgid) === 0 ? undefined : changerOf(request);
  let written: number;
  let end = 0;
  for (;;) {
    const fd = core.guards.fdOf(inode);
    if (appends) ({ written, end } = yield* appendTo(core, task, fd));
    else if (core.guards.onlyAppends(inode)) written = -errno.EPERM;
    else {
      const { data } = task;
      core.journal.begin(task);
      written = typeof data === "number" ? data : yield* core.keptPages.write(inode, fd, data, request.offset, dropsFor);
      end = request.offset + written;
    }
    if (written === -errno.EINTR) continue;
    if (written !== -errno.ENOSPC || isWriteback) break;
    verdict = yield* core.admitWithSpace(task);
    if (verdict < 0) return verdict;
  }
  core.journal.done(task, written);
  if (appends) core.keptPages.changedHere(inode);
  core.keptPages.wrote(inode);
  if (written > 0) written = yield* showGrowth(core, inode, end, written);
  if (written > 0 && (request.flags & (files.open.sync | files.open.dataSync)) !== 0) {
    const synced = yield* syncAside(core, files.dup(core.guards.fdOf(inode)), (request.flags & files.open.sync) !== files.open.sync);
    if (synced < 0) written = synced;
  }
  yield* core.ran(task);
  core.guardDone(inode);
  if (written < 0) return written;
  if (appends && end !== request.offset + written) yield* showEnd(core, inode, request);
  core.send(core.reply.begin(request.header.unique).u32(written).u32(0).finish());
  return undefined;
}
/**
 * Before an append is answered that ended elsewhere than the kernel thinks: else its user, and whoever reads pages, would not
 * find it in the file. A cached append has its pages locked until it is answered; the kernel asks for the size then.
 */
function* showEnd(core: ReactorCore, inode: Inode, { offset, fh }: RequestOf<"write">): Steps<void> {
  inode.isWrittenElsewhere = true;
  if (core.opens.get(fh)?.mode === "direct") return yield* core.keptPages.refresh(inode, offset);
  core.pages.expireAttributes(inode);
  core.pages.drop(inode, offset, 0);
}
function* endOf(core: ReactorCore, inode: Inode, asked: number): Steps<number> {
  const looked = yield* core.look(inode);
  return typeof looked === "number" ? asked : Number(Buffer.from(looked.statx).readBigUInt64LE(40));
}
/** The kernel computed the offset from the size it knows; another node may have grown the file since (safety H9, V10). */
function* appendTo(core: ReactorCore, task: Task, fd: number): Steps<{ written: number; end: number }> {
  const request = task.request as RequestOf<"write">;
  const dropsFor = (request.writeFlags & writeFlags.killSuidgid) === 0 ? undefined : changerOf(request);
  for (;;) {
    if (core.memory !== undefined) core.journal.begin(task, yield* core.call("sizeOf", fd));
    const { data } = task;
    const appended = typeof data === "number" ? data : yield* core.call("append", fd, data, dropsFor, !core.isLocal);
    if (appended === -errno.EAGAIN) {
      yield* core.sleep(1);
      continue;
    }
    return typeof appended === "number" ? { written: appended, end: 0 } : appended;
  }
}

export function* fallocate(core: ReactorCore, task: Task, request: RequestOf<"fallocate">): Steps {
  const file = core.opens.get(request.fh);
  if (file === undefined) return -errno.EBADF;
  const inode = core.useInode(task, file.inode);
  task.inode = inode;
  const handle = core.handleOf(inode);
  const before = changedBefore(core, task);
  if (before !== undefined) return Math.min(before, 0);
  let verdict = yield* core.admit(
    task, [core.useOf(inode, "change", true)],
    [{ kind: "data", type: "write", handle, offset: request.offset, length: request.length }],
  );
  if (verdict < 0) return verdict;
  let result: number;
  for (;;) {
    core.journal.begin(task);
    result = yield* core.callAside("allocate", core.guards.fdOf(inode), request.mode, request.offset, request.length);
    if (result === -errno.EINTR) continue;
    if (result !== -errno.ENOSPC) break;
    verdict = yield* core.admitWithSpace(task);
    if (verdict < 0) return verdict;
  }
  core.journal.done(task, result);
  core.keptPages.changedHere(inode);
  if (result >= 0) result = yield* showGrowth(core, inode, (request.mode & files.FALLOC_KEEP_SIZE) !== 0 ? 0 : request.offset + request.length, result);
  yield* core.ran(task);
  return Math.min(result, 0);
}

export function* copyFileRange(core: ReactorCore, task: Task, request: RequestOf<"copyFileRange">): Steps {
  const from = core.opens.get(request.fh)?.inode;
  const to = core.opens.get(request.fhOut)?.inode;
  if (from === undefined || to === undefined) return -errno.EBADF;
  core.useInode(task, from);
  core.useInode(task, to);
  task.inode = to;
  const { length } = request;
  const before = changedBefore(core, task);
  if (before !== undefined) return before < 0 ? before : replyCopied(core, request, before);
  let verdict = yield* core.admit(
    task, [core.useOf(from, "read"), core.useOf(to, "change", true)],
    [
      { kind: "data", type: "read", handle: core.handleOf(from), offset: request.offset, length },
      { kind: "data", type: "write", handle: core.handleOf(to), offset: request.offsetOut, length },
    ],
  );
  let copied = verdict;
  while (verdict >= 0) {
    const reader = yield* core.borrowReader(from);
    if (typeof reader === "number") copied = reader;
    else {
      yield* core.keptNames.mayRead(task, from, false);
      core.journal.begin(task);
      copied = yield* core.callAside("copyRange", reader.fd, request.offset, core.guards.fdOf(to), request.offsetOut, length, core.generationUnder(task, from));
      core.returnReader(reader);
    }
    if (copied === -errno.EINTR) continue;
    if (copied === -errno.EAGAIN) verdict = yield* core.admitAgain(task);
    else if (copied === -errno.ENOSPC) verdict = yield* core.admitWithSpace(task);
    else break;
    if (verdict < 0) copied = verdict;
  }
  if (verdict < 0) return verdict;
  core.journal.done(task, copied);
  core.keptPages.changedHere(to);
  if (copied > 0) core.pages.expireAttributes(from); // its time of access
  if (copied > 0) copied = yield* showGrowth(core, to, request.offsetOut + copied, copied);
  yield* core.ran(task);
  return copied < 0 ? copied : replyCopied(core, request, copied);
}
function replyCopied(core: ReactorCore, request: RequestOf<"copyFileRange">, copied: number): undefined {
  const reply = core.reply.begin(request.header.unique);
  core.send((request.is64 ? reply.u64(copied) : reply.u32(copied).u32(0)).finish());
  return undefined;
}

export function* lseek(core: ReactorCore, task: Task, request: RequestOf<"lseek">): Steps {
  const file = core.opens.get(request.fh);
  if (file === undefined) return -errno.EBADF;
  const inode = core.useInode(task, file.inode);
  let result: number;
  do result = yield* seekOnce(core, inode, request);
  while (result === -errno.EAGAIN);
  if (result < 0) return result;
  core.send(core.reply.begin(request.header.unique).u64(result).finish());
  return undefined;
}
/** Never held, so no round waits for it: a hole that came with a newer record is nobody's hole. -EAGAIN: look again. */
function* seekOnce(core: ReactorCore, inode: Inode, { offset, whence }: RequestOf<"lseek">): Steps<number> {
  const looked = yield* core.look(inode);
  if (typeof looked === "number") return looked;
  const { stored } = looked;
  if (stored === undefined) return -errno.EIO;
  if (stored.record?.residency === "partial") {
    // Its holes on disk are not its holes: all of it is data (a stub looks whole).
    const size = stored.record.virtual?.size ?? Number(Buffer.from(looked.statx).readBigUInt64LE(40));
    return offset >= size ? -errno.ENXIO : whence === files.SEEK_HOLE ? size : offset;
  }
  core.records.seen(inode, stored);
  const fd = yield* core.reopen(inode.pathFd, files.open.readOnly | files.open.nonBlocking);
  if (fd < 0) return fd;
  const result = yield* core.call("seek", fd, offset, whence, stored.generation);
  core.closeLater(fd);
  return result;
}

export function* fsync(core: ReactorCore, task: Task, request: RequestOf<"fsync">): Steps {
  const file = core.opens.get(request.fh);
  if (file === undefined) return -errno.EBADF;
  const inode = core.useInode(task, file.inode);
  const isDataOnly = (request.flags & FSYNC_DATA_ONLY) !== 0;
  const guarded = core.guards.fdOf(inode);
  if (guarded >= 0) return yield* syncAside(core, files.dup(guarded), isDataOnly);
  const pathFd = yield* core.pathFd(inode);
  if (pathFd < 0) return pathFd;
  return yield* syncAside(core, yield* core.reopen(pathFd, files.open.readOnly | files.open.nonBlocking), isDataOnly);
}
/** `fd` is closed. */
export function* syncAside(core: ReactorCore, fd: number, isDataOnly: boolean): Steps<number> {
  if (fd < 0) return fd;
  const result = yield* core.callAside("sync", fd, isDataOnly);
  core.closeLater(fd);
  return result;
}
