/**
 * The durable log of asynchronous events: what it holds, and what the core asks of whoever keeps its files.
 *
 * There is one log for each session and each life of each source node, and only that life writes to it, so nobody appends
 * to another's. The session's host reads them all, and keeps one cursor for each: everything up to `through` and what
 * `beyond` names is acknowledged by the application and never offered again.
 *
 * Units     sequences count events of one source life to one session; offsets are bytes.
 * Not here  the files (daemon/event-log/), who writes (log-writer.ts), who reads (log-reader.ts).
 * Source    safety M11; docs/decisions, "Durable events live on the coordination volume".
 */
import type { DmFailure } from "../../dmapi/errors.js";
import type { DmEvent, ProcessInfo } from "../../dmapi/events.js";
import type { EventId, FsName, Incarnation, NodeId, SessionId } from "../../dmapi/ids.js";

export interface LogName {
  readonly session: SessionId;
  /** The source and its life: nobody else writes there. */
  readonly node: NodeId;
  readonly incarnation: Incarnation;
}
export interface LoggedEvent {
  readonly sequence: number;
  /** Sequence of the event before it in this log, 0 for the first: a gap shows. */
  readonly previous: number;
  readonly fs: FsName;
  readonly event: DmEvent;
  readonly process?: ProcessInfo | undefined;
  /** Where it happened, if not at the source: handed over by a session that lost its application. */
  readonly raisedOn?: NodeId | undefined;
}
/** Where a reader goes on. */
export interface LogPlace {
  readonly segment: number;
  readonly offset: number;
}
export interface LogCursor {
  readonly node: NodeId;
  readonly incarnation: Incarnation;
  readonly through: number;
  /** Acknowledged out of turn, ascending. */
  readonly beyond: readonly number[];
}

export type EventLogWork =
  /** All of it is on stable storage when it is answered: one sync for each log, whoever waits. */
  | { readonly kind: "append"; readonly batches: readonly { readonly log: LogName; readonly events: readonly LoggedEvent[] }[] }
  | { readonly kind: "list"; readonly session: SessionId }
  /** Events numbered above `after`, from `from` (the beginning) on, at most `max`; up to a gap, unless that is to be passed. */
  | { readonly kind: "read"; readonly log: LogName; readonly from: LogPlace | undefined; readonly after: number; readonly max: number; readonly mayHaveGaps: boolean }
  /** The host's cursors, on stable storage when it is answered. */
  | { readonly kind: "acknowledge"; readonly session: SessionId; readonly hostGeneration: number; readonly cursors: readonly LogCursor[] }
  /** Removes what is acknowledged; of a log whose writer has left the view also the last of it, if no process can write there. */
  | { readonly kind: "trim"; readonly log: LogName; readonly through: number; readonly isOver: boolean }
  | { readonly kind: "remove"; readonly session: SessionId }
  | { readonly kind: "sessions" };

export interface EventLogResults {
  /** In the order of the batches: where the log ends now, or why none of that batch is in it. */
  readonly append: { readonly batches: readonly (LogPlace | DmFailure)[] };
  readonly list: { readonly logs: readonly { readonly node: NodeId; readonly incarnation: Incarnation }[]; readonly cursors: readonly LogCursor[] };
  /** `isGap`: the next event in the log is not the one after the last; what is between cannot be read, or not yet. */
  readonly read: { readonly events: readonly LoggedEvent[]; readonly place: LogPlace; readonly isAtEnd: boolean; readonly isGap: boolean };
  readonly acknowledge: Record<string, never>;
  readonly trim: { readonly isGone: boolean };
  readonly remove: Record<string, never>;
  readonly sessions: { readonly sessions: readonly SessionId[] };
}

/** Stable: the same event has it each time it is offered, from any host. */
export function eventIdOf({ node, incarnation }: Pick<LogName, "node" | "incarnation">, sequence: number): EventId {
  return `${sequence}.${incarnation}.${node}` as EventId;
}
export function parseEventId(id: string): { sequence: number; log: string } | undefined {
  const match = /^([1-9]\d{0,15})\.(\d{1,15}\.[A-Za-z0-9][A-Za-z0-9_.-]{0,62})$/.exec(id);
  return match === null ? undefined : { sequence: Number(match[1]), log: match[2]! };
}
/** Names a log among those of its session. */
export function keyOf({ node, incarnation }: Pick<LogName, "node" | "incarnation">): string {
  return `${incarnation}.${node}`;
}
