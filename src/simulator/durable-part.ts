/**
 * Durable sessions in scene "cluster": users whose operations are logged before they go on, applications that take and
 * acknowledge the events of two sessions and lose their memory, assumes on any node, logs on a volume of their own that
 * tears what is not synced, sources that die right after an operation, and hosts that die in the midst of a call.
 *
 * Promises checked from outside: promises/durable-events.ts; at rest a session whose events are all acknowledged can be
 * destroyed, and leaves no file.
 *
 * Source    safety M11, H13.
 */
import type { Random } from "../base/random.js";
import type { HeldEvent } from "../cluster/node-contract.js";
import type { EventMessage } from "../dmapi/events.js";
import type { FsName, Handle, OperationId, SessionId } from "../dmapi/ids.js";
import { DurablePromises } from "../promises/durable-events.js";
import { EventLogDriver, LOG_DIRECTORY } from "./event-log-driver.js";
import { LogVolume } from "./log-volume.js";
import type { NodeModel } from "./node-model.js";
import { type Process, sleep, type Thread, type World } from "./world.js";

/** Its operations have numbers of their own. */
const OPERATIONS_FROM = 1_000_000;
const MACHINE_LOST = 0.6;
const DEATHS_MAX = 4;

/** The scene, as this part needs it. */
export interface DurableSurroundings {
  readonly world: World;
  readonly outside: Process;
  readonly nodes: () => readonly NodeModel[];
  readonly newClient: () => number;
  /** It dies now, and is started again later. */
  readonly kill: (node: NodeModel) => void;
  /** Its word to a local caller counts for nothing (safety C8). */
  readonly isUnknowinglyOut: (node: NodeModel) => boolean;
}
/** One session and its application. */
interface Served {
  readonly fs: FsName;
  readonly handle: Handle;
  session: SessionId | undefined;
  /** What it got and has not been told to be acknowledged. */
  readonly held: Set<string>;
  mustAssume: boolean;
  isOver: boolean;
}

export class DurablePart {
  readonly #scene: DurableSurroundings;
  readonly #world: World;
  readonly #random: Random;
  readonly #volume: LogVolume;
  readonly #promises: DurablePromises;
  readonly #served: Served[];
  readonly #waiting = new Set<number>();
  /** Sessions that ended with the last node that knew of them. */
  readonly #lost: SessionId[] = [];
  #operations = 0;
  #deaths = 0;
  #isHealing = false;
  /** No call on the volume fails. */
  readonly #isSound: boolean;

