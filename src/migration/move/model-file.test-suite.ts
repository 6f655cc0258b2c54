/**
 * One file, its record and a store in memory, performing the requests of a move: what the tests of the steps run on.
 * A crash is a move that is never resumed, followed by `crash()`: right and guard go, everything else stays.
 *
 * Not here  nodes, caches, kernels: the simulator models those.
 */
import type { FileRecord } from "../../dmapi/record.js";
import { noteOf } from "../states.js";
import { type Move, MoveFailure, type MoveRequest } from "./steps.js";

export class ModelFile {
  /** What the backing file holds; a freed piece is a dot. */
  backing: string;
  record: FileRecord | null = null;
  mark: string | null = null;
  mtimeNs = 100n;
  nlink = 1;
  readonly objects = new Map<string, string>();
  readonly ledger = new Set<string>();
  readonly intents = new Set<string>();
  holdsRight = false;
  holdsGuard = false;
  readonly trace: string[] = [];
  /** Refuses the request with this number (from 0) instead of performing it. */
  refuseAt = -1;
  /** The volume is full: so many bytes are copied in, and no record is changed. */
  roomFor: number | undefined;
  #requests = 0;
  #nonces = 0;

  constructor(content: string) {
    this.backing = content;
  }

  /** What a user reads: through the region he gets the object's bytes, recalled for him. */
  get seen(): string {
    if (this.record === null || this.record.regions.length === 0) return this.backing;
    const object = noteOf(this.record)?.object;
    return (object === undefined ? undefined : this.objects.get(object)) ?? "LOST";
  }
  /** A user's write on any node: the mark goes before the data. Only where no region stands in the way. */
  write(content: string): void {
    this.mark = null;
    this.backing = content;
    this.mtimeNs += 1n;
  }
  crash(): void {
    this.holdsRight = false;
    this.holdsGuard = false;
    this.#requests = 0;
    this.refuseAt = -1;
  }

  /** Runs a move to its end, or up to the request with number `stopBefore`. */
  run<T>(move: Move<T>, stopBefore = Number.POSITIVE_INFINITY, between: (request: MoveRequest) => void = () => {}): T | "stopped" {
    let next = move.next();
    while (next.done !== true) {
      if (this.#requests === stopBefore) return "stopped";
      const isRefused = this.#requests++ === this.refuseAt;
      this.trace.push(next.value.step);
      between(next.value);
      try {
        if (isRefused) throw new MoveFailure("EIO", "refused by the test");
        next = move.next(this.#perform(next.value));
      } catch (error) {
        if (!(error instanceof MoveFailure)) throw error;
        next = move.throw(error);
      }
    }
    return next.value;
  }

  #perform(request: MoveRequest): unknown {
    switch (request.call) {
      case "read-record":
        return { record: this.record, mark: this.mark, attributes: this.#attributes() };
      case "create-mark":
        if (this.mark !== null) throw new MoveFailure("EEXIST", "marked");
        this.mark = `nonce${++this.#nonces}`;
        return { nonce: this.mark, size: this.backing.length, mtimeNs: this.mtimeNs, ctime: { marked: 2n, shown: 1n } };
      case "check-mark":
        return this.mark === request.args.nonce;
      case "remove-mark":
        if (this.mark === request.args.nonce) this.mark = null;
        return undefined;
      case "note-intent":
        return void this.intents.add(request.args.object);
      case "clear-intent":
        return void this.intents.delete(request.args.object);
      case "copy-out":
        this.objects.set(request.args.object, this.backing);
        if (this.mark !== request.args.nonce) throw new MoveFailure("ECANCELED", "changed");
        return { checksum: `sum:${this.backing}`, size: this.backing.length };
      case "verify-object":
        return this.#expectObject(request.args.object, request.args.checksum);
      case "discard-object":
        this.intents.delete(request.args.object);
        return void this.ledger.add(request.args.object);
      case "take-right":
        this.holdsRight = true;
        return undefined;
      case "release-right":
        this.holdsRight = false;
        return undefined;
      case "flush":
        return undefined;
      case "take-guard":
        if (!this.holdsRight) throw new MoveFailure("EACCES", "no right");
        this.holdsGuard = true;
        return undefined;
      case "release-guard":
        this.holdsGuard = false;
        return undefined;
      case "change-record":
        return this.#change(request);
      case "punch":
        if (!this.holdsGuard || this.seen === "LOST") throw new MoveFailure("EIO", "a punch without guard or copy");
        this.backing = ".".repeat(this.backing.length);
        return undefined;
      case "open-object":
        return this.#expectObject(request.args.object, request.args.checksum);
      case "copy-in":
        this.#expectWritable();
        this.#expectObject(request.args.object, request.args.checksum);
        this.mtimeNs = 999n;
        this.backing = this.objects.get(request.args.object)!.slice(0, this.roomFor).padEnd(this.backing.length, ".");
        if (this.roomFor !== undefined && this.roomFor < this.backing.length) throw new MoveFailure("ENOSPC", "full");
        return undefined;
      case "empty-file":
        this.#expectWritable();
        this.backing = "";
        return undefined;
      case "sync-file":
        return undefined;
      case "restore-times":
        this.mtimeNs = request.args.mtimeNs;
        return undefined;
    }
  }
  #change(request: MoveRequest & { call: "change-record" }): void {
    const { change, expectMark, expect } = request.args;
    if (this.roomFor !== undefined) throw new MoveFailure("ENOSPC", "full");
    if (!this.holdsRight || !this.holdsGuard) throw new MoveFailure("EACCES", "no right or guard");
    if (expectMark !== undefined && expectMark !== this.mark) throw new MoveFailure("ECANCELED", "changed");
    if (expect !== undefined && (expect.size !== this.backing.length || expect.mtimeNs !== this.mtimeNs)) throw new MoveFailure("ECANCELED", "changed");
    const old: FileRecord = this.record ?? { generation: 0, residency: "resident", regions: [], attributes: {} };
    const attributes = { ...old.attributes };
    for (const [name, value] of Object.entries(change.attributes ?? {})) {
      if (value === null) delete attributes[name];
      else attributes[name] = value;
    }
    const { virtual: oldVirtual, eventList: oldList, ...kept } = old;
    const captured = { size: this.backing.length, atimeNs: 1n, mtimeNs: this.mtimeNs, ctimeNs: 1n };
    const virtual = change.virtual === "capture" ? captured : change.virtual === "drop" ? undefined : oldVirtual;
    const eventList = change.eventList === null ? undefined : (change.eventList ?? oldList);
    this.record = {
      ...kept, generation: old.generation + 1, residency: change.residency ?? old.residency, regions: change.regions ?? old.regions,
      attributes, ...(virtual === undefined ? {} : { virtual }), ...(eventList === undefined ? {} : { eventList }),
    };
  }
  #expectObject(object: string, checksum: string): void {
    if (`sum:${this.objects.get(object)}` !== checksum) throw new MoveFailure("EIO", "the object is not what was noted");
  }
  #expectWritable(): void {
    if (!this.holdsGuard || this.record?.residency !== "partial") throw new MoveFailure("EACCES", "no write where no region is set");
  }
  #attributes() {
    return {
      type: "file" as const, dev: 1n, ino: 2n, mode: 0o100644, nlink: this.nlink, uid: 0, gid: 0, rdev: 0n, size: this.backing.length, blocks: 8,
      blockSize: 4096, atimeNs: 1n, mtimeNs: this.mtimeNs, ctimeNs: 1n,
    };
  }
}
