/**
 * Every event type, raised by an ordinary program on node C, delivered to a session on node B, answered in each way the
 * type allows: continue, abort with an errno, nobody who wants it. One table. Before it, T0 on the same cluster, whose mode is
 * exact.
 *
 * Source    XDSM C429 chapter 3; requirements R6, R19.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { connect } from "../client/index.js";
import type { DmEvent, EventType } from "../dmapi/events.js";
import { isSynchronous } from "../dmapi/events.js";
import type { FsName } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import { acceptance, shareBench } from "./bench.js";
import { testCoherence } from "./coherence.test-suite.js";
import type { DmSession } from "./dm-session.js";
import { eventually, refused, within } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"], mode: "exact" });

testCoherence("exact", bench);

interface Row {
  readonly type: EventType;
  /** Shell on A before the event is enabled; $1 is a name of its own, as a path. */
  readonly prepare: string;
  /** Data events are enabled by a region over the whole file, the others by the file system's event list. */
  readonly region?: number;
  /** Shell on C that raises exactly one such event. */
  readonly act: string;
  /** Shell on A: whether the operation took effect. */
  readonly isDone: string;
  readonly check: (event: DmEvent, name: string) => void;
}

const named = (event: DmEvent, field: "name1" | "name2", name: string) => assert.equal(field in event ? (event as { name1?: string; name2?: string })[field] : undefined, name);
const rows: readonly Row[] = [
  { type: "read", prepare: 'echo old > "$1"', region: regionFlags.read, act: 'dd if="$1" bs=4096 count=1 status=none > /dev/null', isDone: "true",
    check: (event) => assert.equal(event.type === "read" && event.offset, 0) },
  { type: "write", prepare: 'echo old > "$1"', region: regionFlags.write, act: 'printf new | dd of="$1" conv=notrunc status=none', isDone: 'grep -q new "$1"',
    check: (event) => assert.deepEqual(event.type === "write" && [event.offset, event.length], [0, 3]) },
  { type: "truncate", prepare: 'echo old > "$1"', region: regionFlags.truncate, act: 'truncate -s 1 "$1"', isDone: '[ "$(stat -c %s "$1")" = 1 ]',
    check: (event) => assert.equal(event.type === "truncate" && event.offset, 1) },
  { type: "create", prepare: "true", act: 'mkdir "$1"', isDone: '[ -d "$1" ]', check: (event, name) => named(event, "name1", name) },
  { type: "postcreate", prepare: "true", act: 'mkdir "$1"', isDone: '[ -d "$1" ]', check: (event, name) => named(event, "name1", name) },
  { type: "remove", prepare: ': > "$1"', act: 'rm "$1"', isDone: '[ ! -e "$1" ]', check: (event, name) => named(event, "name1", name) },
  { type: "postremove", prepare: ': > "$1"', act: 'rm "$1"', isDone: '[ ! -e "$1" ]', check: (event, name) => named(event, "name1", name) },
  { type: "rename", prepare: ': > "$1"', act: 'mv "$1" "$1.new"', isDone: '[ -e "$1.new" ]', check: (event, name) => { named(event, "name1", name); named(event, "name2", `${name}.new`); } },
  { type: "postrename", prepare: ': > "$1"', act: 'mv "$1" "$1.new"', isDone: '[ -e "$1.new" ]', check: (event, name) => { named(event, "name1", name); named(event, "name2", `${name}.new`); } },
  { type: "link", prepare: ': > "$1"', act: 'ln "$1" "$1.link"', isDone: '[ -e "$1.link" ]', check: (event, name) => named(event, "name1", `${name}.link`) },
  { type: "postlink", prepare: ': > "$1"', act: 'ln "$1" "$1.link"', isDone: '[ -e "$1.link" ]', check: (event, name) => named(event, "name1", `${name}.link`) },
  { type: "symlink", prepare: "true", act: 'ln -s target "$1"', isDone: '[ -L "$1" ]', check: (event, name) => { named(event, "name1", name); named(event, "name2", "target"); } },
  { type: "postsymlink", prepare: "true", act: 'ln -s target "$1"', isDone: '[ -L "$1" ]', check: (event, name) => { named(event, "name1", name); named(event, "name2", "target"); } },
  { type: "attribute", prepare: ': > "$1"; chmod 644 "$1"', act: 'chmod 600 "$1"', isDone: '[ "$(stat -c %a "$1")" = 600 ]', check: (event) => assert("handle" in event) },
  { type: "close", prepare: 'echo old > "$1"', act: 'cat "$1" > /dev/null', isDone: "true", check: (event) => assert("handle" in event) },
  { type: "destroy", prepare: ': > "$1"', act: 'rm "$1"', isDone: '[ ! -e "$1" ]', check: (event) => assert("handle" in event) },
];

