/** A pool is bounded in threads and in queue, answers everything, and ends although jobs wait. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job, JobOutcome } from "./jobs.js";
import { Pool } from "./pool.js";

const nothing: Job = { kind: "close", fds: [] };
const codeOf = (outcome: JobOutcome) => (outcome.kind === "failed" ? outcome.failure.code : "ok");

test("jobs beyond threads and queue are refused at once; the others are all done", async () => {
  const pool = new Pool({ workersMax: 2, queueMax: 3 });
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => pool.run(nothing).then(codeOf)));
  assert.deepEqual(outcomes.sort(), ["EAGAIN", "EAGAIN", "EAGAIN", "ok", "ok", "ok", "ok", "ok"]);
  assert.equal(pool.busy + pool.waiting, 0);
  await pool.close();
  assert.equal(codeOf(await pool.run(nothing)), "ENOTREADY");
});

test("closing answers what waits", async () => {
  const pool = new Pool({ workersMax: 1, queueMax: 10 });
  const waiting = Array.from({ length: 4 }, () => pool.run(nothing).then(codeOf));
  await pool.close();
  for (const code of await Promise.all(waiting)) assert.ok(code === "ok" || code === "ENOTREADY");
});
