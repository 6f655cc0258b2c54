/**
 * One mount in one node's kernel: page cache, mappings, requests to the daemon that serves it. It outlives its daemon: then
 * every request fails, and what was mapped stays readable; what passes through goes on being read and written.
 *
 * Modelled as seen (safety V1-V7): a page is locked while it is filled; dropping a page waits for its fill, and for the
 * write-back of what is dirty. The server says how a file is opened: through the cache, which each open empties, directly,
 * or on a descriptor that it has registered; mixtures are refused. A descriptor stays open as long as it is registered or
 * an open passes through to it; a mapping keeps only the mount, and with it what is registered.
 *
 * Source    safety C2, C4, C6, V1-V7, H7.
 */
import type { OpenMode } from "../cluster/admission/open-modes.js";
import { BLOCKS, type FileModel, HOLE, type OpenFile } from "./file-model.js";
import { type Process, Signal, sleep, system, type Thread, until, type World } from "./world.js";

export type RequestKind = "open" | "read" | "write" | "truncate" | "utimens";
export interface KernelRequest {
  readonly kind: RequestKind;
  readonly file: FileModel;
  readonly block: number;
  readonly version: number;
  readonly isWriteback: boolean;
  /** Of an open. */
  readonly isWritable?: boolean;
  /** Of utimens. */
  readonly mtimeNs?: bigint;
  readonly answer: (reply: Reply) => void;
}
/** `mode`, `id`: how an open is answered, and with which registered descriptor. */
export type Reply = { readonly kind: "ok"; readonly version: number; readonly mode?: OpenMode; readonly id?: number } | { readonly kind: "failed"; readonly code: string };
export interface Server {
  serve(request: KernelRequest): void;
  /** RELEASE: an open is over. */
  released(file: FileModel, mode: OpenMode): void;
  /** FORGET: the kernel knows that file no more. */
  forgotten(file: FileModel): void;
}

/** How often the kernel has forgotten a file that is opened, and forgets one whose pages were dropped. */
const FORGOTTEN_BEFORE_OPEN = 0.15;
const FORGOTTEN_AFTER_DROPPING = 0.15;

interface Page {
  version: number;
  isFilling: boolean;
  isDirty: boolean;
  /** Between them the page's content was read; a hit gives what was true at some time since. */
  filledFromMs: number;
  writtenBackMs: number;
}
/** What a user has open. */
export interface UserOpen {
  readonly file: FileModel;
  readonly mode: OpenMode;
  readonly sinceMs: number;
  isOpen: boolean;
  isMapped: boolean;
}
/** How a file is open just now. */
interface OpenState {
  cached: number;
  direct: number;
  passing: number;
  /** Of the descriptor that opens pass through to. */
  id: number;
  /** Mappings of what was opened so. */
  mapped: number;
}
/** Of one machine, whatever mounts it has had: how many descriptions, opens and mappings of the backing file there are. */
const usesOf = new WeakMap<Process, Map<FileModel, number>>();

export class KernelModel {
  readonly world: World;
  readonly process: Process;
  readonly #server: Server;
  readonly #pages = new Map<FileModel, Map<number, Page>>();
  readonly #waiting = new Set<KernelRequest>();
  readonly #locked = new Set<FileModel>();
  readonly #changed = new Signal();
  readonly #opens = new Map<FileModel, OpenState>();
  readonly #registered = new Map<number, OpenFile>();
  /** References of this mount to each registered description. */
  readonly #held = new Map<OpenFile, number>();
  readonly #uses: Map<FileModel, number>;
  #lastId = 0;
  #isDetached = false;
  isAborted = false;
  /** Its memory is short now and then. */
  forgets = false;
  /** Reads answered, for the statistics of a run. */
  reads = 0;

