/**
 * `npm run fsops -- --minutes M --seed S [--nodes N] [--mode fast|exact] [--processes P] [--kinds KIND,...] [--no-passthrough | --workers] [--restarts]
 * [--bare]`: random operations by several processes on several nodes, each result judged, while the files are moved out and back beneath
 * them; with `--restarts` while the daemons are killed and restarted, too.
 *
 * Every object has its own history, drawn from the seed and the same in each run of it (plan.ts); which histories meet when
 * is the machine's doing. At the end every process looks at everything, all files are recalled, and one more looks at what
 * then lies on the backing. With `--bare` there is no cluster: the processes work in one bare directory, which judges the
 * checker itself.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { delay } from "../cli/cluster/local-cluster.js";
import { keepMigrator } from "../torture/moving.js";
import { FS1, now, processesNaming, Run, settingsOf } from "../torture/run.js";
import { keepMoving, recallAll } from "./moving.js";
import { keepRestarting } from "./restarting.js";
import { objectKinds, type ObjectKind, planObjects } from "./plan.js";
import type { Seat } from "./turn.js";
import { Turns } from "./turns.js";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" }, seed: { type: "string", default: "1" }, nodes: { type: "string", default: "3" }, mode: { type: "string" },
    /** On each node. */
    processes: { type: "string", default: "2" },
    /** Only objects of these kinds. */
    kinds: { type: "string" },
    "no-moves": { type: "boolean", default: false }, "no-passthrough": { type: "boolean", default: false }, workers: { type: "boolean", default: false }, restarts: { type: "boolean", default: false }, bare: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false }, keep: { type: "boolean", default: false },
  },
});
const DIRECTORY = "fsops";
const PROBLEMS_MAX = 6;
const seed = Number(options.seed);
const mode = options.mode === "fast" || options.mode === "exact" ? options.mode : seed % 2 === 1 ? "fast" : "exact";
const run = new Run({ name: "fsops", seed, files: 0, isVerbose: options.verbose });
const knowledge = join(run.work, "known");

/** Processes take the nodes in turn. */
async function prepareSeats(): Promise<readonly Seat[]> {
  const count = Number(options.nodes) * Number(options.processes);
  if (options.bare) {
    const directory = join(run.work, "bare");
    mkdirSync(directory);
    return Array.from({ length: count }, (_, index) => ({ directory, label: `process ${index}` }));
  }
  await run.up({ nodes: Number(options.nodes), mode, isFastFailover: options.restarts, ...settingsOf(options) });
  mkdirSync(join(run.cluster.backing(FS1), DIRECTORY));
  return Array.from({ length: count }, (_, index) => {
    const node = run.nodes[index % run.nodes.length]!;
    return { directory: join(run.cluster.mountpoint(node, FS1), DIRECTORY), label: `${node} (process ${index})` };
  });
}

/** Which life each node lives: one that was evicted meanwhile lives another. */
async function lives(): Promise<readonly string[]> {
  if (options.bare || run.isEnding) return [];
  return await Promise.all(run.nodes.map(async (node) => `${node} ${await run.cluster.status(node).then(({ incarnation }) => incarnation, String)}`));
}

async function operate(): Promise<number> {
  mkdirSync(knowledge);
  const objects = planObjects(seed, (options.kinds?.split(",") ?? objectKinds) as readonly ObjectKind[]);
  const seats = await prepareSeats();
  const begun = await lives();
  const below = options.bare ? undefined : { directory: join(run.cluster.backing(FS1), DIRECTORY), label: "the backing" };
  const turns = new Turns(run, knowledge, seats, below);
  const isMoved = !options.bare && !options["no-moves"];
  const migrator = isMoved ? keepMigrator(run) : Promise.resolve();
  const moving = isMoved ? keepMoving(run, DIRECTORY, turns.active) : Promise.resolve();
  const restarting = !options.bare && options.restarts ? keepRestarting(run) : Promise.resolve();
  const acting = objects.map((object) => turns.keepOn(object));
  const endNs = now() + BigInt(Math.round(Number(options.minutes) * 60e9));
  while (now() < endNs && !run.isEnding && run.problems.length < PROBLEMS_MAX) await delay(50);
  turns.isOver = true;
  await Promise.all(acting);
  for (const object of objects) await turns.checkAtEnd(object);
  run.isMoving = false;
  await Promise.all([moving, restarting]);
  if (below !== undefined && !run.isEnding) {
    if (isMoved) await recallAll(run, DIRECTORY);
    await turns.checkBelow(objects, below);
  }
  run.isMigratorWanted = false;
  await migrator;
  if (run.problems.length > 0 && !options.restarts) for (const life of await lives()) if (!begun.includes(life)) run.problems.push(`incarnation meanwhile: ${life}`);
  for (const problem of await endedDaemons()) run.problems.push(problem);
  return turns.done;
}
/** What those said of it that have ended by themselves. */
async function endedDaemons(): Promise<readonly string[]> {
  if (options.bare || run.isEnding || run.problems.length === 0) return [];
  const told = run.nodes.map((node) => [node, run.cluster.log(node).split("\n")] as const);
  return told.flatMap(([node, lines]) => {
    const at = lines.findLastIndex((line) => line.includes(" ends: "));
    return at < 0 ? [] : [`${node} ${lines.slice(at, at + 12).join("\n    ")}`];
  });
}

for (const [name, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  process.on(name, () => void run.tidyUp().then(() => process.exit(code)));
}
let done = 0;
try {
  done = await operate();
} catch (error) {
  if (!run.isEnding) run.problems.push(String(error instanceof Error ? error.stack : error));
}
if (run.isEnding) await new Promise(() => {}); // interrupted: the signal's handler ends it
await run.tidyUp(() => {}, options.keep);
for (const { pid, command } of processesNaming(run.work)) run.problems.push(`process ${pid} is left behind: ${command}`);
const { problems, counts } = run;
if (problems.length === 0 && !options.bare && !options["no-moves"] && !((counts["files: migrate"] ?? 0) > 0)) problems.push("nothing was ever migrated: the run proved less than it says");
if (problems.length === 0 && options.restarts && (counts["daemons killed"] ?? 0) + (counts["daemons restarted"] ?? 0) === 0) problems.push("no daemon was ever restarted: the run proved less than it says");
for (const problem of problems) process.stdout.write(`FAILED: ${problem}\n`);
const told = Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, count]) => `${what} ${count}`).join(", ");
const operations = Object.entries(counts).filter(([what]) => !what.startsWith("files: ") && what.includes(": ")).reduce((sum, [, count]) => sum + count, 0);
process.stdout.write(`fsops: ${options.minutes} min, seed ${options.seed}, ${options.bare ? "bare" : `${options.nodes} nodes, mode ${mode}`}: ${done} turns, ${operations} operations judged; ${told}\n`);
if (problems.length > 0) {
  const also = [options.kinds === undefined ? "" : ` --kinds ${options.kinds}`, options["no-moves"] ? " --no-moves" : "", options["no-passthrough"] ? " --no-passthrough" : "", options.workers ? " --workers" : "", options.restarts ? " --restarts" : "", options.bare ? " --bare" : ""].join("");
  process.stdout.write(`again: npm run fsops -- --minutes ${options.minutes} --seed ${options.seed} --nodes ${options.nodes} --processes ${options.processes} --mode ${mode}${also}\n`);
}
process.stdout.write(`${problems.length === 0 ? 1 : 0} passed, ${problems.length === 0 ? 0 : 1} failed\n`);
process.exit(problems.length === 0 ? 0 : 1);
