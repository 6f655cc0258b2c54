/**
 * Whole nodes on a virtual clock: golden conversations, and random faults after which everything must agree again.
 *
 * Left out of the golden files: greetings, what versions say for the audit (audit.txt asks for it), bare acknowledgements, published reach, links, what data management says.
 */
import assert from "node:assert/strict";
import type { CallName } from "../dmapi/calls.js";
import type { FsName, NodeId } from "../dmapi/ids.js";
import type { SessionEntry } from "../dmapi/status.js";
import { fsHandle, objectHandle } from "./conversation.js";
import { goldenConversations } from "./golden.test-suite.js";
import { testHistories } from "./histories.test-suite.js";
import type { Message } from "./messages.js";
import { Bench, type BenchOptions } from "./node.test-bench.js";
import type { NodeEffect } from "./node-contract.js";
import type { MemberFacts, View } from "./view-document.js";

// Golden conversations.

class Conversation {
  #lines: string[] = [];
  readonly #told = new Set<string | undefined>();
  /** Of calls made by `burst`: only the sum is told. */
  readonly #burst = new Map<number, string[]>();
  #isQuiet = false;
  /** The way on which everything is lost from the first message on that begins so. */
  #losing: { readonly from: NodeId; readonly to: NodeId; readonly begin: string } | undefined;
  readonly #bench = new Bench({ volume: () => ({ kind: "ok", result: {}, record: null }) }, (node, effect, atMs) => {
    if ("call" in effect && typeof effect.call === "number") this.#burst.get(effect.call)?.push(outcomeOf(effect));
    if (this.#isQuiet && !(effect.kind === "coordinate" && effect.request.kind === "publish-view")) return;
    this.#loseFrom(node, effect);
    const text = textOf(node, effect);
    // Repeated with the greetings: once is enough to read.
    if (text?.includes(" view-in-force ") && this.#told.has(text)) return;
    this.#told.add(text);
    if (text !== undefined) this.#lines.push(`   ${String(atMs).padStart(6)} ${text}`);
  });

  run(line: string): string[] {
    this.#lines = [];
    const [verb = "", ...words] = line.split(/\s+/);
    const [a, b] = words as NodeId[];
    if (verb === "start") for (const id of words) this.#bench.start(id as NodeId);
    else if (verb === "run") this.#bench.run(Number(a));
    else if (verb === "heal") this.#bench.heal();
    else if (verb === "call") this.#bench.call(a as NodeId, Number(b), words[2] as CallName, argumentsOf(line.slice(line.indexOf("{"))));
    else if (verb === "failDisk") this.#bench.failDisk(a as NodeId);
    else if (verb === "kill" || verb === "pause" || verb === "resume") this.#bench[verb](a as NodeId);
    else if (verb === "cut" || verb === "breakLink") this.#bench[verb](a as NodeId, b as NodeId);
    else if (verb === "lose") this.#losing = { from: a as NodeId, to: b as NodeId, begin: words.slice(2).join(" ") };
    else if (verb === "burst") this.#beginBurst(words as NodeId[]);
    else if (verb === "quiet" || verb === "loud") this.#isQuiet = verb === "quiet";
    else if (verb === "fenced") this.#lines.push(`   view ${this.#bench.views.at(-1)?.number} of ${a} says: ${JSON.stringify(this.#bench.processes.get(a as NodeId)!.machine.view?.removed ?? []).replaceAll('"', "")}`);
    else if (verb === "sum") this.#sum();
    else if (verb === "clock") this.#bench.tellClock(a as NodeId, Number(b));
    else if (verb === "status") this.#status(a as NodeId);
    else if (verb === "attach") this.#bench.step(this.#bench.processes.get(a as NodeId)!, { kind: "fs-attached", fs: "fs1" as FsName, handle: fsHandle, rootHandle: objectHandle(0), eventList: 0, mountpoint: "/fs1" });
    else assert.fail(`unknown command ${line}`);
    if (verb === "call") this.#bench.run(20);
    return this.#lines;
  }

