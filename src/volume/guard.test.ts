/** Safety C1: the guard excludes across processes, stays with a stopped holder, goes with a killed one, travels with its descriptor. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { errno } from "../os/errno.js";
import * as files from "../os/files.js";
import { clipUserRange, describeHolders, guardHolders, releaseGuard, takeGuardWithin, tryTakeGuard, type GuardForm } from "./guard.js";

const top = mkdtempSync("/tmp/sluice-test-guard-");
const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(top, { recursive: true, force: true });
});
let count = 0;
const freshPath = () => join(top, `file${count++}`);
const opened = (path: string) => {
  const fd = files.openAt(files.AT_FDCWD, path, files.open.readWrite | files.open.create, 0o600);
  assert.ok(fd >= 0);
  return fd;
};

/** Another process that holds the guard in that form until it is killed. */
async function holder(path: string, form: GuardForm, slot: number): Promise<ChildProcess> {
  const code = `
    const files = await import(${JSON.stringify(new URL("../os/files.js", import.meta.url).href)});
    const guard = await import(${JSON.stringify(new URL("./guard.js", import.meta.url).href)});
    const fd = files.openAt(files.AT_FDCWD, ${JSON.stringify(path)}, files.open.readWrite);
    console.log(guard.tryTakeGuard(fd, ${JSON.stringify(form)}, ${slot}));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  const line = await new Promise<string>((done) => child.stdout!.once("data", (data) => done(String(data).trim())));
  assert.equal(line, "0");
  return child;
}
const ended = (child: ChildProcess) => new Promise<void>((done) => child.once("exit", () => done()));

test("which forms go together", () => {
  const path = freshPath();
  const one = opened(path);
  const two = opened(path);
  const together = (a: GuardForm, b: GuardForm, slotB = 2) => {
    assert.equal(tryTakeGuard(one, a, 1), 0);
    const result = tryTakeGuard(two, b, slotB);
    releaseGuard(two);
    releaseGuard(one);
    assert.ok(result === 0 || result === -errno.EAGAIN);
    return result === 0;
  };
  assert.ok(together("shared", "shared"));
  assert.ok(together("worker", "worker"));
  assert.ok(!together("worker", "worker", 1), "a node's slot is one");
  for (const other of ["shared", "exclusive", "worker"] as const) assert.ok(!together("exclusive", other) && !together(other, "exclusive"));
  assert.ok(!together("shared", "worker") && !together("worker", "shared"));
  files.close(one);
  files.close(two);
});

test("a descriptor changes its form only when nobody else is in the way, and keeps the old one otherwise", () => {
  const path = freshPath();
  const one = opened(path);
  const two = opened(path);
  assert.equal(tryTakeGuard(one, "shared", 1), 0);
  assert.equal(tryTakeGuard(two, "shared", 2), 0);
  assert.equal(tryTakeGuard(one, "exclusive", 1), -errno.EAGAIN);
  assert.equal(tryTakeGuard(two, "exclusive", 2), -errno.EAGAIN, "the first still has its own");
  releaseGuard(two);
  assert.equal(tryTakeGuard(one, "exclusive", 1), 0);
  assert.equal(tryTakeGuard(one, "worker", 1), 0);
  assert.equal(tryTakeGuard(two, "worker", 2), 0, "the rest of the range was given back");
  files.close(one);
  files.close(two);
});

test("a stopped holder keeps it, whoever is refused can name him, and a killed one has none", async () => {
  const path = freshPath();
  const fd = opened(path);
  for (const form of ["shared", "exclusive", "worker"] as const) {
    const child = await holder(path, form, 7);
    child.kill("SIGSTOP");
    assert.equal(takeGuardWithin(fd, "exclusive", 3, 50), -errno.EBUSY);
    assert.deepEqual(guardHolders(fd), { form, slots: [7] });
    assert.match(describeHolders(guardHolders(fd), (slot) => `node ${slot}`), /^node 7, which/);
    const gone = ended(child);
    child.kill("SIGKILL");
    await gone;
    assert.equal(takeGuardWithin(fd, "exclusive", 3, 2000), 0);
    assert.equal(guardHolders(fd), undefined);
    releaseGuard(fd);
  }
  files.close(fd);
});

test("it lives with the last copy of its descriptor", () => {
  const path = freshPath();
  const fd = opened(path);
  const other = opened(path);
  assert.equal(tryTakeGuard(fd, "exclusive", 1), 0);
  const copy = files.dup(fd);
  files.close(fd);
  assert.equal(tryTakeGuard(other, "shared", 2), -errno.EAGAIN);
  files.close(copy);
  assert.equal(tryTakeGuard(other, "shared", 2), 0);
  files.close(other);
});

test("users' ranges end below the guard", () => {
  const guard = 1n << 62n;
  assert.deepEqual(clipUserRange(0n, (1n << 63n) - 1n), { start: 0n, length: guard });
  assert.deepEqual(clipUserRange(5n, 9n), { start: 5n, length: 5n });
  assert.deepEqual(clipUserRange(guard - 1n, guard), { start: guard - 1n, length: 1n });
  assert.equal(clipUserRange(guard, guard + 5n), undefined);
});
