/**
 * What every coordination driver must do, told as stories of members that live, freeze and die. A driver's test hands in
 * a bench whose members are real processes.
 *
 * Source    cluster/coordination-contract.ts; safety C7, C8.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CoordinationFact, CoordinationRequest } from "../cluster/coordination-contract.js";
import type { MemberFacts, View } from "../cluster/view-document.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";

export interface TestMember {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
  /** All that was told, in order. */
  readonly facts: readonly CoordinationFact[];
  request(request: CoordinationRequest): void;
  /** SIGSTOP, SIGCONT. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** Keeps the main thread of the process busy, and a processor with it. */
  busy(ms: number): void;
  /** The main thread of the process waits for nothing. */
  blocked(ms: number): void;
  /** Orderly end of coordination and process. */
  stop(): Promise<void>;
}
export interface TestBench {
  /** Leases here: renewed every 50 ms, held 1200 ms, dead after 2000 ms. */
  start(id: string): Promise<TestMember>;
  /** Ends every process and removes all. */
  close(): Promise<void>;
}

const BOUND_MS = 60_000;

/** Waits until a fact that fits was told from index `from` on. */
export async function told<Kind extends CoordinationFact["kind"]>(
  member: TestMember, kind: Kind, fits: (fact: Extract<CoordinationFact, { kind: Kind }>) => boolean = () => true, from = 0,
): Promise<Extract<CoordinationFact, { kind: Kind }>> {
  const fact = await toldAny(member, (each) => each.kind === kind && fits(each as Extract<CoordinationFact, { kind: Kind }>), kind, from);
  return fact as Extract<CoordinationFact, { kind: Kind }>;
}

function view(number: number, manager: TestMember, members: readonly TestMember[]): View {
  const facts = (member: TestMember): MemberFacts => ({
    id: member.id, incarnation: member.incarnation, bootId: "boot", address: "127.0.0.1:1", isEligible: true, preference: 0,
  });
  return {
    cluster: "test", number, manager: manager.id, sessionIdLimit: 100,
    members: members.map((member, slot) => ({ ...facts(member), slot, mounted: [] })),
  };
}
const lifeOf = (member: TestMember) => ({ id: member.id, incarnation: member.incarnation });
const isDead = (member: TestMember, isProven?: boolean) => (fact: Extract<CoordinationFact, { kind: "member-dead" }>) =>
  fact.id === member.id && fact.incarnation === member.incarnation && (isProven === undefined || fact.isProven === isProven);

