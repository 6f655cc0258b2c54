/**
 * `npm run torture -- --minutes M --seed S [--mode fast|exact]`: files change between resident and migrated under three
 * kernels with caches, mappings, and dying and frozen daemons; no reader may see the hole, no writer be forgotten.
 *
 * Three daemons over one backing directory. On all nodes ordinary processes (actor.ts) read, hold, map, map-and-close and
 * execute; writers rewrite same-size content and put the time of change back; a mover migrates and recalls the same files
 * without pause; daemons are killed and frozen and come back. At the end everything is recalled and every byte compared.
 *
 * Not here  what is true of a read (oracle.ts); what a file should hold (content.ts).
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Random } from "../base/random.js";
import { inspectContent } from "./content.js";
import { Oracle } from "./oracle.js";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" }, seed: { type: "string", default: "1" }, mode: { type: "string" },
    files: { type: "string", default: "200" }, "no-faults": { type: "boolean", default: false },
    verbose: { type: "boolean", default: false }, keep: { type: "boolean", default: false },
  },
});
const seed = Number(options.seed);
const random = new Random(seed);
const mode = options.mode ?? (seed % 2 === 1 ? "fast" : "exact");
const top = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const command = join(top, "bin", "sluice.mjs");
const work = mkdtempSync(join(tmpdir(), "sluice-torture-"));
const clusterDir = join(work, "cluster");
const NODES = ["node1", "node2", "node3"] as const;
type Node = (typeof NODES)[number];
const EXECUTABLES = 6;
const sizes = Array.from({ length: Number(options.files) }, () => random.pick([700, 4096, 20_000, 70_000, 262_144, 524_288]));
const now = () => process.hrtime.bigint();

interface ClusterDocument {
  manager: string;
  nodes: { id: Node; pid: number; state: string; socket: string; mounts: { fs: string; mountpoint: string; backing: string }[] }[];
}
interface Fault { node: Node; kind: "killed" | "frozen"; fromNs: bigint; untilNs?: bigint }

const oracle = new Oracle();
const problems: string[] = [];
const faults: Fault[] = [];
const counts: Record<string, number> = {};
const children = new Set<ChildProcess>();
let cluster: ClusterDocument;
let isEnding = false;
let isMigratorWanted = true;
const count = (what: string) => {
  counts[what] = (counts[what] ?? 0) + 1;
};
const note = (text: string) => {
  if (options.verbose) process.stdout.write(`${((Number(now() - startedNs) / 1e9) | 0).toString().padStart(4)}s ${text}\n`);
};
const startedNs = now();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function sluice(args: string[], timeoutMs: number): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath, [command, ...args],
      { timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: 1 << 26, env: { ...process.env, SLUICE_NO_BUILD: "1" } },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr }),
    );
    children.add(child);
    child.on("exit", () => children.delete(child));
  });
}
async function clusterCall(...args: string[]): Promise<ClusterDocument> {
  const result = await sluice(["cluster", ...args, "--dir", clusterDir, "--json"], 90_000);
  if (result.code !== 0) throw new Error(`sluice cluster ${args.join(" ")}: ${result.code} ${result.stderr}${result.stdout}`);
  return JSON.parse(result.stdout) as ClusterDocument;
}
const nodeOf = (id: Node) => cluster.nodes.find((node) => node.id === id)!;
const isFaulted = (id: Node) => faults.some((fault) => fault.node === id && fault.untilNs === undefined);

/** Whether an error on that node can be blamed on its daemon having been killed or frozen lately. */
function isExplained(node: Node, code: string, fromNs: bigint): boolean {
  const graceNs = 20_000_000_000n;
  const deadMount = ["ENOTCONN", "ECONNABORTED", "ENODEV", "ESTALE", "EIO", "ENOENT", "SIGBUS", "SIGSEGV", "exit 2", "exit 126", "exit 127"];
  return faults.some(
    (fault) =>
      fault.node === node && fault.kind === "killed" && deadMount.includes(code) &&
      (fault.untilNs === undefined || fault.untilNs + graceNs > fromNs),
  );
}

class Actor {
  readonly role: string;
  readonly node: Node;
  busyFile: number | undefined;
  begunNs = 0n;
  child: ChildProcess;
  constructor(role: string, node: Node, number: number) {
    this.role = role;
    this.node = node;
    this.child = this.#begin(number);
  }

