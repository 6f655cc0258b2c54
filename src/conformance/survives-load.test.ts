/**
 * All daemons of a cluster, one after the other, are killed and restarted while programs on each node make, rename, remove,
 * append, write, read, map, count under locks, and read files that come back from a store: no program notices more than a pause.
 *
 * Source    safety H11; decision 0011.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { acceptance, isLong, type Letter, type Program, shareBench } from "./bench.js";
import { command, startMigrator, stopMigrator } from "./migrator.js";
import { within } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"], isFastFailover: true });
const here = dirname(fileURLToPath(import.meta.url));
const everybody: readonly Letter[] = ["A", "B", "C"];
const ROUNDS = isLong ? 5 : 1;

acceptance("every daemon in turn is killed, and restarted, under load: no program notices more than a pause", async (note) => {
  const stop = join(bench().directory, "stop");
  await bench().shell('cd "$1"; head -c 8 /dev/zero > counter; mkdir shared; for i in 1 2 3 4; do head -c 100000 /dev/urandom > shared/f$i; done; sha256sum shared/* > "$2"', bench().path("A", "fs1"), join(bench().directory, "sums"));
  const programs: { role: string; letter: Letter; program: Program }[] = [];
  for (const letter of everybody) {
    for (const role of ["names", "append", "count", "blocks"]) {
      programs.push({ role, letter, program: bench().program(process.execPath, [join(here, "survivor-load.js"), role, bench().path(letter, "fs1"), `${role}-${letter}`, stop]) });
    }
    const reading = 'cd "$1"; until [ -e "$2" ]; do sha256sum --quiet -c "$3" || exit 1; sleep 0.1; done; echo 0';
    programs.push({ role: "read", letter, program: bench().program("/bin/sh", ["-c", reading, "sh", bench().path(letter, "fs1"), stop, join(bench().directory, "sums")]) });
  }
  const alive = () => {
    for (const { role, letter, program } of programs) assert(!program.isOver, `${role} on ${letter} has ended`);
  };
  let migrator = await startMigrator(bench(), "B");
  const known = { answered: 0, found: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    for (const how of ["kill", "restart"] as const) {
      for (const letter of everybody) {
        if (how === "restart") await migrate(letter === "A" ? "C" : "A");
        const waitedBefore = takeovers(letter);
        if (letter === "B") await stopMigrator(migrator);
        if (how === "kill") {
          await bench().kill(letter);
          await bench().cluster.start([bench().id(letter)]);
        } else await bench().restart(letter);
        if (letter === "B") migrator = await startMigrator(bench(), "B");
        assert(takeovers(letter) > waitedBefore, `${letter} took its mount over`);
        const { counters } = await bench().status(letter);
        known.answered += counters["operations answered that an earlier daemon had done"] ?? 0;
        known.found += counters["operations found done that an earlier daemon had begun"] ?? 0;
        alive();
      }
    }
  }
  writeFileSync(stop, "");
  let counted = 0;
  const rounds: string[] = [];
  for (const { role, letter, program } of programs) {
    const end = await within(program.end, `${role} on ${letter} ends`, 60_000);
    assert.equal(end.code, 0, `${role} on ${letter}: ${end.errors}`);
    if (role === "count") counted += Number(end.output);
    if (role === "read") continue;
    assert(Number(end.output) > 0, `${role} on ${letter} has done something`);
    rounds.push(`${role} ${Number(end.output)}`);
  }
  assert.equal(Number(readFileSync(bench().backing("fs1", "counter")).readBigUInt64LE()), counted, "each was counted once");
  await stopMigrator(migrator);
  note(`users of ${bench().letters.map((letter) => bench().cluster.log(bench().id(letter)).match(/its users waited \d+ ms/g)?.join(", ")).join("; ")}`);
  note(`operations answered that had been done ${known.answered}, found done ${known.found}; rounds: ${rounds.join(", ")}`);
}, 240_000);

const takeovers = (letter: Letter) => bench().cluster.log(bench().id(letter)).split("taken over from an earlier daemon").length;
/** What nobody reads just now is moved out; the readers bring it back. */
async function migrate(letter: Letter): Promise<void> {
  await within(bench().program(process.execPath, [command, "migrate", "-r", "--json", bench().path(letter, "fs1", "shared"), "--socket", bench().cluster.socket(bench().id(letter))]).end, "the migrations", 120_000);
}
