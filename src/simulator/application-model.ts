/**
 * A migration application in the simulation: an ordinary client of its node. It makes, assumes or goes on with a session,
 * takes the data events of the file system, answers each once the bytes are there, and moves files by the very steps of
 * migration/move, every one a call to its daemon or I/O by the guarded descriptor that the daemon gave it.
 *
 * Source    migration/migrator.ts, migration/move/executor.ts, whose ways these are; safety C1, C3.
 */
import { lifeName } from "../coordination/shared-volume/layout.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import type { DmResponse, EventMessage } from "../dmapi/events.js";
import type { FsName, Handle, SessionId, Token } from "../dmapi/ids.js";
import { MoveFailure, type MoveRequest } from "../migration/move/steps.js";
import { BLOCK_BYTES, BLOCKS, type FileModel, OpenFile, type StoreModel } from "./file-model.js";
import type { JoinedChecks } from "./joined-checks.js";
import type { JoinedNode } from "./joined-node.js";
import { MoveQueue, type MoveVerb, moveOf, performMove } from "./mover-model.js";
import type { CallOutcome } from "./node-model.js";
import { crossing, type Process, sleep, system, type Thread } from "./world.js";

const GUARD_WAIT_MS = 20_000;
const RESPOND_TRIES = 20;

export type Beginning =
  | { readonly kind: "create"; readonly info: string }
  | { readonly kind: "assume" | "go-on"; readonly session: SessionId; readonly info: string };

/** What one move holds. */
interface Hold {
  readonly file: FileModel;
  /** The event that waits for this move, when one does. */
  readonly eventToken: Token | undefined;
  ownToken: Token | undefined;
  hasRight: boolean;
  guard: { readonly number: number; readonly open: OpenFile } | undefined;
}
interface Waiting {
  readonly message: EventMessage;
  readonly token: Token;
}

export class ApplicationModel {
  readonly process: Process;
  readonly at: JoinedNode;
  readonly client: number;
  readonly #files: ReadonlyMap<Handle, FileModel>;
  readonly #store: StoreModel;
  readonly #checks: JoinedChecks;
  readonly #fs: FsName;
  readonly #queue: MoveQueue<Waiting>;
  session = 0 as SessionId;
  isServing = false;

  constructor(options: { process: Process; at: JoinedNode; client: number; fs: FsName; files: ReadonlyMap<Handle, FileModel>; store: StoreModel; checks: JoinedChecks; beginning: Beginning }) {
    this.process = options.process;
    this.at = options.at;
    this.client = options.client;
    this.#fs = options.fs;
    this.#files = options.files;
    this.#store = options.store;
    this.#checks = options.checks;
    this.#queue = new MoveQueue(this.process, (file, verb, waiting) => this.#moveAndAnswer(file, verb, waiting));
    this.process.onEnd(() => this.at.clientGone(this.client));
    this.process.start(this.#live(options.beginning));
  }

  get isIdle(): boolean {
    return this.#queue.isIdle;
  }
  wish(file: FileModel, verb: MoveVerb): void {
    this.#queue.wish(file, verb);
  }

  *#live(beginning: Beginning): Thread {
    if (!(yield* this.#begin(beginning))) return this.process.kill();
    yield* this.#leftOvers();
    this.isServing = true;
    for (;;) {
      const got = yield* this.#call("event.get", { session: this.session, max: 3, waitMs: 5_000 });
      if (got.kind === "ok") for (const message of got.result) this.process.start(this.#receive(message));
      else if (got.kind === "gone" || !["EAGAIN", "ENOTREADY"].includes(got.failure.code)) return this.process.kill();
      else if (got.failure.code === "ENOTREADY") yield* sleep(200);
    }
  }

  *#begin(beginning: Beginning): Thread<boolean> {
    if (beginning.kind === "go-on") this.session = beginning.session;
    else {
      const made = beginning.kind === "create"
        ? yield* this.#call("session.create", { info: beginning.info })
        : yield* this.#call("session.assume", { session: beginning.session, info: beginning.info });
      if (made.kind !== "ok") return false;
      this.session = made.result.session;
      if (beginning.kind === "create") this.#checks.created(this.at.node, this.session, beginning.info);
    }
    for (let tries = 0; tries < 50; tries++) {
      const set = yield* this.#call("disposition.set", { session: this.session, fs: this.#fs, events: ["read", "write", "truncate"] });
      if (set.kind === "ok") return true;
      if (set.kind === "gone" || set.failure.code === "EINVAL") return false;
      yield* sleep(200);
    }
    return false;
  }

  /** What a predecessor left: events delivered to it, and rights, which go first of all: a move under another token would wait for them. */
  *#leftOvers(): Thread {
    const tokens = yield* this.#call("token.list", { session: this.session });
    if (tokens.kind !== "ok") return;
    const events: EventMessage[] = [];
    for (const token of tokens.result) {
      const found = yield* this.#call("event.find", { session: this.session, token });
      if (found.kind !== "ok") continue;
      const { event } = found.result;
      if (event.type === "user") {
        yield* this.#respond(token, { kind: "continue" }, undefined);
        continue;
      }
      if ("handle" in event) {
        this.#checks.tokenEnds(this.at, token);
        yield* this.#call("right.release", { session: this.session, handle: event.handle, token });
      }
      events.push({ ...found.result, token });
    }
    for (const event of events) this.process.start(this.#receive(event));
  }

  // Events.

  *#receive(message: EventMessage): Thread {
    const { token, event } = message;
    if (token === undefined) return;
    const number = message.process?.pid;
    if (number !== undefined) this.#checks.received(this.at.node, this.session, message, number);
    const file = "handle" in event ? this.#files.get(event.handle) : undefined;
    if (file === undefined) return yield* this.#respond(token, { kind: "continue" }, number);
    const found = yield* this.#call("record.get", { session: this.session, handle: file.handle });
    // A file that is whole already is answered at once, also while it is being moved: the move may wait for that very user.
    if (found.kind === "ok" && found.result.record?.residency !== "partial") return yield* this.#respond(token, yield* this.#opinion(file), number);
    this.#queue.bringBack(file, { message, token });
  }
  /** An application with regions on resident files looks on, and sometimes refuses. */
  *#opinion(file: FileModel): Thread<DmResponse> {
    if ((file.record?.regions.length ?? 0) === 0) return { kind: "continue" };
    yield* sleep(file.world.random.below(300));
    return file.world.random.chance(0.9) ? { kind: "continue" } : { kind: "abort", code: "EPERM" };
  }

