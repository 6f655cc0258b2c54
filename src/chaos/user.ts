/**
 * A user program of a chaos run: an ordinary process on an ordinary mount. It blocks where users block.
 *
 * Usage: user.js asker FIRST_NUMBER STOP_FILE DIRECTORY        operations that wait for an application, each with its number
 *        user.js steady LOCAL_FILE STOP_FILE MOUNTED_FILE      reads a file nobody else touches, and the same beside the mount
 */
import { closeSync, existsSync, mkdirSync, openSync, readSync, rmdirSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../base/random.js";
import { EVENT_FILE, operationName } from "./operation-names.js";

const [role = "", first = "", stopFile = "", place = ""] = process.argv.slice(2);
const now = () => process.hrtime.bigint();
const STEADY_BYTES = 16_384;
const REPORT_NS = 1_000_000_000n;

function say(line: object): void {
  writeSync(1, `${JSON.stringify({ atNs: now().toString(), ...line })}\n`);
}
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

function readAt(path: string, offset: number, length: number): void {
  const fd = openSync(path, "r");
  try {
    readSync(fd, Buffer.alloc(length), 0, length, offset);
  } finally {
    closeSync(fd);
  }
}

function ask(operation: number, how: "read" | "create"): void {
  say({ kind: "operation", operation, how });
  const directory = join(place, operationName(operation));
  let outcome = "ok";
  try {
    if (how === "read") readAt(join(place, EVENT_FILE), operation, 1);
    else mkdirSync(directory);
  } catch (error) {
    outcome = codeOf(error);
  }
  say({ kind: "operation-ended", operation, how, outcome });
  if (how === "create" && outcome === "ok") {
    try {
      rmdirSync(directory);
    } catch {
      // The mount died, or its daemon did; the next one begins anew.
    }
  }
  if (outcome !== "ok" && outcome !== "EPERM") pause(300);
}

function asker(): void {
  const random = new Random(Number(first));
  for (let operation = Number(first); !existsSync(stopFile); operation++) {
    ask(operation, random.chance(0.7) ? "read" : "create");
    pause(random.between(20, 150));
  }
}

/** What one read takes, in nanoseconds; 0 when the mount is dead. */
function timeOf(path: string): bigint {
  const begun = now();
  try {
    readAt(path, 0, STEADY_BYTES);
    return now() - begun;
  } catch {
    return 0n;
  }
}
function steady(): void {
  const local = first;
  writeFileSync(local, Buffer.alloc(STEADY_BYTES, 1));
  let fromNs = now();
  let longest = 0n;
  let floor = 0n;
  let reads = 0;
  while (!existsSync(stopFile)) {
    const taken = timeOf(place);
    const beside = timeOf(local);
    reads++;
    if (taken > longest) longest = taken;
    if (beside > floor) floor = beside;
    if (now() - fromNs > REPORT_NS) {
      say({ kind: "steady", fromNs: fromNs.toString(), longestNs: longest.toString(), floorNs: floor.toString(), reads });
      [fromNs, longest, floor, reads] = [now(), 0n, 0n, 0];
    }
    pause(20);
  }
}

if (role === "asker") asker();
else if (role === "steady") steady();
else throw new Error(`unknown role "${role}": asker or steady`);
