/**
 * Looks for circles of waiting locks over the nodes of a file system, when a reactor says that a user has waited long who
 * holds locks too. Two rounds of questions to the members that mount it; only users of this node are refused by this node,
 * and a member whose user is to be refused is asked to look for itself.
 *
 * Owns      which file systems are being looked at.
 * Not here  what the reports show (cluster/locks/circles.ts).
 * Source    safety H9.
 */
import { type LockReports, type StandingWait, standing, victims } from "../cluster/locks/circles.js";
import type { LockReport, NodeQuestion } from "../cluster/messages.js";
import type { FsName, NodeId } from "../dmapi/ids.js";
import type { Answered } from "./member-questions.js";

/** Between the end of a look and the next one of the same file system. */
const PAUSE_MS = 500;

interface Parts {
  readonly node: NodeId;
  /** The other members that mount it. */
  readonly others: (fs: FsName) => readonly NodeId[];
  readonly reportHere: (fs: FsName) => Promise<LockReport | undefined>;
  readonly ask: (about: NodeQuestion, whom: readonly NodeId[]) => Promise<Answered>;
  /** The wait ends with EDEADLK, if it stands and the lock is not free. */
  readonly refuse: (fs: FsName, wait: StandingWait) => void;
}

export class LockCircles {
  readonly #parts: Parts;
  /** True: to be looked at again. */
  readonly #looking = new Map<FsName, boolean>();
  readonly #pauses = new Set<NodeJS.Timeout>();
  #isClosed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  look(fs: FsName): void {
    if (this.#isClosed || this.#parts.others(fs).length === 0) return; // among the users of one node the reactor finds them
    const isLooking = this.#looking.has(fs);
    this.#looking.set(fs, isLooking);
    if (!isLooking) void this.#search(fs).finally(() => this.#pause(fs));
  }
  #pause(fs: FsName): void {
    if (this.#isClosed) return;
    const timer = setTimeout(() => {
      this.#pauses.delete(timer);
      const again = this.#looking.get(fs) === true;
      this.#looking.delete(fs);
      if (again) this.look(fs);
    }, PAUSE_MS);
    this.#pauses.add(timer);
  }

  async #search(fs: FsName): Promise<void> {
    const others = this.#parts.others(fs);
    const first = await this.#round(fs, others);
    if (victims(first).length === 0 || this.#isClosed) return;
    const found = victims(standing(first, await this.#round(fs, others)));
    for (const wait of found) if (wait.node === this.#parts.node) this.#parts.refuse(fs, wait);
    const elsewhere = new Set(found.map(({ node }) => node).filter((node) => node !== this.#parts.node));
    if (elsewhere.size > 0) await this.#parts.ask({ kind: "locks", fs, hasCircle: true }, [...elsewhere]);
  }
  /** Whoever does not answer in time is left out. */
  async #round(fs: FsName, others: readonly NodeId[]): Promise<LockReports> {
    const [own, { answers }] = await Promise.all([this.#parts.reportHere(fs), this.#parts.ask({ kind: "locks", fs, hasCircle: false }, others)]);
    const reports = answers.flatMap(({ node, answer }) => (answer.kind === "locks" && answer.report !== undefined ? [[node, answer.report] as const] : []));
    return new Map([...reports, ...(own === undefined ? [] : [[this.#parts.node, own] as const])]);
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#pauses) clearTimeout(timer);
  }
}
