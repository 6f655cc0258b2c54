/**
 * The tables of cases as tests: each case on the bare file system, then on one node, then on two, with nothing different
 * but what docs/posix.md says.
 *
 * The short form plays the cases on two nodes only, and of the combinations of kinds some.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { acceptance, type Bench, isLong } from "../bench.js";
import { tables } from "./cases.js";
import { differences, reasonsOf, wrongCase } from "./judge.js";
import { type Place, Stage } from "./stage.js";

const isCombination = (title: string) => / over | exchanged /.test(title);
const top = new URL("../../../", import.meta.url).pathname;

/** Registers the tests on a cluster of two nodes. */
export function testPosix(bench: () => Bench): void {
  const stage = new Stage();
  after(() => stage.close());
  const made = () => places(bench());

  acceptance("the numbers of inodes, the time of birth and every attribute are the backing's own", async () => {
    const { under, nodes } = made().two;
    assert.equal((await bench().shell('cd "$1"; echo x > f; ln f g; mkdir d; mkfifo p; stat -c "%n %i %W %X %Y %Z %h %b %s" *', under)).toString(),
      (await bench().shell('cd "$1"; stat -c "%n %i %W %X %Y %Z %h %b %s" *', nodes.b)).toString());
  });

  acceptance("every documented difference is in a case, and every one of a case documented", async () => {
    const headings = [...readFileSync(join(top, "docs/posix.md"), "utf8").matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name!);
    assert.deepEqual([...reasonsOf(Object.values(tables).flat())].sort(), headings.sort());
  });

  for (const [name, cases] of Object.entries(tables)) {
    const chosen = isLong ? cases : cases.filter(({ title }, at) => !isCombination(title) || at % 5 === 0);
    for (const each of chosen) {
      acceptance(`${name}: ${each.title}`, async () => {
        const { bare, one, two } = made();
        const onBare = await stage.play(each, bare);
        assert.deepEqual(wrongCase(onBare), [], "the bare file system does what the case says");
        if (isLong) assert.deepEqual(differences(onBare, await stage.play(each, one), false), [], "on one node");
        assert.deepEqual(differences(onBare, await stage.play(each, two), true), [], "on two nodes");
      });
    }
  }
  testRemoval(bench);
}
const placesOf = new WeakMap<Bench, Places>();
type Places = Record<"bare" | "one" | "two", Place>;
function places(bench: Bench): Places {
  const known = placesOf.get(bench) ?? makePlaces(bench);
  placesOf.set(bench, known);
  return known;
}


/** Whatever the cases left behind, paths beyond the longest among it. */
function testRemoval(bench: () => Bench): void {
  acceptance("rm -rf takes all of it away, through the mount too", async () => {
    const { bare, two } = places(bench());
    if (isLong) await bench().shell('rm -rf "$1"/*/d', two.under); // so many names take their time
    await bench().run("rm", ["-rf", bare.under, two.nodes.a]);
    await bench().shell('! test -e "$1"', two.nodes.b);
  }, 120_000);
}

function makePlaces(bench: Bench): Places {
  const bare = join(bench.directory, "bare");
  mkdirSync(bare, { mode: 0o755 });
  const under = bench.backing("fs1", "posix");
  mkdirSync(under, { mode: 0o755 });
  const [a, b] = [bench.path("A", "fs1", "posix"), bench.path("B", "fs1", "posix")];
  return {
    bare: { name: "the bare file system", under: bare, nodes: { a: bare, b: bare }, mounts: [] },
    one: { name: "one node", under, nodes: { a, b: a }, mounts: [a] },
    two: { name: "two nodes", under, nodes: { a, b }, mounts: [a, b] },
  };
}
