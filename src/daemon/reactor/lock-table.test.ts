import assert from "node:assert/strict";
import { test } from "node:test";
import type { Handle } from "../../dmapi/ids.js";
import { Inode } from "./inode-table.js";
import { LockTable, newTurn, type LockOwner, type LockWait } from "./lock-table.js";

const inode = (nodeid: number) => new Inode({ nodeid, own: `${nodeid}`, handleType: 1, handleBytes: new Uint8Array(), type: 0o100000 });
const range = (start: number, end: number, isExclusive = true) => ({ start: BigInt(start), end: BigInt(end), isExclusive });
function owner(table: LockTable, of: Inode, id: number, isFlock = false): LockOwner {
  const made: LockOwner = { fd: -1, id: BigInt(id), isFlock, fh: id, pid: 100 + id, ranges: [], change: 0, turn: newTurn(), key: "" };
  table.add(of, made);
  return made;
}
const request = (table: LockTable, by: LockWait["by"] = "process") => Object.assign(table.newWait(0, false), { by });
const grant = (table: LockTable, of: Inode, to: LockOwner, start: number, end: number, isExclusive = true) => table.granted(of, to, BigInt(start), BigInt(end), range(start, end, isExclusive));

test("a lock replaces what its owner held of the range, an unlock leaves both sides", () => {
  const [table, f] = [new LockTable(), inode(2)];
  const [a, b] = [owner(table, f, 1), owner(table, f, 2)];
  grant(table, f, a, 0, 99);
  grant(table, f, a, 40, 49, false);
  table.granted(f, a, 60n, 69n, undefined);
  assert.deepEqual([...a.ranges].sort((x, y) => Number(x.start - y.start)), [range(0, 39), range(40, 49, false), range(50, 59), range(70, 99)]);
  assert.equal(table.holderAt(f, 45n, false, b), a);
  assert.equal(table.holderAt(f, 65n, false, b), undefined);
  assert.equal(table.holderAt(f, 45n, false, a), undefined, "nobody stands in his own way");
});

test("a circle of two and of three is seen, a chain is not", () => {
  const [table, f, g] = [new LockTable(), inode(2), inode(3)];
  const [af, ag, bf, bg, cg] = [owner(table, f, 1), owner(table, g, 1), owner(table, f, 2), owner(table, g, 2), owner(table, g, 3)];
  grant(table, f, af, 0, 0);
  grant(table, g, bg, 0, 0);
  grant(table, g, cg, 5, 5);
  assert.equal(table.isCircle(g, ag, range(0, 0)), false, "b waits for nobody");
  const isOver = table.waits(f, bf, range(0, 0), request(table), () => {});
  assert.equal(table.isCircle(g, ag, range(0, 0)), true, "b waits for a");
  assert.equal(table.isCircle(g, cg, range(0, 0)), false, "c is waited for by nobody");
  table.waits(g, ag, range(5, 5), request(table), () => {});
  assert.equal(table.isCircle(g, cg, range(0, 0)), true, "c for b for a for c");
  isOver();
  assert.equal(table.isCircle(g, cg, range(0, 0)), false);
});

test("readers wait for no reader, and flock is in no circle", () => {
  const [table, f] = [new LockTable(), inode(2)];
  const [a, b] = [owner(table, f, 1), owner(table, f, 2)];
  grant(table, f, a, 0, 9, false);
  grant(table, f, b, 5, 9, false);
  table.waits(f, b, range(0, 0), request(table), () => {});
  assert.equal(table.isCircle(f, a, range(0, 9, false)), false);
  assert.equal(table.isCircle(f, a, range(0, 9)), true);
  const flock = owner(table, f, 1, true);
  assert.equal(table.isCircle(f, flock, range(0, 9)), false);
});

test("an open file waits for nobody's sake", () => {
  const [table, f] = [new LockTable(), inode(2)];
  const [a, b] = [owner(table, f, 1), owner(table, f, 2)];
  grant(table, f, a, 0, 0);
  grant(table, f, b, 1, 1);
  for (const [by, isCircle] of [["open-file", false], ["running", false], ["unknown", true], ["process", true]] as const) {
    const isOver = table.waits(f, b, range(0, 0), request(table, by), () => {});
    assert.equal(table.isCircle(f, a, range(1, 1)), isCircle, by);
    isOver();
  }
});

test("told to others: processes that hold locks and wait, with all they hold; a change of that shows", () => {
  const [table, f, g] = [new LockTable(), inode(2), inode(3)];
  const handleOf = ({ own }: Inode) => own as Handle;
  const [af, ag, bf, cf] = [owner(table, f, 1), owner(table, g, 1), owner(table, f, 2), owner(table, f, 3)];
  grant(table, f, af, 0, 4);
  grant(table, f, af, 5, 9);
  grant(table, f, cf, 20, 20);
  let woken = 0;
  const waits = request(table);
  table.waits(g, ag, range(7, 7), waits, () => woken++);
  table.waits(f, bf, range(0, 0), request(table), () => {});
  table.waits(f, cf, range(0, 0), request(table, "open-file"), () => {});
  const { life, owners } = table.report(handleOf);
  assert.deepEqual(owners.map(({ owner: id, waits: each }) => [id, each]), [["1", [{ wait: waits.wait, handle: "3", range: { start: "7", end: "7", isExclusive: true } }]]], "b holds nothing, c is an open file");
  const held = (report: typeof owners) => report[0]!.holds.find(({ handle }) => handle === "2")!;
  assert.deepEqual(held(owners).ranges, [{ start: "0", end: "9", isExclusive: true }]);
  assert.equal(held(table.report(handleOf).owners).change, held(owners).change);
  table.granted(f, af, 0n, 9n, undefined);
  grant(table, f, af, 0, 9);
  assert.notEqual(held(table.report(handleOf).owners).change, held(owners).change, "let go and taken again");
  assert.equal(table.refuse("another life", waits.wait), false);
  assert.equal(waits.isRefused, false);
  assert.equal(table.refuse(life, waits.wait), true);
  assert.deepEqual([waits.isRefused, woken], [true, 1]);
  table.remove(f, af);
  assert.deepEqual(table.report(handleOf).owners, [], "who holds nothing is in no circle");
});

test("whoever waits on the file tries again when a lock is given up or becomes shared, not when one is taken", () => {
  const [table, f, g] = [new LockTable(), inode(2), inode(3)];
  const [a, b, elsewhere] = [owner(table, f, 1), owner(table, f, 2), owner(table, g, 3)];
  let woken = 0;
  table.waits(f, b, range(0, 9), request(table), () => woken++);
  grant(table, f, a, 0, 9);
  grant(table, g, elsewhere, 0, 9);
  table.remove(g, elsewhere);
  assert.equal(woken, 0);
  grant(table, f, a, 0, 4, false);
  assert.equal(woken, 1);
  table.granted(f, a, 5n, 9n, undefined);
  assert.equal(woken, 2);
  table.remove(f, a);
  assert.equal(woken, 3);
  assert.deepEqual(table.ofOpen(f, 1), []);
});
