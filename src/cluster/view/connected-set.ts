/**
 * Which nodes may stay together: the largest set in which everybody reaches everybody, of equal ones the one whose
 * sorted ids come first, so that all who know the same facts find the same set.
 *
 * Source    safety C7: the view is closed under reachability.
 */
import type { NodeId } from "../../dmapi/ids.js";

/** Above so many nodes with a missing link the search is no longer exact; a cluster that broken needs its operator. */
const EXACT_COUNT_MAX = 20;

export interface ConnectedSetQuestion {
  readonly nodes: readonly NodeId[];
  readonly isConnected: (a: NodeId, b: NodeId) => boolean;
  /** A set without any node that may be manager is no use; such sets lose against all others. */
  readonly isEligible: (node: NodeId) => boolean;
}

/** Sorted by id. */
export function largestConnectedSet(question: ConnectedSetQuestion): NodeId[] {
  const nodes = [...question.nodes].sort();
  const reachesAll = (a: NodeId): boolean => nodes.every((b) => a === b || question.isConnected(a, b));
  const sound = nodes.filter(reachesAll); // in every largest set
  if (sound.length === nodes.length) return nodes;
  const troubled = nodes.filter((node) => !reachesAll(node));
  const sets = troubled.length <= EXACT_COUNT_MAX ? maximalSets(troubled, question.isConnected) : [greedySet(troubled, question.isConnected)];
  let best: NodeId[] | undefined;
  for (const set of sets) {
    const whole = [...sound, ...set].sort();
    if (best === undefined || isBetter(whole, best, question.isEligible)) best = whole;
  }
  return best ?? sound;
}

function isBetter(a: readonly NodeId[], b: readonly NodeId[], isEligible: (node: NodeId) => boolean): boolean {
  const usable = Number(a.some(isEligible)) - Number(b.some(isEligible));
  if (usable !== 0) return usable > 0;
  if (a.length !== b.length) return a.length > b.length;
  return a.join("\n") < b.join("\n");
}

/** Bron and Kerbosch, without pivot: the lists are short. */
function maximalSets(nodes: readonly NodeId[], isConnected: (a: NodeId, b: NodeId) => boolean): NodeId[][] {
  const found: NodeId[][] = [];
  const extend = (set: NodeId[], open: NodeId[], done: NodeId[]): void => {
    if (open.length === 0 && done.length === 0) found.push(set);
    let rest = open;
    let closed = done;
    for (const node of open) {
      const near = (other: NodeId): boolean => isConnected(node, other);
      extend([...set, node], rest.filter((other) => other !== node && near(other)), closed.filter(near));
      rest = rest.filter((other) => other !== node);
      closed = [...closed, node];
    }
  };
  extend([], [...nodes], []);
  return found;
}

function greedySet(nodes: readonly NodeId[], isConnected: (a: NodeId, b: NodeId) => boolean): NodeId[] {
  const degree = (a: NodeId): number => nodes.filter((b) => a !== b && isConnected(a, b)).length;
  const set: NodeId[] = [];
  for (const node of [...nodes].sort((a, b) => degree(b) - degree(a) || (a < b ? -1 : 1))) {
    if (set.every((other) => isConnected(node, other))) set.push(node);
  }
  return set;
}
