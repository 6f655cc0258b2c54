/**
 * Scene "data": files that are read, written and mapped on several nodes while a migration application moves them away and
 * back, and nodes, daemons and applications die, freeze and are evicted at any moment.
 *
 * Real are the admission machine, the steps of migrate and recall, and the rules of records; modelled are volume, kernels,
 * reactor and (at its worst) the cluster.
 *
 * A history is 60 seconds of 3 to 7 nodes with 200 programs of users, 40 moves and 5 faults, beside the stops that the
 * stress says; then it heals and comes to rest.
 *
 * Promises checked at every effect and every read:
 * - a reader gets what was true at some time while it read, never the hole;
 * - where the record says resident the bytes are there, else the object it names has them: no write is ever lost;
 * - nobody writes where no guard is held; records only go forward;
 * - after healing everything is served, and every file can be migrated and recalled.
 *
 * Source    safety C1-C6, H3, H13.
 */
import type { Random } from "../base/random.js";
import type { Handle } from "../dmapi/ids.js";
import { ControlModel, DaemonModel } from "./control-model.js";
import { FileModel, StoreModel } from "./file-model.js";
import { KernelModel } from "./kernel-model.js";
import { MoverModel } from "./mover-model.js";
import { ReactorModel } from "./reactor-model.js";
import { stresses } from "./stress.js";
import { map, readAll, rewrite } from "./user-programs.js";
import { Process, type Thread, type World } from "./world.js";

const RUN_MS = 60_000;
const SETTLE_MS = 120_000;
const FILES = 3;
const USERS = 200;
const MOVES = 40;
const FAULTS = 5;

interface Machine {
  readonly name: string;
  readonly kernelProcess: Process;
  kernel: KernelModel;
  daemon: DaemonModel;
  lives: number;
  evictionDue: number;
}

export class DataScene {
  readonly world: World;
  readonly #control: ControlModel;
  readonly #store = new StoreModel();
  readonly #files = new Map<Handle, FileModel>();
  readonly #machines: Machine[] = [];
  readonly #movers: MoverModel[] = [];
  #mover: MoverModel | undefined;
  /** User operations that have not ended. */
  #open = 0;
  readonly counts: Record<string, number> = {};

  constructor(world: World, nodes: number) {
    this.world = world;
    this.#control = new ControlModel(world);
    for (let file = 1; file <= FILES; file++) {
      const handle = `file${file}` as Handle;
      this.#files.set(handle, new FileModel(world, handle, this.#store));
    }
    for (const name of [..."ABCDEFG"].slice(0, nodes)) this.#addMachine(name);
  }

