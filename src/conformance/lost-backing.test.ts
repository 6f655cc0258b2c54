/**
 * A backing that is lost under its daemons, and comes back: users get errors and no empty directory, the daemons live and say
 * what is wrong, none starts on what lies beneath, and what was migrated is there when the backing is mounted again.
 *
 * Not here  one that fails for a while (sick-backing.test.ts).
 * Source    safety H4, H11.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { acceptance, type Letter, shareBench } from "./bench.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { eventually, within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"], mode: "exact", volumeMebibytes: 192, volumeType: "sick" });
const path = (letter: Letter, name: string) => bench().path(letter, "fs1", name);
const troubleOf = async (letter: Letter) => (await bench().status(letter)).fileSystems[0]!.trouble ?? "";
async function read(letter: Letter, name: string): Promise<{ errors: string; output: Buffer }> {
  return within(bench().program("cat", [path(letter, name)]).end, `${name} on ${letter}`, 60_000);
}

acceptance("the backing is detached and its disk is lost: errors to users, none of them that nothing is there; a daemon does not start on the directory beneath; mounted again it serves all after a restart that keeps the mounts", async () => {
  const content = randomBytes(300_000);
  for (const name of ["plain", "moved"]) writeFileSync(path("A", name), content);
  const migrator = await startMigrator(bench(), "A");
  await sluice(bench(), "A", "migrate", path("A", "moved"));
  await stopMigrator(migrator);
  const pids = await Promise.all((["A", "B"] as const).map(async (letter) => (await bench().status(letter)).pid));
  const user = bench().conversation(process.execPath, [join(dirname(fileURLToPath(import.meta.url)), "survivor.js"), path("B", "")]);
  const asks = async (...call: unknown[]) => JSON.parse((await within(user.ask(JSON.stringify(call)), String(call[0])))!) as { ok?: unknown; error?: string };
  assert.deepEqual(await asks("open", "f", "plain", "r+"), { ok: null });
  await new Promise((resolve) => setTimeout(resolve, 2_500)); // what is open for more than a second the holder has
  bench().disk("fs1").forget("plain");
  spawnSync("sync", ["-f", bench().backing("fs1")]);

  await bench().disk("fs1").lose();
  assert.deepEqual(readdirSync(bench().backing("fs1")), [], "the directory beneath");
  const lost = await read("B", "plain");
  assert.equal(lost.output.length, 0);
  assert.deepEqual(await asks("read", "f", 200_000, 10), { error: "EIO" });
  assert.match(lost.errors, /Input\/output error/);
  assert.match((await within(bench().program("/bin/sh", ["-c", 'dd if=/dev/zero of="$1" bs=4096 count=1 conv=fsync', "sh", path("B", "new")]).end, "a creation", 60_000)).errors, /Input\/output error|Read-only file system/);
  for (const letter of ["A", "B"] as const) assert.doesNotMatch((await within(bench().program("stat", [path(letter, "moved")]).end, "a look", 60_000)).errors, /No such file/);
  await eventually("both nodes say what is wrong", async () => (await Promise.all([troubleOf("A"), troubleOf("B")])).every((text) => /is not mounted any more: users .*Mount it again, then restart the daemon/.test(text)));
  assert.match((await sluice(bench(), "B", "status")).toString(), /fs1: ALARM: the backing .* is not mounted any more/);
  assert.deepEqual(await Promise.all((["A", "B"] as const).map(async (letter) => (await bench().status(letter)).pid)), pids, "the same daemons");

  await bench().kill("B");
  await bench().cluster.launch([bench().id("B")]).catch(() => {});
  await eventually("B refuses to start", () => /fs1 of this cluster is file system [0-9a-f]{16}: is it mounted\?/.test(bench().cluster.log(bench().id("B"))));
  assert.deepEqual(readdirSync(bench().backing("fs1")), [], "nothing was made beneath");

  await bench().disk("fs1").comeBack();
  await eventually("A says that it is there again", async () => /is there again, and this daemon has the former one open.*Restart the daemon/.test(await troubleOf("A")));
  await bench().startAll();
  await bench().restart("A");
  for (const letter of ["A", "B"] as const) assert.ok((await read(letter, "plain")).output.equals(content), letter);
  assert.deepEqual(await asks("read", "f", 200_000, 10), { ok: content.toString("latin1", 200_000, 200_010) }, "what was open all the time is read again");
  assert.deepEqual(await asks("write", "f", 0, "new"), { ok: 3 });
  assert.equal((await read("A", "plain")).output.toString("latin1", 0, 3), "new");
  user.child.stdin!.end();
  const again = await startMigrator(bench(), "A");
  assert.match((await sluice(bench(), "A", "state", path("A", "moved"))).toString(), /migrated/);
  assert.ok((await read("B", "moved")).output.equals(content), "what was migrated comes back");
  assert.equal(await troubleOf("A"), "");
  await stopMigrator(again);
}, 180_000);
