/**
 * The literal names of XDSM, for programs and people who know them: `import { dm_create_session } from "sluice/dmapi"`.
 *
 * Arguments keep the standard's order; buffers and their lengths become values, results are returned, failures thrown as
 * DmError with the standard's code. `hanp`, `hlen` become a handle (text); DM_NO_TOKEN is `undefined`. Names that the
 * standard has and this version does not serve fail with ENOSYS.
 *
 * Owns      the connection of this process, made by dm_init_service.
 * Source    XDSM C429 chapter 5; docs/dmapi-coverage.md.
 */
import { FS_ATTRIBUTE, HANDLE_ATTRIBUTE, readHandle } from "./file-system.js";
import { type Connection, connect, type ConnectOptions } from "./connection.js";
import { Session } from "./session.js";
import { attributeNameHex, type ManagedObject } from "./managed-object.js";
import type { ArgsOf, Extent, FileAttributes } from "../dmapi/calls.js";
import { DmError, errnoOf, codeOf } from "../dmapi/errors.js";
import { type EventMessage, type EventType, eventNumbers, eventTypes, type MountEvent } from "../dmapi/events.js";
import { GLOBAL_HANDLE, parseHandle } from "../dmapi/handle.js";
import { type FsName, type Handle, NO_SESSION, SESSION_INFO_LENGTH_MAX, type SessionId, type Token } from "../dmapi/ids.js";
import { type ManagedRegion, REGIONS_PER_FILE_MAX, regionFlags } from "../dmapi/regions.js";
import type { Right } from "../dmapi/rights.js";
import { AT_FDCWD, close, open, openAt, procPath } from "../os/files.js";
import { MESSAGE_DATA_LENGTH_MAX } from "../dmapi/ids.js";

export { DmError, GLOBAL_HANDLE as DM_GLOBAL_HAN, NO_SESSION as DM_NO_SESSION, eventNumbers as DM_EVENT };
export const DM_NO_TOKEN = undefined;
export const DM_EV_WAIT = 1;
export const DM_RR_WAIT = 1;
export const DM_WRITE_SYNC = 1;
export const DM_RIGHT_NULL = "null" satisfies Right;
export const DM_RIGHT_SHARED = "shared" satisfies Right;
export const DM_RIGHT_EXCL = "exclusive" satisfies Right;
export const DM_RESP_CONTINUE = 1;
export const DM_RESP_ABORT = 2;
export const DM_RESP_DONTCARE = 3;
export const DM_MSGTYPE_SYNC = 1;
export const DM_MSGTYPE_ASYNC = 2;
export const DM_REGION_NOEVENT = regionFlags.none;
export const DM_REGION_READ = regionFlags.read;
export const DM_REGION_WRITE = regionFlags.write;
export const DM_REGION_TRUNCATE = regionFlags.truncate;

type MaybeToken = Token | undefined;
let connection: Connection | undefined;

function service(call: string): Connection {
  if (connection?.isOpen === true) return connection;
  throw new DmError("ENOTREADY", call, connection === undefined ? "dm_init_service comes first" : "the daemon is gone; call dm_init_service again");
}
function objectOf(call: string, sid: SessionId, handle: Handle, token: MaybeToken): ManagedObject {
  return new Session(service(call), sid, "").object(handle, token);
}
function besides(sid: SessionId, handle: Handle, token: MaybeToken): { session: SessionId; handle: Handle; token?: Token } {
  return { session: sid, handle, ...(token === undefined ? {} : { token }) };
}

// Initialisation and configuration

/**
 * Once per process, and again after the daemon was restarted. Returns the version of the interface.
 * @throws DmError EPERM the interface is not for this user; ENOTREADY no daemon answers.
 */
export async function dm_init_service(options: ConnectOptions = {}): Promise<string> {
  connection?.close();
  connection = await connect(options).catch((error: unknown) => {
    if (error instanceof DmError && error.code === "EACCES") throw new DmError("EPERM", "dm_init_service", error.message, { cause: error });
    throw error;
  });
  const { version } = await connection.status();
  return `Sluice ${version} XDSM (DMAPI) C429`;
}
/** Ends this process's use of the interface; sessions stay. Not in the standard, where the process's end does it. */
export function dm_end_service(): void {
  connection?.close();
  connection = undefined;
}

