/**
 * What a run against real processes has: a cluster below a directory of its own, programs beside it, the faults so far,
 * counts, problems; and the taking down of all of it, however the run ends.
 *
 * Not here  what is done to the cluster (main.ts, and ../chaos/), users of files (users.ts), the mover (moving.ts).
 * Units     nanoseconds of the machine's monotonic clock, the same in every process.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Random } from "../base/random.js";
import { delay, LocalCluster } from "../cli/cluster/local-cluster.js";
import { readMounts, takeDown } from "../cli/cluster/mounts.js";
import type { Wish } from "../cli/cluster/plan.js";
import type { FsName, NodeId } from "../dmapi/ids.js";
import { Oracle } from "./oracle.js";

export const FS1 = "fs1" as FsName;
/** The files' sizes; their number is the caller's. */
const SIZES = [700, 4096, 20_000, 70_000, 262_144, 524_288];
const EXECUTABLES = 6;
const GRACE_NS = 20_000_000_000n;
/** What users of a mount meet whose daemon was killed. */
const deadMount = ["ENOTCONN", "ECONNABORTED", "ENODEV", "ESTALE", "EIO", "ENOENT", "SIGBUS", "SIGSEGV", "exit 2", "exit 126", "exit 127"];
/** What users of a full file system meet, on every node: bytes that cannot come back, or not be written. */
const fullVolume = ["ENOSPC", "EIO", "EDQUOT", "SIGBUS", "SIGSEGV", "exit 2", "exit 126", "exit 127"];

export interface Fault {
  readonly kind: "killed" | "frozen" | "cut" | "full";
  /** Absent: it concerns all. */
  readonly node?: NodeId;
  readonly fromNs: bigint;
  untilNs?: bigint;
}
/**
 * `no-passthrough`: files that nobody manages are read and written through the kernel's pages, as where it cannot pass them
 * through; `workers`: besides, every call to the backing is a worker's, as on a network file system.
 */
export function settingsOf(wanted: { readonly "no-passthrough": boolean; readonly workers: boolean }): Pick<Wish, "settings"> {
  if (wanted.workers) return { settings: ["fileSystems.backingCalls=workers"] };
  return wanted["no-passthrough"] ? { settings: ["fileSystems.passthrough=no"] } : {};
}

/** A line that a program says on its standard output. */
export type Line = Readonly<Record<string, unknown>>;

export const now = () => process.hrtime.bigint();

export class Run {
  readonly name: string;
  readonly seed: number;
  readonly random: Random;
  readonly isVerbose: boolean;
  readonly top = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
  readonly work: string;
  readonly store: string;
  readonly sizes: readonly number[];
  readonly executables = EXECUTABLES;
  readonly oracle = new Oracle();
  readonly problems: string[] = [];
  readonly faults: Fault[] = [];
  readonly counts: Record<string, number> = {};
  readonly startedNs = now();
  readonly #children = new Set<ChildProcess>();
  #cluster: LocalCluster | undefined;
  #tidying: Promise<void> | undefined;
  isEnding = false;
  isMigratorWanted = true;
  /** False: nobody asks for moves any more. */
  isMoving = true;
  /** A command that moves some files is ended after that time. */
  moveTimeoutMs = 30_000;

  constructor(options: { name: string; seed: number; files: number; isVerbose: boolean }) {
    this.name = options.name;
    this.seed = options.seed;
    this.random = new Random(options.seed);
    this.isVerbose = options.isVerbose;
    this.work = mkdtempSync(join(tmpdir(), `sluice-${options.name}-`));
    this.store = join(this.work, "store");
    mkdirSync(this.store, { mode: 0o700 });
    this.sizes = Array.from({ length: options.files }, () => this.random.pick(SIZES));
  }

