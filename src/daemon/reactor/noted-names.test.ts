import assert from "node:assert/strict";
import { test } from "node:test";
import { type NotedName, NotedNames } from "./noted-names.js";

const [top, sub, file] = [1, 2, 3];
const called = ["", "top", "sub", "file"];

function namesAbout(names: NotedNames, object: number): string[] {
  return [...names.about(object)].map(({ directory, name }) => `${called[directory]}/${name}`).sort();
}
const noted = (directory: number, name: string, object?: number, toldMs = 1): NotedName => ({ directory, name, object, toldMs });

test("names are found by their directory and by their object", () => {
  const names = new NotedNames();
  for (const each of [noted(top, "sub", sub), noted(sub, "a", file), noted(top, "b", file), noted(sub, "missing")]) assert(names.note(each));
  assert.deepEqual(namesAbout(names, sub), ["sub/a", "sub/missing", "top/sub"]);
  assert.deepEqual(namesAbout(names, file), ["sub/a", "top/b"]);
  assert(names.has(sub, "missing") && !names.has(sub, "b"));
});

test("one that is told again stays, though the former note is forgotten", () => {
  const names = new NotedNames();
  const former = noted(top, "a", file);
  names.note(former);
  names.note(noted(top, "a", file, 2));
  names.forgotten(former);
  assert.deepEqual(namesAbout(names, file), ["top/a"]);
  // Now of another object, and then of none.
  names.note(noted(top, "a", sub, 3));
  assert.deepEqual([namesAbout(names, file), namesAbout(names, sub)], [[], ["top/a"]]);
  names.note(noted(top, "a", undefined, 4));
  assert.deepEqual([namesAbout(names, sub), namesAbout(names, top)], [[], ["top/a"]]);
});

test("an object that is gone leaves nothing", () => {
  const names = new NotedNames();
  for (const each of [noted(top, "sub", sub), noted(sub, "a", file), noted(sub, "b", file), noted(sub, "missing")]) names.note(each);
  names.gone(file);
  assert.deepEqual(namesAbout(names, sub), ["sub/missing", "top/sub"]);
  names.gone(sub);
  assert(!names.hasAny(sub) && !names.hasAny(top));
});

test("of one directory only so many are noted, but those again", () => {
  const names = new NotedNames();
  for (let i = 0; i < 16_384; i++) assert(names.note(noted(top, `n${i}`)));
  assert(!names.note(noted(top, "one more")));
  assert(names.note(noted(top, "n5", undefined, 2)));
});
