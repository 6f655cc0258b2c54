/**
 * Plants one fault in a copy of the compiled tree and runs seeds on it until a promise breaks.
 *
 * Each edit must match its file exactly once, whatever the white space, else the trial fails: a fault that is not there any
 * more must not count as one that was found. Nor does a seed count that fails without the fault as well. A copy serves one
 * trial after the other, each in a thread of its own, and goes when it is closed.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Edit, MissedByScene, MissedByTest, Mutant } from "./mutants.js";
import { startSeedThread } from "./seed-thread.js";
import type { Outcome } from "./worker.js";

const dist = join(dirname(fileURLToPath(import.meta.url)), "..");
/** What the simulator runs, directly or through what it runs. */
const folders = ["base", "dmapi", "cluster", "wire", "coordination", "volume", "migration", "client", "os", "promises", "simulator"];
const SCRIPT = join("simulator", "worker.js");
/** A seed that takes so long does not end at all. */
const SEED_LIMIT_MS = 120_000;

export interface Found {
  /** Undefined: a test of the product found it. */
  readonly seed: number | undefined;
  readonly text: string;
  readonly trace: readonly string[];
}
export interface TrialOptions {
  /** In this order, until one fails. */
  readonly seeds: readonly number[];
  readonly isTracing?: boolean;
  /** Begins no seed when that is over. */
  readonly isOver?: () => boolean;
}

/** The text with the fault in it. @throws Error when the place is not there, or not the only one. */
export function edited(text: string, edit: Edit): string {
  const pattern = edit.find.trim().split(/\s+/).map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("\\s+");
  const matches = text.match(new RegExp(pattern, "g"))?.length ?? 0;
  if (matches !== 1) throw new Error(`${edit.file}: ${matches} places match ${JSON.stringify(edit.find)}, exactly one is wanted`);
  return text.replace(new RegExp(pattern), () => edit.replace);
}
/** The compiled files of a mutant, by their path below dist. @throws Error as `edited`. */
export function plant(mutant: Mutant): Map<string, string> {
  const files = new Map<string, string>();
  for (const edit of mutant.edits) files.set(edit.file, edited(files.get(edit.file) ?? readFileSync(join(dist, edit.file), "utf8"), edit));
  return files;
}

/** A copy of the tree for trials, one at a time. */
export class TrialTree {
  readonly #root = mkdtempSync(join(tmpdir(), "sluice-mutant-"));
  readonly #remove = () => rmSync(this.#root, { recursive: true, force: true });

  constructor() {
    process.once("exit", this.#remove);
    for (const folder of folders) {
      cpSync(join(dist, folder), join(this.#root, "dist", folder), { recursive: true, filter: (path) => !/\.(d\.ts|map|test\.js)$/.test(path) });
    }
    cpSync(join(dist, "..", "package.json"), join(this.#root, "package.json"));
    for (const shared of ["node_modules", "src"]) symlinkSync(join(dist, "..", shared), join(this.#root, shared));
  }
  close(): void {
    process.off("exit", this.#remove);
    this.#remove();
  }

  /** Undefined when all seeds held, or fail without the fault as well; a fault that a test misses needs none. */
  async try(mutant: Mutant, options: TrialOptions): Promise<Found | undefined> {
    const files = plant(mutant);
    try {
      for (const [path, text] of files) writeFileSync(join(this.#root, "dist", path), text);
      if (mutant.test !== undefined) return await this.#failedTest(mutant);
      for (let { seeds } = options; seeds.length > 0; ) {
        const failure = await firstFailure(join(this.#root, "dist", SCRIPT), mutant, { ...options, seeds });
        if (failure?.seed === undefined || (await holdsWithout(mutant, failure.seed))) return failure;
        seeds = seeds.slice(seeds.indexOf(failure.seed) + 1);
      }
      return undefined;
    } finally {
      for (const path of files.keys()) cpSync(join(dist, path), join(this.#root, "dist", path));
    }
  }

  /** That it passes without the fault is said by `npm test`. */
  async #failedTest({ test, only }: MissedByTest): Promise<Found | undefined> {
    const file = join(this.#root, "dist", test);
    cpSync(join(dist, test), file);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env; // a test that runs this has told its children so
    const names = only === undefined ? [] : [`--test-name-pattern=${only}`];
    const child = spawn(process.execPath, ["--test-reporter=tap", ...names, file], { env, stdio: ["ignore", "pipe", "ignore"], timeout: SEED_LIMIT_MS });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    const failed = /^ *not ok \d+ - (.*)$/m.exec(text)?.[1];
    return code === 0 ? undefined : { seed: undefined, text: failed ?? `the test ends with ${code}`, trace: [] };
  }
}

const held = new Map<string, Promise<boolean>>();
/** Whether the seed holds in the tree as it is. */
function holdsWithout(mutant: MissedByScene, seed: number): Promise<boolean> {
  const key = `${mutant.scene} ${mutant.stress ?? ""} ${seed}`;
  const known = held.get(key) ?? firstFailure(join(dist, SCRIPT), mutant, { seeds: [seed] }).then((failure) => failure === undefined);
  held.set(key, known);
  return known;
}

function firstFailure(script: string, { scene, stress }: MissedByScene, { seeds, isTracing = false, isOver = () => false }: TrialOptions): Promise<Found | undefined> {
  const workerData = { seeds, scene, isTracing, ...(stress === undefined ? {} : { stress }) };
  const worker = startSeedThread(script, workerData);
  return new Promise((resolve, reject) => {
    let done = 0;
    let timer: NodeJS.Timeout;
    const end = (found: Found | undefined) => {
      clearTimeout(timer);
      void worker.terminate().then(() => resolve(found));
    };
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => end({ seed: seeds[done]!, text: "the seed does not end", trace: [] }), SEED_LIMIT_MS);
    };
    watch();
    worker.on("message", ({ seed, error, trace }: Outcome) => {
      if (error !== undefined) return end({ seed, text: error, trace: trace ?? [] });
      if (++done === seeds.length || isOver()) end(undefined);
      else watch();
    });
    worker.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}
