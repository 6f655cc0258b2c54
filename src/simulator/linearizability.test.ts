import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLinearizable, type HistoryEntry, type SequentialModel } from "./linearizability.js";

type Call = { readonly write: number } | "read";
const register: SequentialModel<number, Call, number> = {
  initial: 0,
  step: (state, call, answer) => (call !== "read" ? [call.write] : answer === undefined || answer === state ? [state] : []),
  key: String,
};
const write = (value: number, beganMs: number, endedMs?: number): HistoryEntry<Call, number> => ({ call: { write: value }, beganMs, ...(endedMs !== undefined && { end: { atMs: endedMs, answer: value } }) });
const read = (value: number, beganMs: number, endedMs: number): HistoryEntry<Call, number> => ({ call: "read", beganMs, end: { atMs: endedMs, answer: value } });

const cases: readonly (readonly [string, readonly HistoryEntry<Call, number>[], "linearizable" | "impossible"])[] = [
  ["nothing", [], "linearizable"],
  ["one after the other", [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)], "linearizable"],
  ["a stale read", [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)], "impossible"],
  ["a read during a write sees either", [write(1, 0, 1), write(2, 2, 9), read(1, 3, 4), read(2, 5, 6)], "linearizable"],
  ["new and then old", [write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6)], "impossible"],
  ["a write without an answer took effect late", [write(1, 0, 1), write(2, 2), read(1, 3, 4), read(2, 50, 51)], "linearizable"],
  ["a write without an answer never took effect", [write(1, 0, 1), write(2, 2), read(1, 50, 51)], "linearizable"],
  ["a write without an answer took effect once", [write(2, 0), read(2, 1, 2), write(1, 3, 4), read(2, 5, 6)], "impossible"],
  ["nobody wrote it", [write(1, 0, 1), read(7, 2, 3)], "impossible"],
];
for (const [name, history, kind] of cases) test(`${name}: ${kind}`, () => assert.equal(checkLinearizable(history, register).kind, kind));

test("two hundred calls, eight at a time", () => {
  const history: HistoryEntry<Call, number>[] = [];
  for (let at = 0; at < 200; at++) history.push(at % 8 === 7 ? read(at - 7 + (at % 3), at - 7, at + 8) : write(at, at, at + 8));
  assert.notEqual(checkLinearizable(history, register).kind, "undecided");
});
