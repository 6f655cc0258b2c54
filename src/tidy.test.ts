/**
 * A lint of our own tree: who may import whom, purity of the core, header comments, nothing unreachable, nothing left open.
 *
 * Source    docs/architecture.md has the same table in words; this one is the judge.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const top = join(dirname(fileURLToPath(import.meta.url)), "..");
const sources = join(top, "src");

/** Which folder may import which; "folder/module" allows that module alone. Nothing imports upwards. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  dmapi: ["base"],
  cluster: ["base", "dmapi"],
  os: ["base"],
  wire: ["base", "os", "dmapi", "cluster/messages", "cluster/keeping/words", "cluster/view-document", "cluster/registry-document"],
  fuse: ["base", "os"],
  volume: ["base", "os", "dmapi"],
  coordination: ["base", "os", "dmapi", "cluster/coordination-contract", "cluster/view-document"],
  daemon: ["base", "dmapi", "cluster", "os", "wire", "fuse", "volume", "coordination"],
  client: ["base", "os", "dmapi", "wire"],
  migration: ["base", "dmapi", "client"],
  cli: ["base", "os", "dmapi", "client", "migration", "daemon/config", "volume/probe"],
  promises: ["base", "dmapi"],
  simulator: ["base", "dmapi", "cluster", "wire", "coordination", "volume", "migration", "promises", "daemon/event-log/store", "daemon/event-log/log-files"],
  torture: ["base", "os", "dmapi", "client", "migration", "cli"],
  fsops: ["base", "os", "dmapi", "client", "migration", "cli", "torture"],
  chaos: ["base", "os", "dmapi", "client", "migration", "cli", "coordination/shared-volume/layout", "cluster/view-document", "promises", "torture"],
  benchmarks: ["base", "os", "dmapi", "client", "cli", "torture", "chaos", "conformance/sick-disk"],
  fuzz: ["base", "dmapi", "cluster", "wire", "fuse", "volume", "coordination", "daemon", "migration"],
  conformance: ["base", "os", "dmapi", "client", "migration", "cli", "wire", "fuse"],
};
/** These run without Node.js: no clock, no randomness, no timers, no modules of the platform. */
const pureFolders = ["cluster", "dmapi"];
/** Where the outside enters; everything else must be reached from here, from a test, or by being a worker of one that is. */
const entries = ["cli/main.ts", "daemon/main.ts", "client/index.ts", "client/dmapi.ts", "simulator/main.ts", "simulator/mutate.ts", "fuzz/main.ts", "torture/main.ts", "chaos/main.ts", "fsops/main.ts", "benchmarks/event-round-trip.ts", "benchmarks/durable-events.ts", "benchmarks/takeover.ts", "benchmarks/fairness.ts", "benchmarks/known-objects.ts", "benchmarks/asynchronous-events.ts"];

interface Source {
  /** Below src/, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** Own modules it imports or starts as workers, as paths below src/. */
  readonly uses: readonly string[];
  readonly packages: readonly string[];
  readonly isTest: boolean;
}

function read(path: string): Source {
  const text = readFileSync(join(sources, path), "utf8");
  const uses: string[] = [];
  const packages: string[] = [];
  const code = text.replaceAll(/^\s*(\*|\/\/|\/\*).*$/gm, "");
  for (const [, name] of code.matchAll(/(?:\bfrom|\bimport|\bimport\(|\bnew URL\()\s*"([^"]+)"/g)) {
    if (name!.startsWith(".")) uses.push(normalize(join(dirname(path), name!)).replace(/\.js$/, ".ts"));
    else packages.push(name!);
  }
  // Programs of their own, started by the name of their compiled file.
  for (const [, name] of code.matchAll(/"(?:\.\/)?([a-z-]+\.js)"/g)) {
    const use = join(dirname(path), name!.replace(/\.js$/, ".ts"));
    if (existsSync(join(sources, use))) uses.push(use);
  }
  return { path, text, uses: uses.filter((use) => use.endsWith(".ts")), packages, isTest: /\.test(-suite)?\.ts$/.test(path) };
}

const all = readdirSync(sources, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts")).sort().map(read);
const folderOf = (path: string) => path.split("/")[0]!;

test("the import table names every folder", () => {
  const folders = new Set(all.map((source) => source.path).filter((path) => path.includes("/")).map(folderOf));
  assert.deepEqual([...folders].filter((folder) => mayImport[folder] === undefined), []);
});

test("no folder imports one that it may not; no product file imports a test", () => {
  const wrong: string[] = [];
  for (const source of all) {
    if (!source.path.includes("/") || source.isTest) continue;
    const from = folderOf(source.path);
    for (const use of source.uses) {
      const to = folderOf(use);
      const isAllowed = to === from || mayImport[from]?.some((allowed) => allowed === to || `${allowed}.ts` === use || use.startsWith(`${allowed}/`));
      if (!isAllowed) wrong.push(`${source.path} imports ${use}`);
      if (/\.test(-suite)?\.ts$/.test(use) && from !== "conformance") wrong.push(`${source.path} imports the test ${use}`);
      if (!existsSync(join(sources, use))) wrong.push(`${source.path} names ${use}, which does not exist`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("the core has no clock, no randomness, no platform", () => {
  const wrong: string[] = [];
  for (const source of all) {
    if (!pureFolders.includes(folderOf(source.path)) || source.isTest) continue;
    for (const forbidden of [/\bDate\.now\b/, /\bnew Date\b/, /\bMath\.random\b/, /\bsetTimeout\b/, /\bsetInterval\b/, /\bperformance\.now\b/]) {
      if (forbidden.test(source.text.replaceAll(/^\s*(\*|\/\/).*$/gm, ""))) wrong.push(`${source.path} has ${forbidden.source}`);
    }
    for (const name of source.packages) wrong.push(`${source.path} imports ${name}`);
  }
  assert.deepEqual(wrong, []);
});

test("every module begins with a comment that says what it is", () => {
  const wrong = all.filter((source) => !/^(#!.*\n)?(\/\/ SPDX.*\n)?\/\*\*/.test(source.text) && !source.isTest);
  assert.deepEqual(wrong.map((source) => source.path), []);
});

test("nothing is left open in the code", () => {
  const open = new RegExp(["TO", "DO|FIX", "ME|XX", "X"].join(""));
  assert.deepEqual(all.filter((source) => open.test(source.text)).map((source) => source.path), []);
});

test("every file is reached from an entry or a test", () => {
  const byPath = new Map(all.map((source) => [source.path, source]));
  const reached = new Set<string>();
  const visit = (path: string) => {
    const source = byPath.get(path);
    if (source === undefined || reached.has(path)) return;
    reached.add(path);
    for (const use of source.uses) visit(use);
  };
  for (const entry of entries) visit(entry);
  for (const source of all) if (source.path.endsWith(".test.ts")) visit(source.path);
  // Types alone are erased: a contract that only types import still shows as imported above.
  assert.deepEqual(all.map((source) => source.path).filter((path) => !reached.has(path) && !isContract(path)), []);
});

/** Contracts land before those who keep them. */
function isContract(path: string): boolean {
  return /-(contract|document|port)\.ts$/.test(path) || path.startsWith("dmapi/");
}
