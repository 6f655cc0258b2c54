/**
 * A mount goes on that an earlier daemon left: from the mount's memory and the descriptors that the holder kept, the tables
 * of this reactor become what the kernel believes. Only then is the kernel asked to send again what was not answered.
 *
 * An object is found again by its handle when it is first needed, one without a name by the descriptor that was kept of it;
 * where neither leads to it its users get ESTALE. Records, fences, interests, guards and events begin anew, as in every
 * new life of a node: what was known before is not believed (safety C7). Pages that the kernel has kept may be older than a
 * change that set the times back, so all are dropped (safety H7).
 *
 * Not here  requests that come again (journal.ts, done-before.ts), the memory's layout (holder/mount-memory.ts).
 * Source    safety H11; fuse-facts section 5.
 */
import { unregisterBackingFile } from "../../fuse/backing-file.js";
import { resend } from "../../fuse/codec/notify.js";
import * as device from "../../os/device.js";
import { errnoName } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { FileStat, fileTypes } from "../../os/stat.js";
import { ownText } from "../../volume/handles.js";
import type { KnownInode } from "../holder/mount-memory.js";
import { backingCalls } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import { type Inode, ROOT } from "./inode-table.js";
import { restoreLocks } from "./lock-operations.js";

export function takeOverMount(core: ReactorCore): void {
  const memory = core.memory!;
  const registered = restoreInodes(core, memory.inodes());
  core.inodes.continueFrom(memory.nextNodeid);
  restoreOpens(core);
  for (const [inode, id] of registered) {
    core.backingFiles.restore(inode, id);
    core.keptNames.opened(inode); // by whoever has it mapped
    core.inodes.unpin(inode);
  }
  closeUnknownBacking(core);
  restoreKept(core);
  core.journal.takeOver();
  core.opens.continueFrom(memory.nextFh);
  core.backingFiles.isOffered = memory.hasPassthrough;
  for (const inode of core.inodes) {
    core.pages.expireAttributes(inode);
    if (inode.type === fileTypes.regular) core.pages.drop(inode, 0, 0);
  }
  for (const nodeid of core.inodes.restingNodeids()) core.pages.expireAttributesOf(nodeid);
  core.pages.dropResting();
  const again = resend();
  const sent = device.write(core.options.fuseFd, again, 0, again.length);
  if (sent < 0) throw new Error(`the kernel does not send again what was not answered (${errnoName(sent)})`);
}

/** Those that the kernel reads and writes by itself, and by which number. */
function restoreInodes(core: ReactorCore, known: Iterable<KnownInode>): Map<Inode, number> {
  const registered = new Map<Inode, number>();
  const root = core.inodes.get(ROOT)!;
  for (const object of known) {
    const own = ownText({ type: object.handleType, bytes: Buffer.from(object.handleBytes) });
    if (object.nodeid === ROOT && own !== root.own) throw new Error(`${core.options.backing} is not the directory that the mount was made of`);
    core.inodes.restore(object);
    const inode = object.backingId === 0 ? undefined : core.inodes.get(object.nodeid);
    if (inode === undefined) continue;
    core.inodes.pin(inode);
    registered.set(inode, object.backingId);
  }
  return registered;
}
/** The daemon may have died between registering a descriptor and writing its number down: nobody uses it, and it has a guard. */
function closeUnknownBacking(core: ReactorCore): void {
  const last = core.memory!.lastBackingId;
  for (let id = last + 1; id <= last + UNKNOWN_MAX; id++) unregisterBackingFile(core.options.fuseFd, id);
}
/** So many registrations can be under way at once: one here, or one for each I/O worker. */
const UNKNOWN_MAX = 16;

function restoreKept(core: ReactorCore): void {
  for (const kept of core.options.survival!.left!) {
    const isUsed = kept.key.startsWith("lock ") ? restoreLocks(core, kept) : restoreInode(core, kept);
    if (isUsed) continue;
    files.close(kept.fd);
    core.keeper!.drop([kept.key]);
  }
}
function restoreInode(core: ReactorCore, { note, fd }: { readonly note: string; readonly fd: number }): boolean {
  const inode = core.inodes.get((JSON.parse(note) as { nodeid: number }).nodeid);
  if (inode === undefined || inode.opens === 0 || inode.pathFd >= 0 || !isOnBacking(core, fd)) return false;
  core.inodes.setDescriptor(inode, fd);
  inode.isKept = true;
  return true;
}

/** Not of a backing that was lost and mounted anew: there the object is found by its handle. */
function isOnBacking(core: ReactorCore, fd: number): boolean {
  const [own, root] = [new FileStat(), new FileStat()];
  return files.fstat(fd, own) < 0 || files.fstat(core.rootFd, root) < 0 ? false : own.dev === root.dev;
}

function restoreOpens(core: ReactorCore): void {
  for (const known of core.memory!.opens()) {
    const inode = core.inodes.get(known.nodeid);
    if (inode === undefined) {
      core.memory!.dropOpen(known.place); // the kernel has forgotten the object, so nobody has it open
      continue;
    }
    core.inodes.pin(inode);
    if (known.isDirectory) core.opens.restoreDirectory(known, inode, openDirectory(core, inode));
    else {
      const file = core.opens.restore(known, inode);
      inode.mayHavePages = true;
      core.keptOpens.opened(inode);
      if (file.isWritable) core.keptNames.opened(inode);
      core.step({ kind: "open-resumed", handle: core.handleOf(inode), mode: file.mode });
    }
  }
}
function openDirectory(core: ReactorCore, inode: Inode): number {
  const { handleType, handleBytes } = inode;
  const pathFd = backingCalls.openHandle(core.rootFd, handleType, handleBytes);
  if (pathFd < 0) return pathFd;
  const fd = backingCalls.reopen(pathFd, files.open.readOnly | files.open.directory);
  files.close(pathFd);
  return fd;
}
