/**
 * Moves performed for real on one node's volume: kernel handles, records, marks, guards and passed descriptors of real
 * files, the directory store; only the cluster (rights, events) is written down.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { scriptedDaemon, servers } from "../../client/scripted-daemon.test-suite.js";
import { type Connection, connect, type Session } from "../../client/index.js";
import { descriptorOf } from "../../wire/write-together.js";
import type { CallName } from "../../dmapi/calls.js";
import type { FsName, Handle } from "../../dmapi/ids.js";
import { sendDescriptors } from "../../os/descriptors.js";
import { Handles } from "../../volume/handles.js";
import { type AttachedFs, VolumeService } from "../../volume/service.js";
import { FileMover } from "../file-mover.js";
import { openDirectoryStore } from "../stores/directory/store.js";
import type { Store } from "../stores/store.js";
import { STATE_ATTRIBUTE } from "../states.js";

const needsRoot = { skip: process.getuid?.() === 0 ? false : "needs root: trusted attributes, kernel file handles" };
const top = mkdtempSync("/tmp/sluice-test-moves-");
const fs = "fs1" as FsName;
const clusterKey = "cd".repeat(32);
let service: VolumeService;
let info: AttachedFs;
let handles: Handles;
let connection: Connection;
let session: Session;
let store: Store;
let mover: FileMover;
const calls: string[] = [];
let disturb: (name: string, count: number) => void = () => {};

before(async () => {
  if (needsRoot.skip) return;
  service = new VolumeService({ clusterKey, guardWaitMs: 500, pool: { workersMax: 1, queueMax: 100 } });
  mkdirSync(join(top, "backing"), { mode: 0o700 });
  info = await service.attach({ fs, backing: join(top, "backing") });
  service.setMembers(1, { 1: "A" });
  handles = new Handles({ clusterKey, fsid: info.fsid, mountFd: info.rootFd });
  let tokens = 100;
  const { socket } = await scriptedDaemon(async (frame) => {
    if (frame.kind === "abandon") return "silence";
    calls.push(frame.name);
    disturb(frame.name, calls.filter((name) => name === frame.name).length);
    if (frame.name === "session.create") return { result: { session: 3 } };
    if (frame.name === "userevent.create") return { result: { token: ++tokens } };
    if (/^(event|right)\.|^object\.flush$/.test(frame.name)) return { result: {} };
    const handle = (frame.args["handle"] ?? "") as Handle;
    const done = await service.perform({ kind: "perform", fs, handle, name: frame.name as CallName, args: frame.args, client: 1 });
    return done.kind === "ok" ? { result: done.result } : { failure: done.failure };
  });
  const door = createServer((peer) => peer.on("error", () => {}).once("data", (ticket) => {
    const found = service.ticket(ticket.toString("latin1").trim());
    if (found !== undefined) sendDescriptors(descriptorOf(peer), Buffer.from([1]), [found.fd]);
    found?.release();
    peer.end();
  }));
  servers.push(door);
  await new Promise<void>((resolve) => door.listen(`${socket}.fd`, resolve));
  connection = await connect({ socket });
  session = await connection.createSession("moves");
  store = await openDirectoryStore({ directory: join(top, "store"), forbidden: [] });
  mover = new FileMover({ session, store, fs, fsEventList: 0 });
});
after(async () => {
  connection?.close();
  await service?.close();
  rmSync(top, { recursive: true, force: true });
});

let count = 0;
function freshFile(size = 2_500_000): { path: string; handle: Handle; content: Buffer } {
  const name = `file${++count}`;
  const path = join(top, "backing", name);
  const content = randomBytes(size);
  writeFileSync(path, content);
  utimesSync(path, 1_600_000_000, 1_500_000_000.123);
  calls.length = 0;
  disturb = () => {};
  const handle = handles.ofName(info.rootFd, name);
  assert.ok(typeof handle === "string");
  return { path, handle, content };
}

test("migrated: no blocks, the object is the file; recalled: the bytes and times are back", needsRoot, async () => {
  const { path, handle, content } = freshFile();
  const before = statSync(path, { bigint: true });
  let progressed = 0;
  const outcome = await mover.migrate("migrate", { handle, path: "/where/it/was", progressed: (bytes) => { progressed += bytes; } });
  assert.deepEqual(outcome, { kind: "done", state: "migrated", bytes: content.length });
  assert.equal(progressed, content.length);
  assert.equal(statSync(path).size, content.length);
  assert.ok(statSync(path).blocks < 16, `${statSync(path).blocks} blocks`);
  assert.equal((await session.object(handle).record()).attributes.ctimeNs, before.ctimeNs, "ctime as before, though the mark moved it");
  const report = await mover.state(handle);
  assert.deepEqual([report.state, report.flags, report.size], ["migrated", [], content.length]);
  const manifest = await store.manifest(report.object!);
  assert.deepEqual([manifest.path, manifest.handle, manifest.mtimeNs, manifest.size], ["/where/it/was", handle, String(before.mtimeNs), content.length]);
  assert.deepEqual(await store.intents(), { notes: [], damaged: [] });

  assert.deepEqual(await mover.recall({ handle }), { kind: "done", state: "resident", bytes: content.length });
  assert.ok(readFileSync(path).equals(content));
  assert.equal(statSync(path, { bigint: true }).mtimeNs, before.mtimeNs);
  const { record } = await session.object(handle).record();
  assert.deepEqual([record?.residency, record?.regions, record?.virtual, record?.attributes[STATE_ATTRIBUTE], record?.eventList], ["resident", [], undefined, undefined, undefined]);
  assert.equal((await store.ledger()).notes.length, 1);
  assert.deepEqual(await mover.recall({ handle }), { kind: "already", state: "resident", bytes: 0 });
});

test("rights surround the change and the punch, and not the copying", needsRoot, async () => {
  const { handle } = freshFile();
  await mover.migrate("migrate", { handle });
  const order = ["mark.create", "right.request", "object.flush", "invisible.open", "mark.check", "record.change", "hole.punch", "record.change", "invisible.close", "event.respond"];
  const seen = calls.slice(calls.indexOf("mark.create")).filter((name) => name !== "record.get" && name !== "userevent.create");
  assert.deepEqual(seen.filter((name, at) => !(name === "invisible.open" && at < seen.indexOf("right.request"))), order);
});

test("a file changed during the copy is not migrated, the copy goes to the ledger, the mark is gone", needsRoot, async () => {
  const { path, handle } = freshFile();
  const before = (await store.ledger()).notes.length;
  disturb = (name) => {
    if (name === "right.request") writeFileSync(path, "shorter");
  };
  await assert.rejects(mover.migrate("migrate", { handle }), { code: "ECANCELED" });
  assert.equal(readFileSync(path, "utf8"), "shorter");
  assert.equal((await store.ledger()).notes.length, before + 1);
  assert.deepEqual([(await session.object(handle).record()).mark, (await mover.state(handle)).state], [null, "resident"]);
  assert.deepEqual(await store.intents(), { notes: [], damaged: [] });
});

test("premigrated, released, emptied without a byte", needsRoot, async () => {
  const { path, handle, content } = freshFile();
  assert.equal((await mover.migrate("premigrate", { handle })).state, "premigrated");
  assert.ok(readFileSync(path).equals(content));
  assert.equal((await mover.state(handle)).state, "premigrated");
  assert.equal((await mover.migrate("premigrate", { handle })).kind, "already");
  assert.equal((await mover.migrate("release", { handle })).state, "migrated");
  assert.equal((await mover.recall({ handle }, { isEmptied: true })).bytes, 0);
  assert.equal(statSync(path).size, 0);
  assert.equal((await mover.state(handle)).state, "resident");
});

test("a damaged object: EIO, the region stays, nothing is held", needsRoot, async () => {
  const { path, handle, content } = freshFile();
  await mover.migrate("migrate", { handle });
  const { object } = await mover.state(handle);
  const file = join(top, "store", "objects", object!.slice(0, 2), object!);
  truncateSync(file, content.length - 1);
  await assert.rejects(mover.recall({ handle }), { code: "EIO" });
  const damaged = Buffer.from(content);
  damaged[2_000_000]! ^= 1;
  writeFileSync(file, damaged);
  await assert.rejects(mover.recall({ handle }), { code: "EIO" });
  assert.equal((await session.object(handle).record()).record?.residency, "partial");
  writeFileSync(file, content);
  await mover.recall({ handle });
  assert.ok(readFileSync(path).equals(content));
});

test("a damaged manifest keeps nobody from the bytes", needsRoot, async () => {
  const { path, handle, content } = freshFile();
  await mover.migrate("migrate", { handle });
  const { object } = await mover.state(handle);
  writeFileSync(join(top, "store", "objects", object!.slice(0, 2), `${object}.json`), "{\"format\":1,");
  await mover.recall({ handle });
  assert.ok(readFileSync(path).equals(content));
  assert.equal((await store.ledger()).notes.find((entry) => entry.object === object)?.handle, handle, "and its object is asked for by the file's handle before it goes");
});

test("many at once, several times the same file", needsRoot, async () => {
  const files = Array.from({ length: 6 }, () => freshFile(300_000));
  await Promise.all(files.flatMap(({ handle }) => [mover.migrate("migrate", { handle }), mover.migrate("migrate", { handle })]));
  const recalledBefore = mover.counters.recalled;
  await Promise.all(files.flatMap(({ handle }) => [mover.recall({ handle }), mover.recall({ handle }), mover.recall({ handle })]));
  assert.equal(mover.counters.recalled - recalledBefore, files.length);
  for (const { path, content } of files) assert.ok(readFileSync(path).equals(content));
});
