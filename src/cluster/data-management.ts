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
import type { FsName, NodeId } from "../dmapi/ids.js";
import type { QueueEntry } from "../dmapi/status.js";
import { AttachedFileSystems } from "./attached-file-systems.js";
import type { DataManagementEffect, DataManagementInput } from "./data-management-contract.js";
import { checkCall, isHandled } from "./dm-calls/arguments.js";
import { type Call, CallDesk } from "./dm-calls/call-desk.js";
import { SessionCalls } from "./dm-calls/session-calls.js";
import type { NodeOptions } from "./node-contract.js";
import { RegistryIndex } from "./registry-index.js";
import { SessionNode } from "./session-node/session-node.js";
import { SourceNode } from "./source-node/source-node.js";
import { Surroundings } from "./surroundings.js";
import type { View } from "./view-document.js";

type Message = Extract<DataManagementInput, { kind: "message-received" }>["message"];
type CallMade = Extract<DataManagementInput, { kind: "call-made" }>;

export interface DataManagementReport {
  readonly queues: readonly QueueEntry[];
  readonly waiting: ReturnType<SourceNode["waiting"]>;
  readonly counters: Readonly<Record<string, number>>;
}

export class DataManagement {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  readonly #source: SourceNode;
  readonly #host: SessionNode;
  readonly #sessionCalls: SessionCalls;
  readonly #attached = new AttachedFileSystems();
  /** Last told to the reactors, so that they hear of changes only. */
  readonly #ownedEvents = new Map<FsName, EventSet>();
  /** Closing sessions whose emptiness the present manager was told. */
  readonly #closingTold = new Set<string>();

  constructor(options: NodeOptions) {
    this.#here = new Surroundings(options);
    this.#desk = new CallDesk(this.#here);
    this.#host = new SessionNode(this.#here, this.#desk, () => undefined);
    this.#source = new SourceNode(this.#here, (session, pid) => this.#host.isServedBy(session, pid));
    this.#sessionCalls = new SessionCalls(this.#here, this.#desk, this.#host, this.#source);
  }

  step(input: DataManagementInput): DataManagementEffect[] {
    assert(input.atMs >= this.#here.nowMs, "time never runs backwards");
    this.#here.nowMs = input.atMs;
    this.#take(input);
    this.#desk.timePassed();
    this.#host.timePassed();
    this.#source.timePassed();
    return this.#here.takeEffects();
  }

  /** When the driver owes a `time-passed`; Infinity while nothing can expire. */
  get deadlineMs(): number {
    return Math.min(this.#desk.deadlineMs, this.#host.deadlineMs, this.#source.deadlineMs);
  }

  describe(): DataManagementReport {
    return { queues: this.#host.queues(), waiting: this.#source.waiting(), counters: { ...this.#here.counters } };
  }

  #take(input: DataManagementInput): void {
    switch (input.kind) {
      case "call-made":
        return this.#callMade(input);
      case "call-abandoned":
        return this.#abandon(input.call);
      case "client-gone":
        for (const call of this.#desk.callsOf(input.client)) this.#abandon(call);
        return this.#host.clientGone(input.client);
      case "event-held":
        return this.#source.hold(input.held);
      case "operation-gone":
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
        this.#here.isInForce = input.view.number === this.#here.view?.number;
        return this.#tellClosing();
      case "registry-applied":
        this.#here.registry = new RegistryIndex(input.registry);
        return this.#surroundingsChanged();
      case "manager-answered":
        return this.#desk.managerAnswered(input.request, input.result);
      case "excluded":
        return this.#excluded();
      case "interest-wanted":
      case "interest-dropped":
      case "fence-drained":
      case "round-drained":
      case "round-wanted":
      case "time-passed":
        return;
    }
  }

  #callMade(input: CallMade): void {
    const call: Call = { call: input.call, client: input.client, name: input.name, pid: input.pid };
    this.#desk.open(call);
    if (!isHandled(input.name)) return this.#desk.refuse(call.call, "ENOSYS", `${input.name} is not a call of this node`);
    if (!this.#here.isJoined) return this.#desk.refuse(call.call, "ENOTREADY", "this node is not in the view of the cluster; try again");
    const checked = checkCall(input.name, input.args);
    if ("wrong" in checked) return this.#desk.refuse(call.call, "EINVAL", `${input.name}: ${checked.wrong}`);
    if (!this.#sessionCalls.begin(call, checked)) this.#desk.refuse(call.call, "ENOSYS", `${input.name} is not supported`);
  }

  /** Also of a call whose answer has just left: what it carried must not be lost. */
  #abandon(call: number): void {
    this.#desk.abandoned(call);
    this.#host.readerGone(call);
  }

  #received(from: NodeId, message: Message): void {
    switch (message.kind) {
      case "event-raised":
      case "answer-taken":
      case "event-withdrawn":
        return this.#host.received(from, message);
      case "event-enqueued":
      case "event-answered":
      case "event-misrouted":
        return this.#source.received(from, message);
      case "closing-check":
        return this.#here.send(from, { kind: "closing-checked", session: message.session, isEmpty: this.#host.isEmpty(message.session) });
      default:
        return;
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
    this.#surroundingsChanged();
  }

  /** View or registry: first what is hosted here, then where this node's events go, then who waited to see it. */
  #surroundingsChanged(): void {
    const registry = this.#here.registry;
    if (!this.#here.isJoined || registry === undefined) return;
    this.#host.surroundingsChanged(registry);
    this.#source.surroundingsChanged();
    this.#tellOwnedEvents();
    this.#tellClosing();
    this.#desk.registryApplied();
  }

  #excluded(): void {
    this.#here.view = undefined;
    this.#here.registry = undefined;
    this.#here.isInForce = false;
    this.#host.excluded();
    this.#source.excluded();
    this.#desk.excluded();
    this.#closingTold.clear();
  }

  #fsAttached({ fs, handle, rootHandle, eventList, mountpoint }: Extract<DataManagementInput, { kind: "fs-attached" }>): void {
    this.#attached.attach({ fs, handle, rootHandle, eventList, ...(mountpoint === undefined ? {} : { mountpoint }) });
    this.#tellOwnedEvents();
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

  /** Safety H5: the host says whether a closing session is empty; each new manager is told again. */
  #tellClosing(): void {
    const { view, registry } = this.#here;
    if (view === undefined || registry === undefined) return;
    const stillClosing = new Set<string>();
    for (const session of registry.sessions) {
      if (session.state !== "closing" || !this.#here.isHostedHere(session)) continue;
      const told = `${session.id}/${view.manager}/${view.number}`;
      stillClosing.add(told);
      if (this.#closingTold.has(told)) continue;
      this.#here.send(view.manager, { kind: "closing-checked", session: session.id, isEmpty: this.#host.isEmpty(session.id) });
    }
    this.#closingTold.clear();
    for (const told of stillClosing) this.#closingTold.add(told);
  }
}
