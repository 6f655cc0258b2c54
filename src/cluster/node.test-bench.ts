/**
 * Test support: a few `ClusterNode`s on a virtual clock, with a network that can lose, break and cut, and the least
 * coordination that keeps the contract: leases, proofs of death, views by compare-and-swap, claims.
 *
 * Links are first in first out; a broken one loses what was in flight both ways and comes back by itself. A paused node
 * takes nothing, renews nothing and gets everything afterwards. A killed one is proven dead when somebody looks.
 *
 * Used only by tests. The simulator proper models more (volumes, kernels); this is for the membership half.
 */
import { assert } from "../base/assert.js";
import { Random } from "../base/random.js";
import type { CallName } from "../dmapi/calls.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import type { CoordinationFact, CoordinationRequest } from "./coordination-contract.js";
import type { Frame } from "./messages.js";
import { ClusterNode } from "./node.js";
import { defaultTimeouts, type NodeEffect, type NodeInput, type VolumeJob, type VolumeResult } from "./node-contract.js";
import type { MemberFacts, View } from "./view-document.js";

const RENEW_MS = 250;
const HOLD_MS = 4_000;
export const DEAD_MS = 6_000;
const RECONNECT_MS = 100;

type Input = NodeInput extends infer I ? (I extends unknown ? Omit<I, "atMs"> : never) : never;
export interface Process {
  readonly id: NodeId;
  machine: ClusterNode;
  /** The machine's, as of its last step. */
  deadlineMs: number;
  /** Grows with each start, so that what was meant for a former process does not reach the next. */
  life: number;
  isRunning: boolean;
  isPaused: boolean;
  waiting: Input[];
  wanted: Map<NodeId, Incarnation>;
  told: Map<NodeId, string>;
  toldView: string | undefined;
  /** Asked of coordination while its directory failed. */
  owed: CoordinationRequest[];
  isTurnOpen: boolean;
}
interface Lease {
  facts: MemberFacts;
  reaches: readonly NodeId[];
  renewedAtMs: number;
  isTaken: boolean;
  isLocked: boolean;
}
interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly act: () => void;
}
export interface BenchOptions {
  readonly seed?: number;
  readonly latencyMs?: readonly [number, number];
  readonly preference?: Readonly<Record<string, number>>;
  /** How far a node's own clock is from the others'. */
  readonly skewMs?: Readonly<Record<string, number>>;
  /** A turn of a node lasts so long; absent: each step is one. */
  readonly turnMs?: number;
  /** What each node's volume does with a job, and that its reactors drain at once; absent: there is neither. */
  readonly volume?: (work: VolumeJob) => VolumeResult;
}
export type Watch = (node: NodeId, effect: NodeEffect, atMs: number) => void;

export class Bench {
  readonly random: Random;
  readonly processes = new Map<NodeId, Process>();
  readonly views: View[] = [];
  readonly #options: BenchOptions;
  readonly #watch: Watch;
  readonly #leases = new Map<NodeId, Lease>();
  /** Key "A B" with A < B: connection number; absent while down. */
  readonly #links = new Map<string, number>();
  readonly #arrivesAtMs = new Map<string, number>();
  readonly #cuts = new Set<string>();
  /** Nodes whose coordination directory fails: nothing is read, renewed or answered. */
  readonly #withoutDisk = new Set<NodeId>();
  readonly #slow = new Map<string, number>();
  #connections = 0;
  #timers: Timer[] = [];
  #order = 0;
  #nowMs = 0;
  #stepsAtOnce = 0;

