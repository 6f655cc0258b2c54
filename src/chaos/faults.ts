/**
 * What goes wrong in a chaos run: a schedule drawn from the seed alone, in which every kind has its turn before any comes
 * again, and the doing of each. A fault is healed before the next one begins, but the cluster need not have recovered.
 */
import type { NodeId } from "../client/index.js";
import { delay } from "../cli/cluster/local-cluster.js";
import { Random } from "../base/random.js";
import { FS1, now } from "../torture/run.js";
import { type Chaos, FS2 } from "./chaos.js";
import { AssumeProbe, TakeoverProbe } from "./probes.js";

const kinds = [
  "kill", "kill-manager", "kill-session-node", "kill-manager-and-session-node", "freeze", "freeze-past-eviction", "freeze-manager",
  "cut", "cut-one-way", "slow", "isolate", "full", "move-manager", "kill-application", "kill-user",
] as const;
const RESTART_BOUND_MS = 240_000;
export type FaultKind = (typeof kinds)[number];
export interface Planned {
  readonly kind: FaultKind;
  /** The node it falls on, by its place, where the kind leaves it open; and another. */
  readonly node: number;
  readonly other: number;
  readonly waitMs: number;
  readonly holdMs: number;
}

/** @param only the kinds that have their turn; none: all. @throws Error a kind that is none. */
export function* schedule(seed: number, nodes: number, only: readonly string[] = []): Generator<Planned, never, undefined> {
  const random = new Random(seed);
  const unknown = only.find((name) => !kinds.some((kind) => kind === name));
  if (unknown !== undefined) throw new Error(`"${unknown}" is no kind of fault; there are ${kinds.join(", ")}`);
  for (;;) {
    const deck = kinds.filter((kind) => only.length === 0 || only.includes(kind));
    while (deck.length > 0) {
      const [kind] = deck.splice(random.below(deck.length), 1);
      const node = random.below(nodes);
      yield { kind: kind!, node, other: (node + 1 + random.below(nodes - 1)) % nodes, waitMs: random.between(500, 4_000), holdMs: random.between(0, 1_000) };
    }
  }
}

export class Faults {
  readonly #chaos: Chaos;
  /** From the kill of the session manager to the first answered session call elsewhere. */
  readonly takeoverMs: number[] = [];
  /** From the call that assumes a session to the first event that comes again with it. */
  readonly reofferedMs: number[] = [];

  constructor(chaos: Chaos) {
    this.#chaos = chaos;
  }

  async perform(plan: Planned): Promise<void> {
    const { run } = this.#chaos;
    const node = run.nodes[plan.node]!;
    const other = run.nodes[plan.other]!;
    const manager = await this.#manager();
    const host = await this.#sessionNode(manager);
    run.note(`fault ${plan.kind} (${node}, ${other}; manager ${manager}, sessions on ${host})`);
    this.#chaos.count(`fault ${plan.kind}`);
    switch (plan.kind) {
      case "kill":
        return this.#kill([node], plan, manager);
      case "kill-manager":
        return this.#kill([manager], plan, manager);
      case "kill-session-node":
        return this.#kill([host], plan, manager);
      case "kill-manager-and-session-node":
        return this.#kill([manager, host], plan, manager);
      case "freeze":
        return this.#freeze(node, 200 + 2 * plan.holdMs);
      case "freeze-past-eviction":
        return this.#freeze(node, 8_000 + 4 * plan.holdMs);
      case "freeze-manager":
        return this.#freeze(manager, 8_000 + 2 * plan.holdMs);
      case "cut":
        return this.#cut([[node, other]], plan.holdMs, false);
      case "cut-one-way":
        return this.#cut([[node, other]], plan.holdMs, true);
      case "slow":
        return this.#slow(node, other, 50 + plan.holdMs / 2, plan.holdMs);
      case "isolate":
        return this.#cut(run.nodes.filter((id) => id !== node).map((id) => [node, id] as const), plan.holdMs, false);
      case "full":
        return this.#fill(node, plan.holdMs);
      case "move-manager":
        return this.#move(other === manager ? node : other);
      case "kill-application":
        return this.#chaos.killActor("application", node);
      case "kill-user":
        return this.#chaos.killActor("asker", node);
    }
  }

