/**
 * The reactor of one mount: each request of the kernel becomes a task of the operation it asks for; each message of the
 * main thread changes what is admitted.
 *
 * Source    reactor-port.ts; safety H1.
 */
import { unreachable } from "../../base/assert.js";
import { isReplyless } from "../../fuse/codec/reply.js";
import { agree, writeInitReply } from "../../fuse/codec/init.js";
import { parseRequest, type Request, type RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import type { ToReactor } from "../reactor-port.js";
import * as attributes from "./attribute-operations.js";
import { RESENT } from "../holder/mount-memory.js";
import { type CorePorts, ReactorCore } from "./core.js";
import * as data from "./data-operations.js";
import { HeldOperations } from "./held-operations.js";
import * as locks from "./lock-operations.js";
import * as names from "./namespace-operations.js";
import * as opening from "./open-operations.js";
import type { ReactorOptions } from "../reactor-port.js";
import { takeOverMount } from "./takeover.js";
import { Task, type Steps } from "./task.js";

export class Reactor {
  readonly core: ReactorCore;
  readonly held: HeldOperations;
  /** Why the mount is over. */
  ended: string | undefined;
  /** The next daemon goes on with it. */
  isLeft = false;
  #survivesNoMore = false;
  /** Another holder is being given what is kept. */
  #keepsAgain = false;

  constructor(options: ReactorOptions, ports: CorePorts) {
    this.core = new ReactorCore(options, ports);
    this.held = new HeldOperations(this.core);
  }

  /** One message of the kernel, in `bytes[0, length)`. */
  handle(bytes: Buffer, length: number): void {
    const request = parseRequest(bytes, length);
    if (request === undefined) {
      this.core.count("messages of the kernel that are none");
      return;
    }
    if (request.kind === "malformed") {
      this.core.count("requests malformed");
      if (!isReplyless(request.header.opcode)) this.core.send(this.core.reply.error(request.header.unique, request.errno));
      return;
    }
    this.core.count("requests");
    if (request.kind === "init") return this.#init(request);
    if (request.kind === "forget") {
      for (const { nodeid, count } of request.forgets) this.core.inodes.forget(nodeid, count);
      return;
    }
    if (request.kind === "interrupt") {
      this.core.count("interrupts");
      return this.held.interrupt(request.target);
    }
    if (request.kind === "destroy") {
      this.core.send(this.core.reply.error(request.header.unique, 0));
      return;
    }
    const task = new Task(request, request.kind);
    if (this.core.journal.hasPast) this.#recall(task, request.header.unique & ~RESENT);
    this.core.start(task, this.#steps(task, request));
  }

  #init(request: RequestOf<"init">): void {
    const agreed = agree(request, { passthrough: this.core.options.passthrough === true && this.core.options.mode === "fast" });
    if ("refusal" in agreed) {
      this.core.send(this.core.reply.error(request.header.unique, errno.EPROTO));
      this.ended = agreed.refusal;
      return;
    }
    this.core.send(writeInitReply(this.core.reply, request, agreed));
    this.core.backingFiles.isOffered = agreed.hasPassthrough;
    this.core.memory?.begins(agreed.hasPassthrough);
    this.core.post({ kind: "ready", canSurvive: agreed.hasResend });
  }
  /** Goes on with a mount that an earlier daemon left: first what it knew, then what it had not answered. */
  takeOver(): void {
    takeOverMount(this.core);
    this.core.post({ kind: "ready", canSurvive: true });
  }
  #recall(task: Task, unique: bigint): void {
    for (const nodeid of this.core.journal.countedFor(unique)) this.core.inodes.forget(nodeid, 1);
    this.core.journal.claim(task, unique);
  }
  /** Once a second. */
  #lookAtMemory(): void {
    const { core } = this;
    core.keeper?.flush();
    this.#tellKept();
    core.keptOpens.look();
    if (core.memory?.isIncomplete !== true || this.#survivesNoMore) return;
    this.#survivesNoMore = true;
    core.post({ kind: "survives-no-more", why: "what the kernel knows could not all be written down" });
  }
  #tellKept(): void {
    if (!this.#keepsAgain || this.core.keeper?.isAllSent !== true) return;
    this.#keepsAgain = false;
    this.core.post({ kind: "kept-again" });
  }
  look(): void {
    this.held.look(() => this.#lookAtMemory());
  }

  #steps(task: Task, request: Exclude<Request, { kind: "init" | "forget" | "interrupt" | "destroy" }>): Steps {
    const { core } = this;
    switch (request.kind) {
      case "lookup": return names.lookup(core, task, request);
      case "getattr": return attributes.getattr(core, task, request);
      case "statx": return attributes.statx(core, task, request);
      case "setattr": return attributes.setattr(core, task, request);
      case "readlink": return names.readlink(core, task, request);
      case "symlink": return names.symlink(core, task, request);
      case "mknod": return names.mknod(core, task, request);
      case "mkdir": return names.mkdir(core, task, request);
      case "unlink": return names.unlink(core, task, request);
      case "rmdir": return names.rmdir(core, task, request);
      case "rename": return names.rename(core, task, request);
      case "link": return names.link(core, task, request);
      case "open": return opening.open(core, task, request);
      case "create": return opening.create(core, task, request);
      case "tmpfile": return opening.tmpfile(core, task, request);
      case "read": return data.read(core, task, request);
      case "write": return data.write(core, task, request);
      case "statfs": return attributes.statfs(core, task, request);
      case "release": return opening.release(core, task, request);
      case "releasedir": return names.releasedir(core, task, request);
      case "fsync": return data.fsync(core, task, request);
      case "fsyncdir": return names.fsyncdir(core, task, request);
      case "setxattr": return attributes.setxattr(core, task, request);
      case "getxattr": return attributes.getxattr(core, task, request);
      case "listxattr": return attributes.listxattr(core, task, request);
      case "removexattr": return attributes.removexattr(core, task, request);
      case "flush": return opening.flush(core, task, request);
      case "opendir": return names.opendir(core, task, request);
      case "readdir":
      case "readdirplus": return names.readdir(core, task, request);
      case "getlk": return locks.getlk(core, task, request);
      case "setlk": return locks.setlk(core, task, request);
      case "setlkw": return locks.setlkw(core, task, request);
      case "fallocate": return data.fallocate(core, task, request);
      case "lseek": return data.lseek(core, task, request);
      case "copyFileRange": return data.copyFileRange(core, task, request);
      case "syncfs": return attributes.syncfs(core);
      case "ioctl": return attributes.ioctl(core, task, request);
      case "access": // the kernel checks (default_permissions) and asks no more
      case "unknown": return answer(-errno.ENOSYS);
      default: return unreachable(request);
    }
  }

  /** A message of the main thread. */
  obey(message: ToReactor): void {
    const { core } = this;
    switch (message.kind) {
      case "resume": return core.waits.resume(message.operation, message.decision);
      case "describe": return core.waits.describe(message);
      case "owned-events": return core.step({ kind: "owned-events", events: message.events });
      case "fs-event-list": return core.step({ kind: "fs-event-list", events: message.events });
      case "admission":
      case "interest-granted":
      case "fence-raised":
      case "fence-lowered": return core.step(message);
      case "sole-mount":
        core.keptNames.isSole = message.isSole;
        return;
      case "other-mounts": return core.keptNames.othersAre(message.others, message.isInForce);
      case "keeping-heard": return core.keptNames.hear(message.from, message.word);
      case "round":
        if (message.work.kind === "drop-names") return core.keptNames.giveUpAll(() => core.post({ kind: "round-drained", round: message.round, from: message.from }));
        if ("handle" in message.work) core.keptNames.changedBeneath(message.work.handle);
        return core.step({ kind: "round-begun", round: message.round, from: message.from, work: message.work });
      case "forget": return core.forgetEverything();
      case "report": return core.post({ kind: "reported", id: message.id, waiters: this.held.report(), counters: this.#counters() });
      case "report-locks": return core.post({ kind: "locks-reported", id: message.id, report: locks.reportLocks(core) });
      case "refuse-lock": return locks.refuseLock(core, message.life, message.wait);
      case "held":
        if (core.keeper?.connect(message.keeperFd) !== true) return;
        locks.keepLocksAgain(core);
        core.keptOpens.keepAgain(core.inodes);
        this.#keepsAgain = true;
        return this.#tellKept();
      case "end":
        this.isLeft = message.isLeft === true;
        this.ended = this.isLeft ? "left to the next daemon" : "asked to end";
        return;
      default: return unreachable(message);
    }
  }

  #counters(): Record<string, number> {
    const { core } = this;
    const { files, directories } = core.opens.counts;
    return {
      ...core.counters, ...core.keptNames.counts, "inodes known": core.inodes.size, "inodes at rest": core.inodes.restingSize, "files open": files, "directories open": directories, "guards held": core.guards.size,
      "files passed through to the kernel": core.backingFiles.size,
      "operations waiting": core.suspended.size, "bytes of waiting writes in memory": core.heldData.inMemory, "bytes of waiting writes in a file": core.heldData.spooled,
    };
  }
}

// biome-ignore lint/correctness/useYield: an operation that is answered at once
function* answer(result: number): Steps {
  return result;
}
