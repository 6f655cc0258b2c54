/**
 * What the store of event logs asks of a file system, so few calls that another than the kernel can keep its files too.
 * What fails is thrown as node:fs does, with `code` and `errno`.
 *
 * Source    safety M11.
 */
import * as fs from "node:fs";
import { LockRequest, setLock } from "../../os/locks.js";

export interface LogFiles {
  /** With those above it; false when it was there. */
  makeDirectory(path: string): boolean;
  /** In no order; none where there is no directory. */
  names(directory: string): string[];
  /** "new": made now, or it fails; "write": made where it is missing; "change" and "read": it is there. */
  open(path: string, how: "read" | "change" | "write" | "new"): number;
  close(fd: number): void;
  state(fd: number): { readonly size: number; readonly links: number };
  /** Fills `into` as far as there is something; how far. */
  read(fd: number, into: Buffer, offset: number): number;
  write(fd: number, bytes: Buffer, offset: number): void;
  truncate(fd: number, size: number): void;
  /** Its bytes are on stable storage then; and, by the other, the names that were made and removed. */
  sync(fd: number): void;
  syncDirectory(path: string): void;
  /** Exclusive, until the descriptor is closed or its process has ended; false when another holds it. */
  lock(fd: number): boolean;
  unlink(path: string): void;
  /** With all that is in it; nothing to do where there is nothing. */
  remove(path: string): void;
}

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_DIRECTORY } = fs.constants;
const flagsOf = { read: O_RDONLY, change: O_RDWR, write: O_RDWR | O_CREAT, new: O_RDWR | O_CREAT | O_EXCL };
const request = new LockRequest();

/** The kernel's. */
export const systemFiles: LogFiles = {
  makeDirectory: (path) => fs.mkdirSync(path, { recursive: true, mode: 0o700 }) !== undefined,
  names(directory) {
    try {
      return fs.readdirSync(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  },
  open: (path, how) => fs.openSync(path, flagsOf[how], 0o600),
  close: (fd) => fs.closeSync(fd),
  state(fd) {
    const { size, nlink } = fs.fstatSync(fd);
    return { size, links: nlink };
  },
  read(fd, into, offset) {
    let at = 0;
    for (let length = -1; length !== 0 && at < into.length; at += length) length = fs.readSync(fd, into, at, into.length - at, offset + at);
    return at;
  },
  write(fd, bytes, offset) {
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at, bytes.length - at, offset + at);
  },
  truncate: (fd, size) => fs.ftruncateSync(fd, size),
  sync: (fd) => fs.fdatasyncSync(fd),
  syncDirectory(path) {
    const fd = fs.openSync(path, O_RDONLY | O_DIRECTORY);
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  },
  lock: (fd) => setLock(fd, request.fill("write", 0n, 0n)) >= 0,
  unlink: (path) => fs.unlinkSync(path),
  remove: (path) => fs.rmSync(path, { recursive: true, force: true }),
};
