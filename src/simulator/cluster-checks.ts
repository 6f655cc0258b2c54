/**
 * The promises of the cluster, checked from outside in plain words:
 *
 * - a session id is given out once, for ever;
 * - each (file system, event) has one owner, and nodes of one view with the same registry version have the same registry;
 * - a session call that was answered is not lost while a node lives that had it;
 * - no held operation is lost, or ended twice, or goes on without an application having said so;
 * - a synchronous event is with one application at a time;
 * - view numbers have one content; a proof of death is true;
 * - what is mounted on a node stands in the view;
 * - while a node stays out of the view, no user waits there for its event longer than the operator allows.
 */
import type { CoordinationFact } from "../cluster/coordination-contract.js";
import type { Decision, NodeEffect } from "../cluster/node-contract.js";
import type { View } from "../cluster/view-document.js";
import { decodeViewFile, lifeName } from "../coordination/shared-volume/layout.js";
import type { DmResponse, EventMessage } from "../dmapi/events.js";
import type { FsName, OperationId, SessionId } from "../dmapi/ids.js";
import { OperationPromises, type Reception } from "../promises/operations.js";
import { checkRegistries } from "../promises/registry.js";
import { SessionPromises, type SessionsAnswered } from "../promises/sessions.js";
import { simulatedTimes } from "./lease-driver-model.js";
import { type CallOutcome, type NodeModel, simulatedTimeouts } from "./node-model.js";
import type { World } from "./world.js";

/** Within that time a node does what it owes, once it runs. */
const ENDING_MS = 1_000;

export class ClusterChecks {
  readonly #world: World;
  readonly #nodes: () => NodeModel[];
  readonly #sessions: SessionPromises;
  readonly #operations: OperationPromises<NodeModel>;
  /** Where each operation was raised, and in which life of that node. */
  readonly #raised = new Map<OperationId, { readonly node: NodeModel; readonly life: string }>();
  readonly #views = new Map<number, View>();
  /** Lives that have, as members, a whole copy of the registry. */
  readonly #copies = new Set<string>();
  readonly #versions = new Map<string, number>();
  /** Until when, on its own clock, a life may go by its view. */
  readonly #validUntilMs = new Map<string, number>();
  /** Lives that have been told of a view without them: what they renew from then on gives them nothing back. */
  readonly #toldOut = new Set<string>();
  readonly #processes = new Map<string, NodeModel>();
  /** Nodes out of the view, with what began when they were excluded. */
  readonly #out = new Map<NodeModel, object>();
  readonly #mounts: { readonly node: NodeModel; readonly fs: FsName }[] = [];
  #latestView: View | undefined;
  /** No node is left that had a copy of the registry. */
  onAllLost: () => void = () => {};
  /** What the last sample was of. */
  #lastSeen = "";

  constructor(world: World, nodes: () => NodeModel[]) {
    this.#world = world;
    this.#nodes = nodes;
    const check = world.check.bind(world);
    this.#sessions = new SessionPromises(check);
    this.#operations = new OperationPromises(check, (there) => this.#isHost(there));
  }

  get sessionsThought(): SessionId[] {
    return this.#sessions.known;
  }

  // Sessions.

  created(by: NodeModel, id: SessionId, info: string): void {
    this.#sessions.created(id, info, this.isUnknowinglyOut(by));
  }
  /** A clock that stood still with its machine cannot tell its node that it is out: its word to a local caller counts for nothing (C8). */
  isUnknowinglyOut(node: NodeModel): boolean {
    const isOut = this.#latestView?.members.some((member) => lifeName(member) === lifeName(node)) === false;
    return isOut && node.process.lastStopMs > this.#world.nowMs - simulatedTimes.holdMs;
  }
  modifying(id: SessionId, info: string): void {
    this.#sessions.modifying(id, info);
  }
  modified(by: NodeModel, id: SessionId, info: string, isAnswered: boolean): void {
    if (isAnswered && !this.isUnknowinglyOut(by)) this.#sessions.modified(id, info);
  }
  destroying(id: SessionId): void {
    this.#sessions.destroying(id);
  }
  destroyed(id: SessionId, outcome: CallOutcome<"session.destroy">): void {
    if (outcome.kind === "ok") this.#sessions.destroyed(id);
  }

