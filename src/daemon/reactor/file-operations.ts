/**
 * Operations on open files: open, create, read, write, release and the rest that touches data.
 *
 * Writes, truncations and allocations run under the node's shared guard, on its one descriptor of the file; reads look at
 * the record's generation again after the data and before the reply.
 *
 * Source    safety C1, C3, C4, C5, H7, H9; XDSM 3.5, 6.
 */
import type { VirtualStat } from "../../dmapi/record.js";
import { regionFlags } from "../../dmapi/regions.js";
import { OPEN_KILL_SUIDGID, openReplyFlags, FSYNC_DATA_ONLY, READ_LOCKOWNER, READ_SIZE_MAX, writeFlags } from "../../fuse/codec/constants.js";
import type { ReplyBuffer } from "../../fuse/codec/reply.js";
import type { RequestHeader, RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { fileTypes } from "../../os/stat.js";
import { peekGeneration } from "../../volume/record.js";
import type { Changer, Found, VirtualChange } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import { appendedBefore, changedBefore, madeAs, madeBefore } from "./done-before.js";
import type { Inode } from "./inode-table.js";
import { dropLocksOfOpen, dropOwnerLocks } from "./lock-operations.js";
import { creationOf, creationTold } from "./namespace-operations.js";
import type { OpenFile } from "./open-files.js";
import type { Steps, Task } from "./task.js";

const { append, create: createFlag, exclusive, truncate } = files.open;
const DT_ACCESS_WRITE = 3;
const closing = ["close", "destroy"] as const;

// Opening.

export function* open(core: ReactorCore, task: Task, request: RequestOf<"open">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  task.inode = inode;
  return yield* openKnown(core, task, inode, request, (file) => opened(core, core.reply.begin(request.header.unique), file).finish());
}

type Opening = { readonly header: RequestHeader; readonly flags: number; readonly openFlags: number };

/** Opens what exists; an O_TRUNC in the flags truncates under the guard. */
function* openKnown(core: ReactorCore, task: Task, inode: Inode, request: Opening, reply: (file: OpenFile) => Buffer): Steps {
  if (inode.type !== fileTypes.regular) return -errno.ENXIO; // devices, pipes and sockets are opened by the kernel itself
  const handle = core.handleOf(inode);
  const isForWriting = (request.flags & DT_ACCESS_WRITE) !== 0;
  const isTruncated = (request.flags & truncate) !== 0 && changedBefore(core, task) !== undefined;
  const truncates = (request.flags & truncate) !== 0 && !isTruncated;
  core.tell(task, "attribute", () => ({ type: "attribute", handle }));
  const waited = isForWriting || truncates ? yield* core.keptNames.mayChange(task, [inode]) : 0;
  if (waited < 0) return waited;
  const refused = truncates
    ? yield* core.admit(task, [core.useOf(inode, "change", true)], [{ kind: "data", type: "truncate", handle, offset: 0, length: 0 }])
    : yield* core.admit(task, [core.useOf(inode, "look")], isForWriting ? [{ kind: "open-for-write", handle }] : []);
  if (refused < 0) return refused;
  let failed = yield* core.pathFd(inode);
  if (failed >= 0 && isForWriting && !truncates) failed = Math.min(0, yield* core.call("mayOpenForWriting", failed, request.flags));
  while (failed >= 0 && truncates) {
    core.journal.begin(task);
    failed = yield* truncateShown(core, inode, 0, (request.openFlags & OPEN_KILL_SUIDGID) !== 0 ? changerOf(request) : undefined);
    if (failed !== -errno.ENOSPC) break;
    failed = yield* core.admitWithSpace(task);
    if (failed < 0) return failed;
  }
  if (failed >= 0 && truncates) core.journal.done(task, 0);
  if (truncates) core.keptPages.changedHere(inode);
  // Pinned before the operation ends: the object stays reachable while it is open, named or not.
  if (failed >= 0) core.inodes.pin(inode);
  yield* core.ran(task, (truncates || isTruncated) && failed >= 0 ? [{ type: "attribute", lists: [handle] }] : []);
  if (failed < 0) return failed;
  const file = yield* addOpen(core, task, inode, request.flags);
  if (typeof file === "number") {
    core.inodes.unpin(inode);
    return file;
  }
  if (truncates) core.guardDone(inode);
  yield* dropOldPages(core, file);
  if (!core.send(reply(file))) closeFile(core, file);
  return undefined;
}

/** Where the kernel does not append by itself, appends are computed by us (safety H9), from their exact ranges. */
function* addOpen(core: ReactorCore, task: Task, inode: Inode, flags: number, isMade = false): Steps<OpenFile | number> {
  const before = task.past === undefined ? undefined : core.opens.get(task.past.fh);
  if (before !== undefined) {
    core.inodes.unpin(inode); // an open pins it once
    return before;
  }
  const isWritable = (flags & DT_ACCESS_WRITE) !== 0;
  // Of what was just made another kernel may know already.
  if (isWritable) yield* core.keptNames.mayChange(task, [inode], false);
  const isExact = core.options.mode === "exact" || (flags & append) !== 0 || isWrittenUnseen(inode);
  const mode = yield* core.openMode(task, inode, { isWritable, isExact });
  if (typeof mode === "number") return mode;
  const isReadUnseen = mode === "passthrough" && !isWritable && (yield* core.keptNames.opensToRead(task, inode));
  if (mode === "passthrough") core.backingFiles.used(inode, { isForWriting: isWritable, isReadUnseen, isEmpty: isMade && !task.hasWaited });
  if (isWritable || isReadUnseen) core.keptNames.opened(inode);
  if (inode.isUnlinked) core.keptOpens.unnamed(inode);
  else core.keptOpens.opened(inode);
  if (mode !== "cached") core.keptPages.passed(inode);
  const keepsPages = mode === "cached" && (yield* core.keptPages.mayStay(inode));
  if (mode === "cached" && !keepsPages) yield* core.keptPages.begin(inode);
  core.journal.opening(task, core.opens.next);
  const file = core.opens.add(inode, flags, mode);
  file.keepsPages = keepsPages;
  return file;
}
/**
 * Appends that we compute do not go through the kernel's pages: beside them it may show a page as it was filled before, with
 * zeros behind the old end, or end a read at a size it has not learnt yet. Beside writes of another node it may not learn of those. Who opens such a file reads what there is.
 */
function isWrittenUnseen(inode: Inode): boolean {
  return inode.directAppends > 0 || inode.isWrittenElsewhere;
}
function opened(core: ReactorCore, reply: ReplyBuffer, file: OpenFile): ReplyBuffer {
  if (file.mode === "passthrough") return reply.opened(file.fh, openReplyFlags.passthrough, core.backingFiles.idOf(file.inode));
  return reply.opened(file.fh, openFlagsOf(core, file));
}
/**
 * Without KEEP_CACHE the kernel drops the file's pages at each open, which is what keeps them true where others mount too (safety H7; kept-pages.ts). In doing so
 * it waits, unkillably, for pages locked by a held read: reads of direct opens can be held, so for those we drop the pages
 * ourselves, before the reply.
 */
function openFlagsOf(core: ReactorCore, file: OpenFile): number {
  if (file.mode === "direct") return openReplyFlags.directIo | openReplyFlags.keepCache;
  file.inode.mayHavePages = true;
  if (file.keepsPages && core.keptPages.areTrue(file.inode)) return openReplyFlags.keepCache;
  if (file.inode.lockedRanges.size === 0) {
    core.keptPages.dropped(file.inode);
    return 0;
  }
  core.keptPages.passed(file.inode);
  core.pages.drop(file.inode, 0, 0);
  return openReplyFlags.keepCache;
}
function* dropOldPages(core: ReactorCore, file: OpenFile): Steps<void> {
  const { inode } = file;
  if (file.mode !== "direct" || !inode.mayHavePages) return;
  if (inode.cachedOpens === 0) inode.mayHavePages = inode.lockedRanges.size > 0;
  yield* core.pages.dropped(inode);
}

export function* create(core: ReactorCore, task: Task, request: RequestOf<"create">): Steps {
  const directory = core.use(task, request.header.nodeid);
  if (directory === undefined) return -errno.ESTALE;
  if (core.isHidden(directory, request.name)) return -errno.EPERM;
  task.inode = directory;
  const waited = yield* core.keptNames.mayChange(task, [directory]);
  if (waited < 0) return waited;
  const told = creationTold(core, task, directory, request.name, (request.mode & 0o7777) | fileTypes.regular);
  const before = task.past === undefined ? undefined : yield* madeBefore(core, task, directory, request.name, madeAs(fileTypes.regular, creationOf(request)));
  const refused = yield* core.admit(task, [core.useOf(directory, "change")], before === undefined ? told.before : []);
  if (refused < 0) return refused;
  let made: { fd: number; found: Found } | number = typeof before === "object" ? { fd: -1, found: before } : (before ?? 0);
  while (before === undefined) {
    const directoryFd = yield* core.pathFd(directory);
    core.journal.begin(task);
    made = directoryFd < 0 ? directoryFd : yield* core.call("createFile", directoryFd, request.name, creationOf(request), core.metaFd);
    if (made !== -errno.ENOSPC) break;
    const again = yield* core.admitWithSpace(task);
    if (again < 0) return again;
  }
  if (made === -errno.EEXIST && (request.flags & exclusive) === 0) return yield* openMeanwhileCreated(core, task, directory, request);
  if (typeof made === "number") {
    core.journal.done(task, made);
    yield* core.ran(task, told.after(undefined, -made));
    return made;
  }
  const { fd, found } = made;
  const inode = core.intern(found, directory, request.name, true);
  core.journal.done(task, 0, inode.nodeid);
  core.useInode(task, inode);
  if (fd >= 0) core.guards.created(inode, fd);
  core.inodes.pin(inode);
  yield* core.ran(task, told.after(inode, 0));
  const file = yield* addOpen(core, task, inode, request.flags & ~(createFlag | exclusive | truncate), true);
  if (typeof file === "number") {
    core.inodes.unpin(inode);
    core.inodes.forget(inode.nodeid, 1);
    return file;
  }
  if (!file.isWritable) core.guards.closeCreated(inode);
  if (!core.send(createdReply(core, request, directory, found, file, !task.hasWaited))) undoCreated(core, file);
  return undefined;
}
function createdReply(core: ReactorCore, { header, name }: { readonly header: RequestHeader; readonly name: string }, directory: Inode, found: Found, file: OpenFile, isEmpty = false): Buffer {
  const entry = core.reply.begin(header.unique).entry(file.inode.nodeid, found.statx, found.stored?.record?.virtual, core.keptNames.entry(directory, name, file.inode, found, isEmpty));
  return opened(core, entry, file).finish();
}
function undoCreated(core: ReactorCore, file: OpenFile): void {
  closeFile(core, file);
  core.inodes.forget(file.inode.nodeid, 1);
}

/** Another node or user made the name meanwhile: this is an ordinary open then. */
function* openMeanwhileCreated(core: ReactorCore, task: Task, directory: Inode, request: RequestOf<"create">): Steps {
  const directoryFd = yield* core.pathFd(directory);
  const found = directoryFd < 0 ? directoryFd : yield* core.find(directoryFd, request.name);
  yield* core.ran(task);
  task.isDone = false;
  core.tasks.delete(task.operation!);
  if (typeof found === "number") return found;
  const inode = core.intern(found, directory, request.name, true);
  core.useInode(task, inode);
  task.inode = inode;
  const failed = yield* openKnown(core, task, inode, request, (file) => createdReply(core, request, directory, found, file));
  if (failed !== undefined) core.inodes.forget(inode.nodeid, 1);
  return failed;
}

export function* tmpfile(core: ReactorCore, task: Task, request: RequestOf<"tmpfile">): Steps {
  const directory = core.use(task, request.header.nodeid);
  if (directory === undefined) return -errno.ESTALE;
  task.inode = directory;
  const before = task.past === undefined ? undefined : core.opens.get(task.past.fh);
  if (before !== undefined) return yield* replyUnnamed(core, request, directory, before);
  const directoryFd = yield* core.pathFd(directory);
  const reader = directoryFd < 0 ? directoryFd : yield* core.reopen(directoryFd, files.open.readOnly | files.open.directory);
  if (reader < 0) return reader;
  const made = yield* core.call("createUnnamed", reader, creationOf(request), core.metaFd);
  core.closeLater(reader);
  if (typeof made === "number") return made;
  const inode = core.intern(made.found, undefined, "", true);
  inode.isUnlinked = true;
  core.guards.created(inode, made.fd);
  core.inodes.pin(inode);
  const file = yield* addOpen(core, task, inode, request.flags & ~(createFlag | exclusive | truncate), true);
  if (typeof file === "number") {
    core.inodes.unpin(inode);
    core.inodes.forget(inode.nodeid, 1);
    return file;
  }
  if (!core.send(createdReply(core, request, directory, made.found, file, !task.hasWaited))) undoCreated(core, file);
  return undefined;
}

export function* release(core: ReactorCore, _task: Task, request: RequestOf<"release">): Steps {
  const file = core.opens.get(request.fh);
  if (file === undefined) return -errno.EBADF;
  yield* dropLocksOfOpen(core, file.inode, file.fh);
  core.send(core.reply.error(request.header.unique, 0));
  closeFile(core, file);
  return undefined;
}

/** An earlier daemon made it; unless its descriptor was kept there is nothing of it any more. */
function* replyUnnamed(core: ReactorCore, request: RequestOf<"tmpfile">, directory: Inode, file: OpenFile): Steps {
  const { inode } = file;
  inode.isUnlinked = true;
  const fd = yield* core.pathFd(inode);
  const looked = fd < 0 ? fd : yield* core.call("look", fd, inode.own, core.metaFd);
  if (typeof looked === "number") return looked;
  const { own, handleType, handleBytes } = inode;
  core.send(createdReply(core, request, directory, { fd: -1, own, handleType, handleBytes, ...looked }, file));
  return undefined;
}

/** The open is over; what only opens kept goes, and whoever asked is told. */
function closeFile(core: ReactorCore, file: OpenFile): void {
  core.opens.remove(file.fh);
  const { inode } = file;
  core.keptOpens.closed(inode);
  if (inode.writableOpens === 0) {
    core.guards.closeCreated(inode);
    core.guardDone(inode);
  }
  if (inode.opens === 0) core.retireReader(inode);
  core.step({ kind: "open-ended", handle: core.handleOf(inode), mode: file.mode });
  if (file.isWritable) core.keptNames.closed(inode);
  if (inode.opens === 0) tellClosing(core, inode);
  core.inodes.unpin(inode);
}

function tellClosing(core: ReactorCore, inode: Inode): void {
  if (!core.admission.tellsNobody(core.handleOf(inode), closing)) core.startFor(inode, "close", (task) => tellClosed(core, task, inode));
  else if (inode.isUnlinked) inode.isDestroyTold = true;
}
/** Its last name may have been taken away on another node: only the object itself tells. */
function* tellClosed(core: ReactorCore, task: Task, inode: Inode): Steps {
  const handle = core.handleOf(inode);
  if (!inode.isUnlinked && core.admission.mayTell(handle, "destroy")) {
    const fd = yield* core.pathFd(inode);
    inode.isUnlinked = fd >= 0 && (yield* core.call("linkCount", fd)) === 0;
  }
  const isGone = inode.isUnlinked && !inode.isDestroyTold && inode.opens === 0;
  if (isGone) inode.isDestroyTold = true;
  const close = { type: "close", handle } as const;
  yield* core.tellAll(task, handle, isGone ? [close, { type: "destroy", handle }] : [close]);
  return undefined;
}

export function* flush(core: ReactorCore, _task: Task, request: RequestOf<"flush">): Steps {
  const file = core.opens.get(request.fh);
  if (file === undefined) return -errno.EBADF;
  yield* dropOwnerLocks(core, file.inode, request.owner);
  return 0;
}

// Data.

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

export function changerOf({ header }: { readonly header: RequestHeader }): Changer {
  return { uid: header.uid, gid: header.gid, thread: header.pid };
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
  const appends = !isWriteback && (request.flags & append) !== 0;
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
    const { data } = task;
    if (core.memory !== undefined) core.journal.begin(task, yield* core.call("sizeOf", fd));
    const appended = typeof data === "number" ? data : yield* core.call("append", fd, data, dropsFor, !core.isLocal);
    if (appended === -errno.EAGAIN) {
      yield* core.sleep(1);
      continue;
    }
    return typeof appended === "number" ? { written: appended, end: 0 } : appended;
  }
}

