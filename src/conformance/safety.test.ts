/**
 * The interleavings that must not hurt, staged with real processes: who holds a file while daemons die and freeze and the
 * file is migrated under him; a mover frozen before its punch; a writer frozen past its filter; a held write with others
 * behind it.
 *
 * A holder gets the true bytes or an error: never the hole.
 *
 * Source    safety rules C1 to C6.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { regionFlags } from "../dmapi/regions.js";
import { acceptance, type Letter, type Program, shareBench } from "./bench.js";
import { command } from "./migrator.js";
import { eventually, within } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"], isFastFailover: true });
const here = dirname(fileURLToPath(import.meta.url));
const SIZE = 300_000;

const sluice = (...args: string[]) => bench().program(process.execPath, [command, ...args]);
const socketOf = (letter: Letter) => bench().cluster.socket(bench().id(letter));
const pidOf = async (letter: Letter) => (await bench().cluster.document()).nodes.find((node) => node.id === bench().id(letter))!.pid!;
const blocksOf = (name: string) => statSync(bench().backing("fs1", name)).blocks;
const isSession = (info: string, state: string) => (entry: { info: string; state: string }) => entry.info.startsWith(info) && entry.state === state;

async function startMigrator(letter: Letter, stopAt?: string): Promise<Program> {
  for (const { id, node } of (await bench().status(letter)).registry.sessions.filter(isSession("sluice-migrator", "active"))) {
    const host = bench().letterOf(node);
    if (host !== letter) await bench().call(host, "session.destroy", { session: id });
  }
  const args = ["migrator", "run", "--fs", "fs1", "--store", join(bench().directory, "store"), "--socket", socketOf(letter)];
  const migrator = bench().program("/usr/bin/env", [...(stopAt === undefined ? [] : [`SLUICE_MIGRATOR_STOP_AT=${stopAt}`]), process.execPath, command, ...args]);
  await bench().until("the migrator has its session there", [letter], (status) =>
    status.queues.some((queue) => queue.waitingReaders > 0) && status.registry.sessions.some(isSession("sluice-migrator", "active")));
  return migrator;
}
/** One for all tests that leave it and its node alone. */
async function migratorOnA(): Promise<Program> {
  if (lasting === undefined || lasting.isOver) lasting = await startMigrator("A");
  return lasting;
}
let lasting: Program | undefined;
async function endMigrator(migrator: Program): Promise<void> {
  migrator.child.kill("SIGKILL");
  await within(migrator.end, "the migrator ends");
}
const migrate = (letter: Letter, name: string) => sluice("migrate", bench().path(letter, "fs1", name), "--socket", socketOf(letter), "--json");

async function makeFile(name: string): Promise<string> {
  await bench().shell('head -c "$2" /dev/urandom > "$1"', bench().path("A", "fs1", name), String(SIZE));
  return createHash("sha256").update(readFileSync(bench().backing("fs1", name))).digest("hex");
}
async function sumOn(letter: Letter, name: string): Promise<string> {
  return (await bench().run("sha256sum", [bench().path(letter, "fs1", name)])).toString().slice(0, 64);
}

interface Holder {
  /** What it sees now: a sha256, `error CODE`, or how it died. */
  look(): Promise<string>;
  end(): Promise<void>;
}
function hold(how: string, letter: Letter, name: string): Promise<Holder> {
  return how === "exec" ? holdProgram(letter, name) : holdFile(how, letter, name);
}
async function holdFile(how: string, letter: Letter, name: string): Promise<Holder> {
  const program = bench().conversation(process.execPath, [join(here, "holder.js"), how, bench().path(letter, "fs1", name)]);
  assert.equal(await within(program.line(), "the holder holds"), "held");
  return {
    look: async () => (await program.ask("look")) ?? `died ${(await program.end).signal}`,
    end: async () => {
      program.child.kill("SIGKILL");
      await within(program.end, "the holder can be killed");
    },
  };
}
/** A program that runs from the file: `cat`, which must go on echoing. */
async function holdProgram(letter: Letter, name: string): Promise<Holder> {
  const program = bench().conversation(bench().path(letter, "fs1", name), []);
  assert.equal(await within(program.ask("first"), "the program runs"), "first");
  return {
    look: async () => {
      const answer = await program.ask("again");
      return answer === "again" ? "runs" : answer === undefined ? `died ${(await program.end).signal}` : `printed ${answer}`;
    },
    end: async () => {
      program.child.kill("SIGKILL");
      await within(program.end, "the program can be killed");
    },
  };
}
const isError = (seen: string) => /^(error (EIO|ENOTCONN|ECONNABORTED|ESTALE|ENODEV)|died SIG(BUS|KILL|SEGV))/.test(seen);

