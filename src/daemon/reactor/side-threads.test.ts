import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { SideThreads, SLOW_MS, type SideRequest } from "./side-threads.js";

/** Side threads whose other ends the test holds. */
class Stage {
  nowMs = 0;
  readonly begun: number[] = [];
  readonly answered: unknown[] = [];
  readonly threads: SideThreads;
  readonly #ends: MessagePort[];

  constructor(count: number, ready: number) {
    const channels = Array.from({ length: count }, () => new MessageChannel());
    this.#ends = channels.map(({ port2 }) => port2);
    this.threads = new SideThreads(channels.map(({ port1 }) => port1), (at) => this.begun.push(at), ready, () => this.nowMs);
  }
  ask(name: string): void {
    this.threads.ask({ kind: "call", name, args: [] }, (result) => this.answered.push(result));
  }
  /** What that thread has been sent and not done. */
  take(at: number): string | undefined {
    const request = receiveMessageOnPort(this.#ends[at]!)?.message as SideRequest | undefined;
    if (request?.kind !== "call") return undefined;
    this.#ends[at]!.postMessage({ id: request.id, result: request.name });
    return request.name;
  }
  close(): void {
    for (const end of this.#ends) end.close();
  }
}

test("nothing is put behind a call that is under way; what waits goes to the thread that is free first", () => {
  const stage = new Stage(2, 2);
  for (const name of ["slow", "a", "b", "c"]) stage.ask(name);
  assert.deepEqual(stage.begun, [0, 1]);
  assert.equal(stage.threads.waiting, 4);
  for (const name of ["a", "b", "c"]) {
    assert.equal(stage.take(1), name);
    assert.equal(stage.take(1), undefined, "one at a time");
    stage.threads.receive();
  }
  assert.deepEqual(stage.answered, ["a", "b", "c"]);
  assert.equal(stage.take(0), "slow");
  stage.threads.receive();
  assert.equal(stage.threads.waiting, 0);
  stage.close();
});
test("for each thread at a slow call a spare one serves the others, as long as there are any", () => {
  const stage = new Stage(3, 1);
  stage.ask("slow");
  stage.ask("a");
  assert.deepEqual(stage.begun, [0], "a moment is not slow");
  stage.nowMs += SLOW_MS;
  stage.threads.assign();
  assert.deepEqual(stage.begun, [0, 1]);
  assert.equal(stage.take(1), "a");
  stage.threads.receive();
  stage.ask("slow too");
  stage.nowMs += SLOW_MS;
  stage.ask("slow as well");
  stage.nowMs += SLOW_MS;
  stage.ask("b");
  assert.deepEqual(stage.begun, [0, 1, 2]);
  assert.ok(stage.threads.hasQueue, "no thread is left for it");
  assert.equal(stage.take(2), "slow as well");
  stage.threads.receive();
  assert.equal(stage.take(2), "b");
  stage.close();
});
