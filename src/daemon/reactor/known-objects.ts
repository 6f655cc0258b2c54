/**
 * Objects of which a descriptor is at hand: found again, and looked at again, by one statx.
 *
 * A name's inode number tells which object it is only while nobody can have removed that object and made another of the same
 * number; times do not tell, since both may have happened in one tick of the clock. While we hold a descriptor of an object its
 * inode lives, named or not, and no other has its number: then device and number prove it. So an entry here lasts as long as
 * the descriptor, and only on file systems that number their inodes so. A shared one, whose removals
 * another machine makes, is none of them.
 *
 * The record is an attribute, and whoever changes it changes the ctime. Where the kernel gives each change after a look a
 * ctime of its own (since 6.13), the same ctime means the same record. It is always looked at before the record is read: a change in
 * between makes the next look find another.
 *
 * Source    safety C4, H1, H7; statx(2); Linux Documentation/filesystems/multigrain-ts.rst.
 */
import { release } from "node:os";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { FileStat, FileSystemStat } from "../../os/stat.js";
import { backingCalls, type Found, type Stored } from "./backing-calls.js";
import type { Inode } from "./inode-table.js";

/** ext4, XFS, Btrfs: no two living inodes of a device have one number, and ctimes are told apart. */
const numbering: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e]);
const MULTIGRAIN_SINCE = [6, 13] as const;

interface Seen {
  readonly inode: Inode;
  readonly device: bigint;
  /** As struct statx has it, 12 bytes; with the record that was read after it. */
  ctimeSeconds: bigint;
  ctimeNanoseconds: number;
  stored: Stored | undefined;
}

const stat = new FileStat();

export class KnownObjects {
  readonly #byNumber = new Map<bigint, Seen>();
  readonly #isUsable: boolean;
  readonly #tellsChanges: boolean;
  readonly #metaFd: number;

  constructor(backing: { readonly isLocal: boolean; readonly rootFd: number; readonly metaFd: number }) {
    const fs = new FileSystemStat();
    this.#isUsable = backing.isLocal && files.fstatfs(backing.rootFd, fs.bytes) >= 0 && numbering.has(fs.type);
    this.#tellsChanges = isAtLeast(release(), MULTIGRAIN_SINCE);
    this.#metaFd = backing.metaFd;
  }

  /** An object was looked at, in that order: `statx`, then its record. Kept while it has a descriptor. */
  note(inode: Inode, statx: Uint8Array, stored: Stored | undefined): void {
    if (!this.#isUsable || inode.pathFd < 0) return;
    stat.bytes.set(statx);
    this.#byNumber.set(stat.ino, { inode, device: stat.dev, ctimeSeconds: stat.secondsOf("ctime"), ctimeNanoseconds: stat.nanosecondsOf("ctime"), stored });
    inode.number = stat.ino;
  }
  /** Its descriptor is closed. */
  letGo(inode: Inode): void {
    if (inode.number !== undefined && this.#byNumber.get(inode.number)?.inode === inode) this.#byNumber.delete(inode.number);
    inode.number = undefined;
  }

  /** Undefined: not one of these; it has to be found in full. */
  find(directoryFd: number, name: string): Found | number | undefined {
    if (!this.#isUsable || this.#byNumber.size === 0) return undefined;
    const looked = files.statAt(directoryFd, Buffer.from(`${name}\0`, "latin1"), files.AT_SYMLINK_NOFOLLOW, stat);
    if (looked < 0) return looked === -errno.ENOENT ? looked : undefined;
    const seen = this.#byNumber.get(stat.ino);
    if (seen === undefined || seen.inode.pathFd < 0 || stat.dev !== seen.device) return undefined;
    const { own, handleType, handleBytes } = seen.inode;
    const statx = Buffer.from(stat.bytes);
    return { fd: -1, own, handleType, handleBytes, statx, stored: this.#storedOf(seen) };
  }
  /** Undefined: its descriptor is looked at in full. */
  look(inode: Inode): { readonly statx: Uint8Array; readonly stored: Stored | undefined } | undefined {
    const seen = inode.number === undefined || inode.pathFd < 0 ? undefined : this.#byNumber.get(inode.number);
    if (seen?.inode !== inode || files.fstat(inode.pathFd, stat) < 0) return undefined;
    const statx = Buffer.from(stat.bytes);
    return { statx, stored: this.#storedOf(seen) };
  }
  /** Of the object that `stat` shows. */
  #storedOf(seen: Seen): Stored | undefined {
    if (!stat.isRegular) return undefined;
    const seconds = stat.secondsOf("ctime");
    const nanoseconds = stat.nanosecondsOf("ctime");
    if (this.#tellsChanges && seen.stored !== undefined && seen.ctimeNanoseconds === nanoseconds && seen.ctimeSeconds === seconds) return seen.stored;
    const stored = backingCalls.loadRecord(seen.inode.pathFd, seen.inode.own, this.#metaFd);
    seen.stored = typeof stored === "number" ? undefined : stored;
    seen.ctimeSeconds = seconds;
    seen.ctimeNanoseconds = nanoseconds;
    return seen.stored;
  }
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [found = 0, foundMinor = 0] = version.split(".").map(Number);
  return found > major || (found === major && foundMinor >= minor);
}
