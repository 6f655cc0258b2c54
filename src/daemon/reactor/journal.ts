/**
 * What was done for requests that may not have been answered: a daemon that is killed has the kernel send them again to the
 * next one, and what must not be done twice is known again by the request's unique number.
 *
 * An entry begins before the backing is changed, says what came of it as soon as that is known, and ends with the answer.
 * Who finds one that is done answers what came of it. Who finds one that had only begun looks whether it happened
 * (done-before.ts). Requests that change nothing, or the same each time, have no entry and are simply done again:
 *
 *   again            lookup getattr statx readlink statfs getxattr listxattr read readdir readdirplus lseek getlk access ioctl
 *                    fsync fsyncdir syncfs; setlk setlkw (the owner has what it has), flush (its locks go), release, releasedir
 *                    (what is closed already is answered so; the kernel does not look), setattr without a size
 *   counted back     lookup, readdirplus: what was counted for the answer that never came is taken back (mount-memory.ts)
 *   done once        create mkdir mknod symlink link unlink rmdir rename, write, append, fallocate, copyFileRange, truncation
 *                    (setattr, open), setxattr, removexattr
 *   opened once      open opendir create tmpfile: the open that nobody heard of is the one that is answered
 *   not sent again   forget (one that was read and lost is an object remembered for too long); interrupt comes again by itself
 *
 * Events are raised anew, but for the pre event of what is done: at least once each, where a durable session counts on it.
 *
 * Source    safety H11.
 */
import type { JournalEntry, MountMemory } from "../holder/mount-memory.js";
import type { Task } from "./task.js";

export class Journal {
  readonly #memory: MountMemory | undefined;
  readonly #past = new Map<bigint, JournalEntry>();
  #counted: { readonly unique: bigint; readonly nodeids: readonly number[] } | undefined;

  constructor(memory: MountMemory | undefined) {
    this.#memory = memory;
  }

  /** The next backing call changes something. `note`: what tells later whether it did. */
  begin(task: Task, note = 0): void {
    if (this.#memory === undefined || task.request === undefined) return;
    const { unique, opcode } = task.request.header;
    if (task.entry >= 0) this.#memory.beginAgain(task.entry, note, Date.now());
    else task.entry = this.#memory.begin(unique, opcode, note, Date.now());
  }
  /** What came of it: zero or more, or the negative errno; the object that it made. */
  done(task: Task, result: number, nodeid = 0): void {
    if (task.entry >= 0) this.#memory!.done(task.entry, result, nodeid);
  }
  /** The open that is about to be made, and then answered. */
  opening(task: Task, fh: number): void {
    if (task.entry < 0) this.begin(task);
    if (task.entry >= 0) this.#memory!.opening(task.entry, fh);
  }
  /** Answered. */
  over(task: Task): void {
    if (task.entry < 0) return;
    this.#memory!.over(task.entry);
    task.entry = -1;
  }

  // What an earlier daemon left.

  takeOver(): void {
    for (const entry of this.#memory!.journal()) this.#past.set(entry.unique, entry);
    this.#counted = this.#memory!.countedBefore;
  }
  /** Requests may come that have a past. */
  get hasPast(): boolean {
    return this.#past.size > 0 || this.#counted !== undefined;
  }
  /** The request of that number without the mark of one that comes again: its past becomes the task's. */
  claim(task: Task, unique: bigint): void {
    const entry = this.#past.get(unique);
    if (entry === undefined) return;
    this.#past.delete(unique);
    task.past = entry;
    task.entry = entry.place;
  }
  /** Look-ups that were counted for that request. */
  countedFor(unique: bigint): readonly number[] {
    if (this.#counted?.unique !== unique) return [];
    const { nodeids } = this.#counted;
    this.#counted = undefined;
    this.#memory!.countsOver();
    return nodeids;
  }
  /** Everything that was not answered has come: the rest was, or its user is gone. */
  pastIsOver(): void {
    for (const { place } of this.#past.values()) this.#memory!.over(place);
    this.#past.clear();
    this.#counted = undefined;
  }
}
