/**
 * Names and attributes stay in the kernel of the only node that mounts, and are as fresh as ever when another mounts too.
 *
 * Source    blueprint section 6, coherence; safety H7.
 */
import assert from "node:assert/strict";
import { existsSync, lstatSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { FsName } from "../dmapi/ids.js";
import { acceptance, shareBench } from "./bench.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });
const fs = "fs1" as FsName;

async function requests(): Promise<number> {
  return (await bench().status("A")).counters["requests"] ?? 0;
}
/** How many requests of the kernel a hundred looks at a known name and at a missing one make. */
async function looking(known: string, missing: string): Promise<number> {
  statSync(known);
  existsSync(missing);
  const before = await requests();
  for (let i = 0; i < 100; i++) {
    statSync(known);
    assert(!existsSync(missing));
  }
  return (await requests()) - before;
}

acceptance("the only node that mounts is not asked again for what its kernel knows; where two mount each look asks", async (note) => {
  const known = bench().path("A", "fs1", "known");
  const missing = bench().path("A", "fs1", "missing");
  writeFileSync(known, "content");
  assert(await looking(known, missing) >= 200, "two mounts: every look asks");
  await bench().call("B", "fs.unmount", { fs });
  const asked = await looking(known, missing);
  note(`200 looks while only A mounts made ${asked} requests`);
  assert(asked < 50, `200 looks made ${asked} requests`); // a lease may end meanwhile, and the status document is asked for
  // What this node changes itself is seen at once.
  writeFileSync(missing, "now there");
  assert.equal(statSync(missing).size, 9);
  renameSync(missing, known);
  assert(!existsSync(missing));
  assert.equal(statSync(known).size, 9);
});

acceptance("from the moment another node mounts nothing old is seen, though all of it was kept before", async () => {
  if ((await bench().status("B")).fileSystems.some(({ isMounted }) => isMounted)) await bench().call("B", "fs.unmount", { fs });
  const at = (letter: "A" | "B", name: string) => bench().path(letter, "fs1", name);
  for (let i = 0; i < 50; i++) writeFileSync(at("A", `file${i}`), "old");
  for (let i = 0; i < 50; i++) {
    assert.equal(statSync(at("A", `file${i}`)).size, 3);
    assert(!existsSync(at("A", `later${i}`)));
  }
  await bench().call("B", "fs.mount", { fs });
  for (let i = 0; i < 50; i++) {
    writeFileSync(at("B", `later${i}`), "x");
    assert.equal(lstatSync(at("A", `later${i}`)).size, 1, "a name that was known not to be there");
    writeFileSync(at("B", `file${i}`), "newer");
    assert.equal(lstatSync(at("A", `file${i}`)).size, 5, "attributes that were known");
    rmSync(at("B", `file${i}`));
    assert(!existsSync(at("A", `file${i}`)), "a name that was known");
  }
  assert.equal(readdirSync(at("A", ".")).filter((name) => name.startsWith("later")).length, 50);
});
