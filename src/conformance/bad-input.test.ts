/**
 * Bad input: a clear error each, and the daemon lives.
 */
import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectStream } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { DmError } from "../dmapi/errors.js";
import type { FsName, Handle, SessionId, Token } from "../dmapi/ids.js";
import { regionFlags } from "../dmapi/regions.js";
import { removexattrOfPath, setxattrOfPath } from "../os/files.js";
import { acceptance, shareBench } from "./bench.js";
import { refused, within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });
const bin = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "bin");

acceptance("unknown session, token, handle, file system, event, call", async () => {
  const session = await bench().session("B", "bad input");
  const handle = await bench().fsHandle("fs1", "B");
  const forged = `${handle.slice(0, -2)}${handle.endsWith("00") ? "11" : "00"}` as Handle;
  await refused("EINVAL", bench().call("B", "event.get", { session: 1_999_999_999 as SessionId, waitMs: 0 }));
  await refused("EINVAL", bench().call("B", "event.respond", { session: session.id, token: 77 as Token, response: { kind: "continue" } }));
  for (const bad of [forged, "zz" as Handle, "" as Handle]) {
    await assert.rejects(bench().call("B", "region.get", { session: session.id, handle: bad }), (error: unknown) => error instanceof DmError && ["EBADF", "EINVAL"].includes(error.code));
  }
  await assert.rejects(bench().call("B", "fs.mount", { fs: "nowhere" as FsName }), DmError);
  await assert.rejects(bench().call("B", "eventlist.set", { session: session.id, handle, events: ["nonsense" as "read"] }), DmError);
  await assert.rejects(bench().call("B", "no.such.call" as "node.status", {}), DmError);
  await session.end();
  assert.equal((await bench().status("B")).state, "member");
});

acceptance("a path outside the mount is refused by the command", async () => {
  const ended = await within(bench().program(process.execPath, [join(bin, "sluice.mjs"), "migrate", "/etc/passwd", "--socket", bench().cluster.socket(bench().id("B"))]).end, "sluice migrate");
  assert.equal(ended.code, 1);
  assert.match(ended.errors, /\/etc\/passwd/);
});

