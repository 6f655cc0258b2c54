/**
 * `sluiced --config node.yaml`: one node as a process. It writes one JSON line to stdout when every mount is usable, tells
 * people what happens on stderr, and ends in order on SIGTERM and SIGINT; on SIGUSR2 so that the next daemon goes on with its
 * mounts.
 *
 * Exit codes  0 ended in order; 1 could not start, with the reason; 70 a bug or a lost part, with its trace.
 * Source      safety H1 (watchdog), M2, M5, M6.
 */
import { parseArgs } from "node:util";
import { ConfigError, type NodeConfig, readConfig } from "./config.js";
import { mountFuseControl, settleProcess, whyNoMounts } from "./machine.js";
import { NodeProcess } from "./node-process.js";
import { version } from "./node-services.js";
import { ServedVolumes } from "./served-volumes.js";
import { WatchdogChild } from "./watchdog-child.js";

const EXIT_FAILED_START = 1;
const EXIT_BUG = 70;
/** After the last word this process must be gone, or the watchdog kills it. */
const LEAVE_MS = 5_000;
const usage = `sluiced --config node.yaml [--without-mounts]
One node of a cluster; "sluice --help" tells of the commands that talk to it.`;

let name = "sluiced";
let watchdog: WatchdogChild | undefined;
let isEnding = false;

function log(line: string): void {
  process.stderr.write(`${new Date().toISOString()} ${name}: ${line}\n`);
}

/** Never returns control: what remains is a node that cannot keep its promises. */
function fail(error: unknown): void {
  if (isEnding) return;
  isEnding = true;
  log(`ends: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  watchdog?.leaveWithin(LEAVE_MS);
  setImmediate(() => process.exit(EXIT_BUG)); // the line to the watchdog goes out first
}

function configuration(): { readonly config: NodeConfig; readonly isWithoutMounts: boolean } {
  const { values } = parseArgs({
    options: { config: { type: "string", short: "c" }, "without-mounts": { type: "boolean" }, help: { type: "boolean" }, version: { type: "boolean" } },
  });
  if (values.help || values.version) {
    process.stdout.write(`${values.version ? version : usage}\n`);
    process.exit(0);
  }
  if (values.config === undefined) throw new ConfigError(`--config is missing\n${usage}`);
  return { config: readConfig(values.config), isWithoutMounts: values["without-mounts"] ?? false };
}

async function main(): Promise<void> {
  const { config, isWithoutMounts } = configuration();
  name = `sluiced ${config.node}`;
  const whyNot = isWithoutMounts ? "as asked" : whyNoMounts();
  settleProcess(config.niceness, log);
  if (whyNot === undefined) mountFuseControl(log);
  else log(`runs without mounts (${whyNot}): applications can connect and use files through their handles; skipped: ${config.fileSystems.map((fs) => fs.name).join(", ") || "nothing"}`);

  const node = await NodeProcess.start(config, { makeVolumes: (needs) => new ServedVolumes(needs, whyNot === undefined), hasMounts: whyNot === undefined, log, mounted: () => watchdog?.beat(), failed: fail });
  watchdog = new WatchdogChild(config.timeouts.reactorLimitMs, () => node.watched(), (why) => {
    if (!isEnding) log(`warning: the watchdog ${why}; a reactor that stands still is not ended by anybody`);
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void node.stop());
  // "Another daemon comes": in order, but mounts and open files wait for it.
  process.on("SIGUSR2", () => void node.stop({ leavesMounts: true }));
  node.ended.then(() => end()).catch(fail);
  const mounts = await node.join();
  if (node.isStopping) return;
  process.stdout.write(`${JSON.stringify({ ready: true, node: config.node, pid: process.pid, socket: config.socket, mounts })}\n`);
}

async function end(): Promise<void> {
  isEnding = true;
  watchdog?.leaveWithin(LEAVE_MS);
  await watchdog?.stop();
  process.exit(0);
}

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
try {
  await main();
} catch (error) {
  isEnding = true;
  log(`cannot start: ${error instanceof Error ? error.message : String(error)}`);
  watchdog?.leaveWithin(LEAVE_MS);
  process.exit(EXIT_FAILED_START);
}
