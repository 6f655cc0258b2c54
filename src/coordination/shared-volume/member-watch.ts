/**
 * What one node knows of the other members' leases from successive listings: who renews, who is silent, who gave up, who
 * was claimed. Only this node's own monotonic clock counts (safety C8), and only time in which it really looked: when
 * this machine stood still, or a listing hung, that time proves nothing about the others.
 *
 *     state     until
 *     alive     the same renewal count was read twice, `deadMs` apart                -> silent
 *     silent    a higher renewal count is read                                      -> alive
 *     both      its name says left or taken: nobody can renew it                    -> over
 *     any       its process is proven to have ended                                 -> proven
 *
 * Units     milliseconds.
 * Source    safety C8.
 */
import type { CoordinationFact } from "../../cluster/coordination-contract.js";
import type { MemberFacts } from "../../cluster/view-document.js";
import { decodeReach, isSameLife, type Life, type LeaseName, lifeName } from "./layout.js";

export interface Watched {
  readonly life: Life;
  /** Highest renewal count read; -1 when only `left` or `taken` was seen. */
  renewals: number;
  /** End of the first read of `renewals`, moved on by time in which nobody looked. */
  sinceMs: number;
  /** Start of the last read of it. */
  lastReadMs: number;
  state: "alive" | "silent" | "over" | "proven";
  gone: undefined | { readonly kind: "left" } | { readonly kind: "taken"; readonly by: Life };
  facts?: MemberFacts;
  process?: string;
  /** End of the first of the successive listings that did not show it. */
  absentSinceMs: number | undefined;
  absentForMs: number;
  /** The reach that `member-seen` last told, to tell it again only when it changed. */
  told: string | undefined;
}

export class MemberWatch {
  readonly #deadMs: number;
  /** Longest time between two looks that counts whole. */
  readonly #gapMs: number;
  readonly #watched = new Map<string, Watched>();
  #lastLookEndMs = 0;

  constructor(options: { deadMs: number; renewMs: number }) {
    this.#deadMs = options.deadMs;
    this.#gapMs = Math.max(4 * options.renewMs, options.deadMs / 4);
  }

