/**
 * The migration application: one session that owns the data events of one file system, recalls what users need, serves
 * requests from any node, and frees space between two marks.
 *
 * Its session outlives it: after an orderly stop or a crash the next migrator finds the session by its information
 * string, takes it up with all events, ends what was left over and finishes what had begun. A lost daemon is waited for.
 *
 * As a group there is one instance on every node over one store: each handles the events of its own node, another those
 * of an instance that is gone, one of them frees space.
 *
 * Owns      connection, session, event loop, freeing space.
 * Not here  how files move (file-mover.ts, move/), answers (migrator-events.ts, request-server.ts).
 * Source    blueprint 8; requirements R3, R15, R17, R18.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Connection } from "../client/connection.js";
import type { Event } from "../client/events.js";
import type { FileSystem } from "../client/file-system.js";
import type { Session } from "../client/session.js";
import type { ApplicationLease } from "../dmapi/application-lease.js";
import { DmError } from "../dmapi/errors.js";
import { eventSet, type EventType } from "../dmapi/events.js";
import type { Handle, Token } from "../dmapi/ids.js";
import { FileMover } from "./file-mover.js";
import { EventHandler, type MigratorLog } from "./migrator-events.js";
import { bytesAboveLow, bytesToFree, type Candidate, chooseCandidates, defaultRules, faultOfMarks, usedPercent, type WaterMarks } from "./policy/water-marks.js";
import { formatInfo, type MigratorStatus, parseInfo } from "./request-format.js";
import { RequestServer } from "./request-server.js";
import { MigratorClient } from "./requests.js";
import { scanBacking, usageOf } from "./scan/backing-scan.js";
import { namesCopy, noteOf } from "./states.js";
import { openDirectoryStore } from "./stores/directory/store.js";
import type { Intent, Need, Store } from "./stores/store.js";

export interface MigratorOptions {
  readonly fs: string;
  /** Directory of the store. */
  readonly store: string;
  readonly socket?: string;
  /** Frees space by itself when given. */
  readonly marks?: WaterMarks;
  /** One instance of several: on every node one, each with a session of this group, which owns the dispositions. */
  readonly group?: string;
  /** Of a group: an instance of which nothing is heard for so long has its share handled by another. */
  readonly leaseMs?: number;
  /** Discarded objects are kept so long. */
  readonly keepDiscardedMs?: number;
  readonly watchMs?: number;
  readonly log?: MigratorLog;
}

const DISPOSITIONS: readonly EventType[] = ["read", "write", "truncate", "destroy"];
const DAY_MS = 86_400_000;
/** Longer than a busy instance is silent, shorter than a user likes to wait for one that is gone. */
const GROUP_LEASE_MS = 2_000;
const GROUP_NAME_LENGTH_MAX = 63;
const RECONNECT_MS = 500;
const SWEEP_MS = 3_600_000;
const FAILURES_LOGGED_MAX = 10;
/** An instance that does not say within so long that it frees space leaves it to the next one. */
const FREEING_ANSWER_MS = 3_000;

/** The group of the parallel migration application of a file system. */
export function groupOf(fs: string): string {
  const name = `migrator-${fs}`;
  return name.length <= GROUP_NAME_LENGTH_MAX ? name : `migrator-${createHash("sha256").update(fs).digest("hex").slice(0, 32)}`;
}

/** One life with one connection. */
interface Serving {
  readonly connection: Connection;
  readonly fs: FileSystem;
  readonly node: string;
  readonly session: Session;
  readonly mover: FileMover;
  readonly handler: EventHandler;
}

export class Migrator {
  readonly #options: MigratorOptions;
  readonly #log: MigratorLog;
  readonly #stopping = new AbortController();
  #serving: Serving | undefined;
  #usedPercent: number | null = null;
  #lastInterruption = "";

  /** @throws DmError EINVAL the water marks make no sense. */
  constructor(options: MigratorOptions) {
    const fault = options.marks === undefined ? undefined : faultOfMarks(options.marks);
    if (fault !== undefined) throw new DmError("EINVAL", "migrator", fault);
    this.#options = options;
    this.#log = options.log ?? (() => {});
  }

