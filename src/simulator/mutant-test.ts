/**
 * Runs one test file of a compiled tree, or those of its tests whose name has some text in it, within a bound, and tells what
 * failed first and how. Tests with real daemons and mounts among them: what a run that was cut short leaves mounted is
 * detached, and what it started ends with it.
 *
 * Owns      the run's process group and temporary directory.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const reporter = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "scripts", "reporter.mjs");
const LIMIT_MS = 60_000;
/** From being asked to end to being killed. */
const LEAVE_MS = 5_000;

export type TestEnd =
  | { readonly kind: "passed" }
  | { readonly kind: "failed"; readonly test: string; readonly text: string }
  /** It cannot be run here, for want of root or a device. */
  | { readonly kind: "skipped"; readonly why: string };
/** A line of the reporter. */
interface Report {
  readonly name: string;
  readonly isPassed?: boolean;
  readonly skip?: string;
  readonly error?: string;
}

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) endGroup(child, "SIGKILL");
});

/** @param only text that the names of the wanted tests have. */
export async function runTest(file: string, only: string | undefined): Promise<TestEnd> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-trial-"));
  chmodSync(directory, 0o755); // ordinary users reach the mounts below
  try {
    const { code, output, isCutShort } = await run(file, only, directory);
    const reports = output.split("\n").filter((line) => line.startsWith(`{"name":`)).map((line) => JSON.parse(line) as Report).filter(({ name }) => name !== "");
    const failed = reports.find(({ isPassed }) => isPassed === false);
    if (failed !== undefined) return { kind: "failed", test: failed.name, text: failed.error ?? "" };
    if (isCutShort) return { kind: "failed", test: file, text: `did not end within ${LIMIT_MS / 1000} s` };
    if (code !== 0) return { kind: "failed", test: file, text: `ended with ${code}: ${output.slice(-2_000)}` };
    const skipped = reports.find(({ skip }) => skip !== undefined && !skip.includes("does not match pattern"));
    const hasRun = reports.some(({ skip }) => skip === undefined);
    if (!hasRun) return skipped?.skip === undefined ? { kind: "failed", test: file, text: `no test has "${only}" in its name` } : { kind: "skipped", why: skipped.skip };
    return { kind: "passed" };
  } finally {
    for (const mount of mountsBelow(directory).reverse()) spawnSync("umount", ["-i", "-l", "--", mount], { stdio: "ignore", cwd: "/" });
    if (mountsBelow(directory).length === 0) rmSync(directory, { recursive: true, force: true });
  }
}

function run(file: string, only: string | undefined, directory: string): Promise<{ code: number | string; output: string; isCutShort: boolean }> {
  const env: NodeJS.ProcessEnv = { ...process.env, TMPDIR: directory, SLUICE_NO_BUILD: "1" };
  for (const name of ["NODE_OPTIONS", "NODE_TEST_CONTEXT", "SLUICE_SOCKET"]) delete env[name]; // a test that runs this has told its children so
  const names = only === undefined ? [] : [`--test-name-pattern=${only.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&")}`];
  const args = ["--enable-source-maps", `--test-reporter=${reporter}`, "--test-reporter-destination=stdout", ...names, file];
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "pipe"], cwd: "/", detached: true });
  running.add(child);
  let output = "";
  let isCutShort = false;
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      isCutShort = true;
      endGroup(child, "SIGTERM");
      setTimeout(() => endGroup(child, "SIGKILL"), LEAVE_MS);
    }, LIMIT_MS);
    const done = (code: number | string) => {
      if (!running.has(child)) return;
      clearTimeout(limit);
      running.delete(child);
      endGroup(child, "SIGKILL"); // what it started and left
      resolve({ code, output, isCutShort });
    };
    child.once("error", reject);
    // "close" waits for whoever inherited the pipes: what was left behind must not hold the run up.
    child.once("exit", (code, signal) => setTimeout(() => done(code ?? signal ?? ""), 500));
    child.once("close", (code, signal) => done(code ?? signal ?? ""));
  });
}

function endGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // All of them have ended.
  }
}
function mountsBelow(directory: string): string[] {
  const places = readFileSync("/proc/self/mountinfo", "utf8").split("\n").map((line) => line.split(" ")[4] ?? "");
  return places.map((place) => place.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))).filter((place) => place.startsWith(`${directory}/`));
}
