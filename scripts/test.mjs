// `npm test`: lint, types, purity, unit tests, simulation, acceptance tests on real mounts in their short form.
// Ends in one plain line `N passed, N failed`; each lint, type and simulation step counts as one.
//   --long        the long sizes, with an hour instead of three minutes
//   --only TEXT   only test files whose path has TEXT in it
//   --times       at the end, what each file and the slowest tests took, in wall and in processor time
//   --posix       only the POSIX cases, in their long form: one node, two nodes, both modes
//   --recovery    only the longer stories of failure; faketime and btrfs-progs are installed first with apt when root
//   --programs    only the tests that drive foreign programs, installed first with apt when root; ten minutes
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { TestRun, testFiles } from "./test-run.mjs";

const top = join(dirname(fileURLToPath(import.meta.url)), "..");
const isLong = process.argv.includes("--long");
const onlyAt = process.argv.indexOf("--only");
const hasPrograms = process.argv.includes("--programs");
const hasRecovery = process.argv.includes("--recovery");
const hasPosix = process.argv.includes("--posix");
const only = onlyAt > 0 ? process.argv[onlyAt + 1] : undefined;
const isWhole = only === undefined && !hasPrograms && !hasRecovery && !hasPosix;
const suiteOf = (file) => {
  const name = file.match(/conformance\/(.*)\.test\.js$/)?.[1] ?? "";
  if (name.startsWith("programs")) return "programs";
  if (name.startsWith("posix/")) return "posix";
  return ["passthrough", "quotas", "lost-backing", "rolling", "survives-load", "parallel", "faults", "manager-seats", "durable", "operators", "timeouts"].includes(name) ? "recovery" : "short";
};
function isWanted(file) {
  if (only !== undefined) return file.includes(only);
  const suite = suiteOf(file);
  if (hasPrograms) return suite === "programs";
  if (hasRecovery) return suite === "recovery";
  if (hasPosix) return file.includes("/conformance/posix/");
  return suite === "short" || (isLong && suite !== "programs");
}
const minute = 60_000;
/** What is wanted; a loaded machine may take longer, up to the run's limit. */
const BUDGET_MS = 3 * minute;

const run = new TestRun({ budgetMs: (isLong ? 60 : hasPrograms ? 10 : 15) * minute, top });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    run.interrupt();
    setTimeout(() => {
      run.checkNothingLeft();
      process.exit(130);
    }, 3_000);
  });
}

const packages = [
  "rsync", "git", "sqlite3", "fio", "zip", "unzip", "tar", "bzip2", "attr", "acl", "gcc", "libc6-dev", "make", "dbench", "stress-ng",
  "bonnie++", "postmark",
];
/** A C program's source as Debian has it, for the test that builds one; with lists of its own, so that the machine's stay as they are. */
function fetchSource(name, directory) {
  const parts = join(directory, "parts");
  for (const place of [parts, join(directory, "lists", "partial")]) mkdirSync(place, { recursive: true });
  const asked = ["indextargets", "--format", "deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)", "Identifier: Packages"];
  const known = spawnSync("apt-get", asked, { encoding: "utf8" }).stdout.split("\n"); // where the machine has its packages from
  writeFileSync(join(parts, "source.list"), `${[...new Set(known)].join("\n")}\n`);
  const own = ["-qq", "-o", "Dir::Etc::SourceList=/dev/null", "-o", `Dir::Etc::SourceParts=${parts}`, "-o", `Dir::State::Lists=${join(directory, "lists")}`, "-o", "APT::Sandbox::User=root"];
  spawnSync("apt-get", [...own, "update"], { stdio: "inherit" });
  spawnSync("apt-get", [...own, "source", "--download-only", name], { stdio: "inherit", cwd: directory });
}
const sources = join(run.directory, "sources");
function install(names) {
  spawnSync("apt-get", ["update", "-qq"], { stdio: "inherit" });
  spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...names], { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
}
if (process.getuid() === 0) {
  if (hasPrograms) {
    install(packages);
    fetchSource("zlib", sources);
  } else if (hasRecovery) {
    install(["faketime", "btrfs-progs"]);
  }
}

const bin = (name) => join(top, "node_modules", ".bin", name);
const folders = ["src", "scripts", "bin", "examples"].filter((folder) => existsSync(join(top, folder)));
const checks = [
  ["lint", "biome", ["lint", "--error-on-warnings", ...folders]],
  ["types: cluster and dmapi are pure", "tsc", ["-p", join(top, "tsconfig.pure.json")]],
];
const checking = isWhole ? checks.map(([name, command, args]) => run.step(name, bin(command), args)) : [];
const isBuilt = await run.step("types", bin("tsc"), ["-p", top]) && await run.step("programs", process.execPath, [join(top, "scripts", "bundle.mjs")]);
if (isBuilt) {
  const all = testFiles(top).filter(isWanted);
  const isAcceptance = (file) => file.startsWith(join(top, "dist", "conformance"));
  const env = { ...(isLong || hasPosix ? { SLUICE_TEST_LONG: "1" } : {}), ...(hasPrograms ? { SLUICE_TEST_SOURCES: sources } : {}) };
  // The longest first, so that none of them runs alone at the end; `--times` tells which these are.
  const longest = ["rolling", "safety", "parallel", "failover", "events", "sessions", "migration", "bad-input", "applications", "manager-seats", "mounted-node", "simulator", "migrator", "mount", "shared-volume"];
  const rank = (file) => longest.findIndex((name) => file.endsWith(`/${name}.test.js`)) + 1 || longest.length + (isAcceptance(file) ? 1 : 2);
  all.sort((a, b) => rank(a) - rank(b));
  const acceptance = { title: "acceptance tests", files: all.filter(isAcceptance) };
  const units = { title: "unit tests", files: all.filter((file) => !isAcceptance(file)) };
  if (isLong) {
    await run.files([units], { concurrency: 2, limitMs: 20 * minute, env });
    await run.files([acceptance], { concurrency: 1, limitMs: 30 * minute, env });
  } else {
    // Acceptance tests wait much, for lost nodes to be missed and mounts to come; unit tests compute meanwhile.
    await run.files([acceptance, units], { concurrency: isWhole ? 5 : 4, limitMs: (hasPrograms ? 8 : hasPosix ? 14 : 6) * minute, env });
  }
  const simulator = join(top, "dist", "simulator", "main.js");
  if (isWhole && existsSync(simulator)) {
    const seeds = isLong ? "5000" : "500";
    await run.step(`simulate, ${seeds} seeds`, process.execPath, [simulator, "--seeds", seeds], {
      limitMs: isLong ? 30 * minute : 3 * minute, says: /^.* seeds from .*$/m,
    });
  }
}
await Promise.all(checking);
run.checkNothingLeft();
if (process.argv.includes("--times")) run.printTimes();
if (!isLong && isWhole && run.elapsedMs() > BUDGET_MS) console.log(`took ${Math.round(run.elapsedMs() / 1000)} s: more than the ${BUDGET_MS / 1000} s wanted on two idle processors`);
process.exit(run.finish());
