/**
 * A quota of the backing that is used up: who needs room gets EDQUOT, as on the backing itself, also who waits for a recall;
 * the daemon lives, and with room again everything works. The quota is one of btrfs (a limit of its top subvolume).
 *
 * Not here  a volume that is full (full-volume.test.ts). Quotas of users, which a chown moves between owners: needs a kernel with them.
 * Source    safety H10, M7; requirement "the right errno to the user".
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { acceptance, shareBench } from "./bench.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { within } from "./waiting.js";

const MEBIBYTE = 1 << 20;
const hasBtrfs = ["mkfs.btrfs", "btrfs"].every((program) => spawnSync(program, ["--version"]).status === 0);
const without = "no mkfs.btrfs here (Debian package btrfs-progs): not tried";
const bench = shareBench({ nodes: 2, fileSystems: ["fs1"], volumeMebibytes: 256, volumeType: hasBtrfs ? "btrfs" : "tmpfs" });

/** "none": no limit. */
function limit(what: string): void {
  execFileSync("btrfs", ["qgroup", "limit", what, "0/5", bench().backing("fs1")]);
}
let isOn = false;
function quotasOn(): void {
  if (!isOn) execFileSync("btrfs", ["quota", "enable", bench().backing("fs1")]);
  isOn = true;
}
/** Until not one block more goes in. */
function fill(): string {
  const filler = bench().backing("fs1", "filler");
  const end = spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=64k", "count=1024", "oflag=append", "conv=notrunc,fsync"], { encoding: "utf8" });
  assert.match(end.stderr, /Disk quota exceeded/);
  return filler;
}
async function shell(script: string, path: string): Promise<string> {
  return (await within(bench().program("/bin/sh", ["-c", script, "sh", path]).end, script, 60_000)).errors;
}

acceptance("a quota that is used up: EDQUOT to who makes, writes, allocates or links, as on the backing; then all goes on", async (note) => {
  if (!hasBtrfs) return note(without);
  quotasOn();
  const { pid } = await bench().status("B");
  const content = randomBytes(200_000);
  for (const name of ["old", "old.own"]) writeFileSync(bench().backing("fs1", name), content);
  limit("12M");
  const filler = fill();
  try {
    for (const script of [
      ': > "$1.new"', 'dd if=/dev/zero of="$1" bs=64k count=16 oflag=append conv=notrunc,fsync status=none', 'fallocate -l 4M "$1"', 'mkdir "$1.d"', 'ln -s x "$1.s"', 'mknod "$1.p" p', 'ln "$1" "$1.l"',
      'chown 1000 "$1"', 'chmod 600 "$1"', 'mv "$1" "$1.moved"',
    ]) {
      const beneath = /Disk quota exceeded/.test(await shell(script, bench().backing("fs1", "old.own")));
      const above = await shell(script, bench().path("B", "fs1", "old"));
      assert.equal(/Disk quota exceeded/.test(above), beneath, `${script}: ${above}`);
      if (/new|dd|fallocate|mkdir/.test(script)) assert.ok(beneath, `${script}: the quota is used up`);
      if (above !== "") assert.match(above, /Disk quota exceeded/, script);
    }
  } finally {
    limit("none");
    rmSync(filler);
  }
  assert.equal(await shell('echo more >> "$1" && mkdir "$1.d2" && fallocate -l 1M "$1.f" && chown 1000 "$1"', bench().path("B", "fs1", "again")), "");
  assert.equal((await bench().status("B")).pid, pid, "the same daemon");
}, 120_000);

acceptance("a recall that meets the quota: EDQUOT to the reader and to who opens for writing, the stub stays a good one, and with room it comes back whole", async (note) => {
  if (!hasBtrfs) return note(without);
  quotasOn();
  const content = randomBytes(6 * MEBIBYTE);
  writeFileSync(bench().path("A", "fs1", "large"), content);
  const migrator = await startMigrator(bench(), "A");
  await sluice(bench(), "A", "migrate", bench().path("A", "fs1", "large"));
  limit("4M");
  try {
    const reader = await within(bench().program("cat", [bench().path("B", "fs1", "large")]).end, "the reader ends", 60_000);
    assert.match(reader.errors, /Disk quota exceeded/);
    assert.equal(reader.output.length, 0);
    assert.match(await shell('exec 3<> "$1"; echo x >&3', bench().path("B", "fs1", "large")), /Disk quota exceeded/);
    assert.match((await sluice(bench(), "A", "state", bench().path("A", "fs1", "large"))).toString(), /migrated/);
    // What was copied in would be given back, but btrfs refuses a hole too when its quota is used up.
  } finally {
    limit("none");
  }
  assert.ok((await within(bench().program("cat", [bench().path("B", "fs1", "large")]).end, "the reader ends", 60_000)).output.equals(content));
  await stopMigrator(migrator);
}, 120_000);
