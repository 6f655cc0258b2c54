/** The ring keeps the newest entries, in order; what is sent again says so; a wait ends at the next entry. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Frame } from "../cluster/messages.js";
import type { Incarnation, NodeId, SessionId, Token } from "../dmapi/ids.js";
import { LOG_ENTRIES_MAX, MessageLog } from "./message-log.js";

const a = "a" as NodeId;
const b = "b" as NodeId;
function frame(sequence: number, toIncarnation = 1): Frame {
  return {
    from: a, fromIncarnation: 1 as Incarnation, toIncarnation: toIncarnation as Incarnation, view: 4, sequence, acknowledged: 0,
    body: { kind: "answer-taken", token: sequence as Token, session: 3 as SessionId },
  };
}

test("of more than the ring holds the newest stay, numbered on", async () => {
  const log = new MessageLog(a, undefined, assert.fail);
  for (let sequence = 1; sequence <= LOG_ENTRIES_MAX + 10; sequence++) log.sent(b, frame(sequence));
  const oldest = log.after(0);
  assert.equal(oldest[0]?.number, 11);
  assert.equal(oldest[0]?.token, 11);
  assert.deepEqual(log.after(LOG_ENTRIES_MAX + 9).map(({ number, session, epoch, kind }) => ({ number, session, epoch, kind })), [
    { number: LOG_ENTRIES_MAX + 10, session: 3, epoch: 4, kind: "answer-taken" },
  ]);
  assert.deepEqual(log.after(LOG_ENTRIES_MAX + 10), []);
  assert.equal(log.after(100, 7).length, 7);
  await log.close();
});

test("what travels again says so, per incarnation; bare acknowledgements are no messages", async () => {
  const log = new MessageLog(a, undefined, assert.fail);
  for (const each of [frame(1), frame(2), frame(1), frame(1, 2)]) log.sent(b, each);
  const { body: _, sequence: _sequence, ...bare } = frame(9);
  log.received(bare);
  assert.deepEqual(log.after(0).map(({ summary }) => summary), [undefined, undefined, "sent again", undefined]);
  await log.close();
});

test("the manager's functions have the standard's names; the file has every entry as a line", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-test-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const log = new MessageLog(a, join(directory, "log"), assert.fail);
  let isWoken = false;
  log.wait(60_000, () => (isWoken = true));
  log.managerRan(b, { kind: "create-session", info: "x" }, 4);
  assert.ok(isWoken);
  log.sent(b, frame(7));
  log.managerRan(b, { kind: "set-dispositions", owner: { kind: "session", session: 5 as SessionId }, fs: "global", events: ["mount"], below: 24 }, 4);
  await log.close();
  const lines = readFileSync(join(directory, "log"), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ number, from, to, kind, summary }) => [number, from, to, kind, summary]), [
    [1, "b", "a", "dm_create_session", '"x"'],
    [2, "a", "b", "answer-taken", undefined],
    [3, "b", "a", "dm_set_disp", "5 global: mount"],
  ]);
  assert.deepEqual(lines, log.after(0));
});
