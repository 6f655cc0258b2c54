/**
 * `npm run simulate:mutants -- [--only TEXT] [--seed S] [--seeds N] [--within SECONDS] [--trace] [--record] [--threads T]`:
 * takes one safety rule after the other away (mutants.ts) and runs seeds until a promise breaks, at most N (2,000) for each:
 * first the one that found it last (mutant-seeds.ts), then those from S on. Those with such a seed come first; `--within`
 * ends the search, and what was not found by then is missed. `--record` notes what found each.
 *
 * Prints which seed found it and what the checker said; the last line says how many were found and missed. Exit 0 only when
 * none was missed but those of which the list says that they are open.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mutantSeeds } from "./mutant-seeds.js";
import { TrialTree } from "./mutant-trial.js";
import { type Mutant, mutants } from "./mutants.js";

const { values } = parseArgs({
  options: {
    only: { type: "string" }, seed: { type: "string", default: "1" }, seeds: { type: "string", default: "2000" }, within: { type: "string" },
    trace: { type: "boolean", default: false }, record: { type: "boolean", default: false }, threads: { type: "string" },
  },
});
const beganMs = performance.now();
const endMs = beganMs + 1000 * Number(values.within ?? Number.POSITIVE_INFINITY);
const sweep = Array.from({ length: Number(values.seeds) }, (_, at) => Number(values.seed) + at);
const chosen = mutants.filter(({ name }) => values.only === undefined || values.only.split(",").some((text) => name.includes(text)));
const hasSeed = ({ name }: Mutant) => mutantSeeds[name] !== undefined;
const turnOf = (mutant: Mutant) => (hasSeed(mutant) ? 0 : mutant.open === undefined ? 1 : 2);
const waiting = [...chosen].sort((a, b) => turnOf(a) - turnOf(b));
const seeds: Record<string, number> = { ...mutantSeeds };
let found = 0;
let missed = 0;
let lost = 0;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));
const threads = values.threads === undefined ? Math.min(2, availableParallelism()) : Number(values.threads);
await Promise.all(Array.from({ length: threads }, work));
if (values.record) record();
const cpu = process.cpuUsage();
console.log(`${((performance.now() - beganMs) / 1000).toFixed(0)} s, ${((cpu.user + cpu.system) / 1e6).toFixed(0)} s of processor time`);
console.log(`${found} found, ${missed} missed`);
process.exit(lost === 0 && chosen.length > 0 ? 0 : 1);

async function work(): Promise<void> {
  const tree = new TrialTree();
  for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) await run(mutant, tree);
  tree.close();
}
async function run(mutant: Mutant, tree: TrialTree): Promise<void> {
  const mutantBeganMs = performance.now();
  const { name, rule, scene, stress, open } = mutant;
  let line: string;
  try {
    const failure = await tree.try(mutant, { seeds: seedsFor(name), isTracing: values.trace, isOver: () => performance.now() > endMs });
    for (const each of failure?.trace ?? []) console.log(each);
    if (failure === undefined) line = `MISSED (${rule})${open === undefined ? "" : `: ${open}`}`;
    else line = `seed ${failure.seed}: ${firstLines(failure.text)}`;
    if (failure !== undefined) {
      found++;
      seeds[name] = failure.seed;
    } else {
      missed++;
      if (open === undefined) lost++;
    }
  } catch (error) {
    missed++;
    lost++;
    line = `MISSED: ${(error as Error).message}`;
  }
  console.log(`${name}, scene ${scene}${stress === undefined ? "" : ` (${stress})`}, ${((performance.now() - mutantBeganMs) / 1000).toFixed(1)} s: ${line}`);
}
/** The one that found it last goes first, and counts as one of them. */
function seedsFor(name: string): number[] {
  const first = mutantSeeds[name];
  if (first === undefined) return sweep;
  return [first, ...sweep.filter((seed) => seed !== first)].slice(0, sweep.length);
}
/** An assertion brings its stack along. */
function firstLines(text: string): string {
  return text.split("\n").slice(0, 2).map((line) => line.trim()).join(" ").slice(0, 300);
}
function record(): void {
  const file = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "src", "simulator", "mutant-seeds.ts");
  const lines = mutants.flatMap(({ name }) => (seeds[name] === undefined ? [] : [`  ${JSON.stringify(name)}: ${seeds[name]},`]));
  writeFileSync(file, `/**
 * Which seed found each planted fault when it was last looked for: a trial begins there. Written by
 * \`npm run simulate:mutants -- --record\`; a change of scenes or machines may make it untrue, which costs time and nothing else.
 */
export const mutantSeeds: Readonly<Record<string, number>> = {
${lines.join("\n")}
};
`);
}
