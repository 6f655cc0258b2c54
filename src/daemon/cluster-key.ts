/**
 * The cluster's key: 32 random bytes in the coordination directory, made by the first node that needs it. It seals
 * handles (safety H6) and proves nodes to each other.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, linkSync, lstatSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";

const NAME = "cluster.key";
const LENGTH = 32;

/** Complete or absent at every moment: written aside, synced, then linked; who links first, wins. @throws when it is damaged or not private. */
export function readOrMakeClusterKey(directory: string): Buffer {
  const path = join(directory, NAME);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) make(directory, path);
  const found = lstatSync(path);
  if (!found.isFile() || (found.mode & 0o077) !== 0 || found.uid !== (process.getuid?.() ?? 0)) {
    throw new Error(`coordination.directory: ${path} has to be a file of mode 0600 of this user; it is ${(found.mode & 0o7777).toString(8)} of ${found.uid}`);
  }
  const key = readFileSync(path);
  if (key.length !== LENGTH) throw new Error(`coordination.directory: ${path} has ${key.length} bytes and has to have ${LENGTH}; restore it from another copy`);
  return key;
}

function make(directory: string, path: string): void {
  const aside = join(directory, `${NAME}.${randomBytes(8).toString("hex")}`);
  const fd = openSync(aside, "wx", 0o600);
  try {
    writeSync(fd, randomBytes(LENGTH));
    fsyncSync(fd);
    linkSync(aside, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    closeSync(fd);
    unlinkSync(aside);
  }
  const directoryFd = openSync(directory, "r");
  try {
    fsyncSync(directoryFd);
  } finally {
    closeSync(directoryFd);
  }
}
