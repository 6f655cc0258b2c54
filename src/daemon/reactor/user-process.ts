/**
 * What /proc tells about the program behind a request. Only `status` and `comm` of a task are read: others may wait for
 * locks of the program itself (safety M1).
 *
 * Source    proc(5); safety H2.
 */
import { readFileSync } from "node:fs";
import type { ProcessInfo } from "../../dmapi/events.js";

const SIGKILL_BIT = 1n << 8n;

function field(status: string, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
}
function statusOf(thread: number): string | undefined {
  try {
    return readFileSync(`/proc/${thread}/status`, "latin1");
  } catch {
    return undefined;
  }
}

/** The process of a thread; of one that is gone, what the request said. */
export function processOf(thread: number, uid: number, gid: number): ProcessInfo {
  const status = statusOf(thread);
  const pid = Number((status === undefined ? undefined : field(status, "Tgid")) ?? thread);
  const command = status === undefined ? "" : (field(status, "Name") ?? "");
  return { pid, uid, gid, command };
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
