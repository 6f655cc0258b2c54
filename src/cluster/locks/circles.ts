/**
 * Circles of processes that wait for each other's locks of ranges, over all nodes of one file system.
 *
 * Each node tells which of its waiting owners hold what; nobody else can be in a circle. Reports of different nodes are of
 * different moments, so one of each proves nothing. Two of each do, when every first one had come before a second one was
 * asked for: a wait, or an owner's locks of a file, that is the same in both stood at the moment between the two rounds, and
 * what stood at one moment and is a circle does not end by itself.
 *
 * Not here  asking (daemon/lock-circles.ts), what a node reports and the refusal (daemon/reactor/lock-table.ts).
 * Source    safety H9; fcntl(2), EDEADLK.
 */
import type { NodeId } from "../../dmapi/ids.js";
import type { LockedRange, LockReport, WaitingOwner } from "../messages.js";

/** One report of each node that gave one. */
export type LockReports = ReadonlyMap<NodeId, LockReport>;
/** A request, of the reactor of that life. */
export interface StandingWait {
  readonly node: NodeId;
  readonly life: string;
  readonly wait: number;
}

interface Bytes {
  readonly start: bigint;
  readonly end: bigint;
  readonly isExclusive: boolean;
}
interface Owner {
  readonly node: NodeId;
  readonly life: string;
  readonly waits: readonly { readonly wait: number; readonly handle: string; readonly range: Bytes }[];
  readonly holds: readonly { readonly handle: string; readonly ranges: readonly Bytes[] }[];
}
/** Who waits for whom. */
interface Edge {
  readonly by: StandingWait;
  readonly to: Owner;
}

/** Comparisons of two ranges in one search: with more, circles are missed rather than the node kept busy. */
const COMPARISONS_MAX = 1_000_000;

/** What is the same in both rounds. */
export function standing(first: LockReports, second: LockReports): LockReports {
  const both = new Map<NodeId, LockReport>();
  for (const [node, { life, owners }] of second) {
    const before = first.get(node);
    if (before?.life !== life) continue;
    const earlier = new Map(before.owners.map((each) => [each.owner, each]));
    both.set(node, { life, owners: owners.flatMap((owner) => stillThere(earlier.get(owner.owner), owner)) });
  }
  return both;
}
function stillThere(before: WaitingOwner | undefined, { owner, waits, holds }: WaitingOwner): WaitingOwner[] {
  if (before === undefined) return [];
  const waited = new Set(before.waits.map(({ wait }) => wait));
  const held = new Map(before.holds.map(({ handle, change }) => [handle, change]));
  return [{ owner, waits: waits.filter(({ wait }) => waited.has(wait)), holds: holds.filter(({ handle, change }) => held.get(handle) === change) }];
}

/**
 * The waits that must be refused so that no circle is left of those among the reports, as far as one refusal each does it:
 * of owners of whom each waits, by way of others, for each, the last wait by node, life and number. Everybody who has the
 * same reports chooses the same.
 */
export function victims(reports: LockReports): StandingWait[] {
  const edges = edgesOf(ownersOf(reports));
  const circles = mutual(edges);
  const last = new Map<number, StandingWait>();
  for (const [owner, ofOwner] of edges) {
    const circle = circles.get(owner)!;
    for (const { by, to } of ofOwner) {
      const other = last.get(circle);
      if (circles.get(to) === circle && (other === undefined || isAfter(by, other))) last.set(circle, by);
    }
  }
  return [...last.values()];
}
function isAfter(a: StandingWait, b: StandingWait): boolean {
  if (a.node !== b.node) return a.node > b.node;
  return a.life === b.life ? a.wait > b.wait : a.life > b.life;
}

function ownersOf(reports: LockReports): Owner[] {
  return [...reports].flatMap(([node, { life, owners }]) => owners.map(({ waits, holds }) => ({
    node, life,
    waits: waits.map(({ wait, handle, range }) => ({ wait, handle, range: bytesOf(range) })),
    holds: holds.map(({ handle, ranges }) => ({ handle, ranges: ranges.map(bytesOf) })),
  })));
}
function bytesOf({ start, end, isExclusive }: LockedRange): Bytes {
  return { start: BigInt(start), end: BigInt(end), isExclusive };
}

function edgesOf(owners: readonly Owner[]): Map<Owner, Edge[]> {
  const holders = new Map<string, { readonly owner: Owner; readonly ranges: readonly Bytes[] }[]>();
  for (const owner of owners) {
    for (const { handle, ranges } of owner.holds) {
      const ofFile = holders.get(handle);
      if (ofFile === undefined) holders.set(handle, [{ owner, ranges }]);
      else ofFile.push({ owner, ranges });
    }
  }
  let left = COMPARISONS_MAX;
  const meets = (range: Bytes) => (held: Bytes) => left-- > 0 && held.start <= range.end && range.start <= held.end && (held.isExclusive || range.isExclusive);
  return new Map(owners.map((owner) => [owner, owner.waits.flatMap(({ wait, handle, range }) =>
    (holders.get(handle) ?? []).filter((held) => held.owner !== owner && held.ranges.some(meets(range)))
      .map(({ owner: to }) => ({ by: { node: owner.node, life: owner.life, wait }, to })))]));
}

/** Two owners have the same number exactly if each waits, by way of others, for the other (Tarjan's components). */
function mutual(edges: ReadonlyMap<Owner, readonly Edge[]>): Map<Owner, number> {
  const component = new Map<Owner, number>();
  const order = new Map<Owner, number>();
  const low = new Map<Owner, number>();
  const open: Owner[] = [];
  for (const root of edges.keys()) {
    if (order.has(root)) continue;
    const path: { readonly owner: Owner; next: number }[] = [];
    const enter = (owner: Owner) => {
      low.set(owner, order.size);
      order.set(owner, order.size);
      open.push(owner);
      path.push({ owner, next: 0 });
    };
    enter(root);
    for (let at = path.at(-1); at !== undefined; at = path.at(-1)) {
      const { owner } = at;
      const to = edges.get(owner)![at.next++]?.to;
      if (to !== undefined) {
        if (!order.has(to)) enter(to);
        else if (!component.has(to)) low.set(owner, Math.min(low.get(owner)!, order.get(to)!));
        continue;
      }
      path.pop();
      const above = path.at(-1)?.owner;
      if (above !== undefined) low.set(above, Math.min(low.get(above)!, low.get(owner)!));
      if (low.get(owner) !== order.get(owner)) continue;
      for (let member = open.pop(); member !== undefined; member = open.pop()) {
        component.set(member, order.get(owner)!);
        if (member === owner) break;
      }
    }
  }
  return component;
}
