/**
 * The cluster as the data side meets it, at its worst: members, the rights server, rounds and events in one place that
 * always knows best, while the daemons hear of everything late. A member that stands still is evicted and its session
 * given to another application; when it runs again it goes on for a while as if nothing had been.
 *
 * Not here  how members agree on all this (scene "cluster" runs the real node machine).
 * Source    safety C1, C4, H3; rounds and rights as cluster/ has them.
 */
import type { ObjectRound } from "../cluster/admission/operation.js";
import type { Decision } from "../cluster/node-contract.js";
import type { OperationId, RequestId } from "../dmapi/ids.js";
import { MoveFailure } from "../migration/move/steps.js";
import type { FileModel } from "./file-model.js";
import type { ReactorModel, Upward } from "./reactor-model.js";
import { type Process, Signal, type Thread, until, type World } from "./world.js";

const ROUND_TIMEOUT_MS = 30_000;

export interface DataEvent {
  readonly daemon: DaemonModel;
  readonly life: number;
  readonly operation: OperationId;
  readonly file: FileModel;
}
/** The application that has the session. */
export interface Receiver {
  readonly daemon: DaemonModel;
  readonly process: Process;
  deliver(event: DataEvent): void;
}

/** One daemon as the control side knows it. */
export class DaemonModel implements Upward {
  readonly process: Process;
  readonly control: ControlModel;
  reactor!: ReactorModel;
  /** Grows when it is told that it was excluded. */
  life = 1;
  /** What waits for an answer, as the source node keeps it: offered anew in each life. */
  readonly #held = new Map<OperationId, FileModel>();
  #lastArrivalMs = 0;

  constructor(control: ControlModel, process: Process) {
    this.control = control;
    this.process = process;
  }
  get isMember(): boolean {
    return this.control.isMember(this);
  }
  /** Heard by the daemon in order, some time later. */
  hear(run: () => void): void {
    const { world } = this.process;
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, world.nowMs + 0.1 + world.random.below(40) * 0.1);
    this.process.after(this.#lastArrivalMs - world.nowMs, run);
  }
  /** Heard by the control side. */
  #say(run: () => void): void {
    const { life } = this;
    this.process.world.after(0.1 + this.process.world.random.below(40) * 0.1, () => {
      if (this.life === life && this.isMember) run();
    });
  }
  raised(operation: OperationId, file: FileModel): void {
    this.#held.set(operation, file);
    this.#offer(operation, file);
  }
  operationGone(operation: OperationId): void {
    this.#held.delete(operation);
  }
  answered(operation: OperationId, decision: Decision): void {
    if (this.#held.delete(operation)) this.reactor.step({ kind: "event-answered", operation, decision });
  }
  rejoined(): void {
    this.reactor.step({ kind: "admission", isOpen: true, why: "member" });
    for (const [operation, file] of this.#held) this.#offer(operation, file);
  }
  #offer(operation: OperationId, file: FileModel): void {
    this.#say(() => {
      if (this.#held.has(operation)) this.control.raise({ daemon: this, life: this.life, operation, file });
    });
  }
  interestWanted(file: FileModel): void {
    this.#say(() => this.control.grantInterest(this, file));
  }
  fenceDrained(file: FileModel, fenceNumber: number): void {
    this.#say(() => this.control.fenceDrained(this, file, fenceNumber));
  }
  roundDrained(round: string): void {
    this.#say(() => this.control.roundDrained(this, round));
  }
}

interface Wanting {
  readonly holder: string;
  readonly changed: Signal;
  isGranted: boolean;
  isVoid: boolean;
}
interface RightState {
  fenceNumber: number;
  /** Granted, or being granted while members drain. */
  first: Wanting | undefined;
  readonly queue: Wanting[];
  draining: Set<DaemonModel>;
}
interface Round {
  readonly pending: Set<DaemonModel>;
  readonly changed: Signal;
}

