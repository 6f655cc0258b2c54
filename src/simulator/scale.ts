/**
 * `npm run simulate -- --scale [--nodes 10,30,100,300,1000] [--sessions 10,100,1000,4000]`: what each operation costs as nodes and sessions
 * grow: messages and packed bytes between nodes, processor time (of all nodes, of packing, and of the little world round them), simulated
 * time until it is over. A table of Markdown.
 *
 * Units     bytes as framed on the wire, without TCP; processor time is this machine's: compare within one run only.
 */
import { assert } from "../base/assert.js";
import type { FsName, Handle, NodeId, OperationId, SessionId } from "../dmapi/ids.js";
import { type Cost, ScaleWorld } from "./scale-world.js";

const FS = "fs1" as FsName;
const FSID = "00000000000000f5";
const SEAL = "5ea15ea15ea15ea1";
const FS_HANDLE = `${FSID}ffffffff${SEAL}` as Handle;
const FILE = `${FSID}0100000000000001${SEAL}` as Handle;
const SESSIONS_NODES = 5;

interface Row {
  readonly operation: string;
  readonly cost: Cost;
  readonly processorMs: number;
  readonly simulatedMs: number;
}

export function scale(nodeCounts: readonly number[], sessionCounts: readonly number[], print: (line: string) => void): void {
  print("| nodes | operation | messages | bytes | processor | simulated time |");
  print("|---|---|---|---|---|---|");
  for (const count of nodeCounts) for (const row of withNodes(count)) print(lineOf(String(count), row));
  print("");
  print(`| sessions on one of ${SESSIONS_NODES} nodes | operation | messages | bytes | processor | simulated time |`);
  print("|---|---|---|---|---|---|");
  for (const count of sessionCounts) for (const row of withSessions(count)) print(lineOf(String(count), row));
}

function* withNodes(count: number): Generator<Row> {
  const cluster = new ScaleWorld();
  yield measured(cluster, "start, until all are members", () => {
    cluster.start(count);
    cluster.runUntil(() => cluster.view?.members.length === count && cluster.isAtRest, 60_000);
  });
  cluster.runFor(10_000); // told again and again at first
  yield measured(cluster, "a second at rest", () => cluster.runFor(1_000));
  yield* operations(cluster);
}

function* withSessions(count: number): Generator<Row> {
  const cluster = new ScaleWorld();
  cluster.start(SESSIONS_NODES);
  cluster.runUntil(() => cluster.view?.members.length === SESSIONS_NODES && cluster.isAtRest, 60_000);
  const host = cluster.nodes[1]!;
  yield measured(cluster, "all are created, one after the other", () => {
    for (let at = 0; at < count - 1; at++) cluster.call(host, "session.create", { info: `session ${at} of many on one node` });
  });
  cluster.runFor(1_000);
  yield* operations(cluster);
}

/** On a cluster at rest; the last of them takes its manager away. */
function* operations(cluster: ScaleWorld): Generator<Row> {
  const [, host, source] = cluster.nodes as [NodeId, NodeId, NodeId];
  let session = 0 as SessionId;
  yield measured(cluster, "create a session", () => {
    ({ session } = cluster.call(host, "session.create", { info: "measured" }));
  });
  cluster.attach(FS, FS_HANDLE, FILE);
  yield measured(cluster, "mount on one node", () => void cluster.call(source, "fs.mount", { fs: FS }));
  yield measured(cluster, "set dispositions (first data events: a new view)", () => {
    cluster.call(host, "disposition.set", { session, fs: FS, events: ["read", "write"] });
    const before = cluster.view?.number;
    cluster.runUntil(() => cluster.view?.rightsServers?.includes(host) === true && cluster.isAtRest, 10_000);
    assert(before !== undefined, "there is a view");
  });
  yield measured(cluster, "set dispositions again", () => void cluster.call(host, "disposition.set", { session, fs: FS, events: ["read"] }));
  yield measured(cluster, "an event there and back", () => eventThereAndBack(cluster, { host, source, session }));
  const lost = cluster.nodes.at(-1)!;
  yield measured(cluster, "a node is lost, until all know", () => {
    cluster.kill(lost);
    cluster.runUntil(() => cluster.view?.members.every(({ id }) => id !== lost) === true && cluster.isAtRest, 60_000);
  });
  yield measured(cluster, "the manager is lost, until a call is answered", () => {
    cluster.kill(cluster.view!.manager);
    const asker = cluster.nodes.at(-1)!;
    cluster.call(asker, "session.create", { info: "after the takeover" });
  });
}

function eventThereAndBack(cluster: ScaleWorld, { host, source, session }: { host: NodeId; source: NodeId; session: SessionId }): void {
  const before = cluster.resumedCount;
  const asked = cluster.beginCall(host, "event.get", { session });
  cluster.step(source, { kind: "event-held", held: { operation: 1 as OperationId, fs: FS, event: { type: "read", handle: FILE, offset: 0, length: 1 }, isSynchronous: true } });
  const got = cluster.wait(asked);
  assert(got.kind === "answer-call", "the event comes");
  const [message] = got.result as readonly { token: never }[];
  cluster.call(host, "event.respond", { session, token: message!.token, response: { kind: "continue" } });
  cluster.runUntil(() => cluster.resumedCount > before, 1_000);
}

function measured(cluster: ScaleWorld, operation: string, run: () => void): Row {
  cluster.begin();
  const beganMs = cluster.world.nowMs;
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return { operation, cost: cluster.stop(), processorMs: (user + system) / 1_000, simulatedMs: cluster.world.nowMs - beganMs };
}

function lineOf(size: string, { operation, cost, processorMs, simulatedMs }: Row): string {
  const greetings = cost.kinds.get("greeting") ?? 0;
  const messages = greetings === 0 || greetings === cost.messages ? String(cost.messages) : `${cost.messages - greetings} + ${greetings} greetings`;
  return `| ${size} | ${operation} | ${messages} | ${bytesText(cost.bytes)} | ${processorMs.toFixed(processorMs < 10 ? 2 : 0)} ms | ${simulatedMs.toFixed(1)} ms |`;
}
function bytesText(bytes: number): string {
  if (bytes < 10_000) return `${bytes}`;
  return bytes < 10_000_000 ? `${(bytes / 1_000).toFixed(0)} k` : `${(bytes / 1_000_000).toFixed(1)} M`;
}
