/**
 * Coordination as the daemon's main thread sees it: requests go down, facts come up. The work is done in a thread of its
 * own, which renews this node's lease only while the main thread and every reactor show life (safety M2).
 *
 * Units     milliseconds.
 * Source    cluster/coordination-contract.ts; safety C7, C8, M2.
 */
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import type { CoordinationFact, CoordinationRequest } from "../cluster/coordination-contract.js";
import type { MemberFacts } from "../cluster/view-document.js";
import type { Incarnation } from "../dmapi/ids.js";
import { type LeaseTimes, oneMachine } from "./shared-volume/lease-machine.js";
import type { ToWorker } from "./shared-volume/worker.js";

export { type LeaseTimes, manyMachines, oneMachine } from "./shared-volume/lease-machine.js";
export { monotonicMs } from "./shared-volume/driver.js";

export interface CoordinationOptions {
  /** On the volume that all members share; made when missing, private to root. */
  readonly directory: string;
  readonly cluster: string;
  /** Without `incarnation`: one more than this identity ever used. */
  readonly member: Omit<MemberFacts, "incarnation"> & { readonly incarnation?: Incarnation };
  readonly times?: LeaseTimes;
  /**
   * Int32 cells in which the daemon's threads count up. Cell 0 is the main thread's and counted here. A reactor counts its
   * own at least every `tickWithinMs`; a cell that is 0 belongs to no thread, so whoever ends sets it to 0.
   */
  readonly ticks?: SharedArrayBuffer;
  /** A thread that has not counted for this long keeps the lease from being renewed. */
  readonly tickWithinMs?: number;
}

export interface Coordination {
  /** Of this life; `rejoin` takes a later one. */
  readonly incarnation: Incarnation;
  request(request: CoordinationRequest): void;
  /** Facts that came before are told first. */
  onFact(listener: (fact: CoordinationFact) => void): void;
  /** The thread ended by itself: without it this daemon can be no member, and should end. */
  onFailure(listener: (error: Error) => void): void;
  /** Ends the thread after what was requested is done, and frees the identity: to be called when no I/O is left. */
  stop(): Promise<void>;
}

/** @internal What the worker is given. */
export interface WorkerOptions extends CoordinationOptions {
  readonly times: LeaseTimes;
  readonly ticks: SharedArrayBuffer;
  readonly tickWithinMs: number;
}
/** @internal */
export type FromWorker =
  | { readonly kind: "started"; readonly incarnation: Incarnation }
  | { readonly kind: "fact"; readonly fact: CoordinationFact }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "stopped" };

/** @throws when the identity is taken (the message names its holder) or the directory cannot be used. */
export async function startCoordination(options: CoordinationOptions): Promise<Coordination> {
  const times = options.times ?? oneMachine;
  const whole: WorkerOptions = {
    ...options, times, ticks: options.ticks ?? new SharedArrayBuffer(4), tickWithinMs: options.tickWithinMs ?? Math.max(4 * times.renewMs, 1_000),
  };
  const running = new RunningWorker(whole);
  await running.started;
  return running;
}

class RunningWorker implements Coordination {
  readonly started: Promise<void>;
  incarnation = 0 as Incarnation;
  readonly #worker: Worker;
  readonly #port: MessageChannel["port1"];
  readonly #wake = new Int32Array(new SharedArrayBuffer(4));
  readonly #ticking: NodeJS.Timeout;
  readonly #ended: Promise<void>;
  #early: CoordinationFact[] = [];
  #listener: ((fact: CoordinationFact) => void) | undefined;
  #failure: Error | undefined;
  #onFailure: ((error: Error) => void) | undefined;
  #isStopping = false;

  constructor(options: WorkerOptions) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const cells = new Int32Array(options.ticks);
    Atomics.add(cells, 0, 1);
    this.#ticking = setInterval(() => Atomics.add(cells, 0, 1), options.times.renewMs / 2);
    this.#worker = new Worker(new URL("./shared-volume/worker.js", import.meta.url), {
      workerData: { ...options, port: port2, wake: this.#wake.buffer }, transferList: [port2],
      trackUnmanagedFds: false, // the identity lock belongs to the process, not to the thread
    });
    this.started = new Promise((resolve, reject) => {
      const take = (message: FromWorker) => {
        if (message.kind === "started") {
          this.incarnation = message.incarnation;
          resolve();
        } else if (message.kind === "failed") {
          reject(new Error(message.message));
          this.#fail(new Error(message.message));
        } else if (message.kind === "fact") this.#tell(message.fact);
      };
      port1.on("message", take);
      this.#worker.on("error", (error) => {
        reject(error);
        this.#fail(error);
      });
      this.#worker.on("exit", () => {
        // What it said last may still be on its way.
        for (let last = receiveMessageOnPort(port1); last !== undefined; last = receiveMessageOnPort(port1)) take(last.message as FromWorker);
        reject(new Error("the coordination thread ended"));
      });
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on("exit", () => {
        clearInterval(this.#ticking);
        port1.close();
        if (!this.#isStopping) this.#fail(new Error("the coordination thread ended"));
        resolve();
      });
    });
  }

  request(request: CoordinationRequest): void {
    this.#post({ kind: "request", request });
  }
  onFact(listener: (fact: CoordinationFact) => void): void {
    this.#listener = listener;
    for (const fact of this.#early.splice(0)) listener(fact);
  }
  onFailure(listener: (error: Error) => void): void {
    this.#onFailure = listener;
    if (this.#failure !== undefined) listener(this.#failure);
  }
  async stop(): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true;
      this.#post({ kind: "stop" });
    }
    await this.#ended;
  }

  #post(message: ToWorker): void {
    this.#port.postMessage(message);
    Atomics.add(this.#wake, 0, 1);
    Atomics.notify(this.#wake, 0);
  }
  #tell(fact: CoordinationFact): void {
    if (this.#listener === undefined) this.#early.push(fact);
    else this.#listener(fact);
  }
  #fail(error: Error): void {
    if (this.#failure !== undefined || this.#isStopping) return;
    this.#failure = error;
    this.#onFailure?.(error);
  }
}
