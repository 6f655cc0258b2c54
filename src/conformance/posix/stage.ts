/**
 * Plays cases: actors of several users on each node, the same steps on the bare file system and on mounts, and what each
 * step gave and did to the tree.
 *
 * Owns      the actors, one process for each user and node, for all cases.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { within } from "../waiting.js";
import type { ActorOrder } from "./actor.js";
import type { Case, Step } from "./case-text.js";

/** What each user is: uid, gid, supplementary groups. */
export const users: Readonly<Record<string, readonly number[]>> = {
  root: [0, 0], under: [0, 0], alice: [3001, 3001, 3500, 3501], bob: [3002, 3002, 3500], carol: [3003, 3003],
};
/** Where a case is played: the directories that hold the cases. */
export interface Place {
  readonly name: string;
  readonly under: string;
  readonly nodes: Readonly<Record<"a" | "b", string>>;
  /** Those on which the tree has to look as on the backing. */
  readonly mounts: readonly string[];
  /** It is looked at after each step; else at the end only: a look has the kernel learn what it did not know. */
  readonly looksOften: boolean;
}
export interface Played {
  readonly step: Step;
  readonly result: string;
  /** What it did to the tree. */
  readonly changes: string;
}

/** The number of read(2). */
const READ = process.arch === "arm64" ? "63" : "0";
/** How long a call that waits is watched. */
const BLOCKED_FOR_MS = 40;
const LOOK_AGAIN_MS = 5;
/** The longest between two ticks of the clock that access times are taken from. */
const TICK_MS = 12;

