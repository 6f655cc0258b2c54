/**
 * `sluice migrator run|status` and `sluice migrate|premigrate|release|recall|ls|state PATH...`.
 *
 * Units     sizes in bytes.
 */
import { readFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import type { Command } from "commander";
import type { Connection } from "../client/index.js";
import { groupOf, Migrator } from "../migration/migrator.js";
import type { MoveVerb } from "../migration/request-format.js";
import { MigratorClient, resolveTargets, socketOfNode, type Target } from "../migration/requests.js";
import { stateLetters } from "../migration/states.js";
import { CommandFailure, exitCodes, messageOf } from "./failure.js";
import { type NodeOptions, onNode, wholeNumber, withNode } from "./node-connection.js";
import { formatBytes, ProgressLine, printable, printJson, printLine, printTable } from "./output.js";

const ANSWER_WITHIN_MS = 10_000;
const NEXT_AFTER_MS = 3_000;
/** The migrator's word on an empty file. */
const NOTHING_TO_FREE = "ENODATA";

type GoodTarget = Extract<Target, { readonly handle: unknown }>;
interface PathOptions extends NodeOptions {
  readonly recursive?: boolean;
  readonly filelist?: string;
  /** commander: -0 */
  readonly 0?: boolean;
}
interface RunOptions extends NodeOptions {
  readonly fs: string;
  readonly store: string;
  readonly node?: string;
  readonly high?: number;
  readonly low?: number;
  readonly group?: string;
  readonly parallel?: true;
}

export function addMigrationCommands(program: Command): void {
  const migrator = program.command("migrator").description("the migration application");
  withNode(migrator.command("run").description("serve one file system, in the foreground, until interrupted"))
    .requiredOption("--fs <fs>", "the file system")
    .requiredOption("--store <dir>", "directory that keeps the migrated bytes; private, outside every managed file system")
    .option("--node <node>", "attach to this node of this machine")
    .option("--high <percent>", "begin to free space above it", wholeNumber)
    .option("--low <percent>", "and go on until below it", wholeNumber)
    .option("--parallel", "one of several, run so on every node: each serves its own node's users, another those of one that is gone")
    .option("--group <name>", "the same under a name of your own")
    .action(runMigrator);
  withNode(migrator.command("status").description("what the migration application of a file system does"))
    .requiredOption("--fs <fs>", "the file system")
    .action(async (options: NodeOptions & { fs: string }) => onNode(options, async (node) => {
      const status = await (await findMigrator(node, options.fs)).status();
      if (options.json === true) printJson(status);
      else printLine(`${status.fs} on ${status.node}, pid ${status.pid}, store ${status.store}: ${status.migrated} migrated, ${status.recalled} recalled, ${status.failed} failed; ${status.migrations} migrations and ${status.recalls} recalls under way; ${status.usedPercent ?? "?"} % used`);
    }));

  const verbs: Readonly<Record<MoveVerb, string>> = {
    migrate: "copy files to the store and free their blocks; returns when done",
    premigrate: "copy files to the store and keep their data; returns when done",
    release: "free the blocks of premigrated files that have not changed",
    recall: "bring the bytes of migrated files back; returns when done",
  };
  for (const [verb, description] of Object.entries(verbs)) {
    withPaths(program.command(`${verb} [path...]`).description(description))
      .action(async (paths: string[], options: PathOptions) => onNode(options, (node) => move(node, verb as MoveVerb, paths, options)));
  }
  withPaths(program.command("state [path...]").description("state of each file: resident, premigrated, migrated, partial"))
    .action(async (paths: string[], options: PathOptions) => onNode(options, (node) => showStates(node, paths, options, false)));
  withPaths(program.command("ls [path...]").description("size, resident size, state, store and name of each file"))
    .action(async (paths: string[], options: PathOptions) => onNode(options, (node) => showStates(node, paths, options, true)));
}

function withPaths(command: Command): Command {
  return withNode(command)
    .option("-r, --recursive", "all files below directories")
    .option("--filelist <file>", "paths from a file, one per line; - for standard input")
    .option("-0", "the file list separates paths by NUL instead of newline");
}

async function runMigrator(options: RunOptions): Promise<void> {
  if ((options.high === undefined) !== (options.low === undefined)) {
    throw new CommandFailure({ asked: "run the migration application", found: "--high and --low belong together", next: "Give both, for example --high 90 --low 70, or none" });
  }
  const marks = options.high === undefined || options.low === undefined ? {} : { marks: { high: options.high, low: options.low } };
  const group = options.group ?? (options.parallel === true ? groupOf(options.fs) : undefined);
  const migrator = new Migrator({
    fs: options.fs, store: resolve(options.store), socket: await socketOfNode(options.node, options.socket), ...marks,
    ...(group === undefined ? {} : { group }),
    log: (kind, fields) => (options.json === true ? printJson({ at: new Date().toISOString(), kind, ...fields }) : printLine(describeLog(kind, fields))),
  });
  let isStopping = false;
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (isStopping) process.exit(130); // asked twice: at once
      isStopping = true;
      migrator.stop();
    });
  }
  await migrator.run(() => options.json === true || printLine(`serving ${options.fs}; Ctrl-C ends it in order`));
  process.exit(exitCodes.done);
}
function describeLog(kind: string, fields: Readonly<Record<string, unknown>>): string {
  const told = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null).map(([name, value]) => `${name} ${printable(String(value))}`);
  return `${new Date().toISOString()} ${kind}${told.length === 0 ? "" : `: ${told.join(", ")}`}`;
}

