/**
 * How far the host is with one log: what it has put into the queue, what the application has acknowledged of it.
 *
 * Invariant: every event numbered up to `enqueued` was offered, and those not in `#unacknowledged` are acknowledged.
 */
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import type { LogCursor, LoggedEvent, LogPlace } from "./event-log.js";

export class LogPosition {
  readonly node: NodeId;
  readonly incarnation: Incarnation;
  enqueued = 0;
  /** The source has told of events up to this one. */
  wanted = 0;
  /** Where reading goes on; undefined: at the beginning. */
  place: LogPlace | undefined;
  isReading = false;
  /** Nothing is known to be in the log that is not enqueued. */
  isAtEnd = true;
  /** How often something seemed to be missing in it. */
  gapTries = 0;
  isTrimming = false;
  isLookedAtAgain = false;
  /** Cursor on stable storage; as the source was told it; at the last trim. */
  saved = 0;
  toldSource = 0;
  trimmed = 0;
  /** Offered and not acknowledged, ascending. */
  readonly #unacknowledged = new Set<number>();
  /** Acknowledged although an earlier one is not. */
  #beyond = new Set<number>();
  #through = 0;

  constructor(node: NodeId, incarnation: Incarnation) {
    this.node = node;
    this.incarnation = incarnation;
  }

  /** Nothing of it has been offered here. */
  get isFresh(): boolean {
    return this.enqueued === 0;
  }
  isOwed(sequence: number): boolean {
    return this.#unacknowledged.has(sequence);
  }
  get unacknowledged(): number {
    return this.#unacknowledged.size;
  }
  begin(cursor: LogCursor): void {
    this.enqueued = cursor.through;
    this.saved = cursor.through;
    this.#through = cursor.through;
    this.#beyond = new Set(cursor.beyond);
  }

  /** Whether what comes after `previous` may be enqueued without a look into the log. */
  follows(previous: number): boolean {
    return this.isAtEnd && !this.isReading && this.enqueued >= previous;
  }
  isWanted(through: number): void {
    this.wanted = Math.max(this.wanted, through);
    if (this.wanted > this.enqueued) this.isAtEnd = false;
  }
  /** Of these, those to be offered. */
  take(events: readonly LoggedEvent[]): LoggedEvent[] {
    const offered: LoggedEvent[] = [];
    for (const event of events) {
      if (event.sequence <= this.enqueued) continue;
      this.enqueued = event.sequence;
      if (this.#beyond.has(event.sequence)) continue;
      this.#unacknowledged.add(event.sequence);
      offered.push(event);
    }
    this.#advance();
    return offered;
  }

  /** Those that were not acknowledged before. */
  acknowledge(sequence: number, isUpTo: boolean): number[] {
    const newly: number[] = [];
    if (!isUpTo) {
      if (this.#unacknowledged.has(sequence)) newly.push(sequence);
    } else {
      for (const each of this.#unacknowledged) {
        if (each > sequence) break;
        newly.push(each);
      }
    }
    for (const each of newly) {
      this.#unacknowledged.delete(each);
      this.#beyond.add(each);
    }
    this.#advance();
    return newly;
  }
  cursor(): LogCursor {
    return { node: this.node, incarnation: this.incarnation, through: this.#through, beyond: [...this.#beyond].sort((a, b) => a - b) };
  }

  #advance(): void {
    const first = this.#unacknowledged.values().next();
    const through = first.done === true ? this.enqueued : first.value - 1;
    if (through <= this.#through) return;
    this.#through = through;
    for (const sequence of this.#beyond) if (sequence <= through) this.#beyond.delete(sequence);
  }
}
