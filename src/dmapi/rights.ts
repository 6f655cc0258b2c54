/**
 * Access rights: what a token holds on an object, and how holders exclude each other and ordinary operations.
 *
 * Source    XDSM C429 chapter "Rights"; requirement R6 of the sibling on access rights.
 */
export type Right = "null" | "shared" | "exclusive";

const strength: Record<Right, number> = { null: 0, shared: 1, exclusive: 2 };
export function isAtLeast(held: Right, needed: Right): boolean {
  return strength[held] >= strength[needed];
}
/** Whether two different holders may have these at the same time. */
export function areCompatible(a: Right, b: Right): boolean {
  return a === "null" || b === "null" || (a === "shared" && b === "shared");
}
/** What an ordinary operation does to its object; `look` (stat, lookup, readdir) is never held. */
export type Access = "look" | "read" | "change";
/** Whether a right on the object stops an ordinary operation. */
export function fences(right: Right, access: Access): boolean {
  if (access === "look" || right === "null") return false;
  return right === "exclusive" || access === "change";
}
