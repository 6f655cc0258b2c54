/**
 * What the next daemon must know of a mount to go on serving it, in a file in memory that outlives this daemon: the objects
 * whose node ids the kernel has, what users have open, and a journal of operations that must not be done twice.
 *
 * The reactor writes here as it changes its own tables: a few stores into mapped memory, no message and no system call. It
 * may be killed between any two of them, so each entry is complete before its first cell says that it is there, and what
 * the kernel learns stands here before the kernel is told. What is here too much is harmless, an object that is remembered
 * longer than the kernel does; what is missing would be an object that a user has and nobody knows.
 *
 * Owns      the layout; places of entries, free and used.
 * Not here  what entries mean (reactor/: inode-table.ts, open-files.ts, journal.ts), who keeps the file (holder.ts).
 * Units     64-bit numbers that are ours are doubles; cells are 32 bits, in the machine's own order.
 * Source    safety H11.
 */
import { assert } from "../../base/assert.js";
import { errnoName } from "../../os/errno.js";
import { ftruncate } from "../../os/files.js";
import { type Mapping, makeMemoryFile, mapFile } from "../../os/memory.js";

/** Changed with every change of the layout or of what entries mean: another release's memory is not believed. */
const LAYOUT = 1;
const MAGIC = 0x51_0c_e0_11;

/** A kernel handle that is longer has no room: the file system's mounts then end with their daemon. */
export const HANDLE_BYTES_MAX = 36;
const MIB = 1 << 20;
/** Header, counted look-ups of the request that is being answered, journal. */
const BASE_SIZE = MIB;
const LOOKUPS_AT = 4096;
const LOOKUPS_MAX = 2048;
const JOURNAL_AT = 64 * 1024;
const ENTRY_SIZE = 64;
const ENTRIES_MAX = (BASE_SIZE - JOURNAL_AT) / ENTRY_SIZE;
const OPENS_AT = 16 * MIB;
const OPEN_SIZE = 32;
const OPENS_MAX = 1 << 20;
const INODES_AT = 64 * MIB;
const INODE_SIZE = 64;
const INODES_MAX = 1 << 24;
/** So much of a table is mapped at a time. */
const PIECE = 1 << 19;

/** Cells of the header. */
const header = { magic: 0, layout: 1, isServing: 2, hasPassthrough: 3, opensHigh: 4, inodesHigh: 5, isIncomplete: 6, lastBackingId: 7 } as const;
/** Doubles of the header. */
const numbers = { nextNodeid: 8, nextFh: 9, diedAtMs: 10 } as const;

export interface KnownInode {
  readonly place: number;
  readonly nodeid: number;
  readonly lookups: number;
  readonly handleType: number;
  readonly handleBytes: Uint8Array;
  /** Type bits of st_mode. */
  readonly type: number;
  /** 0: none is registered. */
  readonly backingId: number;
}
export interface KnownOpen {
  readonly place: number;
  readonly fh: number;
  readonly nodeid: number;
  readonly isDirectory: boolean;
  readonly flags: number;
  /** A number that the reactor understands. */
  readonly mode: number;
}
/** An operation that was under way, or done and maybe not answered. */
export interface JournalEntry {
  readonly place: number;
  readonly unique: bigint;
  readonly state: "begun" | "done";
  readonly opcode: number;
  readonly result: number;
  /** 0: none. */
  readonly nodeid: number;
  readonly fh: number;
  readonly begunAtMs: number;
  /** What the operation noted before it began. */
  readonly note: number;
}

/** A table of entries of one size, mapped piece by piece as it grows. */
class Table {
  readonly #fd: number;
  readonly #at: number;
  readonly #cells: number;
  readonly #perPiece: number;
  readonly #max: number;
  readonly #pieces: Int32Array[] = [];
  readonly #mappings: Mapping[] = [];
  readonly #free: number[] = [];
  #high: number;

