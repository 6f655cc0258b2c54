import assert from "node:assert/strict";
import test from "node:test";
import { BLOCK_BYTES, fillContent, inspectContent } from "./content.js";
import { Oracle } from "./oracle.js";

test("a stale read after a completed write is a violation, a concurrent one is not", () => {
  const oracle = new Oracle();
  oracle.writeBegun(7, 2, 100n);
  oracle.writeEnded({ file: 7, version: 2, begunNs: 100n, endedNs: 200n });
  oracle.readEnded({ file: 7, owedFromNs: 150n, endedNs: 160n, versions: [1, 2], how: "read" });
  oracle.readEnded({ file: 7, owedFromNs: 250n, endedNs: 260n, versions: [2], how: "read" });
  oracle.judge(1000n);
  assert.deepEqual(oracle.violations, []);
  oracle.readEnded({ file: 7, owedFromNs: 250n, endedNs: 260n, versions: [1], how: "read" });
  oracle.readEnded({ file: 7, owedFromNs: 50n, endedNs: 60n, versions: [2], how: "read" });
  oracle.judge(1000n);
  assert.equal(oracle.violations.length, 2);
});

test("a failed write may have left either version", () => {
  const oracle = new Oracle();
  oracle.writeEnded({ file: 1, version: 2, begunNs: 100n, endedNs: 200n, error: "EIO" });
  oracle.readEnded({ file: 1, owedFromNs: 300n, endedNs: 310n, versions: [1, 2], how: "read" });
  oracle.judge(1000n);
  assert.deepEqual(oracle.violations, []);
  assert.deepEqual(oracle.finalVersions(1), { oldest: 1, newest: 2 });
});

test("a hole, a foreign block and a shifted block are told from content", () => {
  const content = Buffer.alloc(3 * BLOCK_BYTES + 100);
  fillContent(content, 5, 9, 0);
  assert.deepEqual([...inspectContent(content, 5, 0).versions], [[9, 0]]);
  assert.match(inspectContent(Buffer.alloc(BLOCK_BYTES), 5, 0).wrong ?? "", /ZEROS/);
  assert.match(inspectContent(content, 6, 0).wrong ?? "", /garbled/);
  assert.match(inspectContent(content.subarray(BLOCK_BYTES), 5, 0).wrong ?? "", /garbled/);
  content.fill(0, BLOCK_BYTES + 40, BLOCK_BYTES + 60);
  assert.match(inspectContent(content, 5, 0).wrong ?? "", /block 1: garbled/);
});

test("a block torn between two versions is both of them, a block of chance bytes is none", () => {
  const older = Buffer.alloc(BLOCK_BYTES);
  const newer = Buffer.alloc(BLOCK_BYTES);
  fillContent(older, 5, 9, 0);
  fillContent(newer, 5, 10, 0);
  const torn = Buffer.concat([newer.subarray(0, 200), older.subarray(200)]);
  assert.deepEqual([...inspectContent(torn, 5, 0).versions.keys()].sort(), [10, 9]);
  const muchNewer = Buffer.alloc(BLOCK_BYTES);
  fillContent(muchNewer, 5, 40, 0);
  const inTwoRequests = Buffer.concat([older.subarray(0, 496), muchNewer.subarray(496)]);
  assert.deepEqual([...inspectContent(inTwoRequests, 5, 0).versions.keys()].sort(), [40, 9]);
  assert.match(inspectContent(Buffer.concat([inTwoRequests.subarray(0, 506), older.subarray(506)]), 5, 0).wrong ?? "", /garbled/);
  torn.fill(0, 300, 340);
  assert.equal(inspectContent(torn, 5, 0).wrong, "file 5 block 0: garbled (0-199 version 10, 200-299 version 9, 300-339 zeros, 340-511 version 9)");
});
