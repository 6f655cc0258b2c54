/**
 * What is promised of sessions, over a history of calls and their answers, wherever it was made:
 *
 * - a session id is given out once, for ever;
 * - an answered call is not lost: what was created is there, what was destroyed stays away, and a session says what the
 *   last answered change made of it, or what one said that was not answered or ran beside it;
 * - a list shows what had been answered before it was asked for.
 *
 * Source    requirements R1, R14, R16.
 */
import type { SessionId } from "../dmapi/ids.js";
import type { SessionEntry } from "../dmapi/status.js";
import type { Check } from "./check.js";

interface Change {
  readonly info: string;
  readonly begunAt: number;
  answeredAt: number | undefined;
}
interface SessionThought {
  readonly id: SessionId;
  /** Any of them may have been the last. */
  changes: Change[];
  fate: "exists" | "perhaps destroyed" | "destroyed";
  /** All nodes that had it were lost at once: nothing is promised. */
  isFree: boolean;
}

export interface SessionsAnswered {
  readonly made: readonly SessionId[];
  readonly destroyed: readonly SessionId[];
}

export class SessionPromises {
  readonly #check: Check;
  readonly #sessions = new Map<SessionId, SessionThought>();
  #order = 0;

  constructor(check: Check) {
    this.#check = check;
  }

  /** Those that were not destroyed for certain. */
  get known(): SessionId[] {
    return [...this.#sessions.values()].filter((each) => each.fate !== "destroyed").map((each) => each.id);
  }

  created(id: SessionId, info: string, isFree = false): void {
    this.#check(!this.#sessions.has(id), () => `session id ${id} was given out twice`);
    const at = ++this.#order;
    this.#sessions.set(id, { id, changes: [{ info, begunAt: at, answeredAt: at }], fate: "exists", isFree });
  }
  /** A change, or an assume, begins. */
  modifying(id: SessionId, info: string): void {
    this.#sessions.get(id)?.changes.push({ info, begunAt: ++this.#order, answeredAt: undefined });
  }
  /** It was answered with success: what had been answered before it began is over. */
  modified(id: SessionId, info: string): void {
    const thought = this.#sessions.get(id);
    const change = thought?.changes.find((each) => each.info === info && each.answeredAt === undefined);
    if (thought === undefined || change === undefined) return;
    change.answeredAt = ++this.#order;
    thought.changes = thought.changes.filter((each) => each.answeredAt === undefined || each.answeredAt >= change.begunAt);
  }
  destroying(id: SessionId): void {
    const thought = this.#sessions.get(id);
    if (thought?.fate === "exists") thought.fate = "perhaps destroyed";
  }
  destroyed(id: SessionId): void {
    const thought = this.#sessions.get(id);
    if (thought !== undefined) thought.fate = "destroyed";
  }
  /** Which sessions have certainly been made, and which destroyed, by now. */
  answered(): SessionsAnswered {
    const of = (fate: SessionThought["fate"]) => [...this.#sessions.values()].filter((each) => each.fate === fate && !each.isFree).map((each) => each.id);
    return { made: of("exists"), destroyed: of("destroyed") };
  }
  /** A list that was asked for after `before` and has been answered now. */
  listed(by: string, before: SessionsAnswered, table: readonly { readonly id: SessionId }[]): void {
    const ids = new Set(table.map((entry) => entry.id));
    for (const id of before.destroyed) this.#check(!ids.has(id) || this.#isFree(id), () => `${by} lists session ${id}, which had been destroyed before`);
    for (const id of before.made) {
      const thought = this.#sessions.get(id);
      this.#check(ids.has(id) || thought?.fate !== "exists" || thought.isFree, () => `${by} lists no session ${id}, which had been made before`);
    }
  }
  #isFree(id: SessionId): boolean {
    return this.#sessions.get(id)?.isFree === true;
  }
  /** Nobody is left who had any of them. */
  allLost(): void {
    for (const session of this.#sessions.values()) session.isFree = true;
  }

  /** What a node says when nothing is under way any more. */
  atRest(node: string, table: readonly SessionEntry[], isAlive: (host: SessionEntry["node"]) => boolean): void {
    for (const thought of this.#sessions.values()) {
      const entry = table.find((each) => each.id === thought.id);
      if (thought.fate === "destroyed") {
        this.#check(entry === undefined || thought.isFree, () => `session ${thought.id} was destroyed and is back on ${node}`);
      } else if (thought.fate === "exists" && !thought.isFree) {
        this.#check(entry !== undefined, () => `session ${thought.id} was answered and is lost on ${node}`);
      }
      if (entry === undefined) continue;
      const infos = thought.changes.map((each) => each.info);
      this.#check(thought.isFree || infos.includes(entry.info), () => `session ${thought.id} says ${entry.info} on ${node}, and not ${infos.join(" or ")}`);
      this.#check(entry.state !== "closing" && isAlive(entry.node), () => `session ${thought.id} is ${entry.state} on ${entry.node}`);
    }
  }
}
