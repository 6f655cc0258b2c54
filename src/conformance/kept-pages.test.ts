/**
 * Pages of files that do not pass through stay in the kernel from one open to the next where only one node mounts, and nothing
 * old is read when another one comes, changes something, or goes.
 *
 * What lies on the backing is changed past all mounts, with its time put back: who reads the old bytes then has kept them.
 *
 * Source    safety H7; decision 0010.
 */
import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, statSync, utimesSync, writeFileSync, writeSync } from "node:fs";
import type { FsName } from "../dmapi/ids.js";
import { acceptance, shareBench } from "./bench.js";
import { eventually } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"], mode: "fast", settings: ["fileSystems.passthrough=no"] });
const fs = "fs1" as FsName;
const at = (letter: "A" | "B", name = "file") => bench().path(letter, "fs1", name);

async function mountB(isWanted: boolean): Promise<void> {
  const isMounted = (await bench().status("B")).fileSystems.some((each) => each.isMounted);
  if (isMounted !== isWanted) await bench().call("B", isWanted ? "fs.mount" : "fs.unmount", { fs });
}
/** Can be put back exactly. */
const past = Math.floor(Date.now() / 1000) - 100;
/** What says when the file was written, past all mounts; to the time of access, a while ahead, no read adds anything. */
function setBack(name = "file"): void {
  utimesSync(bench().backing("fs1", name), past + 10_000, past);
}
function changeBeneath(text: string, name: string): void {
  const fd = openSync(bench().backing("fs1", name), "r+");
  writeSync(fd, text, 0);
  closeSync(fd);
  setBack(name);
}
/** From the view in force on that shows nobody else. */
async function untilKept(text: string, name = "file"): Promise<void> {
  await eventually("its pages are kept", async () => {
    setBack(name);
    const before = [read("A", name), read("A", name)];
    changeBeneath("12345", name);
    const kept = read("A", name);
    changeBeneath(text, name);
    return before[1] === text && kept === text;
  });
}
const read = (letter: "A" | "B", name = "file") => readFileSync(at(letter, name), "utf8");

acceptance("a file is read from the pages of an open before, while nobody else mounts", async () => {
  await mountB(false);
  writeFileSync(at("A"), "first");
  await untilKept("first");
  // Its own users' changes are in its own pages.
  writeFileSync(at("A"), "other");
  assert.equal(read("A"), "other");
});

acceptance("what another node writes is read at once, and what was kept before it came is not believed after it has gone", async () => {
  await mountB(false);
  writeFileSync(at("A"), "alone");
  await untilKept("alone");
  await mountB(true);
  for (const text of ["by B1", "by B2", "by B3"]) {
    writeFileSync(at("B"), text);
    setBack(); // neither size nor time tells
    assert.equal(read("A"), text);
  }
  writeFileSync(at("A"), "by A1");
  setBack();
  await mountB(false);
  await untilKept("by A1");
  const held = openSync(at("A"), "r"); // else the kernel forgets the file as soon as it forgets its name
  await mountB(true);
  writeFileSync(at("B"), "by B4");
  setBack();
  await mountB(false);
  writeFileSync(at("A", "another"), "alone");
  await untilKept("alone", "another"); // A is alone again
  assert.equal(read("A"), "by B4");
  closeSync(held);
});

acceptance("a read that moves the time of access does so though its pages are there", async () => {
  await mountB(false);
  writeFileSync(at("A"), "again");
  await untilKept("again");
  const longAgo = Math.floor(Date.now() / 1000) - 3 * 86_400; // read again after a day, a file's time of access moves (relatime)
  setBack();
  assert.equal(read("A"), "again");
  utimesSync(bench().backing("fs1", "file"), longAgo, past);
  assert.equal(read("A"), "again");
  assert(statSync(bench().backing("fs1", "file")).atimeMs > longAgo * 1000);
});
