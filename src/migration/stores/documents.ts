/**
 * What a store notes in files of its own: manifests, intents, the ledger, and who the store is. Read back they are
 * strangers' words: a file may be torn, damaged, foreign or far too long, and none of that may stop a migrator, lose an
 * object or make it free one that is needed. So each has a shape, a bound, and names the object that its file is called by.
 *
 * Not here  where the files lie (directory/), who is told of a damaged one (migrator.ts).
 * Source    safety H15.
 */
import { isCount, isRecord, isText, matching, oneOf, type Shape } from "../../base/shape.js";
import type { Intent, LedgerEntry, Manifest } from "./store.js";

/** A file's attributes stand in its manifest. */
export const MANIFEST_BYTES_MAX = 16 * 1024 * 1024;
/** A path, and little else. */
export const NOTE_BYTES_MAX = 64 * 1024;
export const SETTINGS_BYTES_MAX = 4096;

export interface StoreSettings {
  readonly format: 1;
  readonly identity: string;
}
/** What was read, or in words what is wrong with it. */
export type Decoded<T> = { readonly value: T } | { readonly fault: string };

const SHOWN_LENGTH_MAX = 60;
const handle = matching(/^[0-9a-f]{1,128}$/);
const time = matching(/^-?\d{1,20}$/);
const path: Shape = (value) => value === null || isText(value);
const moment: Shape = (value) => typeof value === "number";
const checksum: Shape = (value) => isRecord(value) && value["algorithm"] === "sha256" && typeof value["value"] === "string" && /^[0-9a-f]{64}$/.test(value["value"]);
const texts: Shape = (value) => isRecord(value) && Object.values(value).every(isText);

type Fields = Readonly<Record<string, Shape>>;
const manifestFields: Fields = {
  format: oneOf([1]), object: isText, handle, fs: isText, path, size: isCount, checksum, mode: isCount, uid: isCount, gid: isCount,
  atimeNs: time, mtimeNs: time, ctimeNs: time, attributes: texts, copiedAt: isText,
};
const intentFields: Fields = { object: isText, handle, path, verb: oneOf(["migrate", "premigrate", "release"]), session: isCount, atMs: moment };
const ledgerFields: Fields = { object: isText, handle, reason: isText, atMs: moment };
const settingsFields: Fields = { format: oneOf([1]), identity: matching(/^[0-9a-f]{1,64}$/) };

/** `object`: whose the file's name says it is. */
export function decodeManifest(text: string, object: string): Decoded<Manifest> {
  return ofObject(read<Manifest>(text, manifestFields), object);
}
export function decodeIntent(text: string, object: string): Decoded<Intent> {
  return ofObject(read<Intent>(text, intentFields), object);
}
export function decodeLedgerEntry(text: string, object: string): Decoded<LedgerEntry> {
  return ofObject(read<LedgerEntry>(text, ledgerFields), object);
}
export function decodeSettings(text: string): Decoded<StoreSettings> {
  return read<StoreSettings>(text, settingsFields);
}

function ofObject<T extends { readonly object: string }>(decoded: Decoded<T>, object: string): Decoded<T> {
  if ("fault" in decoded || decoded.value.object === object) return decoded;
  return { fault: `it is about object ${shown(decoded.value.object)}, not the one it is named after` };
}
/** Fields of ours only: what a later version says besides is not ours to keep. */
function read<T>(text: string, fields: Fields): Decoded<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { fault: text.trim() === "" ? "it is empty" : `it is no whole JSON document (${text.length} characters that begin with ${shown(text)})` };
  }
  if (!isRecord(value)) return { fault: `it holds ${shown(value)}` };
  const known: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(fields)) {
    const field = Object.hasOwn(value, name) ? value[name] : undefined;
    if (!shape(field)) return { fault: `its field "${name}" is ${shown(field)}` };
    known[name] = field;
  }
  return { value: known as T };
}
function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "a map";
  const text = typeof value === "string" ? JSON.stringify(value.slice(0, SHOWN_LENGTH_MAX)) : String(value);
  return value === undefined ? "missing" : text;
}
