/**
 * Session node: the queues of the sessions hosted here, their readers, outstanding tokens and answers.
 *
 * A session is hosted as long as the registry says so under this node's present incarnation. An answer is the
 * application's success only when the source took it, or when the source has left the view (safety C9).
 *
 * A session with a lease that no application serves is lost: what it has meets the fate of its class at once, and so does
 * what comes later, until somebody serves it again (application leases).
 *
 * Owns      queues, readers, outstanding and recently answered tokens.
 * Not here  rights of tokens (rights/), the waiting user (source-node/), session records (the registry).
 * Source    XDSM C429 dm_get_events, dm_respond_event, dm_move_event, dm_find_eventmsg; requirements R1, R3, R14.
 */
import { describeLease } from "../../dmapi/application-lease.js";
import type { DmCode } from "../../dmapi/errors.js";
import type { ArgsOf } from "../../dmapi/calls.js";
import type { EventAnswer, EventMessage } from "../../dmapi/events.js";
import { type EventId, type FsName, type Incarnation, MESSAGE_DATA_LENGTH_MAX, type NodeId, type SessionId, type Token } from "../../dmapi/ids.js";
import type { QueueEntry } from "../../dmapi/status.js";
import type { Call, CallDesk } from "../dm-calls/call-desk.js";
import { eventIdOf, type LoggedEvent } from "../durable-events/event-log.js";
import { LogReader } from "../durable-events/log-reader.js";
import type { EventMessageBetweenNodes } from "../messages.js";
import type { RegistryIndex } from "../registry-index.js";
import type { SessionRecord } from "../registry-document.js";
import type { Surroundings } from "../surroundings.js";
import { fateOf, standbyOf } from "./fate.js";
import { type Entry, type HostedSession, isBinding, lostAtMs, messageOf, newHostedSession, type Reader, setLease } from "./hosted-session.js";
import { RecentMap, RecentTokens } from "./recent-tokens.js";

/** Undelivered events of a session; sources of asynchronous events beyond it wait for room, notices are dropped. */
export const QUEUE_LENGTH_MAX = 16_384;
/** Events in one answer of event.get when the caller sets no bound. */
export const EVENTS_PER_ANSWER_MAX = 256;
/** After hosting began by assume, sources need so long to offer their events again. */
export const RECOVERY_MS = 2_000;
const ANSWERS_REMEMBERED = 64;

type EventRaised = Extract<EventMessageBetweenNodes, { kind: "event-raised" }>;
type ToHost = Extract<EventMessageBetweenNodes, { kind: "event-raised" | "events-raised" | "answer-taken" | "event-withdrawn" | "events-logged" }>;
/** Entries need a token as key; those of durable events, which have none, lie below all others. */
const DURABLE_KEYS_BELOW = -(2 ** 31);
/** Asynchronous events of a lost session, raised anew to its standby; `done` tells whether that has it. */
export type PassOn = (entry: Entry, to: SessionId, done: (isTaken: boolean) => void) => void;
type Refusal = { readonly code: DmCode; readonly message: string };

export class SessionNode {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  /** Rights and pending right requests of a token end with it. */
  readonly #tokenEnded: (token: Token) => void;
  readonly #sessions = new Map<SessionId, HostedSession>();
  readonly #entries = new Map<Token, Entry>();
  readonly #recent = new RecentTokens();
  /** Events routed by a registry that this node has not reached yet. */
  #early: { from: NodeId; message: EventRaised }[] = [];
  #knownSessions = new Set<SessionId>();
  /** Hosted sessions for which something comes by time alone, and some for which nothing does any more. */
  readonly #timed = new Set<HostedSession>();
  /** Answers of event.get, kept for a caller that gave up as they left. */
  readonly #durable: LogReader;
  #durableKeys = 0;
  readonly #answers = new RecentMap<number, Entry[]>(ANSWERS_REMEMBERED);

  readonly #passOn: PassOn;

