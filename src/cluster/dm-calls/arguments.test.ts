/** Arguments from strangers: what is not as promised is named, before any machine sees it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkCall, type HandledCall, isHandled } from "./arguments.js";

const bytes = new Uint8Array([1]);
const handle = "00000000000000f501000000000000015ea15ea15ea15ea1";
const cases: readonly (readonly [HandledCall, unknown, string | undefined])[] = [
  ["session.create", { info: "mover" }, undefined],
  ["session.create", { info: "mover", group: "hsm" }, undefined],
  ["session.create", { info: "mover", group: "../hsm" }, "group"],
  ["session.create", { info: 7 }, "info"],
  ["session.create", null, "named"],
  ["session.create", ["mover"], "named"],
  ["session.destroy", { session: 0 }, "session"],
  ["session.destroy", { session: 2 ** 31 }, "session"],
  ["session.destroy", { session: 1.5 }, "session"],
  ["disposition.set", { fs: "fs1", session: 1, events: ["read", "write"] }, undefined],
  ["disposition.set", { fs: "fs1", session: 1, events: ["reed"] }, "events"],
  ["disposition.set", { fs: "fs1", session: 1, events: ["toString"] }, "events"],
  ["event.respond", { session: 1, token: 5, response: { kind: "continue" } }, undefined],
  ["event.respond", { session: 1, token: 5, response: { kind: "abort", code: "EACCES" } }, undefined],
  ["event.respond", { session: 1, token: 5, response: { kind: "abort" } }, "response"],
  ["event.respond", { session: 1, token: 5, response: { kind: "abort", code: "ENOTREADY" } }, "response"],
  ["event.respond", { session: 1, token: 5, response: { kind: "maybe" } }, "response"],
  ["event.respond", { session: 1, token: 5, response: { kind: "continue" }, data: "text" }, "data"],
  ["right.request", { session: 1, handle, token: 5, right: "null", wait: true }, "right"],
  ["right.request", { session: 1, handle, right: "shared", wait: true }, "token"],
  ["region.set", { session: 1, handle, regions: [{ offset: 0, size: 0, flags: 7 }] }, undefined],
  ["region.set", { session: 1, handle, regions: [{ offset: -1, size: 0, flags: 1 }] }, "regions"],
  ["region.set", { session: 1, handle, regions: [{ offset: 0, size: 0, flags: 8 }] }, "regions"],
  ["region.set", { session: 1, handle, regions: Array(5000).fill({ offset: 0, size: 0, flags: 1 }) }, "regions"],
  ["attribute.set", { session: 1, handle, name: "00112233445566", value: bytes }, "name"],
  ["attribute.set", { session: 1, handle, name: "0011223344556677", value: bytes }, undefined],
  ["record.change", { session: 1, handle, change: { residency: "partial", regions: [], attributes: { "0011223344556677": null }, virtual: "drop" } }, undefined],
  ["record.change", { session: 1, handle, change: { residency: "gone" } }, "change"],
  ["record.change", { session: 1, handle, change: {}, expect: { size: 1, mtimeNs: 5n } }, undefined],
  ["record.change", { session: 1, handle, change: {}, expect: { size: 1 } }, "expect"],
  ["invisible.open", { session: 1, handle, mode: "write" }, "mode"],
];

test("arguments are as promised, or the field that is not is named", () => {
  for (const [name, args, wrong] of cases) {
    const checked = checkCall(name, args);
    if (wrong === undefined) assert.ok(!("wrong" in checked), `${name} ${JSON.stringify(args, (_, value) => String(value))}: ${JSON.stringify(checked, (_, value) => String(value))}`);
    else assert.ok("wrong" in checked && checked.wrong.includes(wrong), `${name} should name ${wrong}`);
  }
});

test("calls of the other half are not taken for ours", () => {
  assert.ok(!isHandled("node.status"));
  assert.ok(!isHandled("manager.move"));
  assert.ok(isHandled("event.get"));
});
