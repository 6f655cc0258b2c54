/**
 * Things in the order in which they were put there, the oldest first; each in one order at most. The links lie in the things
 * themselves: what changes places with each request costs no look-up.
 */
import { assert } from "../../base/assert.js";

export class Ordered<T extends Ordered<T>> {
  order: UseOrder<T> | undefined = undefined;
  older: T | undefined = undefined;
  newer: T | undefined = undefined;
}

export class UseOrder<T extends Ordered<T>> implements Iterable<T> {
  #oldest: T | undefined = undefined;
  #newest: T | undefined = undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }
  get oldest(): T | undefined {
    return this.#oldest;
  }
  has(item: T): boolean {
    return item.order === this;
  }
  /** As the newest, also where it is in this order already. */
  add(item: T): void {
    if (item.order === this) {
      if (this.#newest === item) return;
      this.delete(item);
    }
    assert(item.order === undefined, "in one order at a time");
    item.order = this;
    item.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = item;
    else this.#newest.newer = item;
    this.#newest = item;
    this.#size++;
  }
  delete(item: T): void {
    if (item.order !== this) return;
    const { older, newer } = item;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    item.order = item.older = item.newer = undefined;
    this.#size--;
  }
  clear(): void {
    while (this.#oldest !== undefined) this.delete(this.#oldest);
  }
  /** Those that are there now; what is added or taken out meanwhile does not matter. */
  *[Symbol.iterator](): IterableIterator<T> {
    const all: T[] = [];
    for (let item = this.#oldest; item !== undefined; item = item.newer) all.push(item);
    yield* all;
  }
}
