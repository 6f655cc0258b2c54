/**
 * Every decoder of bytes from outside, with what must hold of it for any input: it gives a valid value or says no in its
 * own words, and what it gives comes out the same when it is encoded and decoded again.
 *
 * Not here  time and memory (runner.ts watches both).
 * Source    safety H6, H15; requirement "garbage on every socket".
 */
import assert from "node:assert/strict";
import { Packr } from "msgpackr/pack";
import { crc32 } from "../base/crc32.js";
import type { Random } from "../base/random.js";
import { checkCall, isHandled } from "../cluster/dm-calls/arguments.js";
import {
  decodeIdentity, decodeLease, decodeReach, decodeViewFile, encodeDocument, parseLeaseName, parseViewName, paths, SMALL_FILE_BYTES, VIEW_FILE_BYTES,
} from "../coordination/shared-volume/layout.js";
import { faultOf } from "../daemon/call-arguments.js";
import { ConfigError, parseConfig } from "../daemon/config.js";
import { decodeCursors, decodeEvent, encodeCursors, encodeEvent, type Framed, framedBody } from "../daemon/event-log/codec.js";
import type { CallName } from "../dmapi/calls.js";
import { GLOBAL_HANDLE, parseHandle, unsealedHandle } from "../dmapi/handle.js";
import type { Handle } from "../dmapi/ids.js";
import { parseRequest } from "../fuse/codec/request.js";
import { decodeAnswers, decodeRequest, encodeRequest, parseInfo } from "../migration/request-format.js";
import { decodeNote, encodeNote } from "../migration/states.js";
import { type Decoded, decodeIntent, decodeLedgerEntry, decodeManifest, decodeSettings } from "../migration/stores/documents.js";
import { parseDocument } from "../volume/filesystem.js";
import { nonceOf } from "../volume/mark.js";
import { decodeBody, type DecodedRecord, decodeValue, encodeBody, encodeSpillBody, encodeValue } from "../volume/record-codec.js";
import { decodeToApplication, decodeToDaemon, encodeToApplication, encodeToDaemon, FrameError, FrameSplitter, LENGTH_BYTES } from "../wire/application-frames.js";
import { FrameHead } from "../wire/frame-heads.js";
import { decodeLinkMessage, encodeLinkMessage } from "../wire/node-frames.js";
import { mutateBytes, mutateValue } from "./mutate.js";
import * as samples from "./samples.js";

export interface Target {
  readonly name: string;
  /** Valid inputs. */
  readonly seeds: readonly Uint8Array[];
  /** Tried with every so many seeds only, being slow. */
  readonly every?: number;
  /** A spoilt one. */
  readonly make: (random: Random) => Uint8Array;
  /** Whether the decoder took it. @throws when what must hold does not. */
  readonly check: (input: Buffer, random: Random) => boolean;
}

const packr = new Packr({ useRecords: false });
const pack = (value: unknown): Uint8Array => Uint8Array.from(packr.pack(value));
const json = (value: unknown): Uint8Array => {
  try {
    return Buffer.from(JSON.stringify(value) ?? "");
  } catch {
    return Buffer.from(JSON.stringify(value, (_key, one: unknown) => (typeof one === "bigint" ? Number(one) : one)) ?? "");
  }
};
const text = (value: unknown): Uint8Array => Buffer.from(String(value), "latin1");

/** Values spoilt before they are encoded, bytes after; what cannot be encoded is spoilt as bytes alone. */
function target(name: string, values: readonly unknown[], encode: (value: unknown) => Uint8Array, check: Target["check"]): Target {
  const seeds = values.map(encode);
  const make = (random: Random): Uint8Array => {
    let bytes = random.pick(seeds);
    if (random.chance(0.6)) {
      try {
        bytes = encode(mutateValue(random, random.pick(values)));
      } catch {
        // No encoder of ours would send it either.
      }
      if (random.chance(0.8)) return bytes;
    }
    return mutateBytes(random, bytes, seeds);
  };
  return { name, seeds, make, check };
}

