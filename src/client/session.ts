/**
 * A session: the name under which an application gets events and acts on objects. It belongs to its node, not to this
 * process: it outlives the application until destroyed, and another process may take it up.
 *
 * Owns      events received but not yet handed to the loop.
 * Source    XDSM C429 sessions, dm_get_events; requirements R1, R2, R6, R13, R14.
 */
import { DmError } from "../dmapi/errors.js";
import type { EventAnswer, EventMessage, EventType } from "../dmapi/events.js";
import type { FsName, GroupName, Handle, SessionId, Token } from "../dmapi/ids.js";
import type { DispositionEntry, SessionEntry } from "../dmapi/status.js";
import type { ApplicationLease } from "../dmapi/application-lease.js";
import type { Connection } from "./connection.js";
import { type Event, receivedEvent } from "./events.js";
import type { InvisibleFile } from "./invisible-file.js";
import { LifeSign } from "./life-sign.js";
import { ManagedObject } from "./managed-object.js";
import { OutstandingToken } from "./rights.js";

export interface EventsOptions {
  /** Ends the loop; what was received meanwhile is kept for the next loop on this session. */
  readonly signal?: AbortSignal;
  /** At most so many in one call to the daemon. */
  readonly max?: number;
  /**
   * The loop goes on until its signal, so the next events are asked for in the same message as the answer to the last one.
   * They then may come to this process before its loop is back for them, an answer is not waited for, and one that is
   * refused (a token answered before, a session that is gone) ends the loop with its error.
   */
  readonly isAhead?: boolean;
}

interface Limits {
  readonly max?: number | undefined;
  readonly waitMs?: number | undefined;
  readonly signal?: AbortSignal;
  readonly begun?: (giveUp: () => void) => void;
}

export class Session {
  readonly connection: Connection;
  readonly id: SessionId;
  #info: string;
  readonly #lifeSign: LifeSign;
  readonly #received: EventMessage[] = [];
  #askAhead: ((answer: EventAnswer) => boolean) | undefined;

  constructor(connection: Connection, id: SessionId, info: string) {
    this.connection = connection;
    this.id = id;
    this.#info = info;
    this.#lifeSign = new LifeSign(connection, id);
  }
  get info(): string {
    return this.#info;
  }
  query(): Promise<SessionEntry> {
    return this.connection.call("session.query", { session: this.id });
  }
  /** @throws DmError E2BIG; EINVAL the lease names a standby that is not there. A lease of null ends it. */
  async modify(info: string, options: { lease?: ApplicationLease | null; isDurable?: boolean } = {}): Promise<void> {
    await this.connection.call("session.modify", { session: this.id, info, ...options });
    this.#info = info;
  }
  /** @throws DmError EBUSY events are outstanding or queued. */
  async destroy(): Promise<void> {
    await this.connection.call("session.destroy", { session: this.id });
  }

  /** The complete set of events of that file system which come to this session ("global" for mounts), from any node. */
  async setDisposition(fs: string, events: readonly EventType[], options: { group?: string } = {}): Promise<void> {
    const owner = options.group === undefined ? { session: this.id } : { group: options.group as GroupName };
    await this.connection.call("disposition.set", { ...owner, fs: fs as FsName | "global", events });
  }
  dispositions(): Promise<readonly DispositionEntry[]> {
    return this.connection.call("disposition.list", { session: this.id });
  }

