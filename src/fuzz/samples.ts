/**
 * Valid inputs, at least one of each kind; the compiler sees to it that no kind of message is forgotten.
 */
import type { Message, MessageKind } from "../cluster/messages.js";
import type { ManagerCall, RegistrySnapshot } from "../cluster/registry-document.js";
import type { View } from "../cluster/view-document.js";
import { type DmEvent, type EventType, eventTypes } from "../dmapi/events.js";
import type { FsName, GroupName, Handle, Incarnation, NodeId, RequestId, SessionId, Token } from "../dmapi/ids.js";
import { unsealedHandle } from "../dmapi/handle.js";
import type { FileRecord } from "../dmapi/record.js";
import { IN_HEADER_SIZE, opcodes } from "../fuse/codec/constants.js";
import type { Intent, LedgerEntry, Manifest } from "../migration/stores/store.js";
import { HandleSeal } from "../volume/handle-seal.js";
import { LAYOUT_BYTES_MAX, layMessage, layNextEvent, layResult } from "../wire/laid-by-hand.js";
import type { LinkMessage } from "../wire/node-frames.js";

export const seal = new HandleSeal("ab".repeat(32));
const fsid = "00000000000000f5";
export const handle: Handle = seal.seal(fsid, 1, "0c00000011223344");
export const fsHandle: Handle = seal.seal(fsid, "fs", "");
export const handleTexts: readonly string[] = [handle, fsHandle, "global", unsealedHandle(fsid, 0x81, "ff".repeat(24)) + "0".repeat(16)];

const A = "A" as NodeId;
const fs = "fs1" as FsName;
const request = "A.1.17" as RequestId;
const incarnation = 3 as Incarnation;
const session = 5 as SessionId;
const token = 70_001 as Token;
const facts = { id: A, incarnation, bootId: "4b1d", address: "127.0.0.1:7801", isEligible: true, preference: 0 } as const;
export const view: View = {
  cluster: "demo", number: 9, manager: A, sessionIdLimit: 1_000,
  members: [{ ...facts, slot: 0, mounted: [fs] }, { ...facts, id: "B" as NodeId, slot: 1_023, mounted: [] }],
  removed: [{ id: "C" as NodeId, incarnation, isOver: false }],
};
export const lease = { facts, process: "00ff" };
export const identity = { id: A, process: "00ff", pid: 17, host: "h", bootId: "4b1d", address: "127.0.0.1:7801", incarnation };
export const reach = { reaches: [A, "B" as NodeId] };
export const viewFile = { nonce: "spares/A+00ff.2", view };

