/**
 * Calls of every kind, whomever they wait for, while a link is cut one way or both, slow, or a coordination directory fails with links alive, or all of it at
 * once: each call ends within linkTimeout plus one takeover, with an answer or a clear refusal; none hangs. Whoever can
 * neither renew its lease nor be told so says itself that it is out.
 *
 * Units     simulated milliseconds.
 * Source    safety C7, C8, H14; requirement R4.
 */
import assert from "node:assert/strict";
import { Random } from "../base/random.js";
import { testHistories } from "../cluster/histories.test-suite.js";
import { Bench, DEAD_MS } from "../cluster/node.test-bench.js";
import { defaultTimeouts, type NodeEffect } from "../cluster/node-contract.js";
import type { ArgsOf, CallName } from "../dmapi/calls.js";
import type { EventMessage } from "../dmapi/events.js";
import type { FsName, Handle, NodeId, SessionId, Token } from "../dmapi/ids.js";
import { fsHandle, objectHandle } from "../cluster/conversation.js";

/** The lease of whoever is out ends, its successor claims, collects and distributes. */
const TAKEOVER_MS = DEAD_MS + 3_000;
const BOUND_MS = defaultTimeouts.linkTimeoutMs + TAKEOVER_MS;
const FAULT_MS = 40_000;

type Fault = (bench: Bench, random: Random, ids: readonly NodeId[]) => string;
const two = (random: Random, ids: readonly NodeId[]): [NodeId, NodeId] => {
  const a = random.pick(ids);
  return [a, random.pick(ids.filter((id) => id !== a))];
};
const faults: readonly Fault[] = [
  (bench, random, ids) => {
    const [a, b] = two(random, ids);
    bench.cut(a, b);
    return `${b} does not hear ${a}`;
  },
  (bench, random, ids) => {
    const [a, b] = two(random, ids);
    bench.cut(a, b);
    bench.cut(b, a);
    return `${a} and ${b} do not hear each other`;
  },
  (bench, random, ids) => {
    const a = random.pick(ids);
    for (const b of ids) {
      if (a === b) continue;
      bench.cut(a, b);
      if (random.chance(0.7)) bench.cut(b, a);
    }
    return `${a} is heard by nobody`;
  },
  (bench, random, ids) => {
    const [a, b] = two(random, ids);
    bench.slow(a, b, random.between(200, 1_500));
    return `${a} and ${b} are slow`;
  },
  (bench, random, ids) => {
    const a = random.pick(ids);
    bench.failDisk(a);
    return `the directory of ${a} fails`;
  },
  (bench, random, ids) => {
    const a = random.pick(ids);
    bench.failDisk(a);
    for (const b of ids) for (const [from, to] of [[a, b], [b, a]] as const) if (a !== b) bench.cut(from, to);
    return `${a} has neither directory nor links`;
  },
  (bench, _random, ids) => {
    for (const id of ids) bench.failDisk(id);
    return "nobody has the directory";
  },
];

interface Made {
  readonly node: NodeId;
  readonly name: CallName;
  readonly args: unknown;
  readonly beganMs: number;
  endedMs: number | undefined;
}
const FS = "fs1" as FsName;
/** These wait for an application, which may take its time. */
const unbounded: ReadonlySet<CallName> = new Set(["event.get", "message.send"]);

/** Users of a bench: an application on each node that answers what it gets, and calls of every kind besides. */
class Callers {
  readonly bench: Bench;
  readonly made: Made[] = [];
  readonly #random: Random;
  readonly #ids: readonly NodeId[];
  /** Each node's session and a token outstanding there. */
  readonly #sessions = new Map<NodeId, SessionId>();
  readonly #tokens = new Map<NodeId, Token>();
  #objects = 0;