  /** What is on its way already arrives. */
  #loseFrom(node: NodeId, effect: NodeEffect): void {
    const losing = this.#losing;
    if (effect.kind !== "transmit" || effect.frame.body === undefined || node !== losing?.from || effect.to !== losing.to) return;
    if (!messageText(effect.frame.body).startsWith(losing.begin)) return;
    this.#losing = undefined;
    this.#bench.cut(node, effect.to);
  }

  /** Fifty calls to make a session, by turns on each of the nodes, in one moment. */
  #beginBurst(nodes: readonly NodeId[]): void {
    for (let at = 0; at < 50; at++) {
      this.#burst.set(1_000 + at, []);
      this.#bench.call(nodes[at % nodes.length]!, 1_000 + at, "session.create", { info: `burst ${at}` });
    }
  }
  #sum(): void {
    const answers = [...this.#burst.values()];
    const once = answers.filter((each) => each.length === 1).map((each) => each[0]!);
    const different = new Set(once).size;
    this.#lines.push(`   of ${answers.length} calls ${once.length} are answered once, ${answers.filter((each) => each.length > 1).length} more often; ${different} different answers`);
    const sessions = [...this.#bench.processes.values()].filter(({ isRunning, isPaused }) => isRunning && !isPaused)
      .map(({ id, machine }) => `${id} ${new Set(machine.describe().registry.sessions.map(({ info }) => info)).size} of ${machine.describe().registry.sessions.length}`);
    this.#lines.push(`   sessions with different names: ${sessions.join(", ")}`);
  }

  #status(id: NodeId): void {
    const { state, view, registry, alarms } = this.#bench.processes.get(id)!.machine.describe();
    const sessions = registry.sessions.map((session) => `${session.id}@${session.node}/${session.hostGeneration} ${session.state} "${session.info}"`);
    this.#lines.push(`   ${id} is ${state}, view ${view?.number ?? "none"}${view?.isInForce ? " in force" : ""}: ${view?.why ?? ""}`);
    this.#lines.push(`   ${id} has registry version ${registry.version}: ${sessions.length > 20 ? `${sessions.length} sessions` : sessions.join(", ")}`, ...alarms.map((alarm) => `   ${id} alarm: ${alarm}`));
  }
}

/** JSON in which "bytes" are some bytes and "F1" is a handle. */
function argumentsOf(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => (value === "bytes" ? new Uint8Array([1, 2, 3]) : value === "F1" ? objectHandle(1) : value));
}
function outcomeOf(effect: NodeEffect): string {
  if (effect.kind === "answer-call") return JSON.stringify(effect.result);
  return effect.kind === "refuse-call" ? effect.failure.code : "";
}

goldenConversations("testdata/node", () => new Conversation());

function textOf(node: NodeId, effect: NodeEffect): string | undefined {
  switch (effect.kind) {
    case "transmit": {
      const { body, view } = effect.frame;
      return body === undefined || !/^(view|registry|manager|closing)-/.test(body.kind) ? undefined : `${node} -> ${effect.to} v${view} ${messageText(body)}`;
    }
    case "coordinate":
      if (effect.request.kind === "publish-reach" || effect.request.kind === "probe") return undefined;
      return effect.request.kind === "publish-view" ? `${node} publishes ${viewText(effect.request.view)}` : `${node} ${shortText(effect.request)}`;
    case "link-wanted":
    case "link-unwanted":
      return undefined;
    default:
      return `${node} ${shortText(effect)}`;
  }
}

