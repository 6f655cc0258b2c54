/**
 * The bytes of a record, and what a change makes of one. Pure.
 *
 * Attribute value: magic 4, crc32 4 (of all that follows), generation 8, body length 2, zero 2, body, padding; numbers
 * little endian. The body is MessagePack: `[0, own, residency, regions, eventList, attributes, virtual]`, or, when that is
 * too long for an attribute, `[1, own, spill file, its length, its crc32]` and the former stands in the spill file.
 * `own` is the kernel handle of the object it was written for: a record that names another came along with a copy of the
 * file and counts for nothing (safety H4).
 *
 * Owns      format, limits, rules that every record keeps.
 * Units     bytes; nanoseconds since 1970 as bigint.
 */
import { Packr } from "msgpackr/pack";
import { crc32 } from "../base/crc32.js";
import { faultOfPacked } from "../base/message-pack.js";
import { isCount } from "../base/shape.js";
import type { DmFailure } from "../dmapi/errors.js";
import type { FileRecord, RecordChange, VirtualStat } from "../dmapi/record.js";
import { REGIONS_PER_FILE_MAX, regionFlags, type ManagedRegion } from "../dmapi/regions.js";

export const RECORD_INLINE_MAX = 2048;
export const ATTRIBUTE_VALUE_MAX = 64 * 1024;
export const ATTRIBUTES_PER_OBJECT_MAX = 1024;
const MAGIC = 0x31554c53; // "SLU1"
const HEAD = 20;
/** Of a spill file: the object's kernel handle and a number. */
const SPILL_NAME = /^[0-9a-f]{1,256}\.\d{1,20}$/;
const ATTRIBUTE_NAME = /^[0-9a-f]{16}$/;
/** A record of a file that is not resident is padded, so that bringing it back never needs a new block. */
const PADDING_STEP = 128;

const packr = new Packr({ useRecords: false, variableMapSize: true, mapsAsObjects: true });

export const emptyRecord: FileRecord = { generation: 0, residency: "resident", regions: [], attributes: {} };

export type DecodedRecord =
  | { readonly kind: "own"; readonly record: FileRecord }
  | { readonly kind: "spilled"; readonly generation: number; readonly spill: SpillReference }
  | { readonly kind: "foreign"; readonly generation: number }
  | { readonly kind: "corrupted"; readonly generation: number; readonly why: string };
export interface SpillReference {
  readonly name: string;
  readonly length: number;
  readonly crc: number;
}

/** Generation in the head of a value, whatever the rest is; 0 when it is not a record's. */
export function generationOf(value: Buffer, length: number): number {
  if (length < HEAD || value.readUInt32LE(0) !== MAGIC) return 0;
  return readGeneration(value);
}
function readGeneration(value: Buffer): number {
  return value.readUInt32LE(8) + value.readUInt32LE(12) * 0x1_0000_0000;
}

/** The content apart from the generation: the body of an attribute or the whole of a spill file. */
export function encodeBody(record: FileRecord, own: string): Buffer {
  const regions = record.regions.flatMap((region) => [region.offset, region.size, region.flags]);
  const virtual = record.virtual === undefined ? null : [record.virtual.size, encodeTimes(record.virtual)];
  return packr.pack([0, own, record.residency, regions, record.eventList ?? null, record.attributes, virtual]);
}
export function encodeSpillBody(own: string, spill: SpillReference): Buffer {
  return packr.pack([1, own, spill.name, spill.length, spill.crc]);
}
export function encodeValue(generation: number, body: Buffer, isPadded: boolean): Buffer {
  const length = HEAD + body.length;
  const padded = isPadded ? Math.min(RECORD_INLINE_MAX, Math.ceil((length + 16) / PADDING_STEP) * PADDING_STEP) : length;
  const value = Buffer.alloc(Math.max(length, padded));
  value.writeUInt32LE(MAGIC, 0);
  value.writeUInt32LE(generation >>> 0, 8);
  value.writeUInt32LE(Math.floor(generation / 0x1_0000_0000), 12);
  value.writeUInt16LE(body.length, 16);
  body.copy(value, HEAD);
  value.writeUInt32LE(crc32(value, 8), 4);
  return value;
}
/** Whether the body stands in the attribute itself. */
export function fitsInline(body: Buffer): boolean {
  return HEAD + body.length <= RECORD_INLINE_MAX;
}

