/**
 * Rights under random histories: messages between two nodes wait as long as they like, views are adopted at different
 * times, nodes die, are excluded and come back, and mount when rights are held already. One of the objects has no record.
 * Watched from outside, over all living members:
 *
 *   - no two tokens hold what excludes each other;
 *   - under an exclusive right no reactor has an operation admitted on the object, under a shared one none that changes;
 *   - when all messages have arrived and all rights were released in turn, nobody waits and no fence stands.
 *
 * Source    safety H3; XDSM C429 "Rights".
 */
import assert from "node:assert/strict";
import { Random } from "../../base/random.js";
import type { FsName, Handle, Incarnation, NodeId, RequestId, SessionId, Token } from "../../dmapi/ids.js";
import { areCompatible, type Right } from "../../dmapi/rights.js";
import { fsHandle, objectHandle } from "../conversation.js";
import { DataManagement } from "../data-management.js";
import type { DataManagementEffect, DataManagementInput } from "../data-management-contract.js";
import { testHistories, Wires } from "../histories.test-suite.js";
import { defaultTimeouts } from "../node-contract.js";
import { RegistryIndex } from "../registry-index.js";
import type { SessionRecord } from "../registry-document.js";
import type { View } from "../view-document.js";

type Input = DataManagementInput extends infer I ? (I extends unknown ? Omit<I, "atMs"> : never) : never;
type Message = Extract<DataManagementEffect, { kind: "send" }>["message"];
interface Operation {
  readonly handle: Handle;
  readonly isChange: boolean;
}
interface Node {
  readonly id: NodeId;
  incarnation: number;
  readonly machine: DataManagement;
  session: SessionId;
  tokens: Token[];
  view: number;
  /** What the manager was asked to put into the view, and the first view that shows it. */
  isAnnounced: boolean;
  announcing: { readonly request: RequestId; readonly fromView: number }[];
  /** "serving": users reach it; that its machine has heard so comes after. */
  mount: "none" | "begun" | "serving" | "known";
  mountJob: number;
  isAdmitting: boolean;
  pending: Set<number>;
  interests: Map<Handle, "wanted" | "granted">;
  fences: Map<Handle, { fence: Right; number: number; isDrained: boolean }>;
  operations: Operation[];
}

const FS = "fs1" as FsName;
const STEPS = 1_000;
const CHANGES = 8;
const objects = [1, 2, 3].map(objectHandle);
/** Of this one there is no record: nobody registers an interest in it. */
const unmanaged = objectHandle(3);
const ids = ["A", "B", "C", "D"] as NodeId[];

