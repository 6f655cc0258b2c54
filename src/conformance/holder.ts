/**
 * A user program that gets hold of a file in one of several ways, waits, and looks again when told.
 *
 * Usage: holder.js read|mmap|close|write|store FILE. It opens (maps, maps and closes) the file and looks at its first page,
 * prints "held"; at each line on its standard input it looks at all of it and prints the sha256 of what it saw, or
 * `error CODE`. "write" and "store" first put a new number into each page, by write(2) or through a mapping of the closed file.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { mapFile } from "../os/memory.js";

const [how = "", file = ""] = process.argv.slice(2);

function holdDescriptor(): () => Uint8Array {
  const fd = openSync(file, "r");
  const content = Buffer.alloc(fstatSync(fd).size);
  readSync(fd, content, 0, Math.min(4096, content.length), 0);
  return () => {
    for (let done = 0; done < content.length; ) {
      const got = readSync(fd, content, done, content.length - done, done);
      if (got === 0) throw Object.assign(new Error("short"), { code: `short ${done}` });
      done += got;
    }
    return content;
  };
}

let number = 1;
function holdForWriting(): () => Uint8Array {
  const fd = openSync(file, "r+");
  const content = Buffer.alloc(fstatSync(fd).size);
  readSync(fd, content, 0, content.length, 0);
  return () => {
    number++;
    for (let at = 0; at + 4 <= content.length; at += 4096) {
      content.writeUInt32LE(number, at);
      writeSync(fd, content, at, 4, at);
    }
    const seen = Buffer.alloc(content.length);
    readSync(fd, seen, 0, seen.length, 0);
    return seen.equals(content) ? seen : Buffer.from("what was written is not read");
  };
}

function holdStores(): () => Uint8Array {
  const fd = openSync(file, "r+");
  const mapping = mapFile(fd, fstatSync(fd).size, true);
  if (typeof mapping === "number") throw new Error(`mmap: errno ${-mapping}`);
  closeSync(fd);
  return () => {
    number++;
    for (let at = 0; at < mapping.bytes.length; at += 4096) mapping.bytes[at] = number;
    return Buffer.from(mapping.bytes);
  };
}

function holdMapping(isClosed: boolean): () => Uint8Array {
  const fd = openSync(file, "r");
  const mapping = mapFile(fd, fstatSync(fd).size, false);
  if (typeof mapping === "number") throw new Error(`mmap: errno ${-mapping}`);
  Buffer.from(mapping.bytes.subarray(0, 4096));
  if (isClosed) closeSync(fd);
  return () => Buffer.from(mapping.bytes);
}

const look = how === "read" ? holdDescriptor() : how === "write" ? holdForWriting() : how === "store" ? holdStores() : holdMapping(how === "close");
writeSync(1, "held\n");
const line = Buffer.alloc(1024);
while (readSync(0, line, 0, line.length, null) > 0) {
  let answer: string;
  try {
    answer = createHash("sha256").update(look()).digest("hex");
  } catch (error) {
    answer = `error ${(error as NodeJS.ErrnoException).code ?? String(error)}`;
  }
  writeSync(1, `${answer}\n`);
}
