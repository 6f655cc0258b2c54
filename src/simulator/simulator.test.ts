/**
 * The simulator judges the cluster; this judges the simulator: a rule taken away must be missed, and a seed must give one history.
 *
 * Source    safety H13.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import { mutantSeeds } from "./mutant-seeds.js";
import { plant, TrialTree } from "./mutant-trial.js";
import { mutants } from "./mutants.js";
import { regressions } from "./regressions.js";
import { runSeed } from "./run-seed.js";

/** Enough for each of those that are tried here, with room. */
const SEEDS_MAX = 400;

it("every planted fault has exactly one place in the compiled tree, and a name of its own", () => {
  for (const mutant of mutants) plant(mutant);
  assert.equal(new Set(mutants.map((mutant) => mutant.name)).size, mutants.length);
});

it("docs/safety.md names each planted fault in its rule's row, and every rule that has code has one", () => {
  const text = readFileSync(new URL("../../docs/safety.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| \*\*([CHM]\d+)\*\* .*\| ([^|]+) \|$/gm)].map(([, rule, faults]) => ({ rule: rule!, faults: faults!.replaceAll(/ \*[tm]\*| \([^)]*\)/g, "").split("; ") }));
  const names = new Set(mutants.map(({ name }) => name));
  assert.deepEqual(rows.map(({ rule }) => rule), [...rulesOf("C", 10), ...rulesOf("H", 15), ...rulesOf("M", 13)]);
  const withoutFault = rows.filter(({ faults }) => faults[0] === "none" || faults[0]!.startsWith("none:")).map(({ rule }) => rule);
  assert.deepEqual(withoutFault, [], "each rule has a fault");
  const named = rows.filter(({ rule }) => rule !== "H13").flatMap(({ faults }) => faults);
  assert.deepEqual(named.filter((name) => !names.has(name)), [], "named there and not in the list");
  assert.deepEqual([...names].filter((name) => !named.includes(name)), [], "in the list and not named there");
  const byTest = mutants.filter(({ test }) => test !== undefined).map(({ name }) => name);
  assert.deepEqual([...names].filter((name) => text.includes(`${name} *t*`) || text.includes(`${name} *m*`)).sort(), byTest.sort(), "marked as missed by a test");
});
const rulesOf = (letter: string, count: number) => Array.from({ length: count }, (_, at) => `${letter}${at + 1}`);

// The whole list: `npm run simulate:mutants`.
for (const mutant of mutants.filter(({ isQuick }) => isQuick)) {
  it(`a promise is broken by "${mutant.name}": ${mutant.rule}`, async (t) => {
    const tree = new TrialTree();
    const seeds = new Set([mutantSeeds[mutant.name] ?? 1, ...Array.from({ length: SEEDS_MAX }, (_, at) => at + 1)]);
    const failure = await tree.try(mutant, { seeds: [...seeds] }).finally(() => tree.close());
    assert.ok(failure !== undefined, `${SEEDS_MAX} seeds noticed nothing`);
    t.diagnostic(`seed ${failure.seed}: ${failure.text}`);
  });
}

for (const { scene, seed, nodes, showed } of regressions) {
  it(`seed ${seed} of scene ${scene} holds, which once showed that ${showed}`, () => {
    assert.equal(runSeed({ scene, seed, ...(nodes === undefined ? {} : { nodes }) })?.text, undefined);
  });
}

it("one seed gives one history", () => {
  for (const [scene, stress] of [["lease", "plain"], ["cluster", "plain"], ["cluster", "durable"], ["data", "plain"], ["joined", "plain"]] as const) {
    const traces = [1, 2].map(() => {
      const world = { trace: [] as readonly string[] };
      runSeed({ seed: 3, scene, stress, isTracing: true, traced: (trace) => (world.trace = trace) });
      return world.trace;
    });
    assert.ok(traces[0]!.length > 100, scene);
    assert.deepEqual(traces[0], traces[1], `${scene}, ${stress}`);
  }
});
