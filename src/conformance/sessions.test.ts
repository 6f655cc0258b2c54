/**
 * T1, T2, T5 to T9, T12 to T14, T16: sessions and dispositions in a cluster whose nodes live.
 *
 * Source    requirements R1, R2, R5-R9, R12-R14, R16.
 */
import assert from "node:assert/strict";
import * as dm from "../client/dmapi.js";
import type { EventType } from "../dmapi/events.js";
import type { FsName, NodeId, SessionId, Token } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import { acceptance, isLong, type Letter, shareBench } from "./bench.js";
import { eventually, refused, within } from "./waiting.js";

const bench = shareBench({ nodes: 4 });
const everybody: readonly Letter[] = ["A", "B", "C", "D"];

acceptance("T1 (a) one manager, named identically by all nodes", async () => {
  const statuses = await Promise.all(everybody.map((letter) => bench().status(letter)));
  assert.equal(new Set(statuses.map((status) => `${status.view?.manager} ${status.view?.number}`)).size, 1);
});

acceptance("T1 (b) creation goes session node to manager, then manager to every other node; then it is listed everywhere", async () => {
  const { id, call, mark, since } = tools();
  const marks = new Map(await Promise.all(everybody.map(async (letter) => [letter, await mark(letter)] as const)));
  const { session } = await call("B", "session.create", { info: "T1 b" });
  for (const letter of everybody) {
    const entry = (await bench().status(letter)).registry.sessions.find((one) => one.id === session);
    assert.equal(entry?.node, id("B"), `not listed on ${letter} when the call returned`);
  }
  const atB = await since("B", marks.get("B")!);
  assert.equal(atB.filter((entry) => entry.kind === "manager-call" && entry.from === id("B") && entry.to === id("A")).length, 1);
  const atA = await since("A", marks.get("A")!);
  for (const letter of ["C", "D"] as const) {
    assert.equal(atA.filter((entry) => entry.kind === "registry-changed" && entry.from === id("A") && entry.to === id(letter)).length, 1, `A told ${letter} once`);
  }
  await call("B", "session.destroy", { session });
});

acceptance("T1 (c) a read on any node blocks, its event is at the session node, the manager is not asked", async () => {
  const { id, mark, since } = tools();
  const session = await bench().session("B", "T1 c", { fs1: ["read"] });
  await bench().shell('echo "true bytes" > "$1"', bench().path("A", "fs1", "t1"));
  await session.regions(bench().handle("B", "fs1", "t1"), [{ offset: 0, size: 0, flags: regionFlags.read }]);
  for (const letter of everybody) {
    const before = await mark("A");
    const reader = bench().program("cat", [bench().path(letter, "fs1", "t1")]);
    const message = await session.next();
    assert.deepEqual([message.event.type, message.source, message.fs], ["read", id(letter), "fs1"]);
    const outstanding = (await bench().status("B")).queues.find((queue) => queue.session === session.id)?.outstanding ?? [];
    assert.deepEqual(outstanding.map((one) => [one.token, one.source]), [[message.token, id(letter)]]);
    assert.equal(reader.isOver, false, "the read waits for the answer");
    await session.respond(message);
    const serving = session.serve();
    assert.equal((await within(reader.end, `the read on ${letter}`)).output.toString(), "true bytes\n");
    await serving.stop();
    const management = (await since("A", before)).filter((entry) => /^(manager-|registry-)/.test(entry.kind));
    assert.deepEqual(management, [], "no session management at event time");
  }
  await session.regions(bench().handle("B", "fs1", "t1"), []);
  await session.end();
});

