/**
 * What the daemon's main thread and a mount's reactor thread say to each other, over a socket pair (reactor-channel.ts).
 *
 * Source    safety H1, H3, C4, C5, C6.
 */
import type { Decision, HeldEvent } from "../cluster/node-contract.js";
import type { OtherMount } from "../cluster/keeping/keeping.js";
import type { KeepingWord } from "../cluster/keeping/words.js";
import type { LockReport, RoundWork } from "../cluster/messages.js";
import type { DmCode } from "../dmapi/errors.js";
import type { EventSet } from "../dmapi/events.js";
import type { FsName, Handle, NodeId, OperationId, RequestId } from "../dmapi/ids.js";
import type { Right } from "../dmapi/rights.js";
import type { WaiterEntry } from "../dmapi/status.js";

export type ToReactor =
  | { readonly kind: "resume"; readonly operation: OperationId; readonly decision: Decision }
  | { readonly kind: "describe"; readonly operation: OperationId; readonly cause: WaiterEntry["cause"]; readonly detail: string; readonly token?: number; readonly session?: number; readonly leftMs?: number }
  | { readonly kind: "owned-events"; readonly events: EventSet }
  | { readonly kind: "fs-event-list"; readonly events: EventSet }
  | { readonly kind: "sole-mount"; readonly isSole: boolean }
  | { readonly kind: "other-mounts"; readonly others: readonly OtherMount[]; readonly isInForce: boolean }
  | { readonly kind: "keeping-heard"; readonly from: NodeId; readonly word: KeepingWord }
  /** Closed: nothing new is admitted; operations wait (excluded node), visible as such, or are refused with that errno. */
  | { readonly kind: "admission"; readonly isOpen: boolean; readonly why: string; readonly refuses?: DmCode }
  | { readonly kind: "interest-granted"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "fence-raised"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "fence-lowered"; readonly handle: Handle; readonly fence: Right; readonly fenceNumber: number }
  | { readonly kind: "round"; readonly round: RequestId; readonly from: string; readonly work: RoundWork }
  /** New incarnation: drop records, interests, fences, guards, pages. Events that are out are offered anew by the source node. */
  | { readonly kind: "forget" }
  | { readonly kind: "report"; readonly id: number }
  | { readonly kind: "report-locks"; readonly id: number }
  /** That wait is in a circle over nodes: it ends with EDEADLK, if it stands yet. */
  | { readonly kind: "refuse-lock"; readonly life: string; readonly wait: number }
  /** The holder has the mount: descriptors that must outlive this daemon go to it by this connection. */
  | { readonly kind: "held"; readonly keeperFd: number }
  /** Stop serving: the file system was unmounted or the daemon ends; `isLeft`: and the next one goes on with what is not answered. */
  | { readonly kind: "end"; readonly isLeft?: boolean };

/** The file system is that of the reactor. */
export type EventOfReactor = Omit<HeldEvent, "fs">;

export type FromReactor =
  /** The kernel has begun to talk. `canSurvive`: another daemon could go on with what it says. */
  | { readonly kind: "ready"; readonly canSurvive: boolean }
  /** From now on this mount ends with this daemon. */
  | { readonly kind: "survives-no-more"; readonly why: string }
  /** Another holder has been given everything that was to be kept. */
  | { readonly kind: "kept-again" }
  | { readonly kind: "event-held"; readonly held: EventOfReactor }
  | { readonly kind: "operation-gone"; readonly operation: OperationId }
  | { readonly kind: "interest-wanted"; readonly handle: Handle }
  | { readonly kind: "interest-dropped"; readonly handle: Handle }
  | { readonly kind: "fence-drained"; readonly handle: Handle; readonly fenceNumber: number }
  | { readonly kind: "round-drained"; readonly round: RequestId; readonly from: string }
  | { readonly kind: "keeping-said"; readonly to: NodeId; readonly word: KeepingWord }
  /** Other members must drop their pages of a file before `operation` may end (times set back, safety H7). */
  | { readonly kind: "round-wanted"; readonly work: RoundWork; readonly operation: OperationId }
  | { readonly kind: "reported"; readonly id: number; readonly waiters: readonly WaiterEntry[]; readonly counters: Readonly<Record<string, number>> }
  /** A user has waited long for a lock, and holds others: a circle may go over other nodes. */
  | { readonly kind: "locks-stuck" }
  | { readonly kind: "locks-reported"; readonly id: number; readonly report: LockReport }
  /** No backing call of it runs any more and its descriptors are closed, but for `isFailure`: then only the daemon's end is sure to do that. */
  | { readonly kind: "ended"; readonly why: string; readonly isFailure?: true };

/** What of a mount outlives its daemon (safety H11). */
export interface Survival {
  /** The mount's memory (holder/mount-memory.ts). */
  readonly memoryFd: number;
  /** The reactor's own connection to the holder. Of a mount that begins it is told later. */
  readonly keeperFd: number;
  /** It is one that an earlier daemon left, with these descriptors. */
  readonly left?: readonly { readonly key: string; readonly note: string; readonly fd: number }[];
}

/** Handed to the reactor's worker as workerData. */
export interface ReactorOptions {
  readonly fs: FsName;
  readonly backing: string;
  /** Every call on it goes to the I/O workers, also where it looks like a local one. */
  readonly isRemote?: boolean;
  readonly mountpoint: string;
  readonly mode: "fast" | "exact";
  /** In mode fast the kernel reads and writes files by itself where it can (safety C2). Absent: no. */
  readonly passthrough?: boolean;
  /** Hexadecimal; seals handles (volume/handle-seal.ts). */
  readonly clusterKey: string;
  readonly fsid: string;
  readonly node: string;
  /** The member's slot in the view: names it to those whom its guard refuses. */
  readonly slot?: number;
  /** Descriptor of /dev/fuse, already mounted; eventfd by which side threads wake the poll; the reactor's end of its channel to main. */
  readonly fuseFd: number;
  readonly wakeFd: number;
  readonly channelFd: number;
  readonly eventList: EventSet;
  /** Int32 cells the thread counts up in, so that the coordination worker renews only while it ticks (safety M2). */
  readonly ticks: SharedArrayBuffer;
  readonly tickCell: number;
  /** One double: until when this node's lease lasts, in milliseconds of the monotonic clock. Absent: the kernel keeps no names and attributes. */
  readonly leaseUntil?: SharedArrayBuffer;
  /** The kernel keeps names and attributes also where others mount, with their permission (decision 0012). */
  readonly keepsBeside?: boolean;
  readonly dataEventRetry: number;
  /** Absent: wait. */
  readonly withoutOwner?: "wait" | "error" | "ignore";
  /** For threads of file servers; absent: without limit. */
  readonly eventTimeoutMs?: number;
  readonly guardTimeoutMs: number;
  readonly interruptGraceMs: number;
  /** Of waiting writes in memory; what is more waits in an unlinked file (safety M8). */
  readonly heldBytesMax: number;
  /** Objects that nobody uses and that are not packed all the same; undefined: what is usual. */
  readonly awakeInodesMax?: number;
  /** Absent: the mount ends with its daemon. */
  readonly survival?: Survival;
}
