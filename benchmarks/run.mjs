// npm run bench: builds, then measures each thing pinned to one CPU and unpinned, in one run. Needs gcc, for the pinned rows
// taskset (util-linux), and bindfs to compare with. Timings are printed; nothing timed decides a test.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const top = join(dirname(fileURLToPath(import.meta.url)), "..");
const work = mkdtempSync(join(tmpdir(), "sluice-bench-build-"));
const run = (file, args) => execFileSync(file, args, { stdio: "inherit", cwd: top });

try {
  run("npm", ["run", "--silent", "build"]);
  const floor = join(work, "fanotify-floor");
  run("gcc", ["-O2", "-o", floor, join(top, "benchmarks", "fanotify-floor.c")]);
  const bench = [join(top, "dist", "benchmarks", "event-round-trip.js"), floor];
  const files = join(top, "benchmarks", "file-operations.mjs");
  process.stdout.write("file operations\n");
  run(process.execPath, [files, "--cpu", "0"]);
  run(process.execPath, [files]);
  process.stdout.write("event round trip, everything on CPU 0\n");
  run("taskset", ["-c", "0", process.execPath, ...bench]);
  process.stdout.write("event round trip, unpinned\n");
  run(process.execPath, bench);
  const operations = join(work, "file-operations");
  run("gcc", ["-O2", "-o", operations, join(top, "benchmarks", "file-operations.c")]);
  const fairness = [join(top, "dist", "benchmarks", "fairness.js"), operations];
  process.stdout.write("beside a slow disk and held events, everything on CPU 0\n");
  run("taskset", ["-c", "0", process.execPath, ...fairness]);
  process.stdout.write("beside a slow disk and held events, unpinned\n");
  run(process.execPath, fairness);
  process.stdout.write("asynchronous events from one node to another\n");
  run(process.execPath, [join(top, "dist", "benchmarks", "asynchronous-events.js")]);
  process.stdout.write("durable events, group commit\n");
  run(process.execPath, [join(top, "dist", "benchmarks", "durable-events.js")]);
} finally {
  rmSync(work, { recursive: true, force: true });
}
