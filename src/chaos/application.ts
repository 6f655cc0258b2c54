/**
 * A data-management application of a chaos run, one on each node: it makes, changes, assumes and destroys sessions, takes
 * dispositions away from the others, answers every event that comes, sometimes under a right, and says all of it.
 *
 * Usage: application.js SOCKET NODE SEED. Lines on its standard input: `settle` (no further calls of its own; events are
 * answered as before), `own` (a session of this node gets all events), `end` (destroys the sessions of this node and
 * those that have failed, and ends).
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../base/random.js";
import { type Connection, connect, DmError, type DmResponse, type EventMessage, type EventType, type FsName, type Handle, type NodeId, type SessionId, type Token } from "../client/index.js";
import { operationOf } from "./operation-names.js";
import type { Said, SessionCall } from "./history.js";

const [socket = "", node = "", seed = "1"] = process.argv.slice(2);
const random = new Random(Number(seed));
const fs = "fs2" as FsName;
const INFO = "chaos ";
/** Of a measurement that could not begin. */
const PROBE = "probe";
const SESSIONS_WANTED = 3;
const RESPOND_TRIES = 40;
const now = () => process.hrtime.bigint();
const begunAtMs = Math.round(performance.timeOrigin);

let connection: Connection | undefined;
let isSettling = false;
let calls = 0;
let underWay = 0;
let lastHandle: Handle | undefined;
const served = new Set<SessionId>();

function say(line: Said | { readonly kind: "settled" | "owns" | "over" | "left"; readonly text?: string }): void {
  writeSync(1, `${JSON.stringify({ atNs: now().toString(), ...line })}\n`);
}
function codeOf(error: unknown): string {
  if (error instanceof DmError) return error.code;
  throw error;
}

/** A call of ours, with its beginning and its end said. Undefined when it failed. */
async function tell<T>(name: SessionCall, about: { session?: SessionId; info?: string }, make: () => Promise<T>, sessionOf: (result: T) => SessionId | undefined = () => undefined): Promise<T | undefined> {
  const call = ++calls;
  say({ kind: "begun", call, name, ...about });
  underWay++;
  try {
    const result = await make();
    const session = sessionOf(result);
    say({ kind: "ended", call, outcome: "ok", ...(session === undefined ? {} : { session }) });
    return result;
  } catch (error) {
    say({ kind: "ended", call, outcome: codeOf(error) });
    return undefined;
  } finally {
    underWay--;
  }
}

// Events.

async function serve(at: Connection, session: SessionId): Promise<void> {
  if (served.has(session)) return;
  served.add(session);
  try {
    for (const token of await at.call("token.list", { session })) {
      const asked = now();
      const message = await at.call("event.find", { session, token }).catch(() => undefined);
      if (message !== undefined) void answer(at, session, { ...message, token }, asked);
    }
    while (at.isOpen) await serveOnce(at, session);
  } catch (error) {
    codeOf(error); // destroyed, or moved: it is another application's now
  } finally {
    served.delete(session);
  }
}
async function serveOnce(at: Connection, session: SessionId): Promise<void> {
  const asked = now();
  try {
    for (const message of await at.call("event.get", { session, max: 8, waitMs: 2_000 })) void answer(at, session, message, asked);
  } catch (error) {
    const code = codeOf(error);
    if (code !== "EAGAIN" && code !== "ENOTREADY") throw error;
    if (code === "ENOTREADY") await sleep(100);
  }
}

async function answer(at: Connection, session: SessionId, message: EventMessage, asked: bigint): Promise<void> {
  const { token } = message;
  if (token === undefined) return;
  const operation = operationOf(message);
  if (operation !== undefined) say({ kind: "received", session, token, operation, askedNs: asked.toString() });
  await sleep(random.below(60));
  const handle = "handle" in message.event ? message.event.handle : "handle1" in message.event ? message.event.handle1 : undefined;
  if (handle !== undefined && operation !== undefined) {
    lastHandle = handle;
    if (random.chance(0.2)) await takeRight(at, session, token, handle);
  }
  const response: DmResponse = operation === undefined || random.chance(0.85) ? { kind: "continue" } : { kind: "abort", code: "EPERM" };
  if (operation !== undefined) say({ kind: "responding", operation, response });
  const outcome = await respond(at, session, token, response);
  if (operation !== undefined) say({ kind: "responded", operation, outcome });
}
async function respond(at: Connection, session: SessionId, token: Token, response: DmResponse): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      await at.call("event.respond", { session, token, response });
      return "ok";
    } catch (error) {
      const code = codeOf(error);
      if (code !== "ENOTREADY" || !at.isOpen || tries > RESPOND_TRIES) return code;
    }
    await sleep(250);
  }
}
async function takeRight(at: Connection, session: SessionId, token: Token, handle: Handle): Promise<void> {
  const right = random.chance(0.5) ? "exclusive" : "shared";
  await tell("right", { session }, () => at.call("right.request", { session, handle, token, right, wait: true }));
}

