/**
 * The demonstration where nothing can be mounted: the part of the story that sessions alone can tell, on three real
 * daemons, and for the bytes of files the same machines and the mover's steps in process, on a virtual volume, under faults.
 *
 * Not here  the story itself (story.ts).
 * Source    blueprint section 6 ("No FUSE?").
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "../../client/index.js";
import type { Narrator } from "./narrator.js";
import type { Stage } from "./stage.js";
import { beginStory, type Cast, killManager } from "./story.js";

const simulator = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "simulator", "main.js");
/** As many of these as the time allows; seconds. */
const SEEDS = 50;
const SIMULATE_FOR_S = 30;

/** Throws at the first check that fails. */
export async function playWithoutMounts(stage: Stage, say: Narrator): Promise<void> {
  const cast = await beginStory(stage, say, []);
  await say.step(`A message from ${cast.reader} reaches the session on ${cast.sessionNode}, which is killed; ${cast.reader} assumes it with what it had not answered`, () => moveSession(stage, say, cast));
  await say.step(`The manager, ${cast.manager}, is killed; a third node takes over and collects`, () => killManager(stage, say, cast));
  await say.step(`Files: migrations, recalls, readers and writers on a virtual volume of 3 to 7 nodes that die and freeze`, () => simulate(stage, say));
}

async function moveSession(stage: Stage, say: Narrator, cast: Cast): Promise<void> {
  const there = await connect({ socket: stage.cluster.socket(cast.sessionNode) });
  const here = await connect({ socket: stage.cluster.socket(cast.reader) });
  try {
    const session = await there.createSession("lives on");
    const answer = here.sendMessage(session.id, Buffer.from("are you there?"), { isSynchronous: true });
    answer.catch(() => {}); // told below, where it is awaited
    const [first] = await session.getEvents({ waitMs: 10_000, max: 1 });
    say.check("the message is there", first?.type === "user", `token ${first?.token}`);
    there.close();
    await stage.cluster.kill(cast.sessionNode);
    await stage.until("the session has failed", async () => (await here.call("session.list", {})).some((one) => one.id === session.id && one.state === "failed"));
    const assumed = await here.assumeSession(session.id, "lives on");
    const [again] = await assumed.getEvents({ waitMs: 10_000, max: 1 });
    say.check("the same session offers the same message under the same token", again?.token === first?.token, `session ${assumed.id}, token ${again?.token}`);
    await again?.continue();
    await answer;
    say.check("its answer reaches the sender", true);
    await stage.cluster.restart(cast.sessionNode);
  } finally {
    there.close();
    here.close();
  }
}

async function simulate(stage: Stage, say: Narrator): Promise<void> {
  const told = (await stage.run(process.execPath, [simulator, "--seeds", String(SEEDS), "--within", String(SIMULATE_FOR_S)])).toString().trim();
  say.check("every reader got true bytes or an error, nothing was lost, nothing waits", /every promise held/.test(told), told);
}
