/**
 * Host side of durable events: the logs of all sources of a session hosted here, how far each is read and acknowledged.
 *
 * The log is the truth; what sources tell only spares reading it. Where the two do not fit, the queue is full, or the
 * source is gone, events are read from the log. Who may do this says the registry: the session's one host. Events of a log
 * come in its order; one is offered again only when it was not acknowledged and the session is assumed.
 *
 *   listing -> reading <-> at the end      what the source tells next fits, or is read
 *   any     -> listing                     assumed; a member came or went: its log is read to the end
 *
 * Owns      cursors, which logs there are, acknowledgements that are not on stable storage yet.
 * Not here  queues and readers (session-node/), writing (log-writer.ts), files (daemon/event-log/).
 * Units     milliseconds of the monotonic clock.
 * Source    safety M11; cluster/durable-events/event-log.ts.
 */
import type { DmFailure } from "../../dmapi/errors.js";
import type { EventId, Incarnation, NodeId, SessionId } from "../../dmapi/ids.js";
import type { CallDesk } from "../dm-calls/call-desk.js";
import type { EventMessageBetweenNodes } from "../messages.js";
import type { VolumeResult } from "../node-contract.js";
import type { SessionRecord } from "../registry-document.js";
import type { Surroundings } from "../surroundings.js";
import { eventIdOf, type EventLogResults, type EventLogWork, keyOf, type LogCursor, type LoggedEvent, parseEventId } from "./event-log.js";
import { LogPosition } from "./log-position.js";

/** Durable events in the queue of a session; the rest wait in their logs. */
export const DURABLE_QUEUE_MAX = 4_096;
const EVENTS_PER_READ_MAX = 512;
const RETRY_MS = 200;
/** A source that left the view may still have completed an operation since: what it left is looked at again. */
const LOOK_AGAIN_MS = 10_000;
/** Acknowledged events after which files may have become free. */
const GAP_TRIES_MAX = 10;
const TRIM_AFTER = 4_096;

type EventsLogged = Extract<EventMessageBetweenNodes, { kind: "events-logged" }>;
/** The queue of a session, as this part needs it. */
export interface DurableQueue {
  /** Durable events in it. */
  length(session: SessionId): number;
  enqueue(session: SessionId, log: { node: NodeId; incarnation: Incarnation }, events: readonly LoggedEvent[]): void;
  withdraw(session: SessionId, ids: readonly EventId[]): void;
  /** Those not delivered are offered again from their logs. */
  dropDurable(session: SessionId): void;
}
interface Hosted {
  readonly id: SessionId;
  readonly hostGeneration: number;
  /** The members as of the last list. */
  members: string;
  isListing: boolean;
  /** Something changed while the list was under way. */
  mustList: boolean;
  readonly logs: Map<string, LogPosition>;
  isSaving: boolean;
  /** Cursors moved since the last save began. */
  isDirty: boolean;
  /** Calls that wait for what they acknowledged to be on stable storage. */
  acknowledging: number[];
  /** Of events that have not been read here yet. */
  early: { readonly call: number; readonly ids: readonly string[]; readonly isUpTo: boolean }[];
  /** Which logs there are, and what is acknowledged of them, is known. */
  isListed: boolean;
}

export class LogReader {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  readonly #queue: DurableQueue;
  readonly #sessions = new Map<SessionId, Hosted>();

  constructor(here: Surroundings, desk: CallDesk, queue: DurableQueue) {
    this.#here = here;
    this.#desk = desk;
    this.#queue = queue;
  }

  /** The session is hosted here by that record: a later generation begins again at what is acknowledged. */
  hosted(record: SessionRecord): void {
    if (record.durability === undefined) return;
    const known = this.#sessions.get(record.id);
    const members = this.#members();
    if (known === undefined || known.hostGeneration !== record.hostGeneration) {
      if (known !== undefined) this.#end(known, "the session was assumed anew");
      this.#queue.dropDurable(record.id);
      const hosted: Hosted = {
        id: record.id, hostGeneration: record.hostGeneration, members, isListing: false, mustList: false, logs: new Map(),
        isSaving: false, isDirty: false, acknowledging: [], early: [], isListed: false,
      };
      this.#sessions.set(record.id, hosted);
      this.#list(hosted);
    } else if (known.members !== members) {
      known.members = members;
      this.#list(known);
    }
  }
  unhosted(session: SessionId): void {
    const hosted = this.#sessions.get(session);
    if (hosted !== undefined) this.#end(hosted, "this node hosts the session no more");
  }

