/** The directory store: the suite of all stores, and where it may lie. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Store, StoreError } from "../store.js";
import { describeStore, manifestFor } from "../store.test-suite.js";
import { mountOf } from "./config.js";
import { openDirectoryStore } from "./store.js";

const top = mkdtempSync(join(tmpdir(), "sluice-test-store-"));
after(() => rmSync(top, { recursive: true, force: true }));

const places = new Map<Store, string>();
async function make(again?: Store): Promise<Store> {
  const directory = (again === undefined ? undefined : places.get(again)) ?? join(top, `store${places.size}`);
  const store = await openDirectoryStore({ directory, forbidden: [] });
  places.set(store, directory);
  return store;
}
describeStore("directory", make, async (store, object) => {
  writeFileSync(join(places.get(store)!, "objects", object.slice(0, 2), object), "tRue");
});

test("it is private, and refused where others may look", async () => {
  const directory = join(top, "private");
  await openDirectoryStore({ directory, forbidden: [] });
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  chmodSync(directory, 0o755);
  await assert.rejects(openDirectoryStore({ directory, forbidden: [] }), { code: "EINVAL" });
});

test("it is refused below a managed mount or its backing, also by way of a link", async () => {
  const backing = join(top, "backing");
  mkdirSync(join(backing, "inside"), { recursive: true });
  symlinkSync(join(backing, "inside"), join(top, "link"));
  for (const directory of [backing, join(backing, "inside", "store"), join(top, "link")]) {
    await assert.rejects(openDirectoryStore({ directory, forbidden: [backing] }), { code: "EINVAL" });
  }
});

test("two that open a new store at once agree on its identity", async () => {
  const directory = join(top, "race");
  const [a, b] = await Promise.all([openDirectoryStore({ directory, forbidden: [] }), openDirectoryStore({ directory, forbidden: [] })]);
  assert.equal(a.identity, b.identity);
});

/** What stands in the place of a note, and what is said of it. */
const damages: readonly (readonly [string, (file: string) => void, RegExp])[] = [
  ["torn", (file) => writeFileSync(file, readFileSync(file, "utf8").slice(0, 30)), /no whole JSON document \(30 characters/],
  ["emptied", (file) => truncateSync(file, 0), /it is empty/],
  ["of something else", (file) => writeFileSync(file, "[1]"), /it holds a list/],
  ["with a field of another kind", (file) => writeFileSync(file, readFileSync(file, "utf8").replace(/"handle": ?"[0-9a-f]+"/, '"handle":null')), /its field "handle" is null/],
  ["about another object", (file) => writeFileSync(file, readFileSync(file, "utf8").replace(/"object": ?"[0-9a-f]{32}"/, `"object":"${"0".repeat(32)}"`)), /about object "0{32}", not the one/],
  ["far too long", (file) => truncateSync(file, 2 ** 31), /has 2147483648 bytes, ours have at most/],
  ["a pipe", (file) => {
    rmSync(file);
    execFileSync("mkfifo", [file]);
  }, /it is no regular file/],
];

for (const [what, damage, words] of damages) {
  test(`a note that is ${what}: told by name, left where it is, the others go on, nothing is removed by it`, async () => {
    const directory = join(top, `damaged ${what}`);
    const store = await openDirectoryStore({ directory, forbidden: [] });
    const objects: string[] = [];
    for (const content of ["one", "two", "three"]) {
      const object = store.newObjectName();
      const writer = await store.create(object);
      await writer.write(Buffer.from(content));
      await writer.finish(manifestFor(object, Buffer.from(content)));
      await store.noteIntent({ object, handle: "ab12", path: "/a", verb: "migrate", session: 3, atMs: 7 });
      objects.push(object);
    }
    const [bad, ...good] = objects.sort() as [string, ...string[]];
    const intent = join(directory, "intents", `${bad}.json`);
    damage(intent);
    const intents = await store.intents();
    assert.deepEqual(intents.notes.map(({ object }) => object), good);
    assert.match(intents.damaged[0]!.message, words);
    assert.ok(intents.damaged[0]!.message.startsWith(intent));
    assert.ok(existsSync(intent));

    for (const object of objects) await store.discard(object, "ab12", "changed", 10);
    damage(join(directory, "ledger", `${bad}.json`));
    const asked: string[] = [];
    const { removed, failures } = await store.sweep(20, async ({ object }) => {
      asked.push(object);
      return "free";
    });
    assert.deepEqual([removed, asked], [2, good]);
    assert.match(failures[0]!.message, words);
    const content = readFileSync(join(directory, "objects", bad.slice(0, 2), bad));
    await store.verify(bad, { checksum: manifestFor(bad, content).checksum.value, size: content.length });

    damage(join(directory, "objects", bad.slice(0, 2), `${bad}.json`));
    await assert.rejects(store.manifest(bad), (error: Error) => error instanceof StoreError && error.code === "EIO" && (words.test(error.message) || /most 16777216/.test(error.message)));

    if (/field of another kind|another object/.test(what)) return; // the store's own document has neither field
    damage(join(directory, "store.json"));
    await assert.rejects(openDirectoryStore({ directory, forbidden: [] }), { code: "EIO", message: /store\.json/ });
  });
}

test("an entry of the ledger that cannot be judged now keeps no other", async () => {
  const store = await make();
  const objects = [store.newObjectName(), store.newObjectName()].sort();
  for (const object of objects) await store.discard(object, "ab12", "changed", 10);
  const { removed, failures } = await store.sweep(20, async ({ object }) => {
    if (object === objects[0]) throw new Error("no answer");
    return "free";
  });
  assert.deepEqual([removed, failures.map(({ message }) => message)], [1, ["no answer"]]);
  assert.deepEqual((await store.ledger()).notes.map(({ object }) => object), [objects[0]]);
});

test("the innermost mount counts", () => {
  const line = (point: string, type: string) => `36 35 0:40 / ${point} rw,relatime shared:1 - ${type} src rw`;
  const text = [line("/", "ext4"), line("/mnt/a", "fuse.sluice"), line("/mnt/a\\040b", "xfs")].join("\n");
  assert.equal(mountOf("/mnt/a/x", text)?.type, "fuse.sluice");
  assert.equal(mountOf("/mnt/a b/x", text)?.type, "xfs");
  assert.equal(mountOf("/mnt/ab", text)?.type, "ext4");
});
