/**
 * Nodes that are neither well nor dead: frozen and fenced by the operator, cut off from others, without their
 * coordination directory, and with clocks that are wrong. Each call ends, what was blocked goes on elsewhere, and the node comes back as a new one.
 *
 * Source    requirements R3, R4; safety C7, C8, H14; blueprint section 7.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DmError } from "../dmapi/errors.js";
import type { StatusDocument } from "../dmapi/status.js";
import { acceptance, type Letter, shareBench } from "./bench.js";
import { assumeAndFinish, blockReaders, finish } from "./blocked-readers.js";
import { eventually, refused, within } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"] });
const everybody: readonly Letter[] = ["A", "B", "C"];

acceptance("a frozen session node is fenced: its session moves at once, the record of it stays, and woken it is refused and enters anew", async () => {
  const scene = await blockReaders(bench(), "C", ["A", "B"], "fenced");
  const frozen = bench().id("C");
  await refused("EBUSY", bench().call("B", "node.fence", { node: frozen }));
  const { incarnation } = await bench().status("C");
  bench().cluster.pause(frozen);
  try {
    // As soon as it has said nothing for a while the operator's word is taken.
    await eventually("the fence is taken", () => bench().call("B", "node.fence", { node: frozen }).then(() => true));
    await bench().until("the word is in the view", ["A", "B"], ({ view }) => view?.isInForce === true && view.fenced.some((life) => life.id === frozen && life.incarnation === incarnation && life.by === bench().id("B")));
    await bench().until("the session has failed", ["A", "B"], ({ registry }) => registry.sessions.some(({ id, state }) => id === scene.session.id && state === "failed"));
    const audit = await bench().call("A", "registry.audit", {});
    const entry = audit.find(({ act }) => act === "node fenced");
    assert.deepEqual([entry?.node, entry?.detail, entry?.caller?.pid], [bench().id("B"), `${frozen}, incarnation ${incarnation}`, process.pid]);
    await assumeAndFinish(bench(), scene, "B");
  } finally {
    bench().cluster.resume(frozen);
  }
  await bench().until("the woken one is a member in another life", everybody, ({ view }) =>
    view?.isInForce === true && view.fenced.length === 0 && view.members.some((member) => member.id === frozen && member.incarnation > incarnation && member.mounted.length === 1));
  await bench().until("and serves its users", ["C"], ({ state }) => state === "member");
  assert.equal((await bench().run("cat", [bench().path("C", "fs1", "fenced")])).toString(), "true bytes\n");
});

acceptance("a link is cut between two living nodes whose leases stand: one of them leaves, each call ends, and healed it is back", async () => {
  for (const isOneWay of [true, false]) {
    await bench().nameFirstManager();
    const before = (await bench().status("A")).view!.number;
    await bench().cluster.cut(bench().id("B"), bench().id("C"), isOneWay);
    try {
      // On the two of them a call may be refused, since its node leaves; it does not wait for ever.
      const ended = await within(Promise.all(everybody.map((letter) => endOfCall(letter))), "each call ends", 60_000);
      assert.equal(ended[0], "made", "the manager reaches both");
      await bench().until("one of the two is out", ["A"], ({ view }) => view!.number > before && view!.isInForce && view!.members.length === 2, 60_000);
    } finally {
      await bench().cluster.heal();
    }
    await bench().untilAllAreMembers();
  }
}, 180_000);

acceptance("links are slow but alive: nobody is thought dead, calls and recalls take as long as their messages, and none hangs", async () => {
  const scene = await blockReaders(bench(), "C", ["A", "B"], "slow");
  const before = await lives();
  for (const [a, b] of [["A", "B"], ["A", "C"], ["B", "C"]] as const) await bench().cluster.slow(bench().id(a), bench().id(b), 300);
  try {
    for (const letter of everybody) assert.deepEqual((await bench().status(letter)).links.map(({ isUp, delayMs }) => ({ isUp, delayMs })), [{ isUp: true, delayMs: 300 }, { isUp: true, delayMs: 300 }]);
    const ended = await within(Promise.all(everybody.map((letter) => endOfCall(letter))), "each call ends", 60_000);
    assert.deepEqual(ended, ["made", "made", "made"]);
    await finish(bench(), scene);
    assert.deepEqual(await lives(), before, "nobody left");
  } finally {
    await bench().cluster.heal();
  }
  await bench().untilAllAreMembers();
}, 180_000);

acceptance("a node cannot renew its lease while its links live: it is out after a while, each call ends, and it comes back in another life", async () => {
  const { incarnation } = await bench().status("C");
  const mend = await preventRenewal("C");
  try {
    await bench().until("its status says that the lease is not renewed", ["C"], ({ renewals }) => /no renewal .* has been confirmed/.test(renewals.alarm ?? ""));
    const isOut = ({ view }: StatusDocument) => view?.isInForce === true && !view.members.some((member) => member.id === bench().id("C") && member.incarnation === incarnation);
    for (let isOver = false; !isOver; ) {
      const [onManager, onOther, onNode] = await within(Promise.all(everybody.map((letter) => endOfCall(letter))), "each call ends", 60_000);
      assert.deepEqual([onManager, onOther], ["made", "made"], "the others go on");
      assert.ok(onNode === "made" || onNode === "ENOTREADY", onNode);
      isOver = isOut(await bench().status("A"));
    }
  } finally {
    mend();
  }
  await bench().until("it is a member in another life", everybody, ({ state, view }) =>
    state === "member" && view?.isInForce === true && view.members.some((member) => member.id === bench().id("C") && member.incarnation > incarnation), 60_000);
  await bench().until("and the alarm is over", ["C"], ({ renewals }) => renewals.alarm === undefined);
}, 180_000);

acceptance("the clocks on the walls of the nodes are years apart and jump: no view changes by it, and sessions, events and failover are as ever", async (note) => {
  const preload = clockShifter();
  if (preload === undefined) return note("libfaketime is not installed (Debian package faketime): not tried");
  const clock = join(bench().cluster.directory, "clock-of-C");
  const shift = (by: string) => writeFileSync(clock, by);
  shift("-800d");
  const shifted = { LD_PRELOAD: preload, DONT_FAKE_MONOTONIC: "1", FAKETIME_NO_CACHE: "1" };
  const wall = async (letter: Letter) => {
    const { session } = await bench().call(letter, "session.create", { info: "what time it is" });
    const audit = await bench().call(letter, "registry.audit", {});
    await bench().call(letter, "session.destroy", { session });
    return audit.findLast((entry) => entry.act === "session created")!.unixMs;
  };
  try {
    await bench().restartWith("B", { ...shifted, FAKETIME: "+400d" });
    await bench().restartWith("C", { ...shifted, FAKETIME_TIMESTAMP_FILE: clock });
    await bench().untilAllAreMembers();
    await bench().call("A", "manager.move", { to: bench().id("B") });
    await bench().until("B is manager", everybody, ({ view }) => view?.isInForce === true && view.manager === bench().id("B"));
    const aheadDays = ((await wall("A")) - Date.now()) / 86_400_000;
    assert(aheadDays > 399 && aheadDays < 401, `the manager's clock shows that it was moved, by ${aheadDays} days`);
    const scene = await blockReaders(bench(), "C", ["A", "B"], "years-apart");
    const before = await lives();
    for (const by of ["+3y", "-5y", "+0"]) {
      shift(by);
      assert.deepEqual(await within(Promise.all(everybody.map((letter) => endOfCall(letter))), "each call ends", 60_000), ["made", "made", "made"]);
      assert(scene.readers.every((reader) => !reader.isOver), "no event ends by a clock on the wall");
    }
    assert.deepEqual(await lives(), before, "nobody is thought dead");
    await bench().kill("C");
    await bench().until("the session has failed", ["A", "B"], ({ registry }) => registry.sessions.some(({ id, state }) => id === scene.session.id && state === "failed"));
    await assumeAndFinish(bench(), scene, "B");
  } finally {
    for (const letter of ["B", "C"] as const) await bench().restartWith(letter, {});
  }
  await bench().untilAllAreMembers();
}, 180_000);

/** libfaketime, which shifts what a process is told of the clock on the wall. */
function clockShifter(): string | undefined {
  return ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`).find((path) => existsSync(path));
}

/** Members as A sees them; who left and came back is another. */
async function lives(): Promise<string[]> {
  return (await bench().status("A")).view!.members.map(({ id, incarnation }) => `${id}@${incarnation}`);
}

async function endOfCall(letter: Letter): Promise<string> {
  try {
    const { session } = await bench().call(letter, "session.create", { info: `made on ${letter}` });
    await bench().call(letter, "session.destroy", { session });
    return "made";
  } catch (error) {
    assert(error instanceof DmError, String(error));
    return error.code;
  }
}

/** A renewal is a rename of the node's own lease file: one that is immutable cannot be renewed. */
async function preventRenewal(letter: Letter): Promise<() => void> {
  const leases = join(bench().cluster.directory, "coordination", "leases");
  const own = () => readdirSync(leases).filter((name) => name.startsWith(bench().id(letter))).map((name) => join(leases, name));
  const mark = (flag: "+i" | "-i", file: string) => spawnSync("chattr", [flag, file]).status === 0;
  await eventually("the lease file is caught between two renewals", () => own().some((file) => mark("+i", file) && existsSync(file)));
  return () => {
    for (const file of own()) mark("-i", file);
  };
}
