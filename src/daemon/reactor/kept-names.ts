/**
 * How long the kernel may keep names and attributes without asking: as long as this node's lease lasts, where nobody else
 * mounts the file system, or where all others have permitted it (cluster/keeping); else not at all.
 *
 * A node that stands still hears of nobody, so what its kernel keeps ends with the lease, before the others may think that it
 * is gone. Another's mount, and another's change of what is kept here, wait until it is forgotten.
 *
 * Attributes are forgotten object by object, which waits for nothing. A reply that brings the kernel an object it does not
 * know yet may still be on its way when the object is to be forgotten; the kernel then says that it knows none, and is told
 * again until it does or has given it back. Of what it knows, it minds by itself which replies were asked for before.
 *
 * Names are forgotten one by one where others mount too, by a notifier, since each waits for its directory's lock. Where that
 * is held for long, by an operation that itself waits, all names are forgotten at once, which waits for nothing (safety C6) but
 * is felt: working directories and running programs are without a name until they are looked up, and mounts below are
 * detached. A reply to somebody who looks a known name up again holds no lock, so what was told within the last moment may
 * not have arrived yet, and has time to; listings hold the directory's lock until their entries have.
 *
 * Attributes of a file that has a record are always asked for: an application may change them beneath the kernel. So are
 * those of a file that passes through and was opened for writing: stores through its mappings change its times beneath the
 * kernel's own idea of it. A read is a change where it moves the time of access (access-times.ts).
 *
 * Calls that change the owner or mode by a name are checked by the kernel against the attributes it has, which it does not
 * ask for again while the name stands. So beside others a name stands where its object is kept, and goes with it.
 *
 * Owns      whether anything may be kept, the forgetting of it, changes that wait for other kernels.
 * Not here  who else mounts (cluster/sole-mounts.ts), who permits what (cluster/keeping), pages (kernel-pages.ts).
 * Units     milliseconds of the monotonic clock; struct fuse_entry_out has seconds and nanoseconds.
 * Source    blueprint section 6, coherence; safety C6, H7; linux/fuse.h FUSE_NOTIFY_INC_EPOCH (7.44).
 */
