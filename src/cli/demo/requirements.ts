/**
 * `sluice demo --requirements`: R1 to R19 one by one, each with the log lines and table entries that prove it.
 *
 * Not here  how sessions are made and logs shown (requirements-walk.ts).
 * Source    docs/requirements.md; the acceptance tests T1 to T19 prove more, this shows it.
 */
import { chmodSync, mkdirSync } from "node:fs";
import type { Session } from "../../client/index.js";
import type { EventType } from "../../dmapi/events.js";
import type { FsName } from "../../dmapi/ids.js";
import type { Narrator } from "./narrator.js";
import { describeSession, FS, INFO, OTHER_FS, Walk } from "./requirements-walk.js";
import type { Stage } from "./stage.js";

const SESSION_MESSAGES = /^(manager-call|manager-result|registry-changed)$/;
const TAKEOVER_MESSAGES = /^registry-(collect|collected|installed)$/;
const NOBODY = 65_534;

type Step = readonly [number: string, title: string, show: (walk: Walk) => Promise<void>];
const steps: readonly Step[] = [
  ["R1", "a session is created by one message to the manager, which tells every node; events of all nodes go straight to the session node", creation],
  ["R2", "the manager stores the session", atManager],
  ["R3", "the session node has it too; when it has failed, its next life gets it back from the manager", atSessionNode],
  ["R4", "so have further nodes; when the manager fails, a third node takes over and collects", atFurtherNodes],
  ["R5", "sessions are managed by the functions of the DMAPI, which the manager runs", functions],
  ["R6", "what is reported is set for each file system: those events, and no others", perFileSystem],
  ["R7", "dispositions are set from a node that is not the session node", fromAnotherNode],
  ["R8", "several sessions share the events consistently: one owner each", oneOwner],
  ["R9", "several session nodes: the manager and all nodes know all sessions", severalNodes],
  ["R10", "the manager's node is a session node like any other", onTheManager],
  ["R11", "one application on several nodes shares its work", sharedWork],
  ["R12", "different applications on different nodes do not meet", separateApplications],
  ["R13", "a modification goes to the manager, which tells the nodes", modification],
  ["R14", "so does the destruction; the id does not come back", destruction],
  ["R15", "a migration application frees space, and files stay what they are", migration],
  ["R16", "session ids are made at the manager, and never twice", identifiers],
  ["R17", "a parallel application: an event is handled by the instance on its own node", handledLocally],
  ["R18", "the instances of the other nodes are told", othersAreTold],
  ["R19", "an ordinary user's program raises the event and follows the answer", ordinaryProgram],
];

export async function walkRequirements(stage: Stage, say: Narrator): Promise<void> {
  const walk = new Walk(stage, say);
  await walk.open();
  try {
    for (const [number, title, show] of steps) {
      walk.number = number;
      await say.step(`${number}: ${title}`, () => show(walk));
    }
  } finally {
    walk.close();
  }
}

async function creation(walk: Walk): Promise<void> {
  const statuses = await walk.statuses();
  walk.show(statuses.map(({ node, view }) => `${node}: manager ${view?.manager}, epoch ${view?.number}`).join("\n"));
  walk.check("all nodes name the same manager", statuses.every(({ view }) => view?.manager === walk.manager));
  const marks = await walk.marks();
  const session = await walk.at(walk.host).createSession(INFO);
  walk.session = session.id;
  await walk.showSince(marks, SESSION_MESSAGES);
  const sent = await walk.sentSince(marks, SESSION_MESSAGES);
  walk.check("one request, from the session node to the manager", sent.filter(({ kind, from, to }) => kind === "manager-call" && from === walk.host && to === walk.manager).length === 1);
  for (const node of [walk.host, walk.third]) {
    walk.check(`one information message from the manager to ${node}`, sent.filter(({ kind, from, to }) => kind === "registry-changed" && from === walk.manager && to === node).length === 1);
  }
  await session.setDisposition(FS, ["create"]);
  await walk.enable(FS, ["create"]);
  for (const node of walk.nodes) {
    const before = await walk.marks();
    await walk.answered(session, "mkdir", [walk.path(node, FS, `r1-${node}`)]);
    await walk.showSince(before, /^event-/);
    const asked = (await walk.sentSince(before, /^event-/)).filter(({ from, to }) => walk.manager !== node && (from === walk.manager || to === walk.manager));
    walk.check(`a creation on ${node} reached ${walk.host} without the manager`, asked.length === 0);
  }
  await walk.enable(FS, []);
}

