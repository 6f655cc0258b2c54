import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK_BYTES_MAX, BlockArena } from "./block-arena.js";
import { Random } from "./random.js";

test("blocks do not overlap, and what is given back is used again", () => {
  const random = new Random(7);
  const arena = new BlockArena();
  const held = new Map<number, { size: number; mark: number }>();
  const fill = (block: number, size: number, mark: number) => {
    for (let at = 0; at < size; at++) arena.chunkOf(block).setUint8(arena.placeOf(block) + at, mark);
  };
  for (let step = 0; step < 20_000; step++) {
    if (held.size < 500 || random.chance(0.5)) {
      const size = random.chance(0.01) ? BLOCK_BYTES_MAX : random.below(200);
      const block = arena.take(size);
      assert(block > 0 && !held.has(block));
      held.set(block, { size, mark: step & 0xff });
      fill(block, size, step & 0xff);
    } else {
      const block = [...held.keys()][random.below(20)]!;
      const { size, mark } = held.get(block)!;
      for (let at = 0; at < size; at++) assert.equal(arena.chunkOf(block).getUint8(arena.placeOf(block) + at), mark);
      held.delete(block);
      arena.give(block, size);
    }
  }
  const { bytes } = arena;
  for (const [block, { size }] of held) arena.give(block, size);
  for (const { size } of held.values()) arena.take(size);
  assert.equal(arena.bytes, bytes);
});
