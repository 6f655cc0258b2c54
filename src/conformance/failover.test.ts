/**
 * T4, T13, T14 and T16: the loss of the session manager, at any moment of its work, with others, and of the whole
 * cluster. Five nodes, so that two losses leave a majority; C is preferred as the next session manager, then D.
 *
 * Source    requirements R4, R13, R14, R16; safety C9, C10, H5.
 */
import assert from "node:assert/strict";
import { DmError } from "../dmapi/errors.js";
import type { NodeId, SessionId } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import type { SessionEntry, StatusDocument } from "../dmapi/status.js";
import { acceptance, isLong, type Letter, shareBench } from "./bench.js";
import { assumeAndFinish, blockReaders } from "./blocked-readers.js";
import { refused, within } from "./waiting.js";

// Killed nodes are known dead at once; only the frozen one is waited for, and no living one is given up on a loaded machine.
const bench = shareBench({ nodes: 5, fileSystems: ["fs1"], preferences: { node3: 5, node4: 4 } });
const everybody: readonly Letter[] = ["A", "B", "C", "D", "E"];
const without = (...gone: Letter[]) => everybody.filter((letter) => !gone.includes(letter));
/** Every session id made in this file: none ever comes back. */
const idsMade = new Set<SessionId>();

acceptance("T4 (a), T13, T14 the manager dies: the preferred third node collects the registry and goes on; what was answered stays", async () => {
  await lettersAreStandard();
  const session = await bench().session("B", "T4 a", { fs1: ["read"] });
  const changed = await bench().session("B", "T13 before");
  const gone = await bench().session("B", "T14");
  const { epoch } = await bench().cluster.document();
  await bench().call("C", "test.spoil", { what: "registry" });
  const marks = await bench().mark("C");
  await bench().call("B", "session.modify", { session: changed.id, info: "T13 after" });
  await bench().call("B", "disposition.set", { session: changed.id, fs: bench().fs("fs1"), events: ["rename"] });
  await gone.end();
  const before = (await bench().status("A")).registry;
  await bench().kill("A");
  await untilManager("C", without("A"), epoch ?? 0);
  await bench().until("the table is the old one", without("A"), (status) =>
    JSON.stringify(status.registry.sessions) === JSON.stringify(before.sessions) && sorted(status.registry.dispositions) === sorted(before.dispositions));
  assert.equal((await bench().call("E", "session.query", { session: changed.id })).info, "T13 after");
  await refused("EINVAL", bench().call("E", "session.query", { session: gone.id }));
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
  await changed.end();
  for (const { id } of [session, changed, gone]) idsMade.add(id);
});

acceptance("T4 (b) manager and session node die together: the record comes from the others, the session is assumed on one of them", async () => {
  await lettersAreStandard();
  const scene = await blockReaders(bench(), "B", ["C", "D"], "t4b");
  idsMade.add(scene.session.id);
  const { epoch } = await bench().cluster.document();
  await Promise.all([bench().kill("A"), bench().kill("B")]);
  await untilManager("C", without("A", "B"), epoch ?? 0);
  await bench().until("the session has failed", without("A", "B"), (status) => stateOf(status.registry.sessions, scene.session.id) === "failed");
  await assumeAndFinish(bench(), scene, "D");
});

acceptance("T4 (c) (f), T14, T16 the manager dies in the midst of creations and destructions; its successor is a session node", async (note) => {
  await lettersAreStandard();
  const callers = without("A");
  const each = isLong ? 250 : 13;
  const own = await bench().session("C", "T4 f", { fs1: ["create"] });
  const doomed = (await createOn(callers, 4, "T14 doomed")).map((one) => ({ ...one, isGone: false }));
  const { epoch } = await bench().cluster.document();
  let answered = 0;
  const creating = callers.map((letter) => createOn([letter], each, "T4 c", () => answered++));
  const destroying = doomed.map(async (one) => {
    await bench().call(one.letter, "session.destroy", { session: one.session });
    answered++;
  });
  await Promise.race([...creating, ...destroying]);
  const before = answered;
  await bench().kill("A");
  const created = (await within(Promise.all(creating), "every creation is answered", 60_000)).flat();
  await within(Promise.all(destroying), "every destruction is answered", 60_000);
  note(`T4 c: ${before} of ${created.length + doomed.length} calls were answered when the manager was killed`);
  await untilManager("C", callers, epoch ?? 0);
  assert.equal(new Set(created.map(({ session }) => session)).size, created.length, "all ids are distinct");
  const expected = [own.id, ...created.map(({ session }) => session)].sort((a, b) => a - b);
  for (const letter of callers) {
    const { registry } = await bench().status(letter);
    const known = registry.sessions.filter(({ info }) => /^(T4 c|T4 f|T14 doomed)/.test(info));
    assert.deepEqual(known.map(({ id }) => id).sort((a, b) => a - b), expected, `${letter} knows each creation once, and no destroyed session`);
    for (const { letter: host, session, info } of created) {
      const entry = registry.sessions.find(({ id }) => id === session);
      assert.deepEqual([entry?.node, entry?.info, entry?.state], [bench().id(host), info, "active"], "nothing is half known");
    }
  }
  await own.enable("fs1", ["create"]);
  const user = bench().program("mkdir", [bench().path("E", "fs1", "t4f")]);
  assert.equal((await own.answerNext("create")).source, bench().id("E"));
  assert.equal((await within(user.end, "the user")).code, 0);
  await own.enable("fs1", []);
  await own.end();
  const more = await createOn(callers, each, "T16 under the next manager");
  await Promise.all([...created, ...more].map(({ letter, session }) => bench().call(letter, "session.destroy", { session })));
}, 120_000);

