/**
 * Procedures of the lease machine: each asks the volume one call after the other, and only one of them runs at a time.
 *
 * Owns      which runs, which wait, which are to be tried again after a failure of the volume.
 * Not here  what they do (lease-machine.ts).
 */
import { assert } from "../../base/assert.js";
import type { CallDone, VolumeCall } from "./volume-call.js";

export type Procedure<Result = void> = Generator<VolumeCall, Result, CallDone>;
interface Planned {
  readonly name: string;
  readonly procedure: () => Procedure;
}

export class Procedures {
  #running: Procedure | undefined;
  readonly #waiting: Planned[] = [];
  readonly #again: Planned[] = [];

  /** Nothing is being done and nothing waits. */
  get isIdle(): boolean {
    return this.#running === undefined && this.#waiting.length === 0;
  }

  enqueue(name: string, procedure: () => Procedure): void {
    this.#waiting.push({ name, procedure });
  }
  /** Unless one of that name waits already. */
  enqueueOnce(name: string, procedure: () => Procedure, isUrgent = false): void {
    if (this.#waiting.some((waiting) => waiting.name === name)) return;
    if (isUrgent) this.#waiting.unshift({ name, procedure });
    else this.#waiting.push({ name, procedure });
  }
  /** At the next tick. */
  tryAgain(name: string, procedure: () => Procedure): void {
    this.#again.push({ name, procedure });
  }
  tick(): void {
    for (const { name, procedure } of this.#again.splice(0)) this.enqueueOnce(name, procedure);
  }

  /** The running one goes on with the result of its call; the call that is owed now, by it or by the next. */
  resume(done: CallDone): VolumeCall | undefined {
    assert(this.#running !== undefined, "a result belongs to a call");
    const next = this.#running.next(done);
    if (next.done !== true) return next.value;
    this.#running = undefined;
    return this.startNext();
  }
  /** The call that is owed now, if nothing runs. */
  startNext(): VolumeCall | undefined {
    if (this.#running !== undefined) return undefined;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#running = next.procedure();
      const first = this.#running.next();
      if (first.done !== true) return first.value;
      this.#running = undefined;
    }
    return undefined;
  }
}
