/**
 * After the faults everything must come to rest: the cluster is whole, every user is answered, nobody waits, nothing is
 * held, all nodes tell the same; and every file can be moved and read on every node.
 *
 * Bounds are generous: a slow machine takes longer, and a cluster that hangs takes for ever.
 */
import { delay } from "../cli/cluster/local-cluster.js";
import { connect, type NodeId } from "../client/index.js";
import type { StatusDocument } from "../dmapi/status.js";
import { registryText } from "../promises/registry.js";
import type { Chaos } from "./chaos.js";
import type { Told } from "./judge.js";

const BOUND_MS = 180_000;
const LOOK_MS = 250;
const MOVE_TRIES = 6;

/** True when it came to hold within the bound; else the run has a problem more. */
async function until(chaos: Chaos, missing: () => Promise<string | undefined> | string | undefined, boundMs = BOUND_MS): Promise<boolean> {
  const giveUpAt = performance.now() + boundMs;
  let last: string | undefined = "not looked at";
  while (!chaos.run.isEnding) {
    try {
      last = await missing();
    } catch (error) {
      last = String(error);
    }
    if (last === undefined) return true;
    if (performance.now() > giveUpAt) break;
    chaos.lookAtViews();
    await delay(LOOK_MS);
  }
  if (!chaos.run.isEnding) chaos.run.problems.push(`after healing, for ${boundMs / 1000} s: ${last}`);
  return false;
}

/** The cluster is healed, and what is under way ends. */
export async function comeToRest(chaos: Chaos): Promise<void> {
  const { run, users } = chaos;
  await run.cluster.heal();
  await run.cluster.start().catch((error: unknown) => run.note(String(error))); // what is still missing is told below
  await until(chaos, async () => unrestOfView(await statuses(chaos)));
  run.note("healed");
  run.isMoving = false;
  await until(chaos, () => (users.isWriting ? "a writer still writes" : undefined));
  for (const node of run.nodes) chaos.tell(node, "settle");
  await until(chaos, () => missingWord(chaos, "settled"));
  chaos.tell(run.nodes[0]!, "own");
  await until(chaos, () => (chaos.hasSaid(run.nodes[0]!, "owns") ? undefined : "no application could take all events"));
  chaos.stopAsking();
  await until(chaos, () => {
    const still = chaos.stillAsking;
    return still.length === 0 ? undefined : `${still.join(", ")} still waits`;
  });
  await users.end();
  await until(chaos, async () => unrestOf(await statuses(chaos)));
}
function missingWord(chaos: Chaos, word: "settled" | "over"): string | undefined {
  const missing = chaos.run.nodes.filter((node) => !chaos.hasSaid(node, word));
  return missing.length === 0 ? undefined : `the application on ${missing.join(", ")} has not ${word === "over" ? "ended" : "settled"}`;
}

export async function tables(chaos: Chaos): Promise<Told[]> {
  return (await statuses(chaos)).map(({ node, registry }) => ({ node, registry }));
}
function statuses(chaos: Chaos): Promise<StatusDocument[]> {
  return Promise.all(chaos.run.nodes.map((node) => chaos.run.cluster.status(node)));
}

/** All are members. Dispositions that change hands make new views, so under load these need not be the same, or in force. */
function unrestOfView(all: readonly StatusDocument[]): string | undefined {
  for (const { node, state, view } of all) {
    if (state !== "member" || view === null) return `${node} is ${state}`;
    if (view.members.length !== all.length) return `${node} is in view ${view.number} of ${view.members.length} members`;
  }
  return undefined;
}

