/**
 * `npm run simulate -- --seeds N [--seed S] [--nodes M] [--scene NAME] [--trace]`: runs N seeds from S on and prints, for each that breaks a
 * promise, one line that replays it. Exit 0 only when all held.
 */
import { parseArgs } from "node:util";
import { runSeed, sceneNames, type SeedFailure } from "./run-seed.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1" }, seed: { type: "string", default: "1" }, nodes: { type: "string" },
    scene: { type: "string" }, trace: { type: "boolean", default: false }, keep: { type: "boolean", default: false },
  },
});

function whole(name: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  console.error(`--${name} ${text}: a whole number from ${low} to ${high} is wanted`);
  process.exit(2);
}

const seeds = whole("seeds", values.seeds, 1, 1_000_000_000);
const first = whole("seed", values.seed, 0, 1_000_000_000);
const nodes = values.nodes === undefined ? undefined : whole("nodes", values.nodes, 3, 7);
if (values.scene !== undefined && !sceneNames.includes(values.scene)) {
  console.error(`--scene ${values.scene}: there are ${sceneNames.join(", ")}`);
  process.exit(2);
}

const beganMs = performance.now();
let failures = 0;
for (let seed = first; seed < first + seeds; seed++) {
  const failure = runSeed({
    seed, isTracing: values.trace, ...(nodes === undefined ? {} : { nodes }), ...(values.scene === undefined ? {} : { scene: values.scene }),
  });
  if (failure === undefined) {
    continue;
  }
  failures++;
  report(seed, failure);
  if (!values.keep && failures === 5) break;
}
const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
console.log(`${seeds} seeds from ${first}: ${failures === 0 ? "every promise held" : `${failures} failed`} (${seconds} s)`);
process.exit(failures === 0 ? 0 : 1);

function report(seed: number, failure: SeedFailure): void {
  for (const line of failure.trace) console.log(line);
  const { error } = failure;
  const isBug = error.name !== "Violation";
  console.log(`seed ${seed}, scene ${failure.scene}, at ${failure.atMs.toFixed(1)} ms: ${isBug ? (error.stack ?? error.message) : error.message}`);
  const size = nodes === undefined ? "" : ` --nodes ${nodes}`;
  console.log(`replay: npm run simulate -- --seed ${seed}${size} --scene ${failure.scene} --trace`);
}
