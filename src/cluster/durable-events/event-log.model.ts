/**
 * Test support: the event logs in memory, as whoever keeps the files would answer. A place is the number of events before it.
 */
import type { EventLogResults, EventLogWork, LogCursor, LoggedEvent, LogName } from "./event-log.js";

export class EventLogModel {
  readonly #logs = new Map<string, { readonly log: LogName; events: LoggedEvent[]; removed: number }>();
  readonly #cursors = new Map<number, readonly LogCursor[]>();

  run(work: EventLogWork): EventLogResults[EventLogWork["kind"]] {
    switch (work.kind) {
      case "append":
        return {
          batches: work.batches.map(({ log, events }) => {
            const key = keyOf(log);
            const kept = this.#logs.get(key) ?? { log, events: [], removed: 0 };
            this.#logs.set(key, kept);
            kept.events.push(...events);
            return { segment: 1, offset: kept.removed + kept.events.length };
          }),
        };
      case "list":
        return {
          logs: [...this.#logs.values()].filter(({ log, events }) => log.session === work.session && events.length > 0).map(({ log: { node, incarnation } }) => ({ node, incarnation })),
          cursors: this.#cursors.get(work.session) ?? [],
        };
      case "read": {
        const { events: all, removed } = this.#logs.get(keyOf(work.log)) ?? { events: [], removed: 0 };
        const from = Math.max(0, (work.from?.offset ?? 0) - removed);
        const events = all.slice(from, from + work.max);
        const offset = removed + from + events.length;
        return { events: events.filter(({ sequence }) => sequence > work.after), place: { segment: 1, offset }, isAtEnd: offset === removed + all.length, isGap: false };
      }
      case "acknowledge":
        this.#cursors.set(work.session, joined([...(this.#cursors.get(work.session) ?? []), ...work.cursors]));
        return {};
      case "trim": {
        const kept = this.#logs.get(keyOf(work.log));
        if (kept === undefined || !work.isOver || (kept.events.at(-1)?.sequence ?? 0) > work.through) return { isGone: false };
        kept.removed += kept.events.length;
        kept.events = [];
        return { isGone: true };
      }
      case "remove":
        for (const [key, { log }] of this.#logs) if (log.session === work.session) this.#logs.delete(key);
        this.#cursors.delete(work.session);
        return {};
      case "sessions":
        return { sessions: [...new Set([...this.#logs.values()].map(({ log }) => log.session))] };
    }
  }
}

/** What was acknowledged once stays so, whichever host wrote it down. */
function joined(cursors: readonly LogCursor[]): LogCursor[] {
  const all = new Map<string, LogCursor>();
  for (const cursor of cursors) {
    const before = all.get(`${cursor.node} ${cursor.incarnation}`);
    const through = Math.max(cursor.through, before?.through ?? 0);
    const beyond = [...new Set([...cursor.beyond, ...(before?.beyond ?? [])])].filter((sequence) => sequence > through);
    all.set(`${cursor.node} ${cursor.incarnation}`, { ...cursor, through, beyond });
  }
  return [...all.values()];
}
function keyOf({ session, node, incarnation }: LogName): string {
  return `${session} ${node} ${incarnation}`;
}
