/**
 * Files: the system calls that Node.js lacks, or does too slowly or too inexactly.
 *
 * Results follow native.ts: zero or more, or the negative errno. Every descriptor is opened close-on-exec.
 *
 * Units     offsets and lengths are bytes, numbers below 2^53; lock ranges and inode numbers are bigint.
 */
import { constants } from "node:fs";
import { addressOf, bind, bindRaw, orErrno, pin, rawSyscallWithPath, syscallNumbers, type Path } from "./native.js";
import { errno } from "./errno.js";
import type { FileStat } from "./stat.js";

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;
/** Flags of open; those that differ between machines are taken from Node.js. */
export const open = {
  readOnly: 0, writeOnly: 1, readWrite: 2, accessMode: 3, create: constants.O_CREAT, exclusive: constants.O_EXCL, truncate: constants.O_TRUNC,
  append: constants.O_APPEND, nonBlocking: constants.O_NONBLOCK, directory: constants.O_DIRECTORY, noFollow: constants.O_NOFOLLOW,
  direct: constants.O_DIRECT, noAccessTime: constants.O_NOATIME, sync: constants.O_SYNC, dataSync: constants.O_DSYNC, closeOnExec: 0o2000000, path: 0o10000000,
  temporary: 0o20000000 | constants.O_DIRECTORY,
} as const;
export const resolve = { noCrossing: 1, noMagicLinks: 2, noSymlinks: 4, beneath: 8, inRoot: 16, cached: 32 } as const;
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;
export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
export const FALLOC_ZERO_RANGE = 16;
export const SEEK_SET = 0;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const RWF_APPEND = 16;
export const RWF_DSYNC = 2;
export const RWF_NOWAIT = 8;
export const RWF_SYNC = 4;

const nativeOpenat = bindRaw("int openat(int directory, char *path, int flags, uint32_t mode)");
const nativeClose = bindRaw("int close(int fd)");
const nativePread = bindRaw("intptr_t pread(int fd, void *buffer, uintptr_t length, int64_t offset)");
const nativePwrite = bindRaw("intptr_t pwrite(int fd, void *buffer, uintptr_t length, int64_t offset)");
// preadv2/pwritev2 of glibc take the offset whole on 64-bit machines.
const nativePwritev2 = bindRaw("intptr_t pwritev2(int fd, void *vector, int count, int64_t offset, int flags)");
const nativePreadv2 = bindRaw("intptr_t preadv2(int fd, void *vector, int count, int64_t offset, int flags)");
const nativeStatx = bindRaw("int statx(int directory, char *path, int flags, uint32_t mask, void *buffer)");
const nativeLseek = bindRaw("int64_t lseek(int fd, int64_t offset, int whence)");
const nativeFgetxattr = bindRaw("intptr_t fgetxattr(int fd, char *name, void *value, uintptr_t size)");
const nativeGetxattr = bindRaw("intptr_t getxattr(char *path, char *name, void *value, uintptr_t size)");

