import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { identify, signal, stateOf } from "./processes.js";

test("running, paused and dead are told apart; a number used again is not the same process", async () => {
  const child = spawn("sleep", ["60"]);
  await once(child, "spawn");
  const identity = identify(child.pid!);
  assert(identity !== undefined);
  assert.equal(stateOf(identity), "running");
  assert.equal(stateOf({ ...identity, startTicks: identity.startTicks - 1 }), "dead");
  assert.equal(stateOf({ ...identity, bootId: "another" }), "dead");
  assert(signal(identity, "SIGSTOP"));
  while (stateOf(identity) !== "paused") await new Promise((resolve) => setTimeout(resolve, 5));
  assert(signal(identity, "SIGKILL"));
  await once(child, "exit");
  assert.equal(stateOf(identity), "dead");
  assert.equal(signal(identity, "SIGTERM"), false);
});
