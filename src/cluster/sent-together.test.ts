/**
 * Many asynchronous events, and many confirmations, as one message: nothing lost, in order, and waiting for room, as when
 * each goes by itself.
 *
 * Source    safety C9, M3; requirement R14.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallName } from "../dmapi/calls.js";
import type { EventMessage } from "../dmapi/events.js";
import type { FsName, NodeId, SessionId, Token } from "../dmapi/ids.js";
import type { Message } from "./messages.js";
import { Bench } from "./node.test-bench.js";
import type { NodeEffect } from "./node-contract.js";
import { SentTogether, TOGETHER_MAX } from "./sent-together.js";
import { QUEUE_LENGTH_MAX } from "./session-node/session-node.js";

const [A, B, C] = ["A", "B", "C"] as [NodeId, NodeId, NodeId];

// What is put together.

type Raised = Extract<Message, { kind: "event-raised" }>;
function raised(token: number, more: Partial<Raised> = {}): Raised {
  return {
    kind: "event-raised", session: 1 as SessionId, hostGeneration: 1, token: token as Token, isSynchronous: false, sequence: token, registryVersion: 4, fs: "fs1" as FsName,
    event: { type: "user", data: new Uint8Array([token % 256]) }, ...more,
  };
}
function enqueued(token: number): Message {
  return { kind: "event-enqueued", token: token as Token };
}
/** What left, a word for each: the tokens, those of one message joined by "+". */
function sent(messages: readonly Message[], flushes = true): string[] {
  const words: string[] = [];
  const together = new SentTogether((to, message) => {
    const tokens = message.kind === "events-raised" ? message.events.map(({ token }) => token) : message.kind === "events-enqueued" ? message.tokens : "token" in message ? [message.token] : [];
    words.push(`${to} ${message.kind} ${tokens.join("+")}`);
  });
  for (const message of messages) together.send(A, message);
  if (flushes) together.flushAll();
  assert.equal(together.isEmpty, flushes || words.join() === "");
  return words;
}

test("events of one session go together, and confirmations; one alone goes as it is", () => {
  assert.deepEqual(sent([raised(1), raised(2), raised(3)]), ["A events-raised 1+2+3"]);
  assert.deepEqual(sent([enqueued(1), enqueued(2)]), ["A events-enqueued 1+2"]);
  assert.deepEqual(sent([raised(1)]), ["A event-raised 1"]);
  assert.deepEqual(sent([enqueued(1)]), ["A event-enqueued 1"]);
});

test("nothing overtakes what was said before to the same node", () => {
  const withdrawn: Message = { kind: "event-withdrawn", token: 2 as Token, session: 1 as SessionId };
  assert.deepEqual(sent([raised(1), raised(2), withdrawn, raised(3)]), ["A events-raised 1+2", "A event-withdrawn 2", "A event-raised 3"]);
  assert.deepEqual(sent([raised(1), raised(2, { isSynchronous: true }), raised(3)]), ["A event-raised 1", "A event-raised 2", "A event-raised 3"]);
  assert.deepEqual(sent([raised(1), enqueued(9), enqueued(8), raised(2)]), ["A event-raised 1", "A events-enqueued 9+8", "A event-raised 2"]);
});

test("only what has all in common that is said once goes together, and so much at most; a notice goes by itself", () => {
  for (const other of [{ session: 2 as SessionId }, { hostGeneration: 2 }, { registryVersion: 5 }, { fs: "fs2" as FsName }]) {
    assert.deepEqual(sent([raised(1), raised(2, other)]), ["A event-raised 1", "A event-raised 2"], JSON.stringify(other));
  }
  assert.deepEqual(sent([raised(1), raised(2, { notice: { group: "g" as never, handledBy: A } })]), ["A event-raised 1", "A event-raised 2"]);
  const many = Array.from({ length: TOGETHER_MAX + 2 }, (_, at) => at + 1);
  assert.deepEqual(sent(many.map((token) => raised(token))).map((words) => words.split("+").length), [TOGETHER_MAX, 2]);
  assert.deepEqual(sent(many.map(enqueued)).map((words) => words.split("+").length), [TOGETHER_MAX, 2]);
});

// Between whole nodes.

type Answer = Extract<NodeEffect, { kind: "answer-call" | "refuse-call" }>;
class Cluster {
  readonly bench: Bench;
  readonly session: number;
  readonly #host: NodeId;
  /** Kinds of messages about events that left each node, in order. */
  readonly said: string[] = [];
  readonly answers = new Map<number, Answer>();
  #calls = 0;