/** Whether it decodes; only the errors of that kind may say no. */
function attempt<T>(refusal: abstract new (...args: never[]) => Error, decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof refusal) return undefined;
    throw error;
  }
}
/** A value once decoded stays what it is. */
function keeps<T>(decode: (bytes: Buffer) => T | undefined, encode: (value: T) => Buffer): Target["check"] {
  return (input) => {
    const value = decode(input);
    if (value === undefined) return false;
    const encoded = encode(value);
    const again = decode(encoded);
    assert.ok(again !== undefined, "what was decoded and encoded is taken");
    assert.ok(encoded.equals(encode(again)), "and encodes to the same bytes"); // an absent field and an undefined one are the same
    return true;
  };
}

const link = keeps((input) => attempt(FrameError, () => decodeLinkMessage(input)), (message) => encodeLinkMessage(message).subarray(LENGTH_BYTES));
/** And by its head, as others like it are sent and read: whole, and spoilt behind the head. */
function linkMessage(input: Buffer, random: Random): boolean {
  if (!link(input, random)) return false;
  const message = decodeLinkMessage(input);
  if (message.kind !== "frame") return true;
  const head = new FrameHead();
  const bytes = Buffer.from(head.encode(message.frame).subarray(LENGTH_BYTES));
  head.learn(message.frame);
  assert.ok(encodeLinkMessage(decodeLinkMessage(bytes)).equals(encodeLinkMessage({ kind: "frame", frame: head.decode(bytes) ?? message.frame })), "both ways of reading it agree");
  const spoilt = Buffer.from(mutateBytes(random, bytes, [bytes]));
  const known = head.decode(spoilt);
  if (known !== undefined) assert.deepEqual({ kind: "frame", frame: known }, decodeLinkMessage(spoilt));
  return true;
}
const fromDaemon = keeps((input) => attempt(FrameError, () => decodeToApplication(input)), (message) => Buffer.from(encodeToApplication(message).subarray(LENGTH_BYTES)));
const fromApplication = keeps((input) => attempt(FrameError, () => decodeToDaemon(input)), (message) => Buffer.from(encodeToDaemon(message).subarray(LENGTH_BYTES)));

/** The frame, and then its arguments at both gates behind. */
function call(input: Buffer, random: Random): boolean {
  if (!fromApplication(input, random)) return false;
  const message = decodeToDaemon(input);
  if (message.kind !== "call") return true;
  const fault = faultOf(message.name, message.args, samples.seal);
  if (fault !== undefined) assert.ok(["EINVAL", "EBADF"].includes(fault.code) && fault.message.length < 1_000);
  const name = message.name as CallName;
  if (isHandled(name)) checkCall(name, message.args);
  return true;
}

/** A stream gives the same frames, or the same refusal, however it is cut. */
function stream(input: Buffer, random: Random): boolean {
  const split = (chunks: readonly Buffer[]): readonly (string | number)[] => {
    const splitter = new FrameSplitter(4096);
    const bodies: (string | number)[] = [];
    const refused = attempt(FrameError, () => {
      for (const chunk of chunks) for (const body of splitter.push(chunk)) bodies.push(`${body.length} ${crc32(body)}`);
      return bodies;
    });
    return refused === undefined ? ["refused"] : [...bodies, splitter.isInside ? "inside" : "between"];
  };
  const chunks: Buffer[] = [];
  for (let at = 0; at < input.length; ) {
    const length = random.between(1, random.chance(0.5) ? 4 : 600);
    chunks.push(input.subarray(at, at + length));
    at += length;
  }
  const whole = split([input]);
  assert.deepEqual(split(chunks), whole);
  return whole[0] !== "refused";
}

function kernel(input: Buffer): boolean {
  const request = parseRequest(input, input.length);
  if (request === undefined) return false;
  assert.deepEqual(parseRequest(Buffer.from(input), input.length), request);
  if (request.kind === "malformed") {
    assert.ok(request.errno > 0);
    return false;
  }
  for (const value of Object.values(request)) {
    if (typeof value === "string" || value instanceof Uint8Array) assert.ok(value.length <= input.length);
    if (typeof value === "number") assert.ok(Number.isSafeInteger(value), "numbers are exact");
  }
  if (request.kind === "forget") assert.ok(request.forgets.length * 16 <= input.length + 16);
  return true;
}