  /**
   * Serves until `stop`. Returns when all that was begun is over; the session stays, assumable.
   * @throws DmError when it cannot begin: no daemon, unknown file system, unusable store, another migrator is at work.
   */
  async run(ready: () => void = () => {}): Promise<void> {
    let isFirst = true;
    while (!this.#isStopping) {
      try {
        await this.#serve(isFirst ? ready : () => this.#resumed());
      } catch (error) {
        if (isFirst && this.#serving === undefined) throw error;
        if (!(error instanceof DmError)) throw error;
        this.#logOnce("interrupted", error.message);
      } finally {
        this.#serving?.connection.close();
      }
      isFirst = false;
      if (!this.#isStopping) await sleep(RECONNECT_MS, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }
  /** Orderly: takes no new event, finishes moves under way, leaves the session to be assumed. */
  stop(): void {
    this.#stopping.abort();
  }
  #resumed(): void {
    this.#lastInterruption = "";
    this.#log("resumed", {});
  }
  #logOnce(kind: string, error: string): void {
    if (this.#lastInterruption !== error) this.#log(kind, { error });
    this.#lastInterruption = error;
  }
  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #serve(ready: () => void): Promise<void> {
    const serving = await this.#begin();
    this.#serving = serving;
    const lost = new AbortController();
    serving.connection.whenLost(() => lost.abort());
    const signal = AbortSignal.any([this.#stopping.signal, lost.signal]);
    // Listed before the first move of this life, whose own ones must not be taken for left over.
    const tokens = await serving.session.tokens();
    const { notes: intents, damaged } = await serving.mover.options.store.intents();
    for (const { message } of damaged) this.#log("damaged", { error: message });
    const events = await this.#takeOver(serving.session, tokens);
    const finishing = this.#finishLeftOvers(serving, events, intents);
    ready();
    const background = Promise.all([finishing, this.#watchUsage(serving, signal), this.#sweepLedger(serving, signal)]);
    background.catch((error: Error) => this.#log("background-failed", { error: error.message }));
    const answering = new Set<Promise<void>>();
    try {
      for await (const event of serving.session.events({ signal: this.#stopping.signal })) {
        const answered = serving.handler.handle(event);
        answering.add(answered);
        void answered.finally(() => answering.delete(answered));
      }
      await Promise.allSettled([...answering]);
      await serving.mover.settled();
    } finally {
      lost.abort();
      await background.catch(() => {});
    }
  }

  async #begin(): Promise<Serving> {
    const { socket, fs: name, group, marks } = this.#options;
    const connection = await connect(socket === undefined ? {} : { socket });
    try {
      const all = await connection.fileSystems();
      const fs = await connection.fileSystem(name);
      const forbidden = all.flatMap((each) => [each.backing, ...(each.mountpoint === undefined ? [] : [each.mountpoint])]);
      const store = await openDirectoryStore({ directory: this.#options.store, forbidden });
      const { node } = await connection.status();
      await claimPlace(connection.socket, name);
      const session = await this.#takeSession(connection, store, node);
      await session.setDisposition(name, DISPOSITIONS, group === undefined ? {} : { group });
      const fsEventList = eventSet(await session.object(fs.handle).eventList());
      const mover = new FileMover({ session, store, fs: name, fsEventList });
      const server = new RequestServer(mover, async () => ({ ...this.#status(node, mover), freesSpace: marks !== undefined }));
      const handler = new EventHandler(mover, this.#log, (event) => server.serve(event));
      this.#log("serving", { fs: name, store: store.identity, node, session: session.id });
      return { connection, fs, node, session, mover, handler };
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** A failed one is assumed, one that lives on this node is taken up, else a new one is made. */
  async #takeSession(connection: Connection, store: Store, node: string): Promise<Session> {
    const { fs, group } = this.#options;
    const info = formatInfo({ fs, store: store.identity, ...(group === undefined ? {} : { group, node }) });
    const all = (await connection.sessions()).flatMap((entry) => {
      const parsed = parseInfo(entry.info);
      return parsed?.fs === fs ? [{ ...entry, member: parsed }] : [];
    });
    const foreign = all.find((entry) => entry.member.group !== group);
    if (foreign !== undefined) {
      const as = foreign.member.group === undefined ? "alone" : `in group ${foreign.member.group}`;
      throw new DmError("EBUSY", "migrator", `session ${foreign.id} on ${foreign.node} serves ${fs} ${as}; end that migrator and destroy its session (sluice session destroy ${foreign.id}), or start this one the same way`);
    }
    const ours = all.filter((entry) => group === undefined || entry.member.node === node);
    const other = ours.find((entry) => parseInfo(entry.info)?.store !== store.identity);
    if (other !== undefined) throw new DmError("EBUSY", "migrator", `session ${other.id} on ${other.node} serves ${fs} with another store (${parseInfo(other.info)?.store}, this one is ${store.identity})`);
    const here = ours.find((entry) => entry.state === "failed") ?? ours.find((entry) => entry.node === node);
    if (here !== undefined) {
      this.#log("assumed", { session: here.id, from: here.node, state: here.state });
      const session = await connection.assumeSession(here.id, info);
      if (group !== undefined) await session.modify(info, { lease: this.#lease });
      return session;
    }
    const [elsewhere] = ours;
    if (elsewhere !== undefined) throw new DmError("EBUSY", "migrator", `session ${elsewhere.id} on node ${elsewhere.node} serves ${fs} already; start this migrator there, or stop that node`);
    return connection.createSession(info, group === undefined ? {} : { group, lease: this.#lease });
  }
  /** Another instance handles what a dead or frozen one has, and what comes for it, until it is back. */
  get #lease(): ApplicationLease {
    const standby = { kind: "standby" } as const;
    return { afterMs: this.#options.leaseMs ?? GROUP_LEASE_MS, onLost: { data: standby, namespace: standby, asynchronous: standby } };
  }

  /**
   * Events that were delivered to a crashed predecessor. The rights of its recalls go before any move begins: one under
   * another token would wait for them, and the event that has them for the file's turn, which that one has.
   */
  async #takeOver(session: Session, tokens: readonly Token[]): Promise<Event[]> {
    const events: Event[] = [];
    for (const token of tokens) {
      try {
        const event = await session.findEvent(token);
        events.push(event);
        if ("handle" in event) await session.connection.call("right.release", event.outstanding.args(event.handle));
      } catch (error) {
        if (!(error instanceof DmError) || !["ESRCH", "EINVAL", "EACCES"].includes(error.code)) throw error;
      }
    }
    return events;
  }

  /** What a crashed predecessor left: events delivered to it, tokens that held its rights, files half moved. */
  async #finishLeftOvers({ connection, session, mover, handler }: Serving, events: readonly Event[], intents: readonly Intent[]): Promise<void> {
    for (const event of events) void handler.handle(event);
    const living = new Set((await connection.sessions()).map((entry): number => entry.id));
    for (const intent of intents) {
      if (this.#isStopping) return;
      if (intent.session !== session.id && living.has(intent.session)) continue; // another member of the group is at it
      const handle = intent.handle as Handle;
      try {
        const settled = await mover.inTurn(handle, () => settleIntent(mover, handle, intent.object));
        if (settled === "finished") continue;
        const outcome = await mover.migrate(intent.verb, { handle, ...(intent.path === null ? {} : { path: intent.path }) });
        this.#log("finished", { handle, path: intent.path, verb: intent.verb, outcome: outcome.kind });
      } catch (error) {
        this.#log("left-over", { handle, path: intent.path, verb: intent.verb, error: (error as Error).message });
      }
    }
  }
  async #watchUsage(serving: Serving, signal: AbortSignal): Promise<void> {
    const { marks, watchMs = 10_000 } = this.#options;
    while (!signal.aborted) {
      try {
        const usage = await usageOf(serving.fs.backing);
        this.#usedPercent = usedPercent(usage);
        if (marks !== undefined && bytesToFree(usage, marks) > 0 && (await this.#isToFree(serving))) await this.#freeSpace(serving, marks, signal);
      } catch (error) {
        this.#log("watch-failed", { error: (error as Error).message });
      }
      await sleep(watchMs, undefined, { signal }).catch(() => {});
    }
  }
  /**
   * Of several instances with marks the one with the lowest session frees, as long as it answers. Should two ever do it at
   * a time no file suffers: each is migrated under its own right, and both stop at the low mark.
   */
  async #isToFree({ connection, session }: Serving): Promise<boolean> {
    const { fs, group } = this.#options;
    if (group === undefined) return true;
    const before = (await connection.sessions()).filter((entry) => entry.id < session.id && entry.state === "active" && parseInfo(entry.info)?.fs === fs);
    for (const { id } of before.sort((a, b) => a.id - b.id)) {
      const status = await new MigratorClient(connection, id).status(AbortSignal.timeout(FREEING_ANSWER_MS)).catch(() => undefined);
      if (status?.freesSpace === true) return false;
    }
    return true;
  }
  async #freeSpace(serving: Serving, marks: WaterMarks, signal: AbortSignal): Promise<void> {
    const { backing } = serving.fs;
    const before = await usageOf(backing);
    const candidates: Candidate[] = [];
    for await (const candidate of scanBacking(backing)) candidates.push(candidate);
    this.#log("freeing", { usedPercent: round(usedPercent(before)), candidates: candidates.length });
    // Each is asked for once in a round; what cannot be migrated now does not stop the rest.
    const chosen = chooseCandidates(candidates, Number.MAX_SAFE_INTEGER, defaultRules, Date.now());
    for (const candidate of chosen) {
      if (signal.aborted || bytesAboveLow(await usageOf(backing), marks) === 0) break;
      try {
        const { handle } = serving.fs.lookUp(candidate.path);
        await serving.mover.migrate("migrate", { handle, path: candidate.path.toString() });
      } catch (error) {
        this.#log("not-migrated", { path: candidate.path.toString(), error: (error as Error).message });
      }
    }
    this.#usedPercent = usedPercent(await usageOf(backing));
    this.#log("freed", { usedPercent: round(this.#usedPercent) });
  }

  async #sweepLedger({ session, mover }: Serving, signal: AbortSignal): Promise<void> {
    const { store } = mover.options;
    const keepMs = this.#options.keepDiscardedMs ?? DAY_MS;
    while (!signal.aborted) {
      try {
        const { removed, failures } = await store.sweep(Date.now() - keepMs, (entry) => needOf(session, entry.handle, entry.object));
        if (removed > 0) this.#log("swept", { removed });
        for (const { message } of failures.slice(0, FAILURES_LOGGED_MAX)) this.#log("not-swept", { error: message, of: failures.length });
      } catch (error) {
        this.#log("sweep-failed", { error: (error as Error).message });
      }
      await sleep(Math.min(SWEEP_MS, Math.max(1_000, keepMs)), undefined, { signal }).catch(() => {});
    }
  }

  #status(node: string, mover: FileMover): MigratorStatus {
    const kinds = [...mover.moving.values()];
    return {
      fs: this.#options.fs, store: mover.options.store.identity, node, pid: process.pid, recalls: kinds.filter((kind) => kind === "recalling").length,
      migrations: kinds.filter((kind) => kind === "migrating").length, ...mover.counters, usedPercent: this.#usedPercent === null ? null : round(this.#usedPercent),
    };
  }
}

/** The object of an intent is either named by the record, and stays, or by nobody, and goes to the ledger. */
async function settleIntent(mover: FileMover, handle: Handle, object: string): Promise<"finished" | "open"> {
  const { session, store } = mover.options;
  try {
    const { record } = await session.object(handle).record();
    const note = noteOf(record);
    if (note?.object !== object) {
      await store.discard(object, handle, "the migrator ended while it was made", Date.now());
      return "open";
    }
    if (record?.residency === "partial" && note.isPunched !== true) return "open";
    await store.clearIntent(object);
    return "finished";
  } catch (error) {
    const isDeleted = error instanceof DmError && (error.code === "EBADF" || error.code === "ENOENT" || error.code === "ESTALE");
    if (!isDeleted) throw error;
    await store.discard(object, handle, "the file was deleted while it was migrated", Date.now());
    return "finished";
  }
}

/** Before an object goes for good: does a living file name it after all? When that cannot be known, it stays. */
async function needOf(session: Session, handle: string, object: string): Promise<Need> {
  try {
    const { record, attributes } = await session.object(handle as Handle).record();
    const note = noteOf(record);
    if (!namesCopy(note) || note.object !== object) return "free";
    return attributes.nlink === 0 ? "open-yet" : "named";
  } catch (error) {
    if (error instanceof DmError && (error.code === "EBADF" || error.code === "ENOENT" || error.code === "ESTALE")) return "free";
    throw error;
  }
}

let claimed: string | undefined;
/** One migrator of a file system per node: a name the kernel frees when this process ends, however it ends. */
async function claimPlace(socket: string, fs: string): Promise<void> {
  const name = createHash("sha256").update(`${socket}\0${fs}`).digest("hex").slice(0, 32);
  if (claimed === name) return;
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", () => reject(new DmError("EBUSY", "migrator", `another migrator of ${fs} is at work on this node`)));
    server.listen(`\0sluice-migrator-${name}`, resolve);
  });
  server.unref();
  claimed = name;
}
function round(percent: number): number {
  return Math.round(percent * 10) / 10;
}