/** A descriptor. `path` beneath `directory` (AT_FDCWD: the working directory). */
export function openAt(directory: number, path: Path, flags: number, mode = 0): number {
  return orErrno(nativeOpenat(directory, path, flags | open.closeOnExec, mode));
}
const openHow = Buffer.alloc(24);
/** openat2(2): `resolveFlags` of `resolve`. */
export function openBeneath(directory: number, path: Path, flags: number, resolveFlags: number, mode = 0): number {
  openHow.writeBigUInt64LE(BigInt(flags | open.closeOnExec), 0);
  openHow.writeBigUInt64LE(BigInt(mode), 8);
  openHow.writeBigUInt64LE(BigInt(resolveFlags), 16);
  return rawSyscallWithPath(syscallNumbers.openat2, directory, path, openHow, openHow.length, 0);
}
export function close(fd: number): number {
  return orErrno(nativeClose(fd));
}
const nativeFcntl = bindRaw("int fcntl(int fd, int command, intptr_t argument)");
const F_DUPFD_CLOEXEC = 1030;
/** Another descriptor of the same open file: it shares offset and OFD locks. */
const nativeDup3 = bind("int dup3(int from, int to, int flags)");
/** Ends what the descriptor was open for, but keeps its number: threads that still know it reach nothing else by it. */
export function replaceByNothing(fd: number): number {
  const nothing = openAt(AT_FDCWD, "/dev/null", open.writeOnly);
  if (nothing < 0) return nothing;
  const result = nativeDup3(nothing, fd, open.closeOnExec);
  close(nothing);
  return Math.min(result, 0);
}
export function dup(fd: number): number {
  return orErrno(nativeFcntl(fd, F_DUPFD_CLOEXEC, 3));
}
const F_SETFL = 4;
const F_GETFL = 3;
export function statusFlags(fd: number): number {
  return orErrno(nativeFcntl(fd, F_GETFL, 0));
}
export function setStatusFlags(fd: number, flags: number): number {
  return orErrno(nativeFcntl(fd, F_SETFL, flags));
}
/** Names an open file for calls that take only a path: O_PATH descriptors, symbolic links. */
export function procPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** Bytes read into `buffer` from `at` on. */
export function pread(fd: number, buffer: Buffer, at: number, length: number, offset: number): number {
  return orErrno(nativePread(fd, at === 0 ? buffer : buffer.subarray(at), length, offset));
}
export function pwrite(fd: number, buffer: Buffer, at: number, length: number, offset: number): number {
  return orErrno(nativePwrite(fd, at === 0 ? buffer : buffer.subarray(at), length, offset));
}
const vector = Buffer.alloc(16);
/** pwritev2(2) of one piece; with RWF_APPEND it goes to the true end of the file, whatever `offset`. */
export function pwritev2(fd: number, buffer: Buffer, at: number, length: number, offset: number, flags: number): number {
  pin(buffer);
  vector.writeBigUInt64LE(addressOf(buffer) + BigInt(at), 0);
  vector.writeBigUInt64LE(BigInt(length), 8);
  return orErrno(nativePwritev2(fd, vector, 1, offset, flags));
}
/** preadv2(2) into the whole of `buffer`; with RWF_NOWAIT -EAGAIN where bytes would have to be waited for, or as many as are there. */
export function preadv2(fd: number, buffer: Buffer, offset: number, flags: number): number {
  return preadv2At(fd, buffer, 0, buffer.length, offset, flags);
}
/** The same into a part of `buffer`. Cheap where one buffer is used again and again. */
export function preadv2At(fd: number, buffer: Buffer, at: number, length: number, offset: number, flags: number): number {
  if (placed.buffer !== buffer) {
    placed.buffer = buffer;
    placed.address = Number(addressOf(buffer)); // user addresses are below 2^53
  }
  const address = placed.address + at;
  vector.writeUInt32LE(address % 2 ** 32, 0);
  vector.writeUInt32LE(Math.floor(address / 2 ** 32), 4);
  vector.writeUInt32LE(length, 8);
  vector.writeUInt32LE(0, 12);
  return orErrno(nativePreadv2(fd, vector, 1, offset, flags));
}
/** Kept, so that its address stays its own. */
const placed: { buffer: Buffer | undefined; address: number } = { buffer: undefined, address: 0 };
const nativeFtruncate = bind("int ftruncate(int fd, int64_t length)");
export function ftruncate(fd: number, length: number): number {
  return nativeFtruncate(fd, length);
}
const nativeFallocate = bind("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
export function fallocate(fd: number, mode: number, offset: number, length: number): number {
  return nativeFallocate(fd, mode, offset, length);
}
/** The new offset; -ENXIO beyond the last data or the end. */
export function lseek(fd: number, offset: number, whence: number): number {
  return orErrno(nativeLseek(fd, offset, whence));
}
const nativeCopyFileRange = bind(
  "intptr_t copy_file_range(int from, void *fromOffset, int to, void *toOffset, uintptr_t length, uint32_t flags)",
);
const copyFrom = Buffer.alloc(8);
const copyTo = Buffer.alloc(8);
export function copyFileRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
  copyFrom.writeBigInt64LE(BigInt(fromOffset));
  copyTo.writeBigInt64LE(BigInt(toOffset));
  return nativeCopyFileRange(from, copyFrom, to, copyTo, length, 0);
}
const nativeFsync = bind("int fsync(int fd)");
const nativeFdatasync = bind("int fdatasync(int fd)");
const nativeSyncfs = bind("int syncfs(int fd)");
export function fsync(fd: number): number {
  return nativeFsync(fd);
}
export function fdatasync(fd: number): number {
  return nativeFdatasync(fd);
}
export function syncfs(fd: number): number {
  return nativeSyncfs(fd);
}