function sameRecord(decoded: DecodedRecord, again: (body: Buffer, generation: number) => DecodedRecord): boolean {
  if (decoded.kind === "own") assert.deepEqual(again(encodeBody(decoded.record, samples.own), decoded.record.generation), decoded);
  if (decoded.kind === "spilled") assert.deepEqual(again(encodeSpillBody(samples.own, decoded.spill), decoded.generation), decoded);
  if (decoded.kind === "corrupted") assert.ok(decoded.why !== "");
  return decoded.kind === "own" || decoded.kind === "spilled";
}
const recordBody = (input: Buffer): boolean => sameRecord(decodeBody(input, 7, samples.own), (body) => decodeBody(body, 7, samples.own));
function recordValue(input: Buffer, random: Random): boolean {
  const value = Buffer.from(input);
  // A checksum that is right, or damage would never be looked at any closer.
  if (value.length >= 8 && random.chance(0.8)) value.writeUInt32LE(crc32(value, 8), 4);
  const decoded = decodeValue(value, samples.own);
  return sameRecord(decoded, (body, generation) => (body.length > 0xffff ? decoded : decodeValue(encodeValue(generation, body, false), samples.own)));
}

function document<T>(decode: (content: string) => T | undefined, bytes: number): Target["check"] {
  return keeps((input) => decode(input.toString("utf8")), (value) => Buffer.from(encodeDocument(value, bytes)));
}
function leaseName(input: Buffer): boolean {
  const word = input.toString("latin1");
  const number = parseViewName(word);
  if (number !== undefined) assert.equal(parseViewName(paths.view(number).slice("views/".length)), number);
  const name = parseLeaseName(word);
  if (name === undefined) return number !== undefined;
  const path = name.kind === "lease" ? paths.lease(name.life, name.renewals) : name.kind === "left" ? paths.left(name.life) : paths.taken(name.life, name.by);
  assert.deepEqual(parseLeaseName(path.slice("leases/".length)), name);
  return true;
}
function handle(input: Buffer): boolean {
  const word = input.toString("latin1");
  const isOurs = samples.handleTexts.slice(0, 2).includes(word) || word === GLOBAL_HANDLE;
  assert.equal(samples.seal.isGenuine(word as Handle), isOurs, "only what this cluster has sealed is genuine");
  const parts = parseHandle(word);
  if (parts === undefined) return word === GLOBAL_HANDLE;
  assert.equal(unsealedHandle(parts.fsid, parts.type, parts.object) + parts.seal, word);
  return true;
}
function mark(input: Buffer): boolean {
  const nonce = nonceOf(input);
  assert.ok(nonce === "" || /^[0-9a-f]{32}$/.test(nonce));
  return nonce !== "";
}
function fsDocument(input: Buffer): boolean {
  const found = parseDocument(input.toString("utf8"));
  if (found !== undefined) assert.deepEqual(parseDocument(JSON.stringify(found)), found);
  return found !== undefined;
}
function configuration(input: Buffer): boolean {
  const found = attempt(ConfigError, () => parseConfig(input.toString("utf8"), "node.yaml"));
  if (found === undefined) return false;
  assert.deepEqual(parseConfig(JSON.stringify(found), "node.yaml"), found);
  return true;
}
const migrationNote = keeps(decodeNote, (note) => Buffer.from(encodeNote(note)));
const keepsRequest = keeps(decodeRequest, (request) => Buffer.from(encodeRequest(request)));
function migrationRequest(input: Buffer, random: Random): boolean {
  decodeAnswers(input);
  parseInfo(input.toString("utf8"));
  return keepsRequest(input, random);
}

/** A note of the store: read whole, or refused in words that a person can use. */
function storeNote<T>(decode: (text: string, object: string) => Decoded<T>): Target["check"] {
  return (input) => {
    const read = decode(input.toString("utf8"), samples.storeObject);
    if ("fault" in read) {
      assert.ok(read.fault !== "" && read.fault.length < 600, "a fault is a sentence");
      return false;
    }
    assert.deepEqual(decode(JSON.stringify(read.value), samples.storeObject), read, "what was read and written is read");
    return true;
  };
}

