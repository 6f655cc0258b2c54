/**
 * What a mount asks of its backing: one named call per step of a file operation, on descriptors, with plain arguments and
 * results, so that the same call runs in the reactor (a local backing) or in an I/O worker (all others, safety H1).
 *
 * Every call answers a negative errno on failure, or its result. Calls keep no state but this thread's buffers and identity.
 *
 * Units     names are bytes as latin1 text; descriptors are the process's; times are nanoseconds since 1970.
 */
import { DirectoryEntries, seekDirectory } from "../../os/directory.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { ThreadIdentity } from "../../os/identity.js";
import { getLock, LockRequest, setLock, type LockType } from "../../os/locks.js";
import { FileStat, FileSystemStat } from "../../os/stat.js";
import type { FileRecord } from "../../dmapi/record.js";
import { type Registration, type RegisterStep, registerSteps, type StepAnswer } from "../../cluster/admission/passthrough-steps.js";
import { registerBackingFile, unregisterBackingFile } from "../../fuse/backing-file.js";
import type { RequestHeader } from "../../fuse/codec/request.js";
import * as device from "../../os/device.js";
import { APPEND_BYTE, releaseGuard, tryTakeGuard } from "../../volume/guard.js";
import { ownText } from "../../volume/handles.js";
import { removeMark } from "../../volume/mark.js";
import { RESERVE_PATH, reserveState } from "../../volume/reserve.js";
import { changeVirtual, peekGeneration, readRecord, type AttributePlace, type StoredRecord } from "../../volume/record.js";
import { isMember, lockWaitOf, type LockWaitKind } from "./user-process.js";

/** An object found by name or opened: its identity, its attributes, and the record's share in them. */
export interface Found {
  /** O_PATH; the receiver closes it. -1 when not kept. */
  readonly fd: number;
  readonly own: string;
  readonly handleType: number;
  readonly handleBytes: Uint8Array;
  /** struct statx. */
  readonly statx: Uint8Array;
  /** Of a regular file; what a look-up shows of a file that is not resident. */
  readonly stored: Stored | undefined;
}
/** A record as stored: `record` null where nothing counts; `generation` is what a later look compares with. */
export interface Stored {
  readonly generation: number;
  readonly record: FileRecord | null;
}
export interface Creation {
  readonly mode: number;
  readonly umask: number;
  readonly uid: number;
  readonly gid: number;
  readonly group?: number | undefined;
}
/** Whose change takes set-id bits away: the group's, where no group may execute, only if its maker is no member (safety H10). */
export interface Changer {
  readonly uid: number;
  readonly gid: number;
  /** A thread; its supplementary groups are looked up when they matter. */
  readonly thread: number;
}
export function changerOf({ header }: { readonly header: RequestHeader }): Changer {
  return { uid: header.uid, gid: header.gid, thread: header.pid };
}
export interface ListedEntry {
  readonly name: string;
  readonly ino: bigint;
  readonly next: bigint;
  readonly type: number;
  readonly found?: Found | undefined;
}

const path = (name: string) => Buffer.from(`${name}\0`, "latin1");
const proc = (fd: number) => Buffer.from(`${files.procPath(fd)}\0`);
const emptyName = Buffer.from([0]);
const pathOnly = files.open.path | files.open.noFollow;
const stat = new FileStat();
const fsStat = new FileSystemStat();
const lock = new LockRequest();
const directory = new DirectoryEntries();
const valueBuffer = Buffer.alloc(65536);
/** Leaves an owner as it is. */
const NO_ID = 0xffffffff;
const copyOfStat = () => Buffer.from(stat.bytes);

let identity: ThreadIdentity | undefined;
/** To be made when the thread starts, before it serves anybody. */
export function takeThreadIdentity(): void {
  identity ??= new ThreadIdentity();
}
function asUser<T extends number>(who: Creation, act: () => T): number {
  takeThreadIdentity();
  const became = identity!.become(who.uid, who.gid, who.group === undefined ? [] : [who.group]);
  if (became < 0) return became;
  try {
    return act();
  } finally {
    identity!.revert();
  }
}

