/**
 * Thread that tries inputs one after the other and notes in shared memory where it is, so that whoever watches can say
 * which one it hung or died of.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Random } from "../base/random.js";
import { type Target, targets, tryInput } from "./targets.js";

export interface FuzzWork {
  /** Seed and index of the target of the input under way; then inputs tried and inputs taken. */
  readonly place: BigInt64Array;
  readonly firstSeed: number;
  readonly count: number;
  readonly only: string | undefined;
  /** For so long, in milliseconds, whatever the count. */
  readonly forMs: number;
}
export interface Found {
  readonly seed: number;
  readonly target: string;
  readonly error: string;
}

/** Room for what an input of some thousand bytes may make, and for garbage not collected yet. */
const BUFFER_BYTES_MAX = 192 * 1024 * 1024;
/** Looking costs more than most inputs. */
const LOOKS_EVERY = 256n;

/** Where a decoder refuses there is a stack to be written, which costs more than the refusal: only a failure has one. */
const STACK_LINES = 12;

function run({ place, firstSeed, count, only, forMs }: FuzzWork): Found | undefined {
  const untilMs = performance.now() + forMs;
  Error.stackTraceLimit = 0;
  for (let seed = firstSeed; seed < firstSeed + count && performance.now() < untilMs; seed++) {
    for (const [index, target] of targets.entries()) {
      if ((only !== undefined && only !== target.name) || seed % (target.every ?? 1) !== 0) continue;
      place[0] = BigInt(seed);
      place[1] = BigInt(index);
      try {
        const isTaken = tryInput(target, new Random(seed));
        place[2]! += 1n;
        if (isTaken) place[3]! += 1n;
        if (place[2]! % LOOKS_EVERY === 0n && process.memoryUsage().arrayBuffers > BUFFER_BYTES_MAX) throw new Error(`more than ${BUFFER_BYTES_MAX} bytes of buffers, after one of the last ${LOOKS_EVERY} inputs`);
      } catch (error) {
        return { seed, target: target.name, error: textOf(error, target, seed) };
      }
    }
  }
  return undefined;
}

/** Tried once more, for the stack. */
function textOf(first: unknown, target: Target, seed: number): string {
  Error.stackTraceLimit = STACK_LINES;
  try {
    tryInput(target, new Random(seed));
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  return first instanceof Error ? first.message : String(first);
}

parentPort!.postMessage(run(workerData as FuzzWork));
