/**
 * Pages that stay in the kernel from one open of a file to the next: where this node alone mounts the file system, and of
 * what it keeps by permission of all others who do.
 *
 * Whatever changes a file then passes through this kernel, which sees to its own pages, or through us, who have them dropped;
 * or another node asks first. So they are dropped at an open (the kernel does that, unless it is told to keep them) only where
 * somebody else may have changed the file since the last open that dropped them: another node mounted meanwhile or asked, the
 * file was opened past the pages, or an application has to do with it.
 *
 * A read of them moves no time of access; where one would, they are dropped, so that it comes to us.
 *
 * Source    safety H7; decisions 0010 and 0012.
 */
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import type { Steps } from "./task.js";

export class KeptPages {
  readonly #core: ReactorCore;
  /** Number of the time since which the same ones mount; what was kept before counts no more. */
  #since = 1;

  constructor(core: ReactorCore) {
    this.#core = core;
  }

  /** Somebody else mounts, or mounts no more, or this node was excluded. */
  beginAnew(): void {
    this.#since++;
  }
  /** An open that drops them is answered. */
  dropped(inode: Inode): void {
    inode.pagesSince = this.#isOurs(inode) ? this.#since : 0;
  }
  /** Changed beneath them, or to be so. */
  passed(inode: Inode): void {
    inode.pagesSince = 0;
  }
  *mayStay(inode: Inode): Steps<boolean> {
    if (!this.areTrue(inode)) return false;
    const looked = yield* this.#core.look(inode);
    return typeof looked !== "number" && !this.#core.keptNames.movesWithRead(looked.statx);
  }
  /** Asked again when the open is answered. */
  areTrue(inode: Inode): boolean {
    return inode.pagesSince === this.#since && this.#isOurs(inode);
  }
  #isOurs(inode: Inode): boolean {
    return this.#core.keptNames.isUnchangedByOthers(inode) && this.#core.admission.recordOf(this.#core.handleOf(inode)) === null;
  }
}
