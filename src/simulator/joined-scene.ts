/**
 * Scene "joined": whole daemons. The real node machine with everything in it drives the real admission machine, volume,
 * guards, records and kernel caches of every node, while migration applications take events and move files by the calls
 * of the product, users read, write, truncate and map, others make and destroy sessions; and nodes, applications and wires
 * die, freeze, are cut off one way or both, lose what was in flight, and change managers.
 *
 * A history is 60 seconds of 3 to 7 nodes (RUN_MS, run-seed.ts), then it heals and comes to rest. In it 200 things are
 * begun: 110 programs of users (each opens a file and then reads, writes, truncates or maps several times), 50 moves
 * (migrate, premigrate, release, recall), 40 calls about sessions (create, destroy, dispositions, messages, managers), and
 * beside them 3 to 40 programs that take a right. Answered calls of the product are several times as many, since a move
 * alone makes a dozen. Wrong go 5 faults, and as many stops in the middle of an operation as the stress says.
 *
 * Promises checked from outside: joined-checks.ts, cluster-checks.ts, file-model.ts, kernel-model.ts.
 *
 * Source    requirements R1-R19; safety C1-C10, H3, H5, H13.
 */
import type { Random } from "../base/random.js";
import { lifeName } from "../coordination/shared-volume/layout.js";
import type { FsName, Handle, Incarnation, NodeId, SessionId, Token } from "../dmapi/ids.js";
import { ApplicationModel, type Beginning } from "./application-model.js";
import { DirectoryModel } from "./directory-model.js";
import { FileModel, StoreModel } from "./file-model.js";
import { JoinedChecks } from "./joined-checks.js";
import { JoinedNode } from "./joined-node.js";
import type { MoveVerb } from "./mover-model.js";
import { NetworkModel } from "./network-model.js";
import { NodeModel } from "./node-model.js";
import { stresses } from "./stress.js";
import { map, readAll, rewrite, truncate } from "./user-programs.js";
import { Process, sleep, type Thread, type World } from "./world.js";

const RUN_MS = 60_000;
const BEGIN_MS = 4_000;
const SETTLE_MS = 90_000;
const FILES = 3;
const USERS = 110;
const MOVES = 50;
const CALLS = 40;
const FAULTS = 5;
const SAMPLE_MS = 1_500;
const FS = "fs1" as FsName;
const FS_HANDLE = `11${"0".repeat(14)}ffffffff${"0".repeat(16)}` as Handle;
const objectHandle = (inode: number) => `11${"0".repeat(14)}01000000${String(inode).padStart(16, "0")}${"0".repeat(16)}` as Handle;
const MIGRATOR = "migrator";
/** What files and users do where nothing is wrong any more: late write-back may have changed a file meanwhile. */
const mayStillHappen: ReadonlySet<string> = new Set([
  "read", "written", "mapped", "truncated", "events", "rights", "drained rounds", "migrate", "recall", "migrate already", "recall already", "migrate ECANCELED",
]);

export class JoinedScene {
  readonly world: World;
  readonly #directory: DirectoryModel;
  readonly #network: NetworkModel;
  readonly #checks: JoinedChecks;
  readonly #store = new StoreModel();
  readonly #files = new Map<Handle, FileModel>();
  readonly #ids: NodeId[];
  readonly #sites = new Map<NodeId, JoinedNode>();
  readonly #kernels = new Map<NodeId, Process>();
  readonly #lastIncarnation = new Map<NodeId, number>();
  readonly #applications: ApplicationModel[] = [];
  /** People and programs that are not the ones that fail here. */
  readonly #outside: Process;
  readonly #mounting = new Set<JoinedNode>();
  #clients = 0;
  /** Whether a session of that life still has a message that nobody answers. */
  readonly #unanswered = new Map<string, boolean>();
  /** User operations that have not ended. */
  #open = 0;
  #isolated: JoinedNode | undefined;
  #isHealing = false;
  #isOver = false;

