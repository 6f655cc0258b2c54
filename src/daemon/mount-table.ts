/**
 * What is mounted where, from /proc/self/mountinfo: never by stat of a path that may lie on a managed mount (safety M1).
 *
 * Source    proc_pid_mountinfo(5); fuse-facts: a FUSE connection's number is its device's minor.
 */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { errnoName } from "../os/errno.js";
import { MNT_DETACH, UMOUNT_NOFOLLOW, unmount } from "../os/process.js";

export interface MountEntry {
  readonly mountpoint: string;
  readonly type: string;
  readonly source: string;
  /** Of the device; for FUSE the number below /sys/fs/fuse/connections. */
  readonly minor: number;
}

/** Those mounted later come later: of several at one place the last is the one seen. */
export function readMountTable(text: string = readFileSync("/proc/self/mountinfo", "utf8")): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const [before, after] = line.split(" - ");
    const fields = before?.split(" ") ?? [];
    const [type, source] = after?.split(" ") ?? [];
    const device = fields[2];
    const mountpoint = fields[4];
    if (device === undefined || mountpoint === undefined || type === undefined || source === undefined) continue;
    entries.push({ mountpoint: unescaped(mountpoint), type, source: unescaped(source), minor: Number(device.split(":")[1]) });
  }
  return entries;
}

/** What is mounted exactly there, the topmost. */
export function mountedAt(path: string): MountEntry | undefined {
  const real = withoutLinks(path);
  return readMountTable().findLast(({ mountpoint }) => mountpoint === path || mountpoint === real);
}

/** The FUSE mount at or above a path, if there is one. */
export function fuseMountAbove(path: string): MountEntry | undefined {
  const above = readMountTable().filter(({ mountpoint }) => mountpoint === "/" || path === mountpoint || path.startsWith(`${mountpoint}/`));
  const nearest = above.reduce<MountEntry | undefined>((best, each) => (best === undefined || each.mountpoint.length >= best.mountpoint.length ? each : best), undefined);
  return nearest?.type.startsWith("fuse") ? nearest : undefined;
}

/** Takes a mount out of the tree at once; users inside keep what they hold. The name of the errno when it fails. */
export function detach(mountpoint: string): string | undefined {
  const result = unmount(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
  return result < 0 ? errnoName(result) : undefined;
}

export function hasFuseControl(): boolean {
  return existsSync("/sys/fs/fuse/connections") && readMountTable().some(({ type }) => type === "fusectl");
}

/** Links are followed only above the last component, which may be a mount that does not answer. */
function withoutLinks(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}
/** Blanks and the like stand as three octal digits. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
