/**
 * What every event of a synchronous read, write or truncation needs, laid out by hand: MessagePack finds the name of each field
 * anew in each message, which took a third of the time of such an event between two nodes.
 *
 * A layout travels as bytes (MessagePack's `bin`) in the place of the message it stands for, so a frame stays MessagePack as a whole.
 * What a layout cannot say (text that is not ASCII, a field beyond those below) travels as it always did.
 *
 *   numbers   8 bytes, a double, little endian: whole, from 0 to 2^53
 *   texts     one byte with the length, then ASCII
 *   process   a byte, 0 where there is none; else three numbers of 4 bytes, and a text
 *
 * Source    cluster/messages.ts, dmapi/calls.ts (event.get).
 */
import type { Message } from "../cluster/messages.js";
import { type DataEvent, type EventMessage, eventNumbers, eventTypes, type EventAnswer, type ProcessInfo } from "../dmapi/events.js";
import type { FsName, Handle, NodeId, SessionId, Token } from "../dmapi/ids.js";
import { isRecord } from "../base/shape.js";

const forms = { raised: 1, answered: 2, answeredQuietly: 3, taken: 4, event: 5, nextEvent: 6 } as const;
type Form = (typeof forms)[keyof typeof forms];
const TEXT_MAX = 255;
const ASCII_MAX = 0x7f;
const NUMBER_BYTES = 8;
/** At most seven numbers, four texts, and what stands between them. */
export const LAYOUT_BYTES_MAX = 7 * NUMBER_BYTES + 4 * (1 + TEXT_MAX) + 16;

/** The result of `event.get` that is one event. */
type OneEvent = readonly [EventMessage];
/** An answer and the question for the next event. */
export interface NextEvent {
  readonly session: SessionId;
  readonly answers: readonly [EventAnswer];
}

// Laying.

let into: Buffer = Buffer.alloc(0);
let at = 0;

/** Bytes laid from `from` on, in a buffer with room for `LAYOUT_BYTES_MAX`; 0: this message travels as it always did. */
export function layMessage(message: Message, bytes: Buffer, from: number): number {
  begin(bytes, from);
  switch (message.kind) {
    case "event-raised": {
      const { event, process, fs } = message;
      if (!message.isSynchronous || !isDataEvent(event) || message.notice !== undefined || message.raisedOn !== undefined || message.passedBy !== undefined) return 0;
      putForm(forms.raised);
      const isLaid = putNumber(message.session) && putNumber(message.hostGeneration) && putNumber(message.token) && putNumber(message.sequence) && putNumber(message.registryVersion) &&
        putEvent(event) && putText(fs) && putProcess(process);
      return isLaid ? at - from : 0;
    }
    case "event-answered": {
      if (message.response.kind !== "continue" || message.data !== undefined) return 0;
      putForm(message.isQuiet === true ? forms.answeredQuietly : forms.answered);
      return putNumber(message.token) && putNumber(message.session) && putNumber(message.hostGeneration) ? at - from : 0;
    }
    case "answer-taken":
      putForm(forms.taken);
      return putNumber(message.token) && putNumber(message.session) ? at - from : 0;
    default:
      return 0;
  }
}
/** As `layMessage`, for the result of a call. */
export function layResult(result: unknown, bytes: Buffer, from: number): number {
  if (!isOneEvent(result)) return 0;
  const [{ session, sequence, token, event, fs, source, process }] = result;
  begin(bytes, from);
  putForm(forms.event);
  const isLaid = putNumber(session) && putNumber(sequence) && putNumber(token) && putEvent(event as DataEvent) && putText(fs) && putText(source) && putProcess(process);
  return isLaid ? at - from : 0;
}
/** As `layMessage`, for the arguments of `event.get`. */
export function layNextEvent(args: Readonly<Record<string, unknown>>, bytes: Buffer, from: number): number {
  const { session, max, waitMs, answers } = args;
  if (max !== undefined || waitMs !== undefined || !Array.isArray(answers) || answers.length !== 1) return 0;
  const answer = answers[0] as unknown;
  if (!isRecord(answer) || answer["data"] !== undefined || !isRecord(answer["response"]) || answer["response"]["kind"] !== "continue") return 0;
  begin(bytes, from);
  putForm(forms.nextEvent);
  return putNumber(session) && putNumber(answer["token"]) ? at - from : 0;
}

function begin(bytes: Buffer, from: number): void {
  into = bytes;
  at = from;
}
function isOneEvent(result: unknown): result is OneEvent {
  if (!Array.isArray(result) || result.length !== 1) return false;
  const message = result[0] as unknown;
  return isRecord(message) && isRecord(message["event"]) && isDataEvent(message["event"]) && message["id"] === undefined && message["notice"] === undefined && message["token"] !== undefined;
}
function isDataEvent(event: { readonly type?: unknown }): event is DataEvent {
  const { type } = event;
  return type === "read" || type === "write" || type === "truncate";
}
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
}
function putForm(form: Form): void {
  into[at++] = form;
}
function putNumber(value: unknown): boolean {
  if (!isCount(value)) return false;
  into.writeDoubleLE(value, at);
  at += NUMBER_BYTES;
  return true;
}
function putText(text: unknown): boolean {
  if (typeof text !== "string" || text.length > TEXT_MAX) return false;
  into[at++] = text.length;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > ASCII_MAX) return false;
    into[at++] = code;
  }
  return true;
}
function putEvent({ type, handle, offset, length }: DataEvent): boolean {
  into[at++] = eventNumbers[type];
  return putNumber(offset) && putNumber(length) && putText(handle);
}
function putProcess(process: ProcessInfo | undefined): boolean {
  if (process === undefined) {
    into[at++] = 0;
    return true;
  }
  const { pid, uid, gid, command } = process;
  if (!isUint32(pid) || !isUint32(uid) || !isUint32(gid)) return false;
  into[at] = 1;
  into.writeUInt32LE(pid, at + 1);
  into.writeUInt32LE(uid, at + 5);
  into.writeUInt32LE(gid, at + 9);
  at += 13;
  return putText(command);
}
function isUint32(value: unknown): value is number {
  return isCount(value) && value <= 0xffff_ffff;
}

