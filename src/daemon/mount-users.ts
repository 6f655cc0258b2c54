/**
 * A small program that tells who is inside a mount: open files, working directories, mappings, running programs, and what is
 * mounted further down. One JSON line for each, the certain and quick ones first.
 *
 * A process of its own, since a look at another program's memory may wait for that program, which may wait for this mount:
 * whoever wants to know waits as long as he likes and takes what has come until then. It follows no path into the mount:
 * links of /proc are read and never followed (safety M1).
 *
 * Run as    node mount-users.js MOUNTPOINT
 * Source    proc(5): fd, fdinfo, cwd, root, exe, maps.
 */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type MountEntry, mounts } from "../fuse/mount.js";

export interface MountUser {
  readonly how: "open" | "working directory" | "root directory" | "program" | "mapped" | "mounted on it";
  /** As the kernel names it, " (deleted)" included. */
  readonly path: string;
  /** 0: no process, a mount. */
  readonly pid: number;
  readonly command: string;
}

/** What is found within `limitMs`, and at most `max` of them. Never throws: nothing found says nothing. */
export function usersOfMount(mountpoint: string, limitMs: number, max: number): Promise<MountUser[]> {
  return new Promise((resolve) => {
    const found: MountUser[] = [];
    let rest = "";
    const child = spawn(process.execPath, ["--max-old-space-size=32", fileURLToPath(new URL("./mount-users.js", import.meta.url)), mountpoint], { stdio: ["ignore", "pipe", "ignore"], cwd: "/" });
    const done = () => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      resolve(found);
    };
    const timer = setTimeout(done, limitMs);
    child.on("error", done);
    child.on("close", done);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (found.length < max) found.push(JSON.parse(line) as MountUser);
      if (found.length >= max) done();
    });
  });
}

function run(mountpoint: string): void {
  const all = mounts();
  const mount = all.findLast((each) => each.mountpoint === mountpoint);
  if (mount === undefined) return;
  const isInside = (path: string) => path === mountpoint || path.startsWith(`${mountpoint}/`);
  for (const { mountpoint: place } of all) if (place !== mountpoint && isInside(place)) tell({ how: "mounted on it", path: place, pid: 0, command: "" });
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => pid !== process.pid);
  for (const pid of pids) {
    for (const path of openOn(pid, mount)) tell({ how: "open", path, pid, command: commandOf(pid) });
    for (const [link, how] of [["cwd", "working directory"], ["root", "root directory"], ["exe", "program"]] as const) {
      const path = linkOf(`/proc/${pid}/${link}`);
      if (path !== undefined && isInside(path)) tell({ how, path, pid, command: commandOf(pid) });
    }
  }
  for (const pid of pids) for (const path of mappedOf(pid, isInside)) tell({ how: "mapped", path, pid, command: commandOf(pid) });
}
function tell(user: MountUser): void {
  writeSync(1, `${JSON.stringify(user)}\n`);
}

/** Each file once. The mount's number tells a descriptor of it, whatever name the file has now. */
function openOn(pid: number, { id }: MountEntry): Set<string> {
  const paths = new Set<string>();
  for (const fd of listed(`/proc/${pid}/fd`)) {
    if (Number(/^mnt_id:\s*(\d+)/m.exec(textOf(`/proc/${pid}/fdinfo/${fd}`))?.[1] ?? -1) !== id) continue;
    paths.add(linkOf(`/proc/${pid}/fd/${fd}`) ?? "");
  }
  return paths;
}
/** A mapping stays when its descriptor has been closed. */
function mappedOf(pid: number, isInside: (path: string) => boolean): Set<string> {
  const paths = new Set<string>();
  for (const line of textOf(`/proc/${pid}/maps`).split("\n")) {
    const at = line.indexOf("/");
    if (at > 0 && isInside(line.slice(at))) paths.add(line.slice(at));
  }
  return paths;
}
function commandOf(pid: number): string {
  return textOf(`/proc/${pid}/comm`).trimEnd();
}

// Of a process that has ended meanwhile there is nothing.

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
function listed(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) run(process.argv[2]!);
