/**
 * What the operations of a mount stand on: running tasks, asking admission, calling the backing, answering the kernel.
 *
 * Owns      tasks, the admission machine and the performing of its effects.
 * Not here  the operations themselves (the *-operations.ts files), waits for the main thread (waits.ts), records (records.ts), pages in
 *           the kernel (kernel-pages.ts), the loop (thread.ts).
 * Source    safety C1, C4, C6, H1-H3.
 */
import { performance } from "node:perf_hooks";
import { Admission } from "../../cluster/admission/admission.js";
import type { OpenMode } from "../../cluster/admission/open-modes.js";
import type { AdmissionEffect, AdmissionInput, ObjectUse, PostEvent, PreEvent } from "../../cluster/admission/operation.js";
import type { Access } from "../../dmapi/rights.js";
import { errnoOf } from "../../dmapi/errors.js";
import type { DmEvent, EventType } from "../../dmapi/events.js";
import type { Handle, OperationId } from "../../dmapi/ids.js";
import { ReplyBuffer } from "../../fuse/codec/reply.js";
import { errno } from "../../os/errno.js";
import * as device from "../../os/device.js";
import * as files from "../../os/files.js";
import { fileTypes } from "../../os/stat.js";
import { Handles } from "../../volume/handles.js";
import { MountMemory } from "../holder/mount-memory.js";
import type { FromReactor, ReactorOptions } from "../reactor-port.js";
import { backingCalls, isLocalBacking, type BackingCallName, type BackingCalls, type Found, type Stored } from "./backing-calls.js";
import { BackingFiles } from "./backing-files.js";
import { BackingPace } from "./backing-pace.js";
import { GuardKeeper } from "./guard-keeper.js";
import { DescriptorKeeper } from "./descriptor-keeper.js";
import { HeldData } from "./held-data.js";
import { type Inode, InodeTable, ROOT, type Reader } from "./inode-table.js";
import { Journal } from "./journal.js";
import { KeptNames } from "./kept-names.js";
import { KeptOpens } from "./kept-opens.js";
import { KeptPages } from "./kept-pages.js";
import { KnownObjects } from "./known-objects.js";
import { KernelPages } from "./kernel-pages.js";
import { lockDescriptors } from "./lock-operations.js";
import { MovedDirectories } from "./moved-directories.js";
import { OpenFiles } from "./open-files.js";
import { Records } from "./records.js";
import type { SideThreads } from "./side-threads.js";
import { Task, type Steps } from "./task.js";
import { processOf } from "./user-process.js";
import { Timers } from "./timers.js";
import { Waits } from "./waits.js";

/** Descriptors kept for objects that nobody uses just now. */
const IDLE_DESCRIPTORS_MAX = 8192;
/** Objects without a descriptor that nobody uses, and that are not packed all the same: their records are known. */
const AWAKE_MAX = 4096;
const OWN_DIRECTORY = ".sluice";

export interface CorePorts {
  readonly post: (message: FromReactor) => void;
  readonly io: SideThreads;
  readonly notifiers: SideThreads;
  /** For droppings of pages that may wait long in the kernel. */
  readonly patientNotifiers: SideThreads;
}

