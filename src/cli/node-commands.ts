/**
 * `sluice nodes|manager|status|waiters|trace|audit|log|mount|unmount|fence`: one node and its cluster, asked by hand.
 */
import type { Command } from "commander";
import type { FsName, NodeId } from "../dmapi/ids.js";
import type { AuditEntry, LogEntry, StatusDocument, TraceDocument, WaiterEntry } from "../dmapi/status.js";
import { type NodeOptions, onNode, wholeNumber, withNode } from "./node-connection.js";
import { userName } from "./user-names.js";
import { formatAge, formatBytes, printable, printJson, printLine, printTable } from "./output.js";

export function addNodeCommands(program: Command): void {
  withNode(program.command("nodes").description("the members of the cluster")).action(async (options: NodeOptions) =>
    onNode(options, async (node) => printNodes(await node.call("node.status", {}), options)));

  const manager = withNode(program.command("manager").description("who is session manager, since which view, why"));
  manager.action(async (options: NodeOptions) =>
    onNode(options, async (node) => {
      const { view } = await node.call("node.status", {});
      if (options.json === true) printJson({ manager: view?.manager ?? null, epoch: view?.number ?? null, why: view?.why ?? null });
      else printLine(view === null ? "no manager: this node is in no view" : `${view.manager}, view ${view.number}: ${view.why}`);
    }));
  withNode(manager.command("move <node>").description("hand the session manager over, in order")).action(async (to: string, _: unknown, command: Command) => {
    const options: NodeOptions = command.optsWithGlobals();
    await onNode(options, async (node) => {
      const result = await node.call("manager.move", { to: to as NodeId });
      if (options.json === true) printJson(result);
      else printLine(`the session manager is ${result.manager}`);
    });
  });

  withNode(program.command("status").description("the status document of a node")).action(async (options: NodeOptions) =>
    onNode(options, async (node) => printStatus(await node.call("node.status", {}), options)));

  withNode(program.command("waiters").description("blocked user operations: who, for what, since when"))
    .option("--here", "only those of this node")
    .action(async (options: NodeOptions & { here?: boolean }) =>
      onNode(options, async (node) => {
        const { waiters, silent } = options.here === true ? { waiters: await node.waiters(), silent: [] } : await node.clusterWaiters();
        printWaiters(waiters, options);
        complainOf(silent);
      }));

  withNode(program.command("trace <id>").description("the way of one event through the cluster: source, session, application, rights, store, answer"))
    .action(async (id: string, options: NodeOptions) => onNode(options, async (node) => {
      const trace = await node.trace(wholeNumber(id));
      printTrace(trace, options);
      complainOf(trace.silent);
    }));

  withNode(program.command("audit").description("changes of the registry within a day: who set what, when, from where"))
    .action(async (options: NodeOptions) => onNode(options, async (node) => printAudit(await node.call("registry.audit", {}), options)));

  withNode(program.command("log").description("the message log of a node"))
    .option("-f, --follow", "go on with what comes")
    .action(async (options: NodeOptions & { follow?: boolean }) => onNode(options, async (node) => {
      let after = 0;
      for (;;) {
        const entries = await node.call("node.log", { after, max: 1000, ...(options.follow === true && after > 0 ? { waitMs: 10_000 } : {}) });
        for (const entry of entries) printLogEntry(entry, options);
        after = entries.at(-1)?.number ?? after;
        if (options.follow !== true && entries.length === 0) return;
        if (options.follow === true && after === 0) after = -1; // nothing logged yet: wait from here on
      }
    }));

  withNode(program.command("mount <fs> [directory]").description("mount a managed file system on this node"))
    .action(async (fs: string, directory: string | undefined, options: NodeOptions) => onNode(options, async (node) => {
      const result = await node.call("fs.mount", { fs: fs as FsName, ...(directory === undefined ? {} : { mountpoint: directory }) });
      if (options.json === true) printJson(result);
      else printLine(`${fs} is mounted at ${result.mountpoint}`);
    }));
  withNode(program.command("unmount <fs>").description("unmount a managed file system on this node"))
    .option("--force", "although it is in use")
    .action(async (fs: string, options: NodeOptions & { force?: boolean }) => onNode(options, async (node) => {
      await node.call("fs.unmount", { fs: fs as FsName, ...(options.force === true ? { force: true } : {}) });
      if (options.json === true) printJson({ unmounted: fs });
      else printLine(`${fs} is unmounted`);
    }));
  withNode(program.command("fence <node>").description("the operator's word that a node is stopped and does no more I/O"))
    .option("--force", "although it was heard from a moment ago")
    .action(async (fenced: string, options: NodeOptions & { force?: boolean }) => onNode(options, async (node) => {
      const result = await node.call("node.fence", { node: fenced as NodeId, ...(options.force === true ? { force: true } : {}) });
      if (options.json === true) printJson(result);
      else printLine(`${result.fenced} counts as dead`);
    }));
}