  /** Events in order, until the signal ends the loop. @throws DmError ENOTREADY the daemon is gone; EINVAL the session is. */
  async *events(options: EventsOptions = {}): AsyncGenerator<Event, void, undefined> {
    const isStopped = () => options.signal?.aborted === true;
    let giveUp: (() => void) | undefined;
    let hasEnded = false;
    const stop = () => {
      hasEnded = true;
      giveUp?.();
    };
    const begun = (how: () => void) => {
      giveUp = how;
    };
    if (isStopped()) return;
    options.signal?.addEventListener("abort", stop, { once: true });
    const limits = { max: options.max, begun };
    let asked: Promise<readonly EventMessage[]> | undefined;
    if (options.isAhead === true) {
      this.#askAhead = (answer) => {
        if (asked !== undefined || this.#received.length > 0 || hasEnded) return false;
        asked = this.#get(limits, [answer]);
        asked.catch(() => {}); // the loop hears of it when it is back
        return true;
      };
    }
    try {
      while (!isStopped()) {
        const next = this.#received.shift();
        if (next !== undefined) {
          yield receivedEvent(this, next);
          continue;
        }
        asked ??= this.#get(limits);
        const messages = await asked;
        asked = undefined;
        this.#received.push(...messages);
      }
    } catch (error) {
      if (!(error instanceof DmError && error.code === "EINTR" && isStopped())) throw error;
    } finally {
      this.#askAhead = undefined;
      options.signal?.removeEventListener("abort", stop);
      asked?.then((messages) => this.#received.push(...messages), () => {});
      stop();
    }
  }
  /** Gives an answer together with the question for the next events, where a loop with `isAhead` has none to hand out. */
  answerAhead(answer: EventAnswer): boolean {
    return this.#askAhead?.(answer) ?? false;
  }
  /** What is queued, waiting up to `waitMs` for a first one; an empty list when there is none. */
  async getEvents(options: { max?: number; waitMs?: number; signal?: AbortSignal } = {}): Promise<Event[]> {
    if (this.#received.length === 0) {
      try {
        this.#received.push(...(await this.#get({ waitMs: 0, ...options })));
      } catch (error) {
        if (!(error instanceof DmError) || error.code !== "EAGAIN") throw error;
      }
    }
    return this.#received.splice(0, options.max ?? this.#received.length).map((message) => receivedEvent(this, message));
  }
  #get({ max, waitMs, ...how }: Limits, answers?: readonly EventAnswer[]): Promise<readonly EventMessage[]> {
    this.#lifeSign.begin();
    const options = { whenLate: this.#whenLate, isPrompt: answers !== undefined, ...how };
    return this.connection.call("event.get", { session: this.id, max, waitMs, answers }, options);
  }
  readonly #whenLate = (result: unknown) => void this.#received.push(...(result as EventMessage[]));

  /** These durable events are dealt with; with `isUpTo` also all before each of them from the same source. */
  async acknowledge(ids: readonly string[], options: { isUpTo?: boolean } = {}): Promise<void> {
    await this.connection.call("event.acknowledge", { session: this.id, ids, ...options });
  }

  /** Tokens of events delivered but not answered, also to another process. XDSM dm_getall_tokens. */
  tokens(): Promise<readonly Token[]> {
    return this.connection.call("token.list", { session: this.id });
  }
  /** The event of an outstanding token again: the tool after a crash of the application. @throws DmError ESRCH, EINVAL */
  async findEvent(token: Token): Promise<Event> {
    return receivedEvent(this, await this.connection.call("event.find", { session: this.id, token }));
  }
  /** An event of our own that is outstanding at once: a token to hold rights with. `data` comes back by `findEvent`. */
  async createUserEvent(data: Uint8Array): Promise<OutstandingToken> {
    const { token } = await this.connection.call("userevent.create", { session: this.id, data });
    return new OutstandingToken(this, token);
  }
  async moveEvent(token: Token, target: SessionId): Promise<Token> {
    return (await this.connection.call("event.move", { session: this.id, token, target })).token;
  }

  /** The object's calls; with a token they use its rights, without they take what they need for their own duration. */
  object(handle: Handle, token?: Token | OutstandingToken): ManagedObject {
    return new ManagedObject(this, handle, token instanceof OutstandingToken ? token.token : token);
  }
  /** A descriptor for invisible I/O at the file system's own speed. See `ManagedObject.openInvisible`. */
  openInvisible(handle: Handle, options: { mode: "read" | "exclusive"; token?: Token; waitMs?: number; keepsMark?: boolean }): Promise<InvisibleFile> {
    return this.object(handle, options.token).openInvisible(options);
  }
}
