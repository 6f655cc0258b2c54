/**
 * A real cluster on one machine: one daemon process per node, real mounts, one shared backing directory per file system.
 * The commands `sluice cluster ...` are thin skins over this class, and so are the demonstration and the acceptance tests.
 *
 * Owns      the daemons' processes, DIR/nodes/NODE/process.json, taking down what a dead daemon left.
 * Not here  what was asked for (plan.ts), the daemon's configuration (node-file.ts).
 * Units     milliseconds.
 */
import { spawn } from "node:child_process";
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { ArgsOf, CallName, ResultOf } from "../../dmapi/calls.js";
import type { FsName, NodeId } from "../../dmapi/ids.js";
import type { StatusDocument } from "../../dmapi/status.js";
import { CommandFailure, messageOf } from "../failure.js";
import { callOnce } from "../node-connection.js";
import { mountAt, mountsBelow, takeDown } from "./mounts.js";
import { type ConfigChange, checkNodeFiles, nodeFile } from "./node-file.js";
import { coordinationDirectory, freePort, makePlan, mountpointOf, nodeDirectory, type Plan, readPlan, socketOf, type Wish, writePlan } from "./plan.js";
import { identify, type ProcessIdentity, signal, stateOf } from "./processes.js";

/** The document of `cluster up|status --json`. */
export interface ClusterDocument {
  readonly cluster: string;
  /** As the members agree; null while there is none, or they do not. */
  readonly manager: NodeId | null;
  readonly epoch: number | null;
  readonly nodes: readonly NodeEntry[];
}
export interface NodeEntry {
  readonly id: NodeId;
  readonly pid: number | null;
  readonly state: StatusDocument["state"] | "paused" | "down" | "unreachable";
  readonly socket: string;
  readonly mounts: readonly { readonly fs: FsName; readonly mountpoint: string; readonly backing: string }[];
}

const UP_TIMEOUT_MS = 90_000;
const STOP_TIMEOUT_MS = 15_000;
const STATUS_TIMEOUT_MS = 3_000;
const HOLDER_END_MS = 2_000;
const POLL_MS = 40;
const daemonCommand = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..", "bin", "sluiced.mjs");

export class LocalCluster {
  #plan: Plan;
  #isGoingDown = false;
  /** How often `down` was called: what began before begins no node after it. */
  #downs = 0;
  readonly #changes = new Map<NodeId, ConfigChange>();

  private constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** The cluster of that directory, as planned before. @throws CommandFailure when there is none. */
  static open(directory: string): LocalCluster {
    const plan = readPlan(resolve(directory));
    if (plan !== undefined) return new LocalCluster(plan);
    throw new CommandFailure({
      asked: `find the cluster in ${directory}`, found: "there is none: no cluster.json",
      next: `Bring one up: sluice cluster up --nodes 3 --dir ${directory}`,
    });
  }

  /** Makes or widens the plan, starts what does not run, and returns when every mount is usable. */
  static async up(wish: Wish): Promise<LocalCluster> {
    const cluster = await LocalCluster.planned(wish);
    await cluster.start();
    return cluster;
  }
  /** Makes or widens the plan and starts nothing: `start` can then be broken off by `down`. */
  static async planned(wish: Wish): Promise<LocalCluster> {
    return new LocalCluster(await makePlan(wish, checkNodeFiles));
  }

