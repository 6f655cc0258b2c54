/** What time alone brings about comes about although frames move the clock past it first (safety C7). */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FsName, Incarnation, NodeId } from "../../dmapi/ids.js";
import type { CoordinationFact } from "../coordination-contract.js";
import { defaultTimeouts } from "../node-contract.js";
import type { MemberFacts } from "../view-document.js";
import { Membership, type MembershipEffect, type MembershipInput } from "./membership.js";

type Input = MembershipInput extends infer I ? (I extends unknown ? Omit<I, "atMs"> : never) : never;
const one = 1 as Incarnation;
const [B, C] = ["B", "C"] as NodeId[] as [NodeId, NodeId];

function factsOf(id: string): MemberFacts {
  return { id: id as NodeId, incarnation: one, bootId: "boot", address: `${id}:1`, isEligible: true, preference: 0 };
}

/** Node A, which has found that there is no view yet. */
class Desk {
  readonly machine = new Membership({ cluster: "c", ...factsOf("A"), timeouts: defaultTimeouts });
  constructor() {
    this.at(0, { kind: "coordination", fact: { kind: "lease-renewed", validUntilMs: 1e9, tookMs: 0 } });
    this.at(0, { kind: "coordination", fact: { kind: "view-seen", view: undefined } });
    for (const peer of [B, C]) {
      this.at(0, { kind: "coordination", fact: { kind: "member-seen", member: factsOf(peer), reaches: ["A" as NodeId, B, C] } });
      this.at(0, { kind: "link-up", peer, incarnation: one });
      this.at(0, { kind: "heard", peer, incarnation: one });
    }
  }
  at(atMs: number, input: Input): MembershipEffect[] {
    return this.machine.step({ ...input, atMs });
  }
  /** Gives the node all the time that it asks for, up to `atMs` and no further. */
  pass(atMs: number, andAt = false): void {
    while (this.machine.deadlineMs < atMs || (andAt && this.machine.deadlineMs <= atMs)) this.at(Math.max(0, this.machine.deadlineMs), { kind: "time-passed" });
  }
}
const publishedReach = (effects: readonly MembershipEffect[]) =>
  effects.flatMap((effect) => (effect.kind === "coordinate" && effect.request.kind === "publish-reach" ? [effect.request.reaches.join(" ")] : []));

test("a peer whose silence is over the limit is not reached, also where another's frame comes in the place of the deadline", () => {
  const desk = new Desk();
  const lostAtMs = defaultTimeouts.linkTimeoutMs;
  desk.pass(lostAtMs - 100);
  desk.at(lostAtMs - 100, { kind: "heard", peer: C, incarnation: one });
  desk.pass(lostAtMs);
  const effects = desk.at(lostAtMs + 0.5, { kind: "heard", peer: C, incarnation: one });
  assert.deepEqual(publishedReach(effects), ["C"], "said with the very frame");
});

test("the same where it is a greeting or a renewed lease that comes first", () => {
  const lostAtMs = defaultTimeouts.linkTimeoutMs;
  for (const first of [
    { kind: "view-message", from: C, incarnation: one, message: { kind: "greeting", incarnation: one } },
    { kind: "coordination", fact: { kind: "lease-renewed", validUntilMs: 2e9, tookMs: 0 } },
  ] satisfies Input[]) {
    const desk = new Desk();
    desk.pass(lostAtMs - 100);
    desk.at(lostAtMs - 100, { kind: "heard", peer: C, incarnation: one });
    desk.pass(lostAtMs);
    assert.deepEqual(publishedReach(desk.at(lostAtMs + 0.5, first)), ["C"], first.kind);
  }
});

/** What the manager publishes from then on, each view taken by everybody at once. */
function published(desk: Desk, atMs: number, effects: readonly MembershipEffect[]): string[] {
  return effects.flatMap((effect) => {
    if (effect.kind !== "coordinate" || effect.request.kind !== "publish-view") return [];
    const { view } = effect.request;
    const after = [desk.at(atMs, { kind: "coordination", fact: { kind: "view-published", number: view.number } })];
    for (const from of [B, C]) after.push(desk.at(atMs, { kind: "view-message", from, incarnation: one, message: { kind: "view-adopted", number: view.number } }));
    return [view.members.map(({ id, mounted }) => `${id}[${mounted}]`).join(" "), ...published(desk, atMs, after.flat())];
  });
}

/** A manages, and B and C are members of a view in force. */
function threeMembers(): Desk {
  const desk = new Desk();
  desk.at(0, { kind: "registry-changed-hands", isHeldHere: true, holders: ["A" as NodeId, B, C] });
  for (let atMs = desk.machine.deadlineMs; desk.machine.view?.members.length !== 3; atMs = desk.machine.deadlineMs) {
    assert.ok(atMs < 10_000, "A admits B and C");
    for (const peer of [B, C]) published(desk, atMs, desk.at(atMs, { kind: "heard", peer, incarnation: one }));
    published(desk, atMs, desk.at(atMs, { kind: "time-passed" }));
  }
  assert.ok(desk.machine.isInForce);
  return desk;
}

