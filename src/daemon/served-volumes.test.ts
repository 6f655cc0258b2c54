import assert from "node:assert/strict";
import { test } from "node:test";
import { modeOn } from "./served-volumes.js";

test("mode fast keeps pages only where every write has a time of its own", () => {
  assert.equal(modeOn("fast", { distinctTimes: true }), "fast");
  assert.equal(modeOn("fast", { distinctTimes: false }), "exact");
  assert.equal(modeOn("fast", {}), "exact");
  assert.equal(modeOn("exact", { distinctTimes: true }), "exact");
});
