import assert from "node:assert/strict";
import test from "node:test";
import { gapsBetween, WINDOW } from "./page-gaps.js";

const K = WINDOW;
for (const [name, fills, offset, length, gaps] of [
  ["nothing is being filled", [], 0, 0, [[0, 0]]],
  ["one fill in the middle, with a window on each side", [[4 * K, 2 * K]], 0, 0, [[0, 3 * K], [7 * K, 0]]],
  ["a fill at the start", [[0, K]], 0, 0, [[2 * K, 0]]],
  ["fills that touch and overlap, in any order", [[6 * K, K], [3 * K, 2 * K], [4 * K, K]], K, 10 * K, [[K, K], [8 * K, 3 * K]]],
  ["a fill that covers all", [[0, 100 * K]], 2 * K, 4 * K, []],
  ["fills outside the range", [[0, K], [50 * K, K]], 2 * K, 4 * K, [[2 * K, 4 * K]]],
  ["a small file", [[4096, 4096]], 0, 65_536, []],
] as const) {
  test(`pages to drop: ${name}`, () => {
    assert.deepEqual(
      gapsBetween(fills.map(([at, size]) => ({ offset: at, size })), offset, length).map((gap) => [gap.offset, gap.length]),
      gaps,
    );
  });
}