  #begin(number: number): ChildProcess {
    const mountpoint = nodeOf(this.node).mounts[0]!.mountpoint;
    const args = [join(top, "dist", "torture", "actor.js"), this.role, join(mountpoint, "t"), String(seed * 1000 + number), JSON.stringify(sizes), String(EXECUTABLES)];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"], cwd: "/" });
    child.stdin.on("error", () => {});
    createInterface(child.stdout).on("line", (line) => this.#hear(JSON.parse(line) as Record<string, unknown>));
    child.on("exit", (code, signal) => {
      if (isEnding) return;
      if (this.busyFile !== undefined) {
        oracle.writeEnded({ file: this.busyFile, version: lastVersion[this.busyFile]!, begunNs: this.begunNs, endedNs: now(), error: "gone" });
        this.busyFile = undefined;
      }
      if (signal !== "SIGBUS" || !isExplained(this.node, "SIGBUS", now())) problems.push(`${this.role} on ${this.node} ended: ${code} ${signal}`);
      count(`actor restarted (${signal})`);
      setTimeout(() => {
        if (!isEnding) this.child = this.#begin(number + 100);
      }, 500);
    });
    return child;
  }

  #hear(line: Record<string, unknown>): void {
    const file = Number(line["file"]);
    switch (line["kind"]) {
      case "read":
        count(String(line["how"]));
        oracle.readEnded({
          file, owedFromNs: BigInt(line["owedFromNs"] as string), endedNs: BigInt(line["endedNs"] as string),
          versions: line["versions"] as number[], how: `${line["how"]} on ${this.node}`,
        });
        break;
      case "wrong":
        problems.push(`WRONG BYTES ${line["how"]} on ${this.node}: ${line["text"]} at ${line["atNs"]}`);
        break;
      case "error":
        count(`error ${line["code"]}`);
        if (!isExplained(this.node, String(line["code"]), BigInt(line["atNs"] as string)))
          problems.push(`unexplained ${line["code"]} of ${this.role} on ${this.node} at ${((Number(BigInt(line["atNs"] as string) - startedNs) / 1e9)).toFixed(1)} s: ${line["text"]}`);
        break;
      case "executed":
        count("exec");
        break;
      case "wrote": {
        const error = line["error"] as string | undefined;
        count(error === undefined ? "write" : `write error ${error}`);
        oracle.writeEnded({
          file, version: Number(line["version"]), begunNs: this.begunNs, endedNs: BigInt(line["endedNs"] as string),
          ...(error === undefined ? {} : { error }),
        });
        if (error !== undefined && !isExplained(this.node, error, this.begunNs)) problems.push(`unexplained ${error} of a write on ${this.node}`);
        this.busyFile = undefined;
        break;
      }
    }
  }
}

const lastVersion = sizes.map(() => 1);
function giveWork(writers: Actor[]): void {
  for (const writer of writers) {
    if (writer.busyFile !== undefined || isFaulted(writer.node)) continue;
    const file = random.below(sizes.length);
    if (writers.some((other) => other.busyFile === file)) continue;
    const version = ++lastVersion[file]!;
    writer.busyFile = file;
    writer.begunNs = now();
    oracle.writeBegun(file, version, writer.begunNs);
    writer.child.stdin!.write(`${file} ${version}\n`);
  }
}

/**
 * The migration application: started again on its session's node while that lives, else wherever a daemon does, where it
 * assumes the failed session.
 */
async function keepMigrator(): Promise<void> {
  let node: Node = random.pick(NODES);
  while (isMigratorWanted) {
    note(`migrator on ${node}`);
    const begun = now();
    const child = spawn(
      process.execPath, [command, "migrator", "run", "--fs", "fs1", "--store", join(work, "store"), "--socket", nodeOf(node).socket],
      { stdio: ["ignore", "ignore", options.verbose ? "inherit" : "ignore"], env: { ...process.env, SLUICE_NO_BUILD: "1" } },
    );
    children.add(child);
    let isOver = false;
    const ended = new Promise<void>((resolve) =>
      child.on("exit", () => {
        isOver = true;
        resolve();
      }),
    );
    while (!isOver && isMigratorWanted) await Promise.race([ended, pause(500)]);
    if (!isOver) child.kill("SIGTERM");
    await Promise.race([ended, pause(10_000)]);
    child.kill("SIGKILL");
    children.delete(child);
    count("migrator runs");
    await pause(300);
    const wasShort = now() - begun < 2_000_000_000n;
    if (wasShort || isFaulted(node)) node = NODES[(NODES.indexOf(node) + 1) % NODES.length]!;
  }
}