acceptance("T4 (d) a manager that stood still too long: another took over, what it has in hand counts no more, and it is an ordinary node", async () => {
  await lettersAreStandard();
  const { epoch } = await bench().cluster.document();
  const marks = new Map(await Promise.all(without("A").map(async (letter) => [letter, await bench().mark(letter)] as const)));
  await bench().connection("A");
  bench().cluster.pause(bench().id("A"));
  // All this lies before the frozen A when it wakes: calls of others sent to it as manager, and one of its own application.
  const askedOfA = createOn(["B", "E"], 5, "T4 d asked of A");
  const askedOnA = createOn(["A"], 1, "T4 d asked on A").catch((error: unknown) => {
    assert(error instanceof DmError && error.code === "ENOTREADY", `made, or refused because its node is no member now: ${String(error)}`);
    return [];
  });
  await untilManager("C", without("A"), epoch ?? 0);
  const asked = await within(askedOfA, "the calls of others are answered by C");
  const takenOver = (await bench().cluster.document()).epoch ?? 0;
  bench().cluster.resume(bench().id("A"));
  const created = [...asked, ...(await within(askedOnA, "the call on A is answered"))];
  await bench().until("all five are members under C", everybody, (status) =>
    status.state === "member" && status.view?.isInForce === true && status.view.manager === bench().id("C") && status.view.members.length === 5 && status.view.number > takenOver);
  const tables = await Promise.all(everybody.map(async (letter) => (await bench().status(letter)).registry));
  const known = tables[0]!.sessions.filter(({ info }) => info.startsWith("T4 d"));
  assert.deepEqual(known.map(({ id }) => id).sort((a, b) => a - b), created.map(({ session }) => session).sort((a, b) => a - b), "each once");
  for (const table of tables) assert.deepEqual(table, tables[0]);
  for (const [letter, mark] of marks) {
    const log = await bench().since(letter, mark);
    const taken = log.findIndex((entry) => entry.from === bench().id("C") && entry.kind === "registry-collect");
    const orders = log.slice(taken).filter((entry) => entry.from === bench().id("A") && /^registry-(changed|collect|installed)$/.test(entry.kind));
    assert.deepEqual(orders, [], `A gave ${letter} no orders any more`);
  }
  const ran = (await bench().since("C", marks.get("C")!)).filter((entry) => entry.kind === "dm_create_session" && entry.summary?.includes("T4 d"));
  assert.equal(ran.length, created.length, "C made each of them");
  await Promise.all(created.map(({ letter, session }) => bench().call(letter, "session.destroy", { session })));
});

acceptance("T4 (e) the new manager dies while it collects: the next one collects anew", async (note) => {
  await lettersAreStandard();
  const session = await bench().session("B", "T4 e", { fs1: ["read"] });
  idsMade.add(session.id);
  const before = (await bench().status("E")).registry;
  const { epoch } = await bench().cluster.document();
  const [mark, markB] = [await bench().mark("D"), await bench().mark("B")];
  // D is a member but does not hear C: what C collects stays incomplete.
  await bench().cluster.cut(bench().id("C"), bench().id("D"));
  await bench().kill("A");
  await bench().until("C is the manager and collects", ["B"], (status) => status.view?.manager === bench().id("C") && status.view.number > (epoch ?? 0));
  await bench().kill("C");
  const ordered = (await bench().since("B", markB)).filter((entry) => entry.from === bench().id("C") && entry.kind.startsWith("registry-"));
  note(`T4 e: before it died C had said to B: ${[...new Set(ordered.map((entry) => entry.kind))].join(", ") || "nothing"}`);
  await bench().cluster.heal();
  await untilManager("D", without("A", "C"), (epoch ?? 0) + 1);
  const ofSession = ({ sessions, dispositions }: StatusDocument["registry"]) =>
    JSON.stringify([sessions.find((one) => one.id === session.id), dispositions.filter((one) => one.session === session.id)]);
  await bench().until("the session is as it was", without("A", "C"), (status) => ofSession(status.registry) === ofSession(before));
  const log = await bench().since("D", mark);
  for (const letter of ["B", "E"] as const) assert(log.some((entry) => entry.kind === "registry-collected" && entry.from === bench().id(letter) && entry.to === bench().id("D")), `D collected from ${letter}`);
  await session.end();
});

