/**
 * Source node: events raised by user operations here, held until their session has answered.
 *
 * The record stays on this node, so a session that moves gets the same event again under the same token, and only the
 * present host's answer is obeyed (safety C9). Nothing asks the manager. An operation is given up when its user is
 * gone, when nobody owns the event for too long, or when its session has failed for too long: always an errno.
 *
 * Owns      held events, tokens, the order of events to each session, how long each session has been failed.
 * Not here  choosing the session (routing.ts), queues (session-node/), what makes an event due (the reactor).
 * Units     milliseconds of the monotonic clock.
 * Source    XDSM C429 "Events"; requirements R1, R3, R17-R19; safety C5, C9, M3, M4, M11.
 */
import { isDataEvent } from "../../dmapi/events.js";
import type { DmCode } from "../../dmapi/errors.js";
import type { NodeId, OperationId, SessionId, Token } from "../../dmapi/ids.js";
import type { CallDesk } from "../dm-calls/call-desk.js";
import { BACKLOG_MAX, LogWriter, type ToLog } from "../durable-events/log-writer.js";
import type { EventMessageBetweenNodes } from "../messages.js";
import { type Decision, type HeldEvent, limitMs } from "../node-contract.js";
import type { RegistryIndex } from "../registry-index.js";
import type { SessionRecord } from "../registry-document.js";
import type { Surroundings } from "../surroundings.js";
import { dueMs, type Held, type Origin, type Place, type RaisedEvent, type Settled, type Waiting } from "./held-event.js";
import { objectOf, type Route, routeOf, type Target } from "./routing.js";
import { TokenMaker } from "./tokens.js";

/** Asynchronous events that wait for sessions without a host; more of them are given up at once, and counted. */
export const ASYNC_HELD_MAX = 4096;

/** The taking of an answer for which nobody waits is told that late at most. */
const TAKEN_TOLD_AFTER_MS = 20;
const UNROUTED: Place = { kind: "unrouted" };
const TO_OWNER: Target = { kind: "owner" };
const CONTINUE: Decision = { kind: "continue" };

type ToSource = Extract<EventMessageBetweenNodes, { kind: "event-enqueued" | "events-enqueued" | "event-answered" | "event-misrouted" | "event-handed-over" | "events-acknowledged" }>;

interface Taken {
  readonly token: Token;
  readonly session: SessionId;
}

export class SourceNode {
  readonly #here: Surroundings;
  /** Whether the process waits on a session that it serves itself (safety M1). */
  readonly #isServedBy: (session: SessionId, pid: number) => boolean;
  readonly #held = new Map<Token, Held>();
  readonly #isHeld = (token: Token) => this.#held.has(token);
  readonly #byOperation = new Map<OperationId, Held>();
  readonly #tokens = new TokenMaker();
  readonly #sequences = new Map<SessionId, number>();
  readonly #failedAtMs = new Map<SessionId, number>();
  readonly #log: LogWriter;
  /** Answers taken of which their hosts have not heard. */
  readonly #owed = new Map<NodeId, Taken[]>();
  #excludedAtMs: number | undefined;
  #nextDueMs = Number.POSITIVE_INFINITY;

  constructor(here: Surroundings, desk: CallDesk, isServedBy: (session: SessionId, pid: number) => boolean, backlogMax: number = BACKLOG_MAX) {
    this.#here = here;
    this.#log = new LogWriter(here, desk, backlogMax, (session) => this.#nextSequence(session));
    this.#isServedBy = isServedBy;
  }

