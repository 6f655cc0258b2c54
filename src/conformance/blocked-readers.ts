/**
 * A session whose events are outstanding while its node is lost: a file with a read region, and a blocked reader of it on
 * each of several nodes.
 *
 * Source    requirements R3, R4, R10.
 */
import assert from "node:assert/strict";
import type { EventMessage } from "../dmapi/events.js";
import { regionFlags } from "../dmapi/regions.js";
import type { Bench, Letter, Program } from "./bench.js";
import { DmSession } from "./dm-session.js";
import { refused, within } from "./waiting.js";

export interface Scene {
  readonly session: DmSession;
  readonly info: string;
  readonly readers: readonly Program[];
  readonly events: readonly EventMessage[];
  readonly name: string;
}

/** Each reader is blocked and its event delivered to the session on `host`. */
export async function blockReaders(bench: Bench, host: Letter, letters: readonly Letter[], name: string): Promise<Scene> {
  const info = `session of ${name}`;
  const session = await bench.session(host, info, { fs1: ["read"] });
  await bench.shell('echo "true bytes" > "$1"', bench.path(letters[0]!, "fs1", name));
  await session.regions(bench.handle(host, "fs1", name), [{ offset: 0, size: 0, flags: regionFlags.read }]);
  const readers = letters.map((letter) => bench.program("cat", [bench.path(letter, "fs1", name)]));
  const events: EventMessage[] = [];
  for (const _ of letters) events.push(await session.next());
  assert.deepEqual(events.map((event) => event.source).sort(), letters.map((letter) => bench.id(letter)).sort());
  const handle = bench.handle(host, "fs1", name);
  await bench.call(host, "right.request", { session: session.id, handle, token: events[0]!.token!, right: "exclusive", wait: true });
  return { session, info, readers, events, name };
}

/** Same id, string and dispositions from the manager; the same events under the same tokens, without rights; the readers get true bytes. */
export async function assumeAndFinish(bench: Bench, scene: Scene, target: Letter): Promise<void> {
  assert(scene.readers.every((reader) => !reader.isOver), "the readers stay blocked");
  const manager = (await bench.status(target)).view!.manager;
  const log = await bench.mark(target);
  const assumed = await bench.call(target, "session.assume", { session: scene.session.id, info: scene.info });
  assert.equal(assumed.session, scene.session.id, "the id stays");
  const entry = await bench.call(target, "session.query", { session: scene.session.id });
  assert.deepEqual([entry.info, entry.node, entry.state], [scene.info, bench.id(target), "active"]);
  assert.deepEqual((await bench.call(target, "disposition.list", { session: scene.session.id })).map((one) => one.event), ["read"]);
  if (manager !== bench.id(target)) {
    const told = (await bench.since(target, log)).some((one) => one.from === manager && /^registry-(changed|installed)$/.test(one.kind));
    assert(told, "the record came from the manager");
  }
  const session = new DmSession(bench, target, scene.session.id);
  const handle = bench.handle(target, "fs1", scene.name);
  // Tokens stay and wait to be received again; the rights under them are gone.
  assert.deepEqual(await bench.call(target, "token.list", { session: session.id }), []);
  for (const event of scene.events) await refused("ESRCH", session.respond(event));
  const again: EventMessage[] = [];
  for (const _ of scene.readers) again.push(await session.next());
  assert.deepEqual(again.map((event) => event.token).sort(), scene.events.map((event) => event.token).sort(), "the same tokens");
  await refused("ENOENT", bench.call(target, "right.query", { session: session.id, handle, token: scene.events[0]!.token! }));
  await finish(bench, { ...scene, session, events: again });
}

/** The events are answered, the readers get true bytes, and the session ends. */
export async function finish(bench: Bench, { session, events, readers, name }: Scene): Promise<void> {
  for (const event of events) await session.respond(event);
  const serving = session.serve();
  for (const reader of readers) assert.equal((await within(reader.end, "a reader")).output.toString(), "true bytes\n");
  await serving.stop();
  await session.regions(bench.handle(session.letter, "fs1", name), []);
  await session.end();
}
