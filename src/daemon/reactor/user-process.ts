/**
 * What /proc tells about the program behind a request. The reactor reads only `status` and `comm` of a task: others may
 * wait for locks of the program itself (safety M1).
 *
 * Source    proc(5); safety H2.
 */
import { performance } from "node:perf_hooks";
import type { ProcessInfo } from "../../dmapi/events.js";
import { read } from "../../os/device.js";
import * as files from "../../os/files.js";

const SIGKILL_BIT = 1n << 8n;

function field(status: string, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
}
const page = Buffer.alloc(4096);
/** By plain system calls: a reader waits for this, and node:fs takes ten times as long. */
function statusOf(thread: number, isHeadEnough = false): string | undefined {
  const fd = files.openAt(files.AT_FDCWD, `/proc/${thread}/status`, files.open.readOnly);
  if (fd < 0) return undefined;
  let status = "";
  let length = read(fd, page, 0, page.length);
  while (length > 0) {
    status += page.toString("latin1", 0, length);
    length = isHeadEnough ? 0 : read(fd, page, 0, page.length);
  }
  files.close(fd);
  return status === "" ? undefined : status;
}

/** A thread keeps its process; its number is not used again and its name hardly changes within so short a time. */
const KNOWN_MS = 50;
const KNOWN_COUNT_MAX = 256;
const known = new Map<number, { readonly pid: number; readonly command: string; readonly atMs: number }>();

/** The process of a thread; of one that is gone, what the request said. */
export function processOf(thread: number, uid: number, gid: number): ProcessInfo {
  const nowMs = performance.now();
  let found = known.get(thread);
  if (found === undefined || nowMs - found.atMs > KNOWN_MS) {
    const status = statusOf(thread, true);
    if (status === undefined) return { pid: thread, uid, gid, command: "" };
    found = { pid: Number(field(status, "Tgid") ?? thread), command: field(status, "Name") ?? "", atMs: nowMs };
    if (known.size >= KNOWN_COUNT_MAX) known.clear();
    known.set(thread, found);
  }
  return { pid: found.pid, uid, gid, command: found.command };
}

/** Whether a thread has the group among its supplementary ones. */
export function isMember(thread: number, gid: number): boolean {
  const groups = /^Groups:[ \t]*(.*)$/m.exec(statusOf(thread) ?? "")?.[1] ?? "";
  return groups.split(" ").some((group) => group !== "" && Number(group) === gid);
}

/** Whether a thread has one of these capabilities, by their numbers, in whatever namespace. */
export function isCapable(thread: number, ...capabilities: number[]): boolean {
  const effective = BigInt(`0x${field(statusOf(thread) ?? "", "CapEff") ?? "0"}`);
  return capabilities.some((capability) => (effective & (1n << BigInt(capability))) !== 0n);
}

/** Why a thread that waits was interrupted. */
export type Interruption = "gone" | "killed" | "signalled" | "none";
export function interruptionOf(thread: number): Interruption {
  const status = statusOf(thread);
  if (status === undefined || field(status, "State") === "Z" || field(status, "State") === "X") return "gone";
  const bits = (name: string) => BigInt(`0x${field(status, name) ?? "0"}`);
  const pending = bits("SigPnd") | bits("ShdPnd");
  if ((pending & SIGKILL_BIT) !== 0n) return "killed";
  return (pending & ~bits("SigBlk") & ~bits("SigIgn")) !== 0n ? "signalled" : "none";
}

/** Signals with which a user at a terminal or a supervisor asks a program to stop: HUP, INT, QUIT, ALRM, TERM. */
const STOP_SIGNALS = (1n << 0n) | (1n << 1n) | (1n << 2n) | (1n << 13n) | (1n << 14n);
/** Whether one of them waits to be handled. */
export function isAskedToStop(thread: number): boolean {
  const status = statusOf(thread);
  if (status === undefined) return true;
  const bits = (name: string) => BigInt(`0x${field(status, name) ?? "0"}`);
  return ((bits("SigPnd") | bits("ShdPnd")) & STOP_SIGNALS) !== 0n;
}

/** For whose sake a thread waits in fcntl(2). "running": it is not known yet; "unknown": it cannot be known. */
export type LockWaitKind = "process" | "open-file" | "running" | "unknown";
const F_SETLKW = 7, F_SETLKW64 = 14, F_OFD_SETLKW = 38;
/** FUSE does not say it; the thread's system call does, which only root may see: its number, then its arguments. */
export function lockWaitOf(thread: number): LockWaitKind {
  const fd = files.openAt(files.AT_FDCWD, `/proc/${thread}/syscall`, files.open.readOnly);
  if (fd < 0) return "unknown";
  const length = read(fd, page, 0, page.length);
  files.close(fd);
  const text = page.toString("latin1", 0, Math.max(0, length));
  if (text.startsWith("running")) return "running";
  const command = Number(/^\d+ 0x[0-9a-f]+ (0x[0-9a-f]+) /.exec(text)?.[1]);
  if (command === F_OFD_SETLKW) return "open-file";
  return command === F_SETLKW || command === F_SETLKW64 ? "process" : "unknown";
}