class Actor {
  readonly name: string;
  readonly child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];
  pending: Promise<string> | undefined;

  constructor(name: string, ids: readonly number[]) {
    this.name = name;
    const program = fileURLToPath(new URL("actor.js", import.meta.url));
    this.child = spawn(process.execPath, [program, ...ids.map(String)], { stdio: ["pipe", "pipe", "inherit"], cwd: "/" });
    this.child.stdin!.on("error", () => {});
    createInterface(this.child.stdout!).on("line", (line) => this.#waiting.shift()?.(JSON.parse(line) as string));
    this.child.on("close", (code, signal) => {
      for (const heard of this.#waiting.splice(0)) heard(`ended: ${signal ?? code}`);
    });
  }
  ask(order: ActorOrder): Promise<string> {
    if (this.isOver) return Promise.resolve("ended");
    const heard = new Promise<string>((resolve) => this.#waiting.push(resolve));
    this.child.stdin!.write(`${JSON.stringify(order)}\n`, "latin1");
    return heard;
  }
  /** Once it has been for a while in a system call that is not the reading of its orders. */
  async isWaiting(): Promise<string> {
    for (let sinceMs: number | undefined; sinceMs === undefined || performance.now() - sinceMs < BLOCKED_FOR_MS; ) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      const [call, first] = readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/syscall`, "latin1").split(" ");
      if (call === "running" || (call === READ && first === "0x0")) sinceMs = undefined;
      else sinceMs ??= performance.now();
    }
    return "ok";
  }
  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
}

export class Stage {
  readonly #actors = new Map<string, Actor>();
  readonly #started: ChildProcess[] = [];
  #cases = 0;

  #actor(user: string, node: string): Actor {
    const name = user === "under" || user === "witness" ? user : `${user}@${node}`;
    let actor = this.#actors.get(name);
    if (actor === undefined || actor.isOver) {
      actor = new Actor(name, users[user] ?? [0, 0]);
      this.#actors.set(name, actor);
      this.#started.push(actor.child);
    }
    return actor;
  }
  close(): void {
    for (const child of this.#started) child.kill("SIGKILL");
  }

  /** Plays it in a new directory of its own. */
  async play(played: Case, place: Place): Promise<Played[]> {
    const scene = new Scene((user, node) => this.#actor(user, node), place, `c${this.#cases++}`);
    return scene.play(played);
  }
  nameOf(pid: number): string {
    return [...this.#actors.values()].find((actor) => actor.child.pid === pid)?.name ?? "nobody";
  }
}

class Scene {
  readonly #find: (user: string, node: string) => Actor;
  readonly #place: Place;
  readonly #directory: string;
  readonly #entered = new Map<string, Actor>();
  /** Where what a name stands for was opened. */
  readonly #opened = new Map<string, "a" | "b">();
  #turn: "a" | "b" = "b";

  constructor(find: (user: string, node: string) => Actor, place: Place, directory: string) {
    this.#find = find;
    this.#place = place;
    this.#directory = directory;
  }

  async play({ steps, title, look }: Case): Promise<Played[]> {
    const { under, mounts } = this.#place;
    const witness = this.#find("witness", "a");
    const directories = [under, ...mounts].map((top) => `${top}/${this.#directory}`);
    const begun = await this.#ask(witness, { call: "begin", args: [look ?? "", ...directories] });
    assert.equal(begun, "ok", `${title}: beginning on ${this.#place.name}`);
    const all: Played[] = [];
    try {
      for (const step of steps) {
        if (look === "access") await new Promise((resolve) => setTimeout(resolve, TICK_MS));
        const result = await this.#step(step);
        // What still runs is looked at with the next step.
        const how = this.#place.looksOften || step === steps.at(-1) ? "mounts" : "backing";
        all.push({ step, result, changes: step.isLeftRunning ? "" : await this.#ask(witness, { call: "look", args: [how] }) });
      }
    } finally {
      for (const actor of this.#entered.values()) {
        if (actor.pending !== undefined) actor.child.kill("SIGKILL");
        else await this.#ask(actor, { call: "leave", args: [] });
      }
    }
    return all;
  }

  async #step(step: Step): Promise<string> {
    const user = step.user;
    const node = this.#nodeOf(step);
    if (step.call === "umask") {
      for (const each of ["a", "b"] as const) if (each !== node) await this.#ask(await this.#enter(user, each), { call: step.call, args: step.args });
    }
    const actor = await this.#enter(user, node);
    switch (step.call) {
      case "wait": {
        const { pending } = actor;
        assert(pending !== undefined, `${actor.name} has begun nothing`);
        actor.pending = undefined;
        return this.#shown(await within(pending, step.text));
      }
      case "blocked": return within(Promise.race([actor.pending!.then((result) => `not blocked: ${result}`), actor.isWaiting()]), step.text);
      case "interrupt":
        actor.child.kill("SIGUSR1");
        return "ok";
      case "die": {
        const over = new Promise((resolve) => actor.child.once("close", resolve));
        actor.child.kill("SIGKILL");
        await within(over, step.text);
        actor.pending = undefined;
        this.#entered.delete(actor.name);
        return "ok";
      }
      default:
    }
    const asked = actor.ask({ call: step.call, args: step.args, ...(step.as === undefined ? {} : { as: step.as }) });
    if (step.as !== undefined) this.#opened.set(step.as, node);
    if (!step.isLeftRunning) return this.#shown(await within(asked, `${actor.name}: ${step.text}`));
    actor.pending = asked;
    return "begun";
  }
  #shown(result: string): string {
    return result.replace(/pid:(-?\d+)/, (_, pid: string) => ([...this.#entered.values()].find((actor) => actor.child.pid === Number(pid))?.name ?? (pid === "-1" ? "an open file" : "nobody known")));
  }
  #nodeOf(step: Step): "a" | "b" {
    if (step.node !== undefined) return step.node;
    for (const arg of step.args) {
      const found = this.#opened.get(/^(?:@|proc:)?([a-z]\w*)/.exec(arg)?.[1] ?? "");
      if (found !== undefined) return found;
    }
    this.#turn = this.#turn === "a" ? "b" : "a";
    return this.#turn;
  }
  async #enter(user: string, node: "a" | "b"): Promise<Actor> {
    const actor = this.#find(user, node);
    if (this.#entered.get(actor.name) === actor) return actor;
    this.#entered.set(actor.name, actor);
    const top = user === "under" ? this.#place.under : this.#place.nodes[node];
    assert.equal(await this.#ask(actor, { call: "enter", args: [`${top}/${this.#directory}`] }), "ok", `${actor.name} enters`);
    return actor;
  }
  #ask(actor: Actor, order: ActorOrder): Promise<string> {
    return within(actor.ask({ call: order.call, args: order.args }), `${actor.name}: ${order.call}`);
  }
}
