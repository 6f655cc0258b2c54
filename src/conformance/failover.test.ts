/**
 * T3, T4 (a), T10, T11, T13 and T14 with a killed manager: what the loss of a node costs. Five nodes; C is preferred as
 * the next session manager.
 *
 * Source    requirements R3, R4, R10, R11; safety C9, C10, H5.
 */
import assert from "node:assert/strict";
import type { EventMessage, EventType } from "../dmapi/events.js";
import type { SessionId } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import type { SessionEntry } from "../dmapi/status.js";
import { acceptance, type Letter, type Program, shareBench } from "./bench.js";
import { DmSession } from "./dm-session.js";
import { within } from "./waiting.js";

const bench = shareBench({ nodes: 5, fileSystems: ["fs1"], isFastFailover: true, preferences: { node3: 5 } });
const everybody: readonly Letter[] = ["A", "B", "C", "D", "E"];
const without = (...gone: Letter[]) => everybody.filter((letter) => !gone.includes(letter));

acceptance("T3 (a) the session node dies and comes back: same session, same events under the same tokens", async () => {
  await lettersAreStandard();
  const scene = await readersOnStub("B", ["C", "D"], "t3a");
  await bench().kill("B");
  await bench().until("the session has failed", without("B"), (status) => stateOf(status.registry.sessions, scene.session.id) === "failed");
  assert.deepEqual(scene.readers.map((reader) => reader.isOver), [false, false], "the readers stay blocked");
  await bench().restart("B");
  await bench().call("B", "test.spoil", { what: "hosted-sessions" });
  await assumeAndFinish(scene, "B");
});

acceptance("T3 (b) the session is assumed on another node", async () => {
  await lettersAreStandard();
  const scene = await readersOnStub("B", ["C", "D"], "t3b");
  await bench().kill("B");
  await bench().until("the session has failed", without("B"), (status) => stateOf(status.registry.sessions, scene.session.id) === "failed");
  await assumeAndFinish(scene, "C");
  await bench().restart("B");
});

acceptance("T4 (a) the manager dies: the preferred third node collects the registry and goes on", async () => {
  await lettersAreStandard();
  const session = await bench().session("B", "T4 a", { fs1: ["read"] });
  const before = (await bench().status("A")).registry;
  const epoch = (await bench().status("A")).view?.number ?? 0;
  await bench().call("C", "test.spoil", { what: "registry" });
  const marks = await bench().mark("C");
  await bench().kill("A");
  await bench().until("C is the manager", without("A"), (status) => status.view?.manager === bench().id("C") && status.view.isInForce && status.view.number > epoch);
  await bench().until("the table is the old one", without("A"), (status) =>
    JSON.stringify(status.registry.sessions) === JSON.stringify(before.sessions) && sorted(status.registry.dispositions) === sorted(before.dispositions));
  const log = await bench().since("C", marks);
  for (const letter of ["B", "D", "E"] as const) {
    assert(log.some((entry) => entry.kind === "registry-collect" && entry.from === bench().id("C") && entry.to === bench().id(letter)), `C asked ${letter}`);
    assert(log.some((entry) => entry.kind === "registry-collected" && entry.from === bench().id(letter)), `${letter} answered`);
  }
  await bench().shell('echo "after takeover" > "$1"', bench().path("B", "fs1", "t4a"));
  const handle = bench().handle("B", "fs1", "t4a");
  await session.regions(handle, [{ offset: 0, size: 0, flags: regionFlags.read }]);
  const serving = session.serve();
  for (const letter of without("A")) assert.equal((await bench().run("cat", [bench().path(letter, "fs1", "t4a")])).toString(), "after takeover\n");
  await serving.stop();
  assert.equal(new Set(serving.seen.map((message) => message.source)).size, 4, "each node's read came to the session");
  await session.regions(handle, []);
  await session.end();
  await bench().restart("A");
});

acceptance("T10 a session on the manager's node is like any other, and outlives the manager", async () => {
  await lettersAreStandard();
  const scene = await readersOnStub("A", ["B", "D"], "t10");
  await bench().kill("A");
  await bench().until("the role moved and the session has failed", without("A"), (status) =>
    status.view !== null && status.view.manager !== bench().id("A") && stateOf(status.registry.sessions, scene.session.id) === "failed");
  await assumeAndFinish(scene, "C");
  await bench().restart("A");
});

