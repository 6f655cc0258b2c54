/**
 * The configuration file of one daemon of a local cluster, as JSON, which is YAML too: neither the command nor the daemon
 * then needs the YAML library to begin.
 *
 * Units     milliseconds.
 */
import { ConfigError, type NodeConfigFile, parseConfig } from "../../daemon/config.js";
import type { NodeId } from "../../dmapi/ids.js";
import { CommandFailure } from "../failure.js";
import { coordinationDirectory, mountpointOf, nodeDirectory, type Plan, socketOf } from "./plan.js";
import { withSettings } from "./settings.js";

export type ConfigChange = (file: NodeConfigFile) => NodeConfigFile;

/** Fast failover: a frozen node is given up after 1.5 s instead of 6. A machine under load may then lose living ones. */
const fastFailover = { renewMs: 100, holdMs: 800, deadMs: 1_500 };

/** @param change of what the plan says, for whoever wants to try a setting. */
export function nodeFile(plan: Plan, id: NodeId, change: ConfigChange = (file) => file): string {
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
  return `${JSON.stringify(change(withSettings(file, plan.settings)), undefined, 2)}\n`;
}

/** @throws CommandFailure when a daemon would refuse what the plan gives it. */
export function checkNodeFiles(plan: Plan): void {
  for (const { id } of plan.nodes) {
    try {
      parseConfig(nodeFile(plan, id), "node.yaml");
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new CommandFailure({ asked: `bring up the cluster in ${plan.directory}`, found: error.message, next: "Change --set, then ask again" }, { cause: error });
    }
  }
}
