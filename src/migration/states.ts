/**
 * Where a file's bytes are, as the migration application sees it: the state it writes into its DM attribute of the file's
 * record, and what it tells people.
 *
 * | state        | record     | regions            | attribute              | bytes in the backing file |
 * |--------------|------------|--------------------|------------------------|---------------------------|
 * | resident     | resident   | none               | none                   | all                       |
 * | premigrated  | resident   | none               | premigrated + its mark | all; the object too       |
 * | migrated     | partial    | one over the whole | migrated, punched      | none                      |
 * | partial      | partial    | one over the whole | migrated, not punched  | some (a punch cut short)  |
 *
 * A premigrated file needs no region: the mark is its change detector, which the first writer on any node erases (safety
 * C3). So a changed one is seen as resident and dirty at once, costs its writer nothing, and is never released.
 *
 * Source    blueprint 8; peers' words: IBM's states, Lustre's flags.
 */
import { Packr } from "msgpackr/pack";
import { faultOfPacked } from "../base/message-pack.js";
import { isCount, isFlag, isText, mapOf, oneOf, optional } from "../base/shape.js";
import type { FileAttributes } from "../dmapi/calls.js";
import type { FileRecord } from "../dmapi/record.js";

/** The 8 bytes "_SLCHSM_" as the record names attributes. */
export const STATE_ATTRIBUTE = "5f534c4348534d5f";

export type State = "resident" | "premigrated" | "migrated" | "partial";
export type Transient = "migrating" | "recalling";
export type Flag = "dirty" | "lost" | "pinned" | "noarchive";
/** The one-letter column of listings. */
export const stateLetters: Readonly<Record<State | Transient, string>> = {
  resident: "r", premigrated: "p", migrated: "m", partial: "P", migrating: "rm", recalling: "mr",
};

/** The attribute's content. */
export interface CopyNote {
  readonly state: "resident" | "premigrated" | "migrated";
  /** Name of the object in the store, with the store's own identity; absent while resident (flags only). */
  readonly object?: string;
  readonly store?: string;
  /** sha256 of the whole content, hexadecimal. */
  readonly checksum?: string;
  readonly size?: number;
  readonly mtimeNs?: bigint;
  readonly copiedAtMs?: number;
  /** Nonce of the mark under which the copy was made. */
  readonly mark?: string;
  /** The backing file's data has been freed, all of it. */
  readonly isPunched?: boolean;
  readonly isPinned?: boolean;
  readonly isNoArchive?: boolean;
  /** The object's own event list before ours was added: null had none. */
  readonly eventListBefore?: number | null;
}
/** A note that names a copy. */
export type CopiedNote = CopyNote & { readonly object: string; readonly store: string; readonly checksum: string; readonly size: number };

const packr = new Packr({ useRecords: false });

export function encodeNote(note: CopyNote): Uint8Array {
  return packr.pack(Object.fromEntries(Object.entries(note).filter(([, value]) => value !== undefined)));
}
/** Undefined when there is none or it is not ours to read. */
export function decodeNote(value: Uint8Array | undefined): CopyNote | undefined {
  if (value === undefined || faultOfPacked(value) !== undefined) return undefined;
  try {
    const note: unknown = packr.unpack(value);
    return isNote(note) ? (note as CopyNote) : undefined;
  } catch {
    return undefined;
  }
}
export function noteOf(record: FileRecord | null): CopyNote | undefined {
  return decodeNote(record?.attributes[STATE_ATTRIBUTE]);
}
export function namesCopy(note: CopyNote | undefined): note is CopiedNote {
  return note?.object !== undefined && note.store !== undefined && note.checksum !== undefined && note.size !== undefined;
}
const text = optional(isText);
const flag = optional(isFlag);
const isNote = mapOf({
  state: oneOf(["resident", "premigrated", "migrated"]), object: text, store: text, checksum: text, size: optional(isCount),
  mtimeNs: optional((value) => typeof value === "bigint"), copiedAtMs: optional((value) => typeof value === "number"), mark: text,
  isPunched: flag, isPinned: flag, isNoArchive: flag, eventListBefore: optional((value) => value === null || isCount(value)),
});

export interface LookedAt {
  readonly record: FileRecord | null;
  readonly mark: string | null;
  readonly attributes: FileAttributes;
}
/** Whether a premigrated file still has the content of its object. */
export function isCopyCurrent({ record, mark, attributes }: LookedAt): boolean {
  const note = noteOf(record);
  if (!namesCopy(note) || note.state !== "premigrated" || note.mark === undefined) return false;
  return mark === note.mark && attributes.size === note.size && attributes.mtimeNs === note.mtimeNs;
}

export interface StateReport {
  readonly state: State;
  readonly flags: readonly Flag[];
  readonly size: number;
  readonly residentBytes: number;
  readonly object?: string;
  readonly store?: string;
}
export function reportOf(found: LookedAt): StateReport {
  const { record, attributes } = found;
  const note = noteOf(record);
  const flags: Flag[] = [];
  let state: State = "resident";
  if (record !== null && record.residency === "partial") {
    state = note?.state === "migrated" && note.isPunched === true ? "migrated" : "partial";
    if (!namesCopy(note)) flags.push("lost");
  } else if (note?.state === "premigrated") {
    if (isCopyCurrent(found)) state = "premigrated";
    else flags.push("dirty");
  }
  if (note?.isPinned === true) flags.push("pinned");
  if (note?.isNoArchive === true) flags.push("noarchive");
  const size = record?.virtual?.size ?? attributes.size;
  const copy = namesCopy(note) ? { object: note.object, store: note.store } : {};
  return { state, flags, size, residentBytes: Math.min(size, attributes.blocks * 512), ...copy };
}
