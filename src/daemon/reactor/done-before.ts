/**
 * Whether an earlier daemon had already done what comes again: by its journal, and, where it died between the beginning and
 * the end of one call, by what the backing shows.
 *
 * What is found in its place must look as that call would have left it, and have come to be between its beginning and the
 * end of that daemon. Two makers of one name, alike to owner, mode and size, within those milliseconds are not told
 * apart; where nothing tells, the operation ends with EIO.
 *
 * Not here  what the journal is (journal.ts).
 * Units     results are those of backing calls; undefined: it was not done, do it.
 * Source    safety H11.
 */
import { statxAt } from "../../fuse/codec/reply.js";
import type { RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { fileTypes } from "../../os/stat.js";
import type { JournalEntry } from "../holder/mount-memory.js";
import type { Creation, Found } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import type { Steps, Task } from "./task.js";

/** The backing's times lag by a tick of its clock, at most 10 ms. */
const TICK_MS = 20;
/** Of other nodes' appends after ours. */
const APPENDS_LOOKED_AT = 4 << 20;

/** Its past, once. */
function pastOf(core: ReactorCore, task: Task): JournalEntry | undefined {
  const { past } = task;
  if (past?.state === "done") core.count("operations answered that an earlier daemon had done");
  return past;
}
function isWithin(core: ReactorCore, past: JournalEntry, statx: Uint8Array, at: number): boolean {
  const bytes = Buffer.from(statx);
  const timeOf = (place: number) => Number(bytes.readBigInt64LE(place)) * 1000 + bytes.readUInt32LE(place + 8) / 1e6;
  const timeMs = timeOf(at) === 0 ? timeOf(statxAt.ctime) : timeOf(at); // not every backing knows when a file was born
  const diedAtMs = core.memory!.diedAtMs >= past.begunAtMs ? core.memory!.diedAtMs : Date.now();
  return timeMs >= past.begunAtMs - TICK_MS && timeMs <= diedAtMs + TICK_MS;
}

/** The object that was made and is known by its node id; its look-up is counted when it is found again. */
function* known(core: ReactorCore, task: Task, nodeid: number): Steps<Found | number> {
  const inode = core.use(task, nodeid);
  if (inode === undefined) return -errno.ESTALE;
  const pathFd = yield* core.pathFd(inode);
  const looked = pathFd < 0 ? pathFd : yield* core.call("look", pathFd, inode.own, core.metaFd);
  if (typeof looked === "number") return looked;
  core.inodes.forget(nodeid, 1);
  const { own, handleType, handleBytes } = inode;
  return { fd: -1, own, handleType, handleBytes, ...looked };
}

export type LooksMade = (found: Found) => boolean;
/** Made by a call with these arguments. */
export function madeAs(type: number, who: Creation): LooksMade {
  return ({ statx }) => {
    const bytes = Buffer.from(statx);
    const mode = bytes.readUInt16LE(statxAt.mode);
    const isNew = type === fileTypes.directory ? true : bytes.readUInt32LE(statxAt.nlink) === 1 && (type !== fileTypes.regular || bytes.readBigUInt64LE(statxAt.size) === 0n);
    // Bits of the mode that nobody asked for may come from the directory (set-gid, default ACL), those of the mask may be missing.
    return (mode & fileTypes.mask) === type && bytes.readUInt32LE(statxAt.uid) === who.uid && (mode & 0o777 & ~who.mode) === 0 && isNew;
  };
}

/** A name that a creation or a link would have made. */
export function* madeBefore(core: ReactorCore, task: Task, directory: Inode, name: string, looks: LooksMade, timeAt: number = statxAt.btime): Steps<Found | number | undefined> {
  const past = pastOf(core, task);
  if (past === undefined) return undefined;
  if (past.state === "done") return past.result < 0 ? past.result : yield* known(core, task, past.nodeid);
  const directoryFd = yield* core.pathFd(directory);
  const found = directoryFd < 0 ? directoryFd : yield* core.call("find", directoryFd, name, core.metaFd);
  if (found === -errno.ENOENT) return undefined;
  if (typeof found === "number") return found;
  if (looks(found) && isWithin(core, past, found.statx, timeAt)) {
    core.count("operations found done that an earlier daemon had begun");
    return found;
  }
  if (found.fd >= 0) core.closeLater(found.fd);
  return undefined; // somebody else's: the call says so itself
}

/** A name that was to go; the entry's note is the node id of what had it. */
export function* removedBefore(core: ReactorCore, task: Task, directory: Inode, name: string): Steps<number | undefined> {
  const past = pastOf(core, task);
  if (past === undefined) return undefined;
  if (past.state === "done") return past.result;
  const found = yield* lookAt(core, directory, name);
  if (found === -errno.ENOENT) return 0;
  if (typeof found === "number") return found;
  return found.own === core.inodes.peek(past.note)?.own ? undefined : 0;
}

/** What is moved is known by its node id, the entry's note. */
export function* renamedBefore(core: ReactorCore, task: Task, from: Inode, to: Inode, request: RequestOf<"rename">): Steps<number | undefined> {
  const past = pastOf(core, task);
  if (past === undefined) return undefined;
  if (past.state === "done") return past.result;
  const moved = core.inodes.peek(past.note)?.own;
  if (moved === undefined) return undefined; // there was nothing to rename
  const source = yield* lookAt(core, from, request.name);
  if (typeof source !== "number" && source.own === moved) return undefined;
  const target = yield* lookAt(core, to, request.newName);
  if (typeof target === "number" || target.own !== moved) return -errno.EIO; // others have been at both names
  core.count("operations found done that an earlier daemon had begun");
  return 0;
}
function* lookAt(core: ReactorCore, directory: Inode, name: string): Steps<Found | number> {
  const directoryFd = yield* core.pathFd(directory);
  const found = directoryFd < 0 ? directoryFd : yield* core.call("find", directoryFd, name, core.metaFd);
  if (typeof found !== "number" && found.fd >= 0) core.closeLater(found.fd);
  return found;
}

/** What came of a change of data or attributes; one that had only begun is simply made again. */
export function changedBefore(core: ReactorCore, task: Task): number | undefined {
  const past = pastOf(core, task);
  return past?.state === "done" ? past.result : undefined;
}
/** Of an append that had only begun: its bytes stand behind what the file had before, or they do not. */
export function* appendedBefore(core: ReactorCore, task: Task, inode: Inode): Steps<number | undefined> {
  const { past } = task;
  const length = (task.request as RequestOf<"write">).data.length;
  if (past?.state !== "begun" || length === 0) return undefined;
  const pathFd = yield* core.pathFd(inode);
  const fd = pathFd < 0 ? pathFd : yield* core.reopen(pathFd, files.open.readOnly | files.open.nonBlocking);
  if (fd < 0) return fd;
  const since = yield* core.call("readPlain", fd, past.note, length + APPENDS_LOOKED_AT);
  core.closeLater(fd);
  if (typeof since === "number") return since;
  const { data } = task;
  if (typeof data === "number") return data;
  if (Buffer.from(since.buffer, since.byteOffset, since.length).indexOf(data) < 0) return undefined;
  core.count("operations found done that an earlier daemon had begun");
  return length;
}
