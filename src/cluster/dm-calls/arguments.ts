/**
 * Whether a call's arguments have the shape that dmapi/calls.ts promises. They come from strangers over a socket: what
 * is not so is refused with EINVAL naming the field, before any machine sees it.
 */
import { faultOfLease } from "../../dmapi/application-lease.js";
import type { ArgsOf, CallName } from "../../dmapi/calls.js";
import { errnoOf } from "../../dmapi/errors.js";
import { eventNumbers } from "../../dmapi/events.js";
import { NAME_PATTERN } from "../../dmapi/ids.js";
import { REGIONS_PER_FILE_MAX } from "../../dmapi/regions.js";

/** In one acknowledgement. */
export const EVENT_IDS_MAX = 4_096;

type Kind =
  | "id" | "text" | "name" | "handle" | "flag" | "count" | "bytes" | "time" | "events" | "response" | "right" | "regions"
  | "change" | "mode" | "answers" | "attribute" | "expectation" | "ctimes" | "lease" | "ids";
/** Answers that travel with one event.get. */
const ANSWERS_MAX = 4_096;
/** A trailing "?" marks a field that may be absent. */
type Field = Kind | `${Kind}?`;

const object = { session: "id", handle: "handle", token: "id?" } as const;
const ofToken = { session: "id", handle: "handle", token: "id" } as const;

/** The calls of this half of a node; status, links and the like are answered elsewhere. */
const shapes = {
  "fs.mount": { fs: "name", mountpoint: "text?" },
  "fs.unmount": { fs: "name", force: "flag?" },
  "session.create": { info: "text", group: "name?", lease: "lease?", isDurable: "flag?" },
  "session.assume": { session: "id", info: "text" },
  "session.modify": { session: "id", info: "text?", lease: "lease?", isDurable: "flag?" },
  "session.renew": { session: "id" },
  "session.destroy": { session: "id" },
  "session.list": {},
  "session.query": { session: "id" },
  "disposition.set": { session: "id?", group: "name?", fs: "name", events: "events", below: "count?" },
  "disposition.list": { session: "id?" },
  "event.get": { session: "id", max: "count?", waitMs: "count?", answers: "answers?" },
  "event.respond": { session: "id", token: "id", response: "response", data: "bytes?" },
  "event.acknowledge": { session: "id", ids: "ids", isUpTo: "flag?" },
  "event.find": { session: "id", token: "id" },
  "event.move": { session: "id", token: "id", target: "id" },
  "token.list": { session: "id" },
  "userevent.create": { session: "id", data: "bytes" },
  "trace.note": { session: "id", token: "id", text: "text" },
  "message.send": { session: "id", isSynchronous: "flag", data: "bytes" },
  "right.request": { ...ofToken, right: "right", wait: "flag" },
  "right.release": ofToken,
  "right.query": ofToken,
  "right.upgrade": ofToken,
  "right.downgrade": ofToken,
  "eventlist.set": { ...object, events: "events", below: "count?" },
  "eventlist.get": object,
  "region.set": { ...object, regions: "regions" },
  "region.get": object,
  "attribute.set": { ...object, name: "attribute", value: "bytes" },
  "attribute.get": { ...object, name: "attribute" },
  "attribute.list": object,
  "attribute.remove": { ...object, name: "attribute" },
  "fileattr.get": object,
  "fileattr.set": { ...object, mode: "count?", uid: "count?", gid: "count?", atimeNs: "time?", mtimeNs: "time?", size: "count?" },
  "allocation.get": { ...object, offset: "count", max: "count" },
  "hole.probe": { ...object, offset: "count", length: "count" },
  "hole.punch": { ...object, offset: "count", length: "count" },
  "object.sync": object,
  "object.flush": object,
  "invisible.open": { ...object, mode: "mode", waitMs: "count?", keepsMark: "flag?" },
  "invisible.close": { guard: "count" },
  "invisible.read": { ...object, offset: "count", length: "count" },
  "invisible.write": { ...object, offset: "count", data: "bytes", sync: "flag?" },
  "record.get": object,
  "record.change": { ...object, guard: "count?", change: "change", expectMark: "text?", expect: "expectation?", ctime: "ctimes?" },
  "mark.create": object,
  "mark.check": { ...object, nonce: "text" },
  "mark.remove": { ...object, nonce: "text" },
} as const satisfies Partial<Record<CallName, Readonly<Record<string, Field>>>>;

export type HandledCall = keyof typeof shapes;
export type CheckedCall = { [N in HandledCall]: { readonly name: N; readonly args: ArgsOf<N> } }[HandledCall];

interface ReadField {
  readonly field: string;
  readonly kind: Kind;
  readonly mayBeAbsent: boolean;
}
const fieldsOf: Readonly<Record<string, readonly ReadField[]>> = Object.fromEntries(
  Object.entries(shapes).map(([name, shape]) => [name, Object.entries<Field>(shape).map(readField)]),
);
function readField([field, kind]: [string, Field]): ReadField {
  return { field, kind: kind.replace("?", "") as Kind, mayBeAbsent: kind.endsWith("?") };
}

