/**
 * The file systems of this node between the machine and the reactors: which are attached and mounted, and whose message
 * is whose. Numbers of operations are unique in one reactor only, so they are widened here by the reactor's own number.
 *
 * Owns      attached file systems, the running mount of each, the standing orders a new reactor has to hear first.
 * Not here  FUSE (reactor/), bytes (volume/), when to mount (cluster/).
 * Source    daemon/reactor-port.ts; safety H3, M5.
 */
import type { StandingWait } from "../cluster/locks/circles.js";
import type { LockReport } from "../cluster/messages.js";
import type { NodeEffect } from "../cluster/node-contract.js";
import type { DmFailure } from "../dmapi/errors.js";
import type { EventSet } from "../dmapi/events.js";
import { parseHandle } from "../dmapi/handle.js";
import type { KeepingWord } from "../cluster/keeping/words.js";
import type { Waiting } from "../cluster/source-node/held-event.js";
import type { FsName, Handle, NodeId, OperationId, RequestId } from "../dmapi/ids.js";
import type { WaiterEntry } from "../dmapi/status.js";
import type { FileSystemConfig } from "./config.js";
import type { Fact } from "./node-driver.js";
import type { FromReactor, ToReactor } from "./reactor-port.js";

/** A file system whose backing this node has open. */
export interface AttachedFileSystem {
  readonly fs: FsName;
  readonly handle: Handle;
  readonly rootHandle: Handle;
  readonly eventList: EventSet;
  readonly capabilities: Readonly<Record<string, string | number | boolean>>;
}
/** A mount that serves. */
export interface RunningMount {
  /** Undefined: users see nothing (in-process.ts). */
  readonly mountpoint: string | undefined;
  /** Number of the FUSE connection. */
  readonly minor: number | undefined;
  /** How far its reactor's tick is. */
  tick(): number;
  post(message: ToReactor): void;
  /** Forced: out of the tree although users are inside. */
  unmount(isForced: boolean): Promise<DmFailure | undefined>;
  /** The next daemon can go on with it. */
  isHeld?(): boolean;
  /** Stops serving and leaves the mount to the next daemon, if it is held. */
  leave?(): Promise<void>;
}
export type MountMaker = (wanted: { readonly config: FileSystemConfig; readonly attached: AttachedFileSystem; readonly mountpoint: string; readonly hear: (message: FromReactor) => void }) => Promise<RunningMount>;

/** What was left of a mount is given up; asked again, it is mounted anew. */
export class TakeoverFailed extends Error {}

interface Served {
  readonly config: FileSystemConfig;
  readonly attached: AttachedFileSystem;
  mount: RunningMount | undefined;
  /** Of the reactor that runs now. */
  reactor: number;
  /** An unmount is under way. */
  isEnding: boolean;
  ownedEvents: EventSet;
  isSole: boolean;
  others: Pick<Extract<ToReactor, { kind: "other-mounts" }>, "others" | "isInForce">;
  /** Others wait for its kernel to forget something; when it has ended it keeps nothing. */
  readonly drops: Map<string, { readonly to: NodeId; readonly word: Extract<KeepingWord, { kind: "drop-wanted" }> }>;
  eventList: EventSet;
  /** Asked of the reactor and not yet acknowledged; when it ends, nothing runs any more and they are. */
  readonly fences: Map<Handle, number>;
  /** Raised before a reactor was there; it hears of them before it admits anything. */
  readonly standing: Map<Handle, Fence>;
  readonly rounds: Map<string, { readonly round: RequestId; readonly from: NodeId }>;
}
type Fence = Pick<Extract<NodeEffect, { kind: "raise-fence" }>, "handle" | "fence" | "fenceNumber">;
interface Report {
  readonly waiters: readonly WaiterEntry[];
  readonly counters: Readonly<Record<string, number>>;
}

/** Reactors told apart in an operation's number. */
const REACTORS = 256;
const REPORT_WITHIN_MS = 1_000;

