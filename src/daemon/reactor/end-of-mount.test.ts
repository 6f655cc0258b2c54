/**
 * The end of a mount whose workers are in the middle of something: what "ended" means.
 *
 * Source    safety C1, C4 (2), H1.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as files from "../../os/files.js";
import { tryTakeGuard } from "../../volume/guard.js";
import { Bench } from "./harness.js";

const skip = process.getuid?.() === 0 && existsSync("/dev/fuse") ? false : "needs root and /dev/fuse";
const FILES = 8;

test("when a mount has ended no worker writes any more, no guard is held, no descriptor is left", { skip }, async () => {
  const bench = new Bench();
  try {
    const names = Array.from({ length: FILES }, (_, at) => join(bench.backing, `f${at}`));
    for (const name of names) writeFileSync(name, "");
    const before = descriptors();
    const mount = await bench.mount({ isRemote: true });
    const writers = names.map((_, at) => bench.shell(`exec dd if=/dev/zero of=${mount.mountpoint}/f${at} bs=128k count=2000 conv=notrunc`));
    await mount.until("all write", () => names.every((name) => statSync(name).size > 0));
    const stopped = mount.mount.stop({ isLazy: true });
    await mount.until("the end", () => mount.messages.some((message) => message.kind === "ended"));
    const fds = names.map((name) => files.openAt(files.AT_FDCWD, name, files.open.readWrite));
    assert.deepEqual(fds.map((fd) => tryTakeGuard(fd, "exclusive")), names.map(() => 0));
    for (const fd of fds) files.close(fd);
    await stopped;
    for (const writer of writers) assert.notEqual((await writer.ended).code, 0, "its user got an error");
    assert.equal(descriptors(), before);
  } finally {
    await bench.close();
  }
});
function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
