/**
 * Moves of files by handle: bounded, one at a time per file, counted, with their progress.
 *
 * Owns      slots, turns, what is moving now.
 * Not here  events and requests (migrator.ts), the steps themselves (move/).
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { OutstandingToken } from "../client/rights.js";
import type { Session } from "../client/session.js";
import { eventSet } from "../dmapi/events.js";
import type { Handle } from "../dmapi/ids.js";
import { asMoveFailure, type MoveContext, perform } from "./move/executor.js";
import { migrateSteps } from "./move/migrate-steps.js";
import { recallSteps } from "./move/recall-steps.js";
import { MoveFailure, type MoveOutcome } from "./move/steps.js";
import { reportOf, type StateReport, type Transient } from "./states.js";
import type { Store } from "./stores/store.js";
import { Slots, TurnsByKey } from "./turns.js";

const RECALLS_MAX = 8;
const MIGRATIONS_MAX = 8;
/** How long a file is watched that another instance seems to be migrating. */
const LOOKS_AT_ANOTHER = 40;
const LOOKS_WITHOUT_MARK = 3;
const LOOK_AGAIN_MS = 250;
/** Events a file with a copy must raise besides those of its region. */
const EVENTS_WANTED = eventSet(["destroy"]);

export interface FileMoverOptions {
  readonly session: Session;
  readonly store: Store;
  readonly fs: string;
  /** The file system's own event list: an object's own one hides it, so it must contain it. */
  readonly fsEventList: number;
}
export interface MoveOrder {
  readonly handle: Handle;
  readonly path?: string;
  readonly token?: OutstandingToken;
  readonly progressed?: (bytes: number) => void;
  /** Asked before the move begins; true refuses it with ECANCELED. */
  readonly isCancelled?: () => boolean;
}

export class FileMover {
  readonly options: FileMoverOptions;
  readonly counters = { recalled: 0, migrated: 0, failed: 0 };
  readonly #turns = new TurnsByKey();
  readonly #recallSlots = new Slots(RECALLS_MAX);
  readonly #migrateSlots = new Slots(MIGRATIONS_MAX);
  readonly #moving = new Map<Handle, Transient>();
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(options: FileMoverOptions) {
    this.options = options;
  }
  get moving(): ReadonlyMap<Handle, Transient> {
    return this.#moving;
  }

  /** All moves begun so far are over, one way or another. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled([...this.#underWay]);
  }

  /** Between moves of that file. */
  inTurn<T>(handle: Handle, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(handle, work);
  }

  async migrate(verb: MoveContext["verb"], order: MoveOrder): Promise<MoveOutcome> {
    try {
      return await this.#migrate(verb, order);
    } catch (error) {
      // Of a parallel application another instance may have been faster: then the mark is its, and the file as wanted.
      const isMarkBroken = error instanceof MoveFailure && error.code === "ECANCELED" && order.isCancelled?.() !== true;
      const outcome = isMarkBroken ? await this.#doneByAnother(verb, order.handle) : undefined;
      if (outcome === undefined) throw error;
      this.counters.failed -= 1;
      return outcome;
    }
  }
  async #doneByAnother(verb: MoveContext["verb"], handle: Handle): Promise<MoveOutcome | undefined> {
    let unmarked = 0;
    for (let look = 0; look < LOOKS_AT_ANOTHER; look++) {
      const found = await this.options.session.object(handle).record().catch(() => undefined);
      if (found === undefined) return undefined;
      const { state } = reportOf(found);
      if (state === "migrated" || (verb === "premigrate" && state === "premigrated")) return { kind: "already", state, bytes: 0 };
      // Without a mark it was a writer, not a migrator; but between two of them there is none for a moment.
      unmarked = found.mark === null && state !== "partial" ? unmarked + 1 : 0;
      if (unmarked > LOOKS_WITHOUT_MARK) return undefined;
      await sleep(LOOK_AGAIN_MS);
    }
    return undefined;
  }
  #migrate(verb: MoveContext["verb"], order: MoveOrder): Promise<MoveOutcome> {
    const { store, fsEventList } = this.options;
    const steps = () => migrateSteps({ verb, newObject: store.newObjectName(), store: store.identity, nowMs: Date.now(), eventsWanted: EVENTS_WANTED, fsEventList });
    return this.#move("migrating", order, verb, steps);
  }
  /**
   * A file that is whole already is answered at once, never behind recalls of other files, nor behind a move of this one:
   * that may be waiting for the very user who asks, whose node has an old record.
   */
  async recall(order: MoveOrder, options: { isEmptied?: boolean } = {}): Promise<MoveOutcome> {
    const isWhole = async () => (await this.options.session.object(order.handle).record()).record?.residency !== "partial";
    if (await isWhole().catch(() => false)) return { kind: "already", state: "resident", bytes: 0 };
    const steps = () => recallSteps({ store: this.options.store.identity, isEmptied: options.isEmptied ?? false });
    return this.#move("recalling", order, "migrate", steps);
  }
  async state(handle: Handle): Promise<StateReport & { transient?: Transient }> {
    const report = reportOf(await this.options.session.object(handle).record());
    const transient = this.#moving.get(handle);
    return transient === undefined ? report : { ...report, transient };
  }

  #move(kind: Transient, order: MoveOrder, verb: MoveContext["verb"], steps: () => ReturnType<typeof recallSteps>): Promise<MoveOutcome> {
    const now = () => this.#now(kind, order, verb, steps);
    // A recall takes its turn first, so that many readers of one file keep one slot; a migration its slot first, so that
    // nobody who needs the file waits behind migrations of other files.
    const moved = kind === "recalling"
      ? this.#turns.run(order.handle, () => this.#recallSlots.run(now))
      : this.#migrateSlots.run(() => this.#turns.run(order.handle, now));
    this.#underWay.add(moved);
    const settle = () => this.#underWay.delete(moved);
    moved.then(settle, settle);
    return moved;
  }
  async #now(kind: Transient, order: MoveOrder, verb: MoveContext["verb"], steps: () => ReturnType<typeof recallSteps>): Promise<MoveOutcome> {
    if (order.isCancelled?.() === true) throw new MoveFailure("ECANCELED", "the request was cancelled");
    const { session, store, fs } = this.options;
    this.#moving.set(order.handle, kind);
    try {
      const outcome = await perform(steps(), {
        kind: kind === "recalling" ? "recall" : "migrate", session, store, fs, handle: order.handle, path: order.path ?? null, verb,
        ...(order.token === undefined ? {} : { token: order.token }), ...(order.progressed === undefined ? {} : { progressed: order.progressed }),
        nowMs: () => Date.now(),
      });
      if (outcome.kind === "done") this.counters[kind === "recalling" ? "recalled" : "migrated"] += 1;
      return outcome;
    } catch (error) {
      this.counters.failed += 1;
      throw asMoveFailure(error);
    } finally {
      this.#moving.delete(order.handle);
    }
  }
}
