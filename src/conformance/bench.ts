/**
 * The bench of the acceptance tests: a real cluster, its status documents and message logs, and ordinary programs as
 * users. One cluster per test file; every wait has a bound.
 *
 * Owns      the letters A, B, C...: A is the session manager when the bench opens, the others follow in name order.
 * Not here  DM sessions (dm-session.ts); what is tested, which stands in the files named after the requirements.
 * Source    requirements 1.2, "common bench".
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { LocalCluster } from "../cli/cluster/local-cluster.js";
import type { ConfigChange } from "../cli/cluster/node-file.js";
import type { Wish } from "../cli/cluster/plan.js";
import { type Connection, connect } from "../client/index.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import type { EventType } from "../dmapi/events.js";
import type { FsName, GroupName, Handle, NodeId } from "../dmapi/ids.js";
import type { LogEntry, StatusDocument } from "../dmapi/status.js";
import { getxattrOfPath } from "../os/files.js";
import { DmSession } from "./dm-session.js";
import { SickDisk } from "./sick-disk.js";
import { BOUND_MS, eventually, within } from "./waiting.js";

const lettersInOrder = ["A", "B", "C", "D", "E"] as const;
export type Letter = (typeof lettersInOrder)[number];
export const isLong = process.env["SLUICE_TEST_LONG"] === "1";

/** Why acceptance tests cannot run here, or undefined. As root with the device a mount that fails is a failure. */
export const whyNot: string | undefined =
  process.getuid?.() !== 0 ? "needs root for real mounts" : existsSync("/dev/fuse") ? undefined : "needs /dev/fuse for real mounts";

/**
 * A named acceptance test; skipped, in one plain line, where real mounts are impossible. What it notes, a timing say, is
 * printed for people and decides nothing.
 * @param timeoutMs on an idle machine, with room; a loaded one has twice that.
 */
export function acceptance(name: string, body: (note: (text: string) => void) => Promise<void>, timeoutMs = 60_000): void {
  test(name, { skip: whyNot ?? false, timeout: (isLong ? 20 : 2) * timeoutMs }, async (t) => {
    try {
      await body((text) => t.diagnostic(`note: ${text}`));
    } catch (error) {
      // For whoever reads the failure: what the nodes thought of each other then.
      for (const line of (await opened?.standing().catch(() => [])) ?? []) t.diagnostic(`note: ${line}`);
      throw error;
    }
  });
}
/** The bench that this file has open. */
let opened: Bench | undefined;

/** One bench for a whole file: opened before its first test, closed after its last, also on failure. */
export function shareBench(options: BenchOptions): () => Bench {
  let bench: Bench | undefined;
  before(async () => {
    if (whyNot !== undefined) return;
    // A run that takes too long is asked to end before it is killed: nothing may stay mounted.
    process.once("SIGTERM", () => void (bench === undefined ? Bench.closeHalfOpen() : bench.close()).finally(() => process.exit(143)));
    bench = await Bench.open(options);
    opened = bench;
  }, { timeout: 110_000 });
  after(async () => bench?.close(), { timeout: 60_000 });
  return () => {
    assert(bench !== undefined, "the bench did not open");
    return bench;
  };
}

export interface BenchOptions {
  readonly nodes: number;
  /** Default fs1 and fs2. */
  readonly fileSystems?: readonly string[];
  readonly mode?: "fast" | "exact";
  readonly isFastFailover?: boolean;
  /** KEY=VALUE for the configuration of every node. */
  readonly settings?: readonly string[];
  readonly preferences?: Wish["preferences"];
  /** How the configuration files of these nodes differ from the usual ones. */
  readonly configure?: Partial<Record<Letter, ConfigChange>>;
  /** Each file system is a volume of its own of so many MiB, instead of a directory on the disk. */
  readonly volumeMebibytes?: number;
  /** Of these volumes; tmpfs by default. An ext4 has no blocks that only root may fill. "sick": an ext4 on a disk whose health the test says. */
  readonly volumeType?: "tmpfs" | "ext4" | "btrfs" | "sick";
}
interface ProgramOptions {
  readonly input?: string | Buffer;
  readonly uid?: number;
  readonly gid?: number;
}
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: Buffer;
  readonly errors: string;
}
export interface Program {
  readonly child: ChildProcess;
  isOver: boolean;
  readonly end: Promise<ProgramEnd>;
}