async function atManager(walk: Walk): Promise<void> {
  const { registry } = await walk.status(walk.manager);
  const entry = registry.sessions.find((one) => one.id === walk.session);
  const owned = registry.dispositions.filter((one) => one.session === walk.session);
  walk.show(`${walk.manager}: ${describeSession(entry)}; ${owned.map((one) => `${one.fs} ${one.event}`).join(", ")}`);
  walk.check("id, node, string, state and dispositions are at the manager", entry?.node === walk.host && entry.info === INFO && entry.state === "active" && owned.length === 1);
}

async function atSessionNode(walk: Walk): Promise<void> {
  const [before, events] = await walk.recordAt(walk.host);
  walk.show(`${walk.host}: ${describeSession(before)}`);
  walk.check("the session node has the record", before?.info === INFO);
  await walk.kill(walk.host);
  await walk.stage.until("the session has failed", async () => (await walk.recordAt(walk.third))[0]?.state === "failed");
  walk.show(`${walk.third}: ${describeSession((await walk.recordAt(walk.third))[0])}`);
  await walk.restart(walk.host);
  const marks = await walk.marks();
  const assumed = await walk.at(walk.host).assumeSession(walk.session!, INFO);
  await walk.showSince(marks, SESSION_MESSAGES);
  const [after, eventsAfter] = await walk.recordAt(walk.host);
  walk.show(`${walk.host}: ${describeSession(after)}`);
  const told = (await walk.stage.log(walk.host)).filter(({ from, kind }) => from === walk.manager && /^registry-(installed|changed)$/.test(kind));
  for (const entry of told.slice(0, 3)) walk.show(`in the log of the new ${walk.host}: ${entry.from} -> ${entry.to} ${entry.kind}`);
  walk.check("its next life has the record from the manager", told.length > 0);
  walk.check("same id, same string, same dispositions", assumed.id === walk.session && after?.info === INFO && JSON.stringify(eventsAfter) === JSON.stringify(events));
}

async function atFurtherNodes(walk: Walk): Promise<void> {
  const { manager: former } = walk;
  const before = (await walk.status(walk.third)).registry;
  const epoch = (await walk.status(walk.third)).view?.number ?? 0;
  walk.show(`${walk.third}: ${describeSession((await walk.recordAt(walk.third))[0])}`);
  walk.check("a node that is neither has the record", before.sessions.some((one) => one.id === walk.session && one.info === INFO));
  const marks = await walk.marks([walk.host, walk.third]);
  await walk.kill(former);
  const survivors = [walk.host, walk.third];
  await walk.stage.until("another manager", async () => (await Promise.all(survivors.map((id) => walk.status(id)))).every(({ view }) => view?.isInForce === true && view.manager !== former));
  const { view, registry } = await walk.status(walk.third);
  walk.show(`${view?.manager} is manager of epoch ${view?.number}, after ${former} and ${epoch}`);
  await walk.showSince(marks, TAKEOVER_MESSAGES);
  walk.check("a third node is manager, in a higher epoch", view?.manager === walk.third && view.number > epoch);
  const messages = await walk.sentSince(marks, TAKEOVER_MESSAGES);
  walk.check("it asked, and was answered", ["registry-collect", "registry-collected"].every((kind) => messages.some((entry) => entry.kind === kind)));
  const failedOn = new Set(before.sessions.filter((one) => one.node === former).map((one) => one.id));
  const same = before.sessions.filter((one) => !failedOn.has(one.id)).every((one) => registry.sessions.some((other) => JSON.stringify(other) === JSON.stringify(one)));
  walk.check("its table is the old one", same && registry.dispositions.length === before.dispositions.length, `${registry.sessions.length} sessions`);
  await walk.restart(former);
  await walk.findRoles();
}

async function functions(walk: Walk): Promise<void> {
  const mark = (await walk.stage.log(walk.manager)).at(-1)?.number ?? 0;
  const session = await walk.at(walk.host).createSession("R5");
  await session.modify("R5 modified");
  await walk.at(walk.host).assumeSession(session.id, "R5 assumed");
  await session.setDisposition(FS, ["rename"]);
  await session.destroy();
  const ran = (await walk.stage.log(walk.manager, mark)).filter(({ kind }) => kind.startsWith("dm_"));
  for (const entry of ran) walk.show(`${entry.at.slice(11, 23)} ${walk.manager} runs ${entry.kind} for ${entry.from}${entry.summary === undefined ? "" : `: ${entry.summary}`}`);
  walk.check("the manager ran the function of each call", ran.length >= 5 && ["dm_create_session", "dm_destroy_session", "dm_set_disp"].every((name) => ran.some(({ kind }) => kind === name)));
  const refusal = await walk.at(walk.host).call("session.query", { session: session.id }).then(() => undefined, (error: { code?: string }) => error.code);
  walk.check("a session that is not there is EINVAL", refusal === "EINVAL");
}

