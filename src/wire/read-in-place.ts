/**
 * Sockets whose bytes come in one buffer that is used again and again: the usual stream makes, shrinks and throws away a buffer of
 * 64 KiB for each message, and passes it through a queue of its own.
 *
 * Node.js offers that for sockets that connect. One that was accepted gets it as a second descriptor of the same connection.
 *
 * Source    net.Socket, "onread".
 */
import { type IpcNetConnectOpts, Socket, type SocketConstructorOpts } from "node:net";
import { dup } from "../os/files.js";
import { descriptorOf, inOneTurn } from "./write-together.js";

/** `bytes` are the taker's only until it returns. */
export type TakeBytes = (bytes: Buffer) => void;

/** What is read is taken before anything else is. */
let shared: Buffer | undefined;
const BUFFER_BYTES = 64 * 1024;

function onread(take: TakeBytes): { buffer: Buffer; callback: (length: number, buffer: Uint8Array) => boolean } {
  shared ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
  return {
    buffer: shared,
    callback: (length, buffer) => {
      inOneTurn(() => take((buffer as Buffer).subarray(0, length)));
      return true;
    },
  };
}

export function connectInPlace(path: string, take: TakeBytes): Socket {
  const options: IpcNetConnectOpts = { path, onread: onread(take) };
  const socket = new Socket(options as SocketConstructorOpts); // @types/node lists `onread` only where a socket connects; the constructor is what takes it
  socket.connect(options);
  socket.resume(); // else nobody hears of its end
  return socket;
}

/** In place of a socket that a server with `pauseOnConnect` has accepted, and that nobody has read from. */
export function acceptInPlace(accepted: Socket, take: TakeBytes): Socket {
  const fd = dup(descriptorOf(accepted));
  if (fd < 0) {
    // No more descriptors, or closed meanwhile: as others are read.
    accepted.on("data", take);
    accepted.resume();
    return accepted;
  }
  accepted.destroy();
  const socket = new Socket({ fd, readable: true, writable: true, onread: onread(take) } as SocketConstructorOpts);
  socket.resume();
  return socket;
}