  async up(wish: Omit<Wish, "directory">): Promise<void> {
    this.#cluster = await LocalCluster.planned({ ...wish, directory: join(this.work, "cluster") });
    if (!this.isEnding) await this.#cluster.start();
  }
  get cluster(): LocalCluster {
    if (this.#cluster === undefined) throw new Error("the cluster is not up");
    return this.#cluster;
  }
  get nodes(): readonly NodeId[] {
    return this.cluster.nodes;
  }
  /** The directory of the files that are moved about, as users of that node see it. */
  files(node: NodeId): string {
    return join(this.cluster.mountpoint(node, FS1), "t");
  }

  count(what: string, by = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + by;
  }
  note(text: string): void {
    if (this.isVerbose) process.stdout.write(`${this.secondsAt(now()).toFixed(0).padStart(4)}s ${text}\n`);
  }
  secondsAt(atNs: bigint): number {
    return Number(atNs - this.startedNs) / 1e9;
  }
  get isHopeless(): boolean {
    return this.problems.length + this.oracle.violations.length > 20;
  }

  beginFault(kind: Fault["kind"], node?: NodeId): Fault {
    const fault: Fault = { kind, ...(node === undefined ? {} : { node }), fromNs: now() };
    this.faults.push(fault);
    this.count(kind);
    return fault;
  }
  isFaulted(node: NodeId): boolean {
    return this.faults.some((fault) => fault.node === node && fault.untilNs === undefined);
  }
  /** Whether an error on that node can be blamed on its daemon having been killed lately, or on a full volume. */
  isExplained(node: NodeId, code: string, fromNs: bigint): boolean {
    return this.faults.some((fault) => {
      if (fault.untilNs !== undefined && fault.untilNs + GRACE_NS <= fromNs) return false;
      if (fault.kind === "full") return fullVolume.includes(code);
      return fault.kind === "killed" && fault.node === node && deadMount.includes(code);
    });
  }

  /** A program of ours in a process of its own, told line by line what it says. */
  spawn(args: readonly string[], hear?: (line: Line) => void): ChildProcess {
    const output = hear === undefined ? "ignore" : "pipe";
    const child = spawn(process.execPath, [...args], { stdio: ["pipe", output, this.isVerbose || hear !== undefined ? "inherit" : "ignore"], cwd: "/", env: { ...process.env, SLUICE_NO_BUILD: "1" } });
    child.on("error", () => {}); // its absence tells
    child.stdin?.on("error", () => {});
    if (hear !== undefined) createInterface(child.stdout!).on("line", (text) => hear(JSON.parse(text) as Line));
    return this.#adopt(child);
  }
  program(folder: string, file: string): string {
    return join(this.top, "dist", folder, file);
  }
  get command(): string {
    return join(this.top, "bin", "sluice.mjs");
  }
  sluice(args: readonly string[], timeoutMs: number): Promise<{ code: number; stdout: string; stderr: string }> {
    return this.execute(process.execPath, [this.command, ...args], timeoutMs);
  }
  execute(file: string, args: readonly string[], timeoutMs: number): Promise<{ code: number; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      const child = execFile(
        file, args, { timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: 1 << 26, cwd: "/", env: { ...process.env, SLUICE_NO_BUILD: "1" } },
        (error, stdout, stderr) => resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr }),
      );
      this.#adopt(child);
    });
  }
  #adopt(child: ChildProcess): ChildProcess {
    this.#children.add(child);
    child.on("exit", () => this.#children.delete(child));
    if (this.isEnding) child.kill("SIGKILL");
    return child;
  }

  /** Ends every program and every node, unmounts, removes; whoever asks again waits for the first. */
  tidyUp(keep: (work: string) => void = () => {}, isKept = false): Promise<void> {
    this.#tidying ??= this.#tidyUp(keep, isKept);
    return this.#tidying;
  }
  async #tidyUp(keep: (work: string) => void, isKept: boolean): Promise<void> {
    this.isEnding = true;
    this.isMigratorWanted = false;
    for (const child of this.#children) child.kill("SIGKILL");
    try {
      await this.#cluster?.down();
    } catch (error) {
      this.problems.push(`cluster down: ${error instanceof Error ? error.message : String(error)}`);
    }
    for (let waited = 0; waited < 200 && this.#children.size > 0; waited++) await delay(50);
    for (const child of this.#children) this.problems.push(`process ${child.pid} cannot be killed: ${stateOfProcess(child.pid ?? 0)}`);
    for (const { mountpoint } of mountsIn(this.work)) if (takeDown(mountpoint) !== undefined) this.problems.push(`${mountpoint} stays mounted`);
    keep(this.work);
    if (!isKept && mountsIn(this.work).length === 0) rmSync(this.work, { recursive: true, force: true }); // never through a mount
  }
}

function mountsIn(directory: string) {
  return readMounts().filter((mount) => mount.mountpoint.startsWith(`${directory}/`)).reverse();
}
/** R, S, D, T, Z; empty when it is gone. */
export function stateOfProcess(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[0] ?? "";
  } catch {
    return "";
  }
}
/** Processes, other than this one, whose command line has that word. */
export function processesNaming(word: string): { pid: number; command: string }[] {
  const found: { pid: number; command: string }[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ").trim();
      if (command.includes(word)) found.push({ pid: Number(name), command });
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}
