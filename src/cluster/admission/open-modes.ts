/**
 * How the opens of one file on one node are answered: read and written through us exactly ("direct"), through the kernel's
 * pages ("cached"), or by the kernel alone on a backing file that we registered ("passthrough").
 *
 * The kernel refuses mixtures, so the mode is the file's: who comes first decides, and the file passes through only while
 * no other open of any kind exists. What passes through is seen by nobody here, and goes on after this daemon has died, so
 * it is bound by the kernel alone: the registered descriptor carries the node's shared guard, is registered after the
 * record was read under it, and is let go only when the kernel says that nothing uses the file any more. The first open
 * that may write removes the mark before it is answered.
 *
 * Owns      counts of opens, who waits for a descriptor to be registered, whether the mark is gone.
 * Not here  the order of locking, reading and registering (passthrough-steps.ts); descriptors (the reactor).
 * Source    safety C2, C3 step 1, V1-V3; decision 0009.
 */
import { assert } from "../../base/assert.js";
import type { DmCode } from "../../dmapi/errors.js";
import type { Handle } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";

export type OpenMode = "direct" | "cached" | "passthrough";
export interface OpenRequest {
  /** Of the reactor, never used twice. */
  readonly open: number;
  readonly handle: Handle;
  readonly isWritable: boolean;
  /** Where it does not pass through, its ranges must reach us as they are. */
  readonly isExact: boolean;
  /** This mount, and this file as far as is known without its record. */
  readonly mayPassThrough: boolean;
}
export type OpenEffect =
  | { readonly kind: "open-as"; readonly open: number; readonly mode: OpenMode }
  | { readonly kind: "open-refused"; readonly open: number; readonly code: DmCode }
  /** The steps of passthrough-steps.ts; answered by backing-registered or backing-refused. */
  | { readonly kind: "register-backing"; readonly handle: Handle; readonly isWritable: boolean }
  /** On the registered descriptor; answered by mark-broken. */
  | { readonly kind: "break-mark"; readonly handle: Handle }
  /** No open passes through any more: whether a mapping does, now (`isAsked`: somebody wants the guard) and from time to time; backing-unused when none does. */
  | { readonly kind: "test-backing"; readonly handle: Handle; readonly isAsked: boolean }
  | { readonly kind: "close-backing"; readonly handle: Handle };

/** Where effects go, in order. */
export interface OpenEffects {
  push(effect: OpenEffect): unknown;
}

/** Undefined: nobody has looked. */
type Cached = FileRecord | null | undefined;

/** Nobody has, or is about to have, anything to do with reads and writes of the file. */
export function mayPassThrough(record: FileRecord | null): boolean {
  return record === null || (record.regions.length === 0 && record.residency === "resident" && record.eventList === undefined);
}

/**
 * Life of the registered descriptor:
 *   none -> wanted -> registered -> none     backing-refused leads from wanted back to none
 * It is registered while opens pass through, and after the last of them until the kernel has no use for it.
 */
export class OpenModes {
  readonly #handle: Handle;
  #backing: "none" | "wanted" | "registered" = "none";
  #isMarkGone = false;
  #isBreakingMark = false;
  #passing = 0;
  #others = 0;
  #waiting: OpenRequest[] = [];

  constructor(handle: Handle) {
    this.#handle = handle;
  }

