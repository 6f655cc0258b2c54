/**
 * One direction-pair of messages between two incarnations: numbered, cumulatively acknowledged, resent, delivered once
 * and in order. TCP alone loses what was in flight at a reset; with this no message is lost while both incarnations live.
 *
 * A frame of an older view is refused: not acknowledged, so that its sender resends it stamped anew once it has adopted
 * the view. A frame of a newer view is kept until this node has adopted it. While the node's lease is over nothing
 * numbered leaves (`closed`); it is resent afterwards.
 *
 * Owns      numbers, what is not yet acknowledged, what came too early, and the acknowledgement owed.
 * Not here  view messages (outside numbers and check; streams.ts), who the peers are (view/membership.ts).
 * Source    safety C7, C9.
 */
import { assert } from "../base/assert.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import type { Frame, Message } from "./messages.js";

/** An acknowledgement that nothing else carries is sent after this long, or after so many messages. */
const ACKNOWLEDGE_AFTER_MS = 5;
const ACKNOWLEDGE_AFTER_COUNT = 32;
/** Frames may be swallowed without the link going down; then the oldest ones are sent again. */
const RESEND_AFTER_MS = 1_000;
const RESEND_COUNT_MAX = 64;
/** Frames of a view that this node has yet to adopt; beyond that they are dropped and come again. */
const EARLY_COUNT_MAX = 1_024;

export type StreamInput = { readonly atMs: number } & (
  | { readonly kind: "send"; readonly message: Message }
  | { readonly kind: "frame-received"; readonly frame: Frame }
  | { readonly kind: "link-up" }
  | { readonly kind: "link-down" }
  /** `isMember`: whether the peer is in it; what waits for one who left is dropped. */
  | { readonly kind: "view-adopted"; readonly number: number; readonly isMember: boolean }
  /** The node's lease is over, or good again. */
  | { readonly kind: "closed" }
  | { readonly kind: "opened" }
  | { readonly kind: "time-passed" }
);
export type StreamEffect =
  | { readonly kind: "transmit"; readonly frame: Frame }
  | { readonly kind: "deliver"; readonly message: Message };

interface Unacknowledged {
  readonly sequence: number;
  readonly message: Message;
}

export interface StreamOptions {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
  readonly peerIncarnation: Incarnation;
  /** View adopted at the start; 0 before any. */
  readonly view: number;
}