const configuration = {
  DM_CONFIG_BULKALL: 0, DM_CONFIG_CREATE_BY_HANDLE: 0, DM_CONFIG_DTIME_OVERLOAD: 1, DM_CONFIG_LEGACY: 1, DM_CONFIG_LOCK_UPGRADE: 1,
  DM_CONFIG_MAX_ATTR_ON_DESTROY: 0, DM_CONFIG_MAX_ATTRIBUTE_SIZE: 1022, DM_CONFIG_MAX_HANDLE_SIZE: 64, DM_CONFIG_MAX_MANAGED_REGIONS: REGIONS_PER_FILE_MAX,
  DM_CONFIG_MAX_MESSAGE_DATA: MESSAGE_DATA_LENGTH_MAX, DM_CONFIG_OBJ_REF: 0, DM_CONFIG_PENDING: 0, DM_CONFIG_PERS_ATTRIBUTES: 1, DM_CONFIG_PERS_EVENTS: 1,
  DM_CONFIG_PERS_INHERIT_ATTRIBS: 0, DM_CONFIG_PERS_MANAGED_REGIONS: 1, DM_CONFIG_PUNCH_HOLE: 1, DM_CONFIG_TOTAL_ATTRIBUTE_SPACE: 65_536, DM_CONFIG_WILL_RETRY: 1,
} as const;
export type DmConfig = keyof typeof configuration;
/** @throws DmError EINVAL no such option; EBADF the global handle, or none. */
export async function dm_get_config(handle: Handle, flag: DmConfig): Promise<number> {
  requireHandle("dm_get_config", handle);
  if (!Object.hasOwn(configuration, flag)) throw new DmError("EINVAL", "dm_get_config", `there is no option ${String(flag)}`);
  return configuration[flag];
}
/** The events that can be generated; "debut" never is. */
export async function dm_get_config_events(handle: Handle): Promise<EventType[]> {
  requireHandle("dm_get_config_events", handle);
  return eventTypes.filter((type) => type !== "debut");
}

// Sessions

/** A new session (DM_NO_SESSION), or `oldsid` assumed: always use the id that is returned. */
export async function dm_create_session(oldsid: SessionId | typeof NO_SESSION, info: string): Promise<SessionId> {
  const length = Buffer.byteLength(info) + 1;
  if (length > SESSION_INFO_LENGTH_MAX) throw new DmError("E2BIG", "dm_create_session", `the information string has ${length} bytes with its NUL; at most ${SESSION_INFO_LENGTH_MAX}`);
  const node = service("dm_create_session");
  const session = oldsid === NO_SESSION ? await node.createSession(info) : await node.assumeSession(oldsid, info);
  return session.id;
}
export async function dm_destroy_session(sid: SessionId): Promise<void> {
  await acknowledgeGot(sid, "dm_destroy_session");
  await service("dm_destroy_session").call("session.destroy", { session: sid });
}
export async function dm_getall_sessions(): Promise<SessionId[]> {
  return (await service("dm_getall_sessions").sessions()).map((entry) => entry.id);
}
export async function dm_query_session(sid: SessionId): Promise<string> {
  return (await service("dm_query_session").call("session.query", { session: sid })).info;
}

// Dispositions and events

