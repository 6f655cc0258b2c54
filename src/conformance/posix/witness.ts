/**
 * Looks at a whole tree after each step of a case: what became new, what is gone, which attributes and times changed; and
 * whether every mount shows exactly what the backing has.
 *
 * The tree is listed on the backing without touching access times; each object is then looked at there and on each mount.
 *
 * A change is seen by its times since the kernel gives each change after a look a time of its own; an access gets the time
 * of the last tick of its clock, so those are told only where the steps are ticks apart.
 *
 * Units     an object is its inode number and time of birth, since numbers are used again.
 */
import { DirectoryEntries } from "../../os/directory.js";
import { errnoName } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { FileStat } from "../../os/stat.js";
import { typeName } from "./calls.js";

interface Seen {
  names: string[];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly rdev: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

const path = (...parts: readonly string[]) => Buffer.from(`${parts.filter((part) => part !== "").join("/")}\0`, "latin1");
const stat = new FileStat();
const other = new FileStat();
/** What two looks at one object must agree on, with where it stands in struct statx. */
const agreeing: readonly (readonly [name: string, from: number, to: number])[] = [
  ["block size", 4, 8], ["links", 16, 20], ["uid", 20, 24], ["gid", 24, 28], ["mode", 28, 30], ["inode", 32, 40], ["size", 40, 48], ["blocks", 48, 56],
  ["atime", 64, 76], ["btime", 80, 92], ["ctime", 96, 108], ["mtime", 112, 124], ["device", 128, 136],
];

export class Witness {
  #backing = "";
  #mounts: readonly string[] = [];
  #before = new Map<string, Seen>();
  #how = "";

  /** The directory of a new case: on the backing, then on each mount. It is made here. `how`: see `Case`. */
  begin([how = "", backing = "", ...mounts]: readonly string[]): string {
    this.#how = how;
    this.#backing = backing;
    this.#mounts = mounts;
    const made = files.mkdirAt(files.AT_FDCWD, path(backing), 0o777);
    if (made < 0) return errnoName(made);
    files.chmodOfPath(path(backing), 0o777);
    this.#before = new Map();
    const [problems] = this.#see(false);
    return problems.length === 0 ? "ok" : problems.join("; ");
  }

  /** What changed since the last look, and with `seesMounts` what they show otherwise. */
  look(seesMounts: boolean): string {
    const before = this.#before;
    const [problems, now] = this.#see(seesMounts);
    const changes: string[] = [];
    for (const [key, seen] of now) {
      const was = before.get(key);
      const change = was === undefined ? describe(seen) : difference(was, seen, this.#how === "access");
      if (change !== "") changes.push(`${seen.names.join("=")}${was === undefined ? " is new:" : ""} ${change}`);
    }
    for (const [key, was] of before) if (!now.has(key)) changes.push(`${was.names.join("=")} is gone`);
    return [...changes.sort(), ...problems.map((problem) => `NOT AS ON THE BACKING: ${problem}`)].join("; ");
  }

  #see(seesMounts: boolean): [problems: string[], now: Map<string, Seen>] {
    const problems: string[] = [];
    const now = new Map<string, Seen>();
    this.#visit("", seesMounts ? this.#mounts : [], problems, now);
    this.#before = now;
    return [problems, now];
  }
  #visit(name: string, mounts: readonly string[], problems: string[], now: Map<string, Seen>): void {
    const looked = files.statAt(files.AT_FDCWD, path(this.#backing, name), files.AT_SYMLINK_NOFOLLOW, stat);
    if (looked < 0) return;
    const key = `${stat.ino} ${stat.btimeNs}`;
    const known = now.get(key);
    if (known !== undefined) known.names.push(name);
    else {
      const { mode, uid, gid, size, nlink, rdev, atimeNs, mtimeNs, ctimeNs } = stat;
      now.set(key, { names: [name === "" ? "." : name], mode, uid, gid, size, nlink, rdev, atimeNs, mtimeNs, ctimeNs });
    }
    const isDirectory = stat.isDirectory;
    for (const mount of mounts) {
      const result = files.statAt(files.AT_FDCWD, path(mount, name), files.AT_SYMLINK_NOFOLLOW, other);
      if (result < 0) problems.push(`${name} on ${mount.split("/").at(-3)}: ${errnoName(result)}`);
      else {
        for (const [field, from, to] of agreeing) {
          const [there, here] = [other.bytes.subarray(from, to), stat.bytes.subarray(from, to)];
          if (!there.equals(here)) problems.push(`${field} of ${name === "" ? "." : name} on ${mount.split("/").at(-3)}: ${there.toString("hex")} for ${here.toString("hex")}`);
        }
      }
    }
    if (isDirectory && this.#how !== "large") for (const child of this.#list(name)) this.#visit(name === "" ? child : `${name}/${child}`, mounts, problems, now);
  }
  #list(name: string): string[] {
    const fd = files.openAt(files.AT_FDCWD, path(this.#backing, name), files.open.readOnly | files.open.directory | files.open.noAccessTime);
    if (fd < 0) return [];
    const entries = new DirectoryEntries();
    const names: string[] = [];
    while (entries.fill(fd) > 0) while (entries.next()) if (!entries.isDotOrDotDot) names.push(entries.name.toString("latin1"));
    files.close(fd);
    return names.sort();
  }
}

const modeText = (mode: number) => (mode & 0o7777).toString(8);
function describe(seen: Seen): string {
  return `${typeName(seen.mode)} ${modeText(seen.mode)} ${seen.uid}:${seen.gid} size ${seen.size} links ${seen.nlink}${seen.rdev === 0n ? "" : ` device ${seen.rdev}`}`;
}
function difference(was: Seen, now: Seen, looksAtAccess: boolean): string {
  const changes: string[] = [];
  if (was.names.join("=") !== now.names.join("=")) changes.push(`was ${was.names.join("=")}`);
  if (was.mode !== now.mode) changes.push(`mode ${modeText(now.mode)}`);
  if (was.uid !== now.uid || was.gid !== now.gid) changes.push(`owner ${now.uid}:${now.gid}`);
  if (was.size !== now.size) changes.push(`size ${now.size}`);
  if (was.nlink !== now.nlink) changes.push(`links ${now.nlink}`);
  const times = [looksAtAccess && was.atimeNs !== now.atimeNs ? "atime" : "", was.mtimeNs !== now.mtimeNs ? "mtime" : "", was.ctimeNs !== now.ctimeNs ? "ctime" : ""].filter((time) => time !== "");
  return [...changes, ...times].join(" ");
}
