/**
 * `npm run simulate:mutants -- [--only TEXT,...] [--afresh] [--seed S] [--seeds N] [--within SECONDS] [--threads T] [--trace] [--record] [--rate N]`:
 * takes one safety rule after the other away (mutants.ts) and runs seeds until a promise breaks, at most N (2,000) for each,
 * or the test that ought to miss it. First each is tried with the seed that found it last (mutant-seeds.ts); those that it
 * finds no more are then looked for from seed S on, some seeds of each at a time, so that none takes all the time of the
 * others, and the new seed is told. `--afresh` looks for all of them from seed S on. `--within` ends the search; what was
 * not found by then is not found. `--record` notes what found each. `--rate N` runs N seeds of each, goes on after one has
 * found it, and says how many did.
 *
 * A fault of which the list says that it is open is only looked for when `--only` asks for it by name. The last line says
 * how many were planted and found, and how many could not be tried for want of root or /dev/fuse. Exit 0 only when every
 * other one that is not open was found.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mutantSeeds } from "./mutant-seeds.js";
import { type Found, NotTried, TrialTree } from "./mutant-trial.js";
import { type Mutant, mutants } from "./mutants.js";

const { values } = parseArgs({
  options: {
    only: { type: "string" }, seed: { type: "string", default: "1" }, seeds: { type: "string", default: "2000" }, within: { type: "string" },
    afresh: { type: "boolean", default: false }, trace: { type: "boolean", default: false }, record: { type: "boolean", default: false }, threads: { type: "string" }, rate: { type: "string" },
  },
});
/** Tried of one fault before it is another's turn. */
const SLICE = 12;

interface Search {
  readonly mutant: Mutant;
  /** Not tried yet, in this order. */
  seeds: readonly number[];
  tried: number;
  busyMs: number;
}

const beganMs = performance.now();
const endMs = beganMs + 1000 * Number(values.within ?? Number.POSITIVE_INFINITY);
const isOver = () => performance.now() > endMs;
const sweep = Array.from({ length: Number(values.seeds) }, (_, at) => Number(values.seed) + at);
const chosen = mutants.filter(({ name, open }) => (values.only === undefined ? open === undefined : values.only.split(",").some((text) => name.includes(text))));
const waiting: Search[] = chosen.map((mutant) => ({ mutant, seeds: seedsFor(mutant), tried: 0, busyMs: 0 }));
const seeds: Record<string, number> = { ...mutantSeeds };
let found = 0;
let notTried = 0;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));
const threads = values.threads === undefined ? Math.min(2, availableParallelism()) : Number(values.threads);
await Promise.all(Array.from({ length: Math.min(threads, chosen.length) }, work));
if (values.record) record();
console.log(`${((performance.now() - beganMs) / 1000).toFixed(0)} s, ${processorSeconds().toFixed(0)} s of processor time`);
const open = mutants.filter((mutant) => mutant.open !== undefined).length;
const missed = chosen.length - found - notTried;
console.log(`${chosen.length} planted faults, ${found} found, ${missed} not found${notTried === 0 ? "" : `, ${notTried} not tried`}${open === 0 || values.only !== undefined ? "" : `, ${open} more known to be open`}`);
process.exit(missed === 0 && found > 0 ? 0 : 1);

async function work(): Promise<void> {
  const tree = new TrialTree();
  for (let search = waiting.shift(); search !== undefined; search = waiting.shift()) await goOn(search, tree);
  tree.close();
}

