/**
 * Names and attributes stay in the kernel of the only node that mounts, and in those of several while nobody changes them;
 * and they are as fresh as ever.
 *
 * Source    blueprint section 6, coherence; safety H7.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync, chmodSync, chownSync, copyFileSync, existsSync, linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync,
} from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { FsName } from "../dmapi/ids.js";
import { acceptance, shareBench } from "./bench.js";
import { eventually } from "./waiting.js";

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

acceptance("a node is not asked again for what its kernel knows, whether it alone mounts or another too", async (note) => {
  const known = bench().path("A", "fs1", "known");
  const missing = bench().path("A", "fs1", "missing");
  writeFileSync(known, "content");
  // Its kernel wants them after some looks, and the other node permits it.
  await eventually("200 looks while B mounts too make few requests", async () => (await looking(known, missing)) < 50);
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

acceptance("what another node changes is seen at once, though all of it was kept beside it", async (note) => {
  if (!(await bench().status("B")).fileSystems.some(({ isMounted }) => isMounted)) await bench().call("B", "fs.mount", { fs });
  const at = (letter: "A" | "B", name: string) => bench().path(letter, "fs1", `beside/${name}`);
  mkdirSync(at("A", "sub"), { recursive: true });
  for (let i = 0; i < 20; i++) writeFileSync(at("A", `sub/file${i}`), "old");
  const wantAll = async () => {
    for (let turn = 0; turn < 40; turn++) {
      for (let i = 0; i < 20; i++) {
        existsSync(at("A", `sub/file${i}`));
        existsSync(at("A", `sub/later${i}`));
      }
      if (existsSync(at("A", "sub"))) readdirSync(at("A", "sub")); // tells the kernel of each entry
    }
    // Until the other node has permitted what it permits.
    for (let before = -1, now = await kept(); now !== before; now = await kept()) before = now;
    existsSync(at("A", "sub/file0"));
  };
  const kept = () => bench().status("A").then(({ counters }) => counters["objects kept by the kernel beside others"] ?? 0);
  await eventually("they are kept beside B", async () => {
    await wantAll();
    return (await kept()) > 20;
  });
  note(`${await kept()} objects are kept beside B`);
  // Each change of B is of something that A's kernel keeps, as far as those before have left it any.
  const changes: readonly ((name: string) => void)[] = [
    (name) => writeFileSync(at("B", name), "longer"), (name) => truncateSync(at("B", name), 1), (name) => chmodSync(at("B", name), 0o600), (name) => chownSync(at("B", name), 5, 6),
    (name) => utimesSync(at("B", name), 5, 6), (name) => linkSync(at("B", name), at("B", `${name}-link`)), (name) => appendFileSync(at("B", name), "more"),
    // Each was written after it was last read, so a read moves its time of access.
    (name) => readFileSync(at("B", name)), (name) => copyFileSync(at("B", name), at("B", `${name}-copy`)),
  ];
  const told = (path: string) => {
    const { size, mode, uid, gid, atimeMs, mtimeMs, ctimeMs, nlink } = lstatSync(path);
    return { size, mode, uid, gid, atimeMs, mtimeMs, ctimeMs, nlink };
  };
  for (const [i, change] of changes.entries()) {
    await wantAll();
    const before = told(at("A", `sub/file${i}`));
    change(`sub/file${i}`);
    assert.deepEqual(told(at("A", `sub/file${i}`)), told(at("B", `sub/file${i}`)), String(change));
    assert.notDeepEqual(told(at("A", `sub/file${i}`)), before, String(change));
  }
  const names: readonly (() => void)[] = [
    () => rmSync(at("B", "sub/file10")), () => writeFileSync(at("B", "sub/later1"), ""), () => renameSync(at("B", "sub/file11"), at("B", "sub/file12")),
    () => renameSync(at("B", "sub/file13"), at("B", "moved")), () => mkdirSync(at("B", "sub/later2")), () => symlinkSync("x", at("B", "sub/later3")),
    () => renameSync(at("B", "sub"), at("B", "other")), () => renameSync(at("B", "other"), at("B", "sub")),
  ];
  const list = (letter: "A" | "B") => ["", "sub", "other"].flatMap((directory) => {
    if (!existsSync(at(letter, directory))) return [`no ${directory}`];
    return readdirSync(at(letter, directory)).sort().map((name) => `${directory}/${name} ${lstatSync(at(letter, `${directory}/${name}`)).ino}`);
  });
  for (const change of names) {
    await wantAll();
    change();
    for (const name of ["sub/file10", "sub/later1", "sub/file11", "sub/file12", "sub/file13", "moved", "sub/later2", "sub/later3", "sub", "other"]) {
      assert.equal(existsSync(at("A", name)), existsSync(at("B", name)), `${name} after ${String(change)}`);
    }
    assert.deepEqual(list("A"), list("B"));
  }
});

acceptance("whom another node gave a file to may change it by its name at once, and who had it may not", async () => {
  if (!(await bench().status("B")).fileSystems.some(({ isMounted }) => isMounted)) await bench().call("B", "fs.mount", { fs });
  const at = (letter: "A" | "B", name: string) => bench().path(letter, "fs1", name);
  // Not chmod(1), which asks for the attributes first.
  const script = 'try { require("node:fs").chmodSync(process.argv[1], 0o604) } catch ({ code }) { console.log(code) }';
  const changedBy = (uid: number, path: string) => spawnSync(process.execPath, ["-e", script, path], { uid, gid: uid, cwd: "/", encoding: "utf8" }).stdout.trim() || "changed";
  const keptByBoth = async () => {
    for (let turn = 0; turn < 2; turn++) {
      for (let i = 0; i < 300; i++) for (const letter of ["A", "B"] as const) statSync(at(letter, "given"));
      await sleep(50); // until it is permitted
    }
  };
  const dropped = async () => (await bench().status("A")).counters["objects dropped by the kernel for others"] ?? 0;
  writeFileSync(at("A", "given"), "");
  const before = await dropped();
  for (let turn = 0; turn < 8; turn++) {
    const [owner, former] = turn % 2 === 0 ? [71, 72] : [72, 71];
    chownSync(at("B", "given"), owner, owner);
    assert.equal(changedBy(former, at("A", "given")), "EPERM", "whose it was");
    chownSync(at("B", "given"), former, former);
    await keptByBoth();
    chownSync(at("B", "given"), owner, owner);
    assert.equal(changedBy(owner, at("A", "given")), "changed", "whose it is");
    await keptByBoth();
  }
  assert((await dropped()) > before, "it was kept while it was given away");
});

acceptance("two nodes that change one directory which both keep, and look at it meanwhile, neither hang nor see anything old", async (note) => {
  if (!(await bench().status("B")).fileSystems.some(({ isMounted }) => isMounted)) await bench().call("B", "fs.mount", { fs });
  mkdirSync(bench().path("A", "fs1", "both"), { recursive: true });
  const script = `
    const { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } = require("node:fs");
    const [mine, theirs, letter] = process.argv.slice(1);
    for (let i = 0; i < 60; i++) {
      for (let look = 0; look < 30; look++) { existsSync(mine + "/x" + look); statSync(mine); }
      writeFileSync(mine + "/" + letter + i, "");
      if (!existsSync(theirs + "/" + letter + i)) throw new Error(letter + i + " is not seen");
      renameSync(mine + "/" + letter + i, mine + "/" + letter + "r" + i);
      if (existsSync(theirs + "/" + letter + i)) throw new Error(letter + i + " is still seen");
      rmSync(theirs + "/" + letter + "r" + i);
      if (existsSync(mine + "/" + letter + "r" + i)) throw new Error(letter + "r" + i + " is still there");
    }`;
  const [onA, onB] = [bench().path("A", "fs1", "both"), bench().path("B", "fs1", "both")];
  const began = Date.now();
  await Promise.all([[onA, onB, "a"], [onB, onA, "b"]].map((args) => bench().run(process.execPath, ["-e", script, ...(args as string[])])));
  const { counters } = await bench().status("A");
  note(`${Date.now() - began} ms; A dropped ${counters["objects dropped by the kernel for others"]} objects, ${counters["changes that waited for other kernels"]} of its changes waited`);
});