// Calls.

async function listOwn(at: Connection): Promise<SessionId[]> {
  const all = await at.sessions();
  return all.filter((entry) => entry.node === (node as NodeId) && entry.state === "active" && entry.info.startsWith(INFO)).map((entry) => entry.id);
}

async function create(at: Connection): Promise<SessionId | undefined> {
  const info = `${INFO}${node} ${begunAtMs} ${calls}`;
  const made = await tell("create", { info }, () => at.call("session.create", { info }), (result) => result.session);
  if (made !== undefined) void serve(at, made.session);
  return made?.session;
}
async function assume(at: Connection): Promise<void> {
  const failed = (await at.sessions()).filter((entry) => entry.state === "failed" && entry.info.startsWith(INFO));
  if (failed.length === 0) return;
  const { id, info } = random.pick(failed);
  const assumed = await tell("assume", { session: id, info }, () => at.call("session.assume", { session: id, info }));
  if (assumed !== undefined) void serve(at, id);
}
async function dispose(at: Connection, session: SessionId, events: readonly EventType[]): Promise<void> {
  await tell("dispose", { session }, () => at.call("disposition.set", { session, fs, events }));
}
/** A right under a token of our own, for a moment. */
async function holdRight(at: Connection, session: SessionId): Promise<void> {
  const handle = lastHandle;
  if (handle === undefined) return;
  await tell("right", { session }, async () => {
    const { token } = await at.call("userevent.create", { session, data: new Uint8Array(4) });
    try {
      await at.call("right.request", { session, handle, token, right: random.chance(0.5) ? "exclusive" : "shared", wait: true });
      await sleep(random.below(40));
    } finally {
      await respond(at, session, token, { kind: "continue" });
    }
  });
}

async function callSomething(at: Connection): Promise<void> {
  const own = await listOwn(at);
  for (const session of own) void serve(at, session);
  const kind = random.below(100);
  if (own.length === 0 || (kind < 25 && own.length < SESSIONS_WANTED)) return void (await create(at));
  const session = random.pick(own);
  const info = `${INFO}${node} changed ${begunAtMs} ${calls}`;
  if (kind < 40) await tell("modify", { session, info }, () => at.call("session.modify", { session, info }));
  else if (kind < 60) await dispose(at, session, (["read", "create"] as const).filter(() => random.chance(0.6)));
  else if (kind < 80) await assume(at);
  else if (kind < 88) await holdRight(at, session);
  else if (kind < 94) await tell("message", { session }, () => at.call("message.send", { session, isSynchronous: true, data: new Uint8Array(8) }));
  else await tell("destroy", { session }, () => at.call("session.destroy", { session }));
}

async function live(): Promise<void> {
  for (;;) {
    try {
      connection = await connect({ socket });
      await work(connection);
    } catch (error) {
      codeOf(error);
    }
    connection?.close();
    connection = undefined;
    await sleep(200);
  }
}
async function work(at: Connection): Promise<void> {
  for (const session of await listOwn(at)) void serve(at, session);
  while (at.isOpen) {
    if (!isSettling) await callSomething(at).catch(codeOf);
    else if (underWay === 0) say({ kind: "settled" });
    await sleep(isSettling ? 500 : random.between(50, 300));
  }
}

async function own(): Promise<void> {
  for (;;) {
    const at = connection;
    const session = at === undefined ? undefined : ((await listOwn(at).catch(() => []))[0] ?? (await create(at)));
    if (at !== undefined && session !== undefined) {
      void serve(at, session);
      try {
        await at.call("disposition.set", { session, fs, events: ["read", "create"] });
        return say({ kind: "owns" });
      } catch (error) {
        codeOf(error);
      }
    }
    await sleep(300);
  }
}
/** Failed ones are assumed by whoever is first. */
async function end(): Promise<void> {
  for (;;) {
    const at = connection;
    const all = at === undefined ? undefined : await at.sessions().catch(() => undefined);
    const left = all?.filter((entry) => (entry.info.startsWith(INFO) || entry.info.startsWith(PROBE)) && (entry.state === "failed" || entry.node === (node as NodeId)));
    if (left?.length === 0) break;
    for (const { id: session, info, state } of left ?? []) {
      if (at === undefined) break;
      if (state === "failed") await tell("assume", { session, info }, () => at.call("session.assume", { session, info }));
      else await tell("destroy", { session }, () => at.call("session.destroy", { session }));
      void serve(at, session);
    }
    await sleep(200);
  }
  say({ kind: "over" });
  process.exit(0);
}

createInterface(process.stdin).on("line", (line) => {
  if (line === "settle") isSettling = true;
  if (line === "own") void own();
  if (line === "end") void end();
});
process.stdin.on("end", () => process.exit(0));
await live();
