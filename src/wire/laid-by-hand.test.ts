/** Layouts: what goes by them comes back as it was, what they cannot say goes as it always did, and spoilt ones are refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame, Message } from "../cluster/messages.js";
import type { EventMessage } from "../dmapi/events.js";
import type { FsName, Handle, Incarnation, NodeId, SessionId, Token } from "../dmapi/ids.js";
import { decodeToApplication, decodeToDaemon, encodeToApplication, encodeToDaemon, FrameError, type FrameToApplication, LENGTH_BYTES } from "./application-frames.js";
import { FrameHead } from "./frame-heads.js";
import { laidMessage, laidNextEvent, laidResult, LAYOUT_BYTES_MAX, layMessage, layNextEvent, layResult } from "./laid-by-hand.js";
import { decodeLinkMessage } from "./node-frames.js";

const session = 5 as SessionId;
const token = 2 ** 50 as Token;
const fs = "fs1" as FsName;
const source = "n1" as NodeId;
const event = { type: "read", handle: "h".repeat(56) as Handle, offset: 2 ** 40, length: 1 } as const;
const process = { pid: 2 ** 32 - 1, uid: 0, gid: 7, command: "a program" };
const raised = { kind: "event-raised", session, hostGeneration: 1, token, isSynchronous: true, sequence: 9, registryVersion: 3, fs, event, process } as const;
const answered = { kind: "event-answered", token, session, hostGeneration: 2, response: { kind: "continue" } } as const;
const messages: readonly Message[] = [
  raised, { ...raised, process: undefined }, { ...raised, event: { ...event, type: "truncate", handle: "another" as Handle } }, { ...raised, fs: "" as FsName },
  { ...raised, process: { ...process, command: "x".repeat(255) } }, answered, { ...answered, isQuiet: true }, { kind: "answer-taken", token, session },
];
const asAlways: readonly Message[] = [
  { ...raised, isSynchronous: false }, { ...raised, raisedOn: source }, { ...raised, passedBy: [] }, { ...raised, notice: { group: "g" as never, handledBy: source } },
  { ...raised, event: { type: "attribute", handle: event.handle } }, { ...raised, process: { ...process, command: "prögram" } }, { ...raised, process: { ...process, command: "x".repeat(256) } },
  { ...raised, process: { ...process, pid: 2 ** 32 } }, { ...raised, sequence: -1 }, { ...raised, sequence: 0.5 }, { ...raised, sequence: -0 },
  { ...answered, response: { kind: "abort", code: "EIO" } }, { ...answered, data: new Uint8Array(1) }, { kind: "event-enqueued", token },
];
const room = Buffer.alloc(LAYOUT_BYTES_MAX + 7);

test("messages of an event come back as they were laid, and others are not laid", () => {
  for (const message of messages) {
    const length = layMessage(message, room, 7);
    assert.ok(length > 0, `${message.kind} is laid`);
    assert.deepEqual(laidMessage(Buffer.from(room), 7, 7 + length), message);
  }
  for (const message of asAlways) assert.equal(layMessage(message, room, 7), 0);
});

test("cut short or longer, and with any byte spoilt, a layout is refused or says something that can be laid again", () => {
  for (const message of messages) {
    const laid = Buffer.from(room.subarray(7, 7 + layMessage(message, room, 7)));
    for (let length = 0; length < laid.length; length++) assert.equal(laidMessage(laid, 0, length), undefined);
    assert.equal(laidMessage(Buffer.concat([laid, Buffer.from([0])]), 0, laid.length + 1), undefined);
    for (let at = 0; at < laid.length; at++) {
      for (const value of [0, 1, 2, 3, 4, 5, 6, 0x7f, 0x80, 0xff]) {
        const spoilt = Buffer.from(laid);
        spoilt[at] = value;
        const read = laidMessage(spoilt, 0, spoilt.length);
        if (read !== undefined) assert.deepEqual(room.subarray(7, 7 + layMessage(read, room, 7)), spoilt);
      }
    }
  }
});

test("a frame with a layout is understood by its head and without it, and a wrong one is refused by both", () => {
  const head = new FrameHead();
  for (const body of [...messages, ...asAlways.slice(0, 6)]) {
    const frame: Frame = { from: source, fromIncarnation: 3 as Incarnation, toIncarnation: 4 as Incarnation, view: 6, sequence: 70_000, acknowledged: 2, body };
    const bytes = Buffer.from(head.encode(frame).subarray(LENGTH_BYTES));
    assert.deepEqual(decodeLinkMessage(bytes), { kind: "frame", frame });
    assert.deepEqual(head.decode(bytes), frame);
  }
  const { body, ...rest } = { from: source, fromIncarnation: 3 as Incarnation, toIncarnation: 4 as Incarnation, view: 6, sequence: 1, acknowledged: 2, body: answered };
  const bytes = Buffer.from(head.encode({ ...rest, body }).subarray(LENGTH_BYTES));
  bytes.writeDoubleLE(-1, bytes.length - 8);
  assert.equal(head.decode(bytes), undefined);
  assert.throws(() => decodeLinkMessage(bytes), FrameError);
});

const message: EventMessage = { session, fs, source, sequence: 8, event, token, process };
const bodyOf = (bytes: Buffer) => Buffer.from(bytes.subarray(LENGTH_BYTES));

test("one event for an application, and its answer with the question for the next, travel as layouts", () => {
  const results: readonly (readonly [unknown, boolean])[] = [
    [[message], true], [[{ session, fs, source, sequence: 8, event, token }], true], [[message, message], false], [[], false], [[{ ...message, id: "1" }], false],
    [[{ ...message, fs: "fü" }], false], [[{ session, fs, source, sequence: 8, event }], false], [[7], false], [{ length: 1 }, false], [[{ ...message, event: { type: "user", data: Buffer.from([1]) } }], false],
    [[{ ...message, session: "5" }], false], [[{ ...message, event: { ...event, offset: "0" } }], false],
  ];
  for (const id of [0, 7, 2 ** 32 - 1, 2 ** 40]) {
    for (const [result, mayBeLaid] of results) {
      const sent: FrameToApplication = { kind: "result", id, result };
      const bytes = bodyOf(encodeToApplication(sent));
      assert.deepEqual(decodeToApplication(bytes), sent);
      assert.equal(bytes[6] === 2 && bytes.readUInt16BE(8) === bytes.length - 10, mayBeLaid && id < 2 ** 32);
    }
  }
  const answer = { token, response: { kind: "continue" } };
  const args: readonly (readonly [Readonly<Record<string, unknown>>, boolean])[] = [
    [{ session, answers: [answer] }, true], [{ session, answers: [answer, answer] }, false], [{ session, answers: [] }, false], [{ session, max: 3, answers: [answer] }, false],
    [{ session, waitMs: 0, answers: [answer] }, false], [{ session, answers: [{ token, response: { kind: "abort", code: "EIO" } }] }, false], [{ session }, false],
    [{ session, answers: [{ ...answer, data: Buffer.from([1]) }] }, false], [{ session, answers: [{ ...answer, token: "1" }] }, false], [{ session, answers: [null] }, false],
  ];
  for (const [each, isLaid] of args) {
    const sent = { kind: "call", id: 9, name: "event.get", args: each } as const;
    const bytes = bodyOf(encodeToDaemon(sent));
    assert.deepEqual(decodeToDaemon(bytes), sent);
    assert.equal(bytes[6] === 3, isLaid);
  }
  assert.notEqual(bodyOf(encodeToDaemon({ kind: "call", id: 9, name: "event.put", args: args[0]![0] }))[6], 3);
});

test("a layout that came as any MessagePack is read too, and a wrong one is refused", () => {
  const length = layResult([message], room, 0);
  const [event, bin8] = [Buffer.from(room.subarray(0, length)), 0xc4];
  const short = (which: number, laid: Buffer) => Buffer.concat([Buffer.from([0x93, 7, which, bin8, laid.length]), laid]);
  assert.deepEqual(decodeToApplication(short(2, event)), { kind: "result", id: 7, result: [message] });
  assert.throws(() => decodeToApplication(short(2, event.subarray(1))), FrameError);
  const args = { session, answers: [{ token, response: { kind: "continue" } }] };
  const next = Buffer.from(room.subarray(0, layNextEvent(args, room, 0)));
  assert.deepEqual(decodeToDaemon(short(3, next)), { kind: "call", id: 7, name: "event.get", args });
  assert.throws(() => decodeToDaemon(short(3, event)), FrameError);
  const wrong = bodyOf(encodeToDaemon({ kind: "call", id: 9, name: "event.get", args }));
  wrong.writeDoubleLE(Number.NaN, wrong.length - 8);
  assert.throws(() => decodeToDaemon(wrong), FrameError);
  for (let cut = 0; cut < event.length; cut++) assert.equal(laidResult(event, 0, cut), undefined);
  for (let cut = 0; cut < next.length; cut++) assert.equal(laidNextEvent(next, 0, cut), undefined);
});
