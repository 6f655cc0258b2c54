/**
 * A file that belongs to one actor at a time: bytes, size, names, attributes and time of change are known exactly at every
 * moment, and again at each hand-over to an actor on another node, who may have kept a descriptor or a mapping of it.
 *
 * What is owed: whoever opens the file, and whoever was granted a lock on a descriptor kept from before, sees all that was
 * done before on any node, whether the file was moved out and back meanwhile or not.
 *
 * Owns      names n0..n5 in the object's directory and in its directory `sub`.
 * Source    safety H7, H8, H12.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, readvSync, rmSync, writeFileSync, writevSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../base/random.js";
import { errnoName } from "../os/errno.js";
import * as files from "../os/files.js";
import { LockRequest, setLockWaiting } from "../os/locks.js";
import { type Mapping, mapFile } from "../os/memory.js";
import { addressOf } from "../os/native.js";
import { FileStat } from "../os/stat.js";
import { difference, errno, type Turn } from "./turn.js";

/** Of most files, and of every fourth, whose reads and writes the kernel cuts into several requests. */
const SIZE_MAX = 400_000;
const LARGE_SIZE_MAX = 6_000_000;
const PAGE = 4096;
const { readOnly, readWrite, create, exclusive, truncate, append, direct, dataSync } = files.open;

interface Knowledge {
  /** Below the object's directory; all of one inode. */
  names: string[];
  /** Counts the inodes that have been this file. */
  incarnation: number;
  attributes: Record<string, string>;
  mode: number;
  /** Undefined before the first turn. */
  mtimeNs?: string;
}
/** What an actor keeps from turn to turn, by the object's place. */
interface Held {
  readonly fd: number;
  readonly incarnation: number;
  readonly mapping?: Mapping & { readonly length: number };
}
const heldOf = new Map<string, Held>();
function letGo(place: string): void {
  const held = heldOf.get(place);
  if (held === undefined) return;
  heldOf.delete(place);
  held.mapping?.unmap();
  files.close(held.fd);
}

/** Bytes that no other operation writes. */
function bytesOf(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const own = new Random(random.uint32());
  const word = own.uint32();
  for (let at = 0, state = word; at < length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = (state >>> 24) | 1; // never zero: a hole never looks like content
  }
  return bytes;
}
/** Memory as O_DIRECT wants it. */
function alignedBuffer(length: number): Buffer {
  const wide = Buffer.allocUnsafeSlow(length + PAGE);
  const from = Number((BigInt(PAGE) - (addressOf(wide) % BigInt(PAGE))) % BigInt(PAGE));
  return wide.subarray(from, from + length);
}

export function dataTurn(turn: Turn): void {
  const data = new DataTurn(turn);
  if (turn.order.kind === "check") data.check();
  else data.act();
}

class DataTurn {
  readonly #turn: Turn;
  readonly #random: Random;
  readonly #known: Knowledge;
  #content: Buffer;
  #fd = -1;
  #flags: number = readWrite;
  #isChanged = false;
  readonly #stat = new FileStat();
  readonly #isLarge: boolean;
  readonly #sizeMax: number;

