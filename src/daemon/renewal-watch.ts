/**
 * How quickly the coordination directory takes the renewals of this node's lease: one that takes a quarter of the lease's
 * time is no danger yet, and the last moment to look at the volume. The coordination thread itself stands still while a
 * renewal hangs, so that is seen from here.
 *
 * Owns      the figures of the status document, the lines in the log.
 * Units     milliseconds of the monotonic clock.
 * Source    safety M7.
 */
import type { CoordinationFact } from "../cluster/coordination-contract.js";
import type { LeaseTimes } from "../coordination/start.js";
import type { RenewalsEntry } from "../dmapi/status.js";

export class RenewalWatch {
  readonly #times: LeaseTimes;
  readonly #alarmMs: number;
  readonly #log: (line: string) => void;
  readonly #leaseUntil: Float64Array;
  /** When the last confirmed one was issued. */
  #issuedMs: number | undefined;
  #lastMs = 0;
  #slowestMs = 0;
  #slow = 0;
  /** Told of the renewal that is awaited now. */
  #isTold = false;

  /** @param leaseUntil one number, for threads that go by the lease. */
  constructor(times: LeaseTimes, log: (line: string) => void, leaseUntil: Float64Array) {
    this.#leaseUntil = leaseUntil;
    this.#times = times;
    this.#alarmMs = times.holdMs / 4;
    this.#log = log;
  }

  hear(fact: CoordinationFact): void {
    if (fact.kind === "coordination-failed") this.#log(`coordination: ${fact.message}`);
    if (fact.kind !== "lease-renewed") return;
    this.#issuedMs = fact.validUntilMs - this.#times.holdMs;
    this.#leaseUntil[0] = fact.validUntilMs;
    this.#lastMs = fact.tookMs;
    this.#slowestMs = Math.max(this.#slowestMs, fact.tookMs);
    if (fact.tookMs > this.#alarmMs) {
      this.#slow++;
      this.#log(`alarm: ${this.#tookText()}`);
    } else if (this.#isTold) this.#log(`the coordination directory takes renewals again, the last in ${Math.round(fact.tookMs)} ms`);
    this.#isTold = false;
  }

  /** To be called now and then. */
  look(nowMs: number): void {
    const overdue = this.#overdueText(nowMs);
    if (overdue === undefined || this.#isTold) return;
    this.#isTold = true;
    this.#log(`alarm: ${overdue}`);
  }

  entry(nowMs: number): RenewalsEntry {
    const alarm = this.#overdueText(nowMs) ?? (this.#lastMs > this.#alarmMs ? this.#tookText() : undefined);
    return {
      ...(this.#issuedMs === undefined ? {} : { ageMs: Math.round(nowMs - this.#issuedMs) }), lastMs: Math.round(this.#lastMs), slowestMs: Math.round(this.#slowestMs),
      alarmMs: this.#alarmMs, slow: this.#slow, ...(alarm === undefined ? {} : { alarm }),
    };
  }

  #tookText(): string {
    return `the coordination directory took ${Math.round(this.#lastMs)} ms for a renewal of this node's lease, which lasts ${this.#times.holdMs} ms`;
  }
  /** Two renewals are `renewMs` apart, so that one that is awaited began so long after the last at the earliest. */
  #overdueText(nowMs: number): string | undefined {
    if (this.#issuedMs === undefined) return undefined;
    const ageMs = nowMs - this.#issuedMs;
    if (ageMs <= this.#times.renewMs + this.#alarmMs) return undefined;
    return `no renewal of this node's lease, which lasts ${this.#times.holdMs} ms, has been confirmed for ${Math.round(ageMs)} ms`;
  }
}
