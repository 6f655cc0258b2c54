/**
 * Migrating, premigrating and releasing one file, in exactly the order of safety C3.
 *
 * | step          | does                                                              | a crash after it leaves                  |
 * |---------------|-------------------------------------------------------------------|------------------------------------------|
 * | look          | record, mark, attributes                                          | nothing                                  |
 * | create-mark   | from here on the first writer on any node erases the mark         | a mark nobody uses                       |
 * | note-intent   | the store knows which object is being made for which file         | an intent without object                 |
 * | copy-out      | copy and checksum, no right held, given up when the mark is gone  | an object nobody names (by its intent)   |
 * | verify-object | on stable storage, read back, equal                               | the same                                 |
 * | take-right    | exclusive                                                         | a right that ends with its token         |
 * | flush         | all nodes write back, drop pages, drain, give guards back         | the same                                 |
 * | take-guard    | exclusive, on the descriptor                                      | the same; the guard ends with us         |
 * | compare       | mark ours, size and mtime unmoved, still linked                   | the same                                 |
 * | change-record | older object to the ledger; state, object, region, times in one   | a whole file with a region: recall works |
 * | punch         | frees the data                                                    | partly or wholly punched: recall works   |
 * | note-punched  | the record says so                                                | only an intent to clear                  |
 * | settle        | guard and right released, intent cleared                          | -                                        |
 *
 * Premigrating ends after change-record, which then sets the state only. Releasing a premigrated file takes its object and
 * its mark instead of making new ones; a changed file is refused. Repeating any of it goes on where the last one ended.
 */
import type { RecordChange } from "../../dmapi/record.js";
import { regionFlags } from "../../dmapi/regions.js";
import { type CopiedNote, type CopyNote, encodeNote, isCopyCurrent, type LookedAt, namesCopy, noteOf, STATE_ATTRIBUTE } from "../states.js";
import { ask, attempt, type Move, MoveFailure, type MoveOutcome } from "./steps.js";

export const migrateStepNames = [
  "look", "create-mark", "note-intent", "copy-out", "verify-object", "take-right", "flush", "take-guard", "compare",
  "change-record", "punch", "note-punched", "settle",
] as const;

export interface MigrateOptions {
  readonly verb: "migrate" | "premigrate" | "release";
  /** Name for the object, should one be made. */
  readonly newObject: string;
  /** Identity of the store. */
  readonly store: string;
  readonly nowMs: number;
  /** Events the file must raise from now on besides those of its region (destroy), and those of its file system's list. */
  readonly eventsWanted: number;
  readonly fsEventList: number;
}

export function* migrateSteps(options: MigrateOptions): Move<MoveOutcome> {
  const found = yield* ask("look", "read-record", {});
  const note = noteOf(found.record);
  refuseWhatIsNotOurs(found, note, options);
  if (found.record?.residency === "partial") return yield* finishPunch(note, options);
  if (isCopyCurrent(found) && namesCopy(note) && note.store === options.store) {
    if (options.verb === "premigrate") return { kind: "already", state: "premigrated", bytes: 0 };
    yield* ask("verify-object", "verify-object", { object: note.object, checksum: note.checksum, size: note.size });
    return yield* underRight(found, note, options);
  }
  if (options.verb === "release") {
    throw new MoveFailure("EBUSY", note?.state === "premigrated" ? "the file changed since it was copied; migrate it again" : "the file has no copy; migrate it");
  }
  return yield* copyAndMigrate(found, note, options);
}

