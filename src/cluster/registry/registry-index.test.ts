/** An index that versions were applied to says what one says that is built from the whole of it; so does the audit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../base/random.js";
import { type EventType, eventNumbers } from "../../dmapi/events.js";
import type { FsName, GroupName, Incarnation, NodeId, SessionId } from "../../dmapi/ids.js";
import type { AuditEntry } from "../../dmapi/status.js";
import type { Owner, RegistryChange, SessionRecord } from "../registry-document.js";
import { RegistryIndex } from "../registry-index.js";
import { AUDIT_COUNT_MAX, AUDIT_FOR_MS, AuditTrail } from "./audit.js";
import { hostsOfDataEvents } from "./dispositions.js";

const NODES = ["a", "b", "c"] as NodeId[];
const GROUPS = ["g1", "g2"] as GroupName[];
const FILE_SYSTEMS = ["fs1", "fs2"] as FsName[];
const EVENTS: readonly EventType[] = ["mount", "read", "write", "truncate", "postcreate"];

test("the index after each of many versions is the one that a whole copy makes", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = new Random(seed);
    const index = new RegistryIndex({ version: 0, sessions: [], dispositions: [] });
    let ids = 0;
    for (let version = 1; version <= 120; version++) {
      const known = [...index.eachSession()];
      const changes = Array.from({ length: random.between(1, 3) }, (): RegistryChange => drawn(random, known, () => ++ids as SessionId));
      index.apply({ version, by: NODES[0]!, changes });
      const anew = new RegistryIndex({ version, sessions: [...index.eachSession()], dispositions: index.dispositions });
      assert.deepEqual(answersOf(index), answersOf(anew), `seed ${seed}, version ${version}`);
    }
    assert.ok(ids > 20);
  }
});

function drawn(random: Random, known: readonly SessionRecord[], newId: () => SessionId): RegistryChange {
  const one = known.length === 0 ? undefined : random.pick(known);
  const what = random.below(10);
  if (one === undefined || what < 3) {
    return put({ id: newId(), node: random.pick(NODES), incarnation: 1 as Incarnation, hostGeneration: 1, info: "", state: "active", ...groupOrNone(random) });
  }
  if (what < 5) return put({ ...one, node: random.pick(NODES), hostGeneration: one.hostGeneration + 1, state: random.pick(["active", "failed", "closing"] as const) });
  if (what === 5) return put({ ...one, durability: random.pick(["on", "off"] as const) });
  if (what === 6) {
    const { group: _, ...rest } = one;
    return put({ ...rest, ...groupOrNone(random) });
  }
  if (what === 7) return { kind: "session-destroyed", id: one.id };
  const owner: Owner = one.group === undefined ? { kind: "session", session: one.id } : { kind: "group", group: one.group };
  const isGlobal = random.chance(0.2);
  return { kind: "dispositions-set", owner, fs: isGlobal ? "global" : random.pick(FILE_SYSTEMS), events: isGlobal ? ["mount"] : EVENTS.filter(() => random.chance(0.4)), below: 40 };
}
function groupOrNone(random: Random): { group?: GroupName } {
  return random.chance(0.5) ? { group: random.pick(GROUPS) } : {};
}
function put(session: SessionRecord): RegistryChange {
  return { kind: "session-put", session };
}

function answersOf(index: RegistryIndex): unknown {
  const sessions = [...index.eachSession()];
  return {
    version: index.version, sessions, dispositions: index.dispositions, found: sessions.map(({ id }) => index.session(id)),
    groups: GROUPS.map((group) => index.group(group)), counts: NODES.map((node) => index.countOn(node)),
    durable: new Set(index.eachDurable()),
    owners: (["global", ...FILE_SYSTEMS] as const).map((fs) => EVENTS.map((event) => index.owners(fs, event))),
    owned: FILE_SYSTEMS.map((fs) => index.ownedEvents(fs)),
    hosts: hostsOfDataEvents(index, index.dispositions, ({ state }) => state !== "failed"),
  };
}

test("events that have an owner are told by their numbers", () => {
  const index = new RegistryIndex({ version: 1, sessions: [], dispositions: [{ fs: FILE_SYSTEMS[0]!, event: "read", owner: { kind: "session", session: 1 as SessionId } }] });
  assert.equal(index.ownedEvents(FILE_SYSTEMS[0]!), 1 << eventNumbers.read);
  assert.equal(index.ownedEvents(FILE_SYSTEMS[1]!), 0);
});

test("the audit keeps the last thousand entries of a day, and what was handed out stays as it was", () => {
  const entry = (version: number, unixMs: number): AuditEntry => ({ version, unixMs, act: "session created", node: NODES[0]!, detail: "" });
  const versions = (trail: AuditTrail) => trail.entries.map(({ version }) => version);
  const given = [entry(1, 0)];
  const trail = new AuditTrail(given);
  for (let version = 2; version <= 2 * AUDIT_COUNT_MAX + 5; version++) trail.add([entry(version, version)]);
  const handedOut = trail.entries;
  assert.deepEqual([handedOut.length, handedOut[0]?.version, handedOut.at(-1)?.version], [AUDIT_COUNT_MAX, AUDIT_COUNT_MAX + 6, 2 * AUDIT_COUNT_MAX + 5]);
  trail.add([entry(9_000, AUDIT_FOR_MS + 2_000), entry(9_001, AUDIT_FOR_MS + 2_000)]);
  assert.deepEqual(versions(trail), [2_001, 2_002, 2_003, 2_004, 2_005, 9_000, 9_001]);
  assert.equal(handedOut.length, AUDIT_COUNT_MAX);
  assert.equal(given.length, 1);
});
