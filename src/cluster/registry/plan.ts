/**
 * What the session manager makes of one call: refused, or the changes of the next version. Pure; the manager numbers,
 * distributes and answers.
 *
 * Source    XDSM C429 dm_create_session, dm_destroy_session, dm_set_disp with the cluster's rules (xdsm.md 2.3, 2.7, 7.5);
 *           requirements R1, R6-R8, R13, R14, R16.
 */
import type { DmCode, DmFailure } from "../../dmapi/errors.js";
import { type NodeId, NAME_PATTERN, SESSION_INFO_LENGTH_MAX, SESSIONS_PER_NODE_MAX, type SessionId } from "../../dmapi/ids.js";
import type { ManagerCall, RegistryChange, SessionRecord } from "../registry-document.js";
import type { View } from "../view-document.js";
import type { RegistryCopy } from "./copy.js";
import { checkEvents } from "./dispositions.js";

export type SessionCall = Exclude<ManagerCall, { kind: "announce-mount" | "move-manager" | "fence-node" }>;
export interface Caller {
  readonly copy: RegistryCopy;
  readonly view: View;
  readonly from: NodeId;
}
export type Plan =
  | { readonly kind: "refuse"; readonly failure: DmFailure }
  | { readonly kind: "change"; readonly changes: readonly RegistryChange[]; readonly session?: SessionId }
  /** First step of a destroy: the version says "closing", the host is asked once all have acknowledged it. */
  | { readonly kind: "close"; readonly session: SessionRecord };

/** `nextId` is called only when a session is really created. */
export function plan(call: SessionCall, caller: Caller, nextId: () => SessionId): Plan {
  switch (call.kind) {
    case "create-session":
      return create(call, caller, nextId);
    case "assume-session":
      return assume(call, caller);
    case "modify-session": {
      const session = caller.copy.session(call.session);
      if (session === undefined) return unknown(call.session);
      return checkInfo(call.info) ?? change({ ...session, info: call.info });
    }
    case "destroy-session":
      return destroy(call.session, caller);
    case "set-dispositions":
      return setDispositions(call, caller);
  }
}

function create(call: Extract<SessionCall, { kind: "create-session" }>, { copy, view, from }: Caller, nextId: () => SessionId): Plan {
  const wrong = checkInfo(call.info);
  if (wrong !== undefined) return wrong;
  if (call.group !== undefined && !NAME_PATTERN.test(call.group)) return refuse("EINVAL", `group ${call.group} is no name`);
  if (copy.sessionCountOn(from) >= SESSIONS_PER_NODE_MAX) return refuse("ENOMEM", `${from} has ${SESSIONS_PER_NODE_MAX} sessions already`);
  const member = view.members.find((each) => each.id === from);
  if (member === undefined) return refuse("ENOTREADY", `${from} is no member`);
  const group = call.group === undefined ? {} : { group: call.group };
  return change({ id: nextId(), node: from, incarnation: member.incarnation, hostGeneration: 1, info: call.info, ...group, state: "active" });
}

function assume(call: Extract<SessionCall, { kind: "assume-session" }>, { copy, view, from }: Caller): Plan {
  const session = copy.session(call.session);
  const member = view.members.find((each) => each.id === from);
  if (session === undefined) return unknown(call.session);
  if (member === undefined) return refuse("ENOTREADY", `${from} is no member`);
  const wrong = checkInfo(call.info);
  if (wrong !== undefined) return wrong;
  if (session.state === "closing") return refuse("EBUSY", `session ${session.id} is being destroyed`);
  if (session.node !== from && copy.sessionCountOn(from) >= SESSIONS_PER_NODE_MAX) return refuse("ENOMEM", `${from} has ${SESSIONS_PER_NODE_MAX} sessions already`);
  if (session.state !== "failed" && session.node !== from) {
    return refuse("EINVAL", `session ${session.id} lives on ${session.node}; only a failed session can be assumed on another node`);
  }
  return change({ ...session, node: from, incarnation: member.incarnation, hostGeneration: session.hostGeneration + 1, info: call.info, state: "active" });
}

function destroy(id: SessionId, { copy, from }: Caller): Plan {
  const session = copy.session(id);
  if (session === undefined) return unknown(id);
  if (session.state === "failed") return refuse("EINVAL", `session ${id} has failed; assume it first`);
  if (session.node !== from) return refuse("EINVAL", `session ${id} can be destroyed only on its node ${session.node}`);
  if (session.state === "closing") return refuse("EBUSY", `session ${id} is being destroyed already`);
  return { kind: "close", session };
}

function setDispositions(call: Extract<SessionCall, { kind: "set-dispositions" }>, { copy, view }: Caller): Plan {
  const wrong = checkEvents(call);
  if (wrong !== undefined) return { kind: "refuse", failure: wrong };
  const { owner, fs } = call;
  if (owner.kind === "session") {
    const session = copy.session(owner.session);
    if (session === undefined) return unknown(owner.session);
    if (session.state === "closing") return refuse("EBUSY", `session ${session.id} is being destroyed`);
  } else if (!copy.sessions().some((session) => session.group === owner.group)) {
    return refuse("EINVAL", `no session belongs to the group ${owner.group}`);
  }
  if (fs !== "global" && !view.members.some((member) => member.mounted.includes(fs))) {
    return refuse("EBADF", `file system ${fs} is mounted nowhere in the cluster`);
  }
  return { kind: "change", changes: [{ kind: "dispositions-set", owner, fs, events: [...new Set(call.events)], below: call.below }] };
}

function change(session: SessionRecord): Plan {
  return { kind: "change", changes: [{ kind: "session-put", session }], session: session.id };
}
function refuse(code: DmCode, message: string): Plan & { kind: "refuse" } {
  return { kind: "refuse", failure: { code, message } };
}
function unknown(id: SessionId): Plan {
  return refuse("EINVAL", `there is no session ${id}`);
}
function checkInfo(info: string): Plan | undefined {
  const length = utf8Length(info) + 1;
  if (length <= SESSION_INFO_LENGTH_MAX) return undefined;
  return refuse("E2BIG", `the information string has ${length} bytes with its final NUL; ${SESSION_INFO_LENGTH_MAX} are allowed`);
}

export function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}
