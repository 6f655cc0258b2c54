/**
 * One node's share of the cluster as a single pure machine (node.ts composes view, registry, session node, source node,
 * rights, rounds and streams): inputs are facts, effects are what the driver owes, in order. The daemon and the
 * simulator drive the same class.
 *
 * Units     `atMs`: milliseconds of a monotonic clock.
 */
import type { VersionRange } from "../base/version-range.js";
import type { CoordinationFact, CoordinationRequest } from "./coordination-contract.js";
import type { DmCode, DmFailure } from "../dmapi/errors.js";
import type { DmEvent, EventSet, EventType, ProcessInfo } from "../dmapi/events.js";
import type { FsName, Handle, Incarnation, NodeId, OperationId, RequestId, SessionId, Token } from "../dmapi/ids.js";
import type { Right } from "../dmapi/rights.js";
import type { FileRecord } from "../dmapi/record.js";
import type { CallName } from "../dmapi/calls.js";
import type { EventLogWork } from "./durable-events/event-log.js";
import type { OtherMount } from "./keeping/keeping.js";
import type { KeepingWord } from "./keeping/words.js";
import type { Frame, NodeAnswer, NodeQuestion, RoundWork } from "./messages.js";
import type { CallerInfo } from "../dmapi/status.js";
import type { ManagerCall } from "./registry-document.js";

/** A user operation held in the reactor, before it runs (a synchronous event) or after it ran (an asynchronous one). */
export interface HeldEvent {
  readonly operation: OperationId;
  readonly fs: FsName;
  readonly event: DmEvent;
  readonly isSynchronous: boolean;
  readonly process?: ProcessInfo | undefined;
}
export type Decision = { readonly kind: "continue" } | { readonly kind: "abort"; readonly code: DmCode };

/** What the core wants of the volume on this node; done by the pool, answered by `volume-done` with the same job. */
export type VolumeJob =
  | { readonly kind: "read-record"; readonly fs: FsName; readonly handle: Handle }
  /** Any other call on one object, checked and with its right held; `args` as in dmapi/calls.ts. */
  | { readonly kind: "perform"; readonly fs: FsName; readonly handle: Handle; readonly name: CallName; readonly args: unknown; readonly client: number }
  /** Of the durable log; `result` as in durable-events/event-log.ts. */
  | { readonly kind: "event-log"; readonly work: EventLogWork }
  | { readonly kind: "mount"; readonly fs: FsName; readonly mountpoint: string }
  | { readonly kind: "unmount"; readonly fs: FsName; readonly isForced: boolean };
/** Those that concern objects of a file system. */
export type ObjectJob = Extract<VolumeJob, { kind: "read-record" | "perform" }>;
export type VolumeResult =
  /** `round`: every member must have drained before the call is answered. `announcement`: told to them, nobody waits (cleared regions). */
  | { readonly kind: "ok"; readonly result: unknown; readonly record?: FileRecord | null; readonly round?: RoundWork; readonly announcement?: RoundWork }
  | { readonly kind: "failed"; readonly failure: DmFailure };

