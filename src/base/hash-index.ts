/**
 * Finds numbers by what they stand for, without an object for each: open addressing in typed arrays.
 *
 * The table is cut into shards that grow and shrink by themselves, so that no one addition stops the thread for as long as
 * a million entries take. Who looks says the hash and recognises what it means; the index keeps neither keys nor hashes.
 *
 * Units     hashes are 32 bits, well mixed (`mix`); what is indexed is positive, up to 32 bits.
 */

const SHARDS = 256;
const CELLS_MIN = 16;
/** Of the cells of a shard at most so many are used. */
const FULL = 0.7;
const SPARSE = 0.15;

/** Spreads what differs in any bit over all bits. */
export function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

interface Shard {
  cells: Uint32Array;
  used: number;
}

export class HashIndex {
  readonly #shards: Shard[] = Array.from({ length: SHARDS }, () => ({ cells: new Uint32Array(CELLS_MIN), used: 0 }));
  readonly #hashOf: (entry: number) => number;
  #size = 0;

  /** @param hashOf of an entry, as `add` was told. */
  constructor(hashOf: (entry: number) => number) {
    this.#hashOf = hashOf;
  }

  get size(): number {
    return this.#size;
  }
  get bytes(): number {
    return this.#shards.reduce((sum, { cells }) => sum + cells.byteLength, 0);
  }
  /** 0: there is none. */
  find(hash: number, isIt: (entry: number) => boolean): number {
    const { cells } = this.#shardOf(hash);
    const mask = cells.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const entry = cells[at]!;
      if (entry === 0 || isIt(entry)) return entry;
    }
  }
  /** What is not in it yet. */
  add(hash: number, entry: number): void {
    const shard = this.#shardOf(hash);
    if (shard.used + 1 > shard.cells.length * FULL) this.#resize(shard, shard.cells.length * 2);
    put(shard.cells, hash, entry);
    shard.used++;
    this.#size++;
  }
  remove(hash: number, entry: number): void {
    const shard = this.#shardOf(hash);
    const { cells } = shard;
    const mask = cells.length - 1;
    let hole = hash & mask;
    while (cells[hole] !== entry) {
      if (cells[hole] === 0) return;
      hole = (hole + 1) & mask;
    }
    // What was put further on because this was taken moves up, so that whoever looks for it meets no empty cell before.
    for (let at = (hole + 1) & mask; cells[at] !== 0; at = (at + 1) & mask) {
      const home = this.#hashOf(cells[at]!) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      cells[hole] = cells[at]!;
      hole = at;
    }
    cells[hole] = 0;
    shard.used--;
    this.#size--;
    if (cells.length > CELLS_MIN && shard.used < cells.length * SPARSE) this.#resize(shard, cells.length / 2);
  }
  /** In no order. Nothing may be added or removed meanwhile. */
  *entries(): Generator<number> {
    for (const { cells } of this.#shards) for (const entry of cells) if (entry !== 0) yield entry;
  }

  #shardOf(hash: number): Shard {
    return this.#shards[hash >>> 24]!;
  }
  #resize(shard: Shard, length: number): void {
    const cells = new Uint32Array(length);
    for (const entry of shard.cells) if (entry !== 0) put(cells, this.#hashOf(entry), entry);
    shard.cells = cells;
  }
}

function put(cells: Uint32Array, hash: number, entry: number): void {
  const mask = cells.length - 1;
  let at = hash & mask;
  while (cells[at] !== 0) at = (at + 1) & mask;
  cells[at] = entry;
}
