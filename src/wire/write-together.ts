/**
 * Frames written in one turn of the event loop leave in one system call: a write(2) for each costs more than making it,
 * and wakes the other end each time.
 */
import type { Socket } from "node:net";

export function writeTogether(socket: Socket, bytes: Uint8Array): void {
  if (socket.writableCorked === 0) {
    socket.cork();
    process.nextTick(() => socket.uncork());
  }
  socket.write(bytes);
}
