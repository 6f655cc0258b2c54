/**
 * The streams of one node to all its peers, and the view messages, which travel beside them.
 *
 * A peer is known by its highest incarnation heard of; a newer one means that the former life is over: its stream ends
 * and what was queued for it with it. View messages are repeated by their senders, so they need no number.
 *
 * Source    safety C7, C9.
 */
import { assert } from "../base/assert.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import type { Frame, Message, ViewMessage } from "./messages.js";
import { PeerStream, type StreamEffect, type StreamInput } from "./stream.js";
import { memberNamed, type View } from "./view-document.js";

export type StreamsEffect =
  | { readonly kind: "transmit"; readonly to: NodeId; readonly frame: Frame }
  | { readonly kind: "deliver"; readonly from: NodeId; readonly message: Message }
  /** Any frame proves that the peer of this incarnation reaches us. */
  | { readonly kind: "heard"; readonly peer: NodeId; readonly incarnation: Incarnation }
  | { readonly kind: "deliver-view-message"; readonly from: NodeId; readonly incarnation: Incarnation; readonly message: ViewMessage };

export class Streams {
  readonly #id: NodeId;
  #incarnation: Incarnation;
  #view: View | undefined;
  #isClosed = true;
  readonly #up = new Set<NodeId>();
  readonly #streams = new Map<NodeId, PeerStream>();
  /** The earliest deadline, and whose it is. */
  #dueMs = Infinity;
  #first: PeerStream | undefined;

  constructor(id: NodeId, incarnation: Incarnation) {
    this.#id = id;
    this.#incarnation = incarnation;
  }

  get deadlineMs(): number {
    return this.#dueMs;
  }
  /** Asked after each step of the node, so it is kept: all streams are looked at only when the first one is not the first any more. */
  #step(stream: PeerStream, input: StreamInput): StreamEffect[] {
    const effects = stream.step(input);
    const dueMs = stream.deadlineMs;
    if (dueMs <= this.#dueMs) {
      this.#dueMs = dueMs;
      this.#first = stream;
    } else if (stream === this.#first) this.#findFirst();
    return effects;
  }
  #findFirst(): void {
    this.#dueMs = Infinity;
    this.#first = undefined;
    for (const stream of this.#streams.values()) {
      if (stream.deadlineMs >= this.#dueMs) continue;
      this.#dueMs = stream.deadlineMs;
      this.#first = stream;
    }
  }

  /** The node's lease is over: nothing numbered leaves. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  linkUp(peer: NodeId, incarnation: Incarnation, atMs: number): StreamsEffect[] {
    this.#up.add(peer);
    const stream = this.#streamTo(peer, incarnation, atMs);
    return stream === undefined ? [] : this.#named(peer, this.#step(stream, { kind: "link-up", atMs }));
  }

  linkDown(peer: NodeId, atMs: number): void {
    this.#up.delete(peer);
    const stream = this.#streams.get(peer);
    if (stream !== undefined) this.#step(stream, { kind: "link-down", atMs });
  }

  /** To a member of the adopted view; for anyone else, or a life that is over, it is dropped. */
  send(to: NodeId, message: Message, atMs: number): StreamsEffect[] {
    const incarnation = this.#incarnationOf(to);
    const stream = incarnation === undefined ? undefined : this.#streamTo(to, incarnation, atMs);
    return stream === undefined ? [] : this.#named(to, this.#step(stream, { kind: "send", message, atMs }));
  }

