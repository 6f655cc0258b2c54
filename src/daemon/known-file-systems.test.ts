/** A name stands for one file system of the cluster: the first that is noted, by whichever node. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { FsName } from "../dmapi/ids.js";
import { knownFsid, rememberFsid } from "./known-file-systems.js";

test("the first is noted, the same is welcome, another is refused, a damaged note is none", () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-test-"));
  const fs = "fs1" as FsName;
  try {
    assert.equal(knownFsid(directory, fs), undefined);
    rememberFsid(directory, fs, "0123456789abcdef");
    rememberFsid(directory, fs, "0123456789abcdef");
    assert.equal(knownFsid(directory, fs), "0123456789abcdef");
    assert.throws(() => rememberFsid(directory, fs, "fedcba9876543210"), /fs1 of this cluster is file system 0123456789abcdef; where another is meant to take its name, remove .*file-systems\/fs1/);
    assert.deepEqual(readdirSync(join(directory, "file-systems")), ["fs1"]);
    assert.equal(knownFsid(directory, "fs2" as FsName), undefined);
    writeFileSync(join(directory, "file-systems", "fs2"), "torn");
    assert.throws(() => knownFsid(directory, "fs2" as FsName), /fs2 is damaged/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
