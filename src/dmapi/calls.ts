/**
 * The calls an application makes of its daemon over the unix socket, by name: arguments and results.
 *
 * Frames are length-prefixed MessagePack: `[id, name, args]` up, `[id, 0, result]` or `[id, 1, {code, message}]` down,
 * `[id, 2]` up to abandon a call that waits. Every call may fail with ENOTREADY (daemon not in a view) and EINVAL.
 *
 * Units     offsets, sizes in bytes; times in milliseconds unless named Ns (nanoseconds since 1970, bigint).
 * Source    XDSM C429 chapter 5; docs/dmapi-coverage.md joins these names to the C ones.
 */
import type { ApplicationLease } from "./application-lease.js";
import type { DmCode } from "./errors.js";
import type { EventAnswer, EventMessage, EventSet, EventType } from "./events.js";
import type { FsName, GroupName, Handle, NodeId, SessionId, Token } from "./ids.js";
import type { ManagedRegion } from "./regions.js";
import type { Right } from "./rights.js";
import type { FileRecord, RecordChange } from "./record.js";
import type { AuditEntry, DispositionEntry, LogEntry, SessionEntry, StatusDocument, TraceDocument, WaiterEntry, WaitersDocument } from "./status.js";

/** Whose rights a call uses: a token of the session, or none (the call then takes what it needs for its own duration). */
export interface ObjectArgs {
  readonly session: SessionId;
  readonly handle: Handle;
  readonly token?: Token;
}
export interface FileAttributes {
  readonly type: "file" | "directory" | "symlink" | "other";
  readonly dev: bigint; readonly ino: bigint; readonly mode: number; readonly nlink: number; readonly uid: number;
  readonly gid: number; readonly rdev: bigint; readonly size: number; readonly blocks: number; readonly blockSize: number;
  readonly atimeNs: bigint; readonly mtimeNs: bigint; readonly ctimeNs: bigint;
}
export interface Extent {
  readonly type: "resident" | "hole";
  readonly offset: number;
  readonly length: number;
}

export interface Calls {
  "node.status": { args: Record<string, never>; result: StatusDocument };
  "node.waiters": { args: Record<string, never>; result: readonly WaiterEntry[] };
  /** Of all members; those that do not answer within 2 s are named. */
  "cluster.waiters": { args: Record<string, never>; result: WaitersDocument };
  "cluster.trace": { args: { token: Token }; result: TraceDocument };
  /** A step of an event in the application's words, for its trace: at most 120 characters. */
  "trace.note": { args: { session: SessionId; token: Token; text: string }; result: Record<string, never> };
  /** Entries after `after`; with `waitMs` waits that long for a new one. */
  "node.log": { args: { after?: number; waitMs?: number; max?: number }; result: readonly LogEntry[] };
  /** Changes of the registry, the oldest first; the same from every node (cluster/registry/audit.ts). */
  "registry.audit": { args: Record<string, never>; result: readonly AuditEntry[] };
  "manager.move": { args: { to: NodeId }; result: { manager: NodeId } };
  /** The operator's word that a node is stopped: its proof of death (safety C1). */
  "node.fence": { args: { node: NodeId; force?: boolean }; result: { fenced: NodeId } };
  /** Fault injection for trying and tests: this node neither sends to nor hears from `peer`. */
  "link.cut": { args: { peer: NodeId; direction: "both" | "send" | "receive" }; result: Record<string, never> };
  /** Fault injection: what this node sends to `peer` leaves so many milliseconds late. */
  "link.slow": { args: { peer: NodeId; delayMs: number }; result: Record<string, never> };
  /** Ends both. */
  "link.heal": { args: { peer?: NodeId }; result: Record<string, never> };
  /** Fault injection: forget or spoil this node's own copies, so that recovery must come from others (R3, R4). */
  "test.spoil": { args: { what: "hosted-sessions" | "registry" | "distribution"; on?: boolean }; result: Record<string, never> };
  /** Orderly stop: sessions stay assumable, mounts are taken down. */
  "node.stop": { args: Record<string, never>; result: Record<string, never> };

