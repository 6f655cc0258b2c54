/**
 * The migration application on a real cluster: real daemons, mounts, files and a migrator in a process of its own, which
 * is killed before each of its steps.
 *
 * Source    requirements R3, R15; safety C3.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, afterEach } from "node:test";
import { fileURLToPath } from "node:url";
import { acceptance, type Bench, isLong, type Letter, shareBench } from "../conformance/bench.js";
import { BOUND_MS, eventually, within } from "../conformance/waiting.js";
import { Migrator } from "./migrator.js";
import { migrateStepNames } from "./move/migrate-steps.js";
import { recallStepNames } from "./move/recall-steps.js";
import type { ItemResult, MoveVerb, StateResult } from "./request-format.js";
import { MigratorClient, resolveTargets, type Target } from "./requests.js";

const main = join(dirname(fileURLToPath(import.meta.url)), "..", "cli", "main.js");
const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });
const migrators = new Set<ChildProcess>();
/** One that serves, for every test that needs one and does it no harm. */
let lasting: Running | undefined;
const endAllBut = async (kept: ChildProcess | undefined) => {
  for (const migrator of migrators) {
    if (migrator === kept) continue;
    const ended = new Promise((resolve) => migrator.once("exit", resolve));
    migrator.kill("SIGKILL");
    await ended;
  }
};
afterEach(() => endAllBut(lasting?.child));
after(() => endAllBut(undefined));

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<NodeJS.Signals | number | null>;
  said: () => string;
}
/** A migrator whose session is on B, serving. */
async function startMigrator(stopAt?: string): Promise<Running> {
  const b: Bench = bench();
  const args = [main, "migrator", "run", "--fs", "fs1", "--store", join(b.directory, "store"), "--socket", b.cluster.socket(b.id("B")), "--json"];
  const child = spawn(process.execPath, args, {
    cwd: "/", stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...(stopAt === undefined ? {} : { SLUICE_MIGRATOR_STOP_AT: `${stopAt}:kill` }) },
  });
  migrators.add(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = new Promise<NodeJS.Signals | number | null>((resolve) => child.once("exit", (code, signal) => {
    migrators.delete(child);
    resolve(signal ?? code);
  }));
  await eventually("the migrator serves", () => {
    assert.equal(child.exitCode, null, said);
    return said.includes('"serving"');
  }, BOUND_MS, () => said);
  return { child, ended, said: () => said };
}
async function serving(): Promise<Running> {
  if (lasting === undefined || !migrators.has(lasting.child)) lasting = await startMigrator();
  return lasting;
}
/** The one that serves ends in order; one follows that is killed before that step. */
async function doomedAt(step: string): Promise<Running> {
  await stopServing();
  return startMigrator(step);
}
async function stopServing(): Promise<void> {
  const running = lasting;
  lasting = undefined;
  if (running === undefined || !migrators.has(running.child)) return;
  running.child.kill("SIGTERM");
  assert.equal(await within(running.ended, "the migrator stops in order"), 0, running.said());
}

type GoodTarget = Extract<Target, { handle: unknown }>;
async function target(path: string, letter: Letter = "A"): Promise<GoodTarget> {
  for await (const found of resolveTargets(await bench().connection(letter), [path])) {
    assert.ok("handle" in found, JSON.stringify(found));
    return found;
  }
  return assert.fail("no target");
}
async function move(verb: MoveVerb, path: string, letter: Letter = "A"): Promise<ItemResult> {
  const connection = await bench().connection(letter);
  const client = await MigratorClient.find(connection, "fs1");
  for await (const event of client.move(verb, [await target(path, letter)])) if (event.kind === "result") return event.result;
  return assert.fail("no result");
}
async function stateOf(path: string, letter: Letter = "A"): Promise<StateResult & { ok: true }> {
  const client = await MigratorClient.find(await bench().connection(letter), "fs1");
  for await (const { result } of client.states([await target(path, letter)])) {
    assert.ok(result.ok, JSON.stringify(result));
    return result;
  }
  return assert.fail("no state");
}
function moved(result: ItemResult): ItemResult & { ok: true } {
  assert.ok(result.ok, JSON.stringify(result));
  return result;
}
/** As an ordinary program reads it, on that node. */
async function reads(letter: Letter, name: string): Promise<Buffer> {
  return bench().run("cat", [bench().path(letter, "fs1", name)]);
}
let names = 0;
function freshFile(size = 700_000): { name: string; path: string; content: Buffer } {
  const name = `file${++names}`;
  const path = bench().path("A", "fs1", name);
  const content = randomBytes(size);
  writeFileSync(path, content);
  return { name, path, content };
}
const storedObjects = () => readdirSync(join(bench().directory, "store", "objects"), { recursive: true, encoding: "utf8" }).filter((path) => /\/[0-9a-f]{32}$/.test(path));
const ledger = () => readdirSync(join(bench().directory, "store", "ledger")).filter((name) => name.endsWith(".json"));