export interface Conversation {
  readonly child: ChildProcess;
  readonly end: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  line(): Promise<string | undefined>;
  ask(question: string): Promise<string | undefined>;
}

export class Bench {
  readonly cluster: LocalCluster;
  readonly directory: string;
  readonly #letters = new Map<Letter, NodeId>();
  readonly #connections = new Map<NodeId, Promise<Connection>>();
  readonly #programs = new Set<ChildProcess>();
  readonly #disks: ReadonlyMap<string, SickDisk>;
  readonly #small = new Map<string, LocalCluster | undefined>();

  private constructor(cluster: LocalCluster, directory: string, disks: ReadonlyMap<string, SickDisk>) {
    this.cluster = cluster;
    this.directory = directory;
    this.#disks = disks;
  }

  static readonly #opening = new Set<string>();

  /** Ends what `open` has begun. */
  static async closeHalfOpen(): Promise<void> {
    for (const directory of Bench.#opening) {
      if (existsSync(join(directory, "cluster.json"))) await LocalCluster.open(directory).down().catch(() => {});
      removeDirectory(directory);
    }
  }

  static async open(options: BenchOptions): Promise<Bench> {
    const directory = mkdtempSync(join(tmpdir(), "sluice-test-"));
    Bench.#opening.add(directory);
    chmodSync(directory, 0o755); // ordinary users reach the mounts below
    const fileSystems = (options.fileSystems ?? ["fs1", "fs2"]).map((name) => ({ name, backing: join(directory, "backing", name) }));
    const disks = new Map<string, SickDisk>();
    try {
      for (const { name, backing } of options.volumeMebibytes === undefined ? [] : fileSystems) {
        if (options.volumeType !== "sick") mountVolume(backing, options.volumeMebibytes!, options.volumeType);
        else disks.set(name, await SickDisk.open(join(directory, "disks", name), backing, options.volumeMebibytes!));
      }
      const cluster = await LocalCluster.planned({
        directory, nodes: options.nodes, fileSystems, mode: options.mode ?? "fast",
        ...(options.isFastFailover === undefined ? {} : { isFastFailover: options.isFastFailover }),
        ...(options.settings === undefined ? {} : { settings: options.settings }),
        ...(options.preferences === undefined ? {} : { preferences: options.preferences }),
      });
      for (const [index, letter] of lettersInOrder.entries()) {
        const change = options.configure?.[letter];
        if (change !== undefined) cluster.configure([cluster.nodes[index]!], change);
      }
      await cluster.start();
      const bench = new Bench(cluster, directory, disks);
      await bench.nameFirstManager();
      Bench.#opening.delete(directory);
      return bench;
    } catch (error) {
      await Bench.closeHalfOpen();
      for (const disk of disks.values()) await disk.close();
      throw error;
    }
  }

  /** The first node is the session manager, whoever came first; a cut never excludes it, since it has the lowest id. */
  async nameFirstManager(): Promise<void> {
    const first = this.cluster.nodes[0]!;
    const { manager } = await this.cluster.document();
    if (manager !== null && manager !== first) await this.cluster.call(manager, "manager.move", { to: first });
    await eventually("the first node is session manager everywhere", async () => {
      const statuses = await Promise.all(this.cluster.nodes.map((id) => this.cluster.status(id)));
      return statuses.every((status) => status.view?.manager === first && status.view.isInForce);
    });
    await this.nameNodes();
  }

  /** Gives the letters anew: A to the session manager. */
  async nameNodes(): Promise<void> {
    const { manager } = await this.cluster.document();
    assert(manager !== null, "a cluster that is up has a session manager");
    const order = [manager, ...this.cluster.nodes.filter((id) => id !== manager)];
    this.#letters.clear();
    for (const [index, id] of order.entries()) this.#letters.set(lettersInOrder[index]!, id);
  }

