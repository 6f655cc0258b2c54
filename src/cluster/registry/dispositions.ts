/**
 * Dispositions: one owner for each (file system, event) pair, the last call wins; mount alone may have several owners.
 *
 * A call names the complete set of events below `below` that go to its owner: those in the set become the owner's, taken
 * from whoever had them; those not in the set are given up where the owner had them; events from `below` on stay.
 *
 * Source    XDSM C429 dm_set_disp; requirements R6, R8.
 */
import type { DmFailure } from "../../dmapi/errors.js";
import { dispositionEvents, eventNumbers, hasEvent } from "../../dmapi/events.js";
import type { GroupName, NodeId, SessionId } from "../../dmapi/ids.js";
import type { Disposition, Owner, RegistryChange, SessionRecord } from "../registry-document.js";

/** One more than the greatest event number. */
export const EVENT_COUNT = Math.max(...Object.values(eventNumbers)) + 1;
type DispositionsSet = Extract<RegistryChange, { kind: "dispositions-set" }>;

export function setDispositions(dispositions: readonly Disposition[], change: DispositionsSet): Disposition[] {
  const kept = dispositions.filter((each) => {
    if (each.fs !== change.fs || eventNumbers[each.event] >= change.below) return true;
    if (isSameOwner(each.owner, change.owner)) return false;
    return each.event === "mount" || !change.events.includes(each.event);
  });
  const added = change.events
    .filter((event) => eventNumbers[event] < change.below)
    .map((event) => ({ fs: change.fs, event, owner: change.owner }));
  return [...kept, ...added];
}

export function withoutSession(dispositions: readonly Disposition[], id: SessionId): Disposition[] {
  return dispositions.filter(({ owner }) => owner.kind !== "session" || owner.session !== id);
}
export function withoutGroup(dispositions: readonly Disposition[], group: GroupName): Disposition[] {
  return dispositions.filter(({ owner }) => owner.kind !== "group" || owner.group !== group);
}

/** Which session has that id, and which sessions a group has. */
interface Sessions {
  session(id: SessionId): SessionRecord | undefined;
  group(name: GroupName): readonly SessionRecord[];
}
/** The nodes, in order, on which an owner of read, write or truncate events of any file system is hosted. */
export function hostsOfDataEvents(sessions: Sessions, dispositions: readonly Disposition[], isHosted: (session: SessionRecord) => boolean): NodeId[] {
  const nodes = new Set<NodeId>();
  for (const { event, owner } of dispositions) {
    if (event !== "read" && event !== "write" && event !== "truncate") continue;
    const owned = owner.kind === "session" ? [sessions.session(owner.session)] : sessions.group(owner.group);
    for (const session of owned) if (session !== undefined && isHosted(session)) nodes.add(session.node);
  }
  return [...nodes].sort();
}

export function isSameOwner(a: Owner, b: Owner): boolean {
  if (a.kind === "session") return b.kind === "session" && a.session === b.session;
  return b.kind === "group" && a.group === b.group;
}

/** What is wrong with a call's own arguments, whoever makes it. */
export function checkEvents(call: Pick<DispositionsSet, "fs" | "events" | "below">): DmFailure | undefined {
  if (!Number.isInteger(call.below) || call.below < 1 || call.below > EVENT_COUNT) {
    return { code: "EINVAL", message: `the bound must be from 1 to ${EVENT_COUNT}, not ${call.below}` };
  }
  const wrong = call.events.find((event) => (call.fs === "global" ? event !== "mount" : eventNumbers[event] === undefined || !hasEvent(dispositionEvents, event)));
  if (wrong === undefined) return undefined;
  const rule = call.fs === "global" ? "the global handle takes mount only" : "a file system takes no such disposition";
  return { code: "EINVAL", message: `event ${wrong}: ${rule}` };
}
