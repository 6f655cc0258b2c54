/** When space is freed, and in which order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesAboveLow, bytesToFree, type Candidate, chooseCandidates, defaultRules, faultOfMarks, usedPercent } from "./water-marks.js";

const usage = (usedBytes: number, availableBytes: number) => ({ usedBytes, availableBytes, totalBytes: usedBytes + availableBytes });
const DAY = 86_400_000;
const file = (path: string, allocatedBytes: number, days: number): Candidate => ({
  path: Buffer.from(path), size: allocatedBytes, allocatedBytes, atimeMs: (100 - days) * DAY, mtimeMs: 0,
});

test("nothing is freed up to the high mark, then down to the low one", () => {
  const marks = { high: 90, low: 70 };
  assert.equal(bytesToFree(usage(900, 100), marks), 0);
  assert.equal(bytesToFree(usage(910, 90), marks), 210);
  assert.equal(bytesAboveLow(usage(800, 200), marks), 100);
  assert.equal(bytesAboveLow(usage(700, 300), marks), 0);
  assert.equal(bytesToFree(usage(1000, 0), { high: 100, low: 100 }), 0);
  assert.equal(usedPercent(usage(0, 0)), 0);
});

test("coldest first, larger first among equally cold, no more than needed", () => {
  const files = [file("new", 9000, 0), file("old-small", 5000, 50), file("old-large", 8000, 50), file("older", 4096, 60), file("tiny", 100, 90)];
  const names = (bytes: number) => chooseCandidates(files, bytes, defaultRules, 100 * DAY).map((chosen) => chosen.path.toString());
  assert.deepEqual(names(1), ["older"]);
  assert.deepEqual(names(12_000), ["older", "old-large"]);
  assert.deepEqual(names(1_000_000), ["older", "old-large", "old-small", "new"]);
  assert.deepEqual(chooseCandidates(files, 1_000_000, { sizeMin: 1, ageMinMs: 55 * DAY }, 100 * DAY).map((chosen) => chosen.path.toString()), ["tiny", "older"]);
});

test("marks out of order or range are refused with what was found", () => {
  assert.equal(faultOfMarks({ high: 90, low: 70 }), undefined);
  assert.match(faultOfMarks({ high: 60, low: 70 }) ?? "", /above/);
  assert.match(faultOfMarks({ high: 160, low: 70 }) ?? "", /160/);
});
