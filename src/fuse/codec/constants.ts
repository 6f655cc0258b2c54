/**
 * Numbers of the FUSE protocol: opcodes, flags, sizes of its fixed structures.
 *
 * Source    linux/fuse.h 7.38; those of later kernels (up to 7.45) are marked with their version.
 */
export const opcodes = {
  lookup: 1, forget: 2, getattr: 3, setattr: 4, readlink: 5, symlink: 6, mknod: 8, mkdir: 9, unlink: 10, rmdir: 11,
  rename: 12, link: 13, open: 14, read: 15, write: 16, statfs: 17, release: 18, fsync: 20, setxattr: 21, getxattr: 22,
  listxattr: 23, removexattr: 24, flush: 25, init: 26, opendir: 27, readdir: 28, releasedir: 29, fsyncdir: 30, getlk: 31,
  setlk: 32, setlkw: 33, access: 34, create: 35, interrupt: 36, bmap: 37, destroy: 38, ioctl: 39, poll: 40,
  notifyReply: 41, batchForget: 42, fallocate: 43, readdirplus: 44, rename2: 45, lseek: 46, copyFileRange: 47,
  setupmapping: 48, removemapping: 49, syncfs: 50, tmpfile: 51,
  /** 7.39 */
  statx: 52,
  /** 7.45 */
  copyFileRange64: 53,
} as const;

export const KERNEL_VERSION = 7;
/** What we speak; the kernel lowers itself to it. */
export const KERNEL_MINOR_VERSION = 40;
/** Before this (Linux 4.20) messages have other sizes and MAX_PAGES is missing. */
export const KERNEL_MINOR_VERSION_MIN = 28;

export const IN_HEADER_SIZE = 40;
export const OUT_HEADER_SIZE = 16;
export const ATTR_SIZE = 88;
export const ENTRY_SIZE = 40 + ATTR_SIZE;
export const DIRENT_HEADER_SIZE = 24;

/** Largest write the kernel may send, and thereby largest read (safety M8). */
export const MAX_WRITE = 128 * 1024;
/** One more than MAX_WRITE holds, so that an unaligned buffer of MAX_WRITE bytes still makes one request. */
export const MAX_PAGES = MAX_WRITE / 4096 + 1;
export const READ_SIZE_MAX = MAX_PAGES * 4096;
/** Room for one request: the write, its header, and names, extensions and attribute values of the others. */
export const RECEIVE_BUFFER_SIZE = READ_SIZE_MAX + 4096 + 65536;

export const initFlags = {
  asyncRead: 1 << 0, posixLocks: 1 << 1, atomicTruncate: 1 << 3, exportSupport: 1 << 4, bigWrites: 1 << 5, dontMask: 1 << 6,
  flockLocks: 1 << 10, hasIoctlDir: 1 << 11, autoInvalData: 1 << 12, doReaddirplus: 1 << 13, readdirplusAuto: 1 << 14,
  asyncDio: 1 << 15, writebackCache: 1 << 16, noOpenSupport: 1 << 17, parallelDirops: 1 << 18, handleKillpriv: 1 << 19,
  posixAcl: 1 << 20, abortError: 1 << 21, maxPages: 1 << 22, cacheSymlinks: 1 << 23, noOpendirSupport: 1 << 24,
  explicitInvalData: 1 << 25, handleKillprivV2: 1 << 28, setxattrExt: 1 << 29, initExt: 1 << 30,
} as const;
/** Bits 32 and up of the same set, as they stand in `flags2`. */
export const initFlags2 = {
  hasExpireOnly: 1 << 3,
  /** 7.38 */
  createSuppGroup: 1 << 2,
  /** 7.39 */
  directIoAllowMmap: 1 << 4,
  /** 7.40; the kernel reads and writes the backing file itself. */
  passthrough: 1 << 5,
  /** 7.40; requests not answered are sent again when asked for. */
  hasResend: 1 << 7,
  /** 7.43: never taken; it ends the whole connection. */
  requestTimeout: 1 << 10,
} as const;

export const openReplyFlags = { directIo: 1, keepCache: 2, nonSeekable: 4, cacheDir: 8, stream: 16, noFlush: 32, parallelDirectWrites: 64, /** 7.40 */ passthrough: 128 } as const;
export const attributeBits = {
  mode: 1 << 0, uid: 1 << 1, gid: 1 << 2, size: 1 << 3, atime: 1 << 4, mtime: 1 << 5, fh: 1 << 6, atimeNow: 1 << 7,
  mtimeNow: 1 << 8, lockOwner: 1 << 9, ctime: 1 << 10, killSuidgid: 1 << 11,
} as const;
export const GETATTR_FH = 1;
export const READ_LOCKOWNER = 2;
export const writeFlags = { cache: 1, lockOwner: 2, killSuidgid: 4 } as const;
export const OPEN_KILL_SUIDGID = 1;
export const FSYNC_DATA_ONLY = 1;
export const LOCK_IS_FLOCK = 1;
export const releaseFlags = { flush: 1, flockUnlock: 2 } as const;
export const EXTENSION_GROUPS = 32;

export const notifyCodes = { invalInode: 2, invalEntry: 3, store: 4, retrieve: 5, delete: 6, /** 7.40 */ resend: 7, /** 7.44 */ incEpoch: 8, /** 7.45 */ prune: 9 } as const;
