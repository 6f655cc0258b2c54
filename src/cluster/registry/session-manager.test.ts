/** The session manager alone: who must have acknowledged what before a call is answered (requirements R1, R14, R16; safety H5). */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Incarnation, NodeId, RequestId, SessionId } from "../../dmapi/ids.js";
import type { RegistryMessage } from "../messages.js";
import type { ManagerCall, RegistrySnapshot } from "../registry-document.js";
import type { Member, View } from "../view-document.js";
import { RegistryCopy } from "./copy.js";
import { type ManagerEffect, type ManagerInput, SessionManager } from "./session-manager.js";

type Input = ManagerInput extends infer I ? (I extends unknown ? Omit<I, "atMs"> : never) : never;
const empty: RegistrySnapshot = { view: 0, version: 0, sessions: [], destroyed: [], dispositions: [], answered: [], highestSessionId: 0 };

function viewOf(number: number, members: string, sessionIdLimit = 4096): View {
  const made = [...members].map((id): Member => ({
    id: id as NodeId, incarnation: 1 as Incarnation, bootId: "", address: "", isEligible: true, preference: 0, slot: 0, mounted: [],
  }));
  return { cluster: "c", number, manager: "A" as NodeId, members: made, sessionIdLimit };
}

/** Manager A of a view in force, with its registry open. */
class Desk {
  readonly copy = new RegistryCopy();
  readonly manager: SessionManager;
  effects: ManagerEffect[] = [];
  nowMs = 0;
  #view: View;

  constructor(view: View, found: RegistrySnapshot = empty) {
    this.#view = view;
    this.manager = new SessionManager({ id: "A" as NodeId, copy: this.copy, view, failedSessionRetentionMs: 1_000, isKnown: () => true, whyAlive: () => undefined, stale: undefined });
    this.effects = this.manager.begin(0);
    this.step({ kind: "view-in-force" });
    for (const { id } of view.members) this.say(id, { kind: "registry-collected", view: view.number, snapshot: found, unfinished: [] });
    for (const { id } of view.members) if (id !== "A") this.say(id, { kind: "registry-install-acknowledged", view: view.number, version: this.copy.version });
  }
  step(input: Input): void {
    this.effects = this.manager.step({ ...input, atMs: this.nowMs });
  }
  say(from: string, message: RegistryMessage): void {
    this.step({ kind: "message-received", from: from as NodeId, message });
  }
  ask(from: string, request: string, call: ManagerCall): void {
    this.say(from, { kind: "manager-call", request: request as RequestId, call });
  }
  acknowledge(...ids: string[]): void {
    const all: ManagerEffect[] = [];
    for (const id of ids) {
      this.say(id, { kind: "registry-acknowledged", version: this.copy.version });
      all.push(...this.effects);
    }
    this.effects = all;
  }
  adopt(view: View): void {
    this.#view = view;
    this.step({ kind: "view-adopted", view });
  }
  get number(): number {
    return this.#view.number;
  }
  /** What was said in the last step, as "to kind". */
  said(): string[] {
    return this.effects.flatMap((effect) => (effect.kind === "send" ? [`${effect.to} ${effect.message.kind}`] : []));
  }
  results(): unknown[] {
    return this.effects.flatMap((effect) => {
      if (effect.kind !== "send" || effect.message.kind !== "manager-result") return [];
      const { request, result } = effect.message;
      return [[request, result.kind === "done" ? (result.session ?? "done") : result.failure.code]];
    });
  }
}
const create: ManagerCall = { kind: "create-session", info: "x" };

test("a call is answered after every other member has acknowledged, and calls in the order of their versions", () => {
  const desk = new Desk(viewOf(2, "ABC"));
  desk.ask("B", "r1", create);
  assert.deepEqual(desk.said(), ["B registry-changed", "C registry-changed"]);
  desk.ask("C", "r2", create);
  desk.acknowledge("B");
  assert.deepEqual(desk.results(), []);
  desk.acknowledge("C");
  assert.deepEqual(desk.results(), [["r1", 1], ["r2", 2]]);
});

test("the same request again gets the same answer and makes no second session", () => {
  const desk = new Desk(viewOf(2, "AB"));
  desk.ask("B", "r1", create);
  desk.ask("B", "r1", create);
  desk.acknowledge("B");
  assert.deepEqual(desk.results(), [["r1", 1]]);
  desk.ask("B", "r1", create);
  assert.deepEqual([desk.results(), desk.copy.sessions().length], [[["r1", 1]], 1]);
});