for (const row of rows) {
  const ways = isSynchronous(row.type) ? ["continue", "abort"] as const : ["told"] as const;
  for (const way of ways) {
    acceptance(`${row.type}: ${way}`, async () => {
      const name = `${row.type}-${way}`;
      const { session, undo } = await arrange(row, name, true);
      try {
        const user = bench().program("/bin/sh", ["-ec", row.act, "sh", bench().path("C", "fs1", name)]);
        const message = await session.next();
        assert.deepEqual([message.event.type, message.source, message.fs], [row.type, bench().id("C"), "fs1"]);
        row.check(message.event, name);
        if (message.process !== undefined) assert.notEqual(message.process.pid, 0);
        if (way === "told") assert.equal(message.token, undefined);
        else await session.respond(message, way === "continue" ? { kind: "continue" } : { kind: "abort", code: "EACCES" });
        const serving = session.serve(() => (way === "abort" ? { kind: "abort", code: "EACCES" } : { kind: "continue" }));
        const end = await within(user.end, `the user's ${row.type}`);
        await serving.stop();
        if (way === "abort") {
          assert.notEqual(end.code, 0);
          assert.match(end.errors, /Permission denied/);
        } else assert.equal(end.code, 0, end.errors);
        await undo();
        const isDone = (await within(bench().program("/bin/sh", ["-c", row.isDone, "sh", bench().path("A", "fs1", name)]).end, "the check")).code === 0;
        if (row.isDone !== "true") assert.equal(isDone, way !== "abort", "the operation's effect follows the answer");
      } finally {
        await undo();
      }
    });
  }
  acceptance(`${row.type}: no application`, async () => {
    const name = `${row.type}-nobody`;
    const { undo } = await arrange(row, name, false);
    try {
      const user = bench().program("/bin/sh", ["-ec", row.act, "sh", bench().path("C", "fs1", name)]);
      if (row.region === undefined) {
        // GPFS's rule: enabled and taken by nobody, a synchronous event fails its user; the others are simply not told.
        const end = await within(user.end, `the user's ${row.type}`);
        if (isSynchronous(row.type)) assert.match(end.errors, /Input\/output error/);
        else assert.equal(end.code, 0, end.errors);
        return;
      }
      // Never wave a data event through: it waits, visibly, and can be killed.
      await bench().until("the wait for an owner is visible", ["C"], (status) => status.waiters.some((waiter) => waiter.cause === "no-owner"));
      const waiter = (await bench().status("C")).waiters.find((one) => one.cause === "no-owner");
      assert(waiter !== undefined && waiter.deadlineMs !== undefined && waiter.pid > 0);
      spawnSync("kill", ["-KILL", String(waiter.pid)]);
      assert.notEqual((await within(user.end, "the killed user")).code, 0);
      await bench().until("nobody waits", ["C"], (status) => status.waiters.length === 0);
    } finally {
      await undo();
    }
  });
}

async function arrange(row: Row, name: string, isOwned: boolean): Promise<{ session: DmSession; undo(): Promise<void> }> {
  await bench().shell(row.prepare, bench().path("A", "fs1", name));
  const session = await bench().session("B", `${row.type} test`, isOwned ? { fs1: [row.type] } : {});
  if (row.region === undefined) await session.enable("fs1", [row.type]);
  else await session.regions(bench().handle("B", "fs1", name), [{ offset: 0, size: 0, flags: row.region }]);
  let isUndone = false;
  return {
    session,
    undo: async () => {
      if (isUndone) return;
      isUndone = true;
      if (row.region === undefined) await session.enable("fs1", []);
      else await session.regions(bench().handle("B", "fs1", name), []);
      await session.takes("fs1", []);
      await session.end();
    },
  };
}

