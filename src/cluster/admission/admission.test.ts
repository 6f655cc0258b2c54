import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { eventSet, type EventSet, type EventType } from "../../dmapi/events.js";
import type { Handle, OperationId, RequestId } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";
import { regionFlags } from "../../dmapi/regions.js";
import { Admission, type WithoutOwner } from "./admission.js";
import type { AdmissionEffect, AdmissionInput, AdmissionRequest, ObjectUse, PreEvent } from "./operation.js";

const F = "f" as Handle;
const G = "g" as Handle;
const D = "d" as Handle;
const R = "r1" as RequestId;
const flags = regionFlags.read | regionFlags.write | regionFlags.truncate;
const resident: FileRecord = { generation: 1, residency: "resident", regions: [], attributes: {} };
const stub: FileRecord = { generation: 2, residency: "partial", regions: [{ offset: 0, size: 0, flags }], attributes: {} };

/** The machine with a driver that answers what a volume would: records as set, guards free unless taken away. */
class Bench {
  readonly machine: Admission;
  readonly records = new Map<Handle, FileRecord | null>();
  isGuardFree = true;
  /** False: loads wait until the test answers them. */
  loads = true;
  grantsInterest = true;
  /** In order, short: "admit 1", "hold 2 event", "refuse 3 EIO", "raise 2 read". */
  log: string[] = [];

  constructor(options: { owned?: EventType[]; list?: EventType[]; retry?: number; withoutOwner?: WithoutOwner } = {}) {
    this.machine = new Admission({ dataEventRetry: options.retry ?? 2, withoutOwner: options.withoutOwner ?? "wait", fsEventList: eventSet(options.list ?? []) });
    this.step({ kind: "admission", isOpen: true, why: "" });
    this.own(...(options.owned ?? []));
  }
  own(...types: EventType[]): void {
    this.step({ kind: "owned-events", events: eventSet(types) });
  }
  readonly #inputs: AdmissionInput[] = [];
  #isStepping = false;
  /** As the reactor does: what an effect leads to comes after the effects beside it. */
  step(input: AdmissionInput): void {
    this.#inputs.push(input);
    if (this.#isStepping) return;
    this.#isStepping = true;
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      for (const effect of this.machine.step(next)) this.#perform(effect);
    }
    this.#isStepping = false;
  }
  arrive(id: number, uses: ObjectUse[], events: PreEvent[] = [], isWriteback = false): void {
    this.step({ kind: "operation-arrived", operation: { id: id as OperationId, uses, events, isWriteback, passesFences: false } satisfies AdmissionRequest });
  }
  read(id: number, handle = F, offset = 0, length = 100): void {
    this.arrive(id, [{ handle, access: "read", needsGuard: false }], [{ kind: "data", type: "read", handle, offset, length }]);
  }
  write(id: number, handle = F, isWriteback = false, offset = 0, length = 100): void {
    this.arrive(id, [{ handle, access: "change", needsGuard: true }], [{ kind: "data", type: "write", handle, offset, length }], isWriteback);
  }
  ran(id: number): void {
    this.step({ kind: "operation-ran", operation: id as OperationId, events: [] });
  }
  answer(id: number, code?: "EBUSY"): void {
    this.step({ kind: "event-answered", operation: id as OperationId, decision: code === undefined ? { kind: "continue" } : { kind: "abort", code } });
  }
  /** What happened since the last look. */
  happened(): string[] {
    const { log } = this;
    this.log = [];
    return log;
  }
  #perform(effect: AdmissionEffect): void {
    switch (effect.kind) {
      case "load-record":
        if (this.loads) this.step({ kind: "record-loaded", handle: effect.handle, record: this.records.get(effect.handle) ?? null });
        else this.log.push(`load ${effect.handle}`);
        return;
      case "take-guard":
        if (this.isGuardFree) this.step({ kind: "guard-taken", handle: effect.handle, record: this.records.get(effect.handle) ?? null });
        return;
      case "want-interest":
        this.log.push(`interest ${effect.handle}`);
        if (this.grantsInterest) this.step({ kind: "interest-granted", handle: effect.handle, fence: "null", fenceNumber: 0 });
        return;
      case "admit": case "finish": return void this.log.push(`${effect.kind} ${effect.operation}`);
      case "refuse": return void this.log.push(`refuse ${effect.operation} ${effect.code}`);
      case "hold": if (effect.cause !== "record") this.log.push(`hold ${effect.operation} ${effect.cause}`); return;
      case "raise": return void this.log.push(`raise ${effect.operation} ${"type" in effect.event ? effect.event.type : effect.event.kind}`);
      case "fence-drained": return void this.log.push(`fence-drained ${effect.fenceNumber}`);
      case "round-drained": return void this.log.push(`round-drained ${effect.round}`);
      case "drop-event": return void this.log.push(`drop-event ${effect.type}`);
      case "open-as": return void this.log.push(`open-as ${effect.open} ${effect.mode}`);
      case "open-refused": return void this.log.push(`open-refused ${effect.open} ${effect.code}`);
      default: this.log.push(`${effect.kind} ${effect.handle}`);
    }
  }
}
/** Holds for the guard and interest that a free volume ends in the same breath. */
const settled = (log: string[]) => log.filter((line) => !/^(hold \d+ (guard|interest)|interest )/.test(line));