async function keepMoving(): Promise<void> {
  for (let turn = 0; !isEnding; turn++) {
    const node = random.pick(NODES.filter((id) => !isFaulted(id)));
    const mountpoint = nodeOf(node).mounts[0]!.mountpoint;
    const verb = random.chance(0.75) ? "migrate" : "recall";
    const names = new Set<string>();
    for (let i = 0; i < 30; i++) names.add(random.chance(0.1) ? `x${random.below(EXECUTABLES)}` : `f${random.below(sizes.length)}`);
    const list = join(work, `list-${turn % 4}`);
    writeFileSync(list, [...names].map((name) => join(mountpoint, "t", name)).join("\n") + "\n");
    const result = await sluice([verb, "--filelist", list, "--socket", nodeOf(node).socket, "--json"], 30_000);
    count(`${verb} batch, exit ${result.code}`);
    if (result.code !== 0) note(`${verb} on ${node}: ${result.code} ${result.stderr.slice(0, 300)}`);
    for (const line of result.stdout.split("\n")) if (/"state":"migrated"/.test(line)) count("files migrated");
    await pause(50);
  }
}

async function keepFaulting(endNs: bigint): Promise<void> {
  while (!isEnding && now() < endNs - 12_000_000_000n) {
    await pause(random.between(2_000, 6_000));
    const node = random.pick(NODES);
    const kind = random.chance(0.5) ? "killed" : "frozen";
    const fault: Fault = { node, kind, fromNs: now() };
    faults.push(fault);
    count(kind);
    const { pid } = nodeOf(node);
    if (kind === "frozen") {
      const ms = random.pick([500, 2_000, 5_000, 9_000]);
      note(`freeze ${node} ${ms} ms`);
      process.kill(pid, "SIGSTOP");
      await pause(ms);
      process.kill(pid, "SIGCONT");
      await pause(1_000);
    } else {
      note(`kill ${node}`);
      process.kill(pid, "SIGKILL");
      await pause(random.pick([100, 2_000, 7_000]));
      cluster = await clusterCall("restart", node);
    }
    fault.untilNs = now();
    note(`${node} is back`);
  }
}

