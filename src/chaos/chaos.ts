/**
 * A cluster under chaos: its actors (users of files, askers, steady readers, applications, the mover), the history of what
 * they say, and the faults.
 *
 * fs1 is a small volume whose files are written, read and moved about; on fs2 users' operations wait for the applications.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type FsName, type NodeId, regionFlags } from "../client/index.js";
import { delay } from "../cli/cluster/local-cluster.js";
import { coordinationDirectory } from "../cli/cluster/plan.js";
import { keepMigrator, keepMoving } from "../torture/moving.js";
import { type Line, now, type Run } from "../torture/run.js";
import { KeptProgram, Users } from "../torture/users.js";
import { Faults, schedule } from "./faults.js";
import { History } from "./history.js";
import { EVENT_FILE, EVENT_FILE_BYTES } from "./operation-names.js";
import { ViewWatch } from "./views.js";

export const FS2 = "fs2" as FsName & "fs2";
const NUMBERS_PER_NODE = 1e10;
const NUMBERS_PER_LIFE = 1e7;
/** Beside the files: what is left is what a user fills. */
const ROOM_MEBIBYTES = 32;
/** A batch of moves may wait for several nodes to be given up, one after the other. */
const MOVE_TIMEOUT_MS = 150_000;
const CALM_NS = 3_000_000_000n;

interface Actor {
  readonly program: KeptProgram;
  who: string;
  isKilledByUs: boolean;
  /** What it has said last of itself: "settled", "owns", "over". */
  readonly said: Set<string>;
}
interface SteadyReport {
  readonly node: NodeId;
  readonly fromNs: bigint;
  readonly toNs: bigint;
  readonly ms: number;
  readonly floorMs: number;
}

export class Chaos {
  readonly run: Run;
  readonly history: History;
  readonly users: Users;
  readonly faults: Faults;
  readonly counts: Record<string, number> = {};
  readonly steady: SteadyReport[] = [];
  readonly #actors = new Map<string, Actor>();
  #views: ViewWatch | undefined;
  readonly #stopFile: string;

