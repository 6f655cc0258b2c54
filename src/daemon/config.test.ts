/** node.yaml: every fault is told with its key, the value found and what is allowed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError, parseConfig, readConfig } from "./config.js";

const good = `
cluster: demo
node: a
address: 127.0.0.1:7801
socket: /run/sluice/a.sock
coordination: { directory: /srv/coordination }
fileSystems:
  - { name: fs1, backing: /srv/fs1/, mountpoint: /mnt/fs1 }
timeouts: { ownerTimeoutMs: 5000 }
`;

test("a small file is enough; the rest has defaults", () => {
  const config = parseConfig(good, "node.yaml");
  assert.equal(config.coordination.driver, "shared-volume");
  assert.deepEqual(config.fileSystems[0], {
    name: "fs1", backing: "/srv/fs1", mountpoint: "/mnt/fs1", mode: "fast", passthrough: "yes", backingCalls: "auto", autoMount: true, mountEvents: "optional", dataEventRetry: 2, ownerTimeout: "wait",
    heldBytesMax: 268_435_456, keepsNames: true, keepsNamesBeside: true,
  });
  assert.equal(config.timeouts.ownerTimeoutMs, 5000);
  assert.equal(config.timeouts.linkGraceMs, 2000);
  assert.equal(config.eligible, true);
  assert.equal(config.mountEvent, "all");
  const { eventTimeoutMs, sessionFailureTimeoutMs, mountTimeoutMs } = config.timeouts;
  assert.deepEqual({ eventTimeoutMs, sessionFailureTimeoutMs, mountTimeoutMs }, { eventTimeoutMs: 86_400_000, sessionFailureTimeoutMs: 300_000, mountTimeoutMs: 60_000 });
});

test("what a program writes as JSON is read as the same; a key that stands in it twice is a fault", () => {
  const config = parseConfig(good, "node.yaml");
  const { timeouts: _, ...file } = config;
  const text = `${JSON.stringify(file, undefined, 2)}\n`;
  assert.deepEqual(parseConfig(text, "node.yaml"), parseConfig(good.replace(/timeouts.*/, ""), "node.yaml"));
  assert.throws(() => parseConfig(text.replace("{", '{\n  "cluster": "other",'), "node.yaml"), /not YAML: Map keys must be unique/);
});

const faults: readonly [string, (text: string) => string, RegExp][] = [
  ["a wrong type", (text) => text.replace("cluster: demo", "cluster: 7"), /^node\.yaml: cluster: found 7; allowed: letters, digits/],
  ["a missing key", (text) => text.replace("node: a\n", ""), /node: found nothing; allowed: letters/],
  ["a choice", (text) => text.replace("/mnt/fs1 }", "/mnt/fs1, mode: slow }"), /fileSystems\[0\]\.mode: found "slow"; allowed: "fast" or "exact"/],
  ["an unknown key", (text) => `${text}colour: red\n`, /colour: unknown key; allowed: the keys cluster, node, address/],
  ["an unknown key inside", (text) => text.replace("/mnt/fs1 }", "/mnt/fs1, size: 1 }"), /fileSystems\[0\]\.size: unknown key; allowed: the keys name, backing/],
  ["a time-out", (text) => text.replace("5000", "soon"), /timeouts\.ownerTimeoutMs: found "soon"; allowed: a whole number from 0 to/],
  ["a mount event scope", (text) => `${text}mountEvent: some\n`, /mountEvent: found "some"; allowed: "all" or "SessionNode" or "LocalNode"/],
  ["an owner time-out", (text) => text.replace("/mnt/fs1 }", "/mnt/fs1, ownerTimeout: never }"), /ownerTimeout: found "never"; allowed: "wait" or "error" or "ignore"/],
  ["a retry", (text) => text.replace("/mnt/fs1 }", "/mnt/fs1, dataEventRetry: -2 }"), /dataEventRetry: found -2; allowed: a whole number from -1 to 1000/],
  ["a time without end", (text) => text.replace("5000", "-1"), /timeouts\.ownerTimeoutMs: found -1; allowed: a whole number from 0/],
  ["a port", (text) => text.replace(":7801", ":0"), /address: found "127\.0\.0\.1:0"; allowed: host:port/],
  ["a relative path", (text) => text.replace("/srv/fs1/", "fs1"), /fileSystems\[0\]\.backing: found "fs1"; allowed: an absolute path/],
  ["a driver", (text) => text.replace("{ directory", "{ driver: zookeeper, directory"), /coordination\.driver: found "zookeeper"; allowed: "shared-volume"/],
  ["lease times", (text) => text.replace("{ directory", "{ renewMs: 1000, holdMs: 2000, directory"), /coordination\.holdMs: found 2000; allowed: at least 4 times renewMs/],
  ["one name twice", (text) => text.replace("timeouts", "  - { name: fs1, backing: /srv/b, mountpoint: /mnt/b }\ntimeouts"), /fileSystems\[1\]\.name: found "fs1"; allowed: another one/],
  ["a value that contains itself", (text) => text.replace("cluster: demo", "cluster: &a [*a]"), /cluster: found a value that contains itself; allowed: letters/],
  ["more than a configuration can be", (text) => text + "#".repeat(70_000), /characters; at most 65536 are allowed/],
  ["not a map", () => "just text", /the whole file: found "just text"; allowed: a map with the keys cluster/],
  ["not YAML", () => "a: [", /not YAML/],
  ["nothing", () => "", /the whole file: found null/],
];
for (const [what, spoil, expected] of faults) {
  test(`a fault is named: ${what}`, () => {
    assert.throws(() => parseConfig(spoil(good), "node.yaml"), (error: unknown) => error instanceof ConfigError && expected.test(error.message) || assert.fail(String(error)));
  });
}

test("a file that is not there is named", () => {
  assert.throws(() => readConfig("/nonexistent/node.yaml"), /\/nonexistent\/node\.yaml: ENOENT/);
});
