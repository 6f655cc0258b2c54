/**
 * A DM session in a test, driven by the plain calls of dmapi/calls.ts.
 */
import assert from "node:assert/strict";
import { DmError } from "../dmapi/errors.js";
import type { DmResponse, EventMessage, EventType } from "../dmapi/events.js";
import type { FsName, Handle, SessionId } from "../dmapi/ids.js";
import type { ManagedRegion } from "../dmapi/regions.js";
import type { Bench, Letter } from "./bench.js";
import { BOUND_MS } from "./waiting.js";

export interface Server {
  readonly seen: EventMessage[];
  /** Ends it; throws what went wrong meanwhile. */
  stop(): Promise<void>;
}

export class DmSession {
  readonly bench: Bench;
  readonly id: SessionId;
  /** Where its calls are made; changes when the session is assumed elsewhere. */
  letter: Letter;
  constructor(bench: Bench, letter: Letter, id: SessionId) {
    this.bench = bench;
    this.letter = letter;
    this.id = id;
  }

  /** The next event, within the bound. */
  async next(boundMs = BOUND_MS): Promise<EventMessage> {
    const [message] = await this.bench.call(this.letter, "event.get", { session: this.id, max: 1, waitMs: boundMs });
    assert(message !== undefined, "event.get gives at least one event or fails");
    return message;
  }
  /** What is queued now; empty when nothing is. */
  async queued(): Promise<readonly EventMessage[]> {
    try {
      return await this.bench.call(this.letter, "event.get", { session: this.id, waitMs: 0 });
    } catch (error) {
      if (error instanceof DmError && error.code === "EAGAIN") return [];
      throw error;
    }
  }
  async respond(message: EventMessage, response: DmResponse = { kind: "continue" }): Promise<void> {
    assert(message.token !== undefined, `a ${message.event.type} event without a token is not answered`);
    await this.bench.call(this.letter, "event.respond", { session: this.id, token: message.token, response });
  }
  /** Takes the next event, checks its type, answers it. */
  async answerNext(type: EventType, response: DmResponse = { kind: "continue" }): Promise<EventMessage> {
    const message = await this.next();
    assert.equal(message.event.type, type);
    await this.respond(message, response);
    return message;
  }
  /** Answers everything that comes until stopped; `seen` has what came, in order. */
  serve(answer: (message: EventMessage) => DmResponse | Promise<DmResponse> = () => ({ kind: "continue" })): Server {
    const seen: EventMessage[] = [];
    let isStopped = false;
    const work = (async () => {
      while (!isStopped) {
        try {
          const messages = await this.bench.call(this.letter, "event.get", { session: this.id, waitMs: 300 });
          for (const message of messages) {
            seen.push(message);
            if (message.token !== undefined && message.notice === undefined) await this.respond(message, await answer(message));
          }
        } catch (error) {
          if (!(error instanceof DmError && error.code === "EAGAIN")) throw error;
        }
      }
    })();
    work.catch(() => {}); // stop() tells it
    return {
      seen,
      stop: async () => {
        isStopped = true;
        await work;
      },
    };
  }
  async takes(fs: string, events: readonly EventType[]): Promise<void> {
    await this.bench.call(this.letter, "disposition.set", { session: this.id, fs: fs as FsName, events });
  }
  /** Which events the whole file system raises. */
  async enable(fs: string, events: readonly EventType[]): Promise<void> {
    await this.bench.call(this.letter, "eventlist.set", { session: this.id, handle: await this.bench.fsHandle(fs, this.letter), events });
  }
  async regions(handle: Handle, regions: readonly ManagedRegion[]): Promise<void> {
    await this.bench.call(this.letter, "region.set", { session: this.id, handle, regions });
  }
  /** Its last events are let go on, then it is destroyed. */
  async end(): Promise<void> {
    for (const token of await this.bench.call(this.letter, "token.list", { session: this.id })) {
      await this.bench.call(this.letter, "event.respond", { session: this.id, token, response: { kind: "continue" } });
    }
    await this.queued().then((messages) => Promise.all(messages.filter((m) => m.token !== undefined).map((m) => this.respond(m))));
    await this.bench.call(this.letter, "session.destroy", { session: this.id });
  }
}
