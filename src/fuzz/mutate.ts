/**
 * Spoiling valid inputs: as values, before they are encoded (types swapped, fields gone, nested deep, repeated), and as
 * bytes (bits flipped, cut, lengths that lie). One seed, one input.
 */
import type { Random } from "../base/random.js";

/** Values that have hurt somebody before. `large`: of some length, so used seldom. */
const awkward: readonly unknown[] = [
  null, undefined, true, false, 0, -0, -1, 1, 255, 256, 65_536, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 - 1, -(2 ** 53), 0.5, Number.NaN, Number.POSITIVE_INFINITY,
  1e300, 0n, -1n, 2n ** 63n - 1n, 2n ** 64n - 1n, "", "\0", "a", "../..", "__proto__", "constructor", "toString", "\ud800", "global", "0".repeat(16), [], {}, [[]],
  { kind: "continue" }, new Uint8Array(0), new Uint8Array(24), new Uint8Array(32),
];
const large: readonly unknown[] = [
  "x".repeat(70_000), new Uint8Array(70_000), Array.from({ length: 5_000 }, (_, at) => at), Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`k${at}`, at])),
];
/** Of all values put in: each costs as much as a hundred others. */
const LARGE_SHARE = 0.004;
const DEEP_SHARE = 0.02;
const lengths = [0, 1, 4, 31, 32, 127, 128, 255, 256, 4096, 65_535, 65_536, 2 ** 20, 2 ** 24, 2 ** 25, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
/** Heads of MessagePack values that announce much: arrays, maps, texts, bytes, extensions. */
const heads = [0xdc, 0xdd, 0xde, 0xdf, 0xd9, 0xda, 0xdb, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xc1, 0x9f, 0x8f, 0xcb, 0xcf];

/** Mostly one: what is spoilt in many places is refused at the first of them. */
function howOften(random: Random): number {
  return random.chance(0.7) ? 1 : random.between(2, 4);
}

/** A copy of the value with one to four places changed; the rest is shared with it. */
export function mutateValue(random: Random, value: unknown): unknown {
  let changed = value;
  for (let times = howOften(random); times > 0; times--) {
    const whole = changed;
    changed = changeSomewhere(random, whole, (old) => spoil(random, old, () => somewhereIn(random, whole)));
  }
  return changed;
}

function spoil(random: Random, old: unknown, other: () => unknown): unknown {
  switch (random.below(8)) {
    case 0: return undefined;
    case 1: return other();
    case 2: return nested(old, random.pick(random.chance(DEEP_SHARE) ? [200, 2_000] : [1, 2, 8, 63, 64, 65]));
    case 3: return random.chance(8 * LARGE_SHARE) ? random.pick(large) : random.pick(awkward);
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
const KEYS_LOOKED_AT_MAX = 40;
/** A walk inwards that may end anywhere. */
function pathInto(random: Random, value: unknown): string | undefined {
  if (!isNode(value) || random.chance(0.15)) return undefined;
  const keys = Object.keys(value);
  return keys.length === 0 ? undefined : keys[random.below(Math.min(keys.length, KEYS_LOOKED_AT_MAX))];
}
function somewhereIn(random: Random, value: unknown): unknown {
  let at = value;
  for (let key = pathInto(random, at); key !== undefined; key = pathInto(random, at)) at = (at as Record<string, unknown>)[key];
  return at;
}
function changeSomewhere(random: Random, value: unknown, change: (old: unknown) => unknown): unknown {
  const key = pathInto(random, value);
  if (key === undefined) return change(value);
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string, unknown>;
  copy[key] = changeSomewhere(random, copy[key], change);
  return copy;
}

/** A copy of the bytes with one to four places changed. */
export function mutateBytes(random: Random, bytes: Uint8Array, others: readonly Uint8Array[]): Buffer {
  let changed: Buffer = Buffer.from(bytes);
  for (let times = howOften(random); times > 0; times--) changed = spoilBytes(random, changed, others);
  return changed;
}
function spoilBytes(random: Random, bytes: Buffer, others: readonly Uint8Array[]): Buffer {
  const at = random.below(bytes.length + 1);
  const length = Math.min(bytes.length - at, random.below(random.chance(0.2) ? 64 : 8));
  switch (random.below(9)) {
    case 0: return bytes.subarray(0, at);
    case 1: return joined(bytes.subarray(0, at), bytes.subarray(at + length));
    case 2: return joined(bytes.subarray(0, at + length), bytes.subarray(at));
    case 3: return joined(bytes.subarray(0, at), noise(random, length), bytes.subarray(at));
    case 4: {
      const other = random.pick(others);
      return joined(bytes.subarray(0, at), other.subarray(random.below(other.length + 1)));
    }
    case 5: return written(random, bytes, at, true);
    case 6: return written(random, bytes, at, false);
    case 7: return joined(announcements(random), bytes);
    default: return flipped(random, bytes, at);
  }
}
function joined(...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = Buffer.allocUnsafe(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
/** A size, in two, one or four bytes, either way round; where it ends. */
function putSize(random: Random, into: Buffer, at: number): number {
  const number = random.pick(lengths);
  const skipped = random.pick([0, 0, 2, 3]);
  const isBig = random.chance(0.5);
  for (let byte = skipped; byte < 4; byte++) into[at + byte - skipped] = number >>> (8 * (isBig ? 3 - byte : byte));
  return at + 4 - skipped;
}
const MARK_BYTES_MAX = 5;
function written(random: Random, bytes: Buffer, at: number, hasHead: boolean): Buffer {
  const mark = Buffer.alloc(MARK_BYTES_MAX);
  if (hasHead) mark[0] = random.pick(heads);
  const end = putSize(random, mark, hasHead ? 1 : 0);
  const changed = Buffer.alloc(Math.max(bytes.length, at + end));
  bytes.copy(changed);
  mark.copy(changed, at, 0, end);
  return changed;
}
/** Values that each say how much follows, one in the other. */
function announcements(random: Random): Buffer {
  const count = random.chance(0.05) ? 500 : random.pick([2, 3, 70]);
  const all = Buffer.allocUnsafe(count * MARK_BYTES_MAX);
  let at = 0;
  for (let made = 0; made < count; made++) {
    all[at] = random.pick(heads);
    at = putSize(random, all, at + 1);
  }
  return all.subarray(0, at);
}
function flipped(random: Random, bytes: Buffer, at: number): Buffer {
  if (at === bytes.length) return bytes;
  const changed = Buffer.from(bytes);
  changed[at]! ^= 1 << random.below(8);
  return changed;
}
function noise(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at++) bytes[at] = random.below(256);
  return bytes;
}