  constructor(turnMs: number, host = A) {
    this.#host = host;
    this.bench = new Bench({ turnMs }, (node, effect) => {
      if (effect.kind === "answer-call" || effect.kind === "refuse-call") this.answers.set(effect.call, effect);
      const kind = effect.kind === "transmit" ? effect.frame.body?.kind : undefined;
      if (kind?.startsWith("event") === true) this.said.push(`${node} ${kind}`);
    });
    const ids = [A, B, C];
    for (const id of ids) this.bench.start(id);
    const isWhole = ({ state, view }: { state: string; view: { members: readonly unknown[] } | undefined }) => state === "member" && view?.members.length === ids.length;
    assert.ok(this.bench.runUntil(() => ids.every((id) => isWhole(this.bench.processes.get(id)!.machine)), 30_000), "three members");
    this.session = (this.end(this.begin(host, "session.create", { info: "s" })) as { result: { session: number } }).result.session;
  }
  begin(node: NodeId, name: CallName, args: unknown): number {
    this.bench.call(node, ++this.#calls, name, args);
    return this.#calls;
  }
  end(call: number): Answer {
    assert.ok(this.bench.runUntil(() => this.answers.has(call), 20_000), `call ${call} is answered`);
    return this.answers.get(call)!;
  }
  /** Messages from B to the session, numbered in their data. */
  send(count: number): number[] {
    return Array.from({ length: count }, (_, number) => {
      const data = Buffer.alloc(4);
      data.writeUInt32LE(number);
      return this.begin(B, "message.send", { session: this.session, data, isSynchronous: false });
    });
  }
  /** Numbers of the messages in one answer. */
  get(max = 0): number[] {
    const answer = this.end(this.begin(this.#host, "event.get", { session: this.session, max, waitMs: 0 }));
    assert.equal(answer.kind, "answer-call", JSON.stringify(answer));
    return ((answer as { result: EventMessage[] }).result).map(({ event }) => Buffer.from((event as { data: Uint8Array }).data).readUInt32LE(0));
  }
}
const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at);

test("what a turn raises comes as one message, in order, in one answer to who waits; it is confirmed as one", () => {
  const cluster = new Cluster(1);
  const reader = cluster.begin(A, "event.get", { session: cluster.session });
  const calls = cluster.send(10);
  for (const call of calls) assert.equal(cluster.end(call).kind, "answer-call");
  assert.deepEqual(cluster.said, ["B events-raised", "A events-enqueued"]);
  const answer = cluster.end(reader) as { result: EventMessage[] };
  assert.deepEqual(answer.result.map(({ sequence }) => sequence), upTo(10, 1));
});

test("lost with their link, they are sent again and come once", () => {
  const cluster = new Cluster(1);
  const calls = cluster.send(20);
  cluster.bench.run(1); // on its way
  assert.deepEqual(cluster.said, ["B events-raised"]);
  cluster.bench.breakLink(A, B);
  for (const call of calls) assert.equal(cluster.end(call).kind, "answer-call");
  assert.deepEqual(cluster.get(), upTo(20));
  assert.match((cluster.end(cluster.begin(A, "event.get", { session: cluster.session, waitMs: 0 })) as { failure: { code: string } }).failure.code, /EAGAIN/);
});

test("a full queue: those for which there is no room are confirmed as room comes, in order", () => {
  const cluster = new Cluster(1);
  const more = 300;
  const calls = cluster.send(QUEUE_LENGTH_MAX + more);
  cluster.bench.run(200);
  const confirmed = () => calls.filter((call) => cluster.answers.has(call)).length;
  assert.equal(confirmed(), QUEUE_LENGTH_MAX);
  assert.deepEqual(cluster.get(256), upTo(256));
  let next = 256;
  while (next < calls.length) {
    const got = cluster.get(256);
    assert.deepEqual(got, upTo(got.length, next));
    next += got.length;
    cluster.bench.run(5);
    assert.equal(confirmed(), Math.min(calls.length, Math.max(QUEUE_LENGTH_MAX, next)));
  }
});

test("a session that is destroyed: what a member had said to it, though its turn was not over, is there before it is asked whether it is empty", () => {
  const cluster = new Cluster(400, C);
  assert.equal(cluster.bench.processes.get(A)!.machine.isManaging, true, "the manager is neither of the two");
  const destroyed = cluster.begin(C, "session.destroy", { session: cluster.session });
  const calls = cluster.send(3); // B has not heard of it yet
  const answer = cluster.end(destroyed);
  assert.equal(answer.kind === "refuse-call" ? answer.failure.code : "destroyed", "EBUSY");
  for (const call of calls) assert.equal(cluster.end(call).kind, "answer-call");
  assert.deepEqual(cluster.get(), upTo(3));
});
