/** An application lease as people write it: what is read, and what is refused in words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readLease } from "./lease-option.js";

test("a lease with its fates", () => {
  assert.equal(readLease({}), undefined);
  assert.deepEqual(readLease({ lease: "30s" }), { afterMs: 30_000, onLost: {} });
  assert.deepEqual(readLease({ lease: "2m", onLost: "data=standby:7,namespace=EIO,mount=wait,asynchronous=standby" }), {
    afterMs: 120_000,
    onLost: { data: { kind: "standby", session: 7 }, namespace: { kind: "errno", code: "EIO" }, mount: { kind: "wait" }, asynchronous: { kind: "standby" } },
  });
});

const wrong: readonly (readonly [string | undefined, string | undefined, RegExp])[] = [
  [undefined, "data=wait", /needs a time/],
  ["30", undefined, /number with a unit/],
  ["-3s", undefined, /number with a unit/],
  ["10ms", undefined, /from 1000 to/],
  ["900d", undefined, /from 1000 to/],
  ["30s", "data", /CLASS=FATE/],
  ["30s", "date=wait", /CLASS=FATE/],
  ["30s", "data=EWHAT", /no such errno/],
  ["30s", "data=ENOTREADY", /no such errno/],
  ["30s", "data=standby:0", /no session id/],
  ["30s", "data=wait,data=EIO", /two fates/],
  ["30s", "asynchronous=EIO", /has run already/],
];
for (const [lease, onLost, message] of wrong) {
  test(`refused: ${lease ?? "no lease"} ${onLost ?? ""}`, () => {
    assert.throws(() => readLease({ ...(lease !== undefined && { lease }), ...(onLost !== undefined && { onLost }) }), message);
  });
}
