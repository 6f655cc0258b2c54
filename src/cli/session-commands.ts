/**
 * `sluice session|disposition|events`: sessions and events by hand.
 */
import type { Command } from "commander";
import { type ApplicationLease, describeLease } from "../dmapi/application-lease.js";
import { type DmCode, errnoOf } from "../dmapi/errors.js";
import { type DmResponse, type EventType, eventTypes } from "../dmapi/events.js";
import type { FsName, GroupName, SessionId, Token } from "../dmapi/ids.js";
import { tailEvents } from "./event-tail.js";
import { CommandFailure } from "./failure.js";
import { readLease } from "./lease-option.js";
import { type NodeOptions, onNode, wholeNumber, withNode } from "./node-connection.js";
import { printJson, printLine, printTable } from "./output.js";

const lostHelp = "for data, namespace, mount, asynchronous: wait, standby:ID, standby (a member of its group) or an errno, e.g. data=standby:7,namespace=EIO";

export function addSessionCommands(program: Command): void {
  addSessions(program.command("session").description("sessions of the cluster"));
  addDispositions(program.command("disposition").description("who gets which events of which file system"));
  addEvents(program.command("events").description("receive and answer events by hand"));
}

function addSessions(session: Command): void {
  const told = (options: NodeOptions, value: unknown, text: string) => (options.json === true ? printJson(value) : printLine(text));
  withNode(session.command("create").description("create a session on this node"))
    .option("--info <text>", "information string", "")
    .option("--group <name>", "member of a parallel application")
    .option("--lease <time>", "without application for so long, e.g. 30s, its events meet the fate of --on-lost")
    .option("--on-lost <fates>", lostHelp)
    .option("--durable", "asynchronous events are logged on the shared volume until acknowledged")
    .action(async (options: NodeOptions & { info: string; group?: string; lease?: string; onLost?: string; durable?: true }) => onNode(options, async (node) => {
      const lease = readLease(options);
      const result = await node.call("session.create", {
        info: options.info, ...(options.group === undefined ? {} : { group: options.group as GroupName }), ...(lease !== undefined && { lease }), ...(options.durable === true && { isDurable: true }),
      });
      told(options, result, `session ${result.session}`);
    }));
  withNode(session.command("assume <session>").description("take a session over on this node, under the same id"))
    .option("--info <text>", "information string", "")
    .action(async (id: string, options: NodeOptions & { info: string }) => onNode(options, async (node) => {
      const result = await node.call("session.assume", { session: sessionId(id), info: options.info });
      told(options, result, `session ${result.session} is here`);
    }));
  withNode(session.command("modify <session>").description("change a session's information string, lease or durability"))
    .option("--info <text>", "information string")
    .option("--lease <time>", "without application for so long, e.g. 30s, its events meet the fate of --on-lost")
    .option("--on-lost <fates>", lostHelp)
    .option("--no-lease", "its events wait for an application for ever")
    .option("--durable", "from now on asynchronous events are logged until acknowledged")
    .option("--no-durable", "from now on they are not")
    .action(async (id: string, options: NodeOptions & { info?: string; lease?: string | boolean; onLost?: string; durable?: boolean }) => onNode(options, async (node) => {
      const lease = options.lease === false ? null : readLease(options);
      await node.call("session.modify", {
        session: sessionId(id), ...(options.info !== undefined && { info: options.info }), ...(lease !== undefined && { lease }),
        ...(options.durable !== undefined && { isDurable: options.durable }),
      });
      told(options, { session: sessionId(id) }, `session ${id} is changed`);
    }));
  withNode(session.command("destroy <session>").description("destroy a session of this node that has no events left"))
    .action(async (id: string, options: NodeOptions) => onNode(options, async (node) => {
      await node.call("session.destroy", { session: sessionId(id) });
      told(options, { session: sessionId(id) }, `session ${id} is destroyed`);
    }));
  withNode(session.command("list").description("all sessions of the cluster")).action(async (options: NodeOptions) => onNode(options, async (node) => {
    const sessions = await node.call("session.list", {});
    if (options.json === true) return printJson(sessions);
    printTable(["SESSION", "NODE", "STATE", "GROUP", "LEASE", "DURABLE", "INFO"], sessions.map((s) => [s.id, s.node, s.state, s.group ?? "", leaseText(s.lease), s.isDurable === true ? "yes" : "", s.info]), "no sessions");
  }));
}

