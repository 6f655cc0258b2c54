/**
 * Attaching a managed file system's backing directory: what must hold before it is served, and what is ours in it.
 *
 * `.sluice/` in the backing root is hidden from users: `fs.json` (file system id, event list of the file system), `meta/`
 * (spill files of records), `lock` (record locks of objects that cannot carry the guard, and the lock of fs.json).
 *
 * Owns      the checks, fs.json, the volume's descriptors.
 * Not here  what the backing can do (probe.ts).
 * Source    safety H4, H15, M1.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { isCount } from "../base/shape.js";
import { codeOf, DmError } from "../dmapi/errors.js";
import type { FsName, Handle } from "../dmapi/ids.js";
import { errno, errnoName } from "../os/errno.js";
import * as files from "../os/files.js";
import { LockRequest, setLockWaiting } from "../os/locks.js";
import { FileStat } from "../os/stat.js";
import { DirectoryEntries } from "../os/directory.js";
import { Handles } from "./handles.js";

export const OWN_DIRECTORY = ".sluice";
const DOCUMENT = "fs.json";
const LOCK = "lock";
const FORMAT = 1;

export interface AttachOptions {
  readonly fs: FsName;
  readonly backing: string;
  /** Hexadecimal, 32 bytes. */
  readonly clusterKey: string;
  /** What the cluster knows this file system by; anything else at its place, an empty directory say, is not it. */
  readonly fsid?: string;
}
/** A volume as plain data: its descriptors are valid in every thread of the process. */
export interface VolumeParts extends Omit<AttachOptions, "fsid"> {
  readonly fsid: string;
  readonly rootFd: number;
  readonly ownFd: number;
  readonly metaFd: number;
}
export interface FsDocument {
  readonly format: number;
  /** 16 hexadecimal digits, chosen once. */
  readonly fsid: string;
  readonly eventList: number;
}

/** The volume in one thread. */
export class Volume {
  readonly parts: VolumeParts;
  readonly handles: Handles;

  constructor(parts: VolumeParts) {
    this.parts = parts;
    this.handles = new Handles({ clusterKey: parts.clusterKey, fsid: parts.fsid, mountFd: parts.rootFd });
  }
  get rootHandle(): Handle {
    const handle = this.handles.ofDescriptor(this.parts.rootFd);
    if (typeof handle === "number") throw refusal(this.parts.backing, "its root has no handle any more", -handle);
    return handle;
  }
  close(): void {
    for (const fd of [this.parts.metaFd, this.parts.ownFd, this.parts.rootFd]) files.close(fd);
  }
}

/** Blocks on the volume. @throws DmError naming the backing, what was found, and what is allowed. */
export function attach(asked: AttachOptions): { readonly volume: Volume; readonly document: FsDocument } {
  if (!isAbsolute(asked.backing)) throw refusal(asked.backing, "not an absolute path", errno.EINVAL);
  const options = { ...asked, backing: resolve(asked.backing) };
  refuseOwnMount(options.backing);
  const rootFd = files.openAt(files.AT_FDCWD, options.backing, files.open.readOnly | files.open.directory | files.open.noFollow);
  if (rootFd < 0) throw refusal(options.backing, missing(rootFd), -rootFd);
  const opened: number[] = [rootFd];
  try {
    if (options.fsid !== undefined) refuseAnother(options.fs, options.backing, rootFd, options.fsid);
    checkRoot(options.backing, rootFd);
    const ownFd = ownDirectory(options.backing, rootFd, OWN_DIRECTORY, opened);
    const metaFd = ownDirectory(options.backing, ownFd, "meta", opened);
    const document = establishDocument(options.backing, ownFd);
    const volume = new Volume({ ...options, fsid: document.fsid, rootFd, ownFd, metaFd });
    if (typeof volume.handles.ofDescriptor(rootFd) === "number") {
      throw refusal(options.backing, "its file system has no persistent file handles; ext4, xfs, btrfs and CephFS have", errno.EOPNOTSUPP);
    }
    removeOrphans(volume);
    return { volume, document };
  } catch (failure) {
    for (const fd of opened.reverse()) files.close(fd);
    throw failure;
  }
}

