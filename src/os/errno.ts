/** Errno numbers of Linux (asm-generic), the part this project meets. */
export const errno = {
  EPERM: 1, ENOENT: 2, EINTR: 4, EIO: 5, ENXIO: 6, E2BIG: 7, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13, EFAULT: 14, EBUSY: 16,
  EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20, EISDIR: 21, EINVAL: 22, ENFILE: 23, EMFILE: 24, ENOTTY: 25, ETXTBSY: 26,
  EFBIG: 27, ENOSPC: 28, ESPIPE: 29, EROFS: 30, EMLINK: 31, EPIPE: 32, ERANGE: 34, EDEADLK: 35, ENAMETOOLONG: 36, ENOSYS: 38,
  ENOTEMPTY: 39, ELOOP: 40, ENODATA: 61, EPROTO: 71, EOVERFLOW: 75, EOPNOTSUPP: 95, ENOBUFS: 105, ECONNRESET: 104, ECONNABORTED: 103,
  ENOTCONN: 107, ETIMEDOUT: 110, ECONNREFUSED: 111, ESTALE: 116, EDQUOT: 122, ECANCELED: 125,
} as const;
export type ErrnoName = keyof typeof errno;

const names = new Map<number, string>(Object.entries(errno).map(([name, number]) => [number, name]));

/** "ENOENT" of 2 or -2; "errno 200" of one that is not in the table. */
export function errnoName(value: number): string {
  return names.get(Math.abs(value)) ?? `errno ${Math.abs(value)}`;
}