describe("what is admitted at once", () => {
  test("anything on an object without a record", () => {
    const bench = new Bench();
    bench.read(1);
    bench.write(2);
    assert.deepEqual(settled(bench.happened()), ["admit 1", "admit 2"]);
  });
  test("with a record, only after interest is registered", () => {
    const bench = new Bench();
    bench.records.set(F, resident);
    bench.grantsInterest = false;
    bench.read(1);
    assert.deepEqual(bench.happened(), ["interest f", "hold 1 interest"]);
    bench.step({ kind: "interest-granted", handle: F, fence: "exclusive", fenceNumber: 3 });
    assert.deepEqual(bench.happened(), ["hold 1 fence"]);
    bench.step({ kind: "fence-lowered", handle: F, fence: "null", fenceNumber: 3 });
    assert.deepEqual(bench.happened(), ["admit 1"]);
  });
  test("nothing while admission is closed, but write-back", () => {
    const bench = new Bench();
    bench.step({ kind: "admission", isOpen: false, why: "excluded" });
    bench.read(1);
    bench.write(2, F, true);
    assert.deepEqual(settled(bench.happened()), ["hold 1 closed", "admit 2"]);
    bench.step({ kind: "admission", isOpen: true, why: "" });
    assert.deepEqual(bench.happened(), ["admit 1"]);
  });
  test("all objects or none", () => {
    const bench = new Bench();
    bench.step({ kind: "fence-raised", handle: G, fence: "shared", fenceNumber: 1 });
    bench.happened();
    bench.arrive(1, [{ handle: D, access: "change", needsGuard: false }, { handle: G, access: "change", needsGuard: false }]);
    assert.deepEqual(bench.happened(), ["hold 1 fence"]);
    bench.step({ kind: "fence-raised", handle: D, fence: "exclusive", fenceNumber: 1 });
    assert.deepEqual(bench.happened(), ["fence-drained 1"], "what waits holds nothing");
  });
});

describe("opens that may pass through to the kernel", () => {
  const open = (bench: Bench, number: number, isWritable: boolean) =>
    bench.step({ kind: "open-wanted", request: { open: number, handle: F, isWritable, isExact: false, mayPassThrough: true } });
  test("not those that may write where somebody makes room", () => {
    const bench = new Bench({ owned: ["nospace"], list: ["nospace"] });
    open(bench, 1, true);
    bench.step({ kind: "open-ended", handle: F, mode: "cached" });
    open(bench, 2, false);
    assert.deepEqual(bench.happened(), ["open-as 1 cached", "register-backing f"]);
  });
  test("not while a right stands on the file, or a round runs; both ask for the guard", () => {
    const bench = new Bench();
    open(bench, 1, false);
    bench.step({ kind: "backing-registered", handle: F, record: null, stored: 0, isMarkGone: false });
    bench.step({ kind: "open-ended", handle: F, mode: "passthrough" });
    bench.happened();
    bench.step({ kind: "fence-raised", handle: F, fence: "exclusive", fenceNumber: 1 });
    assert.deepEqual(bench.happened(), ["test-backing f", "fence-drained 1"]);
    bench.step({ kind: "backing-unused", handle: F });
    open(bench, 2, false);
    assert.deepEqual(bench.happened(), ["close-backing f", "open-as 2 cached"]);
  });
});

