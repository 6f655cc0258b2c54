/**
 * A mount as the daemon's main thread sees it: messages in, messages out. Hides the worker threads, the device, the eventfd
 * and the mount command.
 *
 * The main thread itself never touches the mount (safety M1); its end never waits for the reactor longer than the
 * reactor's one-second poll (V13).
 */
import { MessageChannel, Worker, type MessagePort } from "node:worker_threads";
import { close } from "../../os/files.js";
import * as files from "../../os/files.js";
import { eventfd } from "../../os/device.js";
import { socketPair } from "../../os/descriptors.js";
import { ignoreLeaseSignals, raiseOpenFileLimit } from "../../os/process.js";
import { connectionOf, detachLeftOver, hazards, mountDevice, openDevice, requestTimeouts, unmountPlace } from "../../fuse/mount.js";
import type { LeftMount } from "../holder/holder-link.js";
import type { MountPlace } from "../holder/messages.js";
import { MountMemory } from "../holder/mount-memory.js";
import { MainEnd } from "../reactor-channel.js";
import type { FromReactor, ReactorOptions, Survival, ToReactor } from "../reactor-port.js";
import type { SideThreadOptions } from "./side-threads.js";
import { SideWorker } from "./side-worker.js";
import type { BeginSide, ThreadData } from "./thread.js";

/** At most; those beyond `IO_THREADS_READY` (thread.ts) take the place of others that are at slow calls. */
const IO_THREADS = 16;
/** One for droppings that a round waits for, the others for those that may wait long in the kernel. */
const NOTIFIER_THREADS = 3;
const CLOSE_WITHIN_MS = 500;
const READY_WITHIN_MS = 60_000; // a loaded machine takes long to start a thread
/** Opens of users, cached objects and guards each take a descriptor. */
const OPEN_FILES_WANTED = 1 << 20;

/** Who keeps a mount alive beyond this daemon. */
export interface MountHolder {
  /** The mount that an earlier daemon left under that name; the caller's from then on. */
  take(source: string): LeftMount | undefined;
  /** The reactor's end of a connection, or the negative errno. */
  hold(place: MountPlace, fuseFd: number, memoryFd: number): number;
  served(source: string): number;
  /** When the holder ends and another begins, that one gets it, and `connect` the reactor's end of a new connection; it returns when the reactor has given everything. */
  remember(place: MountPlace, fuseFd: number, memoryFd: number, connect: (keeperFd: number) => Promise<void>): void;
  /** The mount's descriptors are closed here from now on. */
  forget(source: string): void;
  /** The next daemon could go on with it now. */
  holds(source: string): boolean;
  /** The mount is over. */
  end(source: string): void;
  /** Its users get an error. */
  discard(left: LeftMount): void;
}

export type MountOptions = Omit<ReactorOptions, "fuseFd" | "wakeFd" | "channelFd" | "survival"> & {
  /** What the mount table calls it; the name of the file system when absent. */
  readonly source?: string;
  /** Mounts although this kernel ends mounts whose requests wait for long. */
  readonly allowsRequestTimeouts?: boolean;
  /** Absent: the mount ends with its daemon. */
  readonly holder?: MountHolder | undefined;
  /** One that an earlier daemon left; then nothing is mounted. */
  readonly left?: LeftMount | undefined;
};

/** What a request leaves behind is small and gone at once: more room makes nothing faster, and is memory that each mount keeps. */
const YOUNG_GENERATION_MB = 16;

export class ReactorMount {
  readonly mountpoint: string;
  /** Of /sys/fs/fuse/connections, for the watchdog. */
  readonly connection: number | undefined;
  /** Settings of the kernel the operator should change. */
  readonly warnings: readonly string[];
  readonly #reactor: Worker;
  readonly #sides: SideWorker[] = [];
  /** What a side thread is given when it begins; none once it has begun, or never will. */
  readonly #sidesToBegin: (SideThreadOptions | undefined)[] = [];
  readonly #wakeFd: number;
  readonly #fuseFd: number;
  readonly #channel: MainEnd;
  readonly #channelFd: number;
  #whenReady: ((message: FromReactor) => void) | undefined;
  #listener: ((message: FromReactor) => void) | undefined;
  #early: FromReactor[] = [];
  #isOver = false;
  /** Tells the holder that there is nothing to hold any more. */
  #endHold: (() => void) | undefined;
  #forget: () => void = () => {};
  #holds: () => boolean = () => false;
  #keptAgain: () => void = () => {};
  #memoryFd = -1;
  readonly #isTakenOver: boolean;
  #overResolve: () => void = () => {};
  readonly #over: Promise<void>;

