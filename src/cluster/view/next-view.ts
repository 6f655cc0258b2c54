/**
 * The next view, from the present one and what is known: who is dead, who reaches whom, who wants in, what was asked.
 *
 * Source    safety C7; requirement R16 (session ids from blocks reserved in the view).
 */
import { assert } from "../../base/assert.js";
import type { FsName, NodeId } from "../../dmapi/ids.js";
import { type FenceWord, type Member, type MemberFacts, memberNamed, type RemovedLife, type View } from "../view-document.js";
import { largestConnectedSet } from "./connected-set.js";
import { succession } from "./succession.js";

/** Every manager begins with a block of its own: the ids (sessionIdLimit - block, sessionIdLimit] of its first view. */
export const SESSION_ID_BLOCK = 4096;
export /** Of objects whose events have no owner. */
const RIGHTS_SERVERS_MAX = 8;
const SLOT_COUNT = 1024;

export interface MountWish {
  readonly node: NodeId;
  readonly fs: FsName;
  readonly isMounted: boolean;
}

export interface FencedLife extends Pick<MemberFacts, "id" | "incarnation"> {
  readonly word: FenceWord;
}

export interface Situation {
  readonly cluster: string;
  /** The highest view stored; undefined when there is none at all. */
  readonly base: View | undefined;
  /** Who makes the view: its manager unless moved, resigned, or outside the connected set. */
  readonly self: MemberFacts;
  readonly isDead: (life: Pick<MemberFacts, "id" | "incarnation">) => boolean;
  /** Dead, and never to come back. */
  readonly isEnded: (life: Pick<MemberFacts, "id" | "incarnation">) => boolean;
  readonly isConnected: (a: NodeId, b: NodeId) => boolean;
  /** Members that have not been connected for so long that one of them must go. */
  readonly isParted: (a: NodeId, b: NodeId) => boolean;
  /** Whether a member has the registry whole: a set without such a one would forget what was answered. */
  readonly isHolder: (id: NodeId) => boolean;
  /** Living nodes that seek to enter, sorted. */
  readonly candidates: readonly MemberFacts[];
  readonly mounts: readonly MountWish[];
  readonly moveTo: NodeId | undefined;
  readonly wantsMoreIds: boolean;
  /** Lives of which the operator said that they are over; what the views before knew of is in them. */
  readonly fenced: readonly FencedLife[];
  /** Where data events go; undefined: as in the view before. */
  readonly rightsServers: readonly NodeId[] | undefined;
}

