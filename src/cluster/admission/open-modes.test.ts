import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Handle } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";
import { regionFlags } from "../../dmapi/regions.js";
import { mayPassThrough, type OpenEffect, type OpenMode, OpenModes } from "./open-modes.js";
import { registerSteps, type StepAnswer } from "./passthrough-steps.js";

const F = "f" as Handle;
const resident: FileRecord = { generation: 1, residency: "resident", regions: [], attributes: {} };
const managed: FileRecord = { ...resident, regions: [{ offset: 0, size: 0, flags: regionFlags.read }] };

class Bench {
  readonly opens = new OpenModes(F);
  record: FileRecord | null | undefined = null;
  isQuiet = true;
  #effects: OpenEffect[] = [];

  open(open: number, how: { isWritable?: boolean; isExact?: boolean; mayPassThrough?: boolean } = {}): void {
    this.opens.wanted({ open, handle: F, isWritable: false, isExact: false, mayPassThrough: true, ...how }, this.record, this.isQuiet, this.#effects);
  }
  registered(isMarkGone = false): void {
    this.opens.registered(null, isMarkGone, this.#effects);
  }
  refused(): void {
    this.opens.refused(this.record, this.#effects);
  }
  markBroken(failure?: "EIO"): void {
    this.opens.markBroken(this.record, failure, this.#effects);
  }
  ended(mode: OpenMode): void {
    this.opens.ended(mode, this.#effects);
  }
  unused(): void {
    this.opens.unused(this.#effects);
  }
  asked(): void {
    this.opens.askedFor(this.#effects);
  }
  happened(): string[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects.map(textOf);
  }
}
function textOf(effect: OpenEffect): string {
  switch (effect.kind) {
    case "open-as": return `${effect.open} ${effect.mode}`;
    case "open-refused": return `${effect.open} ${effect.code}`;
    case "register-backing": return effect.isWritable ? "register, mark goes" : "register";
    case "test-backing": return effect.isAsked ? "test now" : "test";
    case "break-mark":
    case "close-backing": return effect.kind;
  }
}
/** With one reader that passes through. */
function passing(): Bench {
  const bench = new Bench();
  bench.open(1);
  bench.registered();
  assert.deepEqual(bench.happened(), ["register", "1 passthrough"]);
  return bench;
}

describe("in which mode an open is answered", () => {
  test("the first registers, those that come meanwhile wait for it, and all share the descriptor", () => {
    const bench = new Bench();
    bench.open(1);
    bench.open(2, { isExact: true });
    assert.deepEqual(bench.happened(), ["register"]);
    bench.registered();
    bench.open(3, { mayPassThrough: false });
    assert.deepEqual(bench.happened(), ["1 passthrough", "2 passthrough", "3 passthrough"]);
  });
  test("refused, they are opened as if nothing could pass through", () => {
    const bench = new Bench();
    bench.open(1);
    bench.open(2, { isExact: true });
    bench.record = managed;
    bench.refused();
    assert.deepEqual(bench.happened(), ["register", "1 direct", "2 direct"]);
  });
  for (const [name, change] of [
    ["regions", (bench: Bench) => (bench.record = managed)],
    ["an event list of its own", (bench: Bench) => (bench.record = { ...resident, eventList: 0 })],
    ["bytes that are elsewhere", (bench: Bench) => (bench.record = { ...resident, residency: "partial" })],
    ["a right on it, or somebody who asks for its guard", (bench: Bench) => (bench.isQuiet = false)],
  ] as const) {
    test(`a file with ${name} does not begin to pass through`, () => {
      const bench = new Bench();
      change(bench);
      bench.open(1);
      assert.equal(bench.happened().includes("register"), false);
    });
  }
  test("nor does one that is open in another way, until the last of those has gone", () => {
    const bench = new Bench();
    bench.open(1, { mayPassThrough: false });
    bench.open(2);
    assert.deepEqual(bench.happened(), ["1 cached", "2 cached"]);
    bench.ended("cached");
    bench.open(3);
    bench.ended("cached");
    bench.ended("cached");
    bench.open(4);
    assert.deepEqual(bench.happened(), ["3 cached", "register"]);
  });
  test("while one passes through all do, whatever has come since", () => {
    const bench = passing();
    bench.isQuiet = false;
    bench.open(2, { isExact: true });
    assert.deepEqual(bench.happened(), ["2 passthrough"]);
  });
});

describe("the mark", () => {
  test("goes with the registration for an open that may write", () => {
    const bench = new Bench();
    bench.open(1, { isWritable: true });
    bench.registered(true);
    bench.open(2, { isWritable: true });
    assert.deepEqual(bench.happened(), ["register, mark goes", "1 passthrough", "2 passthrough"]);
  });
  test("goes before the first of them is answered where readers came before; readers do not wait for that", () => {
    const bench = passing();
    bench.open(2, { isWritable: true });
    bench.open(3, { isWritable: true });
    bench.open(4);
    assert.deepEqual(bench.happened(), ["break-mark", "4 passthrough"]);
    bench.markBroken();
    bench.open(5, { isWritable: true });
    assert.deepEqual(bench.happened(), ["2 passthrough", "3 passthrough", "5 passthrough"]);
  });
  test("that cannot be removed lets nobody in who may write", () => {
    const bench = passing();
    bench.open(2, { isWritable: true });
    bench.markBroken("EIO");
    bench.open(3, { isWritable: true });
    assert.deepEqual(bench.happened(), ["break-mark", "2 EIO", "break-mark"]);
  });
});

describe("the registered descriptor", () => {
  test("is kept after the last open until nothing uses it, and used again by who comes before that", () => {
    const bench = passing();
    bench.ended("passthrough");
    bench.open(2);
    bench.unused();
    assert.deepEqual(bench.happened(), ["test", "2 passthrough"]);
    bench.ended("passthrough");
    bench.unused();
    assert.deepEqual(bench.happened(), ["test", "close-backing"]);
    bench.unused();
    bench.open(3);
    assert.deepEqual(bench.happened(), ["register"]);
  });
  test("is tested at once when somebody asks for the guard and nobody has the file open", () => {
    const bench = passing();
    bench.asked();
    assert.deepEqual(bench.happened(), []);
    bench.ended("passthrough");
    bench.asked();
    assert.deepEqual(bench.happened(), ["test", "test now"]);
  });
  test("keeps the file's object", () => {
    const bench = passing();
    bench.ended("passthrough");
    assert.equal(bench.opens.isIdle, false);
    bench.opens.forgotten();
    assert.equal(bench.opens.isIdle, true);
  });
});

describe("the steps of a registration", () => {
  const run = (isWritable: boolean, answers: Partial<Record<string, StepAnswer>>) => {
    const steps = registerSteps(isWritable);
    const done: string[] = [];
    let next = steps.next();
    while (next.done !== true) {
      done.push(next.value);
      const otherwise = next.value === "record" ? { generation: 0, record: null } : next.value === "register" ? 7 : 0;
      next = steps.next(answers[next.value] ?? otherwise);
    }
    return { done: done.join(" "), end: next.value };
  };
  test("guard, mark, record, and only then the kernel", () => {
    assert.deepEqual(run(true, {}), { done: "open guard mark record register", end: { kind: "registered", id: 7, stored: { generation: 0, record: null }, isMarkGone: true } });
    assert.equal(run(false, {}).done, "open guard record register");
  });
  test("what fails closes the descriptor, and with it the guard", () => {
    for (const [answers, done] of [
      [{ guard: -11 }, "open guard close"], [{ mark: -5 }, "open guard mark close"], [{ record: -5 }, "open guard mark record close"],
      [{ record: { generation: 2, record: managed } }, "open guard mark record close"], [{ register: -1 }, "open guard mark record register close"], [{ open: -2 }, "open"],
    ] as const) {
      const { done: seen, end } = run(true, answers);
      assert.equal(seen, done);
      assert.equal(end.kind, "refused");
    }
  });
  test("a file without a record, or with one that asks for nothing, may pass", () => {
    assert.deepEqual([null, resident, managed].map(mayPassThrough), [true, true, false]);
  });
});