const STATX_BASIC_AND_BIRTH = 0xfff;
/** Fills `into`. An empty path with AT_EMPTY_PATH in `flags` means the descriptor itself (O_PATH also). */
export function statAt(directory: number, path: Path, flags: number, into: FileStat): number {
  return orErrno(nativeStatx(directory, path, flags, STATX_BASIC_AND_BIRTH, into.bytes));
}
const emptyPath = Buffer.from([0]);
export function fstat(fd: number, into: FileStat): number {
  return orErrno(nativeStatx(fd, emptyPath, AT_EMPTY_PATH, STATX_BASIC_AND_BIRTH, into.bytes));
}
const nativeFstatfs = bind("int fstatfs(int fd, void *buffer)");
/** Fills the 120 bytes of struct statfs; stat.ts decodes them. */
export function fstatfs(fd: number, into: Buffer): number {
  return nativeFstatfs(fd, into);
}

export interface KernelHandle {
  readonly type: number;
  readonly bytes: Buffer;
}
const HANDLE_BYTES_MAX = 128;
const nativeNameToHandle = bindRaw("int name_to_handle_at(int directory, char *path, void *handle, void *mountId, int flags)");
const nativeOpenByHandle = bindRaw("int open_by_handle_at(int mountFd, void *handle, int flags)");
const handleBuffer = Buffer.alloc(8 + HANDLE_BYTES_MAX);
const mountIdBuffer = Buffer.alloc(8);
/** The kernel's handle of a file, or the negative errno (-EOPNOTSUPP: the file system has none). */
export function nameToHandle(directory: number, path: Path, flags = 0): KernelHandle | number {
  handleBuffer.writeUInt32LE(HANDLE_BYTES_MAX, 0);
  const result = orErrno(nativeNameToHandle(directory, path, handleBuffer, mountIdBuffer, flags));
  if (result < 0) return result;
  return { type: handleBuffer.readInt32LE(4), bytes: Buffer.from(handleBuffer.subarray(8, 8 + handleBuffer.readUInt32LE(0))) };
}
/**
 * Somebody who tries whether he is alone with a file has a lease on it, for a few microseconds unless he is kept from his
 * processor; whoever opens it meanwhile without waiting is refused, and looks again.
 */
const LEASE_SPINS = 50;
const LEASE_TRIES = 2_000;
const never = new Int32Array(new SharedArrayBuffer(4));
/** Without waiting for leases but the shortest. `path` names a file; results as `openAt`. */
export function openNow(path: Path, flags: number): number {
  for (let tries = 1; ; tries++) {
    const fd = openAt(AT_FDCWD, path, flags | open.nonBlocking);
    if (fd !== -errno.EAGAIN || tries === LEASE_SPINS) return fd;
  }
}
/** `mountFd` is a descriptor of anything in the mounted file system, not O_PATH. -ESTALE: the object is gone. */
export function openByHandle(mountFd: number, handle: KernelHandle, flags: number): number {
  if (handle.bytes.length > HANDLE_BYTES_MAX) return -errno.EINVAL;
  handleBuffer.writeUInt32LE(handle.bytes.length, 0);
  handleBuffer.writeInt32LE(handle.type | 0, 4);
  handle.bytes.copy(handleBuffer, 8);
  for (let tries = 1; ; tries++) {
    const fd = orErrno(nativeOpenByHandle(mountFd, handleBuffer, flags | open.closeOnExec));
    if (fd !== -errno.EAGAIN || tries === LEASE_TRIES) return fd;
    if (tries > LEASE_SPINS) Atomics.wait(never, 0, 0, 1);
  }
}

