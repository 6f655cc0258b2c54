/**
 * The user of the event benchmark: reads one byte COUNT times and prints each call's nanoseconds, one a line.
 *
 * Usage: user.js PATH COUNT
 */
import { openSync, readSync } from "node:fs";

const [path = "", count = "1000"] = process.argv.slice(2);
const fd = openSync(path, "r");
const byte = Buffer.alloc(1);
const lines: string[] = [];
for (let i = 0; i < Number(count); i++) {
  const begun = process.hrtime.bigint();
  if (readSync(fd, byte, 0, 1, 0) !== 1) throw new Error(`${path}: nothing to read`);
  lines.push(String(process.hrtime.bigint() - begun));
}
process.stdout.write(lines.join("\n") + "\n");
