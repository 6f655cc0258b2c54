/**
 * What the session manager makes of one call: refused, or the changes of the next version. Pure; the manager numbers,
 * distributes and answers.
 *
 * Source    XDSM C429 dm_create_session, dm_destroy_session, dm_set_disp with the cluster's rules (xdsm.md 2.3, 2.7, 7.5);
 *           requirements R1, R6-R8, R13, R14, R16.
 */
import { type ApplicationLease, eventClasses, faultOfLease } from "../../dmapi/application-lease.js";
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
      return modify(call, session, caller.copy);
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
  if (copy.index.countOn(from) >= SESSIONS_PER_NODE_MAX) return refuse("ENOMEM", `${from} has ${SESSIONS_PER_NODE_MAX} sessions already`);
  const member = view.members.find((each) => each.id === from);
  if (member === undefined) return refuse("ENOTREADY", `${from} is no member`);
  const wrongLease = call.lease === undefined ? undefined : checkLease(call.lease, { group: call.group }, copy);
  if (wrongLease !== undefined) return wrongLease;
  const chosen = { ...(call.group !== undefined && { group: call.group }), ...(call.lease !== undefined && { lease: call.lease }) };
  return change({ id: nextId(), node: from, incarnation: member.incarnation, hostGeneration: 1, info: call.info, ...chosen, state: "active", ...durabilityOf(call.isDurable) });
}

function modify(call: Extract<SessionCall, { kind: "modify-session" }>, session: SessionRecord, copy: RegistryCopy): Plan {
  const { lease: former, ...rest } = session;
  const { info = session.info, lease = former } = call;
  const wrong = checkInfo(info) ?? (lease === undefined || lease === null || lease === former ? undefined : checkLease(lease, session, copy));
  return wrong ?? change({ ...rest, info, ...(lease !== undefined && lease !== null && { lease }), ...durabilityOf(call.isDurable, session) });
}

/** A standby must be there when it is named; one that goes later leaves the events waiting. */
function checkLease(lease: ApplicationLease, of: { readonly id?: SessionId; readonly group?: SessionRecord["group"] | undefined }, copy: RegistryCopy): Plan | undefined {
  const fault = faultOfLease(lease);
  if (fault !== undefined) return refuse("EINVAL", `lease: ${fault}`);
  for (const name of eventClasses) {
    const fate = lease.onLost[name];
    if (fate?.kind !== "standby") continue;
    if (fate.session === undefined && of.group === undefined) return refuse("EINVAL", `lease: ${name}: the session has no group whose members could stand by; name a session`);
    if (fate.session === undefined) continue;
    if (fate.session === of.id) return refuse("EINVAL", `lease: ${name}: a session cannot stand by for itself`);
    const standby = copy.session(fate.session);
    if (standby === undefined || standby.state === "closing") return refuse("EINVAL", `lease: ${name}: there is no session ${fate.session} that could stand by`);
  }
  return undefined;
}

function assume(call: Extract<SessionCall, { kind: "assume-session" }>, { copy, view, from }: Caller): Plan {
  const session = copy.session(call.session);
  const member = view.members.find((each) => each.id === from);
  if (session === undefined) return unknown(call.session);
  if (member === undefined) return refuse("ENOTREADY", `${from} is no member`);
  const wrong = checkInfo(call.info);
  if (wrong !== undefined) return wrong;
  if (session.state === "closing") return refuse("EBUSY", `session ${session.id} is being destroyed`);
  if (session.node !== from && copy.index.countOn(from) >= SESSIONS_PER_NODE_MAX) return refuse("ENOMEM", `${from} has ${SESSIONS_PER_NODE_MAX} sessions already`);
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
  } else if (copy.index.group(owner.group).length === 0) {
    return refuse("EINVAL", `no session belongs to the group ${owner.group}`);
  }
  if (fs !== "global" && !view.members.some((member) => member.mounted.includes(fs))) {
    return refuse("EBADF", `file system ${fs} is mounted nowhere in the cluster`);
  }
  return { kind: "change", changes: [{ kind: "dispositions-set", owner, fs, events: [...new Set(call.events)], below: call.below }] };
}

/** A session that was durable once may have logs, so it is never again one that was not. */
function durabilityOf(isDurable: boolean | undefined, before?: SessionRecord): Pick<SessionRecord, "durability"> {
  if (isDurable === true) return { durability: "on" };
  return isDurable === false && before?.durability !== undefined ? { durability: "off" } : {};
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
