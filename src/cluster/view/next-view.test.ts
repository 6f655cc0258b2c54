/** What the next view says of the members that serve rights (decisions 0005 and 0008). */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import type { Member, View } from "../view-document.js";
import { nextView, type Situation } from "./next-view.js";

const ids = (count: number): NodeId[] => Array.from({ length: count }, (_, at) => `n${String(at).padStart(2, "0")}` as NodeId);
function memberNamed(id: NodeId, slot: number): Member {
  return { id, incarnation: 1 as Incarnation, bootId: "boot", address: `${id}:1`, isEligible: true, preference: 0, slot, mounted: [] };
}
function next(count: number, about: Partial<Situation>): View {
  const members = ids(count).map(memberNamed);
  const base: View = { cluster: "c", number: 5, manager: members[0]!.id, members, sessionIdLimit: 100 };
  return nextView({
    cluster: "c", base, self: members[0]!, isDead: () => false, isEnded: () => false, isConnected: () => true, isParted: () => false, isHolder: () => true, candidates: [], mounts: [],
    moveTo: undefined, wantsMoreIds: false, fenced: [], rightsServers: undefined, ...about,
  });
}

test("where data events go nowhere all of a few members serve rights, and eight of many", () => {
  assert.equal(next(8, {}).rightsServers, undefined);
  assert.deepEqual(next(9, {}).rightsServers, ids(8));
  assert.deepEqual(next(40, { rightsServers: [] }).rightsServers, ids(8));
});

test("where they go decides as soon as it is known, and stays while it is not", () => {
  const [, second] = ids(40);
  assert.deepEqual(next(40, { rightsServers: [second!] }).rightsServers, [second]);
  const base = { ...next(40, { rightsServers: [second!] }) };
  assert.deepEqual(next(40, { base }).rightsServers, [second]);
  assert.deepEqual(next(40, { base, isDead: ({ id }) => id === second }).rightsServers, ids(40).filter((id) => id !== second).slice(0, 8));
});
