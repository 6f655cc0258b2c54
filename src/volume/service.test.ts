/** The main thread's face: guards by client, tickets, waiting for a guard, bad calls, and answers that fit the contract. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { VolumeResult } from "../cluster/node-contract.js";
import type { CallName } from "../dmapi/calls.js";
import type { DmCode } from "../dmapi/errors.js";
import { eventSet } from "../dmapi/events.js";
import type { FsName, Handle } from "../dmapi/ids.js";
import * as files from "../os/files.js";
import { releaseGuard, tryTakeGuard } from "./guard.js";
import { Handles } from "./handles.js";
import { VolumeService, type AttachedFs } from "./service.js";

const needsRoot = { skip: process.getuid?.() === 0 ? false : "needs root: trusted attributes, kernel file handles" };
const top = mkdtempSync("/tmp/sluice-test-service-");
const clusterKey = "ab".repeat(32);
const fs = "fs1" as FsName;
let service: VolumeService;
let info: AttachedFs;
let handles: Handles;
before(async () => {
  if (needsRoot.skip) return;
  service = new VolumeService({ clusterKey, guardWaitMs: 2000, pool: { workersMax: 2, queueMax: 100 } });
  info = await service.attach({ fs, backing: top });
  service.setMembers(4, { 4: "A", 5: "B" });
  handles = new Handles({ clusterKey, fsid: info.fsid, mountFd: info.rootFd });
});
after(async () => {
  await service?.close();
  rmSync(top, { recursive: true, force: true });
});

const handleOf = (name: string): Handle => {
  const handle = handles.ofName(info.rootFd, name);
  assert.ok(typeof handle === "string");
  return handle;
};
function file(name: string, content = "x".repeat(10_000)): Handle {
  writeFileSync(join(top, name), content);
  return handleOf(name);
}
async function perform(name: CallName, handle: Handle, args: object = {}, client = 1): Promise<VolumeResult> {
  return service.perform({ kind: "perform", fs, handle, name, client, args: { session: 1, handle, ...args } });
}
async function ok<T>(name: CallName, handle: Handle, args: object = {}, client = 1): Promise<T> {
  const result = await perform(name, handle, args, client);
  assert.ok(result.kind === "ok", result.kind === "failed" ? `${name}: ${result.failure.code} ${result.failure.message}` : "");
  return result.result as T;
}
async function code(name: CallName, handle: Handle, args: object = {}, client = 1): Promise<DmCode | "ok"> {
  const result = await perform(name, handle, args, client);
  return result.kind === "failed" ? result.failure.code : "ok";
}

/** As the cluster's machines do: tried again while somebody is in the way. */
async function untilFree(...call: Parameters<typeof code>): Promise<DmCode | "ok"> {
  for (let tries = 0; ; tries++) {
    const found = await code(...call);
    if (found !== "EBUSY" || tries === 200) return found;
    await new Promise((done) => setTimeout(done, 10));
  }
}

test("a file without a name is brought back for those who have it open, and never taken away from them", needsRoot, async () => {
  const handle = file("nameless");
  const region = { offset: 0, size: 0, flags: 7 };
  await ok("record.change", handle, { change: { residency: "partial", regions: [region], virtual: "capture" } });
  await ok("hole.punch", handle, { offset: 0, length: 0 });
  const other = file("nameless too");
  const fds = ["nameless", "nameless too"].map((name) => files.openAt(files.AT_FDCWD, join(top, name), files.open.readOnly));
  for (const name of ["nameless", "nameless too"]) rmSync(join(top, name));
  assert.equal(await code("record.change", other, { change: { residency: "partial", regions: [region], virtual: "capture" } }), "EBADF");
  assert.equal(await code("region.set", other, { regions: [region] }), "EBADF");
  assert.equal(await code("invisible.write", other, { offset: 0, data: Buffer.from("x") }), "EBADF");
  assert.equal(await code("hole.punch", handle, { offset: 0, length: 0 }), "EBADF");
  assert.equal(await code("invisible.write", handle, { offset: 0, data: Buffer.from("y".repeat(10_000)) }), "ok");
  assert.equal(await code("record.change", handle, { change: { residency: "resident", regions: [], virtual: "drop" } }), "ok");
  assert.deepEqual(await ok("region.get", handle), { regions: [] });
  for (const fd of fds) files.close(fd);
  assert.equal(await code("record.get", handle), "EBADF");
});

