/**
 * Invisible I/O at the file system's own speed: the daemon passes the backing file's descriptor (SCM_RIGHTS on
 * `<socket>.fd`), and reads and writes go straight to the file system, not through any socket.
 *
 * The descriptor is never opened by the application itself: with mode "exclusive" it carries the guard, so that the lock
 * and the power to write live and die together (safety C1). Calls are Node.js's own asynchronous ones; several may run.
 *
 * Owns      the descriptor, and the daemon's copy of it by its guard number.
 */
import fs from "node:fs";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import type { ResultOf } from "../dmapi/calls.js";
import { codeOf, DmError } from "../dmapi/errors.js";
import { connectUnix, receiveDescriptors, send } from "../os/descriptors.js";
import { errno } from "../os/errno.js";
import { close, fgetxattr, flistxattr, futimens } from "../os/files.js";
import type { Connection } from "./connection.js";

const read = promisify(fs.read);
const write = promisify(fs.write);
const fdatasync = promisify(fs.fdatasync);
const ftruncate = promisify(fs.ftruncate);
const RECEIVE_TIMEOUT_MS = 10_000;
const POLL_MS = 2;
const ATTRIBUTE_LENGTH_MAX = 65_536;

export class InvisibleFile implements AsyncDisposable {
  readonly mode: "read" | "exclusive";
  /** Names the guard in `changeRecord`; only with mode "exclusive". */
  readonly guard: number | undefined;
  readonly #connection: Connection;
  #fd: number;
  #busy = 0;

  private constructor(connection: Connection, fd: number, mode: "read" | "exclusive", guard: number | undefined) {
    this.#connection = connection;
    this.#fd = fd;
    this.mode = mode;
    this.guard = guard;
  }

  static async receive(connection: Connection, opened: ResultOf<"invisible.open">, mode: "read" | "exclusive"): Promise<InvisibleFile> {
    const fd = await receiveDescriptor(`${connection.socket}.fd`, opened.ticket);
    return new InvisibleFile(connection, fd, mode, opened.guard);
  }

  get isOpen(): boolean {
    return this.#fd >= 0;
  }
  /** For calls that this class does not have; closed by `close`, not by its user. */
  get fd(): number {
    if (this.#fd < 0) throw new DmError("EBADF", "invisible.read", "the descriptor was closed");
    return this.#fd;
  }

  /** Fills `buffer` from `offset`; fewer bytes only at the end of the file. */
  async read(buffer: Uint8Array, offset: number): Promise<number> {
    return this.#whole(buffer, async (at) => (await read(this.fd, buffer, at, buffer.length - at, offset + at)).bytesRead);
  }
  /** Writes all of `buffer` at `offset`. */
  async write(buffer: Uint8Array, offset: number): Promise<void> {
    await this.#whole(buffer, async (at) => (await write(this.fd, buffer, at, buffer.length - at, offset + at)).bytesWritten);
  }
  /** The data is on stable storage when this returns. */
  async sync(): Promise<void> {
    await this.#used(() => fdatasync(this.fd));
  }
  async truncate(size: number): Promise<void> {
    await this.#used(() => ftruncate(this.fd, size));
  }

  /** After `sync`: what is written back later would move them again (safety H12). */
  setTimes(times: { atimeNs: bigint; mtimeNs: bigint }): void {
    const result = futimens(this.fd, times.atimeNs, times.mtimeNs);
    if (result < 0) throw new DmError(codeOf(-result), "fileattr.set", "the times could not be set");
  }
  /** Users' attributes, ACLs and capabilities, by name; those of Sluice are not among them. */
  extendedAttributes(): Map<string, Uint8Array> {
    const names = Buffer.alloc(ATTRIBUTE_LENGTH_MAX);
    const length = flistxattr(this.fd, names);
    const found = new Map<string, Uint8Array>();
    for (const name of names.toString("latin1", 0, Math.max(0, length)).split("\0")) {
      if (name === "" || name.startsWith("trusted.sluice")) continue;
      const value = Buffer.alloc(ATTRIBUTE_LENGTH_MAX);
      const size = fgetxattr(this.fd, Buffer.from(`${name}\0`, "latin1"), value);
      if (size >= 0) found.set(name, Uint8Array.prototype.slice.call(value, 0, size));
    }
    return found;
  }

  /** Gives the descriptor back, and with it the guard. Safe to repeat. */
  async close(): Promise<void> {
    if (this.#fd < 0) return;
    if (this.#busy > 0) throw new DmError("EBUSY", "invisible.close", "reads or writes are still under way");
    fs.closeSync(this.#fd);
    this.#fd = -1;
    if (this.guard !== undefined && this.#connection.isOpen) await this.#connection.call("invisible.close", { guard: this.guard });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #whole(buffer: Uint8Array, piece: (at: number) => Promise<number>): Promise<number> {
    return this.#used(async () => {
      let at = 0;
      while (at < buffer.length) {
        const moved = await piece(at);
        if (moved === 0) break;
        at += moved;
      }
      return at;
    });
  }
  /** No descriptor is closed under a call that uses it: its number might already be another file's. */
  async #used<T>(use: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    try {
      return await use();
    } finally {
      this.#busy -= 1;
    }
  }
}

/** Trades a ticket for the descriptor. @throws DmError */
async function receiveDescriptor(socketPath: string, ticket: string): Promise<number> {
  const socket = connectUnix(socketPath);
  if (socket < 0) throw new DmError("ENOTREADY", "invisible.open", `no daemon passes descriptors at ${socketPath} (errno ${-socket})`);
  try {
    const sent = send(socket, Buffer.from(`${ticket}\n`));
    if (sent < 0) throw new DmError(codeOf(-sent), "invisible.open", `the ticket could not be sent (errno ${-sent})`);
    const byte = Buffer.alloc(1);
    const deadline = performance.now() + RECEIVE_TIMEOUT_MS;
    for (;;) {
      const received = receiveDescriptors(socket, byte, POLL_MS);
      if (received === -errno.ETIMEDOUT && performance.now() < deadline) {
        await setImmediate();
        continue;
      }
      if (typeof received === "number") throw new DmError(codeOf(-received), "invisible.open", `no descriptor came (errno ${-received})`);
      const [fd, ...more] = received.fds;
      for (const extra of more) close(extra);
      if (fd === undefined) throw new DmError("EIO", "invisible.open", "the daemon did not know the ticket");
      return fd;
    }
  } finally {
    close(socket);
  }
}