function refuseWhatIsNotOurs(found: LookedAt, note: CopyNote | undefined, options: MigrateOptions): void {
  const { record, attributes } = found;
  if (attributes.type !== "file") throw new MoveFailure("EINVAL", "only regular files are migrated");
  if (attributes.nlink === 0) throw new MoveFailure("ENOENT", "the file was deleted");
  if (record?.residency === "partial" && !namesCopy(note)) throw new MoveFailure("EBUSY", "another application manages this file");
  if (record?.residency === "resident" && record.regions.length > 0) throw new MoveFailure("EBUSY", "the file has managed regions of another application");
  if (note?.isNoArchive === true && options.verb !== "release") throw new MoveFailure("EPERM", "the file is marked noarchive");
  if (note?.isPinned === true && options.verb !== "premigrate") throw new MoveFailure("EPERM", "the file is pinned");
  if (attributes.size === 0) throw new MoveFailure("ENODATA", "the file is empty: there is nothing to free");
}

function* copyAndMigrate(found: LookedAt, before: CopyNote | undefined, options: MigrateOptions): Move<MoveOutcome> {
  if (found.mark !== null) yield* ask("create-mark", "remove-mark", { nonce: found.mark });
  const mark = yield* ask("create-mark", "create-mark", {});
  const object = options.newObject;
  try {
    yield* ask("note-intent", "note-intent", { object });
    const copy = yield* ask("copy-out", "copy-out", { object, nonce: mark.nonce, size: mark.size });
    if (copy.size !== mark.size) throw new MoveFailure("ECANCELED", "the file's size changed while it was copied");
    yield* ask("verify-object", "verify-object", { object, checksum: copy.checksum, size: copy.size });
    const note: CopiedNote = {
      state: "premigrated", object, store: options.store, checksum: copy.checksum, size: copy.size, mtimeNs: mark.mtimeNs,
      copiedAtMs: options.nowMs, mark: mark.nonce, eventListBefore: found.record?.eventList ?? null, ...flagsOf(before),
    };
    const outcome = yield* underRight(found, note, options, { ...(namesCopy(before) ? { object: before.object } : {}), ctime: mark.ctime });
    return { ...outcome, kind: "done", bytes: copy.size };
  } catch (error) {
    if (!(error instanceof MoveFailure)) throw error;
    yield* abandonCopy(object, mark.nonce);
    throw error;
  }
}

/** The object goes to the ledger unless the record names it after all: a failed answer may hide a change that was made. */
function* abandonCopy(object: string, nonce: string): Move<void> {
  let found: LookedAt;
  try {
    found = yield* ask("settle", "read-record", {});
  } catch (error) {
    if (error instanceof MoveFailure && error.code === "ENOENT") yield* attempt("settle", "discard-object", { object, reason: "the file was deleted while it was copied" });
    return; // unknown: the intent stays, and whoever starts next decides
  }
  if (noteOf(found.record)?.object === object) return;
  yield* attempt("settle", "discard-object", { object, reason: "the file could not be migrated" });
  if (found.mark === nonce) yield* attempt("settle", "remove-mark", { nonce });
}

/**
 * What a fresh copy knows beyond its note: the object of older content that the record names until now (the ledger keeps
 * it should the change fail), and the ctime from before the mark, which users go on seeing.
 */
interface Fresh {
  readonly object?: string;
  readonly ctime: { readonly marked: bigint; readonly shown: bigint };
}
function* underRight(found: LookedAt, note: CopiedNote, options: MigrateOptions, fresh?: Fresh): Move<MoveOutcome> {
  yield* ask("take-right", "take-right", {});
  try {
    yield* ask("flush", "flush", {});
    yield* ask("take-guard", "take-guard", {});
    const expect = yield* compare(note);
    const ctime = fresh === undefined ? {} : { ctime: fresh.ctime };
    if (fresh?.object !== undefined) yield* ask("change-record", "discard-object", { object: fresh.object, reason: "the file changed and was copied again" });
    if (options.verb === "premigrate") {
      yield* ask("change-record", "change-record", { change: premigratedChange(found, note, options), ...expect });
    } else {
      yield* ask("change-record", "change-record", { change: migratedChange(found, note, options), ...expect, ...ctime });
      yield* ask("punch", "punch", {});
      yield* ask("note-punched", "change-record", { change: { attributes: attribute({ ...migrated(note), isPunched: true }) } });
    }
  } finally {
    yield* attempt("settle", "release-guard", {});
    yield* attempt("settle", "release-right", {});
  }
  yield* ask("settle", "clear-intent", { object: note.object });
  return { kind: "done", state: options.verb === "premigrate" ? "premigrated" : "migrated", bytes: 0 };
}

