/**
 * Files that the kernel reads and writes by itself, on real mounts: what users see, and what keeps others from them.
 *
 * Source    safety C2, C3, V1-V3; decision 0009.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { regionFlags } from "../../dmapi/regions.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { tryTakeGuard } from "../../volume/guard.js";
import { createMark, readMark } from "../../volume/mark.js";
import { Bench, type BenchMount } from "./harness.js";

const canMount = process.getuid?.() === 0 && existsSync("/dev/fuse");
const whole = [{ offset: 0, size: 0, flags: regionFlags.read | regionFlags.write | regionFlags.truncate }];
const resident = { residency: "resident", regions: [], attributes: {} } as const;
const dist = new URL("../../", import.meta.url).href;

/** A program that evaluates what it is sent and says the result. */
class User {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(bench: Bench) {
    const script = `import * as fs from "node:fs"; import { createInterface } from "node:readline"; import { mapFile } from "${dist}os/memory.js";
      import * as child from "node:child_process"; const kept = {};
      for await (const line of createInterface({ input: process.stdin })) {
        let said; try { said = { value: eval(line) }; } catch (error) { said = { error: error.code ?? String(error) }; }
        fs.writeSync(1, JSON.stringify(said) + "\\n");
      }`;
    this.child = bench.run(process.execPath, ["--input-type=module", "-e", script], "pipe").child;
    this.#lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }
  async try(text: string): Promise<{ value?: unknown; error?: string }> {
    this.child.stdin!.write(`${text}\n`);
    return JSON.parse((await this.#lines.next()).value as string) as { value?: unknown; error?: string };
  }
  async does(text: string): Promise<unknown> {
    const { value, error } = await this.try(text);
    assert.equal(error, undefined, `${text}: ${error}`);
    return value;
  }
  /** Opens as `name`. */
  open(name: string, path: string, flags: string | number): Promise<unknown> {
    return this.does(`kept.${name} = fs.openSync(${JSON.stringify(path)}, ${JSON.stringify(flags)})`);
  }
  close(name: string): Promise<unknown> {
    return this.does(`fs.closeSync(kept.${name})`);
  }
  end(): void {
    this.child.kill("SIGKILL");
  }
}

describe("passthrough", { skip: canMount ? false : "needs root and /dev/fuse" }, () => {
  let bench: Bench;
  let a: BenchMount;
  let b: BenchMount;
  let user: User;
  before(async () => {
    bench = new Bench();
    a = await bench.mount({ passthrough: true });
    b = await bench.mount({ passthrough: true });
    user = new User(bench);
  });
  after(() => bench.close());

  const inBacking = (name: string) => join(bench.backing, name);
  const on = (mount: BenchMount, name: string) => join(mount.mountpoint, name);
  const passing = async (mount: BenchMount) => (await mount.report()).counters["files passed through to the kernel"];
  /** 0 when nobody guards the file, else why the exclusive guard is refused. */
  function guard(name: string): number {
    const fd = files.openAt(files.AT_FDCWD, inBacking(name), files.open.readWrite);
    const taken = tryTakeGuard(fd, "exclusive");
    files.close(fd);
    return taken;
  }
  const isFree = (name: string) => a.until(`nobody guards ${name}`, () => guard(name) === 0);

  test("reads and writes are the backing file's own; sizes and times are right at once", async () => {
    writeFileSync(inBacking("plain"), "0123456789");
    await user.open("plain", on(a, "plain"), "r+");
    assert.equal(await passing(a), 1);
    assert.equal(await user.does(`const got = Buffer.alloc(4); fs.readSync(kept.plain, got, 0, 4, 3); String(got)`), "3456");
    const before = (await a.report()).counters["requests"]!;
    await user.does(`fs.writeSync(kept.plain, "abc", 20)`);
    await user.does(`for (let i = 0; i < 100; i++) fs.writeSync(kept.plain, "x", i)`);
    assert.equal((await a.report()).counters["requests"]! - before < 20, true, "writes of the user are no requests to us");
    for (const mount of [a, b]) {
      assert.equal(await user.does(`fs.statSync("${on(mount, "plain")}").size`), 100);
      const seen = (await user.does(`String(fs.statSync("${on(mount, "plain")}", { bigint: true }).mtimeNs)`)) as string;
      assert.equal(seen, String(statSync(inBacking("plain"), { bigint: true }).mtimeNs));
    }
    assert.equal(readFileSync(inBacking("plain"), "latin1").slice(0, 4), "xxxx");
    await user.close("plain");
    await isFree("plain");
  });

  test("what another node appended is there, and an append goes to the true end; O_TRUNC empties", async () => {
    writeFileSync(inBacking("log"), "one");
    await user.open("log", on(a, "log"), "a+");
    assert.equal(await passing(a), 1);
    writeFileSync(inBacking("log"), "two", { flag: "a" });
    await user.does(`fs.writeSync(kept.log, "three")`);
    assert.equal(readFileSync(inBacking("log"), "latin1"), "onetwothree");
    await user.open("again", on(a, "log"), "w");
    assert.equal(readFileSync(inBacking("log"), "latin1"), "");
    await user.does(`fs.writeSync(kept.again, "new")`);
    await user.does(`fs.writeSync(kept.log, "er")`);
    assert.equal(await user.does(`fs.readFileSync("${on(a, "log")}", "latin1")`), "newer");
    await user.does(`fs.ftruncateSync(kept.log, 2)`);
    assert.equal(await user.does(`fs.readFileSync("${on(a, "log")}", "latin1")`), "ne");
    await user.close("again");
    await user.close("log");
    await isFree("log");
  });

  test("O_DIRECT is the backing's", async () => {
    writeFileSync(inBacking("direct"), Buffer.alloc(8192, 7));
    await user.open("direct", on(a, "direct"), files.open.readWrite | files.open.direct);
    const odd = await user.try(`fs.readSync(kept.direct, Buffer.alloc(101), 0, 100, 3)`);
    assert.equal(odd.error, "EINVAL");
    await user.close("direct");
    await isFree("direct");
  });

  test("a made file passes through; a mode of bits that give rights goes with the first write", async () => {
    await user.does(`kept.made = fs.openSync("${on(a, "made")}", "wx+")`);
    assert.equal(await passing(a), 1);
    await user.does(`fs.writeSync(kept.made, "made")`);
    chmodSync(inBacking("made"), 0o4755);
    const ended = await bench.shell(`chown 1000 ${on(a, "made")}; chmod 4777 ${on(a, "made")}; setpriv --reuid 1000 --clear-groups sh -c 'printf x >> ${on(a, "made")}'; stat -c %a ${on(a, "made")}`).ended;
    assert.equal(ended.output.trim(), "777");
    assert.equal(readFileSync(inBacking("made"), "latin1"), "madex");
    await user.close("made");
    await isFree("made");
    await user.does(`fs.chmodSync("${on(a, "made")}", 0o4755)`);
    await user.open("root", on(a, "made"), "r+");
    await user.does(`fs.writeSync(kept.root, "root's")`);
    assert.equal(statSync(inBacking("made")).mode & 0o7777, 0o4755, "root keeps them where it finds them");
    assert.equal(await passing(a), 0);
    await user.close("root");
  });

  test("a program that is executed passes through, and cannot be written meanwhile", async () => {
    writeFileSync(inBacking("sleep"), readFileSync("/bin/sleep"), { mode: 0o755 });
    const program = bench.run(on(a, "sleep"), ["1000"]);
    await a.until("the program runs", async () => (await passing(a)) === 1);
    await a.until("the program is mapped", async () => (await user.try(`fs.openSync("${on(a, "sleep")}", "r+")`)).error === "ETXTBSY");
    assert.equal(guard("sleep"), -errno.EAGAIN);
    program.child.kill("SIGKILL");
    await isFree("sleep");
  });

  test("the guard stands while anybody has the file open or mapped, in any way", async () => {
    writeFileSync(inBacking("mapped"), Buffer.alloc(8192, 1));
    await user.open("one", on(a, "mapped"), "r");
    assert.equal(guard("mapped"), -errno.EAGAIN, "open for reading");
    await user.open("two", on(a, "mapped"), "r+");
    await user.does(`kept.map = mapFile(kept.two, 8192, true); 0`);
    await user.close("one");
    await user.close("two");
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    assert.equal(guard("mapped"), -errno.EAGAIN, "mapped, although closed");
    await user.does(`kept.map.bytes[5000] = 9`);
    assert.equal(readFileSync(inBacking("mapped"))[5000], 9);
    assert.equal(await user.does(`fs.readFileSync("${on(b, "mapped")}")[5000]`), 9);
    await user.does(`kept.map.unmap(); 0`);
    await isFree("mapped");
    assert.equal(await passing(a), 0);
  });

  test("who was opened on two nodes of one machine is let go by both", async () => {
    writeFileSync(inBacking("both"), "both");
    await user.open("a", on(a, "both"), "r+");
    await user.open("b", on(b, "both"), "r");
    await user.close("a");
    await user.close("b");
    await isFree("both");
    assert.deepEqual([await passing(a), await passing(b)], [0, 0]);
  });

  test("who asks for the guard hastens its return", async () => {
    writeFileSync(inBacking("asked"), "asked");
    await user.open("asked", on(a, "asked"), "r+");
    await user.close("asked");
    a.mount.post({ kind: "fence-raised", handle: bench.handleOf("asked"), fence: "exclusive", fenceNumber: 1 });
    await isFree("asked");
    await user.open("fenced", on(a, "asked"), "r+");
    assert.equal(await passing(a), 0, "while somebody has the exclusive right, no file begins to pass through");
    assert.equal(guard("asked"), 0);
    await user.close("fenced");
    a.mount.post({ kind: "fence-lowered", handle: bench.handleOf("asked"), fence: "null", fenceNumber: 2 });
  });

  test("a mark stays for readers and is gone before the first who may write has his descriptor", async () => {
    writeFileSync(inBacking("marked"), "marked");
    const nonce = "ab".repeat(16);
    const fd = files.openAt(files.AT_FDCWD, inBacking("marked"), files.open.readOnly);
    assert.equal(createMark(fd, nonce), 0);
    await user.open("reader", on(a, "marked"), "r");
    assert.equal(readMark(fd), nonce);
    await user.open("writer", on(a, "marked"), "r+");
    assert.equal(readMark(fd), undefined);
    await user.close("reader");
    await user.close("writer");
    await isFree("marked");
    assert.equal(createMark(fd, nonce), 0);
    await user.open("writer", on(a, "marked"), "r+");
    assert.equal(readMark(fd), undefined, "also when nobody read before");
    await user.close("writer");
    files.close(fd);
    await isFree("marked");
  });

  test("a file with regions or an event list of its own is opened directly; one that was opened in another way stays so", async () => {
    for (const [name, record] of [["managed", { ...resident, regions: whole }], ["listed", { ...resident, eventList: 0 }]] as const) {
      writeFileSync(inBacking(name), "content");
      bench.changeRecord(name, () => record);
      await user.open(name, on(a, name), "r");
      assert.equal(await passing(a), 0, name);
      bench.changeRecord(name, () => resident);
      await a.round({ kind: "record-changed", handle: bench.handleOf(name), generation: 2 });
      assert.equal(await user.does(`fs.readFileSync("${on(a, name)}", "latin1")`), "content");
      assert.equal(await passing(a), 0, `${name}: the direct open is still there`);
      await user.close(name);
      assert.equal(await user.does(`fs.readFileSync("${on(a, name)}", "latin1")`), "content");
      await isFree(name);
    }
  });

  test("attributes that the kernel otherwise keeps are right at once, also after stores through a mapping", async () => {
    const leaseUntil = new SharedArrayBuffer(8);
    new Float64Array(leaseUntil)[0] = Number(process.hrtime.bigint()) / 1e6 + 600_000;
    const c = await bench.mount({ passthrough: true, leaseUntil });
    c.mount.post({ kind: "sole-mount", isSole: true });
    writeFileSync(inBacking("kept"), Buffer.alloc(4096, 1));
    const seen = async () => (await user.does(`const s = fs.statSync("${on(c, "kept")}", { bigint: true }); s.size + " " + s.mtimeNs`)) as string;
    const truth = () => {
      const { size, mtimeNs } = statSync(inBacking("kept"), { bigint: true });
      return `${size} ${mtimeNs}`;
    };
    const requests = async () => (await c.report()).counters["requests"]!;
    await seen();
    const before = await requests();
    for (let i = 0; i < 20; i++) assert.equal(await seen(), truth());
    assert.equal((await requests()) - before < 10, true, "the kernel keeps them");
    await user.open("kept", on(c, "kept"), "r+");
    await user.does(`fs.writeSync(kept.kept, "grown", 5000)`);
    assert.equal(await seen(), truth(), "after a write");
    await user.does(`kept.map = mapFile(kept.kept, 4096, true); 0`);
    await user.close("kept");
    for (let i = 0; i < 5; i++) {
      await seen();
      await user.does(`kept.map.bytes[${i}] = 9; kept.map.sync()`);
      assert.equal(await seen(), truth(), `after a store, ${i}`);
    }
    await user.does(`kept.map.unmap(); 0`);
    await isFree("kept");
    assert.equal(await seen(), truth());
  });

  test("many opens and closes at once never meet the kernel's refusal of another mode", async () => {
    writeFileSync(inBacking("busy"), "0123456789");
    const programs = Array.from({ length: 6 }, () => bench.shell(`for i in $(seq 60); do read x < ${on(a, "busy")}; printf "$i" 1<> ${on(a, "busy")}; done`));
    for (const program of programs) {
      const { code, output } = await program.ended;
      assert.equal(output, "");
      assert.equal(code === 0 || code === 1, true);
    }
    await isFree("busy");
    assert.deepEqual([await passing(a), await passing(b)], [0, 0]);
  });
});
