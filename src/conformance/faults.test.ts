/**
 * Nodes that are neither well nor dead: frozen and fenced by the operator, cut off from others, and without their
 * coordination directory. Each call ends, what was blocked goes on elsewhere, and the node comes back as a new one.
 *
 * Source    requirements R3, R4; safety C7, C8, H14; blueprint section 7.
 */
import assert from "node:assert/strict";
import { acceptance, type Letter, shareBench } from "./bench.js";
import { assumeAndFinish, blockReaders } from "./blocked-readers.js";
import { refused } from "./waiting.js";

const bench = shareBench({ nodes: 3, fileSystems: ["fs1"] });
const everybody: readonly Letter[] = ["A", "B", "C"];

acceptance("a frozen session node is fenced: its session moves at once, the record of it stays, and woken it is refused and enters anew", async () => {
  const scene = await blockReaders(bench(), "C", ["A", "B"], "fenced");
  const frozen = bench().id("C");
  await refused("EBUSY", bench().call("B", "node.fence", { node: frozen }));
  const { incarnation } = await bench().status("C");
  bench().cluster.pause(frozen);
  try {
    // As soon as it has said nothing for a while the operator's word is taken.
    for (let isFenced = false; !isFenced; ) {
      isFenced = await bench().call("B", "node.fence", { node: frozen }).then(() => true, () => false);
      if (!isFenced) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await bench().until("the word is in the view", ["A", "B"], ({ view }) => view?.isInForce === true && view.fenced.some((life) => life.id === frozen && life.incarnation === incarnation && life.by === bench().id("B")));
    await bench().until("the session has failed", ["A", "B"], ({ registry }) => registry.sessions.some(({ id, state }) => id === scene.session.id && state === "failed"));
    const audit = await bench().call("A", "registry.audit", {});
    const entry = audit.find(({ act }) => act === "node fenced");
    assert.deepEqual([entry?.node, entry?.detail, entry?.caller?.pid], [bench().id("B"), `${frozen}, incarnation ${incarnation}`, process.pid]);
    await assumeAndFinish(bench(), scene, "B");
  } finally {
    bench().cluster.resume(frozen);
  }
  await bench().until("the woken one is a member in another life", everybody, ({ view }) =>
    view?.isInForce === true && view.fenced.length === 0 && view.members.some((member) => member.id === frozen && member.incarnation > incarnation && member.mounted.length === 1));
  await bench().until("and serves its users", ["C"], ({ state }) => state === "member");
  assert.equal((await bench().run("cat", [bench().path("C", "fs1", "fenced")])).toString(), "true bytes\n");
});
