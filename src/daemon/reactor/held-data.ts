/**
 * The bytes of writes that wait: in memory up to a bound, beyond it in an unlinked file, so that thousands of writers of files
 * that are being recalled do not end the daemon.
 *
 * A file that cannot take them leaves them in memory: no user's bytes are given up for the bound.
 *
 * Owns      the file and its slots.
 * Source    safety M8.
 */
import { tmpdir } from "node:os";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";

/** As long as the longest write the kernel sends: max_write of a managed file system. */
const SLOT_BYTES = 128 * 1024;

export interface KeptData {
  readonly length: number;
  /** The bytes, or a negative errno. */
  bytes(): Uint8Array | number;
  drop(): void;
}

export class HeldData {
  readonly #bytesMax: number;
  readonly #free: number[] = [];
  #slots = 0;
  #fd = -1;
  inMemory = 0;
  spooled = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Copies what lies in a buffer that will be used again. */
  keep(data: Uint8Array): KeptData {
    if (this.inMemory + data.length > this.#bytesMax && data.length <= SLOT_BYTES) return this.#spool(data) ?? this.#remember(data);
    return this.#remember(data);
  }
  close(): void {
    if (this.#fd >= 0) files.close(this.#fd);
    this.#fd = -1;
  }

  #remember(data: Uint8Array): KeptData {
    const copy = Buffer.from(data);
    this.inMemory += copy.length;
    return {
      length: copy.length, bytes: () => copy,
      drop: () => {
        this.inMemory -= copy.length;
      },
    };
  }
  #spool(data: Uint8Array): KeptData | undefined {
    if (this.#fd < 0) this.#fd = files.openAt(files.AT_FDCWD, tmpdir(), files.open.readWrite | files.open.temporary, 0o600);
    if (this.#fd < 0) return undefined;
    const slot = this.#free.pop() ?? this.#slots++;
    const { length } = data;
    if (!isWhole(Buffer.from(data), (rest, at) => files.pwrite(this.#fd, rest, 0, rest.length, slot * SLOT_BYTES + at))) {
      this.#free.push(slot);
      return undefined;
    }
    this.spooled += length;
    return {
      length,
      bytes: () => {
        const found = Buffer.alloc(length);
        return isWhole(found, (rest, at) => files.pread(this.#fd, rest, 0, rest.length, slot * SLOT_BYTES + at)) ? found : -errno.EIO;
      },
      drop: () => {
        this.spooled -= length;
        this.#free.push(slot);
        if (this.spooled === 0) this.#forgetFile();
      },
    };
  }
  /** Its space goes back. */
  #forgetFile(): void {
    this.close();
    this.#free.length = 0;
    this.#slots = 0;
  }
}

function isWhole(buffer: Buffer, move: (rest: Buffer, at: number) => number): boolean {
  for (let at = 0; at < buffer.length; ) {
    const moved = move(buffer.subarray(at), at);
    if (moved === -errno.EINTR) continue;
    if (moved <= 0) return false;
    at += moved;
  }
  return true;
}
