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
import { type FileHandle, link, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { codeOfThrown } from "../../../dmapi/errors.js";
import {
  type Decoded, decodeIntent, decodeLedgerEntry, decodeManifest, decodeSettings, MANIFEST_BYTES_MAX, NOTE_BYTES_MAX, SETTINGS_BYTES_MAX,
} from "../documents.js";
import {
  type Intent, type LedgerEntry, type Manifest, type Need, type Notes, type ObjectReader, type ObjectWriter, type Store, StoreError, type Swept,
} from "../store.js";
import { checkedDirectory, type DirectoryStoreConfig } from "./config.js";

const NAME = /^[0-9a-f]{32}$/;
const SHARD = /^[0-9a-f]{2}$/;
const CHUNK = 1024 * 1024;

export async function openDirectoryStore(config: DirectoryStoreConfig): Promise<DirectoryStore> {
  const directory = checkedDirectory(config);
  for (const part of ["objects", "handles", "intents", "ledger"]) await mkdir(path.join(directory, part), { recursive: true, mode: 0o700 });
  const file = path.join(directory, "store.json");
  if (!(await isThere(file))) {
    const fresh = `${file}.${randomBytes(4).toString("hex")}`;
    await writeDurably(fresh, JSON.stringify({ format: 1, identity: randomBytes(8).toString("hex") }));
    await linkOnce(fresh, file);
  }
  const remedy = "restore it, or write the identity that migrated files name (sluice state shows it) into it again; without it nothing is moved, and nothing is lost";
  const settings = await readDocument(file, SETTINGS_BYTES_MAX, decodeSettings, remedy);
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
  intents(): Promise<Notes<Intent>> {
    return this.#readAll("intents", decodeIntent, "what was being moved then is whole and stays; look at the manifest of its object, then remove this file");
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
        const text = JSON.stringify(manifest, undefined, 1);
        if (Buffer.byteLength(text) > MANIFEST_BYTES_MAX) throw new StoreError("E2BIG", `the attributes of the file do not fit into a manifest of ${MANIFEST_BYTES_MAX} bytes`);
        await translated(file.sync().then(() => file.close()), `object ${object}`);
        await this.#index(manifest.handle, object);
        await writeDurably(`${target}.json`, text);
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

  manifest(object: string): Promise<Manifest> {
    const remedy = "recalls do without it; restore it from a copy of the store, or migrate the file anew";
    return readDocument(`${this.#object(object)}.json`, MANIFEST_BYTES_MAX, (text) => decodeManifest(text, object), remedy);
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
    const names = await namesIn(this.#handles(handle));
    return names.filter((name) => name.startsWith(`${handle}.`)).map((name) => name.slice(handle.length + 1)).filter((object) => NAME.test(object) && !discarded.has(object));
  }
  async *objects(): AsyncGenerator<string, void, undefined> {
    for (const shard of await readdir(path.join(this.#directory, "objects"))) {
      if (!SHARD.test(shard)) continue;
      for (const name of await namesIn(path.join(this.#directory, "objects", shard))) if (NAME.test(name)) yield name;
    }
  }

  async discard(object: string, handle: string, reason: string, atMs: number): Promise<void> {
    const entry: LedgerEntry = { object, handle, reason, atMs };
    await writeDurably(this.#in("ledger", object), JSON.stringify(entry));
    await this.clearIntent(object);
  }
  ledger(): Promise<Notes<LedgerEntry>> {
    return this.#readAll("ledger", decodeLedgerEntry, "its object stays in the store; remove this file when a file needs the object after all, or else both");
  }
  async sweep(beforeMs: number, judge: (entry: LedgerEntry) => Promise<Need>): Promise<Swept> {
    const { notes, damaged } = await this.ledger();
    const failures: Error[] = [...damaged];
    let removed = 0;
    for (const entry of notes) {
      if (entry.atMs >= beforeMs) continue;
      try {
        const need = await judge(entry);
        if (need === "open-yet") continue;
        if (need === "free") {
          await this.#remove(entry);
          removed += 1;
        }
        await rm(this.#in("ledger", entry.object), { force: true });
      } catch (error) {
        failures.push(error as Error);
      }
    }
    return { removed, failures };
  }
  async #remove({ object, handle }: LedgerEntry): Promise<void> {
    const target = this.#object(object);
    await rm(target, { force: true });
    await rm(`${target}.part`, { force: true });
    await rm(`${target}.json`, { force: true });
    await rm(path.join(this.#handles(handle), `${handle}.${object}`), { force: true });
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
  /** Names that are not of our making are not ours to read. */
  async #readAll<T>(part: "intents" | "ledger", decode: (text: string, object: string) => Decoded<T>, remedy: string): Promise<Notes<T>> {
    const notes: T[] = [];
    const damaged: StoreError[] = [];
    for (const name of (await readdir(path.join(this.#directory, part))).sort()) {
      const object = name.slice(0, -".json".length);
      if (!NAME.test(object) || !name.endsWith(".json")) continue;
      try {
        notes.push(await readDocument(this.#in(part, object), NOTE_BYTES_MAX, (text) => decode(text, object), remedy));
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (error.code !== "ENOENT") damaged.push(error); // gone meanwhile: another instance has dealt with it
      }
    }
    return { notes, damaged };
  }
}

/** A whole document of a bounded size. @throws StoreError ENOENT; EIO saying which file, what was found and what to do. */
async function readDocument<T>(file: string, bytesMax: number, decode: (text: string) => Decoded<T>, remedy: string): Promise<T> {
  const damaged = (fault: string): StoreError => new StoreError("EIO", `${file} cannot be used: ${fault}; ${remedy}`);
  // A pipe in its place must not hold anybody up.
  const opened = await translated(open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK), file);
  try {
    const { size } = await regular(opened, damaged);
    if (size > bytesMax) throw damaged(`it has ${size} bytes, ours have at most ${bytesMax}`);
    const decoded = decode(await translated(opened.readFile("utf8"), file));
    if ("fault" in decoded) throw damaged(decoded.fault);
    return decoded.value;
  } finally {
    await opened.close();
  }
}
async function regular(opened: FileHandle, damaged: (fault: string) => StoreError): Promise<{ readonly size: number }> {
  const found = await opened.stat();
  if (!found.isFile()) throw damaged("it is no regular file");
  return found;
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
/** Also when it cannot be read: then it is not to be made anew. */
async function isThere(file: string): Promise<boolean> {
  return (await lstat(file).catch((error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? undefined : error))) !== undefined;
}
async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new StoreError("EIO", `${directory}: ${error.message}`, { cause: error });
  });
}
async function translated<T>(work: Promise<T>, what: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { message } = error as Error;
    const code = codeOfThrown(error);
    const known = code === "ENOENT" || code === "EEXIST" || code === "ENOSPC" || code === "EACCES" || code === "EDQUOT" ? code : "EIO";
    throw new StoreError(known, `${what}: ${message}`, { cause: error });
  }
}
