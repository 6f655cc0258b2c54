/**
 * What the admission machine is asked and what it answers.
 *
 * Source    safety C1, C3, C4, C5, C6, H3; XDSM chapter 3 (which event when), 4.3 and 4.4 (lists and owners).
 */
import type { DmCode } from "../../dmapi/errors.js";
import type { EventSet, EventType } from "../../dmapi/events.js";
import type { Handle, OperationId, RequestId } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";
import type { Access, Right } from "../../dmapi/rights.js";
import type { RoundWork } from "../messages.js";
import type { Decision } from "../node-contract.js";
import type { OpenEffect, OpenMode, OpenRequest } from "./open-modes.js";

/** An event that must be answered before the operation runs, if its object asks for it. */
export type PreEvent =
  | { readonly kind: "data"; readonly type: "read" | "write" | "truncate"; readonly handle: Handle; readonly offset: number; readonly length: number }
  /** Opening for writing recalls at open, where nothing is locked in the kernel (safety C5). */
  | { readonly kind: "open-for-write"; readonly handle: Handle }
  /** `lists`: the objects whose event list decides, before the file system's. */
  | { readonly kind: "listed"; readonly type: EventType; readonly lists: readonly Handle[] };

/** An event told after the operation, before its user goes on. */
export interface PostEvent {
  readonly type: EventType;
  readonly lists: readonly Handle[];
  /** Only when this pre event of the operation was raised (XDSM 3.5, post forms of failures). */
  readonly onlyAfter?: EventType;
}

export interface ObjectUse {
  readonly handle: Handle;
  readonly access: Access;
  /** The operation changes bytes: it runs under the node's shared guard of this object. */
  readonly needsGuard: boolean;
}

export interface AdmissionRequest {
  readonly id: OperationId;
  /** Admitted on all of them or on none (safety H3). */
  readonly uses: readonly ObjectUse[];
  readonly events: readonly PreEvent[];
  /** Write-back of mapped pages: held by nothing but the recall of a range that is not resident (safety C6). */
  readonly isWriteback: boolean;
  /**
   * A page fill or cached write that came while pages of the file are being dropped: the dropping waits in the kernel for
   * it, so no fence may hold it (safety C6). A write so let through breaks the mark like any other.
   */
  readonly passesFences: boolean;
}

/** What an operation waits for. "record": the backing is asked. */
export type HoldCause = "closed" | "record" | "interest" | "fence" | "event" | "no-owner" | "guard";

/** Names are nothing that is admitted: the reactor drops them itself. */
export type ObjectRound = Exclude<RoundWork, { kind: "drop-names" }>;

