/**
 * System calls as ordinary programs make them, on paths, with flags of the caller's choice and in the process's own name:
 * for judges from outside, who compare what a mount does with what the file system beneath does.
 *
 * Results follow native.ts. A call may wait as long as it takes, so only processes that may block use these.
 *
 * Not here  what the daemon uses too (files.ts, device.ts, directory.ts).
 * Units     addresses are bigint; offsets and lengths are numbers, or bigint where they go beyond 2^53.
 */
import { addressOf, bind, bindRaw, orErrno, pin, type Path } from "./native.js";

export const access = { exists: 0, execute: 1, write: 2, read: 4 } as const;

const nativeTruncate = bind("int truncate(char *path, int64_t length)");
export function truncate(path: Path, length: number | bigint): number {
  return nativeTruncate(path, length);
}
const nativeFtruncate = bind("int ftruncate(int fd, int64_t length)");
export function ftruncate(fd: number, length: number | bigint): number {
  return nativeFtruncate(fd, length);
}
const nativeFallocate = bind("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
export function fallocate(fd: number, mode: number, offset: number | bigint, length: number | bigint): number {
  return nativeFallocate(fd, mode, offset, length);
}
const nativeFchmodat = bind("int fchmodat(int directory, char *path, uint32_t mode, int flags)");
export function chmodAt(directory: number, path: Path, mode: number, flags: number): number {
  return nativeFchmodat(directory, path, mode, flags);
}
const nativeMkfifo = bind("int mkfifo(char *path, uint32_t mode)");
export function mkfifo(path: Path, mode: number): number {
  return nativeMkfifo(path, mode);
}
const nativeChdir = bind("int chdir(char *path)");
const nativeFchdir = bind("int fchdir(int fd)");
const nativeUmask = bind("uint32_t umask(uint32_t mask)");
export function chdir(path: Path): number {
  return nativeChdir(path);
}
export function fchdir(fd: number): number {
  return nativeFchdir(fd);
}
export function umask(mask: number): number {
  return nativeUmask(mask);
}
const nativeStatfs = bind("int statfs(char *path, void *into)");
/** Fills the 120 bytes of struct statfs. */
export function statfs(path: Path, into: Buffer): number {
  return nativeStatfs(path, into);
}

// Data.

const nativePreadAt = bind("intptr_t pread(int fd, intptr_t to, uintptr_t length, int64_t offset)");
const nativePwriteAt = bind("intptr_t pwrite(int fd, intptr_t from, uintptr_t length, int64_t offset)");
const nativePread = bind("intptr_t pread(int fd, void *to, uintptr_t length, int64_t offset)");
const nativePwrite = bind("intptr_t pwrite(int fd, void *from, uintptr_t length, int64_t offset)");
export function pread(fd: number, into: Buffer, offset: number | bigint): number {
  return nativePread(fd, into, into.length, offset);
}
export function pwrite(fd: number, from: Buffer, offset: number | bigint): number {
  return nativePwrite(fd, from, from.length, offset);
}
/** From and to memory of any alignment, a mapping for example: a place that faults gives -EFAULT. */
export function preadTo(fd: number, address: bigint, length: number, offset: number): number {
  return nativePreadAt(fd, address, length, offset);
}
export function pwriteFrom(fd: number, address: bigint, length: number, offset: number): number {
  return nativePwriteAt(fd, address, length, offset);
}
const nativeReadv = bindRaw("intptr_t readv(int fd, void *vector, int count)");
const nativeWritev = bindRaw("intptr_t writev(int fd, void *vector, int count)");
function vectorOf(first: Buffer, second: Buffer): Buffer {
  pin(first, second);
  const vector = Buffer.alloc(32);
  [first, second].forEach((piece, at) => {
    vector.writeBigUInt64LE(addressOf(piece), 16 * at);
    vector.writeBigUInt64LE(BigInt(piece.length), 16 * at + 8);
  });
  return vector;
}
export function readv(fd: number, first: Buffer, second: Buffer): number {
  return orErrno(nativeReadv(fd, vectorOf(first, second), 2));
}
export function writev(fd: number, first: Buffer, second: Buffer): number {
  return orErrno(nativeWritev(fd, vectorOf(first, second), 2));
}
const nativePreadv2 = bindRaw("intptr_t preadv2(int fd, void *vector, int count, int64_t offset, int flags)");
export function preadv2(fd: number, into: Buffer, offset: number, flags: number): number {
  return orErrno(nativePreadv2(fd, vectorOf(into, Buffer.alloc(8)), 1, offset, flags));
}
const nativeSendfile = bind("intptr_t sendfile(int to, int from, void *offset, uintptr_t length)");
export function sendfile(to: number, from: number, offset: number, length: number): number {
  const at = Buffer.alloc(8);
  at.writeBigInt64LE(BigInt(offset));
  return nativeSendfile(to, from, at, length);
}
const nativeSplice = bind("intptr_t splice(int from, void *fromOffset, int to, void *toOffset, uintptr_t length, uint32_t flags)");
/** An end that is a pipe has no offset. */
export function splice(from: number, fromOffset: number | undefined, to: number, toOffset: number | undefined, length: number): number {
  const place = (offset: number | undefined) => {
    if (offset === undefined) return null;
    const at = Buffer.alloc(8);
    at.writeBigInt64LE(BigInt(offset));
    return at;
  };
  return nativeSplice(from, place(fromOffset), to, place(toOffset), length, 0);
}
const nativePipe2 = bind("int pipe2(void *pair, int flags)");
export function pipe(): readonly [number, number] | number {
  const pair = Buffer.alloc(8);
  const result = nativePipe2(pair, 0o2000000);
  return result < 0 ? result : [pair.readInt32LE(0), pair.readInt32LE(4)];
}
const nativeMemfd = bind("int memfd_create(char *name, uint32_t flags)");
/** An anonymous file in memory. */
export function memoryFile(): number {
  return nativeMemfd("judge", 1);
}
const nativeSyncFileRange = bind("int sync_file_range(int fd, int64_t offset, int64_t length, uint32_t flags)");
export function syncFileRange(fd: number, offset: number, length: number): number {
  return nativeSyncFileRange(fd, offset, length, 7);
}
const nativeReadahead = bind("intptr_t readahead(int fd, int64_t offset, uintptr_t length)");
export function readahead(fd: number, offset: number, length: number): number {
  return nativeReadahead(fd, offset, length);
}
const nativeFadvise = bindRaw("int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)");
export function fadvise(fd: number, advice: number): number {
  return 0 - nativeFadvise(fd, 0, 0, advice);
}

// Mappings.

export const protection = { none: 0, read: 1, write: 2, execute: 4 } as const;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
const nativeMmap = bindRaw("intptr_t mmap(void *at, uintptr_t length, int protection, int flags, int fd, int64_t offset)");
const nativeMunmap = bind("int munmap(intptr_t at, uintptr_t length)");
const nativeMsync = bind("int msync(intptr_t at, uintptr_t length, int flags)");
const nativeMprotect = bind("int mprotect(intptr_t at, uintptr_t length, int protection)");
/** The address of the mapping, or the negative errno. */
export function map(fd: number, offset: number, length: number, protectionBits: number, flags: number): bigint | number {
  const at = BigInt(nativeMmap(null, length, protectionBits, flags, fd, offset));
  return at === -1n ? orErrno(-1) : at;
}
export function unmap(at: bigint, length: number): number {
  return nativeMunmap(at, length);
}
export function syncMap(at: bigint, length: number): number {
  return nativeMsync(at, length, 4);
}
export function protect(at: bigint, length: number, protectionBits: number): number {
  return nativeMprotect(at, length, protectionBits);
}

// Locks.

export const flockKinds = { shared: 1, exclusive: 2, unlock: 8 } as const;
export const FLOCK_NO_WAIT = 4;
const nativeFlock = bind("int flock(int fd, int operation)");
export function flock(fd: number, operation: number): number {
  return nativeFlock(fd, operation);
}
const nativeLock = bindRaw("int fcntl(int fd, int command, void *lock)");
export const lockCommands = { get: 5, set: 6, setWaiting: 7, getOfOpenFile: 36, setOfOpenFile: 37, setOfOpenFileWaiting: 38 } as const;
/** One of `lockCommands` with struct flock, which a question overwrites with its answer. */
export function lock(fd: number, command: number, request: Buffer): number {
  return orErrno(nativeLock(fd, command, request));
}

// Attributes beside a path that may be a symbolic link.

const nativeLgetxattr = bind("intptr_t lgetxattr(char *path, char *name, void *value, uintptr_t size)");
const nativeLsetxattr = bind("int lsetxattr(char *path, char *name, void *value, uintptr_t size, int flags)");
const nativeLlistxattr = bind("intptr_t llistxattr(char *path, void *list, uintptr_t size)");
const nativeLremovexattr = bind("int lremovexattr(char *path, char *name)");
export function lgetxattr(path: Path, name: Path, value: Buffer): number {
  return nativeLgetxattr(path, name, value.length === 0 ? null : value, value.length);
}
export function lsetxattr(path: Path, name: Path, value: Buffer, flags: number): number {
  return nativeLsetxattr(path, name, value, value.length, flags);
}
export function llistxattr(path: Path, list: Buffer): number {
  return nativeLlistxattr(path, list.length === 0 ? null : list, list.length);
}
export function lremovexattr(path: Path, name: Path): number {
  return nativeLremovexattr(path, name);
}
const nativeUtimensat = bind("int utimensat(int directory, char *path, void *times, int flags)");
const nativeFutimens = bind("int futimens(int fd, void *times)");
/** Two struct timespec as they are. */
export function utimensAt(directory: number, path: Path, times: Buffer, flags: number): number {
  return nativeUtimensat(directory, path, times, flags);
}
export function futimens(fd: number, times: Buffer): number {
  return nativeFutimens(fd, times);
}

// The process.

const nativeSetrlimit = bind("int setrlimit(int resource, void *limit)");
const RLIMIT_FSIZE = 1;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;
/** The largest file this process may make; undefined: any. The soft limit alone. */
export function limitFileSize(bytes: number | undefined): number {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(bytes === undefined ? RLIM_INFINITY : BigInt(bytes), 0);
  limit.writeBigUInt64LE(RLIM_INFINITY, 8);
  return nativeSetrlimit(RLIMIT_FSIZE, limit);
}
const nativeSigaction = bind("int sigaction(int signal, void *action, void *old)");
const nativeDlsym = bindRaw("uintptr_t dlsym(uintptr_t handle, char *name)");
/** From now on the signal ends calls that wait with -EINTR, and does nothing else: its handler is a function without effect. */
export function interruptOn(signal: number): number {
  const action = Buffer.alloc(152);
  action.writeBigUInt64LE(BigInt(nativeDlsym(0, "abs")), 0);
  return nativeSigaction(signal, action, null);
}
/** The signal does nothing. */
export function ignoreSignal(signal: number): number {
  const action = Buffer.alloc(152);
  action.writeBigUInt64LE(1n, 0);
  return nativeSigaction(signal, action, null);
}

// Other programs.

const nativePtrace = bind("intptr_t ptrace(int request, int thread, intptr_t address, intptr_t data)");
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
/** One thread of another process stands still, until this process ends; the others go on. */
export function freezeThread(thread: number): number {
  const seized = nativePtrace(PTRACE_SEIZE, thread, 0, 0);
  return seized < 0 ? seized : nativePtrace(PTRACE_INTERRUPT, thread, 0, 0);
}