/** The complete set of the file system's events below `maxevent` that come to `sid`. */
export async function dm_set_disp(sid: SessionId, handle: Handle, token: MaybeToken, events: readonly EventType[], maxevent?: number): Promise<void> {
  const call = "dm_set_disp";
  if (token !== undefined) throw new DmError("EINVAL", call, "a disposition is set without a token");
  const fs = handle === GLOBAL_HANDLE ? "global" : (await fileSystemOf(call, handle, "EINVAL")).name;
  await service(call).call("disposition.set", { session: sid, fs, events, ...(maxevent === undefined ? {} : { below: maxevent }) });
}
/** The file systems (and the global handle) of which `sid` has events, with the events. */
export async function dm_getall_disp(sid: SessionId): Promise<{ handle: Handle; events: EventType[] }[]> {
  const node = service("dm_getall_disp");
  const handles = new Map<string, Handle>([["global", GLOBAL_HANDLE], ...(await node.fileSystems()).map((fs): [string, Handle] => [fs.name, fs.handle])]);
  const byHandle = new Map<Handle, EventType[]>();
  for (const { fs, event } of await node.call("disposition.list", { session: sid })) {
    const handle = handles.get(fs);
    if (handle !== undefined) byHandle.set(handle, [...(byHandle.get(handle) ?? []), event]);
  }
  return [...byHandle].map(([handle, events]) => ({ handle, events }));
}
/** Durable events that this process has got and, by the standard, has thereby taken: the next call says so. */
const got = new Map<SessionId, string[]>();
async function acknowledgeGot(sid: SessionId, call: string): Promise<void> {
  const ids = got.get(sid);
  if (ids === undefined) return;
  await service(call).call("event.acknowledge", { session: sid, ids });
  got.delete(sid);
}
/**
 * Asynchronous messages of a durable session, which the standard has no answer for, are acknowledged by the next call: a
 * program that dies with what it got finds it again after the session was assumed.
 * @throws DmError EAGAIN nothing is queued and DM_EV_WAIT was not given.
 */
export async function dm_get_events(sid: SessionId, maxmsgs: number, flags: number): Promise<readonly EventMessage[]> {
  if ((flags & ~DM_EV_WAIT) !== 0) throw new DmError("EINVAL", "dm_get_events", `flags ${flags} are not known`);
  await acknowledgeGot(sid, "dm_get_events");
  const wait = (flags & DM_EV_WAIT) !== 0 ? {} : { waitMs: 0 };
  const messages = await service("dm_get_events").call("event.get", { session: sid, max: maxmsgs, ...wait });
  const ids = messages.flatMap(({ id }) => (id === undefined ? [] : [id]));
  if (ids.length > 0) got.set(sid, ids);
  if (messages.length === 0) throw new DmError("EAGAIN", "dm_get_events", "no event is queued");
  return messages;
}
/** `reterror` is an errno number: 0 with CONTINUE and DONTCARE, above 0 with ABORT. */
export async function dm_respond_event(sid: SessionId, token: Token, response: number, reterror = 0, data?: Uint8Array): Promise<void> {
  const args = { session: sid, token, response: responseOf(response, reterror), ...(data === undefined ? {} : { data }) };
  await service("dm_respond_event").call("event.respond", args);
}
function responseOf(response: number, reterror: number): ArgsOf<"event.respond">["response"] {
  const isAbort = response === DM_RESP_ABORT;
  if (!Number.isInteger(reterror) || isAbort !== reterror > 0) throw new DmError("EINVAL", "dm_respond_event", `reterror ${reterror} does not go with that response`);
  if (response === DM_RESP_CONTINUE) return { kind: "continue" };
  if (response === DM_RESP_DONTCARE) return { kind: "dont-care" };
  if (!isAbort) throw new DmError("EINVAL", "dm_respond_event", `response ${response} is not known`);
  const code = codeOf(reterror);
  if (errnoOf[code] !== reterror) throw new DmError("EINVAL", "dm_respond_event", `errno ${reterror} is not one that a file operation returns here`);
  return { kind: "abort", code };
}
export async function dm_getall_tokens(sid: SessionId): Promise<readonly Token[]> {
  return service("dm_getall_tokens").call("token.list", { session: sid });
}
export async function dm_find_eventmsg(sid: SessionId, token: Token): Promise<EventMessage> {
  return service("dm_find_eventmsg").call("event.find", { session: sid, token });
}
export async function dm_move_event(srcsid: SessionId, token: Token, targetsid: SessionId): Promise<Token> {
  return (await service("dm_move_event").call("event.move", { session: srcsid, token, target: targetsid })).token;
}
export async function dm_create_userevent(sid: SessionId, data: Uint8Array): Promise<Token> {
  return (await service("dm_create_userevent").call("userevent.create", { session: sid, data })).token;
}
/** A synchronous one returns what the application answered; its ABORT is thrown. */
export async function dm_send_msg(targetsid: SessionId, msgtype: number, data: Uint8Array): Promise<Uint8Array | undefined> {
  if (msgtype !== DM_MSGTYPE_SYNC && msgtype !== DM_MSGTYPE_ASYNC) throw new DmError("EINVAL", "dm_send_msg", `message type ${msgtype} is not known`);
  return service("dm_send_msg").sendMessage(targetsid, data, { isSynchronous: msgtype === DM_MSGTYPE_SYNC });
}

