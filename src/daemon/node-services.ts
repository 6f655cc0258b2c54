/**
 * The calls that the node answers about itself: status, waiters, message log, links, file systems, stop.
 *
 * Owns      nothing; it reads what the parts say of themselves and puts it into one document.
 * Source    dmapi/status.ts; requirements 1.2.
 */
import { readFileSync } from "node:fs";
import type { ClusterNode } from "../cluster/node.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import type { NodeId } from "../dmapi/ids.js";
import type { StatusDocument, WaiterEntry } from "../dmapi/status.js";
import type { Links } from "../wire/links.js";
import type { NodeConfig } from "./config.js";
import type { FileSystems } from "./file-systems.js";
import type { MessageLog } from "./message-log.js";

export interface NodeParts {
  readonly config: NodeConfig;
  readonly machine: ClusterNode;
  readonly links: Links;
  readonly fileSystems: FileSystems;
  readonly log: MessageLog;
  /** Counters of the driver, the sockets and the volume. */
  readonly counters: () => Readonly<Record<string, number>>;
  readonly isStopping: () => boolean;
  readonly stop: () => void;
}
const ownCalls = ["node.status", "node.waiters", "node.log", "link.cut", "link.heal", "node.stop", "fs.list"] as const satisfies readonly CallName[];
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
      void waitersOf(parts).then(answer);
      return nothing;
    case "node.log":
      return readLog(parts.log, args as ArgsOf<"node.log">, answer);
    case "link.cut": {
      const { peer, direction } = args as ArgsOf<"link.cut">;
      parts.links.cut(peer, direction);
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
  const reported = await parts.fileSystems.report(config.node, parts.machine.describe().dataManagement.waiting);
  const described = parts.machine.describe();
  const { dataManagement } = described;
  const linksByPeer = new Map(parts.links.status().map((link) => [link.peer, link]));
  return {
    node: config.node, incarnation: described.incarnation, cluster: config.cluster, pid: process.pid, version,
    state: parts.isStopping() ? "stopping" : described.state,
    view: described.view,
    registry: described.registry,
    queues: dataManagement.queues,
    waiters: [...reported.waiters, ...ownWaiters(parts)],
    rights: dataManagement.rights,
    fileSystems: parts.fileSystems.list().map(({ config: { backing, mode, mountpoint: planned }, attached, mountpoint }) => {
      const place = mountpoint ?? planned;
      return { fs: attached.fs, backing, mode, isMounted: mountpoint !== undefined, capabilities: attached.capabilities, ...(place !== undefined && { mountpoint: place }) };
    }),
    links: described.links.map(({ peer, unacknowledged }) => {
      const link = linksByPeer.get(peer);
      return { peer, isUp: link?.isUp ?? false, isCut: link?.isCut ?? false, unacknowledged, ...(link?.version !== undefined && { version: link.version }), ...(link?.trouble !== undefined && { trouble: link.trouble }) };
    }),
    counters: { ...parts.counters(), ...dataManagement.counters, ...reported.counters },
  };
}

async function waitersOf(parts: NodeParts): Promise<WaiterEntry[]> {
  const reported = await parts.fileSystems.report(parts.config.node, parts.machine.describe().dataManagement.waiting);
  return [...reported.waiters, ...ownWaiters(parts)];
}

/** Events that no user's operation waits for, but this daemon or an application does: mounts, messages. */
function ownWaiters({ machine, config }: NodeParts): WaiterEntry[] {
  return machine.describe().dataManagement.waiting.filter((each) => each.operation === undefined).map((each) => ({
    node: config.node as NodeId, operation: 0, call: each.event, fs: each.fs as WaiterEntry["fs"], pid: process.pid, uid: 0, command: "sluiced",
    ageMs: Math.round(each.ageMs), cause: each.cause as WaiterEntry["cause"], detail: each.detail, token: each.token, blocks: "",
  }));
}
