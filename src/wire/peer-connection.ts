/**
 * One TCP connection between two daemons: its handshake, then pings from the dialer, pongs from the acceptor, and frames
 * from the dialer. Anything unexpected ends it with a reason in plain words; the daemon goes on.
 *
 *   dialer    awaits-challenge --challenge/send hello--> awaits-welcome --welcome--> open
 *   acceptor  (send challenge) awaits-hello --hello/send welcome--> open
 *   any state --refused, wrong message, silence, socket closed--> closed
 *
 * Source    safety C7, C9.
 */
import { performance } from "node:perf_hooks";
import { connect, type Socket } from "node:net";
import { commonVersion, tooFarApart, type VersionRange } from "../base/version-range.js";
import type { Frame } from "../cluster/messages.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import { FrameError, FrameSplitter } from "./application-frames.js";
import { FrameHead } from "./frame-heads.js";
import {
  type Challenge, decodeLinkMessage, encodeLinkMessage, HANDSHAKE_LENGTH_MAX, type Hello, isSameProof, type LinkMessage,
  NODE_FRAME_LENGTH_MAX, NODE_PROTOCOL_MAGIC, proofOf, type Welcome,
} from "./node-frames.js";
import { acceptInPlace } from "./read-in-place.js";
import { flushTogether, writeTogether } from "./write-together.js";

/** Who this end is; a fresh nonce for each connection. */
export interface Identity {
  readonly cluster: string;
  readonly node: NodeId;
  readonly incarnation: Incarnation;
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly versions: VersionRange;
}
export interface PeerHandlers {
  /** Fault injection: whether what comes from, or goes to, that peer passes. */
  mayHear(peer: NodeId): boolean;
  maySay(peer: NodeId): boolean;
  /** `version` is the highest that both ends speak. */
  opened(peer: NodeId, incarnation: Incarnation, version: number): void;
  frame(frame: Frame): void;
  /** Once, also when it never opened. */
  closed(why: string): void;
}
export interface PeerConnection {
  send(message: LinkMessage): void;
  beat(nowMs: number, wasAsleep: boolean, silenceMs: number): void;
  destroy(why: string): void;
}

export function dialPeer(at: { host: string; port: number }, peer: NodeId, identity: Identity, handlers: PeerHandlers): PeerConnection {
  const socket = connect({ ...at, noDelay: true });
  const connection = new Connection(socket, identity, handlers, peer);
  socket.on("data", (bytes) => connection.received(bytes));
  return connection;
}
/** @param accepted by a server with `pauseOnConnect` */
export function acceptPeer(accepted: Socket, identity: Identity, handlers: PeerHandlers): PeerConnection {
  const socket = acceptInPlace(accepted, (bytes) => connection.received(bytes));
  const connection = new Connection(socket, identity, handlers, undefined);
  connection.send({ kind: "challenge", magic: NODE_PROTOCOL_MAGIC, versions: identity.versions, nonce: identity.nonce });
  return connection;
}

/** A dialer asks when it has heard nothing for this part of the time after which silence ends the connection. */
const PINGS_IN_A_SILENCE = 8;

class Connection implements PeerConnection {
  readonly #socket: Socket;
  readonly #identity: Identity;
  readonly #handlers: PeerHandlers;
  readonly #isDialer: boolean;
  readonly #splitter = new FrameSplitter(HANDSHAKE_LENGTH_MAX);
  /** Of the frames that go this connection's one way. */
  readonly #head = new FrameHead();
  #peer: NodeId | undefined;
  #state: "awaits-challenge" | "awaits-welcome" | "awaits-hello" | "open" | "closed";
  #challenge: Challenge | undefined;
  #lastHeardMs = performance.now();
  #pings = 0;
  #why = "closed by the other side";