export function nextView(situation: Situation): View {
  const { base, cluster } = situation;
  const living = (base?.members ?? []).filter((member) => !situation.isDead(member));
  if (living.length === 0) return firstView(situation);
  const kept = largestConnectedSet({
    nodes: living.map((member) => member.id),
    isConnected: (a, b) => !situation.isParted(a, b),
    isEligible: (id) => situation.isHolder(id) && living.some((member) => member.id === id && member.isEligible),
  });
  let members = kept.length === living.length ? living : living.filter((member) => kept.includes(member.id));
  for (const candidate of situation.candidates) {
    if (members.some((member) => member.id === candidate.id || !situation.isConnected(member.id, candidate.id))) continue;
    members = [...members, { ...candidate, slot: freeSlot(candidate.id, members, base), mounted: [] }];
  }
  members = members.map((member) => withMounts(member, situation.mounts)).sort((a, b) => (a.id < b.id ? -1 : 1));
  const manager = chooseManager(members, situation);
  assert(base !== undefined, "members come from a view");
  const hasNewManager = !isSameLife(base, manager);
  const sessionIdLimit = base.sessionIdLimit + (hasNewManager || situation.wantsMoreIds ? SESSION_ID_BLOCK : 0);
  return { cluster, number: base.number + 1, manager: manager.id, members, sessionIdLimit, ...withRightsServers(members, situation), ...withRemoved(members, situation) };
}
/** Every member reports to every server in each view: where data events go nowhere, some do for all. */
function withRightsServers(members: readonly Member[], { base, rightsServers }: Situation): { rightsServers?: readonly NodeId[] } {
  const wanted = rightsServers ?? base?.rightsServers ?? [];
  const servers = members.map((member) => member.id).filter((id) => wanted.includes(id));
  if (servers.length > 0) return { rightsServers: servers };
  return members.length <= RIGHTS_SERVERS_MAX ? {} : { rightsServers: members.slice(0, RIGHTS_SERVERS_MAX).map((member) => member.id) };
}
/** The last life of everybody who was a member and is not, also in a later one. */
function withRemoved(members: readonly Member[], { base, isEnded, fenced }: Situation): { removed?: readonly RemovedLife[] } {
  const lives = new Map<NodeId, RemovedLife>();
  const isPast = ({ id, incarnation }: Pick<MemberFacts, "id" | "incarnation">): boolean =>
    members.some((member) => member.id === id && member.incarnation >= incarnation) || (lives.get(id)?.incarnation ?? -1) > incarnation;
  for (const life of [...(base?.removed ?? []), ...(base?.members ?? [])]) {
    const { id, incarnation } = life;
    const word = "fenced" in life ? life.fenced : undefined;
    if (!isPast(life)) lives.set(id, { id, incarnation, isOver: ("isOver" in life && life.isOver) || isEnded(life), ...(word !== undefined && { fenced: word }) });
  }
  for (const { id, incarnation, word } of fenced) if (!isPast({ id, incarnation })) lives.set(id, { id, incarnation, isOver: true, fenced: word });
  const removed = [...lives.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  return removed.length === 0 ? {} : { removed };
}

/** Nobody of the former view lives, or there was none: its author begins alone, and the others are admitted after. */
function firstView(situation: Situation): View {
  const { cluster, base, self } = situation;
  const member: Member = { ...self, slot: freeSlot(self.id, [], base), mounted: [] };
  return {
    cluster, number: (base?.number ?? 0) + 1, manager: self.id, members: [member],
    sessionIdLimit: (base?.sessionIdLimit ?? 0) + SESSION_ID_BLOCK, ...withRemoved([member], situation),
  };
}

function chooseManager(members: readonly Member[], { self, moveTo, isHolder }: Situation): Member {
  const order = succession(members);
  const holders = order.filter((member) => isHolder(member.id));
  const chosen = holders.find((member) => member.id === moveTo) ?? holders.find((member) => member.id === self.id) ?? holders[0] ?? order[0] ?? members[0];
  assert(chosen !== undefined, "a view has a member");
  return chosen;
}

function isSameLife(base: View, manager: Member): boolean {
  return base.manager === manager.id && base.members.some((member) => member.id === manager.id && member.incarnation === manager.incarnation);
}

function withMounts(member: Member, wishes: readonly MountWish[]): Member {
  let mounted = member.mounted;
  for (const wish of wishes) {
    if (wish.node !== member.id || mounted.includes(wish.fs) === wish.isMounted) continue;
    mounted = wish.isMounted ? [...mounted, wish.fs].sort() : mounted.filter((fs) => fs !== wish.fs);
  }
  return mounted === member.mounted ? member : { ...member, mounted };
}

/** The same for the same id as long as nobody else has it: first its former one, then from its name onwards. */
function freeSlot(id: NodeId, members: readonly Member[], base: View | undefined): number {
  const former = base?.members.find((member) => member.id === id)?.slot;
  let hash = 2166136261;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 16777619) >>> 0;
  const isTaken = (slot: number): boolean =>
    members.some((member) => member.slot === slot) || (base?.members ?? []).some((member) => member.id !== id && member.slot === slot);
  let slot = former ?? hash % SLOT_COUNT;
  for (let tries = 0; tries < SLOT_COUNT && isTaken(slot); tries++) slot = (slot + 1) % SLOT_COUNT;
  assert(!isTaken(slot), "a view has at most 512 members, so half of the slots are free");
  return slot;
}

/** Whether they differ in more than their number. */
export function isSameView(a: View, b: View): boolean {
  return a.manager === b.manager && a.sessionIdLimit === b.sessionIdLimit && a.members.length === b.members.length
    && a.rightsServers?.join("\n") === b.rightsServers?.join("\n") && fencedText(a) === fencedText(b)
    && a.members.every((member, at) => isSameMember(member, b.members[at]));
}

function fencedText({ removed }: View): string {
  return (removed ?? []).flatMap(({ id, incarnation, fenced }) => (fenced === undefined ? [] : [`${id} ${incarnation}`])).join("\n");
}
function isSameMember(a: Member, b: Member | undefined): boolean {
  return b !== undefined && a.id === b.id && a.incarnation === b.incarnation && a.slot === b.slot && a.mounted.join("\n") === b.mounted.join("\n");
}

export function memberOf(view: View | undefined, facts: Pick<MemberFacts, "id" | "incarnation">): Member | undefined {
  const member = view === undefined ? undefined : memberNamed(view, facts.id);
  return member?.incarnation === facts.incarnation ? member : undefined;
}
