/**
 * Session manager: makes session ids, orders all changes of the registry, distributes each to every member, and answers
 * a call once every member of the view in force has acknowledged its version.
 *
 *   collecting -> installing   every member of the view has sent its copy, or that it has the asker's; the highest is the truth
 *   installing -> open         every member has acknowledged the merged copy
 *   any        -> collecting   the view changes before that, or this node's own copy was lost
 *   open       -> open         the view changes: joiners get the whole copy, sessions of those who left become "failed"
 *
 * Calls run from "installing" on: their versions follow the merged copy in each stream, and no answer leaves before both are
 * acknowledged. Versions are pipelined and answered in order. A request is known by its id: a retry, also to the next manager, gets the
 * answer given first. A destroy has two steps: "closing" everywhere, then the host says whether nothing is left.
 *
 * Owns      session ids of its block, acknowledgements, calls not yet answered.
 * Not here  every node's copy (copy.ts), what a call changes (plan.ts), the view (view/membership.ts).
 * Source    requirements R1-R5, R8, R13, R14, R16; safety C7, C10, H5.
 */
import { assert } from "../../base/assert.js";
import type { DmFailure } from "../../dmapi/errors.js";
import type { Incarnation, NodeId, RequestId, SessionId } from "../../dmapi/ids.js";
import type { RegistryMessage } from "../messages.js";
import type { ManagerCall, ManagerResult, RegistryChange, RegistrySnapshot, RegistryVersion, SessionRecord, Unfinished } from "../registry-document.js";
import type { RegistryIndex } from "../registry-index.js";
import type { ViewWish } from "../view/membership.js";
import { memberOf, SESSION_ID_BLOCK } from "../view/next-view.js";
import { memberNamed, type View } from "../view-document.js";
import type { AuditEntry, CallerInfo } from "../../dmapi/status.js";
import { type Audited, auditOfCall, auditOfDiscard, auditOfFence, auditOfLoss, auditOfReopening } from "./audit.js";
import { compareCopies, type RegistryCopy } from "./copy.js";
import { hostsOfDataEvents } from "./dispositions.js";
import { plan, type SessionCall } from "./plan.js";

/** With fewer ids than this left, the next block is reserved beforehand. */
const SESSION_ID_RESERVE = 512;

export type ManagerInput = { readonly atMs: number } & (
  | { readonly kind: "view-adopted"; readonly view: View }
  | { readonly kind: "view-in-force" }
  | { readonly kind: "message-received"; readonly from: NodeId; readonly message: RegistryMessage }
  /** Test switch: versions go to nobody but their caller, and count as acknowledged. */
  | { readonly kind: "distribution-spoilt"; readonly isOn: boolean }
  /** Test switch: this node's own copy was lost. */
  | { readonly kind: "copy-lost" }
  | { readonly kind: "time-passed" }
);
export type ManagerEffect =
  /** `to` may be this node itself. */
  | { readonly kind: "send"; readonly to: NodeId; readonly message: RegistryMessage }
  /** This node's copy changed. */
  | { readonly kind: "applied" }
  | { readonly kind: "wish"; readonly wish: ViewWish }
  /** The operator's word that it is stopped, said on `by`. */
  | { readonly kind: "fence"; readonly node: NodeId; readonly by: NodeId; readonly caller: CallerInfo | undefined }
  /** A function of the session manager runs; for the message log (requirement R5). */
  | { readonly kind: "run"; readonly from: NodeId; readonly call: ManagerCall }
  | { readonly kind: "alarm"; readonly text: string };

interface Asked extends Unfinished {
  readonly from: NodeId;
}
/** `incarnation`: the life that is to be fenced. */
type AskedOfView = Asked & { readonly incarnation?: Incarnation };
interface Answer {
  readonly version: number;
  readonly to: NodeId;
  readonly request: RequestId;
  readonly result: ManagerResult;
}
interface Closing {
  readonly from: NodeId;
  readonly request: RequestId;
  readonly version: number;
  readonly caller: CallerInfo | undefined;
  isAsked: boolean;
}
type Phase =
  /** `same`: who has the very copy that this node has. */
  | { readonly kind: "collecting"; readonly waiting: Set<NodeId>; readonly copies: RegistrySnapshot[]; readonly same: Set<NodeId> }
  | { readonly kind: "installing"; readonly waiting: Set<NodeId> }
  | { readonly kind: "open" };

