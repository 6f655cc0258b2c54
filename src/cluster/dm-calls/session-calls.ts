/**
 * Calls on sessions, dispositions, events and messages. What changes the registry goes to the session manager and is
 * answered when this node's copy shows it; what concerns a queue is the session node's.
 *
 * Source    XDSM C429 sessions, dm_set_disp, dm_send_msg; requirements R5-R9, R13, R14; XDSM 7.3 for which node may call.
 */
import type { ArgsOf } from "../../dmapi/calls.js";
import { dispositionEvents, type EventType, eventNumbers, hasEvent } from "../../dmapi/events.js";
import { type FsName, MESSAGE_DATA_LENGTH_MAX, SESSION_INFO_LENGTH_MAX, type SessionId } from "../../dmapi/ids.js";
import type { DispositionEntry } from "../../dmapi/status.js";
import { sessionEntry } from "../cluster-calls.js";
import type { Owner, SessionRecord } from "../registry-document.js";
import type { SessionNode } from "../session-node/session-node.js";
import type { SourceNode } from "../source-node/source-node.js";
import type { Surroundings } from "../surroundings.js";
import type { CheckedCall } from "./arguments.js";
import type { Call, CallDesk } from "./call-desk.js";

/** XDSM DM_EVENT_MAX: events are numbered below it. */
export const EVENT_MAX = 23;
const NOTE_LENGTH_MAX = 120;

export class SessionCalls {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  readonly #host: SessionNode;
  readonly #source: SourceNode;

  constructor(here: Surroundings, desk: CallDesk, host: SessionNode, source: SourceNode) {
    this.#here = here;
    this.#desk = desk;
    this.#host = host;
    this.#source = source;
  }

  /** False when the call is none of these. */
  begin(call: Call, checked: CheckedCall): boolean {
    const { name, args } = checked;
    switch (name) {
      case "session.create":
        if (this.#isInfoShort(call, args.info)) {
          const ask = { kind: "create-session", info: args.info, ...(args.group !== undefined && { group: args.group }), ...(args.lease !== undefined && args.lease !== null && { lease: args.lease }), ...durable(args) } as const;
          this.#desk.ask(call, ask, (done) => this.#desk.answer(call.call, { session: done.session }));
        }
        return true;
      case "session.assume":
        if (this.#isInfoShort(call, args.info) && this.#record(call, args.session) !== undefined) {
          const ask = { kind: "assume-session", session: args.session, info: args.info } as const;
          this.#desk.ask(call, ask, (done) => this.#desk.answer(call.call, { session: done.session ?? args.session }));
        }
        return true;
      case "session.modify":
        this.#modify(call, args);
        return true;
      case "session.renew":
        this.#host.renew(call, args.session);
        return true;
      case "session.destroy":
        this.#destroy(call, args.session);
        return true;
      case "session.list":
        this.#desk.answer(call.call, [...(this.#here.registry?.eachSession() ?? [])].map(sessionEntry));
        return true;
      case "session.query": {
        const record = this.#record(call, args.session);
        if (record !== undefined) this.#desk.answer(call.call, sessionEntry(record));
        return true;
      }
      case "disposition.set":
        this.#setDispositions(call, args);
        return true;
      case "disposition.list":
        this.#listDispositions(call, args.session);
        return true;
      default:
        return this.#beginEventCall(call, checked);
    }
  }

  #beginEventCall(call: Call, { name, args }: CheckedCall): boolean {
    switch (name) {
      case "event.get":
        this.#host.getEvents(call, args);
        return true;
      case "event.respond":
        this.#host.respond(call, args);
        return true;
      case "event.acknowledge":
        this.#host.acknowledge(call.call, args);
        return true;
      case "event.find":
        this.#host.find(call.call, args.session, args.token);
        return true;
      case "event.move":
        this.#host.move(call.call, args.session, args.token, args.target);
        return true;
      case "token.list":
        this.#host.tokens(call.call, args.session);
        return true;
      case "userevent.create":
        if (!this.#isDataShort(call, args.data)) return true;
        this.#host.createUserEvent(call.call, args.session, this.#source.makeToken((token) => this.#host.isAlive(token)), args.data);
        return true;
      case "trace.note":
        this.#note(call, args);
        return true;
      case "message.send":
        this.#sendMessage(call, args);
        return true;
      default:
        return false;
    }
  }

  #modify(call: Call, args: ArgsOf<"session.modify">): void {
    const { session, lease } = args;
    const info = args.info ?? undefined; // null travels for what is absent
    if (this.#record(call, session) === undefined) return;
    if (info === undefined && lease === undefined && args.isDurable === undefined) return this.#desk.refuse(call.call, "EINVAL", "nothing to modify: name an information string, a lease or whether it is durable");
    if (info !== undefined && !this.#isInfoShort(call, info)) return;
    const ask = { kind: "modify-session", session, ...(info !== undefined && { info }), ...(lease !== undefined && { lease }), ...durable(args) } as const;
    this.#desk.ask(call, ask, () => this.#desk.answer(call.call, {}));
  }

  /** Of an event of that session only; others' traces are not for it to write. */
  #note(call: Call, { session, token, text }: ArgsOf<"trace.note">): void {
    const found = this.#host.outstanding(session, token);
    if ("code" in found) return this.#desk.refuse(call.call, found.code, found.message);
    this.#here.note(token, "noted", text.slice(0, NOTE_LENGTH_MAX));
    this.#desk.answer(call.call, {});
  }

