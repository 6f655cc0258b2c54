/**
 * Words of the cases as the numbers and bytes that system calls take: flags, times, access lists.
 *
 * Source    open(2), rename(2), fallocate(2), utimensat(2), acl(5) and linux/posix_acl_xattr.h.
 */
import * as files from "../../os/files.js";
import { fileTypes } from "../../os/stat.js";

export const openFlags = {
  rdonly: 0, wronly: 1, rdwr: 2, creat: files.open.create, excl: files.open.exclusive, trunc: files.open.truncate, append: files.open.append,
  directory: files.open.directory, nofollow: files.open.noFollow, path: files.open.path, tmpfile: files.open.temporary, direct: files.open.direct,
  sync: files.open.sync, dsync: files.open.dataSync, nonblock: files.open.nonBlocking, noatime: files.open.noAccessTime,
} as const;
export const renameFlags = { noreplace: files.RENAME_NOREPLACE, exchange: files.RENAME_EXCHANGE, whiteout: files.RENAME_WHITEOUT, bad: 1 << 20 } as const;
export const fallocateModes = { plain: 0, keep: 1, punch: 3, punchalone: 2, collapse: 8, zero: 16, zerokeep: 17, insert: 32, unshare: 64, bad: 1 << 12 } as const;

/** `a,b,c`; undefined is none. */
export function flagsOf(words: Readonly<Record<string, number>>, text: string | undefined): number {
  if (text === undefined || text === "-") return 0;
  return text.split(",").reduce((all, word) => {
    const value = words[word];
    if (value === undefined) throw new Error(`there is no flag ${word}`);
    return all | value;
  }, 0);
}
export function device(type: string): number {
  const found = { file: fileTypes.regular, fifo: fileTypes.fifo, socket: fileTypes.socket, character: fileTypes.character, block: fileTypes.block, directory: fileTypes.directory, none: 0 }[type];
  if (found === undefined) throw new Error(`there is no type ${type}`);
  return found;
}

/** Two struct timespec: `now`, `omit`, seconds with a fraction, or `bad`, which is no time. */
export function timesOf(atime: string, mtime: string): Buffer {
  const times = Buffer.alloc(32);
  [atime, mtime].forEach((time, at) => {
    const [seconds = "0", fraction = ""] = time.split(".");
    const special = { now: 0x3fffffffn, omit: 0x3ffffffen, bad: 1_000_000_000n }[time];
    times.writeBigInt64LE(special === undefined ? BigInt(seconds) : 0n, 16 * at);
    times.writeBigInt64LE(special ?? BigInt(fraction.padEnd(9, "0")), 16 * at + 8);
  });
  return times;
}

const tags: Readonly<Record<string, number>> = { u: 1, U: 2, g: 4, G: 8, m: 16, o: 32 };
const NOBODY = 0xffff_ffff;
/** `u::rwx,u:3001:r--,g::r-x,m::rwx,o::---` as the attribute that holds it. */
export function aclBytes(text: string): Buffer {
  const entries = text.split(",").filter((entry) => entry !== "").map((entry) => entry.split(":"));
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2, 0);
  entries.forEach(([kind, id, bits], index) => {
    const at = 4 + 8 * index;
    value.writeUInt16LE(tags[id === "" ? kind! : kind!.toUpperCase()]!, at);
    value.writeUInt16LE([...bits!].reduce((sum, letter) => sum | ({ r: 4, w: 2, x: 1 }[letter] ?? 0), 0), at + 2);
    value.writeUInt32LE(id === "" ? NOBODY : Number(id), at + 4);
  });
  return value;
}
export function aclText(value: Buffer): string {
  const entries: string[] = [];
  for (let at = 4; at + 8 <= value.length; at += 8) {
    const kind = Object.entries(tags).find(([, tag]) => tag === value.readUInt16LE(at))?.[0].toLowerCase() ?? "?";
    const bits = value.readUInt16LE(at + 2);
    const id = value.readUInt32LE(at + 4);
    entries.push(`${kind}:${id === NOBODY ? "" : id}:${(bits & 4) !== 0 ? "r" : "-"}${(bits & 2) !== 0 ? "w" : "-"}${(bits & 1) !== 0 ? "x" : "-"}`);
  }
  return entries.join(",");
}
