/**
 * An application's end of the connection to its daemon: many calls at once, answered in any order.
 *
 * A lost connection fails every call under way with ENOTREADY and stays lost: connecting again is the caller's decision,
 * since only the caller knows which of its calls may be made twice.
 *
 * Owns      the socket, calls under way.
 * Not here  what the calls mean (dmapi/calls.ts), descriptors (client/invisible-file.ts).
 */
import type { Socket } from "node:net";
import { commonVersion, formatVersions, isVersionRange, tooFarApart, type VersionRange } from "../base/version-range.js";
import { isRecord } from "../base/shape.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import { DmError } from "../dmapi/errors.js";
import { APPLICATION_PROTOCOL_VERSIONS, decodeToApplication, encodeToDaemon, FrameSplitter, HELLO_CALL } from "./application-frames.js";
import { connectInPlace } from "./read-in-place.js";
import { flushTogether, writeAtOnce, writeTogether } from "./write-together.js";

interface CallUnderWay {
  readonly name: string;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  /** However it ends. */
  readonly settled: (() => void) | undefined;
}
/** What a daemon speaks that knows no hello. */
const FIRST_VERSION: VersionRange = { lowest: 1, highest: 1 };

export interface CallOptions {
  /** Gives the call up: the daemon is told, the call fails with EINTR. */
  readonly signal?: AbortSignal | undefined;
  /** A result that came although the call was given up (events must not be lost with it). */
  readonly whenLate?: (result: unknown) => void;
  /** Handed to the kernel before this returns: the caller does not wait for an answer, and may end. */
  readonly isPrompt?: boolean;
  /** Told how to give the call up; does what `signal` does, for a caller that makes many calls. */
  readonly begun?: (giveUp: () => void) => void;
}

export class ApplicationClient {
  readonly path: string;
  readonly #socket: Socket;
  readonly #splitter = new FrameSplitter();
  readonly #underWay = new Map<number, CallUnderWay>();
  #nextId = 1;
  #lost: DmError | undefined;
  #whenLost: (() => void)[] = [];

  private constructor(path: string, socket: Socket) {
    this.path = path;
    this.#socket = socket;
    socket.on("error", (error) => this.#lose(`the daemon at ${path} is gone: ${error.message}`));
    socket.on("close", () => this.#lose(`the daemon at ${path} closed the connection`));
  }

  /**
   * Says which versions it speaks and does not wait for the answer: calls follow at once, and all fail with EPROTO when
   * the daemon speaks none of them.
   * @throws DmError ENOTREADY nobody listens there; EACCES the socket is not for this user.
   */
  static async connect(path: string, speaks: VersionRange = APPLICATION_PROTOCOL_VERSIONS): Promise<ApplicationClient> {
    const client = await ApplicationClient.#open(path);
    void client.#agree(speaks);
    return client;
  }

  static #open(path: string): Promise<ApplicationClient> {
    return new Promise((resolve, reject) => {
      let receive = (_bytes: Buffer): void => {}; // nothing comes before it has said its hello
      const socket = connectInPlace(path, (bytes) => receive(bytes));
      const failed = (error: NodeJS.ErrnoException) => {
        const isRefused = error.code === "EACCES" || error.code === "EPERM";
        const found = isRefused ? `${path} is not for this user, but for root and the node's application group` : `no daemon answers at ${path}: ${error.message}`;
        reject(new DmError(isRefused ? "EACCES" : "ENOTREADY", "connect", found, { cause: error }));
      };
      socket.once("error", failed);
      socket.once("connect", () => {
        socket.off("error", failed);
        const client = new ApplicationClient(path, socket);
        receive = (bytes) => client.#receive(bytes);
        resolve(client);
      });
    });
  }

  async #agree(speaks: VersionRange): Promise<void> {
    try {
      const said = await this.#call(HELLO_CALL, speaks, {});
      const daemon = isRecord(said) ? said["versions"] : undefined;
      if (!isVersionRange(daemon)) throw new DmError("EPROTO", HELLO_CALL, `the daemon did not say which versions it speaks; this application speaks ${formatVersions(speaks)}`);
      if (commonVersion(speaks, daemon) === undefined) throw new DmError("EPROTO", HELLO_CALL, tooFarApart({ name: "the application", speaks }, { name: "the daemon", speaks: daemon }));
    } catch (error) {
      const failure = error instanceof DmError ? error : new DmError("EPROTO", HELLO_CALL, String(error));
      const isOfTheFirst = failure.code === "ENOSYS" && speaks.lowest <= FIRST_VERSION.highest;
      if (isOfTheFirst || !this.isOpen) return;
      this.#lose(`the daemon at ${this.path} turned this application away: ${failure.message}`, "EPROTO");
      this.#socket.destroy();
    }
  }

