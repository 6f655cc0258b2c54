/**
 * A reactor with its workers in the simulation: drives the real admission machine and performs what it says on the
 * modelled volume, as daemon/reactor does: one guard descriptor of each file, reads that look at the generation again,
 * readers opened anew when it moved.
 *
 * Source    safety C1, C3, C4, C6, H1.
 */
import { Admission } from "../cluster/admission/admission.js";
import type { AdmissionEffect, AdmissionInput, AdmissionRequest } from "../cluster/admission/operation.js";
import { type DataEvent, type EventSet, eventSet } from "../dmapi/events.js";
import type { Handle, OperationId } from "../dmapi/ids.js";
import type { Access } from "../dmapi/rights.js";
import { BLOCK_BYTES, type FileModel, OpenFile } from "./file-model.js";
import type { KernelModel, KernelRequest, Reply, Server } from "./kernel-model.js";
import { crossing, type Process, sleep, system, type Thread, type World } from "./world.js";

const GUARD_TIMEOUT_MS = 20_000;

interface Guard {
  open: OpenFile | undefined;
  isCancelled: boolean;
}
interface Inode {
  readonly file: FileModel;
  generation: number;
  reader: { readonly open: OpenFile; readonly generation: number } | undefined;
  guard: Guard | undefined;
  heldFills: number;
  /** Threads of its own that work on it: it stays so long. */
  pins: number;
  /** Droppings of its pages under way: what comes meanwhile is held by no fence (safety C6). */
  invalidating: number;
  /** Flushes whose pages are not written back yet: reads are served meanwhile (safety C3 step 4). */
  flushing: number;
}
interface Operation {
  readonly request: KernelRequest;
  result: Reply | undefined;
  /** Admitted past whatever fence there is: write-back, and what the dropping of pages waits for (safety C6). */
  passesFences: boolean;
  admittedAtMs: number;
}

/** What the reactor tells the rest of its daemon. */
export interface Upward {
  raised(operation: OperationId, file: FileModel, event: DataEvent): void;
  interestWanted(file: FileModel): void;
  interestDropped?(file: FileModel): void;
  fenceDrained(file: FileModel, fenceNumber: number): void;
  roundDrained(round: string, from: string): void;
  /** Nobody waits for that operation any more. */
  operationGone?(operation: OperationId): void;
  /** An operation touches the backing in this instant. */
  touched?(touch: Touch): void;
}
export interface Touch {
  readonly operation: OperationId;
  readonly file: FileModel;
  readonly access: Access;
  readonly block: number;
  readonly passesFences: boolean;
  readonly admittedAtMs: number;
}

export class ReactorModel implements Server {
  readonly world: World;
  readonly process: Process;
  readonly #up: Upward;
  readonly #files: ReadonlyMap<Handle, FileModel>;
  readonly #admission = new Admission({ dataEventRetry: 4, fsEventList: 0 });
  readonly #inodes = new Map<Handle, Inode>();
  readonly #operations = new Map<OperationId, Operation>();
  kernel!: KernelModel;
  #lastOperation = 0;

  /** @param options.lastOperation of the reactor before it, so that a number names one operation of its daemon. */
  constructor(options: { world: World; process: Process; up: Upward; files: ReadonlyMap<Handle, FileModel>; ownedEvents?: EventSet; lastOperation?: number }) {
    this.world = options.world;
    this.process = options.process;
    this.#up = options.up;
    this.#files = options.files;
    this.#lastOperation = options.lastOperation ?? 0;
    this.step({ kind: "owned-events", events: options.ownedEvents ?? eventSet(["read", "write", "truncate"]) });
  }

