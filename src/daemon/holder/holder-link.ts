/**
 * The daemon's end of its holder: what an earlier daemon left, and what this one has held.
 *
 * Owns      beginning a holder when there is none, and another when it has ended under a daemon that serves: that one is
 *           given every mount anew, and each reactor gives it what it kept besides; which mounts nobody has claimed yet.
 * Not here  the holder itself (holder.ts), what a reactor has kept besides (reactor/descriptor-keeper.ts).
 * Source    safety H11.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { connectUnix, receiveNow, socketPair } from "../../os/descriptors.js";
import { errno, errnoName } from "../../os/errno.js";
import { close } from "../../os/files.js";
import { type FromHolder, type KeptName, type MountPlace, receiveMessage, sendPatiently, type ToHolder } from "./messages.js";

/** A loaded machine takes long to start a process. */
const BEGIN_WITHIN_MS = 20_000;
const ANSWER_WITHIN_MS = 20_000;
const LOOK_AGAIN_MS = 10;
const LOOK_MS = 500;
/** What a reactor that stands still has not given by then it gives later. */
const GIVEN_WITHIN_MS = 5_000;
/** Between two tries to begin another; one that lives for the longest of these was a good one. */
const AGAIN_MS = { first: 0, least: 1_000, most: 60_000 };

export interface KeptDescriptor extends KeptName {
  readonly fd: number;
}
/** A mount that waits for somebody to serve it. Whoever takes it owns its descriptors. */
export interface LeftMount {
  readonly place: MountPlace;
  readonly fuseFd: number;
  readonly memoryFd: number;
  readonly kept: readonly KeptDescriptor[];
  /** How long its users have waited. */
  readonly goneMs: number;
}

/** Where the holder of the daemon with that application socket is found; beside it, with `.json`, what it tells of itself. */
export function holderSocket(socket: string): string {
  return `${socket}.holder`;
}

/** A mount of this daemon that is to outlive it. */
interface Served {
  readonly place: MountPlace;
  readonly fuseFd: number;
  readonly memoryFd: number;
  /** Takes the reactor's end of a connection to another holder, which has nothing of it yet; returns when it has everything. */
  readonly connect: (keeperFd: number) => Promise<void>;
}

export interface HolderOptions {
  readonly path: string;
  /** So long users wait for the next daemon. */
  readonly limitMs: number;
  /** Where there is none. */
  readonly begins: boolean;
  readonly log: (line: string) => void;
  /** Whether mounts outlive this daemon may be otherwise than before. */
  readonly changed: () => void;
}

export class HolderLink {
  readonly #path: string;
  readonly #limitMs: number;
  readonly #begins: boolean;
  readonly #log: (line: string) => void;
  readonly #changed: () => void;
  /** -1 while there is none. */
  #socket: number;
  readonly #served = new Map<string, Served>();
  readonly #left = new Map<string, LeftMount & { readonly kept: KeptDescriptor[] }>();
  readonly #looking: NodeJS.Timeout;
  #isClosed = false;
  #begunAtMs = performance.now();
  #againMs = AGAIN_MS.first;
  /** Another is being begun. */
  #beginning: Promise<void> | undefined;

