/**
 * `npm run torture -- --minutes M --seed S [--mode fast|exact] [--no-passthrough | --workers]`: files change between resident and migrated under three
 * kernels with caches, mappings, and dying and frozen daemons; no reader may see the hole, no writer be forgotten.
 *
 * Three daemons over one backing directory. On all nodes ordinary processes (actor.ts) read, hold, map, map-and-close and
 * execute; writers rewrite same-size content and put the time of change back; a mover migrates and recalls the same files
 * without pause; daemons are killed and frozen and come back. At the end everything is recalled and every byte compared.
 *
 * Not here  what is true of a read (oracle.ts); what a file should hold (content.ts).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { delay } from "../cli/cluster/local-cluster.js";
import { inspectContent } from "./content.js";
import { keepMigrator, keepMoving } from "./moving.js";
import { FS1, now, Run, settingsOf } from "./run.js";
import { Users } from "./users.js";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" }, seed: { type: "string", default: "1" }, mode: { type: "string" },
    files: { type: "string", default: "200" }, "no-faults": { type: "boolean", default: false }, "no-passthrough": { type: "boolean", default: false }, workers: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false }, keep: { type: "boolean", default: false },
  },
});
const mode = options.mode === "fast" || options.mode === "exact" ? options.mode : Number(options.seed) % 2 === 1 ? "fast" : "exact";
const run = new Run({ name: "torture", seed: Number(options.seed), files: Number(options.files), isVerbose: options.verbose });
const { random, oracle, problems, counts } = run;

async function keepFaulting(endNs: bigint): Promise<void> {
  while (!run.isEnding && now() < endNs - 12_000_000_000n) {
    await delay(random.between(2_000, 6_000));
    const node = random.pick(run.nodes);
    const kind = random.chance(0.5) ? "killed" : "frozen";
    const fault = run.beginFault(kind, node);
    if (kind === "frozen") {
      const ms = random.pick([500, 2_000, 5_000, 9_000]);
      run.note(`freeze ${node} ${ms} ms`);
      run.cluster.pause(node);
      await delay(ms);
      run.cluster.resume(node);
      await delay(1_000);
    } else {
      run.note(`kill ${node}`);
      await run.cluster.kill(node);
      await delay(random.pick([100, 2_000, 7_000]));
      await run.cluster.restart(node);
    }
    fault.untilNs = now();
    run.note(`${node} is back`);
  }
}

async function checkTheEnd(users: Users): Promise<void> {
  for (const node of run.nodes) await users.verify(node);
  for (let file = 0; file < run.sizes.length; file++) {
    const seen = inspectContent(readFileSync(join(run.cluster.backing(FS1), "t", `f${file}`)), file, 0);
    if (seen.wrong !== undefined) problems.push(`WRONG BYTES in the backing after all were read: ${seen.wrong}`);
  }
}

async function torture(): Promise<void> {
  await run.up({ nodes: 3, mode, ...settingsOf(options) });
  const users = new Users(run);
  await users.setup(run.nodes[0]!);
  for (const node of run.nodes) for (const role of ["reader", "mapper", "writer", "executor"] as const) users.add(role, node);
  const endNs = now() + BigInt(Math.round(Number(options.minutes) * 60e9));
  const migrator = keepMigrator(run);
  const moving = keepMoving(run);
  const faulting = options["no-faults"] ? Promise.resolve() : keepFaulting(endNs);
  while (now() < endNs && !run.isHopeless && !run.isEnding) {
    users.giveWork();
    oracle.judge(now() - 2_000_000_000n);
    await delay(20);
  }
  await faulting;
  for (let waited = 0; waited < 400 && users.isWriting; waited++) await delay(50);
  run.isMoving = false;
  await users.end();
  await moving;
  oracle.judge(now());
  await checkTheEnd(users);
  run.isMigratorWanted = false;
  await migrator;
}

process.on("SIGINT", () => void run.tidyUp().then(() => process.exit(130)));
process.on("SIGTERM", () => void run.tidyUp().then(() => process.exit(143)));
try {
  await torture();
} catch (error) {
  if (!run.isEnding) problems.push(String(error instanceof Error ? error.stack : error));
} finally {
  await run.tidyUp(() => {}, options.keep);
}
const failures = [...problems, ...oracle.violations];
const moved = counts["files migrated"] ?? 0;
if (failures.length === 0 && moved === 0) failures.push("nothing was ever migrated: the run proved nothing");
for (const failure of failures.slice(0, 30)) process.stdout.write(`FAILED: ${failure}\n`);
process.stdout.write(`torture: ${options.minutes} min, seed ${options.seed}, mode ${mode}: ${oracle.readsJudged} reads judged; ${JSON.stringify(counts)}\n`);
if (failures.length > 0) process.stdout.write(`again: npm run torture -- --minutes ${options.minutes} --seed ${options.seed} --mode ${mode}${options["no-passthrough"] ? " --no-passthrough" : ""}${options.workers ? " --workers" : ""}\n`);
process.stdout.write(`${failures.length === 0 ? 1 : 0} passed, ${failures.length === 0 ? 0 : 1} failed\n`);
process.exit(failures.length === 0 ? 0 : 1);
