/**
 * DM handles: opaque names of a file system or an object, unique over time, the same on every node.
 *
 * Layout (bytes): fsid 8, type 4 (little endian; 0xffffffff names the file system itself), kernel file handle n
 * (4 to 24), keyed checksum 8. Text form: lower-case hexadecimal of that. "global" is the global handle.
 * The checksum is made by the daemon's edge with the cluster's key; the application group cannot forge one (safety H6).
 *
 * Not here  the keyed checksum (needs node:crypto; volume/handle-seal.ts), opening (volume/).
 * Source    XDSM C429 handles; name_to_handle_at(2).
 */
import type { Handle } from "./ids.js";

export const GLOBAL_HANDLE = "global" as Handle;
export const FSID_HEX = 16;
export const SEAL_HEX = 16;
const TYPE_HEX = 8;
const FS_TYPE = "ffffffff";

export interface HandleParts {
  /** 16 hexadecimal digits. */
  readonly fsid: string;
  /** Kernel handle type, or "fs" for a file-system handle. */
  readonly type: number | "fs";
  /** Kernel handle bytes as hexadecimal; empty for a file-system handle. */
  readonly object: string;
  /** Everything before the seal. */
  readonly unsealed: string;
  readonly seal: string;
}

export function typeHex(type: number): string {
  const t = type >>> 0;
  const b = (n: number) => (n & 0xff).toString(16).padStart(2, "0");
  return b(t) + b(t >>> 8) + b(t >>> 16) + b(t >>> 24);
}

/** Text before the seal. */
export function unsealedHandle(fsid: string, type: number | "fs", object: string): string {
  return fsid + (type === "fs" ? FS_TYPE : typeHex(type)) + object;
}

/** Undefined when the text cannot be a handle at all (XDSM: EINVAL / EBADF by the caller's rule). */
export function parseHandle(text: string): HandleParts | undefined {
  if (!/^[0-9a-f]*$/.test(text) || text.length % 2 !== 0) return undefined;
  if (text.length < FSID_HEX + TYPE_HEX + SEAL_HEX || text.length > 2 * 64) return undefined;
  const unsealed = text.slice(0, -SEAL_HEX);
  const fsid = text.slice(0, FSID_HEX);
  const typeText = text.slice(FSID_HEX, FSID_HEX + TYPE_HEX);
  const object = unsealed.slice(FSID_HEX + TYPE_HEX);
  const seal = text.slice(-SEAL_HEX);
  if (typeText === FS_TYPE) return object === "" ? { fsid, type: "fs", object, unsealed, seal } : undefined;
  if (object.length < 8) return undefined;
  const bytes = [0, 2, 4, 6].map((at) => Number.parseInt(typeText.slice(at, at + 2), 16));
  const type = (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0;
  return { fsid, type, object, unsealed, seal };
}

export function isFsHandle(handle: Handle): boolean {
  return parseHandle(handle)?.type === "fs";
}
