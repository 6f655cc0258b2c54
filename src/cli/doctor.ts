/**
 * `sluice doctor`: what this machine can do, said before first use.
 *
 * Owns      checks of kernel, FUSE, settings and limits; each says what it found and what to do about it.
 * Not here  the trials of a backing directory (volume/probe.ts), which are only told here.
 * Source    fuse-facts: kernel ages, request time-outs; safety M6.
 */
import { constants, accessSync, existsSync, readFileSync, statSync } from "node:fs";
import { availableParallelism, release, totalmem } from "node:os";
import { spawnSync } from "node:child_process";
import * as files from "../os/files.js";
import { degradations, probe, refusals } from "../volume/probe.js";
import { messageOf } from "./failure.js";
import { formatBytes } from "./output.js";

export interface Finding {
  /** "failed": Sluice cannot serve mounts here. "degraded": it can, with less. */
  readonly verdict: "ok" | "degraded" | "failed";
  readonly name: string;
  readonly found: string;
  /** What it means, or what to do; empty when all is well. */
  readonly advice: string;
}

export function examineMachine(): Finding[] {
  return [nodeVersion(), kernel(), identity(), fuseDevice(), passthrough(), ...requestTimeouts(), hungTasks(), abortSwitch(), descriptors(), mountProgram(), machine()];
}

/** Tries a backing directory: locks, handles, attributes, holes, times. Leaves nothing in it. */
export async function examineBacking(directory: string): Promise<Finding[]> {
  const fd = files.openAt(files.AT_FDCWD, directory, files.open.readOnly | files.open.directory);
  if (fd < 0) return [finding(`backing ${directory}`, `cannot be opened as a directory (errno ${-fd})`, "failed", "name an existing directory")];
  try {
    const record = await probe(fd);
    const about = (name: string) => `${directory}: ${name}`;
    const { mode, uid } = statSync(directory);
    const isPrivate = (mode & 0o077) === 0 && uid === 0;
    const facts = [
      finding(about("file system"), `${record.fileSystem}, ${record.isLocal ? "local" : "shared or unknown"}, handles ${yesNo(record.handles)}, attributes up to ${record.attributeBytes} bytes`, "ok", ""),
      finding(about("locks"), `exclude each other: ${yesNo(record.locksExclude)}; survive a stopped holder: ${yesNo(record.locksSurviveStop)}`, "ok", ""),
      finding(about("holes"), `punched: ${yesNo(record.punchHole)}, blocks true: ${yesNo(record.blocksAreTrue)}, found again: ${yesNo(record.seekHole)}`, "ok", ""),
      finding(about("passthrough"), record.isLocal && record.leases ? "possible in mode fast" : record.isLocal ? "no leases" : "not used on file systems of several machines", "ok", ""),
      finding(about("root"), `mode ${(mode & 0o7777).toString(8)}, owner ${uid}`, isPrivate ? "ok" : "failed", "others would read holes and write round us: chmod 0700, chown root"),
    ];
    return [
      ...facts,
      ...refusals(record).map((text) => finding(about("refused"), text, "failed", "choose another file system for the backing")),
      ...degradations(record).map((text) => finding(about("less"), text, "degraded", "")),
    ];
  } catch (error) {
    return [finding(`backing ${directory}`, messageOf(error), "failed", "it must be writable by root")];
  } finally {
    files.close(fd);
  }
}
function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}

function nodeVersion(): Finding {
  const major = Number(process.versions.node.split(".")[0]);
  return finding("Node.js", process.versions.node, major >= 20 ? "ok" : "failed", "Node.js 20 or newer is needed");
}

function kernel(): Finding {
  const version = kernelVersion();
  if (isAtLeast(version, 6, 6)) return finding("kernel", release(), "ok", "");
  if (isAtLeast(version, 5, 11)) return finding("kernel", release(), "degraded", "before 6.6 files with regions cannot be mapped with MAP_SHARED (no DIRECT_IO_ALLOW_MMAP)");
  return finding("kernel", release(), "failed", "Linux 5.11 or newer is needed (HANDLE_KILLPRIV_V2)");
}

function identity(): Finding {
  const isRoot = process.getuid?.() === 0;
  return finding("user", isRoot ? "root" : `uid ${process.getuid?.()}`, isRoot ? "ok" : "failed", "mounts need root; without it only the in-process API works");
}

