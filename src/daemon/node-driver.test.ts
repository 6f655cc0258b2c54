/** The loop round a machine: order, no re-entry, deadlines, slices. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeEffect, NodeInput } from "../cluster/node-contract.js";
import { type Machine, NodeDriver } from "./node-driver.js";

class Recorder implements Machine {
  readonly inputs: NodeInput[] = [];
  deadlineMs = Number.POSITIVE_INFINITY;
  hasCollected = false;
  isStepping = false;
  effectsOf: (input: NodeInput) => NodeEffect[] = () => [];
  step(input: NodeInput): NodeEffect[] {
    assert.ok(!this.isStepping, "one step at a time");
    this.inputs.push(input);
    if (input.kind === "time-passed") this.deadlineMs = Number.POSITIVE_INFINITY;
    return this.effectsOf(input);
  }
}

test("what an effect gives waits until the effects before it are performed", () => {
  const machine = new Recorder();
  const seen: string[] = [];
  machine.effectsOf = ({ kind }) => (kind === "stop-wanted" ? [{ kind: "link-unwanted", peer: "b" as never }, { kind: "stopped" }] : []);
  const driver: NodeDriver = new NodeDriver(
    machine,
    (effect) => {
      seen.push(effect.kind);
      if (effect.kind === "link-unwanted") driver.give({ kind: "client-gone", client: 1 });
    },
    () => 5,
  );
  driver.give({ kind: "stop-wanted" });
  assert.deepEqual(seen, ["link-unwanted", "stopped"]);
  assert.deepEqual(machine.inputs.map(({ kind, atMs }) => [kind, atMs]), [["stop-wanted", 5], ["client-gone", 5]]);
  driver.stop();
});

test("a turn is over when all that came together is stepped, and its deadline is paid after that", async () => {
  const machine = new Recorder();
  machine.effectsOf = ({ kind }) => {
    machine.hasCollected = kind !== "turn-over";
    return kind === "turn-over" ? [{ kind: "alarm", text: "sent" }] : [];
  };
  const seen: string[] = [];
  const driver: NodeDriver = new NodeDriver(
    machine,
    (effect) => {
      seen.push(effect.kind);
      if (seen.length === 1) driver.give({ kind: "client-gone", client: 3 });
    },
    () => 5,
  );
  driver.give({ kind: "client-gone", client: 1 });
  driver.give({ kind: "client-gone", client: 2 });
  assert.deepEqual(machine.inputs.map(({ kind }) => kind), ["client-gone", "client-gone"]);
  await new Promise<void>((resolve) => setImmediate(resolve));
  assert.deepEqual(machine.inputs.map(({ kind }) => kind), ["client-gone", "client-gone", "turn-over", "client-gone", "turn-over"]);
  machine.deadlineMs = 4;
  driver.give({ kind: "client-gone", client: 4 });
  await driver.until(() => machine.inputs.some(({ kind }) => kind === "time-passed"));
  driver.stop();
});

test("a deadline is paid, and the clock never goes backwards", async () => {
  const machine = new Recorder();
  let nowMs = 100;
  const driver = new NodeDriver(machine, () => {}, () => nowMs);
  machine.deadlineMs = 120;
  driver.give({ kind: "client-gone", client: 1 });
  nowMs = 90;
  driver.give({ kind: "client-gone", client: 2 });
  nowMs = 130;
  machine.deadlineMs = 125;
  driver.give({ kind: "client-gone", client: 3 });
  await driver.until(() => machine.inputs.some(({ kind }) => kind === "time-passed"));
  assert.deepEqual(machine.inputs.map(({ atMs }) => atMs), [100, 100, 130, 130]);
  driver.stop();
});

test("a burst is worked off in slices, in order", async () => {
  const machine = new Recorder();
  let nowMs = 0;
  machine.effectsOf = () => {
    nowMs += 1;
    return [];
  };
  const driver = new NodeDriver(machine, () => {}, () => nowMs);
  machine.effectsOf = (input) => {
    nowMs += 1;
    if (input.kind === "client-gone" && input.client === 0) for (let client = 1; client <= 50; client++) driver.give({ kind: "client-gone", client });
    return [];
  };
  driver.give({ kind: "client-gone", client: 0 });
  assert.ok(machine.inputs.length < 20, "others had a turn");
  await driver.until(() => machine.inputs.length === 51);
  assert.deepEqual(machine.inputs.map((input) => (input.kind === "client-gone" ? input.client : -1)), Array.from({ length: 51 }, (_, i) => i));
  driver.stop();
});
