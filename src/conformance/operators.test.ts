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
import { regionFlags } from "../dmapi/regions.js";
import { acceptance, type Conversation, type Letter, type Program, shareBench } from "./bench.js";
import type { DmSession } from "./dm-session.js";
import { sluice } from "./migrator.js";
import { refused, within } from "./waiting.js";

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
  for (let open = true; open; open = !next.isOver) {
    const held = await Promise.race([got(scene.application), next.end]);
    if (typeof held === "number") assert.equal(await within(scene.application.ask(`answer ${held}`), "its answer"), `answered ${held}`);
  }
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
  for (let held = token; ; held = await got(scene.application)) {
    await within(scene.application.ask(`answer ${held}`), "its answer");
    if (await Promise.race([user.end.then(() => true), new Promise<false>((resolve) => setTimeout(resolve, 500, false))])) break;
  }
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
