/**
 * Why a mount cannot be unmounted just now, in words: which operations of users are held, by whom and for what, who has which
 * files open, and what can be done about it.
 *
 * Owns      nothing.
 * Not here  what a held operation waits for (waiters.ts), who is inside (mount-users.ts).
 * Source    umount(2) EBUSY; safety C5.
 */
import type { FsName } from "../dmapi/ids.js";
import type { WaiterEntry } from "../dmapi/status.js";
import { type MountUser, usersOfMount } from "./mount-users.js";

/** As many of each are told; of the others how many. */
const TOLD_MAX = 12;
const FOUND_MAX = 1_000;
const LOOK_WITHIN_MS = 2_000;

/** Several lines; the first says what it is about. @param held what waits on that mount. */
export async function describeBusyMount(fs: FsName, mountpoint: string, held: readonly WaiterEntry[]): Promise<string> {
  return busyText(fs, mountpoint, held, await usersOfMount(mountpoint, LOOK_WITHIN_MS, FOUND_MAX));
}

/** The pure part. */
export function busyText(fs: FsName, mountpoint: string, held: readonly WaiterEntry[], users: readonly MountUser[]): string {
  const lines = [`${fs} is busy: users are inside ${mountpoint}`];
  if (held.length > 0) lines.push(`${held.length === 1 ? "one operation is" : `${held.length} operations are`} held:`, ...shortened(held.map(operationText)));
  if (users.length > 0) lines.push("in use:", ...shortened(merged(users).map(userText)));
  if (held.length === 0 && users.length === 0) lines.push("by whom was not found: somebody in another mount namespace, or who has ended meanwhile");
  const ways = [
    ...(held.length === 0 ? [] : ["have the held operations answered (sluice waiters tells more), or interrupt them"]),
    ...(users.some(({ pid }) => pid !== 0) ? ["end these programs"] : []),
    ...(users.some(({ pid }) => pid === 0) ? ["unmount what is mounted further down"] : []),
    "unmount with --force: the mount leaves the tree at once, and what users do with it afterwards fails",
  ];
  lines.push(`${WHAT_TO_DO}${ways.join("; or ")}`);
  return lines.join("\n");
}

/** For a log, without what nobody is there to do. */
export function inOneLine(text: string): string {
  return text.split("\n").filter((line) => !line.startsWith(WHAT_TO_DO)).map((line) => line.trim()).join("; ").replaceAll(":; ", ": ");
}
const WHAT_TO_DO = "what to do: ";

function operationText(entry: WaiterEntry): string {
  const { call, path, handle, pid, command, uid, ageMs, cause, detail, token, waitsFor } = entry;
  const on = path ?? handle;
  const by = token === undefined ? cause : `${cause}, token ${token}`;
  return `${call}${on === undefined ? "" : ` of ${on}`} by ${command === "" ? "pid" : `${command}, pid`} ${pid} (uid ${uid}), for ${Math.round(ageMs / 1000)} s, held by ${by}: ${waitsFor ?? detail}`;
}
interface Merged {
  readonly user: MountUser;
  readonly hows: string[];
}
/** One line for a process and a file, however it uses it. */
function merged(users: readonly MountUser[]): Merged[] {
  const all = new Map<string, Merged>();
  for (const user of users) {
    const key = `${user.pid} ${user.path}`;
    const known = all.get(key);
    if (known === undefined) all.set(key, { user, hows: [user.how] });
    else if (!known.hows.includes(user.how)) known.hows.push(user.how);
  }
  return [...all.values()];
}
function userText({ user: { pid, command, path }, hows }: Merged): string {
  return pid === 0 ? `${path}: ${hows.join(", ")}` : `${path}: ${hows.join(", ")} by ${command}, pid ${pid}`;
}
function shortened(lines: readonly string[]): string[] {
  const told = lines.slice(0, TOLD_MAX).map((line) => `  ${line}`);
  return lines.length > TOLD_MAX ? [...told, `  and ${lines.length - TOLD_MAX} more`] : told;
}
