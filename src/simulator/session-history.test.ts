/**
 * Random histories of session calls while managers are killed, frozen or cut off at any moment. Judged from outside:
 *
 *   - each call made on a node that goes on living gets exactly one answer;
 *   - whatever managers say of one request, they never say two different things that were done;
 *   - the calls on each session are those of one sequential registry, where every answer is true at one moment of its call
 *     (linearizability.ts); a read is judged against all changes, each by itself, since it is answered from the node's own copy.
 *
 * Source    requirements R1, R3, R4; safety C7, C10, H5.
 */
import assert from "node:assert/strict";
import { Random } from "../base/random.js";
import { testHistories } from "../cluster/histories.test-suite.js";
import { Bench } from "../cluster/node.test-bench.js";
import type { NodeEffect } from "../cluster/node-contract.js";
import type { CallName } from "../dmapi/calls.js";
import type { NodeId, RequestId } from "../dmapi/ids.js";
import { checkLinearizable, type HistoryEntry, type SequentialModel } from "./linearizability.js";

type Outcome = { readonly kind: "done"; readonly info?: string; readonly mounts?: boolean } | { readonly kind: "busy" } | { readonly kind: "absent" };
interface SessionCall {
  readonly name: CallName;
  readonly info?: string;
  readonly mounts?: boolean;
}
type SessionState = { readonly info: string; readonly mounts: boolean } | "never" | "destroyed";

/** One session, in plain words. */
const sessionModel: SequentialModel<SessionState, SessionCall, Outcome> = {
  initial: "never",
  key: (state) => JSON.stringify(state),
  step(state, call, answer) {
    if (call.name === "session.create") return state === "never" ? [{ info: call.info ?? "", mounts: false }] : [];
    if (answer?.kind === "absent") return typeof state === "string" ? [state] : [];
    if (typeof state === "string") return answer === undefined ? [state] : [];
    if (answer?.kind === "busy") return [state];
    switch (call.name) {
      case "session.modify":
      case "session.assume":
        return [{ ...state, info: call.info ?? "" }];
      case "session.destroy":
        return ["destroyed"];
      case "disposition.set":
        return [{ ...state, mounts: call.mounts === true }];
      case "session.query":
        return answer?.info === undefined || answer.info === state.info ? [state] : [];
      default:
        return [];
    }
  },
};

interface Made {
  readonly node: NodeId;
  readonly life: number;
  readonly call: SessionCall;
  readonly beganMs: number;
  session: number | undefined;
  end: { readonly atMs: number; readonly effect: Extract<NodeEffect, { kind: "answer-call" | "refuse-call" }> } | undefined;
}

class History {
  readonly bench: Bench;
  readonly random: Random;
  readonly #ids: NodeId[];
  readonly #made = new Map<number, Made>();
  readonly #done = new Map<RequestId, string>();
  #count = 0;

  constructor(seed: number) {
    this.random = new Random(seed * 7 + 3);
    this.#ids = ["A", "B", "C", "D", "E"].slice(0, this.random.between(3, 5)) as NodeId[];
    this.bench = new Bench({ seed, latencyMs: this.random.pick([[1, 1], [1, 10], [1, 60]] as const) }, (node, effect, atMs) => this.#watch(node, effect, atMs));
  }

  #watch(node: NodeId, effect: NodeEffect, atMs: number): void {
    if (effect.kind === "transmit" && effect.frame.body?.kind === "manager-result") {
      const { request, result } = effect.frame.body;
      const before = this.#done.get(request);
      const text = result.kind === "done" ? `done ${result.session ?? ""}` : result.failure.code;
      assert.ok(before === undefined || before === text || !before.startsWith("done"), `${request} was answered ${before}, and then ${text} by ${node}`);
      this.#done.set(request, text);
    }
    if (effect.kind !== "answer-call" && effect.kind !== "refuse-call") return;
    const made = this.#made.get(effect.call);
    assert.ok(made !== undefined && made.end === undefined, `call ${effect.call} has one answer`);
    made.end = { atMs, effect };
    if (made.call.name === "session.create" && effect.kind === "answer-call") made.session = (effect.result as { session: number }).session;
  }

  run(): void {
    for (const id of this.#ids) this.bench.start(id);
    this.bench.run(5_000);
    for (let round = 0; round < 40; round++) {
      for (let calls = this.random.below(5); calls > 0; calls--) this.#call();
      if (this.random.chance(0.6)) this.bench.run(this.random.below(8));
      if (this.random.chance(0.25)) this.#fault();
      this.bench.run(this.random.chance(0.15) ? this.random.between(1_000, 9_000) : this.random.between(1, 50));
    }
    this.bench.heal();
    for (const process of this.bench.processes.values()) {
      if (!process.isRunning) this.bench.start(process.id);
      else if (process.isPaused) this.bench.resume(process.id);
    }
    this.bench.run(60_000);
  }

  #call(): void {
    const node = this.random.pick(this.#ids);
    const process = this.bench.processes.get(node)!;
    if (!process.isRunning) return;
    const number = ++this.#count;
    const known = process.machine.describe().registry.sessions;
    const session = known.length === 0 || this.random.chance(0.15) ? undefined : this.random.pick(known);
    const call: SessionCall = session === undefined ? { name: "session.create", info: `i${number}` } : this.#pick(number);
    const made: Made = { node, life: process.life, call, beganMs: this.bench.nowMs, session: session?.id, end: undefined };
    this.#made.set(number, made);
    const { name, info, mounts } = call;
    const args = { ...(session !== undefined && { session: session.id }), ...(info !== undefined && { info }), ...(mounts !== undefined && { fs: "global", events: mounts ? ["mount"] : [] }) };
    this.bench.call(node, number, name, args);
  }
  #pick(number: number): SessionCall {
    const choice = this.random.below(10);
    if (choice < 3) return { name: "session.query" };
    if (choice < 6) return { name: "session.modify", info: `i${number}` };
    if (choice < 7) return { name: "session.assume", info: `i${number}` };
    if (choice < 8) return { name: "session.destroy" };
    return { name: "disposition.set", mounts: choice < 9 };
  }