export type AdmissionInput =
  | { readonly kind: "operation-arrived"; readonly operation: AdmissionRequest }
  /** It ran, well or not: nothing of it touches the backing any more. */
  | { readonly kind: "operation-ran"; readonly operation: OperationId; readonly events: readonly PostEvent[] }
  /** Its filter used an older record than the data turned out to have: it is filtered again (safety C4). */
  | { readonly kind: "operation-overtaken"; readonly operation: OperationId }
  | { readonly kind: "space-ran-out"; readonly operation: OperationId }
  | { readonly kind: "operation-gone"; readonly operation: OperationId }
  | { readonly kind: "event-answered"; readonly operation: OperationId; readonly decision: Decision }
  /** Answer to load-record. `stored`: generation of what is stored where that is no record to go by; else the record's own. */
  | { readonly kind: "record-loaded"; readonly handle: Handle; readonly record: FileRecord | null; readonly stored?: number }
  /** Come along with something else; whoever waits for a load goes on waiting for it. */
  | { readonly kind: "record-seen"; readonly handle: Handle; readonly record: FileRecord | null; readonly stored?: number }
  /** The record could not be read: those who wait for it fail. */
  | { readonly kind: "record-failed"; readonly handle: Handle; readonly code: DmCode }
  /** With the record as read under the guard. */
  | { readonly kind: "guard-taken"; readonly handle: Handle; readonly record: FileRecord | null; readonly stored?: number }
  /** `isBusy`: somebody else held it for too long; write-back, whose bytes are nowhere else, goes on asking. */
  | { readonly kind: "guard-failed"; readonly handle: Handle; readonly code: DmCode; readonly isBusy: boolean }
  /** The last writable open went. */
  | { readonly kind: "guard-unneeded"; readonly handle: Handle }
  | { readonly kind: "interest-granted"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "fence-raised"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "fence-lowered"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "round-begun"; readonly round: RequestId; readonly from: string; readonly work: ObjectRound }
  | { readonly kind: "pages-flushed"; readonly handle: Handle; readonly round: RequestId; readonly from: string }
  | { readonly kind: "data-synced"; readonly handle: Handle; readonly round: RequestId; readonly from: string }
  | { readonly kind: "owned-events"; readonly events: EventSet }
  | { readonly kind: "fs-event-list"; readonly events: EventSet }
  | { readonly kind: "admission"; readonly isOpen: boolean; readonly why: string; readonly refuses?: DmCode }
  /** An open of the file was admitted and did what it had to: how is it answered? */
  | { readonly kind: "open-wanted"; readonly request: OpenRequest }
  | { readonly kind: "open-ended"; readonly handle: Handle; readonly mode: OpenMode }
  /** One that an earlier daemon of this mount had answered; and a descriptor that it had registered. */
  | { readonly kind: "open-resumed"; readonly handle: Handle; readonly mode: OpenMode }
  | { readonly kind: "backing-resumed"; readonly handle: Handle }
  /** With the record as read under the guard of the registered descriptor. */
  | { readonly kind: "backing-registered"; readonly handle: Handle; readonly record: FileRecord | null; readonly stored: number; readonly isMarkGone: boolean }
  /** With the record where it was read. */
  | { readonly kind: "backing-refused"; readonly handle: Handle; readonly record?: FileRecord | null; readonly stored?: number }
  | { readonly kind: "mark-broken"; readonly handle: Handle; readonly failure?: DmCode }
  /** Nothing on this machine has the file open or mapped but the registered descriptor. */
  | { readonly kind: "backing-unused"; readonly handle: Handle }
  /** The kernel knows the object no more and nothing has it open. */
  | { readonly kind: "object-forgotten"; readonly handle: Handle }
  /** A new incarnation begins: records, interests and fences are void, guards go back, held operations begin anew. */
  | { readonly kind: "everything-forgotten" };

export type AdmissionEffect =
  | OpenEffect
  | { readonly kind: "admit"; readonly operation: OperationId }
  | { readonly kind: "refuse"; readonly operation: OperationId; readonly code: DmCode }
  | { readonly kind: "hold"; readonly operation: OperationId; readonly cause: HoldCause; readonly detail: string; readonly handle?: Handle }
  | { readonly kind: "raise"; readonly operation: OperationId; readonly event: PreEvent | { readonly kind: "post"; readonly type: EventType } | { readonly kind: "nospace" } }
  /** All its post events are told: the user is answered. */
  | { readonly kind: "finish"; readonly operation: OperationId }
  | { readonly kind: "load-record"; readonly handle: Handle }
  | { readonly kind: "take-guard"; readonly handle: Handle }
  | { readonly kind: "drop-guard"; readonly handle: Handle }
  | { readonly kind: "want-interest"; readonly handle: Handle }
  | { readonly kind: "drop-interest"; readonly handle: Handle }
  /** `isAwaited` false: reads of the file may be held by events meanwhile, so nobody may wait for the kernel (safety C6). */
  | { readonly kind: "flush-pages"; readonly handle: Handle; readonly round: RequestId; readonly from: string; readonly isAwaited: boolean }
  | { readonly kind: "sync-data"; readonly handle: Handle; readonly round: RequestId; readonly from: string }
  | { readonly kind: "fence-drained"; readonly handle: Handle; readonly fenceNumber: number }
  | { readonly kind: "round-drained"; readonly round: RequestId; readonly from: string }
  /** An asynchronous event that nobody owns. */
  | { readonly kind: "drop-event"; readonly type: EventType };
