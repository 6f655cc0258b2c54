/**
 * How many asynchronous events a second go from one node to a session on another, none lost and all in order: first at the
 * entrance of the data managers (messages of an application, many under way), then of users who make files, each in a
 * directory of its own.
 *
 * Usage: asynchronous-events.js [MESSAGES] [UNDER_WAY] [FILES]. Prints events a second by the clock, and for
 * each event the processor time of either daemon, of the sender and of the receiver.
 */
import { type ChildProcess, execFileSync, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect, type Session } from "../client/index.js";

const here = dirname(fileURLToPath(import.meta.url));
const command = join(here, "..", "..", "bin", "sluice.mjs");
const MESSAGE_BYTES = 32;
const USERS = 16;
/** The first so many of a run are not counted. */
const WARM_UP = 0.3;

interface Cluster {
  nodes: { id: string; pid: number; socket: string; mounts: { mountpoint: string }[] }[];
}
/** What a child is told, as its second argument. */
interface Part {
  readonly role: "send" | "receive";
  readonly socket: string;
  readonly session: number;
  readonly count: number;
  readonly underWay: number;
}

/** Of all threads, microseconds. */
function processorUs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]) / 1000, 0);
}
const said = async (child: ChildProcess) => (await once(child, "message"))[0] as unknown;

async function send({ socket, session, count, underWay }: Part): Promise<void> {
  const connection = await connect({ socket });
  const tell = (word: string) => process.send!(word);
  const run = async (from: number, to: number) => {
    let next = from;
    const one = async () => {
      while (next < to) {
        const data = Buffer.alloc(MESSAGE_BYTES);
        data.writeUInt32LE(next++);
        await connection.sendMessage(session, data);
      }
    };
    await Promise.all(Array.from({ length: underWay }, one));
  };
  for (const [from, to] of [[0, Math.floor(count * WARM_UP)], [Math.floor(count * WARM_UP), count]] as const) {
    await once(process, "message");
    await run(from, to);
    tell("sent");
  }
  await once(process, "message"); // it has been looked at
  connection.close();
  process.disconnect();
}

async function receive({ socket, session: id, count }: Part): Promise<void> {
  const connection = await connect({ socket });
  const session = await connection.attachSession(id);
  let seen = 0;
  while (seen < count) {
    for (const message of await connection.call("event.get", { session: session.id })) {
      if (message.event.type !== "user") continue;
      const number = Buffer.from(message.event.data).readUInt32LE(0);
      if (number !== seen) throw new Error(`message ${number} came in place of ${seen}`);
      seen++;
      if (seen === Math.floor(count * WARM_UP) || seen === count) process.send!("seen");
    }
  }
  await once(process, "message");
  connection.close();
  process.disconnect();
}

function sluice(...args: string[]): string {
  return execFileSync(process.execPath, [command, ...args], { encoding: "utf8", maxBuffer: 1 << 24 });
}
function tell(what: string, events: number, seconds: number, usEach: Readonly<Record<string, number>>): void {
  const costs = Object.entries(usEach).map(([who, us]) => `${who} ${us.toFixed(1)} us`).join(", ");
  process.stdout.write(`${what}: ${(events / seconds).toFixed(0)} events/s; processor time of each: ${costs}\n`);
}

async function messages(cluster: Cluster, session: Session, count: number, underWay: number): Promise<void> {
  const [host, source] = cluster.nodes;
  const part = (role: Part["role"], socket: string) => fork(fileURLToPath(import.meta.url), [JSON.stringify({ role, socket, session: session.id, count, underWay } satisfies Part)]);
  const [receiver, sender] = [part("receive", host!.socket), part("send", source!.socket)];
  const pids = { "sending daemon": source!.pid, "session's daemon": host!.pid, sender: sender.pid!, receiver: receiver.pid! };
  const round = async () => {
    const [sent, seen] = [said(sender), said(receiver)];
    sender.send("go");
    await Promise.all([sent, seen]);
  };
  await once(sender, "spawn");
  await round();
  const before = Object.entries(pids).map(([who, pid]) => [who, processorUs(pid)] as const);
  const sinceMs = performance.now();
  const [sent, seen] = [said(sender), said(receiver)];
  sender.send("go");
  let took: Record<string, number> = {};
  const counted = count - Math.floor(count * WARM_UP);
  await Promise.all([sent, seen.then(() => {
    took = Object.fromEntries(before.map(([who, us]) => [who, (processorUs(pids[who as keyof typeof pids]) - us) / counted]));
  })]);
  for (const child of [sender, receiver]) child.send("enough");
  tell(`messages, ${underWay} under way`, counted, (performance.now() - sinceMs) / 1000, took);
}

async function files(cluster: Cluster, session: Session, count: number): Promise<void> {
  const [host, source] = cluster.nodes;
  const connection = await connect({ socket: host!.socket });
  await session.setDisposition("fs1", ["postcreate"]);
  const fs = await connection.fileSystem("fs1");
  await session.object(fs.handle).setEventList(["postcreate"]);
  const each = Math.ceil(count / USERS);
  const places = Array.from({ length: USERS }, (_, user) => join(source!.mounts[0]!.mountpoint, `user${user}`));
  let seen = 0;
  const all = USERS * each;
  for (const place of places) mkdirSync(place);
  const received = (async () => {
    while (seen < USERS + all) seen += (await connection.call("event.get", { session: session.id })).length;
  })();
  const before = [source!.pid, host!.pid].map(processorUs);
  const sinceMs = performance.now();
  const script = 'cd "$1"; i=0; while [ $i -lt "$2" ]; do : > $i; i=$((i + 1)); done';
  const users = places.map((place) => spawn("/bin/sh", ["-ec", script, "sh", place, String(each)], { stdio: "inherit" }));
  await Promise.all(users.map((user) => once(user, "exit")));
  await received;
  const seconds = (performance.now() - sinceMs) / 1000;
  const [sending, hosting] = [source!.pid, host!.pid].map((pid, index) => (processorUs(pid) - before[index]!) / all);
  tell(`files made by ${USERS} users`, all, seconds, { "their daemon": sending!, "session's daemon": hosting! });
  connection.close();
}

async function main(): Promise<void> {
  const [count = "200000", underWay = "1024", made = "8000"] = process.argv.slice(2);
  const work = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  try {
    const cluster = JSON.parse(sluice("cluster", "up", "--nodes", "2", "--dir", join(work, "c"), "--json")) as Cluster;
    const connection = await connect({ socket: cluster.nodes[0]!.socket });
    const session = await connection.createSession("asynchronous events");
    await messages(cluster, session, Number(count), Number(underWay));
    if (Number(made) > 0) await files(cluster, session, Number(made));
    connection.close();
  } finally {
    sluice("cluster", "down", "--dir", join(work, "c"));
    rmSync(work, { recursive: true, force: true });
  }
}

const told = process.argv[2] ?? "";
if (!told.startsWith("{")) await main();
else {
  const part = JSON.parse(told) as Part;
  await (part.role === "send" ? send(part) : receive(part));
}
