/** The version that a view's members use with each other: rises with the last upgrade, falls with an older member. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { VersionRange } from "../base/version-range.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import { isView, type Member, type View, wireVersionOf } from "./view-document.js";

function viewOf(...versions: readonly (VersionRange | undefined)[]): View {
  const members = versions.map((range, slot): Member => ({
    id: `node${slot}` as NodeId, incarnation: 1 as Incarnation, bootId: "b", address: "a", isEligible: true, preference: 0, slot, mounted: [], versions: range,
  }));
  return { cluster: "c", number: 1, manager: "node0" as NodeId, members, sessionIdLimit: 1 };
}
const [one, both, later] = [{ lowest: 1, highest: 1 }, { lowest: 1, highest: 2 }, { lowest: 2, highest: 3 }];

for (const [what, view, used] of [
  ["nobody says a version: the first", viewOf(undefined, undefined), 1],
  ["one of three upgraded", viewOf(one, one, both), 1],
  ["two of three upgraded", viewOf(one, both, both), 1],
  ["the last one upgraded", viewOf(both, both, both), 2],
  ["the next release comes", viewOf(both, both, later), 2],
  ["an older one joins again", viewOf(both, undefined, both), 1],
] as const) {
  test(`${what}: version ${used}`, () => {
    assert.equal(wireVersionOf(view), used);
    assert(isView(JSON.parse(JSON.stringify(view))));
  });
}

test("a view with a wrong range is no view", () => {
  assert.equal(isView(viewOf({ lowest: 2, highest: 1 })), false);
});