describe("which events are due (XDSM 6.2)", () => {
  const region = (from: number, size: number, kinds: number): FileRecord => ({ ...resident, regions: [{ offset: from, size, flags: kinds }] });
  const table: [name: string, record: FileRecord, act: (bench: Bench) => void, isDue: boolean][] = [
    ["a read that ends before the region", region(100, 10, flags), (bench) => bench.read(1, F, 50, 50), false],
    ["a read of its first byte", region(100, 10, flags), (bench) => bench.read(1, F, 50, 51), true],
    ["a read of its last byte", region(100, 10, flags), (bench) => bench.read(1, F, 109, 5), true],
    ["a read after it", region(100, 10, flags), (bench) => bench.read(1, F, 110, 5), false],
    ["a write in a READ region", region(0, 0, regionFlags.read), (bench) => bench.write(1), false],
    ["a write beyond the end, region to infinity", region(10, 0, regionFlags.write), (bench) => bench.write(1, F, false, 1e6, 1), true],
    ["write-back of a resident file", region(0, 0, flags), (bench) => bench.write(1, F, true), false],
    ["write-back of a stub", stub, (bench) => bench.write(1, F, true), true],
    ["opening a stub for writing", stub, (bench) => bench.arrive(1, [{ handle: F, access: "look", needsGuard: false }], [{ kind: "open-for-write", handle: F }]), true],
    ["opening a resident file for writing", region(0, 0, flags), (bench) => bench.arrive(1, [{ handle: F, access: "look", needsGuard: false }], [{ kind: "open-for-write", handle: F }]), false],
    ["truncation before the region's end", region(0, 10, flags), (bench) => bench.arrive(1, [{ handle: F, access: "change", needsGuard: true }], [{ kind: "data", type: "truncate", handle: F, offset: 9, length: 0 }]), true],
    ["truncation at its end", region(0, 10, flags), (bench) => bench.arrive(1, [{ handle: F, access: "change", needsGuard: true }], [{ kind: "data", type: "truncate", handle: F, offset: 10, length: 0 }]), false],
  ];
  for (const [name, record, act, isDue] of table) {
    test(`${name}: ${isDue ? "due" : "not due"}`, () => {
      const bench = new Bench({ owned: ["read", "write", "truncate"] });
      bench.records.set(F, record);
      act(bench);
      assert.equal(bench.log.some((line) => line.startsWith("raise 1")), isDue);
      assert.equal(bench.log.includes("admit 1"), !isDue);
    });
  }
});

