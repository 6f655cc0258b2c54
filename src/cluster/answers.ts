/**
 * Answers to applications' calls. While the node's lease is over none leaves: each waits until the lease is renewed, the
 * node is excluded, or the lease has been over for too long for anybody to wait.
 *
 * Owns      answers held back, since when the lease has been over.
 * Not here  calls that are not answered yet (manager-calls.ts, data-management.ts).
 * Units     milliseconds of the monotonic clock.
 * Source    safety C7, C8.
 */
import type { DmCode } from "../dmapi/errors.js";
import type { NodeEffect } from "./node-contract.js";

export type CallAnswer = Extract<NodeEffect, { kind: "answer-call" | "refuse-call" }>;

export class Answers {
  readonly #emit: (answer: CallAnswer) => void;
  /** Whether an answer may leave now; asked immediately before each leaves. */
  readonly #mayLeave: () => boolean;
  #held: CallAnswer[] = [];
  /** Since this node saw that it was over; a pause of its own is not counted. */
  #overSinceMs: number | undefined;

  constructor(emit: (answer: CallAnswer) => void, mayLeave: () => boolean) {
    this.#emit = emit;
    this.#mayLeave = mayLeave;
  }

  give(answer: CallAnswer): void {
    if (this.#mayLeave()) this.#emit(answer);
    else this.#held.push(answer);
  }
  answer(call: number, result: unknown): void {
    this.give({ kind: "answer-call", call, result });
  }
  refuse(call: number, code: DmCode, message: string): void {
    this.give({ kind: "refuse-call", call, failure: { code, message } });
  }

  /** Since when the lease has been over; undefined while it is not. */
  get leaseOverSinceMs(): number | undefined {
    return this.#overSinceMs;
  }
  heedLease(isOver: boolean, nowMs: number): void {
    this.#overSinceMs = isOver ? (this.#overSinceMs ?? nowMs) : undefined;
    if (this.#held.length === 0 || !this.#mayLeave()) return;
    for (const answer of this.#held) this.#emit(answer);
    this.#held = [];
  }

  /** Calls whose answers are held back. */
  get held(): number[] {
    return this.#held.map((answer) => answer.call);
  }
  abandon(call: number): void {
    this.#held = this.#held.filter((answer) => answer.call !== call);
  }
  /** Their callers are told something else. */
  drop(): void {
    this.#held = [];
  }
}
