/**
 * TCP between the nodes of a cluster. Each node dials each wanted peer for what it sends; frames that peers send arrive
 * on the connections they dialled. A link is up from the end of its handshake until its connection ends or stays
 * silent. The wire is dumb: what was in flight when a connection ended is lost, and the streams send it again (C9).
 *
 * Owns      the listening socket, one dialled connection per wanted peer, all accepted ones, fault injection.
 * Not here  which peers are wanted, numbering, view and incarnation checks (cluster/).
 * Units     milliseconds of this process's monotonic clock.
 * Source    safety C7, C9; blueprint section 3.
 */
import { randomBytes } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import type { VersionRange } from "../base/version-range.js";
import type { Frame } from "../cluster/messages.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import { NODE_PROTOCOL_VERSIONS } from "./node-frames.js";
import { acceptPeer, dialPeer, type Identity, type PeerConnection } from "./peer-connection.js";

export interface LinkEvents {
  up(peer: NodeId, incarnation: Incarnation): void;
  down(peer: NodeId, why: string): void;
  frame(frame: Frame): void;
  /** One plain line for people. */
  log(line: string): void;
}
export interface LinksOptions {
  readonly cluster: string;
  readonly node: NodeId;
  readonly incarnation: Incarnation;
  readonly key: Uint8Array;
  /** "host:port" to listen on. */
  readonly address: string;
  readonly pingMs?: number;
  /** A connection from which nothing came for so long is taken down; only time this process was awake counts. */
  readonly silenceMs?: number;
  /** What this node speaks; default: what this build does. */
  readonly versions?: VersionRange;
}
export type CutDirection = "both" | "send" | "receive";

interface Wanted {
  readonly peer: NodeId;
  address: string;
  connection: PeerConnection | undefined;
  upAs: Incarnation | undefined;
  version: number | undefined;
  retryMs: number;
  timer: NodeJS.Timeout | undefined;
  lastTrouble: string;
}

const RETRY_FIRST_MS = 50;
const RETRY_LAST_MS = 1_000;
/** Accepted connections that have not yet shown who they are. */
const STRANGERS_MAX = 64;

export class Links {
  readonly #options: Required<LinksOptions>;
  readonly #events: LinkEvents;
  readonly #server: Server;
  readonly #wanted = new Map<NodeId, Wanted>();
  readonly #accepted = new Map<PeerConnection, NodeId | undefined>();
  readonly #cuts = new Map<NodeId, { send: boolean; receive: boolean }>();
  readonly #slowed = new Map<NodeId, SlowedLink>();
  readonly #pulse: NodeJS.Timeout;
  #incarnation: Incarnation;
  #lastPulseMs = performance.now();
  #lastRefusal = "";
  #isClosed = false;

