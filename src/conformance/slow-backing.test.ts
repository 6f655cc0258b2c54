/**
 * A disk that keeps its readers waiting: whoever needs its blocks waits, and nobody else.
 *
 * Source    safety H1.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { statSync, writeFileSync } from "node:fs";
import { acceptance, shareBench } from "./bench.js";
import { within } from "./waiting.js";

const SLOW_MS = 4_000;
const bench = shareBench({ nodes: 1, fileSystems: ["fs1"], mode: "exact", volumeMebibytes: 64, volumeType: "sick" });
const path = (name: string) => bench().path("A", "fs1", name);

/** Reads a file again and again, opens and closes it, and stats what is beside it. */
const busy = `
  const fs = require("node:fs"); const [warm, directory] = process.argv.slice(1);
  for (let i = 0; i < 50; i++) { fs.readFileSync(warm); fs.statSync(warm); fs.statSync(directory); }`;
const serveOthers = () => within(bench().program(process.execPath, ["-e", busy, path("warm"), path(".")]).end, "others are served", 60_000);

/** Its blocks are on the disk alone, and that takes so long for each. */
function readSlowly(name: string, content: Buffer, ms: number) {
  writeFileSync(path(name), content);
  bench().disk("fs1").forget(name);
  bench().disk("fs1").become(`slow ${ms}`);
  return bench().program("cat", [path(name)]);
}

acceptance("while one reader waits for a slow disk the others are served, reads, opens and stats", async () => {
  const content = randomBytes(300_000);
  writeFileSync(path("warm"), content);
  await serveOthers();
  const reader = readSlowly("cold", content, SLOW_MS);
  for (let times = 0; times < 2; times++) {
    const { code, errors } = await serveOthers();
    assert.equal(code, 0, errors);
  }
  assert.ok(!reader.isOver, "the reader still waits for its first block");
  bench().disk("fs1").become("well");
  const end = await within(reader.end, "the reader ends", 60_000);
  assert.ok(end.output.equals(content), end.errors);
});

acceptance("what the kernel keeps of names and attributes it keeps beside a disk that was slow just now", async () => {
  const reader = readSlowly("colder", randomBytes(4096), SLOW_MS);
  await within(reader.end, "the slow read", 60_000);
  bench().disk("fs1").become("well");
  writeFileSync(path("looked at"), "");
  const requests = async () => (await bench().status("A")).counters["requests"] ?? 0;
  statSync(path("looked at"));
  const before = await requests();
  for (let i = 0; i < 200; i++) statSync(path("looked at"));
  const asked = (await requests()) - before;
  assert.ok(asked < 50, `200 looks made ${asked} requests`); // a lease may end meanwhile, and the status document is asked for
});