export class ReactorCore {
  readonly options: ReactorOptions;
  readonly handles: Handles;
  readonly inodes: InodeTable;
  readonly opens: OpenFiles;
  readonly timers = new Timers();
  readonly heldData: HeldData;
  readonly admission: Admission;
  readonly guards: GuardKeeper;
  readonly backingFiles: BackingFiles;
  readonly pages: KernelPages;
  readonly keptNames: KeptNames;
  readonly keptPages = new KeptPages(this);
  readonly movedDirectories: MovedDirectories;
  readonly reply = new ReplyBuffer();
  /** What the next daemon will know of this mount; undefined: it ends with this one. */
  readonly memory: MountMemory | undefined;
  readonly keeper: DescriptorKeeper | undefined;
  readonly keptOpens: KeptOpens;
  readonly journal: Journal;
  readonly isLocal: boolean;
  readonly pace = new BackingPace();
  readonly known: KnownObjects;
  readonly records = new Records(this);
  readonly waits = new Waits(this);
  readonly rootFd: number;
  readonly metaFd: number;
  readonly post: CorePorts["post"];
  readonly counters: Record<string, number> = {};
  /** Tasks that admission knows, by their operation. */
  readonly tasks = new Map<OperationId, Task>();
  /** Requests that are being worked on and wait for something, by their unique number. */
  readonly suspended = new Map<bigint, Task>();
  readonly #io: SideThreads;
  readonly #ready: { task: Task; value: unknown }[] = [];
  readonly #inputs: AdmissionInput[] = [];
  #isStepping = false;
  #isOver = false;
  #nextOperation = 1;
  #lastOpen = 0;
  /** Opens whose mode is not known yet. */
  readonly #openers = new Map<number, (answer: OpenMode | number) => void>();
  /** The task whose steps run now. */
  #current: Task | undefined;

  constructor(options: ReactorOptions, ports: CorePorts) {
    this.options = options;
    this.post = ports.post;
    this.#io = ports.io;
    const { survival } = options;
    if (survival !== undefined) {
      this.memory = survival.left === undefined ? MountMemory.begin(survival.memoryFd) : leftMemory(survival.memoryFd);
      this.keeper = new DescriptorKeeper(survival.keeperFd);
    }
    this.keptOpens = new KeptOpens(this.keeper);
    this.journal = new Journal(this.memory);
    this.opens = new OpenFiles(this.memory);
    this.rootFd = files.openAt(files.AT_FDCWD, options.backing, files.open.readOnly | files.open.directory);
    if (this.rootFd < 0) throw new Error(`the backing ${options.backing} cannot be opened (errno ${-this.rootFd})`);
    this.metaFd = files.openAt(this.rootFd, `${OWN_DIRECTORY}/meta`, files.open.readOnly | files.open.directory | files.open.noFollow);
    this.isLocal = options.isRemote !== true && isLocalBacking(this.rootFd);
    this.known = new KnownObjects(this);
    this.handles = new Handles({ clusterKey: options.clusterKey, fsid: options.fsid, mountFd: this.rootFd });
    this.heldData = new HeldData(options.heldBytesMax);
    this.admission = new Admission({ dataEventRetry: options.dataEventRetry, withoutOwner: options.withoutOwner ?? "wait", fsEventList: options.eventList });
    this.guards = new GuardKeeper(this);
    this.backingFiles = new BackingFiles(this, ports);
    this.pages = new KernelPages(this, ports);
    this.keptNames = new KeptNames(this, ports, options.leaseUntil);
    this.movedDirectories = new MovedDirectories(this, ports);
    this.inodes = new InodeTable({
      memory: this.memory,
      descriptorsMax: IDLE_DESCRIPTORS_MAX,
      awakeMax: options.awakeInodesMax ?? AWAKE_MAX,
      close: (fd) => this.closeLater(fd),
      onClose: (inode) => this.known.letGo(inode),
      onGone: (inode) => {
        if (inode.handle !== undefined) this.step({ kind: "object-forgotten", handle: inode.handle });
        this.guards.close(inode);
        this.keptNames.gone(inode);
        if (!this.#isOver) this.backingFiles.gone(inode); // that it is forgotten shows that nothing of this mount uses it
        this.retireReader(inode);
      },
      mayRest: (inode) => this.#mayRest(inode),
      seal: (inode) => this.handles.ofKernel({ type: inode.handleType, bytes: Buffer.from(inode.handleBytes) }),
      unseal: (handle) => {
        const parsed = this.handles.parse(handle);
        return "code" in parsed ? undefined : parsed.kernel;
      },
    });
    this.#internRoot();
  }

  #internRoot(): void {
    const found = backingCalls.find(this.rootFd, ".", this.metaFd);
    if (typeof found === "number") throw new Error(`the backing ${this.options.backing} gives no handles (errno ${-found})`);
    const root = this.intern(found, undefined, "", this.options.survival?.left === undefined);
    this.inodes.pin(root);
  }

