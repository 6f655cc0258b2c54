/**
 * A real mount with a scripted main thread, for tests of the reactor without a cluster: events, holds, fences and rounds on
 * the kernel's own terms. Grants interest at once and lets rounds pass, as a single node would.
 *
 * Not here  anything a daemon uses.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mountFuseControl } from "../machine.js";
import { WatchdogChild } from "../watchdog-child.js";
import { detachLeftOver, unmountPlace } from "../../fuse/mount.js";
import { eventSet, type EventType } from "../../dmapi/events.js";
import type { FsName, Handle, RequestId } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";
import type { WaiterEntry } from "../../dmapi/status.js";
import type { Decision } from "../../cluster/node-contract.js";
import type { RoundWork } from "../../cluster/messages.js";
import * as files from "../../os/files.js";
import { tryTakeGuard } from "../../volume/guard.js";
import { Handles, ownText } from "../../volume/handles.js";
import { readRecord, writeRecord } from "../../volume/record.js";
import type { EventOfReactor, FromReactor } from "../reactor-port.js";
import { type MountOptions, ReactorMount } from "./mount.js";

export const KEY = "5a".repeat(32);
export const FSID = "0123456789abcdef";
const WAIT_MS = 30_000; // a loaded machine takes long to start a thread
/** So long a standstill is the test's own affair. */
const STANDSTILL_MS = 24 * 3600_000;

/**
 * A backing directory and as many mounts of it as a test wants; `close` leaves nothing behind. A watchdog sees to it that a
 * test which is killed leaves no user who waits for ever.
 */
export class Bench {
  readonly directory = mkdtempSync(join(tmpdir(), "sluice-test-reactor-"));
  readonly backing = join(this.directory, "backing");
  readonly #mounts: BenchMount[] = [];
  readonly #isMounted: boolean;
  readonly #children: ChildProcess[] = [];
  readonly #watchdog: WatchdogChild;

