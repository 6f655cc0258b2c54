/**
 * R11, R15, R17, R18 under faults: the migration application as one instance on every node, `--parallel` being all that is
 * said; and notices of a group while one of its members' nodes stands still.
 *
 * Source    requirements R11, R15, R17, R18; safety M11.
 */
import assert from "node:assert/strict";
import { readdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { afterEach } from "node:test";
import { acceptance, type Letter, type Program, shareBench } from "./bench.js";
import type { DmSession } from "./dm-session.js";
import { command, sluice, startMigrator, stopMigrator } from "./migrator.js";
import { eventually, within } from "./waiting.js";

const MEBIBYTE = 1_048_576;
const VOLUME_MEBIBYTES = 48;
const bench = shareBench({ nodes: 3, fileSystems: ["fs1"], volumeMebibytes: VOLUME_MEBIBYTES });
const everybody: readonly Letter[] = ["A", "B", "C"];

const instances = new Map<Letter, Instance>();
afterEach(async () => {
  for (const { program } of instances.values()) {
    program.child.kill("SIGKILL");
    await program.end;
  }
  instances.clear();
});

/** One instance of the migration application, and all that it has said. */
class Instance {
  readonly letter: Letter;
  program!: Program;
  said = "";
  private constructor(letter: Letter) {
    this.letter = letter;
  }
  static async start(letter: Letter, more: readonly string[] = []): Promise<Instance> {
    const instance = new Instance(letter);
    instance.program = await startMigrator(bench(), letter, {}, ["--parallel", ...more], (text) => (instance.said += text));
    return instance;
  }
  /** Nodes whose users' files it brought back. */
  get recalledFor(): Letter[] {
    return [...this.said.matchAll(/ recall: event \w+, from (\S+), .*outcome done/g)].map((found) => bench().letterOf(found[1] as ReturnType<ReturnType<typeof bench>["id"]>));
  }
}

acceptance("the migration application on every node: each recalls for its own users; two nodes that want one file do one recall", async () => {
  const sums = await makeFiles("local", 9);
  for (const letter of everybody) instances.set(letter, await Instance.start(letter));
  const { sessions, dispositions } = (await bench().status("C")).registry;
  assert.deepEqual(sessions.map(({ node, group }) => [node, group]).sort(), everybody.map((letter) => [bench().id(letter), "migrator-fs1"]).sort());
  assert(dispositions.every(({ group }) => group === "migrator-fs1"), "the group owns what the application takes");
  // Each instance moves files into the one store; the same files at a time too.
  const moves = await Promise.all(everybody.map(async (letter) => {
    const socket = bench().cluster.socket(bench().id(letter));
    return within(bench().program(process.execPath, [command, "migrate", "-r", "--json", bench().path(letter, "fs1", "local"), "--socket", socket]).end, "the migrations");
  }));
  const changed = moves.flatMap(({ output }) => output.toString().trimEnd().split("\n").map((line) => JSON.parse(line) as { path: string; ok: boolean; bytes: number }));
  // One that frees the space of what another has just copied says so too, with no bytes.
  assert(changed.every(({ ok }) => ok) && changed.filter(({ bytes }) => bytes > 0).length === 9, `each file was copied once: ${JSON.stringify(changed)}`);
  const { objects, discarded } = inStore();
  assert.equal(objects.filter((object) => !discarded.includes(object)).length, 9, "and has one object; copies of those who were slower are in the ledger");
  assert.equal(await recalls(), 0);
  for (const [at, letter] of everybody.entries()) {
    await bench().run("cat", [bench().path(letter, "fs1", "local", `f${at + 1}`)]);
    await eventually(`${letter} says so`, () => instances.get(letter)!.recalledFor.length === 1);
    assert.deepEqual(everybody.flatMap((one) => instances.get(one)!.recalledFor), everybody.slice(0, at + 1), "the instance on the user's node did it");
  }
  const readers = everybody.map((letter) => bench().program("sha256sum", [bench().path(letter, "fs1", "local", "f4")]));
  const read = await Promise.all(readers.map(async (reader) => (await within(reader.end, "a reader")).output.toString().slice(0, 64)));
  assert.equal(new Set(read).size, 1);
  assert.equal(await recalls(), 4, "three wanted one file at once: one recall");
  await eventually("each other is told of what one handled", () => instances.get("B")!.said.includes(`notice: event read, from ${bench().id("A")}`));
  await check("local", sums);
  for (const instance of instances.values()) await stopMigrator(instance.program);
}, 120_000);

acceptance("an instance is killed: another handles its share; it is back: its own users are its own again", async () => {
  const sums = await makeFiles("dead", 6);
  for (const letter of everybody) instances.set(letter, await Instance.start(letter));
  await sluice(bench(), "A", "migrate", "-r", bench().path("A", "fs1", "dead"));
  const dead = instances.get("C")!;
  dead.program.child.kill("SIGKILL");
  await within(dead.program.end, "the killed instance");
  assert.equal((await bench().run("sha256sum", [bench().path("C", "fs1", "dead", "f1")])).toString().slice(0, 64), sums.get("f1"));
  await bench().run("cat", [bench().path("C", "fs1", "dead", "f2")]);
  const forC = () => [...instances.values()].flatMap((instance) => instance.recalledFor.filter((letter) => letter === "C").map(() => instance.letter));
  await eventually("somebody else brought them back", () => forC().length === 2);
  assert(!forC().includes("C"));
  assert.match((await sluice(bench(), "C", "migrator", "status", "--fs", "fs1")).toString(), /fs1 on node/, "requests from its node reach another, too");
  instances.set("C", await Instance.start("C"));
  await bench().run("cat", [bench().path("C", "fs1", "dead", "f3")]);
  await eventually("it handles its own users again", () => instances.get("C")!.recalledFor.length === 1);
  const frozen = instances.get("C")!;
  frozen.program.child.kill("SIGSTOP");
  try {
    await bench().run("cat", [bench().path("B", "fs1", "dead", "f4")]);
    await eventually("B did not wait for it", () => instances.get("B")!.recalledFor.includes("B"));
    assert.equal((await bench().run("sha256sum", [bench().path("C", "fs1", "dead", "f5")])).toString().slice(0, 64), sums.get("f5"), "nor do its own users, for long");
  } finally {
    frozen.program.child.kill("SIGCONT");
  }
  await check("dead", sums);
  for (const instance of instances.values()) await stopMigrator(instance.program);
}, 120_000);

acceptance("marks on every instance: one of them frees the space, once; with that one gone another does", async (note) => {
  const marks = ["--high", "60", "--low", "30"];
  const fill = async (name: string) => {
    const count = Math.ceil((((75 - usedPercent()) / 100) * VOLUME_MEBIBYTES) / 2);
    return makeFiles(name, count, 2 * MEBIBYTE);
  };
  const sums = await fill("marks");
  for (const letter of everybody) instances.set(letter, await Instance.start(letter, marks));
  await eventually("the volume is below the low mark", () => usedPercent() <= 31, 60_000, () => `${usedPercent()} % used`);
  await eventually("it is said", () => [...instances.values()].some(({ said }) => / freed: /.test(said)));
  const freers = [...instances.values()].filter(({ said }) => / freeing: /.test(said));
  assert.equal(freers.length, 1, "one instance acted");
  assert.equal(freers[0]!.said.match(/ freeing: /g)?.length, 1, "once");
  await stopMigrator(freers[0]!.program);
  await fill("marks-again");
  await eventually("another goes on", () => usedPercent() <= 31, 60_000, () => `${usedPercent()} % used`);
  instances.delete(freers[0]!.letter);
  const next = [...instances.values()].filter(({ said }) => / freeing: /.test(said));
  note(`marks: ${freers[0]!.letter} freed first, ${next.map(({ letter }) => letter).join(" and ")} after it had ended`);
  assert.equal(next.length, 1);
  for (const instance of instances.values()) await stopMigrator(instance.program);
  const serving = await Instance.start("A");
  const three = [...sums.keys()].slice(0, 3);
  for (const name of three) assert.equal((await bench().run("sha256sum", [bench().path("B", "fs1", "marks", name)])).toString().slice(0, 64), sums.get(name));
  await stopMigrator(serving.program);
}, 180_000);

acceptance("T18 a member's node stands still: nobody else's user is delayed; woken, it has each notice once, in order (safety M11)", async (note) => {
  const sessions = new Map<Letter, DmSession>();
  for (const letter of everybody) sessions.set(letter, await bench().session(letter, `instance on ${letter}`, { fs1: ["create"] }, "told"));
  await sessions.get("A")!.enable("fs1", ["create"]);
  const servers = new Map([...sessions].map(([letter, session]) => [letter, session.serve()]));
  const { incarnation } = await bench().status("C");
  bench().cluster.pause(bench().id("C"));
  try {
    for (let round = 0; round < 4; round++) {
      for (const letter of ["A", "B"] as const) await bench().run("mkdir", [bench().path(letter, "fs1", `told-${letter}-${round}`)]);
    }
  } finally {
    bench().cluster.resume(bench().id("C"));
  }
  const names = (letter: Letter, source: Letter, isNotice: boolean) => servers.get(letter)!.seen
    .filter((message) => (message.notice !== undefined) === isNotice && message.source === bench().id(source))
    .map(({ event }) => (event.type === "create" ? event.name1 : event.type));
  const made = (letter: Letter) => Array.from({ length: 4 }, (_, round) => `told-${letter}-${round}`);
  for (const [source, other] of [["A", "B"], ["B", "A"]] as const) {
    assert.deepEqual(names(source, source, false), made(source), "each handled its own users' while C stood still");
    await eventually(`${other} is told`, () => names(other, source, true).length >= 4);
    assert.deepEqual(names(other, source, true), made(source));
  }
  // On a machine so loaded that C was given up meanwhile it is another incarnation, of which less is promised.
  const isSame = await bench().status("C").then((status) => status.incarnation === incarnation && status.state === "member");
  if (isSame) {
    for (const source of ["A", "B"] as const) {
      await eventually(`C is told of ${source}'s`, () => names("C", source, true).length >= 4);
      assert.deepEqual(names("C", source, true), made(source), "each once, in order");
    }
  }
  note(`T18: C, frozen for eight events, ${isSame ? "was told of each when it woke" : "was given up meanwhile"}`);
  await bench().untilAllAreMembers();
  for (const [letter, server] of servers) await (letter === "C" && !isSame ? server.stop().catch(() => {}) : server.stop());
  if (!isSame) await bench().call("C", "session.assume", { session: sessions.get("C")!.id, info: "instance on C" });
  await sessions.get("A")!.enable("fs1", []);
  for (const session of sessions.values()) await session.end();
}, 120_000);

/** Files f1 ... of random bytes, with their checksums. */
async function makeFiles(name: string, count: number, bytes = 100_000): Promise<Map<string, string>> {
  const script = 'mkdir "$1"; cd "$1"; for i in $(seq "$2"); do head -c "$3" /dev/urandom > "f$i"; done; sha256sum f*';
  const lines = (await bench().shell(script, bench().path("A", "fs1", name), String(count), String(bytes))).toString().trimEnd().split("\n");
  return new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
}
async function check(name: string, sums: ReadonlyMap<string, string>): Promise<void> {
  for (const letter of everybody) {
    const found = (await bench().shell('cd "$1"; sha256sum f*', bench().path(letter, "fs1", name))).toString().trimEnd().split("\n");
    assert.deepEqual(new Map(found.map((line) => [line.slice(66), line.slice(0, 64)])), sums, `on ${letter}`);
  }
}
async function recalls(): Promise<number> {
  let sum = 0;
  for (const letter of everybody) {
    const status = JSON.parse((await sluice(bench(), letter, "migrator", "status", "--fs", "fs1", "--json")).toString()) as { recalled: number; node: string };
    assert.equal(status.node, bench().id(letter), "requests go to the instance on their node");
    sum += status.recalled;
  }
  return sum;
}
function inStore(): { objects: string[]; discarded: string[] } {
  const store = join(bench().directory, "store");
  const objects = readdirSync(join(store, "objects"), { recursive: true, encoding: "utf8" }).filter((name) => /\/[0-9a-f]{32}$/.test(name)).map((name) => name.slice(-32));
  return { objects, discarded: readdirSync(join(store, "ledger")).map((name) => name.slice(0, 32)) };
}
function usedPercent(): number {
  const { blocks, bfree } = statfsSync(bench().backing("fs1"));
  return (100 * (blocks - bfree)) / blocks;
}
