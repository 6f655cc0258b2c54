/**
 * A thread that does one piece of work on the event logs after the other, and may block in it.
 *
 * Source    safety H1; store.ts.
 */
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../../base/assert.js";
import type { EventLogWork } from "../../cluster/durable-events/event-log.js";
import { setIoFlusher, setThreadName } from "../../os/process.js";
import { systemFiles } from "./log-files.js";
import { attempt, EventLogStore } from "./store.js";

export interface LogRequest {
  readonly id: number;
  readonly work: EventLogWork | { readonly kind: "forget"; readonly session: number };
}

assert(parentPort !== null, "the daemon starts this as a worker");
const port = parentPort;
setThreadName("sluice-events");
if (process.getuid?.() === 0) setIoFlusher();
const store = new EventLogStore((workerData as { directory: string }).directory, systemFiles);

port.on("message", ({ id, work }: LogRequest) => {
  const result = attempt(() => {
    if (work.kind !== "forget") return { result: store.run(work) };
    store.forget(work.session as Parameters<typeof store.forget>[0]);
    return { result: {} };
  });
  port.postMessage({ id, outcome: "code" in result ? { kind: "failed", failure: result } : { kind: "ok", result: result.result } });
});
