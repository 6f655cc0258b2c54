/**
 * The daemon's end of its holder: what an earlier daemon left, and what this one has held.
 *
 * Owns      beginning a holder when there is none; which mounts nobody has claimed yet.
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
const LOOK_MS = 2_000;

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

export class HolderLink {
  readonly #socket: number;
  readonly #left = new Map<string, LeftMount & { readonly kept: KeptDescriptor[] }>();
  readonly #looking: NodeJS.Timeout;
  #isLost = false;

  /** Connects to the holder there. Undefined: there is none, and none was to begin. @throws Error in words for the operator. */
  static async open(options: { readonly path: string; readonly limitMs: number; readonly begins: boolean; readonly log: (line: string) => void }): Promise<HolderLink | undefined> {
    const { path, begins } = options;
    const untilMs = performance.now() + ANSWER_WITHIN_MS;
    for (;;) {
      let socket = connectUnix(path, "messages");
      if (socket < 0 && !begins) return undefined;
      if (socket < 0) socket = await begin(path);
      const link = new HolderLink(socket, options.log);
      link.#say({ kind: "hello", limitMs: options.limitMs });
      if (link.#hearAll(options.log)) return link;
      link.close();
      if (performance.now() > untilMs) throw new Error(`the holder at ${path} serves another daemon`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  private constructor(socket: number, log: (line: string) => void) {
    this.#socket = socket;
    this.#looking = setInterval(() => {
      if (this.#isLost || receiveNow(socket, Buffer.alloc(1)) === -errno.EAGAIN) return;
      this.#isLost = true;
      log("warning: the holder has ended; mounts end with this daemon from now on");
    }, LOOK_MS);
    this.#looking.unref();
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
  end(source: string): void {
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
    close(this.#socket);
  }

  #say(message: ToHolder, fds: readonly number[] = []): number {
    return sendPatiently(this.#socket, message, fds);
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
