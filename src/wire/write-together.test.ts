/** Frames of a turn: all of them, in order, whatever their sizes, and whoever uses their bytes again. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FrameSplitter } from "./application-frames.js";
import { acceptInPlace, connectInPlace } from "./read-in-place.js";
import { flushTogether, inOneTurn, writeAtOnce, writeTogether } from "./write-together.js";

async function connected(t: { after: (end: () => void) => void }, heard: (bytes: Buffer) => void): Promise<{ near: Socket; far: Socket }> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-wire-"));
  const path = join(directory, "s");
  const server = createServer({ pauseOnConnect: true });
  const accepted = new Promise<Socket>((resolve) => server.once("connection", (socket) => resolve(acceptInPlace(socket, heard))));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const near = connectInPlace(path, () => {});
  const far = await accepted;
  if (near.connecting) await new Promise<void>((resolve) => near.once("connect", () => resolve()));
  t.after(() => {
    near.destroy();
    far.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return { near, far };
}

test("frames of all sizes arrive whole and in order, though their maker uses one buffer", async (t) => {
  const sizes = [1, 5, 100, 2_000, 3_000, 70_000, 7, 65_536, 65_535, 300_000, 1, 2, 3, 400_000, 9];
  const bodies: string[] = [];
  const splitter = new FrameSplitter();
  let ended: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const { near } = await connected(t, (bytes) => {
    for (const body of splitter.push(bytes)) {
      bodies.push(`${body.length} ${body.every((byte) => byte === body[0]) ? body[0] : "mixed"}`);
    }
    if (bodies.length === 3 * sizes.length) ended();
  });
  const made = Buffer.alloc(4 + 400_000);
  let mark = 0;
  const say = (write: typeof writeTogether) => {
    for (const size of sizes) {
      made.writeUInt32BE(size, 0);
      made.fill(++mark, 4, 4 + size);
      write(near, made.subarray(0, 4 + size));
    }
  };
  say(writeTogether);
  inOneTurn(() => say(writeTogether));
  inOneTurn(() => say((socket, bytes) => (bytes.length % 2 === 0 ? writeAtOnce : writeTogether)(socket, bytes)));
  made.fill(0);
  await all;
  assert.deepEqual(bodies, [...sizes, ...sizes, ...sizes].map((size, at) => `${size} ${at + 1}`));
});

test("what a turn says has left when it is over, also one that fails; what no turn says, after what runs now", async (t) => {
  let heard = "";
  const { near, far } = await connected(t, (bytes) => {
    heard += bytes.toString();
  });
  const sent = () => near.bytesWritten; // of the stream, which is not used here
  assert.throws(() => inOneTurn(() => {
    writeTogether(near, Buffer.from("a"));
    inOneTurn(() => writeTogether(near, Buffer.from("b")));
    throw new Error("a handler failed");
  }), /a handler failed/);
  writeTogether(near, Buffer.from("c"));
  flushTogether(near);
  writeTogether(near, Buffer.from("d"));
  await new Promise<void>((resolve) => setImmediate(resolve));
  near.end();
  await new Promise<void>((resolve) => far.once("close", () => resolve()));
  assert.equal(heard, "abcd");
  assert.equal(sent(), 0);
});
