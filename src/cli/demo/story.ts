/**
 * The story: sessions, events, migration and transparent recall over three nodes, with things dying along the way.
 *
 * Roles     M the session manager at the beginning, S the session node, R where most users read.
 * Not here  the walk through the requirements (requirements.ts).
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Connection, connect } from "../../client/index.js";
import type { EventType } from "../../dmapi/events.js";
import type { FsName, NodeId, SessionId } from "../../dmapi/ids.js";
import type { LogEntry } from "../../dmapi/status.js";
import { formatBytes } from "../output.js";
import type { Narrator } from "./narrator.js";
import type { Running, Stage } from "./stage.js";
import { makeTree, type Tree } from "./tree.js";

const mapProgram = join(dirname(fileURLToPath(import.meta.url)), "map-file.js");
const MIGRATED = "migrated";

export interface Cast {
  readonly manager: NodeId;
  readonly sessionNode: NodeId;
  readonly reader: NodeId;
}

/** Plays everything; throws at the first check that fails. */
export async function playStory(stage: Stage, say: Narrator): Promise<Cast> {
  const cast = await beginStory(stage, say, ["fs1", "fs2"]);
  await say.step(`A third node, ${cast.reader}, sets what the session gets; an event goes straight to it`, () => setDispositions(stage, say, cast));
  const tree = await say.step(`A real tree of files is put on ${cast.manager}'s mount`, () => putTree(stage, say, cast));
  let migrator = await say.step(`The migration application on ${cast.sessionNode} moves it to a directory store`, () => migrate(stage, say, cast, tree));
  await say.step(`Ordinary programs on ${cast.reader} read migrated files`, () => readBack(stage, say, cast, tree));
  await say.step("Two nodes read one stub at once: one recall", () => readTwice(stage, say, cast, tree));
  await say.step("Ctrl-C on a read whose recall is slow ends it at once", () => interruptReader(stage, say, cast, tree, migrator));
  migrator = await say.step(`${cast.sessionNode} is killed while a reader waits; the session is assumed on ${cast.reader}`, () => killSessionNode(stage, say, cast, tree, migrator));
  await say.step(`The manager, ${cast.manager}, is killed; a third node takes over and collects`, () => killManager(stage, say, cast));
  await say.step("At the end every checksum equals the original's, on every node", () => compareAll(stage, say));
  migrator.child.kill("SIGINT");
  const ended = await stage.ended(migrator, "the migration application");
  say.check("the migration application ended in order", ended.code === 0, ended.errors.trim());
  return cast;
}

/** The first two steps, which need no file system. */
export async function beginStory(stage: Stage, say: Narrator, fileSystems: readonly string[]): Promise<Cast> {
  const cast = await say.step("Three nodes start; one is chosen session manager", () => startCluster(stage, say, fileSystems));
  await say.step(`A session is created on ${cast.sessionNode}, by one message to the manager, which tells every node`, () => createSession(stage, say, cast));
  return cast;
}

async function startCluster(stage: Stage, say: Narrator, fileSystems: readonly string[]): Promise<Cast> {
  await stage.open(3, fileSystems);
  const document = await stage.cluster.document();
  const statuses = await Promise.all(stage.cluster.nodes.map((id) => stage.cluster.status(id)));
  const named = new Set(statuses.map((status) => status.view?.manager));
  say.show(statuses.map((status) => `${status.node}: manager ${status.view?.manager}, view ${status.view?.number}: ${status.view?.why}`).join("\n"));
  say.check("all nodes name the same session manager", named.size === 1 && document.manager !== null, String(document.manager));
  if (fileSystems.length > 0) say.check("every file system is mounted on every node", document.nodes.every((node) => node.mounts.length === fileSystems.length));
  const [sessionNode, reader] = stage.cluster.nodes.filter((id) => id !== document.manager);
  return { manager: document.manager!, sessionNode: sessionNode!, reader: reader! };
}

