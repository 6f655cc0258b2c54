/**
 * The unix socket of a node: applications connect, are known by the kernel's word (SO_PEERCRED), and make calls that
 * are answered in any order. Whoever sends what is no frame is cut off with a line in the log; the node goes on.
 *
 * Owns      connections, and which call of which connection a number of ours names.
 * Not here  what calls mean (cluster/, node-services.ts), descriptors (descriptor-door.ts).
 * Source    dmapi/calls.ts; safety H15.
 */
import { chmodSync, chownSync, lstatSync, readFileSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { commonVersion, formatVersions, isVersionRange, tooFarApart } from "../base/version-range.js";
import type { DmFailure } from "../dmapi/errors.js";
import { errnoName } from "../os/errno.js";
import { peerCredentials } from "../os/descriptors.js";
import { APPLICATION_PROTOCOL_VERSIONS, decodeToDaemon, encodeToApplication, FrameError, FrameSplitter, HELLO_CALL } from "../wire/application-frames.js";
import { acceptInPlace } from "../wire/read-in-place.js";
import { descriptorOf, flushTogether, writeTogether } from "../wire/write-together.js";

export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}
export interface CallMade {
  /** Ours; the answer goes by it. */
  readonly call: number;
  readonly client: number;
  readonly name: string;
  readonly args: unknown;
  readonly pid: number;
  readonly uid: number;
}
export interface ApplicationHandlers {
  /** Why this process may not connect; undefined when it may. */
  refusal(who: Credentials): string | undefined;
  call(made: CallMade): void;
  abandoned(call: number): void;
  /** Its connection ended, and with it the calls that were under way. */
  gone(client: number, calls: readonly number[]): void;
  log(line: string): void;
}

/** Calls of one connection that wait at the same time; one more fails with EAGAIN. */
export const CALLS_PER_CLIENT_MAX = 4_096;
/** Answers an application did not fetch; one that leaves more lying about is cut off. */
const UNREAD_BYTES_MAX = 64 * 1024 * 1024;

interface Client {
  readonly number: number;
  readonly who: Credentials;
  readonly socket: Socket;
  /** What it says means nothing any more. */
  isTurnedAway: boolean;
  /** By the id the application gave its call. */
  readonly calls: Map<number, number>;
}

export class ApplicationServer {
  readonly #handlers: ApplicationHandlers;
  readonly #server: Server;
  readonly #clients = new Map<number, Client>();
  readonly #calls = new Map<number, { readonly client: Client; readonly id: number }>();
  #nextClient = 1;
  #nextCall = 1;

  static async open(path: string, group: number | undefined, handlers: ApplicationHandlers): Promise<ApplicationServer> {
    const server = createServer({ pauseOnConnect: true });
    await listenPrivately(server, path, group);
    return new ApplicationServer(server, handlers);
  }