  constructor(options: BenchOptions, watch: Watch = () => undefined) {
    this.#options = options;
    this.#watch = watch;
    this.random = new Random(options.seed ?? 1);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  // What a test does.

  start(id: NodeId): void {
    const former = this.processes.get(id);
    const incarnation = ((this.#leases.get(id)?.facts.incarnation ?? 0) + 1) as Incarnation;
    const facts: MemberFacts = {
      id, incarnation, bootId: "boot", address: `${id}:1`, isEligible: true, preference: this.#options.preference?.[id] ?? 0,
    };
    const machine = new ClusterNode({ cluster: "test", ...facts, timeouts: defaultTimeouts, hasTurns: this.#options.turnMs !== undefined });
    const process: Process = { id, machine, deadlineMs: machine.deadlineMs - this.#skewMs(id), life: (former?.life ?? 0) + 1, isRunning: true, isPaused: false, waiting: [], wanted: new Map(), told: new Map(), toldView: undefined, owed: [], isTurnOpen: false };
    this.processes.set(id, process);
    this.#leases.set(id, { facts, reaches: [], renewedAtMs: this.#nowMs, isTaken: false, isLocked: true });
    this.#tick(process);
    this.#reconnect(process);
  }

  kill(id: NodeId): void {
    const process = this.#process(id);
    process.isRunning = false;
    process.isPaused = false;
    process.waiting = [];
    const lease = this.#leases.get(id);
    if (lease !== undefined) lease.isLocked = false;
    for (const peer of this.processes.keys()) this.breakLink(id, peer);
  }

  pause(id: NodeId): void {
    this.#process(id).isPaused = true;
  }
  resume(id: NodeId): void {
    const process = this.#process(id);
    process.isPaused = false;
    const waiting = process.waiting;
    process.waiting = [];
    for (const input of waiting) this.step(process, input);
  }

  /** Frames from `from` to `to` vanish; the link stays up. */
  cut(from: NodeId, to: NodeId): void {
    this.#cuts.add(`${from} ${to}`);
  }
  failDisk(id: NodeId): void {
    this.#withoutDisk.add(id);
  }
  /** Frames between them take so much longer. */
  slow(a: NodeId, b: NodeId, byMs: number): void {
    this.#slow.set(linkKey(a, b), byMs);
  }
  heal(): void {
    this.#cuts.clear();
    this.#slow.clear();
    this.#withoutDisk.clear();
  }
  breakLink(a: NodeId, b: NodeId): void {
    const key = linkKey(a, b);
    if (!this.#links.delete(key)) return;
    for (const [one, other] of [[a, b], [b, a]] as const) {
      const process = this.processes.get(one);
      if (process?.isRunning) this.step(process, { kind: "link-down", peer: other });
    }
  }

  tellClock(id: NodeId, unixMs: number): void {
    this.step(this.#process(id), { kind: "clock-told", aheadMs: unixMs - this.#nowMs });
  }
  call(id: NodeId, call: number, name: CallName, args: unknown): void {
    this.step(this.#process(id), { kind: "call-made", call, client: 1, name, args, caller: { pid: 100 + call, uid: 7, command: "hsm" } });
  }

  run(forMs: number): void {
    const untilMs = this.#nowMs + forMs;
    while (this.#next(untilMs)) {}
    this.#nowMs = untilMs;
  }
  /** Runs until `holds`, at most so long; whether it came to hold. */
  runUntil(holds: () => boolean, withinMs: number): boolean {
    const untilMs = this.#nowMs + withinMs;
    while (!holds()) if (!this.#next(untilMs)) return false;
    return true;
  }

  step(process: Process, input: Input): void {
    if (!process.isRunning) return;
    if (process.isPaused) {
      process.waiting.push(input);
      return;
    }
    const effects = process.machine.step({ ...input, atMs: this.#nowMs + this.#skewMs(process.id) });
    process.deadlineMs = process.machine.deadlineMs - this.#skewMs(process.id);
    for (const effect of effects) this.#perform(process, effect);
    if (process.machine.hasCollected && !process.isTurnOpen) this.#openTurn(process, this.#options.turnMs!);
  }
  #openTurn(process: Process, turnMs: number): void {
    process.isTurnOpen = true;
    this.#after(turnMs, () => {
      process.isTurnOpen = false;
      this.step(process, { kind: "turn-over" });
    });
  }

  // Time.

  #next(untilMs: number): boolean {
    const timer = this.#timers.reduce<Timer | undefined>((a, b) => (a === undefined || b.atMs < a.atMs || (b.atMs === a.atMs && b.order < a.order) ? b : a), undefined);
    let due: Process | undefined;
    for (const process of this.processes.values()) {
      if (!process.isRunning || process.isPaused) continue;
      if (due === undefined || process.deadlineMs < due.deadlineMs) due = process;
    }
    const dueMs = Math.max(due?.deadlineMs ?? Infinity, this.#nowMs);
    const atMs = Math.min(timer?.atMs ?? Infinity, dueMs);
    if (atMs > untilMs) return false;
    this.#stepsAtOnce = atMs > this.#nowMs ? 0 : this.#stepsAtOnce + 1;
    assert(this.#stepsAtOnce < 100_000, `time goes on: ${due?.id} asks for ${due?.deadlineMs} again and again`);
    this.#nowMs = atMs;
    if (timer !== undefined && timer.atMs <= dueMs) {
      this.#timers.splice(this.#timers.indexOf(timer), 1);
      timer.act();
    } else if (due !== undefined) this.step(due, { kind: "time-passed" });
    return true;
  }
  #after(delayMs: number, act: () => void): void {
    this.#timers.push({ atMs: this.#nowMs + delayMs, order: this.#order++, act });
  }

  // Effects.

  #perform(process: Process, effect: NodeEffect): void {
    this.#watch(process.id, effect, this.#nowMs);
    switch (effect.kind) {
      case "transmit":
        return this.#transmit(process, effect.to, effect.frame);
      case "link-wanted":
        process.wanted.set(effect.peer, effect.incarnation);
        return this.#connect(process, effect.peer);
      case "link-unwanted":
        process.wanted.delete(effect.peer);
        return this.breakLink(process.id, effect.peer);
      case "coordinate":
        return this.#coordinate(process, effect.request);
      default:
        if (this.#options.volume !== undefined) this.#work(process, effect, this.#options.volume);
    }
  }

  #work(process: Process, effect: NodeEffect, volume: (work: VolumeJob) => VolumeResult): void {
    const { life } = process;
    const tell = (input: Input): void => this.#after(1, () => { if (process.life === life) this.step(process, input); });
    if (effect.kind === "volume-job") tell({ kind: "volume-done", job: effect.job, result: volume(effect.work) });
    if (effect.kind === "raise-fence") tell({ kind: "fence-drained", handle: effect.handle, fenceNumber: effect.fenceNumber });
    if (effect.kind === "begin-round") tell({ kind: "round-drained", round: effect.round, from: effect.from });
  }

  #transmit(process: Process, to: NodeId, frame: Frame): void {
    const connection = this.#links.get(linkKey(process.id, to));
    if (connection === undefined || this.#cuts.has(`${process.id} ${to}`)) return;
    const [low, high] = this.#options.latencyMs ?? [1, 1];
    const way = `${process.id} ${to} ${connection}`;
    const atMs = Math.max(this.#nowMs + this.random.between(low, high) + (this.#slow.get(linkKey(process.id, to)) ?? 0), this.#arrivesAtMs.get(way) ?? 0);
    this.#arrivesAtMs.set(way, atMs);
    this.#after(atMs - this.#nowMs, () => {
      const peer = this.processes.get(to);
      if (peer !== undefined && this.#links.get(linkKey(process.id, to)) === connection) this.step(peer, { kind: "frame-received", frame });
    });
  }

  #connect(process: Process, peer: NodeId): void {
    const other = this.processes.get(peer);
    const key = linkKey(process.id, peer);
    if (other === undefined || !other.isRunning || !process.isRunning || this.#links.has(key)) return;
    this.#links.set(key, ++this.#connections);
    this.#after(0, () => {
      if (!this.#links.has(key)) return;
      this.step(process, { kind: "link-up", peer, incarnation: other.machine.incarnation });
      this.step(other, { kind: "link-up", peer: process.id, incarnation: process.machine.incarnation });
    });
  }

  #reconnect(process: Process): void {
    const { life } = process;
    this.#after(RECONNECT_MS, () => {
      if (process.life !== life || this.processes.get(process.id) !== process) return;
      if (process.isRunning && !process.isPaused) for (const peer of process.wanted.keys()) this.#connect(process, peer);
      this.#reconnect(process);
    });
  }

  // Coordination.

  #tick(process: Process): void {
    const { life } = process;
    this.#after(RENEW_MS, () => {
      if (this.processes.get(process.id) === process && process.life === life && process.isRunning) this.#tick(process);
    });
    if (process.isPaused || this.#withoutDisk.has(process.id)) return;
    const lease = this.#leases.get(process.id);
    if (lease === undefined) return;
    if (lease.isTaken) {
      if (process.told.get(process.id) !== "taken") {
        process.told.set(process.id, "taken");
        this.#tell(process, { kind: "member-dead", id: process.id, incarnation: lease.facts.incarnation, isProven: false, isForGood: true });
      }
    } else {
      lease.renewedAtMs = this.#nowMs;
      this.#tell(process, { kind: "lease-renewed", validUntilMs: this.#nowMs + this.#skewMs(process.id) + HOLD_MS, tookMs: 0 });
    }
    for (const [id, other] of this.#leases) if (id !== process.id) this.#tellOf(process, other);
    this.#tellView(process);
  }

  #tellOf(process: Process, { facts, reaches, renewedAtMs, isLocked, isTaken }: Lease): void {
    const { id, incarnation } = facts;
    const isSilent = this.#nowMs - renewedAtMs > DEAD_MS;
    const state = !isLocked ? "proven" : isTaken ? "over" : isSilent ? "silent" : "alive";
    const seen = `${incarnation} ${reaches.join(",")}`;
    const before = process.told.get(id)?.split("|");
    process.told.set(id, `${incarnation} ${state}|${state === "alive" ? seen : (before?.[1] ?? "")}`);
    if (before?.[0] === `${incarnation} silent` && state === "alive") this.#tell(process, { kind: "member-alive", id, incarnation });
    if (state === "alive" && before?.[1] !== seen) this.#tell(process, { kind: "member-seen", member: facts, reaches });
    if (state !== "alive" && before?.[0] !== `${incarnation} ${state}`) {
      this.#tell(process, { kind: "member-dead", id, incarnation, isProven: state === "proven", isForGood: state !== "silent" });
    }
  }

  #tellView(process: Process): void {
    const view = this.views.at(-1);
    const told = String(view?.number ?? "none");
    if (process.toldView === told) return;
    process.toldView = told;
    this.#tell(process, { kind: "view-seen", view });
  }

  #tell(process: Process, fact: CoordinationFact): void {
    this.step(process, { kind: "coordination", fact });
  }

  #coordinate(process: Process, request: CoordinationRequest): void {
    const lease = this.#leases.get(process.id);
    const { life } = process;
    const answer = (fact: () => CoordinationFact): void => this.#after(3, () => {
      if (process.life === life && process.isRunning && this.processes.get(process.id) === process) this.#tell(process, fact());
    });
    if (lease === undefined) return;
    if (this.#withoutDisk.has(process.id) || process.owed.length > 0) {
      process.owed.push(request);
      if (process.owed.length === 1) this.#payLater(process);
      return;
    }
    switch (request.kind) {
      case "publish-view":
        return answer(() => this.#publish(request.view));
      case "claim":
        return answer(() => this.#claim(request.id, request.incarnation));
      case "publish-reach":
        lease.reaches = request.reaches;
        return;
      case "probe": {
        const probed = this.#leases.get(request.id);
        if (probed !== undefined) this.#after(2, () => { if (process.isRunning && !process.isPaused) this.#tellOf(process, probed); });
        return;
      }
      case "rejoin":
        lease.facts = { ...lease.facts, incarnation: request.incarnation };
        lease.isTaken = false;
        lease.renewedAtMs = this.#nowMs;
        process.told.delete(process.id);
        return;
      case "leave":
        lease.isLocked = false;
    }
  }

  /** Asked again, in order, when the directory is there again, as a driver does. */
  #payLater(process: Process): void {
    const { life } = process;
    this.#after(RENEW_MS, () => {
      if (process.life !== life || !process.isRunning) return;
      if (this.#withoutDisk.has(process.id)) return this.#payLater(process);
      const owed = process.owed;
      process.owed = [];
      for (const request of owed) this.#coordinate(process, request);
    });
  }

  #publish(view: View): CoordinationFact {
    if ((this.views.at(-1)?.number ?? 0) >= view.number) return { kind: "view-lost", number: view.number };
    this.views.push(view);
    return { kind: "view-published", number: view.number };
  }

  #claim(id: NodeId, incarnation: Incarnation): CoordinationFact {
    const lease = this.#leases.get(id);
    const isDead = lease !== undefined && !lease.isTaken && (!lease.isLocked || this.#nowMs - lease.renewedAtMs > DEAD_MS);
    if (!isDead || lease.facts.incarnation !== incarnation) return { kind: "claim-lost", id, incarnation };
    lease.isTaken = true;
    return { kind: "claim-won", id, incarnation };
  }

  #skewMs(id: NodeId): number {
    return this.#options.skewMs?.[id] ?? 0;
  }
  #process(id: NodeId): Process {
    const process = this.processes.get(id);
    if (process === undefined) throw new Error(`no node ${id}`);
    return process;
  }
}

function linkKey(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
