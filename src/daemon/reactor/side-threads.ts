/**
 * The reactor's ports to its side threads: I/O workers, which do backing calls that may block, and notifiers, which tell
 * the kernel to drop pages and may wait for write-back. Both answer by a message and a write to the reactor's eventfd. A
 * thread begins with the first request to it: many a mount needs none of them.
 *
 * Source    safety H1, C6.
 */
import { receiveMessageOnPort, type MessagePort } from "node:worker_threads";

export type SideRequest =
  | { readonly id: number; readonly kind: "call"; readonly name: string; readonly args: readonly unknown[] }
  | { readonly id: number; readonly kind: "notify"; readonly message: Uint8Array }
  | { readonly id: number; readonly kind: "notify-each"; readonly messages: readonly Uint8Array[] };
export interface SideAnswer {
  readonly id: number;
  readonly result: unknown;
}
/** Handed to a side thread as workerData. */
export interface SideThreadOptions {
  readonly port: MessagePort;
  readonly wakeFd: number;
  readonly fuseFd: number;
  /** One Int32 cell, not 0 once the mount is over: what has not begun by then is not done. */
  readonly over: SharedArrayBuffer;
}

type SideWork = { readonly kind: "call"; readonly name: string; readonly args: readonly unknown[] } | { readonly kind: "notify"; readonly message: Uint8Array } | { readonly kind: "notify-each"; readonly messages: readonly Uint8Array[] };

interface SideThread {
  readonly port: MessagePort;
  busy: number;
  hasBegun: boolean;
}

/** One kind of side threads: each request goes to the least busy, and of those to the first. */
export class SideThreads {
  readonly #threads: SideThread[];
  readonly #begin: (at: number) => void;
  readonly #waiting = new Map<number, { thread: SideThread; answered: (result: unknown) => void }>();
  #next = 1;

  /** @param begin has the thread at the other end of that port begun; called once for each port. */
  constructor(ports: readonly MessagePort[], begin: (at: number) => void = () => {}) {
    this.#threads = ports.map((port) => ({ port, busy: 0, hasBegun: false }));
    this.#begin = begin;
  }
  get waiting(): number {
    return this.#waiting.size;
  }
  ask(work: SideWork, answered: (result: unknown) => void): void {
    const thread = this.#threads.reduce((least, other) => (other.busy < least.busy ? other : least));
    const id = this.#next++;
    thread.busy++;
    this.#waiting.set(id, { thread, answered });
    const request: SideRequest = { id, ...work };
    thread.port.postMessage(request); // kept by the port until its thread has begun
    if (thread.hasBegun) return;
    thread.hasBegun = true;
    this.#begin(this.#threads.indexOf(thread));
  }
  /** To be called after each wake. */
  receive(): void {
    if (this.#waiting.size === 0) return;
    for (const thread of this.#threads) {
      for (let got = receiveMessageOnPort(thread.port); got !== undefined; got = receiveMessageOnPort(thread.port)) {
        const { id, result } = got.message as SideAnswer;
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        thread.busy--;
        waiting?.answered(result);
      }
    }
  }
}