  mounted(node: NodeModel, fs: FsName): void {
    this.unmounting(node, fs);
    this.#mounts.push({ node, fs });
  }
  /** From now on nothing is expected of it. */
  unmounting(node: NodeModel, fs: FsName): void {
    const at = this.#mounts.findIndex((mount) => mount.node === node && mount.fs === fs);
    if (at >= 0) this.#mounts.splice(at, 1);
  }

  // Operations.

  held(node: NodeModel, operation: OperationId): void {
    this.#operations.held(node, operation);
    this.#raised.set(operation, { node, life: lifeName(node) });
  }
  interrupted(operation: OperationId): void {
    this.#operations.interrupted(operation);
  }
  resumed(operation: OperationId, decision: Decision | "gone"): void {
    this.#operations.resumed(operation, decision === "gone" ? "gone" : decision.kind === "continue" ? "continue" : `abort ${decision.code}`);
  }
  received(node: NodeModel, session: SessionId, message: EventMessage, operation: number): void {
    if (!this.isUnknowinglyOut(node)) this.#operations.received({ life: lifeName(node), session }, message.token, operation);
  }
  responding(operation: number, response: DmResponse): void {
    this.#operations.responding(operation, response);
  }
  responded(node: NodeModel, operation: number): void {
    this.#operations.responded(lifeName(node), operation);
  }

  // Lists of sessions.

  /** What has been answered by now. */
  answeredSessions(): SessionsAnswered {
    return this.#sessions.answered();
  }
  /** A list shows at least what had been answered before it was asked for (safety C8). */
  listed(by: NodeModel, before: SessionsAnswered, table: readonly { readonly id: SessionId }[]): void {
    if (!this.isUnknowinglyOut(by)) this.#sessions.listed(lifeName(by), before, table);
  }

