/**
 * The tables of cases as tests: each case on the bare file system, then on one node, then on two, with nothing different
 * but what docs/posix.md says.
 *
 * On two nodes they are played twice: once the tree is looked at on both after each step, once only at the end, since a look
 * refreshes what the kernel keeps. The short form has that alone, and of the combinations of kinds some.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { promisify } from "node:util";
import { acceptance, isLong } from "../bench.js";
import { tables } from "./cases.js";
import { differences, reasonsOf, wrongCase } from "./judge.js";
import { type Place, Stage } from "./stage.js";

const isCombination = (title: string) => / over | exchanged /.test(title);
const top = new URL("../../../", import.meta.url).pathname;
const run = promisify(execFile);

/** A file system with two mounts. */
export interface Ground {
  /** A directory of the same file system that no mount shows, or none looks at. */
  readonly bare: string;
  readonly backing: string;
  readonly a: string;
  readonly b: string;
}

/** Registers the tests. `hasLarge`: with directories of very many names, where those are not the same for all. `optional`: differences that these mounts have for some files only. */
export function testPosix(ground: () => Ground, { hasLarge = false, optional = [] as readonly string[] } = {}): void {
  const stage = new Stage();
  after(() => stage.close());
  let made: Places | undefined;
  const places = () => (made ??= makePlaces(ground()));

  acceptance("the numbers of inodes, the time of birth and every attribute are the backing's own", async () => {
    const { under, nodes } = places().two;
    const script = 'cd "$1"; echo x > f; ln -f f g; mkdir -p d; test -e p || mkfifo p; stat -c "%n %i %W %X %Y %Z %h %b %s" *';
    const [below, above] = [await run("sh", ["-ec", script, "sh", under]), await run("sh", ["-ec", script.replace(/echo.*mkfifo p; /, ""), "sh", nodes.b])];
    assert.equal(above.stdout, below.stdout);
  });

  acceptance("every documented difference is in a case, and every one of a case documented", async () => {
    const headings = [...readFileSync(join(top, "docs/posix.md"), "utf8").matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name!);
    assert.deepEqual([...reasonsOf(Object.values(tables).flat())].sort(), headings.sort());
  });

  for (const [name, cases] of Object.entries(tables)) {
    const chosen = cases.filter(({ title, look }, at) => (look === "large" ? hasLarge : isLong || !isCombination(title) || at % 5 === 0));
    for (const each of chosen) {
      acceptance(`${name}: ${each.title}`, async () => {
        const { bare, one, two, unseen } = places();
        const onBare = await stage.play(each, bare);
        assert.deepEqual(wrongCase(onBare), [], "the bare file system does what the case says");
        if (isLong && each.look !== "large") {
          assert.deepEqual(differences(onBare, await stage.play(each, one), "one", optional), [], "on one node");
          assert.deepEqual(differences(onBare, await stage.play(each, two), "two", optional), [], "on two nodes, looked at after each step");
        }
        assert.deepEqual(differences(onBare, await stage.play(each, unseen), "unseen", optional), [], "on two nodes");
      }, each.look === "large" ? 120_000 : 60_000);
    }
  }

  acceptance("rm -rf takes away whatever the cases left behind, paths beyond the longest among it", async () => {
    const { bare, two } = places();
    if (isLong) await run("sh", ["-ec", 'rm -rf "$1"/*/d', "sh", two.under]); // so many names take their time
    await run("rm", ["-rf", bare.under, two.nodes.a]);
    await run("sh", ["-ec", '! test -e "$1"', "sh", two.nodes.b]);
  }, 120_000);
}

type Places = Readonly<Record<"bare" | "one" | "two" | "unseen", Place>>;
function makePlaces({ bare, backing, a, b }: Ground): Places {
  mkdirSync(bare, { mode: 0o755 });
  const under = join(backing, "posix");
  mkdirSync(under, { mode: 0o755 });
  const [onA, onB] = [join(a, "posix"), join(b, "posix")];
  return {
    bare: { name: "the bare file system", under: bare, nodes: { a: bare, b: bare }, mounts: [], looksOften: true },
    one: { name: "one node", under, nodes: { a: onA, b: onA }, mounts: [onA], looksOften: true },
    two: { name: "two nodes", under, nodes: { a: onA, b: onB }, mounts: [onA, onB], looksOften: true },
    unseen: { name: "two nodes, unseen", under, nodes: { a: onA, b: onB }, mounts: [onA, onB], looksOften: false },
  };
}
/** Of a cluster of the acceptance tests. */
export function groundOf(bench: { readonly directory: string; backing(fs: string): string; path(letter: "A" | "B", fs: string): string }): Ground {
  return { bare: join(bench.directory, "bare"), backing: bench.backing("fs1"), a: bench.path("A", "fs1"), b: bench.path("B", "fs1") };
}
