/**
 * A small process beside the daemon: it aborts FUSE connections that nobody serves any more, so that users get an error
 * instead of a wait that nobody can kill (safety H1).
 *
 * Two things make it do so. A reactor, or the daemon's main thread, stands still past the operator's limit. Or the daemon
 * is being killed and cannot end: a thread of it that waits in the kernel for a page which only the daemon could have filled
 * keeps /dev/fuse open, and with it the fill and its user; then it acts at once. A frozen daemon (stopped, or paused with
 * its machine) is not a dead one.
 *
 * Where a holder keeps the mount for the next daemon (safety H11) less is lost: who stands still is killed, so that the
 * next one can come, and who is being killed has some seconds to end, since only then its threads are known to wait in vain.
 *
 * It shares nothing with the daemon but a pipe, on which the daemon writes one JSON line each beat. The pipe's end is the
 * daemon's end, and this process's too. Only time in which this process itself ran counts, so that a suspended machine
 * aborts nothing. After "leave" the daemon has that many milliseconds to be gone; then it is killed.
 *
 * Not here  FFI of any kind: this process stays small and cannot hang where the daemon does.
 * Run as    node watchdog.js LIMIT_MS DAEMON_PID
 * Source    safety H1, V13; fuse-facts section 5; proc(5).
 */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

export interface MountBeat {
  readonly minor: number;
  /** Differs from the last one as long as that reactor lives. */
  readonly tick: number;
  /** Which connection the minor stands for (`connectionNow`); undefined while fusectl is not mounted. */
  readonly connection?: number | undefined;
  /** A holder keeps the mount for the next daemon. */
  readonly isHeld?: boolean;
}
/** One line of the pipe. */
export type Beat = { readonly mounts: readonly MountBeat[] } | { readonly leaveMs: number };

interface Watched {
  tick: number;
  stoodMs: number;
}

