/**
 * The reactor's ports to its side threads: I/O workers, which do backing calls that may block, and notifiers, which tell
 * the kernel to drop pages and may wait for write-back. Both answer by a message and a write to the reactor's eventfd. A
 * thread begins with the first request to it: many a mount needs none of them.
 *
 * Source    safety H1, C6.
 */
import { performance } from "node:perf_hooks";
import { receiveMessageOnPort, type MessagePort } from "node:worker_threads";

export type SideRequest =
  | { readonly id: number; readonly kind: "call"; readonly name: string; readonly args: readonly unknown[] }
  | { readonly id: number; readonly kind: "notify"; readonly message: Uint8Array }
  | { readonly id: number; readonly kind: "notify-each"; readonly messages: readonly Uint8Array[] };
export interface SideAnswer {
  readonly id: number;
  readonly result: unknown;
  /** The mount was over before it was begun; `result` is an error. */
  readonly isUndone?: true;
}
/** Handed to a side thread as workerData. */
export interface SideThreadOptions {
  readonly port: MessagePort;
  readonly wakeFd: number;
  readonly fuseFd: number;
  /** It does nothing but notify, of a mount that outlives the daemon: it keeps only descriptors of its own (side-thread.ts). */
  readonly isAlone: boolean;
  /** One Int32 cell, not 0 once the mount is over: what has not begun by then is not done. */
  readonly over: SharedArrayBuffer;
}

type SideWork = { readonly kind: "call"; readonly name: string; readonly args: readonly unknown[] } | { readonly kind: "notify"; readonly message: Uint8Array } | { readonly kind: "notify-each"; readonly messages: readonly Uint8Array[] };

interface SideThread {
  readonly port: MessagePort;
  /** What it is at, undefined while it is free. */
  work: { readonly id: number; readonly sinceMs: number; readonly answered: (result: unknown) => void } | undefined;
  hasBegun: boolean;
}

/** A call that lasts longer is slow: its thread is not counted among those that serve the others. */
export const SLOW_MS = 100;

/**
 * One kind of side threads. A request goes to a thread that is free, or waits until one is: nothing is
 * put behind a call that may turn out to be slow. While some threads are at slow calls, spare ones begin in their place, as long as
 * there are any: `ready` threads are to be at hand for those whose calls are quick.
 */
export class SideThreads {
  readonly #threads: SideThread[];
  readonly #begin: (at: number) => void;
  readonly #ready: number;
  readonly #waiting: { readonly id: number; readonly request: SideRequest; readonly answered: (result: unknown) => void }[] = [];
  readonly #nowMs: () => number;
  #inWork = 0;
  #next = 1;
  /** What was not done any more is for the next daemon to do, and whoever asked for it is not told: it would tell users. */
  leavesUndone = false;

  /**
   * @param begin has the thread at the other end of that port begun; called once for each port.
   * @param ready how many serve when none of them is slow; all by default.
   */
  constructor(ports: readonly MessagePort[], begin: (at: number) => void = () => {}, ready = ports.length, nowMs = () => performance.now()) {
    this.#threads = ports.map((port) => ({ port, work: undefined, hasBegun: false }));
    this.#begin = begin;
    this.#ready = ready;
    this.#nowMs = nowMs;
  }
  get waiting(): number {
    return this.#inWork + this.#waiting.length;
  }
  /** Requests wait for a thread: one may have become slow, so they are to be looked at again soon. */
  get hasQueue(): boolean {
    return this.#waiting.length > 0;
  }
  ask(work: SideWork, answered: (result: unknown) => void): void {
    const id = this.#next++;
    this.#waiting.push({ id, request: { id, ...work }, answered });
    this.assign();
  }
  /** To be called after each wake. */
  receive(): void {
    if (this.waiting === 0) return;
    for (const thread of this.#threads) {
      for (let got = receiveMessageOnPort(thread.port); got !== undefined; got = receiveMessageOnPort(thread.port)) {
        const { id, result, isUndone } = got.message as SideAnswer;
        const { work } = thread;
        if (work?.id !== id) continue;
        thread.work = undefined;
        this.#inWork--;
        if (isUndone !== true || !this.leavesUndone) work.answered(result);
      }
    }
    this.assign();
  }
  /** Gives what waits to threads that are free. */
  assign(): void {
    while (this.#waiting.length > 0) {
      const thread = this.#free();
      if (thread === undefined) return;
      const { id, request, answered } = this.#waiting.shift()!;
      thread.work = { id, sinceMs: this.#nowMs(), answered };
      this.#inWork++;
      thread.port.postMessage(request); // kept by the port until its thread has begun
      if (thread.hasBegun) continue;
      thread.hasBegun = true;
      this.#begin(this.#threads.indexOf(thread));
    }
  }
  /** The first that is free and has begun; else one that has not, if there are fewer than `ready` beside the slow ones. */
  #free(): SideThread | undefined {
    let serving = 0;
    let fresh: SideThread | undefined;
    const now = this.#inWork === 0 ? 0 : this.#nowMs();
    for (const thread of this.#threads) {
      if (!thread.hasBegun) fresh ??= thread;
      else if (thread.work === undefined) return thread;
      else if (now - thread.work.sinceMs < SLOW_MS) serving++;
    }
    return serving < this.#ready ? fresh : undefined;
  }
}