  told(from: NodeId, message: EventsLogged): void {
    const hosted = this.#sessions.get(message.session);
    // Whoever hosts the session by now reads the log.
    if (hosted === undefined || message.hostGeneration !== hosted.hostGeneration) return;
    const log = this.#logOf(hosted, { node: from, incarnation: message.incarnation });
    if (!hosted.isListing && !isBehindFormerLife(hosted, log) && log.follows(message.previous) && this.#queue.length(hosted.id) < DURABLE_QUEUE_MAX) {
      const events = log.take(message.events);
      if (log.enqueued >= message.through) {
        log.place = message.place;
        return this.#enqueue(hosted, log, events);
      }
      this.#enqueue(hosted, log, events);
    }
    log.isWanted(message.through);
    this.#read(hosted);
  }

  /** There is room in the queue again. */
  roomMade(session: SessionId): void {
    const hosted = this.#sessions.get(session);
    if (hosted !== undefined && this.#queue.length(session) < DURABLE_QUEUE_MAX / 2) this.#read(hosted);
  }

  acknowledge(call: number, session: SessionId, ids: readonly string[], isUpTo: boolean): void {
    const hosted = this.#sessions.get(session);
    if (hosted === undefined) return this.#desk.refuse(call, "EINVAL", `session ${session} takes no durable events here`);
    const found: { log: LogPosition; sequence: number }[] = [];
    for (const id of ids) {
      const parsed = parseEventId(id);
      const log = parsed === undefined ? undefined : hosted.logs.get(parsed.log);
      if (parsed === undefined) return this.#desk.refuse(call, "EINVAL", `${id.slice(0, 80)} is no id of a durable event`);
      if (this.#isComing(hosted, log, parsed.sequence)) return void hosted.early.push({ call, ids, isUpTo });
      // Of a log that is wholly acknowledged and removed nothing is left to say.
      if (log === undefined) continue;
      if (parsed.sequence > log.enqueued) return this.#desk.refuse(call, "ESRCH", `the event ${id} has not been offered yet`);
      found.push({ log, sequence: parsed.sequence });
    }
    for (const { log, sequence } of found) {
      // Got from a former host, and queued here to be offered again.
      this.#queue.withdraw(session, log.acknowledge(sequence, isUpTo).map((each) => eventIdOf(log, each)));
    }
    hosted.acknowledging.push(call);
    hosted.isDirty = true;
    this.#save(hosted);
    this.roomMade(session);
  }
  /** An application that got it from a former host may be faster than this one reads. */
  #isComing(hosted: Hosted, log: LogPosition | undefined, sequence: number): boolean {
    if (!hosted.isListed) return true;
    return log !== undefined && sequence > log.enqueued && !log.isAtEnd && this.#queue.length(hosted.id) < DURABLE_QUEUE_MAX;
  }
  #acknowledgeEarly(hosted: Hosted): void {
    for (const { call, ids, isUpTo } of hosted.early.splice(0)) this.acknowledge(call, hosted.id, ids, isUpTo);
  }

  /** Whether nothing is logged that the application has not acknowledged. */
  isEmpty(session: SessionId): boolean {
    const hosted = this.#sessions.get(session);
    if (hosted === undefined) return true;
    return !hosted.isListing && [...hosted.logs.values()].every((log) => log.isAtEnd && log.unacknowledged === 0);
  }
  /** Offered and not acknowledged. */
  isOwed(session: SessionId, node: NodeId, incarnation: Incarnation, sequence: number): boolean {
    return this.#sessions.get(session)?.logs.get(keyOf({ node, incarnation }))?.isOwed(sequence) ?? false;
  }
  unacknowledged(session: SessionId): number | undefined {
    const hosted = this.#sessions.get(session);
    if (hosted === undefined) return undefined;
    let count = 0;
    for (const log of hosted.logs.values()) count += log.unacknowledged;
    return count;
  }

