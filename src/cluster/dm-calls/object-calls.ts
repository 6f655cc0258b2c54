/**
 * Calls on objects: the volume does them, here is who may, and who must hear of it before the caller does.
 *
 * Adding regions, or giving an object its first record, is answered when every member has drained (safety C4): from then
 * on no node works by what was before. Clearing waits for nobody: a region left over raises one needless event (C6). Which
 * of the two a change is says the volume, which knows what was there before.
 *
 * Source    XDSM C429 2.7-2.11; safety C3, C4, C6, H3.
 */
import type { ArgsOf } from "../../dmapi/calls.js";
import { type EventType, eventListEvents, eventNumbers, hasEvent } from "../../dmapi/events.js";
import { parseHandle } from "../../dmapi/handle.js";
import type { DmFailure } from "../../dmapi/errors.js";
import type { FsName, Handle } from "../../dmapi/ids.js";
import type { RoundWork } from "../messages.js";
import type { VolumeResult } from "../node-contract.js";
import type { Rounds } from "../rounds.js";
import type { Surroundings } from "../surroundings.js";
import type { CheckedCall, HandledCall } from "./arguments.js";
import type { Call, CallDesk } from "./call-desk.js";
import type { Lease, ObjectCallRules, ObjectGate } from "./object-gate.js";
import { EVENT_MAX } from "./session-calls.js";

interface Guard {
  readonly fs: FsName;
  readonly handle: Handle;
  readonly client: number;
  /** A resident file may be written by its descriptor, with the times put back: pages that nodes have are to go (safety H7). */
  readonly mayWrite: boolean;
}
/** Between two tries for a guard that somebody holds. */
const GUARD_RETRY_MS = 25;
/** After so many of them the members are asked again to give theirs back. */
const TRIES_PER_ROUND = 20;
/** That of an object which had no record before. */
const FIRST_GENERATION = 1;
/** A mark is tried for so often: a late writeback may take the guard between the flush and the mark. */
const MARK_TRIES = 4;

const looks = { token: "shared", own: "null" } as const;
const reads = { token: "shared", own: "shared" } as const;
const changes = { token: "exclusive", own: "exclusive" } as const;
const free = { token: "null", own: "null" } as const;

type ObjectCall = Extract<CheckedCall, { args: { handle: Handle; session: unknown } }>;
type ObjectCallName = Exclude<ObjectCall["name"], `right.${string}`>;
type Performed = Extract<CheckedCall, { name: ObjectCallName }>;

const rulesOf: Readonly<Record<ObjectCallName, ObjectCallRules>> = {
  "eventlist.set": { ...changes, takesFsHandle: true },
  "eventlist.get": { ...looks, takesFsHandle: true },
  "region.set": changes,
  "region.get": looks,
  "attribute.set": changes,
  "attribute.get": looks,
  "attribute.list": looks,
  "attribute.remove": changes,
  "fileattr.get": looks,
  "fileattr.set": changes,
  "allocation.get": looks,
  "hole.probe": { ...looks, isAnywhere: true },
  "hole.punch": { ...changes, isAnywhere: true },
  "object.sync": { token: "exclusive", own: "null" },
  "object.flush": free,
  "invisible.open": { ...looks, isAnywhere: true },
  "invisible.read": { ...reads, isAnywhere: true },
  "invisible.write": { ...changes, isAnywhere: true },
  "record.get": looks,
  "record.change": changes,
  "mark.create": changes,
  "mark.check": looks,
  "mark.remove": free,
};

export class ObjectCalls {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  readonly #gate: ObjectGate;
  readonly #rounds: Rounds;
  /** Guards given out by number, and whose connection keeps them. */
  readonly #guards = new Map<number, Guard>();
  /** Changes made whose round has failed: the region stands, needless events at worst, and what relies on it asks again. */
  readonly #undrained = new Map<Handle, Extract<RoundWork, { kind: "record-changed" }>>();
  /** Objects whose record a job is changing, with what waits for its end. */
  readonly #changing = new Map<Handle, (() => void)[]>();

  constructor(parts: { here: Surroundings; desk: CallDesk; gate: ObjectGate; rounds: Rounds }) {
    this.#here = parts.here;
    this.#desk = parts.desk;
    this.#gate = parts.gate;
    this.#rounds = parts.rounds;
  }

