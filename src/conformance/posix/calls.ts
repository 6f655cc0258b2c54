/**
 * The calls an actor can make, each by the name a case uses for it; arguments and results are text.
 *
 * A path argument `@d/x` is `x` beneath the open directory `d`, `@d` alone what `d` itself names, `proc:d` its link in
 * /proc. Results: `ok`, the name of the errno, or what the call found.
 *
 * Not here  how cases are written (case-text.ts), who makes the calls (actor.ts).
 */
import { spawnSync } from "node:child_process";
import { device } from "./call-arguments.js";
import { aclBytes, aclText, flagsOf, openFlags, renameFlags, timesOf, fallocateModes } from "./call-arguments.js";
import * as raw from "../../os/device.js";
import { DirectoryEntries, seekDirectory } from "../../os/directory.js";
import { errno, errnoName } from "../../os/errno.js";
import * as files from "../../os/files.js";
import * as program from "../../os/program-calls.js";
import { fileTypes, FileStat, FileSystemStat, joinDevice } from "../../os/stat.js";

const bytes = (text: string) => Buffer.from(text, "latin1");
const path = (text: string) => bytes(`${text}\0`);
const number = (text: string | undefined, otherwise = 0) => (text === undefined ? otherwise : Number(text));
/** Offsets beyond 2^53 keep their last digits. */
const big = (text: string) => BigInt(text);
const mode = (text: string | undefined, otherwise = 0) => (text === undefined ? otherwise : Number.parseInt(text, 8));
const done = (result: number) => (result < 0 ? errnoName(result) : "ok");
const counted = (result: number) => (result < 0 ? errnoName(result) : String(result));
const typeNames: Readonly<Record<number, string>> = {
  [fileTypes.regular]: "file", [fileTypes.directory]: "directory", [fileTypes.symlink]: "symlink", [fileTypes.character]: "character",
  [fileTypes.block]: "block", [fileTypes.fifo]: "fifo", [fileTypes.socket]: "socket",
};
export const typeName = (statMode: number) => typeNames[statMode & fileTypes.mask] ?? "?";
const directoryTypes: Readonly<Record<number, string>> = { 1: "fifo", 2: "character", 4: "directory", 6: "block", 8: "file", 10: "symlink", 12: "socket" };

/** What one actor has open in one case. */
export class Holdings {
  readonly #fds = new Map<string, number>();
  readonly maps = new Map<string, { at: bigint; length: number }>();

