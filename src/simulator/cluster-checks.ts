/**
 * The promises of the cluster, checked from outside in plain words:
 *
 * - a session id is given out once, for ever;
 * - each (file system, event) has one owner, and nodes of one view with the same registry version have the same registry;
 * - a session call that was answered is not lost while a node lives that had it;
 * - no held operation is lost, or ended twice, or goes on without an application having said so;
 * - a synchronous event is with one application at a time;
 * - view numbers have one content; a proof of death is true;
 * - what is mounted on a node stands in the view.
 */
import type { CoordinationFact } from "../cluster/coordination-contract.js";
import type { Decision, NodeEffect } from "../cluster/node-contract.js";
import type { View } from "../cluster/view-document.js";
import { decodeViewFile, lifeName } from "../coordination/shared-volume/layout.js";
import type { DmResponse, EventMessage } from "../dmapi/events.js";
import type { FsName, OperationId, SessionId } from "../dmapi/ids.js";
import { simulatedTimes } from "./lease-driver-model.js";
import type { CallOutcome, NodeModel } from "./node-model.js";
import type { World } from "./world.js";

interface SessionThought {
  readonly id: SessionId;
  /** What the information may be: the last answered one, and those whose change was not answered, or answered since. */
  infos: Set<string>;
  fate: "exists" | "perhaps destroyed" | "destroyed";
  /** All nodes that had it were lost at once: nothing is promised. */
  isFree: boolean;
}
interface OperationThought {
  readonly node: NodeModel;
  /** When it was raised. */
  readonly life: string;
  decision: Decision | "gone" | undefined;
  isInterrupted: boolean;
  readonly responses: Set<string>;
  /** Which application has its event. */
  with: { readonly node: NodeModel; readonly life: string; readonly session: SessionId } | undefined;
}

export class ClusterChecks {
  readonly #world: World;
  readonly #nodes: () => NodeModel[];
  readonly #sessions = new Map<SessionId, SessionThought>();
  readonly #operations = new Map<number, OperationThought>();
  readonly #views = new Map<number, View>();
  /** Lives that have, as members, a whole copy of the registry. */
  readonly #copies = new Set<string>();
  readonly #processes = new Map<string, NodeModel>();
  readonly #mounts: { readonly node: NodeModel; readonly fs: FsName }[] = [];

  constructor(world: World, nodes: () => NodeModel[]) {
    this.#world = world;
    this.#nodes = nodes;
  }

  get sessionsThought(): SessionId[] {
    return [...this.#sessions.values()].filter((each) => each.fate !== "destroyed").map((each) => each.id);
  }

  // Sessions.

  created(by: NodeModel, id: SessionId, info: string): void {
    this.#world.check(!this.#sessions.has(id), () => `session id ${id} was given out twice`);
    this.#sessions.set(id, { id, infos: new Set([info]), fate: "exists", isFree: this.#isUnknowinglyOut(by) });
  }
  /** A clock that stood still with its machine cannot tell its node that it is out: its word to a local caller counts for nothing (C8). */
  #isUnknowinglyOut(node: NodeModel): boolean {
    const isOut = this.#latestView?.members.some((member) => lifeName(member) === lifeName(node)) === false;
    return isOut && node.process.lastStopMs > this.#world.nowMs - simulatedTimes.holdMs;
  }
  modifying(id: SessionId, info: string): void {
    this.#sessions.get(id)?.infos.add(info);
  }
  modified(id: SessionId, info: string, isAnswered: boolean): void {
    // With several changes under way the order is the manager's; any of them may be the last.
    const thought = this.#sessions.get(id);
    if (thought !== undefined && isAnswered) thought.infos.add(info);
  }
  destroying(id: SessionId): void {
    const thought = this.#sessions.get(id);
    if (thought?.fate === "exists") thought.fate = "perhaps destroyed";
  }
  destroyed(id: SessionId, outcome: CallOutcome<"session.destroy">): void {
    const thought = this.#sessions.get(id);
    if (thought === undefined || thought.fate === "destroyed") return;
    if (outcome.kind === "ok") thought.fate = "destroyed";
  }

