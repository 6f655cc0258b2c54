/**
 * The shapes of what nodes say to each other (cluster/messages.ts): a peer has shown that it knows the cluster's key, not
 * that it is of sound mind or of this version. What has not the shape of its kind never reaches a machine.
 *
 * Source    cluster/messages.ts, cluster/registry-document.ts, dmapi/events.ts.
 */
import { isBytes, isCount, isFlag, isText, isWhole, listOf, mapOf, matching, oneOf, optional, type Shape, taggedBy } from "../base/shape.js";
import { faultOfLease } from "../dmapi/application-lease.js";
import type { ManagerCall } from "../cluster/registry-document.js";
import type { KeepingWord } from "../cluster/keeping/words.js";
import type { MessageKind, RoundWork } from "../cluster/messages.js";
import { isView } from "../cluster/view-document.js";
import { errnoOf } from "../dmapi/errors.js";
import { type EventType, eventTypes } from "../dmapi/events.js";
import { NAME_PATTERN } from "../dmapi/ids.js";

const name = matching(NAME_PATTERN);
const handle = isText;
const right = oneOf(["null", "shared", "exclusive"]);
const failure = mapOf({ code: oneOf(Object.keys(errnoOf)), message: isText });
const eventType = oneOf(eventTypes);
const noFields: Shape = () => true;

// Registry.

const owner = taggedBy("kind", { session: mapOf({ session: isCount }), group: mapOf({ group: name }) });
const lease: Shape = (value) => faultOfLease(value) === undefined;
const session = mapOf({
  id: isCount, node: name, incarnation: isCount, hostGeneration: isCount, info: isText, group: optional(name), lease: optional(lease), state: oneOf(["active", "failed", "closing"]),
  durability: optional(oneOf(["on", "off"])),
});
const managerResult = taggedBy("kind", { done: mapOf({ session: optional(isCount), version: isCount }), failed: mapOf({ failure }) });
const answered = mapOf({ request: isText, result: managerResult });
const dispositionsSet = mapOf({ owner, fs: name, events: listOf(eventType), below: isCount });
const change = taggedBy("kind", {
  "session-put": mapOf({ session }),
  "session-destroyed": mapOf({ id: isCount }),
  "dispositions-set": dispositionsSet,
  "request-answered": answered,
});
const caller = mapOf({ pid: isCount, uid: isCount, command: isText });
const audit = listOf(mapOf({ version: isCount, unixMs: isCount, act: isText, session: optional(isCount), detail: isText, node: name, caller: optional(caller) }));
const snapshot = mapOf({
  view: isCount, version: isCount, sessions: listOf(session), destroyed: listOf(isCount), dispositions: listOf(mapOf({ fs: name, event: eventType, owner })),
  answered: listOf(answered), highestSessionId: isCount, audit: optional(audit),
});
const stamp = mapOf({ view: isCount, version: isCount });
const version = mapOf({ version: isCount, by: name, changes: listOf(change), audit: optional(audit) });
/** A map that has exactly one of the two. */
function withOneOf(a: string, b: string, fields: Readonly<Record<string, Shape>>): Shape {
  const all = mapOf(fields);
  return (value) => all(value) && ((value as Record<string, unknown>)[a] === undefined) !== ((value as Record<string, unknown>)[b] === undefined);
}
const managerCalls: Readonly<Record<ManagerCall["kind"], Shape>> = {
  // A name that is none is refused by the manager, in words its asker gets to see.
  "create-session": mapOf({ info: isText, group: optional(isText), lease: optional(lease), isDurable: optional(isFlag) }),
  "assume-session": mapOf({ session: isCount, info: isText }),
  "modify-session": mapOf({ session: isCount, info: optional(isText), lease: optional((value) => value === null || lease(value)), isDurable: optional(isFlag) }),
  "destroy-session": mapOf({ session: isCount }),
  "set-dispositions": mapOf({ owner, fs: isText, events: listOf(isText), below: isWhole }),
  "announce-mount": mapOf({ fs: isText, isMounted: isFlag }),
  "move-manager": mapOf({ to: isText }),
  "fence-node": mapOf({ node: isText, isForced: optional(isFlag) }),
};
const managerCall = taggedBy("kind", managerCalls);

// Events.

