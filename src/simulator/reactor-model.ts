/**
 * A reactor with its workers in the simulation: drives the real admission machine and performs what it says on the
 * modelled volume, as daemon/reactor does: one guard descriptor of each file, reads that look at the generation again,
 * readers opened anew when it moved, descriptors that the kernel uses by itself (its backing-files.ts).
 *
 * Source    safety C1, C3, C4, C6, H1.
 */
import { Admission } from "../cluster/admission/admission.js";
import { Keeping, type KeepingEffect, type OtherMount } from "../cluster/keeping/keeping.js";
import type { KeepingWord } from "../cluster/keeping/words.js";
import type { OpenMode } from "../cluster/admission/open-modes.js";
import { type RegisterStep, registerSteps, type StepAnswer } from "../cluster/admission/passthrough-steps.js";
import type { AdmissionEffect, AdmissionInput, AdmissionRequest } from "../cluster/admission/operation.js";
import { type DataEvent, type EventSet, eventSet } from "../dmapi/events.js";
import type { Handle, NodeId, OperationId } from "../dmapi/ids.js";
import type { Access } from "../dmapi/rights.js";
import { BLOCK_BYTES, type FileModel, OpenFile } from "./file-model.js";
import type { KernelModel, KernelRequest, Reply, Server } from "./kernel-model.js";
import { crossing, type Process, sleep, system, type Thread, type World } from "./world.js";

const GUARD_TIMEOUT_MS = 20_000;
/** Between two tests whether the kernel still uses a descriptor that nothing opened passes through to. */
const LEASE_TEST_MS = 1_000;

interface Guard {
  open: OpenFile | undefined;
  isCancelled: boolean;
}
interface Backing {
  readonly open: OpenFile;
  readonly id: number;
  /** Each second, from its first unopened moment on. */
  isTested: boolean;
}
interface Inode {
  readonly file: FileModel;
  generation: number;
  reader: { readonly open: OpenFile; readonly generation: number } | undefined;
  guard: Guard | undefined;
  backing: Backing | undefined;
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
  /** It was admitted and has run: only its mode is still to be found. */
  isOpening: boolean;
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
  /** To the reactor of another node that mounts the same. */
  keepingSaid?(to: NodeId, word: KeepingWord): void;
  /** Until then a kernel may keep what it may keep. */
  readonly keepsUntilMs?: number;
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
  readonly #openers = new Map<number, (answer: OpenMode | undefined) => void>();
  readonly #mayPassThrough: boolean;
  readonly #keeping = new Keeping((effect) => this.#keep(effect));
  /** What the kernel keeps of files, names and attributes, and until when. */
  readonly #kept = new Map<Handle, number>();
  /** Changes that wait until other kernels have dropped what they keep. */
  readonly #waitingForKernels = new Map<OperationId, () => void>();
  #willFlush = false;
  #lastOpen = 0;
  kernel!: KernelModel;
  #lastOperation = 0;

