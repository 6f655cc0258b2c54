/**
 * The plan of a cluster on this machine: what `cluster up` was asked for, kept in DIR/cluster.json, and where everything
 * of a node lies below DIR.
 *
 * Owns      DIR/cluster.json; names, directories, sockets and ports of the nodes.
 * Not here  the nodes' processes (local-cluster.ts), the daemon's configuration file (node-file.ts).
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { isFlag, isText, isWhole, listOf, mapOf, matching, oneOf, optional } from "../../base/shape.js";
import { type FsName, NAME_PATTERN, type NodeId } from "../../dmapi/ids.js";
import { CommandFailure, messageOf } from "../failure.js";

/** As it stands in the file; earlier versions knew no settings. */
type PlanFile = Omit<Plan, "directory" | "settings"> & { readonly settings?: Plan["settings"] };
const isName = matching(NAME_PATTERN);
const hasPlanShape = mapOf({
  format: oneOf([1]),
  cluster: isName,
  mode: oneOf(["fast", "exact"]),
  isFastFailover: isFlag,
  settings: optional(listOf(isText)),
  fileSystems: listOf(mapOf({ name: isName, backing: isText })),
  nodes: listOf(mapOf({ id: isName, port: isWhole, preference: isWhole })),
});
function isPlanFile(value: unknown): value is PlanFile {
  return hasPlanShape(value) && (value as PlanFile).nodes.length > 0;
}

export interface PlannedFileSystem {
  readonly name: FsName;
  readonly backing: string;
}
export interface PlannedNode {
  readonly id: NodeId;
  readonly port: number;
  readonly preference: number;
}
export interface Plan {
  readonly directory: string;
  readonly cluster: string;
  readonly mode: "fast" | "exact";
  readonly isFastFailover: boolean;
  /** KEY=VALUE for the file of each node (settings.ts). */
  readonly settings: readonly string[];
  readonly fileSystems: readonly PlannedFileSystem[];
  readonly nodes: readonly PlannedNode[];
}
/** What a caller asks for; what is absent stays as planned, or has its default. */
export interface Wish {
  readonly directory: string;
  readonly nodes?: number;
  /** NAME=BACKING; none: one file system fs1 with its backing below the directory. */
  readonly fileSystems?: readonly { readonly name: string; readonly backing: string }[];
  /** Sessions alone, for where nothing can be mounted. */
  readonly hasNoFileSystem?: true;
  readonly mode?: "fast" | "exact";
  /** Short time-outs, for trying faults; a loaded machine may then evict a living node. */
  readonly isFastFailover?: boolean;
  /** KEY=VALUE for the file of each node (settings.ts), in place of those of before. */
  readonly settings?: readonly string[];
  /** Greater is preferred as session manager; by node name. */
  readonly preferences?: Readonly<Record<string, number>>;
}

const NODES_MAX = 32;
const SOCKET_PATH_MAX = 100; // sun_path has 108 bytes, and ".fd" is appended

export function nodeDirectory(plan: Plan, id: NodeId): string {
  return join(plan.directory, "nodes", id);
}
export function mountpointOf(plan: Plan, id: NodeId, fs: FsName): string {
  return join(plan.directory, "mnt", id, fs);
}
export function coordinationDirectory(plan: Plan): string {
  return join(plan.directory, "coordination");
}
/** Beside the node's files where the path is short enough for a socket, else below /run. */
export function socketOf(plan: Plan, id: NodeId): string {
  const path = join(nodeDirectory(plan, id), "socket");
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  const digest = createHash("sha256").update(plan.directory).digest("hex").slice(0, 12);
  return join("/run/sluice", digest, `${id}.socket`);
}

/** The plan kept in a directory; undefined when there is none. */
export function readPlan(directory: string): Plan | undefined {
  const path = join(directory, "cluster.json");
  if (!existsSync(path)) return undefined;
  try {
    const file: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (!isPlanFile(file)) throw new Error("a key is missing, or has a value that cannot be");
    return fromFile(resolve(directory), file);
  } catch (error) {
    throw new CommandFailure({
      asked: `read the cluster in ${directory}`, found: `${path} is not a plan of ours (${messageOf(error).split("\n")[0]})`,
      next: "Restore the file, or remove the directory when no node of it runs any more",
    }, { cause: error });
  }
}

/** Joins what is wished with what is already planned, and keeps the result unless `check` throws. */
export async function makePlan(wish: Wish, check: (plan: Plan) => void = () => {}): Promise<Plan> {
  const directory = resolve(wish.directory);
  const kept = readPlan(directory);
  const plan = kept === undefined ? await newPlan(directory, wish) : await widen(kept, wish);
  check(plan);
  writePlan(plan);
  return plan;
}

