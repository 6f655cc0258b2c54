/**
 * Directories that another node has moved, on real mounts: looked up, and renamed, while the kernel cannot take them over.
 *
 * Source    safety C5, C6.
 */
import assert from "node:assert/strict";
import { existsSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import * as files from "../../os/files.js";
import { ownText } from "../../volume/handles.js";
import { Bench, type BenchMount } from "./harness.js";

const canMount = process.getuid?.() === 0 && existsSync("/dev/fuse");
const other = { id: "n2" as NodeId, incarnation: 1 as Incarnation };

describe("a directory that another node moved into another one", { skip: canMount ? false : "needs root and /dev/fuse" }, () => {
  let bench: Bench;
  let a: BenchMount;
  beforeEach(async () => {
    bench = new Bench();
    a = await bench.mount();
    await outcome("mkdir -p $A/old/first $A/old/dir/inner $A/new $A/p $A/q; touch $A/p/f; ls $A/old/first $A/old/dir/inner");
    move("old/first", "p/first"); // the thread that tells the kernel has begun then
    await outcome("stat $A/p/first");
    await a.until("the first move", async () => (await a.report()).counters["directories that others moved"] === 1);
    await outcome("rmdir $A/p/first");
  });
  afterEach(() => bench.close());

  const outcome = async (script: string) => (await bench.shell(`A=${a.mountpoint}; cd /; ${script}`).ended).output;
  /** Beneath this mount, as another node would. */
  const move = (from: string, to: string) => assert.equal(files.renameAt(files.AT_FDCWD, join(bench.backing, from), files.AT_FDCWD, join(bench.backing, to)), 0);
  const looks = "stat -c %F $A/new/dir 2>&1 | sed 's/.*: //'; stat -c %F $A/new/dir/inner 2>&1 | sed 's/.*: //'";
  const renames = (from: string, to: string) => `FROM=${from} TO=${to} node -e 'try { fs.renameSync(process.env.FROM, process.env.TO); console.log("done") } catch (error) { console.log(error.code) }'`;
  const ownOf = (name: string) => {
    const kernel = files.nameToHandle(files.AT_FDCWD, join(bench.backing, name), 0);
    if (typeof kernel === "number") throw new Error(`no handle of ${name} (errno ${-kernel})`);
    return ownText(kernel);
  };
  /** Somebody works in the directory until the bench is closed. */
  const workIn = async (directory: string) => {
    const { child } = bench.run("sh", ["-c", `cd ${a.mountpoint}/${directory} && echo there && read x`], "pipe");
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    return `/proc/${child.pid}/cwd`;
  };

  test("is found while a rename between directories waits for an application", async () => {
    a.own("rename");
    a.eventList("rename");
    move("old/dir", "new/dir");
    const moving = bench.shell(`mv ${a.mountpoint}/p/f ${a.mountpoint}/q/f`);
    const held = await a.event("rename");
    const seen = await outcome(looks);
    a.resume(held);
    await moving.ended;
    assert.equal(seen, "directory\ndirectory\n");
  });

  test("is found, although somebody works in it, when a rename between directories that waits for another node has ended", async () => {
    a.mount.post({ kind: "other-mounts", others: [other], isInForce: true });
    a.mount.post({ kind: "keeping-heard", from: other.id, word: { kind: "keep-wanted", serial: 1, objects: [ownOf("p")] } });
    await workIn("old/dir");
    move("old/dir", "new/dir");
    const moving = bench.shell(`mv ${a.mountpoint}/p/f ${a.mountpoint}/q/f`);
    const wanted = () => a.messages.flatMap((message) => (message.kind === "keeping-said" && message.word.kind === "drop-wanted" ? [message.word] : []))[0];
    await a.until("the drop", () => wanted() !== undefined);
    const looking = bench.shell(`A=${a.mountpoint}; ${looks}`);
    await a.until("the look-up", async () => looking.hasEnded || (await a.report()).counters["operations waiting"]! > 1);
    a.mount.post({ kind: "keeping-heard", from: other.id, word: { kind: "drop-done", drop: wanted()!.drop, objects: wanted()!.objects } });
    await moving.ended;
    assert.equal((await looking.ended).output, "directory\ndirectory\n");
    assert.equal(await outcome("ls $A/q"), "f\n");
  });

  test("is renamed by its new name, which nobody has looked up before", async () => {
    move("old/dir", "new/dir");
    assert.equal(await outcome(`${renames("$A/new/dir", "$A/p/dir")}; ls $A/p`), "done\ndir\nf\n");
  });

  test("is renamed back to where it was", async () => {
    move("old/dir", "new/dir");
    assert.equal(await outcome(`${renames("$A/new/dir", "$A/old/again")}; cd $A; ls old new`), "done\nnew:\n\nold:\nagain\n");
  });

  test("leaves its name to another one that somebody works in", async () => {
    await workIn("old/dir"); // else nothing is left of it here
    move("old/dir", "new/dir");
    await outcome(`mkdir ${bench.backing}/old/dir; ls $A/old/dir`);
    const place = await workIn("old/dir");
    assert.equal(await outcome("ls $A/new/dir"), "inner\n");
    await a.until("the move", async () => (await a.report()).counters["directories that others moved"] === 2);
    assert.equal(readlinkSync(place), `${a.mountpoint}/old/dir`);
  });
});
