/**
 * One daemon in the simulation: the real cluster node and the real lease machine in one process, whose effects are
 * performed one by one, so that it may stop or die between any two of them.
 */
import { ClusterNode } from "../cluster/node.js";
import type { CoordinationFact } from "../cluster/coordination-contract.js";
import { defaultTimeouts, type Decision, type HeldEvent, type NodeEffect, type NodeInput, type NodeTimeouts } from "../cluster/node-contract.js";
import type { Frame } from "../cluster/messages.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import type { DmFailure } from "../dmapi/errors.js";
import type { Incarnation, NodeId, OperationId } from "../dmapi/ids.js";
import type { DirectoryModel } from "./directory-model.js";
import type { EventLogDriver } from "./event-log-driver.js";
import { LeaseDriverModel, simulatedTimes } from "./lease-driver-model.js";
import type { NetworkModel, Station } from "./network-model.js";
import { type Process, Signal, sleep, type Thread, type World } from "./world.js";

export const simulatedTimeouts: NodeTimeouts = {
  ...defaultTimeouts, ownerTimeoutMs: 8_000, sessionFailureTimeoutMs: 20_000, fencedHoldMs: 10_000, namespaceEventTimeoutMs: 8_000,
  roundTimeoutMs: 10_000, claimStepMs: 2 * simulatedTimes.renewMs,
};

/** So long a turn of a daemon lasts at most; of some daemons each step is one. */
const TURNS_MS = [0, 5, 30];
/** Probability that something comes between two effects. */
const COMES_BETWEEN = 0.05;
const none: NodeEffect[] = [];

export type CallOutcome<N extends CallName> = { readonly kind: "ok"; readonly result: ResultOf<N> } | { readonly kind: "failed"; readonly failure: DmFailure } | { readonly kind: "gone" };
type Input = NodeInput extends infer I ? (I extends { atMs: number } ? Omit<I, "atMs"> : never) : never;

/** What a daemon has beside the other nodes: mounts and the volume. Told of each effect that concerns them. */
export interface Site {
  perform(effect: NodeEffect): void;
}

export class NodeModel implements Station {
  readonly id: NodeId;
  readonly process: Process;
  readonly node: ClusterNode;
  readonly world: World;
  readonly #network: NetworkModel;
  readonly #coordination: LeaseDriverModel;
  readonly #observe: (node: NodeModel, effect: NodeEffect) => void;
  readonly #calls = new Map<number, (outcome: CallOutcome<CallName>) => void>();
  readonly #operations = new Map<OperationId, { readonly held: HeldEvent; readonly resume: (decision: Decision | "gone") => void }>();
  readonly #crossed = new Set<OperationId>();
  #pending: NodeEffect[] = [];
  /** How many of those are performed. */
  #performed = 0;
  #isPerforming = false;
  incarnation: Incarnation;
  isAdmitting = false;
  /** Until when the lease lasts, as the reactors are told; of the world's clock. */
  leaseUntilMs = 0;
  /** Without one, operations are held by `hold`, the volume does whatever is asked, and nothing runs that a round waits for. */
  site: Site | undefined;
  /** Without one, no session of the history is durable. */
  eventLog: EventLogDriver | undefined;
  #lastCall = 0;
  /** Deadlines for which somebody will look, the earliest last. */
  readonly #timers: number[] = [];
  #toldMs = 0;
  readonly #turnMs: number;
  #isTurnOpen = false;

