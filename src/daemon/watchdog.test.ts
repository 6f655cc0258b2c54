/**
 * What stands still is told once; what ticks, has gone, or merely slept with the machine is not. The child ends with its parent,
 * and aborts what a parent leaves that is killed and cannot end.
 *
 * Not here  a daemon that really cannot end (mounted-node.test.ts).
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { mountFuseControl, whyNoMounts } from "./machine.js";
import { Bench } from "./reactor/harness.js";
import { connectionNow, lookOf, StandstillWatch } from "./watchdog.js";
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
  assert.deepEqual([watch.passed(50), watch.passed(50), watch.passed(50)], [[], [], [4]], "due once it is past the limit");
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

const statOf = (state: string, pending: number) =>
  `7 (a) b (c) ${state} 1 7 7 0 -1 4194560 10 0 0 0 1 2 3 4 20 0 9 0 4242 1000 50 18446744073709551615 1 1 0 0 0 ${pending} 0 4096 0 0 0 0 17 1 0 0`;
for (const [what, state, pending, isDying] of [
  ["running", "R", 0, false], ["asleep", "S", 0, false], ["stopped", "T", 0, false], ["stopped with an end asked for", "T", 1 << 14, false],
  ["a zombie, whatever its other threads do", "Z", 0, true], ["killed in an uninterruptible wait", "D", 1 << 8, true], ["in such a wait only", "D", 0, false],
] as const) {
  test(`a process that is ${what} is ${isDying ? "" : "not "}dying`, () => {
    assert.deepEqual(lookOf(statOf(state, pending)), { startTicks: 4242, isDying });
  });
}
test("a process's own look: alive", () => {
  const { startTicks, isDying } = lookOf(readFileSync("/proc/self/stat", "latin1"));
  assert.ok(startTicks > 0 && !isDying);
});

test("of a dying process its own connections are aborted, and none that only has the number of one", { skip: whyNoMounts() ?? false }, async () => {
  mountFuseControl(() => {});
  const bench = new Bench();
  const parent = spawn("sh", ["-c", "sleep 1000 & echo $!; exec sleep 1000"], { stdio: ["ignore", "pipe", "ignore"], cwd: "/", detached: true });
  const watchdog = { lines: [] as string[], child: undefined as ReturnType<typeof spawn> | undefined };
  try {
    const mounts = [await bench.mount(), await bench.mount()] as const;
    const [own, other] = mounts.map(({ mount }) => mount.connection!) as [number, number];
    const [line] = (await once(createInterface(parent.stdout), "line")) as [string];
    const daemon = Number(line);
    const program = fileURLToPath(new URL("./watchdog.js", import.meta.url));
    watchdog.child = spawn(process.execPath, [program, "600000", String(daemon)], { stdio: ["pipe", "ignore", "pipe"], cwd: "/" });
    createInterface(watchdog.child.stderr!).on("line", (told) => watchdog.lines.push(told));
    const beat = { mounts: [{ minor: own, tick: 1, connection: connectionNow(own) }, { minor: other, tick: 1, connection: connectionNow(own) }] };
    watchdog.child.stdin!.write(`${JSON.stringify(beat)}\n`);
    writeFileSync(`${bench.backing}/file`, "kept");
    assert.equal((await bench.shell(`cat ${mounts[0].mountpoint}/file ${mounts[1].mountpoint}/file`).ended).output, "keptkept");
    await mounts[0].until("the watchdog to look", () => hasStarted(watchdog.child!.pid!));
    process.kill(daemon, "SIGKILL"); // a zombie: its parent does not ask how it ended
    await mounts[0].until("both to be judged", () => watchdog.lines.length >= 2);
    assert.match(watchdog.lines.join("\n"), new RegExp(`connection ${own} .* was aborted`));
    assert.match(watchdog.lines.join("\n"), new RegExp(`connection ${other} .* somebody else's`));
    assert.match((await bench.shell(`cat ${mounts[0].mountpoint}/file`).ended).output, /not connected/);
    assert.equal((await bench.shell(`cat ${mounts[1].mountpoint}/file`).ended).output, "kept");
  } finally {
    process.kill(-parent.pid!, "SIGKILL");
    watchdog.child?.kill("SIGKILL");
    await bench.close();
  }
});
/** It looks at its daemon before it handles signals; SIGHUP is one that the runtime itself leaves alone. */
function hasStarted(pid: number): boolean {
  const caught = /^SigCgt:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return (BigInt(`0x${caught ?? "0"}`) & 1n) !== 0n;
}
