/**
 * Which file systems only this node mounts, so that their names and attributes may stay in its kernel: nobody else changes
 * them. Whoever mounts later has that node give them up before its own users are let in.
 *
 *   of a file system mounted here:  unknown -> shared (others mount it too, all asked have given up) <-> sole
 *
 * Sole from the view in force that shows no other mount: those that left are then dead or out of their lease. Not sole from
 * the moment another is announced. What the kernel may keep ends with this node's lease in any case, since a node that stands
 * still hears of nobody; the reactor sees to that.
 *
 * Owns      which of them are sole, and whether the others have given up what they kept since this node's life or mount began.
 * Not here  the dropping itself (the reactor), leases (coordination).
 * Source    blueprint section 6, coherence; safety C6, H7.
 */
import type { FsName } from "../dmapi/ids.js";
import type { Rounds } from "./rounds.js";
import type { Surroundings } from "./surroundings.js";

export class SoleMounts {
  readonly #here: Surroundings;
  readonly #rounds: Rounds;
  readonly #sole = new Set<FsName>();
  /** The others keep nothing of it any more: from each one's answer on they go by a view that shows this node's mount. */
  readonly #shared = new Set<FsName>();
  /** Counts the lives of this node: an answer to a question of a former one says nothing. */
  #life = 0;

  constructor(here: Surroundings, rounds: Rounds) {
    this.#here = here;
    this.#rounds = rounds;
  }

  /** Whether users of this node may be let in. */
  isShared(fs: FsName): boolean {
    return this.#shared.has(fs);
  }

  /** The view shows the mount: `done` when the others have given up what they kept, or with the failure that names who has not. */
  share(fs: FsName, done: (failed: string | undefined) => void): void {
    const life = this.#life;
    this.#rounds.begin(fs, { kind: "drop-names" }, "others", (failure) => {
      if (life !== this.#life) return;
      if (failure === undefined) this.#shared.add(fs);
      if (this.#here.isInForce) this.viewInForce([fs]);
      done(failure?.message);
    });
  }
  unmounted(fs: FsName): void {
    this.#shared.delete(fs);
    this.#set(fs, false);
  }

  viewAdopted(names: readonly FsName[]): void {
    for (const fs of names) if (!this.#isAlone(fs)) this.#set(fs, false);
  }
  viewInForce(names: readonly FsName[]): void {
    for (const fs of names) if (this.#shared.has(fs) && this.#isAlone(fs)) this.#set(fs, true);
  }
  excluded(): void {
    this.#life++;
    this.#shared.clear();
    for (const fs of [...this.#sole]) this.#set(fs, false);
  }

  #isAlone(fs: FsName): boolean {
    const [first, second] = this.#here.membersMounting(fs);
    return first === this.#here.me && second === undefined;
  }
  #set(fs: FsName, isSole: boolean): void {
    if (this.#sole.has(fs) === isSole) return;
    if (isSole) this.#sole.add(fs);
    else this.#sole.delete(fs);
    this.#here.emit({ kind: "set-sole-mount", fs, isSole });
  }
}
