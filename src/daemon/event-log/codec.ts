/**
 * Bytes of the event log: frames of `[length u32][crc32 of length and body u32][body]`, little endian, the body MessagePack. A
 * frame that was torn by a crash, or damaged, is told from a whole one; after it nothing is read.
 *
 * An event is `[sequence, previous, fs, event, process | nil, raisedOn | nil]`; a cursor record is the list of all cursors of a host.
 *
 * Not here  files (store.ts).
 * Source    safety M11; cluster/durable-events/event-log.ts.
 */
import { Packr } from "msgpackr/pack";
import { crc32 } from "../../base/crc32.js";
import { faultOfPacked } from "../../base/message-pack.js";
import { isCount, isRecord, isText, listOf, mapOf } from "../../base/shape.js";
import type { LogCursor, LoggedEvent } from "../../cluster/durable-events/event-log.js";
import { eventTypes } from "../../dmapi/events.js";

export const FRAME_HEAD_BYTES = 8;
/** An event carries at most a message's data and two names. */
export const EVENT_BODY_BYTES_MAX = 64 * 1024;
/** Cursors grow with what is acknowledged out of turn. */
export const CURSOR_BODY_BYTES_MAX = 4 * 1024 * 1024;

/** msgpackr's own types do not list `skipValues`; `copyBuffers` because an event outlives the chunk it was read in. */
const packing = { useRecords: false, skipValues: [undefined], copyBuffers: true };
const packr = new Packr(packing);

export function encodeEvent({ sequence, previous, fs, event, process, raisedOn }: LoggedEvent): Buffer {
  return framedBody(packr.pack([sequence, previous, fs, event, process ?? null, raisedOn ?? null]));
}
export function encodeCursors(cursors: readonly LogCursor[]): Buffer {
  return framedBody(packr.pack(cursors.map(({ node, incarnation, through, beyond }) => ({ node, incarnation, through, beyond }))));
}

/** A body of whatever content, whole to the eye of a reader. */
export function framedBody(body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEAD_BYTES + body.length);
  bytes.writeUInt32LE(body.length, 0);
  bytes.set(body, FRAME_HEAD_BYTES);
  bytes.writeUInt32LE(checksum(bytes, FRAME_HEAD_BYTES, body.length), 4);
  return bytes;
}
function checksum(bytes: Uint8Array, at: number, length: number): number {
  // A length of zeros with a body of zeros must not look whole, as in a file grown by a crash.
  return (crc32(bytes, at, at + length) ^ 0x51ce106 ^ length) >>> 0;
}

/** The body of the frame at `at`; undefined when no whole one is there. */
function bodyAt(bytes: Buffer, at: number, lengthMax: number): Buffer | undefined {
  if (at + FRAME_HEAD_BYTES > bytes.length) return undefined;
  const length = bytes.readUInt32LE(at);
  const begin = at + FRAME_HEAD_BYTES;
  if (length > lengthMax || begin + length > bytes.length || bytes.readUInt32LE(at + 4) !== checksum(bytes, begin, length)) return undefined;
  return bytes.subarray(begin, begin + length);
}

export interface Framed<T> {
  readonly value: T;
  /** Where the next frame begins. */
  readonly next: number;
}
/** The event at `at` and where the next one begins; undefined when no whole event is there. */
export function decodeEvent(bytes: Buffer, at: number): Framed<LoggedEvent> | undefined {
  const body = bodyAt(bytes, at, EVENT_BODY_BYTES_MAX);
  const value = body === undefined ? undefined : unpacked(body);
  if (body === undefined || !Array.isArray(value) || value.length !== 6) return undefined;
  const [sequence, previous, fs, event, process, raisedOn] = value as unknown[];
  if (!isCount(sequence) || !isCount(previous) || (previous as number) >= (sequence as number) || !isText(fs) || !isEvent(event) || !(process === null || isProcess(process)) || !(raisedOn === null || isText(raisedOn))) return undefined;
  const logged = { sequence, previous, fs, event, ...(process === null ? {} : { process }), ...(raisedOn === null ? {} : { raisedOn }) } as LoggedEvent;
  return { value: logged, next: at + FRAME_HEAD_BYTES + body.length };
}
export function decodeCursors(bytes: Buffer, at: number): Framed<readonly LogCursor[]> | undefined {
  const body = bodyAt(bytes, at, CURSOR_BODY_BYTES_MAX);
  const value = body === undefined ? undefined : unpacked(body);
  if (body === undefined || !isCursors(value)) return undefined;
  return { value: value as LogCursor[], next: at + FRAME_HEAD_BYTES + body.length };
}

function unpacked(body: Buffer): unknown {
  if (faultOfPacked(body) !== undefined) return undefined;
  try {
    return packr.unpack(body) as unknown;
  } catch {
    return undefined;
  }
}
const isProcess = mapOf({ pid: isCount, uid: isCount, gid: isCount, command: isText });
const isCursors = listOf(mapOf({ node: isText, incarnation: isCount, through: isCount, beyond: listOf(isCount) }));
const types = new Set<unknown>(eventTypes);
/** The frame's checksum says that we wrote it; which fields an event has is the writer's business. */
const isEvent = (value: unknown): boolean => isRecord(value) && types.has(value["type"]);