acceptance("migrate, read from another node, states, sizes and times", async () => {
  await serving();
  const { name, path, content } = freshFile();
  const before = statSync(path, { bigint: true });
  assert.equal(moved(await move("migrate", path)).state, "migrated");
  const stub = statSync(path, { bigint: true });
  assert.deepEqual([stub.size, stub.mtimeNs], [before.size, before.mtimeNs]);
  assert.ok(stub.blocks < before.blocks / 4n, `${stub.blocks} of ${before.blocks} blocks`);
  assert.equal((await stateOf(bench().path("B", "fs1", name), "B")).state, "migrated");
  assert.deepEqual(await reads("B", name), content);
  const back = statSync(path, { bigint: true });
  assert.deepEqual([back.size, back.mtimeNs], [before.size, before.mtimeNs]);
  assert.equal((await stateOf(path)).state, "resident");
});

acceptance("two nodes read one stub at once: both get the bytes, one recall", async () => {
  await serving();
  const { name, path, content } = freshFile(3_000_000);
  moved(await move("migrate", path));
  const recalls = async () => (await (await MigratorClient.find(await bench().connection("A"), "fs1")).status()).recalled;
  const before = await recalls();
  const read = await Promise.all([reads("A", name), reads("B", name), reads("A", name)]);
  for (const bytes of read) assert.ok(bytes.equals(content));
  assert.equal((await recalls()) - before, 1);
});

acceptance("premigrated files are released; changed ones become dirty and are refused", async () => {
  await serving();
  const { name, path, content } = freshFile();
  assert.equal(moved(await move("premigrate", path)).state, "premigrated");
  assert.equal((await stateOf(path)).state, "premigrated");
  assert.equal(moved(await move("release", path)).state, "migrated");
  assert.deepEqual(await reads("A", name), content);
  moved(await move("premigrate", path));
  const changed = randomBytes(content.length);
  writeFileSync(bench().path("B", "fs1", name), changed);
  const state = await stateOf(path);
  assert.deepEqual([state.state, state.flags], ["resident", ["dirty"]]);
  const refused = await move("release", path);
  assert.ok(!refused.ok && refused.code === "EBUSY", JSON.stringify(refused));
  assert.deepEqual(await reads("A", name), changed);
});

acceptance("stubs are renamed, emptied and deleted; objects nobody needs go to the ledger", async () => {
  await serving();
  const renamed = freshFile();
  moved(await move("migrate", renamed.path));
  renameSync(renamed.path, `${renamed.path}.new`);
  assert.deepEqual(await reads("B", `${renamed.name}.new`), renamed.content);
  const emptied = freshFile();
  moved(await move("migrate", emptied.path));
  truncateSync(emptied.path, 0);
  assert.equal(statSync(emptied.path).size, 0);
  assert.equal((await reads("B", emptied.name)).length, 0);
  const deleted = freshFile();
  moved(await move("migrate", deleted.path));
  const before = ledger().length;
  rmSync(deleted.path);
  await eventually("the object of a deleted file is in the ledger", () => ledger().length > before);
  const appended = freshFile();
  moved(await move("migrate", appended.path));
  writeFileSync(bench().path("B", "fs1", appended.name), "tail", { flag: "a" });
  assert.deepEqual(await reads("A", appended.name), Buffer.concat([appended.content, Buffer.from("tail")]));
});

/** Opens the file on that node and reads all of it when told to, or ends. */
async function opener(letter: Letter, name: string) {
  const program = bench().conversation("/bin/sh", ["-c", 'exec 3<"$1"; echo open; while read -r order; do sha256sum <&3; done', "sh", bench().path(letter, "fs1", name)]);
  assert.equal(await program.line(), "open");
  return program;
}
const isStored = (object: string) => storedObjects().some((path) => path.endsWith(object));
const sumOf = (content: Buffer) => `${createHash("sha256").update(content).digest("hex")}  -`;

for (const remover of ["A", "B"] as const) {
  acceptance(`a stub that loses its last name on ${remover === "A" ? "this" : "another"} node while it is open: whoever has it open gets its bytes`, async () => {
    const running = await serving();
    const { name, path, content } = freshFile();
    moved(await move("migrate", path));
    const { object } = await stateOf(path);
    const reader = await opener("A", name);
    await bench().run("rm", [bench().path(remover, "fs1", name)]);
    assert.equal(await reader.ask("read"), sumOf(content), running.said());
    assert.ok(ledger().some((entry) => entry.startsWith(object!)), "a recalled file needs its object no more");
    reader.child.stdin?.end();
    assert.equal((await reader.end).code, 0);
    });
}

acceptance("an object that is damaged or gone: the reader gets EIO, never zeros, and later the bytes", async () => {
  const running = await serving();
  const { name, path, content } = freshFile();
  moved(await move("migrate", path));
  const { object } = await stateOf(path);
  const file = join(bench().directory, "store", "objects", object!.slice(0, 2), object!);
  const bytes = readFileSync(file);
  const damaged = Buffer.from(bytes);
  damaged[650_000]! ^= 1;
  writeFileSync(file, damaged);
  const failed = await within(bench().program("cat", [bench().path("B", "fs1", name)]).end, "cat ends");
  assert.equal(failed.code, 1);
  assert.match(failed.errors, /Input\/output error/);
  assert.match(running.said(), /recall-failed/);
  writeFileSync(file, bytes);
  assert.deepEqual(await reads("B", name), content);
});

