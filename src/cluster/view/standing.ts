/**
 * What coordination has told of the other nodes: who was seen with which facts and reach, who is dead and how surely.
 *
 * Source    safety C7, C8; proof of death: identity lock, boot id, or the operator's word.
 */
import type { CoordinationFact } from "../coordination-contract.js";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import type { MemberFacts } from "../view-document.js";

type Life = Pick<MemberFacts, "id" | "incarnation">;
export interface Seen {
  readonly facts: MemberFacts;
  readonly reaches: ReadonlySet<NodeId>;
}
/** How sure an end is: a silent lease may be renewed after all, one that is over for good cannot, a process that ended has no life. */
export type Certainty = "silent" | "for-good" | "proven";
const certainties: readonly Certainty[] = ["silent", "for-good", "proven"];
interface Death {
  readonly incarnation: Incarnation;
  readonly certainty: Certainty;
}

export class Standing {
  readonly #self: NodeId;
  readonly #seen = new Map<NodeId, Seen>();
  /** When each node's present life was first seen. */
  readonly #sinceMs = new Map<NodeId, number>();
  readonly #dead = new Map<NodeId, Death>();
  #changes = 0;

  constructor(self: NodeId) {
    this.#self = self;
  }

  /** Grows with all that is told. */
  get changes(): number {
    return this.#changes;
  }

  step(fact: Extract<CoordinationFact, { kind: "member-seen" | "member-dead" | "member-alive" }>, atMs: number): void {
    this.#changes++;
    switch (fact.kind) {
      case "member-seen": {
        const known = this.#seen.get(fact.member.id);
        if (fact.member.id === this.#self || (known !== undefined && known.facts.incarnation > fact.member.incarnation)) return;
        if (known?.facts.incarnation !== fact.member.incarnation) this.#sinceMs.set(fact.member.id, atMs);
        this.#seen.set(fact.member.id, { facts: fact.member, reaches: setOf(fact.reaches) });
        return;
      }
      case "member-dead":
        this.died({ id: fact.id, incarnation: fact.incarnation }, fact.isProven ? "proven" : fact.isForGood ? "for-good" : "silent");
        return;
      case "member-alive":
        // What is certain stands: the operator's word is not taken back by a file that was renewed before it.
        if (this.#dead.get(fact.id)?.incarnation === fact.incarnation && !this.isEnded(fact)) this.#dead.delete(fact.id);
    }
  }

  died({ id, incarnation }: Life, certainty: Certainty): void {
    this.#changes++;
    const known = this.#dead.get(id);
    if (known !== undefined && (known.incarnation > incarnation || (known.incarnation === incarnation && isAtLeast(known.certainty, certainty)))) return;
    this.#dead.set(id, { incarnation, certainty });
  }

  /** Proven dead, lease over or silent, or followed by another life of the same node, which has the identity lock now. */
  isDead(life: Life): boolean {
    return (this.#dead.get(life.id)?.incarnation ?? -1) >= life.incarnation || this.isFollowed(life);
  }
  isProven(life: Life): boolean {
    const death = this.#dead.get(life.id);
    return death !== undefined && death.incarnation >= life.incarnation && death.certainty === "proven";
  }
  /** As `isDead`, and it cannot come back: its lease is over for good, or a later life has followed it. */
  isEnded(life: Life): boolean {
    const death = this.#dead.get(life.id);
    const isEnded = death !== undefined && (death.incarnation > life.incarnation || (death.incarnation === life.incarnation && death.certainty !== "silent"));
    return isEnded || this.isFollowed(life);
  }
  isFollowed(life: Life): boolean {
    return (this.#seen.get(life.id)?.facts.incarnation ?? -1) > life.incarnation;
  }

  seenSinceMs(id: NodeId): number {
    return this.#sinceMs.get(id) ?? Infinity;
  }
  seen(id: NodeId): Seen | undefined {
    return this.#seen.get(id);
  }
  /** Seen last and not dead since, sorted by id. */
  living(): Seen[] {
    return [...this.#seen.values()].filter((seen) => !this.isDead(seen.facts)).sort((a, b) => (a.facts.id < b.facts.id ? -1 : 1));
  }
  all(): Seen[] {
    return [...this.#seen.values()];
  }
  eachLiving(visit: (facts: MemberFacts) => void): void {
    for (const { facts } of this.#seen.values()) if (!this.isDead(facts)) visit(facts);
  }
}

/** One list that many are told makes one set. */
const sets = new WeakMap<readonly NodeId[], ReadonlySet<NodeId>>();
function setOf(ids: readonly NodeId[]): ReadonlySet<NodeId> {
  let set = sets.get(ids);
  if (set === undefined) {
    set = new Set(ids);
    sets.set(ids, set);
  }
  return set;
}
function isAtLeast(a: Certainty, b: Certainty): boolean {
  return certainties.indexOf(a) >= certainties.indexOf(b);
}
