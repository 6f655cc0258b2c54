/**
 * The lease of a session's application: how long nobody may serve the session before its events meet the fate that the
 * operator or author chose, for each class of event.
 *
 *   data           read, write, truncate
 *   namespace      all other synchronous events on objects and names
 *   mount          mount, preunmount, unmount
 *   asynchronous   what waits in the queue while its user has gone on
 *
 * A class that is not named waits. Messages to a session (`user`) always wait: they were meant for it alone.
 *
 * Units     milliseconds.
 * Source    blueprint 7, application leases; safety M4; XDSM has nothing of the kind.
 */
import { type DmCode, errnoOf } from "./errors.js";
import { type EventType, isDataEvent } from "./events.js";
import type { SessionId } from "./ids.js";

export const eventClasses = ["data", "namespace", "mount", "asynchronous"] as const;
export type EventClass = (typeof eventClasses)[number];

export type LostFate =
  /** Kept; offered again, under the same token, to the application that comes. */
  | { readonly kind: "wait" }
  /** Offered under the same token to that session; without one, to another member of the session's group. */
  | { readonly kind: "standby"; readonly session?: SessionId }
  /** The user's operation fails so. Not for asynchronous events, whose operation has run. */
  | { readonly kind: "errno"; readonly code: DmCode };

export interface ApplicationLease {
  readonly afterMs: number;
  readonly onLost: Readonly<Partial<Record<EventClass, LostFate>>>;
}

export const LEASE_MIN_MS = 1_000;
export const LEASE_MAX_MS = 30 * 86_400_000;

/** Undefined: the event waits, whatever the lease says. */
export function classOf(type: EventType, isSynchronous: boolean): EventClass | undefined {
  if (type === "user" || type === "cancel") return undefined;
  if (!isSynchronous) return "asynchronous";
  if (isDataEvent(type)) return "data";
  return type === "mount" || type === "preunmount" || type === "unmount" ? "mount" : "namespace";
}

/** What is wrong with a lease from a stranger, in words; undefined when it has the right form. */
export function faultOfLease(lease: unknown): string | undefined {
  if (!isMap(lease)) return "a lease has afterMs and onLost";
  const { afterMs, onLost = {} } = lease;
  if (typeof afterMs !== "number" || !Number.isInteger(afterMs) || afterMs < LEASE_MIN_MS || afterMs > LEASE_MAX_MS) {
    return `a lease lasts a whole number of milliseconds from ${LEASE_MIN_MS} to ${LEASE_MAX_MS}`;
  }
  if (!isMap(onLost)) return "onLost names a fate for classes of events";
  for (const [name, fate] of Object.entries(onLost)) {
    if (!(eventClasses as readonly string[]).includes(name)) return `there is no class of events "${name.slice(0, 40)}"; there are ${eventClasses.join(", ")}`;
    const fault = faultOfFate(fate);
    if (fault !== undefined) return `${name}: ${fault}`;
    if (name === "asynchronous" && isMap(fate) && fate["kind"] === "errno") return "asynchronous: the user's operation has run already and cannot fail any more; choose wait or standby";
  }
  return undefined;
}

function faultOfFate(fate: unknown): string | undefined {
  if (!isMap(fate)) return "a fate is wait, standby or errno";
  const { kind, session, code } = fate;
  switch (kind) {
    case "wait":
      return undefined;
    case "standby":
      if (session === undefined || (typeof session === "number" && Number.isInteger(session) && session > 0 && session < 2 ** 31)) return undefined;
      return "the standby is no session id";
    case "errno":
      if (typeof code === "string" && Object.hasOwn(errnoOf, code) && code !== "ENOTREADY") return undefined;
      return "no such errno";
    default:
      return "a fate is wait, standby or errno";
  }
}
function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** For people: "data to session 7, namespace fails with EIO, the rest waits". */
export function describeLease({ afterMs, onLost }: ApplicationLease): string {
  const parts = eventClasses.flatMap((name) => {
    const fate = onLost[name];
    return fate === undefined || fate.kind === "wait" ? [] : [`${name} ${describeFate(fate)}`];
  });
  return `${afterMs} ms: ${parts.length === 0 ? "all waits" : `${parts.join(", ")}${parts.length < eventClasses.length ? ", the rest waits" : ""}`}`;
}
export function describeFate(fate: LostFate): string {
  switch (fate.kind) {
    case "wait": return "waits for an application";
    case "standby": return fate.session === undefined ? "goes to another member of the group" : `goes to session ${fate.session}`;
    case "errno": return `fails with ${fate.code}`;
  }
}
