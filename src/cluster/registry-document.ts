/**
 * The registry: who has which session, and who gets which event of which file system. One sequence of versions with
 * tombstones; the highest version wins, always (safety C10, H5).
 *
 * Source    requirements R1-R9, R13, R14, R16; XDSM sessions and dispositions.
 */
import type { ApplicationLease } from "../dmapi/application-lease.js";
import type { DmFailure } from "../dmapi/errors.js";
import type { AuditEntry, CallerInfo } from "../dmapi/status.js";
import type { EventType } from "../dmapi/events.js";
import type { FsName, GroupName, Incarnation, NodeId, RequestId, SessionId } from "../dmapi/ids.js";

export interface SessionRecord {
  readonly id: SessionId;
  /** Session node; while `state` is "failed", the one that was. */
  readonly node: NodeId;
  readonly incarnation: Incarnation;
  /** Grows with each assume; events and responses of an older host are refused (safety C9). */
  readonly hostGeneration: number;
  readonly info: string;
  readonly group?: GroupName;
  /** What becomes of its events when no application serves it. */
  readonly lease?: ApplicationLease;
  readonly state: "active" | "failed" | "closing";
  /** "on": asynchronous events are logged first; "off": they are not any more, but logs may be left. Absent: never were. */
  readonly durability?: "on" | "off";
}
export type Owner = { readonly kind: "session"; readonly session: SessionId } | { readonly kind: "group"; readonly group: GroupName };

/** One (file system, event) pair and its owner. `fs` "global" has only mount, and there several owners. */
export interface Disposition {
  readonly fs: FsName | "global";
  readonly event: EventType;
  readonly owner: Owner;
}

/** One step of the registry. */
export type RegistryChange =
  | { readonly kind: "session-put"; readonly session: SessionRecord }
  | { readonly kind: "session-destroyed"; readonly id: SessionId }
  | { readonly kind: "dispositions-set"; readonly owner: Owner; readonly fs: FsName | "global"; readonly events: readonly EventType[]; readonly below: number }
  /** What the request was answered, so that a retry to the next manager gets the same (safety H5). */
  | { readonly kind: "request-answered"; readonly request: RequestId; readonly result: ManagerResult };

export interface RegistryVersion {
  readonly version: number;
  /** Who asked. */
  readonly by: NodeId;
  readonly changes: readonly RegistryChange[];
  /** What is to be remembered of it; absent where nothing is. */
  readonly audit?: readonly AuditEntry[];
}

/** What events and calls go by. */
export interface RegistryContent {
  readonly version: number;
  readonly sessions: readonly SessionRecord[];
  readonly dispositions: readonly Disposition[];
}
/** A whole copy, as collected from and installed on members. */
export interface RegistrySnapshot extends RegistryContent {
  /**
   * Of the view in which the manager collected whose versions these are; compared before `version`. It is not the view in
   * which a version came: one manager's versions come to one member before a view and to the next after it.
   */
  readonly view: number;
  readonly destroyed: readonly SessionId[];
  readonly answered: readonly { readonly request: RequestId; readonly result: ManagerResult }[];
  readonly highestSessionId: number;
  readonly audit?: readonly AuditEntry[];
}

/** Two copies of which these are the same are the same: one manager's versions are one sequence. */
export type CopyStamp = Pick<RegistrySnapshot, "view" | "version">;

/** What a node asks of the session manager (requirement R5: one function each, named in the manager's log). */
export type ManagerCall =
  | { readonly kind: "create-session"; readonly info: string; readonly group?: GroupName; readonly lease?: ApplicationLease; readonly isDurable?: boolean }
  | { readonly kind: "assume-session"; readonly session: SessionId; readonly info: string }
  /** What is absent stays; a lease of null ends it. */
  | { readonly kind: "modify-session"; readonly session: SessionId; readonly info?: string; readonly lease?: ApplicationLease | null; readonly isDurable?: boolean }
  | { readonly kind: "destroy-session"; readonly session: SessionId }
  /** `below`: events numbered from it on are left as they are (XDSM maxevent). */
  | { readonly kind: "set-dispositions"; readonly owner: Owner; readonly fs: FsName | "global"; readonly events: readonly EventType[]; readonly below: number }
  | { readonly kind: "announce-mount"; readonly fs: FsName; readonly isMounted: boolean }
  | { readonly kind: "move-manager"; readonly to: NodeId }
  | { readonly kind: "fence-node"; readonly node: NodeId; readonly isForced?: boolean };

/** A call that is not answered yet. */
export interface Unfinished {
  readonly request: RequestId;
  readonly call: ManagerCall;
  /** Absent: the node itself asked. */
  readonly caller?: CallerInfo;
}

export type ManagerResult =
  | { readonly kind: "done"; readonly session?: SessionId; readonly version: number }
  | { readonly kind: "failed"; readonly failure: DmFailure };