  #destroy(call: Call, session: SessionId): void {
    const record = this.#record(call, session);
    if (record === undefined) return;
    // A failed session has no host that could refuse: its node's word is not to be had.
    if (record.state !== "failed" && !this.#host.isHosted(session)) {
      return this.#desk.refuse(call.call, "EINVAL", `session ${session} is hosted on ${record.node}; destroy it there`);
    }
    this.#desk.ask(call, { kind: "destroy-session", session }, () => this.#desk.answer(call.call, {}));
  }

  /** XDSM dm_set_disp: the complete set of events of that file system for this owner, below `below`. */
  #setDispositions(call: Call, args: ArgsOf<"disposition.set">): void {
    const refuse = (message: string) => this.#desk.refuse(call.call, "EINVAL", message);
    const below = args.below ?? EVENT_MAX;
    if (below === 0 || below > EVENT_MAX) return refuse(`events are numbered below ${EVENT_MAX}`);
    const isLegal = (event: EventType) => (args.fs === "global" ? event === "mount" : hasEvent(dispositionEvents, event));
    const illegal = args.events.find((event) => eventNumbers[event] < below && !isLegal(event));
    if (illegal !== undefined) return refuse(`${illegal} cannot be set on ${args.fs === "global" ? "the global handle" : "a file system"}`);
    const owner = this.#ownerOf(call, args);
    if (owner === undefined) return;
    if (args.fs !== "global" && this.#here.membersMounting(args.fs).length === 0) {
      return this.#desk.refuse(call.call, "EBADF", `${args.fs} is mounted on no node`);
    }
    const ask = { kind: "set-dispositions", owner, fs: args.fs, events: args.events, below } as const;
    this.#desk.ask(call, ask, (done) => this.#desk.answer(call.call, { version: done.version }));
  }

  #ownerOf(call: Call, args: ArgsOf<"disposition.set">): Owner | undefined {
    const registry = this.#here.registry;
    if (args.group !== undefined) {
      if (registry?.group(args.group).length !== 0) return { kind: "group", group: args.group };
      this.#desk.refuse(call.call, "EINVAL", `no session belongs to group ${args.group}`);
      return undefined;
    }
    if (args.session === undefined) {
      this.#desk.refuse(call.call, "EINVAL", "a disposition needs a session or a group");
      return undefined;
    }
    return this.#record(call, args.session) === undefined ? undefined : { kind: "session", session: args.session };
  }

  #listDispositions(call: Call, session: SessionId | undefined): void {
    const record = session === undefined ? undefined : this.#record(call, session);
    if (session !== undefined && record === undefined) return;
    const isListed = (owner: Owner) =>
      record === undefined || (owner.kind === "session" ? owner.session === record.id : owner.group === record.group);
    const all = this.#here.registry?.dispositions ?? [];
    this.#desk.answer(call.call, all.filter(({ owner }) => isListed(owner)).map(({ fs, event, owner }): DispositionEntry =>
      owner.kind === "session" ? { fs, event, session: owner.session } : { fs, event, group: owner.group }));
  }

  /** From any node to wherever the session is; the answer's data come back. XDSM dm_send_msg. */
  #sendMessage(call: Call, args: ArgsOf<"message.send">): void {
    if (!this.#isDataShort(call, args.data) || this.#record(call, args.session) === undefined) return;
    const event = { type: "user", data: args.data } as const;
    const target = { kind: "session", session: args.session } as const;
    const raised = { fs: "" as FsName, event, isSynchronous: args.isSynchronous, target };
    const sent = this.#source.raise(raised, (outcome) => {
      if (outcome.kind === "failed") return this.#desk.refuse(call.call, outcome.code, outcome.message);
      if (outcome.kind === "answered" && outcome.response.kind === "abort") {
        return this.#desk.refuse(call.call, outcome.response.code, `session ${args.session} refused the message`);
      }
      const data = outcome.kind === "answered" ? outcome.data : undefined;
      this.#desk.answer(call.call, data === undefined ? {} : { data });
    });
    this.#desk.whenAbandoned(call.call, () => void sent.withdraw());
  }

  #record(call: Call, session: SessionId): SessionRecord | undefined {
    const record = this.#here.registry?.session(session);
    if (record === undefined) this.#desk.refuse(call.call, "EINVAL", `there is no session ${session}`);
    return record;
  }
  /** The limit counts the final NUL of C. */
  #isInfoShort(call: Call, info: string): boolean {
    if (bytesOf(info) < SESSION_INFO_LENGTH_MAX) return true;
    this.#desk.refuse(call.call, "E2BIG", `the information string has at most ${SESSION_INFO_LENGTH_MAX - 1} bytes`);
    return false;
  }
  #isDataShort(call: Call, data: Uint8Array): boolean {
    if (data.length <= MESSAGE_DATA_LENGTH_MAX) return true;
    this.#desk.refuse(call.call, "E2BIG", `a message carries at most ${MESSAGE_DATA_LENGTH_MAX} bytes`);
    return false;
  }
}

/** Length in UTF-8. */
function bytesOf(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}
function durable({ isDurable }: { isDurable?: boolean | null }): { isDurable?: boolean } {
  return typeof isDurable !== "boolean" ? {} : { isDurable };
}
