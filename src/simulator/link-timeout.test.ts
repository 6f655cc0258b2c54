/**
 * Calls while a link is cut one way or both, slow, or a coordination directory fails with links alive, or all of it at
 * once: each call ends within linkTimeout plus one takeover, with an answer or a clear refusal; none hangs. Whoever can
 * neither renew its lease nor be told so says itself that it is out.
 *
 * Units     simulated milliseconds.
 * Source    safety C7, C8, H14; requirement R4.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.js";
import { Bench, DEAD_MS } from "../cluster/node.test-bench.js";
import { defaultTimeouts, type NodeEffect } from "../cluster/node-contract.js";
import type { NodeId } from "../dmapi/ids.js";

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

function run(seed: number): void {
  const random = new Random(seed * 11 + 5);
  const ids = ["A", "B", "C", "D", "E"].slice(0, random.between(2, 5)) as NodeId[];
  const calls = new Map<number, { readonly node: NodeId; readonly beganMs: number; endedMs: number | undefined }>();
  const bench = new Bench({ seed, latencyMs: [1, 5] }, (_node, effect: NodeEffect, atMs) => {
    if (effect.kind !== "answer-call" && effect.kind !== "refuse-call") return;
    const call = calls.get(effect.call);
    assert.ok(call !== undefined && call.endedMs === undefined, `call ${effect.call} ends once`);
    call.endedMs = atMs;
  });
  for (const id of ids) bench.start(id);
  bench.run(5_000);
  const fault = faults[seed % faults.length]!;
  const make = (): void => {
    const node = random.pick(ids);
    const number = calls.size + 1;
    calls.set(number, { node, beganMs: bench.nowMs, endedMs: undefined });
    bench.call(node, number, "session.create", { info: `i${number}` });
  };
  for (let at = 0; at < 4; at++) make();
  bench.run(random.below(6));
  const what = fault(bench, random, ids);
  const untilMs = bench.nowMs + FAULT_MS;
  while (bench.nowMs < untilMs - BOUND_MS) {
    make();
    bench.run(random.between(1, 700));
  }
  bench.run(untilMs - bench.nowMs);
  for (const [number, { node, beganMs, endedMs }] of calls) {
    const tookMs = (endedMs ?? Infinity) - beganMs;
    assert.ok(tookMs <= BOUND_MS, `${what}: call ${number} on ${node}, made at ${beganMs}, ${endedMs === undefined ? "never ended" : `took ${tookMs} ms`}; at most ${BOUND_MS} are allowed`);
  }
  bench.heal();
  const isWhole = (): boolean => [...bench.processes.values()].every(({ machine }) => {
    const { state, view } = machine.describe();
    return state === "member" && view?.isInForce === true && view.members.length === ids.length;
  });
  assert.ok(bench.runUntil(isWhole, 90_000), `${what}: healed, all are members again`);
}

const seeds = Number(process.env["SLUICE_SEEDS"] ?? 42);
test(`${seeds} seeds: calls end within linkTimeout plus one takeover, whatever link or directory fails`, () => {
  const first = Number(process.env["SLUICE_SEED"] ?? 1);
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      run(seed);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}; again: SLUICE_SEED=${seed} SLUICE_SEEDS=1 node --test dist/simulator/link-timeout.test.js`, { cause: error });
    }
  }
});
