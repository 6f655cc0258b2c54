/** The examples are compiled against the package as its users see it, and run. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { scriptedDaemon } from "./scripted-daemon.test-suite.js";

const top = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

test("log-events logs and answers what it is sent, and leaves no session behind", async () => {
  const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
  execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-p", join(top, "examples")], { stdio: "inherit" });
  let delivered = false;
  const { socket, seen } = await scriptedDaemon((frame) => {
    if (frame.kind === "abandon") return "silence";
    if (frame.name === "session.create") return { result: { session: 3 } };
    if (frame.name !== "event.get") return { result: {} };
    if (delivered) return "silence";
    delivered = true;
    const event = { type: "create", handle1: "ab", name1: "new file", mode: 0o644 };
    return { result: [{ session: 3, fs: "fs1", source: "C", sequence: 1, token: 9, event, process: { pid: 12, uid: 0, gid: 0, command: "touch" } }] };
  });
  const example = spawn(process.execPath, [join(top, "dist/examples/log-events.js"), "fs1", "create"], { env: { ...process.env, SLUICE_SOCKET: socket } });
  let said = "";
  let complained = "";
  example.stderr.on("data", (chunk: Buffer) => {
    complained += chunk.toString();
  });
  const ended = new Promise<number | null>((resolve) => example.once("exit", resolve));
  example.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    if (said.includes("touch")) example.kill("SIGINT");
  });
  assert.equal(await ended, 0, complained);
  assert.match(said, /create new file on C by touch \(pid 12\)/);
  const names = seen.flatMap((frame) => (frame.kind === "call" ? [frame.name] : []));
  assert.deepEqual(names.filter((name) => name !== "event.get" && name !== "session.renew"), ["session.create", "disposition.set", "event.respond", "disposition.set", "session.destroy"]);
});
