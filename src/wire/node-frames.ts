/**
 * What two daemons say on one TCP connection: length-prefixed MessagePack maps with a `kind`.
 *
 * Each node dials its peers for what it sends; what comes back on that connection is only the handshake and pongs.
 * Handshake: the acceptor challenges with a nonce, the dialer shows with the cluster's key who it is, the acceptor does
 * the same; each says which versions it speaks, and the highest common one is used. The proofs hold both ranges, so that
 * nobody between can talk two nodes down. Nothing but a handshake of at most `HANDSHAKE_LENGTH_MAX` bytes is read from a
 * stranger.
 *
 * Not here  sockets and time (links.ts), numbering and resending (cluster/stream.ts).
 * Source    safety C7, C9.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { Packr, RESERVE_START_SPACE } from "msgpackr/pack";
import { faultOfPacked } from "../base/message-pack.js";
import { isVersionRange, type VersionRange } from "../base/version-range.js";
import type { Frame } from "../cluster/messages.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import { FrameError, LENGTH_BYTES } from "./application-frames.js";
import { laidMessage } from "./laid-by-hand.js";
import { isMessage } from "./message-shapes.js";

export const NODE_PROTOCOL_MAGIC = "sluice-node";
/** What this build speaks. A message kind that came later than version 1 is named in cluster/messages.ts. */
export const NODE_PROTOCOL_VERSIONS: VersionRange = { lowest: 1, highest: 1 };
export const HANDSHAKE_LENGTH_MAX = 4096;
/** A whole registry travels in one frame when a manager collects. */
export const NODE_FRAME_LENGTH_MAX = 64 * 1024 * 1024;
const NONCE_BYTES = 32;

export interface Challenge {
  readonly kind: "challenge"; readonly magic: string; readonly versions: VersionRange; readonly nonce: Uint8Array;
}
export interface Hello {
  readonly kind: "hello"; readonly magic: string; readonly versions: VersionRange; readonly cluster: string; readonly node: NodeId;
  readonly incarnation: Incarnation; readonly peer: NodeId; readonly nonce: Uint8Array; readonly proof: Uint8Array;
}
export interface Welcome {
  readonly kind: "welcome"; readonly node: NodeId; readonly incarnation: Incarnation; readonly proof: Uint8Array;
}
export interface Refusal {
  readonly kind: "refused"; readonly reason: string;
}
export type LinkMessage =
  | Challenge | Hello | Welcome | Refusal
  | { readonly kind: "frame"; readonly frame: Frame }
  | { readonly kind: "ping"; readonly count: number }
  | { readonly kind: "pong"; readonly count: number };

/** msgpackr's own types do not list `skipValues`; `copyBuffers` because a frame's bytes outlive the socket's chunk. */
const packing = { useRecords: false, skipValues: [undefined], copyBuffers: true };
export const packr = new Packr(packing);

/** @throws FrameError when the message is longer than a frame may be. */
export function encodeLinkMessage(message: LinkMessage): Buffer {
  const bytes = packr.pack(message, RESERVE_START_SPACE | LENGTH_BYTES);
  const length = bytes.length - LENGTH_BYTES;
  if (length > NODE_FRAME_LENGTH_MAX) throw new FrameError(`a ${message.kind} of ${length} bytes; at most ${NODE_FRAME_LENGTH_MAX} are allowed`);
  bytes.writeUInt32BE(length, 0);
  return bytes;
}

/** @throws FrameError on anything but a well-formed message. */
export function decodeLinkMessage(body: Uint8Array): LinkMessage {
  const fault = faultOfPacked(body);
  if (fault !== undefined) throw new FrameError(`bytes that are no MessagePack of ours: ${fault}`);
  let message: unknown;
  try {
    message = packr.unpack(body);
  } catch (error) {
    throw new FrameError("bytes that are not MessagePack", { cause: error });
  }
  if (!isMap(message)) throw new FrameError("a message that is not a map");
  readLayout(message);
  const { kind } = message;
  if (typeof kind !== "string") throw new FrameError("a message that does not say its kind");
  if (!hasShape(message)) throw new FrameError(`a message of kind ${kind.slice(0, 40)} with a missing or wrong field`);
  return message as unknown as LinkMessage;
}

/** A frame's body may be bytes that are laid out by hand; what is not well laid is left, and has no message's shape. */
function readLayout({ frame }: Record<string, unknown>): void {
  if (!isMap(frame) || !(frame["body"] instanceof Uint8Array)) return;
  const bytes = Buffer.from(frame["body"]);
  frame["body"] = laidMessage(bytes, 0, bytes.length) ?? bytes;
}

/** Who proves what to whom; both nonces and both names stand in it, so that no proof serves twice or the other way. */
export function proofOf(
  key: Uint8Array,
  role: "dialer" | "acceptor",
  says: {
    readonly cluster: string; readonly node: NodeId; readonly incarnation: Incarnation; readonly peer: NodeId;
    readonly dialerNonce: Uint8Array; readonly acceptorNonce: Uint8Array; readonly dialerSpeaks: VersionRange; readonly acceptorSpeaks: VersionRange;
  },
): Buffer {
  const hmac = createHmac("sha256", key);
  const ranges = [says.dialerSpeaks, says.acceptorSpeaks].flatMap(({ lowest, highest }) => [lowest, highest]);
  const words = [NODE_PROTOCOL_MAGIC, ...ranges, role, says.cluster, says.node, says.incarnation, says.peer];
  hmac.update(JSON.stringify(words));
  hmac.update(says.dialerNonce);
  hmac.update(says.acceptorNonce);
  return hmac.digest();
}
export function isSameProof(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function hasShape(message: Record<string, unknown>): boolean {
  switch (message["kind"]) {
    case "challenge":
      return isText(message["magic"]) && isVersionRange(message["versions"]) && isNonce(message["nonce"]);
    case "hello":
      return (
        isText(message["magic"]) && isVersionRange(message["versions"]) && isText(message["cluster"]) && isText(message["node"]) &&
        isCount(message["incarnation"]) && isText(message["peer"]) && isNonce(message["nonce"]) && isNonce(message["proof"])
      );
    case "welcome":
      return isText(message["node"]) && isCount(message["incarnation"]) && isNonce(message["proof"]);
    case "refused":
      return isText(message["reason"]);
    case "frame":
      return isMap(message["frame"]) && isFrame(message["frame"]);
    case "ping":
    case "pong":
      return isCount(message["count"]);
    default:
      return false;
  }
}

function isFrame(frame: Record<string, unknown>): boolean {
  if (!isText(frame["from"]) || !isCount(frame["fromIncarnation"]) || !isCount(frame["toIncarnation"])) return false;
  if (!isCount(frame["view"]) || !isCount(frame["acknowledged"])) return false;
  if (frame["sequence"] !== undefined && !isCount(frame["sequence"])) return false;
  return frame["body"] === undefined || isMessage(frame["body"]);
}
function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}
function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= 1024;
}
function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
function isNonce(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === NONCE_BYTES;
}