// Rights

export async function dm_request_right(sid: SessionId, handle: Handle, token: Token, flags: number, right: Right): Promise<void> {
  if ((flags & ~DM_RR_WAIT) !== 0 || right === "null") throw new DmError("EINVAL", "dm_request_right", "unknown flags, or no right asked for");
  await service("dm_request_right").call("right.request", { session: sid, handle, token, right, wait: (flags & DM_RR_WAIT) !== 0 });
}
export async function dm_release_right(sid: SessionId, handle: Handle, token: Token): Promise<void> {
  await service("dm_release_right").call("right.release", { session: sid, handle, token });
}
export async function dm_query_right(sid: SessionId, handle: Handle, token: Token): Promise<Right> {
  return (await service("dm_query_right").call("right.query", { session: sid, handle, token })).right;
}
export async function dm_upgrade_right(sid: SessionId, handle: Handle, token: Token): Promise<void> {
  await service("dm_upgrade_right").call("right.upgrade", { session: sid, handle, token });
}
export async function dm_downgrade_right(sid: SessionId, handle: Handle, token: Token): Promise<void> {
  await service("dm_downgrade_right").call("right.downgrade", { session: sid, handle, token });
}

// Event lists, regions, attributes

export async function dm_set_eventlist(sid: SessionId, handle: Handle, token: MaybeToken, events: readonly EventType[], maxevent?: number): Promise<void> {
  await objectOf("dm_set_eventlist", sid, handle, token).setEventList(events, maxevent);
}
export async function dm_get_eventlist(sid: SessionId, handle: Handle, token: MaybeToken): Promise<EventType[]> {
  return objectOf("dm_get_eventlist", sid, handle, token).eventList();
}
/** Whether the regions were set exactly as asked. */
export async function dm_set_region(sid: SessionId, handle: Handle, token: MaybeToken, regions: readonly ManagedRegion[]): Promise<boolean> {
  if (regions.length > REGIONS_PER_FILE_MAX) throw new DmError("E2BIG", "dm_set_region", `${regions.length} regions; at most ${REGIONS_PER_FILE_MAX}`);
  return objectOf("dm_set_region", sid, handle, token).setRegions(regions);
}
export async function dm_get_region(sid: SessionId, handle: Handle, token: MaybeToken): Promise<readonly ManagedRegion[]> {
  return objectOf("dm_get_region", sid, handle, token).regions();
}
/** @throws DmError ENOENT no such attribute; EINVAL a name of 0 or more than 8 bytes. */
export async function dm_get_dmattr(sid: SessionId, handle: Handle, token: MaybeToken, name: string): Promise<Uint8Array> {
  const args = { ...besides(sid, handle, token), name: attributeName("dm_get_dmattr", name) };
  return (await service("dm_get_dmattr").call("attribute.get", args)).value;
}
export async function dm_set_dmattr(sid: SessionId, handle: Handle, token: MaybeToken, name: string, value: Uint8Array): Promise<void> {
  await service("dm_set_dmattr").call("attribute.set", { ...besides(sid, handle, token), name: attributeName("dm_set_dmattr", name), value });
}
export async function dm_remove_dmattr(sid: SessionId, handle: Handle, token: MaybeToken, name: string): Promise<void> {
  await service("dm_remove_dmattr").call("attribute.remove", { ...besides(sid, handle, token), name: attributeName("dm_remove_dmattr", name) });
}
export async function dm_getall_dmattr(sid: SessionId, handle: Handle, token: MaybeToken): Promise<Map<string, Uint8Array>> {
  return objectOf("dm_getall_dmattr", sid, handle, token).attributes();
}
function attributeName(call: string, name: string): string {
  try {
    return attributeNameHex(name);
  } catch (error) {
    throw new DmError("EINVAL", call, (error as Error).message);
  }
}

