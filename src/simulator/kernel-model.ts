/**
 * One mount in one node's kernel: page cache, mappings, requests to the daemon that serves it. It outlives its daemon: then
 * every request fails, and what was mapped stays readable.
 *
 * Modelled as seen (safety V4-V7): a page is locked while it is filled; dropping a page waits for its fill, and for the
 * write-back of what is dirty. A file without regions is opened through the cache, which each open empties; one with
 * regions is opened directly.
 *
 * Source    safety C2, C4, C6, V4-V7, H7.
 */
import { BLOCKS, type FileModel, HOLE } from "./file-model.js";
import { type Process, Signal, sleep, type Thread, until, type World } from "./world.js";

export type RequestKind = "open" | "read" | "write" | "truncate" | "utimens";
export interface KernelRequest {
  readonly kind: RequestKind;
  readonly file: FileModel;
  readonly block: number;
  readonly version: number;
  readonly isWriteback: boolean;
  /** Of utimens. */
  readonly mtimeNs?: bigint;
  readonly answer: (reply: Reply) => void;
}
export type Reply = { readonly kind: "ok"; readonly version: number } | { readonly kind: "failed"; readonly code: string };
export interface Server {
  serve(request: KernelRequest): void;
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
  readonly isCached: boolean;
  readonly sinceMs: number;
}

export class KernelModel {
  readonly world: World;
  readonly process: Process;
  readonly #server: Server;
  readonly #pages = new Map<FileModel, Map<number, Page>>();
  readonly #waiting = new Set<KernelRequest>();
  readonly #locked = new Set<FileModel>();
  readonly #changed = new Signal();
  isAborted = false;
  /** Its memory is short now and then. */
  forgets = false;
  /** Reads answered, for the statistics of a run. */
  reads = 0;

  constructor(world: World, process: Process, server: Server) {
    this.world = world;
    this.process = process;
    this.#server = server;
  }

  /** The daemon is gone: nothing is served any more. */
  abort(): void {
    this.isAborted = true;
    for (const request of [...this.#waiting]) request.answer({ kind: "failed", code: "ENOTCONN" });
  }

  // What users do; each gives undefined when it was refused.

  *open(file: FileModel, forWriting: boolean, hasRegions: () => boolean): Thread<UserOpen | undefined> {
    const sinceMs = this.world.nowMs;
    if (this.forgets && this.world.random.chance(FORGOTTEN_BEFORE_OPEN)) this.#forget(file);
    if (forWriting) {
      const reply = yield* this.#request("open", file, 0, 0);
      if (reply.kind === "failed") return undefined;
    }
    const isCached = !hasRegions();
    if (isCached) for (const [block, page] of this.#pagesOf(file)) if (!page.isDirty && !page.isFilling) this.#pagesOf(file).delete(block);
    return { file, isCached, sinceMs };
  }

  *read(open: UserOpen, block: number, isMapped: boolean): Thread<boolean> {
    if (open.isCached || isMapped) {
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
    return yield* this.#underInodeLock(open.file, this.#write(open, block));
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
    const reply = yield* this.#underInodeLock(open.file, this.#request("utimens", open.file, 0, 0, false, mtimeNs));
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
  /** Requests on it are not answered yet. */
  isUsed(file: FileModel): boolean {
    for (const request of this.#waiting) if (request.file === file) return true;
    return this.#locked.has(file);
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
    const reply = yield* this.#request("write", file, block, version, true);
    page.writtenBackMs = this.world.nowMs;
    if (reply.kind === "ok" && page.version === version) page.isDirty = false;
    else if (reply.kind === "failed") yield* sleep(50);
    this.#changed.give();
  }
  #isOwnDirty(file: FileModel, block: number, version: number): boolean {
    const page = this.#pagesOf(file).get(block);
    return page?.isDirty === true && page.version === version;
  }

  *#request(kind: RequestKind, file: FileModel, block: number, version: number, isWriteback = false, mtimeNs?: bigint): Thread<Reply> {
    if (this.isAborted) return { kind: "failed", code: "ENOTCONN" };
    let reply: Reply | undefined;
    const answered = new Signal();
    const request: KernelRequest = {
      kind, file, block, version, isWriteback, ...(mtimeNs === undefined ? {} : { mtimeNs }),
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
