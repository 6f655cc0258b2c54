/**
 * Daemon processes of this machine, named so that a number used again by another process is never mistaken for one.
 *
 * Owns      telling alive, paused and dead apart.
 * Source    proc(5): field 22 of /proc/PID/stat is the start time in clock ticks since boot.
 */
import { readFileSync } from "node:fs";

/** One process for ever: its number, when it started, in which boot. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
}
export type ProcessState = "running" | "paused" | "dead";

export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** Undefined when there is no such process, or only its remains that nobody has collected. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat === undefined || stat.state === "Z" ? undefined : { pid, startTicks: stat.startTicks, bootId: bootId() };
}

export function stateOf(identity: ProcessIdentity): ProcessState {
  const stat = readStat(identity.pid);
  if (stat === undefined || stat.startTicks !== identity.startTicks || identity.bootId !== bootId()) return "dead";
  if (stat.state === "Z" || stat.state === "X") return "dead";
  return stat.state === "T" ? "paused" : "running";
}

/** Sends a signal to exactly that process; false when it has ended. */
export function signal(identity: ProcessIdentity, name: NodeJS.Signals): boolean {
  if (stateOf(identity) === "dead") return false;
  try {
    process.kill(identity.pid, name);
    return true;
  } catch {
    return false;
  }
}

function readStat(pid: number): { state: string; startTicks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command in parentheses may itself have blanks and parentheses.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "X", startTicks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}
