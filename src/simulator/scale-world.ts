/**
 * Many nodes without faults, to see what an operation costs as the cluster grows: the very `ClusterNode` of the daemon,
 * every frame counted and packed by the wire's own codec.
 *
 * Links are perfect and take a tenth of a millisecond. Coordination is the least that keeps its contract, told at once and
 * for nothing: what it costs on a real volume (each node looks at every other's file) is not in these figures.
 *
 * Not here  what is measured and how it is told (scale.ts). Faults: the scenes.
 */
import { assert } from "../base/assert.js";
import { Random } from "../base/random.js";
import type { CoordinationFact, CoordinationRequest } from "../cluster/coordination-contract.js";
import { ClusterNode } from "../cluster/node.js";
import { defaultTimeouts, type NodeEffect, type NodeInput } from "../cluster/node-contract.js";
import type { MemberFacts, View } from "../cluster/view-document.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import type { FsName, Handle, Incarnation, NodeId } from "../dmapi/ids.js";
import { encodeLinkMessage } from "../wire/node-frames.js";
import { World } from "./world.js";

const LATENCY_MS = 0.1;
const VOLUME_MS = 3;
/** A node reads the volume so often. */
const LOOK_MS = 250;
const FOR_EVER_MS = 1e12;

type Input = NodeInput extends infer I ? (I extends unknown ? Omit<I, "atMs"> : never) : never;
type Ended = Extract<NodeEffect, { kind: "answer-call" | "refuse-call" }>;

interface Station {
  readonly id: NodeId;
  readonly facts: MemberFacts;
  readonly machine: ClusterNode;
  isRunning: boolean;
  /** The earliest time at which somebody will look at its deadline. */
  wakeAtMs: number;
}
/** What was sent since counting began. */
export interface Cost {
  messages: number;
  bytes: number;
  /** Messages by kind; "-" a bare acknowledgement. */
  readonly kinds: Map<string, number>;
}

export class ScaleWorld {
  readonly world = new World(new Random(1));
  readonly #stations = new Map<NodeId, Station>();
  #restless: Station | undefined;
  #resumed = 0;
  readonly #ended = new Map<number, Ended>();
  #views: View[] = [];
  #calls = 0;
  #cost: Cost = newCost();