function withoutSetIdRights(act: () => number): number {
  takeThreadIdentity();
  return identity!.withoutSetIdRights(act);
}

/** The negative errno where the record cannot be known: then nothing may be said about the data. */
function stored(place: AttributePlace, own: string, metaFd: number): Stored | number {
  return storedFrom(readRecord(place, own, metaFd));
}
function storedFrom(found: StoredRecord): Stored | number {
  if (found.kind === "own") return { generation: found.generation, record: found.record };
  if (found.kind === "failed") return -found.errno;
  if (found.kind === "corrupted") return -errno.EIO;
  return { generation: found.generation, record: null };
}

const defaultAcl = path("system.posix_acl_default");
/** The mode as POSIX wants it: a default ACL of the directory takes the place of the umask. The thread's own umask is 0. */
function maskedMode(directoryFd: number, who: Creation): number {
  if ((who.mode & who.umask) === 0) return who.mode;
  return files.getxattrOfPath(proc(directoryFd), defaultAcl, valueBuffer.subarray(0, 0)) > 0 ? who.mode : who.mode & ~who.umask;
}

const noRecord: Stored = { generation: 0, record: null };
/** @param isMade by the caller, just now: nobody has stored a record of it. */
function describe(fd: number, keepsFd: boolean, metaFd: number, isMade = false): Found | number {
  const kernel = files.nameToHandle(fd, emptyName, files.AT_EMPTY_PATH);
  const failed = typeof kernel === "number" ? kernel : files.fstat(fd, stat);
  if (typeof kernel === "number" || failed < 0) {
    files.close(fd);
    return failed;
  }
  const statx = copyOfStat();
  const own = ownText(kernel);
  const record = !stat.isRegular ? undefined : isMade ? noRecord : stored({ path: files.procPath(fd) }, own, metaFd);
  if (!keepsFd) files.close(fd);
  return {
    fd: keepsFd ? fd : -1, own, handleType: kernel.type, handleBytes: kernel.bytes, statx,
    stored: typeof record === "number" ? undefined : record,
  };
}

function findName(directoryFd: number, name: string, metaFd: number, keepsFd = true): Found | number {
  const fd = files.openAt(directoryFd, path(name), pathOnly);
  return fd < 0 ? fd : describe(fd, keepsFd, metaFd);
}