  #isHost({ life, session }: Reception): boolean {
    const node = this.#nodes().find((each) => lifeName(each) === life);
    if (node === undefined || !node.process.isRunning) return false;
    const latest = this.#latestView;
    if (latest === undefined || !latest.members.some((member) => lifeName(member) === life)) return false;
    const { state, view } = node.node;
    if (state !== "member" || view?.number !== latest.number) return false;
    const entry = node.node.session(session);
    return entry?.node === node.id && entry.state !== "failed";
  }

  /** Whether it still waits, on a node that is the same member as when it was raised. */
  isWaitingInView(operation: OperationId): boolean {
    const raised = this.#raised.get(operation);
    if (raised === undefined || !this.#operations.isWaiting(operation) || !raised.node.isSettled) return false;
    return raised.life === lifeName(raised.node) && this.isInView(raised.life);
  }

  // Views and lives.

  /** Whether the latest view has that life of a node. */
  isInView(life: string): boolean {
    return this.#latestView?.members.some((member) => lifeName(member) === life) === true;
  }

  viewLinked(path: string, text: string): void {
    const file = decodeViewFile(text);
    this.#world.check(file !== undefined, () => `${path} is not a whole document`);
    const { view } = file!;
    const latest = this.#latestView;
    this.#world.check(!this.#views.has(view.number), () => `two views with number ${view.number}`);
    this.#world.log(() => `view ${view.number} under ${view.manager}: ${view.members.map(lifeName).join(" ")}`);
    this.#views.set(view.number, view);
    if (latest === undefined || view.number > latest.number) this.#latestView = view;
    this.#forgetLost();
    if (latest !== undefined && !view.members.some((member) => this.#copies.has(lifeName(member)))) {
      this.#sessions.allLost();
      this.onAllLost();
    }
  }
  /** A copy is lost with its process, or when its holder begins another life. */
  #forgetLost(): void {
    for (const copy of this.#copies) {
      const node = this.#processes.get(copy);
      if (node === undefined || node.isDead || lifeName(node) !== copy) this.#copies.delete(copy);
    }
  }

  /** Whether that node goes by a view in which it is: the latest, or one that it may still take for the latest (safety C7, C8). */
  isBound(node: NodeModel): boolean {
    const life = lifeName(node);
    if (this.isInView(life)) return true;
    if (!node.process.isRunning || !node.isAdmitting || this.isUnknowinglyOut(node)) return false;
    return node.process.clockMs < (this.#validUntilMs.get(life) ?? 0);
  }
  told(by: NodeModel, fact: CoordinationFact): void {
    const life = lifeName(by);
    if (fact.kind === "view-seen" && fact.view?.removed?.some((removed) => lifeName(removed) === life) === true) this.#toldOut.add(life);
    if (fact.kind === "lease-renewed" && !this.#toldOut.has(life)) this.#validUntilMs.set(life, fact.validUntilMs);
    if (fact.kind !== "member-dead" || !fact.isProven) return;
    const lives = this.#nodes().some((node) => node.process.state !== "dead" && lifeName(node) === lifeName(fact));
    this.#world.check(!lives, () => `${by.id} was told that ${lifeName(fact)} is proven dead, and it lives`);
  }
  observe(by: NodeModel, effect: NodeEffect): void {
    if (effect.kind !== "set-admission") return;
    this.#out.delete(by);
    if (!effect.isOpen) this.#watchUsers(by);
    else {
      this.#copies.add(lifeName(by));
      this.#processes.set(lifeName(by), by);
    }
  }

  #watchUsers(node: NodeModel): void {
    const exclusion = {};
    this.#out.set(node, exclusion);
    const waiting = this.#operations.waiting.filter((each) => each.node === node);
    const dueMs = node.process.clockMs + simulatedTimeouts.fencedHoldMs + ENDING_MS;
    const look = () => {
      if (this.#out.get(node) !== exclusion || node.node.view !== undefined) return;
      if (node.process.clockMs < dueMs) return node.process.after(node.process.toWorldMs(dueMs - node.process.clockMs) + ENDING_MS, look);
      const left = waiting.find(({ operation }) => this.#operations.isWaiting(operation));
      this.#world.check(left === undefined, () => `${node.id} is out of the view for ${simulatedTimeouts.fencedHoldMs} ms, and operation ${left?.operation} still waits`);
    };
    if (waiting.length > 0) look();
  }

  // The registry.

  /** Within one life a copy of the registry only goes forward (safety C10, H5). */
  #checkForward(life: string, version: number): void {
    const before = this.#versions.get(life) ?? 0;
    this.#world.check(version >= before, () => `the registry of ${life} went back from version ${before} to ${version}`);
    this.#versions.set(life, version);
  }
  /** Living members of the latest view. */
  sample(): void {
    const latest = this.#latestView;
    const seen = this.#nodes().map((node) => `${lifeName(node)} ${node.process.state} ${node.node.state} ${node.node.view?.number} ${node.node.registryVersion}`).join();
    if (seen === this.#lastSeen) return; // nothing has come since
    this.#lastSeen = seen;
    const told: Parameters<typeof checkRegistries>[1][number][] = [];
    const compared: NodeModel[] = [];
    for (const node of this.#nodes()) {
      if (!node.process.isRunning) continue;
      const { state, view, registryVersion } = node.node;
      if (state === "member") this.#checkForward(lifeName(node), registryVersion);
      if (state !== "member" || view?.number !== latest?.number) continue;
      // Copies that consist of the same things need not be told.
      if (compared.some((other) => areIdentical(node.node, other.node))) continue;
      compared.push(node);
      told.push({ node: node.id, registry: node.node.describeRegistry() });
    }
    checkRegistries((holds, say) => this.#world.check(holds, say), told);
  }

  unrest(): string | undefined {
    for (const { node, fs } of this.#mounts) {
      const isAnnounced = this.#latestView?.members.some((member) => member.id === node.id && member.mounted.includes(fs));
      if (!node.isDead && isAnnounced !== true) return `${fs} is mounted on ${node.id}, and the view does not say so`;
    }
    const [waiting] = this.#operations.waiting;
    if (waiting !== undefined) return `operation ${waiting.operation} on ${lifeName(waiting.node)} still waits`;
    return undefined;
  }

  atRest(): void {
    this.sample();
    const isAlive = (host: string) => this.#nodes().some((each) => each.id === host && !each.isDead);
    for (const node of this.#nodes()) {
      const { sessions } = node.node.describeRegistry();
      const made = sessions.map((session) => session.info).filter((info) => info.startsWith("made by"));
      this.#world.check(new Set(made).size === made.length, () => `one call made two sessions on ${node.id}: ${made.join(", ")}`);
      this.#sessions.atRest(node.id, sessions, isAlive);
    }
  }
}

type Copy = Pick<NodeModel["node"], "registryVersion" | "sessions" | "dispositions">;
function areIdentical(a: Copy, b: Copy): boolean {
  return a.registryVersion === b.registryVersion && haveSame(a.sessions, b.sessions) && haveSame(a.dispositions, b.dispositions);
}
function haveSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((each, at) => each === b[at]);
}
