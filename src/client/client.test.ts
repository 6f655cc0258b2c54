/** The SDK against a scripted daemon: real sockets, frames and descriptors; only the daemon's answers are written down. */
import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { connect, DmError, type Handle } from "./index.js";
import { nodesListening } from "./find-node.js";
import { directory, scriptedDaemon, servers } from "./scripted-daemon.test-suite.js";

const handle = "ab".repeat(24) as Handle;
const readMessage = { session: 3, fs: "fs1", source: "C", sequence: 1, token: 41, event: { type: "read", handle, offset: 0, length: 10 } };

test("events come as a union with their answers, and an answered token is over", async () => {
  let delivered = false;
  const { socket, seen } = await scriptedDaemon((frame) => {
    if (frame.kind === "abandon") return "silence";
    if (frame.name === "session.create") return { result: { session: 3 } };
    if (frame.name === "event.get" && !delivered) {
      delivered = true;
      return { result: [readMessage] };
    }
    return frame.name === "event.get" ? "silence" : { result: {} };
  });
  using connection = await connect({ socket });
  const session = await connection.createSession("test");
  const stop = new AbortController();
  for await (const event of session.events({ signal: stop.signal })) {
    assert.equal(event.type, "read");
    assert.equal(event.node, "C");
    if (event.type === "read") {
      const right = await event.requestRight(event.handle, "exclusive");
      assert.equal(right.right, "exclusive");
      await event.continue();
      assert.equal(right.right, "null");
      await right.release();
    }
    await assert.rejects(event.abort("EIO"), { code: "ESRCH" });
    stop.abort();
  }
  const names = seen.map((frame) => (frame.kind === "call" ? frame.name : "abandon")).filter((name) => name !== "session.renew");
  assert.deepEqual(names, ["session.create", "event.get", "right.request", "event.respond"]);
});

test("a loop that is stopped gives its waiting call up, and loses nothing that came late", async () => {
  let calls = 0;
  const { socket, seen } = await scriptedDaemon((frame) => {
    if (frame.kind === "abandon") return "silence";
    if (frame.name !== "event.get") return { result: { session: 3, id: 3, info: "x" } };
    calls += 1;
    return calls === 1 ? "silence" : { result: [readMessage] };
  });
  using connection = await connect({ socket });
  const session = await connection.attachSession(3);
  const stop = new AbortController();
  const loop = session.events({ signal: stop.signal }).next();
  while (!seen.some((frame) => frame.kind === "call" && frame.name === "event.get")) await new Promise(setImmediate);
  stop.abort();
  assert.equal((await loop).done, true);
  const [event] = await session.getEvents();
  assert.equal(event?.type, "read");
  assert.ok(seen.some((frame) => frame.kind === "abandon"));
});

test("a refused call is a DmError with the daemon's code; a lost daemon fails all that is under way", async () => {
  const { socket } = await scriptedDaemon((frame) => {
    if (frame.kind === "abandon") return "silence";
    if (frame.name === "session.destroy") return { failure: { code: "EBUSY", message: "1 event is outstanding" } };
    return frame.name === "node.status" ? "hang-up" : frame.name === "event.get" ? "silence" : { result: { id: 3, info: "x" } };
  });
  const connection = await connect({ socket });
  const session = await connection.attachSession(3);
  await assert.rejects(session.destroy(), (error) => error instanceof DmError && error.code === "EBUSY" && /outstanding/.test(error.message));
  const waiting = session.events().next();
  await assert.rejects(connection.status(), { code: "ENOTREADY" });
  await assert.rejects(waiting, { code: "ENOTREADY" });
  await assert.rejects(connection.sessions(), { code: "ENOTREADY" });
  assert.equal(connection.isOpen, false);
  await assert.rejects(connect({ socket: join(directory, "nobody.sock") }), { code: "ENOTREADY" });
});

test("a socket that is not for this user is told as such, not as a daemon that is down", async () => {
  const closed = join(directory, "closed");
  mkdirSync(closed, { mode: 0o000 });
  // The effective user alone: libuv connects to a unix socket in this very thread.
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    await assert.rejects(connect({ socket: join(closed, "d.sock") }), { code: "EACCES", message: /d\.sock is not for this user, but for root/ });
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

test("a descriptor's ticket the daemon does not know is an error, not a hang", async () => {
  const { socket } = await scriptedDaemon((frame) =>
    frame.kind === "call" && frame.name === "invisible.open" ? { result: { ticket: "t1" } } : { result: { id: 3, info: "x" } });
  const strangers = createServer((peer) => peer.once("data", () => peer.end()));
  servers.push(strangers);
  await new Promise<void>((resolve) => strangers.listen(`${socket}.fd`, resolve));
  using connection = await connect({ socket });
  const session = await connection.attachSession(3);
  await assert.rejects(session.openInvisible(handle, { mode: "read" }), { code: "EIO" });
});

test("a path must lie below the mount", async () => {
  const { socket } = await scriptedDaemon(() => ({ result: [{ fs: "fs1", handle, rootHandle: handle, backing: "/b", mountpoint: directory }] }));
  using connection = await connect({ socket });
  const fs = await connection.fileSystem("fs1");
  const file = join(directory, "plain");
  writeFileSync(file, "x");
  assert.throws(() => fs.handleOf("/etc/passwd"), { code: "ENXIO" });
  assert.throws(() => fs.handleOf(join(directory, "../x")), { code: "ENXIO" });
  assert.throws(() => fs.handleOf(join(directory, "absent")), { code: "ENOENT" });
  assert.throws(() => fs.handleOf(file), { code: "ENXIO" }); // no managed mount here: the attribute is unknown
  await assert.rejects(connection.fileSystemOf("/etc"), { code: "ENXIO" });
  const fd = openSync(file, "r");
  assert.throws(() => fs.handleOfDescriptor(fd), { code: "ENXIO" });
  closeSync(fd);
});

test("nodes are found among the kernel's listening sockets by their pair", () => {
  const head = "Num       RefCount Protocol Flags    Type St Inode Path";
  const line = (path: string, flags = "00010000") => `0000: 00000002 00000000 ${flags} 0001 01 15481 ${path}`;
  assert.deepEqual(nodesListening([head, line("/a.sock"), line("/a.sock.fd"), line("/b.sock"), line("@/c"), line("/d.sock", "00000000"), line("/d.sock.fd")].join("\n")), ["/a.sock"]);
});

test("a daemon that speaks other versions is told of with both ranges, and what to do", async () => {
  const { socket, seen } = await scriptedDaemon(() => "silence", { lowest: 3, highest: 4 });
  using connection = await connect({ socket });
  const refusal = { code: "EPROTO", message: /the application speaks versions 1 .*the daemon speaks 3-4: none in common\. Upgrade the application .*3/ };
  await assert.rejects(connection.sessions(), refusal);
  await assert.rejects(connection.sessions(), refusal);
  assert.equal(seen.length <= 1, true);
});
