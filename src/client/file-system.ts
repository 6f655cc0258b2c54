/**
 * A managed file system as this node knows it, and how a path becomes a handle.
 *
 * A path is resolved once, beneath the mount and without following any link, to a descriptor that reads nothing (O_PATH);
 * what it names is asked of that descriptor, and from then on only the handle is used. A user who swaps a component for a
 * link between check and use thus gains nothing (safety H15).
 *
 * Source    openat2(2); XDSM C429 dm_path_to_handle, dm_fd_to_handle, dm_path_to_fshandle.
 */
import { readdirSync } from "node:fs";
import path from "node:path";
import type { ResultOf } from "../dmapi/calls.js";
import { codeOf, DmError } from "../dmapi/errors.js";
import type { FsName, Handle } from "../dmapi/ids.js";
import { errno } from "../os/errno.js";
import { AT_FDCWD, close, fstat, getxattrOfPath, open, openAt, openBeneath, procPath, resolve } from "../os/files.js";
import { FileStat } from "../os/stat.js";

export const HANDLE_ATTRIBUTE = "system.sluice.handle";
export const FS_ATTRIBUTE = "system.sluice.fs";
const STRICTLY_BENEATH = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks | resolve.noCrossing;

export interface NamedObject {
  readonly handle: Handle;
  readonly type: "file" | "directory";
  readonly size: number;
  readonly blocks: number;
}

export class FileSystem {
  readonly name: FsName;
  readonly handle: Handle;
  readonly rootHandle: Handle;
  readonly backing: string;
  readonly mountpoint: string | undefined;
  constructor(entry: ResultOf<"fs.list">[number]) {
    this.name = entry.fs;
    this.handle = entry.handle;
    this.rootHandle = entry.rootHandle;
    this.backing = entry.backing;
    this.mountpoint = entry.mountpoint;
  }

  /** By its text alone: `file` need not exist. */
  contains(file: string): boolean {
    return this.mountpoint !== undefined && relativeBelow(this.mountpoint, path.resolve(file)) !== undefined;
  }

  /** @throws DmError ENXIO not below the mount; ELOOP through or at a link; ENOENT; EINVAL neither file nor directory. */
  handleOf(file: string | Buffer): Handle {
    return this.lookUp(file).handle;
  }

  /** The object a path names, below this mount. A Buffer is taken as a path relative to the mount point, byte for byte. */
  lookUp(file: string | Buffer): NamedObject {
    const mountpoint = this.#mountpoint();
    const relative = typeof file === "string" ? relativeBelow(mountpoint, path.resolve(file)) : file;
    if (relative === undefined) throw new DmError("ENXIO", "path.handle", `"${String(file)}" is not below ${mountpoint}`);
    const root = openAt(AT_FDCWD, mountpoint, open.path | open.directory);
    if (root < 0) throw new DmError(codeOf(-root), "path.handle", `the mount point ${mountpoint} cannot be opened`);
    try {
      return this.#describe(root, relative, String(file));
    } finally {
      close(root);
    }
  }

  /**
   * Every file and directory below one that `file` names (itself included), each resolved beneath the mount; links are
   * passed over. Names are bytes, in paths relative to the mount point.
   */
  *walk(file: string | Buffer): Generator<NamedObject & { readonly path: Buffer }, void, undefined> {
    const mountpoint = this.#mountpoint();
    const relative = typeof file === "string" ? relativeBelow(mountpoint, path.resolve(file)) : file;
    if (relative === undefined) throw new DmError("ENXIO", "path.handle", `"${String(file)}" is not below ${mountpoint}`);
    const start = Buffer.isBuffer(relative) ? relative : Buffer.from(relative);
    const pending = [start];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      let found: NamedObject;
      try {
        found = this.lookUp(at);
      } catch (error) {
        const isPassedOver = error instanceof DmError && ["ELOOP", "ENOENT", "EINVAL"].includes(error.code);
        if (isPassedOver && at !== start) continue; // a link, a device, or deleted since it was listed
        throw error;
      }
      yield { ...found, path: at };
      if (found.type === "directory") pending.push(...this.#namesIn(at).map((name) => joined(at!, name)));
    }
  }
  #namesIn(directory: Buffer): Buffer[] {
    const root = openAt(AT_FDCWD, this.#mountpoint(), open.path | open.directory);
    const fd = root < 0 ? root : openBeneath(root, withNul(directory), open.readOnly | open.directory, STRICTLY_BENEATH);
    if (root >= 0) close(root);
    if (fd < 0) throw new DmError(codeOf(-fd), "path.handle", `"${directory.toString()}" cannot be listed`);
    try {
      return readdirSync(procPath(fd), { encoding: "buffer" }).sort(Buffer.compare).reverse();
    } finally {
      close(fd);
    }
  }

