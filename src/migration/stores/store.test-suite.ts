/** What every store must do; an adapter's test hands in how to make one. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import type { Manifest, Store } from "./store.js";

export function manifestFor(object: string, content: Uint8Array, handle = "ab12"): Manifest {
  return {
    format: 1, object, handle, fs: "fs1", path: "/a/b", size: content.length,
    checksum: { algorithm: "sha256", value: createHash("sha256").update(content).digest("hex") },
    mode: 0o100644, uid: 1, gid: 2, atimeNs: "1", mtimeNs: "2", ctimeNs: "3", attributes: {}, copiedAt: "2026-01-01T00:00:00Z",
  };
}
async function put(store: Store, content: Uint8Array, handle?: string): Promise<Manifest> {
  const object = store.newObjectName();
  const writer = await store.create(object);
  const half = Math.floor(content.length / 2);
  await writer.write(content.subarray(0, half));
  await writer.write(content.subarray(half));
  const manifest = manifestFor(object, content, handle);
  await writer.finish(manifest);
  return manifest;
}

/** `make(previous)` opens the same place again when given one it made. `damage` changes a byte of an object behind its back. */
export function describeStore(name: string, make: (again?: Store) => Promise<Store>, damage: (store: Store, object: string) => Promise<void>): void {
  describe(`store: ${name}`, () => {
    it("gives back what it was given, also after it was opened again", async () => {
      const store = await make();
      const content = Buffer.from("some bytes, many bytes");
      const manifest = await put(store, content);
      const again = await make(store);
      assert.equal(again.identity, store.identity);
      await again.verify(manifest.object, { checksum: manifest.checksum.value, size: content.length });
      assert.deepEqual(await again.manifest(manifest.object), manifest);
      const reader = await again.open(manifest.object);
      const into = Buffer.alloc(8);
      assert.equal(await reader.read(into, 16), 6);
      assert.equal(into.toString("latin1", 0, 6), " bytes");
      await reader.close();
    });
    it("keeps an object invisible until it is finished", async () => {
      const store = await make();
      const object = store.newObjectName();
      const writer = await store.create(object);
      await writer.write(Buffer.from("half"));
      await assert.rejects(store.open(object), { code: "ENOENT" });
      await writer.abandon();
      await assert.rejects(store.open(object), { code: "ENOENT" });
    });
    it("notices a changed byte and another size", async () => {
      const store = await make();
      const manifest = await put(store, Buffer.from("true"));
      await assert.rejects(store.verify(manifest.object, { checksum: manifest.checksum.value, size: 5 }), { code: "EIO" });
      await damage(store, manifest.object);
      await assert.rejects(store.verify(manifest.object, { checksum: manifest.checksum.value, size: 4 }), { code: "EIO" });
      await assert.rejects(store.verify(store.newObjectName(), { checksum: "", size: 0 }), { code: "ENOENT" });
    });
    it("knows what is being made, across a restart", async () => {
      const store = await make();
      const intent = { object: store.newObjectName(), handle: "ab12", path: null, verb: "migrate", session: 3, atMs: 7 } as const;
      await store.noteIntent(intent);
      const again = await make(store);
      assert.deepEqual(await again.intents(), { notes: [intent], damaged: [] });
      await again.clearIntent(intent.object);
      await again.clearIntent(intent.object);
      assert.deepEqual(await again.intents(), { notes: [], damaged: [] });
    });
    it("deletes only through the ledger, late, and never what is needed after all", async () => {
      const store = await make();
      const gone = await put(store, Buffer.from("gone"));
      const needed = await put(store, Buffer.from("needed"));
      const open = await put(store, Buffer.from("open"));
      const recent = await put(store, Buffer.from("recent"));
      await store.discard(gone.object, "ab12", "changed", 10);
      await store.discard(needed.object, "ab12", "by mistake", 10);
      await store.discard(open.object, "ab12", "deleted", 10);
      await store.discard(recent.object, "ab12", "changed", 30);
      await store.discard(store.newObjectName(), "ab12", "never written", 10);
      assert.deepEqual(await store.objectsOf("ab12"), []);
      await store.open(gone.object).then((reader) => reader.close());
      assert.deepEqual(await store.sweep(20, async ({ object }) => (object === needed.object ? "named" : object === open.object ? "open-yet" : "free")), { removed: 2, failures: [] });
      await assert.rejects(store.open(gone.object), { code: "ENOENT" });
      await store.open(needed.object).then((reader) => reader.close());
      for (const { object } of [open, recent]) await store.open(object).then((reader) => reader.close());
      assert.deepEqual((await store.ledger()).notes.map((entry) => entry.object).sort(), [open.object, recent.object].sort());
      assert.deepEqual(await store.objectsOf("ab12"), [needed.object]);
      assert.deepEqual(await store.sweep(20, async () => "free"), { removed: 1, failures: [] });
      await assert.rejects(store.open(open.object), { code: "ENOENT" });
    });
    it("finds the objects of a file by its handle", async () => {
      const store = await make();
      const first = await put(store, Buffer.from("1"), "aa");
      await put(store, Buffer.from("2"), "aab");
      assert.deepEqual(await store.objectsOf("aa"), [first.object]);
      const all: string[] = [];
      for await (const object of store.objects()) all.push(object);
      assert.equal(all.length, 2);
    });
    it("takes no name from outside", async () => {
      const store = await make();
      await assert.rejects(store.open("../../etc/passwd"), { code: "EINVAL" });
      await assert.rejects(store.discard("../x", "ab12", "", 0), { code: "EINVAL" });
    });
  });
}
