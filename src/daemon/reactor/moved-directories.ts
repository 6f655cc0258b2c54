/**
 * Directories that another node has moved into another directory, while the kernel here has them in the former one.
 *
 * A directory has one place in the kernel, so a reply that shows it in a new one has the kernel move it there. That takes the
 * lock which a rename between directories holds from its beginning to its reply, and that of the former parent; for neither
 * the kernel waits. It looks the path up once more and then fails with ESTALE, however often the user tries while the rename
 * goes on. A rename(2) of the directory itself, that nobody looked up before, holds that lock too.
 *
 * So whenever a directory is told of in a new place, the kernel is told to let go of the former one, which takes the former
 * parent's lock alone: by a notifier, which waits for it. The next look-up of that name, which may be the kernel's second
 * try, waits until that is done; so does one of the former parent, which whoever had it locked passes on the way. What somebody still uses, a working directory or one with open files below it, stays where
 * it was; then it waits also for renames that are under way. It never waits long: whoever is asked for them may need it.
 *
 * Owns      which directories were told of in a new place lately.
 * Not here  names that the kernel keeps (kept-names.ts).
 * Units     milliseconds of the reactor's clock.
 * Source    safety C5, C6; d_splice_alias in Linux fs/dcache.c; fuse_reverse_inval_entry in fs/fuse/dir.c.
 */
import { forgetEntry } from "../../fuse/codec/notify.js";
import type { Request, RequestOf } from "../../fuse/codec/request.js";
import { fileTypes } from "../../os/stat.js";
import type { CorePorts, ReactorCore } from "./core.js";
import { waitsForPeople } from "./held-operations.js";
import type { Inode } from "./inode-table.js";
import type { Steps, Task } from "./task.js";

/**
 * Operations that wait for other nodes' kernels have ended within that, and the former parent's lock has come to a notifier,
 * which may have had to begin first; unless a rename into the directory that is looked up holds it and waits for that one.
 */
const UNLOCKED_WITHIN_MS = 5_000;
/** Until a user who was told that his rename is done has given up its lock. */
const UNLOCKED_AFTER_MS = 10;
const MOVES_MAX = 1024;

interface Move {
  readonly nodeid: number;
  /** Where the kernel had it. */
  readonly parent: number;
  readonly name: string;
  readonly sinceMs: number;
  hasLetGo: boolean;
}

export class MovedDirectories {
  readonly #core: ReactorCore;
  readonly #notifiers: CorePorts["patientNotifiers"];
  /** By the new place; the oldest first. */
  readonly #moves = new Map<string, Move>();
  /** Those whose former place the kernel has not let go of yet. */
  readonly #lettingGo = new Set<Move>();
  #lastRenameMs = -Infinity;

  constructor(core: ReactorCore, ports: Pick<CorePorts, "patientNotifiers">) {
    this.#core = core;
    this.#notifiers = ports.patientNotifiers;
  }

