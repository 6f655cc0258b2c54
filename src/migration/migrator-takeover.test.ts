/**
 * What a migrator does first with what its predecessor left: rights that recalls held go before anything moves. A recall
 * under another token would wait for such a right, and the event that has it for the file's turn, which that recall has.
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventually, within } from "../conformance/waiting.js";
import { type Answer, directory, scriptedDaemon } from "../client/scripted-daemon.test-suite.js";
import type { FrameToDaemon } from "../wire/application-frames.js";
import { Migrator } from "./migrator.js";

const handle = (inode: number) => `11${"0".repeat(14)}01000000${String(inode).padStart(16, "0")}${"0".repeat(16)}`;
const events = new Map([[7, handle(2)], [8, handle(3)]]);
const named = (frames: readonly FrameToDaemon[], ...names: string[]) => frames.filter((frame) => frame.kind === "call" && names.includes(frame.name));

test("a successor gives back the rights of all delivered events before it moves or answers any", async () => {
  const [backing, store] = ["takeover-backing", "takeover-store"].map((name) => join(directory, name));
  for (const each of [backing!, store!]) mkdirSync(each, { mode: 0o700 });
  const answers: Record<string, (args: { token?: number }) => Answer> = {
    "fs.list": () => ({ result: [{ fs: "fs1", handle: handle(0), backing, mountpoint: "/nowhere/fs1", rootHandle: handle(1) }] }),
    "node.status": () => ({ result: { node: "A" } }),
    "session.list": () => ({ result: [] }),
    "session.create": () => ({ result: { session: 3 } }),
    "eventlist.get": () => ({ result: { events: 0 } }),
    "token.list": () => ({ result: [...events.keys()] }),
    "event.find": ({ token }) => ({ result: { token, node: "B", event: { type: "read", handle: events.get(token ?? 0), offset: 0, length: 1 } } }),
    "record.get": () => ({ result: { record: null, mark: null, attributes: {} } }),
  };
  const { socket, seen } = await scriptedDaemon((frame) => {
    if (frame.kind === "abandon" || frame.name === "event.get") return "silence";
    return answers[frame.name]?.(frame.args as { token?: number }) ?? { result: {} };
  });
  const migrator = new Migrator({ fs: "fs1", store: store!, socket });
  const ran = migrator.run();
  await Promise.race([ran, eventually("both events are answered", () => named(seen, "event.respond").length === 2, 20_000, () => `seen: ${seen.map((frame) => (frame.kind === "call" ? frame.name : frame.kind)).join(" ")}`)]);
  const calls = named(seen, "right.release", "record.get", "right.request", "event.respond").map((frame) => (frame.kind === "call" ? frame.name : ""));
  assert.deepEqual(calls.slice(0, 2), ["right.release", "right.release"]);
  assert.ok(!calls.slice(2).includes("right.release"));
  const released = named(seen, "right.release").map((frame) => (frame.kind === "call" ? (frame.args as { token: number }).token : 0));
  assert.deepEqual(released, [...events.keys()]);
  migrator.stop();
  await within(ran, "the migrator ends");
});