  constructor(options: {
    world: World; id: NodeId; incarnation: Incarnation; process: Process; network: NetworkModel; directory: DirectoryModel; preference: number;
    observe: (node: NodeModel, effect: NodeEffect) => void; told: (node: NodeModel, fact: CoordinationFact) => void;
  }) {
    const { world, id, incarnation, process, network, directory, preference } = options;
    this.world = world;
    this.id = id;
    this.process = process;
    this.incarnation = incarnation;
    this.#network = network;
    this.#observe = options.observe;
    const facts = { id, incarnation, bootId: process.name, address: `${id}:1`, isEligible: true, preference };
    this.#turnMs = world.random.pick(TURNS_MS);
    this.node = new ClusterNode({ ...facts, cluster: "sim", timeouts: simulatedTimeouts, hasTurns: this.#turnMs > 0 });
    const driver = LeaseDriverModel.start({
      process, directory, facts,
      tell: (fact) => {
        // In the order in which they were told, as by a message port.
        this.#toldMs = Math.max(this.#toldMs, world.nowMs + world.random.below(3));
        process.after(this.#toldMs - world.nowMs, () => {
          options.told(this, fact);
          if (fact.kind === "lease-renewed") this.leaseUntilMs = world.nowMs + process.toWorldMs(fact.validUntilMs - process.clockMs);
          this.input({ kind: "coordination", fact });
        });
      },
    });
    if (driver === undefined) throw new Error("an identity is started once");
    this.#coordination = driver;
    network.attach(this);
    process.onEnd(() => this.#end());
    this.#armTimer();
  }

  /** Has performed all that its machine said. */
  get isSettled(): boolean {
    return this.process.isRunning && this.#pending.length === 0 && !this.node.hasCollected;
  }
  get isDead(): boolean {
    return !this.process.isAlive;
  }

  input(input: Input): void {
    const timed = input as { -readonly [K in "atMs"]?: number };
    timed.atMs = this.process.clockMs;
    const effects = this.node.step(input as NodeInput);
    if (this.#pending.length === 0) this.#pending = effects;
    else for (const effect of effects) this.#pending.push(effect);
    if (!this.#isPerforming) this.#performAll();
    if (this.node.hasCollected && !this.#isTurnOpen) {
      this.#isTurnOpen = true;
      this.process.after(this.world.random.below(this.#turnMs), () => {
        this.#isTurnOpen = false;
        this.input({ kind: "turn-over" });
      });
    }
    this.#armTimer();
  }

  linkUp(peer: NodeId, incarnation: Incarnation): void {
    this.input({ kind: "link-up", peer, incarnation });
  }
  linkDown(peer: NodeId): void {
    this.input({ kind: "link-down", peer });
  }
  receive(frame: Frame): void {
    this.input({ kind: "frame-received", frame });
  }

  /** An application's call; "gone" when this daemon died before it answered. */
  *call<N extends CallName>(name: N, args: ArgsOf<N>, client: number): Thread<CallOutcome<N>> {
    if (this.isDead) return { kind: "gone" };
    const answered = new Signal();
    let outcome: CallOutcome<CallName> | undefined;
    const call = ++this.#lastCall;
    this.#calls.set(call, (each) => {
      outcome = each;
      answered.give();
    });
    this.process.after(0, () => this.input({ kind: "call-made", call, client, name, args }));
    while (outcome === undefined) yield { kind: "await", signal: answered };
    yield* sleep(0);
    return outcome as CallOutcome<N>;
  }
  clientGone(client: number): void {
    this.process.after(0, () => this.input({ kind: "client-gone", client }));
  }

  /** What the reactor does with an operation for which an event is due. `resume` is told once. */
  hold(held: HeldEvent, resume: (decision: Decision | "gone") => void): void {
    this.#operations.set(held.operation, { held, resume });
    if (this.isAdmitting) this.input({ kind: "event-held", held });
  }
  get waitingOperations(): OperationId[] {
    return [...this.#operations.keys()];
  }
  operationGone(operation: OperationId): void {
    this.#operations.delete(operation);
    this.#crossed.add(operation);
    this.input({ kind: "operation-gone", operation });
  }

  /** One by one; sometimes something comes between. */
  #performAll(isLate = false): void {
    this.#isPerforming = true;
    for (let mayWait = !isLate; this.#performed < this.#pending.length; mayWait = true) {
      if (mayWait && this.world.random.chance(COMES_BETWEEN)) return this.process.after(this.world.random.below(20), () => this.#performAll(true));
      this.#perform(this.#pending[this.#performed]!);
      this.#performed++;
    }
    this.#isPerforming = false;
    this.#pending = none;
    this.#performed = 0;
  }

  #perform(effect: NodeEffect): void {
    this.#observe(this, effect);
    switch (effect.kind) {
      case "coordinate":
        return this.#coordination.request(effect.request);
      case "transmit":
        return this.#network.transmit(this, effect.to, effect.frame);
      case "link-wanted":
        return this.#network.want(this, effect.peer);
      case "link-unwanted":
        return this.#network.unwant(this, effect.peer);
      case "answer-call":
        return this.#answered(effect.call, { kind: "ok", result: effect.result } as CallOutcome<CallName>);
      case "refuse-call":
        return this.#answered(effect.call, { kind: "failed", failure: effect.failure });
      case "resume-operation":
        if (this.site !== undefined) return this.site.perform(effect);
        return this.#resume(effect.operation, effect.decision);
      case "set-admission":
        this.isAdmitting = effect.isOpen;
        if (this.site !== undefined) return this.site.perform(effect);
        // Operations held before are filtered again, and their events raised anew.
        if (effect.isOpen) for (const { held } of [...this.#operations.values()]) this.process.after(0, () => this.#holdAgain(held));
        return;
      case "forget-everything":
        this.incarnation = effect.incarnation;
        this.#network.renew(this);
        return this.site?.perform(effect);
      case "volume-job":
        if (effect.work.kind === "event-log" && this.eventLog !== undefined) return this.eventLog.run(effect.work.work, (result) => this.input({ kind: "volume-done", job: effect.job, result }));
        if (this.site !== undefined) return this.site.perform(effect);
        this.process.after(this.world.random.below(5), () => this.input({ kind: "volume-done", job: effect.job, result: { kind: "ok", result: {} } }));
        return;
      case "begin-round":
        if (this.site !== undefined) return this.site.perform(effect);
        this.process.after(this.world.random.below(3), () => this.input({ kind: "round-drained", round: effect.round, from: effect.from }));
        return;
      default:
        this.site?.perform(effect);
    }
  }

  #answered(call: number, outcome: CallOutcome<CallName>): void {
    const take = this.#calls.get(call);
    this.world.check(take !== undefined, () => `${this.process.name} answered call ${call} twice`);
    this.#calls.delete(call);
    take?.(outcome);
  }
  #holdAgain(held: HeldEvent): void {
    if (!this.#operations.has(held.operation) || !this.isAdmitting) return;
    this.#crossed.add(held.operation);
    this.input({ kind: "event-held", held });
  }
  #resume(operation: OperationId, decision: Decision): void {
    const held = this.#operations.get(operation);
    if (held === undefined && this.#crossed.has(operation)) return; // its user went, or it was raised anew, while a decision was on its way
    this.world.check(held !== undefined, () => `${this.process.name} resumed operation ${operation}, which does not wait`);
    this.#operations.delete(operation);
    held?.resume(decision);
  }

  #armTimer(): void {
    const dueMs = this.node.deadlineMs;
    const timers = this.#timers;
    if (dueMs === Number.POSITIVE_INFINITY || (timers.length > 0 && timers[timers.length - 1]! <= dueMs)) return;
    timers.push(dueMs);
    this.process.after(this.process.toWorldMs(Math.max(0.5, dueMs - this.process.clockMs)), () => {
      timers.splice(timers.indexOf(dueMs), 1);
      if (this.node.deadlineMs <= this.process.clockMs) this.input({ kind: "time-passed" });
      else this.#armTimer();
    });
  }

  #end(): void {
    for (const answer of this.#calls.values()) answer({ kind: "gone" });
    this.#calls.clear();
    for (const held of this.#operations.values()) held.resume("gone");
    this.#operations.clear();
  }
}
