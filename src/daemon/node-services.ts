/**
 * The calls that the node answers about itself: status, waiters, message log, links, file systems, stop.
 *
 * Owns      nothing; it reads what the parts say of themselves and puts it into one document.
 * Source    dmapi/status.ts; requirements 1.2.
 */
import { readFileSync } from "node:fs";
import type { ClusterNode } from "../cluster/node.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import type { FsName, NodeId, Token } from "../dmapi/ids.js";
import type { RenewalsEntry, ReserveEntry, StatusDocument, TraceDocument, WaitersDocument } from "../dmapi/status.js";
import type { Links } from "../wire/links.js";
import type { NodeConfig } from "./config.js";
import type { NodeAnswer, NodeQuestion } from "../cluster/messages.js";
import { describeBusyMount } from "./busy-mount.js";
import type { FileSystems } from "./file-systems.js";
import { joined, waitersHere } from "./waiters.js";
import type { LockCircles } from "./lock-circles.js";
import type { MemberQuestions } from "./member-questions.js";
import type { MessageLog } from "./message-log.js";

export interface NodeParts {
  readonly config: NodeConfig;
  readonly machine: ClusterNode;
  readonly links: Links;
  readonly fileSystems: FileSystems;
  readonly log: MessageLog;
  readonly questions: MemberQuestions;
  readonly circles: LockCircles;
  readonly bootId: string;
  readonly reserve: (fs: FsName) => ReserveEntry | undefined;
  readonly trouble: (fs: FsName) => string | undefined;
  readonly renewals: () => RenewalsEntry;
  /** Counters of the driver, the sockets and the volume. */
  readonly counters: () => Readonly<Record<string, number>>;
  readonly isStopping: () => boolean;
  readonly stop: () => void;
}
const ownCalls = ["node.status", "node.waiters", "cluster.waiters", "cluster.trace", "node.log", "link.cut", "link.slow", "link.heal", "node.stop", "fs.list"] as const satisfies readonly CallName[];
export type OwnCall = (typeof ownCalls)[number];

export function isOwnCall(name: string): name is OwnCall {
  return (ownCalls as readonly string[]).includes(name);
}

