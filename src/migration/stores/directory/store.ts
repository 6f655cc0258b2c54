/**
 * A store in a directory: private, random names, everything on stable storage before it counts.
 *
 *   store.json                      format and identity
 *   objects/ab/<object>             the bytes; `.part` while being written
 *   objects/ab/<object>.json        its manifest
 *   handles/cd/<handle>.<object>    which objects a file has, empty files
 *   intents/<object>.json           objects being made
 *   ledger/<object>.json            objects to be deleted later
 *
 * Several migrators on several nodes may use one store at a time: each file has one writer, and names never repeat.
 */
import { createHash, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, link, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { type Intent, type LedgerEntry, type Manifest, type Need, type ObjectReader, type ObjectWriter, type Store, StoreError } from "../store.js";
import { checkedDirectory, type DirectoryStoreConfig } from "./config.js";

const NAME = /^[0-9a-f]{32}$/;
const CHUNK = 1024 * 1024;

export async function openDirectoryStore(config: DirectoryStoreConfig): Promise<DirectoryStore> {
  const directory = checkedDirectory(config);
  for (const part of ["objects", "handles", "intents", "ledger"]) await mkdir(path.join(directory, part), { recursive: true, mode: 0o700 });
  const file = path.join(directory, "store.json");
  if ((await readIfThere(file)) === undefined) {
    const fresh = `${file}.${randomBytes(4).toString("hex")}`;
    await writeDurably(fresh, JSON.stringify({ format: 1, identity: randomBytes(8).toString("hex") }));
    await linkOnce(fresh, file);
  }
  const settings = JSON.parse(await readFile(file, "utf8")) as { format?: unknown; identity?: unknown };
  if (settings.format !== 1 || typeof settings.identity !== "string") throw new StoreError("EINVAL", `${file} is of no format this version knows`);
  return new DirectoryStore(directory, settings.identity);
}

export class DirectoryStore implements Store {
  readonly identity: string;
  readonly #directory: string;
  constructor(directory: string, identity: string) {
    this.#directory = directory;
    this.identity = identity;
  }

  newObjectName(): string {
    return randomBytes(16).toString("hex");
  }

  async noteIntent(intent: Intent): Promise<void> {
    await writeDurably(this.#in("intents", intent.object), JSON.stringify(intent));
  }
  async clearIntent(object: string): Promise<void> {
    await rm(this.#in("intents", object), { force: true });
  }
  intents(): Promise<Intent[]> {
    return this.#readAll<Intent>("intents");
  }

  async create(object: string): Promise<ObjectWriter> {
    const target = this.#object(object);
    await mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await translated(open(`${target}.part`, flags, 0o600), `object ${object}`);
    let at = 0;
    return {
      write: async (chunk) => {
        await translated(writeWhole(file, chunk, at), `object ${object}`);
        at += chunk.length;
      },
      finish: async (manifest) => {
        await translated(file.sync().then(() => file.close()), `object ${object}`);
        await this.#index(manifest.handle, object);
        await writeDurably(`${target}.json`, JSON.stringify(manifest, undefined, 1));
        await rename(`${target}.part`, target);
        await syncDirectory(path.dirname(target));
      },
      abandon: async () => {
        await file.close().catch(() => {});
        await rm(`${target}.part`, { force: true });
      },
    };
  }

  async open(object: string): Promise<ObjectReader> {
    const file = await translated(open(this.#object(object), constants.O_RDONLY | constants.O_NOFOLLOW), `object ${object}`);
    const { size } = await file.stat();
    return {
      size,
      read: async (into, offset) => {
        let done = 0;
        while (done < into.length) {
          const { bytesRead } = await translated(file.read(into, done, into.length - done, offset + done), `object ${object}`);
          if (bytesRead === 0) break;
          done += bytesRead;
        }
        return done;
      },
      close: () => file.close(),
    };
  }

  async manifest(object: string): Promise<Manifest> {
    const text = await translated(readFile(`${this.#object(object)}.json`, "utf8"), `the manifest of object ${object}`);
    try {
      return JSON.parse(text) as Manifest;
    } catch (error) {
      throw new StoreError("EIO", `the manifest of object ${object} is damaged`, { cause: error });
    }
  }

  async verify(object: string, expected: { checksum: string; size: number }): Promise<void> {
    const manifest = await this.manifest(object);
    const reader = await this.open(object);
    try {
      const hash = createHash("sha256");
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK, Math.max(1, reader.size)));
      for (let at = 0; at < reader.size; ) {
        const length = await reader.read(chunk, at);
        if (length === 0) break;
        hash.update(chunk.subarray(0, length));
        at += length;
      }
      const isRight = reader.size === expected.size && hash.digest("hex") === expected.checksum;
      if (!isRight || manifest.checksum.value !== expected.checksum || manifest.size !== expected.size) {
        throw new StoreError("EIO", `object ${object} read back is not what was written`);
      }
    } finally {
      await reader.close();
    }
  }

  async objectsOf(handle: string): Promise<string[]> {
    const discarded = new Set((await readdir(path.join(this.#directory, "ledger"))).map((name) => name.slice(0, -".json".length)));
    const names = await readdir(this.#handles(handle)).catch(() => []);
    return names.filter((name) => name.startsWith(`${handle}.`)).map((name) => name.slice(handle.length + 1)).filter((object) => NAME.test(object) && !discarded.has(object));
  }
  async *objects(): AsyncGenerator<string, void, undefined> {
    for (const shard of await readdir(path.join(this.#directory, "objects"))) {
      for (const name of await readdir(path.join(this.#directory, "objects", shard))) if (NAME.test(name)) yield name;
    }
  }

  async discard(object: string, reason: string, atMs: number): Promise<void> {
    const handle = await this.manifest(object).then((manifest) => manifest.handle, () => null);
    const entry: LedgerEntry = { object, handle, reason, atMs };
    await writeDurably(this.#in("ledger", object), JSON.stringify(entry));
    await this.clearIntent(object);
  }
  ledger(): Promise<LedgerEntry[]> {
    return this.#readAll<LedgerEntry>("ledger");
  }
  async sweep(beforeMs: number, judge: (entry: LedgerEntry) => Promise<Need>): Promise<number> {
    let count = 0;
    for (const entry of await this.ledger()) {
      if (entry.atMs >= beforeMs) continue;
      const need = await judge(entry);
      if (need === "open-yet") continue;
      if (need === "free") {
        const target = this.#object(entry.object);
        await rm(target, { force: true });
        await rm(`${target}.part`, { force: true });
        await rm(`${target}.json`, { force: true });
        if (entry.handle !== null) await rm(path.join(this.#handles(entry.handle), `${entry.handle}.${entry.object}`), { force: true });
        count += 1;
      }
      await rm(this.#in("ledger", entry.object), { force: true });
    }
    return count;
  }

  /** Only names of our own making become paths. */
  #object(object: string): string {
    if (!NAME.test(object)) throw new StoreError("EINVAL", `"${object}" is no object of a directory store`);
    return path.join(this.#directory, "objects", object.slice(0, 2), object);
  }
  #in(part: "intents" | "ledger", object: string): string {
    if (!NAME.test(object)) throw new StoreError("EINVAL", `"${object}" is no object of a directory store`);
    return path.join(this.#directory, part, `${object}.json`);
  }
  #handles(handle: string): string {
    return path.join(this.#directory, "handles", createHash("sha256").update(handle).digest("hex").slice(0, 2));
  }
  async #index(handle: string, object: string): Promise<void> {
    if (!/^[0-9a-f]{1,128}$/.test(handle)) throw new StoreError("EINVAL", "a manifest without a proper handle");
    await mkdir(this.#handles(handle), { recursive: true, mode: 0o700 });
    await writeDurably(path.join(this.#handles(handle), `${handle}.${object}`), "");
  }
  async #readAll<T>(part: "intents" | "ledger"): Promise<T[]> {
    const entries: T[] = [];
    for (const name of (await readdir(path.join(this.#directory, part))).sort()) {
      if (!name.endsWith(".json")) continue;
      const text = await readIfThere(path.join(this.#directory, part, name));
      if (text !== undefined) entries.push(JSON.parse(text) as T);
    }
    return entries;
  }
}

async function writeWhole(file: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  let done = 0;
  while (done < chunk.length) done += (await file.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
}
/** A whole file or none: written beside, synced, renamed, directory synced. */
async function writeDurably(target: string, content: string): Promise<void> {
  const beside = `${target}.${randomBytes(4).toString("hex")}~`;
  const file = await translated(open(beside, "wx", 0o600), target);
  try {
    await translated(file.writeFile(content).then(() => file.sync()), target);
  } finally {
    await file.close();
  }
  await rename(beside, target);
  await syncDirectory(path.dirname(target));
}
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
/** The first of several that start at once decides. */
async function linkOnce(fresh: string, target: string): Promise<void> {
  await link(fresh, target).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await rm(fresh, { force: true });
  await syncDirectory(path.dirname(target));
}
async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
async function translated<T>(work: Promise<T>, what: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const known = code === "ENOENT" || code === "EEXIST" || code === "ENOSPC" || code === "EACCES" || code === "EDQUOT" ? code : "EIO";
    throw new StoreError(known, `${what}: ${message}`, { cause: error });
  }
}
