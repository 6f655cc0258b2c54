/**
 * What is promised of durable events, over a history of operations, offers and acknowledgements:
 *
 * - an event whose user was let go on is offered, whatever dies;
 * - nothing is offered that did not happen, and one event has one id;
 * - events of one life of a source come in its order;
 * - an event is not offered after its acknowledgement was answered.
 *
 * Source    safety M11.
 */
import type { Check } from "./check.js";

interface Raised {
  /** Of one whose user had not gone on when its session was lost: the one that succeeds to it, if any does. */
  session: number | "whoever takes it";
  hasGoneOn: boolean;
  /** Under which it was offered. */
  id: string | undefined;
}

export class DurablePromises {
  readonly #check: Check;
  /** By the number of the operation. */
  readonly #raised = new Map<number, Raised>();
  readonly #operations = new Map<string, number>();
  readonly #acknowledged = new Set<string>();
  readonly #tried = new Set<string>();
  /** Of each log, the last sequence that was offered for the first time, and its operation. */
  readonly #last = new Map<string, { readonly sequence: number; readonly operation: number }>();

  constructor(check: Check) {
    this.#check = check;
  }

  raised(operation: number, session: number): void {
    this.#raised.set(operation, { session, hasGoneOn: false, id: undefined });
  }
  /** Its user was let go on: from now on the event is owed. */
  wentOn(operation: number): void {
    const raised = this.#raised.get(operation);
    if (raised !== undefined) raised.hasGoneOn = true;
  }
  /** The session is no more, with all that was promised of it. */
  ended(session: number): void {
    for (const [operation, raised] of this.#raised) {
      if (raised.session !== session) continue;
      if (raised.hasGoneOn) this.#raised.delete(operation);
      else Object.assign(raised, { session: "whoever takes it", id: undefined });
    }
  }

  /** `isJudged` false: by a host that may not know yet that it is none any more. */
  offered(session: number, id: string, operation: number, isJudged = true): void {
    const raised = this.#raised.get(operation);
    if (raised?.session === "whoever takes it") raised.session = session;
    if (!isJudged) {
      if (raised !== undefined && raised.id === undefined) raised.id = id;
      return;
    }
    this.#check(raised !== undefined && raised.session === session, () => `session ${session} is offered ${id}, of an operation ${operation} that nobody did for it`);
    this.#check(!this.#acknowledged.has(key(session, id)), () => `${id} of session ${session} was acknowledged and is offered again`);
    this.#check(raised?.id === undefined || raised.id === id, () => `operation ${operation} has two events, ${raised?.id} and ${id}`);
    this.#check((this.#operations.get(key(session, id)) ?? operation) === operation, () => `${id} of session ${session} names two events`);
    if (raised === undefined || this.#operations.has(key(session, id))) return;
    raised.id = id;
    this.#operations.set(key(session, id), operation);
    const [sequence, log] = [Number(id.slice(0, id.indexOf("."))), key(session, id.slice(id.indexOf(".") + 1))];
    const last = this.#last.get(log);
    this.#check(last === undefined || (last.sequence < sequence && last.operation < operation), () => `${id} of operation ${operation} comes after ${last?.sequence} of operation ${last?.operation} in session ${session}`);
    this.#last.set(log, { sequence, operation });
  }
  /** From now on it may count as acknowledged, whatever becomes of the call. */
  acknowledging(session: number, ids: readonly string[]): void {
    for (const id of ids) this.#tried.add(key(session, id));
  }
  /** The call that said so was answered. */
  acknowledged(session: number, ids: readonly string[]): void {
    for (const id of ids) this.#acknowledged.add(key(session, id));
  }

  /** Offered, and by no call acknowledged. */
  unacknowledged(session: number): string[] {
    return [...this.#raised.values()].flatMap(({ session: of, id }) => (of === session && id !== undefined && !this.#tried.has(key(session, id)) ? [id] : []));
  }
  /** Owed, and never offered. */
  missing(session: number): number[] {
    return [...this.#raised].filter(([, raised]) => raised.session === session && raised.hasGoneOn && raised.id === undefined).map(([operation]) => operation);
  }
}

function key(session: number, id: string): string {
  return `${session} ${id}`;
}
