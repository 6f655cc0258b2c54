import assert from "node:assert/strict";
import { test } from "node:test";
import { commonVersion, formatVersions, isVersionRange, parseVersions, tooFarApart } from "./version-range.js";

const cases: readonly (readonly [string, string, number | undefined])[] = [
  ["1", "1", 1], ["1-2", "1", 1], ["1", "1-2", 1], ["1-2", "1-2", 2], ["1-3", "2-5", 3], ["2", "1-3", 2],
  ["1", "2", undefined], ["1-2", "3-4", undefined], ["3-4", "1-2", undefined],
];
for (const [here, there, common] of cases) {
  test(`${here} and ${there} use ${common ?? "nothing: refused"}`, () => {
    const [a, b] = [parseVersions(here)!, parseVersions(there)!];
    assert.equal(commonVersion(a, b), common);
    assert.equal(formatVersions(a), here);
  });
}

test("any number of programs that speak with each other two by two have one version in common", () => {
  const all = [1, 2, 3, 4].flatMap((lowest) => [0, 1, 2, 3].map((more) => ({ lowest, highest: lowest + more })));
  for (const a of all) for (const b of all) for (const c of all) {
    const isEachPair = [[a, b], [b, c], [a, c]].every(([one, other]) => commonVersion(one!, other!) !== undefined);
    assert.equal(commonVersion(a, b, c) !== undefined, isEachPair);
  }
});

test("what is no range of versions is none", () => {
  for (const wrong of [null, 1, {}, { lowest: 2, highest: 1 }, { lowest: 0, highest: 1 }, { lowest: 1.5, highest: 2 }, { lowest: 1, highest: 1e9 }]) assert.equal(isVersionRange(wrong), false);
  for (const wrong of ["", "2-1", "a", "1-", "-1", "0", "1-2-3"]) assert.equal(parseVersions(wrong), undefined);
});

test("the refusal names both ranges and what to do, whoever tells it", () => {
  const older = { name: "node1", speaks: { lowest: 1, highest: 2 } };
  const newer = { name: "node4", speaks: { lowest: 4, highest: 5 } };
  for (const text of [tooFarApart(older, newer), tooFarApart(newer, older)]) {
    assert.match(text, /node1 speaks (versions )?1-2/);
    assert.match(text, /node4 speaks (versions )?4-5/);
    assert.match(text, /Upgrade node1 to a release that speaks version 4, or bring node4 back to one that speaks 2$/);
  }
});
