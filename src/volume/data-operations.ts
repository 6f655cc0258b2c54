/**
 * Operations on an object's bytes and attributes that no user sees: holes, allocation, invisible I/O, file attributes.
 *
 * Times are put back after each, written data synced before them (safety H12).
 * Source    XDSM C429 2.9, 2.10, 6.6; safety C1, C3.
 */
import type { ArgsOf, Extent, ResultOf } from "../dmapi/calls.js";
import type { FileRecord, VirtualStat } from "../dmapi/record.js";
import { regionFlags } from "../dmapi/regions.js";
import { errno } from "../os/errno.js";
import * as files from "../os/files.js";
import { removeMark } from "./mark.js";
import { captureVirtual, fail, must, type ChangedRecord, type OpenObject } from "./object.js";
import { coversRange } from "./record-codec.js";
import type { Changed } from "./record-operations.js";

/** Larger invisible I/O goes through a descriptor. */
export const INVISIBLE_LENGTH_MAX = 4 * 1024 * 1024;
export const EXTENTS_MAX = 4096;

function offsetOf(object: OpenObject, value: unknown, name: string): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : fail("EINVAL", object.call, `${name} ${String(value)} is no offset`);
}
function alignDown(value: number, step: number): number {
  return Math.floor(value / step) * step;
}
function alignUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** The range to punch; E2BIG beyond the end of the file. `length` 0 means to the end. */
function holeRange(object: OpenObject, args: { readonly offset: number; readonly length: number }): { offset: number; end: number; isToEnd: boolean } {
  object.requireRegular();
  const offset = offsetOf(object, args.offset, "offset");
  const length = offsetOf(object, args.length, "length");
  const size = object.stat.size;
  if (offset >= size || offset + length > size) fail("E2BIG", object.call, `bytes ${offset} to ${offset + length} of a file of ${size}`);
  const isToEnd = length === 0 || offset + length === size;
  return { offset, end: isToEnd ? size : offset + length, isToEnd };
}
export function probeHole(object: OpenObject, args: ArgsOf<"hole.probe">): ResultOf<"hole.probe"> {
  const { offset, end, isToEnd } = holeRange(object, args);
  const block = object.stat.blockSize;
  const from = alignUp(offset, block);
  if (isToEnd) return { offset: from, length: 0 };
  const length = alignDown(end, block) - from;
  if (length <= 0) fail("EINVAL", object.call, `no whole block of ${block} bytes lies in the range`);
  return { offset: from, length };
}

/**
 * Frees the range, under the exclusive guard. A hole is made only under a region with the READ flag in the record as it
 * stands now, so that no reader meets it; a file still called resident is called partial first.
 */
export function punchHole(object: OpenObject, args: ArgsOf<"hole.punch">): Changed<ResultOf<"hole.punch">> {
  object.requireRegular();
  object.takeForChange();
  object.refreshStat();
  if (object.stat.nlink === 0) fail("EBADF", object.call, "the object has been removed");
  const { offset, end, isToEnd } = holeRange(object, args);
  const block = object.stat.blockSize;
  if (offset % block !== 0 || (!isToEnd && end % block !== 0)) fail("EAGAIN", object.call, `the range is not on the boundaries of ${block} bytes that probe gives`);
  const record = object.readRecord();
  if (!coversRange(record?.regions ?? [], regionFlags.read, offset, end)) {
    fail("EINVAL", object.call, "no region with the READ flag stands over the whole range, so readers would see zeros");
  }
  let changed: ChangedRecord | undefined;
  if (record?.residency !== "partial") changed = object.changeRecord(() => ({ residency: "partial", virtual: "capture" }));
  const times = captureVirtual(object.stat);
  must(files.fallocate(object.fd, files.FALLOC_PUNCH_HOLE | files.FALLOC_KEEP_SIZE, offset, alignUp(end, block) - offset), object.call, "the hole cannot be punched");
  must(files.fsync(object.fd), object.call, "the hole cannot be synced");
  putTimesBack(object, times);
  return changed === undefined ? { result: {} } : { result: {}, changed };
}
function putTimesBack(object: OpenObject, times: VirtualStat): void {
  must(files.futimens(object.fd, times.atimeNs, times.mtimeNs), object.call, "times cannot be put back");
}

export function getAllocation(object: OpenObject, args: ArgsOf<"allocation.get">): ResultOf<"allocation.get"> {
  object.requireRegular();
  const start = offsetOf(object, args.offset, "offset");
  const max = offsetOf(object, args.max, "max");
  const size = object.stat.size;
  if (max === 0) fail("EINVAL", object.call, "room for no extent");
  if (start % object.stat.blockSize !== 0 || start > size || (start === size && size > 0)) fail("EINVAL", object.call, `offset ${start} is not on a block of a file of ${size} bytes`);
  const extents: Extent[] = [];
  let at = start;
  while (at < size && extents.length < Math.min(max, EXTENTS_MAX)) {
    const data = files.lseek(object.fd, at, files.SEEK_DATA);
    if (data < 0 && data !== -errno.ENXIO) must(data, object.call, "allocation cannot be asked");
    const isHole = data !== at;
    const next = isHole ? (data < 0 ? size : Math.min(data, size)) : Math.min(must(files.lseek(object.fd, at, files.SEEK_HOLE), object.call, "allocation cannot be asked"), size);
    extents.push({ type: isHole ? "hole" : "resident", offset: at, length: next - at });
    at = next;
  }
  return { extents, next: at < size ? at : null };
}

