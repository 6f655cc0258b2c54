/**
 * A smaller history is one that fails by the same check.
 */
import assert from "node:assert/strict";
import { it } from "node:test";
import type { RunOptions, SeedFailure } from "./run-seed.js";
import { checkOf, shrink } from "./shrink.js";

const items = new Map([["user", 20], ["fault", 3]]);
/** Fails alike as long as user 7 and fault 2 take part, and otherwise as soon as user 3 is gone. */
function run({ leftOut = [], nodes = 0 }: RunOptions): SeedFailure | undefined {
  const failure = { scene: "joined", atMs: 1, trace: [], nodes, items };
  if (["user 7", "fault 2"].every((item) => !leftOut.includes(item))) return { ...failure, text: `operation ${leftOut.length} still waits on B@${nodes}` };
  return leftOut.includes("user 3") ? { ...failure, text: "a reader saw the hole" } : undefined;
}

it("leaves out all that the failing check does not need, and says what is left", () => {
  const least = shrink({ seed: 1, scene: "joined", nodes: 5, leftOut: [] }, { text: "operation 12 still waits on A@7", items }, run);
  assert.deepEqual(least.kept, ["user 7", "fault 2"]);
  assert.equal(least.nodes, 3);
  assert.equal(least.leftOut.length, 21);
});
it("goes by the check, not by names and numbers", () => {
  assert.equal(checkOf("operation 12 still waits on A@7"), checkOf("operation 3 still waits on C@101"));
  assert.notEqual(checkOf("operation 12 still waits"), checkOf("operation 12 ended twice"));
});
