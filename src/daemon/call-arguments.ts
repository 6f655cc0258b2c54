/**
 * The edge where applications' calls come in: arguments of the right shape, and handles that this cluster has made.
 * Behind it the machines may trust the types of dmapi/calls.ts; what a value means is judged there, not here.
 *
 * Source    safety H6 (handles carry a keyed checksum), H15; XDSM C429: EINVAL for a malformed argument, EBADF for a
 *           handle that names nothing of ours.
 */
import { z } from "zod";
import type { CallName } from "../dmapi/calls.js";
import { type DmFailure, errnoOf } from "../dmapi/errors.js";
import { eventTypes } from "../dmapi/events.js";
import { GLOBAL_HANDLE, parseHandle } from "../dmapi/handle.js";
import { type Handle, NAME_PATTERN } from "../dmapi/ids.js";
import type { HandleSeal } from "../volume/handle-seal.js";

const name = z.string().regex(NAME_PATTERN);
const count = z.int().min(0);
const id = z.int().min(1).max(0x7fff_ffff);
const offset = z.int().min(0);
const handle = z.string().max(256);
const bytes = z.instanceof(Uint8Array);
const text = z.string().max(65_536);
const timeNs = z.bigint();
const waitMs = z.number().min(0);
const events = z.array(z.enum(eventTypes as [string, ...string[]])).max(64);
const right = z.enum(["null", "shared", "exclusive"]);
const fsOrGlobal = z.union([z.literal("global"), name]);
const attributeName = z.string().max(64);
const code = z.enum(Object.keys(errnoOf) as [string, ...string[]]);
const response = z.union([
  z.strictObject({ kind: z.literal("continue") }),
  z.strictObject({ kind: z.literal("abort"), code }),
  z.strictObject({ kind: z.literal("dont-care") }),
]);
const region = z.strictObject({ offset, size: count, flags: z.int().min(0).max(7) });
const change = z.strictObject({
  residency: z.enum(["resident", "partial"]).optional(),
  regions: z.array(region).optional(),
  eventList: z.int().min(0).nullable().optional(),
  attributes: z.record(z.string().regex(/^[0-9a-f]{16}$/), bytes.nullable()).optional(),
  virtual: z.enum(["capture", "drop"]).optional(),
});

const nothing = z.strictObject({});
const object = { session: id, handle, token: id.optional() };
const onObject = z.strictObject(object);
const range = { offset, length: count };

