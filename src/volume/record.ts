/**
 * Reading and committing the record of an object: one setxattr of `trusted.sluice` is the commit (safety H4).
 *
 * A record too long for the attribute goes to a spill file `.sluice/meta/<own handle>.<generation>` that is on stable storage
 * before the attribute names it; the one before is removed after. A failed commit leaves the old record as it was.
 *
 * Owns      attribute and spill file.
 * Not here  who may write: the guard, or the record lock for what has none (objects.ts).
 */
import { crc32 } from "../base/crc32.js";
import { errno, errnoName } from "../os/errno.js";
import * as files from "../os/files.js";
import type { Path } from "../os/native.js";
import { FileStat } from "../os/stat.js";
import { LockRequest, setLock } from "../os/locks.js";
import type { FileRecord, VirtualStat } from "../dmapi/record.js";
import { RECORD_BYTE } from "./guard.js";
import { decodeBody, decodeValue, encodeBody, encodeSpillBody, encodeValue, fitsInline, generationOf, RECORD_INLINE_MAX, type SpillReference } from "./record-codec.js";

export const RECORD_ATTRIBUTE = "trusted.sluice";
const recordName = Buffer.from(`${RECORD_ATTRIBUTE}\0`);
const SPILL_LENGTH_MAX = 128 * 1024 * 1024;

/** Where an object's attributes are reached: its descriptor, or its path in /proc for O_PATH descriptors and symbolic links. */
export type AttributePlace = { readonly fd: number } | { readonly path: string };

export function getAttribute(place: AttributePlace, name: Path, into: Uint8Array): number {
  return "fd" in place ? files.fgetxattr(place.fd, name, into) : files.getxattrOfPath(place.path, name, into);
}
export function setAttribute(place: AttributePlace, name: Path, value: Uint8Array, flags = 0): number {
  return "fd" in place ? files.fsetxattr(place.fd, name, value, flags) : files.setxattrOfPath(place.path, name, value, flags);
}
export function removeAttribute(place: AttributePlace, name: Path): number {
  return "fd" in place ? files.fremovexattr(place.fd, name) : files.removexattrOfPath(place.path, name);
}

/** What stands in the attribute. Only "own" is a record to go by; `generation` is what a change has to exceed. */
export type StoredRecord =
  | { readonly kind: "none"; readonly generation: 0 }
  | { readonly kind: "own"; readonly generation: number; readonly record: FileRecord; readonly spill?: SpillReference }
  | { readonly kind: "foreign"; readonly generation: number }
  | { readonly kind: "corrupted"; readonly generation: number; readonly why: string }
  | { readonly kind: "failed"; readonly generation: 0; readonly errno: number };

const buffer = Buffer.alloc(RECORD_INLINE_MAX + 1);
const none: StoredRecord = { kind: "none", generation: 0 };

/** Attributes read of late and what they say: the same bytes say the same. Each read of an event's object reads one again. */
const decodedBefore = new Map<string, { readonly value: Buffer; readonly stored: StoredRecord }>();
const DECODED_MAX = 1_024;

/**
 * Generation of whatever is stored: 0 for nothing, else it differs after every change. One system call; the check after a
 * read (safety C4) compares it with that of the StoredRecord the read was admitted under. Negative errno on failure.
 */
export function peekGeneration(place: AttributePlace): number {
  const length = getAttribute(place, recordName, buffer);
  if (length >= 0) return generationOf(buffer, length);
  return length === -errno.ENODATA || length === -errno.EOPNOTSUPP || length === -errno.ERANGE ? 0 : length;
}

/** `own`: the object's kernel handle as in handles.ts. `metaFd`: the directory of spill files. */
export function readRecord(place: AttributePlace, own: string, metaFd: number): StoredRecord {
  for (;;) {
    const length = getAttribute(place, recordName, buffer);
    if (length === -errno.ENODATA || length === -errno.EOPNOTSUPP) return none;
    if (length === -errno.ERANGE) return { kind: "corrupted", generation: 0, why: `it is longer than ${RECORD_INLINE_MAX} bytes` };
    if (length < 0) return { kind: "failed", generation: 0, errno: -length };
    const known = decodedBefore.get(own);
    if (known !== undefined && known.value.length === length && known.value.compare(buffer, 0, length) === 0) return known.stored;
    const decoded = decodeValue(buffer.subarray(0, length), own);
    if (decoded.kind === "own") {
      const stored: StoredRecord = { ...decoded, generation: decoded.record.generation };
      if (decodedBefore.size >= DECODED_MAX) decodedBefore.clear();
      decodedBefore.set(own, { value: Buffer.from(buffer.subarray(0, length)), stored });
      return stored;
    }
    if (decoded.kind !== "spilled") return decoded;
    const stored = readSpill(decoded.generation, decoded.spill, own, metaFd);
    // A spill file goes when its successor is committed: then the attribute has moved on, and is read again.
    if (stored.kind !== "corrupted" || peekGeneration(place) === decoded.generation) return stored;
  }
}

