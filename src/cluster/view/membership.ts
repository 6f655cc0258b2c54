/**
 * Membership of one node: which view it goes by, and, while it is manager, which view comes next.
 *
 *   joining  -> member    a stored view, or the manager's message, names this incarnation
 *   member   -> joining   a higher stored view does not: excluded; a new incarnation begins and seeks to enter
 *
 * The manager admits candidates whom every member reaches, evicts the dead and whoever is outside the largest fully
 * connected set, and resigns when it is outside itself. A view is in force when every member has acknowledged it and the
 * end of each removed one is certain (removed-lives.ts). Proposals, acknowledgements and "in force" are repeated with the
 * greetings, so they need no numbers.
 *
 * Owns      the adopted view, what is being published, acknowledgements.
 * Not here  what a new view means for sessions (registry/), streams (streams.ts), who reads the volume (coordination).
 * Source    safety C7, C8, H14; requirements R1, R4.
 */
import { assert } from "../../base/assert.js";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import type { CoordinationFact, CoordinationRequest } from "../coordination-contract.js";
import type { ViewMessage } from "../messages.js";
import type { NodeOptions } from "../node-contract.js";
import { type FenceWord, type Member, type MemberFacts, memberNamed, type RemovedLife, type View } from "../view-document.js";
import { Claim, type Vacancy } from "./claim.js";
import { Entrants } from "./entrants.js";
import { isSameView, memberOf, type MountWish, nextView } from "./next-view.js";
import { Partings } from "./partings.js";
import { Reach } from "./reach.js";
import { RemovedLives } from "./removed-lives.js";
import { Standing } from "./standing.js";
import { bySuccession, succession, whyManager } from "./succession.js";

const PUBLISH_AGAIN_AFTER_MS = 5_000;
/** Times `claimStepMs`: what the members say of each other has then come, also from one that is slow. */
const PARTING_STEPS = 3;
/** A member that has yet to get the registry lets those who have it go first. */
const EMPTY_HANDED_RANKS = 8;

export type ViewWish =
  | ({ readonly kind: "mount" } & MountWish)
  | { readonly kind: "move-manager"; readonly to: NodeId }
  | { readonly kind: "more-session-ids" }
  | { readonly kind: "rights-servers"; readonly nodes: readonly NodeId[] };

export type MembershipInput = { readonly atMs: number } & (
  | { readonly kind: "coordination"; readonly fact: CoordinationFact }
  | { readonly kind: "link-up"; readonly peer: NodeId; readonly incarnation: Incarnation }
  | { readonly kind: "link-down"; readonly peer: NodeId }
  | { readonly kind: "heard"; readonly peer: NodeId; readonly incarnation: Incarnation }
  | { readonly kind: "view-message"; readonly from: NodeId; readonly incarnation: Incarnation; readonly message: ViewMessage }
  /** Only of use while this node is manager. */
  | { readonly kind: "wish"; readonly wish: ViewWish }
  /** The operator's word that this node is stopped, in whichever life it was known. */
  | { readonly kind: "fence"; readonly node: NodeId; readonly word: FenceWord }
  | ({ readonly kind: "registry-changed-hands" } & RegistryHands)
  | { readonly kind: "time-passed" }
);
/** Who has the registry whole, as far as this node knows. */
export interface RegistryHands {
  readonly isHeldHere: boolean;
  /** Members that have it; undefined while this node is not manager or has yet to collect. Nobody is admitted then. */
  readonly holders: readonly NodeId[] | undefined;
}

export type MembershipEffect =
  | { readonly kind: "coordinate"; readonly request: CoordinationRequest }
  | { readonly kind: "link-wanted"; readonly peer: NodeId; readonly address: string; readonly incarnation: Incarnation }
  | { readonly kind: "link-unwanted"; readonly peer: NodeId }
  | { readonly kind: "send-view-message"; readonly to: NodeId; readonly incarnation: Incarnation; readonly message: ViewMessage }
  /** This node goes by that view from now on. */
  | { readonly kind: "adopt"; readonly view: View; readonly before: View | undefined }
  | { readonly kind: "in-force"; readonly view: View }
  | { readonly kind: "exclude"; readonly incarnation: Incarnation; readonly why: string };

