/**
 * Scene "lease": the real lease machine on a directory that fails, lies and repeats, under daemons that die, freeze and
 * come back, with the plainest ruler that uses it: a manager admits whom it sees and drops who is dead; the others claim
 * a dead manager.
 *
 * A history is 60 seconds of 3 to 7 nodes with 5 faults; there are no calls in it, but what the rulers ask of their leases.
 *
 * Promises checked from outside:
 * - two nodes never rule at once: when a claim is won, the old manager has died or its own clock says its lease is over
 *   (unless that clock stood still with its machine);
 * - a view number has one content for ever, and each view is made by one who held the claim, or ruled before;
 * - a proof of death is true;
 * - after the world is healed all living nodes come to one view that has exactly them.
 *
 * Source    safety C7, C8.
 */
import type { Random } from "../base/random.js";
import type { CoordinationFact } from "../cluster/coordination-contract.js";
import type { MemberFacts, View } from "../cluster/view-document.js";
import { decodeViewFile, type Life, isSameLife, lifeName } from "../coordination/shared-volume/layout.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import { DirectoryModel } from "./directory-model.js";
import { LeaseDriverModel, leaseTimesIn } from "./lease-driver-model.js";
import { Process, type World } from "./world.js";

const RUN_MS = 60_000;
const SETTLE_MS = 60_000;

class Ruler {
  readonly id: NodeId;
  readonly process: Process;
  readonly driver: LeaseDriverModel;
  readonly #scene: LeaseScene;
  readonly #seen = new Map<string, MemberFacts>();
  readonly #dead = new Set<string>();
  incarnation: Incarnation;
  validUntilMs = 0;
  view: View | undefined;
  #isFirst = true;
  #isPublishing = false;
  #isClaiming = false;
  #hasClaim: Life | undefined;

  constructor(scene: LeaseScene, id: NodeId, incarnation: Incarnation, process: Process) {
    this.#scene = scene;
    this.id = id;
    this.incarnation = incarnation;
    this.process = process;
    const facts = this.#facts();
    this.#seen.set(lifeName(facts), facts);
    const driver = LeaseDriverModel.start({
      process, directory: scene.directory, facts, tell: (fact) => process.after(scene.world.random.below(5), () => this.#told(fact)),
    });
    if (driver === undefined) throw new Error("the scene starts an identity once");
    this.driver = driver;
    this.#reckonLater();
  }

  get life(): Life {
    return { id: this.id, incarnation: this.incarnation };
  }
  /** By its own clock. */
  get isValid(): boolean {
    return this.process.isAlive && this.process.clockMs < this.validUntilMs;
  }
  get rules(): boolean {
    return this.isValid && this.view?.manager === this.id && this.view.members.some((member) => isSameLife(member, this.life));
  }

  #facts(): MemberFacts {
    return { id: this.id, incarnation: this.incarnation, bootId: "boot", address: "a:1", isEligible: true, preference: 0 };
  }