/** What users see of a file that is not resident in place of its own size and times (safety H12). */
function shownOf(core: ReactorCore, inode: Inode): VirtualStat | undefined {
  const record = core.admission.recordOf(core.handleOf(inode));
  return record?.residency === "partial" ? record.virtual : undefined;
}
function changedNow(): { mtimeNs: bigint; ctimeNs: bigint } {
  const now = BigInt(Date.now()) * 1_000_000n;
  return { mtimeNs: now, ctimeNs: now };
}
/** The guard is held. The new size is shown first: what cannot be shown is not done, and says so. */
export function* truncateShown(core: ReactorCore, inode: Inode, size: number, dropsFor: Changer | undefined): Steps<number> {
  const before = shownOf(core, inode);
  const shown = before === undefined ? 0 : yield* updateShown(core, inode, { size, ...changedNow() });
  if (shown < 0) return shown;
  const result = yield* core.call("truncate", core.guards.fdOf(inode), size, dropsFor);
  if (result < 0 && before !== undefined) yield* updateShown(core, inode, before);
  return result;
}
/** After bytes up to `end` have changed: `result`, or why a file that became longer would go on being shown shorter. */
function* showGrowth(core: ReactorCore, inode: Inode, end: number, result: number): Steps<number> {
  const before = shownOf(core, inode);
  if (before === undefined) return result;
  const shown = yield* updateShown(core, inode, { end, ...changedNow() });
  return shown < 0 && end > before.size ? shown : result;
}
/** The guard is held. A failure leaves what was shown. */
export function* updateShown(core: ReactorCore, inode: Inode, change: VirtualChange): Steps<number> {
  for (;;) {
    const updated = yield* core.call("updateVirtual", core.guards.fdOf(inode), inode.own, core.metaFd, change);
    if (typeof updated !== "number") {
      core.records.known(inode, updated);
      return 0;
    }
    if (updated !== -errno.EAGAIN) {
      core.count("changes of stubs that could not be shown");
      return updated;
    }
    yield* core.sleep(1);
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
