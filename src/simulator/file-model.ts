/**
 * One file on the shared volume, as every node's kernel sees it, with what ought to be in it.
 *
 * Each block holds the version that was last written there; 0 is a hole. Beside it stands the truth: the versions that
 * users wrote, with the time at which each took effect. After every change the promise is checked at once: where the
 * record says resident the bytes are there, else the object that the record names has them.
 *
 * Units     a block is BLOCK_BYTES; version 0 is the hole, never written by anybody.
 * Source    safety C1, C3, C4, H13.
 */
import type { FileRecord } from "../dmapi/record.js";
import type { Handle } from "../dmapi/ids.js";
import { noteOf } from "../migration/states.js";
import type { Process, World } from "./world.js";

export const BLOCK_BYTES = 4096;
export const BLOCKS = 4;
export const HOLE = 0;

/** The migration application's store: objects are whole or not there. */
export class StoreModel {
  readonly objects = new Map<string, readonly number[]>();
  readonly intents = new Set<string>();
  readonly ledger = new Set<string>();

  /** Not deleted as long as somebody may still need it; the scenes never empty the ledger. */
  discard(object: string): void {
    this.intents.delete(object);
    this.ledger.add(object);
  }
}

export class FileModel {
  readonly handle: Handle;
  readonly world: World;
  readonly store: StoreModel;
  readonly blocks: number[] = [];
  record: FileRecord | null = null;
  mark: string | null = null;
  mtimeNs = 1n;
  /** Probability that a changed record finds no room. */
  noRoom = 0.01;
  readonly guards = new Map<OpenFile, "shared" | "exclusive">();
  readonly #truth: { readonly version: number; readonly sinceMs: number }[][] = [];

  constructor(world: World, handle: Handle, store: StoreModel) {
    this.world = world;
    this.handle = handle;
    this.store = store;
    for (let block = 0; block < BLOCKS; block++) {
      const version = world.newNumber();
      this.blocks.push(version);
      this.#truth.push([{ version, sinceMs: 0 }]);
    }
  }

  get generation(): number {
    return this.record?.generation ?? 0;
  }

  removeMark(nonce: string): void {
    if (this.mark === nonce) this.mark = null;
  }
  setMtime(mtimeNs: bigint): void {
    this.mtimeNs = mtimeNs;
  }

  /** What an ordinary write does, in the instant in which it takes effect. */
  userWrite(block: number, version: number, by: string, isTimed = true): void {
    this.world.log(() => `${by} puts ${version} in block ${block} of ${this.handle}`);
    this.blocks[block] = version;
    this.#truth[block]!.push({ version, sinceMs: this.world.nowMs });
    if (isTimed) this.#touch();
    this.#checkWhole(`${by} wrote block ${block}`);
  }
  /** To that block and long again at once, in one instant: the blocks from there on are new ones, and no hole is ever true. */
  userTruncate(block: number, version: number, by: string): void {
    for (let at = block; at < BLOCKS; at++) this.userWrite(at, version, by);
  }
  invisibleWrite(block: number, version: number, by: string): void {
    this.blocks[block] = version;
    this.#touch();
    this.#checkWhole(`${by} restored block ${block}`);
  }
  punch(block: number, by: string): void {
    this.blocks[block] = HOLE;
    this.#checkWhole(`${by} punched block ${block}`);
  }
  setRecord(record: FileRecord, by: string): void {
    this.world.check(record.generation > this.generation, () => `${by} stored generation ${record.generation} over ${this.generation}`);
    this.record = record;
    this.world.log(() => `${this.handle}: ${by} stores generation ${record.generation}: ${record.residency}, ${record.regions.length} regions`);
    this.#checkWhole(`${by} changed the record`);
  }

  /** Whether a reader that looked during that time may have seen it. */
  isTrue(block: number, version: number, fromMs: number, toMs: number): boolean {
    const history = this.#truth[block]!;
    for (let at = history.length - 1; at >= 0; at--) {
      const entry = history[at]!;
      if (entry.sinceMs > toMs) continue;
      if (entry.version === version) return true;
      if (entry.sinceMs < fromMs) return false;
    }
    return false;
  }
  truthOf(block: number): number {
    return this.#truth[block]!.at(-1)!.version;
  }

  /** In ticks, so that two changes may have one time. */
  #touch(): void {
    const { tickMs } = this.world.stress;
    this.mtimeNs = BigInt(Math.floor(this.world.nowMs / tickMs) * tickMs * 1_000_000);
  }

  #checkWhole(what: string): void {
    const isPartial = this.record?.residency === "partial";
    const name = isPartial ? noteOf(this.record)?.object : undefined;
    const object = name === undefined ? undefined : this.store.objects.get(name);
    for (let block = 0; block < BLOCKS; block++) {
      const found = isPartial ? object?.[block] : this.blocks[block];
      const truth = this.truthOf(block);
      this.world.check(found === truth, () => `${what} of ${this.handle}: block ${block} ought to be ${truth} and ${isPartial ? `object ${name} has` : "the file has"} ${found}`);
    }
  }
}

/** An open file description: lives until every process that has it has ended or closed it, and its lock with it. */
export class OpenFile {
  readonly file: FileModel;
  readonly #holders = new Set<Process>();
  /** Blocks that this description once read as a hole: a network file system may give the old zeros again. */
  readonly #holesSeen = new Set<number>();
  isClosed = false;

  constructor(file: FileModel, process: Process) {
    this.file = file;
    this.pass(process);
  }
  /** Another process gets it (SCM_RIGHTS). */
  pass(process: Process): void {
    this.#holders.add(process);
    process.onEnd(() => this.close(process));
  }
  close(process: Process): void {
    this.#holders.delete(process);
    if (this.#holders.size > 0) return;
    this.isClosed = true;
    this.file.guards.delete(this);
  }

  tryLock(mode: "shared" | "exclusive"): boolean {
    for (const [other, held] of this.file.guards) {
      if (other !== this && (mode === "exclusive" || held === "exclusive")) return false;
    }
    this.file.guards.set(this, mode);
    return true;
  }
  read(block: number): number {
    const version = this.file.blocks[block]!;
    if (version === HOLE) this.#holesSeen.add(block);
    else if (this.#holesSeen.has(block) && this.file.world.random.chance(0.7)) return HOLE;
    return version;
  }
}
