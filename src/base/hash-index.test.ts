import assert from "node:assert/strict";
import { test } from "node:test";
import { HashIndex, mix } from "./hash-index.js";
import { Random } from "./random.js";

/** @param keys of so many different keys the hashes differ. */
function churn(keys: number): void {
  const random = new Random(keys);
  const hashOf = (entry: number) => mix(entry % keys);
  const index = new HashIndex(hashOf);
  const expected = new Set<number>();
  for (let step = 0; step < 30_000; step++) {
    const entry = 1 + random.below(4_000);
    assert.equal(index.find(hashOf(entry), (each) => each === entry), expected.has(entry) ? entry : 0);
    if (expected.delete(entry)) index.remove(hashOf(entry), entry);
    else {
      index.add(hashOf(entry), entry);
      expected.add(entry);
    }
  }
  assert.equal(index.size, expected.size);
  assert.deepEqual([...index.entries()].sort((a, b) => a - b), [...expected].sort((a, b) => a - b));
  const { bytes } = index;
  for (const entry of expected) index.remove(hashOf(entry), entry);
  assert.equal(index.size, 0);
  assert(index.bytes < bytes, "it shrinks");
}

test("what was added and not removed is found, whatever the order", () => churn(4_000));
test("and where many have one hash", () => churn(40));
test("what is not in it is not removed", () => {
  const index = new HashIndex(mix);
  index.add(mix(5), 5);
  index.remove(mix(6), 6);
  assert.equal(index.size, 1);
});
