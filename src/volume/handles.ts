/**
 * Objects by handle: kernel file handles, which survive renames, cache drops and restarts and which every node that mounts
 * the backing can open (ext4, xfs, btrfs, CephFS).
 *
 * A handle given out is sealed with the cluster's key, since one that somebody made up would open any file of the disk
 * (safety H6). `own` is the text of the kernel handle alone, without file system and seal: what a record is tied to.
 */
import type { DmFailure } from "../dmapi/errors.js";
import { codeOf } from "../dmapi/errors.js";
import { parseHandle, typeHex } from "../dmapi/handle.js";
import type { Handle } from "../dmapi/ids.js";
import { errno, errnoName } from "../os/errno.js";
import * as files from "../os/files.js";
import type { Path } from "../os/native.js";
import { HandleSeal } from "./handle-seal.js";

export function ownText(handle: files.KernelHandle): string {
  return typeHex(handle.type) + handle.bytes.toString("hex");
}
/** What `ownText` told. */
export function kernelHandleOf(own: string): files.KernelHandle {
  const bytes = Buffer.from(own, "hex");
  return { type: bytes.readInt32LE(0), bytes: bytes.subarray(4) };
}

export class Handles {
  readonly fsHandle: Handle;
  readonly #seal: HandleSeal;
  readonly #fsid: string;
  readonly #mountFd: number;

  /** `mountFd`: a readable descriptor of a directory of the backing file system; it stays the caller's. */
  constructor(options: { readonly clusterKey: string; readonly fsid: string; readonly mountFd: number }) {
    this.#seal = new HandleSeal(options.clusterKey);
    this.#fsid = options.fsid;
    this.#mountFd = options.mountFd;
    this.fsHandle = this.#seal.seal(options.fsid, "fs", "");
  }

  /** The handle of an open object, O_PATH too; or the negative errno. */
  ofDescriptor(fd: number): Handle | number {
    return this.ofName(fd, "", files.AT_EMPTY_PATH);
  }
  ofName(directory: number, name: Path, flags = 0): Handle | number {
    const kernel = files.nameToHandle(directory, name, flags);
    return typeof kernel === "number" ? kernel : this.ofKernel(kernel);
  }
  ofKernel(kernel: files.KernelHandle): Handle {
    return this.#seal.seal(this.#fsid, kernel.type, kernel.bytes.toString("hex"));
  }

  /** Kernel handle and own text; EBADF when it is forged, another file system's, or the file system's own handle. */
  parse(handle: Handle): { readonly kernel: files.KernelHandle; readonly own: string } | DmFailure {
    const parts = parseHandle(handle);
    if (parts === undefined || parts.type === "fs") return { code: "EBADF", message: "not the handle of an object" };
    if (parts.fsid !== this.#fsid) return { code: "EBADF", message: "the handle names another file system" };
    if (!this.#seal.isGenuine(handle)) return { code: "EBADF", message: "the handle is not one of this cluster's" };
    const kernel = { type: parts.type | 0, bytes: Buffer.from(parts.object, "hex") };
    return { kernel, own: typeHex(parts.type) + parts.object };
  }

  /** A descriptor, close-on-exec, the caller's to close. EBADF: no such handle, or the object is gone. */
  open(handle: Handle, flags: number): number | DmFailure {
    const parsed = this.parse(handle);
    if ("code" in parsed) return parsed;
    return this.openKernel(parsed.kernel, flags);
  }
  openKernel(kernel: files.KernelHandle, flags: number): number | DmFailure {
    const fd = files.openByHandle(this.#mountFd, kernel, flags);
    if (fd >= 0) return fd;
    if (fd === -errno.ESTALE) return { code: "EBADF", message: "the object does not exist any more" };
    return { code: codeOf(-fd), message: `cannot be opened by its handle (${errnoName(fd)})` };
  }
}
