import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../base/random.js";
import { Ordered, UseOrder } from "./use-order.js";

class Item extends Ordered<Item> {
  readonly name: number;
  constructor(name: number) {
    super();
    this.name = name;
  }
}

test("an order is a set that puts what is added again at its end", () => {
  const random = new Random(7);
  const items = Array.from({ length: 12 }, (_, name) => new Item(name));
  const [order, other] = [new UseOrder<Item>(), new UseOrder<Item>()];
  const known = new Set<Item>();
  for (let step = 0; step < 4_000; step++) {
    const item = random.pick(items);
    if (random.chance(0.5)) {
      other.delete(item); // it is in none but this one
      order.add(item);
      known.delete(item);
      known.add(item);
    } else {
      order.delete(item);
      known.delete(item);
    }
    assert.deepEqual([...order].map(({ name }) => name), [...known].map(({ name }) => name));
    assert.equal(order.size, known.size);
    assert.equal(order.oldest, known.values().next().value);
    for (const each of items) assert.equal(order.has(each), known.has(each));
  }
  order.clear();
  assert.equal(order.size, 0);
  assert.equal(order.oldest, undefined);
  for (const item of items) other.add(item);
  assert.deepEqual([...other].map(({ name }) => name), items.map(({ name }) => name));
  assert.throws(() => order.add(items[0]!), /one order/u);
});
