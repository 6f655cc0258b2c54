/**
 * Assertions that stay on in production: a failed one is a bug of ours, never a caller's mistake, and is never caught.
 */
export class AssertionFailed extends Error {
  override readonly name = "AssertionFailed";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message);
}

/** For the end of an exhaustive `switch`: the compiler proves it is not reached. */
export function unreachable(value: never): never {
  throw new AssertionFailed(`unreachable: ${JSON.stringify(value)}`);
}
