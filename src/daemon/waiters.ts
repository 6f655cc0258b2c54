/**
 * Who is blocked, by what, for whom it waits, until when, and what happens then: what reactors, the source node and the calls
 * of applications know, joined with what the session nodes say of their applications.
 *
 * Owns      nothing.
 * Source    promise 2 (never a silent hang); blueprint 7.
 */
import { readFileSync } from "node:fs";
import type { NodeAnswer } from "../cluster/messages.js";
import type { Waiting } from "../cluster/source-node/held-event.js";
import { type ApplicationLease, classOf, describeFate } from "../dmapi/application-lease.js";
import { type EventType, isSynchronous } from "../dmapi/events.js";
import type { FsName, Handle, NodeId, SessionId } from "../dmapi/ids.js";
import type { QueueEntry, WaiterEntry } from "../dmapi/status.js";
import type { NodeParts } from "./node-services.js";

type WaitersAnswer = Extract<NodeAnswer, { kind: "waiters" }>;

/** And the counters of the reactors, which come with it. */
export async function waitersHere(parts: NodeParts): Promise<{ waiters: WaiterEntry[]; counters: Readonly<Record<string, number>> }> {
  const { config } = parts;
  const { dataManagement: { waiting }, usersWaitMs } = parts.machine.describe();
  const reported = await parts.fileSystems.report(config.node, waiting);
  const byOperation = new Map(waiting.flatMap((each) => (each.operation === undefined ? [] : [[each.operation as number, each] as const])));
  const users = reported.waiters.map((entry) => withPlace(withExclusion(withGuard(entry, config.timeouts.guardTimeoutMs), usersWaitMs), byOperation.get(entry.operation)));
  return { waiters: [...users, ...ownEvents(config.node, waiting), ...blockedCalls(parts)], counters: reported.counters };
}

function withPlace(entry: WaiterEntry, waiting: Waiting | undefined): WaiterEntry {
  if (waiting === undefined) return entry;
  return { ...entry, waitsFor: waiting.waitsFor, ...(waiting.leftMs !== undefined && { deadlineMs: Math.max(0, Math.round(waiting.leftMs)), fate: waiting.fate }) };
}
function withGuard(entry: WaiterEntry, guardTimeoutMs: number): WaiterEntry {
  if (entry.cause !== "guard") return entry;
  return { ...entry, waitsFor: "whoever holds the guard of the file", deadlineMs: Math.max(0, guardTimeoutMs - entry.ageMs), fate: "fails with EIO" };
}

function withExclusion(entry: WaiterEntry, usersWaitMs: number | undefined): WaiterEntry {
  if (entry.cause !== "excluded" || usersWaitMs === undefined) return entry;
  return { ...entry, waitsFor: "this node's return into the cluster", deadlineMs: Math.round(usersWaitMs), fate: "fails with ESTALE" };
}

/** Events that no user's operation waits for, but this daemon or an application does: mounts, messages. */
function ownEvents(node: NodeId, waiting: readonly Waiting[]): WaiterEntry[] {
  return waiting.filter((each) => each.operation === undefined).map((each) => ({
    node, operation: 0, call: each.event, fs: each.fs as FsName, pid: process.pid, uid: 0, command: "sluiced", ageMs: Math.round(each.ageMs),
    cause: each.cause as WaiterEntry["cause"], detail: each.detail, token: each.token, blocks: "", waitsFor: each.waitsFor,
    ...(each.session !== undefined && { session: each.session }),
    ...(each.leftMs !== undefined && { deadlineMs: Math.max(0, Math.round(each.leftMs)), fate: each.fate }),
  }));
}

