import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { parseConfig } from "../../daemon/config.js";
import { CommandFailure } from "../failure.js";
import { checkNodeFiles, nodeFile } from "./node-file.js";
import { makePlan, readPlan, socketOf } from "./plan.js";
import { checkSetting } from "./settings.js";

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
  await assert.rejects(makePlan({ directory: "/etc/passwd/x" }), /keep a cluster in \/etc\/passwd\/x: ENOTDIR.*Name a directory/);
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

test("settings stand in every node's file, and are refused when a daemon would refuse them", async () => {
  const settings = ["timeouts.linkTimeoutMs=1500", "coordination.deadMs=20000", "fileSystems.ownerTimeout=error", "timeouts.linkTimeoutMs=2500"];
  const plan = await makePlan({ directory, nodes: 2, settings }, checkNodeFiles);
  for (const node of plan.nodes) {
    const config = parseConfig(nodeFile(plan, node.id), "node.yaml");
    assert.equal(config.timeouts.linkTimeoutMs, 2_500);
    assert.equal(config.coordination.deadMs, 20_000);
    assert.equal(config.fileSystems[0]!.ownerTimeout, "error");
  }
  assert.deepEqual((await makePlan({ directory }, checkNodeFiles)).settings, settings, "they are kept");
  await assert.rejects(makePlan({ directory, settings: ["timeouts.nonsense=1"] }, checkNodeFiles), /nonsense: unknown key; allowed/);
  assert.deepEqual(readPlan(directory)?.settings, settings, "a refused wish changes nothing");
  assert.throws(() => checkSetting("node=other"), CommandFailure);
  assert.throws(() => checkSetting("timeouts.linkTimeoutMs"), CommandFailure);
});

test("a directory with a long path has its sockets where their path fits", async () => {
  const plan = await makePlan({ directory: join(directory, "x".repeat(120)), nodes: 1 });
  assert(Buffer.byteLength(`${socketOf(plan, plan.nodes[0]!.id)}.fd`) < 108);
});
