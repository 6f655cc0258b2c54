/**
 * Which daemon an application talks to when it names none: SLUICE_SOCKET, else the only node running on this machine.
 *
 * A node listens on `<socket>` for calls and on `<socket>.fd` for descriptors; such a pair among the kernel's listening
 * sockets is a running node. Nothing on disk is consulted, so a crashed node leaves no trace here.
 */
import { readFileSync } from "node:fs";
import { DmError } from "../dmapi/errors.js";

const LISTENS = "00010000"; // __SO_ACCEPTCON in /proc/net/unix

/** Sockets of the nodes running here, from the text of /proc/net/unix. */
export function nodesListening(procNetUnix: string): string[] {
  const paths = new Set<string>();
  for (const line of procNetUnix.split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/);
    const path = fields.slice(7).join(" ");
    if (fields[3] === LISTENS && path.startsWith("/")) paths.add(path);
  }
  return [...paths].filter((path) => paths.has(`${path}.fd`)).sort();
}

/** Sockets of all nodes that run on this machine now. */
export function socketsOfNodes(): string[] {
  return nodesListening(readFileSync("/proc/net/unix", "latin1"));
}

/** @throws DmError ENOTREADY none or more than one node runs here and none was named. */
export function findSocket(named?: string): string {
  const chosen = named ?? process.env["SLUICE_SOCKET"];
  if (chosen !== undefined && chosen !== "") return chosen;
  const found = socketsOfNodes();
  const [only] = found;
  if (found.length === 1 && only !== undefined) return only;
  const what = found.length === 0 ? "no node runs on this machine" : `${found.length} nodes run on this machine (${found.join(", ")})`;
  throw new DmError("ENOTREADY", "connect", `${what}; name one by its socket (SLUICE_SOCKET or --socket PATH)`);
}
