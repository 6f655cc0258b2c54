/**
 * A small process beside the daemon, which holds what a mount needs to outlive it: the device, the mount's memory, and the
 * descriptors with users' locks and of files without a name. While no daemon is there users wait in the kernel, and the
 * next daemon is given everything. When the holder ends too, or gives a mount up, the mount's users get an error.
 *
 * It does nothing on a mount itself but let the kernel forget names and attributes when its daemon has gone, since nobody
 * is then there whom another node could ask to drop them (safety H7). It never reads a request.
 *
 * It tells in a file beside its socket what it is and what it holds; the next daemon logs what it has seen.
 *
 * Run as    node holder.js SOCKET
 * Ends      when it holds nothing and no daemon is connected, or none has come for a minute; by any signal.
 * Source    safety H11; fuse-facts section 5.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beginEpoch, invalidateInode } from "../../fuse/codec/notify.js";
import { acceptUnix, listenUnix, peerCredentials } from "../../os/descriptors.js";
import { PollSet, POLLERR, POLLIN, write } from "../../os/device.js";
import { errno, errnoName } from "../../os/errno.js";
import { close } from "../../os/files.js";
import { raiseOpenFileLimit, setThreadName } from "../../os/process.js";
import { type FromKeeper, KEPT_PER_MESSAGE, type KeptName, type MountPlace, receiveMessage, sendPatiently, type ToHolder } from "./messages.js";
import { MountMemory } from "./mount-memory.js";

const OPEN_FILES_WANTED = 1 << 20;
const LONGEST_WAIT_MS = 60_000;
/** Lines kept for the next daemon. */
const SAID_MAX = 100;

interface Held {
  readonly place: MountPlace;
  readonly fuseFd: number;
  readonly memoryFd: number;
  /** -1 while nobody serves it. */
  keeper: number;
  readonly kept: Map<string, { readonly fd: number; readonly note: string }>;
}
/** As `identify` of the command line's processes names it. */
export interface HolderDocument {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
  readonly mounts: readonly MountPlace[];
  /** Since when no daemon serves them; absent while one does. Milliseconds since 1970. */
  readonly aloneSinceMs?: number;
}

class Holder {
  readonly #path: string;
  readonly #listening: number;
  readonly #held = new Map<string, Held>();
  #daemon = -1;
  #daemonPid = 0;
  #limitMs = 0;
  /** Of `performance`: the clock on the wall may jump. */
  #aloneSinceMs: number | undefined;
  /** When the last one that served went; of one that only came and went nobody has had anything. */
  #formerAloneMs: number | undefined;
  #said: string[] = [];
  #hasServed = false;

