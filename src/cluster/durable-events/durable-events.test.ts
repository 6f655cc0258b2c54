import assert from "node:assert/strict";
import { Random } from "../../base/random.js";
import { Conversation } from "../conversation.js";
import { testHistories } from "../histories.test-suite.js";

const NODES = ["A", "B", "C", "D"];
const STEPS = 120;

/** Users, an application and faults in any order, on the very machines; what was said is read off the conversation. */
class Scene {
  readonly random: Random;
  readonly conversation = new Conversation();
  readonly said: string[] = [];
  readonly gone = new Set<string>();
  /** Operations, in order of raising at each node; and those whose user went on. */
  readonly raised = new Map<number, string>();
  readonly finished = new Set<number>();
  /** Ids in order of each delivery, and those that were acknowledged when a call said so. */
  readonly offered: { readonly id: string; readonly operation: number }[] = [];
  readonly acknowledged = new Set<string>();
  readonly asked = new Map<number, string[]>();
  host = "B";
  #operation = 0;
  #call = 10;
  #failures = 0;
  #slow = new Set<string>();

  constructor(seed: number) {
    this.random = new Random(seed);
    this.run(`nodes ${NODES.join(" ")}`);
    this.run('call B 1 session.create {"info":"x","isDurable":true}');
    this.run('call B 2 disposition.set {"session":1,"fs":"fs1","events":["postcreate"]}');
  }

  run(line: string): void {
    this.said.push(line);
    for (const heard of this.conversation.run(line)) {
      this.said.push(heard);
      const resumed = /resume-operation \{operation:(\d+),decision:\{kind:continue/.exec(heard);
      if (resumed !== null) this.finished.add(Number(resumed[1]));
      const answered = /(\w+) {2}answer-call \{call:(\d+),result:(.*)\}$/.exec(heard);
      // A node that is out of the view, or will find that it is, gives no answers: node.ts keeps them back (safety C8).
      if (answered === null || this.gone.has(answered[1]!)) continue;
      for (const id of this.asked.get(Number(answered[2])) ?? []) this.acknowledged.add(id);
      for (const [, handle, id] of answered[3]!.matchAll(/handle1:F(\d+),name1:name\},id:([^,}]+)/g)) {
        assert(!this.acknowledged.has(id!), `${id} was acknowledged and is offered again`);
        this.offered.push({ id: id!, operation: Number(handle) });
      }
    }
  }

  step(): void {
    const living = NODES.filter((node) => !this.gone.has(node));
    const node = this.random.pick(living);
    const chance = this.random.below(100);
    if (chance < 45) {
      this.raised.set(++this.#operation, node);
      this.run(`hold ${node} ${this.#operation} postcreate F${this.#operation}`);
      if (this.random.chance(0.1) && !this.finished.has(this.#operation)) {
        this.run(`gone ${node} ${this.#operation}`); // its user is killed, but the file is there
        this.finished.add(this.#operation);
      }
    } else if (chance < 60) this.take();
    else if (chance < 72) this.acknowledge();
    else if (chance < 78) {
      this.#slow.add(node);
      this.run(`slow-log ${node}`);
    } else if (chance < 88) this.run(`log-done ${this.random.pick(NODES)}`);
    else if (chance < 90) {
      this.#failures += 1;
      this.run(this.random.pick(["fail append ENOSPC 1", "fail list EIO 1", "fail list EIO 1", "fail read EIO 1"]));
    }
    else if (chance < 92) this.run("time 1000");
    else if (chance < 94) this.run("time 20000");
    else if (chance < 97 && living.length > 2) this.evict(node);
    else if (this.gone.size > 0) this.rejoin(this.random.pick([...this.gone]));
    else this.assume(this.host);
  }
  take(): void {
    this.run(`call ${this.host} ${++this.#call} event.get {"session":1,"max":${this.random.between(1, 8)},"waitMs":0}`);
  }
  acknowledge(): void {
    if (this.offered.length === 0) return;
    const ids = [this.random.pick(this.offered.slice(-12)).id, this.random.pick(this.offered.slice(-12)).id];
    this.asked.set(++this.#call, ids);
    this.run(`call ${this.host} ${this.#call} event.acknowledge {"session":1,"ids":${JSON.stringify(ids)}}`);
  }
  evict(node: string): void {
    this.gone.add(node);
    this.run(`evict ${node}`);
    if (node === this.host) this.assume(this.random.pick(NODES.filter((each) => !this.gone.has(each))));
  }
  rejoin(node: string): void {
    this.gone.delete(node);
    this.run(`rejoin ${node}`);
  }
  assume(node: string): void {
    this.host = node;
    this.run(`call ${node} ${++this.#call} session.assume {"session":1,"info":"x"}`);
  }

  /** Faults are over; the application takes and acknowledges until nothing moves any more. */
  heal(): void {
    for (const node of [...this.gone]) this.rejoin(node);
    for (let quiet = 0, before = -1; quiet < 4 + this.#failures; quiet = this.offered.length + this.finished.size === before ? quiet + 1 : 0) {
      before = this.offered.length + this.finished.size;
      for (const node of this.#slow) for (let times = 0; times < 40; times++) this.run(`log-done ${node}`);
      this.run("time 11000");
      this.take();
      const ids = [...new Set(this.offered.map(({ id }) => id))].filter((id) => !this.acknowledged.has(id));
      this.asked.set(++this.#call, ids);
      this.run(`call ${this.host} ${this.#call} event.acknowledge {"session":1,"ids":${JSON.stringify(ids)}}`);
    }
  }

  check(): void {
    const seen = new Set(this.offered.map(({ operation }) => operation));
    for (const [operation, node] of this.raised) {
      assert(this.finished.has(operation), `operation ${operation} of ${node} goes on when all is well`);
      assert(seen.has(operation), `the event of operation ${operation} of ${node} is lost`);
    }
    const byId = new Map<string, number>();
    for (const { id, operation } of this.offered) {
      assert.equal(byId.get(id) ?? operation, operation, `${id} names one event`);
      byId.set(id, operation);
    }
    assert.equal(byId.size, seen.size, "no event was logged twice");
    const last = new Map<string, number>();
    for (const id of new Set(this.offered.map((each) => each.id))) {
      const [sequence, ...life] = id.split(".");
      assert((last.get(life.join()) ?? 0) < Number(sequence), `${id} came before one that was raised earlier`);
      last.set(life.join(), Number(sequence));
    }
    this.run(`call ${this.host} ${++this.#call} session.destroy {"session":1}`);
    assert(this.said.some((line) => line.includes("closing-checked session=1 empty")), "nothing is left in the end");
  }
}

testHistories({
  url: import.meta.url, title: "durable events under faults in any order: none lost, each in order of its source, none after it was acknowledged", count: 150,
  run: (seed) => {
    const scene = new Scene(seed);
    try {
      for (let step = 0; step < STEPS; step++) scene.step();
      scene.heal();
      scene.check();
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${scene.said.slice(-400).join("\n")}`, { cause: error });
    }
  },
});