async function createSession(stage: Stage, say: Narrator, cast: Cast): Promise<void> {
  const marks = await marksOf(stage);
  const { session } = await stage.cluster.call(cast.sessionNode, "session.create", { info: "the demonstration's first session" });
  await showMessages(stage, say, marks, /^(manager-|registry-)/);
  const atManager = await stage.log(cast.manager, marks.get(cast.manager));
  say.check("one message from the session node to the manager", atManager.filter((entry) => entry.from === cast.sessionNode && entry.kind === "manager-call").length === 1);
  say.check("one message from the manager to the third node", atManager.filter((entry) => entry.to === cast.reader && entry.kind === "registry-changed").length === 1);
  const known = await Promise.all(stage.cluster.nodes.map(async (id) => (await stage.cluster.status(id)).registry.sessions.find((one) => one.id === session)?.node));
  say.check("every node lists it when the call returns", known.every((node) => node === cast.sessionNode), `session ${session}`);
  await stage.cluster.call(cast.sessionNode, "session.destroy", { session });
}

async function setDispositions(stage: Stage, say: Narrator, cast: Cast): Promise<void> {
  const application = await connect({ socket: stage.cluster.socket(cast.sessionNode) });
  try {
    const session = await application.createSession("takes creations on fs2");
    const events: readonly EventType[] = ["create"];
    await stage.cluster.call(cast.reader, "disposition.set", { session: session.id, fs: "fs2" as FsName, events });
    const tables = await Promise.all(stage.cluster.nodes.map((id) => stage.cluster.call(id, "disposition.list", {})));
    say.show(tables[0]!.map((one) => `${one.fs} ${one.event} -> session ${one.session}`).join("\n"));
    say.check("the table is the same on every node", tables.every((table) => JSON.stringify(table) === JSON.stringify(tables[0])));
    await enable(application, session.id, events);
    const marks = await marksOf(stage);
    const touching = stage.start("touch", [stage.mount(cast.manager, "fs2", "created")]);
    const [event] = await session.getEvents({ waitMs: 10_000, max: 1 });
    say.check("the creation on another node waits, and its event is here", event?.type === "create" && !touching.isOver, `from ${event?.node}, by ${event?.process?.command}`);
    await event?.continue();
    say.check("the answer lets the user go on", (await stage.ended(touching, "touch")).code === 0);
    await showMessages(stage, say, marks, /^event-/);
    await enable(application, session.id, []);
    await session.setDisposition("fs2", []);
    await session.destroy();
  } finally {
    application.close();
  }
}

async function putTree(stage: Stage, say: Narrator, cast: Cast): Promise<Tree> {
  const original = stage.place("original");
  const tree = makeTree(original);
  await stage.run("cp", ["-a", original, stage.mount(cast.manager, "fs1", "tree")]);
  say.show(`${tree.files} files, ${formatBytes(tree.bytes)}; hard links, names with newline, blanks and bytes that are no UTF-8, an executable`);
  const there = await checksums(stage, stage.mount(cast.reader, "fs1", "tree"));
  say.check("another node sees the same bytes and names", there.equals(await checksums(stage, original)));
  return tree;
}

async function migrate(stage: Stage, say: Narrator, cast: Cast, tree: Tree): Promise<Running> {
  const store = stage.place("store");
  mkdirSync(store, { mode: 0o700 });
  const migrator = await startMigrator(stage, cast.sessionNode);
  const before = await measure(stage, cast.reader);
  await stage.sluice(cast.manager, "migrate", "-r", stage.mount(cast.manager, "fs1", "tree"));
  const after = await measure(stage, cast.reader);
  say.show((await stage.sluice(cast.reader, "ls", ...tree.large.map((name) => stage.mount(cast.reader, "fs1", "tree", name)))).toString().trimEnd());
  say.check("allocated blocks fell", after.blocks < before.blocks / 10, `${formatBytes(before.blocks * 512)} to ${formatBytes(after.blocks * 512)}`);
  say.check("sizes, owners, modes, times and link counts did not change", after.faces.equals(before.faces), firstDifference(before.faces, after.faces));
  const stored = Number((await stage.shell('du -sk "$1" | cut -f1', store)).toString()) * 1024;
  say.check("the store has the bytes", stored > tree.bytes * 0.9, formatBytes(stored));
  return migrator;
}

