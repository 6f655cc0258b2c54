/**
 * The shared-volume driver under the contract's suite, with one process per member.
 */
import { fork } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";
import { it } from "node:test";
import type { CoordinationFact } from "../../cluster/coordination-contract.js";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import { describeCoordination, type TestBench, type TestMember, told } from "../contract.test-suite.js";
import { type CoordinationOptions, startCoordination } from "../start.js";

type FromMember =
  | { readonly kind: "started"; readonly incarnation: Incarnation }
  | { readonly kind: "fact"; readonly fact: CoordinationFact }
  | { readonly kind: "refused"; readonly message: string };

const memberScript = new URL("./test-member.js", import.meta.url).pathname;

class ProcessMember implements TestMember {
  readonly id: NodeId;
  incarnation = 0 as Incarnation;
  readonly facts: CoordinationFact[] = [];
  readonly started: Promise<void>;
  readonly #child;
  readonly #gone: Promise<void>;

  constructor(options: CoordinationOptions) {
    this.id = options.member.id;
    this.#child = fork(memberScript, [JSON.stringify(options)], { stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [] });
    this.#gone = new Promise((resolve) => this.#child.on("exit", () => resolve()));
    this.started = new Promise((resolve, reject) => {
      this.#child.on("message", (message: FromMember) => {
        if (message.kind === "fact") this.facts.push(message.fact);
        else if (message.kind === "refused") reject(new Error(message.message));
        else {
          this.incarnation = message.incarnation;
          resolve();
        }
      });
      void this.#gone.then(() => reject(new Error(`member ${this.id} ended`)));
    });
  }
  request(request: Parameters<TestMember["request"]>[0]): void {
    this.#child.send({ kind: "request", request });
  }
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }
  thaw(): void {
    this.#child.kill("SIGCONT");
  }
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#gone;
  }
  busy(ms: number): void {
    this.#child.send({ kind: "busy", ms });
  }
  blocked(ms: number): void {
    this.#child.send({ kind: "blocked", ms });
  }
  async stop(): Promise<void> {
    this.#child.send({ kind: "stop" });
    await this.#gone;
  }
}

const times = { renewMs: 50, holdMs: 1_200, deadMs: 2_000 };

function options(directory: string, id: string): CoordinationOptions {
  return {
    directory, cluster: "test", times, tickWithinMs: 400,
    member: { id: id as NodeId, bootId: "boot", address: "127.0.0.1:1", isEligible: true, preference: 0 },
  };
}

async function makeBench(): Promise<TestBench & { readonly directory: string }> {
  const top = mkdtempSync(join(tmpdir(), "sluice-test-coordination-"));
  const directory = join(top, "coordination");
  const members: ProcessMember[] = [];
  return {
    directory,
    async start(id) {
      const member = new ProcessMember(options(directory, id));
      members.push(member);
      await member.started;
      return member;
    },
    async close() {
      await Promise.all(members.map((member) => member.kill()));
      rmSync(top, { recursive: true });
    },
  };
}

describeCoordination("shared volume", makeBench);

it("the directory is private, and keeps the last views only", { timeout: 180_000 }, async () => {
  const bench = await makeBench();
  try {
    const a = await bench.start("A");
    const member = { ...options(bench.directory, "A").member, incarnation: a.incarnation, slot: 0, mounted: [] };
    for (let number = 1; number <= 20; number++) {
      a.request({ kind: "publish-view", view: { cluster: "test", number, manager: a.id, members: [member], sessionIdLimit: 0 } });
    }
    await told(a, "view-published", (fact) => fact.number === 20);
    await told(a, "lease-renewed", () => true, a.facts.length); // what was to be pruned is pruned by then
    await told(a, "lease-renewed", () => true, a.facts.length);
    assert.equal(statSync(bench.directory).mode & 0o777, 0o700);
    const views = readdirSync(join(bench.directory, "views")).filter((name) => name.startsWith("view."));
    assert.equal(views.length, 20, "an old number stays taken");
    const whole = views.filter((name) => statSync(join(bench.directory, "views", name)).size > 100).map((name) => Number(name.slice(5)));
    assert.deepEqual(whole.sort((x, y) => x - y), [13, 14, 15, 16, 17, 18, 19, 20]);
    assert.equal(readdirSync(join(bench.directory, "spares")).length, 1);
    await assert.rejects(startCoordination({ ...options(bench.directory, "B"), cluster: "other" }), /belongs to cluster test/);
  } finally {
    await bench.close();
  }
});
