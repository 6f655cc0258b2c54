/**
 * Replies to the kernel, written into one preallocated buffer: the caller begins, appends, and sends `finish()`.
 *
 * Units     an object's attributes come as the 256 bytes of struct statx, so that 64-bit inode numbers are copied as
 *           bytes and never become a JavaScript number.
 * Source    linux/fuse.h 7.38; statx(2) for the layout of struct statx, which fuse_statx repeats.
 */
import { ATTR_SIZE, DIRENT_HEADER_SIZE, ENTRY_SIZE, OUT_HEADER_SIZE, READ_SIZE_MAX } from "./constants.js";
import { opcodes } from "./constants.js";

/** Where struct statx keeps what. */
export const statxAt = {
  blksize: 4, nlink: 16, uid: 20, gid: 24, mode: 28, ino: 32, size: 40, blocks: 48, atime: 64, btime: 80, ctime: 96, mtime: 112,
  rdevMajor: 128, rdevMinor: 132, devMajor: 136, devMinor: 140,
} as const;
export const STATX_SIZE = 256;

/** Values shown in place of the backing's own, while the file is not resident (safety H12). */
export interface ShownStat {
  readonly size: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** How long the kernel may keep them without asking; 0: it asks each time. Milliseconds. */
export interface Keep {
  readonly nameMs: number;
  readonly attributesMs: number;
}
export const keepNothing: Keep = { nameMs: 0, attributesMs: 0 };

export class ReplyBuffer {
  readonly bytes: Buffer;
  #length = OUT_HEADER_SIZE;

  constructor(size = OUT_HEADER_SIZE + READ_SIZE_MAX) {
    this.bytes = Buffer.alloc(size);
  }

