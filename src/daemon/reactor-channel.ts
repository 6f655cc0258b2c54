/**
 * The way between the daemon's main thread and a mount's reactor thread: a socket pair, so that a message and the wake
 * of its reader are one system call, in order, both ways. Frames: length (4 bytes, with itself), form (1 byte), content.
 *
 * What every event needs (a held data or object event, its resumption) is laid out by hand; everything else is a
 * structured clone. A reader that is slow makes its writer keep what does not fit.
 *
 * Owns      the layout, bytes not yet written, bytes of a frame not yet whole.
 * Not here  what the messages mean (reactor-port.ts).
 * Units     little endian; numbers as doubles, since tokens of operations go up to 2^53.
 */
import { deserialize, serialize } from "node:v8";
import { Socket, type SocketConstructorOpts } from "node:net";
import { assert } from "../base/assert.js";
import { type DmEvent, eventNumbers, eventTypes } from "../dmapi/events.js";
import type { Handle, OperationId } from "../dmapi/ids.js";
import { receiveNow, sendNow } from "../os/descriptors.js";
import { errno } from "../os/errno.js";
import { inOneTurn } from "../wire/write-together.js";
import type { FromReactor, ToReactor } from "./reactor-port.js";

type EventHeld = Extract<FromReactor, { kind: "event-held" }>;

const HEAD = 5;
const forms = { clone: 0, dataEvent: 1, objectEvent: 2, continue: 3 } as const;
/** Number, kind and length of an event, and of the process that waits. */
const EVENT_FIXED = HEAD + 8 + 2 + 16 + 12;
const flags = { isSynchronous: 1, hasProcess: 2 } as const;
const READ_SIZE = 64 * 1024;

/** One message as bytes; valid until the next call on this thread. */
let scratch = Buffer.allocUnsafeSlow(16 * 1024);
function encode(message: ToReactor | FromReactor): Buffer {
  if (message.kind === "event-held") {
    const encoded = encodeEvent(message);
    if (encoded !== undefined) return encoded;
  } else if (message.kind === "resume" && message.decision.kind === "continue") {
    scratch[4] = forms.continue;
    scratch.writeDoubleLE(message.operation, HEAD);
    return finished(HEAD + 8);
  }
  const content = serialize(message);
  if (HEAD + content.length > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * (HEAD + content.length));
  scratch[4] = forms.clone;
  content.copy(scratch, HEAD);
  return finished(HEAD + content.length);
}
function finished(length: number): Buffer {
  scratch.writeUInt32LE(length, 0);
  return scratch.subarray(0, length);
}

/** Undefined for an event that is not of a hand-made form. */
function encodeEvent({ held }: EventHeld): Buffer | undefined {
  const { event, process } = held;
  const isData = event.type === "read" || event.type === "write" || event.type === "truncate";
  if (!isData && event.type !== "close" && event.type !== "attribute") return undefined;
  scratch[4] = isData ? forms.dataEvent : forms.objectEvent;
  scratch.writeDoubleLE(held.operation, HEAD);
  scratch[HEAD + 8] = eventNumbers[event.type];
  scratch[HEAD + 9] = (held.isSynchronous ? flags.isSynchronous : 0) | (process === undefined ? 0 : flags.hasProcess);
  scratch.writeDoubleLE(isData ? event.offset : 0, HEAD + 10);
  scratch.writeDoubleLE(isData ? event.length : 0, HEAD + 18);
  scratch.writeUInt32LE(process?.pid ?? 0, HEAD + 26);
  scratch.writeUInt32LE(process?.uid ?? 0, HEAD + 30);
  scratch.writeUInt32LE(process?.gid ?? 0, HEAD + 34);
  const at = putText(EVENT_FIXED, event.handle);
  return finished(process === undefined ? at : putText(at, process.command));
}
function putText(at: number, text: string): number {
  let length = putAscii(at + 2, text);
  if (length < 0) length = scratch.write(text, at + 2, "utf8");
  scratch.writeUInt16LE(length, at);
  return at + 2 + length;
}
/** A short text without a call into native code; -1 where it is another. */
function putAscii(at: number, text: string): number {
  const { length } = text;
  if (length > ASCII_TEXT_MAX) return -1;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > ASCII_MAX) return -1;
    scratch[at + index] = code;
  }
  return length;
}
const ASCII_TEXT_MAX = 128;
const ASCII_MAX = 0x7f;

