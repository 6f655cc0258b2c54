/**
 * A look over MessagePack bytes from outside before they are unpacked. An unpacker makes room for as many elements as a
 * head claims, so a few bytes that claim millions would cost gigabytes; it also builds values of kinds that we never send.
 *
 * Refused   more elements or bytes than are there, bytes after the end, nesting deeper than `DEPTH_MAX`, extensions
 *           (but for the one that stands for undefined).
 * Source    the MessagePack specification, "Formats".
 */
/** Deeper than anything we send, shallow enough for any stack. */
export const DEPTH_MAX = 64;

/** What is wrong with these bytes as one MessagePack value; undefined when nothing is. */
export function faultOfPacked(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.byteLength;
  /** Elements that the open arrays and maps still lack. */
  const left: number[] = [1];
  let at = 0;
  while (left.length > 0) {
    if (left[left.length - 1] === 0) {
      left.pop();
      continue;
    }
    left[left.length - 1]!--;
    if (at >= end) return "cut short";
    const head = bytes[at++]!;
    const kind = kindOf(head);
    if (kind === undefined) return `a value of kind 0x${head.toString(16)}, which is never sent`;
    const { sizeBytes } = kind;
    if (at + sizeBytes > end) return "cut short";
    const size = sizeBytes === 0 ? kind.size : sizeBytes === 1 ? view.getUint8(at) : sizeBytes === 2 ? view.getUint16(at) : view.getUint32(at);
    at += sizeBytes;
    const elements = kind.perSize * size;
    if (kind.perSize === 0) at += size;
    if (at + elements > end) return "cut short";
    if (head === 0xd4 && (bytes[at - 2] !== 0 || bytes[at - 1] !== 0)) return "an extension, which is never sent";
    if (elements === 0) continue;
    if (left.length > DEPTH_MAX) return `nested deeper than ${DEPTH_MAX}`;
    left.push(elements);
  }
  return at === end ? undefined : `${end - at} bytes after its end`;
}

interface Kind {
  /** Bytes after the head that say the size; with none it is `size`. */
  readonly sizeBytes: 0 | 1 | 2 | 4;
  readonly size: number;
  /** Values that each unit of size stands for: 1 in arrays, 2 in maps; 0 when the size is in bytes. */
  readonly perSize: 0 | 1 | 2;
}
function kind(sizeBytes: Kind["sizeBytes"], size: number, perSize: Kind["perSize"] = 0): Kind {
  return { sizeBytes, size, perSize };
}
const kinds: readonly (Kind | undefined)[] = Array.from({ length: 256 }, (_, head) => makeKind(head));
function kindOf(head: number): Kind | undefined {
  return kinds[head];
}
function makeKind(head: number): Kind | undefined {
  if (head < 0x80 || head >= 0xe0) return kind(0, 0);
  if (head < 0x90) return kind(0, head & 0x0f, 2);
  if (head < 0xa0) return kind(0, head & 0x0f, 1);
  if (head < 0xc0) return kind(0, head & 0x1f);
  switch (head) {
    case 0xc0: case 0xc2: case 0xc3: return kind(0, 0); // nil, false, true
    case 0xc4: case 0xd9: return kind(1, 0); // bin, str
    case 0xc5: case 0xda: return kind(2, 0);
    case 0xc6: case 0xdb: return kind(4, 0);
    case 0xcc: case 0xd0: return kind(0, 1); // numbers
    case 0xcd: case 0xd1: return kind(0, 2);
    case 0xca: case 0xce: case 0xd2: return kind(0, 4);
    case 0xcb: case 0xcf: case 0xd3: return kind(0, 8);
    case 0xd4: return kind(0, 2); // undefined, as an extension
    case 0xdc: return kind(2, 0, 1);
    case 0xdd: return kind(4, 0, 1);
    case 0xde: return kind(2, 0, 2);
    case 0xdf: return kind(4, 0, 2);
    default: return undefined;
  }
}
