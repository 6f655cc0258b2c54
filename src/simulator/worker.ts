/**
 * A thread of the simulator: runs the seeds that it is given and tells each outcome.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type RunOptions, runSeed } from "./run-seed.js";

export interface Outcome {
  readonly seed: number;
  readonly simulatedMs: number;
  readonly scene?: string;
  readonly atMs?: number;
  readonly error?: string;
  readonly trace?: readonly string[];
  readonly nodes?: number;
  readonly items?: ReadonlyMap<string, number>;
}

const { seeds, ...options } = workerData as RunOptions & { readonly seeds: readonly number[] };
for (const seed of seeds) {
  let simulatedMs = 0;
  const passed = (ms: number) => {
    simulatedMs += ms;
  };
  const failure = runSeed({ ...options, seed, passed });
  const outcome: Outcome = failure === undefined ? { seed, simulatedMs } : { seed, simulatedMs, error: failure.text, ...failure };
  parentPort?.postMessage(outcome);
}
