/**
 * The coordination thread: drives the lease machine on the shared volume, asleep until its next deadline or a request.
 * Everything in it is synchronous, so that nothing but the volume itself can delay a renewal.
 *
 * Source    safety M2.
 */
import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type { CoordinationRequest } from "../../cluster/coordination-contract.js";
import type { FromWorker, WorkerOptions } from "../start.js";
import { monotonicMs, SharedVolume } from "./driver.js";
import { LeaseMachine, type LeaseInput } from "./lease-machine.js";

export type ToWorker = { readonly kind: "request"; readonly request: CoordinationRequest } | { readonly kind: "stop" };

const { port, wake, ...options } = workerData as WorkerOptions & { port: MessagePort; wake: SharedArrayBuffer };
const wakeCell = new Int32Array(wake);
const say = (message: FromWorker) => port.postMessage(message);

/** Whether every thread that counts has counted lately. A cell that is 0 belongs to no thread. */
class Ticks {
  readonly #cells: Int32Array;
  readonly #seen: { value: number; atMs: number }[];

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer);
    this.#seen = [...this.#cells].map((value) => ({ value, atMs: monotonicMs() }));
  }
  areTicking(atMs: number): boolean {
    let all = true;
    this.#seen.forEach((seen, cell) => {
      const value = Atomics.load(this.#cells, cell);
      if (value !== seen.value) Object.assign(seen, { value, atMs });
      if (value !== 0 && atMs - seen.atMs > options.tickWithinMs) all = false;
    });
    return all;
  }
}

function run(): void {
  const volume = new SharedVolume(options.directory, options.cluster);
  const { identity, release } = volume.takeIdentity(options.member);
  const facts = { ...options.member, incarnation: identity.incarnation };
  const machine = new LeaseMachine({ facts, identity, times: options.times });
  const ticks = new Ticks(options.ticks);
  say({ kind: "started", incarnation: identity.incarnation });

  const step = (make: (now: { atMs: number; isTicking: boolean }) => LeaseInput) => {
    for (let next: typeof make | undefined = make; next !== undefined; ) {
      const atMs = monotonicMs();
      const effects = machine.step(next({ atMs, isTicking: ticks.areTicking(atMs) }));
      next = undefined;
      for (const effect of effects) {
        if (effect.kind === "tell") say({ kind: "fact", fact: effect.fact });
        else {
          const done = volume.run(effect.call);
          next = (now) => ({ kind: "call-done", done, ...now });
        }
      }
    }
  };
  for (let isStopping = false; ; ) {
    const woken = Atomics.load(wakeCell, 0);
    for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port)) {
      const message = received.message as ToWorker;
      if (message.kind === "stop") isStopping = true;
      else step((now) => ({ kind: "requested", request: message.request, ...now }));
    }
    if (isStopping) break;
    step((now) => ({ kind: "time-passed", ...now }));
    Atomics.wait(wakeCell, 0, woken, Math.max(1, machine.deadlineMs - monotonicMs()));
  }
  release();
  say({ kind: "stopped" });
  port.close();
}

try {
  run();
} catch (error) {
  say({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  port.close();
}
