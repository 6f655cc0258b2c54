/**
 * Requests of the kernel, from bytes to a typed union. A message that is cut short, too long for its length field, or
 * of impossible content is refused as a whole and never misread.
 *
 * Units     node ids and file handles are our own small whole numbers; `unique` and lock owners are opaque 64-bit
 *           values; offsets and lengths are numbers below 2^53 (locks: bigint, as they reach 2^63 - 1). Names are bytes
 *           kept as latin1 text. `data` and `value` are views of the receive buffer: copy before the next receive.
 * Source    linux/fuse.h 7.38, statx of 7.39, copy_file_range_64 of 7.45.
 */
import { EXTENSION_GROUPS, IN_HEADER_SIZE, opcodes } from "./constants.js";

export interface RequestHeader {
  readonly opcode: number;
  readonly unique: bigint;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  /** A thread id; 0 for the kernel's own work. */
  readonly pid: number;
  readonly length: number;
}
export interface LockRange {
  readonly start: bigint;
  /** Inclusive. */
  readonly end: bigint;
  /** 0 read, 1 write, 2 unlock. */
  readonly type: number;
  readonly pid: number;
}
export interface SetAttributes {
  readonly valid: number;
  readonly fh: number;
  readonly size: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}
type Named = { readonly name: string };
type Creating = Named & { readonly mode: number; readonly umask: number; /** The caller's supplementary group the directory has. */ readonly group?: number };
type Locking = { readonly fh: number; readonly owner: bigint; readonly lock: LockRange; readonly flags: number };
type Listing = { readonly fh: number; readonly offset: bigint; readonly size: number };

export type RequestBody =
  | { readonly kind: "init"; readonly major: number; readonly minor: number; readonly maxReadahead: number; readonly flags: number; readonly flags2: number }
  | ({ readonly kind: "lookup" } & Named)
  | { readonly kind: "forget"; readonly forgets: readonly { readonly nodeid: number; readonly count: number }[] }
  | { readonly kind: "getattr"; readonly flags: number; readonly fh: number }
  | { readonly kind: "statx"; readonly flags: number; readonly fh: number; readonly mask: number }
  | ({ readonly kind: "setattr" } & SetAttributes)
  | { readonly kind: "readlink" }
  | { readonly kind: "symlink"; readonly name: string; readonly target: string; readonly group?: number }
  | ({ readonly kind: "mknod"; readonly rdev: number } & Creating)
  | ({ readonly kind: "mkdir" } & Creating)
  | ({ readonly kind: "unlink" } & Named)
  | ({ readonly kind: "rmdir" } & Named)
  | { readonly kind: "rename"; readonly name: string; readonly newDirectory: number; readonly newName: string; readonly flags: number }
  | { readonly kind: "link"; readonly target: number; readonly name: string }
  | { readonly kind: "open"; readonly flags: number; readonly openFlags: number }
  | ({ readonly kind: "create"; readonly flags: number; readonly openFlags: number } & Creating)
  | ({ readonly kind: "tmpfile"; readonly flags: number; readonly openFlags: number } & Creating)
  | { readonly kind: "read"; readonly fh: number; readonly offset: number; readonly size: number; readonly readFlags: number; readonly flags: number }
  | { readonly kind: "write"; readonly fh: number; readonly offset: number; readonly writeFlags: number; readonly flags: number; readonly data: Uint8Array }
  | { readonly kind: "statfs" }
  | { readonly kind: "release"; readonly fh: number; readonly flags: number; readonly releaseFlags: number; readonly owner: bigint }
  | { readonly kind: "releasedir"; readonly fh: number }
  | { readonly kind: "fsync"; readonly fh: number; readonly flags: number }
  | { readonly kind: "fsyncdir"; readonly fh: number; readonly flags: number }
  | { readonly kind: "setxattr"; readonly name: string; readonly value: Uint8Array; readonly flags: number; readonly extraFlags: number }
  | ({ readonly kind: "getxattr"; readonly size: number } & Named)
  | { readonly kind: "listxattr"; readonly size: number }
  | ({ readonly kind: "removexattr" } & Named)
  | { readonly kind: "flush"; readonly fh: number; readonly owner: bigint }
  | { readonly kind: "opendir"; readonly flags: number }
  | ({ readonly kind: "readdir" } & Listing)
  | ({ readonly kind: "readdirplus" } & Listing)
  | ({ readonly kind: "getlk" } & Locking)
  | ({ readonly kind: "setlk" } & Locking)
  | ({ readonly kind: "setlkw" } & Locking)
  | { readonly kind: "access"; readonly mask: number }
  | { readonly kind: "interrupt"; readonly target: bigint }
  | { readonly kind: "destroy" }
  | { readonly kind: "ioctl"; readonly fh: number; readonly command: number; readonly outSize: number; readonly data: Uint8Array }
  | { readonly kind: "fallocate"; readonly fh: number; readonly offset: number; readonly length: number; readonly mode: number }
  | { readonly kind: "lseek"; readonly fh: number; readonly offset: number; readonly whence: number }
  | { readonly kind: "copyFileRange"; readonly fh: number; readonly offset: number; readonly nodeidOut: number; readonly fhOut: number; readonly offsetOut: number; readonly length: number; readonly is64: boolean }
  | { readonly kind: "syncfs" }
  /** An opcode we do not serve: answered ENOSYS. */
  | { readonly kind: "unknown" };
