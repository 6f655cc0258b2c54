/**
 * Test support: the event logs in memory, as whoever keeps the files would answer. A place is the number of events before it.
 */
import type { EventLogResults, EventLogWork, LogCursor, LoggedEvent, LogName } from "./event-log.js";

export class EventLogModel {
  readonly #logs = new Map<string, { readonly log: LogName; readonly events: LoggedEvent[] }>();
  readonly #cursors = new Map<number, readonly LogCursor[]>();

  run(work: EventLogWork): EventLogResults[EventLogWork["kind"]] {
    switch (work.kind) {
      case "append":
        return {
          batches: work.batches.map(({ log, events }) => {
            const key = keyOf(log);
            const kept = this.#logs.get(key) ?? { log, events: [] };
            this.#logs.set(key, kept);
            kept.events.push(...events);
            return { segment: 1, offset: kept.events.length };
          }),
        };
      case "list":
        return {
          logs: [...this.#logs.values()].filter(({ log }) => log.session === work.session).map(({ log: { node, incarnation } }) => ({ node, incarnation })),
          cursors: this.#cursors.get(work.session) ?? [],
        };
      case "read": {
        const from = work.from?.offset ?? 0;
        const all = this.#logs.get(keyOf(work.log))?.events ?? [];
        const events = all.slice(from, from + work.max);
        const offset = from + events.length;
        return { events: events.filter(({ sequence }) => sequence > work.after), place: { segment: 1, offset }, isAtEnd: offset === all.length, isGap: false };
      }
      case "acknowledge":
        this.#cursors.set(work.session, work.cursors);
        return {};
      case "trim":
        return { isGone: work.isOver && this.#logs.delete(keyOf(work.log)) };
      case "remove":
        for (const [key, { log }] of this.#logs) if (log.session === work.session) this.#logs.delete(key);
        this.#cursors.delete(work.session);
        return {};
      case "sessions":
        return { sessions: [...new Set([...this.#logs.values()].map(({ log }) => log.session))] };
    }
  }
}

function keyOf({ session, node, incarnation }: LogName): string {
  return `${session} ${node} ${incarnation}`;
}
