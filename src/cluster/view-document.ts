/**
 * The view: the one document that says who the cluster is. Every change of members, incarnations or mounts makes
 * `number` + 1 (safety C7). It is written by the manager, through coordination, by compare-and-swap.
 *
 * Units     addresses are "host:port".
 * Source    requirement R1, R4; safety C7, C8.
 */
import { isCount, isFlag, isText, isWhole, listOf, mapOf, matching, optional, type Shape } from "../base/shape.js";
import { commonVersion, isVersionRange, type VersionRange } from "../base/version-range.js";
import type { CallerInfo } from "../dmapi/status.js";
import { type FsName, type Incarnation, NAME_PATTERN, type NodeId } from "../dmapi/ids.js";

/** What a node says of itself when it seeks to join. */
export interface MemberFacts {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
  readonly bootId: string;
  readonly address: string;
  readonly isEligible: boolean;
  /** Greater is preferred as session manager. */
  readonly preference: number;
  /** Which versions of the nodes' protocol it speaks; absent: the first alone. */
  readonly versions?: VersionRange | undefined;
}

export interface Member extends MemberFacts {
  /** 0 to 1023, unlike any other member's; its byte of the worker guard and the high bits of its tokens. */
  readonly slot: number;
  /** File systems whose mount this member has announced. */
  readonly mounted: readonly FsName[];
}

export interface View {
  readonly cluster: string;
  readonly number: number;
  readonly manager: NodeId;
  readonly members: readonly Member[];
  /** No session id above this has been given out; a new manager begins above it. */
  readonly sessionIdLimit: number;
  /**
   * Members among which the objects are shared out for their rights: those where data events go, so that a recall needs
   * no third node. Absent: all members.
   */
  readonly rightsServers?: readonly NodeId[];
  /**
   * Former members that are none now, each by its last life: it never enters again, and while its lease may last the view
   * is not in force. Part of the view, so that a manager who joined after the eviction knows of it (safety C7).
   */
  readonly removed?: readonly RemovedLife[];
}
export interface RemovedLife {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
  /** Proven dead, or its lease over, when the view was written. */
  readonly isOver: boolean;
  /** The operator's proof of its death. */
  readonly fenced?: FenceWord;
}
/** Who said on which node and when that a node is stopped and does no more I/O. */
export interface FenceWord {
  readonly by: NodeId;
  readonly unixMs: number;
  readonly caller?: CallerInfo;
}

/** Of views so large that looking through them takes longer than finding their table. */
const tables = new WeakMap<View, ReadonlyMap<NodeId, Member>>();
const LOOKED_THROUGH_MAX = 12;

export function memberNamed(view: View, id: NodeId): Member | undefined {
  if (view.members.length <= LOOKED_THROUGH_MAX) {
    for (const member of view.members) if (member.id === id) return member;
    return undefined;
  }
  let table = tables.get(view);
  if (table === undefined) {
    table = new Map(view.members.map((member) => [member.id, member]));
    tables.set(view, table);
  }
  return table.get(id);
}

const FIRST_VERSION: VersionRange = { lowest: 1, highest: 1 };
/**
 * The version that everybody in this view uses: the highest that all members speak. It rises when the last of them has
 * been upgraded, and falls when an older one joins, which only a node that still speaks it lets in.
 */
export function wireVersionOf(view: Pick<View, "members">): number {
  return commonVersion(...view.members.map((member) => member.versions ?? FIRST_VERSION)) ?? FIRST_VERSION.highest;
}

const name = matching(NAME_PATTERN);
const facts = { id: name, incarnation: isCount, bootId: isText, address: isText, isEligible: isFlag, preference: isWhole, versions: optional(isVersionRange) };
export const isMemberFacts: Shape = mapOf(facts);
const isFenceWord = mapOf({ by: name, unixMs: isWhole, caller: optional(mapOf({ pid: isWhole, uid: isWhole, command: isText })) });
/** Whether what was read or received is a view. */
export const isView: Shape = mapOf({
  cluster: isText, number: isCount, manager: name, sessionIdLimit: isCount,
  members: listOf(mapOf({ ...facts, slot: (value) => isCount(value) && (value as number) < 1024, mounted: listOf(isText) })),
  rightsServers: optional(listOf(name)),
  removed: optional(listOf(mapOf({ id: name, incarnation: isCount, isOver: isFlag, fenced: optional(isFenceWord) }))),
});