  constructor(here: Surroundings, desk: CallDesk, tokenEnded: (token: Token) => void, passOn: PassOn) {
    this.#passOn = passOn;
    this.#here = here;
    this.#desk = desk;
    this.#tokenEnded = tokenEnded;
    this.#durable = new LogReader(here, desk, {
      length: (session) => this.#sessions.get(session)?.durable.size ?? 0,
      enqueue: (session, log, events) => this.#enqueueDurable(session, log, events),
      withdraw: (session, ids) => this.#withdrawDurable(session, ids),
      dropDurable: (session) => this.#withdrawDurable(session, [...(this.#sessions.get(session)?.durable.keys() ?? [])]),
    });
  }

  isHosted(session: SessionId): boolean {
    return this.#sessions.has(session);
  }
  isAlive(token: Token): boolean {
    return this.#entries.has(token);
  }
  isServedBy(session: SessionId, pid: number): boolean {
    for (const each of this.#sessions.get(session)?.servedBy.values() ?? []) if (each === pid) return true;
    return false;
  }

  /**
   * Registry or view changed: hosting begins and ends, entries of lost sources are cancelled, early events are looked at.
   *
   * @param touched the only sessions that were put or destroyed, in a view that is the same; undefined: anything may be different
   */
  surroundingsChanged(registry: RegistryIndex, touched: ReadonlySet<SessionId> | undefined): void {
    for (const id of touched ?? [...this.#sessions.keys()]) this.#endIfNotHosted(id, registry.session(id));
    const ids = touched ?? [...registry.eachSession()].map((session) => session.id);
    for (const id of ids) this.#beginIfHosted(registry.session(id));
    for (const id of ids) {
      const record = registry.session(id);
      if (record?.durability !== undefined && this.#sessions.has(id)) this.#durable.hosted(record);
    }
    if (touched === undefined) this.#knownSessions.clear();
    for (const id of ids) {
      if (registry.session(id) !== undefined) this.#knownSessions.add(id);
      else this.#knownSessions.delete(id);
    }
    if (touched === undefined) this.#sourcesChanged();
    for (const id of ids) this.#setLease(this.#sessions.get(id), registry.session(id));
    // Also where nothing is different with them: somebody may stand by now.
    if (this.#isAnyLost()) for (const hosted of this.#sessions.values()) if (hosted.presence?.isLost === true) this.#settleLost(hosted);
    const early = this.#early;
    this.#early = [];
    for (const { from, message } of early) this.#raised(from, message);
  }

  #endIfNotHosted(id: SessionId, record: SessionRecord | undefined): void {
    const hosted = this.#sessions.get(id);
    if (hosted === undefined) return;
    if (record === undefined || !this.#here.isHostedHere(record)) this.#endHosting(hosted, "EINVAL", record === undefined ? "the session was destroyed" : "the session is hosted elsewhere now");
    else hosted.hostGeneration = record.hostGeneration;
  }
  #beginIfHosted(record: SessionRecord | undefined): void {
    if (record === undefined || !this.#here.isHostedHere(record) || this.#sessions.has(record.id)) return;
    const isAssumed = this.#knownSessions.has(record.id);
    const recoversUntilMs = isAssumed ? this.#here.nowMs + RECOVERY_MS : this.#here.nowMs;
    this.#sessions.set(record.id, newHostedSession({ id: record.id, hostGeneration: record.hostGeneration, recoversUntilMs }));
  }
  #isAnyLost(): boolean {
    for (const hosted of this.#timed) if (hosted.presence?.isLost === true) return true;
    return false;
  }
  #setLease(hosted: HostedSession | undefined, record: SessionRecord | undefined): void {
    if (hosted === undefined) return;
    setLease(hosted, record?.lease, this.#here.nowMs);
    if (hosted.presence !== undefined) this.#timed.add(hosted);
  }

  /** Not in the view any more: another node may assume the sessions, so they and their tokens end here. */
  excluded(): void {
    for (const hosted of [...this.#sessions.values()]) this.#endHosting(hosted, "ENOTREADY", "this node was excluded from the cluster");
    for (const entry of [...this.#entries.values()]) this.#drop(entry);
    this.#early = [];
    this.#knownSessions.clear();
    this.#recent.clear();
  }

  /** For the manager, while `session` is closing: whether its destruction would lose anything. */
  isEmpty(session: SessionId): boolean {
    return this.#durable.isEmpty(session) && ![...this.#entries.values()].some((entry) => isBinding(entry) && (entry.session === session || entry.addressedTo === session));
  }

  received(from: NodeId, message: ToHost): void {
    switch (message.kind) {
      case "event-raised":
        return this.#raised(from, message);
      case "events-raised":
        return this.#raisedTogether(from, message);
      case "answer-taken":
        return this.#answerTaken(from, message.token);
      case "event-withdrawn":
        return this.#withdrawn(from, message.token);
      case "events-logged":
        return this.#durable.told(from, message);
    }
  }

  acknowledge(call: number, { session, ids, isUpTo }: ArgsOf<"event.acknowledge">): void {
    if (this.#hosted(call, session) !== undefined) this.#durable.acknowledge(call, session, ids, isUpTo ?? false);
  }

  getEvents({ call, client, pid }: Call, { session, max: wanted = 0, waitMs, answers }: ArgsOf<"event.get">): void {
    const hosted = this.#hosted(call, session);
    if (hosted === undefined) return;
    this.#heard(hosted, client, pid, false);
    let refused: Refusal | undefined;
    for (const { token, response, data } of answers ?? []) {
      const taken = this.#answer(hosted, { token, response, data }, true);
      if (taken !== "unheard" && "code" in taken) refused ??= taken;
    }
    if (refused !== undefined) return this.#desk.refuse(call, refused.code, refused.message);
    if (hosted.undelivered.size === 0 && waitMs === 0) {
      return this.#desk.refuse(call, "EAGAIN", `session ${session} has no undelivered events`);
    }
    const max = wanted === 0 ? EVENTS_PER_ANSWER_MAX : Math.min(wanted, EVENTS_PER_ANSWER_MAX);
    const untilMs = waitMs === undefined ? Number.POSITIVE_INFINITY : this.#here.nowMs + waitMs;
    hosted.readers.push({ call, client, max, untilMs });
    if (untilMs !== Number.POSITIVE_INFINITY) this.#timed.add(hosted);
    this.#deliver(hosted);
  }

  /** The caller gave up; what an answer on its way to it carried is queued again, in its old order. */
  readerGone(call: number): void {
    for (const hosted of this.#sessions.values()) {
      const reader = hosted.readers.find((each) => each.call === call);
      if (reader === undefined) continue;
      hosted.readers = hosted.readers.filter((each) => each !== reader);
      hosted.presence?.stoppedWaiting(reader.client, this.#here.nowMs);
    }
    const lost = this.#answers.get(call)?.filter((entry) => this.#mayRequeue(entry)) ?? [];
    this.#answers.delete(call);
    const hosted = lost[0] === undefined ? undefined : this.#sessions.get(lost[0].session);
    if (hosted === undefined) return;
    const later = [...hosted.undelivered.values()];
    hosted.undelivered.clear();
    for (const entry of lost) this.#tokenEnded(entry.token);
    for (const entry of [...lost, ...later]) {
      entry.state = "undelivered";
      this.#entries.set(entry.token, entry);
      hosted.undelivered.set(entry.token, entry);
    }
    for (const entry of lost) if (entry.durable !== undefined) hosted.durable.set(entry.durable.id, entry.token);
    for (const entry of lost) this.#here.note(entry.token, "requeued", hosted.id);
    hosted.delivered -= lost.length;
    this.#deliver(hosted);
  }
  clientGone(client: number): void {
    for (const hosted of this.#sessions.values()) {
      hosted.readers = hosted.readers.filter((reader) => reader.client !== client);
      hosted.servedBy.delete(client);
      hosted.presence?.gone(client, this.#here.nowMs);
    }
  }

  /** The application says that it lives. */
  renew({ call, client, pid }: Call, session: SessionId): void {
    const hosted = this.#hosted(call, session);
    if (hosted === undefined) return;
    this.#heard(hosted, client, pid, true);
    this.#desk.answer(call, hosted.lease === undefined ? {} : { leaseMs: hosted.lease.afterMs });
  }

  respond({ call, client, pid }: Call, { session, token, response, data }: ArgsOf<"event.respond">): void {
    const hosted = this.#hosted(call, session);
    if (hosted === undefined) return;
    this.#heard(hosted, client, pid, false);
    const taken = this.#answer(hosted, { token, response, data });
    if (taken === "unheard") this.#desk.answer(call, {});
    else if ("code" in taken) this.#desk.refuse(call, taken.code, taken.message);
    else taken.respondCall = call;
  }

  /** Whoever waits for its source to have taken it is to be noted in the entry; "unheard": there is nobody who would. */
  #answer(hosted: HostedSession, { token, response, data }: EventAnswer, isQuiet?: true): Entry | "unheard" | Refusal {
    const found = this.outstanding(hosted.id, token);
    if ("code" in found) return this.#recent.has(token) ? { code: "ESRCH", message: `token ${token} has been answered already` } : found;
    if (response.kind === "dont-care" && found.event.type !== "mount") {
      return { code: "EINVAL", message: `only a mount event may be answered dont-care, this is ${found.event.type}` };
    }
    if ((data?.length ?? 0) > MESSAGE_DATA_LENGTH_MAX) return { code: "E2BIG", message: `an answer carries at most ${MESSAGE_DATA_LENGTH_MAX} bytes` };
    this.#endToken(hosted, token);
    if (found.state === "cancelled" || found.isOwn === true) {
      this.#entries.delete(token);
      return "unheard";
    }
    found.state = "answered";
    this.#here.note(token, "answered", response.kind, response.kind === "abort" ? response.code : undefined);
    const hostGeneration = this.#generationOf(hosted, found);
    this.#here.send(found.source, { kind: "event-answered", token, session: found.addressedTo, hostGeneration, response, data: data ?? undefined, isQuiet });
    return found;
  }

  /** Its rights and guards go; a second answer is told apart from one to a token that never was. */
  #endToken(hosted: HostedSession, token: Token): void {
    this.#tokenEnded(token);
    this.#here.emit({ kind: "token-answered", session: hosted.id, token });
    this.#recent.add(token);
  }

  find(call: number, session: SessionId, token: Token): void {
    if (this.#hosted(call, session) === undefined) return;
    const found = this.outstanding(session, token);
    if ("code" in found) this.#desk.refuse(call, found.code, found.message);
    else this.#desk.answer(call, messageOf(found));
  }

  tokens(call: number, session: SessionId): void {
    if (this.#hosted(call, session) === undefined) return;
    const isListed = (entry: Entry) => entry.session === session && (entry.state === "outstanding" || entry.state === "cancelled");
    this.#desk.answer(call, [...this.#entries.values()].filter(isListed).map((entry) => entry.token));
  }

  /** Rights go along: they are held by the token, whichever session it belongs to. */
  move(call: number, session: SessionId, token: Token, target: SessionId): void {
    if (this.#hosted(call, session) === undefined || this.#hosted(call, target) === undefined) return;
    const found = this.outstanding(session, token);
    const entry = this.#entries.get(token);
    if ("code" in found) {
      if (entry !== undefined && entry.session !== session) return this.#desk.refuse(call, "ENOENT", `token ${token} is not one of session ${session}`);
      return this.#desk.refuse(call, found.code, found.message);
    }
    found.session = target;
    this.#desk.answer(call, { token });
  }

  /** Outstanding from the start, delivered to nobody, ended by respond. XDSM dm_create_userevent. */
  createUserEvent(call: number, session: SessionId, token: Token, data: Uint8Array): void {
    if (this.#hosted(call, session) === undefined) return;
    this.#entries.set(token, {
      token, session, addressedTo: session, source: this.#here.me, isOwn: true, sourceIncarnation: this.#here.incarnation,
      isSynchronous: true, sequence: 0, fs: "" as FsName, event: { type: "user", data }, process: undefined, notice: undefined,
      arrivedAtMs: this.#here.nowMs, raisedOn: undefined, passedBy: [], state: "outstanding",
    });
    this.#desk.answer(call, { token });
  }

  /**
   * The entry of an outstanding token of that session, or why there is none: ESRCH when the event is not received yet,
   * or may still be offered again after a recovery; EINVAL when there is no such token.
   */
  outstanding(session: SessionId, token: Token): Entry | Refusal {
    const entry = this.#entries.get(token);
    if (entry !== undefined && entry.session === session) {
      if (entry.state === "outstanding" || entry.state === "cancelled") return entry;
      if (entry.state === "undelivered" && entry.isSynchronous) return { code: "ESRCH", message: `the event of token ${token} has not been received yet` };
      if (entry.state === "answered") return { code: "ESRCH", message: `token ${token} has been answered already` };
    }
    const recoversUntilMs = this.#sessions.get(session)?.recoversUntilMs ?? 0;
    if (entry === undefined && this.#here.nowMs < recoversUntilMs) {
      return { code: "ESRCH", message: `session ${session} was just assumed; token ${token} may be offered again` };
    }
    return { code: "EINVAL", message: `session ${session} has no token ${token}` };
  }

  get deadlineMs(): number {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const hosted of this.#timed) {
      if (hosted.readers.length === 0 && hosted.presence === undefined) this.#timed.delete(hosted);
      for (const reader of hosted.readers) dueMs = Math.min(dueMs, reader.untilMs);
      if (hosted.presence !== undefined) dueMs = Math.min(dueMs, lostAtMs(hosted));
    }
    return dueMs;
  }
  timePassed(): void {
    const isOver = (reader: Reader) => reader.untilMs <= this.#here.nowMs;
    if (this.#here.nowMs < this.deadlineMs) return;
    for (const hosted of this.#sessions.values()) {
      if (hosted.presence !== undefined && lostAtMs(hosted) <= this.#here.nowMs) this.#lose(hosted);
      if (!hosted.readers.some(isOver)) continue;
      const over = hosted.readers.filter(isOver);
      hosted.readers = hosted.readers.filter((reader) => !isOver(reader));
      for (const reader of over) {
        hosted.presence?.stoppedWaiting(reader.client, this.#here.nowMs);
        this.#desk.refuse(reader.call, "EAGAIN", `session ${hosted.id} has no undelivered events`);
      }
    }
  }

  queues(): QueueEntry[] {
    return [...this.#sessions.values()].map((hosted) => ({
      session: hosted.id, undelivered: hosted.undelivered.size, waitingReaders: hosted.readers.length, delivered: hosted.delivered, ...this.#applicationOf(hosted), ...this.#unacknowledged(hosted.id),
      outstanding: [...this.#entries.values()]
        .filter((entry) => entry.session === hosted.id && entry.state !== "undelivered")
        .map((entry) => ({
          token: entry.token, event: entry.event.type, source: entry.source, ageMs: this.#here.nowMs - entry.arrivedAtMs,
        })),
    }));
  }

  #unacknowledged(session: SessionId): { unacknowledged?: number } {
    const unacknowledged = this.#durable.unacknowledged(session);
    return unacknowledged === undefined ? {} : { unacknowledged };
  }

  #enqueueDurable(session: SessionId, log: { node: NodeId; incarnation: Incarnation }, events: readonly LoggedEvent[]): void {
    const hosted = this.#sessions.get(session);
    if (hosted === undefined) return;
    for (const { sequence, fs, event, process, raisedOn } of events) {
      this.#durableKeys += 1;
      const token = (DURABLE_KEYS_BELOW - this.#durableKeys) as Token;
      const id = eventIdOf(log, sequence);
      hosted.durable.set(id, token);
      this.#enqueue(hosted, {
        token, session, addressedTo: session, source: log.node, sourceIncarnation: log.incarnation,
        isSynchronous: false, sequence, fs, event, process, notice: undefined, arrivedAtMs: this.#here.nowMs, raisedOn, passedBy: [], state: "undelivered",
        durable: { id, hostGeneration: hosted.hostGeneration },
      });
    }
    this.#deliver(hosted);
  }
  #withdrawDurable(session: SessionId, ids: readonly EventId[]): void {
    const hosted = this.#sessions.get(session);
    for (const id of ids) {
      const token = hosted?.durable.get(id);
      if (hosted === undefined || token === undefined) continue;
      hosted.durable.delete(id);
      hosted.undelivered.delete(token);
      this.#entries.delete(token);
    }
  }

  #hosted(call: number, session: SessionId): HostedSession | undefined {
    const hosted = this.#sessions.get(session);
    if (hosted !== undefined) return hosted;
    const record = this.#here.registry?.session(session);
    if (record === undefined) this.#desk.refuse(call, "EINVAL", `there is no session ${session}`);
    else this.#desk.refuse(call, "EINVAL", `session ${session} is hosted on ${record.node}${record.state === "failed" ? ", which has failed: assume it" : ""}`);
    return undefined;
  }

  #raised(from: NodeId, message: EventRaised): void {
    const hosted = this.#take(from, message);
    if (hosted !== undefined) this.#deliver(hosted);
  }
  /** Readers get what came together in one answer. */
  #raisedTogether(from: NodeId, message: Extract<ToHost, { kind: "events-raised" }>): void {
    const { session, hostGeneration, registryVersion, fs } = message;
    let taker: HostedSession | undefined;
    for (const { token, sequence, event, process, raisedOn, passedBy } of message.events) {
      const each: EventRaised = { kind: "event-raised", session, hostGeneration, registryVersion, fs, isSynchronous: false, token, sequence, event, process, raisedOn, passedBy };
      taker = this.#take(from, each) ?? taker;
    }
    if (taker !== undefined) this.#deliver(taker);
  }

  /** Gives the session that has something to deliver. */
  #take(from: NodeId, message: EventRaised): HostedSession | undefined {
    const incarnation = this.#here.member(from)?.incarnation;
    if (incarnation === undefined) return undefined;
    const version = this.#here.registry?.version ?? -1;
    const hosted = this.#sessions.get(message.session);
    if (hosted === undefined || message.hostGeneration < hosted.sinceGeneration || message.hostGeneration > hosted.hostGeneration) {
      if (message.registryVersion > version) this.#early.push({ from, message });
      else if (message.notice === undefined) this.#misrouted(from, message);
      return undefined;
    }
    const known = this.#entries.get(message.token);
    if (known !== undefined) {
      const isSame = known.source === from && known.sourceIncarnation === incarnation;
      if (!isSame) this.#misrouted(from, message);
      else {
        known.addressedTo = message.session;
        this.#here.count("duplicateEventsDropped");
      }
      return undefined;
    }
    const isFull = hosted.undelivered.size >= QUEUE_LENGTH_MAX;
    if (isFull && message.notice !== undefined) {
      this.#here.count("noticesDropped");
      return undefined;
    }
    const { token, session, isSynchronous, sequence, fs, event } = message;
    const entry: Entry = {
      token, session, addressedTo: session, source: from, sourceIncarnation: incarnation, isSynchronous, sequence, fs, event,
      process: message.process, notice: message.notice, arrivedAtMs: this.#here.nowMs, raisedOn: message.raisedOn, passedBy: message.passedBy ?? [], state: "undelivered",
    };
    this.#enqueue(hosted, entry);
    if (!isSynchronous && message.notice === undefined) {
      if (isFull) entry.owesRoom = true;
      else this.#here.send(from, { kind: "event-enqueued", token });
    }
    if (hosted.presence?.isLost !== true) return hosted;
    this.#meetFate(hosted, entry);
    return undefined;
  }

  #misrouted(to: NodeId, message: { token: Token; session: SessionId }): void {
    const registryVersion = this.#here.registry?.version ?? 0;
    this.#here.send(to, { kind: "event-misrouted", token: message.token, session: message.session, registryVersion });
  }

  #enqueue(hosted: HostedSession, entry: Entry): void {
    this.#entries.set(entry.token, entry);
    hosted.undelivered.set(entry.token, entry);
    this.#here.count("eventsQueued");
    this.#here.note(entry.token, "arrived", hosted.id, entry.raisedOn ?? entry.source);
  }

  /** Each message to exactly one reader, the longest waiting first. */
  #deliver(hosted: HostedSession): void {
    if (hosted.presence?.isLost === true) return;
    while (hosted.undelivered.size > 0) {
      const reader = this.#nextReader(hosted);
      if (reader === undefined) return;
      const batch: Entry[] = [];
      const messages: EventMessage[] = [];
      for (const entry of hosted.undelivered.values()) {
        if (batch.length >= reader.max) break;
        batch.push(entry);
        messages.push(messageOf(entry));
        this.#takeOut(hosted, entry);
        this.#here.note(entry.token, "delivered", hosted.id, hosted.servedBy.get(reader.client));
      }
      hosted.delivered += batch.length;
      hosted.presence?.stoppedWaiting(reader.client, this.#here.nowMs);
      this.#answers.set(reader.call, batch);
      this.#desk.answer(reader.call, messages);
      this.#durable.roomMade(hosted.id);
    }
  }

  /** With a lease, one whose process stands still is passed over. */
  #nextReader(hosted: HostedSession): Reader | undefined {
    const { presence, lease, readers } = hosted;
    if (presence === undefined || lease === undefined) return readers.shift();
    const at = readers.findIndex((reader) => presence.isAlive(reader.client, lease.afterMs, this.#here.nowMs));
    return at < 0 ? undefined : readers.splice(at, 1)[0];
  }

  #takeOut(hosted: HostedSession, entry: Entry): void {
    hosted.undelivered.delete(entry.token);
    if (entry.durable !== undefined) hosted.durable.delete(entry.durable.id);
    if (entry.isSynchronous) entry.state = "outstanding";
    else this.#entries.delete(entry.token);
    if (entry.owesRoom !== true) return;
    entry.owesRoom = false;
    this.#here.send(entry.source, { kind: "event-enqueued", token: entry.token });
  }

  #mayRequeue(entry: Entry): boolean {
    const hosted = this.#sessions.get(entry.session);
    if (hosted === undefined) return false;
    if (entry.durable !== undefined) {
      // Of a former host generation it is offered from the log.
      return entry.durable.hostGeneration === hosted.hostGeneration && this.#durable.isOwed(entry.session, entry.source, entry.sourceIncarnation, entry.sequence);
    }
    return !entry.isSynchronous || (entry.state === "outstanding" && this.#entries.get(entry.token) === entry);
  }

  #answerTaken(from: NodeId, token: Token): void {
    const entry = this.#entries.get(token);
    if (entry === undefined || entry.state !== "answered" || entry.source !== from) return;
    this.#entries.delete(token);
    if (entry.respondCall !== undefined) this.#desk.answer(entry.respondCall, {});
  }

  #withdrawn(from: NodeId, token: Token): void {
    const early = this.#early.findIndex((waiting) => waiting.from === from && waiting.message.token === token);
    if (early >= 0) this.#early.splice(early, 1);
    const entry = this.#entries.get(token);
    if (entry !== undefined && entry.source === from) this.#cancel(entry);
  }

  /** Nobody waits for the answer any more. */
  #cancel(entry: Entry): void {
    const hosted = this.#sessions.get(entry.session);
    if (entry.state === "answered") return this.#answerTaken(entry.source, entry.token);
    if (entry.state === "undelivered") {
      if (!entry.isSynchronous) return;
      hosted?.undelivered.delete(entry.token);
      this.#entries.delete(entry.token);
      return;
    }
    if (entry.state === "cancelled") return;
    entry.state = "cancelled";
    this.#here.note(entry.token, "cancelled");
    if (hosted === undefined) return;
    // It has no place among tokens of sources: a cancel event is named by the negative of what it cancels.
    const token = -entry.token as Token;
    this.#enqueue(hosted, {
      ...entry, token, isSynchronous: false, state: "undelivered", process: undefined, notice: undefined,
      event: { type: "cancel", cancelledToken: entry.token, cancelledSequence: entry.sequence }, arrivedAtMs: this.#here.nowMs,
    });
    this.#deliver(hosted);
  }

  /** Sources that left the view, or came back as another incarnation, wait for nothing. */
  #sourcesChanged(): void {
    this.#early = this.#early.filter(({ from }) => this.#here.member(from) !== undefined);
    for (const entry of [...this.#entries.values()]) {
      if (entry.isOwn === true || this.#here.isMember(entry.source, entry.sourceIncarnation)) continue;
      if (entry.event.type !== "cancel") this.#cancel(entry);
    }
  }

  // Application leases.

  #heard(hosted: HostedSession, client: number, pid: number | undefined, isRenewal: boolean): void {
    if (pid !== undefined && hosted.servedBy.get(client) !== pid) hosted.servedBy.set(client, pid);
    if (hosted.presence?.heard(client, this.#here.nowMs, isRenewal) !== true) return;
    this.#here.emit({ kind: "alarm", text: `session ${hosted.id} has an application again` });
    this.#deliver(hosted);
  }

  #lose(hosted: HostedSession): void {
    const { presence, lease } = hosted;
    if (presence === undefined || lease === undefined) return;
    presence.isLost = true;
    this.#here.count("applicationsLost");
    this.#here.emit({ kind: "alarm", text: `session ${hosted.id} is without application for longer than its lease; ${describeLease(lease)}` });
    this.#settleLost(hosted);
  }

  /** All that it has, in the order it came. */
  #settleLost(hosted: HostedSession): void {
    const own = [...this.#entries.values()].filter((entry) => entry.session === hosted.id && entry.notice === undefined && entry.isOwn !== true);
    const kept: Entry[] = [];
    for (const entry of own) {
      if (entry.state === "cancelled") this.#forgetCancelled(hosted, entry);
      else if (entry.state !== "answered" && entry.event.type !== "cancel" && !this.#meetFate(hosted, entry)) kept.push(entry);
    }
    const later = [...hosted.undelivered.values()].filter((entry) => !kept.includes(entry));
    hosted.undelivered.clear();
    for (const entry of [...kept, ...later]) {
      if (entry.state === "outstanding") this.#here.note(entry.token, "requeued", hosted.id);
      entry.state = "undelivered";
      hosted.undelivered.set(entry.token, entry);
    }
  }

  /** False when it stays here. */
  #meetFate(hosted: HostedSession, entry: Entry): boolean {
    const fate = fateOf(hosted, entry);
    switch (fate.kind) {
      case "wait":
        return false;
      case "errno":
        this.#here.count("lostEventsFailed");
        this.#here.note(entry.token, "refused", hosted.id, fate.code);
        this.#endToken(hosted, entry.token);
        hosted.undelivered.delete(entry.token);
        entry.state = "answered";
        this.#here.send(entry.source, {
          kind: "event-answered", token: entry.token, session: entry.addressedTo, hostGeneration: this.#generationOf(hosted, entry), response: { kind: "abort", code: fate.code },
        });
        return true;
      case "standby": {
        const to = standbyOf(this.#here, hosted, entry, fate.session);
        if (to === undefined) return false;
        this.#here.count("eventsHandedOver");
        this.#here.note(entry.token, "passed", hosted.id, to.id);
        this.#handOver(hosted, entry, to.id);
        return true;
      }
    }
  }

  /** A waiting user's event goes back to its source, which offers it there; one that nobody waits for is raised anew. */
  #handOver(hosted: HostedSession, entry: Entry, to: SessionId): void {
    hosted.undelivered.delete(entry.token);
    this.#entries.delete(entry.token);
    if (entry.isSynchronous) {
      this.#endToken(hosted, entry.token);
      return this.#here.send(entry.source, {
        kind: "event-handed-over", token: entry.token, session: entry.addressedTo, hostGeneration: this.#generationOf(hosted, entry), to,
        passedBy: [...entry.passedBy, hosted.id],
      });
    }
    if (entry.owesRoom === true) this.#here.send(entry.source, { kind: "event-enqueued", token: entry.token });
    entry.owesRoom = false;
    this.#passOn(entry, to, (isTaken) => {
      const still = this.#sessions.get(hosted.id);
      if (isTaken || still === undefined) return;
      this.#enqueue(still, entry);
      this.#deliver(still);
    });
  }

  #generationOf(hosted: HostedSession, entry: Entry): number {
    return this.#here.registry?.session(entry.addressedTo)?.hostGeneration ?? hosted.hostGeneration;
  }

  /** Nobody waits for it, and the application that had to answer it is gone. */
  #forgetCancelled(hosted: HostedSession, entry: Entry): void {
    this.#endToken(hosted, entry.token);
    this.#entries.delete(entry.token);
    const told = -entry.token as Token;
    if (hosted.undelivered.delete(told)) this.#entries.delete(told);
  }

  #applicationOf(hosted: HostedSession): Pick<QueueEntry, "application"> {
    if (hosted.presence === undefined) return {};
    const lostInMs = hosted.presence.isLost ? 0 : lostAtMs(hosted) - this.#here.nowMs;
    return { application: { pids: [...new Set(hosted.servedBy.values())], ...(Number.isFinite(lostInMs) && { lostInMs: Math.max(0, Math.round(lostInMs)) }) } };
  }

  #endHosting(hosted: HostedSession, code: DmCode, message: string): void {
    this.#sessions.delete(hosted.id);
    this.#timed.delete(hosted);
    this.#durable.unhosted(hosted.id);
    for (const reader of hosted.readers) this.#desk.refuse(reader.call, code, message);
    for (const entry of [...this.#entries.values()]) {
      if (entry.session !== hosted.id) continue;
      if (entry.state === "undelivered" && entry.event.type !== "cancel" && entry.notice === undefined && entry.durable === undefined) this.#misrouted(entry.source, { token: entry.token, session: entry.addressedTo });
      this.#drop(entry);
    }
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.token);
    this.#tokenEnded(entry.token);
    if (entry.respondCall !== undefined) this.#desk.refuse(entry.respondCall, "ENOTREADY", "this node hosts the session no more; the answer may have been lost");
  }
}