/** Pure part: what has stood still for how long. */
export class StandstillWatch {
  readonly #limitMs: number;
  readonly #watched = new Map<number, Watched>();

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  heard(beat: Extract<Beat, { mounts: unknown }>): void {
    const present = new Set(beat.mounts.map(({ minor }) => minor));
    for (const minor of this.#watched.keys()) if (!present.has(minor)) this.#watched.delete(minor);
    for (const { minor, tick } of beat.mounts) {
      const known = this.#watched.get(minor);
      if (known === undefined || known.tick !== tick) this.#watched.set(minor, { tick, stoodMs: 0 });
    }
  }

  /** `awakeMs` more have passed; the connections to abort, each told once. */
  passed(awakeMs: number): number[] {
    const due: number[] = [];
    for (const [minor, watched] of this.#watched) {
      const before = watched.stoodMs;
      watched.stoodMs += awakeMs;
      if (before <= this.#limitMs && watched.stoodMs > this.#limitMs) due.push(minor);
    }
    return due;
  }
}

/** How a process stands; undefined when there is none of that number. */
export interface ProcessLook {
  /** In clock ticks since boot: tells a process from a later one of the same number. */
  readonly startTicks: number;
  /** Killed, also when a thread of it cannot end yet: then its first thread is a zombie, or waits with SIGKILL pending. */
  readonly isDying: boolean;
}
/** @param stat the text of /proc/PID/stat; the command in parentheses may itself have blanks and parentheses. */
export function lookOf(stat: string): ProcessLook {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  const isKillPending = (Number(fields[28]) & SIGKILL_BIT) !== 0;
  return { startTicks: Number(fields[19]), isDying: state === "Z" || state === "X" || isKillPending };
}
const SIGKILL_BIT = 1 << 8;

function lookAt(pid: number): ProcessLook | undefined {
  try {
    return lookOf(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/**
 * Aborts a connection if the minor still stands for the one that the daemon served: the kernel gives minors again, and the
 * mount table does not show a mount that was detached with users inside.
 */
function abort({ minor, connection }: MountBeat, why: string): void {
  const now = connectionNow(minor);
  if (now === undefined) return tell(`FUSE connection ${minor} ${why}; there is no ${abortFile(minor)}: the connection has ended, or fusectl is not mounted`);
  if (now !== connection) return tell(`FUSE connection ${minor} ${why}; the connection has ended, and its number is somebody else's`);
  try {
    writeFileSync(abortFile(minor), "1");
    tell(`FUSE connection ${minor} ${why} and was aborted`);
  } catch (error) {
    tell(`FUSE connection ${minor} ${why} and could not be aborted: ${(error as Error).message}`);
  }
}

/** How often the daemon is looked at: as long as its users may wait for nothing. */
const LOOK_MS = 200;
/** A killed daemon whose mounts are held for the next one. */
const END_WITHIN_MS = 5_000;

function run(limitMs: number, daemon: number): void {
  const started = lookAt(daemon)?.startTicks;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {}); // the daemon ends it, by its end
  const watch = new StandstillWatch(limitMs);
  let mounts: readonly MountBeat[] = [];
  const stepMs = Math.max(10, Math.min(1_000, limitMs / 4));
  let lastMs = performance.now();
  setInterval(() => {
    const nowMs = performance.now();
    const awakeMs = Math.min(nowMs - lastMs, stepMs * 2); // the rest of a long gap was sleep
    lastMs = nowMs;
    const due = watch.passed(awakeMs);
    const stood = mounts.filter(({ minor }) => due.includes(minor));
    for (const mount of stood) if (mount.isHeld !== true) abort(mount, `stood still for ${limitMs} ms`);
    if (stood.some(({ isHeld }) => isHeld === true)) kill(daemon, `stood still for ${limitMs} ms`);
  }, stepMs);
  let isLeaving = false;
  let dyingMs = 0;
  setInterval(() => {
    const look = lookAt(daemon);
    // One that has ended needs nothing: its descriptors are closed.
    if (look?.startTicks !== started || look?.isDying !== true) {
      dyingMs = 0;
      return;
    }
    dyingMs += LOOK_MS;
    if (isLeaving) return;
    const lost = mounts.filter(({ isHeld }) => isHeld !== true || dyingMs >= END_WITHIN_MS);
    for (const mount of lost) abort(mount, `lost its daemon (process ${daemon}), which was killed,`);
    mounts = mounts.filter((mount) => !lost.includes(mount)); // each told once
  }, LOOK_MS);
  onLines((line) => {
    const beat = JSON.parse(line) as Beat;
    if ("mounts" in beat) {
      watch.heard(beat);
      mounts = beat.mounts;
      return;
    }
    isLeaving = true;
    setTimeout(() => {
      isLeaving = false;
      kill(daemon, "did not end in time");
    }, beat.leaveMs);
  });
}

/** Each whole line of the pipe; its end ends this process. Without node:readline, which is a fifth of what a start costs. */
function onLines(take: (line: string) => void): void {
  let rest = "";
  process.stdin.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) take(line);
  });
  for (const over of ["close", "error"] as const) process.stdin.on(over, () => process.exit(0));
}

function tell(line: string): void {
  process.stderr.write(`sluiced watchdog: ${line}\n`);
}
/** The file that ends a FUSE connection when "1" is written into it; its number is the minor of the mount's device. */
export function abortFile(minor: number): string {
  return `/sys/fs/fuse/connections/${minor}/abort`;
}
/** The inode number of the directory that stands for it: no two connections ever have the same. */
export function connectionNow(minor: number): number | undefined {
  return statSync(dirname(abortFile(minor)), { throwIfNoEntry: false })?.ino;
}

/** The pipe is still open, so the number still names the daemon. */
function kill(daemon: number, why: string): void {
  tell(`the daemon (process ${daemon}) ${why} and is killed`);
  process.kill(daemon, "SIGKILL");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) run(Number(process.argv[2]), Number(process.argv[3]));
