/**
 * Logs the events of a file system and lets every operation proceed: `node dist/examples/log-events.js FS [read,create,...]`.
 *
 * Data events (read, write, truncate) come from files with managed regions, the others from objects whose event list, or
 * whose file system's, has them. Ctrl-C ends it; what it was asked to answer is answered first, its session is destroyed.
 */
import { connect, type Event, type EventType, eventTypes } from "sluice";

const [fs, wanted = "create,remove,rename,read,write,truncate"] = process.argv.slice(2);
if (fs === undefined) throw new Error("usage: log-events FS [EVENT,EVENT...]");
const events = wanted.split(",").map((name) => eventTypes.find((type) => type === name) ?? unknown(name));

using node = await connect();
const session = await node.createSession(`log-events fs=${fs}`);
await session.setDisposition(fs, events);
console.log(`session ${session.id}: ${events.join(" ")} of ${fs}`);

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());

for await (const event of session.events({ signal: stop.signal })) {
  const who = event.process === undefined ? "" : ` by ${event.process.command} (pid ${event.process.pid})`;
  console.log(`${event.type} ${describe(event)} on ${event.node}${who}`);
  await event.continue();
}
await session.setDisposition(fs, []);
await session.destroy();

function describe(event: Event): string {
  switch (event.type) {
    case "read": case "write": case "truncate":
      return `${event.handle} [${event.offset}, ${event.length === 0 ? "end" : event.offset + event.length})`;
    case "mount":
      return event.mountpoint;
    case "user": case "cancel":
      return "";
    case "attribute": case "close": case "debut": case "destroy":
      return event.handle;
    default: // events of names
      return [event.name1, event.name2].filter((name) => name !== undefined).join(" -> ");
  }
}
function unknown(name: string): EventType {
  throw new Error(`there is no event "${name}"; there are: ${eventTypes.join(" ")}`);
}
