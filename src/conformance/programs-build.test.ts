/**
 * A C program from its source, on a mount: unpacked, configured, built by several compilers at once and tested, and the very
 * same as one built on the bare file system; then migrated, and run on another node.
 *
 * Source    the archive of zlib in SLUICE_TEST_SOURCES, which `npm run test:programs` fetches.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { acceptance, shareBench } from "./bench.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });
const BUILD_MS = 150_000;

function archive(): string {
  const directory = process.env["SLUICE_TEST_SOURCES"];
  assert(directory !== undefined, "SLUICE_TEST_SOURCES names no directory: run by npm run test:programs");
  const found = readdirSync(directory).find((name) => /\.orig\.tar\./.test(name));
  assert(found !== undefined, `${directory} has no archive of a source`);
  return join(directory, found);
}
async function buildIn(directory: string): Promise<void> {
  const script = 'cd "$1"; tar --strip-components=1 -xf "$2"; CFLAGS=-O0 ./configure --static >configure.said; make -j4 static >make.said; make teststatic >test.said';
  const end = await within(bench().program("/bin/sh", ["-ec", script, "sh", directory, archive()]).end, `building in ${directory}`, BUILD_MS);
  assert.equal(end.code, 0, end.errors);
}

acceptance("a C program is unpacked, configured, built with make -j and tested as on the bare file system, and runs on another node once migrated", async () => {
  const bare = join(bench().directory, "build");
  const [built, elsewhere] = [bench().path("A", "fs1", "build"), bench().path("B", "fs1", "build")];
  for (const directory of [bare, built]) mkdirSync(directory);
  await buildIn(bare);
  await buildIn(built);
  const made = (await bench().shell('cd "$1"; ls *.a *.o example minigzip', bare)).toString().trim().split("\n");
  assert(made.length > 15, made.join(" "));
  for (const name of made) await bench().run("cmp", [join(bare, name), join(elsewhere, name)]);
  const migrator = await startMigrator(bench(), "B");
  await sluice(bench(), "A", "migrate", "-r", built);
  await bench().shell('cd "$1"; ./minigzip < make.said | ./minigzip -d | cmp - make.said; make -q static', elsewhere);
  await stopMigrator(migrator);
}, 400_000);
