/**
 * The event logs as the daemon's main thread sees them: work goes down, results come up. One thread writes this node's own
 * logs, so that a user waits for nothing but that; another reads, acknowledges and removes. Both begin when first needed.
 *
 * Source    safety H1, M11.
 */
import { Worker } from "node:worker_threads";
import type { EventLogWork } from "../../cluster/durable-events/event-log.js";
import type { VolumeResult } from "../../cluster/node-contract.js";
import type { LogRequest } from "./worker.js";

export class EventLog {
  readonly #directory: string;
  readonly #failed: (error: Error) => void;
  #writer: LogThread | undefined;
  #keeper: LogThread | undefined;
  #isClosed = false;

  /** @param failed a thread ended by itself: without it users wait for ever. */
  constructor(directory: string, failed: (error: Error) => void) {
    this.#directory = directory;
    this.#failed = failed;
  }

  async run(work: EventLogWork): Promise<VolumeResult> {
    if (this.#isClosed) return { kind: "failed", failure: { code: "ENOTREADY", message: "this node stops" } };
    if (work.kind === "append") {
      this.#writer ??= this.#begin();
      return this.#writer.ask(work);
    }
    // The writer lets go of files that are to be removed.
    if (work.kind === "remove") await this.#writer?.ask({ kind: "forget", session: work.session });
    this.#keeper ??= this.#begin();
    return this.#keeper.ask(work);
  }
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([this.#writer?.end(), this.#keeper?.end()]);
  }

  #begin(): LogThread {
    return new LogThread(this.#directory, (error) => {
      if (!this.#isClosed) this.#failed(new Error(`event log: ${error.message}`, { cause: error }));
    });
  }
}

const END_WAIT_MS = 1_000;

class LogThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (result: VolumeResult) => void>();
  readonly #hasAnswered: Promise<void>;
  #next = 1;

  constructor(directory: string, failed: (error: Error) => void) {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: { directory } });
    this.#worker.unref();
    this.#hasAnswered = new Promise((resolve) => void this.#worker.once("message", () => resolve()));
    this.#worker.on("error", failed);
    this.#worker.on("message", ({ id, outcome }: { id: number; outcome: VolumeResult }) => {
      const done = this.#waiting.get(id);
      this.#waiting.delete(id);
      done?.(outcome);
    });
  }
  ask(work: LogRequest["work"]): Promise<VolumeResult> {
    const id = this.#next++;
    return new Promise((done) => {
      this.#waiting.set(id, done);
      const request: LogRequest = { id, work };
      this.#worker.postMessage(request);
    });
  }
  /** One that is stuck in the kernel cannot be ended; the process goes without it. */
  async end(): Promise<void> {
    const enough = new Promise<void>((done) => void setTimeout(done, END_WAIT_MS).unref());
    // Ended while it begins, it would end the process (daemon/reactor/side-worker.ts).
    await Promise.race([this.#hasAnswered.then(() => this.#worker.terminate()), enough]);
  }
}
