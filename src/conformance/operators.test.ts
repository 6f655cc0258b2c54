/**
 * What an operator decides and sees: application leases with the fate of each class of event, blocked users, the way of
 * one event, who changed the registry.
 *
 * Source    blueprint section 7 (application leases, audit), promise 2; safety M4.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ApplicationLease } from "../client/index.js";
import type { DmCode } from "../dmapi/errors.js";
import type { TraceDocument } from "../dmapi/status.js";
import { regionFlags } from "../dmapi/regions.js";
import { acceptance, type Conversation, type Letter, type Program, shareBench } from "./bench.js";
import type { DmSession } from "./dm-session.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { eventually, refused, within } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"] });
const applicationFile = join(dirname(fileURLToPath(import.meta.url)), "holding-application.js");
const LEASE_MS = 3_000;

interface Scene {
  readonly session: DmSession;
  readonly standby: DmSession;
  readonly name: string;
  application: Conversation;
}

/** A session on B with an application of its own, a standby on A, a file whose reads are held. */
async function begin(name: string, onLost: (standby: DmSession) => ApplicationLease["onLost"]): Promise<Scene> {
  await bench().shell('echo "true bytes" > "$1"', bench().path("A", "fs1", name));
  const standby = await bench().session("A", `${name} standby`);
  const session = await bench().session("B", name, { fs1: ["read", "create"] });
  await bench().call("B", "session.modify", { session: session.id, lease: { afterMs: LEASE_MS, onLost: onLost(standby) } });
  await session.regions(bench().handle("B", "fs1", name), [{ offset: 0, size: 0, flags: regionFlags.read }]);
  return { session, standby, name, application: await startApplication("B", session) };
}
async function startApplication(letter: Letter, session: DmSession): Promise<Conversation> {
  const application = bench().conversation(process.execPath, [applicationFile, bench().cluster.socket(bench().id(letter)), String(session.id)]);
  assert.equal(await within(application.line(), "the application is ready"), "ready");
  return application;
}
function reader(scene: Scene): Program {
  return bench().program("cat", [bench().path("C", "fs1", scene.name)]);
}
/** The token of the next event it got. */
async function got(application: Conversation): Promise<number> {
  const [word, token] = (await within(application.line(), "the application gets an event"))?.split(" ") ?? [];
  assert.equal(word, "got");
  return Number(token);
}
/** The application lets the user go on, as often as its event is raised again, until it has ended. */
async function answerUntilOver(application: Conversation, user: Program): Promise<void> {
  while (!user.isOver) {
    const held = await Promise.race([got(application), user.end]);
    if (typeof held === "number") assert.equal(await within(application.ask(`answer ${held}`), "its answer"), `answered ${held}`);
  }
}
async function end(scene: Scene): Promise<void> {
  scene.application.child.kill("SIGKILL");
  await scene.session.regions(bench().handle("B", "fs1", scene.name), []);
  await bench().call("B", "session.modify", { session: scene.session.id, lease: null });
  await scene.session.takes("fs1", []);
  await scene.session.end();
  await scene.standby.end();
}

acceptance("an application is killed while a reader waits: its standby on another node gets the event under its token and answers", async () => {
  const scene = await begin("lease-standby", (standby) => ({ data: { kind: "standby", session: standby.id } }));
  const user = reader(scene);
  const token = await got(scene.application);
  scene.application.child.kill("SIGKILL");
  const offered = await scene.standby.next();
  assert.deepEqual([offered.token, offered.event.type, offered.source], [token, "read", bench().id("C")]);
  assert.equal(user.isOver, false);
  const serving = scene.standby.serve();
  await scene.standby.respond(offered);
  assert.equal((await within(user.end, "the reader")).output.toString(), "true bytes\n");
  // Who comes while nobody serves the session does not wait for the lease again.
  assert.equal((await bench().run("cat", [bench().path("A", "fs1", scene.name)])).toString(), "true bytes\n");
  await serving.stop();
  await end(scene);
});

acceptance("an application stands still: the standby answers; when it wakes, its own answer is too late and it serves again", async () => {
  const scene = await begin("lease-frozen", (standby) => ({ data: { kind: "standby", session: standby.id } }));
  const user = reader(scene);
  const token = await got(scene.application);
  scene.application.child.kill("SIGSTOP");
  const serving = scene.standby.serve();
  assert.equal((await within(user.end, "the reader")).output.toString(), "true bytes\n");
  await serving.stop();
  assert(serving.seen.some((message) => message.token === token));
  scene.application.child.kill("SIGCONT");
  assert.equal(await within(scene.application.ask(`answer ${token}`), "its late answer"), "refused ESRCH");
  const next = reader(scene);
  await answerUntilOver(scene.application, next);
  assert.equal((await next.end).output.toString(), "true bytes\n");
  await end(scene);
});

