/**
 * Pages of files that do not pass through stay in the kernel from one open to the next where only one node mounts, or all who do
 * have permitted it, and nothing old is read when another one comes, changes something, or goes.
 *
 * What lies on the backing is changed past all mounts, with its time put back: who reads the old bytes then has kept them.
 *
 * Source    safety H7; decisions 0010 and 0012.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, statSync, utimesSync, writeFileSync, writeSync } from "node:fs";
import type { FsName } from "../dmapi/ids.js";
import { mapFile } from "../os/memory.js";
import { acceptance, shareBench } from "./bench.js";
import { eventually } from "./waiting.js";

const one = Buffer.alloc(1);
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
/** From the view in force on that shows nobody else, or after some looks that another node permits. What lies there is then what is read. */
async function untilKept(name = "file"): Promise<void> {
  let turn = 10_000;
  await eventually("its pages are kept", async () => {
    setBack(name);
    const before = read("A", name);
    changeBeneath(String(turn++), name);
    const isKept = read("A", name) === before;
    changeBeneath(before, name);
    return isKept;
  });
}
const read = (letter: "A" | "B", name = "file") => readFileSync(at(letter, name), "utf8");

acceptance("a file is read from the pages of an open before, while nobody else mounts", async () => {
  await mountB(false);
  writeFileSync(at("A"), "first");
  await untilKept();
  // Its own users' changes are in its own pages.
  writeFileSync(at("A"), "other");
  assert.equal(read("A"), "other");
});

acceptance("beside another node pages stay as well, until that changes the file", async () => {
  await mountB(true);
  writeFileSync(at("A"), "of A.");
  for (const text of ["1st B", "2nd B", "3rd B"]) {
    await untilKept();
    const held = openSync(at("A"), "r"); // so the kernel keeps its pages whatever becomes of the name
    writeFileSync(at("B"), text);
    setBack(); // neither size nor time tells
    // Looked at, but not opened, until it may be kept again.
    if (text !== "1st B") await eventually("it is kept once more", async () => {
      for (let i = 0; i < 64; i++) statSync(at("A"));
      return ((await bench().status("A")).counters["objects kept by the kernel beside others"] ?? 0) >= 2;
    });
    assert.equal(read("A"), text);
    assert.equal(read("A"), text);
    closeSync(held);
  }
  await untilKept();
  const fd = openSync(at("B"), "r+");
  writeSync(fd, "4th B", 0);
  setBack();
  assert.equal(read("A"), "4th B", "B still has it open");
  writeSync(fd, "5th B", 0);
  setBack();
  assert.equal(read("A"), "5th B", "B wrote again");
  closeSync(fd);
});

acceptance("a descriptor reads what another node wrote, though its own node writes to the file without pause", async (note) => {
  await mountB(true);
  writeFileSync(at("A", "busy"), Buffer.alloc(64 * 1024));
  const writer = spawn(process.execPath, ["-e", `const fs = require("fs"), fd = fs.openSync(process.argv[1], "r+"); for (;;) fs.writeSync(fd, Buffer.alloc(100, 1), 0, 100, 32768);`, at("A", "busy")]);
  const [reader, other] = [openSync(at("A", "busy"), "r"), openSync(at("B", "busy"), "r+")];
  try {
    await eventually("its own node's user writes", async () => readFileSync(bench().backing("fs1", "busy"))[32_768] === 1);
    const bytes = Buffer.alloc(4);
    const old: number[] = [];
    for (let number = 1; number <= 300; number++) {
      bytes.writeUInt32LE(number);
      writeSync(other, bytes, 0, 4, 0);
      readSync(reader, bytes, 0, 4, 0);
      if (bytes.readUInt32LE() !== number) old.push(number);
    }
    note(`${old.length} of 300 reads were old: ${old.slice(0, 5).join(" ")}`);
    assert(old.every((number) => number === 1), `${old.length} of 300 reads gave what was there before`); // the first is told from our own by its time alone
  } finally {
    writer.kill("SIGKILL");
    await once(writer, "exit");
    for (const fd of [reader, other]) closeSync(fd);
  }
});

acceptance("a descriptor reads as far as another node wrote, whether its own node writes too or not", async () => {
  await mountB(true);
  writeFileSync(at("A", "grows"), "x".repeat(5_000));
  const [own, other] = [openSync(at("A", "grows"), "r+"), openSync(at("B", "grows"), "r+")];
  const bytes = Buffer.alloc(300_000);
  let end = 5_000;
  for (let turn = 0; turn < 40; turn++) {
    assert.equal(readSync(own, bytes, 0, bytes.length, 0), end, `turn ${turn}`);
    if (turn % 2 === 0) writeSync(own, "y", 100);
    const more = Buffer.alloc(1 + ((turn * 997) % 9_000), 97 + (turn % 26));
    writeSync(other, more, 0, more.length, end);
    end += more.length;
    assert.equal(readSync(own, bytes, 0, bytes.length, 0), end, `turn ${turn}, as soon as B had written`);
    assert(bytes.subarray(end - more.length, end).equals(more));
  }
  for (const fd of [own, other]) closeSync(fd);
});

acceptance("a truncation and what was stored in a mapping of the file do not wait for each other, beside another node's writes", async () => {
  await mountB(true);
  const size = 64 * 1024;
  writeFileSync(at("A", "mapped"), Buffer.alloc(size));
  const [own, other] = [openSync(at("A", "mapped"), "r+"), openSync(at("B", "mapped"), "r+")];
  const mapping = mapFile(own, size, true);
  assert(typeof mapping !== "number");
  for (let number = 1; number <= 20; number++) {
    mapping.bytes[100] = number;
    writeSync(other, Buffer.of(number), 0, 1, 8192);
    ftruncateSync(own, size - number * 1024);
    assert.equal(mapping.bytes[100], number);
    assert.equal(readSync(own, one, 0, 1, 8192), 1);
    assert.equal(one[0], number);
  }
  mapping.unmap();
  for (const fd of [own, other]) closeSync(fd);
});

acceptance("what another node writes is read at once, and what was kept before it came is not believed after it has gone", async () => {
  await mountB(false);
  writeFileSync(at("A"), "alone");
  await untilKept();
  await mountB(true);
  for (const text of ["by B1", "by B2", "by B3"]) {
    writeFileSync(at("B"), text);
    setBack(); // neither size nor time tells
    assert.equal(read("A"), text);
  }
  writeFileSync(at("A"), "by A1");
  setBack();
  await mountB(false);
  await untilKept();
  const held = openSync(at("A"), "r"); // else the kernel forgets the file as soon as it forgets its name
  await mountB(true);
  writeFileSync(at("B"), "by B4");
  setBack();
  await mountB(false);
  writeFileSync(at("A", "another"), "alone");
  await untilKept("another"); // A is alone again
  assert.equal(read("A"), "by B4");
  closeSync(held);
});

acceptance("a read that moves the time of access does so though its pages are there", async () => {
  await mountB(false);
  writeFileSync(at("A"), "again");
  await untilKept();
  const longAgo = Math.floor(Date.now() / 1000) - 3 * 86_400; // read again after a day, a file's time of access moves (relatime)
  read("A");
  utimesSync(bench().backing("fs1", "file"), longAgo, past);
  read("A");
  assert(statSync(bench().backing("fs1", "file")).atimeMs > longAgo * 1000);
});
