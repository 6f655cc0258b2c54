/**
 * `backingCalls: workers`: not even the first call that a disk lets wait keeps anybody else waiting.
 *
 * Source    safety H1.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { acceptance, shareBench } from "./bench.js";
import { within } from "./waiting.js";

const SLOW_MS = 4_000;
const bench = shareBench({ nodes: 1, fileSystems: ["fs1"], mode: "exact", volumeMebibytes: 64, volumeType: "sick", settings: ["fileSystems.backingCalls=workers"] });
const path = (name: string) => bench().path("A", "fs1", name);

acceptance("while one writer waits for the block that he writes into the others are served", async () => {
  const content = randomBytes(20_000);
  for (const name of ["warm", "cold"]) writeFileSync(path(name), content);
  const { capabilities } = (await bench().status("A")).fileSystems[0]!;
  assert.equal(capabilities?.["passthrough"], "configured: backingCalls workers");
  const serveOthers = () => within(bench().program("sh", ["-c", 'cat "$1" | cmp - "$2" && : > "$1.new" && mv "$1.new" "$1.newer"', "sh", path("warm"), bench().backing("fs1", "warm")]).end, "others are served", 60_000);
  await serveOthers();
  bench().disk("fs1").forget("cold");
  bench().disk("fs1").become(`slow ${SLOW_MS}`);
  const writer = bench().program("dd", ["if=/dev/zero", `of=${path("cold")}`, "bs=1", "count=10", "seek=5000", "conv=notrunc"]);
  await new Promise((resolve) => setTimeout(resolve, 1_000)); // it has come as far as the disk
  const { code, errors } = await serveOthers();
  assert.equal(code, 0, errors);
  assert.ok(!writer.isOver, "the writer still waits for his block");
  bench().disk("fs1").become("well");
  await within(writer.end, "the writer ends", 60_000);
  content.fill(0, 5000, 5010);
  assert.ok(readFileSync(path("cold")).equals(content));
});
