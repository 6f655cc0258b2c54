/** Frames of applications: both directions, every split of the stream, and strangers' bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeToApplication, decodeToDaemon, encodeToApplication, encodeToDaemon, FRAME_LENGTH_MAX, FrameError, FrameSplitter,
  LENGTH_BYTES,
} from "./application-frames.js";

const call = { kind: "call", id: 7, name: "fileattr.set", args: { mtimeNs: 1_700_000_000_000_000_001n, size: 2 ** 40, handle: "ab" } } as const;

test("a call and an answer come back as they were sent, big numbers included", () => {
  assert.deepEqual(decodeToDaemon(encodeToDaemon(call).subarray(LENGTH_BYTES)), call);
  assert.deepEqual(decodeToDaemon(encodeToDaemon({ kind: "abandon", id: 9 }).subarray(LENGTH_BYTES)), { kind: "abandon", id: 9 });
  const failure = { kind: "failure", id: 7, failure: { code: "EBUSY", message: "held by B" } } as const;
  assert.deepEqual(decodeToApplication(encodeToApplication(failure).subarray(LENGTH_BYTES)), failure);
});

test("an absent field is not sent", () => {
  const sent = decodeToDaemon(encodeToDaemon({ kind: "call", id: 1, name: "x", args: { a: undefined, b: null } }).subarray(LENGTH_BYTES));
  assert.deepEqual(sent, { kind: "call", id: 1, name: "x", args: { b: null } });
});

test("the stream may be cut anywhere", () => {
  const stream = Buffer.concat([encodeToDaemon(call), encodeToDaemon({ kind: "abandon", id: 7 })]);
  for (let cut = 0; cut <= stream.length; cut++) {
    const splitter = new FrameSplitter();
    const bodies = [...splitter.push(stream.subarray(0, cut)), ...splitter.push(stream.subarray(cut))];
    assert.equal(bodies.length, 2);
    assert.deepEqual(decodeToDaemon(bodies[0]!), call);
  }
  const splitter = new FrameSplitter();
  const bodies = [...stream].flatMap((byte) => splitter.push(Buffer.from([byte])));
  assert.equal(bodies.length, 2);
});

test("garbage is refused: too long, no array, no id, truncated", () => {
  const long = Buffer.alloc(4);
  long.writeUInt32BE(FRAME_LENGTH_MAX + 1, 0);
  assert.throws(() => new FrameSplitter().push(long), FrameError);
  for (const body of [Buffer.from([]), Buffer.from([0xc1]), Buffer.from([0x01]), Buffer.from([0x91, 0xff]), encodeToDaemon(call).subarray(4, 20)]) {
    assert.throws(() => decodeToDaemon(body), FrameError);
    assert.throws(() => decodeToApplication(body), FrameError);
  }
});
