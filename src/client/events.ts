/**
 * Events as an application meets them: the exhaustive union of dmapi/events.ts, each with who caused it and its answers.
 *
 * `switch (event.type)` without a default lets the compiler name a forgotten one. An asynchronous event waits for nobody:
 * `continue()` on it does nothing, so that one loop serves both kinds.
 *
 * Source    XDSM C429 chapter 3, dm_respond_event; requirement R19.
 */
import { DmError, type DmCode } from "../dmapi/errors.js";
import type { DmEvent, EventMessage, ProcessInfo } from "../dmapi/events.js";
import type { EventId, Handle, NodeId, Token } from "../dmapi/ids.js";
import { type HeldRight, OutstandingToken } from "./rights.js";
import type { Session } from "./session.js";

export class EventContext {
  /** The message as it came; `message.source` is the node on which the event was raised. */
  readonly message: EventMessage;
  readonly session: Session;
  readonly #outstanding: OutstandingToken | undefined;

  constructor(session: Session, message: EventMessage) {
    this.session = session;
    this.message = message;
    this.#outstanding = message.token === undefined ? undefined : new OutstandingToken(session, message.token);
  }
  get fs(): string {
    return this.message.fs;
  }
  /** The node of the user whose operation this is. */
  get node(): NodeId {
    return this.message.source;
  }
  get process(): ProcessInfo | undefined {
    return this.message.process;
  }
  /** Absent for an asynchronous event. */
  get token(): Token | undefined {
    return this.message.token;
  }
  /** Set when another member of the group handles this event and we are only told (requirement R18). */
  get notice(): EventMessage["notice"] {
    return this.message.notice;
  }
  /** Whether a user waits for the answer. */
  get isOutstanding(): boolean {
    return this.#outstanding?.isOutstanding ?? false;
  }
  /** The token with its rights. @throws DmError EINVAL on an asynchronous event. */
  get outstanding(): OutstandingToken {
    if (this.#outstanding === undefined) throw new DmError("EINVAL", "event.respond", `a ${this.message.event.type} event has no token`);
    return this.#outstanding;
  }

  /** The user's operation proceeds; rights under the token are released. */
  async continue(data?: Uint8Array): Promise<void> {
    if (this.#outstanding !== undefined) await this.#outstanding.respond({ kind: "continue" }, data);
  }
  /** The user's operation fails with that code. @throws DmError EINVAL on an asynchronous event. */
  async abort(code: DmCode, data?: Uint8Array): Promise<void> {
    await this.outstanding.respond({ kind: "abort", code }, data);
  }
  /** "Not interested": for mount events only. @throws DmError EINVAL on any other. */
  async dontCare(): Promise<void> {
    await this.outstanding.respond({ kind: "dont-care" });
  }
  /** Names a durable event, the same each time it is offered: who has seen it already can tell. Absent: not durable. */
  get id(): EventId | undefined {
    return this.message.id;
  }
  /**
   * A durable event is dealt with and is never offered again, whatever fails from now on; with `isUpTo` also all before it
   * from the same source. Nothing is done for other events. Safe to repeat.
   */
  async acknowledge(options: { isUpTo?: boolean } = {}): Promise<void> {
    if (this.message.id !== undefined) await this.session.acknowledge([this.message.id], options);
  }
  /** A right under this event's token. */
  requestRight(handle: Handle, right: "shared" | "exclusive", options?: { wait?: boolean }): Promise<HeldRight> {
    return this.outstanding.requestRight(handle, right, options);
  }
}

/** Each member of `DmEvent` together with its context: narrowing by `type` narrows the fields. */
type WithContext<E> = E extends DmEvent ? EventContext & Readonly<E> : never;
export type Event = WithContext<DmEvent>;

export function receivedEvent(session: Session, message: EventMessage): Event {
  return Object.assign(new EventContext(session, message), message.event) as Event;
}
