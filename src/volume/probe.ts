/**
 * What a backing can do, found by trying it at mount (never guessed from its name), in a record that `doctor` prints.
 *
 * Every trial works in a directory of its own below `.sluice/` and removes it. It shows what holds on this machine; that
 * locks and attributes hold *between* machines is tried when a second node mounts.
 *
 * Source    blueprint 6; safety C1, M13; engines 4.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { errno, errnoName } from "../os/errno.js";
import * as files from "../os/files.js";
import { LockRequest, setLock } from "../os/locks.js";
import { FileStat, FileSystemStat } from "../os/stat.js";
import { RECORD_INLINE_MAX } from "./record-codec.js";

export interface ProbeRecord {
  readonly fileSystem: string;
  readonly isLocal: boolean;
  readonly blockSize: number;
  readonly punchHole: boolean;
  /** Allocated blocks fall when a hole is punched. */
  readonly blocksAreTrue: boolean;
  readonly seekHole: boolean;
  readonly handles: boolean;
  readonly locksExclude: boolean;
  readonly locksSurviveStop: boolean;
  /** Longest trusted attribute, up to 64 KiB. */
  readonly attributeBytes: number;
  readonly nanosecondTimes: boolean;
  /** Two writes one after the other have different times. */
  readonly distinctTimes: boolean;
  /** What one descriptor sets, another sees at once, also one opened before. */
  readonly attributesAreFresh: boolean;
  /** Of two who make a name or take one away, by O_EXCL, link or rename, one alone succeeds. */
  readonly namesExclude: boolean;
  /** A lease is granted to who alone has a file open, and to nobody else. */
  readonly leases: boolean;
  readonly renameNoReplace: boolean;
  readonly renameExchange: boolean;
}

const localTypes: Readonly<Record<number, string>> = {
  0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs", 0xf2f52010: "f2fs", 0x2fc12fc1: "zfs", 0xca451a4e: "bcachefs",
};
const otherTypes: Readonly<Record<number, string>> = {
  0x6969: "nfs", 0x00c36400: "ceph", 0x0bd00bd0: "lustre", 0x65735546: "fuse", 0x19830326: "beegfs", 0x47504653: "gpfs", 0x794c7630: "overlayfs", 0xfe534d42: "smb2", 0xff534d42: "cifs",
};

/** What stands in the way of managing this backing at all, one sentence each; none: it can be managed. */
export function refusals(record: ProbeRecord): string[] {
  const found: string[] = [];
  if (!record.handles) found.push("no persistent file handles: objects could not be named");
  if (!record.locksExclude) found.push("open-file locks do not exclude each other: nothing could guard the data");
  if (!record.locksSurviveStop) found.push("a stopped process loses its locks: a late writer could destroy data");
  if (record.attributeBytes < RECORD_INLINE_MAX) found.push(`trusted attributes of ${RECORD_INLINE_MAX} bytes are needed, ${record.attributeBytes} fit`);
  if (!record.attributesAreFresh) found.push("an attribute that was set is not seen at once: records and marks would be stale");
  if (!record.namesExclude) found.push("two can make or take the same name: what is made once would be made twice");
  return found;
}
/** What works less well than it could. */
export function degradations(record: ProbeRecord): string[] {
  const found: string[] = [];
  if (!record.punchHole) found.push("holes cannot be punched: files can be copied to the store but free no space");
  else if (!record.blocksAreTrue) found.push("allocated blocks do not fall after a punch: du shows migrated files as full");
  if (!record.seekHole) found.push("holes cannot be found again: allocation is reported as all resident");
  if (!record.nanosecondTimes) found.push("times have no nanoseconds: a recalled file's times are rounded");
  if (!record.distinctTimes) found.push("two quick writes can have the same time: no pages are kept, mode fast works as exact");
  if (record.isLocal && !record.leases) found.push("no leases: files of mode fast are page-cached, since whether the kernel still uses one could not be told");
  if (!record.renameExchange) found.push("files cannot be exchanged by rename");
  return found;
}
export function describeProbe(record: ProbeRecord): string {
  const lines = Object.entries(record).map(([name, value]) => `  ${name.padEnd(18)} ${typeof value === "boolean" ? (value ? "yes" : "no") : value}`);
  const remarks = [...refusals(record).map((text) => `  refused: ${text}`), ...degradations(record).map((text) => `  less: ${text}`)];
  return [...lines, ...remarks].join("\n");
}

