/**
 * An upgrade of the whole cluster while it is used: each node in turn ends in order and starts again, in its old release or
 * a new one, while programs on the others read, write and recall, sessions are made and changed, and a migrator runs.
 *
 * Promised    no wrong byte and no error on the other nodes, no call lost, every session assumable, each mount told of.
 * Source      safety M5; decision 0007 (versions on the wire).
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EventMessage } from "../dmapi/events.js";
import type { SessionId } from "../dmapi/ids.js";
import { acceptance, isLong, type Letter, type Program, shareBench } from "./bench.js";
import { DmSession } from "./dm-session.js";
import { command, startMigrator, stopMigrator } from "./migrator.js";
import { eventually, within } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"] });
const everybody: readonly Letter[] = ["A", "B", "C"];
const without = (gone: Letter) => everybody.filter((letter) => letter !== gone);
const FILES = isLong ? 40 : 6;

/** Reads all shared files against their checksums, and writes and reads files of its own; a round each, until told to end. */
const user = `cd "$2"; round=0; until [ -e "$1" ]; do round=$((round + 1))
sha256sum --quiet -c "$3" || exit 1
printf 'round %s of %s\\n' $round "$4" > "own/$4-$((round % 3))" || exit 2
[ "$(cat "own/$4-$((round % 3))")" = "round $round of $4" ] || exit 3
echo $round; sleep 0.05; done`;

acceptance("rolling restart under load: on the others no wrong byte, no error, no call lost; every session can be taken up again", async (note) => {
  const sums = await makeShared();
  let migrator = await startMigrator(bench(), "B");
  const loads = new Map<Letter, Load>();
  for (const letter of everybody) loads.set(letter, new Load(letter, sums));
  const calls = new Calls();
  let moved = 0;
  for (const gone of ["C", "B", "A"] as const) {
    const [watcher] = without(gone);
    const left = await bench().session(gone, `left on ${gone}`, {});
    const watching = await bench().session(watcher!, `watches ${gone}`, { fs1: ["preunmount", "unmount"], global: ["mount"] });
    await watching.enable("fs1", ["preunmount", "unmount"]);
    const served = watching.serve();
    calls.go(without(gone));
    await loads.get(gone)!.end();
    if (gone === "B") await stopMigrator(migrator);
    await bench().stop(gone);
    await bench().until(`${left.id} waits to be assumed`, without(gone), (status) => status.registry.sessions.find((one) => one.id === left.id)?.state === "failed");
    const rounds = new Map(without(gone).map((letter) => [letter, loads.get(letter)!.rounds]));
    if (gone !== "B") {
      // Where everything is resident again the rounds go on; where the migrator's node is away readers of stubs wait for it.
      moved += await migrateAll(watcher!);
      for (const [letter, before] of rounds) await eventually(`the user on ${letter} goes on`, () => loads.get(letter)!.rounds > before + 1);
    }
    await bench().cluster.start([bench().id(gone)]);
    if (gone === "B") migrator = await startMigrator(bench(), "B");
    await calls.stop();
    const assumed = await bench().call(gone, "session.assume", { session: left.id, info: `left on ${gone}` });
    assert.equal(assumed.session, left.id);
    await new DmSession(bench(), gone, left.id).end();
    await eventually("the mount is told of", () => served.seen.length >= 3);
    await served.stop();
    checkMountTold(served.seen, gone);
    await watching.enable("fs1", []);
    await bench().call(watcher!, "disposition.set", { session: watching.id, fs: "global", events: [] });
    await watching.end();
    moved += await migrateAll(gone);
    loads.set(gone, new Load(gone, sums));
    for (const [letter, load] of loads) {
      const before = load.rounds;
      await eventually(`the user on ${letter} goes on`, () => load.rounds > before);
    }
  }
  const rounds = [];
  for (const load of loads.values()) rounds.push(await load.end());
  await bench().shell('cd "$1"; sha256sum --quiet -c "$2"', bench().path("A", "fs1"), sums);
  note(`rolling: ${calls.count} session calls answered, ${moved} files migrated meanwhile, last rounds ${rounds.join(", ")}`);
  assert(moved >= FILES, "there was something to recall");
  await stopMigrator(migrator);
}, 180_000);

acceptance("releases that differ: nodes are upgraded one by one, what is new is used when all have it, one too far off is refused by both", async () => {
  await bench().startAll();
  await bench().nameFirstManager();
  const versionOf = (expected: number) => bench().until(`version ${expected} is used`, everybody, (status) => status.view?.isInForce === true && status.view.members.length === 3 && status.view.wireVersion === expected);
  await versionOf(1);
  await bench().restartWith("B", { SLUICE_NODE_VERSIONS: "1-2" });
  await versionOf(1);
  await bench().restartWith("C", { SLUICE_NODE_VERSIONS: "1-2" });
  await versionOf(1); // A is one version lower than the two others
  await worksEverywhere("mixed");
  await bench().restartWith("A", { SLUICE_NODE_VERSIONS: "1-2" });
  await versionOf(2);
  await bench().until("each link says it", everybody, (status) => status.links.every((link) => link.version === 2));
  await worksEverywhere("upgraded");
  await bench().restartWith("A", { SLUICE_NODE_VERSIONS: "1" });
  await versionOf(1); // back in its old release, as long as the others still speak it
  await worksEverywhere("mixed-again");

  const lines = new Map(everybody.map((letter) => [letter, bench().cluster.log(bench().id(letter)).length]));
  await bench().stop("C");
  await bench().cluster.launch([bench().id("C")], { SLUICE_NODE_VERSIONS: "3-4" });
  for (const letter of everybody) {
    const [refuser, other] = letter === "C" ? [bench().id("C"), bench().id("A")] : [bench().id(letter), bench().id("C")];
    const newLines = () => bench().cluster.log(bench().id(letter)).slice(lines.get(letter)!);
    const refusal = new RegExp(`refused: .*none in common\\. Upgrade node\\d to a release that speaks version 3, or bring ${bench().id("C")} back to one that speaks [12]`);
    await eventually(`${refuser} says why it and ${other} cannot speak`, () => newLines().split("\n").some((line) => refusal.test(line) && line.includes("3-4")), undefined, newLines);
  }
  await eventually("its status says why", async () => {
    const { state, links } = await bench().status("C");
    return state === "joining" && links.some((link) => link.trouble?.includes("none in common"));
  });
  await bench().until("the others go on without it", ["A", "B"], (status) => status.view?.isInForce === true && status.view.members.length === 2);
  await bench().stop("C");
  await bench().startAll();
  await versionOf(1);
  await worksEverywhere("at-last");
}, 120_000);

