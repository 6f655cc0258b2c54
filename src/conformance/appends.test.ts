/**
 * Files that users of several nodes append to, where the kernel does not do it by itself: who appends a record finds it in what he
 * reads next, and nobody reads zeros in place of one.
 *
 * Source    safety H9; requirements, T0.
 */
import assert from "node:assert/strict";
import { closeSync, openSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { acceptance, isLong, type Letter, shareBench } from "./bench.js";
import { within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"], settings: ["fileSystems.passthrough=no"] });
const program = join(dirname(fileURLToPath(import.meta.url)), "appender.js");
const records = isLong ? 3_000 : 200;

const appender = (how: string, name: string, letter: Letter, file: string) => bench().conversation(process.execPath, [program, how, name, bench().path(letter, "fs1", file)]);

acceptance("an append ends where its kernel thinks that the file does, however much another node appended before", async () => {
  const writer = openSync(bench().path("B", "fs1", "beside"), "a");
  writeSync(writer, "the first record\n");
  const user = appender("beside", "a", "A", "beside");
  assert.equal(await within(user.line(), "the appender is ready"), "ready");
  for (const length of [10, 5_000, 4_096, 300_000]) {
    writeSync(writer, `${"y".repeat(length)}\n`);
    assert.equal(await within(user.ask("append 1"), "it appends"), "ok", `after ${length} bytes of the other node`);
  }
  closeSync(writer);
  user.child.kill("SIGKILL");
  await within(user.end, "the appender ends");
});

acceptance("each of several appenders on two nodes reads its own records, and whole ones", async () => {
  const users = (["A fresh", "A fresh", "A held", "A anew", "B fresh", "B anew"] as const).map((who, at) => {
    const [letter, how] = who.split(" ") as [Letter, string];
    return appender(how, `${who}-${at}`.replace(" ", "-"), letter, "records");
  });
  for (const user of users) assert.equal(await within(user.line(), "an appender is ready"), "ready");
  const said = await within(Promise.all(users.map((user) => user.ask(`append ${records}`))), "they append", 120_000);
  assert.deepEqual(said, users.map(() => "ok"));
  for (const user of users) user.child.kill("SIGKILL");
  const lines = (await bench().run("cat", [bench().path("B", "fs1", "records")])).toString().trimEnd().split("\n");
  assert.equal(lines.length, users.length * records, "no append is lost");
}, 120_000);
