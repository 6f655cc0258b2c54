import assert from "node:assert/strict";
import { test } from "node:test";
import type { LockReport, NodeQuestion } from "../cluster/messages.js";
import type { FsName, Handle, NodeId } from "../dmapi/ids.js";
import { LockCircles } from "./lock-circles.js";
import type { Answered } from "./member-questions.js";

const [A, B, C] = ["A", "B", "C"] as [NodeId, NodeId, NodeId];
const fs = "fs1" as FsName;
const range = { start: "0", end: "0", isExclusive: true };
const report = (life: string, wait: number, wants: string, holds: string): LockReport => ({
  life, owners: [{ owner: "1", waits: [{ wait, handle: wants as Handle, range }], holds: [{ handle: holds as Handle, change: 1, ranges: [range] }] }],
});
const inCircle = { A: report("a", 5, "g", "f"), B: report("b", 7, "f", "g") };

/** A node among others that answer when they are let. */
class Scene {
  readonly asked: string[] = [];
  readonly refused: string[] = [];
  readonly circles: LockCircles;
  #answers: (() => void)[] = [];

  constructor(node: NodeId, reports: () => Readonly<Record<string, LockReport>>, others: readonly NodeId[]) {
    this.circles = new LockCircles({
      node, others: () => others, reportHere: async () => reports()[node], refuse: (_, { life, wait }) => this.refused.push(`${life}${wait}`),
      ask: (about: NodeQuestion, whom) => {
        this.asked.push(`${about.kind === "locks" && about.hasCircle ? "look" : "locks"} ${whom.join(" ")}`);
        return new Promise<Answered>((resolve) => {
          this.#answers.push(() => resolve({ silent: [], answers: whom.map((each) => ({ node: each, answer: { kind: "locks", ...(reports()[each] !== undefined && { report: reports()[each]! }) } })) }));
        });
      },
    });
  }
  /** What was asked is answered, and what follows from that has happened. */
  async answer(): Promise<void> {
    for (const give of this.#answers.splice(0)) give();
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

test("a node refuses its own user, after a second round that is asked only when the first is over", async () => {
  const scene = new Scene(B, () => inCircle, [A, C]);
  scene.circles.look(fs);
  assert.deepEqual(scene.asked, ["locks A C"]);
  await scene.answer();
  assert.deepEqual([scene.asked, scene.refused], [["locks A C", "locks A C"], []]);
  await scene.answer();
  assert.deepEqual([scene.asked.length, scene.refused], [2, ["b7"]]);
  scene.circles.close();
});

test("the node of another user is asked to look for itself", async () => {
  const scene = new Scene(A, () => inCircle, [B, C]);
  scene.circles.look(fs);
  await scene.answer();
  await scene.answer();
  assert.deepEqual([scene.asked, scene.refused], [["locks B C", "locks B C", "look B"], []]);
  scene.circles.close();
});

test("nobody is refused for what has changed between the rounds; without a circle there is one round", async () => {
  let reports: Readonly<Record<string, LockReport>> = inCircle;
  const scene = new Scene(B, () => reports, [A]);
  scene.circles.look(fs);
  await scene.answer();
  reports = { ...inCircle, A: report("a", 6, "g", "f") };
  await scene.answer();
  assert.deepEqual([scene.asked.length, scene.refused], [2, []]);
  scene.circles.close();
  const chain = new Scene(B, () => ({ A: report("a", 5, "h", "f"), B: inCircle.B }), [A]);
  chain.circles.look(fs);
  await chain.answer();
  assert.deepEqual([chain.asked, chain.refused], [["locks A"], []]);
  chain.circles.close();
});

test("where nobody else mounts nobody is asked; while it looks, another look waits", async () => {
  const alone = new Scene(A, () => inCircle, []);
  alone.circles.look(fs);
  assert.deepEqual(alone.asked, []);
  const scene = new Scene(B, () => ({}), [A]);
  scene.circles.look(fs);
  scene.circles.look(fs);
  assert.deepEqual(scene.asked, ["locks A"]);
  await scene.answer();
  while (scene.asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(scene.asked, ["locks A", "locks A"]);
  scene.circles.close();
});
