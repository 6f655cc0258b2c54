/**
 * Questions of one member to the others: who is blocked, what became of an event, for people; who waits for which locks
 * (lock-circles.ts). Each answers from what it has in memory; who does not answer in time is named, and nothing waits for
 * it longer.
 *
 * Owns      questions that wait for answers.
 * Not here  the answers themselves (waiters.ts, cluster/trace.ts), how messages travel (cluster/).
 */
import type { NodeAnswer, NodeQuestion } from "../cluster/messages.js";
import type { NodeEffect } from "../cluster/node-contract.js";
import type { NodeId, RequestId } from "../dmapi/ids.js";
import type { Fact } from "./node-driver.js";

const ANSWER_WITHIN_MS = 2_000;

export interface Answered {
  readonly answers: readonly { readonly node: NodeId; readonly answer: NodeAnswer }[];
  readonly silent: readonly NodeId[];
}
interface Open {
  readonly missing: Set<NodeId>;
  readonly answers: { node: NodeId; answer: NodeAnswer }[];
  readonly end: () => void;
}

export class MemberQuestions {
  readonly #give: (fact: Fact) => void;
  readonly #answerOwn: (about: NodeQuestion) => Promise<NodeAnswer>;
  readonly #others: () => readonly NodeId[];
  readonly #open = new Map<number, Open>();
  #last = 0;

  constructor(parts: { give: (fact: Fact) => void; answerOwn: (about: NodeQuestion) => Promise<NodeAnswer>; others: () => readonly NodeId[] }) {
    this.#give = parts.give;
    this.#answerOwn = parts.answerOwn;
    this.#others = parts.others;
  }

  /** The other members' answers, or those of some of them. */
  ask(about: NodeQuestion, others = this.#others()): Promise<Answered> {
    const question = ++this.#last;
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#open.delete(question);
        resolve({ answers: open.answers, silent: [...open.missing] });
      };
      const open: Open = { missing: new Set(others), answers: [], end };
      const timer = setTimeout(end, ANSWER_WITHIN_MS);
      this.#open.set(question, open);
      for (const to of others) this.#give({ kind: "member-asked", to, question, about });
      if (others.length === 0) end();
    });
  }

  heard(effect: Extract<NodeEffect, { kind: "answer-member" | "member-answered" }>): void {
    if (effect.kind === "answer-member") {
      const { to, request } = effect;
      void this.#answerOwn(effect.about).then((answer) => this.#give({ kind: "member-told", to, request: request satisfies RequestId, answer }));
      return;
    }
    const open = this.#open.get(effect.question);
    if (open?.missing.delete(effect.from) !== true) return;
    open.answers.push({ node: effect.from, answer: effect.answer });
    if (open.missing.size === 0) open.end();
  }

  /** Whoever waits gets what is there. */
  close(): void {
    for (const open of [...this.#open.values()]) open.end();
  }
}