  get nodes(): NodeId[] {
    return [...this.#stations.values()].filter((station) => station.isRunning).map(({ id }) => id);
  }
  get view(): View | undefined {
    return this.#views.at(-1);
  }
  get isAtRest(): boolean {
    // Asked after each step of the world: most often the one that was not at rest is still not.
    if (this.#restless !== undefined && !this.#isResting(this.#restless)) return false;
    for (const station of this.#stations.values()) {
      if (this.#isResting(station)) continue;
      this.#restless = station;
      return false;
    }
    this.#restless = undefined;
    return this.#stations.get(this.view!.manager)!.machine.isInForce;
  }
  #isResting({ isRunning, machine }: Station): boolean {
    return !isRunning || (machine.state === "member" && machine.view?.number === this.view?.number);
  }

  /** All at once, each of which sees all others. */
  start(count: number): void {
    for (let at = 0; at < count; at++) {
      const id = `n${String(at).padStart(4, "0")}` as NodeId;
      const facts = { id, incarnation: 1 as Incarnation, bootId: `boot-${id}`, address: `10.0.${at >> 8}.${at & 255}:7801`, isEligible: true, preference: 0 };
      const machine = new ClusterNode({ cluster: "scale", ...facts, timeouts: defaultTimeouts });
      this.#stations.set(id, { id, facts, machine, isRunning: true, wakeAtMs: Number.POSITIVE_INFINITY });
    }
    const all = [...this.#stations.values()];
    const reaches = all.map(({ id }) => id);
    for (const station of all) {
      this.#tell(station, { kind: "lease-renewed", validUntilMs: FOR_EVER_MS, tookMs: 0 });
      for (const other of all) if (other !== station) this.#tell(station, { kind: "member-seen", member: other.facts, reaches });
      this.#tell(station, { kind: "view-seen", view: undefined });
    }
  }

  step(id: NodeId, input: Input): void {
    const station = this.#stations.get(id);
    if (station?.isRunning === true) this.#step(station, input);
  }
  /** Counts from now on, until `stop` says what there was. */
  begin(): void {
    this.#cost = newCost();
  }
  stop(): Cost {
    return this.#cost;
  }
  runFor(ms: number): void {
    this.world.run(this.world.nowMs + ms);
  }
  runUntil(holds: () => boolean, withinMs: number): void {
    if (!holds()) this.world.run(this.world.nowMs + withinMs, holds);
    assert(holds(), "it comes about in time");
  }

  /** Runs until the call is answered. */
  call<N extends CallName>(node: NodeId, name: N, args: ArgsOf<N>): ResultOf<N> {
    const ended = this.wait(this.beginCall(node, name, args));
    if (ended.kind === "refuse-call") throw new Error(`${name}: ${ended.failure.message}`);
    return ended.result as ResultOf<N>;
  }
  beginCall<N extends CallName>(node: NodeId, name: N, args: ArgsOf<N>): number {
    const call = ++this.#calls;
    this.step(node, { kind: "call-made", call, client: 1, name, args });
    return call;
  }
  wait(call: number): Ended {
    this.runUntil(() => this.#ended.has(call), 120_000);
    return this.#ended.get(call)!;
  }
  get resumedCount(): number {
    return this.#resumed;
  }

  attach(fs: FsName, handle: Handle, rootHandle: Handle): void {
    for (const id of this.nodes) this.step(id, { kind: "fs-attached", fs, handle, rootHandle, eventList: 0, mountpoint: `/${fs}` });
  }

  /** Its lock is free at once, and everybody who looks sees that it is dead. */
  kill(id: NodeId): void {
    const killed = this.#stations.get(id)!;
    killed.isRunning = false;
    for (const station of this.#stations.values()) {
      if (!station.isRunning) continue;
      this.world.after(LATENCY_MS, () => {
        this.#step(station, { kind: "link-down", peer: id });
        this.#tell(station, { kind: "member-dead", id, incarnation: killed.facts.incarnation, isProven: true, isForGood: true });
      });
    }
  }

  #tell(station: Station, fact: CoordinationFact): void {
    if (station.isRunning) this.#step(station, { kind: "coordination", fact });
  }

  #step(station: Station, input: Input): void {
    const timed = input as { -readonly [K in "atMs"]?: number };
    timed.atMs = this.world.nowMs;
    for (const effect of station.machine.step(input as NodeInput)) this.#perform(station, effect);
    this.#arm(station, station.machine.deadlineMs);
  }
  #arm(station: Station, dueMs: number): void {
    if (dueMs >= station.wakeAtMs || dueMs === Number.POSITIVE_INFINITY) return;
    station.wakeAtMs = dueMs;
    this.world.after(dueMs - this.world.nowMs, () => {
      if (station.wakeAtMs === dueMs) station.wakeAtMs = Number.POSITIVE_INFINITY;
      if (!station.isRunning) return;
      if (station.machine.deadlineMs <= this.world.nowMs) this.#step(station, { kind: "time-passed" });
      else this.#arm(station, station.machine.deadlineMs);
    });
  }

  #perform(station: Station, effect: NodeEffect): void {
    const after = (ms: number, input: Input): void => this.world.after(ms, () => this.step(station.id, input));
    switch (effect.kind) {
      case "transmit":
        return this.#transmit(effect);
      case "link-wanted": {
        const peer = this.#stations.get(effect.peer);
        if (peer === undefined || station.id > peer.id || !peer.isRunning) return;
        this.world.after(LATENCY_MS, () => {
          this.step(station.id, { kind: "link-up", peer: peer.id, incarnation: peer.facts.incarnation });
          this.step(peer.id, { kind: "link-up", peer: station.id, incarnation: station.facts.incarnation });
        });
        return;
      }
      case "coordinate":
        return this.#coordinate(station, effect.request);
      case "answer-call":
      case "refuse-call":
        this.#ended.set(effect.call, effect);
        return;
      case "volume-job":
        return after(LATENCY_MS, { kind: "volume-done", job: effect.job, result: { kind: "ok", result: {}, record: null } });
      case "raise-fence":
        return after(LATENCY_MS, { kind: "fence-drained", handle: effect.handle, fenceNumber: effect.fenceNumber });
      case "begin-round":
        return after(LATENCY_MS, { kind: "round-drained", round: effect.round, from: effect.from });
      case "resume-operation":
        this.#resumed += 1;
        return;
      default:
        return;
    }
  }

  #transmit({ to, frame }: Extract<NodeEffect, { kind: "transmit" }>): void {
    const cost = this.#cost;
    cost.messages += 1;
    cost.bytes += encodeLinkMessage({ kind: "frame", frame }).length;
    const kind = frame.body?.kind ?? "-";
    cost.kinds.set(kind, (cost.kinds.get(kind) ?? 0) + 1);
    this.world.after(LATENCY_MS, () => this.step(to, { kind: "frame-received", frame }));
  }

  #coordinate(station: Station, request: CoordinationRequest): void {
    switch (request.kind) {
      case "publish-view": {
        const { view } = request;
        this.world.after(VOLUME_MS, () => {
          if ((this.view?.number ?? 0) >= view.number) return this.#tell(station, { kind: "view-lost", number: view.number });
          this.#views = [view];
          this.#tell(station, { kind: "view-published", number: view.number });
          for (const other of this.#stations.values()) if (other !== station) this.world.after(LOOK_MS, () => this.#tell(other, { kind: "view-seen", view }));
        });
        return;
      }
      case "claim": {
        const isDead = this.#stations.get(request.id)?.isRunning === false;
        const { id, incarnation } = request;
        this.world.after(VOLUME_MS, () => this.#tell(station, { kind: isDead ? "claim-won" : "claim-lost", id, incarnation }));
        return;
      }
      default:
        return; // whom it reaches is known; nobody is excluded here
    }
  }
}

function newCost(): Cost {
  return { messages: 0, bytes: 0, kinds: new Map() };
}
