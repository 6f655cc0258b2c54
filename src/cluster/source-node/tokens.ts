/**
 * Tokens: slot of this node in the view, then a counter. Unique among those alive in the cluster.
 *
 * A new incarnation begins elsewhere in its counter's circle, so that a token of the old one, which may still be
 * outstanding at a session, is not given out again soon.
 *
 * Source    XDSM C429 tokens; dmapi/ids.ts: positive, below 2^31.
 */
import type { Incarnation, NodeId, Token } from "../../dmapi/ids.js";
import { hashOf } from "../rights/rendezvous.js";

const COUNTER_BITS = 21;
const COUNTERS = 2 ** COUNTER_BITS;

export class TokenMaker {
  #slot = 0;
  #counter = 0;

  begin(life: { node: NodeId; incarnation: Incarnation; slot: number }): void {
    this.#slot = life.slot;
    this.#counter = hashOf(`${life.node}/${life.incarnation}`) % COUNTERS;
  }

  next(isAlive: (token: Token) => boolean): Token {
    for (;;) {
      this.#counter = (this.#counter + 1) % COUNTERS;
      const token = (this.#slot * COUNTERS + this.#counter) as Token;
      if (token !== 0 && !isAlive(token)) return token;
    }
  }
}