  sendViewMessage(to: NodeId, incarnation: Incarnation, message: ViewMessage): StreamsEffect[] {
    if (!this.#up.has(to)) return [];
    const frame: Frame = {
      from: this.#id, fromIncarnation: this.#incarnation, toIncarnation: incarnation, view: this.#view?.number ?? 0,
      body: message, acknowledged: 0,
    };
    return [{ kind: "transmit", to, frame }];
  }

  receive(frame: Frame, atMs: number): StreamsEffect[] {
    const { from, fromIncarnation } = frame;
    const stream = this.#streamTo(from, fromIncarnation, atMs);
    if (stream === undefined) return []; // of a life that is over
    const heard: StreamsEffect = { kind: "heard", peer: from, incarnation: fromIncarnation };
    if (frame.sequence === undefined && frame.body !== undefined) {
      // A view is proposed to one life; the rest is true for all.
      if (frame.body.kind === "view-proposed" && frame.toIncarnation !== this.#incarnation) return [heard];
      return isViewMessage(frame.body) ? [heard, { kind: "deliver-view-message", from, incarnation: fromIncarnation, message: frame.body }] : [heard];
    }
    if (frame.toIncarnation !== this.#incarnation) return [heard];
    return [heard, ...this.#named(from, this.#step(stream, { kind: "frame-received", frame, atMs }))];
  }

  adopt(view: View, atMs: number): StreamsEffect[] {
    assert(view.number > (this.#view?.number ?? 0), "views are adopted in growing order");
    this.#view = view;
    return [...this.#streams].flatMap(([peer, stream]) => {
      const isMember = memberNamed(view, peer)?.incarnation === stream.peerIncarnation;
      return this.#named(peer, this.#step(stream, { kind: "view-adopted", number: view.number, isMember, atMs }));
    });
  }

  /** A new life of this node: nothing of the former one goes on. */
  begin(incarnation: Incarnation): void {
    this.#incarnation = incarnation;
    this.#view = undefined;
    this.#streams.clear();
    this.#findFirst();
  }

  setClosed(isClosed: boolean, atMs: number): StreamsEffect[] {
    if (this.#isClosed === isClosed) return [];
    this.#isClosed = isClosed;
    return [...this.#streams].flatMap(([peer, stream]) => this.#named(peer, this.#step(stream, { kind: isClosed ? "closed" : "opened", atMs })));
  }

  timePassed(atMs: number): StreamsEffect[] {
    const effects: StreamsEffect[] = [];
    for (const [peer, stream] of this.#streams) {
      if (stream.deadlineMs <= atMs) effects.push(...this.#named(peer, this.#step(stream, { kind: "time-passed", atMs })));
    }
    return effects;
  }

  /** What has been sent to `peer` so far, as a point that `hasArrived` recognises later. */
  lastSequence(peer: NodeId): { readonly incarnation: Incarnation; readonly sequence: number } | undefined {
    const stream = this.#streams.get(peer);
    return stream === undefined ? undefined : { incarnation: stream.peerIncarnation, sequence: stream.lastSequence };
  }
  hasArrived(peer: NodeId, point: { readonly incarnation: Incarnation; readonly sequence: number }): boolean {
    const stream = this.#streams.get(peer);
    return stream === undefined || stream.peerIncarnation !== point.incarnation || stream.hasArrived(point.sequence);
  }

  describe(): { peer: NodeId; isUp: boolean; unacknowledged: number }[] {
    const peers = new Set([...this.#up, ...this.#streams.keys()]);
    return [...peers].sort().map((peer) => ({ peer, isUp: this.#up.has(peer), unacknowledged: this.#streams.get(peer)?.unacknowledgedCount ?? 0 }));
  }

  #incarnationOf(peer: NodeId): Incarnation | undefined {
    return this.#view === undefined ? undefined : memberNamed(this.#view, peer)?.incarnation;
  }

  /** Undefined for an incarnation older than the one known. */
  #streamTo(peer: NodeId, incarnation: Incarnation, atMs: number): PeerStream | undefined {
    const known = this.#streams.get(peer);
    if (known?.peerIncarnation === incarnation) return known;
    if (known !== undefined && known.peerIncarnation > incarnation) return undefined;
    const stream = new PeerStream({ id: this.#id, incarnation: this.#incarnation, peerIncarnation: incarnation, view: this.#view?.number ?? 0 });
    this.#streams.set(peer, stream);
    if (known !== undefined && known === this.#first) this.#findFirst();
    if (this.#isClosed) this.#step(stream, { kind: "closed", atMs });
    if (this.#up.has(peer)) this.#step(stream, { kind: "link-up", atMs });
    return stream;
  }

  #named(peer: NodeId, effects: readonly StreamEffect[]): StreamsEffect[] {
    if (effects.length === 0) return [];
    return effects.map((effect) => {
      if (effect.kind === "transmit") return { kind: "transmit", to: peer, frame: effect.frame };
      return { kind: "deliver", from: peer, message: effect.message };
    });
  }
}

export function isViewMessage(message: Message): message is ViewMessage {
  switch (message.kind) {
    case "view-proposed":
    case "view-adopted":
    case "view-in-force":
    case "greeting":
      return true;
    default:
      return false;
  }
}
