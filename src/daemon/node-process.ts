/**
 * One node: coordination, links, sockets, file systems and the machine put together. Inputs of all of them go through one
 * driver; each effect of the machine is performed by the part it concerns.
 *
 * Owns      the parts and the order in which they start and stop.
 * Not here  what the machine decides (cluster/), FUSE (reactor/), bytes (volume/), signals and exit codes (main.ts).
 * Source    safety M5 (join, announce, then mount); style 5 (the driver).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ClusterNode } from "../cluster/node.js";
import type { NodeEffect, VolumeJob, VolumeResult } from "../cluster/node-contract.js";
import { type Coordination, monotonicMs, oneMachine, startCoordination } from "../coordination/start.js";
import type { ArgsOf, CallName } from "../dmapi/calls.js";
import { type DmFailure, isRetryable } from "../dmapi/errors.js";
import type { FsName } from "../dmapi/ids.js";
import { HandleSeal } from "../volume/handle-seal.js";
import { Links } from "../wire/links.js";
import { ApplicationServer, type CallMade, refusalOf } from "./application-server.js";
import { faultOf } from "./call-arguments.js";
import { readOrMakeClusterKey } from "./cluster-key.js";
import type { NodeConfig } from "./config.js";
import { DescriptorDoor } from "./descriptor-door.js";
import { EventLog } from "./event-log/event-log.js";
import { FileSystems } from "./file-systems.js";
import { HolderLink, holderSocket } from "./holder/holder-link.js";
import { knownFsid, rememberFsid } from "./known-file-systems.js";
import { LockCircles } from "./lock-circles.js";
import { MessageLog } from "./message-log.js";
import { MemberQuestions } from "./member-questions.js";
import { NodeDriver } from "./node-driver.js";
import { spokenVersions } from "./spoken-versions.js";
import { inOneLine } from "./busy-mount.js";
import { answerMember, busyMount, isOwnCall, type NodeParts, runOwnCall } from "./node-services.js";
import { type NodeVolumes, TICK_CELLS_MAX, type VolumeNeeds } from "./node-volumes.js";
import { RenewalWatch } from "./renewal-watch.js";

export interface NodeProcessOptions {
  readonly makeVolumes: (needs: VolumeNeeds) => NodeVolumes;
  readonly log: (line: string) => void;
  /** This process can mount; absent: no. */
  readonly hasMounts?: boolean;
  /** A mount has come, or whether it outlives this daemon has changed: who watches is to look. */
  readonly mounted: () => void;
  /** Something that this daemon cannot go on without has ended. */
  readonly failed: (error: Error) => void;
}
export interface MountedPlace {
  readonly fs: FsName;
  readonly mountpoint: string;
}

const INSIDE_CALLS_FROM = 2 ** 40;
const MOUNT_RETRY_MS = 200;
const WAITING_LINE_MS = 10_000;
const CLOCK_TOLD_EVERY_MS = 60_000;
const LATE = "it took too long";

export class NodeProcess {
  readonly #config: NodeConfig;
  readonly #options: NodeProcessOptions;
  readonly #log: (line: string) => void;
  readonly #messages: MessageLog;
  readonly #inside = new Map<number, { readonly resolve: (result: unknown) => void; readonly reject: (failure: DmFailure) => void }>();
  readonly #giveUps = new Map<number, () => void>();
  readonly #versions = spokenVersions();
  readonly #counters = { calls: 0, callsRefusedAtDoor: 0, framesSent: 0, framesReceived: 0 };
  #nextInside = INSIDE_CALLS_FROM;
  #seal!: HandleSeal;
  #coordination!: Coordination;
  #driver!: NodeDriver;
  #machine!: ClusterNode;
  #links!: Links;
  #server!: ApplicationServer;
  #door!: DescriptorDoor;
  #volumes!: NodeVolumes;
  #eventLog!: EventLog;
  #holder: HolderLink | undefined;
  #fileSystems!: FileSystems;
  #questions!: MemberQuestions;
  #circles!: LockCircles;
  #parts!: NodeParts;
  #clock: NodeJS.Timeout | undefined;
  #renewals!: RenewalWatch;
  #watching: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;
  #hasStopped = false;
  #end!: () => void;
  #endBadly!: (error: unknown) => void;
  /** When it has stopped, whoever asked for it. */
  readonly ended = new Promise<void>((resolve, reject) => {
    this.#end = resolve;
    this.#endBadly = reject;
  });

