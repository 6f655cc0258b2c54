/**
 * Durable asynchronous events on real mounts: what a user's operation has done is told to the application, whichever nodes
 * die, in the order of each source, and again only when it was not acknowledged.
 *
 * Source    safety M11; docs/architecture.md, "Durable events".
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EventMessage } from "../dmapi/events.js";
import { acceptance, isLong, type Letter, shareBench } from "./bench.js";
import { DmSession } from "./dm-session.js";
import { eventually, refused, within } from "./waiting.js";

const bench = shareBench({ nodes: 4, fileSystems: ["fs1"] });
const FILES = isLong ? 1_000 : 250;

async function durableSession(letter: Letter): Promise<DmSession> {
  const { session } = await bench().call(letter, "session.create", { info: "durable", isDurable: true });
  const dm = new DmSession(bench(), letter, session);
  await dm.takes("fs1", ["postcreate"]);
  await dm.enable("fs1", ["postcreate"]);
  return dm;
}
/** A user who makes files NAME-1, NAME-2 ... one after the other. */
function making(letter: Letter, name: string, count: number) {
  return bench().program("/bin/sh", ["-ec", 'i=1; while [ $i -le "$2" ]; do : > "$1-$i"; i=$((i + 1)); done', "sh", bench().path(letter, "fs1", name), String(count)]);
}
function names(messages: readonly EventMessage[]): string[] {
  return messages.map(({ event }) => (event.type === "postcreate" ? (event.name1 ?? "") : event.type));
}
/** The names as seen for the first time. */
function once(messages: readonly EventMessage[], prefix: string): string[] {
  return [...new Set(names(messages).filter((name) => name.startsWith(prefix)))];
}
function made(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${name}-${at + 1}`);
}
async function assume(dm: DmSession, letter: Letter, on: readonly Letter[]): Promise<void> {
  await bench().until("the session has failed", on, (status) => status.registry.sessions.find(({ id }) => id === dm.id)?.state === "failed");
  await bench().call(letter, "session.assume", { session: dm.id, info: "durable, assumed" });
  dm.letter = letter;
}
async function acknowledge(dm: DmSession, messages: readonly EventMessage[]): Promise<void> {
  await bench().call(dm.letter, "event.acknowledge", { session: dm.id, ids: messages.map(({ id }) => id!) });
}
/** Takes events until all these have been seen. */
async function takeAll(dm: DmSession, into: EventMessage[], wanted: () => boolean): Promise<void> {
  await eventually("every event is seen", async () => {
    into.push(...(await dm.queued()));
    return wanted();
  }, 60_000, () => `seen: ${into.length}`);
}

acceptance("M11 files made on two nodes, the session node killed in the midst: every event is seen, in order of each source, and none acknowledged comes again", async (note) => {
  await bench().nameFirstManager();
  const dm = await durableSession("B");
  const users = [making("C", "c", FILES), making("D", "d", FILES)];
  const before: EventMessage[] = [];
  const acknowledged = new Set<string>();
  while (before.length < FILES / 3) {
    const messages = await dm.queued();
    before.push(...messages);
    const done = messages.slice(0, Math.ceil(messages.length / 2));
    if (done.length > 0) await acknowledge(dm, done);
    for (const { id } of done) acknowledged.add(id!);
  }
  await bench().kill("B");
  // They go on without the session.
  for (const user of users) assert.equal((await within(user.end, "the users", 60_000)).code, 0);
  await assume(dm, "A", ["A", "C", "D"]);
  const after: EventMessage[] = [];
  const all = () => [...before, ...after];
  await takeAll(dm, after, () => once(all(), "c-").length + once(all(), "d-").length >= 2 * FILES);
  for (const name of ["c", "d"]) assert.deepEqual(once(all(), `${name}-`), made(name, FILES), `all of ${name}, in order`);
  assert.deepEqual(after.filter(({ id }) => acknowledged.has(id!)), [], "what was acknowledged does not come again");
  const idOf = new Map<string, string>();
  for (const message of all()) {
    const [name] = names([message]) as [string];
    assert.equal(message.id, idOf.get(name) ?? message.id, `${name} has one id`);
    idOf.set(name, message.id!);
  }
  note(`${before.length} events before the kill, ${acknowledged.size} acknowledged, ${after.length} after it`);
  await refused("EBUSY", bench().call("A", "session.destroy", { session: dm.id }));
  await acknowledge(dm, after);
  await bench().restart("B");
  await dm.enable("fs1", []);
  await dm.end();
}, 180_000);

acceptance("M11 a source killed right after its users' operations, while the session has no node either: its events come from its log", async () => {
  await bench().nameFirstManager();
  const dm = await durableSession("B");
  assert.equal((await within(making("D", "warm", 3).end, "the first files")).code, 0);
  await takeAll(dm, [], () => true);
  await bench().kill("B");
  await bench().until("the session has failed", ["A", "C", "D"], (status) => status.registry.sessions.find(({ id }) => id === dm.id)?.state === "failed");
  assert.equal((await within(making("C", "last", 20).end, "the user on C")).code, 0);
  await bench().kill("C");
  await assume(dm, "D", ["A", "D"]);
  const seen: EventMessage[] = [];
  await takeAll(dm, seen, () => once(seen, "last-").length >= 20);
  assert.deepEqual(once(seen, "last-"), made("last", 20));
  assert(seen.filter(({ source }) => source === bench().id("C")).every((message) => message.id !== undefined));
  await acknowledge(dm, seen);
  await bench().restart("B");
  await bench().restart("C");
  await dm.enable("fs1", []);
  await dm.end();
}, 120_000);

acceptance("M11 the log's volume is full: operations wait, visibly and killable, and nothing is lost when there is room again", async () => {
  await bench().nameFirstManager();
  const logs = join(bench().directory, "coordination", "events");
  mkdirSync(logs, { recursive: true });
  await bench().run("mount", ["-t", "tmpfs", "-o", "size=128k,mode=0700", "none", logs]);
  try {
    const dm = await durableSession("B");
    assert.equal((await within(making("C", "room", 2).end, "while there is room")).code, 0);
    const ballast = join(logs, "ballast");
    fill(ballast);
    const users = ["one", "two"].map((name) => making(name === "one" ? "C" : "D", name, 60)); // more than fit in a page that is begun
    for (const letter of ["C", "D"] as const) {
      await bench().until("a user waits for the log", [letter], (status) => status.waiters.some(({ cause, detail, call }) => cause === "event-log" && /ENOSPC/.test(detail) && call === "create"));
    }
    users[0]!.child.kill("SIGKILL");
    assert.equal((await within(users[0]!.end, "the killed user")).signal, "SIGKILL");
    rmSync(ballast);
    assert.equal((await within(users[1]!.end, "the other user")).code, 0);
    const seen: EventMessage[] = [];
    const listed = (await bench().run("ls", [bench().path("A", "fs1")])).toString().split("\n");
    const ofKilled = listed.filter((name) => name.startsWith("one-")).length;
    assert(ofKilled < 60);
    await takeAll(dm, seen, () => once(seen, "one-").length >= ofKilled && once(seen, "two-").length >= 60);
    assert.deepEqual(once(seen, "two-"), made("two", 60));
    assert.deepEqual(once(seen, "one-"), made("one", ofKilled), "every file of the killed user is there with its event");
    await acknowledge(dm, seen);
    await dm.enable("fs1", []);
    await dm.end();
    await eventually("its files are gone", () => spawnSync("find", [logs, "-type", "f"], { encoding: "utf8" }).stdout === "");
  } finally {
    spawnSync("umount", ["-l", logs], { stdio: "ignore" });
  }
}, 120_000);

/** Takes all the room there is. */
function fill(path: string): void {
  for (let bytes = 128 * 1024; bytes > 0; bytes = Math.floor(bytes / 2)) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(bytes), { flag: "a" });
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
  }
}
