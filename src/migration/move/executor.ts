/**
 * Performs the requests of a move with the SDK and a store: the only place where the steps meet the world.
 *
 * Rights: a recall takes them under the token of the event that waits for it, any other move under a user event of its
 * own, whose data says so: after a crash the next migrator finds and ends it.
 *
 * For tests of crashes, SLUICE_MIGRATOR_STOP_AT=[move.]step:kill|freeze kills or freezes this process before that step.
 *
 * Owns      what one move holds: right, guarded descriptor, open object.
 * Source    safety C1, C3, H12.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { InvisibleFile } from "../../client/invisible-file.js";
import type { ManagedObject } from "../../client/managed-object.js";
import type { HeldRight, OutstandingToken } from "../../client/rights.js";
import type { Session } from "../../client/session.js";
import type { FileAttributes } from "../../dmapi/calls.js";
import { codeOfThrown, DmError, isRetryable } from "../../dmapi/errors.js";
import type { Handle } from "../../dmapi/ids.js";
import { type Manifest, type ObjectReader, type Store, StoreError } from "../stores/store.js";
import { isNoRoom, type Move, type MoveCall, MoveFailure, type MoveRequest, type MoveResult } from "./steps.js";

/** Begins the data of user events that only hold rights. */
export const MOVE_TOKEN_PREFIX = "sluice-migrator move ";
const CHUNK = 1024 * 1024;
const MARK_CHECK_BYTES = 64 * CHUNK;
const GUARD_WAIT_MS = 20_000;
const RETRY_MS = 30_000;
/** Safe to ask again unchanged when the answer was "not now". */
const REPEATABLE: ReadonlySet<MoveCall> = new Set(["read-record", "check-mark", "take-right", "take-guard", "flush", "punch"]);

export interface MoveContext {
  readonly kind: "migrate" | "recall";
  readonly session: Session;
  readonly store: Store;
  readonly fs: string;
  readonly handle: Handle;
  readonly path: string | null;
  readonly verb: "migrate" | "premigrate" | "release";
  /** The event that waits for this move, when one does. */
  readonly token?: OutstandingToken;
  readonly progressed?: (bytes: number) => void;
  readonly nowMs: () => number;
}

export async function perform<T>(move: Move<T>, context: MoveContext): Promise<T> {
  const performer = new Performer(context);
  try {
    let next = move.next();
    while (next.done !== true) {
      stopWhenTold(context.kind, next.value.step);
      let result: unknown;
      try {
        result = await performer.request(next.value);
      } catch (error) {
        next = move.throw(asMoveFailure(error));
        continue;
      }
      next = move.next(result);
    }
    return next.value;
  } finally {
    await performer.letGo();
  }
}

class Performer {
  readonly #context: MoveContext;
  #ownToken: OutstandingToken | undefined;
  #right: HeldRight | undefined;
  #guarded: InvisibleFile | undefined;
  #object: ObjectReader | undefined;
  #firstBytes: Buffer = Buffer.alloc(0);

  constructor(context: MoveContext) {
    this.#context = context;
  }