function messageText(message: Message): string {
  switch (message.kind) {
    case "view-proposed":
      return `view-proposed ${viewText(message.view)}`;
    case "registry-installed":
      if (message.snapshot === undefined) return `registry-installed view ${message.view}, the same copy (${message.copy?.view}, ${message.copy?.version})${message.change === undefined ? "" : ` and version ${message.change.version}`}`;
      return `registry-installed view ${message.view}, version ${message.snapshot.version}, sessions ${message.snapshot.sessions.map(({ id, state }) => `${id} ${state}`).join(", ")}`;
    case "registry-collected":
      if (message.snapshot === undefined) return `registry-collected the same copy (${message.copy?.view}, ${message.copy?.version}); unfinished ${message.unfinished.map(({ request }) => request).join(", ")}`;
      return `registry-collected (${message.snapshot.view}, ${message.snapshot.version}), sessions ${message.snapshot.sessions.map(({ id, state }) => `${id} ${state}`).join(", ")}; unfinished ${message.unfinished.map(({ request }) => request).join(", ")}`;
    default:
      return shortText(message);
  }
}
function viewText({ number, manager, members, sessionIdLimit, rightsServers, removed = [] }: View): string {
  const servers = rightsServers === undefined ? "" : `, rights served by ${rightsServers.join(" ")}`;
  const fenced = removed.flatMap((life) => (life.fenced === undefined ? [] : [`, ${life.id}(${life.incarnation}) fenced`])).join("");
  return `view ${number}: ${members.map(({ id, incarnation }) => `${id}(${incarnation})`).join(" ")}, manager ${manager}, session ids to ${sessionIdLimit}${servers}${fenced}`;
}
function shortText({ kind, ...rest }: { readonly kind: string }): string {
  const isForAudit = (key: string): boolean => key === "audit" || (key === "caller" && kind !== "answer-call");
  const text = JSON.stringify(rest, (key, value: unknown) => (isForAudit(key) ? undefined : value)).replaceAll('"', "");
  return text === "{}" ? kind : `${kind} ${text}`;
}

// Random faults.

interface Answered {
  readonly node: NodeId;
  readonly name: CallName;
  readonly effect: Extract<NodeEffect, { kind: "answer-call" | "refuse-call" }>;
}

class Storm {
  readonly bench: Bench;
  readonly #ids: NodeId[];
  readonly #calls = new Map<number, { node: NodeId; life: number; name: CallName; args: { session?: number } }>();
  readonly #answers = new Map<number, Answered>();
  readonly #created = new Set<number>();
  /** Destroyed with success. */
  readonly #destroyed = new Set<number>();
  /** Somebody asked for it, so it may be gone at any time. */
  readonly #doomed = new Set<number>();
  readonly #versions = new Map<string, number>();
  /** Lives that have the registry whole, or had it. */
  readonly #holders = new Set<string>();
  #viewsSeen = 0;
  #hasLostAll = false;
  #count = 0;

