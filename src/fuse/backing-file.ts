/**
 * Backing files: descriptors that the kernel is given for opens that pass through to them. It keeps what was registered,
 * with the locks on it, until the id is closed and the last open that uses it has gone, whatever becomes of us.
 *
 * Results are numbers as in os/native.ts: an id is one or more.
 *
 * Source    linux/fuse.h FUSE_DEV_IOC_BACKING_OPEN, FUSE_DEV_IOC_BACKING_CLOSE (Linux 6.9).
 */
import { ioctl } from "../os/device.js";

/** _IOW(229, 1, struct fuse_backing_map), _IOW(229, 2, uint32_t) */
const BACKING_OPEN = 0x4010_e501;
const BACKING_CLOSE = 0x4004_e502;
const map = Buffer.alloc(16);
const number = Buffer.alloc(4);

/** The id under which opens may pass through to the file; -EPERM, -ELOOP and others: this file, or this mount, cannot. */
export function registerBackingFile(device: number, fd: number): number {
  map.fill(0);
  map.writeInt32LE(fd, 0);
  return ioctl(device, BACKING_OPEN, map);
}
export function unregisterBackingFile(device: number, id: number): number {
  number.writeUInt32LE(id, 0);
  return ioctl(device, BACKING_CLOSE, number);
}
