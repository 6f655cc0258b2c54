/**
 * Whether the users of this node are let in: while it is a member that has the registry and heard of every fence. A node
 * that was one lets its users wait for it to come back, but not for ever.
 *
 *   closed -> open -> closed, users wait -> closed, users are refused -> open
 *
 * Not here  when a node is ready (node.ts); what is done with an operation that is refused (the reactor).
 * Units     milliseconds of the node's clock.
 * Source    safety C7; requirement R8.
 */
import type { NodeEffect } from "./node-contract.js";

export class UserAdmission {
  readonly #fencedHoldMs: number;
  readonly #emit: (effect: NodeEffect) => void;
  #isOpen = false;
  /** Users of a node that was a member wait since then. */
  #closedAtMs: number | undefined;
  #areRefused = false;

  constructor(fencedHoldMs: number, emit: (effect: NodeEffect) => void) {
    this.#fencedHoldMs = fencedHoldMs;
    this.#emit = emit;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }
  /** When those who wait are told that it takes too long; Infinity while nobody has to be. */
  get refusesAtMs(): number {
    return this.#closedAtMs === undefined || this.#areRefused ? Infinity : this.#closedAtMs + this.#fencedHoldMs;
  }

  open(why: string): void {
    this.#isOpen = true;
    this.#closedAtMs = undefined;
    this.#areRefused = false;
    this.#emit({ kind: "set-admission", isOpen: true, why });
  }
  close(why: string, nowMs: number): void {
    if (this.#isOpen) this.#closedAtMs = nowMs;
    this.#isOpen = false;
    this.#emit({ kind: "set-admission", isOpen: false, why, ...(this.#areRefused && { refuses: "ESTALE" }) });
  }
  /** Also of users whose operation raised no event: nobody waits for ever for a node that does not come back. */
  timePassed(nowMs: number): void {
    if (nowMs < this.refusesAtMs) return;
    this.#areRefused = true;
    this.#emit({ kind: "set-admission", isOpen: false, why: "this node has been out of the view for too long", refuses: "ESTALE" });
  }
}
