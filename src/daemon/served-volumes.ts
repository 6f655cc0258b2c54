/**
 * The real file-system side of a node: the volume service with its I/O workers, and a reactor per mount.
 *
 * Owns      the volume service; which tick cell belongs to which reactor.
 * Not here  what a job means (volume/perform.ts), FUSE (reactor/).
 * Source    safety H1, M2, M5.
 */
import type { ObjectJob, VolumeResult } from "../cluster/node-contract.js";
import type { View } from "../cluster/view-document.js";
import { parseHandle } from "../dmapi/handle.js";
import type { FsName, SessionId, Token } from "../dmapi/ids.js";
import type { ReserveState } from "../volume/reserve.js";
import { VolumeService } from "../volume/service.js";
import type { FileSystemConfig } from "./config.js";
import { type AttachedFileSystem, type MountMaker, type RunningMount, TakeoverFailed } from "./file-systems.js";
import { connectionOf } from "../fuse/mount.js";
import type { HolderLink, LeftMount } from "./holder/holder-link.js";
import { MountMemory } from "./holder/mount-memory.js";
import { mountInProcess } from "./in-process.js";
import { clearMountpoint, mountSource } from "./machine.js";
import { type NodeVolumes, TICK_CELLS_MAX, type VolumeNeeds } from "./node-volumes.js";
import { ReactorMount } from "./reactor/mount.js";

/** Pages are kept by size and mtime: where two quick writes can have the same time, none are (safety H7). */
export function modeOn(wanted: FileSystemConfig["mode"], { distinctTimes }: AttachedFileSystem["capabilities"]): FileSystemConfig["mode"] {
  return distinctTimes === true ? wanted : "exact";
}

/** Why files of this file system are not left to the kernel (safety C2), in mode fast; undefined: they are. */
export function noPassthrough(config: Pick<FileSystemConfig, "passthrough" | "mode" | "backingCalls">, capabilities: AttachedFileSystem["capabilities"]): string | undefined {
  if (config.passthrough === "no") return "configured: passthrough no";
  if (config.backingCalls === "workers") return "configured: backingCalls workers";
  if (modeOn(config.mode, capabilities) === "exact") return "every read and write reaches Sluice in mode exact";
  if (capabilities["isLocal"] !== true) return `not tried on ${String(capabilities["fileSystem"])}: a lease says nothing about other machines there`;
  return capabilities["leases"] === true ? undefined : "the backing grants no leases: whether the kernel still uses a file could not be told";
}

/** What an earlier daemon left of this mount, if it is there still and mounted at the same place. */
function takeLeft(holder: HolderLink, source: string, mountpoint: string, log: (line: string) => void): LeftMount | undefined {
  const left = holder.take(source);
  if (left === undefined) return undefined;
  const why = left.place.mountpoint !== mountpoint ? `it is mounted at ${left.place.mountpoint}` : connectionOf(mountpoint) !== left.place.minor ? "it was unmounted" : unusable(left.memoryFd);
  if (why === undefined) return left;
  log(`${mountpoint}: what an earlier daemon left is not taken over, its users get an error: ${why}`);
  holder.discard(left);
  return undefined;
}
function unusable(memoryFd: number): string | undefined {
  const memory = MountMemory.takeOver(memoryFd);
  if ("refusal" in memory) return memory.refusal;
  memory.close();
  return undefined;
}

export class ServedVolumes implements NodeVolumes {
  readonly #needs: VolumeNeeds;
  readonly #hasMounts: boolean;
  readonly #service: VolumeService;
  readonly #attached: FsName[] = [];
  readonly #cells = new Set<number>();
  #slot = 0;