function readSpill(generation: number, spill: SpillReference, own: string, metaFd: number): StoredRecord {
  const corrupted = (why: string): StoredRecord => ({ kind: "corrupted", generation, why: `spill file ${spill.name} ${why}` });
  if (spill.length > SPILL_LENGTH_MAX || spill.name.includes("/")) return corrupted("cannot be one of ours");
  const fd = files.openAt(metaFd, spill.name, files.open.readOnly | files.open.noFollow);
  if (fd < 0) return corrupted(`cannot be opened (${errnoName(fd)})`);
  const body = Buffer.alloc(spill.length);
  const length = readWhole(fd, body);
  files.close(fd);
  if (length < 0) return { kind: "failed", generation: 0, errno: -length };
  if (length !== spill.length || crc32(body) !== spill.crc) return corrupted("is damaged");
  const decoded = decodeBody(body, generation, own);
  if (decoded.kind === "own") return { ...decoded, generation, spill };
  return decoded.kind === "spilled" ? corrupted("names another") : decoded;
}
function readWhole(fd: number, into: Buffer): number {
  let at = 0;
  while (at < into.length) {
    const length = files.pread(fd, into, at, into.length - at, at);
    if (length === -errno.EINTR) continue;
    if (length < 0) return length;
    if (length === 0) break;
    at += length;
  }
  return at;
}

/** Commits `next` over `stored`; 0, or the negative errno and the old record still stands. Synced only where a spill file is. */
export function writeRecord(place: AttributePlace, own: string, metaFd: number, stored: StoredRecord, next: FileRecord): number {
  const body = encodeBody(next, own);
  let spill: SpillReference | undefined;
  let value: Buffer;
  if (fitsInline(body)) {
    value = encodeValue(next.generation, body, next.residency === "partial");
  } else {
    spill = { name: `${own}.${next.generation}`, length: body.length, crc: crc32(body) };
    const written = writeSpill(metaFd, spill.name, body);
    if (written < 0) return written;
    value = encodeValue(next.generation, encodeSpillBody(own, spill), next.residency === "partial");
  }
  const result = setAttribute(place, recordName, value);
  if (result < 0) {
    if (spill !== undefined) files.unlinkAt(metaFd, spill.name);
    return result;
  }
  if (stored.kind === "own" && stored.spill !== undefined) {
    // The old content may go only when the new attribute cannot be lost any more.
    const synced = "fd" in place ? files.fsync(place.fd) : files.syncfs(metaFd);
    if (synced >= 0) files.unlinkAt(metaFd, stored.spill.name);
  }
  return 0;
}
function writeSpill(metaFd: number, name: string, body: Buffer): number {
  const fd = files.openAt(metaFd, name, files.open.writeOnly | files.open.create | files.open.truncate | files.open.noFollow, 0o600);
  if (fd < 0) return fd;
  let result = 0;
  for (let at = 0; at < body.length && result >= 0; ) {
    const length = files.pwrite(fd, body, at, body.length - at, at);
    if (length === -errno.EINTR) continue;
    if (length <= 0) result = length === 0 ? -errno.EIO : length;
    else at += length;
  }
  if (result >= 0) result = files.fsync(fd);
  files.close(fd);
  if (result >= 0) result = files.fsync(metaFd);
  if (result < 0) files.unlinkAt(metaFd, name);
  return result;
}

const lock = new LockRequest();
/**
 * Changes virtual size and times of a file that is not resident, for a node that holds the *shared* guard on `fd`: regions
 * and residency cannot change meanwhile, and holders take turns on a byte of the file, threads of one node too.
 * What stands afterwards; -EAGAIN when another holder has the turn; any other negative errno. Never waits.
 */
export function changeVirtual(fd: number, own: string, metaFd: number, change: (old: VirtualStat) => VirtualStat): StoredRecord | number {
  const turnFd = takeRecordTurn(fd);
  if (turnFd < 0) return turnFd;
  try {
    const stored = readRecord({ fd }, own, metaFd);
    if (stored.kind !== "own" || stored.record.virtual === undefined) return stored;
    const record = { ...stored.record, generation: stored.generation + 1, virtual: change(stored.record.virtual) };
    const written = writeRecord({ fd }, own, metaFd, stored, record);
    return written < 0 ? written : { kind: "own", generation: record.generation, record };
  } finally {
    files.close(turnFd);
  }
}

/** The turn of one who holds the shared guard, until the descriptor is closed; -EAGAIN: another's. */
export function takeRecordTurn(fd: number): number {
  // A fresh open file: locks through the same one would not exclude the node's other threads.
  const turnFd = files.openNow(files.procPath(fd), files.open.readWrite);
  if (turnFd < 0) return turnFd;
  const taken = setLock(turnFd, lock.fill("write", RECORD_BYTE, 1n));
  if (taken >= 0) return turnFd;
  files.close(turnFd);
  return taken === -errno.EACCES ? -errno.EAGAIN : taken;
}

const stat = new FileStat();
/** Whether the object still has a name; a record is never written for one that is gone. Negative errno on failure. */
export function linkCount(fd: number): number {
  const result = files.fstat(fd, stat);
  return result < 0 ? result : stat.nlink;
}
