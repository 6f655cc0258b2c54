/**
 * Frames between two nodes whose heads are the same again and again: who sends, in which lives, in which view. The bytes of
 * such a head are made once and copied, and known again without being taken apart; only what differs is packed and read.
 *
 * What is sent is what `encodeLinkMessage` could have sent, with the fields in one order and the two numbers in 4 bytes each. What
 * does not begin with the very bytes of a head that was read before in full is left to `decodeLinkMessage`.
 *
 *   head: {kind: "frame", frame: {from, fromIncarnation, toIncarnation, view, sequence:
 *   then: number, "acknowledged", number, "body", body (or bytes that are laid out by hand: laid-by-hand.ts)
 *
 * Source    safety C9; the MessagePack specification, "Formats".
 */
import { RESERVE_START_SPACE } from "msgpackr/pack";
import { faultOfPacked } from "../base/message-pack.js";
import type { Frame, Message } from "../cluster/messages.js";
import { FrameError, LENGTH_BYTES } from "./application-frames.js";
import { laidMessage, LAYOUT_BYTES_MAX, layMessage } from "./laid-by-hand.js";
import { isMessage } from "./message-shapes.js";
import { encodeLinkMessage, NODE_FRAME_LENGTH_MAX, packr } from "./node-frames.js";

const UINT32 = 0xce;
const NUMBER_BYTES = 5;
/** A message laid out by hand (laid-by-hand.ts) is bytes with a length of 2. */
const BIN16 = 0xc5;
const BIN16_HEAD = 3;
/** As much as the packer leaves free before what it packs. */
const ROOM_MAX = 255;
const laidBytes = Buffer.allocUnsafeSlow(ROOM_MAX + BIN16_HEAD + LAYOUT_BYTES_MAX);
const text = (value: string) => Buffer.from(packr.pack(value));
const ACKNOWLEDGED = text("acknowledged");
const BODY = text("body");
const tailOfHead = NUMBER_BYTES + ACKNOWLEDGED.length + NUMBER_BYTES + BODY.length;
const isUint32 = (value: number) => value <= 0xffff_ffff;

/** The head of one connection's frames, as it was last. */
export class FrameHead {
  #last: Pick<Frame, "from" | "fromIncarnation" | "toIncarnation" | "view"> | undefined;
  #bytes: Buffer = Buffer.alloc(0);

  /** Valid until the next frame is encoded. */
  encode(frame: Frame): Buffer {
    const { sequence, acknowledged, body } = frame;
    if (sequence === undefined || body === undefined || !isUint32(sequence) || !isUint32(acknowledged)) return encodeLinkMessage({ kind: "frame", frame });
    this.#know(frame);
    const head = this.#bytes;
    const room = LENGTH_BYTES + head.length + tailOfHead;
    if (room > ROOM_MAX) return encodeLinkMessage({ kind: "frame", frame });
    const length = layMessage(body, laidBytes, room + BIN16_HEAD);
    const bytes = length > 0 ? laidBytes.subarray(0, room + BIN16_HEAD + length) : packr.pack(body, RESERVE_START_SPACE | room);
    if (length > 0) {
      bytes[room] = BIN16;
      bytes.writeUInt16BE(length, room + 1);
    }
    const frameLength = bytes.length - LENGTH_BYTES;
    if (frameLength > NODE_FRAME_LENGTH_MAX) throw new FrameError(`a frame of ${frameLength} bytes; at most ${NODE_FRAME_LENGTH_MAX} are allowed`);
    bytes.writeUInt32BE(frameLength, 0);
    bytes.set(head, LENGTH_BYTES);
    let at = putNumber(bytes, LENGTH_BYTES + head.length, sequence);
    bytes.set(ACKNOWLEDGED, at);
    at = putNumber(bytes, at + ACKNOWLEDGED.length, acknowledged);
    bytes.set(BODY, at);
    return bytes;
  }

  /** A frame was read in full: others like it will come. */
  learn(frame: Frame): void {
    if (frame.sequence !== undefined && frame.body !== undefined) this.#know(frame);
  }
  /** Undefined: it has to be read in full. */
  decode(bytes: Buffer): Frame | undefined {
    const head = this.#bytes;
    const last = this.#last;
    if (last === undefined || bytes.length < head.length + tailOfHead || !has(bytes, 0, head)) return undefined;
    let at = head.length;
    if (bytes[at] !== UINT32) return undefined;
    const sequence = bytes.readUInt32BE(at + 1);
    at += NUMBER_BYTES;
    if (!has(bytes, at, ACKNOWLEDGED)) return undefined;
    at += ACKNOWLEDGED.length;
    if (bytes[at] !== UINT32) return undefined;
    const acknowledged = bytes.readUInt32BE(at + 1);
    at += NUMBER_BYTES;
    if (!has(bytes, at, BODY)) return undefined;
    const body = messageAt(bytes, at + BODY.length);
    if (body === undefined) return undefined; // it is said elsewhere what is wrong
    const { from, fromIncarnation, toIncarnation, view } = last;
    return { from, fromIncarnation, toIncarnation, view, sequence, acknowledged, body };
  }

  #know({ from, fromIncarnation, toIncarnation, view }: Frame): void {
    const last = this.#last;
    if (last?.view === view && last.from === from && last.toIncarnation === toIncarnation && last.fromIncarnation === fromIncarnation) return;
    this.#last = { from, fromIncarnation, toIncarnation, view };
    const fields = Object.entries({ from, fromIncarnation, toIncarnation, view }).flatMap(([name, value]) => [text(name), Buffer.from(packr.pack(value))]);
    // A map of two fields, the second of which is a map of seven.
    this.#bytes = Buffer.concat([Buffer.from([0x82]), text("kind"), text("frame"), text("frame"), Buffer.from([0x87]), ...fields, text("sequence")]);
  }
}

function messageAt(bytes: Buffer, at: number): Message | undefined {
  if (bytes[at] === BIN16 && bytes.length >= at + BIN16_HEAD) {
    const begin = at + BIN16_HEAD;
    return bytes.readUInt16BE(at + 1) === bytes.length - begin ? laidMessage(bytes, begin, bytes.length) : undefined;
  }
  const body = unpacked(bytes.subarray(at));
  return isMessage(body) ? (body as Message) : undefined;
}
function unpacked(bytes: Buffer): unknown {
  if (faultOfPacked(bytes) !== undefined) return undefined;
  try {
    return packr.unpack(bytes);
  } catch {
    return undefined;
  }
}
function putNumber(bytes: Buffer, at: number, value: number): number {
  bytes[at] = UINT32;
  return bytes.writeUInt32BE(value, at + 1);
}
function has(bytes: Buffer, at: number, what: Buffer): boolean {
  for (let index = 0; index < what.length; index++) if (bytes[at + index] !== what[index]) return false;
  return true;
}