  async request(request: MoveRequest): Promise<unknown> {
    const deadline = performance.now() + RETRY_MS;
    for (let pauseMs = 20; ; pauseMs = Math.min(1000, pauseMs * 2)) {
      try {
        return await this.#perform(request);
      } catch (error) {
        const mayRepeat = error instanceof DmError && isRetryable(error.code) && REPEATABLE.has(request.call);
        if (!mayRepeat || !this.#context.session.connection.isOpen || performance.now() > deadline) throw error;
        await sleep(pauseMs);
      }
    }
  }

  /** Whatever happened: nothing stays held or open. */
  async letGo(): Promise<void> {
    await this.#closeObject().catch(() => {});
    await this.#guarded?.close().catch(() => {});
    await this.#releaseRight().catch(() => {});
  }

  #perform(request: MoveRequest): Promise<MoveResult<MoveCall>> {
    const { store } = this.#context;
    const file = this.#file();
    switch (request.call) {
      case "read-record":
        return file.record();
      case "create-mark":
        return file.createMark();
      case "check-mark":
        return file.isMarkUnbroken(request.args.nonce);
      case "remove-mark":
        return done(file.removeMark(request.args.nonce));
      case "note-intent": {
        const { handle, path, verb, session, nowMs } = this.#context;
        return done(store.noteIntent({ object: request.args.object, handle, path, verb, session: session.id, atMs: nowMs() }));
      }
      case "clear-intent":
        return done(store.clearIntent(request.args.object));
      case "copy-out":
        return this.#copyOut(request.args);
      case "verify-object":
        return done(store.verify(request.args.object, request.args));
      case "discard-object":
        return done(store.discard(request.args.object, this.#context.handle, request.args.reason, this.#context.nowMs()));
      case "take-right":
        return done(this.#takeRight());
      case "release-right":
        return done(this.#releaseRight());
      case "flush":
        return done(file.flush());
      case "take-guard":
        return done(this.#takeGuard());
      case "release-guard":
        return done(this.#releaseGuard());
      case "change-record": {
        const { change, ...conditions } = request.args;
        const guard = this.#guard().guard;
        return done(file.changeRecord(change, { ...conditions, ...(guard === undefined ? {} : { guard }) }));
      }
      case "punch":
        return done(file.punchHole(0, 0));
      case "open-object":
        return done(this.#openObject(request.args));
      case "copy-in":
        return done(this.#copyIn(request.args));
      case "empty-file":
        return done(this.#guard().truncate(0));
      case "sync-file":
        return done(this.#guard().sync());
      case "restore-times":
        return done(Promise.resolve(this.#guard().setTimes(request.args)));
    }
  }

  #file(): ManagedObject {
    return this.#context.session.object(this.#context.handle, this.#right?.token);
  }
  #guard(): InvisibleFile {
    if (this.#guarded === undefined) throw new MoveFailure("EACCES", "the guard is not held");
    return this.#guarded;
  }

  async #takeRight(): Promise<void> {
    const { session, handle, token } = this.#context;
    const holder = token ?? (await session.createUserEvent(Buffer.from(`${MOVE_TOKEN_PREFIX}${handle}`)));
    if (token === undefined) this.#ownToken = holder;
    try {
      this.#right = await holder.requestRight(handle, "exclusive", { wait: true });
    } catch (error) {
      await this.#releaseRight();
      throw error;
    }
  }
  async #releaseRight(): Promise<void> {
    const right = this.#right;
    const own = this.#ownToken;
    this.#right = undefined;
    this.#ownToken = undefined;
    if (own !== undefined) await own.respond({ kind: "continue" }); // releases its rights
    else await right?.release();
  }
  async #takeGuard(): Promise<void> {
    this.#guarded = await this.#file().openInvisible({ mode: "exclusive", waitMs: GUARD_WAIT_MS, keepsMark: true });
  }
  async #releaseGuard(): Promise<void> {
    const guarded = this.#guarded;
    this.#guarded = undefined;
    await guarded?.close();
  }

  async #copyOut(args: { object: string; nonce: string; size: number }): Promise<{ checksum: string; size: number }> {
    const file = this.#file();
    const { attributes } = await file.record();
    await using source = await file.openInvisible({ mode: "read" });
    const writer = await this.#context.store.create(args.object);
    const hash = createHash("sha256");
    const chunk = Buffer.allocUnsafe(CHUNK);
    let size = 0;
    let checkAt = MARK_CHECK_BYTES;
    try {
      for (;;) {
        const length = await source.read(chunk, size);
        if (length === 0) break;
        hash.update(chunk.subarray(0, length));
        await writer.write(chunk.subarray(0, length));
        size += length;
        this.#context.progressed?.(length);
        if (size < checkAt) continue;
        if (!(await file.isMarkUnbroken(args.nonce))) throw new MoveFailure("ECANCELED", "the file changed while it was copied");
        checkAt += MARK_CHECK_BYTES;
      }
      const checksum = hash.digest("hex");
      await writer.finish(this.#manifest(args.object, attributes, source, checksum, size));
      return { checksum, size };
    } catch (error) {
      await writer.abandon();
      throw error;
    }
  }
  #manifest(object: string, of: FileAttributes, source: InvisibleFile, checksum: string, size: number): Manifest {
    const { fs, handle, path, nowMs } = this.#context;
    const attributes = Object.fromEntries([...source.extendedAttributes()].map(([name, value]) => [name, Buffer.from(value).toString("base64")]));
    return {
      format: 1, object, handle, fs, path, size, checksum: { algorithm: "sha256", value: checksum }, mode: of.mode, uid: of.uid, gid: of.gid,
      atimeNs: String(of.atimeNs), mtimeNs: String(of.mtimeNs), ctimeNs: String(of.ctimeNs), attributes, copiedAt: new Date(nowMs()).toISOString(),
    };
  }

  async #openObject(args: { object: string; checksum: string; size: number }): Promise<void> {
    await this.#closeObject();
    this.#note(`fetches object ${args.object} of ${args.size} bytes from the store`);
    this.#object = await this.#context.store.open(args.object);
    if (this.#object.size !== args.size) throw new MoveFailure("EIO", `object ${args.object} has ${this.#object.size} bytes instead of ${args.size}`);
    const first = Buffer.allocUnsafe(Math.min(CHUNK, args.size));
    const length = await this.#object.read(first, 0);
    this.#firstBytes = first.subarray(0, length);
  }
  /** For the trace of the event that waits; it must hold nothing up. */
  #note(text: string): void {
    const { session, token } = this.#context;
    if (token !== undefined) session.connection.call("trace.note", { session: session.id, token: token.token, text }).catch(() => {});
  }
  async #closeObject(): Promise<void> {
    const object = this.#object;
    this.#object = undefined;
    await object?.close();
  }
  async #copyIn(args: { object: string; checksum: string; size: number }): Promise<void> {
    const object = this.#object;
    if (object === undefined) throw new MoveFailure("EIO", "the object is not open");
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafe(CHUNK);
    let piece: Buffer = this.#firstBytes;
    for (let at = 0; at < args.size; ) {
      if (piece.length === 0) throw new MoveFailure("EIO", `object ${args.object} ended after ${at} of ${args.size} bytes`);
      hash.update(piece);
      await this.#guard().write(piece, at);
      at += piece.length;
      this.#context.progressed?.(piece.length);
      if (at < args.size) piece = buffer.subarray(0, await object.read(buffer.subarray(0, Math.min(CHUNK, args.size - at)), at));
    }
    await this.#closeObject();
    this.#note(`all ${args.size} bytes are there`);
    if (hash.digest("hex") !== args.checksum) throw new MoveFailure("EIO", `object ${args.object} does not have the checksum that was noted when it was made`);
  }
}

async function done(work: Promise<unknown>): Promise<undefined> {
  await work;
  return undefined;
}

export function asMoveFailure(error: unknown): MoveFailure {
  if (error instanceof MoveFailure) return error;
  if (error instanceof DmError || error instanceof StoreError) return new MoveFailure(error.code, error.message, { cause: error });
  const { message } = error as Error;
  const code = codeOfThrown(error);
  return new MoveFailure(isNoRoom(code) ? code : "EIO", message, { cause: error });
}

function stopWhenTold(kind: string, step: string): void {
  const [where, how] = (process.env["SLUICE_MIGRATOR_STOP_AT"] ?? "").split(":");
  if (where === step || where === `${kind}.${step}`) process.kill(process.pid, how === "freeze" ? "SIGSTOP" : "SIGKILL");
}
