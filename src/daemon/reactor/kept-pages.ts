/**
 * Pages that stay in the kernel from one open of a file to the next: where this node alone mounts the file system, and of
 * what it keeps by permission of all others who do.
 *
 * Whatever changes a file then passes through this kernel, which sees to its own pages, or through us, who have them dropped;
 * or another node asks first. So they are dropped at an open (the kernel does that, unless it is told to keep them) only where
 * somebody else may have changed the file since the last open that dropped them: another node mounted meanwhile or asked, the
 * file was opened past the pages, or an application has to do with it.
 *
 * While others may change a file that is open here, its pages are compared by the time of writing whenever the kernel asks for
 * attributes, as it does before it reads. It does so itself, but throws the answer away when a write of its own users ends
 * meanwhile; so where those write it is done here, and what our own writes do to that time is known. Once somebody else has
 * written beside them, the pages are dropped each time, and who opens the file reads it directly. A dropping has the kernel throw away the
 * answer too, so it is told the size in another way.
 *
 * A read of them moves no time of access; where one would, they are dropped, so that it comes to us.
 *
 * Source    safety H7; decisions 0010 and 0012.
 */
import { statxAt } from "../../fuse/codec/reply.js";
import { errno } from "../../os/errno.js";
import type { Changer } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import type { Steps } from "./task.js";

/** Until a write has ended in the kernel of which we have heard nothing for so long. */
const WRITES_END_MS = 1_000;

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
    inode.pagesOf = undefined;
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

  // Written by others while it is open here.

  /** Before an open is answered that drops them. */
  *begin(inode: Inode): Steps<void> {
    if (this.#core.keptNames.isUnchangedByOthers(inode)) {
      inode.pagesOf = undefined;
      return;
    }
    const looked = yield* this.#core.look(inode);
    inode.pagesOf = typeof looked === "number" ? undefined : mtimeOf(looked.statx);
  }
  /**
   * Of a file with page-cached opens, before its attributes are told to a kernel that asks for them: while a truncation is under way it
   * writes nothing back, and what has to be written back before it is dropped would be waited for until that is answered.
   */
  *compare(inode: Inode, statx: Uint8Array): Steps<void> {
    if (this.#core.keptNames.isUnchangedByOthers(inode)) return;
    const [before, now] = [inode.pagesOf, mtimeOf(statx)];
    if (before === now && !inode.isWrittenElsewhere) return;
    inode.pagesOf = now;
    if (this.#core.timers.nowMs > inode.writtenMs + WRITES_END_MS) return; // the kernel takes the answer, and drops them itself
    inode.isWrittenElsewhere ||= before !== undefined;
    yield* this.refresh(inode, 0);
  }
  /** No page from an offset on is left, and the kernel knows where the file ends, as far as that can be told. */
  *refresh(inode: Inode, from: number): Steps<void> {
    const isAllThere = this.#core.admission.recordOf(this.#core.handleOf(inode))?.residency !== "partial";
    const reader = isAllThere ? yield* this.#core.borrowReader(inode) : -errno.ENODATA;
    if (typeof reader !== "number") {
      const found = yield* this.#core.call("endOf", reader.fd);
      this.#core.returnReader(reader);
      if (typeof found !== "number") return yield* this.#core.pages.grown(inode, from, found);
    }
    this.#core.pages.expireAttributes(inode);
    this.#core.pages.drop(inode, from, 0);
  }
  /** The kernel may be about to take note of a write of its own. */
  wrote(inode: Inode): void {
    inode.writtenMs = this.#core.timers.nowMs;
  }
  /** In another way than by `write`: who did it cannot be told from the time of writing. */
  changedHere(inode: Inode): void {
    inode.pagesOf = undefined;
  }
  /** A write of a user of this node. */
  *write(inode: Inode, fd: number, data: Uint8Array, offset: number, dropsFor: Changer | undefined): Steps<number> {
    this.wrote(inode);
    if (inode.pagesOf === undefined) return yield* this.#core.call("write", fd, data, offset, dropsFor);
    const done = yield* this.#core.call("writeBetween", fd, data, offset, dropsFor);
    if (typeof done === "number") return done;
    if (inode.pagesOf === done.before) inode.pagesOf = done.after;
    return done.written;
  }
  #isOurs(inode: Inode): boolean {
    return this.#core.keptNames.isUnchangedByOthers(inode) && this.#core.admission.recordOf(this.#core.handleOf(inode)) === null;
  }
}

const nanoseconds = 1_000_000_000n;
function mtimeOf(statx: Uint8Array): bigint {
  const view = new DataView(statx.buffer, statx.byteOffset + statxAt.mtime, 12);
  return view.getBigInt64(0, true) * nanoseconds + BigInt(view.getUint32(8, true));
}