  async #manager(): Promise<NodeId> {
    for (;;) {
      const { manager } = await this.#chaos.run.cluster.document();
      if (manager !== null) return manager;
      await delay(100);
    }
  }
  /** The node, other than the manager, with the most sessions. */
  async #sessionNode(manager: NodeId): Promise<NodeId> {
    const { run } = this.#chaos;
    const counts = new Map<NodeId, number>();
    for (const { node, state } of (await run.cluster.status(manager).catch(() => undefined))?.registry.sessions ?? []) {
      if (state === "active" && node !== manager) counts.set(node, (counts.get(node) ?? 0) + 1);
    }
    const [most] = [...counts].sort((a, b) => b[1] - a[1]);
    return most?.[0] ?? run.nodes.find((id) => id !== manager)!;
  }

  async #kill(victims: readonly NodeId[], plan: Planned, manager: NodeId): Promise<void> {
    const { run } = this.#chaos;
    const survivor = run.nodes.find((id) => !victims.includes(id))!;
    const host = victims.find((id) => id !== manager);
    const takeover = victims.includes(manager) ? await this.#probe("takeover", () => TakeoverProbe.begin(run, survivor)) : undefined;
    const assume = host === undefined ? undefined : await this.#probe("assume", () => AssumeProbe.begin(run, host, survivor, FS2, this.#chaos.probedFile(survivor)));
    const faults = victims.map((node) => run.beginFault("killed", node));
    for (const node of victims) this.#chaos.daemon(node, "killed");
    const killed = Promise.all(victims.map((node) => run.cluster.kill(node)));
    await Promise.all([
      this.#measure(this.takeoverMs, takeover?.measure(run)), this.#measure(this.reofferedMs, assume?.measure(run)), killed,
    ]);
    await delay(3 * plan.holdMs);
    for (const [at, node] of victims.entries()) {
      await this.#restart(node);
      this.#chaos.daemon(node, "up");
      faults[at]!.untilNs = now();
    }
  }
  /** A slow machine may need longer than a command waits. */
  async #restart(node: NodeId): Promise<void> {
    const { cluster } = this.#chaos.run;
    try {
      await cluster.restart(node);
    } catch (error) {
      if (cluster.pid(node) === undefined) throw error;
      this.#chaos.run.note(String(error));
      await cluster.waitUntilUsable([node], RESTART_BOUND_MS);
    }
  }
  /** A cluster that has not recovered from the fault before may not have what a probe needs. */
  async #probe<P>(what: string, begin: () => Promise<P>): Promise<P | undefined> {
    try {
      return await begin();
    } catch (error) {
      this.#chaos.run.note(`no ${what} probe: ${String(error)}`);
      return undefined;
    }
  }
  async #measure(into: number[], measured: Promise<number | undefined> | undefined): Promise<void> {
    try {
      const ms = await measured;
      if (ms !== undefined) into.push(ms);
    } catch (error) {
      this.#chaos.run.problems.push(`after a kill: ${String(error)}`);
    }
  }

  async #freeze(node: NodeId, ms: number): Promise<void> {
    const { run } = this.#chaos;
    const fault = run.beginFault("frozen", node);
    this.#chaos.daemon(node, "frozen");
    run.cluster.pause(node);
    await delay(ms);
    run.cluster.resume(node);
    this.#chaos.daemon(node, "thawed");
    fault.untilNs = now();
  }

  async #cut(pairs: readonly (readonly [NodeId, NodeId])[], holdMs: number, isOneWay: boolean): Promise<void> {
    const { run } = this.#chaos;
    const faults = [...new Set(pairs.flat())].map((node) => run.beginFault("cut", node));
    for (const [a, b] of pairs) await run.cluster.cut(a, b, isOneWay);
    await delay(1_000 + 9 * holdMs);
    await run.cluster.heal();
    for (const fault of faults) fault.untilNs = now();
  }

  async #slow(a: NodeId, b: NodeId, delayMs: number, holdMs: number): Promise<void> {
    const { run } = this.#chaos;
    await run.cluster.slow(a, b, Math.round(delayMs));
    await delay(1_000 + 9 * holdMs);
    await run.cluster.heal();
  }

  /** A user of that node fills the file system until nothing more fits. */
  async #fill(node: NodeId, holdMs: number): Promise<void> {
    const { run } = this.#chaos;
    const ballast = `${run.cluster.mountpoint(node, FS1)}/ballast`;
    const fault = run.beginFault("full");
    const written = await run.execute("dd", ["if=/dev/zero", `of=${ballast}`, "bs=128k"], 60_000);
    if (!written.stderr.includes("No space left")) run.note(`dd: ${written.code} ${written.stderr}`);
    await delay(1_000 + 5 * holdMs);
    const removed = await run.execute("rm", ["-f", ballast], 60_000);
    if (removed.code !== 0) run.problems.push(`the ballast on ${node} could not be removed: ${removed.code} ${removed.stderr}`);
    fault.untilNs = now();
  }

  async #move(to: NodeId): Promise<void> {
    const { run } = this.#chaos;
    try {
      await run.cluster.call(to, "manager.move", { to }, 60_000);
      this.#chaos.count("manager moved");
    } catch (error) {
      run.note(`manager move: ${String(error)}`); // refused while views change; it is asked again another time
    }
  }
}
