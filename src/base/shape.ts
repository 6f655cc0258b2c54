/**
 * Whether a value that came from outside has the shape that its type promises. A shape is a predicate; fields it does not
 * name may be there too, so that a later version may say more.
 */
export type Shape = (value: unknown) => boolean;

export const isText: Shape = (value) => typeof value === "string";
export const isFlag: Shape = (value) => typeof value === "boolean";
/** A whole number from 0 up to 2^53. Not the zero with a sign, which nobody sends: packed again it would be another value. */
export const isCount: Shape = (value) => isWhole(value) && (value as number) >= 0;
export const isWhole: Shape = (value) => Number.isSafeInteger(value) && !Object.is(value, -0);
export const isBytes: Shape = (value) => value instanceof Uint8Array;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}
export function oneOf(words: Iterable<unknown>): Shape {
  const allowed = new Set(words);
  return (value) => allowed.has(value);
}
export function matching(pattern: RegExp): Shape {
  return (value) => typeof value === "string" && pattern.test(value);
}
/** May be absent. */
export function optional(shape: Shape): Shape {
  return (value) => value === undefined || shape(value);
}
export function listOf(shape: Shape): Shape {
  return (value) => Array.isArray(value) && value.every(shape);
}
export function mapOf(fields: Readonly<Record<string, Shape>>): Shape {
  const all = Object.entries(fields);
  return (value) => isRecord(value) && all.every(([name, shape]) => shape(value[name]));
}
/** Maps that say by the text in `tag` which shape is theirs. */
export function taggedBy(tag: string, shapes: Readonly<Record<string, Shape>>): Shape {
  return (value) => {
    const word = isRecord(value) ? value[tag] : undefined;
    return typeof word === "string" && Object.hasOwn(shapes, word) && shapes[word]!(value);
  };
}
