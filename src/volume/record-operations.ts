/**
 * Operations on what Sluice knows about an object: record, mark, regions, event lists, DM attributes.
 *
 * Each changes the record once, under the guard (object.ts), and says whether members must drain.
 * Source    XDSM C429 2.7, 2.8, DM attributes; safety C3, H4.
 */
import { randomBytes } from "node:crypto";
import type { ArgsOf, ResultOf } from "../dmapi/calls.js";
import { eventListEvents, eventNumbers, eventsIn, eventSet, type EventSet } from "../dmapi/events.js";
import { regionFlags, type ManagedRegion } from "../dmapi/regions.js";
import * as files from "../os/files.js";
import { changeDocument, readDocument } from "./filesystem.js";
import { createMark, readMark, removeMark } from "./mark.js";
import { captureVirtual, fail, must, type ChangedRecord, type OpenObject, type OperationContext } from "./object.js";

export type Changed<T> = { readonly result: T; readonly changed?: ChangedRecord };

export function getRecord(object: OpenObject): ResultOf<"record.get"> {
  const record = object.readRecord();
  object.refreshStat();
  return { record: record ?? null, mark: markOf(object) ?? null, attributes: object.attributes(record) };
}
function markOf(object: OpenObject): string | undefined {
  if (!object.stat.isRegular) return undefined;
  const mark = readMark(object.fd);
  if (typeof mark === "number") return fail("EIO", object.call, `the mark cannot be read (${must(mark, object.call, "mark")})`);
  return mark;
}

export function changeRecord(object: OpenObject, args: ArgsOf<"record.change">): Changed<ResultOf<"record.change">> {
  object.takeForChange();
  object.refreshStat();
  const isOnlyMarked = args.change.virtual === "capture" && args.ctime !== undefined && object.stat.ctimeNs === args.ctime.marked && object.readRecord()?.virtual === undefined;
  const shown = isOnlyMarked && args.ctime !== undefined ? { ...captureVirtual(object.stat), ctimeNs: args.ctime.shown } : undefined;
  const changed = object.changeRecord(() => {
    if (shown !== undefined && object.stat.ctimeNs !== args.ctime?.marked) fail("EAGAIN", object.call, "the file's attributes are being changed just now");
    if (args.expectMark !== undefined && markOf(object) !== args.expectMark) fail("ECANCELED", object.call, "somebody has written to the file since it was marked");
    if (args.expect !== undefined && (object.stat.size !== args.expect.size || object.stat.mtimeNs !== args.expect.mtimeNs)) {
      fail("ECANCELED", object.call, `the file has changed: ${object.stat.size} bytes, modified at ${object.stat.mtimeNs}, expected ${args.expect.size} at ${args.expect.mtimeNs}`);
    }
    return args.change;
  }, shown);
  return { result: { generation: changed.next.generation }, changed };
}

export function makeMark(object: OpenObject): ResultOf<"mark.create"> {
  object.requireRegular();
  object.takeForChange();
  if (object.readRecord()?.residency === "partial") fail("ECANCELED", object.call, "the file is not resident, another mover was faster: there is nothing to copy out");
  object.refreshStat();
  const shown = object.stat.ctimeNs;
  const nonce = randomBytes(16).toString("hex");
  object.store("half", () => createMark(object.fd, nonce), "the mark cannot be set");
  object.refreshStat();
  return { nonce, size: object.stat.size, mtimeNs: object.stat.mtimeNs, ctime: { marked: object.stat.ctimeNs, shown } };
}
export function checkMark(object: OpenObject, args: ArgsOf<"mark.check">): ResultOf<"mark.check"> {
  object.requireRegular();
  return { isUnbroken: markOf(object) === args.nonce };
}
export function dropMark(object: OpenObject, args: ArgsOf<"mark.remove">): ResultOf<"mark.remove"> {
  object.requireRegular();
  if (markOf(object) === args.nonce) must(removeMark(object.fd), object.call, "the mark cannot be removed");
  return {};
}

export function setRegions(object: OpenObject, args: ArgsOf<"region.set">): Changed<ResultOf<"region.set">> {
  object.requireRegular();
  object.takeForChange();
  const changed = object.changeRecord((old) => {
    const isMissing = old?.residency === "partial" && !args.regions.some((region) => (region.flags & regionFlags.read) !== 0);
    if (!isMissing) return { regions: args.regions };
    // Clearing is how an XDSM program says that the data is back; it is believed only where no hole is left.
    if (hasHole(object)) fail("EINVAL", object.call, "the file still has holes; write them, or change its record to resident");
    return { regions: args.regions, residency: "resident", virtual: "drop" };
  });
  return { result: { isExact: true }, changed };
}
function hasHole(object: OpenObject): boolean {
  return object.stat.size > 0 && files.lseek(object.fd, 0, files.SEEK_HOLE) !== object.stat.size;
}
export function getRegions(object: OpenObject): ResultOf<"region.get"> {
  object.requireRegular();
  return { regions: object.readRecord()?.regions ?? [] };
}