type ReactorEffect = Extract<
  NodeEffect,
  { kind: "resume-operation" | "grant-interest" | "raise-fence" | "lower-fence" | "begin-round" | "set-owned-events" | "set-sole-mount" | "set-other-mounts" | "keeping-heard" | "set-admission" | "forget-everything" }
>;

export class FileSystems {
  readonly #make: MountMaker;
  readonly #give: (fact: Fact) => void;
  readonly #lost: (fs: FsName, why: string) => void;
  readonly #locksStuck: (fs: FsName) => void;
  readonly #byName = new Map<FsName, Served>();
  readonly #byFsid = new Map<string, Served>();
  readonly #byReactor = new Map<number, Served>();
  readonly #operations = new Map<number, Set<OperationId>>();
  readonly #reports = new Map<number, (report: Report) => void>();
  readonly #lockReports = new Map<number, (report: LockReport) => void>();
  #nextReport = 1;
  #lastReactor = 0;
  #admission: Extract<ToReactor, { kind: "admission" }> = { kind: "admission", isOpen: false, why: "this node has not joined the cluster" };

  /**
   * @param lost a mount ended that nobody here had asked to end.
   * @param locksStuck a user has waited long for a lock, and holds others.
   */
  constructor(make: MountMaker, give: (fact: Fact) => void, lost: (fs: FsName, why: string) => void, locksStuck: (fs: FsName) => void) {
    this.#locksStuck = locksStuck;
    this.#make = make;
    this.#give = give;
    this.#lost = lost;
  }

  attach(config: FileSystemConfig, attached: AttachedFileSystem): void {
    const served: Served = { config, attached, mount: undefined, reactor: -1, isEnding: false, ownedEvents: 0, isSole: false, others: { others: [], isInForce: false }, drops: new Map(), eventList: attached.eventList, fences: new Map(), standing: new Map(), rounds: new Map() };
    this.#byName.set(attached.fs, served);
    this.#byFsid.set(parseHandle(attached.handle)!.fsid, served);
    const { fs, handle, rootHandle, eventList } = attached;
    this.#give({ kind: "fs-attached", fs, handle, rootHandle, eventList, ...(config.mountpoint !== undefined && { mountpoint: config.mountpoint }) });
  }