  get waiting(): number {
    return this.#operations.size;
  }
  get lastOperation(): number {
    return this.#lastOperation;
  }
  /** Operations of users that do not run just now. */
  get interruptible(): OperationId[] {
    return [...this.#operations.keys()].filter((id) => this.#mayInterrupt(id));
  }
  /** Unmounted: its descriptors go. */
  end(): void {
    for (const inode of this.#inodes.values()) {
      this.#dropGuard(inode);
      inode.reader?.open.close(this.process);
    }
  }
  /** Open modes go by what this node knows of the record. */
  hasRegions(file: FileModel): boolean {
    return (this.#admission.recordOf(file.handle)?.regions.length ?? 0) > 0;
  }

  /** Generations under which operations on the file run just now that were admitted after that. */
  runningUnder(file: FileModel, afterMs: number): number[] {
    return [...this.#operations].flatMap(([id, { admittedAtMs }]) => (admittedAtMs <= afterMs ? [] : (this.#admission.generationUnder(id, file.handle) ?? [])));
  }
  /** A new incarnation begins: nothing cached is believed any more (safety C7). */
  forget(): void {
    for (const inode of this.#inodes.values()) {
      inode.generation = -1;
      this.kernel.process.start(this.#invalidate(inode.file, undefined));
    }
    this.step({ kind: "everything-forgotten" });
  }
  /** The user of one of the operations that wait for an event is gone. */
  interrupt(id: OperationId): void {
    if (!this.#mayInterrupt(id)) return;
    this.step({ kind: "operation-gone", operation: id });
    this.#up.operationGone?.(id);
    this.#answer(id, { kind: "failed", code: "EINTR" });
  }

  #mayInterrupt(id: OperationId): boolean {
    const operation = this.#operations.get(id);
    return operation !== undefined && !operation.request.isWriteback && this.#admission.generationUnder(id, operation.request.file.handle) === undefined;
  }

  serve(request: KernelRequest): void {
    this.process.after(0.1, () => this.#arrive(request));
  }

  forgotten(file: FileModel): void {
    this.process.after(0.1, () => {
      const inode = this.#inode(file.handle);
      const isUsed = inode.pins > 0 || this.kernel.isUsed(file) || [...this.#operations.values()].some(({ request }) => request.file === file);
      if (isUsed) return; // found again meanwhile
      this.step({ kind: "object-forgotten", handle: file.handle });
      this.#dropGuard(inode);
      inode.reader?.open.close(this.process);
      inode.reader = undefined;
      inode.generation = 0;
    });
  }
  #work(handle: Handle, steps: (inode: Inode) => Thread): void {
    const inode = this.#inode(handle);
    this.process.start(this.#pinned(inode, steps(inode)));
  }
  *#pinned(inode: Inode, work: Thread): Thread {
    inode.pins++;
    yield* work;
    inode.pins--;
  }

  step(input: AdmissionInput): void {
    if (input.kind === "round-begun" && (input.work.kind === "flush" || input.work.kind === "drop-pages")) this.#inode(input.work.handle).flushing++;
    for (const effect of this.#admission.step(input)) this.#perform(effect);
  }

  #arrive(request: KernelRequest): void {
    const id = ++this.#lastOperation as OperationId;
    const { handle } = request.file;
    this.#operations.set(id, { request, result: undefined, passesFences: false, admittedAtMs: 0 });
    if (request.kind === "read") this.#inode(handle).heldFills++;
    const data = { handle, offset: request.block * BLOCK_BYTES, length: BLOCK_BYTES } as const;
    const operation: Record<KernelRequest["kind"], Pick<AdmissionRequest, "uses" | "events">> = {
      open: { uses: [{ handle, access: "look", needsGuard: false }], events: [{ kind: "open-for-write", handle }] },
      read: { uses: [{ handle, access: "read", needsGuard: false }], events: [{ kind: "data", type: "read", ...data }] },
      write: { uses: [{ handle, access: "change", needsGuard: true }], events: [{ kind: "data", type: "write", ...data }] },
      truncate: { uses: [{ handle, access: "change", needsGuard: true }], events: [{ kind: "data", type: "truncate", handle, offset: data.offset, length: 0 }] },
      utimens: { uses: [{ handle, access: "change", needsGuard: true }], events: [] },
    };
    const passesFences = request.kind === "read" && this.#inode(handle).invalidating > 0;
    this.#operations.get(id)!.passesFences = passesFences || request.isWriteback;
    this.step({ kind: "operation-arrived", operation: { id, isWriteback: request.isWriteback, passesFences, ...operation[request.kind] } });
  }

  #perform(effect: AdmissionEffect): void {
    switch (effect.kind) {
      case "admit":
        this.#noteAdmitted(effect.operation);
        return this.process.start(this.#run(effect.operation));
      case "refuse":
        return this.#answer(effect.operation, { kind: "failed", code: effect.code });
      case "finish":
        return this.#answer(effect.operation, this.#operations.get(effect.operation)!.result!);
      case "raise": {
        const { file } = this.#operations.get(effect.operation)!.request;
        const { event } = effect;
        if (event.kind === "data") return this.#up.raised(effect.operation, file, { type: event.type, handle: event.handle, offset: event.offset, length: event.length });
        return this.#up.raised(effect.operation, file, { type: "write", handle: file.handle, offset: 0, length: 0 });
      }
      case "load-record":
        return this.#work(effect.handle, (inode) => this.#loadRecord(inode));
      case "take-guard":
        return this.#takeGuard(this.#inode(effect.handle));
      case "drop-guard":
        return this.#dropGuard(this.#inode(effect.handle));
      case "want-interest":
        return this.#up.interestWanted(this.#inode(effect.handle).file);
      case "flush-pages":
        return this.#flushPages(effect);
      case "sync-data":
        return this.#work(effect.handle, () => this.#syncData(effect));
      case "fence-drained":
        return this.#up.fenceDrained(this.#inode(effect.handle).file, effect.fenceNumber);
      case "round-drained":
        return this.#up.roundDrained(effect.round, effect.from);
      case "drop-interest":
        return this.#up.interestDropped?.(this.#inode(effect.handle).file);
      case "hold":
      case "drop-event":
    }
  }

  #inode(handle: Handle): Inode {
    let inode = this.#inodes.get(handle);
    if (inode === undefined) {
      inode = { file: this.#files.get(handle)!, generation: 0, reader: undefined, guard: undefined, heldFills: 0, pins: 0, invalidating: 0, flushing: 0 };
      this.#inodes.set(handle, inode);
    }
    return inode;
  }

  // Operations that were admitted.

  #noteAdmitted(id: OperationId): void {
    const operation = this.#operations.get(id)!;
    operation.admittedAtMs = this.world.nowMs;
    const { request } = operation;
    if (request.kind === "read" && this.#inode(request.file.handle).flushing > 0) operation.passesFences = true;
  }
  #touch(id: OperationId, access: Access): void {
    const { request, passesFences, admittedAtMs } = this.#operations.get(id)!;
    this.#up.touched?.({ operation: id, file: request.file, access, block: request.block, passesFences, admittedAtMs });
  }

  *#run(id: OperationId): Thread {
    const operation = this.#operations.get(id)!;
    const { request } = operation;
    const inode = this.#inode(request.file.handle);
    yield* crossing(this.process, "operation");
    yield* this.#queued();
    const result = request.kind === "read" ? yield* this.#read(inode, id, request.block) : yield* this.#change(inode, id, request);
    if (result === "overtaken") return this.step({ kind: "operation-overtaken", operation: id });
    operation.result = result;
    this.step({ kind: "operation-ran", operation: id, events: [] });
  }

  /** In the queue of a worker; mostly there is none. */
  *#queued(): Thread {
    const { random, stress } = this.world;
    const { chance, longChance, longMs } = stress.queue;
    if (random.chance(chance)) yield* sleep(random.below(random.chance(longChance) ? longMs : 100));
  }

  *#read(inode: Inode, id: OperationId, block: number): Thread<Reply | "overtaken"> {
    const { file } = inode;
    const mustReopen = inode.reader === undefined || (inode.reader.generation !== inode.generation);
    if (mustReopen) {
      const { generation } = inode;
      const open = yield* system(() => new OpenFile(file, this.process), 0.3);
      inode.reader?.open.close(this.process);
      inode.reader = { open, generation };
    }
    const { open } = inode.reader!;
    const version = yield* system(() => {
      this.#touch(id, "read");
      return open.read(block);
    }, 0.5);
    const now = yield* system(() => file.generation, 0.2);
    // Whatever the node has learned since it was admitted does not count.
    if (now > (this.#admission.generationUnder(id, file.handle) ?? -1)) return "overtaken";
    return { kind: "ok", version };
  }

  *#change(inode: Inode, id: OperationId, request: KernelRequest): Thread<Reply> {
    const { file } = inode;
    if (request.kind === "open") return { kind: "ok", version: 0 };
    const open = inode.guard?.open;
    this.world.check(open !== undefined && !open.isClosed, () => `${this.process.name} changes ${file.handle} without the guard`);
    yield* system(() => {
      this.#touch(id, "change");
      if (request.kind === "utimens") file.mtimeNs = request.mtimeNs ?? 1n;
      else if (request.kind === "truncate") file.userTruncate(request.block, request.version, this.process.name);
      else file.userWrite(request.block, request.version, this.process.name);
    }, 0.5);
    return { kind: "ok", version: request.version };
  }

  #answer(id: OperationId, reply: Reply): void {
    const operation = this.#operations.get(id)!;
    this.#operations.delete(id);
    if (operation.request.kind === "read") this.#inode(operation.request.file.handle).heldFills--;
    operation.request.answer(reply);
  }

  // Records, the guard, pages.

  *#loadRecord(inode: Inode): Thread {
    yield* this.#queued();
    const record = yield* system(() => inode.file.record, 0.5);
    inode.generation = Math.max(inode.generation, record?.generation ?? 0);
    this.step({ kind: "record-loaded", handle: inode.file.handle, record });
  }