acceptance("T1 (d) creation does not succeed while a living member cannot be told", async () => {
  const { id, call } = tools();
  await bench().cluster.cut(id("A"), id("D"));
  const isMember = async () => (await bench().status("A")).view?.members.some((member) => member.id === id("D"));
  const creating = call("B", "session.create", { info: "T1 d" });
  let created: SessionId | undefined;
  creating.then(({ session }) => {
    created = session;
  }, () => {});
  // With D counted as a member and ignorant, creation waits; it succeeds only when D has left the view.
  await eventually("D is no member any more, and creation succeeds", async () => {
    const isCreated = created !== undefined;
    assert(!(isCreated && (await isMember())), "D is a member and was not told");
    return isCreated;
  });
  await bench().cluster.heal();
  const { session } = await creating;
  await bench().cluster.waitUntilUsable();
  await bench().until("the session is listed", everybody, (status) => status.registry.sessions.some((one) => one.id === session));
  await call("B", "session.destroy", { session });
});

acceptance("T1 (e) without the distributed information an event does not reach the session node", async () => {
  const { call } = tools();
  await call("A", "test.spoil", { what: "distribution", on: true });
  try {
    const session = await bench().session("B", "T1 e", { fs1: ["read"] });
    await bench().shell('echo x > "$1"', bench().path("A", "fs1", "t1e"));
    await session.regions(bench().handle("B", "fs1", "t1e"), [{ offset: 0, size: 0, flags: regionFlags.read }]);
    const reader = bench().program("cat", [bench().path("C", "fs1", "t1e")]);
    await bench().until("the read waits for want of an owner", ["C"], (status) => status.waiters.some((waiter) => waiter.cause === "no-owner"));
    assert.deepEqual(await session.queued(), []);
    await call("A", "test.spoil", { what: "distribution", on: false });
    await session.takes("fs1", ["read", "write"]); // the next change brings C up to date
    await session.answerNext("read");
    const serving = session.serve();
    assert.equal((await within(reader.end, "the read, once C knows")).code, 0);
    await serving.stop();
    await session.regions(bench().handle("B", "fs1", "t1e"), []);
    await session.end();
  } finally {
    await call("A", "test.spoil", { what: "distribution", on: false });
  }
});

acceptance("T2 the manager's record is what the session node supplied, whole", async () => {
  const { id } = tools();
  const info = `T2 ${"long ".repeat(45)}end`;
  const session = await bench().session("B", info, { fs1: ["read", "write"], fs2: ["destroy"] });
  const { registry } = await bench().status("A");
  const record = registry.sessions.find((one) => one.id === session.id);
  assert.deepEqual([record?.node, record?.info, record?.state], [id("B"), info, "active"]);
  const owned = registry.dispositions.filter((one) => one.session === session.id).map((one) => `${one.fs} ${one.event}`).sort();
  assert.deepEqual(owned, ["fs1 read", "fs1 write", "fs2 destroy"]);
  await session.end();
});

acceptance("T5 creation, assuming, query, list, destruction; near misses stay distinct", async () => {
  const { id, call, mark, since } = tools();
  const before = await mark("A");
  const { session } = await call("B", "session.create", { info: "T5" });
  assert.equal((await call("B", "session.assume", { session, info: "T5 again" })).session, session);
  assert.equal((await call("C", "session.query", { session })).info, "T5 again");
  assert((await call("D", "session.list", {})).some((one) => one.id === session));
  const absent = 2_000_000_000 as SessionId;
  await refused("EINVAL", call("B", "session.query", { session: absent }));
  await refused("EINVAL", call("B", "session.destroy", { session: absent }));
  await refused("EINVAL", call("B", "event.respond", { session, token: 1_999_999_999 as Token, response: { kind: "continue" } }));
  await call("B", "session.destroy", { session });
  await refused("EINVAL", call("B", "session.query", { session }));
  const functions = (await since("A", before)).map((entry) => `${entry.kind} ${entry.summary ?? ""}`).join("\n");
  for (const name of ["create", "assume", "destroy"]) assert.match(functions, new RegExp(`${name}[-_]session`), `the manager logged ${name}`);
  assert.equal((await bench().status("B")).node, id("B"));
});