function addDispositions(disposition: Command): void {
  withNode(disposition.command("set <fs> [events...]").description('events of a file system go to the owner from now on; those left out no longer do; "global" takes mount'))
    .option("--session <id>", "the owner is this session", wholeNumber)
    .option("--group <name>", "the owner is this group")
    .action(async (fs: string, events: string[], options: NodeOptions & { session?: number; group?: string }) => onNode(options, async (node) => {
      const owner = ownerOf(options);
      const result = await node.call("disposition.set", { ...owner, fs: fs as FsName, events: eventsOf(events) });
      if (options.json === true) printJson(result);
      else printLine(`set, registry version ${result.version}`);
    }));
  withNode(disposition.command("list").description("all dispositions of the cluster"))
    .option("--session <id>", "only those of this session", wholeNumber)
    .action(async (options: NodeOptions & { session?: number }) => onNode(options, async (node) => {
      const found = await node.call("disposition.list", options.session === undefined ? {} : { session: options.session as SessionId });
      if (options.json === true) return printJson(found);
      printTable(["FS", "EVENT", "OWNER"], found.map((d) => [d.fs, d.event, d.session === undefined ? `group ${d.group}` : `session ${d.session}`]), "no dispositions");
    }));
}

function addEvents(events: Command): void {
  withNode(events.command("tail <fs>").description("create a session, take events of a file system, print and answer them, until interrupted"))
    .option("--events <list>", "which, separated by commas (default: those a file system's event list can name)")
    .option("--abort <errno>", "answer so instead of letting users go on, e.g. EACCES")
    .option("--no-answer", "only log: users wait until `sluice events respond`, or until this ends")
    .action(async (fs: string, options: NodeOptions & { events?: string; abort?: string; answer: boolean }) => {
      const response: DmResponse = options.abort === undefined ? { kind: "continue" } : { kind: "abort", code: errnoCode(options.abort) };
      await onNode(options, (node) => tailEvents(node, {
        fs: fs as FsName, ...(options.events === undefined ? {} : { events: eventsOf(options.events.split(",")) }),
        ...(options.answer ? { response } : {}), isJson: options.json === true,
      }));
    });
  withNode(events.command("respond <session> <token>").description("answer one event"))
    .option("--abort <errno>", "the user's call fails so; without it the call goes on")
    .action(async (session: string, token: string, options: NodeOptions & { abort?: string }) => onNode(options, async (node) => {
      const response: DmResponse = options.abort === undefined ? { kind: "continue" } : { kind: "abort", code: errnoCode(options.abort) };
      await node.call("event.respond", { session: sessionId(session), token: wholeNumber(token) as Token, response });
      if (options.json === true) printJson({ answered: Number(token) });
      else printLine(`token ${token} is answered`);
    }));
}

function leaseText(lease: ApplicationLease | undefined): string {
  return lease === undefined ? "" : describeLease(lease);
}
export function sessionId(text: string): SessionId {
  return wholeNumber(text) as SessionId;
}
function ownerOf(options: { session?: number; group?: string }): { session: SessionId } | { group: GroupName } {
  if (options.session !== undefined && options.group === undefined) return { session: options.session as SessionId };
  if (options.group !== undefined && options.session === undefined) return { group: options.group as GroupName };
  throw new CommandFailure({ asked: "set a disposition", found: "it needs one owner", next: "Say either --session ID or --group NAME" });
}
function eventsOf(names: readonly string[]): EventType[] {
  return names.flatMap((text) => text.split(",")).filter((text) => text !== "").map((text) => {
    const found = eventTypes.find((type) => type === text);
    if (found !== undefined) return found;
    throw new CommandFailure({ asked: `read the event "${text}"`, found: "there is none of that name", next: `Events are ${eventTypes.join(", ")}` });
  });
}
function errnoCode(text: string): DmCode {
  const found = (Object.keys(errnoOf) as DmCode[]).find((code) => code === text);
  if (found !== undefined) return found;
  throw new CommandFailure({ asked: `read the errno "${text}"`, found: "there is none of that name here", next: `Known are ${Object.keys(errnoOf).join(", ")}` });
}
