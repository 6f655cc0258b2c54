/** The trace ring: what is kept, what is overwritten, in which order it is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Token } from "../dmapi/ids.js";
import { TRACE_STEPS_MAX, TraceRing } from "./trace.js";

const [one, two] = [1 as Token, 2 as Token];

test("steps of one event are told in order, in words", () => {
  const ring = new TraceRing();
  ring.note(1, one, "held", "read", "ab");
  ring.note(2, two, "held", "write");
  ring.note(3, one, "sent", 7, "B");
  ring.note(4, one, "resumed", "EIO");
  assert.deepEqual(ring.of(one).map(({ atMs, role, step, text }) => [atMs, role, step, text]), [
    [1, "source", "held", "a user's operation waits for its read event on ab"],
    [3, "source", "sent", "offered to session 7 on B"],
    [4, "source", "resumed", "over: the operation fails with EIO"],
  ]);
  assert.deepEqual(ring.of(3 as Token), []);
});

test("the oldest steps are overwritten, and the order stays", () => {
  const ring = new TraceRing();
  ring.note(0, one, "held", "read");
  for (let at = 1; at < TRACE_STEPS_MAX; at++) ring.note(at, two, "arrived", 1, "A");
  assert.equal(ring.of(one).length, 1);
  ring.note(TRACE_STEPS_MAX, one, "resumed", "continue");
  assert.deepEqual(ring.of(one).map(({ step }) => step), ["resumed"]);
  const times = ring.of(two).map(({ atMs }) => atMs);
  assert.equal(times.length, TRACE_STEPS_MAX - 1);
  assert(times.every((atMs, at) => at === 0 || atMs > times[at - 1]!));
});
