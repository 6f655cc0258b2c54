/**
 * A side thread of one mount: does what it is sent, one after another, and may block in it.
 *
 * Source    safety H1, H10, M6, M12.
 */
import { parentPort, workerData } from "node:worker_threads";
import { signalEvent, write } from "../../os/device.js";
import { errno } from "../../os/errno.js";
import { separateDescriptors, separateFileMode, setIoFlusher, setThreadName } from "../../os/process.js";
import { backingCalls, takeThreadIdentity } from "./backing-calls.js";
import type { SideAnswer, SideThreadOptions, SideRequest } from "./side-threads.js";

const { port, wakeFd, fuseFd, isAlone, over } = workerData as SideThreadOptions;
const isOver = new Int32Array(over);
/** Done also when the mount is over. */
const givesBack = new Set(["close", "dropGuard", "closeBacking"]);
setThreadName("sluice-io");
setIoFlusher();
separateFileMode();
takeThreadIdentity();
// A notification may wait for a page that only a daemon can fill, and when this one is killed only the next one: the thread
// cannot end before that. It must not keep open what proves this daemon's end: identity, guards, connections (safety H11).
if (isAlone) separateDescriptors([fuseFd, wakeFd]);

function perform(request: SideRequest): unknown {
  if (request.kind === "notify") return write(fuseFd, Buffer.from(request.message), 0, request.message.length);
  if (request.kind === "notify-each") {
    for (const message of request.messages) if (Atomics.load(isOver, 0) === 0) write(fuseFd, Buffer.from(message), 0, message.length);
    return 0;
  }
  const call = backingCalls[request.name as keyof typeof backingCalls] as (...args: readonly unknown[]) => unknown;
  return call(...request.args);
}

port.on("message", (request: SideRequest) => {
  const isUndone = Atomics.load(isOver, 0) !== 0 && !(request.kind === "call" && givesBack.has(request.name));
  const answer: SideAnswer = isUndone ? { id: request.id, result: -errno.ENODEV, isUndone } : { id: request.id, result: perform(request) };
  port.postMessage(answer);
  signalEvent(wakeFd);
});
parentPort?.postMessage("begun");