for (const how of ["read", "mmap", "exec", "close"] as const) {
  for (const fault of ["killed", "frozen"] as const) {
    const title = how === "close" ? "mmap-and-close before migration" : how;
    acceptance(`${title} with the daemon ${fault}: true bytes${fault === "frozen" ? " or an error" : ""}, on every node`, async () => {
      const name = `${how}-${fault}`;
      let sum = await makeFile(name);
      if (how === "exec") {
        await bench().shell('cp /bin/cat "$1"; chmod 755 "$1"', bench().path("A", "fs1", name));
        sum = createHash("sha256").update(readFileSync(bench().backing("fs1", name))).digest("hex");
      }
      await migratorOnA();
      const holder = await hold(how, "C", name);
      const pid = await pidOf("C");
      process.kill(pid, fault === "killed" ? "SIGKILL" : "SIGSTOP");
      try {
        const outcome = await within(migrate("A", name).end, "migrate ends", 40_000);
        const isHole = blocksOf(name) * 512 < SIZE / 2 && how !== "exec";
        if (outcome.code !== 0) assert(!isHole, `a migration that failed punched nothing: ${outcome.errors}${outcome.output}`);
        const looking = holder.look();
        if (fault === "frozen") process.kill(pid, "SIGCONT");
        else await bench().restart("C"); // what it sees may wait for the next daemon
        const seen = await within(looking, "the holder sees something", 40_000);
        const isTrue = how === "exec" ? seen === "runs" : seen === sum;
        assert(isTrue || (fault === "frozen" && isError(seen)), `the holder did not see the true bytes: ${seen}`);
        await holder.end();
        await bench().untilAllAreMembers();
        for (const letter of ["B", "C", "A"] as const) assert.equal(await sumOn(letter, name), sum, `the bytes on ${letter}`);
      } finally {
        if (fault === "frozen") process.kill(pid, "SIGCONT");
      }
    }, 100_000);
  }
}

acceptance("C1 (a) a mover frozen before its punch: a user's write waits visibly and is never punched away", async () => {
  const name = "c1a";
  await makeFile(name);
  await endMigrator(await migratorOnA());
  const frozen = await startMigrator("A", "migrate.punch:freeze");
  const migrating = migrate("C", name);
  await eventually("the mover is frozen", () => isStopped(frozen));
  await bench().kill("A");
  const successor = await assumeMigrator("B");
  const writing = bench().program("/bin/sh", ["-ec", 'printf "the new beginning" | dd of="$1" conv=notrunc status=none', "sh", bench().path("C", "fs1", name)]);
  await bench().until("the write waits and says so", ["C"], (status) => status.waiters.some((waiter) => waiter.command === "dd" || waiter.call.includes("open")), 30_000);
  assert(!writing.isOver, "nothing is written while the frozen mover could still punch");
  frozen.child.kill("SIGCONT");
  const written = await within(writing.end, "the write ends", 40_000);
  assert.equal(written.code, 0, written.errors);
  migrating.child.kill("SIGKILL");
  await endMigrator(frozen);
  for (const letter of ["B", "C"] as const) assert.match((await bench().run("head", ["-c", "17", bench().path(letter, "fs1", name)])).toString(), /^the new beginning$/);
  await endMigrator(successor);
  await bench().restart("A");
}, 120_000);

acceptance("C1 (b) a writer's daemon is frozen past its filter: nothing is punched under its guard", async () => {
  const name = "c1b";
  await makeFile(name);
  const migrator = await startMigrator("A");
  const writer = bench().program("/bin/sh", ["-c", 'exec 3<>"$1"; while :; do printf x >&3 || exit 7; done', "sh", bench().path("C", "fs1", name)]);
  await bench().until("the writer's node is a member", ["C"], (status) => status.state === "member");
  await eventually("the writer has written", () => statSync(bench().backing("fs1", name)).size !== SIZE || readFileSync(bench().backing("fs1", name)).subarray(0, 10).equals(Buffer.from("xxxxxxxxxx")));
  const pid = await pidOf("C");
  process.kill(pid, "SIGSTOP");
  try {
    const outcome = await within(migrate("A", name).end, "migrate ends", 40_000);
    assert.notEqual(outcome.code, 0, "a file whose writer may still write is not migrated");
    assert(blocksOf(name) * 512 >= SIZE, "nothing is punched");
  } finally {
    process.kill(pid, "SIGCONT");
    writer.child.kill("SIGKILL");
    await within(writer.end, "the writer can be killed", 30_000);
    await endMigrator(migrator);
  }
  await bench().untilAllAreMembers();
}, 100_000);

acceptance("C5 a held write with rm and ls behind it: waiters says what it blocks, kill -9 frees all", async () => {
  const name = "c5";
  await bench().shell('mkdir -p "$1"; echo content > "$1/f"', bench().path("A", "fs1", "d5"));
  const session = await bench().session("B", "nobody answers", { fs1: ["write"] });
  await session.regions(bench().handle("A", "fs1", "d5", "f"), [{ offset: 0, size: 0, flags: regionFlags.write }]);
  const file = bench().path("A", "fs1", "d5", "f");
  const writer = bench().program("/bin/sh", ["-c", 'echo changed >> "$1"', name, file]);
  await bench().until("the write is held, and what it blocks is told", ["A"], (status) => status.waiters.some((waiter) => waiter.cause === "event" && waiter.blocks !== ""));
  const remover = bench().program("rm", ["-f", file]);
  const lister = bench().program("ls", [bench().path("A", "fs1", "d5")]);
  const looker = await within(bench().program("stat", [bench().path("A", "fs1")]).end, "stat elsewhere goes on");
  assert.equal(looker.code, 0);
  writer.child.kill("SIGKILL");
  await within(writer.end, "the held writer dies");
  assert.equal((await within(remover.end, "rm goes on")).code, 0);
  await within(lister.end, "ls goes on");
  await bench().until("nobody waits", ["A"], (status) => status.waiters.length === 0);
  await session.serve().stop();
  await session.end();
});

function isStopped(program: Program): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${program.child.pid}/status`, "latin1"));
}
async function assumeMigrator(letter: Letter): Promise<Program> {
  await bench().until("the mover's session has failed", [letter], (status) => status.registry.sessions.some(isSession("sluice-migrator", "failed")));
  return startMigrator(letter);
}
