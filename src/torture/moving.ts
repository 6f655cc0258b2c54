/**
 * The migration application of a run and whoever asks it to move the users' files about, without pause.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { delay } from "../cli/cluster/local-cluster.js";
import type { NodeId } from "../dmapi/ids.js";
import { FS1, now, type Run } from "./run.js";

/**
 * The migration application: started again on its session's node while that lives, else wherever a daemon does, where it
 * assumes the failed session.
 */
export async function keepMigrator(run: Run): Promise<void> {
  let node: NodeId = run.random.pick(run.nodes);
  while (run.isMigratorWanted) {
    run.note(`migrator on ${node}`);
    const begun = now();
    const child = run.spawn([run.command, "migrator", "run", "--fs", FS1, "--store", run.store, "--socket", run.cluster.socket(node)]);
    let isOver = false;
    const ended = new Promise<void>((resolve) =>
      child.on("exit", () => {
        isOver = true;
        resolve();
      }),
    );
    while (!isOver && run.isMigratorWanted && !isLost(run, node)) await Promise.race([ended, delay(500)]);
    if (!isOver) child.kill("SIGTERM");
    await Promise.race([ended, delay(10_000)]);
    child.kill("SIGKILL");
    run.count("migrator runs");
    await delay(300);
    const wasShort = now() - begun < 2_000_000_000n;
    if (wasShort || run.isFaulted(node)) node = run.nodes[(run.nodes.indexOf(node) + 1) % run.nodes.length]!;
  }
}
/** A killed daemon is not waited for: its migrator begins again beside another. */
function isLost(run: Run, node: NodeId): boolean {
  return run.faults.some((fault) => fault.kind === "killed" && fault.node === node && fault.untilNs === undefined);
}

export async function keepMoving(run: Run): Promise<void> {
  for (let turn = 0; !run.isEnding && run.isMoving; turn++) {
    const sound = run.nodes.filter((id) => !run.isFaulted(id));
    const verb = run.random.chance(0.75) ? "migrate" : "recall";
    if (sound.length > 0) await moveSome(run, verb, run.random.pick(sound), join(run.work, `list-${turn % 4}`));
    await delay(50);
  }
}

async function moveSome(run: Run, verb: "migrate" | "recall", node: NodeId, list: string): Promise<void> {
  const names = new Set<string>();
  for (let i = 0; i < 30; i++) names.add(run.random.chance(0.1) ? `x${run.random.below(run.executables)}` : `f${run.random.below(run.sizes.length)}`);
  writeFileSync(list, `${[...names].map((name) => join(run.files(node), name)).join("\n")}\n`);
  const begun = now();
  const result = await run.sluice([verb, "--filelist", list, "--socket", run.cluster.socket(node), "--json"], run.moveTimeoutMs);
  run.count(`${verb} batch, exit ${result.code}`);
  const told = result.stdout.split("\n").filter((line) => line !== "");
  const seconds = Number(now() - begun) / 1e9;
  run.note(`${verb} on ${node}: exit ${result.code}, ${told.length} of ${names.size} files told of in ${seconds.toFixed(1)} s ${result.stderr.slice(0, 300)}`);
  for (const line of told) {
    if (/"state":"migrated"/.test(line)) run.count("files migrated");
    if (verb === "recall" && /"state":"resident"/.test(line)) run.count("files recalled");
    const failed = /"ok":false,"code":"(\w+)"/.exec(line);
    if (failed !== null) run.count(`${verb} refused, ${failed[1]}`);
  }
}
