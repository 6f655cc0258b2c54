/**
 * The files of event logs on a shared volume: what is written is seen at once, and is only as safe as the last sync. A
 * process that ends with its machine loses the end of what it has not synced: bytes, of which the last or some are gone, zeros or
 * anything; and names, of which the last made are gone and the last removed are back.
 *
 * Not here  what is written there: the product's own store (daemon/event-log/store.ts).
 * Source    safety M11, H13.
 */
import type { LogFiles } from "../daemon/event-log/log-files.js";
import type { Process, World } from "./world.js";

interface Inode {
  bytes: Buffer;
  size: number;
  synced: number;
  links: number;
  lock: number | undefined;
  writer: Process | undefined;
}
/** Made or removed, and not synced. */
interface NameChange {
  readonly by: Process;
  readonly name: string;
  readonly inode: Inode;
  readonly isMade: boolean;
}
interface Directory {
  readonly names: Map<string, Inode>;
  changes: NameChange[];
}
export interface LogTroubles {
  /** Probabilities: that a write finds no room, in the middle of it; that a sync fails, and what was to be synced may be lost; that a call fails. */
  noRoom: number;
  badSync: number;
  failed: number;
}

/** The machine died between two calls. */
export class Died extends Error {
  override readonly name = "Died";
}

export class LogVolume {
  readonly world: World;
  readonly troubles: LogTroubles = { noRoom: 0, badSync: 0, failed: 0 };
  readonly #directories = new Map<string, Directory>();
  readonly #open = new Map<number, { readonly inode: Inode; readonly owner: Process }>();
  #lastFd = 0;

  constructor(world: World) {
    this.world = world;
  }

  /** The volume as that process reaches it. */
  filesOf(process: Process): FilesOfProcess {
    return new FilesOfProcess(this, process);
  }

