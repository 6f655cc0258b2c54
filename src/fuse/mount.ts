/**
 * Mounting and unmounting: the mount command as a child that inherits the device, mountinfo instead of stat, since nothing
 * of ours may resolve a path under a managed mount (safety M1).
 *
 * Source    mount(8), proc_pid_mountinfo(5); fuse-facts 5 and 9; safety M5, M6.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { errnoName } from "../os/errno.js";
import * as files from "../os/files.js";
import { MNT_DETACH, UMOUNT_NOFOLLOW, unmount } from "../os/process.js";

export const FS_TYPE = "fuse.sluice";

export interface MountEntry {
  readonly id: number;
  readonly device: string;
  readonly mountpoint: string;
  readonly type: string;
  readonly source: string;
}

/** Mounts of this process's namespace; later ones lie over earlier ones of the same place. */
export function mounts(text: string = readFileSync("/proc/self/mountinfo", "utf8")): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const [before, after] = line.split(" - ");
    if (before === undefined || after === undefined) continue;
    const [id, , device, , mountpoint] = before.split(" ");
    const [type, source] = after.split(" ");
    if (id === undefined || device === undefined || mountpoint === undefined || type === undefined || source === undefined) continue;
    entries.push({ id: Number(id), device, mountpoint: unescaped(mountpoint), type, source: unescaped(source) });
  }
  return entries;
}
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The number under which /sys/fs/fuse/connections knows the topmost FUSE mount there. */
export function connectionOf(mountpoint: string): number | undefined {
  const entry = mounts().findLast((mount) => mount.mountpoint === mountpoint && mount.type.startsWith("fuse"));
  return entry === undefined ? undefined : Number(entry.device.split(":")[1]);
}

/** A descriptor of the device, not blocking. @throws Error in words for the operator. */
export function openDevice(): number {
  const fd = files.openAt(files.AT_FDCWD, "/dev/fuse", files.open.readWrite | files.open.nonBlocking);
  if (fd < 0) throw new Error(`/dev/fuse cannot be opened (${errnoName(fd)}): is the fuse module loaded and are we root?`);
  return fd;
}

/** Takes away mounts of ours that were left at the place by a daemon that is gone. */
export function detachLeftOver(mountpoint: string): number {
  let count = 0;
  while (count < 16 && mounts().some((mount) => mount.mountpoint === mountpoint && mount.type === FS_TYPE)) {
    const result = unmount(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (result < 0) throw new Error(`the mount left at ${mountpoint} cannot be detached (${errnoName(result)})`);
    count++;
  }
  return count;
}

/**
 * Mounts while somebody already serves `device`. @throws Error with what mount(8) said.
 */
export async function mountDevice(options: { readonly device: number; readonly source: string; readonly mountpoint: string }): Promise<void> {
  const flags = "fd=3,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,_netdev";
  await runCommand("mount", ["-i", "-t", FS_TYPE, "-o", flags, "--", options.source, options.mountpoint], options.device);
}

/** @throws Error with what umount(8) said, "target is busy" among it. */
export async function unmountPlace(mountpoint: string, isLazy = false): Promise<void> {
  await runCommand("umount", isLazy ? ["-i", "-l", "--", mountpoint] : ["-i", "--", mountpoint]);
}

function runCommand(command: string, args: readonly string[], device?: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const stdio = device === undefined ? (["ignore", "ignore", "pipe"] as const) : (["ignore", "ignore", "pipe", device] as const);
    const child = spawn(command, args, { stdio: [...stdio], cwd: "/", env: { ...process.env, LC_ALL: "C" } });
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    child.on("error", (cause) => reject(new Error(`${command} cannot be run`, { cause })));
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} failed (${signal ?? code}): ${said.trim()}`));
    });
  });
}

/** Settings of this kernel by which it ends the whole mount when a request waits for long: a held event, that is (safety M6). Looked at once, when a mount begins. */
export function requestTimeouts(): string[] {
  return ["fs/fuse/default_request_timeout", "fs/fuse/max_request_timeout"].flatMap((name) => {
    const value = setting(name);
    return value === undefined || value === "0" ? [] : [`${name.replaceAll("/", ".")} is ${value}: a held event would end the whole mount after so many seconds; set it to 0`];
  });
}
/** Other settings that would hurt while users wait for events; empty when all is well (safety M6). */
export function hazards(): string[] {
  const value = setting("kernel/hung_task_panic");
  return value === undefined || value === "0" ? [] : [`kernel.hung_task_panic is ${value}: a user who waits for an event would stop the machine; set it to 0`];
}
function setting(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, "utf8").trim();
  } catch {
    return undefined;
  }
}
