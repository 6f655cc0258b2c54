/**
 * What a daemon sets and looks at on its machine before it serves: privileges, limits, kernel settings that would hurt
 * users later, mounts that a dead daemon left.
 *
 * Source    safety M1, M5, M6.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { basename, dirname, join } from "node:path";
import { FS_TYPE, type MountEntry, mounts } from "../fuse/mount.js";
import { errnoName } from "../os/errno.js";
import { MNT_DETACH, raiseOpenFileLimit, setIoFlusher, UMOUNT_NOFOLLOW, unmount } from "../os/process.js";

/** Descriptors of a daemon: one per open file of its users and per cached inode. */
const OPEN_FILES_WANTED = 1_048_576;

/** sched(7), "The autogroup feature". */
const AUTOGROUP = "/proc/self/autogroup";
const AUTOGROUP_TRIES = 50;
const AUTOGROUP_RETRY_MS = 130;

/** Why this process cannot mount; undefined when it can. */
export function whyNoMounts(): string | undefined {
  if (process.getuid?.() !== 0) return "not root";
  if (!existsSync("/dev/fuse")) return "there is no /dev/fuse";
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return `/dev/fuse: ${(error as Error).message}`;
  }
}

/** Settings of this process that keep users from waiting for a daemon that the kernel starves or kills. */
export function settleProcess(niceness: number, log: (line: string) => void): void {
  setNiceness(niceness, log);
  const limit = raiseOpenFileLimit(OPEN_FILES_WANTED);
  if (limit < 65_536) log(`open files are limited to ${limit}; a busy node wants ${OPEN_FILES_WANTED} (ulimit -n, LimitNOFILE)`);
  if (process.getuid?.() !== 0) return;
  try {
    writeFileSync("/proc/self/oom_score_adj", "-1000");
  } catch (error) {
    log(`oom_score_adj could not be lowered: ${(error as Error).message}; when memory is short the kernel may kill this daemon`);
  }
  if (setIoFlusher() < 0) log("PR_SET_IO_FLUSHER is not permitted: under memory pressure the kernel may make this daemon wait for itself");
}

function setNiceness(niceness: number, log: (line: string) => void, tries = AUTOGROUP_TRIES): void {
  try {
    // Each thread has its own; those that begin later have that of the thread that begins them.
    for (const thread of readdirSync("/proc/self/task")) setPriority(Number(thread), niceness);
    // Where sessions share the processors as groups the threads' own only counts within: a daemon is a session of its own.
    if (existsSync(AUTOGROUP) && isSessionLeader()) writeFileSync(AUTOGROUP, String(niceness));
  } catch (error) {
    // The kernel takes one such change in a tenth of a second from who is not CAP_SYS_ADMIN.
    if ((error as NodeJS.ErrnoException).code === "EAGAIN" && tries > 1) return void setTimeout(() => setNiceness(niceness, log, tries - 1), AUTOGROUP_RETRY_MS).unref();
    log(`the priority could not be set to niceness ${niceness}: ${(error as Error).message}; a machine with more to do than processors may hold this node up`);
  }
}
function isSessionLeader(): boolean {
  const stat = readFileSync("/proc/self/stat", "latin1");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[3]) === process.pid;
}

/** So that the watchdog can end a connection. */
export function mountFuseControl(log: (line: string) => void): void {
  if (hasFuseControl()) return;
  const result = spawnSync("mount", ["-i", "-t", "fusectl", "none", "/sys/fs/fuse/connections"], { stdio: ["ignore", "ignore", "pipe"], cwd: "/" });
  if (result.status !== 0 && !hasFuseControl()) log(`/sys/fs/fuse/connections cannot be mounted, so the watchdog cannot end a connection that stands still: ${result.stderr?.toString().trim()}`);
}

function hasFuseControl(): boolean {
  return mounts().some(({ type }) => type === "fusectl");
}

/** What is mounted exactly there, the topmost; read from the kernel's table, never by a look at the place itself (safety M1). */
export function mountedAt(path: string): MountEntry | undefined {
  const real = withoutLinks(path);
  return mounts().findLast(({ mountpoint }) => mountpoint === path || mountpoint === real);
}
/** Links are followed only above the last component, which may be a mount that does not answer. */
function withoutLinks(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}
/** Takes a mount out of the tree at once; users inside keep what they hold. The name of the errno when it fails. */
export function detach(mountpoint: string): string | undefined {
  const result = unmount(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
  return result < 0 ? errnoName(result) : undefined;
}

/** What our mounts are called in the mount table: whose they are, so that a successor knows what it may take away. */
export function mountSource(cluster: string, node: string, fs: string): string {
  return `${cluster}:${node}:${fs}`;
}

/**
 * Makes a place ready: what an earlier life of this node left there is detached, a missing directory is made.
 * Only to be called with this node's identity taken, since then no other daemon of it lives.
 * @throws Error when somebody else's file system is mounted there, or it cannot be a directory.
 */
export function clearMountpoint(mountpoint: string, source: string, log: (line: string) => void): void {
  for (let found = mountedAt(mountpoint); found?.type === FS_TYPE; found = mountedAt(mountpoint)) {
    if (found.source !== source) throw new Error(`${mountpoint}: ${found.source} (${found.type}) is mounted there; unmount it, or choose another mount point`);
    const failed = detach(found.mountpoint);
    if (failed !== undefined) throw new Error(`${mountpoint}: the mount of an earlier life of this node cannot be detached: ${failed}`);
    log(`${mountpoint}: the mount of an earlier life of this node was detached`);
  }
  try {
    mkdirSync(mountpoint, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new Error(`${mountpoint}: ${(error as Error).message}`, { cause: error });
  }
}
