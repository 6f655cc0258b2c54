/**
 * The judge of chaos runs: good histories pass, and each broken promise is found in one that differs in a line.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { View } from "../cluster/view-document.js";
import type { NodeId } from "../dmapi/ids.js";
import type { StatusDocument } from "../dmapi/status.js";
import type { Entry } from "./history.js";
import { Judge } from "./judge.js";
import { schedule } from "./faults.js";

const [A, B, C] = ["A", "B", "C"] as [NodeId, NodeId, NodeId];
type Step = readonly [who: string, node: NodeId, said: Record<string, unknown>];

function view(number: number, lives: Readonly<Record<string, number>>): Step {
  const members = Object.entries(lives).map(([id, incarnation]) => ({ id, incarnation }));
  return ["coordination", A, { kind: "view", view: { number, members } as unknown as View }];
}
function history(steps: readonly Step[]): Entry[] {
  return steps.map(([who, node, said], at) => ({ ...said, who, node, atNs: BigInt(1_000_000 * (at + 1)), ...(said["kind"] === "received" ? { askedNs: String(1_000_000 * (at + 1)) } : {}) }) as unknown as Entry);
}
function faultsOf(steps: readonly Step[], sessions: readonly object[] = []): string[] {
  const found: string[] = [];
  const judge = new Judge((holds, say) => {
    if (!holds) found.push(say());
  });
  judge.judge(history(steps));
  if (sessions.length > 0) judge.judgeTables([{ node: A, registry: { version: 1, sessions, dispositions: [] } as unknown as StatusDocument["registry"] }]);
  return found;
}
let calls = 0;
function call(node: NodeId, name: string, about: object, outcome = "ok", result: object = {}): Step[] {
  const number = ++calls;
  return [[`application ${node}`, node, { kind: "begun", call: number, name, ...about }], [`application ${node}`, node, { kind: "ended", call: number, outcome, ...result }]];
}
const asked: Step = ["asker C", C, { kind: "operation", operation: 7, how: "read" }];
const ended = (outcome = "ok"): Step => ["asker C", C, { kind: "operation-ended", operation: 7, how: "read", outcome }];
const received = (node: NodeId, session: number): Step => [`application ${node}`, node, { kind: "received", session, token: "t", operation: 7 }];
const answered = (node: NodeId): Step[] => [
  [`application ${node}`, node, { kind: "responding", operation: 7, response: { kind: "continue" } }], [`application ${node}`, node, { kind: "responded", operation: 7, outcome: "ok" }],
];
const all = view(1, { A: 1, B: 1, C: 1 });
const entry = { id: 1, node: A, info: "new", state: "active", hostGeneration: 1 };

test("a good history passes, and one whose session is assumed when its node died", () => {
  assert.deepEqual(faultsOf([all, ...call(A, "create", { info: "one" }, "ok", { session: 1 }), asked, received(A, 1), ...answered(A), ended()]), []);
  assert.deepEqual(faultsOf([
    all, ...call(A, "create", { info: "one" }, "ok", { session: 1 }), asked, received(A, 1), ["run", A, { kind: "daemon", state: "killed" }], view(2, { B: 1, C: 1 }),
    ...call(B, "assume", { session: 1, info: "one" }), received(B, 1), ...answered(B), ended(),
  ]), []);
});

const broken: readonly [string, readonly Step[], RegExp, object[]?][] = [
  ["an id given twice", [all, ...call(A, "create", { info: "one" }, "ok", { session: 1 }), ...call(B, "create", { info: "two" }, "ok", { session: 1 })], /id 1 was given out twice/],
  ["a call without an answer", [all, call(A, "create", { info: "one" })[0]!], /never answered/],
  ["an operation that nobody answers", [all, asked], /operation 7 .* never answered/],
  ["an operation that goes on by itself", [all, asked, ended()], /no application answered/],
  ["an event with two applications", [all, ...call(A, "create", {}, "ok", { session: 1 }), ...call(B, "create", {}, "ok", { session: 2 }), asked, received(A, 1), received(B, 2), ...answered(B), ended()], /while session 1 on A@1 has it/],
  ["a view twice", [all, all], /two views/],
  ["an answered change that is lost", [all, ...call(A, "create", { info: "old" }, "ok", { session: 1 }), ...call(A, "modify", { session: 1, info: "new" })], /says old/, [{ ...entry, info: "old" }]],
  ["a session that is lost", [all, ...call(A, "create", { info: "old" }, "ok", { session: 1 })], /is lost on A/, [{ ...entry, id: 2 }]],
  ["a destroyed session that is back", [all, ...call(A, "create", { info: "new" }, "ok", { session: 1 }), ...call(A, "destroy", { session: 1 })], /is back on A/, [entry]],
];
for (const [name, steps, expected, sessions] of broken) {
  test(`${name} is found`, () => {
    const found = faultsOf(steps, sessions);
    assert.equal(found.length, 1, JSON.stringify(found));
    assert.match(found[0]!, expected);
  });
}

test("a change that was not answered may have been made or not", () => {
  const steps = [all, ...call(A, "create", { info: "old" }, "ok", { session: 1 }), ...call(A, "modify", { session: 1, info: "new" }, "ENOTREADY")];
  for (const info of ["old", "new"]) assert.deepEqual(faultsOf(steps, [{ ...entry, info }]), []);
});

test("a seed gives one schedule, in which every kind has its turn before any comes again", () => {
  const take = (seed: number, length = 200) => {
    const plans = schedule(seed, 5);
    return Array.from({ length }, () => plans.next().value);
  };
  const every = [...new Set(take(7).map((plan) => plan.kind))].sort();
  assert.deepEqual(take(7), take(7));
  assert.notDeepEqual(take(7), take(8));
  const kinds = take(7).map((plan) => plan.kind);
  assert.ok(every.length > 1);
  for (const deck of [0, 1]) assert.deepEqual(kinds.slice(deck * every.length, (deck + 1) * every.length).sort(), every);
});