const events: Readonly<Record<EventType, DmEvent>> = Object.fromEntries(eventTypes.map((type) => [type, eventOf(type)])) as Record<EventType, DmEvent>;
function eventOf(type: EventType): DmEvent {
  switch (type) {
    case "read": case "write": case "truncate": return { type, handle, offset: 4096, length: 2 ** 40 };
    case "attribute": case "close": case "debut": return { type, handle };
    case "destroy": return { type, handle, attributeName: "0123456789abcdef", attributeCopy: new Uint8Array([1, 2]) };
    case "mount": return { type, fsHandle, mountpoint: "/m", source: "/s", rootHandle: handle, isReadOnly: false };
    case "cancel": return { type, cancelledToken: token, cancelledSequence: 4 };
    case "user": return { type, data: new Uint8Array([9]) };
    default: return { type, handle1: handle, name1: "a", handle2: handle, name2: "b\xff", mode: 0o100644, returnCode: 0 };
  }
}
const registry: RegistrySnapshot = {
  view: 9, version: 40, highestSessionId: 6, audit: [{ version: 40, unixMs: 5, act: "session created", session, detail: "", node: A, caller: { pid: 1, uid: 0, command: "x" } }], destroyed: [4 as SessionId],
  sessions: [{ id: session, node: A, incarnation, hostGeneration: 2, info: "hsm", group: "g" as GroupName, state: "active" }],
  dispositions: [{ fs, event: "read", owner: { kind: "session", session } }, { fs: "global", event: "mount", owner: { kind: "group", group: "g" as GroupName } }],
  answered: [{ request, result: { kind: "done", session, version: 40 } }, { request, result: { kind: "failed", failure: { code: "EBUSY", message: "busy" } } }],
};
const calls: readonly ManagerCall[] = [
  { kind: "create-session", info: "hsm", group: "g" as GroupName }, { kind: "assume-session", session, info: "" }, { kind: "modify-session", session, info: "i", lease: { afterMs: 30_000, onLost: { data: { kind: "standby", session }, namespace: { kind: "errno", code: "EIO" }, mount: { kind: "wait" } } } },
  { kind: "destroy-session", session }, { kind: "set-dispositions", owner: { kind: "session", session }, fs, events: ["read", "write"], below: 23 },
  { kind: "announce-mount", fs, isMounted: true }, { kind: "move-manager", to: A }, { kind: "fence-node", node: A },
];
const raised = { kind: "event-raised", session, hostGeneration: 1, token, isSynchronous: true, sequence: 8, registryVersion: 40, fs } as const;
const messages: Readonly<{ [K in MessageKind]: Extract<Message, { kind: K }> }> = {
  "view-proposed": { kind: "view-proposed", view },
  "view-adopted": { kind: "view-adopted", number: 9 },
  "view-in-force": { kind: "view-in-force", number: 9 },
  greeting: { kind: "greeting", incarnation },
  "manager-call": { kind: "manager-call", request, call: calls[0]!, caller: { pid: 1, uid: 0, command: "x" } },
  "manager-result": { kind: "manager-result", request, result: { kind: "done", version: 40 } },
  "registry-changed": {
    kind: "registry-changed",
    change: {
      version: 41, by: A,
      changes: [
        { kind: "session-put", session: registry.sessions[0]! }, { kind: "session-destroyed", id: session }, { kind: "request-answered", request, result: { kind: "done", version: 41 } },
        { kind: "dispositions-set", owner: { kind: "session", session }, fs, events: ["read"], below: 23 },
      ],
    },
  },
  "registry-acknowledged": { kind: "registry-acknowledged", version: 41 },
  "registry-collect": { kind: "registry-collect", view: 9, copy: { view: 8, version: 40 } },
  "registry-collected": { kind: "registry-collected", view: 9, snapshot: registry, unfinished: calls.map((call) => ({ request, call })) },
  "registry-installed": { kind: "registry-installed", view: 9, snapshot: registry },
  "registry-install-acknowledged": { kind: "registry-install-acknowledged", view: 9, version: 40 },
  "registry-wanted": { kind: "registry-wanted", version: 39 },
  "closing-check": { kind: "closing-check", session },
  "closing-checked": { kind: "closing-checked", session, isEmpty: true },
  "event-raised": { ...raised, event: events.read, process: { pid: 1, uid: 0, gid: 0, command: "cat" }, notice: { group: "g" as GroupName, handledBy: A } },
  "events-raised": {
    kind: "events-raised", session, hostGeneration: 1, registryVersion: 40, fs,
    events: [{ token, sequence: 8, event: events.postcreate, process: { pid: 1, uid: 0, gid: 0, command: "cat" } }, { token, sequence: 9, event: events.postcreate, raisedOn: A, passedBy: [session] }],
  },
  "event-enqueued": { kind: "event-enqueued", token },
  "events-enqueued": { kind: "events-enqueued", tokens: [token, token] },
  "event-answered": { kind: "event-answered", token, session, hostGeneration: 1, response: { kind: "abort", code: "EIO" }, data: new Uint8Array([1]) },
  "answer-taken": { kind: "answer-taken", token, session },
  "event-withdrawn": { kind: "event-withdrawn", token, session },
  "event-handed-over": { kind: "event-handed-over", token, session, hostGeneration: 1, to: session, passedBy: [session] },
  "events-logged": {
    kind: "events-logged", session, hostGeneration: 1, incarnation: 3 as Incarnation, previous: 4, through: 5, place: { segment: 1, offset: 300 },
    events: [{ sequence: 5, previous: 4, fs, event: events.postcreate }],
  },
  "events-acknowledged": { kind: "events-acknowledged", session, incarnation: 3 as Incarnation, through: 5 },
  "event-misrouted": { kind: "event-misrouted", token, session, registryVersion: 40 },
  "right-wanted": { kind: "right-wanted", request, handle, fs, holder: "5.t7", right: "exclusive", wait: true, isUpgrade: false, isManaged: true },
  "right-granted": { kind: "right-granted", request, handle, holder: "5.t7", right: "shared", view: 9 },
  "right-refused": { kind: "right-refused", request, failure: { code: "EAGAIN", message: "held" }, view: 9 },
  "right-released": { kind: "right-released", handle, holder: "5.t7", right: "null" },
  "right-unwanted": { kind: "right-unwanted", request, handle },
  "interest-wanted": { kind: "interest-wanted", handle },
  "interest-granted": { kind: "interest-granted", handle, view: 9, fence: "null", fenceNumber: 2 },
  "interest-dropped": { kind: "interest-dropped", handle },
  "fence-raised": { kind: "fence-raised", handle, fence: "exclusive", fenceNumber: 3, holderNode: A },
  "fence-drained": { kind: "fence-drained", handle, fenceNumber: 3 },
  "fence-lowered": { kind: "fence-lowered", handle, fence: "null", fenceNumber: 3 },
  "rights-reported": { kind: "rights-reported", view: 9, holds: [{ handle, fs, holder: "5.t7", right: "shared", isManaged: true }], interests: [handle], fences: [handle] },
  "fences-told": { kind: "fences-told", view: 9 },
  keeping: { kind: "keeping", fs, word: { kind: "keep-ended", objects: "all" } },
  "round-begun": { kind: "round-begun", round: request, fs, work: { kind: "record-changed", handle, generation: 4 } },
  "round-drained": { kind: "round-drained", round: request },
  "node-asked": { kind: "node-asked", request, about: { kind: "trace", token } },
  "node-answered": { kind: "node-answered", request, answer: { kind: "trace", bootId: "b", aheadMs: 0.5, steps: [{ atMs: 1.5, role: "source", step: "held", text: "t" }] } },
};
export const loggedEvents: readonly unknown[] = Object.values(events).map((event, at) => [at + 1, at, fs, event, at % 2 === 0 ? null : { pid: 1, uid: 0, gid: 0, command: "cat" }, at % 3 === 0 ? A : null]);
const range = { start: "0", end: `${2n ** 63n - 1n}`, isExclusive: true };
const bodies: readonly Message[] = [
  ...Object.values(messages), ...calls.map((call) => ({ kind: "manager-call", request, call }) as const), ...Object.values(events).map((event) => ({ ...raised, event })),
  ...([{ kind: "flush", handle }, { kind: "drop-pages", handle }, { kind: "drop-names" }, { kind: "fs-event-list-changed", events: 7 }] as const).map((work) => ({ kind: "round-begun", round: request, fs, work }) as const),
  { kind: "node-asked", request, about: { kind: "locks", fs, hasCircle: true } },
  { kind: "node-answered", request, answer: { kind: "locks", report: { life: "l", owners: [{ owner: "7", waits: [{ wait: 3, handle, range }], holds: [{ handle, change: 4, ranges: [range] }] }] } } },
];
const nonce = new Uint8Array(32);
export const linkMessages: readonly LinkMessage[] = [
  { kind: "challenge", magic: "sluice-node", versions: { lowest: 1, highest: 3 }, nonce },
  { kind: "hello", magic: "sluice-node", versions: { lowest: 1, highest: 3 }, cluster: "demo", node: A, incarnation, peer: "B" as NodeId, nonce, proof: nonce },
  { kind: "welcome", node: A, incarnation, proof: nonce }, { kind: "refused", reason: "no" }, { kind: "ping", count: 1 }, { kind: "pong", count: 1 },
  { kind: "frame", frame: { from: A, fromIncarnation: incarnation, toIncarnation: incarnation, view: 9, acknowledged: 7 } },
  ...bodies.map((body) => ({ kind: "frame", frame: { from: A, fromIncarnation: incarnation, toIncarnation: incarnation, view: 9, sequence: 8, acknowledged: 7, body } }) as const),
];