export function decodeValue(value: Buffer, own: string): DecodedRecord {
  const generation = generationOf(value, value.length);
  const corrupted = (why: string): DecodedRecord => ({ kind: "corrupted", generation, why });
  if (value.length < HEAD) return corrupted(`${value.length} bytes are too few`);
  if (value.readUInt32LE(0) !== MAGIC) return corrupted("it does not begin as a record does");
  if (crc32(value, 8) !== value.readUInt32LE(4)) return corrupted("its checksum is wrong");
  if (!isCount(generation)) return corrupted("its generation is none");
  const bodyLength = value.readUInt16LE(16);
  if (HEAD + bodyLength > value.length) return corrupted("it is cut short");
  return decodeBody(value.subarray(HEAD, HEAD + bodyLength), generation, own);
}

/** Also of a spill file's content, whose checksum the caller has compared. */
export function decodeBody(body: Buffer, generation: number, own: string): DecodedRecord {
  const fault = faultOfPacked(body);
  if (fault !== undefined) return { kind: "corrupted", generation, why: `its body cannot be read (${fault})` };
  let fields: unknown;
  try {
    fields = packr.unpack(body);
  } catch (cause) {
    return { kind: "corrupted", generation, why: `its body cannot be read (${(cause as Error).message})` };
  }
  const corrupted = (why: string): DecodedRecord => ({ kind: "corrupted", generation, why });
  if (!Array.isArray(fields) || typeof fields[1] !== "string") return corrupted("its body is no record");
  if (fields[1] !== own) return { kind: "foreign", generation };
  if (fields[0] === 1) {
    const [, , name, length, crc] = fields as unknown[];
    if (typeof name !== "string" || !SPILL_NAME.test(name) || !isCount(length) || !isCount(crc)) return corrupted("its reference to a spill file is wrong");
    return { kind: "spilled", generation, spill: { name, length: length as number, crc: crc as number } };
  }
  if (fields[0] !== 0 || fields.length !== 7) return corrupted("its format is unknown");
  return decodeFields(fields, generation) ?? corrupted("its fields are wrong");
}

function decodeFields(fields: readonly unknown[], generation: number): DecodedRecord | undefined {
  const [, , residency, flat, eventList, packedAttributes, packedVirtual] = fields;
  if (residency !== "resident" && residency !== "partial") return undefined;
  if (!Array.isArray(flat) || flat.length % 3 !== 0 || !flat.every((item) => isCount(item))) return undefined;
  const numbers = flat as number[];
  const regions: ManagedRegion[] = [];
  for (let at = 0; at < numbers.length; at += 3) regions.push({ offset: numbers[at]!, size: numbers[at + 1]!, flags: numbers[at + 2]! });
  if (refusedRegions(regions) !== undefined || (eventList !== null && !isCount(eventList))) return undefined;
  if (typeof packedAttributes !== "object" || packedAttributes === null || Array.isArray(packedAttributes)) return undefined;
  const attributes: Record<string, Uint8Array> = {};
  for (const [name, value] of Object.entries(packedAttributes)) {
    if (!ATTRIBUTE_NAME.test(name) || !(value instanceof Uint8Array)) return undefined;
    attributes[name] = Uint8Array.from(value);
  }
  const virtual = decodeVirtual(packedVirtual);
  if (packedVirtual !== null && virtual === undefined) return undefined;
  const record: FileRecord = {
    generation, residency, regions, attributes,
    ...(typeof eventList === "number" ? { eventList } : {}), ...(virtual === undefined ? {} : { virtual }),
  };
  return { kind: "own", record };
}

function encodeTimes(virtual: VirtualStat): Buffer {
  const times = Buffer.alloc(24);
  times.writeBigInt64LE(virtual.atimeNs, 0);
  times.writeBigInt64LE(virtual.mtimeNs, 8);
  times.writeBigInt64LE(virtual.ctimeNs, 16);
  return times;
}
function decodeVirtual(packed: unknown): VirtualStat | undefined {
  if (!Array.isArray(packed) || !isCount(packed[0]) || !(packed[1] instanceof Uint8Array) || packed[1].length !== 24) return undefined;
  const times = Buffer.from(packed[1]);
  return { size: packed[0] as number, atimeNs: times.readBigInt64LE(0), mtimeNs: times.readBigInt64LE(8), ctimeNs: times.readBigInt64LE(16) };
}

/**
 * The record after a change; generation + 1 of whatever was stored, also of a foreign or damaged one (`storedGeneration`).
 * `captured` is what "capture" takes, unless users are shown a virtual state already: that one stays.
 * EINVAL: a range, name or flag that is none, or a partial file left without a READ region; E2BIG: too many.
 */
