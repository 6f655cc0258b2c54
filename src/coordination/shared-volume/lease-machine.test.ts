/**
 * The lease machine on a directory whose calls fail after they took effect and whose listings are old.
 *
 * Source    safety C8; found by the simulator: seed 718 of scene "lease".
 */
import assert from "node:assert/strict";
import { it } from "node:test";
import type { View } from "../../cluster/view-document.js";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import { type LeaseInput, LeaseMachine, manyMachines } from "./lease-machine.js";
import { paths } from "./layout.js";
import type { VolumeAnswer, VolumeCall } from "./volume-call.js";

const times = { ...manyMachines, renewMs: 1_000, holdMs: 4_000, deadMs: 7_000 };

/** Names only; what is read is never whole. */
class Names {
  readonly present = new Set<string>();
  /** What listings give instead of the truth. */
  old: readonly string[] | undefined;
  isAmbiguous = false;

  perform(call: VolumeCall): VolumeAnswer {
    switch (call.kind) {
      case "list":
        return { kind: "names", names: (this.old ?? [...this.present]).filter((path) => path.startsWith(`${call.directory}/`)).map((path) => path.slice(call.directory.length + 1)) };
      case "rename":
        if (!this.present.delete(call.from)) return failed("ENOENT");
        this.present.add(call.to);
        return this.isAmbiguous ? failed("EIO") : { kind: "done" };
      case "write":
        this.present.add(call.path);
        return { kind: "done" };
      case "link":
        this.present.add(call.to);
        return { kind: "done" };
      case "unlink":
        return this.present.delete(call.path) ? { kind: "done" } : failed("ENOENT");
      case "sync-directory":
        return { kind: "done" };
      case "read":
        return failed("ENOENT");
      case "test-lock":
        return { kind: "lock", isHeld: true };
    }
  }
}
function failed(code: string): VolumeAnswer {
  return { kind: "failed", code, message: code };
}

function start(names: Names): { run: (atMs: number, isTicking?: boolean) => void; publish: (atMs: number, view: View) => void; machine: LeaseMachine } {
  const facts = { id: "A" as NodeId, incarnation: 1 as Incarnation, bootId: "boot", address: "a:1", isEligible: true, preference: 0 };
  const identity = { id: facts.id, process: "p", pid: 1, host: "a", bootId: "boot", address: "a:1", incarnation: facts.incarnation };
  const machine = new LeaseMachine({ facts, identity, times });
  const step = (input: LeaseInput): void => {
    for (const effect of machine.step(input)) {
      if (effect.kind !== "call") continue;
      const { atMs } = input;
      step({ kind: "call-done", done: { answer: names.perform(effect.call), startMs: atMs, endMs: atMs }, atMs, isTicking: true });
    }
  };
  return {
    machine, run: (atMs, isTicking = true) => step({ kind: "time-passed", atMs, isTicking }),
    publish: (atMs, view) => step({ kind: "requested", request: { kind: "publish-view", view }, atMs, isTicking: true }),
  };
}

it("a renewal that took effect unknown to its holder counts from its first try, whatever old listings say since", () => {
  const names = new Names();
  const { machine, run } = start(names);
  for (const atMs of [0, 1_000, 2_000]) run(atMs);
  assert.equal(machine.validUntilMs, 6_000);
  names.old = [...names.present]; // from now on this node sees the directory as it is here
  names.isAmbiguous = true;
  run(3_000); // takes effect, and fails
  names.isAmbiguous = false;
  for (const atMs of [4_000, 5_000, 6_000, 7_000, 8_000, 9_000]) run(atMs);
  names.old = undefined;
  run(10_000);
  assert.ok(machine.validUntilMs <= 3_000 + times.holdMs, `valid until ${machine.validUntilMs}, though the others have seen no renewal since 3000`);
  run(11_000);
  assert.equal(machine.validUntilMs, 11_000 + times.holdMs);
});

it("listings older than a renewal do not take the count back, where an old one could pass for a new renewal", () => {
  const names = new Names();
  const { machine, run } = start(names);
  for (const atMs of [0, 1_000, 2_000]) run(atMs);
  const atSecond = [...names.present];
  run(3_000);
  const atThird = [...names.present];
  names.isAmbiguous = true;
  names.old = atSecond;
  run(4_000); // takes effect, and fails
  names.isAmbiguous = false;
  run(5_000);
  names.old = atThird;
  run(6_000);
  assert.ok(machine.validUntilMs <= 4_000 + times.holdMs, `valid until ${machine.validUntilMs}, though the others have seen no renewal since 4000`);
  names.old = undefined;
  for (const atMs of [7_000, 8_000]) run(atMs);
  assert.equal(machine.validUntilMs, 8_000 + times.holdMs);
});

it("a daemon whose threads stand still does not renew", () => {
  const { machine, run } = start(new Names());
  for (const atMs of [0, 1_000]) run(atMs);
  for (const atMs of [2_000, 3_000]) run(atMs, false);
  assert.equal(machine.validUntilMs, 1_000 + times.holdMs);
  run(4_000);
  assert.equal(machine.validUntilMs, 4_000 + times.holdMs);
});

it("whoever's lease was over counts a renewal only when it has read the present view", () => {
  const names = new Names();
  const { machine, run } = start(names);
  for (const atMs of [0, 1_000]) run(atMs);
  names.present.add(paths.view(7)); // listed, and not readable yet
  for (const atMs of [9_000, 10_000]) run(atMs);
  assert.equal(machine.validUntilMs, 1_000 + times.holdMs, "the lease counts again before the view was read");
  names.present.delete(paths.view(7));
  for (const atMs of [11_000, 12_000]) run(atMs);
  assert.equal(machine.validUntilMs, 12_000 + times.holdMs);
});

it("that a lease was given up or claimed stays to be seen until a view says that this life is over", () => {
  const names = new Names();
  const { run, publish } = start(names);
  for (const atMs of [0, 1_000]) run(atMs);
  const remains = ["leases/left+B@1", "leases/left+C@1", "leases/taken+D@1+A@1", "leases/taken+E@1+A@1"];
  for (const name of remains) names.present.add(name);
  const life = (id: string, isOver: boolean) => ({ id: id as NodeId, incarnation: 1 as Incarnation, isOver });
  publish(1_500, { cluster: "c", number: 1, manager: "A" as NodeId, members: [], sessionIdLimit: 1, removed: [life("B", false), life("C", true), life("D", false)] });
  assert.deepEqual(remains.filter((name) => names.present.has(name)), ["leases/left+B@1", "leases/taken+D@1+A@1"]);
});