  /** False when the call is none of these. */
  begin(call: Call, checked: CheckedCall): boolean {
    if (checked.name === "invisible.close") {
      this.#closeGuard(call, checked.args.guard);
      return true;
    }
    if (!isPerformed(checked)) return false;
    if (!this.#isEventListLegal(call, checked)) return true;
    const isExclusiveOpen = checked.name === "invisible.open" && checked.args.mode === "exclusive";
    const rules = isExclusiveOpen ? { ...changes, isAnywhere: true } : rulesOf[checked.name];
    this.#gate.pass(call, checked.args, rules, (lease) => this.#work(call, checked, lease));
    return true;
  }

  /** The daemon's edge closes its descriptors; their numbers mean nothing any more. */
  clientGone(client: number): void {
    for (const [guard, of] of [...this.#guards]) {
      if (of.client !== client) continue;
      this.#guards.delete(guard);
      this.#dropPagesAfter(of, () => undefined);
    }
  }

  /** What waited for its turn was refused, and its right is gone. What was not known everywhere is not now. */
  excluded(): void {
    for (const turns of this.#changing.values()) turns.length = 0;
    this.#changing.clear();
  }

  #work(call: Call, checked: Performed, lease: Lease): void {
    switch (checked.name) {
      case "object.flush":
        return this.#rounds.begin(lease.fs, { kind: "flush", handle: checked.args.handle }, "all", (failure) => {
          lease.end();
          if (failure === undefined) this.#desk.answer(call.call, {});
          else this.#desk.refuse(call.call, failure.code, failure.message);
        });
      case "mark.create":
        return this.#createMark(call, checked, lease, MARK_TRIES);
      case "invisible.open":
        return this.#openInvisible(call, checked, lease, this.#here.nowMs + (checked.args.waitMs ?? 0));
      case "region.set":
      case "hole.punch":
      case "record.change":
      case "attribute.set":
      case "attribute.remove":
      case "eventlist.set":
      case "fileattr.set":
        return this.#inTurn(call, checked, lease, (done) => this.#afterDrained(call, checked, lease, done));
      default:
        return this.#perform(call, checked, lease, (result) => this.#finish(call, lease, result));
    }
  }