/** The same for a directory by its path, for those who ask before it is served. */
export async function probeDirectory(path: string): Promise<ProbeRecord> {
  const fd = files.openAt(files.AT_FDCWD, path, files.open.readOnly | files.open.directory);
  if (fd < 0) throw new Error(`${path} cannot be opened: ${errnoName(fd)}`);
  try {
    return await probe(fd);
  } finally {
    files.close(fd);
  }
}

/** `ownFd`: the `.sluice` directory of the backing, or any directory on it. Blocks; takes some ten milliseconds. */
export async function probe(ownFd: number): Promise<ProbeRecord> {
  const name = `probe.${randomBytes(6).toString("hex")}`;
  const made = files.mkdirAt(ownFd, name, 0o700);
  if (made < 0) throw new Error(`a directory for trials cannot be made: ${errnoName(made)}`);
  const directory = files.openAt(ownFd, name, files.open.readOnly | files.open.directory);
  try {
    return await trials(directory);
  } finally {
    for (const entry of ["data", "locks", ...names]) files.unlinkAt(directory, entry);
    files.close(directory);
    files.unlinkAt(ownFd, name, files.AT_REMOVEDIR);
  }
}

async function trials(directory: number): Promise<ProbeRecord> {
  const volume = new FileSystemStat();
  files.fstatfs(directory, volume.bytes);
  const local = localTypes[volume.type];
  const fd = files.openAt(directory, "data", files.open.readWrite | files.open.create, 0o600);
  if (fd < 0) throw new Error(`a file for trials cannot be made: ${errnoName(fd)}`);
  try {
    const stat = new FileStat();
    files.fstat(fd, stat);
    return {
      fileSystem: local ?? otherTypes[volume.type] ?? `0x${volume.type.toString(16)}`, isLocal: local !== undefined, blockSize: stat.blockSize,
      ...tryHoles(fd, stat), handles: tryHandles(directory, fd), ...(await tryLocks(directory)), attributeBytes: longestAttribute(fd),
      attributesAreFresh: tryAttributes(directory, fd), ...tryTimes(fd, stat), namesExclude: tryNames(directory), leases: tryLeases(directory, fd), ...tryRenames(directory),
    };
  } finally {
    files.close(fd);
  }
}

const DATA_LENGTH = 256 * 1024;
function tryHoles(fd: number, stat: FileStat): Pick<ProbeRecord, "punchHole" | "blocksAreTrue" | "seekHole"> {
  const data = Buffer.alloc(DATA_LENGTH, 0xa5);
  if (files.pwrite(fd, data, 0, DATA_LENGTH, 0) !== DATA_LENGTH || files.fsync(fd) < 0) return { punchHole: false, blocksAreTrue: false, seekHole: false };
  files.fstat(fd, stat);
  const before = stat.blocks;
  const half = DATA_LENGTH / 2;
  const punched = files.fallocate(fd, files.FALLOC_PUNCH_HOLE | files.FALLOC_KEEP_SIZE, 0, half) === 0 && files.fsync(fd) === 0;
  files.pread(fd, data, 0, DATA_LENGTH, 0);
  files.fstat(fd, stat);
  const readsZero = data.subarray(0, half).every((byte) => byte === 0) && data.subarray(half).every((byte) => byte === 0xa5);
  return {
    punchHole: punched && readsZero && stat.size === DATA_LENGTH, blocksAreTrue: punched && before > 0 && stat.blocks <= before / 2 + 16,
    seekHole: punched && files.lseek(fd, 0, files.SEEK_DATA) === half && files.lseek(fd, 0, files.SEEK_HOLE) === 0,
  };
}

function tryHandles(directory: number, fd: number): boolean {
  const handle = files.nameToHandle(fd, "", files.AT_EMPTY_PATH);
  if (typeof handle === "number") return false;
  const again = files.openByHandle(directory, handle, files.open.readOnly);
  if (again < 0) return false;
  const second = files.nameToHandle(again, "", files.AT_EMPTY_PATH);
  files.close(again);
  return typeof second !== "number" && second.type === handle.type && second.bytes.equals(handle.bytes);
}

const LOCK_START = 1n << 62n;
/** A stopped process that inherited a locked descriptor: the lock must stand, and go when it is killed. */
async function tryLocks(directory: number): Promise<Pick<ProbeRecord, "locksExclude" | "locksSurviveStop">> {
  const request = new LockRequest();
  const holder = files.openAt(directory, "locks", files.open.readWrite | files.open.create, 0o600);
  const rival = files.openAt(directory, "locks", files.open.readWrite);
  const isRefused = () => setLock(rival, request.fill("write", LOCK_START, 1024n)) === -errno.EAGAIN;
  try {
    if (setLock(holder, request.fill("read", LOCK_START, 1024n)) < 0 || !isRefused()) {
      files.close(holder);
      return { locksExclude: false, locksSurviveStop: false };
    }
    const child = spawn("sleep", ["60"], { stdio: ["ignore", "ignore", "ignore", holder] });
    const gone = new Promise<void>((done) => {
      child.once("exit", () => done());
      child.once("error", () => done());
    });
    files.close(holder);
    if (child.pid !== undefined) process.kill(child.pid, "SIGSTOP");
    const survives = child.pid !== undefined && isRefused();
    child.kill("SIGKILL");
    await gone;
    return { locksExclude: !isRefused(), locksSurviveStop: survives };
  } finally {
    files.close(rival);
  }
}

