/**
 * One reactor after another on the same mount: what the first had done, begun or only held is done once, and its users see
 * nothing but a pause. The first ends between two steps; what a kill leaves in the midst of a call is put into the journal.
 *
 * Not here  daemons as processes (conformance/survives.test.ts).
 * Source    safety H11.
 */
import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventSet } from "../../dmapi/events.js";
import { socketPair } from "../../os/descriptors.js";
import { close, dup } from "../../os/files.js";
import type { LeftMount } from "../holder/holder-link.js";
import type { MountPlace } from "../holder/messages.js";
import { MountMemory } from "../holder/mount-memory.js";
import { whyNoMounts } from "../machine.js";
import { Bench, type BenchMount, type Program } from "./harness.js";
import type { MountHolder } from "./mount.js";

const skip = whyNoMounts() ?? false;

/** A holder in this process: it keeps the device and the memory, and takes descriptors without looking at them. */
class Holding implements MountHolder {
  #place: MountPlace | undefined;
  #fds: number[] = [];
  #keepers: number[] = [];

  take(): LeftMount {
    const [fuseFd, memoryFd] = this.#fds;
    return { place: this.#place!, fuseFd: dup(fuseFd!), memoryFd: dup(memoryFd!), kept: [], goneMs: 0 };
  }
  hold(place: MountPlace, fuseFd: number, memoryFd: number): number {
    this.#place = place;
    this.#fds = [dup(fuseFd), dup(memoryFd)];
    return this.served();
  }
  served(): number {
    const pair = socketPair("messages");
    assert(typeof pair !== "number");
    this.#keepers.push(pair[1]);
    return pair[0];
  }
  remember(): void {}
  forget(): void {}
  holds(): boolean {
    return true;
  }
  end(): void {
    for (const fd of [...this.#fds.splice(0), ...this.#keepers.splice(0)]) close(fd);
  }
  discard(): void {
    assert.fail("nothing is discarded here");
  }
  /** What a kill in the midst of the call would have left. */
  makeBegun(): number {
    const memory = MountMemory.takeOver(this.#fds[1]!);
    assert(!("refusal" in memory));
    const entries = [...memory.journal()];
    for (const { place, note } of entries) memory.beginAgain(place, note, Date.now() - 1000);
    memory.diedAtMs = Date.now();
    memory.close();
    return entries.length;
  }
}

interface Scene {
  readonly call: string;
  readonly script: string;
  /** What stands in the backing before, and as the call leaves it. */
  readonly prepare?: (backing: string) => void;
  readonly isDone: (backing: string) => boolean;
  readonly undo?: (backing: string) => void;
  readonly says?: string;
}
const scenes: readonly Scene[] = [
  { call: "mkdir", script: "mkdir x", isDone: (at) => existsSync(join(at, "x")), undo: (at) => rmSync(join(at, "x"), { recursive: true }) },
  { call: "create, alone", script: "set -C; echo new > x; cat x", says: "new\n", isDone: (at) => existsSync(join(at, "x")), undo: (at) => rmSync(join(at, "x")) },
  { call: "mknod", script: "mkfifo x", isDone: (at) => lstatSync(join(at, "x"), { throwIfNoEntry: false })?.isFIFO() ?? false, undo: (at) => rmSync(join(at, "x")) },
  { call: "symlink", script: "ln -s there x", isDone: (at) => { try { return readlinkSync(join(at, "x")) === "there"; } catch { return false; } }, undo: (at) => rmSync(join(at, "x")) },
  { call: "link", script: "ln old x; cat x", says: "old", prepare: (at) => writeFileSync(join(at, "old"), "old"), isDone: (at) => statSync(join(at, "old")).nlink === 2, undo: (at) => rmSync(join(at, "x")) },
  { call: "unlink", script: "unlink old", prepare: (at) => writeFileSync(join(at, "old"), "old"), isDone: (at) => !existsSync(join(at, "old")) },
  { call: "rmdir", script: "rmdir old", prepare: (at) => mkdirSync(join(at, "old")), isDone: (at) => !existsSync(join(at, "old")) },
  { call: "rename", script: "mv -T old x; cat x", says: "old", prepare: (at) => writeFileSync(join(at, "old"), "old"), isDone: (at) => existsSync(join(at, "x")) && !existsSync(join(at, "old")), undo: (at) => renameSync(join(at, "x"), join(at, "old")) },
  { call: "rename over another", script: "mv -fT old x; cat x", says: "old", prepare: (at) => { writeFileSync(join(at, "old"), "old"); writeFileSync(join(at, "x"), "other"); }, isDone: (at) => readFileSync(join(at, "x"), "latin1") === "old" },
  { call: "truncation", script: "truncate -s 2 old; cat old", says: "ol", prepare: (at) => writeFileSync(join(at, "old"), "old"), isDone: (at) => statSync(join(at, "old")).size === 2 },
  { call: "open with truncation", script: ": > old; cat old", says: "", prepare: (at) => writeFileSync(join(at, "old"), "old"), isDone: (at) => statSync(join(at, "old")).size === 0 },
];
const posts = ["postcreate", "postremove", "postrename", "postsymlink", "postlink", "attribute", "destroy"] as const;

async function inTheMidst(scene: Scene, meanwhile: (holding: Holding, backing: string) => void, check: (mount: BenchMount, backing: string) => void | Promise<void> = () => {}): Promise<void> {
  const bench = new Bench();
  const holding = new Holding();
  try {
    scene.prepare?.(bench.backing);
    const first = await bench.mount({ holder: holding, eventList: eventSet(posts) }, posts);
    first.holdsPostEvents = true;
    const user: Program = bench.shell(`cd ${first.mountpoint} && ${scene.script}`);
    await first.until(`${scene.call} is done and not answered`, () => first.held.length > 0 && scene.isDone(bench.backing));
    await first.mount.leave();
    meanwhile(holding, bench.backing);
    const second = await bench.mount({ holder: holding, left: holding.take(), mountpoint: first.mountpoint, eventList: eventSet(posts) }, posts);
    const { code, output } = await user.ended;
    assert.deepEqual({ code, output }, { code: 0, output: scene.says ?? "" }, scene.call);
    assert(scene.isDone(bench.backing), `${scene.call}: it is as the user wanted it`);
    await check(second, bench.backing);
  } finally {
    await bench.close();
    holding.end();
  }
}

for (const scene of scenes) {
  test(`${scene.call}: done and not answered; it is answered, not done again, and told of`, { skip }, () =>
    inTheMidst(scene, () => {}, async (second) => {
      assert(second.seen.some(({ event }) => (posts as readonly string[]).includes(event.type)), "its post event is told");
      assert.equal((await second.report()).counters["operations answered that an earlier daemon had done"], 1);
    }));
  test(`${scene.call}: the daemon died in the midst of the call, which was done`, { skip }, () =>
    inTheMidst(scene, (holding) => void holding.makeBegun()));
}
for (const scene of scenes.filter(({ undo }) => undo !== undefined)) {
  test(`${scene.call}: the daemon died in the midst of the call, which was not done`, { skip }, () =>
    inTheMidst(scene, (holding, backing) => {
      holding.makeBegun();
      scene.undo!(backing);
    }));
}

test("what somebody else made of the same name meanwhile is not taken for ours", { skip }, async () => {
  const [, create] = scenes;
  await assert.rejects(inTheMidst(create!, (holding, backing) => {
    holding.makeBegun();
    rmSync(join(backing, "x"));
    writeFileSync(join(backing, "x"), "another's");
  }), /cannot overwrite existing file|File exists/);
});

test("held events are raised anew, reads and look-ups are simply done", { skip }, async () => {
  const bench = new Bench();
  const holding = new Holding();
  try {
    writeFileSync(join(bench.backing, "f"), "content");
    symlinkSync("f", join(bench.backing, "l"));
    const first = await bench.mount({ holder: holding });
    first.own("create", "attribute");
    first.eventList("create");
    const makers = ["a", "b", "c"].map((name) => bench.shell(`mkdir ${first.mountpoint}/${name}`));
    const inside = bench.shell(`exec 3< ${first.mountpoint}/f; echo open; read line; cat <&3; ls ${first.mountpoint}`);
    await first.until("one is held, the others wait for the directory", () => first.held.length >= 1);
    await first.mount.leave();
    const second = await bench.mount({ holder: holding, left: holding.take(), mountpoint: first.mountpoint });
    second.own("create", "attribute");
    second.eventList("create");
    second.answer = () => ({ kind: "continue" });
    for (const maker of makers) assert.equal((await maker.ended).code, 0);
    assert.deepEqual(readdirSync(bench.backing).sort(), [".sluice", "a", "b", "c", "f", "l"]);
    inside.child.kill("SIGKILL");
    assert.equal((await bench.shell(`cat ${first.mountpoint}/l`).ended).output, "content");
  } finally {
    await bench.close();
    holding.end();
  }
});

test("objects that rest are as good as others, before and after another daemon has come", { skip }, async () => {
  const bench = new Bench();
  const holding = new Holding();
  try {
    mkdirSync(join(bench.backing, "d"));
    const names = Array.from({ length: 300 }, (_, index) => `file-${index}`);
    for (const name of names) writeFileSync(join(bench.backing, "d", name), name);
    const first = await bench.mount({ holder: holding, awakeInodesMax: 4 });
    const at = join(first.mountpoint, "d");
    // Through descriptors of objects and not by names: the kernel asks with the node ids that it has.
    const user = bench.converse(`
      import { closeSync, fstatSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
      const names = ${JSON.stringify(names)}, at = ${JSON.stringify(at)};
      const open = names.slice(0, 20).map((name) => openSync(at + "/" + name, "r"));
      const look = () => names.reduce((sum, name) => sum + statSync(at + "/" + name).size, 0);
      const read = () => open.every((fd, index) => fstatSync(fd).size === names[index].length) && names.every((name) => readFileSync(at + "/" + name, "latin1") === name);
      process.stdin.on("data", () => process.stdout.write(look() === ${names.join("").length} && read() ? "+" : "-"));
      process.stdout.write("+");`);
    assert.equal(await user.ask(2), "++");
    await first.until("descriptors that nobody uses are closed", async () => ((await first.report()).counters["inodes at rest"] ?? 0) > 200);
    assert.equal(await user.ask(1), "+");
    await first.mount.leave();
    const second = await bench.mount({ holder: holding, left: holding.take(), mountpoint: first.mountpoint, awakeInodesMax: 4 });
    assert(((await second.report()).counters["inodes at rest"] ?? 0) > 200);
    assert.equal(await user.ask(1), "+");
    renameSync(join(at, "file-7"), join(at, "moved"));
    assert.equal(readFileSync(join(at, "moved"), "latin1"), "file-7");
    for (const name of names.slice(100)) rmSync(join(at, name));
    await second.until("what is gone is forgotten", async () => ((await second.report()).counters["inodes known"] ?? 1_000) < 120);
  } finally {
    await bench.close();
    holding.end();
  }
});

test("calls that had not begun when a daemon ended are the next one's: no user hears of them", { skip }, async () => {
  const bench = new Bench();
  const holding = new Holding();
  try {
    const stop = join(bench.directory, "stop");
    let mount = await bench.mount({ holder: holding, isRemote: true });
    // More at once than there are workers.
    const user = bench.run("env", ["UV_THREADPOOL_SIZE=24", process.execPath, "-e", `
      const { promises: files, existsSync } = require("node:fs"), [at, stop] = process.argv.slice(1);
      const work = async (name) => {
        const file = await files.open(name, "w+");
        for (let turn = 0; !existsSync(stop); turn++) {
          await file.write(Buffer.from(String(turn)), 0, undefined, 0);
          await files.stat(name);
          await file.truncate(turn % 9);
        }
        await file.close();
      };
      Promise.all(Array.from({ length: 24 }, (_, index) => work(at + "/" + index)));`, mount.mountpoint, stop]);
    for (let time = 0; time < 3; time++) {
      const before = (await mount.report()).counters["requests"] ?? 0;
      await mount.until("its users work", async () => user.hasEnded || ((await mount.report()).counters["requests"] ?? 0) > before + 300);
      await mount.mount.leave();
      mount = await bench.mount({ holder: holding, isRemote: true, left: holding.take(), mountpoint: mount.mountpoint });
    }
    writeFileSync(stop, "");
    const { code, output } = await user.ended;
    assert.deepEqual({ code, output }, { code: 0, output: "" });
  } finally {
    await bench.close();
    holding.end();
  }
});
