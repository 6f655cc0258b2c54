/**
 * Events under random histories: messages wait at will, nodes adopt views and registry versions at different times, nodes
 * die and come back, sessions are assumed elsewhere, users give up. Watched from outside:
 *
 *   - a user operation is let go once, and continues only when an application answered its very event;
 *   - when everything has arrived, every session has a host and every application answers, no user and no call waits.
 *
 * Source    requirements R1, R3, R17; safety C9, M3.
 */
import assert from "node:assert/strict";
import { Random } from "../../base/random.js";
import type { EventMessage } from "../../dmapi/events.js";
import type { FsName, GroupName, Handle, Incarnation, NodeId, OperationId, SessionId, Token } from "../../dmapi/ids.js";
import { objectHandle } from "../conversation.js";
import { DataManagement } from "../data-management.js";
import type { DataManagementEffect, DataManagementInput } from "../data-management-contract.js";
import { testHistories, Wires } from "../histories.test-suite.js";
import { defaultTimeouts } from "../node-contract.js";
import { RegistryIndex } from "../registry-index.js";
import type { Disposition, RegistrySnapshot, SessionRecord } from "../registry-document.js";
import type { View } from "../view-document.js";

type Input = DataManagementInput extends infer I ? (I extends unknown ? Omit<I, "atMs"> : never) : never;
type Message = Extract<DataManagementEffect, { kind: "send" }>["message"];
interface Node {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
  readonly machine: DataManagement;
  view: number;
  version: number;
  /** What the application on this node has received and not answered. */
  readonly received: { session: SessionId; token: Token; handle: Handle }[];
  readonly waiting: Set<OperationId>;
  readonly open: Map<number, string>;
  /** Told that its view is in force. */
  isInForce: boolean;
}

const FS = "fs1" as FsName;
const ids = ["A", "B", "C", "D"] as NodeId[];
const [LONE, ONE, TWO] = [1, 2, 3] as [SessionId, SessionId, SessionId];
const HSM = "hsm" as GroupName;
const dispositions: Disposition[] = [
  { fs: FS, event: "read", owner: { kind: "session", session: LONE } },
  { fs: FS, event: "write", owner: { kind: "group", group: HSM } },
  { fs: FS, event: "close", owner: { kind: "session", session: LONE } },
];