acceptance("T5 the same by the names of the standard; a daemon that is down is ENOTREADY, an ordinary user gets EPERM", async () => {
  const before = await bench().mark("A");
  const socket = bench().cluster.socket(bench().id("B"));
  await refused("ENOTREADY", dm.dm_create_session(dm.DM_NO_SESSION, "too early"));
  await refused("ENOTREADY", dm.dm_init_service({ socket: `${socket}.absent` }));
  await dm.dm_init_service({ socket });
  try {
    const sid = await dm.dm_create_session(dm.DM_NO_SESSION, "T5 dm");
    assert.equal(await dm.dm_create_session(sid, "T5 dm again"), sid);
    assert.equal(await dm.dm_query_session(sid), "T5 dm again");
    assert((await dm.dm_getall_sessions()).includes(sid));
    await refused("EINVAL", dm.dm_query_session(1_999_999_999 as SessionId));
    await dm.dm_destroy_session(sid);
    await refused("EINVAL", dm.dm_query_session(sid));
  } finally {
    dm.dm_end_service();
  }
  const functions = (await bench().since("A", before)).map((entry) => entry.kind);
  for (const name of ["dm_create_session", "dm_create_session (assume)", "dm_destroy_session"]) assert(functions.includes(name), `the manager logged ${name}`);
  // In plain Node.js: an ordinary user may not be able to read the checkout.
  const program = `const s = require("node:net").createConnection(${JSON.stringify(socket)}); s.on("error", (e) => { console.log(e.code); }); s.on("connect", () => s.end())`;
  const stranger = await within(bench().program(process.execPath, ["-e", program], { uid: 65_534, gid: 65_534 }).end, "the ordinary user");
  assert.equal(stranger.output.toString().trim(), "EACCES", "the socket is not for ordinary users; dm_init_service says EPERM");
});

acceptance("T6 exactly the listed events arrive, from every node, per file system", async () => {
  const session = await bench().session("B", "T6", { fs1: ["create"], fs2: ["remove", "destroy"] });
  await session.enable("fs1", ["create"]);
  await session.enable("fs2", ["remove", "destroy", "postcreate"]); // nobody takes postcreate: it is not told to anyone
  const serving = session.serve();
  const expected: string[] = [];
  for (const letter of everybody) {
    for (const fs of ["fs1", "fs2"]) {
      const path = bench().path(letter, fs, `t6-${letter}`);
      await bench().shell('echo x > "$1"; rm "$1"', path);
      expected.push(...(fs === "fs1" ? [`${letter} fs1 create`] : [`${letter} fs2 remove`, `${letter} fs2 destroy`]));
    }
  }
  const seen = () => serving.seen.map((message) => `${bench().letterOf(message.source)} ${message.fs} ${message.event.type}`);
  await eventually("all events have come", () => seen().length >= expected.length, undefined, () => seen().join(", "));
  assert.deepEqual(seen().sort(), expected.sort());
  await session.takes("fs2", ["destroy"]);
  const before = serving.seen.length;
  // Enabled and taken by nobody: a synchronous event's user gets EIO (GPFS's rule), and no event comes.
  const unowned = bench().program("/bin/sh", ["-c", 'echo x > "$1"; rm "$1"', "sh", bench().path("C", "fs2", "t6-later")]);
  assert.match((await within(unowned.end, "the unowned remove")).errors, /Input\/output error/);
  await session.enable("fs2", ["destroy"]);
  await bench().shell('rm "$1"', bench().path("C", "fs2", "t6-later"));
  await eventually("the destroy event", () => serving.seen.length > before);
  assert.deepEqual(serving.seen.slice(before).map((message) => message.event.type), ["destroy"]);
  const lists = await Promise.all(everybody.map((letter) => bench().call(letter, "disposition.list", { session: session.id })));
  for (const list of lists) assert.deepEqual(list, lists[0]);
  await serving.stop();
  await session.enable("fs1", []);
  await session.enable("fs2", []);
  await session.end();
});

