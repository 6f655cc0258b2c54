/** Random histories of locks over nodes: who is refused stood in a circle at one moment, and a circle that stays is found. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../base/random.js";
import type { Handle, NodeId } from "../../dmapi/ids.js";
import type { LockedRange, LockReport } from "../messages.js";
import { type LockReports, standing, type StandingWait, victims } from "./circles.js";

interface Held {
  readonly from: number;
  readonly to: number;
  readonly isExclusive: boolean;
}
interface Waits extends Held {
  readonly wait: number;
  readonly file: number;
}
class Owner {
  readonly holds = new Map<number, { change: number; ranges: Held[] }>();
  /** One for each of its threads. */
  readonly waits: Waits[] = [];

  readonly node: NodeId;
  readonly id: number;

  constructor(node: NodeId, id: number) {
    this.node = node;
    this.id = id;
  }
}
const FILES = 2;
const BYTES = 4;
const meets = (a: Held, b: Held) => a.from <= b.to && b.from <= a.to && (a.isExclusive || b.isExclusive);

/** What really is, of all nodes at one moment. */
class World {
  readonly owners: Owner[] = [];
  readonly #random: Random;
  #last = 0;

  constructor(random: Random, nodes: number, owners: number) {
    this.#random = random;
    for (let id = 0; id < owners; id++) this.owners.push(new Owner(`n${random.below(nodes)}` as NodeId, id));
  }
  inTheWay(owner: Owner, wanted: Waits): Owner[] {
    return this.owners.filter((other) => other !== owner && (other.holds.get(wanted.file)?.ranges ?? []).some((held) => meets(held, wanted)));
  }
  step(): void {
    const random = this.#random;
    const owner = this.owners[random.below(this.owners.length)]!;
    const act = random.below(20);
    if (act === 0 && owner.waits.length > 0) owner.waits.splice(random.below(owner.waits.length), 1); // interrupted
    else if (act < 5 && owner.waits.length < 2) this.#unlock(owner); // by another thread, if one waits
    else if (owner.waits.length === 0 || (act === 5 && owner.waits.length < 2)) this.#want(owner);
    this.grantAll();
  }
  #unlock(owner: Owner): void {
    const file = this.#random.below(FILES);
    if (owner.holds.has(file)) owner.holds.set(file, { change: ++this.#last, ranges: [] });
  }
  #want(owner: Owner): void {
    const random = this.#random;
    const from = random.below(BYTES);
    owner.waits.push({ wait: ++this.#last, file: random.below(FILES), from, to: Math.min(BYTES - 1, from + random.below(2)), isExclusive: random.below(4) > 0 });
  }
  grantAll(): void {
    for (const owner of this.owners) {
      for (const wanted of [...owner.waits]) {
        if (this.inTheWay(owner, wanted).length > 0) continue;
        owner.waits.splice(owner.waits.indexOf(wanted), 1);
        owner.holds.set(wanted.file, { change: ++this.#last, ranges: [...(owner.holds.get(wanted.file)?.ranges ?? []), wanted] });
      }
    }
  }
  report(node: NodeId): LockReport {
    const told = ({ from, to, isExclusive }: Held): LockedRange => ({ start: `${from}`, end: `${to}`, isExclusive });
    return {
      life: "1",
      owners: this.owners.filter((owner) => owner.node === node && owner.waits.length > 0 && [...owner.holds.values()].some(({ ranges }) => ranges.length > 0)).map((owner) => ({
        owner: `${owner.id}`,
        waits: owner.waits.map((wanted) => ({ wait: wanted.wait, handle: `f${wanted.file}` as Handle, range: told(wanted) })),
        holds: [...owner.holds].map(([file, { change, ranges }]) => ({ handle: `f${file}` as Handle, change, ranges: ranges.map(told) })),
      })),
    };
  }
  /** Waits that wait for their own owner, by way of others. */
  inCircles(): Set<number> {
    const found = new Set<number>();
    for (const owner of this.owners) {
      for (const wanted of owner.waits) {
        const met = new Set<Owner>();
        const next = this.inTheWay(owner, wanted);
        for (let other = next.pop(); other !== undefined; other = next.pop()) {
          if (met.has(other)) continue;
          met.add(other);
          for (const each of other.waits) next.push(...this.inTheWay(other, each));
        }
        if (met.has(owner)) found.add(wanted.wait);
      }
    }
    return found;
  }
  refuse({ wait }: StandingWait): void {
    for (const owner of this.owners) owner.waits.splice(0, Number.POSITIVE_INFINITY, ...owner.waits.filter((each) => each.wait !== wait));
  }
}
const nodes = ["n0", "n1", "n2"] as NodeId[];

/** Each node answers at its own time, and life goes on between. */
function round(world: World, random: Random): LockReports {
  const reports = new Map<NodeId, LockReport>();
  for (const node of nodes) {
    for (let steps = random.below(6); steps > 0; steps--) world.step();
    reports.set(node, world.report(node));
  }
  return reports;
}

test("whoever is refused stood in a circle between the rounds, although everything changes meanwhile", () => {
  let [refused, phantoms] = [0, 0];
  for (let seed = 0; seed < 3_000; seed++) {
    const random = new Random(seed);
    const world = new World(random, nodes.length, 5);
    for (let steps = 0; steps < 15; steps++) world.step();
    const first = round(world, random);
    const truth = world.inCircles();
    const found = victims(standing(first, round(world, random)));
    refused += found.length;
    if (victims(first).some(({ wait }) => !truth.has(wait))) phantoms++;
    for (const { wait } of found) assert.ok(truth.has(wait), `seed ${seed}: wait ${wait} was in no circle`);
  }
  assert.ok(refused > 300, `${refused} were refused`);
  assert.ok(phantoms > 30, `one round alone would have been wrong ${phantoms} times`);
});

test("where nothing moves any more, every circle is found, and ends by refusals of which each was needed", () => {
  let circles = 0;
  for (let seed = 0; seed < 1_000; seed++) {
    const random = new Random(seed);
    const world = new World(random, nodes.length, 6);
    for (let steps = 0; steps < 25; steps++) world.step();
    for (;;) {
      const reports = new Map(nodes.map((node) => [node, world.report(node)]));
      const truth = world.inCircles();
      const found = victims(standing(reports, reports));
      assert.equal(found.length > 0, truth.size > 0, `seed ${seed}`);
      if (found.length === 0) break;
      circles++;
      for (const wait of found) {
        assert.ok(world.inCircles().has(wait.wait), `seed ${seed}: ${wait.wait} is in a circle yet when it is refused`);
        world.refuse(wait);
      }
      world.grantAll();
    }
  }
  assert.ok(circles > 300, `${circles} circles`);
});

const report = (life: string, owner: string, wait: number, wants: string, holds: string, change = 1): LockReport => {
  const range = { start: "0", end: "9", isExclusive: true };
  return { life, owners: [{ owner, waits: [{ wait, handle: wants as Handle, range }], holds: [{ handle: holds as Handle, change, ranges: [range] }] }] };
};
const two = (a: LockReport, b: LockReport): LockReports => new Map([[nodes[0]!, a], [nodes[1]!, b]]);

test("one of a circle is refused, the same whoever looks; owners of different nodes are different", () => {
  const reports = two(report("x", "1", 9, "g", "f"), report("y", "1", 3, "f", "g"));
  assert.deepEqual(victims(reports), [{ node: "n1", life: "y", wait: 3 }]);
  assert.deepEqual(victims(new Map([...reports].reverse())), [{ node: "n1", life: "y", wait: 3 }]);
  assert.deepEqual(victims(two(report("x", "1", 9, "g", "f"), report("y", "2", 3, "h", "g"))), [], "a chain");
});

test("another wait, another hold and another life are not what was there before", () => {
  const [a, b] = [report("x", "1", 9, "g", "f"), report("y", "1", 3, "f", "g")];
  assert.equal(victims(standing(two(a, b), two(a, b))).length, 1);
  assert.deepEqual(victims(standing(two(a, b), two(a, report("y", "1", 4, "f", "g")))), [], "it waits anew");
  assert.deepEqual(victims(standing(two(a, b), two(a, report("y", "1", 3, "f", "g", 2)))), [], "it had let go and taken it again");
  assert.deepEqual(victims(standing(two(a, b), two(a, report("z", "1", 3, "f", "g")))), [], "its daemon began again");
  assert.deepEqual(victims(standing(two(a, b), new Map([[nodes[0]!, a]]))), [], "it does not answer");
});
