/**
 * Raw descriptors: reading and writing devices, waiting for several at once, and eventfd, by which threads wake each other.
 *
 * Results follow native.ts. `poll` never waits for ever: a thread that sits in poll(-1) can be ended only by SIGKILL (V13).
 */
import { addressOf, bind, bindRaw, orErrno, pin } from "./native.js";
import { errno } from "./errno.js";
import { assert } from "../base/assert.js";

const nativeRead = bindRaw("intptr_t read(int fd, void *buffer, uintptr_t length)");
const nativeWrite = bindRaw("intptr_t write(int fd, void *buffer, uintptr_t length)");
const nativeWritev = bindRaw("intptr_t writev(int fd, void *vector, int count)");
const nativePoll = bindRaw("int poll(void *fds, uint64_t count, int timeout)");
const nativeIoctl = bindRaw("int ioctl(int fd, uint64_t request, void *argument)");
const nativeEventfd = bind("int eventfd(uint32_t initial, int flags)");

export function read(fd: number, buffer: Buffer, at: number, length: number): number {
  return orErrno(nativeRead(fd, at === 0 ? buffer : buffer.subarray(at), length));
}
export function write(fd: number, buffer: Buffer, at: number, length: number): number {
  return orErrno(nativeWrite(fd, at === 0 ? buffer : buffer.subarray(at), length));
}
const pair = Buffer.alloc(32);
/** Two pieces in one write(2), as a reply of FUSE needs: a head and its data. */
export function writePair(fd: number, head: Buffer, headLength: number, data: Buffer, at: number, length: number): number {
  pin(head, data);
  pair.writeBigUInt64LE(addressOf(head), 0);
  pair.writeBigUInt64LE(BigInt(headLength), 8);
  pair.writeBigUInt64LE(addressOf(data) + BigInt(at), 16);
  pair.writeBigUInt64LE(BigInt(length), 24);
  return orErrno(nativeWritev(fd, pair, 2));
}
export function ioctl(fd: number, request: number, argument: Buffer): number {
  return orErrno(nativeIoctl(fd, request, argument));
}

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
const POLL_LONGEST_MS = 60_000;

/** A set of descriptors to wait for, laid out once. */
export class PollSet {
  readonly #bytes: Buffer;
  readonly #count: number;

  constructor(entries: readonly { readonly fd: number; readonly events: number }[]) {
    this.#count = entries.length;
    this.#bytes = Buffer.alloc(8 * entries.length);
    entries.forEach((entry, index) => {
      this.#bytes.writeInt32LE(entry.fd, index * 8);
      this.#bytes.writeInt16LE(entry.events, index * 8 + 4);
    });
  }
  /** How many are ready; 0 after `timeoutMs`; -EINTR when a signal came. */
  wait(timeoutMs: number): number {
    assert(timeoutMs >= 0 && timeoutMs <= POLL_LONGEST_MS, "poll waits with a bound");
    return orErrno(nativePoll(this.#bytes, this.#count, Math.ceil(timeoutMs)));
  }
  /** What happened to the entry at `index` in the last wait: POLL* bits. */
  happened(index: number): number {
    return this.#bytes.readInt16LE(index * 8 + 6);
  }
}

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
/** A counter that poll can watch; never blocks. */
export function eventfd(): number {
  return nativeEventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}
const one = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
const counter = Buffer.alloc(8);
/** Wakes whoever polls; any thread may. A counter that is full has woken already. */
export function signalEvent(fd: number): number {
  const result = orErrno(nativeWrite(fd, one, 8));
  return result === -errno.EAGAIN ? 0 : Math.min(result, 0);
}
/** Back to zero; to be called before looking at what was announced, so that no announcement is missed. */
export function clearEvent(fd: number): number {
  const result = orErrno(nativeRead(fd, counter, 8));
  return result === -errno.EAGAIN ? 0 : Math.min(result, 0);
}
