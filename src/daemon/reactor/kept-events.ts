/**
 * Events of reads that ended with EINTR for a signal whose handler may try the same read again: the event stays open for a
 * while, and the retry (same process, same file, overlapping range) joins it instead of raising another.
 *
 * Source    safety H2 (runtimes that signal their own threads).
 */
import type { DataEvent } from "../../dmapi/events.js";
import type { OperationId } from "../../dmapi/ids.js";
import type { Decision } from "../../cluster/node-contract.js";

export const KEPT_MS = 10_000;

interface Kept {
  readonly operation: OperationId;
  readonly pid: number;
  readonly event: DataEvent;
  decision: Decision | undefined;
}

export class KeptEvents {
  readonly #kept = new Map<OperationId, Kept>();
  /** The operation that main knows, and the one that waits for it now. */
  readonly #joined = new Map<OperationId, OperationId>();

  keep(operation: OperationId, pid: number, event: DataEvent): void {
    this.#kept.set(this.knownAs(operation), { operation: this.knownAs(operation), pid, event, decision: undefined });
    this.#forgetJoin(operation);
  }
  /** Whether it was still open. */
  drop(operation: OperationId): boolean {
    return this.#kept.delete(operation);
  }
  /** The kept event that this one joins; its answer, when it came meanwhile. */
  join(operation: OperationId, pid: number, event: DataEvent): { decision: Decision | undefined } | undefined {
    for (const kept of this.#kept.values()) {
      const overlaps = kept.event.offset < event.offset + event.length && event.offset < kept.event.offset + kept.event.length;
      if (kept.pid !== pid || kept.event.handle !== event.handle || !overlaps) continue;
      this.#kept.delete(kept.operation);
      if (kept.decision === undefined) this.#joined.set(kept.operation, operation);
      return { decision: kept.decision };
    }
    return undefined;
  }
  /** Main's answer: to the operation that waits for it now, or "kept" when none does at the moment. */
  answered(operation: OperationId, decision: Decision): OperationId | "kept" {
    const kept = this.#kept.get(operation);
    if (kept !== undefined) {
      kept.decision = decision;
      return "kept";
    }
    const waiting = this.#joined.get(operation);
    this.#joined.delete(operation);
    return waiting ?? operation;
  }
  /** Who waits for what main calls `operation`. */
  waiting(operation: OperationId): OperationId {
    return this.#joined.get(operation) ?? operation;
  }
  /** What main calls an operation that joined. */
  knownAs(operation: OperationId): OperationId {
    for (const [known, waiting] of this.#joined) if (waiting === operation) return known;
    return operation;
  }
  ended(operation: OperationId): void {
    this.#forgetJoin(operation);
  }
  #forgetJoin(operation: OperationId): void {
    if (this.#joined.size > 0) this.#joined.delete(this.knownAs(operation));
  }
}