  /**
   * A user operation waits. After an exclusion its reactor raises it again; the event is kept here and offered anew
   * already, and a second one would be with two applications at a time.
   */
  hold(held: HeldEvent): void {
    const known = this.#byOperation.get(held.operation);
    if (known !== undefined) {
      if (known.fs === held.fs && JSON.stringify(known.event) === JSON.stringify(held.event)) return;
      this.#withdraw(known);
    }
    const { operation, fs, event, isSynchronous, process } = held;
    const isDirectoryOperation = isSynchronous && !isDataEvent(event.type) && "handle1" in event && event.type !== "nospace";
    const limit = isDirectoryOperation ? ({ afterMs: this.#here.timeouts.namespaceEventTimeoutMs, code: "EIO" } as const) : undefined;
    this.#begin({ kind: "operation", operation }, { fs, event, isSynchronous, target: TO_OWNER, process, limit });
  }

  /** An event of the core itself: mounts, messages. `settled` is called once, unless it is withdrawn before. */
  raise(event: RaisedEvent, settled: (outcome: Settled) => void): { withdraw: () => boolean } {
    const held = this.#begin({ kind: "own", settled }, event);
    return { withdraw: () => this.#withdraw(held) };
  }

  operationGone(operation: OperationId): void {
    const held = this.#byOperation.get(operation);
    if (held === undefined) return;
    if (this.#mayBeDurable(held)) this.#letUserGo(held);
    else this.#withdraw(held);
  }

  /** In this node's log, or maybe to be there once the node is back in the view. */
  #mayBeDurable({ isSynchronous, place }: Held): boolean {
    return place.kind === "logging" || (place.kind === "unrouted" && !isSynchronous && this.#log.hasSessions && this.#asyncHeld() <= ASYNC_HELD_MAX);
  }
  /** What it tells of has happened, whoever did it: it waits on, for nobody. */
  #letUserGo(held: Held): void {
    if (held.origin.kind !== "operation") return;
    this.#byOperation.delete(held.origin.operation);
    held.origin = { kind: "own", settled: () => undefined };
    held.isOwed = true;
  }

  received(from: NodeId, message: ToSource): void {
    const held = "token" in message ? this.#held.get(message.token) : undefined;
    switch (message.kind) {
      case "event-answered": {
        if (message.isQuiet === true && from !== this.#here.me) this.#owe(from, message);
        else this.#here.send(from, { kind: "answer-taken", token: message.token, session: message.session });
        if (held === undefined || !isAt(held, from, message.session)) return this.#here.count("answersDropped");
        if (held.place.kind === "at-session" && message.hostGeneration < held.place.hostGeneration) return this.#here.count("answersDropped");
        return this.#settle(held, { kind: "answered", response: message.response, data: message.data });
      }
      case "event-enqueued":
        return this.#enqueued(from, held);
      case "events-enqueued":
        for (const token of message.tokens) this.#enqueued(from, this.#held.get(token));
        return;
      case "event-handed-over":
        if (held === undefined || !isAt(held, from, message.session)) return this.#here.count("handOversDropped");
        return this.#giveToStandby(held, message);
      case "events-acknowledged":
        return this.#log.acknowledged(message.session, message.incarnation, message.through);
      case "event-misrouted":
        if (held !== undefined && isAt(held, from, message.session)) this.#sendElsewhere(held, message.registryVersion);
        return;
    }
  }

  #enqueued(by: NodeId, held: Held | undefined): void {
    if (held !== undefined && !held.isSynchronous && held.place.kind === "at-session" && held.place.node === by) {
      this.#settle(held, { kind: "enqueued" });
    }
  }

  /**
   * The view or the registry changed: what is where it should be stays, all else is routed anew, in order of raising.
   *
   * @param touched the only sessions that are different; undefined: any may be
   */
  surroundingsChanged(touched?: ReadonlySet<SessionId>): void {
    this.#payAll(); // a session that closes is looked at by its host when this has come
    this.#noteFailures(touched);
    this.#log.surroundingsChanged();
    for (const held of [...this.#held.values()]) {
      if (!this.#isWellPlaced(held)) this.#route(held);
    }
  }

  /** This node is out of the view: users wait, visibly, and are offered anew under new tokens when it is back. */
  excluded(): void {
    this.#excludedAtMs = this.#here.nowMs;
    this.#failedAtMs.clear();
    this.#sequences.clear();
    this.#owed.clear();
    const untilMs = this.#here.nowMs + this.#here.timeouts.fencedHoldMs;
    this.#nextDueMs = Math.min(this.#nextDueMs, untilMs);
    this.#log.excluded();
    for (const held of this.#held.values()) if (held.place.kind !== "logging") this.#put(held, UNROUTED);
  }

  /** A new incarnation (the first one too): tokens come from its slot, also those of events already held. */
  incarnationBegun(slot: number): void {
    const { me, incarnation } = this.#here;
    this.#excludedAtMs = undefined;
    this.#tokens.begin({ node: me, incarnation, slot });
    this.#log.incarnationBegun(incarnation);
    const all = [...this.#held.values()];
    this.#held.clear();
    for (const held of all) {
      this.#giveToken(held);
      held.order = undefined;
      held.given = undefined;
    }
  }

  /** A token for something that is outstanding without a source: user events (XDSM dm_create_userevent). */
  makeToken(isAlive: (token: Token) => boolean): Token {
    return this.#tokens.next((token) => this.#held.has(token) || isAlive(token));
  }

  get deadlineMs(): number {
    return Math.min(this.#nextDueMs, this.#log.deadlineMs);
  }
  timePassed(): void {
    this.#log.timePassed();
    if (this.#here.nowMs < this.#nextDueMs) return;
    this.#nextDueMs = Number.POSITIVE_INFINITY;
    this.#payAll();
    for (const held of [...this.#held.values()]) {
      const due = this.#dueMs(held);
      if (due <= this.#here.nowMs) this.#giveUp(held);
      else this.#nextDueMs = Math.min(this.#nextDueMs, due);
    }
  }

  waiting(): Waiting[] {
    return [...this.#held.values()].map((held) => {
      const { origin, place } = held;
      const leftMs = this.#dueMs(held) - this.#here.nowMs;
      return {
        token: held.token, fs: held.fs, event: held.event.type, ageMs: this.#here.nowMs - held.heldAtMs, ...this.#explain(held), fate: this.#fateOf(held),
        ...(origin.kind === "operation" && { operation: origin.operation }),
        ...((place.kind === "at-session" || place.kind === "waits-session" || place.kind === "logging") && { session: place.session }),
        ...(Number.isFinite(leftMs) && { leftMs }),
      };
    });
  }

  #begin(origin: Origin, event: RaisedEvent): Held {
    const limitAtMs = event.limit === undefined ? Number.POSITIVE_INFINITY : this.#here.nowMs + event.limit.afterMs;
    const { fs, event: what, isSynchronous, target, process, limit, endsWithSession, raisedOn, passedBy } = event;
    const held: Held = {
      fs, event: what, isSynchronous, target, process, limit, endsWithSession, raisedOn, passedBy, origin, heldAtMs: this.#here.nowMs, limitAtMs, token: this.#freeToken(),
      place: UNROUTED, standby: undefined, order: undefined, given: undefined,
    };
    if (limitAtMs < this.#nextDueMs) this.#nextDueMs = limitAtMs;
    this.#held.set(held.token, held);
    this.#here.note(held.token, "held", what.type, objectOf(what));
    if (process !== undefined) this.#here.note(held.token, "caused", process.command, process.pid);
    if (origin.kind === "operation") this.#byOperation.set(origin.operation, held);
    this.#route(held);
    return held;
  }

  #giveToken(held: Held): void {
    this.#held.delete(held.token);
    const former = held.token;
    held.token = this.#freeToken();
    this.#here.note(former, "renamed", held.token);
    this.#here.note(held.token, "held", held.event.type, objectOf(held.event));
    this.#held.set(held.token, held);
  }
  #freeToken(): Token {
    return this.#tokens.next(this.#isHeld);
  }

  #route(held: Held): void {
    const registry = this.#here.registry;
    if (!this.#here.isJoined || registry === undefined) return this.#put(held, UNROUTED);
    const route = this.#routeToStandby(held, registry) ?? routeOf(held, registry, this.#here);
    switch (route.kind) {
      case "host":
        if (route.group !== undefined) held.given = { group: route.group, session: route.session.id, node: route.session.node };
        if (isLogged(held, route.session)) return this.#writeDown(held, route.session);
        return this.#offer(held, route.session, registry.version);
      case "wait":
        // The log is there for whoever assumes it.
        if (route.why === "failed" && isLogged(held, route.session)) return this.#writeDown(held, route.session);
        return this.#waitForSession(held, route.session.id, route.why);
      case "no-owner":
        return this.#withoutOwner(held);
      case "gone":
        return this.#settle(held, { kind: "failed", code: "EINVAL", message: "the session does not exist" });
    }
  }

  /** Its own owner again when the standby is no more. */
  #routeToStandby(held: Held, registry: RegistryIndex): Route | undefined {
    if (held.standby === undefined) return undefined;
    const { fs, event, standby } = held;
    const route = routeOf({ fs, event, target: { kind: "session", session: standby.session } }, registry, this.#here);
    if (route.kind === "host") return route;
    held.standby = undefined;
    return undefined;
  }
  #giveToStandby(held: Held, { to, passedBy }: Extract<ToSource, { kind: "event-handed-over" }>): void {
    held.standby = { session: to, passedBy };
    this.#here.note(held.token, "standby", to);
    this.#put(held, UNROUTED);
    this.#route(held);
    const session = this.#here.registry?.session(to);
    if (held.given !== undefined && session?.group === held.given.group && held.standby !== undefined) held.given = { group: held.given.group, session: to, node: session.node };
  }

  #writeDown(held: Held, { id: session }: SessionRecord): void {
    const { fs, event, process, raisedOn } = held;
    const toLog: ToLog = {
      fs, event, process, raisedOn,
      logged: () => this.#settle(held, { kind: "enqueued" }),
      // Only who made a call can be told; an operation has happened already, and waits.
      failed: ({ code, message }) => {
        if (held.origin.kind !== "own" || held.event.type !== "user") return !this.#isHeld(held.token);
        this.#settle(held, { kind: "failed", code, message: `the event log cannot be written: ${message}` });
        return true;
      },
      released: () => {
        if (!this.#isHeld(held.token)) return;
        this.#put(held, UNROUTED);
        this.#route(held);
      },
    };
    this.#put(held, { kind: "logging", session, toLog });
    this.#log.log(session, toLog);
  }

  #offer(held: Held, session: SessionRecord, registryVersion: number): void {
    if (held.isSynchronous && held.process !== undefined && session.node === this.#here.me && this.#isServedBy(session.id, held.process.pid)) {
      this.#here.count("selfDeadlocksRefused");
      return this.#settle(held, { kind: "failed", code: "EDEADLK", message: "the event would go to the process that waits for it" });
    }
    if (held.order?.session !== session.id) held.order = { session: session.id, sequence: this.#nextSequence(session.id) };
    const { token, isSynchronous, fs, event, process, raisedOn } = held;
    const passedBy = held.standby?.passedBy ?? held.passedBy;
    const hostGeneration = session.hostGeneration;
    this.#pay(session.node);
    this.#here.count("eventsSent");
    this.#here.note(token, "sent", session.id, session.node);
    this.#here.send(session.node, {
      kind: "event-raised", session: session.id, hostGeneration, token, isSynchronous, sequence: held.order.sequence,
      registryVersion, fs, event, process, ...(raisedOn !== undefined && { raisedOn }), ...(passedBy !== undefined && { passedBy }),
    });
    this.#put(held, { kind: "at-session", session: session.id, node: session.node, hostGeneration });
  }

  /** To say that this answer was taken: with the next event to its host, or soon. */
  #owe(host: NodeId, taken: Taken): void {
    const owed = this.#owed.get(host);
    if (owed === undefined) this.#owed.set(host, [taken]);
    else owed.push(taken);
    this.#nextDueMs = Math.min(this.#nextDueMs, this.#here.nowMs + TAKEN_TOLD_AFTER_MS);
  }
  #pay(host: NodeId): void {
    const owed = this.#owed.get(host);
    if (owed === undefined) return;
    this.#owed.delete(host);
    for (const { token, session } of owed) this.#here.send(host, { kind: "answer-taken", token, session });
  }
  #payAll(): void {
    for (const host of [...this.#owed.keys()]) this.#pay(host);
  }

  #nextSequence(session: SessionId): number {
    const sequence = (this.#sequences.get(session) ?? 0) + 1;
    this.#sequences.set(session, sequence);
    return sequence;
  }

  #withoutOwner(held: Held): void {
    const type = held.event.type;
    if (!held.isSynchronous) return this.#settle(held, { kind: "enqueued" });
    if (type === "preunmount" || type === "unmount") return this.#settle(held, { kind: "answered", response: { kind: "continue" } });
    if (!isDataEvent(type)) {
      return this.#settle(held, { kind: "failed", code: type === "nospace" ? "ENOSPC" : "EIO", message: "no session takes this event" });
    }
    if (held.place.kind === "waits-owner") return;
    this.#here.note(held.token, "ownerless", type);
    this.#put(held, { kind: "waits-owner", untilMs: this.#here.nowMs + limitMs(this.#here.timeouts.ownerTimeoutMs) });
  }

  #waitForSession(held: Held, session: SessionId, why: "failed" | "closing"): void {
    if (why === "failed" && held.endsWithSession === true) {
      return this.#settle(held, { kind: "failed", code: "EIO", message: `session ${session} has failed` });
    }
    if (held.place.kind === "waits-session" && held.place.session === session && held.place.why === why) return;
    if (!held.isSynchronous && this.#asyncHeld() > ASYNC_HELD_MAX) return this.#giveUp(held);
    this.#here.note(held.token, "hostless", session, why);
    const { namespaceEventTimeoutMs } = this.#here.timeouts;
    const sessionFailureTimeoutMs = limitMs(this.#here.timeouts.sessionFailureTimeoutMs);
    const fromMs = this.#failedAtMs.get(session) ?? this.#here.nowMs;
    const failed = held.isSynchronous ? fromMs + sessionFailureTimeoutMs : held.heldAtMs + Math.min(sessionFailureTimeoutMs, namespaceEventTimeoutMs);
    this.#put(held, { kind: "waits-session", session, why, untilMs: why === "failed" ? failed : Number.POSITIVE_INFINITY });
  }

  #asyncHeld(): number {
    let count = 0;
    for (const held of this.#held.values()) if (!held.isSynchronous) count += 1;
    return count;
  }

  /** The host does not have the session. By an equal registry only the token can be at fault: it gets a new one. */
  #sendElsewhere(held: Held, hostVersion: number): void {
    this.#here.count("eventsMisrouted");
    const version = this.#here.registry?.version ?? 0;
    if (hostVersion > version) return this.#put(held, { kind: "waits-registry", version: hostVersion });
    this.#giveToken(held);
    this.#route(held);
  }

  #isWellPlaced(held: Held): boolean {
    const registry = this.#here.registry;
    if (registry === undefined) return held.place.kind === "unrouted";
    if (held.place.kind === "waits-registry") return registry.version < held.place.version;
    if (held.place.kind === "logging") return true; // until it is released
    if (held.place.kind !== "at-session") return false;
    if (this.#mayStillBeGivenOut(held.place.node)) return true;
    const session = registry.session(held.place.session);
    return session !== undefined && this.#here.isLiving(session) && session.node === held.place.node && session.hostGeneration >= held.place.hostGeneration;
  }

  /** A host that the view has left behind has stopped for certain only when the view is in force, or when it is back in another life. */
  #mayStillBeGivenOut(host: NodeId): boolean {
    return !this.#here.isInForce && this.#here.member(host) === undefined;
  }

  #noteFailures(touched: ReadonlySet<SessionId> | undefined): void {
    const registry = this.#here.registry;
    if (registry === undefined) return;
    if (touched !== undefined) for (const id of touched) this.#noteFailure(id, registry.session(id));
    else {
      for (const session of registry.eachSession()) this.#noteFailure(session.id, session);
      for (const id of this.#failedAtMs.keys()) if (registry.session(id) === undefined) this.#failedAtMs.delete(id);
    }
  }
  #noteFailure(id: SessionId, session: SessionRecord | undefined): void {
    if (session === undefined || this.#here.isLiving(session)) this.#failedAtMs.delete(id);
    else if (!this.#failedAtMs.has(id)) this.#failedAtMs.set(id, this.#here.nowMs);
  }

  #put(held: Held, place: Place): void {
    held.place = place;
    this.#nextDueMs = Math.min(this.#nextDueMs, this.#dueMs(held));
  }

  /** What happens at the deadline. */
  #fateOf(held: Held): string {
    if (this.#excludedAtMs !== undefined) return "fails with ESTALE";
    const place = held.place;
    if (place.kind === "logging") return "goes on when it is logged";
    const untilMs = place.kind === "waits-owner" || place.kind === "waits-session" ? place.untilMs : Number.POSITIVE_INFINITY;
    if (held.limit !== undefined && held.limitAtMs <= untilMs) return `fails with ${held.limit.code}`;
    return held.isSynchronous ? "fails with EIO" : "goes on, and the session is not told";
  }

  #explain(held: Held): { cause: string; detail: string; waitsFor: string } {
    const place = held.place;
    switch (place.kind) {
      case "unrouted":
        return { cause: "excluded", detail: "this node is not in the view of the cluster", waitsFor: "this node's return into the cluster" };
      case "waits-owner":
        return { cause: "no-owner", detail: `no session takes ${held.event.type} events of ${held.fs}`, waitsFor: "a session that takes them" };
      case "waits-session":
        return place.why === "failed"
          ? { cause: "session-failed", detail: `session ${place.session} has failed and may be assumed`, waitsFor: `somebody who assumes session ${place.session}` }
          : { cause: "event", detail: `session ${place.session} is closing`, waitsFor: `the end of session ${place.session}` };
      case "waits-registry":
        return { cause: "takeover", detail: `waits for version ${place.version} of the registry`, waitsFor: "the session manager" };
      case "logging":
        return { cause: "event-log", detail: this.#log.explain(place.session), waitsFor: `the event log of session ${place.session}` };
      case "at-session":
        if (this.#mayStillBeGivenOut(place.node)) {
          return { cause: "takeover", detail: `${place.node}, which hosted session ${place.session}, is being excluded`, waitsFor: "the view without it to be in force" };
        }
        return { cause: held.isSynchronous ? "event" : "queue", detail: `session ${place.session} on ${place.node}`, waitsFor: `session ${place.session} on ${place.node}` };
    }
  }

  #dueMs(held: Held): number {
    if (held.isOwed === true) return Number.POSITIVE_INFINITY;
    const excludedMs = this.#excludedAtMs === undefined ? Number.POSITIVE_INFINITY : this.#excludedAtMs + this.#here.timeouts.fencedHoldMs;
    return Math.min(dueMs(held), excludedMs);
  }

  #giveUp(held: Held): void {
    if (this.#excludedAtMs !== undefined && held.origin.kind === "operation" && this.#mayBeDurable(held)) {
      this.#here.emit({ kind: "resume-operation", operation: held.origin.operation, decision: CONTINUE });
      return this.#letUserGo(held);
    }
    if (this.#excludedAtMs !== undefined) return this.#fail(held, "ESTALE", "this node was excluded for too long");
    if (held.limit !== undefined && held.limitAtMs <= this.#here.nowMs) return this.#fail(held, held.limit.code, "not answered in time");
    if (!held.isSynchronous) {
      this.#here.count("asyncEventsGivenUp");
      return this.#settle(held, { kind: "enqueued" });
    }
    this.#fail(held, "EIO", this.#explain(held).detail);
  }

  #fail(held: Held, code: DmCode, message: string): void {
    this.#here.count("eventsGivenUp");
    this.#withdrawFromHost(held);
    this.#settle(held, { kind: "failed", code, message });
  }

  /** False when it has ended already. */
  #withdraw(held: Held): boolean {
    if (!this.#forget(held)) return false;
    this.#here.note(held.token, "withdrawn");
    this.#withdrawFromHost(held);
    this.#sendNotices(held);
    return true;
  }

  #withdrawFromHost(held: Held): void {
    if (held.place.kind !== "at-session") return;
    this.#here.send(held.place.node, { kind: "event-withdrawn", token: held.token, session: held.place.session });
  }

