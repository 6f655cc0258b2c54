/** A daemon with a real mount: dying, aborted, frozen and busy mounts end as they should. Needs root and /dev/fuse. */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { chmodSync, closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { FsName, Handle } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import { connectionOf } from "../fuse/mount.js";
import { getxattrOfPath } from "../os/files.js";
import { getLock, LockRequest } from "../os/locks.js";
import { FLOCK_BYTE } from "../volume/guard.js";
import { ApplicationClient } from "../wire/application-client.js";
import { type Daemon, Stage } from "./daemon.test-suite.js";
import { detach, mountedAt, whyNoMounts } from "./machine.js";
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

const withoutHolder = (text: string) => `${text}survivesDaemon: false\n`;

test("the next daemon goes on with the mount of one that was killed: its users have only waited", { skip }, async () => {
  const first = await start();
  assert.equal((await user(`echo kept > ${file()}`).ended).code, 0);
  const connection = connectionOf(stage.mountpoint);
  await first.kill();
  const waiting = user(`cat ${file()}`);
  const second = await start();
  assert.deepEqual(await waiting.ended, { code: 0, said: "kept\n" });
  assert.match(second.told, /taken over from an earlier daemon/);
  assert.equal(connectionOf(stage.mountpoint), connection, "the same mount");
  second.child.kill("SIGTERM");
  assert.equal(await second.ended, 0);
  assert.equal(mountedAt(stage.mountpoint), undefined, "an orderly end is the mount's end");
  await second.until(() => !existsSync(`${stage.socket}.holder`), "the holder has ended");
});

function isLockedAt(fd: number): boolean {
  const asked = new LockRequest().fill("write", FLOCK_BYTE, 1n);
  assert.equal(getLock(fd, asked), 0);
  return asked.conflict !== undefined;
}
test("users' locks hold while no daemon is there, and end with their user's close under the next one", { skip }, async () => {
  const first = await start();
  const locker = user(`exec 3> ${file()}; flock 3; echo locked > ${stage.top}/locked; exec sleep 1000`);
  await first.until(() => existsSync(join(stage.top, "locked")), "the lock");
  const fd = openSync(join(stage.backing, "file"), "r+");
  const isLocked = () => isLockedAt(fd);
  assert(isLocked(), "while the first daemon is there");
  await first.kill();
  assert(isLocked(), "while no daemon is there");
  const second = await start();
  assert(isLocked(), "under the second daemon");
  process.kill(locker.pid, "SIGKILL");
  await second.until(() => !isLocked(), "the lock is gone with its user");
  closeSync(fd);
});

test("a daemon that cannot start leaves the mount to one that can", { skip }, async () => {
  const first = await start();
  assert.equal((await user(`echo kept > ${file()}`).ended).code, 0);
  await first.kill();
  const waiting = user(`cat ${file()}`);
  chmodSync(stage.backing, 0o755);
  const failing = stage.daemon("--config", stage.configure());
  assert.equal(await failing.ended, 1);
  assert.match(failing.told, /it must be 0700/);
  chmodSync(stage.backing, 0o700);
  const next = await start();
  assert.deepEqual(await waiting.ended, { code: 0, said: "kept\n" });
  assert.match(next.told, /taken over from an earlier daemon/);
});

test("a mount whose daemon does not come back is given up by its holder: its users get an error", { skip }, async () => {
  const daemon = await start((text) => `${text}timeouts: { daemonAwaitedMs: 1000 }\n`);
  await daemon.kill();
  assert.notEqual((await user(`cat ${file()}`).ended).code, 0);
  await daemon.until(() => !existsSync(`${stage.socket}.holder`), "the holder has ended");
});

const holder = () => (JSON.parse(readFileSync(`${stage.socket}.holder.json`, "utf8")) as { pid: number; mounts: unknown[] });
test("when the holder is ended while no daemon is there its mounts end", { skip }, async () => {
  const first = await start();
  await first.kill();
  const waiting = user(`cat ${file()}`);
  process.kill(holder().pid, "SIGTERM");
  assert.notEqual((await waiting.ended).code, 0);
  const second = await start();
  assert.equal((await user(`echo on > ${file()}`).ended).code, 0);
  assert.equal(second.child.exitCode, null);
});

/** With all its threads: the last one closes what it has open. */
function hasEnded(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).length <= 1 && / Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return true;
  }
}
test("when the holder is ended while a daemon is there another begins, and the mount outlives the daemon again; also one that is asked to leave at once", { skip }, async () => {
  let daemon = await start();
  const connection = connectionOf(stage.mountpoint);
  assert.equal((await user(`echo kept > ${file()}`).ended).code, 0);
  const locker = user(`exec 3< ${file()}; flock 3; echo locked > ${stage.top}/locked; exec sleep 1000`);
  await daemon.until(() => existsSync(join(stage.top, "locked")), "a user's lock");
  const fd = openSync(join(stage.backing, "file"), "r+");
  for (const how of ["SIGKILL", "SIGUSR2"] as const) {
    const ended = holder().pid;
    process.kill(ended, "SIGKILL");
    await daemon.until(() => hasEnded(ended), "it has ended");
    if (how === "SIGKILL") {
      await daemon.until(() => /another holder has begun; it holds 1 of this daemon's mounts/.test(daemon.told), "another has begun");
      assert.notEqual(holder().pid, ended);
      await daemon.until(() => holder().mounts.length === 1, "it has the mount");
    }
    daemon.child.kill(how);
    await daemon.ended;
    assert.ok(isLockedAt(fd), `the lock is held while no daemon is there, by another holder: ${how}`);
    const waiting = user(`cat ${file()}`);
    daemon = await start();
    assert.deepEqual(await waiting.ended, { code: 0, said: "kept\n" }, how);
    assert.match(daemon.told, /taken over from an earlier daemon/);
    assert.equal(connectionOf(stage.mountpoint), connection, "the same mount");
  }
  process.kill(locker.pid, "SIGKILL");
  await daemon.until(() => !isLockedAt(fd), "the lock is gone with its user");
  closeSync(fd);
  daemon.child.kill("SIGTERM");
  assert.equal(await daemon.ended, 0);
  await daemon.until(() => !existsSync(`${stage.socket}.holder`), "the holder has ended");
});

test("where mounts are not to survive, the one a killed daemon left is detached by the next, which mounts anew", { skip }, async () => {
  const first = await start(withoutHolder);
  assert.equal((await user(`echo kept > ${file()}`).ended).code, 0);
  await first.kill();
  assert.notEqual((await user(`cat ${file()}`).ended).code, 0);
  const second = await start(withoutHolder);
  assert.match(second.told, /earlier life of this node was detached/);
  assert.deepEqual(await user(`cat ${file()}`).ended, { code: 0, said: "kept\n" });
});

for (const setting of ["fs/fuse/default_request_timeout", "fs/fuse/max_request_timeout"]) {
  test(`no mount where the kernel ends mounts whose requests wait for long (${setting}), unless the operator says so`, { skip: skip || (existsSync(`/proc/sys/${setting}`) ? false : "this kernel has none") }, async () => {
    const refused = stage.daemonThatReads(setting, "20", "--config", stage.configure());
    assert.equal(await Promise.race([refused.ended, refused.ready().then(() => "it has mounted")]), 1);
    assert.match(refused.told, new RegExp(`refused: ${setting.replaceAll("/", ".")} is 20: a held event would end the whole mount`));
    const daemon = stage.daemonThatReads(setting, "20", "--config", stage.configure((text) => `${text}kernelRequestTimeouts: warn\n`));
    await daemon.ready();
    assert.match(daemon.told, new RegExp(`warning: ${setting.replaceAll("/", ".")} is 20`));
    daemon.child.kill("SIGTERM");
    assert.equal(await daemon.ended, 0);
  });
}

test("a kernel that panics when somebody waits for long is named", { skip: skip || (existsSync("/proc/sys/kernel/hung_task_panic") ? false : "this kernel does not look") }, async () => {
  const daemon = stage.daemonThatReads("kernel/hung_task_panic", "1", "--config", stage.configure());
  await daemon.ready();
  assert.match(daemon.told, /warning: kernel\.hung_task_panic is 1: a user who waits for an event would stop the machine/);
});

/** Flags of a task that serves a file system: the kernel does not make it wait for pages that it has to write itself (PF_MEMALLOC_NOIO, PF_LOCAL_THROTTLE). */
const IO_FLUSHER = 0x80000 | 0x100000;
const CAP_SYS_RESOURCE = 1n << 24n;
const maySet = (BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0"}`) & CAP_SYS_RESOURCE) !== 0n;
test("short of memory, the kernel neither kills the daemon first nor lets its threads wait for themselves; where that is not permitted it says so", { skip }, async () => {
  const daemon = await start();
  if (!maySet) {
    assert.match(daemon.told, /oom_score_adj could not be lowered: .*the kernel may kill this daemon/);
    assert.match(daemon.told, /PR_SET_IO_FLUSHER is not permitted/);
    return;
  }
  await user(`echo kept > ${file()}; sync ${file()}; ls ${stage.mountpoint}`).ended;
  const at = `/proc/${daemon.child.pid}`;
  const [watchdog] = daemon.children;
  assert.equal(readFileSync(`${at}/oom_score_adj`, "utf8"), "-1000\n");
  assert.equal(readFileSync(`/proc/${watchdog}/oom_score_adj`, "utf8"), "-1000\n");
  const threads = readdirSync(`${at}/task`).map((id) => {
    const stat = readFileSync(`${at}/task/${id}/stat`, "latin1");
    return { id, name: stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")), flags: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[6]) };
  });
  const ours = threads.filter(({ id, name }) => Number(id) === daemon.child.pid || name.startsWith("sluice"));
  assert.ok(ours.length >= 4, `threads: ${threads.map(({ name }) => name).join(", ")}`);
  for (const { name, flags } of ours) assert.equal(flags & IO_FLUSHER, IO_FLUSHER, name);
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

test("a daemon that stands still past the limit is killed, and its users wait for the next one", { skip }, async () => {
  const daemon = await start((text) => `${text}timeouts: { reactorLimitMs: 1500 }\n`);
  assert.equal((await user(`echo kept > ${file()}`).ended).code, 0);
  daemon.child.kill("SIGSTOP");
  const reader = user(`cat ${file()}`);
  await daemon.ended;
  assert.match(daemon.told, /watchdog: the daemon \(process \d+\) stood still for 1500 ms and is killed/);
  await start();
  assert.deepEqual(await reader.ended, { code: 0, said: "kept\n" });
});

test("where mounts do not survive, a daemon that stands still past the limit has its connection aborted: its users get an error, no endless wait", { skip }, async () => {
  const daemon = await start((text) => withoutHolder(`${text}timeouts: { reactorLimitMs: 1500 }\n`));
  daemon.child.kill("SIGSTOP");
  const { code } = await user(`cat ${file()}`).ended;
  assert.notEqual(code, 0);
  await daemon.until(() => /watchdog: FUSE connection \d+ stood still/.test(daemon.told), "the watchdog says so");
  daemon.child.kill("SIGCONT");
});

/** Its main thread and the others go on, and go on telling the watchdog how far this one is. */
async function freezeReactor(daemon: Daemon): Promise<{ readonly thaw: () => Promise<unknown> }> {
  const tasks = `/proc/${daemon.child.pid}/task`;
  const thread = readdirSync(tasks).find((id) => readFileSync(`${tasks}/${id}/comm`, "latin1") === "sluice-fs1\n");
  assert.ok(thread !== undefined);
  const calls = new URL("../os/program-calls.js", import.meta.url).href;
  const program = `import * as fs from "node:fs"; import { freezeThread } from "${calls}"; fs.writeSync(1, String(freezeThread(${thread}))); fs.readSync(0, Buffer.alloc(1));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: "/" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const said = await new Promise((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString())));
  assert.equal(said, "0");
  await daemon.until(() => / t /.test(readFileSync(`${tasks}/${thread}/stat`, "latin1").replace(/^.*\)/s, "")), "the reactor's thread is frozen");
  return {
    thaw() {
      child.kill("SIGKILL");
      return ended;
    },
  };
}
test("a reactor that alone stands still past the limit: its daemon is killed, and its users wait for the next one", { skip }, async () => {
  const daemon = await start((text) => `${text}timeouts: { reactorLimitMs: 1500 }\n`);
  assert.equal((await user(`echo kept > ${file()}`).ended).code, 0);
  const frozen = await freezeReactor(daemon);
  try {
    const reader = user(`cat ${file()}`);
    await daemon.until(() => /watchdog: the daemon \(process \d+\) stood still for 1500 ms and is killed/.test(daemon.told), "the watchdog says so");
    await frozen.thaw(); // who froze a thread has to take note of its end
    await daemon.ended;
    await start();
    assert.deepEqual(await reader.ended, { code: 0, said: "kept\n" });
  } finally {
    await frozen.thaw();
  }
});
test("where mounts do not survive, the connection of a reactor that alone stands still is aborted, its users get an error, and the daemon goes on and can mount again", { skip }, async () => {
  const daemon = await start((text) => withoutHolder(`${text}timeouts: { reactorLimitMs: 1500 }\n`));
  const client = await ApplicationClient.connect(stage.socket);
  const frozen = await freezeReactor(daemon);
  try {
    const reader = user(`cat ${file()}`);
    assert.notEqual((await reader.ended).code, 0);
    await daemon.until(() => /watchdog: FUSE connection \d+ stood still for 1500 ms and was aborted/.test(daemon.told), "the watchdog says so");
    assert.equal((await client.call("node.status", {})).state, "member", "the daemon answers");
    await frozen.thaw();
    await daemon.until(() => client.call("fs.mount", { fs: "fs1" as FsName }).then(() => true, () => false), "it is out of the view, and mounts again");
    assert.equal((await user(`echo again > ${file()} && cat ${file()}`).ended).said, "again\n");
  } finally {
    await frozen.thaw();
    client.close();
  }
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

/** A user who opens the file, says so, and acts when told. */
class WaitingUser {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<NodeJS.Signals | number | null>;
  said = "";

  constructor(flags: string, act: string) {
    const memory = new URL("../os/memory.js", import.meta.url).href;
    const program = `import * as fs from "node:fs"; import { mapFile } from "${memory}"; const fd = fs.openSync("${file()}", "${flags}");
      const { bytes } = mapFile(fd, ${SIZE}, false); fs.writeSync(1, "open"); fs.readSync(0, Buffer.alloc(1)); ${act}`;
    this.child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: "/" });
    this.child.stdout.on("data", (chunk: Buffer) => (this.said += chunk));
    this.child.stderr.on("data", (chunk: Buffer) => (this.said += chunk));
    this.ended = new Promise((resolve) => this.child.once("exit", (code, signal) => resolve(signal ?? code)));
  }
  act(): void {
    this.child.stdin.write("\n");
  }
}
const SIZE = 2_000_000;

/** Threads of a process that wait where no signal reaches them. */
function unkillable(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).filter((thread) => / D /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1").replace(/^.*\)/s, "")));
}

for (const survives of [false, true]) {
  test(`a daemon killed while a thread of it waits in the kernel for a held page fill: the fill's user ${survives ? "waits for the next daemon, which need not wait for that thread" : "gets an error, far before the limit"}`, { skip, timeout: 90_000 }, () => killedInTheKernel(survives));
}
async function killedInTheKernel(survives: boolean): Promise<void> {
  const change = (text: string) => `${text.replace("holdMs: 2000, deadMs: 3000", "holdMs: 60000, deadMs: 90000")}timeouts: { reactorLimitMs: 600000 }\nsurvivesDaemon: ${survives}\n`;
  const daemon = await start(change);
  const client = await ApplicationClient.connect(stage.socket);
  const users: WaitingUser[] = [];
  try {
    assert.equal((await user(`head -c ${SIZE} /dev/zero > ${file()}`).ended).code, 0);
    const { session } = await client.call("session.create", { info: "answers nothing" });
    await client.call("disposition.set", { session, fs: "fs1" as FsName, events: ["read"] });
    const name = Buffer.alloc(256);
    const handle = name.toString("latin1", 0, getxattrOfPath(file(), "system.sluice.handle", name)) as Handle;
    await client.call("region.set", { session, handle, regions: [{ offset: 0, size: 0, flags: regionFlags.read }] });
    const setter = new WaitingUser("r+", "fs.futimesSync(fd, 1, 1)");
    const reader = new WaitingUser("r", `console.log(bytes[${SIZE / 2}])`);
    users.push(setter, reader);
    await daemon.until(() => users.every(({ said }) => said === "open"), "both users have it open");

    // It finds both when it goes on, in this order: the change of times sends a notifier to drop all pages, then the fill is held.
    const waiting = () => Number(readFileSync(join(dirname(abortFile(connectionOf(stage.mountpoint)!)), "waiting"), "latin1"));
    daemon.child.kill("SIGSTOP");
    setter.act();
    await daemon.until(() => waiting() === 1, "the change of times");
    reader.act();
    await daemon.until(() => waiting() === 2, "the fault");
    daemon.child.kill("SIGCONT");
    await daemon.until(async () => (await client.call("node.waiters", {})).some(({ call }) => call === "read"), "the fill is held");
    let before: string[] = [];
    for (let looks = 0; looks < 10; looks++) {
      await daemon.until(() => {
        before = unkillable(daemon.child.pid!);
        return before.length > 0;
      }, "a thread that waits in the kernel");
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (!unkillable(daemon.child.pid!).some((thread) => before.includes(thread))) looks = -1;
    }
    daemon.child.kill("SIGKILL");
    if (survives) {
      const next = await start(change);
      assert.match(next.told, /taken over from an earlier daemon/);
      const again = await ApplicationClient.connect(stage.socket);
      await next.until(async () => (await again.call("node.waiters", {})).some(({ call }) => call === "read"), "the fill is held again, for a session that is nobody's");
      again.close();
      assert.equal(reader.child.exitCode, null);
      return;
    }
    assert.equal(await reader.ended, "SIGBUS");
    await daemon.ended;
    assert.match(daemon.told, /FUSE connection \d+ lost its daemon \(process \d+\), which was killed, and was aborted/);
  } finally {
    client.close();
    for (const { child } of users) child.kill("SIGKILL");
    await stage.end();
    for (const { ended } of users) await ended;
  }
}

test("an orderly stop unmounts; with a user inside it is detached and the daemon ends all the same", { skip }, async () => {
  const daemon = await start((text) => `${text}timeouts: { stopMs: 3000 }\n`);
  assert.equal((await user(`echo x > ${file()}`).ended).code, 0);
  const inside = user(`exec 3< ${file()}; echo open > ${stage.top}/opened; exec sleep 1000`);
  await daemon.until(() => existsSync(join(stage.top, "opened")), "a user with an open file");
  daemon.child.kill("SIGTERM");
  assert.equal(await daemon.ended, 0, daemon.told);
  assert.equal(mountedAt(stage.mountpoint), undefined);
  assert.match(daemon.told, new RegExp(`unmounting fs1: .*busy.*in use: ${file()}: open by sleep, pid ${inside.pid}.*it is detached`));
  process.kill(inside.pid, "SIGKILL");
  await inside.ended;
});

test("an unmount of a mount in use is refused with who uses it: held operations by type, file, process and session, open files, directories, mappings, other mounts", { skip }, async () => {
  const daemon = await start();
  const client = await ApplicationClient.connect(stage.socket);
  const script = "exec 3> held; exec 4< opened; cd below; echo ready >> ../../ready; exec sleep 1000";
  const users: { readonly pid: number; readonly ended: Promise<unknown> }[] = [];
  const inner = join(stage.mountpoint, "inner");
  let mapper: WaitingUser | undefined;
  try {
    assert.equal((await user(`cd ${stage.mountpoint} && mkdir below inner && echo x > opened && echo x > held && head -c ${SIZE} /dev/zero > file`).ended).code, 0);
    const { session } = await client.call("session.create", { info: "answers nothing" });
    users.push(user(`cd ${stage.mountpoint} && ${script}`));
    mapper = new WaitingUser("r", "fs.closeSync(fd); fs.writeSync(1, ' closed'); fs.readSync(0, Buffer.alloc(1));");
    mapper.act();
    await daemon.until(() => mapper?.said === "open closed", "a mapping whose descriptor is closed");
    await daemon.until(() => existsSync(join(stage.top, "ready")), "a user inside");
    assert.equal((await user(`mount -t tmpfs none ${inner}`).ended).code, 0);
    await client.call("disposition.set", { session, fs: "fs1" as FsName, events: ["remove"] });
    await client.call("eventlist.set", { session, handle: (await client.call("fs.list", {}))[0]!.handle, events: ["remove"] } as never);
    const remover = user(`exec unlink ${stage.mountpoint}/held`);
    users.push(remover);
    await daemon.until(async () => (await client.call("node.waiters", {})).some(({ call }) => call === "unlink"), "the removal is held");
    const refused = await client.call("fs.unmount", { fs: "fs1" as FsName }).then(() => "", (error: Error) => error.message);
    assert.match(refused, new RegExp(`unlink of /.* by unlink, pid ${remover.pid} \\(uid 0\\), for \\d+ s, held by event, token \\d+: session ${session} on a`), refused);
    const [inside] = users;
    assert.match(refused, new RegExp(`${stage.mountpoint}/opened: open by sleep, pid ${inside!.pid}`), refused);
    assert.match(refused, new RegExp(`${stage.mountpoint}/below: working directory by sleep, pid ${inside!.pid}`), refused);
    assert.match(refused, new RegExp(`${inner}: mounted on it`), refused);
    assert.match(refused, /what to do: .*sluice waiters.*end these programs; or unmount what is mounted further down; or unmount with --force/, refused);
    assert.match(refused, new RegExp(`${file()}: mapped by \\S+, pid ${mapper.child.pid}`), refused);
    assert.ok(mountedAt(stage.mountpoint) !== undefined, "it goes on");
  } finally {
    client.close();
    detach(inner);
    mapper?.child.kill("SIGKILL");
    for (const { pid } of users) process.kill(pid, "SIGKILL");
  }
});
