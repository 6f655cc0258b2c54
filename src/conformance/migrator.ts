/**
 * The migration application in a test: a process of its own, and the command's verbs.
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Bench, Letter, Program } from "./bench.js";
import { eventually, within } from "./waiting.js";

export const command = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "bin", "sluice.mjs");

/** Serves fs1 from the bench's store; returns when it owns the data events. `hear` is told all that it says. */
export async function startMigrator(
  bench: Bench, letter: Letter, environment: Readonly<Record<string, string>> = {}, more: readonly string[] = [], hear: (text: string) => void = () => {},
): Promise<Program> {
  const store = join(bench.directory, "store");
  mkdirSync(store, { recursive: true, mode: 0o700 });
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const socket = bench.cluster.socket(bench.id(letter));
  const program = bench.program("env", [...assignments, process.execPath, command, "migrator", "run", "--fs", "fs1", "--store", store, "--socket", socket, ...more]);
  let output = "";
  program.child.stdout?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    hear(chunk.toString());
  });
  await eventually("the migrator serves", async () => {
    if (!program.isOver) return output.includes("serving fs1");
    return assert.fail(`the migrator ended: ${output} ${(await program.end).errors}`);
  });
  return program;
}

/** Orderly; its session stays to be assumed. */
export async function stopMigrator(migrator: Program): Promise<void> {
  migrator.child.kill("SIGINT");
  const end = await within(migrator.end, "the migrator's orderly end");
  assert.equal(end.code, 0, end.errors);
}

/** The command, talking to the node of that letter. */
export function sluice(bench: Bench, letter: Letter, ...args: string[]): Promise<Buffer> {
  return bench.run(process.execPath, [command, ...args, "--socket", bench.cluster.socket(bench.id(letter))]);
}
