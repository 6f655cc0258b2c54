/**
 * T3, T10, T11, T17, T18, T19: applications on several nodes, in one of them or all, and the loss of a node with its
 * session; ordinary users who follow their answers.
 *
 * Source    requirements R3, R10, R11, R17, R18, R19; safety C9, C10.
 */
import assert from "node:assert/strict";
import type { EventMessage, EventType } from "../dmapi/events.js";
import type { SessionId } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import type { SessionEntry } from "../dmapi/status.js";
import { acceptance, type Letter, shareBench } from "./bench.js";
import { assumeAndFinish, blockReaders } from "./blocked-readers.js";
import type { DmSession, Server } from "./dm-session.js";
import { eventually, within } from "./waiting.js";

const bench = shareBench({ nodes: 4, fileSystems: ["fs1"] });
const everybody: readonly Letter[] = ["A", "B", "C", "D"];
const without = (...gone: Letter[]) => everybody.filter((letter) => !gone.includes(letter));

acceptance("T17, T18 each node's events are handled there, with no event message between nodes; the others get one notice each, in order", async () => {
  const { sessions, servers } = await instances();
  await bench().shell('echo "true bytes" > "$1"', bench().path("A", "fs1", "t17"));
  const handle = bench().handle("A", "fs1", "t17");
  await sessions.get("A")!.regions(handle, [{ offset: 0, size: 0, flags: regionFlags.read }]);
  for (const letter of everybody) {
    const marks = new Map(await Promise.all(everybody.map(async (one) => [one, await bench().mark(one)] as const)));
    assert.equal((await bench().run("cat", [bench().path(letter, "fs1", "t17")])).toString(), "true bytes\n");
    for (const [other, server] of servers) {
      const handled = server.seen.filter((message) => message.notice === undefined);
      assert(handled.every((message) => message.source === bench().id(other)), `${other} handles its own only`);
    }
    // Nothing had to come back from another node for the user to go on: notices carry no answer.
    const log = (await bench().since(letter, marks.get(letter)!)).filter((entry) => /^(event|answer)-/.test(entry.kind));
    assert.deepEqual(log.filter((entry) => entry.kind === "event-answered" || (entry.kind === "event-raised" && !entry.summary?.includes("(notice)"))), []);
  }
  const readers = everybody.map((letter) => bench().program("cat", [bench().path(letter, "fs1", "t17")]));
  for (const reader of readers) assert.equal((await within(reader.end, "all at once")).output.toString(), "true bytes\n");
  const handledOn = (letter: Letter) => servers.get(letter)!.seen.filter((message) => message.notice === undefined).map((message) => message.sequence);
  for (const letter of everybody) {
    assert(handledOn(letter).length > 0, `${letter} handled its read`);
    for (const other of everybody.filter((one) => one !== letter)) {
      const noticesOf = () => servers.get(other)!.seen.filter((message) => message.notice !== undefined && message.source === bench().id(letter));
      await eventually(`${other} is told of each event of ${letter}`, () => noticesOf().length === handledOn(letter).length);
      for (const notice of noticesOf()) checkNotice(notice, letter, handle);
      const order = noticesOf().map((message) => message.sequence);
      assert.deepEqual(order, [...order].sort((a, b) => a - b), "in the order of the source");
    }
  }
  for (const [letter, server] of servers) {
    const tokens = server.seen.filter((message) => message.notice === undefined).map((message) => message.source);
    assert(tokens.every((source) => source === bench().id(letter)), "also all at once each handles its own");
  }
  await finish(sessions, servers, handle);
});

acceptance("T18 with an instance's node dead, users go on", async () => {
  const { sessions, servers } = await instances();
  await bench().shell('echo "true bytes" > "$1"', bench().path("A", "fs1", "t18"));
  const handle = bench().handle("A", "fs1", "t18");
  await sessions.get("A")!.regions(handle, [{ offset: 0, size: 0, flags: regionFlags.read }]);
  await servers.get("D")!.stop();
  servers.delete("D");
  await bench().kill("D");
  assert.equal((await bench().run("cat", [bench().path("C", "fs1", "t18")])).toString(), "true bytes\n");
  await bench().startAll();
  await bench().call("D", "session.assume", { session: sessions.get("D")!.id, info: "instance on D" });
  await finish(sessions, servers, handle);
});

