/** The demonstration's stage is taken down whole, whenever that happens: also while its cluster is only half started. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { acceptance } from "../../conformance/bench.js";
import { eventually } from "../../conformance/waiting.js";
import { mountsBelow } from "../cluster/mounts.js";
import { Stage } from "./stage.js";

/** Whether any process was started with a word of that directory. */
function processesOf(directory: string): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ");
      return command.includes(directory) ? [`${name} ${command}`] : [];
    } catch {
      return []; // it has ended
    }
  });
}

const moments: readonly [string, (stage: Stage) => boolean][] = [
  ["nothing has begun", () => true],
  ["the first daemon was started", (stage) => existsSync(join(stage.directory, "cluster", "nodes", "node1", "process.json"))],
  ["something is mounted", (stage) => mountsBelow(stage.directory).length > 0],
];
for (const [moment, hasCome] of moments) {
  acceptance(`taken down when ${moment}, nothing is left behind`, async () => {
    const stage = new Stage();
    let failure: unknown;
    const opened = stage.open(2, ["fs1"]).catch((error: unknown) => {
      failure = error;
    });
    try {
      await eventually(moment, () => hasCome(stage));
    } finally {
      await stage.close();
    }
    await opened;
    assert.match(String(failure), /taken down|its daemon ended/);
    assert.deepEqual(mountsBelow(stage.directory), []);
    assert.ok(!existsSync(stage.directory));
    await eventually("every process of it has ended", () => processesOf(stage.directory).length === 0, undefined, () => processesOf(stage.directory).join("\n"));
  });
}
