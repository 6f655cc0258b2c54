/** Streams between incarnations: safety C9 (nothing lost, doubled or reordered) and C7 (frames of other views). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.js";
import type { Incarnation, NodeId, SessionId } from "../dmapi/ids.js";
import type { Frame, Message } from "./messages.js";
import { PeerStream, type StreamEffect, type StreamInput } from "./stream.js";
import { Streams, type StreamsEffect } from "./streams.js";
import type { Member, View } from "./view-document.js";

type Input = StreamInput extends infer I ? (I extends unknown ? Omit<I, "atMs"> : never) : never;

/** Two ends and what lies on the wire between them. */
class Pair {
  readonly ends = ["A", "B"].map((id) => new PeerStream({ id: id as NodeId, incarnation: 1 as Incarnation, peerIncarnation: 1 as Incarnation, view: 1 }));
  readonly wire: Frame[][] = [[], []];
  readonly got: number[][] = [[], []];
  nowMs = 0;
  step(end: number, input: Input): void {
    this.take(end, this.ends[end]!.step({ ...input, atMs: this.nowMs }));
  }
  take(end: number, effects: readonly StreamEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === "transmit") this.wire[end]!.push(effect.frame);
      else this.got[end]!.push(numberOf(effect.message));
    }
  }
  /** Lets the oldest frame of `end` arrive. */
  arrive(end: number): void {
    const frame = this.wire[end]!.shift();
    if (frame !== undefined) this.step(1 - end, { kind: "frame-received", frame });
  }
  adopt(end: number, number: number): void {
    this.step(end, { kind: "view-adopted", number, isMember: true });
  }
}
function message(number: number): Message {
  return { kind: "closing-check", session: number as SessionId };
}
function numberOf(body: Message): number {
  return body.kind === "closing-check" ? body.session : -1;
}

test("a frame of an older view is refused, and comes again once its sender has adopted the newer one", () => {
  const pair = new Pair();
  pair.step(0, { kind: "link-up" });
  pair.step(1, { kind: "link-up" });
  pair.adopt(1, 2);
  pair.step(0, { kind: "send", message: message(7) });
  pair.arrive(0);
  assert.deepEqual(pair.got[1], []);
  pair.nowMs = 10;
  pair.step(1, { kind: "time-passed" });
  assert.deepEqual([pair.wire[1]![0]?.view, pair.wire[1]![0]?.acknowledged], [2, 0], "the sender learns our number, and that nothing was taken");
  pair.adopt(0, 2);
  pair.arrive(0);
  assert.deepEqual(pair.got[1], [7]);
});

test("a frame of a newer view is kept until it is adopted, then delivered in order", () => {
  const pair = new Pair();
  pair.step(0, { kind: "link-up" });
  pair.step(1, { kind: "link-up" });
  pair.adopt(0, 2);
  pair.step(0, { kind: "send", message: message(1) });
  pair.step(0, { kind: "send", message: message(2) });
  pair.arrive(0);
  pair.arrive(0);
  assert.deepEqual(pair.got[1], []);
  pair.adopt(1, 2);
  assert.deepEqual(pair.got[1], [1, 2]);
});

test("while the lease is over nothing leaves; it is sent when the lease is good again", () => {
  const pair = new Pair();
  pair.step(0, { kind: "link-up" });
  pair.step(0, { kind: "closed" });
  pair.step(0, { kind: "send", message: message(1) });
  assert.equal(pair.wire[0]!.length, 0);
  pair.step(0, { kind: "opened" });
  assert.equal(pair.wire[0]!.length, 1);
});

test("many messages are acknowledged by few frames", () => {
  const pair = new Pair();
  pair.step(0, { kind: "link-up" });
  pair.step(1, { kind: "link-up" });
  for (let number = 0; number < 100; number++) pair.step(0, { kind: "send", message: message(number) });
  while (pair.wire[0]!.length > 0) pair.arrive(0);
  assert.equal(pair.wire[1]!.length, 3);
});

test("over links that break, lose, double and change views everything arrives once and in order", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed);
    const pair = new Pair();
    const sent = [0, 0];
    const views = [1, 1];
    for (let step = 0; step < 300; step++) {
      const end = random.below(2);
      pair.nowMs += random.below(400);
      switch (random.below(8)) {
        case 0:
          pair.step(end, { kind: "link-down" });
          pair.wire[end]!.splice(random.below(pair.wire[end]!.length + 1));
          break;
        case 1:
          pair.step(end, { kind: "link-up" });
          break;
        case 2:
          views[end]! += 1;
          pair.adopt(end, views[end]!);
          break;
        case 3:
          pair.step(end, { kind: "time-passed" });
          break;
        case 4:
          if (pair.wire[end]![0] !== undefined) pair.step(1 - end, { kind: "frame-received", frame: pair.wire[end]![0] });
          break;
        case 5:
          pair.step(end, { kind: "send", message: message(sent[end]!++) });
          break;
        default:
          pair.arrive(end);
      }
    }
    for (const end of [0, 1]) {
      pair.adopt(end, 1_000);
      pair.step(end, { kind: "link-up" });
    }
    for (let round = 0; round < 400; round++) {
      pair.nowMs += 500;
      for (const end of [0, 1]) {
        pair.step(end, { kind: "time-passed" });
        while (pair.wire[end]!.length > 0) pair.arrive(end);
      }
    }
    for (const end of [0, 1]) assert.deepEqual(pair.got[1 - end], [...Array(sent[end]!).keys()], `seed ${seed}`);
    assert.deepEqual(pair.ends.map((end) => end.unacknowledgedCount), [0, 0], `seed ${seed}`);
  }
});

test("a new incarnation of a peer ends its stream; what its former life says is not heard", () => {
  const member = (id: string, incarnation: number): Member => ({
    id: id as NodeId, incarnation: incarnation as Incarnation, bootId: "", address: "", isEligible: true, preference: 0, slot: 0, mounted: [],
  });
  const view = (number: number, incarnation: number): View => ({ cluster: "c", number, manager: "A" as NodeId, members: [member("A", 1), member("B", incarnation)], sessionIdLimit: 0 });
  const [a, b] = ["A", "B"] as NodeId[];
  const streams = new Streams(a!, 1 as Incarnation);
  streams.setClosed(false, 0);
  streams.adopt(view(1, 1), 0);
  streams.linkUp(b!, 1 as Incarnation, 0);
  assert.equal(streams.send(b!, message(1), 0).length, 1);
  streams.linkUp(b!, 2 as Incarnation, 1);
  assert.deepEqual(streams.send(b!, message(2), 1), [], "the member of the view is dead");
  const old: Frame = { from: b!, fromIncarnation: 1 as Incarnation, toIncarnation: 1 as Incarnation, view: 1, sequence: 1, body: message(3), acknowledged: 0 };
  assert.deepEqual(streams.receive(old, 2), []);
  const kinds = (effects: readonly StreamsEffect[]): string[] => effects.map((effect) => effect.kind);
  streams.adopt(view(2, 2), 3);
  assert.deepEqual(kinds(streams.send(b!, message(4), 3)), ["transmit"]);
  const fresh = { ...old, fromIncarnation: 2 as Incarnation, view: 2 };
  assert.deepEqual(kinds(streams.receive(fresh, 4)), ["heard", "deliver"]);
});
