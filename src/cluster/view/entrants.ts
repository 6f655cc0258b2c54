/**
 * Who may enter the view: nodes that are seen alive, that this one reaches, and that have been seen for long enough. A life
 * that was a member once and is not any more never enters again; who was evicted though alive waits longer each time.
 *
 * Owns      evicted lives, how long each waits.
 * Not here  that all members must reach it (next-view.ts), who is alive (standing.ts).
 * Units     milliseconds of the monotonic clock.
 * Source    safety C7.
 */
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import type { MemberFacts, View } from "../view-document.js";
import type { Reach } from "./reach.js";
import type { Standing } from "./standing.js";

const BACK_OFF_DOUBLINGS_MAX = 4;

type Life = Pick<MemberFacts, "id" | "incarnation">;

export class Entrants {
  readonly #standing: Standing;
  readonly #settleMs: number;
  readonly #backOffMs: number;
  /** Highest incarnation of each node that was a member once and is not any more. */
  readonly #evicted = new Map<NodeId, Incarnation>();
  readonly #backOff = new Map<NodeId, { readonly count: number; readonly untilMs: number }>();

  /** `settleMs`: long enough that everybody's reach has been published anew since a life began. */
  constructor(standing: Standing, { settleMs, backOffMs }: { readonly settleMs: number; readonly backOffMs: number }) {
    this.#standing = standing;
    this.#settleMs = settleMs;
    this.#backOffMs = backOffMs;
  }

  evicted({ id, incarnation }: Life): void {
    if ((this.#evicted.get(id) ?? -1) < incarnation) this.#evicted.set(id, incarnation);
  }
  isEvicted({ id, incarnation }: Life): boolean {
    return incarnation <= (this.#evicted.get(id) ?? -1);
  }
  /** This manager has put that node out, and it lives. */
  hold(id: NodeId, atMs: number): void {
    const count = Math.min((this.#backOff.get(id)?.count ?? -1) + 1, BACK_OFF_DOUBLINGS_MAX);
    this.#backOff.set(id, { count, untilMs: atMs + this.#backOffMs * 2 ** count });
  }
  /** A new life of this node decides nothing of what the former one did. */
  begin(): void {
    this.#backOff.clear();
  }

  /** When the next may enter. */
  nextMs(nowMs: number): number {
    return Math.min(...this.#standing.living().map(({ facts }) => this.#atMs(facts.id)).filter((atMs) => atMs > nowMs));
  }
  /** Those who may enter now after `view`. */
  now(view: View | undefined, reach: Reach, nowMs: number): MemberFacts[] {
    const isMember = (life: Life): boolean => view?.members.some((member) => member.id === life.id && member.incarnation >= life.incarnation) === true;
    return this.#standing.living().map(({ facts }) => facts)
      .filter((facts) => reach.isReached(facts.id, facts.incarnation, nowMs) && this.#atMs(facts.id) <= nowMs && !this.isEvicted(facts) && !isMember(facts));
  }

  #atMs(id: NodeId): number {
    return Math.max(this.#standing.seenSinceMs(id) + this.#settleMs, this.#backOff.get(id)?.untilMs ?? 0);
  }
}
