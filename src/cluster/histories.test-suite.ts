/**
 * Test support: random histories, one for each seed, and wires on which messages wait as long as a history likes.
 *
 * SLUICE_SEED and SLUICE_SEEDS say from which seed on, and how many; a history that fails says how it is run again.
 *
 * Used only by tests.
 */
import { test } from "node:test";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Random } from "../base/random.js";
import type { NodeId } from "../dmapi/ids.js";

export interface Histories {
  /** Of the test: `import.meta.url`. */
  readonly url: string;
  readonly title: string;
  /** How many, unless the environment says so. */
  readonly count: number;
  readonly run: (seed: number) => void;
  /** After all of them. */
  readonly judge?: (count: number) => void;
}

export function testHistories({ url, title, count: usual, run, judge }: Histories): void {
  const first = Number(process.env["SLUICE_SEED"] ?? 1);
  const count = Number(process.env["SLUICE_SEEDS"] ?? usual);
  test(`${title} (${count} histories)`, () => {
    for (let seed = first; seed < first + count; seed++) {
      try {
        run(seed);
      } catch (cause) {
        const text = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`${text}; again: SLUICE_SEED=${seed} SLUICE_SEEDS=1 node --test ${relative(process.cwd(), fileURLToPath(url))}`, { cause });
      }
    }
    judge?.(count);
  });
}

/** Each way between two nodes is first in, first out; how long a message waits there is nobody's promise. */
export class Wires<Message> {
  readonly #ways = new Map<string, { readonly from: NodeId; readonly to: NodeId; readonly messages: Message[] }>();

  send(from: NodeId, to: NodeId, message: Message): void {
    const key = `${from}>${to}`;
    const way = this.#ways.get(key);
    if (way === undefined) this.#ways.set(key, { from, to, messages: [message] });
    else way.messages.push(message);
  }
  /** What is under way from and to that node is lost. */
  cutOff(node: NodeId): void {
    for (const [key, { from, to }] of this.#ways) if (from === node || to === node) this.#ways.delete(key);
  }
  /** The next to arrive, on any way on which one may. */
  take(random: Random, mayArrive: (from: NodeId, to: NodeId) => boolean): { readonly from: NodeId; readonly to: NodeId; readonly message: Message } | undefined {
    const ready = [...this.#ways.values()].filter(({ from, to, messages }) => messages.length > 0 && mayArrive(from, to));
    if (ready.length === 0) return undefined;
    const { from, to, messages } = random.pick(ready);
    return { from, to, message: messages.shift()! };
  }
  get areEmpty(): boolean {
    return [...this.#ways.values()].every(({ messages }) => messages.length === 0);
  }
}
