/**
 * Daemons that end and come back beneath the users of their mounts: killed, or restarted in good order, one after the other.
 * The users' open files, locks, mappings and operations under way outlive them.
 *
 * Source    safety H11.
 */
import { Random } from "../base/random.js";
import { delay } from "../cli/cluster/local-cluster.js";
import type { Run } from "../torture/run.js";

const PAUSE_MS = { min: 500, max: 6_000 };

/** Until the run stops moving files. A node that does not come back is a problem. */
export async function keepRestarting(run: Run): Promise<void> {
  const random = new Random(run.seed + 2);
  while (!run.isEnding && run.isMoving) {
    await delay(random.between(PAUSE_MS.min, PAUSE_MS.max));
    if (run.isEnding || !run.isMoving) return;
    const node = random.pick(run.nodes);
    const isKilled = random.chance(0.5);
    run.note(`${isKilled ? "kill" : "restart"} of ${node}`);
    try {
      if (isKilled) {
        await run.cluster.kill(node);
        await run.cluster.start([node]);
      } else await run.cluster.restart(node);
      run.count(isKilled ? "daemons killed" : "daemons restarted");
    } catch (error) {
      if (!run.isEnding) run.problems.push(`${node} after its daemon was ${isKilled ? "killed" : "restarted"}: ${String(error)}`);
      return;
    }
  }
}