// Data and allocation

export async function dm_read_invis(sid: SessionId, handle: Handle, token: MaybeToken, offset: number, length: number): Promise<Uint8Array> {
  return objectOf("dm_read_invis", sid, handle, token).readInvisible(offset, length);
}
export async function dm_write_invis(sid: SessionId, handle: Handle, token: MaybeToken, flags: number, offset: number, data: Uint8Array): Promise<number> {
  if ((flags & ~DM_WRITE_SYNC) !== 0) throw new DmError("EINVAL", "dm_write_invis", `flags ${flags} are not known`);
  return objectOf("dm_write_invis", sid, handle, token).writeInvisible(offset, data, { sync: (flags & DM_WRITE_SYNC) !== 0 });
}
export async function dm_punch_hole(sid: SessionId, handle: Handle, token: MaybeToken, offset: number, length: number): Promise<void> {
  await objectOf("dm_punch_hole", sid, handle, token).punchHole(offset, length);
}
export async function dm_probe_hole(sid: SessionId, handle: Handle, token: MaybeToken, offset: number, length: number): Promise<{ offset: number; length: number }> {
  return objectOf("dm_probe_hole", sid, handle, token).probeHole(offset, length);
}
/** Up to `nelem` extents from `offset`; `next` is where to go on, null at the end. */
export async function dm_get_allocinfo(sid: SessionId, handle: Handle, token: MaybeToken, offset: number, nelem: number): Promise<{ extents: readonly Extent[]; next: number | null }> {
  if (nelem < 1) throw new DmError("EINVAL", "dm_get_allocinfo", "room for at least one extent is needed");
  return service("dm_get_allocinfo").call("allocation.get", { ...besides(sid, handle, token), offset, max: nelem });
}
export async function dm_get_fileattr(sid: SessionId, handle: Handle, token: MaybeToken): Promise<FileAttributes> {
  return objectOf("dm_get_fileattr", sid, handle, token).fileAttributes();
}
export async function dm_set_fileattr(
  sid: SessionId, handle: Handle, token: MaybeToken, changes: Omit<ArgsOf<"fileattr.set">, "session" | "handle" | "token">,
): Promise<void> {
  await objectOf("dm_set_fileattr", sid, handle, token).setFileAttributes(changes);
}
export async function dm_sync_by_handle(sid: SessionId, handle: Handle, token: MaybeToken): Promise<void> {
  await objectOf("dm_sync_by_handle", sid, handle, token).sync();
}
/** What the mount message contained, for those who came later. @throws DmError EINVAL, EBADF not mounted here. */
export async function dm_get_mountinfo(_sid: SessionId, handle: Handle, _token: MaybeToken): Promise<MountEvent> {
  const fs = await fileSystemOf("dm_get_mountinfo", handle, "EINVAL");
  if (fs.mountpoint === undefined) throw new DmError("EBADF", "dm_get_mountinfo", `${fs.name} is not mounted on this node`);
  return { type: "mount", fsHandle: fs.handle, mountpoint: fs.mountpoint, source: fs.backing, rootHandle: fs.rootHandle, isReadOnly: false };
}

// Handles