async function readBack(stage: Stage, say: Narrator, cast: Cast, tree: Tree): Promise<void> {
  const original = (name: string) => stage.place("original", name);
  const stub = (name: string) => stage.mount(cast.reader, "fs1", "tree", name);
  const isMigrated = async (name: string) => (await stateOf(stage, cast.reader, stub(name))) === MIGRATED;
  const wasMigrated = async (name: string) => say.check(`${name} is migrated`, await isMigrated(name));
  await wasMigrated("medium/file-0");
  await stage.run("cmp", [original("medium/file-0"), stub("medium/file-0")]);
  say.check("cmp finds no difference", true);
  await wasMigrated("medium/file-1");
  await stage.shell('cd "$1"; tar -Scf - medium/file-1 medium/file-2 | (cd "$2"; tar -xf -); cmp "$1/medium/file-1" "$2/medium/file-1"', stage.mount(cast.reader, "fs1", "tree"), scratch(stage));
  await stage.run("cmp", [original("medium/file-2"), join(scratch(stage), "medium/file-2")]);
  say.check("tar -S packs the true bytes", true);
  await wasMigrated("medium/file-3");
  await stage.run("cp", ["--sparse=always", stub("medium/file-3"), join(scratch(stage), "sparse")]);
  await stage.run("cmp", [original("medium/file-3"), join(scratch(stage), "sparse")]);
  say.check("cp --sparse copies the true bytes", true);
  await wasMigrated(tree.large[0]!);
  const mapped = (await stage.run(process.execPath, [mapProgram, stub(tree.large[0]!)])).toString().trim();
  say.check("mmap shows the true bytes", mapped === (await stage.shell('sha256sum < "$1" | cut -d" " -f1', original(tree.large[0]!))).toString().trim());
  await wasMigrated(tree.executable);
  const said = await stage.run(stub(tree.executable), ["/etc/os-release"]);
  say.check("a migrated program executes", said.equals(await stage.run("cat", ["/etc/os-release"])));
}

async function readTwice(stage: Stage, say: Narrator, cast: Cast, tree: Tree): Promise<void> {
  const name = tree.large[1]!;
  say.check("the file is migrated", (await stateOf(stage, cast.reader, stage.mount(cast.reader, "fs1", "tree", name))) === MIGRATED);
  const before = await recalls(stage, cast);
  const readers = [cast.reader, cast.manager].map((node) => stage.start("sha256sum", [stage.mount(node, "fs1", "tree", name)]));
  const sums = await Promise.all(readers.map(async (reader) => (await stage.ended(reader, "sha256sum")).output.toString().slice(0, 64)));
  const truth = (await stage.run("sha256sum", [stage.place("original", name)])).toString().slice(0, 64);
  say.check("both read the true bytes", sums.every((sum) => sum === truth));
  const made = (await recalls(stage, cast)) - before;
  say.check("one recall was made", made === 1, `${made}`);
}

async function interruptReader(stage: Stage, say: Narrator, cast: Cast, tree: Tree, migrator: Running): Promise<void> {
  const path = stage.mount(cast.reader, "fs1", "tree", tree.large[2]!);
  migrator.child.kill("SIGSTOP"); // a store that takes for ever
  try {
    const reader = stage.start("cat", [path]);
    await stage.until("the reader is seen waiting", async () => (await waiters(stage, cast.reader)).some((waiter) => waiter.command === "cat"));
    const waiter = (await waiters(stage, cast.reader)).find((one) => one.command === "cat");
    say.show(`${waiter?.command}, pid ${waiter?.pid}, waits ${waiter?.ageMs} ms for ${waiter?.cause}: ${waiter?.detail}`);
    const beganMs = performance.now();
    reader.child.kill("SIGINT");
    const ended = await stage.ended(reader, "the interrupted reader");
    const tookMs = performance.now() - beganMs;
    say.check("the reader ended by the interrupt", ended.signal === "SIGINT");
    say.check("at once", tookMs < 1_500, `${Math.round(tookMs)} ms`);
    await stage.until("nobody waits any more", async () => (await waiters(stage, cast.reader)).length === 0);
  } finally {
    migrator.child.kill("SIGCONT");
  }
}

