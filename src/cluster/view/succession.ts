/**
 * Who becomes session manager: the eligible node with the greatest preference, of equal ones the lowest id; and the
 * sentence that tells an operator why.
 *
 * Source    requirement R1 (one manager, named identically everywhere), R4 (a third node takes over).
 */
import type { NodeId } from "../../dmapi/ids.js";
import type { MemberFacts, View } from "../view-document.js";

export function bySuccession(a: MemberFacts, b: MemberFacts): number {
  return b.preference - a.preference || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** Those who may be manager, the first to be chosen first. */
export function succession<T extends MemberFacts>(nodes: readonly T[]): T[] {
  return nodes.filter((node) => node.isEligible).sort(bySuccession);
}

/** `before` is the view this node went by until now; undefined when it has just come. */
export function whyManager(view: View, before: View | undefined, self: NodeId): string {
  const chosen = view.members.find((member) => member.id === view.manager);
  const merit = chosen === undefined ? "" : ` (preference ${chosen.preference})`;
  const others = view.members.map((member) => member.id).join(", ");
  if (before === undefined) {
    if (view.members.length === 1 && view.manager === self) return `${view.manager} began the view alone: first by preference, then by id, of the nodes it saw${merit}`;
    return `${view.manager}${merit} was manager when this node joined ${others}`;
  }
  if (view.members.some((member) => member.id === before.manager)) return `${before.manager} handed over to ${view.manager}${merit} in order`;
  return `${before.manager} is no longer a member; ${view.manager}${merit} took over, first by preference, then by id, of ${others}`;
}
