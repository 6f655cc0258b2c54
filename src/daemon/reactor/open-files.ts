/**
 * What users have open on the mount: files and directories by the number the kernel gives back to us. Each is written down
 * for the next daemon before the kernel hears of it (safety H11).
 */
import type { OpenMode } from "../../cluster/admission/open-modes.js";
import { open as openFlags } from "../../os/files.js";
import type { ListedEntry } from "./backing-calls.js";
import type { Inode } from "./inode-table.js";

const { append } = openFlags;

export interface OpenFile {
  readonly fh: number;
  readonly inode: Inode;
  readonly flags: number;
  readonly isWritable: boolean;
  readonly mode: OpenMode;
  /** In the mount's memory; -1: none. */
  readonly place: number;
  /** What the kernel has of it need not be dropped when this open is answered. */
  keepsPages: boolean;
}
export interface OpenDirectory {
  readonly fh: number;
  readonly inode: Inode;
  /** Of one that was opened before this daemon began, and cannot be opened again: the negative errno. */
  readonly fd: number;
  readonly place: number;
  /** Entries read ahead, and the cookie after the last one handed out. */
  entries: readonly ListedEntry[];
  next: number;
  position: bigint;
  isPlus: boolean;
}

function isDirectAppend({ mode, flags, isWritable }: OpenFile): boolean {
  return mode === "direct" && isWritable && (flags & append) !== 0;
}

/** Where it is written down. */
export interface OpenMemory {
  nextFh: number;
  addOpen(open: { readonly fh: number; readonly nodeid: number; readonly isDirectory: boolean; readonly flags: number; readonly mode: number }): number;
  dropOpen(place: number): void;
}
/** The number of a mode in the mount's memory is its place here. */
const modes: readonly OpenMode[] = ["direct", "cached", "passthrough"];

export class OpenFiles {
  readonly #memory: OpenMemory | undefined;
  readonly #files = new Map<number, OpenFile>();
  readonly #directories = new Map<number, OpenDirectory>();
  #next = 1;

  constructor(memory?: OpenMemory) {
    this.#memory = memory;
  }

  /** What the next open is called. */
  get next(): number {
    return this.#next;
  }
  #take(): number {
    const fh = this.#next++;
    if (this.#memory !== undefined) this.#memory.nextFh = this.#next;
    return fh;
  }
  add(inode: Inode, flags: number, mode: OpenMode): OpenFile {
    const fh = this.#take();
    const place = this.#memory?.addOpen({ fh, nodeid: inode.nodeid, isDirectory: false, flags, mode: modes.indexOf(mode) }) ?? -1;
    return this.#added({ fh, inode, flags, isWritable: (flags & 3) !== 0, mode, place, keepsPages: false });
  }
  /** One that an earlier daemon opened. */
  restore(known: { readonly fh: number; readonly flags: number; readonly mode: number; readonly place: number }, inode: Inode): OpenFile {
    const { fh, flags, place } = known;
    return this.#added({ fh, inode, flags, isWritable: (flags & 3) !== 0, mode: modes[known.mode] ?? "direct", place, keepsPages: false });
  }
  restoreDirectory(known: { readonly fh: number; readonly place: number }, inode: Inode, fd: number): void {
    this.#directories.set(known.fh, { fh: known.fh, inode, fd, place: known.place, entries: [], next: 0, position: 0n, isPlus: false });
  }
  continueFrom(next: number): void {
    this.#next = Math.max(this.#next, next);
  }
  #added(file: OpenFile): OpenFile {
    const { inode } = file;
    this.#files.set(file.fh, file);
    inode.opens++;
    if (file.isWritable) inode.writableOpens++;
    if (file.mode === "cached") inode.cachedOpens++;
    if (isDirectAppend(file)) inode.directAppends++;
    return file;
  }
  remove(fh: number): OpenFile | undefined {
    const file = this.#files.get(fh);
    if (file === undefined) return undefined;
    this.#files.delete(fh);
    if (file.place >= 0) this.#memory?.dropOpen(file.place);
    file.inode.opens--;
    if (file.isWritable) file.inode.writableOpens--;
    if (file.mode === "cached") file.inode.cachedOpens--;
    if (isDirectAppend(file)) file.inode.directAppends--;
    return file;
  }
  get(fh: number): OpenFile | undefined {
    return this.#files.get(fh);
  }
  addDirectory(inode: Inode, fd: number): OpenDirectory {
    const fh = this.#take();
    const place = this.#memory?.addOpen({ fh, nodeid: inode.nodeid, isDirectory: true, flags: 0, mode: 0 }) ?? -1;
    const directory: OpenDirectory = { fh, inode, fd, place, entries: [], next: 0, position: 0n, isPlus: false };
    this.#directories.set(directory.fh, directory);
    return directory;
  }
  directory(fh: number): OpenDirectory | undefined {
    return this.#directories.get(fh);
  }
  removeDirectory(fh: number): OpenDirectory | undefined {
    const directory = this.#directories.get(fh);
    this.#directories.delete(fh);
    if (directory !== undefined && directory.place >= 0) this.#memory?.dropOpen(directory.place);
    return directory;
  }
  directoryDescriptors(): number[] {
    return [...this.#directories.values()].map((directory) => directory.fd);
  }
  get counts(): { files: number; directories: number } {
    return { files: this.#files.size, directories: this.#directories.size };
  }
}
