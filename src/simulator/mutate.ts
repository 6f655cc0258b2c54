/**
 * `npm run simulate:mutants -- [--only TEXT] [--seed S] [--seeds N] [--trace] [--threads T]`: takes one safety rule after the other
 * away (mutants.ts) and runs seeds until a promise breaks, at most N (2,000) for each. Prints which seed found it and
 * what the checker said; the last line says how many were found and missed. Exit 0 only when none was missed.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { tryOut } from "./mutant-trial.js";
import { type Mutant, mutants } from "./mutants.js";

const { values } = parseArgs({
  options: { only: { type: "string" }, seed: { type: "string", default: "1" }, seeds: { type: "string", default: "2000" }, trace: { type: "boolean", default: false }, threads: { type: "string" } },
});
const options = { seed: Number(values.seed), seeds: Number(values.seeds), isTracing: values.trace };
const chosen = mutants.filter(({ name }) => values.only === undefined || name.includes(values.only));
const waiting = [...chosen];
let found = 0;
let missed = 0;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));
const threads = values.threads === undefined ? Math.min(2, availableParallelism()) : Number(values.threads);
await Promise.all(Array.from({ length: threads }, work));
console.log(`${found} found, ${missed} missed`);
process.exit(missed === 0 && chosen.length > 0 ? 0 : 1);

async function work(): Promise<void> {
  for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) await run(mutant);
}
async function run(mutant: Mutant): Promise<void> {
  const beganMs = performance.now();
  let line: string;
  try {
    const failure = await tryOut(mutant, options);
    for (const each of failure?.trace ?? []) console.log(each);
    if (failure === undefined) missed++;
    else found++;
    line = failure === undefined ? `MISSED by ${options.seeds} seeds (${mutant.rule})` : `seed ${failure.seed}: ${firstLines(failure.text)}`;
  } catch (error) {
    missed++;
    line = `MISSED: ${(error as Error).message}`;
  }
  console.log(`${mutant.name}, scene ${mutant.scene}, ${((performance.now() - beganMs) / 1000).toFixed(1)} s: ${line}`);
}
/** An assertion brings its stack along. */
function firstLines(text: string): string {
  return text.split("\n").slice(0, 2).map((line) => line.trim()).join(" ").slice(0, 300);
}