  constructor(world: World, process: Process, server: Server) {
    this.world = world;
    this.process = process;
    this.#server = server;
    this.#uses = usesOf.get(process) ?? new Map<FileModel, number>();
    usesOf.set(process, this.#uses);
  }

  /** The daemon is gone: nothing is served any more. */
  abort(): void {
    this.isAborted = true;
    for (const request of [...this.#waiting]) request.answer({ kind: "failed", code: "ENOTCONN" });
  }

  // What users do; each gives undefined when it was refused.

  *open(file: FileModel, isWritable: boolean): Thread<UserOpen | undefined> {
    const sinceMs = this.world.nowMs;
    if (this.forgets && this.world.random.chance(FORGOTTEN_BEFORE_OPEN)) this.#forget(file);
    const reply = yield* this.#request("open", file, 0, 0, { isWritable });
    if (reply.kind === "failed") return undefined;
    const mode = reply.mode!;
    this.#begin(file, mode, reply.id);
    if (mode === "cached") for (const [block, page] of this.#pagesOf(file)) if (!page.isDirty && !page.isFilling) this.#pagesOf(file).delete(block);
    return { file, mode, sinceMs, isOpen: true, isMapped: false };
  }
  #stateOf(file: FileModel): OpenState {
    let state = this.#opens.get(file);
    if (state === undefined) {
      state = { cached: 0, direct: 0, passing: 0, id: 0, mapped: 0 };
      this.#opens.set(file, state);
    }
    return state;
  }
  #begin(file: FileModel, mode: OpenMode, id: number | undefined): void {
    const state = this.#stateOf(file);
    const refuse = (isAllowed: boolean, why: string) => this.world.check(isAllowed, () => `${this.process.name} refuses an open of ${file.handle} (EIO): ${why}`);
    if (mode !== "passthrough") {
      refuse(state.passing === 0, `it is ${mode}, others pass through`);
      state[mode]++;
      return;
    }
    refuse(state.cached + state.direct === 0, "it passes through, others do not");
    refuse(id !== undefined && (state.passing > 0 ? state.id === id : this.#registered.has(id)), "it passes through to another descriptor");
    state.id = id!;
    if (state.passing++ === 0) this.#hold(this.#registered.get(id!)!);
    this.#use(file, 1);
  }
  /** A mapping of it keeps an open that does not pass through. */
  close(open: UserOpen): void {
    if (!open.isOpen) return;
    open.isOpen = false;
    if (!open.isMapped || open.mode === "passthrough") this.#release(open);
  }
  map(open: UserOpen): void {
    open.isMapped = true;
    if (open.mode !== "passthrough") return;
    this.#stateOf(open.file).mapped++;
    this.#use(open.file, 1);
  }
  unmap(open: UserOpen): void {
    open.isMapped = false;
    if (open.mode === "passthrough") {
      this.#stateOf(open.file).mapped--;
      this.#use(open.file, -1);
      this.#endIfUnused();
    } else if (!open.isOpen) this.#release(open);
  }
  #release({ file, mode }: UserOpen): void {
    const state = this.#stateOf(file);
    if (mode !== "passthrough") state[mode]--;
    else {
      this.#use(file, -1);
      if (--state.passing === 0) this.#letGo(this.#descriptionOf(state.id));
    }
    if (!this.isAborted) this.#server.released(file, mode);
    this.#endIfUnused();
  }

  // Registered descriptors.

  /** BACKING_OPEN: the kernel has the description too, and with it its locks. */
  register(description: OpenFile): number {
    if (this.isAborted) return -1;
    description.pass(this.process);
    const id = ++this.#lastId;
    this.#registered.set(id, description);
    this.#described.set(id, description);
    this.#hold(description);
    this.world.log(() => `${this.process.name} is given a descriptor of ${description.file.handle} as ${id}`);
    return id;
  }
  unregister(id: number): void {
    const description = this.#registered.get(id);
    if (description === undefined) return;
    this.#registered.delete(id);
    this.world.log(() => `${this.process.name} gives descriptor ${id} of ${description.file.handle} back`);
    this.#letGo(description);
  }
  /** F_SETLEASE on it: granted when nothing else on this machine has the file open or mapped. */
  grantsLease(description: OpenFile): boolean {
    return (this.#uses.get(description.file) ?? 0) <= 1;
  }
  readonly #described = new Map<number, OpenFile>();
  #descriptionOf(id: number): OpenFile {
    return this.#described.get(id)!;
  }
  #hold(description: OpenFile): void {
    const count = this.#held.get(description) ?? 0;
    this.#held.set(description, count + 1);
    if (count === 0) this.#use(description.file, 1);
  }
  #letGo(description: OpenFile): void {
    const count = this.#held.get(description)! - 1;
    this.#held.set(description, count);
    if (count > 0) return;
    this.#held.delete(description);
    this.#use(description.file, -1);
    description.close(this.process);
  }
  #use(file: FileModel, by: 1 | -1): void {
    this.#uses.set(file, (this.#uses.get(file) ?? 0) + by);
  }
  /** Out of the tree. It ends, and what is registered with it, when nobody is inside any more. */
  detach(): void {
    this.#isDetached = true;
    this.#endIfUnused();
  }
  #endIfUnused(): void {
    if (!this.#isDetached) return;
    for (const { cached, direct, passing, mapped } of this.#opens.values()) if (cached + direct + passing + mapped > 0) return;
    for (const id of [...this.#registered.keys()]) this.unregister(id);
  }

  *read(open: UserOpen, block: number, isMapped: boolean): Thread<boolean> {
    if (open.mode === "passthrough") {
      const fromMs = this.world.nowMs;
      const { file } = open;
      this.#check(file, block, yield* system(() => file.blocks[block]!, 0.5), fromMs, false);
      return true;
    }
    if (open.mode === "cached" || isMapped) {
      const page = yield* this.#page(open.file, block);
      if (page === undefined) return false;
      this.#check(open.file, block, page.version, page.isDirty ? Number.NEGATIVE_INFINITY : page.filledFromMs, page.isDirty);
      return true;
    }
    const fromMs = this.world.nowMs;
    const reply = yield* this.#request("read", open.file, block, 0);
    if (reply.kind === "failed") return false;
    this.#check(open.file, block, reply.version, fromMs, this.#isOwnDirty(open.file, block, reply.version));
    return true;
  }

  *write(open: UserOpen, block: number): Thread<boolean> {
    if (open.mode === "passthrough") return yield* this.#writeThrough(open.file, block, true);
    return yield* this.#underInodeLock(open.file, this.#write(open, block));
  }
  /** Nobody is asked. The times of a page that was stored to before do not move with every store. */
  *#writeThrough(file: FileModel, block: number, isTimed: boolean): Thread<boolean> {
    const version = this.world.newNumber();
    yield* system(() => file.userWrite(block, version, `${this.process.name} by itself`, isTimed), 0.5);
    return true;
  }
  *#write(open: UserOpen, block: number): Thread<boolean> {
    const version = this.world.newNumber();
    const fromMs = this.world.nowMs;
    this.world.log(() => `${this.process.name} writes ${version} to block ${block} of ${open.file.handle}`);
    const reply = yield* this.#request("write", open.file, block, version);
    if (reply.kind === "failed") return false;
    const pages = this.#pagesOf(open.file);
    const page = pages.get(block);
    if (page === undefined || page.isFilling || page.isDirty) return true;
    if (page.writtenBackMs >= fromMs) pages.delete(block); // which of the two came last is not known here
    else Object.assign(page, { version, filledFromMs: fromMs });
    return true;
  }

  /** A store through a shared mapping: nobody is told until the page is written back. */
  *store(open: UserOpen, block: number): Thread<boolean> {
    if (open.mode === "passthrough") return yield* this.#writeThrough(open.file, block, this.world.random.chance(0.3));
    for (;;) {
      const page = yield* this.#page(open.file, block);
      if (page === undefined) return false;
      if (this.#pagesOf(open.file).get(block) !== page) continue; // dropped between fault and store: faults again
      page.version = this.world.newNumber();
      this.world.log(() => `${this.process.name} stores ${page.version} in block ${block} of ${open.file.handle}`);
      if (!page.isDirty) this.#writeBackLater(open.file, block, page);
      page.isDirty = true;
      return true;
    }
  }

  *utimens(open: UserOpen, mtimeNs: bigint): Thread<boolean> {
    const reply = yield* this.#underInodeLock(open.file, this.#request("utimens", open.file, 0, 0, { mtimeNs }));
    return reply.kind === "ok";
  }
  *truncate(open: UserOpen, block: number): Thread<boolean> {
    return yield* this.#underInodeLock(open.file, this.#truncate(open.file, block));
  }
  *#truncate(file: FileModel, block: number): Thread<boolean> {
    const version = this.world.newNumber();
    this.world.log(() => `${this.process.name} truncates ${file.handle} to block ${block}: ${version}`);
    const reply = yield* this.#request("truncate", file, block, version);
    if (reply.kind === "failed") return false;
    for (const [at, page] of this.#pagesOf(file)) if (at >= block && !page.isFilling) this.#pagesOf(file).delete(at);
    return true;
  }
  /** One change of an inode at a time, held ones included (safety V4). */
  *#underInodeLock<T>(file: FileModel, work: Thread<T>): Thread<T> {
    yield* until(this.#changed, () => !this.#locked.has(file));
    this.#locked.add(file);
    const result = yield* work;
    this.#locked.delete(file);
    this.#changed.give();
    return result;
  }

  // What the daemon's notifier asks.

  /** INVAL_INODE: writes back what is dirty, waits for fills, drops every page. */
  *invalidate(file: FileModel): Thread {
    for (let block = 0; block < BLOCKS; block++) {
      const page = this.#pagesOf(file).get(block);
      if (page === undefined) continue;
      yield* until(this.#changed, () => this.isAborted || !page.isFilling);
      while (page.isDirty && !this.isAborted) yield* this.#writeBack(file, block, page);
      if (this.#pagesOf(file).get(block) === page && !page.isDirty) this.#pagesOf(file).delete(block);
    }
    if (this.forgets && this.world.random.chance(FORGOTTEN_AFTER_DROPPING)) this.#forget(file);
  }
  /** Memory is short: an inode that nobody uses just now goes, and its pages with it. */
  #forget(file: FileModel): void {
    const pages = [...this.#pagesOf(file).values()];
    if (this.isAborted || this.isUsed(file) || pages.some((page) => page.isDirty || page.isFilling)) return;
    this.#pagesOf(file).clear();
    this.#server.forgotten(file);
  }
  /** Requests on it are not answered yet, or somebody has it open or mapped. */
  isUsed(file: FileModel): boolean {
    for (const request of this.#waiting) if (request.file === file) return true;
    const state = this.#opens.get(file);
    return this.#locked.has(file) || (state !== undefined && state.cached + state.direct + state.passing + state.mapped > 0);
  }
  hasDirty(file: FileModel): boolean {
    return [...this.#pagesOf(file).values()].some((page) => page.isDirty);
  }

  // Pages.

  #pagesOf(file: FileModel): Map<number, Page> {
    let pages = this.#pages.get(file);
    if (pages === undefined) {
      pages = new Map();
      this.#pages.set(file, pages);
    }
    return pages;
  }

  *#page(file: FileModel, block: number): Thread<Page | undefined> {
    const pages = this.#pagesOf(file);
    for (;;) {
      const page = pages.get(block);
      if (page === undefined) break;
      if (!page.isFilling) return page;
      yield* until(this.#changed, () => !page.isFilling);
    }
    const page: Page = { version: HOLE, isFilling: true, isDirty: false, filledFromMs: this.world.nowMs, writtenBackMs: Number.NEGATIVE_INFINITY };
    pages.set(block, page);
    const reply = yield* this.#request("read", file, block, 0);
    page.isFilling = false;
    if (reply.kind === "ok") page.version = reply.version;
    else pages.delete(block);
    this.#changed.give();
    return reply.kind === "ok" ? page : undefined;
  }

  #writeBackLater(file: FileModel, block: number, page: Page): void {
    this.process.after(this.world.random.below(3_000), () => {
      if (page.isDirty && !this.isAborted) this.process.start(this.#writeBack(file, block, page));
    });
  }
  *#writeBack(file: FileModel, block: number, page: Page): Thread {
    const { version } = page;
    const reply = yield* this.#request("write", file, block, version, { isWriteback: true });
    page.writtenBackMs = this.world.nowMs;
    if (reply.kind === "ok" && page.version === version) page.isDirty = false;
    else if (reply.kind === "failed") yield* sleep(50);
    this.#changed.give();
  }
  #isOwnDirty(file: FileModel, block: number, version: number): boolean {
    const page = this.#pagesOf(file).get(block);
    return page?.isDirty === true && page.version === version;
  }

  *#request(kind: RequestKind, file: FileModel, block: number, version: number, more: Partial<Pick<KernelRequest, "isWriteback" | "isWritable" | "mtimeNs">> = {}): Thread<Reply> {
    if (this.isAborted) return { kind: "failed", code: "ENOTCONN" };
    let reply: Reply | undefined;
    const answered = new Signal();
    const request: KernelRequest = {
      kind, file, block, version, isWriteback: false, ...more,
      answer: (each) => {
        if (reply !== undefined) return;
        reply = each;
        this.#waiting.delete(request);
        answered.give();
      },
    };
    this.#waiting.add(request);
    this.#server.serve(request);
    while (reply === undefined) yield { kind: "await", signal: answered };
    return reply;
  }
  get waiting(): readonly KernelRequest[] {
    return [...this.#waiting];
  }

  #check(file: FileModel, block: number, version: number, fromMs: number, isOwn: boolean): void {
    this.reads++;
    this.world.check(version !== HOLE, () => `${this.process.name} gave a reader the hole in block ${block} of ${file.handle}`);
    this.world.check(isOwn || file.isTrue(block, version, fromMs, this.world.nowMs), () =>
      `${this.process.name} gave a reader version ${version} of block ${block} of ${file.handle}, which was not true since ${fromMs.toFixed(1)} ms (now ${file.truthOf(block)})`);
  }
}
