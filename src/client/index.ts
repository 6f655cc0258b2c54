/**
 * The SDK: what `import ... from "sluice"` gives.
 */
export { connect, Connection, type ConnectOptions } from "./connection.js";
export { Session, type EventsOptions } from "./session.js";
export { type Event, EventContext } from "./events.js";
export { HeldRight, OutstandingToken } from "./rights.js";
export { ManagedObject } from "./managed-object.js";
export { InvisibleFile } from "./invisible-file.js";
export { FileSystem, type NamedObject } from "./file-system.js";
export { findSocket } from "./find-node.js";
export { DmError, type DmCode, isRetryable } from "../dmapi/errors.js";
export { type DmEvent, type DmResponse, type EventMessage, type EventType, eventTypes, type ProcessInfo } from "../dmapi/events.js";
export type { FsName, GroupName, Handle, NodeId, SessionId, Token } from "../dmapi/ids.js";
export { type ManagedRegion, regionFlags } from "../dmapi/regions.js";
export type { FileRecord, RecordChange } from "../dmapi/record.js";
export type { Right } from "../dmapi/rights.js";
export type { AuditEntry, DispositionEntry, LogEntry, SessionEntry, StatusDocument, WaiterEntry } from "../dmapi/status.js";
export { type ApplicationLease, type EventClass, eventClasses, type LostFate } from "../dmapi/application-lease.js";
