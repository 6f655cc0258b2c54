/**
 * Objects that all actors use at the same time, each of them its own part: what each has done must all be there, and
 * nothing else.
 *
 *   append    records by O_APPEND: each whole, once, and of each actor in its order
 *   slices    ranges of one file that lie between those of the others, within pages too
 *   counter   numbers that are read, raised and written under locks
 *   directory names of one's own beside those of others, and names that all want at once and one gets
 */
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../base/random.js";
import * as files from "../os/files.js";
import { LockRequest, setLockWaiting } from "../os/locks.js";
import { type Mapping, mapFile } from "../os/memory.js";
import { FileStat } from "../os/stat.js";
import { seedOf } from "./plan.js";
import { difference, errno, type Turn } from "./turn.js";

const { AT_FDCWD } = files;
const { readOnly, writeOnly, readWrite, create, append, exclusive, direct } = files.open;

/** How much every actor has done so far; kept by each for itself, read by all. */
interface Done {
  count: number;
  names: string[];
  /** In a directory: those that nobody changes. */
  staying: string[];
}
function doneOf(turn: Turn, actor: number, part = ""): Done {
  return turn.recall<Done>(`done-${actor}${part}`, { count: 0, names: [], staying: [] });
}
function actors(turn: Turn): number[] {
  return Array.from({ length: turn.order.actors }, (_, index) => index);
}
/** All are there at once, whoever makes it. */
function makePlace(turn: Turn): void {
  const made = files.mkdirAt(AT_FDCWD, turn.place, 0o755);
  if (made < 0 && made !== -errno.EEXIST) turn.good(made, "mkdir");
}

// Appended records: a line `actor number length` and that many bytes. After some turns another file is begun.

const TURNS_OF_A_FILE = 8;

function recordOf(actor: number, number: number): Buffer {
  const random = new Random(seedOf(actor, number));
  const body = Buffer.alloc(random.pick([0, 10, 500, 4_090, 20_000]) + random.below(50), 97 + (number % 26));
  return Buffer.concat([Buffer.from(`${actor} ${number} ${body.length}\n`), body]);
}
export function appendTurn(turn: Turn): void {
  makePlace(turn);
  const which = Math.floor(turn.order.turn / TURNS_OF_A_FILE);
  const part = `-of-${which}`;
  const path = join(turn.place, `file${which}`);
  if (turn.order.kind === "check") {
    turn.doing("read all records");
    readRecords(turn, path, actors(turn).map((actor) => doneOf(turn, actor, part).count), true);
    return;
  }
  if (turn.actor === 0 && which > 0) files.unlinkAt(AT_FDCWD, join(turn.place, `file${which - 1}`)); // there at the first of these turns
  const done = doneOf(turn, turn.actor, part);
  let fd = -1;
  for (let left = turn.order.operations; left > 0; left--) {
    if (fd < 0) fd = turn.good(files.openAt(AT_FDCWD, path, writeOnly | create | append, 0o644), "open to append");
    const record = recordOf(turn.actor, done.count);
    turn.doing("append record", `${done.count} of ${record.length} bytes`);
    turn.equal(turn.good(files.pwrite(fd, record, 0, record.length, 0), "write"), record.length, "what was written");
    done.count++;
    if (turn.random.chance(0.2)) {
      turn.doing("read records beside appends");
      readRecords(turn, path, actors(turn).map((actor) => (actor === turn.actor ? done.count : 0)), false);
    }
    if (turn.random.chance(0.3)) {
      files.close(fd);
      fd = -1;
    }
  }
  if (fd >= 0) files.close(fd);
  turn.keep(`done-${turn.actor}${part}`, done);
}
/** At least so many of each actor; when all are at rest exactly so many. */
function readRecords(turn: Turn, path: string, least: readonly number[], isExact: boolean): void {
  const fd = turn.good(files.openAt(AT_FDCWD, path, readOnly), "open to read");
  const stat = new FileStat();
  turn.good(files.fstat(fd, stat), "fstat");
  const whole = Buffer.alloc(stat.size);
  let got = 0;
  while (got < whole.length) {
    const more = turn.good(files.pread(fd, whole, got, whole.length - got, got), "pread");
    if (more === 0) break;
    got += more;
  }
  files.close(fd);
  const bytes = whole.subarray(0, got);
  const seen = least.map(() => 0);
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf(10, at);
    const head = bytes.toString("latin1", at, end < 0 ? Math.min(bytes.length, at + 40) : end);
    const [actor, number, length] = head.split(" ").map(Number);
    const body = end < 0 ? at : end + 1;
    const isCut = end < 0 || body + (length ?? 0) > bytes.length;
    if (isCut && !isExact) break; // one that is being appended
    if (isCut || actor === undefined || seen[actor] !== number) turn.fail(`at ${at} of ${bytes.length} stands ${JSON.stringify(head)}; so far read: ${seen.join()}`);
    const wrong = difference(bytes.subarray(at, body + length!), recordOf(actor, number!));
    if (wrong !== undefined) turn.fail(`record ${number} of actor ${actor} at ${at} of ${bytes.length}: ${wrong}`);
    seen[actor]!++;
    at = body + length!;
  }
  for (const [actor, count] of least.entries()) {
    if (isExact ? seen[actor] !== count : seen[actor]! < count) turn.fail(`${seen[actor]} records of actor ${actor} to byte ${at} of ${bytes.length}, fstat told ${stat.size}; ${count} were appended`);
  }
}

