/**
 * Waiting with a bound: tests look at state until it holds; none sleeps for a time that should be enough.
 *
 * Units     milliseconds.
 */
import assert from "node:assert/strict";
import { DmError } from "../dmapi/errors.js";

export const BOUND_MS = 20_000;
/** The long sizes have more to do within each bound. */
const PATIENCE = process.env["SLUICE_TEST_LONG"] === "1" ? 15 : 1;
const LOOK_EVERY_MS = 25;

/** Looks again and again until it holds; fails with what was last seen. */
export async function eventually(what: string, holds: () => Promise<boolean> | boolean, boundMs = BOUND_MS, seen: () => string = () => ""): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE * boundMs;
  for (;;) {
    let trouble = "";
    try {
      if (await holds()) return;
    } catch (error) {
      trouble = String(error);
    }
    if (performance.now() > giveUpAt) assert.fail(`not within ${PATIENCE * boundMs} ms: ${what}. ${trouble} ${seen()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

export async function within<T>(work: Promise<T>, what: string, boundMs = BOUND_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${PATIENCE * boundMs} ms: ${what}`)), PATIENCE * boundMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** That a call is refused with exactly that code. */
export async function refused(code: string, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert(error instanceof DmError, `not a DM failure: ${String(error)}`);
    assert.equal(error.code, code, error.message);
    return true;
  });
}
