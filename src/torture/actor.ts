/**
 * One user program of a torture run: an ordinary process on an ordinary mount that reads, maps, executes or writes, and
 * says on its standard output what it did and saw, one JSON line each. It blocks where users block and may be killed.
 *
 * Usage: actor.js ROLE MOUNTED_DIRECTORY SEED SIZES_JSON EXECUTABLES; roles reader, mapper, executor, writer.
 * A writer takes lines `file version` on its standard input. Two more roles do their work once and end: setup makes
 * all files, verify reads them all.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync, copyFileSync, fstatSync, fsyncSync, openSync, readFileSync, readSync, statSync, utimesSync, writeFileSync, writeSync,
} from "node:fs";
import { join } from "node:path";
import { Random } from "../base/random.js";
import { mapFile } from "../os/memory.js";
import { BLOCK_BYTES, fillContent, inspectContent } from "./content.js";

const [role = "", directory = "", seedText = "1", sizesText = "[]"] = process.argv.slice(2);
const random = new Random(Number(seedText));
const sizes = JSON.parse(sizesText) as number[];
const executables = Number(process.argv[6] ?? "4");
const now = () => process.hrtime.bigint();

function say(line: object): void {
  writeSync(1, JSON.stringify(line, (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value)) + "\n");
}
function codeOf(error: unknown): string {
  const { code, signal, status } = error as NodeJS.ErrnoException & { signal?: string; status?: number };
  return signal ?? code ?? (typeof status === "number" ? `exit ${status}` : String(error)); // a program may die of a lost page
}
function pathOf(file: number): string {
  return join(directory, `f${file}`);
}
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function report(how: string, file: number, owedFromNs: bigint, bytes: Uint8Array, firstBlock: number): void {
  const seen = inspectContent(bytes, file, firstBlock);
  if (seen.wrong !== undefined) say({ kind: "wrong", how, file, text: seen.wrong, atNs: now() });
  say({ kind: "read", how, file, owedFromNs, endedNs: now(), versions: [...seen.versions.keys()] });
}

function readOnce(fd: number, file: number, how: string): void {
  const size = sizes[file]!;
  const firstBlock = random.chance(0.5) ? 0 : random.below(Math.max(1, Math.floor(size / BLOCK_BYTES)));
  const buffer = Buffer.alloc(Math.min(size - firstBlock * BLOCK_BYTES, random.chance(0.3) ? 4 * BLOCK_BYTES : 1 << 20));
  const begun = now();
  let done = 0;
  while (done < buffer.length) {
    const got = readSync(fd, buffer, done, buffer.length - done, firstBlock * BLOCK_BYTES + done);
    if (got === 0) break;
    done += got;
  }
  if (done < buffer.length) say({ kind: "wrong", how, file, text: `short: ${done} of ${buffer.length}`, atNs: now() });
  report(how, file, begun, buffer.subarray(0, done), firstBlock);
}

const heldOpen: { fd: number; file: number }[] = [];
function reader(): void {
  const file = random.below(sizes.length);
  const fd = openSync(pathOf(file), "r");
  try {
    readOnce(fd, file, "read");
    const size = fstatSync(fd).size;
    if (size !== sizes[file]) say({ kind: "wrong", how: "fstat", file, text: `size ${size} not ${sizes[file]}`, atNs: now() });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  heldOpen.push({ fd, file });
  if (heldOpen.length > 8) closeSync(heldOpen.shift()!.fd);
  const held = random.pick(heldOpen);
  readOnce(held.fd, held.file, "held read");
}

const heldMaps: { bytes: Uint8Array; unmap: () => void; file: number; openedNs: bigint }[] = [];
function mapper(): void {
  const file = random.below(sizes.length);
  const openedNs = now();
  const fd = openSync(pathOf(file), "r");
  const mapping = mapFile(fd, sizes[file]!, false);
  if (typeof mapping === "number") {
    closeSync(fd);
    throw Object.assign(new Error("mmap"), { code: `errno ${-mapping}` });
  }
  const isTouchedBeforeClose = random.chance(0.5);
  if (isTouchedBeforeClose) report("mmap", file, openedNs, Buffer.from(mapping.bytes), 0);
  closeSync(fd);
  heldMaps.push({ bytes: mapping.bytes, unmap: mapping.unmap, file, openedNs });
  if (heldMaps.length > 6) heldMaps.shift()!.unmap();
  const held = random.pick(heldMaps);
  report("map-and-close", held.file, held.openedNs, Buffer.from(held.bytes), 0);
}

function executor(): void {
  const word = `w${random.below(1_000_000)}`;
  const which = random.below(executables);
  const program = join(directory, `x${which}`);
  const ended = spawnSync(program, [word], { encoding: "latin1" });
  const printed = ended.stdout?.trim() ?? "";
  if (ended.error === undefined && ended.status === 0 && printed === word) return say({ kind: "executed" });
  // A shell that took the file for a script says so: then the kernel saw no program in its first bytes.
  const wasNoProgram = ended.status === 2 || ended.status === 127;
  const code = ended.signal ?? (ended.error === undefined ? `exit ${ended.status}` : codeOf(ended.error));
  say({ kind: "error", how: "executor", code, text: `${program} printed "${printed}" and "${ended.stderr?.slice(0, 200)}"${wasNoProgram ? " (taken for a script)" : ""}`, atNs: now() });
}

function write(file: number, version: number): void {
  const size = sizes[file]!;
  const path = pathOf(file);
  const begunNs = now();
  let error: string | undefined;
  try {
    const before = statSync(path);
    const fd = openSync(path, "r+");
    try {
      const chunk = random.pick([BLOCK_BYTES, 8 * BLOCK_BYTES, 256 * BLOCK_BYTES]);
      for (let at = 0; at < size; at += chunk) {
        const buffer = Buffer.alloc(Math.min(chunk, size - at));
        fillContent(buffer, file, version, at / BLOCK_BYTES);
        for (let done = 0; done < buffer.length; ) done += writeSync(fd, buffer, done, buffer.length - done, at + done);
      }
      if (random.chance(0.3)) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (random.chance(0.6)) utimesSync(path, before.atimeMs / 1000, before.mtimeMs / 1000);
  } catch (caught) {
    error = codeOf(caught);
  }
  say({ kind: "wrote", file, version, begunNs, endedNs: now(), ...(error === undefined ? {} : { error }) });
}

function writer(): never {
  const buffer = Buffer.alloc(65536);
  let rest = "";
  for (;;) {
    const got = readSync(0, buffer, 0, buffer.length, null);
    if (got === 0) process.exit(0);
    rest += buffer.toString("latin1", 0, got);
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      const [file, version] = rest.slice(0, end).split(" ").map(Number);
      rest = rest.slice(end + 1);
      write(file!, version!);
    }
  }
}

function loop(act: () => void): never {
  for (;;) {
    try {
      act();
    } catch (error) {
      say({ kind: "error", how: role, code: codeOf(error), text: String(error), atNs: now() });
      for (const held of heldOpen.splice(0)) {
        try {
          closeSync(held.fd);
        } catch {
          // The mount died with its daemon: the descriptor is gone all the same.
        }
      }
      pause(50);
    }
    pause(random.between(1, 20));
  }
}

function setup(): void {
  for (let file = 0; file < sizes.length; file++) {
    const content = Buffer.alloc(sizes[file]!);
    fillContent(content, file, 1, 0);
    writeFileSync(pathOf(file), content);
  }
  for (let which = 0; which < executables; which++) copyFileSync("/bin/echo", join(directory, `x${which}`));
  say({ kind: "done" });
}

function verify(): void {
  for (let file = 0; file < sizes.length; file++) {
    const content = readFileSync(pathOf(file));
    const seen = inspectContent(content, file, 0);
    const wrong = seen.wrong ?? (content.length === sizes[file] ? undefined : `size ${content.length}, not ${sizes[file]}`);
    if (wrong !== undefined) say({ kind: "wrong", how: "verify", file, text: wrong, atNs: now() });
    say({ kind: "verified", file, versions: [...seen.versions.keys()] });
  }
  say({ kind: "done" });
}

say({ kind: "begun", role });
if (role === "writer") writer();
else if (role === "reader") loop(reader);
else if (role === "mapper") loop(mapper);
else if (role === "executor") loop(executor);
else if (role === "setup") setup();
else if (role === "verify") verify();
else throw new Error(`unknown role "${role}": reader, mapper, executor, writer, setup or verify`);
