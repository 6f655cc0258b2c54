import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "../cluster/messages.js";
import type { Incarnation, NodeId, SessionId, Token } from "../dmapi/ids.js";
import { LENGTH_BYTES } from "./application-frames.js";
import { FrameHead } from "./frame-heads.js";
import { decodeLinkMessage, encodeLinkMessage } from "./node-frames.js";

const first: Frame = {
  from: "n1" as NodeId, fromIncarnation: 70_000 as Incarnation, toIncarnation: 2 as Incarnation, view: 2 ** 40, sequence: 1, acknowledged: 0,
  body: { kind: "answer-taken", token: 5 as Token, session: 3 as SessionId },
};
const bodyOf = (bytes: Buffer) => {
  assert.equal(bytes.readUInt32BE(0), bytes.length - LENGTH_BYTES);
  return Buffer.from(bytes.subarray(LENGTH_BYTES));
};
const frames: readonly Frame[] = [
  first, { ...first, sequence: 2 }, { ...first, sequence: 0xffff_ffff, acknowledged: 0xffff_ffff }, { ...first, sequence: 2 ** 32, acknowledged: 2 ** 33 }, { ...first, view: 9 },
  { ...first, toIncarnation: 3 as Incarnation }, { ...first, from: "n".repeat(300) as NodeId }, first, (({ sequence: _sequence, body: _body, ...bare }) => bare)(first),
  { ...first, body: { kind: "event-enqueued", token: 2 ** 50 as Token } },
];

test("whatever is sent is what everybody understands", () => {
  const head = new FrameHead();
  for (const frame of frames) assert.deepEqual(decodeLinkMessage(bodyOf(head.encode(frame))), { kind: "frame", frame });
});

test("a head that was read in full is known again, others are not", () => {
  const [sender, receiver] = [new FrameHead(), new FrameHead()];
  assert.equal(receiver.decode(bodyOf(sender.encode(first))), undefined, "nothing was read before");
  receiver.learn(first);
  for (const frame of frames) {
    const known = receiver.decode(bodyOf(sender.encode(frame)));
    if (known !== undefined) assert.deepEqual(known, frame);
    const isSameHead = frame.view === first.view && frame.toIncarnation === first.toIncarnation && frame.from === first.from && frame.body !== undefined && frame.sequence! < 2 ** 32;
    assert.equal(known !== undefined, isSameHead);
  }
  assert.equal(receiver.decode(bodyOf(encodeLinkMessage({ kind: "frame", frame: first }))), undefined, "numbers as short as they can be");
});

test("bytes that are wrong behind a known head are left to who says what is wrong", () => {
  const head = new FrameHead();
  const bytes = bodyOf(head.encode(first));
  assert.deepEqual(head.decode(bytes), first);
  for (let length = 0; length < bytes.length; length++) assert.equal(head.decode(bytes.subarray(0, length)), undefined);
  assert.equal(head.decode(Buffer.concat([bytes, Buffer.from([0])])), undefined);
  for (let at = 0; at < bytes.length; at++) {
    for (const value of [0, 0x80, 0xc1, 0xdd, 0xff]) {
      const spoilt = Buffer.from(bytes);
      spoilt[at] = value;
      const decoded = head.decode(spoilt);
      if (decoded !== undefined) assert.deepEqual({ kind: "frame", frame: decoded }, decodeLinkMessage(spoilt));
    }
  }
});