  names(path: string): string[] {
    return [...(this.#directories.get(path)?.names.keys() ?? [])];
  }
  makeDirectory(path: string): boolean {
    if (this.#directories.has(path)) return false;
    const [above, name] = split(path);
    if (above !== "") this.makeDirectory(above);
    this.#directories.set(path, { names: new Map(), changes: [] });
    this.#directories.get(above)?.names.set(name, newInode());
    return true;
  }
  open(path: string, how: Parameters<LogFiles["open"]>[1], by: Process): number {
    const [directory, name] = split(path);
    const at = this.#directories.get(directory);
    let inode = at?.names.get(name);
    if (at === undefined || (inode === undefined && (how === "read" || how === "change"))) throw failure("ENOENT", path);
    if (inode !== undefined && how === "new") throw failure("EEXIST", path);
    if (inode === undefined) {
      inode = newInode();
      inode.links = 1;
      at.names.set(name, inode);
      at.changes.push({ by, name, inode, isMade: true });
    }
    this.#open.set(++this.#lastFd, { inode, owner: by });
    return this.#lastFd;
  }
  close(fd: number): void {
    const { inode } = this.#of(fd);
    if (inode.lock === fd) inode.lock = undefined;
    this.#open.delete(fd);
  }
  state(fd: number): { size: number; links: number } {
    const { size, links } = this.#of(fd).inode;
    return { size, links };
  }
  read(fd: number, into: Buffer, offset: number): number {
    const { bytes, size } = this.#of(fd).inode;
    return offset >= size ? 0 : bytes.copy(into, 0, offset, Math.min(size, offset + into.length));
  }
  write(fd: number, bytes: Buffer, offset: number, by: Process): void {
    const { random } = this.world;
    const inode = this.#of(fd).inode;
    const isFull = random.chance(this.troubles.noRoom);
    const length = isFull ? random.below(bytes.length) : bytes.length;
    if (offset + length > inode.bytes.length) inode.bytes = Buffer.concat([inode.bytes.subarray(0, inode.size)], 2 * (offset + length));
    bytes.copy(inode.bytes, offset, 0, length);
    inode.size = Math.max(inode.size, offset + length);
    inode.synced = Math.min(inode.synced, offset);
    inode.writer = by;
    if (isFull) throw failure("ENOSPC", "no room");
  }
  truncate(fd: number, size: number): void {
    const { inode } = this.#of(fd);
    inode.size = Math.min(inode.size, size);
    inode.synced = Math.min(inode.synced, size);
  }
  sync(fd: number): void {
    const { inode } = this.#of(fd);
    if (this.world.random.chance(this.troubles.badSync)) {
      if (this.world.random.chance(0.5)) this.#loseTail(inode);
      inode.synced = inode.size;
      throw failure("EIO", "the sync failed");
    }
    inode.synced = inode.size;
  }
  /** All that is seen there is safe then, whoever did it. */
  syncDirectory(path: string): void {
    const directory = this.#directories.get(path);
    if (directory !== undefined) directory.changes = [];
  }
  lock(fd: number): boolean {
    const { inode } = this.#of(fd);
    if (inode.lock !== undefined && inode.lock !== fd) return false;
    inode.lock = fd;
    return true;
  }
  unlink(path: string, by: Process): void {
    const [directory, name] = split(path);
    const at = this.#directories.get(directory);
    const inode = at?.names.get(name);
    if (at === undefined || inode === undefined) throw failure("ENOENT", path);
    at.names.delete(name);
    inode.links = 0;
    at.changes.push({ by, name, inode, isMade: false });
  }
  remove(path: string, by: Process): void {
    const [directory, name] = split(path);
    if (this.#directories.has(path)) {
      for (const each of this.names(path)) this.unlink(`${path}/${each}`, by);
      this.#directories.delete(path);
      this.#directories.get(directory)?.names.delete(name);
    } else if (this.#directories.get(directory)?.names.has(name) === true) this.unlink(path, by);
  }

  /** The kernel closes what it had open; with its machine it loses what it has not synced. */
  ended(process: Process, isMachineLost: boolean): void {
    for (const [fd, { owner }] of this.#open) if (owner === process) this.close(fd);
    if (!isMachineLost) return;
    const { random } = this.world;
    const touched = new Set<Inode>();
    for (const directory of this.#directories.values()) {
      for (const inode of directory.names.values()) if (inode.writer === process) touched.add(inode);
      const own = directory.changes.filter(({ by }) => by === process);
      directory.changes = directory.changes.filter(({ by }) => by !== process);
      for (const { name, inode, isMade } of own.slice(random.below(own.length + 1)).reverse()) {
        if (isMade && directory.names.get(name) === inode) directory.names.delete(name);
        else if (!isMade && !directory.names.has(name)) directory.names.set(name, inode);
        inode.links = isMade ? 0 : 1;
      }
    }
    for (const inode of touched) this.#loseTail(inode);
  }
  #loseTail(inode: Inode): void {
    const { random } = this.world;
    const lost = inode.size - inode.synced;
    if (lost <= 0) return;
    const from = inode.synced + random.below(lost + 1);
    const how = random.pick(["gone", "zeros", "anything", "anything in the middle", "anything in the middle"] as const);
    const to = how === "anything in the middle" ? Math.min(inode.size, from + random.between(1, 4)) : inode.size;
    this.world.log(() => `of ${lost} bytes of a log ${to - from} are ${how}`);
    if (how === "gone") inode.size = from;
    else for (let at = from; at < to; at++) inode.bytes[at] = how === "zeros" ? 0 : random.below(256);
    inode.synced = inode.size;
  }

  #of(fd: number): { readonly inode: Inode } {
    const open = this.#open.get(fd);
    if (open === undefined) throw failure("EBADF", String(fd));
    return open;
  }
}

/** The calls of one process, which may die before any of them. */
export class FilesOfProcess implements LogFiles {
  readonly #volume: LogVolume;
  readonly #process: Process;
  /** It dies before the call after so many; undefined: it lives. */
  callsLeft: number | undefined;

  constructor(volume: LogVolume, process: Process) {
    this.#volume = volume;
    this.#process = process;
  }

  #before(mayFail = true): LogVolume {
    if (this.callsLeft !== undefined && this.callsLeft-- <= 0) throw new Died();
    if (mayFail && this.#volume.world.random.chance(this.#volume.troubles.failed)) throw failure("EIO", "lost");
    return this.#volume;
  }
  makeDirectory(path: string): boolean {
    return this.#before().makeDirectory(path);
  }
  names(directory: string): string[] {
    return this.#before().names(directory);
  }
  open(path: string, how: Parameters<LogFiles["open"]>[1]): number {
    return this.#before().open(path, how, this.#process);
  }
  close(fd: number): void {
    this.#before(false).close(fd);
  }
  state(fd: number): { size: number; links: number } {
    return this.#before(false).state(fd);
  }
  read(fd: number, into: Buffer, offset: number): number {
    return this.#before().read(fd, into, offset);
  }
  write(fd: number, bytes: Buffer, offset: number): void {
    this.#before().write(fd, bytes, offset, this.#process);
  }
  truncate(fd: number, size: number): void {
    this.#before(false).truncate(fd, size);
  }
  sync(fd: number): void {
    this.#before(false).sync(fd);
  }
  syncDirectory(path: string): void {
    this.#before().syncDirectory(path);
  }
  lock(fd: number): boolean {
    return this.#before(false).lock(fd);
  }
  unlink(path: string): void {
    this.#before().unlink(path, this.#process);
  }
  remove(path: string): void {
    this.#before().remove(path, this.#process);
  }
}

function newInode(): Inode {
  return { bytes: Buffer.alloc(0), size: 0, synced: 0, links: 0, lock: undefined, writer: undefined };
}
function split(path: string): [directory: string, name: string] {
  const at = path.lastIndexOf("/");
  return [path.slice(0, at), path.slice(at + 1)];
}
const numbers = { ENOENT: 2, EIO: 5, EBADF: 9, EEXIST: 17, ENOSPC: 28 };
function failure(code: keyof typeof numbers, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code, errno: -numbers[code] });
}
