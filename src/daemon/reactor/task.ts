/**
 * A user's request on its way: a generator that runs until it must wait, and is resumed with what it waited for. All tasks
 * of a mount run on the reactor's one thread; between two `yield`s nothing else runs.
 *
 * Source    safety H1 (nothing here blocks), H2 (what may be interrupted).
 */
import type { EventType, DmEvent, ProcessInfo } from "../../dmapi/events.js";
import type { Handle, OperationId } from "../../dmapi/ids.js";
import type { HoldCause } from "../../cluster/admission/operation.js";
import type { Request } from "../../fuse/codec/request.js";
import type { JournalEntry } from "../holder/mount-memory.js";
import type { HeldData, KeptData } from "./held-data.js";
import type { Inode } from "./inode-table.js";

/** Yields nothing; is resumed with a value that belongs to the wait. Ends with a negative errno, or undefined once replied. */
export type Steps<T = number | undefined> = Generator<void, T, unknown>;

const WIPED = 0xdb;

export interface Hold {
  readonly sinceMs: number;
  cause: HoldCause | "lock" | "members" | "append";
  detail: string;
  handle: Handle | undefined;
  token?: number | undefined;
  session?: number | undefined;
  /** Told by the main thread, in place of the cause known here. */
  described?: { cause: string; detail: string; untilMs: number | undefined } | undefined;
}

export class Task {
  /** Undefined: work of our own, on nobody's behalf. */
  request: Request | undefined;
  steps: Steps | undefined;
  operation: OperationId | undefined = undefined;
  /** What admission said, until the task takes it. */
  verdict: number | undefined = undefined;
  isSuspended = false;
  /** It has been suspended: other operations ran meanwhile. */
  get hasWaited(): boolean {
    return this.waits > 0;
  }
  waits = 0;
  /** Waiting for something that an interrupt may end. */
  isInterruptible = false;
  hasRaised = false;
  /** It ran; only its post events are still to be told. */
  isDone = false;
  hold: Hold | undefined = undefined;
  /** What main is told when admission raises an event of that type. */
  get events(): Map<EventType, () => DmEvent> {
    this.#events ??= new Map();
    return this.#events;
  }
  #events: Map<EventType, () => DmEvent> | undefined;
  readonly pinned: Inode[] = [];
  /** What no other kernel keeps until this ends (kept-names.ts). */
  changesByName = false;
  readonly changes: { readonly change: number; readonly objects: readonly string[]; readonly isByReading: boolean }[] = [];
  readonly call: string;
  inode: Inode | undefined = undefined;
  process: ProcessInfo | undefined = undefined;
  interruptedAtMs: number | undefined = undefined;
  /** Its entry in the journal; -1: none. */
  entry = -1;
  /** An earlier daemon had begun with the same request. */
  past: JournalEntry | undefined = undefined;
  #kept: KeptData | undefined;

  constructor(request: Request | undefined, call: string) {
    this.request = request;
    this.call = call;
  }

  /**
   * Bytes that lie in the receive buffer are copied out as soon as a task waits, and wiped there: whoever goes on with what lay
   * there is found by any test, and not only when the next request comes in between.
   */
  keepData(held: HeldData): void {
    const received = this.#received;
    if (this.#kept !== undefined || received === undefined) return;
    this.#kept = held.keep(received);
    received.fill(WIPED);
  }
  get #received(): Uint8Array | undefined {
    const { request } = this;
    return request?.kind === "write" ? request.data : request?.kind === "setxattr" ? request.value : undefined;
  }
  /** The bytes that came with the request, wherever they are kept; or a negative errno. To be asked for after each wait anew. */
  get data(): Uint8Array | number {
    return this.#kept === undefined ? (this.#received ?? Buffer.alloc(0)) : this.#kept.bytes();
  }
  dropData(): void {
    this.#kept?.drop();
    this.#kept = undefined;
  }
}
