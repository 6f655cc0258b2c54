/**
 * Golden conversations: in a text file each line that is not indented is a command, the indented ones below it are all
 * that was said and done because of it. `SLUICE_GOLDEN=write node --test` writes them anew; read the difference.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

/** One test for each text file of a folder below src/cluster/; `begin` gives what runs its lines. */
export function goldenConversations(folderName: string, begin: () => { run(line: string): string[] }): void {
  const folder = new URL(`../../src/cluster/${folderName}/`, import.meta.url);
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".txt"))) {
    const url = new URL(name, folder);
    const written = readFileSync(url, "utf8");
    test(`${name}: ${written.split("\n")[0]?.replace("# ", "")}`, () => {
      const conversation = begin();
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
}
