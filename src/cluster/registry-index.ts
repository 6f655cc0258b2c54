/**
 * This node's copy of the registry, arranged for questions: which session, which owner, which members of a group.
 *
 * Built anew from each version; it never changes. Order is the registry's own, the same on every node.
 *
 * Source    requirements R6-R8, R17; safety M3.
 */
import { type EventSet, type EventType, eventSet } from "../dmapi/events.js";
import type { FsName, GroupName, SessionId } from "../dmapi/ids.js";
import type { Disposition, Owner, RegistryContent, SessionRecord } from "./registry-document.js";

export class RegistryIndex {
  readonly version: number;
  readonly sessions: readonly SessionRecord[];
  readonly dispositions: readonly Disposition[];
  readonly #sessions = new Map<SessionId, SessionRecord>();
  /** By file system, then event. */
  readonly #owners = new Map<string, Map<EventType, Owner[]>>();
  readonly #groups = new Map<GroupName, SessionRecord[]>();
  readonly #ownedEvents = new Map<FsName, EventSet>();

  constructor(content: RegistryContent) {
    this.version = content.version;
    this.sessions = content.sessions;
    this.dispositions = content.dispositions;
    for (const session of content.sessions) {
      this.#sessions.set(session.id, session);
      if (session.group !== undefined) push(this.#groups, session.group, session);
    }
    for (const { fs, event, owner } of content.dispositions) {
      const ofFs = this.#owners.get(fs) ?? new Map<EventType, Owner[]>();
      this.#owners.set(fs, ofFs);
      push(ofFs, event, owner);
      if (fs !== "global") this.#ownedEvents.set(fs, (this.#ownedEvents.get(fs) ?? 0) | eventSet([event]));
    }
  }

  session(id: SessionId): SessionRecord | undefined {
    return this.#sessions.get(id);
  }
  /** One owner at most, save for mount. */
  owners(fs: FsName | "global", event: EventType): readonly Owner[] {
    return this.#owners.get(fs)?.get(event) ?? [];
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
