/**
 * The volumes of a node as its main thread sees them: every call is a promise, nothing here blocks (safety H1).
 *
 * Owns      attached file systems, their pools of workers, descriptors opened for applications.
 * Not here  rights and rounds: the cluster's machines ask for jobs and act on `round` and `announcement` of the answer.
 */
import type { ArgsOf, CallName } from "../dmapi/calls.js";
import type { DmFailure } from "../dmapi/errors.js";
import { DmError } from "../dmapi/errors.js";
import type { FileRecord } from "../dmapi/record.js";
import type { FsName, Handle, SessionId, Token } from "../dmapi/ids.js";
import * as files from "../os/files.js";
import type { VolumeParts } from "./filesystem.js";
import { Guards, type Owner } from "./guards.js";
import type { OpenedForApplication, Work } from "./perform.js";
import type { Attached, Job, JobContext, JobOutcome } from "./pool/jobs.js";
import { defaultPoolOptions, Pool, type PoolOptions } from "./pool/pool.js";
import { degradations, type ProbeRecord } from "./probe.js";
import type { ReserveState } from "./reserve.js";

export interface ServiceOptions {
  /** Hexadecimal, 32 bytes. */
  readonly clusterKey: string;
  readonly pool?: PoolOptions;
  /** How long a call waits for somebody's guard to be given back before it fails EBUSY. */
  readonly guardWaitMs?: number;
  /** The reserve of a file system has become whole, or short. */
  readonly reserveChanged?: (fs: FsName, state: ReserveState) => void;
  /** Something is wrong with a backing, in words; undefined: no more. */
  readonly troubleChanged?: (fs: FsName, trouble: string | undefined) => void;
}
/** Between two looks whether the reserve is whole. */
const RESERVE_LOOK_MS = 2_000;
/** A backing that has not answered for so long is said to be silent. */
const SILENT_MS = 10_000;
const GUARD_WAIT_MS = 5_000;
const TRY_AGAIN_MS = 10;

export interface AttachedFs {
  readonly fs: FsName;
  readonly backing: string;
  readonly fsid: string;
  readonly handle: Handle;
  readonly rootHandle: Handle;
  readonly eventList: number;
  readonly probe: ProbeRecord;
  readonly degradations: readonly string[];
  /** A descriptor of the backing's root, valid in every thread while attached; the mount may cover its path. */
  readonly rootFd: number;
  readonly metaFd: number;
}
/** The jobs of cluster/node-contract.ts that are the volume's. */
export type ServiceJob =
  | { readonly kind: "read-record"; readonly fs: FsName; readonly handle: Handle }
  | { readonly kind: "perform"; readonly fs: FsName; readonly handle: Handle; readonly name: CallName; readonly args: unknown; readonly client: number };
/** Its `VolumeResult`. */
export type ServiceResult =
  | { readonly kind: "ok"; readonly result: unknown; readonly record?: FileRecord | null; readonly round?: Work; readonly announcement?: Work }
  | { readonly kind: "failed"; readonly failure: DmFailure };

interface Served {
  readonly info: AttachedFs;
  readonly volume: VolumeParts;
  readonly pool: Pool;
  readonly guards: Guards;
  reserve: ReserveState | undefined;
  trouble: string | undefined;
  /** Of a look that is under way. */
  lookedAtMs: number | undefined;
  looking: NodeJS.Timeout | undefined;
}

