/**
 * The volume of one daemon in the simulation: jobs that its cluster machine asks for, done on the modelled files as
 * volume/service.ts does them on real ones, with the guards that applications hold.
 *
 * Not here  rights and sessions, which the machine has looked at before it asks.
 * Source    volume/service.ts, volume/record-operations.ts, volume/data-operations.ts, whose ways these are; safety C1, C3, C4.
 */
import type { ObjectJob, VolumeJob, VolumeResult } from "../cluster/node-contract.js";
import type { ArgsOf } from "../dmapi/calls.js";
import type { DmCode } from "../dmapi/errors.js";
import type { Handle } from "../dmapi/ids.js";
import type { FileRecord, RecordChange } from "../dmapi/record.js";
import { regionFlags } from "../dmapi/regions.js";
import { applyChange, mustDrain } from "../volume/record-codec.js";
import { BLOCK_BYTES, BLOCKS, type FileModel, OpenFile } from "./file-model.js";
import { attributesOf } from "./mover-model.js";
import { crossing, type Process, sleep, system, type Thread } from "./world.js";

const GUARD_WAIT_MS = 2_000;
const TRY_AGAIN_MS = 25;

type PerformJob = Extract<VolumeJob, { kind: "perform" }>;
interface Guard {
  readonly client: number;
  readonly handle: Handle;
  readonly open: OpenFile;
  /** Jobs that work under it: it is given back when the last has ended. */
  uses: number;
  isDropped: boolean;
}

export class VolumeModel {
  readonly #process: Process;
  readonly #files: ReadonlyMap<Handle, FileModel>;
  readonly #guards = new Map<number, Guard>();
  readonly #gone = new Set<number>();

  constructor(process: Process, files: ReadonlyMap<Handle, FileModel>) {
    this.#process = process;
    this.#files = files;
  }

  /** The descriptor behind a guard, for the application that asked for it. */
  redeem(guard: number): OpenFile | undefined {
    return this.#guards.get(guard)?.open;
  }
  /** The application's connection ended: its guards go. */
  clientGone(client: number): void {
    this.#gone.add(client);
    for (const [number, guard] of this.#guards) if (guard.client === client) this.#drop(number, guard);
  }

  *run(job: ObjectJob): Thread<VolumeResult> {
    const file = this.#files.get(job.handle);
    if (file === undefined) return failed("EBADF", "no such object");
    if (job.kind === "read-record") {
      const record = yield* system(() => file.record, 0.5);
      return { kind: "ok", result: { record }, record };
    }
    return yield* this.#perform(file, job);
  }

  *#perform(file: FileModel, { name, args, client }: PerformJob): Thread<VolumeResult> {
    switch (name) {
      case "record.get": {
        const record = yield* system(() => file.record, 0.5);
        return yield* system(() => ok({ record, mark: file.mark, attributes: attributesOf(file) }), 0.5);
      }
      case "mark.create":
        return yield* this.#guarded(file, client, undefined, 0, () => this.#setMark(file));
      case "mark.check":
        return yield* system(() => ok({ isUnbroken: file.mark === (args as ArgsOf<"mark.check">).nonce }));
      case "mark.remove":
        return yield* system(() => {
          file.removeMark((args as ArgsOf<"mark.remove">).nonce);
          return ok({});
        });
      case "invisible.open":
        return yield* this.#openGuarded(file, client, args as ArgsOf<"invisible.open">);
      case "invisible.close": {
        const { guard } = args as ArgsOf<"invisible.close">;
        const of = this.#guards.get(guard);
        if (of === undefined || of.client !== client) return failed("EBADF", `no guard ${guard}`);
        this.#drop(guard, of);
        return ok({});
      }
      case "record.change": {
        const change = args as ArgsOf<"record.change">;
        return yield* this.#guarded(file, client, change.guard, GUARD_WAIT_MS, () => this.#changeRecord(file, change));
      }
      case "region.set": {
        const { regions } = args as ArgsOf<"region.set">;
        if (file.record?.residency === "partial") return failed("EINVAL", "the file still has holes");
        return yield* this.#guarded(file, client, undefined, GUARD_WAIT_MS, () => this.#store(file, { regions }));
      }
      case "hole.punch":
        return yield* this.#guarded(file, client, undefined, GUARD_WAIT_MS, (guard) => this.#punch(file, guard));
      default:
        return failed("ENOSYS", `${name} is not modelled`);
    }
  }

  // The guard: the application's own where it has one, else taken for the job.

