/**
 * What users have open on the mount: files and directories by the number the kernel gives back to us.
 */
import type { OpenMode } from "../../cluster/admission/open-modes.js";
import type { ListedEntry } from "./backing-calls.js";
import type { Inode } from "./inode-table.js";

export interface OpenFile {
  readonly fh: number;
  readonly inode: Inode;
  readonly flags: number;
  readonly isWritable: boolean;
  readonly mode: OpenMode;
}
export interface OpenDirectory {
  readonly fh: number;
  readonly inode: Inode;
  readonly fd: number;
  /** Entries read ahead, and the cookie after the last one handed out. */
  entries: readonly ListedEntry[];
  next: number;
  position: bigint;
  isPlus: boolean;
}

export class OpenFiles {
  readonly #files = new Map<number, OpenFile>();
  readonly #directories = new Map<number, OpenDirectory>();
  #next = 1;

  add(inode: Inode, flags: number, mode: OpenMode): OpenFile {
    const isWritable = (flags & 3) !== 0;
    const file: OpenFile = { fh: this.#next++, inode, flags, isWritable, mode };
    this.#files.set(file.fh, file);
    inode.opens++;
    if (isWritable) inode.writableOpens++;
    if (mode === "cached") inode.cachedOpens++;
    return file;
  }
  remove(fh: number): OpenFile | undefined {
    const file = this.#files.get(fh);
    if (file === undefined) return undefined;
    this.#files.delete(fh);
    file.inode.opens--;
    if (file.isWritable) file.inode.writableOpens--;
    if (file.mode === "cached") file.inode.cachedOpens--;
    return file;
  }
  get(fh: number): OpenFile | undefined {
    return this.#files.get(fh);
  }
  addDirectory(inode: Inode, fd: number): OpenDirectory {
    const directory: OpenDirectory = { fh: this.#next++, inode, fd, entries: [], next: 0, position: 0n, isPlus: false };
    this.#directories.set(directory.fh, directory);
    return directory;
  }
  directory(fh: number): OpenDirectory | undefined {
    return this.#directories.get(fh);
  }
  removeDirectory(fh: number): OpenDirectory | undefined {
    const directory = this.#directories.get(fh);
    this.#directories.delete(fh);
    return directory;
  }
  directoryDescriptors(): number[] {
    return [...this.#directories.values()].map((directory) => directory.fd);
  }
  get counts(): { files: number; directories: number } {
    return { files: this.#files.size, directories: this.#directories.size };
  }
}