  async mount(fs: FsName, mountpoint: string): Promise<DmFailure | undefined> {
    const served = this.#byName.get(fs);
    if (served === undefined) return { code: "ENOENT", message: `file system ${fs} is not configured on this node` };
    if (served.mount !== undefined) return { code: "EBUSY", message: `${fs} is mounted at ${served.mount.mountpoint}` };
    const reactor = this.#freeReactor();
    this.#byReactor.set(reactor, served);
    this.#operations.set(reactor, new Set());
    try {
      const mount = await this.#make({ config: served.config, attached: served.attached, mountpoint, hear: (message) => this.#heard(reactor, served, message) });
      if (!this.#byReactor.has(reactor)) return { code: "EIO", message: `the reactor of ${fs} ended at once` };
      Object.assign(served, { mount, reactor });
      mount.post({ kind: "owned-events", events: served.ownedEvents });
      mount.post({ kind: "fs-event-list", events: served.eventList });
      mount.post({ kind: "sole-mount", isSole: served.isSole });
      mount.post({ kind: "other-mounts", ...served.others });
      for (const fence of served.standing.values()) mount.post({ kind: "fence-raised", ...fence });
      served.standing.clear();
      mount.post(this.#admission); // last: nothing is admitted by less than all that
      return undefined;
    } catch (error) {
      this.#forgetReactor(reactor);
      return { code: error instanceof TakeoverFailed ? "EAGAIN" : "EIO", message: `mounting ${fs} at ${mountpoint}: ${(error as Error).message}` };
    }
  }

  async unmount(fs: FsName, isForced: boolean): Promise<DmFailure | undefined> {
    const served = this.#byName.get(fs);
    if (served === undefined) return { code: "ENOENT", message: `file system ${fs} is not configured on this node` };
    if (served.mount === undefined) return undefined; // it ended by itself; the machine now hears of it
    const { mount, reactor } = served;
    served.isEnding = true;
    const failure = await mount.unmount(isForced);
    served.isEnding = false;
    if (failure === undefined && served.reactor === reactor) this.#ended(reactor, served);
    return failure;
  }

  /** This daemon's part of the mount is over; its users wait for the next one. */
  async leave(fs: FsName): Promise<void> {
    const served = this.#byName.get(fs);
    if (served?.mount?.leave === undefined || served.mount.isHeld?.() !== true) return;
    const { mount, reactor } = served;
    served.isEnding = true;
    await mount.leave?.();
    served.isEnding = false;
    if (served.reactor === reactor) this.#ended(reactor, served);
  }

  perform(effect: ReactorEffect): void {
    switch (effect.kind) {
      case "resume-operation":
        this.#operationOver(effect.operation);
        return this.#toOperation(effect.operation, (operation) => ({ kind: "resume", operation, decision: effect.decision }));
      case "grant-interest":
        this.#toHandle(effect.handle, { ...effect, kind: "interest-granted" });
        return;
      case "raise-fence":
        return this.#raiseFence(effect);
      case "lower-fence":
        this.#toHandle(effect.handle, { ...effect, kind: "fence-lowered" });
        return this.#standBack(effect);
      case "begin-round":
        return this.#beginRound(effect);
      case "set-owned-events": {
        const served = this.#byName.get(effect.fs);
        if (served === undefined) return;
        served.ownedEvents = effect.events;
        served.mount?.post({ kind: "owned-events", events: effect.events });
        return;
      }
      case "set-sole-mount": {
        const served = this.#byName.get(effect.fs);
        if (served === undefined) return;
        served.isSole = effect.isSole;
        served.mount?.post({ kind: "sole-mount", isSole: effect.isSole });
        return;
      }
      case "set-other-mounts": {
        const served = this.#byName.get(effect.fs);
        if (served === undefined) return;
        served.others = { others: effect.others, isInForce: effect.isInForce };
        served.mount?.post({ kind: "other-mounts", ...served.others });
        return;
      }
      case "keeping-heard":
        return this.#keepingHeard(effect);
      case "set-admission":
        this.#admission = { ...effect, kind: "admission" };
        return this.#toAll(this.#admission);
      case "forget-everything":
        for (const served of this.#byName.values()) {
          const { fences, standing, rounds, drops } = served;
          served.others = { others: [], isInForce: false };
          drops.clear();
          fences.clear();
          standing.clear();
          rounds.clear();
        }
        return this.#toAll({ kind: "forget" });
    }
  }

  /** The volume layer changed the file system's own event list. */
  setEventList(fs: FsName, events: EventSet): void {
    const served = this.#byName.get(fs);
    if (served === undefined) return;
    served.eventList = events;
    served.mount?.post({ kind: "fs-event-list", events });
  }

  list(): { readonly config: FileSystemConfig; readonly attached: AttachedFileSystem; readonly mountpoint: string | undefined }[] {
    return [...this.#byName.values()].map(({ config, attached, mount }) => ({ config, attached, mountpoint: mount?.mountpoint }));
  }
  mounts(): { readonly fs: FsName; readonly mount: RunningMount }[] {
    return [...this.#byName].flatMap(([fs, { mount }]) => (mount === undefined ? [] : [{ fs, mount }]));
  }

  /**
   * What each reactor says of itself; one that does not answer in time is counted as silent.
   * @param waiting the events that wait at this node: of its own ones a reactor says what they wait for.
   */
  async report(node: NodeId, waiting: readonly Waiting[]): Promise<Report> {
    const answers = await Promise.all(this.mounts().map(({ fs, mount }) => this.#reportOf(fs, mount, waiting)));
    const counters: Record<string, number> = {};
    for (const { counters: each } of answers) for (const [name, value] of Object.entries(each)) counters[name] = (counters[name] ?? 0) + value;
    return { waiters: answers.flatMap(({ waiters }) => waiters).map((waiter) => ({ ...waiter, node })), counters };
  }

  #reportOf(fs: FsName, mount: RunningMount, waiting: readonly Waiting[]): Promise<Report> {
    const id = this.#nextReport++;
    return new Promise((resolve) => {
      const done = (report: Report) => {
        clearTimeout(timer);
        this.#reports.delete(id);
        resolve({ ...report, waiters: report.waiters.map((waiter) => ({ ...waiter, operation: this.#widened(this.#byName.get(fs)!.reactor, waiter.operation as OperationId) })) });
      };
      const timer = setTimeout(() => done({ waiters: [], counters: { reactorsSilent: 1 } }), REPORT_WITHIN_MS);
      this.#reports.set(id, done);
      this.#describeTo(this.#byName.get(fs)!, waiting);
      mount.post({ kind: "report", id });
    });
  }

  /** Undefined: it is not mounted, or its reactor does not answer in time. */
  lockReport(fs: FsName): Promise<LockReport | undefined> {
    const mount = this.#byName.get(fs)?.mount;
    if (mount === undefined) return Promise.resolve(undefined);
    const id = this.#nextReport++;
    return new Promise((resolve) => {
      const done = (report: LockReport | undefined) => {
        clearTimeout(timer);
        this.#lockReports.delete(id);
        resolve(report);
      };
      const timer = setTimeout(() => done(undefined), REPORT_WITHIN_MS);
      this.#lockReports.set(id, done);
      mount.post({ kind: "report-locks", id });
    });
  }
  refuseLock(fs: FsName, { life, wait }: StandingWait): void {
    this.#byName.get(fs)?.mount?.post({ kind: "refuse-lock", life, wait });
  }

  #describeTo(served: Served, waiting: readonly Waiting[]): void {
    for (const { operation: wide, cause, detail, token, session, leftMs } of waiting) {
      if (wide === undefined || this.#byReactor.get(wide % REACTORS) !== served) continue;
      this.#toOperation(wide, (operation) => ({
        kind: "describe", operation, cause: cause as WaiterEntry["cause"], detail, token,
        ...(session !== undefined && { session }), ...(leftMs !== undefined && { leftMs }),
      }));
    }
  }

  #heard(reactor: number, served: Served, message: FromReactor): void {
    const { fs } = served.attached;
    if (!this.#byReactor.has(reactor)) return; // the last words of one that has ended
    switch (message.kind) {
      case "ready":
        return;
      case "survives-no-more":
      case "kept-again":
        return;
      case "event-held": {
        const operation = this.#widened(reactor, message.held.operation);
        this.#operations.get(reactor)?.add(operation);
        const { event, isSynchronous, process } = message.held;
        return this.#give({ kind: "event-held", held: { operation, fs, event, isSynchronous, process } });
      }
      case "operation-gone": {
        const operation = this.#widened(reactor, message.operation);
        this.#operationOver(operation);
        return this.#give({ kind: "operation-gone", operation });
      }
      case "round-wanted": {
        const operation = this.#widened(reactor, message.operation);
        this.#operations.get(reactor)?.add(operation);
        return this.#give({ kind: "round-wanted", fs, work: message.work, operation });
      }
      case "keeping-said":
        if (message.word.kind === "drop-done") served.drops.delete(`${message.to} ${message.word.drop}`);
        return this.#give({ ...message, fs });
      case "round-drained":
        served.rounds.delete(`${message.from} ${message.round}`);
        return this.#give({ ...message, from: message.from as NodeId });
      case "fence-drained":
        if (served.fences.get(message.handle) === message.fenceNumber) served.fences.delete(message.handle);
        return this.#give(message);
      case "interest-wanted":
      case "interest-dropped":
        return this.#give(message);
      case "reported":
        return this.#reports.get(message.id)?.(message);
      case "locks-stuck":
        return this.#locksStuck(fs);
      case "locks-reported":
        return this.#lockReports.get(message.id)?.(message.report);
      case "ended": {
        const isLost = served.reactor === reactor && !served.isEnding;
        this.#ended(reactor, served);
        if (isLost) this.#lost(fs, message.why);
        return;
      }
    }
  }

  /** Its users are gone with it; the machine must not wait for them, nor others for its acknowledgements. */
  #ended(reactor: number, served: Served): void {
    const operations = this.#operations.get(reactor) ?? [];
    this.#forgetReactor(reactor);
    if (served.reactor === reactor) Object.assign(served, { mount: undefined, reactor: -1 });
    for (const operation of operations) this.#give({ kind: "operation-gone", operation });
    for (const [handle, fenceNumber] of served.fences) this.#give({ kind: "fence-drained", handle, fenceNumber });
    for (const { round, from } of served.rounds.values()) this.#give({ kind: "round-drained", round, from });
    for (const { to, word } of served.drops.values()) this.#give({ kind: "keeping-said", fs: served.attached.fs, to, word: { ...word, kind: "drop-done" } });
    served.drops.clear();
    served.fences.clear();
    served.standing.clear();
    served.rounds.clear();
  }
  #operationOver(operation: OperationId): void {
    this.#operations.get(operation % REACTORS)?.delete(operation);
  }
  #forgetReactor(reactor: number): void {
    this.#byReactor.delete(reactor);
    this.#operations.delete(reactor);
  }

  #freeReactor(): number {
    do this.#lastReactor = (this.#lastReactor + 1) % REACTORS;
    while (this.#byReactor.has(this.#lastReactor));
    return this.#lastReactor;
  }
  #widened(reactor: number, operation: OperationId): OperationId {
    return (operation * REACTORS + reactor) as OperationId;
  }

  #toOperation(wide: OperationId, make: (operation: OperationId) => ToReactor): void {
    const reactor = wide % REACTORS;
    const served = this.#byReactor.get(reactor);
    if (served?.reactor === reactor) served.mount?.post(make(Math.floor(wide / REACTORS) as OperationId));
  }
  #toHandle(handle: Handle, message: ToReactor): void {
    this.#ofHandle(handle)?.mount?.post(message);
  }
  #ofHandle(handle: Handle): Served | undefined {
    return this.#byFsid.get(parseHandle(handle)?.fsid ?? "");
  }
  #toAll(message: ToReactor): void {
    for (const { mount } of this.#byName.values()) mount?.post(message);
  }