test("an unmount that a former manager had done already takes nothing back of the mount that follows it", () => {
  const desk = threeMembers();
  const wish = (isMounted: boolean) => published(desk, 20_000, desk.at(20_000, { kind: "wish", wish: { kind: "mount", node: B, fs: "fs1" as FsName, isMounted } }));
  for (const peer of [B, C]) desk.at(20_000, { kind: "heard", peer, incarnation: one });
  assert.deepEqual(wish(false), [], "nothing is mounted there");
  assert.deepEqual(wish(true), ["A[] B[fs1] C[]"]);
});

test("a member that missed the word that its view is in force, and was not evicted for that, hears it with every sign of life", () => {
  const desk = threeMembers();
  for (let atMs = 10_000; atMs <= 60_000; atMs += 500) {
    for (const peer of [B, C]) desk.at(atMs, { kind: "heard", peer, incarnation: one });
    for (const effect of desk.at(atMs, { kind: "time-passed" })) if (effect.kind === "send-view-message") assert.equal(effect.message.kind, "view-in-force", `at ${atMs}`);
  }
});

/** A has removed C for its silence, and B goes by that view. */
function silentOneRemoved() {
  const desk = threeMembers();
  const claims: string[] = [];
  let view = 0;
  const at = (atMs: number, input: Input): void => {
    for (const effect of desk.at(atMs, input)) {
      if (effect.kind !== "coordinate") continue;
      const { request } = effect;
      if (request.kind === "claim") claims.push(`${request.id} ${request.incarnation}`);
      if (request.kind === "publish-view") view = request.view.number;
    }
  };
  const coordination = (atMs: number, fact: CoordinationFact): void => at(atMs, { kind: "coordination", fact });
  const dead = { kind: "member-dead", id: C, incarnation: one, isProven: false } as const;
  at(20_000, { kind: "heard", peer: B, incarnation: one });
  coordination(20_000, { ...dead, isForGood: false });
  coordination(20_010, { kind: "view-published", number: view });
  at(20_010, { kind: "view-message", from: B, incarnation: one, message: { kind: "view-adopted", number: view } });
  assert.deepEqual(desk.machine.view?.members.map(({ id }) => id), ["A", "B"]);
  assert.ok(!desk.machine.isInForce, "C may have renewed its lease before that view was stored");
  assert.deepEqual(claims, ["C 1"]);
  /** A hears B, and has all the time that it asks for. */
  let nowMs = 20_010;
  const pass = (untilMs: number): void => {
    for (; nowMs <= untilMs; nowMs += 100) {
      at(nowMs, { kind: "heard", peer: B, incarnation: one });
      at(nowMs, { kind: "time-passed" });
    }
  };
  return { desk, coordination, pass, claims, dead };
}

test("a view without a silent member is in force when its lease was taken: it may have come back before the view was stored", () => {
  const { desk, coordination } = silentOneRemoved();
  coordination(20_020, { kind: "claim-won", id: C, incarnation: one });
  assert.ok(desk.machine.isInForce);
});

test("one that did come back is waited for until it gives its lease up, or is silent again and can be claimed", () => {
  for (const [end, isClaimed] of [["given up", false], ["silent again", true]] as const) {
    const { desk, coordination, pass, claims, dead } = silentOneRemoved();
    coordination(20_010, { kind: "claim-lost", id: C, incarnation: one });
    coordination(20_010, { kind: "member-alive", id: C, incarnation: one });
    pass(24_000);
    assert.ok(!desk.machine.isInForce, end);
    assert.deepEqual(claims, ["C 1"], "nobody takes the lease of one that lives");
    coordination(24_000, { ...dead, isForGood: !isClaimed });
    if (isClaimed) {
      assert.ok(!desk.machine.isInForce);
      assert.deepEqual(claims, ["C 1", "C 1"]);
      coordination(24_010, { kind: "claim-won", id: C, incarnation: one });
    }
    assert.ok(desk.machine.isInForce, end);
  }
});

test("a claim that was lost to nobody, and one that is not answered, is asked for again", () => {
  const { desk, coordination, pass, claims } = silentOneRemoved();
  coordination(20_010, { kind: "claim-lost", id: C, incarnation: one });
  pass(20_010 + defaultTimeouts.claimStepMs + 100);
  assert.deepEqual(claims, ["C 1", "C 1"]);
  pass(26_500);
  assert.deepEqual(claims, ["C 1", "C 1", "C 1"]);
  assert.ok(!desk.machine.isInForce);
});
