/**
 * The core of T1 to T19 with the session manager on each node in turn: on the session node, on the source node, on a third.
 * The long sizes play all three; otherwise one, which SLUICE_MANAGER_SEAT names and which is the session node by default,
 * since there most roles fall together (A is the third node in all other files).
 *
 * Roles     B session node, C source node, A neither.
 * Not here  the requirements in full, in the files named after what they concern.
 * Source    requirements 1.2, cross-cutting: "repeat T1-T19 with the manager on each node in turn".
 */
import assert from "node:assert/strict";
import type { EventMessage, EventType } from "../dmapi/events.js";
import type { FsName, SessionId } from "../dmapi/ids.js";
import { acceptance, isLong, type Letter, shareBench } from "./bench.js";
import { assumeAndFinish, blockReaders } from "./blocked-readers.js";
import type { DmSession } from "./dm-session.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { eventually, refused, within } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"] });
const everybody: readonly Letter[] = ["A", "B", "C"];
const names = { B: "session node", C: "source node", A: "third node" } as const;
type Seat = keyof typeof names;
const seats: readonly Seat[] = ["B", "C", "A"];
const chosen = seats.find((seat) => seat === process.env["SLUICE_MANAGER_SEAT"]) ?? "B";

for (const seat of isLong ? seats : [chosen]) {
  const on = `manager on the ${names[seat]}:`;
  acceptance(`${on} T1, T2, T5, T9, T13, T14, T16 sessions are made, known everywhere, changed and destroyed through it`, () => sessionCalls(seat));
  acceptance(`${on} T6, T7, T8, T12, T19 events go straight to the one owner, users follow the answer`, () => events(seat));
  acceptance(`${on} T11, T17, T18 a group handles locally and tells the others`, () => group(seat));
  acceptance(`${on} T15 a stub is recalled`, () => migration(seat));
  acceptance(`${on} T3, T10 the session node is killed and comes back`, () => sessionNodeDies(seat));
  acceptance(`${on} T4 the manager is killed while users wait`, () => managerDies(seat));
}

async function sit(seat: Seat): Promise<void> {
  await bench().startAll();
  const { manager } = await bench().cluster.document();
  if (manager !== null && manager !== bench().id(seat)) await bench().cluster.call(manager, "manager.move", { to: bench().id(seat) });
  await bench().until(`${seat} is the manager`, everybody, ({ view }) => view?.manager === bench().id(seat) && view.isInForce && view.members.length === 3);
}

async function sessionCalls(seat: Seat): Promise<void> {
  await sit(seat);
  const mark = await bench().mark(seat);
  const session = await bench().session("B", "seats");
  const log = await bench().since(seat, mark);
  for (const letter of everybody.filter((one) => one !== seat)) {
    assert.equal(log.filter((entry) => entry.kind === "registry-changed" && entry.to === bench().id(letter)).length, 1, `${letter} was told once`);
  }
  assert.equal(log.filter((entry) => entry.kind === "manager-call").length, seat === "B" ? 0 : 1, "one request, if it had to travel");
  assert(log.some((entry) => entry.kind === "dm_create_session"), "the manager ran the function");
  const others = await Promise.all(everybody.map((letter) => bench().session(letter, `seats on ${letter}`)));
  assert.equal(new Set([session, ...others].map(({ id }) => id)).size, 4, "the ids are distinct");
  await bench().call("B", "session.modify", { session: session.id, info: "seats modified" });
  const tables = await Promise.all(everybody.map(async (letter) => (await bench().status(letter)).registry));
  for (const table of tables) assert.deepEqual(table, tables[0]);
  assert.equal(tables[0]!.sessions.find(({ id }) => id === session.id)?.info, "seats modified");
  for (const one of [session, ...others]) await one.end();
  for (const letter of everybody) await refused("EINVAL", bench().call(letter, "session.query", { session: session.id }));
}

async function events(seat: Seat): Promise<void> {
  await sit(seat);
  const session = await bench().session("B", "seats events");
  await bench().call("A", "disposition.set", { session: session.id, fs: "fs1" as FsName, events: ["create", "remove"] });
  const second = await bench().session("C", "seats second", { fs1: ["remove"] });
  await session.enable("fs1", ["create", "remove"]);
  const open = bench().path("C", "fs1", `seats-${seat}`);
  const marks = new Map(await Promise.all(everybody.map(async (letter) => [letter, await bench().mark(letter)] as const)));
  await during(session.serve(), () => bench().shell('mkdir "$1"; chmod 777 "$1"; mkdir "$1/inner"', open));
  for (const [letter, mark] of marks) {
    const hops = (await bench().since(letter, mark)).filter(({ kind }) => kind.startsWith("event-"));
    for (const hop of hops) assert.deepEqual([bench().letterOf(hop.from), bench().letterOf(hop.to)].sort(), ["B", "C"], "between source and session node only");
  }
  const user = bench().program("rmdir", [`${open}/inner`], { uid: 65_534, gid: 65_534 });
  const message = await second.answerNext("remove", { kind: "abort", code: "EDQUOT" });
  assert.deepEqual([message.source, message.process?.uid], [bench().id("C"), 65_534]);
  assert.match((await within(user.end, "the forbidden user")).errors, /quota/i);
  assert.deepEqual(await session.queued(), [], "the former owner of remove was told nothing");
  const tables = await Promise.all(everybody.map((letter) => bench().call(letter, "disposition.list", {})));
  for (const table of tables) assert.deepEqual(table, tables[0]);
  await session.enable("fs1", []);
  await session.end();
  await second.end();
}