const data = mapOf({ handle, offset: isCount, length: isCount });
const inNamespace = mapOf({
  handle1: handle, name1: optional(isText), handle2: optional(handle), name2: optional(isText), mode: optional(isWhole), returnCode: optional(isWhole),
});
const ofObject = mapOf({ handle });
const events: Readonly<Record<EventType, Shape>> = {
  read: data, write: data, truncate: data,
  create: inNamespace, postcreate: inNamespace, remove: inNamespace, postremove: inNamespace, rename: inNamespace, postrename: inNamespace,
  link: inNamespace, postlink: inNamespace, symlink: inNamespace, postsymlink: inNamespace, preunmount: inNamespace, unmount: inNamespace, nospace: inNamespace,
  attribute: ofObject, close: ofObject, debut: ofObject,
  destroy: mapOf({ handle, attributeName: optional(isText), attributeCopy: optional(isBytes) }),
  mount: mapOf({ fsHandle: handle, mountpoint: isText, source: isText, rootHandle: handle, isReadOnly: isFlag }),
  cancel: mapOf({ cancelledToken: isCount, cancelledSequence: isCount }),
  user: mapOf({ data: isBytes }),
};
const response = taggedBy("kind", { continue: noFields, "dont-care": noFields, abort: mapOf({ code: oneOf(Object.keys(errnoOf)) }) });
const process = mapOf({ pid: isCount, uid: isCount, gid: isCount, command: isText });
const notice = mapOf({ group: name, handledBy: name });

// Rounds.

const works: Readonly<Record<RoundWork["kind"], Shape>> = {
  "record-changed": mapOf({ handle, generation: isCount }),
  flush: mapOf({ handle }),
  "drop-pages": mapOf({ handle }),
  "drop-names": mapOf({}),
  "fs-event-list-changed": mapOf({ events: isCount }),
};

// What kernels keep.

const kept = listOf(isText);
const keepingWord = taggedBy("kind", {
  "keep-wanted": mapOf({ serial: isCount, objects: kept }),
  "keep-granted": mapOf({ serial: isCount, objects: kept }),
  "keep-ended": mapOf({ objects: (value) => value === "all" || kept(value) }),
  "drop-wanted": mapOf({ drop: isCount, objects: kept }),
  "drop-done": mapOf({ drop: isCount, objects: kept }),
} satisfies Readonly<Record<KeepingWord["kind"], Shape>>);

// Questions to be answered from memory.

const isNumber: Shape = (value) => typeof value === "number" && Number.isFinite(value);
const waiter = mapOf({
  node: name, operation: isCount, call: isText, fs: isText, path: optional(isText), handle: optional(handle), pid: isCount, uid: isCount, command: isText, ageMs: isNumber,
  cause: isText, detail: isText, token: optional(isCount), session: optional(isCount), waitsFor: optional(isText), deadlineMs: optional(isNumber), fate: optional(isText), blocks: isText,
});
const queue = mapOf({
  session: isCount, undelivered: isCount, waitingReaders: isCount, delivered: isWhole, outstanding: listOf(mapOf({ token: isWhole, event: eventType, source: name, ageMs: isNumber })),
  application: optional(mapOf({ pids: listOf(isCount), lostInMs: optional(isNumber) })),
});
const step = mapOf({ atMs: isNumber, role: isText, step: isText, text: isText });
const question = taggedBy("kind", { waiters: noFields, trace: mapOf({ token: isCount }), locks: mapOf({ fs: name, hasCircle: isFlag }) });
const offset = matching(/^\d{1,19}$/);
const range = mapOf({ start: offset, end: offset, isExclusive: isFlag });
const waitingOwner = mapOf({
  owner: isText, waits: listOf(mapOf({ wait: isCount, handle, range })), holds: listOf(mapOf({ handle, change: isCount, ranges: listOf(range) })),
});
const answerOfNode = taggedBy("kind", {
  waiters: mapOf({ waiters: listOf(waiter), queues: listOf(queue), held: listOf(mapOf({ handle, holder: isText, right })) }),
  trace: mapOf({ bootId: isText, aheadMs: isNumber, steps: listOf(step) }),
  locks: mapOf({ report: optional(mapOf({ life: isText, owners: listOf(waitingOwner) })) }),
});

