/**
 * The command `sluice`: by hand from any node's shell.
 *
 * Owns      reading arguments, exit codes (0 done, 1 not done, 2 partly done).
 * Not here  knowledge of its own: every command is a view of status documents, or a caller of the SDK.
 */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addClusterCommands } from "./cluster-commands.js";
import { addDemoCommand } from "./demo-command.js";
import { addDoctorCommand } from "./doctor-command.js";
import { CommandFailure, exitCodes, messageOf } from "./failure.js";
import { addMigrationCommands } from "./migration-commands.js";
import { addNodeCommands } from "./node-commands.js";
import { addSessionCommands } from "./session-commands.js";

const packageFile = new URL("../../package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(packageFile, "utf8")) as { version: string };

const program = new Command("sluice").description("cluster-wide data management for shared file systems").version(version);
program.showHelpAfterError("(sluice --help lists the commands)").enablePositionalOptions();
addClusterCommands(program);
addNodeCommands(program);
addSessionCommands(program);
addMigrationCommands(program);
addDoctorCommand(program);
addDemoCommand(program);

// A reader that closes early (`sluice log | head`) is no error of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? exitCodes.done : exitCodes.failed));

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`sluice: ${messageOf(error)}\n`);
  process.exitCode = error instanceof CommandFailure ? error.exitCode : exitCodes.failed;
}
