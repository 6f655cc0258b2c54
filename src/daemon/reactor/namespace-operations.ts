/**
 * Operations on names: look-ups, creations, removals, renames, links, and the reading of directories.
 *
 * Look-ups and listings are never held, but for a moment where a directory has moved (moved-directories.ts). A name's change uses its directory and, where one goes, the object that loses the
 * name. `.sluice` in the root is ours and not to be seen.
 *
 * Source    safety C5, H6, H15; XDSM 3.3 (fields), 3.5 (order: the event, the change, destroy, the post event).
 */
import type { NamespaceEvent } from "../../dmapi/events.js";
import type { Handle } from "../../dmapi/ids.js";
import type { PostEvent, PreEvent } from "../../cluster/admission/operation.js";
import { decodeDevice, keepNothing, ReplyBuffer, statxAt } from "../../fuse/codec/reply.js";
import type { RequestHeader, RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { fileTypes, joinDevice } from "../../os/stat.js";
import type { Creation, Found, ListedEntry } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import { madeAs, madeBefore, removedBefore, renamedBefore } from "./done-before.js";
import type { Inode } from "./inode-table.js";
import type { OpenDirectory } from "./open-files.js";
import type { Steps, Task } from "./task.js";

export function creationOf(request: { header: { uid: number; gid: number }; mode?: number; umask?: number; group?: number }): Creation {
  return { mode: request.mode ?? 0o777, umask: request.umask ?? 0, uid: request.header.uid, gid: request.header.gid, group: request.group };
}

interface Told {
  readonly before: readonly PreEvent[];
  /** What is told when it has ended that way. */
  readonly after: (object: Inode | undefined, code: number) => readonly PostEvent[];
}
type Pre = "create" | "symlink" | "link" | "remove" | "rename";
const postOf = { create: "postcreate", symlink: "postsymlink", link: "postlink", remove: "postremove", rename: "postrename" } as const;

/** The pre event and its post form, with the fields of XDSM 3.3. */
function told(core: ReactorCore, task: Task, type: Pre, lists: readonly Handle[], fields: Omit<NamespaceEvent, "type">): Told {
  core.tell(task, type, () => ({ type, ...fields }));
  return {
    before: [{ kind: "listed", type, lists }],
    after: (object, code) => {
      const post = postOf[type];
      core.tell(task, post, () => ({ type: post, ...fields, ...(object === undefined ? {} : { handle2: core.handleOf(object) }), returnCode: code }));
      return [code === 0 ? { type: post, lists } : { type: post, lists, onlyAfter: type }];
    },
  };
}
export function creationTold(core: ReactorCore, task: Task, directory: Inode, name: string, mode: number): Told {
  const handle1 = core.handleOf(directory);
  return told(core, task, "create", [handle1], { handle1, name1: name, mode });
}

// Look-ups.

const noAttributes = Buffer.alloc(256);

export function* lookup(core: ReactorCore, task: Task, request: RequestOf<"lookup">): Steps {
  const directory = core.use(task, request.header.nodeid);
  if (directory === undefined) return -errno.ESTALE;
  if (core.isHidden(directory, request.name)) return -errno.ENOENT;
  const directoryFd = yield* core.pathFd(directory);
  if (directoryFd < 0) return directoryFd;
  if (!core.movedDirectories.isQuiet) yield* core.movedDirectories.settled(directory, request.name);
  const found = yield* core.find(directoryFd, request.name);
  if (found === -errno.ENOENT) return replyNoEntry(core, directory, request);
  if (typeof found === "number") return found;
  core.memory?.counts(request.header.unique);
  const inode = core.intern(found, directory, request.name, true);
  core.memory?.counted(inode.nodeid);
  replyEntry(core, directory, request, found, inode);
  core.memory?.countsOver();
  return undefined;
}

/** Kept for some time, or forgotten at once. */
function replyNoEntry(core: ReactorCore, directory: Inode, { header, name }: RequestOf<"lookup">): number | undefined {
  const nameMs = core.keptNames.missingMs(directory, name);
  if (nameMs === 0) return -errno.ENOENT;
  core.send(core.reply.begin(header.unique).entry(0, noAttributes, undefined, { nameMs, attributesMs: 0 }).finish());
  return undefined;
}
/** The look-up is already counted; one that nobody learns of is taken back (safety H6). */
function replyEntry(core: ReactorCore, directory: Inode, { header, name }: { readonly header: RequestHeader; readonly name: string }, found: Found, inode: Inode): undefined {
  const message = core.reply.begin(header.unique).entry(inode.nodeid, found.statx, found.stored?.record?.virtual, core.keptNames.entry(directory, name, inode, found)).finish();
  if (!core.send(message)) core.inodes.forget(inode.nodeid, 1);
  return undefined;
}

export function* readlink(core: ReactorCore, task: Task, request: RequestOf<"readlink">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  const fd = yield* core.pathFd(inode);
  if (fd >= 0) yield* core.keptNames.mayRead(task, inode, core.callsAtOnce);
  const target = fd < 0 ? fd : yield* core.call("readLink", fd);
  if (typeof target === "number") return target;
  core.send(core.reply.begin(request.header.unique).data(target).finish());
  return undefined;
}

// Creations.

type Making = RequestOf<"mknod"> | RequestOf<"mkdir"> | RequestOf<"symlink">;

export function* mknod(core: ReactorCore, task: Task, request: RequestOf<"mknod">): Steps {
  const device = decodeDevice(request.rdev);
  const number = Number(joinDevice(device.major, device.minor));
  return yield* make(core, task, request, request.mode, (fd) => core.call("makeNode", fd, request.name, creationOf(request), number, core.metaFd));
}
export function* mkdir(core: ReactorCore, task: Task, request: RequestOf<"mkdir">): Steps {
  const mode = (request.mode & 0o7777) | fileTypes.directory;
  return yield* make(core, task, request, mode, (fd) => core.call("makeDirectory", fd, request.name, creationOf(request), core.metaFd));
}
export function* symlink(core: ReactorCore, task: Task, request: RequestOf<"symlink">): Steps {
  return yield* make(core, task, request, fileTypes.symlink, (fd) => core.call("makeSymlink", fd, request.name, request.target, creationOf(request), core.metaFd));
}

function* make(core: ReactorCore, task: Task, request: Making, mode: number, act: (directoryFd: number) => Steps<Found | number>): Steps {
  const directory = core.use(task, request.header.nodeid);
  if (directory === undefined) return -errno.ESTALE;
  if (core.isHidden(directory, request.name)) return -errno.EPERM;
  task.inode = directory;
  const waited = yield* core.keptNames.mayChange(task, [directory]);
  if (waited < 0) return waited;
  const handle1 = core.handleOf(directory);
  const events = request.kind === "symlink"
    ? told(core, task, "symlink", [handle1], { handle1, name1: request.name, name2: request.target })
    : creationTold(core, task, directory, request.name, mode);
  const before = task.past === undefined ? undefined : yield* madeBefore(core, task, directory, request.name, madeAs(mode & fileTypes.mask, creationOf(request)));
  const refused = yield* core.admit(task, [core.useOf(directory, "change")], before === undefined ? events.before : []);
  if (refused < 0) return refused;
  let found: Found | number | undefined = before;
  while (found === undefined) {
    const directoryFd = yield* core.pathFd(directory);
    core.journal.begin(task);
    const made = directoryFd < 0 ? directoryFd : yield* act(directoryFd);
    if (made !== -errno.ENOSPC) {
      found = made;
      break;
    }
    const again = yield* core.admitWithSpace(task);
    if (again < 0) return again;
  }
  if (typeof found === "number") {
    core.journal.done(task, found);
    yield* core.ran(task, events.after(undefined, -found));
    return found;
  }
  const inode = core.intern(found, directory, request.name, true);
  core.journal.done(task, 0, inode.nodeid);
  core.useInode(task, inode);
  yield* core.ran(task, events.after(inode, 0));
  return replyEntry(core, directory, request, found, inode);
}

export function* link(core: ReactorCore, task: Task, request: RequestOf<"link">): Steps {
  const directory = core.use(task, request.header.nodeid);
  const target = core.use(task, request.target);
  if (directory === undefined || target === undefined) return -errno.ESTALE;
  if (core.isHidden(directory, request.name)) return -errno.EPERM;
  task.inode = target;
  const waited = yield* core.keptNames.mayChange(task, [directory, target]);
  if (waited < 0) return waited;
  const handle1 = core.handleOf(directory);
  const events = told(core, task, "link", [handle1], { handle1, name1: request.name, handle2: core.handleOf(target) });
  const before = task.past === undefined ? undefined : yield* madeBefore(core, task, directory, request.name, (found) => found.own === target.own, statxAt.ctime);
  const refused = yield* core.admit(task, [core.useOf(directory, "change"), core.useOf(target, "change")], before === undefined ? events.before : []);
  if (refused < 0) return refused;
  const directoryFd = yield* core.pathFd(directory);
  const targetFd = directoryFd < 0 ? directoryFd : yield* core.pathFd(target);
  if (before === undefined) core.journal.begin(task);
  const found = before ?? (targetFd < 0 ? targetFd : yield* core.call("link", targetFd, directoryFd, request.name, core.metaFd));
  if (typeof found === "number") {
    core.journal.done(task, found);
    yield* core.ran(task, events.after(undefined, -found));
    return found;
  }
  target.isUnlinked = false;
  const inode = core.intern(found, directory, request.name, true);
  core.journal.done(task, 0, inode.nodeid);
  core.useInode(task, inode);
  yield* core.ran(task, events.after(undefined, 0));
  return replyEntry(core, directory, request, found, inode);
}

// Removals and renames.

export function* unlink(core: ReactorCore, task: Task, request: RequestOf<"unlink">): Steps {
  return yield* remove(core, task, request, false);
}
export function* rmdir(core: ReactorCore, task: Task, request: RequestOf<"rmdir">): Steps {
  return yield* remove(core, task, request, true);
}
function* remove(core: ReactorCore, task: Task, request: RequestOf<"unlink"> | RequestOf<"rmdir">, isDirectory: boolean): Steps {
  const directory = core.use(task, request.header.nodeid);
  if (directory === undefined) return -errno.ESTALE;
  if (core.isHidden(directory, request.name)) return -errno.ENOENT;
  task.inode = directory;
  const before = task.past === undefined ? undefined : yield* removedBefore(core, task, directory, request.name);
  let victim = before === undefined ? yield* claimVictim(core, task, directory, request.name, true) : yield* formerVictim(core, task, before);
  if (typeof victim === "number") return victim;
  const handle1 = core.handleOf(directory);
  const events = told(core, task, "remove", [handle1], { handle1, name1: request.name, mode: victim.mode });
  const waits = task.waits;
  const uses = [core.useOf(directory, "change"), ...(before === undefined ? [core.useOf(victim.inode, "change")] : [])]; // of what is gone nothing can be read
  const refused = yield* core.admit(task, uses, before === undefined ? events.before : []);
  if (refused < 0) return refused;
  const directoryFd = yield* core.pathFd(directory);
  if (before === undefined && (task.waits > waits || !core.callsAtOnce)) {
    core.keptNames.changesByName(task);
    victim = yield* claimVictim(core, task, directory, request.name, false);
  }
  const failed = typeof victim === "number" ? victim : Math.min(directoryFd, 0);
  if (before === undefined) core.journal.begin(task, typeof victim === "number" ? 0 : victim.inode.nodeid);
  const result = before ?? (failed < 0 ? failed : yield* core.call("unlink", directoryFd, request.name, isDirectory));
  core.journal.done(task, result);
  const destroyed = result >= 0 && typeof victim !== "number" ? yield* noteUnlinked(core, task, victim.inode) : [];
  yield* core.ran(task, [...destroyed, ...events.after(undefined, -Math.min(result, 0))]);
  return Math.min(result, 0);
}

interface Victim {
  readonly inode: Inode;
  readonly mode: number;
}
/** What has the name when nothing else has run since no other kernel keeps it: then the change is of that very object. */
function* claimVictim(core: ReactorCore, task: Task, directory: Inode, name: string, isInterruptible: boolean): Steps<Victim | number> {
  for (;;) {
    const victim = yield* findVictim(core, task, directory, name);
    const waited = yield* core.keptNames.mayChange(task, typeof victim === "number" ? [directory] : [directory, victim.inode], isInterruptible);
    if (waited <= 0) return waited < 0 ? waited : victim;
  }
}
function* findVictim(core: ReactorCore, task: Task, directory: Inode, name: string): Steps<Victim | number> {
  const directoryFd = yield* core.pathFd(directory);
  if (directoryFd < 0) return directoryFd;
  const found = yield* core.find(directoryFd, name);
  if (typeof found === "number") return found;
  const inode = core.useInode(task, core.intern(found, directory, name, false));
  return { inode, mode: Buffer.from(found.statx).readUInt16LE(28) };
}
/** Of a name that an earlier daemon took away; of an object that nobody knows any more, only what came of it. */
function* formerVictim(core: ReactorCore, task: Task, result: number): Steps<Victim | number> {
  const inode = task.past!.note === 0 ? undefined : core.use(task, task.past!.note);
  if (inode === undefined) return result;
  if (inode.pathFd < 0) yield* core.pathFd(inode); // its link count is looked at
  return { inode, mode: inode.type };
}
/** A directory has no other name; a file may. Destroyed is what nobody here has open. */
function* noteUnlinked(core: ReactorCore, task: Task, victim: Inode): Steps<readonly PostEvent[]> {
  if (task.past !== undefined && victim.pathFd < 0) return []; // nothing leads to it any more: whom to tell cannot be read
  const links = victim.type === fileTypes.directory ? 0 : victim.pathFd < 0 ? -1 : yield* core.call("linkCount", victim.pathFd);
  core.pages.expireAttributes(victim); // its link count
  if (links !== 0) return [];
  victim.isUnlinked = true;
  if (victim.opens > 0 && victim.type === fileTypes.regular) core.keptOpens.unnamed(victim);
  if (victim.opens > 0 || victim.isDestroyTold) return [];
  victim.isDestroyTold = true;
  const handle = core.handleOf(victim);
  core.tell(task, "destroy", () => ({ type: "destroy", handle }));
  return [{ type: "destroy", lists: [handle] }];
}

export function* rename(core: ReactorCore, task: Task, request: RequestOf<"rename">): Steps {
  const result = yield* renameNames(core, task, request);
  core.movedDirectories.renamed(request);
  return result;
}
function* renameNames(core: ReactorCore, task: Task, request: RequestOf<"rename">): Steps {
  const directory = core.use(task, request.header.nodeid);
  const newDirectory = core.use(task, request.newDirectory);
  if (directory === undefined || newDirectory === undefined) return -errno.ESTALE;
  if (core.isHidden(directory, request.name)) return -errno.ENOENT;
  if (core.isHidden(newDirectory, request.newName)) return -errno.EPERM;
  task.inode = directory;
  const before = task.past === undefined ? undefined : yield* renamedBefore(core, task, directory, newDirectory, request);
  let named = before === undefined ? yield* claimNames(core, task, [directory, newDirectory], request, true) : yield* formerNames(core, task);
  if (typeof named === "number") return named;
  const isExchange = (request.flags & files.RENAME_EXCHANGE) !== 0;
  const handle1 = core.handleOf(directory);
  const handle2 = core.handleOf(newDirectory);
  const events = told(core, task, "rename", [handle1, handle2], { handle1, name1: request.name, handle2, name2: request.newName });
  const uses = [core.useOf(directory, "change")];
  if (newDirectory !== directory) uses.push(core.useOf(newDirectory, "change"));
  if (named.replaced !== undefined && !isExchange && before === undefined) uses.push(core.useOf(named.replaced, "change"));
  const { waits } = task;
  const refused = yield* core.admit(task, uses, before === undefined ? events.before : []);
  if (refused < 0) return refused;
  const fromFd = yield* core.pathFd(directory);
  const toFd = fromFd < 0 ? fromFd : yield* core.pathFd(newDirectory);
  if (before === undefined && (task.waits > waits || !core.callsAtOnce)) {
    core.keptNames.changesByName(task);
    named = yield* claimNames(core, task, [directory, newDirectory], request, false);
  }
  const failed = typeof named === "number" ? named : Math.min(toFd, 0);
  if (before === undefined) core.journal.begin(task, typeof named === "number" ? 0 : (named.moved?.nodeid ?? 0));
  const result = before ?? (failed < 0 ? failed : yield* core.call("rename", fromFd, request.name, toFd, request.newName, request.flags, creationOf(request)));
  core.journal.done(task, result, typeof named === "number" ? 0 : (named.replaced?.nodeid ?? 0));
  let destroyed: readonly PostEvent[] = [];
  if (result >= 0 && typeof named !== "number") {
    const { moved, replaced } = named;
    if (replaced !== undefined && !isExchange) destroyed = yield* noteUnlinked(core, task, replaced);
    else if (replaced !== undefined) noteMoved(core, replaced, directory, request.name);
    if (moved !== undefined) noteMoved(core, moved, newDirectory, request.newName);
    core.keptNames.renamed(task, moved, [directory, request.name], [newDirectory, request.newName]);
    if (isExchange) core.keptNames.renamed(task, replaced, [newDirectory, request.newName], [directory, request.name]);
  }
  yield* core.ran(task, [...destroyed, ...events.after(undefined, -Math.min(result, 0))]);
  return Math.min(result, 0);
}
interface Named {
  /** Undefined: the name is not there. */
  readonly moved: Inode | undefined;
  readonly replaced: Inode | undefined;
}
/** As claimVictim, for what has the old name and what has the new one. */
function* claimNames(core: ReactorCore, task: Task, [directory, newDirectory]: readonly [Inode, Inode], request: RequestOf<"rename">, isInterruptible: boolean): Steps<Named | number> {
  for (;;) {
    const moved = yield* findVictim(core, task, directory, request.name);
    const replaced = yield* findVictim(core, task, newDirectory, request.newName);
    const named = { moved: typeof moved === "number" ? undefined : moved.inode, replaced: typeof replaced === "number" ? undefined : replaced.inode };
    const changed = [directory, newDirectory, named.moved, named.replaced].filter((inode) => inode !== undefined);
    const waited = yield* core.keptNames.mayChange(task, [...new Set(changed)], isInterruptible);
    if (waited <= 0) return waited < 0 ? waited : named;
  }
}
/** Of a rename that an earlier daemon made: the entry's note is what it moved, its object what that replaced. */
function* formerNames(core: ReactorCore, task: Task): Steps<Named> {
  const known = (nodeid: number) => (nodeid === 0 ? undefined : core.use(task, nodeid));
  const { note, nodeid } = task.past!;
  const named = { moved: known(note), replaced: known(nodeid) };
  if (named.replaced !== undefined && named.replaced.pathFd < 0) yield* core.pathFd(named.replaced); // its link count is looked at
  return named;
}
/** The path shown to people follows. */
function noteMoved(core: ReactorCore, inode: Inode, directory: Inode, name: string): void {
  inode.parent = directory.nodeid;
  inode.name = name;
  core.pages.expireAttributes(inode); // its ctime
}

// Directories.

export function* opendir(core: ReactorCore, task: Task, request: RequestOf<"opendir">): Steps {
  const inode = core.use(task, request.header.nodeid);
  if (inode === undefined) return -errno.ESTALE;
  const pathFd = yield* core.pathFd(inode);
  const fd = pathFd < 0 ? pathFd : yield* core.reopen(pathFd, files.open.readOnly | files.open.directory);
  if (fd < 0) return fd;
  const opened = task.past === undefined ? undefined : core.opens.directory(task.past.fh);
  if (opened !== undefined) {
    core.closeLater(fd);
    core.send(core.reply.begin(request.header.unique).opened(opened.fh, 0).finish());
    return undefined;
  }
  core.inodes.pin(inode);
  core.journal.opening(task, core.opens.next);
  const directory = core.opens.addDirectory(inode, fd);
  if (!core.send(core.reply.begin(request.header.unique).opened(directory.fh, 0).finish())) closeDirectory(core, directory.fh);
  return undefined;
}
// biome-ignore lint/correctness/useYield: it never waits
export function* releasedir(core: ReactorCore, _task: Task, request: RequestOf<"releasedir">): Steps {
  return closeDirectory(core, request.fh);
}
function closeDirectory(core: ReactorCore, fh: number): number {
  const directory = core.opens.removeDirectory(fh);
  if (directory === undefined) return -errno.EBADF;
  if (directory.fd >= 0) core.closeLater(directory.fd);
  core.inodes.unpin(directory.inode);
  return 0;
}
export function* fsyncdir(core: ReactorCore, _task: Task, request: RequestOf<"fsyncdir">): Steps {
  const directory = core.opens.directory(request.fh);
  if (directory === undefined) return -errno.EBADF;
  const fd = files.dup(directory.fd);
  if (fd < 0) return fd;
  const result = yield* core.callAside("sync", fd, false);
  core.closeLater(fd);
  return result;
}

export function* readdir(core: ReactorCore, task: Task, request: RequestOf<"readdir"> | RequestOf<"readdirplus">): Steps {
  const directory = core.opens.directory(request.fh);
  if (directory === undefined) return -errno.EBADF;
  if (directory.fd < 0) return directory.fd;
  const isPlus = request.kind === "readdirplus";
  if (directory.position !== request.offset || directory.isPlus !== isPlus || request.offset === 0n) {
    directory.entries = [];
    directory.next = 0;
    directory.isPlus = isPlus;
  }
  let cookie: bigint | undefined = directory.entries.length === 0 ? request.offset : undefined;
  const isFresh = directory.entries.length === 0;
  let length = 0;
  const chosen: ListedEntry[] = [];
  for (;;) {
    if (directory.next >= directory.entries.length) {
      if (chosen.length > 0) break;
      yield* core.keptNames.mayRead(task, directory.inode, core.callsAtOnce);
      const listed = yield* core.call("list", directory.fd, cookie, isPlus, core.metaFd);
      if (typeof listed === "number") return listed;
      cookie = undefined;
      directory.entries = listed;
      directory.next = 0;
      if (listed.length === 0) break;
    }
    const entry = directory.entries[directory.next]!;
    const size = ReplyBuffer.entryLength(entry.name, isPlus);
    if (length + size > request.size) break;
    directory.next++;
    directory.position = entry.next;
    if (isShown(core, directory, entry)) {
      chosen.push(entry);
      length += size;
    }
  }
  return sendEntries(core, request.header.unique, directory, chosen, isPlus, isFresh);
}
function isShown(core: ReactorCore, directory: OpenDirectory, entry: ListedEntry): boolean {
  return !core.isHidden(directory.inode, entry.name);
}
/** @param isFresh read by this very request; what was left over from a former one may be gone. */
function sendEntries(core: ReactorCore, unique: bigint, directory: OpenDirectory, entries: readonly ListedEntry[], isPlus: boolean, isFresh: boolean): undefined {
  const reply = core.reply.begin(unique);
  const counted: number[] = [];
  if (isPlus) core.memory?.counts(unique);
  for (const entry of entries) {
    if (isPlus) {
      if (entry.found === undefined) reply.entry(0, noAttributes, undefined, keepNothing);
      else {
        const inode = core.intern(entry.found, directory.inode, entry.name, true);
        counted.push(inode.nodeid);
        core.memory?.counted(inode.nodeid);
        reply.entry(inode.nodeid, entry.found.statx, entry.found.stored?.record?.virtual, isFresh ? core.keptNames.entry(directory.inode, entry.name, inode, entry.found) : keepNothing);
      }
    }
    reply.directoryEntry(entry);
  }
  if (!core.send(reply.finish())) for (const nodeid of counted) core.inodes.forget(nodeid, 1);
  if (isPlus) core.memory?.countsOver();
  return undefined;
}