// Slices: the file is cut into pieces of an odd length, and they belong to the actors in turn.

const SLICE = 1_777;
const ROUNDS = 24;
function sliceOf(turn: Turn, actor: number, round: number): number {
  return (round * turn.order.actors + actor) * SLICE;
}
function sliceBytes(version: number, actor: number, round: number): Buffer {
  if (version === 0) return Buffer.alloc(SLICE);
  const bytes = Buffer.alloc(SLICE);
  const random = new Random(seedOf(version, actor, round));
  for (let at = 0; at < SLICE; at++) bytes[at] = (random.uint32() & 0xff) | 1;
  return bytes;
}
export function slicesTurn(turn: Turn): void {
  makePlace(turn);
  const path = join(turn.place, "file");
  const versionsOf = (actor: number) => turn.recall<{ versions: number[] }>(`versions-${actor}`, { versions: Array.from({ length: ROUNDS }, () => 0) }).versions;
  if (turn.order.kind === "check") {
    turn.doing("read all slices");
    const bytes = readFileSync(path);
    for (const actor of actors(turn)) {
      for (const [round, version] of versionsOf(actor).entries()) compareSlice(turn, bytes, version, actor, round);
    }
    return;
  }
  const versions = versionsOf(turn.actor);
  const size = ROUNDS * turn.order.actors * SLICE;
  const fd = turn.good(files.openAt(AT_FDCWD, path, readWrite | create, 0o644), "open");
  turn.good(files.ftruncate(fd, size), "ftruncate"); // the same for all: it changes no byte
  for (let left = turn.order.operations; left > 0; left--) {
    const round = turn.random.below(ROUNDS);
    if (turn.random.chance(0.7)) {
      const version = ++versions[round]!;
      turn.doing("write slice", `${round} version ${version}`);
      const bytes = sliceBytes(version, turn.actor, round);
      turn.equal(turn.good(files.pwrite(fd, bytes, 0, SLICE, sliceOf(turn, turn.actor, round)), "pwrite"), SLICE, "what was written");
    } else {
      turn.doing("read slices");
      const bytes = turn.random.chance(0.5) ? readDirectly(turn, path, size) : readFileSync(path);
      for (const [each, version] of versions.entries()) compareSlice(turn, bytes, version, turn.actor, each);
    }
  }
  files.close(fd);
  turn.keep(`versions-${turn.actor}`, { versions });
}
function readDirectly(turn: Turn, path: string, size: number): Buffer {
  const fd = turn.good(files.openAt(AT_FDCWD, path, readOnly | (turn.random.chance(0.5) ? direct : 0)), "open to read");
  const bytes = Buffer.alloc(size);
  for (let done = 0; done < size; ) {
    const got = files.pread(fd, bytes, done, size - done, done);
    if (got === -errno.EINVAL) {
      files.close(fd);
      return readFileSync(path); // memory that is not aligned does not suit this file system
    }
    if (turn.good(got, "pread") === 0) turn.fail(`ends at ${done} of ${size}`);
    done += got;
  }
  files.close(fd);
  return bytes;
}
function compareSlice(turn: Turn, bytes: Buffer, version: number, actor: number, round: number): void {
  const from = sliceOf(turn, actor, round);
  const wrong = difference(bytes.subarray(from, from + SLICE), sliceBytes(version, actor, round));
  if (wrong !== undefined) turn.fail(`slice ${round} of actor ${actor}, at ${from}, is not version ${version}: ${wrong}`);
}

