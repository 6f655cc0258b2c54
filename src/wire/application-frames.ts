/**
 * Frames between an application and its daemon: a length of 4 bytes (big endian, without itself), then one MessagePack
 * array. Up: `[id, name, args]` and `[id, 2]` (abandon); down: `[id, 0, result]` and `[id, 1, {code, message}]`. An answer that asks
 * for the next event goes up as `[id, 3, bytes]`, and one event down as `[id, 2, bytes]` (laid-by-hand.ts).
 * The same module serves both ends, so that they cannot differ. An application's first call is `protocol.hello` with the
 * range of versions it speaks; the answer is the highest common one, with the daemon's range, or EPROTO naming both. One
 * that says no hello speaks version 1, and so does a daemon that does not know the call.
 *
 * On `<socket>.fd` there are no frames: the client sends a ticket and a newline, the daemon answers with one byte that
 * carries the descriptor (SCM_RIGHTS), or closes without a byte when it knows no such ticket.
 *
 * Owns      bytes received but not yet a whole frame.
 * Units     bytes. Whole numbers beyond 2^53 and times travel as bigint and come back as bigint.
 * Source    dmapi/calls.ts.
 */
import { Packr, RESERVE_START_SPACE } from "msgpackr/pack";
import { faultOfPacked } from "../base/message-pack.js";
import type { VersionRange } from "../base/version-range.js";
import { type DmCode, errnoOf } from "../dmapi/errors.js";
import type { CallFailure } from "../dmapi/calls.js";
import { laidNextEvent, laidResult, LAYOUT_BYTES_MAX, layNextEvent, layResult } from "./laid-by-hand.js";

export const FRAME_LENGTH_MAX = 8 * 1024 * 1024;
export const LENGTH_BYTES = 4;
export const APPLICATION_PROTOCOL_VERSIONS: VersionRange = { lowest: 1, highest: 1 };
export const HELLO_CALL = "protocol.hello";
const EVENT_CALL = "event.get";

/** What the other end sent is no frame: the connection has to be closed. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

export type FrameToDaemon =
  | { readonly kind: "call"; readonly id: number; readonly name: string; readonly args: Readonly<Record<string, unknown>> }
  | { readonly kind: "abandon"; readonly id: number };
export type FrameToApplication =
  | { readonly kind: "result"; readonly id: number; readonly result: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly failure: CallFailure };

/** Plain maps only, and an absent field is not sent at all (msgpackr's own types do not list `skipValues`); bytes in them outlive the frame. */
const packing = { useRecords: false, skipValues: [undefined], copyBuffers: true };
const packr = new Packr(packing);

/** @throws FrameError when the message is longer than a frame may be. */
function frame(message: readonly unknown[]): Buffer {
  const bytes = packr.pack(message, RESERVE_START_SPACE | LENGTH_BYTES);
  const length = bytes.length - LENGTH_BYTES;
  if (length > FRAME_LENGTH_MAX) throw new FrameError(`a frame of ${length} bytes; at most ${FRAME_LENGTH_MAX} are allowed`);
  bytes.writeUInt32BE(length, 0);
  return bytes;
}

/** How a frame begins whose content is laid out by hand: an array of three, an id of 4 bytes, which layout, bytes with a length of 2. */
const ARRAY_OF_3 = 0x93;
const UINT32 = 0xce;
const BIN16 = 0xc5;
const LAID_HEAD = 10;
const layouts = { oneEvent: 2, nextEvent: 3 } as const;
type Layout = (typeof layouts)[keyof typeof layouts];
const LAID_AT = LENGTH_BYTES + LAID_HEAD;
const laidBytes = Buffer.allocUnsafeSlow(LAID_AT + LAYOUT_BYTES_MAX);
laidBytes[LENGTH_BYTES] = ARRAY_OF_3;
laidBytes[LENGTH_BYTES + 1] = UINT32;
laidBytes[LENGTH_BYTES + 7] = BIN16;

/** With `length` bytes of layout that lie there already. */
function laidFrame(id: number, layout: Layout, length: number): Buffer {
  laidBytes.writeUInt32BE(LAID_HEAD + length, 0);
  laidBytes.writeUInt32BE(id, LENGTH_BYTES + 2);
  laidBytes[LENGTH_BYTES + 6] = layout;
  laidBytes.writeUInt16BE(length, LENGTH_BYTES + 8);
  return laidBytes.subarray(0, LAID_AT + length);
}
function isLaid(body: Buffer, layout: Layout): boolean {
  return body[6] === layout && body[0] === ARRAY_OF_3 && body[1] === UINT32 && body[7] === BIN16 && body.readUInt16BE(8) === body.length - LAID_HEAD;
}
function isUint32(id: number): boolean {
  return id >= 0 && id <= 0xffff_ffff;
}

