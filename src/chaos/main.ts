/**
 * `npm run chaos -- --minutes M --seed S [--nodes N] [--mode fast|exact] [--faults KIND,...] [--logs] [--verbose]`: real daemons on real mounts under
 * readers, writers, migrations, recalls and session calls, while nodes are killed and frozen, links cut, a volume filled,
 * managers lost and moved; then everything is healed, must come to rest, and the merged histories are judged by the
 * promises that the simulation checks.
 *
 * A seed fixes the schedule of faults; what meets what is the machine's doing. A failed run keeps its logs and says where.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { delay } from "../cli/cluster/local-cluster.js";
import { mountsBelow } from "../cli/cluster/mounts.js";
import { now, processesNaming, Run } from "../torture/run.js";
import { Chaos } from "./chaos.js";
import { Judge } from "./judge.js";
import { checkFiles, comeToRest, endMover, endSessions, tables } from "./rest.js";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" }, seed: { type: "string", default: "1" }, nodes: { type: "string", default: "5" }, mode: { type: "string" },
    /** Kinds of faults with commas between; absent: all. */
    faults: { type: "string" }, files: { type: "string", default: "60" }, verbose: { type: "boolean", default: false },
    /** Keep the logs also of a run that passes. */
    logs: { type: "boolean", default: false },
  },
});
const SHOWN_MAX = 30;
const STALL_NOTED_MS = 500;
const mode = options.mode === "fast" || options.mode === "exact" ? options.mode : Number(options.seed) % 2 === 1 ? "fast" : "exact";
const run = new Run({ name: "chaos", seed: Number(options.seed), files: Number(options.files), isVerbose: options.verbose });
const only = options.faults?.split(",") ?? [];
const chaos = new Chaos(run);
const judge = new Judge((holds, say) => {
  if (!holds) run.problems.push(say());
});

async function everything(): Promise<void> {
  await chaos.up(Number(options.nodes), mode);
  const endNs = now() + BigInt(Math.round(Number(options.minutes) * 60e9));
  const [migrator, moving] = chaos.begin();
  let isFaulting = true;
  const faulting = chaos.keepFaulting(endNs, only).finally(() => {
    isFaulting = false;
  });
  faulting.catch(() => {}); // told below
  while ((now() < endNs || isFaulting) && !run.isEnding && !run.isHopeless) {
    chaos.tend();
    await delay(20);
  }
  await faulting;
  if (run.isEnding) return;
  await comeToRest(chaos);
  judge.judge(chaos.history.inOrder());
  const atRest = chaos.history.length;
  judge.judgeTables(await tables(chaos));
  run.note(`${atRest} lines of history judged`);
  await endSessions(chaos);
  await moving;
  await checkFiles(chaos);
  await endMover(chaos, migrator!);
}

let kept = "";
/** What tells how it came about, without the files' bytes. */
function keepLogs(work: string): void {
  if (failures().length === 0 && !options.logs) return;
  kept = mkdtempSync(join(tmpdir(), `sluice-chaos-logs-seed${options.seed}-`));
  mkdirSync(join(kept, "nodes"));
  if (existsSync(join(work, "history.jsonl"))) cpSync(join(work, "history.jsonl"), join(kept, "history.jsonl"));
  const nodes = join(work, "cluster", "nodes");
  if (existsSync(nodes)) cpSync(nodes, join(kept, "nodes"), { recursive: true, filter: (path) => !/socket/.test(path) });
}
function failures(): string[] {
  return [...run.problems, ...run.oracle.violations];
}
function list(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, count]) => `${what}: ${count}`).join("; ");
}
function summary(values: readonly number[], aim: string): string {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return "not seen";
  const [least, median, most] = [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!].map((ms) => ms.toFixed(0));
  return `${median} ms median, ${least} to ${most} ms, ${sorted.length} times (aim ${aim})`;
}
function report(): void {
  const steady = [...chaos.unaffected].sort((a, b) => b.ms - a.ms)[0];
  for (const { node, ms, toNs } of chaos.unaffected.filter((each) => each.ms > STALL_NOTED_MS)) run.note(`an unaffected reader on ${node} stood still for ${ms.toFixed(0)} ms in the second before ${run.secondsAt(toNs).toFixed(1)} s`);
  const floor = Math.max(0, ...chaos.unaffected.map((each) => each.floorMs));
  process.stdout.write(`operations: ${list(judge.counts)}; ${list(run.counts)}; ${run.oracle.readsJudged} reads judged\n`);
  process.stdout.write(`faults: ${list(chaos.counts)}\n`);
  process.stdout.write(`takeover, kill to first answered call: ${summary(chaos.faults.takeoverMs, "below 1 s")}\n`);
  process.stdout.write(`assume to first re-offered event: ${summary(chaos.faults.reofferedMs, "below 100 ms")}\n`);
  process.stdout.write(`longest stall of an unaffected reader: ${steady === undefined ? "not seen" : `${steady.ms.toFixed(0)} ms on ${steady.node}`} (beside the mount: ${floor.toFixed(0)} ms)\n`);
}

for (const [name, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  process.on(name, () => void run.tidyUp().then(() => process.exit(code)));
}
try {
  await everything();
} catch (error) {
  if (!run.isEnding) run.problems.push(String(error instanceof Error ? error.stack : error));
}
if (run.isEnding) await new Promise(() => {}); // interrupted: the signal's handler ends it
await run.tidyUp(keepLogs);
for (const { pid, command } of processesNaming(run.work)) run.problems.push(`process ${pid} is left behind: ${command}`);
for (const { mountpoint } of mountsBelow(run.work)) run.problems.push(`${mountpoint} is left mounted`);
report();
const failed = failures();
for (const failure of failed.slice(0, SHOWN_MAX)) process.stdout.write(`FAILED: ${failure}\n`);
if (failed.length > 0) process.stdout.write(`again: npm run chaos -- --minutes ${options.minutes} --seed ${options.seed} --nodes ${options.nodes} --mode ${mode}${options.faults === undefined ? "" : ` --faults ${options.faults}`}${kept === "" ? "" : `   logs: ${kept}`}\n`);
if (failed.length === 0 && kept !== "") process.stdout.write(`logs: ${kept}\n`);
process.stdout.write(`${failed.length === 0 ? 1 : 0} passed, ${failed.length === 0 ? 0 : 1} failed\n`);
process.exit(failed.length === 0 ? 0 : 1);
