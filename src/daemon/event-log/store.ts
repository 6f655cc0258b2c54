/**
 * The files of the event logs, by plain synchronous calls (log-files.ts) in threads of their own.
 *
 *     <session>/A@3.1              first segment of the log of node A's third life; locked (OFD) by it while it may write there
 *     <session>/acknowledged+2.1   cursors of the session's host generation 2
 *
 * A segment is only ever appended to, by its one writer, and ends with the first frame that is not whole. Cursor files of all
 * generations are read together: what was acknowledged once stays so. A segment is removed when all of it is acknowledged and
 * nobody can write to it: a later one follows, or its writer is gone, as its lock proves.
 *
 * Not here  threads (worker.ts), bytes (codec.ts).
 * Source    safety C1 (locks live as long as the power to write), M11.
 */
import { dirname } from "node:path";
import type { EventLogResults, EventLogWork, LogCursor, LoggedEvent, LogName } from "../../cluster/durable-events/event-log.js";
import { codeOf, type DmFailure } from "../../dmapi/errors.js";
import { type Incarnation, NAME_PATTERN, type NodeId, type SessionId } from "../../dmapi/ids.js";
import type { LogFiles } from "./log-files.js";
import { CURSOR_BODY_BYTES_MAX, decodeCursors, decodeEvent, encodeCursors, encodeEvent, EVENT_BODY_BYTES_MAX, FRAME_HEAD_BYTES } from "./codec.js";

export const SEGMENT_BYTES_MAX = 4 * 1024 * 1024;
const CURSOR_FILE_BYTES_MAX = 1024 * 1024;
const CHUNK_BYTES = 16 * (EVENT_BODY_BYTES_MAX + FRAME_HEAD_BYTES);

interface Segment {
  readonly fd: number;
  readonly number: number;
  size: number;
  /** A sync failed: what is in it is not known, and nothing is put behind it. */
  isSpoilt: boolean;
}
interface CursorFile {
  readonly fd: number;
  readonly number: number;
  size: number;
}
type Work<K extends EventLogWork["kind"]> = Extract<EventLogWork, { kind: K }>;

export class EventLogStore {
  readonly #directory: string;
  readonly #files: LogFiles;
  readonly #segmentBytesMax: number;
  /** By session, node and incarnation. */
  readonly #segments = new Map<string, { readonly log: LogName; segment: Segment }>();
  readonly #cursors = new Map<string, CursorFile>();

  constructor(directory: string, files: LogFiles, segmentBytesMax = SEGMENT_BYTES_MAX) {
    this.#directory = directory;
    this.#files = files;
    this.#segmentBytesMax = segmentBytesMax;
  }