  mounted(node: NodeModel, fs: FsName): void {
    this.#mounts.push({ node, fs });
  }

  // Operations.

  held(node: NodeModel, operation: OperationId): void {
    this.#operations.set(operation, { node, life: lifeName(node), decision: undefined, isInterrupted: false, responses: new Set(), with: undefined });
  }
  interrupted(operation: OperationId): void {
    this.#operations.get(operation)!.isInterrupted = true;
  }
  resumed(operation: OperationId, decision: Decision | "gone"): void {
    const thought = this.#operations.get(operation)!;
    this.#world.check(thought.decision === undefined, () => `operation ${operation} ended twice`);
    thought.decision = decision;
    if (decision === "gone") return;
    const said = decision.kind === "continue" ? "continue" : `abort ${decision.code}`;
    const byRule = decision.kind === "abort" && ["EIO", "ESTALE", "ENOTREADY"].includes(decision.code);
    this.#world.check(byRule || thought.responses.has(said), () => `operation ${operation} ended with ${said}, which no application answered`);
  }
  received(node: NodeModel, session: SessionId, message: EventMessage, operation: number): void {
    const thought = this.#operations.get(operation);
    if (thought === undefined || this.#isUnknowinglyOut(node)) return;
    const before = thought.with;
    const here = { node, life: lifeName(node), session };
    const isElsewhere = before !== undefined && (before.life !== here.life || before.session !== session);
    // The former host may not know yet that it is out; what counts is whether the present view still has it, running, as host.
    if (isElsewhere && thought.decision === undefined && this.#isHost(before.node, before.life, before.session)) {
      this.#world.check(false, () => `operation ${operation} (token ${message.token}) came to session ${session} on ${here.life} while session ${before.session} on ${before.life} has it`);
    }
    thought.with = here;
  }
  responding(operation: number, response: DmResponse): void {
    const thought = this.#operations.get(operation);
    thought?.responses.add(response.kind === "abort" ? `abort ${response.code}` : response.kind);
  }
  responded(node: NodeModel, operation: number): void {
    const thought = this.#operations.get(operation);
    if (thought?.with?.node === node) thought.with = undefined;
  }

  #isHost(node: NodeModel, life: string, session: SessionId): boolean {
    if (!node.process.isRunning || lifeName(node) !== life) return false;
    const latest = this.#latestView;
    if (latest === undefined || !latest.members.some((member) => lifeName(member) === life)) return false;
    const report = node.node.describe();
    if (report.state !== "member" || report.view?.number !== latest.number) return false;
    return report.registry.sessions.some((each) => each.id === session && each.node === node.id && each.state !== "failed");
  }

  /** Whether it still waits, on a node that is the same member as when it was raised. */
  isWaitingInView(operation: OperationId): boolean {
    const thought = this.#operations.get(operation);
    if (thought === undefined || thought.decision !== undefined || thought.isInterrupted || !thought.node.isSettled) return false;
    return thought.life === lifeName(thought.node) && this.isInView(thought.life);
  }

  // Views and lives.