describe("answers", () => {
  test("a recalled file is read; the record is read again first", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, stub);
    bench.read(1);
    assert.deepEqual(settled(bench.happened()), ["raise 1 read", "hold 1 event"]);
    bench.records.set(F, { ...resident, generation: 3 });
    bench.answer(1);
    assert.deepEqual(settled(bench.happened()), ["admit 1"]);
  });
  test("CONTINUE without a recall is asked again, then EIO", () => {
    const bench = new Bench({ owned: ["read"], retry: 1 });
    bench.records.set(F, stub);
    bench.read(1);
    bench.answer(1);
    bench.answer(1);
    assert.deepEqual(settled(bench.happened()).filter((line) => !line.startsWith("hold")), ["raise 1 read", "raise 1 read", "refuse 1 EIO"]);
  });
  test("an observer's region may stay: a resident file is read after CONTINUE", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, { ...resident, regions: stub.regions });
    bench.read(1);
    bench.answer(1);
    assert.equal(bench.log.at(-1), "admit 1");
  });
  test("an abort is the errno; a late answer is dropped", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, stub);
    bench.read(1);
    bench.answer(1, "EBUSY");
    assert.equal(bench.log.at(-1), "refuse 1 EBUSY");
    bench.happened();
    bench.answer(1);
    assert.deepEqual(bench.happened(), []);
  });
  test("a data event that nobody owns: error is EIO at once; ignore lets pass what is resident, and never reads a hole", () => {
    const watched = { ...resident, regions: stub.regions };
    const table: readonly [WithoutOwner, FileRecord, string][] = [
      ["wait", stub, "hold 1 no-owner"], ["wait", watched, "hold 1 no-owner"], ["error", stub, "refuse 1 EIO"], ["error", watched, "refuse 1 EIO"],
      ["ignore", stub, "hold 1 no-owner"], ["ignore", watched, "admit 1"],
    ];
    for (const [withoutOwner, record, last] of table) {
      const bench = new Bench({ withoutOwner });
      bench.records.set(F, record);
      bench.read(1);
      assert.equal(bench.log.at(-1), last, `${withoutOwner}, ${record.residency}`);
      const owned = new Bench({ withoutOwner, owned: ["read"] });
      owned.records.set(F, record);
      owned.read(1);
      assert.equal(owned.log.at(-1), "hold 1 event");
    }
  });
  test("a data event that nobody owns is held as such and told to main, which knows the deadline", () => {
    const bench = new Bench();
    bench.records.set(F, stub);
    bench.read(1);
    assert.deepEqual(settled(bench.happened()), ["raise 1 read", "hold 1 no-owner"]);
  });
  test("a listed event: owned is raised, unowned EIO, an object's own list wins over the file system's", () => {
    const make = (bench: Bench) => bench.arrive(1, [{ handle: D, access: "change", needsGuard: false }], [{ kind: "listed", type: "create", lists: [D] }]);
    const owned = new Bench({ owned: ["create"], list: ["create"] });
    make(owned);
    assert.deepEqual(owned.happened(), ["raise 1 create", "hold 1 event"]);
    owned.answer(1);
    assert.deepEqual(owned.happened(), ["admit 1"]);
    const unowned = new Bench({ list: ["create"] });
    make(unowned);
    assert.deepEqual(unowned.happened(), ["refuse 1 EIO"]);
    const overridden = new Bench({ list: ["create"] });
    overridden.records.set(D, { ...resident, eventList: 0 as EventSet });
    make(overridden);
    assert.equal(overridden.log.at(-1), "admit 1");
  });
  test("post events in order, unowned ones dropped and counted, the failure's form only after its pre form", () => {
    const bench = new Bench({ owned: ["postremove"], list: ["postremove", "destroy", "postcreate"] });
    bench.arrive(1, [{ handle: D, access: "change", needsGuard: false }]);
    bench.step({ kind: "operation-ran", operation: 1 as OperationId, events: [{ type: "destroy", lists: [F] }, { type: "postremove", lists: [D] }, { type: "postcreate", lists: [D], onlyAfter: "create" }] });
    assert.deepEqual(bench.happened(), ["admit 1", "drop-event destroy", "raise 1 postremove", "hold 1 event"]);
    bench.answer(1);
    assert.deepEqual(bench.happened(), ["finish 1"]);
  });
  test("out of space: raised, then tried again; unowned, ENOSPC", () => {
    const bench = new Bench({ owned: ["nospace"], list: ["nospace"] });
    bench.write(1);
    bench.step({ kind: "space-ran-out", operation: 1 as OperationId });
    bench.answer(1);
    assert.deepEqual(settled(bench.happened()), ["admit 1", "raise 1 nospace", "hold 1 event", "admit 1"]);
    bench.own();
    bench.step({ kind: "space-ran-out", operation: 1 as OperationId });
    assert.equal(bench.log.at(-1), "refuse 1 ENOSPC");
  });
});

