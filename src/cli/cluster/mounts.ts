/**
 * Which file systems are mounted, read from the kernel's table alone: a managed mount is never resolved, since its
 * daemon may be dead or stopped and whoever looks would wait for it (safety M1).
 *
 * Owns      taking down mounts whose daemon has ended.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

export interface Mount {
  readonly mountpoint: string;
  readonly type: string;
  readonly source: string;
  /** Number of the FUSE connection below /sys/fs/fuse/connections. */
  readonly connection: number;
}

/** The mount table, in order of mounting. */
export function readMounts(): Mount[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      const fields = before.split(" ");
      const [type = "", source = ""] = after.split(" ");
      return {
        mountpoint: unescapeOctal(fields[4] ?? ""),
        type,
        source: unescapeOctal(source),
        connection: Number(fields[2]?.split(":")[1] ?? 0),
      };
    });
}

export function mountAt(mountpoint: string): Mount | undefined {
  return readMounts().findLast((mount) => mount.mountpoint === mountpoint);
}

export function mountsBelow(directory: string): Mount[] {
  return readMounts().filter((mount) => mount.mountpoint.startsWith(`${directory}/`));
}

/**
 * Unmounts whatever is mounted there, dead or alive; users that still have files open keep them until they close.
 * Returns what stayed mounted nevertheless.
 */
export function takeDown(mountpoint: string): Mount | undefined {
  for (let layers = 0; layers < 16; layers++) {
    const mount = mountAt(mountpoint);
    if (mount === undefined) return undefined;
    // Without a server nobody answers what is still asked: end it, so that no process stays unkillable.
    if (mount.type.startsWith("fuse")) abortConnection(mount.connection);
    if (run("umount", ["-i", "-c", mountpoint])) continue;
    if (!run("umount", ["-i", "-c", "-l", mountpoint])) return mount;
  }
  return mountAt(mountpoint);
}

function abortConnection(connection: number): void {
  const path = `/sys/fs/fuse/connections/${connection}/abort`;
  try {
    writeFileSync(path, "1");
  } catch {
    // fusectl is not mounted, or the connection has ended; unmounting does the rest.
  }
}

function run(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore", timeout: 10_000 }).status === 0;
}

/** The kernel writes blank, tab, newline and backslash in a path as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
