/**
 * Source side of durable events: an asynchronous event of a durable session is in this node's log on the shared volume
 * before the user's operation ends (safety M11).
 *
 * Group commit: one write is under way at a time, and all events that come meanwhile go with the next. Nothing is dropped:
 * when too many are not acknowledged, or the volume is full, events wait here, and their operations with them.
 *
 *   waiting -> writing -> logged (told to the host) -> acknowledged
 *   writing -> waiting   the write failed; tried again after `RETRY_MS`
 *
 * Owns      the order of events in each log, how many the application has not acknowledged.
 * Not here  which session an event goes to, and its user (source-node.ts); files (daemon/event-log/).
 * Units     milliseconds of the monotonic clock.
 */
import type { DmFailure } from "../../dmapi/errors.js";
import type { DmEvent, ProcessInfo } from "../../dmapi/events.js";
import type { FsName, Incarnation, NodeId, SessionId } from "../../dmapi/ids.js";
import type { CallDesk } from "../dm-calls/call-desk.js";
import type { Surroundings } from "../surroundings.js";
import type { EventLogResults, LoggedEvent, LogName, LogPlace } from "./event-log.js";

/** Logged events of this node that one session has not acknowledged; more of them wait. */
export const BACKLOG_MAX = 65_536;
export const RETRY_MS = 1_000;
const EVENTS_PER_WRITE_MAX = 1_024;

/** One event to be logged. */
export interface ToLog {
  readonly fs: FsName;
  readonly event: DmEvent;
  readonly process: ProcessInfo | undefined;
  readonly raisedOn: NodeId | undefined;
  readonly logged: () => void;
  /** The write failed. True: it is not to be tried again. */
  readonly failed: (failure: DmFailure) => boolean;
  /** The session takes no durable events any more, or this life is over: it is to be routed anew. */
  readonly released: () => void;
  /** Set while it is being written: its fate is open until that ends, whatever happens meanwhile. */
  isWriting?: boolean;
}
interface Numbered {
  readonly what: ToLog;
  readonly sequence: number;
}
interface SessionLog {
  waiting: Numbered[];
  /** Sequences that are logged and not acknowledged, ascending. */
  unacknowledged: number[];
  writing: number;
  last: number;
  place: LogPlace;
  /** Host generation that knows how far this log goes. */
  toldGeneration: number;
}
interface Batch {
  readonly log: LogName;
  readonly numbered: readonly Numbered[];
  readonly previous: number;
}

export class LogWriter {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  readonly #backlogMax: number;
  readonly #nextSequence: (session: SessionId) => number;
  readonly #logs = new Map<SessionId, SessionLog>();
  /** Sessions that may have files; undefined until the first durable one is seen. */
  #durable: Set<SessionId> | undefined;
  #incarnation = 0 as Incarnation;
  #isWriting = false;
  #failure: DmFailure | undefined;
  #retryAtMs = Number.POSITIVE_INFINITY;

  constructor(here: Surroundings, desk: CallDesk, backlogMax: number, nextSequence: (session: SessionId) => number) {
    this.#here = here;
    this.#desk = desk;
    this.#backlogMax = backlogMax;
    this.#nextSequence = nextSequence;
  }

  log(session: SessionId, what: ToLog): void {
    this.#logOf(session).waiting.push({ what, sequence: this.#nextSequence(session) });
    this.#write();
  }

  /** Whether durable sessions are known, or were when this node was last in the view. */
  get hasSessions(): boolean {
    return this.#durable !== undefined && this.#durable.size > 0;
  }

