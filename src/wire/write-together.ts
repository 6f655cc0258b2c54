/**
 * Frames written in one turn of the event loop leave in one system call: a write(2) for each costs more than making it,
 * and wakes the other end each time. They go to the socket directly; what it has no room for goes the stream's way.
 *
 * Owns      the frames of a turn that is not over.
 */
import type { Socket } from "node:net";
import { sendNow } from "../os/descriptors.js";

interface Outgoing {
  frames: Uint8Array[];
  readonly flush: () => void;
}
const outgoing = new WeakMap<Socket, Outgoing>();

export function writeTogether(socket: Socket, bytes: Uint8Array): void {
  let out = outgoing.get(socket);
  if (out === undefined) {
    out = { frames: [], flush: () => flushTogether(socket) };
    outgoing.set(socket, out);
  }
  out.frames.push(bytes);
  if (out.frames.length === 1) process.nextTick(out.flush);
}

/** Now, and not at the end of the turn: before the socket is ended, or for somebody who waits. */
export function flushTogether(socket: Socket): void {
  const out = outgoing.get(socket);
  if (out === undefined || out.frames.length === 0) return;
  const { frames } = out;
  out.frames = [];
  if (socket.destroyed || socket.writableEnded) return;
  const all = frames.length === 1 ? frames[0]! : Buffer.concat(frames);
  const fd = socket.connecting || socket.writableLength > 0 ? -1 : descriptorOf(socket);
  const sent = fd < 0 ? 0 : Math.max(0, sendNow(fd, all, all.length));
  if (sent < all.length) socket.write(sent === 0 ? all : all.subarray(sent)); // an error comes back this way too
}

/** Node.js has no public word for a socket's descriptor; -1 when it is closed. */
export function descriptorOf(socket: Socket): number {
  return (socket as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;
}