  "fs.list": { args: Record<string, never>; result: readonly { fs: FsName; handle: Handle; backing: string; mountpoint?: string; rootHandle: Handle }[] };
  "fs.mount": { args: { fs: FsName; mountpoint?: string }; result: { mountpoint: string } };
  "fs.unmount": { args: { fs: FsName; force?: boolean }; result: Record<string, never> };

  /**
   * `lease`: what becomes of its events when no application serves it (dmapi/application-lease.ts).
   * `isDurable`: asynchronous events are logged on the shared volume before the user goes on, until `event.acknowledge`.
   */
  "session.create": { args: { info: string; group?: GroupName; lease?: ApplicationLease; isDurable?: boolean }; result: { session: SessionId } };
  "session.assume": { args: { session: SessionId; info: string }; result: { session: SessionId } };
  /** What is absent stays; a lease of null ends it. */
  "session.modify": { args: { session: SessionId; info?: string; lease?: ApplicationLease | null; isDurable?: boolean }; result: Record<string, never> };
  /** A sign of life of the application, said again and again; the lease in force, if there is one. */
  "session.renew": { args: { session: SessionId }; result: { leaseMs?: number } };
  "session.destroy": { args: { session: SessionId }; result: Record<string, never> };
  "session.list": { args: Record<string, never>; result: readonly SessionEntry[] };
  "session.query": { args: { session: SessionId }; result: SessionEntry };

  /** `fs` a name, "global" for mount; `below` as XDSM maxevent (default: all events). Owner: the session, or its group. */
  "disposition.set": { args: { session?: SessionId; group?: GroupName; fs: FsName | "global"; events: readonly EventType[]; below?: number }; result: { version: number } };
  "disposition.list": { args: { session?: SessionId }; result: readonly DispositionEntry[] };

  /**
   * Waits up to `waitMs` (0: EAGAIN at once when empty; absent: for ever). `max` 0 = as many as fit in one frame. `answers`
   * are given first, as event.respond gives them, but nobody is told that they were taken: one that is refused fails this
   * call with its code when all are given.
   */
  "event.get": { args: { session: SessionId; max?: number | undefined; waitMs?: number | undefined; answers?: readonly EventAnswer[] | undefined }; result: readonly EventMessage[] };
  "event.respond": { args: { session: SessionId } & EventAnswer; result: Record<string, never> };
  /**
   * These durable events are dealt with and never offered again; with `isUpTo` also all before them from the same source.
   * Answered when that is on stable storage. Safe to repeat. @throws ESRCH not offered yet; EINVAL no such id.
   */
  "event.acknowledge": { args: { session: SessionId; ids: readonly string[]; isUpTo?: boolean }; result: Record<string, never> };
  "event.find": { args: { session: SessionId; token: Token }; result: EventMessage };
  "event.move": { args: { session: SessionId; token: Token; target: SessionId }; result: { token: Token } };
  "token.list": { args: { session: SessionId }; result: readonly Token[] };
  "userevent.create": { args: { session: SessionId; data: Uint8Array }; result: { token: Token } };
  /** Synchronous: waits for the answer; ABORT becomes the failure's code. Any node (XDSM dm_send_msg). */
  "message.send": { args: { session: SessionId; isSynchronous: boolean; data: Uint8Array }; result: { data?: Uint8Array } };

  "right.request": { args: { session: SessionId; handle: Handle; token: Token; right: Right; wait: boolean }; result: Record<string, never> };
  "right.release": { args: { session: SessionId; handle: Handle; token: Token }; result: Record<string, never> };
  "right.query": { args: { session: SessionId; handle: Handle; token: Token }; result: { right: Right } };
  "right.upgrade": { args: { session: SessionId; handle: Handle; token: Token }; result: Record<string, never> };
  "right.downgrade": { args: { session: SessionId; handle: Handle; token: Token }; result: Record<string, never> };

