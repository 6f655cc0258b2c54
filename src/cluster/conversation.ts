/**
 * Test support: a few nodes' data management halves in one place, driven by lines of text, so that a whole conversation
 * reads as a document (testdata/*.txt). Streams are FIFO and perfect; a frozen node neither takes nor says anything. In
 * place of the session manager and the view stands the least that gives this half its facts.
 *
 * Used only by tests. Tokens print as #1, #2 ... in order of appearance; objects are F1, F2 ... of fs1.
 */
import { assert } from "../base/assert.js";
import type { CallName } from "../dmapi/calls.js";
import { type DmEvent, eventSet, type EventType, isSynchronous } from "../dmapi/events.js";
import type { FsName, GroupName, Handle, Incarnation, NodeId, OperationId, RequestId, SessionId } from "../dmapi/ids.js";
import type { FileRecord } from "../dmapi/record.js";
import { DataManagement } from "./data-management.js";
import type { DataManagementEffect, DataManagementInput } from "./data-management-contract.js";
import type { EventLogWork } from "./durable-events/event-log.js";
import { EventLogModel } from "./durable-events/event-log.model.js";
import { defaultTimeouts, type MountEventScope, type VolumeJob, type VolumeResult } from "./node-contract.js";
import { RegistryIndex } from "./registry-index.js";
import type { Disposition, ManagerCall, ManagerResult, SessionRecord } from "./registry-document.js";
import type { View } from "./view-document.js";

type Send = Extract<DataManagementEffect, { kind: "send" }>;
type Input = DataManagementInput extends infer I ? (I extends unknown ? Omit<I, "atMs"> : never) : never;
interface Station {
  readonly id: NodeId;
  readonly slot: number;
  incarnation: Incarnation;
  machine: DataManagement;
  isFrozen: boolean;
  isMember: boolean;
  drainsByHand: boolean;
  mounted: FsName[];
  inbox: Input[];
  fences: Map<Handle, number>;
}

const FSID = "00000000000000f5";
const SEAL = "5ea15ea15ea15ea1";
const FS1 = "fs1" as FsName;
export const fsHandle = `${FSID}ffffffff${SEAL}` as Handle;
export function objectHandle(number: number): Handle {
  return `${FSID}01000000${number.toString(16).padStart(8, "0")}${SEAL}` as Handle;
}

export class Conversation {
  readonly #stations = new Map<NodeId, Station>();
  readonly #sessions = new Map<SessionId, SessionRecord>();
  readonly #closing = new Map<SessionId, { asker: NodeId; request: RequestId }>();
  readonly #tokens: number[] = [];
  readonly #records = new Map<Handle, FileRecord>();
  #pid: number | undefined;
  readonly #failures: { name: string; code: string; times: number }[] = [];
  #dispositions: Disposition[] = [];
  #ids = 0;
  #version = 0;
  #viewNumber = 0;
  #mountEvent: MountEventScope = "all";
  #areMountEventsRequired = false;
  #view: View | undefined;
  #nowMs = 0;
  #lines: string[] = [];
  /** Of nodes whose log, or mounts, answer only when told. */
  readonly #slowLogs = new Map<NodeId, (() => void)[]>();
  readonly #slowMounts = new Map<NodeId, (() => void)[]>();
  readonly #eventLogs = new EventLogModel();
  readonly #watch: (message: Send["message"]) => void;

  /** `watch` sees every message that one node sends another. */
  constructor(watch: (message: Send["message"]) => void = () => undefined) {
    this.#watch = watch;
  }

  /** Runs one line and returns what was seen. */
  run(line: string): string[] {
    this.#lines = [];
    const [verb, ...words] = line.trim().split(/\s+/);
    this.#command(verb ?? "", words, line);
    this.#settle();
    return this.#lines;
  }

