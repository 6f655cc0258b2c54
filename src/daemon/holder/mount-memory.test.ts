/**
 * What one daemon wrote the next one reads, whenever the first was killed; what is not whole is not believed.
 *
 * Source    safety H11.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { close } from "../../os/files.js";
import { mapFile } from "../../os/memory.js";
import { HANDLE_BYTES_MAX, MountMemory, RESENT } from "./mount-memory.js";

function withMemory(act: (memory: MountMemory, fd: number) => void): void {
  const fd = MountMemory.makeFile("test");
  assert(fd >= 0);
  const memory = MountMemory.begin(fd);
  try {
    act(memory, fd);
  } finally {
    memory.close();
    close(fd);
  }
}
function taken(fd: number): MountMemory {
  const memory = MountMemory.takeOver(fd);
  assert(!("refusal" in memory));
  return memory;
}
const inode = (nodeid: number) => ({ nodeid, handleType: 1, handleBytes: Uint8Array.of(nodeid & 255, nodeid >> 8, 3), type: 0o100000 });

test("objects, opens and numbers come back as they were written, freed places are used again", () => withMemory((memory, fd) => {
  memory.begins(true);
  const places = Array.from({ length: 40_000 }, (_, at) => memory.addInode(inode(at + 1), 1)); // more than one piece of the table
  for (const place of places) if (place % 2 === 1) memory.dropInode(place);
  memory.setLookups(places[10]!, 7);
  memory.setBackingId(places[10]!, 5);
  memory.addInode(inode(2 ** 40), 2);
  const [first, second] = [1, 2].map((fh) => memory.addOpen({ fh, nodeid: 11, isDirectory: fh === 2, flags: 0o100002, mode: 2 }));
  memory.dropOpen(first!);
  memory.nextFh = 3;
  memory.nextNodeid = 2 ** 40 + 1;
  const next = taken(fd);
  const found = [...next.inodes()];
  assert.equal(found.length, 20_001);
  const tenth = found.find(({ nodeid }) => nodeid === 11)!;
  assert.deepEqual({ ...tenth, handleBytes: [...tenth.handleBytes] }, { place: places[10], nodeid: 11, lookups: 7, handleType: 1, handleBytes: [11, 0, 3], type: 0o100000, backingId: 5 });
  assert(found.some(({ nodeid, lookups }) => nodeid === 2 ** 40 && lookups === 2));
  assert.deepEqual([...next.opens()], [{ place: second, fh: 2, nodeid: 11, isDirectory: true, flags: 0o100002, mode: 2 }]);
  assert.deepEqual([next.hasPassthrough, next.nextFh, next.nextNodeid, next.lastBackingId, next.isIncomplete], [true, 3, 2 ** 40 + 1, 5, false]);
  assert(next.addInode(inode(50_000), 1) < 40_000, "a place that was free");
  assert.equal(next.addOpen({ fh: 3, nodeid: 11, isDirectory: false, flags: 0, mode: 0 }), first);
  next.close();
}));

test("an entry of the journal is there from its beginning until it is over, under the number that comes again", () => withMemory((memory, fd) => {
  memory.begins(false);
  const done = memory.begin(2n ** 40n + 6n, 9, 4, 1000.5);
  memory.done(done, -17, 0);
  const made = memory.begin(8n | RESENT, 35, 0, 1001);
  memory.done(made, 0, 99);
  memory.opening(made, 12);
  const begun = memory.begin(10n, 12, 3, 1002);
  memory.over(memory.begin(12n, 9, 0, 1003));
  const next = taken(fd);
  assert.deepEqual([...next.journal()], [
    { place: done, unique: 2n ** 40n + 6n, state: "done", opcode: 9, result: -17, nodeid: 0, fh: 0, begunAtMs: 1000.5, note: 4 },
    { place: made, unique: 8n, state: "done", opcode: 35, result: 0, nodeid: 99, fh: 12, begunAtMs: 1001, note: 0 },
    { place: begun, unique: 10n, state: "begun", opcode: 12, result: 0, nodeid: 0, fh: 0, begunAtMs: 1002, note: 3 },
  ]);
  next.over(done);
  assert.equal(next.begin(14n, 9, 0, 1004), done);
  next.close();
  assert.equal([...taken(fd).journal()].length, 3, "it stays until it is over: the next daemon may be killed too");
}));

test("counted look-ups belong to the last request that counted and was not answered", () => withMemory((memory, fd) => {
  memory.begins(false);
  memory.counts(4n);
  memory.counted(7);
  memory.countsOver();
  assert.equal(taken(fd).countedBefore, undefined);
  memory.counts(6n);
  memory.counted(8);
  memory.counted(2 ** 33);
  assert.deepEqual(taken(fd).countedBefore, { unique: 6n, nodeids: [8, 2 ** 33] });
}));

test("memory of another release, of a mount that never began, or with something missing is refused", () => withMemory((memory, fd) => {
  const refusal = () => {
    const found = MountMemory.takeOver(fd);
    return "refusal" in found ? found.refusal : undefined;
  };
  assert.match(refusal()!, /had not begun/);
  memory.begins(false);
  assert.equal(refusal(), undefined);
  assert.equal(memory.addInode({ ...inode(5), handleBytes: new Uint8Array(HANDLE_BYTES_MAX + 1) }, 1), -1);
  assert.match(refusal()!, /could not hold everything/);
  const mapping = mapFile(fd, 4096, true);
  assert(typeof mapping !== "number");
  mapping.bytes[4]! ^= 1;
  assert.match(refusal()!, /another release/);
  mapping.unmap();
}));