  constructor(scene: DurableSurroundings, fileSystems: readonly { readonly fs: FsName; readonly handle: Handle }[]) {
    this.#scene = scene;
    this.#world = scene.world;
    this.#random = scene.world.newRandom();
    this.#volume = new LogVolume(scene.world);
    this.#promises = new DurablePromises((holds, say) => scene.world.check(holds, say));
    this.#served = fileSystems.map((each) => ({ ...each, session: undefined, held: new Set(), mustAssume: false, isOver: false }));
    this.#isSound = this.#random.chance(0.5);
    if (!this.#isSound) Object.assign(this.#volume.troubles, { noRoom: 0.01, badSync: 0.02, failed: 0.003 });
  }

  attach(node: NodeModel): void {
    const { process } = node;
    const log = new EventLogDriver(process, this.#volume, () => ({
      chance: this.#isHealing || this.#deaths >= DEATHS_MAX ? 0 : 0.03,
      die: () => {
        this.#deaths++;
        this.#scene.kill(node);
      },
    }));
    node.eventLog = log;
    process.onEnd(() => this.#volume.ended(process, this.#random.chance(MACHINE_LOST)));
  }
  begin(): void {
    for (const served of this.#served) this.#scene.outside.start(this.#serve(served));
  }
  heal(): void {
    this.#isHealing = true;
    Object.assign(this.#volume.troubles, { noRoom: 0, badSync: 0, failed: 0 });
  }
  /** No node is left that knew of any session: their applications make others. */
  allLost(): void {
    for (const served of this.#served) {
      if (served.session === undefined || served.isOver) continue;
      this.#promises.ended(served.session);
      this.#lost.push(served.session);
      Object.assign(served, { session: undefined, mustAssume: false });
      served.held.clear();
    }
  }

  /** A user makes a file. */
  operate(random: Random): void {
    const served = random.pick(this.#served);
    const nodes = this.#scene.nodes().filter((node) => node.process.isRunning && node.isAdmitting);
    if (served.session === undefined || served.isOver || nodes.length === 0) return;
    const node = random.pick(nodes);
    const number = ++this.#operations;
    const operation = (OPERATIONS_FROM + number) as OperationId;
    this.#promises.raised(number, served.session);
    this.#waiting.add(number);
    const held: HeldEvent = { operation, fs: served.fs, isSynchronous: false, event: { type: "postcreate", handle1: served.handle, name1: `file ${number}` } };
    this.#world.log(() => `file ${number} is made on ${node.process.name} for session ${served.session}`);
    node.hold(held, (decision) => {
      this.#waiting.delete(number);
      this.#world.log(() => `who made file ${number} on ${node.process.name} ends with ${JSON.stringify(decision)}`);
      if (decision === "gone" || decision.kind !== "continue") return;
      this.#promises.wentOn(number);
      if (random.chance(0.04) && !this.#isHealing) this.#world.after(0, () => this.#scene.kill(node));
    });
    if (random.chance(0.05)) {
      this.#scene.outside.after(random.below(1_000), () => {
        if (!node.waitingOperations.includes(operation)) return;
        this.#waiting.delete(number);
        node.process.after(0, () => node.operationGone(operation));
      });
    }
  }

  // The application of one session.

  *#serve(served: Served): Thread {
    yield* sleep(this.#random.below(2_000));
    while (!served.isOver) {
      if (served.session === undefined) {
        yield* this.#create(served);
        continue;
      }
      const { session } = served;
      const host = this.#hostOf(session);
      if (host === undefined) yield* sleep(200 + this.#random.below(500));
      else if (host === "failed" || served.mustAssume) yield* this.#assume(served, session);
      else {
        yield* this.#take(served, session, host);
        yield* this.#acknowledge(served, session, host);
        if (this.#isHealing && this.#isAllSaid(session)) yield* this.#destroy(served, session, host);
        // It dies and knows nothing any more: what it had is offered again to whoever assumes the session.
        else if (this.#random.chance(this.#isHealing ? 0 : 0.06)) {
          served.held.clear();
          served.mustAssume = true;
        }
      }
    }
  }
  *#create(served: Served): Thread {
    const node = this.#member();
    if (node === undefined) return yield* sleep(500);
    const client = this.#scene.newClient();
    const made = yield* node.call("session.create", { info: `durable ${served.fs}`, isDurable: true }, client);
    if (made.kind !== "ok") return yield* sleep(500);
    const { session } = made.result;
    for (let attempt = 0; attempt < 10; attempt++) {
      const by = this.#member() ?? node;
      const set = yield* by.call("disposition.set", { session, fs: served.fs, events: ["postcreate"] }, client);
      // One that stood still may say so of a session that was lost meanwhile; whoever is in the view knows.
      if (set.kind === "ok" && !this.#scene.isUnknowinglyOut(by)) {
        served.session = session;
        return;
      }
      yield* sleep(500);
    }
  }
  *#assume(served: Served, session: SessionId): Thread {
    const host = this.#hostOf(session);
    const node = host === "failed" ? this.#member() : host; // while it is hosted, only there
    if (node === undefined) return yield* sleep(500);
    const outcome = yield* node.call("session.assume", { session, info: `durable ${served.fs}` }, this.#scene.newClient());
    this.#world.log(() => `assume of session ${session} on ${node.process.name} gives ${JSON.stringify(outcome)}`);
    if (outcome.kind === "ok") served.mustAssume = false;
    else yield* sleep(300);
  }
  *#take(served: Served, session: SessionId, host: NodeModel): Thread {
    const got = yield* host.call("event.get", { session, max: this.#random.between(1, 8), waitMs: 1_000 }, this.#scene.newClient());
    if (got.kind !== "ok") return yield* sleep(200);
    if (served.session !== session) return;
    const counts = !this.#scene.isUnknowinglyOut(host);
    for (const message of got.result) {
      const number = numberOf(message);
      if (number === undefined || message.id === undefined) continue;
      this.#world.log(() => `session ${session} gets ${message.id}, file ${number}, from ${host.process.name}${counts ? "" : ", which is out"}`);
      this.#promises.offered(session, message.id, number, counts);
      served.held.add(message.id);
    }
  }
  *#acknowledge(served: Served, session: SessionId, host: NodeModel): Thread {
    if (served.held.size === 0) return;
    const mine = [...served.held];
    const ids = this.#isHealing ? mine : mine.filter(() => this.#random.chance(0.5));
    if (ids.length === 0) return;
    this.#promises.acknowledging(session, ids);
    const outcome = yield* host.call("event.acknowledge", { session, ids }, this.#scene.newClient());
    this.#world.log(() => `acknowledging ${ids.join(" ")} of session ${session} on ${host.process.name} gives ${JSON.stringify(outcome)}`);
    if (outcome.kind !== "ok") return yield* sleep(200);
    if (served.session === session && !this.#scene.isUnknowinglyOut(host)) {
      this.#promises.acknowledged(session, ids);
      for (const id of ids) served.held.delete(id);
    }
  }
  /** What was forgotten by a former application comes again with an assume. */
  #isAllSaid(session: SessionId): boolean {
    const served = this.#served.find((each) => each.session === session);
    if (served === undefined || this.#waiting.size > 0 || served.held.size > 0 || this.#promises.missing(session).length > 0) return false;
    if (this.#promises.unacknowledged(session).length === 0) return true;
    served.mustAssume = true;
    return false;
  }
  *#destroy(served: Served, session: SessionId, host: NodeModel): Thread {
    const outcome = yield* host.call("session.destroy", { session }, this.#scene.newClient());
    this.#world.log(() => `destroying session ${session} on ${host.process.name} gives ${JSON.stringify(outcome)}`);
    if (outcome.kind === "ok") served.isOver = true;
    else yield* sleep(500);
  }

  #member(): NodeModel | undefined {
    const members = this.#scene.nodes().filter((node) => !node.isDead && node.isAdmitting);
    return members.length === 0 ? undefined : this.#random.pick(members);
  }
  #hostOf(session: SessionId): NodeModel | "failed" | undefined {
    const by = this.#member();
    const entry = by?.node.session(session);
    if (entry === undefined) return undefined;
    if (entry.state === "failed") return "failed";
    return this.#scene.nodes().find((node) => node.id === entry.node && !node.isDead);
  }

  /** What is still not as it ought to be in a healed world. */
  unrest(): string | undefined {
    const [waiting] = this.#waiting;
    if (waiting !== undefined) return `who made file ${waiting} still waits for its event to be logged`;
    for (const { session, fs, isOver } of this.#served) {
      if (session === undefined) return `there is no durable session for ${fs}`;
      const [missing] = this.#promises.missing(session);
      if (missing !== undefined) return `the event of file ${missing} is lost to session ${session}`;
      const [owed] = this.#promises.unacknowledged(session);
      if (owed !== undefined) return `${owed} of session ${session} is not acknowledged`;
      if (!isOver) return `session ${session} cannot be destroyed`;
    }
    const over = this.#served.map(({ session }) => session!);
    // Of lost ones the files go when a durable session is seen for the first time, whose id is higher, unless the volume fails
    // then; and not while a node that was out still has the session.
    const lost = this.#isSound ? this.#lost.filter((each) => each < Math.max(...over) && !this.#scene.nodes().some((node) => node.node.session(each) !== undefined)) : [];
    const left = [...over, ...lost].find((session) => this.#volume.names(`${LOG_DIRECTORY}/${session}`).length > 0);
    return left === undefined ? undefined : `session ${left} is over and leaves ${this.#volume.names(`${LOG_DIRECTORY}/${left}`).join(" ")}`;
  }
}

function numberOf({ event }: EventMessage): number | undefined {
  return event.type === "postcreate" ? Number(/^file (\d+)$/.exec(event.name1 ?? "")?.[1]) : undefined;
}
