/**
 * Runs inputs in a thread of bounded memory and watches it: a failure, a crash, memory beyond the bound and a hang each
 * end the run with the seed and target that did it.
 *
 * Units     milliseconds; a hang is counted in processor time, so that a loaded machine makes none.
 */
import { Worker } from "node:worker_threads";
import { targets } from "./targets.js";
import type { Found, FuzzWork } from "./worker.js";

export interface Wanted {
  readonly firstSeed: number;
  readonly count: number;
  readonly forMs?: number;
  readonly only?: string | undefined;
}
export interface Outcome {
  readonly inputs: number;
  /** How many of them a decoder took. */
  readonly taken: number;
  readonly lastSeed: number;
  readonly found: (Found & { readonly replay: string }) | undefined;
}

const HEAP_MEGABYTES_MAX = 256;
const HANG_MS = 10_000;

export async function fuzz({ firstSeed, count, forMs = Number.POSITIVE_INFINITY, only }: Wanted): Promise<Outcome> {
  const place = new BigInt64Array(new SharedArrayBuffer(32));
  const work: FuzzWork = { place, firstSeed, count, only, forMs };
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: work, resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES_MAX } });
  const at = (error: string): Found => ({ seed: Number(place[0]), target: targets[Number(place[1])]?.name ?? "", error });
  let found: Found | undefined;
  let seen = place[2];
  let sinceMs = usedMs();
  const watch = setInterval(() => {
    if (place[2] !== seen) {
      seen = place[2];
      sinceMs = usedMs();
    } else if (usedMs() - sinceMs > HANG_MS) {
      found ??= at(`still at it after ${HANG_MS} ms of processor time`);
      void worker.terminate();
    }
  }, 200);
  await new Promise<void>((resolve) => {
    worker.on("message", (message: Found | undefined) => {
      found ??= message;
    });
    worker.on("error", (error) => {
      found ??= at(`the thread died: ${error.message}`);
    });
    worker.on("exit", () => resolve());
  });
  clearInterval(watch);
  const replay = found === undefined ? "" : `npm run fuzz -- --target ${found.target} --seed ${found.seed} --count 1`;
  return { inputs: Number(place[2]), taken: Number(place[3]), lastSeed: Number(place[0]), found: found === undefined ? undefined : { ...found, replay } };
}

function usedMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