test("an application's guard keeps others out until it closes or goes", needsRoot, async () => {
  const handle = file("guarded");
  const opened = await ok<{ ticket: string; guard: number }>("invisible.open", handle, { mode: "exclusive" });
  const passed = service.ticket(opened.ticket);
  assert.ok(passed !== undefined && passed.client === 1);
  const theirs = files.dup(passed.fd); // what SCM_RIGHTS does
  passed.release();
  assert.equal(service.ticket(opened.ticket), undefined, "a ticket is good once");
  const busy = await perform("invisible.open", handle, { mode: "exclusive", waitMs: 0 }, 2);
  assert.ok(busy.kind === "failed" && busy.failure.code === "EBUSY");
  assert.equal(busy.failure.message, "the file is guarded by A, which moves its data");
  assert.equal(await code("record.change", handle, { guard: opened.guard, change: {} }, 2), "EBADF", "another's guard");
  assert.equal(await code("record.change", file("other"), { guard: opened.guard, change: {} }), "EBADF", "another object");
  const changed = await perform("record.change", handle, { guard: opened.guard, change: { regions: [{ offset: 0, size: 0, flags: 1 }] } });
  assert.ok(changed.kind === "ok" && changed.round?.kind === "record-changed" && changed.round.generation === 1 && changed.announcement === undefined);
  const cleared = await perform("region.set", handle, { regions: [] });
  assert.ok(cleared.kind === "ok" && cleared.round === undefined && cleared.announcement?.kind === "record-changed", "the client's guard is used unnamed, too");
  await ok("invisible.close", handle, { guard: opened.guard });
  assert.equal(await code("invisible.close", handle, { guard: opened.guard }), "EBADF");
  assert.equal(await code("mark.create", handle, {}, 2), "EBUSY", "their copy of the descriptor holds it still");
  files.close(theirs);
  assert.equal(await untilFree("mark.create", handle, {}, 2), "ok");
  assert.equal(await untilFree("invisible.open", handle, { mode: "exclusive" }, 3), "ok");
  service.dropClient(3);
  assert.equal(await untilFree("invisible.open", handle, { mode: "exclusive" }, 2), "ok");
  service.dropClient(2);
  assert.equal(service.counters(fs)?.descriptors, 0);
});

test("the power to write by a descriptor breaks the mark, unless it is promised not to be used on a resident file", needsRoot, async () => {
  const handle = file("written-by-descriptor");
  const { nonce } = await ok<{ nonce: string }>("mark.create", handle, {});
  const isUnbroken = async () => (await ok<{ isUnbroken: boolean }>("mark.check", handle, { nonce })).isUnbroken;
  assert.equal(await untilFree("invisible.open", handle, { mode: "exclusive", keepsMark: true }), "ok");
  assert.equal(await isUnbroken(), true, "the mover's own");
  service.dropClient(1);
  assert.equal(await untilFree("invisible.open", handle, { mode: "exclusive" }), "ok");
  assert.equal(await isUnbroken(), false);
  service.dropClient(1);
});

test("a call waits for a guard that is given back", needsRoot, async () => {
  const handle = file("waiting");
  const fd = files.openAt(info.rootFd, "waiting", files.open.readWrite);
  assert.equal(tryTakeGuard(fd, "shared", 5), 0);
  const waiting = code("attribute.set", handle, { name: "aaaaaaaaaaaaaaaa", value: Buffer.from("v") });
  const read = await ok<{ data: Uint8Array }>("invisible.read", handle, { offset: 9_990, length: 100 });
  assert.equal(Buffer.from(read.data).toString(), "x".repeat(10));
  releaseGuard(fd);
  assert.equal(await waiting, "ok");
  files.close(fd);
});

test("attributes and event lists of files, directories, links and the file system", needsRoot, async () => {
  mkdirSync(join(top, "directory"));
  symlinkSync("nowhere", join(top, "link"));
  const name = "00112233aabbccdd";
  for (const handle of [file("plain"), handleOf("directory"), handleOf("link"), info.rootHandle]) {
    assert.equal(await code("attribute.get", handle, { name }), "ENOENT");
    await ok("attribute.set", handle, { name, value: Buffer.from("value") });
    assert.equal(Buffer.from((await ok<{ value: Uint8Array }>("attribute.get", handle, { name })).value).toString(), "value");
    assert.equal((await ok<unknown[]>("attribute.list", handle)).length, 1);
    await ok("attribute.remove", handle, { name });
    assert.equal(await code("attribute.remove", handle, { name }), "ENOENT");
    assert.equal(await code("attribute.set", handle, { name: "short", value: Buffer.from("") }), "EINVAL");
  }
  const directory = handleOf("directory");
  await ok("eventlist.set", directory, { events: ["create", "remove"] });
  await ok("eventlist.set", directory, { events: [], below: 6 }); // create is 5, remove is 8
  assert.deepEqual(await ok("eventlist.get", directory), { events: eventSet(["remove"]) });
  assert.equal(await code("eventlist.set", file("plain"), { events: ["create"] }), "EINVAL");
  assert.equal(await code("region.set", directory, { regions: [] }), "EINVAL");
  const onFs = await perform("eventlist.set", info.handle, { events: ["destroy", "nospace"] });
  assert.ok(onFs.kind === "ok" && onFs.round?.kind === "fs-event-list-changed");
  assert.deepEqual(await ok("eventlist.get", info.handle), { events: eventSet(["destroy", "nospace"]) });
  assert.equal(await code("region.get", info.handle), "EINVAL");
});