  #takeGuard(inode: Inode): void {
    const guard: Guard = { open: undefined, isCancelled: false };
    inode.guard = guard;
    this.process.start(this.#pinned(inode, this.#takeGuardSteps(inode, guard)));
  }
  *#takeGuardSteps(inode: Inode, guard: Guard): Thread {
    const { file } = inode;
    const open = yield* system(() => new OpenFile(file, this.process), 0.3);
    const deadlineMs = this.process.clockMs + GUARD_TIMEOUT_MS;
    while (!(yield* system(() => open.tryLock("shared"), 0.3))) {
      if (this.process.clockMs < deadlineMs && !guard.isCancelled) {
        yield* sleep(20);
        continue;
      }
      open.close(this.process);
      if (guard.isCancelled) return;
      inode.guard = undefined;
      return this.step({ kind: "guard-failed", handle: file.handle, code: "EIO", isBusy: true });
    }
    yield* system(() => (file.mark = null), 0.3);
    const record = yield* system(() => file.record, 0.3);
    if (guard.isCancelled) return open.close(this.process);
    guard.open = open;
    inode.generation = Math.max(inode.generation, record?.generation ?? 0);
    this.step({ kind: "guard-taken", handle: file.handle, record });
  }
  #dropGuard(inode: Inode): void {
    const { guard } = inode;
    if (guard === undefined) return;
    inode.guard = undefined;
    guard.isCancelled = true;
    const { open } = guard;
    if (open !== undefined) this.process.start(system(() => open.close(this.process), 0.3));
  }

  #flushPages({ handle, round, from, isAwaited }: Extract<AdmissionEffect, { kind: "flush-pages" }>): void {
    const inode = this.#inode(handle);
    const { file, heldFills } = inode;
    const mayWait = isAwaited && heldFills === 0;
    const flushed = () => this.process.after(0.1, () => {
      inode.flushing--;
      this.step({ kind: "pages-flushed", handle, round, from });
    });
    // Ranges with a held read are locked in the kernel: then the dropping is queued and not waited for (safety C6).
    if (!mayWait) flushed();
    this.kernel.process.start(this.#invalidate(file, mayWait ? flushed : undefined));
  }
  *#invalidate(file: FileModel, done: (() => void) | undefined): Thread {
    const inode = this.#inode(file.handle);
    inode.invalidating++;
    yield* this.kernel.invalidate(file);
    inode.invalidating--;
    done?.();
  }
  *#syncData({ handle, round, from }: Extract<AdmissionEffect, { kind: "sync-data" }>): Thread {
    yield* this.#queued();
    yield* system(() => undefined, 2);
    this.step({ kind: "data-synced", handle, round, from });
  }

  /** What waits inside, for people who look for what hangs. */
  describe(): string {
    return [...this.#operations].map(([id, { request }]) => `${id} ${request.kind}${request.isWriteback ? " (write-back)" : ""} ${request.file.handle}`).join(", ");
  }
}
