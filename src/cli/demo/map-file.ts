/**
 * A program of the demonstration: maps a file, touches every page through the mapping, prints the SHA-256 of what it saw.
 * Run on its own, since a page fault that waits for a recall stops its whole process.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync } from "node:fs";
import { mapFile } from "../../os/memory.js";

const path = process.argv[2] ?? "";
const fd = openSync(path, "r");
const { size } = fstatSync(fd);
const mapping = mapFile(fd, size, false);
if (typeof mapping === "number") {
  process.stderr.write(`mmap ${path}: errno ${-mapping}\n`);
  process.exit(1);
}
closeSync(fd);
process.stdout.write(`${createHash("sha256").update(mapping.bytes).digest("hex")}\n`);
mapping.unmap();
