/**
 * `sluice doctor [BACKING...]`: prints what doctor.ts finds; exit code 1 when something needed is missing.
 */
import type { Command } from "commander";
import { examineBacking, examineMachine } from "./doctor.js";
import { exitCodes } from "./failure.js";
import { printJson, printTable } from "./output.js";

export function addDoctorCommand(program: Command): void {
  program
    .command("doctor [backing...]")
    .description("what kernel, FUSE, locks and backing directories can do")
    .option("--json", "one object per line")
    .action(async (backings: string[], options: { json?: boolean }) => {
      const findings = examineMachine();
      for (const directory of backings) findings.push(...(await examineBacking(directory)));
      if (options.json === true) printJson(findings);
      else printTable(["", "WHAT", "FOUND", "ADVICE"], findings.map((one) => [one.verdict, one.name, one.found, one.advice]), "");
      if (findings.some((one) => one.verdict === "failed")) process.exitCode = exitCodes.failed;
    });
}
