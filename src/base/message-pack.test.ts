/** Bytes that claim what is not there, or what is never sent, are refused before anything is made of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Packr } from "msgpackr";
import { DEPTH_MAX, faultOfPacked } from "./message-pack.js";

const cases: readonly [string, readonly number[], RegExp | undefined][] = [
  ["nil", [0xc0], undefined],
  ["undefined, as an extension", [0xd4, 0, 0], undefined],
  ["a map of one", [0x81, 0xa1, 0x61, 0x01], undefined],
  ["nothing", [], /cut short/],
  ["an array that claims 32 million", [0xdd, 0x02, 0, 0, 0, 0xc0], /cut short/],
  ["a map that claims four thousand million", [0xdf, 0xff, 0xff, 0xff, 0xff], /cut short/],
  ["a text longer than the rest", [0xd9, 5, 0x61], /cut short/],
  ["a number cut short", [0xcb, 0, 0], /cut short/],
  ["two values", [0x01, 0x02], /1 bytes after its end/],
  ["another extension", [0xd4, 0x72, 0x40], /extension/],
  ["an extension of 8 bits", [0xc7, 1, 0x78, 0], /0xc7/],
  ["the head that means nothing", [0xc1], /0xc1/],
  ["as deep as may be", [...Array.from({ length: DEPTH_MAX }, () => 0x91), 0xc0], undefined],
  ["deeper", [...Array.from({ length: DEPTH_MAX + 1 }, () => 0x91), 0xc0], /nested deeper/],
];
for (const [name, bytes, expected] of cases) {
  test(name, () => {
    const fault = faultOfPacked(Uint8Array.from(bytes));
    if (expected === undefined) assert.equal(fault, undefined);
    else assert.match(fault ?? "no fault", expected);
  });
}

test("everything our packer makes passes", () => {
  const value = {
    text: ["", "x".repeat(31), "x".repeat(32), "x".repeat(300), "x".repeat(70_000)], bytes: [0, 255, 256, 70_000].map((length) => new Uint8Array(length)),
    numbers: [0, 127, 128, 65_536, 2 ** 32, 2 ** 53, -1, -33, -40_000, -(2 ** 40), 0.1, 2n ** 63n, -(2n ** 63n)], long: Array.from({ length: 70_000 }, () => null),
    flags: [true, false, undefined], map: Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`k${at}`, {}])),
  };
  assert.equal(faultOfPacked(new Packr({ useRecords: false }).pack(value)), undefined);
});