// Counters, side by side in one page, raised under a lock: of the whole file, of a byte far beyond it, of the counter alone, or
// of the whole file and by way of a mapping.

const COUNTERS = 8;
const DIGITS = 20;
const waysToCount = ["whole", "beyond", "own range", "mapped"] as const;
function countsOf(turn: Turn, actor: number): number[] {
  return turn.recall<{ counts: number[] }>(`counts-${actor}`, { counts: Array.from({ length: COUNTERS }, () => 0) }).counts;
}
export function counterTurn(turn: Turn): void {
  makePlace(turn);
  const path = join(turn.place, "file");
  if (turn.order.kind === "check") {
    turn.doing("read the counters");
    const text = readFileSync(path, "latin1");
    for (let which = 0; which < COUNTERS; which++) {
      const sum = actors(turn).reduce((total, actor) => total + countsOf(turn, actor)[which]!, 0);
      turn.equal(Number(text.slice(which * DIGITS, (which + 1) * DIGITS).replaceAll("\0", "")), sum, `counter ${which}`);
    }
    return;
  }
  const way = waysToCount[(turn.order.turn >> 1) % waysToCount.length]!;
  const counts = countsOf(turn, turn.actor);
  const fd = turn.good(files.openAt(AT_FDCWD, path, readWrite | create, 0o644), "open");
  turn.good(files.ftruncate(fd, COUNTERS * DIGITS), "ftruncate"); // the same for all
  const mapping = way === "mapped" ? mapFile(fd, COUNTERS * DIGITS, true) : undefined;
  if (typeof mapping === "number") turn.fail(`mmap: ${mapping}`);
  for (let left = turn.order.operations; left > 0; left--) {
    const which = turn.random.below(COUNTERS);
    turn.doing(`lock (${way}), raise, unlock`, String(which));
    const [start, length]: [bigint, bigint] = way === "beyond" ? [1n << 40n, 1n] : way === "own range" ? [BigInt(which * DIGITS), BigInt(DIGITS)] : [0n, 0n];
    turn.good(setLockWaiting(fd, new LockRequest().fill("write", start, length)), "lock");
    raise(turn, fd, which, mapping);
    turn.good(setLockWaiting(fd, new LockRequest().fill("unlock", start, length)), "unlock");
    counts[which]!++;
  }
  mapping?.unmap();
  files.close(fd);
  turn.keep(`counts-${turn.actor}`, { counts });
}
function raise(turn: Turn, fd: number, which: number, mapping: Mapping | undefined): void {
  const buffer = Buffer.alloc(DIGITS);
  if (mapping !== undefined) buffer.set(mapping.bytes.subarray(which * DIGITS, (which + 1) * DIGITS));
  else turn.equal(turn.good(files.pread(fd, buffer, 0, DIGITS, which * DIGITS), "pread"), DIGITS, "what was read");
  const text = buffer.toString("latin1").replaceAll("\0", "");
  const next = Buffer.from(String(Number(text) + 1).padStart(DIGITS));
  if (mapping !== undefined) {
    mapping.bytes.set(next, which * DIGITS);
    turn.good(mapping.sync(), "msync");
  } else turn.equal(turn.good(files.pwrite(fd, next, 0, DIGITS, which * DIGITS), "pwrite"), DIGITS, "what was written");
}

// One directory, also with names that stay, enough for several pieces of a listing.

const STAYING = 700;