  constructor(run: Run) {
    this.run = run;
    run.moveTimeoutMs = MOVE_TIMEOUT_MS;
    this.history = new History(join(run.work, "history.jsonl"));
    this.users = new Users(run);
    this.faults = new Faults(this);
    this.#stopFile = join(run.work, "stop");
  }
  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }
  daemon(node: NodeId, state: "killed" | "frozen" | "thawed" | "up"): void {
    this.history.add({ kind: "daemon", state, who: "run", node, atNs: now() });
  }

  async up(nodes: number, mode: "fast" | "exact"): Promise<void> {
    const { run } = this;
    const backing = join(run.work, "backing");
    const mebibytes = Math.ceil(run.sizes.reduce((sum, size) => sum + size, 0) / 2 ** 20) + ROOM_MEBIBYTES;
    mountVolume(join(backing, "fs1"), mebibytes);
    await run.up({ nodes, mode, fileSystems: ["fs1", "fs2"].map((name) => ({ name, backing: join(backing, name) })) });
    this.#views = new ViewWatch(coordinationDirectory(run.cluster.plan), this.history);
    await this.users.setup(run.nodes[0]!);
    await this.#prepareAsking(run.nodes[0]!);
    for (const node of run.nodes) await this.#program(run.nodes[0]!, "dd", "if=/dev/urandom", `of=${this.#steadyFile(run.nodes[0]!, node)}`, "bs=16k", "count=1");
  }
  #steadyFile(seenFrom: NodeId, of: NodeId): string {
    return join(this.run.cluster.mountpoint(seenFrom, "fs1" as FsName), `steady-${of}`);
  }
  /** Below the mount point, so that it is not there while nothing is mounted. */
  #asking(node: NodeId): string {
    return join(this.run.cluster.mountpoint(node, FS2), "asking");
  }
  /** A file whose writes wait for whoever measures. */
  probedFile(seenFrom: NodeId): string {
    return join(this.#asking(seenFrom), "probed");
  }
  async #program(node: NodeId, file: string, ...args: string[]): Promise<void> {
    const ended = await this.run.execute(file, args, 60_000);
    if (ended.code !== 0) throw new Error(`${file} on ${node}: ${ended.code} ${ended.stderr}`);
  }
  /** Reads of one file, and directories that are made, wait for an application. */
  async #prepareAsking(node: NodeId): Promise<void> {
    const path = join(this.#asking(node), EVENT_FILE);
    await this.#program(node, "mkdir", this.#asking(node));
    await this.#program(node, "truncate", "-s", String(EVENT_FILE_BYTES), path);
    const at = await connect({ socket: this.run.cluster.socket(node) });
    const session = await at.createSession("preparing");
    const fs = await at.fileSystem(FS2);
    await session.object(fs.handleOf(path)).setRegions([{ offset: 0, size: 0, flags: regionFlags.read }]);
    await this.#program(node, "truncate", "-s", "4096", this.probedFile(node));
    await session.object(fs.handleOf(this.probedFile(node))).setRegions([{ offset: 0, size: 0, flags: regionFlags.write }]);
    await session.object(fs.handle).setEventList(["create"]);
    await session.destroy();
    at.close();
  }

  begin(): Promise<void>[] {
    const { run } = this;
    for (const [index, node] of run.nodes.entries()) {
      for (const role of ["reader", "writer"] as const) this.users.add(role, node);
      if (index < 2) this.users.add("mapper", node);
      if (index === 2) this.users.add("executor", node);
      this.#beginActor("application", node, index);
      this.#beginActor("asker", node, index);
      this.#beginActor("steady", node, index);
    }
    return [keepMigrator(run), keepMoving(run)];
  }
  #beginActor(role: "application" | "asker" | "steady", node: NodeId, index: number): void {
    const { run } = this;
    const key = `${role} ${node}`;
    const actor: Omit<Actor, "program"> = { who: key, isKilledByUs: false, said: new Set() };
    const program = new KeptProgram(run, role, node, {
      args: (generation) => {
        actor.who = `${key} ${generation}`;
        if (role === "application") return [run.program("chaos", "application.js"), run.cluster.socket(node), node, String(run.seed * 100 + index + 10 * generation)];
        if (role === "asker") return [run.program("chaos", "user.js"), "asker", String((index + 1) * NUMBERS_PER_NODE + generation * NUMBERS_PER_LIFE), this.#stopFile, this.#asking(node)];
        return [run.program("chaos", "user.js"), "steady", join(run.work, `beside-${node}`), this.#stopFile, this.#steadyFile(node, node)];
      },
      hear: (line) => this.#hear(actor, node, line),
      ended: () => {
        this.history.add({ kind: "actor-gone", who: actor.who, node, atNs: now() });
        const { isKilledByUs } = actor;
        actor.isKilledByUs = false;
        return isKilledByUs;
      },
    });
    this.#actors.set(key, Object.assign(actor, { program }));
  }
  #hear(actor: Omit<Actor, "program">, node: NodeId, line: Line): void {
    const kind = String(line["kind"]);
    if (["settled", "owns", "over"].includes(kind)) actor.said.add(kind);
    else if (kind === "steady") {
      const ms = (name: string) => Number(line[name]) / 1e6;
      this.steady.push({ node, fromNs: BigInt(line["fromNs"] as string), toNs: BigInt(line["atNs"] as string), ms: ms("longestNs"), floorMs: ms("floorNs") });
    } else this.history.addLine(actor.who, node, line);
  }

  killActor(role: "application" | "asker", node: NodeId): void {
    const actor = this.#actors.get(`${role} ${node}`);
    if (actor === undefined) return;
    actor.isKilledByUs = true;
    actor.program.child.kill("SIGKILL");
  }
  tell(node: NodeId, word: "settle" | "own" | "end"): void {
    this.#actors.get(`application ${node}`)?.program.tell(word);
  }
  hasSaid(node: NodeId, word: "settled" | "owns" | "over"): boolean {
    return this.#actors.get(`application ${node}`)?.said.has(word) === true;
  }
  /** Applications that end are not started again from now on. */
  dismissApplications(): void {
    for (const [key, { program }] of this.#actors) if (key.startsWith("application ")) program.isKept = false;
  }
  /** Those who ask begin no further operation, and end when the last one has. */
  stopAsking(): void {
    for (const [key, { program }] of this.#actors) if (!key.startsWith("application ")) program.isKept = false;
    writeFileSync(this.#stopFile, "");
  }
  get stillAsking(): string[] {
    return [...this.#actors].filter(([key, { program }]) => !key.startsWith("application ") && !program.isOver).map(([key]) => key);
  }

  /** What happens meanwhile; to be called often. */
  tend(): void {
    this.users.giveWork();
    this.run.oracle.judge(now() - 2_000_000_000n);
    this.#views?.look();
  }
  lookAtViews(): void {
    this.#views?.look();
  }

  async keepFaulting(endNs: bigint, only: readonly string[]): Promise<void> {
    const { run } = this;
    for (const plan of schedule(run.seed, run.nodes.length, only)) {
      await delay(plan.waitMs);
      if (run.isEnding || run.isHopeless || now() > endNs) return;
      await this.faults.perform(plan);
    }
  }

  /** Reports of steady readers on nodes that nothing was wrong with. */
  get unaffected(): SteadyReport[] {
    const { faults } = this.run;
    return this.steady.filter(({ node, fromNs, toNs }) =>
      !faults.some((fault) => (fault.node === undefined || fault.node === node) && fault.fromNs < toNs && (fault.untilNs === undefined || fault.untilNs + CALM_NS > fromNs)));
  }
}

function mountVolume(place: string, mebibytes: number): void {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=0700`, "none", place], { encoding: "utf8" });
  if (mount.status !== 0) throw new Error(`no volume at ${place}: ${mount.stderr}`);
}
