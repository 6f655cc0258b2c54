/**
 * What a seed makes of a run: the objects, and for each the sequence of its turns: who acts on it, in which way, drawing
 * from which seed. Nothing here depends on time, so an object has the same history in every run of a seed.
 *
 * Not here  what is done within a turn (data.ts, tree.ts, shared.ts), when turns are given (turns.ts).
 */
import { Random } from "../base/random.js";

/**
 * A *data* file and a *tree* of names belong to one process at a time. An *append* file, a file of *slices*, a *counter*
 * under a lock and a *directory* are used by all at once.
 */
export const objectKinds = ["data", "tree", "append", "slices", "counter", "directory"] as const;
export type ObjectKind = (typeof objectKinds)[number];
/** act: operations, each judged. check: everything is read and compared, nothing is changed. */
export type TurnKind = "act" | "check";

export interface ObjectPlan {
  /** Also its directory below the common one: `data3`. */
  readonly name: string;
  readonly kind: ObjectKind;
  readonly seed: number;
}
export interface TurnPlan {
  readonly number: number;
  readonly kind: TurnKind;
  /** By index; several begin together. */
  readonly actors: readonly number[];
  readonly seed: number;
  readonly operations: number;
}

const share: Readonly<Record<ObjectKind, number>> = { data: 24, tree: 8, append: 3, slices: 3, counter: 2, directory: 3 };

/** A seed from several numbers: equal ones give equal ones, near ones do not give near ones. */
export function seedOf(...parts: readonly number[]): number {
  let state = 0x811c9dc5;
  for (const part of parts) {
    state = Math.imul(state ^ (part >>> 0), 0x9e3779b1);
    state = Math.imul(state ^ (state >>> 15), 0x85ebca6b);
    state ^= state >>> 13;
  }
  return state >>> 0;
}

export function planObjects(seed: number, kinds: readonly ObjectKind[] = objectKinds): ObjectPlan[] {
  const all = objectKinds.flatMap((kind, at) => Array.from({ length: share[kind] }, (_, index) => ({ name: `${kind}${index}`, kind, seed: seedOf(seed, at, index) })));
  return all.filter(({ kind }) => kinds.includes(kind));
}

export function planTurn(object: ObjectPlan, number: number, actors: number): TurnPlan {
  const random = new Random(seedOf(object.seed, number, 1));
  const seed = seedOf(object.seed, number, 2);
  const everyone = Array.from({ length: actors }, (_, index) => index);
  if (object.kind === "data" || object.kind === "tree") {
    if (number === 0 || random.chance(0.75)) return { number, kind: "act", actors: [random.below(actors)], seed, operations: random.between(5, 40) };
    return { number, kind: "check", actors: everyone.filter((index) => index === number % actors || random.chance(0.4)), seed, operations: random.between(3, 10) };
  }
  const isCheck = number % 2 === 1;
  return { number, kind: isCheck ? "check" : "act", actors: everyone, seed, operations: isCheck ? 1 : random.between(10, 40) };
}