  *#guarded(file: FileModel, client: number, number: number | undefined, waitMs: number, work: (guard: OpenFile) => Thread<VolumeResult>): Thread<VolumeResult> {
    const own = this.#ofClient(file, client, number);
    if (number !== undefined && own === undefined) return failed("EBADF", `no guard ${number}`);
    if (own !== undefined) {
      own.uses++;
      const result = yield* work(own.open);
      own.uses--;
      if (own.isDropped) this.#close(own);
      return result;
    }
    const open = yield* system(() => new OpenFile(file, this.#process), 0.3);
    try {
      const untilMs = this.#process.clockMs + waitMs;
      while (!(yield* system(() => open.tryLock("exclusive"), 0.3))) {
        if (this.#process.clockMs >= untilMs) return failed("EBUSY", "somebody guards the file");
        yield* sleep(TRY_AGAIN_MS);
      }
      return yield* work(open);
    } finally {
      open.close(this.#process);
    }
  }
  #ofClient(file: FileModel, client: number, number: number | undefined): Guard | undefined {
    for (const [at, guard] of this.#guards) {
      if (guard.client === client && guard.handle === file.handle && (number === undefined || number === at)) return guard;
    }
    return undefined;
  }

  *#openGuarded(file: FileModel, client: number, args: ArgsOf<"invisible.open">): Thread<VolumeResult> {
    const open = yield* system(() => new OpenFile(file, this.#process), 0.3);
    if (!(yield* system(() => open.tryLock("exclusive"), 0.3))) {
      open.close(this.#process);
      return failed("EBUSY", "somebody guards the file");
    }
    const record = yield* system(() => file.record, 0.3);
    if (args.keepsMark !== true && record?.residency !== "partial") yield* system(() => (file.mark = null), 0.3);
    if (this.#gone.has(client)) {
      open.close(this.#process);
      return failed("ECANCELED", "the application has gone");
    }
    const guard = file.world.newNumber();
    this.#guards.set(guard, { client, handle: file.handle, open, uses: 0, isDropped: false });
    return { ...ok({ ticket: String(guard), guard }), record };
  }
  #drop(number: number, guard: Guard): void {
    this.#guards.delete(number);
    guard.isDropped = true;
    this.#close(guard);
  }
  #close({ open, uses }: Guard): void {
    if (uses === 0) this.#process.start(system(() => open.close(this.#process), 0.3));
  }

  // What is done under it.

  *#setMark(file: FileModel): Thread<VolumeResult> {
    const record = yield* system(() => file.record, 0.3);
    if (record?.residency === "partial") return failed("ECANCELED", "the file is not resident");
    const nonce = `nonce${file.world.newNumber()}`;
    yield* system(() => (file.mark = nonce), 0.3);
    return yield* system(() => ok({ nonce, size: BLOCKS * BLOCK_BYTES, mtimeNs: file.mtimeNs, ctime: { marked: 1n, shown: 1n } }), 0.3);
  }

  *#changeRecord(file: FileModel, { change, expectMark, expect }: ArgsOf<"record.change">): Thread<VolumeResult> {
    const found = yield* system(() => ({ mark: file.mark, mtimeNs: file.mtimeNs }), 0.5);
    if (expectMark !== undefined && expectMark !== found.mark) return failed("ECANCELED", "somebody has written to the file");
    if (expect !== undefined && expect.mtimeNs !== found.mtimeNs) return failed("ECANCELED", "the file has changed");
    return yield* this.#store(file, change);
  }

  *#store(file: FileModel, change: RecordChange): Thread<VolumeResult> {
    const old = yield* system(() => file.record, 0.3);
    const captured = { size: BLOCKS * BLOCK_BYTES, atimeNs: 1n, mtimeNs: file.mtimeNs, ctimeNs: 1n };
    const changed = applyChange(old ?? undefined, change, captured);
    if ("failure" in changed) return { kind: "failed", failure: changed.failure };
    yield* crossing(this.#process, "record");
    if (file.world.random.chance(file.noRoom)) return failed("ENOSPC", "no room for the record");
    yield* system(() => file.setRecord(changed.record, this.#process.name), 0.5);
    return { ...ok({ generation: changed.record.generation }), ...told(file, old ?? undefined, changed.record) };
  }

  *#punch(file: FileModel, guard: OpenFile): Thread<VolumeResult> {
    const record = yield* system(() => file.record, 0.3);
    if (!record?.regions.some((region) => (region.flags & regionFlags.read) !== 0)) return failed("EINVAL", "no region stands over the range");
    for (let block = 0; block < BLOCKS; block++) {
      yield* crossing(this.#process, "punch");
      yield* system(() => {
        if (guard.isClosed) throw new Error("a punch goes on without its guard");
        file.punch(block, this.#process.name);
      });
    }
    return ok({});
  }
}

/** Members drain before the call is answered when users are to be held back now; else they are told and nobody waits. */
function told(file: FileModel, old: FileRecord | undefined, next: FileRecord): Partial<Extract<VolumeResult, { kind: "ok" }>> {
  const work = { kind: "record-changed", handle: file.handle, generation: next.generation } as const;
  return mustDrain(old, next) ? { record: next, round: work } : { record: next, announcement: work };
}
function ok(result: unknown): Extract<VolumeResult, { kind: "ok" }> {
  return { kind: "ok", result };
}
function failed(code: DmCode, message: string): VolumeResult {
  return { kind: "failed", failure: { code, message } };
}