export const version = (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;

/** Calls `answer` once, now or later; what comes back gives a waiting call up. */
export function runOwnCall(parts: NodeParts, name: OwnCall, args: unknown, answer: (result: unknown) => void): () => void {
  switch (name) {
    case "node.status":
      void statusOf(parts).then(answer);
      return nothing;
    case "node.waiters":
      void waitersHere(parts).then(({ waiters }) => answer(waiters));
      return nothing;
    case "cluster.waiters":
      void clusterWaiters(parts).then(answer);
      return nothing;
    case "cluster.trace":
      void clusterTrace(parts, (args as ArgsOf<"cluster.trace">).token).then(answer);
      return nothing;
    case "node.log":
      return readLog(parts.log, args as ArgsOf<"node.log">, answer);
    case "link.cut": {
      const { peer, direction } = args as ArgsOf<"link.cut">;
      parts.links.cut(peer, direction);
      answer({});
      return nothing;
    }
    case "link.slow": {
      const { peer, delayMs } = args as ArgsOf<"link.slow">;
      parts.links.slow(peer, delayMs);
      answer({});
      return nothing;
    }
    case "link.heal":
      parts.links.heal((args as ArgsOf<"link.heal">).peer);
      answer({});
      return nothing;
    case "fs.list":
      answer(listFileSystems(parts));
      return nothing;
    case "node.stop":
      answer({});
      parts.stop();
      return nothing;
  }
}
function nothing(): void {}

function readLog(log: MessageLog, { after = 0, waitMs = 0, max }: ArgsOf<"node.log">, answer: (result: unknown) => void): () => void {
  const read = () => log.after(after, max);
  if (waitMs === 0 || log.count > after) {
    answer(read());
    return nothing;
  }
  return log.wait(waitMs, () => answer(read()));
}

function listFileSystems({ fileSystems }: NodeParts): ResultOf<"fs.list"> {
  return fileSystems.list().map(({ config, attached, mountpoint }) => ({
    fs: attached.fs, handle: attached.handle, backing: config.backing, rootHandle: attached.rootHandle, ...(mountpoint !== undefined && { mountpoint }),
  }));
}

async function statusOf(parts: NodeParts): Promise<StatusDocument> {
  const { config } = parts;
  const { waiters, counters } = await waitersHere(parts);
  const described = parts.machine.describe();
  const { dataManagement } = described;
  return {
    node: config.node, incarnation: described.incarnation, cluster: config.cluster, pid: process.pid, version,
    state: parts.isStopping() ? "stopping" : described.state,
    view: described.view,
    registry: described.registry,
    queues: dataManagement.queues,
    waiters,
    rights: dataManagement.rights,
    fileSystems: parts.fileSystems.list().map(({ config: { backing, mode, mountpoint: planned }, attached, mountpoint }) => {
      const place = mountpoint ?? planned;
      const reserve = parts.reserve(attached.fs);
      const trouble = parts.trouble(attached.fs);
      return {
        fs: attached.fs, backing, mode, isMounted: mountpoint !== undefined, capabilities: attached.capabilities,
        ...(place !== undefined && { mountpoint: place }), ...(reserve !== undefined && { reserve }), ...(trouble !== undefined && { trouble }),
      };
    }),
    renewals: parts.renewals(),
    links: linksOf(parts),
    counters: { ...parts.counters(), ...dataManagement.counters, ...counters },
  };
}

/** Every peer that is spoken to, also before it or this node is a member. */
function linksOf({ links, machine }: NodeParts): StatusDocument["links"] {
  const unacknowledged = new Map(machine.describe().links.map((link) => [link.peer, link.unacknowledged]));
  const wanted = links.status();
  const others = [...unacknowledged.keys()].filter((peer) => !wanted.some((link) => link.peer === peer)).map((peer) => ({ peer, isUp: false, isCut: false }));
  return [...wanted, ...others].map((link) => ({ ...link, unacknowledged: unacknowledged.get(link.peer) ?? 0 }));
}

/** What this node answers another, or itself. */
export async function answerMember(parts: NodeParts, about: NodeQuestion): Promise<NodeAnswer> {
  if (about.kind === "trace") return { kind: "trace", bootId: parts.bootId, ...parts.machine.trace(about.token) };
  if (about.kind === "locks") {
    if (about.hasCircle) parts.circles.look(about.fs);
    const report = await parts.fileSystems.lockReport(about.fs);
    return { kind: "locks", ...(report !== undefined && { report }) };
  }
  const { waiters } = await waitersHere(parts);
  const { queues, rights } = parts.machine.describe().dataManagement;
  return { kind: "waiters", waiters, queues, held: rights.held };
}

/** Why it cannot be unmounted just now: who holds what, and what to do. */
export async function busyMount(parts: NodeParts, fs: FsName): Promise<string> {
  const { waiters } = await clusterWaiters(parts);
  const mountpoint = parts.fileSystems.list().find(({ attached }) => attached.fs === fs)?.mountpoint ?? "";
  return describeBusyMount(fs, mountpoint, waiters.filter((entry) => entry.node === parts.config.node && entry.fs === fs && entry.operation !== 0));
}

async function clusterWaiters(parts: NodeParts): Promise<WaitersDocument> {
  const [own, { answers, silent }] = await Promise.all([answerMember(parts, { kind: "waiters" }), parts.questions.ask({ kind: "waiters" })]);
  const all = [{ node: parts.config.node, answer: own }, ...answers].flatMap(({ node, answer }) => (answer.kind === "waiters" ? [{ node, ...answer }] : []));
  const { sessions } = parts.machine.describe().registry;
  return { waiters: joined(all, (session) => sessions.find(({ id }) => id === session)?.lease), silent };
}

/** Processes of one boot have one monotonic clock: between them the order is exact. */
async function clusterTrace(parts: NodeParts, token: Token): Promise<TraceDocument> {
  const own = { kind: "trace", bootId: parts.bootId, ...parts.machine.trace(token) } as const;
  const { answers, silent } = await parts.questions.ask({ kind: "trace", token });
  const steps = [{ node: parts.config.node as NodeId, answer: own as NodeAnswer }, ...answers].flatMap(({ node, answer }) => {
    if (answer.kind !== "trace") return [];
    const aheadMs = answer.bootId === own.bootId ? own.aheadMs : answer.aheadMs;
    return answer.steps.map(({ atMs, ...step }) => ({ node, unixMs: atMs + aheadMs, ...step }));
  });
  return { token, steps: steps.sort((a, b) => a.unixMs - b.unixMs), silent };
}
