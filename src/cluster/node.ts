/**
 * One node's share of the cluster: streams, view, registry and data management as one machine. The daemon and the
 * simulator drive this very class: facts in, effects out, in order; time only from inputs.
 *
 * A message to this node itself takes the same way as any other, save that it does not travel. While the lease is over
 * nothing numbered leaves and no call is answered; both wait until it is renewed or the node is excluded (safety C8).
 *
 * Owns      who hears what; calls of others to the manager that are not answered yet; answers held back.
 * Not here  the parts: streams.ts, view/membership.ts, registry/, data-management.ts, cluster-calls.ts.
 * Source    node-contract.ts; safety C7-C10, H5.
 */
import { assert } from "../base/assert.js";
import type { Incarnation, NodeId, RequestId, SessionId, Token } from "../dmapi/ids.js";
import type { CallerInfo, StatusDocument, TraceStep } from "../dmapi/status.js";
import { Answers } from "./answers.js";
import { type ClusterCall, dispositionEntries, readClusterCall, sessionEntry } from "./cluster-calls.js";
import { DataManagement } from "./data-management.js";
import type { DataManagementInput } from "./data-management-contract.js";
import { ManagerCalls } from "./manager-calls.js";
import { type Message, type RegistryMessage, versionOfKind } from "./messages.js";
import type { NodeEffect, NodeInput, NodeOptions } from "./node-contract.js";
import { RegistryCopy } from "./registry/copy.js";
import { type ManagerWord, RegistryMember } from "./registry/member.js";
import { type ManagerEffect, SessionManager } from "./registry/session-manager.js";
import type { Disposition, ManagerCall, ManagerResult, SessionRecord } from "./registry-document.js";
import { SentTogether } from "./sent-together.js";
import { Streams, type StreamsEffect } from "./streams.js";
import { UserAdmission } from "./user-admission.js";
import { type FenceWord, type View, wireVersionOf } from "./view-document.js";
import { Membership, type MembershipEffect, type MembershipInput, type RegistryHands } from "./view/membership.js";
import { memberOf } from "./view/next-view.js";

