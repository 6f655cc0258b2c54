/**
 * Signs of life of an application that serves a session: said by the program's own event loop, so that a process that
 * stands still or has ended is noticed when its session has a lease (dmapi/application-lease.ts).
 *
 * Begins with the first call for events, since only who serves the session may speak for it. Never keeps a program running.
 *
 * Units     milliseconds.
 */
import { DmError } from "../dmapi/errors.js";
import type { SessionId } from "../dmapi/ids.js";
import type { Connection } from "./connection.js";

/** Until it is tried again, when this node is not a member for the moment. */
const AGAIN_MS = 300;
/** Without a lease: one may be given to the session at any time. */
const LONGEST_MS = 5_000;
const SHORTEST_MS = 100;

export class LifeSign {
  readonly #connection: Connection;
  readonly #session: SessionId;
  #hasBegun = false;

  constructor(connection: Connection, session: SessionId) {
    this.#connection = connection;
    this.#session = session;
  }
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    void this.#say();
  }

  #after(delayMs: number): void {
    setTimeout(() => void this.#say(), delayMs).unref();
  }
  async #say(): Promise<void> {
    if (!this.#connection.isOpen) return;
    try {
      const { leaseMs = Number.POSITIVE_INFINITY } = await this.#connection.call("session.renew", { session: this.#session });
      this.#after(Math.max(SHORTEST_MS, Math.min(LONGEST_MS, leaseMs / 4)));
    } catch (error) {
      if (!(error instanceof DmError)) throw error;
      // The session has gone, or this daemon knows no leases; else it is not a member for the moment.
      if (error.code !== "EINVAL" && error.code !== "ENOSYS") this.#after(AGAIN_MS);
    }
  }
}
