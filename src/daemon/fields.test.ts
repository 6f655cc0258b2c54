/** What is read and which faults are told, where the tests of configuration and calls do not reach. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { between, type Fault, flag, listOf, map, optional, placeText, whole, withDefault } from "./fields.js";

const shape = map({ count: whole(0, 9), list: withDefault(listOf(map({ on: flag }), "a list"), []), wait: optional(between(0, 2)) });
function read(found: unknown): { readonly value: unknown; readonly faults: string[] } {
  const faults: Fault[] = [];
  const value = shape.read(found, [], faults);
  return { value, faults: faults.map(({ at, allowed, isUnknownKey }) => `${placeText(at)}${isUnknownKey ? " unknown" : ""}: ${allowed}`) };
}

test("absent keys stay absent or have their default, and the value found is not changed", () => {
  const found = Object.freeze({ count: 3, wait: 0.5 });
  assert.deepEqual(read(found), { value: { count: 3, list: [], wait: 0.5 }, faults: [] });
  assert.deepEqual(read({ count: 0, list: [{ on: true }] }), { value: { count: 0, list: [{ on: true }] }, faults: [] });
});

test("every fault is told, each with its place", () => {
  assert.deepEqual(read({ count: 1.5, list: [{ on: true }, { on: 1 }], wait: Number.NaN, more: 1 }).faults, [
    "count: a whole number from 0 to 9", "list[1].on: true or false", "wait: a number from 0 to 2", "more unknown: the keys count, list, wait",
  ]);
  assert.deepEqual(read({ count: null, list: {} }).faults, ["count: a whole number from 0 to 9", "list: a list"]);
});

test("keys and values of objects' own machinery are keys and values like others", () => {
  assert.deepEqual(read(JSON.parse('{"count":1,"__proto__":{"count":2},"constructor":1}')).faults, [
    "__proto__ unknown: the keys count, list, wait", "constructor unknown: the keys count, list, wait",
  ]);
  assert.deepEqual(read(Object.create({ count: 1 })).faults, ["count: a whole number from 0 to 9"]);
  for (const found of [undefined, null, 1, "x", [], new Uint8Array(1)]) assert.deepEqual(read(found).faults, ["the whole file: a map with the keys count, list, wait"]);
});