export function isHandled(name: CallName): name is HandledCall {
  return Object.hasOwn(shapes, name);
}

/** The call with its arguments as promised, or what is wrong with them. */
export function checkCall(name: HandledCall, args: unknown): CheckedCall | { readonly wrong: string } {
  if (!isObject(args)) return { wrong: "arguments must be named" };
  for (const { field, kind, mayBeAbsent } of fieldsOf[name] ?? []) {
    const value = args[field];
    if (value === undefined || value === null) {
      if (!mayBeAbsent) return { wrong: `${field} is missing` };
    } else if (!checks[kind](value)) {
      return { wrong: kind === "lease" ? `${field}: ${faultOfLease(value)}` : `${field} must be ${allowed[kind]}` };
    }
  }
  return { name, args } as CheckedCall;
}

/** In words, for whoever wrote the call. */
const allowed: Readonly<Record<Exclude<Kind, "lease">, string>> = {
  id: "a whole number from 1 to 2147483647",
  text: "text",
  ids: `a list of at most ${EVENT_IDS_MAX} event ids`,
  name: "a name: letters, digits, '_', '.', '-', beginning with a letter or digit, at most 63",
  handle: "a handle as text, at most 256 characters",
  flag: "true or false",
  count: "a whole number from 0",
  bytes: "bytes",
  time: "nanoseconds since 1970",
  events: "a list of names of events",
  response: 'a response: kind "continue", "dont-care", or "abort" with the code of an errno',
  answers: `a list of at most ${ANSWERS_MAX} answers, each a token and a response`,
  right: '"shared" or "exclusive"',
  regions: `a list of at most ${REGIONS_PER_FILE_MAX} regions, each offset, size and flags from 0 to 7`,
  mode: '"read" or "exclusive"',
  attribute: "8 bytes as 16 hexadecimal digits",
  change: "a change of a record: residency, regions, eventList, attributes, virtual",
  ctimes: "two times, marked and shown",
  expectation: "a size and mtimeNs",
};

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === "string";
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const isTime = (value: unknown): boolean => typeof value === "bigint" || isCount(value);
const isId = (value: unknown): boolean => isCount(value) && value > 0 && value < 2 ** 31;
const isResponse = (value: unknown): boolean => {
  if (!isObject(value)) return false;
  if (value["kind"] === "abort") return isText(value["code"]) && Object.hasOwn(errnoOf, value["code"]) && value["code"] !== "ENOTREADY";
  return value["kind"] === "continue" || value["kind"] === "dont-care";
};
const isEventNumber = (value: unknown): boolean => isText(value) && Object.hasOwn(eventNumbers, value);
const isRegions = (value: unknown): boolean =>
  Array.isArray(value) && value.length <= REGIONS_PER_FILE_MAX && value.every((region) => isObject(region) && isCount(region["offset"]) && isCount(region["size"]) && isCount(region["flags"]) && region["flags"] <= 7);

const checks: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  id: isId,
  text: isText,
  ids: (value) => Array.isArray(value) && value.length <= EVENT_IDS_MAX && value.every(isText),
  name: (value) => isText(value) && NAME_PATTERN.test(value),
  handle: (value) => isText(value) && value.length <= 256,
  flag: (value) => typeof value === "boolean",
  count: isCount,
  bytes: isBytes,
  time: isTime,
  events: (value) => Array.isArray(value) && value.every(isEventNumber),
  response: isResponse,
  answers: (value) => Array.isArray(value) && value.length <= ANSWERS_MAX && value.every((one) => isObject(one) && isId(one["token"]) && isResponse(one["response"]) && (one["data"] === undefined || one["data"] === null || isBytes(one["data"]))),
  right: (value) => value === "shared" || value === "exclusive",
  regions: isRegions,
  mode: (value) => value === "read" || value === "exclusive",
  attribute: (value) => isText(value) && /^[0-9a-f]{16}$/.test(value),
  change: (value) =>
    isObject(value) &&
    (value["residency"] === undefined || value["residency"] === "resident" || value["residency"] === "partial") &&
    (value["regions"] === undefined || isRegions(value["regions"])) &&
    (value["eventList"] === undefined || value["eventList"] === null || isCount(value["eventList"])) &&
    (value["virtual"] === undefined || value["virtual"] === "capture" || value["virtual"] === "drop") &&
    (value["attributes"] === undefined || (isObject(value["attributes"]) && Object.values(value["attributes"]).every((one) => one === null || isBytes(one)))),
  lease: (value) => faultOfLease(value) === undefined,
  ctimes: (value) => isObject(value) && isTime(value["marked"]) && isTime(value["shown"]),
  expectation: (value) => isObject(value) && isCount(value["size"]) && isTime(value["mtimeNs"]),
};