/** Valid until the next frame is encoded. */
export function encodeToDaemon(message: FrameToDaemon): Buffer {
  if (message.kind === "abandon") return frame([message.id, 2]);
  const { id, name, args } = message;
  const length = name === EVENT_CALL && isUint32(id) ? layNextEvent(args, laidBytes, LAID_AT) : 0;
  return length > 0 ? laidFrame(id, layouts.nextEvent, length) : frame([id, name, args]);
}
/** Valid until the next frame is encoded. */
export function encodeToApplication(message: FrameToApplication): Buffer {
  if (message.kind === "failure") return frame([message.id, 1, message.failure]);
  const { id, result } = message;
  const length = isUint32(id) ? layResult(result, laidBytes, LAID_AT) : 0;
  return length > 0 ? laidFrame(id, layouts.oneEvent, length) : frame([id, 0, result]);
}

/** @throws FrameError on anything but a well-formed frame. */
export function decodeToDaemon(body: Buffer): FrameToDaemon {
  if (body.length > LAID_HEAD && isLaid(body, layouts.nextEvent)) return { kind: "call", id: body.readUInt32BE(2), name: EVENT_CALL, args: understood(laidNextEvent(body, LAID_HEAD, body.length)) };
  const message = unpackArray(body);
  const [id, name, args] = message;
  if (!isId(id)) throw new FrameError("a frame without an id");
  if (name === 2 && message.length === 2) return { kind: "abandon", id };
  if (name === layouts.nextEvent && args instanceof Uint8Array) return { kind: "call", id, name: EVENT_CALL, args: understood(laidNextEvent(Buffer.from(args), 0, args.length)) };
  if (typeof name !== "string" || name.length > 64 || !isRecord(args)) throw new FrameError("a call is [id, name, arguments]");
  return { kind: "call", id, name, args };
}

/** @throws FrameError on anything but a well-formed frame. */
export function decodeToApplication(body: Buffer): FrameToApplication {
  if (body.length > LAID_HEAD && isLaid(body, layouts.oneEvent)) return { kind: "result", id: body.readUInt32BE(2), result: understood(laidResult(body, LAID_HEAD, body.length)) };
  const [id, kind, value] = unpackArray(body);
  if (!isId(id)) throw new FrameError("a frame without an id");
  if (kind === 0) return { kind: "result", id, result: value };
  if (kind === layouts.oneEvent && value instanceof Uint8Array) return { kind: "result", id, result: understood(laidResult(Buffer.from(value), 0, value.length)) };
  if (kind !== 1 || !isRecord(value)) throw new FrameError("an answer is [id, 0, result], [id, 1, failure] or [id, 2, an event]");
  const code = typeof value["code"] === "string" && Object.hasOwn(errnoOf, value["code"]) ? (value["code"] as DmCode) : "EIO";
  return { kind: "failure", id, failure: { code, message: typeof value["message"] === "string" ? value["message"] : "" } };
}
function understood<T extends object>(value: T | undefined): T & Readonly<Record<string, unknown>> {
  if (value === undefined) throw new FrameError("a layout that is none of ours");
  return value as T & Readonly<Record<string, unknown>>;
}

/** Cuts a stream of bytes into frame bodies. @throws FrameError on a length beyond the limit, before it allocates. */
export class FrameSplitter {
  /** May be changed between two frames: strangers get less than those who have shown who they are. */
  lengthMax: number;
  #pending: Buffer[] = [];
  #pendingLength = 0;
  /** So many bytes of what is pending make a length, or a frame. */
  #needed = LENGTH_BYTES;

  constructor(lengthMax: number = FRAME_LENGTH_MAX) {
    this.lengthMax = lengthMax;
  }

  /** The stream stands in the middle of a frame. */
  get isInside(): boolean {
    return this.#pendingLength > 0;
  }

  /** Whole frames, without their lengths; they lie in the chunk itself where they can. What is not whole is kept as a copy: the chunk may be used again. */
  push(chunk: Buffer): Buffer[] {
    const bodies: Buffer[] = [];
    this.#pendingLength += chunk.length;
    if (this.#pendingLength < this.#needed) {
      this.#pending.push(Buffer.from(chunk));
      return bodies;
    }
    const all = this.#pending.length === 0 ? chunk : Buffer.concat([...this.#pending, chunk]); // once for each frame that came in pieces
    let at = 0;
    this.#needed = LENGTH_BYTES;
    while (all.length - at >= LENGTH_BYTES) {
      const length = all.readUInt32BE(at);
      if (length > this.lengthMax) throw new FrameError(`a frame of ${length} bytes; at most ${this.lengthMax} are allowed`);
      const end = at + LENGTH_BYTES + length;
      if (end > all.length) {
        this.#needed = end - at;
        break;
      }
      bodies.push(all.subarray(at + LENGTH_BYTES, end));
      at = end;
    }
    if (at < all.length) this.#pending = [all === chunk ? Buffer.from(all.subarray(at)) : all.subarray(at)];
    else if (this.#pending.length > 0) this.#pending = [];
    this.#pendingLength = all.length - at;
    return bodies;
  }
}

function unpackArray(body: Uint8Array): unknown[] {
  const fault = faultOfPacked(body);
  if (fault !== undefined) throw new FrameError(`a frame that is no MessagePack of ours: ${fault}`);
  let message: unknown;
  try {
    message = packr.unpack(body);
  } catch (error) {
    throw new FrameError("a frame that is not MessagePack", { cause: error });
  }
  if (!Array.isArray(message)) throw new FrameError("a frame that is not an array");
  return message;
}
function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}
