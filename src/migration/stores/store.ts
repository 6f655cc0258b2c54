/**
 * What a store of migrated files' bytes must do. Objects are whole files under names nobody can guess, each with a
 * manifest beside it that says whose bytes they are, so that catalog and namespace can be rebuilt from the store alone.
 *
 * Deleting is never immediate: `discard` writes into a ledger, `sweep` removes what has lain there long enough. A move
 * discards before it changes the record, so that no crash leaves an object that nobody knows of; should the change fail,
 * the object is still named by its file, and `sweep` keeps what its caller says is needed.
 *
 * Source    blueprint 8; safety C3 steps 2 and 3, H15.
 */
import type { DmCode } from "../../dmapi/errors.js";

export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: DmCode;
  constructor(code: DmCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Times are nanoseconds as decimal text; attribute values are base64; names and paths may be latin1 text of any bytes. */
export interface Manifest {
  readonly format: 1;
  readonly object: string;
  readonly handle: string;
  readonly fs: string;
  /** Where it was known to lie when it was copied; null when nobody said. */
  readonly path: string | null;
  readonly size: number;
  readonly checksum: { readonly algorithm: "sha256"; readonly value: string };
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atimeNs: string;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly copiedAt: string;
}
/** That an object is being made: what a restart goes by. */
export interface Intent {
  readonly object: string;
  readonly handle: string;
  readonly path: string | null;
  readonly verb: "migrate" | "premigrate" | "release";
  /** The session whose migrator makes it: several may share a store. */
  readonly session: number;
  readonly atMs: number;
}
export interface LedgerEntry {
  readonly object: string;
  /** Of the file whose bytes it has, or was to have. */
  readonly handle: string;
  readonly reason: string;
  readonly atMs: number;
}
/** Of a discarded object: a file names it after all, and it leaves the ledger; a file without a name is open yet, and it stays there. */
export type Need = "free" | "named" | "open-yet";
/** Notes of one kind; a damaged one is told of, stays as it is for people to look at, and is in nobody's way. */
export interface Notes<T> {
  readonly notes: readonly T[];
  readonly damaged: readonly StoreError[];
}
export interface Swept {
  readonly removed: number;
  /** Entries that stay for another time: damaged, or it could not be known whether they are needed. */
  readonly failures: readonly Error[];
}
export interface ObjectWriter {
  write(chunk: Uint8Array): Promise<void>;
  /** Everything on stable storage, under its final name. */
  finish(manifest: Manifest): Promise<void>;
  abandon(): Promise<void>;
}
export interface ObjectReader {
  readonly size: number;
  /** Bytes read; fewer than asked only at the end. */
  read(into: Uint8Array, offset: number): Promise<number>;
  close(): Promise<void>;
}

export interface Store {
  /** Names the store for ever, also when its place changes. */
  readonly identity: string;
  newObjectName(): string;
  noteIntent(intent: Intent): Promise<void>;
  clearIntent(object: string): Promise<void>;
  intents(): Promise<Notes<Intent>>;
  /** @throws StoreError EEXIST */
  create(object: string): Promise<ObjectWriter>;
  /** @throws StoreError ENOENT */
  open(object: string): Promise<ObjectReader>;
  /** For those who rebuild or verify; a recall needs none. @throws StoreError ENOENT; EIO unreadable. */
  manifest(object: string): Promise<Manifest>;
  /** Reads everything back. @throws StoreError ENOENT; EIO when bytes, size or manifest differ. */
  verify(object: string, expected: { readonly checksum: string; readonly size: number }): Promise<void>;
  /** Objects made for a file, discarded ones not counted. */
  objectsOf(handle: string): Promise<readonly string[]>;
  objects(): AsyncIterable<string>;
  /** Safe to repeat; an object that is not there is no error. `handle`: of the file it was for, who is asked before it goes. */
  discard(object: string, handle: string, reason: string, atMs: number): Promise<void>;
  ledger(): Promise<Notes<LedgerEntry>>;
  /** Removes what was discarded before `beforeMs` and is free; one that fails does not keep the others. */
  sweep(beforeMs: number, judge: (entry: LedgerEntry) => Promise<Need>): Promise<Swept>;
}