acceptance("T4 the manager's role is handed over by command, again and again, while fifty sessions are made: each call has one answer, users go on", async (note) => {
  await lettersAreStandard();
  const { epoch } = await bench().cluster.document();
  const session = await bench().session("B", "T4 handed over", { fs1: ["create"] });
  await session.enable("fs1", ["create"]);
  const serving = session.serve();
  const user = bench().program("/bin/sh", ["-ec", 'for i in $(seq 40); do mkdir "$1-$i"; done', "sh", bench().path("E", "fs1", "t4g")]);
  let answered = 0;
  const creating = createOn(everybody, isLong ? 100 : 10, "T4 g", () => answered++);
  const before: number[] = [];
  for (const to of ["D", "E", "B", "A"] as const) {
    before.push(answered);
    const { manager } = await bench().cluster.document();
    await within(bench().call(bench().letterOf(manager!), "manager.move", { to: bench().id(to) }), `the role goes to ${to}`);
    await untilManager(to, everybody, epoch ?? 0);
  }
  const created = await within(creating, "every creation is answered", 60_000);
  note(`T4 g: ${before.join(", ")} of ${created.length} calls were answered at the hand-overs`);
  assert.equal((await within(user.end, "the user")).code, 0);
  await serving.stop();
  assert.equal(new Set(serving.seen.map(({ token }) => token)).size, 40, "each operation's event came");
  for (const letter of everybody) {
    const { registry } = await bench().status(letter);
    const known = registry.sessions.filter(({ info }) => info.startsWith("T4 g"));
    assert.deepEqual(known.map(({ id }) => id).sort((a, b) => a - b), created.map((one) => one.session).sort((a, b) => a - b), `${letter} knows each once`);
  }
  await session.enable("fs1", []);
  await session.end();
  await Promise.all(created.map(({ letter, session: id }) => bench().call(letter, "session.destroy", { session: id })));
}, 120_000);

acceptance("T16 after a restart of the whole cluster no id comes back", async (note) => {
  await bench().restartAll();
  const each = isLong ? 200 : 8;
  const created = await createOn(everybody, each, "T16 after the restart");
  note(`T16: ${idsMade.size} ids, all distinct, over four managers and a restart of all nodes`);
  await Promise.all(created.map(({ letter, session }) => bench().call(letter, "session.destroy", { session })));
});

interface Created {
  readonly letter: Letter;
  readonly session: SessionId;
  readonly info: string;
}
/** So many sessions on each of these nodes, all at once. No id was there before. */
async function createOn(letters: readonly Letter[], each: number, info: string, answered: () => void = () => {}): Promise<Created[]> {
  return Promise.all(letters.flatMap((letter) => Array.from({ length: each }, async (_, number) => {
    const own = `${info} ${letter} ${number}`;
    const { session } = await bench().call(letter, "session.create", { info: own });
    answered();
    assert(!idsMade.has(session), `id ${session} was given before`);
    idsMade.add(session);
    return { letter, session, info: own };
  })));
}

async function untilManager(letter: Letter, letters: readonly Letter[], afterView: number): Promise<void> {
  const id: NodeId = bench().id(letter);
  await bench().until(`${letter} is the manager`, letters, (status) => status.view?.manager === id && status.view.isInForce && status.view.number > afterView);
}
/** A = node1 is the manager again, all nodes are up. */
async function lettersAreStandard(): Promise<void> {
  await bench().startAll();
  await bench().nameFirstManager();
}
function stateOf(sessions: readonly SessionEntry[], id: SessionId): string | undefined {
  return sessions.find((one) => one.id === id)?.state;
}
function sorted(list: readonly unknown[]): string {
  return JSON.stringify(list.map((one) => JSON.stringify(one)).sort());
}
