/** Between reactor and main thread: events come as they were said, whatever their texts, and in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Handle, OperationId } from "../dmapi/ids.js";
import { close } from "../os/files.js";
import { socketPair } from "../os/descriptors.js";
import { MainEnd, ReactorEnd } from "./reactor-channel.js";
import type { FromReactor, ToReactor } from "./reactor-port.js";

test("events of all kinds of texts arrive as they were said, and so does what they are answered", async () => {
  const pair = socketPair();
  assert.ok(typeof pair !== "number");
  const heard: FromReactor[] = [];
  let arrived: () => void = () => {};
  const main = new MainEnd(pair[0], (message) => {
    heard.push(message);
    if (heard.length === said.length) arrived();
  });
  const reactor = new ReactorEnd(pair[1]);
  // The bytes of "é" are those of "Ã©" in another encoding; a text beyond 128 characters is written another way.
  const commands = ["cat", "cat", "é", "Ã©", "é", "", "\u0000\u007f", "x".repeat(128), "y".repeat(129), "漢字", "cat"];
  const said: FromReactor[] = commands.map((command, at) => ({
    kind: "event-held",
    held: {
      operation: (at + 1) as OperationId, isSynchronous: at % 2 === 0, process: command === "" ? undefined : { pid: at, uid: 2 ** 32 - 1, gid: 0, command },
      event: at % 3 === 0 ? { type: "attribute", handle: `h${at}` as Handle } : { type: "write", handle: "h".repeat(200) as Handle, offset: 2 ** 52, length: at },
    },
  }));
  const all = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  for (const message of said) reactor.post(message);
  await all;
  assert.deepEqual(heard, said);
  const answers: ToReactor[] = [];
  const told: readonly ToReactor[] = [
    { kind: "resume", operation: 2 ** 52 as OperationId, decision: { kind: "continue" } }, { kind: "resume", operation: 4 as OperationId, decision: { kind: "abort", code: "EIO" } },
    { kind: "describe", operation: 5 as OperationId, cause: "event", detail: "Ã© and é" },
  ];
  for (const message of told) main.post(message);
  reactor.receive((message) => answers.push(message));
  assert.deepEqual(answers, told);
  main.close();
  close(pair[1]);
});