  run(): void {
    const { world } = this;
    const { random } = world;
    this.#startMover(random.pick(this.#machines));
    for (let user = 0; user < USERS * world.stress.users; user++) this.#at("user", random.below(RUN_MS), (own) => this.#startUser(own));
    for (let user = 0; user < world.stress.mappers; user++) this.#at("mapper", random.below(RUN_MS), (own) => this.#startMapper(own));
    for (let move = 0; move < MOVES; move++) this.#at("move", random.below(RUN_MS), (own) => this.#wish(own));
    for (let fault = 0; fault < FAULTS; fault++) this.#at("fault", 1_000 + random.below(RUN_MS - 5_000), (own) => this.#fault(own));
    let crossings = world.stress.stops;
    world.onCrossing = (process, at) => {
      if (crossings === 0 || world.nowMs > RUN_MS || !random.chance(world.stress.stopAt[at] ?? (process.name.includes("mover") ? 0.008 : 0.002))) return;
      crossings--;
      if (!world.takesPart("stop")) return;
      this.#stop(process, random);
    };
    this.#watch();
    world.run(RUN_MS);
    this.#heal();
    this.#settle("after healing");
    for (const verb of ["migrate", "recall"] as const) {
      for (const file of this.#files.values()) this.#mover!.wish(file, verb);
      this.#settle(`after the last ${verb}`);
    }
    for (const machine of this.#machines) for (const file of this.#files.values()) this.#use(machine, readAll(machine.kernel, file));
    this.#settle("after the last reads");
  }

  /** An item with choices of its own: those of the others stay when it is left out. */
  #at(kind: string, atMs: number, run: (own: Random) => void): void {
    const own = this.world.newRandom();
    if (this.world.takesPart(kind)) this.world.after(atMs, () => run(own));
  }
  #settle(when: string): void {
    const { world } = this;
    for (const untilMs = world.nowMs + SETTLE_MS; world.nowMs < untilMs; ) {
      world.run(world.nowMs + 500);
      if (this.#open === 0 && this.#mover!.isIdle) return;
    }
    const reactors = this.#machines.map((machine) => `${machine.name}: ${machine.daemon.reactor.describe() || "nothing"}`);
    world.check(false, () => `${when} ${this.#open} user operations wait, the mover is ${this.#mover!.isIdle ? "idle" : "busy"}; ${reactors.join("; ")}; ${this.#control.describe()}`);
  }

  // Machines.

  #addMachine(name: string): void {
    const kernelProcess = new Process(this.world, `${name}.kernel`);
    const { kernel, daemon } = this.#newDaemon(name, 1, kernelProcess);
    this.#machines.push({ name, kernelProcess, kernel, daemon, lives: 1, evictionDue: 0 });
  }
  #newDaemon(name: string, lives: number, kernelProcess: Process): { kernel: KernelModel; daemon: DaemonModel } {
    const process = new Process(this.world, `${name}.daemon${lives}`);
    const daemon = new DaemonModel(this.#control, process);
    const mayPassThrough = this.world.random.chance(this.world.stress.passthrough);
    const reactor = new ReactorModel({ world: this.world, process, up: daemon, files: this.#files, mayPassThrough });
    const kernel = new KernelModel(this.world, kernelProcess, reactor);
    kernel.forgets = true;
    reactor.kernel = kernel;
    daemon.reactor = reactor;
    process.onEnd(() => {
      kernel.abort();
      this.world.after(5, () => this.#control.evict(daemon));
    });
    this.world.after(20, () => this.#control.join(daemon));
    return { kernel, daemon };
  }
  #restart(machine: Machine): void {
    if (machine.daemon.process.state !== "dead") return;
    machine.kernel.detach();
    Object.assign(machine, this.#newDaemon(machine.name, ++machine.lives, machine.kernelProcess));
  }

  /** Who stands still is evicted after a while, and the session goes to another application. */
  #watch(): void {
    this.world.after(250, () => {
      for (const machine of this.#machines) {
        machine.evictionDue = machine.daemon.process.isRunning ? 0 : machine.evictionDue + 250;
        if (machine.evictionDue >= 1_500) this.#control.evict(machine.daemon);
      }
      const mover = this.#mover;
      const isGone = mover === undefined || !mover.process.isAlive || !mover.daemon.process.isAlive || !mover.daemon.isMember;
      if (isGone) {
        const candidates = this.#machines.filter((machine) => machine.daemon.process.isRunning && machine.daemon.isMember);
        if (candidates.length > 0) this.#startMover(this.world.random.pick(candidates));
      }
      this.#watch();
    });
  }
  #startMover(machine: Machine): void {
    const process = new Process(this.world, `${machine.name}.mover${this.#movers.length + 1}`);
    const mover = new MoverModel({ process, daemon: machine.daemon, control: this.#control, store: this.#store });
    this.world.log(() => `${process.name} begins`);
    this.#mover = mover;
    this.#movers.push(mover);
    this.#control.assume(mover);
    // The session's daemon is dead: its application learns it, and ends.
    machine.daemon.process.onEnd(() => process.after(5, () => process.kill()));
  }

  // What goes wrong.

  #fault(random: Random): void {
    const machine = random.pick(this.#machines);
    const mover = this.#mover!;
    const moversMachine = this.#machines.find((each) => each.daemon === mover.daemon) ?? machine;
    const pauseMs = random.pick([50, 500, 3_000, 10_000]);
    switch (random.below(7)) {
      case 0:
        return this.#kill(machine);
      case 1:
        return this.#kill(moversMachine);
      case 2:
        return mover.process.kill();
      case 3:
        mover.process.pause(false);
        if (random.chance(0.5)) this.world.after(random.below(2_000), () => this.#kill(moversMachine));
        return this.world.after(pauseMs, () => mover.process.resume());
      case 4: // the whole machine
      case 5: {
        const at = random.chance(0.5) ? moversMachine : machine;
        const processes = [at.kernelProcess, at.daemon.process, ...this.#movers.filter((each) => each.daemon === at.daemon).map((each) => each.process)];
        for (const process of processes) process.pause(true);
        return this.world.after(pauseMs, () => {
          for (const process of processes) process.resume();
        });
      }
      case 6: {
        const { process } = random.chance(0.5) ? moversMachine.daemon : machine.daemon;
        process.pause(false);
        return this.world.after(pauseMs, () => process.resume());
      }
    }
  }
  #stop(process: Process, random: Random): void {
    if (random.chance(0.2)) {
      const machine = this.#machines.find((each) => each.daemon.process === process);
      if (machine === undefined) process.kill();
      else this.#kill(machine);
      return;
    }
    process.pause(random.chance(0.5));
    const machine = this.#machines.find((each) => each.daemon.process === process || this.#mover?.daemon === each.daemon);
    if (random.chance(0.6)) machine?.daemon.process.pause(false);
    this.world.after(random.pick([30, 1_000, 4_000, 12_000]), () => {
      process.resume();
      machine?.daemon.process.resume();
    });
  }
  #kill(machine: Machine): void {
    machine.daemon.process.kill();
    this.world.after(this.world.random.between(100, 5_000), () => this.#restart(machine));
  }

  #heal(): void {
    this.world.log(() => "healing");
    this.world.stress = { ...this.world.stress, queue: stresses.plain!.queue }; // what waits behind one slow disk after the other is no hang
    for (const machine of this.#machines) {
      machine.kernelProcess.resume();
      machine.daemon.process.resume();
    }
    for (const mover of this.#movers) mover.process.resume();
    this.world.run(this.world.nowMs + 50);
    for (const machine of this.#machines) this.#restart(machine);
    this.world.run(this.world.nowMs + 3_000);
  }

  // Users and their operators.

  #wish(random: Random): void {
    const mover = this.#mover;
    if (mover?.process.isAlive !== true) return;
    mover.wish(random.pick([...this.#files.values()]), random.pick(["migrate", "migrate", "migrate", "premigrate", "release", "recall"] as const));
  }
  #startUser(random: Random): void {
    const machine = random.pick(this.#machines);
    const file = random.pick([...this.#files.values()]);
    const kind = random.below(10);
    if (kind < 4) this.#use(machine, readAll(machine.kernel, file));
    else if (kind < 7) this.#use(machine, rewrite(machine.kernel, file, random));
    else this.#use(machine, map(machine.kernel, file, random));
  }
  /** Several of them on one mount: while one waits for a page, another touches the next. */
  #startMapper(random: Random): void {
    const machine = random.chance(0.8) ? this.#machines[0]! : random.pick(this.#machines);
    this.#use(machine, map(machine.kernel, this.#files.get("file1" as Handle)!, random, { touches: 150, pauseMs: 60, stores: 0.02 }));
  }
  #use(machine: Machine, work: Thread<string>): void {
    this.#open++;
    machine.kernelProcess.start(this.#counted(work));
  }
  *#counted(work: Thread<string>): Thread {
    const how = yield* work;
    this.counts[how] = (this.counts[how] ?? 0) + 1;
    this.#open--;
  }
}
