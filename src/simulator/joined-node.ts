/**
 * One whole daemon in the simulation: the real node machine with its links and lease (node-model.ts), the reactor of its
 * one mount with the real admission machine, the volume, and the kernel that users meet. Effects go where the daemon
 * sends them (daemon/node-process.ts, daemon/file-systems.ts), each direction between main thread and reactor in order.
 *
 * Source    daemon/file-systems.ts, daemon/reactor-port.ts; safety C4, C6, H3.
 */
import type { OtherMount } from "../cluster/keeping/keeping.js";
import type { KeepingWord } from "../cluster/keeping/words.js";
import type { AdmissionInput } from "../cluster/admission/operation.js";
import type { NodeEffect, ObjectJob, VolumeJob, VolumeResult } from "../cluster/node-contract.js";
import type { DataEvent, EventSet } from "../dmapi/events.js";
import type { FsName, Handle, OperationId, RequestId } from "../dmapi/ids.js";
import type { FileModel } from "./file-model.js";
import { KernelModel } from "./kernel-model.js";
import type { NodeModel, Site } from "./node-model.js";
import { ReactorModel, type Touch, type Upward } from "./reactor-model.js";
import { VolumeModel } from "./volume-model.js";
import type { Process, Thread, World } from "./world.js";

/** Who watches from outside. */
export interface JoinedWatch {
  raised(at: JoinedNode, operation: OperationId, event: DataEvent): number;
  resumed(at: JoinedNode, operation: OperationId, effect: Extract<NodeEffect, { kind: "resume-operation" }>): void;
  gone(at: JoinedNode, operation: OperationId): void;
  touched(at: JoinedNode, touch: Touch): void;
}

export class JoinedNode implements Site, Upward {
  readonly world: World;
  readonly node: NodeModel;
  readonly process: Process;
  readonly kernelProcess: Process;
  readonly volume: VolumeModel;
  readonly #fs: FsName;
  readonly #files: ReadonlyMap<Handle, FileModel>;
  readonly #watch: JoinedWatch;
  #ownedEvents: EventSet = 0;
  #admission: Extract<AdmissionInput, { kind: "admission" }> = { kind: "admission", isOpen: false, why: "starting" };
  reactor: ReactorModel | undefined;
  kernel: KernelModel | undefined;
  /** Fences raised before a reactor was there; it hears of them before it admits anything. */
  readonly #standing = new Map<Handle, Extract<AdmissionInput, { kind: "fence-raised" }>>();
  /** When its present life in the cluster began, save the first. */
  rejoinedAtMs = Number.NEGATIVE_INFINITY;
  /** Its kernel may keep names and attributes while nobody else mounts. */
  keepsNames = false;
  #others: { readonly others: readonly OtherMount[]; readonly isInForce: boolean } = { others: [], isInForce: false };
  /** What others asked the present reactor to drop. */
  readonly #drops = new Map<string, { readonly to: NodeModel["id"]; readonly word: Extract<KeepingWord, { kind: "drop-wanted" }> }>();
  readonly #lastMs = { up: 0, down: 0 };
  /** What the present reactor owes: it is given in its stead when it ends. */
  readonly #raised = new Set<OperationId>();
  readonly #fences = new Map<Handle, number>();
  readonly #rounds = new Map<string, { readonly round: RequestId; readonly from: NodeModel["id"] }>();
  #lastOperation = 0;
  /** Programs of users that have not ended. */
  users = 0;

  constructor(options: { node: NodeModel; kernelProcess: Process; fs: FsName; files: ReadonlyMap<Handle, FileModel>; watch: JoinedWatch }) {
    const { node } = options;
    this.node = node;
    this.world = node.world;
    this.process = node.process;
    this.kernelProcess = options.kernelProcess;
    this.#fs = options.fs;
    this.#files = options.files;
    this.#watch = options.watch;
    this.volume = new VolumeModel(node.process, options.files);
    node.site = this;
    node.process.onEnd(() => this.kernel?.abort());
  }

  clientGone(client: number): void {
    this.node.clientGone(client);
    this.process.after(0, () => this.volume.clientGone(client));
  }

  // Effects of the machine.

