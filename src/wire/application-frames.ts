/**
 * Frames between an application and its daemon: a length of 4 bytes (big endian, without itself), then one MessagePack
 * array. Up: `[id, name, args]` and `[id, 2]` (abandon); down: `[id, 0, result]` and `[id, 1, {code, message}]`.
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

export const FRAME_LENGTH_MAX = 8 * 1024 * 1024;
export const LENGTH_BYTES = 4;
export const APPLICATION_PROTOCOL_VERSIONS: VersionRange = { lowest: 1, highest: 1 };
export const HELLO_CALL = "protocol.hello";

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

/** Plain maps only, and an absent field is not sent at all (msgpackr's own types do not list `skipValues`). */
const packing = { useRecords: false, skipValues: [undefined] };
const packr = new Packr(packing);

/** @throws FrameError when the message is longer than a frame may be. */
function frame(message: readonly unknown[]): Buffer {
  const bytes = packr.pack(message, RESERVE_START_SPACE | LENGTH_BYTES);
  const length = bytes.length - LENGTH_BYTES;
  if (length > FRAME_LENGTH_MAX) throw new FrameError(`a frame of ${length} bytes; at most ${FRAME_LENGTH_MAX} are allowed`);
  bytes.writeUInt32BE(length, 0);
  return bytes;
}

export function encodeToDaemon(message: FrameToDaemon): Buffer {
  return frame(message.kind === "call" ? [message.id, message.name, message.args] : [message.id, 2]);
}
export function encodeToApplication(message: FrameToApplication): Buffer {
  return frame(message.kind === "result" ? [message.id, 0, message.result] : [message.id, 1, message.failure]);
}

/** @throws FrameError on anything but a well-formed frame. */
export function decodeToDaemon(body: Uint8Array): FrameToDaemon {
  const message = unpackArray(body);
  const [id, name, args] = message;
  if (!isId(id)) throw new FrameError("a frame without an id");
  if (name === 2 && message.length === 2) return { kind: "abandon", id };
  if (typeof name !== "string" || name.length > 64 || !isRecord(args)) throw new FrameError("a call is [id, name, arguments]");
  return { kind: "call", id, name, args };
}

/** @throws FrameError on anything but a well-formed frame. */
export function decodeToApplication(body: Uint8Array): FrameToApplication {
  const [id, kind, value] = unpackArray(body);
  if (!isId(id)) throw new FrameError("a frame without an id");
  if (kind === 0) return { kind: "result", id, result: value };
  if (kind !== 1 || !isRecord(value)) throw new FrameError("an answer is [id, 0, result] or [id, 1, failure]");
  const code = typeof value["code"] === "string" && Object.hasOwn(errnoOf, value["code"]) ? (value["code"] as DmCode) : "EIO";
  return { kind: "failure", id, failure: { code, message: typeof value["message"] === "string" ? value["message"] : "" } };
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

  /** Whole frames, without their lengths; they lie in the chunk itself where they can. */
  push(chunk: Buffer): Buffer[] {
    this.#pending.push(chunk);
    this.#pendingLength += chunk.length;
    const bodies: Buffer[] = [];
    if (this.#pendingLength < this.#needed) return bodies;
    const all = this.#pending.length === 1 ? chunk : Buffer.concat(this.#pending); // once for each frame that came in pieces
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
    this.#pending = at === all.length ? [] : [at === 0 ? all : all.subarray(at)];
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
