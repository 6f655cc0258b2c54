import assert from "node:assert/strict";
import test from "node:test";
import { gapsBetween } from "./page-gaps.js";

const K = 4096;
for (const [name, fills, offset, length, gaps] of [
  ["nothing is being filled", [], 0, 0, [[0, 0]]],
  ["one fill in the middle", [[4 * K, 2 * K]], 0, 0, [[0, 4 * K], [6 * K, 0]]],
  ["a fill at the start", [[0, K]], 0, 0, [[K, 0]]],
  ["fills that touch and overlap, in any order", [[6 * K, K], [2 * K, 4 * K], [3 * K, K]], K, 10 * K, [[K, K], [7 * K, 4 * K]]],
  ["a fill that covers all", [[0, 100 * K]], 2 * K, 4 * K, []],
  ["fills outside the range", [[0, K], [50 * K, K]], 2 * K, 4 * K, [[2 * K, 4 * K]]],
  ["a fill that ends within a page locks the page", [[K, 10]], 0, 0, [[0, K], [2 * K, 0]]],
] as const) {
  test(`pages to drop: ${name}`, () => {
    assert.deepEqual(
      gapsBetween(fills.map(([at, size]) => ({ offset: at, size })), offset, length).map((gap) => [gap.offset, gap.length]),
      gaps,
    );
  });
}
