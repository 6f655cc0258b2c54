/**
 * Admission: whether a user's operation may touch the backing now, waits, or fails.
 *
 * An operation passes, in this order: admission open, records known, interest registered, no fence, no event due, guard
 * held; on all its objects at once or on none, holding nothing while it waits. Whatever it waited for, it is filtered
 * again from the beginning when that changes. Look-ups and the like never come here (safety C5).
 *
 * Owns      records as cached, fences, interests, which events are answered, what runs.
 * Not here  tokens and sessions (source-node), what waits until operations end (drains.ts), what a file's regions ask for (due-events.ts), doing any of it (the reactor).
 * Source    safety C1, C3-C6, H3; XDSM 3.5, 4.3, 4.4, 6.2, 6.5.
 */
import { assert } from "../../base/assert.js";
import type { DmCode } from "../../dmapi/errors.js";
import { hasEvent, type EventSet, type EventType } from "../../dmapi/events.js";
import type { Handle, OperationId } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";
import type { Decision } from "../node-contract.js";
import { dueType, mustRepeat } from "./due-events.js";
import { type Asked, Drains } from "./drains.js";
import { ManagedObject } from "./managed-object.js";
import type { OpenMode, OpenRequest } from "./open-modes.js";
import type { AdmissionEffect, AdmissionInput, AdmissionRequest, HoldCause, ObjectRound, PostEvent, PreEvent } from "./operation.js";

/**
 * Life of an operation:
 *   filtered -> admitted -> post -> (gone)     operation-ran moves to post, the last post event ends it
 *   filtered -> (gone)                         refused, or its user is gone
 *   admitted -> filtered                       overtaken by a newer record, or out of space
 */
interface Operation {
  readonly request: AdmissionRequest;
  phase: "filtered" | "admitted" | "post";
  /** How often each pre event has been raised. */
  readonly raised: number[];
  /** Generation of the record that asked for the last of them. */
  raisedUnder: number;
  /** The pre event that waits for its answer, or the post event being told. */
  next: number;
  isWaitingForAnswer: boolean;
  heldOn: ManagedObject | undefined;
  isOutOfSpace: boolean;
  readonly raisedTypes: Set<EventType>;
  post: readonly PostEvent[];
  cause: HoldCause | undefined;
}

export type WithoutOwner = "wait" | "error" | "ignore";
export interface AdmissionOptions {
  /** How often a data event that is due again after CONTINUE is raised again; then EIO. Negative: always. */
  readonly dataEventRetry: number;
  /** Of a data event that nobody takes: it waits; fails at once (EIO); or is ignored, save where bytes are not there (waits). */
  readonly withoutOwner?: WithoutOwner;
  readonly fsEventList: EventSet;
}

