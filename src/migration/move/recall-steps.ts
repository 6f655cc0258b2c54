/**
 * Bringing one file back, in the order of safety C3: whoever waits gets the true bytes or an error, never zeros.
 *
 * | step          | does                                                            | a crash after it leaves               |
 * |---------------|-----------------------------------------------------------------|---------------------------------------|
 * | look          | not partial: nothing to do                                      | nothing                               |
 * | open-object   | the first bytes have arrived; until then nobody is held up      | nothing                               |
 * | take-right    | exclusive, under the event's token                              | a right that ends with its token      |
 * | take-guard    | exclusive, on the descriptor that will write                    | the guard ends with us                |
 * | look-again    | somebody else was faster: write nothing                         | nothing                               |
 * | copy-in       | all bytes, checksum compared                                    | true bytes or none under the region   |
 * | sync-file     | on stable storage, before the times                             | the same                              |
 * | restore-times | as they were (safety H12)                                       | the same                              |
 * | note-discard  | the object goes to the ledger                                   | the ledger keeps what a record names  |
 * | change-record | resident, no region, in one change                              | a resident file                       |
 * | give-back     | only when the volume is full: what was copied in is punched again | a whole or partial hole under the region |
 * | settle        | guard and right released                                        | -                                     |
 *
 * A region is never cleared while a byte under it is in doubt; a repeated recall overwrites whatever a cut-short one left.
 */
import type { RecordChange } from "../../dmapi/record.js";
import { type CopiedNote, type CopyNote, encodeNote, type LookedAt, namesCopy, noteOf, STATE_ATTRIBUTE } from "../states.js";
import { ask, attempt, isNoRoom, type Move, MoveFailure, type MoveOutcome } from "./steps.js";

export const recallStepNames = [
  "look", "open-object", "take-right", "take-guard", "look-again", "copy-in", "sync-file", "restore-times", "note-discard",
  "change-record", "settle",
] as const;

export interface RecallOptions {
  /** Identity of the store. */
  readonly store: string;
  /** The user truncates to nothing, so no byte is needed: the file is emptied instead. */
  readonly isEmptied?: boolean;
}
const ALREADY: MoveOutcome = { kind: "already", state: "resident", bytes: 0 };
const ATTEMPTS_MAX = 3;

export function* recallSteps(options: RecallOptions): Move<MoveOutcome> {
  for (let attemptNumber = 1; ; attemptNumber++) {
    const found = yield* ask("look", "read-record", {});
    if (isResident(found)) return ALREADY;
    const note = copyNamed(found, options);
    if (options.isEmptied !== true) {
      yield* ask("open-object", "open-object", { object: note.object, checksum: note.checksum, size: note.size });
    }
    const outcome = yield* underRight(note, options);
    if (outcome !== "another-object") return outcome;
    if (attemptNumber === ATTEMPTS_MAX) throw new MoveFailure("EAGAIN", "the file's object changed again and again");
  }
}

function* underRight(note: CopiedNote, options: RecallOptions): Move<MoveOutcome | "another-object"> {
  yield* ask("take-right", "take-right", {});
  try {
    yield* ask("take-guard", "take-guard", {});
    const now = yield* ask("look-again", "read-record", {});
    if (isResident(now)) return ALREADY;
    if (copyNamed(now, options).object !== note.object) return "another-object";
    if (options.isEmptied === true) yield* ask("copy-in", "empty-file", {});
    else yield* copyIn(now, note);
    const reason = options.isEmptied === true ? "the file was truncated to nothing" : "the file was recalled";
    yield* ask("note-discard", "discard-object", { object: note.object, reason });
    yield* ask("change-record", "change-record", { change: residentChange(note) });
  } catch (error) {
    // What was copied in would keep a full volume full, and the next recall needs it all the same.
    if (error instanceof MoveFailure && isNoRoom(error.code) && options.isEmptied !== true) yield* attempt("give-back", "punch", {});
    throw error;
  } finally {
    yield* attempt("settle", "release-guard", {});
    yield* attempt("settle", "release-right", {});
  }
  return { kind: "done", state: "resident", bytes: options.isEmptied === true ? 0 : note.size };
}

function* copyIn(now: LookedAt, note: CopiedNote): Move<void> {
  const { virtual } = now.record ?? {};
  const times = virtual ?? now.attributes;
  yield* ask("copy-in", "copy-in", { object: note.object, checksum: note.checksum, size: note.size });
  yield* ask("sync-file", "sync-file", {});
  yield* ask("restore-times", "restore-times", { atimeNs: times.atimeNs, mtimeNs: times.mtimeNs });
}

function isResident(found: LookedAt): boolean {
  return found.record?.residency !== "partial";
}
function copyNamed(found: LookedAt, options: RecallOptions): CopiedNote {
  const note = noteOf(found.record);
  if (!namesCopy(note)) throw new MoveFailure("EIO", "the record names no object: the file's bytes cannot be found");
  if (note.store !== options.store) throw new MoveFailure("EIO", `the file's object is in store ${note.store}, this migrator serves ${options.store}`);
  const size = found.record?.virtual?.size ?? found.attributes.size;
  if (size !== note.size) throw new MoveFailure("EIO", `the object has ${note.size} bytes, the file ${size}: refusing to guess`);
  return note;
}
function residentChange(note: CopiedNote): RecordChange {
  const { isPinned, isNoArchive } = note;
  const flags: CopyNote = { state: "resident", ...(isPinned === true ? { isPinned } : {}), ...(isNoArchive === true ? { isNoArchive } : {}) };
  const hasFlags = Object.keys(flags).length > 1;
  return {
    residency: "resident", regions: [], virtual: "drop",
    attributes: { [STATE_ATTRIBUTE]: hasFlags ? encodeNote(flags) : null },
    eventList: note.eventListBefore ?? null,
  };
}
