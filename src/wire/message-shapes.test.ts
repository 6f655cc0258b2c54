/** Everything that nodes do say to each other has the shape that the other side asks for, after a journey over the wire too. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import type { Frame, Message } from "../cluster/messages.js";
import { Conversation } from "../cluster/conversation.js";
import { Bench } from "../cluster/node.test-bench.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import { LENGTH_BYTES } from "./application-frames.js";
import { decodeLinkMessage, encodeLinkMessage } from "./node-frames.js";

function travels(frame: Frame): void {
  const bytes = encodeLinkMessage({ kind: "frame", frame }).subarray(LENGTH_BYTES);
  const arrived = decodeLinkMessage(bytes);
  assert.ok(arrived.kind === "frame");
  assert.ok(encodeLinkMessage(arrived).subarray(LENGTH_BYTES).equals(bytes), "and says the same");
}

test("what data management says in the golden conversations", () => {
  const folder = new URL("../../src/cluster/testdata/", import.meta.url);
  const kinds = new Set<string>();
  const watch = (body: Message): void => {
    kinds.add(body.kind);
    travels({ from: "A" as NodeId, fromIncarnation: 1 as Incarnation, toIncarnation: 1 as Incarnation, view: 1, sequence: 1, acknowledged: 0, body });
  };
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".txt"))) {
    const conversation = new Conversation(watch);
    for (const line of readFileSync(new URL(name, folder), "utf8").split("\n")) {
      if (line.trim() !== "" && !/^[ #]/.test(line)) conversation.run(line);
    }
  }
  assert.ok(kinds.size >= 19, [...kinds].join(" "));
});

test("what whole nodes say while one dies, comes back and sessions are made", () => {
  const kinds = new Set<string>();
  const bench = new Bench({ seed: 3 }, (_node, effect) => {
    if (effect.kind !== "transmit") return;
    if (effect.frame.body !== undefined) kinds.add(effect.frame.body.kind);
    travels(effect.frame);
  });
  const [a, b, c] = ["A", "B", "C"] as NodeId[];
  for (const id of [a!, b!, c!]) bench.start(id);
  bench.run(5_000);
  bench.call(b!, 1, "session.create", { info: "one", group: "g" });
  bench.call(c!, 2, "session.create", { info: "two" });
  bench.run(500);
  bench.call(b!, 3, "disposition.set", { session: 1, fs: "global", events: ["mount"] });
  bench.call(c!, 4, "session.destroy", { session: 2 });
  bench.run(500);
  bench.kill(a!);
  bench.run(10_000);
  bench.start(a!);
  bench.run(10_000);
  for (const kind of ["view-proposed", "registry-changed", "registry-collected", "registry-installed", "manager-call", "manager-result", "greeting"]) assert.ok(kinds.has(kind), kind);
});
