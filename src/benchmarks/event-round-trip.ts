/**
 * How long a user waits for an event that is answered at once: session on its own node, session on another node, and the
 * kernel's own floor for the same in the same run (a fanotify permission event answered by a small C program).
 *
 * Usage: event-round-trip.js FANOTIFY_FLOOR_PROGRAM [COUNT]. Run it under `taskset -c 0`: every child inherits that.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const command = join(here, "..", "..", "bin", "sluice.mjs");
const [floor = "", countText = "3000"] = process.argv.slice(2);
const ROUNDS = 3;
const work = mkdtempSync(join(tmpdir(), "sluice-bench-"));

interface Cluster {
  nodes: { id: string; socket: string; mounts: { mountpoint: string }[] }[];
}

function sluice(...args: string[]): string {
  return execFileSync(process.execPath, [command, ...args], { encoding: "utf8", maxBuffer: 1 << 24 });
}
function times(file: string, ...args: string[]): number[] {
  const numbers = execFileSync(file, args, { encoding: "utf8", maxBuffer: 1 << 24 }).trim().split("\n").map(Number);
  return numbers.slice(Math.floor(numbers.length / 10)).sort((a, b) => a - b); // the first tenth warms up
}
const at = (sorted: number[], share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]! / 1000;

function startResponder(socket: string, path: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(here, "responder.js"), socket, "fs1", path], { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    child.stdout.once("data", () => resolve(child));
    child.once("exit", (code) => reject(new Error(`the responder ended with ${code}`)));
  });
}

let responder: ChildProcess | undefined;
try {
  const cluster = JSON.parse(sluice("cluster", "up", "--nodes", "2", "--dir", join(work, "c"), "--mode", "exact", "--json")) as Cluster;
  const [one, two] = cluster.nodes;
  const name = "bench-file";
  writeFileSync(join(one!.mounts[0]!.mountpoint, name), "x".repeat(4096));
  const plain = join(work, "plain");
  writeFileSync(plain, "x".repeat(4096));
  responder = await startResponder(one!.socket, join(one!.mounts[0]!.mountpoint, name));
  const user = join(here, "user.js");
  for (const node of [one!, two!]) times(process.execPath, user, join(node.mounts[0]!.mountpoint, name), countText); // compiled code is what is measured
  const rows: { what: string; p50: number[]; p99: number[] }[] = [
    { what: "fanotify floor", p50: [], p99: [] }, { what: "local session", p50: [], p99: [] }, { what: "remote session", p50: [], p99: [] },
  ];
  for (let round = 0; round < ROUNDS; round++) {
    const samples = [
      times(floor, plain, countText),
      times(process.execPath, user, join(one!.mounts[0]!.mountpoint, name), countText),
      times(process.execPath, user, join(two!.mounts[0]!.mountpoint, name), countText),
    ];
    samples.forEach((sample, index) => {
      rows[index]!.p50.push(at(sample, 0.5));
      rows[index]!.p99.push(at(sample, 0.99));
    });
  }
  const median = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
  const base = median(rows[0]!.p50);
  for (const row of rows) {
    const p50 = median(row.p50);
    process.stdout.write(`${row.what.padEnd(16)} p50 ${p50.toFixed(1).padStart(8)} us   p99 ${median(row.p99).toFixed(1).padStart(8)} us   ${(p50 / base).toFixed(1)} x floor\n`);
  }
} finally {
  responder?.kill("SIGKILL");
  sluice("cluster", "down", "--dir", join(work, "c"));
  rmSync(work, { recursive: true, force: true });
}
