/**
 * Names of the things a cluster talks about.
 *
 * Units     ids that C programs print (`SessionId`, `Token`) are positive whole numbers below 2^31.
 * Source    XDSM C429 sessions, tokens, handles; requirement R16.
 */
import type { Brand } from "../base/brand.js";

/** Name of a cluster member, chosen by the administrator; `[A-Za-z0-9][A-Za-z0-9_.-]{0,62}`. */
export type NodeId = Brand<string, "NodeId">;
/** Which life of a member: grows with each start or rejoin of the same node. */
export type Incarnation = Brand<number, "Incarnation">;
/** Name of a managed file system in the cluster; same rule as a node's. */
export type FsName = Brand<string, "FsName">;
/** Unique for ever in a cluster; made only by the session manager. 0 is "no session" and never a SessionId. */
export type SessionId = Brand<number, "SessionId">;
/** Names one outstanding synchronous event of the cluster; unique among those alive. */
export type Token = Brand<number, "Token">;
/** Names one durable event for ever (cluster/durable-events). */
export type EventId = Brand<string, "EventId">;
/** A DM handle as lower-case hexadecimal text (see handle.ts). */
export type Handle = Brand<string, "Handle">;
/** A group of sessions that together are one parallel application (requirement R17). */
export type GroupName = Brand<string, "GroupName">;
/** Names one request of one incarnation, so that a retry is recognised. */
export type RequestId = Brand<string, "RequestId">;
/** Names a user operation that waits in the reactor of its node; unique in that node's incarnation. */
export type OperationId = Brand<number, "OperationId">;

export const NO_SESSION = 0;
export const SESSION_INFO_LENGTH_MAX = 256; // bytes with the final NUL, XDSM DM_SESSION_INFO_LEN
export const SESSIONS_PER_NODE_MAX = 4000;
export const MESSAGE_DATA_LENGTH_MAX = 4096;
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;
