/**
 * Reading directories with the kernel's own cookies, names as bytes.
 *
 * Source    getdents64(2).
 */
import { bind, bindRaw } from "./native.js";
import koffi from "koffi";

const nativeGetdents = bind("intptr_t getdents64(int fd, void *buffer, uintptr_t size)");
const nativeLseek = bindRaw("int64_t lseek(int fd, int64_t offset, int whence)");

/** Goes on after the entry whose cookie this is (0: from the beginning). */
export function seekDirectory(fd: number, cookie: bigint): number {
  return nativeLseek(fd, cookie, 0) < 0 ? -koffi.errno() : 0;
}

/** A cursor over one buffer full of entries: `fill`, then `next` until false. Fields are those of the present entry. */
export class DirectoryEntries {
  readonly bytes: Buffer;
  #length = 0;
  #next = 0;
  #at = 0;

  constructor(size = 32 * 1024) {
    this.bytes = Buffer.alloc(size);
  }

  /** Bytes read; 0 at the end of the directory. */
  fill(fd: number): number {
    const length = nativeGetdents(fd, this.bytes, this.bytes.length);
    this.#length = Math.max(0, length);
    this.#next = 0;
    return length;
  }
  next(): boolean {
    if (this.#next >= this.#length) return false;
    this.#at = this.#next;
    this.#next += this.bytes.readUInt16LE(this.#at + 16);
    return true;
  }
  get ino(): bigint { return this.bytes.readBigUInt64LE(this.#at); }
  copyIno(target: Buffer, at: number): void { this.bytes.copy(target, at, this.#at, this.#at + 8); }
  /** Where `seekDirectory` goes on after this entry. */
  get cookie(): bigint { return this.bytes.readBigInt64LE(this.#at + 8); }
  copyCookie(target: Buffer, at: number): void { this.bytes.copy(target, at, this.#at + 8, this.#at + 16); }
  /** DT_*: 4 directory, 8 regular, 10 symbolic link, 0 unknown. */
  get type(): number { return this.bytes[this.#at + 18]!; }
  /** Without its NUL; a view of the buffer. */
  get name(): Buffer {
    const start = this.#at + 19;
    return this.bytes.subarray(start, this.bytes.indexOf(0, start));
  }
  get isDotOrDotDot(): boolean {
    const at = this.#at + 19;
    if (this.bytes[at] !== 0x2e) return false;
    return this.bytes[at + 1] === 0 || (this.bytes[at + 1] === 0x2e && this.bytes[at + 2] === 0);
  }
}
