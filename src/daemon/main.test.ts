/** The daemon as a process: what it says when it cannot start, its one line when it is ready, its end in order and by force. */
import assert from "node:assert/strict";
import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ApplicationClient } from "../wire/application-client.js";
import { Stage } from "./daemon.test-suite.js";

let stage: Stage;
beforeEach(async () => {
  stage = await Stage.make();
});
afterEach(() => stage.end());

function makePublic(text: string): string {
  chmodSync(stage.backing, 0o755);
  return text;
}

/** Without root no file system can be attached; the daemon serves sessions all the same. */
function forUs(text: string): string {
  return process.getuid?.() === 0 ? text : text.replace(/^fileSystems: .*$/m, "fileSystems: []");
}

const faults: readonly [string, () => string[], RegExp][] = [
  ["no configuration named", () => [], /--config is missing/],
  ["a configuration that is not there", () => ["--config", join(stage.top, "none.yaml")], /none\.yaml: ENOENT/],
  ["a wrong value", () => ["--config", stage.configure((text) => text.replace("cluster: t", "cluster: 7"))], /node\.yaml: cluster: found 7; allowed:/],
  ["a missing backing", () => ["--config", stage.configure((text) => text.replace("/backing,", "/gone,"))], /fileSystems\[0\]\.backing: .*\/gone.*no such directory/],
  ["a backing for everybody to read", () => ["--config", stage.configure(makePublic)], /fileSystems\[0\]\.backing: .*0755.*must be 0700/],
  ["an option nobody knows", () => ["--colour"], /--colour/],
];
for (const [what, args, expected] of faults) {
  test(`what keeps it from starting is said in words: ${what}`, async () => {
    const daemon = stage.daemon(...args(), ...(what.includes("option") ? [] : ["--without-mounts"]));
    assert.equal(await daemon.ended, 1);
    assert.match(daemon.told, expected);
    assert.doesNotMatch(daemon.told, /\n\s+at /, "no trace of calls: it is no bug of ours");
    assert.equal(daemon.said, "");
  });
}

test("ready is one JSON line; a second of the same identity is refused; SIGTERM ends it in order", async () => {
  const daemon = stage.daemon("--config", stage.configure(forUs), "--without-mounts");
  await daemon.ready();
  assert.deepEqual(JSON.parse(daemon.said), { ready: true, node: "a", pid: daemon.child.pid, socket: stage.socket, mounts: [] });
  const second = stage.daemon("--config", stage.configure((text) => forUs(text).replace("a.sock", "b.sock"), "second.yaml"), "--without-mounts");
  assert.equal(await second.ended, 1);
  assert.match(second.told, /node a is running already: process \d+/);
  const client = await ApplicationClient.connect(stage.socket);
  assert.equal((await client.call("node.status", {})).state, "member");
  daemon.child.kill("SIGTERM");
  assert.equal(await daemon.ended, 0);
  client.close();
  assert.ok(!existsSync(stage.socket) && !existsSync(`${stage.socket}.fd`));
});

test("after SIGKILL it starts again at once as a later incarnation, and its watchdog is gone", async () => {
  const config = stage.configure(forUs);
  const first = stage.daemon("--config", config, "--without-mounts");
  await first.ready();
  const { children } = first;
  assert.equal(children.length, 1);
  await first.kill();
  const second = stage.daemon("--config", config, "--without-mounts");
  await second.ready();
  const client = await ApplicationClient.connect(stage.socket);
  assert.ok((await client.call("node.status", {})).incarnation > 1);
  client.close();
  await second.until(() => !existsSync(`/proc/${children[0]}`), "the first watchdog ended");
});
