/**
 * How long users of the cluster notice a killed node: from the kill of the session manager to the first session call
 * answered elsewhere, and from the call that assumes a lost session to its first event offered again.
 *
 * Usage: takeover.js [ROUNDS] [KEEP_LOGS_IN]. Five nodes that do nothing else; prints medians, and each kill when logs are kept.
 */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { AssumeProbe, TakeoverProbe } from "../chaos/probes.js";
import { connect, type FsName, type NodeId, regionFlags } from "../client/index.js";
import { Run } from "../torture/run.js";

const rounds = Number(process.argv[2] ?? "10");
const keptIn = process.argv[3];
const FS = "fs2" as FsName & "fs2";
const run = new Run({ name: "takeover", seed: 1, files: 0, isVerbose: false });
const ms = { takeover: [] as number[], both: [] as number[], assume: [] as number[] };

/** A file whose writes wait for whoever has the disposition. */
async function prepare(): Promise<void> {
  const node = run.nodes[0]!;
  const made = await run.execute("truncate", ["-s", "4096", fileOn(node)], 30_000);
  if (made.code !== 0) throw new Error(made.stderr);
  const at = await connect({ socket: run.cluster.socket(node) });
  const session = await at.createSession("preparing");
  const fs = await at.fileSystem(FS);
  await session.object(fs.handleOf(fileOn(node))).setRegions([{ offset: 0, size: 0, flags: regionFlags.write }]);
  await session.destroy();
  at.close();
}
function fileOn(node: NodeId): string {
  return join(run.cluster.mountpoint(node, FS), "probed");
}
async function managerNow(): Promise<NodeId> {
  for (;;) {
    const { manager } = await run.cluster.document();
    if (manager !== null) return manager;
  }
}

async function kill(kind: keyof typeof ms): Promise<void> {
  const manager = await managerNow();
  const host = run.nodes.find((id) => id !== manager)!;
  const victims = kind === "takeover" ? [manager] : kind === "both" ? [manager, host] : [host];
  const survivor = run.nodes.find((id) => id !== manager && id !== host)!;
  const takeover = kind === "assume" ? undefined : await TakeoverProbe.begin(run, survivor);
  const assume = kind === "takeover" ? undefined : await AssumeProbe.begin(run, host, survivor, FS, fileOn(survivor));
  if (keptIn !== undefined) process.stdout.write(`${process.hrtime.bigint() / 1000n} ${new Date().toISOString()} ${kind}: kill ${victims.join(" ")}, asked on ${survivor}\n`);
  const killed = Promise.all(victims.map((id) => run.cluster.kill(id)));
  const [taken, assumed] = await Promise.all([takeover?.measure(run), assume?.measure(run), killed]);
  if (taken !== undefined) ms[kind].push(taken);
  if (assumed !== undefined) ms.assume.push(assumed);
  if (keptIn !== undefined) process.stdout.write(`  takeover ${taken?.toFixed(0)} ms, assume ${assumed?.toFixed(0)} ms\n`);
  for (const victim of victims) await run.cluster.restart(victim);
}
function told(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  return `${sorted[sorted.length >> 1]?.toFixed(0)} ms median, ${sorted[0]?.toFixed(0)} to ${sorted.at(-1)?.toFixed(0)} ms, ${sorted.length} times`;
}

try {
  await run.up({ nodes: 5, mode: "exact", fileSystems: [{ name: FS, backing: join(run.work, "backing") }] });
  await prepare();
  for (let round = 0; round < rounds; round++) for (const kind of ["takeover", "assume", "both"] as const) await kill(kind);
  process.stdout.write(`manager killed, to the first answered call: ${told(ms.takeover)}\n`);
  process.stdout.write(`manager and a session's node killed, to the first answered call: ${told(ms.both)}\n`);
  process.stdout.write(`assume, to the first event offered again: ${told(ms.assume)}\n`);
} finally {
  await run.tidyUp((work) => {
    if (keptIn !== undefined) cpSync(join(work, "cluster", "nodes"), keptIn, { recursive: true, filter: (path) => !/socket/.test(path) });
  });
}
for (const problem of run.problems) process.stdout.write(`FAILED: ${problem}\n`);
process.exit(run.problems.length === 0 ? 0 : 1);