export function describeCoordination(name: string, make: () => Promise<TestBench>): void {
  const story = (title: string, tell: (bench: TestBench) => Promise<void>) =>
    it(title, { timeout: 180_000 }, async () => {
      const bench = await make();
      try {
        await tell(bench);
      } finally {
        await bench.close();
      }
    });

  describe(`coordination: ${name}`, { concurrency: 3 }, () => {
    story("members see each other, their reach, and the first view", async (bench) => {
      const a = await bench.start("A");
      const b = await bench.start("B");
      await told(a, "view-seen", (fact) => fact.view === undefined);
      await told(a, "lease-renewed");
      await told(a, "member-seen", (fact) => fact.member.id === "B");
      await told(b, "member-seen", (fact) => fact.member.id === "A" && fact.member.incarnation === a.incarnation);
      b.request({ kind: "publish-reach", reaches: [a.id] });
      await told(a, "member-seen", (fact) => fact.member.id === "B" && fact.reaches.includes(a.id));
      a.request({ kind: "publish-view", view: view(1, a, [a, b]) });
      await told(a, "view-published", (fact) => fact.number === 1);
      const seen = await told(b, "view-seen", (fact) => fact.view?.number === 1);
      assert.deepEqual(seen.view, view(1, a, [a, b]));
    });

    story("a second daemon with the same identity is refused, naming the first", async (bench) => {
      const a = await bench.start("A");
      await told(a, "lease-renewed");
      await assert.rejects(bench.start("A"), /node A is running already: process \d+ on/);
      await a.kill();
      const again = await bench.start("A");
      assert.ok(again.incarnation > a.incarnation, "each start is a later life");
    });

    story("a killed member is proven dead at once, long before its lease is over", async (bench) => {
      const [a, b] = [await bench.start("A"), await bench.start("B")];
      await told(b, "member-seen", (fact) => fact.member.id === "A");
      await a.kill();
      b.request({ kind: "probe", id: a.id, incarnation: a.incarnation });
      await told(b, "member-dead", isDead(a));
      assert.ok(!b.facts.some((fact) => fact.kind === "member-dead" && !fact.isProven), "the proof came before the lease was over");
      b.request({ kind: "claim", ...lifeOf(a) });
      await told(b, "claim-won", (fact) => fact.id === a.id);
    });

    story("a frozen member is thought dead without proof, cannot renew once claimed, and lives again if it was not", async (bench) => {
      const [a, b, c, d] = [await bench.start("A"), await bench.start("B"), await bench.start("C"), await bench.start("D")];
      for (const other of [a, c]) await told(b, "member-seen", (fact) => fact.member.id === other.id);
      await told(d, "member-seen", (fact) => fact.member.id === a.id);
      a.freeze();
      c.freeze();
      for (const other of [a, c]) await told(b, "member-dead", (fact) => isDead(other, false)(fact) && !fact.isForGood);
      b.request({ kind: "claim", ...lifeOf(a) });
      await told(b, "claim-won");
      await told(d, "member-dead", (fact) => isDead(a, false)(fact) && fact.isForGood);
      const before = a.facts.length;
      a.thaw();
      c.thaw();
      await told(b, "member-alive", (fact) => fact.id === c.id);
      await told(a, "member-dead", isDead(a, false)); // its own: the lease is gone
      assert.ok(!a.facts.slice(before).some((fact) => fact.kind === "lease-renewed" && fact.validUntilMs > 0 && isLater(a, fact.validUntilMs, before)));
      assert.ok(!b.facts.some((fact) => fact.kind === "member-alive" && fact.id === a.id), "claimed is for ever");
      assert.ok(!b.facts.some((fact) => fact.kind === "member-dead" && fact.isProven), "a frozen process is not proven dead");
      a.request({ kind: "rejoin", incarnation: (a.incarnation + 1) as Incarnation });
      await told(b, "member-seen", (fact) => fact.member.id === a.id && fact.member.incarnation === a.incarnation + 1);
    });

    story("a claim of a living member is refused", async (bench) => {
      const [a, b] = [await bench.start("A"), await bench.start("B")];
      await told(b, "member-seen", (fact) => fact.member.id === "A");
      b.request({ kind: "claim", ...lifeOf(a) });
      await told(b, "claim-lost", (fact) => fact.id === a.id);
      const before = a.facts.length;
      await told(a, "lease-renewed", () => true, before);
    });

    story("of many claimants of one dead manager one wins", async (bench) => {
      const a = await bench.start("A");
      const others = await Promise.all(["B", "C", "D", "E"].map((id) => bench.start(id)));
      for (const other of others) await told(other, "member-seen", (fact) => fact.member.id === "A");
      await a.kill();
      for (const other of others) await told(other, "member-dead", isDead(a));
      for (const other of others) other.request({ kind: "claim", ...lifeOf(a) });
      const outcomes = await Promise.all(others.map((other) => outcome(other, (fact) => fact.kind === "claim-won", (fact) => fact.kind === "claim-lost")));
      assert.equal(outcomes.filter((each) => each === "won").length, 1, outcomes.join(" "));
    });

    story("a claim that no view followed is claimed like any other lease", async (bench) => {
      const [a, b, c] = [await bench.start("A"), await bench.start("B"), await bench.start("C")];
      for (const other of [b, c]) await told(other, "member-seen", (fact) => fact.member.id === "A");
      await told(c, "member-seen", (fact) => fact.member.id === "B");
      await a.kill();
      for (const other of [b, c]) await told(other, "member-dead", isDead(a, true));
      b.request({ kind: "claim", ...lifeOf(a) });
      await told(b, "claim-won");
      await b.kill();
      await told(c, "member-dead", isDead(b, true));
      c.request({ kind: "claim", ...lifeOf(a) });
      await told(c, "claim-won", (fact) => fact.id === a.id);
    });

    story("eight writers race for each view number: one wins, all others see the winner's", async (bench) => {
      const members = await Promise.all([..."ABCDEFGH"].map((id) => bench.start(id)));
      for (const member of members) await told(member, "lease-renewed");
      for (let number = 1; number <= 12; number++) {
        for (const member of members) member.request({ kind: "publish-view", view: view(number, member, [member]) });
        const outcomes = await Promise.all(
          members.map((member) => outcome(
            member, (fact) => fact.kind === "view-published" && fact.number === number, (fact) => fact.kind === "view-lost" && fact.number === number,
          )),
        );
        assert.equal(outcomes.filter((each) => each === "won").length, 1, `view ${number}: ${outcomes.join(" ")}`);
        const winner = members[outcomes.indexOf("won")]!;
        for (const member of members) {
          const seen = await told(member, "view-seen", (fact) => (fact.view?.number ?? 0) >= number);
          if (seen.view!.number === number) assert.equal(seen.view!.manager, winner.id);
        }
      }
    });

    story("a member whose main thread stands still is not renewed; a short stall costs nothing", async (bench) => {
      const [a, b] = [await bench.start("A"), await bench.start("B")];
      await told(b, "member-seen", (fact) => fact.member.id === "A");
      a.blocked(300);
      a.request({ kind: "publish-reach", reaches: [b.id] }); // when it goes on
      await told(b, "member-seen", (fact) => fact.member.id === "A" && fact.reaches.includes(b.id));
      assert.ok(!b.facts.some((fact) => fact.kind === "member-dead"), "a short stall costs nothing");
      a.blocked(4_000);
      await told(b, "member-dead", isDead(a, false));
      await told(b, "member-alive", (fact) => fact.id === a.id);
    });

    story("an orderly leave is known at once", async (bench) => {
      const [a, b] = [await bench.start("A"), await bench.start("B")];
      await told(b, "member-seen", (fact) => fact.member.id === "A");
      a.request({ kind: "leave" });
      await a.stop();
      await told(b, "member-dead", (fact) => isDead(a)(fact) && fact.isForGood);
      b.request({ kind: "claim", ...lifeOf(a) });
      await told(b, "claim-won");
    });

    story("on a loaded machine nobody is thought dead", async (bench) => {
      const members = await Promise.all([..."ABCDEF"].map((id) => bench.start(id)));
      for (const member of members) for (const other of members) if (other !== member) await told(member, "member-seen", (fact) => fact.member.id === other.id);
      for (let round = 0; round < 12; round++) {
        for (const member of members) member.busy(100); // six busy processes on any number of cores
        await Promise.all(members.map((member) => told(member, "lease-renewed", () => true, member.facts.length)));
      }
      for (const member of members) assert.ok(!member.facts.some((fact) => fact.kind === "member-dead"), `${member.id} thought somebody dead`);
    });
  });
}

