/** Nodes put together without FUSE: a cluster forms, calls go round, faults on start are told. Waits are on status documents. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { StatusDocument } from "../dmapi/status.js";
import { HandleSeal } from "../volume/handle-seal.js";
import { ApplicationClient } from "../wire/application-client.js";
import { type NodeConfig, parseConfig } from "./config.js";
import { mountInProcess } from "./in-process.js";
import { NodeProcess } from "./node-process.js";
import type { NodeVolumes, VolumeNeeds } from "./node-volumes.js";

const top = mkdtempSync(join(tmpdir(), "sluice-test-"));
const nodes: NodeProcess[] = [];
const clients: ApplicationClient[] = [];
after(async () => {
  for (const client of clients) client.close();
  await Promise.all(nodes.map((node) => node.stop()));
  rmSync(top, { recursive: true, force: true });
});

/** A volume that attaches and can do nothing else. */
function emptyVolumes(needs: VolumeNeeds): NodeVolumes {
  const seal = new HandleSeal(needs.clusterKey);
  return {
    attach: async ({ name }) => ({ fs: name, handle: seal.seal("0011223344556677", "fs", ""), rootHandle: seal.seal("0011223344556677", 1, "aabbccdd00112233"), eventList: 0, capabilities: {} }),
    mount: mountInProcess,
    run: async () => ({ kind: "failed", failure: { code: "ENOSYS", message: "no volume" } }),
    setView() {},
    redeem: () => undefined,
    tokenAnswered() {},
    clientGone() {},
    reserve: () => undefined, trouble: () => undefined,
    counters: () => ({}),
    close: async () => {},
  };
}
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
async function configOf(node: string, change: (text: string) => string = (text) => text): Promise<NodeConfig> {
  const text = `
cluster: t
node: ${node}
address: 127.0.0.1:${await freePort()}
socket: ${join(top, `${node}.sock`)}
coordination: { directory: ${join(top, "coordination")}, renewMs: 100, holdMs: 2000, deadMs: 3000 }
fileSystems: [{ name: fs1, backing: ${join(top, "backing")}, mountpoint: ${join(top, node)} }]
`;
  return parseConfig(change(text), "node.yaml");
}
async function start(config: NodeConfig): Promise<{ node: NodeProcess; client: ApplicationClient; lines: string[] }> {
  const lines: string[] = [];
  const node = await NodeProcess.start(config, { makeVolumes: emptyVolumes, log: (line) => lines.push(line), mounted: () => {}, failed: (error) => assert.fail(error) });
  nodes.push(node);
  const client = await ApplicationClient.connect(config.socket);
  clients.push(client);
  return { node, client, lines };
}
async function until(client: ApplicationClient, holds: (status: StatusDocument) => boolean, what: string): Promise<StatusDocument> {
  const giveUp = AbortSignal.timeout(20_000);
  for (;;) {
    const status = await client.call("node.status", {});
    if (holds(status)) return status;
    assert.ok(!giveUp.aborted, `${what}: ${JSON.stringify(status)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("three nodes form a cluster; sessions, dispositions and the message log are the same from everywhere", async () => {
  mkdirSync(join(top, "backing"), { mode: 0o700 });
  const all = [];
  for (const node of ["a", "b", "c"]) all.push(await start(await configOf(node)));
  await Promise.all(all.map(({ node }) => node.join()));
  for (const { client } of all) await until(client, ({ view }) => view?.members.length === 3 && view.isInForce, "three members");
  const [a, b, c] = all.map(({ client }) => client) as [ApplicationClient, ApplicationClient, ApplicationClient];
  const { session } = await b.call("session.create", { info: "migrator" });
  await c.call("disposition.set", { session, fs: "fs1" as never, events: ["read"] });
  assert.deepEqual((await a.call("session.list", {})).map(({ id, node, info }) => ({ id, node, info })), [{ id: session, node: "b", info: "migrator" }]);
  assert.deepEqual(await c.call("disposition.list", {}), [{ fs: "fs1", event: "read", session }]);
  const { view } = await a.call("node.status", {});
  const manager = all[["a", "b", "c"].indexOf(view!.manager)]!.client;
  const ran = (await manager.call("node.log", {})).filter(({ kind }) => kind.startsWith("dm_"));
  assert.deepEqual(ran.map(({ kind, from }) => [kind, from]), [["dm_create_session", "b"], ["dm_set_disp", "c"]]);
  const sent = b.call("event.get", { session, waitMs: 60_000 });
  await c.call("message.send", { session, isSynchronous: false, data: new Uint8Array([7]) });
  const [event] = await sent;
  assert.equal(event?.event.type, "user");
  await assert.rejects(a.call("region.get", { session, handle: "00112233445566770100000011223344556677880011223344556677" as never }), { code: "EBADF" });
  await assert.rejects(a.call("session.destroy", { session: 4711 as never }), { code: "EINVAL" });
});

test("the log is told as it grows, and a wait that is given up leaves nothing", async () => {
  const client = clients[0]!;
  const entries = await client.call("node.log", {});
  const last = entries.at(-1)?.number ?? 0;
  const waiting = client.call("node.log", { after: last, waitMs: 60_000 });
  await client.call("session.create", { info: "one more" });
  assert.ok((await waiting).every(({ number }) => number > last));
  const giveUp = new AbortController();
  const givenUp = client.call("node.log", { after: Number.MAX_SAFE_INTEGER, waitMs: 60_000 }, { signal: giveUp.signal });
  giveUp.abort();
  await assert.rejects(givenUp, { code: "EINTR" });
});

test("a cut link is seen, and healed", async () => {
  const a = clients[0]!;
  const peer = (await a.call("node.status", {})).links[0]!.peer;
  await a.call("link.cut", { peer, direction: "both" });
  await until(a, ({ links }) => links.some((link) => link.peer === peer && link.isCut), "cut");
  await a.call("link.heal", {});
  await until(a, ({ links, view }) => links.some((link) => link.peer === peer && !link.isCut && link.isUp) && view?.members.length === 3, "healed");
});

test("a second daemon of the same identity, an address in use and a taken socket are told and change nothing", async () => {
  const again = await configOf("a", (text) => text.replace("a.sock", "a2.sock"));
  await assert.rejects(start(again), /a/);
  const other = await configOf("d", (text) => text.replace("d.sock", "a.sock"));
  await assert.rejects(start(other), /another daemon listens on/);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
  await assert.rejects(start({ ...(await configOf("e")), address }), /address: 127\.0\.0\.1:\d+: .*EADDRINUSE/);
  taken.close();
  const status = await clients[0]!.call("node.status", {});
  assert.equal(status.state, "member");
});

test("a node stops in order: the others see it leave at once, its sockets are gone", async () => {
  const [a, b] = clients as [ApplicationClient, ApplicationClient];
  await b.call("node.stop", {});
  await nodes[1]!.ended;
  await until(a, ({ view }) => view?.members.length === 2, "b left");
  assert.ok(!existsSync(join(top, "b.sock")));
});
