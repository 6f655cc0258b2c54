/**
 * The keyed checksum at the end of a handle: only a holder of the cluster's key can make one, so that nobody turns a
 * guessed kernel file handle into an open of another file of the disk (safety H6, V14).
 *
 * Units     the key is 32 bytes as hexadecimal text, the seal the first 8 bytes of HMAC-SHA256(key, unsealed text).
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { GLOBAL_HANDLE, parseHandle, SEAL_HEX, unsealedHandle } from "../dmapi/handle.js";
import type { Handle } from "../dmapi/ids.js";

export class HandleSeal {
  readonly #key: Buffer;

  constructor(keyHex: string) {
    this.#key = Buffer.from(keyHex, "hex");
    if (this.#key.length !== 32) throw new RangeError(`the cluster key has ${this.#key.length} bytes; 32 are needed`);
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
    return createHmac("sha256", this.#key).update(unsealed).digest("hex").slice(0, SEAL_HEX);
  }
}
