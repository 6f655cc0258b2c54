/**
 * `npm run fuzz -- --minutes M --seed S`: spoilt inputs for every decoder, as many as the time allows. Also
 * `--target NAME` for one of them and `--count N` for so many seeds; a failure prints the line that shows it again.
 */
import { parseArgs } from "node:util";
import { fuzz } from "./runner.js";
import { targets } from "./targets.js";

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { minutes: text, seed: text, count: text, target: text } });
const { minutes, seed, count, target } = values;
const numbers = [minutes, seed, count].map((word) => (word === undefined ? 1 : Number(word)));
if (numbers.some((number) => !Number.isFinite(number) || number < 0)) throw new Error("--minutes, --seed and --count are numbers");
if (target !== undefined && targets.every(({ name }) => name !== target)) throw new Error(`--target is one of ${targets.map(({ name }) => name).join(", ")}`);

const firstSeed = numbers[1]!;
const before = process.cpuUsage();
const { inputs, taken, lastSeed, found } = await fuzz({
  firstSeed, only: target, count: count === undefined ? Number.MAX_SAFE_INTEGER : numbers[2]!, ...(count !== undefined && minutes === undefined ? {} : { forMs: numbers[0]! * 60_000 }),
});
const used = process.cpuUsage(before);
const perSecond = Math.round((inputs * 1_000_000) / (used.user + used.system));
console.log(`${inputs} inputs (${perSecond} for each second of processor time), ${taken} of them taken, seeds ${firstSeed} to ${lastSeed}: ${found === undefined ? "every decoder held" : "FAILED"}`);
if (found !== undefined) {
  console.log(`${found.target}: ${found.error}\nagain: ${found.replay}`);
  process.exitCode = 1;
}
