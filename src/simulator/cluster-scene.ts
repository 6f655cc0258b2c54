/**
 * Scene "cluster": real cluster nodes with real lease machines on a virtual network, under session calls and user
 * operations from everywhere, while nodes die, freeze, are cut off, lose what was in flight and change managers.
 *
 * Leaning on `durable` it has durable sessions too (durable-part.ts).
 *
 * A history is 60 seconds of 3 to 7 nodes with 200 calls (sessions, dispositions, messages, managers), 80 operations of
 * users and 5 faults; messages go in bursts (message-checks.ts). Then it heals and comes to rest.
 *
 * Promises checked from outside: cluster-checks.ts.
 *
 * Source    requirements R1-R16; safety C7-C10, H5.
 */
import type { Random } from "../base/random.js";
import type { CoordinationFact } from "../cluster/coordination-contract.js";
import type { HeldEvent, NodeEffect } from "../cluster/node-contract.js";
import { lifeName } from "../coordination/shared-volume/layout.js";
import type { EventMessage, EventType } from "../dmapi/events.js";
import type { FsName, Handle, Incarnation, NodeId, OperationId, SessionId } from "../dmapi/ids.js";
import { ClusterChecks } from "./cluster-checks.js";
import { DurablePart } from "./durable-part.js";
import { DirectoryModel } from "./directory-model.js";
import { MessageChecks } from "./message-checks.js";
import { NetworkModel } from "./network-model.js";
import { NodeModel } from "./node-model.js";
import { Process, sleep, type Thread, type World } from "./world.js";

const RUN_MS = 60_000;
const SETTLE_MS = 90_000;
const CALLS = 200;
const OPERATIONS = 80;
const FAULTS = 5;
/** Messages that an application sends at once. */
const BURST_MAX = 8;
const fsNames = ["fs1", "fs2"] as FsName[];
const eventTypes: readonly EventType[] = ["read", "write", "truncate", "create", "remove"];

export class ClusterScene {
  readonly world: World;
  readonly #directory: DirectoryModel;
  readonly #network: NetworkModel;
  readonly #checks: ClusterChecks;
  readonly #messages: MessageChecks;
  readonly #ids: NodeId[];
  readonly #nodes = new Map<NodeId, NodeModel>();
  readonly #lastIncarnation = new Map<NodeId, number>();
  /** Applications and users are not the ones that fail here. */
  readonly #outside: Process;
  readonly #serving = new Set<string>();
  readonly #durable: DurablePart | undefined;
  #clients = 0;
  #operations = 0;
  #isHealing = false;

