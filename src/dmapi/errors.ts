/**
 * Expected failures of DMAPI calls. Inside machines they are values in a reply; they become a thrown `DmError` at the
 * SDK edge and a negative errno at the FUSE edge.
 *
 * Source    XDSM C429 "Errors"; asm-generic/errno.h for the numbers.
 */
export const errnoOf = {
  EPERM: 1, ENOENT: 2, ESRCH: 3, EINTR: 4, EIO: 5, ENXIO: 6, E2BIG: 7, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13,
  EFAULT: 14, EBUSY: 16, EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20, EISDIR: 21, EINVAL: 22, ENFILE: 23, EMFILE: 24,
  ENOTTY: 25, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28, ESPIPE: 29, EROFS: 30, EMLINK: 31, EDEADLK: 35, ENAMETOOLONG: 36,
  ENOSYS: 38, ENOTEMPTY: 39, ELOOP: 40, ENODATA: 61, EPROTO: 71, EOVERFLOW: 75, EOPNOTSUPP: 95, ENOTCONN: 107,
  ETIMEDOUT: 110, ESTALE: 116, EDQUOT: 122, ECANCELED: 125,
  /** The daemon is down or has not joined; never in a FUSE reply (GPFS has the name, Linux has no number). */
  ENOTREADY: 300,
} as const;

export type DmCode = keyof typeof errnoOf;

/** A failure as a value: what machines return and wires carry. */
export interface DmFailure {
  readonly code: DmCode;
  readonly message: string;
}

/** An expected failure of a DMAPI call. `code` is a promise to callers; the text is for people. */
export class DmError extends Error {
  override readonly name = "DmError";
  readonly code: DmCode;
  readonly call: string;
  constructor(code: DmCode, call: string, message: string, options?: ErrorOptions) {
    super(`${call}: ${message} (${code})`, options);
    this.code = code;
    this.call = call;
  }
  get errno(): number {
    return errnoOf[this.code];
  }
}

/** Whether the same call may be made again unchanged and succeed without anyone's help. */
export function isRetryable(code: DmCode): boolean {
  return code === "EAGAIN" || code === "ENOTREADY" || code === "EBUSY" || code === "ETIMEDOUT";
}

const nameOf = new Map<number, DmCode>(Object.entries(errnoOf).map(([name, number]) => [number, name as DmCode]));

/** The name of an errno number; EIO for one this table does not know. */
export function codeOf(errno: number): DmCode {
  return nameOf.get(errno) ?? "EIO";
}
/**
 * The same of what Node.js threw: by its number, since its own names know no EDQUOT ("Unknown system error -122"). Undefined: no
 * system call failed.
 */
export function codeOfThrown(error: unknown): DmCode | undefined {
  const number = (error as { readonly errno?: unknown } | undefined)?.errno;
  return typeof number === "number" ? codeOf(Math.abs(number)) : undefined;
}
