/**
 * What the machines of different nodes say to each other. The cluster's roles meet only here.
 *
 * A message travels as the body of a `Frame` of the stream between two incarnations (stream.ts): numbered, acknowledged,
 * resent after a reconnect, duplicates dropped, first in first out (safety C9), stamped with the view number (C7).
 *
 * Source    requirements R1-R18; safety C4, C7, C9, H3, H5, M3.
 */
import type { DmFailure } from "../dmapi/errors.js";
import type { DmEvent, DmResponse, EventMessage, ProcessInfo } from "../dmapi/events.js";
import type { FsName, Handle, Incarnation, NodeId, RequestId, SessionId, Token } from "../dmapi/ids.js";
import type { Right } from "../dmapi/rights.js";
import type { QueueEntry, TraceStep, WaiterEntry } from "../dmapi/status.js";
import type { LoggedEvent, LogPlace } from "./durable-events/event-log.js";
import type { KeepingWord } from "./keeping/words.js";
import type { CopyStamp, ManagerResult, RegistrySnapshot, RegistryVersion, Unfinished } from "./registry-document.js";
import type { View } from "./view-document.js";

/** One link-level frame. `view` is the sender's at transmission; view messages are exempt from the check. */
export interface Frame {
  readonly from: NodeId;
  readonly fromIncarnation: Incarnation;
  readonly toIncarnation: Incarnation;
  readonly view: number;
  /** Absent on a bare acknowledgement. */
  readonly sequence?: number;
  readonly body?: Message;
  /** Highest number received in order from the other side. */
  readonly acknowledged: number;
}

/** Manager to members and back: how a view comes into force. Sent outside the view check. */
export type ViewMessage =
  | { readonly kind: "view-proposed"; readonly view: View }
  | { readonly kind: "view-adopted"; readonly number: number }
  | { readonly kind: "view-in-force"; readonly number: number }
  /** "I am alive at this incarnation; let me in" and the answer whether the two reach each other. */
  | { readonly kind: "greeting"; readonly incarnation: Incarnation };

/** Session management (requirements R1-R5, R13, R14). */
export type RegistryMessage =
  | ({ readonly kind: "manager-call" } & Unfinished)
  | { readonly kind: "manager-result"; readonly request: RequestId; readonly result: ManagerResult }
  | { readonly kind: "registry-changed"; readonly change: RegistryVersion }
  | { readonly kind: "registry-acknowledged"; readonly version: number }
  /** `copy`: what the asker has; a member may leave it unheeded, and then sends the whole of its own. */
  | { readonly kind: "registry-collect"; readonly view: number; readonly copy?: CopyStamp }
  /** Either of the two: the whole copy, or that it is the very one that was asked about. */
  | { readonly kind: "registry-collected"; readonly view: number; readonly snapshot?: RegistrySnapshot; readonly copy?: CopyStamp; readonly unfinished: readonly Unfinished[] }
  /** Either of the two: the whole copy, or to who said that it has the very copy `copy`: that is the truth, with `change` after it. */
  | { readonly kind: "registry-installed"; readonly view: number; readonly snapshot?: RegistrySnapshot; readonly copy?: CopyStamp; readonly change?: RegistryVersion }
  | { readonly kind: "registry-install-acknowledged"; readonly view: number; readonly version: number }
  /** Member to manager: this node's copy has a gap or was lost; the manager answers with `registry-installed`. */
  | { readonly kind: "registry-wanted"; readonly version: number }
  /** Manager to session node, once every member has acknowledged "closing": nothing more is on its way. */
  | { readonly kind: "closing-check"; readonly session: SessionId }
  /** Session node to manager before a destroy: nothing queued or outstanding, or EBUSY. */
  | { readonly kind: "closing-checked"; readonly session: SessionId; readonly isEmpty: boolean };

/** One of several events of a message; what it has in common with the others stands there. */
export interface RaisedTogether {
  readonly token: Token;
  readonly sequence: number;
  readonly event: DmEvent;
  readonly process?: ProcessInfo | undefined;
  readonly raisedOn?: NodeId | undefined;
  readonly passedBy?: readonly SessionId[] | undefined;
}

