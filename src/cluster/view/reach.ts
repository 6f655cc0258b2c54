/**
 * Whom this node reaches: peers whose frames arrived lately over a link that is up, or down for no longer than the grace.
 *
 * Only hearing counts, so a link that carries one way is published by the side that hears nothing. Time during which
 * this node itself stood still is nobody's silence.
 *
 * Units     milliseconds of the monotonic clock.
 * Source    safety C7 (eviction by published reach), C9 (a short loss of the link is no eviction).
 */
import type { Incarnation, NodeId } from "../../dmapi/ids.js";

interface Peer {
  incarnation: Incarnation;
  isUp: boolean;
  downSinceMs: number;
  /** Undefined until this incarnation was heard once. */
  heardAtMs: number | undefined;
}

export class Reach {
  readonly #graceMs: number;
  /** A loaded or briefly frozen peer is silent over a sound link; only a one-way cut lasts. */
  readonly #silenceMs: number;
  readonly #peers = new Map<NodeId, Peer>();

  constructor({ linkGraceMs, linkTimeoutMs }: { readonly linkGraceMs: number; readonly linkTimeoutMs: number }) {
    this.#graceMs = linkGraceMs;
    this.#silenceMs = linkTimeoutMs;
  }

  linkUp(peer: NodeId, incarnation: Incarnation): void {
    this.#peer(peer, incarnation, true);
    const known = this.#peers.get(peer);
    if (known !== undefined) known.isUp = true;
  }

  linkDown(peer: NodeId, atMs: number): void {
    const known = this.#peers.get(peer);
    if (known === undefined || !known.isUp) return;
    known.isUp = false;
    known.downSinceMs = atMs;
  }

  heard(peer: NodeId, incarnation: Incarnation, atMs: number): void {
    const known = this.#peer(peer, incarnation, this.#peers.get(peer)?.isUp ?? true);
    if (known.incarnation === incarnation) known.heardAtMs = atMs;
  }

  /** No life below this one is reached any more: it ended, or was followed by a later one. */
  ended(peer: NodeId, below: number): void {
    const known = this.#peers.get(peer);
    if (known !== undefined && known.incarnation < below) known.heardAtMs = undefined;
  }

  /** This node stood still so long. */
  forgive(pauseMs: number): void {
    for (const peer of this.#peers.values()) {
      peer.downSinceMs += pauseMs;
      if (peer.heardAtMs !== undefined) peer.heardAtMs += pauseMs;
    }
  }

  isReached(peer: NodeId, incarnation: Incarnation, atMs: number): boolean {
    const known = this.#peers.get(peer);
    return known !== undefined && known.incarnation === incarnation && this.#untilMs(known) > atMs;
  }

  /** In its present life. */
  reaches(peer: NodeId, atMs: number): boolean {
    const known = this.#peers.get(peer);
    return known !== undefined && this.#untilMs(known) > atMs;
  }

  /** -Infinity: not in its present life. */
  heardAtMs(peer: NodeId): number {
    return this.#peers.get(peer)?.heardAtMs ?? -Infinity;
  }

  reached(atMs: number): NodeId[] {
    const ids: NodeId[] = [];
    for (const [id, peer] of this.#peers) if (this.#untilMs(peer) > atMs) ids.push(id);
    return ids.sort();
  }

  /** Peers whose link is up, with the incarnation last known. */
  up(): { id: NodeId; incarnation: Incarnation }[] {
    return [...this.#peers].filter(([, peer]) => peer.isUp).map(([id, peer]) => ({ id, incarnation: peer.incarnation }));
  }

  /** When somebody ceases to be reached if nothing is heard. */
  deadlineMs(atMs: number): number {
    let dueMs = Infinity;
    for (const peer of this.#peers.values()) {
      const untilMs = this.#untilMs(peer);
      if (untilMs > atMs && untilMs < dueMs) dueMs = untilMs;
    }
    return dueMs;
  }

  #untilMs(peer: Peer): number {
    if (peer.heardAtMs === undefined) return -Infinity;
    return Math.min(peer.heardAtMs + this.#silenceMs, peer.isUp ? Infinity : peer.downSinceMs + this.#graceMs);
  }

  #peer(id: NodeId, incarnation: Incarnation, isUp: boolean): Peer {
    const known = this.#peers.get(id);
    if (known !== undefined && known.incarnation >= incarnation) return known;
    const peer: Peer = { incarnation, isUp, downSinceMs: 0, heardAtMs: undefined };
    this.#peers.set(id, peer);
    return peer;
  }
}