  hold(name: string | undefined, fd: number): string {
    if (fd < 0) return errnoName(fd);
    if (name === undefined) files.close(fd);
    else this.#fds.set(name, fd);
    return "ok";
  }
  fd(name: string): number {
    return this.#fds.get(name) ?? (/^-?\d+$/.test(name) ? Number(name) : -1);
  }
  close(name: string): number {
    const fd = this.fd(name);
    this.#fds.delete(name);
    return files.close(fd);
  }
  /** Where a path argument begins, the path, and the flag that an empty one needs. */
  place(text: string): { at: number; path: Buffer; flags: number } {
    const beneath = /^@([a-z]+\d*)(?:\/(.*))?$/s.exec(text);
    if (beneath !== null) return { at: this.fd(beneath[1]!), path: path(beneath[2] ?? ""), flags: beneath[2] === undefined ? files.AT_EMPTY_PATH : 0 };
    return { at: files.AT_FDCWD, path: this.plain(text), flags: 0 };
  }
  plain(text: string): Buffer {
    return path(text.startsWith("proc:") ? files.procPath(this.fd(text.slice(5))) : text === "empty" ? "" : text);
  }
  letGo(): void {
    for (const { at, length } of this.maps.values()) program.unmap(at, length);
    for (const fd of this.#fds.values()) files.close(fd);
    this.maps.clear();
    this.#fds.clear();
  }
}

type Call = (held: Holdings, args: readonly string[], as: string | undefined) => string;
const stat = new FileStat();
const fsStat = new FileSystemStat();

function fieldsOf(wanted: readonly string[]): string {
  const fields = wanted.length > 0 ? wanted : ["type", "mode", "uid", "gid", "size", "nlink"];
  const time = (ns: bigint) => `${ns < 0n ? "-" : ""}${(ns < 0n ? -ns : ns) / 1_000_000_000n}.${String((ns < 0n ? -ns : ns) % 1_000_000_000n).padStart(9, "0")}`;
  const value = (field: string): string => {
    switch (field) {
      case "type": return typeName(stat.mode);
      case "mode": return (stat.mode & 0o7777).toString(8);
      case "uid": return String(stat.uid);
      case "gid": return String(stat.gid);
      case "size": return String(stat.size);
      case "nlink": return String(stat.nlink);
      case "blocks": return String(stat.blocks);
      case "rdev": return `${stat.rdevMajor}:${stat.rdevMinor}`;
      case "blksize": return String(stat.blockSize);
      case "atime": return time(stat.atimeNs);
      case "mtime": return time(stat.mtimeNs);
      default: return `no field ${field}`;
    }
  };
  return fields.map(value).join(" ");
}
function stated(held: Holdings, args: readonly string[], flags: number): string {
  const { at, path: name, flags: more } = held.place(args[0]!);
  const result = files.statAt(at, name, flags | more, stat);
  return result < 0 ? errnoName(result) : fieldsOf(args.slice(1));
}

/** Text of a content: `x*1000` stands for a thousand x. */
function content(text: string | undefined): Buffer {
  const repeated = /^(.+)\*(\d+)$/s.exec(text ?? "");
  return repeated === null ? bytes(text ?? "") : Buffer.alloc(Number(repeated[2]), repeated[1]!, "latin1");
}
/** Long ones as `a*4096 b*10`. */
export function shownContent(data: Buffer): string {
  if (data.length === 0) return "nothing";
  let text = "";
  let runs = 0;
  for (let at = 0; at < data.length; ) {
    let end = at;
    while (end < data.length && data[end] === data[at]) end++;
    const byte = data[at]!;
    const shown = byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`;
    text += end - at > 8 ? `${text === "" ? "" : " "}${shown}*${end - at} ` : shown.repeat(end - at);
    if (++runs > 64) return `${text}... of ${data.length}`;
    at = end;
  }
  return text.trim();
}
function readInto(size: number, act: (buffer: Buffer) => number): string {
  const buffer = Buffer.alloc(size);
  const length = act(buffer);
  return length < 0 ? errnoName(length) : shownContent(buffer.subarray(0, length));
}
function listing(fd: number): string[] | number {
  const entries = new DirectoryEntries(8192);
  const names: string[] = [];
  for (;;) {
    const filled = entries.fill(fd);
    if (filled < 0) return filled;
    if (filled === 0) return names;
    while (entries.next()) names.push(`${shownContent(Buffer.from(entries.name))}:${directoryTypes[entries.type] ?? entries.type}`);
  }
}
function attributeNames(act: (list: Buffer) => number): string {
  const list = Buffer.alloc(65536);
  const length = act(list);
  if (length < 0) return errnoName(length);
  return list.toString("latin1", 0, length).split("\0").filter((name) => name !== "").sort().join(" ") || "nothing";
}
const attributeFlags = { create: files.XATTR_CREATE, replace: files.XATTR_REPLACE } as const;
const aclName = (kind: string | undefined) => (kind === "default" ? "system.posix_acl_default" : "system.posix_acl_access");

const lockTypes: Readonly<Record<string, number>> = { read: 0, write: 1, unlock: 2, bad: 9 };
function lockRequest(args: readonly string[]): Buffer {
  const request = Buffer.alloc(32);
  request.writeInt16LE(lockTypes[args[0]!]!, 0);
  request.writeBigInt64LE(big(args[1] ?? "0"), 8);
  request.writeBigInt64LE(big(args[2] ?? "0"), 16);
  return request;
}
/** Whose lock stands in the way: its pid is made a name by whoever knows the actors. */
function conflictText(request: Buffer): string {
  const type = request.readInt16LE(0);
  if (type === 2) return "free";
  return `${type === 0 ? "read" : "write"} ${request.readBigInt64LE(8)} ${request.readBigInt64LE(16)} pid:${request.readInt32LE(24)}`;
}

export const calls: Readonly<Record<string, Call>> = {
  // Names.
  open: (held, [name, flags, bits], as) => {
    const { at, path: p } = held.place(name!);
    return held.hold(as, files.openAt(at, p, flagsOf(openFlags, flags), mode(bits)));
  },
  close: (held, [name]) => done(held.close(name!)),
  /** A file with content, for others to act on. */
  file: (held, [name, bits, data]) => {
    const { at, path: p } = held.place(name!);
    const fd = files.openAt(at, p, flagsOf(openFlags, "wronly,creat,trunc"), mode(bits, 0o644));
    if (fd < 0) return errnoName(fd);
    const text = content(data);
    const written = text.length === 0 ? 0 : raw.write(fd, text, 0, text.length);
    const closed = files.close(fd);
    return written < 0 ? errnoName(written) : written < text.length ? `wrote ${written}` : done(closed);
  },
  mkdir: (held, [name, bits]) => {
    const { at, path: p } = held.place(name!);
    return done(files.mkdirAt(at, p, mode(bits, 0o755)));
  },
  rmdir: (held, [name]) => {
    const { at, path: p } = held.place(name!);
    return done(files.unlinkAt(at, p, files.AT_REMOVEDIR));
  },
  unlink: (held, [name]) => {
    const { at, path: p } = held.place(name!);
    return done(files.unlinkAt(at, p));
  },
  mknod: (held, [name, type, bits, major, minor]) => {
    const { at, path: p } = held.place(name!);
    return done(files.mknodAt(at, p, device(type!) | mode(bits, 0o644), joinDevice(number(major), number(minor))));
  },
  symlink: (held, [target, name]) => {
    const { at, path: p } = held.place(name!);
    return done(files.symlinkAt(held.plain(target!), at, p));
  },
  link: (held, [from, to, flags]) => {
    const source = held.place(from!);
    const target = held.place(to!);
    return done(files.linkAt(source.at, source.path, target.at, target.path, source.flags | flagsOf({ follow: files.AT_SYMLINK_FOLLOW, bad: 1 << 30 }, flags)));
  },
  rename: (held, [from, to, flags]) => {
    const source = held.place(from!);
    const target = held.place(to!);
    return done(files.renameAt(source.at, source.path, target.at, target.path, flagsOf(renameFlags, flags)));
  },
  readlink: (held, [name, size]) => {
    const { at, path: p } = held.place(name!);
    return readInto(number(size, 4096), (buffer) => files.readlinkAt(at, p, buffer));
  },
  chdir: (held, [name]) => done(program.chdir(held.plain(name!))),
  fchdir: (held, [name]) => done(program.fchdir(held.fd(name!))),
  umask: (_, [bits]) => {
    program.umask(mode(bits));
    return "ok";
  },

  /** So many more names of one file. */
  links: (held, [name, count]) => {
    let failed = 0;
    for (let at = 0; at < number(count) && failed >= 0; at++) failed = files.linkAt(files.AT_FDCWD, held.plain(name!), files.AT_FDCWD, path(`link-${at}`));
    return done(failed);
  },

  // Directories.
  list: (held, [name]) => {
    const { at, path: p } = held.place(name!);
    const fd = files.openAt(at, p, flagsOf(openFlags, "rdonly,directory"));
    if (fd < 0) return errnoName(fd);
    const names = listing(fd);
    files.close(fd);
    return typeof names === "number" ? errnoName(names) : names.sort().join(" ");
  },
  getdents: (held, [name]) => {
    const names = listing(held.fd(name!));
    return typeof names === "number" ? errnoName(names) : names.length === 0 ? "nothing" : names.sort().join(" ");
  },
  rewind: (held, [name]) => done(seekDirectory(held.fd(name!), 0n)),
  /** Each entry's number is its inode's, and its place leads to the next one. */
  entries: (held, [name, apart]) => {
    const { at, path: p } = held.place(name!);
    const fd = files.openAt(at, p, flagsOf(openFlags, "rdonly,directory"));
    if (fd < 0) return errnoName(fd);
    const found = entriesAgree(fd, number(apart, 1));
    files.close(fd);
    return found;
  },

  /** So many names. */
  fill: (held, [name, count]) => {
    const fd = files.openAt(files.AT_FDCWD, held.plain(name!), flagsOf(openFlags, "rdonly,directory"));
    if (fd < 0) return errnoName(fd);
    let failed = 0;
    for (let at = 0; at < number(count) && failed >= 0; at++) failed = files.mknodAt(fd, path(`a-name-that-stays-${at}`), fileTypes.regular | 0o644, 0);
    files.close(fd);
    return done(failed);
  },
  /** So many names come, are changed, and go. */
  churn: (held, [name, count]) => {
    const fd = files.openAt(files.AT_FDCWD, held.plain(name!), flagsOf(openFlags, "rdonly,directory"));
    if (fd < 0) return errnoName(fd);
    let failed = 0;
    for (let at = 0; at < number(count) && failed >= 0; at++) {
      failed = files.mknodAt(fd, path(`comes-${at}`), fileTypes.regular | 0o644, 0);
      if (failed >= 0) failed = files.renameAt(fd, path(`comes-${at}`), fd, path(`goes-${at}`));
      if (failed >= 0) failed = files.unlinkAt(fd, path(`goes-${at}`));
    }
    files.close(fd);
    return done(failed);
  },
  /** How often each name that stays was met: once, whatever else came and went. */
  census: (held, [name]) => {
    const fd = files.openAt(files.AT_FDCWD, held.plain(name!), flagsOf(openFlags, "rdonly,directory"));
    if (fd < 0) return errnoName(fd);
    const entries = new DirectoryEntries(4096);
    const met = new Map<string, number>();
    while (entries.fill(fd) > 0) {
      while (entries.next()) {
        const entry = entries.name.toString("latin1");
        if (entry.startsWith("a-name-that-stays-")) met.set(entry, (met.get(entry) ?? 0) + 1);
      }
    }
    files.close(fd);
    const often = [...met].filter(([, times]) => times !== 1);
    return `${met.size} met${often.length === 0 ? ", each once" : `, ${often[0]![0]} ${often[0]![1]} times`}`;
  },
  /** All of it goes. */
  empty: (held, [name]) => {
    const fd = files.openAt(files.AT_FDCWD, held.plain(name!), flagsOf(openFlags, "rdonly,directory"));
    if (fd < 0) return errnoName(fd);
    const names = listing(fd);
    if (typeof names === "number") return errnoName(names);
    let failed = 0;
    for (const entry of names) {
      const [text] = entry.split(":");
      if (text !== "." && text !== ".." && failed >= 0) failed = files.unlinkAt(fd, path(text!));
    }
    files.close(fd);
    return done(failed);
  },

  // Attributes.
  stat: (held, args) => stated(held, args, 0),
  lstat: (held, args) => stated(held, args, files.AT_SYMLINK_NOFOLLOW),
  access: (held, [name, wanted]) => {
    const { at, path: p } = held.place(name!);
    return done(files.accessAt(at, p, flagsOf(program.access, wanted), 0));
  },
  eaccess: (held, [name, wanted]) => {
    const { at, path: p } = held.place(name!);
    return done(files.accessAt(at, p, flagsOf(program.access, wanted), files.AT_EACCESS));
  },
  chmod: (held, [name, bits]) => {
    const { at, path: p } = held.place(name!);
    return done(program.chmodAt(at, p, mode(bits), 0));
  },
  fchmod: (held, [name, bits]) => done(files.fchmod(held.fd(name!), mode(bits))),
  chown: (held, [name, uid, gid]) => {
    const { at, path: p, flags } = held.place(name!);
    return done(files.chownAt(at, p, number(uid) >>> 0, number(gid) >>> 0, flags));
  },
  lchown: (held, [name, uid, gid]) => {
    const { at, path: p, flags } = held.place(name!);
    return done(files.chownAt(at, p, number(uid) >>> 0, number(gid) >>> 0, flags | files.AT_SYMLINK_NOFOLLOW));
  },
  utimens: (held, [name, atime, mtime]) => {
    const { at, path: p, flags } = held.place(name!);
    return done(flags === 0 ? program.utimensAt(at, p, timesOf(atime!, mtime!), 0) : program.futimens(at, timesOf(atime!, mtime!)));
  },
  lutimens: (held, [name, atime, mtime]) => {
    const { at, path: p } = held.place(name!);
    return done(program.utimensAt(at, p, timesOf(atime!, mtime!), files.AT_SYMLINK_NOFOLLOW));
  },
  statfs: (held, [name]) => {
    const result = program.statfs(held.plain(name!), fsStat.bytes);
    return result < 0 ? errnoName(result) : `block ${fsStat.blockSize} of ${fsStat.blocks} names ${fsStat.nameLengthMax} fragment ${fsStat.fragmentSize}`;
  },
  statflags: (held, [name]) => {
    const { at, path: p, flags } = held.place(name!);
    const result = files.statAt(at, p, flags, stat);
    return result < 0 ? errnoName(result) : [[0x10, "immutable"], [0x20, "append"], [0x40, "nodump"]].filter(([bit]) => (stat.bytes.readBigUInt64LE(8) & BigInt(bit!)) !== 0n).map(([, word]) => word).join(" ") || "none";
  },

  // Extended attributes.
  setxattr: (held, [name, key, value, flags]) => done(files.setxattrOfPath(held.plain(name!), path(key!), content(value), flagsOf(attributeFlags, flags))),
  lsetxattr: (held, [name, key, value, flags]) => done(program.lsetxattr(held.plain(name!), path(key!), content(value), flagsOf(attributeFlags, flags))),
  fsetxattr: (held, [name, key, value, flags]) => done(files.fsetxattr(held.fd(name!), path(key!), content(value), flagsOf(attributeFlags, flags))),
  getxattr: (held, [name, key, size]) => {
    if (size === "0") return counted(files.getxattrOfPath(held.plain(name!), path(key!), Buffer.alloc(0)));
    return readInto(number(size, 65536), (buffer) => files.getxattrOfPath(held.plain(name!), path(key!), buffer));
  },
  lgetxattr: (held, [name, key]) => readInto(65536, (buffer) => program.lgetxattr(held.plain(name!), path(key!), buffer)),
  fgetxattr: (held, [name, key]) => readInto(65536, (buffer) => files.fgetxattr(held.fd(name!), path(key!), buffer)),
  listxattr: (held, [name, size]) => {
    if (size === undefined) return attributeNames((list) => files.listxattrOfPath(held.plain(name!), list));
    return counted(files.listxattrOfPath(held.plain(name!), Buffer.alloc(number(size))));
  },
  llistxattr: (held, [name]) => attributeNames((list) => program.llistxattr(held.plain(name!), list)),
  flistxattr: (held, [name]) => attributeNames((list) => files.flistxattr(held.fd(name!), list)),
  removexattr: (held, [name, key]) => done(files.removexattrOfPath(held.plain(name!), path(key!))),
  lremovexattr: (held, [name, key]) => done(program.lremovexattr(held.plain(name!), path(key!))),
  setacl: (held, [name, text, kind]) => done(files.setxattrOfPath(held.plain(name!), path(aclName(kind)), aclBytes(text!))),
  getacl: (held, [name, kind]) => {
    const value = Buffer.alloc(4096);
    const length = files.getxattrOfPath(held.plain(name!), path(aclName(kind)), value);
    return length < 0 ? errnoName(length) : aclText(value.subarray(0, length));
  },
  removeacl: (held, [name, kind]) => done(files.removexattrOfPath(held.plain(name!), path(aclName(kind)))),

  // Data.
  read: (held, [name, size]) => readInto(number(size, 65536), (buffer) => raw.read(held.fd(name!), buffer, 0, buffer.length)),
  pread: (held, [name, size, offset]) => readInto(number(size), (buffer) => program.pread(held.fd(name!), buffer, big(offset!))),
  readv: (held, [name, first, second]) => {
    const pieces = [Buffer.alloc(number(first)), Buffer.alloc(number(second))] as const;
    const length = program.readv(held.fd(name!), ...pieces);
    return length < 0 ? errnoName(length) : shownContent(Buffer.concat(pieces).subarray(0, length));
  },
  /** All of a file. */
  cat: (held, [name]) => {
    const { at, path: p } = held.place(name!);
    const fd = files.openAt(at, p, 0);
    if (fd < 0) return errnoName(fd);
    const pieces: Buffer[] = [];
    let length: number;
    do {
      const piece = Buffer.alloc(65536);
      length = raw.read(fd, piece, 0, piece.length);
      if (length > 0) pieces.push(piece.subarray(0, length));
    } while (length > 0);
    files.close(fd);
    return length < 0 ? errnoName(length) : shownContent(Buffer.concat(pieces));
  },
  write: (held, [name, data]) => {
    const text = content(data);
    return counted(raw.write(held.fd(name!), text, 0, text.length));
  },
  pwrite: (held, [name, data, offset]) => counted(program.pwrite(held.fd(name!), content(data), big(offset!))),
  writev: (held, [name, first, second]) => counted(program.writev(held.fd(name!), content(first), content(second))),
  pwritev2: (held, [name, data, offset, flags]) => {
    const text = content(data);
    return counted(files.pwritev2(held.fd(name!), text, 0, text.length, number(offset), flagsOf({ append: files.RWF_APPEND, dsync: files.RWF_DSYNC, sync: files.RWF_SYNC, nowait: 8, bad: 1 << 29 }, flags)));
  },
  lseek: (held, [name, offset, whence]) => counted(files.lseek(held.fd(name!), number(offset), { set: 0, cur: 1, end: 2, data: files.SEEK_DATA, hole: files.SEEK_HOLE, bad: 99 }[whence!] ?? -1)),
  truncate: (held, [name, size]) => done(program.truncate(held.plain(name!), big(size!))),
  ftruncate: (held, [name, size]) => done(program.ftruncate(held.fd(name!), big(size!))),
  fallocate: (held, [name, how, offset, length]) => done(program.fallocate(held.fd(name!), flagsOf(fallocateModes, how), big(offset!), big(length!))),
  copy_file_range: (held, [from, fromOffset, to, toOffset, length]) => counted(files.copyFileRange(held.fd(from!), number(fromOffset), held.fd(to!), number(toOffset), number(length))),
  sendfile: (held, [to, from, offset, length]) => counted(program.sendfile(held.fd(to!), held.fd(from!), number(offset), number(length))),
  /** What a file spliced into a pipe gives. */
  splice_out: (held, [from, offset, length]) => {
    const pipe = program.pipe();
    if (typeof pipe === "number") return errnoName(pipe);
    const moved = program.splice(held.fd(from!), number(offset), pipe[1], undefined, number(length));
    const found = moved <= 0 ? (moved < 0 ? errnoName(moved) : "nothing") : readInto(moved, (buffer) => raw.read(pipe[0], buffer, 0, buffer.length));
    for (const fd of pipe) files.close(fd);
    return found;
  },
  splice_in: (held, [to, offset, data]) => {
    const pipe = program.pipe();
    if (typeof pipe === "number") return errnoName(pipe);
    const text = content(data);
    raw.write(pipe[1], text, 0, text.length);
    const moved = program.splice(pipe[0], undefined, held.fd(to!), number(offset), text.length);
    for (const fd of pipe) files.close(fd);
    return counted(moved);
  },
  fsync: (held, [name]) => done(files.fsync(held.fd(name!))),
  fdatasync: (held, [name]) => done(files.fdatasync(held.fd(name!))),
  syncfs: (held, [name]) => done(files.syncfs(held.fd(name!))),
  sync_file_range: (held, [name, offset, length]) => done(program.syncFileRange(held.fd(name!), number(offset), number(length))),
  readahead: (held, [name, offset, length]) => done(program.readahead(held.fd(name!), number(offset), number(length))),
  fadvise: (held, [name, advice]) => done(program.fadvise(held.fd(name!), { normal: 0, random: 1, sequential: 2, willneed: 3, dontneed: 4 }[advice!] ?? 99)),
  getfl: (held, [name]) => {
    const flags = files.statusFlags(held.fd(name!));
    if (flags < 0) return errnoName(flags);
    const set = ["append", "direct", "nonblock", "noatime", "path"].filter((word) => (flags & flagsOf(openFlags, word)) !== 0);
    return [["rdonly", "wronly", "rdwr", "none"][flags & 3]!, ...set].join(",");
  },
  bad_read: (held, [name, size, offset]) => counted(program.preadTo(held.fd(name!), 16n, number(size), number(offset))),
  bad_write: (held, [name, size, offset]) => counted(program.pwriteFrom(held.fd(name!), 16n, number(size), number(offset))),
  preadv2: (held, [name, size, offset, flags]) => readInto(number(size), (buffer) => program.preadv2(held.fd(name!), buffer, number(offset), flagsOf({ nowait: 8 }, flags))),
  setfl: (held, [name, flags]) => done(files.setStatusFlags(held.fd(name!), flagsOf(openFlags, flags))),
  dup: (held, [name], as) => held.hold(as, files.dup(held.fd(name!))),
  /** Direct I/O of aligned memory. */
  direct_write: (held, [name, data, offset]) => {
    const at = program.map(-1, 0, 65536, program.protection.read | program.protection.write, program.MAP_PRIVATE | 0x20);
    if (typeof at === "number") return errnoName(at);
    const text = content(data);
    const result = poke(at, text);
    const written = result < 0 ? result : program.pwriteFrom(held.fd(name!), at, text.length, number(offset));
    program.unmap(at, 65536);
    return counted(written);
  },
  direct_read: (held, [name, size, offset]) => {
    const at = program.map(-1, 0, 65536, program.protection.read | program.protection.write, program.MAP_PRIVATE | 0x20);
    if (typeof at === "number") return errnoName(at);
    const length = program.preadTo(held.fd(name!), at, number(size), number(offset));
    const found = length <= 0 ? (length < 0 ? errnoName(length) : "nothing") : peek(at, length);
    program.unmap(at, 65536);
    return found;
  },

  // Mappings.
  mmap: (held, [name, kind, bits, offset, length], as) => {
    const protection = flagsOf({ r: program.protection.read, w: program.protection.write, x: program.protection.execute }, [...(bits ?? "r")].join(","));
    const at = program.map(held.fd(name!), number(offset), number(length), protection, kind === "shared" ? program.MAP_SHARED : program.MAP_PRIVATE);
    if (typeof at === "number") return errnoName(at);
    if (as === undefined) program.unmap(at, number(length));
    else held.maps.set(as, { at, length: number(length) });
    return "ok";
  },
  munmap: (held, [name]) => {
    const { at, length } = held.maps.get(name!)!;
    held.maps.delete(name!);
    return done(program.unmap(at, length));
  },
  load: (held, [name, offset, length]) => peek(held.maps.get(name!)!.at + big(offset!), number(length)),
  store: (held, [name, offset, data]) => done(poke(held.maps.get(name!)!.at + big(offset!), content(data))),
  msync: (held, [name]) => {
    const { at, length } = held.maps.get(name!)!;
    return done(program.syncMap(at, length));
  },
  mprotect: (held, [name, bits]) => {
    const { at, length } = held.maps.get(name!)!;
    return done(program.protect(at, length, flagsOf({ r: 1, w: 2, x: 4 }, [...bits!].join(","))));
  },

  // Programs.
  exec: (_, [name, ...args]) => {
    const { status, signal, error } = spawnSync(name!, args, { stdio: "ignore" });
    const code = (error as NodeJS.ErrnoException | undefined)?.code;
    return code ?? (signal === null ? `exit ${status}` : String(signal));
  },
  /** A program of this system, copied to be executed. */
  copy: (held, [from, to, bits]) => {
    const source = files.openAt(files.AT_FDCWD, from!, 0);
    files.fstat(source, stat);
    const data = Buffer.alloc(stat.size);
    raw.read(source, data, 0, data.length);
    files.close(source);
    const fd = files.openAt(files.AT_FDCWD, held.plain(to!), flagsOf(openFlags, "wronly,creat,trunc"), mode(bits));
    if (fd < 0) return errnoName(fd);
    let written = 0;
    for (let last = 1; written < data.length && last > 0; written += Math.max(last, 0)) last = raw.write(fd, data, written, data.length - written);
    files.close(fd);
    return written === data.length ? "ok" : `wrote ${written}`;
  },

  // Locks.
  flock: (held, [name, kind, wait]) => done(program.flock(held.fd(name!), (program.flockKinds[kind as "shared"] ?? 64) | (wait === "wait" ? 0 : program.FLOCK_NO_WAIT))),
  lock: (held, [name, ...range]) => done(program.lock(held.fd(name!), range[3] === "wait" ? program.lockCommands.setWaiting : program.lockCommands.set, lockRequest(range))),
  ofdlock: (held, [name, ...range]) => done(program.lock(held.fd(name!), range[3] === "wait" ? program.lockCommands.setOfOpenFileWaiting : program.lockCommands.setOfOpenFile, lockRequest(range))),
  getlock: (held, [name, ...range]) => {
    const request = lockRequest(range);
    const result = program.lock(held.fd(name!), range[3] === "ofd" ? program.lockCommands.getOfOpenFile : program.lockCommands.get, request);
    return result < 0 ? errnoName(result) : conflictText(request);
  },

  /** Waits for a name that another program makes. */
  appears: (held, [name]) => {
    const never = new Int32Array(new SharedArrayBuffer(4));
    for (let look = 0; look < 4_000; look++) {
      if (files.statAt(files.AT_FDCWD, held.plain(name!), 0, stat) === 0) return "ok";
      Atomics.wait(never, 0, 0, 10);
    }
    return "never";
  },

  // The process.
  limit: (_, [size]) => done(program.limitFileSize(size === "none" ? undefined : number(size))),
  /** FS_IOC_GETFLAGS and FS_IOC_SETFLAGS. */
  getflags: (held, [name]) => {
    const value = Buffer.alloc(8);
    const result = raw.ioctl(held.fd(name!), 0x80086601, value);
    return result < 0 ? errnoName(result) : [[0x10, "immutable"], [0x20, "append"], [0x40, "nodump"], [0x80, "noatime"]].filter(([bit]) => (value.readUInt32LE(0) & Number(bit)) !== 0).map(([, word]) => word).join(" ") || "none";
  },
  setflags: (held, [name, words]) => {
    const value = Buffer.alloc(8);
    const result = raw.ioctl(held.fd(name!), 0x80086601, value);
    if (result < 0) return errnoName(result);
    const others = value.readUInt32LE(0) & ~0xf0;
    value.writeUInt32LE((others | flagsOf({ immutable: 0x10, append: 0x20, nodump: 0x40, noatime: 0x80, none: 0 }, words)) >>> 0, 0);
    return done(raw.ioctl(held.fd(name!), 0x40086602, value));
  },
  /** FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR: flags, project and hints. */
  getfsx: (held, [name]) => {
    const value = Buffer.alloc(28);
    const result = raw.ioctl(held.fd(name!), 0x801c581f, value);
    return result < 0 ? errnoName(result) : `flags ${value.readUInt32LE(0)} project ${value.readUInt32LE(12)}`;
  },
  setfsx: (held, [name, project]) => {
    const value = Buffer.alloc(28);
    const result = raw.ioctl(held.fd(name!), 0x801c581f, value);
    value.writeUInt32LE(number(project), 12);
    return done(result < 0 ? result : raw.ioctl(held.fd(name!), 0x401c5820, value));
  },
  fiemap: (held, [name]) => {
    const map = Buffer.alloc(32 + 56);
    map.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 8);
    map.writeUInt32LE(1, 24);
    const result = raw.ioctl(held.fd(name!), 0xc020660b, map);
    return result < 0 ? errnoName(result) : `${map.readUInt32LE(20)} extents`;
  },
  ioctl: (held, [name, request]) => done(raw.ioctl(held.fd(name!), Number(request), Buffer.alloc(256))),
};

/** A store into memory that may fault: the kernel copies, and says -EFAULT in place of a signal. */
function poke(at: bigint, data: Buffer): number {
  const between = program.memoryFile();
  raw.write(between, data, 0, data.length);
  const result = program.preadTo(between, at, data.length, 0);
  files.close(between);
  return result < 0 ? result : result === data.length ? 0 : -errno.EFAULT;
}
function peek(at: bigint, length: number): string {
  const between = program.memoryFile();
  const result = program.pwriteFrom(between, at, length, 0);
  const data = Buffer.alloc(Math.max(result, 0));
  program.pread(between, data, 0);
  files.close(between);
  return result < 0 ? errnoName(result) : `${shownContent(data)}${result < length ? " EFAULT" : ""}`;
}

/** Reads it entry by entry: of every so-many-th the number of the inode, and where its place leads. */
function entriesAgree(fd: number, apart: number): string {
  const entries = new DirectoryEntries(4096);
  const seen: { name: string; place: bigint }[] = [];
  while (entries.fill(fd) > 0) {
    while (entries.next()) {
      const name = entries.name.toString("latin1");
      seen.push({ name, place: entries.cookie });
      if (seen.length % apart !== 0 || name === "..") continue;
      if (files.statAt(fd, path(name), files.AT_SYMLINK_NOFOLLOW, stat) < 0) return `${name} is not there`;
      if (stat.ino !== entries.ino) return `${name} is ${stat.ino}, listed as ${entries.ino}`;
    }
  }
  for (const [at, { place }] of seen.entries()) {
    if (at % apart !== 0) continue;
    if (seekDirectory(fd, place) < 0) return "cannot seek";
    const next = entries.fill(fd) > 0 && entries.next() ? entries.name.toString("latin1") : undefined;
    if (next !== seen[at + 1]?.name) return `after ${seen[at]!.name} came ${seen[at + 1]?.name}, now ${next}`;
  }
  return `${seen.length} agree`;
}
