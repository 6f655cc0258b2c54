/**
 * The event log of one daemon in the simulation: the product's own store on the modelled volume, in two threads as in
 * daemon/event-log/event-log.ts: one writes this node's logs, the other reads, acknowledges and removes.
 */
import type { EventLogWork } from "../cluster/durable-events/event-log.js";
import type { VolumeResult } from "../cluster/node-contract.js";
import { attempt, EventLogStore } from "../daemon/event-log/store.js";
import type { SessionId } from "../dmapi/ids.js";
import { Died, type FilesOfProcess, type LogVolume } from "./log-volume.js";
import { type Process, Signal, sleep, system, type Thread } from "./world.js";

/** Small, so that logs of a simulated minute have several. */
const SEGMENT_BYTES_MAX = 600;
export const LOG_DIRECTORY = "/coordination/events";

export interface LogDeaths {
  /** How often work ends with the machine, between any two of its calls. */
  readonly chance: number;
  /** It is to be killed, and started again later. */
  readonly die: () => void;
}
interface Job {
  readonly work: EventLogWork | { readonly kind: "forget"; readonly session: SessionId };
  readonly done: (result: VolumeResult) => void;
}

export class EventLogDriver {
  readonly #writer: LogThread;
  readonly #keeper: LogThread;

  constructor(process: Process, volume: LogVolume, deaths: () => LogDeaths) {
    this.#writer = new LogThread(process, volume, deaths);
    this.#keeper = new LogThread(process, volume, deaths);
  }

  run(work: EventLogWork, done: (result: VolumeResult) => void): void {
    if (work.kind === "append") return this.#writer.ask({ work, done });
    const keep = () => this.#keeper.ask({ work, done });
    if (work.kind === "remove") this.#writer.ask({ work: { kind: "forget", session: work.session }, done: keep });
    else keep();
  }
}

class LogThread {
  readonly #process: Process;
  readonly #files: FilesOfProcess;
  readonly #store: EventLogStore;
  readonly #deaths: () => LogDeaths;
  readonly #jobs: Job[] = [];
  readonly #wake = new Signal();

  constructor(process: Process, volume: LogVolume, deaths: () => LogDeaths) {
    this.#process = process;
    this.#files = volume.filesOf(process);
    this.#store = new EventLogStore(LOG_DIRECTORY, this.#files, SEGMENT_BYTES_MAX);
    this.#deaths = deaths;
    process.start(this.#serve());
  }
  ask(job: Job): void {
    this.#jobs.push(job);
    this.#wake.give();
  }

  *#serve(): Thread {
    const { random } = this.#process.world;
    for (;;) {
      for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
        const { work, done } = job;
        if (random.chance(0.05)) yield* sleep(random.below(1_500));
        done(yield* system(() => this.#perform(work), 6));
      }
      yield { kind: "await", signal: this.#wake };
    }
  }
  /** In one piece for all others, though not for the machine. */
  #perform(work: Job["work"]): VolumeResult {
    const { random } = this.#process.world;
    const { chance, die } = this.#deaths();
    if (this.#process.isAlive && random.chance(chance)) this.#files.callsLeft = random.below(6);
    try {
      const result = attempt(() => {
        if (work.kind !== "forget") return { result: this.#store.run(work) };
        this.#store.forget(work.session);
        return { result: {} };
      });
      return "code" in result ? { kind: "failed", failure: result } : { kind: "ok", result: result.result };
    } catch (error) {
      if (!(error instanceof Died)) throw error;
      die();
      return { kind: "failed", failure: { code: "EIO", message: "the machine died" } };
    } finally {
      this.#files.callsLeft = undefined;
    }
  }
}
