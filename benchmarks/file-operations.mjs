// What programs see of a mount: the same operations on the bare directory, through bindfs (a C libfuse pass-through, Debian
// package `bindfs`) and through Sluice, in turns of one run. Medians of the rounds; ratios are what counts.
//   node benchmarks/file-operations.mjs [--rounds 5] [--cpu 0] [--only OPERATION,...] [--targets bare,bindfs,fast,...]
// With --cpu everything, the daemons too, runs on that processor. Needs root, gcc, bindfs, mkfs.ext4 and a loop device; git for one row.
// All of it lies on an ext4 with a journal, made for the run: one without looks through all recently removed inodes at each creation, which says
// nothing of what is measured here. --here: in a temporary directory instead.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const top = join(dirname(fileURLToPath(import.meta.url)), "..");
const { values: options } = parseArgs({ options: { rounds: { type: "string", default: "5" }, cpu: { type: "string" }, only: { type: "string" }, targets: { type: "string" }, here: { type: "boolean" } } });
const rounds = Number(options.rounds);
const IMAGE_SIZE = "8G";
const scratch = mkdtempSync(join(tmpdir(), "sluice-bench-files-"));
const work = options.here === true ? scratch : join(scratch, "ext4");
const sluice = join(top, "bin", "sluice.mjs");
const program = join(work, "file-operations");
const pinned = (file, args) => (options.cpu === undefined ? [file, args] : ["taskset", ["-c", options.cpu, file, ...args]]);
const run = (file, args, more = {}) => execFileSync(...pinned(file, args), { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...more });
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Nodes with one file system; gives the mount of the first, and has that of the last. */
function cluster(name, nodeCount, args) {
  return {
    name,
    up() {
      const dir = join(work, name);
      const { nodes } = JSON.parse(run(process.execPath, [sluice, "cluster", "up", "--nodes", String(nodeCount), "--dir", dir, "--json", ...args]));
      this.other = nodes.at(-1).mounts[0].mountpoint;
      return nodes[0].mounts[0].mountpoint;
    },
    down() {
      run(process.execPath, [sluice, "cluster", "down", "--dir", join(work, name)]);
    },
  };
}
const targets = [
  { name: "bare", up: () => work, down() {} },
  {
    name: "bindfs",
    up() {
      const [source, mountpoint] = [join(work, "bindfs-source"), join(work, "bindfs")];
      for (const directory of [source, mountpoint]) mkdirSync(directory);
      run("bindfs", ["-o", "attr_timeout=0,entry_timeout=0", source, mountpoint]);
      return mountpoint;
    },
    down: () => run("umount", [join(work, "bindfs")]),
  },
  cluster("fast", 1, ["--mode", "fast"]),
  cluster("shared", 2, ["--mode", "fast"]),
  cluster("asked", 2, ["--mode", "fast", "--set", "fileSystems.keepsNamesBeside=false"]),
  cluster("cached", 1, ["--mode", "fast", "--set", "fileSystems.passthrough=no"]),
  cluster("exact", 1, ["--mode", "exact"]),
].filter(({ name }) => options.targets === undefined || options.targets.split(",").includes(name));

const forgetPages = () => {
  spawnSync("sync");
  writeFileSync("/proc/sys/vm/drop_caches", "1");
};
/** Other rows have made the kernel forget them. */
const readPages = (place, name = "data") => run("cat", [join(place, name)], { stdio: ["ignore", "ignore", "inherit"] });
/** `count`: how often the program does it in one go. */
const operations = [
  { what: "stat", operation: "stat", count: 10_000 },
  { what: "open + close", operation: "open", count: 5_000 },
  { what: "create + close", operation: "create", count: 2_000 },
  { what: "unlink", operation: "unlink", count: 2_000 },
  { what: "rename", operation: "rename", count: 1_000 },
  { what: "readdir + stat of 10,000, an entry", operation: "list", count: 1 },
  { what: "getxattr", operation: "getxattr", count: 5_000 },
  { what: "setxattr", operation: "setxattr", count: 2_000 },
  { what: "pread 4 KiB, warm, random", operation: "read", count: 20_000, before: readPages },
  { what: "pwrite 4 KiB, random", operation: "write", count: 10_000, before: readPages },
  { what: "mmap read, a page", operation: "mmap", count: 2, before: readPages },
  { what: "sequential read, cold, MB/s", operation: "readall", count: 1, before: forgetPages, isThroughput: true },
  { what: "sequential read, warm, MB/s", operation: "readall", count: 2, before: (place) => readPages(place, "large"), isThroughput: true },
  { what: "sequential write + fsync, MB/s", operation: "writeall", count: 1, isThroughput: true },
  { what: "8 processes: read, stat, create, write, unlink", operation: "parallel", count: 300 },
];
function makeTree(place) {
  mkdirSync(join(place, "tree"));
  for (let directory = 0; directory < 20; directory++) {
    mkdirSync(join(place, "tree", String(directory)));
    for (let file = 0; file < 100; file++) writeFileSync(join(place, "tree", String(directory), String(file)), "x".repeat(4096));
  }
}
/** Rows that whole programs make; seconds. */
const stories = [
  {
    // A pair of nodes that disturb each other, where there are two.
    what: "10,000 looks at a directory and for a missing name beside 1,000 creations there, s",
    prepare() {},
    act: (place, other) => run("sh", ["-c", '"$1" lookmade "$2" 10000 & "$1" create "$3" 1000; wait', "sh", program, place, other]),
    after: (place) => run(program, ["unlink", place, "1000"]),
  },
  {
    what: "cp -r of 2,000 files of 4 KiB, s",
    prepare: makeTree,
    act: (place) => run("cp", ["-r", join(place, "tree"), join(place, "copy")]),
    after: (place) => rmSync(join(place, "copy"), { recursive: true }),
  },
  ...(spawnSync("git", ["--version"]).status === 0 ? [{
    what: "git status of 2,000 files, s",
    prepare(place) {
      if (!existsSync(join(place, "tree"))) makeTree(place);
      const git = (...args) => run("git", ["-C", join(place, "tree"), "-c", "user.name=b", "-c", "user.email=b@b", "-c", "gc.auto=0", ...args]);
      git("init", "-q");
      git("add", ".");
      git("commit", "-qm", "all");
    },
    act: (place) => run("git", ["-C", join(place, "tree"), "status"]),
    after() {},
  }] : []),
];

