/**
 * The time-outs that an administrator sets, on real daemons: each at once, after a while, and without limit, since they are
 * each node's own and may differ between nodes. B has the defaults.
 *
 * Not here  eventTimeoutMs, which concerns the kernel's NFS server (daemon/reactor/events.test.ts); linkTimeoutMs
 *           (faults.test.ts, simulator/link-timeout.test.ts); guardTimeoutMs (daemon/reactor/events.test.ts).
 * Source    XDSM clusters' configuration parameters; docs/operating.md, "Time-outs".
 */
import assert from "node:assert/strict";
import type { ConfigChange } from "../cli/cluster/node-file.js";
import type { NodeConfigFile } from "../daemon/config.js";
import type { FsName, Handle } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import { acceptance, type Letter, type Program, shareBench } from "./bench.js";
import { blockReaders } from "./blocked-readers.js";
import type { DmSession } from "./dm-session.js";
import { eventually, refused, within } from "./waiting.js";

const WITHOUT_LIMIT = 86_400_000;
const SHORT_MS = 1_500;
type Settings = Pick<NodeConfigFile, "timeouts" | "mountEvent">;
type FsSettings = Partial<NonNullable<NodeConfigFile["fileSystems"]>[number]>;
const change = (settings: Settings, fsSettings: FsSettings = {}): ConfigChange => (file) => ({
  ...file, ...settings, fileSystems: file.fileSystems?.map((fs) => ({ ...fs, ...fsSettings })) ?? [],
});
const everybody: readonly Letter[] = ["A", "B", "C", "D"];
const fs1 = "fs1" as FsName;
const bench = shareBench({
  nodes: 4, fileSystems: ["fs1"],
  configure: {
    A: change({ mountEvent: "LocalNode", timeouts: { sessionFailureTimeoutMs: 0 } }, { ownerTimeout: "error", dataEventRetry: 0 }),
    C: change({ mountEvent: "SessionNode", timeouts: { sessionFailureTimeoutMs: SHORT_MS, ownerTimeoutMs: SHORT_MS, namespaceEventTimeoutMs: SHORT_MS, fencedHoldMs: SHORT_MS } }),
    D: change({ timeouts: { sessionFailureTimeoutMs: WITHOUT_LIMIT, ownerTimeoutMs: WITHOUT_LIMIT, failedSessionRetentionMs: SHORT_MS } }, { ownerTimeout: "ignore", dataEventRetry: -1 }),
  },
});

acceptance("sessionFailureTimeoutMs: users of a failed session get EIO at once, after a while, or wait until it is assumed", async () => {
  const { session, readers, info } = await blockReaders(bench(), "B", ["A", "C", "D"], "failed");
  const [onA, onC, onD] = readers;
  const killedMs = performance.now();
  await bench().kill("B");
  await fails(onA!, "at once");
  await fails(onC!, "after a while");
  assert(performance.now() - killedMs >= SHORT_MS, "not before its time");
  await bench().until("the third waits without a deadline", ["D"], (status) => status.waiters.some((waiter) => waiter.cause === "session-failed" && waiter.deadlineMs === undefined));
  await bench().call("C", "session.assume", { session: session.id, info });
  session.letter = "C";
  const serving = session.serve();
  assert.equal((await within(onD!.end, "the reader that waited")).output.toString(), "true bytes\n");
  await serving.stop();
  assert(serving.seen.every(({ source }) => source === bench().id("D")), "who was told EIO is not offered again");
  await session.regions(bench().handle("C", "fs1", "failed"), []);
  await session.end();
  await bench().startAll();
});

acceptance("ownerTimeout: a data event that no session takes ends with EIO at once or after a while, or goes on where the bytes are there", async () => {
  const { session, handle, become } = await managedFile("ownerless");
  const look = (letter: Letter) => bench().program("cat", [bench().path(letter, "fs1", "ownerless")]);
  await fails(look("A"), "error: at once");
  const beganMs = performance.now();
  await fails(look("C"), "wait: after a while");
  assert(performance.now() - beganMs >= SHORT_MS, "not before its time");
  assert.equal((await bench().run("cat", [bench().path("D", "fs1", "ownerless")])).toString(), "true bytes\n", "ignore: the operation goes on");
  await become("partial");
  const waiting = look("D");
  await bench().until("ignore, but bytes that are not there: it waits, without a deadline", ["D"], (status) => status.waiters.some((waiter) => waiter.cause === "no-owner" && waiter.deadlineMs === undefined));
  await become("resident");
  await session.takes("fs1", ["read"]);
  const serving = session.serve();
  assert.equal((await within(waiting.end, "it is taken at last")).output.toString(), "true bytes\n");
  await serving.stop();
  await session.regions(handle, []);
  await session.end();
});

acceptance("dataEventRetry: continue without a recall is asked again never, twice, or until the bytes are there", async () => {
  const { session, handle, become } = await managedFile("asked-again");
  await session.takes("fs1", ["read"]);
  await become("partial");
  const serving = session.serve();
  const asked = (letter: Letter) => serving.seen.filter(({ source }) => source === bench().id(letter)).length;
  const look = (letter: Letter) => bench().program("cat", [bench().path(letter, "fs1", "asked-again")]);
  await fails(look("A"), "never again");
  await fails(look("C"), "twice");
  assert.deepEqual([asked("A"), asked("C")], [1, 3]);
  const waiting = look("D");
  await eventually("it is asked again and again", () => asked("D") > 10);
  assert.equal(waiting.isOver, false);
  await become("resident");
  assert.equal((await within(waiting.end, "the bytes are there")).output.toString(), "true bytes\n");
  await serving.stop();
  await session.regions(handle, []);
  await session.end();
});

