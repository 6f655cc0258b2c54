/**
 * Whether an application serves a session that has a lease.
 *
 *   served -> lost    nobody was heard of for the length of the lease, since the last sign of life or the last connection's end
 *   lost   -> served  somebody asks for events, answers one, or renews
 *
 * Signs of life are calls that serve the session. A connection whose call for events waits is alive as long as it is
 * there, unless it has shown that it renews: then its silence means that its process stands still.
 *
 * Owns      who was heard of when.
 * Not here  what becomes of the events (session-node.ts).
 * Units     milliseconds of the monotonic clock.
 */
interface Client {
  heardAtMs: number;
  isRenewing: boolean;
}

export class Presence {
  readonly #clients = new Map<number, Client>();
  /** Somebody was heard of, though maybe he is gone: hosting began, or a connection ended. */
  #sinceMs: number;
  isLost = false;

  constructor(nowMs: number, clients: Iterable<number>) {
    this.#sinceMs = nowMs;
    for (const client of clients) this.#clients.set(client, { heardAtMs: nowMs, isRenewing: false });
  }

  /** Whether the session was lost until now. */
  heard(client: number, nowMs: number, isRenewal: boolean): boolean {
    const known = this.#clients.get(client);
    if (known === undefined) this.#clients.set(client, { heardAtMs: nowMs, isRenewing: isRenewal });
    else {
      known.heardAtMs = nowMs;
      known.isRenewing ||= isRenewal;
    }
    const wasLost = this.isLost;
    this.isLost = false;
    return wasLost;
  }
  /** Its call for events has ended; until then it was alive, unless it renews. */
  stoppedWaiting(client: number, nowMs: number): void {
    const known = this.#clients.get(client);
    if (known !== undefined && !known.isRenewing) known.heardAtMs = nowMs;
  }
  gone(client: number, nowMs: number): void {
    if (this.#clients.delete(client) && !this.isLost) this.#sinceMs = nowMs;
  }

  /** Whether events may be given to it. */
  isAlive(client: number, leaseMs: number, nowMs: number): boolean {
    const known = this.#clients.get(client);
    return known === undefined || !known.isRenewing || nowMs < known.heardAtMs + leaseMs;
  }

  /** When the session counts as lost if nothing is heard. `waits`: whether that client's call for events is waiting. */
  lostAtMs(leaseMs: number, waits: (client: number) => boolean): number {
    let heardAtMs = this.#sinceMs;
    for (const [client, { heardAtMs: eachMs, isRenewing }] of this.#clients) {
      if (!isRenewing && waits(client)) return Number.POSITIVE_INFINITY;
      heardAtMs = Math.max(heardAtMs, eachMs);
    }
    return heardAtMs + leaseMs;
  }
}