  constructor(world: World, nodes: number) {
    this.world = world;
    this.#directory = new DirectoryModel(world);
    this.#network = new NetworkModel(world);
    this.#checks = new ClusterChecks(world, () => [...this.#nodes.values()]);
    this.#messages = new MessageChecks(world);
    this.#directory.onLink = (path, text) => this.#checks.viewLinked(path, text);
    this.#outside = new Process(world, "outside");
    this.#ids = [..."ABCDEFG"].slice(0, nodes) as NodeId[];
    this.#durable = world.stress.durable === 0 ? undefined : new DurablePart({
      world, outside: this.#outside, nodes: () => [...this.#nodes.values()], newClient: () => ++this.#clients,
      isUnknowinglyOut: (node) => this.#checks.isUnknowinglyOut(node), kill: (node) => this.#kill(node),
    }, fsNames.map((fs) => ({ fs, handle: fileHandle(fs, 2) })));
    this.#checks.onAllLost = () => this.#durable?.allLost();
  }

  run(): void {
    const { world } = this;
    const { random } = world;
    for (const id of this.#ids) world.after(random.below(500), () => this.#start(id));
    if (random.chance(0.3)) Object.assign(this.#directory.troubles, { lost: 0.01, ambiguous: 0.02, repeated: 0.02 });
    if (random.chance(0.3)) Object.assign(this.#directory.troubles, { stale: 0.02, staleMs: 2_000 });
    this.#network.delayMs = random.pick([1, 5, 50, 300]);
    const faults = Array.from({ length: FAULTS }, () => 5_000 + random.below(RUN_MS - 7_000));
    for (let call = 0; call < CALLS; call++) this.#at("call", 4_000, (own) => this.#outside.start(this.#call(own)), faults);
    for (let operation = 0; operation < OPERATIONS; operation++) this.#at("operation", 4_000, (own) => this.#userOperation(own), faults);
    for (const atMs of faults) this.#item("fault", atMs, (own) => this.#fault(own));
    for (let move = 0; move < world.stress.handOvers; move++) this.#at("hand-over", 4_000, (own) => this.#handOver(own));
    for (let each = 0; each < world.stress.isolations; each++) this.#at("isolation", 4_000, (own) => this.#isolate(own));
    for (let each = 0; each < world.stress.blackouts; each++) this.#at("blackout", 10_000, (own) => this.#blackOut(own));
    this.#durable?.begin();
    for (let each = 0; each < world.stress.durable; each++) this.#at("durable", 4_000, (own) => this.#durable?.operate(own), faults);
    this.#sampleLater();
    world.run(RUN_MS);
    this.#heal();
    for (let untilMs = RUN_MS + 5_000; untilMs < RUN_MS + SETTLE_MS && this.#unrest() !== undefined; untilMs += 2_000) world.run(untilMs);
    world.check(this.#unrest() === undefined, () => `after healing ${this.#unrest()}`);
    this.#checks.atRest();
  }

  /** At any time, or, in bursts, around one of the faults. */
  #at(kind: string, fromMs: number, run: (own: Random) => void, bursts: readonly number[] = []): void {
    const { random, stress } = this.world;
    const isInBurst = stress.isBursty && bursts.length > 0 && random.chance(0.7);
    this.#item(kind, isInBurst ? random.pick(bursts) - 600 + random.below(900) : fromMs + random.below(RUN_MS - fromMs - 2_000), run);
  }
  /** An item with choices of its own: those of the others stay when it is left out. */
  #item(kind: string, atMs: number, run: (own: Random) => void): void {
    const own = this.world.newRandom();
    if (this.world.takesPart(kind)) this.world.after(atMs, () => run(own));
  }
  #handOver(random: Random): void {
    const to = random.pick(this.#ids);
    const by = this.#anyNode(random);
    if (by !== undefined) this.#outside.start(by.call("manager.move", { to }, ++this.#clients));
  }
  #sampleLater(): void {
    this.world.after(this.world.stress.isBursty ? 200 : 1_500, () => {
      this.#checks.sample();
      this.#sampleLater();
    });
  }

  #start(id: NodeId): void {
    const incarnation = ((this.#lastIncarnation.get(id) ?? 0) + 1) as Incarnation;
    this.#lastIncarnation.set(id, incarnation + 100);
    const { world } = this;
    const node = new NodeModel({
      world, id, incarnation, process: new Process(world, `${id}/${incarnation}`), network: this.#network, directory: this.#directory,
      preference: id === "B" ? 1 : 0, observe: (by, effect) => this.#observe(by, effect), told: (by, fact) => this.#told(by, fact),
    });
    this.#nodes.set(id, node);
    this.#durable?.attach(node);
    for (const fs of fsNames) node.input({ kind: "fs-attached", fs, handle: fsHandle(fs), rootHandle: fileHandle(fs, 1), eventList: 0xff_ffff, mountpoint: `/mnt/${fs}` });
    for (const fs of fsNames) this.#outside.start(this.#mount(node, fs));
  }
  *#mount(node: NodeModel, fs: FsName): Thread {
    const client = ++this.#clients;
    for (;;) {
      const outcome = yield* node.call("fs.mount", { fs }, client);
      if (outcome.kind === "ok") this.#checks.mounted(node, fs);
      if (outcome.kind !== "failed" || outcome.failure.message.includes("already")) return;
      yield* sleep(500);
    }
  }

  #told(by: NodeModel, fact: CoordinationFact): void {
    if (fact.kind !== "lease-renewed") this.world.log(() => `${lifeName(by)} is told ${JSON.stringify(fact)}`);
    this.#checks.told(by, fact);
  }
  #observe(by: NodeModel, effect: NodeEffect): void {
    this.world.log(() => `${lifeName(by)} ${describe(effect)}`);
    this.#checks.observe(by, effect);
  }

  // What people and programs do.

  *#call(random: Random): Thread {
    const node = this.#anyNode(random);
    if (node === undefined) return;
    const client = ++this.#clients;
    const session = this.#anySession(random);
    const kind = random.below(100);
    if (kind < 25 || session === undefined) yield* this.#create(node, client);
    else if (kind < 35) yield* this.#modify(node, session, client);
    else if (kind < 45) yield* this.#destroy(this.#hostOf(session) ?? node, session, client);
    else if (kind < 75) {
      const events = eventTypes.filter(() => random.chance(0.4));
      const fs = random.pick(fsNames);
      this.world.log(() => `client ${client} on ${node.id}: session ${session} wants ${events} of ${fs}`);
      const outcome = yield* node.call("disposition.set", { session, fs, events }, client);
      this.world.log(() => `client ${client} on ${node.id}: disposition gives ${JSON.stringify(outcome)}`);
    } else if (kind < 85) yield* this.#assume(node, random, client);
    else if (kind < 90) this.#sendMessages(node, session, client);
    else if (kind < 93) yield* node.call("manager.move", { to: random.pick(this.#ids) }, client);
    else yield* this.#list(node, client);
  }

  #sendMessages(node: NodeModel, session: SessionId, client: number): void {
    const burst = this.#messages.begin(node, session);
    const count = 1 + this.world.random.below(BURST_MAX);
    for (let number = 1; number <= count; number++) this.#outside.start(this.#sendMessage(node, session, client, burst, number));
  }
  *#sendMessage(node: NodeModel, session: SessionId, client: number, burst: number, number: number): Thread {
    this.#messages.sending(burst);
    const outcome = yield* node.call("message.send", { session, isSynchronous: false, data: this.#messages.data(burst, number) }, client);
    this.#messages.ended(burst, number, outcome.kind === "ok");
  }
  *#list(node: NodeModel, client: number): Thread {
    const before = this.#checks.answeredSessions();
    const outcome = yield* node.call("session.list", {}, client);
    if (outcome.kind === "ok") this.#checks.listed(node, before, outcome.result);
  }
  *#create(node: NodeModel, client: number): Thread {
    const info = `made by ${client}`;
    const outcome = yield* node.call("session.create", { info }, client);
    this.world.log(() => `client ${client} on ${node.id}: create gives ${JSON.stringify(outcome)}`);
    if (outcome.kind !== "ok") return;
    this.#checks.created(node, outcome.result.session, info);
    this.#serve(node, outcome.result.session);
  }
  *#modify(node: NodeModel, session: SessionId, client: number): Thread {
    const info = `changed by ${client}`;
    this.#checks.modifying(session, info);
    const outcome = yield* node.call("session.modify", { session, info }, client);
    this.#checks.modified(node, session, info, outcome.kind === "ok");
  }
  *#destroy(node: NodeModel, session: SessionId, client: number): Thread {
    this.#checks.destroying(session);
    const outcome = yield* node.call("session.destroy", { session }, client);
    this.world.log(() => `client ${client} on ${node.id}: destroy ${session} gives ${JSON.stringify(outcome)}`);
    this.#checks.destroyed(session, outcome);
  }
  *#assume(node: NodeModel, random: Random, client: number): Thread {
    const failed = node.node.sessions.filter((each) => each.state === "failed" && !each.info.startsWith("durable"));
    if (failed.length === 0) return;
    const { id, info } = random.pick(failed);
    this.#checks.modifying(id, info);
    const outcome = yield* node.call("session.assume", { session: id, info }, client);
    this.#checks.modified(node, id, info, outcome.kind === "ok");
    this.world.log(() => `client ${client} on ${node.id}: assume ${id} gives ${JSON.stringify(outcome)}`);
    if (outcome.kind === "ok") this.#serve(node, id);
  }

  /** An application on that node takes the session's events and answers them, until it is told that there is no session. */
  #serve(node: NodeModel, session: SessionId): void {
    const place = `${node.process.name} ${session}`;
    if (this.#serving.has(place)) return;
    this.#serving.add(place);
    this.#outside.start(this.#answerEvents(node, session, ++this.#clients, () => this.#serving.delete(place)));
  }
  *#answerEvents(node: NodeModel, session: SessionId, client: number, ended: () => void): Thread {
    for (;;) {
      const got = yield* node.call("event.get", { session, max: 3, waitMs: 4_000 }, client);
      if (got.kind === "gone" || (got.kind === "failed" && !["EAGAIN", "ENOTREADY"].includes(got.failure.code))) return ended();
      if (got.kind === "failed") yield* sleep(100 + this.world.random.below(400));
      else yield* this.#answerAll(node, session, got.result, client);
    }
  }
  /** It has them all from now on, and answers one after the other. */
  *#answerAll(node: NodeModel, session: SessionId, messages: readonly EventMessage[], client: number): Thread {
    for (const message of messages) {
      this.#messages.received(node, session, message);
      const number = operationNumber(message);
      if (number !== undefined && message.token !== undefined) this.#checks.received(node, session, message, number);
    }
    for (const message of messages) yield* this.#answer(node, session, message, client);
  }
  *#answer(node: NodeModel, session: SessionId, message: EventMessage, client: number): Thread {
    const number = operationNumber(message);
    if (message.token === undefined) return;
    yield* sleep(this.world.random.below(400));
    const response = this.world.random.chance(0.8) ? ({ kind: "continue" } as const) : ({ kind: "abort", code: "EPERM" } as const);
    if (number !== undefined) this.#checks.responding(number, response);
    const { token } = message;
    for (let attempt = 0; attempt < 20; attempt++) {
      const outcome = yield* node.call("event.respond", { session, token, response }, client);
      this.world.log(() => `client ${client} on ${node.id}: respond ${token} (operation ${number}) gives ${JSON.stringify(outcome)}`);
      if (outcome.kind !== "failed" || outcome.failure.code !== "ENOTREADY") break;
      yield* sleep(500);
    }
    if (number !== undefined) this.#checks.responded(node, number);
  }

  #userOperation(random: Random, node = this.#anyNode(random)): void {
    if (node === undefined || !node.process.isRunning || !node.isAdmitting) return;
    const operation = ++this.#operations as OperationId;
    const fs = random.pick(fsNames);
    const held: HeldEvent = {
      operation, fs, isSynchronous: true, event: { type: random.pick(["read", "write"]), handle: fileHandle(fs, 2), offset: operation, length: 1 },
    };
    this.#checks.held(node, operation);
    node.hold(held, (decision) => {
      this.world.log(() => `operation ${operation} on ${node.id} ends with ${JSON.stringify(decision)}`);
      this.#checks.resumed(operation, decision);
    });
    if (random.chance(0.1)) {
      this.#outside.after(random.below(2_000), () => {
        if (node.waitingOperations.includes(operation)) node.process.after(0, () => node.operationGone(operation));
        this.#checks.interrupted(operation);
      });
    }
  }

  #anyNode(random: Random): NodeModel | undefined {
    const alive = [...this.#nodes.values()].filter((node) => !node.isDead);
    return alive.length === 0 ? undefined : random.pick(alive);
  }
  #anySession(random: Random): SessionId | undefined {
    const known = this.#checks.sessionsThought;
    return known.length === 0 ? undefined : random.pick(known);
  }
  #hostOf(session: SessionId): NodeModel | undefined {
    for (const node of this.#nodes.values()) {
      const entry = node.isDead ? undefined : node.node.session(session);
      if (entry !== undefined) return this.#nodes.get(entry.node);
    }
    return undefined;
  }

  // What goes wrong.

  #fault(random: Random): void {
    const manager = [...this.#nodes.values()].find((node) => !node.isDead && node.node.isManaging);
    const victim = random.chance(this.world.stress.isBursty ? 0.8 : 0.4) && manager !== undefined ? manager : random.pick([...this.#nodes.values()]);
    const other = random.pick(this.#ids.filter((id) => id !== victim.id));
    const { process } = victim;
    const kind = random.below(8);
    this.world.log(() => `fault ${kind} on ${victim.id}, ${other}`);
    switch (kind) {
      case 0:
      case 1:
        return this.#kill(victim, random.between(50, 15_000));
      case 2:
      case 3:
        process.pause(kind === 3);
        return this.world.after(random.between(50, 20_000), () => process.resume());
      case 4:
        return this.#network.breakSome(victim.id);
      case 5:
        this.#network.cut(victim.id, other);
        if (random.chance(0.5)) this.#network.cut(other, victim.id);
        return this.world.after(random.between(500, 15_000), () => this.#network.heal());
      case 6:
        for (const id of this.#ids) if (id !== victim.id && random.chance(0.8)) this.#network.cut(victim.id, id);
        return this.world.after(random.between(500, 15_000), () => this.#network.heal());
      case 7:
        this.#network.delayMs = random.pick([1, 50, 1_000]);
    }
  }
  /** A node that hears nobody, where programs go on asking for lists, while sessions are made on the others. */
  #isolate(random: Random): void {
    const victim = random.pick([...this.#nodes.values()]);
    this.world.log(() => `${victim.id} is isolated`);
    for (const id of this.#ids) {
      if (id === victim.id) continue;
      this.#network.cut(victim.id, id);
      this.#network.cut(id, victim.id);
    }
    for (let atMs = 2_000; atMs < 10_000; atMs += 100) {
      const other = random.pick([...this.#nodes.values()]);
      this.world.after(atMs, () => {
        this.#outside.start(this.#list(victim, ++this.#clients));
        if (other !== victim && atMs % 300 === 0) this.#outside.start(this.#create(other, ++this.#clients));
      });
    }
    for (let atMs = 0; atMs < 3_000; atMs += 500) this.world.after(atMs, () => this.#userOperation(random, victim));
    this.world.after(random.pick([8_000, 25_000]), () => this.#network.heal());
  }
  #blackOut(random: Random): void {
    if (this.#isHealing) return;
    this.world.log(() => "every node dies");
    for (const node of this.#nodes.values()) {
      node.process.kill();
      this.#restartLater(node, random.between(50, 3_000));
    }
  }
  #kill(victim: NodeModel, restartMs = this.world.random.between(50, 15_000)): void {
    victim.process.kill();
    this.#restartLater(victim, restartMs);
  }
  #restartLater(victim: NodeModel, delayMs: number): void {
    this.world.after(delayMs, () => {
      if (this.#nodes.get(victim.id) !== victim || this.#isHealing) return;
      if (victim.process.state !== "dead") return this.#restartLater(victim, 100);
      this.#start(victim.id);
    });
  }

  #heal(): void {
    this.#isHealing = true;
    this.world.log(() => "healing");
    Object.assign(this.#directory.troubles, { lost: 0, ambiguous: 0, repeated: 0, stale: 0 });
    this.#durable?.heal();
    this.#network.calm();
    for (const node of this.#nodes.values()) node.process.resume();
    this.world.run(this.world.nowMs + 20); // system calls of the killed end
    for (const id of this.#ids) if (this.#nodes.get(id)!.isDead) this.#start(id);
  }

  /** What is still not as it ought to be in a healed world. */
  #unrest(): string | undefined {
    const nodes = [...this.#nodes.values()];
    const reports = nodes.map((node) => ({ id: node.id, ...node.node.describe() }));
    const views = () => reports.map((each) => `${each.id}@${each.incarnation} ${each.state} view ${each.view?.number} under ${each.view?.manager}${each.view?.isInForce ? "" : " (not in force)"}`).join(", ");
    if (reports.some((each) => each.state !== "member" || each.view?.isInForce !== true)) return `not all are members of a view in force: ${views()}`;
    if (new Set(reports.map((each) => each.view?.number)).size !== 1) return `the nodes go by different views: ${views()}`;
    if (reports.some((each) => each.view?.members.length !== nodes.length)) return `the view has not everybody: ${views()}`;
    if (reports.filter((each) => each.managing !== null).length !== 1) return "not exactly one node manages";
    if (reports.some((each) => each.managing?.isOpen === false)) return `the manager has not opened: ${reports.map((each) => each.managing?.state).join(" ")}`;
    if (new Set(reports.map((each) => each.registry.version)).size !== 1) return `registry versions differ: ${reports.map((each) => each.registry.version).join(" ")}`;
    const unfinished = reports.find((each) => each.unfinished > 0);
    if (unfinished !== undefined) return `${unfinished.id} still waits for the manager`;
    return this.#checks.unrest() ?? this.#messages.unrest() ?? this.#durable?.unrest();
  }
}

function fsHandle(fs: FsName): Handle {
  return `${fs === "fs1" ? "11" : "22"}${"0".repeat(14)}ffffffff${"0".repeat(16)}` as Handle;
}
function fileHandle(fs: FsName, inode: number): Handle {
  return `${fs === "fs1" ? "11" : "22"}${"0".repeat(14)}01000000${String(inode).padStart(16, "0")}${"0".repeat(16)}` as Handle;
}
/** Each operation of a user has its own number as the offset of its event. */
function operationNumber(message: EventMessage): number | undefined {
  return "offset" in message.event ? message.event.offset : undefined;
}
function describe(effect: NodeEffect): string {
  if (effect.kind === "transmit") {
    const { frame } = effect;
    const body = frame.body === undefined ? "ack" : JSON.stringify(frame.body).slice(0, 200);
    return `-> ${effect.to} v${frame.view} #${frame.sequence ?? "-"} ${body}`;
  }
  return JSON.stringify(effect).slice(0, 220);
}
