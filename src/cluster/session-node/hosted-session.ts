/**
 * One session hosted on this node: what is queued, who reads, which processes serve it.
 *
 * An entry's life:
 *
 *   undelivered -> gone        (durable, delivered: log-reader.ts keeps it until it is acknowledged)
 *   undelivered -> outstanding (synchronous, delivered) -> answered (until the source took it) -> gone
 *   undelivered -> gone        (asynchronous, delivered; withdrawn)
 *   outstanding -> undelivered (its application was lost, and the event waits for the next one)
 *   undelivered, outstanding -> gone (its application was lost: handed over to a standby; its user is told an errno)
 *   outstanding -> cancelled   (withdrawn, source gone) -> gone at the response, which succeeds and is ignored
 *
 * Source    XDSM C429 "Events"; safety M4.
 */
import type { ApplicationLease } from "../../dmapi/application-lease.js";
import type { DmEvent, EventMessage, ProcessInfo } from "../../dmapi/events.js";
import type { EventId, FsName, Incarnation, NodeId, SessionId, Token } from "../../dmapi/ids.js";
import { Presence } from "./presence.js";

export interface Entry {
  readonly token: Token;
  /** Where it is queued now; `dm_move_event` changes it. */
  session: SessionId;
  /** As the source knows it: its answer goes back under this name. */
  addressedTo: SessionId;
  readonly source: NodeId;
  readonly sourceIncarnation: Incarnation;
  readonly isSynchronous: boolean;
  readonly sequence: number;
  readonly fs: FsName;
  readonly event: DmEvent;
  readonly process: ProcessInfo | undefined;
  readonly notice: EventMessage["notice"];
  readonly arrivedAtMs: number;
  /** Where an asynchronous event was raised that another session's node has passed on. */
  readonly raisedOn: NodeId | undefined;
  /** Sessions without application that it was with before. */
  readonly passedBy: readonly SessionId[];
  /** A user event made here: nobody waits for its answer. */
  readonly isOwn?: boolean;
  state: "undelivered" | "outstanding" | "cancelled" | "answered";
  /** The respond call that ends when the source took the answer. */
  respondCall?: number;
  /** A durable event: it is in the session's log, and came into the queue under that host generation. */
  readonly durable?: { readonly id: EventId; readonly hostGeneration: number };
  /** An asynchronous event's source still waits for room in the queue. */
  owesRoom?: boolean;
}

export interface Reader {
  readonly call: number;
  readonly client: number;
  readonly max: number;
  readonly untilMs: number;
}

export interface HostedSession {
  readonly id: SessionId;
  hostGeneration: number;
  /** Events offered under an older generation were meant for another host. */
  readonly sinceGeneration: number;
  /** Sources offer their events again until about then: an unknown token may still come (ESRCH, not EINVAL). */
  readonly recoversUntilMs: number;
  readonly undelivered: Map<Token, Entry>;
  readers: Reader[];
  /** Process of each client that has read or answered events here (safety M1). */
  readonly servedBy: Map<number, number>;
  delivered: number;
  lease: ApplicationLease | undefined;
  /** Kept only while there is a lease. */
  presence: Presence | undefined;
  /** Durable events among the undelivered ones, by what they are called in `undelivered`. */
  readonly durable: Map<EventId, Token>;
}

export function newHostedSession(of: { id: SessionId; hostGeneration: number; recoversUntilMs: number }): HostedSession {
  return { ...of, sinceGeneration: of.hostGeneration, undelivered: new Map(), readers: [], servedBy: new Map(), delivered: 0, lease: undefined, presence: undefined, durable: new Map() };
}

/** The registry says which lease the session has now. */
export function setLease(hosted: HostedSession, lease: ApplicationLease | undefined, nowMs: number): void {
  hosted.lease = lease;
  if (lease === undefined) hosted.presence = undefined;
  else hosted.presence ??= new Presence(nowMs, [...hosted.servedBy.keys(), ...hosted.readers.map((reader) => reader.client)]);
}
/** When it counts as without application if nothing is heard; Infinity without a lease, and when it does already. */
export function lostAtMs({ lease, presence, readers }: HostedSession): number {
  if (lease === undefined || presence === undefined || presence.isLost) return Number.POSITIVE_INFINITY;
  return presence.lostAtMs(lease.afterMs, (client) => readers.some((reader) => reader.client === client));
}

/** What the application gets of it; fields that are undefined do not travel. */
export function messageOf(entry: Entry): EventMessage {
  const { session, fs, source, raisedOn, sequence, event, process, notice } = entry;
  return { session, fs, source: raisedOn ?? source, sequence, event, token: entry.isSynchronous ? entry.token : undefined, id: entry.durable?.id, process, notice };
}

/** Whether its loss would matter to somebody: what keeps a session from being destroyed. */
export function isBinding(entry: Entry): boolean {
  return entry.notice === undefined && entry.event.type !== "cancel" && entry.state !== "cancelled";
}