  /** `backingSize`: a file system of its own of that many bytes, in memory. */
  constructor(options: { readonly backingSize?: number } = {}) {
    this.#isMounted = options.backingSize !== undefined;
    chmodSync(this.directory, 0o755);
    mkdirSync(this.backing, { mode: 0o700 });
    if (this.#isMounted) execFileSync("mount", ["-t", "tmpfs", "-o", `size=${options.backingSize},mode=700`, "none", this.backing]);
    mkdirSync(join(this.backing, ".sluice/meta"), { recursive: true });
    mountFuseControl(console.error);
    this.#watchdog = new WatchdogChild(STANDSTILL_MS, () => this.#connections(), (why) => console.error(`the watchdog ${why}`));
  }
  /** `mountpoint`: of a mount that is taken over. */
  async mount(options: Partial<MountOptions> = {}, owned: readonly EventType[] = []): Promise<BenchMount> {
    const mountpoint = options.mountpoint ?? join(this.directory, `mount${this.#mounts.length}`);
    if (options.left === undefined) mkdirSync(mountpoint);
    const mount = await BenchMount.start(this.backing, mountpoint, options, owned);
    this.#mounts.push(mount);
    this.#watchdog.beat();
    return mount;
  }
  #connections(): { minor: number; tick: number }[] {
    return this.#mounts.flatMap(({ mount }) => (mount.isOver || mount.connection === undefined ? [] : [{ minor: mount.connection, tick: 0 }]));
  }
  /** A program whose end the bench sees to. */
  run(command: string, args: readonly string[], stdin: "ignore" | "pipe" = "ignore"): Program {
    const child = spawn(command, args, { stdio: [stdin, "pipe", "pipe"], cwd: "/" });
    this.#children.push(child);
    return new Program(child);
  }
  shell(script: string): Program {
    return this.run("sh", ["-c", script]);
  }
  /** A JavaScript program that does something for each byte it is sent, and says so. */
  converse(script: string): Conversation {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["pipe", "pipe", "inherit"], cwd: "/" });
    this.#children.push(child);
    return new Conversation(child);
  }
  /** The file's record changed as a data manager would do it, under the exclusive guard. */
  changeRecord(name: string, change: (old: FileRecord) => Omit<FileRecord, "generation">, then: (fd: number) => void = () => {}): number {
    const fd = files.openAt(files.AT_FDCWD, join(this.backing, name), files.open.readWrite);
    const metaFd = files.openAt(files.AT_FDCWD, join(this.backing, ".sluice/meta"), files.open.readOnly | files.open.directory);
    try {
      const taken = tryTakeGuard(fd, "exclusive");
      if (taken < 0) throw new Error(`the guard of ${name} is not free (errno ${-taken})`);
      const kernel = files.nameToHandle(fd, "", files.AT_EMPTY_PATH);
      if (typeof kernel === "number") throw new Error("no handle");
      const stored = readRecord({ fd }, ownText(kernel), metaFd);
      const old = stored.kind === "own" ? stored.record : { generation: 0, residency: "resident" as const, regions: [], attributes: {} };
      const generation = stored.generation + 1;
      const written = writeRecord({ fd }, ownText(kernel), metaFd, stored, { ...change(old), generation });
      if (written < 0) throw new Error(`the record cannot be written (errno ${-written})`);
      then(fd);
      return generation;
    } finally {
      files.close(fd);
      files.close(metaFd);
    }
  }
  handleOf(name: string): Handle {
    const mountFd = files.openAt(files.AT_FDCWD, this.backing, files.open.readOnly | files.open.directory);
    const handle = new Handles({ clusterKey: KEY, fsid: FSID, mountFd }).ofName(mountFd, name);
    files.close(mountFd);
    if (typeof handle === "number") throw new Error(`no handle of ${name} (errno ${-handle})`);
    return handle;
  }
  async close(): Promise<void> {
    for (const child of this.#children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    for (const mount of this.#mounts) await mount.close();
    await this.#watchdog.stop();
    if (this.#isMounted) execFileSync("umount", [this.backing]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A running program: what it says and how it ends. */
export class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: string | null; output: string }>;
  hasEnded = false;

  constructor(child: ChildProcess) {
    this.child = child;
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString("latin1")));
    child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString("latin1")));
    this.ended = new Promise((resolve) =>
      child.on("close", (code, signal) => {
        this.hasEnded = true;
        resolve({ code, signal, output });
      }),
    );
  }
}

export class Conversation {
  readonly #child: ChildProcess;
  #said = "";
  #heard: () => void = () => {};

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout!.on("data", (chunk: Buffer) => {
      this.#said += chunk.toString("latin1");
      this.#heard();
    });
    child.on("close", () => this.#heard());
  }
  /** What it says next: so many bytes, fewer if it ends. */
  async ask(length: number): Promise<string> {
    this.#child.stdin!.write("\n");
    while (this.#said.length < length && this.#child.exitCode === null && this.#child.signalCode === null) {
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
    const said = this.#said.slice(0, length);
    this.#said = this.#said.slice(length);
    return said;
  }
}

export class BenchMount {
  readonly mountpoint: string;
  readonly mount: ReactorMount;
  /** Events that wait for an answer, and all that ever came. */
  readonly held: EventOfReactor[] = [];
  readonly seen: EventOfReactor[] = [];
  readonly messages: FromReactor[] = [];
  /** Answers events when set; undefined leaves them held. */
  answer: ((held: EventOfReactor) => Decision | undefined) | undefined;
  /** Events after the fact wait too, as for a log that is full. */
  holdsPostEvents = false;
  /** What the other members do in a round that an operation here waits for; undefined: nothing. */
  othersDo: ((work: RoundWork) => Promise<void>) | undefined;
  #round = 0;
  #report = 0;

