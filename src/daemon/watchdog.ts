/**
 * A small process beside the daemon: when a reactor, or the daemon's main thread, stands still past the operator's limit,
 * it aborts the FUSE connections concerned, so that users get an error instead of a wait that nobody can kill (safety H1).
 *
 * It shares nothing with the daemon but a pipe, on which the daemon writes one JSON line each beat. The pipe's end is the
 * daemon's end, and this process's too. Only time in which this process itself ran counts, so that a suspended machine
 * aborts nothing. After "leave" the daemon has that many milliseconds to be gone; then it is killed.
 *
 * Not here  FFI of any kind: this process stays small and cannot hang where the daemon does.
 * Run as    node watchdog.js LIMIT_MS DAEMON_PID
 * Source    safety H1, V13; fuse-facts section 5.
 */
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** One line of the pipe. `tick` differs from the last one as long as that reactor lives. */
export type Beat = { readonly mounts: readonly { readonly minor: number; readonly tick: number }[] } | { readonly leaveMs: number };

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

function run(limitMs: number, daemon: number): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {}); // the daemon ends it, by its end
  const watch = new StandstillWatch(limitMs);
  const stepMs = Math.max(10, Math.min(1_000, limitMs / 4));
  let lastMs = performance.now();
  setInterval(() => {
    const nowMs = performance.now();
    const awakeMs = Math.min(nowMs - lastMs, stepMs * 2); // the rest of a long gap was sleep
    lastMs = nowMs;
    for (const minor of watch.passed(awakeMs)) abort(minor, limitMs);
  }, stepMs);
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const beat = JSON.parse(line) as Beat;
    if ("mounts" in beat) watch.heard(beat);
    else setTimeout(() => kill(daemon), beat.leaveMs);
  });
  lines.on("close", () => process.exit(0));
}

/** The file that ends a FUSE connection when "1" is written into it; its number is the minor of the mount's device. */
export function abortFile(minor: number): string {
  return `/sys/fs/fuse/connections/${minor}/abort`;
}

function abort(minor: number, limitMs: number): void {
  try {
    writeFileSync(abortFile(minor), "1");
    process.stderr.write(`sluiced watchdog: FUSE connection ${minor} stood still for ${limitMs} ms and was aborted\n`);
  } catch (error) {
    process.stderr.write(`sluiced watchdog: FUSE connection ${minor} stands still and could not be aborted: ${(error as Error).message}\n`);
  }
}
/** The pipe is still open, so the number still names the daemon. */
function kill(daemon: number): void {
  process.stderr.write(`sluiced watchdog: the daemon (process ${daemon}) did not end in time and is killed\n`);
  process.kill(daemon, "SIGKILL");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) run(Number(process.argv[2]), Number(process.argv[3]));