type Life = Pick<MemberFacts, "id" | "incarnation">;
interface Publication {
  readonly view: View;
  sinceMs: number;
}

export class Membership {
  readonly #cluster: string;
  readonly #linkGraceMs: number;
  readonly #timeouts: NodeOptions["timeouts"];
  readonly #claimStepMs: number;
  readonly #pingMs: number;
  readonly #standing: Standing;
  readonly #entrants: Entrants;
  readonly #claim: Claim;
  readonly #partings: Partings;
  readonly #removed: RemovedLives;
  #self: MemberFacts;
  #reach: Reach;
  #nowMs = 0;
  #nextPingMs = 0;
  /** Before both of them nothing comes by time alone; reckoned anew whenever something may have changed. */
  #dueMs = 0;
  #reachDueMs = 0;
  #validUntilMs = -Infinity;
  #stored: View | undefined;
  #isStoreKnown = false;
  #adopted: View | undefined;
  #isInForce = false;
  #why = "";
  #acknowledged = new Set<NodeId>();
  #publication: Publication | undefined;
  #publishedReach: readonly NodeId[] | undefined;
  #mounts: MountWish[] = [];
  #moveTo: NodeId | undefined;
  #hands: RegistryHands = { isHeldHere: false, holders: undefined };
  #wantsMoreIds = false;
  #rightsServers: readonly NodeId[] | undefined;
  readonly #wantedLinks = new Map<NodeId, string>();
  /** Set wherever the view or what is known of the others changes. */
  #mayLinksDiffer = true;
  /** Nodes whose links may differ, while those of others do not. */
  readonly #mayDiffer = new Set<NodeId>();
  #strangers = { standing: -1, rank: 0 };
  /** Set wherever what a next view rests on changes, save time and what `#plannedFrom` tells. */
  #mayPlanDiffer = true;
  /** How far reach and standing had changed when the last plan was made, and when time alone may make another. */
  #plannedFrom = { reach: -1, standing: -1, untilMs: -Infinity };
  /** The same of the reach that was published last. */
  #reachTold = { changes: -1, untilMs: -Infinity };
  /** Highest incarnation of each node of which the operator said that it is stopped. */
  readonly #fenced = new Map<NodeId, { readonly incarnation: Incarnation; readonly word: FenceWord }>();
  #effects: MembershipEffect[] = [];

  constructor(options: NodeOptions) {
    const { cluster, id, incarnation, bootId, address, isEligible, preference, versions, timeouts } = options;
    this.#cluster = cluster;
    this.#self = { id, incarnation, bootId, address, isEligible, preference, ...(versions !== undefined && { versions }) };
    this.#timeouts = timeouts;
    this.#linkGraceMs = timeouts.linkGraceMs;
    this.#claimStepMs = timeouts.claimStepMs;
    this.#pingMs = timeouts.linkGraceMs / 2;
    this.#standing = new Standing(id);
    this.#entrants = new Entrants(this.#standing, { settleMs: 2 * timeouts.claimStepMs, backOffMs: timeouts.linkGraceMs });
    this.#reach = new Reach(timeouts);
    this.#claim = new Claim(timeouts.claimStepMs);
    this.#removed = new RemovedLives(this.#standing, timeouts.claimStepMs);
    this.#partings = new Partings(PARTING_STEPS * timeouts.claimStepMs);
  }

  get incarnation(): Incarnation {
    return this.#self.incarnation;
  }
  get view(): View | undefined {
    return this.#adopted;
  }
  get isInForce(): boolean {
    return this.#isInForce;
  }
  get why(): string {
    return this.#why;
  }
  /** Until then this node may answer as manager or session node (safety C8). */
  get validUntilMs(): number {
    return this.#validUntilMs;
  }
  get isManager(): boolean {
    return this.#adopted?.manager === this.#self.id;
  }
  /** How long that node has said nothing; Infinity when it is known to be dead, or was never heard. */
  silenceMs(id: NodeId): number {
    const life = this.#stored?.members.find((member) => member.id === id) ?? this.#standing.seen(id)?.facts;
    return life === undefined || this.#standing.isDead(life) ? Infinity : this.#nowMs - this.#reach.heardAtMs(id);
  }
  isKnown(id: NodeId): boolean {
    return this.#standing.seen(id) !== undefined || (this.#stored?.members.some((member) => member.id === id) ?? false);
  }

