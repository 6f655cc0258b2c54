/**
 * The mark: an attribute with a nonce beside the record. While it stands, nobody has written to the file since it was made;
 * the first writer on any node removes it before it touches the data (safety C3). Made only under the exclusive guard; a node
 * removes it once each time it takes the shared guard, so while anybody holds that, no mark can appear.
 *
 * Results are numbers as in os/native.ts.
 */
import { errno } from "../os/errno.js";
import * as files from "../os/files.js";

export const MARK_ATTRIBUTE = "trusted.sluice.mark";
const markName = Buffer.from(`${MARK_ATTRIBUTE}\0`);
const NONCE = /^[0-9a-f]{32}$/;
const buffer = Buffer.alloc(64);

/** The caller holds the guard exclusive. An older mark, of a mover that went away, is replaced. */
export function createMark(fd: number, nonce: string): number {
  if (!NONCE.test(nonce)) return -errno.EINVAL;
  return files.fsetxattr(fd, markName, Buffer.from(nonce));
}
/** The nonce, "" when what stands there is none of ours, undefined when there is no mark, or the negative errno. */
export function readMark(fd: number): string | undefined | number {
  const length = files.fgetxattr(fd, markName, buffer);
  if (length === -errno.ENODATA || length === -errno.EOPNOTSUPP) return undefined;
  if (length < 0) return length === -errno.ERANGE ? "" : length;
  return nonceOf(buffer.subarray(0, length));
}
export function nonceOf(value: Buffer): string {
  const text = value.toString("latin1");
  return NONCE.test(text) ? text : "";
}
/**
 * Whether a mark stood there: 1 or 0, or the negative errno, and then nothing may be written. Of a file that may only grow
 * nobody can change the attributes: where there is no mark none comes.
 */
export function removeMark(fd: number): number {
  const result = files.fremovexattr(fd, markName);
  if (result === -errno.ENODATA || result === -errno.EOPNOTSUPP) return 0;
  if (result === -errno.EPERM && readMark(fd) === undefined) return 0;
  return result < 0 ? result : 1;
}