  private constructor(server: Server, handlers: ApplicationHandlers) {
    this.#server = server;
    this.#handlers = handlers;
    server.on("connection", (socket) => this.#accept(socket));
    server.on("error", (error) => handlers.log(`application socket: ${error.message}`));
  }

  /** False when the caller is gone; the answer is dropped. */
  answer(call: number, result: unknown): boolean {
    return this.#finish(call, (id) => ({ kind: "result", id, result }));
  }
  refuse(call: number, failure: DmFailure): boolean {
    return this.#finish(call, (id) => ({ kind: "failure", id, failure }));
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  async close(): Promise<void> {
    for (const { socket } of this.#clients.values()) {
      flushTogether(socket);
      socket.end();
    }
    const connections = [...this.#clients.values()].map(({ socket }) => new Promise<void>((resolve) => socket.once("close", () => resolve())));
    const closed = Promise.all([new Promise<void>((resolve) => this.#server.close(() => resolve())), ...connections]);
    const impatience = setTimeout(() => {
      for (const { socket } of this.#clients.values()) socket.destroy();
    }, 500);
    await closed;
    clearTimeout(impatience);
  }

  #accept(accepted: Socket): void {
    const who = credentialsOf(accepted);
    const refusal = typeof who === "string" ? who : this.#handlers.refusal(who);
    accepted.on("error", () => {}); // what follows is "close"
    if (refusal !== undefined || typeof who === "string") {
      this.#handlers.log(`application turned away: ${refusal}`);
      accepted.destroy();
      return;
    }
    const splitter = new FrameSplitter();
    const socket = acceptInPlace(accepted, (bytes) => {
      if (client.isTurnedAway) return;
      try {
        for (const body of splitter.push(bytes)) if (socket.writable) this.#take(client, body);
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
        this.#cutOff(client, error.message);
      }
    });
    const client: Client = { number: this.#nextClient++, who, socket, isTurnedAway: false, calls: new Map() };
    this.#clients.set(client.number, client);
    socket.on("error", () => {});
    socket.on("close", () => this.#closed(client));
  }

  #take(client: Client, body: Buffer): void {
    const message = decodeToDaemon(body);
    if (message.kind === "abandon") {
      const call = client.calls.get(message.id);
      if (call === undefined) return; // answered while the word was on its way
      client.calls.delete(message.id);
      this.#calls.delete(call);
      this.#handlers.abandoned(call);
      return;
    }
    if (client.calls.has(message.id)) throw new FrameError(`call id ${message.id} used again before it was answered`);
    if (client.calls.size >= CALLS_PER_CLIENT_MAX) {
      const failure = { code: "EAGAIN", message: `${CALLS_PER_CLIENT_MAX} calls of this connection wait already` } as const;
      writeTogether(client.socket, encodeToApplication({ kind: "failure", id: message.id, failure }));
      return;
    }
    if (message.name === HELLO_CALL) {
      const answer = answerToHello(message.id, message.args);
      writeTogether(client.socket, encodeToApplication(answer));
      if (answer.kind === "failure") this.#turnAway(client, answer.failure.message);
      return;
    }
    const call = this.#nextCall++;
    client.calls.set(message.id, call);
    this.#calls.set(call, { client, id: message.id });
    this.#handlers.call({ call, client: client.number, name: message.name, args: message.args, pid: client.who.pid, uid: client.who.uid });
  }

  /** Hears the reason and no more: what it sent after its hello may mean something else in its version. */
  #turnAway(client: Client, why: string): void {
    this.#handlers.log(`application process ${client.who.pid} (uid ${client.who.uid}) turned away: ${why}`);
    client.isTurnedAway = true;
    flushTogether(client.socket);
    client.socket.end();
  }

  #finish(call: number, make: (id: number) => Parameters<typeof encodeToApplication>[0]): boolean {
    const known = this.#calls.get(call);
    if (known === undefined) return false;
    this.#calls.delete(call);
    known.client.calls.delete(known.id);
    writeTogether(known.client.socket, this.#encode(known.id, make(known.id)));
    if (known.client.socket.writableLength > UNREAD_BYTES_MAX) this.#cutOff(known.client, `${UNREAD_BYTES_MAX} bytes of answers were not fetched`);
    return true;
  }

  #encode(id: number, message: Parameters<typeof encodeToApplication>[0]): Buffer {
    try {
      return encodeToApplication(message);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      return encodeToApplication({ kind: "failure", id, failure: { code: "E2BIG", message: `the answer does not fit: ${error.message}` } });
    }
  }

  #cutOff(client: Client, why: string): void {
    this.#handlers.log(`application process ${client.who.pid} (uid ${client.who.uid}) cut off: ${why}`);
    client.socket.destroy();
  }

  #closed(client: Client): void {
    if (!this.#clients.delete(client.number)) return;
    const calls = [...client.calls.values()];
    for (const call of calls) this.#calls.delete(call);
    client.calls.clear();
    this.#handlers.gone(client.number, calls);
  }
}

/** Before anything else: which version both will use, or why there is none. */
function answerToHello(id: number, said: unknown): Parameters<typeof encodeToApplication>[0] {
  const versions = APPLICATION_PROTOCOL_VERSIONS;
  if (!isVersionRange(said)) return { kind: "failure", id, failure: { code: "EINVAL", message: `protocol.hello wants {lowest, highest}; this daemon speaks ${formatVersions(versions)}` } };
  const version = commonVersion(said, versions);
  if (version !== undefined) return { kind: "result", id, result: { version, versions } };
  return { kind: "failure", id, failure: { code: "EPROTO", message: tooFarApart({ name: "the daemon", speaks: versions }, { name: "the application", speaks: said }) } };
}

/** The kernel's word on who is at the other end, or why it gives none. */
export function credentialsOf(socket: Socket): Credentials | string {
  const fd = descriptorOf(socket);
  if (fd < 0) return "the connection is closed already";
  const who = peerCredentials(fd);
  return typeof who === "number" ? `SO_PEERCRED: ${errnoName(who)}` : who;
}

/**
 * Why a process may not use this node's sockets; undefined when it may: root, the user the daemon itself runs as (who can
 * do all that it can), or the configured group (as good as root, H15).
 */
export function refusalOf(who: Credentials, group: number | undefined, daemonUid: number = process.getuid?.() ?? 0): string | undefined {
  if (who.uid === 0 || who.uid === daemonUid) return undefined;
  if (group !== undefined && (who.gid === group || supplementaryGroups(who.pid).includes(group))) return undefined;
  const users = daemonUid === 0 ? "root" : `root and uid ${daemonUid}`;
  const allowed = `only ${users}${group === undefined ? "" : ` and group ${group}`} may connect`;
  return `process ${who.pid} of uid ${who.uid}: ${allowed}`;
}
function supplementaryGroups(pid: number): number[] {
  try {
    const line = /^Groups:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
    return (line?.[1] ?? "").split(/\s+/).filter((word) => word !== "").map(Number);
  } catch {
    return []; // it has ended
  }
}

/**
 * Listens over a socket that a dead daemon left; with mode 0600, or 0660 for the group where one is configured.
 * @throws Error naming the path when a living one listens there, or the path is something else.
 */
export async function listenPrivately(server: Server, path: string, group: number | undefined): Promise<void> {
  await removeDeadSocket(path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const umask = process.umask(0o177); // bind creates the file before chmod could
    try {
      server.listen(path, () => {
        server.off("error", reject);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
  if (group !== undefined) {
    chownSync(path, 0, group);
    chmodSync(path, 0o660);
  }
}

async function removeDeadSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`socket: ${path} exists and is no socket`);
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (isAlive) throw new Error(`socket: another daemon listens on ${path}`);
  unlinkSync(path);
}