  constructor(world: World, nodes: number) {
    this.world = world;
    this.#directory = new DirectoryModel(world);
    this.#network = new NetworkModel(world);
    this.#checks = new JoinedChecks(world, () => [...this.#sites.values()]);
    this.#directory.onLink = (path, text) => this.#checks.cluster.viewLinked(path, text);
    this.#outside = new Process(world, "outside");
    this.#ids = [..."ABCDEFG"].slice(0, nodes) as NodeId[];
    for (let inode = 1; inode <= FILES; inode++) this.#files.set(objectHandle(inode), new FileModel(world, objectHandle(inode), this.#store));
  }
  get counts(): Readonly<Record<string, number>> {
    return this.#checks.counts;
  }

  run(): void {
    const { world } = this;
    const { random } = world;
    for (const id of this.#ids) {
      this.#kernels.set(id, new Process(world, `${id}.kernel`));
      world.after(random.below(300), () => this.#start(id));
    }
    this.#network.delayMs = random.pick([1, 5, 50, 50]);
    const { stress } = world;
    for (let user = 0; user < USERS * world.stress.users; user++) this.#at("user", (own) => this.#startUser(own));
    for (let move = 0; move < MOVES; move++) this.#at("move", (own) => this.#wish(own));
    for (let call = 0; call < CALLS; call++) this.#at("call", (own) => this.#outside.start(this.#call(own)));
    for (let fault = 0; fault < FAULTS; fault++) this.#at("fault", (own) => this.#fault(own));
    for (let holder = 0; holder < stress.holders; holder++) this.#at("holder", (own) => this.#outside.start(this.#holdRight(own)));
    for (let move = 0; move < stress.handOvers; move++) this.#at("hand-over", (own) => this.#handOver(own));
    for (let each = 0; each < stress.isolations; each++) this.#at("isolation", (own) => this.#isolate(own));
    for (let interrupt = 0; interrupt < stress.interrupts; interrupt++) this.#at("interrupt", (own) => this.#interrupt(own));
    for (let remount = 0; remount < stress.remounts; remount++) this.#at("remount", (own) => this.#outside.start(this.#remount(own)));
    let crossings = stress.stops;
    world.onCrossing = (process, at) => {
      if (crossings === 0 || this.#isHealing || world.nowMs < BEGIN_MS || !random.chance(stress.stopAt[at] ?? (process.name.includes("migrator") ? 0.008 : 0.002))) return;
      crossings--;
      if (world.takesPart("stop")) this.#stop(process, random);
    };
    this.#supervise();
    this.#sampleLater();
    world.run(RUN_MS);
    this.#heal();
    this.#settle("after healing", () => this.#unrest());
    this.#checks.cluster.atRest();
    this.#goThrough();
  }

  /** In a healed world every file can be migrated, recalled and read everywhere. */
  #goThrough(): void {
    // Stores through a mapping that are older than the file's last way out meet its next one: the write-back waits for a
    // recall, and the flush for the pages, until the round is over. So that one may be asked for once more.
    const first = this.#refused("migrate");
    const begin = first.length === 0 || first.some((what) => what !== "migrate EBUSY") ? first : this.#refused("migrate");
    this.#check("first migrate", begin);
    for (const verb of ["read", "migrate", "recall"] as const) this.#check(`last ${verb}`, this.#refused(verb));
    this.#isOver = true;
    this.#checks.cluster.atRest();
  }
  #check(what: string, refused: readonly string[]): void {
    this.world.check(refused.length === 0, () => `in a healed world the ${what} was refused: ${refused.join(", ")}`);
  }
  /** What was refused when each file was asked for that. */
  #refused(verb: MoveVerb | "read"): string[] {
    const application = this.#application()!;
    const before = { ...this.#checks.counts };
    for (const file of this.#files.values()) {
      if (verb !== "read") application.wish(file, verb);
      else for (const site of this.#sites.values()) this.#use(site, readAll(site.kernel!, file));
    }
    this.#settle(`after the last ${verb}`, () => (application.isIdle ? this.#unrest() : "the migrator is busy"));
    return Object.entries(this.#checks.counts).filter(([what, count]) => !mayStillHappen.has(what) && count !== (before[what] ?? 0)).map(([what]) => what);
  }

  /** An item with choices of its own: those of the others stay when it is left out. */
  #at(kind: string, run: (own: Random) => void): void {
    const own = this.world.newRandom();
    const atMs = BEGIN_MS + own.below(RUN_MS - BEGIN_MS - 1_000);
    if (this.world.takesPart(kind)) this.world.after(atMs, () => run(own));
  }
  #sampleLater(): void {
    this.world.after(SAMPLE_MS, () => {
      this.#checks.cluster.sample();
      if (!this.#isHealing) this.#sampleLater();
    });
  }
  #settle(when: string, unrest: () => string | undefined): void {
    const { world } = this;
    for (const untilMs = world.nowMs + SETTLE_MS; world.nowMs < untilMs; ) {
      world.run(world.nowMs + 500);
      if (this.#isQuiet && unrest() === undefined) return;
    }
    const reactors = [...this.#sites.values()].map((site) => `${lifeName(site.node)}: ${site.reactor?.describe() || "nothing"}`);
    world.check(false, () => `${when} ${unrest()}; ${reactors.join("; ")}`);
  }

  // Nodes.

  #start(id: NodeId): void {
    const incarnation = ((this.#lastIncarnation.get(id) ?? 0) + 1) as Incarnation;
    this.#lastIncarnation.set(id, incarnation + 100);
    const { world } = this;
    this.#sites.get(id)?.kernel?.detach();
    const node = new NodeModel({
      world, id, incarnation, process: new Process(world, `${id}/${incarnation}`), network: this.#network, directory: this.#directory,
      preference: id === "B" ? 1 : 0,
      observe: (by, effect) => this.#checks.cluster.observe(by, effect),
      told: (by, fact) => this.#checks.cluster.told(by, fact),
    });
    const site = new JoinedNode({
      node, kernelProcess: this.#kernels.get(id)!, fs: FS, files: this.#files,
      watch: {
        raised: (at, operation) => this.#checks.raised(at, operation), resumed: (at, _operation, effect) => this.#checks.resumed(at, effect),
        gone: (at, operation) => this.#checks.gone(at, operation), touched: (at, touch) => this.#checks.touched(at, touch),
      },
    });
    node.process.onEnd(() => this.#checks.died(site));
    this.#sites.set(id, site);
    node.input({ kind: "fs-attached", fs: FS, handle: FS_HANDLE, rootHandle: objectHandle(999), eventList: 0, mountpoint: "/mnt/fs1" });
    this.#outside.start(this.#mount(site));
  }
  *#mount(site: JoinedNode): Thread {
    const client = ++this.#clients;
    this.#mounting.add(site);
    if (!this.#isHealing) yield* sleep(this.world.random.below(this.world.stress.mountMs));
    for (;;) {
      const outcome = yield* site.node.call("fs.mount", { fs: FS }, client);
      if (outcome.kind === "ok") this.#checks.cluster.mounted(site.node, FS);
      if (outcome.kind !== "failed" || outcome.failure.message.includes("already")) break;
      yield* sleep(300);
    }
    this.#mounting.delete(site);
  }
  /** For a while nothing is mounted there, unless somebody is inside. */
  *#remount(random: Random): Thread {
    const site = random.pick([...this.#sites.values()]);
    const pauseMs = random.below(5_000);
    if (site.reactor === undefined || this.#mounting.has(site)) return;
    this.#mounting.add(site);
    this.#checks.cluster.unmounting(site.node, FS);
    const outcome = yield* site.node.call("fs.unmount", { fs: FS }, ++this.#clients);
    this.world.log(() => `${site.process.name}: unmounting gives ${JSON.stringify(outcome)}`);
    this.#checks.count(`unmount ${outcome.kind === "failed" ? outcome.failure.code : outcome.kind}`);
    if (outcome.kind === "ok") this.world.check(site.reactor === undefined, () => `${site.process.name} says that ${FS} is unmounted, and its reactor serves`);
    if (outcome.kind === "failed" && site.reactor !== undefined) this.#checks.cluster.mounted(site.node, FS);
    yield* sleep(pauseMs);
    this.#mounting.delete(site); // who supervises mounts it again
  }

  // Migration applications: one for each session of theirs, started again wherever it may go on.

  #supervise(): void {
    this.world.after(300, () => {
      if (this.#isOver) return;
      this.#startMissing();
      this.#supervise();
    });
  }
  #startMissing(): void {
    for (const site of this.#sites.values()) {
      if (site.reactor === undefined && !site.node.isDead && !this.#mounting.has(site)) this.#outside.start(this.#mount(site));
    }
    const members = this.#members();
    const any = members[0];
    if (any === undefined) return;
    const living = this.#applications.filter((each) => each.process.isAlive && !each.at.node.isDead);
    const sessions = any.node.node.sessions.filter((each) => each.info.startsWith(MIGRATOR));
    if (sessions.length === 0 && living.length === 0) return this.#startApplication(this.world.random.pick(members), { kind: "create", info: MIGRATOR });
    for (const { id, node, state, info } of sessions) {
      if (living.some((each) => each.session === id || each.session === 0)) continue;
      const host = this.#sites.get(node);
      if (state === "failed") this.#startApplication(this.world.random.pick(members), { kind: "assume", session: id, info });
      else if (state === "active" && host !== undefined && members.includes(host)) this.#startApplication(host, { kind: "go-on", session: id, info });
    }
  }
  #startApplication(at: JoinedNode, beginning: Beginning): void {
    const client = ++this.#clients;
    const process = new Process(this.world, `${at.node.id}.migrator${client}`);
    this.world.log(() => `${process.name} begins: ${JSON.stringify(beginning)}`);
    this.#applications.push(new ApplicationModel({ process, at, client, fs: FS, files: this.#files, store: this.#store, checks: this.#checks, beginning }));
    at.process.onEnd(() => process.after(5, () => process.kill()));
  }
  #application(): ApplicationModel | undefined {
    return this.#applications.findLast((each) => each.process.isAlive && each.isServing && !each.at.node.isDead);
  }
  /** Running members of the latest view that take calls. */
  #members(): JoinedNode[] {
    return [...this.#sites.values()].filter((site) => site.process.isRunning && site.node.isAdmitting && this.#checks.cluster.isInView(lifeName(site.node)));
  }

  // What goes wrong.

  #fault(random: Random): void {
    const sites = [...this.#sites.values()];
    const manager = sites.find((site) => !site.node.isDead && site.node.node.isManaging);
    const application = this.#application();
    const victim = random.chance(0.3) && manager !== undefined ? manager : random.chance(0.4) && application !== undefined ? application.at : random.pick(sites);
    const other = random.pick(this.#ids.filter((id) => id !== victim.node.id));
    const pauseMs = random.pick([50, 500, 3_000, 10_000]);
    const kind = this.world.stress.faults === undefined ? random.below(10) : random.pick(this.world.stress.faults);
    this.world.log(() => `fault ${kind} on ${victim.node.id}, ${other}`);
    switch (kind) {
      case 0:
        return this.#kill(victim);
      case 1:
        return application?.process.kill();
      case 2:
        application?.process.pause(false);
        if (random.chance(0.5) && application !== undefined) this.world.after(random.below(2_000), () => this.#kill(application.at));
        return this.world.after(pauseMs, () => application?.process.resume());
      case 3:
      case 4: // the whole machine
        return this.#pause([victim.kernelProcess, victim.process, ...this.#applications.filter((each) => each.at === victim).map((each) => each.process)], true, pauseMs);
      case 5:
        return this.#pause([victim.process], false, pauseMs);
      case 6:
        return this.#network.breakSome(victim.node.id);
      case 7:
        this.#network.cut(victim.node.id, other);
        if (random.chance(0.5)) this.#network.cut(other, victim.node.id);
        return this.world.after(random.between(500, 12_000), () => this.#network.heal());
      case 8:
        for (const id of this.#ids) if (id !== victim.node.id && random.chance(0.8)) this.#network.cut(victim.node.id, id);
        return this.world.after(random.between(500, 12_000), () => this.#network.heal());
      case 9:
        this.#network.delayMs = random.pick([1, 50, 500]);
    }
  }
  #pause(processes: readonly Process[], isMachine: boolean, forMs: number): void {
    for (const process of processes) process.pause(isMachine);
    this.world.after(forMs, () => {
      for (const process of processes) process.resume();
    });
  }
  #stop(process: Process, random: Random): void {
    const site = [...this.#sites.values()].find((each) => each.process === process);
    this.world.log(() => `stopped at a crossing: ${process.name}`);
    if (random.chance(0.2)) {
      if (site === undefined) process.kill();
      else this.#kill(site);
      return;
    }
    // The lock that its application held must not be what keeps the others out.
    if (site !== undefined && random.chance(0.3)) for (const each of this.#applications) if (each.at === site) each.process.kill();
    const daemon = site ?? this.#applications.find((each) => each.process === process)?.at;
    this.#pause(random.chance(0.6) && daemon !== undefined ? [process, daemon.process] : [process], random.chance(0.5), random.pick([30, 1_000, 9_000, 12_000]));
  }
  #kill(site: JoinedNode): void {
    if (this.#isHealing) return;
    site.process.kill();
    this.#restartLater(site, this.world.random.between(50, 8_000));
  }
  #restartLater(site: JoinedNode, delayMs: number): void {
    this.world.after(delayMs, () => {
      if (this.#sites.get(site.node.id) !== site || this.#isHealing) return;
      if (site.process.state !== "dead") return this.#restartLater(site, 100);
      this.#start(site.node.id);
    });
  }

  #heal(): void {
    this.#isHealing = true;
    this.world.log(() => "healing");
    this.world.stress = { ...this.world.stress, queue: stresses.plain!.queue, mountMs: 20 };
    this.#network.calm();
    for (const file of this.#files.values()) file.noRoom = 0;
    for (const kernel of this.#kernels.values()) kernel.resume();
    for (const site of this.#sites.values()) site.process.resume();
    for (const application of this.#applications) application.process.resume();
    this.world.run(this.world.nowMs + 20); // system calls of the killed end
    for (const id of this.#ids) if (this.#sites.get(id)!.node.isDead) this.#start(id);
  }

  /** Seen at a glance: else it is not at rest. */
  get #isQuiet(): boolean {
    return this.#open === 0 && this.#applications.every((each) => !each.process.isAlive || each.isIdle);
  }
  /** What is still not as it ought to be in a healed world. */
  #unrest(): string | undefined {
    const sites = [...this.#sites.values()];
    const reports = sites.map((site) => ({ id: site.node.id, ...site.node.node.describe() }));
    const views = () => reports.map((each) => `${each.id}@${each.incarnation} ${each.state} view ${each.view?.number} under ${each.view?.manager}${each.view?.isInForce ? "" : " (not in force)"}`).join(", ");
    if (reports.some((each) => each.state !== "member" || each.view?.isInForce !== true)) return `not all are members of a view in force: ${views()}`;
    if (reports.some((each) => each.view?.number !== reports[0]?.view?.number || each.view?.members.length !== sites.length)) return `the views differ: ${views()}`;
    if (reports.filter((each) => each.managing !== null).length !== 1) return "not exactly one node manages";
    if (reports.some((each) => each.managing?.isOpen === false)) return `the manager has not opened: ${reports.map((each) => each.managing?.state).join(" ")}`;
    if (new Set(reports.map((each) => each.registry.version)).size !== 1) return `registry versions differ: ${reports.map((each) => each.registry.version).join(" ")}`;
    const unfinished = reports.find((each) => each.unfinished > 0);
    if (unfinished !== undefined) return `${unfinished.id} still waits for the manager`;
    const application = this.#application();
    if (application === undefined) return "no migrator serves";
    // One whose node was excluded learns it at its next call.
    const served = reports[0]?.registry.sessions.find((session) => session.id === application.session);
    if (served?.state !== "active" || served.node !== application.at.node.id) return `session ${application.session} of ${application.process.name} is not there any more`;
    const bare = sites.find((site) => site.reactor === undefined);
    if (bare !== undefined) return `nothing is mounted on ${bare.node.id}`;
    if (this.#open > 0) return `${this.#open} user operations wait: ${this.#checks.cluster.unrest() ?? "for no event"}`;
    const busy = this.#applications.find((each) => each.process.isAlive && !each.isIdle);
    if (busy !== undefined) return `${busy.process.name} is busy`;
    return this.#checks.cluster.unrest();
  }

  // What people and programs do.

  #wish(random: Random): void {
    this.#application()?.wish(random.pick([...this.#files.values()]), random.pick<MoveVerb>(["migrate", "migrate", "migrate", "premigrate", "release", "recall"]));
  }

  *#call(random: Random): Thread {
    const members = this.#members();
    if (members.length === 0) return;
    const { node } = random.pick(members);
    const client = ++this.#clients;
    const checks = this.#checks.cluster;
    const sessions = checks.sessionsThought.filter((id) => !this.#applications.some((each) => each.session === id));
    const session = sessions.length === 0 ? undefined : random.pick(sessions);
    const kind = random.below(10);
    if (kind < 4 || session === undefined) {
      const info = `made by ${client}`;
      const made = yield* node.call("session.create", { info }, client);
      if (made.kind === "ok") checks.created(node, made.result.session, info);
    } else if (kind < 6) {
      yield* node.call("disposition.set", { session, fs: FS, events: random.pick([["create"], ["remove", "rename"], []]) }, client);
    } else if (kind < 7) yield* this.#sendMessage(session, client);
    else if (kind < 8) yield* node.call("manager.move", { to: random.pick(this.#ids) }, client);
    else yield* this.#destroy(session, client);
  }
  #handOver(random: Random): void {
    const members = this.#members();
    const to = random.pick(this.#ids);
    if (members.length > 0) this.#outside.start(random.pick(members).node.call("manager.move", { to }, ++this.#clients));
  }
  /** A session of its own, and a token under which rights may be held. */
  *#newToken({ node }: JoinedNode, client: number): Thread<{ readonly session: SessionId; readonly token: Token } | undefined> {
    const info = `made by ${client}`;
    const made = yield* node.call("session.create", { info }, client);
    if (made.kind !== "ok") return undefined;
    const { session } = made.result;
    this.#checks.cluster.created(node, session, info);
    const user = yield* node.call("userevent.create", { session, data: new Uint8Array(1) }, client);
    return user.kind === "ok" ? { session, token: user.result.token } : undefined;
  }
  *#endToken(site: JoinedNode, own: { readonly session: SessionId; readonly token: Token }, client: number): Thread {
    this.#checks.tokenEnds(site, own.token);
    for (let attempt = 0; attempt < 40; attempt++) {
      const outcome = yield* site.node.call("event.respond", { ...own, response: { kind: "continue" } }, client);
      if (outcome.kind !== "failed" || outcome.failure.code !== "ENOTREADY") return;
      yield* sleep(500);
    }
  }
  /** An application that takes a right on a file for a while, under a session and a token of its own. */
  *#holdRight(random: Random, pauseMs = 0): Thread {
    const members = this.#members();
    if (members.length === 0) return;
    const site = random.pick(members);
    const file = random.pick([...this.#files.values()]);
    const [right, wait, holdMs] = [random.pick(["exclusive", "exclusive", "shared"] as const), random.chance(0.7), random.below(random.pick([50, 500, 4_000]))];
    const client = ++this.#clients;
    const own = yield* this.#newToken(site, client);
    if (own === undefined) return;
    if (pauseMs > 0) yield* sleep(pauseMs);
    const on = { ...own, handle: file.handle };
    const life = lifeName(site.node);
    const got = yield* site.node.call("right.request", { ...on, right, wait }, client);
    if (got.kind === "ok") {
      this.#checks.rightHeld(site, life, file, own.token, right);
      yield* sleep(holdMs);
      if (right === "shared" && random.chance(0.5)) {
        const upgraded = yield* site.node.call("right.upgrade", on, client);
        if (upgraded.kind === "ok") this.#checks.rightHeld(site, life, file, own.token, "exclusive");
        yield* sleep(holdMs / 2);
      }
    }
    yield* this.#endToken(site, own, client);
  }
  /** A node that hears nobody, whose users go on, while applications elsewhere ask for rights. */
  #isolate(random: Random): void {
    if (this.#isolated !== undefined) return;
    const victim = random.pick([...this.#sites.values()]);
    this.#isolated = victim;
    for (let holder = 0; holder < 8; holder++) this.#outside.start(this.#holdRight(this.world.newRandom(), 2_000 + random.below(4_000)));
    this.world.after(2_000, () => {
      this.world.log(() => `${victim.node.id} is isolated`);
      for (const id of this.#ids) {
        if (id === victim.node.id) continue;
        this.#network.cut(victim.node.id, id);
        this.#network.cut(id, victim.node.id);
      }
    });
    for (let atMs = 3_000; atMs < 10_000; atMs += 100) this.world.after(atMs, () => this.#isHealing || this.#startUser(random, victim));
    this.world.after(random.pick([9_000, 15_000]), () => {
      this.#isolated = undefined;
      this.#network.heal();
    });
  }
  *#destroy(session: SessionId, client: number): Thread {
    const entry = this.#members()[0]?.node.node.session(session);
    const host = entry === undefined ? undefined : this.#sites.get(entry.node)?.node;
    if (host === undefined || entry?.info.startsWith(MIGRATOR) === true) return;
    this.#checks.cluster.destroying(session);
    const life = lifeName(host);
    const unanswered = this.#unanswered.get(`${life} ${session}`);
    const outcome = yield* host.call("session.destroy", { session }, client);
    this.#checks.cluster.destroyed(session, outcome);
    if (outcome.kind === "ok") this.world.check(unanswered !== true || lifeName(host) !== life, () => `session ${session} was destroyed on ${life} with a message that nobody has answered`);
  }
  /** From the session's own node; nobody answers it. */
  *#sendMessage(session: SessionId, client: number): Thread {
    const entry = this.#members()[0]?.node.node.session(session);
    const host = entry === undefined ? undefined : this.#sites.get(entry.node)?.node;
    if (host === undefined || host.isDead || entry?.state !== "active") return;
    const key = `${lifeName(host)} ${session}`;
    this.world.after(1_000, () => this.#unanswered.has(key) || this.#unanswered.set(key, true));
    yield* host.call("message.send", { session, isSynchronous: true, data: new Uint8Array(1) }, client);
    this.#unanswered.set(key, false);
  }

  #startUser(random: Random, site = random.pick([...this.#sites.values()])): void {
    const { kernel } = site;
    if (kernel === undefined) return;
    const file = random.pick([...this.#files.values()]);
    const kind = random.below(10);
    if (kind < 4) this.#use(site, readAll(site.kernel!, file));
    else if (kind < 7) this.#use(site, rewrite(kernel, file, random));
    else if (kind < 8) this.#use(site, truncate(kernel, file, random));
    else this.#use(site, map(kernel, file, random));
  }
  #use(site: JoinedNode, work: Thread<string>): void {
    this.#open++;
    site.users++;
    site.kernelProcess.start(this.#counted(site, work));
  }
  *#counted(site: JoinedNode, work: Thread<string>): Thread {
    const how = yield* work;
    this.#checks.count(how);
    this.#open--;
    site.users--;
  }
  /** A user is killed whose operation waits, for an event, a right, a guard or a record. */
  #interrupt(random: Random): void {
    const waiting = [...this.#sites.values()].flatMap((site) => (site.reactor?.interruptible ?? []).map((id) => ({ reactor: site.reactor!, process: site.process, id })));
    if (waiting.length === 0) return;
    const { reactor, process, id } = random.pick(waiting);
    this.world.log(() => `${process.name}: operation ${id} is interrupted`);
    this.#checks.count("interrupted");
    process.after(0, () => reactor.interrupt(id));
  }
}