  #forget(held: Held): boolean {
    if (held.origin.kind === "operation") this.#byOperation.delete(held.origin.operation);
    return this.#held.delete(held.token);
  }

  #settle(held: Held, outcome: Settled): void {
    if (!this.#forget(held)) return;
    this.#here.note(held.token, "resumed", wordOf(outcome));
    if (held.origin.kind === "own") held.origin.settled(outcome);
    else this.#here.emit({ kind: "resume-operation", operation: held.origin.operation, decision: decisionOf(outcome) });
    if (held.given !== undefined) this.#sendNotices(held);
  }

  /** Each other member of the group hears of the event once, after the user was let go (requirement R18). */
  #sendNotices(held: Held): void {
    const registry = this.#here.registry;
    if (held.given === undefined || registry === undefined) return;
    const { group, session: handler, node: handledBy } = held.given;
    for (const member of registry.group(group)) {
      if (member.id === handler || member.state !== "active" || !this.#here.isLiving(member)) continue;
      this.#here.send(member.node, {
        kind: "event-raised", session: member.id, hostGeneration: member.hostGeneration, token: this.makeToken(() => false),
        isSynchronous: false, sequence: this.#nextSequence(member.id), registryVersion: registry.version, fs: held.fs,
        event: held.event, process: held.process, notice: { group, handledBy },
      });
    }
  }
}

/** Of a durable session what nobody answers is logged; it is deliverable whether or not the session has a host. */
function isLogged(held: Held, session: SessionRecord): boolean {
  return !held.isSynchronous && session.durability === "on";
}

function isAt(held: Held, node: NodeId, session: SessionId): boolean {
  return held.place.kind === "at-session" && held.place.node === node && held.place.session === session;
}

function decisionOf(outcome: Settled): Decision {
  if (outcome.kind === "failed") return { kind: "abort", code: outcome.code };
  if (outcome.kind === "answered" && outcome.response.kind === "abort") return { kind: "abort", code: outcome.response.code };
  return CONTINUE;
}

function wordOf(outcome: Settled): string {
  if (outcome.kind === "enqueued") return "enqueued";
  if (outcome.kind === "failed") return outcome.code;
  return outcome.response.kind === "abort" ? outcome.response.code : "continue";
}
