/**
 * A volume that is full to its last block: whoever reads a migrated file gets true bytes or a clear ENOSPC, the file stays a
 * good stub, a recall that lacks nothing but its last record ends, and a migration can make room.
 *
 * Source    safety M7.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statfsSync, statSync, writeFileSync } from "node:fs";
import type { StatusDocument } from "../dmapi/status.js";
import { acceptance, type Letter, type Program, shareBench } from "./bench.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { eventually, within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"], volumeMebibytes: 48, volumeType: "ext4" });

function file(name: string, bytes: number): Buffer {
  const content = randomBytes(bytes);
  writeFileSync(bench().path("A", "fs1", name), content);
  return content;
}
const state = async (name: string) => (await sluice(bench(), "A", "state", bench().path("A", "fs1", name))).toString();
const backingBlocks = (name: string) => statSync(bench().backing("fs1", name)).blocks;
const reserveOf = (status: StatusDocument) => status.fileSystems[0]!.reserve;
const isReserveWhole = (status: StatusDocument) => reserveOf(status)?.lacking === 0;

/** By a user, until not one block more goes in. */
async function fill(letter: Letter, name: string): Promise<void> {
  const path = bench().path(letter, "fs1", name);
  for (let before = -1; before !== (existsSync(path) ? statSync(path).size : 0); ) {
    before = existsSync(path) ? statSync(path).size : 0;
    const writer = await within(bench().program("dd", ["if=/dev/zero", `of=${path}`, "bs=4096", "oflag=append", "conv=notrunc,fsync", "status=none"]).end, "the volume is filled", 60_000);
    assert.match(writer.errors, /No space left/);
  }
  // The volume keeps some back for what it must note about the next byte.
  const { bavail } = statfsSync(bench().path(letter, "fs1"));
  assert.ok(bavail < 4, `${bavail} blocks are free when no byte more goes in`);
}
async function empty(letter: Letter, name: string): Promise<void> {
  await bench().run("rm", [bench().path(letter, "fs1", name)]);
  await bench().until("the reserve is whole again", bench().letters, isReserveWhole, 30_000);
}
function isStopped(program: Program): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${program.child.pid}/status`, "latin1"));
}
const read = (letter: Letter, name: string) => bench().program("cat", [bench().path(letter, "fs1", name)]);

acceptance("no room for the bytes: ENOSPC to the reader and to who opens for writing; the stub is a good one and comes back whole", async () => {
  await bench().until("the reserve is there", bench().letters, isReserveWhole);
  const content = file("large", 6 * 1024 * 1024);
  const migrator = await startMigrator(bench(), "A");
  await sluice(bench(), "A", "migrate", bench().path("A", "fs1", "large"));
  await fill("B", "filler");
  const reader = await within(read("B", "large").end, "the reader ends", 60_000);
  assert.match(reader.errors, /No space left on device/);
  assert.equal(reader.output.length, 0);
  const writer = await within(bench().program("/bin/sh", ["-c", 'exec 3<> "$1"', "sh", bench().path("B", "fs1", "large")]).end, "who opens for writing ends", 60_000);
  assert.match(writer.errors, /No space left on device/);
  assert.match(await state("large"), /migrated/);
  assert.ok(backingBlocks("large") * 512 < 65_536, `what was copied in is punched again: ${backingBlocks("large")} blocks`);
  await empty("B", "filler");
  assert.ok((await within(read("B", "large").end, "the reader ends", 60_000)).output.equals(content));
  await stopMigrator(migrator);
}, 120_000);

acceptance("nothing lacks but the last record: the reserve gives it room; users see less space until it is whole again", async () => {
  const content = file("record", 200_000);
  const session = await bench().session("A", "keeps a large attribute");
  const value = randomBytes(60_000);
  await bench().call("A", "attribute.set", { session: session.id, handle: bench().handle("A", "fs1", "record"), name: "00112233445566aa", value });
  const before = await startMigrator(bench(), "A");
  await sluice(bench(), "A", "migrate", bench().path("A", "fs1", "record"));
  await stopMigrator(before);
  const migrator = await startMigrator(bench(), "A", { SLUICE_MIGRATOR_STOP_AT: "recall.change-record:freeze" });
  const reader = read("B", "record");
  await eventually("all bytes are there, and the migrator stands before the record", () => isStopped(migrator), 30_000);
  await fill("B", "filler");
  assert.ok(!reader.isOver);
  migrator.child.kill("SIGCONT");
  const end = await within(reader.end, "the reader ends", 60_000);
  assert.ok(end.output.equals(content), end.errors);
  assert.match(await state("record"), /resident/);
  const kept = (await bench().call("A", "attribute.get", { session: session.id, handle: bench().handle("A", "fs1", "record"), name: "00112233445566aa" })).value;
  assert.ok(value.equals(kept), "the attribute is whole");
  await bench().until("both nodes say that the reserve lacks something", bench().letters, (status) => (reserveOf(status)?.lacking ?? 0) > 0);
  const { lacking } = reserveOf(await bench().status("A"))!;
  assert.ok(lacking >= 16_384 && lacking < 150_000, `${lacking} bytes were let go for a record of 60,000`);
  const [below, shown] = [statfsSync(bench().backing("fs1")), statfsSync(bench().path("B", "fs1"))];
  assert.equal(shown.bavail, Math.max(0, below.bavail - Math.ceil(lacking / below.bsize)));
  assert.match((await sluice(bench(), "B", "status")).toString(), /fs1: ALARM: the reserve for recalls lacks/);
  await session.end();
  await empty("B", "filler");
  const whole = [statfsSync(bench().backing("fs1")), statfsSync(bench().path("B", "fs1"))];
  assert.equal(whole[0]!.bavail, whole[1]!.bavail, "what is whole is not taken off twice");
  await stopMigrator(migrator);
}, 120_000);

acceptance("a full volume is emptied by a migration, whose record needs a block that nobody has any more", async () => {
  const content = file("relief", 1024 * 1024);
  const migrator = await startMigrator(bench(), "A");
  await fill("B", "filler");
  await sluice(bench(), "A", "migrate", bench().path("A", "fs1", "relief"));
  assert.match(await state("relief"), /migrated/);
  assert.ok(statfsSync(bench().backing("fs1")).bavail * 4096 > 512 * 1024);
  await bench().until("the reserve is whole again", bench().letters, isReserveWhole, 30_000);
  await empty("B", "filler");
  assert.ok((await within(read("B", "relief").end, "the reader ends", 60_000)).output.equals(content));
  await stopMigrator(migrator);
}, 120_000);
