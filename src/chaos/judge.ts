/**
 * The judge of a chaos run: the histories of all actors, merged, held against the very promises that the simulation
 * checks (../promises/); and what the run measured.
 *
 * Units     nanoseconds in histories, milliseconds in what is reported.
 */
import type { View } from "../cluster/view-document.js";
import { lifeName } from "../coordination/shared-volume/layout.js";
import type { NodeId, SessionId } from "../dmapi/ids.js";
import type { StatusDocument } from "../dmapi/status.js";
import type { Check } from "../promises/check.js";
import { OperationPromises, type Reception } from "../promises/operations.js";
import { checkRegistries } from "../promises/registry.js";
import { SessionPromises } from "../promises/sessions.js";
import type { Entry } from "./history.js";

type Of<K extends Entry["kind"]> = Extract<Entry, { readonly kind: K }>;
interface CallBegun {
  readonly entry: Of<"begun">;
  readonly session: SessionId | undefined;
}
export interface Told {
  readonly node: NodeId;
  readonly registry: StatusDocument["registry"];
}

/** Codes of users whose mount died, which it does not where it outlives its daemon: no answer of an application, and none is owed. */
const deadMount = ["ENOTCONN", "ECONNABORTED", "ENODEV", "ENOENT"];

export class Judge {
  readonly #check: Check;
  readonly #sessions: SessionPromises;
  readonly #operations: OperationPromises<NodeId>;
  readonly #views: View[] = [];
  readonly #viewAtNs: bigint[] = [];
  readonly #daemons = new Map<NodeId, "killed" | "frozen" | "thawed" | "up">();
  readonly #hosts = new Map<SessionId, NodeId>();
  readonly #calls = new Map<string, CallBegun>();
  readonly #askedBy = new Map<string, number>();
  readonly counts: Record<string, number> = {};

  constructor(check: Check) {
    this.#check = check;
    this.#sessions = new SessionPromises(check);
    this.#operations = new OperationPromises(check, (there) => this.#isHost(there));
  }

  judge(history: readonly Entry[]): void {
    for (const entry of history) this.#take(entry);
    for (const { operation, node } of this.#operations.waiting) this.#check(false, () => `operation ${operation} of a user on ${node} was never answered`);
    for (const { entry } of this.#calls.values()) this.#check(false, () => `call ${entry.name} of the application on ${entry.node} was never answered`);
  }
  /** What the nodes tell when everything is at rest. */
  judgeTables(told: readonly Told[]): void {
    checkRegistries(this.#check, told);
    for (const { node, registry } of told) this.#sessions.atRest(node, registry.sessions, () => true);
  }
  get sessionsKnown(): number {
    return this.#sessions.known.length;
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }
  #take(entry: Entry): void {
    switch (entry.kind) {
      case "view":
        this.#check(this.#views.every((view) => view.number !== entry.view.number), () => `two views with number ${entry.view.number}`);
        this.#views.push(entry.view);
        this.#viewAtNs.push(entry.atNs);
        return this.#count("views");
      case "daemon":
        this.#daemons.set(entry.node, entry.state);
        if (entry.state === "killed") this.#operations.sourceKilled(entry.node);
        return;
      case "begun":
        return this.#begun(entry);
      case "ended":
        return this.#ended(entry);
      case "operation":
        this.#askedBy.set(entry.who, entry.operation);
        return this.#operations.held(entry.node, entry.operation);
      case "operation-ended":
        return this.#operationEnded(entry);
      case "received":
        return this.#received(entry);
      case "responding":
        return this.#operations.responding(entry.operation, entry.response);
      case "responded":
        this.#count(`event answered, ${entry.outcome}`);
        return this.#operations.responded(this.#lifeOf(entry.node) ?? "", entry.operation);
      case "actor-gone":
        return this.#gone(entry);
    }
  }

  #begun(entry: Of<"begun">): void {
    const { session, info, name } = entry;
    this.#calls.set(`${entry.who} ${entry.call}`, { entry, session });
    if (session === undefined) return;
    if (name === "modify" || name === "assume") this.#sessions.modifying(session, info ?? "");
    if (name === "destroy") this.#sessions.destroying(session);
  }
  #ended(entry: Of<"ended">): void {
    const key = `${entry.who} ${entry.call}`;
    const call = this.#calls.get(key);
    this.#calls.delete(key);
    if (call === undefined) return;
    const { name, info = "" } = call.entry;
    this.#count(`${name}, ${entry.outcome}`);
    const session = entry.session ?? call.session;
    if (entry.outcome !== "ok" || session === undefined) return;
    if (name === "create") this.#sessions.created(session, info);
    if (name === "modify" || name === "assume") this.#sessions.modified(session, info);
    if (name === "create" || name === "assume") this.#hosts.set(session, entry.node);
    if (name === "destroy") this.#sessions.destroyed(session);
  }
  /** Its calls may have had their effect or not; its operations ended with it. */
  #gone({ who }: Entry): void {
    for (const key of this.#calls.keys()) if (key.startsWith(`${who} `)) this.#calls.delete(key);
    const operation = this.#askedBy.get(who);
    if (operation !== undefined) this.#operations.interrupted(operation);
  }

  #operationEnded({ operation, outcome, how, who }: Of<"operation-ended">): void {
    this.#askedBy.delete(who);
    this.#count(`${how} by a user, ${outcome}`);
    if (deadMount.includes(outcome)) return this.#operations.interrupted(operation);
    this.#operations.resumed(operation, outcome === "ok" ? "continue" : `abort ${outcome}`);
  }
  #received(entry: Of<"received">): void {
    this.#count("event received");
    const { session, operation } = entry;
    const life = this.#lifeOf(entry.node);
    // A node that was put out while its application asked may have handed over what was no more its own.
    const wasOut = this.#views.some((view, at) => this.#viewAtNs[at]! >= BigInt(entry.askedNs) && this.#lifeIn(view, entry.node) !== life);
    if (life === undefined || wasOut) return;
    this.#operations.received({ life, session }, entry.token, operation);
  }
  // Lives and views.

  get #latest(): View | undefined {
    return this.#views.at(-1);
  }
  #lifeIn(view: View | undefined, node: NodeId): string | undefined {
    const member = view?.members.find((each) => each.id === node);
    return member === undefined ? undefined : lifeName(member);
  }
  #lifeOf(node: NodeId): string | undefined {
    return this.#lifeIn(this.#latest, node);
  }
  #isHost({ life, session }: Reception): boolean {
    const member = this.#latest?.members.find((each) => lifeName(each) === life);
    if (member === undefined) return false;
    const state = this.#daemons.get(member.id);
    return state !== "killed" && state !== "frozen" && this.#hosts.get(session) === member.id;
  }
}
