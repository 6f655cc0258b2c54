/** What a backing must be before it is served, who makes its document, and what the probe finds. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { FsName } from "../dmapi/ids.js";
import * as files from "../os/files.js";
import { attach, changeDocument, isOwnName, troubleOf } from "./filesystem.js";
import { ownText } from "./handles.js";
import { describeProbe, probe, refusals } from "./probe.js";
import { VolumeService } from "./service.js";

const needsRoot = { skip: process.getuid?.() === 0 ? false : "needs root: trusted attributes, kernel file handles" };
const top = mkdtempSync("/tmp/sluice-test-attach-");
after(() => rmSync(top, { recursive: true, force: true }));
const clusterKey = "ab".repeat(32);
const fs = "fs1" as FsName;
let count = 0;
function backing(mode = 0o700): string {
  const path = join(top, `backing${count++}`);
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

test("a fresh backing gets its id once, and its handles open what they name", needsRoot, () => {
  const path = backing();
  const first = attach({ fs, backing: path, clusterKey });
  const second = attach({ fs, backing: path, clusterKey });
  assert.equal(first.document.fsid, second.document.fsid);
  assert.equal(first.volume.rootHandle, second.volume.rootHandle);
  assert.deepEqual(readdirSync(join(path, ".sluice")).sort(), ["fs.json", "meta"]);
  const fd = first.volume.handles.open(second.volume.rootHandle, files.open.readOnly);
  assert.ok(typeof fd === "number");
  files.close(fd);
  const other = attach({ fs, backing: backing(), clusterKey });
  const foreign = first.volume.handles.open(other.volume.rootHandle, files.open.readOnly);
  assert.ok(typeof foreign !== "number" && foreign.code === "EBADF" && foreign.message.includes("another file system"));
  const key = attach({ fs, backing: path, clusterKey: "cd".repeat(32) });
  const forged = first.volume.handles.open(key.volume.rootHandle, files.open.readOnly);
  assert.ok(typeof forged !== "number" && forged.code === "EBADF");
  for (const attached of [first, second, other, key]) attached.volume.close();
});

test("where the cluster knows the file system, neither another nor an empty directory is taken for it, and nothing is made there", needsRoot, () => {
  const path = backing();
  const first = attach({ fs, backing: path, clusterKey });
  const { fsid } = first.document;
  const empty = backing();
  assert.throws(() => attach({ fs, backing: empty, clusterKey, fsid }), new RegExp(`has no \\.sluice/fs\\.json, and fs1 of this cluster is file system ${fsid}: is it mounted\\?`));
  assert.deepEqual(readdirSync(empty), []);
  const another = backing();
  attach({ fs, backing: another, clusterKey }).volume.close();
  assert.throws(() => attach({ fs, backing: another, clusterKey, fsid }), /is file system [0-9a-f]{16}, and fs1 of this cluster is/);
  attach({ fs, backing: path, clusterKey, fsid }).volume.close();
  assert.equal(troubleOf(first.volume.parts), undefined);
  renameSync(path, `${path}.away`);
  assert.match(troubleOf(first.volume.parts) ?? "", /fails: users go on with what this daemon has open of it; its path: no such directory/);
  mkdirSync(path, { mode: 0o700 });
  assert.match(troubleOf(first.volume.parts) ?? "", /is not mounted any more: users go on/);
  cpSync(join(`${path}.away`, ".sluice"), join(path, ".sluice"), { recursive: true });
  assert.match(troubleOf(first.volume.parts) ?? "", /is there again, and this daemon has the former one open.*Restart the daemon/);
  first.volume.close();
});

test("what may not be served is refused in words that help", needsRoot, () => {
  const link = join(top, "link");
  symlinkSync(backing(), link);
  const foreign = backing();
  files.chownAt(files.AT_FDCWD, foreign, 1234, 0, 0);
  const spoilt = backing();
  mkdirSync(join(spoilt, ".sluice"));
  writeFileSync(join(spoilt, ".sluice/fs.json"), '{"format":1,"fsid":"short"}');
  const cases: [string, RegExp][] = [
    [join(top, "none"), /none: no such directory/],
    [link, /symbolic link/],
    [backing(0o755), /mode is 0755; it must be 0700.*chmod 0700/],
    [foreign, /owner is user 1234; it must be root/],
    [spoilt, /fs\.json is damaged/],
    ["/proc/self", /\/proc\/self: /],
  ];
  for (const [path, text] of cases) assert.throws(() => attach({ fs, backing: path, clusterKey }), text);
});

test("the file system's event list is changed as one and survives", needsRoot, () => {
  const path = backing();
  const { volume } = attach({ fs, backing: path, clusterKey });
  changeDocument(volume, (old) => ({ ...old, eventList: 12 }));
  volume.close();
  const again = attach({ fs, backing: path, clusterKey });
  assert.equal(again.document.eventList, 12);
  again.volume.close();
});

test("spill files of removed objects go at the next attach", needsRoot, () => {
  const path = backing();
  attach({ fs, backing: path, clusterKey }).volume.close();
  const own = (name: string) => {
    writeFileSync(join(path, name), "");
    const kernel = files.nameToHandle(files.AT_FDCWD, join(path, name));
    assert.ok(typeof kernel !== "number");
    return ownText(kernel);
  };
  const kept = `${own("kept")}.1`;
  const orphan = `${own("removed")}.7`;
  for (const name of [kept, orphan, "note"]) writeFileSync(join(path, ".sluice/meta", name), "");
  rmSync(join(path, "removed"));
  attach({ fs, backing: path, clusterKey }).volume.close();
  assert.deepEqual(readdirSync(join(path, ".sluice/meta")).sort(), [kept, "note"].sort());
});

test("only .sluice itself is ours", () => {
  assert.ok(isOwnName(Buffer.from(".sluice")));
  for (const name of [".sluic", ".sluice2", "sluice", ""]) assert.ok(!isOwnName(Buffer.from(name)));
});

test("the probe tries, tells, and cleans up", needsRoot, async () => {
  const path = backing();
  const fd = files.openAt(files.AT_FDCWD, path, files.open.readOnly | files.open.directory);
  const found = await probe(fd);
  files.close(fd);
  assert.deepEqual(readdirSync(path), []);
  assert.deepEqual(refusals(found), [], describeProbe(found));
  assert.ok(found.locksSurviveStop && found.punchHole && found.handles && found.nanosecondTimes);
  assert.match(describeProbe(found), /punchHole +yes/);
  assert.equal(refusals({ ...found, locksSurviveStop: false, attributeBytes: 1024 }).length, 2);
  const needs = ["handles", "locksExclude", "locksSurviveStop", "attributesAreFresh", "namesExclude"] as const;
  for (const name of needs) assert.ok(found[name] && refusals({ ...found, [name]: false }).length === 1, name);
  assert.deepEqual(refusals({ ...found, fileSystem: "0x12345678", isLocal: false }), [], "no name is believed, nor needed: what was tried counts");
});

test("a file system without trusted attributes is refused by what was tried, and nothing is left on it", needsRoot, async () => {
  const place = join(top, "without");
  mkdirSync(place);
  const mounted = spawnSync("mount", ["-t", "ramfs", "-o", "mode=0700", "none", place], { encoding: "utf8" });
  assert.equal(mounted.status, 0, mounted.stderr);
  const service = new VolumeService({ clusterKey });
  try {
    await assert.rejects(service.attach({ fs, backing: place }), /attach: backing .*\/without.*: .*(persistent file handles|trusted attributes)/);
    const fd = files.openAt(files.AT_FDCWD, place, files.open.readOnly | files.open.directory);
    const found = await probe(fd);
    files.close(fd);
    assert.ok(!found.attributesAreFresh && found.attributeBytes === 0 && found.locksExclude && found.namesExclude, describeProbe(found));
    assert.deepEqual(readdirSync(place).filter((name) => name.startsWith("probe")), []);
  } finally {
    await service.close();
    spawnSync("umount", [place]);
  }
});