function fuseDevice(): Finding {
  if (!existsSync("/dev/fuse")) return finding("/dev/fuse", "absent", "failed", "load the module: modprobe fuse; in a container pass the device in");
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
  } catch {
    return finding("/dev/fuse", "not readable and writable for us", "failed", "run as root");
  }
  const isKnown = readFileSync("/proc/filesystems", "utf8").split("\n").some((line) => line.trim().split(/\s+/).at(-1) === "fuse");
  return finding("/dev/fuse", isKnown ? `present, FUSE ${fuseVersion()} by the kernel's age` : "present, but the kernel does not list fuse", isKnown ? "ok" : "failed", "load the module: modprobe fuse");
}

/** The protocol minor by kernel release; the truth is told at mount, in INIT. */
function fuseVersion(): string {
  const ages: readonly (readonly [number, number, string])[] = [
    [6, 18, "7.45"], [6, 16, "7.44"], [6, 14, "7.42"], [6, 12, "7.41"], [6, 9, "7.40"], [6, 6, "7.39"], [6, 2, "7.38"], [5, 17, "7.36"], [5, 11, "7.33"],
  ];
  return ages.find(([major, minor]) => isAtLeast(kernelVersion(), major, minor))?.[2] ?? "older than 7.33";
}

/** Whether this kernel can read and write backing files by itself. */
export function offersPassthrough(): boolean {
  return isAtLeast(kernelVersion(), 6, 9);
}
function passthrough(): Finding {
  if (!offersPassthrough()) return finding("passthrough", "not offered by this kernel", "degraded", "before 6.9 files of mode fast are page-cached: each read that is not, and each write, passes through the daemon");
  if (isAtLeast(kernelVersion(), 6, 18)) return finding("passthrough", "offered by this kernel", "ok", "");
  return finding("passthrough", "offered by this kernel", "ok", "note: before 6.18 a file that was open on several nodes of one machine is let go, and can be migrated, only when the kernel forgets it");
}

function requestTimeouts(): Finding[] {
  return ["default_request_timeout", "max_request_timeout"].map((name) => {
    const value = readSetting(`/proc/sys/fs/fuse/${name}`);
    if (value === undefined) return finding(`fs.fuse.${name}`, "this kernel has none", "ok", "");
    return finding(`fs.fuse.${name}`, value, value === "0" ? "ok" : "failed", `a held event longer than this would abort the whole mount, so mounts are refused: sysctl fs.fuse.${name}=0`);
  });
}

function hungTasks(): Finding {
  const value = readSetting("/proc/sys/kernel/hung_task_panic") ?? "0";
  return finding("kernel.hung_task_panic", value, value === "0" ? "ok" : "failed", "a long recall would panic the machine: sysctl kernel.hung_task_panic=0");
}

function abortSwitch(): Finding {
  const isThere = existsSync("/sys/fs/fuse/connections");
  return finding("fusectl", isThere ? "/sys/fs/fuse/connections" : "absent", isThere ? "ok" : "degraded", "the watchdog cannot abort a stuck mount: mount -t fusectl none /sys/fs/fuse/connections");
}

function descriptors(): Finding {
  const line = readFileSync("/proc/self/limits", "utf8").split("\n").find((text) => text.startsWith("Max open files"));
  const hard = line?.trim().split(/\s{2,}/)[2] ?? "0";
  const limit = hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
  return finding("open files, hard limit", hard, limit >= 65_536 ? "ok" : "degraded", "each file a user has open pins a descriptor: raise it (LimitNOFILE=1048576)");
}

function mountProgram(): Finding {
  const found = spawnSync("mount", ["--version"], { encoding: "utf8" });
  return finding("mount(8)", found.status === 0 ? found.stdout.trim() : "absent", found.status === 0 ? "ok" : "failed", "install util-linux");
}

function machine(): Finding {
  return finding("machine", `${availableParallelism()} processors, ${formatBytes(totalmem())}`, "ok", "");
}

function finding(name: string, found: string, verdict: Finding["verdict"], advice: string): Finding {
  const isSilent = verdict === "ok" && !advice.startsWith("note: ");
  return { verdict, name, found, advice: isSilent ? "" : advice };
}
function readSetting(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
function kernelVersion(): readonly [number, number] {
  const [major = 0, minor = 0] = release().split(/[.-]/).map(Number);
  return [major, minor];
}
function isAtLeast([major, minor]: readonly [number, number], wantedMajor: number, wantedMinor: number): boolean {
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
