/**
 * The audit of the registry: who set what, when, from where. Part of the registry itself, so that every node gives the
 * same answer and a new manager has what its predecessor had.
 *
 * Owns      nothing; what an entry says of a change, and how long entries are kept.
 * Units     `unixMs`: milliseconds since 1970 by the clock of the manager that made the version.
 * Source    blueprint 7 ("Registry changes are an audit").
 */
import { describeLease } from "../../dmapi/application-lease.js";
import type { Incarnation, NodeId, SessionId } from "../../dmapi/ids.js";
import type { AuditEntry } from "../../dmapi/status.js";
import type { ManagerCall, SessionRecord } from "../registry-document.js";

export const AUDIT_COUNT_MAX = 1_000;
export const AUDIT_FOR_MS = 86_400_000;

/** What happened, without when and by whom. */
export type Audited = Pick<AuditEntry, "act" | "session" | "detail">;

export function auditOfCall(call: ManagerCall, session: SessionId | undefined): Audited {
  const about = session === undefined ? {} : { session };
  switch (call.kind) {
    case "create-session":
      return { act: "session created", ...about, detail: [quoted(call.info), ...(call.group === undefined ? [] : [`group ${call.group}`]), ...leaseText(call.lease), ...durabilityText(call.isDurable)].join(", ") };
    case "assume-session":
      return { act: "session assumed", session: call.session, detail: quoted(call.info) };
    case "modify-session":
      return { act: "session modified", session: call.session, detail: [...(call.info === undefined ? [] : [quoted(call.info)]), ...leaseText(call.lease), ...durabilityText(call.isDurable)].join(", ") };
    case "destroy-session":
      return { act: "session destroyed", session: call.session, detail: "" };
    case "set-dispositions": {
      const { owner, fs, events } = call;
      const taken = events.length === 0 ? "no events" : events.join(" ");
      return { act: "dispositions set", ...(owner.kind === "session" && { session: owner.session }), detail: `${owner.kind === "group" ? `group ${owner.group}: ` : ""}${fs}: ${taken}` };
    }
    case "announce-mount":
    case "move-manager":
    case "fence-node":
      return { act: call.kind, detail: "" };
  }
}
/** The operator's word that a node is stopped. */
export function auditOfFence(node: NodeId, incarnation: Incarnation | undefined, isForced: boolean): Audited {
  return { act: "node fenced", detail: `${node}${incarnation === undefined ? "" : `, incarnation ${incarnation}`}${isForced ? ", by force" : ""}` };
}
/** A session whose node has left the view. */
export function auditOfLoss({ id, node, incarnation }: SessionRecord): Audited {
  return { act: "session failed", session: id, detail: `${node}, incarnation ${incarnation}, has left the view` };
}
export function auditOfReopening({ id }: SessionRecord): Audited {
  return { act: "session destruction undone", session: id, detail: "the manager that had begun it is gone" };
}
export function auditOfDiscard({ id }: SessionRecord): Audited {
  return { act: "session discarded", session: id, detail: "failed for too long" };
}

/** What is kept: the same from the same sequence of versions, on every node. */
export class AuditTrail {
  /** Those before `#from` are not kept any more; they go when there are as many of them as may be kept. */
  #entries: AuditEntry[] = [];
  #from = 0;
  #kept: readonly AuditEntry[] | undefined;

  constructor(entries: readonly AuditEntry[]) {
    this.#kept = entries;
    this.#entries = [...entries];
  }

  add(more: readonly AuditEntry[]): void {
    const newest = more.at(-1);
    if (newest === undefined) return;
    this.#kept = undefined;
    const entries = this.#entries;
    entries.push(...more);
    let from = Math.max(this.#from, entries.length - AUDIT_COUNT_MAX);
    while (from < entries.length && entries[from]!.unixMs <= newest.unixMs - AUDIT_FOR_MS) from++;
    this.#from = from;
    if (from <= AUDIT_COUNT_MAX) return;
    this.#entries = entries.slice(from);
    this.#from = 0;
  }

  /** The oldest first. */
  get entries(): readonly AuditEntry[] {
    this.#kept ??= this.#entries.slice(this.#from);
    return this.#kept;
  }
}

function quoted(info: string): string {
  return JSON.stringify(info);
}
function durabilityText(isDurable: boolean | undefined): string[] {
  return isDurable === undefined ? [] : [isDurable ? "durable events" : "no durable events"];
}
function leaseText(lease: Extract<ManagerCall, { kind: "modify-session" }>["lease"]): string[] {
  if (lease === undefined) return [];
  return [lease === null ? "no lease" : `lease ${describeLease(lease)}`];
}
