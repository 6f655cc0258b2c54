/**
 * Performs the lease machine's volume calls with plain synchronous file calls, in a thread of its own: a volume that hangs
 * hangs this thread alone, and libuv's few threads are never asked (safety M2).
 *
 * Owns      the directory layout, the identity lock from start to exit.
 * Not here  any decision (lease-machine.ts).
 * Source    safety C8, M2, M7.
 */
import * as fs from "node:fs";
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import { errnoName } from "../../os/errno.js";
import { getLock, LockRequest, setLock } from "../../os/locks.js";
import {
  decodeIdentity, directories, encodeDocument, type IdentityDocument, parseLeaseName, paths, SMALL_FILE_BYTES,
} from "./layout.js";
import type { CallDone, VolumeAnswer, VolumeCall } from "./volume-call.js";

const IDENTITY_WAIT_MS = 2_000;
const done: VolumeAnswer = { kind: "done" };

/** CLOCK_MONOTONIC, the same in every thread of this machine (performance.now() begins anew in each). */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime(); // a bigint would be garbage with each look
  return seconds * 1e3 + nanoseconds / 1e6;
}

export class SharedVolume {
  readonly #directory: string;
  readonly #lock = new LockRequest();

  /** Makes the layout where it is missing. @throws when the directory belongs to another cluster or cannot be used. */
  constructor(directory: string, cluster: string) {
    this.#directory = directory;
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    if ((fs.statSync(directory).mode & 0o077) !== 0) fs.chmodSync(directory, 0o700);
    for (const name of directories) fs.mkdirSync(`${directory}/${name}`, { recursive: true, mode: 0o700 });
    this.#claimForCluster(cluster);
  }

  run(call: VolumeCall): CallDone {
    const startMs = monotonicMs();
    const answer = this.#perform(call);
    return { answer, startMs, endMs: monotonicMs() };
  }

  /**
   * Takes the identity lock; it is held until `release` or the end of the process, never by the end of this thread alone.
   * @throws when another daemon holds it, naming that one.
   */
  takeIdentity(who: { id: NodeId; bootId: string; address: string; incarnation?: Incarnation }): { identity: IdentityDocument; release: () => void } {
    const path = `${this.#directory}/${paths.lock(who.id)}`;
    const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (const untilMs = monotonicMs() + IDENTITY_WAIT_MS; setLock(fd, this.#lock.fill("write", 0n, 0n)) < 0; Atomics.wait(pause, 0, 0, 20)) {
      if (monotonicMs() < untilMs) continue; // one that was just killed is still being taken down
      fs.closeSync(fd);
      throw new Error(`node ${who.id} is running already: ${describeHolder(fs.readFileSync(path, "utf8"))}. Stop it, or give this node another id.`);
    }
    const before = decodeIdentity(fs.readFileSync(path, "utf8"));
    const used = fs.readdirSync(`${this.#directory}/leases`).map(parseLeaseName).filter((name) => name?.life.id === who.id);
    const highest = Math.max(0, before?.incarnation ?? 0, ...used.map((name) => name!.life.incarnation));
    const identity: IdentityDocument = {
      id: who.id, process: randomBytes(8).toString("hex"), pid: process.pid, host: hostname(), bootId: who.bootId, address: who.address,
      incarnation: who.incarnation ?? ((highest + 1) as Incarnation),
    };
    writeSynced(path, encodeDocument(identity, SMALL_FILE_BYTES), fs.constants.O_WRONLY);
    this.#removeOldSpares(who.id, identity.process);
    return { identity, release: () => fs.closeSync(fd) };
  }

  #claimForCluster(cluster: string): void {
    const path = `${this.#directory}/cluster`;
    const own = `${path}+${randomBytes(8).toString("hex")}`;
    writeSynced(own, `${cluster}\n`, fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL);
    try {
      fs.linkSync(own, path);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    } finally {
      fs.unlinkSync(own);
    }
    const standing = fs.readFileSync(path, "utf8").trim();
    if (standing !== cluster) throw new Error(`${this.#directory} belongs to cluster ${standing}, not ${cluster}`);
  }

  /** Of processes that had this identity before; they have ended, since we hold its lock. */
  #removeOldSpares(id: NodeId, process: string): void {
    for (const name of fs.readdirSync(`${this.#directory}/spares`)) {
      if (name.startsWith(`${id}+`) && !name.startsWith(`${id}+${process}.`)) fs.rmSync(`${this.#directory}/spares/${name}`, { force: true });
    }
  }

  #perform(call: VolumeCall): VolumeAnswer {
    try {
      return this.#performOrThrow(call);
    } catch (error) {
      return { kind: "failed", code: codeOf(error), message: error instanceof Error ? error.message : String(error) };
    }
  }

  #performOrThrow(call: VolumeCall): VolumeAnswer {
    const at = (path: string) => `${this.#directory}/${path}`;
    switch (call.kind) {
      case "list":
        return { kind: "names", names: fs.readdirSync(at(call.directory)) };
      case "read":
        return { kind: "text", text: fs.readFileSync(at(call.path), "utf8") };
      case "write":
        writeSynced(at(call.path), call.text, fs.constants.O_WRONLY | fs.constants.O_CREAT | (call.isNew ? fs.constants.O_EXCL : 0));
        return done;
      case "rename":
        fs.renameSync(at(call.from), at(call.to));
        return done;
      case "link":
        fs.linkSync(at(call.from), at(call.to));
        return done;
      case "unlink":
        fs.unlinkSync(at(call.path));
        return done;
      case "sync-directory":
        withDescriptor(at(call.directory), fs.constants.O_RDONLY, (fd) => fs.fsyncSync(fd));
        return done;
      case "test-lock":
        return this.#testLock(at(call.path));
    }
  }

  #testLock(path: string): VolumeAnswer {
    return withDescriptor(path, fs.constants.O_RDWR, (fd) => {
      const result = getLock(fd, this.#lock.fill("write", 0n, 0n));
      if (result < 0) return { kind: "failed", code: errnoName(-result), message: `cannot ask for the lock of ${path}` };
      return { kind: "lock", isHeld: this.#lock.conflict !== undefined };
    });
  }
}

function withDescriptor<T>(path: string, flags: number, use: (fd: number) => T): T {
  const fd = fs.openSync(path, flags, 0o600);
  try {
    return use(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function writeSynced(path: string, text: string, flags: number): void {
  withDescriptor(path, flags, (fd) => {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at, bytes.length - at, at);
    fs.fsyncSync(fd);
  });
}

function codeOf(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code ?? "EIO";
}

function describeHolder(text: string): string {
  const holder = decodeIdentity(text);
  if (holder === undefined) return "its lock is held, by whom is not written there yet";
  return `process ${holder.pid} on ${holder.host}, at ${holder.address}, incarnation ${holder.incarnation}`;
}
