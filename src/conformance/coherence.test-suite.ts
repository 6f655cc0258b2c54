/**
 * T0: one file used by all nodes at once. Disjoint writes all arrive, no append is lost, what one node has written and
 * closed the others see at their next call.
 *
 * Source    requirements, T0; safety H7, H9.
 */
import assert from "node:assert/strict";
import { acceptance, type Bench, isLong } from "./bench.js";
import { within } from "./waiting.js";

/** Registers the tests of one mode, on a cluster of three nodes in that mode. */
export function testCoherence(mode: "fast" | "exact", bench: () => Bench): void {
  const rounds = isLong ? 2_000 : 60;

  acceptance(`T0 (${mode}) disjoint ranges written by all nodes at once are all there`, async () => {
    await bench().shell(`truncate -s ${3 * rounds * 1_000} "$1"`, bench().path("A", "fs1", "ranges"));
    const writers = bench().letters.map((letter, at) => bench().program("/bin/sh", ["-ec",
      `for i in $(seq 0 ${rounds - 1}); do printf '%1000s' '${letter}' | dd of="$1" bs=1000 seek=$((i * 3 + ${at})) conv=notrunc status=none; done`, "sh", bench().path(letter, "fs1", "ranges")]));
    for (const writer of writers) assert.equal((await within(writer.end, "a writer", 120_000)).code, 0);
    const expected = bench().letters.map((letter) => letter.padStart(1_000)).join("").repeat(rounds);
    for (const letter of bench().letters) assert.equal((await bench().run("cat", [bench().path(letter, "fs1", "ranges")])).toString(), expected, `as read on ${letter}`);
  }, 120_000);

  acceptance(`T0 (${mode}) no append is lost`, async () => {
    const writers = bench().letters.map((letter) => bench().program("/bin/sh", ["-ec",
      `for i in $(seq 1 ${rounds}); do echo "${letter} $i" >> "$1"; done`, "sh", bench().path(letter, "fs1", "appended")]));
    for (const writer of writers) assert.equal((await within(writer.end, "a writer", 120_000)).code, 0);
    const expected = bench().letters.flatMap((letter) => Array.from({ length: rounds }, (_, at) => `${letter} ${at + 1}`));
    for (const letter of bench().letters) {
      const lines = (await bench().run("cat", [bench().path(letter, "fs1", "appended")])).toString().trimEnd().split("\n");
      assert.deepEqual([...lines].sort(), [...expected].sort(), `as read on ${letter}`);
      for (const writer of bench().letters) {
        const own = lines.filter((line) => line.startsWith(writer)).map((line) => Number(line.slice(2)));
        assert.deepEqual(own, [...own].sort((a, b) => a - b), "each writer's lines in its order");
      }
    }
  }, 120_000);

  acceptance(`T0 (${mode}) new data, names and sizes are seen at the next call on every node`, async () => {
    for (let round = 0; round < (isLong ? 300 : 15); round++) {
      const [writer, ...readers] = [...bench().letters.slice(round % 3), ...bench().letters.slice(0, round % 3)];
      // Same size and, within a tick, the same mtime: what a cache judged by mtime alone would miss.
      const text = `round ${String(round).padStart(6, "0")}`;
      await bench().shell('printf "%s" "$2" > "$1"', bench().path(writer!, "fs1", "fresh"), text);
      for (const reader of readers) assert.equal((await bench().run("cat", [bench().path(reader, "fs1", "fresh")])).toString(), text, `${reader} reads what ${writer} wrote`);
      await bench().shell('mv "$1" "$1.$2"', bench().path(readers[0]!, "fs1", "fresh"), String(round));
      const gone = bench().program("cat", [bench().path(writer!, "fs1", "fresh")]);
      assert.notEqual((await within(gone.end, "the old name")).code, 0, "the old name is gone everywhere");
      assert.equal((await bench().run("cat", [bench().path(readers[1]!, "fs1", `fresh.${round}`)])).toString(), text);
    }
  }, 120_000);

  acceptance(`T0 (${mode}) new data is seen also when an application puts the time back`, async () => {
    const path = (letter: "A" | "B") => bench().path(letter, "fs1", "put-back");
    await bench().shell('printf old > "$1"; touch -d @1600000000 "$1"', path("A"));
    const script = `const fs = require("node:fs"); const fd = fs.openSync(process.argv[1], "r"); const page = Buffer.alloc(3);
      require("node:readline").createInterface(process.stdin).on("line", () => { fs.readSync(fd, page, 0, 3, 0); console.log(page.toString()); });`;
    const reader = bench().conversation(process.execPath, ["-e", script, path("B")]);
    assert.equal(await within(reader.ask("read"), "a first read"), "old");
    await bench().shell('printf new | dd of="$1" conv=notrunc status=none', path("A"));
    const session = await bench().session("C", "puts times back");
    await bench().call("C", "fileattr.set", { session: session.id, handle: bench().handle("A", "fs1", "put-back"), mtimeNs: 1_600_000_000n * 1_000_000_000n });
    assert.equal(await within(reader.ask("read"), "a second read"), "new");
    assert.equal((await bench().shell('stat -c %Y "$1"', path("B"))).toString(), "1600000000\n");
    reader.child.kill("SIGKILL");
    await session.end();
  });
}