  /**
   * Admission is told to forget it first, as if the kernel had: it keeps what is under way, and fences. Pages that the kernel
   * has of it are dropped all the same when somebody asks for that, since rounds find it by its handle.
   */
  #mayRest(inode: Inode): boolean {
    if (this.#isOver || this.guards.uses(inode) || this.backingFiles.idOf(inode) >= 0 || this.keptNames.uses(inode)) return false;
    if (inode.handle === undefined) return true;
    this.step({ kind: "object-forgotten", handle: inode.handle });
    return this.admission.recordOf(inode.handle) === undefined;
  }

  /** The mount is over: every descriptor goes, and with them all locks. */
  close(): void {
    this.#isOver = true;
    this.heldData.close();
    this.backingFiles.closeAll();
    this.inodes.closeAll();
    for (const fd of [...this.opens.directoryDescriptors(), ...lockDescriptors(this), this.metaFd, this.rootFd]) if (fd >= 0) files.close(fd);
    this.keeper?.close();
    this.memory?.close();
  }
  count(name: string, by = 1): void {
    this.counters[name] = (this.counters[name] ?? 0) + by;
  }
  newOperation(): OperationId {
    return this.#nextOperation++ as OperationId;
  }

  // Tasks.

  /** Runs a task until it waits or ends. */
  start(task: Task, steps: Steps): void {
    task.steps = steps;
    this.#advance(task, undefined);
  }
  /** Resumes it, after what runs now. */
  wake(task: Task, value: unknown): void {
    this.#ready.push({ task, value });
  }
  runReady(): void {
    for (let next = this.#ready.shift(); next !== undefined; next = this.#ready.shift()) this.#advance(next.task, next.value);
  }
  get hasReady(): boolean {
    return this.#ready.length > 0;
  }

  #advance(task: Task, value: unknown): void {
    const before = this.#current;
    this.#current = task;
    task.isSuspended = false;
    const step = task.steps!.next(value);
    this.#current = before;
    if (step.done !== true) {
      task.keepData(this.heldData);
      task.isSuspended = true;
      task.waits++;
      if (task.request !== undefined) this.suspended.set(task.request.header.unique, task);
      return;
    }
    this.#ended(task, step.value);
  }
  #ended(task: Task, result: number | undefined): void {
    task.dropData();
    if (task.operation !== undefined) this.tasks.delete(task.operation);
    if (task.request !== undefined) this.suspended.delete(task.request.header.unique);
    for (const inode of task.pinned) this.inodes.unpin(inode);
    task.pinned.length = 0;
    if (result !== undefined && result <= 0 && task.request !== undefined) this.send(this.reply.error(task.request.header.unique, -result));
    if (task.changes.length > 0) this.keptNames.changed(task);
    this.journal.over(task);
  }

  /** Keeps the inode and its descriptor until the task ends. */
  use(task: Task, nodeid: number): Inode | undefined {
    const inode = this.inodes.get(nodeid);
    if (inode !== undefined) this.useInode(task, inode);
    return inode;
  }
  useInode(task: Task, inode: Inode): Inode {
    this.inodes.pin(inode);
    task.pinned.push(inode);
    return inode;
  }

  // The kernel.

  /** False when nobody waits for this reply any more: what it would have given must be undone (safety H6). */
  send(message: Buffer): boolean {
    const written = device.write(this.options.fuseFd, message, 0, message.length);
    if (written >= 0) return true;
    this.count(written === -errno.ENOENT ? "replies unwanted" : "replies failed");
    return false;
  }

  // The backing.

  /** One backing call: here when the backing is local, else in an I/O worker. */
  *call<N extends BackingCallName>(name: N, ...args: Parameters<BackingCalls[N]>): Steps<ReturnType<BackingCalls[N]>> {
    if (!this.isLocal) return yield* this.callAside(name, ...args);
    if (!this.pace.allows(name)) {
      const cached = name === "find" ? backingCalls.findCached(...(args as Parameters<BackingCalls["find"]>)) : -errno.EAGAIN;
      return cached === -errno.EAGAIN ? yield* this.callAside(name, ...args) : (cached as ReturnType<BackingCalls[N]>);
    }
    const sinceMs = performance.now();
    const result = (backingCalls[name] as (...args: readonly unknown[]) => ReturnType<BackingCalls[N]>)(...args);
    this.pace.took(sinceMs);
    return result;
  }
  /** Whether `call` returns before anything else runs. */
  get callsAtOnce(): boolean {
    return this.isLocal && !this.pace.isWary;
  }
  /** What has that name in a directory. */
  *find(directoryFd: number, name: string): Steps<Found | number> {
    const known = this.pace.isWary ? undefined : this.known.find(directoryFd, name);
    return known ?? (yield* this.call("find", directoryFd, name, this.metaFd));
  }
  /** A pinned inode's attributes and record. */
  *look(inode: Inode): Steps<{ readonly statx: Uint8Array; readonly stored: Stored | undefined } | number> {
    const fd = yield* this.pathFd(inode);
    const known = fd < 0 ? fd : this.known.look(inode);
    if (known !== undefined) return known;
    const looked = yield* this.call("look", fd, inode.own, this.metaFd);
    if (typeof looked !== "number") this.known.note(inode, looked.statx, looked.stored);
    return looked;
  }
  /** One that may take long even on a local backing. */
  *callAside<N extends BackingCallName>(name: N, ...args: Parameters<BackingCalls[N]>): Steps<ReturnType<BackingCalls[N]>> {
    const task = this.#current!;
    const sinceMs = performance.now();
    this.#io.ask({ kind: "call", name, args: args.map(compact) }, (result) => {
      if (this.isLocal) this.pace.tookAside(name, sinceMs);
      this.wake(task, result);
    });
    return (yield) as ReturnType<BackingCalls[N]>;
  }
  /** By a descriptor with the right to read: `fd`, or, where that is -1, one for the moment. */
  *callOnBacking(name: "breakMark", inode: Inode, fd: number): Steps<number> {
    if (fd >= 0) return yield* this.call(name, fd);
    const pathFd = yield* this.pathFd(inode);
    const own = pathFd < 0 ? pathFd : yield* this.reopen(pathFd, files.open.readOnly | files.open.nonBlocking);
    if (own < 0) return own;
    const result = yield* this.call(name, own);
    this.closeLater(own);
    return result;
  }
  closeLater(fd: number): void {
    if (this.isLocal || this.#isOver) files.close(fd);
    else this.#io.ask({ kind: "call", name: "close", args: [fd] }, () => {});
  }
  closeBackingLater(id: number, fd: number): void {
    const { fuseFd } = this.options;
    if (this.isLocal || this.#isOver) backingCalls.closeBacking(fuseFd, id, fd);
    else this.#io.ask({ kind: "call", name: "closeBacking", args: [fuseFd, id, fd] }, () => {});
  }
  *sleep(delayMs: number): Steps<void> {
    const task = this.#current!;
    this.timers.after(delayMs, () => this.wake(task, undefined));
    yield;
  }
  /** Waits until somebody else's wake; an interrupt resumes it with -EINTR. */
  *suspend(): Steps<unknown> {
    return yield;
  }
  get currentTask(): Task {
    return this.#current!;
  }

  /** An O_PATH descriptor of a pinned inode. */
  *pathFd(inode: Inode): Steps<number> {
    while (inode.isOpening) yield* this.sleep(1);
    if (inode.pathFd >= 0) return inode.pathFd;
    inode.isOpening = true;
    const fd = yield* this.call("openHandle", this.rootFd, inode.handleType, inode.handleBytes);
    inode.isOpening = false;
    if (inode.pathFd < 0) {
      if (fd >= 0) this.inodes.setDescriptor(inode, fd);
      return fd;
    }
    if (fd >= 0) this.closeLater(fd); // a look-up has brought one meanwhile
    return inode.pathFd;
  }
  /** A new open file of what an O_PATH descriptor names. Who tries whether he is alone with it (safety C2) may be kept from his processor meanwhile. */
  *reopen(pathFd: number, flags: number): Steps<number> {
    const untilMs = this.timers.nowMs + this.options.guardTimeoutMs;
    for (;;) {
      const fd = yield* this.call("reopen", pathFd, flags);
      if (fd !== -errno.EAGAIN || this.timers.nowMs >= untilMs) return fd;
      yield* this.sleep(1);
    }
  }
  /** For reading, opened under the generation that admission goes by (safety C4); to be given back. */
  *borrowReader(inode: Inode): Steps<Reader | number> {
    let reader = inode.reader;
    if (reader === undefined || reader.generation !== inode.generation) {
      const pathFd = yield* this.pathFd(inode);
      if (pathFd < 0) return pathFd;
      const generation = inode.generation;
      const fd = yield* this.reopen(pathFd, files.open.readOnly | files.open.nonBlocking);
      if (fd < 0) return fd;
      this.retireReader(inode);
      reader = { fd, generation, users: 0, isRetired: false };
      inode.reader = reader;
    }
    reader.users++;
    return reader;
  }
  returnReader(reader: Reader): void {
    reader.users--;
    if (reader.users === 0 && reader.isRetired) this.closeLater(reader.fd);
  }
  retireReader(inode: Inode): void {
    const { reader } = inode;
    if (reader === undefined) return;
    inode.reader = undefined;
    reader.isRetired = true;
    if (reader.users === 0) this.closeLater(reader.fd);
  }
  isHidden(directory: Inode, name: string): boolean {
    return directory.nodeid === 1 && name === OWN_DIRECTORY;
  }

  // Admission.

  handleOf(inode: Inode): Handle {
    return this.inodes.handleOf(inode);
  }
  useOf(inode: Inode, access: Access, needsGuard = false): ObjectUse {
    return { handle: this.handleOf(inode), access, needsGuard };
  }

  /** The guard was needed only for a moment, unless somebody has the file open for writing. */
  guardDone(inode: Inode): void {
    if (inode.writableOpens === 0) this.step({ kind: "guard-unneeded", handle: this.handleOf(inode) });
  }

  /** Waits until the operation may run: 0, or the negative errno with which it was refused or interrupted. */
  *admit(task: Task, uses: readonly ObjectUse[], events: readonly PreEvent[], how: { isWriteback?: boolean; passesFences?: boolean } = {}): Steps<number> {
    task.operation = this.newOperation();
    this.tasks.set(task.operation, task);
    return yield* this.#verdict(task, { kind: "operation-arrived", operation: { id: task.operation, uses, events, isWriteback: how.isWriteback === true, passesFences: how.passesFences === true } });
  }
  /** The record moved on: filtered again, as `admit`. */
  *admitAgain(task: Task): Steps<number> {
    this.count("reads overtaken by a newer record");
    return yield* this.#verdict(task, { kind: "operation-overtaken", operation: task.operation! });
  }
  /** Out of space: as `admit`, once somebody has made room. */
  *admitWithSpace(task: Task): Steps<number> {
    return yield* this.#verdict(task, { kind: "space-ran-out", operation: task.operation! });
  }
  /** The operation has run; waits until its post events are told. */
  *ran(task: Task, events: readonly PostEvent[] = []): Steps<void> {
    task.isDone = true;
    yield* this.#verdict(task, { kind: "operation-ran", operation: task.operation!, events });
  }
  *#verdict(task: Task, input: AdmissionInput): Steps<number> {
    task.verdict = undefined;
    this.step(input);
    if (task.verdict === undefined) {
      task.isInterruptible = true;
      const verdict = (yield) as number;
      task.isInterruptible = false;
      task.verdict = verdict;
    }
    task.hold = undefined;
    return task.verdict;
  }

  /** In which mode an open is answered that was admitted and did what it had to; or why it fails. Counted from then on. */
  *openMode(task: Task, inode: Inode, { isWritable, isExact }: { isWritable: boolean; isExact: boolean }): Steps<OpenMode | number> {
    const open = ++this.#lastOpen;
    let answer: OpenMode | number | undefined;
    this.#openers.set(open, (mode) => {
      answer = mode;
      if (!task.isSuspended) return;
      task.isSuspended = false;
      this.wake(task, undefined);
    });
    this.step({ kind: "open-wanted", request: { open, handle: this.handleOf(inode), isWritable, isExact, mayPassThrough: this.backingFiles.isOffered } });
    while (answer === undefined) yield;
    return answer;
  }
  #openAs(open: number, answer: OpenMode | number): void {
    const opener = this.#openers.get(open);
    this.#openers.delete(open);
    opener?.(answer);
  }

  step(input: AdmissionInput): void {
    this.#inputs.push(input);
    if (this.#isStepping) return;
    this.#isStepping = true;
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      for (const effect of this.admission.step(next)) this.#perform(effect);
    }
    this.#isStepping = false;
  }

  #perform(effect: AdmissionEffect): void {
    switch (effect.kind) {
      case "admit": return this.#decide(effect.operation, 0);
      case "finish": return this.#decide(effect.operation, 0);
      case "refuse": return this.#decide(effect.operation, -errnoOf[effect.code]);
      case "hold": return this.#noteHold(effect);
      case "raise": return this.waits.raise(effect);
      case "load-record": return this.records.load(effect.handle);
      case "take-guard": return this.guards.take(effect.handle);
      case "drop-guard": return this.guards.drop(effect.handle);
      case "open-as": return this.#openAs(effect.open, effect.mode);
      case "open-refused": return this.#openAs(effect.open, -errnoOf[effect.code]);
      case "register-backing": return this.backingFiles.register(effect.handle, effect.isWritable);
      case "break-mark": return this.backingFiles.breakMark(effect.handle);
      case "test-backing": return this.backingFiles.test(effect.handle, effect.isAsked);
      case "close-backing": return this.backingFiles.close(effect.handle);
      case "want-interest": return this.post({ kind: "interest-wanted", handle: effect.handle });
      case "drop-interest": return this.post({ kind: "interest-dropped", handle: effect.handle });
      case "flush-pages": return this.pages.flush(effect);
      case "sync-data": return this.records.sync(effect);
      case "fence-drained": return this.post({ kind: "fence-drained", handle: effect.handle, fenceNumber: effect.fenceNumber });
      case "round-drained": return this.post({ kind: "round-drained", round: effect.round, from: effect.from });
      case "drop-event": return this.count(`events without an owner: ${effect.type}`);
    }
  }

  #decide(operation: OperationId, verdict: number): void {
    const task = this.tasks.get(operation);
    if (task === undefined) return;
    task.verdict = verdict;
    if (task.isSuspended) {
      task.isSuspended = false;
      this.wake(task, verdict);
    }
  }
  #noteHold(effect: Extract<AdmissionEffect, { kind: "hold" }>): void {
    const task = this.tasks.get(effect.operation);
    if (task === undefined) return;
    const sinceMs = task.hold?.sinceMs ?? this.timers.nowMs;
    task.hold = { sinceMs, cause: effect.cause, detail: effect.detail, handle: effect.handle };
  }

  processOf(task: Task): Task["process"] {
    const header = task.request?.header;
    if (header !== undefined && header.pid !== 0) task.process ??= processOf(header.pid, header.uid, header.gid);
    return task.process;
  }

  /** What a task tells main when such an event is due; mostly none is. */
  tell(task: Task, type: EventType, make: () => DmEvent): void {
    task.events.set(type, make);
  }
  /** An event after the fact that no reply waits for: of a close, or of an object that is gone. */
  *tellAll(task: Task, handle: Handle, events: readonly DmEvent[]): Steps<void> {
    for (const event of events) this.tell(task, event.type, () => event);
    const refused = yield* this.admit(task, [], []);
    if (refused < 0) return;
    yield* this.ran(task, events.map(({ type }) => ({ type, lists: [handle] })));
  }
  /** Of an operation that an earlier daemon had done: whether it had told of it nobody knows. */
  *toldAgain(task: Task, events: readonly PostEvent[]): Steps<void> {
    if ((yield* this.admit(task, [], [])) >= 0) yield* this.ran(task, events);
  }
  /** Work on an object for which no user waits. */
  startFor(inode: Inode, call: string, steps: (task: Task) => Steps): void {
    const task = new Task(undefined, call);
    task.inode = inode;
    this.useInode(task, inode);
    this.start(task, steps(task));
  }

  // Objects and their records.

  /** What the data of this admitted operation is checked against (safety C4 (3)); whatever the node has learned since does not count. */
  generationUnder(task: Task, inode: Inode): number {
    return this.admission.generationUnder(task.operation!, this.handleOf(inode)) ?? -1;
  }
  /** The object of something found, counted as looked up when `isLookedUp`. */
  intern(found: Found, parent: Inode | undefined, name: string, isLookedUp: boolean): Inode {
    const inode = this.inodes.intern(found, (found.statx[28]! | (found.statx[29]! << 8)) & 0o170000);
    if (isLookedUp && parent !== undefined) this.movedDirectories.told(inode, parent, name);
    if (isLookedUp) this.inodes.lookedUp(inode);
    // A directory stays where the kernel has it until the kernel is told.
    if (parent !== undefined && (isLookedUp || inode.type !== fileTypes.directory || inode.lookups === 0)) {
      inode.parent = parent.nodeid;
      inode.name = name;
    }
    if (found.fd >= 0) this.known.note(inode, found.statx, found.stored);
    this.records.seen(inode, found.stored);
    return inode;
  }

  /** A new incarnation begins: nothing cached is believed any more (safety C7). */
  forgetEverything(): void {
    for (const inode of this.inodes) {
      inode.generation = -1;
      this.pages.drop(inode, 0, 0);
    }
    this.pages.dropResting();
    this.keptNames.excluded();
    this.step({ kind: "everything-forgotten" });
  }

  /** Where an object was last seen, from the root of the mount; for people. */
  pathOf(inode: Inode): string {
    const names: string[] = [];
    let [nodeid, at] = [inode.nodeid, this.inodes.peek(inode.nodeid)];
    while (at !== undefined && nodeid !== ROOT && names.length < 128) {
      names.unshift(Buffer.from(at.name, "latin1").toString("utf8"));
      [nodeid, at] = [at.parent, this.inodes.peek(at.parent)];
    }
    return `/${names.join("/")}`;
  }
}

function leftMemory(fd: number): MountMemory {
  const memory = MountMemory.takeOver(fd);
  if ("refusal" in memory) throw new Error(`what an earlier daemon left cannot be used: ${memory.refusal}`);
  return memory;
}

/** A view of a larger buffer would travel to another thread with the whole of it. */
function compact(value: unknown): unknown {
  return value instanceof Uint8Array && value.byteLength !== value.buffer.byteLength ? new Uint8Array(value) : value;
}
