/**
 * The simulator judges the cluster; this judges the simulator: a rule taken away must be missed, and a seed must give one history.
 *
 * Source    safety H13.
 */
import assert from "node:assert/strict";
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
  for (const scene of ["lease", "cluster", "data", "joined"]) {
    const [first, second] = [1, 2].map(() => runSeed({ seed: 3, scene, isTracing: true }));
    assert.deepEqual(first, second);
  }
});
