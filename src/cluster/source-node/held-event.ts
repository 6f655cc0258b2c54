/**
 * One event that waits at its source: what it is, where it stands, when it is given up.
 *
 * Where it stands (`place`), and what moves it on:
 *
 *   unrouted       this node is in no view          -> routed when it joins; new token under a new incarnation
 *   waits-owner    nobody has the disposition       -> registry names an owner | deadline: EIO
 *   waits-session  session failed or closing        -> assumed, active again, destroyed | deadline: EIO
 *   waits-registry the host knows a newer registry  -> this node's copy has reached it
 *   logging        asynchronous, session durable    -> in the log | released: session not durable any more, new incarnation
 *   at-session     sent to the host                 -> answered | enqueued | host failed | misrouted
 */
import type { DmCode } from "../../dmapi/errors.js";
import type { DmEvent, DmResponse, ProcessInfo } from "../../dmapi/events.js";
import type { FsName, GroupName, NodeId, OperationId, SessionId, Token } from "../../dmapi/ids.js";
import type { ToLog } from "../durable-events/log-writer.js";
import type { Target } from "./routing.js";

/** How an event of this node ended. "enqueued": asynchronous, the session has it. */
export type Settled =
  | { readonly kind: "answered"; readonly response: DmResponse; readonly data?: Uint8Array | undefined }
  | { readonly kind: "enqueued" }
  | { readonly kind: "failed"; readonly code: DmCode; readonly message: string };

/** What an event is about; the part that raises it fills this in. */
export interface RaisedEvent {
  readonly fs: FsName;
  readonly event: DmEvent;
  readonly isSynchronous: boolean;
  readonly target: Target;
  readonly process?: ProcessInfo | undefined;
  /** Given up after so long, with that code; absent: no limit of its own. */
  readonly limit?: { readonly afterMs: number; readonly code: DmCode } | undefined;
  /** An event that is not worth waiting for: a failed session ends it at once. */
  readonly endsWithSession?: boolean | undefined;
  /** Raised there, and passed on by this node since its session has lost its application. */
  readonly raisedOn?: NodeId | undefined;
  readonly passedBy?: readonly SessionId[] | undefined;
}
export type Origin =
  | { readonly kind: "operation"; readonly operation: OperationId }
  | { readonly kind: "own"; readonly settled: (outcome: Settled) => void };

export type Place =
  | { readonly kind: "unrouted" }
  | { readonly kind: "waits-owner"; readonly untilMs: number }
  | { readonly kind: "waits-session"; readonly session: SessionId; readonly why: "failed" | "closing"; readonly untilMs: number }
  | { readonly kind: "waits-registry"; readonly version: number }
  /** Of a durable session: it is settled when it is in the log; `toLog.isWriting` says that nothing can change that any more. */
  | { readonly kind: "logging"; readonly session: SessionId; readonly toLog: ToLog }
  | { readonly kind: "at-session"; readonly session: SessionId; readonly node: NodeId; readonly hostGeneration: number };

/** One event that waits, as `waiters` shows it. */
export interface Waiting {
  readonly token: Token;
  readonly fs: string;
  readonly event: string;
  readonly ageMs: number;
  readonly cause: string;
  readonly detail: string;
  readonly operation?: OperationId;
  readonly session?: SessionId;
  /** Who has to do something before it ends. */
  readonly waitsFor: string;
  /** Until it is given up; absent: without limit. */
  readonly leftMs?: number;
  /** What happens then. */
  readonly fate: string;
}

export interface Held extends RaisedEvent {
  /** Replaced when the user is gone and the event must be logged all the same. */
  origin: Origin;
  /** Its user has gone on or is gone: it has no end but the session. */
  isOwed?: true;
  readonly heldAtMs: number;
  /** Of `limit`; Infinity without one. */
  readonly limitAtMs: number;
  token: Token;
  place: Place;
  /** The standby that has it instead of its owner, and who had it before. */
  standby: { readonly session: SessionId; readonly passedBy: readonly SessionId[] } | undefined;
  /** Number in the order of events from this node to that session; kept when it is offered there again. */
  order: { readonly session: SessionId; readonly sequence: number } | undefined;
  /** Set once it was given to a member of a group: the others get a notice when it has ended. */
  given: { readonly group: GroupName; readonly session: SessionId; readonly node: NodeId } | undefined;
}

export function dueMs(held: Held): number {
  const place = held.place;
  const untilMs = place.kind === "waits-owner" || place.kind === "waits-session" ? place.untilMs : Number.POSITIVE_INFINITY;
  return Math.min(held.limitAtMs, untilMs);
}