/** A tree that is migrated and recalled all the time; the place of its checksums. */
async function makeShared(): Promise<string> {
  const sums = join(bench().directory, "sums");
  const script = 'cd "$1"; mkdir shared own; for i in $(seq "$3"); do head -c $((40000 + i * 4097)) /dev/urandom > "shared/f$i"; done; sha256sum shared/* > "$2"';
  await bench().shell(script, bench().path("A", "fs1"), sums, String(FILES));
  return sums;
}
/** How many files it freed; one that is being read may be refused, and comes the next time. */
async function migrateAll(letter: Letter): Promise<number> {
  const socket = bench().cluster.socket(bench().id(letter));
  const program = bench().program(process.execPath, [command, "migrate", "-r", "--json", bench().path(letter, "fs1", "shared"), "--socket", socket]);
  const end = await within(program.end, "the migrations");
  const results = end.output.toString().trimEnd().split("\n").filter((line) => line !== "").map((line): unknown => JSON.parse(line));
  assert.equal(results.length, FILES, `each file has a result: ${end.errors}`);
  return results.filter((result) => (result as { ok: boolean; changed?: boolean }).changed === true).length;
}

/** The user on one node, in a process of its own. */
class Load {
  readonly #letter: Letter;
  readonly #program: Program;
  readonly #stop: string;
  static #count = 0;
  #output = "";
  constructor(letter: Letter, sums: string) {
    this.#letter = letter;
    this.#stop = join(bench().directory, `stop-load-${Load.#count++}`);
    this.#program = bench().program("/bin/sh", ["-c", user, "sh", this.#stop, bench().path(letter, "fs1"), sums, letter]);
    this.#program.child.stdout?.on("data", (chunk: Buffer) => {
      this.#output += chunk.toString();
    });
  }
  get rounds(): number {
    return this.#output.split("\n").length - 1;
  }
  /** It must not have seen an error. Gives its rounds. */
  async end(): Promise<number> {
    writeFileSync(this.#stop, "");
    const end = await within(this.#program.end, `the user on ${this.#letter}`, 30_000);
    assert.equal(end.code, 0, `the user on ${this.#letter} after ${this.rounds} rounds: exit ${end.code ?? end.signal}: ${end.errors}`);
    return this.rounds;
  }
}

/** Sessions made, changed and destroyed on the nodes that stay: each call has its answer, and it is success. */
class Calls {
  count = 0;
  readonly #ids = new Set<SessionId>();
  #isOver = true;
  #work: Promise<unknown> = Promise.resolve();

  go(letters: readonly Letter[]): void {
    this.#isOver = false;
    this.#work = Promise.all(letters.map((letter) => this.#onNode(letter)));
    this.#work.catch(() => {}); // stop() tells it
  }
  async stop(): Promise<void> {
    this.#isOver = true;
    await within(this.#work, "every session call is answered", 30_000);
  }
  async #onNode(letter: Letter): Promise<void> {
    while (!this.#isOver) {
      const { session } = await bench().call(letter, "session.create", { info: `rolling on ${letter}` });
      assert(!this.#ids.has(session), `id ${session} was given before`);
      this.#ids.add(session);
      await bench().call(letter, "session.modify", { session, info: `changed on ${letter}` });
      assert.equal((await bench().call(letter, "session.query", { session })).info, `changed on ${letter}`);
      await bench().call(letter, "session.destroy", { session });
      this.count += 4;
    }
  }
}

function checkMountTold(seen: readonly EventMessage[], gone: Letter): void {
  const ofGone = seen.filter((message) => message.source === bench().id(gone)).map((message) => message.event.type);
  assert.deepEqual(ofGone, ["preunmount", "unmount", "mount"], `${gone} went and came in order`);
  assert.equal(seen.length, 3, "and nobody else did");
}

/** A session on each node in turn gets and answers an event of each node. */
async function worksEverywhere(name: string): Promise<void> {
  for (const host of everybody) {
    const session = await bench().session(host, name, { fs1: ["create"] });
    await session.enable("fs1", ["create"]);
    const served = session.serve();
    for (const letter of everybody) await bench().shell('mkdir "$1"', bench().path(letter, "fs1", `${name}-${host}-${letter}`));
    await served.stop();
    assert.deepEqual(served.seen.map((message) => message.source), everybody.map((letter) => bench().id(letter)));
    await session.enable("fs1", []);
    await session.end();
  }
}