/** What is beneath a file system that is not mounted just now must not be taken for it, nor become one. */
function refuseAnother(fs: FsName, backing: string, rootFd: number, wanted: string): void {
  const found = fsidIn(backing, rootFd);
  if (found === wanted) return;
  const is = found === undefined ? `has no ${OWN_DIRECTORY}/${DOCUMENT}` : `is file system ${found}`;
  throw refusal(backing, `${is}, and ${fs} of this cluster is file system ${wanted}: is it mounted? Where another is meant to take the name: remove file-systems/${fs} from the coordination directory`, errno.ESTALE);
}
function fsidIn(backing: string, rootFd: number): string | undefined {
  const ownFd = files.openAt(rootFd, OWN_DIRECTORY, files.open.readOnly | files.open.directory | files.open.noFollow);
  if (ownFd === -errno.ENOENT) return undefined;
  if (ownFd < 0) throw refusal(backing, `${OWN_DIRECTORY} cannot be opened (${errnoName(ownFd)})`, -ownFd);
  try {
    return readDocument(backing, ownFd)?.fsid;
  } finally {
    files.close(ownFd);
  }
}

/**
 * What is wrong with a backing that is served, in words, and what to do: it answers no more, was unmounted, or is mounted anew
 * beside what this daemon has open of it. Undefined: nothing. Blocks on the volume.
 */
export function troubleOf({ backing, fsid, rootFd, ownFd }: VolumeParts): string | undefined {
  const open = answers(() => readDocument(backing, ownFd) === undefined ? "it has lost its .sluice" : undefined);
  const there = answers(() => {
    refuseOwnMount(backing);
    const fd = files.openAt(files.AT_FDCWD, backing, files.open.readOnly | files.open.directory | files.open.noFollow);
    if (fd < 0) return missing(fd);
    try {
      if (isSameDirectory(fd, rootFd)) return undefined;
      return fsidIn(backing, fd) === fsid ? MOUNTED_ANEW : NOT_MOUNTED;
    } finally {
      files.close(fd);
    }
  }, true);
  if (open === undefined && there === undefined) return undefined;
  const users = open === undefined ? "users go on with what this daemon has open of it" : `users get its errors (${open})`;
  if (there === MOUNTED_ANEW) return `the backing ${backing} is there again, and this daemon has the former one open: ${users}. Restart the daemon (sluice cluster restart, or SIGUSR2 and a start): its mounts stay`;
  if (there === NOT_MOUNTED) return `the backing ${backing} is not mounted any more: ${users}. Mount it again, then restart the daemon; until then do not, it would not start`;
  return `the backing ${backing} fails: ${users}${there === undefined || there === open ? "" : `; its path: ${there}`}`;
}
const MOUNTED_ANEW = "mounted anew";
const NOT_MOUNTED = "not mounted";
/** @param mayRefuse whoever is in the way is none of the backing's fault: its own mount over its path. */
function answers(look: () => string | undefined, mayRefuse = false): string | undefined {
  try {
    return look();
  } catch (failure) {
    if (!(failure instanceof DmError)) throw failure;
    return mayRefuse && failure.code === "EBUSY" ? undefined : failure.message;
  }
}
function isSameDirectory(one: number, other: number): boolean {
  const [a, b] = [new FileStat(), new FileStat()];
  if (files.fstat(one, a) < 0 || files.fstat(other, b) < 0) return false;
  return a.dev === b.dev && a.ino === b.ino;
}

function refusal(backing: string, found: string, code: number): DmError {
  return new DmError(codeOf(code), "attach", `backing ${backing}: ${found}`);
}
function missing(result: number): string {
  if (result === -errno.ENOENT) return "no such directory";
  if (result === -errno.ENOTDIR || result === -errno.ELOOP) return "not a directory (a symbolic link is not followed)";
  return `cannot be opened (${errnoName(result)})`;
}