export class VolumeService {
  readonly #options: ServiceOptions;
  readonly #served = new Map<FsName, Served>();
  readonly #opening = new Set<{ readonly client: number; isGone: boolean }>();
  #slot = 0;
  #members: Readonly<Record<number, string>> = {};

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  /** Before the file system is mounted. @throws DmError naming the backing, what was found, what is allowed. */
  async attach(wanted: { readonly fs: FsName; readonly backing: string; readonly fsid?: string | undefined }): Promise<AttachedFs> {
    if (this.#served.has(wanted.fs)) throw new DmError("EEXIST", "attach", `file system ${wanted.fs} is attached already`);
    const pool = new Pool(this.#options.pool ?? defaultPoolOptions);
    const outcome = await pool.run({ kind: "attach", options: { fs: wanted.fs, backing: wanted.backing, clusterKey: this.#options.clusterKey, ...(wanted.fsid !== undefined && { fsid: wanted.fsid }) } });
    if (outcome.kind === "failed") {
      await pool.close();
      throw new DmError(outcome.failure.code, "attach", outcome.failure.message);
    }
    const { volume, document, fsHandle, rootHandle, probe, reserve } = outcome.result as Attached;
    const info: AttachedFs = {
      fs: wanted.fs, backing: wanted.backing, fsid: document.fsid, handle: fsHandle, rootHandle, eventList: document.eventList, probe,
      degradations: degradations(probe), rootFd: volume.rootFd, metaFd: volume.metaFd,
    };
    const guards = new Guards((fd) => void closeWith(pool, [fd]));
    const served: Served = { info, volume, pool, guards, reserve: undefined, trouble: undefined, lookedAtMs: undefined, looking: undefined };
    this.#served.set(wanted.fs, served);
    this.#noteReserve(served, reserve);
    this.#lookAfterReserve(served);
    return info;
  }

  /** Whoever let some of it go may be dead, so every node looks. The next look waits for the end of this one: the volume may hang. */
  #lookAfterReserve(served: Served): void {
    served.looking = setTimeout(() => {
      served.lookedAtMs = performance.now();
      void served.pool.run({ kind: "make-reserve", volume: served.volume }).then((outcome) => {
        served.lookedAtMs = undefined;
        if (this.#served.get(served.info.fs) !== served) return;
        if (outcome.kind === "ok") {
          const { reserve, trouble } = outcome.result as { reserve: ReserveState | undefined; trouble: string | undefined };
          this.#noteReserve(served, reserve);
          if (served.trouble !== trouble) this.#options.troubleChanged?.(served.info.fs, trouble);
          served.trouble = trouble;
        }
        this.#lookAfterReserve(served);
      });
    }, RESERVE_LOOK_MS).unref();
  }
  #noteReserve(served: Served, state: ReserveState | undefined): void {
    if (state === undefined) return;
    const wasShort = (served.reserve?.lacking ?? 0) > 0;
    served.reserve = state;
    if (wasShort !== state.lacking > 0) this.#options.reserveChanged?.(served.info.fs, state);
  }
  /** What is wrong with the backing, as last looked at; also that it does not answer. */
  trouble(fs: FsName): string | undefined {
    const served = this.#served.get(fs);
    const silentMs = served?.lookedAtMs === undefined ? 0 : performance.now() - served.lookedAtMs;
    return silentMs < SILENT_MS ? served?.trouble : `the backing ${served!.info.backing} has not answered for ${Math.round(silentMs / 1000)} s: its users wait`;
  }
  /** As last looked at. */
  reserve(fs: FsName): ReserveState | undefined {
    return this.#served.get(fs)?.reserve;
  }

  async detach(fs: FsName): Promise<void> {
    const served = this.#served.get(fs);
    if (served === undefined) return;
    this.#served.delete(fs);
    clearTimeout(served.looking);
    served.guards.dropAll();
    const { metaFd, ownFd, rootFd } = served.volume;
    await closeWith(served.pool, [metaFd, ownFd, rootFd]);
    await served.pool.close();
  }
  async close(): Promise<void> {
    await Promise.all([...this.#served.keys()].map((fs) => this.detach(fs)));
  }
  attached(fs: FsName): AttachedFs | undefined {
    return this.#served.get(fs)?.info;
  }

  /** This node's slot and the members' names by slot, from the view: who is named when a guard stands in the way. */
  setMembers(slot: number, members: Readonly<Record<number, string>>): void {
    this.#slot = slot;
    this.#members = members;
  }

  /** Always fulfilled. Waits for a guard up to `guardWaitMs`; but `invisible.open` and `mark.create` not, which the caller tries again itself. */
  async perform(job: ServiceJob): Promise<ServiceResult> {
    const served = this.#served.get(job.fs);
    if (served === undefined) return failed("ENODEV", `file system ${job.fs} is not attached on this node`);
    if (job.kind === "read-record") {
      return settled(await served.pool.run({ kind: "read-record", context: this.#context(served), handle: job.handle }));
    }
    if (job.name === "invisible.open") return this.#open(served, job.client, job.handle, job.args as ArgsOf<"invisible.open">);
    if (job.name === "invisible.close") return this.#closeGuard(job.client, job.args as ArgsOf<"invisible.close">);
    const guard = (job.args as { readonly guard?: number } | null)?.guard;
    const used = served.guards.use(job.client, job.handle, guard);
    if (used !== undefined && "code" in used) return { kind: "failed", failure: used };
    try {
      const context = this.#context(served, used?.fd);
      const work = { kind: "perform", context, name: job.name, handle: job.handle, args: job.args } as const;
      return settled(await (job.name === "mark.create" ? served.pool.run(work) : this.#whileBusy(served, work)));
    } finally {
      used?.release();
    }
  }

  /** The descriptor behind a ticket of `invisible.open`, once; `release` after it was passed. */
  ticket(ticket: string): { readonly fd: number; readonly client: number; release(): void } | undefined {
    for (const served of this.#served.values()) {
      const found = served.guards.redeem(ticket);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  /** The application's connection ended: its guards and tickets go. */
  dropClient(client: number): void {
    for (const opening of this.#opening) if (opening.client === client) opening.isGone = true;
    for (const served of this.#served.values()) served.guards.dropClient(client);
  }
  /** The token was answered: guards opened under it go. */
  dropToken(session: SessionId, token: Token): void {
    for (const served of this.#served.values()) served.guards.dropToken(session, token);
  }
  /** For the status document. */
  counters(fs: FsName): { readonly waiting: number; readonly busy: number; readonly descriptors: number } | undefined {
    const served = this.#served.get(fs);
    return served === undefined ? undefined : { waiting: served.pool.waiting, busy: served.pool.busy, descriptors: served.guards.size };
  }

  async #open(served: Served, client: number, handle: Handle, args: ArgsOf<"invisible.open">): Promise<ServiceResult> {
    const owner: Owner = { client, session: args.session, ...(args.token === undefined ? {} : { token: args.token }) };
    if (!served.guards.hasRoom(client)) return failed("EMFILE", "this application has too many descriptors open");
    const shared = args.mode === "exclusive" ? served.guards.shareGuard(owner, handle) : undefined;
    if (shared !== undefined) return { kind: "ok", result: shared };
    const opening = { client, isGone: false };
    this.#opening.add(opening);
    const outcome = await served.pool.run({ kind: "open", context: this.#context(served), handle, args });
    this.#opening.delete(opening);
    if (outcome.kind === "failed") return settled(outcome);
    const { fd } = outcome.result as OpenedForApplication;
    if (opening.isGone || this.#served.get(served.info.fs) !== served) {
      void closeWith(served.pool, [fd]);
      return failed("ECANCELED", "the application has gone");
    }
    if (args.mode === "read") return { kind: "ok", result: served.guards.addReader(owner, fd) };
    const { record } = outcome;
    return { kind: "ok", result: served.guards.addGuard(owner, handle, fd), ...(record === undefined ? {} : { record }) };
  }
  #closeGuard(client: number, args: ArgsOf<"invisible.close">): ServiceResult {
    for (const served of this.#served.values()) {
      if (served.guards.drop(client, args.guard) === undefined) return { kind: "ok", result: {} };
    }
    return failed("EBADF", `no guard ${args.guard} of this application`);
  }

  /** A worker never waits for a guard; the job is tried again from here, so that no worker is lost to it. */
  async #whileBusy(served: Served, job: Job): Promise<JobOutcome> {
    const deadline = performance.now() + (this.#options.guardWaitMs ?? GUARD_WAIT_MS);
    for (;;) {
      const outcome = await served.pool.run(job);
      if (outcome.kind === "ok" || outcome.isBusy !== true || performance.now() >= deadline) return outcome;
      await new Promise((done) => setTimeout(done, TRY_AGAIN_MS));
    }
  }

  #context(served: Served, guardFd?: number): JobContext {
    return { volume: served.volume, slot: this.#slot, members: this.#members, ...(guardFd === undefined ? {} : { guardFd }) };
  }
}

/** By a worker, since closing may block; from here only when there are no workers any more. */
async function closeWith(pool: Pool, fds: readonly number[]): Promise<void> {
  const outcome = await pool.run({ kind: "close", fds });
  if (outcome.kind === "failed") for (const fd of fds) files.close(fd);
}
function failed(code: DmFailure["code"], message: string): ServiceResult {
  return { kind: "failed", failure: { code, message } };
}
function settled(outcome: JobOutcome): ServiceResult {
  return outcome.kind === "ok" ? outcome : { kind: "failed", failure: outcome.failure };
}