  /** Connects to the holder there. Undefined: there is none, and none was to begin. @throws Error in words for the operator. */
  static async open(options: HolderOptions): Promise<HolderLink | undefined> {
    const { path, begins } = options;
    const untilMs = performance.now() + ANSWER_WITHIN_MS;
    for (;;) {
      let socket = connectUnix(path, "messages");
      if (socket < 0 && !begins) return undefined;
      if (socket < 0) socket = await begin(path);
      const link = new HolderLink(socket, options);
      link.#say({ kind: "hello", limitMs: options.limitMs });
      if (link.#hearAll(options.log)) return link;
      link.close();
      if (performance.now() > untilMs) throw new Error(`the holder at ${path} serves another daemon`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  private constructor(socket: number, { path, limitMs, begins, log, changed }: HolderOptions) {
    this.#socket = socket;
    this.#path = path;
    this.#limitMs = limitMs;
    this.#begins = begins;
    this.#log = log;
    this.#changed = changed;
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    this.#looking.unref();
  }
  get #isThere(): boolean {
    return this.#socket >= 0 && receiveNow(this.#socket, Buffer.alloc(1)) === -errno.EAGAIN;
  }
  /** A daemon that only looked for what an earlier one had left wants no other. */
  #look(): void {
    if (this.#isClosed || this.#beginning !== undefined || this.#isThere) return;
    if (this.#socket >= 0) {
      close(this.#socket);
      this.#socket = -1;
      if (performance.now() - this.#begunAtMs > AGAIN_MS.most) this.#againMs = AGAIN_MS.first;
      this.#log(`warning: the holder has ended; ${this.#begins ? "until another has begun " : ""}mounts end with this daemon${this.#begins ? "" : " from now on"}`);
      this.#changed();
    }
    if (!this.#begins) return;
    this.#beginning = this.#beginAgain().then((told) => {
      this.#beginning = undefined;
      if (this.#isClosed) return;
      this.#changed();
      this.#log(told);
    });
  }
  /** What came of it, for the log. */
  async #beginAgain(): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, this.#againMs).unref());
    this.#againMs = Math.min(AGAIN_MS.most, Math.max(AGAIN_MS.least, this.#againMs * 2));
    if (this.#isClosed) return "";
    try {
      const socket = await begin(this.#path);
      if (this.#isClosed) {
        close(socket);
        return "";
      }
      this.#socket = socket;
      this.#begunAtMs = performance.now();
      this.#say({ kind: "hello", limitMs: this.#limitMs });
      if (!this.#hearAll(this.#log)) return "warning: another holder has begun and ended at once";
      const given = Promise.all([...this.#served.values()].map((served) => this.#holdAgain(served)));
      await Promise.race([given, new Promise((resolve) => setTimeout(resolve, GIVEN_WITHIN_MS).unref())]);
      return `another holder has begun; it holds ${this.#served.size} of this daemon's mounts, which outlive this daemon again`;
    } catch (error) {
      if (this.#socket >= 0) close(this.#socket);
      this.#socket = -1;
      return `warning: ${(error as Error).message}; mounts end with this daemon until a holder can be started`;
    }
  }
  async #holdAgain({ place, fuseFd, memoryFd, connect }: Served): Promise<void> {
    const keeperFd = this.hold(place, fuseFd, memoryFd);
    if (keeperFd >= 0) await connect(keeperFd);
  }
  /** When the one that has ended is replaced, if it can be: before mounts are left to it. */
  async whenThere(): Promise<void> {
    this.#againMs = AGAIN_MS.first;
    this.#look();
    await this.#beginning;
  }
  /** False: it has not seen yet that the daemon before this one has ended. */
  #hearAll(log: (line: string) => void): boolean {
    for (;;) {
      const got = receiveMessage<FromHolder>(this.#socket, ANSWER_WITHIN_MS);
      if (got === undefined) return false;
      if (typeof got === "number") throw new Error(`the holder does not answer (${errnoName(got)})`);
      const { message, fds } = got;
      if (message.kind === "all") {
        for (const line of message.said) log(`holder: ${line}`);
        return true;
      }
      if (message.kind === "mount") this.#left.set(message.place.source, { place: message.place, goneMs: message.goneMs, fuseFd: fds[0]!, memoryFd: fds[1]!, kept: [] });
      else for (const [at, name] of message.names.entries()) this.#left.get(message.source)?.kept.push({ ...name, fd: fds[at]! });
    }
  }

  /** The mount that was left under that name; nobody else gets it. */
  take(source: string): LeftMount | undefined {
    const left = this.#left.get(source);
    this.#left.delete(source);
    return left;
  }
  /** A mount that begins; the reactor's end of a connection to the holder, or the negative errno. */
  hold(place: MountPlace, fuseFd: number, memoryFd: number): number {
    return this.#withKeeper((end) => this.#say({ kind: "hold", place }, [fuseFd, memoryFd, end]));
  }
  /** One that was taken; likewise. */
  served(source: string): number {
    return this.#withKeeper((end) => this.#say({ kind: "served", source }, [end]));
  }
  #withKeeper(say: (end: number) => number): number {
    const pair = socketPair("messages");
    if (typeof pair === "number") return pair;
    const said = say(pair[1]);
    close(pair[1]);
    if (said >= 0) return pair[0];
    close(pair[0]);
    return said;
  }
  /**
   * What another holder is to be given when this one ends. `connect` takes the reactor's end of a connection to it, and the
   * reactor has to give it all that it keeps.
   */
  remember(place: MountPlace, fuseFd: number, memoryFd: number, connect: (keeperFd: number) => Promise<void>): void {
    this.#served.set(place.source, { place, fuseFd, memoryFd, connect });
  }
  /** Its descriptors are closed here from now on; the holder has it or not. */
  forget(source: string): void {
    this.#served.delete(source);
  }
  /** The next daemon could go on with it. */
  holds(source: string): boolean {
    return this.#beginning === undefined && this.#served.has(source) && this.#isThere;
  }
  end(source: string): void {
    this.forget(source);
    this.#say({ kind: "end", source });
  }
  /** What was left and nobody took ends: its users get an error. */
  endUnclaimed(log: (line: string) => void): void {
    for (const { place } of [...this.#left.values()]) {
      log(`${place.mountpoint}: the mount of ${place.fs} that an earlier daemon left is not wanted any more; it ends`);
      this.discard(this.take(place.source)!);
    }
  }
  /** It ends. */
  discard(left: LeftMount): void {
    for (const fd of [left.fuseFd, left.memoryFd, ...left.kept.map(({ fd }) => fd)]) close(fd);
    this.end(left.place.source);
  }
  close(): void {
    clearInterval(this.#looking);
    this.#isClosed = true;
    if (this.#socket >= 0) close(this.#socket);
    this.#socket = -1;
  }

  #say(message: ToHolder, fds: readonly number[] = []): number {
    return this.#socket < 0 ? -errno.ENOTCONN : sendPatiently(this.#socket, message, fds);
  }
}

async function begin(path: string): Promise<number> {
  const program = fileURLToPath(new URL("./holder.js", import.meta.url));
  // A session of its own, and nothing of the daemon's: it must not keep anybody waiting who waits for the daemon's end.
  const child = spawn(process.execPath, ["--max-old-space-size=32", program, path], { stdio: "ignore", cwd: "/", detached: true });
  let failure: string | undefined;
  child.on("error", (error) => (failure = error.message));
  child.on("exit", (code, signal) => (failure ??= `it ended with ${signal ?? code}`));
  child.unref();
  const untilMs = performance.now() + BEGIN_WITHIN_MS;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    const socket = connectUnix(path, "messages");
    if (socket >= 0) return socket;
    if (failure !== undefined) throw new Error(`the holder cannot be started: ${failure}`);
    if (performance.now() > untilMs) throw new Error(`the holder cannot be reached at ${path} (${errnoName(socket)})`);
  }
}