  /** @param hasMounts false: without FUSE. */
  constructor(needs: VolumeNeeds, hasMounts: boolean) {
    this.#needs = needs;
    this.#hasMounts = hasMounts;
    this.#service = new VolumeService({
      clusterKey: needs.clusterKey, guardWaitMs: needs.config.timeouts.guardTimeoutMs,
      reserveChanged: (fs, { wanted, lacking }) =>
        needs.log(lacking === 0 ? `${fs}: the reserve of ${wanted} bytes is whole again` : `alarm: ${fs}: the reserve for recalls on a full volume lacks ${lacking} of ${wanted} bytes; it is made again when there is room`),
      troubleChanged: (fs, trouble) => needs.log(trouble === undefined ? `${fs}: the backing is well again` : `alarm: ${fs}: ${trouble}`),
    });
  }

  async attach(config: FileSystemConfig): Promise<AttachedFileSystem> {
    const { fs, handle, rootHandle, eventList, probe, degradations } = await this.#service.attach({ fs: config.name, backing: config.backing, fsid: this.#needs.fsidOf(config.name) });
    this.#needs.attached(fs, parseHandle(handle)!.fsid);
    this.#attached.push(fs);
    for (const text of degradations) this.#needs.log(`${fs}: ${text}`);
    const capabilities = { ...probe, passthrough: noPassthrough(config, { ...probe }) ?? "yes" };
    return { fs, handle, rootHandle, eventList, capabilities };
  }

  readonly mount: MountMaker = (wanted) => (this.#hasMounts ? this.#mountReactor(wanted) : mountInProcess(wanted));

  async #mountReactor({ config, attached, mountpoint, hear }: Parameters<MountMaker>[0]): Promise<RunningMount> {
    const { config: { cluster, node, timeouts, kernelRequestTimeouts }, clusterKey, ticks, leaseUntil, log } = this.#needs;
    const source = mountSource(cluster, node, attached.fs);
    const holder = this.#needs.holder?.();
    const left = holder === undefined ? undefined : takeLeft(holder, source, mountpoint, log);
    if (left === undefined) clearMountpoint(mountpoint, source, log);
    const tickCell = this.#takeCell();
    const cells = new Int32Array(ticks);
    let isServing = false;
    try {
      const reactor = await ReactorMount.start(
        {
          fs: attached.fs, backing: config.backing, isRemote: config.backingCalls === "workers", mountpoint, source, mode: modeOn(config.mode, attached.capabilities), passthrough: noPassthrough(config, attached.capabilities) === undefined, clusterKey, fsid: parseHandle(attached.handle)!.fsid, node,
          slot: this.#slot, eventList: attached.eventList, ticks, tickCell, ...(config.keepsNames && { leaseUntil }), keepsBeside: config.keepsNamesBeside, dataEventRetry: config.dataEventRetry, withoutOwner: config.ownerTimeout, eventTimeoutMs: timeouts.eventTimeoutMs, heldBytesMax: config.heldBytesMax,
          guardTimeoutMs: timeouts.guardTimeoutMs, interruptGraceMs: timeouts.interruptGraceMs,
          allowsRequestTimeouts: kernelRequestTimeouts === "warn", holder, left,
        },
        (message) => {
          if (message.kind === "ended") this.#giveCell(tickCell);
          if (message.kind === "survives-no-more") log(`warning: ${mountpoint} ends with this daemon: ${message.why}`);
          // Its workers may be writing yet, and its guards are held by this process: only the end of it is the end of them.
          if (isServing && message.kind === "ended" && message.isFailure === true) this.#needs.failed(new Error(`the mount of ${attached.fs}: ${message.why}`));
          else hear(message);
        },
      );
      isServing = true;
      if (left !== undefined) log(`${mountpoint}: taken over from an earlier daemon; its users waited ${left.goneMs} ms`);
      for (const warning of reactor.warnings) log(`warning: ${warning}`);
      return {
        mountpoint, minor: reactor.connection, tick: () => Atomics.load(cells, tickCell), post: (message) => reactor.post(message),
        unmount: (isForced) => reactor.stop({ isLazy: isForced }).then(() => undefined, (error: Error) => ({ code: "EBUSY", message: error.message }) as const),
        isHeld: () => reactor.isHeld, leave: () => reactor.leave(),
      };
    } catch (error) {
      this.#giveCell(tickCell);
      if (left === undefined) throw error;
      throw new TakeoverFailed(`the mount that an earlier daemon left could not be taken over, its users get an error: ${(error as Error).message}`, { cause: error });
    }
  }

  run(work: ObjectJob): Promise<VolumeResult> {
    return this.#service.perform(work);
  }
  setView(view: View): void {
    const mine = view.members.find(({ id }) => id === this.#needs.config.node);
    this.#slot = mine?.slot ?? 0;
    this.#service.setMembers(this.#slot, Object.fromEntries(view.members.map(({ slot, id }) => [slot, id])));
  }
  redeem(ticket: string): { readonly fd: number; release(): void } | undefined {
    return this.#service.ticket(ticket);
  }
  tokenAnswered(session: SessionId, token: Token): void {
    this.#service.dropToken(session, token);
  }
  clientGone(client: number): void {
    this.#service.dropClient(client);
  }

  trouble(fs: FsName): string | undefined {
    return this.#service.trouble(fs);
  }
  reserve(fs: FsName): ReserveState | undefined {
    return this.#service.reserve(fs);
  }
  counters(): Readonly<Record<string, number>> {
    const sums: Record<string, number> = {};
    for (const fs of this.#attached) {
      for (const [name, value] of Object.entries(this.#service.counters(fs) ?? {})) sums[`volume.${name}`] = (sums[`volume.${name}`] ?? 0) + value;
    }
    return sums;
  }
  close(): Promise<void> {
    return this.#service.close();
  }

  #takeCell(): number {
    for (let cell = 1; cell <= TICK_CELLS_MAX; cell++) {
      if (this.#cells.has(cell)) continue;
      this.#cells.add(cell);
      return cell;
    }
    throw new Error(`${TICK_CELLS_MAX} reactors run already`);
  }
  /** A cell that is 0 belongs to no thread. */
  #giveCell(cell: number): void {
    Atomics.store(new Int32Array(this.#needs.ticks), cell, 0);
    this.#cells.delete(cell);
  }
}