  /** What the view is not yet in force for; empty on all but its manager. */
  get awaited(): readonly string[] {
    const view = this.#adopted;
    if (view === undefined || !this.isManager || this.#isInForce) return [];
    return [
      ...view.members.filter((member) => !this.#acknowledged.has(member.id)).map((member) => `acknowledgement of ${member.id}`),
      ...this.#removed.all.map((member) => `end of the lease of ${member.id} (${member.incarnation}), or proof of its death`),
    ];
  }

  get deadlineMs(): number {
    return Math.min(this.#dueMs, this.#reach.deadlineMs(this.#nowMs));
  }
  /** All but the reach, which every frame moves. */
  #reckonDueMs(): number {
    // Without a lease nothing is published; its renewal brings us here again.
    const again = this.#publication === undefined || this.#nowMs >= this.#validUntilMs ? Infinity : this.#publication.sinceMs + PUBLISH_AGAIN_AFTER_MS;
    const decides = this.#isActing ? Math.min(this.#entrants.nextMs(this.#nowMs), this.#partings.deadlineMs(this.#nowMs)) : Infinity;
    const takes = this.#mayTakeLeases ? this.#removed.deadlineMs : Infinity;
    return Math.min(this.#nextPingMs, this.#claim.deadlineMs, again, decides, takes);
  }

  step(input: MembershipInput): MembershipEffect[] {
    assert(input.atMs >= this.#nowMs, "time never runs backwards");
    const pauseMs = input.atMs - this.#nowMs;
    if (pauseMs > 2 * this.#pingMs) this.#reach.forgive(pauseMs);
    this.#nowMs = input.atMs;
    const isRoutine = this.#isRoutine(input);
    this.#take(input);
    if (isRoutine) return [];
    if (mayChangePlan(input)) this.#mayPlanDiffer = true;
    this.#adoptStored();
    this.#wantLinks();
    this.#ping();
    this.#publishReach();
    this.#comeIntoForce();
    this.#considerClaim();
    this.#planNext();
    this.#dueMs = this.#reckonDueMs();
    this.#reachDueMs = this.#reach.deadlineMs(this.#nowMs);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** What comes with every frame or renewal and says nothing new: nothing follows from it but what the deadline brings. */
  #isRoutine(input: MembershipInput): boolean {
    // A frame may come in the place of the deadline, and the deadline is passed then.
    if (!this.#isNothingDue) return false;
    switch (input.kind) {
      case "time-passed":
        return true;
      case "coordination":
        // The lease was good and stays so.
        return input.fact.kind === "lease-renewed" && this.#nowMs < this.#validUntilMs;
      case "heard":
        return this.#reach.isReached(input.peer, input.incarnation, this.#nowMs);
      case "view-message": {
        if (!this.#reach.isReached(input.from, input.incarnation, this.#nowMs)) return false;
        const { message } = input;
        return message.kind === "greeting" || (message.kind === "view-in-force" && this.#isInForce && message.number === this.#adopted?.number);
      }
      default:
        return false;
    }
  }

  get #isNothingDue(): boolean {
    return this.#nowMs < this.#dueMs && this.#nowMs < this.#reachDueMs;
  }

  #take(input: MembershipInput): void {
    switch (input.kind) {
      case "coordination":
        this.#takeFact(input.fact);
        return;
      case "link-up":
        this.#reach.linkUp(input.peer, input.incarnation);
        this.#greet(input.peer, input.incarnation);
        return;
      case "link-down":
        this.#reach.linkDown(input.peer, this.#nowMs);
        this.#probe(input.peer);
        return;
      case "heard":
        this.#reach.heard(input.peer, input.incarnation, this.#nowMs);
        return;
      case "view-message":
        this.#takeMessage(input.from, input.incarnation, input.message);
        return;
      case "wish":
        this.#takeWish(input.wish);
        return;
      case "fence":
        this.#fence(input.node, input.word);
        return;
      case "registry-changed-hands":
        this.#hands = { isHeldHere: input.isHeldHere, holders: input.holders };
        return;
      case "time-passed":
        return;
    }
  }

  #takeFact(fact: CoordinationFact): void {
    if (fact.kind === "member-seen") this.#mayDiffer.add(fact.member.id);
    else if (fact.kind !== "lease-renewed") this.#mayLinksDiffer = true;
    switch (fact.kind) {
      case "lease-renewed":
        this.#validUntilMs = Math.max(this.#validUntilMs, fact.validUntilMs);
        return;
      case "member-dead":
        if (fact.id !== this.#self.id) {
          this.#standing.step(fact, this.#nowMs);
          if (fact.isProven) this.#reach.ended(fact.id, fact.incarnation + 1);
        } else if (fact.incarnation === this.#self.incarnation) this.#beExcluded(fact.incarnation, "this node's lease was claimed by another");
        return;
      case "member-seen":
        this.#standing.step(fact, this.#nowMs);
        this.#reach.ended(fact.member.id, fact.member.incarnation);
        return;
      case "member-alive":
        this.#standing.step(fact, this.#nowMs);
        return;
      case "view-seen":
        this.#isStoreKnown = true;
        if (fact.view !== undefined) this.#store(fact.view);
        return;
      case "view-published":
        if (this.#publication?.view.number === fact.number) this.#published(this.#publication.view);
        return;
      case "view-lost":
        if (this.#publication?.view.number === fact.number) this.#publication = undefined;
        return;
      case "claim-won":
        // Its lease is taken: whatever it does from now on, it cannot renew.
        this.#standing.died(fact, "for-good");
        this.#claim.won(fact);
        return;
      case "claim-lost":
        this.#claim.lost(fact, this.#nowMs);
        this.#removed.claimLost(fact, this.#nowMs);
        return;
      case "coordination-failed":
        return;
    }
  }

  #takeMessage(from: NodeId, incarnation: Incarnation, message: ViewMessage): void {
    this.#reach.heard(from, incarnation, this.#nowMs);
    switch (message.kind) {
      case "view-proposed":
        // From its manager, or from the one who hands over to it.
        if ((message.view.manager !== from && this.#adopted?.manager !== from) || message.view.cluster !== this.#cluster) return;
        this.#store(message.view);
        // Said to this very life and without it: it was a member, unknowingly perhaps, and is none any more.
        if (memberOf(message.view, this.#self) === undefined && message.view.number === this.#stored?.number) {
          this.#beExcluded(this.#self.incarnation, `manager ${from} has removed this node in view ${message.view.number}`);
        }
        if (this.#adopted?.number === message.view.number) this.#acknowledge();
        return;
      case "view-adopted":
        if (this.isManager && message.number === this.#adopted?.number && memberOf(this.#adopted, { id: from, incarnation }) !== undefined) {
          this.#acknowledged.add(from);
        }
        return;
      case "view-in-force":
        if (message.number === this.#adopted?.number && from === this.#adopted.manager) this.#nowInForce();
        return;
      case "greeting":
        return;
    }
  }

  #takeWish(wish: ViewWish): void {
    if (wish.kind === "mount") this.#wishMount(wish);
    else if (wish.kind === "move-manager") this.#moveTo = wish.to;
    else if (wish.kind === "rights-servers") this.#rightsServers = wish.nodes;
    else this.#wantsMoreIds = true;
  }

  /** The last word counts: an older one that was fulfilled before it was said would come true with the view that fulfils this one. */
  #wishMount({ node, fs, isMounted }: MountWish): void {
    this.#mounts = [...this.#mounts.filter((each) => each.node !== node || each.fs !== fs), { node, fs, isMounted }];
  }

  /** Of what is known of that node the last life, and with it all before. */
  #fence(node: NodeId, word: FenceWord): void {
    const lives = [this.#standing.seen(node)?.facts, ...(this.#stored?.members ?? []), ...(this.#stored?.removed ?? []), ...this.#removed.all];
    for (const life of lives) if (life?.id === node) this.#noteFenced(life, word);
  }
  #noteFenced({ id, incarnation }: Life, word: FenceWord): void {
    this.#standing.died({ id, incarnation }, "proven");
    this.#mayLinksDiffer = true;
    if ((this.#fenced.get(id)?.incarnation ?? -1) < incarnation) this.#fenced.set(id, { incarnation, word });
  }

  // The view this node goes by.

  #store(view: View): void {
    if (view.cluster !== this.#cluster || view.number <= (this.#stored?.number ?? 0)) return;
    this.#stored = view;
    this.#isStoreKnown = true;
    this.#claim.forget();
    if (this.#publication !== undefined && this.#publication.view.number <= view.number) this.#publication = undefined;
  }

  #published(view: View): void {
    this.#store(view);
    if (view.manager === this.#self.id) return;
    for (const member of view.members) this.#tell(member, { kind: "view-proposed", view });
  }

  #adoptStored(): void {
    const view = this.#stored;
    if (view === undefined || view.number <= (this.#adopted?.number ?? 0)) return;
    const own = view.members.find((member) => member.id === this.#self.id);
    if (own?.incarnation === this.#self.incarnation) this.#adopt(view);
    else if (own !== undefined && own.incarnation > this.#self.incarnation) this.#beExcluded(own.incarnation, "a later life of this node is a member");
    else if (this.#adopted !== undefined) this.#beExcluded(this.#self.incarnation, `view ${view.number} of manager ${view.manager} is without this node`);
  }

  #adopt(view: View): void {
    const before = this.#adopted;
    for (const member of before?.members ?? []) if (memberOf(view, member) === undefined) this.#remove(member, view);
    for (const life of view.removed ?? []) this.#noteRemoved(life);
    const manager = view.members.find((member) => member.id === view.manager);
    const isSameManager = manager !== undefined && before?.manager === manager.id && memberOf(before, manager) !== undefined;
    if (!isSameManager) this.#why = whyManager(view, before, this.#self.id);
    this.#partings.keep((id) => {
      const member = view.members.find((each) => each.id === id);
      return member !== undefined && memberOf(before, member) !== undefined;
    });
    this.#adopted = view;
    this.#mayLinksDiffer = true;
    this.#mayPlanDiffer = true;
    this.#isInForce = false;
    this.#acknowledged = new Set([this.#self.id]);
    this.#moveTo = undefined;
    this.#wantsMoreIds = false;
    this.#mounts = this.isManager ? this.#mounts.filter((wish) => isOpen(wish, view)) : [];
    if (!this.isManager) this.#rightsServers = undefined;
    this.#effects.push({ kind: "adopt", view, before });
    // Only a manager has something to say to all: signs of life of everybody to everybody come soon enough.
    if (this.isManager) this.#nextPingMs = this.#nowMs;
    else this.#acknowledge();
  }

  #noteRemoved({ id, incarnation, isOver, fenced }: RemovedLife): void {
    if (fenced !== undefined && id !== this.#self.id) this.#noteFenced({ id, incarnation }, fenced);
    this.#entrants.evicted({ id, incarnation });
    if (isOver) this.#removed.over({ id, incarnation });
    else if (id !== this.#self.id) this.#removed.note({ id, incarnation });
  }
  #remove(member: Member, view: View): void {
    this.#noteRemoved({ id: member.id, incarnation: member.incarnation, isOver: false });
    if (view.manager === this.#self.id && !this.#standing.isDead(member)) this.#entrants.hold(member.id, this.#nowMs);
  }

  #acknowledge(): void {
    const view = this.#adopted;
    const manager = view?.members.find((member) => member.id === view.manager);
    if (view === undefined || manager === undefined) return;
    this.#effects.push({ kind: "send-view-message", to: manager.id, incarnation: manager.incarnation, message: { kind: "view-adopted", number: view.number } });
  }

  /** Safety C7: a new incarnation, which remembers nothing of the former one and enters like anybody else. */
  #beExcluded(above: Incarnation, why: string): void {
    const incarnation = (Math.max(above, this.#self.incarnation) + 1) as Incarnation;
    this.#self = { ...this.#self, incarnation };
    this.#adopted = undefined;
    this.#mayLinksDiffer = true;
    this.#isInForce = false;
    this.#why = "";
    this.#acknowledged.clear();
    this.#removed.forget();
    this.#publication = undefined;
    this.#publishedReach = undefined;
    this.#mounts = [];
    this.#moveTo = undefined;
    this.#wantsMoreIds = false;
    this.#rightsServers = undefined;
    this.#validUntilMs = -Infinity;
    this.#claim.forget();
    this.#entrants.begin();
    this.#partings.forget();
    this.#reach = new Reach(this.#timeouts);
    this.#reachTold = { changes: -1, untilMs: -Infinity };
    this.#mayPlanDiffer = true;
    this.#effects.push({ kind: "exclude", incarnation, why }, { kind: "coordinate", request: { kind: "rejoin", incarnation } });
    // Links tell the incarnation when they are made: they are made anew.
    for (const peer of this.#wantedLinks.keys()) this.#effects.push({ kind: "link-unwanted", peer });
    this.#wantedLinks.clear();
  }

  #comeIntoForce(): void {
    this.#removed.settle();
    if (this.#mayTakeLeases) {
      for (const life of this.#removed.claims(this.#nowMs)) this.#effects.push({ kind: "coordinate", request: { kind: "claim", ...life } });
    }
    const view = this.#adopted;
    if (view === undefined || !this.isManager || this.#isInForce || !this.#removed.isNone) return;
    if (!view.members.every((member) => this.#acknowledged.has(member.id))) return;
    this.#nowInForce();
    for (const member of view.members) this.#tell(member, { kind: "view-in-force", number: view.number });
  }

  get #mayTakeLeases(): boolean {
    return this.#isActing && !this.#isInForce && this.#nowMs < this.#validUntilMs;
  }

  #nowInForce(): void {
    const view = this.#adopted;
    if (view === undefined || this.#isInForce) return;
    this.#isInForce = true;
    this.#effects.push({ kind: "in-force", view });
  }

  // Links and greetings.

  #wantLinks(): void {
    if (!this.#mayLinksDiffer) return this.#wantLinksOfSome();
    this.#mayLinksDiffer = false;
    this.#mayDiffer.clear();
    const wanted = new Map<NodeId, { address: string; incarnation: Incarnation }>();
    for (const member of this.#adopted?.members ?? []) wanted.set(member.id, member);
    for (const { facts } of this.#standing.all()) {
      if ((wanted.get(facts.id)?.incarnation ?? -1) <= facts.incarnation) wanted.set(facts.id, facts);
    }
    wanted.delete(this.#self.id);
    for (const [peer, { address, incarnation }] of wanted) {
      if (this.#standing.isProven({ id: peer, incarnation })) wanted.delete(peer);
      else this.#wantLink(peer, address, incarnation);
    }
    for (const peer of this.#wantedLinks.keys()) if (!wanted.has(peer)) this.#wantNoLink(peer);
  }
  #wantLinksOfSome(): void {
    for (const peer of this.#mayDiffer) {
      const member = this.#adopted === undefined ? undefined : memberNamed(this.#adopted, peer);
      const seen = this.#standing.seen(peer)?.facts;
      const wanted = seen !== undefined && (member?.incarnation ?? -1) <= seen.incarnation ? seen : member;
      if (peer === this.#self.id || wanted === undefined || this.#standing.isProven(wanted)) {
        if (this.#wantedLinks.has(peer)) this.#wantNoLink(peer);
      } else this.#wantLink(peer, wanted.address, wanted.incarnation);
    }
    this.#mayDiffer.clear();
  }
  #wantLink(peer: NodeId, address: string, incarnation: Incarnation): void {
    const text = `${incarnation} ${address}`;
    if (this.#wantedLinks.get(peer) === text) return;
    this.#wantedLinks.set(peer, text);
    this.#effects.push({ kind: "link-wanted", peer, address, incarnation });
  }
  #wantNoLink(peer: NodeId): void {
    this.#wantedLinks.delete(peer);
    this.#effects.push({ kind: "link-unwanted", peer });
  }

  #ping(): void {
    if (this.#nowMs < this.#nextPingMs) return;
    this.#nextPingMs = this.#nowMs + this.#pingMs;
    for (const peer of this.#reach.up()) this.#greet(peer.id, peer.incarnation);
  }

  #greet(peer: NodeId, incarnation: Incarnation): void {
    const message = this.#due({ id: peer, incarnation });
    this.#effects.push({ kind: "send-view-message", to: peer, incarnation, message });
  }

  /** What the peer may not know yet, else a mere sign of life. */
  #due(peer: Pick<MemberFacts, "id" | "incarnation">): ViewMessage {
    const view = this.#adopted;
    if (view !== undefined && this.isManager && this.#entrants.isEvicted(peer)) return { kind: "view-proposed", view };
    if (view !== undefined && this.isManager && memberOf(view, peer) !== undefined) {
      if (!this.#acknowledged.has(peer.id)) return { kind: "view-proposed", view };
      // Always: whoever did not hear it at first, and was not evicted for that, must not stay ignorant.
      if (this.#isInForce) return { kind: "view-in-force", number: view.number };
    }
    return { kind: "greeting", incarnation: this.#self.incarnation };
  }

  #tell(member: Member, message: ViewMessage): void {
    if (member.id !== this.#self.id) this.#effects.push({ kind: "send-view-message", to: member.id, incarnation: member.incarnation, message });
  }

  #publishReach(): void {
    const told = this.#reachTold;
    if (told.changes === this.#reach.changes && this.#nowMs < told.untilMs) return;
    this.#reachTold = { changes: this.#reach.changes, untilMs: this.#reach.deadlineMs(this.#nowMs) };
    const reaches = this.#reach.reached(this.#nowMs);
    if (this.#publishedReach !== undefined && isSameList(reaches, this.#publishedReach)) return;
    this.#publishedReach = reaches;
    this.#effects.push({ kind: "coordinate", request: { kind: "publish-reach", reaches } });
  }

  #probe(peer: NodeId): void {
    const member = this.#adopted?.members.find((each) => each.id === peer);
    if (member === undefined || this.#standing.isDead(member)) return;
    this.#effects.push({ kind: "coordinate", request: { kind: "probe", id: member.id, incarnation: member.incarnation } });
  }

  // Making the next view.

  get #isActing(): boolean {
    return this.isManager && this.#stored?.number === this.#adopted?.number;
  }

  #considerClaim(): void {
    const move = this.#claim.consider(this.#mayPublish ? this.#vacancy() : undefined, this.#nowMs);
    if (move.kind === "claim") {
      const { id, incarnation } = move.manager;
      this.#effects.push({ kind: "coordinate", request: { kind: "claim", id, incarnation } });
    } else if (move.kind === "publish") this.#publish(this.#planned());
  }

  get #mayPublish(): boolean {
    return this.#isStoreKnown && this.#publication === undefined && this.#nowMs < this.#validUntilMs;
  }

  #vacancy(): Vacancy | undefined {
    if (!this.#self.isEligible) return undefined;
    const base = this.#stored;
    const settleMs = 2 * this.#claimStepMs;
    const rankAmong = (order: readonly MemberFacts[]): number => order.findIndex((each) => each.id === this.#self.id);
    const rankAmongStrangers = (): number => this.#rankAmongStrangers();
    if (base === undefined) return { manager: undefined, after: 0, rank: rankAmongStrangers(), settleMs };
    const manager = base.members.find((member) => member.id === base.manager);
    if (manager === undefined) return undefined;
    if (this.#adopted?.number === base.number && (this.isManager || !this.#standing.isDead(manager))) return undefined;
    const isFollowed = this.#standing.isFollowed(manager) || (manager.id === this.#self.id && manager.incarnation < this.#self.incarnation);
    const isFenced = manager.incarnation <= (this.#fenced.get(manager.id)?.incarnation ?? -1);
    const taken = isFollowed || isFenced ? undefined : manager;
    if (this.#adopted?.number === base.number) {
      const members = succession(base.members.filter((member) => !this.#standing.isDead(member)));
      return { manager: taken, after: base.number, rank: rankAmong(members) + (this.#hands.isHeldHere ? 0 : EMPTY_HANDED_RANKS), settleMs: 0 };
    }
    if (!base.members.every((member) => this.#isOver(member))) return undefined;
    return { manager: taken, after: base.number, rank: rankAmongStrangers(), settleMs: this.#isAloneAgain(base) ? 0 : settleMs };
  }
  /** Its former life was the whole cluster, and nobody else begins: there is nobody whose turn could come before. */
  #isAloneAgain({ members }: View): boolean {
    return members.every(({ id }) => id === this.#self.id) && this.#standing.living().length === 0;
  }

  /** How many living eligible nodes come before this one. */
  #rankAmongStrangers(): number {
    if (this.#strangers.standing === this.#standing.changes) return this.#strangers.rank;
    let rank = 0;
    this.#standing.eachLiving((facts) => {
      if (facts.isEligible && bySuccession(facts, this.#self) < 0) rank++;
    });
    this.#strangers = { standing: this.#standing.changes, rank };
    return rank;
  }
  /** As `isDead`, and a former life of this very node is over too. */
  #isOver(member: Life): boolean {
    if (member.id === this.#self.id) return member.incarnation < this.#self.incarnation;
    return this.#standing.isDead(member);
  }

  #planNext(): void {
    if (this.#publication !== undefined && this.#publication.sinceMs + PUBLISH_AGAIN_AFTER_MS <= this.#nowMs && this.#nowMs < this.#validUntilMs) {
      this.#publish(this.#publication.view);
    }
    if (!this.#isActing || !this.#mayPublish || this.#stored === undefined || !this.#isPlanWanted) return;
    const next = this.#planned();
    if (!isSameView(next, this.#stored)) this.#publish(next);
  }

  get #isPlanWanted(): boolean {
    const { reach, standing, untilMs } = this.#plannedFrom;
    return this.#mayPlanDiffer || reach !== this.#reach.changes || standing !== this.#standing.changes || this.#nowMs >= untilMs;
  }
  #planned(): View {
    const view = this.#plan();
    this.#mayPlanDiffer = false;
    const untilMs = Math.min(this.#reach.deadlineMs(this.#nowMs), this.#entrants.nextMs(this.#nowMs), this.#partings.deadlineMs(this.#nowMs));
    this.#plannedFrom = { reach: this.#reach.changes, standing: this.#standing.changes, untilMs };
    return view;
  }
  #plan(): View {
    return nextView({
      cluster: this.#cluster, base: this.#stored, self: this.#self,
      isDead: (member) => this.#isOver(member),
      isEnded: (life) => (life.id === this.#self.id ? this.#isOver(life) : this.#standing.isEnded(life)),
      isConnected: (a, b) => this.#areConnected(a, b),
      isParted: (a, b) => this.#partings.isParted(a, b, this.#areConnected(a, b), this.#nowMs),
      isHolder: (id) => this.#hands.holders?.includes(id) ?? true,
      fenced: [...this.#fenced].map(([id, { incarnation, word }]) => ({ id, incarnation, word })),
      candidates: this.#hands.holders === undefined ? [] : this.#entrants.now(this.#stored, this.#reach, this.#nowMs), mounts: this.#mounts, moveTo: this.#moveTo, wantsMoreIds: this.#wantsMoreIds, rightsServers: this.#rightsServers,
    });
  }

  #publish(view: View): void {
    this.#publication = { view, sinceMs: this.#nowMs };
    this.#effects.push({ kind: "coordinate", request: { kind: "publish-view", view } });
  }

  #areConnected(a: NodeId, b: NodeId): boolean {
    return this.#reaches(a, b) && this.#reaches(b, a);
  }
  /** As each publishes it; of a member not read yet nothing bad is known. */
  #reaches(a: NodeId, b: NodeId): boolean {
    if (a === this.#self.id) return this.#reach.reaches(b, this.#nowMs);
    return this.#standing.seen(a)?.reaches.has(b) ?? true;
  }
}

/** Of what is heard only reach and standing tell more, and both say so themselves. */
function mayChangePlan(input: MembershipInput): boolean {
  if (input.kind === "heard" || input.kind === "time-passed") return false;
  return input.kind !== "view-message" || input.message.kind === "view-proposed";
}
function isSameList(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((id, at) => id === b[at]);
}
function isOpen(wish: MountWish, view: View): boolean {
  const member = view.members.find((each) => each.id === wish.node);
  return member !== undefined && member.mounted.includes(wish.fs) !== wish.isMounted;
}