export class ControlModel {
  readonly world: World;
  readonly #members = new Set<DaemonModel>();
  readonly #rights = new Map<FileModel, RightState>();
  readonly #rounds = new Map<string, Round>();
  readonly #events = new Set<DataEvent>();
  receiver: Receiver | undefined;

  constructor(world: World) {
    this.world = world;
  }

  // Members.

  isMember(daemon: DaemonModel): boolean {
    return this.#members.has(daemon);
  }
  join(daemon: DaemonModel): void {
    if (this.#members.has(daemon) || !daemon.process.isAlive) return;
    this.#members.add(daemon);
    daemon.hear(() => daemon.rejoined());
  }
  /** It leaves, and hears of it when it can: then it begins anew and joins again. */
  evict(daemon: DaemonModel): void {
    if (!this.#members.delete(daemon)) return;
    this.world.log(() => `${daemon.process.name} is evicted`);
    for (const round of this.#rounds.values()) {
      round.pending.delete(daemon);
      round.changed.give();
    }
    for (const [file, state] of this.#rights) if (state.draining.delete(daemon)) this.#grant(file, state);
    for (const event of this.#events) if (event.daemon === daemon) this.#events.delete(event);
    if (!daemon.process.isAlive) return;
    // One that stood still goes on for a while by what it knew.
    daemon.process.after(0, () => daemon.process.after(this.world.random.below(400), () => {
      daemon.life++;
      daemon.reactor.step({ kind: "admission", isOpen: false, why: "excluded" });
      daemon.reactor.step({ kind: "everything-forgotten" });
      this.world.after(50, () => this.join(daemon));
    }));
  }

  // Events.

  raise(event: DataEvent): void {
    this.#events.add(event);
    this.#deliver(event);
  }
  #deliver(event: DataEvent): void {
    const { receiver } = this;
    receiver?.process.after(0.1 + this.world.random.below(30) * 0.1, () => {
      if (this.receiver === receiver && this.#events.has(event)) receiver.deliver(event);
    });
  }
  respond(by: Receiver, event: DataEvent, decision: Decision): void {
    if (this.receiver !== by || !this.#events.delete(event)) return;
    event.daemon.hear(() => {
      if (event.daemon.life === event.life) event.daemon.answered(event.operation, decision);
    });
  }
  /** The session is assumed: its rights are lost, what is unanswered comes again. */
  assume(receiver: Receiver): void {
    const former = this.receiver;
    this.receiver = receiver;
    if (former !== undefined) for (const [file, state] of this.#rights) this.#voidAllOf(former, file, state);
    for (const event of this.#events) this.#deliver(event);
  }

  // Rights.

  #right(file: FileModel): RightState {
    let state = this.#rights.get(file);
    if (state === undefined) {
      state = { fenceNumber: 0, first: undefined, queue: [], draining: new Set() };
      this.#rights.set(file, state);
    }
    return state;
  }
  grantInterest(daemon: DaemonModel, file: FileModel): void {
    const { first, fenceNumber } = this.#right(file);
    const fence = first === undefined ? "null" : "exclusive";
    daemon.hear(() => daemon.reactor.step({ kind: "interest-granted", handle: file.handle, fence, fenceNumber }));
  }
  fenceDrained(daemon: DaemonModel, file: FileModel, fenceNumber: number): void {
    const state = this.#right(file);
    if (state.fenceNumber === fenceNumber && state.draining.delete(daemon)) this.#grant(file, state);
  }

  /** The exclusive right, for a name that begins with that of its application. */
  *takeRight(file: FileModel, by: Receiver, holder: string): Thread {
    if (this.receiver !== by || !by.daemon.isMember) throw new MoveFailure("EINVAL", "the session is another's");
    const wanting: Wanting = { holder: `${by.process.name} ${holder}`, changed: new Signal(), isGranted: false, isVoid: false };
    const state = this.#right(file);
    state.queue.push(wanting);
    this.#next(file, state);
    yield* until(wanting.changed, () => wanting.isGranted || wanting.isVoid);
    if (wanting.isVoid) throw new MoveFailure("EINVAL", "the session is another's");
  }
  holdsRight(file: FileModel, by: Receiver, holder: string): boolean {
    const { first } = this.#right(file);
    return first?.isGranted === true && first.holder === `${by.process.name} ${holder}`;
  }
  releaseRight(file: FileModel, by: Receiver, holder: string): void {
    const state = this.#right(file);
    if (state.first?.holder === `${by.process.name} ${holder}`) this.#lower(file, state);
  }
  #voidAllOf(former: Receiver, file: FileModel, state: RightState): void {
    const isFormers = (wanting: Wanting) => wanting.holder.startsWith(`${former.process.name} `);
    for (const wanting of [...state.queue, ...(state.first === undefined ? [] : [state.first])].filter(isFormers)) {
      wanting.isVoid = true;
      wanting.changed.give();
    }
    const kept = state.queue.filter((wanting) => !wanting.isVoid);
    state.queue.splice(0, state.queue.length, ...kept);
    if (state.first?.isVoid === true) this.#lower(file, state);
  }
  #next(file: FileModel, state: RightState): void {
    if (state.first !== undefined) return;
    state.first = state.queue.shift();
    if (state.first === undefined) return;
    const fenceNumber = ++state.fenceNumber;
    state.draining = new Set(this.#members);
    for (const member of this.#members) {
      member.hear(() => member.reactor.step({ kind: "fence-raised", handle: file.handle, fence: "exclusive", fenceNumber }));
    }
    this.#grant(file, state);
  }
  #grant(file: FileModel, state: RightState): void {
    if (state.first === undefined || state.first.isGranted || state.draining.size > 0) return;
    state.first.isGranted = true;
    this.world.log(() => `${file.handle}: exclusive right for ${state.first?.holder}`);
    state.first.changed.give();
  }
  #lower(file: FileModel, state: RightState): void {
    state.first = undefined;
    state.draining = new Set();
    const fenceNumber = ++state.fenceNumber;
    for (const member of this.#members) member.hear(() => member.reactor.step({ kind: "fence-lowered", handle: file.handle, fence: "null", fenceNumber }));
    this.#next(file, state);
  }

  // Rounds.

  *round(by: DaemonModel, work: ObjectRound): Thread {
    const { life } = by;
    if (!by.isMember) throw new MoveFailure("ENOTREADY", "this node is not in the view");
    const name = `r${this.world.newNumber()}` as RequestId;
    const round: Round = { pending: new Set(this.#members), changed: new Signal() };
    this.#rounds.set(name, round);
    for (const member of this.#members) {
      member.hear(() => member.reactor.step({ kind: "round-begun", round: name, from: by.process.name, work }));
    }
    let isLate = false;
    this.world.after(ROUND_TIMEOUT_MS, () => {
      isLate = true;
      round.changed.give();
    });
    yield* until(round.changed, () => round.pending.size === 0 || isLate);
    this.#rounds.delete(name);
    if (round.pending.size > 0) throw new MoveFailure("EBUSY", `${[...round.pending].map((daemon) => daemon.process.name).join(", ")} did not drain`);
    if (!by.isMember || by.life !== life) throw new MoveFailure("ENOTREADY", "this node was excluded");
  }
  roundDrained(daemon: DaemonModel, name: string): void {
    const round = this.#rounds.get(name);
    if (round === undefined) return;
    round.pending.delete(daemon);
    round.changed.give();
  }

  describe(): string {
    const rights = [...this.#rights].filter(([, state]) => state.first !== undefined).map(([file, state]) => `${file.handle} for ${state.first?.holder}${state.first?.isGranted ? "" : " (draining)"}`);
    return `rights: ${rights.join(", ") || "none"}; events: ${[...this.#events].map((event) => `${event.operation} of ${event.daemon.process.name}`).join(", ") || "none"}; rounds: ${[...this.#rounds.keys()].join(", ") || "none"}`;
  }
}
