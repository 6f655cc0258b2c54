/**
 * `sluice demo --requirements`: R1 to R19 one by one, each with the log lines and table entries that prove it.
 *
 * Source    docs/requirements.md; the acceptance tests T1 to T19 prove more, this shows it.
 */
import { type Connection, connect } from "../../client/index.js";
import type { EventType } from "../../dmapi/events.js";
import type { FsName, NodeId, SessionId } from "../../dmapi/ids.js";
import type { LogEntry, SessionEntry } from "../../dmapi/status.js";
import type { Narrator } from "./narrator.js";
import type { Stage } from "./stage.js";

const FS = "fs2";

export async function walkRequirements(stage: Stage, say: Narrator): Promise<void> {
  const walk = new Walk(stage, say);
  await walk.open();
  try {
    await say.step("R1, R5, R16: a session is created by a message to the manager, which makes the id and tells all; events reach its node", () => walk.creation());
    await say.step("R2, R3, R4: the record is at the manager, at the session node and on further nodes", () => walk.copies());
    await say.step("R6, R7, R8: dispositions per file system, set from any node, one owner each", () => walk.dispositions());
    await say.step("R9, R10, R11, R12: several session nodes, the manager among them", () => walk.severalNodes());
    await say.step("R13, R14: modified and destroyed through the manager, known everywhere", () => walk.modifyAndDestroy());
    await say.step("R17, R18, R19: a parallel application handles an ordinary program's event on its own node and tells the others", () => walk.parallel());
    say.show("R3 (after a failure): step 9 of the story above. R4 (after the manager's death): step 10. R15: steps 5 to 8.");
  } finally {
    walk.close();
  }
}

class Walk {
  readonly #stage: Stage;
  readonly #say: Narrator;
  #nodes: readonly NodeId[] = [];
  #connections = new Map<NodeId, Connection>();
  #session: SessionId | undefined;

  constructor(stage: Stage, say: Narrator) {
    this.#stage = stage;
    this.#say = say;
  }

