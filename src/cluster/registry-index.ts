/**
 * This node's copy of the registry, arranged for questions: which session, which owner, which members of a group.
 *
 * Built anew from each version; it never changes. Order is the registry's own, the same on every node.
 *
 * Source    requirements R6-R8, R17; safety M3.
 */
import { type EventSet, type EventType, eventSet } from "../dmapi/events.js";
import type { FsName, GroupName, SessionId } from "../dmapi/ids.js";
import type { Owner, RegistrySnapshot, SessionRecord } from "./registry-document.js";

export class RegistryIndex {
  readonly version: number;
  readonly snapshot: RegistrySnapshot;
  readonly #sessions = new Map<SessionId, SessionRecord>();
  readonly #owners = new Map<string, Owner[]>();
  readonly #groups = new Map<GroupName, SessionRecord[]>();
  readonly #ownedEvents = new Map<FsName, EventSet>();

  constructor(snapshot: RegistrySnapshot) {
    this.snapshot = snapshot;
    this.version = snapshot.version;
    for (const session of snapshot.sessions) {
      this.#sessions.set(session.id, session);
      if (session.group !== undefined) push(this.#groups, session.group, session);
    }
    for (const { fs, event, owner } of snapshot.dispositions) {
      push(this.#owners, `${fs}/${event}`, owner);
      if (fs !== "global") this.#ownedEvents.set(fs, (this.#ownedEvents.get(fs) ?? 0) | eventSet([event]));
    }
  }

  session(id: SessionId): SessionRecord | undefined {
    return this.#sessions.get(id);
  }
  get sessions(): readonly SessionRecord[] {
    return this.snapshot.sessions;
  }
  /** One owner at most, save for mount. */
  owners(fs: FsName | "global", event: EventType): readonly Owner[] {
    return this.#owners.get(`${fs}/${event}`) ?? [];
  }
  group(name: GroupName): readonly SessionRecord[] {
    return this.#groups.get(name) ?? [];
  }
  ownedEvents(fs: FsName): EventSet {
    return (this.#ownedEvents.get(fs) ?? 0) >>> 0;
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