/** Length of the value; with an empty buffer the length it has; -ERANGE too small, -ENODATA none. */
export function fgetxattr(fd: number, name: Path, value: Uint8Array): number {
  return orErrno(nativeFgetxattr(fd, name, value.length === 0 ? null : value, value.length));
}
const nativeFsetxattr = bind("int fsetxattr(int fd, char *name, void *value, uintptr_t size, int flags)");
const nativeFremovexattr = bind("int fremovexattr(int fd, char *name)");
const nativeFlistxattr = bind("intptr_t flistxattr(int fd, void *list, uintptr_t size)");
export function fsetxattr(fd: number, name: Path, value: Uint8Array, flags = 0): number {
  return nativeFsetxattr(fd, name, value, value.length, flags);
}
export function fremovexattr(fd: number, name: Path): number {
  return nativeFremovexattr(fd, name);
}
/** Names, each ending in a NUL. */
export function flistxattr(fd: number, list: Uint8Array): number {
  return nativeFlistxattr(fd, list.length === 0 ? null : list, list.length);
}
// For O_PATH descriptors, symbolic links among them: the link in /proc leads to the very object.
const nativeSetxattr = bind("int setxattr(char *path, char *name, void *value, uintptr_t size, int flags)");
const nativeRemovexattr = bind("int removexattr(char *path, char *name)");
const nativeListxattr = bind("intptr_t listxattr(char *path, void *list, uintptr_t size)");
export function getxattrOfPath(path: Path, name: Path, value: Uint8Array): number {
  return orErrno(nativeGetxattr(path, name, value.length === 0 ? null : value, value.length));
}
export function setxattrOfPath(path: Path, name: Path, value: Uint8Array, flags = 0): number {
  return nativeSetxattr(path, name, value, value.length, flags);
}
export function removexattrOfPath(path: Path, name: Path): number {
  return nativeRemovexattr(path, name);
}
export function listxattrOfPath(path: Path, list: Uint8Array): number {
  return nativeListxattr(path, list.length === 0 ? null : list, list.length);
}

const nativeRenameat2 = bind("int renameat2(int fromDirectory, char *from, int toDirectory, char *to, uint32_t flags)");
export function renameAt(fromDirectory: number, from: Path, toDirectory: number, to: Path, flags = 0): number {
  return nativeRenameat2(fromDirectory, from, toDirectory, to, flags);
}
const nativeLinkat = bind("int linkat(int fromDirectory, char *from, int toDirectory, char *to, int flags)");
/** With an empty `from` and AT_EMPTY_PATH the descriptor itself is linked. */
export function linkAt(fromDirectory: number, from: Path, toDirectory: number, to: Path, flags = 0): number {
  return nativeLinkat(fromDirectory, from, toDirectory, to, flags);
}
const nativeUnlinkat = bind("int unlinkat(int directory, char *name, int flags)");
export function unlinkAt(directory: number, name: Path, flags = 0): number {
  return nativeUnlinkat(directory, name, flags);
}
const nativeMkdirat = bind("int mkdirat(int directory, char *name, uint32_t mode)");
export function mkdirAt(directory: number, name: Path, mode: number): number {
  return nativeMkdirat(directory, name, mode);
}
const nativeMknodat = bind("int mknodat(int directory, char *name, uint32_t mode, uint64_t device)");
export function mknodAt(directory: number, name: Path, mode: number, device: number | bigint): number {
  return nativeMknodat(directory, name, mode, device);
}
const nativeSymlinkat = bind("int symlinkat(char *target, int directory, char *name)");
export function symlinkAt(target: Path, directory: number, name: Path): number {
  return nativeSymlinkat(target, directory, name);
}
const nativeReadlinkat = bind("intptr_t readlinkat(int directory, char *name, void *buffer, uintptr_t size)");
/** Length of the target; an empty name reads an O_PATH descriptor of a link itself. */
export function readlinkAt(directory: number, name: Path, into: Uint8Array): number {
  return nativeReadlinkat(directory, name, into, into.length);
}