  /** Nodes in order: manager, session node, third. */
  async open(): Promise<void> {
    const { manager, nodes } = await this.#stage.cluster.document();
    this.#nodes = [manager!, ...nodes.map((node) => node.id).filter((id) => id !== manager)];
    for (const id of this.#nodes) this.#connections.set(id, await connect({ socket: this.#stage.cluster.socket(id) }));
  }
  close(): void {
    for (const connection of this.#connections.values()) connection.close();
  }
  get #manager(): NodeId {
    return this.#nodes[0]!;
  }
  get #host(): NodeId {
    return this.#nodes[1]!;
  }
  get #third(): NodeId {
    return this.#nodes[2]!;
  }
  #at(id: NodeId): Connection {
    return this.#connections.get(id)!;
  }

  async creation(): Promise<void> {
    const marks = await this.#marks();
    const session = await this.#at(this.#host).createSession("requirements");
    this.#session = session.id;
    await this.#showSince(marks, /^(manager-|registry-)/);
    const atManager = await this.#stage.log(this.#manager, marks.get(this.#manager));
    this.#say.check("R5: the manager logged the session-management function", atManager.some((entry) => /create/.test(`${entry.kind} ${entry.summary ?? ""}`)));
    const everywhere = await Promise.all(this.#nodes.map((id) => this.#stage.log(id, marks.get(id))));
    const [first] = everywhere.flat().filter((entry) => entry.session === session.id).sort((a, b) => a.at.localeCompare(b.at));
    this.#say.check("R16: the id appears first in a message of the manager", first?.from === this.#manager, `session ${session.id}, ${first?.kind}`);
    await session.setDisposition(FS, ["create"]);
    await this.#enable(["create"]);
    for (const node of this.#nodes) {
      const before = await this.#marks();
      const touching = this.#stage.start("mkdir", [this.#stage.mount(node, FS, `r1-${node}`)]);
      const [event] = await session.getEvents({ waitMs: 10_000, max: 1 });
      await event?.continue();
      await this.#stage.ended(touching, "mkdir");
      this.#say.check(`R1: a creation on ${node} reaches ${this.#host}`, event?.node === node);
      const asked = (await this.#stage.log(this.#manager, before.get(this.#manager))).filter((entry) => /^(manager-|registry-)/.test(entry.kind));
      this.#say.check("R1: without asking the manager", asked.length === 0);
    }
    await this.#enable([]);
  }

  async copies(): Promise<void> {
    for (const [id, role] of [[this.#manager, "R2 manager"], [this.#host, "R3 session node"], [this.#third, "R4 further node"]] as const) {
      const entry = (await this.#stage.cluster.status(id)).registry.sessions.find((one) => one.id === this.#session);
      this.#say.show(`${role} ${id}: ${describe(entry)}`);
      this.#say.check(`${role} has the record`, entry?.info === "requirements" && entry.node === this.#host);
    }
  }

  async dispositions(): Promise<void> {
    const other = await this.#at(this.#manager).createSession("second owner");
    await this.#at(this.#third).call("disposition.set", { session: this.#session!, fs: FS as FsName, events: ["create", "remove"] });
    await this.#at(this.#third).call("disposition.set", { session: other.id, fs: FS as FsName, events: ["remove"] });
    const tables = await Promise.all(this.#nodes.map((id) => this.#at(id).call("disposition.list", {})));
    const ours = tables[0]!.filter((one) => one.fs === FS);
    this.#say.show(ours.map((one) => `${one.fs} ${one.event} -> session ${one.session}`).join("\n"));
    this.#say.check("R7: set from a third node, the same table everywhere", tables.every((table) => JSON.stringify(table) === JSON.stringify(tables[0])));
    this.#say.check("R8: the second owner took remove over; each pair has one owner", ours.filter((one) => one.event === "remove").map((one) => one.session).join() === String(other.id));
    this.#say.check("R6: per file system", ours.some((one) => one.event === "create" && one.session === this.#session));
    await other.setDisposition(FS, []);
    await other.destroy();
  }

  async severalNodes(): Promise<void> {
    const sessions = await Promise.all(this.#nodes.map((id) => this.#at(id).createSession(`on ${id}`)));
    for (const node of this.#nodes) {
      const { registry } = await this.#stage.cluster.status(node);
      this.#say.check(`R9, R10: ${node} lists all of them`, sessions.every((session, at) => registry.sessions.find((one) => one.id === session.id)?.node === this.#nodes[at]));
    }
    const takes: readonly EventType[] = ["create", "remove", "rename"];
    for (const [at, session] of sessions.entries()) await session.setDisposition(FS, [takes[at]!]);
    await this.#enable(takes);
    const user = this.#stage.start("/bin/sh", ["-ec", 'mkdir "$1"; mv "$1" "$1.new"; rmdir "$1.new"', "sh", this.#stage.mount(this.#third, FS, "r11")]);
    const handled: string[] = [];
    for (const at of [0, 2, 1]) {
      const [event] = await sessions[at]!.getEvents({ waitMs: 10_000, max: 1 });
      handled.push(`${event?.type} on ${this.#nodes[at]}`);
      await event?.continue();
    }
    this.#say.check("R11, R12: each session gets its own share", (await this.#stage.ended(user, "the user's program")).code === 0, handled.join(", "));
    await this.#enable([]);
    for (const session of sessions) await session.setDisposition(FS, []).then(() => session.destroy());
  }

  async modifyAndDestroy(): Promise<void> {
    const session = await this.#at(this.#host).attachSession(this.#session!);
    const marks = await this.#marks();
    await session.modify("modified");
    await this.#showSince(marks, /^(manager-|registry-)/);
    for (const node of this.#nodes) this.#say.check(`R13: ${node} has the new string`, (await this.#at(node).call("session.query", { session: session.id })).info === "modified");
    await session.setDisposition(FS, []);
    await session.destroy();
    for (const node of this.#nodes) this.#say.check(`R14: gone on ${node}`, !(await this.#stage.cluster.status(node)).registry.sessions.some((one) => one.id === session.id));
  }

  async parallel(): Promise<void> {
    const group = "demonstration";
    const sessions = await Promise.all(this.#nodes.map((id) => this.#at(id).createSession(`instance on ${id}`, { group })));
    await sessions[0]!.setDisposition(FS, ["create"], { group });
    await this.#enable(["create"]);
    const user = this.#stage.start("mkdir", [this.#stage.mount(this.#third, FS, "r17")]);
    const [event] = await sessions[2]!.getEvents({ waitMs: 10_000, max: 1 });
    this.#say.check(`R17, R19: a program's mkdir on ${this.#third} is handled by the instance there`, event?.node === this.#third && event.notice === undefined, `by ${event?.process?.command}`);
    await event?.continue();
    this.#say.check("R19: the program follows the answer", (await this.#stage.ended(user, "mkdir")).code === 0);
    for (const at of [0, 1]) {
      const [notice] = await sessions[at]!.getEvents({ waitMs: 10_000, max: 1 });
      this.#say.check(`R18: ${this.#nodes[at]} is told`, notice?.notice?.handledBy === this.#third, `${notice?.type} on ${notice?.node}`);
    }
    await this.#enable([]);
    await sessions[0]!.setDisposition(FS, [], { group });
    for (const session of sessions) await session.destroy();
  }

  async #enable(events: readonly EventType[]): Promise<void> {
    const node = this.#at(this.#host);
    const session = await node.createSession("sets the event list");
    const fs = await node.fileSystem(FS);
    await node.call("eventlist.set", { session: session.id, handle: fs.handle, events });
    await session.destroy();
  }
  async #marks(): Promise<Map<NodeId, number>> {
    return new Map(await Promise.all(this.#nodes.map(async (id) => [id, (await this.#stage.log(id)).at(-1)?.number ?? 0] as const)));
  }
  async #showSince(marks: ReadonlyMap<NodeId, number>, kinds: RegExp): Promise<void> {
    const sent: LogEntry[] = [];
    for (const [id, mark] of marks) sent.push(...(await this.#stage.log(id, mark)).filter((entry) => entry.from === id && entry.to !== id && kinds.test(entry.kind)));
    sent.sort((a, b) => a.at.localeCompare(b.at));
    for (const entry of sent) this.#say.show(`${entry.at.slice(11, 23)} ${entry.from} -> ${entry.to} ${entry.kind}${entry.session === undefined ? "" : ` session ${entry.session}`} epoch ${entry.epoch}`);
  }
}

function describe(entry: SessionEntry | undefined): string {
  return entry === undefined ? "nothing" : `session ${entry.id} on ${entry.node}, ${entry.state}, "${entry.info}"`;
}
