/**
 * Waiting with a bound: tests look at state until it holds; none sleeps for a time that should be enough.
 *
 * Units     milliseconds.
 */
import assert from "node:assert/strict";
import { DmError } from "../dmapi/errors.js";

/** Twenty times what it takes on an idle machine, and more: a bound tells a hang, not a slow machine. */
export const BOUND_MS = 45_000;
/** The long sizes have more to do within each bound. */
const PATIENCE = process.env["SLUICE_TEST_LONG"] === "1" ? 15 : 1;
/** Soon at first; then seldom enough that looking costs nobody much, since four files wait at once on two processors. */
const FIRST_LOOK_MS = 10;
const LOOKS_APART_MAX_MS = 100;

/** Looks again and again until it holds; fails with what was last seen. */
export async function eventually(what: string, holds: () => Promise<boolean> | boolean, boundMs = BOUND_MS, seen: () => string = () => ""): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE * boundMs;
  for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(1.5 * pauseMs, LOOKS_APART_MAX_MS)) {
    let trouble = "";
    try {
      if (await holds()) return;
    } catch (error) {
      trouble = String(error);
    }
    if (performance.now() > giveUpAt) assert.fail(`not within ${PATIENCE * boundMs} ms: ${what}. ${trouble} ${seen()}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
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