const messages: Readonly<Record<MessageKind, Shape>> = {
  "view-proposed": mapOf({ view: isView }),
  "view-adopted": mapOf({ number: isCount }),
  "view-in-force": mapOf({ number: isCount }),
  greeting: mapOf({ incarnation: isCount }),

  "manager-call": mapOf({ request: isText, call: managerCall, caller: optional(caller) }),
  "manager-result": answered,
  "registry-changed": mapOf({ change: version }),
  "registry-acknowledged": mapOf({ version: isCount }),
  "registry-collect": mapOf({ view: isCount, copy: optional(stamp) }),
  "registry-collected": withOneOf("snapshot", "copy", { view: isCount, snapshot: optional(snapshot), copy: optional(stamp), unfinished: listOf(mapOf({ request: isText, call: managerCall, caller: optional(caller) })) }),
  "registry-installed": withOneOf("snapshot", "copy", { view: isCount, snapshot: optional(snapshot), copy: optional(stamp), change: optional(version) }),
  "registry-install-acknowledged": mapOf({ view: isCount, version: isCount }),
  "registry-wanted": mapOf({ version: isCount }),
  "closing-check": mapOf({ session: isCount }),
  "closing-checked": mapOf({ session: isCount, isEmpty: isFlag }),

  "event-raised": mapOf({
    session: isCount, hostGeneration: isCount, token: isCount, isSynchronous: isFlag, sequence: isCount, registryVersion: isCount, fs: isText,
    event: taggedBy("type", events), process: optional(process), notice: optional(notice), raisedOn: optional(name), passedBy: optional(listOf(isCount)),
  }),
  "event-handed-over": mapOf({ token: isCount, session: isCount, hostGeneration: isCount, to: isCount, passedBy: listOf(isCount) }),
  "events-raised": mapOf({
    session: isCount, hostGeneration: isCount, registryVersion: isCount, fs: isText,
    events: listOf(mapOf({ token: isCount, sequence: isCount, event: taggedBy("type", events), process: optional(process), raisedOn: optional(name), passedBy: optional(listOf(isCount)) })),
  }),
  "event-enqueued": mapOf({ token: isCount }),
  "events-enqueued": mapOf({ tokens: listOf(isCount) }),
  "event-answered": mapOf({ token: isCount, session: isCount, hostGeneration: isCount, response, data: optional(isBytes), isQuiet: optional(isFlag) }),
  "answer-taken": mapOf({ token: isCount, session: isCount }),
  "event-withdrawn": mapOf({ token: isCount, session: isCount }),
  "events-logged": mapOf({
    session: isCount, hostGeneration: isCount, incarnation: isCount, previous: isCount, through: isCount,
    place: mapOf({ segment: isCount, offset: isCount }),
    events: listOf(mapOf({ sequence: isCount, previous: isCount, fs: isText, event: taggedBy("type", events), process: optional(process), raisedOn: optional(name) })),
  }),
  "events-acknowledged": mapOf({ session: isCount, incarnation: isCount, through: isCount }),
  "event-misrouted": mapOf({ token: isCount, session: isCount, registryVersion: isCount }),

  "right-wanted": mapOf({ request: isText, handle, fs: isText, holder: isText, right, wait: isFlag, isUpgrade: isFlag, isManaged: isFlag }),
  "right-granted": mapOf({ request: isText, handle, holder: isText, right, view: isCount }),
  "right-refused": mapOf({ request: isText, failure, view: isCount }),
  "right-released": mapOf({ handle, holder: isText, right }),
  "right-unwanted": mapOf({ request: isText, handle }),
  "interest-wanted": mapOf({ handle }),
  "interest-granted": mapOf({ handle, view: isCount, fence: right, fenceNumber: isCount }),
  "interest-dropped": mapOf({ handle }),
  "fence-raised": mapOf({ handle, fence: right, fenceNumber: isCount, holderNode: isText }),
  "fence-drained": mapOf({ handle, fenceNumber: isCount }),
  "fence-lowered": mapOf({ handle, fence: right, fenceNumber: isCount }),
  "rights-reported": mapOf({
    view: isCount, holds: listOf(mapOf({ handle, fs: isText, holder: isText, right, isManaged: isFlag })), interests: listOf(handle), fences: listOf(handle),
  }),
  "fences-told": mapOf({ view: isCount }),

  keeping: mapOf({ fs: isText, word: keepingWord }),
  "round-begun": mapOf({ round: isText, fs: isText, work: taggedBy("kind", works) }),
  "round-drained": mapOf({ round: isText }),

  "node-asked": mapOf({ request: isText, about: question }),
  "node-answered": mapOf({ request: isText, answer: answerOfNode }),
};

/** Whether a frame's body is a message as cluster/messages.ts has it. */
export const isMessage: Shape = taggedBy("kind", messages);
