/**
 * What the node needs of the file-system side: attaching backings, jobs of the machine on objects, mounts. The node
 * without FUSE and the tests bring their own.
 *
 * Source    cluster/node-contract.ts (volume jobs); daemon/reactor-port.ts.
 */
import type { ObjectJob, VolumeResult } from "../cluster/node-contract.js";
import type { View } from "../cluster/view-document.js";
import type { FsName, SessionId, Token } from "../dmapi/ids.js";
import type { ReserveEntry } from "../dmapi/status.js";
import type { HolderLink } from "./holder/holder-link.js";
import type { FileSystemConfig, NodeConfig } from "./config.js";
import type { AttachedFileSystem, MountMaker } from "./file-systems.js";

/** Cells in the ticks that reactors may use; cell 0 is the main thread's. */
export const TICK_CELLS_MAX = 256;

export interface VolumeNeeds {
  readonly config: NodeConfig;
  /** Hexadecimal. */
  readonly clusterKey: string;
  /** `TICK_CELLS_MAX` Int32 cells after cell 0, watched by coordination (safety M2). */
  readonly ticks: SharedArrayBuffer;
  /** As in ReactorOptions. */
  readonly leaseUntil: SharedArrayBuffer;
  readonly log: (line: string) => void;
  /** What the cluster knows a file system by; undefined: nobody has attached it yet. */
  readonly fsidOf: (fs: FsName) => string | undefined;
  /** @throws Error when the cluster knows it by another. */
  readonly attached: (fs: FsName, fsid: string) => void;
  /** Keeps mounts alive beyond this daemon; absent: they end with it. Asked when something is mounted. */
  readonly holder?: () => HolderLink | undefined;
  /** A thread without which this daemon cannot go on has ended. */
  readonly failed: (error: Error) => void;
}
export interface NodeVolumes {
  /** @throws Error that names the backing, what was found and what is allowed. */
  attach(config: FileSystemConfig): Promise<AttachedFileSystem>;
  readonly mount: MountMaker;
  run(work: ObjectJob): Promise<VolumeResult>;
  /** The members of the view in use; their slots name guards to people. */
  setView(view: View): void;
  /** The descriptor behind a ticket of `invisible.open`, once. */
  redeem(ticket: string): { readonly fd: number; release(): void } | undefined;
  /** The event was answered: guards opened under its token go. */
  tokenAnswered(session: SessionId, token: Token): void;
  /** An application's connection has ended: descriptors kept for it are closed. */
  clientGone(client: number): void;
  /** What is wrong with its backing, in words. */
  trouble(fs: FsName): string | undefined;
  /** As last looked at; undefined where nothing is known of it. */
  reserve(fs: FsName): ReserveEntry | undefined;
  counters(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}