type CallMade = Extract<NodeInput, { kind: "call-made" }>;
type NodeState = StatusDocument["state"];
export class ClusterNode {
  readonly #options: NodeOptions;
  readonly #id: NodeId;
  readonly #membership: Membership;
  readonly #streams: Streams;
  readonly #together = new SentTogether((to, message) => this.#streamsDid(this.#streams.send(to, message, this.#nowMs)));
  /** For who waits until all that was said has arrived. */
  readonly #sent = {
    lastSequence: (peer: NodeId) => {
      this.#together.flush(peer);
      return this.#streams.lastSequence(peer);
    },
    hasArrived: (peer: NodeId, point: { incarnation: Incarnation; sequence: number }) => this.#streams.hasArrived(peer, point),
  };
  readonly #copy = new RegistryCopy();
  readonly #dataManagement: DataManagement;
  readonly #managerCalls: ManagerCalls;
  readonly #registryMember: RegistryMember;
  readonly #users: UserAdmission;
  #manager: SessionManager | undefined;
  #nowMs = 0;
  /** What the clock on the wall is ahead of ours. */
  #clockAheadMs = 0;
  #state: NodeState = "starting";
  #isDistributionSpoilt = false;
  #isCheckingClosing = false;
  #toldHands: RegistryHands | undefined;
  /** Set wherever the copy or the manager here changes, so that the other steps need not compare. */
  #mayHandsDiffer = true;
  #inbox: { from: NodeId; message: Message }[] = [];
  /** What every member of the view speaks. */
  #wireVersion = 1;
  readonly #answers = new Answers((answer) => this.#effects.push(answer), () => this.#mayAnswer);
  readonly #alarms: string[] = [];
  #effects: NodeEffect[] = [];

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#id = options.id;
    this.#membership = new Membership(options);
    this.#streams = new Streams(options.id, options.incarnation);
    this.#dataManagement = new DataManagement(options);
    this.#managerCalls = new ManagerCalls(options.id, options.incarnation);
    this.#users = new UserAdmission(options.timeouts.fencedHoldMs, (effect) => this.#effects.push(effect));
    this.#registryMember = new RegistryMember({
      copy: this.#copy, sent: this.#sent, unfinished: () => this.#managerCalls.unfinished(), manager: () => this.#otherManager,
      send: (to, message) => this.#send(to, message), applied: () => this.#registryApplied(),
    });
  }

  get incarnation(): Incarnation {
    return this.#membership.incarnation;
  }
  /** The view this node goes by. */
  get view(): View | undefined {
    return this.#membership.view;
  }
  /** Whether all members are known to go by it. */
  get isInForce(): boolean {
    return this.#membership.isInForce;
  }
  get state(): NodeState {
    return this.#state;
  }
  get isManaging(): boolean {
    return this.#manager !== undefined;
  }
  /** As this node's copy of the registry has them. */
  get sessions(): readonly SessionRecord[] {
    return this.#copy.sessions();
  }
  get dispositions(): readonly Disposition[] {
    return this.#copy.dispositions;
  }
  session(id: SessionId): SessionRecord | undefined {
    return this.#copy.session(id);
  }
  get registryVersion(): number {
    return this.#copy.version;
  }
  /** When the driver owes a `time-passed`; Infinity while nothing can expire. */
  get deadlineMs(): number {
    if (this.#state === "stopping") return Infinity;
    const ofData = Math.min(this.#streams.deadlineMs, this.#dataManagement.deadlineMs);
    return Math.min(this.#membership.deadlineMs, ofData, this.#endsCallsAtMs, this.#users.refusesAtMs, this.#manager === undefined ? Infinity : this.#manager.deadlineMs);
  }

  /** The driver owes a `turn-over` before it waits for anything. */
  get hasCollected(): boolean {
    return !this.#together.isEmpty;
  }

  step(input: NodeInput): NodeEffect[] {
    assert(input.atMs >= this.#nowMs, "time never runs backwards");
    this.#nowMs = input.atMs;
    if (this.#state === "stopping") return [];
    if (input.kind === "turn-over") {
      this.#heedLease();
      this.#together.flushAll();
    } else {
      this.#heedLease();
      this.#take(input);
      this.#heedLease();
      this.#endCallsIfLeaseLongOver();
      this.#users.timePassed(this.#nowMs);
      do this.#deliverInbox();
      while (this.#tellHands());
      if (this.#options.hasTurns !== true) this.#together.flushAll();
    }
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #take(input: Exclude<NodeInput, { kind: "turn-over" }>): void {
    switch (input.kind) {
      case "coordination":
        if (this.#state === "starting") this.#state = "joining";
        return this.#membershipStep({ kind: "coordination", fact: input.fact, atMs: this.#nowMs });
      case "link-up":
        this.#streamsDid(this.#streams.linkUp(input.peer, input.incarnation, this.#nowMs));
        return this.#membershipStep({ kind: "link-up", peer: input.peer, incarnation: input.incarnation, atMs: this.#nowMs });
      case "link-down":
        this.#streams.linkDown(input.peer, this.#nowMs);
        return this.#membershipStep({ kind: "link-down", peer: input.peer, atMs: this.#nowMs });
      case "frame-received":
        this.#streamsDid(this.#streams.receive(input.frame, this.#nowMs));
        return this.#registryMember.passBarriers();
      case "call-made":
        return this.#callMade(input);
      case "call-abandoned":
        this.#managerCalls.abandonCall(input.call);
        this.#answers.abandon(input.call);
        return this.#dataManagementStep(input);
      case "client-gone":
        this.#managerCalls.abandonClient(input.client);
        return this.#dataManagementStep(input);
      case "clock-told":
        this.#clockAheadMs = input.aheadMs;
        return;
      case "member-asked":
        return this.#send(input.to, { kind: "node-asked", request: `${this.#id}.${this.incarnation}.ask${input.question}` as RequestId, about: input.about });
      case "member-told":
        return this.#send(input.to, { kind: "node-answered", request: input.request, answer: input.answer });
      case "stop-wanted":
        return this.#stop();
      case "time-passed":
        this.#membershipStep({ kind: "time-passed", atMs: this.#nowMs });
        if (this.#manager !== undefined && this.#manager.deadlineMs <= this.#nowMs) this.#managerDid(this.#manager.step({ kind: "time-passed", atMs: this.#nowMs }));
        this.#dataManagementStep(input);
        return this.#streamsDid(this.#streams.timePassed(this.#nowMs));
      default:
        return this.#dataManagementStep(input);
    }
  }

  // Who did what.

  #membershipStep(input: MembershipInput): void {
    for (const effect of this.#membership.step(input)) this.#membershipDid(effect);
  }

  #membershipDid(effect: MembershipEffect): void {
    switch (effect.kind) {
      case "send-view-message":
        return this.#streamsDid(this.#streams.sendViewMessage(effect.to, effect.incarnation, effect.message));
      case "adopt":
        return this.#adopt(effect.view, effect.before);
      case "in-force":
        this.#dataManagementStep({ kind: "view-in-force", view: effect.view, atMs: this.#nowMs });
        this.#heedReadiness();
        if (this.#manager !== undefined) this.#managerDid(this.#manager.step({ kind: "view-in-force", atMs: this.#nowMs }));
        return;
      case "exclude":
        return this.#beExcluded(effect.incarnation, effect.why);
      default:
        this.#effects.push(effect);
    }
  }

  #streamsDid(effects: readonly StreamsEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case "transmit":
          this.#effects.push(effect);
          break;
        case "deliver":
          this.#inbox.push({ from: effect.from, message: effect.message });
          break;
        case "heard":
          this.#membershipStep({ kind: "heard", peer: effect.peer, incarnation: effect.incarnation, atMs: this.#nowMs });
          break;
        case "deliver-view-message":
          this.#membershipStep({ kind: "view-message", from: effect.from, incarnation: effect.incarnation, message: effect.message, atMs: this.#nowMs });
      }
    }
  }

  #managerDid(effects: readonly ManagerEffect[]): void {
    this.#mayHandsDiffer = true;
    for (const effect of effects) {
      switch (effect.kind) {
        case "send":
          this.#send(effect.to, effect.message);
          break;
        case "applied":
          this.#registryApplied();
          break;
        case "wish":
          this.#membershipStep({ kind: "wish", wish: effect.wish, atMs: this.#nowMs });
          break;
        case "fence":
          this.#membershipStep({ kind: "fence", node: effect.node, word: this.#word(effect.by, effect.caller), atMs: this.#nowMs });
          break;
        case "run":
          this.#effects.push({ kind: "manager-ran", from: effect.from, call: effect.call });
          break;
        case "alarm":
          this.#alarms.push(effect.text);
          this.#effects.push(effect);
      }
    }
  }

  #dataManagementStep(input: DataManagementInput): void {
    for (const effect of this.#dataManagement.step(input)) {
      switch (effect.kind) {
        case "send":
          // Of what a closing session's host says only the answer to the manager's question goes out.
          if (effect.message.kind !== "closing-checked" || this.#isCheckingClosing) this.#send(effect.to, effect.message);
          break;
        case "ask-manager":
          this.#managerCalls.add(effect);
          this.#ask(effect.request);
          break;
        case "answer-call":
        case "refuse-call":
          this.#answers.give(effect);
          break;
        default:
          this.#effects.push(effect);
      }
    }
  }

  // Messages.

  #send(to: NodeId, message: Message): void {
    assert(versionOfKind(message.kind) <= this.#wireVersion, `${message.kind} is newer than what every member speaks`);
    if (to === this.#id) this.#inbox.push({ from: to, message });
    else this.#together.send(to, message);
  }

  #deliverInbox(): void {
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) this.#receive(next.from, next.message);
  }

  #receive(from: NodeId, message: Message): void {
    switch (message.kind) {
      case "manager-call":
      case "registry-acknowledged":
      case "registry-collected":
      case "registry-install-acknowledged":
      case "registry-wanted":
      case "closing-checked":
        // Of no use to one who is not manager: the caller asks again when it knows the new one.
        if (this.#manager !== undefined) this.#managerDid(this.#manager.step({ kind: "message-received", from, message, atMs: this.#nowMs }));
        return;
      case "manager-result":
        // Also of a manager that has handed over since: what it answered was true.
        return this.#managerAnswered(message.request, message.result);
      case "registry-changed":
      case "registry-collect":
      case "registry-installed":
      case "closing-check":
        if (from === this.#membership.view?.manager) this.#obeyManager(from, message);
        return;
      case "view-proposed":
      case "view-adopted":
      case "view-in-force":
      case "greeting":
        return; // travel beside the streams
      case "node-asked":
        this.#effects.push({ kind: "answer-member", to: from, request: message.request, about: message.about });
        return;
      case "node-answered":
        this.#memberAnswered(from, message);
        return;
      default:
        this.#dataManagementStep({ kind: "message-received", from, message, atMs: this.#nowMs });
        if (message.kind === "fences-told" || message.kind === "round-drained") this.#heedReadiness();
    }
  }

  /** To a question of this life. */
  #memberAnswered(from: NodeId, { request, answer }: Extract<Message, { kind: "node-answered" }>): void {
    const ours = `${this.#id}.${this.incarnation}.ask`;
    if (request.startsWith(ours)) this.#effects.push({ kind: "member-answered", from, question: Number(request.slice(ours.length)), answer });
  }

  #obeyManager(from: NodeId, message: ManagerWord | Extract<RegistryMessage, { kind: "closing-check" }>): void {
    this.#mayHandsDiffer = true;
    if (message.kind !== "closing-check") return this.#registryMember.obey(from, message, this.#nowMs);
    this.#isCheckingClosing = true;
    this.#dataManagementStep({ kind: "message-received", from, message, atMs: this.#nowMs });
    this.#isCheckingClosing = false;
  }
  #registryApplied(): void {
    const { registry, touched } = this.#copy.handOut();
    this.#dataManagementStep({ kind: "registry-applied", registry, ...(touched !== undefined && { touched }), atMs: this.#nowMs });
    this.#heedReadiness();
  }
  get #otherManager(): NodeId | undefined {
    const manager = this.#membership.view?.manager;
    return manager === this.#id ? undefined : manager;
  }

  // View.

  /** Whether anything came of it. */
  #tellHands(): boolean {
    if (!this.#mayHandsDiffer) return false;
    this.#mayHandsDiffer = false;
    const isHeldHere = this.#copy.isInstalled;
    const holders = this.#manager?.holders;
    const told = this.#toldHands;
    if (told !== undefined && told.isHeldHere === isHeldHere && areSame(told.holders, holders)) return false;
    this.#toldHands = { isHeldHere, holders };
    this.#membershipStep({ kind: "registry-changed-hands", isHeldHere, holders, atMs: this.#nowMs });
    return true;
  }

  #adopt(view: View, before: View | undefined): void {
    this.#together.flushAll(); // it was said in the view before
    this.#mayHandsDiffer = true;
    this.#wireVersion = wireVersionOf(view);
    const unanswered = this.#managerCalls.unfinished();
    const early: StreamsEffect[] = [];
    for (const effect of this.#streams.adopt(view, this.#nowMs)) {
      if (effect.kind === "transmit") this.#effects.push(effect);
      else early.push(effect);
    }
    this.#dataManagementStep({ kind: "view-adopted", view, atMs: this.#nowMs });
    this.#registryMember.passBarriers();
    const manager = view.members.find((member) => member.id === view.manager);
    const isSameManager = manager !== undefined && before?.manager === manager.id && memberOf(before, manager) !== undefined;
    if (view.manager !== this.#id) this.#manager = undefined;
    else if (isSameManager && this.#manager !== undefined) this.#managerDid(this.#manager.step({ kind: "view-adopted", view, atMs: this.#nowMs }));
    else this.#beginManaging(view);
    if (!isSameManager) for (const { request } of unanswered) this.#ask(request);
    this.#streamsDid(early);
    this.#heedReadiness();
  }

  #beginManaging(view: View): void {
    this.#manager = new SessionManager({
      id: this.#id, copy: this.#copy, view, failedSessionRetentionMs: this.#options.timeouts.failedSessionRetentionMs,
      isKnown: (node) => this.#membership.isKnown(node), whyAlive: (node) => this.#whyAlive(node), stale: this.#registryMember.stale,
      unixMs: () => this.#nowMs + this.#clockAheadMs,
    });
    if (this.#isDistributionSpoilt) this.#managerDid(this.#manager.step({ kind: "distribution-spoilt", isOn: true, atMs: this.#nowMs }));
    this.#managerDid(this.#manager.begin(this.#nowMs));
  }

  #beExcluded(incarnation: Incarnation, why: string): void {
    this.#together.flushAll(); // of the life that is over
    this.#mayHandsDiffer = true;
    this.#state = "excluded";
    this.#users.close(why, this.#nowMs);
    this.#voidCalls("this node was excluded from the view; whether the call took effect is not known");
    this.#dataManagementStep({ kind: "excluded", atMs: this.#nowMs });
    this.#effects.push({ kind: "forget-everything", incarnation });
    this.#registryMember.excluded();
    this.#manager = undefined;
    this.#inbox = [];
    this.#streams.begin(incarnation);
    this.#managerCalls.begin(incarnation);
  }

  #stop(): void {
    this.#together.flushAll();
    this.#users.close("this node stops", this.#nowMs);
    this.#voidCalls("this node stops");
    this.#dataManagementStep({ kind: "excluded", atMs: this.#nowMs });
    this.#effects.push({ kind: "coordinate", request: { kind: "leave" } }, { kind: "stopped" });
    this.#state = "stopping";
  }

  #heedReadiness(): void {
    if (!this.#isReady || this.#users.isOpen || !this.#dataManagement.mayAdmit) return;
    this.#registryMember.isMemberAgain();
    this.#state = "member";
    this.#users.open(`member of view ${this.#membership.view?.number ?? 0}`);
  }
  get #isReady(): boolean {
    return this.#membership.view !== undefined && this.#copy.isInstalled;
  }

  // Calls of others to the manager.

  #ask(request: RequestId): void {
    const view = this.#membership.view;
    const asked = this.#managerCalls.find(request);
    if (view !== undefined && asked !== undefined) this.#send(view.manager, { kind: "manager-call", ...asked });
  }

  #managerAnswered(request: RequestId, result: ManagerResult): void {
    const asked = this.#managerCalls.take(request);
    if (asked === undefined) return; // a copy of an answer obeyed already
    if (asked.client === undefined) {
      this.#dataManagementStep({ kind: "manager-answered", request, result, atMs: this.#nowMs });
      this.#heedReadiness(); // an announced mount may have been all that was missing
    } else if (asked.client.call === undefined) return;
    else if (result.kind === "failed") this.#answers.give({ kind: "refuse-call", call: asked.client.call, failure: result.failure });
    else this.#answers.answer(asked.client.call, asked.client.result);
  }

  // Calls of applications.

  #callMade(input: CallMade): void {
    if (!this.#isReady) {
      return this.#answers.refuse(input.call, "ENOTREADY", "this node is not in the view of the cluster; try again");
    }
    if (this.#isLeaseLongOver) {
      this.#effects.push({ kind: "refuse-call", call: input.call, failure: { code: "ENOTREADY", message: "this node has not renewed its lease for too long and may be out of the view; try again, or on another node" } });
      return;
    }
    const call = readClusterCall(input.name, input.args);
    if (call === undefined) return this.#dataManagementStep(input);
    if (call.kind === "wrong") return this.#answers.refuse(input.call, "EINVAL", call.message);
    this.#run(call, input);
  }

  #run(call: Exclude<ClusterCall, { kind: "wrong" }>, made: CallMade): void {
    const { call: number, client, caller } = made;
    switch (call.kind) {
      case "ask":
        if (!this.#mayFenceManager(call.call, made)) return;
        return this.#ask(this.#managerCalls.addOwn(call.call, caller, { call: number, client, result: call.result }));
      case "session-list":
        return this.#answers.answer(number, this.#copy.sessions().map(sessionEntry));
      case "session-query": {
        const session = this.#copy.session(call.session);
        if (session !== undefined) return this.#answers.answer(number, sessionEntry(session));
        return this.#answers.refuse(number, "EINVAL", `there is no session ${call.session}`);
      }
      case "disposition-list":
        return this.#listDispositions(number, call.session);
      case "audit":
        return this.#answers.answer(number, this.#copy.audit);
      case "spoil":
        this.#spoil(call.what, call.isOn);
        return this.#answers.answer(number, {});
    }
  }

  /** The word about a dead manager must not wait for it. False: refused. */
  #mayFenceManager(call: ManagerCall, { call: number, caller }: CallMade): boolean {
    if (call.kind !== "fence-node" || call.node !== this.#membership.view?.manager || call.node === this.#id) return true;
    const alive = call.isForced === true ? undefined : this.#whyAlive(call.node);
    if (alive !== undefined) this.#answers.refuse(number, "EBUSY", alive);
    else this.#membershipStep({ kind: "fence", node: call.node, word: this.#word(this.#id, caller), atMs: this.#nowMs });
    return alive === undefined;
  }
  #word(by: NodeId, caller: CallerInfo | undefined): FenceWord {
    return { by, unixMs: Math.round(this.#nowMs + this.#clockAheadMs), ...(caller !== undefined && { caller }) };
  }
  #whyAlive(node: NodeId): string | undefined {
    const silenceMs = this.#membership.silenceMs(node);
    if (silenceMs >= this.#options.timeouts.linkGraceMs) return undefined;
    return `${node} spoke ${(silenceMs / 1_000).toFixed(1)} s ago, so it is not stopped: stop its machine or process first; if it is cut off from the volume for good, say so by force`;
  }

  #listDispositions(call: number, session: SessionId | undefined): void {
    if (session !== undefined && this.#copy.session(session) === undefined) {
      return this.#answers.refuse(call, "EINVAL", `there is no session ${session}`);
    }
    this.#answers.answer(call, dispositionEntries(this.#copy.dispositions, session));
  }

  /** Test switches (T1, T3, T4): what is lost here must come from the others, visibly. */
  #spoil(what: "hosted-sessions" | "registry" | "distribution", isOn: boolean): void {
    if (what === "distribution") {
      this.#isDistributionSpoilt = isOn;
      if (this.#manager !== undefined) this.#managerDid(this.#manager.step({ kind: "distribution-spoilt", isOn, atMs: this.#nowMs }));
      return;
    }
    if (!isOn) return;
    this.#mayHandsDiffer = true;
    if (what === "registry") this.#copy.forget();
    else this.#copy.forgetSessionsOf(this.#id);
    const view = this.#membership.view;
    if (this.#manager !== undefined) this.#managerDid(this.#manager.step({ kind: "copy-lost", atMs: this.#nowMs }));
    else if (view !== undefined) this.#registryMember.want(view.manager);
  }

  // Answers and the lease.

  get #mayAnswer(): boolean {
    return this.#membership.view === undefined || this.#nowMs < this.#membership.validUntilMs;
  }

  #heedLease(): void {
    const isOver = this.#nowMs >= this.#membership.validUntilMs;
    if (isOver !== this.#streams.isClosed) this.#streamsDid(this.#streams.setClosed(isOver, this.#nowMs));
    this.#answers.heedLease(isOver, this.#nowMs);
  }

  /** Others may have gone on without this node, and nobody may be able to tell it (safety C7). */
  get #isLeaseLongOver(): boolean {
    return this.#membership.view !== undefined && this.#nowMs >= this.#leaseLongOverAtMs;
  }
  get #leaseLongOverAtMs(): number {
    return (this.#answers.leaseOverSinceMs ?? Infinity) + this.#options.timeouts.linkTimeoutMs;
  }
  get #endsCallsAtMs(): number {
    if (this.#answers.leaseOverSinceMs === undefined || this.#membership.view === undefined) return Infinity;
    const isNoneOpen = this.#answers.held.length === 0 && this.#managerCalls.endable.length === 0 && this.#dataManagement.openCalls().length === 0;
    return isNoneOpen ? Infinity : this.#leaseLongOverAtMs;
  }
  /**
   * No call waits for a lease that does not come back, whomever else it waits for: nobody may be there to tell this node
   * anything. What was asked may take effect all the same; what an answer carried is there for the next who asks.
   */
  #endCallsIfLeaseLongOver(): void {
    if (!this.#isLeaseLongOver) return;
    const failure = { code: "ENOTREADY", message: "this node has not renewed its lease for too long and may be out of the view; whether the call took effect is not known" } as const;
    for (const request of this.#managerCalls.endable) this.#managerAnswered(request, { kind: "failed", failure });
    for (const call of [...this.#dataManagement.openCalls(), ...this.#answers.held]) {
      this.#effects.push({ kind: "refuse-call", call, failure });
      this.#dataManagementStep({ kind: "call-abandoned", call, atMs: this.#nowMs });
    }
    this.#answers.drop();
  }

  #voidCalls(message: string): void {
    const failure = { code: "ENOTREADY", message } as const;
    for (const call of [...this.#answers.held, ...this.#managerCalls.ownCalls()]) this.#effects.push({ kind: "refuse-call", call, failure });
    this.#answers.drop();
  }

  // For people.

  /** Steps of that event on this node, and what the clock on the wall is ahead of theirs. */
  trace(token: Token): { steps: readonly TraceStep[]; aheadMs: number } {
    return { steps: this.#dataManagement.trace(token), aheadMs: this.#clockAheadMs };
  }
  /** Calls of applications here that wait, with the time now. */
  blockedCalls(): ReturnType<DataManagement["blockedCalls"]> & { nowMs: number } {
    return { ...this.#dataManagement.blockedCalls(), nowMs: this.#nowMs };
  }

  /** This node's copy of the registry, as the status document tells it. */
  describeRegistry(): StatusDocument["registry"] {
    return { version: this.#copy.version, sessions: this.#copy.sessions().map(sessionEntry), dispositions: dispositionEntries(this.#copy.dispositions) };
  }
  /** Everything the status document says of view, registry and links, and what data management adds. */
  describe() {
    const view = this.#membership.view;
    return {
      incarnation: this.#membership.incarnation, state: this.#state,
      view: view === undefined ? null : {
        number: view.number, isInForce: this.#membership.isInForce, manager: view.manager, why: this.#membership.why,
        wireVersion: wireVersionOf(view),
        members: view.members.map(({ id, incarnation, address, slot, mounted, versions }) => ({ id, incarnation, address, slot, mounted, ...(versions !== undefined && { versions }) })),
        fenced: (view.removed ?? []).flatMap(({ id, incarnation, fenced }) => (fenced === undefined ? [] : [{ id, incarnation, ...fenced }])),
      } satisfies StatusDocument["view"],
      registry: this.describeRegistry(),
      links: this.#streams.describe(),
      managing: this.#manager?.describe() ?? null,
      awaited: this.#membership.awaited,
      unfinished: this.#managerCalls.unfinished().length,
      validUntilMs: this.#membership.validUntilMs,
      alarms: [...this.#alarms],
      usersWaitMs: this.#users.refusesAtMs === Infinity ? undefined : Math.max(0, this.#users.refusesAtMs - this.#nowMs),
      dataManagement: this.#dataManagement.describe(),
    };
  }
}

function areSame(a: readonly NodeId[] | undefined, b: readonly NodeId[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((id, at) => id === b[at]);
}