  /** The kernel, which knows the object by `inode.parent` and `inode.name`, is about to be told of it in that place. */
  told(inode: Inode, directory: Inode, name: string): void {
    if (inode.type !== fileTypes.directory || inode.lookups === 0 || inode.parent === 0 || inode.parent === directory.nodeid) return;
    const move: Move = { nodeid: inode.nodeid, parent: inode.parent, name: inode.name, sinceMs: this.#core.timers.nowMs, hasLetGo: false };
    for (const oldest of this.#moves.keys()) {
      if (this.#moves.size < MOVES_MAX) break;
      this.#moves.delete(oldest);
    }
    this.#moves.set(placeOf(directory.nodeid, name), move);
    this.#lettingGo.add(move);
    this.#core.timers.after(0, () => this.#letGo(move)); // after what looks it up now
  }
  #letGo(move: Move): void {
    const parent = this.#core.inodes.get(move.parent);
    if (parent === undefined) this.#hasLetGo(move); // and of all in it
    else this.#core.startFor(parent, "forget a former name", () => this.#letGoOf(parent, move));
  }
  *#letGoOf(parent: Inode, move: Move): Steps {
    if (yield* this.#isOtherTold(parent, move.name)) this.#hasLetGo(move);
    else this.#notifiers.ask({ kind: "notify", message: forgetEntry(move.parent, move.name) }, () => this.#hasLetGo(move));
    return undefined;
  }
  #hasLetGo(move: Move): void {
    move.hasLetGo = true;
    this.#core.count("directories that others moved");
    this.#lettingGo.delete(move);
  }
  /** The kernel has been told what has the name now, and has let go of the directory by that. */
  *#isOtherTold(parent: Inode, name: string): Steps<boolean> {
    const fd = yield* this.#core.pathFd(parent);
    const found = fd < 0 ? fd : yield* this.#core.find(fd, name);
    if (typeof found === "number") return false;
    if (found.fd >= 0) this.#core.closeLater(found.fd);
    const inode = this.#core.inodes.byOwn(found.own);
    return inode !== undefined && inode.lookups > 0 && inode.parent === parent.nodeid && inode.name === name;
  }

  /** No look-up has to wait for one: so it is nearly always. */
  get isQuiet(): boolean {
    return this.#moves.size === 0;
  }
  /** A name is looked up: waits until the kernel can take over a directory that was lately told of there. */
  *settled(directory: Inode, name: string): Steps<void> {
    const place = placeOf(directory.nodeid, name);
    for (const each of [...this.#lettingGo]) if (this.#isParentOf(each, place)) yield* this.#letsGo(each);
    const move = this.#moves.get(place);
    if (move === undefined) return;
    this.#moves.delete(place);
    yield* this.#letsGo(move);
    const { inodes, timers } = this.#core;
    const untilMs = timers.nowMs + UNLOCKED_WITHIN_MS;
    // One that the kernel has given back since is taken over without a lock.
    while (this.#isLocked(move) && inodes.peek(move.nodeid) !== undefined && timers.nowMs < untilMs) yield* this.#core.sleep(1);
  }
  *#letsGo(move: Move): Steps<void> {
    while (!move.hasLetGo && !this.#isHeld(move) && this.#core.timers.nowMs < move.sinceMs + UNLOCKED_WITHIN_MS) yield* this.#core.sleep(1);
  }
  #isParentOf(move: Move, place: string): boolean {
    const parent = this.#core.inodes.peek(move.parent);
    return parent !== undefined && placeOf(parent.parent, parent.name) === place;
  }
  /** By an operation that is under way here, or was just now. */
  #isLocked(move: Move): boolean {
    if (this.#core.timers.nowMs < this.#lastRenameMs + UNLOCKED_AFTER_MS) return true;
    return this.#isAny((task, request) => (isBetween(request) || changes(request, move.parent)) && !waitsForPeople(task));
  }
  /** The former parent is locked, for nobody knows how long. */
  #isHeld(move: Move): boolean {
    return this.#isAny((task, request) => changes(request, move.parent) && waitsForPeople(task));
  }
  #isAny(is: (task: Task, request: Request) => boolean): boolean {
    for (const task of this.#core.suspended.values()) if (task.request !== undefined && is(task, task.request)) return true;
    return false;
  }
  /** Another rename has ended. */
  renamed(request: RequestOf<"rename">): void {
    if (isBetween(request)) this.#lastRenameMs = this.#core.timers.nowMs;
  }
}

function placeOf(directory: number, name: string): string {
  return `${directory}/${name}`;
}
/** Such a rename has all others wait. */
function isBetween(request: Request): boolean {
  return request.kind === "rename" && request.newDirectory !== request.header.nodeid;
}
/** It has the directory locked. */
function changes(request: Request, directory: number): boolean {
  switch (request.kind) {
    case "rename": return request.header.nodeid === directory || request.newDirectory === directory;
    case "create":
    case "mknod":
    case "mkdir":
    case "symlink":
    case "link":
    case "unlink":
    case "rmdir": return request.header.nodeid === directory;
    default: return false;
  }
}
