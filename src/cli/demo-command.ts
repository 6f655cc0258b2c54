/**
 * `sluice demo`.
 */
import type { Command } from "commander";
import { playDemo } from "./demo/demo.js";

export function addDemoCommand(program: Command): void {
  program
    .command("demo")
    .description("play a story on a three-node cluster of this machine, checking every step")
    .option("--keep", "leave the cluster running and say what to try")
    .option("--requirements", "walk the requirements R1 to R19, with the log lines and table entries that prove each")
    .action(async (options: { keep?: boolean; requirements?: boolean }) => {
      // What goes on of its own, when it is kept, must not keep this process.
      process.exit(await playDemo({ isKept: options.keep === true, hasRequirements: options.requirements === true }));
    });
}
