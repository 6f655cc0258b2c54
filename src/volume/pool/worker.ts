/**
 * An I/O worker of a volume: a thread that does one job after the other with plain blocking calls (safety H1, M12).
 *
 * It keeps root's capabilities, SYS_RESOURCE too: what a recall or a record needs is never refused for a user's quota; the
 * threads that do users' own I/O drop it (safety H10). A failed assertion ends the process.
 */
import { parentPort } from "node:worker_threads";
import { assert } from "../../base/assert.js";
import { DmError } from "../../dmapi/errors.js";
import * as files from "../../os/files.js";
import { setIoFlusher, setThreadName } from "../../os/process.js";
import { attach, troubleOf, Volume, type AttachOptions } from "../filesystem.js";
import type { OperationContext } from "../object.js";
import { failureOf, openForApplication, perform, performReadRecord } from "../perform.js";
import { probe, refusals } from "../probe.js";
import { makeReserve } from "../reserve.js";
import type { Attached, Job, JobContext, JobMessage, JobOutcome } from "./jobs.js";

assert(parentPort !== null, "the pool starts this as a worker");
const port = parentPort;
setThreadName("sluice-volume");
setIoFlusher();

let latest: Volume | undefined;
function contextOf(plain: JobContext): OperationContext {
  if (latest === undefined || latest.parts.rootFd !== plain.volume.rootFd || latest.parts.fsid !== plain.volume.fsid) latest = new Volume(plain.volume);
  const { slot, members, guardFd } = plain;
  return { volume: latest, slot, members, ...(guardFd === undefined ? {} : { guardFd }) };
}

port.on("message", (message: JobMessage) => {
  void run(message.job).then((outcome) => port.postMessage({ id: message.id, outcome }));
});

async function run(job: Job): Promise<JobOutcome> {
  switch (job.kind) {
    case "attach":
      return attachAndProbe(job.options);
    case "perform":
      return perform(contextOf(job.context), job.name, job.handle, job.args);
    case "read-record":
      return performReadRecord(contextOf(job.context), job.handle);
    case "open":
      return openForApplication(contextOf(job.context), job.handle, job.args);
    case "make-reserve":
      return { kind: "ok", result: { reserve: makeReserve(job.volume.ownFd), trouble: troubleOf(job.volume) } };
    case "close":
      for (const fd of job.fds) files.close(fd);
      return { kind: "ok", result: {} };
  }
}

async function attachAndProbe(options: AttachOptions): Promise<JobOutcome> {
  let volume: Volume | undefined;
  try {
    const attached = attach(options);
    volume = attached.volume;
    const found = await probe(volume.parts.ownFd);
    const refused = refusals(found);
    if (refused.length > 0) throw new DmError("EOPNOTSUPP", "attach", `backing ${options.backing} (${found.fileSystem}): ${refused.join("; ")}`);
    const result: Attached = { volume: volume.parts, document: attached.document, fsHandle: volume.handles.fsHandle, rootHandle: volume.rootHandle, probe: found, reserve: makeReserve(volume.parts.ownFd) };
    return { kind: "ok", result };
  } catch (failure) {
    volume?.close();
    if (!(failure instanceof DmError)) throw failure;
    return { kind: "failed", failure: failureOf(failure) };
  }
}
