/**
 * Operations on a backing whose every call is a worker's, or one of them: what other nodes, and other requests, do between two of
 * them, step by step.
 *
 * Source    safety C4 (3), H1, H9, H12.
 */
import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { FsName } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";
import { regionFlags } from "../../dmapi/regions.js";
import type { Request, RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { LockRequest, setLock } from "../../os/locks.js";
import { RECORD_BYTE } from "../../volume/guard.js";
import { type JournalEntry, MountMemory } from "../holder/mount-memory.js";
import type { FromReactor } from "../reactor-port.js";
import { setxattr } from "./attribute-operations.js";
import { backingCalls, type Found, type VirtualChange } from "./backing-calls.js";
import { ReactorCore } from "./core.js";
import { copyFileRange, lseek, read, write } from "./data-operations.js";
import { Bench, FSID, KEY } from "./harness.js";
import type { Inode } from "./inode-table.js";
import { setlk } from "./lock-operations.js";
import { flush } from "./open-operations.js";
import { SideThreads, type SideRequest } from "./side-threads.js";
import { Task, type Steps } from "./task.js";

const REPLY_HEADER = 16;
const header = { unique: 9n, nodeid: 2, uid: 0, gid: 0, pid: 0, opcode: 0, length: 0 };
const whole = [{ offset: 0, size: 0, flags: regionFlags.read | regionFlags.write | regionFlags.truncate }];
const resident: Omit<FileRecord, "generation"> = { residency: "resident", regions: [], attributes: {} };

/** What a worker is to do, and which. */
interface Waiting {
  readonly request: SideRequest;
  readonly port: MessagePort;
}

/** A reactor's core whose workers do nothing until the test says so. */
class Stage {
  readonly bench = new Bench();
  readonly posted: FromReactor[] = [];
  readonly core: ReactorCore;
  readonly #workers: readonly MessagePort[];
  readonly #threads: SideThreads;
  readonly #kernel: string;
  readonly #kernelFd: number;

  constructor({ isRemote }: { readonly isRemote: boolean }) {
    const channels = [new MessageChannel(), new MessageChannel()];
    this.#workers = channels.map(({ port2 }) => port2);
    this.#threads = new SideThreads(channels.map(({ port1 }) => port1));
    this.#kernel = join(this.bench.directory, "replies");
    this.#kernelFd = openSync(this.#kernel, "w");
    this.core = new ReactorCore(
      {
        fs: "fs1" as FsName, backing: this.bench.backing, isRemote, mountpoint: "/nowhere", mode: "fast", clusterKey: KEY, fsid: FSID, node: "n1",
        fuseFd: this.#kernelFd, wakeFd: -1, channelFd: -1, eventList: 0, ticks: new SharedArrayBuffer(4), tickCell: 0, dataEventRetry: 2, guardTimeoutMs: 100, interruptGraceMs: 100, heldBytesMax: 1 << 20,
        survival: { memoryFd: MountMemory.makeFile("test"), keeperFd: -1 },
      },
      { post: (message) => this.#heard(message), io: this.#threads, notifiers: this.#threads, patientNotifiers: this.#threads },
    );
    this.core.step({ kind: "admission", isOpen: true, why: "" });
  }
  #heard(message: FromReactor): void {
    this.posted.push(message);
    if (message.kind === "interest-wanted") this.core.step({ kind: "interest-granted", handle: message.handle, fence: "null", fenceNumber: 0 });
  }
  /** Lets the workers do their calls one after another; stops before the first of that name. */
  workUntil(name?: string): void {
    for (;;) {
      this.core.runReady();
      const next = this.waiting[0];
      if (next === undefined || (next.request.kind === "call" && next.request.name === name)) return;
      this.#waiting.shift();
      this.#do(next);
    }
  }
  /** Asked for, and not done. */
  get waiting(): readonly Waiting[] {
    for (const port of this.#workers) {
      const message = receiveMessageOnPort(port)?.message as SideRequest | undefined;
      if (message !== undefined) this.#waiting.push({ request: message, port });
    }
    return this.#waiting;
  }
  readonly #waiting: Waiting[] = [];
  #do({ request, port }: Waiting): void {
    const result = request.kind === "call" ? (backingCalls[request.name as "close"] as (...args: readonly unknown[]) => unknown)(...request.args) : 0;
    port.postMessage({ id: request.id, result });
    this.#threads.receive();
  }
  open(name: string, content: Buffer): { inode: Inode; fh: number } {
    writeFileSync(join(this.bench.backing, name), content);
    const found = backingCalls.find(this.core.rootFd, name, this.core.metaFd) as Found;
    const inode = this.core.intern(found, undefined, name, true);
    return { inode, fh: this.core.opens.add(inode, files.open.readWrite, "direct").fh };
  }
  /** Region, record, punch, as a data manager does it once all who could be asked have drained. */
  migrate(name: string, length: number): void {
    this.bench.changeRecord(name, () => ({ ...resident, residency: "partial", regions: whole }), (fd) => {
      assert.equal(files.fallocate(fd, files.FALLOC_PUNCH_HOLE | files.FALLOC_KEEP_SIZE, 0, length), 0);
    });
  }
  run(steps: (core: ReactorCore, task: Task) => Steps, kind: string, request?: Request, past?: JournalEntry): Task {
    const task = new Task(request, kind);
    task.past = past;
    this.core.start(task, steps(this.core, task));
    return task;
  }
  /** What the kernel was answered, without headers. */
  get answered(): Buffer {
    return readFileSync(this.#kernel).subarray(REPLY_HEADER);
  }
  /** Of the last answer, which has no body: its errno. */
  get lastError(): number {
    return Math.abs(readFileSync(this.#kernel).subarray(-REPLY_HEADER).readInt32LE(4));
  }
  async close(): Promise<void> {
    this.core.close();
    for (const port of this.#workers) port.close();
    closeSync(this.#kernelFd);
    await this.bench.close();
  }
}

const canOpenHandles = process.getuid?.() === 0 && existsSync("/dev/fuse");
describe("between two calls to a remote backing", { skip: canOpenHandles ? false : "needs root" }, () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage({ isRemote: true });
  });
  afterEach(() => stage.close());
  const content = Buffer.alloc(8192, "x");

  /** As any other operation of the node would: it learns the new record while the first is under way. */
  function learn(inode: Inode): void {
    const stored = backingCalls.loadRecord(inode.pathFd, inode.own, stage.core.metaFd);
    assert.ok(typeof stored !== "number");
    stage.core.records.seen(inode, stored);
  }

  test("a backing whose workers stand still stops the operations that need it, not the reactor", () => {
    const { fh } = stage.open("f", content);
    const reading = stage.run((core, task) => read(core, task, { kind: "read", header, fh, offset: 0, size: 4096, readFlags: 2, flags: 0 }), "read");
    stage.core.runReady();
    assert.ok(reading.isSuspended, "the read waits for a worker");
    const flushing = stage.run((core, task) => flush(core, task, { kind: "flush", header, fh, owner: 1n }), "flush");
    assert.ok(!flushing.isSuspended, "what needs no backing ends at once");
    assert.equal(stage.answered.length, 0, "no byte was read by the reactor itself");
    stage.workUntil();
    assert.deepEqual(stage.answered.subarray(0, 4096), content.subarray(0, 4096));
  });
  describe("a user's lock", () => {
    let file: ReturnType<Stage["open"]>;
    let there: number;
    beforeEach(() => {
      file = stage.open("f", content);
      there = openSync(join(stage.bench.backing, "f"), "r+");
    });
    afterEach(() => closeSync(there));
    const asksLock = (type: number) => {
      const request: RequestOf<"setlk"> = { kind: "setlk", header: { ...header, nodeid: file.inode.nodeid }, fh: file.fh, owner: 1n, lock: { start: 0n, end: 9n, type, pid: 7 }, flags: 0 };
      return stage.run((core, task) => setlk(core, task, request), "lock");
    };
    const closes = () => stage.run((core, task) => flush(core, task, { kind: "flush", header, fh: file.fh, owner: 1n }), "flush");
    const asOther = () => {
      const result = setLock(there, new LockRequest().fill("write", 0n, 1n));
      setLock(there, new LockRequest().fill("unlock", 0n, 1n));
      return result;
    };

    test("is asked for by a worker", () => {
      const locking = asksLock(1);
      stage.workUntil("lock");
      assert.equal(asOther(), 0);
      assert.ok(locking.isSuspended, "the lock waits for a worker");
      stage.workUntil();
      assert.equal(asOther(), -errno.EAGAIN);
    });
    test("is given up when its close is answered, whenever a worker closes the descriptor", () => {
      asksLock(1);
      stage.workUntil();
      const closing = closes();
      stage.workUntil("close");
      assert.ok(!closing.isSuspended, "answered");
      assert.equal(asOther(), 0, "given up");
    });
    test("and its unlock by another thread are done one after the other", () => {
      asksLock(1);
      stage.workUntil("lock");
      const unlocking = asksLock(2);
      stage.core.runReady();
      assert.equal(stage.waiting.length, 1, "the unlock's turn is not yet");
      stage.workUntil();
      assert.ok(!unlocking.isSuspended);
      assert.equal(asOther(), 0);
    });
    test("that is asked for while another thread closes the file is asked for by a descriptor of its own", () => {
      asksLock(1);
      stage.workUntil();
      closes();
      stage.workUntil("lock");
      const again = asksLock(1);
      stage.workUntil();
      assert.ok(!again.isSuspended);
      assert.equal(asOther(), -errno.EAGAIN, "it holds");
      closes();
      stage.workUntil();
      assert.equal(asOther(), 0);
    });
  });
  test("a descriptor that a look-up brings while one is being opened is the one that both use", () => {
    const { inode } = stage.open("f", content);
    stage.core.inodes.pin(inode);
    files.close(inode.pathFd);
    inode.pathFd = -1; // as after a takeover, or when it has rested
    let given = -1;
    stage.run(function* (core) {
      given = yield* core.pathFd(inode);
      return undefined;
    }, "needs it");
    stage.workUntil("openHandle");
    assert.equal(stage.waiting.length, 1);
    assert.equal(stage.core.intern(backingCalls.find(stage.core.rootFd, "f", stage.core.metaFd) as Found, undefined, "f", true), inode);
    const brought = inode.pathFd;
    assert.ok(brought >= 0);
    stage.workUntil();
    assert.deepEqual([given, inode.pathFd], [brought, brought]);
  });
  test("a read admitted under the old record does not give the hole, though the node has learned the new one meanwhile", () => {
    const { inode, fh } = stage.open("f", content);
    const request: RequestOf<"read"> = { kind: "read", header, fh, offset: 0, size: 4096, readFlags: 2, flags: 0 };
    stage.run((core, task) => read(core, task, request), "read");
    stage.workUntil("reopen"); // admitted; its descriptor is being opened
    stage.migrate("f", content.length);
    learn(inode);
    stage.workUntil();
    assert.equal(stage.answered.length, 0, "nothing is answered yet");
    assert.equal(stage.posted.at(-1)?.kind, "event-held", "it waits for the recall");
  });
  test("nor does copy_file_range from it", () => {
    const from = stage.open("from", content);
    const to = stage.open("to", Buffer.alloc(0));
    const request: RequestOf<"copyFileRange"> = { kind: "copyFileRange", header, fh: from.fh, offset: 0, nodeidOut: to.inode.nodeid, fhOut: to.fh, offsetOut: 0, length: 4096, is64: false };
    stage.run((core, task) => copyFileRange(core, task, request), "copy");
    stage.workUntil("reopen");
    stage.migrate("from", content.length);
    learn(from.inode);
    stage.workUntil();
    assert.equal(stage.answered.length, 0);
    assert.equal(stage.posted.at(-1)?.kind, "event-held");
  });
  test("SEEK_DATA does not find the hole of a file that was whole when it looked", () => {
    const { fh } = stage.open("f", content);
    const request: RequestOf<"lseek"> = { kind: "lseek", header, fh, offset: 0, whence: files.SEEK_HOLE };
    stage.run((core, task) => lseek(core, task, request), "lseek");
    stage.workUntil("seek");
    stage.migrate("f", content.length);
    stage.workUntil();
    assert.equal(stage.answered.readBigUInt64LE(0), BigInt(content.length), "all of it is data");
  });
  test("what is shown of a stub: two nodes change it in turns, threads of one node too, and it never becomes shorter by a write", () => {
    const { inode } = stage.open("f", content);
    const shown = { size: 8192, atimeNs: 1n, mtimeNs: 2n, ctimeNs: 3n };
    stage.bench.changeRecord("f", () => ({ ...resident, residency: "partial", regions: whole, virtual: shown }));
    const here = openSync(join(stage.bench.backing, "f"), "r+");
    const there = openSync(join(stage.bench.backing, "f"), "r+");
    const change = (fd: number, by: VirtualChange) => backingCalls.updateVirtual(fd, inode.own, stage.core.metaFd, by);
    const turn = openSync(join(stage.bench.backing, "f"), "r+");
    setLock(turn, new LockRequest().fill("write", RECORD_BYTE, 1n));
    assert.equal(change(here, { end: 10_000, ctimeNs: 4n }), -errno.EAGAIN);
    closeSync(turn);
    setLock(here, new LockRequest().fill("write", RECORD_BYTE, 1n)); // a lock on the guard's own descriptor is no turn
    assert.equal(change(here, { end: 10_000, ctimeNs: 4n }), -errno.EAGAIN);
    setLock(here, new LockRequest().fill("unlock", RECORD_BYTE, 1n));
    change(there, { end: 10_000, ctimeNs: 4n });
    change(here, { end: 9_000, mtimeNs: 5n, ctimeNs: 5n });
    const stored = backingCalls.loadRecord(inode.pathFd, inode.own, stage.core.metaFd);
    assert.ok(typeof stored !== "number");
    assert.deepEqual(stored.record?.virtual, { size: 10_000, atimeNs: 1n, mtimeNs: 5n, ctimeNs: 5n });
    assert.equal(stored.generation, 3);
    closeSync(here);
    closeSync(there);
  });
});

describe("beside a slow disk, whichever call it is that waits for a worker", { skip: canOpenHandles ? false : "needs root" }, () => {
  let stage: Stage;
  let file: ReturnType<Stage["open"]>;
  beforeEach(() => {
    stage = new Stage({ isRemote: false });
    file = stage.open("f", Buffer.from("before"));
  });
  afterEach(() => stage.close());

  /** Runs it again and again, until each of its calls has been the one that had to wait; gives how many those were. */
  function runWith(steps: (core: ReactorCore, task: Task) => Steps, requestOf: (received: Buffer) => Request, check: (sent: Buffer) => void, past?: (sent: Buffer) => JournalEntry): number {
    const met = new Set<string>();
    for (;;) {
      let waits: string | undefined;
      stage.core.pace.allows = (name) => {
        if (waits !== undefined || met.has(name)) return name !== waits;
        met.add(name);
        waits = name;
        return false;
      };
      const sent = Buffer.from(`number ${met.size}, `);
      const received = Buffer.from(sent);
      const task = stage.run(steps, "test", requestOf(received), past?.(sent));
      received.fill("?"); // the next request
      stage.workUntil();
      assert.ok(!task.isSuspended, `${waits}: it ends`);
      check(sent);
      if (waits === undefined) return met.size;
    }
  }
  const nodeHeader = () => ({ ...header, nodeid: file.inode.nodeid });
  const bytes = () => readFileSync(join(stage.bench.backing, "f"), "latin1");

  for (const flags of [0, files.open.append]) {
    test(`${flags === 0 ? "a write" : "an append"} writes what came with it`, () => {
      let request: RequestOf<"write"> | undefined;
      const count = runWith(
        (core, task) => write(core, task, request!),
        (data) => (request = { kind: "write", header: nodeHeader(), fh: file.fh, offset: 6, writeFlags: 0, flags, data }),
        (sent) => assert.ok(bytes().endsWith(sent.toString("latin1")), bytes()),
      );
      assert.ok(count >= (flags === 0 ? 2 : 4), `${count} calls`);
    });
  }
  const begunBefore = (note: number): JournalEntry => ({ place: 0, unique: 9n, state: "begun", opcode: 0, result: 0, nodeid: 0, fh: 0, begunAtMs: 0, note });
  test("an append that an earlier daemon had made is found by what came with it", () => {
    let request: RequestOf<"write"> | undefined;
    let before = "";
    const count = runWith(
      (core, task) => write(core, task, request!),
      (data) => (request = { kind: "write", header: nodeHeader(), fh: file.fh, offset: 6, writeFlags: 0, flags: files.open.append, data }),
      (sent) => assert.equal(bytes(), before + sent.toString("latin1"), "once"),
      (sent) => {
        before = bytes();
        writeFileSync(join(stage.bench.backing, "f"), sent, { flag: "a" });
        return begunBefore(before.length);
      },
    );
    assert.ok(count >= 2, `${count} calls`);
  });
  test("an attribute is what came with it", () => {
    let request: RequestOf<"setxattr"> | undefined;
    const count = runWith(
      (core, task) => setxattr(core, task, request!),
      (value) => (request = { kind: "setxattr", header: nodeHeader(), name: "user.test", flags: 0, extraFlags: 0, value }),
      (sent) => {
        const found = backingCalls.getAttribute(file.inode.pathFd, "user.test", 100);
        assert.ok(typeof found !== "number" && Buffer.from(found).equals(sent));
      },
    );
    assert.ok(count >= 1, `${count} calls`);
  });
  test("an attribute that an earlier daemon had made is told by what came with it", () => {
    let request: RequestOf<"setxattr"> | undefined;
    const isNew = 1;
    const count = runWith(
      (core, task) => setxattr(core, task, request!),
      (value) => (request = { kind: "setxattr", header: nodeHeader(), name: "user.test", flags: isNew, extraFlags: 0, value }),
      () => assert.equal(stage.lastError, 0),
      (sent) => {
        backingCalls.setAttribute(file.inode.pathFd, "user.test", sent, 0, false);
        return begunBefore(0);
      },
    );
    assert.ok(count >= 2, `${count} calls`);
  });
});
