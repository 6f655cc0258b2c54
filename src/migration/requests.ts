/**
 * The command's side: paths become handles beneath the mount, requests reach the migrator wherever its session is, results
 * come back file by file.
 *
 * Source    safety H15; requirement R8 (from any node).
 */
import { randomUUID } from "node:crypto";
import type { Connection } from "../client/connection.js";
import { findSocket, socketsOfNodes } from "../client/find-node.js";
import { connect } from "../client/connection.js";
import type { FileSystem } from "../client/file-system.js";
import { DmError } from "../dmapi/errors.js";
import type { Handle, SessionId } from "../dmapi/ids.js";
import {
  decodeAnswers, encodeRequest, failureOf, type ItemFailure, type ItemResult, inBatches, type MigratorAnswers, type MigratorRequest,
  type MigratorStatus, type MoveVerb, parseInfo, type RequestItem, type StateResult,
} from "./request-format.js";

const BATCHES_AT_ONCE = 4;
const PROGRESS_MS = 500;

/** A path of the user's with what it names, or why it names nothing. */
export type Target =
  | { readonly path: string; readonly fs: FileSystem; readonly handle: Handle; readonly type: "file" | "directory"; readonly size: number }
  | { readonly path: string; readonly failure: ItemFailure };
type GoodTarget = Extract<Target, { readonly handle: Handle }>;

/** Files for paths; directories are walked when `isRecursive`, else refused unless `withDirectories`. */
export async function* resolveTargets(
  connection: Connection, paths: Iterable<string>, options: { isRecursive?: boolean; withDirectories?: boolean } = {},
): AsyncGenerator<Target, void, undefined> {
  for (const path of paths) {
    try {
      const fs = await connection.fileSystemOf(path);
      const found = fs.lookUp(path);
      if (found.type === "file") yield { path, fs, ...found };
      else if (options.isRecursive === true) yield* filesBelow(fs, path);
      else if (options.withDirectories === true) yield { path, fs, ...found };
      else yield { path, failure: { code: "EISDIR", message: `"${path}" is a directory; give -r for the files below it` } };
    } catch (error) {
      yield { path, failure: failureOf(error as Error) };
    }
  }
}
function* filesBelow(fs: FileSystem, path: string): Generator<Target, void, undefined> {
  for (const found of fs.walk(path)) {
    if (found.type === "file") yield { path: `${fs.mountpoint}/${found.path.toString()}`, fs, handle: found.handle, type: found.type, size: found.size };
  }
}

export type RequestEvent =
  | { readonly kind: "result"; readonly path: string; readonly size: number; readonly result: ItemResult }
  | { readonly kind: "progress"; readonly itemsDone: number; readonly itemsTotal: number; readonly bytesDone: number; readonly bytesTotal: number };

export interface StateOf {
  readonly path: string;
  readonly result: StateResult;
}

/** Requests to the migrator of one file system. */
export class MigratorClient {
  readonly #connection: Connection;
  readonly session: SessionId;
  constructor(connection: Connection, session: SessionId) {
    this.#connection = connection;
    this.session = session;
  }
  /** Of a group, the member on this node. @throws DmError ESRCH no migrator serves that file system. */
  static async find(connection: Connection, fs: string): Promise<MigratorClient> {
    const { node } = await connection.status();
    const serving = (await connection.sessions()).filter((entry) => parseInfo(entry.info)?.fs === fs);
    const best = serving.find((entry) => entry.node === node && entry.state === "active") ?? serving.find((entry) => entry.state === "active") ?? serving[0];
    if (best === undefined) throw new DmError("ESRCH", "migrator", `no migrator serves ${fs}; start one: sluice migrator run --fs ${fs} --store DIR`);
    return new MigratorClient(connection, best.id);
  }

  /** All that serve it, as `find` prefers them; several only of a group. */
  static async findAll(connection: Connection, fs: string): Promise<MigratorClient[]> {
    const first = await MigratorClient.find(connection, fs);
    const others = (await connection.sessions()).filter((entry) => parseInfo(entry.info)?.fs === fs && entry.state === "active" && entry.id !== first.session);
    return [first, ...others.map((entry) => new MigratorClient(connection, entry.id))];
  }

  async status(signal?: AbortSignal): Promise<MigratorStatus> {
    const { status } = await this.#send({ op: "status" }, signal);
    if (status === undefined) throw new DmError("EPROTO", "migrator", "the migrator told no status");
    return status;
  }

