/**
 * Memory of a daemon whose kernel knows many objects: a backing with that many files, all looked at on one node after the other,
 * once where one node mounts, and where several do until each keeps what it may beside the others. Memory
 * is that of the whole process (anonymous, and shared with the holder), before and after, in MiB, and for each million.
 *
 * Usage: known-objects.js [COUNT] [MODE] [NODES]. COUNT is rounded up to thousands. Under memory pressure the kernel gives objects
 * back, so the machine must have some GiB to spare.
 */
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const EACH = 1_000;
/** Of names and attributes that are wanted of the others after a few looks. */
const LOOKS_BESIDE = 3;
const [count = "1000000", mode = "fast", nodeCount = "1"] = process.argv.slice(2);
const command = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "bin", "sluice.mjs");
const work = mkdtempSync(join(tmpdir(), "sluice-bench-known-"));
const run = join(work, "c");

interface Cluster {
  nodes: { pid: number; socket: string; mounts: { mountpoint: string }[] }[];
}
function sluice(...args: string[]): string {
  return execFileSync(process.execPath, [command, ...args], { encoding: "utf8", maxBuffer: 1 << 24 });
}
function memoryOf(pid: number): { anonymous: number; shared: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)![1]) / 1024;
  return { anonymous: of("RssAnon"), shared: of("RssShmem") };
}
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
const row = (what: string, { anonymous, shared }: ReturnType<typeof memoryOf>) => process.stdout.write(`| ${what} | ${anonymous.toFixed(0)} | ${shared.toFixed(0)} | ${(anonymous + shared).toFixed(0)} |\n`);

try {
  const backing = join(work, "backing");
  mkdirSync(backing, { mode: 0o700 });
  const directories = Math.ceil(Number(count) / EACH);
  for (let directory = 0; directory < directories; directory++) {
    mkdirSync(join(backing, `d${directory}`), { mode: 0o755 });
    for (let file = 0; file < EACH; file++) closeSync(openSync(join(backing, `d${directory}`, `some-file-${file}`), "w"));
  }
  const { nodes } = JSON.parse(sluice("cluster", "up", "--nodes", nodeCount, "--dir", run, "--mode", mode, "--json", "--fs", `fs1=${backing}`)) as Cluster;
  process.stdout.write("| | anonymous | shared | MiB |\n|---|---|---|---|\n");
  const objects = directories * (EACH + 1);
  const before = nodes.map(({ pid }) => memoryOf(pid));
  for (const [at, memory] of before.entries()) row(`node ${at + 1}: mounted`, memory);
  const looks = nodes.length === 1 ? 1 : LOOKS_BESIDE;
  for (const [at, { pid, mounts }] of nodes.entries()) {
    const sinceMs = processorMs(pid);
    for (let look = 0; look < looks; look++) execFileSync("find", [mounts[0]!.mountpoint, "-size", "+1G"], { encoding: "utf8" });
    row(`node ${at + 1}: all looked at`, memoryOf(pid));
    process.stdout.write(`${((1000 * (processorMs(pid) - sinceMs)) / (objects * looks)).toFixed(1)} us of its processor time for each look\n`);
  }
  await sleep(5_000); // descriptors that nobody used for a while are closed
  for (const [at, { pid, socket }] of nodes.entries()) {
    const after = memoryOf(pid);
    row(`node ${at + 1}: 5 s later`, after);
    const grown = after.anonymous + after.shared - before[at]!.anonymous - before[at]!.shared;
    const { counters } = JSON.parse(sluice("status", "--socket", socket, "--json")) as { counters: Record<string, number> };
    const told = ["inodes known", "objects kept by the kernel beside others", "objects others may keep"].map((name) => `${name}: ${counters[name] ?? 0}`);
    process.stdout.write(`${((grown * 1e6) / objects).toFixed(0)} MiB more for each million objects; ${told.join(", ")}\n`);
  }
} finally {
  try {
    sluice("cluster", "down", "--dir", run);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
