/**
 * Small pieces of bytes by the million, without an object for each: blocks in large chunks, named by a number.
 *
 * A block that is given back is used again by the next one of its size; chunks stay. Sizes are rounded up to 16 bytes.
 *
 * Owns      which blocks are taken. Not here: what lies in them.
 * Units     bytes; a block's name counts 16 bytes and is never 0.
 */
import { assert } from "./assert.js";

export const BLOCK_BYTES_MAX = 1024;
const UNIT = 16;
const CHUNK = 1 << 20;
const UNITS_PER_CHUNK = CHUNK / UNIT;
const unitsOf = (size: number) => Math.max(1, Math.ceil(size / UNIT));

export class BlockArena {
  readonly #chunks: DataView[] = [];
  /** By units: the first free block of that size, which begins with the name of the next. */
  readonly #free = new Uint32Array(BLOCK_BYTES_MAX / UNIT + 1);
  /** Of the last chunk; the very first unit of all is never given. */
  #used = UNITS_PER_CHUNK;

  get bytes(): number {
    return this.#chunks.length * CHUNK;
  }
  take(size: number): number {
    assert(size <= BLOCK_BYTES_MAX, "a block has at most so many bytes");
    const units = unitsOf(size);
    const free = this.#free[units]!;
    if (free !== 0) {
      this.#free[units] = this.chunkOf(free).getUint32(this.placeOf(free));
      return free;
    }
    if (this.#used + units > UNITS_PER_CHUNK) {
      this.#chunks.push(new DataView(new ArrayBuffer(CHUNK)));
      this.#used = this.#chunks.length === 1 ? 1 : 0;
    }
    const block = (this.#chunks.length - 1) * UNITS_PER_CHUNK + this.#used;
    this.#used += units;
    return block;
  }
  /** @param size as it was taken, or what rounds up to the same. */
  give(block: number, size: number): void {
    const units = unitsOf(size);
    this.chunkOf(block).setUint32(this.placeOf(block), this.#free[units]!);
    this.#free[units] = block;
  }
  /** Where a block lies: in this, from `placeOf` on. */
  chunkOf(block: number): DataView {
    return this.#chunks[Math.floor(block / UNITS_PER_CHUNK)]!;
  }
  placeOf(block: number): number {
    return (block % UNITS_PER_CHUNK) * UNIT;
  }
}
