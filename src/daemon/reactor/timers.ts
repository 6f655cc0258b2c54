/**
 * The reactor's clock and what is due on it. The clock goes at most one second per turn of the loop, so that a daemon that
 * was stopped for minutes does not find all its deadlines passed when it wakes.
 *
 * Units     milliseconds since the thread began, less the time it was stopped.
 */
import { performance } from "node:perf_hooks";

export const TURN_LONGEST_MS = 1000;

interface Due {
  readonly atMs: number;
  readonly run: () => void;
}

export class Timers {
  #nowMs = 0;
  #last = performance.now();
  readonly #due = new Set<Due>();

  get nowMs(): number {
    return this.#nowMs;
  }
  tick(): void {
    const now = performance.now();
    this.#nowMs += Math.min(now - this.#last, TURN_LONGEST_MS);
    this.#last = now;
  }
  /** What it returns takes it back. */
  after(delayMs: number, run: () => void): () => void {
    const due = { atMs: this.#nowMs + delayMs, run };
    this.#due.add(due);
    return () => this.#due.delete(due);
  }
  /** How long the loop may sleep. */
  get untilNextMs(): number {
    let until = TURN_LONGEST_MS;
    for (const due of this.#due) until = Math.min(until, due.atMs - this.#nowMs);
    return Math.max(0, until);
  }
  runDue(): void {
    if (this.#due.size === 0) return;
    for (const due of [...this.#due]) {
      if (due.atMs > this.#nowMs) continue;
      this.#due.delete(due);
      due.run();
    }
  }
}
