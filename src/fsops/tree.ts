/**
 * A tree of names that belongs to one actor at a time. What is known of it is the same tree on the bare file system: each
 * operation is done in both places and must come out the same, to the error number; so must everything that can be read of
 * the tree at each hand-over, when another node looks at it.
 *
 * An actor keeps some of what it has opened from turn to turn, in both places: files and directories that others rename, change
 * or remove meanwhile on their nodes go on as on the bare file system.
 *
 * The names are few, so that operations meet what exists, what is gone, what is of another type and what is not empty.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../base/random.js";
import { DirectoryEntries, seekDirectory } from "../os/directory.js";
import { errno, errnoName } from "../os/errno.js";
import * as files from "../os/files.js";
import { FileStat, fileTypes } from "../os/stat.js";
import type { Turn } from "./turn.js";

const NAMES = ["a", "b", "c", "d", "\u00e4 \n\u2028", "x".repeat(255)];
const DEPTH_MAX = 4;
const { AT_FDCWD } = files;

export function treeTurn(turn: Turn): void {
  const tree = new TreeTurn(turn);
  tree.begin();
  if (turn.order.kind === "act") for (let left = turn.order.operations; left > 0; left--) tree.operate();
  tree.compareAll();
}

/** One operation in one of the two places; a number by the convention of os/native.ts, or what was read, as text. */
type Act = (base: string) => number | string;

/** Open in both places: the judged one, and the bare one. */
interface HeldPair {
  readonly fds: readonly [number, number];
  readonly what: string;
  readonly isDirectory: boolean;
}
const HELD_MAX = 4;
const heldOf = new Map<string, HeldPair[]>();

class TreeTurn {
  readonly #turn: Turn;
  readonly #random: Random;
  /** The judged tree, and the known one. */
  readonly #bases: readonly [string, string];
  readonly #stat = new FileStat();

