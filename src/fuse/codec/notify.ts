/**
 * Notifications to the kernel, as whole messages for one write(2) on the device.
 *
 * Data ranges and bytes wait for held reads and for write-back of dirty pages: only a notifier thread may send them (safety C6).
 * Attributes only (`offset` -1) never waits.
 *
 * Source    linux/fuse.h fuse_notify_inval_inode_out, fuse_notify_inval_entry_out, fuse_notify_store_out, fuse_notify_prune_out; a notification has unique 0.
 */
import { notifyCodes, OUT_HEADER_SIZE } from "./constants.js";

function message(code: number, bodyLength: number): Buffer {
  const bytes = Buffer.alloc(OUT_HEADER_SIZE + bodyLength);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeInt32LE(code, 4);
  return bytes;
}

/** Pages of [offset, offset + length) and attributes; length 0 means to the end, offset -1 attributes only. */
export function invalidateInode(nodeid: number, offset: number, length: number): Buffer {
  const bytes = message(notifyCodes.invalInode, 24);
  bytes.writeBigUInt64LE(BigInt(nodeid), 16);
  bytes.writeBigInt64LE(BigInt(offset), 24);
  bytes.writeBigInt64LE(BigInt(length), 32);
  return bytes;
}

/** Bytes of a file, which is at least as long as they reach; waits for their pages. */
export function storeInInode(nodeid: number, offset: number, data: Uint8Array): Buffer {
  const bytes = message(notifyCodes.store, 24 + data.length);
  bytes.writeBigUInt64LE(BigInt(nodeid), 16);
  bytes.writeBigUInt64LE(BigInt(offset), 24);
  bytes.writeUInt32LE(data.length, 32);
  bytes.set(data, 40);
  return bytes;
}

/** All names are looked up again at their next use; never waits. Linux 6.16; older kernels refuse it. */
export function beginEpoch(): Buffer {
  return message(notifyCodes.incEpoch, 0);
}

/** Requests that were read and not answered come again, with the highest bit of their unique number set. Linux 6.9. */
export function resend(): Buffer {
  return message(notifyCodes.resend, 0);
}

/** The name is looked up again at its next use; nothing is detached or shown as deleted (needs HAS_EXPIRE_ONLY). */
export function expireEntry(parent: number, name: string): Buffer {
  return invalidateEntry(parent, name, EXPIRE_ONLY);
}
/** The name, and names below it, are let go of: what somebody uses has none until it is looked up, and mounts below end. */
export function forgetEntry(parent: number, name: string): Buffer {
  return invalidateEntry(parent, name, 0);
}
const EXPIRE_ONLY = 1;
function invalidateEntry(parent: number, name: string, flags: number): Buffer {
  const bytes = message(notifyCodes.invalEntry, 16 + name.length + 1);
  bytes.writeBigUInt64LE(BigInt(parent), 16);
  bytes.writeUInt32LE(name.length, 24);
  bytes.writeUInt32LE(flags, 28);
  bytes.write(name, 32, "latin1");
  return bytes;
}

/** Forget that inode if nobody uses it just now: names of it that are only remembered are let go. */
export function prune(nodeid: number): Buffer {
  const bytes = message(notifyCodes.prune, 24);
  bytes.writeUInt32LE(1, 16);
  bytes.writeBigUInt64LE(BigInt(nodeid), 32);
  return bytes;
}