/** The last component is not followed when it is a link; the path before it is, as the standard has it. */
export async function dm_path_to_handle(path: string): Promise<Handle> {
  const fd = openAt(AT_FDCWD, path, open.path | open.noFollow);
  if (fd < 0) throw new DmError(codeOf(-fd), "dm_path_to_handle", `"${path}" cannot be opened`);
  try {
    return readHandle(procPath(fd), HANDLE_ATTRIBUTE, path);
  } finally {
    close(fd);
  }
}
export async function dm_path_to_fshandle(path: string): Promise<Handle> {
  const fd = openAt(AT_FDCWD, path, open.path);
  if (fd < 0) throw new DmError(codeOf(-fd), "dm_path_to_fshandle", `"${path}" cannot be opened`);
  try {
    return readHandle(procPath(fd), FS_ATTRIBUTE, path);
  } finally {
    close(fd);
  }
}
export async function dm_fd_to_handle(fd: number): Promise<Handle> {
  if (!Number.isInteger(fd) || fd < 0) throw new DmError("EBADF", "dm_fd_to_handle", `${fd} is no descriptor`);
  return readHandle(procPath(fd), HANDLE_ATTRIBUTE, `descriptor ${fd}`);
}
export async function dm_handle_to_fshandle(handle: Handle): Promise<Handle> {
  return (await fileSystemOf("dm_handle_to_fshandle", handle)).handle;
}
/** Eight bytes as 16 hexadecimal digits. */
export function dm_handle_to_fsid(handle: Handle): string {
  return requireHandle("dm_handle_to_fsid", handle).fsid;
}
export function dm_handle_cmp(a: Handle, b: Handle): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
export function dm_handle_hash(handle: Handle): number {
  let hash = 0x811c9dc5; // FNV-1a
  for (let at = 0; at < handle.length; at++) hash = Math.imul(hash ^ handle.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}
/** By its form: whether this cluster made it, and what it names exists, the calls that use it say. */
export function dm_handle_is_valid(handle: Handle): boolean {
  return handle === GLOBAL_HANDLE || parseHandle(handle) !== undefined;
}
/** Handles are values here: there is nothing to free. */
export function dm_handle_free(_handle: Handle): void {}

function requireHandle(call: string, handle: Handle) {
  const parts = handle === GLOBAL_HANDLE ? undefined : parseHandle(handle);
  if (parts === undefined) throw new DmError("EBADF", call, "no handle of an object or a file system");
  return parts;
}
/** @param objectCode what an object's handle is answered with, where only a file system's is allowed. */
async function fileSystemOf(call: string, handle: Handle, objectCode?: "EINVAL"): Promise<{ name: FsName; handle: Handle; rootHandle: Handle; backing: string; mountpoint: string | undefined }> {
  const { fsid, type } = requireHandle(call, handle);
  if (objectCode !== undefined && type !== "fs") throw new DmError(objectCode, call, "the handle of a file system is needed");
  const found = (await service(call).fileSystems()).find((fs) => parseHandle(fs.handle)?.fsid === fsid);
  if (found === undefined) throw new DmError("EBADF", call, "the handle is of no file system this node knows");
  return found;
}

// The names of the standard that this version does not serve

function notServed(name: string): (...args: unknown[]) => Promise<never> {
  return () => Promise.reject(new DmError("ENOSYS", name, "this version does not serve it"));
}
export const dm_clear_inherit = notServed("dm_clear_inherit");
export const dm_create_by_handle = notServed("dm_create_by_handle");
export const dm_get_bulkall = notServed("dm_get_bulkall");
export const dm_get_bulkattr = notServed("dm_get_bulkattr");
export const dm_get_dirattrs = notServed("dm_get_dirattrs");
export const dm_getall_inherit = notServed("dm_getall_inherit");
export const dm_handle_to_igen = notServed("dm_handle_to_igen");
export const dm_handle_to_ino = notServed("dm_handle_to_ino");
export const dm_handle_to_path = notServed("dm_handle_to_path");
export const dm_init_attrloc = notServed("dm_init_attrloc");
export const dm_make_fshandle = notServed("dm_make_fshandle");
export const dm_make_handle = notServed("dm_make_handle");
export const dm_mkdir_by_handle = notServed("dm_mkdir_by_handle");
export const dm_obj_ref_hold = notServed("dm_obj_ref_hold");
export const dm_obj_ref_query = notServed("dm_obj_ref_query");
export const dm_obj_ref_rele = notServed("dm_obj_ref_rele");
export const dm_pending = notServed("dm_pending");
export const dm_set_inherit = notServed("dm_set_inherit");
export const dm_set_return_on_destroy = notServed("dm_set_return_on_destroy");
export const dm_symlink_by_handle = notServed("dm_symlink_by_handle");
