/**
 * Opening and closing: open, create, the nameless file, release, flush; what of a file's pages the kernel may keep from one
 * open to the next.
 *
 * Source    safety C4, C5, H7, H8, H9; XDSM 3.5.
 */
import { OPEN_KILL_SUIDGID, openReplyFlags } from "../../fuse/codec/constants.js";
import type { ReplyBuffer } from "../../fuse/codec/reply.js";
import type { RequestHeader, RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { fileTypes } from "../../os/stat.js";
import { changerOf, type Found } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import { changedBefore, madeAs, madeBefore } from "./done-before.js";
import type { Inode } from "./inode-table.js";
import { dropLocksOfOpen, dropOwnerLocks, hasLocks } from "./lock-operations.js";
import { creationOf, creationTold } from "./namespace-operations.js";
import type { OpenFile } from "./open-files.js";
import { truncateShown } from "./shown-attributes.js";
import type { Steps, Task } from "./task.js";

const { append, create: createFlag, exclusive, truncate } = files.open;
const DT_ACCESS_WRITE = 3;
const closing = ["close", "destroy"] as const;

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
  if (hasLocks(core, file.inode)) yield* dropLocksOfOpen(core, file.inode, file.fh);
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
  if (hasLocks(core, file.inode)) yield* dropOwnerLocks(core, file.inode, request.owner);
  return 0;
}
