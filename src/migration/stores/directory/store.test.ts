/** The directory store: the suite of all stores, and where it may lie. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Store } from "../store.js";
import { describeStore } from "../store.test-suite.js";
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

test("the innermost mount counts", () => {
  const line = (point: string, type: string) => `36 35 0:40 / ${point} rw,relatime shared:1 - ${type} src rw`;
  const text = [line("/", "ext4"), line("/mnt/a", "fuse.sluice"), line("/mnt/a\\040b", "xfs")].join("\n");
  assert.equal(mountOf("/mnt/a/x", text)?.type, "fuse.sluice");
  assert.equal(mountOf("/mnt/a b/x", text)?.type, "xfs");
  assert.equal(mountOf("/mnt/ab", text)?.type, "ext4");
});