  /** A cluster of its own over a file system "small" of so many MiB. */
  async openSmall(nodes: number, mebibytes: number): Promise<LocalCluster> {
    const directory = mkdtempSync(join(this.directory, "small-"));
    const backing = join(directory, "backing");
    mountVolume(backing, mebibytes);
    this.#small.set(backing, undefined);
    const cluster = await LocalCluster.up({ directory: join(directory, "cluster"), nodes, fileSystems: [{ name: "small", backing }] });
    this.#small.set(backing, cluster);
    return cluster;
  }
  async closeSmall(): Promise<void> {
    for (const [backing, cluster] of this.#small) {
      this.#small.delete(backing);
      const clusterDirectory = join(backing, "..", "cluster");
      await (cluster ?? (existsSync(clusterDirectory) ? LocalCluster.open(clusterDirectory) : undefined))?.down();
      spawnSync("umount", ["-l", backing], { stdio: "ignore" });
    }
  }

  async close(): Promise<void> {
    for (const program of this.#programs) program.kill("SIGKILL");
    await this.closeSmall();
    for (const connection of this.#connections.values()) (await connection.catch(() => undefined))?.close();
    for (const disk of this.#disks.values()) disk.become("well"); // who waits for a block of it could not end
    await this.cluster.down();
    for (const disk of this.#disks.values()) await disk.close();
    removeDirectory(this.directory);
  }
  /** Of a bench with such volumes. */
  disk(fs: string): SickDisk {
    const disk = this.#disks.get(fs);
    assert(disk !== undefined, `${fs} lies on no such disk`);
    return disk;
  }

  id(letter: Letter): NodeId {
    const found = this.#letters.get(letter);
    assert(found !== undefined, `the bench has no node ${letter}`);
    return found;
  }
  /** One line for each node that answers: the view it knows, its members' incarnations, the links that are down. */
  async standing(): Promise<string[]> {
    return Promise.all(this.letters.map(async (letter) => {
      const { view, links } = await within(this.status(letter), "its status");
      const members = view?.members.map(({ id, incarnation }) => `${id}@${incarnation}`).join(" ") ?? "none";
      return `${letter} (${this.id(letter)}): view ${view?.number} of ${view?.manager}: ${members}; links ${JSON.stringify(links)}`;
    }).map((line) => line.catch((error: Error) => error.message)));
  }
  get letters(): Letter[] {
    return [...this.#letters.keys()];
  }
  letterOf(id: NodeId): Letter {
    const found = this.letters.find((letter) => this.id(letter) === id);
    assert(found !== undefined, `${id} has no letter`);
    return found;
  }

  fs(name: string): FsName {
    return name as FsName;
  }
  /** The path of a file on the mount of that node. */
  path(letter: Letter, fs: string, ...names: string[]): string {
    return join(this.cluster.mountpoint(this.id(letter), fs as FsName), ...names);
  }
  backing(fs: string, ...names: string[]): string {
    return join(this.cluster.backing(fs as FsName), ...names);
  }

  /** The node's standing connection; after `forget` a new one. */
  connection(letter: Letter): Promise<Connection> {
    const id = this.id(letter);
    let connection = this.#connections.get(id);
    if (connection === undefined) {
      connection = connect({ socket: this.cluster.socket(id) });
      this.#connections.set(id, connection);
    }
    return connection;
  }
  async call<N extends CallName>(letter: Letter, name: N, args: ArgsOf<N>): Promise<ResultOf<N>> {
    return (await this.connection(letter)).call(name, args);
  }
  async forget(letter: Letter): Promise<void> {
    const id = this.id(letter);
    (await this.#connections.get(id)?.catch(() => undefined))?.close();
    this.#connections.delete(id);
  }
  async kill(letter: Letter): Promise<void> {
    await this.forget(letter);
    await this.cluster.kill(this.id(letter));
  }
  async restart(letter: Letter): Promise<void> {
    await this.forget(letter);
    await this.cluster.restart(this.id(letter));
  }

  /** Ends it in order, and starts it again with these variables; returns when it is usable. */
  async restartWith(letter: Letter, environment: Readonly<Record<string, string>>): Promise<void> {
    await this.stop(letter);
    await this.cluster.launch([this.id(letter)], environment);
    await this.cluster.waitUntilUsable([this.id(letter)]);
  }
  /** The same with a changed configuration file; returns when it is a member, whatever it has mounted. */
  async restartAs(letter: Letter, change: ConfigChange): Promise<void> {
    await this.stop(letter);
    this.cluster.configure([this.id(letter)], change);
    await this.cluster.launch([this.id(letter)]);
    await this.until("it is a member", [letter], ({ state, view }) => state === "member" && view?.isInForce === true);
  }
  /** In order. */
  async stop(letter: Letter): Promise<void> {
    await this.forget(letter);
    await this.cluster.stop(this.id(letter));
  }

  /** Starts the nodes that do not run. */
  async startAll(): Promise<void> {
    await this.cluster.start();
  }
  /** Ends every node in order, and starts them all: nobody is left who knew anything. */
  async restartAll(): Promise<void> {
    for (const letter of this.letters) await this.forget(letter);
    await this.cluster.down();
    await this.cluster.start();
    await this.nameFirstManager();
  }

  status(letter: Letter): Promise<StatusDocument> {
    return this.cluster.status(this.id(letter));
  }
  /** Waits until the status document of each of these nodes satisfies the condition; says what it saw if it never does. */
  async until(what: string, letters: readonly Letter[], holds: (status: StatusDocument) => boolean, boundMs = BOUND_MS): Promise<void> {
    for (const letter of letters) {
      let seen: StatusDocument | undefined;
      const describe = () => JSON.stringify(seen === undefined ? "no status" : { state: seen.state, view: seen.view, registry: seen.registry, queues: seen.queues, waiters: seen.waiters });
      await eventually(`${what} on ${letter} (${this.id(letter)})`, async () => {
        seen = await this.status(letter);
        return holds(seen);
      }, boundMs, describe);
    }
  }

  /** Every node of the bench is a member of a view that is in force and says so. */
  async untilAllAreMembers(): Promise<void> {
    const { letters } = this;
    await this.until("all are members", letters, ({ state, view }) => state === "member" && view?.isInForce === true && view.members.length === letters.length, 60_000);
  }

  /** Where the log of that node stands now; `since` gives what came after. */
  async mark(letter: Letter): Promise<number> {
    return (await this.since(letter, 0)).at(-1)?.number ?? 0;
  }
  async since(letter: Letter, after: number): Promise<LogEntry[]> {
    const found: LogEntry[] = [];
    for (let last = after; ; last = found.at(-1)!.number) {
      const entries = await this.call(letter, "node.log", { after: last, max: 1_000 });
      if (entries.length === 0) return found;
      found.push(...entries);
    }
  }

  /** A session with what it takes of which file system. */
  async session(letter: Letter, info: string, takes: Readonly<Record<string, readonly EventType[]>> = {}, group?: string): Promise<DmSession> {
    const { session } = await this.call(letter, "session.create", { info, ...(group === undefined ? {} : { group: group as GroupName }) });
    for (const [fs, events] of Object.entries(takes)) {
      const owner = group === undefined ? { session } : { group: group as GroupName };
      await this.call(letter, "disposition.set", { ...owner, fs: fs as FsName, events });
    }
    return new DmSession(this, letter, session);
  }
  async fsHandle(fs: string, letter: Letter = "A"): Promise<Handle> {
    const found = (await this.call(letter, "fs.list", {})).find((entry) => entry.fs === fs);
    assert(found !== undefined, `${fs} is not known on ${letter}`);
    return found.handle;
  }
  /** The handle of a file, by the virtual attribute of its mount. */
  handle(letter: Letter, fs: string, ...names: string[]): Handle {
    const value = Buffer.alloc(256);
    const length = getxattrOfPath(this.path(letter, fs, ...names), "system.sluice.handle", value);
    assert(length > 0, `no handle of ${names.join("/")}: ${length}`);
    return value.subarray(0, length).toString("latin1").replace(/\0$/, "") as Handle;
  }

  /** An ordinary program; `end` tells how it ended and never throws. */
  program(command: string, args: readonly string[], options: ProgramOptions = {}): Program {
    const child = spawn(command, args, {
      cwd: "/", stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      ...(options.uid === undefined ? {} : { uid: options.uid }), ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    this.#programs.add(child);
    const output: Buffer[] = [];
    let errors = "";
    child.stdout?.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    if (options.input !== undefined) child.stdin?.on("error", () => {}).end(options.input);
    const program: Program = {
      child,
      isOver: false,
      end: new Promise((resolve) => {
        const over = (code: number | null, signal: NodeJS.Signals | null) => {
          this.#programs.delete(child);
          program.isOver = true;
          resolve({ code, signal, output: Buffer.concat(output), errors });
        };
        child.on("error", (error) => {
          errors += String(error);
          over(-1, null);
        });
        child.on("close", over);
      }),
    };
    return program;
  }
  /** A program spoken to line by line. `line` and `ask` give undefined when it ended instead of answering. */
  conversation(command: string, args: readonly string[]): Conversation {
    const child = spawn(command, args, { cwd: "/", stdio: ["pipe", "pipe", "ignore"] });
    this.#programs.add(child);
    const lines: string[] = [];
    const waiting: ((line: string | undefined) => void)[] = [];
    child.stdin.on("error", () => {});
    createInterface(child.stdout).on("line", (line) => {
      const next = waiting.shift();
      if (next === undefined) lines.push(line);
      else next(line);
    });
    const end = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      child.on("close", (code, signal) => {
        this.#programs.delete(child);
        for (const next of waiting.splice(0)) next(undefined);
        resolve({ code, signal });
      });
    });
    const line = () => {
      const ready = lines.shift();
      if (ready !== undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(ready);
      return new Promise<string | undefined>((resolve) => waiting.push(resolve));
    };
    return {
      child, end, line,
      ask: (question) => {
        child.stdin.write(`${question}\n`);
        return line();
      },
    };
  }
  /** Runs a program to its end; fails the test when it does not end well. */
  async run(command: string, args: readonly string[], options: ProgramOptions = {}): Promise<Buffer> {
    const end = await within(this.program(command, args, options).end, `${command} ${args.join(" ")}`);
    assert.equal(end.code, 0, `${command} ${args.join(" ")}: exit ${end.code ?? end.signal}: ${end.errors}`);
    return end.output;
  }
  /** A script for /bin/sh, with arguments as $1, $2... */
  shell(script: string, ...args: string[]): Promise<Buffer> {
    return this.run("/bin/sh", ["-ec", script, "sh", ...args]);
  }
}

function mountVolume(place: string, mebibytes: number, type: "tmpfs" | "ext4" | "btrfs" = "tmpfs"): void {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const system = (command: string, ...args: string[]) => {
    const end = spawnSync(command, args, { encoding: "utf8" });
    assert.equal(end.status, 0, `${command}: ${end.stderr}`);
  };
  if (type === "tmpfs") return system("mount", "-t", "tmpfs", "-o", `size=${mebibytes}m,mode=0700`, "none", place);
  const image = `${place}.image`;
  system("truncate", "-s", `${mebibytes}M`, image);
  if (type === "btrfs") system("mkfs.btrfs", "-q", "-m", "single", image);
  else system("mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", "nodiscard", image);
  system("mount", "-o", "loop", image, place);
  chmodSync(place, 0o700);
}
/** With the volumes mounted for it. */
function removeDirectory(directory: string): void {
  for (const name of existsSync(join(directory, "backing")) ? readdirSync(join(directory, "backing")) : []) {
    spawnSync("umount", ["-q", join(directory, "backing", name)], { stdio: "ignore" });
  }
  // Not rmSync: paths below may be longer than any call takes.
  spawnSync("rm", ["-rf", "--one-file-system", directory], { stdio: "ignore" });
}