  constructor(turn: Turn) {
    this.#turn = turn;
    this.#isLarge = Number(/\d+$/.exec(turn.order.object)?.[0] ?? "1") % 4 === 0;
    this.#sizeMax = this.#isLarge ? LARGE_SIZE_MAX : SIZE_MAX;
    this.#random = turn.random;
    this.#known = turn.recall<Knowledge>("data", { names: [], incarnation: 0, attributes: {}, mode: 0o644 });
    const path = join(turn.known, "content");
    this.#content = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  }

  act(): void {
    const { random, order } = this.#turn;
    if (this.#known.names.length === 0) this.#makeAnew();
    this.#begin();
    for (let left = order.operations; left > 0; left--) {
      const [act] = pickWeighted(random, operations);
      act.call(this);
      this.#lookAtSize();
    }
    this.#end();
  }
  /** Reads in every way; others do the same. */
  check(): void {
    this.#begin();
    for (let left = this.#turn.order.operations; left > 0; left--) pickWeighted(this.#random, reads)[0].call(this);
    this.#readWhole();
    this.#attributes();
    this.#turn.doing("end");
    if (this.#random.chance(0.8)) this.#hold();
    else files.close(this.#fd);
  }

  #path(name = this.#known.names[0]!): string {
    return join(this.#turn.place, name);
  }
  #makeAnew(): void {
    this.#turn.doing("make");
    mkdirSync(join(this.#turn.place, "sub"), { recursive: true });
    this.#known.names = ["n0"];
    files.close(this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(), readWrite | create | exclusive, 0o644), "create"));
    this.#known.incarnation = 1;
  }

  #begin(): void {
    const held = heldOf.get(this.#turn.place);
    const isHeldSame = held?.incarnation === this.#known.incarnation;
    if (held !== undefined && isHeldSame && this.#random.chance(0.8)) {
      this.#turn.doing("take up", "the descriptor kept from before, after a lock");
      heldOf.delete(this.#turn.place);
      this.#fd = held.fd;
      this.#flags = readWrite;
      this.#turn.good(setLockWaiting(this.#fd, new LockRequest().fill(this.#random.chance(0.5) ? "read" : "write", 0n, 0n)), "lock");
      if (held.mapping !== undefined) this.#useKept(held.mapping);
      this.#turn.good(setLockWaiting(this.#fd, new LockRequest().fill("unlock", 0n, 0n)), "unlock");
    } else {
      letGo(this.#turn.place);
      this.#reopen();
    }
    this.#lookAtSize();
    if (!this.#isChanged) this.#turn.equal(this.#stat.mtimeNs.toString(), this.#known.mtimeNs ?? this.#stat.mtimeNs.toString(), "time of change at the beginning of a turn");
    this.#names();
  }
  /** What others did meanwhile is seen in it, and what is stored in it now is seen by others. */
  #useKept(mapping: Mapping & { readonly length: number }): void {
    this.#lookAtSize(); // a mapping alone does not tell the kernel that another node made the file longer again
    const length = Math.min(mapping.length, this.#content.length); // beyond the end is SIGBUS
    const wrong = difference(Buffer.from(mapping.bytes.subarray(0, length)), this.#content.subarray(0, length));
    if (wrong === undefined && length > 0 && this.#turn.order.kind === "act" && this.#random.chance(0.5)) {
      const offset = this.#random.below(length);
      const bytes = bytesOf(this.#random, Math.min(this.#random.pick([1, 1_000, 2 * PAGE]), length - offset));
      this.#turn.doing("store in the mapping kept from before", `${offset}+${bytes.length}`);
      mapping.bytes.set(bytes, offset);
      this.#turn.good(mapping.sync(), "msync");
      this.#put(bytes, offset);
      this.#isChanged = true;
    }
    mapping.unmap();
    if (wrong !== undefined) this.#turn.fail(`mapping kept from before: ${wrong}`);
  }
  #reopen(): void {
    this.#flags = readWrite | this.#random.pick([0, 0, 0, append, direct, dataSync]);
    const name = this.#random.pick(this.#known.names);
    this.#turn.doing("open", `${name} ${this.#flags.toString(8)}`);
    if (this.#fd >= 0) files.close(this.#fd);
    this.#fd = this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(name), this.#flags), "open");
  }
  #hold(): void {
    if ((this.#flags & (append | direct)) !== 0) {
      files.close(this.#fd);
      return;
    }
    const length = this.#content.length;
    const mapped = length > 0 && this.#random.chance(0.5) ? mapFile(this.#fd, length, true) : undefined;
    if (typeof mapped === "number") this.#turn.fail(`mmap to keep: ${mapped}`);
    if (mapped !== undefined) mapped.bytes[length >> 1]; // the page is in
    heldOf.set(this.#turn.place, { fd: this.#fd, incarnation: this.#known.incarnation, ...(mapped === undefined ? {} : { mapping: { ...mapped, length } }) });
  }
  #end(): void {
    this.#turn.doing("end");
    if (this.#isChanged) this.#turn.good(files.fsync(this.#fd), "fsync");
    if (this.#random.chance(0.7)) this.#hold();
    else files.close(this.#fd);
    this.#turn.good(files.statAt(files.AT_FDCWD, this.#path(), 0, this.#stat), "stat");
    this.#known.mtimeNs = this.#stat.mtimeNs.toString();
    writeFileSync(join(this.#turn.known, "content"), this.#content);
    this.#turn.keep("data", this.#known);
  }

  // What must be true at any moment.

  #lookAtSize(): void {
    this.#turn.good(files.fstat(this.#fd, this.#stat), "fstat");
    this.#turn.equal(this.#stat.size, this.#content.length, "size");
    this.#turn.equal(this.#stat.nlink, this.#known.names.length, "link count");
  }
  #names(): void {
    for (const name of this.#known.names) {
      this.#turn.good(files.statAt(files.AT_FDCWD, this.#path(name), 0, this.#stat), `stat ${name}`);
      this.#turn.equal(this.#stat.size, this.#content.length, `size by ${name}`);
      this.#turn.equal(this.#stat.mode & 0o7777, this.#known.mode, `mode by ${name}`);
    }
  }
  #attributes(): void {
    this.#turn.doing("list attributes");
    const list = Buffer.alloc(4096);
    const length = this.#turn.good(files.flistxattr(this.#fd, list), "flistxattr");
    const names = list.toString("latin1", 0, length).split("\0").filter((name) => name.startsWith("user.")).sort();
    this.#turn.equal(names.join(), Object.keys(this.#known.attributes).sort().join(), "list of attributes");
    for (const [name, expected] of Object.entries(this.#known.attributes)) {
      const value = Buffer.alloc(512);
      const got = this.#turn.good(files.fgetxattr(this.#fd, name, value), `fgetxattr ${name}`);
      this.#turn.equal(value.toString("latin1", 0, got), expected, `attribute ${name}`);
    }
  }

  // Reading.

  #range(isAligned = false): { offset: number; length: number } {
    const step = isAligned ? PAGE : 1;
    const offset = Math.floor(this.#random.below(this.#content.length + 2 * PAGE) / step) * step;
    const length = this.#random.pick([1, 100, PAGE, 5_000, 65_536, this.#isLarge ? 2_500_000 : 200_000]);
    return { offset, length: isAligned ? Math.ceil(length / step) * step : this.#random.between(1, length) };
  }
  #compare(found: Uint8Array, offset: number, length: number, how: string): void {
    const expected = this.#content.subarray(Math.min(offset, this.#content.length), Math.min(offset + length, this.#content.length));
    const wrong = difference(found, expected);
    if (wrong !== undefined) this.#turn.fail(`${how} from ${offset} of ${this.#content.length}: ${wrong}${this.#elsewhere()}`);
  }
  /** What of the file is not as it should be at this moment, where everybody sees it, the backing first, then once more here. */
  #elsewhere(): string {
    const here = { label: "now here", place: this.#turn.place };
    return [...this.#turn.elsewhere, here].map(({ label, place }) => `\n    ${label}: ${this.#seenIn(place)}`).join("");
  }
  #seenIn(place: string): string {
    const fd = files.openAt(files.AT_FDCWD, join(place, this.#known.names[0] ?? "none"), readOnly);
    if (fd < 0) return errnoName(-fd);
    const bytes = Buffer.alloc(this.#content.length + 1);
    const got = files.pread(fd, bytes, 0, bytes.length, 0);
    const ends: number[] = [];
    for (let at = 0, isData = true; at < bytes.length - 1 && ends.length < 40; isData = !isData) {
      const next = files.lseek(fd, at, isData ? files.SEEK_HOLE : files.SEEK_DATA);
      if (next < 0) break;
      ends.push(next);
      at = next;
    }
    files.close(fd);
    const wrong = got < 0 ? errnoName(-got) : (difference(bytes.subarray(0, got), this.#content) ?? "as it should be");
    return `${wrong}; data ends, and begins again, at ${ends.join(", ")}`;
  }
  #readFrom(fd: number, isDirect: boolean): void {
    const { offset, length } = this.#range(isDirect);
    this.#turn.doing(isDirect ? "read directly" : "read", `${offset}+${length}`);
    const buffer = isDirect ? alignedBuffer(length) : Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const got = this.#turn.good(files.pread(fd, buffer, done, length - done, offset + done), "pread");
      if (got === 0 || (isDirect && got % 512 !== 0)) {
        done += got;
        break;
      }
      done += got;
    }
    this.#compare(buffer.subarray(0, done), offset, length, "read");
  }
  read(): void {
    this.#readFrom(this.#fd, (this.#flags & direct) !== 0);
  }
  readFresh(): void {
    const isDirect = this.#random.chance(0.4);
    const fd = this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(this.#random.pick(this.#known.names)), readOnly | (isDirect ? direct : 0)), "open to read");
    this.#readFrom(fd, isDirect);
    files.close(fd);
  }
  #readWhole(): void {
    this.#turn.doing("read all");
    this.#compare(readFileSync(this.#path()), 0, this.#content.length, "whole");
  }
  readScattered(): void {
    if ((this.#flags & direct) !== 0) return;
    const { offset, length } = this.#range();
    this.#turn.doing("readv", `${offset}+${length}`);
    const parts = [Buffer.alloc(Math.ceil(length / 3)), Buffer.alloc(Math.ceil(length / 5)), Buffer.alloc(7)];
    const got = readvSync(this.#fd, parts, offset);
    this.#compare(Buffer.concat(parts).subarray(0, got), offset, got, "readv");
    if (got === 0 && offset < this.#content.length) this.#turn.fail("nothing before the end");
  }
  readMapped(): void {
    if (this.#content.length === 0) return;
    const fd = this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(), readOnly), "open to map");
    this.#turn.doing("read mapped");
    const mapping = mapFile(fd, this.#content.length, false);
    files.close(fd);
    if (typeof mapping === "number") this.#turn.fail(`mmap: ${mapping}`);
    const offset = this.#random.below(this.#content.length);
    const length = Math.min(this.#random.pick([1, PAGE, this.#isLarge ? 3_000_000 : 100_000]), this.#content.length - offset);
    const found = Buffer.from(mapping.bytes.subarray(offset, offset + length));
    mapping.unmap();
    this.#compare(found, offset, length, "mapping");
  }
  copyOut(): void {
    this.#turn.doing("copy out");
    const copy = join(this.#turn.known, `copy-${this.#turn.actor}`);
    copyFileSync(this.#path(), copy);
    this.#compare(readFileSync(copy), 0, this.#content.length, "copy");
    rmSync(copy);
  }
  /** Whatever is called a hole must read as zeros, and the end is where it is. */
  seek(): void {
    const offset = this.#random.below(this.#content.length + PAGE);
    const isData = this.#random.chance(0.5);
    this.#turn.doing(isData ? "seek data" : "seek hole", String(offset));
    const found = files.lseek(this.#fd, offset, isData ? files.SEEK_DATA : files.SEEK_HOLE);
    if (offset >= this.#content.length) return this.#turn.equal(found, -errno.ENXIO, "beyond the end, where lseek comes to,");
    if (!isData) {
      if (found < offset || found > this.#content.length) this.#turn.fail(`a hole at ${found} of ${this.#content.length}`);
      return;
    }
    const from = found === -errno.ENXIO ? this.#content.length : this.#turn.good(found, "lseek");
    if (from < offset) this.#turn.fail(`data at ${from}`);
    if (!this.#content.subarray(offset, from).every((byte) => byte === 0)) this.#turn.fail(`data begins only at ${found}`);
  }

  // Changing.

  /** After bytes have changed the file is not older than before. */
  #changed(before: bigint): void {
    this.#isChanged = true;
    this.#turn.good(files.fstat(this.#fd, this.#stat), "fstat");
    if (this.#stat.mtimeNs < before && before < BigInt(Date.now()) * 1_000_000n) this.#turn.fail(`the time of change went from ${before} back to ${this.#stat.mtimeNs}`);
  }
  #timeBefore(): bigint {
    this.#turn.good(files.fstat(this.#fd, this.#stat), "fstat");
    return this.#stat.mtimeNs;
  }
  #put(bytes: Buffer, offset: number): void {
    if (offset + bytes.length > this.#content.length) this.#resize(offset + bytes.length);
    bytes.copy(this.#content, offset);
  }
  #resize(size: number): void {
    const content = Buffer.alloc(size);
    this.#content.copy(content);
    this.#content = content;
  }
  #rangeToWrite(isAligned = false): { offset: number; length: number } {
    const { offset, length } = this.#range(isAligned);
    const at = Math.min(offset, this.#sizeMax - (isAligned ? this.#sizeMax % PAGE : 0));
    return { offset: at, length: Math.min(length, this.#sizeMax + 2 * PAGE - at - ((this.#sizeMax + 2 * PAGE - at) % (isAligned ? PAGE : 1))) };
  }
  write(): void {
    const isDirect = (this.#flags & direct) !== 0;
    const isAppend = (this.#flags & append) !== 0;
    const { offset, length } = this.#rangeToWrite(isDirect);
    if (isAppend && this.#content.length + length > this.#sizeMax + 2 * PAGE) return this.shrink();
    this.#turn.doing(isDirect ? "write directly" : isAppend ? "append" : "write", `${offset}+${length}`);
    const before = this.#timeBefore();
    const bytes = bytesOf(this.#random, length);
    const buffer = isDirect ? alignedBuffer(length) : bytes;
    if (isDirect) bytes.copy(buffer);
    let at = isAppend ? this.#content.length : offset;
    for (let done = 0; done < length; ) {
      const put = this.#turn.good(files.pwrite(this.#fd, buffer, done, length - done, at), "pwrite");
      this.#put(bytes.subarray(done, done + put), at);
      done += put;
      at += put;
    }
    this.#changed(before);
  }
  writeGathered(): void {
    if ((this.#flags & (direct | append)) !== 0) return;
    const { offset } = this.#rangeToWrite();
    this.#turn.doing("writev", String(offset));
    const before = this.#timeBefore();
    const parts = [1, 4_000, 300].map((length) => bytesOf(this.#random, length));
    const whole = Buffer.concat(parts);
    const put = writevSync(this.#fd, parts, offset);
    this.#turn.equal(put, whole.length, "what writev wrote");
    this.#put(whole, offset);
    this.#changed(before);
  }
  appendFresh(): void {
    if (this.#content.length > this.#sizeMax) return this.shrink();
    const bytes = bytesOf(this.#random, this.#random.between(1, 9_000));
    this.#turn.doing("append by another open", `${bytes.length} at ${this.#content.length}`);
    const fd = this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(), files.open.writeOnly | append), "open to append");
    const before = this.#timeBefore();
    this.#turn.equal(files.pwrite(fd, bytes, 0, bytes.length, 0), bytes.length, "what was appended");
    this.#put(bytes, this.#content.length);
    files.close(fd);
    this.#changed(before);
  }
  #truncate(size: number): void {
    const byName = this.#random.chance(0.3);
    this.#turn.doing(byName ? "truncate by an open of its own" : "truncate", `${this.#content.length} to ${size}`);
    const before = this.#timeBefore();
    const fd = byName ? this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(), files.open.writeOnly), "open to truncate") : this.#fd;
    this.#turn.good(files.ftruncate(fd, size), "ftruncate");
    if (byName) files.close(fd);
    this.#resize(size);
    this.#changed(before);
  }
  shrink(): void {
    this.#truncate(this.#random.below(this.#content.length + 1));
  }
  grow(): void {
    this.#truncate(Math.min(this.#sizeMax, this.#content.length + this.#random.below(this.#isLarge ? 3_000_000 : 60_000)));
  }
  openTruncating(): void {
    this.#turn.doing("open with O_TRUNC");
    const before = this.#timeBefore();
    files.close(this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(), readWrite | truncate), "open with O_TRUNC"));
    this.#resize(0);
    this.#changed(before);
  }
  allocate(): void {
    const { offset, length } = this.#rangeToWrite();
    const mode = this.#random.pick([0, files.FALLOC_KEEP_SIZE, files.FALLOC_KEEP_SIZE | files.FALLOC_PUNCH_HOLE, files.FALLOC_ZERO_RANGE, files.FALLOC_ZERO_RANGE | files.FALLOC_KEEP_SIZE]);
    this.#turn.doing(`fallocate ${mode}`, `${offset}+${length}`);
    const result = files.fallocate(this.#fd, mode, offset, length);
    if (result === -errno.EOPNOTSUPP && (mode & files.FALLOC_ZERO_RANGE) !== 0) return; // not every backing has it
    this.#turn.good(result, "fallocate");
    const end = offset + length;
    if ((mode & files.FALLOC_KEEP_SIZE) === 0 && end > this.#content.length) this.#resize(end);
    if ((mode & (files.FALLOC_PUNCH_HOLE | files.FALLOC_ZERO_RANGE)) !== 0) this.#content.fill(0, Math.min(offset, this.#content.length), Math.min(end, this.#content.length));
    this.#isChanged = true;
  }
  store(): void {
    if (this.#content.length === 0) return;
    const offset = this.#random.below(this.#content.length);
    const bytes = bytesOf(this.#random, Math.min(this.#random.pick([1, 1_000, 3 * PAGE]), this.#content.length - offset));
    const isSynced = this.#random.chance(0.6);
    this.#turn.doing(isSynced ? "store mapped, msync" : "store mapped", `${offset}+${bytes.length}`);
    const fd = this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(), readWrite), "open to map");
    const mapping = mapFile(fd, this.#content.length, true);
    if (typeof mapping === "number") this.#turn.fail(`mmap: ${mapping}`);
    mapping.bytes.set(bytes, offset);
    if (isSynced) this.#turn.good(mapping.sync(), "msync");
    mapping.unmap();
    files.close(fd); // writes back what was not synced
    this.#put(bytes, offset);
    this.#isChanged = true;
  }
  copyWithin(): void {
    if ((this.#flags & (append | direct)) !== 0 || this.#content.length < 2) return;
    const half = this.#content.length >> 1;
    const from = this.#random.below(half);
    const length = this.#random.between(1, half - from);
    const to = half + this.#random.below(half);
    this.#turn.doing("copy_file_range", `${from}+${length} to ${to}`);
    for (let done = 0; done < length; ) {
      const copied = this.#turn.good(files.copyFileRange(this.#fd, from + done, this.#fd, to + done, length - done), "copy_file_range");
      if (copied === 0) this.#turn.fail(`ended after ${done}`);
      this.#put(Buffer.from(this.#content.subarray(from + done, from + done + copied)), to + done);
      done += copied;
    }
    this.#isChanged = true;
  }
  copyBetween(): void {
    if ((this.#flags & direct) !== 0) return;
    this.#turn.doing("copy_file_range to another file and back");
    const other = this.#path("other");
    const fd = this.#turn.good(files.openAt(files.AT_FDCWD, other, readWrite | create | truncate, 0o600), "create");
    for (let done = 0; done < this.#content.length; ) {
      const copied = this.#turn.good(files.copyFileRange(this.#fd, done, fd, done, this.#content.length - done), "copy_file_range");
      if (copied === 0) this.#turn.fail(`ended after ${done}`);
      done += copied;
    }
    files.close(fd);
    this.#compare(readFileSync(other), 0, this.#content.length, "copy");
    this.#turn.good(files.unlinkAt(files.AT_FDCWD, other), "unlink");
  }
  sync(): void {
    const isData = this.#random.chance(0.5);
    this.#turn.doing(isData ? "fdatasync" : "fsync");
    this.#turn.good(isData ? files.fdatasync(this.#fd) : files.fsync(this.#fd), "sync");
  }
  reopen(): void {
    this.#reopen();
  }

  // Attributes and names.

  setAttribute(): void {
    const name = `user.${this.#random.pick(["a", "b", "c", "d"])}`;
    if (this.#random.chance(0.3)) {
      this.#turn.doing("remove attribute", name);
      const expected = this.#known.attributes[name] === undefined ? -errno.ENODATA : 0;
      this.#turn.equal(files.fremovexattr(this.#fd, name), expected, "fremovexattr");
      delete this.#known.attributes[name];
    } else {
      const value = `${this.#random.uint32()}`.repeat(this.#random.between(1, 12));
      this.#turn.doing("set attribute", `${name}=${value}`);
      this.#turn.good(files.fsetxattr(this.#fd, name, Buffer.from(value)), "fsetxattr");
      this.#known.attributes[name] = value;
    }
  }
  attributes(): void {
    this.#attributes();
  }
  setMode(): void {
    const mode = this.#random.pick([0o600, 0o644, 0o755, 0o666]);
    this.#turn.doing("chmod", mode.toString(8));
    this.#turn.good(files.fchmod(this.#fd, mode), "fchmod");
    this.#known.mode = mode;
  }
  setTimes(): void {
    const mtimeNs = BigInt(this.#random.between(1, 4_000_000_000)) * 1_000_000_000n + BigInt(this.#random.below(1_000_000_000));
    this.#turn.doing("utimens", String(mtimeNs));
    this.#turn.good(files.futimens(this.#fd, "omit", mtimeNs), "futimens");
    this.#turn.good(files.statAt(files.AT_FDCWD, this.#path(), 0, this.#stat), "stat");
    this.#turn.equal(this.#stat.mtimeNs, mtimeNs, "time of change");
  }
  #freeName(): string {
    const taken = new Set(this.#known.names);
    const free = ["n0", "n1", "n2", "n3", "sub/n0", "sub/n1", "sub/n2"].filter((name) => !taken.has(name));
    return this.#random.pick(free);
  }
  rename(): void {
    const at = this.#random.below(this.#known.names.length);
    const to = this.#freeName();
    const flags = this.#random.chance(0.3) ? files.RENAME_NOREPLACE : 0;
    this.#turn.doing("rename", `${this.#known.names[at]} to ${to} ${flags}`);
    this.#turn.good(files.renameAt(files.AT_FDCWD, this.#path(this.#known.names[at]), files.AT_FDCWD, this.#path(to), flags), "rename");
    this.#gone(this.#known.names[at]!);
    this.#known.names[at] = to;
    this.#names();
  }
  #gone(name: string): void {
    this.#turn.equal(files.statAt(files.AT_FDCWD, this.#path(name), 0, this.#stat), -errno.ENOENT, `stat of ${name}, which is gone,`);
  }
  link(): void {
    if (this.#known.names.length > 2) return this.unlink();
    const name = this.#freeName();
    this.#turn.doing("link", name);
    this.#turn.good(files.linkAt(files.AT_FDCWD, this.#path(), files.AT_FDCWD, this.#path(name)), "link");
    this.#known.names.push(name);
    this.#names();
  }
  unlink(): void {
    if (this.#known.names.length < 2) return this.replace();
    const [name] = this.#known.names.splice(this.#random.below(this.#known.names.length), 1);
    this.#turn.doing("unlink", name);
    this.#turn.good(files.unlinkAt(files.AT_FDCWD, this.#path(name)), "unlink");
    this.#gone(name!);
    this.#names();
  }
  /** As editors do: a new file, with a name of its own or none until it is whole, takes the place of the old one. */
  replace(): void {
    const isUnnamed = this.#random.chance(0.4);
    this.#turn.doing(isUnnamed ? "replace by O_TMPFILE and link" : "replace by rename");
    const name = this.#random.pick(this.#known.names);
    const fresh = this.#path("fresh");
    const fd = isUnnamed
      ? this.#turn.good(files.openAt(files.AT_FDCWD, this.#turn.place, readWrite | files.open.temporary, this.#known.mode), "O_TMPFILE")
      : this.#turn.good(files.openAt(files.AT_FDCWD, fresh, readWrite | create | exclusive, this.#known.mode), "create");
    const bytes = bytesOf(this.#random, this.#random.between(1, 50_000));
    for (let done = 0; done < bytes.length; ) done += this.#turn.good(files.pwrite(fd, bytes, done, bytes.length - done, done), "pwrite");
    if (isUnnamed) this.#turn.good(files.linkAt(files.AT_FDCWD, files.procPath(fd), files.AT_FDCWD, fresh, files.AT_SYMLINK_FOLLOW), "link of the unnamed");
    this.#turn.good(files.fchmod(fd, this.#known.mode), "fchmod");
    this.#turn.good(files.renameAt(files.AT_FDCWD, fresh, files.AT_FDCWD, this.#path(name)), "rename over");
    for (const other of this.#known.names) if (other !== name) this.#turn.good(files.unlinkAt(files.AT_FDCWD, this.#path(other)), "unlink");
    this.#becomes(fd, name, bytes);
  }
  /** The last name goes, the open file stays, and is read and written as before. */
  openUnlinked(): void {
    if ((this.#flags & (direct | append)) !== 0) return;
    this.#turn.doing("unlink all names of the open file");
    const name = this.#random.pick(this.#known.names);
    for (const each of this.#known.names) this.#turn.good(files.unlinkAt(files.AT_FDCWD, this.#path(each)), "unlink");
    this.#known.names = [];
    this.#lookAtSize();
    this.write();
    this.#lookAtSize();
    this.read();
    this.#turn.doing("copy it to a new file");
    const copy = Buffer.alloc(this.#content.length);
    for (let done = 0; done < copy.length; ) {
      const got = this.#turn.good(files.pread(this.#fd, copy, done, copy.length - done, done), "pread");
      if (got === 0) this.#turn.fail(`ends at ${done} of ${copy.length}`);
      done += got;
    }
    this.#compare(copy, 0, copy.length, "open file without a name");
    const fd = this.#turn.good(files.openAt(files.AT_FDCWD, this.#path(name), readWrite | create | exclusive, this.#known.mode), "create");
    for (let done = 0; done < copy.length; ) done += this.#turn.good(files.pwrite(fd, copy, done, copy.length - done, done), "pwrite");
    this.#turn.good(files.fchmod(fd, this.#known.mode), "fchmod");
    this.#becomes(fd, name, copy);
  }
  #becomes(fd: number, name: string, content: Buffer): void {
    files.close(this.#fd);
    this.#fd = fd;
    this.#flags = readWrite;
    this.#content = content;
    this.#isChanged = true;
    this.#known.names = [name];
    this.#known.attributes = {};
    this.#known.incarnation++;
    this.#names();
  }
}

type Operation = readonly [act: (this: DataTurn) => void, weight: number];
const of = DataTurn.prototype;
const reads: readonly Operation[] = [[of.read, 8], [of.readFresh, 4], [of.readScattered, 2], [of.readMapped, 6], [of.copyOut, 1], [of.seek, 3], [of.attributes, 1]];
const operations: readonly Operation[] = [
  ...reads,
  [of.write, 14], [of.writeGathered, 3], [of.appendFresh, 4], [of.shrink, 4], [of.grow, 4], [of.openTruncating, 1], [of.allocate, 6], [of.store, 8],
  [of.copyWithin, 3], [of.copyBetween, 1], [of.sync, 2], [of.reopen, 4], [of.setAttribute, 3], [of.setMode, 1], [of.setTimes, 2],
  [of.rename, 3], [of.link, 2], [of.unlink, 2], [of.replace, 1], [of.openUnlinked, 1],
];

function pickWeighted(random: Random, from: readonly Operation[]): Operation {
  let left = random.below(from.reduce((sum, [, weight]) => sum + weight, 0));
  for (const operation of from) {
    left -= operation[1];
    if (left < 0) return operation;
  }
  return from[0]!;
}
