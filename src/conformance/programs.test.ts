/**
 * Foreign programs on migrated files: rsync, git, sqlite3, zip and fio see whole files, and leave whole files behind.
 * Not part of `npm test`: `npm run test:programs` installs them first.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { acceptance, shareBench } from "./bench.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });

acceptance("rsync copies a migrated tree whole, and finds nothing to do the second time", async () => {
  const tree = bench().path("A", "fs1", "rsync");
  const copy = join(bench().directory, "rsync-copy");
  await bench().shell('mkdir "$1"; for i in 1 2 3 4; do head -c 400000 /dev/urandom > "$1/f$i"; done; ln "$1/f1" "$1/link"', tree);
  const migrator = await startMigrator(bench(), "B");
  await sluice(bench(), "A", "migrate", "-r", tree);
  await bench().run("rsync", ["-aHX", "--checksum", `${tree}/`, copy]);
  await bench().run("diff", ["-r", tree, copy]);
  const again = await bench().run("rsync", ["-aHi", "--checksum", `${tree}/`, copy]);
  assert.equal(again.toString(), "");
  await stopMigrator(migrator);
}, 120_000);

acceptance("git commits, packs and checks on one node what another node then clones", async () => {
  const repository = bench().path("A", "fs1", "repository");
  await bench().shell(
    'git init -q "$1"; cd "$1"; git config user.email a@b; git config user.name n; for i in $(seq 40); do echo $i > f$i; git add .; git commit -qm $i; done; git gc -q; git fsck --strict', repository);
  const migrator = await startMigrator(bench(), "B");
  await sluice(bench(), "A", "migrate", "-r", repository);
  const clone = join(bench().directory, "clone");
  await bench().run("git", ["-c", "safe.directory=*", "clone", "-q", bench().path("B", "fs1", "repository"), clone]);
  assert.equal((await bench().run("git", ["-C", clone, "log", "--oneline"])).toString().trim().split("\n").length, 40);
  await stopMigrator(migrator);
}, 120_000);

acceptance("sqlite3 on two nodes: every committed row is there, the database is intact", async () => {
  const path = (letter: "A" | "B") => bench().path(letter, "fs1", "rows.db");
  await bench().run("sqlite3", [path("A"), "create table rows (n integer, node text);"]);
  const insert = (letter: "A" | "B") => bench().shell(`for i in $(seq 30); do sqlite3 -cmd ".timeout 20000" "$1" "insert into rows values ($i, '${letter}');"; done`, path(letter));
  await Promise.all([insert("A"), insert("B")]);
  for (const letter of ["A", "B"] as const) {
    assert.equal((await bench().run("sqlite3", [path(letter), "select count(*) from rows; pragma integrity_check;"])).toString(), "60\nok\n");
  }
}, 120_000);

acceptance("fio verifies what it wrote, through another node, buffered and mapped", async () => {
  const job = (letter: "A" | "B", engine: string, mode: string) => ["--name=job", `--filename=${bench().path(letter, "fs1", `fio-${engine}`)}`, "--size=16m", "--bs=4k", `--ioengine=${engine}`, "--verify=crc32c", "--rw=randwrite", mode];
  for (const engine of ["psync", "mmap"]) {
    await bench().run("fio", [...job("A", engine, "--do_verify=0"), "--end_fsync=1"]);
    await bench().run("fio", job("B", engine, "--verify_only"));
  }
}, 120_000);

acceptance("zip reads a migrated file whole", async () => {
  const file = bench().path("A", "fs1", "zipped");
  await bench().shell('head -c 500000 /dev/urandom > "$1"', file);
  const sum = (await bench().run("sha256sum", [file])).toString().slice(0, 64);
  const migrator = await startMigrator(bench(), "B");
  await sluice(bench(), "A", "migrate", file);
  const archive = join(bench().directory, "archive.zip");
  await bench().run("zip", ["-q", archive, bench().path("B", "fs1", "zipped")]);
  assert.equal((await bench().shell('unzip -p "$1" | sha256sum', archive)).toString().slice(0, 64), sum);
  await stopMigrator(migrator);
});