/** Looking at a path under our own mount would wait for ourselves (safety M1), so the table of mounts is asked instead. */
function refuseOwnMount(backing: string): void {
  let best = { point: "", type: "" };
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const [left, right] = line.split(" - ");
    const point = left?.split(" ")[4]?.replaceAll(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
    if (point === undefined || right === undefined) continue;
    const isAbove = backing === point || backing.startsWith(point === "/" ? "/" : `${point}/`);
    if (isAbove && point.length >= best.point.length) best = { point, type: right.split(" ")[0]! };
  }
  if (best.type === "fuse.sluice") throw refusal(backing, `lies under the managed mount ${best.point}; name the directory beneath it before it is mounted`, errno.EBUSY);
}

function checkRoot(backing: string, rootFd: number): void {
  const stat = new FileStat();
  const result = files.fstat(rootFd, stat);
  if (result < 0) throw refusal(backing, `cannot be looked at (${errnoName(result)})`, -result);
  const owner = process.geteuid?.() ?? 0;
  if (stat.uid !== owner) throw refusal(backing, `its owner is user ${stat.uid}; it must be ${owner === 0 ? "root" : `user ${owner}`}, since whoever reads it directly reads zeros`, errno.EPERM);
  if ((stat.mode & 0o7777) !== 0o700) {
    throw refusal(backing, `its mode is 0${(stat.mode & 0o7777).toString(8)}; it must be 0700, since whoever reads it directly reads zeros (chmod 0700 ${backing})`, errno.EPERM);
  }
}

function ownDirectory(backing: string, parent: number, name: string, opened: number[]): number {
  const made = files.mkdirAt(parent, name, 0o700);
  if (made < 0 && made !== -errno.EEXIST) throw refusal(backing, `${name} cannot be made (${errnoName(made)})`, -made);
  const fd = files.openAt(parent, name, files.open.readOnly | files.open.directory | files.open.noFollow);
  if (fd < 0) throw refusal(backing, `${name} cannot be opened (${errnoName(fd)})`, -fd);
  opened.push(fd);
  if (made === 0) files.fsync(parent);
  return fd;
}

/** Read, or made by whoever comes first: a complete, synced file is linked to the name. */
function establishDocument(backing: string, ownFd: number): FsDocument {
  for (let attempt = 0; attempt < 3; attempt++) {
    const present = readDocument(backing, ownFd);
    if (present !== undefined) return present;
    const fresh: FsDocument = { format: FORMAT, fsid: randomBytes(8).toString("hex"), eventList: 0 };
    const temporary = writeTemporary(backing, ownFd, fresh);
    const linked = files.linkAt(ownFd, temporary, ownFd, DOCUMENT);
    files.unlinkAt(ownFd, temporary);
    if (linked < 0 && linked !== -errno.EEXIST) throw refusal(backing, `${OWN_DIRECTORY}/${DOCUMENT} cannot be made (${errnoName(linked)})`, -linked);
    files.fsync(ownFd);
  }
  throw refusal(backing, `${OWN_DIRECTORY}/${DOCUMENT} comes and goes`, errno.EIO);
}

/** undefined: there is none. @throws DmError when it cannot be read or is damaged. */
export function readDocument(backing: string, ownFd: number): FsDocument | undefined {
  const fd = files.openAt(ownFd, DOCUMENT, files.open.readOnly | files.open.noFollow);
  if (fd === -errno.ENOENT) return undefined;
  if (fd < 0) throw refusal(backing, `${OWN_DIRECTORY}/${DOCUMENT} cannot be opened (${errnoName(fd)})`, -fd);
  const bytes = Buffer.alloc(4096);
  const length = files.pread(fd, bytes, 0, bytes.length, 0);
  files.close(fd);
  if (length < 0) throw refusal(backing, `${OWN_DIRECTORY}/${DOCUMENT} cannot be read (${errnoName(length)})`, -length);
  const document = parseDocument(bytes.toString("utf8", 0, length));
  if (document === undefined) throw refusal(backing, `${OWN_DIRECTORY}/${DOCUMENT} is damaged or of another version; restore it, its fsid stands in every handle`, errno.EIO);
  return document;
}
/** Undefined when it is damaged or of another version. */
export function parseDocument(text: string): FsDocument | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { format, fsid, eventList } = value as Partial<FsDocument>;
  if (format !== FORMAT || typeof fsid !== "string" || !/^[0-9a-f]{16}$/.test(fsid) || !isCount(eventList)) return undefined;
  return { format, fsid, eventList: eventList! };
}
function writeTemporary(backing: string, ownFd: number, document: FsDocument): string {
  const name = `${DOCUMENT}.${randomBytes(6).toString("hex")}`;
  const fd = files.openAt(ownFd, name, files.open.writeOnly | files.open.create | files.open.exclusive, 0o600);
  if (fd < 0) throw refusal(backing, `${OWN_DIRECTORY}/${name} cannot be made (${errnoName(fd)})`, -fd);
  const bytes = Buffer.from(`${JSON.stringify(document)}\n`);
  const written = files.pwrite(fd, bytes, 0, bytes.length, 0);
  const synced = files.fsync(fd);
  files.close(fd);
  if (written === bytes.length && synced >= 0) return name;
  files.unlinkAt(ownFd, name);
  const failed = written < 0 ? written : synced < 0 ? synced : -errno.ENOSPC;
  throw refusal(backing, `${OWN_DIRECTORY}/${name} cannot be written (${errnoName(failed)})`, -failed);
}

