/**
 * The node's share in what its reactors and those of other nodes say to each other about what kernels keep: who the others
 * are, and the words on their way.
 *
 * Owns      who a reactor was last told of.
 * Not here  what may be kept (keeping.ts).
 * Source    safety C7, H7; decision 0012.
 */
import type { FsName, NodeId } from "../../dmapi/ids.js";
import type { KeepingMessage } from "../messages.js";
import type { Surroundings } from "../surroundings.js";
import type { OtherMount } from "./keeping.js";

interface Told {
  readonly others: readonly OtherMount[];
  readonly isInForce: boolean;
}

export class OtherMounts {
  readonly #here: Surroundings;
  readonly #isMounted: (fs: FsName) => boolean;
  readonly #told = new Map<FsName, Told>();

  constructor(here: Surroundings, isMounted: (fs: FsName) => boolean) {
    this.#here = here;
    this.#isMounted = isMounted;
  }

  /** A view was adopted or is in force. Where the others are the same, nothing of it is news. */
  tell(names: readonly FsName[]): void {
    const { view, isInForce, me } = this.#here;
    for (const fs of names) {
      const others = (view?.members ?? []).flatMap(({ id, incarnation, mounted }) => (id !== me && mounted.includes(fs) ? [{ id, incarnation }] : []));
      const told = this.#told.get(fs) ?? { others: [], isInForce: true };
      if (areSame(told.others, others) && (told.isInForce || !isInForce)) continue;
      this.#told.set(fs, { others, isInForce });
      this.#here.emit({ kind: "set-other-mounts", fs, others, isInForce });
    }
  }
  /** The reactors have forgotten everything. */
  excluded(): void {
    this.#told.clear();
  }

  /** Where nothing is mounted, nothing is kept. */
  received(from: NodeId, { fs, word }: KeepingMessage): void {
    if (this.#isMounted(fs)) this.#here.emit({ kind: "keeping-heard", fs, from, word });
    else if (word.kind === "drop-wanted") this.#here.send(from, { kind: "keeping", fs, word: { kind: "drop-done", drop: word.drop, objects: word.objects } });
  }
}

function areSame(a: readonly OtherMount[], b: readonly OtherMount[]): boolean {
  return a.length === b.length && a.every(({ id, incarnation }, at) => id === b[at]?.id && incarnation === b[at]?.incarnation);
}
