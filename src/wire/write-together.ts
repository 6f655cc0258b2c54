/**
 * Frames written in one turn of the event loop leave in one system call: a write(2) for each costs more than making it,
 * and wakes the other end each time. They go to the socket directly; what it has no room for goes the stream's way.
 *
 * A frame is copied at once, so who made it may use its bytes again.
 *
 * Owns      the frames of a turn that is not over.
 */
import type { Socket } from "node:net";
import { sendNow } from "../os/descriptors.js";

/**
 * So many leave as their turn ends: those of one event that comes alone. What a burst brings leaves after what else waits for the end
 * of the turn, or those that are woken by a part of it would make the next burst a small one.
 */
const AT_ONCE_MAX = 2;
/** A longer one is not copied with the others. */
const TOGETHER_BYTES_MAX = 64 * 1024;
const FIRST_BYTES = 2 * 1024;

interface Outgoing {
  readonly socket: Socket;
  bytes: Buffer;
  length: number;
}
const outgoing = new WeakMap<Socket, Outgoing>();
/** Those of this turn that have something. */
const unsent: Outgoing[] = [];
let isTickComing = false;
/** Turns of ours that are under way, and the frames written in them. */
let turns = 0;
let framesOfTurn = 0;

export function writeTogether(socket: Socket, bytes: Uint8Array): void {
  let out = outgoing.get(socket);
  if (out === undefined) {
    out = { socket, bytes: Buffer.allocUnsafeSlow(FIRST_BYTES), length: 0 };
    outgoing.set(socket, out);
  }
  if (out.length + bytes.length > out.bytes.length && !makeRoom(out, bytes.length)) {
    flush(out);
    send(socket, bytes);
    return;
  }
  framesOfTurn++;
  if (out.length === 0) announce(out);
  out.bytes.set(bytes, out.length);
  out.length += bytes.length;
}
function makeRoom(out: Outgoing, more: number): boolean {
  const needed = out.length + more;
  if (needed > TOGETHER_BYTES_MAX) return false;
  const grown = Buffer.allocUnsafeSlow(Math.min(TOGETHER_BYTES_MAX, 2 * needed));
  out.bytes.copy(grown, 0, 0, out.length);
  out.bytes = grown;
  return true;
}
function announce(out: Outgoing): void {
  unsent.push(out);
  if (turns === 0) tickLater();
}
function tickLater(): void {
  if (isTickComing) return;
  isTickComing = true;
  process.nextTick(tick);
}
function tick(): void {
  isTickComing = false;
  flushAll();
}
function flushAll(): void {
  for (let at = 0; at < unsent.length; at++) flush(unsent[at]!);
  unsent.length = 0;
}

/** For somebody who waits; after what the turn has for that socket. */
export function writeAtOnce(socket: Socket, bytes: Uint8Array): void {
  flushTogether(socket);
  send(socket, bytes);
}

/** The little that `take` writes leaves as it ends, and not only when the loop has run everything else that waits. */
export function inOneTurn(take: () => void): void {
  if (turns === 0) framesOfTurn = 0;
  turns++;
  try {
    take();
  } finally {
    turns--;
    if (turns === 0 && unsent.length > 0) {
      if (framesOfTurn <= AT_ONCE_MAX) flushAll();
      else tickLater();
    }
  }
}

/** Now, and not at the end of the turn: before the socket is ended. */
export function flushTogether(socket: Socket): void {
  const out = outgoing.get(socket);
  if (out !== undefined) flush(out);
}
function flush(out: Outgoing): void {
  const { socket, bytes, length } = out;
  if (length === 0) return;
  out.length = 0;
  send(socket, bytes, length);
}
function send(socket: Socket, bytes: Uint8Array, length = bytes.length): void {
  if (socket.destroyed || socket.writableEnded) return;
  const fd = socket.connecting || socket.writableLength > 0 ? -1 : descriptorOf(socket);
  const sent = fd < 0 ? 0 : Math.max(0, sendNow(fd, bytes, length));
  if (sent < length) socket.write(Buffer.from(bytes.subarray(sent, length))); // an error comes back this way too
}

/** Node.js has no public word for a socket's descriptor; -1 when it is closed. */
export function descriptorOf(socket: Socket): number {
  return (socket as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;
}
