/**
 * One daemon's coordination thread in the simulation: the real lease machine over the modelled directory.
 */
import type { CoordinationFact, CoordinationRequest } from "../cluster/coordination-contract.js";
import type { MemberFacts } from "../cluster/view-document.js";
import { paths } from "../coordination/shared-volume/layout.js";
import { type LeaseEffect, type LeaseInput, LeaseMachine, type LeaseTimes, oneMachine } from "../coordination/shared-volume/lease-machine.js";
import type { DirectoryModel } from "./directory-model.js";
import { type Process, Signal, sleep, system, type Thread, type World } from "./world.js";

/** Between the two sizes the product ships, so that a simulated minute holds several lives. */
export const simulatedTimes: LeaseTimes = { renewMs: 1_000, holdMs: 4_000, deadMs: 7_000 };
export function leaseTimesIn({ stress }: World): LeaseTimes {
  return stress.hasShortLeases ? oneMachine : simulatedTimes;
}

/** Probability that a request which came while the volume was at work is heard late. */
const HEARD_LATE = 0.5;

export class LeaseDriverModel {
  readonly process: Process;
  readonly machine: LeaseMachine;
  readonly #directory: DirectoryModel;
  readonly #tell: (fact: CoordinationFact) => void;
  readonly #requests: CoordinationRequest[] = [];
  readonly #wake = new Signal();
  /** Whether the volume is slow to it. */
  #isSlow: boolean | undefined;
  #timerMs = Number.POSITIVE_INFINITY;

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
    this.machine = new LeaseMachine({ facts, identity, times: leaseTimesIn(process.world) });
    process.start(this.#run());
  }

  request(request: CoordinationRequest): void {
    this.#requests.push(request);
    this.#wake.give();
  }

  *#run(): Thread {
    for (;;) {
      for (let request = this.#requests.shift(); request !== undefined; request = this.#requests.shift()) {
        yield* this.#step({ kind: "requested", request, atMs: this.process.clockMs, isTicking: true });
      }
      yield* this.#step({ kind: "time-passed", atMs: this.process.clockMs, isTicking: true });
      this.#armTimer();
      // What was asked while the volume was at work is heard at once; now and then the volume takes its time before that.
      if (this.#requests.length === 0) yield { kind: "await", signal: this.#wake };
      else yield* sleep(this.process.world.random.chance(HEARD_LATE) ? this.process.world.random.below(leaseTimesIn(this.process.world).renewMs) : 0);
    }
  }

  #armTimer(): void {
    const dueMs = Math.max(this.process.clockMs + 1, this.machine.deadlineMs);
    if (this.#timerMs <= dueMs) return;
    this.#timerMs = dueMs;
    this.process.after(this.process.toWorldMs(dueMs - this.process.clockMs), () => {
      if (this.#timerMs !== dueMs) return;
      this.#timerMs = Number.POSITIVE_INFINITY;
      this.#wake.give();
    });
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
      const slowMs = work.kind === "rename" ? this.#slowMs() : 0;
      const beforeMs = slowMs > 0 && this.process.world.random.chance(0.5) ? slowMs : 0;
      if (beforeMs > 0) yield* sleep(beforeMs);
      const answer = yield* system(() => this.#directory.perform(work, this.process), 2);
      if (slowMs > beforeMs) yield* sleep(slowMs - beforeMs);
      const endMs = this.process.clockMs;
      effects = this.machine.step({ kind: "call-done", done: { answer, startMs, endMs }, atMs: endMs, isTicking: true });
    }
  }

  #slowMs(): number {
    const { random, stress } = this.process.world;
    const { chance, ms } = stress.slowRenames;
    if (chance === 0) return 0;
    this.#isSlow ??= random.chance(0.4);
    return this.#isSlow && random.chance(chance) ? random.below(ms) : 0;
  }
}