async function perFileSystem(walk: Walk): Promise<void> {
  const session = await walk.at(walk.host).attachSession(walk.session!);
  await session.setDisposition(FS, ["create"]);
  await session.setDisposition(OTHER_FS, ["rename"]);
  await walk.showDispositions(walk.third);
  for (const fs of [FS, OTHER_FS]) await walk.enable(fs, ["create", "rename"].filter((event) => (fs === FS) === (event === "create")) as EventType[]);
  await walk.answered(session, "mkdir", [walk.path(walk.third, FS, "r6")]);
  await walk.stage.run("mv", [walk.path(walk.third, FS, "r6"), walk.path(walk.third, FS, "r6.new")]);
  await walk.stage.run("mkdir", [walk.path(walk.third, OTHER_FS, "r6")]);
  await walk.answered(session, "mv", [walk.path(walk.third, OTHER_FS, "r6"), walk.path(walk.third, OTHER_FS, "r6.new")]);
  walk.check("nothing else was reported", (await session.getEvents({ waitMs: 0 })).length === 0, `create of ${FS} and rename of ${OTHER_FS} were`);
  for (const fs of [FS, OTHER_FS]) await walk.enable(fs, []);
  await session.setDisposition(OTHER_FS, []);
}

async function fromAnotherNode(walk: Walk): Promise<void> {
  const marks = await walk.marks();
  await walk.at(walk.third).call("disposition.set", { session: walk.session!, fs: FS as FsName, events: ["create", "remove"] });
  await walk.showSince(marks, SESSION_MESSAGES);
  await walk.showDispositions(walk.host);
  walk.check("the call on the third node holds for all nodes", await walk.hasOneTable());
  const session = await walk.at(walk.host).attachSession(walk.session!);
  await walk.enable(FS, ["remove"]);
  await walk.stage.run("mkdir", [walk.path(walk.manager, FS, "r7")]);
  await walk.answered(session, "rmdir", [walk.path(walk.manager, FS, "r7")]);
  await walk.enable(FS, []);
}

async function oneOwner(walk: Walk): Promise<void> {
  const other = await walk.at(walk.manager).createSession("a second owner");
  await other.setDisposition(FS, ["remove"]);
  await walk.showDispositions(walk.third);
  const table = await walk.at(walk.third).call("disposition.list", {});
  const owners = (event: EventType) => table.filter((one) => one.fs === FS && one.event === event).map((one) => one.session).join();
  walk.check("the second session took remove over, the first keeps create", owners("remove") === String(other.id) && owners("create") === String(walk.session));
  walk.check("the table is the same on every node", await walk.hasOneTable());
  await other.setDisposition(FS, []);
  await other.destroy();
}

async function severalNodes(walk: Walk): Promise<void> {
  const sessions = await Promise.all(walk.nodes.map((id) => walk.at(id).createSession(`R9 on ${id}`)));
  for (const node of walk.nodes) {
    const { registry } = await walk.status(node);
    const found = sessions.map((session) => registry.sessions.find((one) => one.id === session.id));
    walk.show(`${node}: ${found.map(describeSession).join("; ")}`);
    walk.check(`${node} lists all three with their nodes`, found.every((entry, at) => entry?.node === walk.nodes[at]));
  }
  for (const session of sessions) await session.destroy();
}

async function onTheManager(walk: Walk): Promise<void> {
  const session = await walk.at(walk.manager).createSession("R10 on the manager");
  await session.setDisposition(FS, ["rename"]);
  await walk.enable(FS, ["rename"]);
  for (const node of walk.nodes) walk.show(`${node}: ${describeSession((await walk.status(node)).registry.sessions.find((one) => one.id === session.id))}`);
  await walk.stage.run("mkdir", [walk.path(walk.third, FS, "r10")]);
  const marks = await walk.marks();
  await walk.answered(session, "mv", [walk.path(walk.third, FS, "r10"), walk.path(walk.third, FS, "r10.new")]);
  await walk.showSince(marks, /^event-/);
  walk.check("it is known everywhere and gets another node's event", true);
  await walk.enable(FS, []);
  await walk.end([session]);
}