function* compare(note: CopiedNote): Move<{ expectMark: string; expect: { size: number; mtimeNs: bigint } }> {
  const { mark, mtimeNs } = note;
  if (mark === undefined || mtimeNs === undefined) throw new MoveFailure("ECANCELED", "the copy was made without a mark");
  const isUnbroken = yield* ask("compare", "check-mark", { nonce: mark });
  const { attributes } = yield* ask("compare", "read-record", {});
  if (attributes.nlink === 0) throw new MoveFailure("ENOENT", "the file was deleted");
  if (!isUnbroken || attributes.size !== note.size || attributes.mtimeNs !== mtimeNs) throw new MoveFailure("ECANCELED", "the file changed while it was migrated");
  return { expectMark: mark, expect: { size: note.size, mtimeNs } };
}

/** A region is there already: either all is done, or a crash came between the record and the end of the punch. */
function* finishPunch(note: CopyNote | undefined, options: MigrateOptions): Move<MoveOutcome> {
  if (!namesCopy(note)) throw new MoveFailure("EBUSY", "another application manages this file");
  if (note.isPunched === true) {
    yield* ask("settle", "clear-intent", { object: note.object });
    return { kind: "already", state: "migrated", bytes: 0 };
  }
  if (options.verb === "premigrate") throw new MoveFailure("EBUSY", "the file is being migrated");
  yield* ask("verify-object", "verify-object", { object: note.object, checksum: note.checksum, size: note.size });
  yield* ask("take-right", "take-right", {});
  try {
    yield* ask("flush", "flush", {});
    yield* ask("take-guard", "take-guard", {});
    const { record } = yield* ask("compare", "read-record", {});
    const now = noteOf(record);
    if (record?.residency !== "partial" || now?.object !== note.object) throw new MoveFailure("ECANCELED", "the file was recalled meanwhile");
    yield* ask("punch", "punch", {});
    yield* ask("note-punched", "change-record", { change: { attributes: attribute({ ...note, isPunched: true }) } });
  } finally {
    yield* attempt("settle", "release-guard", {});
    yield* attempt("settle", "release-right", {});
  }
  yield* ask("settle", "clear-intent", { object: note.object });
  return { kind: "done", state: "migrated", bytes: 0 };
}

function migratedChange(found: LookedAt, note: CopiedNote, options: MigrateOptions): RecordChange {
  const region = { offset: 0, size: 0, flags: regionFlags.read | regionFlags.write | regionFlags.truncate };
  return {
    residency: "partial", regions: [region], virtual: "capture", eventList: eventListFor(found, options),
    attributes: attribute({ ...migrated(note), isPunched: false }),
  };
}
function premigratedChange(found: LookedAt, note: CopiedNote, options: MigrateOptions): RecordChange {
  return { attributes: attribute(note), eventList: eventListFor(found, options) };
}
/** An own list hides the file system's, so it must contain it. */
function eventListFor(found: LookedAt, options: MigrateOptions): number {
  return ((found.record?.eventList ?? options.fsEventList) | options.eventsWanted) >>> 0;
}
function migrated(note: CopiedNote): CopiedNote {
  const { mark: _mark, ...rest } = note;
  return { ...rest, state: "migrated" };
}
function attribute(note: CopyNote): Record<string, Uint8Array> {
  return { [STATE_ATTRIBUTE]: encodeNote(note) };
}
function flagsOf(note: CopyNote | undefined): Pick<CopyNote, "isPinned" | "isNoArchive"> {
  return { ...(note?.isPinned === true ? { isPinned: true } : {}), ...(note?.isNoArchive === true ? { isNoArchive: true } : {}) };
}