  /** Nothing runs where nothing is mounted, so there is nothing to wait for. */
  #raiseFence({ handle, fence, fenceNumber }: Extract<NodeEffect, { kind: "raise-fence" }>): void {
    const served = this.#ofHandle(handle);
    if (served?.mount === undefined) {
      served?.standing.set(handle, { handle, fence, fenceNumber });
      return this.#give({ kind: "fence-drained", handle, fenceNumber });
    }
    served.fences.set(handle, fenceNumber);
    served.mount.post({ kind: "fence-raised", handle, fence, fenceNumber });
  }
  #standBack({ handle, fence, fenceNumber }: Fence): void {
    const standing = this.#ofHandle(handle)?.standing;
    if (fence === "null") standing?.delete(handle);
    else if (standing?.has(handle) === true) standing.set(handle, { handle, fence, fenceNumber });
  }
  #keepingHeard({ fs, from, word }: Extract<NodeEffect, { kind: "keeping-heard" }>): void {
    const served = this.#byName.get(fs);
    if (word.kind === "drop-wanted") {
      if (served?.mount === undefined) return this.#give({ kind: "keeping-said", fs, to: from, word: { ...word, kind: "drop-done" } });
      served.drops.set(`${from} ${word.drop}`, { to: from, word });
    }
    served?.mount?.post({ kind: "keeping-heard", from, word });
  }
  #beginRound({ round, from, fs, work }: Extract<NodeEffect, { kind: "begin-round" }>): void {
    if (work.kind === "fs-event-list-changed") this.setEventList(fs, work.events);
    const served = this.#byName.get(fs);
    if (served?.mount === undefined) return this.#give({ kind: "round-drained", round, from });
    served.rounds.set(`${from} ${round}`, { round, from });
    served.mount.post({ kind: "round", round, from, work });
  }
}
