/**
 * Lives that a view has removed and that may still go by the one before: the view is not in force until the end of each
 * is certain.
 *
 * Silence brings about that a member is removed, but is no end: it may have renewed its lease since, between the last look
 * at it and the view that is without it, and would act on for as long as that renewal lasts. So the view's manager takes
 * the lease of one that is silent, as that of a manager is taken: whoever has not renewed since it was watched never can
 * again, and a renewal that came first shows in the claim that is lost. One that renews hears of the view by itself, and
 * gives its lease up.
 *
 * Units     milliseconds of the monotonic clock.
 * Source    safety C7, C8.
 */
import type { MemberFacts } from "../view-document.js";
import type { Standing } from "./standing.js";

type Life = Pick<MemberFacts, "id" | "incarnation">;
/** An answer that never comes (the volume failed meanwhile) is asked for again. */
const ANSWER_WITHIN_MS = 5_000;

interface Removed extends Life {
  /** Its lease is not asked for before that. */
  askAtMs: number;
}

export class RemovedLives {
  readonly #standing: Standing;
  readonly #againMs: number;
  #lives: Removed[] = [];

  /** `againMs`: after a lost claim, until something new may be known of that lease. */
  constructor(standing: Standing, againMs: number) {
    this.#standing = standing;
    this.#againMs = againMs;
  }

  get isNone(): boolean {
    return this.#lives.length === 0;
  }
  get all(): readonly Life[] {
    return this.#lives;
  }

  note({ id, incarnation }: Life): void {
    if (!this.#lives.some((life) => isSame(life, { id, incarnation }))) this.#lives.push({ id, incarnation, askAtMs: -Infinity });
  }
  /** A later view says so. */
  over(life: Life): void {
    this.#lives = this.#lives.filter((each) => !isSame(each, life));
  }
  forget(): void {
    this.#lives = [];
  }
  /** Those whose end has become certain go. */
  settle(): void {
    if (this.#lives.length > 0) this.#lives = this.#lives.filter((life) => !this.#standing.isEnded(life));
  }

  /** Whose lease is to be taken now. */
  claims(atMs: number): Life[] {
    const due = this.#lives.filter((life) => this.#standing.isDead(life) && life.askAtMs <= atMs);
    for (const life of due) life.askAtMs = atMs + ANSWER_WITHIN_MS;
    return due.map(({ id, incarnation }) => ({ id, incarnation }));
  }
  claimLost(life: Life, atMs: number): void {
    for (const each of this.#lives) if (isSame(each, life)) each.askAtMs = atMs + this.#againMs;
  }
  /** When the next lease is to be asked for, if nothing changes. */
  get deadlineMs(): number {
    return Math.min(...this.#lives.filter((life) => this.#standing.isDead(life)).map((life) => life.askAtMs));
  }
}

function isSame(a: Life, b: Life): boolean {
  return a.id === b.id && a.incarnation === b.incarnation;
}
