/**
 * The seam inside a node's machine: below it the membership half (streams, view, registry; node.ts), above it the data
 * management half (session node, source node, rights, rounds, calls; data-management.ts). node.ts routes between them.
 */
import type { DmFailure } from "../dmapi/errors.js";
import type { NodeId, RequestId, SessionId } from "../dmapi/ids.js";
import type { EventMessageBetweenNodes, KeepingMessage, RegistryMessage, RightsMessage, RoundMessage } from "./messages.js";
import type { NodeEffect, NodeInput } from "./node-contract.js";
import type { RegistryIndex } from "./registry-index.js";
import type { ManagerResult, Unfinished } from "./registry-document.js";
import type { View } from "./view-document.js";

type PassedOn = Extract<
  NodeInput,
  {
    kind:
      | "call-made" | "call-abandoned" | "client-gone" | "event-held" | "operation-gone" | "interest-wanted" | "interest-dropped"
      | "fence-drained" | "round-drained" | "round-wanted" | "keeping-said" | "volume-done" | "fs-attached" | "time-passed";
  }
>;

/** Goes to the view's manager when a session hosted here is "closing"; told again to each new manager. */
export type ClosingChecked = Extract<RegistryMessage, { kind: "closing-checked" }>;
/** The manager asks once nothing can be on its way any more; only the answer to this one counts. */
export type ClosingCheck = Extract<RegistryMessage, { kind: "closing-check" }>;

export type DataManagementInput =
  | PassedOn
  | ({ readonly atMs: number } & (
      | { readonly kind: "message-received"; readonly from: NodeId; readonly message: EventMessageBetweenNodes | RightsMessage | RoundMessage | KeepingMessage | ClosingCheck }
      /** This node goes by that view from now on; members that are not in it any more have left. */
      | { readonly kind: "view-adopted"; readonly view: View }
      /** Every member has adopted it and the removed ones are proven dead or their lease is over: rights may be granted. */
      | { readonly kind: "view-in-force"; readonly view: View }
      /**
       * The registry copy of this node changed. The index goes on to change with the copy, and each change is told. `touched`: which
       * sessions were put or destroyed since the last time; absent when the index is another one than then.
       */
      | { readonly kind: "registry-applied"; readonly registry: RegistryIndex; readonly touched?: ReadonlySet<SessionId> }
      | { readonly kind: "manager-answered"; readonly request: RequestId; readonly result: ManagerResult }
      /** This node is not in the view any more: admission stops, hosted sessions, rights and interests are void. */
      | { readonly kind: "excluded" }
    ));

export type DataManagementEffect =
  | Extract<
      NodeEffect,
      {
        kind:
          | "answer-call" | "refuse-call" | "resume-operation" | "token-answered" | "grant-interest" | "raise-fence" | "lower-fence"
          | "begin-round" | "set-owned-events" | "set-sole-mount" | "set-other-mounts" | "keeping-heard" | "volume-job" | "alarm";
      }
    >
  /** Through the stream of that member; `to` may be this node itself, then it comes back as `message-received`. */
  | { readonly kind: "send"; readonly to: NodeId; readonly message: EventMessageBetweenNodes | RightsMessage | RoundMessage | KeepingMessage | ClosingChecked }
  /** To whoever is manager, resent to a new one until answered; comes back as `manager-answered`. */
  | ({ readonly kind: "ask-manager" } & Unfinished);

export type Failure = DmFailure;