acceptance("an application is killed and its users are told an errno, each class its own", async () => {
  const fails = (code: DmCode) => ({ kind: "errno", code }) as const;
  const scene = await begin("lease-errno", () => ({ data: fails("ETIMEDOUT"), namespace: fails("EACCES") }));
  await scene.session.enable("fs1", ["create"]);
  const user = reader(scene);
  await got(scene.application);
  scene.application.child.kill("SIGKILL");
  assert.match((await within(user.end, "the reader")).errors, /Connection timed out/);
  const made = await within(bench().program("mkdir", [bench().path("C", "fs1", "lease-errno-directory")]).end, "the directory");
  assert.match(made.errors, /Permission denied/);
  await scene.session.enable("fs1", []);
  await end(scene);
});

acceptance("an application is killed and its users wait: the next one gets the event again, under its token", async () => {
  const scene = await begin("lease-wait", () => ({}));
  const user = reader(scene);
  const token = await got(scene.application);
  scene.application.child.kill("SIGKILL");
  await bench().until("the session is known to be without application", ["B"], ({ queues }) => queues.some((queue) => queue.session === scene.session.id && queue.application?.lostInMs === 0));
  assert.equal(user.isOver, false);
  scene.application = await startApplication("B", scene.session);
  assert.equal(await got(scene.application), token);
  assert.equal(await within(scene.application.ask(`answer ${token}`), "its answer"), `answered ${token}`);
  await answerUntilOver(scene.application, user);
  assert.equal((await user.end).output.toString(), "true bytes\n");
  await end(scene);
});

acceptance("a lease that cannot be kept is refused in words, at creation and at change", async () => {
  const session = await bench().session("B", "bad leases");
  const change = (onLost: ApplicationLease["onLost"]) => bench().call("B", "session.modify", { session: session.id, lease: { afterMs: LEASE_MS, onLost } });
  await refused("EINVAL", change({ data: { kind: "standby", session: session.id } }));
  await refused("EINVAL", change({ data: { kind: "standby" } }));
  await refused("EINVAL", change({ data: { kind: "errno", code: "EWHAT" as DmCode } }));
  await refused("EINVAL", bench().call("B", "session.create", { info: "", lease: { afterMs: 5, onLost: {} } }));
  await session.end();
});

acceptance("the audit tells who changed the registry, the same on every node, and survives the manager", async () => {
  const session = await bench().session("B", "audited", { fs1: ["read"] });
  await bench().call("C", "session.modify", { session: session.id, info: "audited twice" });
  const ofSession = async (letter: Letter) => (await bench().call(letter, "registry.audit", {})).filter((entry) => entry.session === session.id);
  const seen = await ofSession("A");
  assert.deepEqual(seen.map(({ act, node }) => [act, node]), [
    ["session created", bench().id("B")], ["dispositions set", bench().id("B")], ["session modified", bench().id("C")],
  ]);
  for (const { caller, unixMs } of seen) {
    assert.deepEqual([caller?.pid, caller?.uid, caller?.command !== ""], [process.pid, process.getuid?.(), true]);
    assert(Math.abs(unixMs - Date.now()) < 120_000);
  }
  for (const letter of ["B", "C"] as const) assert.deepEqual(await ofSession(letter), seen);
  await bench().call("A", "manager.move", { to: bench().id("C") });
  await session.takes("fs1", []);
  await session.end();
  const after = await ofSession("B");
  assert.deepEqual(after.slice(0, seen.length), seen);
  assert.deepEqual(after.slice(seen.length).map(({ act }) => act), ["dispositions set", "session destroyed"]);
  const shown = (await sluice(bench(), "A", "audit")).toString();
  assert.match(shown, /session destroyed/);
  assert.match(shown, new RegExp(`pid ${process.pid}`));
});

