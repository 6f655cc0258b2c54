/** One key for all who start at once; a damaged or public one is refused. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readOrMakeClusterKey } from "./cluster-key.js";

test("the first makes it, the others read it; nothing is left beside it", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-test-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const key = readOrMakeClusterKey(directory);
  assert.equal(key.length, 32);
  assert.deepEqual(readOrMakeClusterKey(directory), key);
  assert.deepEqual(readdirSync(directory), ["cluster.key"]);
  const path = join(directory, "cluster.key");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  chmodSync(path, 0o644);
  assert.throws(() => readOrMakeClusterKey(directory), /mode 0600/);
  chmodSync(path, 0o600);
  writeFileSync(path, "short");
  assert.throws(() => readOrMakeClusterKey(directory), /has 5 bytes and has to have 32/);
});
