/**
 * Whether anybody waits for a slow one: eight processes read 4 KiB and stat, alone, and then while a ninth waits for a disk that
 * takes two seconds for each block and a hundred others are held by events. The slow disk is the one under their own mount (the
 * eight find what they need in memory), or another file system's of the same daemon.
 *
 * Usage: fairness.js FILE_OPERATIONS_PROGRAM [ROUNDS] [COUNT]. Run it under `taskset -c 0`: every child inherits that.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect, type Event, regionFlags } from "../client/index.js";
import { SickDisk } from "../conformance/sick-disk.js";

const SLOW_MS = 2_000;
const HELD = 100;
const here = dirname(fileURLToPath(import.meta.url));
const command = join(here, "..", "..", "bin", "sluice.mjs");
const [program = "", rounds = "5", count = "3000"] = process.argv.slice(2);
const work = mkdtempSync(join(tmpdir(), "sluice-bench-"));

interface Cluster {
  nodes: { id: string; socket: string; mounts: { fs: string; mountpoint: string }[] }[];
}
function sluice(...args: string[]): string {
  return execFileSync(process.execPath, [command, ...args], { encoding: "utf8", maxBuffer: 1 << 24 });
}
const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
/** Not execFileSync: this process answers events meanwhile. */
async function nanoseconds(operation: string, place: string, times: string): Promise<number> {
  const child = spawn(program, [operation, place, times], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(child, "close")) as [number];
  if (code !== 0) throw new Error(`${operation} at ${place} ended with ${code}`);
  return Number(said);
}
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

async function measure(name: string, nodes: number, mode: string, slow: "own" | "other"): Promise<void> {
  const directory = join(work, name.replaceAll(/[^a-z]+/g, "-"));
  mkdirSync(directory);
  const disk = await SickDisk.open(join(directory, "disk"), join(directory, "slow"), 256);
  const other = join(directory, "quick");
  mkdirSync(other, { mode: 0o700 });
  const backings = slow === "own" ? [disk.mountpoint, other] : [other, disk.mountpoint];
  const run = join(directory, "c");
  try {
    const fileSystems = backings.flatMap((backing, index) => ["--fs", `fs${index + 1}=${backing}`]);
    const cluster = JSON.parse(sluice("cluster", "up", "--nodes", String(nodes), "--dir", run, "--mode", mode, "--json", ...fileSystems)) as Cluster;
    const node = cluster.nodes[0]!;
    const mountOf = (fs: string) => node.mounts.find((mount) => mount.fs === fs)!.mountpoint;
    const place = join(mountOf("fs1"), "place");
    mkdirSync(place);
    const slowMount = mountOf(slow === "own" ? "fs1" : "fs2");
    writeFileSync(join(slowMount, "cold"), Buffer.alloc(32 << 20, "c"));
    execFileSync(program, ["prepare-small", place, "1"]);
    writeFileSync(join(mountOf("fs1"), "held"), "x");
    const connection = await connect({ socket: node.socket });
    const session = await connection.createSession("fairness benchmark");
    await session.setDisposition("fs1", ["read"]);
    const fs = await connection.fileSystem("fs1");
    await session.object(fs.handleOf(join(mountOf("fs1"), "held"))).setRegions([{ offset: 0, size: 0, flags: regionFlags.read }]);
    // What the eight need stays in memory, whatever else goes on on the machine.
    const keeper = spawn(program, ["keep", join(backings[0]!, "place"), "1"], { stdio: ["pipe", "pipe", "inherit"] });
    await once(keeper.stdout, "data");
    await nanoseconds("look", place, count);
    const [quiet, disturbed]: [number[], number[]] = [[], []];
    for (let round = 0; round < Number(rounds); round++) {
      quiet.push(await nanoseconds("look", place, count));
      const readers = Array.from({ length: HELD }, () => spawn("head", ["-c1", join(mountOf("fs1"), "held")], { stdio: ["ignore", "ignore", "inherit"] }));
      const held: Event[] = [];
      while (held.length < HELD) held.push(...(await session.getEvents({ waitMs: 10_000 })));
      disk.forget("cold");
      disk.become(`slow ${SLOW_MS}`);
      const ninth = spawn("cat", [join(slowMount, "cold")], { stdio: ["ignore", "ignore", "inherit"] });
      disturbed.push(await nanoseconds("look", place, count));
      if (ninth.exitCode !== null) throw new Error("the ninth did not wait");
      process.stderr.write(`${name}: ${(quiet.at(-1)! / 1000).toFixed(1)}, ${(disturbed.at(-1)! / 1000).toFixed(1)} us\n`);
      disk.become("well");
      ninth.kill("SIGKILL");
      for (const event of held) await event.continue();
      await Promise.all([...readers, ninth].map(ended));
    }
    const [alone, beside] = [median(quiet), median(disturbed)];
    const lost = 100 * (1 - alone / beside);
    process.stdout.write(`| ${name} | ${(alone / 1000).toFixed(1)} us | ${(beside / 1000).toFixed(1)} us | ${lost.toFixed(0)} % |\n`);
    keeper.kill("SIGKILL");
    await ended(keeper);
    await session.setDisposition("fs1", []);
    await session.destroy();
    connection.close();
  } finally {
    disk.become("well");
    sluice("cluster", "down", "--dir", run);
    await disk.close();
  }
}

try {
  process.stdout.write("| | alone: a read and a stat | beside the slow one | lost |\n|---|---|---|---|\n");
  await measure("exact, own disk slow", 1, "exact", "own");
  await measure("exact, two nodes mount, own disk slow", 2, "exact", "own");
  await measure("fast, two nodes mount, own disk slow", 2, "fast", "own");
  await measure("exact, another file system's disk slow", 1, "exact", "other");
} finally {
  rmSync(work, { recursive: true, force: true });
}