acceptance("blocked users are shown from any node: who, on what, for whom, until when and what happens then", async () => {
  const scene = await begin("waiters", () => ({ data: { kind: "errno", code: "ETIMEDOUT" } }));
  const user = bench().program("cat", [bench().path("C", "fs1", scene.name)], { uid: 65_534, gid: 65_534 });
  const token = await got(scene.application);
  const shown = async (letter: Letter) => {
    const { waiters, silent } = await bench().call(letter, "cluster.waiters", {});
    assert.deepEqual(silent, []);
    return waiters.filter((waiter) => waiter.fs === bench().fs("fs1"));
  };
  for (const letter of ["A", "B", "C"] as const) {
    const [waiter, ...more] = await shown(letter);
    assert(waiter !== undefined && more.length === 0);
    assert.deepEqual([waiter.node, waiter.uid, waiter.command, waiter.call, waiter.path, waiter.cause, waiter.session, waiter.token],
      [bench().id("C"), 65_534, "cat", "read", `/${scene.name}`, "event", scene.session.id, token]);
    assert.match(waiter.waitsFor ?? "", new RegExp(`session ${scene.session.id} on ${bench().id("B")}: its application has the event .*${scene.application.child.pid}`));
  }
  scene.application.child.kill("SIGKILL");
  await eventually("the lease's fate is announced", async () => {
    const [waiter] = await shown("A");
    return waiter?.deadlineMs !== undefined && waiter.deadlineMs <= LEASE_MS && /fails with ETIMEDOUT/.test(waiter.fate ?? "");
  });
  assert.match((await sluice(bench(), "A", "waiters")).toString(), /nobody .*cat .*read .*it fails with ETIMEDOUT/);
  assert.match((await within(user.end, "the reader")).errors, /timed out/);
  await end(scene);
});

acceptance("a call that waits for a right, and the user its fence holds up, are shown with the holder", async () => {
  const scene = await begin("waits-right", () => ({}));
  await scene.session.takes("fs1", []);
  const tokenOf = async () => (await bench().call("B", "userevent.create", { session: scene.session.id, data: new Uint8Array([1]) })).token;
  const [first, second] = [await tokenOf(), await tokenOf()];
  const handle = bench().handle("B", "fs1", scene.name);
  const request = (token: typeof first) => bench().call("B", "right.request", { session: scene.session.id, handle, token, right: "exclusive", wait: true });
  await request(first);
  const waiting = request(second);
  const user = bench().program("truncate", ["-s", "3", bench().path("C", "fs1", scene.name)]);
  await eventually("both are shown", async () => {
    const { waiters } = await bench().call("A", "cluster.waiters", {});
    const byFirst = (cause: string) => waiters.some((waiter) => waiter.cause === cause && waiter.handle !== undefined && waiter.waitsFor?.includes(`exclusive by token ${first} on ${bench().id("B")}`));
    return byFirst("right") && byFirst("fence");
  });
  const release = (token: typeof first) => bench().call("B", "event.respond", { session: scene.session.id, token, response: { kind: "continue" } });
  await release(first);
  await within(waiting, "the second right");
  await release(second);
  assert.equal((await within(user.end, "the user")).code, 0);
  await end(scene);
});

acceptance("one event, one trace: from the held read to its answer, over all nodes, with the store's part told by the migrator", async () => {
  const name = "traced";
  await bench().shell('head -c 300000 /dev/urandom > "$1"', bench().path("A", "fs1", name));
  const migrator = await startMigrator(bench(), "B");
  await sluice(bench(), "B", "migrate", bench().path("B", "fs1", name));
  const mark = await bench().mark("C");
  await bench().run("cat", [bench().path("C", "fs1", name)]);
  const token = (await bench().since("C", mark)).find((entry) => entry.kind === "event-raised")?.token;
  assert(token !== undefined, "the message log names the event");
  for (const letter of ["A", "B", "C"] as const) {
    const { steps, silent }: TraceDocument = await bench().call(letter, "cluster.trace", { token });
    assert.deepEqual(silent, []);
    const [b, c] = [bench().id("B"), bench().id("C")];
    assert.deepEqual(steps.map(({ node, role, step }) => [node, role, step]).filter(([, , step]) => step !== "released"), [
      [c, "source", "held"], [c, "source", "caused"], [c, "source", "sent"], [b, "session", "arrived"], [b, "session", "delivered"],
      [b, "application", "noted"], [b, "rights", "asked"], [b, "rights", "granted"], [b, "application", "noted"], [b, "session", "answered"], [c, "source", "resumed"],
    ]);
    assert(steps.some(({ step, node }) => step === "released" && node === b));
    assert(steps.every(({ unixMs }, at) => at === 0 || unixMs >= steps[at - 1]!.unixMs));
  }
  const printed = (await sluice(bench(), "A", "trace", String(token))).toString();
  for (const words of [/caused by cat \(pid \d+\)/, /fetches object .* of 300000 bytes/, /right exclusive granted/, /the operation goes on/]) assert.match(printed, words);
  await stopMigrator(migrator);
});
