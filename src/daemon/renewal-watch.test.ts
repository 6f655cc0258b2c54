/** The alarm of slow renewals: after the fact, and while one hangs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RenewalWatch } from "./renewal-watch.js";

const leaseUntil = new Float64Array(1);
const times = { renewMs: 1_000, holdMs: 8_000, deadMs: 12_000 };
const renewed = (issuedMs: number, tookMs: number) => ({ kind: "lease-renewed", validUntilMs: issuedMs + times.holdMs, tookMs }) as const;

test("a renewal that took more than a quarter of the lease is told of once, and stands in the status until a quicker one", () => {
  const lines: string[] = [];
  const watch = new RenewalWatch(times, (line) => lines.push(line), leaseUntil);
  assert.deepEqual(watch.entry(5), { lastMs: 0, slowestMs: 0, alarmMs: 2_000, slow: 0 });
  watch.hear(renewed(10_000, 1_999));
  watch.look(10_500);
  assert.deepEqual([lines, watch.entry(10_500).alarm], [[], undefined]);
  watch.hear(renewed(11_000, 2_001));
  assert.match(lines.join(), /^alarm: the coordination directory took 2001 ms .* lasts 8000 ms$/);
  assert.deepEqual({ ...watch.entry(13_100), alarm: undefined }, { ageMs: 2_100, lastMs: 2_001, slowestMs: 2_001, alarmMs: 2_000, slow: 1, alarm: undefined });
  assert.match(watch.entry(13_100).alarm ?? "", /took 2001 ms/);
  watch.hear(renewed(13_200, 3));
  assert.equal(watch.entry(13_300).alarm, undefined);
  assert.equal(lines.length, 1);
});

test("one that hangs is told of while it hangs, once, and so is its end", () => {
  const lines: string[] = [];
  const watch = new RenewalWatch(times, (line) => lines.push(line), leaseUntil);
  watch.hear(renewed(1_000, 5));
  watch.look(4_000);
  assert.equal(lines.length, 0, "it began 1,000 ms after the last at the earliest");
  watch.look(4_001);
  watch.look(5_000);
  assert.match(lines.join(), /^alarm: no renewal .* for 3001 ms$/);
  assert.match(watch.entry(5_000).alarm ?? "", /for 4000 ms$/);
  watch.hear(renewed(6_000, 4));
  assert.match(lines.at(-1) ?? "", /takes renewals again/);
  watch.hear({ kind: "coordination-failed", message: "renewing the lease: EIO" });
  assert.equal(lines.at(-1), "coordination: renewing the lease: EIO");
});
