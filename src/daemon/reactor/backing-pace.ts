/**
 * Whether a local backing answers at once, as a disk that is well does, or lets its callers wait.
 *
 * The reactor does the calls of a local backing itself, which is what makes them quick. A disk that is slow, or sick, would
 * then stop everybody, also those whose bytes lie in memory. So each call is timed; after a slow one, and for a while, the reactor
 * does only what the kernel can answer from memory, and workers do the rest. Time in which the reactor had no processor is
 * not the disk's.
 *
 * Units     milliseconds of performance.now().
 * Source    safety H1; proc_pid_schedstat(5).
 */
import { performance } from "node:perf_hooks";
import { readFileSync } from "node:fs";
import type { BackingCallName } from "./backing-calls.js";
import { SLOW_MS } from "./side-threads.js";

/** A slow call is the sign of more to come for so long. */
const WARY_MS = 60_000;
/** So long a worker's call, which may have waited for a processor or for a worker, tells the same. */
const SLOW_ASIDE_MS = 1_000;

/** On objects that are open, so that the kernel has what they ask for in memory: attributes, the record beside them, locks. */
const ofOpenObjects: ReadonlySet<BackingCallName> = new Set<BackingCallName>(["look", "loadRecord", "loadRecordOfOpen", "linkCount", "sizeOf", "statfs", "mayOpenForWriting", "readLink", "getAttributeInMemory", "lock", "lockInTheWay"]);
/** These take long also on a disk that is well, or ask it nothing. */
const lasting: ReadonlySet<BackingCallName> = new Set<BackingCallName>(["sync", "syncAll", "copyRange", "allocate", "lockWaitOf"]);

export class BackingPace {
  #waryUntilMs = 0;
  #queuedMs = waitedForProcessorMs();

  /** Once a second. */
  look(): void {
    this.#queuedMs = waitedForProcessorMs();
  }
  /** A call of the reactor itself is over. */
  took(sinceMs: number): void {
    const now = performance.now();
    if (now - sinceMs < SLOW_MS) return;
    const before = this.#queuedMs;
    this.look();
    if (now - sinceMs - (this.#queuedMs - before) >= SLOW_MS) this.#waryUntilMs = now + WARY_MS;
  }
  tookAside(name: BackingCallName, sinceMs: number): void {
    const now = performance.now();
    if (!lasting.has(name) && now - sinceMs >= (this.isWary ? SLOW_MS : SLOW_ASIDE_MS)) this.#waryUntilMs = now + WARY_MS;
  }
  get isWary(): boolean {
    return this.#waryUntilMs !== 0 && performance.now() < this.#waryUntilMs;
  }
  /** The reactor may make the call itself. */
  allows(name: BackingCallName): boolean {
    return !this.isWary || ofOpenObjects.has(name);
  }
}

/** This thread, since it began; 0 where the kernel does not count it. */
function waitedForProcessorMs(): number {
  try {
    return Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}