  begin(unique: bigint): this {
    this.bytes.writeInt32LE(0, 4);
    this.bytes.writeBigUInt64LE(unique, 8);
    this.#length = OUT_HEADER_SIZE;
    return this;
  }
  get length(): number {
    return this.#length;
  }
  /** Room for data that a system call puts in directly. */
  room(size: number): Buffer {
    return this.bytes.subarray(this.#length, this.#length + size);
  }
  advance(length: number): this {
    this.#length += length;
    return this;
  }
  u32(value: number): this {
    this.bytes.writeUInt32LE(value >>> 0, this.#length);
    this.#length += 4;
    return this;
  }
  i32(value: number): this {
    return this.u32(value);
  }
  u64(value: bigint | number): this {
    if (typeof value === "bigint") this.bytes.writeBigUInt64LE(value, this.#length);
    else {
      this.bytes.writeUInt32LE(value >>> 0, this.#length);
      this.bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), this.#length + 4);
    }
    this.#length += 8;
    return this;
  }
  data(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** struct fuse_attr from struct statx. */
  attributes(statx: Uint8Array, shown?: ShownStat): this {
    const to = this.#length;
    const b = this.bytes;
    copy(statx, statxAt.ino, b, to, 8);
    copy(statx, statxAt.size, b, to + 8, 16); // size, blocks
    copy(statx, statxAt.atime, b, to + 24, 8);
    copy(statx, statxAt.mtime, b, to + 32, 8);
    copy(statx, statxAt.ctime, b, to + 40, 8);
    copy(statx, statxAt.atime + 8, b, to + 48, 4);
    copy(statx, statxAt.mtime + 8, b, to + 52, 4);
    copy(statx, statxAt.ctime + 8, b, to + 56, 4);
    b.writeUInt32LE(statx[statxAt.mode]! | (statx[statxAt.mode + 1]! << 8), to + 60);
    copy(statx, statxAt.nlink, b, to + 64, 12); // nlink, uid, gid
    b.writeUInt32LE(encodeDevice(u32At(statx, statxAt.rdevMajor), u32At(statx, statxAt.rdevMinor)), to + 76);
    copy(statx, statxAt.blksize, b, to + 80, 4);
    b.writeUInt32LE(0, to + 84);
    if (shown !== undefined) this.#show(to, shown);
    this.#length += ATTR_SIZE;
    return this;
  }
  #show(to: number, shown: ShownStat): void {
    const b = this.bytes;
    b.writeBigUInt64LE(BigInt(shown.size), to + 8);
    [shown.atimeNs, shown.mtimeNs, shown.ctimeNs].forEach((ns, i) => {
      const seconds = floorSeconds(ns);
      b.writeBigInt64LE(seconds, to + 24 + 8 * i);
      b.writeUInt32LE(Number(ns - seconds * 1_000_000_000n), to + 48 + 4 * i);
    });
  }

  /** struct fuse_entry_out. Node id 0: attributes only, nothing was looked up; or, kept for some time, there is no such name. */
  entry(nodeid: number, statx: Uint8Array, shown: ShownStat | undefined, keep: Keep): this {
    this.u64(nodeid).u64(0).#seconds(keep.nameMs).#seconds(keep.attributesMs).#nanoseconds(keep.nameMs).#nanoseconds(keep.attributesMs);
    return this.attributes(statx, shown);
  }
  attributeReply(statx: Uint8Array, shown: ShownStat | undefined, keepMs: number): this {
    return this.#seconds(keepMs).#nanoseconds(keepMs).u32(0).attributes(statx, shown);
  }
  #seconds(ms: number): this {
    return this.u64(Math.floor(ms / 1_000));
  }
  #nanoseconds(ms: number): this {
    return this.u32(Math.floor(ms % 1_000) * 1_000_000);
  }
  statxReply(statx: Uint8Array, shown: ShownStat | undefined, keepMs: number): this {
    this.#seconds(keepMs).#nanoseconds(keepMs).u32(0).u64(0).u64(0);
    const to = this.#length;
    this.bytes.set(statx, to);
    if (shown !== undefined) {
      this.bytes.writeBigUInt64LE(BigInt(shown.size), to + statxAt.size);
      const at = [statxAt.atime, statxAt.mtime, statxAt.ctime];
      [shown.atimeNs, shown.mtimeNs, shown.ctimeNs].forEach((ns, i) => {
        const seconds = floorSeconds(ns);
        this.bytes.writeBigInt64LE(seconds, to + at[i]!);
        this.bytes.writeUInt32LE(Number(ns - seconds * 1_000_000_000n), to + at[i]! + 8);
      });
    }
    this.#length += STATX_SIZE;
    return this;
  }
  /** `backingId` with the passthrough flag. */
  opened(fh: number, flags: number, backingId = 0): this {
    return this.u64(fh).u32(flags).u32(backingId);
  }

  /** Bytes a directory entry takes, names being latin1 text of their bytes. */
  static entryLength(name: string, isPlus: boolean): number {
    return ((DIRENT_HEADER_SIZE + name.length + 7) & ~7) + (isPlus ? ENTRY_SIZE : 0);
  }
  directoryEntry(entry: { ino: bigint; next: bigint; type: number; name: string }): this {
    const from = this.#length;
    this.u64(entry.ino).u64(entry.next).u32(entry.name.length).u32(entry.type);
    this.bytes.write(entry.name, this.#length, "latin1");
    const end = from + ReplyBuffer.entryLength(entry.name, false);
    this.bytes.fill(0, this.#length + entry.name.length, end);
    this.#length = end;
    return this;
  }

  finish(): Buffer {
    this.bytes.writeUInt32LE(this.#length, 0);
    return this.bytes.subarray(0, this.#length);
  }
  /** A reply without a body; `errno` positive, 0 for success. */
  error(unique: bigint, errno: number): Buffer {
    this.begin(unique);
    this.bytes.writeInt32LE(-errno, 4);
    return this.finish();
  }
}

/** A few bytes: a call of the library costs more than they do. */
function copy(from: Uint8Array, at: number, to: Uint8Array, toAt: number, length: number): void {
  for (let index = 0; index < length; index++) to[toAt + index] = from[at + index]!;
}
function u32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
function floorSeconds(ns: bigint): bigint {
  const seconds = ns / 1_000_000_000n;
  return ns < 0n && seconds * 1_000_000_000n !== ns ? seconds - 1n : seconds;
}

/** The kernel's new_encode_dev: 12 bits of major, 20 of minor. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
export function decodeDevice(device: number): { major: number; minor: number } {
  return { major: (device >>> 8) & 0xfff, minor: ((device & 0xff) | ((device >>> 12) & 0xfff00)) >>> 0 };
}

/** Requests that get no reply at all. */
export function isReplyless(opcode: number): boolean {
  return opcode === opcodes.forget || opcode === opcodes.batchForget || opcode === opcodes.interrupt || opcode === opcodes.notifyReply;
}
