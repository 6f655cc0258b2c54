/**
 * A thread of the simulator: runs the seeds that it is given and tells each outcome.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type RunOptions, runSeed } from "./run-seed.js";

export interface Outcome {
  readonly seed: number;
  readonly scene?: string;
  readonly atMs?: number;
  readonly error?: string;
  readonly trace?: readonly string[];
}

const { seeds, ...options } = workerData as RunOptions & { readonly seeds: readonly number[] };
for (const seed of seeds) {
  const failure = runSeed({ ...options, seed });
  const outcome: Outcome = failure === undefined ? { seed } : { seed, scene: failure.scene, atMs: failure.atMs, error: failure.text, trace: failure.trace };
  parentPort?.postMessage(outcome);
}
