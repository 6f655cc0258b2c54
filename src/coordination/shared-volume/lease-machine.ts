/**
 * Coordination through a directory that all members share: this node's lease, its watch over the others, claims and views.
 *
 * A renewal and a claim are both a rename of the same name, so a claim succeeds only if its holder has not renewed since
 * it was watched; a view comes in by a link, so that of two writers of one number one wins. The volume is the arbiter.
 * Nothing is asked of any clock but this machine's own.
 *
 * The machine works through procedures, one volume call at a time: `step` returns at most one call, whose result is the
 * next input. Calls may fail and have taken effect all the same; each procedure looks before it believes.
 *
 * Owns      the lease (from the end of `begin` on), validity, watch, claims, views, their pruning.
 * Not here  the identity lock, taken before this machine starts (driver.ts); who ought to be manager (cluster/).
 * Units     milliseconds of this machine's monotonic clock.
 * Source    safety C7, C8, M2, M7.
 */
import { assert } from "../../base/assert.js";
import type { CoordinationFact, CoordinationRequest } from "../../cluster/coordination-contract.js";
import type { MemberFacts, View } from "../../cluster/view-document.js";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import {
  decodeIdentity, decodeLease, decodeViewFile, encodeDocument, type IdentityDocument, type LeaseDocument, type Life, isSameLife, parseLeaseName,
  parseViewName, paths, type ReachDocument, SMALL_FILE_BYTES, type ViewFile, VIEW_FILE_BYTES,
} from "./layout.js";
import { MemberWatch, type Watched } from "./member-watch.js";
import { type Procedure, Procedures } from "./procedures.js";
import type { CallDone, VolumeCall } from "./volume-call.js";

export interface LeaseTimes {
  /** H: between two renewals. */
  readonly renewMs: number;
  /** A holder may act this long after it issued its last successful renewal. */
  readonly holdMs: number;
  /** Others may claim when they have seen no renewal for this long. */
  readonly deadMs: number;
}
export const oneMachine: LeaseTimes = { renewMs: 250, holdMs: 4_000, deadMs: 6_000 };
export const manyMachines: LeaseTimes = { renewMs: 1_000, holdMs: 10_000, deadMs: 15_000 };

export interface LeaseOptions {
  readonly facts: MemberFacts;
  readonly identity: IdentityDocument;
  readonly times: LeaseTimes;
}

/** `isTicking`: every thread of this daemon has shown life lately (safety M2). */
export type LeaseInput = { readonly atMs: number; readonly isTicking: boolean } & (
  | { readonly kind: "time-passed" }
  | { readonly kind: "requested"; readonly request: CoordinationRequest }
  | { readonly kind: "call-done"; readonly done: CallDone }
);
export type LeaseEffect =
  | { readonly kind: "call"; readonly call: VolumeCall }
  | { readonly kind: "tell"; readonly fact: CoordinationFact };

const VIEWS_KEPT = 8;
const VIEW_NAMES_KEPT = 512;
/** A process that just lost its links is mostly gone within milliseconds; one that is not is looked at ever more seldom. */
const PROBE_FIRST_MS = 20;
const PROBE_EVERY_MS = 250;
const PROBE_GROWTH = 1.5;

export class LeaseMachine {
  readonly #times: LeaseTimes;
  readonly #watch: MemberWatch;
  #facts: MemberFacts;
  #identity: IdentityDocument;
  #nowMs = 0;
  #isTicking = false;

  /** `beginning` until the lease file stands; `lost` when it was claimed or the incarnation is unusable. */
  #lease: "beginning" | "held" | "lost" | "left" = "beginning";
  #hasTriedToName = false;
  #renewals = 0;
  /** When the first try of the renewal that is still unconfirmed was issued. */
  #renewalTriedMs: number | undefined;
  #validUntilMs = 0;
  #view: View | undefined;
  #hasToldView = false;
  #reaches: readonly NodeId[] = [];
  #spare: string | undefined;
  #spareCount = 0;
  /** Views up to this number have lost their content. */
  #emptiedTo = 0;
  #lastFailure = "";