const attributeName = (object: OpenObject, name: unknown): string =>
  typeof name === "string" && /^[0-9a-f]{16}$/.test(name) ? name : fail("EINVAL", object.call, `attribute name ${JSON.stringify(name)} is not 16 hexadecimal digits`);

export function setDmAttribute(object: OpenObject, args: ArgsOf<"attribute.set">): Changed<ResultOf<"attribute.set">> {
  const name = attributeName(object, args.name);
  if (!(args.value instanceof Uint8Array)) fail("EINVAL", object.call, "an attribute's value is bytes");
  object.takeForChange(true);
  return { result: {}, changed: object.changeRecord(() => ({ attributes: { [name]: args.value } })) };
}
export function getDmAttribute(object: OpenObject, args: ArgsOf<"attribute.get">): ResultOf<"attribute.get"> {
  const name = attributeName(object, args.name);
  const value = object.readRecord()?.attributes[name];
  return value === undefined ? fail("ENOENT", object.call, `no attribute ${name}`) : { value };
}
export function listDmAttributes(object: OpenObject): ResultOf<"attribute.list"> {
  return Object.entries(object.readRecord()?.attributes ?? {}).map(([name, value]) => ({ name, value }));
}
export function removeDmAttribute(object: OpenObject, args: ArgsOf<"attribute.remove">): Changed<ResultOf<"attribute.remove">> {
  const name = attributeName(object, args.name);
  object.takeForChange(true);
  const changed = object.changeRecord((old) => {
    if (old?.attributes[name] === undefined) fail("ENOENT", object.call, `no attribute ${name}`);
    return { attributes: { [name]: null } };
  });
  return { result: {}, changed };
}

/** The new list: bits below `below` are replaced, the rest stays. */
function mergeEvents(call: string, old: EventSet, args: ArgsOf<"eventlist.set">, allowed: EventSet): EventSet {
  if (!Array.isArray(args.events) || !args.events.every((type) => Object.hasOwn(eventNumbers, type))) fail("EINVAL", call, "an event is unknown");
  const below = args.below ?? 32;
  if (!Number.isInteger(below) || below < 1 || below > 32) fail("EINVAL", call, `maxevent ${below} is out of range`);
  const mask = below === 32 ? 0xffffffff : (2 ** below - 1) >>> 0;
  const asked = (eventSet(args.events) & mask) >>> 0;
  if ((asked & ~allowed) !== 0) fail("EINVAL", call, `not for this kind of object: ${eventsIn((asked & ~allowed) >>> 0).join(", ")}`);
  return ((old & ~mask) | asked) >>> 0;
}
/** An object that was given a list keeps one, also an empty one, which then overrides the file system's (XDSM 4.3, GPFS rule). */
export function setEventList(object: OpenObject, args: ArgsOf<"eventlist.set">): Changed<ResultOf<"eventlist.set">> {
  const allowed = object.stat.isDirectory ? eventListEvents.directory : eventListEvents.file;
  object.takeForChange(true);
  const changed = object.changeRecord((old) => ({ eventList: mergeEvents(object.call, old?.eventList ?? 0, args, allowed) }));
  return { result: {}, changed };
}
const flagEvents = [[regionFlags.read, "read"], [regionFlags.write, "write"], [regionFlags.truncate, "truncate"]] as const;
export function getEventList(object: OpenObject): ResultOf<"eventlist.get"> {
  const record = object.readRecord();
  return { events: ((record?.eventList ?? 0) | regionEvents(record?.regions ?? [])) >>> 0 };
}
function regionEvents(regions: readonly ManagedRegion[]): EventSet {
  const flags = regions.reduce((all, region) => all | region.flags, 0);
  return eventSet(flagEvents.filter(([flag]) => (flags & flag) !== 0).map(([, type]) => type));
}
/** Of the whole file system, kept in `.sluice/fs.json`. */
export function setFsEventList(context: OperationContext, call: string, args: ArgsOf<"eventlist.set">): EventSet {
  return changeDocument(context.volume, (old) => ({ ...old, eventList: mergeEvents(call, old.eventList, args, eventListEvents.fs) })).eventList;
}
export function getFsEventList(context: OperationContext): EventSet {
  return readDocument(context.volume.parts.backing, context.volume.parts.ownFd)?.eventList ?? 0;
}