describe("drains", () => {
  test("a fence is drained when the conflicting operations before it have ended; readers pass a shared one", () => {
    const bench = new Bench();
    bench.read(1);
    bench.write(2);
    bench.happened();
    bench.step({ kind: "fence-raised", handle: F, fence: "shared", fenceNumber: 1 });
    bench.read(3);
    bench.write(4);
    assert.deepEqual(bench.happened(), ["admit 3", "hold 4 fence"]);
    bench.ran(2);
    assert.deepEqual(bench.happened(), ["fence-drained 1", "hold 4 fence", "finish 2"]);
  });
  test("a first record stored under a right whose holder died before it told so is known once the fence is down", () => {
    const bench = new Bench();
    bench.grantsInterest = false;
    bench.read(1);
    bench.ran(1);
    bench.step({ kind: "fence-raised", handle: F, fence: "exclusive", fenceNumber: 1 });
    bench.records.set(F, resident);
    bench.step({ kind: "fence-lowered", handle: F, fence: "null", fenceNumber: 2 });
    bench.happened();
    bench.read(2);
    assert.deepEqual(bench.happened(), ["interest f", "hold 2 interest"], "or no later right on it would be told to this node");
  });
  test("what was read of a record while a fence stood is not believed when it is down", () => {
    const bench = new Bench();
    bench.loads = false;
    bench.step({ kind: "fence-raised", handle: F, fence: "exclusive", fenceNumber: 1 });
    bench.read(1);
    bench.step({ kind: "fence-lowered", handle: F, fence: "null", fenceNumber: 2 });
    bench.happened();
    bench.step({ kind: "record-loaded", handle: F, record: null });
    assert.deepEqual(bench.happened(), ["load f"]);
    bench.step({ kind: "record-loaded", handle: F, record: null });
    assert.deepEqual(bench.happened(), ["admit 1"]);
  });
  test("an exclusive fence takes the guard back first", () => {
    const bench = new Bench();
    bench.write(1);
    bench.happened();
    bench.step({ kind: "fence-raised", handle: F, fence: "exclusive", fenceNumber: 2 });
    assert.deepEqual(bench.happened(), []);
    bench.ran(1);
    assert.deepEqual(bench.happened(), ["drop-guard f", "fence-drained 2", "finish 1"]);
  });
  test("a record round: nothing admitted under the old record runs, later ones go by the new", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, resident);
    bench.read(1);
    bench.records.set(F, stub);
    bench.happened();
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "record-changed", handle: F, generation: 2 } });
    bench.read(2);
    assert.deepEqual(bench.happened(), ["raise 2 read", "hold 2 event"]);
    bench.ran(1);
    assert.deepEqual(bench.happened(), ["round-drained r1", "finish 1"]);
  });
  test("a record round while the first load runs: its answer may be older than the change, and is asked for again", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.loads = false;
    bench.read(1);
    assert.deepEqual(bench.happened(), ["load f"]);
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "record-changed", handle: F, generation: 2 } });
    bench.step({ kind: "record-loaded", handle: F, record: resident });
    assert.deepEqual(bench.happened(), ["load f"]);
    bench.step({ kind: "record-loaded", handle: F, record: stub });
    assert.deepEqual(settled(bench.happened()), ["round-drained r1", "raise 1 read", "hold 1 event"]);
  });
  test("a record round is not satisfied by a record seen on the way that is older", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, resident);
    bench.read(1);
    bench.loads = false;
    bench.happened();
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "record-changed", handle: F, generation: 3 } });
    bench.ran(1);
    bench.step({ kind: "record-seen", handle: F, record: { ...resident, generation: 2 } });
    bench.read(2);
    assert.deepEqual(bench.happened(), ["load f", "finish 1"], "neither acknowledged nor admitted");
    bench.step({ kind: "record-loaded", handle: F, record: { ...stub, generation: 3 } });
    assert.deepEqual(bench.happened(), ["round-drained r1", "raise 2 read", "hold 2 event"]);
  });
  test("an operation is checked against what was stored when its filter looked, whatever is learned while it runs", () => {
    const bench = new Bench();
    bench.records.set(F, resident);
    bench.read(1);
    bench.step({ kind: "record-seen", handle: F, record: stub });
    assert.equal(bench.machine.generationUnder(1 as OperationId, F), 1);
    bench.step({ kind: "record-loaded", handle: G, record: null, stored: 7 });
    bench.read(2, G);
    assert.equal(bench.machine.generationUnder(2 as OperationId, G), 7, "a foreign record counts by its generation");
  });
  test("a record never goes back in generation", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, stub);
    bench.read(1);
    bench.step({ kind: "record-loaded", handle: F, record: resident });
    assert.equal(bench.machine.recordOf(F)?.generation, 2);
  });
  test("a flush serves reads and write-back while pages are dropped, then drains, syncs, gives the guard back", () => {
    const bench = new Bench();
    bench.write(1);
    bench.step({ kind: "fence-raised", handle: F, fence: "exclusive", fenceNumber: 1 });
    bench.ran(1);
    bench.happened();
    bench.read(2);
    assert.deepEqual(bench.happened(), ["hold 2 fence"]);
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "flush", handle: F } });
    bench.write(3, F, true);
    assert.deepEqual(settled(bench.happened()), ["admit 2", "flush-pages f", "admit 3"]);
    bench.step({ kind: "pages-flushed", handle: F, round: R, from: "n1" });
    bench.ran(2);
    assert.deepEqual(bench.happened(), ["finish 2"]);
    bench.ran(3);
    assert.deepEqual(bench.happened(), ["sync-data f", "finish 3"]);
    bench.step({ kind: "data-synced", handle: F, round: R, from: "n1" });
    assert.deepEqual(bench.happened(), ["drop-guard f", "round-drained r1"]);
  });
  test("what another flush lets write while the data of one is being synced is drained and synced before the guard goes back", () => {
    const bench = new Bench();
    const other = "r2" as RequestId;
    bench.write(1);
    bench.ran(1);
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "flush", handle: F } });
    bench.step({ kind: "pages-flushed", handle: F, round: R, from: "n1" });
    bench.step({ kind: "round-begun", round: other, from: "n2", work: { kind: "flush", handle: F } });
    bench.happened();
    bench.write(2, F, true);
    assert.deepEqual(bench.happened(), ["admit 2"], "else the pages of the other would never be written");
    bench.step({ kind: "data-synced", handle: F, round: R, from: "n1" });
    assert.deepEqual(bench.happened(), [], "write 2 runs under the guard");
    bench.ran(2);
    assert.deepEqual(bench.happened(), ["sync-data f", "finish 2"]);
    bench.step({ kind: "data-synced", handle: F, round: R, from: "n1" });
    assert.deepEqual(bench.happened(), ["drop-guard f", "round-drained r1"]);
  });
  test("a write that began and ended while the data was being synced is synced too", () => {
    const bench = new Bench();
    bench.write(1);
    bench.ran(1);
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "flush", handle: F } });
    bench.step({ kind: "pages-flushed", handle: F, round: R, from: "n1" });
    bench.step({ kind: "round-begun", round: "r2" as RequestId, from: "n2", work: { kind: "drop-pages", handle: F } });
    bench.write(2, F, true);
    bench.ran(2);
    bench.happened();
    bench.step({ kind: "data-synced", handle: F, round: R, from: "n1" });
    assert.deepEqual(bench.happened(), ["sync-data f"]);
    bench.step({ kind: "data-synced", handle: F, round: R, from: "n1" });
    assert.deepEqual(bench.happened(), ["drop-guard f", "round-drained r1"]);
  });
  test("held operations do not count: a round does not wait for them", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, stub);
    bench.read(1);
    bench.happened();
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "record-changed", handle: F, generation: 2 } });
    assert.deepEqual(bench.happened(), ["round-drained r1"]);
  });
});

