/** A daemon with a real mount: dying, aborted, frozen and busy mounts end as they should. Needs root and /dev/fuse. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { connectionOf } from "../fuse/mount.js";
import { ApplicationClient } from "../wire/application-client.js";
import { type Daemon, Stage } from "./daemon.test-suite.js";
import { mountedAt, whyNoMounts } from "./machine.js";
import { abortFile } from "./watchdog.js";

const skip = whyNoMounts() ?? false;
let stage: Stage;
beforeEach(async () => {
  stage = await Stage.make();
});
afterEach(() => stage.end());

/** A program of its own touches the mount; this process must not wait on it. */
function user(script: string): { readonly ended: Promise<{ code: number | null; said: string }>; readonly pid: number } {
  const child = spawn("sh", ["-c", script], { cwd: "/" });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk));
  return { pid: child.pid!, ended: new Promise((resolve) => child.once("close", (code) => resolve({ code, said }))) };
}
async function start(change?: (text: string) => string): Promise<Daemon> {
  const daemon = stage.daemon("--config", stage.configure(change));
  await daemon.ready();
  return daemon;
}
const file = () => join(stage.mountpoint, "file");

test("the mount a killed daemon left is detached by the next, which mounts anew", { skip }, async () => {
  const first = await start();
  assert.equal((await user(`echo kept > ${file()}`).ended).code, 0);
  await first.kill();
  assert.notEqual((await user(`cat ${file()}`).ended).code, 0);
  const second = await start();
  assert.match(second.told, /earlier life of this node was detached/);
  assert.deepEqual(await user(`cat ${file()}`).ended, { code: 0, said: "kept\n" });
});

test("somebody else's FUSE mount at the place is left alone and named", { skip }, async () => {
  const first = await start();
  const config = stage.configure((text) => text.replace("node: a", "node: b").replace("a.sock", "b.sock").replace(/127\.0\.0\.1:\d+/, "127.0.0.2:7801"), "b.yaml");
  const second = stage.daemon("--config", config);
  assert.equal(await second.ended, 1);
  assert.match(second.told, /t:a:fs1 \(fuse\.sluice\) is mounted there/);
  assert.equal((await user(`echo x > ${file()}`).ended).code, 0);
  assert.equal(first.child.exitCode, null);
});

test("an aborted connection is no end of the daemon: it leaves the view and can be mounted again", { skip }, async () => {
  const daemon = await start();
  const client = await ApplicationClient.connect(stage.socket);
  writeFileSync(abortFile(connectionOf(stage.mountpoint)!), "1");
  await daemon.until(async () => {
    const { fileSystems, view } = await client.call("node.status", {});
    return !fileSystems[0]!.isMounted && view!.members[0]!.mounted.length === 0;
  }, "out of the view");
  await client.call("fs.mount", { fs: "fs1" as never });
  assert.equal((await user(`echo again > ${file()} && cat ${file()}`).ended).said, "again\n");
  client.close();
});

test("a daemon that stands still past the limit has its connection aborted: its users get an error, no endless wait", { skip }, async () => {
  const daemon = await start((text) => `${text}timeouts: { reactorLimitMs: 1500 }\n`);
  daemon.child.kill("SIGSTOP");
  const { code } = await user(`cat ${file()}`).ended;
  assert.notEqual(code, 0);
  assert.match(daemon.told, /watchdog: FUSE connection \d+ stood still/);
  daemon.child.kill("SIGCONT");
});

test("a daemon that stands still for less is left alone", { skip }, async () => {
  const daemon = await start((text) => `${text}timeouts: { reactorLimitMs: 8000 }\n`);
  assert.equal((await user(`echo kept > ${file()}`).ended).code, 0);
  daemon.child.kill("SIGSTOP");
  const reader = user(`cat ${file()}`);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  daemon.child.kill("SIGCONT");
  assert.deepEqual(await reader.ended, { code: 0, said: "kept\n" });
});

test("an orderly stop unmounts; with a user inside it is detached and the daemon ends all the same", { skip }, async () => {
  const daemon = await start((text) => `${text}timeouts: { stopMs: 3000 }\n`);
  assert.equal((await user(`echo x > ${file()}`).ended).code, 0);
  const inside = user(`exec 3< ${file()}; echo open > ${stage.top}/opened; exec sleep 1000`);
  await daemon.until(() => existsSync(join(stage.top, "opened")), "a user with an open file");
  daemon.child.kill("SIGTERM");
  assert.equal(await daemon.ended, 0, daemon.told);
  assert.equal(mountedAt(stage.mountpoint), undefined);
  assert.match(daemon.told, /unmounting fs1: .*busy.*it is detached/);
  process.kill(inside.pid, "SIGKILL");
  await inside.ended;
});
