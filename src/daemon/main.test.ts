/** The daemon as a process: what it says when it cannot start, its one line when it is ready, its end in order and by force. */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ApplicationClient } from "../wire/application-client.js";

const program = fileURLToPath(new URL("./main.js", import.meta.url));
let top = "";
let port = 0;
const running: Daemon[] = [];
beforeEach(async () => {
  top = mkdtempSync(join(tmpdir(), "sluice-test-"));
  mkdirSync(join(top, "backing"), { mode: 0o700 });
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
  await new Promise((resolve) => server.close(resolve));
});
afterEach(async () => {
  for (const daemon of running.splice(0)) await daemon.kill();
  rmSync(top, { recursive: true, force: true });
});

class Daemon {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<number | null>;
  said = "";
  told = "";
  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [program, ...args], { cwd: "/" });
    this.child.stdout.on("data", (chunk: Buffer) => (this.said += chunk));
    this.child.stderr.on("data", (chunk: Buffer) => (this.told += chunk));
    this.ended = new Promise((resolve) => this.child.once("close", (code) => resolve(code)));
    running.push(this);
  }
  async until(holds: () => boolean, what: string): Promise<void> {
    const giveUp = AbortSignal.timeout(30_000);
    while (!holds()) {
      assert.ok(!giveUp.aborted && this.child.exitCode === null, `${what}: ${this.told}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}
function configure(change: (text: string) => string = (text) => text, name = "node.yaml"): string {
  const path = join(top, name);
  const text = `
cluster: t
node: a
address: 127.0.0.1:${port}
socket: ${join(top, "a.sock")}
coordination: { directory: ${join(top, "coordination")}, renewMs: 100, holdMs: 2000, deadMs: 3000 }
fileSystems: [{ name: fs1, backing: ${join(top, "backing")}, mountpoint: ${join(top, "mnt")} }]
`;
  writeFileSync(path, change(text));
  return path;
}

function makePublic(text: string): string {
  chmodSync(join(top, "backing"), 0o755);
  return text;
}

const faults: readonly [string, () => string[], RegExp][] = [
  ["no configuration named", () => [], /--config is missing/],
  ["a configuration that is not there", () => ["--config", join(top, "none.yaml")], /none\.yaml: ENOENT/],
  ["a wrong value", () => ["--config", configure((text) => text.replace("cluster: t", "cluster: 7"))], /node\.yaml: cluster: found 7; allowed:/],
  ["a missing backing", () => ["--config", configure((text) => text.replace("/backing,", "/gone,"))], /fileSystems\[0\]\.backing: .*\/gone.*no such directory/],
  ["a backing for everybody to read", () => ["--config", configure(makePublic)], /fileSystems\[0\]\.backing: .*0755.*must be 0700/],
  ["an option nobody knows", () => ["--colour"], /--colour/],
];
for (const [what, args, expected] of faults) {
  test(`what keeps it from starting is said in words: ${what}`, async () => {
    const daemon = new Daemon(...args(), ...(what.includes("option") ? [] : ["--without-mounts"]));
    assert.equal(await daemon.ended, 1);
    assert.match(daemon.told, expected);
    assert.doesNotMatch(daemon.told, /\n\s+at /, "no trace of calls: it is no bug of ours");
    assert.equal(daemon.said, "");
  });
}

test("ready is one JSON line; a second of the same identity is refused; SIGTERM ends it in order", async () => {
  const config = configure();
  const daemon = new Daemon("--config", config, "--without-mounts");
  await daemon.until(() => daemon.said.endsWith("\n"), "ready");
  assert.deepEqual(JSON.parse(daemon.said), { ready: true, node: "a", pid: daemon.child.pid, socket: join(top, "a.sock"), mounts: [] });
  const second = new Daemon("--config", configure((text) => text.replace("a.sock", "b.sock"), "second.yaml"), "--without-mounts");
  assert.equal(await second.ended, 1);
  assert.match(second.told, /node a is running already: process \d+/);
  const client = await ApplicationClient.connect(join(top, "a.sock"));
  assert.equal((await client.call("node.status", {})).state, "member");
  daemon.child.kill("SIGTERM");
  assert.equal(await daemon.ended, 0);
  client.close();
  assert.ok(!existsSync(join(top, "a.sock")) && !existsSync(join(top, "a.sock.fd")));
});

test("after SIGKILL it starts again at once as a later incarnation, and its watchdog is gone", async () => {
  const config = configure();
  const first = new Daemon("--config", config, "--without-mounts");
  await first.until(() => first.said.endsWith("\n"), "ready");
  const children = childrenOf(first.child.pid!);
  assert.equal(children.length, 1);
  await first.kill();
  const second = new Daemon("--config", config, "--without-mounts");
  await second.until(() => second.said.endsWith("\n"), "ready again");
  const client = await ApplicationClient.connect(join(top, "a.sock"));
  assert.ok((await client.call("node.status", {})).incarnation > 1);
  client.close();
  await second.until(() => !existsSync(`/proc/${children[0]}`), "the first watchdog ended");
});

function childrenOf(pid: number): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((each) => {
    try {
      const stat = readFileSync(`/proc/${each}/stat`, "latin1");
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid;
    } catch {
      return false;
    }
  });
}
