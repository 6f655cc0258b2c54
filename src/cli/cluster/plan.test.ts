import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { parseConfig } from "../../daemon/config.js";
import { CommandFailure } from "../failure.js";
import { nodeFile } from "./node-file.js";
import { makePlan, readPlan, socketOf } from "./plan.js";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-test-plan-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("a plan is kept, and the same wish finds it again", async () => {
  const plan = await makePlan({ directory, nodes: 2 });
  assert.deepEqual(plan.nodes.map((node) => node.id), ["node1", "node2"]);
  assert.deepEqual(plan.fileSystems, [{ name: "fs1", backing: join(directory, "backing", "fs1") }]);
  assert.deepEqual(await makePlan({ directory }), plan);
  assert.deepEqual(readPlan(directory), plan);
});

test("a plan may get more nodes, never fewer; file systems and mode stay", async () => {
  const plan = await makePlan({ directory, nodes: 2, fileSystems: [{ name: "a", backing: "/srv/a" }] });
  const wider = await makePlan({ directory, nodes: 3 });
  assert.deepEqual(wider.nodes.slice(0, 2), plan.nodes);
  assert.equal(wider.nodes.length, 3);
  await assert.rejects(makePlan({ directory, nodes: 1 }), CommandFailure);
  await assert.rejects(makePlan({ directory, mode: "exact" }), CommandFailure);
  await assert.rejects(makePlan({ directory, fileSystems: [{ name: "a", backing: "/elsewhere" }] }), CommandFailure);
  await makePlan({ directory, fileSystems: [{ name: "a", backing: "/srv/a" }] });
});

test("bad wishes and a file that is no plan are refused in words", async () => {
  await assert.rejects(makePlan({ directory, nodes: 0 }), CommandFailure);
  await assert.rejects(makePlan({ directory, fileSystems: [{ name: "a b", backing: "/x" }] }), CommandFailure);
  writeFileSync(join(directory, "cluster.json"), "{}");
  assert.throws(() => readPlan(directory), CommandFailure);
});

test("every node's file is accepted by the daemon's own schema, also with fast failover", async () => {
  for (const isFastFailover of [false, true]) {
    const plan = await makePlan({ directory, nodes: 3, isFastFailover });
    for (const node of plan.nodes) {
      const config = parseConfig(nodeFile(plan, node.id), "node.yaml");
      assert.equal(config.node, node.id);
      assert.equal(config.socket, socketOf(plan, node.id));
    }
  }
});

test("a directory with a long path has its sockets where their path fits", async () => {
  const plan = await makePlan({ directory: join(directory, "x".repeat(120)), nodes: 1 });
  assert(Buffer.byteLength(`${socketOf(plan, plan.nodes[0]!.id)}.fd`) < 108);
});
