/**
 * A user program that gets hold of a file in one of four ways, waits, and looks again when told.
 *
 * Usage: holder.js read|mmap|close FILE. It opens (maps, maps and closes) the file and looks at its first page, prints
 * "held"; at each line on its standard input it looks at all of it and prints the sha256 of what it saw, or `error CODE`.
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

function holdMapping(isClosed: boolean): () => Uint8Array {
  const fd = openSync(file, "r");
  const mapping = mapFile(fd, fstatSync(fd).size, false);
  if (typeof mapping === "number") throw new Error(`mmap: errno ${-mapping}`);
  Buffer.from(mapping.bytes.subarray(0, 4096));
  if (isClosed) closeSync(fd);
  return () => Buffer.from(mapping.bytes);
}

const look = how === "read" ? holdDescriptor() : holdMapping(how === "close");
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