  constructor(fd: number, at: number, entrySize: number, max: number, high: number) {
    this.#fd = fd;
    this.#at = at;
    this.#cells = entrySize / 4;
    this.#perPiece = PIECE / entrySize;
    this.#max = max;
    this.#high = 0;
    while (this.#high < high) this.#grow();
  }
  get high(): number {
    return this.#high;
  }
  /** -1 when there is none left. */
  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#high >= this.#max) return -1;
    return this.#grow();
  }
  #grow(): number {
    const place = this.#high++;
    if (place % this.#perPiece === 0) {
      const mapped = mapFile(this.#fd, PIECE, true, this.#at + (place / this.#perPiece) * PIECE);
      if (typeof mapped === "number") throw new Error(`memory of a mount cannot be mapped (${errnoName(mapped)})`);
      this.#mappings.push(mapped);
      this.#pieces.push(new Int32Array(mapped.bytes.buffer, mapped.bytes.byteOffset, PIECE / 4));
    }
    return place;
  }
  give(place: number): void {
    Atomics.store(this.piece(place), this.cell(place), 0);
    this.#free.push(place);
  }
  /** What was found free when the table was taken over. */
  isFree(place: number): void {
    this.#free.push(place);
  }
  piece(place: number): Int32Array {
    return this.#pieces[Math.floor(place / this.#perPiece)]!;
  }
  cell(place: number): number {
    return (place % this.#perPiece) * this.#cells;
  }
  close(): void {
    this.#pieces.length = 0;
    for (const mapping of this.#mappings.splice(0)) mapping.unmap();
  }
}

const toDouble = new Float64Array(1);
const asCells = new Int32Array(toDouble.buffer);
function putDouble(cells: Int32Array, at: number, value: number): void {
  toDouble[0] = value;
  cells[at] = asCells[0]!;
  cells[at + 1] = asCells[1]!;
}
function getDouble(cells: Int32Array, at: number): number {
  asCells[0] = cells[at]!;
  asCells[1] = cells[at + 1]!;
  return toDouble[0]!;
}
const toUnique = new BigUint64Array(1);
const asUniqueCells = new Int32Array(toUnique.buffer);
/** Set in the unique number of a request that comes again. */
export const RESENT = 1n << 63n;
const WITHOUT_RESENT = 0x7fff_ffff;

export class MountMemory {
  readonly #base: Mapping;
  readonly #cells: Int32Array;
  readonly #doubles: Float64Array;
  readonly #opens: Table;
  readonly #inodes: Table;
  readonly #freeEntries: number[] = [];
  #entriesHigh = 0;

  /** A new file, for a mount that begins; the negative errno where there can be none. */
  static makeFile(name: string): number {
    const fd = makeMemoryFile(name);
    if (fd < 0) return fd;
    const sized = ftruncate(fd, INODES_AT + INODES_MAX * INODE_SIZE); // pages that nobody touches are not there
    return sized < 0 ? sized : fd;
  }
  /** For a mount that begins. */
  static begin(fd: number): MountMemory {
    const memory = new MountMemory(fd);
    memory.#cells[header.magic] = MAGIC;
    memory.#cells[header.layout] = LAYOUT;
    return memory;
  }
  /** What a daemon before this one left; or why it cannot be used. */
  static takeOver(fd: number): MountMemory | { readonly refusal: string } {
    const memory = new MountMemory(fd);
    const refusal = memory.#refusal();
    if (refusal === undefined) return memory;
    memory.close();
    return { refusal };
  }

  private constructor(fd: number) {
    const base = mapFile(fd, BASE_SIZE, true);
    if (typeof base === "number") throw new Error(`memory of a mount cannot be mapped (${errnoName(base)})`);
    this.#base = base;
    this.#cells = new Int32Array(base.bytes.buffer, base.bytes.byteOffset, BASE_SIZE / 4);
    this.#doubles = new Float64Array(base.bytes.buffer, base.bytes.byteOffset, BASE_SIZE / 8);
    const isOurs = this.#cells[header.layout] === LAYOUT;
    this.#opens = new Table(fd, OPENS_AT, OPEN_SIZE, OPENS_MAX, isOurs ? this.#cells[header.opensHigh]! : 0);
    this.#inodes = new Table(fd, INODES_AT, INODE_SIZE, INODES_MAX, isOurs ? this.#cells[header.inodesHigh]! : 0);
  }
  #refusal(): string | undefined {
    const cells = this.#cells;
    if (cells[header.magic] !== MAGIC || cells[header.layout] !== LAYOUT) return "another release left it";
    if (cells[header.isServing] !== 1) return "the kernel had not begun to use it";
    if (cells[header.isIncomplete] !== 0) return "its tables were full or could not hold everything";
    return undefined;
  }
  close(): void {
    this.#opens.close();
    this.#inodes.close();
    this.#base.unmap();
  }

  // What the kernel agreed to, and numbers that are never used twice.

  begins(hasPassthrough: boolean): void {
    this.#cells[header.hasPassthrough] = hasPassthrough ? 1 : 0;
    Atomics.store(this.#cells, header.isServing, 1);
  }
  get hasPassthrough(): boolean {
    return this.#cells[header.hasPassthrough] === 1;
  }
  set nextNodeid(value: number) {
    this.#doubles[numbers.nextNodeid] = value;
  }
  get nextNodeid(): number {
    return this.#doubles[numbers.nextNodeid]!;
  }
  set nextFh(value: number) {
    this.#doubles[numbers.nextFh] = value;
  }
  get nextFh(): number {
    return this.#doubles[numbers.nextFh]!;
  }
  /** When the holder saw that its daemon had ended, in milliseconds since 1970; operations that began before ended before. */
  set diedAtMs(value: number) {
    this.#doubles[numbers.diedAtMs] = value;
  }
  get diedAtMs(): number {
    return this.#doubles[numbers.diedAtMs]!;
  }
  get lastBackingId(): number {
    return this.#cells[header.lastBackingId]!;
  }
  /** Something could not be written down: this mount ends with its daemon. */
  get isIncomplete(): boolean {
    return this.#cells[header.isIncomplete] !== 0;
  }
  #isMissingSomething(): void {
    this.#cells[header.isIncomplete] = 1;
  }

  // Objects whose node ids the kernel has.

  /** The place of the new entry; -1 when there is no room for it. */
  addInode(inode: { readonly nodeid: number; readonly handleType: number; readonly handleBytes: Uint8Array; readonly type: number }, lookups: number): number {
    const place = inode.handleBytes.length > HANDLE_BYTES_MAX ? -1 : this.#inodes.take();
    if (place < 0) {
      this.#isMissingSomething();
      return -1;
    }
    if (this.#cells[header.inodesHigh]! < this.#inodes.high) this.#cells[header.inodesHigh] = this.#inodes.high;
    const cells = this.#inodes.piece(place);
    const at = this.#inodes.cell(place);
    putDouble(cells, at + 1, inode.nodeid);
    cells[at + 3] = lookups;
    cells[at + 4] = inode.handleType;
    cells[at + 5] = inode.handleBytes.length | (inode.type << 8);
    cells[at + 6] = 0;
    new Uint8Array(cells.buffer, cells.byteOffset + 4 * (at + 7), HANDLE_BYTES_MAX).set(inode.handleBytes);
    Atomics.store(cells, at, 1);
    return place;
  }
  setLookups(place: number, lookups: number): void {
    this.#inodes.piece(place)[this.#inodes.cell(place) + 3] = lookups;
  }
  setBackingId(place: number, id: number): void {
    this.#inodes.piece(place)[this.#inodes.cell(place) + 6] = id;
    if (id > this.#cells[header.lastBackingId]!) this.#cells[header.lastBackingId] = id;
  }
  dropInode(place: number): void {
    this.#inodes.give(place);
  }
  /** Once, when it is taken over. */
  *inodes(): Generator<KnownInode> {
    for (let place = 0; place < this.#inodes.high; place++) {
      const found = this.#inodeAt(place);
      if (found === undefined) this.#inodes.isFree(place);
      else yield found;
    }
  }
  #inodeAt(place: number): KnownInode | undefined {
    const cells = this.#inodes.piece(place);
    const at = this.#inodes.cell(place);
    if (Atomics.load(cells, at) !== 1) return undefined;
    const lengthAndType = cells[at + 5]!;
    return {
      place, nodeid: getDouble(cells, at + 1), lookups: cells[at + 3]!, handleType: cells[at + 4]!, type: lengthAndType >>> 8, backingId: cells[at + 6]!,
      handleBytes: Uint8Array.from(new Uint8Array(cells.buffer, cells.byteOffset + 4 * (at + 7), lengthAndType & 0xff)),
    };
  }

  // What users have open.

  /** -1 when there is no room for it. */
  addOpen(open: Omit<KnownOpen, "place">): number {
    const place = this.#opens.take();
    if (place < 0) {
      this.#isMissingSomething();
      return -1;
    }
    if (this.#cells[header.opensHigh]! < this.#opens.high) this.#cells[header.opensHigh] = this.#opens.high;
    const cells = this.#opens.piece(place);
    const at = this.#opens.cell(place);
    putDouble(cells, at + 1, open.fh);
    putDouble(cells, at + 3, open.nodeid);
    cells[at + 5] = open.flags;
    cells[at + 6] = open.mode;
    Atomics.store(cells, at, open.isDirectory ? 2 : 1);
    return place;
  }
  dropOpen(place: number): void {
    this.#opens.give(place);
  }
  /** Once, when it is taken over. */
  *opens(): Generator<KnownOpen> {
    for (let place = 0; place < this.#opens.high; place++) {
      const cells = this.#opens.piece(place);
      const at = this.#opens.cell(place);
      const state = Atomics.load(cells, at);
      if (state === 0) this.#opens.isFree(place);
      else yield { place, fh: getDouble(cells, at + 1), nodeid: getDouble(cells, at + 3), isDirectory: state === 2, flags: cells[at + 5]!, mode: cells[at + 6]! };
    }
  }

  // Look-ups counted for one request before it is answered; both happen in one go, so there is never more than one.

  counts(unique: bigint): void {
    toUnique[0] = unique;
    const at = LOOKUPS_AT / 4;
    Atomics.store(this.#cells, at, 0);
    this.#cells[at + 1] = asUniqueCells[0]!;
    this.#cells[at + 2] = asUniqueCells[1]! & WITHOUT_RESENT;
  }
  counted(nodeid: number): void {
    const at = LOOKUPS_AT / 4;
    const count = this.#cells[at]!;
    if (count >= LOOKUPS_MAX) return; // it is then remembered for too long
    this.#doubles[LOOKUPS_AT / 8 + 2 + count] = nodeid;
    Atomics.store(this.#cells, at, count + 1);
  }
  /** Answered. */
  countsOver(): void {
    Atomics.store(this.#cells, LOOKUPS_AT / 4, 0);
  }
  /** What was counted for a request that may never have been answered. */
  get countedBefore(): { readonly unique: bigint; readonly nodeids: readonly number[] } | undefined {
    const at = LOOKUPS_AT / 4;
    const count = Atomics.load(this.#cells, at);
    if (count === 0) return undefined;
    asUniqueCells[0] = this.#cells[at + 1]!;
    asUniqueCells[1] = this.#cells[at + 2]!;
    return { unique: toUnique[0]!, nodeids: Array.from(this.#doubles.subarray(LOOKUPS_AT / 8 + 2, LOOKUPS_AT / 8 + 2 + count)) };
  }

  // The journal.

  /** The place of the new entry; -1 when all are taken: the operation is then not known again. */
  begin(unique: bigint, opcode: number, note: number, nowMs: number): number {
    const place = this.#freeEntries.pop() ?? (this.#entriesHigh < ENTRIES_MAX ? this.#entriesHigh++ : -1);
    if (place < 0) return -1;
    const at = this.#entryCell(place);
    const cells = this.#cells;
    toUnique[0] = unique;
    cells[at + 1] = asUniqueCells[0]!;
    cells[at + 2] = asUniqueCells[1]! & WITHOUT_RESENT;
    cells[at + 3] = opcode;
    cells[at + 4] = 0;
    putDouble(cells, at + 6, 0);
    putDouble(cells, at + 8, 0);
    putDouble(cells, at + 10, nowMs);
    putDouble(cells, at + 12, note);
    Atomics.store(cells, at, 1);
    return place;
  }
  beginAgain(place: number, note: number, nowMs: number): void {
    const at = this.#entryCell(place);
    putDouble(this.#cells, at + 10, nowMs);
    putDouble(this.#cells, at + 12, note);
    Atomics.store(this.#cells, at, 1);
  }
  done(place: number, result: number, nodeid: number): void {
    const at = this.#entryCell(place);
    this.#cells[at + 4] = result;
    putDouble(this.#cells, at + 6, nodeid);
    Atomics.store(this.#cells, at, 2);
  }
  /** An open file that its opener may never have heard of. */
  opening(place: number, fh: number): void {
    putDouble(this.#cells, this.#entryCell(place) + 8, fh);
  }
  over(place: number): void {
    Atomics.store(this.#cells, this.#entryCell(place), 0);
    this.#freeEntries.push(place);
  }
  /** Once, when it is taken over. They stay until `over`: this daemon too may be killed before they are made use of. */
  *journal(): Generator<JournalEntry> {
    let last = -1;
    const found: JournalEntry[] = [];
    for (let place = 0; place < ENTRIES_MAX; place++) {
      const entry = this.#entryAt(place);
      if (entry === undefined) continue;
      found.push(entry);
      last = place;
    }
    this.#entriesHigh = last + 1;
    const used = new Set(found.map(({ place }) => place));
    for (let place = 0; place < last; place++) if (!used.has(place)) this.#freeEntries.push(place);
    yield* found;
  }
  #entryAt(place: number): JournalEntry | undefined {
    const at = this.#entryCell(place);
    const cells = this.#cells;
    const state = Atomics.load(cells, at);
    if (state === 0) return undefined;
    asUniqueCells[0] = cells[at + 1]!;
    asUniqueCells[1] = cells[at + 2]!;
    return {
      place, unique: toUnique[0]!, state: state === 2 ? "done" : "begun", opcode: cells[at + 3]!, result: cells[at + 4]!,
      nodeid: getDouble(cells, at + 6), fh: getDouble(cells, at + 8), begunAtMs: getDouble(cells, at + 10), note: getDouble(cells, at + 12),
    };
  }
  #entryCell(place: number): number {
    assert(place >= 0 && place < ENTRIES_MAX, "a place of the journal");
    return (JOURNAL_AT + place * ENTRY_SIZE) / 4;
  }
}