  #end(hosted: Hosted, why: string): void {
    this.#sessions.delete(hosted.id);
    for (const call of [...hosted.acknowledging, ...hosted.early.map((early) => early.call)]) this.#desk.refuse(call, "ENOTREADY", `${why}; the acknowledgement may have been lost`);
  }
  #isCurrent(hosted: Hosted): boolean {
    return this.#sessions.get(hosted.id) === hosted;
  }
  #members(): string {
    return (this.#here.view?.members ?? []).map((member) => `${member.incarnation}.${member.id}`).join(" ");
  }
  #logOf(hosted: Hosted, name: { node: NodeId; incarnation: Incarnation }): LogPosition {
    const key = keyOf(name);
    let log = hosted.logs.get(key);
    if (log === undefined) {
      log = new LogPosition(name.node, name.incarnation);
      hosted.logs.set(key, log);
    }
    return log;
  }
  #enqueue(hosted: Hosted, log: LogPosition, events: readonly LoggedEvent[]): void {
    if (events.length > 0) this.#queue.enqueue(hosted.id, log, events);
  }
  #work<K extends EventLogWork["kind"]>(work: Extract<EventLogWork, { kind: K }>, then: (result: EventLogResults[K] | DmFailure) => void): void {
    this.#desk.job({ kind: "event-log", work }, (result: VolumeResult) => then(result.kind === "ok" ? (result.result as EventLogResults[K]) : result.failure));
  }

  #list(hosted: Hosted): void {
    if (hosted.isListing) {
      hosted.mustList = true;
      return;
    }
    hosted.isListing = true;
    hosted.mustList = false;
    this.#work<"list">({ kind: "list", session: hosted.id }, (found) => {
      if (!this.#isCurrent(hosted)) return;
      if ("code" in found) {
        this.#here.count("durableEventReadsFailed");
        // It goes on being listed: what is acknowledged is not known, and nothing is read without that.
        return this.#desk.after(RETRY_MS, () => {
          if (!this.#isCurrent(hosted)) return;
          hosted.isListing = false;
          this.#list(hosted);
        });
      }
      hosted.isListing = false;
      for (const name of found.logs) {
        const isNew = !hosted.logs.has(keyOf(name));
        const log = this.#logOf(hosted, name);
        const cursor = found.cursors.find((each) => each.node === name.node && each.incarnation === name.incarnation);
        // What is acknowledged here is newer than what was found.
        if (cursor !== undefined && (isNew || log.isFresh)) log.begin(cursor);
        log.isAtEnd = false;
      }
      hosted.isListed = true;
      if (hosted.mustList) return this.#list(hosted);
      this.#read(hosted);
      for (const log of hosted.logs.values()) this.#tellSource(hosted, log);
      this.#acknowledgeEarly(hosted);
    });
  }

  #read(hosted: Hosted): void {
    if (hosted.isListing) return;
    for (const log of hosted.logs.values()) {
      if (this.#queue.length(hosted.id) >= DURABLE_QUEUE_MAX) return;
      if (log.isReading || log.isAtEnd || isBehindFormerLife(hosted, log)) continue;
      log.isReading = true;
      const { node, incarnation, place, enqueued } = log;
      const name = { session: hosted.id, node, incarnation };
      this.#work<"read">({ kind: "read", log: name, from: place, after: enqueued, max: EVENTS_PER_READ_MAX, mayHaveGaps: log.gapTries >= GAP_TRIES_MAX }, (found) => this.#wasRead(hosted, log, found));
    }
  }
  #wasRead(hosted: Hosted, log: LogPosition, found: EventLogResults["read"] | DmFailure): void {
    log.isReading = false;
    if (!this.#isCurrent(hosted)) return;
    if ("code" in found) {
      this.#here.count("durableEventReadsFailed");
      return this.#readLater(hosted);
    }
    log.place = found.place;
    this.#enqueue(hosted, log, log.take(found.events));
    this.#afterRead(hosted, log, found);
    if (hosted.early.length > 0) this.#acknowledgeEarly(hosted);
  }
  #afterRead(hosted: Hosted, log: LogPosition, found: EventLogResults["read"]): void {
    if (found.isGap) return this.#gapSeen(hosted, log);
    log.gapTries = 0;
    if (!found.isAtEnd) return this.#read(hosted);
    if (log.enqueued >= log.wanted || !this.#here.isMember(log.node, log.incarnation)) {
      log.isAtEnd = true;
      this.#trim(hosted, log);
      this.#lookAgain(hosted, log);
      return this.#read(hosted); // a later life of that source may have waited for it
    }
    this.#readLater(hosted); // this node does not see yet what the source has written
  }
  /** Maybe this node does not see all of it yet; in the end what is there is offered, and the gap counted. */
  #gapSeen(hosted: Hosted, log: LogPosition): void {
    if (log.gapTries >= GAP_TRIES_MAX) {
      log.gapTries = 0;
      this.#here.count("durableEventGaps");
      return this.#read(hosted);
    }
    log.gapTries += 1;
    this.#readLater(hosted);
  }
  #lookAgain(hosted: Hosted, log: LogPosition): void {
    if (log.isLookedAtAgain || this.#here.isMember(log.node, log.incarnation)) return;
    log.isLookedAtAgain = true;
    this.#desk.after(LOOK_AGAIN_MS, () => {
      log.isLookedAtAgain = false;
      if (!this.#isCurrent(hosted) || hosted.logs.get(keyOf(log)) !== log) return;
      log.isAtEnd = false;
      this.#read(hosted);
    });
  }
  #readLater(hosted: Hosted): void {
    this.#desk.after(RETRY_MS, () => {
      if (this.#isCurrent(hosted)) this.#read(hosted);
    });
  }

  /** One save at a time; what is acknowledged meanwhile goes with the next. */
  #save(hosted: Hosted): void {
    if (hosted.isSaving || !hosted.isDirty) return;
    hosted.isSaving = true;
    hosted.isDirty = false;
    const calls = hosted.acknowledging.splice(0);
    const logs = [...hosted.logs.values()];
    const cursors: LogCursor[] = logs.map((log) => log.cursor());
    this.#work<"acknowledge">({ kind: "acknowledge", session: hosted.id, hostGeneration: hosted.hostGeneration, cursors }, (saved) => {
      hosted.isSaving = false;
      if ("code" in saved) {
        hosted.isDirty = true; // goes with the next that is acknowledged
        for (const call of calls) this.#desk.refuse(call, saved.code, saved.message);
        return;
      }
      for (const call of calls) this.#desk.answer(call, {});
      if (!this.#isCurrent(hosted)) return;
      logs.forEach((log, at) => {
        log.saved = cursors[at]!.through;
        this.#tellSource(hosted, log);
        this.#trim(hosted, log);
      });
      this.#save(hosted);
    });
  }
  #tellSource(hosted: Hosted, log: LogPosition): void {
    if (log.saved <= log.toldSource || !this.#here.isMember(log.node, log.incarnation)) return;
    log.toldSource = log.saved;
    this.#here.send(log.node, { kind: "events-acknowledged", session: hosted.id, incarnation: log.incarnation, through: log.saved });
  }

  #trim(hosted: Hosted, log: LogPosition): void {
    const isOver = !this.#here.isMember(log.node, log.incarnation);
    const isDone = isOver && log.isAtEnd && log.unacknowledged === 0 && log.saved >= log.enqueued;
    if (log.isTrimming || (!isDone && log.saved - log.trimmed < TRIM_AFTER)) return;
    log.isTrimming = true;
    log.trimmed = log.saved;
    const name = { session: hosted.id, node: log.node, incarnation: log.incarnation };
    this.#work<"trim">({ kind: "trim", log: name, through: log.saved, isOver: isDone }, (trimmed) => {
      log.isTrimming = false;
      if ("code" in trimmed || !trimmed.isGone || !this.#isCurrent(hosted) || hosted.logs.get(keyOf(log)) !== log) return;
      hosted.logs.delete(keyOf(log));
    });
  }
}

/** Events of a node come in order over its lives too, as far as they are known. */
function isBehindFormerLife({ logs }: Hosted, { node, incarnation }: LogPosition): boolean {
  for (const other of logs.values()) if (other.node === node && other.incarnation < incarnation && !other.isAtEnd) return true;
  return false;
}