/** Calls of applications that wait for a right, or for the session manager. */
function blockedCalls({ machine, config }: NodeParts): WaiterEntry[] {
  const { rights, manager, nowMs } = machine.blockedCalls();
  const of = (pid: number | undefined, sinceMs: number) => ({ node: config.node, operation: 0, pid: pid ?? process.pid, ...ownerOf(pid), ageMs: Math.round(nowMs - sinceMs), blocks: "" });
  const chief = machine.view?.manager;
  return [
    ...rights.map(({ call, handle, fs, token, right, sinceMs }): WaiterEntry => ({
      ...of(call.pid, sinceMs), call: call.name, fs, handle, token, cause: "right", detail: `the ${right} right on the object`, waitsFor: "users at work on it, and whoever holds a right on it",
    })),
    ...manager.map(({ call, sinceMs }): WaiterEntry => ({
      ...of(call.pid, sinceMs), call: call.name, fs: "" as FsName, cause: "takeover", detail: "the session manager has not answered yet",
      waitsFor: chief === undefined ? "a session manager" : `session manager ${chief}`,
    })),
  ];
}
/** Safety M1: of /proc only what waits for no lock of the process. */
function ownerOf(pid: number | undefined): { uid: number; command: string } {
  if (pid === undefined || pid === process.pid) return { uid: process.getuid?.() ?? 0, command: "sluiced" };
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return { uid: Number(/^Uid:\s*(\d+)/m.exec(status)?.[1] ?? 0), command: /^Name:\s*(\S.*)$/m.exec(status)?.[1] ?? "" };
  } catch {
    return { uid: 0, command: "" }; // it has ended
  }
}

/** What the session nodes add: which process has the event, what its lease will do; and who holds rights. */
export function joined(answers: readonly (WaitersAnswer & { readonly node: NodeId })[], leaseOf: (session: SessionId) => ApplicationLease | undefined): WaiterEntry[] {
  const queues = new Map(answers.flatMap(({ node, queues: all }) => all.map((queue) => [queue.session, { node, queue }] as const)));
  const holders = new Map<Handle, string[]>();
  for (const { node, held } of answers) {
    for (const { handle, holder, right } of held) holders.set(handle, [...(holders.get(handle) ?? []), `${right} by ${holderText(holder)} on ${node}`]);
  }
  return answers.flatMap(({ waiters }) => waiters).map((entry) => withHolders(withApplication(entry, queues, leaseOf), holders));
}

function withApplication(entry: WaiterEntry, queues: ReadonlyMap<SessionId, { node: NodeId; queue: QueueEntry }>, leaseOf: (session: SessionId) => ApplicationLease | undefined): WaiterEntry {
  const { session, token } = entry;
  const host = session === undefined ? undefined : queues.get(session);
  if (session === undefined || host === undefined || (entry.cause !== "event" && entry.cause !== "queue")) return entry;
  const delivered = host.queue.outstanding.find((each) => each.token === token);
  const isLost = host.queue.application?.lostInMs === 0;
  const state = isLost ? "it has no application" : delivered !== undefined ? "its application has the event" : host.queue.waitingReaders === 0 ? "nobody has fetched the event yet" : "on its way";
  const pids = host.queue.application?.pids ?? [];
  const waitsFor = `session ${session} on ${host.node}: ${state}${pids.length === 0 || isLost ? "" : ` (pid ${pids.join(", ")})`}`;
  return { ...entry, waitsFor, ...leaseDeadline(entry, host.queue, delivered?.event, leaseOf(session)) };
}

/** The fate of its lease, where that comes before any other deadline. */
function leaseDeadline(entry: WaiterEntry, queue: QueueEntry, event: EventType | undefined, lease: ApplicationLease | undefined): Pick<WaiterEntry, "deadlineMs" | "fate"> {
  const lostInMs = queue.application?.lostInMs;
  const type = event ?? (isEventOfCall(entry.call) ? entry.call : undefined);
  if (lease === undefined || lostInMs === undefined || lostInMs === 0 || type === undefined) return {};
  const name = classOf(type, isSynchronous(type));
  const fate = name === undefined ? undefined : lease.onLost[name];
  if (fate === undefined || fate.kind === "wait" || lostInMs >= (entry.deadlineMs ?? Number.POSITIVE_INFINITY)) return {};
  return { deadlineMs: lostInMs, fate: `${describeFate(fate)}, unless the application is heard of` };
}
function isEventOfCall(call: string): call is EventType {
  return call === "read" || call === "write" || call === "truncate" || call === "mount" || call === "preunmount" || call === "unmount";
}

function withHolders(entry: WaiterEntry, holders: ReadonlyMap<Handle, readonly string[]>): WaiterEntry {
  if ((entry.cause !== "fence" && entry.cause !== "right") || entry.handle === undefined) return entry;
  const found = holders.get(entry.handle)?.filter((text) => entry.token === undefined || !text.includes(`token ${entry.token} `));
  return found === undefined || found.length === 0 ? entry : { ...entry, waitsFor: found.join("; ") };
}
function holderText(holder: string): string {
  const token = /\.t(\d+)$/.exec(holder)?.[1];
  return token === undefined ? "a call" : `token ${token}`;
}
