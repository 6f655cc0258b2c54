/**
 * What the kernel reads and writes by itself goes on when its daemon is dead, and when the next daemon has taken its mount
 * over: and nobody moves the file meanwhile, although nobody is left who could be asked.
 *
 * Source    safety C2, V1, V2; decision 0009.
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
const migrate = (name: string) => within(sluice("migrate", bench().path("A", "fs1", name), "--socket", socketOf("A"), "--json").end, "migrate ends", 60_000);
const isPunched = (name: string) => statSync(bench().backing("fs1", name)).blocks * 512 < SIZE / 2;
const passing = async (letter: Letter) => (await bench().status(letter)).counters["files passed through to the kernel"];
const sumOf = (content: Uint8Array) => createHash("sha256").update(content).digest("hex");
const sumInBacking = (name: string) => sumOf(readFileSync(bench().backing("fs1", name)));
async function sumOn(letter: Letter, name: string): Promise<string> {
  return (await bench().run("sha256sum", [bench().path(letter, "fs1", name)])).toString().slice(0, 64);
}

let migrator: Program | undefined;
async function migratorOnA(): Promise<void> {
  if (migrator !== undefined && !migrator.isOver) return;
  migrator = sluice("migrator", "run", "--fs", "fs1", "--store", join(bench().directory, "store"), "--socket", socketOf("A"));
  await bench().until("the migrator serves", ["A"], (status) => status.registry.sessions.some(({ info, state }) => info.startsWith("sluice-migrator") && state === "active"));
}
async function refused(name: string, when: string): Promise<void> {
  const { code, output, errors } = await migrate(name);
  assert.notEqual(code, 0, `${when}: nobody moves what may be read or written unseen`);
  assert.match(`${output}${errors}`, /EBUSY|guarded/, when);
  assert(!isPunched(name), `${when}: nothing is punched`);
}

for (const how of ["read", "mmap", "close", "write", "store"] as const) {
  acceptance(`${how}: the daemon is killed, the next one takes its mount over; true bytes, and no move until the user has gone`, async () => {
    const name = `held-${how}`;
    await bench().shell('head -c "$2" /dev/urandom > "$1"', bench().path("C", "fs1", name), String(SIZE));
    await migratorOnA();
    const program = bench().conversation(process.execPath, [join(here, "holder.js"), how, bench().path("C", "fs1", name)]);
    assert.equal(await within(program.line(), "the holder holds"), "held");
    assert((await passing("C"))! > 0, "the file passes through");
    const look = async (when: string) => {
      const seen = await within(program.ask("look"), when, 20_000);
      assert.equal(seen, sumInBacking(name), `${when}: what the user sees and writes is the file`);
    };
    await look("at first");
    await refused(name, "while it is held");
    await bench().kill("C");
    await refused(name, "with its daemon dead");
    await look("with its daemon dead");
    await bench().restart("C");
    await bench().untilAllAreMembers();
    await refused(name, "under the next daemon");
    await look("under the next daemon");
    const last = sumInBacking(name);
    for (const letter of ["A", "B", "C"] as const) assert.equal(await sumOn(letter, name), last, `on ${letter}`);
    program.child.kill("SIGKILL");
    await within(program.end, "the holder can be killed");
    await eventually("the file can be moved", async () => (await migrate(name)).code === 0, 60_000);
    assert(isPunched(name), "its blocks are free");
    for (const letter of ["C", "B", "A"] as const) assert.equal(await sumOn(letter, name), last, `after the recall, on ${letter}`);
  }, 150_000);
}

acceptance("a region on a file that passes through is refused after a while, and set when the user has gone; then the file is opened directly", async () => {
  await bench().shell('printf 0123456789 > "$1"', bench().path("B", "fs1", "region"));
  const session = await bench().session("A", "regions", { fs1: ["write"] });
  const handle = bench().handle("B", "fs1", "region");
  const user = bench().conversation(process.execPath, [join(here, "holder.js"), "read", bench().path("B", "fs1", "region")]);
  assert.equal(await within(user.line(), "the user has it open"), "held");
  const attribute = { session: session.id, handle, name: "00112233445566ff" };
  await bench().call("A", "attribute.set", { ...attribute, value: Uint8Array.of(7) });
  assert.deepEqual([...(await bench().call("A", "attribute.get", attribute)).value], [7], "what reads and writes do not go by is changed all the same");
  await assert.rejects(session.regions(handle, [{ offset: 0, size: 0, flags: regionFlags.write }]), /EBUSY/);
  user.child.kill("SIGKILL");
  await within(user.end, "the user can be killed");
  await eventually("the region is set", () => session.regions(handle, [{ offset: 0, size: 0, flags: regionFlags.write }]).then(() => true, () => false));
  const writer = bench().program("/bin/sh", ["-c", 'printf X 1<>"$1"', "sh", bench().path("B", "fs1", "region")]);
  await bench().until("the write is held", ["B"], (status) => status.waiters.some((waiter) => waiter.cause === "event"));
  await session.serve().stop();
  writer.child.kill("SIGKILL");
  await within(writer.end, "the writer can be killed");
  await session.end();
}, 60_000);