acceptance("ordinary users enter a mount whose backing is private; chmod and chown of its root stay apart from the backing", async () => {
  const root = bench().path("C", "fs1");
  const user = { uid: 65_534, gid: 65_534 };
  await bench().run("ls", [root], user);
  await bench().shell('chmod 1777 "$1"; chown 7:8 "$1"', root);
  assert.equal((await bench().run("stat", ["-c", "%a %u:%g %F", bench().path("A", "fs1")])).toString(), "1777 7:8 directory\n");
  assert.equal((await bench().run("stat", ["-c", "%a %u", bench().backing("fs1")])).toString(), "700 0\n");
  await bench().run("touch", [bench().path("A", "fs1", "of-a-user")], user);
  await bench().shell('chmod 700 "$1"', root);
  assert.match((await within(bench().program("ls", [bench().path("B", "fs1")], user).end, "ls")).errors, /Permission denied/);
  await bench().shell('chown 0:0 "$1"; chmod 755 "$1"', root);
});

acceptance("T19 an ordinary user's program: continue lets it succeed, abort gives it that errno, the event names it", async () => {
  const session = await bench().session("B", "T19", { fs1: ["create", "read"] });
  await session.enable("fs1", ["create"]);
  const directory = bench().path("C", "fs1", "open-to-all");
  const making = bench().shell('mkdir "$1"; chmod 1777 "$1"', directory);
  await session.answerNext("create");
  await making;
  const user = { uid: 65_534, gid: 65_534 };
  const allowed = bench().program("touch", [`${directory}/mine`], user);
  const message = await session.answerNext("create");
  assert.deepEqual([message.source, message.process?.uid, message.process?.command], [bench().id("C"), 65_534, "touch"]);
  assert.equal((await within(allowed.end, "the allowed user")).code, 0);
  const forbidden = bench().program("touch", [`${directory}/other`], user);
  await session.answerNext("create", { kind: "abort", code: "EDQUOT" });
  const end = await within(forbidden.end, "the forbidden user");
  assert.notEqual(end.code, 0);
  assert.match(end.errors, /quota/i);
  await session.enable("fs1", []);
  await session.end();
});

acceptance("T3 (a) the session node dies and comes back: same session, same events under the same tokens", async () => {
  await lettersAreStandard();
  const scene = await blockReaders(bench(), "B", ["C", "D"], "t3a");
  await bench().kill("B");
  await bench().until("the session has failed", without("B"), (status) => stateOf(status.registry.sessions, scene.session.id) === "failed");
  await bench().restart("B");
  await bench().call("B", "test.spoil", { what: "hosted-sessions" });
  await assumeAndFinish(bench(), scene, "B");
});

acceptance("T3 (b) the session is assumed on another node", async () => {
  await lettersAreStandard();
  const scene = await blockReaders(bench(), "B", ["C", "D"], "t3b");
  await bench().kill("B");
  await bench().until("the session has failed", without("B"), (status) => stateOf(status.registry.sessions, scene.session.id) === "failed");
  await assumeAndFinish(bench(), scene, "C");
});

acceptance("T10 a session on the manager's node is like any other, and outlives the manager", async () => {
  await lettersAreStandard();
  const scene = await blockReaders(bench(), "A", ["B", "D"], "t10");
  for (const letter of everybody) assert.equal((await bench().status(letter)).registry.sessions.find((one) => one.id === scene.session.id)?.node, bench().id("A"), `listed on ${letter}`);
  await bench().kill("A");
  await bench().until("the role moved and the session has failed", without("A"), (status) =>
    status.view !== null && status.view.manager !== bench().id("A") && stateOf(status.registry.sessions, scene.session.id) === "failed");
  await assumeAndFinish(bench(), scene, "C");
});

