/**
 * Whether reading an object makes its time of access another one: what the backing's mount says (noatime, relatime), and with
 * relatime the rule that mount(8) tells of it.
 *
 * Reads of one node are seen by the kernels of others only so, so most of them are nobody's business: once the time of access
 * is later than those of the last change, it stays for a day.
 *
 * Units     times as struct statx has them.
 * Source    mount(8) relatime, noatime, nodiratime; statfs(2) f_flags.
 */
import * as files from "../../os/files.js";
import { FileStat, FileSystemStat } from "../../os/stat.js";

/** statfs(2) f_flags. */
const mountFlags = { readOnly: 1, noAccessTime: 0x400, noDirectoryAccessTime: 0x800, relative: 0x1000 } as const;
const DAY_SECONDS = 24 * 60 * 60;

export class AccessTimes {
  readonly #flags: number;
  readonly #stat = new FileStat();

  /** @param rootFd of the backing; where it does not tell, each read counts. */
  constructor(rootFd: number) {
    const fs = new FileSystemStat();
    this.#flags = files.fstatfs(rootFd, fs.bytes) < 0 ? 0 : fs.flags;
  }

  /** @param statx as it is before the read. */
  movesWithRead(statx: Uint8Array, now = Date.now()): boolean {
    const flags = this.#flags;
    if ((flags & (mountFlags.readOnly | mountFlags.noAccessTime)) !== 0) return false;
    const stat = this.#stat;
    stat.bytes.set(statx);
    if ((flags & mountFlags.noDirectoryAccessTime) !== 0 && stat.isDirectory) return false;
    if ((flags & mountFlags.relative) === 0) return true;
    const accessed = stat.atimeNs;
    return accessed <= stat.mtimeNs || accessed <= stat.ctimeNs || now / 1_000 - Number(stat.secondsOf("atime")) >= DAY_SECONDS;
  }
}