acceptance("mount: continue and abort; preunmount and unmount", async () => {
  const session = await bench().session("B", "mounts", { global: ["mount"], fs1: ["preunmount", "unmount"] });
  await session.enable("fs1", ["preunmount", "unmount"]);
  const unmounting = bench().call("C", "fs.unmount", { fs: "fs1" as FsName });
  assert.equal((await session.answerNext("preunmount")).source, bench().id("C"));
  assert.equal((await session.answerNext("unmount")).source, bench().id("C"));
  await within(unmounting, "the unmount");
  const refusedMount = bench().call("C", "fs.mount", { fs: "fs1" as FsName });
  refusedMount.catch(() => {});
  await session.answerNext("mount", { kind: "abort", code: "EACCES" });
  await refused("EACCES", within(refusedMount, "the refused mount"));
  const mounting = bench().call("C", "fs.mount", { fs: "fs1" as FsName });
  const message = await session.answerNext("mount");
  assert.equal(message.event.type === "mount" && message.event.mountpoint, bench().path("C", "fs1"));
  await within(mounting, "the mount");
  await session.enable("fs1", []);
  await bench().call("B", "disposition.set", { session: session.id, fs: "global", events: [] });
  await session.end();
});

acceptance("user: a message of another node, told and with an answer", async () => {
  const session = await bench().session("B", "user events");
  const data = Buffer.from("hello");
  await bench().call("C", "message.send", { session: session.id, isSynchronous: false, data });
  const told = await session.next();
  assert.deepEqual([told.event.type, told.token, told.event.type === "user" && Buffer.from(told.event.data).toString()], ["user", undefined, "hello"]);
  const asking = bench().call("C", "message.send", { session: session.id, isSynchronous: true, data });
  const asked = await session.next();
  await session.respond(asked);
  await within(asking, "the synchronous message");
  const refusing = bench().call("C", "message.send", { session: session.id, isSynchronous: true, data });
  refusing.catch(() => {});
  await session.respond(await session.next(), { kind: "abort", code: "EPERM" });
  await refused("EPERM", within(refusing, "the refused message"));
  await session.end();
});

acceptance("cancel: the application learns that the user it serves is gone; its late answer is dropped", async () => {
  await bench().shell('echo x > "$1"', bench().path("A", "fs1", "cancelled"));
  const session = await bench().session("B", "cancel", { fs1: ["read"] });
  const handle = bench().handle("B", "fs1", "cancelled");
  await session.regions(handle, [{ offset: 0, size: 0, flags: regionFlags.read }]);
  const user = bench().program("cat", [bench().path("C", "fs1", "cancelled")]);
  const read = await session.next();
  user.child.kill("SIGKILL");
  assert.equal((await within(user.end, "the killed reader")).signal, "SIGKILL");
  const cancel = await session.next();
  assert.deepEqual([cancel.event.type, cancel.event.type === "cancel" && cancel.event.cancelledToken], ["cancel", read.token]);
  await session.respond(read);
  await session.regions(handle, []);
  await session.end();
});

acceptance("nospace: the user is told; or the application makes room and the write goes on", async () => {
  const cluster = await bench().openSmall(2, 8);
  const [first, second] = cluster.nodes;
  const application = await connect({ socket: cluster.socket(first!) });
  const session = await application.createSession("makes room");
  const fs = await application.fileSystem("small");
  await application.call("eventlist.set", { session: session.id, handle: fs.handle, events: ["nospace"] });
  await session.setDisposition("small", ["nospace"]);
  const mountpoint = cluster.mountpoint(second!, "small" as FsName);
  await bench().run("dd", ["if=/dev/zero", `of=${mountpoint}/filler`, "bs=1M", "count=6", "status=none"]);
  const writer = () => bench().program("dd", ["if=/dev/zero", `of=${mountpoint}/more`, "bs=1M", "count=4", "status=none"]);
  const refusedWriter = writer();
  await eventually("the refused writer ends", async () => {
    for (const event of await session.getEvents({ waitMs: 100 })) await event.abort("ENOSPC");
    return refusedWriter.isOver;
  });
  assert.match((await refusedWriter.end).errors, /No space left/);
  const writing = writer();
  let isRoomMade = false;
  await eventually("the write ends", async () => {
    for (const event of await session.getEvents({ waitMs: 50 })) {
      assert.equal(event.type, "nospace");
      // On another node than the writer's: its space must be free although the writer's node knew the file.
      if (!isRoomMade) await bench().run("rm", [`${cluster.mountpoint(first!, "small" as FsName)}/filler`]);
      isRoomMade = true;
      await event.continue();
    }
    return writing.isOver;
  });
  assert.equal((await writing.end).code, 0, (await writing.end).errors);
  application.close();
  await bench().closeSmall();
});