acceptance("T11 one application on three nodes: only the dead node's share waits until a survivor assumes it", async () => {
  await lettersAreStandard();
  const shares: readonly (readonly [Letter, EventType])[] = [["B", "create"], ["C", "remove"], ["D", "rename"]];
  const sessions = new Map<EventType, DmSession>();
  for (const [letter, event] of shares) sessions.set(event, await bench().session(letter, `T11 ${event}`, { fs1: [event] }));
  await sessions.get("create")!.enable("fs1", ["create", "remove", "rename"]);
  const servers = [sessions.get("create")!.serve(), sessions.get("remove")!.serve(), sessions.get("rename")!.serve()];
  await bench().shell('mkdir "$1"; mv "$1" "$1.new"; rmdir "$1.new"; : > "$1.left"', bench().path("E", "fs1", "t11"));
  assert.deepEqual(servers.map((server) => [...new Set(server.seen.map((message) => message.event.type))]), [["create"], ["remove"], ["rename"]]);
  await servers[1]!.stop();
  await bench().kill("C");
  const removing = bench().program("rm", [bench().path("E", "fs1", "t11.left")]);
  const failed = sessions.get("remove")!;
  await bench().until("the removed share has failed", without("C"), (status) => stateOf(status.registry.sessions, failed.id) === "failed");
  await bench().shell('mkdir "$1"; mv "$1" "$1.new"', bench().path("A", "fs1", "t11b"));
  await bench().call("D", "session.assume", { session: failed.id, info: "T11 remove" });
  failed.letter = "D";
  const again = failed.serve();
  assert.equal((await within(removing.end, "the remove that waited")).code, 0);
  await again.stop();
  await servers[0]!.stop();
  await servers[2]!.stop();
  await sessions.get("create")!.enable("fs1", []);
  for (const session of sessions.values()) await session.end();
  await bench().restart("C");
});

acceptance("T13, T14 what the manager answered survives it", async () => {
  await lettersAreStandard();
  const kept = await bench().session("B", "T13 before");
  const gone = await bench().session("B", "T14");
  await bench().call("B", "session.modify", { session: kept.id, info: "T13 after" });
  await gone.end();
  await bench().kill("A");
  await bench().until("another manager", without("A"), (status) => status.view?.isInForce === true && status.view.manager !== bench().id("A"));
  for (const letter of without("A")) {
    const { registry } = await bench().status(letter);
    assert.equal(registry.sessions.find((one) => one.id === kept.id)?.info, "T13 after");
    assert.equal(stateOf(registry.sessions, gone.id), undefined);
  }
  const later = await bench().session("D", "later");
  assert(![kept.id, gone.id].includes(later.id));
  await later.end();
  await kept.end();
  await bench().restart("A");
});

interface Scene {
  readonly session: DmSession;
  readonly info: string;
  readonly readers: readonly Program[];
  readonly events: readonly EventMessage[];
  readonly name: string;
}

/** A file with a read region; a reader on each of these nodes, blocked, its event delivered. */
async function readersOnStub(host: Letter, letters: readonly Letter[], name: string): Promise<Scene> {
  const info = `session of ${name}`;
  const session = await bench().session(host, info, { fs1: ["read"] });
  await bench().shell('echo "true bytes" > "$1"', bench().path("E", "fs1", name));
  await session.regions(bench().handle(host, "fs1", name), [{ offset: 0, size: 0, flags: regionFlags.read }]);
  const readers = letters.map((letter) => bench().program("cat", [bench().path(letter, "fs1", name)]));
  const events = [await session.next(), await session.next()];
  assert.deepEqual(events.map((event) => event.source).sort(), letters.map((letter) => bench().id(letter)).sort());
  return { session, info, readers, events, name };
}

async function assumeAndFinish(scene: Scene, target: Letter): Promise<void> {
  const manager = (await bench().status(target)).view!.manager;
  const log = await bench().mark(target);
  const assumed = await bench().call(target, "session.assume", { session: scene.session.id, info: scene.info });
  assert.equal(assumed.session, scene.session.id, "the id stays");
  const entry = await bench().call(target, "session.query", { session: scene.session.id });
  assert.deepEqual([entry.info, entry.node, entry.state], [scene.info, bench().id(target), "active"]);
  assert.deepEqual((await bench().call(target, "disposition.list", { session: scene.session.id })).map((one) => one.event), ["read"]);
  if (manager !== bench().id(target)) {
    const told = (await bench().since(target, log)).some((one) => one.from === manager && /^registry-(changed|installed)$/.test(one.kind));
    assert(told, "the record came from the manager");
  }
  const session = new DmSession(bench(), target, scene.session.id);
  const again = [await session.next(), await session.next()];
  assert.deepEqual(again.map((event) => event.token).sort(), scene.events.map((event) => event.token).sort(), "the same tokens");
  for (const event of again) await session.respond(event);
  const serving = session.serve();
  for (const reader of scene.readers) assert.equal((await within(reader.end, "a reader")).output.toString(), "true bytes\n");
  await serving.stop();
  await session.regions(bench().handle(target, "fs1", scene.name), []);
  await session.end();
}

/** A = node1 is the manager again, all nodes are up. */
async function lettersAreStandard(): Promise<void> {
  await bench().cluster.start();
  await bench().nameFirstManager();
}
function stateOf(sessions: readonly SessionEntry[], id: SessionId): string | undefined {
  return sessions.find((one) => one.id === id)?.state;
}
function sorted(list: readonly unknown[]): string {
  return JSON.stringify(list.map((one) => JSON.stringify(one)).sort());
}
