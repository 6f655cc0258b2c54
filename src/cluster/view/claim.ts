/**
 * When this node moves to make the next view although it is not the manager.
 *
 * | situation                                   | who moves                                 | how               |
 * |---|---|---|
 * | no view at all                              | first of the living eligible nodes seen   | publish           |
 * | manager dead, this node a member            | first of the living eligible members      | claim, publish    |
 * | every member dead (the whole cluster ended) | first of the living eligible nodes seen   | claim, publish    |
 * | manager's node lives again in a later life  | as above                                  | publish           |
 * | operator's word that the manager is stopped | as above                                  | publish           |
 *
 * The others wait their rank times `stepMs` and then move too; the compare-and-swap of the view chooses one. Whoever comes
 * nearer to its turn meanwhile, since one before it died too, waits only for those still before it. A claim that
 * is lost twice though the manager stays dead was won by somebody who made no view of it: any member may publish then.
 *
 * Source    safety C8 (claims in order of rank).
 */
import type { Incarnation, NodeId } from "../../dmapi/ids.js";

const LOSSES_MAX = 2;
/** An answer that never comes (the volume failed meanwhile) is asked for again. */
const ANSWER_WITHIN_MS = 5_000;

interface Life {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
}
export interface Vacancy {
  /** Undefined: nobody's lease has to be taken. */
  readonly manager: Life | undefined;
  /** Number of the view that is to be followed; 0 for none. */
  readonly after: number;
  readonly rank: number;
  readonly settleMs: number;
}
export type Move = { readonly kind: "none" } | { readonly kind: "claim"; readonly manager: Life } | { readonly kind: "publish" };

export class Claim {
  readonly #stepMs: number;
  #key = "";
  #dueMs = Infinity;
  /** Turns are counted from here: when the vacancy was seen, or the last claim lost. */
  #sinceMs = 0;
  #rank = Infinity;
  #hasAsked = false;
  #losses = 0;
  /** Whose lease this node has taken; it stays taken, whatever view comes between. */
  #taken = "";

  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  get deadlineMs(): number {
    return this.#dueMs;
  }

  /** Called with what is so now; says what to do now. */
  consider(vacancy: Vacancy | undefined, atMs: number): Move {
    if (vacancy === undefined) {
      this.forget();
      return { kind: "none" };
    }
    const isTaken = vacancy.manager !== undefined && this.#taken === lifeOf(vacancy.manager);
    const key = `${vacancy.after} ${vacancy.manager === undefined ? "" : lifeOf(vacancy.manager)}`;
    if (key !== this.#key) {
      this.forget();
      this.#key = key;
      this.#sinceMs = atMs;
    }
    // After a loss only who comes nearer to its turn: the one that won may have died of it.
    if (vacancy.rank < this.#rank && !this.#hasAsked) this.#dueMs = Math.min(this.#dueMs, this.#sinceMs + vacancy.settleMs + vacancy.rank * this.#stepMs);
    this.#rank = Math.min(this.#rank, vacancy.rank);
    if (atMs < this.#dueMs && !isTaken) return { kind: "none" };
    this.#dueMs = atMs + ANSWER_WITHIN_MS;
    this.#hasAsked = true;
    if (isTaken || vacancy.manager === undefined || this.#losses >= LOSSES_MAX) return { kind: "publish" };
    return { kind: "claim", manager: vacancy.manager };
  }

  won(manager: Life): void {
    if (this.#isAbout(manager)) this.#taken = lifeOf(manager);
  }
  lost(manager: Life, atMs: number): void {
    if (!this.#isAbout(manager)) return;
    this.#losses++;
    this.#hasAsked = false;
    this.#sinceMs = atMs;
    this.#dueMs = atMs + 4 * this.#stepMs;
  }
  /** Leases of others are taken too (removed-lives.ts). */
  #isAbout(life: Life): boolean {
    return this.#key.endsWith(` ${lifeOf(life)}`);
  }
  forget(): void {
    this.#key = "";
    this.#dueMs = Infinity;
    this.#rank = Infinity;
    this.#hasAsked = false;
    this.#losses = 0;
  }
}

function lifeOf(manager: Life): string {
  return `${manager.id} ${manager.incarnation}`;
}