  constructor(nodes: number, options: BenchOptions) {
    this.#ids = ["A", "B", "C", "D", "E"].slice(0, nodes) as NodeId[];
    this.bench = new Bench(options, (node, effect) => this.#watch(node, effect));
  }

  #watch(node: NodeId, effect: NodeEffect): void {
    this.#heedLosses();
    this.#noteHolder(node, effect);
    this.#checkForward(node);
    if (effect.kind === "alarm") assert.ok(this.#hasLostAll, `${node}: ${effect.text}`);
    if (effect.kind !== "answer-call" && effect.kind !== "refuse-call") return;
    const asked = this.#calls.get(effect.call);
    assert.ok(asked !== undefined && !this.#answers.has(effect.call), `call ${effect.call} is answered once`);
    this.#answers.set(effect.call, { node, name: asked.name, effect });
    if (effect.kind !== "answer-call") return;
    if (asked.name === "session.create") this.#sawCreated(node, (effect.result as { session: number }).session);
    if (asked.name === "session.destroy") this.#sawDestroyed(node, asked.args.session ?? 0);
  }

  /** Within one life a copy of the registry only goes forward (safety C10). */
  #checkForward(node: NodeId): void {
    const { machine } = this.bench.processes.get(node)!;
    const life = `${node}@${machine.incarnation}`;
    const before = this.#versions.get(life) ?? 0;
    assert.ok(machine.registryVersion >= before, `the registry of ${life} went back from version ${before} to ${machine.registryVersion}`);
    this.#versions.set(life, machine.registryVersion);
  }
  /** A view in which nobody has the registry: whoever had it is gone, and sessions may end. */
  #heedLosses(): void {
    for (; this.#viewsSeen < this.bench.views.length; this.#viewsSeen++) {
      const view = this.bench.views[this.#viewsSeen];
      const hasIt = ({ id, incarnation }: MemberFacts) => this.#holders.has(`${id}@${incarnation}`);
      if (this.#viewsSeen > 0 && view !== undefined && !view.members.some(hasIt)) this.#hasLostAll = true;
    }
  }
  #noteHolder(node: NodeId, effect: NodeEffect): void {
    const hasInstalled = effect.kind === "transmit" && effect.frame.body?.kind === "registry-install-acknowledged";
    if (hasInstalled || (effect.kind === "set-admission" && effect.isOpen)) this.#holders.add(`${node}@${this.bench.processes.get(node)!.machine.incarnation}`);
  }

  /** Requirement R1: when the call returns, every living member of the view lists the session. */
  #sawCreated(node: NodeId, session: number): void {
    assert.ok(!this.#created.has(session), `session id ${session} was given out twice`);
    this.#created.add(session);
    if (this.#doomed.has(session)) return;
    for (const [id, sessions] of this.#memberRegistries(node)) assert.ok(sessions.has(session), `session ${session} answered on ${node} is unknown on member ${id}`);
  }
  #sawDestroyed(node: NodeId, session: number): void {
    this.#destroyed.add(session);
    for (const [id, sessions] of this.#memberRegistries(node)) assert.ok(!sessions.has(session), `session ${session} destroyed on ${node} is still on member ${id}`);
  }
  /** Registries of those in the view that `node` goes by; only while that is the newest. */
  #memberRegistries(node: NodeId): [NodeId, Map<number, SessionEntry>][] {
    const view = this.bench.processes.get(node)!.machine.describe().view;
    if (view === null || view.number !== this.bench.views.at(-1)?.number) return [];
    return view.members.flatMap(({ id, incarnation }) => {
      const process = this.bench.processes.get(id);
      if (process === undefined || !process.isRunning || process.machine.incarnation !== incarnation) return [];
      return [[id, new Map(process.machine.describe().registry.sessions.map((session) => [Number(session.id), session]))]];
    });
  }

  begin(): void {
    for (const id of this.#ids) this.bench.start(id);
    this.bench.run(5_000);
  }

  call(): void {
    const { random } = this.bench;
    const node = random.pick(this.#ids);
    const process = this.bench.processes.get(node)!;
    if (!process.isRunning) return;
    const known = process.machine.describe().registry.sessions;
    const session = known.length === 0 ? undefined : random.pick(known);
    const number = ++this.#count;
    const [name, args] = this.#pick(session);
    this.#calls.set(number, { node, life: process.life, name, args });
    if (name === "session.destroy") this.#doomed.add(args.session ?? 0);
    this.bench.call(node, number, name, args);
  }
  #pick(session: SessionEntry | undefined): [CallName, { session?: number }] {
    if (this.bench.random.chance(0.03)) return ["manager.move", { to: this.bench.random.pick(this.#ids) } as { session?: number }];
    const choice = this.bench.random.below(10);
    const info = `i${this.#count}`;
    if (session === undefined || choice < 4) return ["session.create", { info } as { session?: number }];
    if (choice < 5) return ["session.assume", { session: session.id, info } as { session?: number }];
    if (choice < 6) return ["session.modify", { session: session.id, info } as { session?: number }];
    if (choice < 8) return ["session.destroy", { session: session.id }];
    return ["disposition.set", { session: session.id, fs: "global", events: choice < 9 ? ["mount"] : [] } as { session?: number }];
  }

  fault(): void {
    const { random } = this.bench;
    const id = random.pick(this.#ids);
    const process = this.bench.processes.get(id)!;
    switch (random.below(6)) {
      case 0: {
        const running = [...this.bench.processes.values()].filter((each) => each.isRunning);
        if (process.isRunning && running.length > 2) this.bench.kill(id);
        return;
      }
      case 1:
        if (!process.isRunning) this.bench.start(id);
        return;
      case 2:
        if (process.isRunning) this.bench.pause(id);
        return;
      case 3:
        if (process.isRunning && process.isPaused) this.bench.resume(id);
        return;
      case 4:
        this.bench.breakLink(id, random.pick(this.#ids));
        return;
      case 5:
        if (random.chance(0.5)) this.bench.cut(id, random.pick(this.#ids));
        else this.bench.heal();
    }
  }

  /** All faults end; then everything must come to rest and agree. */
  settle(): void {
    this.bench.heal();
    for (const process of this.bench.processes.values()) {
      if (!process.isRunning) this.bench.start(process.id);
      else if (process.isPaused) this.bench.resume(process.id);
    }
    assert.ok(this.bench.runUntil(() => this.#isWhole(), 120_000), `all are members of one view in force: ${this.#summary()}`);
    this.bench.run(2_000);
    const [first, ...others] = [...this.bench.processes.values()].map(({ machine }) => JSON.stringify(machine.describe().registry));
    for (const other of others) assert.equal(other, first, "all registries are equal");
    for (const process of this.bench.processes.values()) assert.equal(process.machine.describe().unfinished, 0, `${process.id} waits for nothing: ${this.#summary()}`);
    for (const [number, asked] of this.#calls) {
      const isAlive = this.bench.processes.get(asked.node)?.life === asked.life;
      assert.ok(!isAlive || this.#answers.has(number), `call ${number} ${asked.name} on ${asked.node} was answered`);
    }
    const kept = new Set(this.bench.processes.get(this.#ids[0]!)!.machine.describe().registry.sessions.map(({ id }) => Number(id)));
    if (this.#hasLostAll) return;
    for (const id of this.#destroyed) assert.ok(!kept.has(id), `destroyed session ${id} does not come back`);
    for (const id of this.#created) assert.ok(this.#doomed.has(id) || kept.has(id), `session ${id}, answered with success, is lost`);
  }
  #isWhole(): boolean {
    const described = [...this.bench.processes.values()].map(({ machine }) => machine.describe());
    return described.every(({ state, view }) => state === "member" && view?.isInForce && view.number === described[0]?.view?.number && view.members.length === this.#ids.length);
  }
  #summary(): string {
    return JSON.stringify([...this.bench.processes.values()].map(({ id, machine }) => {
      const { state, view, incarnation, managing, unfinished, awaited, links } = machine.describe();
      return [id, incarnation, state, view?.number, view?.isInForce, view?.manager, view?.members.map((member) => `${member.id}${member.incarnation}`).join(), managing, unfinished, awaited, links];
    }));
  }
}

function storm(seed: number): void {
  const run = new Storm(3 + (seed % 3), { seed, latencyMs: seed % 2 === 0 ? [1, 1] : [1, 40] });
  run.begin();
  const { random } = run.bench;
  for (let round = 0; round < 60; round++) {
    for (let calls = random.below(4); calls > 0; calls--) run.call();
    if (random.chance(0.3)) run.fault();
    run.bench.run(random.chance(0.2) ? random.between(1_000, 9_000) : random.between(1, 60));
  }
  run.settle();
}
testHistories({ url: import.meta.url, title: "random calls under random faults; then all agree and nothing answered is lost", count: 24, run: storm });
