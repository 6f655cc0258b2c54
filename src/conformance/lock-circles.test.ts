/**
 * Programs of different nodes that wait in a circle for each other's locks of ranges: one of them is told EDEADLK, as on one
 * machine; whoever waits for somebody who will go on is told nothing.
 *
 * Source    safety H9; fcntl(2), F_SETLKW.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { acceptance, type Conversation, type Letter, shareBench } from "./bench.js";
import { eventually, within } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"] });
const here = dirname(fileURLToPath(import.meta.url));
const REFUSED = "locks refused for a circle over nodes";

type Kind = "lock" | "lockOfOpen";
class User {
  readonly #conversation: Conversation;
  readonly letter: Letter;
  /** How its last call that waits ended. */
  ended: string | undefined;

  constructor(letter: Letter) {
    this.letter = letter;
    this.#conversation = bench().conversation(process.execPath, [join(here, "survivor.js"), bench().path(letter, "fs1")]);
  }
  async #ask(call: string, ...args: unknown[]): Promise<string> {
    const line = await this.#conversation.ask(JSON.stringify([call, ...args]));
    assert(line !== undefined, `${call}: the program has ended`);
    return (JSON.parse(line) as { error?: string }).error ?? "ok";
  }
  async does(call: string, ...args: unknown[]): Promise<void> {
    assert.equal(await within(this.#ask(call, ...args), call), "ok", `${call} ${args.join(" ")}`);
  }
  /** One byte of the file, which it has open by the same name. */
  has(file: string, at: number, kind: Kind = "lock"): Promise<void> {
    return this.does(kind, file, "write", at, 1);
  }
  /** Returns when it waits, or when it need not. */
  async wants(file: string, at: number, kind: Kind = "lock"): Promise<void> {
    this.ended = undefined;
    void this.#ask(`${kind}Waiting`, file, "write", at, 1).then((how) => {
      this.ended = how;
    }, () => {
      this.ended = "the program has ended";
    });
    await eventually("it waits", async () => this.ended !== undefined || (await bench().status(this.letter)).waiters.some(({ pid, call }) => pid === this.#conversation.child.pid && call === "setlkw"));
  }
  kill(): void {
    this.#conversation.child.kill("SIGKILL");
  }
  async end(): Promise<void> {
    this.#conversation.child.stdin!.end();
    await within(this.#conversation.end, "the program ends");
  }
}
async function usersAt(file: string, ...letters: Letter[]): Promise<User[]> {
  const users = letters.map((letter) => new User(letter));
  for (const user of users) await user.does("open", file, file, "a+");
  return users;
}
async function refusals(): Promise<number> {
  const all = await Promise.all(bench().letters.map(async (letter) => (await bench().status(letter)).counters[REFUSED] ?? 0));
  return all.reduce((sum, each) => sum + each, 0);
}
/** Each has the byte of its own number and wants that of the next. When the refused one lets go, all the others go on. */
async function inACircle(file: string, ...letters: Letter[]): Promise<void> {
  const before = await refusals();
  const users = await usersAt(file, ...letters);
  for (const [at, user] of users.entries()) await user.has(file, at);
  for (const [at, user] of users.entries()) await user.wants(file, (at + 1) % users.length);
  await eventually("one is refused", () => users.some(({ ended }) => ended !== undefined));
  const refused = users.filter(({ ended }) => ended !== undefined);
  assert.deepEqual(refused.map(({ ended }) => ended), ["EDEADLK"]);
  let last = users.indexOf(refused[0]!);
  await refused[0]!.does("close", file);
  for (let more = 1; more < users.length; more++) {
    last = (last + users.length - 1) % users.length;
    await eventually(`user ${last} has what it wanted`, () => users[last]!.ended !== undefined);
    assert.equal(users[last]!.ended, "ok", "only one is refused");
    await users[last]!.does("close", file);
  }
  assert.equal(await refusals(), before + 1);
  for (const user of users) await user.end();
}

acceptance("two of two nodes, three of three nodes and four of two nodes wait in a circle: one is refused, the others go on", async () => {
  await inACircle("two", "A", "B");
  await inACircle("two again", "B", "A");
  await inACircle("three", "A", "B", "C");
  await inACircle("four", "A", "B", "A", "B");
});

acceptance("over two files", async () => {
  const [a, b] = (await usersAt("f", "A", "C")) as [User, User];
  for (const user of [a, b]) await user.does("open", "g", "g", "a+");
  await a.has("f", 0);
  await b.has("g", 0);
  await a.wants("g", 0);
  await b.wants("f", 0);
  await eventually("one is refused", () => (a.ended ?? b.ended) === "EDEADLK");
  const [refused, other] = a.ended === undefined ? [b, a] : [a, b];
  assert.equal(other.ended, undefined);
  await refused.does("close", refused === a ? "f" : "g");
  await eventually("the other one goes on", () => other.ended === "ok");
  await a.end();
  await b.end();
});

acceptance("who waits in no circle, and open files that wait in one, go on waiting while others are found in one", async () => {
  const [first, second, third] = (await usersAt("chain", "A", "B", "C")) as [User, User, User];
  for (const [at, user] of [first, second, third].entries()) await user.has("chain", at);
  await second.wants("chain", 0);
  await third.wants("chain", 1);
  const here = await usersAt("open", "A", "A");
  const apart = await usersAt("open", "A", "B");
  for (const [group, [a, b]] of ([here, apart] as [User, User][]).entries()) {
    await a.has("open", 10 * group, "lockOfOpen");
    await b.has("open", 10 * group + 1, "lockOfOpen");
    await a.wants("open", 10 * group + 1, "lockOfOpen");
    await b.wants("open", 10 * group, "lockOfOpen");
  }
  await inACircle("others", "B", "A");
  await inACircle("others", "C", "A");
  await inACircle("others", "B", "C");
  for (const user of [second, third, ...here, ...apart]) assert.equal(user.ended, undefined, "it waits yet");
  await first.does("close", "chain");
  await eventually("the second has it", () => second.ended === "ok");
  await second.does("close", "chain");
  await eventually("the third has it", () => third.ended === "ok");
  for (const user of [first, second, third]) await user.end();
  for (const user of [...here, ...apart]) user.kill();
});
