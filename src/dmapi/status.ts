/**
 * The status document of a node and its message log: what tests, the command and the dashboard read, all the same.
 *
 * Units     ages in milliseconds; `at` is wall-clock time as ISO 8601 text.
 * Source    requirements 1.2 (message log, state dump).
 */
import type { ApplicationLease } from "./application-lease.js";
import type { VersionRange } from "../base/version-range.js";
import type { EventType } from "./events.js";
import type { FsName, GroupName, Handle, Incarnation, NodeId, SessionId, Token } from "./ids.js";
import type { Right } from "./rights.js";

export interface SessionEntry {
  readonly id: SessionId; readonly node: NodeId; readonly info: string; readonly group?: GroupName;
  readonly state: "active" | "failed" | "closing"; readonly hostGeneration: number; readonly lease?: ApplicationLease;
  /** Its asynchronous events are logged before the user goes on. */
  readonly isDurable?: true;
}
/** The process that made a call, as its node's kernel says. */
export interface CallerInfo {
  readonly pid: number; readonly uid: number; readonly command: string;
}
/** One change of the registry. */
export interface AuditEntry {
  readonly version: number;
  /** Milliseconds since 1970 by the clock of the session manager. */
  readonly unixMs: number;
  readonly act: string; readonly session?: SessionId; readonly detail: string;
  /** The node whose application asked; for what nobody asked for, the session manager itself. */
  readonly node: NodeId; readonly caller?: CallerInfo;
}
export interface DispositionEntry {
  readonly fs: FsName | "global"; readonly event: EventType; readonly session?: SessionId; readonly group?: GroupName;
}
export type TraceRole = "source" | "session" | "application" | "rights";
/** One step of one event on one node; `atMs` is that node's monotonic clock. */
export interface TraceStep {
  readonly atMs: number; readonly role: TraceRole; readonly step: string; readonly text: string;
}
/** The way of one event through the cluster. */
export interface TraceDocument {
  readonly token: Token;
  /** In order of time, by the clocks of the nodes: on several machines as exact as these agree. */
  readonly steps: readonly { readonly node: NodeId; readonly unixMs: number; readonly role: TraceRole; readonly step: string; readonly text: string }[];
  /** Members that did not answer: what they know is missing. */
  readonly silent: readonly NodeId[];
}
/** All blocked users of the cluster. */
export interface WaitersDocument {
  readonly waiters: readonly WaiterEntry[];
  readonly silent: readonly NodeId[];
}
/** One blocked user operation. */
export interface WaiterEntry {
  readonly node: NodeId; readonly operation: number; readonly call: string; readonly fs: FsName; readonly path?: string;
  readonly handle?: Handle; readonly pid: number; readonly uid: number; readonly command: string; readonly ageMs: number;
  readonly cause: "event" | "right" | "fence" | "guard" | "queue" | "takeover" | "interest" | "no-owner" | "session-failed" | "excluded" | "backing" | "event-log";
  readonly detail: string; readonly token?: Token; readonly session?: SessionId;
  /** Who has to do something before it ends. */
  readonly waitsFor?: string;
  /** From now; and what happens then. Absent: it waits without limit. */
  readonly deadlineMs?: number; readonly fate?: string;
  /** What the kernel keeps locked behind it (safety C5), e.g. "writes to the file", "everything in DIR", "". */
  readonly blocks: string;
}
export interface QueueEntry {
  readonly session: SessionId; readonly undelivered: number; readonly outstanding: readonly { token: Token; event: EventType; source: NodeId; ageMs: number }[];
  readonly waitingReaders: number; readonly delivered: number;
  /** Of a session with a lease: which processes serve it, and how long until it counts as without application; 0: it does. */
  readonly application?: { readonly pids: readonly number[]; readonly lostInMs?: number };
  /** Of a durable session: logged events it has been offered and has not acknowledged. */
  readonly unacknowledged?: number;
}
/** Bytes kept from users so that recalls end on a full volume. */
export interface ReserveEntry {
  readonly wanted: number;
  readonly lacking: number;
}
/** How quickly the coordination directory takes this node's renewals of its lease. */
export interface RenewalsEntry {
  /** Since the last one was confirmed; absent before the first. */
  readonly ageMs?: number;
  readonly lastMs: number; readonly slowestMs: number;
  /** One took longer than this, or is under way for longer: a quarter of the time a lease lasts. */
  readonly alarmMs: number;
  readonly slow: number;
  /** In words, while it is so. */
  readonly alarm?: string;
}
export interface StatusDocument {
  readonly node: NodeId; readonly incarnation: Incarnation; readonly cluster: string; readonly pid: number; readonly version: string;
  readonly state: "starting" | "joining" | "member" | "excluded" | "stopping";
  readonly view: null | {
    readonly number: number; readonly isInForce: boolean; readonly manager: NodeId; readonly why: string;
    /** Of the nodes' protocol: the highest that every member speaks. */
    readonly wireVersion: number;
    readonly members: readonly { id: NodeId; incarnation: Incarnation; address: string; slot: number; mounted: readonly FsName[]; versions?: VersionRange }[];
    /** Former members of whom the operator said that they are stopped, until a later life of theirs enters. */
    readonly fenced: readonly { id: NodeId; incarnation: Incarnation; by: NodeId; unixMs: number; caller?: CallerInfo }[];
  };
  readonly registry: { readonly version: number; readonly sessions: readonly SessionEntry[]; readonly dispositions: readonly DispositionEntry[] };
  readonly queues: readonly QueueEntry[];
  readonly waiters: readonly WaiterEntry[];
  readonly rights: { readonly held: readonly { handle: Handle; holder: string; right: Right }[]; readonly fences: readonly { handle: Handle; fence: Right; holderNode: NodeId }[] };
  readonly fileSystems: readonly { fs: FsName; backing: string; mountpoint?: string; isMounted: boolean; mode: string; capabilities: Readonly<Record<string, string | number | boolean>>; reserve?: ReserveEntry; /** What is wrong with the backing, and what to do. */ trouble?: string }[];
  readonly renewals: RenewalsEntry;
  readonly links: readonly { peer: NodeId; isUp: boolean; isCut: boolean; /** By fault injection. */ delayMs?: number; unacknowledged: number; version?: number; trouble?: string }[];
  readonly counters: Readonly<Record<string, number>>;
}
export interface LogEntry {
  /** Grows by one per entry of this node. */
  readonly number: number;
  readonly at: string;
  readonly from: NodeId; readonly to: NodeId;
  /** The message's kind (cluster/messages.ts), or for the manager the DMAPI function it runs. */
  readonly kind: string;
  readonly session?: SessionId | undefined; readonly token?: Token | undefined; readonly epoch: number;
  readonly summary?: string | undefined;
}
