/**
 * One turn as its actor sees it: where the object and what is known of it lie, random numbers, and the trail of what was
 * done, which is written before each operation, so that also an operation that never ends is known.
 *
 * Files below `known` lie beside the file system that is judged: they are how what is known of an object is handed from one
 * actor to the next.
 */
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../base/random.js";
import { errno, errnoName } from "../os/errno.js";
import type { ObjectKind, TurnKind } from "./plan.js";
import { seedOf } from "./plan.js";

/** Where an actor works. */
export interface Seat {
  readonly directory: string;
  readonly label: string;
}
/** What an actor is told, as one line of JSON. */
export interface TurnOrder {
  readonly turn: number;
  readonly object: string;
  readonly objectKind: ObjectKind;
  readonly kind: TurnKind;
  readonly seed: number;
  readonly operations: number;
  /** Says that it is ready and waits for one more line before it begins. */
  readonly isTogether: boolean;
  /** How many act in this turn. */
  readonly actors: number;
}
/** What it answers. */
export type TurnAnswer =
  | { readonly kind: "ready"; readonly turn: number }
  | { readonly kind: "done"; readonly turn: number; readonly counts: Readonly<Record<string, number>>; readonly told?: string; readonly problem?: string };

/** The file system did not do what it should. */
export class Mismatch extends Error {}

export class Turn {
  readonly order: TurnOrder;
  /** Number of the actor; the last one, which reads the backing itself at the end, has the number of actors. */
  readonly actor: number;
  readonly random: Random;
  /** The object's directory in the file system that is judged. */
  readonly place: string;
  readonly known: string;
  /** The same directory where others see it, to tell of it when it is not as it should be. */
  readonly elsewhere: readonly { readonly label: string; readonly place: string }[];
  readonly counts: Record<string, number> = {};
  #doing = "";

  constructor(order: TurnOrder, actor: number, mounted: string, knowledge: string, elsewhere: readonly Seat[] = []) {
    this.order = order;
    this.actor = actor;
    this.random = new Random(seedOf(order.seed, actor));
    this.place = join(mounted, order.object);
    this.known = join(knowledge, order.object);
    this.elsewhere = elsewhere.map(({ label, directory }) => ({ label, place: join(directory, order.object) }));
  }

  /** Names an operation that begins now. */
  doing(kind: string, text = ""): void {
    this.#doing = `${kind} ${text}`.trim();
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    appendFileSync(join(this.known, "trail"), `turn ${this.order.turn} actor ${this.actor}: ${this.#doing}\n`);
  }
  fail(text: string): never {
    throw new Mismatch(`${this.#doing}: ${text}`);
  }
  /** @throws Mismatch unless `result`, by the convention of os/native.ts, is no error. */
  good(result: number, what: string): number {
    if (result < 0) this.fail(`${what}: ${errnoName(-result)}`);
    return result;
  }
  equal(found: unknown, expected: unknown, what: string): void {
    if (found !== expected) this.fail(`${what} is ${String(found)}, not ${String(expected)}`);
  }

  /** What is known by that name; `initial` when nothing is yet. */
  recall<T>(name: string, initial: T): T {
    const path = join(this.known, `${name}.json`);
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as T) : initial;
  }
  keep(name: string, value: object): void {
    const path = join(this.known, `${name}.json`);
    writeFileSync(`${path}.new`, JSON.stringify(value));
    renameSync(`${path}.new`, path);
  }
}

export { errno };
/** A place on the trail that tells bytes apart: where two pieces first differ, and how. */
export function difference(found: Uint8Array, expected: Uint8Array): string | undefined {
  const length = Math.min(found.length, expected.length);
  if (found.length === expected.length && Buffer.compare(found, expected) === 0) return undefined;
  for (let at = 0; at < length; at++) {
    if (found[at] === expected[at]) continue;
    let end = length;
    while (found[end - 1] === expected[end - 1]) end--;
    const piece = found.subarray(at, end);
    const nature = piece.every((byte) => byte === 0) ? "zeros" : `${Buffer.from(piece.subarray(0, 16)).toString("hex")}...`;
    return `bytes ${at} to ${end} are ${nature} in place of ${Buffer.from(expected.subarray(at, Math.min(end, at + 16))).toString("hex")}...`;
  }
  return `${found.length} bytes in place of ${expected.length}`;
}
