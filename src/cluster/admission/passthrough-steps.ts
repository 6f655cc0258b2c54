/**
 * How a descriptor comes to be registered with the kernel, one step after the other; whoever runs them does each. What the
 * kernel then does on it nobody here sees, so all that makes it harmless stands before: the guard on that very descriptor,
 * the mark gone if the open may write, and a record, read under the guard, that leaves reads and writes to the kernel.
 *
 * Source    safety C2, C3.
 */
import type { FileRecord } from "../../dmapi/record.js";
import { mayPassThrough } from "./open-modes.js";

/**
 *   open      a descriptor for reading, or the one that a creation left
 *   guard     shared, on it, without waiting
 *   mark      removed
 *   record    read: its answer is what is stored
 *   register  BACKING_OPEN: its answer is the id
 *   close     the descriptor, and the lock with it
 */
export type RegisterStep = "open" | "guard" | "mark" | "record" | "register" | "close";
export interface StoredThen {
  readonly generation: number;
  readonly record: FileRecord | null;
}
/** Zero or more, or the negative errno; what is stored as the answer to "record". */
export type StepAnswer = number | StoredThen;
/** `stored` where it was read. */
export type Registration =
  | { readonly kind: "registered"; readonly id: number; readonly stored: StoredThen; readonly isMarkGone: boolean }
  | { readonly kind: "refused"; readonly errno: number; readonly stored: StoredThen | undefined };

export function* registerSteps(isWritable: boolean): Generator<RegisterStep, Registration, StepAnswer> {
  const opened = yield "open";
  if (failed(opened)) return { kind: "refused", errno: -opened, stored: undefined };
  const guarded = yield "guard";
  if (failed(guarded)) return yield* refuse(-guarded, undefined);
  if (isWritable) {
    const unmarked = yield "mark";
    if (failed(unmarked)) return yield* refuse(-unmarked, undefined);
  }
  const stored = yield "record";
  if (typeof stored === "number") return yield* refuse(-stored, undefined);
  if (!mayPassThrough(stored.record)) return yield* refuse(0, stored);
  const id = yield "register";
  if (typeof id !== "number" || id <= 0) return yield* refuse(failed(id) ? -id : 0, stored);
  return { kind: "registered", id, stored, isMarkGone: isWritable };
}
function failed(answer: StepAnswer): answer is number {
  return typeof answer === "number" && answer < 0;
}
function* refuse(errno: number, stored: StoredThen | undefined): Generator<RegisterStep, Registration, StepAnswer> {
  yield "close";
  return { kind: "refused", errno, stored };
}
