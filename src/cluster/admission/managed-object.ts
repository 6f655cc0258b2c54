/**
 * What admission knows of one object: its record, its fence, the guard, and what runs on it.
 *
 * A *drain* is something that waits until operations admitted earlier have ended: a fence, a round, or the return of the
 * guard. It takes the operations that run when it begins; those that come later already go by the new rules.
 *
 * Source    safety C1 (guard), C4 (2) (what an acknowledgement means), H3 (fences).
 */
import type { Handle, OperationId, RequestId } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";
import { fences, isAtLeast, type Access, type Right } from "../../dmapi/rights.js";
import { OpenModes } from "./open-modes.js";
import type { AdmissionEffect } from "./operation.js";

export interface Running {
  readonly access: Access;
  readonly hasGuard: boolean;
  /** What was stored when its filter looked: what its data has to be checked against (safety C4 (3)). */
  readonly generation: number;
}

/**
 * Steps of a drain, in order:
 *   load (record-changed)            -> drain
 *   pages -> drain -> sync (flush)   -> done
 *   pages (drop-pages)               -> done
 *   drain (fence, release)           -> done
 * What was written while its data was being synced, past the pages of another flush, is drained and synced too.
 * `done` gives the guard back where asked, then tells.
 */
export interface Drain {
  step: "load" | "pages" | "drain" | "sync";
  readonly afterPages: "drain" | "done";
  readonly hasSync: boolean;
  /** Somebody was admitted to write since its sync began. */
  mustSyncAgain?: boolean;
  readonly pending: Set<OperationId>;
  readonly givesGuardBack: boolean;
  /** Nothing may run that was admitted under less: "load" adds to `pending` what was, while it lasted. */
  readonly generation?: number;
  readonly round?: RequestId;
  readonly from?: string;
  /** Undefined: nobody is told. */
  readonly done?: AdmissionEffect;
}

export class ManagedObject {
  readonly handle: Handle;
  /** Undefined: not read yet. */
  record: FileRecord | null | undefined = undefined;
  /** Generation of what is stored, also where that is no record of ours. */
  stored = 0;
  isLoading = false;
  /** The kernel knows it no more: to be dropped when idle. */
  isForgotten = false;
  /** Somebody asked while a load was running: its answer may be too old. */
  mustLoadAgain = false;
  interest: "none" | "wanted" | "granted" = "none";
  fence: Right = "null";
  fenceNumber = 0;
  guard: "none" | "wanted" | "shared" = "none";
  readonly running = new Map<OperationId, Running>();
  /** Held until something of this object changes; in order of arrival. */
  readonly waiting = new Set<OperationId>();
  readonly drains = new Set<Drain>();
  readonly opens: OpenModes;

  constructor(handle: Handle) {
    this.handle = handle;
    this.opens = new OpenModes(handle);
  }

  get generation(): number {
    return this.record?.generation ?? 0;
  }
  /** Pages are being written back: reads and write-back go on, or the invalidation would wait for ever (safety C6). */
  get isFlushingPages(): boolean {
    for (const drain of this.drains) if (drain.step === "pages") return true;
    return false;
  }
  get isGuardWantedBack(): boolean {
    for (const drain of this.drains) if (drain.givesGuardBack) return true;
    return false;
  }
  get hasGuardedRunning(): boolean {
    for (const running of this.running.values()) if (running.hasGuard) return true;
    return false;
  }
  /** Who had the right may have stored a record and died before it told so: what was read while the fence stood is not believed later. */
  setFence({ fence, fenceNumber }: { readonly fence: Right; readonly fenceNumber: number }): void {
    if (!isAtLeast(fence, this.fence)) this.mustLoadAgain ||= this.record !== undefined || this.isLoading;
    this.fence = fence;
    this.fenceNumber = fenceNumber;
  }
  /** An operation begins that may write. */
  guardUsed(): void {
    for (const drain of this.drains) if (drain.step === "sync") drain.mustSyncAgain = true;
  }
  isFencedFor(access: Access): boolean {
    return fences(this.fence, access) && !(access === "read" && this.isFlushingPages);
  }
  /** Those that must end before what is beginning now may be acknowledged. */
  runningNow(fence?: Right): Set<OperationId> {
    const pending = new Set<OperationId>();
    for (const [operation, running] of this.running) {
      if (fence === undefined || fences(fence, running.access)) pending.add(operation);
    }
    return pending;
  }
  /** The record is known. What was admitted under an older one while it was not is waited for too. */
  beginDraining(drain: Drain): void {
    drain.step = "drain";
    for (const [operation, { generation }] of this.running) if (generation < (drain.generation ?? 0)) drain.pending.add(operation);
  }
  get isIdle(): boolean {
    return this.running.size === 0 && this.waiting.size === 0 && this.drains.size === 0 && !this.isLoading && this.opens.isIdle;
  }
}