/** Events: straight from the source node to the session node and back (promise 5). */
export type EventMessageBetweenNodes =
  | {
      readonly kind: "event-raised"; readonly session: SessionId; readonly hostGeneration: number;
      /** Names the event at its source for ever; also of asynchronous ones, which have no token for applications. */
      readonly token: Token; readonly isSynchronous: boolean; readonly sequence: number; readonly registryVersion: number;
      readonly fs: FsName; readonly event: DmEvent; readonly process?: ProcessInfo | undefined; readonly notice?: EventMessage["notice"];
      /** Of an asynchronous event that a session without application passes on: where it was raised. */
      readonly raisedOn?: NodeId | undefined;
      /** Sessions without application that it was with before. */
      readonly passedBy?: readonly SessionId[] | undefined;
    }
  /** Asynchronous ones, in that order, as if each had come by itself (sent-together.ts); none is a notice. */
  | {
      readonly kind: "events-raised"; readonly session: SessionId; readonly hostGeneration: number; readonly registryVersion: number; readonly fs: FsName;
      readonly events: readonly RaisedTogether[];
    }
  /** Enqueued: an asynchronous event's user may go on. */
  | { readonly kind: "event-enqueued"; readonly token: Token }
  | { readonly kind: "events-enqueued"; readonly tokens: readonly Token[] }
  | { readonly kind: "event-answered"; readonly token: Token; readonly session: SessionId; readonly hostGeneration: number; readonly response: DmResponse; readonly data?: Uint8Array | undefined; /** Nobody waits to hear that it was taken: that may come with something else. */ readonly isQuiet?: true | undefined }
  /** The source took the answer, or no longer knows the token. */
  | { readonly kind: "answer-taken"; readonly token: Token; readonly session: SessionId }
  /** Nobody waits any more: user gone, deadline reached, source's operation abandoned. */
  | { readonly kind: "event-withdrawn"; readonly token: Token; readonly session: SessionId }
  /** The session has lost its application: the source is to offer the event to its standby, under the same token. */
  | { readonly kind: "event-handed-over"; readonly token: Token; readonly session: SessionId; readonly hostGeneration: number; readonly to: SessionId; readonly passedBy: readonly SessionId[] }
  /**
   * These events are in the log of the source's life `incarnation` for that session, which ends at `through`; the one before
   * them there is `previous`. Whom it does not reach reads the log, so nobody waits for it.
   */
  | {
      readonly kind: "events-logged"; readonly session: SessionId; readonly hostGeneration: number; readonly incarnation: Incarnation;
      readonly previous: number; readonly through: number; readonly place: LogPlace; readonly events: readonly LoggedEvent[];
    }
  /** Host to source: so far its log is acknowledged. */
  | { readonly kind: "events-acknowledged"; readonly session: SessionId; readonly incarnation: Incarnation; readonly through: number }
  /** "Not here": the receiver does not host that session at that generation; see its registry version. */
  | { readonly kind: "event-misrouted"; readonly token: Token; readonly session: SessionId; readonly registryVersion: number };

