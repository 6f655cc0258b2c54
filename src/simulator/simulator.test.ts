/**
 * The simulator judges the cluster; this judges the simulator: a rule taken away must be missed, and a seed must give one history.
 *
 * Source    safety H13.
 */
import assert from "node:assert/strict";
import { it } from "node:test";
import { type Mutant, mutants } from "./file-model.js";
import { runSeed } from "./run-seed.js";

/** Enough for each of them, with room. */
const SEEDS_MAX = 400;

function firstFailure(mutant: Mutant): { seed: number; text: string } | undefined {
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const failure = runSeed({ seed, scene: mutant === "claim-without-watch" ? "lease" : "data", mutant });
    if (failure !== undefined) return { seed, text: failure.text };
  }
  return undefined;
}

for (const mutant of mutants) {
  it(`without the rule that ${mutant} takes away a promise is broken`, (t) => {
    const failure = firstFailure(mutant);
    assert.ok(failure !== undefined, `${SEEDS_MAX} seeds noticed nothing`);
    t.diagnostic(`seed ${failure.seed}: ${failure.text}`);
  });
}

it("one seed gives one history", () => {
  for (const scene of ["lease", "cluster", "data", "joined"]) {
    const [first, second] = [1, 2].map(() => runSeed({ seed: 3, scene, isTracing: true, mutant: "mark-stays" }));
    assert.deepEqual(first, second);
  }
});