  async *states(targets: readonly GoodTarget[]): AsyncGenerator<StateOf, void, undefined> {
    for (const batch of inBatches(targets.map(({ handle }, index) => ({ handle, index })))) {
      const { states = [] } = await this.#send({ op: "state", items: batch.map(({ handle }) => ({ handle })) });
      for (const [at, { index }] of batch.entries()) yield { path: targets[index]!.path, result: states[at] ?? missing() };
    }
  }

  /**
   * Moves files; several batches are in flight, results come as they are ready, progress between them. Aborting the
   * signal cancels what has not begun; what is under way is finished by the migrator.
   */
  async *move(verb: MoveVerb, targets: readonly GoodTarget[], options: { signal?: AbortSignal } = {}): AsyncGenerator<RequestEvent, void, undefined> {
    const id = randomUUID();
    const events = new Arrivals<RequestEvent>();
    const totals = { itemsTotal: targets.length, bytesTotal: targets.reduce((sum, target) => sum + target.size, 0) };
    const cancel = () => void this.#send({ op: "cancel", id }).catch(() => {});
    options.signal?.addEventListener("abort", cancel, { once: true });
    const batches = [...inBatches(targets.map(({ handle, path }, index) => ({ handle, path, index })))];
    const worker = async () => {
      for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
        if (options.signal?.aborted === true) return;
        const results = await this.#moveBatch(verb, id, batch);
        for (const [at, { index }] of batch.entries()) {
          const target = targets[index]!;
          events.add({ kind: "result", path: target.path, size: target.size, result: results[at] ?? missing() });
        }
      }
    };
    const poll = setInterval(() => {
      this.#send({ op: "progress", id }).then(({ progress }) => progress !== undefined && events.add({ kind: "progress", ...progress, ...totals }), () => {});
    }, PROGRESS_MS);
    const workers = Promise.all(Array.from({ length: Math.min(BATCHES_AT_ONCE, batches.length) }, worker));
    workers.then(() => events.end(), (error: Error) => events.fail(error));
    try {
      yield* events;
    } finally {
      clearInterval(poll);
      options.signal?.removeEventListener("abort", cancel);
    }
  }
  async #moveBatch(verb: MoveVerb, id: string, batch: readonly RequestItem[]): Promise<readonly ItemResult[]> {
    const items = batch.map(({ handle, path }) => ({ handle, ...(path === undefined ? {} : { path }) }));
    return (await this.#send({ op: verb, id, items })).items ?? [];
  }

  async #send(request: MigratorRequest, signal?: AbortSignal): Promise<MigratorAnswers> {
    const data = await this.#connection.sendMessage(this.session, encodeRequest(request), { isSynchronous: true, ...(signal !== undefined && { signal }) });
    const answers = decodeAnswers(data);
    if (answers.refused !== undefined) throw new DmError(answers.refused.code, "migrator", answers.refused.message);
    return answers;
  }
}

/** The socket of a node by its name, among those that run on this machine. @throws DmError ENOTREADY not here. */
export async function socketOfNode(node: string | undefined, socket: string | undefined): Promise<string> {
  if (node === undefined || socket !== undefined) return findSocket(socket);
  const running = socketsOfNodes();
  for (const path of running) {
    try {
      using connection = await connect({ socket: path });
      if ((await connection.status()).node === node) return path;
    } catch (error) {
      if (!(error instanceof DmError)) throw error;
    }
  }
  throw new DmError("ENOTREADY", "connect", `node ${node} does not run on this machine (${running.length} nodes do)`);
}

function missing(): { ok: false } & ItemFailure {
  return { ok: false, code: "EPROTO", message: "the migrator's answer says nothing about this file" };
}

/** Values from several sources as one asynchronous sequence. */
class Arrivals<T> implements AsyncIterable<T> {
  readonly #values: T[] = [];
  #ended: { error?: Error } | undefined;
  #wake: () => void = () => {};
  add(value: T): void {
    this.#values.push(value);
    this.#wake();
  }
  end(): void {
    this.#ended ??= {};
    this.#wake();
  }
  fail(error: Error): void {
    this.#ended ??= { error };
    this.#wake();
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const value = this.#values.shift();
      if (value !== undefined) yield value;
      else if (this.#ended?.error !== undefined) throw this.#ended.error;
      else if (this.#ended !== undefined) return;
      else await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
