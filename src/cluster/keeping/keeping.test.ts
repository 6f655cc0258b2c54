/**
 * What kernels of several nodes keep: who asks whom, and that no change ever runs while another kernel keeps the object.
 *
 * Source    safety C6, H7; decision 0012.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../base/random.js";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import { Keeping, type KeepingEffect } from "./keeping.js";
import type { KeepingWord } from "./words.js";

const [A, B, C] = ["A", "B", "C"] as NodeId[] as [NodeId, NodeId, NodeId];
const life = (id: NodeId, incarnation = 1) => ({ id, incarnation: incarnation as Incarnation });

/** Nodes whose words come in order on each way, when `carry` says so; kernels forget when `forget` says so. */
class Company {
  readonly nodes = new Map<NodeId, { keeping: Keeping; drops: { drop: number; objects: readonly string[] }[]; may: number[]; unseen: Set<string> }>();
  readonly ways = new Map<string, KeepingWord[]>();
  readonly said: string[] = [];

  constructor(...ids: NodeId[]) {
    for (const id of ids) this.start(id);
    for (const id of ids) this.at(id).othersAre(ids.filter((each) => each !== id).map((each) => life(each)), true);
    this.carryAll();
    this.said.length = 0;
  }
  start(id: NodeId): void {
    const unseen = new Set<string>();
    const keeping = new Keeping((effect) => this.#perform(id, effect), (own) => unseen.has(own));
    const node = { keeping, drops: [] as { drop: number; objects: readonly string[] }[], may: [] as number[], unseen };
    this.nodes.set(id, node);
  }
  at(id: NodeId): Keeping {
    return this.nodes.get(id)!.keeping;
  }
  #perform(id: NodeId, effect: KeepingEffect): void {
    if (effect.kind === "drop") this.nodes.get(id)!.drops.push(effect);
    else if (effect.kind === "may-change") this.nodes.get(id)!.may.push(effect.change);
    else {
      const way = `${id}${effect.to}`;
      this.ways.set(way, [...(this.ways.get(way) ?? []), effect.word]);
      const objects = effect.word.objects === "all" ? "all" : effect.word.objects.join(" ");
      this.said.push(`${id} > ${effect.to} ${effect.word.kind} ${objects}`);
    }
  }
  /** The next word of that way has arrived. */
  carry(way: string): boolean {
    const word = this.ways.get(way)?.shift();
    if (word === undefined) return false;
    this.nodes.get(way[1] as NodeId)?.keeping.hear(way[0] as NodeId, word);
    return true;
  }
  forget(id: NodeId): boolean {
    const { keeping, drops } = this.nodes.get(id)!;
    const next = drops.shift();
    if (next !== undefined) keeping.dropped(next.drop);
    return next !== undefined;
  }
  carryAll(): void {
    let isMoving = true;
    while (isMoving) {
      isMoving = false;
      for (const way of [...this.ways.keys()]) while (this.carry(way)) isMoving = true;
      for (const id of this.nodes.keys()) while (this.forget(id)) isMoving = true;
    }
  }
  keep(id: NodeId, own: string, parent?: string): void {
    for (let looks = 0; looks < 20; looks++) this.at(id).look(own, parent);
    this.at(id).flush();
    this.carryAll();
    assert(this.at(id).look(own, parent), `${own} is kept on ${id}`);
  }
}

test("an object is kept when all others permit it; who changes it has it dropped first, and nobody else is asked", () => {
  const company = new Company(A, B, C);
  for (let looks = 0; looks < 3; looks++) assert.equal(company.at(A).look("x", undefined), false);
  company.at(A).flush();
  assert.deepEqual(company.said, ["A > B keep-wanted x", "A > C keep-wanted x"]);
  company.carry("AB");
  company.carry("BA");
  assert.equal(company.at(A).look("x", undefined), false, "C has not permitted it");
  company.carryAll();
  assert(company.at(A).look("x", undefined));
  assert(company.at(C).begin(1, ["y"]), "what nobody keeps is changed at once");
  company.at(C).end(1, ["y"]);
  company.said.length = 0;
  assert.equal(company.at(B).begin(1, ["x"]), false);
  assert.deepEqual(company.said, ["B > A drop-wanted x"]);
  company.carry("BA");
  assert.equal(company.at(A).look("x", undefined), false);
  company.carry("AB");
  assert.deepEqual(company.nodes.get(B)!.may, [], "the kernel has not forgotten it yet");
  company.carryAll();
  assert.deepEqual(company.nodes.get(B)!.may, [1]);
});

test("what is being changed, or open for writing, is permitted when that has ended", () => {
  const company = new Company(A, B);
  const wants = () => {
    for (let looks = 0; looks < 20; looks++) company.at(A).look("x", undefined);
    company.at(A).flush();
    company.carryAll();
  };
  assert(company.at(B).begin(1, ["x"]));
  wants();
  assert.equal(company.at(A).isKept("x"), false);
  company.at(B).hold("x");
  company.at(B).end(1, ["x"]);
  company.carryAll();
  assert.equal(company.at(A).isKept("x"), false, "it is open for writing");
  company.at(B).release("x");
  company.carryAll();
  assert(company.at(A).isKept("x"));
});

