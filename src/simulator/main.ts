/**
 * `npm run simulate -- --seeds N [--seed S] [--nodes M] [--scene NAME] [--trace] [--keep] [--threads T] [--within SECONDS]`: runs
 * N seeds from S on and prints, for each that breaks a promise, one line that replays it. Exit 0 only when all held. `--keep` goes on after
 * five failures; `--within` begins no seed after that time, and the last line says how many were run.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { sceneNames } from "./run-seed.js";
import type { Outcome } from "./worker.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1" }, seed: { type: "string", default: "1" }, nodes: { type: "string" }, threads: { type: "string" },
    scene: { type: "string" }, trace: { type: "boolean", default: false }, keep: { type: "boolean", default: false }, within: { type: "string" },
  },
});

function whole(name: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  console.error(`--${name} ${text}: a whole number from ${low} to ${high} is wanted`);
  process.exit(2);
}

const seeds = whole("seeds", values.seeds, 1, 100_000_000);
const first = whole("seed", values.seed, 0, 1_000_000_000);
const nodes = values.nodes === undefined ? undefined : whole("nodes", values.nodes, 3, 7);
const threads = Math.min(seeds, values.threads === undefined ? Math.min(8, availableParallelism()) : whole("threads", values.threads, 1, 64));
if (values.scene !== undefined && !sceneNames.includes(values.scene)) {
  console.error(`--scene ${values.scene}: there are ${sceneNames.join(", ")}`);
  process.exit(2);
}

const withinMs = values.within === undefined ? Number.POSITIVE_INFINITY : 1000 * whole("within", values.within, 1, 1_000_000);

const beganMs = performance.now();
let ran = 0;
const chunks = Array.from({ length: threads }, (_, thread) => Array.from({ length: Math.ceil((seeds - thread) / threads) }, (__, at) => first + thread + at * threads));
let failures = 0;
let simulatedMs = 0;
await Promise.all(chunks.map(runChunk));
const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
console.log(`${ran === seeds ? seeds : `${ran} of ${seeds}`} seeds from ${first}: ${failures === 0 ? "every promise held" : `${failures} failed`} (${seconds} s)`);
const { user, system } = process.cpuUsage();
const busyMs = (user + system) / 1000;
console.log(`${(simulatedMs / busyMs).toFixed(0)} simulated cluster-minutes per minute and core (${(busyMs / Math.max(1, ran)).toFixed(0)} ms of processor time a seed)`);
process.exit(failures === 0 ? 0 : 1);

function runChunk(seedsOfChunk: readonly number[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { isTracing: values.trace, ...(nodes === undefined ? {} : { nodes }), ...(values.scene === undefined ? {} : { scene: values.scene }) };
    const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: { ...options, seeds: seedsOfChunk }, resourceLimits: { maxYoungGenerationSizeMb: 96 } });
    worker.on("message", (outcome: Outcome) => {
      ran++;
      simulatedMs += outcome.simulatedMs;
      if (outcome.error === undefined) {
        if (performance.now() - beganMs > withinMs) void worker.terminate();
        return;
      }
      failures++;
      report(outcome);
      if (!values.keep && failures === 5) process.exit(1);
    });
    worker.on("error", reject);
    worker.on("exit", () => resolve());
  });
}

function report({ seed, scene, atMs, error, trace }: Outcome): void {
  for (const line of trace ?? []) console.log(line);
  console.log(`seed ${seed}, scene ${scene}, at ${atMs?.toFixed(1)} ms: ${error}`);
  const size = nodes === undefined ? "" : ` --nodes ${nodes}`;
  console.log(`replay: npm run simulate -- --seed ${seed}${size} --scene ${scene} --trace`);
}