export type Request = { readonly header: RequestHeader } & RequestBody;
export type RequestKind = RequestBody["kind"];
export type RequestOf<K extends RequestKind> = Extract<Request, { kind: K }>;

/** The header was whole, the rest was not: the request is answered with `errno`. */
export interface MalformedRequest {
  readonly kind: "malformed";
  readonly header: RequestHeader;
  readonly errno: number;
  readonly why: string;
}

const ENXIO = 6;
const EINVAL = 22;
const EFBIG = 27;
const EOVERFLOW = 75;

class Malformed extends Error {
  readonly errno: number;
  constructor(errno: number, why: string) {
    super(why);
    this.errno = errno;
  }
}

/** Reads one message front to back; each step checks that the bytes are there. */
class Cursor {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;
  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }
  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#end) throw new Malformed(EINVAL, `cut short at byte ${at} of ${this.#end}`);
    this.#at = at + length;
    return at;
  }
  skip(length: number): void {
    this.#take(length);
  }
  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }
  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }
  /** One of our own numbers, or a place or size in a file: below 2^53. `tooLarge`: what the user is told of others. */
  small(tooLarge = EOVERFLOW): number {
    const at = this.#take(8);
    const high = this.#bytes.readUInt32LE(at + 4);
    if (high >= 0x20_0000) throw new Malformed(tooLarge, `number at byte ${at} is not below 2^53`);
    return high * 0x1_0000_0000 + this.#bytes.readUInt32LE(at);
  }
  name(): string {
    const nul = this.#bytes.indexOf(0, this.#at);
    if (nul < 0 || nul >= this.#end) throw new Malformed(EINVAL, "name without its end");
    const name = this.#bytes.toString("latin1", this.#at, nul);
    this.#at = nul + 1;
    return name;
  }
  data(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }
}

function time(seconds: bigint, nanoseconds: number): bigint {
  return BigInt.asIntN(64, seconds) * 1_000_000_000n + BigInt(nanoseconds);
}

/**
 * Parses the message in `bytes[0, length)`. Undefined: not even a whole header, or its length field does not say
 * `length`; such a message cannot be answered.
 */
export function parseRequest(bytes: Buffer, length: number): Request | MalformedRequest | undefined {
  if (length < IN_HEADER_SIZE || length > bytes.length || bytes.readUInt32LE(0) !== length) return undefined;
  const nodeidHigh = bytes.readUInt32LE(20);
  const header: RequestHeader = {
    length,
    opcode: bytes.readUInt32LE(4),
    unique: bytes.readBigUInt64LE(8),
    nodeid: nodeidHigh * 0x1_0000_0000 + bytes.readUInt32LE(16),
    uid: bytes.readUInt32LE(24),
    gid: bytes.readUInt32LE(28),
    pid: bytes.readUInt32LE(32),
  };
  const extensionLength = bytes.readUInt16LE(36) * 8;
  const end = length - extensionLength;
  try {
    if (nodeidHigh >= 0x20_0000) throw new Malformed(EINVAL, "node id is none of ours");
    if (end < IN_HEADER_SIZE) throw new Malformed(EINVAL, "extensions longer than the message");
    const request: RequestBody & { header?: RequestHeader } = parseBody(header.opcode, new Cursor(bytes, IN_HEADER_SIZE, end), header, supplementaryGroup(bytes, end, length));
    request.header = header; // a copy of the body for each request would cost more than reading it
    return request as Request;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { kind: "malformed", header, errno: error.errno, why: error.message };
  }
}

