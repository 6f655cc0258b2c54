/**
 * Starts a thread that runs seeds (worker.ts), with a compiler and a heap set for it.
 *
 * A scene runs through all of the product's machines, each function some hundred times in a seed: V8's optimizing compiler,
 * left as it is, takes a third of the processor time of a hundred seeds, most of it for functions that it inlines into
 * many others. It inlines less here, and waits for twice as many runs.
 *
 * Source    docs/performance.md, "The simulation".
 */
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";

const compilerFlags = ["--max-inlined-bytecode-size-cumulative=300", "--interrupt-budget=135000"];
/** What a history makes lives as long as the history: fewer, larger collections copy less. */
const YOUNG_GENERATION_MB = 96;

export function startSeedThread(script: string | URL, workerData: unknown): Worker {
  for (const flag of compilerFlags) setFlagsFromString(flag);
  return new Worker(script, { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB } });
}