  /** `owned`: from before anything is admitted. */
  static async start(backing: string, mountpoint: string, options: Partial<MountOptions>, owned: readonly EventType[]): Promise<BenchMount> {
    const mount = await ReactorMount.start({
      fs: "fs1" as FsName, backing, mountpoint, mode: "fast", clusterKey: KEY, fsid: FSID, node: "n1", eventList: 0, ticks: new SharedArrayBuffer(4), tickCell: 0,
      dataEventRetry: 2, guardTimeoutMs: 5000, interruptGraceMs: 500, heldBytesMax: 1 << 20, ...options,
    });
    const bench = new BenchMount(mountpoint, mount);
    mount.onMessage((message) => bench.#received(message));
    mount.post({ kind: "owned-events", events: eventSet(owned) });
    mount.post({ kind: "admission", isOpen: true, why: "" });
    return bench;
  }
  private constructor(mountpoint: string, mount: ReactorMount) {
    this.mountpoint = mountpoint;
    this.mount = mount;
  }

  own(...types: EventType[]): void {
    this.mount.post({ kind: "owned-events", events: eventSet(types) });
  }
  eventList(...types: EventType[]): void {
    this.mount.post({ kind: "fs-event-list", events: eventSet(types) });
  }
  resume(held: EventOfReactor, decision: Decision = { kind: "continue" }): void {
    const at = this.held.indexOf(held);
    if (at >= 0) this.held.splice(at, 1);
    this.mount.post({ kind: "resume", operation: held.operation, decision });
  }
  /** Resolves when every member's reactor would have acknowledged: this one has. */
  async round(work: RoundWork): Promise<void> {
    const round = `r${++this.#round}` as RequestId;
    this.mount.post({ kind: "round", round, from: "n1", work });
    await this.until(`round ${work.kind}`, () => this.messages.some((message) => message.kind === "round-drained" && message.round === round));
  }
  async event(type: EventType): Promise<EventOfReactor> {
    await this.until(`event ${type}`, () => this.held.some((held) => held.event.type === type));
    return this.held.find((held) => held.event.type === type)!;
  }
  async waiters(): Promise<readonly WaiterEntry[]> {
    return (await this.report()).waiters;
  }
  async report(): Promise<Extract<FromReactor, { kind: "reported" }>> {
    const id = ++this.#report;
    const find = () => this.messages.find((message) => message.kind === "reported" && message.id === id);
    this.mount.post({ kind: "report", id });
    await this.until("report", () => find() !== undefined);
    return find() as Extract<FromReactor, { kind: "reported" }>;
  }
  async until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    while (!(await isTrue())) {
      if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS} ms in vain for ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  async close(): Promise<void> {
    await this.mount.stop().catch(async () => {
      await unmountPlace(this.mountpoint, true).catch(() => {});
      await this.mount.stop({ isLazy: true });
    });
    detachLeftOver(this.mountpoint); // of a connection that was aborted
  }

  #received(message: FromReactor): void {
    this.messages.push(message);
    if (message.kind === "ended" && message.why !== "unmounted" && message.why !== "asked to end" && message.why !== "left to the next daemon") console.error(message.why);
    if (message.kind === "interest-wanted") this.mount.post({ kind: "interest-granted", handle: message.handle, fence: "null", fenceNumber: 0 });
    else if (message.kind === "round-wanted") {
      const resume = () => this.mount.post({ kind: "resume", operation: message.operation, decision: { kind: "continue" } });
      if (this.othersDo === undefined) resume();
      else void this.othersDo(message.work).then(resume);
    }
    else if (message.kind === "operation-gone") {
      const at = this.held.findIndex((held) => held.operation === message.operation);
      if (at >= 0) this.held.splice(at, 1);
    } else if (message.kind === "event-held") {
      this.seen.push(message.held);
      const decision = message.held.isSynchronous ? this.answer?.(message.held) : this.holdsPostEvents ? undefined : { kind: "continue" as const };
      if (decision === undefined) this.held.push(message.held);
      else this.mount.post({ kind: "resume", operation: message.held.operation, decision });
    }
  }
}