acceptance("garbage and truncated frames on every socket: the connection ends, the daemon lives", async () => {
  const id = bench().id("B");
  const socket = bench().cluster.socket(id);
  const { address } = (await bench().status("A")).view!.members.find((member) => member.id === id)!;
  const [host = "", port = ""] = [address.slice(0, address.lastIndexOf(":")), address.slice(address.lastIndexOf(":") + 1)];
  const targets = [{ path: socket }, { path: `${socket}.fd` }, { host, port: Number(port) }];
  const huge = Buffer.from([0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
  const truncated = Buffer.from([0, 0, 0, 50, 0x93, 1]);
  for (const target of targets) {
    for (const garbage of [randomFillSync(Buffer.alloc(5_000)), huge, truncated, Buffer.alloc(4_096), Buffer.from("GET / HTTP/1.1\r\n\r\n")]) {
      await within(new Promise<void>((resolve) => {
        const stream = connectStream(target);
        stream.on("error", () => {}).on("close", () => resolve());
        stream.on("connect", () => stream.end(garbage));
        stream.resume();
      }), `garbage to ${JSON.stringify(target)} ends the connection`);
    }
  }
  assert.equal((await bench().status("B")).state, "member");
  assert.equal((await bench().status("B")).pid, bench().cluster.pid(id), "it is the same process");
  assert.equal((await bench().status("A")).view?.members.length, 2);
});

acceptance("a corrupted record: users get an error, never other bytes; the daemon lives", async () => {
  await bench().shell('echo content > "$1"', bench().path("A", "fs1", "corrupt"));
  const session = await bench().session("B", "corrupt");
  const handle = bench().handle("B", "fs1", "corrupt");
  await session.regions(handle, [{ offset: 0, size: 0, flags: regionFlags.read }]);
  assert.equal(setxattrOfPath(bench().backing("fs1", "corrupt"), "trusted.sluice", randomFillSync(Buffer.alloc(200))), 0);
  await bench().cluster.restart(bench().id("B")).then(() => bench().forget("B"));
  const ended = await within(bench().program("cat", [bench().path("B", "fs1", "corrupt")]).end, "the read");
  assert.notEqual(ended.code, 0, `read ${ended.output.toString()}`);
  assert.equal((await bench().status("B")).state, "member");
  const asker = await bench().session("B", "asks about the corrupted record");
  const asked = bench().call("B", "region.get", { session: asker.id, handle });
  await assert.rejects(asked, (error: unknown) => error instanceof DmError && error.code === "EIO" && /record of .* is damaged: it does not begin as a record does/.test(error.message));
  // What the operator does who knows that the bytes are in the backing (docs/operating.md, "A damaged record").
  assert.equal(removexattrOfPath(bench().backing("fs1", "corrupt"), "trusted.sluice"), 0);
  assert.equal(String(await bench().shell('cat "$1"', bench().path("B", "fs1", "corrupt"))), "content\n");
  await bench().shell('rm "$1"', bench().path("A", "fs1", "corrupt"));
});

acceptance("a second daemon with the same identity ends with a clear error; the first one serves on", async () => {
  const id = bench().id("B");
  const directory = mkdtempSync(join(bench().directory, "second-"));
  const config: unknown = parse(readFileSync(join(bench().directory, "nodes", id, "node.yaml"), "utf8"));
  const mountpoint = join(directory, "mnt");
  mkdirSync(mountpoint);
  const changed = { ...(config as Record<string, unknown>), socket: join(directory, "socket"), address: "127.0.0.1:1", logFile: join(directory, "log"),
    fileSystems: [{ name: "fs1", backing: bench().backing("fs1"), mountpoint }] };
  writeFileSync(join(directory, "node.yaml"), stringify(changed));
  const ended = await within(bench().program(process.execPath, [join(bin, "sluiced.mjs"), "--config", join(directory, "node.yaml")]).end, "the second daemon");
  assert.notEqual(ended.code, 0);
  assert.match(ended.errors + ended.output.toString(), new RegExp(id));
  assert.equal((await bench().status("B")).state, "member");
  rmSync(directory, { recursive: true });
});

for (const [what, change, says] of [
  ["missing backing", { fileSystems: [{ name: "fs1", backing: "/nonexistent/backing", mountpoint: "/nonexistent/mnt" }] }, /\/nonexistent\/backing/],
  ["a public backing", { fileSystems: [{ name: "fs1", backing: "/tmp", mountpoint: "/nonexistent/mnt" }] }, /\/tmp/],
  ["an unknown key", { nonsense: 1 }, /nonsense/],
  ["a bad address", { address: "nowhere" }, /address/],
] as const) {
  acceptance(`configuration: ${what} is named, with what is allowed`, async () => {
    const directory = mkdtempSync(join(bench().directory, "config-"));
    const config: unknown = parse(readFileSync(join(bench().directory, "nodes", bench().id("B"), "node.yaml"), "utf8"));
    const changed = { ...(config as Record<string, unknown>), node: "other", cluster: "other", socket: join(directory, "socket"), coordination: { driver: "shared-volume", directory: join(directory, "coordination") }, address: "127.0.0.1:1", ...change };
    writeFileSync(join(directory, "node.yaml"), stringify(changed));
    const ended = await within(bench().program(process.execPath, [join(bin, "sluiced.mjs"), "--config", join(directory, "node.yaml")]).end, "the daemon's refusal");
    assert.notEqual(ended.code, 0);
    assert.match(ended.errors + ended.output.toString(), says);
    rmSync(directory, { recursive: true });
  });
}

acceptance("a full disk: the user gets ENOSPC, the daemon lives, room made is used", async () => {
  const cluster = await bench().openSmall(1, 8);
  const [node] = cluster.nodes;
  const file = join(cluster.mountpoint(node!, "small" as FsName), "file");
  const ended = await within(bench().program("dd", ["if=/dev/zero", `of=${file}`, "bs=1M", "count=20", "status=none"]).end, "dd");
  assert.match(ended.errors, /No space left/);
  assert.equal((await cluster.status(node!)).state, "member");
  await bench().run("rm", [file]);
  await bench().run("dd", ["if=/dev/zero", `of=${file}`, "bs=1M", "count=2", "status=none"]);
  await bench().closeSmall();
});