  /** Listens, then answers. @throws the error of listen(2): address in use, not ours. */
  static async open(options: LinksOptions, events: LinkEvents): Promise<Links> {
    const server = createServer({ noDelay: true, pauseOnConnect: true });
    const { host, port } = splitAddress(options.address);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => {
        server.off("error", reject);
        resolve();
      });
    });
    return new Links(options, events, server);
  }

  private constructor(options: LinksOptions, events: LinkEvents, server: Server) {
    this.#options = { pingMs: 250, silenceMs: 3_000, versions: NODE_PROTOCOL_VERSIONS, ...options };
    this.#events = events;
    this.#incarnation = options.incarnation;
    this.#server = server;
    server.on("connection", (socket) => this.#accept(socket));
    server.on("error", (error) => events.log(`links: accepting failed: ${error.message}`));
    this.#pulse = setInterval(() => this.#beat(), this.#options.pingMs);
  }

  /** Where it listens: the port is known when 0 was asked for. */
  get address(): string {
    const at = this.#server.address();
    return typeof at === "object" && at !== null ? `${at.address}:${at.port}` : this.#options.address;
  }

  /** Keeps a connection to that peer from now on. Safe to repeat; another address dials anew. */
  want(peer: NodeId, address: string): void {
    const known = this.#wanted.get(peer);
    if (known?.address === address) return;
    if (known !== undefined) this.unwant(peer);
    const wanted: Wanted = { peer, address, connection: undefined, upAs: undefined, version: undefined, retryMs: RETRY_FIRST_MS, timer: undefined, lastTrouble: "" };
    this.#wanted.set(peer, wanted);
    this.#dial(wanted);
  }

  unwant(peer: NodeId): void {
    const wanted = this.#wanted.get(peer);
    if (wanted === undefined) return;
    this.#wanted.delete(peer);
    clearTimeout(wanted.timer);
    wanted.connection?.destroy("not wanted any more");
  }

  /** Sends if the link is up; else the frame is dropped, as a wire may. */
  transmit(to: NodeId, frame: Frame): void {
    const wanted = this.#wanted.get(to);
    if (wanted?.upAs === undefined || this.#isCut(to, "send")) return;
    const { connection } = wanted;
    const slowed = this.#slowed.get(to);
    if (slowed === undefined) connection?.send({ kind: "frame", frame });
    else slowed.delay(() => wanted.connection === connection && connection?.send({ kind: "frame", frame }));
  }

  /** Fault injection: a black hole; connections stay, nothing passes. */
  cut(peer: NodeId, direction: CutDirection): void {
    const cut = this.#cuts.get(peer) ?? { send: false, receive: false };
    this.#cuts.set(peer, { send: cut.send || direction !== "receive", receive: cut.receive || direction !== "send" });
  }

  /** Fault injection: each frame for that peer leaves so many milliseconds late, in order; greetings and pings pass as before. */
  slow(peer: NodeId, delayMs: number): void {
    if (this.#slowed.has(peer)) this.heal(peer);
    this.#slowed.set(peer, new SlowedLink(delayMs));
  }

  /** Ends the faults; what was lost meanwhile is sent again on new connections. */
  heal(peer?: NodeId): void {
    for (const each of peer === undefined ? new Set([...this.#cuts.keys(), ...this.#slowed.keys()]) : [peer]) {
      const slowed = this.#slowed.get(each);
      slowed?.end();
      this.#slowed.delete(each);
      if (!this.#cuts.delete(each) && slowed === undefined) continue;
      this.#wanted.get(each)?.connection?.destroy("healed");
      for (const [connection, from] of this.#accepted) if (from === each) connection.destroy("healed");
    }
  }

  /** This node goes on as another incarnation: every connection ends, and peers learn the new one at the next handshake. */
  renew(incarnation: Incarnation): void {
    this.#incarnation = incarnation;
    for (const connection of this.#accepted.keys()) connection.destroy("new incarnation");
    for (const wanted of this.#wanted.values()) wanted.connection?.destroy("new incarnation");
  }

  status(): { readonly peer: NodeId; readonly isUp: boolean; readonly isCut: boolean; readonly delayMs?: number; readonly version?: number; readonly trouble?: string }[] {
    return [...this.#wanted.values()].map(({ peer, upAs, version, lastTrouble }) => ({
      peer, isUp: upAs !== undefined, isCut: this.#cuts.has(peer), ...(this.#slowed.has(peer) && { delayMs: this.#slowed.get(peer)!.delayMs }), ...(version !== undefined && { version }), ...(upAs === undefined && lastTrouble !== "" && { trouble: lastTrouble }),
    }));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#pulse);
    for (const slowed of this.#slowed.values()) slowed.end();
    for (const peer of [...this.#wanted.keys()]) this.unwant(peer);
    for (const connection of this.#accepted.keys()) connection.destroy("closing");
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #identity(): Identity {
    return { cluster: this.#options.cluster, node: this.#options.node, incarnation: this.#incarnation, key: this.#options.key, nonce: randomBytes(32), versions: this.#options.versions };
  }

  #isCut(peer: NodeId, way: "send" | "receive"): boolean {
    return this.#cuts.get(peer)?.[way] ?? false;
  }

  #dial(wanted: Wanted): void {
    const connection = dialPeer(splitAddress(wanted.address), wanted.peer, this.#identity(), {
      mayHear: (peer) => !this.#isCut(peer, "receive"),
      maySay: (peer) => !this.#isCut(peer, "send"),
      opened: (peer, incarnation, version) => {
        wanted.upAs = incarnation;
        wanted.version = version;
        wanted.retryMs = RETRY_FIRST_MS;
        wanted.lastTrouble = "";
        this.#events.up(peer, incarnation);
      },
      frame: () => connection.destroy("a frame came on a connection that only this node sends on"),
      closed: (why) => this.#dialledClosed(wanted, connection, why),
    });
    wanted.connection = connection;
  }

  #dialledClosed(wanted: Wanted, connection: PeerConnection, why: string): void {
    if (wanted.connection !== connection) return;
    wanted.connection = undefined;
    const wasUp = wanted.upAs !== undefined;
    wanted.upAs = undefined;
    wanted.version = undefined;
    if (wasUp || why !== wanted.lastTrouble) this.#events.log(`link to ${wanted.peer} at ${wanted.address}: ${why}`);
    wanted.lastTrouble = why;
    if (wasUp) this.#events.down(wanted.peer, why);
    if (this.#isClosed || this.#wanted.get(wanted.peer) !== wanted) return;
    wanted.timer = setTimeout(() => this.#dial(wanted), wanted.retryMs);
    wanted.retryMs = Math.min(RETRY_LAST_MS, wanted.retryMs * 2);
  }

  #accept(socket: Socket): void {
    if ([...this.#accepted.values()].filter((peer) => peer === undefined).length >= STRANGERS_MAX) {
      this.#events.log(`links: ${socket.remoteAddress} turned away: ${STRANGERS_MAX} others have not said who they are yet`);
      socket.destroy();
      return;
    }
    const from = `${socket.remoteAddress}:${socket.remotePort}`;
    const connection = acceptPeer(socket, this.#identity(), {
      mayHear: (peer) => !this.#isCut(peer, "receive"),
      maySay: (peer) => !this.#isCut(peer, "send"),
      opened: (peer) => {
        for (const [other, otherPeer] of this.#accepted) if (otherPeer === peer) other.destroy("replaced by a newer connection");
        this.#accepted.set(connection, peer);
        this.#hurry(peer);
      },
      frame: (frame) => this.#events.frame(frame),
      closed: (why) => {
        const peer = this.#accepted.get(connection);
        this.#accepted.delete(connection);
        const isRefusal = why.startsWith("refused");
        if (isRefusal && why === this.#lastRefusal) return; // one that is turned away comes again every second
        if (isRefusal) this.#lastRefusal = why;
        if (isRefusal || (peer === undefined && why.startsWith("no handshake"))) this.#events.log(`links: connection from ${peer ?? from} closed: ${why}`);
      },
    });
    this.#accepted.set(connection, undefined);
  }

  /** A peer that dials us lives: no need to wait before dialling it. */
  #hurry(peer: NodeId): void {
    const wanted = this.#wanted.get(peer);
    if (wanted === undefined || wanted.connection !== undefined || this.#isClosed) return;
    clearTimeout(wanted.timer);
    this.#dial(wanted);
  }

  /** Pings, and ends the silent. A beat that came late itself proves nothing about others, so it only starts counting anew. */
  #beat(): void {
    const nowMs = performance.now();
    const wasAsleep = nowMs - this.#lastPulseMs > this.#options.pingMs * 3;
    this.#lastPulseMs = nowMs;
    const all = [...this.#accepted.keys(), ...[...this.#wanted.values()].flatMap(({ connection }) => connection ?? [])];
    for (const connection of all) connection.beat(nowMs, wasAsleep, this.#options.silenceMs);
  }
}

/** Frames that wait until they are late enough, in the order in which they came. */
class SlowedLink {
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly delayMs: number;
  constructor(delayMs: number) {
    this.delayMs = delayMs;
  }

  /** Timers of one length go off in the order in which they were set. */
  delay(send: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send();
    }, this.delayMs);
    this.#timers.add(timer);
  }
  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}

/** "host:port", also "[::1]:port". */
export function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}
