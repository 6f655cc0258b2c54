/**
 * What events and calls go by, arranged for questions: which session, which owner, which members of a group.
 *
 * There is one for each whole copy that a node has got, and each version after it is applied to it: versions roll forward
 * only, so nothing is ever undone, and a new whole copy begins a new one. The node's copy (registry/copy.ts) applies;
 * everybody else reads. Order is the registry's own, the same on every node.
 *
 * Owns      sessions and dispositions, and what is derived from them.
 * Not here  tombstones, answers, the audit (registry/copy.ts).
 * Source    requirements R6-R8, R17; safety M3.
 */
import { type EventSet, type EventType, eventSet } from "../dmapi/events.js";
import type { FsName, GroupName, NodeId, SessionId } from "../dmapi/ids.js";
import { setDispositions, withoutGroup, withoutSession } from "./registry/dispositions.js";
import type { Disposition, Owner, RegistryChange, RegistryContent, RegistryVersion, SessionRecord } from "./registry-document.js";

const NO_SESSIONS: readonly SessionRecord[] = [];

export class RegistryIndex {
  #version: number;
  readonly #sessions = new Map<SessionId, SessionRecord>();
  #dispositions: readonly Disposition[];
  readonly #groups = new Map<GroupName, readonly SessionRecord[]>();
  readonly #counts = new Map<NodeId, number>();
  readonly #durable = new Map<SessionId, SessionRecord>();
  /** By file system, then event; made when first asked for after a change. */
  #owners: Map<string, Map<EventType, Owner[]>> | undefined;

  constructor(content: RegistryContent) {
    this.#version = content.version;
    this.#dispositions = content.dispositions;
    for (const session of content.sessions) this.#put(session);
  }

  /** The next version. */
  apply({ version, changes }: RegistryVersion): void {
    this.#version = version;
    for (const change of changes) this.#change(change);
  }

  get version(): number {
    return this.#version;
  }
  get dispositions(): readonly Disposition[] {
    return this.#dispositions;
  }
  session(id: SessionId): SessionRecord | undefined {
    return this.#sessions.get(id);
  }
  eachSession(): IterableIterator<SessionRecord> {
    return this.#sessions.values();
  }
  /** Of which there are logs, or may be. */
  eachDurable(): IterableIterator<SessionRecord> {
    return this.#durable.values();
  }
  countOn(node: NodeId): number {
    return this.#counts.get(node) ?? 0;
  }
  /** One owner at most, save for mount. */
  owners(fs: FsName | "global", event: EventType): readonly Owner[] {
    this.#owners ??= ownersOf(this.#dispositions);
    return this.#owners.get(fs)?.get(event) ?? [];
  }
  group(name: GroupName): readonly SessionRecord[] {
    return this.#groups.get(name) ?? NO_SESSIONS;
  }
  ownedEvents(fs: FsName): EventSet {
    this.#owners ??= ownersOf(this.#dispositions);
    return eventSet(this.#owners.get(fs)?.keys() ?? []) >>> 0;
  }

  #change(change: RegistryChange): void {
    switch (change.kind) {
      case "session-put":
        return this.#put(change.session);
      case "session-destroyed":
        return this.#destroy(change.id);
      case "dispositions-set":
        return this.#dispose(setDispositions(this.#dispositions, change));
      case "request-answered":
        return;
    }
  }

  #put(session: SessionRecord): void {
    const before = this.#sessions.get(session.id);
    this.#sessions.set(session.id, session);
    if (before?.node !== session.node) {
      this.#counts.set(session.node, this.countOn(session.node) + 1);
      if (before !== undefined) this.#counts.set(before.node, this.countOn(before.node) - 1);
    }
    if (session.durability !== undefined) this.#durable.set(session.id, session);
    else if (before?.durability !== undefined) this.#durable.delete(session.id);
    if (before !== undefined && before.group !== session.group) {
      this.#regroup(before.group);
      this.#regroup(session.group);
    } else if (session.group !== undefined) {
      const members = this.group(session.group);
      this.#groups.set(session.group, before === undefined ? [...members, session] : members.map((each) => (each === before ? session : each)));
    }
  }

  #destroy(id: SessionId): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return this.#dispose(withoutSession(this.#dispositions, id));
    this.#sessions.delete(id);
    this.#durable.delete(id);
    this.#counts.set(session.node, this.countOn(session.node) - 1);
    this.#dispose(withoutSession(this.#dispositions, id));
    if (session.group === undefined) return;
    const left = this.group(session.group).filter((each) => each !== session);
    this.#groups.set(session.group, left);
    if (left.length > 0) return;
    this.#groups.delete(session.group);
    this.#dispose(withoutGroup(this.#dispositions, session.group));
  }

  /** In the registry's order, for members that did not come last. */
  #regroup(group: GroupName | undefined): void {
    if (group === undefined) return;
    const members = [...this.#sessions.values()].filter((session) => session.group === group);
    if (members.length === 0) this.#groups.delete(group);
    else this.#groups.set(group, members);
  }

  #dispose(dispositions: readonly Disposition[]): void {
    this.#dispositions = dispositions;
    this.#owners = undefined;
  }
}

function ownersOf(dispositions: readonly Disposition[]): Map<string, Map<EventType, Owner[]>> {
  const owners = new Map<string, Map<EventType, Owner[]>>();
  for (const { fs, event, owner } of dispositions) {
    const ofFs = owners.get(fs) ?? new Map<EventType, Owner[]>();
    owners.set(fs, ofFs);
    const list = ofFs.get(event);
    if (list === undefined) ofFs.set(event, [owner]);
    else list.push(owner);
  }
  return owners;
}