/** In the layout's own bytes. */
function laid(lay: (bytes: Buffer) => number): Buffer {
  const bytes = Buffer.alloc(LAYOUT_BYTES_MAX);
  return bytes.subarray(0, lay(bytes));
}
const toLay: readonly Message[] = [
  { ...raised, event: events.read, process: { pid: 1, uid: 0, gid: 5, command: "x" } }, { ...raised, event: events.truncate },
  { kind: "event-answered", token, session, hostGeneration: 1, response: { kind: "continue" }, isQuiet: true }, { kind: "answer-taken", token, session },
];
/** Frames as they are read from the wire, with layouts in the place of messages. */
export const laidFrames: readonly unknown[] = toLay.map((message) => ({
  kind: "frame", frame: { from: A, fromIncarnation: incarnation, toIncarnation: incarnation, view: 9, sequence: 8, acknowledged: 7, body: laid((bytes) => layMessage(message, bytes, 0)) },
}));
const readEvent = { session, fs, source: A, sequence: 3, token, event: events.read, process: { pid: 1, uid: 0, gid: 5, command: "x" } };

/** As arrays on the wire: `[id, name, args]`, `[id, 2]` and `[id, 3, layout]`. */
export const toDaemon: readonly (readonly unknown[])[] = [
  [9, 2], [1, "session.create", { info: "hsm", group: "g" }], [2, "node.log", { after: 3, waitMs: 10 }], [3, "event.get", { session, max: 4, waitMs: 0 }],
  [4, "event.respond", { session, token, response: { kind: "abort", code: "EIO" }, data: new Uint8Array([1]) }],
  [5, "region.set", { session, handle, token, regions: [{ offset: 0, size: 0, flags: 7 }] }],
  [6, "fileattr.set", { session, handle, mtimeNs: 1_700_000_000_000_000_001n, size: 2 ** 40 }],
  [7, "record.change", { session, handle, guard: 4, change: { residency: "partial", attributes: { "0123456789abcdef": new Uint8Array(8) }, virtual: "capture" }, expect: { size: 5, mtimeNs: 6n } }],
  [8, "disposition.set", { session, fs: "fs1", events: ["read", "write"], below: 23 }], [10, "link.cut", { peer: "B", direction: "both" }],
  [11, "event.get", { session, answers: [{ token, response: { kind: "continue" } }] }], [12, 3, laid((bytes) => layNextEvent({ session, answers: [{ token, response: { kind: "continue" } }] }, bytes, 0))],
];
/** `[id, 0, result]`, `[id, 1, failure]` and `[id, 2, layout]`. */
export const toApplication: readonly (readonly unknown[])[] = [
  [5, 0, [readEvent]], [6, 2, laid((bytes) => layResult([readEvent], bytes, 0))],
  [1, 0, { session }], [2, 0, [{ session, fs, source: A, sequence: 3, token, event: events.rename }]], [3, 1, { code: "EBUSY", message: "held by B" }], [4, 0, null],
];

