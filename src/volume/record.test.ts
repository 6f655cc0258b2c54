/** Safety H4: one setxattr commits a record; a copy's record is a stranger's; damage is told, never guessed around. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { FileRecord } from "../dmapi/record.js";
import { errno } from "../os/errno.js";
import * as files from "../os/files.js";
import { ownText } from "./handles.js";
import { createMark, readMark, removeMark } from "./mark.js";
import { applyChange, coversRange, decodeBody, decodeValue, encodeBody, encodeValue, mustDrain, RECORD_INLINE_MAX } from "./record-codec.js";
import { LockRequest, setLock } from "../os/locks.js";
import { RECORD_BYTE } from "./guard.js";
import { changeVirtual, peekGeneration, readRecord, writeRecord, RECORD_ATTRIBUTE, type StoredRecord } from "./record.js";

const needsRoot = { skip: process.getuid?.() === 0 ? false : "needs root: trusted attributes, kernel file handles" };
const top = mkdtempSync("/tmp/sluice-test-record-");
after(() => rmSync(top, { recursive: true, force: true }));
mkdirSync(join(top, "meta"));
const metaFd = files.openAt(files.AT_FDCWD, join(top, "meta"), files.open.readOnly | files.open.directory);
const opened = (name: string) => files.openAt(files.AT_FDCWD, join(top, name), files.open.readWrite | files.open.create, 0o600);
const ownOf = (fd: number) => {
  const kernel = files.nameToHandle(fd, "", files.AT_EMPTY_PATH);
  assert.ok(typeof kernel !== "number");
  return ownText(kernel);
};
const captured = { size: 5, atimeNs: 1n, mtimeNs: -2n, ctimeNs: 1_700_000_000_123_456_789n };
const changed = (record: FileRecord | undefined, change: Parameters<typeof applyChange>[1], stored?: number): FileRecord => {
  const result = applyChange(record, change, captured, stored);
  assert.ok("record" in result, "failure" in result ? result.failure.message : "");
  return result.record;
};
const migrated = changed(undefined, {
  residency: "partial", regions: [{ offset: 0, size: 0, flags: 7 }], virtual: "capture", eventList: 6,
  attributes: { "0011223344556677": Uint8Array.of(1, 2, 3) },
});

test("a record is read as it was written, and each change has a generation of its own", needsRoot, () => {
  const fd = opened("plain");
  const own = ownOf(fd);
  assert.deepEqual(readRecord({ fd }, own, metaFd), { kind: "none", generation: 0 });
  assert.equal(peekGeneration({ fd }), 0);
  assert.equal(writeRecord({ fd }, own, metaFd, { kind: "none", generation: 0 }, migrated), 0);
  assert.equal(peekGeneration({ fd }), 1);
  const stored = readRecord({ fd }, own, metaFd);
  assert.deepEqual(stored, { kind: "own", generation: 1, record: migrated });
  const resident = changed(migrated, { residency: "resident", regions: [], virtual: "drop", eventList: null, attributes: { "0011223344556677": null } });
  assert.equal(writeRecord({ fd }, own, metaFd, stored, resident), 0);
  assert.deepEqual(readRecord({ fd }, own, metaFd), { kind: "own", generation: 2, record: { generation: 2, residency: "resident", regions: [], attributes: {} } });
  files.close(fd);
});

test("a record that came along with a copy counts for nothing, but its generation is exceeded", needsRoot, () => {
  const fd = opened("original");
  writeRecord({ fd }, ownOf(fd), metaFd, { kind: "none", generation: 0 }, { ...migrated, generation: 9 });
  execFileSync("cp", ["-a", "--preserve=all", join(top, "original"), join(top, "copy")]);
  const copy = opened("copy");
  assert.ok(files.fgetxattr(copy, RECORD_ATTRIBUTE, Buffer.alloc(0)) > 0, "cp brought the attribute along");
  const stored = readRecord({ fd: copy }, ownOf(copy), metaFd);
  assert.deepEqual(stored, { kind: "foreign", generation: 9 });
  assert.equal(changed(undefined, { eventList: 1 }, stored.generation).generation, 10);
  files.close(fd);
  files.close(copy);
});

test("a long record spills, its predecessor's file goes, and a spoilt file is told", needsRoot, () => {
  const fd = opened("long");
  const own = ownOf(fd);
  const regions = Array.from({ length: 4096 }, (_, index) => ({ offset: index * 8192, size: 4096, flags: 3 }));
  const long = changed(undefined, { regions, attributes: { aaaaaaaaaaaaaaaa: new Uint8Array(60_000).fill(7) } });
  assert.equal(writeRecord({ fd }, own, metaFd, { kind: "none", generation: 0 }, long), 0);
  assert.ok(files.fgetxattr(fd, RECORD_ATTRIBUTE, Buffer.alloc(0)) <= RECORD_INLINE_MAX);
  const stored = readRecord({ fd }, own, metaFd);
  assert.ok(stored.kind === "own");
  assert.deepEqual(stored.record, long);
  const next = changed(long, { eventList: 3 });
  assert.equal(writeRecord({ fd }, own, metaFd, stored, next), 0);
  assert.deepEqual(readdirSync(join(top, "meta")), [`${own}.2`]);
  writeFileSync(join(top, "meta", `${own}.2`), "rubbish");
  const spoilt = readRecord({ fd }, own, metaFd);
  assert.ok(spoilt.kind === "corrupted" && spoilt.generation === 2 && spoilt.why.includes("damaged"));
  const short = { ...changed(next, { regions: [], attributes: { aaaaaaaaaaaaaaaa: null } }) };
  assert.equal(writeRecord({ fd }, own, metaFd, stored, short), 0);
  assert.deepEqual(readRecord({ fd }, own, metaFd), { kind: "own", generation: 3, record: short });
  files.close(fd);
});

test("every damaged byte and every cut of a value is noticed", () => {
  const value = encodeValue(7, encodeBody({ ...migrated, generation: 7 }, "aa"), true);
  const whole = decodeValue(value, "aa");
  assert.ok(whole.kind === "own" && whole.record.generation === 7);
  for (let at = 0; at < value.length; at++) {
    const spoilt = Buffer.from(value);
    spoilt[at]! ^= 0x10;
    assert.equal(decodeValue(spoilt, "aa").kind, "corrupted", `byte ${at}`);
    assert.equal(decodeValue(value.subarray(0, at), "aa").kind, "corrupted", `cut at ${at}`);
  }
  assert.equal(decodeValue(value, "bb").kind, "foreign");
});

test("a zero with a sign is none of our numbers", () => {
  const body = encodeBody(changed(undefined, { regions: [{ offset: 0, size: 0x55, flags: 7 }] }), "own");
  const at = body.indexOf(0x55);
  const negativeZero = Buffer.from([0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(decodeBody(body, 1, "own").kind, "own");
  assert.equal(decodeBody(Buffer.concat([body.subarray(0, at), negativeZero, body.subarray(at + 1)]), 1, "own").kind, "corrupted");
});

test("a full disk leaves the old record", needsRoot, () => {
  const fd = opened("full");
  const own = ownOf(fd);
  writeRecord({ fd }, own, metaFd, { kind: "none", generation: 0 }, migrated);
  let index = 0;
  while (files.fsetxattr(fd, `trusted.filler${index}`, Buffer.alloc(300)) === 0) index++;
  for (let size = 200; size > 0; size -= 20) files.fsetxattr(fd, `trusted.last${size}`, Buffer.alloc(size));
  const stored = readRecord({ fd }, own, metaFd);
  const larger = changed(migrated, { attributes: { bbbbbbbbbbbbbbbb: new Uint8Array(900) } });
  assert.equal(writeRecord({ fd }, own, metaFd, stored, larger), -errno.ENOSPC);
  assert.deepEqual(readRecord({ fd }, own, metaFd), stored);
  const back = changed(migrated, { residency: "resident", regions: [], virtual: "drop" });
  assert.equal(writeRecord({ fd }, own, metaFd, stored, back), 0, "a file can be brought back although no attribute fits any more");
  files.close(fd);
});

test("rules of a change", () => {
  const refused = (change: Parameters<typeof applyChange>[1]) => {
    const result = applyChange(migrated, change, captured);
    return "failure" in result ? result.failure.code : "accepted";
  };
  assert.equal(refused({ regions: [] }), "EINVAL", "what is missing keeps a region");
  assert.equal(refused({ regions: [{ offset: 0, size: 0, flags: 2 }] }), "EINVAL");
  assert.equal(refused({ regions: [{ offset: -1, size: 0, flags: 1 }] }), "EINVAL");
  assert.equal(refused({ regions: [{ offset: 0, size: 0, flags: 8 }] }), "EINVAL");
  assert.equal(refused({ regions: new Array(4097).fill({ offset: 0, size: 0, flags: 1 }) }), "E2BIG");
  assert.equal(refused({ attributes: { short: Uint8Array.of() } }), "EINVAL");
  assert.equal(refused({ residency: "resident", regions: [] }), "accepted");
  assert.deepEqual(changed({ ...migrated, virtual: { ...captured, size: 77 } }, { virtual: "capture" }).virtual?.size, 77, "what users see stays");
  const middle = [{ offset: 10, size: 10, flags: 1 }, { offset: 20, size: 5, flags: 3 }];
  assert.ok(coversRange(middle, 1, 10, 25) && !coversRange(middle, 1, 9, 11) && !coversRange(middle, 2, 10, 25) && !coversRange([], 1, 0, 1));
  assert.ok(mustDrain(undefined, migrated));
  assert.ok(mustDrain({ ...migrated, eventList: 2 }, migrated), "an event list grew");
  assert.ok(!mustDrain(migrated, { ...migrated, eventList: 0 }), "an event list shrank");
  const resident = changed(migrated, { residency: "resident" });
  assert.ok(!mustDrain(migrated, resident), "regions stayed");
  assert.ok(mustDrain({ ...resident, regions: middle }, resident), "regions grew");
  assert.ok(!mustDrain(resident, { ...resident, regions: middle }), "regions shrank");
});

test("a mark stands until somebody removes it; a newer one replaces it", needsRoot, () => {
  const fd = opened("marked");
  assert.equal(readMark(fd), undefined);
  assert.equal(createMark(fd, "0".repeat(32)), 0);
  assert.equal(createMark(fd, "1".repeat(32)), 0);
  assert.equal(createMark(fd, "not a nonce"), -errno.EINVAL);
  assert.equal(readMark(fd), "1".repeat(32));
  assert.equal(removeMark(fd), 1);
  assert.equal(removeMark(fd), 0);
  files.close(fd);
});

test("holders of the shared guard change what is shown in turns", needsRoot, () => {
  const fd = opened("shown");
  const own = ownOf(fd);
  writeRecord({ fd }, own, metaFd, { kind: "none", generation: 0 }, migrated);
  const stored = changeVirtual(fd, own, metaFd, (old) => {
    const rival = opened("shown");
    assert.equal(setLock(rival, new LockRequest().fill("write", RECORD_BYTE, 1n)), -errno.EAGAIN);
    files.close(rival);
    return { ...old, mtimeNs: 42n };
  });
  assert.ok(typeof stored !== "number" && stored.kind === "own");
  assert.deepEqual(stored.record, { ...migrated, generation: 2, virtual: { ...captured, mtimeNs: 42n } });
  const again = readRecord({ fd }, own, metaFd);
  assert.ok(again.kind === "own" && again.record.virtual?.mtimeNs === 42n);
  files.close(fd);
});

const unread: StoredRecord = { kind: "failed", generation: 0, errno: errno.EBADF };
test("a record that cannot be read is a failure, not an absence", () => {
  assert.deepEqual(readRecord({ fd: 9999 }, "aa", metaFd), unread);
  assert.equal(peekGeneration({ fd: 9999 }), -errno.EBADF);
});
