/**
 * What is promised of user operations that wait for an application, over a history wherever it was made:
 *
 * - none is lost, or ended twice, or goes on without an application having said so;
 * - its event is with one application at a time.
 *
 * Source    requirements R3, R10, R19.
 */
import type { DmResponse } from "../dmapi/events.js";
import type { SessionId, Token } from "../dmapi/ids.js";
import type { Check } from "./check.js";

/** Where an application received an event: which life of which node, under which session. */
export interface Reception {
  readonly life: string;
  readonly session: SessionId;
}
interface OperationThought<N> {
  readonly node: N;
  /** "continue", "abort CODE", or "gone" with its user. */
  end: string | undefined;
  isInterrupted: boolean;
  readonly responses: Set<string>;
  /** Which application has its event. */
  with: Reception | undefined;
}
/** Failures that a rule gives, not an application: time-outs, exclusion, a daemon that stops. */
const byRule = ["EIO", "ESTALE", "ENOTREADY"];

/** @typeParam N how a node is named. */
export class OperationPromises<N> {
  readonly #check: Check;
  /** Whether that life, as the present view has it, hosts that session and runs: then its application has what it received. */
  readonly #isHost: (there: Reception) => boolean;
  readonly #operations = new Map<number, OperationThought<N>>();

  constructor(check: Check, isHost: (there: Reception) => boolean) {
    this.#check = check;
    this.#isHost = isHost;
  }

  held(node: N, operation: number): void {
    this.#operations.set(operation, { node, end: undefined, isInterrupted: false, responses: new Set(), with: undefined });
  }
  interrupted(operation: number): void {
    const thought = this.#operations.get(operation);
    if (thought !== undefined) thought.isInterrupted = true;
  }
  /** @param end "continue", "abort CODE", or "gone" with its user. */
  resumed(operation: number, end: string): void {
    const thought = this.#operations.get(operation);
    this.#check(thought !== undefined, () => `operation ${operation} ended and had never begun`);
    if (thought === undefined) return;
    this.#check(thought.end === undefined, () => `operation ${operation} ended twice`);
    thought.end = end;
    if (end === "gone") return;
    const isByRule = byRule.some((code) => end === `abort ${code}`);
    this.#check(isByRule || thought.responses.has(end), () => `operation ${operation} ended with ${end}, which no application answered`);
  }
  received(here: Reception, token: Token | undefined, operation: number): void {
    const thought = this.#operations.get(operation);
    if (thought === undefined) return;
    const before = thought.with;
    const isElsewhere = before !== undefined && (before.life !== here.life || before.session !== here.session);
    // The former host may not know yet that it is out; what counts is whether the present view still has it, running, as host.
    if (isElsewhere && thought.end === undefined && this.#isHost(before)) {
      this.#check(false, () => `operation ${operation} (token ${token}) came to session ${here.session} on ${here.life} while session ${before.session} on ${before.life} has it`);
    }
    thought.with = here;
  }
  /** The daemon of its user was killed: its event is withdrawn, and raised anew by the next one. */
  sourceKilled(node: N): void {
    for (const thought of this.#operations.values()) if (thought.node === node) thought.with = undefined;
  }
  responding(operation: number, response: DmResponse): void {
    const thought = this.#operations.get(operation);
    thought?.responses.add(response.kind === "abort" ? `abort ${response.code}` : response.kind);
  }
  responded(life: string, operation: number): void {
    const thought = this.#operations.get(operation);
    if (thought?.with?.life === life) thought.with = undefined;
  }

  isWaiting(operation: number): boolean {
    const thought = this.#operations.get(operation);
    return thought !== undefined && thought.end === undefined && !thought.isInterrupted;
  }
  /** Those that wait still and were not interrupted. */
  get waiting(): { readonly operation: number; readonly node: N }[] {
    return [...this.#operations].filter(([operation]) => this.isWaiting(operation)).map(([operation, { node }]) => ({ operation, node }));
  }
}