async function move(node: Connection, verb: MoveVerb, paths: readonly string[], options: PathOptions): Promise<void> {
  const { byFs, failures } = await collect(node, paths, options, false);
  const stopping = new AbortController();
  process.once("SIGINT", () => stopping.abort());
  const progress = new ProgressLine();
  const sum = { done: 0, changed: 0, bytes: 0, failed: failures, left: 0 };
  for (const [fs, targets] of byFs) {
    const client = await findMigrator(node, fs);
    for await (const event of client.move(verb, targets, { signal: stopping.signal })) {
      if (event.kind === "progress") {
        progress.show(verb, { files: event.itemsDone, bytes: event.bytesDone }, { files: event.itemsTotal, bytes: event.bytesTotal });
        continue;
      }
      const { path, result } = event;
      if (!result.ok && result.code === NOTHING_TO_FREE && options.recursive === true) {
        sum.left++; // empty files below a directory are nobody's mistake
        continue;
      }
      if (options.json === true) printJson({ path, ...result });
      else if (!result.ok) {
        progress.end();
        process.stderr.write(`sluice: ${verb} ${printable(path)}: ${told(result)}\n`);
      }
      if (!result.ok) sum.failed++;
      else {
        sum.done++;
        sum.changed += result.changed ? 1 : 0;
        sum.bytes += result.bytes;
      }
    }
  }
  progress.end();
  if (options.json !== true) printLine(`${verb}: ${sum.changed} files, ${formatBytes(sum.bytes)}${sum.done > sum.changed ? `; ${sum.done - sum.changed} were so already` : ""}${sum.left > 0 ? `; ${sum.left} empty` : ""}${sum.failed > 0 ? `; ${sum.failed} failed` : ""}`);
  if (stopping.signal.aborted) sum.failed++;
  if (sum.failed > 0) process.exitCode = sum.done > 0 ? exitCodes.partly : exitCodes.failed;
}

async function showStates(node: Connection, paths: readonly string[], options: PathOptions, isList: boolean): Promise<void> {
  const { byFs, failures } = await collect(node, paths, options, false);
  let failed = failures;
  let shown = 0;
  const rows: string[][] = [];
  for (const [fs, targets] of byFs) {
    const client = await findMigrator(node, fs);
    for await (const { path, result } of client.states(targets)) {
      if (options.json === true) printJson({ path, ...result });
      if (!result.ok) {
        failed++;
        if (options.json !== true) process.stderr.write(`sluice: state of ${printable(path)}: ${told(result)}\n`);
        continue;
      }
      shown++;
      const state = result.transient ?? result.state;
      if (isList) rows.push([String(result.size), String(result.residentBytes), stateLetters[state], [...result.flags, ""].join(" ").trim() || "-", result.store ?? "-", path]);
      else rows.push([[state, ...result.flags].join(" "), path]);
    }
  }
  if (options.json !== true && rows.length > 0) printTable(isList ? ["SIZE", "RESIDENT", "S", "FLAGS", "STORE", "NAME"] : ["STATE", "NAME"], rows, "no files");
  if (failed > 0) process.exitCode = shown > 0 ? exitCodes.partly : exitCodes.failed;
}

/** The session of a migrator outlives it: whether anybody serves it is only known by asking. Of a group any instance will do. */
async function findMigrator(node: Connection, fs: string): Promise<MigratorClient> {
  const all = await MigratorClient.findAll(node, fs);
  for (const [at, client] of all.entries()) {
    const asking = client.status();
    asking.catch(() => {}); // told by the race, or too late to matter
    const patienceMs = at + 1 < all.length ? NEXT_AFTER_MS : ANSWER_WITHIN_MS;
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, patienceMs, undefined).unref());
    if ((await Promise.race([asking, late])) !== undefined) return client;
  }
  const client = all[0]!;
  const { node: home } = await node.call("session.query", { session: client.session });
  throw new CommandFailure({
    asked: `reach the migration application of ${fs}`, found: `its session ${client.session} is on ${home}, but nobody answered within ${ANSWER_WITHIN_MS / 1000} s`,
    next: `Start it there: sluice migrator run --fs ${fs} --store DIR --node ${home}`,
  });
}

/** What the paths name, by file system; what names nothing is told at once. */
async function collect(node: Connection, given: readonly string[], options: PathOptions, withDirectories: boolean): Promise<{ byFs: Map<string, GoodTarget[]>; failures: number }> {
  const paths = [...given, ...listed(options)].map((path) => (isAbsolute(path) ? path : resolve(path)));
  if (paths.length === 0) throw new CommandFailure({ asked: "act on files", found: "no path is given", next: "Name paths, or --filelist FILE" });
  const byFs = new Map<string, GoodTarget[]>();
  let failures = 0;
  for await (const target of resolveTargets(node, paths, { isRecursive: options.recursive === true, withDirectories })) {
    if (!("handle" in target)) {
      failures++;
      if (options.json === true) printJson({ path: target.path, ok: false, ...target.failure });
      else process.stderr.write(`sluice: ${printable(target.path)}: ${told(target.failure)}\n`);
      continue;
    }
    const before = byFs.get(target.fs.name);
    if (before === undefined) byFs.set(target.fs.name, [target]);
    else before.push(target);
  }
  return { byFs, failures };
}

function told(failure: { readonly code: string; readonly message: string }): string {
  return failure.message.includes(`(${failure.code})`) ? failure.message : `${failure.message} (${failure.code})`;
}
function listed(options: PathOptions): string[] {
  if (options.filelist === undefined) return [];
  let text: string;
  try {
    text = readFileSync(options.filelist === "-" ? 0 : options.filelist, "utf8");
  } catch (error) {
    throw new CommandFailure({ asked: `read the file list ${options.filelist}`, found: messageOf(error), next: "Name a readable file, or - for standard input" });
  }
  return text.split(options[0] === true ? "\0" : "\n").filter((path) => path !== "");
}
