/**
 * One object of a volume, opened by its handle for the length of an operation: its descriptor, attributes, record, and the
 * right to change the record (the guard exclusive on the very descriptor, or the record lock for what is no regular file).
 *
 * Failures are thrown as DmError and become values where operations are performed (perform.ts).
 * Source    safety C1, C3, H4, H6.
 */
import { codeOf, DmError, type DmCode } from "../dmapi/errors.js";
import type { FileRecord, RecordChange, VirtualStat } from "../dmapi/record.js";
import type { FileAttributes } from "../dmapi/calls.js";
import type { Handle } from "../dmapi/ids.js";
import { errno, errnoName } from "../os/errno.js";
import * as files from "../os/files.js";
import { FileStat } from "../os/stat.js";
import type { Volume } from "./filesystem.js";
import { takeRecordLock } from "./filesystem.js";
import { describeHolders, guardHolders, releaseGuard, tryTakeGuard } from "./guard.js";
import { applyChange, mustDrain } from "./record-codec.js";
import { readRecord, takeRecordTurn, writeRecord, type AttributePlace, type StoredRecord } from "./record.js";
import { type Share, shareFor, storeWithReserve } from "./reserve.js";

/** Somebody's guard stands in the way: the same operation may succeed a moment later. */
export class GuardBusy extends DmError {}

/** What an operation needs beside its arguments. */
export interface OperationContext {
  readonly volume: Volume;
  /** This node's slot in the view; names it to others who find its guard in the way. */
  readonly slot: number;
  /** Names of members by slot, for messages. */
  readonly members: Readonly<Record<number, string>>;
  /** A descriptor of this object with the exclusive guard, opened earlier for the same application. */
  readonly guardFd?: number;
}

export function fail(code: DmCode, call: string, message: string): never {
  throw new DmError(code, call, message);
}
/** Passes a system call's result on, or fails with its errno. */
export function must(result: number, call: string, what: string): number {
  if (result >= 0) return result;
  throw new DmError(codeOf(-result), call, `${what}: ${errnoName(result)}`);
}

/** Immutable, on a read-only volume, or being executed below us: such a file can still be looked at. */
const isReadOnly: ReadonlySet<DmCode> = new Set<DmCode>(["EPERM", "EROFS", "ETXTBSY"]);

export interface ChangedRecord {
  readonly old: FileRecord | undefined;
  readonly next: FileRecord;
  /** Members must drain before anybody may rely on it. */
  readonly mustDrain: boolean;
}

export class OpenObject {
  readonly call: string;
  readonly handle: Handle;
  readonly fd: number;
  readonly own: string;
  readonly stat = new FileStat();
  readonly #context: OperationContext;
  #isOurs: boolean;
  #lockFd = -1;
  #holdsGuard = false;

  private constructor(context: OperationContext, call: string, handle: Handle, fd: number, own: string, isOurs: boolean) {
    this.call = call;
    this.handle = handle;
    this.fd = fd;
    this.own = own;
    this.#context = context;
    this.#isOurs = isOurs;
  }

  /** With the context's guard descriptor when there is one, else a fresh one; files for reading and writing. */
  static open(context: OperationContext, call: string, handle: Handle): OpenObject {
    const { handles } = context.volume;
    const parsed = handles.parse(handle);
    if ("code" in parsed) return fail(parsed.code, call, parsed.message);
    if (context.guardFd !== undefined) {
      const object = new OpenObject(context, call, handle, context.guardFd, parsed.own, false);
      object.refreshStat();
      return object;
    }
    const found = handles.openKernel(parsed.kernel, files.open.path);
    if (typeof found !== "number") return fail(found.code, call, found.message);
    const looked = new OpenObject(context, call, handle, found, parsed.own, true);
    looked.refreshStat();
    if (!looked.stat.isRegular && !looked.stat.isDirectory) return looked; // links and devices stay O_PATH: opening a device does things
    const flags = looked.stat.isDirectory ? files.open.readOnly | files.open.directory : files.open.readWrite | files.open.noAccessTime | files.open.nonBlocking;
    looked.close();
    let opened = handles.openKernel(parsed.kernel, flags);
    if (typeof opened !== "number" && isReadOnly.has(opened.code)) opened = handles.openKernel(parsed.kernel, files.open.readOnly);
    if (typeof opened !== "number") return fail(opened.code, call, opened.message);
    const object = new OpenObject(context, call, handle, opened, parsed.own, true);
    object.refreshStat();
    return object;
  }

