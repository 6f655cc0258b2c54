/**
 * Rights between nodes: one that mounts later meets those held before, and a frozen third node costs a recall nothing.
 *
 * Source    requirement R9; safety H3, M9; promise "a recall needs neither the manager nor the slowest node".
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import type { FsName } from "../dmapi/ids.js";
import { acceptance, shareBench } from "./bench.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { within } from "./waiting.js";

// The links miss a frozen node long before its lease is over: both times have room on a busy and on an idle machine.
const bench = shareBench({ nodes: 3, fileSystems: ["fs1"], settings: ["timeouts.linkTimeoutMs=3000", "coordination.renewMs=250", "coordination.holdMs=8000", "coordination.deadMs=12000"] });
const FS1 = "fs1" as FsName;

acceptance("a node that mounts while rights are held on files without a record writes to none of them before the release", async () => {
  const files = 24; // enough that each node is the rights server of some
  const directory = "late";
  await bench().shell('mkdir "$1"; for i in $(seq "$2"); do echo before > "$1/f$i"; done', bench().path("A", "fs1", directory), String(files));
  const session = await bench().session("B", "holds rights on many files");
  const { token } = await bench().call("B", "userevent.create", { session: session.id, data: new Uint8Array() });
  const handles = readdirSync(bench().backing("fs1", directory)).map((name) => bench().handle("B", "fs1", directory, name));
  await bench().call("C", "fs.unmount", { fs: FS1 });
  for (const handle of handles) await bench().call("B", "right.request", { session: session.id, handle, token, right: "exclusive", wait: true });
  // Writes to all at the first moment there is a mount.
  const writing = bench().program("/bin/sh", ["-c", 'until [ -e "$1/f1" ]; do :; done; for i in $(seq "$2"); do echo after >> "$1/f$i" & done; wait', "sh", bench().path("C", "fs1", directory), String(files)]);
  await bench().call("C", "fs.mount", { fs: FS1 });
  await bench().until("every writer waits for the right", ["C"], (status) => status.waiters.filter((waiter) => waiter.cause === "fence").length === files, 40_000);
  for (let file = 1; file <= files; file++) assert.equal(readFileSync(bench().backing("fs1", directory, `f${file}`), "latin1"), "before\n");
  await bench().call("B", "event.respond", { session: session.id, token, response: { kind: "continue" } });
  await within(writing.end, "the writers end after the release", 40_000);
  for (let file = 1; file <= files; file++) assert.equal(readFileSync(bench().backing("fs1", directory, `f${file}`), "latin1"), "before\nafter\n");
  await session.end();
});

acceptance("rights with a frozen third node: recalls between the two others end while it is still a member", async () => {
  await recallsEndBeside("still a member", 24, async () => {
    const { view } = await bench().status("A");
    return async () => (await bench().status("A")).view?.number === view?.number;
  });
}, 180_000);

acceptance("rights with a frozen third node: recalls end also while its eviction waits for the end of its lease", async () => {
  await recallsEndBeside("evicted, its lease not over", 6, async () => {
    await bench().until("it is out of the view", ["A", "B"], (status) => status.view?.members.length === 2, 30_000);
    return async () => (await bench().status("A")).view?.isInForce === false;
  });
}, 180_000);

/** `when` waits for the time to recall, and gives whether that time still lasts. */
async function recallsEndBeside(what: string, files: number, when: () => Promise<() => Promise<boolean>>): Promise<void> {
  const directory = bench().path("A", "fs1", `recalled${files}`);
  await bench().shell('mkdir "$1"; for i in $(seq "$2"); do echo "content $i" > "$1/f$i"; done', directory, String(files));
  const migrator = await startMigrator(bench(), "B");
  let times: readonly number[] = [];
  // On a loaded machine that time may be over before all is read; such an attempt says nothing.
  for (let attempt = 0, isShown = false; !isShown; attempt++) {
    assert(attempt < 5, `in no attempt all recalls ended while the frozen node was ${what}; the last took ${times.join(" ")} ms`);
    await bench().untilAllAreMembers();
    await sluice(bench(), "A", "migrate", "-r", directory);
    bench().cluster.pause(bench().id("C"));
    try {
      const lasts = await when();
      times = await Promise.all(Array.from({ length: files }, (_, index) => recalled(`${directory}/f${index + 1}`, `content ${index + 1}\n`)));
      isShown = await lasts();
    } finally {
      bench().cluster.resume(bench().id("C"));
    }
  }
  await stopMigrator(migrator);
}

/** Reads a stub; gives how long that took. */
async function recalled(path: string, content: string): Promise<number> {
  const sinceMs = performance.now();
  assert.equal((await within(bench().program("cat", [path]).end, `reading ${path}`, 60_000)).output.toString(), content);
  return Math.round(performance.now() - sinceMs);
}
