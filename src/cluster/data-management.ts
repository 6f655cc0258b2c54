/**
 * The data management half of a node: events from source to session and back, rights and fences, rounds, mounts and the
 * applications' calls. Below it node.ts keeps the streams, the view and the registry; this half goes by their facts.
 *
 * Owns      which part hears what; nothing of its own but the file systems attached here.
 * Not here  who is a member, what the registry says (node.ts), bytes (volume/), admission of operations (the reactor).
 * Source    data-management-contract.ts; requirements R1-R19.
 */
import { assert } from "../base/assert.js";
import type { EventSet } from "../dmapi/events.js";
import type { FsName, NodeId, OperationId, SessionId, Token } from "../dmapi/ids.js";
import type { QueueEntry, StatusDocument, TraceStep } from "../dmapi/status.js";
import { AttachedFileSystems } from "./attached-file-systems.js";
import type { DataManagementEffect, DataManagementInput } from "./data-management-contract.js";
import { checkCall, isHandled } from "./dm-calls/arguments.js";
import { type Call, CallDesk } from "./dm-calls/call-desk.js";
import { MountCalls } from "./dm-calls/mount-calls.js";
import { ObjectCalls } from "./dm-calls/object-calls.js";
import { ObjectGate } from "./dm-calls/object-gate.js";
import { RightCalls, type RightWanted } from "./dm-calls/right-calls.js";
import { SessionCalls } from "./dm-calls/session-calls.js";
import { OtherMounts } from "./keeping/other-mounts.js";
import type { RoundWork } from "./messages.js";
import type { NodeOptions } from "./node-contract.js";
import { RightsClient } from "./rights/rights-client.js";
import { RightsServer } from "./rights/rights-server.js";
import { Rounds } from "./rounds.js";
import { SoleMounts } from "./sole-mounts.js";
import { SessionNode } from "./session-node/session-node.js";
import { SourceNode } from "./source-node/source-node.js";
import { Surroundings } from "./surroundings.js";
import type { View } from "./view-document.js";

type Message = Extract<DataManagementInput, { kind: "message-received" }>["message"];
type RoundWanted = Extract<DataManagementInput, { kind: "round-wanted" }>;
type CallMade = Extract<DataManagementInput, { kind: "call-made" }>;

export interface DataManagementReport {
  readonly queues: readonly QueueEntry[];
  /** What tokens and calls of this node hold, and which objects are fenced on it. */
  readonly rights: StatusDocument["rights"];
  /** Fences of the objects that have their home here. */
  readonly served: StatusDocument["rights"]["fences"];
  readonly waiting: ReturnType<SourceNode["waiting"]>;
  readonly counters: Readonly<Record<string, number>>;
}

export class DataManagement {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  readonly #source: SourceNode;
  readonly #host: SessionNode;
  readonly #rights: RightsClient;
  readonly #server: RightsServer;
  readonly #rounds: Rounds;
  readonly #soles: SoleMounts;
  readonly #otherMounts: OtherMounts;
  readonly #sessionCalls: SessionCalls;
  readonly #rightCalls: RightCalls;
  readonly #objectCalls: ObjectCalls;
  readonly #mountCalls: MountCalls;
  readonly #attached = new AttachedFileSystems();
  /** For which operations here wait; one that is cut short by an exclusion is begun again by the node's next life. */
  readonly #roundsWanted = new Map<OperationId, RoundWanted>();
  /** Before that nothing comes by time alone; each step reckons it anew. */
  #dueMs = Number.POSITIVE_INFINITY;
  /** Last told to the reactors, so that they hear of changes only. */
  readonly #ownedEvents = new Map<FsName, EventSet>();

