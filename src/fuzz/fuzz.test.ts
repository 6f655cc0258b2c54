/** Every decoder against spoilt inputs, in short; `npm run fuzz` is the same at length. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.js";
import { fuzz } from "./runner.js";
import { targets } from "./targets.js";

const SEEDS = 600;

test("what was not spoilt is taken, by every decoder", () => {
  for (const { name, seeds, check } of targets) {
    const refused = seeds.filter((seed) => !check(Buffer.from(seed), new Random(1)));
    const known = { "lease-name": 1, "config-text": 2, "kernel-requests": 0 }[name] ?? 0;
    assert.equal(refused.length, known, `${name}: ${refused.map((seed) => Buffer.from(seed).toString("latin1")).join(" ")}`);
  }
});

test("spoilt inputs: a valid value or a refusal, no hang, no crash, bounded memory", async () => {
  const { inputs, taken, found } = await fuzz({ firstSeed: 1, count: SEEDS });
  assert.equal(found, undefined, `${found?.target}: ${found?.error}\nagain: ${found?.replay}`);
  assert.equal(inputs, targets.reduce((sum, { every = 1 }) => sum + SEEDS / every, 0));
  assert.ok(taken > inputs / 20 && taken < (inputs * 19) / 20, `${taken} of ${inputs} taken: both sides are tried`);
});