export function applyChange(
  record: FileRecord | undefined, change: RecordChange, captured: VirtualStat, storedGeneration = record?.generation ?? 0,
): { readonly record: FileRecord } | { readonly failure: DmFailure } {
  const old = record ?? emptyRecord;
  const regions = change.regions ?? old.regions;
  const refused = change.regions === undefined ? undefined : refusedRegions(change.regions);
  if (refused !== undefined) return { failure: refused };
  const attributes = changedAttributes(old.attributes, change.attributes ?? {});
  if ("failure" in attributes) return attributes;
  const residency = change.residency ?? old.residency;
  if (residency === "partial" && !regions.some((region) => (region.flags & regionFlags.read) !== 0)) {
    return invalid("a file that is not resident keeps a region with the READ flag over what is missing");
  }
  const eventList = change.eventList === undefined ? old.eventList : (change.eventList ?? undefined);
  const virtual = change.virtual === undefined ? old.virtual : change.virtual === "drop" ? undefined : (old.virtual ?? captured);
  return {
    record: {
      generation: storedGeneration + 1, residency, regions: regions.map(({ offset, size, flags }) => ({ offset, size, flags })),
      attributes: attributes.changed, ...(eventList === undefined ? {} : { eventList }), ...(virtual === undefined ? {} : { virtual }),
    },
  };
}

function refusedRegions(regions: readonly ManagedRegion[]): DmFailure | undefined {
  if (regions.length > REGIONS_PER_FILE_MAX) return { code: "E2BIG", message: `${regions.length} regions; at most ${REGIONS_PER_FILE_MAX} are allowed` };
  for (const { offset, size, flags } of regions) {
    const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(size) && offset >= 0 && size >= 0 && Number.isSafeInteger(offset + size);
    if (!isRange) return { code: "EINVAL", message: `region at ${offset} of ${size} bytes is no range` };
    if (!Number.isInteger(flags) || flags < 0 || flags > 7) return { code: "EINVAL", message: `region flags ${flags} are unknown` };
  }
  return undefined;
}

function changedAttributes(
  old: Readonly<Record<string, Uint8Array>>, change: Readonly<Record<string, Uint8Array | null>>,
): { readonly changed: Readonly<Record<string, Uint8Array>> } | { readonly failure: DmFailure } {
  const changed: Record<string, Uint8Array> = { ...old };
  for (const [name, value] of Object.entries(change)) {
    if (!ATTRIBUTE_NAME.test(name)) return invalid(`attribute name ${JSON.stringify(name)} is not 16 hexadecimal digits`);
    if (value === null) {
      delete changed[name];
      continue;
    }
    if (value.length > ATTRIBUTE_VALUE_MAX) return { failure: { code: "E2BIG", message: `attribute of ${value.length} bytes; at most ${ATTRIBUTE_VALUE_MAX}` } };
    changed[name] = value;
  }
  if (Object.keys(changed).length > ATTRIBUTES_PER_OBJECT_MAX) return { failure: { code: "E2BIG", message: `more than ${ATTRIBUTES_PER_OBJECT_MAX} attributes` } };
  return { changed };
}

function invalid(message: string): { readonly failure: DmFailure } {
  return { failure: { code: "EINVAL", message } };
}

/** Whether every byte of the range lies in a region with that flag: a hole may be made only there. */
export function coversRange(regions: readonly ManagedRegion[], flag: number, offset: number, end: number): boolean {
  let reached = offset;
  const sorted = regions.filter((region) => (region.flags & flag) !== 0).sort((a, b) => a.offset - b.offset);
  for (const region of sorted) {
    if (region.offset > reached) break;
    reached = Math.max(reached, region.size === 0 ? Number.POSITIVE_INFINITY : region.offset + region.size);
  }
  return reached >= end;
}

/**
 * Whether the second record raises events where the first did not: then members must drain before anybody relies on it.
 * The first record of an object always: from then on only nodes with a registered interest are fenced, so all must know of it.
 */
export function mustDrain(old: FileRecord | undefined, next: FileRecord): boolean {
  if (old === undefined || (next.residency === "partial" && old.residency === "resident")) return true;
  if (((next.eventList ?? 0) & ~(old.eventList ?? 0)) !== 0) return true;
  const before = old.regions;
  return next.regions.some((region) =>
    [regionFlags.read, regionFlags.write, regionFlags.truncate].some((flag) => {
      const end = region.size === 0 ? Number.POSITIVE_INFINITY : region.offset + region.size;
      return (region.flags & flag) !== 0 && !coversRange(before, flag, region.offset, end);
    }),
  );
}