const shapes: Readonly<Record<CallName, z.ZodType>> = {
  "node.status": nothing,
  "node.waiters": z.strictObject({ allNodes: z.boolean().optional() }),
  "node.log": z.strictObject({ after: count.optional(), waitMs: waitMs.optional(), max: count.optional() }),
  "manager.move": z.strictObject({ to: name }),
  "node.fence": z.strictObject({ node: name }),
  "link.cut": z.strictObject({ peer: name, direction: z.enum(["both", "send", "receive"]) }),
  "link.heal": z.strictObject({ peer: name.optional() }),
  "test.spoil": z.strictObject({ what: z.enum(["hosted-sessions", "registry", "distribution"]), on: z.boolean().optional() }),
  "node.stop": nothing,
  "fs.list": nothing,
  "fs.mount": z.strictObject({ fs: name, mountpoint: z.string().max(4096).regex(/^\//).optional() }),
  "fs.unmount": z.strictObject({ fs: name, force: z.boolean().optional() }),
  "session.create": z.strictObject({ info: text, group: name.optional() }),
  "session.assume": z.strictObject({ session: id, info: text }),
  "session.modify": z.strictObject({ session: id, info: text }),
  "session.destroy": z.strictObject({ session: id }),
  "session.list": nothing,
  "session.query": z.strictObject({ session: id }),
  "disposition.set": z.strictObject({ session: id.optional(), group: name.optional(), fs: fsOrGlobal, events, below: count.optional() }),
  "disposition.list": z.strictObject({ session: id.optional() }),
  "event.get": z.strictObject({ session: id, max: count.optional(), waitMs: waitMs.optional() }),
  "event.respond": z.strictObject({ session: id, token: id, response, data: bytes.optional() }),
  "event.find": z.strictObject({ session: id, token: id }),
  "event.move": z.strictObject({ session: id, token: id, target: id }),
  "token.list": z.strictObject({ session: id }),
  "userevent.create": z.strictObject({ session: id, data: bytes }),
  "message.send": z.strictObject({ session: id, isSynchronous: z.boolean(), data: bytes }),
  "right.request": z.strictObject({ session: id, handle, token: id, right, wait: z.boolean() }),
  "right.release": z.strictObject({ session: id, handle, token: id }),
  "right.query": z.strictObject({ session: id, handle, token: id }),
  "right.upgrade": z.strictObject({ session: id, handle, token: id }),
  "right.downgrade": z.strictObject({ session: id, handle, token: id }),
  "eventlist.set": z.strictObject({ ...object, events, below: count.optional() }),
  "eventlist.get": onObject,
  "region.set": z.strictObject({ ...object, regions: z.array(region) }),
  "region.get": onObject,
  "attribute.set": z.strictObject({ ...object, name: attributeName, value: bytes }),
  "attribute.get": z.strictObject({ ...object, name: attributeName }),
  "attribute.list": onObject,
  "attribute.remove": z.strictObject({ ...object, name: attributeName }),
  "fileattr.get": onObject,
  "fileattr.set": z.strictObject({
    ...object, mode: count.optional(), uid: count.optional(), gid: count.optional(), atimeNs: timeNs.optional(), mtimeNs: timeNs.optional(),
    size: count.optional(),
  }),
  "allocation.get": z.strictObject({ ...object, offset, max: count }),
  "hole.probe": z.strictObject({ ...object, ...range }),
  "hole.punch": z.strictObject({ ...object, ...range }),
  "object.sync": onObject,
  "invisible.open": z.strictObject({ ...object, mode: z.enum(["read", "exclusive"]), waitMs: waitMs.optional() }),
  "invisible.close": z.strictObject({ guard: count }),
  "invisible.read": z.strictObject({ ...object, ...range }),
  "invisible.write": z.strictObject({ ...object, offset, data: bytes, sync: z.boolean().optional() }),
  "record.get": onObject,
  "record.change": z.strictObject({
    ...object, guard: count.optional(), change, expectMark: z.string().max(64).optional(),
    expect: z.strictObject({ size: count, mtimeNs: timeNs }).optional(),
  }),
  "mark.create": onObject,
  "mark.check": z.strictObject({ ...object, nonce: z.string().max(64) }),
  "mark.remove": z.strictObject({ ...object, nonce: z.string().max(64) }),
  "object.flush": onObject,
};

export function isCallName(called: string): called is CallName {
  return Object.hasOwn(shapes, called);
}

/** What is wrong with a call, or undefined; ENOSYS, EINVAL or EBADF. */
export function faultOf(called: string, args: unknown, seal: HandleSeal): DmFailure | undefined {
  if (!isCallName(called)) return { code: "ENOSYS", message: `there is no call ${called.slice(0, 64)}` };
  const checked = shapes[called].safeParse(args);
  if (!checked.success) {
    const issue = checked.error.issues[0]!;
    const at = issue.path.length === 0 ? "its arguments" : issue.path.join(".");
    return { code: "EINVAL", message: `${called}: ${at}: ${issue.message}` };
  }
  const given = (args as { handle?: Handle }).handle;
  if (given === undefined || given === GLOBAL_HANDLE) return undefined;
  if (parseHandle(given) === undefined) return { code: "EINVAL", message: `${called}: ${JSON.stringify(given.slice(0, 80))} is no handle` };
  if (!seal.isGenuine(given)) return { code: "EBADF", message: `${called}: the handle was not made by this cluster` };
  return undefined;
}