async function group(seat: Seat): Promise<void> {
  await sit(seat);
  const takes: readonly EventType[] = ["create"];
  const sessions = new Map<Letter, DmSession>();
  for (const letter of everybody) sessions.set(letter, await bench().session(letter, `seats instance on ${letter}`, { fs1: takes }, "seats"));
  await sessions.get("A")!.enable("fs1", takes);
  const servers = new Map([...sessions].map(([letter, session]) => [letter, session.serve()]));
  for (const letter of everybody) await bench().run("mkdir", [bench().path(letter, "fs1", `seats-group-${seat}-${letter}`)]);
  const seen = (letter: Letter, isNotice: boolean): EventMessage[] => servers.get(letter)!.seen.filter((message) => (message.notice !== undefined) === isNotice);
  for (const letter of everybody) {
    assert.deepEqual(seen(letter, false).map(({ source }) => source), [bench().id(letter)], "each handled its own");
    await eventually(`${letter} is told of the two others'`, () => seen(letter, true).length === 2);
    assert.deepEqual(seen(letter, true).map(({ source }) => source).sort(), everybody.filter((one) => one !== letter).map((one) => bench().id(one)).sort());
  }
  for (const server of servers.values()) await server.stop();
  await sessions.get("A")!.enable("fs1", []);
  for (const session of sessions.values()) await session.end();
}

async function migration(seat: Seat): Promise<void> {
  await sit(seat);
  const path = bench().path("C", "fs1", `seats-stub-${seat}`);
  await bench().shell('head -c 300000 /dev/urandom > "$1"', path);
  const sum = (await bench().run("sha256sum", [path])).toString();
  const migrator = await startMigrator(bench(), "B");
  await sluice(bench(), "C", "migrate", path);
  const [blocks, size] = (await bench().shell('stat -c "%b %s" "$1"', path)).toString().split(" ").map(Number);
  assert(size === 300_000 && blocks! < 64, `${blocks} blocks of ${size} bytes are left`);
  assert.equal((await bench().run("sha256sum", [path])).toString(), sum);
  await stopMigrator(migrator);
  const [own] = (await bench().call("B", "session.list", {})).filter(({ info }) => info.startsWith("sluice-migrator"));
  await bench().call("B", "session.destroy", { session: own!.id });
}

async function sessionNodeDies(seat: Seat): Promise<void> {
  await sit(seat);
  const scene = await blockReaders(bench(), "B", ["C", "A"], `seats-t3-${seat}`);
  await bench().kill("B");
  await bench().until("the session has failed", ["A", "C"], failed(scene.session.id));
  await bench().restart("B");
  await assumeAndFinish(bench(), scene, "B");
}

async function managerDies(seat: Seat): Promise<void> {
  await sit(seat);
  const host = seat === "B" ? "C" : "B";
  const reader = everybody.find((letter) => letter !== seat && letter !== host)!;
  const scene = await blockReaders(bench(), host, [reader], `seats-t4-${seat}`);
  const { view, registry } = await bench().status(host);
  await bench().kill(seat);
  await bench().until("another is manager, with the same table", [host, reader], (status) =>
    status.view?.isInForce === true && status.view.manager !== bench().id(seat) && status.view.number > view!.number &&
    JSON.stringify(status.registry.sessions) === JSON.stringify(registry.sessions));
  assert.equal(scene.readers[0]!.isOver, false);
  for (const event of scene.events) await scene.session.respond(event);
  const serving = scene.session.serve();
  assert.equal((await within(scene.readers[0]!.end, "the reader")).output.toString(), "true bytes\n");
  await serving.stop();
  await scene.session.regions(bench().handle(host, "fs1", scene.name), []);
  await scene.session.end();
  await bench().restart(seat);
}

function failed(id: SessionId): (status: { registry: { sessions: readonly { id: SessionId; state: string }[] } }) => boolean {
  return ({ registry }) => registry.sessions.find((one) => one.id === id)?.state === "failed";
}
async function during(server: { stop(): Promise<void> }, work: () => Promise<unknown>): Promise<void> {
  await work();
  await server.stop();
}
