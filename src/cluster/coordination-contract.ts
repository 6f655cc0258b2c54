/**
 * The contract between the cluster core and coordination: facts come up, requests go down. Both drivers
 * (`shared-volume`, `etcd`) deliver the same; `describeCoordination` (contract.test-suite.ts) is the suite that each passes.
 *
 * A driver proposes who lives; only the view says who is a member. It keeps this node's lease by renewing it while the
 * daemon's threads tick, watches the other members, keeps the highest view it has read, and claims or publishes when asked.
 *
 * Units     milliseconds of this machine's monotonic clock, the same clock as the core's `atMs`.
 * Source    safety C7, C8, H14, M2.
 */
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import type { MemberFacts, View } from "./view-document.js";

export type CoordinationFact =
  /** This node may act as a member until then (counted from before the last renewal was issued), and how long that took. */
  | { readonly kind: "lease-renewed"; readonly validUntilMs: number; readonly tookMs: number }
  /** A living member or candidate was read; repeated only when something in it changed. */
  | { readonly kind: "member-seen"; readonly member: MemberFacts; readonly reaches: readonly NodeId[] }
  /**
   * Its lease is over: it was silent for long enough, or is over for good, since it was given up or claimed and can never
   * be renewed again. Or its end is proven: identity lock free, or boot id changed. That is for good too.
   * Told of this node's own life: its lease was claimed; only `rejoin` helps.
   */
  | { readonly kind: "member-dead"; readonly id: NodeId; readonly incarnation: Incarnation; readonly isProven: boolean; readonly isForGood: boolean }
  /** A member that was silent renewed after all, under the same incarnation. */
  | { readonly kind: "member-alive"; readonly id: NodeId; readonly incarnation: Incarnation }
  /** The highest view now stored; undefined when there is none at all yet. Told at start and at each change. */
  | { readonly kind: "view-seen"; readonly view: View | undefined }
  /** Answer to `publish-view`: stored, or another view with that number was there first (then `view-seen` tells it). */
  | { readonly kind: "view-published"; readonly number: number }
  | { readonly kind: "view-lost"; readonly number: number }
  /** Answer to `claim`: won exactly because the holder has not renewed since it was last watched. */
  | { readonly kind: "claim-won"; readonly id: NodeId; readonly incarnation: Incarnation }
  | { readonly kind: "claim-lost"; readonly id: NodeId; readonly incarnation: Incarnation }
  /** The volume or service cannot be reached; facts may be old. */
  | { readonly kind: "coordination-failed"; readonly message: string };

export type CoordinationRequest =
  /** Links a complete, synced document as `view.<number>`; fails when that number exists. */
  | { readonly kind: "publish-view"; readonly view: View }
  /** Takes the lease of a member that is dead or silent, so that it cannot renew any more. */
  | { readonly kind: "claim"; readonly id: NodeId; readonly incarnation: Incarnation }
  /** Publishes whom this node's links reach. */
  | { readonly kind: "publish-reach"; readonly reaches: readonly NodeId[] }
  /** Try at once whether this member's end can be proven (its link was reset). */
  | { readonly kind: "probe"; readonly id: NodeId; readonly incarnation: Incarnation }
  /** Take a fresh incarnation after exclusion; the lease under the old one is given up. */
  | { readonly kind: "rejoin"; readonly incarnation: Incarnation }
  /** Orderly end: give the lease up so that nobody waits for it. */
  | { readonly kind: "leave" };
