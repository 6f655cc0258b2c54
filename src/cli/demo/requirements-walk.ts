/**
 * What the walk through the requirements stands on: a connection to each node, who is manager, session node and third,
 * and how logs and tables are shown.
 *
 * Owns      the connections; the session that R1 makes and R14 destroys.
 */
import { type Connection, connect, type Session } from "../../client/index.js";
import type { EventType } from "../../dmapi/events.js";
import type { NodeId, SessionId } from "../../dmapi/ids.js";
import type { LogEntry, SessionEntry, StatusDocument } from "../../dmapi/status.js";
import { parseInfo } from "../../migration/request-format.js";
import type { Narrator } from "./narrator.js";
import type { Stage } from "./stage.js";

export const FS = "fs2";
export const OTHER_FS = "fs1";
export const INFO = "requirements";
const GROUP = "demonstration";

export class Walk {
  readonly stage: Stage;
  /** Of the requirement that is being shown. */
  number = "";
  session: SessionId | undefined;
  readonly #say: Narrator;
  /** Manager, session node, third. */
  #nodes: readonly NodeId[] = [];
  readonly #connections = new Map<NodeId, Connection>();

  constructor(stage: Stage, say: Narrator) {
    this.stage = stage;
    this.#say = say;
  }

  async open(): Promise<void> {
    await this.findRoles();
    for (const id of this.#nodes) await this.#connect(id);
  }
  close(): void {
    for (const connection of this.#connections.values()) connection.close();
  }
  /** The third node is the one that would follow the manager; the session node stays what it is once it has a session. */
  async findRoles(): Promise<void> {
    const { manager, nodes } = await this.stage.cluster.document();
    const others = nodes.map((node) => node.id).filter((id) => id !== manager);
    const host = this.session === undefined ? others.at(-1)! : this.host;
    this.#nodes = [manager!, host, others.find((id) => id !== host)!];
  }
  get nodes(): readonly NodeId[] {
    return this.#nodes;
  }
  get manager(): NodeId {
    return this.#nodes[0]!;
  }
  get host(): NodeId {
    return this.#nodes[1]!;
  }
  get third(): NodeId {
    return this.#nodes[2]!;
  }
  at(id: NodeId): Connection {
    return this.#connections.get(id)!;
  }
  path(node: NodeId, fs: string, ...names: string[]): string {
    return this.stage.mount(node, fs, ...names);
  }
  async kill(id: NodeId): Promise<void> {
    this.at(id).close();
    await this.stage.cluster.kill(id);
  }
  async restart(id: NodeId): Promise<void> {
    await this.stage.cluster.restart(id);
    await this.stage.cluster.waitUntilUsable();
    await this.#connect(id);
  }
  async #connect(id: NodeId): Promise<void> {
    this.#connections.set(id, await connect({ socket: this.stage.cluster.socket(id) }));
  }

  show(text: string): void {
    this.#say.show(text);
  }
  check(what: string, isTrue: boolean, found = ""): void {
    this.#say.check(`${this.number}: ${what}`, isTrue, found);
  }
  status(id: NodeId): Promise<StatusDocument> {
    return this.stage.cluster.status(id);
  }
  statuses(): Promise<StatusDocument[]> {
    return Promise.all(this.#nodes.map((id) => this.status(id)));
  }
  /** The session of R1 as that node has it, with what it takes. */
  async recordAt(id: NodeId): Promise<[SessionEntry | undefined, readonly string[]]> {
    const { registry } = await this.status(id);
    const owned = registry.dispositions.filter((one) => one.session === this.session).map((one) => `${one.fs} ${one.event}`);
    return [registry.sessions.find((one) => one.id === this.session), owned.sort()];
  }
  /** Where a migrator finds its former session, or may assume it. */
  async migratorNode(): Promise<NodeId> {
    const found = (await this.status(this.host)).registry.sessions.find((one) => parseInfo(one.info)?.fs === OTHER_FS);
    return found?.state === "active" ? found.node : this.host;
  }

  async marks(nodes: readonly NodeId[] = this.#nodes): Promise<Map<NodeId, number>> {
    return new Map(await Promise.all(nodes.map(async (id) => [id, (await this.stage.log(id)).at(-1)?.number ?? 0] as const)));
  }
  /** Messages between nodes, each once: as its sender logged it. */
  async sentSince(marks: ReadonlyMap<NodeId, number>, kinds: RegExp): Promise<LogEntry[]> {
    const sent: LogEntry[] = [];
    for (const [id, mark] of marks) sent.push(...(await this.stage.log(id, mark)).filter((entry) => entry.from === id && entry.to !== id && kinds.test(entry.kind)));
    return sent.sort((a, b) => a.at.localeCompare(b.at));
  }
  async showSince(marks: ReadonlyMap<NodeId, number>, kinds: RegExp): Promise<void> {
    for (const entry of await this.sentSince(marks, kinds)) {
      const about = `${entry.session === undefined ? "" : ` session ${entry.session}`}${entry.token === undefined ? "" : ` token ${entry.token}`}`;
      this.show(`${entry.at.slice(11, 23)} ${entry.from} -> ${entry.to} ${entry.kind}${about} epoch ${entry.epoch}`);
    }
  }
  async showDispositions(id: NodeId): Promise<void> {
    const table = (await this.at(id).call("disposition.list", {})).filter((one) => one.fs === FS || one.fs === OTHER_FS);
    this.show(table.map((one) => `${id}: ${one.fs} ${one.event} -> ${one.session === undefined ? `group ${one.group}` : `session ${one.session}`}`).join("\n"));
  }
  async hasOneTable(): Promise<boolean> {
    const tables = await Promise.all(this.#nodes.map((id) => this.at(id).call("disposition.list", {})));
    return tables.every((table) => JSON.stringify(table) === JSON.stringify(tables[0]));
  }

  /** The program waits for its event, which that session gets and lets go on; it then ends well. */
  async answered(session: Session, program: string, args: readonly string[]): Promise<void> {
    const user = this.stage.start(program, args);
    for (let isAnswered = false; !isAnswered; ) {
      const [event] = await session.getEvents({ waitMs: 30_000, max: 1 });
      if (event === undefined) break;
      isAnswered = event.notice === undefined;
      if (!isAnswered) continue;
      this.show(`session ${session.id}: ${event.type} from ${event.node}, by ${event.process?.command}, pid ${event.process?.pid}`);
      await event.continue();
    }
    const { code, errors } = await this.stage.ended(user, program);
    this.check(`session ${session.id} answered, and ${program} went on`, code === 0, errors.trim());
  }
  /** Which events the file system raises. */
  async enable(fs: string, events: readonly EventType[]): Promise<void> {
    const node = this.at(this.host);
    const session = await node.createSession("sets the event list");
    await node.call("eventlist.set", { session: session.id, handle: (await node.fileSystem(fs)).handle, events });
    await session.destroy();
  }
  async end(sessions: readonly Session[]): Promise<void> {
    for (const session of sessions) {
      for (const fs of [FS, OTHER_FS]) await session.setDisposition(fs, []);
      await session.destroy();
    }
  }

  /** An instance of a parallel application on each node. */
  async beginGroup(): Promise<Session[]> {
    const sessions = await Promise.all(this.#nodes.map((id) => this.at(id).createSession(`instance on ${id}`, { group: GROUP })));
    await sessions[0]!.setDisposition(FS, ["create"], { group: GROUP });
    await this.enable(FS, ["create"]);
    await this.showDispositions(this.third);
    return sessions;
  }
  async endGroup(sessions: readonly Session[]): Promise<void> {
    await this.enable(FS, []);
    await sessions[0]!.setDisposition(FS, [], { group: GROUP });
    for (const session of sessions) {
      // A notice of the last event may come yet; a session with something queued is not destroyed.
      await this.stage.until(`session ${session.id} is destroyed`, async () => {
        await session.getEvents({ waitMs: 0 });
        return session.destroy().then(() => true, () => false);
      });
    }
  }
}

export function describeSession(entry: SessionEntry | undefined): string {
  return entry === undefined ? "nothing" : `session ${entry.id} on ${entry.node}, ${entry.state}, "${entry.info}"`;
}
