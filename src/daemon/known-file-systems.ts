/**
 * Which file system each name stands for in this cluster, in the coordination directory: the id in its `.sluice/fs.json`, noted
 * by the first node that attaches it. A node whose backing is not mounted finds the directory beneath instead, which is
 * none or another, and refuses to serve it: what was migrated would seem to be gone, and a second file system be made.
 *
 * Source    safety H4, H11.
 */
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { FsName } from "../dmapi/ids.js";

const DIRECTORY = "file-systems";

/** Undefined: nobody has attached it yet. @throws Error when the note cannot be read or is damaged. */
export function knownFsid(directory: string, fs: FsName): string | undefined {
  const path = join(directory, DIRECTORY, fs);
  let text: string;
  try {
    text = readFileSync(path, "latin1").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  if (!/^[0-9a-f]{16}$/.test(text)) throw new Error(`${path} is damaged: it has to have the fsid of .sluice/fs.json in the backing of ${fs}`);
  return text;
}

/** @throws Error when another was noted, by who was faster. */
export function rememberFsid(directory: string, fs: FsName, fsid: string): void {
  const place = join(directory, DIRECTORY);
  if (knownFsid(directory, fs) === undefined) {
    mkdirSync(place, { recursive: true, mode: 0o700 });
    const aside = join(place, `.${fs}.${randomBytes(8).toString("hex")}`);
    const fd = openSync(aside, "wx", 0o600);
    try {
      writeSync(fd, `${fsid}\n`);
      fsyncSync(fd);
      linkSync(aside, join(place, fs));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      closeSync(fd);
      unlinkSync(aside);
    }
  }
  const known = knownFsid(directory, fs);
  if (known !== fsid) throw new Error(`it is file system ${fsid}, and ${fs} of this cluster is file system ${known}; where another is meant to take its name, remove ${join(place, fs)}`);
}