  /** Changes of one object's record one after the other: what the next may do says what the last one was. */
  #inTurn(call: Call, checked: Performed, lease: Lease, change: (done: () => void) => void): void {
    const { handle } = checked.args;
    const behind = this.#changing.get(handle);
    const turns = behind ?? [];
    const begin = () => {
      // While it waited its caller may have gone, or its token's right.
      if (behind === undefined || (this.#desk.isOpen(call.call) && this.#mayGoOn(call, checked))) return change(goOn);
      lease.end();
      goOn();
    };
    const goOn = () => {
      const next = turns.shift();
      if (next !== undefined) next();
      else if (this.#changing.get(handle) === turns) this.#changing.delete(handle);
    };
    if (behind !== undefined) return void behind.push(begin);
    this.#changing.set(handle, turns);
    begin();
  }

  /**
   * What failed for want of an acknowledgement is not answered as done, nor built upon, without it (safety C4 (5)): regions
   * and punches wait. Nothing at all follows an object's first record that not all know of, since a second one says that
   * all do (object-gate.ts), and this node may be out by now without knowing.
   */
  #afterDrained(call: Call, checked: Performed, lease: Lease, done: () => void): void {
    const work = () => this.#perform(call, checked, lease, (result) => {
      this.#finish(call, lease, result);
      done();
    });
    const owed = this.#undrained.get(checked.args.handle);
    const isClearing = checked.name === "region.set" && checked.args.regions.length === 0;
    const reliesOnIt = checked.name === "hole.punch" || (checked.name === "region.set" && !isClearing);
    if (owed === undefined || !(reliesOnIt || owed.generation === FIRST_GENERATION)) {
      if (isClearing) this.#undrained.delete(checked.args.handle); // nothing stands any more that somebody would not know of
      return work();
    }
    this.#rounds.begin(lease.fs, owed, "all", (failure) => {
      if (failure !== undefined) {
        lease.end();
        this.#settle(call, { kind: "failed", failure });
        return done();
      }
      if (this.#undrained.get(checked.args.handle) === owed) this.#undrained.delete(checked.args.handle);
      if (this.#mayGoOn(call, checked)) return work();
      lease.end();
      done();
    });
  }

  #mayGoOn(call: Call, { name, args }: Performed): boolean {
    return this.#gate.mayGoOn(call, args, rulesOf[name]);
  }

  #perform(call: Call, { name, args }: Performed, lease: Lease, done: (result: VolumeResult) => void): void {
    this.#desk.job({ kind: "perform", fs: lease.fs, handle: args.handle, name, args, client: call.client }, done);
  }

  /** The volume says what must have drained everywhere before the caller hears of it, and what others are merely told. */
  #finish(call: Call, lease: Lease, result: VolumeResult): void {
    if (result.kind === "ok" && result.announcement !== undefined) this.#rounds.begin(lease.fs, result.announcement, "all", () => undefined);
    if (result.kind === "failed" || result.round === undefined) {
      lease.end();
      return this.#settle(call, result);
    }
    const { round } = result;
    if (round.kind === "record-changed") this.#undrained.set(round.handle, round);
    this.#rounds.begin(lease.fs, round, "all", (failure) => {
      lease.end();
      if (round.kind === "record-changed" && failure === undefined && this.#undrained.get(round.handle) === round) this.#undrained.delete(round.handle);
      this.#settle(call, failure === undefined ? result : { kind: "failed", failure });
    });
  }

  /** Safety C3 step 1: with the right held nothing new is written; all give their guard back; then the mark. */
  #createMark(call: Call, checked: Performed, lease: Lease, triesLeft: number): void {
    this.#rounds.begin(lease.fs, { kind: "flush", handle: checked.args.handle }, "all", (failure) => {
      if (failure !== undefined) {
        lease.end();
        return this.#settle(call, { kind: "failed", failure });
      }
      this.#perform(call, checked, lease, (result) => {
        const isGuarded = result.kind === "failed" && result.failure.code === "EBUSY";
        if (!isGuarded || triesLeft <= 1 || !this.#desk.isOpen(call.call)) return this.#finish(call, lease, result);
        this.#desk.after(GUARD_RETRY_MS, () => this.#createMark(call, checked, lease, triesLeft - 1));
      });
    });
  }

  /**
   * Held somewhere: tried again until `untilMs`, then EBUSY names the holder. The members are asked for their guard by a
   * round on an old generation: all that runs drains and the guard goes back, while no page is touched, so that a reader
   * who waits for this very recall cannot stand in its way (safety C6).
   */
  #openInvisible(call: Call, checked: Performed & { name: "invisible.open" }, lease: Lease, untilMs: number, tries = 0): void {
    this.#perform(call, checked, lease, (result) => {
      const isGuarded = result.kind === "failed" && result.failure.code === "EBUSY";
      if (isGuarded && this.#here.nowMs + GUARD_RETRY_MS <= untilMs && this.#desk.isOpen(call.call)) {
        const guardBack = { kind: "record-changed", handle: checked.args.handle, generation: 0 } as const;
        if (tries % TRIES_PER_ROUND === 0) this.#rounds.begin(lease.fs, guardBack, "all", () => undefined);
        return this.#desk.after(GUARD_RETRY_MS, () => this.#openInvisible(call, checked, lease, untilMs, tries + 1));
      }
      lease.end();
      if (result.kind === "failed") return this.#settle(call, result);
      const guard = guardOf(result.result);
      if (guard !== undefined) {
        const mayWrite = checked.args.keepsMark !== true && result.record !== undefined && result.record?.residency !== "partial";
        this.#guards.set(guard, { fs: lease.fs, handle: checked.args.handle, client: call.client, mayWrite });
      }
      if (guard !== undefined && !this.#desk.isOpen(call.call)) return this.#closeGuard(call, guard);
      this.#settle(call, result);
    });
  }

  #closeGuard(call: Call, guard: number): void {
    const of = this.#guards.get(guard);
    if (of === undefined || of.client !== call.client) return this.#desk.refuse(call.call, "EINVAL", `this connection has no guard ${guard}`);
    this.#guards.delete(guard);
    const work = { kind: "perform", fs: of.fs, handle: of.handle, name: "invisible.close", args: { guard }, client: call.client } as const;
    this.#desk.job(work, (result) =>
      this.#dropPagesAfter(of, (failure) => this.#settle(call, failure === undefined ? result : { kind: "failed", failure })),
    );
  }
  #dropPagesAfter({ fs, handle, mayWrite }: Guard, done: (failure: DmFailure | undefined) => void): void {
    if (!mayWrite) return done(undefined);
    this.#rounds.begin(fs, { kind: "drop-pages", handle }, "all", done);
  }

  #settle(call: Call, result: VolumeResult): void {
    if (result.kind === "ok") this.#desk.answer(call.call, result.result);
    else this.#desk.refuse(call.call, result.failure.code, result.failure.message);
  }

  /** XDSM dm_set_eventlist: which events are legal depends on the kind of object; directories are told by the volume. */
  #isEventListLegal(call: Call, checked: Performed): boolean {
    if (checked.name !== "eventlist.set") return true;
    const { handle, events, below = EVENT_MAX }: ArgsOf<"eventlist.set"> = checked.args;
    const isFs = parseHandle(handle)?.type === "fs";
    const legal = isFs ? eventListEvents.fs : eventListEvents.directory | eventListEvents.file;
    const illegal = events.find((event: EventType) => eventNumbers[event] < below && !hasEvent(legal, event));
    if (below > 0 && below <= EVENT_MAX && illegal === undefined) return true;
    const message = illegal === undefined ? `events are numbered below ${EVENT_MAX}` : `${illegal} cannot be in the event list of ${isFs ? "a file system" : "this object"}`;
    this.#desk.refuse(call.call, "EINVAL", message);
    return false;
  }
}

function isPerformed(checked: CheckedCall): checked is Performed {
  return Object.hasOwn(rulesOf, checked.name satisfies HandledCall);
}

function guardOf(result: unknown): number | undefined {
  const guard = typeof result === "object" && result !== null && "guard" in result ? result.guard : undefined;
  return typeof guard === "number" ? guard : undefined;
}