  get isIdle(): boolean {
    return this.#backing === "none" && this.#passing + this.#others + this.#waiting.length === 0;
  }
  /** @param isQuiet nobody asks for the guard, and no right stands on the file: only then does it begin to pass through. */
  wanted(request: OpenRequest, record: Cached, isQuiet: boolean, effects: OpenEffects): void {
    if (this.#backing === "wanted") {
      this.#waiting.push(request);
      return;
    }
    if (this.#backing === "registered" && (this.#passing > 0 || (this.#others === 0 && request.mayPassThrough && isQuiet))) {
      this.#waiting.push(request);
      return this.#answerWaiting(record, effects);
    }
    const isFirst = this.#backing === "none" && this.#others === 0;
    if (!isFirst || !request.mayPassThrough || !isQuiet || (record !== undefined && !mayPassThrough(record))) return this.#answerOtherwise(request, record, effects);
    this.#waiting.push(request);
    this.#backing = "wanted";
    effects.push({ kind: "register-backing", handle: this.#handle, isWritable: request.isWritable });
  }

  /** The guard is held, the record was read under it, and the kernel has the descriptor. `isMarkGone`: it was removed before. */
  registered(record: FileRecord | null, isMarkGone: boolean, effects: OpenEffects): void {
    assert(this.#backing === "wanted", "a descriptor is registered once");
    this.#backing = "registered";
    this.#isMarkGone = isMarkGone;
    this.#answerWaiting(record, effects);
  }
  /** An earlier daemon answered it, and its user has it open. */
  resumed(mode: OpenMode): void {
    if (mode === "passthrough") this.#passing++;
    else this.#others++;
  }
  /** An earlier daemon registered a descriptor; the kernel has it, with the guard on it. Whether the mark had to go then is not known: the next open that may write removes it. */
  backingResumed(effects: OpenEffects): void {
    assert(this.#backing === "none", "a descriptor is registered once");
    this.#backing = "registered";
    if (this.#isUnopened) effects.push({ kind: "test-backing", handle: this.#handle, isAsked: false });
  }
  /** Somebody moves the file just now, its record says no, or the kernel does. */
  refused(record: Cached, effects: OpenEffects): void {
    assert(this.#backing === "wanted", "it was asked for");
    this.#backing = "none";
    for (const request of this.#waiting.splice(0)) this.#answerOtherwise(request, record, effects);
  }
  markBroken(record: Cached, failure: DmCode | undefined, effects: OpenEffects): void {
    this.#isBreakingMark = false;
    if (failure === undefined) this.#isMarkGone = true;
    else {
      const waiting = this.#waiting;
      this.#waiting = waiting.filter((request) => !request.isWritable);
      for (const { open, isWritable } of waiting) if (isWritable) effects.push({ kind: "open-refused", open, code: failure });
    }
    this.#answerWaiting(record, effects);
  }

  ended(mode: OpenMode, effects: OpenEffects): void {
    if (mode !== "passthrough") {
      this.#others--;
      assert(this.#others >= 0, "each open ends once");
      return;
    }
    this.#passing--;
    assert(this.#passing >= 0, "each open ends once");
    if (this.#isUnopened) effects.push({ kind: "test-backing", handle: this.#handle, isAsked: false });
  }
  /** Somebody wants the guard. */
  askedFor(effects: OpenEffects): void {
    if (this.#backing === "registered" && this.#isUnopened) effects.push({ kind: "test-backing", handle: this.#handle, isAsked: true });
  }
  /** The kernel uses it no more. What has been opened meanwhile keeps it. */
  unused(effects: OpenEffects): void {
    if (this.#backing !== "registered" || !this.#isUnopened) return;
    this.#backing = "none";
    effects.push({ kind: "close-backing", handle: this.#handle });
  }
  /** The kernel knows the file no more, and the reactor has closed what it had of it. */
  forgotten(): void {
    if (this.#isUnopened) this.#backing = "none";
  }

  get #isUnopened(): boolean {
    return this.#passing === 0 && this.#waiting.length === 0;
  }

  #answerWaiting(record: Cached, effects: OpenEffects): void {
    const waiting = this.#waiting.splice(0);
    for (const request of waiting) {
      if (request.isWritable && !this.#isMarkGone) {
        this.#waiting.push(request);
        if (!this.#isBreakingMark) effects.push({ kind: "break-mark", handle: this.#handle });
        this.#isBreakingMark = true;
      } else if (this.#others > 0) this.#answerOtherwise(request, record, effects);
      else {
        this.#passing++;
        effects.push({ kind: "open-as", open: request.open, mode: "passthrough" });
      }
    }
  }
  #answerOtherwise(request: OpenRequest, record: Cached, effects: OpenEffects): void {
    this.#others++;
    effects.push({ kind: "open-as", open: request.open, mode: request.isExact || isManaged(record) ? "direct" : "cached" });
  }
}

/** An inode whose ranges matter to somebody is read and written exactly. */
function isManaged(record: Cached): boolean {
  return record !== null && record !== undefined && (record.regions.length > 0 || record.residency === "partial");
}
