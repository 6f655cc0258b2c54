/**
 * Mounts and open files outlive the daemon: it is killed, or restarted, while programs have files and directories open,
 * mapped and locked, and are in the middle of calls; they see a pause, and nothing else.
 *
 * Source    safety H11; decision 0011.
 */
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { acceptance, type Conversation, type Letter, shareBench } from "./bench.js";
import { eventually, within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"], isFastFailover: true });
const here = dirname(fileURLToPath(import.meta.url));

/** A program on one node's mount. */
class User {
  readonly #conversation: Conversation;
  constructor(letter: Letter) {
    this.#conversation = bench().conversation(process.execPath, [join(here, "survivor.js"), bench().path(letter, "fs1")]);
  }
  get pid(): number {
    return this.#conversation.child.pid!;
  }
  async tries(call: string, ...args: unknown[]): Promise<{ ok?: unknown; error?: string }> {
    const line = await within(this.#conversation.ask(JSON.stringify([call, ...args])), `${call} ${args.join(" ")}`);
    assert(line !== undefined, `${call}: the program has ended`);
    return JSON.parse(line) as { ok?: unknown; error?: string };
  }
  async does(call: string, ...args: unknown[]): Promise<unknown> {
    const { ok, error } = await this.tries(call, ...args);
    assert.equal(error, undefined, `${call} ${args.join(" ")}: ${error}`);
    return ok;
  }
  async end(): Promise<void> {
    this.#conversation.child.stdin!.end();
    await within(this.#conversation.end, "the program ends");
  }
}
/** Waits in the kernel, for its daemon. */
async function waits(user: User, what: string): Promise<void> {
  await eventually(`${what} waits`, () => /^(fuse|request_wait|__fuse)/.test(readFileSync(`/proc/${user.pid}/wchan`, "latin1")) || /^State:\s+[DS]/m.test(readFileSync(`/proc/${user.pid}/status`, "latin1")));
}
const logOf = (letter: Letter) => bench().cluster.log(bench().id(letter));

acceptance("the daemon is killed and comes back: a file that is open goes on, what was asked meanwhile is answered", async () => {
  const user = new User("A");
  const other = new User("A");
  await user.does("open", "f", "kept", "w+");
  assert.equal(await user.does("write", "f", 0, "before"), 6);
  await user.does("mkdir", "directory");
  await user.does("enter", "directory");
  await bench().kill("A");
  const opening = other.does("open", "h", "kept", "r");
  await waits(other, "the second user");
  await bench().startAll();
  await opening;
  assert.equal(await user.does("read", "f", 0, 100), "before");
  assert.equal(await user.does("write", "f", 6, " and after"), 10);
  assert.equal(await other.does("read", "h", 0, 100), "before and after");
  assert.deepEqual(await user.does("here"), []);
  assert.equal(await user.does("where"), "directory", "it has a name still");
  assert.equal(readFileSync(bench().backing("fs1", "kept"), "latin1"), "before and after");
  assert.match(logOf("A"), /taken over from an earlier daemon/);
  await user.end();
  await other.end();
});

acceptance("everything that can be open: cached, direct, passing through, mapped, without a name, of a removed name, directories; locks hold throughout", async () => {
  const user = new User("A");
  const elsewhere = new User("B");
  writeFileSync(bench().backing("fs1", "whole"), "0123456789".repeat(1000));
  await user.does("open", "passing", "whole", "r+");
  await user.does("open", "appending", "log", "a");
  await user.does("write", "appending", null, "one\n");
  await user.does("open", "mapped", "whole", "r+");
  await user.does("map", "mapped", 8192);
  assert.equal(await user.does("load", "mapped", 0, 10), "0123456789");
  await user.does("unnamed", "unnamed");
  await user.does("write", "unnamed", 0, "nameless");
  await user.does("open", "removed", "goes", "w+");
  await user.does("write", "removed", 0, "gone");
  await user.does("unlink", "goes");
  await user.does("open", "locked", "locks", "w+");
  await user.does("lock", "locked", "write", 10, 10);
  await user.does("open", "flocked", "flocks", "w+");
  await user.does("flock", "flocked", "exclusive");
  await user.does("open", "ofd", "ofds", "w+");
  await user.does("lockOfOpen", "ofd", "read", 0, 0);
  for (const [name, file] of [["l", "locks"], ["fl", "flocks"], ["o", "ofds"]]) await elsewhere.does("open", name, file, "r+");
  const isLocked = async (when: string) => {
    assert.equal((await elsewhere.tries("lock", "l", "read", 15, 1)).error, "EAGAIN", `${when}: the range is locked`);
    assert.equal((await elsewhere.tries("lock", "l", "read", 20, 1)).error, undefined, `${when}: what is beside it is not`);
    assert.equal((await elsewhere.tries("flock", "fl", "shared")).error, "EAGAIN", `${when}: flock`);
    assert.equal((await elsewhere.tries("lockOfOpen", "o", "write", 5, 1)).error, "EAGAIN", `${when}: the open file's lock`);
  };
  await isLocked("before");
  for (const how of ["kill", "restart"] as const) {
    if (how === "kill") {
      await bench().kill("A");
      await isLocked("while no daemon is there");
      await bench().startAll();
    } else await bench().restart("A");
    await isLocked(`after a ${how}`);
    assert.equal(await user.does("read", "passing", 9980, 10), "0123456789", how);
    assert.equal(await user.does("write", "passing", 9995, "abc"), 3, how);
    assert.equal(await user.does("read", "passing", 9990, 10), "01234abc89", how);
    assert.equal(await user.does("write", "appending", null, `${how}\n`), how.length + 1, how);
    assert.equal(await user.does("load", "mapped", 4090, 10), "0123456789", how);
    await user.does("store", "mapped", 0, how);
    assert.equal(await user.does("read", "unnamed", 0, 8), "nameless", how);
    assert.equal(await user.does("read", "removed", 0, 8), "gone", how);
    assert.equal(await user.does("links", "removed"), 0, how);
    await user.does("open", `again-${how}`, "whole", "r");
    assert.equal(await user.does("read", `again-${how}`, 0, how.length), how, how);
    await user.does("close", `again-${how}`);
  }
  await user.does("lock", "locked", "unlock", 10, 10);
  await elsewhere.does("lock", "l", "write", 10, 10);
  await user.does("close", "flocked");
  await eventually("the flock is gone", async () => (await elsewhere.tries("flock", "fl", "exclusive")).error === undefined);
  await user.end(); // with its open file the lock of it
  await eventually("the open file's lock is gone", async () => (await elsewhere.tries("lockOfOpen", "o", "write", 0, 1)).error === undefined);
  await elsewhere.end();
  assert.equal(readFileSync(bench().backing("fs1", "log"), "latin1"), "one\nkill\nrestart\n");
  assert(statSync(bench().backing("fs1", "whole")).size === 10_000);
});

acceptance("the holder is killed while its daemon serves: another is given the locks and what is open, without a name too, so that all of it outlives the daemon", async () => {
  const user = new User("A");
  const elsewhere = new User("B");
  await user.does("open", "locked", "held-locks", "w+");
  await user.does("lock", "locked", "write", 10, 10);
  await user.does("open", "flocked", "held-flocks", "w+");
  await user.does("flock", "flocked", "exclusive");
  await user.does("unnamed", "unnamed");
  await user.does("write", "unnamed", 0, "nameless");
  await user.does("open", "removed", "leaves", "w+");
  await user.does("write", "removed", 0, "gone");
  await user.does("unlink", "leaves");
  await elsewhere.does("open", "l", "held-locks", "r+");
  await elsewhere.does("open", "fl", "held-flocks", "r+");
  const isLocked = async (when: string) => {
    assert.equal((await elsewhere.tries("lock", "l", "read", 15, 1)).error, "EAGAIN", `${when}: the range`);
    assert.equal((await elsewhere.tries("flock", "fl", "shared")).error, "EAGAIN", `${when}: flock`);
  };
  const told = `${bench().cluster.socket(bench().id("A"))}.holder.json`;
  const holder = () => (JSON.parse(readFileSync(told, "latin1")) as { pid: number }).pid;
  for (const round of [1, 2]) {
    const former = holder();
    const logged = logOf("A").length;
    process.kill(former, "SIGKILL");
    await eventually("another holder has begun", () => /another holder has begun/.test(logOf("A").slice(logged)));
    assert.notEqual(holder(), former);
    // What came while none was there, and what is let go since, concerns the new one too.
    await user.does("open", `later-${round}`, `later-${round}`, "w+");
    await user.does("write", `later-${round}`, 0, "later");
    await user.does("unlink", `later-${round}`);
    await isLocked("before");
    await bench().kill("A");
    await isLocked("while no daemon is there");
    await bench().startAll();
    await isLocked("after");
    assert.equal(await user.does("read", "unnamed", 0, 8), "nameless");
    assert.equal(await user.does("read", "removed", 0, 8), "gone");
    assert.equal(await user.does("read", `later-${round}`, 0, 8), "later");
  }
  await user.does("lock", "locked", "unlock", 10, 10);
  await elsewhere.does("lock", "l", "write", 10, 10);
  await user.does("close", "flocked");
  await eventually("the flock is gone", async () => (await elsewhere.tries("flock", "fl", "exclusive")).error === undefined);
  await user.end();
  await elsewhere.end();
});