export interface SessionManagerOptions {
  readonly id: NodeId;
  readonly copy: RegistryCopy;
  readonly view: View;
  readonly failedSessionRetentionMs: number;
  readonly isKnown: (node: NodeId) => boolean;
  /** Why that node cannot be taken for stopped; undefined: it can. */
  readonly whyAlive: (node: NodeId) => string | undefined;
  /** The time by the clock on the wall, for the audit; decides nothing. */
  readonly unixMs?: () => number;
  /** What this node had before it was excluded: counts only if nobody has anything newer (safety C10). */
  readonly stale: RegistrySnapshot | undefined;
}

export class SessionManager {
  readonly #options: SessionManagerOptions;
  readonly #id: NodeId;
  readonly #copy: RegistryCopy;
  #nowMs = 0;
  #view: View;
  #isInForce = false;
  #phase: Phase = { kind: "open" };
  #nextSessionId: number;
  #isSpoilt = false;
  readonly #acknowledged = new Map<NodeId, number>();
  /** View under which a member was last sent the whole copy; its acknowledgement may come after the next view. */
  readonly #installedUnder = new Map<NodeId, number>();
  #waiting: Asked[] = [];
  #onView: AskedOfView[] = [];
  #answers: Answer[] = [];
  readonly #closing = new Map<SessionId, Closing>();
  readonly #failedSinceMs = new Map<SessionId, number>();
  /** What the wish for rights servers was reckoned from last. */
  #reckoned: { readonly registry: RegistryIndex | undefined; readonly version: number; readonly view: View | undefined } = { registry: undefined, version: 0, view: undefined };
  /** Last wished of the view. */
  #rightsServers: string | undefined;
  #effects: ManagerEffect[] = [];

  constructor(options: SessionManagerOptions) {
    this.#options = options;
    this.#id = options.id;
    this.#copy = options.copy;
    this.#view = options.view;
    this.#nextSessionId = options.view.sessionIdLimit - SESSION_ID_BLOCK + 1;
  }

