/**
 * Safety C3 on a real file: whatever step a mover or a recall stops after, a reader is never led to a hole: either all bytes
 * are there, or a region with the READ flag stands over what is missing in the authoritative record.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Random } from "../base/random.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import type { FsName, Handle, SessionId } from "../dmapi/ids.js";
import * as files from "../os/files.js";
import { FileStat } from "../os/stat.js";
import { attach, type Volume } from "./filesystem.js";
import { tryTakeGuard } from "./guard.js";
import { removeMark } from "./mark.js";
import type { OperationContext } from "./object.js";
import { openForApplication, perform, type Outcome } from "./perform.js";
import { coversRange } from "./record-codec.js";

const needsRoot = { skip: process.getuid?.() === 0 ? false : "needs root: trusted attributes, kernel file handles" };
const top = mkdtempSync("/tmp/sluice-test-steps-");
const session = 1 as SessionId;
let volume: Volume;
before(() => {
  if (!needsRoot.skip) volume = attach({ fs: "fs1" as FsName, backing: top, clusterKey: "ab".repeat(32) }).volume;
});
after(() => {
  if (!needsRoot.skip) volume.close();
  rmSync(top, { recursive: true, force: true });
});

const LENGTH = 256 * 1024;
const content = Buffer.alloc(LENGTH, 1);
for (let at = 0; at < LENGTH; at++) content[at] = (at * 7 + (at >> 8)) % 255 || 1;
const mtimeNs = 1_600_000_000_123_456_789n;
const wholeFile = [{ offset: 0, size: 0, flags: 7 }];
let count = 0;
function freshFile(): { path: string; handle: Handle } {
  const path = join(top, `file${count++}`);
  writeFileSync(path, content);
  files.utimensAt(files.AT_FDCWD, path, mtimeNs, mtimeNs, 0);
  const handle = volume.handles.ofName(files.AT_FDCWD, path);
  assert.ok(typeof handle === "string");
  return { path, handle };
}

/** What a process does with one file, with its own descriptors; `end` is its death. */
class Mover {
  readonly #handle: Handle;
  #guardFd: number | undefined;
  nonce = "";
  constructor(handle: Handle) {
    this.#handle = handle;
  }
  get #context(): OperationContext {
    return { volume, slot: 1, members: { 1: "A" }, ...(this.#guardFd === undefined ? {} : { guardFd: this.#guardFd }) };
  }
  try(name: CallName, args: object): Outcome {
    return perform(this.#context, name, this.#handle, { session, handle: this.#handle, ...args });
  }
  call<N extends CallName>(name: N, args: Omit<ArgsOf<N>, "session" | "handle">): ResultOf<N> {
    const outcome = this.try(name, args);
    assert.ok(outcome.kind === "ok", outcome.kind === "failed" ? `${name}: ${outcome.failure.message}` : "");
    return outcome.result as ResultOf<N>;
  }
  mark(): void {
    this.nonce = this.call("mark.create", {}).nonce;
  }
  takeGuard(): void {
    const outcome = openForApplication(this.#context, this.#handle, { session, handle: this.#handle, mode: "exclusive", keepsMark: true });
    assert.ok(outcome.kind === "ok", outcome.kind === "failed" ? outcome.failure.message : "");
    this.#guardFd = (outcome.result as { fd: number }).fd;
  }
  write(offset: number, length: number): void {
    assert.equal(files.pwrite(this.#guardFd!, content, offset, length, offset), length);
  }
  end(): void {
    if (this.#guardFd !== undefined) files.close(this.#guardFd);
    this.#guardFd = undefined;
  }
}

const migrate: [string, (mover: Mover) => void][] = [
  ["mark", (mover) => mover.mark()],
  ["guard", (mover) => mover.takeGuard()],
  ["record", (mover) => void mover.call("record.change", {
    change: { residency: "partial", regions: wholeFile, virtual: "capture", attributes: { aaaaaaaaaaaaaaaa: Uint8Array.of(1) } },
    expectMark: mover.nonce, expect: { size: LENGTH, mtimeNs },
  })],
  ["punch first half", (mover) => void mover.call("hole.punch", { offset: 0, length: LENGTH / 2 })],
  ["punch the rest", (mover) => void mover.call("hole.punch", { offset: 0, length: 0 })],
  ["note", (mover) => void mover.call("record.change", { change: { attributes: { bbbbbbbbbbbbbbbb: Uint8Array.of(1) } } })],
  ["drop the guard", (mover) => mover.end()],
];
const recall: [string, (mover: Mover) => void][] = [
  ["guard", (mover) => mover.takeGuard()],
  ["write first half", (mover) => mover.write(0, LENGTH / 2)],
  ["write the rest", (mover) => mover.write(LENGTH / 2, LENGTH / 2)],
  ["record", (mover) => void mover.call("record.change", { change: { residency: "resident", regions: [], virtual: "drop" } })],
  ["drop the guard", (mover) => mover.end()],
];

function requireSafe(path: string, handle: Handle, when: string): void {
  const { record, attributes } = new Mover(handle).call("record.get", {});
  assert.equal(attributes.size, LENGTH, `${when}: size`);
  const fd = files.openAt(files.AT_FDCWD, path, files.open.readOnly);
  const found = Buffer.alloc(LENGTH);
  assert.equal(files.pread(fd, found, 0, LENGTH, 0), LENGTH);
  files.close(fd);
  if (found.equals(content)) return;
  assert.equal(record?.residency, "partial", `${when}: bytes are missing from a file that is called resident`);
  for (let at = 0; at < LENGTH; at += 4096) {
    const isThere = found.subarray(at, at + 4096).equals(content.subarray(at, at + 4096));
    assert.ok(isThere || coversRange(record.regions, 1, at, at + 4096), `${when}: no region over the hole at ${at}`);
  }
  assert.equal(attributes.mtimeNs, mtimeNs, `${when}: a stub shows its own times`);
}
function requireWhole(path: string, handle: Handle, when: string): void {
  requireSafe(path, handle, when);
  const { record } = new Mover(handle).call("record.get", {});
  assert.deepEqual([record?.residency ?? "resident", record?.regions ?? []], ["resident", []], when);
  const stat = new FileStat();
  files.statAt(files.AT_FDCWD, path, 0, stat);
  assert.equal(stat.mtimeNs, mtimeNs, `${when}: time put back`);
}
/** As every recall does: the record is read again under the guard, and where no region stands nothing is written. */
function bringBack(handle: Handle): void {
  const mover = new Mover(handle);
  mover.takeGuard();
  const isMissing = mover.call("record.get", {}).record?.residency === "partial";
  if (isMissing) for (const [, step] of recall.slice(1)) step(mover);
  mover.end();
}

test("a migration that ends after any step, and a recall that ends after any step", needsRoot, () => {
  for (let steps = 0; steps <= migrate.length; steps++) {
    const { path, handle } = freshFile();
    const mover = new Mover(handle);
    for (const [name, step] of migrate.slice(0, steps)) {
      step(mover);
      requireSafe(path, handle, `migrate: after ${name}`);
    }
    mover.end();
    requireSafe(path, handle, `dead after ${steps} steps of a migration`);
    if (steps < 3) continue;
    for (let back = 0; back < recall.length; back++) {
      const reviver = new Mover(handle);
      for (const [, step] of recall.slice(0, back)) step(reviver);
      reviver.end();
      requireSafe(path, handle, `dead after ${back} steps of a recall`);
    }
    bringBack(handle);
    requireWhole(path, handle, `recalled after ${steps} steps`);
  }
});

test("a migration is refused when the mark is gone, or size or time moved", needsRoot, () => {
  const { path, handle } = freshFile();
  const mover = new Mover(handle);
  const nonce = mover.call("mark.create", {}).nonce;
  const change = { residency: "partial", regions: wholeFile, virtual: "capture" } as const;
  const refused = (args: object) => {
    const outcome = mover.try("record.change", { change, ...args });
    return outcome.kind === "failed" ? outcome.failure.code : "accepted";
  };
  assert.equal(refused({ expectMark: "0".repeat(32) }), "ECANCELED");
  assert.equal(refused({ expectMark: nonce, expect: { size: LENGTH - 1, mtimeNs } }), "ECANCELED");
  assert.equal(refused({ expectMark: nonce, expect: { size: LENGTH, mtimeNs: mtimeNs + 1n } }), "ECANCELED");
  const fd = files.openAt(files.AT_FDCWD, path, files.open.readWrite);
  assert.equal(removeMark(fd), 1);
  files.close(fd);
  assert.equal(refused({ expectMark: nonce }), "ECANCELED");
  requireWhole(path, handle, "nothing happened");
});

test("no hole without a region over it, none on a wrong boundary or past the end", needsRoot, () => {
  const { path, handle } = freshFile();
  const mover = new Mover(handle);
  const code = (args: object) => {
    const outcome = mover.try("hole.punch", args);
    return outcome.kind === "failed" ? outcome.failure.code : "ok";
  };
  assert.equal(code({ offset: 0, length: 0 }), "EINVAL");
  mover.call("region.set", { regions: [{ offset: 0, size: LENGTH / 2, flags: 1 }] });
  assert.equal(code({ offset: 0, length: 0 }), "EINVAL");
  assert.equal(code({ offset: 1, length: 4096 }), "EAGAIN");
  assert.equal(code({ offset: 0, length: LENGTH + 1 }), "E2BIG");
  assert.deepEqual(mover.call("hole.probe", { offset: 1, length: 20_000 }), { offset: 4096, length: 12_288 });
  requireWhole2(path);
  assert.equal(code({ offset: 0, length: 8192 }), "ok");
  requireSafe(path, handle, "an XDSM program punched under its region");
  const { record } = mover.call("record.get", {});
  assert.equal(record?.residency, "partial");
  const extents = mover.call("allocation.get", { offset: 0, max: 10 });
  assert.deepEqual(extents, { extents: [{ type: "hole", offset: 0, length: 8192 }, { type: "resident", offset: 8192, length: LENGTH - 8192 }], next: null });
  assert.deepEqual(mover.call("allocation.get", { offset: 0, max: 1 }).next, 8192);
  const cleared = mover.try("region.set", { regions: [] });
  assert.ok(cleared.kind === "failed" && cleared.failure.code === "EINVAL", "holes are left");
  mover.call("invisible.write", { offset: 0, data: content.subarray(0, 8192) });
  mover.call("region.set", { regions: [] });
  requireWhole(path, handle, "an XDSM program wrote it back and cleared its region");
});
function requireWhole2(path: string): void {
  const stat = new FileStat();
  files.statAt(files.AT_FDCWD, path, 0, stat);
  assert.equal(stat.mtimeNs, mtimeNs, "region changes move no time");
}

/** A process that migrates and recalls one file again and again. */
function worker(handle: Handle, stopAt: string): ReturnType<typeof spawn> {
  const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const code = `
    const { attach } = await import(${url("./filesystem.js")});
    const { perform, openForApplication } = await import(${url("./perform.js")});
    const files = await import(${url("../os/files.js")});
    const { readFileSync } = await import("node:fs");
    const { volume } = attach({ fs: "fs1", backing: ${JSON.stringify(top)}, clusterKey: "${"ab".repeat(32)}" });
    const handle = ${JSON.stringify(handle)};
    const content = readFileSync(${JSON.stringify(`${top}/content`)});
    const context = { volume, slot: 2, members: {} };
    const call = (name, args, guardFd) => {
      const outcome = perform(guardFd === undefined ? context : { ...context, guardFd }, name, handle, { session: 1, handle, ...args });
      if (outcome.kind === "failed") throw new Error(name + ": " + outcome.failure.message);
      return outcome.result;
    };
    const stopHere = (where) => { if (where === ${JSON.stringify(stopAt)}) { console.log(where); process.kill(process.pid, "SIGSTOP"); } };
    console.log("begun");
    for (;;) {
      const { nonce, size, mtimeNs } = call("mark.create", {});
      let fd = openForApplication(context, handle, { session: 1, handle, mode: "exclusive", keepsMark: true }).result.fd;
      call("record.change", { change: { residency: "partial", regions: [{ offset: 0, size: 0, flags: 7 }], virtual: "capture" }, expectMark: nonce, expect: { size, mtimeNs } }, fd);
      stopHere("before the punch");
      call("hole.punch", { offset: 0, length: 0 }, fd);
      files.close(fd);
      fd = openForApplication(context, handle, { session: 1, handle, mode: "exclusive", keepsMark: true }).result.fd;
      for (let at = 0; at < content.length; at += 65536) files.pwrite(fd, content, at, 65536, at);
      call("record.change", { change: { residency: "resident", regions: [], virtual: "drop" } }, fd);
      files.close(fd);
    }`;
  return spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["ignore", "pipe", "inherit"] });
}
const lineFrom = (child: ReturnType<typeof spawn>, text: string) =>
  new Promise<void>((done, failed) => {
    child.stdout!.on("data", (data: Buffer) => void (data.toString().includes(text) && done()));
    child.once("exit", () => failed(new Error("it ended")));
  });
async function killed(child: ReturnType<typeof spawn>): Promise<void> {
  const gone = new Promise<void>((done) => child.once("exit", () => done()));
  child.kill("SIGKILL");
  await gone;
}

test("a mover killed at any moment leaves a safe file, and its successor finishes", needsRoot, async () => {
  writeFileSync(join(top, "content"), content);
  const random = new Random(7);
  const { path, handle } = freshFile();
  for (let round = 0; round < 6; round++) {
    const child = worker(handle, "");
    child.stdout!.resume();
    try {
      await lineFrom(child, "begun");
      await new Promise((done) => setTimeout(done, random.below(40)));
    } finally {
      await killed(child);
    }
    requireSafe(path, handle, `round ${round}`);
    bringBack(handle);
    requireWhole(path, handle, `round ${round}`);
  }
});
test("safety C1(a): a mover stopped before its punch keeps everybody from clearing, and its end frees the file", needsRoot, async () => {
  writeFileSync(join(top, "content"), content);
  const { path, handle } = freshFile();
  const child = worker(handle, "before the punch");
  try {
    await lineFrom(child, "before the punch");
    const successor = new Mover(handle);
    const outcome = successor.try("record.change", { change: { residency: "resident", regions: [], virtual: "drop" } });
    assert.ok(outcome.kind === "failed" && outcome.failure.code === "EBUSY" && outcome.isBusy === true);
    assert.match(outcome.failure.message, /slot 2/);
    const writer = files.openAt(files.AT_FDCWD, path, files.open.readWrite);
    assert.ok(tryTakeGuard(writer, "shared", 3) < 0, "nor can a node write");
    files.close(writer);
    requireSafe(path, handle, "stopped");
  } finally {
    await killed(child);
  }
  bringBack(handle);
  requireWhole(path, handle, "after its end");
});