export const backingCalls = {
  find: (directoryFd: number, name: string, metaFd: number): Found | number => findName(directoryFd, name, metaFd),
  /** The same from what the kernel has in memory; -EAGAIN where it would have to ask the backing. */
  findCached(directoryFd: number, name: string, metaFd: number): Found | number {
    const fd = files.openBeneath(directoryFd, path(name), pathOnly, files.resolve.cached);
    return fd < 0 ? (fd === -errno.ENOENT ? fd : -errno.EAGAIN) : describe(fd, true, metaFd);
  },

  /** An O_PATH descriptor. */
  openHandle(mountFd: number, handleType: number, handleBytes: Uint8Array): number {
    return files.openByHandle(mountFd, { type: handleType, bytes: Buffer.from(handleBytes) }, pathOnly);
  },
  /** `fd` O_PATH or not. */
  look(fd: number, own: string, metaFd: number): { statx: Uint8Array; stored: Stored | undefined } | number {
    const result = files.fstat(fd, stat);
    if (result < 0) return result;
    const statx = copyOfStat();
    if (!stat.isRegular) return { statx, stored: undefined };
    const record = stored({ path: files.procPath(fd) }, own, metaFd);
    return { statx, stored: typeof record === "number" ? undefined : record };
  },
  /** Any object's record, through its O_PATH descriptor. */
  loadRecord: (pathFd: number, own: string, metaFd: number): Stored | number => stored({ path: files.procPath(pathFd) }, own, metaFd),

  loadRecordOfOpen: (fd: number, own: string, metaFd: number): Stored | number => stored({ fd }, own, metaFd),

  /** A new open file of what an O_PATH descriptor names. */
  reopen: (pathFd: number, flags: number): number => files.openNow(proc(pathFd), flags),
  close: (fd: number): number => files.close(fd),

  /**
   * The guard shared on the node's one writable descriptor of the file: guard, then the mark goes, then the record is
   * read. `created`: the descriptor of a file that this call's operation has just made, or -1. A descriptor opened before
   * the last change of the record may have kept old pages, and is opened anew (safety C4).
   * -EAGAIN: somebody holds it exclusive; no descriptor is kept then.
   */
  takeGuard(pathFd: number, created: number, own: string, metaFd: number, slot: number): { fd: number; stored: Stored; onlyAppends: boolean } | number {
    let fd = created;
    for (;;) {
      let onlyAppends = false;
      const isNewlyOpened = fd < 0;
      const before = isNewlyOpened ? peekGeneration({ path: files.procPath(pathFd) }) : 0;
      if (before < 0) return before;
      if (isNewlyOpened) fd = files.openNow(proc(pathFd), files.open.readWrite);
      if (fd === -errno.EPERM) {
        // A file that may only grow: everything that is written to it goes to its end.
        fd = files.openAt(files.AT_FDCWD, proc(pathFd), files.open.readWrite | files.open.append);
        onlyAppends = true;
      }
      if (fd < 0) return fd;
      let failed = tryTakeGuard(fd, "shared", slot);
      if (failed >= 0) failed = removeMark(fd);
      const record = failed < 0 ? failed : stored({ fd }, own, metaFd);
      if (typeof record !== "number" && record.generation === before) return { fd, stored: record, onlyAppends };
      files.close(fd);
      if (typeof record === "number") return record;
      fd = -1;
    }
  },
  dropGuard(fd: number): number {
    releaseGuard(fd);
    return files.close(fd);
  },

  /**
   * A descriptor for the kernel's own use, as passthrough-steps.ts has it. `created`: as in takeGuard. Refused: no
   * descriptor is kept. The kernel asks nobody to drop set-id bits when it writes there, so a file that has some is not
   * written so; one that is given some later loses them at the next write, root's writes included.
   */
  registerBacking(device: number, pathFd: number, created: number, own: string, metaFd: number, slot: number, isWritable: boolean): Registration & { fd: number } {
    let fd = created;
    const openToPass = (): number => {
      if (fd < 0) fd = files.openNow(proc(pathFd), files.open.readOnly);
      if (fd < 0 || !isWritable) return fd;
      const looked = files.fstat(fd, stat);
      if (looked >= 0 && (stat.mode & 0o6000) === 0) return fd;
      files.close(fd);
      return -errno.EACCES;
    };
    const perform = (step: RegisterStep): StepAnswer => {
      switch (step) {
        case "open": return openToPass();
        case "guard": return tryTakeGuard(fd, "shared", slot);
        case "mark": {
          const removed = removeMark(fd);
          return removed === -errno.EPERM ? -errno.EACCES : removed; // of this file, which may only grow
        }
        case "record": return stored({ fd }, own, metaFd);
        case "register": return withoutSetIdRights(() => registerBackingFile(device, fd));
        case "close": return files.close(fd);
      }
    };
    const steps = registerSteps(isWritable);
    let next = steps.next();
    while (next.done !== true) next = steps.next(perform(next.value));
    const done = next.value;
    return done.kind === "refused" ? { kind: "refused", errno: done.errno, stored: done.stored, fd } : { kind: "registered", id: done.id, stored: done.stored, isMarkGone: done.isMarkGone, fd };
  },
  breakMark: (fd: number): number => removeMark(fd),
  /** 0 when nothing on this machine has the file open or mapped but that descriptor; -EAGAIN when something has. */
  testLease(fd: number): number {
    const taken = files.setLease(fd, "write");
    return taken < 0 ? taken : Math.min(files.setLease(fd, "unlock"), 0);
  },
  /** The id first: a descriptor that the kernel may still use keeps its lock. */
  closeBacking(device: number, id: number, fd: number): number {
    unregisterBackingFile(device, id);
    return fd < 0 ? 0 : files.close(fd);
  },

  /** Data, unless the record moved on meanwhile: then -EAGAIN, and the filter has to look again (safety C4). */
  read(fd: number, size: number, offset: number, generation: number): Uint8Array | number {
    const data = Buffer.allocUnsafeSlow(size);
    const length = files.pread(fd, data, 0, size, offset);
    if (length < 0) return length;
    const now = peekGeneration({ fd });
    if (now < 0 || now > generation) return now < 0 ? now : -errno.EAGAIN;
    return data.subarray(0, length);
  },
  /** Bytes as they lie there, whatever any record says of them. */
  readPlain(fd: number, offset: number, size: number): Uint8Array | number {
    if (files.fstat(fd, stat) < 0 || stat.size <= offset) return Buffer.alloc(0);
    const data = Buffer.allocUnsafeSlow(Math.min(size, stat.size - offset));
    const length = files.pread(fd, data, 0, data.length, offset);
    return length < 0 ? length : data.subarray(0, length);
  },
  /** Where the file ends, and its last byte; -ENODATA: it is empty. */
  endOf(fd: number): { end: number; last: Uint8Array } | number {
    const looked = files.fstat(fd, stat);
    if (looked < 0) return looked;
    const end = stat.size;
    const last = Buffer.allocUnsafeSlow(1);
    const length = end === 0 ? 0 : files.pread(fd, last, 0, 1, end - 1);
    return length < 0 ? length : length === 0 ? -errno.ENODATA : { end, last };
  },
  sizeOf(fd: number): number {
    const looked = files.fstat(fd, stat);
    return looked < 0 ? looked : stat.size;
  },
  write(fd: number, data: Uint8Array, offset: number, dropsFor: Changer | undefined): number {
    if (dropsFor !== undefined) dropPrivileges(fd, dropsFor);
    return files.pwrite(fd, asBuffer(data), 0, data.length, offset);
  },
  /** As `write`, with the time of writing of before and after. */
  writeBetween(fd: number, data: Uint8Array, offset: number, dropsFor: Changer | undefined): { written: number; before: bigint; after: bigint } | number {
    const before = files.fstat(fd, stat) < 0 ? 0n : stat.mtimeNs;
    const written = backingCalls.write(fd, data, offset, dropsFor);
    return written < 0 ? written : { written, before, after: files.fstat(fd, stat) < 0 ? 0n : stat.mtimeNs };
  },
  /** At the true end of the file. `takesTurns`: against other nodes' appends, where the kernel is not one. -EAGAIN: not our turn. */
  append(fd: number, data: Uint8Array, dropsFor: Changer | undefined, takesTurns: boolean): { written: number; end: number } | number {
    if (dropsFor !== undefined) dropPrivileges(fd, dropsFor);
    if (takesTurns) {
      const turn = setLock(fd, lock.fill("write", APPEND_BYTE, 1n));
      if (turn < 0) return turn === -errno.EACCES ? -errno.EAGAIN : turn;
    }
    const written = files.pwritev2(fd, asBuffer(data), 0, data.length, 0, files.RWF_APPEND);
    const looked = files.fstat(fd, stat);
    if (takesTurns) setLock(fd, lock.fill("unlock", APPEND_BYTE, 1n));
    return written < 0 ? written : looked < 0 ? looked : { written, end: stat.size };
  },
  /** A user's lock, without waiting: -EAGAIN or -EACCES when another stands in its way. */
  lock: (fd: number, type: LockType, start: bigint, length: bigint): number => setLock(fd, lock.fill(type, start, length)),
  /** Undefined: none. */
  lockInTheWay(fd: number, type: LockType, start: bigint, length: bigint): LockRequest["conflict"] | number {
    const result = getLock(fd, lock.fill(type, start, length));
    return result < 0 ? result : lock.conflict;
  },
  truncate(fd: number, size: number, dropsFor: Changer | undefined): number {
    if (dropsFor !== undefined) dropPrivileges(fd, dropsFor);
    return files.ftruncate(fd, size);
  },
  allocate: (fd: number, mode: number, offset: number, length: number): number => files.fallocate(fd, mode, offset, length),
  sync: (fd: number, isDataOnly: boolean): number => (isDataOnly ? files.fdatasync(fd) : files.fsync(fd)),
  syncAll: (fd: number): number => files.syncfs(fd),
  /** As `read`. */
  seek(fd: number, offset: number, whence: number, generation: number): number {
    const found = files.lseek(fd, offset, whence);
    const now = peekGeneration({ fd });
    return now < 0 ? now : now > generation ? -errno.EAGAIN : found;
  },
  /** As `read`: -EAGAIN when the source's record moved on. */
  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number, generation: number): number {
    const copied = files.copyFileRange(from, fromOffset, to, toOffset, length);
    if (copied < 0) return copied;
    const now = peekGeneration({ fd: from });
    return now < 0 ? now : now > generation ? -errno.EAGAIN : copied;
  },

  /** New regular file, opened read-write; -EEXIST when the name is taken. */
  createFile(directoryFd: number, name: string, who: Creation, metaFd: number): { fd: number; found: Found } | number {
    const mode = maskedMode(directoryFd, who);
    const flags = files.open.readWrite | files.open.create | files.open.exclusive | files.open.noFollow;
    const fd = asUser(who, () => files.openAt(directoryFd, path(name), flags, mode & 0o7777));
    return fd < 0 ? fd : openedAnew(fd, metaFd);
  },
  createUnnamed(directoryFd: number, who: Creation, metaFd: number): { fd: number; found: Found } | number {
    const mode = maskedMode(directoryFd, who);
    const fd = asUser(who, () => files.openAt(directoryFd, path("."), files.open.readWrite | files.open.temporary, mode & 0o7777));
    return fd < 0 ? fd : openedAnew(fd, metaFd);
  },
  makeNode(directoryFd: number, name: string, who: Creation, device: number, metaFd: number): Found | number {
    const mode = maskedMode(directoryFd, who);
    const made = asUser(who, () => files.mknodAt(directoryFd, path(name), mode, device));
    return made < 0 ? made : findName(directoryFd, name, metaFd);
  },
  makeDirectory(directoryFd: number, name: string, who: Creation, metaFd: number): Found | number {
    const mode = maskedMode(directoryFd, who);
    const made = asUser(who, () => files.mkdirAt(directoryFd, path(name), mode & 0o7777));
    return made < 0 ? made : findName(directoryFd, name, metaFd);
  },
  makeSymlink(directoryFd: number, name: string, target: string, who: Creation, metaFd: number): Found | number {
    const made = asUser(who, () => files.symlinkAt(path(target), directoryFd, path(name)));
    return made < 0 ? made : findName(directoryFd, name, metaFd);
  },
  link(pathFd: number, directoryFd: number, name: string, metaFd: number): Found | number {
    const made = files.linkAt(files.AT_FDCWD, proc(pathFd), directoryFd, path(name), files.AT_SYMLINK_FOLLOW);
    return made < 0 ? made : findName(directoryFd, name, metaFd);
  },
  unlink: (directoryFd: number, name: string, isDirectory: boolean): number =>
    files.unlinkAt(directoryFd, path(name), isDirectory ? files.AT_REMOVEDIR : 0),
  /** A whiteout is a new object, and its maker's. */
  rename(fromFd: number, from: string, toFd: number, to: string, flags: number, who: Creation): number {
    const act = () => files.renameAt(fromFd, path(from), toFd, path(to), flags);
    return (flags & files.RENAME_WHITEOUT) === 0 ? act() : asUser(who, act);
  },
  readLink(pathFd: number): Uint8Array | number {
    const length = files.readlinkAt(pathFd, emptyName, valueBuffer.subarray(0, 4096));
    return length < 0 ? length : Buffer.from(valueBuffer.subarray(0, length));
  },
  linkCount(fd: number): number {
    const result = files.fstat(fd, stat);
    return result < 0 ? result : stat.nlink;
  },

  changeMode: (pathFd: number, mode: number): number => files.chmodOfPath(proc(pathFd), mode & 0o7777),
  changeOwner: (pathFd: number, uid: number, gid: number): number => files.chownAt(pathFd, emptyName, uid, gid, files.AT_EMPTY_PATH),
  /**
   * What the kernel leaves to us when a change of data or of no owner at all takes the set-id bits (HANDLE_KILLPRIV_V2): as
   * a chown to nobody in particular does.
   */
  touchOwner(pathFd: number, who: Changer): number {
    const touched = files.chownAt(pathFd, emptyName, NO_ID, NO_ID, files.AT_EMPTY_PATH);
    if (touched < 0 || files.fstat(pathFd, stat) < 0 || !losesSetGid(who)) return touched;
    return files.chmodOfPath(proc(pathFd), stat.mode & 0o7777 & ~0o2000);
  },
  /** -EPERM or -EROFS where the backing would not let anybody open it so. */
  mayOpenForWriting(pathFd: number, flags: number): number {
    const asked = files.accessAt(pathFd, emptyName, files.W_OK, files.AT_EMPTY_PATH | files.AT_EACCESS);
    if (asked === -errno.EPERM || asked === -errno.EROFS) return asked;
    if (files.fstat(pathFd, stat) < 0) return 0;
    return stat.isAppendOnly && (flags & (files.open.append | files.open.truncate)) !== files.open.append ? -errno.EPERM : 0;
  },
  /** Only by a side thread: while a program begins another, /proc waits, maybe for the reactor's answer to a close. */
  lockWaitOf(thread: number): LockWaitKind {
    return lockWaitOf(thread);
  },
  /** One of the calls that get and set an object's flags; the bytes it leaves in place of `argument`. */
  fileFlags(pathFd: number, command: number, argument: Uint8Array): Uint8Array | number {
    const fd = files.openAt(files.AT_FDCWD, proc(pathFd), files.open.readOnly | files.open.nonBlocking);
    if (fd < 0) return fd;
    const bytes = Buffer.alloc(64);
    bytes.set(argument.subarray(0, 64));
    const result = device.ioctl(fd, command, bytes);
    files.close(fd);
    return result < 0 ? result : bytes;
  },
  changeTimes: (pathFd: number, atime: files.TimeChange, mtime: files.TimeChange): number =>
    files.utimensAt(pathFd, emptyName, atime, mtime, files.AT_EMPTY_PATH),

  /**
   * Shows users of a file that is not resident what they set; under the shared guard of `fd`, so that only other such
   * changes can be made meanwhile (safety H12). -EAGAIN: another node, or another thread of this one, is making one.
   */
  updateVirtual(fd: number, own: string, metaFd: number, change: VirtualChange): Stored | number {
    const { end = 0, ...set } = change;
    const changed = changeVirtual(fd, own, metaFd, (old) => ({ ...old, ...set, size: set.size ?? Math.max(old.size, end) }));
    return typeof changed === "number" ? changed : storedFrom(changed);
  },

  getAttribute(pathFd: number, name: string, size: number): Uint8Array | number {
    const room = size === 0 ? valueBuffer.subarray(0, 0) : valueBuffer.subarray(0, Math.min(size, valueBuffer.length));
    const length = files.getxattrOfPath(proc(pathFd), path(name), room);
    return length < 0 || size === 0 ? length : Buffer.from(valueBuffer.subarray(0, length));
  },
  /** Of an object that is open, where another attribute of it was read lately. */
  getAttributeInMemory: (fd: number, name: string, size: number): Uint8Array | number => backingCalls.getAttribute(fd, name, size),
  setAttribute(pathFd: number, name: string, value: Uint8Array, flags: number, clearsSetGid: boolean): number {
    const result = files.setxattrOfPath(proc(pathFd), path(name), value, flags);
    if (result < 0 || !clearsSetGid || files.fstat(pathFd, stat) < 0) return result;
    return files.chmodOfPath(proc(pathFd), stat.mode & 0o7777 & ~0o2000);
  },
  removeAttribute: (pathFd: number, name: string): number => files.removexattrOfPath(proc(pathFd), path(name)),
  /** Names, each with its NUL, without those that begin with one of `hidden`. */
  listAttributes(pathFd: number, hidden: readonly string[]): Uint8Array | number {
    const length = files.listxattrOfPath(proc(pathFd), valueBuffer);
    if (length < 0) return length;
    const names = valueBuffer.toString("latin1", 0, length).split("\0").filter((name) => name !== "" && !hidden.some((prefix) => name.startsWith(prefix)));
    return Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1");
  },

  /** Entries after the cookie (undefined: where the descriptor stands), about one buffer full; empty at the end. */
  list(fd: number, cookie: bigint | undefined, isPlus: boolean, metaFd: number): readonly ListedEntry[] | number {
    if (cookie !== undefined) {
      const moved = seekDirectory(fd, cookie);
      if (moved < 0) return moved;
    }
    const filled = directory.fill(fd);
    if (filled < 0) return filled;
    const entries: ListedEntry[] = [];
    while (directory.next()) {
      const name = directory.name.toString("latin1");
      const entry = { name, ino: directory.ino, next: directory.cookie, type: directory.type };
      if (!isPlus || directory.isDotOrDotDot) {
        entries.push(entry);
        continue;
      }
      const found = findName(fd, name, metaFd, false);
      entries.push(typeof found === "number" ? entry : { ...entry, found });
    }
    return entries;
  },
  /** Of the volume as its users may count on it: what the reserve lacks is not theirs (safety M7). */
  statfs(rootFd: number): { bytes: Uint8Array } | number {
    const result = files.fstatfs(rootFd, fsStat.bytes);
    if (result < 0) return result;
    const lacking = BigInt(Math.ceil(reserveState(rootFd, RESERVE_PATH, fsStat).lacking / fsStat.blockSize));
    const bytes = Buffer.from(fsStat.bytes);
    for (const [at, free] of [[24, fsStat.blocksFree], [32, fsStat.blocksAvailable]] as const) bytes.writeBigUInt64LE(free > lacking ? free - lacking : 0n, at);
    return { bytes };
  },
} as const;
export type BackingCalls = typeof backingCalls;
export type BackingCallName = keyof BackingCalls;