  *#respond(token: Token, response: DmResponse, number: number | undefined): Thread {
    if (number !== undefined) this.#checks.responding(number, response);
    this.#checks.tokenEnds(this.at, token);
    let isAnswered = false;
    for (let attempt = 0; attempt < RESPOND_TRIES; attempt++) {
      const outcome = yield* this.#call("event.respond", { session: this.session, token, response });
      isAnswered = outcome.kind === "ok";
      if (outcome.kind !== "failed" || outcome.failure.code !== "ENOTREADY") break;
      yield* sleep(500);
    }
    if (number === undefined) return;
    this.#checks.responded(this.at.node, number);
    if (!isAnswered) return;
    const { node } = this.at;
    this.process.after(200, () => this.#checks.respondedWell(node, number)); // it goes on once its node has come to that
  }

  // Moves.

  *#moveAndAnswer(file: FileModel, verb: MoveVerb, waiting: readonly Waiting[]): Thread {
    const hold: Hold = { file, eventToken: waiting[0]?.token, ownToken: undefined, hasRight: false, guard: undefined };
    let response: DmResponse = { kind: "continue" };
    try {
      const outcome = yield* performMove(moveOf(verb, file, this.process.clockMs), this.process, (request) => {
        file.world.log(() => `${this.process.name}: ${file.handle}: ${request.step}: ${request.call}`);
        return this.#request(request, hold);
      });
      file.world.log(() => `${this.process.name}: ${verb} of ${file.handle}: ${outcome.kind} ${outcome.state}`);
      this.#checks.moved(outcome.kind === "done" ? verb : `${verb} ${outcome.kind}`);
    } catch (error) {
      if (!(error instanceof MoveFailure)) throw error;
      file.world.log(() => `${this.process.name}: ${verb} of ${file.handle} fails: ${error.code} ${error.message}`);
      this.#checks.moved(`${verb} ${error.code}`);
      response = { kind: "abort", code: "EIO" };
    }
    yield* this.#releaseGuard(hold);
    yield* this.#releaseRight(hold);
    for (const { message, token } of waiting) yield* this.#respond(token, response, message.process?.pid);
  }

  *#request(request: MoveRequest, hold: Hold): Thread<unknown> {
    const { file } = hold;
    const on = this.#on(hold);
    switch (request.call) {
      case "read-record":
        return yield* this.#ask("record.get", on);
      case "create-mark":
        return yield* this.#ask("mark.create", { session: this.session, handle: file.handle });
      case "check-mark":
        return (yield* this.#ask("mark.check", { ...on, nonce: request.args.nonce })).isUnbroken;
      case "remove-mark":
        return yield* this.#ask("mark.remove", { ...on, nonce: request.args.nonce });
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
        return yield* this.#takeRight(hold);
      case "release-right":
        return yield* this.#releaseRight(hold);
      case "flush":
        return yield* this.#ask("object.flush", on);
      case "take-guard":
        return yield* this.#takeGuard(hold);
      case "release-guard":
        return yield* this.#releaseGuard(hold);
      case "change-record": {
        const { generation } = yield* this.#ask("record.change", { ...on, ...request.args, ...(hold.guard === undefined ? {} : { guard: hold.guard.number }) });
        if (request.args.change.residency === "partial") this.#checks.drained(this.at, file, generation);
        return undefined;
      }
      case "punch":
        return yield* this.#ask("hole.punch", { ...on, offset: 0, length: 0 });
      case "copy-in":
        return yield* this.#copyIn(hold, request.args.object);
      case "empty-file":
        throw new MoveFailure("ENOSYS", "files keep their size here");
      case "sync-file":
        return yield* system(() => undefined, 3);
      case "restore-times":
        return yield* system(() => {
          if (hold.guard === undefined || hold.guard.open.isClosed) throw new MoveFailure("EBADF", "no guard");
          file.setMtime(request.args.mtimeNs);
        });
    }
  }

  #on({ file, hasRight, eventToken, ownToken }: Hold): { session: SessionId; handle: Handle; token?: Token } {
    const token = ownToken ?? eventToken;
    return { session: this.session, handle: file.handle, ...(hasRight && token !== undefined ? { token } : {}) };
  }
  *#takeRight(hold: Hold): Thread {
    hold.ownToken = hold.eventToken === undefined ? (yield* this.#ask("userevent.create", { session: this.session, data: new Uint8Array(1) })).token : undefined;
    const token = (hold.ownToken ?? hold.eventToken)!;
    const life = lifeName(this.at.node);
    yield* this.#ask("right.request", { session: this.session, handle: hold.file.handle, token, right: "exclusive", wait: true });
    hold.hasRight = true;
    this.#checks.rightHeld(this.at, life, hold.file, token, "exclusive");
    yield* crossing(this.process, "request");
  }
  *#releaseRight(hold: Hold): Thread {
    const { ownToken, eventToken, hasRight, file } = hold;
    hold.ownToken = undefined;
    hold.hasRight = false;
    if (ownToken !== undefined) return yield* this.#respond(ownToken, { kind: "continue" }, undefined);
    if (!hasRight || eventToken === undefined) return;
    this.#checks.tokenEnds(this.at, eventToken);
    yield* this.#call("right.release", { session: this.session, handle: file.handle, token: eventToken });
  }
  *#takeGuard(hold: Hold): Thread {
    const { guard } = yield* this.#ask("invisible.open", { ...this.#on(hold), mode: "exclusive", waitMs: GUARD_WAIT_MS, keepsMark: true });
    const open = guard === undefined ? undefined : this.at.volume.redeem(guard);
    if (guard === undefined || open === undefined) throw new MoveFailure("ENOTREADY", "the descriptor did not come");
    open.pass(this.process);
    hold.guard = { number: guard, open };
  }
  *#releaseGuard(hold: Hold): Thread {
    const { guard } = hold;
    hold.guard = undefined;
    if (guard === undefined) return;
    guard.open.close(this.process);
    yield* this.#call("invisible.close", { guard: guard.number });
  }

  *#copyOut(file: FileModel, { object, nonce }: { object: string; nonce: string }): Thread<unknown> {
    const open = yield* system(() => new OpenFile(file, this.process), 0.3);
    const content: number[] = [];
    for (let block = 0; block < BLOCKS; block++) content.push(yield* system(() => open.read(block), file.world.stress.copyMs));
    open.close(this.process);
    const { isUnbroken } = yield* this.#ask("mark.check", { session: this.session, handle: file.handle, nonce });
    if (!isUnbroken) throw new MoveFailure("ECANCELED", "somebody has written to the file");
    yield* system(() => this.#store.objects.set(object, content), 5);
    return { checksum: content.join(" "), size: BLOCKS * BLOCK_BYTES };
  }
  #verify(object: string, checksum: string): undefined {
    if (this.#store.objects.get(object)?.join(" ") !== checksum) throw new MoveFailure("EIO", "the object is not what was noted");
    return undefined;
  }
  *#copyIn({ file, guard }: Hold, object: string): Thread {
    const content = yield* system(() => this.#store.objects.get(object), 5);
    if (content === undefined) throw new MoveFailure("EIO", "no such object");
    for (const [block, version] of content.entries()) {
      yield* crossing(this.process, "restore");
      yield* system(() => {
        if (guard === undefined || guard.open.isClosed) throw new MoveFailure("EBADF", "no guard");
        file.invisibleWrite(block, version, this.process.name);
      }, 3);
    }
  }

  // Calls.

  *#call<N extends CallName>(name: N, args: ArgsOf<N>): Thread<CallOutcome<N>> {
    return yield* this.at.node.call(name, args, this.client);
  }
  *#ask<N extends CallName>(name: N, args: ArgsOf<N>): Thread<ResultOf<N>> {
    const outcome = yield* this.#call(name, args);
    if (outcome.kind === "ok") return outcome.result;
    if (outcome.kind === "gone") throw new MoveFailure("ENOTREADY", "the daemon is down");
    throw new MoveFailure(outcome.failure.code, outcome.failure.message);
  }
}