async function killSessionNode(stage: Stage, say: Narrator, cast: Cast, tree: Tree, application: Running): Promise<Running> {
  const name = tree.large[3]!;
  const path = stage.mount(cast.reader, "fs1", "tree", name);
  say.check("the file is migrated", (await stateOf(stage, cast.reader, path)) === MIGRATED);
  const session = (await stage.cluster.call(cast.reader, "session.list", {})).find((one) => one.node === cast.sessionNode && one.state === "active");
  application.child.kill("SIGKILL"); // a machine that dies takes its application along
  await stage.cluster.kill(cast.sessionNode);
  const reader = stage.start("sha256sum", [path]);
  await stage.until("the session has failed", async () => (await stage.cluster.call(cast.reader, "session.list", {})).some((one) => one.id === session?.id && one.state === "failed"));
  await stage.until("the reader waits", async () => (await waiters(stage, cast.reader)).some((waiter) => waiter.command === "sha256sum"));
  say.check("the reader is not given up, and is visible", !reader.isOver);
  const migrator = await startMigrator(stage, cast.reader);
  const assumed = (await stage.cluster.call(cast.reader, "session.list", {})).find((one) => one.id === session?.id);
  say.check("the same session lives on", assumed?.node === cast.reader && assumed.state === "active", `session ${assumed?.id} on ${assumed?.node}`);
  const sum = (await stage.ended(reader, "the waiting reader")).output.toString().slice(0, 64);
  say.check("the reader got its bytes", sum === (await stage.run("sha256sum", [stage.place("original", name)])).toString().slice(0, 64));
  await stage.cluster.restart(cast.sessionNode);
  say.check("the killed node is back", (await stage.cluster.document()).nodes.every((node) => node.state === "member"));
  return migrator;
}

export async function killManager(stage: Stage, say: Narrator, cast: Cast): Promise<void> {
  const before = await stage.cluster.status(cast.reader);
  const marks = await marksOf(stage, cast.manager);
  await stage.cluster.kill(cast.manager);
  const survivors = stage.cluster.nodes.filter((id) => id !== cast.manager);
  await stage.until("another manager", async () => (await Promise.all(survivors.map((id) => stage.cluster.status(id))))
    .every((status) => status.view?.isInForce === true && status.view.manager !== cast.manager));
  const after = await stage.cluster.status(cast.reader);
  say.show(`${after.view?.manager} is manager of view ${after.view?.number}: ${after.view?.why}`);
  await showMessages(stage, say, marks, /^registry-(collect|install)/);
  say.check("the epoch is higher", (after.view?.number ?? 0) > (before.view?.number ?? 0), `${before.view?.number} to ${after.view?.number}`);
  say.check("no session and no disposition is lost", sorted(after.registry.sessions.map((one) => one.id)) === sorted(before.registry.sessions.map((one) => one.id)) && sorted(after.registry.dispositions) === sorted(before.registry.dispositions));
  const created = await stage.cluster.call(cast.sessionNode, "session.create", { info: "after the takeover" });
  say.check("the new manager serves; its ids are new", !before.registry.sessions.some((one) => one.id === created.session), `session ${created.session}`);
  await stage.cluster.call(cast.sessionNode, "session.destroy", { session: created.session });
  await stage.cluster.restart(cast.manager);
}

async function compareAll(stage: Stage, say: Narrator): Promise<void> {
  const truth = await checksums(stage, stage.place("original"));
  for (const node of stage.cluster.nodes) {
    say.check(`every file read on ${node} has its original's checksum`, truth.equals(await checksums(stage, stage.mount(node, "fs1", "tree"))));
  }
}

