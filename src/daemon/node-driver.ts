/**
 * The loop round the node's machine: inputs wait in one queue, each is stepped, its effects are performed in order before
 * the next; and a timer pays the machine's deadline. A burst is worked off in slices, so that sockets and ticks go on. What
 * one callback of the event loop gives is a turn of the machine.
 *
 * Units     milliseconds of the monotonic clock handed in, the one that coordination uses.
 * Not here  what the effects do (node-process.ts).
 * Source    style: the daemon's whole share of a machine is a loop; safety M2 (slices of 5 ms).
 */
import type { NodeEffect, NodeInput } from "../cluster/node-contract.js";

type WithoutTime<T> = T extends unknown ? Omit<T, "atMs"> : never;
/** An input of the machine; the driver stamps it with the time, so it is the driver's from then on. */
export type Fact = WithoutTime<NodeInput>;

export interface Machine {
  step(input: NodeInput): NodeEffect[];
  readonly deadlineMs: number;
  /** It waits for a `turn-over`. */
  readonly hasCollected: boolean;
}

const SLICE_MS = 5;
const TIMER_LONGEST_MS = 60_000;

export class NodeDriver {
  readonly #machine: Machine;
  readonly #perform: (effect: NodeEffect) => void;
  readonly #nowMs: () => number;
  #queue: Fact[] = [];
  #isRunning = false;
  #isStopped = false;
  #lastMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #continuation: NodeJS.Immediate | undefined;
  #isTurnOpen = false;
  readonly #watchers = new Set<() => void>();

  constructor(machine: Machine, perform: (effect: NodeEffect) => void, nowMs: () => number) {
    this.#machine = machine;
    this.#perform = perform;
    this.#nowMs = nowMs;
  }

  /** From anywhere, also from within an effect: then it waits until the effects before it are performed. */
  give(fact: Fact): void {
    if (this.#isStopped) return;
    this.#queue.push(fact);
    this.#run();
  }

  /** Resolves when `holds`, which is asked after each slice of steps. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => {
      const watch = () => {
        if (!holds()) return;
        this.#watchers.delete(watch);
        resolve();
      };
      this.#watchers.add(watch);
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#queue = [];
    clearTimeout(this.#timer);
    clearImmediate(this.#continuation);
  }

  #run(): void {
    if (this.#isRunning || this.#continuation !== undefined) return;
    this.#isRunning = true;
    const sliceEndMs = this.#nowMs() + SLICE_MS;
    for (let at = 0; at < this.#queue.length; at++) {
      for (const effect of this.#machine.step(this.#stamped(this.#queue[at]!))) this.#perform(effect);
      if (this.#isStopped) return;
      if (this.#lastMs >= sliceEndMs) {
        this.#queue = this.#queue.slice(at + 1);
        this.#endSlice();
        if (this.#queue.length > 0) this.#continueLater();
        return;
      }
    }
    this.#queue = [];
    this.#endSlice();
  }

  #continueLater(): void {
    this.#continuation = setImmediate(() => {
      this.#continuation = undefined;
      this.#run();
    });
  }

  #endSlice(): void {
    this.#isRunning = false;
    if (!this.#machine.hasCollected) this.#arm(); // else its end does: what is sent then may owe nothing any more
    else if (!this.#isTurnOpen) {
      this.#isTurnOpen = true;
      process.nextTick(() => this.#endTurn());
    }
    if (this.#watchers.size > 0) for (const watch of [...this.#watchers]) watch();
  }

  /** Also before what waits for another slice. */
  #endTurn(): void {
    this.#isTurnOpen = false;
    if (this.#isStopped || !this.#machine.hasCollected) return;
    this.#isRunning = true;
    for (const effect of this.#machine.step(this.#stamped({ kind: "turn-over" }))) this.#perform(effect);
    if (this.#isStopped) return;
    this.#endSlice();
    if (this.#queue.length > 0) this.#run();
  }

  /** Never backwards, as machines assert. A copy for each event would cost more than the step. */
  #stamped(fact: Fact): NodeInput {
    this.#lastMs = Math.max(this.#lastMs, this.#nowMs());
    const input = fact as { -readonly [K in keyof NodeInput]: NodeInput[K] };
    input.atMs = this.#lastMs;
    return input as NodeInput;
  }

  #arm(): void {
    const dueMs = this.#machine.deadlineMs;
    // One that comes too early only arms anew: cheaper than another timer for each step.
    if (this.#timer !== undefined && this.#timerAtMs <= dueMs) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAtMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#wake(), Math.min(TIMER_LONGEST_MS, Math.max(0, Math.ceil(dueMs - this.#nowMs()))));
  }

  #wake(): void {
    this.#timer = undefined;
    if (this.#nowMs() >= this.#machine.deadlineMs) this.give({ kind: "time-passed" });
    else this.#arm();
  }
}