  constructor(turn: Turn) {
    this.#turn = turn;
    this.#random = turn.random;
    this.#bases = [turn.place, join(turn.known, "tree")];
  }
  begin(): void {
    if (this.#turn.order.turn === 0) for (const base of this.#bases) mkdirSync(base, { recursive: true });
    this.compareAll();
  }

  /** Often a path that exists; below it, sometimes, one that does not. */
  #path(): string {
    const parts: string[] = [];
    const depth = this.#random.between(1, DEPTH_MAX);
    for (let level = 0; level < depth; level++) {
      const here = join(this.#bases[1], ...parts);
      const existing = this.#random.chance(0.65) ? list(here).filter((entry) => level === depth - 1 || (entry.type & fileTypes.mask) === fileTypes.directory) : [];
      parts.push(existing.length > 0 ? this.#random.pick(existing).name : this.#random.pick(NAMES));
    }
    return parts.join("/");
  }

  operate(): void {
    const held = heldOf.get(this.#turn.place) ?? [];
    if (held.length > 0 && this.#random.chance(0.2)) return this.#useHeld(this.#random.pick(held));
    const path = this.#path();
    const kind = this.#random.below(100);
    if (kind < 16) this.#make(path);
    else if (kind < 26) this.#both("mkdir", [path], (base) => files.mkdirAt(AT_FDCWD, join(base, path), 0o755));
    else if (kind < 36) this.#both("unlink", [path], (base) => files.unlinkAt(AT_FDCWD, join(base, path)));
    else if (kind < 42) this.#both("rmdir", [path], (base) => files.unlinkAt(AT_FDCWD, join(base, path), files.AT_REMOVEDIR));
    else if (kind < 60) this.#rename(path);
    else if (kind < 69) this.#link(path);
    else if (kind < 74) this.#special(path);
    else if (kind < 80) this.#write(path);
    else if (kind < 88) this.#attribute(path);
    else if (kind < 92) this.#both("chmod", [path], (base) => files.chmodOfPath(join(base, path), 0o700 | (path.length & 0o77)));
    else if (kind < 95) this.#times(path);
    else if (kind < 98) this.#hold(path);
    else this.#both("list", [path], (base) => listing(join(base, path)));
  }
  #make(path: string): void {
    // A pipe that nobody reads would be waited for.
    const flags = files.open.writeOnly | files.open.nonBlocking | files.open.create | this.#random.pick([0, files.open.exclusive, files.open.truncate, files.open.exclusive]);
    this.#both(`create ${flags.toString(8)}`, [path], (base) => {
      const fd = files.openAt(AT_FDCWD, join(base, path), flags, 0o640);
      return fd < 0 ? fd : files.close(fd);
    });
  }
  #rename(from: string): void {
    const to = this.#random.chance(0.15) ? `${from}/${this.#random.pick(NAMES)}` : this.#path();
    const flags = this.#random.pick([0, 0, 0, files.RENAME_NOREPLACE, files.RENAME_EXCHANGE]);
    this.#both(`rename ${flags}`, [from, to], (base) => files.renameAt(AT_FDCWD, join(base, from), AT_FDCWD, join(base, to), flags));
  }
  #link(from: string): void {
    const to = this.#path();
    this.#both("link", [from, to], (base) => files.linkAt(AT_FDCWD, join(base, from), AT_FDCWD, join(base, to)));
  }
  #special(path: string): void {
    if (this.#random.chance(0.7)) {
      const target = this.#random.chance(0.5) ? this.#path() : "t".repeat(this.#random.between(1, 200));
      this.#both("symlink", [path], (base) => files.symlinkAt(target, AT_FDCWD, join(base, path)));
    } else {
      const type = this.#random.pick([fileTypes.fifo, fileTypes.regular, fileTypes.socket]);
      this.#both(`mknod ${type.toString(8)}`, [path], (base) => files.mknodAt(AT_FDCWD, join(base, path), type | 0o600, 0));
    }
  }
  #write(path: string): void {
    const bytes = Buffer.from(String(this.#random.uint32()).repeat(this.#random.between(1, 900)));
    const flags = files.open.writeOnly | files.open.nonBlocking | this.#random.pick([0, files.open.append, files.open.truncate]);
    this.#both(`write ${bytes.length} ${flags.toString(8)}`, [path], (base) => {
      const fd = files.openAt(AT_FDCWD, join(base, path), flags);
      if (fd < 0) return fd;
      const put = files.pwrite(fd, bytes, 0, bytes.length, 0);
      files.close(fd);
      return put;
    });
  }
  #attribute(path: string): void {
    const name = `user.${this.#random.pick(["one", "two", "three"])}`;
    const kind = this.#random.below(4);
    const value = Buffer.from(String(this.#random.uint32()).repeat(this.#random.between(1, 10)));
    const flags = this.#random.pick([0, files.XATTR_CREATE, files.XATTR_REPLACE]);
    if (kind === 0) this.#both(`remove ${name} of`, [path], (base) => files.removexattrOfPath(join(base, path), name));
    else if (kind === 1) this.#both(`get ${name} of`, [path], (base) => attributeOf(join(base, path), name));
    else this.#both(`set ${name} ${flags} of`, [path], (base) => files.setxattrOfPath(join(base, path), name, value, flags));
  }
  #times(path: string): void {
    const mtimeNs = BigInt(this.#random.between(-1_000_000_000, 4_000_000_000)) * 1_000_000_000n + BigInt(this.#random.below(1_000_000_000));
    this.#both(`utimens ${mtimeNs}`, [path], (base) => files.utimensAt(AT_FDCWD, join(base, path), "omit", mtimeNs, files.AT_SYMLINK_NOFOLLOW));
  }

  #hold(path: string): void {
    this.#turn.doing("hold", shortened(JSON.stringify(path)));
    const held = heldOf.get(this.#turn.place) ?? [];
    heldOf.set(this.#turn.place, held);
    const results = this.#bases.map((base) => this.#openToHold(join(base, path))) as [number, number];
    const [found, expected] = results.map((result) => Math.min(result, 0));
    if (found !== expected) this.#turn.fail(`gives ${told(found)}, on the bare file system ${told(expected)}`);
    if (results[0] < 0 || results[1] < 0) return;
    files.fstat(results[1], this.#stat);
    held.push({ fds: results, what: path, isDirectory: this.#stat.isDirectory });
    if (held.length > HELD_MAX) for (const fd of held.shift()!.fds) files.close(fd);
  }
  /** Pipes and sockets would be others' to wait for. */
  #openToHold(path: string): number {
    const found = files.statAt(AT_FDCWD, path, 0, this.#stat);
    if (found < 0) return found;
    if (!this.#stat.isRegular && !this.#stat.isDirectory) return -errno.ENXIO;
    return files.openAt(AT_FDCWD, path, this.#stat.isDirectory ? files.open.readOnly | files.open.directory : files.open.readWrite);
  }
  /** What is done with it comes out the same in both places, whatever has become of its name. */
  #useHeld(held: HeldPair): void {
    const act = held.isDirectory ? this.#onDirectory() : this.#onFile();
    this.#turn.doing(`held ${held.isDirectory ? "directory" : "file"}`, shortened(`${act.what}, opened as ${JSON.stringify(held.what)}`));
    const [found, expected] = held.fds.map((fd) => act.do(fd));
    if (found !== expected) this.#turn.fail(`gives ${told(found)}, on the bare file system ${told(expected)}`);
    const [there, known] = held.fds.map((fd) => this.#describe("", fd));
    this.#turn.equal(there, known, "state");
  }
  #onFile(): { what: string; do: (fd: number) => number | string } {
    const random = this.#random;
    const bytes = Buffer.from(String(random.uint32()).repeat(random.between(1, 900)));
    const offset = random.below(12_000);
    switch (random.below(6)) {
      case 0: return { what: `write ${offset}+${bytes.length}`, do: (fd) => files.pwrite(fd, bytes, 0, bytes.length, offset) };
      case 1: return { what: `truncate to ${offset}`, do: (fd) => files.ftruncate(fd, offset) };
      case 2: return { what: "set an attribute", do: (fd) => files.fsetxattr(fd, "user.one", bytes.subarray(0, 50)) };
      case 3: return { what: "chmod", do: (fd) => files.fchmod(fd, 0o600 | (offset & 0o77)) };
      default: return { what: "read all", do: readAll };
    }
  }
  #onDirectory(): { what: string; do: (fd: number) => number | string } {
    const random = this.#random;
    const name = random.pick(NAMES);
    const other = random.pick(NAMES);
    switch (random.below(6)) {
      case 0: return { what: `mkdir ${name}`, do: (fd) => files.mkdirAt(fd, name, 0o755) };
      case 1: return { what: `unlink ${name}`, do: (fd) => files.unlinkAt(fd, name) };
      case 2: return { what: `rename ${name} to ${other}`, do: (fd) => files.renameAt(fd, name, fd, other) };
      case 3: return { what: `symlink ${name}`, do: (fd) => files.symlinkAt(other, fd, name) };
      default: return { what: "list", do: (fd) => entriesOf(fd).map(({ name: each, type }) => `${each} ${type.toString(8)}`).join("; ") };
    }
  }

  /** The same in both places: the same result, and the same attributes of all that was named and of where it lies. */
  #both(what: string, paths: readonly string[], act: Act): void {
    this.#turn.doing(what.split(" ")[0]!, `${what} ${paths.map((path) => shortened(JSON.stringify(path))).join(" to ")}`);
    const touched = [...new Set(paths.flatMap((path) => [path, dirname(path)]))];
    const before = touched.map((path) => this.#bases.map((base) => this.#timeOf(join(base, path))));
    const [found, expected] = this.#bases.map(act);
    if (found !== expected) this.#turn.fail(`gives ${told(found)}, on the bare file system ${told(expected)}`);
    for (const [at, path] of touched.entries()) {
      this.#turn.equal(this.#describe(join(this.#bases[0], path)), this.#describe(join(this.#bases[1], path)), `state of ${JSON.stringify(path)}`);
      const [isChanged, shouldBe] = this.#bases.map((base, side) => this.#timeOf(join(base, path)) !== before[at]![side]);
      if (isChanged !== shouldBe) this.#turn.fail(`the time of change of ${JSON.stringify(path)} has ${isChanged === true ? "" : "not "}moved`);
    }
  }
  /** Of which inode also: another one may by chance have been changed in the same tick. */
  #timeOf(path: string): string {
    return files.statAt(AT_FDCWD, path, files.AT_SYMLINK_NOFOLLOW, this.#stat) < 0 ? "none" : `${this.#stat.ino} ${this.#stat.mtimeNs}`;
  }
  /** All that does not depend on the place. */
  #describe(path: string, fd = -1): string {
    const stat = this.#stat;
    const result = fd >= 0 ? files.fstat(fd, stat) : files.statAt(AT_FDCWD, path, files.AT_SYMLINK_NOFOLLOW, stat);
    if (result < 0) return errnoName(-result);
    return `mode ${stat.mode.toString(8)} links ${stat.nlink} owner ${stat.uid}:${stat.gid} size ${stat.isDirectory ? "-" : stat.size} device ${stat.rdev}`;
  }

  /** Every entry of both trees: state, contents, targets, attributes; which names are one inode; numbers in listings. */
  compareAll(): void {
    this.#turn.doing("compare the trees");
    const inodes: [Map<bigint, string>, Map<bigint, string>] = [new Map(), new Map()];
    const walk = (path: string) => {
      const [found, expected] = this.#bases.map((base) => listing(join(base, path)));
      if (found !== expected) this.#turn.fail(`${shortened(JSON.stringify(path))} lists ${found}, on the bare file system ${expected}${this.#elsewhere(path)}`);
      for (const { name } of list(join(this.#bases[1], path))) {
        const inner = path === "" ? name : `${path}/${name}`;
        const [there, known] = this.#bases.map((base, side) => this.#everythingOf(join(base, inner), inner, inodes[side as 0 | 1]));
        if (there !== known) this.#turn.fail(`${JSON.stringify(inner)} is ${there}, on the bare file system ${known}`);
        if (known?.startsWith("mode 4") === true) walk(inner);
      }
    };
    walk("");
  }
  /** What a directory shows at this moment to everybody, the backing first, then once more here. */
  #elsewhere(path: string): string {
    const told = this.#turn.elsewhere.map(({ label, place }) => `\n    ${label} shows ${numbered(join(place, path))}`);
    return `${told.join("")}\n    now here ${listing(join(this.#bases[0], path))}`;
  }
  #everythingOf(path: string, inner: string, inodes: Map<bigint, string>): string {
    const described = this.#describe(path);
    const { ino, isSymlink, isRegular, isDirectory, size } = this.#stat;
    const first = inodes.get(ino) ?? inner;
    inodes.set(ino, first);
    const parts = [described, `first met as ${JSON.stringify(first)}`];
    if (isSymlink) {
      const target = Buffer.alloc(4096);
      parts.push(`to ${target.toString("utf8", 0, Math.max(0, files.readlinkAt(AT_FDCWD, path, target)))}`);
    }
    if (isRegular || isDirectory) parts.push(`attributes ${attributesOf(path)}`);
    if (isRegular) parts.push(`contents ${contentsOf(path, size)}`);
    return parts.join(", ");
  }
}

function told(result: number | string | undefined): string {
  return typeof result === "number" && result < 0 ? errnoName(-result) : String(result);
}
/** The longest name, for people. */
function shortened(text: string): string {
  return text.replaceAll("x".repeat(255), "X");
}
function dirname(path: string): string {
  return path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
}
interface Entry {
  readonly name: string;
  readonly type: number;
  readonly ino: bigint;
}
function list(path: string): Entry[] {
  const fd = files.openAt(AT_FDCWD, path, files.open.readOnly | files.open.directory);
  if (fd < 0) return [];
  const found = entriesOf(fd);
  files.close(fd);
  return found;
}
/** From its beginning, in the order of names. */
function entriesOf(fd: number): Entry[] {
  const found: Entry[] = [];
  const entries = new DirectoryEntries();
  seekDirectory(fd, 0n);
  while (entries.fill(fd) > 0) {
    while (entries.next()) if (!entries.isDotOrDotDot) found.push({ name: entries.name.toString("utf8"), type: entries.type << 12, ino: entries.ino });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
function readAll(fd: number): string | number {
  const bytes = Buffer.alloc(40_000);
  const got = files.pread(fd, bytes, 0, bytes.length, 0);
  return got < 0 ? got : bytes.toString("latin1", 0, got);
}
/** Names and types, after each number was compared with the one that stat tells; or the error of opening it. */
function listing(path: string): string | number {
  const fd = files.openAt(AT_FDCWD, path, files.open.readOnly | files.open.directory);
  if (fd < 0) return fd;
  files.close(fd);
  const stat = new FileStat();
  return list(path).map(({ name, type, ino }) => {
    const looked = files.statAt(AT_FDCWD, join(path, name), files.AT_SYMLINK_NOFOLLOW, stat);
    const isSame = looked >= 0 && stat.ino === ino && (stat.mode & fileTypes.mask) === type;
    return `${shortened(JSON.stringify(name))} ${type.toString(8)}${isSame ? "" : ` (listed as inode ${ino}, is ${looked < 0 ? errnoName(-looked) : stat.ino})`}`;
  }).join("; ");
}
function numbered(path: string): string {
  const stat = new FileStat();
  const looked = files.statAt(AT_FDCWD, path, files.AT_SYMLINK_NOFOLLOW, stat);
  return looked < 0 ? errnoName(-looked) : `inode ${stat.ino}: ${list(path).map(({ name, ino }) => `${shortened(JSON.stringify(name))} ${ino}`).join("; ")}`;
}
function attributeOf(path: string, name: string): string | number {
  const value = Buffer.alloc(1024);
  const length = files.getxattrOfPath(path, name, value);
  return length < 0 ? length : value.toString("latin1", 0, length);
}
function attributesOf(path: string): string {
  const names = Buffer.alloc(4096);
  const length = files.listxattrOfPath(path, names);
  if (length < 0) return errnoName(-length);
  return names.toString("latin1", 0, length).split("\0").filter((name) => name.startsWith("user.")).sort().map((name) => `${name}=${attributeOf(path, name)}`).join(" ");
}
function contentsOf(path: string, size: number): string {
  const fd = files.openAt(AT_FDCWD, path, files.open.readOnly);
  if (fd < 0) return errnoName(-fd);
  const bytes = Buffer.alloc(size + 1);
  const got = files.pread(fd, bytes, 0, bytes.length, 0);
  files.close(fd);
  return got < 0 ? errnoName(-got) : `${got}:${bytes.toString("latin1", 0, Math.min(got, 60))}`;
}