export function readInvisibly(object: OpenObject, args: ArgsOf<"invisible.read">): ResultOf<"invisible.read"> {
  object.requireRegular();
  const offset = offsetOf(object, args.offset, "offset");
  const length = offsetOf(object, args.length, "length");
  if (length > INVISIBLE_LENGTH_MAX) fail("E2BIG", object.call, `at most ${INVISIBLE_LENGTH_MAX} bytes a call; open a descriptor`);
  if (offset > object.stat.size) fail("EINVAL", object.call, `offset ${offset} beyond the end, ${object.stat.size}`);
  const data = Buffer.alloc(Math.min(length, object.stat.size - offset));
  let at = 0;
  while (at < data.length) {
    const got = files.pread(object.fd, data, at, data.length - at, offset + at);
    if (got === -errno.EINTR) continue;
    if (must(got, object.call, "cannot be read") === 0) break;
    at += got;
  }
  return { data: data.subarray(0, at) };
}

export type Unseen<T> = Changed<T> & {
  /** Nodes may have old bytes in their page caches, which size and mtime would not betray. */
  readonly dropsPages: boolean;
};
export function writeInvisibly(object: OpenObject, args: ArgsOf<"invisible.write">): Unseen<ResultOf<"invisible.write">> {
  object.requireRegular();
  const offset = offsetOf(object, args.offset, "offset");
  if (!(args.data instanceof Uint8Array)) fail("EINVAL", object.call, "data is bytes");
  if (args.data.length > INVISIBLE_LENGTH_MAX) fail("E2BIG", object.call, `at most ${INVISIBLE_LENGTH_MAX} bytes a call; open a descriptor`);
  if (!Number.isSafeInteger(offset + args.data.length)) fail("EFBIG", object.call, "beyond the largest file");
  object.takeForChange();
  object.refreshStat();
  const record = object.readRecord();
  if (object.stat.nlink === 0 && record?.residency !== "partial") fail("EBADF", object.call, "the object has been removed");
  const times = captureVirtual(object.stat);
  // Whoever copies the file out must see that its content changed; what is recalled has no copy under way.
  if (record?.residency !== "partial") must(removeMark(object.fd), object.call, "the mark cannot be removed");
  writeWhole(object, Buffer.from(args.data.buffer, args.data.byteOffset, args.data.length), offset);
  must(files.fdatasync(object.fd), object.call, "written data cannot be synced");
  putTimesBack(object, times);
  const end = offset + args.data.length;
  const changed = growVirtual(object, record, end);
  const isRecall = record?.residency === "partial" && coversRange(record.regions, regionFlags.read, offset, end);
  return { result: { length: args.data.length }, dropsPages: !isRecall && args.data.length > 0, ...(changed === undefined ? {} : { changed }) };
}
function writeWhole(object: OpenObject, data: Buffer, offset: number): void {
  for (let at = 0; at < data.length; ) {
    const put = files.pwrite(object.fd, data, at, data.length - at, offset + at);
    if (put === -errno.EINTR) continue;
    at += must(put, object.call, "cannot be written");
  }
}
/** A file that is shown by its record and became longer is shown longer. */
function growVirtual(object: OpenObject, record: FileRecord | undefined, end: number): ChangedRecord | undefined {
  if (record?.virtual === undefined || end <= record.virtual.size) return undefined;
  return object.changeRecord(() => ({}), { ...record.virtual, size: end });
}

export function getFileAttributes(object: OpenObject): ResultOf<"fileattr.get"> {
  return object.attributes(object.readRecord());
}

/** Backing first, then what users are shown of a file that is not resident. */
export function setFileAttributes(object: OpenObject, args: ArgsOf<"fileattr.set">): Unseen<ResultOf<"fileattr.set">> {
  if (args.size !== undefined) object.requireRegular();
  object.takeForChange(args.size === undefined);
  object.refreshStat();
  const record = object.readRecord();
  const before = captureVirtual(object.stat);
  if (args.size !== undefined && args.size !== object.stat.size) {
    offsetOf(object, args.size, "size");
    if (record?.residency !== "partial") must(removeMark(object.fd), object.call, "the mark cannot be removed");
    must(files.ftruncate(object.fd, args.size), object.call, "cannot be truncated");
    putTimesBack(object, before);
  }
  if (args.uid !== undefined || args.gid !== undefined) {
    const result = files.chownAt(object.fd, "", args.uid ?? 0xffffffff, args.gid ?? 0xffffffff, files.AT_EMPTY_PATH);
    must(result, object.call, "owner cannot be changed");
  }
  if (args.mode !== undefined && !object.stat.isSymlink) must(files.chmodOfPath(files.procPath(object.fd), args.mode & 0o7777), object.call, "mode cannot be changed");
  if (args.atimeNs !== undefined || args.mtimeNs !== undefined) {
    const result = files.utimensAt(object.fd, "", args.atimeNs ?? "omit", args.mtimeNs ?? "omit", files.AT_EMPTY_PATH);
    must(result, object.call, "times cannot be changed");
  }
  // Kernels that keep attributes are told of all but the time of access.
  const dropsPages = [args.size, args.mtimeNs, args.mode, args.uid, args.gid].some((value) => value !== undefined);
  const virtual = record?.virtual;
  if (virtual === undefined) return { result: {}, dropsPages };
  const shown = { ...virtual, size: args.size ?? virtual.size, atimeNs: args.atimeNs ?? virtual.atimeNs, mtimeNs: args.mtimeNs ?? virtual.mtimeNs };
  return { result: {}, dropsPages, changed: object.changeRecord(() => ({}), shown) };
}

export function syncObject(object: OpenObject): ResultOf<"object.sync"> {
  object.requireRegular();
  must(files.fsync(object.fd), object.call, "cannot be synced");
  return {};
}