test("nothing is answered while the view is not in force; who leaves need not acknowledge, who joins must", () => {
  const desk = new Desk(viewOf(2, "ABC"));
  desk.ask("B", "r1", create);
  desk.acknowledge("B");
  desk.adopt(viewOf(3, "ABD"));
  assert.deepEqual(desk.said(), ["D registry-installed"]);
  desk.step({ kind: "view-in-force" });
  assert.deepEqual(desk.results(), []);
  desk.say("D", { kind: "registry-install-acknowledged", view: 3, version: desk.copy.version });
  assert.deepEqual(desk.results(), [["r1", 1]]);
});

test("an acknowledged installation counts although the next view came between", () => {
  const desk = new Desk(viewOf(2, "AB"));
  desk.adopt(viewOf(3, "ABD"));
  desk.adopt(viewOf(4, "ABDE"));
  desk.say("E", { kind: "registry-install-acknowledged", view: 4, version: 0 });
  desk.step({ kind: "view-in-force" });
  desk.ask("B", "r1", { kind: "destroy-session", session: 9 as SessionId });
  assert.deepEqual(desk.results(), []);
  desk.say("D", { kind: "registry-install-acknowledged", view: 3, version: 0 });
  assert.deepEqual(desk.results(), [["r1", "EINVAL"]]);
});

test("destroy: closing is acknowledged by all before the host is asked; with events left the session is back with EBUSY", () => {
  const desk = new Desk(viewOf(2, "ABC"));
  desk.ask("B", "r1", create);
  desk.acknowledge("B", "C");
  desk.ask("B", "r2", { kind: "destroy-session", session: 1 as SessionId });
  desk.say("B", { kind: "closing-checked", session: 1 as SessionId, isEmpty: true });
  desk.acknowledge("B");
  assert.deepEqual([desk.said(), desk.copy.session(1 as SessionId)?.state], [[], "closing"], "what was said before it was asked does not count");
  desk.acknowledge("C");
  assert.deepEqual(desk.said(), ["B closing-check"]);
  desk.say("B", { kind: "closing-checked", session: 1 as SessionId, isEmpty: false });
  assert.equal(desk.copy.session(1 as SessionId)?.state, "active");
  desk.acknowledge("B", "C");
  assert.deepEqual(desk.results(), [["r2", "EBUSY"]]);
});

test("when the block of session ids is used up a create waits for a view with more, and ids go on from there", () => {
  const desk = new Desk(viewOf(2, "AB"), { ...empty, view: 1, version: 7, highestSessionId: 4095 });
  desk.ask("B", "r1", create);
  assert.ok(desk.effects.some((effect) => effect.kind === "wish" && effect.wish.kind === "more-session-ids"));
  desk.ask("B", "r2", create);
  desk.acknowledge("B");
  assert.deepEqual(desk.results(), [["r1", 4096]]);
  desk.adopt(viewOf(3, "AB", 8192));
  desk.step({ kind: "view-in-force" });
  desk.acknowledge("B");
  assert.deepEqual(desk.results(), [["r2", 4097]]);
});

test("a new manager takes the highest copy, fails the sessions of the dead, and reopens what was closing", () => {
  const session = (id: number, node: string, state: "active" | "closing"): RegistrySnapshot["sessions"][number] =>
    ({ id: id as SessionId, node: node as NodeId, incarnation: 1 as Incarnation, hostGeneration: 1, info: "", state });
  const desk = new Desk(viewOf(5, "ABC"));
  const again = new SessionManager({ id: "A" as NodeId, copy: desk.copy, view: viewOf(6, "AB"), failedSessionRetentionMs: 1_000, isKnown: () => true, whyAlive: () => undefined, stale: undefined });
  again.begin(0);
  const older = { ...empty, view: 4, version: 9, sessions: [session(1, "B", "active"), session(2, "B", "active"), session(3, "C", "active")] };
  const newer = { ...empty, view: 5, version: 8, sessions: [session(1, "B", "closing"), session(3, "C", "active")], destroyed: [2 as SessionId] };
  for (const [from, snapshot] of [["A", newer], ["B", older]] as const) {
    again.step({ kind: "message-received", from: from as NodeId, message: { kind: "registry-collected", view: 6, snapshot, unfinished: [] }, atMs: 0 });
  }
  assert.deepEqual(desk.copy.sessions().map(({ id, state }) => [id, state]), [[1, "active"], [3, "failed"]], "the destroyed one does not come back");
});

test("a failed session is kept to be assumed for a time, then discarded by a version", () => {
  const desk = new Desk(viewOf(2, "ABC"));
  desk.ask("C", "r1", create);
  desk.acknowledge("B", "C");
  desk.adopt(viewOf(3, "AB"));
  assert.equal(desk.copy.session(1 as SessionId)?.state, "failed");
  assert.equal(desk.manager.deadlineMs, 1_000);
  desk.nowMs = 1_000;
  desk.step({ kind: "time-passed" });
  assert.deepEqual([desk.copy.sessions(), desk.said()], [[], ["B registry-changed"]]);
});
