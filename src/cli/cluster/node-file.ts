/**
 * The configuration file of one daemon of a local cluster, as JSON, which is YAML too: neither the command nor the daemon
 * then needs the YAML library to begin.
 *
 * Units     milliseconds.
 */
import type { NodeConfigFile } from "../../daemon/config.js";
import type { NodeId } from "../../dmapi/ids.js";
import { coordinationDirectory, mountpointOf, nodeDirectory, type Plan, socketOf } from "./plan.js";

/** Fast failover: a frozen node is given up after 1.5 s instead of 6. A machine under load may then lose living ones. */
const fastFailover = { renewMs: 100, holdMs: 800, deadMs: 1_500 };

export function nodeFile(plan: Plan, id: NodeId): string {
  const node = plan.nodes.find((entry) => entry.id === id);
  const file: NodeConfigFile = {
    cluster: plan.cluster,
    node: id,
    address: `127.0.0.1:${node?.port ?? 0}`,
    socket: socketOf(plan, id),
    coordination: { driver: "shared-volume", directory: coordinationDirectory(plan), ...(plan.isFastFailover ? fastFailover : {}) },
    preference: node?.preference ?? 0,
    fileSystems: plan.fileSystems.map((fs) => ({ name: fs.name, backing: fs.backing, mountpoint: mountpointOf(plan, id, fs.name), mode: plan.mode })),
    logFile: `${nodeDirectory(plan, id)}/messages.jsonl`,
  };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}