function longestAttribute(fd: number): number {
  let fits = 0;
  for (const size of [64, 1024, RECORD_INLINE_MAX, 3072, 4000, 8192, 16384, 32768, 65536]) {
    if (files.fsetxattr(fd, attribute, Buffer.alloc(size, 1)) < 0) break;
    fits = size;
  }
  files.fremovexattr(fd, attribute);
  return fits;
}

const attribute = "trusted.sluice.probe";
/** Set, replaced and removed through one descriptor, read through an older and a fresh one. */
function tryAttributes(directory: number, fd: number): boolean {
  const older = files.openAt(directory, "data", files.open.readOnly);
  const seen = (through: number) => {
    const value = Buffer.alloc(16);
    const length = files.fgetxattr(through, attribute, value);
    return length < 0 ? length : value.toString("latin1", 0, length);
  };
  const isSeen = (wanted: string | number) => {
    const fresh = files.openAt(directory, "data", files.open.readOnly);
    const all = [fd, older, fresh].map(seen);
    files.close(fresh);
    return all.every((value) => value === wanted);
  };
  try {
    for (const value of ["first", "second, longer", "third"]) {
      if (files.fsetxattr(fd, attribute, Buffer.from(value)) < 0 || !isSeen(value)) return false;
    }
    return files.fremovexattr(fd, attribute) >= 0 && isSeen(-errno.ENODATA);
  } finally {
    files.close(older);
  }
}

/** While somebody else has the file open there is none. Given back before anybody could break it. */
function tryLeases(directory: number, fd: number): boolean {
  const isGranted = () => files.setLease(fd, "write") >= 0 && files.setLease(fd, "unlock") >= 0;
  if (!isGranted()) return false;
  const other = files.openAt(directory, "data", files.open.readOnly);
  const isRefused = !isGranted();
  files.close(other);
  return isRefused && isGranted();
}

const names = ["a", "b", "c", "d"];
/** One after the other, by descriptors of their own: the second of two always fails. */
function tryNames(directory: number): boolean {
  const create = () => files.openAt(directory, "c", files.open.writeOnly | files.open.create | files.open.exclusive, 0o600);
  const made = create();
  if (made < 0) return false;
  files.close(made);
  const again = create();
  if (again >= 0) files.close(again);
  const isMadeOnce = again === -errno.EEXIST;
  const isLinkedOnce = files.linkAt(directory, "c", directory, "d") >= 0 && files.linkAt(directory, "c", directory, "d") === -errno.EEXIST;
  const isTakenOnce = files.renameAt(directory, "c", directory, "a") >= 0 && files.renameAt(directory, "c", directory, "b") === -errno.ENOENT;
  return isMadeOnce && isLinkedOnce && isTakenOnce;
}

function tryTimes(fd: number, stat: FileStat): Pick<ProbeRecord, "nanosecondTimes" | "distinctTimes"> {
  const time = 1_234_567_890_123_456_789n;
  files.futimens(fd, time, time);
  files.fstat(fd, stat);
  const nanosecondTimes = stat.mtimeNs === time;
  const seen = new Set<bigint>();
  const byte = Buffer.from([1]);
  for (let index = 0; index < 8; index++) {
    files.pwrite(fd, byte, 0, 1, index);
    files.fstat(fd, stat);
    seen.add(stat.mtimeNs);
  }
  return { nanosecondTimes, distinctTimes: seen.size === 8 };
}

function tryRenames(directory: number): Pick<ProbeRecord, "renameNoReplace" | "renameExchange"> {
  for (const name of ["a", "b"]) {
    const fd = files.openAt(directory, name, files.open.writeOnly | files.open.create, 0o600);
    if (fd >= 0) files.close(fd);
  }
  return {
    renameNoReplace: files.renameAt(directory, "a", directory, "b", files.RENAME_NOREPLACE) === -errno.EEXIST,
    renameExchange: files.renameAt(directory, "a", directory, "b", files.RENAME_EXCHANGE) === 0,
  };
}