class World {
  readonly random: Random;
  readonly nodes = new Map<NodeId, Node>();
  readonly views: View[] = [];
  readonly registries: RegistrySnapshot[] = [];
  readonly wires = new Wires<Message>();
  readonly answered = new Set<Handle>();
  readonly handleOf = new Map<OperationId, Handle>();
  sessions: SessionRecord[] = [];
  numbers = 0;
  lives = 0;
  resumed = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    for (const id of ids) this.#bear(id);
    const at = (index: number) => [...this.nodes.values()][index]!;
    const record = (id: SessionId, node: Node) => ({ id, node: node.id, incarnation: node.incarnation, hostGeneration: 1, info: "", state: "active" }) as const;
    this.sessions = [record(LONE, at(1)), { ...record(ONE, at(1)), group: HSM }, { ...record(TWO, at(2)), group: HSM }];
    this.changeView();
  }

  #bear(id: NodeId): void {
    this.lives += 1;
    const incarnation = this.lives as Incarnation;
    const machine = new DataManagement({ cluster: "test", id, bootId: "b", address: id, isEligible: true, preference: 0, incarnation, timeouts: defaultTimeouts });
    this.nodes.set(id, { id, incarnation, machine, view: 0, version: 0, received: [], waiting: new Set(), open: new Map(), isInForce: false });
  }
  bear(id: NodeId): void {
    this.#bear(id);
    this.changeView();
  }
  kill(id: NodeId): void {
    this.nodes.delete(id);
    this.wires.cutOff(id);
    this.changeView();
    this.sessions = this.sessions.map((session) => (session.node === id ? { ...session, state: "failed" as const } : session));
    this.changeRegistry();
  }
  assume(node: Node): void {
    const failed = this.sessions.find((session) => session.state === "failed");
    if (failed === undefined) return;
    this.sessions = this.sessions.map((session) => (session === failed ? { ...session, state: "active" as const, node: node.id, incarnation: node.incarnation, hostGeneration: session.hostGeneration + 1 } : session));
    this.changeRegistry();
  }
  changeView(): void {
    const members = [...this.nodes.values()];
    const number = this.views.length + 1;
    this.views.push({
      cluster: "test", number, manager: members[0]!.id, sessionIdLimit: 1000,
      members: members.map(({ id, incarnation }) => ({ id, incarnation, slot: ids.indexOf(id), bootId: "b", address: id, isEligible: true, preference: 0, mounted: [FS] })),
    });
    this.changeRegistry();
  }
  changeRegistry(): void {
    const version = this.registries.length + 1;
    this.registries.push({ view: this.views.length, version, sessions: this.sessions, destroyed: [], dispositions, answered: [], highestSessionId: 3 });
  }

  /** One step on for a node: the next view it is in, or the next registry version of the views it knows. */
  learn(node: Node): void {
    const view = this.views.find((one) => one.number > node.view && one.members.some((member) => member.incarnation === node.incarnation));
    const registry = this.registries[node.version];
    const isViewNext = view !== undefined && (node.view === 0 || this.random.chance(0.5) || registry === undefined || registry.view > node.view);
    const present = this.views.at(-1)!;
    if (isViewNext) {
      node.view = view.number;
      node.isInForce = false;
      this.step(node, { kind: "view-adopted", view });
    } else if (node.view === present.number && !node.isInForce && [...this.nodes.values()].every((other) => other.view === node.view)) {
      node.isInForce = true;
      this.step(node, { kind: "view-in-force", view: present });
    } else if (registry !== undefined && registry.view <= node.view) {
      node.version = registry.version;
      this.step(node, { kind: "registry-applied", registry: new RegistryIndex(registry) });
    }
  }

  step(node: Node, input: Input): void {
    for (const effect of node.machine.step({ ...input, atMs: 0 } as DataManagementInput)) this.perform(node, effect);
  }
  call(node: Node, name: "event.get" | "event.respond", args: { session: SessionId } & Record<string, unknown>): void {
    this.numbers += 1;
    node.open.set(this.numbers, name);
    this.step(node, { kind: "call-made", call: this.numbers, client: 1, name, args });
  }

  perform(node: Node, effect: DataManagementEffect): void {
    switch (effect.kind) {
      case "send":
        if (this.nodes.has(effect.to)) this.wires.send(node.id, effect.to, effect.message);
        return;
      case "answer-call": {
        const name = node.open.get(effect.call);
        node.open.delete(effect.call);
        if (name === "event.get") for (const message of effect.result as EventMessage[]) this.receive(node, message);
        return;
      }
      case "refuse-call":
        node.open.delete(effect.call);
        return;
      case "resume-operation": {
        assert.ok(node.waiting.delete(effect.operation), `operation ${effect.operation} is let go once`);
        const handle = this.handleOf.get(effect.operation)!;
        assert.equal(effect.decision.kind, "continue", "nobody refuses and no time passes");
        this.resumed += 1;
        assert.ok(this.answered.has(handle) || this.asynchronous.has(effect.operation), `operation ${effect.operation} goes on though nobody answered its event`);
        return;
      }
      default:
        return;
    }
  }
  readonly asynchronous = new Set<OperationId>();

  receive(node: Node, { session, token, event }: EventMessage): void {
    if (token === undefined) return;
    assert.ok("handle" in event);
    assert.ok(!node.received.some((other) => other.token === token), `token ${token} is outstanding once on ${node.id}`);
    node.received.push({ session, token, handle: event.handle });
  }

  happen(isHealing: boolean): void {
    const node = this.random.pick([...this.nodes.values()]);
    const kind = this.random.below(isHealing ? 9 : 13);
    if (kind <= 1) this.learn(node);
    else if (kind <= 4) this.deliver();
    else if (kind <= 6) this.call(node, "event.get", { session: this.random.pick([LONE, ONE, TWO]), waitMs: 0, max: 1 + this.random.below(2) });
    else if (kind <= 8) this.respond(node);
    else if (kind <= 11) this.hold(node);
    else if (node.waiting.size > 0 && this.random.chance(0.3)) {
      const operation = [...node.waiting][0]!;
      node.waiting.delete(operation);
      this.step(node, { kind: "operation-gone", operation });
    }
  }
  hold(node: Node): void {
    this.numbers += 1;
    const operation = this.numbers as OperationId;
    const handle = objectHandle(this.numbers);
    const type = this.random.pick(["read", "write", "close"] as const);
    this.handleOf.set(operation, handle);
    node.waiting.add(operation);
    if (type === "close") this.asynchronous.add(operation);
    const event = type === "close" ? ({ type, handle } as const) : { type, handle, offset: 0, length: 1 };
    this.step(node, { kind: "event-held", held: { operation, fs: FS, event, isSynchronous: type !== "close" } });
  }
  respond(node: Node): void {
    const received = node.received.shift();
    if (received === undefined) return;
    this.answered.add(received.handle);
    this.call(node, "event.respond", { session: received.session, token: received.token, response: { kind: "continue" } });
  }
  deliver(): void {
    const next = this.wires.take(this.random, (from, to) => this.nodes.get(from)?.view === this.nodes.get(to)?.view);
    if (next !== undefined) this.step(this.nodes.get(next.to)!, { kind: "message-received", from: next.from, message: next.message as Extract<Input, { kind: "message-received" }>["message"] });
  }

  heal(): void {
    for (let rounds = 0; rounds < 400; rounds++) {
      this.assume(this.random.pick([...this.nodes.values()]));
      for (let at = 0; at < 100; at++) this.happen(true);
      if ([...this.nodes.values()].every((node) => node.waiting.size === 0 && node.open.size === 0 && node.received.length === 0)) return;
    }
    const waiting = [...this.nodes.values()].map((node) => `${node.id}: ${[...node.waiting]} calls ${[...node.open.keys()]} ${JSON.stringify(node.machine.describe())}`);
    assert.fail(`nobody waits in the end, but ${waiting.join("; ")}`);
  }
}

function run(seed: number): number {
  const world = new World(seed);
  for (let at = 0; at < 800; at++) {
    world.happen(false);
    if (world.random.chance(0.01)) world.assume(world.random.pick([...world.nodes.values()]));
    if (!world.random.chance(0.006)) continue;
    const missing = ids.filter((id) => !world.nodes.has(id));
    if (missing.length > 0 && world.random.chance(0.6)) world.bear(missing[0]!);
    else if (world.nodes.size > 1) world.kill(world.random.pick([...world.nodes.keys()]));
  }
  world.heal();
  return world.resumed;
}

let resumed = 0;
testHistories({
  url: import.meta.url, title: "every user is let go once, by an answer to its own event, whoever dies (safety C9)", count: 60,
  run: (seed) => {
    resumed += run(seed);
  },
  judge: (seeds) => assert.ok(resumed > seeds * 50, `enough users were let go to say something (${resumed})`),
});
