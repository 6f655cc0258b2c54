/**
 * What the kernel keeps of a mount's files, and its dropping.
 *
 * A dropping waits in the kernel for pages that are locked, so it is left to threads made for waiting, and pages of
 * requests not answered yet are left out of it.
 *
 * Not here  which ranges those are (page-gaps.ts), when pages must go (admission, the operations).
 * Source    safety C3 (flush), C6.
 */
import type { AdmissionEffect } from "../../cluster/admission/operation.js";
import { invalidateInode, storeInInode } from "../../fuse/codec/notify.js";
import * as device from "../../os/device.js";
import type { CorePorts, ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import { gapsBetween } from "./page-gaps.js";
import type { SideThreads } from "./side-threads.js";
import type { Steps } from "./task.js";

const DROPPED_AT_ONCE = 64;
/** So long an append waits for pages that are being filled, and then goes on: a fill may be held. */
const LOCKED_TRIES = 20;
const LOOK_AGAIN_MS = 200;
/** And so often: what is mapped may have to be written back first, and wait for whoever moves the file. Neither a look nor an append waits for that. */
const LOOKS_MAX = 5;

export class KernelPages {
  readonly #core: ReactorCore;
  readonly #notifiers: SideThreads;
  readonly #patientNotifiers: SideThreads;

  constructor(core: ReactorCore, ports: Pick<CorePorts, "notifiers" | "patientNotifiers">) {
    this.#core = core;
    this.#notifiers = ports.notifiers;
    this.#patientNotifiers = ports.patientNotifiers;
  }

  /** Attributes only: never waits. -ENOENT: the kernel knows no such object, or not yet. */
  expireAttributes(inode: Inode): number {
    return this.expireAttributesOf(inode.nodeid);
  }
  expireAttributesOf(nodeid: number): number {
    const message = invalidateInode(nodeid, -1, 0);
    return device.write(this.#core.options.fuseFd, message, 0, message.length);
  }
  /**
   * Drops pages of a range (length 0: to the end); `done` when they are gone. Pages of requests not answered yet are left
   * out, since the kernel keeps them locked; all are dropped again when the last of those is (safety C6).
   */
  drop(inode: Inode, offset: number, length: number, done?: () => void, mayWaitLong = done === undefined): void {
    if (inode.lookups === 0) return done?.();
    const gaps = gapsBetween(inode.lockedRanges, offset, length);
    if (inode.lockedRanges.size > 0) inode.mustDropLocked = true;
    let left = gaps.length;
    if (left === 0) return done?.();
    // Those that may wait for an event have a thread of their own: a flush that a migration waits for never queues behind.
    const notifiers = mayWaitLong ? this.#patientNotifiers : this.#notifiers;
    inode.invalidating += left;
    for (const gap of gaps) {
      notifiers.ask({ kind: "notify", message: invalidateInode(inode.nodeid, gap.offset, gap.length) }, () => {
        inode.invalidating--;
        if (--left === 0) done?.();
      });
    }
  }
  /** Of all objects that rest, a few at a time: there may be millions. */
  dropResting(): void {
    const { inodes } = this.#core;
    const nodeids = inodes.restingNodeids();
    const next = () => {
      const nodeid = nodeids.pop();
      if (nodeid === undefined) return;
      const inode = inodes.getAwake(nodeid); // its pages may have come to be locked
      if (inode === undefined) this.#patientNotifiers.ask({ kind: "notify", message: invalidateInode(nodeid, 0, 0) }, next);
      else this.drop(inode, 0, 0, next, true);
    };
    for (let asked = 0; asked < DROPPED_AT_ONCE; asked++) next(); // each goes on with another
  }
  /** The current task goes on when all pages are gone, but for those of requests not answered yet. */
  *dropped(inode: Inode): Steps<void> {
    if (inode.lookups === 0 || inode.lockedRanges.size > 0) return this.drop(inode, 0, 0);
    const task = this.#core.currentTask;
    this.drop(inode, 0, 0, () => this.#core.wake(task, undefined), true);
    yield;
  }
  rangeAnswered(inode: Inode, range: { readonly offset: number; readonly size: number }): void {
    inode.lockedRanges.delete(range);
    if (inode.lockedRanges.size > 0 || !inode.mustDropLocked) return;
    inode.mustDropLocked = false;
    this.drop(inode, 0, 0);
  }
  /**
   * Others have made the file longer than the kernel thought when it began the append that runs now, at `from`. It does not
   * ask: it takes the end of the append, as it saw it, for the file's, and throws away what a question for attributes brings
   * when a write ends beside it, so what goes by its size (reads of pages, mappings, sendfile) would stop there. Of all that
   * a server can send only bytes make a file longer, so it is sent the last one, when no page is left that was filled when
   * there were fewer. The current task goes on when that is done.
   */
  *grown(inode: Inode, from: number, { end, last }: { readonly end: number; readonly last: Uint8Array }): Steps<void> {
    for (let tries = 0; inode.lockedRanges.size > 0 && tries < LOCKED_TRIES; tries++) yield* this.#core.sleep(1);
    if (inode.lookups === 0 || inode.lockedRanges.size > 0) {
      this.expireAttributes(inode);
      return this.drop(inode, from, 0);
    }
    const { nodeid } = inode;
    const { timers, currentTask: task } = this.#core;
    let forgetTimer = () => {};
    let isOver = false;
    const goOn = () => {
      forgetTimer();
      if (!isOver) this.#core.wake(task, undefined);
      isOver = true;
    };
    const look = (left: number) => {
      forgetTimer = timers.after(LOOK_AGAIN_MS, () => (left === 0 || inode.lockedRanges.size > 0 ? goOn() : look(left - 1)));
    };
    look(LOOKS_MAX);
    // The byte may have been overwritten meanwhile: its page goes again.
    const messages = [invalidateInode(nodeid, from, 0), storeInInode(nodeid, end - 1, last), invalidateInode(nodeid, end - 1, 0)];
    inode.invalidating++;
    this.#patientNotifiers.ask({ kind: "notify-each", messages }, () => {
      inode.invalidating--;
      goOn();
    });
    yield;
  }
  /** As admission wants it for a round. */
  flush(effect: Extract<AdmissionEffect, { kind: "flush-pages" }>): void {
    const done = () => this.#core.step({ kind: "pages-flushed", handle: effect.handle, round: effect.round, from: effect.from });
    const inode = this.#core.inodes.byHandle(effect.handle);
    if (inode === undefined) return done();
    if (effect.isAwaited) return this.drop(inode, 0, 0, done);
    this.drop(inode, 0, 0);
    done();
  }
}
