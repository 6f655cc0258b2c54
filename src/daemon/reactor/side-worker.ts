/**
 * The main thread's end of one side thread: its beginning and its end.
 *
 * A thread that is ended while it binds its C functions ends the whole process with it, so one that is still beginning is
 * waited for. An error in it is not caught here: requests of its mount would never be answered, so the process ends.
 *
 * Owns      the Worker. Not here  what the thread does (side-thread.ts), who is given work (side-threads.ts).
 * Units     milliseconds.
 */
import { Worker } from "node:worker_threads";
import type { SideThreadOptions } from "./side-threads.js";

/** It has loaded what it needs by then. */
const BEGIN_WITHIN_MS = 10_000;

export class SideWorker {
  readonly #worker: Worker;
  readonly #hasBegun: Promise<void>;

  constructor(options: SideThreadOptions) {
    this.#worker = new Worker(new URL("./side-thread.js", import.meta.url), { workerData: options, transferList: [options.port] });
    this.#hasBegun = new Promise((resolve) => {
      this.#worker.once("message", () => resolve());
      this.#worker.once("exit", () => resolve());
    });
  }
  async end(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([this.#hasBegun, new Promise((resolve) => (timer = setTimeout(resolve, BEGIN_WITHIN_MS)))]);
    clearTimeout(timer);
    await this.#worker.terminate();
  }
}
