/**
 * Wires between processes: each process dials each peer it wants for what it sends. A wire is first in, first out; it
 * breaks and loses what was in flight; a cut is a black hole until silence is noticed; different wires overtake each other.
 *
 * Source    wire/links.ts, whose promises these are; safety C7, C9.
 */
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import type { Frame } from "../cluster/messages.js";
import type { Process, World } from "./world.js";

const SILENCE_MS = 3_000;

export interface Station {
  readonly id: NodeId;
  readonly process: Process;
  readonly incarnation: Incarnation;
  linkUp(peer: NodeId, incarnation: Incarnation): void;
  linkDown(peer: NodeId): void;
  receive(frame: Frame): void;
}

interface Wire {
  readonly from: Station;
  readonly to: NodeId;
  /** The process at the other end while the wire is up. */
  end: Station | undefined;
  /** Grows with each connection: what was in flight on an older one is lost. */
  connection: number;
  lastArrivalMs: number;
  /** Slowest a frame may travel here, where that is more than elsewhere. */
  slowMs: number;
  isWanted: boolean;
}

export class NetworkModel {
  readonly #world: World;
  readonly #stations = new Map<NodeId, Station>();
  readonly #wires = new Map<string, Wire>();
  readonly #cuts = new Set<string>();
  #isCalm = false;
  /** Slowest a frame may travel; faults raise it. */
  delayMs = 5;

  constructor(world: World) {
    this.#world = world;
  }

  attach(station: Station): void {
    this.#stations.set(station.id, station);
    station.process.onEnd(() => {
      for (const wire of this.#wires.values()) if (wire.from === station || wire.end === station) this.#break(wire);
      for (const [name, wire] of this.#wires) if (wire.from === station) this.#wires.delete(name);
    });
  }

  want(from: Station, to: NodeId): void {
    const name = wireName(from, to);
    if (this.#wires.get(name)?.isWanted) return;
    const wire: Wire = { from, to, end: undefined, connection: 0, lastArrivalMs: 0, slowMs: this.#isCalm ? 0 : this.#world.random.pick(this.#world.stress.wireMs), isWanted: true };
    this.#wires.set(name, wire);
    this.#dialLater(wire, 1);
  }
  unwant(from: Station, to: NodeId): void {
    const wire = this.#wires.get(wireName(from, to));
    if (wire === undefined) return;
    wire.isWanted = false;
    this.#wires.delete(wireName(from, to));
    this.#break(wire);
  }

  transmit(from: Station, to: NodeId, frame: Frame): void {
    const wire = this.#wires.get(wireName(from, to));
    if (wire?.end === undefined || this.#isCut(from.id, to)) return;
    const { end, connection } = wire;
    wire.lastArrivalMs = Math.max(wire.lastArrivalMs, this.#world.nowMs + 0.1 + this.#world.random.below(100) * 0.01 * Math.max(this.delayMs, wire.slowMs));
    this.#world.after(wire.lastArrivalMs - this.#world.nowMs, () => {
      if (wire.connection !== connection || wire.end !== end || this.#isCut(from.id, to)) return;
      end.process.deliver(() => end.receive(frame));
    });
  }

  /** The station goes on as another incarnation: every connection from and to it ends. */
  renew(station: Station): void {
    for (const wire of this.#wires.values()) if (wire.from === station || wire.end === station) this.#break(wire);
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cuts.add(`${from}>${to}`);
    const wires = [...this.#wires.values()].filter((wire) => wire.from.id === from && wire.to === to);
    this.#world.after(SILENCE_MS, () => {
      for (const wire of wires) if (this.#isCut(from, to)) this.#break(wire);
    });
  }
  heal(): void {
    this.#cuts.clear();
    for (const wire of this.#wires.values()) this.#break(wire);
  }
  /** Nothing is wrong with it any more. */
  calm(): void {
    this.#isCalm = true;
    this.delayMs = 5;
    for (const wire of this.#wires.values()) wire.slowMs = 0;
    this.heal();
  }
  /** Loses the suffix in flight on some wires of a node. */
  breakSome(id: NodeId): void {
    for (const wire of this.#wires.values()) if ((wire.from.id === id || wire.to === id) && this.#world.random.chance(0.7)) this.#break(wire);
  }

  #isCut(from: NodeId, to: NodeId): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  #dialLater(wire: Wire, delayMs: number): void {
    this.#world.after(delayMs, () => {
      if (!wire.isWanted || !wire.from.process.isAlive || wire.end !== undefined) return;
      const peer = this.#stations.get(wire.to);
      // A handshake needs both directions, and both processes running.
      const mayOpen = peer?.process.isRunning === true && wire.from.process.isRunning && !this.#isCut(wire.from.id, wire.to) && !this.#isCut(wire.to, wire.from.id);
      if (!mayOpen) return this.#dialLater(wire, 200 + this.#world.random.below(800));
      wire.end = peer;
      wire.connection++;
      wire.lastArrivalMs = this.#world.nowMs;
      const { incarnation } = peer;
      const { connection } = wire;
      wire.from.process.after(1, () => {
        if (wire.connection === connection && wire.end === peer) wire.from.linkUp(wire.to, incarnation);
      });
    });
  }

  #break(wire: Wire): void {
    if (wire.end === undefined) return;
    wire.end = undefined;
    wire.connection++;
    wire.from.process.after(0, () => wire.from.linkDown(wire.to));
    if (wire.isWanted) this.#dialLater(wire, 50 + this.#world.random.below(200));
  }
}

function wireName(from: Station, to: NodeId): string {
  return `${from.process.name}>${to}`;
}
