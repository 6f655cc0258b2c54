/**
 * Which open files the holder keeps a descriptor of. What is open may lose its name on any node, and then nothing but a
 * descriptor leads to it: one of each file that is open for long goes to the holder; at once of what has no name, of others
 * each second, since most opens are short.
 *
 * Owns      which opens are new, and whether the holder has an inode's descriptor.
 * Not here  the way to the holder (descriptor-keeper.ts), finding such a file again (takeover.ts).
 * Source    safety H11.
 */
import type { DescriptorKeeper } from "./descriptor-keeper.js";
import type { Inode } from "./inode-table.js";

export class KeptOpens {
  readonly #keeper: DescriptorKeeper | undefined;
  readonly #new = new Set<Inode>();

  constructor(keeper: DescriptorKeeper | undefined) {
    this.#keeper = keeper;
  }

  opened(inode: Inode): void {
    if (this.#keeper !== undefined && !inode.isKept) this.#new.add(inode);
  }
  /** An open file that has no name here any more. */
  unnamed(inode: Inode): void {
    this.opened(inode);
    if (this.#new.has(inode) && inode.pathFd >= 0) this.#keep([inode]);
  }
  closed(inode: Inode): void {
    if (inode.opens > 0) return;
    this.#new.delete(inode);
    if (!inode.isKept) return;
    inode.isKept = false;
    this.#keeper?.drop([nameOf(inode).key]);
  }
  /** Another holder has nothing yet. */
  keepAgain(all: Iterable<Inode>): void {
    for (const inode of all) {
      if (inode.opens === 0) continue;
      inode.isKept = false;
      this.opened(inode);
    }
    this.look();
  }
  /** Once a second. Of those without a descriptor one is kept as soon as they have it. */
  look(): void {
    if (this.#new.size > 0) this.#keep([...this.#new].filter((inode) => inode.pathFd >= 0));
  }

  #keep(inodes: readonly Inode[]): void {
    for (const inode of inodes) {
      this.#new.delete(inode);
      inode.isKept = true;
    }
    this.#keeper?.keepAll(inodes.map((inode) => ({ name: nameOf(inode), fd: inode.pathFd })));
  }
}

function nameOf({ nodeid }: Inode): { key: string; note: string } {
  return { key: `inode ${nodeid}`, note: JSON.stringify({ nodeid }) };
}