  /** Whether the latest view has that life of a node. */
  isInView(life: string): boolean {
    return this.#latestView?.members.some((member) => lifeName(member) === life) === true;
  }
  get #latestView(): View | undefined {
    return this.#views.get(Math.max(0, ...this.#views.keys()));
  }

  viewLinked(path: string, text: string): void {
    const file = decodeViewFile(text);
    this.#world.check(file !== undefined, () => `${path} is not a whole document`);
    const { view } = file!;
    const latest = this.#latestView;
    this.#world.check(!this.#views.has(view.number), () => `two views with number ${view.number}`);
    this.#world.log(() => `view ${view.number} under ${view.manager}: ${view.members.map(lifeName).join(" ")}`);
    this.#views.set(view.number, view);
    this.#forgetLost();
    if (latest !== undefined && !view.members.some((member) => this.#copies.has(lifeName(member)))) {
      for (const session of this.#sessions.values()) session.isFree = true;
    }
  }
  /** A copy is lost with its process, or when its holder begins another life. */
  #forgetLost(): void {
    for (const copy of this.#copies) {
      const node = this.#processes.get(copy);
      if (node === undefined || node.isDead || lifeName(node) !== copy) this.#copies.delete(copy);
    }
  }

  told(by: NodeModel, fact: CoordinationFact): void {
    if (fact.kind !== "member-dead" || !fact.isProven) return;
    const lives = this.#nodes().some((node) => node.process.state !== "dead" && lifeName(node) === lifeName(fact));
    this.#world.check(!lives, () => `${by.id} was told that ${lifeName(fact)} is proven dead, and it lives`);
  }
  observe(by: NodeModel, effect: NodeEffect): void {
    if (effect.kind === "set-admission" && effect.isOpen) {
      this.#copies.add(lifeName(by));
      this.#processes.set(lifeName(by), by);
    }
  }

  // The registry.

  /** Living members of the latest view. */
  sample(): void {
    const latest = this.#latestView;
    const byVersion = new Map<number, { readonly id: string; readonly text: string }>();
    for (const node of this.#nodes()) {
      if (!node.process.isRunning) continue;
      const { state, view, registry } = node.node.describe();
      if (state !== "member" || view?.number !== latest?.number) continue;
      const owners = new Set<string>();
      for (const { fs, event } of registry.dispositions) {
        this.#world.check(event === "mount" || !owners.has(`${fs} ${event}`), () => `on ${node.id} ${event} of ${fs} has two owners`);
        owners.add(`${fs} ${event}`);
      }
      const text = JSON.stringify([[...registry.sessions].sort((a, b) => a.id - b.id), [...registry.dispositions].map((each) => JSON.stringify(each)).sort()]);
      const other = byVersion.get(registry.version);
      this.#world.check(other === undefined || other.text === text, () => `registry version ${registry.version} is ${other!.text} on ${other!.id} and ${text} on ${node.id}`);
      byVersion.set(registry.version, { id: node.id, text });
    }
  }

  unrest(): string | undefined {
    for (const { node, fs } of this.#mounts) {
      const isAnnounced = this.#latestView?.members.some((member) => member.id === node.id && member.mounted.includes(fs));
      if (!node.isDead && isAnnounced !== true) return `${fs} is mounted on ${node.id}, and the view does not say so`;
    }
    for (const [number, thought] of this.#operations) {
      if (thought.decision === undefined && !thought.isInterrupted) return `operation ${number} on ${lifeName(thought.node)} still waits`;
    }
    return undefined;
  }

  atRest(): void {
    this.sample();
    for (const node of this.#nodes()) {
      const { registry } = node.node.describe();
      const made = registry.sessions.map((session) => session.info).filter((info) => info.startsWith("made by"));
      this.#world.check(new Set(made).size === made.length, () => `one call made two sessions on ${node.id}: ${made.join(", ")}`);
      for (const thought of this.#sessions.values()) {
        const entry = registry.sessions.find((each) => each.id === thought.id);
        if (thought.fate === "destroyed") {
          this.#world.check(entry === undefined || thought.isFree, () => `session ${thought.id} was destroyed and is back on ${node.id}`);
        } else if (thought.fate === "exists" && !thought.isFree) {
          this.#world.check(entry !== undefined, () => `session ${thought.id} was answered and is lost on ${node.id}`);
        }
        if (entry === undefined) continue;
        this.#world.check(thought.isFree || thought.infos.has(entry.info), () => `session ${thought.id} says ${entry.info} on ${node.id}`);
        const isHosted = this.#nodes().some((each) => each.id === entry.node && !each.isDead);
        this.#world.check(entry.state !== "closing" && isHosted, () => `session ${thought.id} is ${entry.state} on ${entry.node}`);
      }
    }
  }
}
