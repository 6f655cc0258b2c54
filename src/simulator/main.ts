/**
 * `npm run simulate -- --seeds N [--seed S] [--nodes M] [--scene NAME] [--stress NAME] [--trace] [--keep] [--threads T]
 * [--within SECONDS] [--shrink] [--without "user 3,fault 1"]`: runs N seeds from S on and prints, for each that breaks a promise, one line that replays it. Exit 0 only when all held. `--keep` goes on after
 * five failures; `--within` begins no seed after that time, and the last line says how many were run. `--stress` leans on that weak place (stress.ts)
 * instead of the one that the seed draws; `--without` leaves numbered items out; `--shrink` looks for a smaller history of
 * each that fails, and prints the line that replays that (shrink.ts).
 *
 * The last line: a simulated cluster-minute is a minute of virtual time of one whole cluster, of however many nodes (3 to 7), from its start until
 * it has come to rest after healing; the processor time is that of this process with all its threads, so with starting, compiling and collecting.
 *
 * `npm run simulate -- --scale [--nodes 10,30,100] [--sessions 10,100,1000]`: no faults, but sizes that grow (scale.ts).
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { sceneNames } from "./run-seed.js";
import { scale } from "./scale.js";
import { startSeedThread } from "./seed-thread.js";
import { shrink } from "./shrink.js";
import { stressNames } from "./stress.js";
import type { Outcome } from "./worker.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1" }, seed: { type: "string", default: "1" }, nodes: { type: "string" }, threads: { type: "string" },
    scene: { type: "string" }, trace: { type: "boolean", default: false }, keep: { type: "boolean", default: false }, within: { type: "string" },
    stress: { type: "string" }, without: { type: "string" }, shrink: { type: "boolean", default: false }, scale: { type: "boolean", default: false }, sessions: { type: "string" },
  },
});

function whole(name: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  console.error(`--${name} ${text}: a whole number from ${low} to ${high} is wanted`);
  process.exit(2);
}

if (values.scale) {
  const sizes = (name: "nodes" | "sessions", otherwise: string, low: number, high: number): number[] =>
    (values[name] ?? otherwise).split(",").filter((word) => word !== "").map((word) => whole(name, word, low, high));
  scale(sizes("nodes", "10,30,100,300", 4, 1_000), sizes("sessions", "10,100,1000,4000", 1, 4_000), (line) => console.log(line));
  process.exit(0);
}
const seeds = whole("seeds", values.seeds, 1, 100_000_000);
const first = whole("seed", values.seed, 0, 1_000_000_000);
const nodes = values.nodes === undefined ? undefined : whole("nodes", values.nodes, 3, 7);
const threads = Math.min(seeds, values.threads === undefined ? Math.min(8, availableParallelism()) : whole("threads", values.threads, 1, 64));
if (values.scene !== undefined && !sceneNames.includes(values.scene)) {
  console.error(`--scene ${values.scene}: there are ${sceneNames.join(", ")}`);
  process.exit(2);
}

if (values.stress !== undefined && !stressNames.includes(values.stress)) {
  console.error(`--stress ${values.stress}: there are ${stressNames.join(", ")}`);
  process.exit(2);
}
const leftOut = values.without?.split(",").map((name) => name.trim()) ?? [];
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
    const { scene, stress, trace } = values;
    const options = {
      isTracing: trace, leftOut, ...(nodes === undefined ? {} : { nodes }), ...(scene === undefined ? {} : { scene }), ...(stress === undefined ? {} : { stress }),
    };
    const worker = startSeedThread(new URL("./worker.js", import.meta.url), { ...options, seeds: seedsOfChunk });
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

function report({ seed, scene, atMs, error, trace, nodes: nodesMet, items }: Outcome): void {
  for (const line of trace ?? []) console.log(line);
  console.log(`seed ${seed}, scene ${scene}, at ${atMs?.toFixed(1)} ms: ${error}`);
  const stress = values.stress === undefined ? {} : { stress: values.stress };
  if (!values.shrink || scene === undefined || error === undefined || nodesMet === undefined || items === undefined) {
    return console.log(replayLine({ seed, scene, nodes, leftOut, ...stress }));
  }
  const least = shrink({ seed, scene, nodes: nodesMet, leftOut, ...stress }, { text: error, items });
  console.log(`after ${least.tries} tries: ${least.nodes} nodes, ${least.kept.length} of ${least.kept.length + least.leftOut.length - leftOut.length} items take part (${least.kept.join(", ")}): ${least.text}`);
  console.log(replayLine({ seed, scene, nodes: least.nodes, leftOut: least.leftOut, ...stress }));
}
function replayLine(run: { seed: number; scene: string | undefined; nodes: number | undefined; leftOut: readonly string[]; stress?: string }): string {
  const option = (name: string, value: unknown) => (value === undefined || value === "" ? "" : ` --${name} ${value}`);
  const without = run.leftOut.length === 0 ? "" : ` --without "${run.leftOut.join(",")}"`;
  return `replay: npm run simulate -- --seed ${run.seed}${option("nodes", run.nodes)}${option("scene", run.scene)}${option("stress", run.stress)}${without} --trace`;
}
