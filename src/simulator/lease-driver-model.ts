/**
 * One daemon's coordination thread in the simulation: the real lease machine over the modelled directory.
 */
import type { CoordinationFact, CoordinationRequest } from "../cluster/coordination-contract.js";
import type { MemberFacts } from "../cluster/view-document.js";
import { paths } from "../coordination/shared-volume/layout.js";
import { type LeaseEffect, type LeaseInput, LeaseMachine, type LeaseTimes } from "../coordination/shared-volume/lease-machine.js";
import type { DirectoryModel } from "./directory-model.js";
import { type Process, Signal, system, type Thread } from "./world.js";

/** Between the two sizes the product ships, so that a simulated minute holds several lives. */
export const simulatedTimes: LeaseTimes = { renewMs: 1_000, holdMs: 4_000, deadMs: 7_000 };

export class LeaseDriverModel {
  readonly process: Process;
  readonly machine: LeaseMachine;
  readonly #directory: DirectoryModel;
  readonly #tell: (fact: CoordinationFact) => void;
  readonly #requests: CoordinationRequest[] = [];
  readonly #wake = new Signal();

  /** @returns undefined while another process holds the identity. */
  static start(options: {
    process: Process; directory: DirectoryModel; facts: MemberFacts; tell: (fact: CoordinationFact) => void;
  }): LeaseDriverModel | undefined {
    const { process, directory, facts } = options;
    if (!directory.lock(paths.lock(facts.id), process)) return undefined;
    return new LeaseDriverModel(options);
  }

  constructor(options: { process: Process; directory: DirectoryModel; facts: MemberFacts; tell: (fact: CoordinationFact) => void }) {
    const { process, directory, facts, tell } = options;
    this.process = process;
    this.#directory = directory;
    this.#tell = tell;
    const identity = {
      id: facts.id, process: process.name, pid: 1, host: facts.id, bootId: facts.bootId, address: facts.address, incarnation: facts.incarnation,
    };
    this.machine = new LeaseMachine({ facts, identity, times: simulatedTimes });
    process.start(this.#run());
  }

  request(request: CoordinationRequest): void {
    this.#requests.push(request);
    this.#wake.give();
  }

  *#run(): Thread {
    for (;;) {
      for (let request = this.#requests.shift(); request !== undefined; request = this.#requests.shift()) {
        yield* this.#step({ kind: "requested", request, ...this.#now });
      }
      yield* this.#step({ kind: "time-passed", ...this.#now });
      const waitMs = Math.max(1, this.machine.deadlineMs - this.process.clockMs);
      this.process.after(this.process.toWorldMs(waitMs), () => this.#wake.give());
      yield { kind: "await", signal: this.#wake };
    }
  }

  get #now() {
    return { atMs: this.process.clockMs, isTicking: true };
  }

  *#step(input: LeaseInput): Thread {
    for (let effects: LeaseEffect[] = this.machine.step(input); ; ) {
      let call: Extract<LeaseEffect, { kind: "call" }> | undefined;
      for (const effect of effects) {
        if (effect.kind === "call") call = effect;
        else this.#tell(effect.fact);
      }
      if (call === undefined) return;
      const { call: work } = call;
      const startMs = this.process.clockMs;
      const answer = yield* system(() => this.#directory.perform(work, this.process), 2);
      effects = this.machine.step({ kind: "call-done", done: { answer, startMs, endMs: this.process.clockMs }, ...this.#now });
    }
  }
}
