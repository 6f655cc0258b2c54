/** What stands still is told once; what ticks, has gone, or merely slept with the machine is not. The child ends with its parent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StandstillWatch } from "./watchdog.js";
import { WatchdogChild } from "./watchdog-child.js";

test("a tick that does not move for longer than the limit, and only that, is due; once", () => {
  const watch = new StandstillWatch(100);
  watch.heard({ mounts: [{ minor: 1, tick: 5 }, { minor: 2, tick: 5 }, { minor: 3, tick: 5 }] });
  assert.deepEqual(watch.passed(60), []);
  watch.heard({ mounts: [{ minor: 1, tick: 6 }, { minor: 2, tick: 5 }] });
  assert.deepEqual(watch.passed(60), [2]);
  assert.deepEqual(watch.passed(60), [1]);
  assert.deepEqual(watch.passed(60), []);
  watch.heard({ mounts: [{ minor: 1, tick: 7 }, { minor: 2, tick: 5 }] });
  assert.deepEqual(watch.passed(60), []);
});

test("no word from the daemon at all is standing still too", () => {
  const watch = new StandstillWatch(100);
  watch.heard({ mounts: [{ minor: 4, tick: 1 }] });
  assert.deepEqual([watch.passed(50), watch.passed(50), watch.passed(50)], [[], [], [4]]);
});

test("the child lives while it is wanted and ends with the pipe", async () => {
  const lost: string[] = [];
  const child = new WatchdogChild(60_000, () => [], (why) => lost.push(why));
  const { pid } = child;
  assert.ok(pid !== undefined);
  process.kill(pid, 0);
  await child.stop();
  assert.throws(() => process.kill(pid, 0));
  assert.deepEqual(lost, []);
});
