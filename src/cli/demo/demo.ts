/**
 * `sluice demo`: plays the story on a real cluster, checks every step, and leaves nothing behind, also on Ctrl-C.
 *
 * Owns      the end: what is kept, what is said, the exit code.
 */
import { existsSync } from "node:fs";
import type { NodeId } from "../../dmapi/ids.js";
import { exitCodes, messageOf } from "../failure.js";
import { formatAge, printLine } from "../output.js";
import { Narrator } from "./narrator.js";
import { walkRequirements } from "./requirements.js";
import { Stage } from "./stage.js";
import { playStory } from "./story.js";
import { playWithoutMounts } from "./without-mounts.js";

/** As a shell reports a program that was interrupted. */
const INTERRUPTED = 130;

export interface DemoOptions {
  readonly isKept: boolean;
  readonly hasRequirements: boolean;
}

/** Gives the exit code. */
export async function playDemo(options: DemoOptions): Promise<number> {
  const missing = process.getuid?.() !== 0 ? "root" : existsSync("/dev/fuse") ? undefined : "/dev/fuse";
  if (missing !== undefined) {
    printLine(`skipped: real mounts and programs, migration, and the walk through the requirements, since there is no ${missing} here; sessions are shown on real daemons, files in process`);
  }
  const stage = new Stage();
  const say = new Narrator();
  let isInterrupted = false;
  const interrupt = (why: string) => {
    if (isInterrupted) return;
    isInterrupted = true;
    printLine(`\n${why}: taking everything down`);
    void takeDown(stage).then((isClean) => process.exit(isClean ? INTERRUPTED : exitCodes.failed));
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => interrupt(name));
  // Whoever reads our output has gone: nothing may be left behind then, either.
  process.stdout.removeAllListeners("error").on("error", () => interrupt("output closed"));
  let isGood = false;
  let home: NodeId | undefined;
  try {
    if (missing === undefined) {
      home = (await playStory(stage, say)).reader;
      if (options.hasRequirements) await walkRequirements(stage, say);
    } else await playWithoutMounts(stage, say);
    isGood = true;
  } catch (error) {
    if (isInterrupted) return new Promise(() => {}); // the handler above ends the process
    printLine(`\nThe demonstration failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    showLogs(stage);
  }
  const summary = `${say.checks} checks in ${formatAge(say.elapsedMs)}`;
  if (options.isKept && missing === undefined) {
    tellWhatToTry(stage, home);
    printLine(isGood ? `\nAll held: ${summary}.` : `\nFailed after ${summary}.`);
    return isGood ? exitCodes.done : exitCodes.failed;
  }
  const isClean = await takeDown(stage);
  printLine(isGood && isClean ? `\nAll held: ${summary}. Nothing is left behind.` : `\nFailed after ${summary}.`);
  return isGood && isClean ? exitCodes.done : exitCodes.failed;
}

async function takeDown(stage: Stage): Promise<boolean> {
  try {
    await stage.close();
    return true;
  } catch (error) {
    printLine(`Taking down failed: ${messageOf(error)}`);
    return false;
  }
}

function showLogs(stage: Stage): void {
  try {
    for (const id of stage.cluster.nodes) {
      const lines = stage.cluster.log(id).trimEnd().split("\n").slice(-15);
      printLine(`--- log of ${id}\n${lines.join("\n")}`);
    }
  } catch {
    // There is no cluster to tell about.
  }
}

/** `home`: the node that has the migration application's session, to be taken up again there. */
function tellWhatToTry(stage: Stage, home: NodeId | undefined): void {
  const { cluster } = stage;
  const first = home ?? cluster.nodes[0];
  printLine(`
The cluster goes on below ${stage.directory}. Try:
  export SLUICE_SOCKET=${cluster.socket(first!)}
  npx sluice cluster status --dir ${cluster.directory}
  npx sluice migrator run --fs fs1 --store ${stage.place("store")} &
  npx sluice ls -r ${stage.mount(first!, "fs1", "tree")}
  npx sluice migrate -r ${stage.mount(first!, "fs1", "tree", "medium")}
  npx sluice events tail fs2
  npx sluice waiters
  npx sluice cluster kill node2 --dir ${cluster.directory}
When you have seen enough:
  kill %1; npx sluice cluster down --dir ${cluster.directory}; rm -r ${stage.directory}`);
}