export interface VirtualChange {
  readonly size?: number;
  /** Shown at least as long as this. */
  readonly end?: number;
  readonly atimeNs?: bigint;
  readonly mtimeNs?: bigint;
  readonly ctimeNs: bigint;
}

function openedAnew(fd: number, metaFd: number): { fd: number; found: Found } | number {
  const pathFd = files.openAt(files.AT_FDCWD, proc(fd), files.open.path);
  const found = pathFd < 0 ? pathFd : describe(pathFd, true, metaFd, true);
  if (typeof found !== "number") return { fd, found };
  files.close(fd);
  return found;
}

/** What the kernel does for a user's own write, and leaves to us since root may keep them (HANDLE_KILLPRIV_V2). */
function dropPrivileges(fd: number, who: Changer): void {
  if (files.fstat(fd, stat) < 0 || !stat.isRegular) return;
  const mode = stat.mode & 0o7777;
  const dropped = mode & ~0o4000 & ((mode & 0o010) !== 0 || losesSetGid(who) ? ~0o2000 : ~0);
  if (dropped !== mode) files.fchmod(fd, dropped);
}
/** Of the file in `stat`: its set-gid bit without execution by the group is kept for the group's members. */
function losesSetGid(who: Changer): boolean {
  if (!stat.isRegular || (stat.mode & 0o2010) !== 0o2000) return false;
  return who.uid !== 0 && who.gid !== stat.gid && !isMember(who.thread, stat.gid);
}

function asBuffer(data: Uint8Array): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** Magic numbers of file systems whose calls end at this machine's own disk or memory (safety H1). */
const localTypes = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0xf2f52010, 0x2fc12fc1]);
export function isLocalBacking(fd: number): boolean {
  return files.fstatfs(fd, fsStat.bytes) >= 0 && localTypes.has(fsStat.type);
}