describe("the guard", () => {
  test("a write is filtered again by the record as read under the guard", () => {
    const bench = new Bench({ owned: ["write"] });
    bench.records.set(F, resident);
    bench.isGuardFree = false;
    bench.write(1);
    assert.equal(bench.log.at(-1), "hold 1 guard");
    bench.happened();
    bench.step({ kind: "guard-taken", handle: F, record: stub });
    assert.deepEqual(bench.happened(), ["raise 1 write", "hold 1 event"]);
  });
  test("refused at its deadline, but never write-back", () => {
    const bench = new Bench();
    bench.isGuardFree = false;
    bench.write(1);
    bench.write(2, F, true);
    bench.happened();
    bench.step({ kind: "guard-failed", handle: F, code: "EIO", isBusy: true });
    assert.deepEqual(bench.happened(), ["refuse 1 EIO", "hold 2 guard"]);
    bench.step({ kind: "guard-taken", handle: F, record: null });
    assert.deepEqual(bench.happened(), ["admit 2"]);
  });
  test("given back with the last writable open, once nothing runs under it", () => {
    const bench = new Bench();
    bench.write(1);
    bench.step({ kind: "guard-unneeded", handle: F });
    bench.happened();
    bench.ran(1);
    assert.deepEqual(bench.happened(), ["drop-guard f", "finish 1"]);
  });
});

