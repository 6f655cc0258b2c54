/**
 * Tokens answered of late, so that a second answer is told apart from one to a token that never was; and answers that
 * have just left, so that what one carried can be queued again. Bounded: the oldest goes first.
 *
 * A ring names the oldest: to ask a Set or Map for its first key costs a walk over every key deleted before it.
 */
import type { Token } from "../../dmapi/ids.js";

const REMEMBERED = 4_096;

/** The last `countMax` entries put in. */
export class RecentMap<K, V> {
  readonly #countMax: number;
  readonly #entries = new Map<K, { readonly value: V; readonly place: number }>();
  readonly #ring: K[] = [];
  #next = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }
  set(key: K, value: V): void {
    const place = this.#next;
    const oldest = this.#ring[place];
    if (oldest !== undefined && this.#entries.get(oldest)?.place === place) this.#entries.delete(oldest);
    this.#ring[place] = key;
    this.#entries.set(key, { value, place });
    this.#next = (place + 1) % this.#countMax;
  }
  get(key: K): V | undefined {
    return this.#entries.get(key)?.value;
  }
  has(key: K): boolean {
    return this.#entries.has(key);
  }
  delete(key: K): void {
    this.#entries.delete(key);
  }
  clear(): void {
    this.#entries.clear();
    this.#ring.length = 0;
    this.#next = 0;
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
