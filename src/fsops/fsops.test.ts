/**
 * The checker itself: it passes what a bare directory does, and finds what is changed behind its back.
 */
import assert from "node:assert/strict";
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import * as files from "../os/files.js";
import { FileStat } from "../os/stat.js";
import { dataTurn } from "./data.js";
import { type ObjectKind, objectKinds, planObjects, planTurn } from "./plan.js";
import { appendTurn, counterTurn, directoryTurn, slicesTurn } from "./shared.js";
import { treeTurn } from "./tree.js";
import { Turn } from "./turn.js";

const turnOf: Readonly<Record<ObjectKind, (turn: Turn) => void>> = {
  data: dataTurn, tree: treeTurn, append: appendTurn, slices: slicesTurn, counter: counterTurn, directory: directoryTurn,
};
const ACTORS = 2;

class Scene {
  readonly directory: string;
  readonly #kind: ObjectKind;
  constructor(t: TestContext, kind: ObjectKind) {
    this.#kind = kind;
    this.directory = mkdtempSync(join(tmpdir(), "sluice-fsops-test-"));
    t.after(() => rmSync(this.directory, { recursive: true, force: true }));
    mkdirSync(join(this.directory, "known", "object"), { recursive: true });
    mkdirSync(join(this.directory, "files"));
  }
  get place(): string {
    return join(this.directory, "files", "object");
  }
  /** That turn by each of these actors, one after the other. */
  give(turn: number, kind: "act" | "check", actors: readonly number[] = [0, 1], seed = 7): void {
    for (const actor of actors) {
      const order = { turn, object: "object", objectKind: this.#kind, kind, seed, operations: 30, isTogether: false, actors: ACTORS };
      turnOf[this.#kind](new Turn(order, actor, join(this.directory, "files"), join(this.directory, "known")));
    }
  }
  /** An object that has been worked on. */
  begin(): this {
    const isOwned = this.#kind === "data" || this.#kind === "tree";
    for (let turn = 0; turn < 4; turn++) this.give(turn, "act", isOwned ? [turn % ACTORS] : [0, 1], 100 + turn);
    return this;
  }
}

test("a seed gives each object the same turns again, and another seed gives others", () => {
  const turns = (seed: number) => planObjects(seed).map((object) => [0, 1, 2, 3].map((number) => planTurn(object, number, 6)));
  assert.deepEqual(turns(5), turns(5));
  assert.notDeepEqual(turns(5), turns(6));
});

for (const kind of objectKinds) {
  test(`${kind}: what a bare directory does is passed`, (t) => {
    const scene = new Scene(t, kind).begin();
    scene.give(3, "check");
  });
}

/** The name of a data file's object at present. */
function anyName(scene: Scene): string {
  return readdirSync(scene.place, { recursive: true, encoding: "utf8" }).filter((name) => statSync(join(scene.place, name)).isFile())[0]!;
}
const changes: readonly [ObjectKind, string, (scene: Scene) => void, RegExp][] = [
  ["data", "a changed byte", (scene) => {
    const path = join(scene.place, anyName(scene));
    const stat = new FileStat();
    const fd = files.openAt(files.AT_FDCWD, path, files.open.readWrite);
    files.fstat(fd, stat);
    const [byte, { mtimeNs }] = [Buffer.alloc(1), stat];
    assert.equal(files.pread(fd, byte, 0, 1, stat.size >> 1), 1);
    byte[0]! ^= 0xff;
    files.pwrite(fd, byte, 0, 1, stat.size >> 1);
    files.futimens(fd, "omit", mtimeNs);
    files.close(fd);
  }, /bytes \d+ to \d+ are/],
  ["data", "a lost end", (scene) => truncateSync(join(scene.place, anyName(scene)), 1), /size is 1/],
  ["data", "another time of change", (scene) => utimesSync(join(scene.place, anyName(scene)), 5, 5), /time of change/],
  ["data", "another mode", (scene) => chmodSync(join(scene.place, anyName(scene)), 0o604), /mode by/],
  ["tree", "a name too many", (scene) => writeFileSync(join(scene.place, "more"), ""), /lists/],
  ["tree", "another mode", (scene) => chmodSync(join(scene.place, firstOf(scene)), 0o703), /is mode/],
  ["append", "a lost append", (scene) => truncateSync(join(scene.place, "file0"), statSync(join(scene.place, "file0")).size - 1), /stands|appended/],
  ["append", "a record twice", (scene) => {
    const bytes = readFileSync(join(scene.place, "file0"));
    const [, , length] = bytes.toString("latin1", 0, 40).split(/[ \n]/).map(Number);
    appendFileSync(join(scene.place, "file0"), bytes.subarray(0, bytes.indexOf(10) + 1 + length!));
  }, /stands/],
  ["slices", "an older slice", (scene) => {
    const bytes = readFileSync(join(scene.place, "file"));
    writeFileSync(join(scene.place, "file"), bytes.fill(0, bytes.findIndex((byte) => byte !== 0), bytes.length));
  }, /is not version/],
  ["counter", "a raise that was lost", (scene) => writeFileSync(join(scene.place, "file"), "3".padStart(20).repeat(8)), /counter \d is 3/],
  ["directory", "a lost name", (scene) => rmSync(join(scene.place, readdirSync(scene.place)[0]!), { recursive: true }), /missing: \S/],
  ["directory", "a name that nobody made", (scene) => writeFileSync(join(scene.place, "nobody"), ""), /in excess: nobody/],
];
function firstOf(scene: Scene): string {
  const names = readdirSync(scene.place, { withFileTypes: true }).filter((entry) => !entry.isSymbolicLink());
  assert(names.length > 0);
  return names[0]!.name;
}
for (const [kind, what, change, said] of changes) {
  test(`${kind}: ${what} is found`, (t) => {
    const scene = new Scene(t, kind).begin();
    change(scene);
    assert.throws(() => scene.give(3, "check", [0]), said);
  });
}
