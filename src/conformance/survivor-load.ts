/**
 * A user program that works without pause on a mount whose daemons come and go, and takes nothing but a pause: any error, any
 * result that is not as it must be, ends it.
 *
 * Usage: survivor-load.js ROLE DIRECTORY NAME STOP. It goes on until the file STOP is there, prints its rounds, and exits 0.
 *   names     makes, links, renames and removes names of all kinds, each exactly once
 *   append    appends numbered lines to NAME.log; the file then has each once, in order
 *   count     raises a number in the common file `counter` under a lock; prints how often
 *   blocks    writes and reads blocks of NAME.data through one descriptor, and through a mapping
 */
import assert from "node:assert/strict";
import { closeSync, existsSync, fsyncSync, linkSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, renameSync, rmdirSync, symlinkSync, truncateSync, unlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { LockRequest } from "../os/locks.js";
import { lock, lockCommands } from "../os/program-calls.js";

const [role = "", directory = "/", name = "", stop = ""] = process.argv.slice(2);
const at = (...names: string[]) => join(directory, ...names);
const isOver = () => existsSync(stop);

function names(round: number): void {
  const top = at(`${name}-${round}`);
  mkdirSync(top);
  writeFileSync(join(top, "made"), `round ${round}`, { flag: "wx" });
  assert.throws(() => openSync(join(top, "made"), "wx"), /EEXIST/);
  linkSync(join(top, "made"), join(top, "linked"));
  symlinkSync("made", join(top, "pointing"));
  assert.equal(readlinkSync(join(top, "pointing")), "made");
  assert.equal(lstatSync(join(top, "made")).nlink, 2);
  renameSync(join(top, "made"), join(top, "renamed"));
  writeFileSync(join(top, "other"), "replaced", { flag: "wx" });
  renameSync(join(top, "renamed"), join(top, "other"));
  assert.deepEqual(readdirSync(top).sort(), ["linked", "other", "pointing"]);
  assert.equal(readFileSync(join(top, "linked"), "latin1"), `round ${round}`);
  truncateSync(join(top, "other"), 3);
  assert.equal(readFileSync(join(top, "linked"), "latin1"), "rou");
  for (const each of ["linked", "other", "pointing"]) unlinkSync(join(top, each));
  rmdirSync(top);
  assert(!existsSync(top));
}

const log = role === "append" ? openSync(at(`${name}.log`), "a") : -1;
function append(round: number): void {
  const line = `${name} ${round} ${"x".repeat(round % 100)}\n`;
  assert.equal(writeSync(log, line), line.length);
}

const counter = role === "count" ? openSync(at("counter"), "r+") : -1;
const request = new LockRequest();
const number = Buffer.alloc(8);
function count(): void {
  assert.equal(lock(counter, lockCommands.setWaiting, request.fill("write", 0n, 8n).bytes), 0, "the lock is granted");
  readSync(counter, number, 0, 8, 0);
  number.writeBigUInt64LE(number.readBigUInt64LE() + 1n);
  assert.equal(writeSync(counter, number, 0, 8, 0), 8);
  assert.equal(lock(counter, lockCommands.setWaiting, request.fill("unlock", 0n, 8n).bytes), 0);
}

const BLOCK = 4096;
const data = role === "blocks" ? openSync(at(`${name}.data`), "w+") : -1;
const written = new Map<number, number>();
function blocks(round: number): void {
  const block = (round * 7) % 64;
  writeSync(data, Buffer.alloc(BLOCK, round % 251), 0, BLOCK, block * BLOCK);
  written.set(block, round % 251);
  for (const [each, value] of written) {
    const seen = Buffer.alloc(BLOCK);
    assert.equal(readSync(data, seen, 0, BLOCK, each * BLOCK), BLOCK);
    assert(seen.every((byte) => byte === value), `block ${each} has ${seen[0]} instead of ${value}`);
  }
  if (round % 16 === 0) fsyncSync(data);
}

const roles: Record<string, (round: number) => void> = { names, append, count, blocks };
let rounds = 0;
const never = new Int32Array(new SharedArrayBuffer(4));
while (!isOver()) {
  roles[role]!(rounds++);
  Atomics.wait(never, 0, 0, 5); // a dozen of these share two processors with the daemons
}
if (role === "append") {
  closeSync(log);
  const lines = readFileSync(at(`${name}.log`), "latin1").trimEnd().split("\n");
  assert.deepEqual(lines.map((line) => line.split(" ")[1]), Array.from({ length: rounds }, (_, round) => `${round}`), "each line once, in order");
}
process.stdout.write(`${rounds}\n`);
