/** Both sockets of a node against good and bad guests, and the check of arguments behind them. */
import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { connectUnix, receiveDescriptors, send } from "../os/descriptors.js";
import { errno } from "../os/errno.js";
import { APPLICATION_PROTOCOL_VERSIONS, decodeToApplication, encodeToDaemon, FrameSplitter, type FrameToApplication, HELLO_CALL } from "../wire/application-frames.js";
import { ApplicationServer, CALLS_PER_CLIENT_MAX, refusalOf } from "./application-server.js";
import { faultOf } from "./call-arguments.js";
import { DescriptorDoor } from "./descriptor-door.js";
import { HandleSeal } from "../volume/handle-seal.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "sluice-test-"));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A server that answers "echo", keeps "wait" waiting, and notes the rest. */
async function serve(path: string) {
  const noted: string[] = [];
  const server: ApplicationServer = await ApplicationServer.open(path, undefined, {
    refusal: (who) => refusalOf(who, undefined),
    call: ({ call, name, args, pid }) => {
      noted.push(`${name} pid ${pid === process.pid ? "mine" : pid}`);
      if (name === "echo") server.answer(call, args);
      if (name === "fail") server.refuse(call, { code: "EBUSY", message: "held by B" });
      if (name === "huge") server.answer(call, { data: new Uint8Array(9 * 1024 * 1024) });
    },
    abandoned: () => noted.push("abandoned"),
    gone: () => noted.push("gone"),
    log: (line) => noted.push(line),
  });
  cleanups.push(() => server.close());
  return { server, noted };
}
class Guest {
  readonly socket: Socket;
  readonly answers: FrameToApplication[] = [];
  readonly closed: Promise<void>;
  constructor(path: string) {
    this.socket = connect(path);
    const splitter = new FrameSplitter();
    this.socket.on("data", (chunk) => this.answers.push(...splitter.push(chunk).map(decodeToApplication)));
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
    cleanups.push(() => this.socket.destroy());
  }
  say(bytes: Buffer): void {
    this.socket.write(bytes);
  }
}
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !holds(); waited++) {
    assert.ok(waited < 1000, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("calls are answered to whom they belong; who ends takes his calls along", async () => {
  const path = join(directory(), "node.sock");
  const { noted } = await serve(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const guest = new Guest(path);
  for (const byte of encodeToDaemon({ kind: "call", id: 3, name: "echo", args: { at: 5n } })) guest.say(Buffer.from([byte]));
  guest.say(encodeToDaemon({ kind: "call", id: 4, name: "wait", args: {} }));
  guest.say(encodeToDaemon({ kind: "call", id: 5, name: "fail", args: {} }));
  guest.say(encodeToDaemon({ kind: "call", id: 6, name: "huge", args: {} }));
  guest.say(encodeToDaemon({ kind: "abandon", id: 4 }));
  await until(() => guest.answers.length === 3 && noted.includes("abandoned"), "three answers");
  assert.deepEqual(guest.answers[0], { kind: "result", id: 3, result: { at: 5n } });
  assert.deepEqual(guest.answers[1], { kind: "failure", id: 5, failure: { code: "EBUSY", message: "held by B" } });
  assert.ok(guest.answers[2]!.kind === "failure" && guest.answers[2]!.failure.code === "E2BIG");
  guest.socket.destroy();
  await until(() => noted.includes("gone"), "gone");
  assert.ok(noted.includes("echo pid mine"));
});

test("garbage, a huge length, an id used twice: cut off with a line, others are served", async () => {
  const path = join(directory(), "node.sock");
  const { noted } = await serve(path);
  const twice = encodeToDaemon({ kind: "call", id: 1, name: "wait", args: {} });
  for (const bytes of [Buffer.from("GET / HTTP/1.1\r\n\r\n"), Buffer.from([0xff, 0xff, 0xff, 0xff]), Buffer.from([0, 0, 0, 1, 0xc1]), Buffer.concat([twice, twice])]) {
    const guest = new Guest(path);
    guest.say(bytes);
    await guest.closed;
  }
  assert.equal(noted.filter((line) => line.includes("cut off")).length, 4);
  const good = new Guest(path);
  good.say(encodeToDaemon({ kind: "call", id: 1, name: "echo", args: {} }));
  await until(() => good.answers.length === 1, "an answer");
});

test("a bound on waiting calls has a code", async () => {
  const path = join(directory(), "node.sock");
  await serve(path);
  const guest = new Guest(path);
  for (let id = 0; id <= CALLS_PER_CLIENT_MAX; id++) guest.say(encodeToDaemon({ kind: "call", id, name: "wait", args: {} }));
  await until(() => guest.answers.length === 1, "one refusal");
  assert.ok(guest.answers[0]!.kind === "failure" && guest.answers[0]!.failure.code === "EAGAIN");
});

test("the socket of a dead daemon is taken over; of a living one, or another file, it is not", async () => {
  const path = join(directory(), "node.sock");
  const { server } = await serve(path);
  await assert.rejects(serve(path), /another daemon listens on/);
  await server.close();
  writeFileSync(path, "");
  await assert.rejects(serve(path), /is no socket/);
  rmSync(path);
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(path, resolve));
  other.close();
  await serve(path);
});

test("only root, the daemon's own user, or the configured group, may connect", () => {
  assert.equal(refusalOf({ pid: 1, uid: 0, gid: 0 }, undefined, 0), undefined);
  assert.match(refusalOf({ pid: process.pid, uid: 1000, gid: 1000 }, undefined, 0) ?? "", /only root/);
  assert.equal(refusalOf({ pid: process.pid, uid: 1000, gid: 1000 }, 1000, 0), undefined);
  assert.match(refusalOf({ pid: 2 ** 30, uid: 1000, gid: 1000 }, 77, 0) ?? "", /only root and group 77/);
  assert.equal(refusalOf({ pid: process.pid, uid: 1000, gid: 1000 }, undefined, 1000), undefined);
  assert.equal(refusalOf({ pid: 1, uid: 0, gid: 0 }, undefined, 1000), undefined);
  assert.match(refusalOf({ pid: process.pid, uid: 1001, gid: 1000 }, undefined, 1000) ?? "", /only root and uid 1000 may/);
});

test("a descriptor goes to him who has the ticket, once", async () => {
  const where = directory();
  const path = join(where, "node.sock.fd");
  const lines: string[] = [];
  const file = join(where, "file");
  writeFileSync(file, "true bytes");
  const fd = openSync(file, "r");
  let isDone = false;
  const ticket = "0123456789abcdef";
  const tickets = new Set([ticket]);
  const release = () => {
    isDone = true;
    closeSync(fd);
  };
  const door = await DescriptorDoor.open({
    path, group: undefined, redeem: (text) => (tickets.delete(text) ? { fd, release } : undefined), log: (line) => lines.push(line),
  });
  cleanups.push(() => door.close());
  const fetch = async (text: string) => {
    const socket = connectUnix(path);
    assert.ok(socket >= 0);
    cleanups.push(() => closeSync(socket));
    send(socket, Buffer.from(`${text}\n`));
    const answers: ReturnType<typeof receiveDescriptors>[] = [];
    await until(() => { // the door is in this very thread
      const answer = receiveDescriptors(socket, Buffer.alloc(1), 0);
      return answer !== -errno.ETIMEDOUT && answers.push(answer) > 0;
    }, "the door answers");
    return answers[0];
  };
  const received = await fetch(ticket);
  assert.ok(typeof received === "object" && received.fds.length === 1);
  assert.equal(readFileSync(received.fds[0]!, "utf8"), "true bytes");
  assert.equal(fstatSync(received.fds[0]!).size, 10);
  closeSync(received.fds[0]!);
  assert.ok(isDone);
  for (const wrong of [ticket, "", "x".repeat(300)]) {
    const refused = await fetch(wrong);
    assert.ok(typeof refused === "number" || refused?.fds.length === 0);
  }
  assert.equal(lines.filter((line) => line.includes("not known")).length, 3);
});

test("arguments: wrong shapes are EINVAL with the field's name, forged handles EBADF", () => {
  const seal = new HandleSeal("ab".repeat(32));
  const handle = seal.seal("0011223344556677", 1, "aabbccddeeff0011");
  const forged = new HandleSeal("cd".repeat(32)).seal("0011223344556677", 1, "aabbccddeeff0011");
  const cases: readonly [string, unknown, string | undefined, RegExp?][] = [
    ["region.get", { session: 1, handle }, undefined],
    ["region.get", { session: 1, handle, token: 7 }, undefined],
    ["region.get", { session: 1, handle: forged }, "EBADF", /not made by this cluster/],
    ["region.get", { session: 1, handle: "xyz" }, "EINVAL", /no handle/],
    ["region.get", { session: 1, handle: 7 }, "EINVAL", /no handle/],
    ["region.get", { session: 1, handle: 7n }, "EINVAL", /a bigint is no handle/],
    ["node.log", { after: -1 }, "EINVAL", /after/],
    ["node.status", { colour: 1 }, "EINVAL"],
    ["link.cut", { peer: "b", direction: "up" }, "EINVAL", /direction/],
    ["manager.move", { to: "../x" }, "EINVAL", /to: letters/],
    ["toString", {}, undefined],
  ];
  for (const [name, args, code, text] of cases) {
    const fault = faultOf(name, args, seal);
    assert.equal(fault?.code, code, `${name} ${fault?.message}`);
    if (text !== undefined) assert.match(fault!.message, text);
  }
});

test("versions: the highest common one is told; one too far apart hears why, and what it sent behind its hello is not done", async () => {
  const path = join(directory(), "node.sock");
  const { noted } = await serve(path);
  const good = new Guest(path);
  good.say(encodeToDaemon({ kind: "call", id: 1, name: HELLO_CALL, args: { lowest: 1, highest: 7 } }));
  good.say(encodeToDaemon({ kind: "call", id: 2, name: "echo", args: { at: 1 } }));
  await until(() => good.answers.length === 2, "both answers");
  assert.deepEqual(good.answers[0], { kind: "result", id: 1, result: { version: 1, versions: APPLICATION_PROTOCOL_VERSIONS } });
  noted.length = 0;
  const far = new Guest(path);
  far.say(Buffer.concat([
    encodeToDaemon({ kind: "call", id: 1, name: HELLO_CALL, args: { lowest: 5, highest: 7 } }),
    encodeToDaemon({ kind: "call", id: 2, name: "echo", args: { at: 1 } }),
  ]));
  await far.closed;
  assert.equal(far.answers.length, 1);
  const [answer] = far.answers;
  assert(answer?.kind === "failure" && answer.failure.code === "EPROTO");
  assert.match(answer.failure.message, /the daemon speaks versions 1 .*the application speaks 5-7: none in common\. Upgrade the daemon to a release that speaks version 5, or bring the application back/);
  await until(() => noted.includes("gone"), "it is gone");
  assert.equal(noted.filter((line) => /turned away: .*none in common/.test(line)).length, 1);
  assert.equal(noted.some((line) => line.startsWith("echo")), false);
});
