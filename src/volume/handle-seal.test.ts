/** A handle is known by its seal: any other digit anywhere, or another key, and it is a stranger's. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { parseHandle } from "../dmapi/handle.js";
import type { Handle } from "../dmapi/ids.js";
import { HandleSeal } from "./handle-seal.js";

const seal = new HandleSeal("11".repeat(32));

test("a sealed handle is genuine, and comes apart into what it was made of", () => {
  const handle = seal.seal("0123456789abcdef", 1, "aabbccdd00112233");
  assert.ok(seal.isGenuine(handle));
  const parts = parseHandle(handle);
  assert.deepEqual([parts?.fsid, parts?.type, parts?.object], ["0123456789abcdef", 1, "aabbccdd00112233"]);
  assert.ok(seal.isGenuine(seal.seal("0123456789abcdef", "fs", "")));
});

test("a forged handle is not: each digit counts, and so does the key", () => {
  const handle = seal.seal("0123456789abcdef", 1, "aabbccdd00112233");
  for (let at = 0; at < handle.length; at++) {
    const other = handle[at] === "0" ? "1" : "0";
    assert.ok(!seal.isGenuine((handle.slice(0, at) + other + handle.slice(at + 1)) as Handle), `digit ${at}`);
  }
  assert.ok(!new HandleSeal("22".repeat(32)).isGenuine(handle));
  for (const text of ["", "zz", "00", "0".repeat(300)]) assert.ok(!seal.isGenuine(text as Handle));
});

test("a seal is the beginning of the HMAC of what is sealed", () => {
  for (const object of ["", "aabbccdd00112233", "ab".repeat(128)]) {
    const handle = seal.seal("0123456789abcdef", 1, object);
    const expected = createHmac("sha256", Buffer.from("11".repeat(32), "hex")).update(handle.slice(0, -16)).digest("hex").slice(0, 16);
    assert.equal(handle.slice(-16), expected);
  }
});
