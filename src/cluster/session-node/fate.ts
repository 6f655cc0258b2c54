/**
 * What becomes of an event of a session that no application serves: by the session's lease, its class decides.
 *
 * Source    application leases (dmapi/application-lease.ts).
 */
import { classOf, type LostFate } from "../../dmapi/application-lease.js";
import type { SessionId } from "../../dmapi/ids.js";
import type { SessionRecord } from "../registry-document.js";
import type { Surroundings } from "../surroundings.js";
import type { Entry, HostedSession } from "./hosted-session.js";

export function fateOf(hosted: HostedSession, entry: Entry): LostFate {
  if (entry.durable !== undefined) return { kind: "wait" }; // in the log, for as long as it takes
  const name = entry.notice === undefined ? classOf(entry.event.type, entry.isSynchronous) : undefined;
  return (name === undefined ? undefined : hosted.lease?.onLost[name]) ?? { kind: "wait" };
}

/** A session that lives; none that had the event before, so that it is not handed round for ever. `named`: the fate's own, else one of the group. */
export function standbyOf(here: Surroundings, hosted: HostedSession, entry: Entry, named: SessionId | undefined): SessionRecord | undefined {
  const { registry } = here;
  const group = registry?.session(hosted.id)?.group;
  const candidates = named !== undefined ? [registry?.session(named)] : group === undefined ? [] : (registry?.group(group) ?? []);
  return candidates.find((each) => each !== undefined && each.id !== hosted.id && each.state === "active" && here.isLiving(each) && !entry.passedBy.includes(each.id));
}
