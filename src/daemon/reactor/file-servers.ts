/**
 * Threads of a file server that serves a mount to others: a slow application must not take them all, so they wait for the
 * answer to a data event no longer than the operator's limit and are told to try again; the kernel's NFS server then tells its
 * client so. The event of a read stays open meanwhile, and the retry, by whichever thread, joins it.
 *
 * Source    dmapiEventTimeout of XDSM clusters.
 */
import { WITHOUT_LIMIT_MS } from "../../cluster/node-contract.js";
import type { ProcessInfo } from "../../dmapi/events.js";
import { KEPT_MS } from "./kept-events.js";

/** Clients try again within a quarter of that. */
const SERVER_KEPT_MS = 60_000;

export function isServerThread(process: ProcessInfo): boolean {
  return process.command === "nfsd";
}
/** Undefined: it may wait without limit. */
export function serverLimitMs(process: ProcessInfo | undefined, eventTimeoutMs: number | undefined): number | undefined {
  if (process === undefined || eventTimeoutMs === undefined || eventTimeoutMs >= WITHOUT_LIMIT_MS || !isServerThread(process)) return undefined;
  return eventTimeoutMs;
}
/** For whom the event of an interrupted read is kept. */
export function keptFor(process: ProcessInfo): { pid: number; forMs: number } {
  return isServerThread(process) ? { pid: 0, forMs: SERVER_KEPT_MS } : { pid: process.pid, forMs: KEPT_MS };
}
