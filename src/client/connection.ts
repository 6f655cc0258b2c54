/**
 * The way in: a connection to the daemon of one node, and what can be asked without a session.
 *
 * Reconnecting is explicit: after a lost connection every call fails with ENOTREADY until the application connects again
 * and takes up its session (`session.assume`, or simply `attach` while the session still lives on that node).
 *
 * Owns      the transport.
 * Source    XDSM C429 dm_init_service, sessions; requirement R2.
 */
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import type { ApplicationLease } from "../dmapi/application-lease.js";
import { DmError } from "../dmapi/errors.js";
import type { FsName, GroupName, NodeId, SessionId, Token } from "../dmapi/ids.js";
import type { AuditEntry, LogEntry, SessionEntry, StatusDocument, TraceDocument, WaiterEntry, WaitersDocument } from "../dmapi/status.js";
import { ApplicationClient, type CallOptions } from "../wire/application-client.js";
import { FileSystem } from "./file-system.js";
import { findSocket } from "./find-node.js";
import { Session } from "./session.js";

export interface ConnectOptions {
  /** Default: SLUICE_SOCKET, else the only node running on this machine. */
  readonly socket?: string;
}

/** @throws DmError ENOTREADY no daemon answers there. */
export async function connect(options: ConnectOptions = {}): Promise<Connection> {
  return new Connection(await ApplicationClient.connect(findSocket(options.socket)));
}

export class Connection {
  readonly #client: ApplicationClient;
  constructor(client: ApplicationClient) {
    this.#client = client;
  }

  get socket(): string {
    return this.#client.path;
  }
  get isOpen(): boolean {
    return this.#client.isOpen;
  }
  /** Any call of dmapi/calls.ts by its name; the methods below and on `Session` are its comfortable forms. */
  call<N extends CallName>(name: N, args: ArgsOf<N>, options?: CallOptions): Promise<ResultOf<N>> {
    return this.#client.call(name, args, options);
  }
  whenLost(tell: () => void): void {
    this.#client.whenLost(tell);
  }
  close(): void {
    this.#client.close();
  }
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * A new session on this node. `lease`: what becomes of its events when no application serves it; programs that use
   * this SDK renew it by themselves while they get events.
   * `isDurable`: asynchronous events are logged on the shared volume before their users go on, until acknowledged.
   * @throws DmError E2BIG information string of more than 255 bytes; EINVAL the lease names a standby that is not there.
   */
  async createSession(info: string, options: { group?: string; lease?: ApplicationLease; isDurable?: boolean } = {}): Promise<Session> {
    const { group, lease, isDurable } = options;
    const { session } = await this.call("session.create", {
      info, ...(group !== undefined && { group: group as GroupName }), ...(lease !== undefined && { lease }), ...(isDurable !== undefined && { isDurable }),
    });
    return new Session(this, session, info);
  }
  /** Takes a failed session over, or one hosted here, with all its events. The id stays. @throws DmError EINVAL */
  async assumeSession(session: SessionId | number, info: string): Promise<Session> {
    const assumed = await this.call("session.assume", { session: session as SessionId, info });
    return new Session(this, assumed.session, info);
  }
  /** A session that lives on this node already, made by this or another process. @throws DmError EINVAL */
  async attachSession(session: SessionId | number): Promise<Session> {
    const entry = await this.call("session.query", { session: session as SessionId });
    return new Session(this, entry.id, entry.info);
  }
  sessions(): Promise<readonly SessionEntry[]> {
    return this.call("session.list", {});
  }

  async fileSystems(): Promise<FileSystem[]> {
    return (await this.call("fs.list", {})).map((entry) => new FileSystem(entry));
  }
  /** @throws DmError ENXIO no such managed file system on this node. */
  async fileSystem(name: string): Promise<FileSystem> {
    const all = await this.fileSystems();
    const found = all.find((fs) => fs.name === name);
    if (found !== undefined) return found;
    const known = all.map((fs) => fs.name).join(", ") || "none";
    throw new DmError("ENXIO", "fs.list", `no file system "${name}" on this node; it knows: ${known}`);
  }
  /** The managed file system a path lies in. @throws DmError ENXIO the path is in none that is mounted here. */
  async fileSystemOf(path: string): Promise<FileSystem> {
    const containing = (await this.fileSystems()).filter((fs) => fs.contains(path));
    containing.sort((a, b) => (b.mountpoint?.length ?? 0) - (a.mountpoint?.length ?? 0));
    const [innermost] = containing;
    if (innermost !== undefined) return innermost;
    throw new DmError("ENXIO", "fs.list", `"${path}" is not below a managed file system mounted on this node`);
  }
  mount(fs: string, mountpoint?: string): Promise<{ mountpoint: string }> {
    return this.call("fs.mount", { fs: fs as FsName, ...(mountpoint === undefined ? {} : { mountpoint }) });
  }

  status(): Promise<StatusDocument> {
    return this.call("node.status", {});
  }
  /** Blocked users and calls of this node; `clusterWaiters` tells those of all. */
  waiters(): Promise<readonly WaiterEntry[]> {
    return this.call("node.waiters", {});
  }
  clusterWaiters(): Promise<WaitersDocument> {
    return this.call("cluster.waiters", {});
  }
  /** The way of one event through the cluster, as far as the nodes still know it. */
  trace(token: Token | number): Promise<TraceDocument> {
    return this.call("cluster.trace", { token: token as Token });
  }
  /** Changes of the registry, the oldest first. */
  audit(): Promise<readonly AuditEntry[]> {
    return this.call("registry.audit", {});
  }
  log(options: { after?: number; waitMs?: number; max?: number } = {}): Promise<readonly LogEntry[]> {
    return this.call("node.log", options);
  }
  moveManager(to: string): Promise<{ manager: NodeId }> {
    return this.call("manager.move", { to: to as NodeId });
  }
  /**
   * Puts a message into a session's queue, from any node; a synchronous one waits for the answer and its data.
   * @throws DmError E2BIG more than 4096 bytes; with `isSynchronous` the code the application aborted with.
   */
  async sendMessage(session: SessionId | number, data: Uint8Array, options: { isSynchronous?: boolean; signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    const args = { session: session as SessionId, isSynchronous: options.isSynchronous ?? false, data };
    const answer = await this.call("message.send", args, options.signal === undefined ? {} : { signal: options.signal });
    return answer.data;
  }
}