/** Extensions follow the body; the only one asked for carries the one group that decides a creation (fuse.h 7.38). */
function supplementaryGroup(bytes: Buffer, from: number, end: number): number | undefined {
  let at = from;
  let group: number | undefined;
  while (at + 8 <= end) {
    const size = bytes.readUInt32LE(at);
    if (size < 8 || at + size > end) throw new Malformed(EINVAL, "extension of impossible size");
    if (bytes.readUInt32LE(at + 4) === EXTENSION_GROUPS) {
      if (size < 12) throw new Malformed(EINVAL, "extension of groups without a count");
      const count = bytes.readUInt32LE(at + 8);
      if (12 + 4 * count > size) throw new Malformed(EINVAL, "extension of groups cut short");
      if (count > 0) group = bytes.readUInt32LE(at + 12);
    }
    at += size;
  }
  if (at !== end) throw new Malformed(EINVAL, "extension cut short");
  return group;
}

function creating(mode: number, umask: number, name: string, group: number | undefined): Creating {
  return group === undefined ? { mode, umask, name } : { mode, umask, name, group };
}

function parseBody(opcode: number, from: Cursor, header: RequestHeader, group: number | undefined): RequestBody {
  switch (opcode) {
    case opcodes.init: {
      const [major, minor, maxReadahead, flags] = [from.u32(), from.u32(), from.u32(), from.u32()];
      const hasMore = header.length >= IN_HEADER_SIZE + 64;
      return { kind: "init", major, minor, maxReadahead, flags, flags2: hasMore ? from.u32() : 0 };
    }
    case opcodes.lookup: return { kind: "lookup", name: from.name() };
    case opcodes.forget: return { kind: "forget", forgets: [{ nodeid: header.nodeid, count: from.small() }] };
    case opcodes.batchForget: {
      const count = from.u32();
      from.skip(4);
      const forgets: { nodeid: number; count: number }[] = [];
      for (let i = 0; i < count; i++) forgets.push({ nodeid: from.small(), count: from.small() });
      return { kind: "forget", forgets };
    }
    case opcodes.getattr: {
      const flags = from.u32();
      from.skip(4);
      return { kind: "getattr", flags, fh: from.small() };
    }
    case opcodes.statx: {
      const flags = from.u32();
      from.skip(4);
      const fh = from.small();
      from.skip(4);
      return { kind: "statx", flags, fh, mask: from.u32() };
    }
    case opcodes.setattr: return parseSetattr(from);
    case opcodes.readlink: return { kind: "readlink" };
    case opcodes.symlink: {
      const name = from.name();
      const target = from.name();
      return group === undefined ? { kind: "symlink", name, target } : { kind: "symlink", name, target, group };
    }
    case opcodes.mknod: {
      const [mode, rdev, umask] = [from.u32(), from.u32(), from.u32()];
      from.skip(4);
      return { kind: "mknod", rdev, ...creating(mode, umask, from.name(), group) };
    }
    case opcodes.mkdir: {
      const [mode, umask] = [from.u32(), from.u32()];
      return { kind: "mkdir", ...creating(mode, umask, from.name(), group) };
    }
    case opcodes.unlink: return { kind: "unlink", name: from.name() };
    case opcodes.rmdir: return { kind: "rmdir", name: from.name() };
    case opcodes.rename: {
      const newDirectory = from.small();
      return { kind: "rename", newDirectory, flags: 0, name: from.name(), newName: from.name() };
    }
    case opcodes.rename2: {
      const newDirectory = from.small();
      const flags = from.u32();
      from.skip(4);
      return { kind: "rename", newDirectory, flags, name: from.name(), newName: from.name() };
    }
    case opcodes.link: return { kind: "link", target: from.small(), name: from.name() };
    case opcodes.open: return { kind: "open", flags: from.u32(), openFlags: from.u32() };
    case opcodes.create:
    case opcodes.tmpfile: {
      const [flags, mode, umask, openFlags] = [from.u32(), from.u32(), from.u32(), from.u32()];
      const kind = opcode === opcodes.create ? "create" : "tmpfile";
      return { kind, flags, openFlags, ...creating(mode, umask, from.name(), group) };
    }
    case opcodes.statfs: return { kind: "statfs" };
    case opcodes.syncfs: return { kind: "syncfs" };
    case opcodes.destroy: return { kind: "destroy" };
    case opcodes.access: return { kind: "access", mask: from.u32() };
    case opcodes.interrupt: return { kind: "interrupt", target: from.u64() };
    default: return parseWithHandle(opcode, from);
  }
}