  /** @throws what the files throw, save for what a batch met. */
  run(work: EventLogWork): EventLogResults[EventLogWork["kind"]] {
    switch (work.kind) {
      case "append":
        return this.#append(work);
      case "list":
        return this.#list(work);
      case "read":
        return this.#read(work);
      case "acknowledge":
        return this.#acknowledge(work);
      case "trim":
        return this.#trim(work);
      case "remove":
        this.forget(work.session);
        this.#files.remove(this.#folder(work.session));
        return {};
      case "sessions":
        return { sessions: this.#files.names(this.#directory).filter((name) => /^[1-9]\d{0,9}$/.test(name)).map((name) => Number(name) as SessionId) };
    }
  }
  /** Closes what this thread has open of a session. */
  forget(session: SessionId): void {
    for (const [key, { log, segment }] of this.#segments) if (log.session === session) this.#close(key, segment);
    for (const [key, file] of this.#cursors) {
      if (!key.startsWith(`${session} `)) continue;
      this.#files.close(file.fd);
      this.#cursors.delete(key);
    }
  }
  close(): void {
    for (const [key, { segment }] of this.#segments) this.#close(key, segment);
    for (const { fd } of this.#cursors.values()) this.#files.close(fd);
    this.#cursors.clear();
  }

  // Writing.

  /** First all are written, then each file is synced once. */
  #append({ batches }: Work<"append">): EventLogResults["append"] {
    const written = batches.map(({ log, events }) => attempt(() => this.#write(log, events)));
    return {
      batches: written.map((done) => {
        if ("code" in done) return done;
        const { segment, from } = done;
        const synced = attempt(() => this.#files.sync(segment.fd) ?? {});
        if (!("code" in synced)) return { segment: segment.number, offset: segment.size };
        segment.isSpoilt = true;
        // Not to be read any more: this node may be excluded before it tries again, and would log it under its next life.
        attempt(() => this.#files.truncate(segment.fd, from) ?? {});
        return synced;
      }),
    };
  }
  #write(log: LogName, events: readonly LoggedEvent[]): { readonly segment: Segment; readonly from: number } {
    const segment = this.#segmentOf(log);
    const from = segment.size;
    const bytes = Buffer.concat(events.map(encodeEvent));
    try {
      this.#files.write(segment.fd, bytes, segment.size);
    } catch (error) {
      attempt(() => this.#files.truncate(segment.fd, segment.size) ?? {});
      throw error;
    }
    segment.size += bytes.length;
    return { segment, from };
  }
  #segmentOf(log: LogName): Segment {
    const key = `${log.session} ${log.node} ${log.incarnation}`;
    const open = this.#segments.get(key)?.segment;
    if (open !== undefined && !open.isSpoilt && open.size < this.#segmentBytesMax) return open;
    for (const [other, { log: of, segment }] of this.#segments) {
      // A life that has ended writes no more: whoever reads may now remove what it left.
      if (of.session === log.session && of.incarnation !== log.incarnation) this.#close(other, segment);
    }
    const segment = this.#newSegment(log, (open?.number ?? 0) + 1);
    if (open !== undefined) this.#close(key, open);
    this.#segments.set(key, { log, segment });
    return segment;
  }
  #newSegment(log: LogName, number: number): Segment {
    const folder = this.#folder(log.session);
    this.#makeFolder(folder);
    for (;;) {
      const path = `${folder}/${segmentName(log, number)}`;
      const fd = this.#files.open(path, "write");
      const taken = this.#take(folder, fd);
      if (taken === "made") return { fd, number, size: 0, isSpoilt: false };
      this.#files.close(fd);
      if (taken === "locked") throw Object.assign(new Error(`${path} is locked by another process`), { errno: -16 });
      if (taken === "used") number++;
    }
  }
  /** What was opened is closed when this fails: with its lock it would stand in the way of the next try for ever. */
  #take(folder: string, fd: number): "made" | "locked" | "gone" | "used" {
    try {
      const isLocked = this.#files.lock(fd);
      // One that was removed between the two calls by somebody who took this life for dead is no place to write to.
      const { links, size } = this.#files.state(fd);
      if (!isLocked) return "locked";
      if (links !== 1) return "gone";
      // What a former thread of this life left may end in half a frame.
      if (size !== 0) return "used";
      this.#files.syncDirectory(folder);
      return "made";
    } catch (error) {
      this.#files.close(fd);
      throw error;
    }
  }
  #close(key: string, segment: Segment): void {
    this.#segments.delete(key);
    this.#files.close(segment.fd);
  }

  // Reading.

  #list({ session }: Work<"list">): EventLogResults["list"] {
    const names = this.#files.names(this.#folder(session));
    const logs = new Map<string, { node: NodeId; incarnation: Incarnation }>();
    const cursors = new Map<string, LogCursor>();
    for (const name of names) {
      const segment = parseSegmentName(name);
      if (segment !== undefined) logs.set(`${segment.node}@${segment.incarnation}`, { node: segment.node, incarnation: segment.incarnation });
      else if (name.startsWith(CURSOR_PREFIX)) this.#readCursors(`${this.#folder(session)}/${name}`, cursors);
    }
    return { logs: [...logs.values()], cursors: [...cursors.values()] };
  }
  #readCursors(path: string, into: Map<string, LogCursor>): void {
    const fd = this.#files.open(path, "read");
    const bytes = Buffer.alloc(this.#files.state(fd).size);
    try {
      this.#files.read(fd, bytes, 0);
    } finally {
      this.#files.close(fd);
    }
    for (let at = 0, found = decodeCursors(bytes, at); found !== undefined; at = found.next, found = decodeCursors(bytes, at)) {
      for (const cursor of found.value) {
        const key = `${cursor.node}@${cursor.incarnation}`;
        into.set(key, joined(into.get(key), cursor));
      }
    }
  }

  #read({ log, from, after, max, mayHaveGaps }: Work<"read">): EventLogResults["read"] {
    const numbers = this.#segmentNumbers(log);
    const events: LoggedEvent[] = [];
    let { segment, offset } = from ?? { segment: numbers[0] ?? 1, offset: 0 };
    // What was acknowledged was removed under us: reading goes on with what is left.
    if (numbers[0] !== undefined && numbers[0] > segment) [segment, offset] = [numbers[0], 0];
    let last = after;
    let isGap = false;
    for (;;) {
      const path = `${this.#folder(log.session)}/${segmentName(log, segment)}`;
      const end = this.#eachEvent(path, offset, (event) => {
        if (event.sequence <= last) return true;
        if (event.previous > last) isGap = true;
        if (isGap && !mayHaveGaps) return false;
        last = event.sequence;
        return events.push(event) < max;
      });
      if (isGap && !mayHaveGaps) return { events, place: { segment, offset }, isAtEnd: true, isGap };
      offset = end.offset;
      const next = numbers.find((number) => number > segment);
      if (events.length >= max) return { events, place: { segment, offset }, isAtEnd: false, isGap };
      if (next === undefined) return { events, place: { segment, offset }, isAtEnd: true, isGap };
      [segment, offset] = [next, 0];
    }
  }
  #segmentNumbers(log: LogName): number[] {
    const own = this.#files.names(this.#folder(log.session)).map(parseSegmentName).filter((each) => each?.node === log.node && each.incarnation === log.incarnation);
    return own.map((each) => each!.number).sort((a, b) => a - b);
  }

  // Acknowledging.

  #acknowledge({ session, hostGeneration, cursors }: Work<"acknowledge">): EventLogResults["acknowledge"] {
    const key = `${session} ${hostGeneration}`;
    const bytes = encodeCursors(cursors);
    const known = this.#cursors.get(key);
    // A later host has said all that stood there, and goes by its own.
    if (known !== undefined && this.#files.state(known.fd).links === 0) throw Object.assign(new Error(`session ${session} has a later host`), { errno: -116 });
    if (bytes.length > CURSOR_BODY_BYTES_MAX) throw Object.assign(new Error("too much is acknowledged out of turn"), { errno: -7 });
    const before = known;
    const file = before !== undefined && before.size < CURSOR_FILE_BYTES_MAX ? before : this.#newCursorFile(session, hostGeneration);
    try {
      this.#files.write(file.fd, bytes, file.size);
    } catch (error) {
      attempt(() => this.#files.truncate(file.fd, file.size) ?? {});
      throw error;
    }
    this.#files.sync(file.fd);
    file.size += bytes.length;
    if (file === before) return {};
    this.#cursors.set(key, file);
    if (before !== undefined) this.#files.close(before.fd);
    this.#removeOlderCursors(session, cursorName(hostGeneration, file.number), cursors);
    return {};
  }
  #newCursorFile(session: SessionId, hostGeneration: number): CursorFile {
    const folder = this.#folder(session);
    this.#makeFolder(folder);
    const used = this.#files.names(folder).map((name) => parseCursorName(name)).filter((each) => each?.generation === hostGeneration);
    const number = Math.max(0, ...used.map((each) => each!.number)) + 1;
    const fd = this.#files.open(`${folder}/${cursorName(hostGeneration, number)}`, "new");
    this.#files.syncDirectory(folder);
    return { fd, number, size: 0 };
  }
  /** The new file says all that they said; of logs it does not name, which are gone, nothing is to be kept. */
  #removeOlderCursors(session: SessionId, keep: string, cursors: readonly LogCursor[]): void {
    const own = parseCursorName(keep)!;
    for (const [key, { fd }] of this.#cursors) {
      if (!key.startsWith(`${session} `) || key === `${session} ${own.generation}`) continue;
      this.#files.close(fd);
      this.#cursors.delete(key);
    }
    const folder = this.#folder(session);
    const known = new Map(cursors.map((cursor) => [`${cursor.node}@${cursor.incarnation}`, cursor]));
    const unneeded: string[] = [];
    let isOfGone = false;
    for (const name of this.#files.names(folder)) {
      const named = parseCursorName(name);
      if (named === undefined || name === keep || named.generation > own.generation) continue;
      const said = new Map<string, LogCursor>();
      this.#readCursors(`${folder}/${name}`, said);
      const more = [...said].filter(([key, cursor]) => !isWithin(cursor, known.get(key))).map(([, cursor]) => cursor);
      if (more.some((cursor) => this.#hasLog(session, cursor))) continue;
      unneeded.push(name);
      isOfGone ||= more.length > 0;
    }
    // A log that somebody else removed would be back, without its cursor, if his machine died before that is on stable storage.
    if (isOfGone) this.#files.syncDirectory(folder);
    for (const name of unneeded) this.#files.remove(`${folder}/${name}`);
  }
  #hasLog(session: SessionId, { node, incarnation }: LogCursor): boolean {
    return this.#segmentNumbers({ session, node, incarnation }).length > 0;
  }

  #trim({ log, through, isOver }: Work<"trim">): EventLogResults["trim"] {
    const folder = this.#folder(log.session);
    const numbers = this.#segmentNumbers(log);
    const path = (number: number) => `${folder}/${segmentName(log, number)}`;
    while (numbers.length > 1) {
      const first = this.#firstEventIn(path(numbers[1]!));
      if (first === undefined || first.previous > through) break;
      this.#files.remove(path(numbers.shift()!));
    }
    if (!isOver || numbers.length !== 1) return { isGone: isOver && numbers.length === 0 };
    return { isGone: this.#removeLast(path(numbers[0]!), through) };
  }
  /** The lock says that no process can write there any more; what it wrote last is looked at under it. */
  #removeLast(path: string, through: number): boolean {
    const fd = this.#files.open(path, "change");
    try {
      if (!this.#files.lock(fd)) return false;
      let last = 0;
      this.#eachEvent(path, 0, ({ sequence }) => {
        last = Math.max(last, sequence);
        return true;
      });
      if (last > through) return false;
      this.#files.unlink(path);
      return true;
    } finally {
      this.#files.close(fd);
    }
  }

  /** With its name, and that of the folder round it, on stable storage. */
  #makeFolder(folder: string): void {
    if (!this.#files.makeDirectory(folder)) return;
    this.#files.syncDirectory(dirname(this.#directory));
    this.#files.syncDirectory(this.#directory);
  }

  /** Calls `take` with each whole event from `offset` on until it says false; where it ended. */
  #eachEvent(path: string, offset: number, take: (event: LoggedEvent) => boolean): { offset: number } {
    let fd: number;
    try {
      fd = this.#files.open(path, "read");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return { offset };
      throw error;
    }
    try {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      for (;;) {
        const bytes = chunk.subarray(0, this.#files.read(fd, chunk, offset));
        let at = 0;
        for (let found = decodeEvent(bytes, at); found !== undefined; found = decodeEvent(bytes, at)) {
          at = found.next;
          if (!take(found.value)) return { offset: offset + at };
        }
        if (at === 0) return { offset };
        offset += at;
      }
    } finally {
      this.#files.close(fd);
    }
  }
  #firstEventIn(path: string): LoggedEvent | undefined {
    let first: LoggedEvent | undefined;
    this.#eachEvent(path, 0, (event) => {
      first = event;
      return false;
    });
    return first;
  }
  #folder(session: SessionId): string {
    return `${this.#directory}/${session}`;
  }
}

