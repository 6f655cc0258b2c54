/**
 * Plants one fault in a copy of the compiled tree and runs seeds on it until a promise breaks, or the test that must miss the rule.
 *
 * Each edit must match its file exactly once, whatever the white space, else the trial fails: a fault that is not there any
 * more must not count as one that was found. Nor does a seed or a test count that fails without the fault as well. A copy
 * serves one trial after the other, each in a thread or process of its own, and goes when it is closed.
 *
 * Not here  how a test is run and its end told (mutant-test.ts).
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runTest } from "./mutant-test.js";
import type { Edit, MissedByScene, MissedByTest, Mutant } from "./mutants.js";
import { startSeedThread } from "./seed-thread.js";
import type { Outcome } from "./worker.js";

const dist = join(dirname(fileURLToPath(import.meta.url)), "..");
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
    cpSync(dist, join(this.#root, "dist"), { recursive: true, filter: (path) => !/\.(d\.ts|map|test\.js)$/.test(path) });
    cpSync(join(dist, "..", "package.json"), join(this.#root, "package.json"));
    for (const shared of ["node_modules", "src"]) symlinkSync(join(dist, "..", shared), join(this.#root, shared));
  }
  close(): void {
    process.off("exit", this.#remove);
    this.#remove();
  }

  /**
   * Undefined when all seeds held, or fail without the fault as well; a fault that a test misses needs none.
   * @throws Error when there is no place for the fault, or it makes the test fail in another way than it ought to; NotTried.
   */
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

  async #failedTest(mutant: Mutant & MissedByTest): Promise<Found | undefined> {
    const { test, only, name, says } = mutant;
    const file = join(this.#root, "dist", test);
    cpSync(join(dist, test), file);
    const end = await runTest(file, only);
    if (end.kind === "skipped") throw new NotTried(end.why);
    if (end.kind === "passed") return undefined;
    // A fault that keeps its file from being loaded, say, is none that the test has found.
    if (!end.text.includes(says)) throw new Error(`the test fails, but does not say "${says}", which "${name}" is about: ${end.test}: ${end.text.slice(0, 2_000)}`);
    return (await passesWithout(mutant)) ? { seed: undefined, text: `"${end.test}" says ${JSON.stringify(says)}`, trace: [] } : undefined;
  }
}

/** The fault can only be missed where a test can run that cannot run here. */
export class NotTried extends Error {
  override readonly name = "NotTried";
}

const passed = new Map<string, Promise<boolean>>();
/** Whether the test passes in the tree as it is, so that its failure is the fault's. */
function passesWithout({ test, only }: MissedByTest): Promise<boolean> {
  const key = `${test} ${only ?? ""}`;
  const known = passed.get(key) ?? runTest(join(dist, test), only).then(({ kind }) => kind === "passed");
  passed.set(key, known);
  return known;
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