describe("a new incarnation", () => {
  test("drops what is cached, and gives guards back when drained", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, stub);
    bench.write(2, G);
    bench.happened();
    bench.step({ kind: "everything-forgotten" });
    bench.ran(2);
    assert.deepEqual(bench.happened(), ["drop-guard g", "finish 2"]);
  });
  test("an event that is out is not raised a second time: the source node has it, and its answer counts", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, stub);
    bench.read(1);
    bench.happened();
    bench.step({ kind: "admission", isOpen: false, why: "excluded" });
    bench.step({ kind: "everything-forgotten" });
    bench.step({ kind: "admission", isOpen: true, why: "member" });
    assert.deepEqual(bench.happened(), []);
    bench.records.set(F, resident);
    bench.answer(1);
    assert.deepEqual(settled(bench.happened()), ["admit 1"], "filtered by what is true now");
  });
  test("a record that was read while this node was no member is read again before anything is admitted by it", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.step({ kind: "admission", isOpen: false, why: "excluded" });
    bench.step({ kind: "everything-forgotten" });
    bench.records.set(F, null);
    bench.write(1, F, true);
    bench.ran(1);
    bench.read(2);
    bench.happened();
    bench.records.set(F, stub); // by others, who have no reason to tell it
    bench.step({ kind: "admission", isOpen: true, why: "member" });
    assert.deepEqual(settled(bench.happened()), ["raise 2 read", "hold 2 event"]);
  });
  test("a node that is out for too long: those who wait are refused, and whoever comes; write-back goes on; back in the cluster all are admitted", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, stub);
    bench.read(1);
    bench.step({ kind: "admission", isOpen: false, why: "excluded" });
    bench.step({ kind: "everything-forgotten" });
    bench.read(2, G);
    assert.deepEqual(settled(bench.happened()), ["raise 1 read", "hold 1 event", "hold 2 closed"]);
    bench.step({ kind: "admission", isOpen: false, why: "too long", refuses: "ESTALE" });
    bench.read(3, G);
    bench.write(4, G, true);
    assert.deepEqual(settled(bench.happened()), ["refuse 2 ESTALE", "refuse 3 ESTALE", "admit 4"], "1 has an event, whose source node ends it");
    bench.step({ kind: "admission", isOpen: true, why: "member" });
    bench.read(5, G);
    assert.deepEqual(settled(bench.happened()), ["admit 5"]);
  });
  test("an interrupted operation is gone from every list", () => {
    const bench = new Bench({ owned: ["read"] });
    bench.records.set(F, stub);
    bench.read(1);
    bench.step({ kind: "operation-gone", operation: 1 as OperationId });
    bench.happened();
    bench.answer(1);
    bench.step({ kind: "object-forgotten", handle: F });
    assert.deepEqual(bench.happened(), ["drop-interest f"]);
    assert.deepEqual(bench.machine.counts, { objects: 0, operations: 0 });
  });
});

