/**
 * Self-describing file contents: from any 512-byte block one can tell which file, which version and which place it
 * should have, so that a hole, a mixture or a lost update shows in a single read.
 *
 * Layout of a block: file u32, version u32, block u32, magic u32, then bytes derived from these. A last block may be short.
 * Version 0 does not exist, and the magic is not zero, so a hole never looks like content.
 */
export const BLOCK_BYTES = 512;
const MAGIC = 0x51_75_1c_e5;

export function fillContent(target: Buffer, file: number, version: number, firstBlock: number): void {
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let at = 0, index = firstBlock; at < target.length; at += BLOCK_BYTES, index++) {
    makeBlock(block, file, version, index);
    block.copy(target, at, 0, Math.min(BLOCK_BYTES, target.length - at));
  }
}

function makeBlock(block: Buffer, file: number, version: number, index: number): void {
  block.writeUInt32LE(file, 0);
  block.writeUInt32LE(version, 4);
  block.writeUInt32LE(index, 8);
  block.writeUInt32LE(MAGIC, 12);
  let state = (Math.imul(file + 1, 0x9e3779b1) ^ Math.imul(version, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35)) >>> 0;
  for (let at = 16; at < BLOCK_BYTES; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block.writeUInt32LE(state, at);
  }
}

/**
 * The versions of a block that was read while it was written over: reads and writes exclude each other by page at most, and
 * mapped pages not at all. Undefined when some byte is of no version near the one its header names.
 */
function tornBetween(block: Buffer, file: number, version: number, index: number): Set<number> | undefined {
  if (version === 0 || version > 1_000_000) return undefined;
  const candidates: { version: number; bytes: Buffer }[] = [];
  for (let near = Math.max(1, version - 3); near <= version + 3; near++) {
    const bytes = Buffer.alloc(BLOCK_BYTES);
    makeBlock(bytes, file, near, index);
    candidates.push({ version: near, bytes });
  }
  const found = new Set<number>();
  for (let at = 0; at < block.length; at++) {
    const matching = candidates.filter(({ bytes }) => bytes[at] === block[at]);
    if (matching.length === 0) return undefined;
    if (matching.length === 1) found.add(matching[0]!.version);
  }
  return found;
}

const VERSIONS_MAX = 2_000;
/** Shorter than that bytes of a part tell no version. */
const PART_BYTES_MIN = 8;
interface Part {
  readonly from: number;
  readonly end: number;
  /** 0: zeros; undefined: of no version. */
  readonly version: number | undefined;
}
function partsOf(block: Buffer, file: number, index: number): Part[] {
  const candidates = [Buffer.alloc(BLOCK_BYTES)];
  for (let version = 1; version <= VERSIONS_MAX; version++) {
    candidates.push(Buffer.alloc(BLOCK_BYTES));
    makeBlock(candidates[version]!, file, version, index);
  }
  const parts: Part[] = [];
  for (let from = 0; from < block.length; ) {
    let [version, end]: [number | undefined, number] = [undefined, from];
    for (const [candidate, bytes] of candidates.entries()) {
      let at = from;
      while (at < block.length && bytes[at] === block[at]) at++;
      if (at > end) [version, end] = [candidate, at];
    }
    if (end - from < PART_BYTES_MIN) [version, end] = [undefined, Math.min(block.length, from + PART_BYTES_MIN)];
    parts.push({ from, end, version });
    from = end;
  }
  return parts;
}
/**
 * One read(2) is several requests, whose bounds lie where the reader's pages end, in the middle of a block too; between two of them
 * a node may stand still while others write the file many times over. Undefined where a part is of no version.
 */
function readInParts(parts: readonly Part[]): Set<number> | undefined {
  if (parts.length > 2 || parts.some(({ version }) => version === undefined || version === 0)) return undefined;
  return new Set(parts.map(({ version }) => version!));
}
function describeParts(parts: readonly Part[], block: Buffer): string {
  return parts.map(({ from, end, version }) =>
    `${from}-${end - 1} ${version === undefined ? block.subarray(from, end).toString("hex") : version === 0 ? "zeros" : `version ${version}`}`).join(", ");
}

export interface Sighting {
  /** Versions seen, each with the first block that had it. */
  readonly versions: ReadonlyMap<number, number>;
  /** What is wrong with the bytes themselves, if anything. */
  readonly wrong?: string;
}

/** Reads what version each block of `bytes` has; `bytes` begins at block `firstBlock`. */
export function inspectContent(bytes: Uint8Array, file: number, firstBlock: number): Sighting {
  const versions = new Map<number, number>();
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const expected = Buffer.alloc(BLOCK_BYTES);
  for (let at = 0, index = firstBlock; at < buffer.length; at += BLOCK_BYTES, index++) {
    const length = Math.min(BLOCK_BYTES, buffer.length - at);
    if (length < 16) break; // too short to tell the version; its neighbours do
    const version = buffer.readUInt32LE(at + 4);
    makeBlock(expected, file, version, index);
    if (version === 0 || expected.compare(buffer, at, at + length, 0, length) !== 0) {
      const block = buffer.subarray(at, at + length);
      const near = tornBetween(block, file, version, index);
      const parts = near === undefined ? partsOf(block, file, index) : [];
      const torn = near ?? readInParts(parts);
      if (torn !== undefined) {
        for (const part of torn) if (!versions.has(part)) versions.set(part, index);
        continue;
      }
      const isZero = block.every((byte) => byte === 0);
      return { versions, wrong: `file ${file} block ${index}: ${isZero ? "ZEROS" : `garbled (${describeParts(parts, block)})`}` };
    }
    if (!versions.has(version)) versions.set(version, index);
  }
  return { versions };
}
