/**
 * Foreign programs that strain file systems and check what they get: on a mount they end as well as on the bare file system.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { acceptance, type Letter, type ProgramEnd, shareBench } from "./bench.js";
import { within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });
const LONG_MS = 200_000;

function placeIn(letter: Letter, name: string): string {
  const place = bench().path(letter, "fs1", name);
  mkdirSync(place);
  return place;
}
function bareplace(name: string): string {
  const place = join(bench().directory, name);
  mkdirSync(place);
  return place;
}
function run(command: string, args: readonly string[], input?: string): Promise<ProgramEnd> {
  return within(bench().program(command, args, input === undefined ? {} : { input }).end, `${command} ${args.join(" ")}`, LONG_MS);
}

/** Of the class of file systems, those that are about something else than the place given to them. */
const others = ["bind-mount", "binderfs", "dup", "eventfd", "ioprio", "procfs", "fanotify", "dnotify", "inotify", "verity"];
/** Which stressors found something wrong. */
async function stress(place: string): Promise<string[]> {
  const end = await run("stress-ng", ["--class", "filesystem", "--seq", "1", "--exclude", others.join(","), "--timeout", "1", "--verify", "--temp-path", place]);
  const said = end.output.toString() + end.errors;
  assert.match(said, /run completed/, said);
  const failed = [...said.matchAll(/(?:fail|error): +\[\d+\] (?:stress-ng-)?([a-z-]+)/g)].map(([, name]) => name!);
  if (end.code !== 0 && failed.length === 0) assert.fail(`exit ${end.code}: ${said}`);
  return [...new Set(failed)];
}
acceptance("stress-ng with --verify finds nothing that it does not find on the bare file system", async (note) => {
  const [bare, mounted] = await Promise.all([stress(bareplace("stress-bare")), stress(placeIn("A", "stress"))]);
  if (bare.length > 0) note(`also on the bare file system: ${bare.join(" ")}`);
  assert.deepEqual(mounted.filter((name) => !bare.includes(name)), []);
  assert.deepEqual(readdirSync(bench().path("B", "fs1", "stress")), []);
}, 400_000);

acceptance("dbench runs its clients on both nodes at once without an error", async () => {
  const ends = await Promise.all((["A", "B"] as const).map((letter) => run("dbench", ["-D", placeIn(letter, `dbench-${letter}`), "-t", "6", "-c", "/usr/share/dbench/client.txt", "2"])));
  for (const { code, output, errors } of ends) {
    // Its own start barrier, a semaphore of the machine: the clients begin without it.
    const said = (output.toString() + errors).replaceAll(/^failed to create barrier semaphore.*$/gm, "");
    assert.equal(code, 0, said);
    assert.match(said, /Throughput [1-9]/);
    assert.doesNotMatch(said, /fail|error/i);
  }
}, 200_000);

acceptance("bonnie++ writes, rewrites, reads and makes files to its end, and leaves nothing", async () => {
  const place = placeIn("A", "bonnie");
  const { code, output, errors } = await run("bonnie++", ["-d", place, "-s", "48", "-r", "16", "-n", "1", "-u", "root", "-q", "-f"]);
  assert.equal(code, 0, errors);
  assert.match(output.toString(), /^1\.98,/);
  assert.deepEqual(readdirSync(bench().path("B", "fs1", "bonnie")), []);
}, 250_000);

acceptance("postmark makes, reads, appends and deletes as many files and bytes as on the bare file system", async () => {
  const work = (place: string) => ["set location", "set number", "set transactions", "set size", "set seed"].map((name, at) => `${name} ${[place, 200, 500, "500 40000", 42][at]}`).concat("run", "quit", "").join("\n");
  const counts = async (place: string) => {
    const end = await run("postmark", [], work(place));
    assert.equal(end.code, 0, end.errors);
    const said = end.output.toString();
    assert.doesNotMatch(said, /error/i);
    return [...said.matchAll(/^\s+([\d.]+ (?:created|read|appended|deleted|megabytes read|megabytes written))/gm)].map(([, count]) => count);
  };
  const bare = await counts(bareplace("postmark-bare"));
  assert.equal(bare.length, 6);
  assert.deepEqual(await counts(placeIn("A", "postmark")), bare);
  assert.deepEqual(readdirSync(bench().path("B", "fs1", "postmark")), []);
}, 200_000);
