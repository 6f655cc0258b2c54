/**
 * Where an event goes: decided from this node's copy of registry and view alone, the manager is not asked (promise 5).
 *
 * A group's event goes to the member on this node, with no network hop, else to the member that the object's name
 * chooses; who counts as living says the view, never this node's own links (safety M3).
 *
 * Source    requirements R1, R6, R17.
 */
import type { DmEvent } from "../../dmapi/events.js";
import type { FsName, GroupName, SessionId } from "../../dmapi/ids.js";
import type { RegistryIndex } from "../registry-index.js";
import type { SessionRecord } from "../registry-document.js";
import { rendezvous } from "../rights/rendezvous.js";
import type { Surroundings } from "../surroundings.js";

export type Target = { readonly kind: "owner" } | { readonly kind: "session"; readonly session: SessionId };
export type Route =
  | { readonly kind: "host"; readonly session: SessionRecord; readonly group?: GroupName }
  /** The session lives, or may be assumed, but takes nothing now. */
  | { readonly kind: "wait"; readonly session: SessionRecord; readonly why: "failed" | "closing" }
  | { readonly kind: "no-owner" }
  /** The one session it was meant for does not exist (any more). */
  | { readonly kind: "gone" };

export function routeOf(event: { fs: FsName; event: DmEvent; target: Target }, registry: RegistryIndex, here: Surroundings): Route {
  if (event.target.kind === "session") {
    const session = registry.session(event.target.session);
    return session === undefined ? { kind: "gone" } : routeToSession(session, here);
  }
  const owner = registry.owners(event.fs, event.event.type)[0];
  if (owner === undefined) return { kind: "no-owner" };
  if (owner.kind === "group") return routeToGroup(owner.group, event.event, registry, here);
  const session = registry.session(owner.session);
  return session === undefined ? { kind: "no-owner" } : routeToSession(session, here);
}

function routeToSession(session: SessionRecord, here: Surroundings): Route {
  if (!here.isLiving(session)) return { kind: "wait", session, why: "failed" };
  return session.state === "closing" ? { kind: "wait", session, why: "closing" } : { kind: "host", session };
}

function routeToGroup(group: GroupName, event: DmEvent, registry: RegistryIndex, here: Surroundings): Route {
  const members = registry.group(group);
  const able = members.filter((member) => member.state === "active" && here.isLiving(member));
  const chosen = able.find((member) => member.node === here.me) ?? rendezvous(objectOf(event), able, (member) => String(member.id));
  if (chosen !== undefined) return { kind: "host", session: chosen, group };
  const first = members[0];
  if (first === undefined) return { kind: "no-owner" };
  return { kind: "wait", session: first, why: here.isLiving(first) ? "closing" : "failed" };
}

/** Two nodes' events on one object go to one member where neither has its own. */
export function objectOf(event: DmEvent): string {
  if ("handle" in event) return event.handle;
  if ("handle1" in event) return event.handle1;
  return "fsHandle" in event ? event.fsHandle : "";
}
