/**
 * A user program that appends records to a file which others append to, and looks for each of its own in what it then reads.
 *
 * Usage: appender.js HOW NAME FILE. It prints "ready"; at a line `append COUNT` it does so and prints "ok", or what is wrong.
 *   fresh   appends through one descriptor, and opens the file to read for each record
 *   held    appends through one descriptor, and reads through another that it opened then
 *   anew    opens the file for each record, and again to read it
 *   beside  has read and mapped the file before it began to append: looks at what its kernel takes for the file's size, and reads the
 *           record in the mapping
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import * as files from "../os/files.js";
import { mapFile } from "../os/memory.js";
import { FileStat } from "../os/stat.js";

const AT_STATX_DONT_SYNC = 0x4000;
const MAPPED = 1 << 20;
const [how = "", name = "", file = ""] = process.argv.slice(2);
const isAnew = how === "anew";
const buffer = Buffer.alloc(1 << 20);

let mapped: Uint8Array = Buffer.alloc(0);
if (how === "beside") {
  const before = openSync(file, "r");
  readSync(before, buffer, 0, buffer.length, 0);
  const mapping = mapFile(before, MAPPED, false);
  if (typeof mapping === "number") throw new Error(`mmap: errno ${-mapping}`);
  mapped = mapping.bytes;
}
let appender = isAnew ? -1 : openSync(file, "a");
const held = how === "held" || how === "beside" ? openSync(file, "r") : -1;

/** All there is behind `from`. */
function readFrom(from: number): Buffer {
  const fd = held >= 0 ? held : openSync(file, "r");
  let length = 0;
  for (let got = -1; got !== 0; length += got) got = readSync(fd, buffer, length, buffer.length - length, from + length);
  if (held < 0) closeSync(fd);
  return buffer.subarray(0, length);
}

let from = 0;
function append(number: number): string | undefined {
  const record = `${name} ${number} ${"x".repeat((number * 37) % 200)}\n`;
  if (isAnew) appender = openSync(file, "a");
  writeSync(appender, record);
  const known = new FileStat(); // without a question to the file system
  if (files.statAt(appender, "", files.AT_EMPTY_PATH | AT_STATX_DONT_SYNC, known) < 0) return "statx failed";
  if (isAnew) closeSync(appender);
  const seen = readFrom(from);
  const zero = seen.indexOf(0);
  if (zero >= 0) return `record ${number}: what was read from ${from} has zeros at ${from + zero}`;
  const at = seen.indexOf(record);
  if (at < 0) return `record ${number} is not in the ${seen.length} bytes from ${from}, of which the kernel knew ${known.size}`;
  from += at;
  if (how !== "beside") return undefined;
  if (known.size < from + record.length) return `record ${number} ends at ${from + record.length}, and the kernel took ${known.size} for the end`;
  if (Buffer.from(mapped.subarray(from, from + record.length)).toString("latin1") !== record) return `record ${number} is not in the mapping`;
  return undefined;
}

writeSync(1, "ready\n");
let next = 0;
const line = Buffer.alloc(1024);
for (let got = readSync(0, line); got > 0; got = readSync(0, line)) {
  const count = Number(line.toString("latin1", 0, got).split(" ")[1]);
  let wrong: string | undefined;
  for (const end = next + count; next < end && wrong === undefined; next++) wrong = append(next);
  writeSync(1, `${wrong ?? "ok"}\n`);
}
