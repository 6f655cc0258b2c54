/**
 * `sluice cluster ...`: a real cluster on this machine, for trying, for tests, for outside programs.
 */
import type { Command } from "commander";
import type { NodeId } from "../dmapi/ids.js";
import { type ClusterDocument, LocalCluster } from "./cluster/local-cluster.js";
import { checkSetting } from "./cluster/settings.js";
import { CommandFailure } from "./failure.js";
import { wholeNumber } from "./node-connection.js";
import { printJson, printLine, printTable } from "./output.js";

interface DirOption {
  readonly dir: string;
  readonly json?: boolean;
}
interface UpOptions extends DirOption {
  readonly nodes?: number;
  readonly fs: readonly { name: string; backing: string }[];
  readonly mode?: "fast" | "exact";
  readonly fastFailover?: boolean;
  readonly set: readonly string[];
}

export function addClusterCommands(program: Command): void {
  const cluster = program.command("cluster").description("a cluster of daemons on this machine");
  const verb = (name: string, description: string) =>
    cluster.command(name).description(description).requiredOption("--dir <dir>", "where the cluster keeps everything").option("--json", "print the cluster document");

  verb("up", "start it, or what of it does not run; returns when every mount is usable")
    .option("--nodes <n>", "how many nodes (default 3)", wholeNumber)
    .option("--fs <name=backing>", "a file system and its backing directory; repeatable (default fs1 below DIR)", collectFs, [])
    .option("--mode <mode>", "fast: page-cached; exact: every read and write reaches the daemon (default fast)", oneOf("fast", "exact"))
    .option("--fast-failover", "short time-outs, for trying faults")
    .option("--set <key=value>", "a key of every node's configuration, such as timeouts.linkTimeoutMs=2000; repeatable", (text: string, before: readonly string[]) => [...before, checkSetting(text)], [])
    .action(async (options: UpOptions) => {
      const up = await LocalCluster.up({
        directory: options.dir, fileSystems: options.fs,
        ...(options.nodes !== undefined ? { nodes: options.nodes } : {}),
        ...(options.mode !== undefined ? { mode: options.mode } : {}),
        ...(options.fastFailover !== undefined ? { isFastFailover: options.fastFailover } : {}),
        ...(options.set.length > 0 ? { settings: options.set } : {}),
      });
      await show(up, options);
    });
  verb("status", "who is there, who is manager, what is mounted").action(async (options: DirOption) => show(LocalCluster.open(options.dir), options));
  verb("down", "stop every node and unmount; the files stay").action(async (options: DirOption) => after(options, (it) => it.down()));
  verb("kill <node>", "SIGKILL a node; users of its mounts wait until it is started again").action(async (node: string, options: DirOption) => after(options, (it) => it.kill(node as NodeId)));
  verb("pause <node>", "SIGSTOP a node").action(async (node: string, options: DirOption) => after(options, (it) => it.pause(node as NodeId)));
  verb("resume <node>", "SIGCONT a paused node").action(async (node: string, options: DirOption) => after(options, (it) => it.resume(node as NodeId)));
  verb("restart <node>", "end a node if it runs and start it again; users of its mounts wait meanwhile").action(async (node: string, options: DirOption) => after(options, (it) => it.restart(node as NodeId)));
  verb("cut <a> <b>", "the two nodes no longer hear each other")
    .option("--one-way", "only: b does not hear a")
    .action(async (a: string, b: string, options: DirOption & { oneWay?: boolean }) => after(options, (it) => it.cut(a as NodeId, b as NodeId, options.oneWay ?? false)));
  verb("slow <a> <b>", "what the two nodes say to each other arrives late")
    .requiredOption("--ms <n>", "by so many milliseconds, either way", wholeNumber)
    .action(async (a: string, b: string, options: DirOption & { ms: number }) => after(options, (it) => it.slow(a as NodeId, b as NodeId, options.ms)));
  verb("heal", "mend every cut or slow link").action(async (options: DirOption) => after(options, (it) => it.heal()));
}

async function after(options: DirOption, act: (cluster: LocalCluster) => void | Promise<void>): Promise<void> {
  const cluster = LocalCluster.open(options.dir);
  await act(cluster);
  await show(cluster, options);
}

async function show(cluster: LocalCluster, options: DirOption): Promise<void> {
  const document = await cluster.document();
  if (options.json === true) printJson(document);
  else print(document);
}

function print(document: ClusterDocument): void {
  printLine(`cluster ${document.cluster}: manager ${document.manager ?? "none"}, epoch ${document.epoch ?? "none"}`);
  printTable(
    ["NODE", "PID", "STATE", "SOCKET", "MOUNTS"],
    document.nodes.map((node) => [node.id, node.pid ?? "-", node.state, node.socket, node.mounts.map((mount) => `${mount.fs} at ${mount.mountpoint}`).join(", ") || "-"]),
    "no nodes",
  );
}

function collectFs(text: string, before: { name: string; backing: string }[]): { name: string; backing: string }[] {
  const at = text.indexOf("=");
  if (at <= 0 || at === text.length - 1) {
    throw new CommandFailure({ asked: `read --fs ${text}`, found: "it is not NAME=BACKING", next: "Write for example --fs fs1=/data/fs1" });
  }
  return [...before, { name: text.slice(0, at), backing: text.slice(at + 1) }];
}

function oneOf<T extends string>(...allowed: readonly T[]): (text: string) => T {
  return (text) => {
    const found = allowed.find((value) => value === text);
    if (found !== undefined) return found;
    throw new CommandFailure({ asked: `read "${text}"`, found: `allowed are ${allowed.join(", ")}`, next: "Choose one of these" });
  };
}
