import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { EventLogResults, LoggedEvent, LogName } from "../../cluster/durable-events/event-log.js";
import type { FsName, Handle, Incarnation, NodeId, SessionId } from "../../dmapi/ids.js";
import { decodeCursors, decodeEvent, encodeCursors, encodeEvent } from "./codec.js";
import { systemFiles } from "./log-files.js";
import { EventLogStore } from "./store.js";

const top = mkdtempSync(join(tmpdir(), "sluice-test-events-"));
after(() => rmSync(top, { recursive: true, force: true }));
let directories = 0;
const directory = () => join(top, String(++directories));

const session = 7 as SessionId;
const log = (node: string, incarnation = 1): LogName => ({ session, node: node as NodeId, incarnation: incarnation as Incarnation });
const event = (sequence: number, previous = sequence - 1): LoggedEvent => ({
  sequence, previous, fs: "fs1" as FsName, event: { type: "postcreate", handle1: "f5" as Handle, name1: `file ${sequence}` }, process: { pid: 1, uid: 2, gid: 3, command: "touch" },
});
const events = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => event(from + at));
function append(store: EventLogStore, name: LogName, what: readonly LoggedEvent[]) {
  return (store.run({ kind: "append", batches: [{ log: name, events: what }] }) as EventLogResults["append"]).batches[0]!;
}
function read(store: EventLogStore, name: LogName, options: { after?: number; max?: number; from?: { segment: number; offset: number }; mayHaveGaps?: boolean } = {}) {
  return store.run({ kind: "read", log: name, from: options.from, after: options.after ?? 0, max: options.max ?? 1000, mayHaveGaps: options.mayHaveGaps ?? false }) as EventLogResults["read"];
}
const sequences = (found: EventLogResults["read"]) => found.events.map(({ sequence }) => sequence);

test("what is appended is read, in pieces too, and after what is acknowledged", () => {
  const store = new EventLogStore(directory(), systemFiles);
  const place = append(store, log("A"), events(1, 3));
  append(store, log("A"), events(4, 5));
  assert.deepEqual(read(store, log("A")).events, events(1, 5));
  const first = read(store, log("A"), { max: 2 });
  assert.deepEqual([sequences(first), first.isAtEnd], [[1, 2], false]);
  assert.deepEqual(sequences(read(store, log("A"), { from: first.place, after: 2 })), [3, 4, 5]);
  assert("segment" in place);
  assert.deepEqual(sequences(read(store, log("A"), { from: place, after: 3 })), [4, 5]);
  assert.deepEqual(sequences(read(store, log("A"), { after: 4 })), [5]);
  assert.deepEqual(sequences(read(store, log("B"))), [], "nobody has written there");
  store.close();
});

test("a torn tail is cut: at every length of the last event the ones before it are read, and what follows later is", () => {
  const whole = encodeEvent(event(2));
  for (let length = 0; length < whole.length; length += 7) {
    const path = directory();
    const store = new EventLogStore(path, systemFiles);
    append(store, log("A"), [event(1), event(2)]);
    store.close();
    const file = join(path, String(session), "A@1.1");
    truncateSync(file, encodeEvent(event(1)).length + length);
    const found = read(new EventLogStore(path, systemFiles), log("A"));
    assert.deepEqual([sequences(found), found.isAtEnd, found.isGap], [[1], true, false]);
    appendFileSync(file, whole.subarray(length));
    assert.deepEqual(sequences(read(new EventLogStore(path, systemFiles), log("A"), { from: found.place, after: 1 })), [2]);
  }
});

test("a damaged event ends its segment; that something is missing shows, and what follows can be had", () => {
  const path = directory();
  const store = new EventLogStore(path, systemFiles, 1);
  for (const each of events(1, 4)) append(store, log("A"), [each]);
  store.close();
  const file = join(path, String(session), "A@1.2");
  const bytes = readFileSync(file);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(file, bytes);
  const found = read(store, log("A"));
  assert.deepEqual([sequences(found), found.isGap], [[1], true]);
  assert.deepEqual(sequences(read(store, log("A"), { mayHaveGaps: true })), [1, 3, 4]);
});

