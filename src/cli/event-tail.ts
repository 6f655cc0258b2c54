/**
 * `sluice events tail`: a small DM application that prints what happens and lets users go on. It leaves the file system
 * as it found it: its session is destroyed and the event list restored when it ends, also on Ctrl-C.
 */
import { type DmResponse, type EventMessage, type EventType, eventListEvents, eventsIn, isSynchronous } from "../dmapi/events.js";
import type { FsName, SessionId } from "../dmapi/ids.js";
import { DmError } from "../dmapi/errors.js";
import { CommandFailure } from "./failure.js";
import type { NodeConnection } from "./node-connection.js";
import { printable, printJson, printLine } from "./output.js";

export interface TailOptions {
  readonly fs: FsName;
  readonly events?: readonly EventType[];
  /** Absent: events are printed and left unanswered. */
  readonly response?: DmResponse;
  readonly isJson: boolean;
}

export async function tailEvents(node: NodeConnection, options: TailOptions): Promise<void> {
  const fs = (await node.call("fs.list", {})).find((entry) => entry.fs === options.fs);
  if (fs === undefined) throw new CommandFailure({ asked: `watch ${options.fs}`, found: "this node manages no file system of that name", next: "sluice status lists them" });
  const events = options.events ?? eventsIn(eventListEvents.fs);
  const { session } = await node.call("session.create", { info: `sluice events tail, pid ${process.pid}` });
  let isOver = false;
  const stop = new Promise<void>((resolve) => {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.once(name, () => {
        isOver = true;
        resolve();
      });
    }
  });
  const before = (await node.call("eventlist.get", { session, handle: fs.handle })).events;
  try {
    await node.call("eventlist.set", { session, handle: fs.handle, events: [...new Set([...eventsIn(before), ...events])].filter((type) => eventsIn(eventListEvents.fs).includes(type)) });
    await node.call("disposition.set", { session, fs: options.fs, events: events.filter((type) => type !== "mount") });
    if (!options.isJson) printLine(`session ${session} takes ${events.join(", ")} of ${options.fs}; Ctrl-C ends it`);
    while (!isOver) await Promise.race([takeSome(node, session, options), stop]);
  } finally {
    await undo(node, session, options.fs, fs.handle, eventsIn(before));
  }
}

async function takeSome(node: NodeConnection, session: SessionId, options: TailOptions): Promise<void> {
  let messages: readonly EventMessage[];
  try {
    messages = await node.call("event.get", { session, waitMs: 500 });
  } catch (error) {
    if (error instanceof DmError && error.code === "EAGAIN") return;
    throw error;
  }
  for (const message of messages) {
    if (options.isJson) printJson(message);
    else printLine(describeEvent(message));
    if (message.token !== undefined && options.response !== undefined && message.notice === undefined) {
      await node.call("event.respond", { session, token: message.token, response: options.response });
    }
  }
}

/** Nobody may be left waiting for a session that goes: what it still holds is let go on. */
async function undo(node: NodeConnection, session: SessionId, fs: FsName, handle: Parameters<typeof node.call<"eventlist.set">>[1]["handle"], before: readonly EventType[]): Promise<void> {
  await node.call("eventlist.set", { session, handle, events: before });
  await node.call("disposition.set", { session, fs, events: [] });
  const giveUpAt = performance.now() + 10_000;
  for (;;) {
    for (const token of await node.call("token.list", { session })) await node.call("event.respond", { session, token, response: { kind: "continue" } });
    try {
      await node.call("session.destroy", { session });
      return;
    } catch (error) {
      if (!(error instanceof DmError && error.code === "EBUSY") || performance.now() > giveUpAt) throw error;
      await node.call("event.get", { session, waitMs: 50 }).catch(() => []);
    }
  }
}

export function describeEvent(message: EventMessage): string {
  const { event } = message;
  const who = message.process === undefined ? "" : ` by ${message.process.command} (pid ${message.process.pid}, uid ${message.process.uid})`;
  const token = message.token === undefined ? (isSynchronous(event.type) ? "notice" : "told") : `token ${message.token}`;
  return printable(`${message.fs} ${event.type}${detailOf(event)} on ${message.source}${who}, ${token}`);
}
function detailOf(event: EventMessage["event"]): string {
  switch (event.type) {
    case "read": case "write": case "truncate":
      return ` ${event.handle} ${event.offset}+${event.length}`;
    case "attribute": case "close": case "debut": case "destroy":
      return ` ${event.handle}`;
    case "mount":
      return ` ${event.mountpoint}`;
    case "cancel":
      return ` of token ${event.cancelledToken}`;
    case "user":
      return ` ${event.data.length} bytes`;
    default:
      return `${event.name1 === undefined ? "" : ` ${event.name1}`}${event.name2 === undefined ? "" : ` to ${event.name2}`}`;
  }
}
