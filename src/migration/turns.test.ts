/** Slots and turns. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Slots, TurnsByKey } from "./turns.js";

function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

test("no more run at once than there are slots, and a failure gives its slot back", async () => {
  const slots = new Slots(2);
  const gates = [gate(), gate(), gate()];
  const begun: number[] = [];
  const runs = gates.map((each, index) => slots.run(async () => {
    begun.push(index);
    await each.opened;
    if (index === 0) throw new Error("failed");
  }));
  await new Promise(setImmediate);
  assert.deepEqual(begun, [0, 1]);
  gates[0]!.open();
  await assert.rejects(runs[0]!);
  await new Promise(setImmediate);
  assert.deepEqual(begun, [0, 1, 2]);
  for (const each of gates) each.open();
  await Promise.all(runs.slice(1));
  assert.equal(await slots.run(async () => 7), 7);
});

test("one key is served in order, other keys do not wait, nothing is kept afterwards", async () => {
  const turns = new TurnsByKey();
  const first = gate();
  const order: string[] = [];
  const a1 = turns.run("a", async () => {
    await first.opened;
    order.push("a1");
    throw new Error("failed");
  });
  const a2 = turns.run("a", async () => order.push("a2"));
  await turns.run("b", async () => order.push("b"));
  first.open();
  await assert.rejects(a1);
  await a2;
  assert.deepEqual(order, ["b", "a1", "a2"]);
  assert.equal(turns.isBusy("a"), false);
});