function printNodes(status: StatusDocument, options: NodeOptions): void {
  const members = (status.view?.members ?? []).map((member) => ({
    ...member,
    isManager: member.id === status.view?.manager,
    link: member.id === status.node ? "here" : describeLink(status.links.find((link) => link.peer === member.id)),
  }));
  if (options.json === true) printJson(members);
  else printTable(["NODE", "INCARNATION", "ADDRESS", "ROLE", "LINK", "MOUNTED"],
    members.map((member) => [member.id, member.incarnation, member.address, member.isManager ? "manager" : "", member.link, member.mounted.join(", ")]), `${status.node} is ${status.state}, in no view`);
  if (options.json !== true) for (const life of status.view?.fenced ?? []) printLine(describeFence(life));
}
function describeFence({ id, incarnation, by, unixMs, caller }: NonNullable<StatusDocument["view"]>["fenced"][number]): string {
  const who = caller === undefined ? "" : ` by uid ${caller.uid} (${caller.command}, pid ${caller.pid})`;
  return `${id}, incarnation ${incarnation}, is fenced: said on ${by}${who}, ${new Date(unixMs).toISOString()}`;
}
function describeLink(link: StatusDocument["links"][number] | undefined): string {
  if (link === undefined) return "none";
  const how = link.isCut ? "cut" : link.isUp ? "up" : "down";
  return link.delayMs === undefined ? how : `${how}, ${link.delayMs} ms late`;
}

function printStatus(status: StatusDocument, options: NodeOptions): void {
  if (options.json === true) {
    printJson(status);
    return;
  }
  const view = status.view;
  printLine(`${status.node}, incarnation ${status.incarnation}, pid ${status.pid}, version ${status.version}, cluster ${status.cluster}: ${status.state}`);
  printLine(view === null ? "in no view" : `view ${view.number}${view.isInForce ? "" : " (not yet in force)"}, manager ${view.manager}: ${view.why}; members ${view.members.map((m) => m.id).join(", ")}`);
  printLine(`registry version ${status.registry.version}: ${status.registry.sessions.length} sessions, ${status.registry.dispositions.length} dispositions`);
  for (const fs of status.fileSystems) printLine(`${fs.fs}: ${fs.isMounted ? `mounted at ${fs.mountpoint}` : "not mounted"}, backing ${fs.backing}, mode ${fs.mode}`);
  for (const { fs, reserve } of status.fileSystems) if (reserve !== undefined && reserve.lacking > 0) printLine(`${fs}: ALARM: the reserve for recalls lacks ${formatBytes(reserve.lacking)} of ${formatBytes(reserve.wanted)}: the volume is full, or was`);
  for (const { fs, trouble } of status.fileSystems) if (trouble !== undefined) printLine(`${fs}: ALARM: ${trouble}`);
  if (status.renewals.alarm !== undefined) printLine(`ALARM: ${status.renewals.alarm}`);
  for (const queue of status.queues) printLine(`session ${queue.session}: ${queue.undelivered} undelivered, ${queue.outstanding.length} outstanding, ${queue.delivered} delivered, ${queue.waitingReaders} readers wait`);
  for (const right of status.rights.held) printLine(`right ${right.right} on ${right.handle} held by ${right.holder}`);
  printWaiters(status.waiters, options);
}

function printWaiters(waiters: readonly WaiterEntry[], options: NodeOptions): void {
  if (options.json === true) {
    printJson(waiters);
    return;
  }
  printTable(["NODE", "USER", "PID", "COMMAND", "CALL", "FILE", "SINCE", "CAUSE", "TOKEN", "WAITS FOR", "UNTIL", "BLOCKS"], waiters.map((waiter) => [
    waiter.node, userName(waiter.uid), waiter.pid, waiter.command, waiter.call, fileText(waiter), formatAge(waiter.ageMs), waiter.cause,
    waiter.token ?? "", waiter.waitsFor ?? waiter.detail, deadlineText(waiter), waiter.blocks,
  ]), "nobody waits");
}

function printAudit(entries: readonly AuditEntry[], options: NodeOptions): void {
  if (options.json === true) {
    printJson(entries);
    return;
  }
  printTable(["VERSION", "AT", "NODE", "BY", "ACT", "SESSION", "DETAIL"], entries.map(({ version, unixMs, node, caller, act, session, detail }) => [
    version, new Date(unixMs).toISOString(), node, caller === undefined ? "the manager" : `${caller.command} (pid ${caller.pid}, ${userName(caller.uid)})`,
    act, session ?? "", detail,
  ]), "nothing was changed");
}

function fileText({ fs, path, handle }: WaiterEntry): string {
  return fs === ("" as FsName) ? "" : `${fs}:${path ?? handle ?? ""}`;
}
function deadlineText({ deadlineMs, fate }: WaiterEntry): string {
  if (deadlineMs === undefined) return "no limit";
  return `in ${formatAge(deadlineMs)}${fate === undefined ? "" : ` it ${fate}`}`;
}

function printTrace({ token, steps }: TraceDocument, options: NodeOptions): void {
  if (options.json === true) {
    printJson(steps);
    return;
  }
  const firstMs = steps[0]?.unixMs ?? 0;
  printTable(["AT", "AFTER", "NODE", "AS", "WHAT"], steps.map(({ unixMs, node, role, text }) =>
    [new Date(unixMs).toISOString(), `${(unixMs - firstMs).toFixed(3)} ms`, node, role, text]), `no node remembers an event ${token}`);
}
/** On standard error: what was printed is not all. */
function complainOf(silent: readonly NodeId[]): void {
  if (silent.length > 0) process.stderr.write(`sluice: no answer from ${silent.join(", ")}: what they know is missing\n`);
}

function printLogEntry(entry: LogEntry, options: NodeOptions): void {
  if (options.json === true) {
    printJson(entry);
    return;
  }
  const about = [entry.session === undefined ? "" : `session ${entry.session}`, entry.token === undefined ? "" : `token ${entry.token}`, entry.summary ?? ""].filter((text) => text !== "");
  printLine(`${entry.number} ${entry.at} ${entry.from} -> ${entry.to} ${entry.kind} epoch ${entry.epoch} ${printable(about.join(", "))}`.trimEnd());
}
