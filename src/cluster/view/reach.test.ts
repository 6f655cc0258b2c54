/** What is kept in order of hearing says the same as a look through all peers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../base/random.js";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import { Reach } from "./reach.js";

const GRACE_MS = 20;
const SILENCE_MS = 50;

test("who is reached, and when the next ceases to be, is what a look through all peers tells", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed);
    const reach = new Reach({ linkGraceMs: GRACE_MS, linkTimeoutMs: SILENCE_MS });
    const peers = new Map<NodeId, { incarnation: number; isUp: boolean; downMs: number; heardMs: number }>();
    let nowMs = 0;
    for (let at = 0; at < 300; at++) {
      nowMs += random.below(12);
      const id = `n${random.below(8)}` as NodeId;
      const incarnation = (random.chance(0.1) ? 1 + random.below(4) : (peers.get(id)?.incarnation ?? 1)) as Incarnation;
      const what = random.below(12);
      const begun = (isUp: boolean) => {
        const known = peers.get(id);
        if (known !== undefined && known.incarnation >= incarnation) return known;
        const peer = { incarnation, isUp, downMs: 0, heardMs: -Infinity };
        peers.set(id, peer);
        return peer;
      };
      if (what < 6) {
        reach.heard(id, incarnation, nowMs);
        const peer = begun(peers.get(id)?.isUp ?? true);
        if (peer.incarnation === incarnation) peer.heardMs = nowMs;
      } else if (what < 8) {
        reach.linkUp(id, incarnation);
        begun(true).isUp = true;
      } else if (what < 10) {
        reach.linkDown(id, nowMs);
        const peer = peers.get(id);
        if (peer?.isUp === true) Object.assign(peer, { isUp: false, downMs: nowMs });
      } else if (what === 10) {
        reach.ended(id, incarnation);
        const peer = peers.get(id);
        if (peer !== undefined && peer.incarnation < incarnation) peer.heardMs = -Infinity;
      } else {
        const pauseMs = random.below(30);
        reach.forgive(pauseMs);
        nowMs += pauseMs;
        for (const peer of peers.values()) Object.assign(peer, { downMs: peer.downMs + pauseMs, heardMs: peer.heardMs + pauseMs });
      }
      const untilMs = [...peers].map(([name, peer]) => [name, Math.min(peer.heardMs + SILENCE_MS, peer.isUp ? Infinity : peer.downMs + GRACE_MS)] as const).filter(([, each]) => each > nowMs);
      assert.deepEqual(reach.reached(nowMs), untilMs.map(([name]) => name).sort(), `seed ${seed}, step ${at}`);
      assert.equal(reach.deadlineMs(nowMs), Math.min(...untilMs.map(([, each]) => each)), `seed ${seed}, step ${at}`);
    }
  }
});