  /** Returns when this node answers applications; it need not be a member yet. @throws Error in plain words. */
  static async start(config: NodeConfig, options: NodeProcessOptions): Promise<NodeProcess> {
    const node = new NodeProcess(config, options);
    try {
      await node.#start();
      return node;
    } catch (error) {
      await node.stop({ leavesMounts: true }); // what an earlier daemon left waits on, for one that can start
      throw error;
    }
  }

  private constructor(config: NodeConfig, options: NodeProcessOptions) {
    this.#config = config;
    this.#options = options;
    this.#log = options.log;
    this.#messages = new MessageLog(config.node, config.logFile, (why) => this.#log(`message log: ${why}; it goes on in memory only`));
  }

  /** Joins the cluster and mounts what is to be mounted; @throws Error naming the first mount that failed. */
  async join(): Promise<MountedPlace[]> {
    const waiting = setInterval(() => this.#log(`waits to become a member: ${[this.#machine.describe().state, ...this.#linkTroubles()].join("; ")}`), WAITING_LINE_MS);
    await this.#driver.until(() => this.#hasStopped || this.#machine.describe().state === "member").finally(() => clearInterval(waiting));
    if (this.#stopping !== undefined) return [];
    for (const fs of this.#config.fileSystems) if (fs.autoMount && fs.mountpoint !== undefined) await this.#mountAtStart(fs.name);
    this.#holder?.endUnclaimed(this.#log);
    return this.#fileSystems.list().flatMap(({ attached, mountpoint }) => (mountpoint === undefined ? [] : [{ fs: attached.fs, mountpoint }]));
  }

  #linkTroubles(): string[] {
    return this.#links.status().flatMap(({ peer, trouble }) => (trouble === undefined ? [] : [`${peer}: ${trouble}`]));
  }

  /** Unmounts, leaves the cluster, ends every part. Safe to repeat. `leavesMounts`: their users wait for the next daemon. */
  stop(how: { readonly leavesMounts?: boolean } = {}): Promise<void> {
    this.#stopping ??= this.#stop(how.leavesMounts === true).then(this.#end, this.#endBadly);
    return this.#stopping;
  }
  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }
  /** The FUSE connections served and how far each reactor's tick is. */
  watched(): { readonly minor: number; readonly tick: number; readonly isHeld: boolean }[] {
    return this.#fileSystems?.mounts().flatMap(({ mount }) => (mount.minor === undefined ? [] : [{ minor: mount.minor, tick: mount.tick(), isHeld: mount.isHeld?.() ?? false }])) ?? [];
  }

  async #start(): Promise<void> {
    const { coordination, node, cluster, address, eligible, preference, timeouts, socket, applicationGroup } = this.#config;
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const times = { ...oneMachine, ...onlyGiven({ renewMs: coordination.renewMs, holdMs: coordination.holdMs, deadMs: coordination.deadMs }) };
    const ticks = new SharedArrayBuffer(4 * (1 + TICK_CELLS_MAX));
    const leaseUntil = new SharedArrayBuffer(8);
    this.#renewals = new RenewalWatch(times, this.#log, new Float64Array(leaseUntil));
    this.#coordination = await startCoordination({
      directory: coordination.directory, cluster, times, ticks, member: { id: node, bootId, address, isEligible: eligible, preference, versions: this.#versions },
    });
    this.#coordination.onFailure((error) => this.#options.failed(new Error(`coordination: ${error.message}`, { cause: error })));
    this.#eventLog = new EventLog(join(coordination.directory, "events"), this.#options.failed);
    const key = readOrMakeClusterKey(coordination.directory);
    this.#seal = new HandleSeal(key.toString("hex"));
    const { incarnation } = this.#coordination;
    const mountEventsRequired = this.#config.fileSystems.filter((fs) => fs.mountEvents === "required").map((fs) => fs.name);
    this.#machine = new ClusterNode({ hasTurns: true, cluster, id: node, bootId, address, isEligible: eligible, preference, versions: this.#versions, incarnation, timeouts, mountEventsRequired, mountEvent: this.#config.mountEvent, durableBacklogMax: this.#config.durableBacklogMax });
    this.#driver = new NodeDriver(this.#machine, (effect) => this.#perform(effect), monotonicMs);
    this.#volumes = this.#options.makeVolumes({
      holder: () => (this.#config.survivesDaemon ? this.#holder : undefined),
      config: this.#config, clusterKey: key.toString("hex"), ticks, leaseUntil, log: this.#log,
      fsidOf: (fs) => knownFsid(coordination.directory, fs), attached: (fs, fsid) => rememberFsid(coordination.directory, fs, fsid), failed: this.#options.failed,
    });
    this.#fileSystems = new FileSystems((wanted) => this.#volumes.mount(wanted), (fact) => this.#driver.give(fact), (fs, why) => this.#mountLost(fs, why), (fs) => this.#circles.look(fs));
    this.#links = await this.#openLinks(key);
    this.#questions = new MemberQuestions({
      give: (fact) => this.#driver.give(fact), answerOwn: (about) => answerMember(this.#parts, about),
      others: () => (this.#machine.view?.members ?? []).map(({ id }) => id).filter((id) => id !== node),
    });
    this.#circles = new LockCircles({
      node, others: (fs) => (this.#machine.view?.members ?? []).filter(({ id, mounted }) => id !== node && mounted.includes(fs)).map(({ id }) => id),
      reportHere: (fs) => this.#fileSystems.lockReport(fs), ask: (about, whom) => this.#questions.ask(about, whom), refuse: (fs, wait) => this.#fileSystems.refuseLock(fs, wait),
    });
    this.#parts = {
      config: this.#config, machine: this.#machine, links: this.#links, fileSystems: this.#fileSystems, log: this.#messages, questions: this.#questions, circles: this.#circles, bootId,
      reserve: (fs) => this.#volumes.reserve(fs), trouble: (fs) => this.#volumes.trouble(fs), renewals: () => this.#renewals.entry(monotonicMs()),
      counters: () => ({ ...this.#counters, clients: this.#server.clientCount, messages: this.#messages.count, ...this.#volumes.counters() }),
      isStopping: () => this.isStopping, stop: () => void this.stop(),
    };
    const holder = this.#openHolder(); // a process may have to begin, and the volumes are looked at meanwhile
    try {
      for (const [at, fs] of this.#config.fileSystems.entries()) await this.#attach(at, fs);
    } finally {
      this.#holder = await holder;
    }
    this.#door = await DescriptorDoor.open({
      path: `${socket}.fd`, group: applicationGroup, redeem: (ticket) => this.#volumes.redeem(ticket), log: this.#log,
    });
    this.#server = await ApplicationServer.open(socket, applicationGroup, {
      refusal: (who) => refusalOf(who, applicationGroup),
      call: (made) => this.#called(made),
      abandoned: (call) => this.#abandoned(call),
      gone: (client, calls) => {
        for (const call of calls) this.#forgetCall(call)?.();
        this.#driver.give({ kind: "client-gone", client });
        this.#volumes.clientGone(client);
      },
      log: this.#log,
    });
    this.#tellClock();
    this.#clock = setInterval(() => this.#tellClock(), CLOCK_TOLD_EVERY_MS);
    this.#watching = setInterval(() => this.#renewals.look(monotonicMs()), times.renewMs);
    this.#coordination.onFact((fact) => {
      this.#renewals.hear(fact);
      this.#driver.give({ kind: "coordination", fact });
    });
  }

  /** Also where mounts are not to survive: one of an earlier life, when they were, may hold some. */
  async #openHolder(): Promise<HolderLink | undefined> {
    const { socket, survivesDaemon, timeouts, fileSystems } = this.#config;
    if (this.#options.hasMounts !== true) return undefined;
    const begins = survivesDaemon && fileSystems.some(({ mountpoint }) => mountpoint !== undefined);
    try {
      return await HolderLink.open({ path: holderSocket(socket), limitMs: timeouts.daemonAwaitedMs, begins, log: this.#log, changed: () => this.#options.mounted() });
    } catch (error) {
      this.#log(`warning: ${(error as Error).message}; mounts end with this daemon`);
      return undefined;
    }
  }

  #tellClock(): void {
    this.#driver.give({ kind: "clock-told", aheadMs: Date.now() - monotonicMs() });
  }

  async #attach(at: number, fs: NodeConfig["fileSystems"][number]): Promise<void> {
    try {
      this.#fileSystems.attach(fs, await this.#volumes.attach(fs));
    } catch (error) {
      const who = process.geteuid?.() === 0 ? "" : "; this daemon is not root's, which it must be to serve a file system";
      throw new Error(`fileSystems[${at}].backing: ${(error as Error).message}${who}`, { cause: error });
    }
  }

  async #openLinks(key: Buffer): Promise<Links> {
    const { cluster, node, address, timeouts } = this.#config;
    try {
      return await Links.open({ cluster, node, incarnation: this.#coordination.incarnation, key, address, silenceMs: timeouts.linkSilenceMs, versions: this.#versions }, {
        up: (peer, incarnation) => this.#driver.give({ kind: "link-up", peer, incarnation }),
        down: (peer) => this.#driver.give({ kind: "link-down", peer }),
        frame: (frame) => {
          this.#counters.framesReceived++;
          this.#messages.received(frame);
          this.#driver.give({ kind: "frame-received", frame });
        },
        log: this.#log,
      });
    } catch (error) {
      throw new Error(`address: ${address}: ${(error as Error).message}`, { cause: error });
    }
  }

  #perform(effect: NodeEffect): void {
    switch (effect.kind) {
      case "coordinate":
        return this.#coordination.request(effect.request);
      case "transmit":
        this.#counters.framesSent++;
        this.#messages.sent(effect.to, effect.frame);
        return this.#links.transmit(effect.to, effect.frame);
      case "link-wanted":
        return this.#links.want(effect.peer, effect.address);
      case "link-unwanted":
        return this.#links.unwant(effect.peer);
      case "answer-call":
        return this.#answered(effect.call, effect.result);
      case "refuse-call":
        return this.#refused(effect.call, effect.failure);
      case "token-answered":
        return this.#volumes.tokenAnswered(effect.session, effect.token);
      case "volume-job":
        void this.#runJob(effect.work).then((result) => this.#driver.give({ kind: "volume-done", job: effect.job, result }));
        return;
      case "forget-everything":
        this.#log(`begins again as incarnation ${effect.incarnation}`);
        this.#links.renew(effect.incarnation);
        return this.#fileSystems.perform(effect);
      case "manager-ran":
        return this.#messages.managerRan(effect.from, effect.call, this.#machine.describe().view?.number ?? 0);
      case "alarm":
        return this.#log(`alarm: ${effect.text}`);
      case "answer-member":
      case "member-answered":
        return this.#questions.heard(effect);
      case "stopped":
        this.#hasStopped = true;
        return;
      default:
        return this.#fileSystems.perform(effect);
    }
  }

  async #runJob(work: VolumeJob): Promise<VolumeResult> {
    switch (work.kind) {
      case "mount": {
        const failure = await this.#fileSystems.mount(work.fs, work.mountpoint);
        this.#options.mounted();
        return failure === undefined ? { kind: "ok", result: { mountpoint: work.mountpoint } } : { kind: "failed", failure };
      }
      case "unmount": {
        const failure = await this.#fileSystems.unmount(work.fs, work.isForced);
        if (failure === undefined) return { kind: "ok", result: {} };
        const isBusy = failure.code === "EBUSY" && failure.message.includes("busy");
        return { kind: "failed", failure: isBusy ? { ...failure, message: await busyMount(this.#parts, work.fs) } : failure };
      }
      case "event-log":
        return this.#eventLog.run(work.work);
      default:
        if (this.#machine.view !== undefined) this.#volumes.setView(this.#machine.view);
        return this.#volumes.run(work);
    }
  }

  // Calls: of applications, and of this daemon itself.

  #called({ call, client, name, args, pid, uid }: CallMade): void {
    this.#counters.calls++;
    const fault = faultOf(name, args, this.#seal);
    if (fault !== undefined) {
      this.#counters.callsRefusedAtDoor++;
      this.#server.refuse(call, fault);
    } else if (isOwnCall(name)) {
      const giveUp = runOwnCall(this.#parts, name, args, (result) => {
        this.#giveUps.delete(call);
        this.#server.answer(call, result);
      });
      if (name === "node.log") this.#giveUps.set(call, giveUp);
    } else {
      this.#driver.give({ kind: "call-made", call, client, name: name as CallName, args, pid, ...(isAudited(name) && { caller: callerOf(pid, uid) }) });
    }
  }

  #abandoned(call: number): void {
    const giveUp = this.#forgetCall(call);
    if (giveUp === undefined) this.#driver.give({ kind: "call-abandoned", call });
    else giveUp();
  }
  /** What is kept here of a call that ends; for one that waits here, how to give it up. */
  #forgetCall(call: number): (() => void) | undefined {
    const giveUp = this.#giveUps.get(call);
    this.#giveUps.delete(call);
    return giveUp;
  }

  #answered(call: number, result: unknown): void {
    const inside = this.#inside.get(call);
    this.#inside.delete(call);
    if (inside !== undefined) inside.resolve(result);
    else this.#server.answer(call, result);
  }
  #refused(call: number, failure: DmFailure): void {
    const inside = this.#inside.get(call);
    this.#inside.delete(call);
    if (inside !== undefined) inside.reject(failure);
    else this.#server.refuse(call, failure);
  }

  #callInside<N extends CallName>(name: N, args: ArgsOf<N>): Promise<unknown> {
    const call = this.#nextInside++;
    return new Promise((resolve, reject) => {
      this.#inside.set(call, { resolve, reject });
      this.#driver.give({ kind: "call-made", call, client: 0, name, args, pid: process.pid });
    });
  }

  /** The view may change under a mount that begins; then it begins again. */
  async #mountAtStart(fs: FsName): Promise<void> {
    for (;;) {
      const failure = await this.#callInside("fs.mount", { fs }).then(() => undefined, (refused: DmFailure) => refused);
      if (failure === undefined || this.isStopping) return;
      // An exclusion refuses the call of a mount under way, and the mount goes on: then it is there, and announced again.
      if (this.#fileSystems.mounts().some((mounted) => mounted.fs === fs)) return;
      if (!isRetryable(failure.code)) throw new Error(`fileSystems: ${fs}: ${failure.message}`);
      this.#log(`mounting ${fs}: ${failure.message}; tried again`);
      await new Promise((resolve) => setTimeout(resolve, MOUNT_RETRY_MS));
    }
  }

  /** Somebody unmounted it, or its connection was aborted: the others must not wait for it. */
  #mountLost(fs: FsName, why: string): void {
    this.#log(`the mount of ${fs} ended: ${why}`);
    if (this.isStopping) return;
    this.#callInside("fs.unmount", { fs, force: true }).catch((refused: DmFailure) => this.#log(`taking ${fs} out of the view: ${refused.message}`));
  }

  async #stop(leavesMounts: boolean): Promise<void> {
    const { stopMs } = this.#config.timeouts;
    clearInterval(this.#clock);
    clearInterval(this.#watching);
    if (leavesMounts) await this.#holder?.whenThere();
    for (const { fs } of this.#fileSystems?.mounts() ?? []) {
      if (leavesMounts) await this.#fileSystems.leave(fs);
      if (this.#fileSystems.mounts().some((mounted) => mounted.fs === fs)) await this.#unmountAtStop(fs, stopMs);
    }
    if (this.#driver !== undefined) {
      this.#driver.give({ kind: "stop-wanted" });
      await within(stopMs, this.#driver.until(() => this.#hasStopped));
      this.#driver.stop();
    }
    this.#circles?.close();
    this.#questions?.close();
    for (const giveUp of this.#giveUps.values()) giveUp();
    await this.#server?.close();
    await this.#door?.close();
    await this.#links?.close();
    await this.#volumes?.close();
    if (!leavesMounts) this.#holder?.endUnclaimed(this.#log);
    this.#holder?.close();
    await this.#eventLog?.close();
    await this.#coordination?.stop();
    await this.#messages.close();
  }

  /** In order first, so that applications hear of it; by force when they do not answer or users stay inside. */
  async #unmountAtStop(fs: FsName, stopMs: number): Promise<void> {
    const inOrder = this.#callInside("fs.unmount", { fs }).then(() => undefined, (refused: DmFailure) => refused.message);
    let found = await within(stopMs / 2, inOrder, LATE);
    if (found === LATE && this.#fileSystems.mounts().some((mounted) => mounted.fs === fs)) found = `${found}; ${await busyMount(this.#parts, fs)}`;
    if (found === undefined || !this.#fileSystems.mounts().some((mounted) => mounted.fs === fs)) return;
    this.#log(`unmounting ${fs}: ${inOneLine(found)}; it is detached`);
    const failure = await this.#fileSystems.unmount(fs, true);
    if (failure !== undefined) this.#log(`unmounting ${fs}: ${failure.message}`);
  }
}

/** Calls that change the registry: the audit remembers who made them. */
function isAudited(name: string): boolean {
  return name.startsWith("session.") ? /\.(create|assume|modify|destroy)$/.test(name) : name === "disposition.set" || name === "node.fence";
}
function callerOf(pid: number, uid: number): { pid: number; uid: number; command: string } {
  try {
    return { pid, uid, command: readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd() };
  } catch {
    return { pid, uid, command: "" }; // it has ended
  }
}
function onlyGiven<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
async function within<T, O>(ms: number, promise: Promise<T>, otherwise?: O): Promise<T | O> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<O>((resolve) => {
    timer = setTimeout(() => resolve(otherwise as O), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
