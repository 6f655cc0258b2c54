/**
 * Finding candidates: a walk of the backing directory in directory order, which raises no events, moves no access times
 * and sees what is really allocated. `.sluice` is ours and passed over; links are not followed.
 *
 * Not here  which of them are migrated (policy/).
 */
import type { Dirent } from "node:fs";
import { lstat, readdir, statfs } from "node:fs/promises";
import type { Candidate, Usage } from "../policy/water-marks.js";

const OWN_DIRECTORY = ".sluice";

/** Regular files with their path relative to the root, as bytes. What cannot be read or vanishes meanwhile is passed over. */
export async function* scanBacking(backing: string): AsyncGenerator<Candidate, void, undefined> {
  const root = Buffer.from(backing);
  const pending: Buffer[] = [Buffer.alloc(0)];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const entry of await entriesOf(join(root, directory))) {
      if (directory.length === 0 && entry.name.toString() === OWN_DIRECTORY) continue;
      const path = directory.length === 0 ? entry.name : join(directory, entry.name);
      if (entry.isDirectory()) pending.push(path);
      else if (entry.isFile()) {
        const found = await candidateAt(join(root, path), path);
        if (found !== undefined) yield found;
      }
    }
  }
}

export async function usageOf(backing: string): Promise<Usage> {
  const { blocks, bfree, bavail, bsize } = await statfs(backing);
  return { totalBytes: blocks * bsize, availableBytes: bavail * bsize, usedBytes: (blocks - bfree) * bsize };
}

async function entriesOf(directory: Buffer): Promise<Dirent<Buffer>[]> {
  try {
    return await readdir(directory, { withFileTypes: true, encoding: "buffer" });
  } catch {
    return [];
  }
}
async function candidateAt(file: Buffer, path: Buffer): Promise<Candidate | undefined> {
  try {
    const { size, blocks, atimeMs, mtimeMs } = await lstat(file);
    return { path, size, allocatedBytes: blocks * 512, atimeMs, mtimeMs };
  } catch {
    return undefined;
  }
}
function join(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : Buffer.concat([directory, Buffer.from("/"), name]);
}
