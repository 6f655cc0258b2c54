/**
 * The tree of files the demonstration works on: small and large, hard links, odd names, an executable.
 *
 * Units     bytes.
 */
import { randomFillSync } from "node:crypto";
import { chmodSync, copyFileSync, linkSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const KIB = 1024;
const MIB = 1024 * KIB;
const block = Buffer.alloc(4 * MIB);

export interface Tree {
  readonly files: number;
  readonly bytes: number;
  /** Below the tree; each a large file for one scene. */
  readonly large: readonly string[];
  readonly executable: string;
}

/** Writes the originals, which stay outside the managed file systems for comparison. */
export function makeTree(directory: string): Tree {
  let files = 0;
  let bytes = 0;
  const write = (name: string | Buffer, size: number) => {
    const path = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name)]);
    writeFileSync(path, content(size));
    files++;
    bytes += size;
  };
  for (const sub of ["", "small", "medium", "large", "odd", "links", "bin"]) mkdirSync(join(directory, sub), { recursive: true });
  for (let number = 0; number < 200; number++) write(`small/file-${number}`, (number * 331) % (64 * KIB));
  for (let number = 0; number < 24; number++) write(`medium/file-${number}`, MIB + number * 77);
  const large = ["large/one", "large/two", "large/three", "large/four", "large/five"];
  for (const [index, name] of large.entries()) write(name, 40 * MIB + index * 4_097);
  write("odd/with\nnewline", 70 * KIB);
  write("odd/ blanks around ", 5 * KIB);
  write("odd/'quotes\" and \\ backslash", 9 * KIB);
  write(Buffer.concat([Buffer.from("odd/not-utf8-"), Buffer.from([0xff, 0xfe, 0xe4])]), 33 * KIB);
  write("odd/-rf", 3 * KIB);
  write("odd/empty", 0);
  write("links/first", 2 * MIB);
  linkSync(join(directory, "links/first"), join(directory, "links/second"));
  linkSync(join(directory, "links/first"), join(directory, "small/third"));
  symlinkSync("first", join(directory, "links/symbolic"));
  copyFileSync("/bin/cat", join(directory, "bin/tool"));
  chmodSync(join(directory, "bin/tool"), 0o755);
  files++;
  // Times of long ago, so that one that moved is noticed.
  for (const name of [...large, "links/first", "bin/tool"]) utimesSync(join(directory, name), 1_500_000_000, 1_400_000_000);
  return { files, bytes, large, executable: "bin/tool" };
}

function content(size: number): Buffer {
  const data = Buffer.alloc(size);
  randomFillSync(block.subarray(0, Math.min(size, block.length)));
  for (let at = 0; at < size; at += block.length) {
    block.copy(data, at, 0, Math.min(block.length, size - at));
    if (size > at + 8) data.writeUIntBE(at + 1, at, 6); // no two pieces alike
  }
  return data;
}
