/**
 * Applications' calls about the cluster itself, as node.ts answers them; everything else is data management's.
 *
 * Source    dmapi/calls.ts; XDSM dm_getall_sessions, dm_query_session, dm_getall_disp.
 */
import type { CallName } from "../dmapi/calls.js";
import { type NodeId, NAME_PATTERN, type SessionId } from "../dmapi/ids.js";
import type { DispositionEntry, SessionEntry } from "../dmapi/status.js";
import type { Disposition, ManagerCall, SessionRecord } from "./registry-document.js";

export type ClusterCall =
  | { readonly kind: "ask"; readonly call: ManagerCall; readonly result: unknown }
  | { readonly kind: "session-list" }
  | { readonly kind: "audit" }
  | { readonly kind: "session-query"; readonly session: SessionId }
  | { readonly kind: "disposition-list"; readonly session: SessionId | undefined }
  | { readonly kind: "spoil"; readonly what: "hosted-sessions" | "registry" | "distribution"; readonly isOn: boolean }
  | { readonly kind: "wrong"; readonly message: string };

/** Undefined when the call is not one about the cluster. Arguments come from strangers. */
export function readClusterCall(name: CallName, args: unknown): ClusterCall | undefined {
  const given: Readonly<Record<string, unknown>> = typeof args === "object" && args !== null ? { ...args } : {};
  switch (name) {
    case "manager.move":
      return isName(given["to"]) ? { kind: "ask", call: { kind: "move-manager", to: given["to"] }, result: { manager: given["to"] } } : wrong("`to` must be a node's name");
    case "node.fence":
      if (given["force"] !== undefined && typeof given["force"] !== "boolean") return wrong("`force` must be true or false");
      if (!isName(given["node"])) return wrong("`node` must be a node's name");
      return { kind: "ask", call: { kind: "fence-node", node: given["node"], ...(given["force"] === true && { isForced: true }) }, result: { fenced: given["node"] } };
    case "registry.audit":
      return { kind: "audit" };
    case "session.list":
      return { kind: "session-list" };
    case "session.query":
      return isSession(given["session"]) ? { kind: "session-query", session: given["session"] } : wrong("`session` must be a session id");
    case "disposition.list":
      if (given["session"] === undefined) return { kind: "disposition-list", session: undefined };
      return isSession(given["session"]) ? { kind: "disposition-list", session: given["session"] } : wrong("`session` must be a session id");
    case "test.spoil":
      return readSpoil(given);
    default:
      return undefined;
  }
}

function readSpoil({ what, on }: Readonly<Record<string, unknown>>): ClusterCall {
  if (what !== "hosted-sessions" && what !== "registry" && what !== "distribution") return wrong("`what` must be hosted-sessions, registry or distribution");
  if (on !== undefined && typeof on !== "boolean") return wrong("`on` must be true or false");
  return { kind: "spoil", what, isOn: on ?? true };
}

export function sessionEntry({ id, node, info, group, state, hostGeneration, lease, durability }: SessionRecord): SessionEntry {
  return { id, node, info, ...(group === undefined ? {} : { group }), state, hostGeneration, ...(lease === undefined ? {} : { lease }), ...(durability === "on" ? { isDurable: true } : {}) };
}

export function dispositionEntries(dispositions: readonly Disposition[], session?: SessionId): DispositionEntry[] {
  const listed = dispositions.filter(({ owner }) => session === undefined || (owner.kind === "session" && owner.session === session));
  return listed.map(({ fs, event, owner }) => (owner.kind === "session" ? { fs, event, session: owner.session } : { fs, event, group: owner.group }));
}

function isName(value: unknown): value is NodeId {
  return typeof value === "string" && NAME_PATTERN.test(value);
}
function isSession(value: unknown): value is SessionId {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value < 2 ** 31;
}
function wrong(message: string): ClusterCall {
  return { kind: "wrong", message };
}
