/**
 * Tokens answered of late, so that a second answer is told apart from one to a token that never was; and answers that
 * have just left, so that what one carried can be queued again. Bounded: the oldest goes first.
 *
 * Something is put in with every event and hardly ever looked for: a ring, which a look walks through.
 */
import type { Token } from "../../dmapi/ids.js";

const REMEMBERED = 4_096;

/** The last `countMax` entries put in. */
export class RecentMap<K, V> {
  readonly #countMax: number;
  readonly #keys: (K | undefined)[] = [];
  readonly #values: (V | undefined)[] = [];
  #next = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }
  set(key: K, value: V): void {
    this.#keys[this.#next] = key;
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % this.#countMax;
  }
  get(key: K): V | undefined {
    const at = this.#placeOf(key);
    return at < 0 ? undefined : this.#values[at];
  }
  has(key: K): boolean {
    return this.#placeOf(key) >= 0;
  }
  delete(key: K): void {
    for (let at = this.#placeOf(key); at >= 0; at = this.#placeOf(key)) {
      this.#keys[at] = undefined;
      this.#values[at] = undefined;
    }
  }
  clear(): void {
    this.#keys.length = 0;
    this.#values.length = 0;
    this.#next = 0;
  }

  /** Of the latest entry with that key; -1 without one. */
  #placeOf(key: K): number {
    const count = this.#keys.length;
    for (let back = 1; back <= count; back++) {
      const at = (this.#next - back + count) % count;
      if (this.#keys[at] === key) return at;
    }
    return -1;
  }
}

export class RecentTokens {
  readonly #tokens = new RecentMap<Token, true>(REMEMBERED);

  add(token: Token): void {
    this.#tokens.set(token, true);
  }
  has(token: Token): boolean {
    return this.#tokens.has(token);
  }
  clear(): void {
    this.#tokens.clear();
  }
}
