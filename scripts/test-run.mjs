// What scripts/test.mjs and .ci/run share: bounded steps, counted node:test files, and the final look for anything left
// behind. A run marks its processes by an environment variable and gives them a temporary directory of their own, so
// that it finds exactly what it started, however deep, and never touches another run's.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export class TestRun {
  passed = 0;
  failed = 0;
  skipped = 0;
  /** What each file took: `{ name, seconds, cpuSeconds, tests: [{ name, seconds }] }`. */
  times = [];
  #running = new Set();
  #failures = [];
  #isInterrupted = false;

  constructor({ budgetMs, top }) {
    this.top = top;
    this.beganMs = performance.now();
    this.deadlineMs = this.beganMs + budgetMs;
    this.directory = mkdtempSync("/tmp/sluice-test-run-");
    chmodSync(this.directory, 0o755); // ordinary users reach the mounts below
    this.env = { ...process.env, SLUICE_TEST_RUN: this.directory, SLUICE_NO_BUILD: "1", TMPDIR: this.directory };
    for (const name of ["NODE_OPTIONS", "NODE_TEST_CONTEXT", "SLUICE_SOCKET"]) delete this.env[name];
  }

  elapsedMs() {
    return performance.now() - this.beganMs;
  }
  remainingMs() {
    return Math.max(0, this.deadlineMs - performance.now());
  }

  count(name, isPassed, detail = "") {
    if (isPassed) {
      this.passed++;
      return;
    }
    this.failed++;
    this.#failures.push({ name, detail });
    console.log(`FAILED ${name}\n${indent(detail)}`);
  }

  /** One command that counts as one; its output is shown only when it fails, but for what matches `says`. */
  async step(name, command, args, { limitMs, env = {}, says } = {}) {
    const began = performance.now();
    const { code, output, isTimeout } = await this.#spawn(command, args, Math.min(limitMs ?? Infinity, this.remainingMs()), { env });
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const isPassed = code === 0 && !isTimeout;
    const said = says?.exec(output)?.[0];
    if (isPassed) console.log(`ok ${name} (${seconds} s)${said === undefined ? "" : `: ${said}`}`);
    this.count(name, isPassed, `${isTimeout ? `killed after ${seconds} s` : `exit ${code}`}\n${tail(output)}`);
    return isPassed;
  }

  /**
   * Runs test files in the order given, `concurrency` at a time; a file past its limit is killed and counted failed. The
   * `groups` are counted apart but share the queue: while some files wait, others use the processors.
   */
  async files(groups, { concurrency, limitMs, env = {} }) {
    const began = performance.now();
    const counts = new Map(groups.map(({ title }) => [title, { passed: 0, failed: 0, skipped: 0 }]));
    const queue = groups.flatMap(({ title, files }) => files.map((file) => ({ title, file })));
    const worker = async () => {
      for (let next = queue.shift(); next !== undefined && !this.#isInterrupted; next = queue.shift()) await this.#file(next.file, counts.get(next.title), limitMs, env);
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    for (const { title, files } of groups) {
      if (files.length === 0) continue;
      const { passed, failed, skipped } = counts.get(title);
      console.log(`${failed === 0 ? "ok" : "NOT ok"} ${title}: ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""} in ${files.length} files (${seconds} s)`);
    }
  }

  async #file(file, counts, limitMs, env) {
    const reporter = join(this.top, "scripts", "reporter.mjs");
    const name = file.slice(this.top.length + 1).replace(/^dist\//, "").replace(/\.js$/, "");
    const limit = Math.min(limitMs, this.remainingMs());
    const count = (what, isPassed, detail) => {
      counts[isPassed ? "passed" : "failed"]++;
      this.count(what, isPassed, detail);
    };
    if (limit <= 0) return count(name, false, "not begun: the run's time was used up");
    const args = ["--enable-source-maps", `--test-reporter=${reporter}`, "--test-reporter-destination=stdout", file];
    const began = performance.now();
    const { code, reports, output, isTimeout } = await this.#spawn(process.execPath, args, limit, { env });
    const seconds = (performance.now() - began) / 1000;
    const cpuSeconds = reports.findLast((line) => line.cpuSeconds !== undefined)?.cpuSeconds;
    const tests = reports.filter((line) => line.name !== "");
    for (const { note } of reports) if (note !== undefined) console.log(`   ${name}: ${note}`);
    this.times.push({ name, seconds, cpuSeconds, tests: tests.map((test) => ({ name: test.name, seconds: test.ms / 1000 })) });
    let failedHere = 0;
    for (const test of tests) {
      if (test.skip !== undefined) {
        this.skipped++;
        counts.skipped++;
        console.log(`skipped ${name}: ${test.name}: ${test.skip}`);
        continue;
      }
      if (!test.isPassed) failedHere++;
      count(`${name}: ${test.name}`, test.isPassed, test.error ?? "");
    }
    if (isTimeout) count(name, false, `hung: killed after ${Math.round(limit / 1000)} s\n${tail(output)}`);
    else if (code !== 0 && failedHere === 0) count(name, false, `exit ${code}\n${tail(output)}`);
    else if (failedHere > 0 && output.trim() !== "") console.log(indent(`output of ${name}:\n${tail(output)}`));
    if (seconds > 5) console.log(`   ${name}: ${seconds.toFixed(1)} s`);
  }

  /**
   * The files by what they took. Processor time is of the file and of all it started, daemons and users alike; what the
   * wall has beyond it is waiting, for others on a loaded machine, else for time-outs.
   */
  printTimes() {
    const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
    const line = (wall, cpu, name) => console.log(`${wall.toFixed(1).padStart(8)} ${(cpu === undefined ? "?" : cpu.toFixed(1)).padStart(8)}  ${name}`);
    console.log("\n  wall s    cpu s  file");
    const files = [...this.times].sort((a, b) => b.seconds - a.seconds);
    for (const { name, seconds, cpuSeconds } of files) if (seconds >= 1) line(seconds, cpuSeconds, name);
    line(sum(files.map((file) => file.seconds)), sum(files.map((file) => file.cpuSeconds)), `all ${files.length} files`);
    console.log("\n  wall s  test");
    const tests = files.flatMap((file) => file.tests.map((test) => ({ ...test, file: file.name }))).sort((a, b) => b.seconds - a.seconds);
    for (const { name, seconds, file } of tests.slice(0, 40)) if (seconds >= 0.5) console.log(`${seconds.toFixed(1).padStart(8)}  ${file}: ${name}`);
  }

  #spawn(command, args, limitMs, { env = {} }) {
    return new Promise((resolve) => {
      const child = spawn(command, args, {
        cwd: this.top, env: { ...this.env, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true,
      });
      this.#running.add(child);
      let output = "";
      let partial = "";
      const reports = [];
      const take = (text) => {
        output = (output + text).slice(-200_000);
      };
      child.stderr.setEncoding("utf8").on("data", take);
      child.stdout.setEncoding("utf8").on("data", (text) => {
        partial += text;
        for (let end = partial.indexOf("\n"); end >= 0; end = partial.indexOf("\n")) {
          const line = partial.slice(0, end);
          partial = partial.slice(end + 1);
          if (line.startsWith('{"name":')) reports.push(JSON.parse(line));
          else take(`${line}\n`);
        }
      });
      let isTimeout = false;
      let isDone = false;
      const done = (code) => {
        if (isDone) return;
        isDone = true;
        clearTimeout(timer);
        this.#running.delete(child);
        resolve({ code, reports, output: output + partial, isTimeout });
      };
      const timer = setTimeout(() => {
        isTimeout = true;
        killGroup(child.pid, "SIGTERM"); // a chance to clean up; what ignores it is killed
        setTimeout(() => killGroup(child.pid, "SIGKILL"), 5_000).unref();
        setTimeout(() => done(null), 8_000);
      }, limitMs);
      child.on("error", (error) => {
        take(String(error));
        done(-1);
      });
      // "close" waits for whoever inherited the pipes: a leaked grandchild must not hold the run up.
      child.on("exit", (code, signal) => setTimeout(() => done(code ?? `signal ${signal}`), 1_000));
      child.on("close", (code, signal) => done(code ?? `signal ${signal}`));
    });
  }

  /** Ends what still runs; used when the run itself is interrupted. */
  interrupt() {
    this.#isInterrupted = true;
    for (const child of this.#running) killGroup(child.pid, "SIGTERM");
  }

  /** Nothing of the run may be left: no process, no mount. What is left is named, removed, and counted as a failure. */
  checkNothingLeft() {
    const processes = processesWith(`SLUICE_TEST_RUN=${this.directory}`);
    const mounts = mountsBelow(this.directory);
    for (const { pid } of processes) kill(pid);
    for (const mount of [...mounts].reverse()) spawnSync("umount", ["-l", mount], { stdio: "ignore" });
    const found = [...processes.map(({ pid, command }) => `process ${pid} ${command}`), ...mounts.map((m) => `mount ${m}`)];
    this.count("nothing is left behind", found.length === 0, found.join("\n"));
    // Not rmSync: paths below may be longer than any call takes.
    if (mountsBelow(this.directory).length === 0) spawnSync("rm", ["-rf", this.directory], { stdio: "ignore" });
  }

  /** Prints the one plain line; returns the exit code. */
  finish() {
    if (this.#failures.length > 0) {
      console.log("\nFailed:");
      for (const { name, detail } of this.#failures) console.log(`  ${name}: ${firstLine(detail)}`);
    }
    if (this.skipped > 0) console.log(`${this.skipped} skipped`);
    console.log(`${this.passed} passed, ${this.failed} failed`);
    return this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}

/** Compiled test files of the sources that exist. */
export function testFiles(top) {
  return readdirSync(join(top, "src"), { recursive: true })
    .filter((path) => path.endsWith(".test.ts"))
    .map((path) => join(top, "dist", path.replace(/\.ts$/, ".js")))
    .sort();
}

function processesWith(assignment) {
  const found = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${name}/environ`, "latin1").split("\0").includes(assignment)) continue;
      if (/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${name}/stat`, "latin1"))) continue;
      found.push({ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ").trim() });
    } catch {
      // It ended while we looked, or is not ours to read.
    }
  }
  return found;
}

function mountsBelow(directory) {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .map((path) => path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))))
    .filter((path) => path.startsWith(`${directory}/`));
}

function killGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch {
    // Already gone.
  }
}

function kill(pid) {
  try {
    process.kill(pid, "SIGCONT");
    process.kill(pid, "SIGKILL");
  } catch {
    // Already gone.
  }
}

function indent(text) {
  return text.replaceAll(/^/gm, "    ");
}

function tail(text) {
  return text.length > 8000 ? `...\n${text.slice(-8000)}` : text;
}

function firstLine(text) {
  return (text.split("\n").find((line) => line.trim() !== "") ?? "").slice(0, 200);
}