// Reading. What is wrong makes `at` stand beyond the end.

let from: Buffer = Buffer.alloc(0);
let end = 0;

/** Undefined where it is no layout of a message between nodes. `bytes[at, end)`. */
export function laidMessage(bytes: Buffer, start: number, stop: number): Message | undefined {
  open(bytes, start, stop);
  switch (takeByte()) {
    case forms.raised: {
      const session = takeNumber() as SessionId;
      const hostGeneration = takeNumber();
      const token = takeNumber() as Token;
      const sequence = takeNumber();
      const registryVersion = takeNumber();
      const event = takeEvent();
      const fs = takeText(texts.fs) as FsName;
      const process = takeProcess();
      return event === undefined || at !== end ? undefined : { kind: "event-raised", session, hostGeneration, token, isSynchronous: true, sequence, registryVersion, fs, event, process };
    }
    case forms.answered: {
      const [token, session, hostGeneration] = [takeNumber() as Token, takeNumber() as SessionId, takeNumber()];
      return at !== end ? undefined : { kind: "event-answered", token, session, hostGeneration, response: { kind: "continue" } };
    }
    case forms.answeredQuietly: {
      const [token, session, hostGeneration] = [takeNumber() as Token, takeNumber() as SessionId, takeNumber()];
      return at !== end ? undefined : { kind: "event-answered", token, session, hostGeneration, response: { kind: "continue" }, isQuiet: true };
    }
    case forms.taken: {
      const [token, session] = [takeNumber() as Token, takeNumber() as SessionId];
      return at !== end ? undefined : { kind: "answer-taken", token, session };
    }
    default:
      return undefined;
  }
}
export function laidResult(bytes: Buffer, start: number, stop: number): OneEvent | undefined {
  open(bytes, start, stop);
  if (takeByte() !== forms.event) return undefined;
  const session = takeNumber() as SessionId;
  const sequence = takeNumber();
  const token = takeNumber() as Token;
  const event = takeEvent();
  const fs = takeText(texts.fs);
  const source = takeText(texts.source) as NodeId;
  const process = takeProcess();
  if (event === undefined || at !== end) return undefined;
  return [process === undefined ? { session, fs, source, sequence, event, token } : { session, fs, source, sequence, event, token, process }];
}
export function laidNextEvent(bytes: Buffer, start: number, stop: number): NextEvent | undefined {
  open(bytes, start, stop);
  if (takeByte() !== forms.nextEvent) return undefined;
  const session = takeNumber() as SessionId;
  const token = takeNumber() as Token;
  return at !== end ? undefined : { session, answers: [{ token, response: { kind: "continue" } }] };
}

/** The texts that were read last, which mostly come again. */
class LastText {
  text = "";
}
const texts = { fs: new LastText(), source: new LastText(), handle: new LastText(), command: new LastText() };

function open(bytes: Buffer, start: number, stop: number): void {
  from = bytes;
  at = start;
  end = stop;
}
function failed<T>(nothing: T): T {
  at = end + 1;
  return nothing;
}
function takeByte(): number {
  return at < end ? from[at++]! : failed(0);
}
function takeNumber(): number {
  if (at + NUMBER_BYTES > end) return failed(0);
  const value = from.readDoubleLE(at);
  at += NUMBER_BYTES;
  return isCount(value) ? value : failed(0);
}
function takeText(last: LastText): string {
  const length = takeByte();
  const begin = at;
  if (begin + length > end) return failed("");
  at = begin + length;
  const { text } = last;
  let index = text.length === length ? 0 : length + 1;
  while (index < length && text.charCodeAt(index) === from[begin + index]) index++;
  if (index === length) return text;
  for (let each = begin; each < at; each++) if (from[each]! > ASCII_MAX) return failed("");
  last.text = from.toString("latin1", begin, at);
  return last.text;
}
function takeEvent(): DataEvent | undefined {
  const type = eventTypes[takeByte()];
  const offset = takeNumber();
  const length = takeNumber();
  const handle = takeText(texts.handle) as Handle;
  return type === "read" || type === "write" || type === "truncate" ? { type, handle, offset, length } : undefined;
}
function takeProcess(): ProcessInfo | undefined {
  const is = takeByte();
  if (is === 0) return undefined;
  if (is !== 1 || at + 12 > end) return failed(undefined);
  const [pid, uid, gid] = [from.readUInt32LE(at), from.readUInt32LE(at + 4), from.readUInt32LE(at + 8)];
  at += 12;
  return { pid, uid, gid, command: takeText(texts.command) };
}