  /** @param options.lastOperation of the reactor before it, so that a number names one operation of its daemon. */
  constructor(options: { world: World; process: Process; up: Upward; files: ReadonlyMap<Handle, FileModel>; ownedEvents?: EventSet; lastOperation?: number; mayPassThrough?: boolean }) {
    this.world = options.world;
    this.process = options.process;
    this.#up = options.up;
    this.#files = options.files;
    this.#lastOperation = options.lastOperation ?? 0;
    this.#mayPassThrough = options.mayPassThrough ?? false;
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
      inode.backing?.open.close(this.process);
    }
  }

  /** Generations under which operations on the file run just now that were admitted after that. */
  runningUnder(file: FileModel, afterMs: number): number[] {
    return [...this.#operations].flatMap(([id, { admittedAtMs }]) => (admittedAtMs <= afterMs ? [] : (this.#admission.generationUnder(id, file.handle) ?? [])));
  }
  // What kernels keep (safety H7).

  othersAre(others: readonly OtherMount[], isInForce: boolean): void {
    this.#keeping.othersAre(others, isInForce);
  }
  hear(from: NodeId, word: KeepingWord): void {
    this.#keeping.hear(from, word);
  }
  giveUpAll(done: () => void): void {
    this.#keeping.giveUpAll(done);
  }
  keeps(file: FileModel): boolean {
    return (this.#kept.get(file.handle) ?? 0) > this.world.nowMs;
  }
  #look(file: FileModel): void {
    if (this.#keeping.look(file.handle, undefined)) this.#kept.set(file.handle, this.#up.keepsUntilMs ?? 0);
    if (this.#willFlush) return;
    this.#willFlush = true;
    this.process.after(0.2, () => {
      this.#willFlush = false;
      this.#keeping.flush();
    });
  }
  #keep(effect: KeepingEffect): void {
    switch (effect.kind) {
      case "say":
        return this.#up.keepingSaid?.(effect.to, effect.word);
      case "drop": {
        // Attributes at once; names by a thread that may have to wait.
        const delayMs = this.world.random.chance(0.2) ? this.world.random.below(60) : 0;
        return this.process.after(delayMs, () => {
          for (const own of effect.objects) this.#kept.delete(own as Handle);
          this.#keeping.dropped(effect.drop);
        });
      }
      case "may-change": {
        const go = this.#waitingForKernels.get(effect.change as OperationId);
        this.#waitingForKernels.delete(effect.change as OperationId);
        go?.();
      }
    }
  }

  /** A new incarnation begins: nothing cached is believed any more (safety C7). */
  forget(): void {
    this.#keeping.excluded();
    for (const inode of this.#inodes.values()) {
      inode.generation = -1;
      this.kernel.process.start(this.#invalidate(inode.file, undefined));
    }
    this.step({ kind: "everything-forgotten" });
  }
  /** The user of one of the operations that wait for an event is gone. */
  interrupt(id: OperationId): void {
    if (!this.#mayInterrupt(id)) return;
    if (this.#waitingForKernels.delete(id)) return this.#answer(id, { kind: "failed", code: "EINTR" });
    this.step({ kind: "operation-gone", operation: id });
    this.#up.operationGone?.(id);
    this.#answer(id, { kind: "failed", code: "EINTR" });
  }

  #mayInterrupt(id: OperationId): boolean {
    const operation = this.#operations.get(id);
    return operation !== undefined && !operation.isOpening && !operation.request.isWriteback && this.#admission.generationUnder(id, operation.request.file.handle) === undefined;
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
      this.#closeBacking(inode);
      inode.reader?.open.close(this.process);
      inode.reader = undefined;
      inode.generation = 0;
    });
  }
  released(file: FileModel, mode: OpenMode): void {
    this.process.after(0.1, () => this.step({ kind: "open-ended", handle: file.handle, mode }));
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
    this.#operations.set(id, { request, result: undefined, passesFences: false, admittedAtMs: 0, isOpening: false });
    if (request.kind === "read") this.#inode(handle).heldFills++;
    this.#look(request.file);
    const isChange = request.kind !== "read" && request.kind !== "open";
    if (!isChange || this.#keeping.begin(id, [handle])) return this.#admit(id, request);
    this.#waitingForKernels.set(id, () => this.#admit(id, request));
  }
  #admit(id: OperationId, request: KernelRequest): void {
    const { handle } = request.file;
    const data = { handle, offset: request.block * BLOCK_BYTES, length: BLOCK_BYTES } as const;
    const operation: Record<KernelRequest["kind"], Pick<AdmissionRequest, "uses" | "events">> = {
      open: { uses: [{ handle, access: "look", needsGuard: false }], events: request.isWritable === true ? [{ kind: "open-for-write", handle }] : [] },
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
      case "finish": {
        const operation = this.#operations.get(effect.operation)!;
        if (operation.request.kind !== "open") return this.#answer(effect.operation, operation.result!);
        operation.isOpening = true;
        return this.#findMode(effect.operation, operation.request);
      }
      case "open-as":
      case "open-refused": {
        const opener = this.#openers.get(effect.open);
        this.#openers.delete(effect.open);
        return opener?.(effect.kind === "open-as" ? effect.mode : undefined);
      }
      case "register-backing":
        return this.#work(effect.handle, (inode) => this.#register(inode, effect.isWritable));
      case "break-mark":
        return this.#work(effect.handle, (inode) => this.#breakMark(inode));
      case "test-backing":
        return this.#testBacking(this.#inode(effect.handle), effect.isAsked);
      case "close-backing":
        return this.#closeBacking(this.#inode(effect.handle));
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
      inode = { file: this.#files.get(handle)!, generation: 0, reader: undefined, guard: undefined, backing: undefined, heldFills: 0, pins: 0, invalidating: 0, flushing: 0 };
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
    if (operation.request.kind !== "read" && operation.request.kind !== "open") this.#keeping.end(id, [operation.request.file.handle]);
    if (operation.request.kind === "read") this.#inode(operation.request.file.handle).heldFills--;
    operation.request.answer(reply);
  }

  // Opens, and what the kernel reads and writes by itself.

  #findMode(id: OperationId, { file, isWritable = false }: KernelRequest): void {
    const open = ++this.#lastOpen;
    this.#openers.set(open, (mode) => {
      const idOf = mode === "passthrough" ? { id: this.#inode(file.handle).backing!.id } : {};
      this.#answer(id, mode === undefined ? { kind: "failed", code: "EIO" } : { kind: "ok", version: 0, mode, ...idOf });
    });
    this.step({ kind: "open-wanted", request: { open, handle: file.handle, isWritable, isExact: false, mayPassThrough: this.#mayPassThrough } });
  }

  *#register(inode: Inode, isWritable: boolean): Thread {
    const { file } = inode;
    const { handle } = file;
    const open = yield* system(() => new OpenFile(file, this.process), 0.3);
    const steps = registerSteps(isWritable);
    let next = steps.next();
    while (next.done !== true) {
      yield* crossing(this.process, "operation");
      next = steps.next(yield* this.#registerStep(next.value, open));
    }
    const { stored } = next.value;
    if (stored !== undefined) inode.generation = Math.max(inode.generation, stored.generation);
    if (next.value.kind === "refused") return this.step({ kind: "backing-refused", handle, ...(stored === undefined ? {} : { record: stored.record, stored: stored.generation }) });
    inode.backing = { open, id: next.value.id, isTested: false };
    this.step({ kind: "backing-registered", handle, record: next.value.stored.record, stored: next.value.stored.generation, isMarkGone: next.value.isMarkGone });
  }
  *#registerStep(step: RegisterStep, open: OpenFile): Thread<StepAnswer> {
    const { file } = open;
    switch (step) {
      case "open": return 0;
      case "guard": return yield* system(() => (open.tryLock("shared") ? 0 : -11), 0.3);
      case "mark": return yield* system(() => this.#unmark(file), 0.3);
      case "record": return yield* system(() => ({ generation: file.generation, record: file.record }), 0.3);
      case "register": return yield* system(() => this.kernel.register(open), 0.3);
      case "close":
        yield* system(() => open.close(this.process), 0.3);
        return 0;
    }
  }
  #unmark(file: FileModel): number {
    file.mark = null;
    return 0;
  }
  *#breakMark(inode: Inode): Thread {
    const { file } = inode;
    yield* this.#queued();
    yield* system(() => this.#unmark(file), 0.3);
    this.step({ kind: "mark-broken", handle: file.handle });
  }
  #testBacking(inode: Inode, isAsked: boolean): void {
    const { backing } = inode;
    if (backing === undefined) return;
    if (isAsked) this.process.start(this.#pinned(inode, this.#test(inode, backing)));
    if (backing.isTested) return;
    backing.isTested = true;
    this.#testLater(inode, backing, this.world.random.below(LEASE_TEST_MS));
  }
  #testLater(inode: Inode, backing: Backing, delayMs: number): void {
    this.process.after(delayMs, () => {
      if (inode.backing !== backing) return;
      this.process.start(this.#pinned(inode, this.#test(inode, backing)));
      this.#testLater(inode, backing, LEASE_TEST_MS);
    });
  }
  *#test(inode: Inode, backing: Backing): Thread {
    const isUnused = yield* system(() => this.kernel.grantsLease(backing.open), 0.3);
    if (isUnused && inode.backing === backing) this.step({ kind: "backing-unused", handle: inode.file.handle });
  }
  #closeBacking(inode: Inode): void {
    const { backing } = inode;
    if (backing === undefined) return;
    inode.backing = undefined;
    this.process.start(this.#giveBack(backing));
  }
  *#giveBack({ id, open }: Backing): Thread {
    yield* system(() => this.kernel.unregister(id), 0.3);
    yield* system(() => open.close(this.process), 0.3);
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
