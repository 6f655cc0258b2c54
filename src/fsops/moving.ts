/**
 * The mover of a run: which files it is asked to move, and when. The files are found on the backing, where nothing blocks.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { delay } from "../cli/cluster/local-cluster.js";
import { Random } from "../base/random.js";
import { FS1, type Line, type Run } from "../torture/run.js";

const FILES_AT_ONCE = 25;

/**
 * Until the run stops moving: migrations, premigrations and recalls of files drawn at random, asked for on any node. Every other
 * time only files are drawn on which somebody acts just then.
 */
export async function keepMoving(run: Run, directory: string, active: ReadonlySet<string>): Promise<void> {
  const random = new Random(run.seed + 1);
  const movers = run.nodes.map((node) => new Mover(run, run.cluster.socket(node)));
  while (!run.isEnding && run.isMoving) {
    const at = random.below(run.nodes.length);
    const all = filesBelow(join(run.cluster.backing(FS1), directory), random.chance(0.5) ? [...active] : [""]);
    const some = Array.from({ length: Math.min(FILES_AT_ONCE, all.length) }, () => random.pick(all));
    const verb = random.pick(["migrate", "migrate", "migrate", "premigrate", "recall"]);
    if (some.length > 0) await movers[at]!.move(verb, [...new Set(some)].map((path) => join(run.cluster.mountpoint(run.nodes[at]!, FS1), directory, path)));
    await delay(random.between(0, 150));
  }
}
/** Everything below the directory is made resident again. */
export async function recallAll(run: Run, directory: string): Promise<void> {
  const mover = new Mover(run, run.cluster.socket(run.nodes[0]!));
  const mountpoint = run.cluster.mountpoint(run.nodes[0]!, FS1);
  const refused = await mover.move("recall", filesBelow(join(run.cluster.backing(FS1), directory), [""]).map((path) => join(mountpoint, directory, path)));
  for (const [code, count] of Object.entries(refused)) run.problems.push(`recall of ${count} files at the end: ${code}`);
}

class Mover {
  readonly #run: Run;
  readonly #child;
  #answered: (line: Line) => void = () => {};

  constructor(run: Run, socket: string) {
    this.#run = run;
    this.#child = run.spawn([run.program("fsops", "mover.js"), socket, FS1], (line) => this.#answered(line));
    this.#child.on("exit", () => this.#answered({ changed: 0, refused: { gone: 1 } }));
  }
  /** How many were refused, by why. */
  async move(verb: string, paths: readonly string[]): Promise<Readonly<Record<string, number>>> {
    const answer = await new Promise<Line>((resolve) => {
      this.#answered = resolve;
      this.#child.stdin?.write(`${JSON.stringify([verb, ...paths])}\n`);
    });
    this.#run.count(`files: ${verb}`, Number(answer["changed"]));
    const refused = answer["refused"] as Record<string, number>;
    for (const [code, count] of Object.entries(refused)) this.#run.count(`files: ${verb} refused, ${code}`, count);
    return refused;
  }
}

/** Empty ones have nothing to move. */
function filesBelow(top: string, directories: readonly string[]): string[] {
  const found: string[] = [];
  const visit = (path: string) => {
    try {
      for (const entry of readdirSync(join(top, path), { withFileTypes: true })) {
        const inner = path === "" ? entry.name : `${path}/${entry.name}`;
        if (entry.isDirectory()) visit(inner);
        else if (entry.isFile() && statSync(join(top, inner)).size > 0) found.push(inner);
      }
    } catch {
      // It has gone, or been renamed, meanwhile.
    }
  };
  for (const directory of directories) visit(directory);
  return found;
}