  /** @throws Error in words for the operator; nothing is left mounted or running then. */
  static async start(options: MountOptions, onMessage?: (message: FromReactor) => void): Promise<ReactorMount> {
    const timeouts = requestTimeouts();
    if (timeouts.length > 0 && options.allowsRequestTimeouts !== true) throw new Error(`refused: ${timeouts.join("; ")}`);
    raiseOpenFileLimit(OPEN_FILES_WANTED);
    if (options.passthrough === true) ignoreLeaseSignals();
    const { holder, left, ...forReactor } = options;
    if (left === undefined) detachLeftOver(options.mountpoint);
    const source = options.source ?? options.fs;
    const fuseFd = left?.fuseFd ?? openDevice();
    const wakeFd = eventfd();
    const channel = socketPair();
    if (typeof channel === "number") throw new Error(`no socket pair for the reactor (errno ${-channel})`);
    const survival = holder === undefined ? undefined : survivalOf(holder, source, left);
    const mount = new ReactorMount({ ...forReactor, fuseFd, wakeFd, channelFd: channel[1], ...(survival && { survival }) }, channel[0]);
    mount.#memoryFd = survival?.memoryFd ?? -1;
    if (onMessage !== undefined) mount.onMessage(onMessage);
    try {
      const ready = mount.#waitReady();
      if (left === undefined) await Promise.all([ready, mountDevice({ device: fuseFd, source, mountpoint: options.mountpoint })]);
      Object.assign(mount, { connection: connectionOf(options.mountpoint) });
      if (holder !== undefined && survival !== undefined) mount.#survives(holder, { fs: options.fs, source, mountpoint: options.mountpoint, minor: mount.connection ?? -1 }, survival, await ready);
      else await ready;
    } catch (error) {
      if (left !== undefined) holder?.end(source); // with the last descriptor of the device goes the mount
      await mount.stop({ isLazy: true }).catch(() => {});
      throw error;
    }
    return mount;
  }

  private constructor(options: ReactorOptions, mainEnd: number) {
    this.mountpoint = options.mountpoint;
    this.warnings = [...requestTimeouts(), ...hazards()];
    this.connection = undefined;
    this.#wakeFd = options.wakeFd;
    this.#fuseFd = options.fuseFd;
    this.#isTakenOver = options.survival?.left !== undefined;
    this.#over = new Promise((resolve) => (this.#overResolve = resolve));
    const over = new SharedArrayBuffer(4);
    const side = (count: number, isNotifier: boolean): MessagePort[] =>
      Array.from({ length: count }, () => {
        const channel = new MessageChannel();
        this.#sidesToBegin.push({ port: channel.port2, wakeFd: options.wakeFd, fuseFd: options.fuseFd, isAlone: isNotifier, over });
        return channel.port1;
      });
    const data: ThreadData = { options, io: side(IO_THREADS, false), notifiers: side(NOTIFIER_THREADS, true), over };
    this.#reactor = new Worker(new URL("./thread.js", import.meta.url), {
      workerData: data, transferList: [...data.io, ...data.notifiers], resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.#reactor.on("message", (at: BeginSide) => this.#beginSide(at));
    this.#channel = new MainEnd(mainEnd, (message) => this.#received(message));
    this.#channelFd = options.channelFd;
    this.#reactor.on("error", (error) => this.#threadEnded({ kind: "ended", why: `the reactor failed: ${error.stack ?? error.message}`, isFailure: true }));
    this.#reactor.on("exit", () => this.#threadEnded({ kind: "ended", why: "the reactor's thread ended", isFailure: true }));
  }

