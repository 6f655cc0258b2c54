/**
 * Golden conversations: each line of testdata/*.txt that is not indented is a command to a few nodes, the indented lines
 * below it are all that was said and done. `SLUICE_GOLDEN=write node --test` writes them anew; read the difference.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { Conversation } from "./conversation.js";

const folder = new URL("../../src/cluster/testdata/", import.meta.url);

for (const name of readdirSync(folder).filter((file) => file.endsWith(".txt"))) {
  const url = new URL(name, folder);
  const written = readFileSync(url, "utf8");
  test(`${name}: ${written.split("\n")[0]?.replace("# ", "")}`, () => {
    const conversation = new Conversation();
    const lines: string[] = [];
    for (const line of written.split("\n")) {
      if (line.startsWith(" ")) continue;
      lines.push(line);
      if (line.trim() !== "" && !line.startsWith("#")) lines.push(...conversation.run(line));
    }
    const seen = lines.join("\n");
    if (process.env["SLUICE_GOLDEN"] === "write") writeFileSync(url, seen);
    else assert.equal(seen, written);
  });
}