export type NodeInput = { readonly atMs: number } & (
  | { readonly kind: "coordination"; readonly fact: CoordinationFact }
  | { readonly kind: "link-up"; readonly peer: NodeId; readonly incarnation: Incarnation }
  | { readonly kind: "link-down"; readonly peer: NodeId }
  | { readonly kind: "frame-received"; readonly frame: Frame }
  /**
   * An application's call; `client` names its connection, `pid` its process where the socket tells (safety M1), `caller`
   * who it is in full where the audit will want it.
   */
  | { readonly kind: "call-made"; readonly call: number; readonly client: number; readonly name: CallName; readonly args: unknown; readonly pid?: number; readonly caller?: CallerInfo }
  | { readonly kind: "call-abandoned"; readonly call: number }
  | { readonly kind: "client-gone"; readonly client: number }
  | { readonly kind: "event-held"; readonly held: HeldEvent }
  /** The user was interrupted or killed: its operation is over. */
  | { readonly kind: "operation-gone"; readonly operation: OperationId }
  | { readonly kind: "interest-wanted"; readonly handle: Handle }
  | { readonly kind: "interest-dropped"; readonly handle: Handle }
  | { readonly kind: "fence-drained"; readonly handle: Handle; readonly fenceNumber: number }
  | { readonly kind: "round-drained"; readonly round: RequestId; readonly from: NodeId }
  | { readonly kind: "round-wanted"; readonly fs: FsName; readonly work: RoundWork; readonly operation?: OperationId }
  /** A reactor to that of another node that mounts the same (safety H7). */
  | { readonly kind: "keeping-said"; readonly fs: FsName; readonly to: NodeId; readonly word: KeepingWord }
  | { readonly kind: "volume-done"; readonly job: number; readonly result: VolumeResult }
  /** The volume layer found or lost a file system on this node. */
  | { readonly kind: "fs-attached"; readonly fs: FsName; readonly handle: Handle; readonly rootHandle: Handle; readonly eventList: EventSet; readonly mountpoint?: string }
  /** What the clock on the wall is ahead of ours, now and then; for people only, nothing is decided by it. */
  | { readonly kind: "clock-told"; readonly aheadMs: number }
  /** The driver asks a member something from memory; and answers what one asked. */
  | { readonly kind: "member-asked"; readonly to: NodeId; readonly question: number; readonly about: NodeQuestion }
  | { readonly kind: "member-told"; readonly to: NodeId; readonly request: RequestId; readonly answer: NodeAnswer }
  /** Of a driver that says so (`NodeOptions.hasTurns`): nothing more came together with the inputs before. */
  | { readonly kind: "turn-over" }
  | { readonly kind: "stop-wanted" }
  | { readonly kind: "time-passed" }
);

export type NodeEffect =
  | { readonly kind: "coordinate"; readonly request: CoordinationRequest }
  | { readonly kind: "transmit"; readonly to: NodeId; readonly frame: Frame }
  | { readonly kind: "link-wanted"; readonly peer: NodeId; readonly address: string; readonly incarnation: Incarnation }
  | { readonly kind: "link-unwanted"; readonly peer: NodeId }
  | { readonly kind: "answer-call"; readonly call: number; readonly result: unknown }
  | { readonly kind: "refuse-call"; readonly call: number; readonly failure: DmFailure }
  | { readonly kind: "resume-operation"; readonly operation: OperationId; readonly decision: Decision }
  /** The application has answered it; what it held by the token's right goes with it. */
  | { readonly kind: "token-answered"; readonly session: SessionId; readonly token: Token }
  | { readonly kind: "grant-interest"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "raise-fence"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "lower-fence"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "begin-round"; readonly round: RequestId; readonly from: NodeId; readonly fs: FsName; readonly work: RoundWork }
  /** Events of each file system that have an owner; the reactors' admission uses it. */
  | { readonly kind: "set-owned-events"; readonly fs: FsName; readonly events: EventSet }
  /** Nobody else mounts it: the kernel may keep names and attributes as long as this node's lease lasts. */
  | { readonly kind: "set-sole-mount"; readonly fs: FsName; readonly isSole: boolean }
  /** Who else mounts it, in the view adopted, and whether that is in force: those ask each other what their kernels may keep. */
  | { readonly kind: "set-other-mounts"; readonly fs: FsName; readonly others: readonly OtherMount[]; readonly isInForce: boolean }
  | { readonly kind: "keeping-heard"; readonly fs: FsName; readonly from: NodeId; readonly word: KeepingWord }
  /** Closed, users wait; with `refuses` they have waited long enough, and get that errno until it is open again. */
  | { readonly kind: "set-admission"; readonly isOpen: boolean; readonly why: string; readonly refuses?: DmCode }
  /** All records, fences, interests and held events of the reactors are void: a new incarnation begins. */
  | { readonly kind: "forget-everything"; readonly incarnation: Incarnation }
  | { readonly kind: "volume-job"; readonly job: number; readonly work: VolumeJob }
  /** This node is session manager and runs a call of `from`; for the message log (requirement R5). */
  | { readonly kind: "manager-ran"; readonly from: NodeId; readonly call: ManagerCall }
  /** A member asks; the driver answers with `member-told`. */
  | { readonly kind: "answer-member"; readonly to: NodeId; readonly request: RequestId; readonly about: NodeQuestion }
  | { readonly kind: "member-answered"; readonly from: NodeId; readonly question: number; readonly answer: NodeAnswer }
  /** Something an operator has to know, in a sentence. */
  | { readonly kind: "alarm"; readonly text: string }
  | { readonly kind: "stopped" };