export function directoryTurn(turn: Turn): void {
  makePlace(turn);
  const own = doneOf(turn, turn.actor);
  if (turn.order.kind === "act") {
    if (turn.order.turn === 0 && turn.actor === 0) makeStaying(turn, own);
    for (let left = turn.order.operations; left > 0; left--) changeOwnNames(turn, own);
    for (let round = 0; round < 4; round++) wantName(turn, own, `all-${turn.order.turn}-${round}`);
    turn.keep(`done-${turn.actor}`, own);
  }
  const isExact = turn.order.kind === "check";
  const all = actors(turn).map((actor) => (isExact || actor !== turn.actor ? doneOf(turn, actor) : own));
  lookThrough(turn, [...all.flatMap((done) => done.staying), ...(isExact ? all.flatMap((done) => done.names) : own.names)], isExact);
}
function makeStaying(turn: Turn, own: Done): void {
  turn.doing("make names that stay");
  for (let at = 0; at < STAYING; at++) {
    const name = `stays-${at}`;
    files.close(turn.good(files.openAt(AT_FDCWD, join(turn.place, name), writeOnly | create | exclusive, 0o644), "create"));
    own.staying.push(name);
  }
}
function changeOwnNames(turn: Turn, own: Done): void {
  const stat = new FileStat();
  const fresh = () => `of-${turn.actor}-${own.count++}`;
  const at = turn.random.below(Math.max(1, own.names.length));
  const old = own.names[at];
  if (old === undefined || (own.names.length < 12 && turn.random.chance(0.4))) {
    const name = fresh();
    turn.doing("make", name);
    const isDirectory = turn.random.chance(0.2);
    const path = join(turn.place, name);
    if (isDirectory) turn.good(files.mkdirAt(AT_FDCWD, path, 0o755), "mkdir");
    else files.close(turn.good(files.openAt(AT_FDCWD, path, writeOnly | create | exclusive, 0o644), "create"));
    own.names.push(name);
    turn.good(files.statAt(AT_FDCWD, path, 0, stat), "stat of what was made");
    return turn.equal(stat.nlink, isDirectory ? 2 : 1, "link count of what was made");
  }
  turn.good(files.statAt(AT_FDCWD, join(turn.place, old), 0, stat), `stat ${old}`);
  if (turn.random.chance(0.5)) {
    const name = fresh();
    turn.doing("rename", `${old} to ${name}`);
    turn.good(files.renameAt(AT_FDCWD, join(turn.place, old), AT_FDCWD, join(turn.place, name)), "rename");
    own.names[at] = name;
  } else {
    turn.doing("remove", old);
    turn.good(files.unlinkAt(AT_FDCWD, join(turn.place, old), stat.isDirectory ? files.AT_REMOVEDIR : 0), "remove");
    own.names.splice(at, 1);
  }
  turn.equal(files.statAt(AT_FDCWD, join(turn.place, old), 0, stat), -errno.ENOENT, `stat of ${old}, which is gone,`);
}
/** One of all gets it, in whichever way each tries; who does, says so. */
function wantName(turn: Turn, own: Done, name: string): void {
  const path = join(turn.place, name);
  const way = turn.random.pick(["create", "mkdir", "link", "rename"] as const);
  const mine = join(turn.place, `of-${turn.actor}-${own.count++}`);
  if (way === "link" || way === "rename") closeSync(openSync(mine, "wx"));
  turn.doing("want", `${name} by ${way}`);
  let result: number;
  if (way === "create") result = files.openAt(AT_FDCWD, path, writeOnly | create | exclusive, 0o644);
  else if (way === "mkdir") result = files.mkdirAt(AT_FDCWD, path, 0o755);
  else if (way === "link") result = files.linkAt(AT_FDCWD, mine, AT_FDCWD, path);
  else result = files.renameAt(AT_FDCWD, mine, AT_FDCWD, path, files.RENAME_NOREPLACE);
  if (way === "create" && result >= 0) files.close(result);
  if (result < 0) turn.equal(result, -errno.EEXIST, "the answer to who comes second");
  if (way === "link" || (way === "rename" && result < 0)) turn.good(files.unlinkAt(AT_FDCWD, mine), "unlink of one's own");
  if (result >= 0) own.names.push(name);
}
/** Names of these actors are there once; when all are at rest nothing else is. */
function lookThrough(turn: Turn, names: readonly string[], isExact: boolean): void {
  turn.doing("list the directory");
  const expected = [...names].sort();
  for (const [at, name] of expected.entries()) if (expected[at + 1] === name) turn.fail(`${name} was given to two`);
  const found = readdirSync(turn.place).sort();
  for (const [at, name] of found.entries()) if (found[at + 1] === name) turn.fail(`${name} is listed twice`);
  // Others are at work on theirs; what is one's own, and what nobody changes, is known.
  const isJudged = (name: string) => isExact || name.startsWith(`of-${turn.actor}-`);
  const owed = new Set(expected);
  const seen = new Set(found);
  const missing = expected.filter((name) => !seen.has(name));
  const excess = found.filter((name) => isJudged(name) && !owed.has(name));
  if (missing.length + excess.length > 0) turn.fail(`missing: ${missing.join(" ")}; in excess: ${excess.join(" ")}`);
}