  constructor(seed: number, random: Random, ids: readonly NodeId[]) {
    this.#random = random;
    this.#ids = ids;
    const volume = () => ({ kind: "ok", result: {}, record: { generation: 1, residency: "partial", regions: [], attributes: {} } }) as const;
    this.bench = new Bench({ seed, latencyMs: [1, 5], volume }, (_node, effect: NodeEffect, atMs) => this.#ended(effect, atMs));
  }

  begin(): void {
    for (const id of this.#ids) {
      this.bench.start(id);
      this.bench.step(this.bench.processes.get(id)!, { kind: "fs-attached", fs: FS, handle: fsHandle, rootHandle: objectHandle(0), eventList: 0, mountpoint: "/fs1" });
    }
    this.bench.run(5_000);
    for (const id of this.#ids) this.make(id, "session.create", { info: id });
    for (const id of this.#ids.slice(1)) this.make(id, "fs.mount", { fs: FS });
    this.bench.run(2_000);
    for (const [id, session] of this.#sessions) {
      this.make(id, "userevent.create", { session, data: new Uint8Array(1) });
      this.make(id, "event.get", { session });
    }
    this.bench.run(100);
    assert.equal(this.#tokens.size, this.#ids.length, "each node has a session and a token");
  }

  make<N extends CallName>(node: NodeId, name: N, args: ArgsOf<N>): void {
    this.made.push({ node, name, args, beganMs: this.bench.nowMs, endedMs: undefined });
    this.bench.call(node, this.made.length, name, args);
  }

  makeAny(): void {
    const [node, other] = two(this.#random, this.#ids);
    const [session, of, token] = [this.#sessions.get(node), this.#sessions.get(other), this.#tokens.get(node)];
    if (session === undefined || of === undefined || token === undefined) throw new Error("all nodes have one");
    const handle: Handle = objectHandle(++this.#objects);
    const kinds: readonly (() => void)[] = [
      () => this.make(node, "session.create", { info: `i${this.made.length}` }),
      () => this.make(node, "fs.mount", { fs: FS }),
      () => this.make(node, "fs.unmount", { fs: FS, force: true }),
      () => this.make(node, "message.send", { session: of, isSynchronous: true, data: new Uint8Array(3) }),
      () => this.make(node, "right.request", { session, handle, token, right: this.#random.pick(["shared", "exclusive"]), wait: true }),
      () => this.make(node, "region.set", { session, handle, regions: [] }),
      () => this.make(node, "disposition.set", { session, fs: FS, events: ["read"] }),
    ];
    this.#random.pick(kinds)();
  }

  #ended(effect: NodeEffect, atMs: number): void {
    if (effect.kind !== "answer-call" && effect.kind !== "refuse-call") return;
    const call = this.made[effect.call - 1];
    assert.ok(call !== undefined && call.endedMs === undefined, `call ${effect.call} ends once`);
    call.endedMs = atMs;
    if (effect.kind === "answer-call") this.#answered(call, effect.result);
  }
  #answered({ node, name, args }: Made, result: unknown): void {
    if (name === "session.create") this.#sessions.set(node, (result as { session: SessionId }).session);
    if (name === "userevent.create") this.#tokens.set(node, (result as { token: Token }).token);
    if (name !== "event.get") return;
    const { session } = args as ArgsOf<"event.get">;
    const tokens = (result as readonly EventMessage[]).flatMap(({ token }) => (token === undefined ? [] : [token]));
    for (const token of tokens) this.make(node, "event.respond", { session, token, response: { kind: "continue" } });
    this.make(node, "event.get", { session });
  }
}

function run(seed: number): void {
  const random = new Random(seed * 11 + 5);
  const ids = ["A", "B", "C", "D", "E"].slice(0, random.between(2, 5)) as NodeId[];
  const callers = new Callers(seed, random, ids);
  const { bench } = callers;
  callers.begin();
  const fault = faults[seed % faults.length]!;
  for (let at = 0; at < 6; at++) callers.makeAny();
  bench.run(random.below(6));
  const what = fault(bench, random, ids);
  const untilMs = bench.nowMs + FAULT_MS;
  while (bench.nowMs < untilMs - BOUND_MS) {
    callers.makeAny();
    bench.run(random.between(1, 700));
  }
  bench.run(untilMs - bench.nowMs);
  for (const [at, { node, name, beganMs, endedMs = Infinity }] of callers.made.entries()) {
    if (unbounded.has(name)) continue;
    assert.ok(endedMs - beganMs <= BOUND_MS, `${what}: call ${at + 1} ${name} on ${node}, made at ${beganMs}, ${endedMs === Infinity ? "never ended" : `took ${endedMs - beganMs} ms`}; at most ${BOUND_MS} are allowed`);
  }
  bench.heal();
  const isWhole = (): boolean => [...bench.processes.values()].every(({ machine }) => {
    const { state, view } = machine.describe();
    return state === "member" && view?.isInForce === true && view.members.length === ids.length;
  });
  assert.ok(bench.runUntil(isWhole, 90_000), `${what}: healed, all are members again`);
}

testHistories({ url: import.meta.url, title: "calls end within linkTimeout plus one takeover, whatever link or directory fails", count: 42, run });