type IsFact = (fact: CoordinationFact) => boolean;

/** Which of two facts the member is told. */
async function outcome(member: TestMember, isWon: IsFact, isLost: IsFact): Promise<"won" | "lost"> {
  const fact = await toldAny(member, (each) => isWon(each) || isLost(each), "an outcome", 0);
  return isWon(fact) ? "won" : "lost";
}

async function toldAny(member: TestMember, fits: IsFact, what: string, from: number): Promise<CoordinationFact> {
  for (const untilMs = Date.now() + BOUND_MS; Date.now() < untilMs; await new Promise((resolve) => setTimeout(resolve, 5))) {
    const fact = member.facts.slice(from).find(fits);
    if (fact !== undefined) return fact;
  }
  const last = member.facts.filter((fact) => fact.kind !== "lease-renewed").slice(-10);
  throw new Error(`${member.id} was not told ${what}; last facts: ${JSON.stringify(last)}`);
}

/** Whether a validity told after `from` is later than every one told before: the lease was renewed. */
function isLater(member: TestMember, validUntilMs: number, from: number): boolean {
  const before = member.facts.slice(0, from).filter((fact) => fact.kind === "lease-renewed");
  return validUntilMs > Math.max(...before.map((fact) => fact.validUntilMs)) + 500;
}
