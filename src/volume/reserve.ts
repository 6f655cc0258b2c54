/**
 * Room that no user can fill: a file `.sluice/reserve` with blocks of its own. On a full volume it is let go piece by piece
 * until the record goes through that ends a recall, or the one that makes a migration's punch possible; it is made again when
 * there is room for it twice, so that nobody who makes it takes away what another has just let go.
 *
 * All nodes share the one file; what each does to it may be repeated and may meet another's doing. Its size says what it holds.
 *
 * Owns      the file, its size, who may take how much of it.
 * Not here  when it is looked after (service.ts), what users are shown of it (daemon/reactor/).
 * Units     bytes.
 * Source    safety M7.
 */
import { randomBytes } from "node:crypto";
import type { FileRecord } from "../dmapi/record.js";
import { errno } from "../os/errno.js";
import * as files from "../os/files.js";
import { FileStat, FileSystemStat } from "../os/stat.js";

const RESERVE = "reserve";
const MIN = 64 * 1024;
const MAX = 4 * 1024 * 1024;
const SHARE = 256;
/** So many tries at most for one record: users on a full volume may be quicker to take what was let go. */
const PIECES = 16;
const PIECE_MIN = 16 * 1024;

const stat = new FileStat();
const volume = new FileSystemStat();

export interface ReserveState {
  readonly wanted: number;
  readonly lacking: number;
}
/** How much a change may take: all of it, what lies above half, or nothing. */
export type Share = "all" | "half" | "none";

/** A 256th of the volume, from 64 KiB to 4 MiB: the same on every node. */
export function reserveWanted(of: FileSystemStat): number {
  const total = Number(of.blocks) * of.blockSize;
  const wanted = Math.min(MAX, Math.max(MIN, total / SHARE));
  return Math.ceil(wanted / of.blockSize) * of.blockSize;
}
/** `directory` and `path` reach the file; `of` was filled for its volume. */
export function reserveState(directory: number, path: string, of: FileSystemStat): ReserveState {
  const wanted = reserveWanted(of);
  const held = files.statAt(directory, path, files.AT_SYMLINK_NOFOLLOW, stat) < 0 ? 0 : stat.size;
  return { wanted, lacking: Math.max(0, wanted - held) };
}
/** From the root of the backing. */
export const RESERVE_PATH = `.sluice/${RESERVE}`;

/** Makes it, or what is missing of it, as far as there is room. Blocks. */
export function makeReserve(ownFd: number): ReserveState | undefined {
  if (files.fstatfs(ownFd, volume.bytes) < 0) return undefined;
  const state = reserveState(ownFd, RESERVE, volume);
  const available = Number(volume.blocksAvailable) * volume.blockSize;
  if (state.lacking === 0 || available < state.lacking + state.wanted) return state;
  const fd = files.openAt(ownFd, RESERVE, files.open.readWrite | files.open.create | files.open.noFollow, 0o600);
  if (fd < 0) return state;
  // Without fallocate real bytes are written, which no file system can leave out.
  if (files.fallocate(fd, 0, 0, state.wanted) === -errno.EOPNOTSUPP) writeBytes(fd, state.wanted - state.lacking, state.wanted);
  files.fsync(fd);
  files.close(fd);
  return reserveState(ownFd, RESERVE, volume);
}
function writeBytes(fd: number, from: number, to: number): void {
  for (let at = from; at < to; ) {
    const bytes = randomBytes(Math.min(MIN, to - at));
    const written = files.pwrite(fd, bytes, 0, bytes.length, at);
    if (written <= 0) return;
    at += written;
  }
}

/** `store` gives a result or a negative errno; for want of room it is tried again with ever less reserve. */
export function storeWithReserve(ownFd: number, share: Share, store: () => number): number {
  let result = store();
  while (result === -errno.ENOSPC && share !== "none" && letGo(ownFd, share)) result = store();
  return result;
}
/** One piece; false when there is nothing to let go. */
function letGo(ownFd: number, share: "all" | "half"): boolean {
  if (files.fstatfs(ownFd, volume.bytes) < 0) return false;
  const fd = files.openAt(ownFd, RESERVE, files.open.readWrite | files.open.noFollow);
  if (fd < 0) return false;
  const wanted = reserveWanted(volume);
  const kept = share === "all" ? 0 : wanted / 2;
  const held = files.fstat(fd, stat) < 0 ? 0 : stat.size;
  const left = Math.max(kept, held - Math.max(PIECE_MIN, wanted / PIECES));
  // Synced: some file systems give blocks out again only when it is on disk that they are free.
  const isLess = left < held && files.ftruncate(fd, left) >= 0 && files.fsync(fd) >= 0;
  files.close(fd);
  return isLess;
}

/** The end of a recall may take all; what lets blocks go, half, so that recalls come first. */
export function shareFor(old: FileRecord | undefined, next: FileRecord): Share {
  if (next.residency === "partial") return old?.residency === "partial" ? "none" : "half";
  return old?.residency === "partial" ? "all" : "none";
}