export class Admission {
  readonly #dataEventRetry: number;
  readonly #withoutOwner: WithoutOwner;
  readonly #objects = new Map<Handle, ManagedObject>();
  readonly #operations = new Map<OperationId, Operation>();
  readonly #drains = new Drains({
    emit: (effect) => this.#effects.push(effect), load: (object) => this.#load(object),
    changed: (object) => this.#filterWaiting(object), dropIfUnused: (object) => this.#dropIfUnused(object),
  });
  #fsEventList: EventSet;
  #owned: EventSet = 0;
  #isOpen = false;
  #closedWhy = "starting";
  #closedRefuses: DmCode | undefined;
  #effects: AdmissionEffect[] = [];

  constructor(options: AdmissionOptions) {
    this.#dataEventRetry = options.dataEventRetry;
    this.#withoutOwner = options.withoutOwner ?? "wait";
    this.#fsEventList = options.fsEventList;
  }

  /** What the reactor may ask between steps, to answer attributes and choose open modes. */
  recordOf(handle: Handle): FileRecord | null | undefined {
    return this.#objects.get(handle)?.record;
  }
  /** What the data of an admitted operation is checked against: generation of what was stored when its filter looked. */
  generationUnder(operation: OperationId, handle: Handle): number | undefined {
    return this.#objects.get(handle)?.running.get(operation)?.generation;
  }
  /** Whether somebody is told of such an event of the object; where its own list is not known, whether somebody may be. */
  mayTell(handle: Handle, type: EventType): boolean {
    const record = this.recordOf(handle);
    return hasEvent(this.#owned, type) && (record === undefined || hasEvent(record?.eventList ?? this.#fsEventList, type));
  }
  /** That it now happened need not even be asked. */
  tellsNobody(handle: Handle, types: readonly EventType[]): boolean {
    return this.#isOpen && types.every((type) => !this.mayTell(handle, type));
  }
  hasGuard(handle: Handle): boolean {
    return this.#objects.get(handle)?.guard === "shared";
  }
  get counts(): { objects: number; operations: number } {
    return { objects: this.#objects.size, operations: this.#operations.size };
  }

  step(input: AdmissionInput): AdmissionEffect[] {
    this.#effects = [];
    switch (input.kind) {
      case "operation-arrived": this.#arrive(input.operation); break;
      case "operation-ran": this.#ran(input.operation, input.events); break;
      case "operation-overtaken": this.#overtaken(input.operation); break;
      case "space-ran-out": this.#spaceRanOut(input.operation); break;
      case "operation-gone": this.#gone(input.operation); break;
      case "event-answered": this.#answered(input.operation, input.decision); break;
      case "record-loaded": this.#recordLoaded(this.#object(input.handle), input); break;
      case "record-seen": this.#recordSeen(this.#object(input.handle), input); break;
      case "record-failed": this.#recordFailed(this.#object(input.handle), input.code); break;
      case "guard-taken": this.#guardTaken(this.#object(input.handle), input); break;
      case "guard-failed": this.#guardFailed(this.#object(input.handle), input.code, input.isBusy); break;
      case "guard-unneeded": this.#guardUnneeded(input.handle); break;
      case "interest-granted": this.#interestGranted(input); break;
      case "fence-raised": this.#fenceRaised(input); break;
      case "fence-lowered": this.#fenceLowered(input); break;
      case "round-begun": this.#roundBegun(input); break;
      case "pages-flushed":
      case "data-synced": {
        const object = this.#objects.get(input.handle);
        if (object !== undefined) this.#drains.did(object, input.kind, input);
        break;
      }
      case "owned-events": this.#owned = input.events; break;
      case "fs-event-list": this.#fsEventList = input.events; break;
      case "admission": this.#admission(input); break;
      case "open-wanted": this.#openWanted(input.request); break;
      case "open-ended": this.#openEnded(input); break;
      case "open-resumed": this.#object(input.handle).opens.resumed(input.mode); break;
      case "backing-resumed": this.#object(input.handle).opens.backingResumed(this.#effects); break;
      case "backing-registered": this.#backingRegistered(this.#object(input.handle), input); break;
      case "backing-refused": this.#backingRefused(this.#object(input.handle), input); break;
      case "mark-broken": this.#markBroken(this.#object(input.handle), input.failure); break;
      case "backing-unused": this.#object(input.handle).opens.unused(this.#effects); this.#dropIfUnused(this.#object(input.handle)); break;
      case "object-forgotten": this.#objectForgotten(input.handle); break;
      case "everything-forgotten": this.#everythingForgotten(); break;
    }
    return this.#effects;
  }

  // Operations.

  #arrive(request: AdmissionRequest): void {
    assert(!this.#operations.has(request.id), "an operation arrives once");
    const operation: Operation = {
      request, phase: "filtered", raised: request.events.map(() => 0), raisedUnder: 0, next: 0, isWaitingForAnswer: false, heldOn: undefined, isOutOfSpace: false,
      raisedTypes: new Set(), post: [], cause: undefined,
    };
    this.#operations.set(request.id, operation);
    for (const use of request.uses) this.#object(use.handle).isForgotten = false;
    this.#filter(operation);
  }

  /** From the beginning; ends in admit, refuse, or a hold. */
  #filter(operation: Operation): void {
    assert(operation.phase === "filtered" && !operation.isWaitingForAnswer, "only what waits for no answer is filtered");
    const { uses, isWriteback } = operation.request;
    if (!this.#isOpen && !isWriteback) {
      return this.#closedRefuses === undefined ? this.#hold(operation, "closed", this.#closedWhy) : this.#refuse(operation, this.#closedRefuses);
    }
    if (!this.#recordsKnown(operation, uses.map((use) => use.handle))) return;
    if (!isWriteback) {
      for (const use of uses) {
        const object = this.#object(use.handle);
        if (object.record !== null && object.interest !== "granted") return this.#wantInterest(operation, object);
        if (object.isFencedFor(use.access) && !operation.request.passesFences) return this.#hold(operation, "fence", `right ${object.fence}`, object);
      }
    }
    if (!this.#eventsPassed(operation) || !this.#guardsHeld(operation)) return;
    operation.phase = "admitted";
    operation.cause = undefined;
    for (const use of uses) {
      const object = this.#object(use.handle);
      object.running.set(operation.request.id, { access: use.access, hasGuard: use.needsGuard, generation: object.stored });
      if (use.needsGuard) object.guardUsed();
    }
    this.#effects.push({ kind: "admit", operation: operation.request.id });
  }

  #recordsKnown(operation: Operation, handles: readonly Handle[]): boolean {
    for (const handle of handles) {
      const object = this.#object(handle);
      if (object.record !== undefined && !object.mustLoadAgain && !object.isLoading) continue;
      this.#load(object);
      this.#hold(operation, "record", "reading the record", object);
      return false;
    }
    return true;
  }

  #wantInterest(operation: Operation, object: ManagedObject): void {
    if (object.interest === "none") {
      object.interest = "wanted";
      this.#effects.push({ kind: "want-interest", handle: object.handle });
    }
    this.#hold(operation, "interest", "asking the rights server of the object", object);
  }

  /** Raises what is due and not answered yet; false when the operation now waits or failed. */
  #eventsPassed(operation: Operation): boolean {
    for (const [index, event] of operation.request.events.entries()) {
      const raised = operation.raised[index]!;
      if (event.kind === "listed" && (raised > 0 || !this.#recordsKnown(operation, event.lists))) {
        if (raised > 0) continue;
        return false;
      }
      const type = this.#dueType(event, operation.request.isWriteback);
      if (type === undefined || (raised > 0 && !mustRepeat(event.kind === "listed" ? undefined : this.#object(event.handle).record, event, operation.raisedUnder))) continue;
      const isOwned = hasEvent(this.#owned, type);
      if (!isOwned && event.kind !== "listed" && this.#isIgnored(event.handle)) continue;
      if ((!isOwned && (event.kind === "listed" || this.#withoutOwner === "error")) || (raised > this.#dataEventRetry && this.#dataEventRetry >= 0)) {
        this.#refuse(operation, "EIO");
        return false;
      }
      operation.raised[index] = raised + 1;
      if (event.kind !== "listed") operation.raisedUnder = this.#object(event.handle).generation;
      operation.next = index;
      this.#raise(operation, event.kind === "data" && event.type !== type ? { ...event, type: type as "read" } : event, type, isOwned);
      return false;
    }
    return true;
  }

  /** Never a read of a hole: it would give zeros. */
  #isIgnored(handle: Handle): boolean {
    return this.#withoutOwner === "ignore" && this.#object(handle).record?.residency === "resident";
  }

  #dueType(event: PreEvent, isWriteback: boolean): EventType | undefined {
    if (event.kind === "listed") return this.#isListed(event.type, event.lists) ? event.type : undefined;
    return dueType(this.#object(event.handle).record, event, isWriteback);
  }

  #isListed(type: EventType, lists: readonly Handle[]): boolean {
    if (lists.length === 0) return hasEvent(this.#fsEventList, type);
    return lists.some((handle) => hasEvent(this.#object(handle).record?.eventList ?? this.#fsEventList, type));
  }

  #raise(operation: Operation, event: PreEvent | { kind: "post"; type: EventType } | { kind: "nospace" }, type: EventType, isOwned: boolean): void {
    operation.raisedTypes.add(type);
    operation.isWaitingForAnswer = true;
    this.#effects.push({ kind: "raise", operation: operation.request.id, event });
    this.#hold(operation, isOwned ? "event" : "no-owner", isOwned ? type : `nobody takes ${type} events`);
  }

  #guardsHeld(operation: Operation): boolean {
    const { uses, isWriteback, passesFences } = operation.request;
    for (const use of uses) {
      if (!use.needsGuard) continue;
      const object = this.#object(use.handle);
      const mayUse = !object.isGuardWantedBack || ((isWriteback || passesFences) && object.isFlushingPages);
      if (object.guard === "shared" && mayUse) continue;
      if (object.guard === "none" && mayUse) {
        object.guard = "wanted";
        this.#effects.push({ kind: "take-guard", handle: object.handle });
      }
      this.#hold(operation, "guard", mayUse ? "taking the guard" : "the guard is being given back", object);
      return false;
    }
    return true;
  }

  #hold(operation: Operation, cause: HoldCause, detail: string, object?: ManagedObject): void {
    const { id } = operation.request;
    object?.waiting.add(id);
    operation.heldOn = object;
    operation.cause = cause;
    this.#effects.push(object === undefined ? { kind: "hold", operation: id, cause, detail } : { kind: "hold", operation: id, cause, detail, handle: object.handle });
  }

  #refuse(operation: Operation, code: DmCode): void {
    this.#operations.delete(operation.request.id);
    this.#effects.push({ kind: "refuse", operation: operation.request.id, code });
  }

  #ran(id: OperationId, events: readonly PostEvent[]): void {
    const operation = this.#operations.get(id);
    assert(operation?.phase === "admitted", "only an admitted operation runs");
    operation.phase = "post";
    operation.post = events;
    operation.next = 0;
    this.#leave(operation);
    this.#tellPost(operation);
  }

  #tellPost(operation: Operation): void {
    for (; operation.next < operation.post.length; operation.next++) {
      const event = operation.post[operation.next]!;
      if (event.onlyAfter !== undefined && !operation.raisedTypes.has(event.onlyAfter)) continue;
      if (!this.#recordsKnown(operation, event.lists)) return;
      if (!this.#isListed(event.type, event.lists)) continue;
      if (!hasEvent(this.#owned, event.type)) {
        this.#effects.push({ kind: "drop-event", type: event.type });
        continue;
      }
      return this.#raise(operation, { kind: "post", type: event.type }, event.type, true);
    }
    this.#operations.delete(operation.request.id);
    this.#effects.push({ kind: "finish", operation: operation.request.id });
  }

  /** It runs no more: whoever waited for it may go on. */
  #leave(operation: Operation): void {
    for (const use of operation.request.uses) {
      const object = this.#object(use.handle);
      object.running.delete(operation.request.id);
      this.#drains.advance(object, operation.request.id);
      if (object.isForgotten) this.#dropIfUnused(object);
    }
  }

  #overtaken(id: OperationId): void {
    const operation = this.#operations.get(id);
    assert(operation?.phase === "admitted", "only an admitted operation is overtaken");
    operation.phase = "filtered";
    this.#leave(operation);
    operation.request.events.forEach((event, index) => {
      if (event.kind !== "listed") operation.raised[index] = 0;
    });
    for (const use of operation.request.uses) this.#object(use.handle).mustLoadAgain = true;
    this.#filter(operation);
  }

  #spaceRanOut(id: OperationId): void {
    const operation = this.#operations.get(id);
    assert(operation?.phase === "admitted", "only an admitted operation runs out of space");
    operation.phase = "filtered";
    this.#leave(operation);
    if (!this.#isSpaceManaged) return this.#refuse(operation, "ENOSPC");
    operation.isOutOfSpace = true;
    this.#raise(operation, { kind: "nospace" }, "nospace", true);
  }

  #gone(id: OperationId): void {
    const operation = this.#operations.get(id);
    if (operation === undefined || operation.phase === "admitted") return;
    this.#operations.delete(id);
    operation.heldOn?.waiting.delete(id);
  }

  /** An answer to what is no more asked is dropped: it came late. */
  #answered(id: OperationId, decision: Decision): void {
    const operation = this.#operations.get(id);
    if (operation === undefined || !operation.isWaitingForAnswer) return;
    operation.isWaitingForAnswer = false;
    if (operation.phase === "post") {
      operation.next++;
      return this.#tellPost(operation);
    }
    if (decision.kind === "abort") return this.#refuse(operation, decision.code);
    const event = operation.request.events[operation.next];
    if (operation.isOutOfSpace) operation.isOutOfSpace = false;
    else if (event !== undefined && event.kind !== "listed") {
      this.#object(event.handle).mustLoadAgain = true; // the re-check goes by the authoritative record
    }
    this.#filter(operation);
  }

  #filterWaiting(object: ManagedObject): void {
    if (object.waiting.size === 0) return;
    const waiting = [...object.waiting];
    object.waiting.clear();
    for (const id of waiting) this.#filterAgain(id);
  }
  #filterThose(cause: HoldCause): void {
    for (const [id, operation] of [...this.#operations]) if (operation.cause === cause) this.#filterAgain(id);
  }
  #filterAgain(id: OperationId): void {
    const operation = this.#operations.get(id);
    if (operation === undefined || operation.isWaitingForAnswer) return;
    if (operation.phase === "filtered") this.#filter(operation);
    else if (operation.phase === "post") this.#tellPost(operation);
  }

  // Records and the guard.

  #object(handle: Handle): ManagedObject {
    let object = this.#objects.get(handle);
    if (object === undefined) {
      object = new ManagedObject(handle);
      this.#objects.set(handle, object);
    }
    return object;
  }

  #load(object: ManagedObject): void {
    if (object.isLoading) return;
    object.isLoading = true;
    object.mustLoadAgain = false;
    this.#effects.push({ kind: "load-record", handle: object.handle });
  }

  #recordLoaded(object: ManagedObject, found: FoundRecord): void {
    object.isLoading = false;
    this.#setRecord(object, found);
    if (object.mustLoadAgain) return this.#load(object);
    this.#drains.advance(object);
    this.#filterWaiting(object);
    if (object.isForgotten) this.#dropIfUnused(object);
  }
  #recordSeen(object: ManagedObject, found: FoundRecord): void {
    this.#setRecord(object, found);
    this.#filterWaiting(object);
  }

  /** A cache entry never goes back in generation (safety C4). */
  #setRecord(object: ManagedObject, { record, stored = record?.generation ?? 0 }: FoundRecord): void {
    if (object.record !== undefined && (record?.generation ?? 0) < object.generation) return;
    object.record = record;
    object.stored = stored;
  }

  #recordFailed(object: ManagedObject, code: DmCode): void {
    object.isLoading = false;
    object.mustLoadAgain = false;
    const waiting = [...object.waiting];
    object.waiting.clear();
    for (const id of waiting) {
      const operation = this.#operations.get(id);
      if (operation?.phase === "filtered" && !operation.isWaitingForAnswer) this.#refuse(operation, code);
      else if (operation?.phase === "post") this.#finishWithoutPost(operation);
    }
    for (const drain of object.drains) if (drain.step === "load") object.beginDraining(drain); // an object that is gone has nothing to load
    this.#drains.advance(object);
    this.#dropIfUnused(object);
  }
  #finishWithoutPost(operation: Operation): void {
    operation.next = operation.post.length;
    this.#tellPost(operation);
  }

  #guardTaken(object: ManagedObject, found: FoundRecord): void {
    if (object.guard !== "wanted") return; // taken back meanwhile
    object.guard = "shared";
    object.mustLoadAgain = false;
    this.#setRecord(object, found);
    this.#drains.advance(object);
    this.#filterWaiting(object);
  }

  #guardFailed(object: ManagedObject, code: DmCode, isBusy: boolean): void {
    object.guard = "none";
    const waiting = [...object.waiting];
    for (const id of waiting) {
      const operation = this.#operations.get(id);
      if (operation?.cause !== "guard" || operation.phase !== "filtered" || (isBusy && operation.request.isWriteback)) continue;
      object.waiting.delete(id);
      this.#refuse(operation, code);
    }
    this.#filterWaiting(object);
  }

  #guardUnneeded(handle: Handle): void {
    const object = this.#objects.get(handle);
    if (object === undefined || object.guard !== "shared") return;
    this.#drains.giveBack(object);
  }

  // Opens, and the descriptors that the kernel reads and writes by itself (open-modes.ts).

  #openWanted(request: OpenRequest): void {
    const object = this.#object(request.handle);
    object.isForgotten = false;
    const isQuiet = object.fence === "null" && object.drains.size === 0 && !object.isLoading && !object.mustLoadAgain;
    const mayPassThrough = request.mayPassThrough && !(request.isWritable && this.#isSpaceManaged);
    const { open, handle, isWritable, isExact } = request;
    object.opens.wanted({ open, handle, isWritable, isExact, mayPassThrough }, object.record, isQuiet, this.#effects);
  }
  /** Somebody makes room where there is none: then writes that find none must be seen. */
  get #isSpaceManaged(): boolean {
    return hasEvent(this.#fsEventList, "nospace") && hasEvent(this.#owned, "nospace");
  }
  #openEnded({ handle, mode }: { handle: Handle; mode: OpenMode }): void {
    const object = this.#object(handle);
    object.opens.ended(mode, this.#effects);
    this.#dropIfUnused(object);
  }
  #backingRegistered(object: ManagedObject, found: { record: FileRecord | null; stored: number; isMarkGone: boolean }): void {
    this.#setRecord(object, found);
    object.opens.registered(found.record, found.isMarkGone, this.#effects);
    this.#filterWaiting(object);
  }
  #backingRefused(object: ManagedObject, { record, stored }: { record?: FileRecord | null; stored?: number }): void {
    if (record !== undefined) this.#setRecord(object, { record, ...(stored === undefined ? {} : { stored }) });
    object.opens.refused(object.record, this.#effects);
    this.#filterWaiting(object);
  }
  #markBroken(object: ManagedObject, failure: DmCode | undefined): void {
    object.opens.markBroken(object.record, failure, this.#effects);
  }

  // Fences, interests, rounds: what waits for operations to end.

  #interestGranted(input: { handle: Handle; fence: AdmissionFence["fence"]; fenceNumber: number }): void {
    const object = this.#object(input.handle);
    if (object.interest === "wanted") object.interest = "granted";
    if (input.fenceNumber >= object.fenceNumber) object.setFence(input);
    this.#filterWaiting(object);
    this.#dropIfUnused(object);
  }

  #fenceRaised(input: AdmissionFence): void {
    const object = this.#object(input.handle);
    if (input.fenceNumber < object.fenceNumber) return;
    object.setFence(input);
    object.opens.askedFor(this.#effects);
    this.#drains.fence(object, input.fence, input.fenceNumber);
  }

  #fenceLowered(input: AdmissionFence): void {
    const object = this.#object(input.handle);
    if (input.fenceNumber < object.fenceNumber) return;
    object.setFence(input);
    this.#filterWaiting(object);
    this.#dropIfUnused(object);
  }

  #roundBegun({ work, ...asked }: Asked & { readonly work: ObjectRound }): void {
    if (work.kind === "fs-event-list-changed") this.#fsEventList = work.events;
    else if (work.kind === "record-changed") {
      const object = this.#objects.get(work.handle);
      object?.opens.askedFor(this.#effects);
      if (object !== undefined) return this.#drains.recordChanged(object, work.generation, asked);
    } else {
      const object = this.#object(work.handle);
      if (work.kind === "flush") object.opens.askedFor(this.#effects);
      return this.#drains.pages(object, work.kind, asked);
    }
    this.#effects.push({ kind: "round-drained", round: asked.round, from: asked.from });
  }

  #admission({ isOpen, why, refuses }: Extract<AdmissionInput, { kind: "admission" }>): void {
    // Of what changed while this node was no member nobody told it: what was read meanwhile is read again (safety C4).
    if (isOpen && !this.#isOpen) for (const object of this.#objects.values()) object.mustLoadAgain ||= object.record !== undefined || object.isLoading;
    this.#isOpen = isOpen;
    this.#closedWhy = why;
    this.#closedRefuses = refuses;
    if (isOpen || refuses !== undefined) this.#filterThose("closed");
  }

  /** The kernel knows it no more, and the reactor has closed its descriptors of it. */
  #objectForgotten(handle: Handle): void {
    const object = this.#objects.get(handle);
    if (object === undefined) return;
    object.isForgotten = true;
    object.opens.forgotten();
    if (object.guard === "shared" && !object.hasGuardedRunning) {
      object.guard = "none";
      this.#effects.push({ kind: "drop-guard", handle });
    }
    this.#dropIfUnused(object);
  }
  /** Of objects that the kernel does not know nothing is kept but fences: whoever looks one up again must still meet those. */
  #dropIfUnused(object: ManagedObject): void {
    if (!object.isIdle) return;
    if (object.isForgotten) {
      if (object.interest !== "none") this.#effects.push({ kind: "drop-interest", handle: object.handle });
      object.guard = "none";
      object.interest = "none";
      object.record = undefined;
    }
    const isKnown = object.record !== undefined || object.interest !== "none" || object.guard !== "none";
    if (!isKnown && object.fence === "null") this.#objects.delete(object.handle);
  }

  #everythingForgotten(): void {
    for (const object of this.#objects.values()) {
      object.record = undefined;
      object.mustLoadAgain = object.isLoading;
      object.interest = "none";
      object.fence = "null";
      object.fenceNumber = 0;
      object.drains.clear();
      object.waiting.clear();
      if (object.guard !== "none") this.#drains.giveBack(object);
    }
    for (const operation of [...this.#operations.values()]) {
      // An event that is out is offered anew by the source node, under a new token. Were it raised again here, an answer to
      // the first could be on its way and let the operation go, while an application decides about the second.
      if (operation.phase === "admitted" || operation.isWaitingForAnswer) continue;
      operation.raised.fill(0);
      this.#filterAgain(operation.request.id);
    }
  }
}

interface FoundRecord {
  readonly record: FileRecord | null;
  readonly stored?: number;
}
interface AdmissionFence {
  readonly handle: Handle;
  readonly fence: ManagedObject["fence"];
  readonly fenceNumber: number;
}