async function sharedWork(walk: Walk): Promise<void> {
  const takes: readonly EventType[] = ["create", "rename", "remove"];
  const sessions = await Promise.all(walk.nodes.map((id, at) => walk.at(id).createSession(`R11 instance for ${takes[at]}`)));
  for (const [at, session] of sessions.entries()) await session.setDisposition(FS, [takes[at]!]);
  await walk.enable(FS, takes);
  await walk.showDispositions(walk.third);
  const path = walk.path(walk.third, FS, "r11");
  await walk.answered(sessions[0]!, "mkdir", [path]);
  await walk.answered(sessions[1]!, "mv", [path, `${path}.new`]);
  await walk.answered(sessions[2]!, "rmdir", [`${path}.new`]);
  walk.check("each node's session did its share", true, takes.map((event, at) => `${event} on ${walk.nodes[at]}`).join(", "));
  await walk.enable(FS, []);
  await walk.end(sessions);
}

async function separateApplications(walk: Walk): Promise<void> {
  const [one, two] = [await walk.at(walk.host).createSession("R12 first application"), await walk.at(walk.third).createSession("R12 second application")];
  await one.setDisposition(FS, ["create"]);
  await two.setDisposition(OTHER_FS, ["create"]);
  for (const fs of [FS, OTHER_FS]) await walk.enable(fs, ["create"]);
  await walk.showDispositions(walk.manager);
  const stuck = walk.stage.start("mkdir", [walk.path(walk.manager, FS, "r12")]);
  const [held] = await one.getEvents({ waitMs: 10_000, max: 1 });
  await walk.answered(two, "mkdir", [walk.path(walk.manager, OTHER_FS, "r12")]);
  walk.check("the second application's user went on while the first did not answer", !stuck.isOver);
  await held?.continue();
  walk.check("the first one's user went on when it did", (await walk.stage.ended(stuck, "mkdir")).code === 0);
  for (const fs of [FS, OTHER_FS]) await walk.enable(fs, []);
  await walk.end([one, two]);
}

async function modification(walk: Walk): Promise<void> {
  const session = await walk.at(walk.host).attachSession(walk.session!);
  const marks = await walk.marks();
  await session.modify("modified");
  await walk.showSince(marks, SESSION_MESSAGES);
  const told = (await walk.sentSince(marks, SESSION_MESSAGES)).filter(({ kind, from }) => kind === "registry-changed" && from === walk.manager);
  walk.check("one notification to each other node", told.length === 2);
  for (const node of walk.nodes) {
    const { info } = await walk.at(node).call("session.query", { session: session.id });
    walk.check(`${node} has the new string`, info === "modified");
  }
}

async function destruction(walk: Walk): Promise<void> {
  const session = await walk.at(walk.host).attachSession(walk.session!);
  await session.setDisposition(FS, []);
  const marks = await walk.marks();
  await session.destroy();
  await walk.showSince(marks, SESSION_MESSAGES);
  for (const { node, registry } of await walk.statuses()) {
    walk.check(`gone on ${node}`, !registry.sessions.some((one) => one.id === session.id) && !registry.dispositions.some((one) => one.session === session.id));
  }
  const next = await walk.at(walk.host).createSession("after it");
  walk.check("the id does not come back", next.id > session.id, `${session.id}, then ${next.id}`);
  await next.destroy();
}

async function migration(walk: Walk): Promise<void> {
  const { stage } = walk;
  const path = walk.path(walk.third, OTHER_FS, "r15");
  mkdirSync(stage.place("store"), { recursive: true, mode: 0o700 });
  await stage.shell('head -c 8388608 /dev/urandom > "$1"', path);
  const face = async () => (await stage.shell('stat -c "%b %s %Y" "$1"', path)).toString().trim().split(" ").map(Number);
  const sum = async () => (await stage.run("sha256sum", [path])).toString().slice(0, 64);
  const [before, truth] = [await face(), await sum()];
  const home = await walk.migratorNode();
  const migrator = stage.startSluice(home, "migrator", "run", "--fs", OTHER_FS, "--store", stage.place("store"));
  await stage.until("the migration application serves", async () => {
    if (migrator.isOver) throw new Error(`the migration application ended: ${(await migrator.end).errors}`);
    return stage.sluice(home, "migrator", "status", "--fs", OTHER_FS).then(() => true, () => false);
  }, 60_000);
  await stage.sluice(walk.third, "migrate", path);
  walk.show((await stage.sluice(walk.third, "ls", path)).toString().trimEnd());
  const stub = await face();
  walk.check("its blocks are free, size and time are as before", stub[0]! < before[0]! / 10 && stub[1] === before[1] && stub[2] === before[2], `${before[0]} to ${stub[0]} blocks`);
  const marks = await walk.marks();
  walk.check("a read brings it back, unchanged", (await sum()) === truth);
  await walk.showSince(marks, /^event-/);
  migrator.child.kill("SIGINT");
  walk.check("the migration application ended in order", (await stage.ended(migrator, "the migration application")).code === 0);
}

