/**
 * How many events a second an asynchronous event's users get through: with a durable session, whose log is synced before
 * each of them goes on, and with an ordinary one; and how many events share a sync as users become more (group commit).
 *
 * Usage: durable-events.js [FILES]. Prints one row for each number of users; two nodes, the session on the other one.
 */
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect, type Connection, type Session } from "../client/index.js";

const here = dirname(fileURLToPath(import.meta.url));
const command = join(here, "..", "..", "bin", "sluice.mjs");
const files = Number(process.argv[2] ?? "1200");
const work = mkdtempSync(join(tmpdir(), "sluice-bench-"));

interface Cluster {
  nodes: { id: string; socket: string; mounts: { mountpoint: string }[] }[];
}
function sluice(...args: string[]): string {
  return execFileSync(process.execPath, [command, ...args], { encoding: "utf8", maxBuffer: 1 << 24 });
}

/** Users make files, so many in all, each in a directory of its own: in one the kernel lets them create one after the other. */
async function make(mountpoint: string, name: string, users: number): Promise<number> {
  const script = 'mkdir "$1"; i=0; while [ $i -lt "$2" ]; do : > "$1/$i"; i=$((i + 1)); done';
  const begun = performance.now();
  await Promise.all(Array.from({ length: users }, (_, user) => new Promise<void>((resolve, reject) => {
    const place = join(mountpoint, `${name}-${user}`);
    execFile("/bin/sh", ["-ec", script, "sh", place, String(Math.ceil(files / users))], (error) => (error === null ? resolve() : reject(error)));
  })));
  return (performance.now() - begun) / 1000;
}
/** Takes and acknowledges, many at a time, until stopped. */
function serve(session: Session): () => Promise<number> {
  const stop = new AbortController();
  const served = (async () => {
    let seen = 0;
    while (!stop.signal.aborted) {
      const events = await session.getEvents({ waitMs: 200 });
      seen += events.length;
      const ids = events.flatMap(({ id }) => (id === undefined ? [] : [id]));
      if (ids.length > 0) await session.acknowledge(ids);
    }
    return seen;
  })();
  return () => {
    stop.abort();
    return served;
  };
}
async function counters(connection: Connection): Promise<Readonly<Record<string, number>>> {
  return (await connection.call("node.status", {})).counters;
}

try {
  const cluster = JSON.parse(sluice("cluster", "up", "--nodes", "2", "--dir", join(work, "c"), "--json")) as Cluster;
  const [host, source] = cluster.nodes;
  const [application, atSource] = await Promise.all([connect({ socket: host!.socket }), connect({ socket: source!.socket })]);
  const fs = await application.fileSystem("fs1");
  for (const isDurable of [false, true]) {
    const session = await application.createSession("event benchmark", { isDurable });
    await session.setDisposition("fs1", ["postcreate"]);
    await session.object(fs.handle).setEventList(["postcreate"]);
    const stop = serve(session);
    await make(source!.mounts[0]!.mountpoint, `warm-${isDurable}`, 4);
    for (const users of [1, 4, 16, 64]) {
      const before = await counters(atSource);
      const seconds = await make(source!.mounts[0]!.mountpoint, `${isDurable}-${users}`, users);
      const now = await counters(atSource);
      const events = users * (1 + Math.ceil(files / users));
      const syncs = (now["durableEventWrites"] ?? 0) - (before["durableEventWrites"] ?? 0);
      const shared = isDurable ? `   ${(events / syncs).toFixed(1)} events a sync` : "";
      process.stdout.write(`${isDurable ? "durable " : "ordinary"}  ${String(users).padStart(2)} users  ${(events / seconds).toFixed(0).padStart(6)} events/s${shared}\n`);
    }
    await stop();
    await session.setDisposition("fs1", []);
    await session.destroy();
  }
  application.close();
  atSource.close();
} finally {
  sluice("cluster", "down", "--dir", join(work, "c"));
  rmSync(work, { recursive: true, force: true });
}