function parseSetattr(from: Cursor): RequestBody {
  const valid = from.u32();
  from.skip(4);
  const [fh, size] = [from.small(), from.small(EFBIG)];
  from.skip(8); // lock owner
  const [atime, mtime] = [from.u64(), from.u64()];
  from.skip(8); // ctime
  const [atimeNs, mtimeNs] = [from.u32(), from.u32()];
  from.skip(4);
  const mode = from.u32();
  from.skip(4);
  const [uid, gid] = [from.u32(), from.u32()];
  from.skip(4);
  return { kind: "setattr", valid, fh, size, atimeNs: time(atime, atimeNs), mtimeNs: time(mtime, mtimeNs), mode, uid, gid };
}

/** Requests on something open, and on extended attributes. */
function parseWithHandle(opcode: number, from: Cursor): RequestBody {
  switch (opcode) {
    case opcodes.read: {
      const [fh, offset, size, readFlags] = [from.small(), clamped(from.u64(), Number.MAX_SAFE_INTEGER), from.u32(), from.u32()];
      from.skip(8);
      return { kind: "read", fh, offset, size, readFlags, flags: from.u32() };
    }
    case opcodes.write: {
      const [fh, offset, size, writeFlags] = [from.small(), from.small(EFBIG), from.u32(), from.u32()];
      from.skip(8);
      const flags = from.u32();
      from.skip(4);
      return { kind: "write", fh, offset, writeFlags, flags, data: from.data(size) };
    }
    case opcodes.release: {
      const [fh, flags, releaseFlags] = [from.small(), from.u32(), from.u32()];
      return { kind: "release", fh, flags, releaseFlags, owner: from.u64() };
    }
    case opcodes.releasedir: return { kind: "releasedir", fh: from.small() };
    case opcodes.fsync: return { kind: "fsync", fh: from.small(), flags: from.u32() };
    case opcodes.fsyncdir: return { kind: "fsyncdir", fh: from.small(), flags: from.u32() };
    case opcodes.setxattr: {
      const [size, flags, extraFlags] = [from.u32(), from.u32(), from.u32()];
      from.skip(4);
      return { kind: "setxattr", flags, extraFlags, name: from.name(), value: from.data(size) };
    }
    case opcodes.getxattr: {
      const size = from.u32();
      from.skip(4);
      return { kind: "getxattr", size, name: from.name() };
    }
    case opcodes.listxattr: return { kind: "listxattr", size: from.u32() };
    case opcodes.removexattr: return { kind: "removexattr", name: from.name() };
    case opcodes.flush: {
      const fh = from.small();
      from.skip(8);
      return { kind: "flush", fh, owner: from.u64() };
    }
    case opcodes.opendir: return { kind: "opendir", flags: from.u32() };
    case opcodes.readdir:
    case opcodes.readdirplus: {
      const kind = opcode === opcodes.readdir ? "readdir" : "readdirplus";
      return { kind, fh: from.small(), offset: from.u64(), size: from.u32() };
    }
    case opcodes.getlk: return { kind: "getlk", ...parseLock(from) };
    case opcodes.setlk: return { kind: "setlk", ...parseLock(from) };
    case opcodes.setlkw: return { kind: "setlkw", ...parseLock(from) };
    case opcodes.ioctl: {
      const fh = from.small();
      from.skip(4);
      const command = from.u32();
      from.skip(8);
      const [inSize, outSize] = [from.u32(), from.u32()];
      // Copied: these are few bytes, and an operation that waits keeps them.
      return { kind: "ioctl", fh, command, outSize, data: Uint8Array.from(from.data(inSize)) };
    }
    case opcodes.fallocate: return { kind: "fallocate", fh: from.small(), offset: from.small(EFBIG), length: from.small(EFBIG), mode: from.u32() };
    case opcodes.lseek: return { kind: "lseek", fh: from.small(), offset: from.small(ENXIO), whence: from.u32() };
    case opcodes.copyFileRange:
    case opcodes.copyFileRange64:
      return {
        kind: "copyFileRange", fh: from.small(), offset: from.small(EFBIG), nodeidOut: from.small(), fhOut: from.small(),
        offsetOut: from.small(EFBIG), length: clamped(from.u64(), COPY_LENGTH_MAX), is64: opcode === opcodes.copyFileRange64,
      };
    default: return { kind: "unknown" };
  }
}

const COPY_LENGTH_MAX = 0x4000_0000;
function clamped(value: bigint, max: number): number {
  return value > BigInt(max) ? max : Number(value);
}

function parseLock(from: Cursor): Locking {
  const [fh, owner, start, end, type, pid] = [from.small(), from.u64(), from.u64(), from.u64(), from.u32(), from.u32()];
  return { fh, owner, lock: { start, end, type, pid }, flags: from.u32() };
}
