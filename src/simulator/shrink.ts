/**
 * Makes a failing history smaller: fewer nodes, then fewer of the numbered items of its scene (users, moves, calls, faults,
 * stops), as long as the same check fails. Leaving items out changes what comes after them, so a smaller history is another
 * one: it need not be the smallest, and often half of the items can go.
 *
 * Source    safety H13.
 */
import { runSeed } from "./run-seed.js";

export interface ShrinkStart {
  readonly seed: number;
  readonly scene: string;
  readonly nodes: number;
  readonly leftOut: readonly string[];
  readonly stress?: string;
}
export interface Shrunk {
  readonly nodes: number;
  readonly leftOut: readonly string[];
  readonly kept: readonly string[];
  readonly text: string;
  readonly tries: number;
}

const NODES_MIN = 3;
const TRIES_MAX = 300;

export function shrink(start: ShrinkStart, failure: { readonly text: string; readonly items: ReadonlyMap<string, number> }, run: typeof runSeed = runSeed): Shrunk {
  const check = checkOf(failure.text);
  let { nodes } = start;
  let { text } = failure;
  let tries = 0;
  const fails = (nodesNow: number, leftOut: readonly string[]): boolean => {
    if (tries >= TRIES_MAX) return false;
    tries++;
    const found = run({ ...start, nodes: nodesNow, leftOut });
    if (found === undefined || checkOf(found.text) !== check) return false;
    text = found.text;
    return true;
  };
  for (let fewer = NODES_MIN; fewer < nodes; fewer++) if (fails(fewer, start.leftOut)) nodes = fewer;
  const all = [...failure.items].flatMap(([kind, count]) => Array.from({ length: count }, (_, at) => `${kind} ${at + 1}`));
  let kept = all.filter((item) => !start.leftOut.includes(item));
  const without = (few: readonly string[]) => [...start.leftOut, ...all.filter((item) => !start.leftOut.includes(item) && !few.includes(item))];
  for (let size = Math.ceil(kept.length / 2); ; size = Math.ceil(size / 2)) {
    for (let from = 0; from < kept.length; ) {
      const fewer = [...kept.slice(0, from), ...kept.slice(from + size)];
      if (fails(nodes, without(fewer))) kept = fewer;
      else from += size;
    }
    if (size <= 1) break;
  }
  return { nodes, leftOut: without(kept), kept, text, tries };
}

/** Which check it was: what was said, without names and numbers. */
export function checkOf(text: string): string {
  return text.split("\n")[0]!.replaceAll(/\b[A-G]\b|[0-9]+/g, "").replaceAll(/[a-z]+@|object\S*|nonce\S*/g, "").slice(0, 160);
}
