/**
 * What waits until operations admitted earlier have ended: fences, rounds, and the return of the guard.
 *
 * Owns      the steps of each drain (managed-object.ts has them), and what is said when one is done.
 * Not here  which operations run, records and their loading, whose operations go on afterwards (admission.ts).
 * Source    safety C1 (guard), C4 (2), C6, H3.
 */
import { assert } from "../../base/assert.js";
import type { OperationId } from "../../dmapi/ids.js";
import { regionFlags } from "../../dmapi/regions.js";
import type { Right } from "../../dmapi/rights.js";
import type { Drain, ManagedObject } from "./managed-object.js";
import type { AdmissionEffect, ObjectRound } from "./operation.js";

/** A round of another node; done when `round-drained` says so. */
export interface Asked {
  readonly round: Drain["round"] & {};
  readonly from: string;
}
export interface DrainPorts {
  readonly emit: (effect: AdmissionEffect) => void;
  readonly load: (object: ManagedObject) => void;
  /** What waits for the object is looked at again. */
  readonly changed: (object: ManagedObject) => void;
  readonly dropIfUnused: (object: ManagedObject) => void;
}

export class Drains {
  readonly #ports: DrainPorts;

  constructor(ports: DrainPorts) {
    this.#ports = ports;
  }

  /** Those that the fence keeps out have ended, and with an exclusive one the guard is back. */
  fence(object: ManagedObject, fence: Right, fenceNumber: number): void {
    this.#begin(object, {
      step: "drain", afterPages: "done", hasSync: false, pending: object.runningNow(fence), givesGuardBack: fence === "exclusive",
      done: { kind: "fence-drained", handle: object.handle, fenceNumber },
    });
  }
  /** The guard goes back when nothing runs under it. */
  giveBack(object: ManagedObject): void {
    this.#begin(object, { step: "drain", afterPages: "done", hasSync: false, pending: new Set(), givesGuardBack: true });
  }
  /** Nothing runs any more that was admitted under an older record. */
  recordChanged(object: ManagedObject, generation: number, { round, from }: Asked): void {
    // Also while a load runs that may have looked before the change: its answer is not to be believed.
    const mustLoad = (object.record !== undefined || object.isLoading) && object.generation < generation;
    if (mustLoad) object.mustLoadAgain = true;
    object.drains.add({
      step: mustLoad || object.isLoading ? "load" : "drain", afterPages: "drain", hasSync: false, pending: object.runningNow(), givesGuardBack: true,
      generation, round, from, done: { kind: "round-drained", round, from },
    });
    if (mustLoad) this.#ports.load(object);
    this.advance(object);
  }
  /** Pages are written back or dropped; after the former writers end too, their data is synced, and the guard goes back. */
  pages(object: ManagedObject, kind: Exclude<ObjectRound["kind"], "record-changed" | "fs-event-list-changed">, { round, from }: Asked): void {
    const isFlush = kind === "flush";
    object.drains.add({
      step: "pages", afterPages: isFlush ? "drain" : "done", hasSync: isFlush, pending: new Set(), givesGuardBack: isFlush, round, from, done: { kind: "round-drained", round, from },
    });
    this.#ports.changed(object); // reads that a fence holds are served first, and go on being served, while pages are written back
    const mayHoldReads = object.record === undefined || object.record?.regions.some((region) => (region.flags & regionFlags.read) !== 0) === true;
    this.#ports.emit({ kind: "flush-pages", handle: object.handle, round, from, isAwaited: isFlush || !mayHoldReads });
  }

  /** The reactor has done a step of such a round. */
  did(object: ManagedObject, step: "pages-flushed" | "data-synced", { round, from }: Asked): void {
    for (const drain of object.drains) {
      if (drain.round !== round || drain.from !== from) continue;
      if (step === "data-synced" && drain.step === "sync") this.#synced(object, drain);
      else if (step === "pages-flushed" && drain.step === "pages") {
        drain.step = "drain";
        if (drain.afterPages === "done") this.#finish(object, drain);
        else for (const id of object.runningNow()) drain.pending.add(id);
      }
    }
    this.advance(object);
  }
  #synced(object: ManagedObject, drain: Drain): void {
    if (drain.mustSyncAgain !== true) return this.#finish(object, drain);
    drain.mustSyncAgain = false;
    drain.step = "drain";
  }

  /** Something of the object has changed. @param ended an operation on it. */
  advance(object: ManagedObject, ended?: OperationId): void {
    if (object.drains.size === 0) return;
    for (const drain of [...object.drains]) {
      if (ended !== undefined) drain.pending.delete(ended);
      if (drain.step === "load" && !object.isLoading && !object.mustLoadAgain) object.beginDraining(drain);
      if (drain.step !== "drain" || drain.pending.size > 0) continue;
      if (drain.givesGuardBack && object.hasGuardedRunning) continue;
      if (drain.hasSync) {
        drain.step = "sync";
        this.#ports.emit({ kind: "sync-data", handle: object.handle, round: drain.round!, from: drain.from! });
      } else this.#finish(object, drain);
    }
  }
  #begin(object: ManagedObject, drain: Drain): void {
    object.drains.add(drain);
    this.advance(object);
  }
  #finish(object: ManagedObject, drain: Drain): void {
    if (drain.givesGuardBack && object.guard !== "none") {
      assert(!object.hasGuardedRunning, "the guard outlives every write under it");
      object.guard = "none";
      this.#ports.emit({ kind: "drop-guard", handle: object.handle });
    }
    object.drains.delete(drain);
    if (drain.done !== undefined) this.#ports.emit(drain.done);
    this.#ports.changed(object);
    this.#ports.dropIfUnused(object);
  }
}