  /** The object of an open descriptor of this file system. @throws DmError ENXIO the descriptor is of none. */
  handleOfDescriptor(fd: number): Handle {
    return readHandle(procPath(fd), HANDLE_ATTRIBUTE, `descriptor ${fd}`);
  }

  #describe(root: number, relative: string | Buffer, shown: string): NamedObject {
    const fd = openBeneath(root, withNul(relative), open.path | open.noFollow, STRICTLY_BENEATH);
    if (fd < 0) throw new DmError(codeOf(-fd), "path.handle", reasonFor(-fd, shown));
    try {
      const stat = new FileStat();
      const result = fstat(fd, stat);
      if (result < 0) throw new DmError(codeOf(-result), "path.handle", `"${shown}" cannot be looked at`);
      if (stat.isSymlink) throw new DmError("ELOOP", "path.handle", reasonFor(errno.ELOOP, shown));
      if (!stat.isRegular && !stat.isDirectory) throw new DmError("EINVAL", "path.handle", `"${shown}" is neither a regular file nor a directory`);
      const type = stat.isRegular ? "file" : "directory";
      return { handle: readHandle(procPath(fd), HANDLE_ATTRIBUTE, shown), type, size: stat.size, blocks: stat.blocks };
    } finally {
      close(fd);
    }
  }
  #mountpoint(): string {
    if (this.mountpoint !== undefined) return this.mountpoint;
    throw new DmError("ENXIO", "path.handle", `${this.name} is not mounted on this node`);
  }
}

function joined(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : Buffer.concat([directory, Buffer.from("/"), name]);
}
/** "" is the root itself. A name given as bytes ends in a NUL for the system call. */
function withNul(relative: string | Buffer): string | Buffer {
  if (relative.length === 0) return ".";
  return Buffer.isBuffer(relative) ? Buffer.concat([relative, Buffer.from([0])]) : relative;
}

/** The handle behind a path that is safe to follow (of /proc/self/fd, or one the caller answers for). */
export function readHandle(link: string, attribute: string, shown: string): Handle {
  const value = Buffer.alloc(256);
  const length = getxattrOfPath(link, attribute, value);
  if (length >= 0) return value.toString("latin1", 0, length) as Handle;
  const isForeign = length === -errno.ENODATA || length === -errno.EOPNOTSUPP;
  if (length === -errno.EBADF) throw new DmError("EBADF", "path.handle", `${shown} is not open`);
  throw new DmError(isForeign ? "ENXIO" : codeOf(-length), "path.handle", isForeign ? `"${shown}" is not in a managed file system` : `the handle of "${shown}" cannot be read`);
}

/** `file` relative to `directory` ("" for itself), or undefined when it is not below it. Both absolute and normal. */
export function relativeBelow(directory: string, file: string): string | undefined {
  if (file === directory) return "";
  const prefix = directory.endsWith("/") ? directory : `${directory}/`;
  return file.startsWith(prefix) ? file.slice(prefix.length) : undefined;
}

function reasonFor(code: number, shown: string): string {
  if (code === errno.ELOOP) return `"${shown}" is or goes through a symbolic link; name the file itself`;
  if (code === errno.EXDEV) return `"${shown}" leaves the managed file system`;
  if (code === errno.ENOENT) return `"${shown}" does not exist`;
  return `"${shown}" cannot be resolved`;
}
