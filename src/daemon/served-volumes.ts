/**
 * The real file-system side of a node: the volume service with its I/O workers.
 *
 * Owns      the volume service.
 * Not here  what a job means (volume/perform.ts), FUSE (reactor/).
 * Source    safety H1, M2, M5.
 */
import type { VolumeJob, VolumeResult } from "../cluster/node-contract.js";
import type { View } from "../cluster/view-document.js";
import type { FsName, SessionId, Token } from "../dmapi/ids.js";
import { VolumeService } from "../volume/service.js";
import type { FileSystemConfig } from "./config.js";
import type { AttachedFileSystem, MountMaker } from "./file-systems.js";
import { mountInProcess } from "./in-process.js";
import type { NodeVolumes, VolumeNeeds } from "./node-volumes.js";

export class ServedVolumes implements NodeVolumes {
  readonly #needs: VolumeNeeds;
  readonly #service: VolumeService;
  readonly #attached: FsName[] = [];

  constructor(needs: VolumeNeeds) {
    this.#needs = needs;
    this.#service = new VolumeService({ clusterKey: needs.clusterKey, guardWaitMs: needs.config.timeouts.guardTimeoutMs });
  }

  async attach(config: FileSystemConfig): Promise<AttachedFileSystem> {
    const { fs, handle, rootHandle, eventList, probe, degradations } = await this.#service.attach({ fs: config.name, backing: config.backing });
    this.#attached.push(fs);
    for (const text of degradations) this.#needs.log(`${fs}: ${text}`);
    return { fs, handle, rootHandle, eventList, capabilities: { ...probe } };
  }

  readonly mount: MountMaker = mountInProcess;

  run(work: Exclude<VolumeJob, { kind: "mount" | "unmount" }>): Promise<VolumeResult> {
    return this.#service.perform(work);
  }
  setView(view: View): void {
    const mine = view.members.find(({ id }) => id === this.#needs.config.node);
    this.#service.setMembers(mine?.slot ?? 0, Object.fromEntries(view.members.map(({ slot, id }) => [slot, id])));
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
}
