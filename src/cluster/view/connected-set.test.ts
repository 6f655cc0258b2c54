/** Who stays together when links are missing (safety C7). */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../../dmapi/ids.js";
import { largestConnectedSet } from "./connected-set.js";

const cases: { name: string; nodes: string; cut: string[]; ineligible?: string; kept: string }[] = [
  { name: "all reach all: all stay", nodes: "ABCD", cut: [], kept: "ABCD" },
  { name: "one link missing: of the two sets the one with the lowest id", nodes: "ABCD", cut: ["AD"], kept: "ABC" },
  { name: "the largest set wins over the lowest id", nodes: "ABCD", cut: ["AC", "AD"], kept: "BCD" },
  { name: "two halves: the one with the lowest id", nodes: "ABCD", cut: ["AC", "AD", "BC", "BD"], kept: "AB" },
  { name: "nobody reaches anybody", nodes: "ABC", cut: ["AB", "AC", "BC"], kept: "A" },
  { name: "a set without an eligible node is no use", nodes: "ABCD", cut: ["AD", "BD", "CD"], ineligible: "ABC", kept: "D" },
  { name: "a ring of five keeps two neighbours", nodes: "ABCDE", cut: ["AC", "AD", "BD", "BE", "CE"], kept: "AB" },
];
for (const { name, nodes, cut, ineligible = "", kept } of cases) {
  test(name, () => {
    const set = largestConnectedSet({
      nodes: [...nodes].reverse() as NodeId[],
      isConnected: (a, b) => !cut.includes([a, b].sort().join("")),
      isEligible: (id) => !ineligible.includes(id),
    });
    assert.equal(set.join(""), kept);
  });
}

test("a large cluster in pieces gives a set that is connected", () => {
  const nodes = Array.from({ length: 60 }, (_, at) => `n${at}` as NodeId);
  const isConnected = (a: NodeId, b: NodeId): boolean => (Number(a.slice(1)) * Number(b.slice(1))) % 7 !== 3;
  const set = largestConnectedSet({ nodes, isConnected, isEligible: () => true });
  for (const a of set) for (const b of set) assert.ok(a === b || isConnected(a, b));
  assert.ok(set.length > 1);
});