  constructor(options: NodeOptions) {
    const here = new Surroundings(options);
    const attached = this.#attached;
    const isMounted = (fs: FsName | undefined) => fs !== undefined && attached.isMounted(fs);
    const desk = new CallDesk(here);
    const rights = new RightsClient(here, (handle) => isMounted(attached.ofHandle(handle)?.fs));
    const host = new SessionNode(here, desk, (token) => {
      if (rights.isIdle) return;
      if (rights.holdsAny(gate.holderOf(token))) here.note(token, "released");
      rights.releaseAll(gate.holderOf(token));
    }, ({ fs, event, process, source, raisedOn, passedBy, session }, to, done) => {
      const passed = { fs, event, process, isSynchronous: false, raisedOn: raisedOn ?? source, passedBy: [...passedBy, session], target: { kind: "session", session: to } } as const;
      this.#source.raise(passed, (outcome) => done(outcome.kind === "enqueued"));
    });
    const source = new SourceNode(here, desk, (session, pid) => host.isServedBy(session, pid), options.durableBacklogMax);
    const rounds = new Rounds(here, isMounted, (fs, work) => this.#roundHeard(fs, work));
    const gate = new ObjectGate({ here, desk, host, rights, attached });
    this.#here = here;
    this.#desk = desk;
    this.#host = host;
    this.#source = source;
    this.#rights = rights;
    this.#rounds = rounds;
    this.#soles = new SoleMounts(here, rounds);
    this.#otherMounts = new OtherMounts(here, isMounted);
    this.#server = new RightsServer(here);
    this.#sessionCalls = new SessionCalls(here, desk, host, source);
    this.#rightCalls = new RightCalls(here, desk, gate, rights);
    this.#objectCalls = new ObjectCalls({ here, desk, gate, rounds });
    this.#mountCalls = new MountCalls({ here, desk, source, rights, rounds, soles: this.#soles, attached, required: options.mountEventsRequired ?? [], scope: options.mountEvent ?? "all" });
  }

  step(input: DataManagementInput): DataManagementEffect[] {
    assert(input.atMs >= this.#here.nowMs, "time never runs backwards");
    this.#here.nowMs = input.atMs;
    this.#take(input);
    this.#dueMs = this.#reckonDueMs();
    if (this.#dueMs <= input.atMs) {
      this.#desk.timePassed();
      this.#host.timePassed();
      this.#source.timePassed();
      this.#rounds.timePassed();
      this.#dueMs = this.#reckonDueMs();
    }
    return this.#here.takeEffects();
  }

  /** When the driver owes a `time-passed`; Infinity while nothing can expire. */
  get deadlineMs(): number {
    return this.#dueMs;
  }
  #reckonDueMs(): number {
    return Math.min(this.#desk.deadlineMs, this.#host.deadlineMs, this.#source.deadlineMs, this.#rounds.deadlineMs);
  }

  /**
   * Whether operations on what is mounted here may be admitted. Not before the view in force says of each file system that
   * it is mounted here, or rounds would not reach this node, every rights server has told its fences (safety H3), and no other
   * node's kernel keeps names and attributes (sole-mounts.ts).
   * True where nothing is mounted.
   */
  get mayAdmit(): boolean {
    const mine = this.#here.member(this.#here.me)?.mounted ?? [];
    const mounted = this.#attached.names().filter((fs) => this.#attached.isMounted(fs));
    return mounted.length === 0 || (this.#here.isInForce && mounted.every((fs) => mine.includes(fs) && this.#soles.isShared(fs)) && this.#rights.areFencesTold);
  }

  describe(): DataManagementReport {
    return {
      queues: this.#host.queues(), waiting: this.#source.waiting(), counters: { ...this.#here.counters },
      rights: { held: this.#rights.holdings(), fences: this.#rights.fences() }, served: this.#server.fencesServed(),
    };
  }

  /** Calls of applications that have no answer yet, whatever they wait for. */
  openCalls(): readonly number[] {
    return this.#desk.openCalls();
  }
  /** Calls of applications here that wait for a right, or for the session manager. */
  blockedCalls(): { readonly rights: readonly RightWanted[]; readonly manager: ReturnType<CallDesk["managerAwaited"]> } {
    return { rights: this.#rightCalls.wanted(), manager: this.#desk.managerAwaited() };
  }
  /** Steps of that event on this node. */
  trace(token: Token): TraceStep[] {
    return this.#here.trace.of(token);
  }

  #take(input: DataManagementInput): void {
    switch (input.kind) {
      case "call-made":
        return this.#callMade(input);
      case "call-abandoned":
        return this.#abandon(input.call);
      case "client-gone":
        for (const call of this.#desk.callsOf(input.client)) this.#abandon(call);
        this.#objectCalls.clientGone(input.client);
        return this.#host.clientGone(input.client);
      case "event-held":
        return this.#source.hold(input.held);
      case "operation-gone":
        this.#roundsWanted.delete(input.operation);
        return this.#source.operationGone(input.operation);
      case "volume-done":
        return this.#desk.jobDone(input.job, input.result);
      case "fs-attached":
        return this.#fsAttached(input);
      case "message-received":
        return this.#received(input.from, input.message);
      case "view-adopted":
        return this.#viewAdopted(input.view);
      case "view-in-force":
        return this.#viewInForce(input.view);
      case "registry-applied":
        this.#here.registry = input.registry;
        return this.#surroundingsChanged(input.touched);
      case "manager-answered":
        return this.#desk.managerAnswered(input.request, input.result);
      case "excluded":
        return this.#excluded();
      case "interest-wanted":
        return this.#rights.interestWanted(input.handle);
      case "interest-dropped":
        return this.#rights.interestDropped(input.handle);
      case "fence-drained":
        return this.#rights.fenceDrained(input.handle, input.fenceNumber);
      case "round-drained":
        return this.#rounds.drainedHere(input.round);
      case "round-wanted":
        return this.#roundWanted(input);
      case "keeping-said":
        return this.#here.send(input.to, { kind: "keeping", fs: input.fs, word: input.word });
      case "time-passed":
        return;
    }
  }

  #callMade(input: CallMade): void {
    const call: Call = { call: input.call, client: input.client, name: input.name, pid: input.pid, caller: input.caller };
    this.#desk.open(call);
    if (!isHandled(input.name)) return this.#desk.refuse(call.call, "ENOSYS", `${input.name} is not a call of this node`);
    if (!this.#here.isJoined) return this.#desk.refuse(call.call, "ENOTREADY", "this node is not in the view of the cluster; try again");
    const checked = checkCall(input.name, input.args);
    if ("wrong" in checked) return this.#desk.refuse(call.call, "EINVAL", checked.wrong);
    const isBegun =
      this.#sessionCalls.begin(call, checked) || this.#rightCalls.begin(call, checked) || this.#objectCalls.begin(call, checked) || this.#mountCalls.begin(call, checked);
    if (!isBegun) this.#desk.refuse(call.call, "ENOSYS", `${input.name} is not supported`);
  }

  /** Also of a call whose answer has just left: what it carried must not be lost. */
  #abandon(call: number): void {
    this.#desk.abandoned(call);
    this.#host.readerGone(call);
  }

  #received(from: NodeId, message: Message): void {
    switch (message.kind) {
      case "event-raised":
      case "events-raised":
      case "answer-taken":
      case "event-withdrawn":
      case "events-logged":
        return this.#host.received(from, message);
      case "event-enqueued":
      case "events-enqueued":
      case "event-answered":
      case "event-misrouted":
      case "event-handed-over":
      case "events-acknowledged":
        return this.#source.received(from, message);
      case "closing-check":
        return this.#here.send(from, { kind: "closing-checked", session: message.session, isEmpty: this.#host.isEmpty(message.session) });
      case "right-wanted":
      case "right-released":
      case "right-unwanted":
      case "interest-wanted":
      case "interest-dropped":
      case "fence-drained":
      case "rights-reported":
        return this.#server.received(from, message);
      case "right-granted":
      case "right-refused":
      case "interest-granted":
      case "fence-raised":
      case "fence-lowered":
      case "fences-told":
        return this.#rights.received(from, message);
      case "round-begun":
      case "round-drained":
        return this.#rounds.received(from, message);
      case "keeping":
        return this.#otherMounts.received(from, message);
    }
  }

  #viewAdopted(view: View): void {
    const mine = view.members.find((member) => member.id === this.#here.me);
    if (mine === undefined) return this.#excluded();
    const isNewLife = this.#here.view === undefined || mine.incarnation !== this.#here.incarnation;
    if (this.#here.view !== undefined && isNewLife) this.#excluded();
    this.#here.view = view;
    this.#here.isInForce = false;
    this.#here.incarnation = mine.incarnation;
    if (isNewLife) this.#source.incarnationBegun(mine.slot);
    this.#server.viewAdopted();
    this.#rights.viewAdopted();
    this.#soles.viewAdopted(this.#attached.names());
    this.#otherMounts.tell(this.#attached.names());
    this.#surroundingsChanged();
    if (!isNewLife) return;
    this.#announceMounts(mine.mounted);
    for (const wanted of [...this.#roundsWanted.values()]) this.#beginWanted(wanted);
  }

  #viewInForce(view: View): void {
    this.#here.isInForce = view.number === this.#here.view?.number;
    if (!this.#here.isInForce) return;
    this.#server.viewInForce();
    this.#rounds.viewInForce();
    this.#soles.viewInForce(this.#attached.names());
    this.#otherMounts.tell(this.#attached.names());
    this.#source.surroundingsChanged();
  }

  /** Mounts outlive an exclusion: the view must know them again, or no round would reach this node. */
  #announceMounts(known: readonly FsName[]): void {
    for (const fs of this.#attached.names()) {
      if (!this.#attached.isMounted(fs) || known.includes(fs)) continue;
      this.#desk.ask(undefined, { kind: "announce-mount", fs, isMounted: true }, () => this.#share(fs));
    }
  }

  /** Users wait meanwhile: again, until all have given up what they kept. */
  #share(fs: FsName): void {
    this.#soles.share(fs, (failed) => {
      if (failed !== undefined && this.#attached.isMounted(fs)) this.#share(fs);
    });
  }

  /**
   * View or registry: first what is hosted here, then where this node's events go, then who waited to see it.
   *
   * @param touched the only sessions that were put or destroyed, in a view that is the same; undefined: anything may be different
   */
  #surroundingsChanged(touched?: ReadonlySet<SessionId>): void {
    const registry = this.#here.registry;
    if (!this.#here.isJoined || registry === undefined) return;
    this.#host.surroundingsChanged(registry, touched);
    this.#source.surroundingsChanged(touched);
    this.#tellOwnedEvents();
    this.#desk.registryApplied();
  }

  #excluded(): void {
    this.#here.view = undefined;
    this.#here.registry = undefined;
    this.#here.isInForce = false;
    this.#ownedEvents.clear();
    this.#host.excluded();
    this.#source.excluded();
    this.#rights.excluded();
    this.#server.excluded();
    this.#rounds.excluded();
    this.#soles.excluded();
    this.#otherMounts.excluded();
    this.#rightCalls.excluded();
    this.#mountCalls.excluded();
    this.#objectCalls.excluded();
    this.#desk.excluded();
  }

  #fsAttached({ fs, handle, rootHandle, eventList, mountpoint }: Extract<DataManagementInput, { kind: "fs-attached" }>): void {
    this.#attached.attach({ fs, handle, rootHandle, eventList, ...(mountpoint === undefined ? {} : { mountpoint }) });
    this.#tellOwnedEvents();
  }

  /** A reactor needs the other members to have done something before an operation may end (safety H7). */
  #roundWanted(wanted: RoundWanted): void {
    if (wanted.operation !== undefined) this.#roundsWanted.set(wanted.operation, wanted);
    if (this.#here.view !== undefined) this.#beginWanted(wanted);
  }
  #beginWanted({ fs, work, operation }: RoundWanted): void {
    this.#rounds.begin(fs, work, "others", (failure) => {
      if (operation === undefined || !this.#roundsWanted.delete(operation)) return;
      const decision = failure === undefined ? ({ kind: "continue" } as const) : ({ kind: "abort", code: failure.code } as const);
      this.#here.emit({ kind: "resume-operation", operation, decision });
    });
  }
  #roundHeard(fs: FsName, work: RoundWork): void {
    const attached = this.#attached.get(fs);
    if (work.kind === "fs-event-list-changed" && attached !== undefined) attached.eventList = work.events;
  }

  #tellOwnedEvents(): void {
    const registry = this.#here.registry;
    if (registry === undefined) return;
    for (const fs of this.#attached.names()) {
      const events = registry.ownedEvents(fs);
      if (this.#ownedEvents.get(fs) === events) continue;
      this.#ownedEvents.set(fs, events);
      this.#here.emit({ kind: "set-owned-events", fs, events });
    }
  }
}