  get isOpen(): boolean {
    return this.#phase.kind === "open" && this.#isInForce;
  }
  /** Members that have the registry whole; undefined until this manager has it itself. */
  get holders(): readonly NodeId[] | undefined {
    if (this.#phase.kind !== "open") return undefined;
    return this.#view.members.map((member) => member.id).filter((id) => id === this.#id || (this.#acknowledged.get(id) ?? -1) >= 0);
  }
  /** For people: how far it is, how many calls it has in hand, and which members it waits for. */
  describe(): { state: string; isOpen: boolean; calls: number; waitsFor: readonly NodeId[] } {
    const owes = ({ id }: { readonly id: NodeId }): boolean =>
      this.#phase.kind === "open" ? id !== this.#id && !this.#isSpoilt && (this.#acknowledged.get(id) ?? -1) < this.#copy.version : this.#phase.waiting.has(id);
    return {
      state: this.#phase.kind, isOpen: this.isOpen, calls: this.#waiting.length + this.#onView.length + this.#answers.length + this.#closing.size,
      waitsFor: this.#view.members.filter(owes).map((member) => member.id),
    };
  }
  get deadlineMs(): number {
    // They failed in that order.
    for (const sinceMs of this.#failedSinceMs.values()) return sinceMs + this.#options.failedSessionRetentionMs;
    return Infinity;
  }

  /** A new manager: nothing is known to be whole until everybody was asked. */
  begin(atMs: number): ManagerEffect[] {
    this.#nowMs = atMs;
    this.#collect();
    return this.#takeEffects();
  }

  step(input: ManagerInput): ManagerEffect[] {
    assert(input.atMs >= this.#nowMs, "time never runs backwards");
    this.#nowMs = input.atMs;
    switch (input.kind) {
      case "view-adopted":
        this.#adopt(input.view);
        break;
      case "view-in-force":
        this.#isInForce = true;
        break;
      case "message-received":
        if (memberNamed(this.#view, input.from) !== undefined) this.#receive(input.from, input.message);
        break;
      case "distribution-spoilt":
        this.#isSpoilt = input.isOn;
        break;
      case "copy-lost":
        this.#collect();
        break;
      case "time-passed":
        this.#discardFailed();
    }
    this.#goOn();
    return this.#takeEffects();
  }

  #receive(from: NodeId, message: RegistryMessage): void {
    switch (message.kind) {
      case "manager-call":
        this.#take(askedOf(from, message));
        return;
      case "registry-acknowledged":
        // A member that still owes the whole copy says nothing with single versions.
        if ((this.#acknowledged.get(from) ?? -1) >= 0) this.#acknowledge(from, message.version);
        return;
      case "registry-collected":
        this.#collected(from, message);
        return;
      case "registry-install-acknowledged":
        if (message.view !== this.#installedUnder.get(from)) return;
        this.#acknowledge(from, message.version);
        if (this.#phase.kind === "installing") this.#phase.waiting.delete(from);
        return;
      case "registry-wanted":
        if (this.#phase.kind !== "collecting") this.#install(from);
        return;
      case "closing-checked":
        this.#closingChecked(from, message.session, message.isEmpty);
        return;
      case "manager-result":
      case "registry-changed":
      case "registry-collect":
      case "registry-installed":
      case "closing-check":
        return; // said by managers, never to one
    }
  }

  // Views.

  #adopt(view: View): void {
    const before = this.#view;
    this.#view = view;
    this.#isInForce = false;
    for (const member of before.members) if (memberOf(view, member) === undefined) this.#forgetMember(member.id);
    this.#waiting = this.#waiting.filter((asked) => view.members.some((member) => member.id === asked.from));
    if (this.#phase.kind !== "open") {
      this.#collect();
      return;
    }
    // Only a session's own node destroys it, so nobody is left who waits for that answer.
    for (const id of this.#closing.keys()) if (!this.#isHosted(id)) this.#closing.delete(id);
    this.#failLost();
    for (const member of view.members) if (member.id !== this.#id && memberOf(before, member) === undefined) this.#install(member.id);
  }

  #forgetMember(id: NodeId): void {
    this.#acknowledged.delete(id);
    this.#installedUnder.delete(id);
  }

  #isHosted(id: SessionId): boolean {
    const session = this.#copy.session(id);
    return session !== undefined && memberOf(this.#view, { id: session.node, incarnation: session.incarnation }) !== undefined;
  }

  /** Sessions whose host left wait to be assumed (requirement R3). */
  #failLost(): void {
    const lost = this.#lost();
    if (lost.length > 0) this.#issue(this.#id, lost.map((session) => put({ ...session, state: "failed" })), lost.map(auditOfLoss));
  }
  #lost(): SessionRecord[] {
    return this.#copy.sessions().filter((session) => session.state !== "failed" && !this.#isHosted(session.id));
  }

  // A new manager.

  #collect(): void {
    const members = this.#view.members.map((member) => member.id);
    this.#phase = { kind: "collecting", waiting: new Set(members), copies: [], same: new Set() };
    this.#acknowledged.clear();
    this.#installedUnder.clear();
    this.#closing.clear();
    this.#answers = [];
    const { stamp } = this.#copy;
    for (const id of members) this.#send(id, { kind: "registry-collect", view: this.#view.number, ...(stamp.version > 0 && { copy: stamp }) });
  }

  #collected(from: NodeId, message: Extract<RegistryMessage, { kind: "registry-collected" }>): void {
    if (this.#phase.kind !== "collecting" || message.view !== this.#view.number) return;
    const isSame = message.copy !== undefined && this.#copy.isCopy(message.copy);
    const found = isSame ? this.#copy.snapshot() : message.snapshot;
    // The same as this node's copy was before it was lost: the member was asked again since, and sends all of it.
    if (found === undefined || !this.#phase.waiting.delete(from)) return;
    if (isSame) this.#phase.same.add(from);
    this.#phase.copies.push(found);
    for (const unfinished of message.unfinished) this.#take(askedOf(from, unfinished));
    if (this.#phase.waiting.size > 0) return;
    let best = this.#phase.copies.reduce((a, b) => (compareCopies(b, a) > 0 ? b : a));
    const { stale } = this.#options;
    if (best.version === 0 && stale !== undefined && stale.version > 0) {
      best = stale;
      this.#effects.push({ kind: "alarm", text: `no member of the last view in force is left: the registry is this node's version ${stale.version} of view ${stale.view}, from before it was excluded` });
    }
    this.#merge(best, compareCopies(best, this.#copy.stamp) === 0 ? this.#phase.same : new Set());
  }

  /** @param same who has the very copy `best`. */
  #merge(best: RegistrySnapshot, same: ReadonlySet<NodeId>): void {
    const copy = { view: best.view, version: best.version };
    this.#copy.install({ ...best, view: this.#view.number }, this.#nowMs);
    // A destroy whose manager died is undone; if its caller still waits, the retry begins it anew.
    const reopened = this.#copy.sessions().filter((session) => session.state === "closing" && this.#isHosted(session.id));
    const lost = this.#lost();
    const changes = [...lost.map((session) => put({ ...session, state: "failed" })), ...reopened.map((session) => put({ ...session, state: "active" }))];
    const change = changes.length === 0 ? undefined : this.#version(this.#id, changes, [...lost.map(auditOfLoss), ...reopened.map(auditOfReopening)], undefined);
    if (change !== undefined) this.#copy.apply(change, this.#nowMs);
    assert(best.highestSessionId < this.#nextSessionId || best.highestSessionId <= this.#view.sessionIdLimit, "ids come only from blocks reserved in a view");
    this.#nextSessionId = Math.max(this.#nextSessionId, best.highestSessionId + 1);
    this.#failedSinceMs.clear();
    for (const session of this.#copy.index.eachSession()) this.#noteFailed(session);
    this.#effects.push({ kind: "applied" });
    const others = this.#view.members.map((member) => member.id).filter((id) => id !== this.#id);
    this.#phase = { kind: "installing", waiting: new Set(others) };
    for (const id of others) {
      if (!same.has(id)) this.#install(id);
      else {
        this.#awaitInstalled(id);
        this.#send(id, { kind: "registry-installed", view: this.#view.number, copy, ...(change !== undefined && { change }) });
      }
    }
  }

  #awaitInstalled(by: NodeId): void {
    this.#acknowledged.set(by, -1);
    this.#installedUnder.set(by, this.#view.number);
  }
  #install(to: NodeId): void {
    this.#awaitInstalled(to);
    this.#send(to, { kind: "registry-installed", view: this.#view.number, snapshot: this.#copy.snapshot() });
  }

  // Calls.

  #take(asked: Asked): void {
    if (this.#isInHand(asked.request)) return;
    this.#waiting.push(asked);
  }

  #isInHand(request: RequestId): boolean {
    const isIt = (each: { readonly request: RequestId }): boolean => each.request === request;
    if (this.#waiting.some(isIt) || this.#onView.some(isIt) || this.#answers.some(isIt)) return true;
    for (const closing of this.#closing.values()) if (isIt(closing)) return true;
    return false;
  }

  #goOn(): void {
    if (this.#phase.kind === "installing" && this.#phase.waiting.size === 0) this.#phase = { kind: "open" };
    if (this.#phase.kind === "collecting") return;
    while (this.#waiting[0] !== undefined && this.#hasIdFor(this.#waiting[0].call)) {
      const asked = this.#waiting.shift();
      if (asked !== undefined) this.#run(asked);
    }
    this.#wishRightsServers();
    this.#checkClosing();
    this.#answerOnView();
    this.#answer();
    this.#handOver();
  }

  /** Rights are served where data events go: a recall needs that node anyway, and then no third one (promise 5). */
  #wishRightsServers(): void {
    if (this.#phase.kind !== "open") return; // a change of view would begin the collection anew
    const { index } = this.#copy;
    const { registry, version, view } = this.#reckoned;
    if (registry === index && version === index.version && view === this.#view) return;
    this.#reckoned = { registry: index, version: index.version, view: this.#view };
    const nodes = hostsOfDataEvents(index, index.dispositions, (session) => this.#isHosted(session.id));
    const text = nodes.join("\n");
    if (text === this.#rightsServers) return;
    this.#rightsServers = text;
    this.#effects.push({ kind: "wish", wish: { kind: "rights-servers", nodes } });
  }

  #hasIdFor(call: ManagerCall): boolean {
    if (call.kind !== "create-session") return true;
    if (this.#view.sessionIdLimit - this.#nextSessionId < SESSION_ID_RESERVE) this.#effects.push({ kind: "wish", wish: { kind: "more-session-ids" } });
    return this.#nextSessionId <= this.#view.sessionIdLimit;
  }

  #run(asked: Asked): void {
    const { from, request, call } = asked;
    const former = this.#copy.answered(request);
    if (former !== undefined) {
      this.#answers.push({ version: this.#copy.version, to: from, request, result: former });
      return;
    }
    this.#effects.push({ kind: "run", from, call });
    if (call.kind === "announce-mount" || call.kind === "move-manager" || call.kind === "fence-node") this.#runOnView(asked, call);
    else this.#runOnRegistry(asked, call);
  }

  #runOnRegistry({ from, request, caller }: Asked, call: SessionCall): void {
    const planned = plan(call, { copy: this.#copy, view: this.#view, from }, () => this.#nextSessionId++ as SessionId);
    switch (planned.kind) {
      case "refuse":
        this.#refuse(from, request, planned.failure);
        return;
      case "close": {
        const version = this.#issue(from, [put({ ...planned.session, state: "closing" })], []);
        this.#closing.set(planned.session.id, { from, request, version, caller, isAsked: false });
        return;
      }
      case "change": {
        const version = this.#copy.version + 1;
        const result: ManagerResult = planned.session === undefined ? { kind: "done", version } : { kind: "done", session: planned.session, version };
        this.#issue(from, [...planned.changes, { kind: "request-answered", request, result }], [auditOfCall(call, planned.session)], caller);
        this.#answers.push({ version, to: from, request, result });
      }
    }
  }

  #runOnView(asked: Asked, call: Exclude<ManagerCall, SessionCall>): void {
    const { from, request } = asked;
    switch (call.kind) {
      case "announce-mount":
        this.#effects.push({ kind: "wish", wish: { kind: "mount", node: from, fs: call.fs, isMounted: call.isMounted } });
        this.#onView.push(asked);
        return;
      case "move-manager":
        if (!this.#view.members.some((member) => member.id === call.to && member.isEligible)) {
          this.#refuse(from, request, { code: "EINVAL", message: `${call.to} is no eligible member` });
          return;
        }
        this.#onView.push(asked);
        return;
      case "fence-node": {
        const { node } = call;
        if (node === this.#id || !this.#options.isKnown(node)) {
          this.#refuse(from, request, { code: "EINVAL", message: node === this.#id ? `${node} is the manager and lives` : `no node ${node} is known` });
          return;
        }
        const alive = call.isForced === true ? undefined : this.#options.whyAlive(node);
        if (alive !== undefined) {
          this.#refuse(from, request, { code: "EBUSY", message: alive });
          return;
        }
        const life = [...this.#view.members, ...(this.#view.removed ?? [])].find((each) => each.id === node);
        this.#effects.push({ kind: "fence", node, by: from, caller: asked.caller });
        this.#onView.push(life === undefined ? asked : { ...asked, incarnation: life.incarnation });
      }
    }
  }

  /** Calls that change the view are done when a view that shows it is in force. */
  #answerOnView(): void {
    if (!this.#isInForce || this.#onView.length === 0) return;
    const open: AskedOfView[] = [];
    for (const asked of this.#onView) {
      const { from, request } = asked;
      if (!this.#view.members.some((member) => member.id === from)) continue;
      if (this.#isShown(asked)) this.#doneOnView(asked);
      else if (this.#isStillPossible(asked.call)) open.push(asked);
      else this.#refuse(from, request, { code: "EAGAIN", message: "the node that was to be manager left the view meanwhile" });
    }
    this.#onView = open;
  }

  #doneOnView({ from, request, call, caller, incarnation }: AskedOfView): void {
    if (call.kind !== "fence-node") {
      this.#answers.push({ version: this.#copy.version, to: from, request, result: { kind: "done", version: this.#copy.version } });
      return;
    }
    const result: ManagerResult = { kind: "done", version: this.#copy.version + 1 };
    const version = this.#issue(from, [{ kind: "request-answered", request, result }], [auditOfFence(call.node, incarnation, call.isForced === true)], caller);
    this.#answers.push({ version, to: from, request, result });
  }

  #isStillPossible(call: ManagerCall): boolean {
    return call.kind !== "move-manager" || this.#view.members.some((member) => member.id === call.to);
  }

  /** Only when everything else is answered, so that of several wishes each is fulfilled once; made again after each view. */
  #handOver(): void {
    if (this.#onView.length === 0 || this.#phase.kind !== "open") return;
    const asked = this.#onView.find(({ call }) => call.kind === "move-manager");
    if (!this.#isInForce || this.#answers.length > 0 || asked?.call.kind !== "move-manager") return;
    this.#effects.push({ kind: "wish", wish: { kind: "move-manager", to: asked.call.to } });
  }

  #isShown({ from, call, incarnation }: AskedOfView): boolean {
    switch (call.kind) {
      case "announce-mount":
        return this.#view.members.some((member) => member.id === from && member.mounted.includes(call.fs) === call.isMounted);
      case "move-manager":
        return call.to === this.#id;
      case "fence-node":
        // Known only as one that sought to enter: nothing but the record comes of it.
        if (incarnation === undefined) return this.#view.removed?.some((life) => life.id === call.node && life.fenced !== undefined) === true;
        return isFencedIn(this.#view, { id: call.node, incarnation });
      default:
        return true;
    }
  }

  // Destroying, second step.

  #checkClosing(): void {
    if (this.#closing.size === 0) return;
    const lowest = this.#lowestAcknowledged();
    for (const [id, closing] of this.#closing) {
      const session = this.#copy.session(id);
      if (closing.isAsked || closing.version > lowest || session === undefined) continue;
      closing.isAsked = true;
      this.#send(session.node, { kind: "closing-check", session: id });
    }
  }

  #closingChecked(from: NodeId, id: SessionId, isEmpty: boolean): void {
    const closing = this.#closing.get(id);
    const session = this.#copy.session(id);
    // Before it was asked an answer says nothing: events may still have been on their way.
    if (closing === undefined || !closing.isAsked || session?.node !== from || session.state !== "closing") return;
    this.#closing.delete(id);
    const version = this.#copy.version + 1;
    const busy: DmFailure = { code: "EBUSY", message: `session ${id} has events queued or outstanding, or somebody waits for its events` };
    const result: ManagerResult = isEmpty ? { kind: "done", version } : { kind: "failed", failure: busy };
    const outcome: RegistryChange = isEmpty ? { kind: "session-destroyed", id } : put({ ...session, state: "active" });
    this.#issue(closing.from, [outcome, { kind: "request-answered", request: closing.request, result }], isEmpty ? [auditOfCall({ kind: "destroy-session", session: id }, id)] : [], closing.caller);
    this.#answers.push({ version, to: closing.from, request: closing.request, result });
  }

  // Versions and answers.

  #issue(by: NodeId, changes: readonly RegistryChange[], audited: readonly Audited[], caller?: CallerInfo): number {
    const change = this.#version(by, changes, audited, caller);
    const isNext = this.#copy.apply(change, this.#nowMs);
    assert(isNext, "the manager's own copy is the newest");
    for (const each of changes) if (each.kind === "session-put") this.#noteFailed(each.session);
    this.#effects.push({ kind: "applied" });
    for (const member of this.#view.members) {
      if (member.id !== this.#id && (!this.#isSpoilt || member.id === by)) this.#send(member.id, { kind: "registry-changed", change });
    }
    return change.version;
  }

  #version(by: NodeId, changes: readonly RegistryChange[], audited: readonly Audited[], caller: CallerInfo | undefined): RegistryVersion {
    const version = this.#copy.version + 1;
    const unixMs = Math.round(this.#options.unixMs?.() ?? this.#nowMs);
    const audit = audited.map((what): AuditEntry => ({ version, unixMs, ...what, node: by, ...(caller !== undefined && { caller }) }));
    return { version, by, changes, ...(audit.length > 0 && { audit }) };
  }

  #acknowledge(from: NodeId, version: number): void {
    this.#acknowledged.set(from, Math.max(version, this.#acknowledged.get(from) ?? -1));
  }

  #lowestAcknowledged(): number {
    if (this.#isSpoilt) return this.#copy.version;
    let lowest = this.#copy.version;
    for (const member of this.#view.members) if (member.id !== this.#id) lowest = Math.min(lowest, this.#acknowledged.get(member.id) ?? -1);
    return lowest;
  }

  #refuse(to: NodeId, request: RequestId, failure: DmFailure): void {
    this.#answers.push({ version: this.#copy.version, to, request, result: { kind: "failed", failure } });
  }

  #answer(): void {
    if (!this.#isInForce || this.#answers.length === 0) return;
    const lowest = this.#lowestAcknowledged();
    while (this.#answers[0] !== undefined && this.#answers[0].version <= lowest) {
      const answer = this.#answers.shift();
      if (answer !== undefined) this.#send(answer.to, { kind: "manager-result", request: answer.request, result: answer.result });
    }
  }

  // Failed sessions are kept for a time.

  #noteFailed({ id, state }: SessionRecord): void {
    if (state !== "failed") this.#failedSinceMs.delete(id);
    else if (!this.#failedSinceMs.has(id)) this.#failedSinceMs.set(id, this.#nowMs);
  }

  #discardFailed(): void {
    if (this.#phase.kind !== "open") return;
    const over = (session: SessionRecord): boolean =>
      session.state === "failed" && (this.#failedSinceMs.get(session.id) ?? Infinity) + this.#options.failedSessionRetentionMs <= this.#nowMs;
    const discarded = this.#copy.sessions().filter(over);
    for (const { id } of discarded) this.#failedSinceMs.delete(id);
    if (discarded.length > 0) this.#issue(this.#id, discarded.map(({ id }) => ({ kind: "session-destroyed", id })), discarded.map(auditOfDiscard));
  }

  #send(to: NodeId, message: RegistryMessage): void {
    this.#effects.push({ kind: "send", to, message });
  }
  #takeEffects(): ManagerEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}

function put(session: SessionRecord): RegistryChange {
  return { kind: "session-put", session };
}
function askedOf(from: NodeId, { request, call, caller }: Unfinished): Asked {
  return { from, request, call, ...(caller !== undefined && { caller }) };
}
/** Recorded, or followed by a later life. */
function isFencedIn(view: View, { id, incarnation }: { readonly id: NodeId; readonly incarnation: Incarnation }): boolean {
  if (view.members.some((member) => member.id === id)) return memberOf(view, { id, incarnation }) === undefined;
  return view.removed?.some((life) => life.id === id && (life.fenced !== undefined || life.incarnation > incarnation)) === true;
}
