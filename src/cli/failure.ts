/**
 * Failures as people at a terminal read them: what was asked, what was found, what to do; and the exit code.
 *
 * Units     exit codes: 0 done, 1 not done, 2 partly done.
 */
export const exitCodes = { done: 0, failed: 1, partly: 2 } as const;

/** An expected failure of a command. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly asked: string;
  readonly found: string;
  readonly next: string;
  readonly exitCode: number;
  constructor(failure: { asked: string; found: string; next: string; exitCode?: number }, options?: ErrorOptions) {
    super(`${failure.asked}: ${failure.found}. ${failure.next}`, options);
    this.asked = failure.asked;
    this.found = failure.found;
    this.next = failure.next;
    this.exitCode = failure.exitCode ?? exitCodes.failed;
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