import { Keeping, type KeepingEffect, type OtherMount } from "../../cluster/keeping/keeping.js";
import type { KeepingWord } from "../../cluster/keeping/words.js";
import type { Handle, NodeId } from "../../dmapi/ids.js";
import { beginEpoch, expireEntry } from "../../fuse/codec/notify.js";
import { type Keep, keepNothing, statxAt } from "../../fuse/codec/reply.js";
import * as device from "../../os/device.js";
import { errno } from "../../os/errno.js";
import { fileTypes } from "../../os/stat.js";
import type { Stored } from "./backing-calls.js";
import { AccessTimes } from "./access-times.js";
import type { CorePorts, ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import { NotedNames } from "./noted-names.js";
import type { Steps, Task } from "./task.js";

/** Until a reply on its way has brought the kernel what it knew nothing of. */
const FORGET_AGAIN_MS = 1;
/** Then none is on its way, whatever is counted here. */
const FORGET_TRIES = 1_000;
/** Within this a reply has come to the thread that waits for it. */
const REPLY_ARRIVES_MS = 50;
/** What is wanted within that is asked for together. */
const WORDS_AFTER_MS = 1;
/** Longer than a directory is locked by operations that wait for nobody. */
const NAMES_WITHIN_MS = 50;
interface Looked {
  readonly statx: Uint8Array;
  readonly stored: Stored | undefined;
}

export class KeptNames {
  readonly #core: ReactorCore;
  readonly #untilMs: Float64Array | undefined;
  readonly #keeping: Keeping;
  readonly #accessTimes: AccessTimes;
  readonly #notifiers: CorePorts["patientNotifiers"];
  /** Which names the kernel may keep beside others. */
  readonly #names = new NotedNames();
  #isSole = false;
  /** The kernel can forget all names at once; one that cannot keeps none. */
  #canForget: boolean | undefined;
  #willFlush = false;
  #lastChange = 0;
  /** Changes that wait until other kernels have forgotten. */
  readonly #waiting = new Map<number, Task>();
  /** Objects whose attributes the kernel has not forgotten yet, how often it is told again, and who waits for that. */
  readonly #forgetting = new Map<Inode, number>();
  #forgotten: { readonly left: Set<Inode>; readonly done: () => void }[] = [];

  constructor(core: ReactorCore, ports: Pick<CorePorts, "patientNotifiers">, leaseUntil: SharedArrayBuffer | undefined) {
    this.#core = core;
    this.#notifiers = ports.patientNotifiers;
    this.#untilMs = leaseUntil === undefined ? undefined : new Float64Array(leaseUntil);
    this.#keeping = new Keeping((effect) => this.#perform(effect), (own) => this.#mayChangeUnseen(own));
    this.#accessTimes = new AccessTimes(core.rootFd);
  }

  get counts(): Readonly<Record<string, number>> {
    const { kept, permitted, waiting } = this.#keeping.counts;
    return { "objects kept by the kernel beside others": kept, "objects others may keep": permitted, "changes waiting for other kernels": waiting };
  }

  // What the kernel may keep.

  /** Of a name that is not there. */
  missingMs(directory: Inode, name: string): number {
    if (!this.#mayKeep(directory)) return 0;
    return this.#isSole || this.#noteName(directory, name) ? this.#leaseMs : 0;
  }
  /**
   * Of a name, and of the attributes of what has it: beside others a name is kept where its object is too.
   * @param isEmpty just made, and its maker's open is the first: the kernel sees it grow before any of it can be mapped.
   */
  entry(directory: Inode, name: string, inode: Inode, found: Looked, isEmpty = false): Keep {
    if (this.#isSole) {
      const leaseMs = this.#leaseMs;
      return { nameMs: leaseMs, attributesMs: this.#changesUnasked(inode, found, isEmpty) ? 0 : leaseMs };
    }
    const keepsNames = this.#mayKeep(directory);
    if (!this.#mayKeep(inode)) return keepNothing;
    const keepsName = keepsNames && this.#noteName(directory, name, inode);
    return { nameMs: keepsName ? this.#leaseMs : 0, attributesMs: this.#changesUnasked(inode, found, isEmpty) || !this.#keeping.isFresh(inode.own) ? 0 : this.#leaseMs };
  }
  #noteName(directory: Inode, name: string, object?: Inode): boolean {
    return this.#names.note({ directory: directory.nodeid, name, object: object?.nodeid, toldMs: this.#core.timers.nowMs });
  }
  /**
   * A user has given an object another name, with which the kernel takes over how long it may keep the old one. Where it
   * may keep none, it is not to keep this one.
   */
  renamed(task: Task, moved: Inode | undefined, [from, name]: readonly [Inode, string], [to, newName]: readonly [Inode, string]): void {
    if (this.#isSole || from === to && !this.#names.hasAny(from.nodeid)) return;
    if (this.#keeping.isKept(to.own) && (moved === undefined || this.#keeping.isKept(moved.own)) && this.#noteName(to, newName, moved)) return;
    if (task.hasWaited || this.#names.has(from.nodeid, name)) this.#beginEpoch();
  }
  /** Of an object's attributes; what was looked at before the current task waited may be old. */
  attributesMs(inode: Inode, found: Looked): number {
    if (this.#changesUnasked(inode, found) || !this.#mayKeep(inode)) return 0;
    return this.#isSole || this.#keeping.isFresh(inode.own) ? this.#leaseMs : 0;
  }
  #changesUnasked(inode: Inode, { statx, stored }: Looked, isEmpty = false): boolean {
    if (this.#core.currentTask.hasWaited || (!isEmpty && this.#core.backingFiles.mayBeWritten(inode))) return true;
    const isRegular = ((statx[statxAt.mode]! | (statx[statxAt.mode + 1]! << 8)) & fileTypes.mask) === fileTypes.regular;
    return (isRegular ? stored?.record : null) !== null;
  }
  get #leaseMs(): number {
    return this.#untilMs === undefined ? 0 : Math.max(0, this.#untilMs[0]! - Number(process.hrtime.bigint()) / 1e6);
  }
  #mayKeep(inode: Inode): boolean {
    if (this.#isSole) return true;
    if (this.#core.options.keepsBeside !== true || this.#canForget !== true || this.#untilMs === undefined || this.#core.currentTask.hasWaited) return false;
    return this.#keeping.look(inode.own, this.#core.inodes.peek(inode.parent)?.own);
  }

  // Who else mounts.

  /** Nobody else mounts, or all who do ask before they change it; and this node's lease lasts. */
  isUnchangedByOthers(inode: Inode): boolean {
    return (this.#isSole || this.#keeping.isKept(inode.own)) && this.#leaseMs > 0;
  }
  set isSole(isSole: boolean) {
    this.#core.keptPages.beginAnew();
    this.#canForget ??= this.#beginEpoch();
    this.#isSole = isSole && this.#canForget;
    if (isSole || !this.#canForget) return;
    this.#beginEpoch();
    this.#forgetAttributes([...this.#core.inodes], () => {});
    const { inodes, pages } = this.#core;
    const unknown = inodes.restingNodeids().filter((nodeid) => pages.expireAttributesOf(nodeid) === -errno.ENOENT);
    for (const nodeid of unknown) {
      const inode = inodes.get(nodeid);
      if (inode !== undefined) this.#whenForgotten([inode], () => {});
    }
  }
  /** The very object is remembered here. */
  uses(inode: Inode): boolean {
    return this.#forgetting.has(inode);
  }
  othersAre(others: readonly OtherMount[], isInForce: boolean): void {
    this.#keeping.othersAre(others, isInForce);
  }
  hear(from: NodeId, word: KeepingWord): void {
    this.#keeping.hear(from, word);
  }
  /** Another node is about to let its users in: `done` when nothing is kept any more. */
  giveUpAll(done: () => void): void {
    this.#keeping.giveUpAll(() => this.#whenForgotten([...this.#forgetting.keys()], done));
  }
  excluded(): void {
    this.#core.keptPages.beginAnew();
    this.#keeping.excluded();
  }
  /** Some requests were served. What others are to be told or asked goes with what comes within the next moment: a word costs more than what it names. */
  flush(): void {
    if (this.#willFlush || !this.#keeping.hasWords) return;
    this.#willFlush = true;
    this.#core.timers.after(WORDS_AFTER_MS, () => {
      this.#willFlush = false;
      this.#keeping.flush();
    });
  }
  /** Once a second. */
  look(): void {
    this.#keeping.eased();
  }

  // What is forgotten.

  /** An application, here or elsewhere, changed the object. */
  changedBeneath(handle: Handle): void {
    const inode = this.#core.inodes.byHandle(handle);
    if (inode === undefined) return;
    this.#core.keptPages.passed(inode);
    if (inode.lookups > 0) this.#forget([inode], () => {});
  }
  /** The kernel has given it back. */
  gone(inode: Inode): void {
    this.#keeping.forgotten(inode.own);
    this.#names.gone(inode.nodeid);
    this.#hasForgotten(inode);
  }

  #forget(inodes: readonly Inode[], done: () => void): void {
    let left = 2;
    const oneDone = () => {
      if (--left === 0) done();
    };
    this.#forgetNames(inodes, oneDone);
    this.#forgetAttributes(inodes, oneDone);
  }
  /** Those in a directory, and those of an object. None is added meanwhile, since it is not kept any more. */
  #forgetNames(inodes: readonly Inode[], done: () => void): void {
    const names = new Set(inodes.flatMap((inode) => [...this.#names.about(inode.nodeid)]));
    if (names.size === 0) return done();
    const { timers } = this.#core;
    let isDone = false;
    const finish = () => {
      if (isDone) return;
      isDone = true;
      for (const noted of names) this.#names.forgotten(noted);
      done();
    };
    const expire = () => {
      const messages = [...names].map(({ directory, name }) => expireEntry(directory, name));
      this.#notifiers.ask({ kind: "notify-each", messages }, finish);
      timers.after(NAMES_WITHIN_MS, () => {
        if (isDone) return;
        this.#core.count("times all names were forgotten at once");
        this.#beginEpoch();
        finish();
      });
    };
    const toldMs = [...names].reduce((last, noted) => Math.max(last, noted.toldMs), 0);
    const arrivesMs = toldMs + REPLY_ARRIVES_MS - timers.nowMs;
    if (arrivesMs <= 0) expire();
    else timers.after(arrivesMs, expire);
  }
  #forgetAttributes(inodes: readonly Inode[], done: () => void): void {
    this.#whenForgotten(inodes.filter((inode) => !this.#expire(inode)), done);
  }
  #whenForgotten(inodes: readonly Inode[], done: () => void): void {
    if (inodes.length === 0) return done();
    if (this.#forgetting.size === 0) this.#core.timers.after(FORGET_AGAIN_MS, () => this.#forgetAgain());
    for (const inode of inodes) this.#forgetting.set(inode, FORGET_TRIES);
    this.#forgotten.push({ left: new Set(inodes), done });
  }
  #expire(inode: Inode): boolean {
    return inode.lookups === 0 || this.#core.pages.expireAttributes(inode) !== -errno.ENOENT;
  }
  #forgetAgain(): void {
    for (const [inode, tries] of [...this.#forgetting]) {
      if (tries === 0 || this.#expire(inode)) this.#hasForgotten(inode);
      else this.#forgetting.set(inode, tries - 1);
    }
    if (this.#forgetting.size > 0) this.#core.timers.after(FORGET_AGAIN_MS, () => this.#forgetAgain());
  }
  #hasForgotten(inode: Inode): void {
    if (!this.#forgetting.delete(inode)) return;
    for (const { left, done } of this.#forgotten) if (left.delete(inode) && left.size === 0) done();
    this.#forgotten = this.#forgotten.filter(({ left }) => left.size > 0);
  }
  #beginEpoch(): boolean {
    const message = beginEpoch();
    return device.write(this.#core.options.fuseFd, message, 0, message.length) >= 0;
  }

  // What this node changes.

  /**
   * Waits until no other kernel keeps any of these; none does until the task ends. 0: nothing else ran meanwhile; 1: it may
   * have; or a negative errno.
   */
  *mayChange(task: Task, inodes: readonly Inode[], isInterruptible = true): Steps<number> {
    for (const inode of inodes) this.#age(inode);
    return yield* this.#mayBegin(task, { inodes, isByReading: false, isInterruptible });
  }
  *#mayBegin(task: Task, { inodes, isByReading, isInterruptible }: { readonly inodes: readonly Inode[]; readonly isByReading: boolean; readonly isInterruptible: boolean }): Steps<number> {
    const change = ++this.#lastChange;
    const objects = inodes.map(({ own }) => own);
    task.changes.push({ change, objects, isByReading });
    if (this.#keeping.begin(change, objects)) return 0;
    this.#core.count("changes that waited for other kernels");
    this.#waiting.set(change, task);
    task.hold = { sinceMs: this.#core.timers.nowMs, cause: "members", detail: "the kernels of other nodes forget what they keep of it", handle: undefined };
    const wasInterruptible = task.isInterruptible;
    task.isInterruptible = isInterruptible;
    const verdict = (yield) as number;
    task.isInterruptible = wasInterruptible;
    task.hold = undefined;
    this.#waiting.delete(change);
    return verdict;
  }
  /**
   * A read is about to move the time of access, perhaps: as `mayChange`, where it is so and other kernels keep the object. What
   * nobody keeps is not looked at; unless the read comes next (`isAtOnce`) it is permitted to nobody until the task ends.
   */
  *mayRead(task: Task, inode: Inode, isAtOnce: boolean): Steps<void> {
    if (this.#keeping.isPermitted(inode.own)) {
      const looked = yield* this.#core.look(inode);
      if (typeof looked === "number" || !this.#accessTimes.movesWithRead(looked.statx)) return; // it fails as it would, or moves nothing
    } else if (isAtOnce) return;
    yield* this.#mayBegin(task, { inodes: [inode], isByReading: true, isInterruptible: false });
  }
  movesWithRead(statx: Uint8Array): boolean {
    return this.#accessTimes.movesWithRead(statx);
  }
  /** Files that pass through to the kernel are written, and read, without a word: whether such a read would move the time of access. */
  #mayChangeUnseen(own: string): boolean {
    const inode = this.#core.inodes.awakeByOwn(own); // none that passes through rests
    return inode !== undefined && this.#core.backingFiles.mayChangeUnseen(inode, (statx) => this.#accessTimes.movesWithRead(statx));
  }
  /** An open passes through that only reads. What a read of it would move is open for changes from now on. */
  *opensToRead(task: Task, inode: Inode): Steps<boolean> {
    if (!this.#keeping.isPermitted(inode.own)) return false; // before it is, it is looked at
    const looked = yield* this.#core.look(inode);
    if (typeof looked === "number" || !this.#accessTimes.movesWithRead(looked.statx)) return false;
    yield* this.#mayBegin(task, { inodes: [inode], isByReading: true, isInterruptible: false });
    return true;
  }
  /** What it changes is found by a name, and others run between the look and the change: until it ends nothing is permitted to anybody. */
  changesByName(task: Task): void {
    if (task.changesByName) return;
    task.changesByName = true;
    this.#keeping.pause();
  }
  /** The task is over. */
  changed(task: Task): void {
    for (const { change, objects, isByReading } of task.changes) {
      for (const own of isByReading ? [] : objects) {
        const inode = this.#core.inodes.awakeByOwn(own);
        if (inode !== undefined) this.#age(inode);
      }
      this.#keeping.end(change, objects);
    }
    task.changes.length = 0;
    if (task.changesByName) this.#keeping.resume();
    task.changesByName = false;
  }
  /** Whose reads pass through elsewhere may move its time of access again, unseen: its attributes are permitted anew first. */
  #age(inode: Inode): void {
    if (inode.type === fileTypes.regular && this.#keeping.age(inode.own)) this.#core.pages.expireAttributes(inode);
  }
  /** Part of a change: it is open for writing, and changes without a word from now on. */
  opened(inode: Inode): void {
    this.#keeping.hold(inode.own);
  }
  /** An open has ended, or what the kernel wrote by itself. */
  closed(inode: Inode): void {
    if (inode.writableOpens === 0 && !this.#core.backingFiles.changesUnseen(inode)) this.#keeping.release(inode.own);
  }

  #perform(effect: KeepingEffect): void {
    switch (effect.kind) {
      case "say":
        return this.#core.post({ kind: "keeping-said", to: effect.to, word: effect.word });
      case "drop": {
        const inodes = effect.objects.flatMap((own) => this.#core.inodes.byOwn(own) ?? []);
        this.#core.count("objects dropped by the kernel for others", inodes.length);
        for (const inode of inodes) this.#core.keptPages.passed(inode);
        return this.#forget(inodes, () => this.#keeping.dropped(effect.drop));
      }
      case "may-change": {
        const task = this.#waiting.get(effect.change);
        if (task?.isSuspended !== true) return;
        task.isSuspended = false;
        this.#core.wake(task, 1);
      }
    }
  }
}
