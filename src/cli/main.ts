/**
 * The command `sluice`: by hand from any node's shell.
 *
 * Owns      reading arguments, exit codes (0 done, 1 not done, 2 partly done).
 * Not here  knowledge of its own: every command is a view of status documents, or a caller of the SDK.
 */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { CommandFailure, exitCodes, messageOf } from "./failure.js";

/** Which module adds which commands: only the one that is asked for is loaded, since each brings its own libraries. */
const groups: readonly { readonly names: readonly string[]; readonly add: (program: Command) => Promise<void> }[] = [
  { names: ["cluster"], add: async (program) => (await import("./cluster-commands.js")).addClusterCommands(program) },
  {
    names: ["nodes", "manager", "status", "waiters", "trace", "audit", "log", "mount", "unmount", "fence"],
    add: async (program) => (await import("./node-commands.js")).addNodeCommands(program),
  },
  { names: ["session", "disposition", "events"], add: async (program) => (await import("./session-commands.js")).addSessionCommands(program) },
  {
    names: ["migrator", "migrate", "premigrate", "release", "recall", "state", "ls"],
    add: async (program) => (await import("./migration-commands.js")).addMigrationCommands(program),
  },
  { names: ["doctor"], add: async (program) => (await import("./doctor-command.js")).addDoctorCommand(program) },
  { names: ["demo"], add: async (program) => (await import("./demo-command.js")).addDemoCommand(program) },
];

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
const program = new Command("sluice").description("cluster-wide data management for shared file systems").version(version);
program.showHelpAfterError("(sluice --help lists the commands)").enablePositionalOptions();

// A reader that closes early (`sluice log | head`) is no error of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? exitCodes.done : exitCodes.failed));

try {
  const asked = groups.find((group) => group.names.includes(process.argv[2] ?? ""));
  for (const group of asked === undefined ? groups : [asked]) await group.add(program);
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`sluice: ${messageOf(error)}\n`);
  process.exitCode = error instanceof CommandFailure ? error.exitCode : exitCodes.failed;
}