  get plan(): Plan {
    return this.#plan;
  }
  get directory(): string {
    return this.#plan.directory;
  }
  get nodes(): readonly NodeId[] {
    return this.#plan.nodes.map((node) => node.id);
  }
  socket(id: NodeId): string {
    return socketOf(this.#plan, this.#known(id));
  }
  mountpoint(id: NodeId, fs: FsName): string {
    return mountpointOf(this.#plan, this.#known(id), fs);
  }
  backing(fs: FsName): string {
    const found = this.#plan.fileSystems.find((entry) => entry.name === fs);
    if (found === undefined) throw this.#refusal(`file system ${fs}`, `it has ${this.#plan.fileSystems.map((f) => f.name).join(", ")}`);
    return found.backing;
  }

  /**
   * Starts every node that does not run; returns when all mounts are usable and all nodes see the same view.
   * @throws CommandFailure when it cannot be, or when `down` was called meanwhile.
   */
  async start(nodes: readonly NodeId[] = this.nodes): Promise<void> {
    await this.launch(nodes);
    await this.waitUntilUsable(nodes);
  }
  /** Starts what does not run of them, and waits for nothing. `environment` is added to this process's own. */
  async launch(nodes: readonly NodeId[], environment: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#isGoingDown = false;
    for (const fs of this.#plan.fileSystems) prepareBacking(fs.backing);
    mkdirSync(coordinationDirectory(this.#plan), { recursive: true, mode: 0o700 });
    for (const id of nodes) if (this.#stateOf(id) === "paused") this.resume(id);
    for (const id of nodes) if (this.#stateOf(id) === "dead") await this.#spawn(id, environment);
  }
  /** The files that these nodes' daemons are started with from now on differ so from the plan. Kept by this object alone. */
  configure(nodes: readonly NodeId[], change: ConfigChange): void {
    for (const id of nodes) this.#changes.set(this.#known(id), change);
  }
  /** Ends one node in order: unmounts, leaves the cluster. */
  async stop(id: NodeId): Promise<void> {
    await this.#stop(this.#known(id));
  }

  /** Waits until each of these nodes is a member and has every file system mounted, and they agree on the view. */
  async waitUntilUsable(nodes: readonly NodeId[] = this.nodes, timeoutMs = UP_TIMEOUT_MS): Promise<void> {
    let missing = "nothing looked at yet";
    const giveUpAt = performance.now() + timeoutMs;
    for (;;) {
      const found = await this.#whatIsMissing(nodes);
      if (found === undefined) return;
      missing = found;
      if (performance.now() > giveUpAt) break;
      await delay(POLL_MS);
    }
    throw new CommandFailure({
      asked: `bring up ${nodes.join(", ")} in ${this.directory}`, found: `after ${timeoutMs / 1000} s ${missing}`,
      next: `Look at ${nodes.map((id) => this.#logPath(id)).join(", ")}`,
    });
  }

  async document(): Promise<ClusterDocument> {
    const statuses = await Promise.all(this.nodes.map((id) => this.#tryStatus(id)));
    const members = statuses.filter((status) => status?.state === "member" && status.view !== null);
    const newest = members.reduce<StatusDocument | undefined>((best, status) =>
      best === undefined || (status?.view?.number ?? 0) > (best.view?.number ?? 0) ? status : best, undefined);
    const table = mountsBelow(this.directory);
    return {
      cluster: this.#plan.cluster,
      manager: newest?.view?.manager ?? null,
      epoch: newest?.view?.number ?? null,
      nodes: this.nodes.map((id, index) => ({
        id,
        pid: this.pid(id) ?? null,
        state: this.#describe(id, statuses[index]),
        socket: this.socket(id),
        mounts: this.#plan.fileSystems
          .map((fs) => ({ fs: fs.name, mountpoint: this.mountpoint(id, fs.name), backing: fs.backing }))
          .filter((mount) => table.some((entry) => entry.mountpoint === mount.mountpoint)),
      })),
    };
  }

  /** Ends every node in order and unmounts; with what is dead or stuck it makes an end. Idempotent. */
  async down(): Promise<void> {
    this.#downs++;
    this.#isGoingDown = true; // a start that is under way begins no further node
    await Promise.all(this.nodes.map((id) => this.#stop(id)));
    const stayed = this.#mountpoints().map(takeDown).filter((mount) => mount !== undefined);
    if (stayed.length === 0) return;
    throw new CommandFailure({
      asked: `take down the cluster in ${this.directory}`, found: `${stayed.map((m) => m.mountpoint).join(", ")} would not unmount`,
      next: "Look for whoever uses it (fuser -vm), end it, and ask again", exitCode: 2,
    });
  }

  /** SIGKILL: users of that node's mounts wait until it is started again. Returns when the process is gone. */
  async kill(id: NodeId): Promise<void> {
    const identity = this.#identity(id);
    if (identity === undefined || !signal(identity, "SIGKILL")) throw this.#refusal(`kill ${id}`, "it does not run");
    await this.#waitForEnd(identity, STOP_TIMEOUT_MS);
  }

  /** SIGSTOP: alive for the kernel, silent for everyone else. */
  pause(id: NodeId): void {
    this.#signal(id, "SIGSTOP", "pause");
  }
  resume(id: NodeId): void {
    this.#signal(id, "SIGCONT", "resume");
  }

  /** Ends the node if it runs (in order) and starts it again; users of its mounts only wait meanwhile. Returns when it is usable. */
  async restart(id: NodeId): Promise<void> {
    const downs = this.#downs;
    await this.#leave(this.#known(id));
    if (downs !== this.#downs) throw this.#refusal(`start ${id}`, "it is being taken down");
    await this.start([id]);
  }

  /** From now on neither hears the other; one way: `b` does not hear `a`. */
  async cut(a: NodeId, b: NodeId, isOneWay = false): Promise<void> {
    if (a === b) throw this.#refusal(`cut ${a} from ${b}`, "that is one node");
    this.#known(b);
    await this.call(a, "link.cut", { peer: b, direction: isOneWay ? "send" : "both" });
    if (!isOneWay) await this.call(b, "link.cut", { peer: a, direction: "both" });
  }

  /** From now on each frame between the two arrives so many milliseconds late, either way. */
  async slow(a: NodeId, b: NodeId, delayMs: number): Promise<void> {
    if (a === b) throw this.#refusal(`slow the link of ${a} and ${b}`, "that is one node");
    this.#known(b);
    await Promise.all([this.call(a, "link.slow", { peer: b, delayMs }), this.call(b, "link.slow", { peer: a, delayMs })]);
  }

  /** Mends every cut or slow link of the nodes that run. */
  async heal(): Promise<void> {
    await Promise.all(this.nodes.filter((id) => this.#stateOf(id) === "running").map((id) => this.call(id, "link.heal", {})));
  }

  /** One call of one node over a connection of its own. */
  call<N extends CallName>(id: NodeId, name: N, args: ArgsOf<N>, timeoutMs = 30_000): Promise<ResultOf<N>> {
    return callOnce(this.socket(id), name, args, timeoutMs);
  }
  status(id: NodeId): Promise<StatusDocument> {
    return this.call(id, "node.status", {}, STATUS_TIMEOUT_MS);
  }

  /** The process number of a node that runs. */
  pid(id: NodeId): number | undefined {
    const identity = this.#identity(id);
    return identity !== undefined && stateOf(identity) !== "dead" ? identity.pid : undefined;
  }
  log(id: NodeId): string {
    return existsSync(this.#logPath(id)) ? readFileSync(this.#logPath(id), "utf8") : "";
  }

  async #spawn(id: NodeId, environment: Readonly<Record<string, string>>): Promise<void> {
    const directory = nodeDirectory(this.#plan, id);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    mkdirSync(dirname(this.socket(id)), { recursive: true, mode: 0o700 });
    await this.#renewPort(id);
    if (this.#isGoingDown) throw this.#refusal(`start ${id}`, "it is being taken down");
    for (const mountpoint of this.#holder(id) === undefined ? this.#mountpoints(id) : []) {
      const stayed = takeDown(mountpoint);
      if (stayed !== undefined) throw this.#refusal(`start ${id}`, `a dead mount at ${mountpoint} would not go`);
      mkdirSync(mountpoint, { recursive: true });
    }
    for (const path of [this.socket(id), `${this.socket(id)}.fd`]) rmSync(path, { force: true });
    const config = join(directory, "node.yaml");
    writeFileSync(config, nodeFile(this.#plan, id, this.#changes.get(id)), { mode: 0o600 });
    const log = openSync(this.#logPath(id), "a", 0o600);
    const child = spawn(process.execPath, [daemonCommand, "--config", config], {
      cwd: "/", detached: true, stdio: ["ignore", log, log], env: { ...process.env, SLUICE_NO_BUILD: "1", ...environment },
    });
    closeSync(log);
    child.on("error", () => {}); // told by the absence of the process below
    child.unref();
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (identity === undefined) throw this.#refusal(`start ${id}`, "its process did not start");
    const path = this.#identityPath(id);
    writeFileSync(`${path}.new`, JSON.stringify(identity));
    renameSync(`${path}.new`, path);
  }

  /** The planned port if it is still free, else another one. */
  async #renewPort(id: NodeId): Promise<void> {
    const port = this.#plan.nodes.find((node) => node.id === id)?.port ?? 0;
    if (port !== 0 && (await isFree(port))) return;
    const fresh = await freePort();
    this.#plan = { ...this.#plan, nodes: this.#plan.nodes.map((node) => (node.id === id ? { ...node, port: fresh } : node)) };
    writePlan(this.#plan);
  }

  /** The process that keeps the node's mounts while no daemon serves them; undefined: none does. */
  #holder(id: NodeId): ProcessIdentity | undefined {
    const holder = readIdentity(`${this.socket(id)}.holder.json`);
    return holder === undefined || stateOf(holder) === "dead" ? undefined : holder;
  }
  /** Ends the daemon in order, but for its mounts: those are for the next one, where they can be. */
  async #leave(id: NodeId): Promise<void> {
    const identity = this.#identity(id);
    if (identity === undefined || stateOf(identity) === "dead") return;
    signal(identity, "SIGCONT");
    signal(identity, "SIGUSR2");
    if (await this.#hasEnded(identity, STOP_TIMEOUT_MS)) return;
    signal(identity, "SIGKILL");
    await this.#waitForEnd(identity, STOP_TIMEOUT_MS);
  }
  async #stop(id: NodeId): Promise<void> {
    const identity = this.#identity(id);
    if (identity !== undefined && stateOf(identity) !== "dead") {
      signal(identity, "SIGCONT");
      signal(identity, "SIGTERM");
      if (!(await this.#hasEnded(identity, STOP_TIMEOUT_MS))) {
        signal(identity, "SIGKILL");
        for (const mountpoint of this.#mountpoints(id)) takeDown(mountpoint);
        await this.#waitForEnd(identity, STOP_TIMEOUT_MS);
      }
    }
    for (const mountpoint of this.#mountpoints(id)) takeDown(mountpoint);
    const holder = this.#holder(id); // ends with the last of its mounts; one that does not is not waited for
    if (holder !== undefined && !(await this.#hasEnded(holder, HOLDER_END_MS)) && signal(holder, "SIGTERM")) await this.#waitForEnd(holder, STOP_TIMEOUT_MS);
    for (const path of [`${this.socket(id)}.holder`, `${this.socket(id)}.holder.json`]) rmSync(path, { force: true });
    rmSync(this.#identityPath(id), { force: true });
  }

  async #whatIsMissing(nodes: readonly NodeId[]): Promise<string | undefined> {
    const views = new Set<string>();
    for (const id of nodes) {
      if (this.#stateOf(id) === "dead") {
        throw new CommandFailure({
          asked: `start ${id}`, found: `its daemon ended at once:\n${lastLines(this.log(id))}\n`, next: `The whole log is ${this.#logPath(id)}`,
        });
      }
      const status = await this.#tryStatus(id);
      if (status === undefined) return `${id} does not answer yet`;
      if (status.state !== "member" || status.view === null) return `${id} is ${status.state}`;
      if (!status.view.isInForce) return `view ${status.view.number} is not in force on ${id}`;
      const absent = nodes.find((other) => !status.view?.members.some((member) => member.id === other));
      if (absent !== undefined) return `${id} does not see ${absent} in view ${status.view.number}`;
      views.add(`${status.view.number} ${status.view.manager}`);
      for (const fs of this.#plan.fileSystems) {
        const isMounted = status.fileSystems.some((entry) => entry.fs === fs.name && entry.isMounted);
        if (!isMounted || mountAt(this.mountpoint(id, fs.name)) === undefined) return `${fs.name} is not mounted on ${id}`;
        if (!status.view.members.some((member) => member.id === id && member.mounted.includes(fs.name))) return `${id} has not announced ${fs.name}`;
      }
    }
    return views.size > 1 ? `the nodes are in different views: ${[...views].join(", ")}` : undefined;
  }

  async #tryStatus(id: NodeId): Promise<StatusDocument | undefined> {
    if (this.#stateOf(id) !== "running") return undefined;
    try {
      return await this.status(id);
    } catch (error) {
      // Not listening yet, or stuck: the caller looks again or says so.
      return messageOf(error) === "" ? undefined : undefined;
    }
  }
  #describe(id: NodeId, status: StatusDocument | undefined): NodeEntry["state"] {
    const state = this.#stateOf(id);
    if (state === "dead") return "down";
    return state === "paused" ? "paused" : (status?.state ?? "unreachable");
  }
  #stateOf(id: NodeId): "running" | "paused" | "dead" {
    const identity = this.#identity(id);
    return identity === undefined ? "dead" : stateOf(identity);
  }
  #signal(id: NodeId, name: "SIGSTOP" | "SIGCONT", verb: string): void {
    const identity = this.#identity(id);
    if (identity === undefined || !signal(identity, name)) throw this.#refusal(`${verb} ${id}`, "it does not run");
  }
  #identity(id: NodeId): ProcessIdentity | undefined {
    return readIdentity(this.#identityPath(this.#known(id)));
  }
  async #hasEnded(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
    const giveUpAt = performance.now() + timeoutMs;
    while (stateOf(identity) !== "dead") {
      if (performance.now() > giveUpAt) return false;
      await delay(POLL_MS);
    }
    return true;
  }
  async #waitForEnd(identity: ProcessIdentity, timeoutMs: number): Promise<void> {
    if (await this.#hasEnded(identity, timeoutMs)) return;
    throw this.#refusal(`end process ${identity.pid}`, `it lives on ${timeoutMs / 1000} s after SIGKILL`);
  }
  #mountpoints(only?: NodeId): string[] {
    const ids = only === undefined ? this.nodes : [only];
    return ids.flatMap((id) => this.#plan.fileSystems.map((fs) => this.mountpoint(id, fs.name)));
  }
  #known(id: NodeId): NodeId {
    if (this.nodes.includes(id)) return id;
    throw this.#refusal(`find node ${id}`, `it has ${this.nodes.join(", ")}`);
  }
  #identityPath(id: NodeId): string {
    return join(nodeDirectory(this.#plan, id), "process.json");
  }
  #logPath(id: NodeId): string {
    return join(nodeDirectory(this.#plan, id), "log");
  }
  #refusal(asked: string, found: string): CommandFailure {
    return new CommandFailure({ asked: `${asked} in the cluster of ${this.#plan.directory}`, found, next: `sluice cluster status --dir ${this.#plan.directory} shows it` });
  }
}

function readIdentity(path: string): ProcessIdentity | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ProcessIdentity;
  } catch {
    return undefined; // A crash while it was written: rename makes that impossible, a full disk does not.
  }
}

/** The directory all nodes share: made private, since what is read round a mount may be a hole (safety H15). */
function prepareBacking(path: string): void {
  if (existsSync(path)) return;
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}
async function isFree(port: number): Promise<boolean> {
  const { createServer } = await import("node:net");
  return new Promise((answer) => {
    const server = createServer();
    server.once("error", () => answer(false));
    server.listen(port, "127.0.0.1", () => server.close(() => answer(true)));
  });
}
function lastLines(text: string): string {
  return text.trimEnd().split("\n").slice(-12).map((line) => `    ${line}`).join("\n");
}
export function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