  get all(): Watched[] {
    return [...this.#watched.values()];
  }

  get(life: Life): Watched | undefined {
    return this.#watched.get(lifeName(life));
  }

  /** Whether the lease is over as far as this node can see. */
  isOver(life: Life): boolean {
    const watched = this.get(life);
    return watched !== undefined && watched.state !== "alive";
  }

  /** How long the present state of that lease has been looked at. */
  watchedForMs(life: Life): number {
    const watched = this.get(life);
    return watched === undefined ? 0 : watched.lastReadMs - watched.sinceMs;
  }

  /**
   * Takes in one successful listing of `leases`, issued at `startMs` and back at `endMs`. `expected` are members of the
   * view, of which a lease should stand; without any for `deadMs` of looking they are over too.
   */
  look(names: readonly LeaseName[], expected: readonly Life[], startMs: number, endMs: number): CoordinationFact[] {
    this.#discount(startMs, endMs);
    const facts: CoordinationFact[] = [];
    const shown = new Set<string>();
    for (const parsed of names) {
      shown.add(lifeName(parsed.life));
      const watched = this.#entry(parsed.life, endMs);
      if (parsed.kind === "lease") facts.push(...this.#seeLease(watched, parsed.renewals, startMs, endMs));
      else facts.push(...this.#seeGone(watched, parsed, startMs, endMs));
    }
    for (const life of expected) this.#entry(life, endMs);
    for (const watched of this.#watched.values()) {
      this.#noteAbsence(watched, shown.has(lifeName(watched.life)), startMs, endMs);
      facts.push(...this.#judge(watched));
      const isForgotten = watched.absentForMs >= this.#deadMs && !expected.some((life) => isSameLife(life, watched.life));
      if (isForgotten) this.#watched.delete(lifeName(watched.life));
    }
    return facts;
  }

  /** Its process has ended. */
  prove(life: Life): CoordinationFact[] {
    const watched = this.get(life);
    if (watched === undefined || watched.state === "proven") return [];
    watched.state = "proven";
    return [{ kind: "member-dead", ...life, isProven: true, isForGood: true }];
  }

  /** Whom a member reaches was read, as it stands there; tells that and its facts when they are new. */
  describe(life: Life, reachText: string): CoordinationFact[] {
    const watched = this.get(life);
    if (watched === undefined || watched.facts === undefined || watched.state !== "alive" || watched.told === reachText) return [];
    const reach = decodeReach(reachText);
    if (reach === undefined) return []; // seen half rewritten
    watched.told = reachText;
    return [{ kind: "member-seen", member: watched.facts, reaches: reach.reaches }];
  }

  /** Lives that a listing no longer shows and nobody will ask for. */
  forget(life: Life): void {
    this.#watched.delete(lifeName(life));
  }

  #entry(life: Life, endMs: number): Watched {
    let watched = this.get(life);
    if (watched === undefined) {
      watched = { life, renewals: -1, sinceMs: endMs, lastReadMs: endMs, state: "alive", gone: undefined, absentSinceMs: undefined, absentForMs: 0, told: undefined };
      this.#watched.set(lifeName(life), watched);
    }
    return watched;
  }

  /** Time beyond `gapMs` between two looks, or inside one, is taken from everybody's silence. */
  #discount(startMs: number, endMs: number): void {
    const unseenMs = Math.max(0, startMs - this.#lastLookEndMs - this.#gapMs) + Math.max(0, endMs - startMs - this.#gapMs);
    for (const watched of this.#watched.values()) {
      watched.sinceMs += unseenMs;
      if (watched.absentSinceMs !== undefined) watched.absentSinceMs += unseenMs;
    }
    this.#lastLookEndMs = endMs;
  }

  #seeLease(watched: Watched, renewals: number, startMs: number, endMs: number): CoordinationFact[] {
    if (renewals < watched.renewals || watched.gone !== undefined) return []; // an old copy of the directory
    watched.lastReadMs = startMs;
    if (renewals === watched.renewals) return [];
    watched.renewals = renewals;
    watched.sinceMs = endMs;
    if (watched.state !== "silent") return [];
    watched.state = "alive";
    return [{ kind: "member-alive", ...watched.life }];
  }

  #seeGone(watched: Watched, how: { kind: "left" } | { kind: "taken"; by: Life }, startMs: number, endMs: number): CoordinationFact[] {
    const isNew = watched.gone === undefined || watched.gone.kind !== how.kind
      || (how.kind === "taken" && watched.gone.kind === "taken" && !isSameLife(how.by, watched.gone.by));
    watched.lastReadMs = startMs;
    if (!isNew) return [];
    watched.gone = how.kind === "left" ? { kind: "left" } : { kind: "taken", by: how.by };
    watched.sinceMs = endMs;
    if (watched.state === "over" || watched.state === "proven") return [];
    watched.state = "over";
    return [{ kind: "member-dead", ...watched.life, isProven: false, isForGood: true }];
  }

  /** One listing that does not show a name says little: directories may be read while a rename passes by. */
  #noteAbsence(watched: Watched, isShown: boolean, startMs: number, endMs: number): void {
    watched.absentSinceMs = isShown ? undefined : (watched.absentSinceMs ?? endMs);
    watched.absentForMs = watched.absentSinceMs === undefined ? 0 : startMs - watched.absentSinceMs;
  }

  #judge(watched: Watched): CoordinationFact[] {
    const quietMs = Math.max(watched.lastReadMs - watched.sinceMs, watched.absentForMs);
    if (watched.state !== "alive" || quietMs < this.#deadMs) return [];
    watched.state = "silent";
    return [{ kind: "member-dead", ...watched.life, isProven: false, isForGood: false }];
  }
}
