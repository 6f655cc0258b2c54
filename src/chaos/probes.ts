/**
 * What a run measures round a kill: how soon a session call is answered again, and how soon an event that waited at the
 * lost session node comes again to whoever assumes its session.
 *
 * Units     milliseconds.
 */
import { connect, type Connection, DmError, type NodeId, type SessionId } from "../client/index.js";
import { delay } from "../cli/cluster/local-cluster.js";
import type { Run } from "../torture/run.js";

const BOUND_MS = 120_000;
const LOOK_MS = 5;
const INFO = "probe";

/** From the kill of a session manager to the first answered session call on a node that lives. */
export class TakeoverProbe {
  readonly #at: Connection;
  readonly #session: SessionId;
  private constructor(at: Connection, session: SessionId) {
    this.#at = at;
    this.#session = session;
  }
  static async begin(run: Run, node: NodeId): Promise<TakeoverProbe> {
    const at = await connect({ socket: run.cluster.socket(node) });
    return new TakeoverProbe(at, (await at.createSession(INFO)).id);
  }
  /** To be called as the signal is sent. */
  async measure(run: Run): Promise<number | undefined> {
    const begun = performance.now();
    let ms: number | undefined;
    for (let tries = 0; ms === undefined && performance.now() < begun + BOUND_MS; tries++) {
      try {
        await this.#at.call("session.modify", { session: this.#session, info: `${INFO} ${tries}` });
        ms = performance.now() - begun;
      } catch (error) {
        run.note(`takeover probe: ${String(error)}`);
        await delay(LOOK_MS);
      }
    }
    await endSession(run, this.#at, this.#session);
    return ms;
  }
}

/** From the call that assumes a failed session to the event, delivered at the lost node before, that comes with it again. */
export class AssumeProbe {
  readonly #at: Connection;
  readonly #session: SessionId;
  readonly #user: Promise<{ code: number; stderr: string }>;
  private constructor(at: Connection, session: SessionId, user: AssumeProbe["ended"]) {
    this.#at = at;
    this.#session = session;
    this.#user = user;
  }
  get ended(): Promise<{ code: number; stderr: string }> {
    return this.#user;
  }
  /** A user on `survivor` writes, and its event is delivered to a session on `host`, which will die. */
  static async begin(run: Run, host: NodeId, survivor: NodeId, fs: "fs2", file: string): Promise<AssumeProbe> {
    const there = await connect({ socket: run.cluster.socket(host) });
    const session = await there.createSession(INFO);
    await session.setDisposition(fs, ["write"]);
    const user = run.execute("dd", ["if=/dev/zero", `of=${file}`, "bs=1", "count=1", "conv=notrunc"], BOUND_MS);
    const received = await there.call("event.get", { session: session.id, max: 1, waitMs: 30_000 });
    if (received[0]?.event.type !== "write") throw new Error(`the probe's session got ${JSON.stringify(received)}`);
    there.close();
    return new AssumeProbe(await connect({ socket: run.cluster.socket(survivor) }), session.id, user);
  }
  async measure(run: Run): Promise<number | undefined> {
    const session = this.#session;
    const giveUpAt = performance.now() + BOUND_MS;
    while ((await stateOf(this.#at, session)) !== "failed") {
      if (performance.now() > giveUpAt) throw new Error(`session ${session} of a dead node has not failed`);
      await delay(LOOK_MS);
    }
    const begun = performance.now();
    await retried(() => this.#at.call("session.assume", { session, info: INFO }), giveUpAt);
    const [event] = await this.#at.call("event.get", { session, max: 1, waitMs: 30_000 });
    const ms = performance.now() - begun;
    if (event?.token !== undefined) await this.#at.call("event.respond", { session, token: event.token, response: { kind: "continue" } });
    const { code, stderr } = await this.#user;
    if (code !== 0) run.problems.push(`the user whose session was assumed ended with ${code}: ${stderr}`);
    await endSession(run, this.#at, session);
    return ms;
  }
}

async function stateOf(at: Connection, session: SessionId): Promise<string | undefined> {
  try {
    return (await at.call("session.query", { session })).state;
  } catch (error) {
    if (error instanceof DmError && error.code === "ENOTREADY" && at.isOpen) return undefined;
    throw error;
  }
}
/** A refusal while there is no view in force is no answer. */
async function retried<T>(call: () => Promise<T>, giveUpAt: number): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof DmError) || error.code !== "ENOTREADY" || performance.now() > giveUpAt) throw error;
      await delay(LOOK_MS);
    }
  }
}
async function endSession(run: Run, at: Connection, session: SessionId): Promise<void> {
  try {
    await retried(() => at.call("session.destroy", { session }), performance.now() + BOUND_MS);
  } catch (error) {
    run.problems.push(`the probe's session ${session} stays: ${String(error)}`);
  }
  at.close();
}
