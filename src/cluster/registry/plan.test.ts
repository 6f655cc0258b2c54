/** What the session manager makes of each call: XDSM 2.3 and 2.7 with the cluster's rules, as a table. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ApplicationLease } from "../../dmapi/application-lease.js";
import type { DmCode } from "../../dmapi/errors.js";
import { type FsName, type GroupName, type Incarnation, type NodeId, type SessionId, SESSIONS_PER_NODE_MAX } from "../../dmapi/ids.js";
import type { Disposition, Owner, RegistryChange, SessionRecord } from "../registry-document.js";
import type { Member, View } from "../view-document.js";
import { RegistryCopy } from "./copy.js";
import { EVENT_COUNT, setDispositions } from "./dispositions.js";
import { plan, type SessionCall, utf8Length } from "./plan.js";

const [fs1, fs2] = ["fs1", "fs2"] as FsName[];
const member = (id: string, mounted: FsName[]): Member => ({
  id: id as NodeId, incarnation: 1 as Incarnation, bootId: "", address: "", isEligible: true, preference: 0, slot: 0, mounted,
});
const view: View = { cluster: "c", number: 1, manager: "A" as NodeId, members: [member("A", []), member("B", []), member("C", [fs1!])], sessionIdLimit: 4096 };
const session = (id: number, node: string, state: SessionRecord["state"], group?: string): RegistryChange => ({
  kind: "session-put",
  session: { id: id as SessionId, node: node as NodeId, incarnation: 1 as Incarnation, hostGeneration: 1, info: "", state, ...(group === undefined ? {} : { group: group as GroupName }) },
});
function copy(): RegistryCopy {
  const made = new RegistryCopy();
  made.apply({ version: 1, by: "A" as NodeId, changes: [session(1, "B", "active"), session(2, "B", "failed"), session(3, "B", "closing"), session(4, "C", "active", "movers")] }, 0);
  return made;
}
const own = (id: number): Owner => ({ kind: "session", session: id as SessionId });
const disposition = (owner: Owner, fs: FsName | "global", events: readonly string[], below = EVENT_COUNT): SessionCall =>
  ({ kind: "set-dispositions", owner, fs, events, below }) as SessionCall;

const lease = (onLost: ApplicationLease["onLost"]): ApplicationLease => ({ afterMs: 30_000, onLost });
const cases: { name: string; from: string; call: SessionCall; expect: DmCode | "change" | "close" }[] = [
  { name: "255 bytes and a NUL fit", from: "A", call: { kind: "create-session", info: "x".repeat(255) }, expect: "change" },
  { name: "256 bytes and a NUL do not", from: "A", call: { kind: "create-session", info: "x".repeat(256) }, expect: "E2BIG" },
  { name: "bytes count, not characters", from: "A", call: { kind: "create-session", info: "ä".repeat(128) }, expect: "E2BIG" },
  { name: "a group needs a name", from: "A", call: { kind: "create-session", info: "", group: "a b" as GroupName }, expect: "EINVAL" },
  { name: "assume on the own node", from: "B", call: { kind: "assume-session", session: 1 as SessionId, info: "" }, expect: "change" },
  { name: "assume elsewhere while it lives", from: "C", call: { kind: "assume-session", session: 1 as SessionId, info: "" }, expect: "EINVAL" },
  { name: "assume a failed one anywhere", from: "C", call: { kind: "assume-session", session: 2 as SessionId, info: "" }, expect: "change" },
  { name: "assume an unknown one", from: "C", call: { kind: "assume-session", session: 9 as SessionId, info: "" }, expect: "EINVAL" },
  { name: "assume while it is destroyed", from: "B", call: { kind: "assume-session", session: 3 as SessionId, info: "" }, expect: "EBUSY" },
  { name: "a lease that waits", from: "A", call: { kind: "create-session", info: "", lease: lease({ data: { kind: "wait" } }) }, expect: "change" },
  { name: "a standby that lives or may be assumed", from: "A", call: { kind: "create-session", info: "", lease: lease({ data: { kind: "standby", session: 2 as SessionId } }) }, expect: "change" },
  { name: "a standby that is being destroyed", from: "A", call: { kind: "create-session", info: "", lease: lease({ data: { kind: "standby", session: 3 as SessionId } }) }, expect: "EINVAL" },
  { name: "a standby that is not there", from: "A", call: { kind: "create-session", info: "", lease: lease({ mount: { kind: "standby", session: 9 as SessionId } }) }, expect: "EINVAL" },
  { name: "a standby in the group", from: "A", call: { kind: "create-session", info: "", group: "movers" as GroupName, lease: lease({ data: { kind: "standby" } }) }, expect: "change" },
  { name: "a standby in no group", from: "A", call: { kind: "create-session", info: "", lease: lease({ data: { kind: "standby" } }) }, expect: "EINVAL" },
  { name: "an errno for what has run", from: "A", call: { kind: "create-session", info: "", lease: lease({ asynchronous: { kind: "errno", code: "EIO" } }) }, expect: "EINVAL" },
  { name: "its own standby", from: "C", call: { kind: "modify-session", session: 1 as SessionId, lease: lease({ data: { kind: "standby", session: 1 as SessionId } }) }, expect: "EINVAL" },
  { name: "only the lease", from: "C", call: { kind: "modify-session", session: 1 as SessionId, lease: null }, expect: "change" },
  { name: "modify from any node", from: "C", call: { kind: "modify-session", session: 1 as SessionId, info: "new" }, expect: "change" },
  { name: "destroy on its node", from: "B", call: { kind: "destroy-session", session: 1 as SessionId }, expect: "close" },
  { name: "destroy elsewhere", from: "C", call: { kind: "destroy-session", session: 1 as SessionId }, expect: "EINVAL" },
  { name: "destroy a failed one", from: "B", call: { kind: "destroy-session", session: 2 as SessionId }, expect: "EINVAL" },
  { name: "dispositions from a node without the mount", from: "A", call: disposition(own(1), fs1!, ["read"]), expect: "change" },
  { name: "mounted nowhere", from: "A", call: disposition(own(1), fs2!, ["read"]), expect: "EBADF" },
  { name: "mount is not a file system's", from: "A", call: disposition(own(1), fs1!, ["mount"]), expect: "EINVAL" },
  { name: "the global handle takes mount", from: "A", call: disposition(own(1), "global", ["mount"]), expect: "change" },
  { name: "the global handle takes nothing else", from: "A", call: disposition(own(1), "global", ["read"]), expect: "EINVAL" },
  { name: "no such event", from: "A", call: disposition(own(1), fs1!, ["reed"]), expect: "EINVAL" },
  { name: "a bound of 0", from: "A", call: disposition(own(1), fs1!, [], 0), expect: "EINVAL" },
  { name: "a bound too high", from: "A", call: disposition(own(1), fs1!, [], EVENT_COUNT + 1), expect: "EINVAL" },
  { name: "unknown session", from: "A", call: disposition(own(9), fs1!, ["read"]), expect: "EINVAL" },
  { name: "a group that has members", from: "A", call: disposition({ kind: "group", group: "movers" as GroupName }, fs1!, ["read"]), expect: "change" },
  { name: "a group that has none", from: "A", call: disposition({ kind: "group", group: "nobody" as GroupName }, fs1!, ["read"]), expect: "EINVAL" },
];
for (const { name, from, call, expect } of cases) {
  test(`${call.kind}: ${name}`, () => {
    const planned = plan(call, { copy: copy(), view, from: from as NodeId }, () => 5 as SessionId);
    assert.equal(planned.kind === "refuse" ? planned.failure.code : planned.kind, expect);
  });
}

test("assuming makes the caller the host, with a higher host generation and the group kept", () => {
  const planned = plan({ kind: "assume-session", session: 2 as SessionId, info: "mine" }, { copy: copy(), view, from: "C" as NodeId }, () => 5 as SessionId);
  assert.ok(planned.kind === "change" && planned.changes[0]?.kind === "session-put");
  const { node, hostGeneration, state, info } = planned.changes[0].session;
  assert.deepEqual({ node, hostGeneration, state, info }, { node: "C", hostGeneration: 2, state: "active", info: "mine" });
});

test("dispositions: taken over without error, given up when left out, kept from the bound on; mount has several owners", () => {
  let set: readonly Disposition[] = [];
  const put = (owner: number, fs: FsName | "global", events: Disposition["event"][], below = EVENT_COUNT): string => {
    set = setDispositions(set, { kind: "dispositions-set", owner: own(owner), fs, events, below });
    return set.map((each) => `${each.fs}:${each.event}=${each.owner.kind === "session" ? each.owner.session : ""}`).join(" ");
  };
  assert.equal(put(1, fs1!, ["read", "destroy"]), "fs1:read=1 fs1:destroy=1");
  assert.equal(put(2, fs1!, ["read", "write"]), "fs1:destroy=1 fs1:read=2 fs1:write=2");
  assert.equal(put(1, fs1!, ["create"], 17), "fs1:destroy=1 fs1:read=2 fs1:write=2 fs1:create=1");
  assert.equal(put(2, fs1!, []), "fs1:destroy=1 fs1:create=1");
  assert.equal(put(1, "global", ["mount"]), "fs1:destroy=1 fs1:create=1 global:mount=1");
  assert.equal(put(2, "global", ["mount"]), "fs1:destroy=1 fs1:create=1 global:mount=1 global:mount=2");
});

test("a destroyed session takes its dispositions along, and the last of a group the group's", () => {
  const made = copy();
  const group: Owner = { kind: "group", group: "movers" as GroupName };
  made.apply({ version: 2, by: "A" as NodeId, changes: [
    { kind: "dispositions-set", owner: own(1), fs: fs1!, events: ["read"], below: EVENT_COUNT },
    { kind: "dispositions-set", owner: group, fs: fs1!, events: ["write"], below: EVENT_COUNT },
  ] }, 0);
  made.apply({ version: 3, by: "A" as NodeId, changes: [{ kind: "session-destroyed", id: 1 as SessionId }, { kind: "session-destroyed", id: 4 as SessionId }] }, 0);
  assert.deepEqual([made.dispositions, made.snapshot().destroyed], [[], [1, 4]]);
});

test("utf8Length counts bytes", () => {
  for (const text of ["", "a", "ä", "€", "😀", "x€😀"]) assert.equal(utf8Length(text), Buffer.byteLength(text));
});

test("a node has 4,000 sessions at the most, whether made there or assumed; other nodes have their own", () => {
  const full = copy();
  const many = Array.from({ length: SESSIONS_PER_NODE_MAX }, (_, at) => session(100 + at, "A", "active"));
  full.apply({ version: 2, by: "A" as NodeId, changes: many }, 0);
  const planned = (call: SessionCall, from: string) => plan(call, { copy: full, view, from: from as NodeId }, () => 9_999 as SessionId);
  const create = { kind: "create-session", info: "" } as const;
  const assume = (id: number) => ({ kind: "assume-session", session: id as SessionId, info: "" }) as const;
  for (const call of [create, assume(2)]) {
    const refused = planned(call, "A");
    assert.ok(refused.kind === "refuse" && refused.failure.code === "ENOMEM" && refused.failure.message.includes("4000 sessions already"), call.kind);
    assert.equal(planned(call, "C").kind, "change");
  }
  assert.equal(planned(assume(100), "A").kind, "change", "its own counts already");
  full.apply({ version: 3, by: "A" as NodeId, changes: [{ kind: "session-destroyed", id: 100 as SessionId }] }, 0);
  assert.equal(planned(create, "A").kind, "change", "a place is free again");
});