  /** Mostly to the manager of the day. */
  #fault(): void {
    const manager = this.bench.views.at(-1)?.manager;
    const id = manager !== undefined && this.random.chance(0.7) ? manager : this.random.pick(this.#ids);
    const process = this.bench.processes.get(id)!;
    const running = [...this.bench.processes.values()].filter((each) => each.isRunning);
    const other = this.random.pick(this.#ids);
    switch (this.random.below(6)) {
      case 0:
        if (process.isRunning && running.length > 2) this.bench.kill(id);
        return;
      case 1:
        if (process.isRunning) this.bench.pause(id);
        return;
      case 2:
        this.bench.cut(id, other);
        if (this.random.chance(0.5)) this.bench.cut(other, id);
        return;
      case 3:
        for (const each of this.bench.processes.values()) if (!each.isRunning) this.bench.start(each.id);
        return;
      case 4:
        for (const each of this.bench.processes.values()) if (each.isRunning && each.isPaused) this.bench.resume(each.id);
        return;
      case 5:
        if (this.random.chance(0.5)) this.bench.heal();
        else this.bench.breakLink(id, other);
    }
  }

  /** A view none of whose members was in the one before: whoever had the registry is gone, and sessions may end. */
  get hasLostAll(): boolean {
    return this.bench.views.some((view, at) => {
      const before = this.bench.views[at - 1];
      return before !== undefined && !view.members.some(({ id, incarnation }) => before.members.some((each) => each.id === id && each.incarnation === incarnation));
    });
  }

  judge(): void {
    for (const [number, { node, life, end, call }] of this.#made) {
      assert.ok(end !== undefined || this.bench.processes.get(node)?.life !== life, `call ${number}, ${call.name} on ${node}, was answered`);
    }
    if (this.hasLostAll) return;
    const sessions = new Set([...this.#made.values()].flatMap(({ session }) => (session === undefined ? [] : [session])));
    for (const session of sessions) this.#judgeSession(session);
  }
  #judgeSession(session: number): void {
    const entries = [...this.#made.values()].filter((made) => made.session === session).flatMap((made) => this.#entry(made));
    const changes = entries.filter(({ call }) => call.name !== "session.query");
    // The create was not answered, or not to anybody who lives: its beginning is not known.
    if (!changes.some(({ call }) => call.name === "session.create")) changes.push({ call: { name: "session.create", info: "?" }, beganMs: 0 });
    const isCreateKnown = changes.every(({ call }) => call.info !== "?");
    for (const read of [undefined, ...(isCreateKnown ? entries.filter(({ call }) => call.name === "session.query") : [])]) {
      const verdict = checkLinearizable(read === undefined ? changes : [...changes, read], sessionModel);
      assert.ok(verdict.kind === "linearizable", `session ${session}: ${verdict.kind === "impossible" ? verdict.text : "not decided"}`);
    }
  }
  /** Nothing for what was refused without effect. */
  #entry({ call, beganMs, end }: Made): HistoryEntry<SessionCall, Outcome>[] {
    if (end === undefined) return call.name === "session.query" ? [] : [{ call, beganMs }];
    const { atMs, effect } = end;
    if (effect.kind === "answer-call") {
      const info = call.name === "session.query" ? (effect.result as { info: string }).info : undefined;
      return [{ call, beganMs, end: { atMs, answer: { kind: "done", ...(info !== undefined && { info }) } } }];
    }
    if (effect.failure.code === "ENOTREADY") return call.name === "session.query" ? [] : [{ call, beganMs }];
    if (effect.failure.code === "EBUSY") return [{ call, beganMs, end: { atMs, answer: { kind: "busy" } } }];
    if (effect.failure.message.startsWith("there is no session")) return [{ call: { name: "session.query" }, beganMs, end: { atMs, answer: { kind: "absent" } } }];
    return [];
  }
}

let judged = 0;
testHistories({
  url: import.meta.url, title: "session calls under faults of managers are those of one sequential registry", count: 40,
  run: (seed) => {
    const history = new History(seed);
    history.run();
    history.judge();
    if (!history.hasLostAll) judged++;
  },
  judge: (seeds) => assert.ok(judged * 2 >= seeds || seeds === 1, `${judged} of ${seeds} histories kept the registry`),
});