export const own = "810000000c00000011223344";
export const records: readonly FileRecord[] = [
  { generation: 1, residency: "resident", regions: [], attributes: {} },
  {
    generation: 2 ** 40, residency: "partial", regions: [{ offset: 0, size: 0, flags: 7 }, { offset: 4096, size: 2 ** 40, flags: 1 }], eventList: 7,
    attributes: { "0123456789abcdef": new Uint8Array([1, 2, 3]), "5f534c4348534d5f": new Uint8Array(600) }, virtual: { size: 2 ** 40, atimeNs: -1n, mtimeNs: 2n ** 62n, ctimeNs: 0n },
  },
];

/** Messages of the kernel, one of each opcode, and one with an extension. */
export const kernelRequests: readonly Buffer[] = [...Object.values(opcodes).map((opcode) => kernelRequest(opcode, Buffer.alloc(0))), kernelRequest(opcodes.mkdir, groups())];
function kernelRequest(opcode: number, extension: Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(IN_HEADER_SIZE), fields(opcode), Buffer.from("name\0new name\0\0\0"), extension]);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(2n ** 60n, 8);
  bytes.writeUInt32LE(42, 16);
  bytes.writeUInt16LE(extension.length / 8, 36);
  return bytes;
}
function fields(opcode: number): Buffer {
  const bytes = Buffer.alloc(opcode === opcodes.setattr ? 88 : 64);
  if (opcode === opcodes.batchForget) bytes.writeUInt32LE(3, 0);
  if (opcode === opcodes.write) bytes.writeUInt32LE(20, 16);
  if (opcode === opcodes.setxattr) bytes.writeUInt32LE(4, 0);
  return bytes;
}
function groups(): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(24, 0);
  bytes.writeUInt32LE(32, 4);
  bytes.writeUInt32LE(1, 8);
  bytes.writeUInt32LE(1234, 12);
  return bytes;
}

export const config = {
  cluster: "demo", node: "a", address: "[::1]:7801", socket: "/run/a.sock", applicationGroup: 7, coordination: { driver: "shared-volume", directory: "/srv/c", renewMs: 250 },
  fileSystems: [{ name: "fs1", backing: "/srv/fs1/", mountpoint: "/mnt/fs1", mode: "exact", dataEventRetry: -1 }, { name: "fs2", backing: "/srv/fs2" }],
  timeouts: { ownerTimeoutMs: 5_000 }, logFile: "/var/log/a",
};
export const configTexts: readonly string[] = [
  JSON.stringify(config),
  "cluster: demo\nnode: a\naddress: 127.0.0.1:7801\nsocket: /run/a.sock\ncoordination: { directory: /srv/c }\nfileSystems:\n  - { name: fs1, backing: /srv/fs1/ }\n",
  "cluster: &a [*a]\nnode: *a\n<<: { x: *a }\n",
  "a: &a [x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c]\ncluster: [*d,*d,*d,*d]\n",
];

export const storeObject = "0123456789abcdef".repeat(2);
export const manifest: Manifest = {
  format: 1, object: storeObject, handle: "00ff", fs: "fs1", path: "/a/b", size: 70_000, checksum: { algorithm: "sha256", value: "ab".repeat(32) },
  mode: 0o100644, uid: 0, gid: 5, atimeNs: "1", mtimeNs: "-2", ctimeNs: "1700000000000000000", attributes: { "user.a": "AAA=" }, copiedAt: "2026-01-01T00:00:00Z",
};
export const intent: Intent = { object: storeObject, handle: "00ff", path: "/a", verb: "migrate", session: 5, atMs: 1.5 };
export const ledgerEntry: LedgerEntry = { object: storeObject, handle: "00ff", reason: "the file was recalled", atMs: 1 };
