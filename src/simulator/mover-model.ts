/**
 * The migration application in the simulation: the very steps of migration/move, performed on the modelled volume. What its
 * daemon does for it happens in the daemon's process, what it does with the guarded descriptor in its own, so that
 * either may stop or die in the middle.
 *
 * Source    safety C1, C3; migration/move/executor.ts, cluster/dm-calls/object-calls.ts, whose ways these are.
 */
import type { RecordChange } from "../dmapi/record.js";
import { migrateSteps } from "../migration/move/migrate-steps.js";
import { recallSteps } from "../migration/move/recall-steps.js";
import { type Move, MoveFailure, type MoveOutcome, type MoveRequest } from "../migration/move/steps.js";
import { applyChange, mustDrain } from "../volume/record-codec.js";
import type { ControlModel, DaemonModel, DataEvent, Receiver } from "./control-model.js";
import { BLOCK_BYTES, BLOCKS, type FileModel, OpenFile, type StoreModel } from "./file-model.js";
import { crossing, type Process, Signal, sleep, system, type Thread, until } from "./world.js";

const STORE = "store";
const GUARD_WAIT_MS = 20_000;
const GUARD_RETRY_MS = 25;
const MARK_TRIES = 4;

/** What one move holds. */
interface Hold {
  readonly file: FileModel;
  readonly name: string;
  guard: OpenFile | undefined;
}
export type MoveVerb = "migrate" | "premigrate" | "release" | "recall";
interface FileWork<E> {
  readonly events: E[];
  readonly wishes: MoveVerb[];
  isRunning: boolean;
}

/** One move of a file at a time; events that came meanwhile share the next recall. */
export class MoveQueue<E> {
  readonly #process: Process;
  readonly #move: (file: FileModel, verb: MoveVerb, events: readonly E[]) => Thread;
  readonly #work = new Map<FileModel, FileWork<E>>();

  constructor(process: Process, move: (file: FileModel, verb: MoveVerb, events: readonly E[]) => Thread) {
    this.#process = process;
    this.#move = move;
  }
  bringBack(file: FileModel, event: E): void {
    this.#of(file).events.push(event);
    this.#goOn(file);
  }
  wish(file: FileModel, verb: MoveVerb): void {
    this.#process.after(0, () => {
      this.#of(file).wishes.push(verb);
      this.#goOn(file);
    });
  }
  get isIdle(): boolean {
    return [...this.#work.values()].every((work) => !work.isRunning);
  }
  #of(file: FileModel): FileWork<E> {
    let work = this.#work.get(file);
    if (work === undefined) {
      work = { events: [], wishes: [], isRunning: false };
      this.#work.set(file, work);
    }
    return work;
  }
  #goOn(file: FileModel): void {
    const work = this.#of(file);
    if (work.isRunning) return;
    work.isRunning = true;
    this.#process.start(this.#run(file, work));
  }
  *#run(file: FileModel, work: FileWork<E>): Thread {
    while (work.events.length + work.wishes.length > 0) {
      const events = work.events.splice(0);
      yield* this.#move(file, events.length > 0 ? "recall" : work.wishes.shift()!, events);
    }
    work.isRunning = false;
  }
}

/** The steps of a move as the migration application takes them. */
export function moveOf(verb: MoveVerb, file: FileModel, nowMs: number): Move<MoveOutcome> {
  if (verb === "recall") return recallSteps({ store: STORE });
  return migrateSteps({ verb, newObject: `object${file.world.newNumber()}`, store: STORE, nowMs: Math.floor(nowMs), eventsWanted: 0, fsEventList: 0 });
}
/** Runs them to their end; `request` does each, and the process may be stopped before any of them. */
export function* performMove(move: Move<MoveOutcome>, process: Process, request: (each: MoveRequest) => Thread<unknown>): Thread<MoveOutcome> {
  for (let next = move.next(); ; ) {
    if (next.done === true) return next.value;
    try {
      yield* crossing(process, "step");
      next = move.next(yield* request(next.value));
    } catch (error) {
      if (!(error instanceof MoveFailure)) throw error;
      next = move.throw(error);
    }
  }
}

export class MoverModel implements Receiver {
  readonly process: Process;
  readonly daemon: DaemonModel;
  readonly #control: ControlModel;
  readonly #store: StoreModel;
  readonly #queue: MoveQueue<DataEvent>;
  /** Moves that ended well, by what they did. */
  readonly done: Record<string, number> = {};

