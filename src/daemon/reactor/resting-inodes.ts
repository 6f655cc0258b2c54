/**
 * Objects that the kernel knows and nobody here uses just now, packed: what must be known of one again is some 50 to 80
 * bytes in a block, found by node id or by kernel handle, instead of an object with its own maps and strings.
 *
 * A block: node id, node id of the parent (doubles), look-ups, place in the mount's memory, handle type, type and flags,
 * lengths; then the handle's bytes and the name's.
 *
 * Not here  when an object rests and when it is used again (inode-table.ts).
 */
import { BlockArena } from "../../base/block-arena.js";
import { HashIndex, mix } from "../../base/hash-index.js";

export interface RestingInode {
  readonly nodeid: number;
  readonly handleType: number;
  readonly handleBytes: Uint8Array;
  /** Type bits of st_mode. */
  readonly type: number;
  readonly lookups: number;
  readonly place: number;
  readonly parent: number;
  /** Bytes as latin1 text, at most 255. */
  readonly name: string;
  readonly isUnlinked: boolean;
  readonly isDestroyTold: boolean;
  readonly mayHavePages: boolean;
}

const at = { nodeid: 0, parent: 8, lookups: 16, place: 20, handleType: 24, typeAndFlags: 28, handleLength: 30, nameLength: 31, bytes: 32 } as const;
const flags = { isUnlinked: 1, isDestroyTold: 2, mayHavePages: 4 } as const;
const FLAG_BITS = 0xfff;
const NAME_MAX = 255;

const hashOfNodeid = (nodeid: number) => mix((nodeid ^ Math.imul(Math.floor(nodeid / 2 ** 32), 0x9e37_79b1)) | 0);
function hashOfBytes(type: number, length: number, byteAt: (index: number) => number): number {
  let hash = type ^ 0x811c_9dc5;
  for (let index = 0; index < length; index++) hash = Math.imul(hash ^ byteAt(index), 0x0100_0193);
  return mix(hash);
}
const hashOfHandle = (type: number, bytes: Uint8Array) => hashOfBytes(type, bytes.length, (index) => bytes[index]!);

export class RestingInodes {
  readonly #arena = new BlockArena();
  readonly #byNodeid = new HashIndex((block) => hashOfNodeid(this.#nodeid(block)));
  readonly #byHandle = new HashIndex((block) => this.#hashOfHandle(block));

  get size(): number {
    return this.#byNodeid.size;
  }
  /** Of typed arrays. */
  get bytes(): number {
    return this.#arena.bytes + this.#byNodeid.bytes + this.#byHandle.bytes;
  }

  /** One that does not rest yet. */
  add(inode: RestingInode): void {
    const name = inode.name.length > NAME_MAX ? "" : inode.name;
    const { handleBytes } = inode;
    const block = this.#arena.take(at.bytes + handleBytes.length + name.length);
    const view = this.#arena.chunkOf(block);
    const place = this.#arena.placeOf(block);
    view.setFloat64(place + at.nodeid, inode.nodeid);
    view.setFloat64(place + at.parent, inode.parent);
    view.setUint32(place + at.lookups, inode.lookups);
    view.setInt32(place + at.place, inode.place);
    view.setInt32(place + at.handleType, inode.handleType);
    const flagged = (inode.isUnlinked ? flags.isUnlinked : 0) | (inode.isDestroyTold ? flags.isDestroyTold : 0) | (inode.mayHavePages ? flags.mayHavePages : 0);
    view.setUint16(place + at.typeAndFlags, (inode.type & ~FLAG_BITS) | flagged);
    view.setUint8(place + at.handleLength, handleBytes.length);
    view.setUint8(place + at.nameLength, name.length);
    let next = place + at.bytes;
    for (const byte of handleBytes) view.setUint8(next++, byte);
    for (let index = 0; index < name.length; index++) view.setUint8(next++, name.charCodeAt(index));
    this.#byNodeid.add(hashOfNodeid(inode.nodeid), block);
    this.#byHandle.add(hashOfHandle(inode.handleType, handleBytes), block);
  }
  /** It is here no more. */
  take(nodeid: number): RestingInode | undefined {
    return this.#taken(this.#find(nodeid));
  }
  takeByHandle(type: number, bytes: Uint8Array): RestingInode | undefined {
    return this.#taken(this.#byHandle.find(hashOfHandle(type, bytes), (block) => this.#isHandle(block, type, bytes)));
  }
  /** It stays. */
  peek(nodeid: number): RestingInode | undefined {
    const block = this.#find(nodeid);
    return block === 0 ? undefined : this.#read(block);
  }
  nodeids(): number[] {
    return Array.from(this.#byNodeid.entries(), (block) => this.#nodeid(block));
  }

  #taken(block: number): RestingInode | undefined {
    if (block === 0) return undefined;
    const inode = this.#read(block);
    this.#byNodeid.remove(hashOfNodeid(inode.nodeid), block);
    this.#byHandle.remove(hashOfHandle(inode.handleType, inode.handleBytes), block);
    this.#arena.give(block, at.bytes + inode.handleBytes.length + inode.name.length);
    return inode;
  }
  #find(nodeid: number): number {
    return this.#byNodeid.find(hashOfNodeid(nodeid), (block) => this.#nodeid(block) === nodeid);
  }
  #nodeid(block: number): number {
    return this.#arena.chunkOf(block).getFloat64(this.#arena.placeOf(block) + at.nodeid);
  }
  #hashOfHandle(block: number): number {
    const view = this.#arena.chunkOf(block);
    const place = this.#arena.placeOf(block);
    return hashOfBytes(view.getInt32(place + at.handleType), view.getUint8(place + at.handleLength), (index) => view.getUint8(place + at.bytes + index));
  }
  #isHandle(block: number, type: number, bytes: Uint8Array): boolean {
    const view = this.#arena.chunkOf(block);
    const place = this.#arena.placeOf(block);
    if (view.getInt32(place + at.handleType) !== (type | 0) || view.getUint8(place + at.handleLength) !== bytes.length) return false;
    return bytes.every((byte, index) => view.getUint8(place + at.bytes + index) === byte);
  }
  #read(block: number): RestingInode {
    const view = this.#arena.chunkOf(block);
    const place = this.#arena.placeOf(block);
    const typeAndFlags = view.getUint16(place + at.typeAndFlags);
    const handleLength = view.getUint8(place + at.handleLength);
    const bytes = new Uint8Array(view.buffer, place + at.bytes, handleLength + view.getUint8(place + at.nameLength));
    return {
      nodeid: view.getFloat64(place + at.nodeid), parent: view.getFloat64(place + at.parent), lookups: view.getUint32(place + at.lookups), place: view.getInt32(place + at.place),
      handleType: view.getInt32(place + at.handleType), handleBytes: bytes.slice(0, handleLength), name: Buffer.from(bytes.subarray(handleLength)).toString("latin1"),
      type: typeAndFlags & ~FLAG_BITS, isUnlinked: (typeAndFlags & flags.isUnlinked) !== 0, isDestroyTold: (typeAndFlags & flags.isDestroyTold) !== 0, mayHavePages: (typeAndFlags & flags.mayHavePages) !== 0,
    };
  }
}
