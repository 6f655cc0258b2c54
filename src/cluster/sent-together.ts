/**
 * Asynchronous events that one turn of this node sends to one session, and the confirmations it sends to one node, go as one
 * message of many: each message has its number, its acknowledgement, its look from outside and its entry in the log.
 *
 * What is collected for a node leaves before anything else does for that node, so the order of the stream is that in which the
 * machine spoke. It has been sent as far as the machine knows; whoever asks how far a stream has come flushes first.
 *
 * Owns      what was said in a turn that is not over.
 * Source    safety C9, M3.
 */
import type { NodeId, Token } from "../dmapi/ids.js";
import type { EventMessageBetweenNodes, Message, RaisedTogether } from "./messages.js";

/** Events, or confirmations, in one message. */
export const TOGETHER_MAX = 256;

type EventRaised = Extract<EventMessageBetweenNodes, { kind: "event-raised" }>;
type EventEnqueued = Extract<EventMessageBetweenNodes, { kind: "event-enqueued" }>;

/** For one node; of one of the two kinds. */
interface Collected {
  raised: EventRaised[];
  enqueued: EventEnqueued[];
}

export class SentTogether {
  readonly #sendNow: (to: NodeId, message: Message) => void;
  readonly #collected = new Map<NodeId, Collected>();
  #count = 0;

  constructor(sendNow: (to: NodeId, message: Message) => void) {
    this.#sendNow = sendNow;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  send(to: NodeId, message: Message): void {
    if (message.kind === "event-enqueued") this.#collectEnqueued(to, message);
    else if (message.kind === "event-raised" && !message.isSynchronous && message.notice === undefined) this.#collectRaised(to, message);
    else {
      this.flush(to);
      this.#sendNow(to, message);
    }
  }

  flush(to: NodeId): void {
    if (this.#count === 0) return;
    const collected = this.#collected.get(to);
    if (collected === undefined) return;
    const { raised, enqueued } = collected;
    if (raised.length > 0) {
      this.#count -= raised.length;
      collected.raised = [];
      this.#sendNow(to, raised.length === 1 ? raised[0]! : raisedTogether(raised));
    }
    if (enqueued.length > 0) {
      this.#count -= enqueued.length;
      collected.enqueued = [];
      this.#sendNow(to, enqueued.length === 1 ? enqueued[0]! : { kind: "events-enqueued", tokens: enqueued.map(({ token }): Token => token) });
    }
  }
  flushAll(): void {
    if (this.#count === 0) return;
    for (const to of this.#collected.keys()) this.flush(to);
    this.#collected.clear();
  }

  #collectRaised(to: NodeId, message: EventRaised): void {
    const known = this.#of(to);
    const first = known.raised[0];
    if (known.enqueued.length > 0 || known.raised.length >= TOGETHER_MAX || (first !== undefined && !mayGoTogether(first, message))) this.flush(to);
    known.raised.push(message);
    this.#count++;
  }
  #collectEnqueued(to: NodeId, message: EventEnqueued): void {
    const known = this.#of(to);
    if (known.raised.length > 0 || known.enqueued.length >= TOGETHER_MAX) this.flush(to);
    known.enqueued.push(message);
    this.#count++;
  }
  #of(to: NodeId): Collected {
    let known = this.#collected.get(to);
    if (known === undefined) {
      known = { raised: [], enqueued: [] };
      this.#collected.set(to, known);
    }
    return known;
  }
}

/** What they have in common is said once. */
function mayGoTogether(a: EventRaised, b: EventRaised): boolean {
  return a.session === b.session && a.fs === b.fs && a.hostGeneration === b.hostGeneration && a.registryVersion === b.registryVersion;
}
function raisedTogether(raised: readonly EventRaised[]): Message {
  const { session, hostGeneration, registryVersion, fs } = raised[0]!;
  return { kind: "events-raised", session, hostGeneration, registryVersion, fs, events: raised.map(withoutCommon) };
}
function withoutCommon({ token, sequence, event, process, raisedOn, passedBy }: EventRaised): RaisedTogether {
  return { token, sequence, event, process, raisedOn, passedBy };
}
