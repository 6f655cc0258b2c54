/**
 * Gives turns to actors: each object's in the order of its plan, objects beside each other, and turns of several actors so
 * that these begin together.
 *
 * Not here  what the turns are (plan.ts), what is done in them (actor.ts).
 */
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Run } from "../torture/run.js";
import { type ObjectPlan, planTurn, type TurnPlan } from "./plan.js";
import type { Seat, TurnAnswer, TurnOrder } from "./turn.js";

/** A loaded machine may take long; what takes longer waits for something that does not come. */
const TURN_MS_MAX = 180_000;
const TRAIL_SHOWN = 60;

class Actor {
  readonly seat: Seat;
  readonly child: ChildProcess;
  #hear: ((answer: TurnAnswer) => void) | undefined;
  /** Those who wait while a turn is under way; urgent ones first. */
  readonly #waiting: (() => void)[] = [];
  #isBusy = false;
  /** Its end needs no explanation. */
  isDismissed = false;

  constructor(run: Run, number: number, seat: Seat, { knowledge, elsewhere }: { knowledge: string; elsewhere: readonly Seat[] }, died: () => void) {
    this.seat = seat;
    this.child = run.spawn([run.program("fsops", "actor.js"), String(number), seat.directory, knowledge, JSON.stringify(elsewhere)], (line) => this.#hear?.(line as unknown as TurnAnswer));
    this.child.on("exit", (code, signal) => {
      if (run.isEnding || this.isDismissed) return;
      run.problems.push(`actor ${number} on ${seat.label} ended: ${code} ${signal}`);
      died();
      this.#hear?.({ kind: "done", turn: -1, counts: {}, problem: `the actor died: ${code} ${signal}` });
    });
  }
  /** The actor is the caller's until `free`. */
  async take(isUrgent: boolean): Promise<void> {
    if (!this.#isBusy) {
      this.#isBusy = true;
      return;
    }
    await new Promise<void>((resolve) => (isUrgent ? this.#waiting.unshift(resolve) : this.#waiting.push(resolve)));
  }
  free(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#isBusy = false;
    else next();
  }
  say(line: string): Promise<TurnAnswer> {
    const answer = new Promise<TurnAnswer>((resolve) => {
      this.#hear = resolve;
    });
    this.child.stdin?.write(`${line}\n`);
    return answer;
  }
}

export class Turns {
  readonly #run: Run;
  readonly #knowledge: string;
  readonly #actors: Actor[];
  #together: Promise<void> = Promise.resolve();
  readonly #next = new Map<string, number>();
  /** Objects with which something was wrong: nobody acts on them any more. */
  readonly #spoilt = new Set<string>();
  /** Objects on which somebody acts at this moment. */
  readonly active = new Set<string>();
  done = 0;
  isOver = false;
  /** Somebody waits for what does not come, or has died: nobody is given a turn any more. */
  #isStuck = false;

  /** @param below where the actors' directory lies beneath the mounts, if it does. */
  constructor(run: Run, knowledge: string, seats: readonly Seat[], below?: Seat) {
    this.#run = run;
    this.#knowledge = knowledge;
    const places = [...(below === undefined ? [] : [below]), ...seats.filter((seat, at) => seats.findIndex(({ directory }) => directory === seat.directory) === at)];
    const elsewhereThan = (seat: Seat) => places.filter(({ directory }) => directory !== seat.directory);
    this.#actors = seats.map((seat, number) => new Actor(run, number, seat, { knowledge, elsewhere: elsewhereThan(seat) }, () => this.#end()));
  }

  /** Turn after turn on that object until the run is over. */
  async keepOn(object: ObjectPlan): Promise<void> {
    mkdirSync(join(this.#knowledge, object.name), { recursive: true });
    while (!this.isOver && !this.#isStopped(object)) {
      const number = this.#next.get(object.name) ?? 0;
      await this.#give(object, planTurn(object, number, this.#actors.length));
      this.#next.set(object.name, number + 1);
    }
  }
  /** Everybody who is named looks at the object as it is at the end. */
  async checkAtEnd(object: ObjectPlan): Promise<void> {
    if (this.#isStopped(object)) return;
    await this.#give(object, this.#lastCheck(object));
  }
  /** The same by an actor beside the mounts, which sees what lies below. */
  async checkBelow(objects: readonly ObjectPlan[], seat: Seat): Promise<void> {
    const below = new Actor(this.#run, this.#actors.length, seat, { knowledge: this.#knowledge, elsewhere: [] }, () => this.#end());
    for (const object of objects) if (!this.#isStopped(object)) await this.#one(below, object, { ...this.#lastCheck(object), actors: [0] });
    below.isDismissed = true;
    below.child.kill("SIGKILL");
  }
  #lastCheck(object: ObjectPlan): TurnPlan {
    const number = (this.#next.get(object.name) ?? 1) - 1; // what it left is what is looked at
    return { ...planTurn(object, number, this.#actors.length), kind: "check", operations: 6, actors: this.#actors.map((_, index) => index) };
  }

  async #give(object: ObjectPlan, plan: TurnPlan): Promise<void> {
    if (plan.actors.length === 1) {
      const actor = this.#actors[plan.actors[0]!]!;
      await actor.take(false);
      this.active.add(object.name);
      if (!this.#isStopped(object)) await this.#one(actor, object, plan);
      this.active.delete(object.name);
      actor.free();
      return;
    }
    // One such turn after the other: two that each had some of the actors would wait for each other.
    const before = this.#together;
    let end = () => {};
    this.#together = new Promise((resolve) => {
      end = resolve;
    });
    await before;
    const actors = plan.actors.map((index) => this.#actors[index]!);
    await Promise.all(actors.map((actor) => actor.take(true)));
    this.active.add(object.name);
    if (!this.#isStopped(object)) {
      await Promise.all(actors.map((actor) => this.#bounded(actor, object, plan, actor.say(this.#order(object, plan, true)))));
      await Promise.all(actors.map(async (actor) => this.#judge(actor, object, plan, await this.#bounded(actor, object, plan, actor.say("go")))));
    }
    this.active.delete(object.name);
    for (const actor of actors) actor.free();
    end();
  }
  #isStopped(object: ObjectPlan): boolean {
    return this.#spoilt.has(object.name) || this.#isStuck || this.#run.isEnding;
  }
  #order(object: ObjectPlan, plan: TurnPlan, isTogether: boolean): string {
    const order: TurnOrder = {
      turn: plan.number, object: object.name, objectKind: object.kind, kind: plan.kind, seed: plan.seed, operations: plan.operations, isTogether, actors: this.#actors.length,
    };
    return JSON.stringify(order);
  }
  async #one(actor: Actor, object: ObjectPlan, plan: TurnPlan): Promise<void> {
    this.#judge(actor, object, plan, await this.#bounded(actor, object, plan, actor.say(this.#order(object, plan, false))));
  }
  async #bounded(actor: Actor, object: ObjectPlan, plan: TurnPlan, answer: Promise<TurnAnswer>): Promise<TurnAnswer> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<TurnAnswer>((resolve) => {
      timer = setTimeout(() => resolve({ kind: "done", turn: plan.number, counts: {}, problem: `no end within ${TURN_MS_MAX / 1000} s` }), TURN_MS_MAX);
    });
    const first = await Promise.race([answer, late]);
    clearTimeout(timer);
    if (first.kind === "done" && first.problem?.startsWith("no end") === true) {
      this.#spoil(actor, object, plan, `${first.problem}; waiters: ${await this.#waiters()}`);
      this.#end();
    }
    return first;
  }
  #end(): void {
    this.isOver = true;
    this.#isStuck = true;
  }
  async #waiters(): Promise<string> {
    const all = await Promise.all(this.#run.nodes.map(async (node) => {
      try {
        return `${node} ${JSON.stringify((await this.#run.cluster.status(node)).waiters)}`;
      } catch (error) {
        return `${node}: ${String(error)}`;
      }
    }));
    return all.join("; ");
  }
  #judge(actor: Actor, object: ObjectPlan, plan: TurnPlan, answer: TurnAnswer): void {
    if (answer.kind !== "done") return;
    this.done++;
    for (const [what, count] of Object.entries(answer.counts)) this.#run.count(`${object.kind}: ${what}`, count);
    if (answer.problem !== undefined && !this.#run.isEnding) this.#spoil(actor, object, plan, answer.problem);
  }
  #spoil(actor: Actor, object: ObjectPlan, plan: TurnPlan, problem: string): void {
    if (this.#spoilt.has(object.name) && problem.startsWith("no end")) return;
    this.#spoilt.add(object.name);
    this.#run.problems.push(`${object.name}, turn ${plan.number} (${plan.kind}) on ${actor.seat.label} at ${new Date().toISOString()}: ${problem}\n${this.#trail(object)}`);
  }
  #trail(object: ObjectPlan): string {
    const path = join(this.#knowledge, object.name, "trail");
    if (!existsSync(path)) return "";
    return readFileSync(path, "utf8").trimEnd().split("\n").slice(-TRAIL_SHOWN).map((line) => `    ${line}`).join("\n");
  }
}