describe("a truncation to nothing", () => {
  const truncate = (bench: Bench) => bench.arrive(1, [{ handle: F, access: "change", needsGuard: true }], [{ kind: "data", type: "truncate", handle: F, offset: 0, length: 0 }]);
  const begun = () => {
    const bench = new Bench({ owned: ["truncate"] });
    bench.records.set(F, stub);
    truncate(bench);
    bench.happened();
    return bench;
  };
  test("needs no byte: answered for a record, it runs under that record", () => {
    const bench = begun();
    bench.answer(1);
    assert.deepEqual(settled(bench.happened()), ["admit 1"]);
  });
  test("is asked for again when the file was brought back and moved away again before it ran", () => {
    const bench = begun();
    bench.records.set(F, { ...stub, generation: 4 });
    bench.answer(1);
    assert.deepEqual(bench.happened(), ["raise 1 truncate", "hold 1 event"]);
    bench.records.set(F, { ...resident, generation: 5 });
    bench.answer(1);
    assert.deepEqual(settled(bench.happened()), ["admit 1"]);
  });
  test("also when it is the guard that shows it", () => {
    const bench = begun();
    bench.isGuardFree = false;
    bench.records.set(F, { ...resident, generation: 3 });
    bench.answer(1);
    bench.happened();
    bench.step({ kind: "guard-taken", handle: F, record: { ...stub, generation: 4 } });
    assert.deepEqual(bench.happened(), ["raise 1 truncate", "hold 1 event"]);
  });
});

describe("objects that the kernel does not know", () => {
  const nothing = { objects: 0, operations: 0 };
  const forgotten = (bench: Bench) => bench.step({ kind: "object-forgotten", handle: F });

  test("a flush of one leaves nothing behind", () => {
    const bench = new Bench();
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "flush", handle: F } });
    bench.step({ kind: "pages-flushed", handle: F, round: R, from: "n1" });
    bench.step({ kind: "data-synced", handle: F, round: R, from: "n1" });
    assert.deepEqual(bench.happened(), ["flush-pages f", "sync-data f", "round-drained r1"]);
    assert.deepEqual(bench.machine.counts, nothing);
  });
  test("nor does one that is forgotten while its pages are flushed; its guard goes at once, as its descriptor does", () => {
    const bench = new Bench();
    bench.records.set(F, resident);
    bench.write(1);
    bench.ran(1);
    bench.step({ kind: "round-begun", round: R, from: "n1", work: { kind: "flush", handle: F } });
    bench.happened();
    forgotten(bench);
    assert.deepEqual(bench.happened(), ["drop-guard f"]);
    bench.write(2, F, true);
    assert.deepEqual(bench.happened().at(-1), "admit 2", "looked up anew, and the guard taken anew");
    bench.ran(2);
    forgotten(bench);
    bench.step({ kind: "pages-flushed", handle: F, round: R, from: "n1" });
    bench.step({ kind: "data-synced", handle: F, round: R, from: "n1" });
    assert.deepEqual(bench.happened().slice(-2), ["round-drained r1", "drop-interest f"]);
    assert.deepEqual(bench.machine.counts, nothing);
  });
  test("nor does one whose interest is granted late, or whose record cannot be read; a fence on one is kept", () => {
    const bench = new Bench();
    bench.step({ kind: "interest-granted", handle: F, fence: "null", fenceNumber: 1 });
    bench.loads = false;
    bench.read(1, G);
    bench.step({ kind: "record-failed", handle: G, code: "ESTALE" });
    assert.deepEqual(bench.machine.counts, nothing);
    bench.step({ kind: "fence-raised", handle: F, fence: "exclusive", fenceNumber: 2 });
    forgotten(bench);
    bench.read(2);
    bench.happened();
    bench.step({ kind: "record-loaded", handle: F, record: null });
    assert.deepEqual(bench.happened(), ["hold 2 fence"]);
  });
});