async function identifiers(walk: Walk): Promise<void> {
  const marks = await walk.marks();
  const sessions = (await Promise.all(walk.nodes.flatMap((id) => Array.from({ length: 5 }, () => walk.at(id).createSession("R16"))))).map((session) => session);
  const ids = sessions.map(({ id }): number => id);
  const everywhere = await Promise.all(walk.nodes.map((id) => walk.stage.log(id, marks.get(id))));
  const chosen = sessions.find((_, at) => at >= 5)!; // made for another node than the manager
  const seen = everywhere.flat().filter((entry) => entry.session === chosen.id).sort((a, b) => a.at.localeCompare(b.at));
  for (const entry of seen.slice(0, 3)) walk.show(`${entry.at.slice(11, 23)} ${entry.from} -> ${entry.to} ${entry.kind} session ${entry.session}`);
  walk.check("the id is first seen in a message of the manager", seen[0]?.from === walk.manager, `session ${chosen.id}`);
  walk.check("fifteen made at once are distinct, and above all before", new Set(ids).size === 15 && ids.every((id) => id > walk.session!), ids.sort((a, b) => a - b).join(" "));
  await walk.end(sessions);
}

async function handledLocally(walk: Walk): Promise<void> {
  const sessions = await walk.beginGroup();
  for (const [at, node] of walk.nodes.entries()) {
    const marks = await walk.marks();
    await walk.answered(sessions[at]!, "mkdir", [walk.path(node, FS, `r17-${node}`)]);
    const crossing = (await walk.sentSince(marks, /^event-/)).filter(({ kind, summary }) => kind === "event-answered" || (kind === "event-raised" && summary?.includes("(notice)") !== true));
    walk.check(`a creation on ${node} was handled by the instance there, with no event message between nodes`, crossing.length === 0, `session ${sessions[at]!.id}`);
  }
  await walk.endGroup(sessions);
}

async function othersAreTold(walk: Walk): Promise<void> {
  const sessions = await walk.beginGroup();
  const marks = await walk.marks();
  await walk.answered(sessions[2]!, "mkdir", [walk.path(walk.third, FS, "r18")]);
  for (const at of [0, 1]) {
    const [notice] = await sessions[at]!.getEvents({ waitMs: 10_000, max: 1 });
    walk.show(`${walk.nodes[at]}: session ${sessions[at]!.id} is told of ${notice?.type} on ${notice?.node}, handled by ${notice?.notice?.handledBy}`);
    walk.check(`${walk.nodes[at]} is told of event, file and node`, notice?.notice?.handledBy === walk.third && notice.node === walk.third && notice.type === "create");
  }
  await walk.showSince(marks, /^event-/);
  await walk.endGroup(sessions);
}

async function ordinaryProgram(walk: Walk): Promise<void> {
  chmodSync(walk.stage.directory, 0o711); // that user reaches the mounts below
  const directory = walk.path(walk.third, FS, "open-to-all");
  await walk.stage.shell('mkdir "$1"; chmod 1777 "$1"', directory);
  const sessions: Session[] = await walk.beginGroup();
  const user = (name: string) => walk.stage.start("setpriv", [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "mkdir", `${directory}/${name}`]);
  for (const [name, answer] of [["allowed", "continue"], ["forbidden", "abort"]] as const) {
    const program = user(name);
    const [event] = await sessions[2]!.getEvents({ waitMs: 10_000, max: 1 });
    walk.show(`${event?.type} of ${name} on ${event?.node}, by ${event?.process?.command}, uid ${event?.process?.uid}`);
    walk.check("the event names node and user", event?.node === walk.third && event.process?.uid === NOBODY);
    await (answer === "continue" ? event?.continue() : event?.abort("EDQUOT"));
    const { code, errors } = await walk.stage.ended(program, "the user's program");
    walk.check(`the answer was ${answer}: the program ${answer === "continue" ? "succeeds" : "fails with its errno"}`, answer === "continue" ? code === 0 : code !== 0 && /quota/i.test(errors), errors.trim());
  }
  await walk.endGroup(sessions);
}