export function writePlan(plan: Plan): void {
  try {
    mkdirSync(plan.directory, { recursive: true });
  } catch (error) {
    throw new CommandFailure({ asked: `keep a cluster in ${plan.directory}`, found: messageOf(error), next: "Name a directory that is there or can be made" }, { cause: error });
  }
  const { directory: _, ...rest } = plan;
  const path = join(plan.directory, "cluster.json");
  writeFileSync(`${path}.new`, `${JSON.stringify({ format: 1, ...rest }, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

async function newPlan(directory: string, wish: Wish): Promise<Plan> {
  const wished = wish.fileSystems ?? [];
  const fileSystems = wished.length > 0 || wish.hasNoFileSystem === true ? wished : [{ name: "fs1", backing: join(directory, "backing", "fs1") }];
  for (const fs of fileSystems) checkName(fs.name, "a file system");
  const names = new Set(fileSystems.map((fs) => fs.name));
  if (names.size !== fileSystems.length) throw refused(directory, "two file systems have the same name", "Give each --fs its own NAME");
  return {
    directory,
    cluster: `local-${createHash("sha256").update(directory).digest("hex").slice(0, 8)}`,
    mode: wish.mode ?? "fast",
    isFastFailover: wish.isFastFailover ?? false,
    settings: wish.settings ?? [],
    fileSystems: fileSystems.map((fs) => ({ name: fs.name as FsName, backing: resolve(fs.backing) })),
    nodes: await newNodes(1, checkCount(directory, wish.nodes ?? 3), wish),
  };
}

/** A cluster that exists may get more nodes; everything else of it stays as it is. */
async function widen(kept: Plan, wish: Wish): Promise<Plan> {
  const down = `Take it down first: sluice cluster down --dir ${kept.directory}`;
  const count = checkCount(kept.directory, wish.nodes ?? kept.nodes.length);
  if (count < kept.nodes.length) throw refused(kept.directory, `it has ${kept.nodes.length} nodes and ${count} are asked for`, `${down}, and remove the directory`);
  if (wish.mode !== undefined && wish.mode !== kept.mode) throw refused(kept.directory, `it was made in mode ${kept.mode}`, `${down}, and remove the directory`);
  for (const fs of wish.fileSystems ?? []) {
    const same = kept.fileSystems.find((other) => other.name === fs.name);
    if (same === undefined || same.backing !== resolve(fs.backing)) {
      throw refused(kept.directory, `it has ${kept.fileSystems.map((f) => `${f.name}=${f.backing}`).join(", ")}, not ${fs.name}=${fs.backing}`, `${down}, and remove the directory`);
    }
  }
  return {
    ...kept,
    isFastFailover: wish.isFastFailover ?? kept.isFastFailover,
    settings: wish.settings ?? kept.settings,
    nodes: [...kept.nodes, ...(await newNodes(kept.nodes.length + 1, count, wish))],
  };
}

async function newNodes(from: number, to: number, wish: Wish): Promise<PlannedNode[]> {
  const nodes: PlannedNode[] = [];
  for (let number = from; number <= to; number++) {
    const id = `node${number}` as NodeId;
    nodes.push({ id, port: await freePort(), preference: wish.preferences?.[id] ?? 0 });
  }
  return nodes;
}

/** A port nobody listens on at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolvePort(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

function checkName(text: string, what: string): void {
  if (NAME_PATTERN.test(text)) return;
  throw new CommandFailure({ asked: `name ${what} "${text}"`, found: "a name is letters, digits, dot, dash and underscore, at most 63", next: "Choose another name" });
}
function checkCount(directory: string, count: number): number {
  if (Number.isInteger(count) && count >= 1 && count <= NODES_MAX) return count;
  throw refused(directory, `${count} nodes are asked for`, `Ask for 1 to ${NODES_MAX}`);
}
function refused(directory: string, found: string, next: string): CommandFailure {
  return new CommandFailure({ asked: `bring up the cluster in ${directory}`, found, next });
}
function fromFile(directory: string, file: PlanFile): Plan {
  return {
    directory, cluster: file.cluster, mode: file.mode, isFastFailover: file.isFastFailover, settings: file.settings ?? [],
    fileSystems: file.fileSystems.map((fs) => ({ name: fs.name, backing: fs.backing })),
    nodes: file.nodes.map(({ id, port, preference }) => ({ id, port, preference })),
  };
}