/** The critical ones; the others in long runs. Every step, with the request given up too: conformance/migration.test.ts. */
const isCritical = (step: string) => isLong || ["copy-out", "change-record", "punch", "settle", "copy-in", "note-discard"].includes(step);

for (const step of migrateStepNames.filter(isCritical)) {
  acceptance(`the migrator is killed before ${step} of a migration: the file is right, a restart finishes`, async () => {
    const { name, path, content } = freshFile();
    const doomed = await doomedAt(`migrate.${step}`);
    const asked = move("migrate", path);
    asked.catch(() => {});
    assert.equal(await within(doomed.ended, "the migrator dies"), "SIGKILL", doomed.said());
    const next = await serving();
    const result = await within(asked, "the request is finished by the next migrator");
    assert.equal(moved(result).state, "migrated", next.said());
    assert.deepEqual(await reads("B", name), content);
    await eventually("no intent is left", () => readdirSync(join(bench().directory, "store", "intents")).length === 0);
    });
}

for (const step of recallStepNames.filter(isCritical)) {
  acceptance(`the migrator is killed before ${step} of a recall: the reader waits and gets the bytes`, async () => {
    const { name, path, content } = freshFile();
    await serving();
    moved(await move("migrate", path));
    const before = statSync(path, { bigint: true }).mtimeNs;
    const doomed = await doomedAt(`recall.${step}`);
    const reader = bench().program("cat", [bench().path("A", "fs1", name)]);
    assert.equal(await within(doomed.ended, "the migrator dies"), "SIGKILL", doomed.said());
    const next = await serving();
    const end = await within(reader.end, "the reader gets its bytes");
    assert.equal(end.code, 0, `${end.errors}${next.said()}`);
    assert.ok(end.output.equals(content));
    assert.equal(statSync(path, { bigint: true }).mtimeNs, before);
    });
}

acceptance("nothing was lost on the way: every object is some file's, or in the ledger", async () => {
  const unnamed = new Set(ledger().map((entry) => entry.slice(0, 32)));
  await serving();
  const named = new Set<string>();
  for (const name of readdirSync(bench().path("A", "fs1"))) {
    const { object } = await stateOf(bench().path("A", "fs1", name));
    if (object !== undefined) named.add(object);
  }
  const lost = storedObjects().map((path) => path.slice(-32)).filter((object) => !unnamed.has(object) && !named.has(object));
  assert.deepEqual(lost, []);
});

// The last: a migrator in this process claims its node as long as the process lives.
acceptance("the object of a stub without a name is kept as long as somebody has it open, on any node, and no longer", async () => {
  await stopServing();
  const said: string[] = [];
  const migrator = new Migrator({
    fs: "fs1", store: join(bench().directory, "store"), socket: bench().cluster.socket(bench().id("B")), keepDiscardedMs: 1,
    log: (kind, fields) => said.push(JSON.stringify({ kind, ...fields })),
  });
  let failure: unknown;
  const run = migrator.run(() => said.push("ready")).catch((error: unknown) => {
    failure = error;
  });
  await eventually("the migrator serves", () => {
    assert.equal(failure, undefined);
    return said.includes("ready");
  });
  const sweeps = () => said.filter((line) => line.includes('"swept"')).length;
  const emptySweeps = async () => {
    for (let more = 0; more < 2; more++) {
      const [before, other] = [sweeps(), freshFile(5_000)];
      moved(await move("migrate", other.path));
      rmSync(other.path);
      await eventually("a sweep", () => sweeps() > before, BOUND_MS, () => said.join("\n"));
    }
  };
  const { name, path, content } = freshFile();
  moved(await move("migrate", path));
  const { object } = await stateOf(path);
  const [reader, idler] = [await opener("A", name), await opener("A", name)];
  await bench().run("rm", [bench().path("B", "fs1", name)]);
  await eventually("the node that removed it says so", () => said.some((line) => line.includes('"discard"') && line.includes(object!)));
  await emptySweeps();
  assert.ok(isStored(object!), "kept for those who have it open");
  assert.equal(await reader.ask("read"), sumOf(content), said.join("\n"));
  for (const user of [reader, idler]) user.child.stdin?.end();

  const closed = freshFile();
  moved(await move("migrate", closed.path));
  const unread = (await stateOf(closed.path)).object!;
  const closer = await opener("A", closed.name);
  await bench().run("rm", [bench().path("B", "fs1", closed.name)]);
  await emptySweeps();
  assert.ok(isStored(unread), "kept for the one who has it open");
  closer.child.stdin?.end();
  await closer.end;
  await eventually("nobody needs it any more", () => !isStored(unread), BOUND_MS, () => said.join("\n"));
  migrator.stop();
  await within(run, "the migrator stops");
  assert.equal(failure, undefined);
});
