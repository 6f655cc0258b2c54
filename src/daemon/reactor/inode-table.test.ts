import assert from "node:assert/strict";
import { test } from "node:test";
import type { Handle } from "../../dmapi/ids.js";
import { kernelHandleOf, ownText } from "../../volume/handles.js";
import { type Inode, InodeTable, type InodeTableOptions } from "./inode-table.js";

const REGULAR = 0o100000;
const bytesOf = (ino: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(ino);
  return bytes;
};
const foundOf = (ino: number, fd = -1) => ({ fd, own: ownText({ type: 1, bytes: bytesOf(ino) }), handleType: 1, handleBytes: bytesOf(ino), stored: undefined });

class Scene {
  readonly closed: number[] = [];
  readonly gone: number[] = [];
  readonly busy = new Set<number>();
  readonly table: InodeTable;

  constructor(change: Partial<InodeTableOptions> = {}) {
    this.table = new InodeTable({
      descriptorsMax: 2, awakeMax: 3,
      close: (fd) => this.closed.push(fd),
      onGone: ({ nodeid }) => this.gone.push(nodeid),
      onClose: () => {},
      mayRest: ({ nodeid }) => !this.busy.has(nodeid),
      seal: ({ own }) => `sealed ${own}` as Handle,
      unseal: (handle) => (handle.startsWith("sealed ") ? kernelHandleOf(handle.slice(7)) : undefined),
      ...change,
    });
    this.table.pin(this.table.intern(foundOf(1), 0o040000)); // the root
  }
  look(ino: number, fd = -1): Inode {
    const inode = this.table.intern(foundOf(ino, fd), REGULAR);
    this.table.lookedUp(inode);
    inode.name = `name ${ino}`;
    inode.parent = 1;
    return inode;
  }
}

test("of objects that nobody uses the last used stay awake, the others rest and come back as they were", () => {
  const scene = new Scene();
  const { table } = scene;
  const look = (ino: number) => scene.look(ino);
  const nodeids = [10, 11, 12, 13, 14, 15].map((ino) => look(ino).nodeid);
  assert.equal(table.size, 7);
  assert.equal(table.restingSize, 3);
  assert.equal(table.getAwake(nodeids[0]!), undefined);
  assert.deepEqual(table.peek(nodeids[0]!), { own: foundOf(10).own, parent: 1, name: "name 10" });
  assert.equal(table.getAwake(nodeids[0]!), undefined, "a peek wakes nobody");
  const woken = table.get(nodeids[0]!)!;
  assert.deepEqual([woken.own, woken.lookups, woken.name, woken.type], [foundOf(10).own, 1, "name 10", REGULAR]);
  assert.equal(table.restingSize, 3, "another rests in its place");
  assert.equal(table.byOwn(foundOf(11).own)?.nodeid, nodeids[1]);
  assert.equal(look(12).nodeid, nodeids[2], "found again it keeps its number");
  assert.equal(table.peek(nodeids[2]!)?.name, "name 12");
  assert.equal(table.get(nodeids[2]!)?.lookups, 2);
});

test("what is pinned, has a descriptor, or is hung on elsewhere does not rest, and does when that is over", () => {
  const scene = new Scene();
  const [pinned, open, busy] = [scene.look(10), scene.look(11, 77), scene.look(12)];
  scene.table.pin(pinned);
  scene.busy.add(busy.nodeid);
  for (let ino = 20; ino < 40; ino++) scene.look(ino);
  for (const inode of [pinned, open, busy]) assert.equal(scene.table.getAwake(inode.nodeid), inode);
  scene.busy.clear();
  scene.table.unpin(pinned);
  scene.table.sweepIdle(() => {});
  scene.table.sweepIdle(() => {});
  assert.deepEqual(scene.closed, [77]);
  for (let ino = 40; ino < 60; ino++) scene.look(ino);
  for (const inode of [pinned, open, busy]) assert.equal(scene.table.getAwake(inode.nodeid), undefined);
  assert.throws(() => scene.table.pin(pinned), /kept while others ran/);
});

test("one that is just looked for does not rest, however many others may not", () => {
  const scene = new Scene();
  for (let nodeid = 2; nodeid < 7; nodeid++) {
    scene.busy.add(nodeid);
    assert.equal(scene.look(nodeid).nodeid, nodeid);
  }
  scene.table.restore({ nodeid: 100, handleType: 1, handleBytes: bytesOf(500), type: REGULAR, lookups: 1, place: -1 });
  const inode = scene.table.get(100)!;
  assert.equal(scene.table.getAwake(100), inode);
});

test("a sealed handle leads to one that rests, also when it was never sealed before", () => {
  const scene = new Scene();
  const first = scene.look(10);
  const handle = scene.table.handleOf(first);
  for (let ino = 20; ino < 40; ino++) scene.look(ino);
  assert.equal(scene.table.getAwake(first.nodeid), undefined);
  assert.equal(scene.table.byHandle(handle)?.nodeid, first.nodeid);
  assert.equal(scene.table.byHandle(`sealed ${foundOf(20).own}` as Handle)?.own, foundOf(20).own);
  assert.equal(scene.table.byHandle("another's" as Handle), undefined);
});

test("one that rests is forgotten when the kernel has given back all look-ups", () => {
  const scene = new Scene();
  const { nodeid } = scene.look(10);
  scene.look(10);
  for (let ino = 20; ino < 40; ino++) scene.look(ino);
  scene.table.forget(nodeid, 1);
  for (let ino = 40; ino < 60; ino++) scene.look(ino);
  assert.deepEqual(scene.gone, []);
  scene.table.forget(nodeid, 1);
  assert.deepEqual(scene.gone, [nodeid]);
  assert.equal(scene.table.get(nodeid), undefined);
  assert.notEqual(scene.look(10).nodeid, nodeid, "a node id is never used twice");
});

test("descriptors of what nobody uses are bounded", () => {
  const scene = new Scene();
  for (let ino = 10; ino < 30; ino++) scene.look(ino, 100 + ino);
  assert.deepEqual(scene.closed, Array.from({ length: 18 }, (_, index) => 110 + index));
});

test("what an earlier daemon told the kernel rests until it is wanted", () => {
  const scene = new Scene();
  for (let nodeid = 2; nodeid < 1_000; nodeid++) scene.table.restore({ nodeid, handleType: 1, handleBytes: bytesOf(nodeid + 1_000), type: REGULAR, lookups: 3, place: nodeid });
  assert.equal(scene.table.restingSize, 998);
  const inode = scene.table.get(500)!;
  assert.deepEqual([inode.own, inode.lookups, inode.place], [foundOf(1_500).own, 3, 500]);
  assert.equal(scene.look(5).nodeid, 1_000);
});
