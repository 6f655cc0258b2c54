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
  /** Of all peers, sorted. */
  readonly #ids: NodeId[] = [];
  /** Those that were heard, the one heard longest ago first. */
  readonly #heard = new Set<Peer>();
  readonly #down = new Set<Peer>();
  #changes = 0;

  constructor({ linkGraceMs, linkTimeoutMs }: { readonly linkGraceMs: number; readonly linkTimeoutMs: number }) {
    this.#graceMs = linkGraceMs;
    this.#silenceMs = linkTimeoutMs;
  }

  linkUp(peer: NodeId, incarnation: Incarnation): void {
    this.#peer(peer, incarnation, true);
    this.#changes++;
    const known = this.#peers.get(peer);
    if (known === undefined) return;
    known.isUp = true;
    this.#down.delete(known);
  }

  linkDown(peer: NodeId, atMs: number): void {
    const known = this.#peers.get(peer);
    if (known === undefined || !known.isUp) return;
    this.#changes++;
    known.isUp = false;
    known.downSinceMs = atMs;
    this.#down.add(known);
  }

  heard(peer: NodeId, incarnation: Incarnation, atMs: number): void {
    const known = this.#peer(peer, incarnation, this.#peers.get(peer)?.isUp ?? true);
    if (known.incarnation !== incarnation) return;
    if (this.#untilMs(known) <= atMs) this.#changes++;
    known.heardAtMs = atMs;
    this.#heard.delete(known);
    this.#heard.add(known);
  }
  /** Grows with all that may change who is reached, save time. */
  get changes(): number {
    return this.#changes;
  }

  /** No life below this one is reached any more: it ended, or was followed by a later one. */
  ended(peer: NodeId, below: number): void {
    const known = this.#peers.get(peer);
    if (known === undefined || known.incarnation >= below || known.heardAtMs === undefined) return;
    this.#changes++;
    known.heardAtMs = undefined;
    this.#heard.delete(known);
  }

  /** This node stood still so long. */
  forgive(pauseMs: number): void {
    this.#changes++;
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
    return this.#ids.filter((id) => this.reaches(id, atMs));
  }

  /** Peers whose link is up, with the incarnation last known. */
  up(): { id: NodeId; incarnation: Incarnation }[] {
    return [...this.#peers].filter(([, peer]) => peer.isUp).map(([id, peer]) => ({ id, incarnation: peer.incarnation }));
  }

  /** When somebody ceases to be reached if nothing is heard. */
  deadlineMs(atMs: number): number {
    let dueMs = Infinity;
    for (const peer of this.#heard) {
      if (!peer.isUp) continue;
      dueMs = this.#untilMs(peer);
      if (dueMs > atMs) break;
      dueMs = Infinity;
    }
    for (const peer of this.#down) {
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
    if (known === undefined) this.#ids.splice(placeOf(id, this.#ids), 0, id);
    else {
      this.#heard.delete(known);
      this.#down.delete(known);
    }
    this.#changes++;
    const peer: Peer = { incarnation, isUp, downSinceMs: 0, heardAtMs: undefined };
    this.#peers.set(id, peer);
    if (!isUp) this.#down.add(peer);
    return peer;
  }
}

function placeOf(id: NodeId, sorted: readonly NodeId[]): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
