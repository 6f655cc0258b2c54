/**
 * Spoiling valid inputs: as values, before they are encoded (types swapped, fields gone, nested deep, repeated), and as
 * bytes (bits flipped, cut, lengths that lie). One seed, one input.
 */
import type { Random } from "../base/random.js";

type Path = readonly (string | number)[];

/** Values that have hurt somebody before. `large`: of some length, so used seldom. */
const awkward: readonly unknown[] = [
  null, undefined, true, false, 0, -0, -1, 1, 255, 256, 65_536, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 - 1, -(2 ** 53), 0.5, Number.NaN, Number.POSITIVE_INFINITY,
  1e300, 0n, -1n, 2n ** 63n - 1n, 2n ** 64n - 1n, "", "\0", "a", "../..", "__proto__", "constructor", "toString", "\ud800", "global", "0".repeat(16), [], {}, [[]],
  { kind: "continue" }, new Uint8Array(0), new Uint8Array(24), new Uint8Array(32),
];
const large: readonly (() => unknown)[] = [
  () => "x".repeat(70_000), () => new Uint8Array(70_000), () => Array.from({ length: 5_000 }, (_, at) => at),
  () => Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`k${at}`, at])),
];
const lengths = [0, 1, 4, 31, 32, 127, 128, 255, 256, 4096, 65_535, 65_536, 2 ** 20, 2 ** 24, 2 ** 25, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
/** Heads of MessagePack values that announce much: arrays, maps, texts, bytes, extensions. */
const heads = [0xdc, 0xdd, 0xde, 0xdf, 0xd9, 0xda, 0xdb, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xc1, 0x9f, 0x8f, 0xcb, 0xcf];

/** A copy of the value with one to three places changed. */
export function mutateValue(random: Random, value: unknown): unknown {
  let changed = structuredClone(value);
  for (let times = random.between(1, 3); times > 0; times--) {
    const places = placesOf(changed);
    changed = changeAt(changed, random.pick(places), (old) => spoil(random, old, valueAt(changed, random.pick(places))));
  }
  return changed;
}

function spoil(random: Random, old: unknown, other: unknown): unknown {
  switch (random.below(8)) {
    case 0: return undefined;
    case 1: return other;
    case 2: return nested(old, random.pick([1, 2, 8, 63, 64, 65, 200, 2_000]));
    case 3: return random.chance(0.1) ? random.pick(large)() : random.pick(awkward);
    case 4: return Array.isArray(old) ? [...old, ...old, old] : typeof old === "number" ? old + random.pick([-1, 1, 0.5, 2 ** 32, 2 ** 53]) : [old];
    case 5: return typeof old === "object" && old !== null ? withField(random, old) : String(old);
    default: return random.pick(awkward);
  }
}
function withField(random: Random, old: object): unknown {
  const key = random.pick(["constructor", "toString", "hasOwnProperty", "length", "kind", "type", ""]);
  return { ...old, [key]: random.pick(awkward) };
}
function nested(value: unknown, depth: number): unknown {
  let outer = value;
  for (let at = 0; at < depth; at++) outer = at % 2 === 0 ? [outer] : { a: outer };
  return outer;
}
function isNode(value: unknown): value is Record<string | number, unknown> {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
}
/** A bounded number of them, so that a value grown large costs no more than others. */
function placesOf(value: unknown): Path[] {
  const places: Path[] = [[]];
  for (let at = 0; at < places.length && places.length < 400; at++) {
    const inner = valueAt(value, places[at]!);
    if (isNode(inner)) for (const key of Object.keys(inner).slice(0, 40)) places.push([...places[at]!, key]);
  }
  return places;
}
function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => (isNode(at) ? at[key] : undefined), value);
}
function changeAt(value: unknown, path: Path, change: (old: unknown) => unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return change(value);
  if (!isNode(value)) return value;
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string | number, unknown>;
  copy[key] = changeAt(value[key], rest, change);
  return copy;
}

/** A copy of the bytes with one to four places changed. */
export function mutateBytes(random: Random, bytes: Uint8Array, others: readonly Uint8Array[]): Buffer {
  let changed: Buffer = Buffer.from(bytes);
  for (let times = random.between(1, 4); times > 0; times--) changed = spoilBytes(random, changed, others);
  return changed;
}
function spoilBytes(random: Random, bytes: Buffer, others: readonly Uint8Array[]): Buffer {
  const at = random.below(bytes.length + 1);
  const length = Math.min(bytes.length - at, random.below(random.chance(0.2) ? 64 : 8));
  switch (random.below(9)) {
    case 0: return bytes.subarray(0, at);
    case 1: return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 2: return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 3: return Buffer.concat([bytes.subarray(0, at), noise(random, length), bytes.subarray(at)]);
    case 4: {
      const other = Buffer.from(random.pick(others));
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
    }
    case 5: return written(bytes, at, Buffer.from([random.pick(heads), ...size(random)]));
    case 6: return written(bytes, at, size(random));
    case 7: return Buffer.concat([...Array.from({ length: random.pick([2, 3, 70, 500]) }, () => Buffer.from([random.pick(heads), ...size(random)])), bytes]);
    default: return at === bytes.length ? bytes : written(bytes, at, Buffer.from([bytes[at]! ^ (1 << random.below(8))]));
  }
}
function size(random: Random): Buffer {
  const bytes = Buffer.alloc(4);
  if (random.chance(0.5)) bytes.writeUInt32BE(random.pick(lengths));
  else bytes.writeUInt32LE(random.pick(lengths));
  return bytes.subarray(random.pick([0, 0, 2, 3]));
}
function written(bytes: Buffer, at: number, over: Buffer): Buffer {
  const changed = Buffer.concat([bytes, Buffer.alloc(Math.max(0, at + over.length - bytes.length))]);
  over.copy(changed, at);
  return changed;
}
function noise(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)));
}
