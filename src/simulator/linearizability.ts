/**
 * Whether a history of calls could have come from one object that does one call at a time: each call takes effect at one
 * moment between its beginning and its end. A call without an answer may have taken effect at any time after its
 * beginning, or never.
 *
 * A search in the way of Wing and Gong, with the states that were reached remembered, as Lowe does it. The model may leave
 * open what a call does: it gives every state that could follow. Histories about several objects are checked object by
 * object, which is the same and far cheaper.
 *
 * Source    Herlihy and Wing, "Linearizability" (1990); Wing and Gong (1993); Lowe, "Testing for linearizability" (2017).
 */
import { assert } from "../base/assert.js";

export interface HistoryEntry<Call, Answer> {
  readonly call: Call;
  readonly beganMs: number;
  /** Absent: nobody knows whether it took effect. */
  readonly end?: { readonly atMs: number; readonly answer: Answer };
}
export interface SequentialModel<State, Call, Answer> {
  readonly initial: State;
  /** States after the call; none when it could not be answered so. `answer` undefined: whatever it would have been. */
  readonly step: (state: State, call: Call, answer: Answer | undefined) => readonly State[];
  /** Equal for equal states. */
  readonly key: (state: State) => string;
}
export type Verdict =
  | { readonly kind: "linearizable" }
  /** The longest order found, and what could not follow it. */
  | { readonly kind: "impossible"; readonly text: string }
  /** Too many calls at a time: not judged. */
  | { readonly kind: "undecided" };

const STEPS_MAX = 200_000;

export function checkLinearizable<State, Call, Answer>(history: readonly HistoryEntry<Call, Answer>[], model: SequentialModel<State, Call, Answer>): Verdict {
  const entries = [...history].sort((a, b) => a.beganMs - b.beganMs);
  for (const { beganMs, end } of entries) assert(end === undefined || end.atMs >= beganMs, "a call ends after it began");
  const search = new Search(entries, model);
  return search.run();
}

class Search<State, Call, Answer> {
  readonly #entries: readonly HistoryEntry<Call, Answer>[];
  readonly #model: SequentialModel<State, Call, Answer>;
  readonly #seen = new Set<string>();
  readonly #isDone: boolean[];
  #best: number[] = [];
  readonly #order: number[] = [];
  #steps = 0;

  constructor(entries: readonly HistoryEntry<Call, Answer>[], model: SequentialModel<State, Call, Answer>) {
    this.#entries = entries;
    this.#model = model;
    this.#isDone = entries.map(() => false);
  }

  run(): Verdict {
    if (this.#goOn(this.#model.initial)) return { kind: "linearizable" };
    return this.#steps > STEPS_MAX ? { kind: "undecided" } : { kind: "impossible", text: this.#describe() };
  }

  #goOn(state: State): boolean {
    const first = this.#isDone.indexOf(false);
    if (this.#entries.every(({ end }, at) => this.#isDone[at] === true || end === undefined)) return true;
    const key = `${this.#isDone.map((each, at) => (at >= first && each ? at : "")).join("")}|${first}|${this.#model.key(state)}`;
    if (this.#seen.has(key) || ++this.#steps > STEPS_MAX) return false;
    this.#seen.add(key);
    // Nothing that began after another ended comes before it.
    const limitMs = Math.min(...this.#entries.map(({ end }, at) => (this.#isDone[at] === true ? Infinity : (end?.atMs ?? Infinity))));
    for (let at = first; at < this.#entries.length; at++) {
      const entry = this.#entries[at];
      if (entry === undefined || entry.beganMs > limitMs) break;
      if (this.#isDone[at] === true) continue;
      this.#isDone[at] = true;
      this.#order.push(at);
      for (const next of this.#model.step(state, entry.call, entry.end?.answer)) {
        if (this.#order.length > this.#best.length) this.#best = [...this.#order];
        if (this.#goOn(next)) return true;
      }
      this.#order.pop();
      this.#isDone[at] = false;
    }
    return false;
  }

  #describe(): string {
    const text = ({ call, beganMs, end }: HistoryEntry<Call, Answer>): string =>
      `${JSON.stringify(call)} from ${beganMs} ${end === undefined ? "without an answer" : `to ${end.atMs}: ${JSON.stringify(end.answer)}`}`;
    const left = this.#entries.filter((each, at) => !this.#best.includes(at) && each.end !== undefined);
    return `after ${this.#best.map((at) => text(this.#entries[at]!)).join("; ") || "nothing"} none of these could follow: ${left.map(text).join("; ")}`;
  }
}