acceptance("T11 one application on three nodes: the work is shared as split; only the dead node's share waits until a survivor assumes it", async () => {
  await lettersAreStandard();
  const shares: readonly (readonly [Letter, EventType])[] = [["B", "create"], ["C", "remove"], ["D", "rename"]];
  const sessions = new Map<EventType, DmSession>();
  for (const [letter, event] of shares) sessions.set(event, await bench().session(letter, `T11 ${event}`, { fs1: [event] }));
  await sessions.get("create")!.enable("fs1", ["create", "remove", "rename"]);
  const servers = [sessions.get("create")!.serve(), sessions.get("remove")!.serve(), sessions.get("rename")!.serve()];
  for (const letter of everybody) await bench().shell('mkdir "$1"; mv "$1" "$1.new"; rmdir "$1.new"', bench().path(letter, "fs1", `t11-${letter}`));
  // In a directory of its own: the kernel keeps the directory of a held removal locked on that node (safety C5).
  await bench().shell('mkdir "$1"; : > "$1/left"', bench().path("A", "fs1", "t11"));
  const seen = servers.map((server) => server.seen.map((message) => `${bench().letterOf(message.source)} ${message.event.type}`));
  assert.deepEqual(seen, [[...everybody.map((letter) => `${letter} create`), "A create", "A create"], everybody.map((letter) => `${letter} remove`), everybody.map((letter) => `${letter} rename`)]);
  await servers[1]!.stop();
  await bench().kill("C");
  const removing = bench().program("rm", [bench().path("A", "fs1", "t11", "left")]);
  const failed = sessions.get("remove")!;
  await bench().until("the removed share has failed", without("C"), (status) => stateOf(status.registry.sessions, failed.id) === "failed");
  for (const letter of without("C")) await bench().shell('mkdir "$1"; mv "$1" "$1.new"', bench().path(letter, "fs1", `t11b-${letter}`));
  assert.equal(removing.isOver, false);
  await bench().call("D", "session.assume", { session: failed.id, info: "T11 remove" });
  failed.letter = "D";
  const again = failed.serve();
  assert.equal((await within(removing.end, "the remove that waited")).code, 0);
  await again.stop();
  await servers[0]!.stop();
  await servers[2]!.stop();
  await sessions.get("create")!.enable("fs1", []);
  for (const session of sessions.values()) await session.end();
});

/** A = node1 is the manager, all nodes are up. */
async function lettersAreStandard(): Promise<void> {
  await bench().startAll();
  await bench().nameFirstManager();
}
function stateOf(sessions: readonly SessionEntry[], id: SessionId): string | undefined {
  return sessions.find((one) => one.id === id)?.state;
}
async function instances(): Promise<{ sessions: Map<Letter, DmSession>; servers: Map<Letter, Server> }> {
  const sessions = new Map<Letter, DmSession>();
  for (const letter of everybody) sessions.set(letter, await bench().session(letter, `instance on ${letter}`, { fs1: ["read"] }, "parallel"));
  return { sessions, servers: new Map([...sessions].map(([letter, session]) => [letter, session.serve()])) };
}
function checkNotice(message: EventMessage, handledBy: Letter, handle: string): void {
  assert.equal(message.event.type, "read");
  assert.equal("handle" in message.event ? message.event.handle : undefined, handle);
  assert.deepEqual(message.notice, { group: "parallel", handledBy: bench().id(handledBy) });
  assert.equal(message.token, undefined, "a notice is not answered");
}
async function finish(sessions: Map<Letter, DmSession>, servers: Map<Letter, Server>, handle: Parameters<DmSession["regions"]>[0]): Promise<void> {
  await sessions.get("A")!.regions(handle, []);
  for (const server of servers.values()) await server.stop();
  for (const session of sessions.values()) await session.end();
}
