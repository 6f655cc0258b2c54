import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAge, formatBytes, printable, toJson } from "./output.js";

test("sizes and ages are short and have a unit", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 10 * 1024 * 1024, 5e12].map(formatBytes), ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 MiB", "4.5 TiB"]);
  assert.deepEqual([5, 1_500, 180_000, 8_000_000].map(formatAge), ["5 ms", "1.5 s", "3 min", "2.2 h"]);
});

test("JSON has 64-bit values as text and bytes as hexadecimal", () => {
  assert.equal(toJson({ a: 2n ** 60n, b: Buffer.from([1, 255]), c: [1] }), '{"a":"1152921504606846976","b":"01ff","c":[1]}');
});

test("control characters of a name do not reach the terminal", () => {
  assert.equal(printable("a\n\u001b[31mb"), "a\\x0a\\x1b[31mb");
});