test("segments go when they are acknowledged; the last one only when its writer is gone", () => {
  const path = directory();
  const writer = new EventLogStore(path, systemFiles, 1);
  const keeper = new EventLogStore(path, systemFiles);
  for (const each of events(1, 4)) append(writer, log("A"), [each]);
  const left = () => readdirSync(join(path, String(session))).filter((name) => name.startsWith("A@")).length;
  const trim = (through: number, isOver: boolean) => (keeper.run({ kind: "trim", log: log("A"), through, isOver }) as EventLogResults["trim"]).isGone;
  assert.equal(trim(2, false), false);
  assert.equal(left(), 2);
  assert.deepEqual(sequences(read(keeper, log("A"), { after: 2 })), [3, 4]);
  assert.deepEqual([trim(4, true), left()], [false, 1], "it is locked by its writer");
  writer.close();
  assert.deepEqual([trim(3, true), left()], [false, 1], "there is more in it than is acknowledged");
  assert.deepEqual([trim(4, true), left()], [true, 0]);
});

test("a life begins its own segment, and lets go of those of the life before it", () => {
  const path = directory();
  const writer = new EventLogStore(path, systemFiles);
  const keeper = new EventLogStore(path, systemFiles);
  append(writer, log("A", 1), [event(1)]);
  append(writer, log("A", 2), [event(1)]);
  const trim = (incarnation: number) => (keeper.run({ kind: "trim", log: log("A", incarnation), through: 1, isOver: true }) as EventLogResults["trim"]).isGone;
  assert.deepEqual([trim(1), trim(2)], [true, false]);
  const again = new EventLogStore(path, systemFiles);
  assert("code" in append(again, log("A", 2), [event(2)]), "nobody else appends to it");
  writer.close();
  append(again, log("A", 2), [event(2)]);
  assert.deepEqual(readdirSync(join(path, String(session))).sort(), ["A@2.1", "A@2.2"], "and not behind what another thread left");
  assert.deepEqual(sequences(read(again, log("A", 2))), [1, 2]);
  again.close();
});

test("a segment that could not be begun is begun at the next try", () => {
  for (const call of ["lock", "state", "syncDirectory"] as const) {
    let fails = true;
    const files = Object.assign(Object.create(systemFiles) as typeof systemFiles, {
      [call](...args: never[]) {
        if (fails) {
          fails = false;
          throw Object.assign(new Error("EIO: lost"), { errno: -5 });
        }
        return (systemFiles[call] as (...all: never[]) => unknown)(...args);
      },
    });
    const store = new EventLogStore(directory(), files);
    assert("code" in append(store, log("A"), events(1, 2)), `${call} fails`);
    assert(!("code" in append(store, log("A"), events(1, 2))), `after ${call} had failed`);
    assert.deepEqual(sequences(read(store, log("A"))), [1, 2]);
  }
});

test("what a failed sync leaves is read by nobody before it is written again", () => {
  let fails = true;
  const files = Object.assign(Object.create(systemFiles) as typeof systemFiles, {
    sync(fd: number) {
      if (fails) throw Object.assign(new Error("EIO: lost"), { errno: -5 });
      systemFiles.sync(fd);
    },
  });
  const path = directory();
  const store = new EventLogStore(path, files);
  fails = false;
  append(store, log("A"), events(1, 2));
  fails = true;
  assert("code" in append(store, log("A"), events(3, 4)));
  assert.deepEqual(sequences(read(new EventLogStore(path, systemFiles), log("A"))), [1, 2]);
  fails = false;
  assert(!("code" in append(store, log("A"), events(3, 5))));
  assert.deepEqual(sequences(read(new EventLogStore(path, systemFiles), log("A"))), [1, 2, 3, 4, 5]);
  store.close();
});

test("cursors of all hosts count together; removed sessions leave nothing", () => {
  const path = directory();
  const store = new EventLogStore(path, systemFiles);
  append(store, log("A"), events(1, 9));
  const save = (of: EventLogStore, hostGeneration: number, through: number, beyond: number[]) =>
    of.run({ kind: "acknowledge", session, hostGeneration, cursors: [{ node: "A" as NodeId, incarnation: 1 as Incarnation, through, beyond }] });
  save(store, 1, 2, [5]);
  save(store, 1, 3, [5]);
  const list = (of: EventLogStore) => of.run({ kind: "list", session }) as EventLogResults["list"];
  const next = new EventLogStore(path, systemFiles);
  assert.deepEqual(list(next), { logs: [{ node: "A", incarnation: 1 }], cursors: [{ node: "A", incarnation: 1, through: 3, beyond: [5] }] });
  save(next, 2, 3, [5]);
  assert.throws(() => save(store, 1, 3, [5, 7]), /later host/, "the old host wakes: what it is told now is not kept, and not promised");
  save(new EventLogStore(path, systemFiles), 1, 3, [5, 8]); // the same, had it not written before
  assert.deepEqual(list(next).cursors, [{ node: "A", incarnation: 1, through: 3, beyond: [5, 8] }]);
  assert.deepEqual((store.run({ kind: "sessions" }) as EventLogResults["sessions"]).sessions, [session]);
  store.run({ kind: "remove", session });
  assert.deepEqual(list(next), { logs: [], cursors: [] });
  next.close();
});