/** The event list of the file system, changed as one; all nodes take turns. */
export function changeDocument(volume: Volume, change: (old: FsDocument) => FsDocument): FsDocument {
  const { backing, ownFd } = volume.parts;
  const lockFd = takeRecordLock(volume, 0n);
  try {
    const old = readDocument(backing, ownFd);
    if (old === undefined) throw refusal(backing, `${OWN_DIRECTORY}/${DOCUMENT} is gone`, errno.ENOENT);
    const next = change(old);
    const temporary = writeTemporary(backing, ownFd, next);
    const renamed = files.renameAt(ownFd, temporary, ownFd, DOCUMENT);
    if (renamed < 0) {
      files.unlinkAt(ownFd, temporary);
      throw refusal(backing, `${OWN_DIRECTORY}/${DOCUMENT} cannot be replaced (${errnoName(renamed)})`, -renamed);
    }
    files.fsync(ownFd);
    return next;
  } finally {
    files.close(lockFd);
  }
}

/**
 * The internal right to write the record of an object that cannot carry the guard (directories, links): a write lock on one
 * byte of `.sluice/lock`. Byte 0 is fs.json's. Held until the descriptor is closed; such holders are quick.
 */
export function takeRecordLock(volume: Volume, byte: bigint): number {
  const fd = files.openAt(volume.parts.ownFd, LOCK, files.open.readWrite | files.open.create | files.open.noFollow, 0o600);
  if (fd < 0) throw refusal(volume.parts.backing, `${OWN_DIRECTORY}/${LOCK} cannot be opened (${errnoName(fd)})`, -fd);
  const request = new LockRequest();
  for (;;) {
    const result = setLockWaiting(fd, request.fill("write", byte, 1n));
    if (result >= 0) return fd;
    if (result === -errno.EINTR) continue;
    files.close(fd);
    throw refusal(volume.parts.backing, `${OWN_DIRECTORY}/${LOCK} cannot be locked (${errnoName(result)})`, -result);
  }
}

/** Spill files of objects that are gone; a handle never comes back, so nobody can be making one of them. */
function removeOrphans(volume: Volume): void {
  const names: string[] = [];
  const entries = new DirectoryEntries();
  while (entries.fill(volume.parts.metaFd) > 0) while (entries.next()) if (!entries.isDotOrDotDot) names.push(entries.name.toString("latin1"));
  for (const name of names) {
    const own = /^([0-9a-f]{16,})\.\d+$/.exec(name)?.[1];
    if (own === undefined) continue;
    const kernel = { type: Buffer.from(own.slice(0, 8), "hex").readInt32LE(0), bytes: Buffer.from(own.slice(8), "hex") };
    const fd = files.openByHandle(volume.parts.rootFd, kernel, files.open.path);
    if (fd === -errno.ESTALE) files.unlinkAt(volume.parts.metaFd, name);
    else if (fd >= 0) files.close(fd);
  }
}

/** A name that users never see or touch in the backing root. */
export function isOwnName(name: Buffer): boolean {
  return name.length === OWN_DIRECTORY.length && name.toString("latin1") === OWN_DIRECTORY;
}