  /** Held from now on, where the kernel lets another daemon go on. */
  #survives(holder: MountHolder, place: MountPlace, { memoryFd, left }: Survival, canSurvive: boolean): void {
    const connect = (keeperFd: number): void => (this.#isOver ? void close(keeperFd) : this.post({ kind: "held", keeperFd }));
    if (left === undefined) {
      if (!canSurvive) return;
      const keeperFd = holder.hold(place, this.#fuseFd, memoryFd);
      if (keeperFd >= 0) connect(keeperFd);
    }
    holder.remember(place, this.#fuseFd, memoryFd, (keeperFd) => {
      connect(keeperFd);
      return Promise.race([this.#over, new Promise<void>((resolve) => (this.#keptAgain = resolve))]);
    });
    this.#forget = () => holder.forget(place.source);
    this.#holds = () => holder.holds(place.source);
    this.#endHold = () => {
      this.#endHold = undefined;
      holder.end(place.source);
    };
    if (this.#isOver) this.#endHold();
  }
  /** The next daemon can go on with it. */
  get isHeld(): boolean {
    return this.#endHold !== undefined && this.#holds();
  }
  /** Ends the threads and leaves the mount to the next daemon: its users wait. */
  async leave(): Promise<void> {
    if (this.#isOver) return;
    this.#endHold = undefined;
    this.post({ kind: "end", isLeft: true });
    await this.#over;
    // A notifier may wait for a page that only the next daemon fills: it ends then, and keeps nobody waiting (side-thread.ts).
    await Promise.race([this.#closeAll(), new Promise((resolve) => setTimeout(resolve, CLOSE_WITHIN_MS))]);
  }

  onMessage(listener: (message: FromReactor) => void): void {
    this.#listener = listener;
    const early = this.#early;
    this.#early = [];
    for (const message of early) listener(message);
  }
  post(message: ToReactor): void {
    if (this.#isOver) return;
    this.#channel.post(message);
  }
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Unmounts and ends the threads. Open files of users make the orderly form fail with what umount(8) says ("target is
   * busy"), and the mount goes on; the lazy form detaches it and ends the reactor: users' later calls fail.
   */
  async stop(how: { readonly isLazy?: boolean } = {}): Promise<void> {
    if (!this.#isOver) {
      if (connectionOf(this.mountpoint) !== undefined) await unmountPlace(this.mountpoint, how.isLazy ?? false);
      if (how.isLazy === true) this.post({ kind: "end" });
      await this.#over;
    }
    await this.#closeAll();
  }

  #beginSide(at: BeginSide): void {
    const workerData = this.#sidesToBegin[at];
    this.#sidesToBegin[at] = undefined;
    if (workerData === undefined) return; // the mount is over
    const given = { ...workerData, isAlone: workerData.isAlone && (this.isHeld || this.#isTakenOver) };
    this.#sides.push(new SideWorker(given));
  }

  /** What it had said before counts for more. */
  #threadEnded(message: FromReactor): void {
    this.#channel.drain();
    this.#received(message);
  }
  #received(message: FromReactor): void {
    this.#whenReady?.(message);
    if (message.kind === "survives-no-more") this.#endHold?.();
    if (message.kind === "kept-again") this.#keptAgain();
    if (message.kind === "ended") {
      if (this.#isOver) return;
      this.#isOver = true;
      if (message.isFailure !== true) this.#endHold?.();
      this.#overResolve();
      // Users of a mount that nobody serves any more get an error, not a wait.
      void this.#closeAll();
    }
    if (this.#listener === undefined) this.#early.push(message);
    else this.#listener(message);
  }
  /** Whether another daemon could go on with it. */
  #waitReady(): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the kernel did not begin to talk to the mount at ${this.mountpoint}`)), READY_WITHIN_MS);
      this.#whenReady = (message) => {
        if (message.kind !== "ready" && message.kind !== "ended") return;
        this.#whenReady = undefined;
        clearTimeout(timer);
        if (message.kind === "ready") resolve(message.canSurvive);
        else reject(new Error(`the mount at ${this.mountpoint} ended at once: ${message.why}`));
      };
    });
  }
  #closing: Promise<void> | undefined;
  /** The device goes first: a notifier that waits in the kernel is freed by the end of the connection. */
  #closeAll(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }
  async #close(): Promise<void> {
    this.#forget();
    for (const side of this.#sidesToBegin.splice(0)) side?.port.close();
    files.replaceByNothing(this.#fuseFd);
    await Promise.all([this.#reactor.terminate(), ...this.#sides.map((side) => side.end())]);
    close(this.#fuseFd);
    close(this.#wakeFd);
    if (this.#memoryFd >= 0) close(this.#memoryFd);
    this.#channel.close();
    close(this.#channelFd);
  }
}

/** Where memory cannot be had the mount is one that ends with its daemon. */
function survivalOf(holder: MountHolder, source: string, left: LeftMount | undefined): Survival | undefined {
  if (left !== undefined) return { memoryFd: left.memoryFd, keeperFd: holder.served(source), left: left.kept };
  const memoryFd = MountMemory.makeFile(`sluice ${source}`);
  return memoryFd < 0 ? undefined : { memoryFd, keeperFd: -1 };
}
