/**
 * What a daemon and its holder say to each other: JSON, one message per send, with the descriptors that it speaks of.
 *
 * Source    safety H11.
 */
import { receiveDescriptors, sendDescriptors } from "../../os/descriptors.js";
import { errno } from "../../os/errno.js";
import { close } from "../../os/files.js";
import { PollSet, POLLOUT } from "../../os/device.js";

export interface MountPlace {
  readonly fs: string;
  /** Of the mount table: cluster, node and file system. */
  readonly source: string;
  readonly mountpoint: string;
  /** The number of its FUSE connection. */
  readonly minor: number;
}
/** A descriptor that must outlive the daemon: its name among those of one mount, and what the next daemon must know of it. */
export interface KeptName {
  readonly key: string;
  readonly note: string;
}

/** A daemon's main thread speaks. */
export type ToHolder =
  /** First of all; answered by everything that is held, the last of it `all`. `limitMs`: so long users wait for the next daemon. */
  | { readonly kind: "hello"; readonly limitMs: number }
  /** With the device, the mount's memory and the holder's end of the reactor's own connection. */
  | { readonly kind: "hold"; readonly place: MountPlace }
  /** One that was held is served again: with the holder's end of the reactor's connection. */
  | { readonly kind: "served"; readonly source: string }
  /** The mount is over, or ends with its daemon from now on. */
  | { readonly kind: "end"; readonly source: string };
/** A reactor speaks. */
export type FromKeeper =
  /** With a descriptor for each. */
  | { readonly kind: "keep"; readonly names: readonly KeptName[] }
  | { readonly kind: "drop"; readonly keys: readonly string[] };
export type FromHolder =
  /** With the device and the memory. */
  | { readonly kind: "mount"; readonly place: MountPlace; readonly goneMs: number }
  /** With a descriptor for each. */
  | { readonly kind: "kept"; readonly source: string; readonly names: readonly KeptName[] }
  | { readonly kind: "all"; readonly said: readonly string[] };

/** Descriptors in one message (os/descriptors.ts takes 16). */
export const KEPT_PER_MESSAGE = 16;
const MESSAGE_MAX = 64 * 1024;
const WAIT_MS = 1_000;
const buffer = Buffer.alloc(MESSAGE_MAX);

export function sendMessage(socket: number, message: ToHolder | FromKeeper | FromHolder, fds: readonly number[] = []): number {
  return sendDescriptors(socket, Buffer.from(JSON.stringify(message)), fds);
}
/** Waits while the other end has no room; at most a minute. */
export function sendPatiently(socket: number, message: ToHolder | FromHolder, fds: readonly number[] = []): number {
  const room = new PollSet([{ fd: socket, events: POLLOUT }]);
  for (let tries = 0; ; tries++) {
    const sent = sendMessage(socket, message, fds);
    if (sent !== -errno.EAGAIN || tries >= 60) return sent;
    room.wait(WAIT_MS);
  }
}
/** What came within `timeoutMs`; undefined: the other end is closed; a negative errno. Descriptors are the receiver's. */
export function receiveMessage<T>(socket: number, timeoutMs: number): { readonly message: T; readonly fds: readonly number[] } | number | undefined {
  const got = receiveDescriptors(socket, buffer, timeoutMs);
  if (typeof got === "number") return got === -errno.ECONNRESET ? undefined : got;
  if (got.length === 0) return undefined;
  try {
    return { message: JSON.parse(buffer.toString("utf8", 0, got.length)) as T, fds: got.fds };
  } catch {
    for (const fd of got.fds) close(fd);
    return -errno.EPROTO;
  }
}
