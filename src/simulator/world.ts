/**
 * Virtual time and the processes that live in it. One seed gives one history.
 *
 * A process runs threads (generators). Between any two of their steps it may be paused, or killed; a system call that has
 * begun takes effect all the same, since that is the kernel's doing, and a killed process is gone only when its last
 * system call has ended. A paused machine stops its kernel too: effects not yet made wait.
 *
 * Units     milliseconds of true time; a process reads its own clock, which runs up to one per cent fast or slow.
 * Source    safety H13.
 */
import { assert } from "../base/assert.js";
import { Random } from "../base/random.js";
import { type Crossing, type Stress, stresses } from "./stress.js";

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  /** Whose doing it is, where it is a process's. */
  readonly process: Process | undefined;
}

/** Probability that nothing comes between the effect of a system call and its return. */
const RETURNS_AT_ONCE = 0.8;

/** A broken promise, found by a checker. */
export class Violation extends Error {
  override readonly name = "Violation";
}

export class World {
  readonly random: Random;
  nowMs = 0;
  /** Told where a process is about to do something that ought to survive any interruption. */
  onCrossing: (process: Process, at: Crossing) => void = () => {};
  readonly trace: string[] = [];
  isTracing = false;
  /** What this history leans on. */
  stress: Stress = stresses.plain!;
  /** Numbered items of a scene that do not take part, by name ("user 3"); a smaller history that fails alike says more. */
  leftOut: ReadonlySet<string> = new Set();
  readonly #items = new Map<string, number>();
  #order = 0;
  #numbers = 0;
  #heap: Entry[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  /** 1, 2, 3 and so on, in this world. */
  newNumber(): number {
    return ++this.#numbers;
  }
  /** Whether the next item of that kind takes part. Items are numbered 1, 2, 3 in the order in which they are asked for. */
  takesPart(kind: string): boolean {
    const number = (this.#items.get(kind) ?? 0) + 1;
    this.#items.set(kind, number);
    return !this.leftOut.has(`${kind} ${number}`);
  }
  /** How many of each kind there were. */
  get items(): ReadonlyMap<string, number> {
    return this.#items;
  }
  /** For an item whose choices are its own. */
  newRandom(): Random {
    return new Random(this.random.uint32());
  }
  log(text: () => string): void {
    if (this.isTracing) this.trace.push(`${this.nowMs.toFixed(2).padStart(10)} ${text()}`);
  }
  check(condition: boolean, message: () => string): void {
    if (!condition) throw new Violation(message());
  }

  after(delayMs: number, run: () => void, process?: Process): void {
    const entry: Entry = { atMs: delayMs > 0 ? this.nowMs + delayMs : this.nowMs, order: this.#order++, run, process };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!isBefore(entry, heap[up]!)) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = entry;
  }

  /** Runs what is due until `untilMs`; false when nothing is left before that. */
  run(untilMs: number, isOver: () => boolean = () => false): void {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#pop();
      this.nowMs = next.atMs;
      if (next.process === undefined) next.run();
      else next.process.attempt(next.run);
      if (isOver()) return;
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && isBefore(heap[down + 1]!, heap[down]!)) down++;
      if (!isBefore(heap[down]!, last)) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
  }
}
function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** What a thread yields. */
export type Step =
  | { readonly kind: "sleep"; readonly ms: number }
  /** `effect` happens in the kernel, some time between the call and its return. */
  | { readonly kind: "system"; readonly effect: () => unknown; readonly ms: number }
  | { readonly kind: "await"; readonly signal: Signal };
export type Thread<T = void> = Generator<Step, T, unknown>;

export function* sleep(ms: number): Thread {
  yield { kind: "sleep", ms };
}
/** A place where stopping is worst: a scene may stop the process here. */
export function* crossing(process: Process, at: Crossing): Thread {
  process.world.onCrossing(process, at);
  yield { kind: "sleep", ms: 0 };
}
/** One system call. What `effect` throws, the call throws. */
export function* system<T>(effect: () => T, ms = 1): Thread<T> {
  return (yield { kind: "system", effect, ms }) as T;
}
/** Waits until `condition` holds, looking again whenever the signal is given. */
export function* until(signal: Signal, condition: () => boolean): Thread {
  while (!condition()) yield { kind: "await", signal };
}

/** Wakes the threads that wait for it. */
export class Signal {
  #waiting: (() => void)[] = [];
  wait(wake: () => void): void {
    this.#waiting.push(wake);
  }
  give(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

const nothing = { value: undefined };

export class Process {
  readonly world: World;
  readonly name: string;
  state: "running" | "paused" | "machine-paused" | "dying" | "dead" = "running";
  readonly #rate: number;
  /** The clock showed `#shownMs` when the world's was at `#shownAtMs`; never less afterwards, not even by a rounding. */
  #shownMs: number;
  #shownAtMs = 0;
  #resumedMs = Number.NEGATIVE_INFINITY;
  #backlog: (() => void)[] = [];
  #kernelBacklog: (() => void)[] = [];
  #inKernel = 0;
  readonly #onEnd: (() => void)[] = [];

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
    this.#rate = 1 + (world.random.below(2001) - 1000) / 100_000;
    this.#shownMs = world.random.below(1_000_000);
  }

  get isAlive(): boolean {
    return this.state !== "dying" && this.state !== "dead";
  }
  get isRunning(): boolean {
    return this.state === "running";
  }
  /** This process's monotonic clock. It stops with its machine. */
  get clockMs(): number {
    return this.state === "machine-paused" ? this.#shownMs : this.#shownMs + (this.world.nowMs - this.#shownAtMs) * this.#rate;
  }
  /** When its machine last began to run again. */
  lastStopMs = Number.NEGATIVE_INFINITY;
  /** How long the world waits for `ms` of this clock. */
  toWorldMs(ms: number): number {
    return ms / this.#rate;
  }

  /** Called once the kernel has closed its descriptors. */
  onEnd(listener: () => void): void {
    this.#onEnd.push(listener);
  }

  pause(isMachine: boolean): void {
    if (this.state !== "running") return;
    if (isMachine) this.#shownMs = this.clockMs;
    this.state = isMachine ? "machine-paused" : "paused";
    this.world.log(() => `${this.name} ${this.state}`);
  }
  resume(): void {
    if (this.state !== "paused" && this.state !== "machine-paused") return;
    if (this.state === "machine-paused") {
      this.#shownAtMs = this.world.nowMs;
      this.lastStopMs = this.world.nowMs;
    }
    this.state = "running";
    this.#resumedMs = this.world.nowMs;
    this.world.log(() => `${this.name} resumes`);
    for (const effect of this.#kernelBacklog.splice(0)) this.world.after(this.world.random.below(3), effect);
    for (const run of this.#backlog.splice(0)) this.after(0, run);
  }
  kill(): void {
    if (!this.isAlive) return;
    const effects = this.#kernelBacklog.splice(0);
    this.state = "dying";
    this.world.log(() => `${this.name} killed`);
    this.#backlog = [];
    for (const effect of effects) this.world.after(this.world.random.below(3), effect);
    if (this.#inKernel === 0) this.#end();
  }
  #end(): void {
    this.state = "dead";
    for (const listener of this.#onEnd.splice(0)) listener();
  }

  /** Runs in this process: after a pause when it is paused, never when it has died. */
  after(delayMs: number, run: () => void): void {
    this.world.after(delayMs, run, this);
  }
  /** At once, behind whatever waited for the end of a pause. */
  deliver(run: () => void): void {
    if (this.state === "running" && this.world.nowMs !== this.#resumedMs) run();
    else this.after(0, run);
  }
  /** The world's part of `after`: its time has come. */
  attempt(run: () => void): void {
    if (this.state === "running") run();
    else if (this.isAlive) this.#backlog.push(run);
  }

  start(thread: Thread<unknown>): void {
    this.after(0, () => this.#advance(thread, nothing));
  }

  #advance(thread: Thread<unknown>, result: { value: unknown } | { error: unknown }): void {
    if (this.state === "paused" || this.state === "machine-paused") return void this.#backlog.push(() => this.#advance(thread, result));
    if (!this.isAlive) return;
    const next = "error" in result ? thread.throw(result.error) : thread.next(result.value);
    if (next.done === true) return;
    const step = next.value;
    switch (step.kind) {
      case "sleep":
        this.after(this.toWorldMs(step.ms), () => this.#advance(thread, nothing));
        break;
      case "await":
        step.signal.wait(() => this.after(0, () => this.#advance(thread, nothing)));
        break;
      case "system":
        this.#system(step, (outcome) => this.#advance(thread, outcome));
    }
  }

  #system(step: Step & { kind: "system" }, goOn: (outcome: { value: unknown } | { error: unknown }) => void): void {
    const { world } = this;
    this.#inKernel++;
    const effect = () => {
      if (this.state === "machine-paused") return void this.#kernelBacklog.push(effect);
      let outcome: { value: unknown } | { error: unknown };
      try {
        outcome = { value: step.effect() };
      } catch (error) {
        if (error instanceof Violation || !(error instanceof Error) || error.name === "AssertionFailed") throw error;
        outcome = { error };
      }
      this.#inKernel--;
      if (this.state === "dying" && this.#inKernel === 0) return this.#end();
      // Mostly the call returns in that instant; a process that is paused meanwhile hears when it runs again.
      if (world.random.chance(RETURNS_AT_ONCE)) goOn(outcome);
      else this.after(world.random.below(100) * 0.01 * step.ms, () => goOn(outcome));
    };
    world.after(world.random.below(100) * 0.01 * step.ms, effect);
    assert(this.#inKernel > 0, "the call has begun");
  }
}