  constructor(path: string) {
    this.#path = path;
    rmSync(path, { force: true });
    this.#listening = listenUnix(path, "messages");
    if (this.#listening < 0) throw new Error(`${path}: ${errnoName(this.#listening)}`);
    this.#tell();
  }

  run(): void {
    while (!this.#isOver) this.#wait();
    rmSync(this.#path, { force: true });
    rmSync(`${this.#path}.json`, { force: true });
  }
  get #isOver(): boolean {
    if (this.#daemon >= 0 || this.#held.size > 0) return false;
    return this.#hasServed || performance.now() >= LONGEST_WAIT_MS; // since it began
  }

  #wait(): void {
    const held = [...this.#held.values()];
    const keepers = held.filter(({ keeper }) => keeper >= 0);
    const sources = [{ fd: this.#listening, events: POLLIN }, { fd: this.#daemon, events: POLLIN }, ...held.map(({ fuseFd }) => ({ fd: fuseFd, events: 0 })), ...keepers.map(({ keeper }) => ({ fd: keeper, events: POLLIN }))];
    const poll = new PollSet(sources);
    if (poll.wait(this.#untilNextMs) < 0) return;
    for (const [at, each] of held.entries()) if ((poll.happened(2 + at) & POLLERR) !== 0) this.#end(each, "was unmounted or aborted");
    for (const [at, each] of keepers.entries()) if (poll.happened(2 + held.length + at) !== 0 && this.#held.has(each.place.source)) this.#hearKeeper(each);
    if (poll.happened(1) !== 0) this.#hearDaemon();
    if (poll.happened(0) !== 0) this.#accept();
    this.#giveUp();
  }
  get #untilNextMs(): number {
    if (this.#aloneSinceMs === undefined) return LONGEST_WAIT_MS;
    return Math.max(0, Math.min(LONGEST_WAIT_MS, this.#aloneSinceMs + this.#limitMs - performance.now()));
  }
  #giveUp(): void {
    if (this.#aloneSinceMs === undefined || performance.now() < this.#aloneSinceMs + this.#limitMs) return;
    for (const held of [...this.#held.values()]) this.#end(held, `was given up: no daemon came within ${this.#limitMs} ms`);
  }

  // A daemon comes, and goes.

  #accept(): void {
    const socket = acceptUnix(this.#listening);
    if (socket < 0) return;
    const who = peerCredentials(socket);
    // One at a time: that the former has gone shows by the end of its connection, when none of its descriptors is left.
    if (typeof who === "number" || who.uid !== 0 || this.#daemon >= 0) return void close(socket);
    this.#daemon = socket;
    this.#daemonPid = who.pid;
    this.#hasServed = true;
  }
  #hearDaemon(): void {
    const got = receiveMessage<ToHolder>(this.#daemon, 0);
    if (got === undefined) return this.#daemonGone();
    if (typeof got === "number") return got === -errno.ETIMEDOUT || got === -errno.EAGAIN ? undefined : this.#daemonGone();
    const { message, fds } = got;
    switch (message.kind) {
      case "hello":
        this.#limitMs = message.limitMs;
        return this.#handOver();
      case "hold": {
        const [fuseFd, memoryFd, keeper] = fds;
        if (fuseFd === undefined || memoryFd === undefined || keeper === undefined) return;
        const before = this.#held.get(message.place.source);
        if (before !== undefined) this.#end(before, "was mounted anew");
        this.#formerAloneMs = undefined;
        this.#held.set(message.place.source, { place: message.place, fuseFd, memoryFd, keeper, kept: new Map() });
        return this.#tell();
      }
      case "served": {
        const held = this.#held.get(message.source);
        if (held === undefined || fds[0] === undefined) for (const fd of fds) close(fd);
        else {
          held.keeper = fds[0];
          this.#formerAloneMs = undefined;
        }
        return;
      }
      case "end": {
        const held = this.#held.get(message.source);
        if (held !== undefined) this.#end(held, undefined);
      }
    }
  }
  #handOver(): void {
    const goneMs = this.#aloneSinceMs === undefined ? 0 : Math.round(performance.now() - this.#aloneSinceMs);
    this.#formerAloneMs = this.#aloneSinceMs;
    this.#aloneSinceMs = undefined;
    for (const { place, fuseFd, memoryFd, kept } of this.#held.values()) {
      sendPatiently(this.#daemon, { kind: "mount", place, goneMs }, [fuseFd, memoryFd]);
      const all = [...kept].map(([key, { fd, note }]) => ({ key, note, fd }));
      for (let at = 0; at < all.length; at += KEPT_PER_MESSAGE) {
        const some = all.slice(at, at + KEPT_PER_MESSAGE);
        const names: KeptName[] = some.map(({ key, note }) => ({ key, note }));
        sendPatiently(this.#daemon, { kind: "kept", source: place.source, names }, some.map(({ fd }) => fd));
      }
    }
    sendPatiently(this.#daemon, { kind: "all", said: this.#said });
    this.#said = [];
    this.#tell();
  }
  #daemonGone(): void {
    close(this.#daemon);
    this.#daemon = -1;
    const now = Date.now();
    for (const held of this.#held.values()) {
      while (held.keeper >= 0) this.#hearKeeper(held); // what it still had said
      this.#forgetNames(held, now);
    }
    if (this.#held.size === 0) return;
    this.#aloneSinceMs = this.#formerAloneMs ?? performance.now();
    this.#say(`daemon ${this.#daemonPid} has ended; ${this.#held.size} of its mounts wait for the next one`);
    this.#tell();
  }
  /** None of these waits for anything; a kernel that cannot forget all names at once was allowed to keep none. */
  #forgetNames({ fuseFd, memoryFd }: Held, now: number): void {
    const memory = MountMemory.takeOver(memoryFd);
    if ("refusal" in memory) return;
    memory.diedAtMs = now;
    const names = beginEpoch();
    write(fuseFd, names, 0, names.length);
    for (const { nodeid } of memory.inodes()) {
      const attributes = invalidateInode(nodeid, -1, 0);
      write(fuseFd, attributes, 0, attributes.length);
    }
    memory.close();
  }

  // One mount.

  #hearKeeper(held: Held): void {
    const got = receiveMessage<FromKeeper>(held.keeper, 0);
    if (got === -errno.ETIMEDOUT || got === -errno.EAGAIN) return;
    if (got === undefined || typeof got === "number") {
      close(held.keeper);
      held.keeper = -1;
      return;
    }
    if (got.message.kind === "drop") {
      for (const key of got.message.keys) drop(held, key);
      return;
    }
    for (const [at, { key, note }] of got.message.names.entries()) {
      const fd = got.fds[at];
      if (fd === undefined) continue;
      drop(held, key);
      held.kept.set(key, { fd, note });
    }
  }
  #end(held: Held, why: string | undefined): void {
    this.#held.delete(held.place.source);
    for (const key of [...held.kept.keys()]) drop(held, key);
    for (const fd of [held.keeper, held.fuseFd, held.memoryFd]) if (fd >= 0) close(fd);
    if (why !== undefined && this.#daemon < 0) this.#say(`the mount of ${held.place.fs} at ${held.place.mountpoint} ${why}`);
    this.#tell();
  }

  #say(line: string): void {
    this.#said.push(`${new Date().toISOString()} ${line}`);
    if (this.#said.length > SAID_MAX) this.#said.shift();
  }
  #tell(): void {
    const document: HolderDocument = {
      ...identity, mounts: [...this.#held.values()].map(({ place }) => place), ...(this.#aloneSinceMs === undefined ? {} : { aloneSinceMs: Math.round(Date.now() - (performance.now() - this.#aloneSinceMs)) }),
    };
    try {
      writeFileSync(`${this.#path}.json.new`, JSON.stringify(document), { mode: 0o600 });
      renameSync(`${this.#path}.json.new`, `${this.#path}.json`);
    } catch (error) {
      this.#say(`what is held could not be told: ${(error as Error).message}`);
    }
  }
}
function drop(held: Held, key: string): void {
  const kept = held.kept.get(key);
  if (kept === undefined) return;
  held.kept.delete(key);
  close(kept.fd);
}

const stat = readFileSync("/proc/self/stat", "latin1");
const identity = {
  pid: process.pid, startTicks: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]), bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setThreadName("sluice-holder");
  raiseOpenFileLimit(OPEN_FILES_WANTED);
  new Holder(process.argv[2]!).run();
}
