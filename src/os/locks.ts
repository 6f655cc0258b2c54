/**
 * Open-file-description locks: they belong to one open file, not to a process, and the kernel keeps them exactly as long as
 * that open file lives, also while its holder is stopped or after it was killed but the descriptor lives elsewhere.
 *
 * Results follow native.ts. -EAGAIN (or -EACCES): somebody else's lock stands in the way.
 *
 * Units     ranges are bigint bytes; length 0 means to the end of the largest possible file.
 * Source    fcntl(2) F_OFD_SETLK; safety C1, H9.
 */
import { bindRaw, orErrno } from "./native.js";

export const lockTypes = { read: 0, write: 1, unlock: 2 } as const;
export type LockType = keyof typeof lockTypes;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_OFD_SETLKW = 38;

const nativeFcntl = bindRaw("int fcntl(int fd, int command, void *lock)");

/** struct flock, prepared once and used again; `get` overwrites it, so it is filled before each use. */
export class LockRequest {
  readonly bytes = Buffer.alloc(32);

  fill(type: LockType, start: bigint, length: bigint): this {
    this.bytes.fill(0);
    this.bytes.writeInt16LE(lockTypes[type], 0);
    this.bytes.writeBigInt64LE(start, 8);
    this.bytes.writeBigInt64LE(length, 16);
    return this;
  }
  /** After `getLock`: what stands in the way, or undefined when nothing does. `pid` is -1 for OFD locks. */
  get conflict(): { type: LockType; start: bigint; length: bigint; pid: number } | undefined {
    const type = this.bytes.readInt16LE(0);
    if (type === lockTypes.unlock) return undefined;
    return {
      type: type === lockTypes.read ? "read" : "write", start: this.bytes.readBigInt64LE(8),
      length: this.bytes.readBigInt64LE(16), pid: this.bytes.readInt32LE(24),
    };
  }
}

/** Takes, changes or gives back a lock without waiting. */
export function setLock(fd: number, request: LockRequest): number {
  return orErrno(nativeFcntl(fd, F_OFD_SETLK, request.bytes));
}
/** The same, waiting as long as it takes; only in a thread that may block for ever. */
export function setLockWaiting(fd: number, request: LockRequest): number {
  return orErrno(nativeFcntl(fd, F_OFD_SETLKW, request.bytes));
}
/** Asks who would stand in the way; the answer is `request.conflict`. */
export function getLock(fd: number, request: LockRequest): number {
  return orErrno(nativeFcntl(fd, F_OFD_GETLK, request.bytes));
}