test("attributes of a file are set invisibly, and bytes written invisibly break its mark", needsRoot, async () => {
  const handle = file("invisible");
  const before = await ok<{ mtimeNs: bigint }>("fileattr.get", handle);
  const mark = await ok<{ nonce: string }>("mark.create", handle);
  assert.deepEqual(await ok("mark.check", handle, { nonce: mark.nonce }), { isUnbroken: true });
  const written = await perform("invisible.write", handle, { offset: 10_000, data: Buffer.from("more") });
  assert.ok(written.kind === "ok" && written.round?.kind === "drop-pages");
  assert.deepEqual(await ok("mark.check", handle, { nonce: mark.nonce }), { isUnbroken: false });
  const after = await ok<{ mtimeNs: bigint; size: number }>("fileattr.get", handle);
  assert.deepEqual([after.mtimeNs, after.size], [before.mtimeNs, 10_004]);
  const setting = await perform("fileattr.set", handle, { mode: 0o640, uid: 5, mtimeNs: 77n, size: 3 });
  assert.ok(setting.kind === "ok" && setting.round?.kind === "drop-pages", "caches judge by size and mtime");
  const shown = await perform("fileattr.set", handle, { mode: 0o640, atimeNs: 5n });
  assert.ok(shown.kind === "ok" && shown.round?.kind === "drop-pages", "kernels keep attributes");
  const harmless = await perform("fileattr.set", handle, { atimeNs: 5n });
  assert.ok(harmless.kind === "ok" && harmless.round === undefined);
  const set = await ok<{ mode: number; uid: number; mtimeNs: bigint; size: number }>("fileattr.get", handle);
  assert.deepEqual([set.mode & 0o7777, set.uid, set.mtimeNs, set.size], [0o640, 5, 77n, 3]);
});

test("bad handles, names and arguments are refused one by one", needsRoot, async () => {
  const handle = file("bad");
  assert.equal(await code("record.get", "00" as Handle), "EBADF");
  assert.equal(await code("record.get", (handle.slice(0, -1) + (handle.endsWith("0") ? "1" : "0")) as Handle), "EBADF");
  assert.equal(await code("node.status", handle), "ENOSYS");
  assert.equal(await code("invisible.read", handle, { offset: -1, length: 1 }), "EINVAL");
  assert.equal(await code("invisible.read", handle, { offset: 10_001, length: 1 }), "EINVAL");
  assert.equal(await code("invisible.open", handle, { mode: "write" }), "EINVAL");
  assert.equal(await code("region.set", handle, { regions: [{ offset: 0, size: -1, flags: 1 }] }), "EINVAL");
  files.setxattrOfPath(join(top, "bad"), "trusted.sluice", Buffer.from("rubbish, and more than twenty bytes"));
  const damaged = await perform("record.get", handle);
  assert.ok(damaged.kind === "failed" && damaged.failure.code === "EIO" && damaged.failure.message.includes("damaged"));
  rmSync(join(top, "bad"));
  const unknown = await service.perform({ kind: "read-record", fs: "fs9" as FsName, handle });
  assert.ok(unknown.kind === "failed" && unknown.failure.code === "ENODEV");
  await assert.rejects(service.attach({ fs, backing: top }), /attached already/);
  await assert.rejects(service.attach({ fs: "fs2" as FsName, backing: join(top, "none") }), /none: no such directory/);
});

test("a removed file's handle is bad, and nothing is written for it", needsRoot, async () => {
  const handle = file("removed");
  rmSync(join(top, "removed"));
  assert.equal(await code("record.get", handle), "EBADF");
  assert.equal(await code("attribute.set", handle, { name: "aaaaaaaaaaaaaaaa", value: Buffer.from("v") }), "EBADF");
});