  constructor(socket: Socket, identity: Identity, handlers: PeerHandlers, peer: NodeId | undefined) {
    this.#socket = socket;
    this.#identity = identity;
    this.#handlers = handlers;
    this.#peer = peer;
    this.#isDialer = peer !== undefined;
    this.#state = this.#isDialer ? "awaits-challenge" : "awaits-hello";
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#why = error.code ?? error.message;
    });
    socket.on("close", () => {
      if (this.#splitter.isInside) this.#why = `refused: ${this.#why} in the middle of a message`;
      this.#close();
    });
  }

  send(message: LinkMessage): void {
    if (this.#state === "closed" || this.#socket.destroyed) return;
    if (this.#peer !== undefined && !this.#handlers.maySay(this.#peer)) return;
    writeTogether(this.#socket, message.kind === "frame" ? this.#head.encode(message.frame) : encodeLinkMessage(message));
  }

  beat(nowMs: number, wasAsleep: boolean, silenceMs: number): void {
    if (wasAsleep) this.#lastHeardMs = nowMs;
    if (nowMs - this.#lastHeardMs > silenceMs) {
      const what = this.#state === "open" ? "nothing heard" : "no handshake";
      this.destroy(`${what} for ${Math.round(nowMs - this.#lastHeardMs)} ms`);
    } else if (this.#isDialer && this.#state === "open" && nowMs - this.#lastHeardMs >= silenceMs / PINGS_IN_A_SILENCE) {
      this.send({ kind: "ping", count: ++this.#pings });
    }
  }

  destroy(why: string): void {
    if (this.#state === "closed") return;
    this.#why = why;
    this.#socket.destroy();
    this.#close();
  }

  #close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#handlers.closed(this.#why);
  }

  received(chunk: Buffer): void {
    if (this.#peer !== undefined && !this.#handlers.mayHear(this.#peer)) return;
    this.#lastHeardMs = performance.now();
    try {
      for (const body of this.#splitter.push(chunk)) {
        if (this.#state === "closed") return;
        const frame = this.#state === "open" ? this.#head.decode(body) : undefined;
        if (frame !== undefined) this.#takeFrame(frame);
        else this.#take(decodeLinkMessage(body));
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.destroy(`refused: ${error.message}`);
    }
  }

  #take(message: LinkMessage): void {
    if (message.kind === "refused") {
      this.destroy(`turned away: ${message.reason}`);
    } else if (message.kind === "challenge" && this.#state === "awaits-challenge") {
      this.#challenged(message);
    } else if (message.kind === "hello" && this.#state === "awaits-hello") {
      this.#greeted(message);
    } else if (message.kind === "welcome" && this.#state === "awaits-welcome") {
      this.#welcomed(message);
    } else if (message.kind === "ping" && this.#state === "open" && !this.#isDialer) {
      this.send({ kind: "pong", count: message.count });
    } else if (message.kind === "frame" && this.#state === "open") {
      this.#head.learn(message.frame);
      this.#takeFrame(message.frame);
    } else if (message.kind !== "pong" || this.#state !== "open" || !this.#isDialer) {
      this.destroy(`refused: ${message.kind} in state ${this.#state}`);
    }
  }

  #takeFrame(frame: Frame): void {
    if (frame.from === this.#peer) this.#handlers.frame(frame);
    else this.destroy(`refused: a frame from ${frame.from} on the connection of ${this.#peer}`);
  }

  #challenged(challenge: Challenge): void {
    // With too far apart a range the acceptor refuses, by this node's name, once it knows that name from the hello.
    if (!this.#isOurs(challenge)) return;
    this.#challenge = challenge;
    this.#state = "awaits-welcome";
    const { cluster, node, incarnation, key, nonce, versions } = this.#identity;
    const peer = this.#peer!;
    const proof = proofOf(key, "dialer", {
      cluster, node, incarnation, peer, dialerNonce: nonce, acceptorNonce: challenge.nonce, dialerSpeaks: versions, acceptorSpeaks: challenge.versions,
    });
    this.send({ kind: "hello", magic: NODE_PROTOCOL_MAGIC, versions, cluster, node, incarnation, peer, nonce, proof });
    if (commonVersion(versions, challenge.versions) === undefined) this.#refuse(tooFarApart({ name: node, speaks: versions }, { name: peer, speaks: challenge.versions }));
  }

  #greeted(hello: Hello): void {
    if (!this.#isOurs(hello)) return;
    const { cluster, node, incarnation, key, nonce, versions } = this.#identity;
    const nonces = { dialerNonce: hello.nonce, acceptorNonce: nonce, dialerSpeaks: hello.versions, acceptorSpeaks: versions };
    const version = commonVersion(versions, hello.versions);
    const expected = proofOf(key, "dialer", { cluster, node: hello.node, incarnation: hello.incarnation, peer: node, ...nonces });
    if (hello.cluster !== cluster) {
      this.#refuse(`this is cluster ${cluster}, not ${hello.cluster}`);
    } else if (hello.peer !== node) {
      this.#refuse(`this is node ${node}, not ${hello.peer}`);
    } else if (!isSameProof(expected, hello.proof)) {
      this.#refuse(`whoever says to be ${hello.node} does not know the cluster's key`);
    } else if (version === undefined) {
      this.#refuse(tooFarApart({ name: node, speaks: versions }, { name: hello.node, speaks: hello.versions }));
    } else if (this.#handlers.mayHear(hello.node)) {
      this.#peer = hello.node;
      const proof = proofOf(key, "acceptor", { cluster, node, incarnation, peer: hello.node, ...nonces });
      this.send({ kind: "welcome", node, incarnation, proof });
      this.#open(hello.incarnation, version);
    } // else a black hole, which answers nothing
  }

  #welcomed(welcome: Welcome): void {
    const { cluster, node, key, nonce, versions } = this.#identity;
    const challenge = this.#challenge!;
    const says = { cluster, node: welcome.node, incarnation: welcome.incarnation, peer: node, dialerSpeaks: versions, acceptorSpeaks: challenge.versions };
    const expected = proofOf(key, "acceptor", { ...says, dialerNonce: nonce, acceptorNonce: challenge.nonce });
    const version = commonVersion(versions, challenge.versions);
    if (welcome.node !== this.#peer) this.destroy(`refused: ${welcome.node} answers at the address of ${this.#peer}`);
    else if (!isSameProof(expected, welcome.proof)) this.destroy("refused: the other side does not know the cluster's key");
    else if (version === undefined) this.destroy("refused: a welcome from a node that speaks no version of ours");
    else this.#open(welcome.incarnation, version);
  }

  #open(incarnation: Incarnation, version: number): void {
    this.#state = "open";
    this.#splitter.lengthMax = NODE_FRAME_LENGTH_MAX;
    this.#handlers.opened(this.#peer!, incarnation, version);
  }

  #isOurs(message: Challenge | Hello): boolean {
    if (message.magic === NODE_PROTOCOL_MAGIC) return true;
    this.#refuse(`protocol ${message.magic.slice(0, 20)}; this is ${NODE_PROTOCOL_MAGIC}`);
    return false;
  }

  /** Tells the other side why, then ends. */
  #refuse(reason: string): void {
    this.#why = `refused: ${reason}`;
    flushTogether(this.#socket);
    this.#socket.end(encodeLinkMessage({ kind: "refused", reason }));
    this.#socket.destroySoon();
    this.#close();
  }
}
