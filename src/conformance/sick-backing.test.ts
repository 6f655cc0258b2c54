/**
 * A backing that fails for a while: users get its errno, the daemon lives, and once the cause is gone everything works again.
 *
 * Not here  a volume that is full (full-volume.test.ts), a slow one (slow-backing.test.ts).
 * Source    safety H1, M7; requirement "the right errno to the user".
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { acceptance, shareBench } from "./bench.js";
import { within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"], mode: "exact", volumeMebibytes: 192, volumeType: "sick" });
const path = (name: string) => bench().path("B", "fs1", name);
/** Errors and output of a shell with the path of one file. */
async function shell(script: string, name: string): Promise<{ errors: string; output: Buffer }> {
  return within(bench().program("/bin/sh", ["-c", script, "sh", path(name)]).end, script, 60_000);
}
const pidOf = async () => (await bench().status("B")).pid;

acceptance("blocks that cannot be read: EIO to who needs them, the rest is served, and afterwards the bytes are there", async () => {
  const content = randomBytes(300_000);
  for (const name of ["lost", "kept"]) writeFileSync(path(name), content);
  bench().disk("fs1").forget("lost");
  const pid = await pidOf();
  bench().disk("fs1").become("fail-reads");
  assert.match((await shell('cat "$1" > /dev/null', "lost")).errors, /Input\/output error/);
  assert.ok((await shell('cat "$1"', "kept")).output.equals(content), "what lies in memory is read");
  bench().disk("fs1").become("well");
  assert.ok((await shell('cat "$1"', "lost")).output.equals(content));
  assert.equal(await pidOf(), pid, "the same daemon");
});

acceptance("a backing that is read-only: EROFS to who changes anything, reads go on, and afterwards all works", async () => {
  const content = randomBytes(10_000);
  writeFileSync(path("ro"), content);
  const pid = await pidOf();
  const place = bench().backing("fs1");
  const remount = (how: string) => execFileSync("mount", ["-o", `remount,bind,${how}`, place]);
  try {
    remount("ro");
    for (const script of ['echo x >> "$1"', 'rm "$1"', 'chmod 600 "$1"', 'truncate -s 1 "$1"', 'mkdir "$1.d"', 'mv "$1" "$1.x"', 'ln "$1" "$1.l"', ': > "$1.new"']) {
      assert.match((await shell(script, "ro")).errors, /Read-only file system/, script);
    }
    assert.ok((await shell('cat "$1"', "ro")).output.equals(content));
  } finally {
    remount("rw");
  }
  assert.equal((await shell('echo more >> "$1" && mkdir "$1.d" && tail -c 5 "$1"', "ro")).output.toString(), "more\n");
  assert.equal(await pidOf(), pid, "the same daemon");
});

acceptance("a daemon that has no descriptor left: EMFILE or ENFILE to who needs one, and afterwards all works", async () => {
  const content = randomBytes(1_000);
  writeFileSync(path("few"), content);
  const pid = await pidOf();
  const limits = execFileSync("prlimit", ["--pid", String(pid), "--nofile", "--raw", "--noheadings", "--output", "SOFT,HARD"]).toString().trim().split(/\s+/);
  try {
    execFileSync("prlimit", ["--pid", String(pid), "--nofile=24:"]);
    const many = 'i=0; while [ $i -lt 40 ]; do echo x > "$1.$i" || exit 1; i=$((i + 1)); done';
    assert.match((await shell(many, "few")).errors, /Too many open files/);
  } finally {
    execFileSync("prlimit", ["--pid", String(pid), `--nofile=${limits[0]}:`]);
  }
  assert.ok((await shell('cat "$1" && echo x > "$1.after" && rm "$1.after"', "few")).output.equals(content));
  assert.equal(await pidOf(), pid, "the same daemon");
});

/** A group of its own for memory, with a limit; or why there is none. */
function memoryGroup(name: string, bytes: number): { readonly add: (pid: number) => void; readonly hasReachedLimit: () => boolean; readonly remove: () => void } | string {
  const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");
  const top = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
  const former = isUnified ? "" : /^\d+:memory:(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1] ?? "/";
  const place = join(top, name);
  try {
    mkdirSync(place);
    writeFileSync(join(place, isUnified ? "memory.max" : "memory.limit_in_bytes"), String(bytes));
  } catch (error) {
    if (existsSync(place)) rmdirSync(place);
    return `no memory group can be made: ${(error as Error).message}`;
  }
  const left: number[] = [];
  return {
    add(pid) {
      writeFileSync(join(place, "cgroup.procs"), String(pid));
      left.push(pid);
    },
    hasReachedLimit: () => (isUnified ? /^max [1-9]/m.test(readFileSync(join(place, "memory.events"), "utf8")) : readFileSync(join(place, "memory.failcnt"), "utf8") !== "0\n"),
    remove() {
      for (const pid of left) writeFileSync(join(top, former, "cgroup.procs"), String(pid));
      rmdirSync(place);
    },
  };
}

acceptance("a daemon that may take little more memory lives, and serves more bytes than that", async (note) => {
  const MEBIBYTE = 1 << 20;
  const group = memoryGroup(`sluice-test-${process.pid}`, 96 * MEBIBYTE);
  if (typeof group === "string") return note(group);
  const pid = await pidOf();
  try {
    group.add(pid);
    const content = randomBytes(40 * MEBIBYTE);
    const names = ["much", "more", "most"]; // all of them stay: what the daemon read of a file is its memory while the file is there
    for (const name of names) {
      writeFileSync(path(name), content);
      bench().disk("fs1").forget(name);
      const { output, errors } = await shell('cat "$1"', name);
      assert.ok(output.equals(content), errors);
    }
    for (const name of names) await shell('rm "$1"', name);
    assert.ok(group.hasReachedLimit(), "more was wanted than the limit");
    assert.equal(await pidOf(), pid, "the same daemon");
  } finally {
    group.remove();
  }
});