  #command(verb: string, words: string[], line: string): void {
    const node = words[0] as NodeId;
    switch (verb) {
      case "nodes":
        return this.#begin(words as NodeId[]);
      case "call":
        return this.#tell(node, {
          kind: "call-made", call: Number(words[1]), client: Number(words[1]) >= 900 ? 9 : Number(words[1]) >= 100 ? Math.floor(Number(words[1]) / 100) : 1, name: words[2] as CallName,
          args: this.#parse(line.slice(line.indexOf("{"))), ...(this.#pid !== undefined && { pid: this.#pid }),
        });
      case "process": // whose calls and operations those are that come now
        this.#pid = words[0] === undefined ? undefined : Number(words[0]);
        return;
      case "mount-event":
        this.#mountEvent = words[0] as MountEventScope;
        this.#areMountEventsRequired = words[1] === "required";
        return;
      case "disconnect":
        return this.#tell(node, { kind: "client-gone", client: Number(words[1]) });
      case "abandon":
        return this.#tell(node, { kind: "call-abandoned", call: Number(words[1]) });
      case "hold":
        return this.#hold(node, Number(words[1]), words[2] as EventType, words[3] ?? "F1");
      case "gone":
        return this.#tell(node, { kind: "operation-gone", operation: Number(words[1]) as OperationId });
      case "interest":
        return this.#tell(node, { kind: "interest-wanted", handle: this.#handle(words[1] ?? "F1") });
      case "record": // the second one, if nothing else is said: all members know then that there is one
        this.#records.set(this.#handle(node), { generation: Number(words[1] ?? 2), residency: "partial", regions: [], attributes: {} });
        return;
      case "fail":
        this.#failures.push({ name: words[0] ?? "", code: words[1] ?? "EIO", times: Number(words[2] ?? 1) });
        return;
      case "by-hand":
        this.#station(node).drainsByHand = true;
        return;
      case "drained": {
        const handle = this.#handle(words[1] ?? "F1");
        return this.#tell(node, { kind: "fence-drained", handle, fenceNumber: this.#station(node).fences.get(handle) ?? 0 });
      }
      case "slow-log":
        this.#slowLogs.set(node, this.#slowLogs.get(node) ?? []);
        return;
      case "log-done": {
        const next = this.#slowLogs.get(node)?.shift();
        if (next !== undefined) next();
        return;
      }
      case "slow-mount":
        this.#slowMounts.set(node, []);
        return;
      case "mount-done":
        this.#slowMounts.get(node)?.shift()?.();
        return;
      case "freeze":
        this.#station(node).isFrozen = true;
        return;
      case "thaw":
        this.#station(node).isFrozen = false;
        return;
      case "evict":
        return this.#evict(node);
      case "leave":
        return this.#evict(node, false);
      case "in-force":
        return this.#tellInForce();
      case "exclude":
        this.#evict(node);
        return this.#tell(node, { kind: "excluded" });
      case "rejoin":
        return this.#rejoin(node);
      case "time":
        return this.#pass(Number(words[0]));
      case "say": {
        const message = this.#parse(line.slice(line.indexOf("{"))) as Extract<Input, { kind: "message-received" }>["message"];
        return this.#tell(words[1] as NodeId, { kind: "message-received", from: node, message });
      }
      case "round":
        return this.#tell(node, { kind: "round-wanted", fs: FS1, work: { kind: "drop-pages", handle: this.#handle(words[1] ?? "F1") }, operation: Number(words[2]) as OperationId });
      case "describe":
        this.#lines.push(`   ${this.#text(this.#station(node).machine.describe())}`);
        return;
      default:
        throw new Error(`no such line: ${line}`);
    }
  }

  #begin(ids: NodeId[]): void {
    ids.forEach((id, slot) => {
      const incarnation = 1 as Incarnation;
      this.#stations.set(id, {
        id, slot, incarnation, machine: this.#machine(id, incarnation), isFrozen: false, isMember: true, drainsByHand: false,
        mounted: [], inbox: [], fences: new Map(),
      });
    });
    for (const station of this.#stations.values()) {
      this.#tell(station.id, { kind: "fs-attached", fs: FS1, handle: fsHandle, rootHandle: objectHandle(0), eventList: eventSet(["create", "remove", "preunmount", "unmount"]), mountpoint: "/fs1" });
    }
    this.#newView();
    for (const id of this.#areMountEventsRequired ? [] : ids) {
      this.#tell(id, { kind: "call-made", call: 999, client: 0, name: "fs.mount", args: { fs: FS1 } });
      this.#settle();
    }
    this.#lines = [];
  }
  #machine(id: NodeId, incarnation: Incarnation): DataManagement {
    return new DataManagement({ cluster: "test", id, bootId: "boot", address: `${id}:1`, isEligible: true, preference: 0, incarnation, mountEvent: this.#mountEvent, mountEventsRequired: this.#areMountEventsRequired ? [FS1] : [], timeouts: defaultTimeouts, durableBacklogMax: 4 });
  }

  #hold(node: NodeId, operation: number, type: EventType, object: string): void {
    const handle = this.#handle(object);
    const event = (type === "read" || type === "write" || type === "truncate"
      ? { type, handle, offset: 0, length: 10 }
      : type === "attribute" || type === "close" ? { type, handle } : { type, handle1: handle, name1: "name" }) as DmEvent;
    const process = this.#pid === undefined ? undefined : { pid: this.#pid, uid: 0, gid: 0, command: "" };
    this.#tell(node, { kind: "event-held", held: { operation: operation as OperationId, fs: FS1, event, isSynchronous: isSynchronous(type), ...(process !== undefined && { process }) } });
  }

  #newView(isInForce = true): void {
    this.#viewNumber += 1;
    const members = [...this.#stations.values()].filter((station) => station.isMember);
    const view: View = {
      cluster: "test", number: this.#viewNumber, manager: members[0]!.id, sessionIdLimit: 100,
      members: members.map(({ id, incarnation, slot, mounted }) => ({ id, incarnation, slot, mounted: [...mounted], bootId: "boot", address: `${id}:1`, isEligible: true, preference: 0 })),
    };
    for (const station of members) this.#tell(station.id, { kind: "view-adopted", view });
    this.#newRegistry();
    this.#view = view;
    if (isInForce) this.#tellInForce();
  }
  #tellInForce(): void {
    if (this.#view === undefined) return;
    for (const { id } of this.#view.members) this.#tell(id, { kind: "view-in-force", view: this.#view });
  }
  #newRegistry(): void {
    this.#version += 1;
    const registry = new RegistryIndex({ version: this.#version, sessions: [...this.#sessions.values()], dispositions: this.#dispositions });
    for (const station of this.#stations.values()) if (station.isMember) this.#tell(station.id, { kind: "registry-applied", registry });
  }

  /** `isOver`: its lease too, so that the view comes into force. */
  #evict(node: NodeId, isOver = true): void {
    const gone = this.#station(node);
    gone.isMember = false;
    gone.mounted = [];
    gone.inbox = [];
    for (const session of this.#sessions.values()) if (session.node === node) this.#sessions.set(session.id, { ...session, state: "failed" });
    this.#newView(isOver);
  }
  /** Back under a fresh incarnation: the machine of a killed process is a new one, that of a frozen one is told. */
  #rejoin(node: NodeId): void {
    const station = this.#station(node);
    station.isFrozen = false;
    this.#tell(node, { kind: "excluded" });
    this.#settle();
    station.incarnation = (station.incarnation + 1) as Incarnation;
    station.isMember = true;
    station.fences.clear();
    this.#newView();
  }

  #pass(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const awake = [...this.#stations.values()].filter((station) => !station.isFrozen);
      const due = Math.min(...awake.map((station) => station.machine.deadlineMs));
      if (due > untilMs) break;
      this.#nowMs = Math.max(this.#nowMs, due);
      for (const station of awake) if (station.machine.deadlineMs <= this.#nowMs) this.#tell(station.id, { kind: "time-passed" });
      this.#settle();
    }
    this.#nowMs = untilMs;
  }

  #tell(node: NodeId, input: Input): void {
    this.#station(node).inbox.push(input);
  }
  #settle(): void {
    for (let steps = 0; ; steps++) {
      assert(steps < 5_000, "the conversation comes to rest");
      const station = [...this.#stations.values()].find((one) => !one.isFrozen && one.inbox.length > 0);
      const input = station?.inbox.shift();
      if (station === undefined || input === undefined) return;
      const effects = station.machine.step({ ...input, atMs: this.#nowMs } as DataManagementInput);
      for (const effect of effects) this.#perform(station, effect);
    }
  }

  #perform(station: Station, effect: DataManagementEffect): void {
    switch (effect.kind) {
      case "send":
        return this.#deliver(station, effect);
      case "ask-manager":
        this.#lines.push(`   ${station.id} asks manager: ${effect.call.kind}`);
        return this.#manage(station, effect.request, effect.call);
      case "volume-job":
        return this.#work(station, effect.job, effect.work);
      case "raise-fence":
        station.fences.set(effect.handle, effect.fenceNumber);
        this.#note(station, "raise-fence", this.#text({ handle: effect.handle, fence: effect.fence }));
        if (!station.drainsByHand) this.#tell(station.id, { kind: "fence-drained", handle: effect.handle, fenceNumber: effect.fenceNumber });
        return;
      case "lower-fence":
        return this.#note(station, "lower-fence", this.#text({ handle: effect.handle, fence: effect.fence }));
      case "grant-interest":
        return this.#note(station, "grant-interest", this.#text({ handle: effect.handle, fence: effect.fence }));
      case "begin-round":
        this.#note(station, "begin-round", this.#text({ from: effect.from, work: effect.work.kind }));
        if (!station.drainsByHand) this.#tell(station.id, { kind: "round-drained", round: effect.round, from: effect.from });
        return;
      default: {
        const { kind, ...rest } = effect;
        return this.#note(station, kind, this.#text(rest));
      }
    }
  }

  #deliver(from: Station, { to, message }: Send): void {
    this.#watch(message);
    if (message.kind === "closing-checked") return this.#closingChecked(message.session, message.isEmpty);
    const { kind, ...rest } = message;
    const isRepeated = kind === "fences-told" || (kind === "rights-reported" && message.holds.length === 0 && message.interests.length === 0);
    if (!isRepeated) this.#lines.push(`   ${from.id} => ${to}  ${kind} ${this.#text(rest)}`);
    const receiver = this.#stations.get(to);
    if (receiver?.isMember === true && from.isMember) receiver.inbox.push({ kind: "message-received", from: from.id, message });
  }

  #logWork(station: Station, job: number, work: EventLogWork): void {
    this.#note(station, "log", this.#text(work));
    const planned = this.#failures.find((failure) => failure.name === work.kind && failure.times > 0);
    const done = (): void => {
      if (planned !== undefined) planned.times -= 1;
      const failure = { code: (planned?.code ?? "EIO") as "EIO", message: "planned" };
      const result: VolumeResult = planned === undefined ? { kind: "ok", result: this.#eventLogs.run(work) } : { kind: "failed", failure };
      this.#tell(station.id, { kind: "volume-done", job, result });
    };
    const slow = this.#slowLogs.get(station.id);
    if (slow === undefined) done();
    else slow.push(done);
  }

  #work(station: Station, job: number, work: VolumeJob): void {
    if (work.kind === "event-log") return this.#logWork(station, job, work.work);
    const name = work.kind === "perform" ? work.name : work.kind;
    const planned = this.#failures.find((failure) => failure.name === name && failure.times > 0);
    this.#note(station, "job", name);
    let result: VolumeResult = { kind: "ok", result: {} };
    if (planned !== undefined) {
      planned.times -= 1;
      result = { kind: "failed", failure: { code: planned.code as "EBUSY", message: "planned" } };
    } else if (work.kind === "read-record") {
      result = { kind: "ok", result: {}, record: this.#records.get(work.handle) ?? null };
    } else if (name === "region.set" || name === "record.change") {
      const { handle } = work as { handle: Handle };
      const told = { kind: "record-changed", handle, generation: (this.#records.get(handle)?.generation ?? 0) + 1 } as const;
      const { regions } = (work as { args: { regions?: readonly unknown[] } }).args;
      result = { kind: "ok", result: {}, ...(regions?.length === 0 ? { announcement: told } : { round: told }) };
    }
    const done = () => this.#tell(station.id, { kind: "volume-done", job, result });
    const slow = name === "mount" ? this.#slowMounts.get(station.id) : undefined;
    if (slow === undefined) done();
    else slow.push(done);
  }

  #manage(station: Station, request: RequestId, call: ManagerCall): void {
    const done = (session?: SessionId): void => {
      this.#newRegistry();
      const result: ManagerResult = { kind: "done", version: this.#version, ...(session === undefined ? {} : { session }) };
      this.#tell(station.id, { kind: "manager-answered", request, result });
    };
    switch (call.kind) {
      case "create-session": {
        this.#ids += 1;
        const id = this.#ids as SessionId;
        this.#sessions.set(id, { id, node: station.id, incarnation: station.incarnation, hostGeneration: 1, info: call.info, state: "active", ...(call.group === undefined ? {} : { group: call.group as GroupName }), ...(call.lease !== undefined && { lease: call.lease }), ...(call.isDurable === true && { durability: "on" }) });
        return done(id);
      }
      case "assume-session": {
        const old = this.#sessions.get(call.session)!;
        this.#sessions.set(old.id, { ...old, node: station.id, incarnation: station.incarnation, hostGeneration: old.hostGeneration + 1, info: call.info, state: "active" });
        return done(old.id);
      }
      case "modify-session": {
        const { lease: former, ...session } = this.#sessions.get(call.session)!;
        const { info = session.info, lease = former } = call;
        this.#sessions.set(call.session, { ...session, info, ...(lease !== undefined && lease !== null && { lease }), ...(call.isDurable !== undefined && { durability: call.isDurable ? "on" : "off" }) });
        return done();
      }
      case "destroy-session":
        this.#closing.set(call.session, { asker: station.id, request });
        this.#sessions.set(call.session, { ...this.#sessions.get(call.session)!, state: "closing" });
        this.#newRegistry();
        return this.#tell(this.#sessions.get(call.session)!.node, { kind: "message-received", from: station.id, message: { kind: "closing-check", session: call.session } });
      case "set-dispositions":
        this.#dispositions = this.#dispositions.filter(({ fs, event }) => fs !== call.fs || !call.events.includes(event));
        this.#dispositions = [...this.#dispositions, ...call.events.map((event) => ({ fs: call.fs, event, owner: call.owner }))];
        return done();
      case "announce-mount":
        station.mounted = call.isMounted ? [...station.mounted, call.fs] : station.mounted.filter((fs) => fs !== call.fs);
        this.#newView();
        return done();
      default:
        return;
    }
  }
  #closingChecked(session: SessionId, isEmpty: boolean): void {
    this.#lines.push(`   closing-checked session=${session} ${isEmpty ? "empty" : "not empty"}`);
    const waiting = this.#closing.get(session);
    if (waiting === undefined) return;
    this.#closing.delete(session);
    const record = this.#sessions.get(session)!;
    if (isEmpty) this.#sessions.delete(session);
    else this.#sessions.set(session, { ...record, state: "active" });
    this.#newRegistry();
    const failed: ManagerResult = { kind: "failed", failure: { code: "EBUSY", message: "the session has events" } };
    this.#tell(waiting.asker, { kind: "manager-answered", request: waiting.request, result: isEmpty ? { kind: "done", version: this.#version } : failed });
  }

  #station(id: NodeId): Station {
    const station = this.#stations.get(id);
    assert(station !== undefined, `there is a node ${id}`);
    return station;
  }
  #note(station: Station, kind: string, text: string): void {
    this.#lines.push(`   ${station.id}  ${kind} ${text}`);
  }
  #handle(name: string): Handle {
    return name === "FS" ? fsHandle : objectHandle(Number(name.slice(1)));
  }
  /** JSON in which "F1" is a handle, "#1" a token and "bytes" some bytes. */
  #parse(text: string): unknown {
    return JSON.parse(text, (_key, value: unknown) => {
      if (typeof value !== "string") return value;
      if (/^(F\d+|FS)$/.test(value)) return this.#handle(value);
      if (/^#\d+$/.test(value)) return this.#tokens[Number(value.slice(1)) - 1];
      return value === "bytes" ? new Uint8Array([1, 2, 3]) : value;
    });
  }
  /** The other way round, leaving out what every line would repeat. */
  #text(value: unknown): string {
    return JSON.stringify(value, (key, one: unknown) => {
      if (key === "registryVersion" || key === "ageMs" || key === "fenceNumber" || key === "operationText") return undefined;
      if (one !== undefined && (key === "token" || key === "cancelledToken")) return this.#tokenName(one as number);
      if (one instanceof Uint8Array) return `${one.length} bytes`;
      return one;
    })
      .replaceAll(`"${fsHandle}"`, "FS")
      .replace(/"00000000000000f501000000([0-9a-f]{8})5ea15ea15ea15ea1"/g, (_all, hex: string) => `F${Number.parseInt(hex, 16)}`)
      .replaceAll('"', "");
  }
  #tokenName(token: number): string {
    if (!this.#tokens.includes(token)) this.#tokens.push(token);
    return `#${this.#tokens.indexOf(token) + 1}`;
  }
}