/** What is not yet as it ought to be when nobody does anything. */
function unrestOf(all: readonly StatusDocument[]): string | undefined {
  const [first] = all;
  const viewless = unrestOfView(all);
  if (viewless !== undefined) return viewless;
  for (const status of all) {
    const { node, view, queues, waiters, rights, links } = status;
    if (view?.isInForce !== true) return `on ${node} view ${view?.number} is not in force`;
    if (view.number !== first?.view?.number) return `${node} is in view ${view.number}, ${first?.node} in view ${first?.view?.number}`;
    if (waiters.length > 0) return `on ${node} ${waiters.length} users wait: ${JSON.stringify(waiters[0])}`;
    if (rights.held.length > 0) return `on ${node} a right is held: ${JSON.stringify(rights.held[0])}`;
    if (rights.fences.length > 0) return `on ${node} a fence stands: ${JSON.stringify(rights.fences[0])}`;
    const queue = queues.find((each) => each.undelivered > 0 || each.outstanding.length > 0);
    if (queue !== undefined) return `on ${node} session ${queue.session} has ${queue.undelivered} undelivered events and tokens ${JSON.stringify(queue.outstanding)}`;
    const link = links.find((each) => !each.isUp || each.isCut || each.unacknowledged > 0);
    if (link !== undefined) return `on ${node} the link to ${link.peer} is ${JSON.stringify(link)}`;
    if (status.registry.version !== first.registry.version) return `registry versions: ${all.map((each) => `${each.node} ${each.registry.version}`).join(", ")}`;
    if (registryText(status.registry) !== registryText(first.registry)) return `the registry on ${node} is ${registryText(status.registry)}, on ${first.node} ${registryText(first.registry)}`;
  }
  return undefined;
}

/** Applications destroy what they have; no session may be left but the mover's. */
export async function endSessions(chaos: Chaos): Promise<void> {
  const { run } = chaos;
  chaos.dismissApplications();
  for (const node of run.nodes) chaos.tell(node, "end");
  await until(chaos, () => missingWord(chaos, "over"));
  await until(chaos, async () => {
    const all = await statuses(chaos);
    const left = all.flatMap(({ node, registry }) => registry.sessions.filter((each) => !isMovers(each.info)).map((each) => `${each.id} "${each.info}" ${each.state} on ${each.node}, says ${node}`));
    return left.length === 0 ? unrestOf(all) : `sessions are left: ${left.slice(0, 3).join("; ")}`;
  });
}
/** The migration application's information is a document that names its file system. */
function isMovers(info: string): boolean {
  return info.includes("fs1");
}

/** Nothing holds any file: each can be moved, and then read with what was written last, on every node. */
export async function checkFiles(chaos: Chaos): Promise<void> {
  const { run, users } = chaos;
  const node = run.nodes.at(-1)!;
  let said = "";
  for (let tries = 0; tries < MOVE_TRIES && !run.isEnding; tries++) {
    const moved = await run.sluice(["migrate", "-r", run.files(node), "--socket", run.cluster.socket(node)], BOUND_MS);
    said = `${moved.code} ${moved.stderr.slice(0, 500)}${moved.stdout.slice(-200)}`;
    run.note(`migrate all: ${said}`);
    if (moved.code === 0) break;
    if (tries === MOVE_TRIES - 1) run.problems.push(`at rest not every file could be migrated: ${said}`);
    await delay(2_000);
  }
  run.oracle.judge(process.hrtime.bigint());
  for (const each of run.nodes) if (!run.isEnding) await users.verify(each);
}

/** The mover's session is the last; when it is destroyed no node knows any session or disposition. */
export async function endMover(chaos: Chaos, migrator: Promise<void>): Promise<void> {
  chaos.run.isMigratorWanted = false;
  await migrator;
  await until(chaos, async () => {
    const all = await statuses(chaos);
    for (const { id, node, state } of all[0]?.registry.sessions ?? []) await destroy(chaos, id, state === "failed" ? all[0]!.node : node, state === "failed");
    const left = (await statuses(chaos)).find(({ registry }) => registry.sessions.length + registry.dispositions.length > 0);
    return left === undefined ? undefined : `${left.node} still knows ${JSON.stringify(left.registry)}`;
  }, 60_000);
}
async function destroy(chaos: Chaos, session: Told["registry"]["sessions"][number]["id"], node: NodeId, isFailed: boolean): Promise<void> {
  const at = await connect({ socket: chaos.run.cluster.socket(node) });
  try {
    if (isFailed) await at.call("session.assume", { session, info: "fs1" });
    for (const token of await at.call("token.list", { session })) await at.call("event.respond", { session, token, response: { kind: "continue" } });
    await at.call("session.destroy", { session });
  } finally {
    at.close();
  }
}