  readonly #procedures = new Procedures();
  #nextTickMs = 0;
  readonly #probes = new Map<string, { readonly life: Life; nextMs: number; everyMs: number; readonly untilMs: number }>();
  /** As last read of each node. */
  readonly #identities = new Map<NodeId, { readonly text: string; readonly document: IdentityDocument | undefined }>();
  #told: CoordinationFact[] = [];

  constructor(options: LeaseOptions) {
    const { renewMs, holdMs, deadMs } = options.times;
    assert(deadMs >= 1.25 * holdMs + 2 * renewMs, "a lease is claimed only when its holder surely has stopped");
    assert(holdMs >= 4 * renewMs, "a lease outlives some missed renewals");
    this.#times = options.times;
    this.#facts = options.facts;
    this.#identity = options.identity;
    this.#watch = new MemberWatch({ deadMs, renewMs });
  }

  /** When the driver owes a `time-passed`. */
  get deadlineMs(): number {
    let dueMs = this.#nextTickMs;
    for (const probe of this.#probes.values()) dueMs = Math.min(dueMs, probe.nextMs);
    return dueMs;
  }
  /** Nothing is being done and nothing waits. */
  get isIdle(): boolean {
    return this.#procedures.isIdle;
  }
  /** This node may act as a member until then. */
  get validUntilMs(): number {
    return this.#validUntilMs;
  }

  step(input: LeaseInput): LeaseEffect[] {
    this.#nowMs = Math.max(this.#nowMs, input.atMs);
    this.#isTicking = input.isTicking;
    if (input.kind === "time-passed") this.#tick();
    else if (input.kind === "requested") this.#request(input.request);
    const call = input.kind === "call-done" ? this.#procedures.resume(input.done) : this.#procedures.startNext();
    const told = this.#told;
    this.#told = [];
    const effects: LeaseEffect[] = told.map((fact) => ({ kind: "tell", fact }));
    if (call !== undefined) effects.push({ kind: "call", call });
    return effects;
  }

  // --- what is to be done -------------------------------------------------------------------------------------------

  #tick(): void {
    for (const probe of this.#probes.values()) {
      if (probe.nextMs > this.#nowMs) continue;
      probe.nextMs = this.#nowMs + probe.everyMs;
      probe.everyMs = Math.min(probe.everyMs * PROBE_GROWTH, PROBE_EVERY_MS);
      this.#procedures.enqueueOnce(`probe ${probe.life.id}`, () => this.#probe(probe.life));
    }
    if (this.#nowMs < this.#nextTickMs) return;
    this.#nextTickMs = this.#nowMs + this.#times.renewMs;
    this.#procedures.tick();
    this.#procedures.enqueueOnce("watch", () => this.#look());
    if (this.#lease === "beginning") this.#procedures.enqueueOnce("begin", () => this.#begin(), true);
    else if (this.#lease === "held") this.#procedures.enqueueOnce("renew", () => this.#renew(), true);
  }

  #request(request: CoordinationRequest): void {
    switch (request.kind) {
      case "publish-view":
        this.#procedures.enqueue("publish", () => this.#publish(request.view, undefined));
        break;
      case "claim":
        this.#procedures.enqueue("claim", () => this.#claim({ id: request.id, incarnation: request.incarnation }));
        break;
      case "publish-reach":
        this.#reaches = request.reaches;
        this.#procedures.enqueueOnce("reach", () => this.#publishReach());
        break;
      case "probe": {
        const life = { id: request.id, incarnation: request.incarnation };
        this.#probes.set(request.id, { life, nextMs: this.#nowMs, everyMs: PROBE_FIRST_MS, untilMs: this.#nowMs + this.#times.holdMs / 2 });
        this.#tick();
        break;
      }
      case "rejoin":
        // At once: what is published from now on is the new life's, though the old one has still to be given up.
        this.#reaches = [];
        this.#procedures.enqueue("rejoin", () => this.#rejoin(request.incarnation));
        break;
      case "leave":
        this.#procedures.enqueue("leave", () => this.#leave());
    }
  }

  #tell(fact: CoordinationFact): void {
    this.#told.push(fact);
  }

  /** The volume did not do what was asked; said once until something succeeds or the reason changes. */
  #failed(what: string, done: CallDone): void {
    const message = done.answer.kind === "failed" ? `${what}: ${done.answer.message}` : `${what}: unexpected answer`;
    if (message !== this.#lastFailure) this.#tell({ kind: "coordination-failed", message });
    this.#lastFailure = message;
  }

  get #self(): Life {
    return this.#facts;
  }

  // --- own lease ----------------------------------------------------------------------------------------------------

  /** Earlier lives of this identity are over, since we hold its lock; then the lease of this one is made. */
  *#begin(): Procedure {
    if (this.#lease !== "beginning") return;
    const listing = yield* this.#list("leases");
    if (listing === undefined) return;
    const mine = listing.names.map(parseLeaseName).filter((name) => name !== undefined).filter((name) => name.life.id === this.#self.id);
    if (mine.some((name) => isSameLife(name.life, this.#self))) {
      if (this.#hasTriedToName) return this.#hold(0); // that try had no clear end, and succeeded
      this.#lease = "lost";
      return this.#tell({ kind: "coordination-failed", message: `incarnation ${this.#self.incarnation} of ${this.#self.id} was used before` });
    }
    for (const name of mine) {
      if (name.kind === "lease") yield { kind: "rename", from: paths.lease(name.life, name.renewals), to: paths.left(name.life) };
    }
    if (!this.#hasToldView) yield* this.#lookAtViews();
    const document: LeaseDocument = { facts: this.#facts, process: this.#identity.process };
    yield { kind: "unlink", path: paths.newLease(this.#self) };
    yield { kind: "write", path: paths.pastView, text: "{}\n", isNew: true };
    const lockDone = yield { kind: "write", path: paths.lock(this.#self.id), text: encodeDocument(this.#identity, SMALL_FILE_BYTES), isNew: false };
    if (lockDone.answer.kind !== "done") return this.#failed("writing the identity", lockDone);
    yield* this.#publishReach();
    const written = yield { kind: "write", path: paths.newLease(this.#self), text: encodeDocument(document, SMALL_FILE_BYTES), isNew: true };
    if (written.answer.kind !== "done") return this.#failed("writing the lease", written);
    this.#hasTriedToName = true;
    const named = yield { kind: "rename", from: paths.newLease(this.#self), to: paths.lease(this.#self, 0) };
    if (named.answer.kind !== "done") return this.#failed("naming the lease", named);
    yield { kind: "sync-directory", directory: "leases" };
    this.#hold(named.startMs);
  }

  #hold(issuedMs: number): void {
    this.#lease = "held";
    this.#renewals = 0;
    if (issuedMs > 0) this.#renewed(issuedMs, this.#nowMs - issuedMs);
    this.#procedures.enqueueOnce("spare", () => this.#makeSpare());
  }

  *#renew(): Procedure {
    if (this.#lease !== "held" || !this.#isTicking) return;
    const next = this.#renewals + 1;
    const done = yield { kind: "rename", from: paths.lease(this.#self, this.#renewals), to: paths.lease(this.#self, next) };
    // An earlier try may be the one that took effect, so validity counts from the first.
    this.#renewalTriedMs ??= done.startMs;
    if (done.answer.kind === "done") {
      const triedMs = this.#renewalTriedMs;
      this.#renewals = next;
      return yield* this.#renewedAgain(done.startMs, done.endMs - triedMs);
    }
    if (done.answer.kind === "failed" && done.answer.code === "ENOENT") return yield* this.#findOwnLease();
    this.#failed("renewing the lease", done);
  }

  /** ENOENT: an earlier rename did take effect, or the lease was claimed. The directory knows. */
  *#findOwnLease(): Procedure {
    const listing = yield* this.#list("leases");
    if (listing === undefined) return;
    for (const name of listing.names.map(parseLeaseName)) {
      if (name === undefined || !isSameLife(name.life, this.#self)) continue;
      if (name.kind !== "lease") return this.#loseLease();
      // An old copy of the directory: it says nothing about the tries since, the first of which may be the one that took effect.
      if (name.renewals <= this.#renewals) return;
      const triedMs = name.renewals === this.#renewals + 1 ? this.#renewalTriedMs : undefined;
      this.#renewals = name.renewals;
      this.#renewalTriedMs = undefined;
      if (triedMs !== undefined) yield* this.#renewedAgain(triedMs, this.#nowMs - triedMs);
      return;
    }
    if (this.#nowMs > this.#validUntilMs) this.#loseLease(); // somebody removed it
  }

  /**
   * While its lease was over the others may have gone on without this node, and its lease file is no sign that they did
   * not: it learns of the present view before it may act again.
   */
  *#renewedAgain(issuedMs: number, tookMs: number): Procedure {
    const wasOver = this.#nowMs >= this.#validUntilMs;
    if (wasOver && !(yield* this.#lookAtViews())) return;
    this.#renewed(issuedMs, tookMs);
  }

  #renewed(issuedMs: number, tookMs: number): void {
    this.#renewalTriedMs = undefined;
    this.#lastFailure = "";
    this.#validUntilMs = issuedMs + this.#times.holdMs;
    this.#tell({ kind: "lease-renewed", validUntilMs: this.#validUntilMs, tookMs });
  }

  /** Claimed: this incarnation can never renew again. Told as its own death. */
  #loseLease(): void {
    if (this.#lease !== "held") return;
    this.#lease = "lost";
    this.#tell({ kind: "member-dead", id: this.#self.id, incarnation: this.#self.incarnation, isProven: false, isForGood: true });
  }

  *#rejoin(incarnation: Incarnation): Procedure {
    if (incarnation <= this.#facts.incarnation) return;
    yield* this.#giveUpLease();
    this.#facts = { ...this.#facts, incarnation };
    this.#identity = { ...this.#identity, incarnation };
    this.#lease = "beginning";
    this.#hasTriedToName = false;
    this.#renewalTriedMs = undefined;
    yield* this.#begin();
  }

  *#leave(): Procedure {
    yield* this.#giveUpLease();
    this.#lease = "left";
  }

  *#giveUpLease(): Procedure {
    this.#validUntilMs = 0;
    if (this.#lease === "held") {
      const done = yield { kind: "rename", from: paths.lease(this.#self, this.#renewals), to: paths.left(this.#self) };
      if (done.answer.kind === "done") return;
      this.#failed("giving the lease up", done);
    }
    // Whoever claims it needs a name to take: unless it was taken, one is put there.
    const listing = yield* this.#list("leases");
    const own = (listing?.names ?? []).map(parseLeaseName).find((name) => name !== undefined && isSameLife(name.life, this.#self));
    if (listing !== undefined && own === undefined) yield { kind: "write", path: paths.left(this.#self), text: encodeDocument({}, SMALL_FILE_BYTES), isNew: true };
  }

  *#publishReach(): Procedure {
    const document: ReachDocument = { reaches: this.#reaches };
    const text = encodeDocument(document, SMALL_FILE_BYTES);
    const done = yield { kind: "write", path: paths.reach(this.#self), text, isNew: false };
    if (done.answer.kind === "done") return;
    this.#failed("publishing the reach", done);
    this.#procedures.tryAgain("reach", () => this.#publishReach());
  }

  // --- watching -----------------------------------------------------------------------------------------------------

  *#list(directory: string): Procedure<{ readonly names: readonly string[]; readonly startMs: number; readonly endMs: number } | undefined> {
    const done = yield { kind: "list", directory };
    if (done.answer.kind === "names") return { names: done.answer.names, startMs: done.startMs, endMs: done.endMs };
    this.#failed(`listing ${directory}`, done);
    return undefined;
  }

  *#look(): Procedure {
    const listing = yield* this.#list("leases");
    if (listing !== undefined) {
      const names = listing.names.map(parseLeaseName).filter((name) => name !== undefined);
      const own = names.find((name) => isSameLife(name.life, this.#self));
      if (own !== undefined && own.kind === "taken") this.#loseLease();
      const others = names.filter((name) => !isSameLife(name.life, this.#self));
      const removed = (this.#view?.removed ?? []).filter((life) => !life.isOver);
      const expected = [...(this.#view?.members ?? []), ...removed].filter((life) => !isSameLife(life, this.#self));
      this.#tellAll(this.#watch.look(others, expected, listing.startMs, listing.endMs));
      for (const watched of this.#watch.all) yield* this.#readMember(watched);
    }
    yield* this.#lookAtViews();
  }

  /** A lease that stands proves no life; a renewal does, or the identity lock that its process holds. */
  *#readMember(watched: Watched): Procedure {
    if (watched.state === "proven") return;
    const { life, gone } = watched;
    const isNew = watched.process === undefined;
    if (isNew) {
      const path = gone === undefined ? paths.lease(life, watched.renewals) : gone.kind === "left" ? paths.left(life) : paths.taken(life, gone.by);
      const document = yield* this.#read(path, decodeLease);
      if (document !== undefined) Object.assign(watched, { facts: document.facts, process: document.process });
    }
    const isQuiet = watched.lastReadMs - watched.sinceMs >= 2 * this.#times.renewMs;
    if (isNew || isQuiet || watched.state !== "alive") yield* this.#probe(life);
    if (watched.state !== "alive" || watched.facts === undefined) return;
    const reach = yield { kind: "read", path: paths.reach(life) };
    if (reach.answer.kind === "text") this.#tellAll(this.#watch.describe(life, reach.answer.text));
  }

  /** Undefined when it is not there or not whole. */
  *#read<T>(path: string, decode: (text: string) => T | undefined): Procedure<T | undefined> {
    const done = yield { kind: "read", path };
    return done.answer.kind === "text" ? decode(done.answer.text) : undefined;
  }

  /**
   * Its end is proven when nobody holds the identity lock that this process held, or when another process has held it
   * since: the lock is free for a newcomer only after the kernel has closed the old one's descriptors.
   */
  *#probe(life: Life): Procedure {
    const probe = this.#probes.get(life.id);
    if (probe !== undefined && probe.untilMs <= this.#nowMs) this.#probes.delete(life.id);
    const watched = this.#watch.get(life);
    if (watched === undefined || watched.state === "proven") return;
    const identity = yield* this.#readIdentity(life.id);
    let isProven = identity !== undefined && watched.process !== undefined && identity.process !== watched.process;
    if (!isProven) {
      const done = yield { kind: "test-lock", path: paths.lock(life.id) };
      isProven = done.answer.kind === "lock" && !done.answer.isHeld;
    }
    if (!isProven) return;
    this.#probes.delete(life.id);
    this.#tellAll(this.#watch.prove(life));
  }

  /** It hardly ever changes, and is read at every look while somebody is silent. */
  *#readIdentity(id: NodeId): Procedure<IdentityDocument | undefined> {
    const done = yield { kind: "read", path: paths.lock(id) };
    if (done.answer.kind !== "text") return undefined;
    const { text } = done.answer;
    let known = this.#identities.get(id);
    if (known?.text !== text) {
      known = { text, document: decodeIdentity(text) };
      this.#identities.set(id, known);
    }
    return known.document;
  }

  #tellAll(facts: readonly CoordinationFact[]): void {
    for (const fact of facts) this.#tell(fact);
  }

  // --- views --------------------------------------------------------------------------------------------------------

  /** False when the directory did not say. */
  *#lookAtViews(): Procedure<boolean> {
    const listing = yield* this.#list("views");
    if (listing === undefined) return false;
    let highest = -1;
    for (const name of listing.names) highest = Math.max(highest, parseViewName(name) ?? -1);
    if (highest > (this.#view?.number ?? -1)) {
      const file = yield* this.#read(paths.view(highest), decodeViewFile);
      if (file === undefined) return false; // pruned meanwhile, or unreachable: the next look tells
      this.#seeView(file.view);
    } else if (!this.#hasToldView) {
      this.#tell({ kind: "view-seen", view: undefined });
    }
    this.#hasToldView = true;
    return true;
  }

  #seeView(view: View): void {
    if (this.#view !== undefined && view.number <= this.#view.number) return;
    this.#view = view;
    this.#hasToldView = true;
    this.#tell({ kind: "view-seen", view });
  }

  *#makeSpare(): Procedure {
    if (this.#spare !== undefined) return;
    const path = this.#newSpareName();
    const done = yield { kind: "write", path, text: encodeDocument({}, VIEW_FILE_BYTES), isNew: true };
    if (done.answer.kind === "done") this.#spare = path;
  }

  #newSpareName(): string {
    return paths.spare(this.#self.id, this.#identity.process, ++this.#spareCount);
  }

  /**
   * Links the complete document under its number. `written` is the spare that holds it already when an earlier try had no
   * clear end; the link may be repeated, since name and content are the same. The spare's name is the document's nonce.
   */
  *#publish(view: View, written: string | undefined): Procedure {
    if (this.#lease === "beginning") return this.#procedures.tryAgain(`publish ${view.number}`, () => this.#publish(view, written));
    if (this.#lease !== "held") return this.#tell({ kind: "view-lost", number: view.number });
    const spare = written ?? (yield* this.#writeSpare(view));
    const outcome = spare === undefined ? "unclear" : yield* this.#linkView(view.number, spare);
    if (outcome === "unclear") return this.#procedures.tryAgain(`publish ${view.number}`, () => this.#publish(view, spare));
    yield { kind: "unlink", path: spare! };
    if (outcome === "lost") this.#tell({ kind: "view-lost", number: view.number });
    else {
      this.#tell({ kind: "view-published", number: view.number });
      this.#seeView(view);
      this.#procedures.enqueueOnce("prune", () => this.#prune());
    }
    yield* this.#makeSpare();
    yield* this.#lookAtViews();
  }

  *#linkView(number: number, spare: string): Procedure<"published" | "lost" | "unclear"> {
    const linked = yield { kind: "link", from: spare, to: paths.view(number) };
    let isMine = linked.answer.kind === "done";
    if (!isMine) {
      const standing = yield* this.#read(paths.view(number), decodeViewFile);
      if (standing !== undefined && standing.nonce !== spare) return "lost";
      isMine = standing !== undefined;
    }
    if (isMine) yield { kind: "sync-directory", directory: "views" };
    // A higher number stands: this one was late, and perhaps linked only because its old holder had been pruned.
    const listing = yield* this.#list("views");
    if (listing?.names.some((name) => (parseViewName(name) ?? 0) > number)) return "lost";
    if (isMine && listing !== undefined) return "published";
    if (!isMine) this.#failed("publishing a view", linked);
    return "unclear";
  }

  *#writeSpare(view: View): Procedure<string | undefined> {
    const isNew = this.#spare === undefined;
    const path = this.#spare ?? this.#newSpareName();
    this.#spare = undefined; // whatever happens now, it is used up
    const file: ViewFile = { nonce: path, view };
    const done = yield { kind: "write", path, text: encodeDocument(file, VIEW_FILE_BYTES), isNew };
    if (done.answer.kind === "done") return path;
    this.#failed("writing a view", done);
    return undefined;
  }

  /**
   * After publishing: old views, and the remains of lives that this view does not know, or knows to be over: of the others
   * a later manager has still to see that they are.
   */
  *#prune(): Procedure {
    const view = this.#view!;
    yield* this.#pruneViews(view.number);
    const leases = yield* this.#list("leases");
    const over = (leases?.names ?? []).map(parseLeaseName).filter((name) => name !== undefined).filter((name) => name.kind !== "lease");
    for (const name of over) {
      if ([...view.members, ...(view.removed ?? []).filter((life) => !life.isOver)].some((life) => isSameLife(life, name.life))) continue;
      yield { kind: "unlink", path: name.kind === "left" ? paths.left(name.life) : paths.taken(name.life, name.by) };
      yield { kind: "unlink", path: paths.reach(name.life) };
      this.#watch.forget(name.life);
    }
  }

  /**
   * Old documents go, their names stay taken for long, the first one's for ever: a node that reads an old copy of the
   * directory must not find the name of a view free that was there before.
   */
  *#pruneViews(present: number): Procedure {
    const listing = yield* this.#list("views");
    for (const number of (listing?.names ?? []).map(parseViewName).filter((each) => each !== undefined)) {
      if (number !== 1 && number <= present - VIEW_NAMES_KEPT) yield { kind: "unlink", path: paths.view(number) };
      else if (number <= present - VIEWS_KEPT && number > this.#emptiedTo) {
        yield { kind: "link", from: paths.pastView, to: paths.newPastView(this.#self) };
        yield { kind: "rename", from: paths.newPastView(this.#self), to: paths.view(number) };
        yield { kind: "unlink", path: paths.newPastView(this.#self) }; // still there when both were one file already
      }
    }
    this.#emptiedTo = Math.max(this.#emptiedTo, present - VIEWS_KEPT);
  }

  // --- claims -------------------------------------------------------------------------------------------------------

  *#claim(life: Life): Procedure {
    const won = yield* this.#tryClaim(life);
    if (!won) yield* this.#lookAtViews(); // the winner's may be there already
    this.#tell({ kind: won ? "claim-won" : "claim-lost", id: life.id, incarnation: life.incarnation });
  }

  *#tryClaim(life: Life): Procedure<boolean> {
    if (this.#lease !== "held") return false;
    const before = yield* this.#findLease(life);
    if (before.isMine) return true;
    if (before.path === undefined) return before.isAbsent;
    const done = yield { kind: "rename", from: before.path, to: paths.taken(life, this.#self) };
    yield { kind: "sync-directory", directory: "leases" };
    if (done.answer.kind === "done") return true;
    const after = yield* this.#findLease(life);
    return after.isMine;
  }

  /** The name that a claim of this lease may rename away: exactly what was watched, nothing newer. */
  *#findLease(life: Life): Procedure<{ readonly isMine: boolean; readonly isAbsent: boolean; readonly path?: string }> {
    const listing = yield* this.#list("leases");
    const none = { isMine: false, isAbsent: false };
    if (listing === undefined) return none;
    const watched = this.#watch.get(life);
    for (const name of listing.names.map(parseLeaseName)) {
      if (name === undefined || !isSameLife(name.life, life)) continue;
      if (name.kind === "left") return { ...none, path: paths.left(life) };
      if (name.kind === "taken") {
        if (isSameLife(name.by, this.#self)) return { ...none, isMine: true };
        // A claim that no view followed is claimed like any other lease.
        const isStale = this.#watch.isOver(name.by) || this.#watch.watchedForMs(life) >= this.#times.deadMs;
        return isStale ? { ...none, path: paths.taken(life, name.by) } : none;
      }
      const mayClaim = watched?.state === "proven" || (watched?.state === "silent" && watched.renewals === name.renewals);
      return mayClaim ? { ...none, path: paths.lease(life, name.renewals) } : none;
    }
    // A listing may be old: that no lease is shown counts only when nobody is left to renew it.
    return { ...none, isAbsent: watched?.state === "proven" };
  }
}