acceptance("T7 a disposition set on a node that is not the session node takes effect for all", async () => {
  const { id, call } = tools();
  const session = await bench().session("B", "T7");
  await call("D", "disposition.set", { session: session.id, fs: "fs1" as FsName, events: ["create"] });
  await session.enable("fs1", ["create"]);
  const creator = bench().program("touch", [bench().path("C", "fs1", "t7")]);
  assert.equal((await session.answerNext("create")).source, id("C"));
  assert.equal((await within(creator.end, "touch")).code, 0);
  await refused("EBADF", call("D", "disposition.set", { session: session.id, fs: "nowhere" as FsName, events: ["create"] }));
  await call("D", "fs.unmount", { fs: "fs1" as FsName });
  await call("D", "disposition.set", { session: session.id, fs: "fs1" as FsName, events: [] });
  await call("D", "fs.mount", { fs: "fs1" as FsName });
  await session.enable("fs1", []);
  await session.end();
});

acceptance("T8 many setters on all nodes: one owner, one order, the same everywhere", async () => {
  const { call } = tools();
  const sessions = [await bench().session("B", "T8 x"), await bench().session("D", "T8 y"), await bench().session("A", "T8 z")];
  const events: readonly EventType[] = ["create", "remove"];
  const rounds = isLong ? 100 : 15;
  await sessions[0]!.enable("fs1", events);
  const servers = sessions.map((session) => session.serve());
  const created = isLong ? 100 : 12;
  const load = bench().program("/bin/sh", ["-c", `for i in $(seq ${created}); do : > "$1/t8-$i" 2>/dev/null; done`, "sh", bench().path("C", "fs1")]);
  const setters = everybody.map(async (letter, index) => {
    for (let round = 0; round < rounds; round++) {
      const session = sessions[(index + round) % sessions.length]!;
      await call(letter, "disposition.set", { session: session.id, fs: "fs1" as FsName, events: round % 3 === 2 ? [] : events });
    }
  });
  await Promise.all(setters);
  await call("A", "disposition.set", { session: sessions[2]!.id, fs: "fs1" as FsName, events });
  assert.equal((await within(load.end, "the load", 60_000)).signal, null);
  const tables = await Promise.all(everybody.map((letter) => call(letter, "disposition.list", {})));
  for (const table of tables) assert.deepEqual(table, tables[0]);
  for (const event of events) assert(tables[0]!.filter((one) => one.fs === "fs1" && one.event === event).length <= 1, `${event} has one owner`);
  const names = servers.flatMap((server) => server.seen.map((message) => (message.event.type === "create" ? message.event.name1 : undefined))).filter((name) => name !== undefined);
  assert.equal(new Set(names).size, names.length, "no event reached two sessions");
  for (const server of servers) await server.stop();
  await sessions[0]!.enable("fs1", []);
  for (const session of sessions) await session.end();
}, 90_000);

acceptance("T9 sessions created at the same instant are all listed everywhere, each gets its own events", async () => {
  const { id } = tools();
  const sessions = await Promise.all((["B", "C", "D"] as const).map((letter) => bench().session(letter, `T9 ${letter}`)));
  for (const letter of everybody) {
    const { registry } = await bench().status(letter);
    for (const session of sessions) assert.equal(registry.sessions.find((one) => one.id === session.id)?.node, id(session.letter));
  }
  const takes: readonly EventType[] = ["create", "remove", "rename"];
  await sessions[0]!.enable("fs2", takes);
  for (const [index, session] of sessions.entries()) await session.takes("fs2", [takes[index]!]);
  const user = bench().program("/bin/sh", ["-ec", ': > "$1"; mv "$1" "$1.new"; rm "$1.new"', "sh", bench().path("A", "fs2", "t9")]);
  await sessions[0]!.answerNext("create");
  await sessions[2]!.answerNext("rename");
  await sessions[1]!.answerNext("remove");
  assert.equal((await within(user.end, "the user's program")).code, 0);
  await sessions[0]!.enable("fs2", []);
  for (const session of sessions) await session.end();
});