const CURSOR_PREFIX = "acknowledged+"; // no node's name has a plus sign
function cursorName(generation: number, number: number): string {
  return `${CURSOR_PREFIX}${generation}.${number}`;
}
function parseCursorName(name: string): { generation: number; number: number } | undefined {
  const match = /^acknowledged\+(\d{1,15})\.(\d{1,15})$/.exec(name);
  return match === null ? undefined : { generation: Number(match[1]), number: Number(match[2]) };
}
function segmentName({ node, incarnation }: LogName, number: number): string {
  return `${node}@${incarnation}.${number}`;
}
export function parseSegmentName(name: string): { node: NodeId; incarnation: Incarnation; number: number } | undefined {
  const match = /^([^@]+)@(\d{1,15})\.(\d{1,15})$/.exec(name);
  if (match === null || !NAME_PATTERN.test(match[1]!)) return undefined;
  return { node: match[1] as NodeId, incarnation: Number(match[2]) as Incarnation, number: Number(match[3]) };
}

/** Both were acknowledged by the application, whichever host wrote it down. */
function joined(a: LogCursor | undefined, b: LogCursor): LogCursor {
  if (a === undefined) return b;
  const through = Math.max(a.through, b.through);
  const beyond = [...new Set([...a.beyond, ...b.beyond])].filter((sequence) => sequence > through).sort((x, y) => x - y);
  return { ...b, through, beyond };
}
function isWithin(said: LogCursor, by: LogCursor | undefined): boolean {
  if (by === undefined || said.through > by.through) return false;
  const beyond = new Set(by.beyond);
  return said.beyond.every((sequence) => sequence <= by.through || beyond.has(sequence));
}

/** What the system refused, as a value. */
export function attempt<T extends object>(act: () => T): T | DmFailure {
  try {
    return act();
  } catch (error) {
    return failureOf(error);
  }
}
export function failureOf(error: unknown): DmFailure {
  const { errno, message } = error as NodeJS.ErrnoException;
  if (errno === undefined) throw error;
  return { code: codeOf(-errno), message };
}
