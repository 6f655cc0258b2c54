/**
 * Where the demonstration plays: a directory of its own, a real cluster in it, and ordinary programs. Whatever happens, it
 * is taken down again unless it is to be kept.
 *
 * Owns      the directory, the cluster, every program started.
 * Units     milliseconds.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FsName, NodeId } from "../../dmapi/ids.js";
import type { LogEntry } from "../../dmapi/status.js";
import { delay, LocalCluster } from "../cluster/local-cluster.js";
import { mountsBelow } from "../cluster/mounts.js";

const command = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..", "bin", "sluice.mjs");
/** A bound against hanging, not a promise: a loaded machine is slow, and that is no failed check. */
const PROGRAM_TIMEOUT_MS = 300_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: Buffer;
  readonly errors: string;
}
export interface Running {
  readonly child: ChildProcess;
  isOver: boolean;
  /** Never throws. */
  readonly end: Promise<Ended>;
}

export class Stage {
  readonly directory = mkdtempSync(join(tmpdir(), "sluice-demo-"));
  #cluster: LocalCluster | undefined;
  #planned: Promise<LocalCluster> | undefined;
  readonly #running = new Set<Running>();
  #isClosed = false;

  get cluster(): LocalCluster {
    if (this.#cluster === undefined) throw new Error("the cluster is not up yet");
    return this.#cluster;
  }
  /** Without file systems nothing is mounted, and neither root nor /dev/fuse is needed. */
  async open(nodes: number, fileSystems: readonly string[]): Promise<void> {
    const clusterDirectory = join(this.directory, "cluster");
    this.#planned = LocalCluster.planned({
      directory: clusterDirectory, nodes, fileSystems: fileSystems.map((name) => ({ name, backing: join(this.directory, "backing", name) })),
      ...(fileSystems.length === 0 ? { hasNoFileSystem: true } : {}),
    });
    const cluster = await this.#planned;
    if (this.#isClosed) throw new Error("the demonstration is being taken down");
    await cluster.start();
    this.#cluster = cluster;
  }

  mount(node: NodeId, fs: string, ...names: string[]): string {
    return join(this.cluster.mountpoint(node, fs as FsName), ...names);
  }
  place(...names: string[]): string {
    return join(this.directory, ...names);
  }

  /** An ordinary program; in no directory of ours, so that it can never keep a mount busy by standing in it. */
  start(program: string, args: readonly string[], options: { cwd?: string } = {}): Running {
    if (this.#isClosed) throw new Error("the demonstration is being taken down");
    const child = spawn(program, args, { cwd: options.cwd ?? "/", stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, LC_ALL: "C", SLUICE_NO_BUILD: "1" } });
    const output: Buffer[] = [];
    let errors = "";
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    const running: Running = {
      child,
      isOver: false,
      end: new Promise((resolve) => {
        const over = (code: number | null, signal: NodeJS.Signals | null) => {
          running.isOver = true;
          this.#running.delete(running);
          resolve({ code, signal, output: Buffer.concat(output), errors });
        };
        child.on("error", (error) => {
          errors += String(error);
          over(-1, null);
        });
        child.on("close", over);
      }),
    };
    this.#running.add(running);
    return running;
  }
  /** Runs a program to its good end. */
  async run(program: string, args: readonly string[], options: { cwd?: string } = {}): Promise<Buffer> {
    const ended = await this.ended(this.start(program, args, options), `${program} ${args.join(" ")}`);
    if (ended.code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${ended.code ?? ended.signal}: ${ended.errors}`);
    return ended.output;
  }
  shell(script: string, ...args: string[]): Promise<Buffer> {
    return this.run("/bin/sh", ["-ec", script, "sh", ...args]);
  }
  async ended(running: Running, what: string): Promise<Ended> {
    const late = Symbol("late");
    const timer = new AbortController();
    const winner = await Promise.race([running.end, sleep(PROGRAM_TIMEOUT_MS, timer.signal).then(() => late)]);
    timer.abort();
    if (winner !== late) return winner as Ended;
    running.child.kill("SIGKILL");
    throw new Error(`${what} did not end within ${PROGRAM_TIMEOUT_MS / 1000} s`);
  }

  /** The command `sluice`, talking to a node. */
  sluice(node: NodeId, ...args: string[]): Promise<Buffer> {
    return this.run(process.execPath, [command, ...args, "--socket", this.cluster.socket(node)]);
  }
  startSluice(node: NodeId, ...args: string[]): Running {
    return this.start(process.execPath, [command, ...args, "--socket", this.cluster.socket(node)]);
  }

  async log(node: NodeId, after = 0): Promise<LogEntry[]> {
    const found: LogEntry[] = [];
    for (let last = after; ; last = found.at(-1)!.number) {
      const entries = await this.cluster.call(node, "node.log", { after: last, max: 1_000 });
      if (entries.length === 0) return found;
      found.push(...entries);
    }
  }

  /** Looks again until it holds. */
  async until(what: string, holds: () => Promise<boolean> | boolean, boundMs = 30_000): Promise<void> {
    const giveUpAt = performance.now() + boundMs;
    for (;;) {
      if (await holds()) return;
      if (performance.now() > giveUpAt) throw new Error(`not within ${boundMs / 1000} s: ${what}`);
      await delay(40);
    }
  }

  /** Takes everything down; what stayed mounted is an error. Safe to call twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const running of this.#running) {
      running.child.kill("SIGCONT");
      running.child.kill("SIGTERM");
    }
    const patience = delay(3_000);
    await Promise.race([Promise.all([...this.#running].map((running) => running.end)), patience]);
    for (const running of this.#running) running.child.kill("SIGKILL");
    // It may be half started: down breaks that off.
    const cluster = await this.#planned?.catch(() => undefined);
    await cluster?.down();
    const left = mountsBelow(this.directory);
    if (left.length > 0) throw new Error(`still mounted: ${left.map((mount) => mount.mountpoint).join(", ")}`);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
