/**
 * The I/O workers of one volume: grown when all are busy, up to a bound, with a bounded queue, so that a sick backing stops
 * its own jobs and nobody else's (safety H1).
 *
 * A worker that is stuck in the kernel cannot be ended; `close` does not wait for it (V13).
 */
import { Worker } from "node:worker_threads";
import type { Job, JobAnswer, JobOutcome } from "./jobs.js";

export interface PoolOptions {
  readonly workersMax: number;
  readonly queueMax: number;
}
export const defaultPoolOptions: PoolOptions = { workersMax: 4, queueMax: 4096 };
const CLOSE_WAIT_MS = 1000;

interface Waiting {
  readonly job: Job;
  readonly done: (outcome: JobOutcome) => void;
}
interface Member {
  readonly worker: Worker;
  /** Its first job. */
  readonly hasAnswered: Promise<void>;
  busyWith: Waiting | undefined;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #members: Member[] = [];
  readonly #queue: Waiting[] = [];
  #isClosed = false;

  constructor(options: PoolOptions = defaultPoolOptions) {
    this.#options = options;
  }

  /** Always fulfilled: EAGAIN when the queue is full, ENOTREADY when the pool is closed. */
  run(job: Job): Promise<JobOutcome> {
    if (this.#isClosed) return Promise.resolve({ kind: "failed", failure: { code: "ENOTREADY", message: "the file system is not attached any more" } });
    if (this.#queue.length >= this.#options.queueMax) {
      return Promise.resolve({ kind: "failed", failure: { code: "EAGAIN", message: `${this.#queue.length} jobs wait for the volume already` } });
    }
    return new Promise((done) => {
      this.#queue.push({ job, done });
      this.#dispatch();
    });
  }
  get waiting(): number {
    return this.#queue.length;
  }
  get busy(): number {
    return this.#members.filter((member) => member.busyWith !== undefined).length;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const gone: JobOutcome = { kind: "failed", failure: { code: "ENOTREADY", message: "the file system is not attached any more" } };
    for (const waiting of this.#queue.splice(0)) waiting.done(gone);
    const ended = this.#members.map(async (member) => {
      await member.hasAnswered; // ended while it begins, it would end the process (daemon/reactor/side-worker.ts)
      await member.worker.terminate();
      member.busyWith?.done(gone);
    });
    const enough = new Promise<void>((done) => void setTimeout(done, CLOSE_WAIT_MS).unref());
    await Promise.race([Promise.all(ended), enough]);
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const idle = this.#members.find((member) => member.busyWith === undefined) ?? this.#grow();
      if (idle === undefined) return;
      const waiting = this.#queue.shift()!;
      idle.busyWith = waiting;
      idle.worker.ref();
      idle.worker.postMessage({ id: 0, job: waiting.job });
    }
  }

  #grow(): Member | undefined {
    if (this.#members.length >= this.#options.workersMax) return undefined;
    const worker = new Worker(new URL("./worker.js", import.meta.url));
    const hasAnswered = new Promise<void>((resolve) => void worker.once("message", () => resolve()));
    const member: Member = { worker, hasAnswered, busyWith: undefined };
    member.worker.on("message", (answer: JobAnswer) => {
      const waiting = member.busyWith;
      member.busyWith = undefined;
      member.worker.unref();
      waiting?.done(answer.outcome);
      if (!this.#isClosed) this.#dispatch();
    });
    // A bug in a worker is a bug of the daemon: not caught here, so that the process ends.
    member.worker.on("error", (failure) => {
      throw failure;
    });
    this.#members.push(member);
    return member;
  }
}
