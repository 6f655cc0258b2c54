/**
 * A member's part in the registry: it takes what the session manager installs and changes, one version after the other, asks
 * for what it lacks, and acknowledges.
 *
 * A version that closes a session is acknowledged when everything that this node had sent the session's host before has
 * arrived there: the manager destroys a session only when its host can know of every event (safety H5).
 *
 * Owns      the acknowledged version and what it waits for; the copy of a life that has ended.
 * Not here  the copy itself (copy.ts); who is manager (view/).
 * Source    safety C10, H5; blueprint section 5.
 */
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import type { RegistryMessage } from "../messages.js";
import type { CopyStamp, RegistrySnapshot, Unfinished } from "../registry-document.js";
import type { RegistryCopy } from "./copy.js";

type Point = { readonly incarnation: Incarnation; readonly sequence: number };
/** A version may be acknowledged once what was sent to that node before has arrived there. */
interface Barrier {
  readonly version: number;
  readonly peer: NodeId;
  readonly point: Point;
}
/** What the manager tells its members about the registry. */
export type ManagerWord = Extract<RegistryMessage, { kind: "registry-changed" | "registry-collect" | "registry-installed" }>;

export interface RegistryMemberOptions {
  readonly copy: RegistryCopy;
  /** What has been sent to each peer, and whether it is there (streams.ts). */
  readonly sent: { lastSequence(peer: NodeId): Point | undefined; hasArrived(peer: NodeId, point: Point): boolean };
  readonly unfinished: () => readonly Unfinished[];
  /** Whom versions are acknowledged to; undefined when that is nobody else. */
  readonly manager: () => NodeId | undefined;
  readonly send: (to: NodeId, message: RegistryMessage) => void;
  /** The copy has changed. */
  readonly applied: () => void;
}

export class RegistryMember {
  readonly #options: RegistryMemberOptions;
  readonly #copy: RegistryCopy;
  #stale: RegistrySnapshot | undefined;
  #barriers: Barrier[] = [];
  #acknowledgedVersion = 0;

  constructor(options: RegistryMemberOptions) {
    this.#options = options;
    this.#copy = options.copy;
  }

  /** What this node had in a life that has ended, until it is a member again. */
  get stale(): RegistrySnapshot | undefined {
    return this.#stale;
  }
  isMemberAgain(): void {
    this.#stale = undefined;
  }
  excluded(): void {
    if (this.#copy.version > 0) this.#stale = this.#copy.snapshot();
    this.#copy.forget();
    this.#barriers = [];
  }

  obey(from: NodeId, message: ManagerWord, nowMs: number): void {
    switch (message.kind) {
      case "registry-changed":
        return this.#change(from, message, nowMs);
      case "registry-collect":
        return this.#options.send(from, { kind: "registry-collected", view: message.view, ...this.#copyFor(message.copy), unfinished: this.#options.unfinished() });
      case "registry-installed":
        return this.#install(from, message, nowMs);
    }
  }
  /** This node's copy has a gap, or was lost. */
  want(from: NodeId): void {
    this.#options.send(from, { kind: "registry-wanted", version: this.#copy.version });
  }
  /** Something that was sent may have arrived. */
  passBarriers(): void {
    const before = this.#barriers.length;
    if (before === 0) return;
    this.#liftBarriers();
    if (this.#barriers.length < before) this.#acknowledge();
  }

  #change(from: NodeId, { change }: Extract<ManagerWord, { kind: "registry-changed" }>, nowMs: number): void {
    if (!this.#copy.isInstalled || change.version > this.#copy.version + 1) return this.want(from);
    if (this.#copy.apply(change, nowMs)) {
      this.#options.applied();
      for (const each of change.changes) {
        if (each.kind === "session-put" && each.session.state === "closing") this.#raiseBarrier(change.version, each.session.node);
      }
    }
    this.#acknowledge();
  }
  #install(from: NodeId, { view, snapshot, copy, change }: Extract<ManagerWord, { kind: "registry-installed" }>, nowMs: number): void {
    if (snapshot !== undefined) {
      // Sent in a former term of the same manager, and late: what came since stays.
      if (this.#copy.isAfter(snapshot)) return;
      this.#copy.install(snapshot, nowMs);
    } else {
      if (copy === undefined || !this.#copy.isCopy(copy)) return this.want(from);
      this.#copy.confirm(view);
      if (change !== undefined) this.#copy.apply(change, nowMs);
    }
    this.#acknowledgedVersion = this.#copy.version;
    this.#barriers = [];
    this.#options.applied();
    this.#options.send(from, { kind: "registry-install-acknowledged", view, version: this.#copy.version });
  }
  /** The whole of it grows with the answers of a day: it travels only where the asker has another. */
  #copyFor(asked: CopyStamp | undefined): { snapshot: RegistrySnapshot } | { copy: CopyStamp } {
    return asked !== undefined && this.#copy.isCopy(asked) ? { copy: asked } : { snapshot: this.#copy.snapshot() };
  }

  /** Events sent before the session closed, and answers taken, must be known to its host before this node acknowledges. */
  #raiseBarrier(version: number, peer: NodeId): void {
    const point = this.#options.sent.lastSequence(peer);
    if (point !== undefined) this.#barriers.push({ version, peer, point });
  }
  #liftBarriers(): void {
    this.#barriers = this.#barriers.filter(({ peer, point }) => !this.#options.sent.hasArrived(peer, point));
  }
  #acknowledge(): void {
    this.#liftBarriers();
    const manager = this.#options.manager();
    const version = Math.min(this.#copy.version, ...this.#barriers.map((barrier) => barrier.version - 1));
    if (manager === undefined || version < this.#acknowledgedVersion) return;
    this.#acknowledgedVersion = version;
    this.#options.send(manager, { kind: "registry-acknowledged", version });
  }
}
