import assert from "node:assert/strict";
import { test } from "node:test";
import { type RestingInode, RestingInodes } from "./resting-inodes.js";

function inode(nodeid: number, change: Partial<RestingInode> = {}): RestingInode {
  const handleBytes = new Uint8Array(8 + (nodeid % 3) * 4);
  new DataView(handleBytes.buffer).setUint32(0, nodeid % 2 ** 32);
  return {
    nodeid, handleType: 1, handleBytes, type: 0o100000, lookups: 1, place: nodeid % 1000, parent: 1, name: `some name ${nodeid}`, isUnlinked: false, isDestroyTold: false, mayHavePages: false, ...change,
  };
}

test("an object comes back as it was, by node id and by handle", () => {
  const resting = new RestingInodes();
  const all = [
    inode(2, { type: 0o040000, place: -1, name: "" }),
    inode(2 ** 40 + 1, { lookups: 4_000_000_000, isUnlinked: true, parent: 2 ** 41 }),
    inode(3, { isDestroyTold: true, name: "\xff".repeat(255), handleBytes: new Uint8Array(128).fill(7) }),
    inode(4, { mayHavePages: true, handleType: -5, handleBytes: new Uint8Array(0), type: 0o120000 }),
  ];
  for (const each of all) resting.add(each);
  for (const each of all) assert.deepEqual(resting.peek(each.nodeid), each);
  assert.equal(resting.size, 4);
  assert.deepEqual(resting.nodeids().sort((a, b) => a - b), [2, 3, 4, 2 ** 40 + 1]);
  for (const [index, each] of all.entries()) {
    assert.equal(resting.takeByHandle(each.handleType + 1, each.handleBytes), undefined);
    assert.deepEqual(index % 2 === 0 ? resting.take(each.nodeid) : resting.takeByHandle(each.handleType, each.handleBytes), each);
    assert.equal(resting.take(each.nodeid), undefined);
    assert.equal(resting.takeByHandle(each.handleType, each.handleBytes), undefined);
  }
  assert.equal(resting.size, 0);
});

test("thirty thousand take less than 100 bytes each, again and again", () => {
  const resting = new RestingInodes();
  for (let round = 0; round < 3; round++) {
    for (let nodeid = 1; nodeid <= 30_000; nodeid++) resting.add(inode(nodeid + round * 30_000));
    assert(resting.bytes < 3_000_000, `${resting.bytes} bytes`);
    for (let nodeid = 1; nodeid <= 30_000; nodeid++) assert.equal(resting.take(nodeid + round * 30_000)?.nodeid, nodeid + round * 30_000);
  }
});