/** Frames of the event log, with a checksum that is right more often than not. */
function logFrame<T>(decode: (bytes: Buffer, at: number) => Framed<T> | undefined, encode: (value: T) => Buffer): Target["check"] {
  return (input, random) => {
    const bytes = random.chance(0.8) ? framedBody(input) : Buffer.from(input);
    const found = decode(bytes, 0);
    if (found === undefined) return false;
    assert.ok(found.next <= bytes.length);
    const encoded = encode(found.value);
    const again = decode(encoded, 0);
    assert.ok(again !== undefined && again.next === encoded.length, "what was decoded and encoded is taken");
    assert.ok(encoded.equals(encode(again.value)));
    for (const length of [0, 5, encoded.length - 1]) assert.equal(decode(encoded.subarray(0, length), 0), undefined, "a torn one is not");
    return true;
  };
}
const eventFrame = logFrame(decodeEvent, encodeEvent);
const cursorFrame = logFrame(decodeCursors, encodeCursors);

const bodies = samples.records.map((record) => Uint8Array.from(encodeBody(record, samples.own)));
const unpacked = [...bodies.map((body) => packr.unpack(body) as unknown), [1, samples.own, `${samples.own}.7`, 3_000, 77]];
const asValue = (value: unknown): Uint8Array => Uint8Array.from(encodeValue(3, Buffer.from(pack(value)), true));
const framed = [...samples.toDaemon].map((one) => {
  const body = pack(one);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body, length, body]);
});
const asBytes = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : text(value));
const leaseNames = ["A@3.17", "left+A@3", "taken+A@3+B@5", "view.9", "new+A@3"];

export const targets: readonly Target[] = [
  target("node-messages", [...samples.linkMessages, ...samples.laidFrames], pack, linkMessage),
  target("calls", samples.toDaemon, pack, call),
  target("answers", samples.toApplication, pack, fromDaemon),
  target("stream", framed, asBytes, stream),
  target("kernel-requests", samples.kernelRequests, asBytes, kernel),
  target("record", unpacked, asValue, recordValue),
  target("record-body", unpacked, pack, recordBody),
  target("logged-event", samples.loggedEvents, pack, eventFrame),
  target("log-cursors", [[{ node: "A", incarnation: 3, through: 7, beyond: [9, 12] }], []], pack, cursorFrame),
  target("mark", ["0123456789abcdef".repeat(2)], text, mark),
  target("view", [samples.viewFile], json, document(decodeViewFile, VIEW_FILE_BYTES)),
  target("lease", [samples.lease], json, document(decodeLease, SMALL_FILE_BYTES)),
  target("identity", [samples.identity], json, document(decodeIdentity, SMALL_FILE_BYTES)),
  target("reach", [samples.reach], json, document(decodeReach, SMALL_FILE_BYTES)),
  target("lease-name", leaseNames, text, leaseName),
  target("handle", samples.handleTexts, text, handle),
  target("file-system-document", [{ format: 1, fsid: "00000000000000f5", eventList: 3 }], json, fsDocument),
  { ...target("config", [samples.config], json, configuration), every: 100 },
  { ...target("config-text", samples.configTexts, text, configuration), every: 100 },
  target("migration-note", [{ state: "migrated", object: "o", store: "s", checksum: "c", size: 5, mtimeNs: 7n, copiedAtMs: 1.5, isPunched: true, eventListBefore: null }], pack, migrationNote),
  target("store-manifest", [samples.manifest], json, storeNote(decodeManifest)),
  target("store-intent", [samples.intent, { ...samples.intent, path: null, verb: "release" }], json, storeNote(decodeIntent)),
  target("store-ledger", [samples.ledgerEntry], json, storeNote(decodeLedgerEntry)),
  target("store-settings", [{ format: 1, identity: "00ff00ff00ff00ff" }], json, storeNote(decodeSettings)),
  target("migration-request", [{ op: "migrate", id: "1", items: [{ handle: samples.handle, path: "/a" }] }, { op: "status" }, { op: "cancel", id: "1" }, { op: "state", items: [] }], pack, migrationRequest),
];

/** One input of a target. @throws what is wrong with it. */
export function tryInput({ make, check }: Target, random: Random): boolean {
  return check(Buffer.from(make(random)), random);
}