/** `bytes[from, to)` is one whole frame. */
function decode(bytes: Buffer, from: number, to: number): ToReactor | FromReactor {
  const at = from + HEAD;
  switch (bytes[from + 4]) {
    case forms.continue:
      return { kind: "resume", operation: bytes.readDoubleLE(at) as OperationId, decision: { kind: "continue" } };
    case forms.dataEvent:
    case forms.objectEvent:
      return decodeEvent(bytes, from);
    default:
      // A copy: what is taken out of it may be a view of it.
      return deserialize(Buffer.from(bytes.subarray(at, to))) as ToReactor | FromReactor;
  }
}
function decodeEvent(bytes: Buffer, from: number): EventHeld {
  const at = from + HEAD;
  const has = bytes[at + 9]!;
  const type = eventTypes[bytes[at + 8]!]!;
  const handleAt = from + EVENT_FIXED;
  const handle = lastHandle.text(bytes, handleAt) as Handle;
  const event = bytes[from + 4] === forms.objectEvent
    ? { type, handle }
    : { type, handle, offset: bytes.readDoubleLE(at + 10), length: bytes.readDoubleLE(at + 18) };
  const process = (has & flags.hasProcess) === 0
    ? undefined
    : { pid: bytes.readUInt32LE(at + 26), uid: bytes.readUInt32LE(at + 30), gid: bytes.readUInt32LE(at + 34), command: lastCommand.text(bytes, handleAt + 2 + bytes.readUInt16LE(handleAt)) };
  const operation = bytes.readDoubleLE(at) as OperationId;
  return { kind: "event-held", held: { operation, event: event as DmEvent, isSynchronous: (has & flags.isSynchronous) !== 0, process } };
}
/** A text that mostly is the same as the last one there. */
class LastText {
  #last = "";
  text(bytes: Buffer, at: number): string {
    const length = bytes.readUInt16LE(at);
    const begin = at + 2;
    const last = this.#last;
    let index = length === last.length ? 0 : length + 1;
    while (index < length && bytes[begin + index]! <= ASCII_MAX && last.charCodeAt(index) === bytes[begin + index]) index++; // beyond ASCII bytes are no characters
    if (index !== length) this.#last = bytes.toString("utf8", begin, begin + length);
    return this.#last;
  }
}
const lastHandle = new LastText();
const lastCommand = new LastText();

/** Cuts what comes into messages. */
class Incoming {
  #rest: Buffer | undefined;

  /** `bytes` may be used again afterwards. */
  take(bytes: Buffer, heard: (message: ToReactor | FromReactor) => void): void {
    const all = this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (all.length - at >= HEAD) {
      const end = at + all.readUInt32LE(at);
      if (end > all.length) break;
      const message = decode(all, at, end);
      at = end;
      heard(message);
    }
    this.#rest = at < all.length ? Buffer.from(all.subarray(at)) : undefined;
  }
}

/** The main thread's end. Closes its descriptor itself. */
export class MainEnd {
  readonly #fd: number;
  readonly #socket: Socket;
  readonly #incoming = new Incoming();
  readonly #heard: (message: FromReactor) => void;
  #isOver = false;

  constructor(fd: number, heard: (message: FromReactor) => void) {
    this.#fd = fd;
    this.#heard = heard;
    const onread = {
      buffer: Buffer.allocUnsafeSlow(READ_SIZE),
      callback: (length: number, buffer: Uint8Array) => {
        inOneTurn(() => this.#take(buffer as Buffer, length));
        return true;
      },
    };
    // @types/node lists `onread` only where a socket connects; the constructor is what takes it.
    this.#socket = new Socket({ fd, readable: true, writable: true, onread } as SocketConstructorOpts);
    this.#socket.on("error", () => {}); // the thread's own end tells why
    this.#socket.resume();
  }

  post(message: ToReactor): void {
    if (this.#isOver) return;
    const bytes = encode(message);
    // What waits already goes first.
    const sent = this.#socket.writableLength > 0 ? 0 : Math.max(0, sendNow(this.#fd, bytes, bytes.length));
    if (sent < bytes.length) this.#socket.write(Buffer.from(bytes.subarray(sent)));
  }
  /** The thread has ended: what it still had said is heard now. */
  drain(): void {
    if (this.#isOver) return;
    const buffer = Buffer.allocUnsafeSlow(READ_SIZE);
    for (let length = receiveNow(this.#fd, buffer); length > 0; length = receiveNow(this.#fd, buffer)) this.#take(buffer, length);
  }
  close(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }

  #take(buffer: Buffer, length: number): void {
    this.#incoming.take(buffer.subarray(0, length), (message) => this.#heard(message as FromReactor));
  }
}

/** The reactor thread's end: never blocks; its descriptor is to be polled for input, and for output while `hasUnsent`. */
export class ReactorEnd {
  readonly #fd: number;
  readonly #incoming = new Incoming();
  readonly #buffer = Buffer.allocUnsafeSlow(READ_SIZE);
  #unsent: Buffer[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  post(message: FromReactor): void {
    const bytes = encode(message);
    const sent = this.#unsent.length > 0 ? 0 : sendNow(this.#fd, bytes, bytes.length);
    if (sent === bytes.length) return;
    this.#unsent.push(Buffer.from(bytes.subarray(Math.max(0, sent))));
  }
  get hasUnsent(): boolean {
    return this.#unsent.length > 0;
  }
  /** Sends what did not fit; whether all of it is gone, or will never go. */
  flush(): boolean {
    for (let next = this.#unsent[0]; next !== undefined; next = this.#unsent[0]) {
      const sent = sendNow(this.#fd, next, next.length);
      if (sent === -errno.EAGAIN || sent === -errno.EINTR) return false;
      if (sent < 0) this.#unsent = [];
      else if (sent === next.length) this.#unsent.shift();
      else this.#unsent[0] = next.subarray(sent);
    }
    return true;
  }
  receive(heard: (message: ToReactor) => void): void {
    let length: number;
    do {
      length = receiveNow(this.#fd, this.#buffer);
      if (length > 0) this.#incoming.take(this.#buffer.subarray(0, length), (message) => heard(message as ToReactor));
    } while (length === this.#buffer.length);
    assert(length !== 0, "the main thread's end outlives the reactor");
  }
}