acceptance("T12 two applications on two file systems neither see nor delay each other", async () => {
  const one = await bench().session("B", "T12 first", { fs1: ["create"] });
  const two = await bench().session("D", "T12 second", { fs2: ["create"] });
  await one.enable("fs1", ["create"]);
  await two.enable("fs2", ["create"]);
  const stuck = bench().program("touch", [bench().path("C", "fs1", "t12")]);
  const held = await one.next();
  const serving = two.serve();
  for (let number = 0; number < 5; number++) await bench().run("touch", [bench().path("C", "fs2", `t12-${number}`)]);
  await serving.stop();
  assert.deepEqual(serving.seen.map((message) => message.fs), Array(5).fill("fs2"));
  assert.equal(stuck.isOver, false);
  await one.respond(held);
  assert.equal((await within(stuck.end, "the first application's user")).code, 0);
  await one.enable("fs1", []);
  await two.enable("fs2", []);
  await one.end();
  await two.end();
});

acceptance("T13 one notification of a modification to each node; the new string everywhere", async () => {
  const { id, call, mark, since } = tools();
  const session = await bench().session("B", "T13 old");
  const before = await mark("A");
  await call("B", "session.modify", { session: session.id, info: "T13 new" });
  for (const letter of everybody) assert.equal((await call(letter, "session.query", { session: session.id })).info, "T13 new");
  const atA = await since("A", before);
  for (const letter of ["C", "D"] as const) {
    assert.equal(atA.filter((entry) => entry.kind === "registry-changed" && entry.to === id(letter)).length, 1, `A told ${letter} once`);
  }
  await session.end();
});

acceptance("T14 destruction is known everywhere; refused with events outstanding and from another node; the id never comes back", async () => {
  const { call } = tools();
  const session = await bench().session("B", "T14", { fs1: ["create"] });
  await session.enable("fs1", ["create"]);
  const user = bench().program("touch", [bench().path("C", "fs1", "t14")]);
  const message = await session.next();
  await refused("EBUSY", call("B", "session.destroy", { session: session.id }));
  for (const letter of everybody) assert((await bench().status(letter)).registry.sessions.some((one) => one.id === session.id));
  await assert.rejects(call("C", "session.destroy", { session: session.id }), "only its node destroys a session");
  await session.respond(message);
  assert.equal((await within(user.end, "touch")).code, 0);
  await session.enable("fs1", []);
  await session.end();
  for (const letter of everybody) {
    const { registry } = await bench().status(letter);
    assert(!registry.sessions.some((one) => one.id === session.id), `gone on ${letter}`);
    assert(!registry.dispositions.some((one) => one.session === session.id), `dispositions gone on ${letter}`);
  }
  const next = await bench().session("B", "T14 after");
  assert.notEqual(next.id, session.id);
  await next.end();
});

acceptance("T16 concurrent creates from all nodes give distinct ids, made at the manager", async () => {
  const { call } = tools();
  const each = isLong ? 250 : 10;
  const made = await within(Promise.all(everybody.flatMap((letter) =>
    Array.from({ length: each }, async () => ({ letter, ...(await call(letter, "session.create", { info: "T16" })) })))), "all creates", 60_000);
  assert.equal(new Set(made.map(({ session }) => session)).size, made.length);
  for (const { letter, session } of made) await call(letter, "session.destroy", { session });
}, 90_000);

function tools() {
  const it = bench();
  return {
    id: (letter: Letter): NodeId => it.id(letter),
    call: it.call.bind(it) as typeof it.call,
    mark: (letter: Letter) => it.mark(letter),
    since: (letter: Letter, after: number) => it.since(letter, after),
  };
}