  get isOpen(): boolean {
    return this.#lost === undefined;
  }

  /** @throws DmError with the daemon's code; ENOTREADY when the connection is or gets lost; EINTR when given up. */
  call<N extends CallName>(name: N, args: ArgsOf<N>, options: CallOptions = {}): Promise<ResultOf<N>> {
    return this.#call(name, args, options) as Promise<ResultOf<N>>;
  }
  #call(name: string, args: unknown, options: CallOptions): Promise<unknown> {
    if (this.#lost !== undefined) return Promise.reject(new DmError(this.#lost.code, name, this.#lost.message));
    if (options.signal?.aborted === true) return Promise.reject(new DmError("EINTR", name, "given up before it was made"));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const giveUp = () => this.#abandon(id, options.whenLate);
      const { signal } = options;
      signal?.addEventListener("abort", giveUp, { once: true });
      const settled = signal && (() => signal.removeEventListener("abort", giveUp));
      this.#underWay.set(id, { name, resolve, reject, settled });
      options.begun?.(giveUp);
      let bytes: Buffer;
      try {
        bytes = encodeToDaemon({ kind: "call", id, name, args: args as Readonly<Record<string, unknown>> });
      } catch (error) {
        this.#underWay.delete(id);
        settled?.();
        return reject(new DmError("E2BIG", name, "the arguments do not fit in a frame", { cause: error }));
      }
      if (options.isPrompt === true) writeAtOnce(this.#socket, bytes);
      else writeTogether(this.#socket, bytes);
    });
  }

  /** Called once, when the connection is lost or closed. */
  whenLost(tell: () => void): void {
    if (this.#lost === undefined) this.#whenLost.push(tell);
    else tell();
  }

  close(): void {
    flushTogether(this.#socket);
    this.#lose("the connection was closed by this application");
    this.#socket.destroy();
  }

  #abandon(id: number, whenLate: CallOptions["whenLate"]): void {
    const call = this.#underWay.get(id);
    if (call === undefined) return;
    writeTogether(this.#socket, encodeToDaemon({ kind: "abandon", id }));
    this.#underWay.set(id, { name: call.name, resolve: (result) => whenLate?.(result), reject: () => {}, settled: undefined });
    call.settled?.();
    call.reject(new DmError("EINTR", call.name, "given up"));
  }

  #receive(chunk: Buffer): void {
    try {
      for (const body of this.#splitter.push(chunk)) this.#settle(body);
    } catch (error) {
      this.#lose(`the daemon at ${this.path} sent no proper frame: ${error instanceof Error ? error.message : String(error)}`);
      this.#socket.destroy();
    }
  }

  #settle(body: Buffer): void {
    const frame = decodeToApplication(body);
    const call = this.#underWay.get(frame.id);
    if (call === undefined) return; // answered twice, or never asked: nobody waits for it
    this.#underWay.delete(frame.id);
    call.settled?.();
    if (frame.kind === "result") call.resolve(frame.result);
    else call.reject(new DmError(frame.failure.code, call.name, frame.failure.message));
  }

  #lose(why: string, code: "ENOTREADY" | "EPROTO" = "ENOTREADY"): void {
    if (this.#lost !== undefined) return;
    this.#lost = new DmError(code, "connection", why);
    const calls = [...this.#underWay.values()];
    this.#underWay.clear();
    for (const call of calls) call.settled?.();
    for (const call of calls) call.reject(new DmError(code, call.name, why));
    for (const tell of this.#whenLost.splice(0)) tell();
  }
}
