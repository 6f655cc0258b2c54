/**
 * The keyed checksum at the end of a handle: only a holder of the cluster's key can make one, so that nobody turns a
 * guessed kernel file handle into an open of another file of the disk (safety H6, V14).
 *
 * Units     the key is 32 bytes as hexadecimal text, the seal the first 8 bytes of HMAC-SHA256(key, unsealed text).
 */
import { hash, timingSafeEqual } from "node:crypto";
import { assert } from "../base/assert.js";
import { GLOBAL_HANDLE, parseHandle, SEAL_HEX, unsealedHandle } from "../dmapi/handle.js";
import type { Handle } from "../dmapi/ids.js";

/** Of SHA-256, in bytes. */
const BLOCK = 64;
const DIGEST = 32;
const OBJECT_LENGTH_MAX = 1024;

/** HMAC as RFC 2104 makes it of a hash, with the library's hash in one go: its own HMAC costs ten times as much where it is not called all the time. */
export class HandleSeal {
  readonly #inner = Buffer.alloc(BLOCK + OBJECT_LENGTH_MAX, 0x36);
  readonly #outer = Buffer.alloc(BLOCK + DIGEST, 0x5c);

  constructor(keyHex: string) {
    const key = Buffer.from(keyHex, "hex");
    if (key.length !== 32) throw new RangeError(`the cluster key has ${key.length} bytes; 32 are needed`);
    for (const [at, byte] of key.entries()) {
      this.#inner[at]! ^= byte;
      this.#outer[at]! ^= byte;
    }
  }

  seal(fsid: string, type: number | "fs", object: string): Handle {
    const unsealed = unsealedHandle(fsid, type, object);
    return (unsealed + this.#sealOf(unsealed)) as Handle;
  }

  /** Whether this cluster made the handle; the global handle needs no seal. */
  isGenuine(handle: Handle): boolean {
    if (handle === GLOBAL_HANDLE) return true;
    const parts = parseHandle(handle);
    return parts !== undefined && timingSafeEqual(Buffer.from(parts.seal), Buffer.from(this.#sealOf(parts.unsealed)));
  }

  #sealOf(unsealed: string): string {
    const length = this.#inner.write(unsealed, BLOCK, "latin1");
    assert(length === unsealed.length, "the text of a handle fits");
    this.#outer.set(hash("sha256", this.#inner.subarray(0, BLOCK + length), "buffer"), BLOCK);
    return hash("sha256", this.#outer, "hex").slice(0, SEAL_HEX);
  }
}