export class PeerStream {
  readonly #options: StreamOptions;
  #view: number;
  #isUp = false;
  #isClosed = false;
  #nextSequence = 1;
  #unacknowledged: Unacknowledged[] = [];
  #acknowledged = 0;
  #resendAtMs = Infinity;
  #received = 0;
  #early: Frame[] = [];
  #acknowledgeAtMs = Infinity;
  #receivedSinceAcknowledged = 0;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#view = options.view;
  }

  get peerIncarnation(): Incarnation {
    return this.#options.peerIncarnation;
  }
  get unacknowledgedCount(): number {
    return this.#unacknowledged.length;
  }
  get isUp(): boolean {
    return this.#isUp;
  }
  /** Number of the last message sent; everything up to it has arrived once `hasArrived` says so. */
  get lastSequence(): number {
    return this.#nextSequence - 1;
  }
  hasArrived(sequence: number): boolean {
    const oldest = this.#unacknowledged[0];
    return oldest === undefined || oldest.sequence > sequence;
  }
  get deadlineMs(): number {
    return Math.min(this.#isUp ? this.#acknowledgeAtMs : Infinity, this.#maySend ? this.#resendAtMs : Infinity);
  }

  step(input: StreamInput): StreamEffect[] {
    switch (input.kind) {
      case "send": {
        const entry = { sequence: this.#nextSequence++, message: input.message };
        this.#unacknowledged.push(entry);
        if (this.#resendAtMs === Infinity) this.#resendAtMs = input.atMs + RESEND_AFTER_MS;
        return this.#maySend ? [this.#numbered(entry)] : [];
      }
      case "frame-received":
        return this.#receive(input.frame, input.atMs);
      case "link-up":
        this.#isUp = true;
        return this.#resend(input.atMs, Infinity);
      case "link-down":
        this.#isUp = false;
        return [];
      case "closed":
        this.#isClosed = true;
        return [];
      case "opened":
        this.#isClosed = false;
        return this.#resend(input.atMs, Infinity);
      case "view-adopted":
        return this.#adopt(input.number, input.isMember, input.atMs);
      case "time-passed":
        return [
          ...(this.#maySend && this.#resendAtMs <= input.atMs ? this.#resend(input.atMs, RESEND_COUNT_MAX) : []),
          ...(this.#isUp && this.#acknowledgeAtMs <= input.atMs ? [this.#bare()] : []),
        ];
    }
  }

  get #maySend(): boolean {
    return this.#isUp && !this.#isClosed;
  }

  #receive(frame: Frame, atMs: number): StreamEffect[] {
    assert(frame.fromIncarnation === this.#options.peerIncarnation, "a stream joins exactly two incarnations");
    this.#takeAcknowledgement(frame.acknowledged, atMs);
    if (frame.body === undefined || frame.sequence === undefined) return [];
    if (frame.view > this.#view) {
      if (this.#early.length < EARLY_COUNT_MAX) this.#early.push(frame);
      return [];
    }
    this.#acknowledgeAtMs = Math.min(this.#acknowledgeAtMs, atMs + ACKNOWLEDGE_AFTER_MS);
    // Refused, a duplicate, or behind one that was refused: the acknowledgement owed tells our number and view.
    if (frame.view < this.#view || frame.sequence !== this.#received + 1) return [];
    this.#received = frame.sequence;
    this.#receivedSinceAcknowledged++;
    const delivered: StreamEffect[] = [{ kind: "deliver", message: frame.body }];
    if (this.#receivedSinceAcknowledged >= ACKNOWLEDGE_AFTER_COUNT && this.#isUp) delivered.push(this.#bare());
    return delivered;
  }

  #takeAcknowledgement(acknowledged: number, atMs: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, acknowledged);
    const before = this.#unacknowledged.length;
    while (this.#unacknowledged.length > 0 && this.#unacknowledged[0]!.sequence <= acknowledged) this.#unacknowledged.shift();
    if (this.#unacknowledged.length === 0) this.#resendAtMs = Infinity;
    else if (this.#unacknowledged.length < before) this.#resendAtMs = atMs + RESEND_AFTER_MS;
  }

  #adopt(number: number, isMember: boolean, atMs: number): StreamEffect[] {
    this.#view = number;
    const early = this.#early;
    this.#early = [];
    if (!isMember) {
      // A member that left comes back under another incarnation, save one that never knew it was in; it has taken nothing.
      this.#unacknowledged = [];
      this.#resendAtMs = Infinity;
      if (this.#acknowledged === 0) this.#nextSequence = 1;
    }
    return [...this.#resend(atMs, Infinity), ...early.flatMap((frame) => this.#receive(frame, atMs))];
  }

  #resend(atMs: number, countMax: number): StreamEffect[] {
    if (!this.#maySend || this.#unacknowledged.length === 0) return [];
    this.#resendAtMs = atMs + RESEND_AFTER_MS;
    return this.#unacknowledged.slice(0, countMax).map((entry) => this.#numbered(entry));
  }

  #numbered(entry: Unacknowledged): StreamEffect {
    return { kind: "transmit", frame: this.#frame(entry.sequence, entry.message) };
  }

  #bare(): StreamEffect {
    return { kind: "transmit", frame: this.#frame() };
  }

  /** Every frame that leaves acknowledges; so nothing is owed after it. */
  #frame(sequence?: number, body?: Message): Frame {
    this.#acknowledgeAtMs = Infinity;
    this.#receivedSinceAcknowledged = 0;
    const { id: from, incarnation: fromIncarnation, peerIncarnation: toIncarnation } = this.#options;
    const [view, acknowledged] = [this.#view, this.#received];
    if (sequence === undefined || body === undefined) return { from, fromIncarnation, toIncarnation, view, acknowledged };
    return { from, fromIncarnation, toIncarnation, view, acknowledged, sequence, body };
  }
}
