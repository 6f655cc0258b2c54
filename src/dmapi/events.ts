/**
 * Events: what a DM application is told, as an exhaustive union.
 *
 * Units     offsets and lengths in bytes; a data event's length 0 means "to the end of the file".
 * Source    XDSM C429 chapter 3; numbers as in SGI's dmapi.h.
 */
import type { DmCode } from "./errors.js";
import type { EventId, GroupName, Handle, NodeId, SessionId, Token } from "./ids.js";

export const eventNumbers = {
  cancel: 0, mount: 1, preunmount: 2, unmount: 3, debut: 4, create: 5, close: 6, postcreate: 7, remove: 8,
  postremove: 9, rename: 10, postrename: 11, link: 12, postlink: 13, symlink: 14, postsymlink: 15, read: 16, write: 17,
  truncate: 18, attribute: 19, destroy: 20, nospace: 21, user: 22,
} as const;
export type EventType = keyof typeof eventNumbers;
export const eventTypes = Object.keys(eventNumbers) as EventType[];

/** Bit `1 << eventNumbers[type]` for each member. */
export type EventSet = number;
export function eventSet(types: Iterable<EventType>): EventSet {
  let set = 0;
  for (const type of types) set |= 1 << eventNumbers[type];
  return set >>> 0;
}
export function hasEvent(set: EventSet, type: EventType): boolean {
  return (set & (1 << eventNumbers[type])) !== 0;
}
export function eventsIn(set: EventSet): EventType[] {
  return eventTypes.filter((type) => hasEvent(set, type));
}

/** Synchronous: the user waits for the answer. The rest are told after the fact, before the user's call returns. */
const synchronous = eventSet([
  "mount", "preunmount", "unmount", "nospace", "create", "remove", "rename", "link", "symlink", "read", "write", "truncate",
]);
export function isSynchronous(type: EventType): boolean {
  return hasEvent(synchronous, type);
}
export function isDataEvent(type: EventType): type is "read" | "write" | "truncate" {
  return type === "read" || type === "write" || type === "truncate";
}
/** What `dm_set_disp` takes for a file system (the global handle takes only mount). XDSM 3.2. */
export const dispositionEvents: EventSet = eventSet(
  eventTypes.filter((type) => !["mount", "cancel", "user", "debut"].includes(type)),
);
/** What `dm_set_eventlist` takes for a file system, a directory, another object. XDSM 3.2. */
export const eventListEvents = {
  fs: eventSet([
    "preunmount", "unmount", "nospace", "create", "postcreate", "remove", "postremove", "rename", "postrename", "link",
    "postlink", "symlink", "postsymlink", "attribute", "close", "destroy", "read", "write", "truncate",
  ]),
  directory: eventSet([
    "create", "postcreate", "remove", "postremove", "rename", "postrename", "link", "postlink", "symlink",
    "postsymlink", "attribute", "close", "destroy",
  ]),
  file: eventSet(["attribute", "close", "destroy"]),
} as const;

export interface DataEvent {
  readonly type: "read" | "write" | "truncate";
  readonly handle: Handle;
  readonly offset: number;
  readonly length: number;
}
/** Namespace events and their post forms; which field means what: XDSM 3.3. Names are bytes, here latin1 text. */
export interface NamespaceEvent {
  readonly type:
    | "create" | "postcreate" | "remove" | "postremove" | "rename" | "postrename" | "link" | "postlink" | "symlink"
    | "postsymlink" | "preunmount" | "unmount" | "nospace";
  readonly handle1: Handle;
  readonly name1?: string;
  readonly handle2?: Handle;
  readonly name2?: string;
  readonly mode?: number;
  /** 0 or an errno; post forms and unmount only. */
  readonly returnCode?: number;
}
export interface ObjectEvent {
  readonly type: "attribute" | "close" | "debut";
  readonly handle: Handle;
}
export interface DestroyEvent {
  readonly type: "destroy";
  readonly handle: Handle;
  readonly attributeName?: string;
  readonly attributeCopy?: Uint8Array;
}
export interface MountEvent {
  readonly type: "mount";
  readonly fsHandle: Handle;
  readonly mountpoint: string;
  readonly source: string;
  readonly rootHandle: Handle;
  readonly isReadOnly: boolean;
}
export interface CancelEvent {
  readonly type: "cancel";
  readonly cancelledToken: Token;
  readonly cancelledSequence: number;
}
export interface UserEvent {
  readonly type: "user";
  readonly data: Uint8Array;
}
/** What a user's operation, or a data manager, makes known. XDSM "Events". */
export type DmEvent = DataEvent | NamespaceEvent | ObjectEvent | DestroyEvent | MountEvent | CancelEvent | UserEvent;

/** An event as an application receives it. `token` is absent for asynchronous ones. */
export interface EventMessage {
  readonly session: SessionId;
  readonly fs: string;
  readonly source: NodeId;
  /** Grows by one per (source incarnation, session): the order of raising. */
  readonly sequence: number;
  readonly token?: Token | undefined;
  /**
   * Of an asynchronous event of a durable session: it is in the session's log until acknowledged, and has the same id
   * each time it is offered.
   */
  readonly id?: EventId | undefined;
  readonly event: DmEvent;
  /** Who waits; absent for events no user process caused. */
  readonly process?: ProcessInfo | undefined;
  /** Set when this is not to be handled but tells what another group member was given (R18). */
  readonly notice?: { readonly group: GroupName; readonly handledBy: NodeId } | undefined;
}
/** The answer to a synchronous event. */
export interface EventAnswer {
  readonly token: Token;
  readonly response: DmResponse;
  readonly data?: Uint8Array | undefined;
}
export interface ProcessInfo {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly command: string;
}

/** The answer to a synchronous event. XDSM dm_respond_event. */
export type DmResponse =
  | { readonly kind: "continue" }
  | { readonly kind: "abort"; readonly code: DmCode }
  | { readonly kind: "dont-care" };