test("a log that another host removed is gone for good before what was acknowledged of it is forgotten", () => {
  const calls: string[] = [];
  const files = Object.assign(Object.create(systemFiles) as typeof systemFiles, {
    syncDirectory: (path: string) => {
      calls.push("sync");
      systemFiles.syncDirectory(path);
    },
    names: (path: string) => {
      calls.push("look");
      return systemFiles.names(path);
    },
    remove: (path: string) => {
      calls.push("remove");
      systemFiles.remove(path);
    },
  });
  const path = directory();
  const writer = new EventLogStore(path, systemFiles);
  append(writer, log("A"), events(1, 2));
  writer.close();
  const former = new EventLogStore(path, systemFiles);
  former.run({ kind: "acknowledge", session, hostGeneration: 1, cursors: [{ node: "A" as NodeId, incarnation: 1 as Incarnation, through: 2, beyond: [] }] });
  assert((former.run({ kind: "trim", log: log("A"), through: 2, isOver: true }) as EventLogResults["trim"]).isGone);
  const next = new EventLogStore(path, files);
  next.run({ kind: "acknowledge", session, hostGeneration: 2, cursors: [] });
  assert(calls.includes("remove"), "the former host's cursors are not needed any more");
  assert.deepEqual(calls.slice(calls.lastIndexOf("look"), calls.indexOf("remove") + 1), ["look", "sync", "remove"]);
  former.close();
  next.close();
});

test("a full volume takes nothing of a batch, and the log goes on where it was", { skip: process.getuid?.() === 0 ? false : "needs root" }, async () => {
  const { execFileSync } = await import("node:child_process");
  const { mkdirSync } = await import("node:fs");
  const path = directory();
  mkdirSync(path, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", path]);
  try {
    const store = new EventLogStore(path, systemFiles);
    append(store, log("A"), [event(1)]);
    writeFileSync(join(path, "ballast"), Buffer.alloc(40 * 1024));
    const refused = append(store, log("A"), events(2, 1000));
    assert("code" in refused && refused.code === "ENOSPC");
    rmSync(join(path, "ballast"));
    append(store, log("A"), events(2, 3));
    assert.deepEqual(sequences(read(store, log("A"))), [1, 2, 3]);
    store.close();
  } finally {
    execFileSync("umount", [path]);
  }
});

test("frames: every prefix is refused, zeros too, and a cursor record is no event", () => {
  const bytes = encodeEvent(event(1));
  for (let length = 0; length < bytes.length; length++) assert.equal(decodeEvent(bytes.subarray(0, length), 0), undefined);
  assert.deepEqual(decodeEvent(Buffer.concat([Buffer.alloc(3), bytes]), 3), { value: event(1), next: 3 + bytes.length });
  assert.equal(decodeEvent(Buffer.alloc(4096), 0), undefined);
  assert.equal(decodeCursors(Buffer.alloc(4096), 0), undefined);
  assert.equal(decodeEvent(encodeCursors([{ node: "A" as NodeId, incarnation: 1 as Incarnation, through: 1, beyond: [] }]), 0), undefined);
});

test("a frame in whose middle a crash left something else counts for nothing, nor what follows it", () => {
  const path = directory();
  append(new EventLogStore(path, systemFiles), log("A"), events(1, 3));
  const file = join(path, "7", "A@1.1");
  const bytes = readFileSync(file);
  bytes[bytes.indexOf("file 2") + 5] = "9".charCodeAt(0);
  writeFileSync(file, bytes);
  assert.deepEqual(sequences(read(new EventLogStore(path, systemFiles), log("A"))), [1], "only what is whole is read");
});