test("what may change without a word is held when it is wanted, and permitted when that is over", () => {
  const company = new Company(A, B);
  company.nodes.get(B)!.unseen.add("x");
  for (let looks = 0; looks < 3; looks++) company.at(A).look("x", undefined);
  company.at(A).flush();
  company.carryAll();
  assert.equal(company.at(A).isKept("x"), false);
  company.nodes.get(B)!.unseen.delete("x");
  company.at(B).release("x");
  company.carryAll();
  assert(company.at(A).isKept("x"));
});

test("who changes what it keeps itself keeps the names, and has the attributes permitted anew", () => {
  const company = new Company(A, B);
  company.keep(A, "x");
  assert(company.at(A).isFresh("x"));
  company.at(A).begin(1, ["x"]);
  assert(company.at(A).age("x"));
  company.at(A).end(1, ["x"]);
  assert(!company.at(A).age("x"), "its kernel has forgotten them already");
  assert(company.at(A).isKept("x") && !company.at(A).isFresh("x"));
  company.nodes.get(B)!.unseen.add("x");
  company.keep(A, "x");
  assert(!company.at(A).isFresh("x"), "B may change it unseen");
  company.nodes.get(B)!.unseen.delete("x");
  company.at(B).release("x");
  company.carryAll();
  assert(company.at(A).isFresh("x"));
  // Asked for before the change, permitted while it runs.
  company.at(A).age("x");
  for (let looks = 0; looks < 3; looks++) company.at(A).look("x", undefined);
  company.at(A).flush();
  company.carry("AB");
  company.at(A).age("x");
  company.carryAll();
  assert(!company.at(A).isFresh("x"));
});

test("a permission that answers a former question says nothing", () => {
  const company = new Company(A, B);
  for (let looks = 0; looks < 3; looks++) company.at(A).look("x", undefined);
  company.at(A).flush();
  company.carry("AB"); // permitted, and on its way
  company.at(A).forgotten("x");
  for (let looks = 0; looks < 3; looks++) company.at(A).look("x", undefined);
  company.at(A).flush(); // ended, and wanted anew
  company.carry("AB");
  assert(company.at(B).begin(1, ["x"]), "nobody is permitted to keep it just now");
  company.carryAll();
  assert.equal(company.at(A).isKept("x"), false, "the new question waits for the change");
  company.at(B).end(1, ["x"]);
  company.carryAll();
  assert(company.at(A).isKept("x"));
});

test("two that change one directory which both keep do not wait in a circle", () => {
  const company = new Company(A, B);
  company.keep(A, "d");
  company.keep(B, "d");
  assert.equal(company.at(A).begin(1, ["d"]), false);
  assert.equal(company.at(B).begin(1, ["d"]), false);
  company.carryAll();
  assert.deepEqual([company.nodes.get(A)!.may, company.nodes.get(B)!.may], [[1], [1]]);
});

test("what lies beside goes with what is dropped; what is dropped often is wanted later each time, and sooner after quiet seconds", () => {
  const company = new Company(A, B);
  const looksUntilKept = () => {
    for (let looks = 1; ; looks++) {
      if (company.at(A).look("x", "d")) return looks;
      company.at(A).flush();
      company.carryAll();
    }
  };
  const drop = () => {
    company.at(B).begin(1, ["x"]);
    company.carryAll();
    company.at(B).end(1, ["x"]);
  };
  company.keep(A, "y", "d");
  company.keep(A, "x", "d");
  drop();
  assert.equal(company.at(A).isKept("y"), false);
  assert.equal(company.at(B).begin(2, ["y"]), true, "it has said that it dropped that too");
  company.at(B).end(2, ["y"]);
  const first = looksUntilKept();
  drop();
  const second = looksUntilKept();
  assert(second > 1.5 * first, `${first}, then ${second} looks`);
  drop();
  for (let second = 0; second < 10; second++) company.at(A).eased();
  assert(looksUntilKept() < first);
});

test("one that leaves may keep what it was permitted until a view without it is in force; one that comes has permitted nothing", () => {
  const company = new Company(A, B, C);
  company.keep(A, "x");
  company.at(B).othersAre([life(C)], false);
  assert.equal(company.at(B).begin(1, ["x"]), false, "the kernel of A may still keep it");
  company.at(C).othersAre([life(B)], false);
  assert.deepEqual(company.nodes.get(B)!.may, []);
  company.at(B).othersAre([life(C)], true);
  assert.deepEqual(company.nodes.get(B)!.may, [1]);

  const other = new Company(A, B);
  other.keep(A, "x");
  other.at(A).othersAre([life(B), life(C)], false);
  assert.equal(other.at(A).isKept("x"), false);
  assert.equal(other.nodes.get(A)!.drops.length, 1, "the kernel has to forget it");
});

test("whatever the order in which words arrive and kernels forget, nothing is changed while another kernel keeps it", () => {
  for (let seed = 1; seed <= 400; seed++) new RandomCompany(seed).run();
});