export interface NodeOptions {
  readonly cluster: string;
  readonly id: NodeId;
  readonly bootId: string;
  readonly address: string;
  readonly isEligible: boolean;
  readonly preference: number;
  /** Which versions of the nodes' protocol this build speaks; absent: the first alone. */
  readonly versions?: VersionRange | undefined;
  readonly incarnation: Incarnation;
  readonly timeouts: NodeTimeouts;
  /** File systems whose mount fails (EIO) unless a session takes the mount event; all others mount without one. */
  readonly mountEventsRequired?: readonly FsName[];
  /** Which mounts of this node sessions are told of; absent: all. */
  readonly mountEvent?: MountEventScope;
  /** Logged events of this node that a durable session has not acknowledged; more of them wait. */
  readonly durableBacklogMax?: number;
  /**
   * The driver gives `turn-over` when all that came together is stepped and the machine `hasCollected` something: what a turn
   * sends of events may go together. Absent: each step is a turn.
   */
  readonly hasTurns?: boolean;
}
/**
 * Which mount, preunmount and unmount events are produced: `all`; `SessionNode` only to sessions hosted on the node that
 * mounts; `LocalNode` only where the node that mounts hosts a session at all (XDSM clusters, dmapiMountEvent).
 */
export type MountEventScope = "all" | "SessionNode" | "LocalNode";
/** A time-out of a day or more is none. */
export const WITHOUT_LIMIT_MS = 86_400_000;
export function limitMs(timeoutMs: number): number {
  return timeoutMs >= WITHOUT_LIMIT_MS ? Number.POSITIVE_INFINITY : timeoutMs;
}
export interface NodeTimeouts {
  /** A link that is down this long between two living members is reported as not reaching. */
  readonly linkGraceMs: number;
  /**
   * A member from which nothing is heard for so long, over whatever link, is reported as not reached, and who is outside the
   * largest fully connected set is evicted; a node whose lease has been over for so long ends the calls made on it. So a call
   * ends within this plus one takeover (safety C7).
   */
  readonly linkTimeoutMs: number;
  /** A data event without an owner; a day or more: without limit. */
  readonly ownerTimeoutMs: number;
  /** A mount that needs a session waits so long for one; a day or more: without limit. */
  readonly mountTimeoutMs: number;
  readonly sessionFailureTimeoutMs: number;
  /** Failed sessions are kept this long to be assumed. */
  readonly failedSessionRetentionMs: number;
  /** Users of an excluded node wait this long for it to rejoin, then they get ESTALE until it has. */
  readonly fencedHoldMs: number;
  /** Held directory operations (safety C5). */
  readonly namespaceEventTimeoutMs: number;
  /** A round whose acknowledgement is missing so long fails with EBUSY naming the member. */
  readonly roundTimeoutMs: number;
  /** Claims in order of rank times this; 2 H of the coordination driver. */
  readonly claimStepMs: number;
}
export const defaultTimeouts: NodeTimeouts = {
  linkGraceMs: 2_000, linkTimeoutMs: 6_000, ownerTimeoutMs: 60_000, mountTimeoutMs: 60_000, sessionFailureTimeoutMs: 300_000, failedSessionRetentionMs: 86_400_000,
  fencedHoldMs: 30_000, namespaceEventTimeoutMs: 30_000, roundTimeoutMs: 30_000, claimStepMs: 500,
};
export type { EventType };