/** Rights and fences (safety H3). `holder` names a (session, token) or a call's own right, for ever. */
export type RightsMessage =
  | { readonly kind: "right-wanted"; readonly request: RequestId; readonly handle: Handle; readonly fs: FsName; readonly holder: string; readonly right: Right; readonly wait: boolean; readonly isUpgrade: boolean; readonly isManaged: boolean }
  | { readonly kind: "right-granted"; readonly request: RequestId; readonly handle: Handle; readonly holder: string; readonly right: Right; readonly view: number }
  | { readonly kind: "right-refused"; readonly request: RequestId; readonly failure: DmFailure; readonly view: number }
  /** `right` is what the holder keeps: "null", or "shared" after a downgrade. */
  | { readonly kind: "right-released"; readonly handle: Handle; readonly holder: string; readonly right: Right }
  | { readonly kind: "right-unwanted"; readonly request: RequestId; readonly handle: Handle }
  | { readonly kind: "interest-wanted"; readonly handle: Handle }
  | { readonly kind: "interest-granted"; readonly handle: Handle; readonly view: number; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "interest-dropped"; readonly handle: Handle }
  | { readonly kind: "fence-raised"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number; readonly holderNode: NodeId }
  | { readonly kind: "fence-drained"; readonly handle: Handle; readonly fenceNumber: number }
  | { readonly kind: "fence-lowered"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  /** After a view change, to each member as the new server of some objects: what this node holds, has interest in, and has fenced; what it wants it asks again. */
  | { readonly kind: "rights-reported"; readonly view: number; readonly holds: readonly { readonly handle: Handle; readonly fs: FsName; readonly holder: string; readonly right: Right; readonly isManaged: boolean }[]; readonly interests: readonly Handle[]; readonly fences: readonly Handle[] }
  /** The server is open in this view, and the receiver has been told every fence that stands for it there. */
  | { readonly kind: "fences-told"; readonly view: number };

/** Asking every member that mounts a file system, and waiting until each has drained (safety C4). */
export type RoundMessage =
  | { readonly kind: "round-begun"; readonly round: RequestId; readonly fs: FsName; readonly work: RoundWork }
  | { readonly kind: "round-drained"; readonly round: RequestId };
export type RoundWork =
  /** Use the record of this generation from now on; acknowledged when nothing admitted under an older one runs. */
  | { readonly kind: "record-changed"; readonly handle: Handle; readonly generation: number }
  /** Write back and drop pages, drain writers, give the shared guard back (safety C3 steps 1 and 4). */
  | { readonly kind: "flush"; readonly handle: Handle }
  /** Times were set back or bytes written invisibly: cached pages may be old though size and mtime agree (safety H7). */
  | { readonly kind: "drop-pages"; readonly handle: Handle }
  /** Another node mounts the file system: names and attributes that the kernel keeps are given up, and none is kept from now on. */
  | { readonly kind: "drop-names" }
  | { readonly kind: "fs-event-list-changed"; readonly events: number };

/** Between the reactors of one file system: what their kernels keep (safety H7). */
export type KeepingMessage = { readonly kind: "keeping"; readonly fs: FsName; readonly word: KeepingWord };

/** Of one node's users on one mount: who waits for a lock of a range while holding others, and what these are (locks/circles.ts). */
export interface LockReport {
  /** Names the reactor's life: the numbers below are its own. */
  readonly life: string;
  readonly owners: readonly WaitingOwner[];
}
/** A process. */
export interface WaitingOwner {
  readonly owner: string;
  /** One for each thread that waits; `wait` is never used again for another request. */
  readonly waits: readonly { readonly wait: number; readonly handle: Handle; readonly range: LockedRange }[];
  /** `change` differs after each change of what the owner holds of that file. */
  readonly holds: readonly { readonly handle: Handle; readonly change: number; readonly ranges: readonly LockedRange[] }[];
}
/** Bytes, both ends included, as decimal numbers. */
export interface LockedRange {
  readonly start: string;
  readonly end: string;
  readonly isExclusive: boolean;
}

/**
 * What members ask each other, and answer from memory: for people, and to find circles of waiting locks. Nothing else is
 * decided by it. `hasCircle`: the asker has found one in which a user of the asked node is to be refused; it is to look.
 */
export type NodeQuestion =
  | { readonly kind: "waiters" }
  | { readonly kind: "trace"; readonly token: Token }
  | { readonly kind: "locks"; readonly fs: FsName; readonly hasCircle: boolean };
export type NodeAnswer =
  | { readonly kind: "waiters"; readonly waiters: readonly WaiterEntry[]; readonly queues: readonly QueueEntry[]; readonly held: readonly { readonly handle: Handle; readonly holder: string; readonly right: Right }[] }
  /** `aheadMs`: what the clock on the wall is ahead of the one of the steps; that one is common to all processes of a boot. */
  | { readonly kind: "trace"; readonly bootId: string; readonly aheadMs: number; readonly steps: readonly TraceStep[] }
  /** Absent: nothing is known of that mount just now. */
  | { readonly kind: "locks"; readonly report?: LockReport };
export type QuestionMessage =
  | { readonly kind: "node-asked"; readonly request: RequestId; readonly about: NodeQuestion }
  | { readonly kind: "node-answered"; readonly request: RequestId; readonly answer: NodeAnswer };

export type Message = ViewMessage | RegistryMessage | EventMessageBetweenNodes | RightsMessage | RoundMessage | KeepingMessage | QuestionMessage;
export type MessageKind = Message["kind"];

/** Kinds that came after version 1 of the protocol, each with its version: none is sent while a member may not know it. */
const laterKinds: Readonly<Partial<Record<MessageKind, number>>> = {};
/** The version of the nodes' protocol that first had this kind. */
export function versionOfKind(kind: MessageKind): number {
  return laterKinds[kind] ?? 1;
}
