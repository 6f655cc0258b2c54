/**
 * A user program whose files outlive daemons: it does what it is told, one call a line, and says how the call ended.
 *
 * Usage: survivor.js DIRECTORY. A line is a JSON list: the call, its arguments, file names being relative to the directory and
 * open files being called by a name of the teller's choice. The answer is `{"ok": RESULT}` or `{"error": CODE}`.
 */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, linkSync, mkdirSync, openSync, readdirSync, readSync, renameSync, statSync, symlinkSync, unlinkSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { errnoName } from "../os/errno.js";
import { openAt, open as flagsOf } from "../os/files.js";
import { LockRequest, type LockType, lockTypes } from "../os/locks.js";
import { mapFile, type Mapping } from "../os/memory.js";
import { FLOCK_NO_WAIT, flock, flockKinds, lock, lockCommands } from "../os/program-calls.js";

const [directory = "/"] = process.argv.slice(2);
const opened = new Map<string, number>();
const mapped = new Map<string, Mapping>();
const path = (name: string) => join(directory, name);
const fdOf = (name: string) => {
  const fd = opened.get(name);
  if (fd === undefined) throw Object.assign(new Error(name), { code: "not open" });
  return fd;
};
function checked(result: number): number {
  if (result < 0) throw Object.assign(new Error("call"), { code: errnoName(result) });
  return result;
}
function lockRange(command: number) {
  return (name: string, type: LockType, start: number, length: number) => {
    const request = new LockRequest().fill(type, BigInt(start), BigInt(length));
    checked(lock(fdOf(name), command, request.bytes));
    return lockTypes[type];
  };
}

const calls: Record<string, (...args: never[]) => unknown> = {
  open: (name: string, file: string, flags: string) => void opened.set(name, openSync(path(file), flags)),
  unnamed: (name: string) => void opened.set(name, checked(openAt(-100, path(""), flagsOf.readWrite | flagsOf.temporary, 0o600))),
  close(name: string) {
    closeSync(fdOf(name));
    opened.delete(name);
  },
  read(name: string, at: number, length: number) {
    const bytes = Buffer.alloc(length);
    return bytes.toString("latin1", 0, readSync(fdOf(name), bytes, 0, length, at));
  },
  write: (name: string, at: number | null, text: string) => writeSync(fdOf(name), text, at),
  size: (name: string) => fstatSync(fdOf(name)).size,
  links: (name: string) => fstatSync(fdOf(name)).nlink,
  sync: (name: string) => fsyncSync(fdOf(name)),
  cut: (name: string, size: number) => ftruncateSync(fdOf(name), size),
  map(name: string, length: number) {
    const mapping = mapFile(fdOf(name), length, true);
    if (typeof mapping === "number") throw Object.assign(new Error("map"), { code: errnoName(mapping) });
    mapped.set(name, mapping);
  },
  load: (name: string, at: number, length: number) => Buffer.from(mapped.get(name)!.bytes.subarray(at, at + length)).toString("latin1"),
  store: (name: string, at: number, text: string) => void mapped.get(name)!.bytes.set(Buffer.from(text), at),
  list: (file: string) => readdirSync(path(file)).sort(),
  exists: (file: string) => statSync(path(file), { throwIfNoEntry: false }) !== undefined,
  mkdir: (file: string) => mkdirSync(path(file)),
  unlink: (file: string) => unlinkSync(path(file)),
  rename: (from: string, to: string) => renameSync(path(from), path(to)),
  link: (from: string, to: string) => linkSync(path(from), path(to)),
  symlink: (target: string, file: string) => symlinkSync(target, path(file)),
  enter: (file: string) => process.chdir(path(file)),
  here: () => readdirSync(".").sort(),
  where: () => basename(process.cwd()),
  lock: lockRange(lockCommands.set),
  lockOfOpen: lockRange(lockCommands.setOfOpenFile),
  lockWaiting: lockRange(lockCommands.setWaiting),
  lockOfOpenWaiting: lockRange(lockCommands.setOfOpenFileWaiting),
  flock: (name: string, kind: keyof typeof flockKinds) => checked(flock(fdOf(name), flockKinds[kind] | FLOCK_NO_WAIT)),
};

createInterface(process.stdin).on("line", (line) => {
  const [call = "", ...args] = JSON.parse(line) as [string, ...never[]];
  let said: unknown;
  try {
    said = { ok: calls[call]!(...args) ?? null };
  } catch (error) {
    said = { error: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
});