  "eventlist.set": { args: ObjectArgs & { events: readonly EventType[]; below?: number }; result: Record<string, never> };
  "eventlist.get": { args: ObjectArgs; result: { events: EventSet } };
  "region.set": { args: ObjectArgs & { regions: readonly ManagedRegion[] }; result: { isExact: boolean } };
  "region.get": { args: ObjectArgs; result: { regions: readonly ManagedRegion[] } };
  "attribute.set": { args: ObjectArgs & { name: string; value: Uint8Array }; result: Record<string, never> };
  "attribute.get": { args: ObjectArgs & { name: string }; result: { value: Uint8Array } };
  "attribute.list": { args: ObjectArgs; result: readonly { name: string; value: Uint8Array }[] };
  "attribute.remove": { args: ObjectArgs & { name: string }; result: Record<string, never> };
  "fileattr.get": { args: ObjectArgs; result: FileAttributes };
  "fileattr.set": { args: ObjectArgs & { mode?: number; uid?: number; gid?: number; atimeNs?: bigint; mtimeNs?: bigint; size?: number }; result: Record<string, never> };
  "allocation.get": { args: ObjectArgs & { offset: number; max: number }; result: { extents: readonly Extent[]; next: number | null } };
  "hole.probe": { args: ObjectArgs & { offset: number; length: number }; result: { offset: number; length: number } };
  "hole.punch": { args: ObjectArgs & { offset: number; length: number }; result: Record<string, never> };
  "object.sync": { args: ObjectArgs; result: Record<string, never> };

  /**
   * A descriptor for invisible I/O at native speed, passed by SCM_RIGHTS on `<socket>.fd` against the ticket.
   * "read": no guard. "exclusive": the guard exclusive on that very descriptor, kept by the daemon's copy for later
   * record changes and punches under the same right, until `invisible.close` or the caller's connection ends.
   * @throws EBUSY naming the holder when somebody's guard stands in the way; needs the right EXCLUSIVE for "exclusive".
   */
  /** "exclusive": the power to write, so a mark is broken, unless the caller promises to write to no resident file (`keepsMark`). */
  "invisible.open": { args: ObjectArgs & { mode: "read" | "exclusive"; waitMs?: number; keepsMark?: boolean }; result: { ticket: string; guard?: number } };
  "invisible.close": { args: { guard: number }; result: Record<string, never> };
  /** Small invisible I/O through the socket, for those who cannot take a descriptor. */
  "invisible.read": { args: ObjectArgs & { offset: number; length: number }; result: { data: Uint8Array } };
  "invisible.write": { args: ObjectArgs & { offset: number; data: Uint8Array; sync?: boolean }; result: { length: number } };

  /** The whole record, authoritative. */
  "record.get": { args: ObjectArgs; result: { record: FileRecord | null; mark: string | null; attributes: FileAttributes } };
  /**
   * One atomic change of the record (safety C3 step 6, H4): needs EXCLUSIVE. With `guard` on that descriptor, else the
   * guard is taken for the call. Adding regions returns when every member has drained; clearing waits for nobody.
   * `expectMark`: refused with ECANCELED unless the mark still is that nonce; `expect`: unless size and mtime are those.
   * `ctime`: a capture shows `shown` instead of the backing file's ctime while that is still `marked`, since marking the
   * file moved it and backups look at it.
   */
  "record.change": { args: ObjectArgs & { guard?: number; change: RecordChange; expectMark?: string; expect?: { size: number; mtimeNs: bigint }; ctime?: { marked: bigint; shown: bigint } }; result: { generation: number } };
  /**
   * Creates the mark (safety C3 step 1): first every member flushes and gives its guard back (a "flush" round, before the
   * volume job), then the guard is taken for a moment. EBUSY: a writer took it again or cannot be stopped; flush and try again.
   */
  "mark.create": { args: ObjectArgs; result: { nonce: string; size: number; mtimeNs: bigint; ctime: { marked: bigint; shown: bigint } } };
  "mark.check": { args: ObjectArgs & { nonce: string }; result: { isUnbroken: boolean } };
  "mark.remove": { args: ObjectArgs & { nonce: string }; result: Record<string, never> };
  /** Safety C3 step 4: every member writes back, drops pages, drains and gives its guard back. */
  "object.flush": { args: ObjectArgs; result: Record<string, never> };
}
export type CallName = keyof Calls;
export type ArgsOf<N extends CallName> = Calls[N]["args"];
export type ResultOf<N extends CallName> = Calls[N]["result"];
export interface CallFailure {
  readonly code: DmCode;
  readonly message: string;
}
