/** The steps of safety C3: cut short anywhere, refused anywhere, disturbed by a writer anywhere; the file is right always. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isCopyCurrent, noteOf, reportOf } from "../states.js";
import { type MigrateOptions, migrateStepNames, migrateSteps } from "./migrate-steps.js";
import { ModelFile } from "./model-file.test-suite.js";
import { recallStepNames, recallSteps } from "./recall-steps.js";
import { type Move, MoveFailure, type MoveOutcome } from "./steps.js";

const TRUE = "true bytes";
let objects = 0;
function migrating(verb: MigrateOptions["verb"] = "migrate"): Move<MoveOutcome> {
  return migrateSteps({ verb, newObject: `o${++objects}`, store: "S", nowMs: 5, eventsWanted: 1 << 20, fsEventList: 0 });
}
const recalling = (isEmptied = false) => recallSteps({ store: "S", isEmptied });

function migrated(): ModelFile {
  const file = new ModelFile(TRUE);
  file.run(migrating());
  return file;
}
function requestsOf(file: ModelFile, move: Move<unknown>): number {
  const before = file.trace.length;
  file.run(move);
  return file.trace.length - before;
}

test("migrating goes through its steps in order, frees the data and keeps what users see", () => {
  const file = migrated();
  assert.deepEqual([...new Set(file.trace)], [...migrateStepNames]);
  assert.equal(file.backing, "..........");
  assert.equal(file.seen, TRUE);
  assert.equal(noteOf(file.record)?.isPunched, true);
  assert.equal(file.intents.size, 0);
  assert.ok(!file.holdsGuard && !file.holdsRight);
});

test("recalling goes through its steps in order and restores bytes and times", () => {
  const file = migrated();
  file.trace.length = 0;
  assert.deepEqual(file.run(recalling()), { kind: "done", state: "resident", bytes: TRUE.length });
  assert.deepEqual([...new Set(file.trace)], [...recallStepNames]);
  assert.equal(file.backing, TRUE);
  assert.equal(file.mtimeNs, 100n);
  assert.equal(file.record?.regions.length, 0);
  assert.equal(file.record?.virtual, undefined);
  assert.equal(file.ledger.size, 1);
  assert.deepEqual(file.run(recalling()), { kind: "already", state: "resident", bytes: 0 });
});

test("killed before any request of a migration: the file is right, and starting again finishes", () => {
  const total = requestsOf(new ModelFile(TRUE), migrating());
  for (let stop = 0; stop < total; stop++) {
    const file = new ModelFile(TRUE);
    assert.equal(file.run(migrating(), stop), "stopped");
    file.crash();
    assert.equal(file.seen, TRUE, `killed before request ${stop}`);
    const again = file.run(migrating());
    assert.ok(again !== "stopped" && again.state === "migrated");
    assert.equal(file.backing, "..........", `killed before request ${stop}`);
    assert.equal(file.seen, TRUE);
    file.run(recalling());
    assert.equal(file.backing, TRUE);
  }
});

test("killed before any request of a recall: no zeros, and the next recall brings the bytes", () => {
  const total = requestsOf(migrated(), recalling());
  for (let stop = 0; stop < total; stop++) {
    const file = migrated();
    file.crash();
    assert.equal(file.run(recalling(), stop), "stopped");
    file.crash();
    assert.equal(file.seen, TRUE, `killed before request ${stop}`);
    file.run(recalling());
    assert.equal(file.backing, TRUE);
    assert.equal(file.mtimeNs, 100n);
    assert.equal(file.ledger.size, 1, `killed before request ${stop}: the object would be forgotten`);
  }
});

test("any one request refused: the move fails or ends, nothing is held, no byte is lost, no new copy is discarded", () => {
  for (const [name, make, move] of [
    ["migrate", () => new ModelFile(TRUE), () => migrating()], ["recall", migrated, () => recalling()],
    ["premigrate", () => new ModelFile(TRUE), () => migrating("premigrate")],
  ] as const) {
    const total = requestsOf(make(), move());
    for (let refused = 0; refused < total; refused++) {
      const file = make();
      file.crash();
      file.refuseAt = refused;
      try {
        file.run(move());
      } catch (error) {
        assert.ok(error instanceof MoveFailure);
      }
      assert.equal(file.seen, TRUE, `${name}: request ${refused} refused`);
      const object = noteOf(file.record)?.object;
      const isKept = object === undefined || !file.ledger.has(object) || name === "recall"; // sweeping keeps what a record names
      assert.ok(isKept, `${name}: request ${refused} refused`);
      file.crash();
      file.run(recalling());
      assert.equal(file.backing, TRUE);
    }
  }
});

test("a writer between any two steps: his bytes win, as long as no region stands in his way", () => {
  const total = requestsOf(new ModelFile(TRUE), migrating());
  for (let at = 0; at < total; at++) {
    const file = new ModelFile(TRUE);
    let count = 0;
    let wrote = false;
    try {
      file.run(migrating(), undefined, () => {
        if (count++ !== at || file.record !== null || file.holdsGuard) return;
        file.write("new bytes!");
        wrote = true;
      });
    } catch (error) {
      assert.ok(error instanceof MoveFailure);
      assert.equal(error.code, "ECANCELED");
    }
    assert.equal(file.seen, wrote ? "new bytes!" : TRUE, `written before request ${at}`);
    assert.equal(file.run(recalling()) === "stopped", false);
    assert.equal(file.backing, wrote ? "new bytes!" : TRUE);
  }
});

test("a premigrated file keeps its data; released it is migrated; changed it is dirty and refused", () => {
  const file = new ModelFile(TRUE);
  file.run(migrating("premigrate"));
  assert.equal(file.backing, TRUE);
  const looked = () => ({ record: file.record, mark: file.mark, attributes: { type: "file" as const, dev: 1n, ino: 1n, mode: 0, nlink: 1, uid: 0, gid: 0, rdev: 0n, size: file.backing.length, blocks: 8, blockSize: 4096, atimeNs: 0n, mtimeNs: file.mtimeNs, ctimeNs: 0n } });
  assert.ok(isCopyCurrent(looked()));
  assert.equal(reportOf(looked()).state, "premigrated");
  file.write("new bytes!");
  assert.deepEqual([reportOf(looked()).state, reportOf(looked()).flags], ["resident", ["dirty"]]);
  assert.throws(() => file.run(migrating("release")), { code: "EBUSY" });
  const first = noteOf(file.record)?.object;
  file.run(migrating("premigrate"));
  assert.ok(first !== undefined && file.ledger.has(first), "the object of the older content goes to the ledger");
  assert.deepEqual(file.run(migrating("release")), { kind: "done", state: "migrated", bytes: 0 });
  assert.equal(file.seen, "new bytes!");
  file.run(recalling());
  assert.equal(file.backing, "new bytes!");
});

test("the volume is full, in the midst of the bytes or at the record: what was copied in is given back, and the next recall ends well", () => {
  for (const room of [0, 4, TRUE.length]) {
    const file = migrated();
    file.roomFor = room;
    assert.throws(() => file.run(recalling()), { code: "ENOSPC" });
    assert.deepEqual([file.backing, file.seen], ["..........", TRUE]);
    assert.ok(!file.holdsGuard && !file.holdsRight);
    file.roomFor = undefined;
    file.run(recalling());
    assert.deepEqual([file.backing, file.mtimeNs], [TRUE, 100n]);
  }
});

test("a changed object is never taken for the file: EIO, and the region stays", () => {
  const file = migrated();
  const object = noteOf(file.record)!.object!;
  file.objects.set(object, "false byte");
  assert.throws(() => file.run(recalling()), { code: "EIO" });
  assert.equal(file.record?.residency, "partial");
  file.objects.set(object, TRUE);
  file.run(recalling());
  assert.equal(file.backing, TRUE);
});

test("truncated to nothing: emptied without a byte from the store", () => {
  const file = migrated();
  assert.deepEqual(file.run(recalling(true)), { kind: "done", state: "resident", bytes: 0 });
  assert.equal(file.backing, "");
  assert.equal(file.record?.residency, "resident");
});

test("deleted, empty or foreign files are refused", () => {
  const deleted = new ModelFile(TRUE);
  deleted.nlink = 0;
  assert.throws(() => deleted.run(migrating()), { code: "ENOENT" });
  assert.throws(() => new ModelFile("").run(migrating()), { code: "ENODATA" });
  const foreign = new ModelFile(TRUE);
  foreign.record = { generation: 1, residency: "resident", regions: [{ offset: 0, size: 0, flags: 1 }], attributes: {} };
  assert.throws(() => foreign.run(migrating()), { code: "EBUSY" });
});