class World {
  readonly random: Random;
  readonly nodes = new Map<NodeId, Node>();
  /** Views by number; a node adopts them in order. */
  readonly views: View[] = [];
  readonly registries: SessionRecord[][] = [];
  readonly inForceTold = new Set<string>();
  readonly wires = new Wires<Message>();
  /** Out of the view and not aware of it yet; the view is not in force before they are. */
  unaware: Node[] = [];
  calls = 0;
  lives = 0;
  granted = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    for (const id of ids) this.#bear(id);
    this.changeView();
  }

  #bear(id: NodeId): void {
    this.lives += 1;
    const machine = new DataManagement({
      cluster: "test", id, bootId: "b", address: id, isEligible: true, preference: 0, incarnation: this.lives as Incarnation, timeouts: defaultTimeouts,
    });
    const node: Node = {
      id, incarnation: this.lives, machine, session: this.lives as SessionId, tokens: [], view: 0, pending: new Set(), interests: new Map(), fences: new Map(), operations: [],
      isAnnounced: false, announcing: [], mount: "none", mountJob: 0, isAdmitting: false,
    };
    this.nodes.set(id, node);
    this.step(node, { kind: "fs-attached", fs: FS, handle: fsHandle, rootHandle: objectHandle(0), eventList: 0 });
  }
  bear(id: NodeId): void {
    this.#bear(id);
    this.changeView();
  }
  kill(id: NodeId): void {
    this.nodes.delete(id);
    this.#cutOff(id);
    this.changeView();
  }
  /** It goes on for a while as if nothing had been. */
  exclude(node: Node): void {
    this.nodes.delete(node.id);
    this.#cutOff(node.id);
    this.unaware.push(node);
    this.changeView();
  }
  /** Its mounts live on; it enters again under a new incarnation. */
  becomeAware(): void {
    const node = this.unaware.shift();
    if (node === undefined) return;
    this.lives += 1;
    this.step(node, { kind: "excluded" });
    node.interests.clear();
    node.fences.clear();
    Object.assign(node, { incarnation: this.lives, session: this.lives as SessionId, tokens: [], view: 0, isAnnounced: false, announcing: [], isAdmitting: false, operations: [] });
    this.nodes.set(node.id, node);
    this.changeView();
  }
  #cutOff(id: NodeId): void {
    this.wires.cutOff(id);
  }
  changeView(): void {
    const members = [...this.nodes.values()];
    const number = this.views.length + 1;
    const former = this.views.at(-1)?.rightsServers ?? ids;
    const servers = members.map((member) => member.id).filter((id) => (this.random.chance(0.9) ? former.includes(id) : this.random.chance(0.5))).sort();
    this.views.push({
      cluster: "test", number, manager: members[0]!.id, sessionIdLimit: 1000, ...(servers.length === 0 ? {} : { rightsServers: servers }),
      members: members.map(({ id, incarnation, isAnnounced }, slot) => ({
        id, incarnation: incarnation as Incarnation, slot: ids.indexOf(id) * 8 + slot, bootId: "b", address: id, isEligible: true, preference: 0, mounted: isAnnounced ? [FS] : [],
      })),
    });
    this.registries.push(members.map((node) => ({ id: node.session, node: node.id, incarnation: node.incarnation as Incarnation, hostGeneration: 1, info: "", state: "active" })));
  }

  /** The next view, for a node that is a member of it; rights count only once all have adopted it. */
  adopt(node: Node): void {
    const view = this.views.find((one) => one.number > node.view && one.members.some((member) => member.id === node.id && member.incarnation === node.incarnation));
    if (view === undefined) return;
    const isFirst = node.view === 0;
    node.view = view.number;
    this.step(node, { kind: "view-adopted", view });
    const sessions = this.registries[view.number - 1]!;
    this.step(node, { kind: "registry-applied", registry: new RegistryIndex({ version: view.number, sessions, dispositions: [] }) });
    if (!isFirst) return;
    this.call(node, "fs.mount", { fs: FS, mountpoint: "/m" });
    for (const _ of [1, 2]) this.call(node, "userevent.create", { session: node.session, data: new Uint8Array() });
  }
  tellInForce(): void {
    const view = this.views[this.views.length - 1]!;
    const members = view.members.map((member) => this.nodes.get(member.id)!);
    if (this.unaware.length > 0) return;
    if (members.some((node) => node.view !== view.number)) return;
    for (const node of members) {
      const told = `${node.incarnation}/${view.number}`;
      if (this.inForceTold.has(told) || this.random.chance(0.5)) continue;
      this.inForceTold.add(told);
      this.step(node, { kind: "view-in-force", view });
    }
    for (const node of members) {
      const [first] = node.announcing;
      if (first === undefined || first.fromView > view.number || this.random.chance(0.5)) continue;
      node.announcing.shift();
      this.step(node, { kind: "manager-answered", request: first.request, result: { kind: "done", version: 0 } });
    }
  }
  /** The mount begins to serve, and some time later its machine hears so. */
  mountOn(node: Node): void {
    if (node.mount === "begun") node.mount = "serving";
    else if (node.mount === "serving") {
      node.mount = "known";
      this.step(node, { kind: "volume-done", job: node.mountJob, result: { kind: "ok", result: {} } });
    }
  }

  call(node: Node, name: "fs.mount" | "userevent.create" | "right.request" | "right.release" | "right.upgrade" | "right.downgrade", args: unknown): number {
    this.calls += 1;
    node.pending.add(this.calls);
    this.step(node, { kind: "call-made", call: this.calls, client: 1, name, args });
    return this.calls;
  }

  step(node: Node, input: Input): void {
    for (const effect of node.machine.step({ ...input, atMs: 0 } as DataManagementInput)) this.perform(node, effect);
    if (node.view > 0 && node.machine.mayAdmit) node.isAdmitting = true;
  }
  perform(node: Node, effect: DataManagementEffect): void {
    switch (effect.kind) {
      case "send":
        if (this.nodes.has(effect.to) && this.nodes.get(node.id) === node) this.wires.send(node.id, effect.to, effect.message);
        return;
      case "ask-manager":
        if (effect.call.kind !== "announce-mount") return this.step(node, { kind: "manager-answered", request: effect.request, result: { kind: "done", version: 0 } });
        if (this.nodes.get(node.id) !== node) return;
        if (node.isAnnounced !== effect.call.isMounted) {
          node.isAnnounced = effect.call.isMounted;
          this.changeView();
        }
        node.announcing.push({ request: effect.request, fromView: this.views.length });
        return;
      case "begin-round":
        return this.step(node, { kind: "round-drained", round: effect.round, from: effect.from });
      case "volume-job": {
        if (effect.work.kind === "mount") {
          node.mount = "begun";
          node.mountJob = effect.job;
          return;
        }
        const isManaged = effect.work.kind !== "read-record" || effect.work.handle !== unmanaged;
        return this.step(node, { kind: "volume-done", job: effect.job, result: { kind: "ok", result: {}, record: isManaged ? { generation: 2, residency: "partial", regions: [], attributes: {} } : null } });
      }
      case "answer-call": {
        node.pending.delete(effect.call);
        const result = effect.result as { token?: Token };
        if (result.token !== undefined) node.tokens.push(result.token);
        return;
      }
      case "refuse-call":
        node.pending.delete(effect.call);
        return;
      case "grant-interest":
        node.interests.set(effect.handle, "granted");
        if (node.fences.get(effect.handle)?.number !== effect.fenceNumber) node.fences.set(effect.handle, { fence: effect.fence, number: effect.fenceNumber, isDrained: true });
        return;
      case "raise-fence":
        node.fences.set(effect.handle, { fence: effect.fence, number: effect.fenceNumber, isDrained: node.mount === "none" || node.mount === "begun" });
        if (node.fences.get(effect.handle)!.isDrained) this.step(node, { kind: "fence-drained", handle: effect.handle, fenceNumber: effect.fenceNumber });
        return;
      case "lower-fence": {
        const fenced = node.fences.get(effect.handle);
        if (fenced !== undefined && fenced.number <= effect.fenceNumber) node.fences.set(effect.handle, { fence: effect.fence, number: effect.fenceNumber, isDrained: true });
        return;
      }
      default:
        return;
    }
  }

  /** One random thing that can happen; `isHealing`: only what brings everything to rest. */
  happen(isHealing: boolean): void {
    const node = this.random.pick([...this.nodes.values(), ...this.unaware]);
    const handle = this.random.chance(0.4) ? unmanaged : this.random.pick(objects);
    const token = node.tokens.length === 0 ? undefined : this.random.pick(node.tokens);
    const kind = this.random.below(isHealing ? 5 : 13);
    if (this.unaware.length > 0 && this.random.chance(isHealing ? 0.02 : 0.003)) this.becomeAware();
    else if (kind === 0) this.adopt(node);
    else if (kind === 1) this.tellInForce();
    else if (kind === 2) this.deliver();
    else if (kind === 3) this.finishOrDrain(node);
    else if (kind === 4) this.mountOn(node);
    else if (kind <= 6 || kind === 12) this.deliver();
    else if (kind === 7) this.begin(node, { handle, isChange: this.random.chance(0.5) });
    else if (token === undefined) this.adopt(node);
    else if (kind === 8) this.call(node, "right.request", { session: node.session, handle, token, right: this.random.pick(["shared", "exclusive"]), wait: this.random.chance(0.7) });
    else if (kind === 9) this.call(node, "right.release", { session: node.session, handle, token });
    else if (kind === 10) this.call(node, this.random.pick(["right.upgrade", "right.downgrade"]), { session: node.session, handle, token });
    else if (node.pending.size > 0 && this.random.chance(0.3)) this.abandon(node, [...node.pending][0]!);
  }
  abandon(node: Node, call: number): void {
    node.pending.delete(call);
    this.step(node, { kind: "call-abandoned", call });
  }

  /** Frames bear the sender's view as they leave: one that does not fit waits until both have the same. */
  deliver(): void {
    const next = this.wires.take(this.random, (from, to) => this.nodes.get(from)?.view === this.nodes.get(to)?.view);
    if (next !== undefined) this.step(this.nodes.get(next.to)!, { kind: "message-received", from: next.from, message: next.message as Extract<Input, { kind: "message-received" }>["message"] });
  }

  begin(node: Node, operation: Operation): void {
    const { handle, isChange } = operation;
    if (!node.isAdmitting || (node.mount !== "serving" && node.mount !== "known")) return;
    if (handle !== unmanaged && node.interests.get(handle) === undefined) {
      node.interests.set(handle, "wanted");
      return this.step(node, { kind: "interest-wanted", handle });
    }
    const fence = node.fences.get(handle)?.fence ?? "null";
    if ((handle === unmanaged || node.interests.get(handle) === "granted") && (fence === "null" || (fence === "shared" && !isChange))) node.operations.push(operation);
  }
  finishOrDrain(node: Node): void {
    node.operations.shift();
    for (const [handle, fenced] of node.fences) {
      const isBusy = node.operations.some((operation) => operation.handle === handle && (fenced.fence === "exclusive" || operation.isChange));
      if (fenced.isDrained || fenced.fence === "null" || isBusy) continue;
      fenced.isDrained = true;
      this.step(node, { kind: "fence-drained", handle, fenceNumber: fenced.number });
      return;
    }
    const idle = [...node.interests].find(([handle, state]) => state === "granted" && node.operations.every((operation) => operation.handle !== handle) && node.fences.get(handle)?.fence === "null");
    if (idle === undefined || !this.random.chance(0.1)) return;
    node.interests.delete(idle[0]);
    node.fences.delete(idle[0]);
    this.step(node, { kind: "interest-dropped", handle: idle[0] });
  }

  check(): void {
    const nodes = [...this.nodes.values(), ...this.unaware];
    const held = nodes.flatMap((node) => node.machine.describe().rights.held);
    this.granted += held.length;
    for (const one of held) {
      for (const other of held) {
        if (one.holder !== other.holder && one.handle === other.handle) assert.ok(areCompatible(one.right, other.right), `${one.holder} and ${other.holder} hold ${one.right} and ${other.right}`);
      }
      for (const node of nodes) {
        const intruder = node.operations.find((operation) => operation.handle === one.handle && (one.right === "exclusive" || (one.right === "shared" && operation.isChange)));
        assert.ok(intruder === undefined, `an operation runs on ${node.id} while ${one.holder} holds ${one.right}`);
      }
    }
  }

  heal(): void {
    for (let rounds = 0; rounds < 400; rounds++) {
      for (let at = 0; at < 60; at++) this.happen(true);
      this.check();
      const open = [...this.nodes.values()].filter((node) => !node.isAdmitting || node.mount !== "known" || node.pending.size > 0 || node.machine.describe().rights.held.length > 0);
      if (this.unaware.length === 0 && open.length === 0 && this.wires.areEmpty) {
        for (const node of this.nodes.values()) {
          assert.deepEqual(node.machine.describe().rights.fences, [], `no fence stands on ${node.id} when nothing is held`);
          assert.deepEqual([...node.fences].filter(([, { fence }]) => fence !== "null"), [], `no fence stands in the reactor of ${node.id} when nothing is held`);
        }
        return;
      }
      for (const node of this.nodes.values()) {
        for (const { holder, handle } of node.machine.describe().rights.held) {
          const token = node.tokens.find((one) => holder.endsWith(`.t${one}`));
          if (token !== undefined) this.call(node, "right.release", { session: node.session, handle, token });
        }
      }
    }
    const waiting = [...this.nodes.values()].map((node) => `${node.id}: ${[...node.pending].join(" ")} ${JSON.stringify(node.machine.describe())} ${JSON.stringify([...node.fences])} ${node.view}`);
    assert.fail(`nobody waits in the end, but ${waiting.join("; ")}`);
  }
}

function run(seed: number): number {
  const world = new World(seed);
  const changes = new Set([...Array(CHANGES)].map(() => world.random.below(STEPS)));
  for (let at = 0; at < STEPS; at++) {
    world.happen(false);
    world.check();
    if (!changes.has(at)) continue;
    const missing = ids.filter((id) => !world.nodes.has(id) && world.unaware.every((node) => node.id !== id));
    if (missing.length > 0 && world.random.chance(0.4)) world.bear(missing[0]!);
    else if (world.nodes.size > 1 && world.random.chance(0.7)) world.exclude(world.random.pick([...world.nodes.values()]));
    else if (world.nodes.size > 1) world.kill(world.random.pick([...world.nodes.keys()]));
  }
  world.heal();
  return world.granted;
}

let granted = 0;
testHistories({
  url: import.meta.url, title: "rights exclude each other and operations, and nobody waits for ever (safety H3)", count: 60,
  run: (seed) => {
    granted += run(seed);
  },
  judge: (seeds) => assert.ok(granted > seeds * 50, `rights were held often enough to say something (${granted})`),
});