/** The migration application in the foreground of a process of its own; returns when it serves. */
async function startMigrator(stage: Stage, node: NodeId): Promise<Running> {
  const running = stage.startSluice(node, "migrator", "run", "--fs", "fs1", "--store", stage.place("store"));
  await stage.until("the migration application serves", async () => {
    if (running.isOver) throw new Error(`the migration application ended: ${(await running.end).errors}`);
    const sessions = await stage.cluster.call(node, "session.list", {});
    const dispositions = await stage.cluster.call(node, "disposition.list", {});
    return sessions.some((one) => one.node === node && one.state === "active" && dispositions.some((d) => d.fs === "fs1" && d.event === "read" && d.session === one.id));
  });
  return running;
}

async function recalls(stage: Stage, cast: Cast): Promise<number> {
  const document: unknown = JSON.parse((await stage.sluice(cast.sessionNode, "migrator", "status", "--fs", "fs1", "--json")).toString());
  return (document as { recalled: number }).recalled;
}
async function stateOf(stage: Stage, node: NodeId, path: string): Promise<string> {
  const document: unknown = JSON.parse((await stage.sluice(node, "state", "--json", path)).toString());
  return (document as { state: string }).state;
}
function waiters(stage: Stage, node: NodeId) {
  return stage.cluster.call(node, "node.waiters", {});
}
async function enable(application: Connection, session: SessionId, events: readonly EventType[]): Promise<void> {
  const fs = (await application.call("fs.list", {})).find((entry) => entry.fs === "fs2")!;
  await application.call("eventlist.set", { session, handle: fs.handle, events });
}
/** Names, link structure and content of a whole tree, as bytes. */
function checksums(stage: Stage, directory: string): Promise<Buffer> {
  return stage.shell('cd "$1"; find . -type f -print0 | sort -z | xargs -0 sha256sum; find . -type l -printf "%p %l\\n" | sort', directory);
}
async function measure(stage: Stage, node: NodeId): Promise<{ blocks: number; faces: Buffer }> {
  const tree = stage.mount(node, "fs1", "tree");
  const blocks = (await stage.shell('cd "$1"; find . -type f -printf "%b\\n"', tree)).toString().split("\n").reduce((sum, line) => sum + Number(line), 0);
  return { blocks, faces: await stage.shell('cd "$1"; find . -type f -printf "%p %s %m %U:%G %T@ %C@ %n\\n" | sort', tree) };
}
function firstDifference(before: Buffer, after: Buffer): string {
  const old = before.toString("latin1").split("\n");
  const at = after.toString("latin1").split("\n").findIndex((line, index) => line !== old[index]);
  return at < 0 ? "" : `${old[at]} became ${after.toString("latin1").split("\n")[at]}`;
}
function scratch(stage: Stage): string {
  const directory = stage.place("scratch");
  if (!existsSync(directory)) mkdirSync(directory);
  return directory;
}
async function marksOf(stage: Stage, without?: NodeId): Promise<Map<NodeId, number>> {
  const nodes = stage.cluster.nodes.filter((id) => id !== without);
  return new Map(await Promise.all(nodes.map(async (id) => [id, (await stage.log(id)).at(-1)?.number ?? 0] as const)));
}
/** Each message once: as its sender logged it. */
async function showMessages(stage: Stage, say: Narrator, marks: ReadonlyMap<NodeId, number>, kinds: RegExp): Promise<void> {
  const sent: LogEntry[] = [];
  for (const [id, mark] of marks) sent.push(...(await stage.log(id, mark)).filter((entry) => entry.from === id && entry.to !== id && kinds.test(entry.kind)));
  sent.sort((a, b) => a.at.localeCompare(b.at));
  for (const entry of sent.slice(0, 16)) say.show(`${entry.at.slice(11, 23)} ${entry.from} -> ${entry.to} ${entry.kind}${entry.session === undefined ? "" : ` session ${entry.session}`}${entry.token === undefined ? "" : ` token ${entry.token}`} epoch ${entry.epoch}${entry.summary === undefined ? "" : `: ${entry.summary}`}`);
}
function sorted(list: readonly unknown[]): string {
  return JSON.stringify(list.map((one) => JSON.stringify(one)).sort());
}
