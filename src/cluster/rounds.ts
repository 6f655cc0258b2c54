/**
 * Rounds: telling every member that mounts a file system, and waiting until each has drained (safety C4).
 *
 * Owns      rounds begun here, and rounds of others that this node's reactor has not drained yet.
 * Not here  what a reactor does in a round; who decides that one is needed (dm-calls/, the reactor).
 * Source    safety C3, C4, H7.
 */
import type { DmFailure } from "../dmapi/errors.js";
import type { FsName, Incarnation, NodeId, RequestId } from "../dmapi/ids.js";
import type { RoundMessage, RoundWork } from "./messages.js";
import type { Surroundings } from "./surroundings.js";

interface Begun {
  readonly fs: FsName;
  readonly work: RoundWork;
  readonly missing: Map<NodeId, Incarnation>;
  readonly dueMs: number;
  readonly done: (failure: DmFailure | undefined) => void;
}

export class Rounds {
  readonly #here: Surroundings;
  readonly #isMounted: (fs: FsName) => boolean;
  /** Told of each round that passes here, also where nothing is mounted. */
  readonly #heard: (fs: FsName, work: RoundWork) => void;
  readonly #begun = new Map<RequestId, Begun>();
  readonly #atReactor = new Map<RequestId, { from: NodeId; fs: FsName }>();

  constructor(here: Surroundings, isMounted: (fs: FsName) => boolean, heard: (fs: FsName, work: RoundWork) => void) {
    this.#here = here;
    this.#isMounted = isMounted;
    this.#heard = heard;
  }

  /** `done` is called once, when all have drained or with the failure that names who has not in time. */
  begin(fs: FsName, work: RoundWork, whom: "all" | "others", done: (failure: DmFailure | undefined) => void): void {
    const round = this.#here.nextName("r");
    const members = (this.#here.view?.members ?? []).filter((member) => member.mounted.includes(fs) && (whom === "all" || member.id !== this.#here.me));
    const missing = new Map(members.map((member) => [member.id, member.incarnation]));
    if (missing.size === 0) return done(undefined);
    this.#here.count("rounds");
    this.#begun.set(round, { fs, work, missing, dueMs: this.#here.nowMs + this.#here.timeouts.roundTimeoutMs, done });
    for (const { id } of members) {
      if (id === this.#here.me) this.#hear(id, { round, fs, work });
      else this.#here.send(id, { kind: "round-begun", round, fs, work });
    }
  }

  received(from: NodeId, message: RoundMessage): void {
    if (message.kind === "round-begun") return this.#hear(from, message);
    this.#drainedBy(from, message.round);
  }
  /** The reactor has drained. */
  drainedHere(round: RequestId): void {
    const heard = this.#atReactor.get(round);
    this.#atReactor.delete(round);
    if (heard !== undefined) this.#answer(heard.from, round);
  }
  /** Its reactor has ended: nothing admitted runs there any more. */
  unmounted(fs: FsName): void {
    for (const [round, heard] of [...this.#atReactor]) if (heard.fs === fs) this.drainedHere(round);
  }

  /** Members that have left, proven dead or out of their lease, are done; so is who does not mount it any more. */
  viewInForce(): void {
    for (const [round, begun] of [...this.#begun]) {
      for (const [id, incarnation] of [...begun.missing]) {
        const isThere = this.#here.isMember(id, incarnation) && this.#here.membersMounting(begun.fs).includes(id);
        if (!isThere) this.#drainedBy(id, round);
      }
    }
  }
  excluded(): void {
    this.#begun.clear();
    this.#atReactor.clear();
  }

  get deadlineMs(): number {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const begun of this.#begun.values()) dueMs = Math.min(dueMs, begun.dueMs);
    return dueMs;
  }
  timePassed(): void {
    if (this.#begun.size === 0) return;
    for (const [round, begun] of [...this.#begun]) {
      if (begun.dueMs > this.#here.nowMs) continue;
      this.#begun.delete(round);
      this.#here.count("roundsTimedOut");
      begun.done({ code: "EBUSY", message: `${[...begun.missing.keys()].join(", ")} did not drain ${begun.fs} in time (${begun.work.kind})` });
    }
  }

  #hear(from: NodeId, { round, fs, work }: { round: RequestId; fs: FsName; work: RoundWork }): void {
    this.#heard(fs, work);
    if (!this.#isMounted(fs)) return this.#answer(from, round);
    this.#atReactor.set(round, { from, fs });
    this.#here.emit({ kind: "begin-round", round, from, fs, work });
  }
  #answer(to: NodeId, round: RequestId): void {
    if (to === this.#here.me) this.#drainedBy(to, round);
    else this.#here.send(to, { kind: "round-drained", round });
  }
  #drainedBy(node: NodeId, round: RequestId): void {
    const begun = this.#begun.get(round);
    if (begun === undefined || !begun.missing.delete(node) || begun.missing.size > 0) return;
    this.#begun.delete(round);
    begun.done(undefined);
  }
}
