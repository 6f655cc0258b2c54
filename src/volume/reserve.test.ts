/** The reserve on a volume that is full to the last block: who gets how much of it, and when it is made again. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import type { FsName, Handle } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import * as files from "../os/files.js";
import { FileSystemStat } from "../os/stat.js";
import { attach, type Volume } from "./filesystem.js";
import { perform } from "./perform.js";
import { makeReserve, reserveWanted, shareFor } from "./reserve.js";

const needsRoot = { skip: process.getuid?.() === 0 ? false : "needs root: a volume of its own" };
const MEBIBYTES = 64;
const top = mkdtempSync("/tmp/sluice-test-reserve-");
const root = join(top, "volume");
let volume: Volume;
before(() => mkdirSync(root));
beforeEach(() => {
  if (needsRoot.skip) return;
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${MEBIBYTES}m,mode=0700`, "none", root], { encoding: "utf8" });
  assert.equal(mounted.status, 0, mounted.stderr);
  volume = attach({ fs: "fs1" as FsName, backing: root, clusterKey: "ab".repeat(32) }).volume;
});
afterEach(() => {
  if (needsRoot.skip) return;
  volume.close();
  spawnSync("umount", [root]);
});
after(() => rmSync(top, { recursive: true, force: true }));

const reserveSize = () => statSync(join(root, ".sluice", "reserve"), { throwIfNoEntry: false })?.size ?? 0;
const WANTED = (MEBIBYTES * 1024 * 1024) / 256;

function filler(name: string): void {
  const fd = files.openAt(files.AT_FDCWD, join(root, name), files.open.writeOnly | files.open.create, 0o600);
  const block = Buffer.alloc(4096, 1);
  let at = 0;
  while (files.pwrite(fd, block, 0, block.length, at) === block.length) at += block.length;
  files.close(fd);
  assert.equal(statfsSync(root).bavail, 0, "full to the last block");
}
function call(name: Parameters<typeof perform>[1], handle: Handle, args: object): string {
  const outcome = perform({ volume, slot: 1, members: {} }, name, handle, { session: 1, handle, ...args });
  return outcome.kind === "ok" ? "ok" : outcome.failure.code;
}
function fresh(name: string, attributeBytes: number): Handle {
  writeFileSync(join(root, name), Buffer.alloc(16_384, 7));
  const handle = volume.handles.ofName(files.AT_FDCWD, join(root, name));
  assert.ok(typeof handle === "string");
  if (attributeBytes > 0) assert.equal(call("attribute.set", handle, { name: "00112233445566aa", value: Buffer.alloc(attributeBytes, 1) }), "ok");
  return handle;
}
const region = [{ offset: 0, size: 0, flags: regionFlags.read }];
const away = { change: { residency: "partial", regions: region, virtual: "capture" } };
const back = { change: { residency: "resident", regions: [], virtual: "drop" } };

test("a 256th of the volume within bounds, in whole blocks", () => {
  const of = (mebibytes: number) => {
    const stat = new FileSystemStat();
    stat.bytes.writeBigInt64LE(4096n, 8);
    stat.bytes.writeBigUInt64LE(BigInt(mebibytes) * 256n, 16);
    return reserveWanted(stat);
  };
  assert.deepEqual([1, 48, 500, 1_024, 1_000_000].map(of), [65_536, 196_608, 2_048_000, 4_194_304, 4_194_304]);
});

test("who may take of it: the end of a recall all, the beginning of a punch half, others nothing", () => {
  const of = (residency: "resident" | "partial") => ({ generation: 1, residency, regions: [], attributes: {} });
  assert.equal(shareFor(of("partial"), of("resident")), "all");
  assert.equal(shareFor(of("resident"), of("partial")), "half");
  assert.equal(shareFor(undefined, of("partial")), "half");
  for (const same of ["resident", "partial"] as const) assert.equal(shareFor(of(same), of(same)), "none");
});

test("the last record of a recall goes through on a full volume, however large; without the reserve it would not", needsRoot, () => {
  assert.deepEqual(makeReserve(volume.parts.ownFd), { wanted: WANTED, lacking: 0 });
  assert.equal(reserveSize(), WANTED);
  const handle = fresh("large", 60_000);
  assert.equal(call("record.change", handle, away), "ok");
  filler("filler");
  assert.equal(call("record.change", handle, back), "ok", "the spill file of 60,000 bytes found room");
  assert.ok(reserveSize() < WANTED - 60_000 && reserveSize() > WANTED / 2, `${reserveSize()} of ${WANTED} are left`);
});

test("without a reserve the record fails with ENOSPC, and the file stays what it was", needsRoot, () => {
  const handle = fresh("large", 60_000);
  assert.equal(call("record.change", handle, away), "ok");
  filler("filler");
  assert.equal(call("record.change", handle, back), "ENOSPC");
  const found = perform({ volume, slot: 1, members: {} }, "record.get", handle, { session: 1, handle });
  assert.ok(found.kind === "ok");
  assert.equal((found.result as { record: { residency: string } }).record.residency, "partial");
});

test("an ordinary change takes nothing of it; what lets blocks go, at most half", needsRoot, () => {
  makeReserve(volume.parts.ownFd);
  const [small, large] = [fresh("small", 30_000), fresh("large", 60_000)];
  for (const name of ["00112233445566bb", "00112233445566cc"]) assert.equal(call("attribute.set", large, { name, value: Buffer.alloc(60_000) }), "ok");
  filler("filler");
  assert.equal(call("attribute.set", small, { name: "00112233445566bb", value: Buffer.alloc(30_000) }), "ENOSPC");
  assert.equal(reserveSize(), WANTED);
  assert.equal(call("record.change", small, away), "ok");
  assert.equal(call("record.change", large, away), "ENOSPC", "180,000 bytes are more than half: recalls come first");
  assert.equal(reserveSize(), WANTED / 2);
});

test("it is made again when there is room for it twice, and not a moment earlier", needsRoot, () => {
  makeReserve(volume.parts.ownFd);
  const handle = fresh("large", 60_000);
  call("record.change", handle, away);
  filler("filler");
  call("record.change", handle, back);
  const left = reserveSize();
  writeFileSync(join(root, "little"), "");
  assert.deepEqual(makeReserve(volume.parts.ownFd), { wanted: WANTED, lacking: WANTED - left }, "a full volume: what was let go stays free for whoever let it go");
  unlinkSync(join(root, "filler"));
  assert.deepEqual(makeReserve(volume.parts.ownFd), { wanted: WANTED, lacking: 0 });
  assert.equal(reserveSize(), WANTED);
  assert.ok(statSync(join(root, ".sluice", "reserve")).blocks * 512 >= WANTED, "with blocks of its own");
});