async function runOnce(role: "setup" | "verify", node: Node, timeoutMs: number): Promise<Map<number, number[]>> {
  const mountpoint = nodeOf(node).mounts[0]!.mountpoint;
  const child = spawn(process.execPath, [join(top, "dist", "torture", "actor.js"), role, join(mountpoint, "t"), "1", JSON.stringify(sizes), String(EXECUTABLES)], { stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  const seen = new Map<number, number[]>();
  let isDone = false;
  createInterface(child.stdout).on("line", (text) => {
    const line = JSON.parse(text) as Record<string, unknown>;
    if (line["kind"] === "wrong") problems.push(`WRONG BYTES at the end on ${node}: ${line["text"]}`);
    if (line["kind"] === "verified") seen.set(Number(line["file"]), line["versions"] as number[]);
    if (line["kind"] === "done") isDone = true;
  });
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  await Promise.race([ended, pause(timeoutMs)]);
  if (!isDone) problems.push(`${role} on ${node} did not finish within ${timeoutMs / 1000} s`);
  child.kill("SIGKILL");
  children.delete(child);
  return seen;
}

/** Every actor must die of SIGKILL: promise 2, never an unkillable user. */
async function endActors(actors: Actor[]): Promise<void> {
  const gone = actors.map((actor) => new Promise<void>((resolve) => {
    if (actor.child.exitCode !== null || actor.child.signalCode !== null) resolve();
    else actor.child.on("exit", () => resolve());
  }));
  for (const actor of actors) actor.child.kill("SIGKILL");
  const wasInTime = await Promise.race([Promise.all(gone).then(() => true), pause(20_000).then(() => false)]);
  if (!wasInTime) {
    for (const actor of actors)
      if (actor.child.exitCode === null && actor.child.signalCode === null)
        problems.push(`${actor.role} on ${actor.node} (pid ${actor.child.pid}) cannot be killed: ${readFileSync(`/proc/${actor.child.pid}/stat`, "latin1").split(" ")[2]}`);
  }
}

async function checkTheEnd(): Promise<void> {
  for (const node of NODES) {
    const seen = await runOnce("verify", node, 120_000);
    for (let file = 0; file < sizes.length; file++) {
      const { oldest, newest } = oracle.finalVersions(file);
      for (const version of seen.get(file) ?? [])
        if (version < oldest || version > newest) problems.push(`LOST UPDATE file ${file} on ${node}: version ${version}, owed ${oldest}..${newest}`);
    }
  }
  const backing = nodeOf("node1").mounts[0]!.backing;
  for (let file = 0; file < sizes.length; file++) {
    const seen = inspectContent(readFileSync(join(backing, "t", `f${file}`)), file, 0);
    if (seen.wrong !== undefined) problems.push(`WRONG BYTES in the backing after all were read: ${seen.wrong}`);
  }
}

async function tidyUp(): Promise<void> {
  isEnding = true;
  isMigratorWanted = false;
  for (const child of children) child.kill("SIGKILL");
  const down = await sluice(["cluster", "down", "--dir", clusterDir], 60_000);
  const isMounted = readFileSync("/proc/self/mounts", "utf8").includes(` ${work}/`);
  if (down.code !== 0 || isMounted) problems.push(`cluster down: exit ${down.code}, ${isMounted ? "still mounted" : "unmounted"}: ${down.stderr}`);
  if (!options.keep && !isMounted) rmSync(work, { recursive: true, force: true }); // never through a mount
}

async function run(): Promise<void> {
  mkdirSync(join(work, "store"), { mode: 0o700 });
  cluster = await clusterCall("up", "--nodes", "3", "--mode", mode);
  await new Promise<void>((resolve, reject) => {
    execFile("mkdir", [join(nodeOf("node1").mounts[0]!.mountpoint, "t")], (error) => (error === null ? resolve() : reject(error)));
  });
  await runOnce("setup", "node1", 60_000);
  const actors = NODES.flatMap((node, index) => ["reader", "mapper", "writer", "executor"].map((role, at) => new Actor(role, node, index * 10 + at)));
  const writers = actors.filter((actor) => actor.role === "writer");
  const endNs = now() + BigInt(Math.round(Number(options.minutes) * 60e9));
  const migrator = keepMigrator();
  const moving = keepMoving();
  const faulting = options["no-faults"] ? Promise.resolve() : keepFaulting(endNs);
  while (now() < endNs) {
    giveWork(writers);
    oracle.judge(now() - 2_000_000_000n);
    if (problems.length + oracle.violations.length > 20) break;
    await pause(20);
  }
  await faulting;
  for (let waited = 0; waited < 400 && writers.some((writer) => writer.busyFile !== undefined); waited++) await pause(50);
  isEnding = true;
  await endActors(actors);
  await moving;
  oracle.judge(now());
  await checkTheEnd();
  isMigratorWanted = false;
  await migrator;
}

process.on("SIGINT", () => void tidyUp().then(() => process.exit(130)));
process.on("SIGTERM", () => void tidyUp().then(() => process.exit(143)));
try {
  await run();
} catch (error) {
  problems.push(String(error instanceof Error ? error.stack : error));
} finally {
  await tidyUp();
}
const failures = [...problems, ...oracle.violations];
const moved = counts["files migrated"] ?? 0;
if (failures.length === 0 && moved === 0) failures.push("nothing was ever migrated: the run proved nothing");
for (const failure of failures.slice(0, 30)) process.stdout.write(`FAILED: ${failure}\n`);
process.stdout.write(`torture: ${options.minutes} min, seed ${seed}, mode ${mode}: ${oracle.readsJudged} reads judged; ${JSON.stringify(counts)}\n`);
if (failures.length > 0) process.stdout.write(`again: npm run torture -- --minutes ${options.minutes} --seed ${seed} --mode ${mode}\n`);
process.stdout.write(`${failures.length === 0 ? 1 : 0} passed, ${failures.length === 0 ? 0 : 1} failed\n`);
process.exit(failures.length === 0 ? 0 : 1);