const nativeFchownat = bind("int fchownat(int directory, char *path, uint32_t uid, uint32_t gid, int flags)");
/** 0xffffffff leaves an id as it is. */
export function chownAt(directory: number, path: Path, uid: number, gid: number, flags: number): number {
  return nativeFchownat(directory, path, uid, gid, flags);
}
export const W_OK = 2;
export const AT_EACCESS = 0x200;
const nativeFaccessat = bind("int faccessat(int directory, char *path, int mode, int flags)");
/** Whether the caller could: 0, or the negative errno why not. Without AT_EACCESS the real ids count, as for access(2). */
export function accessAt(directory: number, path: Path, mode: number, flags: number): number {
  return nativeFaccessat(directory, path, mode, flags);
}
const nativeFchmod = bind("int fchmod(int fd, uint32_t mode)");
const nativeChmod = bind("int chmod(char *path, uint32_t mode)");
export function fchmod(fd: number, mode: number): number {
  return nativeFchmod(fd, mode);
}
/** For O_PATH descriptors: `chmodOfPath(procPath(fd), mode)`. */
export function chmodOfPath(path: Path, mode: number): number {
  return nativeChmod(path, mode);
}
const nativeUtimensat = bind("int utimensat(int directory, char *path, void *times, int flags)");
const nativeFutimens = bind("int futimens(int fd, void *times)");
const UTIME_NOW = 0x3fffffffn;
const UTIME_OMIT = 0x3ffffffen;
export type TimeChange = bigint | "now" | "omit";
const timesBuffer = Buffer.alloc(32);
function putTime(at: number, time: TimeChange): void {
  if (typeof time === "string") {
    timesBuffer.writeBigInt64LE(0n, at);
    timesBuffer.writeBigInt64LE(time === "now" ? UTIME_NOW : UTIME_OMIT, at + 8);
    return;
  }
  const nanoseconds = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  timesBuffer.writeBigInt64LE((time - nanoseconds) / 1_000_000_000n, at);
  timesBuffer.writeBigInt64LE(nanoseconds, at + 8);
}
/** Times in nanoseconds since 1970. */
export function utimensAt(directory: number, path: Path, atime: TimeChange, mtime: TimeChange, flags: number): number {
  putTime(0, atime);
  putTime(16, mtime);
  return nativeUtimensat(directory, path, timesBuffer, flags);
}
/** Not for O_PATH descriptors: for those `utimensAt(fd, "", ..., AT_EMPTY_PATH)`. */
export function futimens(fd: number, atime: TimeChange, mtime: TimeChange): number {
  putTime(0, atime);
  putTime(16, mtime);
  return nativeFutimens(fd, timesBuffer);
}

const F_SETLEASE = 1024;
const leases = { read: 0, write: 1, unlock: 2 } as const;
/** "write" is granted only while nobody else on this machine has the file open or mapped (safety C2). */
export function setLease(fd: number, lease: keyof typeof leases): number {
  return orErrno(nativeFcntl(fd, F_SETLEASE, leases[lease]));
}
const nativeFadvise = bindRaw("int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)");
const FADV_DONTNEED = 4;
/** Drops clean pages of the range from this machine's cache; length 0 means to the end. */
export function dropPages(fd: number, offset: number, length: number): number {
  return 0 - nativeFadvise(fd, offset, length, FADV_DONTNEED);
}