  close(): void {
    if (this.#lockFd >= 0) files.close(this.#lockFd);
    if (this.#isOurs) files.close(this.fd);
    else if (this.#holdsGuard) releaseGuard(this.fd);
    this.#lockFd = -1;
    this.#isOurs = false;
  }
  /** The descriptor outlives this object and is the caller's now. */
  keepDescriptor(): number {
    this.#isOurs = false;
    this.#holdsGuard = false;
    return this.fd;
  }

  refreshStat(): void {
    const result = files.fstat(this.fd, this.stat);
    if (result >= 0) return;
    this.close();
    must(result, this.call, "attributes cannot be read");
  }
  requireRegular(): void {
    if (!this.stat.isRegular) fail("EINVAL", this.call, "only regular files have data, regions and marks");
  }
  get place(): AttributePlace {
    return this.stat.isRegular || this.stat.isDirectory ? { fd: this.fd } : { path: files.procPath(this.fd) };
  }

  /**
   * The right to change the record, until `close`; without waiting. @throws GuardBusy naming who is in the way.
   * `isBesideData`: nothing that reads and writes go by is changed. Then the guard may also be shared with those who do,
   * who take turns at the record (record.ts).
   */
  takeForChange(isBesideData = false): void {
    if (!this.stat.isRegular) {
      // One byte of 65,536 by the handle's last digits: two objects that share one take turns, no more.
      this.#lockFd = takeRecordLock(this.#context.volume, 1n + BigInt(Number.parseInt(this.own.slice(-4), 16) || 0));
      return;
    }
    if (this.#context.guardFd !== undefined) return;
    let taken = tryTakeGuard(this.fd, "exclusive", this.#context.slot);
    if (taken === -errno.EAGAIN && isBesideData) taken = this.#shareForChange();
    if (taken === -errno.EAGAIN) {
      const who = describeHolders(guardHolders(this.fd), (slot) => this.#context.members[slot] ?? `the node in slot ${slot}`);
      throw new GuardBusy("EBUSY", this.call, `the file is guarded by ${who}`);
    }
    must(taken, this.call, "the guard cannot be taken");
    this.#holdsGuard = true;
  }

  #shareForChange(): number {
    const shared = tryTakeGuard(this.fd, "shared", this.#context.slot);
    if (shared < 0) return shared;
    this.#holdsGuard = true;
    this.#lockFd = takeRecordTurn(this.fd);
    return this.#lockFd;
  }

  /** What is stored. @throws DmError EIO when it is damaged or cannot be read. */
  readStored(): Exclude<StoredRecord, { kind: "corrupted" | "failed" }> {
    const stored = readRecord(this.place, this.own, this.#context.volume.parts.metaFd);
    if (stored.kind === "corrupted") return fail("EIO", this.call, `the record of ${this.own} is damaged: ${stored.why}`);
    if (stored.kind === "failed") {
      must(-stored.errno, this.call, "the record cannot be read");
      return fail("EIO", this.call, "the record cannot be read");
    }
    return stored;
  }
  readRecord(): FileRecord | undefined {
    const stored = this.readStored();
    return stored.kind === "own" ? stored.record : undefined;
  }

  /**
   * One change of the record under the right already taken, in the order of safety C3: what was written is synced, times are
   * put back, then the one setxattr. `decide` sees the record as it now stands and may refuse by throwing.
   */
  changeRecord(decide: (old: FileRecord | undefined) => RecordChange, replaceVirtual?: VirtualStat): ChangedRecord {
    this.refreshStat();
    const stored = this.readStored();
    const old = stored.kind === "own" ? stored.record : undefined;
    const change = decide(old);
    if (!this.stat.isRegular && ((change.regions?.length ?? 0) > 0 || change.residency === "partial")) {
      fail("EINVAL", this.call, "only regular files have regions and holes");
    }
    const applied = applyChange(old, change, captureVirtual(this.stat), stored.generation);
    if ("failure" in applied) return fail(applied.failure.code, this.call, applied.failure.message);
    const next = replaceVirtual === undefined ? applied.record : { ...applied.record, virtual: replaceVirtual };
    // Who has it open still gets its bytes back; but nothing is taken from an object that nobody can find again.
    if (this.stat.nlink === 0 && mustDrain(old, next)) fail("EBADF", this.call, "the object has been removed");
    if (old?.residency === "partial" && this.stat.isRegular) {
      must(files.fdatasync(this.fd), this.call, "written data cannot be synced");
      if (old.virtual !== undefined && next.virtual === undefined) {
        must(files.futimens(this.fd, old.virtual.atimeNs, old.virtual.mtimeNs), this.call, "times cannot be put back");
      }
    }
    this.store(shareFor(old, next), () => writeRecord(this.place, this.own, this.#context.volume.parts.metaFd, stored, next), "the record cannot be written");
    if (this.stat.isRegular && bearsOnData(change)) must(files.fsync(this.fd), this.call, "the record cannot be synced");
    return { old, next, mustDrain: mustDrain(old, next) };
  }

  /** Stores with what it may take of the reserve when the volume is full. @throws DmError */
  store(share: Share, store: () => number, what: string): void {
    must(storeWithReserve(this.#context.volume.parts.ownFd, share, store), this.call, what);
  }

  /** As users see them: of a file that is not resident, size and times are the record's. */
  attributes(record: FileRecord | undefined): FileAttributes {
    const { stat } = this;
    const virtual = record?.virtual;
    return {
      type: stat.isRegular ? "file" : stat.isDirectory ? "directory" : stat.isSymlink ? "symlink" : "other",
      dev: stat.dev, ino: stat.ino, mode: stat.mode, nlink: stat.nlink, uid: stat.uid, gid: stat.gid, rdev: stat.rdev,
      size: virtual?.size ?? stat.size, blocks: stat.blocks, blockSize: stat.blockSize,
      atimeNs: virtual?.atimeNs ?? stat.atimeNs, mtimeNs: virtual?.mtimeNs ?? stat.mtimeNs, ctimeNs: virtual?.ctimeNs ?? stat.ctimeNs,
    };
  }
}

export function captureVirtual(stat: FileStat): VirtualStat {
  return { size: stat.size, atimeNs: stat.atimeNs, mtimeNs: stat.mtimeNs, ctimeNs: stat.ctimeNs };
}
function bearsOnData(change: RecordChange): boolean {
  return change.regions !== undefined || change.residency !== undefined || change.virtual !== undefined;
}