const isWanted = ({ what, operation }) => options.only === undefined || options.only.split(",").some((text) => what.includes(text) || operation === text);
const begun = [];
const up = [];
// Everything here waits for its programs in place, so a signal is heard between two of them: the mounts go first.
let isInterrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => (isInterrupted = true));
async function mayGoOn() {
  await new Promise(setImmediate);
  if (isInterrupted) throw new Error("interrupted");
}
try {
  if (work !== scratch) {
    const image = join(scratch, "image");
    mkdirSync(work);
    for (const [file, ...args] of [["truncate", "-s", IMAGE_SIZE, image], ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], ["mount", "-o", "loop", image, work]]) execFileSync(file, args, { stdio: "inherit" });
  }
  execFileSync("gcc", ["-O2", "-o", program, join(top, "benchmarks", "file-operations.c")], { stdio: "inherit" });
  for (const target of targets) {
    if (target.name === "bindfs" && !["/usr/bin/bindfs", "/bin/bindfs"].some(existsSync)) {
      console.log("bindfs is not installed: its column is left out (apt-get install bindfs)");
      continue;
    }
    await mayGoOn();
    begun.push(target); // what is half up when it fails is taken down too
    const place = join(target.up(), `bench-${target.name}`);
    up.push({ ...target, place, otherPlace: target.other === undefined ? place : join(target.other, `bench-${target.name}`) });
  }
  for (const { place } of up) {
    mkdirSync(place);
    run(program, ["prepare", place, "1"]);
    for (const story of stories) if (isWanted(story)) story.prepare(place);
  }
  const figures = new Map();
  const note = (what, name, figure) => {
    const key = `${what}\n${name}`;
    figures.set(key, [...(figures.get(key) ?? []), figure]);
  };
  for (let round = 0; round < rounds; round++) {
    for (const entry of operations.filter(isWanted)) {
      for (const { name, place } of up) {
        await mayGoOn();
        entry.before?.(place);
        const nanoseconds = Number(run(program, [entry.operation, place, String(entry.count)]));
        note(entry.what, name, entry.isThroughput ? (131_072 / nanoseconds) * 1_000 : nanoseconds / 1_000);
      }
    }
    for (const story of stories.filter(isWanted)) {
      for (const { name, place, otherPlace } of up) {
        await mayGoOn();
        const sinceMs = performance.now();
        story.act(place, otherPlace);
        note(story.what, name, (performance.now() - sinceMs) / 1_000);
        story.after(place);
      }
    }
  }
  console.log(`${options.cpu === undefined ? "unpinned" : `everything on CPU ${options.cpu}`}; medians of ${rounds} rounds; microseconds unless said otherwise; in brackets: times bare, times bindfs`);
  const names = up.map(({ name }) => name);
  console.log(`| | ${names.join(" | ")} |\n|---|${names.map(() => "---").join("|")}|`);
  for (const { what } of [...operations, ...stories].filter(isWanted)) {
    const of = (name) => (figures.has(`${what}\n${name}`) ? median(figures.get(`${what}\n${name}`)) : undefined);
    const cells = names.map((name) => {
      const ratios = ["bare", "bindfs"].filter((base) => base !== name && of(base) !== undefined).map((base) => (of(name) / of(base)).toFixed(2));
      return `${of(name) < 100 ? of(name).toFixed(2) : of(name).toFixed(0)}${ratios.length > 0 && name !== "bare" ? ` (${ratios.join(", ")})` : ""}`;
    });
    console.log(`| ${what} | ${cells.join(" | ")} |`);
  }
} finally {
  for (const { name, down } of begun.reverse()) {
    try {
      down();
    } catch (error) {
      console.error(`${name}: ${error.message}`); // the others go down all the same
    }
  }
  if (work !== scratch) spawnSync("umount", [work]);
  rmSync(scratch, { recursive: true, force: true });
}
