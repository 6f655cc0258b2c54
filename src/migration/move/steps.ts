/**
 * A move of one file as a pure generator: it yields one request after the other, each under the name of its step, and is
 * given the result or (by `throw`) the failure. The executor performs requests with the SDK and a store; the simulator
 * performs the same ones on its modelled volume.
 *
 * Each step may be the last thing that ever happens: migrate-steps.ts and recall-steps.ts say what a crash after it leaves.
 *
 * Source    safety C3.
 */
import type { ResultOf } from "../../dmapi/calls.js";
import type { DmCode } from "../../dmapi/errors.js";
import type { RecordChange } from "../../dmapi/record.js";
import type { LookedAt } from "../states.js";

/** What a move asks for; arguments and result by name. All concern the one file of the move. */
export interface MoveCalls {
  "read-record": { args: Record<never, never>; result: LookedAt };
  "create-mark": { args: Record<never, never>; result: ResultOf<"mark.create"> };
  "check-mark": { args: { readonly nonce: string }; result: boolean };
  "remove-mark": { args: { readonly nonce: string }; result: undefined };
  /** The store notes durably that this object is being made for this file. */
  "note-intent": { args: { readonly object: string }; result: undefined };
  "clear-intent": { args: { readonly object: string }; result: undefined };
  /** Reads the file without any right; fails with ECANCELED as soon as the mark is gone. */
  "copy-out": { args: { readonly object: string; readonly nonce: string; readonly size: number }; result: { readonly checksum: string; readonly size: number } };
  /** Object and manifest on stable storage, then read back and compared. */
  "verify-object": { args: { readonly object: string; readonly checksum: string; readonly size: number }; result: undefined };
  /** Into the ledger: deleted later, never now. */
  "discard-object": { args: { readonly object: string; readonly reason: string }; result: undefined };
  "take-right": { args: Record<never, never>; result: undefined };
  "release-right": { args: Record<never, never>; result: undefined };
  "flush": { args: Record<never, never>; result: undefined };
  "take-guard": { args: Record<never, never>; result: undefined };
  "release-guard": { args: Record<never, never>; result: undefined };
  "change-record": {
    args: { readonly change: RecordChange; readonly expectMark?: string; readonly expect?: { readonly size: number; readonly mtimeNs: bigint }; readonly ctime?: { readonly marked: bigint; readonly shown: bigint } };
    result: undefined;
  };
  "punch": { args: Record<never, never>; result: undefined };
  /** The object is there, is the noted one, and its first bytes have arrived. */
  "open-object": { args: { readonly object: string; readonly checksum: string; readonly size: number }; result: undefined };
  /** Writes the whole object into the file by the guarded descriptor; fails with EIO when its checksum is another. */
  "copy-in": { args: { readonly object: string; readonly checksum: string; readonly size: number }; result: undefined };
  "empty-file": { args: Record<never, never>; result: undefined };
  "sync-file": { args: Record<never, never>; result: undefined };
  "restore-times": { args: { readonly atimeNs: bigint; readonly mtimeNs: bigint }; result: undefined };
}
export type MoveCall = keyof MoveCalls;
export type MoveRequest = {
  [K in MoveCall]: { readonly step: string; readonly call: K; readonly args: MoveCalls[K]["args"] };
}[MoveCall];
export type MoveResult<K extends MoveCall> = MoveCalls[K]["result"];
export type Move<T> = Generator<MoveRequest, T, unknown>;

/** An expected end of a move without success; also what an executor throws into it. */
export class MoveFailure extends Error {
  override readonly name = "MoveFailure";
  readonly code: DmCode;
  constructor(code: DmCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
/** A full volume, or a quota that is used up: the user is told which, and what was copied in is given back. */
export function isNoRoom(code: string | undefined): code is "ENOSPC" | "EDQUOT" {
  return code === "ENOSPC" || code === "EDQUOT";
}
export interface MoveOutcome {
  /** "already": there was nothing to do. */
  readonly kind: "done" | "already";
  readonly state: "resident" | "premigrated" | "migrated";
  /** Moved by this move. */
  readonly bytes: number;
}

/** One request, with its result's own type. */
export function* ask<K extends MoveCall>(step: string, call: K, args: MoveCalls[K]["args"]): Move<MoveResult<K>> {
  return (yield { step, call, args } as MoveRequest) as MoveResult<K>;
}

/** A request of a clean-up: whatever it says, the failure that led here is the one that counts. */
export function* attempt<K extends MoveCall>(step: string, call: K, args: MoveCalls[K]["args"]): Move<void> {
  try {
    yield { step, call, args } as MoveRequest;
  } catch (error) {
    if (!(error instanceof MoveFailure)) throw error;
  }
}