acceptance("namespaceEventTimeoutMs: a held operation on a name ends with EIO", async () => {
  const session = await bench().session("B", "holds names", { fs1: ["create"] });
  await session.enable("fs1", ["create"]);
  const beganMs = performance.now();
  const user = bench().program("mkdir", [bench().path("C", "fs1", "held-name")]);
  await session.next();
  await fails(user, "nobody answers");
  assert(performance.now() - beganMs >= SHORT_MS, "not before its time");
  await session.enable("fs1", []);
  await session.end();
});

acceptance("mountEvent: all mounts are told of, those of nodes with a session, or those of the session's own node", async () => {
  const session = await bench().session("B", "mounts", { global: ["mount"], fs1: ["preunmount", "unmount"] });
  await session.enable("fs1", ["preunmount", "unmount"]);
  const serving = session.serve();
  const again = async (letter: Letter) => {
    const before = serving.seen.length;
    await bench().call(letter, "fs.unmount", { fs: fs1 });
    await bench().call(letter, "fs.mount", { fs: fs1 });
    return serving.seen.slice(before).map((message) => `${bench().letterOf(message.source)} ${message.event.type}`);
  };
  const told = (letter: Letter) => ["preunmount", "unmount", "mount"].map((type) => `${letter} ${type}`);
  assert.deepEqual(await again("D"), told("D"), "all");
  assert.deepEqual(await again("A"), [], "LocalNode: no session lives there");
  const onA = await bench().session("A", "lives on A");
  assert.deepEqual(await again("A"), told("A"), "LocalNode: one does");
  await onA.end();
  const onC = await bench().session("C", "mounts of C", { global: ["mount"] });
  const servingC = onC.serve();
  assert.deepEqual(await again("C"), [], "SessionNode: the session lives elsewhere");
  await servingC.stop();
  assert.deepEqual(servingC.seen.map((message) => `${bench().letterOf(message.source)} ${message.event.type}`), ["C mount"], "SessionNode: this one lives there");
  await serving.stop();
  await session.enable("fs1", []);
  await onC.end();
  await session.end();
});

acceptance("mountTimeoutMs: a mount that requires a session fails with EIO at once or after a while, or waits for one", async () => {
  const required = (mountTimeoutMs: number) => change({ timeouts: { mountTimeoutMs } }, { mountEvents: "required", autoMount: false });
  const mounting = () => bench().call("D", "fs.mount", { fs: fs1 });
  for (const limitMs of [0, SHORT_MS]) {
    await bench().restartAs("D", required(limitMs));
    const beganMs = performance.now();
    await refused("EIO", within(mounting(), "the mount"));
    assert(performance.now() - beganMs >= limitMs, "not before its time");
  }
  await bench().restartAs("D", required(WITHOUT_LIMIT));
  let isMounted = false;
  const waiting = mounting().then(() => {
    isMounted = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 2 * SHORT_MS));
  assert.equal(isMounted, false, "it waits");
  const session = await bench().session("B", "takes mounts", { global: ["mount"] });
  assert.equal((await session.answerNext("mount")).source, bench().id("D"));
  await within(waiting, "the mount that is taken");
  await bench().call("B", "disposition.set", { session: session.id, fs: "global", events: [] });
  await session.end();
  await bench().restartAs("D", change({ timeouts: { failedSessionRetentionMs: SHORT_MS } }));
  await bench().cluster.waitUntilUsable();
});

acceptance("failedSessionRetentionMs: a failed session that nobody assumes is discarded", async () => {
  await bench().call("A", "manager.move", { to: bench().id("D") });
  const session = await bench().session("B", "left alone");
  await bench().kill("B");
  await bench().until("it is discarded", ["A", "C", "D"], ({ registry }) => registry.sessions.every(({ id }) => id !== session.id));
  await refused("EINVAL", bench().call("C", "session.assume", { session: session.id, info: "left alone" }));
  await bench().startAll();
});

acceptance("fencedHoldMs: users of a node that is out of the view wait for it to return, then get ESTALE", async () => {
  await bench().nameFirstManager();
  await bench().shell('echo "true bytes" > "$1"', bench().path("A", "fs1", "left"));
  for (const letter of ["A", "B", "D"] as const) await bench().cluster.cut(bench().id("C"), bench().id(letter));
  try {
    await bench().until("it is out", ["C"], ({ state }) => state === "excluded");
    const end = await within(bench().program("cat", [bench().path("C", "fs1", "left")]).end, "its user");
    assert.match(end.errors, /Stale file handle/);
  } finally {
    await bench().cluster.heal();
  }
  await bench().untilAllAreMembers();
  assert.equal((await bench().run("cat", [bench().path("C", "fs1", "left")])).toString(), "true bytes\n");
  assert.equal(everybody.length, (await bench().status("C")).view?.members.length);
});

async function fails(user: Program, when: string): Promise<void> {
  const end = await within(user.end, when);
  assert.notEqual(end.code, 0, when);
  assert.match(end.errors, /Input\/output error/, when);
}

interface Managed {
  readonly session: DmSession;
  readonly handle: Handle;
  /** Says of its bytes that they are all there, or not; the read region stays. */
  become(residency: "resident" | "partial"): Promise<void>;
}
/** A file with a read region, by a session that takes nothing yet. */
async function managedFile(name: string): Promise<Managed> {
  const session = await bench().session("B", `session of ${name}`);
  await bench().shell('echo "true bytes" > "$1"', bench().path("A", "fs1", name));
  const handle = bench().handle("B", "fs1", name);
  const regions = [{ offset: 0, size: 0, flags: regionFlags.read }];
  await session.regions(handle, regions);
  return {
    session, handle,
    become: async (residency) => {
      await bench().call("B", "record.change", { session: session.id, handle, change: { residency, regions } });
    },
  };
}
