/**
 * Events, holds, fences and rounds on real mounts, with a scripted main thread.
 *
 * Source    safety C3-C6, H2, H3; XDSM 3.3, 3.5, 4.3, 6.2.
 */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, statSync, truncateSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { regionFlags } from "../../dmapi/regions.js";
import type { FileRecord } from "../../dmapi/record.js";
import * as files from "../../os/files.js";
import { Bench, type BenchMount } from "./harness.js";

const canMount = process.getuid?.() === 0 && existsSync("/dev/fuse");
const all = regionFlags.read | regionFlags.write | regionFlags.truncate;
const whole = [{ offset: 0, size: 0, flags: all }];
const resident = { residency: "resident", regions: [], attributes: {} } as const;

describe("events and holds on a mount", { skip: canMount ? false : "needs root and /dev/fuse" }, () => {
  let bench: Bench;
  let a: BenchMount;
  let b: BenchMount;
  before(async () => {
    bench = new Bench();
    a = await bench.mount();
    b = await bench.mount();
    for (const mount of [a, b]) mount.own("read", "write", "truncate");
  });
  afterEach(() => {
    for (const mount of [a, b]) {
      mount.answer = undefined;
      for (const held of [...mount.held]) mount.resume(held);
      mount.seen.length = 0;
      mount.eventList();
      mount.own("read", "write", "truncate");
    }
  });
  after(() => bench.close());

  const inBacking = (name: string) => join(bench.backing, name);
  const text = (length: number) => Buffer.from("0123456789abcdef".repeat(Math.ceil(length / 16)).slice(0, length));
  /** A migrated file: its bytes punched, its record says so; returns how to recall it. */
  function makeStub(name: string, content: Buffer = text(20000), mode = 0o644): () => void {
    writeFileSync(inBacking(name), content, { mode });
    bench.changeRecord(name, () => ({ ...resident, residency: "partial", regions: whole }), (fd) => {
      assert.equal(files.fallocate(fd, files.FALLOC_PUNCH_HOLE | files.FALLOC_KEEP_SIZE, 0, content.length), 0);
    });
    return () => recall(name, content);
  }
  function recall(name: string, content: Buffer): void {
    bench.changeRecord(name, () => resident, (fd) => {
      assert.equal(files.pwrite(fd, content, 0, content.length, 0), content.length);
    });
  }
  const outcome = async (script: string) => (await bench.shell(`A=${a.mountpoint}; B=${b.mountpoint}; ${script}`).ended).output;

  test("a read of a stub waits, and gets the true bytes after the recall", async () => {
    const content = text(20000);
    const recallIt = makeStub("stub", content);
    const reading = bench.shell(`cat ${a.mountpoint}/stub`);
    const held = await a.event("read");
    assert.deepEqual(held.event, { type: "read", handle: bench.handleOf("stub"), offset: 0, length: 131072 });
    assert.equal(held.process?.command, "cat");
    assert.equal(held.process?.pid !== undefined && held.process.pid > 1, true);
    assert.equal(reading.hasEnded, false);
    const [waiter] = await a.waiters();
    assert.equal(waiter?.cause, "event");
    assert.equal(waiter?.call, "read");
    assert.equal(waiter?.blocks, "");
    recallIt();
    a.resume(held);
    assert.equal((await reading.ended).output, content.toString());
  });

  test("ranges are the user's own, and only those that touch a region raise", async () => {
    writeFileSync(inBacking("ranges"), text(10000));
    bench.changeRecord("ranges", () => ({ ...resident, regions: [{ offset: 1000, size: 100, flags: regionFlags.read }] }));
    a.answer = () => ({ kind: "continue" });
    await outcome("for s in 0 900 1000 1099 1100; do dd if=$A/ranges bs=100 count=1 iflag=skip_bytes skip=$s status=none; done");
    assert.deepEqual(a.seen.map((held) => held.event), [1000, 1099].map((offset) => ({ type: "read", handle: bench.handleOf("ranges"), offset, length: 100 })));
  });

  test("an event costs one message to the main thread and one back, and on a local backing no other thread", async () => {
    const fresh = await bench.mount();
    fresh.own("read");
    fresh.answer = () => ({ kind: "continue" });
    writeFileSync(inBacking("hops"), text(10000));
    bench.changeRecord("hops", () => ({ ...resident, regions: [{ offset: 0, size: 0, flags: regionFlags.read }] }));
    const sideThreads = () => readdirSync("/proc/self/task").filter((id) => readFileSync(`/proc/self/task/${id}/comm`, "utf8") === "sluice-io\n").length;
    const read = () => bench.run("dd", [`if=${fresh.mountpoint}/hops`, "of=/dev/null", "bs=10000", "count=1", "status=none"]).ended;
    const begun = sideThreads();
    await read(); // interest in the object is asked for once
    const before = fresh.messages.length;
    assert.equal((await read()).output, "");
    assert.deepEqual(fresh.messages.slice(before).map(({ kind }) => kind), ["event-held"]);
    assert.equal(sideThreads(), begun, "threads begun for it");
  });

  test("an answer without a recall is not believed: asked again twice, then EIO, never zeros", async () => {
    makeStub("never");
    a.answer = () => ({ kind: "continue" });
    assert.match(await outcome("cat $A/never | wc -c"), /Input\/output error\n0\n$/);
    assert.equal(a.seen.length, 3);
  });

  test("who has a file open last tells that it is gone, also when another node took its last name", async () => {
    for (const mount of [a, b]) mount.own("destroy", "close");
    for (const mount of [a, b]) mount.eventList("destroy", "close");
    writeFileSync(inBacking("nameless"), "kept");
    const handle = bench.handleOf("nameless");
    const reading = bench.run("sh", ["-c", `exec 3< ${a.mountpoint}/nameless; rm ${b.mountpoint}/nameless; exec cat <&3`]);
    assert.equal((await reading.ended).output, "kept");
    const types = () => a.seen.filter(({ event }) => "handle" in event && event.handle === handle).map(({ event }) => event.type);
    await a.until("close and destroy", () => types().length >= 2);
    assert.deepEqual(types(), ["close", "destroy"]);
  });

  test("bytes written while another node's user sets the mtime back are seen on this one, whose pages look current", async () => {
    const name = inBacking("set-back");
    const atS = 1_600_000_000;
    const write = (content: string) => {
      writeFileSync(name, content, { flag: "r+" });
    };
    writeFileSync(name, "old");
    utimesSync(name, atS, atS);
    const reader = bench.converse(`import * as fs from "node:fs"; const fd = fs.openSync("${b.mountpoint}/set-back", "r"); const page = Buffer.alloc(3);
      for (;;) { fs.readSync(0, Buffer.alloc(1)); fs.readSync(fd, page, 0, 3, 0); fs.writeSync(1, page); }`);
    assert.equal(await reader.ask(3), "old");
    let rounds = 0;
    a.othersDo = async (work) => {
      await b.round(work);
      if (rounds++ > 0) return;
      write("mid");
      utimesSync(name, atS, atS);
      assert.equal(await reader.ask(3), "mid"); // its node keeps the page, and the time
      write("new");
    };
    const setting = await bench.run("touch", ["-d", `@${atS}`, `${a.mountpoint}/set-back`]).ended;
    a.othersDo = undefined;
    assert.equal(setting.code, 0, setting.output);
    assert.equal(statSync(name).mtimeMs, atS * 1000);
    assert.equal(await reader.ask(3), "new");
    assert.equal(rounds, 2);
  });

  test("an abort is the user's errno", async () => {
    makeStub("denied");
    a.answer = () => ({ kind: "abort", code: "EBUSY" });
    assert.match(await outcome("cat $A/denied"), /Device or resource busy/);
  });

  for (const [signal, how] of [["INT", "signal SIGINT"], ["TERM", "signal SIGTERM"], ["KILL", "signal SIGKILL"]] as const) {
    test(`a held reader ends at once by ${how}, and its event is over`, async () => {
      makeStub(`sig${signal}`);
      const reading = bench.run("cat", [`${a.mountpoint}/sig${signal}`]);
      await a.event("read");
      reading.child.kill(`SIG${signal}`);
      assert.equal((await reading.ended).signal, `SIG${signal}`);
      await a.until("the event to be withdrawn", () => a.held.length === 0);
      await a.until("no waiters", async () => (await a.waiters()).length === 0);
    });
  }

  test("a reader that handles its signal gets EINTR when it is asked to stop", async () => {
    makeStub("handled");
    const reading = bench.run("sh", ["-c", `trap 'exit 7' INT; exec 3< ${a.mountpoint}/handled; read line <&3; exit 9`]);
    await a.event("read");
    reading.child.kill("SIGINT");
    assert.equal((await reading.ended).code, 7);
  });

  test("who sets times and is asked to stop is not told of an interruption that no ordinary file system knows", async () => {
    writeFileSync(inBacking("timed"), "x");
    let othersAreDone = () => {};
    a.othersDo = () => new Promise((resolve) => (othersAreDone = resolve));
    const interrupts = async () => (await a.report()).counters["interrupts"] ?? 0;
    const before = await interrupts();
    const setter = bench.run("perl", ["-e", `$SIG{TERM} = sub {}; print utime(5, 5, $ARGV[0]) ? "set" : $!`, join(a.mountpoint, "timed")]);
    await a.until("the others are asked", async () => (await a.waiters()).some(({ call }) => call === "setattr"));
    setter.child.kill("SIGTERM");
    await a.until("the interrupt", async () => (await interrupts()) > before);
    a.othersDo = undefined;
    othersAreDone();
    assert.equal((await setter.ended).output, "set");
  });

  test("a signal that is handled ends the read after the grace; the retry joins the event, which is not raised twice", async () => {
    const recallIt = makeStub("retried");
    const reading = bench.run("sh", ["-c", `trap : USR1; exec 3< ${a.mountpoint}/retried; read line <&3; echo again; read line <&3; echo "$line"`]);
    const held = await a.event("read");
    reading.child.kill("SIGUSR1");
    await a.until("the retry", async () => a.seen.length > 1 || (await a.report()).counters["reads that joined the event of their interrupted first try"] === 1);
    assert.equal(a.seen.length, 1, "events raised for one read");
    recallIt();
    a.resume(held);
    assert.equal((await reading.ended).output, `again\n${text(20000).toString()}\n`);
    assert.equal(a.seen.length, 1);
  });

  test("a signal that is handled, though it asks to stop, does not end a page fault, whose user cannot be told", async () => {
    const recallIt = makeStub("faulted", text(65536));
    const interrupts = async () => (await a.report()).counters["interrupts"] ?? 0;
    const before = await interrupts();
    const mapper = bench.run(process.execPath, ["--input-type=module", "-e", `process.on("SIGTERM", () => {}); ${mapperProgram(join(a.mountpoint, "faulted"))}`]);
    const held = await a.event("read");
    mapper.child.kill("SIGTERM");
    await a.until("the interrupt", async () => (await interrupts()) > before);
    assert.deepEqual(a.messages.filter((message) => message.kind === "operation-gone" && message.operation === held.operation), [], "the event goes on");
    recallIt();
    a.answer = () => ({ kind: "continue" });
    a.resume(held);
    const said = untilSaid(mapper.child.stdout!, "mapped true");
    await said;
    mapper.child.kill("SIGKILL");
    await mapper.ended;
  });

  test("a file server's thread is told to try again past its limit; the event goes on, and the retry of any of its threads joins it", async () => {
    const served = await bench.mount({ eventTimeoutMs: 200 });
    served.own("read", "write", "truncate");
    const recallIt = makeStub("exported");
    const server = join(bench.backing, "..", "nfsd");
    copyFileSync("/bin/cat", server);
    chmodSync(server, 0o755);
    const first = bench.run(server, [`${served.mountpoint}/exported`]);
    const held = await served.event("read");
    assert.equal(held.process?.command, "nfsd");
    assert.match((await first.ended).output, /Resource temporarily unavailable/);
    assert.equal(served.held.length, 1);
    recallIt();
    served.resume(held);
    assert.equal((await bench.run(server, [`${served.mountpoint}/exported`]).ended).output, text(20000).toString());
    assert.equal(served.seen.length, 1);
    assert.equal((await served.report()).counters["file server threads told to try again"], 1);
  });

  test("a held mapped reader can be killed, and running a stub gives the true program", async () => {
    const program = readFileSync("/bin/true");
    const recallIt = makeStub("true", program, 0o755);
    const killed = bench.shell(`exec ${a.mountpoint}/true`);
    await a.event("read");
    killed.child.kill("SIGKILL");
    assert.equal((await killed.ended).signal, "SIGKILL");
    const running = bench.shell(`${b.mountpoint}/true && echo ran`);
    const held = await b.event("read");
    recallIt();
    b.resume(held);
    assert.equal((await running.ended).output, "ran\n");
  });

  test("opening a stub for writing recalls at open; while a write is held its directory waits and goes on after", async () => {
    const recallIt = makeStub("wr");
    const opening = bench.shell(`printf X | dd of=${a.mountpoint}/wr bs=1 seek=5 conv=notrunc status=none`);
    const held = await a.event("write");
    assert.equal((await a.waiters())[0]?.call, "open");
    assert.equal(await outcome("ls $A | grep -c wr; stat -c %s $A/wr"), "1\n20000\n"); // an open that waits stops nobody
    recallIt();
    a.resume(held);
    await opening.ended;
    assert.equal(readFileSync(inBacking("wr"), "latin1").slice(0, 8), "01234X67");

    // A write itself, of a file that was open before it became a stub.
    const writing = bench.shell(`exec 3<>${a.mountpoint}/wr; read go; printf YY >&3`);
    const child = bench.run("true", []);
    await child.ended;
    writeFileSync(inBacking("wr2"), text(100));
    bench.changeRecord("wr2", () => ({ ...resident, regions: [{ offset: 0, size: 0, flags: regionFlags.write }] }));
    const second = bench.shell(`printf Z | dd of=${a.mountpoint}/wr2 bs=1 seek=1 conv=notrunc status=none`);
    const heldWrite = await a.event("write");
    assert.deepEqual(heldWrite.event, { type: "write", handle: bench.handleOf("wr2"), offset: 1, length: 1 });
    assert.match((await a.waiters())[0]?.blocks ?? "", /writes to the file/);
    const removing = bench.shell(`rm ${a.mountpoint}/wr2 && echo removed`);
    const listing = bench.shell(`ls ${a.mountpoint} | wc -l`);
    assert.equal(second.hasEnded || removing.hasEnded, false);
    a.resume(heldWrite);
    assert.equal((await second.ended).code, 0);
    assert.equal((await removing.ended).output, "removed\n");
    await listing.ended;
    writing.child.kill("SIGKILL");
    await writing.ended;
  });

  test("truncation raises with the new size, and O_TRUNC at open", async () => {
    const recallIt = makeStub("tr");
    a.answer = (held) => {
      if (a.seen.length === 1) recallIt();
      return held.event.type === "truncate" ? { kind: "continue" } : { kind: "abort", code: "EIO" };
    };
    await outcome("truncate -s 100 $A/tr");
    assert.deepEqual(a.seen.map((held) => held.event), [{ type: "write", handle: bench.handleOf("tr"), offset: 0, length: 0 }].slice(1).concat(a.seen.map((h) => h.event) as never[]));
    assert.equal(readFileSync(inBacking("tr")).length, a.seen[0]?.event.type === "write" ? 20000 : 100);
  });

  test("a stub looks whole: size, holes and state; what is removed needs no recall", async () => {
    makeStub("looks");
    const probe = `node -e 'const fs=require("fs");console.log(fs.statSync(process.argv[1]).size)' $A/looks; stat -c '%s %b' $A/looks`;
    assert.match(await outcome(probe), /^20000\n20000 (0|8|16)\n$/); // a block of attributes may be there
    assert.equal(await outcome("rm $A/looks && echo removed"), "removed\n");
    assert.equal(a.seen.length, 0);
  });

  test("an exclusive fence stops readers and writers, is drained, and lets them go", async () => {
    writeFileSync(inBacking("fenced"), text(100));
    writeFileSync(inBacking("fenced too"), text(100));
    assert.equal(await outcome("cat $A/fenced | wc -c; printf w >> \"$A/fenced too\""), "100\n");
    // The kernel itself makes a writer wait behind a held page fill of the same file, so two files.
    const handles = [bench.handleOf("fenced"), bench.handleOf("fenced too")];
    for (const handle of handles) a.mount.post({ kind: "fence-raised", handle, fence: "exclusive", fenceNumber: 1 });
    await a.until("drained", () => a.messages.filter((message) => message.kind === "fence-drained").length === 2);
    const reading = bench.shell(`cat ${a.mountpoint}/fenced | wc -c`);
    const writing = bench.shell(`printf w >> "${a.mountpoint}/fenced too"`);
    await a.until("both to wait", async () => (await a.waiters()).filter((waiter) => waiter.cause === "fence").length === 2);
    assert.equal(await outcome("stat -c %s $A/fenced*"), "100\n101\n");
    for (const handle of handles) a.mount.post({ kind: "fence-lowered", handle, fence: "null", fenceNumber: 1 });
    await writing.ended;
    assert.equal((await reading.ended).output, "100\n");
  });

  test("a writer gives the guard back when a round asks, and takes it again", async () => {
    writeFileSync(inBacking("guarded"), text(100));
    const handle = bench.handleOf("guarded");
    await outcome(`mkfifo ${bench.directory}/go`);
    const writer = bench.shell(`exec 3>>${a.mountpoint}/guarded; printf 1 >&3; read go < ${bench.directory}/go; printf 2 >&3`);
    await a.until("the first write", () => readFileSync(inBacking("guarded")).length === 101);
    assert.throws(() => bench.changeRecord("guarded", () => resident), /not free/);
    await a.round({ kind: "flush", handle });
    const generation = bench.changeRecord("guarded", () => resident);
    await a.round({ kind: "record-changed", handle, generation });
    await outcome(`echo > ${bench.directory}/go`);
    await writer.ended;
    assert.equal(readFileSync(inBacking("guarded"), "latin1").slice(100), "12");
  });

  test("cached and mapped readers never see the hole: flush, record, drain, punch", async () => {
    const content = text(65536);
    writeFileSync(inBacking("punched"), content);
    const handle = bench.handleOf("punched");
    await outcome(`mkfifo ${bench.directory}/go2`);
    const cached = bench.shell(`exec 3<${a.mountpoint}/punched; cat ${b.mountpoint}/punched > /dev/null; head -c 4096 <&3 > /dev/null; read go < ${bench.directory}/go2; tail -c +1 <&3 | md5sum`);
    const mapper = bench.run(process.execPath, ["--input-type=module", "-e", mapperProgram(join(a.mountpoint, "punched"))]);
    const said = untilSaid(mapper.child.stdout!, "mapped");
    await said;
    for (const mount of [a, b]) await mount.round({ kind: "flush", handle });
    const generation = bench.changeRecord("punched", () => ({ ...resident, residency: "partial", regions: whole }));
    for (const mount of [a, b]) await mount.round({ kind: "record-changed", handle, generation });
    bench.changeRecord("punched", (old: FileRecord) => old, (fd) => {
      files.fallocate(fd, files.FALLOC_PUNCH_HOLE | files.FALLOC_KEEP_SIZE, 0, content.length);
    });
    await outcome(`echo > ${bench.directory}/go2`);
    mapper.child.kill("SIGUSR1");
    const held = await a.event("read");
    recall("punched", content);
    a.resume(held);
    a.answer = () => ({ kind: "continue" });
    for (const waiting of [...a.held]) a.resume(waiting);
    const { createHash } = await import("node:crypto");
    const rest = createHash("md5").update(content.subarray(4096)).digest("hex");
    assert.match((await cached.ended).output, new RegExp(`^${rest}`));
    assert.match((await mapper.ended).output, /whole/);
  });

  test("names: pre and post forms with their fields, aborted and unowned", async () => {
    a.eventList("create", "postcreate", "remove", "postremove", "rename", "postrename", "link", "postlink", "symlink", "postsymlink", "attribute", "close", "destroy");
    a.own("create", "postcreate", "remove", "postremove", "rename", "postrename", "link", "postlink", "symlink", "postsymlink", "attribute", "close", "destroy");
    a.answer = () => ({ kind: "continue" });
    await outcome("mkdir $A/n; : > $A/n/f; ln $A/n/f $A/n/g; ln -s target $A/n/s; mv $A/n/f $A/n/h; chmod 600 $A/n/h; rm $A/n/g $A/n/h $A/n/s; rmdir $A/n");
    await a.until("the last event", () => a.seen.at(-1)?.event.type === "postremove" && a.seen.filter((held) => held.event.type === "destroy").length === 3);
    const root = bench.handleOf(".");
    const first = a.seen[0]!.event;
    assert.deepEqual(first, { type: "create", handle1: root, name1: "n", mode: 0o040777 });
    const types = a.seen.map((held) => held.event.type).filter((type) => type !== "close");
    assert.deepEqual(types, [
      "create", "postcreate", "create", "postcreate", "link", "postlink", "symlink", "postsymlink", "rename", "postrename", "attribute",
      "remove", "postremove", "remove", "destroy", "postremove", "remove", "destroy", "postremove", "remove", "destroy", "postremove",
    ]);
    a.answer = () => ({ kind: "abort", code: "EACCES" });
    assert.match(await outcome("mkdir $A/no"), /Permission denied/);
    a.own();
    assert.match(await outcome("mkdir $A/no"), /Input\/output error/);
    a.eventList();
  });

  test("a held creation shows what it blocks, and its user can be killed", async () => {
    a.eventList("create");
    a.own("create");
    const making = bench.run("mkdir", [`${a.mountpoint}/slow`]);
    await a.event("create");
    assert.equal((await a.waiters())[0]?.blocks, "everything in /");
    making.child.kill("SIGKILL");
    assert.equal((await making.ended).signal, "SIGKILL");
    a.eventList();
    assert.equal(await outcome("ls $A | grep -c slow"), "0\n");
  });

  test("admission closed: users wait visibly, and go on", async () => {
    writeFileSync(inBacking("closed"), "x");
    a.mount.post({ kind: "admission", isOpen: false, why: "not in the view" });
    const reading = bench.shell(`cat ${a.mountpoint}/closed`);
    await a.until("it waits", async () => (await a.waiters())[0]?.cause === "excluded");
    a.mount.post({ kind: "admission", isOpen: true, why: "" });
    assert.equal((await reading.ended).output, "x");
  });

  test("in a new incarnation an event that is out stays out, and its answer lets the user go on", async () => {
    const recallIt = makeStub("anew");
    const reading = bench.shell(`cat ${a.mountpoint}/anew | wc -c`);
    const held = await a.event("read");
    a.held.length = 0;
    a.mount.post({ kind: "forget" });
    recallIt();
    a.resume(held);
    assert.equal((await reading.ended).output, "20000\n");
    assert.deepEqual(a.held, []);
  });

  test("appends of many writers on two mounts are all there", async () => {
    writeFileSync(inBacking("log"), "");
    const writers = [a, b, a, b].map((mount, writer) => bench.shell(`for i in $(seq 200); do echo "w${writer}-$i" >> ${mount.mountpoint}/log; done`));
    await Promise.all(writers.map((writer) => writer.ended));
    const lines = readFileSync(inBacking("log"), "utf8").trim().split("\n");
    assert.equal(lines.length, 800);
    assert.equal(new Set(lines).size, 800);
  });

  test("a full file system: room is made and the write goes on, or the user gets the errno", async () => {
    const small = new Bench({ backingSize: 1 << 20 });
    try {
      const mount = await small.mount();
      mount.own("nospace");
      mount.eventList("nospace");
      writeFileSync(join(small.backing, "ballast"), Buffer.alloc(600_000));
      const writing = small.shell(`head -c 700000 /dev/zero > ${mount.mountpoint}/big && echo written`);
      const held = await mount.event("nospace");
      assert.equal(held.isSynchronous, true);
      unlinkSync(join(small.backing, "ballast"));
      mount.resume(held);
      assert.equal((await writing.ended).output, "written\n");
      mount.answer = () => ({ kind: "abort", code: "EDQUOT" });
      assert.match((await small.shell(`head -c 700000 /dev/zero > ${mount.mountpoint}/more`).ended).output, /quota/i);
    } finally {
      await small.close();
    }
  });

  test("a truncation whose size cannot be shown for want of space is not done, or room is made; never the old size over new bytes", async () => {
    const small = new Bench({ backingSize: 1 << 20 });
    try {
      const mount = await small.mount();
      const name = join(small.backing, "stub");
      writeFileSync(name, text(100_000));
      // A record that needs a file of its own; truncation is nobody's event, so it stays a stub.
      const attributes = { "0123456789abcdef": Buffer.alloc(8000, 7) };
      small.changeRecord("stub", () => ({
        residency: "partial", regions: [{ offset: 0, size: 0, flags: regionFlags.read }], attributes,
        virtual: { size: 100_000, atimeNs: 1n, mtimeNs: 2n, ctimeNs: 3n },
      }));
      const shell = async (script: string) => (await small.shell(`F=${mount.mountpoint}/stub; ${script}`).ended).output;
      const fill = () => small.shell(`cat /dev/zero > ${small.backing}/ballast`).ended;
      await fill();
      assert.match(await shell("truncate -s 50000 $F"), /No space left/);
      assert.match(await shell(": > $F"), /No space left|nonexistent|cannot create/);
      assert.equal(await shell("stat -c %s $F"), "100000\n");
      assert.equal(statSync(name).size, 100_000, "nothing was cut off");
      mount.own("nospace");
      mount.eventList("nospace");
      mount.answer = () => {
        unlinkSync(join(small.backing, "ballast"));
        return { kind: "continue" };
      };
      assert.equal(await shell("truncate -s 50000 $F; stat -c %s $F"), "50000\n");
      assert.equal(statSync(name).size, 50_000);
      await fill();
      assert.equal(await shell(": > $F; stat -c %s $F"), "0\n");
      assert.equal(statSync(name).size, 0);
      await fill();
      mount.answer = () => ({ kind: "abort", code: "ENOSPC" });
      assert.match(await shell("printf x | dd of=$F conv=notrunc oflag=append status=none"), /No space left/);
      assert.equal(await shell("stat -c %s $F"), "0\n");
    } finally {
      await small.close();
    }
  });

  test("the bytes of writes that wait are in memory up to the bound, beyond it in a file, and all arrive", async () => {
    const few = await bench.mount({ heldBytesMax: 50_000 });
    few.own("write");
    const contents = Array.from({ length: 6 }, (_, at) => Buffer.alloc(20_000, 97 + at));
    const writers = contents.map((content, at) => {
      const name = `waits${at}`;
      writeFileSync(inBacking(name), "");
      bench.changeRecord(name, () => ({ ...resident, regions: [{ offset: 0, size: 0, flags: regionFlags.write }] }));
      writeFileSync(join(bench.directory, name), content);
      return bench.run("dd", [`if=${bench.directory}/${name}`, `of=${few.mountpoint}/${name}`, "bs=20000", "conv=notrunc", "status=none"]);
    });
    const kept = async () => {
      const { counters } = await few.report();
      return [counters["bytes of waiting writes in memory"], counters["bytes of waiting writes in a file"]];
    };
    // Opens for writing raise the event first: those go on, the writes stay.
    const isOpen = (held: (typeof few.held)[number]) => held.event.type === "write" && held.event.length === 0;
    await few.until("all writes to be held", () => {
      for (const held of few.held.filter(isOpen)) few.resume(held);
      return few.held.filter((held) => !isOpen(held)).length === contents.length;
    });
    assert.deepEqual(await kept(), [40_000, 80_000]);
    writers[5]!.child.kill("SIGKILL");
    await few.until("a killed writer's bytes are dropped", async () => (await kept()).reduce((sum, bytes) => sum! + bytes!, 0) === 100_000);
    for (const held of [...few.held]) few.resume(held);
    for (const writer of writers) await writer.ended;
    for (const [at, content] of contents.slice(0, 5).entries()) assert.deepEqual(readFileSync(inBacking(`waits${at}`)), content);
    assert.deepEqual(await kept(), [0, 0]);
  });

  test("the guard held by somebody else delays a writer, and refuses it at the deadline", async () => {
    writeFileSync(inBacking("busy"), text(10));
    const fd = files.openAt(files.AT_FDCWD, inBacking("busy"), files.open.readWrite);
    const { tryTakeGuard } = await import("../../volume/guard.js");
    assert.equal(tryTakeGuard(fd, "exclusive"), 0);
    const writing = bench.shell(`printf x >> ${a.mountpoint}/busy`);
    await a.until("it waits for the guard", async () => (await a.waiters())[0]?.cause === "guard");
    files.close(fd);
    assert.equal((await writing.ended).code, 0);
    assert.equal(readFileSync(inBacking("busy")).length, 11);
    truncateSync(inBacking("busy"), 0);
  });
});

function mapperProgram(path: string): string {
  const top = new URL("../../", import.meta.url).pathname;
  return `
    import { mapFile } from "${top}os/memory.js"; import * as f from "${top}os/files.js";
    const fd = f.openAt(-100, ${JSON.stringify(path)}, 0); const map = mapFile(fd, 65536, false);
    const isWhole = () => Buffer.from(map.bytes).toString("latin1") === "0123456789abcdef".repeat(4096);
    console.log("mapped", isWhole());
    process.on("SIGUSR1", () => { console.log(isWhole() ? "whole" : "broken"); process.exit(0); });
    setInterval(() => {}, 1000);`;
}
function untilSaid(stream: NodeJS.ReadableStream, word: string): Promise<void> {
  return new Promise((resolve) => {
    let said = "";
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes(word)) resolve();
    });
  });
}
