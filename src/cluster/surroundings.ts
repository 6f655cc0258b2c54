/**
 * What the parts of a node's data management half share: who and when it is, the view and registry it goes by, and
 * where its effects go. The parts own their state; this owns none but the latest facts.
 *
 * Units     milliseconds of the monotonic clock handed in with each input.
 */
import type { FsName, Incarnation, NodeId, RequestId, Token } from "../dmapi/ids.js";
import type { DataManagementEffect } from "./data-management-contract.js";
import type { NodeOptions, NodeTimeouts } from "./node-contract.js";
import type { RegistryIndex } from "./registry-index.js";
import type { SessionRecord } from "./registry-document.js";
import { type StepName, TraceRing } from "./trace.js";
import { type Member, memberNamed, type View } from "./view-document.js";

type Send = Extract<DataManagementEffect, { kind: "send" }>;

export class Surroundings {
  readonly me: NodeId;
  readonly timeouts: NodeTimeouts;
  nowMs = 0;
  incarnation: Incarnation;
  /** Undefined before the first view, and while this node is excluded. */
  view: View | undefined;
  isInForce = false;
  registry: RegistryIndex | undefined;
  readonly counters: Record<string, number> = {};
  readonly trace = new TraceRing();
  #effects: DataManagementEffect[] = [];
  #requests = 0;

  constructor(options: NodeOptions) {
    this.me = options.id;
    this.incarnation = options.incarnation;
    this.timeouts = options.timeouts;
  }

  emit(effect: DataManagementEffect): void {
    this.#effects.push(effect);
  }
  /** To a member, or to this node itself; nobody hears who is not in the view. */
  send(to: NodeId, message: Send["message"]): void {
    if (this.member(to) !== undefined) this.#effects.push({ kind: "send", to, message });
  }
  takeEffects(): DataManagementEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
  count(counter: string): void {
    this.counters[counter] = (this.counters[counter] ?? 0) + 1;
  }
  /** For the trace of that event. */
  note(token: Token, step: StepName, a?: string | number, b?: string | number): void {
    this.trace.note(this.nowMs, token, step, a, b);
  }
  /** A name for a request or holder, never used twice by any incarnation. */
  nextName(prefix: string): RequestId {
    this.#requests += 1;
    return `${this.me}.${this.incarnation}.${prefix}${this.#requests}` as RequestId;
  }

  member(id: NodeId): Member | undefined {
    return this.view === undefined ? undefined : memberNamed(this.view, id);
  }
  isMember(id: NodeId, incarnation: Incarnation): boolean {
    return this.member(id)?.incarnation === incarnation;
  }
  /** In a view and with a registry: events can be routed and calls answered. */
  get isJoined(): boolean {
    return this.view !== undefined && this.registry !== undefined;
  }
  /** Whether the life of its node that hosts the session goes on. */
  isLiving(session: SessionRecord): boolean {
    return session.state !== "failed" && this.isMember(session.node, session.incarnation);
  }
  isHostedHere(session: SessionRecord): boolean {
    return session.node === this.me && this.isLiving(session);
  }
  membersMounting(fs: FsName): NodeId[] {
    return (this.view?.members ?? []).filter((member) => member.mounted.includes(fs)).map((member) => member.id);
  }
}