/** The recorded seed alone, then a slice at a time, until it is found or nothing is left. */
async function goOn(search: Search, tree: TrialTree): Promise<void> {
  const { mutant, tried } = search;
  const timeIsUp = () => tell(search, `NOT FOUND by the end of the time, after at most ${search.tried} seeds (${mutant.rule})`);
  if (isOver()) return timeIsUp();
  const turn = search.seeds.slice(0, tried === 0 && rememberedSeed(mutant) !== undefined ? 1 : SLICE);
  const turnBeganMs = performance.now();
  let failure: Found | undefined;
  try {
    if (values.rate !== undefined && mutant.test === undefined) return await rate(mutant, tree);
    failure = await tree.try(mutant, { seeds: turn, isTracing: values.trace, isOver });
  } catch (error) {
    if (error instanceof NotTried) {
      notTried++;
      return tell(search, `NOT TRIED: ${error.message}`);
    }
    return tell(search, `NOT PLANTED: ${(error as Error).message}`);
  }
  search.busyMs += performance.now() - turnBeganMs;
  search.seeds = search.seeds.slice(turn.length);
  search.tried += turn.length;
  if (failure === undefined) {
    if (isOver()) timeIsUp();
    else if (search.seeds.length === 0) tell(search, `NOT FOUND by ${mutant.test === undefined ? `${search.tried} seeds` : "the test"} (${mutant.rule})${mutant.open === undefined ? "" : `: ${mutant.open}`}`);
    else waiting.push(search);
    return;
  }
  found++;
  if (failure.seed !== undefined) seeds[mutant.name] = failure.seed;
  for (const line of failure.trace) console.log(line);
  const remembered = rememberedSeed(mutant);
  const isStale = failure.seed !== undefined && remembered !== undefined && failure.seed !== remembered;
  const by = failure.seed === undefined ? "test" : `seed ${failure.seed}${isStale ? ` (seed ${remembered} finds it no more)` : ""}`;
  tell(search, `${by}: ${firstLines(failure.text)}`);
}

async function rate(mutant: Mutant, tree: TrialTree): Promise<void> {
  const by: number[] = [];
  let text = "";
  for (let left = sweep.slice(0, Number(values.rate)); left.length > 0; ) {
    const failure = await tree.try(mutant, { seeds: left, isOver });
    if (failure?.seed === undefined) break;
    by.push(failure.seed);
    text = firstLines(failure.text);
    left = left.slice(left.indexOf(failure.seed) + 1);
  }
  if (by.length > 0) {
    found++;
    seeds[mutant.name] = by[0]!;
  }
  console.log(`${mutant.name}: ${by.length} of ${values.rate} seeds found it (${by.slice(0, 8).join(", ")}): ${text}`);
}

function tell({ mutant, busyMs }: Search, line: string): void {
  const where = mutant.test === undefined ? `scene ${mutant.scene}${mutant.stress === undefined ? "" : ` (${mutant.stress})`}` : mutant.test;
  console.log(`${mutant.name}, ${where}, ${(busyMs / 1000).toFixed(1)} s: ${line}`);
}
function rememberedSeed({ name }: Mutant): number | undefined {
  return values.afresh ? undefined : mutantSeeds[name];
}
/** The one that found it last goes first, and counts as one of them. A test needs none. */
function seedsFor(mutant: Mutant): number[] {
  if (mutant.test !== undefined) return [0];
  const first = rememberedSeed(mutant);
  if (first === undefined) return sweep;
  return [first, ...sweep.filter((seed) => seed !== first)].slice(0, sweep.length);
}
/** An assertion brings its stack along. */
function firstLines(text: string): string {
  return text.split("\n").slice(0, 2).map((line) => line.trim()).join(" ").slice(0, 300);
}
/** With that of the tests, whose processes were waited for. proc(5): fields 14 to 17 of stat. */
function processorSeconds(): number {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const TICKS_PER_SECOND = 100; // USER_HZ, the same on every Linux
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}
function record(): void {
  const file = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "src", "simulator", "mutant-seeds.ts");
  const lines = mutants.flatMap(({ name, test }) => (test !== undefined || seeds[name] === undefined ? [] : [`  ${JSON.stringify(name)}: ${seeds[name]},`]));
  writeFileSync(file, `/**
 * Which seed found each planted fault when it was last looked for: a trial begins there. Written by
 * \`npm run simulate:mutants -- --record\`; a change of scenes or machines may make it untrue, which costs time and nothing else.
 */
export const mutantSeeds: Readonly<Record<string, number>> = {
${lines.join("\n")}
};
`);
}