  #reckonLater(): void {
    this.process.after(300 + this.#scene.world.random.below(300), () => {
      this.#reckon();
      this.#reckonLater();
    });
  }

  #told(fact: CoordinationFact): void {
    this.#scene.observe(this, fact);
    switch (fact.kind) {
      case "lease-renewed":
        this.validUntilMs = Math.max(this.validUntilMs, fact.validUntilMs);
        break;
      case "member-seen":
        this.#seen.set(lifeName(fact.member), fact.member);
        break;
      case "member-alive":
        this.#dead.delete(lifeName(fact));
        break;
      case "member-dead":
        this.#dead.add(lifeName(fact));
        if (isSameLife(fact, this.life)) this.#rejoin();
        break;
      case "view-seen":
        this.#isFirst = fact.view === undefined;
        this.view = fact.view;
        this.#hasClaim = undefined;
        if (fact.view !== undefined && !fact.view.members.some((member) => isSameLife(member, this.life))) {
          if (fact.view.members.some((member) => member.id === this.id && member.incarnation >= this.incarnation)) break;
          if (this.#wasMember) this.#rejoin();
        } else if (fact.view !== undefined) this.#wasMember = true;
        break;
      case "view-published":
      case "view-lost":
        this.#isPublishing = false;
        break;
      case "claim-won":
        this.#isClaiming = false;
        if (this.view?.manager === fact.id) this.#hasClaim = { id: fact.id, incarnation: fact.incarnation };
        break;
      case "claim-lost":
        this.#isClaiming = false;
        break;
      case "coordination-failed":
    }
  }
  #wasMember = false;

  #rejoin(): void {
    this.#wasMember = false;
    this.incarnation = (this.incarnation + 1) as Incarnation;
    this.validUntilMs = 0;
    this.#isPublishing = this.#isClaiming = false;
    const facts = this.#facts();
    this.#seen.set(lifeName(facts), facts);
    this.driver.request({ kind: "rejoin", incarnation: this.incarnation });
  }

  #reckon(): void {
    if (!this.isValid || this.#isPublishing || this.#isClaiming) return;
    const { view } = this;
    if (view === undefined) {
      if (this.#isFirst) this.#publish(1, [this.#facts()]);
      return;
    }
    const manager = view.members.find((member) => member.id === view.manager)!;
    if (view.manager === this.id || this.#hasClaim !== undefined) return this.#govern(view);
    if (!this.#dead.has(lifeName(manager))) return;
    this.#isClaiming = true;
    this.driver.request({ kind: "claim", id: manager.id, incarnation: manager.incarnation });
  }

  /** The members to be: whoever was seen and is not dead, one life each, the latest. */
  #govern(view: View): void {
    const latest = new Map<NodeId, MemberFacts>();
    for (const facts of this.#seen.values()) {
      const known = latest.get(facts.id);
      if (!this.#dead.has(lifeName(facts)) && (known === undefined || known.incarnation < facts.incarnation)) latest.set(facts.id, facts);
    }
    latest.set(this.id, this.#facts());
    const members = [...latest.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const isSame = members.length === view.members.length && members.every((member, at) => isSameLife(member, view.members[at]!));
    if (!isSame || view.manager !== this.id) this.#publish(view.number + 1, members);
  }

  #publish(number: number, members: readonly MemberFacts[]): void {
    this.#isPublishing = true;
    const view: View = {
      cluster: "sim", number, manager: this.id, sessionIdLimit: 0, members: members.map((facts, slot) => ({ ...facts, slot, mounted: [] })),
    };
    this.driver.request({ kind: "publish-view", view });
  }
}

export class LeaseScene {
  readonly world: World;
  readonly directory: DirectoryModel;
  readonly #rulers = new Map<NodeId, Ruler>();
  readonly #all: Ruler[] = [];
  readonly #views = new Map<number, string>();
  readonly #lastIncarnation = new Map<NodeId, number>();
  readonly #ids: NodeId[];
  #highest = 0;

  constructor(world: World, nodes: number) {
    this.world = world;
    this.directory = new DirectoryModel(world);
    this.directory.onLink = (path, text) => this.#linked(path, text);
    this.#ids = [..."ABCDEFG"].slice(0, nodes) as NodeId[];
  }

  run(): void {
    const { world } = this;
    const { random } = world;
    for (const id of this.#ids) world.after(random.below(2_000), () => this.#start(id));
    const troubles = this.directory.troubles;
    if (random.chance(0.6)) Object.assign(troubles, { lost: 0.01, ambiguous: 0.03, repeated: 0.03 });
    if (random.chance(0.4)) Object.assign(troubles, { stale: 0.03, staleMs: random.chance(0.5) ? 1_000 : 20_000 });
    for (let fault = 0; fault < 5; fault++) world.after(5_000 + random.below(RUN_MS - 10_000), () => this.#fault(random));
    world.run(RUN_MS);
    Object.assign(troubles, { lost: 0, ambiguous: 0, repeated: 0, stale: 0 });
    for (const ruler of this.#all) ruler.process.resume();
    for (const id of this.#ids) if (!this.#rulers.get(id)!.process.isAlive) this.#start(id);
    // What was believed before may still be acted on; in the end it is at rest and stays so.
    for (let calm = 0; calm < 5 && world.nowMs < RUN_MS + SETTLE_MS; calm = this.#unrest() === undefined ? calm + 1 : 0) world.run(world.nowMs + 1_000);
    const unrest = this.#unrest();
    world.check(unrest === undefined, () => `after healing ${unrest}`);
  }

  #start(id: NodeId): void {
    const incarnation = ((this.#lastIncarnation.get(id) ?? 0) + 1) as Incarnation;
    this.#lastIncarnation.set(id, incarnation + 100); // room for rejoins of this process
    const process = new Process(this.world, `${id}/${incarnation}`);
    const ruler = new Ruler(this, id, incarnation, process);
    this.#rulers.set(id, ruler);
    this.#all.push(ruler);
  }

  #fault(random: Random): void {
    const id = random.pick(this.#ids);
    const ruler = this.#rulers.get(id);
    if (ruler === undefined) return;
    const managed = [...this.#rulers.values()].find((each) => each.rules);
    const victim = random.chance(0.5) && managed !== undefined ? managed : ruler;
    const { process } = victim;
    switch (random.below(3)) {
      case 0:
        process.kill();
        this.#restartLater(victim, random.between(100, 15_000));
        break;
      case 1:
        process.pause(false);
        this.world.after(random.between(50, 20_000), () => process.resume());
        break;
      case 2:
        process.pause(true);
        this.world.after(random.between(50, 20_000), () => process.resume());
    }
  }
  #restartLater(victim: Ruler, delayMs: number): void {
    this.world.after(delayMs, () => {
      if (this.#rulers.get(victim.id) !== victim) return;
      if (victim.process.state !== "dead") return this.#restartLater(victim, 500);
      this.#start(victim.id);
    });
  }

  /** What a node was told, held against the truth. */
  observe(ruler: Ruler, fact: CoordinationFact): void {
    const { world } = this;
    if (fact.kind !== "lease-renewed") world.log(() => `${ruler.process.name}@${ruler.incarnation} told ${JSON.stringify(fact)}`);
    if (fact.kind === "claim-won") {
      const old = this.#all.find((each) => isSameLife(each.life, fact));
      // A clock that stood still with its machine cannot know; what such a node does is refused elsewhere (safety C7, C1).
      const couldKnow = old !== undefined && old.process.state !== "machine-paused" && old.process.lastStopMs < world.nowMs - leaseTimesIn(world).holdMs;
      world.check(!couldKnow || !old.isValid, () => `${ruler.id} won the claim of ${lifeName(old!.life)}, whose lease is still valid by its own clock`);
    }
    if (fact.kind === "member-dead" && fact.isProven) {
      const lives = this.#all.filter((each) => each.id === fact.id && each.process.state !== "dead");
      world.check(!lives.some((each) => isSameLife(each.life, fact)), () => `${lifeName(fact)} was called proven dead and lives`);
    }
    this.#checkOneRuler();
  }

  #checkOneRuler(): void {
    const ruling = this.#all.filter((each) => each.rules && each.view!.number === this.#highest);
    this.world.check(ruling.length <= 1, () => `${ruling.map((each) => lifeName(each.life)).join(" and ")} rule the same view`);
  }

  #linked(path: string, text: string): void {
    const file = decodeViewFile(text);
    const { world } = this;
    world.check(file !== undefined, () => `${path} is not a whole document`);
    const { view } = file!;
    world.log(() => `view ${view.number} by ${file!.nonce}: ${view.members.map(lifeName).join(" ")}`);
    world.check(!this.#views.has(view.number), () => `two views with number ${view.number}`);
    world.check(view.number === this.#highest + 1, () => `view ${view.number} follows ${this.#highest}`);
    this.#views.set(view.number, text);
    this.#highest = view.number;
  }

  /** What is still not as it ought to be in a healed world. */
  #unrest(): string | undefined {
    const alive = [...this.#rulers.values()];
    const describe = () => alive.map((each) => `${lifeName(each.life)}: view ${each.view?.number} under ${each.view?.manager}`).join(", ");
    if (new Set(alive.map((each) => each.view?.number)).size !== 1) return `the nodes go by different views: ${describe()}`;
    const members = alive[0]!.view?.members ?? [];
    const missing = alive.find((each) => !members.some((member) => isSameLife(member, each.life)));
    if (missing !== undefined || members.length !== alive.length) return `the view has ${members.map(lifeName).join(" ")}, alive are ${describe()}`;
    return alive.filter((each) => each.rules).length === 1 ? undefined : `nobody rules: ${describe()}`;
  }
}