/** Kernels that keep what they are told they may, changes that run when they may, nodes that leave and come back. */
class RandomCompany {
  readonly #random: Random;
  readonly #company: Company;
  readonly #kernels = new Map<NodeId, Set<string>>();
  /** Who has what open for reading, unseen; and what was changed since it was last read so. */
  readonly #readers = new Map<NodeId, Set<string>>();
  readonly #unread = new Set<string>();
  readonly #changes: { readonly at: NodeId; readonly change: number; readonly objects: string[]; runs: boolean }[] = [];
  readonly #seed: number;
  #last = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#company = new Company(A, B, C);
    for (const id of this.#company.nodes.keys()) {
      this.#kernels.set(id, new Set());
      this.#readers.set(id, new Set());
    }
  }
  run(): void {
    for (let step = 0; step < 600; step++) this.#step();
    this.#company.carryAll();
    for (const { at, change, objects } of this.#changes.splice(0)) this.#company.at(at).end(change, objects);
    this.#company.carryAll();
    for (const { keeping } of this.#company.nodes.values()) assert.equal(keeping.counts.waiting, 0, `seed ${this.#seed}: a change waits for ever`);
  }
  #step(): void {
    const random = this.#random;
    const company = this.#company;
    const id = random.pick([A, B, C]);
    const own = random.pick(["d", "x", "y"]);
    const node = company.nodes.get(id)!;
    switch (random.below(9)) {
      case 0:
      case 1:
        for (let looks = 0; looks < 8; looks++) if (node.keeping.look(own, own === "d" ? undefined : "d") && node.keeping.isFresh(own)) this.#kernels.get(id)!.add(own);
        return;
      case 2:
        return node.keeping.flush();
      case 3:
      case 4:
        company.carry(random.pick([...company.ways.keys(), "AB"]));
        return this.#runWhatMay();
      case 5: {
        for (const each of node.drops[0]?.objects ?? []) this.#kernels.get(id)!.delete(each);
        company.forget(id);
        return;
      }
      case 6: {
        const change = { at: id, change: ++this.#last, objects: random.chance(0.5) ? [own] : ["d", own === "d" ? "x" : own], runs: false };
        this.#changes.push(change);
        this.#age(change);
        if (node.keeping.begin(change.change, change.objects)) this.#run(change);
        if (random.chance(0.1)) node.keeping.eased();
        return;
      }
      case 7: {
        // A reader whom nobody hears of: of what was changed since it was last read he moves the time of access.
        const readers = this.#readers.get(id)!;
        if (readers.has(own)) this.#readUnseen(id, own);
        else if (!node.keeping.isPermitted(own) || !this.#unread.has(own)) this.#open(id, own);
        if (!random.chance(0.3) || !readers.delete(own)) return;
        node.unseen.delete(own);
        return node.keeping.release(own);
      }
      default: {
        const at = this.#changes.findIndex(({ runs }) => runs || random.chance(0.05));
        const [ended] = at < 0 ? [] : this.#changes.splice(at, 1);
        if (ended !== undefined) {
          this.#age(ended);
          company.at(ended.at).end(ended.change, ended.objects);
        }
        if (random.chance(0.1) && !this.#kernels.get(id)!.has(own)) node.keeping.forgotten(own);
        else if (random.chance(0.02)) node.keeping.giveUpAll();
      }
    }
  }
  #open(id: NodeId, own: string): void {
    this.#readers.get(id)!.add(own);
    if (this.#unread.has(own)) this.#company.nodes.get(id)!.unseen.add(own);
  }
  #readUnseen(id: NodeId, own: string): void {
    if (!this.#unread.delete(own)) return;
    for (const { unseen } of this.#company.nodes.values()) unseen.delete(own);
    this.#check(id, own);
  }
  #age({ at, objects }: { at: NodeId; objects: string[] }): void {
    for (const own of objects) if (this.#company.at(at).age(own)) this.#kernels.get(at)!.delete(own);
  }
  #runWhatMay(): void {
    for (const [id, { may }] of this.#company.nodes) {
      for (const change of may.splice(0)) {
        const begun = this.#changes.find((each) => each.at === id && each.change === change);
        if (begun !== undefined) this.#run(begun);
      }
    }
  }
  #run(change: { at: NodeId; objects: string[]; runs: boolean }): void {
    change.runs = true;
    for (const own of change.objects) {
      this.#check(change.at, own);
      this.#unread.add(own);
      for (const [id, readers] of this.#readers) if (readers.has(own)) this.#company.nodes.get(id)!.unseen.add(own);
    }
  }
  #check(at: NodeId, own: string): void {
    for (const [id, kept] of this.#kernels) assert(id === at || !kept.has(own), `seed ${this.#seed}: ${at} changes ${own}, which the kernel of ${id} keeps`);
  }
}

test("while it is not known which object a change is of, nothing is permitted", () => {
  const company = new Company(A, B);
  company.at(B).pause();
  for (let looks = 0; looks < 20; looks++) company.at(A).look("x", undefined);
  company.at(A).flush();
  company.carryAll();
  assert.equal(company.at(A).isKept("x"), false);
  company.at(B).resume();
  company.carryAll();
  assert(company.at(A).isKept("x"));
});