  /** Why events of that session wait, for people. */
  explain(session: SessionId): string {
    const log = this.#logs.get(session);
    if (this.#failure !== undefined) return `the event log of session ${session} cannot be written: ${this.#failure.message} (${this.#failure.code})`;
    if (log !== undefined && this.#room(log) <= 0) return `session ${session} has not acknowledged ${log.unacknowledged.length} logged events; no more are taken until it does`;
    return `is being logged for session ${session}`;
  }

  acknowledged(session: SessionId, incarnation: Incarnation, through: number): void {
    const log = incarnation === this.#incarnation ? this.#logs.get(session) : undefined;
    if (log === undefined) return;
    const first = log.unacknowledged.findIndex((sequence) => sequence > through);
    log.unacknowledged = first < 0 ? [] : log.unacknowledged.slice(first);
    this.#write();
  }

  /** The registry or the view changed: new hosts hear how far the logs go; those of sessions that need none are left. */
  surroundingsChanged(): void {
    this.#heedSessions();
    for (const [session, log] of this.#logs) {
      const record = this.#here.registry?.session(session);
      if (record?.durability !== "on") {
        for (const { what } of log.waiting.splice(0)) what.released();
        if (record === undefined) this.#logs.delete(session);
      }
      if (record === undefined || log.last === 0 || log.toldGeneration === record.hostGeneration || !this.#here.isLiving(record)) continue;
      this.#tell(session, this.#incarnation, log.last, log.last, log.place, []);
    }
    this.#write();
  }

  /** What is being written keeps its fate; all else is to be routed anew by this node's next life. */
  excluded(): void {
    const logs = [...this.#logs.values()];
    this.#logs.clear();
    for (const log of logs) for (const { what } of log.waiting) what.released();
  }
  incarnationBegun(incarnation: Incarnation): void {
    this.#incarnation = incarnation;
    this.#logs.clear();
  }

  get deadlineMs(): number {
    return this.#retryAtMs;
  }
  timePassed(): void {
    if (this.#here.nowMs < this.#retryAtMs) return;
    this.#retryAtMs = Number.POSITIVE_INFINITY;
    this.#write();
  }

  /** Files of sessions that are no more are removed, also those that a former life of the cluster left. */
  #heedSessions(): void {
    const registry = this.#here.registry;
    const durable = [...(registry?.eachDurable() ?? [])];
    if (registry === undefined || (this.#durable === undefined && durable.length === 0)) return;
    if (this.#durable === undefined) this.#lookForLeftovers();
    for (const session of this.#durable ?? []) if (registry.session(session) === undefined) this.#remove(session);
    this.#durable = new Set(durable.map((session) => session.id));
  }
  #lookForLeftovers(): void {
    this.#desk.job({ kind: "event-log", work: { kind: "sessions" } }, (result) => {
      const registry = this.#here.registry;
      if (result.kind !== "ok" || registry === undefined) return;
      // Ids only grow: of a lower one that the registry does not name it is known that it is over, also by a copy that is old.
      let highest = 0;
      for (const session of registry.eachSession()) highest = Math.max(highest, session.id);
      for (const session of (result.result as EventLogResults["sessions"]).sessions) {
        if (session < highest && registry.session(session) === undefined) this.#remove(session);
      }
    });
  }
  #remove(session: SessionId): void {
    this.#desk.job({ kind: "event-log", work: { kind: "remove", session } }, () => undefined);
  }

  #logOf(session: SessionId): SessionLog {
    let log = this.#logs.get(session);
    if (log === undefined) {
      log = { waiting: [], unacknowledged: [], writing: 0, last: 0, place: { segment: 0, offset: 0 }, toldGeneration: 0 };
      this.#logs.set(session, log);
    }
    return log;
  }
  #room(log: SessionLog): number {
    return this.#backlogMax - log.unacknowledged.length - log.writing;
  }

  #write(): void {
    if (this.#isWriting || this.#retryAtMs !== Number.POSITIVE_INFINITY) return;
    const batches: Batch[] = [];
    for (const [session, log] of this.#logs) {
      const numbered = log.waiting.splice(0, Math.max(0, Math.min(this.#room(log), EVENTS_PER_WRITE_MAX)));
      if (numbered.length === 0) continue;
      log.writing = numbered.length;
      for (const { what } of numbered) what.isWriting = true;
      batches.push({ log: { session, node: this.#here.me, incarnation: this.#incarnation }, numbered, previous: log.last });
    }
    if (batches.length === 0) return;
    this.#isWriting = true;
    const events = batches.map(eventsOf);
    const work = { kind: "append", batches: batches.map(({ log }, at) => ({ log, events: events[at]! })) } as const;
    this.#here.count("durableEventWrites");
    this.#desk.job({ kind: "event-log", work }, (result) => {
      this.#isWriting = false;
      const ends = result.kind === "ok" ? (result.result as EventLogResults["append"]).batches : batches.map(() => result.failure);
      this.#failure = undefined;
      batches.forEach((batch, at) => {
        const end = ends[at]!;
        if ("code" in end) this.#failed(batch, end);
        else this.#logged(batch, events[at]!, end);
      });
      this.#write();
    });
  }

  #logged({ log: { session, incarnation }, numbered, previous }: Batch, events: readonly LoggedEvent[], place: LogPlace): void {
    const log = incarnation === this.#incarnation ? this.#logs.get(session) : undefined;
    const last = numbered.at(-1)!.sequence;
    if (log !== undefined) {
      log.writing = 0;
      log.last = last;
      log.place = place;
      for (const { sequence } of numbered) log.unacknowledged.push(sequence);
    }
    this.#tell(session, incarnation, previous, last, place, events);
    for (const { what } of numbered) {
      what.isWriting = false;
      this.#here.count("durableEventsLogged");
      what.logged();
    }
  }

  #failed({ log: { session, incarnation }, numbered }: Batch, failure: DmFailure): void {
    this.#here.count("durableEventWritesFailed");
    this.#failure = failure;
    this.#retryAtMs = this.#here.nowMs + RETRY_MS;
    const again = numbered.filter(({ what }) => {
      what.isWriting = false;
      return !what.failed(failure);
    });
    const log = incarnation === this.#incarnation ? this.#logs.get(session) : undefined;
    if (log === undefined) for (const { what } of again) what.released();
    else {
      log.writing = 0;
      log.waiting = [...again, ...log.waiting];
    }
  }

  /** The host reads the log itself; what it is told here spares it that. */
  #tell(session: SessionId, incarnation: Incarnation, previous: number, through: number, place: LogPlace, events: readonly LoggedEvent[]): void {
    const record = this.#here.registry?.session(session);
    if (record === undefined || !this.#here.isLiving(record)) return;
    const log = incarnation === this.#incarnation ? this.#logs.get(session) : undefined;
    if (log !== undefined) log.toldGeneration = record.hostGeneration;
    this.#here.send(record.node, { kind: "events-logged", session, hostGeneration: record.hostGeneration, incarnation, previous, through, place, events });
  }
}

function eventsOf({ numbered, previous }: Batch): LoggedEvent[] {
  let before = previous;
  return numbered.map(({ sequence, what: { fs, event, process, raisedOn } }) => {
    const logged = { sequence, previous: before, fs, event, ...(process === undefined ? {} : { process }), ...(raisedOn === undefined ? {} : { raisedOn }) };
    before = sequence;
    return logged;
  });
}