  perform(effect: NodeEffect): void {
    switch (effect.kind) {
      case "volume-job":
        return this.#job(effect.job, effect.work);
      case "resume-operation":
        this.#watch.resumed(this, effect.operation, effect);
        this.#raised.delete(effect.operation);
        return this.#down({ kind: "event-answered", operation: effect.operation, decision: effect.decision });
      case "grant-interest":
        return this.#down({ kind: "interest-granted", handle: effect.handle, fence: effect.fence, fenceNumber: effect.fenceNumber });
      case "raise-fence":
        if (this.reactor === undefined) {
          this.#standing.set(effect.handle, { kind: "fence-raised", handle: effect.handle, fence: effect.fence, fenceNumber: effect.fenceNumber });
          return this.node.input({ kind: "fence-drained", handle: effect.handle, fenceNumber: effect.fenceNumber });
        }
        this.#fences.set(effect.handle, effect.fenceNumber);
        return this.#down({ kind: "fence-raised", handle: effect.handle, fence: effect.fence, fenceNumber: effect.fenceNumber });
      case "lower-fence":
        if (effect.fence === "null") this.#standing.delete(effect.handle);
        else if (this.#standing.has(effect.handle)) this.#standing.set(effect.handle, { kind: "fence-raised", handle: effect.handle, fence: effect.fence, fenceNumber: effect.fenceNumber });
        return this.#down({ kind: "fence-lowered", handle: effect.handle, fence: effect.fence, fenceNumber: effect.fenceNumber });
      case "begin-round":
        if (this.reactor === undefined) return this.node.input({ kind: "round-drained", round: effect.round, from: effect.from });
        this.#rounds.set(`${effect.from} ${effect.round}`, { round: effect.round, from: effect.from });
        if (effect.work.kind === "drop-names") {
          const { reactor } = this;
          return this.#ordered("down", () => this.reactor === reactor && reactor.giveUpAll(() => this.roundDrained(effect.round, effect.from)));
        }
        return this.#down({ kind: "round-begun", round: effect.round, from: effect.from, work: effect.work });
      case "set-owned-events":
        this.#ownedEvents = effect.events;
        return this.#down({ kind: "owned-events", events: effect.events });
      case "set-sole-mount":
        return this.#ordered("down", () => {
          this.keepsNames = effect.isSole;
        });
      case "set-other-mounts": {
        this.#others = { others: effect.others, isInForce: effect.isInForce };
        const { reactor } = this;
        return this.#ordered("down", () => this.reactor === reactor && reactor?.othersAre(effect.others, effect.isInForce));
      }
      case "keeping-heard":
        return this.#keepingHeard(effect.from, effect.word);
      case "set-admission":
        this.#admission = { ...effect, kind: "admission" };
        return this.#down(this.#admission);
      case "forget-everything":
        this.rejoinedAtMs = this.world.nowMs;
        this.#others = { others: [], isInForce: false };
        this.#drops.clear();
        this.#standing.clear();
        this.#raised.clear();
        this.#fences.clear();
        this.#rounds.clear();
        return this.#ordered("down", () => {
          this.rejoinedAtMs = this.world.nowMs; // until now its reactor went on in the former life
          this.reactor?.forget();
        });
      default:
    }
  }

  #job(job: number, work: VolumeJob): void {
    const done = (result: VolumeResult) => this.node.input({ kind: "volume-done", job, result });
    if (work.kind === "mount") return this.process.after(this.world.random.below(this.world.stress.mountMs), () => done(this.#mount(work.mountpoint)));
    if (work.kind === "unmount") return this.kernelProcess.start(this.#unmount((result) => this.process.after(1, () => done(this.#unmounted(result)))));
    // No session of a simulation is durable.
    if (work.kind === "event-log") return this.process.after(1, () => done({ kind: "failed", failure: { code: "EIO", message: "there is no event log" } }));
    this.process.start(this.#runJob(work, done));
  }
  *#runJob(work: ObjectJob, done: (result: VolumeResult) => void): Thread {
    done(yield* this.volume.run(work));
  }
  #mount(mountpoint: string): VolumeResult {
    const reactor = new ReactorModel({
      world: this.world, process: this.process, up: this, files: this.#files, ownedEvents: this.#ownedEvents, lastOperation: this.#lastOperation,
      mayPassThrough: this.world.random.chance(this.world.stress.passthrough),
    });
    const kernel = new KernelModel(this.world, this.kernelProcess, reactor);
    reactor.kernel = kernel;
    this.reactor = reactor;
    this.kernel = kernel;
    reactor.othersAre(this.#others.others, this.#others.isInForce);
    for (const fence of this.#standing.values()) reactor.step(fence);
    this.#standing.clear();
    reactor.step(this.#admission); // last: nothing is admitted by less than all that
    return { kind: "ok", result: { mountpoint } };
  }

  /** umount(2): what is dirty is written back; nobody may be inside, before and after. */
  *#unmount(done: (kernel: KernelModel | undefined) => void): Thread {
    const { kernel } = this;
    if (kernel === undefined || this.#isBusy) return done(undefined);
    for (const file of this.#files.values()) yield* kernel.invalidate(file);
    if (this.#isBusy || kernel.isAborted) return done(undefined);
    kernel.abort();
    kernel.detach();
    done(kernel);
  }
  get #isBusy(): boolean {
    return this.users > 0 || (this.reactor?.waiting ?? 0) > 0 || [...this.#files.values()].some((file) => this.kernel?.hasDirty(file));
  }
  /** The reactor has ended with its mount; nobody waits for what it owes. */
  #unmounted(kernel: KernelModel | undefined): VolumeResult {
    const { reactor } = this;
    if (kernel === undefined || kernel !== this.kernel || reactor === undefined) return { kind: "failed", failure: { code: "EBUSY", message: "users are inside" } };
    reactor.end();
    this.#lastOperation = reactor.lastOperation;
    this.reactor = undefined;
    this.kernel = undefined;
    for (const operation of this.#raised) this.#gone(operation);
    for (const [handle, fenceNumber] of this.#fences) this.node.input({ kind: "fence-drained", handle, fenceNumber });
    for (const { round, from } of this.#rounds.values()) this.node.input({ kind: "round-drained", round, from });
    for (const { to, word } of this.#drops.values()) this.#say(to, { ...word, kind: "drop-done" });
    this.#drops.clear();
    this.#raised.clear();
    this.#fences.clear();
    this.#standing.clear();
    this.#rounds.clear();
    return { kind: "ok", result: {} };
  }

  // Between the threads.

  #down(input: AdmissionInput): void {
    const { reactor } = this;
    if (reactor !== undefined) this.#ordered("down", () => this.reactor === reactor && reactor.step(input));
  }
  #up(run: () => void): void {
    const { reactor } = this;
    this.#ordered("up", () => this.reactor === reactor && run());
  }
  #ordered(way: "up" | "down", run: () => unknown): void {
    const { nowMs, random } = this.world;
    this.#lastMs[way] = Math.max(this.#lastMs[way], nowMs + 0.05 + (random.chance(0.05) ? random.below(100) * 0.1 : 0));
    this.process.after(this.#lastMs[way] - nowMs, run);
  }

  raised(operation: OperationId, _file: FileModel, event: DataEvent): void {
    this.#up(() => {
      const pid = this.#watch.raised(this, operation, event);
      this.#raised.add(operation);
      this.node.input({ kind: "event-held", held: { operation, fs: this.#fs, event, isSynchronous: true, process: { pid, uid: 0, gid: 0, command: "" } } });
    });
  }
  operationGone(operation: OperationId): void {
    this.#up(() => this.#gone(operation));
  }
  #gone(operation: OperationId): void {
    this.#raised.delete(operation);
    this.#watch.gone(this, operation);
    this.node.input({ kind: "operation-gone", operation });
  }
  interestWanted(file: FileModel): void {
    this.#up(() => this.node.input({ kind: "interest-wanted", handle: file.handle }));
  }
  interestDropped(file: FileModel): void {
    this.#up(() => this.node.input({ kind: "interest-dropped", handle: file.handle }));
  }
  fenceDrained(file: FileModel, fenceNumber: number): void {
    this.#up(() => {
      if (this.#fences.get(file.handle) === fenceNumber) this.#fences.delete(file.handle);
      this.node.input({ kind: "fence-drained", handle: file.handle, fenceNumber });
    });
  }
  roundDrained(round: string, from: string): void {
    this.#up(() => {
      this.#rounds.delete(`${from} ${round}`);
      this.node.input({ kind: "round-drained", round: round as RequestId, from: from as NodeModel["id"] });
    });
  }
  keepingSaid(to: NodeModel["id"], word: KeepingWord): void {
    this.#up(() => {
      if (word.kind === "drop-done") this.#drops.delete(`${to} ${word.drop}`);
      this.#say(to, word);
    });
  }
  get keepsUntilMs(): number {
    return this.node.leaseUntilMs;
  }
  #say(to: NodeModel["id"], word: KeepingWord): void {
    this.node.input({ kind: "keeping-said", fs: this.#fs, to, word });
  }
  #keepingHeard(from: NodeModel["id"], word: KeepingWord): void {
    const { reactor } = this;
    if (word.kind === "drop-wanted") {
      if (reactor === undefined) return this.#say(from, { ...word, kind: "drop-done" });
      this.#drops.set(`${from} ${word.drop}`, { to: from, word });
    }
    this.#ordered("down", () => this.reactor === reactor && reactor?.hear(from, word));
  }
  touched(touch: Touch): void {
    this.#watch.touched(this, touch);
  }
}
