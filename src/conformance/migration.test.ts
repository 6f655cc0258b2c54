/**
 * T15: allocated space falls, content never changes, one recall serves all readers.
 *
 * Not here  the migration application killed between any two steps (migration/migrator.test.ts).
 * Source    requirement R15.
 */
import assert from "node:assert/strict";
import { statfsSync } from "node:fs";
import { acceptance, isLong, type Letter, shareBench } from "./bench.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { eventually, within } from "./waiting.js";

const MEBIBYTE = 1_048_576;
const volumeMebibytes = isLong ? 1_024 : 48;
const bench = shareBench({ nodes: 3, fileSystems: ["fs1"], volumeMebibytes });

acceptance("T15 allocated bytes fall, size and content stay; one recall for three readers at once", async () => {
  const files = isLong ? 400 : 12;
  await bench().shell('mkdir "$1"; for i in $(seq "$2"); do head -c $((262144 + i * 4097)) /dev/urandom > "$1/f$i"; done', bench().path("A", "fs1", "t15"), String(files));
  const facesBefore = await faces("C", "t15");
  const sumsBefore = await sums("C", "t15");
  const blocksBefore = await blocks("C", "t15");
  const migrator = await startMigrator(bench(), "B");
  await sluice(bench(), "A", "migrate", "-r", bench().path("A", "fs1", "t15"));
  const blocksAfter = await blocks("C", "t15");
  assert(blocksAfter < blocksBefore / 10, `${blocksBefore} to ${blocksAfter} blocks`);
  assert.equal(await faces("C", "t15"), facesBefore, "size, mode, owner, times as before");
  const recalledBefore = await recalled();
  const readers = bench().letters.map((letter) => bench().program("cat", [bench().path(letter, "fs1", "t15", "f1")]));
  const outputs = await Promise.all(readers.map(async (reader) => (await within(reader.end, "a reader")).output));
  for (const output of outputs) assert(output.equals(outputs[0]!) && output.length === 262_144 + 4_097);
  assert.equal((await recalled()) - recalledBefore, 1, "one recall");
  assert.equal(await sums("C", "t15"), sumsBefore, "every checksum as before, read by recall");
  await stopMigrator(migrator);
});

acceptance("T15 a volume filled over the high mark falls below the low mark by itself; every file stays what it was", async (note) => {
  const [high, low] = [60, 30];
  const before = usedPercent();
  const files = Math.ceil(((75 - before) / 100) * volumeMebibytes / 2);
  await bench().shell('mkdir "$1"; for i in $(seq "$2"); do head -c "$3" /dev/urandom > "$1/f$i"; done', bench().path("A", "fs1", "filled"), String(files), String(2 * MEBIBYTE));
  const [facesBefore, sumsBefore, filled] = [await faces("C", "filled"), await sums("C", "filled"), usedPercent()];
  assert(filled > high, `the volume is filled to ${filled} %`);
  const migrator = await startMigrator(bench(), "B", {}, ["--high", String(high), "--low", String(low)]);
  await eventually("the volume is below the low mark", () => usedPercent() < low, 30_000, () => `${usedPercent()} % used`);
  assert.equal(await faces("C", "filled"), facesBefore, "size, mode, owner, times as before");
  note(`T15: ${filled.toFixed(0)} % used with ${files} files, ${usedPercent().toFixed(0)} % after the migrator came`);
  await stopMigrator(migrator);
  const serving = await startMigrator(bench(), "B"); // without marks: what is recalled now stays
  assert.equal(await sums("C", "filled"), sumsBefore);
  await stopMigrator(serving);
}, 120_000);

function usedPercent(): number {
  const { blocks, bfree } = statfsSync(bench().backing("fs1"));
  return (100 * (blocks - bfree)) / blocks;
}
async function recalled(): Promise<number> {
  const status: unknown = JSON.parse((await sluice(bench(), "A", "migrator", "status", "--fs", "fs1", "--json")).toString());
  return (status as { recalled: number }).recalled;
}
async function blocks(letter: Letter, name: string): Promise<number> {
  return (await bench().shell('find "$1" -type f -printf "%b\\n"', bench().path(letter, "fs1", name))).toString().split("\n").reduce((sum, line) => sum + Number(line), 0);
}
async function faces(letter: Letter, name: string): Promise<string> {
  return (await bench().shell('cd "$1"; find . -type f -printf "%p %s %m %U:%G %T@ %C@ %n\\n" | sort', bench().path(letter, "fs1", name))).toString();
}
async function sums(letter: Letter, name: string): Promise<string> {
  return (await bench().shell('cd "$1"; find . -type f | sort | xargs sha256sum', bench().path(letter, "fs1", name))).toString();
}