  constructor(options: { process: Process; daemon: DaemonModel; control: ControlModel; store: StoreModel }) {
    this.process = options.process;
    this.daemon = options.daemon;
    this.#control = options.control;
    this.#store = options.store;
    this.#queue = new MoveQueue(options.process, (file, verb, events) => this.#moveAndAnswer(file, verb, events));
  }

  deliver(event: DataEvent): void {
    this.process.start(this.#receive(event));
  }
  /** A file that is whole already is answered at once, also while it is being moved: the move may wait for that very user. */
  *#receive(event: DataEvent): Thread {
    const record = yield* system(() => event.file.record, 1);
    if (record?.residency !== "partial") return this.#control.respond(this, event, { kind: "continue" });
    this.#queue.bringBack(event.file, event);
  }
  wish(file: FileModel, verb: MoveVerb): void {
    this.#queue.wish(file, verb);
  }
  get isIdle(): boolean {
    return this.#queue.isIdle;
  }

  *#moveAndAnswer(file: FileModel, verb: MoveVerb, events: readonly DataEvent[]): Thread {
    const failure = yield* this.#move(file, verb);
    for (const event of events) {
      const isServed = failure === undefined || failure.code === "EAGAIN";
      this.#control.respond(this, event, isServed ? { kind: "continue" } : { kind: "abort", code: "EIO" });
    }
  }

  /** The failure, when it did not end well. */
  *#move(file: FileModel, verb: MoveVerb): Thread<MoveFailure | undefined> {
    const number = file.world.newNumber();
    const hold: Hold = { file, name: `move ${number}`, guard: undefined };
    try {
      const outcome = yield* performMove(moveOf(verb, file, this.process.clockMs), this.process, (request) => {
        file.world.log(() => `${this.process.name}: ${file.handle} ${hold.name}: ${request.step}: ${request.call}`);
        return this.#request(request, hold);
      });
      this.done[verb] = (this.done[verb] ?? 0) + (outcome.kind === "done" ? 1 : 0);
      file.world.log(() => `${this.process.name}: ${verb} of ${file.handle}: ${outcome.kind} ${outcome.state}`);
      return undefined;
    } catch (error) {
      if (!(error instanceof MoveFailure)) throw error;
      file.world.log(() => `${this.process.name}: ${verb} of ${file.handle} fails: ${error.code} ${error.message}`);
      return error;
    } finally {
      this.#letGo(hold);
    }
  }

  *#request(request: MoveRequest, hold: Hold): Thread<unknown> {
    const { file } = hold;
    switch (request.call) {
      case "read-record":
        return yield* this.#inDaemon(this.#look(file));
      case "create-mark":
        return yield* this.#createMark(hold);
      case "check-mark":
        return yield* this.#inDaemon(system(() => file.mark === request.args.nonce));
      case "remove-mark":
        return yield* this.#inDaemon(system(() => file.removeMark(request.args.nonce)));
      case "note-intent":
        return yield* system(() => void this.#store.intents.add(request.args.object));
      case "clear-intent":
        return yield* system(() => void this.#store.intents.delete(request.args.object));
      case "copy-out":
        return yield* this.#copyOut(file, request.args);
      case "verify-object":
      case "open-object":
        return yield* system(() => this.#verify(request.args.object, request.args.checksum), 5);
      case "discard-object":
        return yield* system(() => this.#store.discard(request.args.object));
      case "take-right":
        return yield* this.#control.takeRight(file, this, hold.name);
      case "release-right":
        return this.#control.releaseRight(file, this, hold.name);
      case "flush":
        return yield* this.#inDaemon(this.#control.round(this.daemon, { kind: "flush", handle: file.handle }));
      case "take-guard":
        return yield* this.#takeGuard(hold);
      case "release-guard":
        return this.#releaseGuard(hold);
      case "change-record":
        return yield* this.#inDaemon(this.#changeRecord(hold, request.args));
      case "punch":
        return yield* this.#inDaemon(this.#punch(hold));
      case "copy-in":
        return yield* this.#copyIn(hold, request.args.object);
      case "empty-file":
        throw new MoveFailure("ENOSYS", "files keep their size here");
      case "sync-file":
        return yield* system(() => undefined, 3);
      case "restore-times":
        return yield* system(() => file.setMtime(request.args.mtimeNs));
    }
  }

  // Done by the daemon, in its own process.

  *#inDaemon<T>(steps: Thread<T>): Thread<T> {
    const { process } = this.daemon;
    const gone = () => new MoveFailure("ENOTREADY", "the daemon is down");
    if (!process.isAlive) throw gone();
    const ended = new Signal();
    let outcome: { readonly value: T } | { readonly error: MoveFailure } | undefined;
    const end = (each: NonNullable<typeof outcome>) => {
      outcome ??= each;
      ended.give();
    };
    process.onEnd(() => end({ error: gone() }));
    process.start(settle(steps, end));
    yield* until(ended, () => outcome !== undefined);
    const { value, error } = outcome as { value?: T; error?: MoveFailure };
    if (error !== undefined) throw error;
    return value as T;
  }

  *#look(file: FileModel): Thread<unknown> {
    const record = yield* system(() => file.record, 0.5);
    return yield* system(() => ({ record, mark: file.mark, attributes: attributesOf(file) }), 0.5);
  }

  *#createMark(hold: Hold): Thread<unknown> {
    const { file } = hold;
    const name = `${hold.name} mark`;
    yield* this.#control.takeRight(file, this, name);
    try {
      return yield* this.#inDaemon(this.#markSteps(file));
    } finally {
      this.#control.releaseRight(file, this, name);
    }
  }
  *#markSteps(file: FileModel): Thread<unknown> {
    for (let tries = 1; ; tries++) {
      yield* this.#control.round(this.daemon, { kind: "flush", handle: file.handle });
      const open = yield* system(() => new OpenFile(file, this.daemon.process), 0.3);
      try {
        if (yield* system(() => open.tryLock("exclusive"), 0.3)) return yield* this.#setMark(file);
      } finally {
        open.close(this.daemon.process);
      }
      if (tries === MARK_TRIES) throw new MoveFailure("EBUSY", "somebody writes to the file");
      yield* sleep(GUARD_RETRY_MS);
    }
  }
  *#setMark(file: FileModel): Thread<unknown> {
    const record = yield* system(() => file.record, 0.3);
    if (record?.residency === "partial") throw new MoveFailure("ECANCELED", "the file is not resident");
    const nonce = `nonce${file.world.newNumber()}`;
    yield* system(() => (file.mark = nonce), 0.3);
    return yield* system(() => ({ nonce, size: BLOCKS * BLOCK_BYTES, mtimeNs: file.mtimeNs, ctime: { marked: 1n, shown: 1n } }), 0.3);
  }

  *#takeGuard(hold: Hold): Thread {
    const { file } = hold;
    if (!this.#control.holdsRight(file, this, hold.name)) throw new MoveFailure("EACCES", "the right is lost");
    hold.guard = yield* this.#inDaemon(this.#guardSteps(file));
    hold.guard.pass(this.process);
  }
  *#guardSteps(file: FileModel): Thread<OpenFile> {
    const open = yield* system(() => new OpenFile(file, this.daemon.process), 0.3);
    const untilMs = this.daemon.process.clockMs + GUARD_WAIT_MS;
    for (let tries = 0; !(yield* system(() => open.tryLock("exclusive"), 0.3)); tries++) {
      if (this.daemon.process.clockMs > untilMs) {
        open.close(this.daemon.process);
        throw new MoveFailure("EBUSY", "somebody holds the guard");
      }
      // All that runs drains and the guards go back, while no page is touched (safety C6).
      if (tries % 20 === 0) this.daemon.process.start(settle(this.#control.round(this.daemon, { kind: "record-changed", handle: file.handle, generation: 0 }), () => {}));
      yield* sleep(GUARD_RETRY_MS);
    }
    // The daemon closes its copy when the application's connection ends, or has ended already.
    const close = () => this.daemon.process.after(1, () => open.close(this.daemon.process));
    if (this.process.isAlive) this.process.onEnd(close);
    else close();
    return open;
  }
  #releaseGuard(hold: Hold): void {
    const { guard } = hold;
    hold.guard = undefined;
    guard?.close(this.process);
    if (guard !== undefined) this.daemon.process.after(0.5, () => guard.close(this.daemon.process));
  }

  *#changeRecord(hold: Hold, args: { change: RecordChange; expectMark?: string; expect?: { size: number; mtimeNs: bigint } }): Thread {
    const { file, guard } = hold;
    if (!this.#control.holdsRight(file, this, hold.name)) throw new MoveFailure("EACCES", "the right is lost");
    const found = yield* system(() => ({ mark: file.mark, mtimeNs: file.mtimeNs, record: file.record }), 0.5);
    const isMoved = (args.expectMark !== undefined && args.expectMark !== found.mark) || (args.expect !== undefined && args.expect.mtimeNs !== found.mtimeNs);
    if (isMoved) throw new MoveFailure("ECANCELED", "the file has changed");
    const captured = { size: BLOCKS * BLOCK_BYTES, atimeNs: 1n, mtimeNs: found.mtimeNs, ctimeNs: 1n };
    const changed = applyChange(found.record ?? undefined, args.change, captured);
    if ("failure" in changed) throw new MoveFailure(changed.failure.code, changed.failure.message);
    const { record } = changed;
    yield* crossing(this.daemon.process, "record");
    yield* system(() => {
      if (guard === undefined || guard.isClosed) throw new MoveFailure("EBADF", "no guard");
      if (file.world.random.chance(file.noRoom)) throw new MoveFailure("ENOSPC", "no room for the record");
      file.setRecord(record, this.process.name);
    }, 0.5);
    const round = this.#control.round(this.daemon, { kind: "record-changed", handle: file.handle, generation: record.generation });
    if (mustDrain(found.record ?? undefined, record)) yield* round;
    else this.daemon.process.start(settle(round, () => {})); // told, and not waited for
  }

  *#punch(hold: Hold): Thread {
    const { file, guard } = hold;
    if (!this.#control.holdsRight(file, this, hold.name)) throw new MoveFailure("EACCES", "the right is lost");
    for (let block = 0; block < BLOCKS; block++) {
      yield* crossing(this.daemon.process, "punch");
      yield* system(() => {
        if (guard === undefined || guard.isClosed) throw new MoveFailure("EBADF", "no guard");
        file.punch(block, this.process.name);
      });
    }
  }

  // Done by the application itself.

  *#copyOut(file: FileModel, { object, nonce }: { object: string; nonce: string }): Thread<unknown> {
    const open = yield* system(() => new OpenFile(file, this.process), 0.3);
    const content: number[] = [];
    for (let block = 0; block < BLOCKS; block++) content.push(yield* system(() => open.read(block), file.world.stress.copyMs));
    open.close(this.process);
    const mark = yield* this.#inDaemon(system(() => file.mark));
    if (mark !== nonce) throw new MoveFailure("ECANCELED", "somebody has written to the file");
    yield* system(() => this.#store.objects.set(object, content), 5);
    return { checksum: content.join(" "), size: BLOCKS * BLOCK_BYTES };
  }

  #verify(object: string, checksum: string): undefined {
    if (this.#store.objects.get(object)?.join(" ") !== checksum) throw new MoveFailure("EIO", "the object is not what was noted");
    return undefined;
  }
  *#copyIn(hold: Hold, object: string): Thread {
    const { file, guard } = hold;
    const content = yield* system(() => this.#store.objects.get(object), 5);
    if (content === undefined) throw new MoveFailure("EIO", "no such object");
    for (const [block, version] of content.entries()) {
      yield* crossing(this.process, "restore");
      yield* system(() => {
        if (guard === undefined || guard.isClosed) throw new MoveFailure("EBADF", "no guard");
        file.invisibleWrite(block, version, this.process.name);
      }, 3);
    }
  }

  #letGo(hold: Hold): void {
    this.#releaseGuard(hold);
    this.#control.releaseRight(hold.file, this, hold.name);
  }
}

export function attributesOf(file: FileModel) {
  return {
    type: "file" as const, dev: 1n, ino: 2n, mode: 0o100644, nlink: 1, uid: 0, gid: 0, rdev: 0n, size: BLOCKS * BLOCK_BYTES, blocks: 8,
    blockSize: BLOCK_BYTES, atimeNs: 1n, mtimeNs: file.mtimeNs, ctimeNs: 1n,
  };
}

/** Runs steps and hands on how they ended; a broken promise is nobody's to catch. */
function* settle<T>(steps: Thread<T>, end: (outcome: { value: T } | { error: MoveFailure }) => void): Thread {
  try {
    end({ value: yield* steps });
  } catch (error) {
    if (!(error instanceof MoveFailure)) throw error;
    end({ error });
  }
}
