/**
 * One node's copy of the registry. Every node has the whole of it, so whoever becomes manager can collect it from anyone.
 *
 * Versions are applied one by one in order; a whole copy is installed by a manager and replaces what was here, unless that
 * is later. Of two copies the one with the higher (view, version) is the truth, always: also against a session node's own
 * record. That view is the one in which their manager collected: under one manager the version alone counts.
 *
 * Sessions and dispositions lie in an index (registry-index.ts) that events and calls go by as well. A version changes it; a
 * whole copy begins a new one, and whoever goes by the former sees it as it was.
 *
 * Owns      the index, tombstones, answers given within a day, the audit.
 * Not here  deciding what the next version is (session-manager.ts).
 * Source    safety C10, H5; requirements R2, R3, R4.
 */
import type { NodeId, RequestId, SessionId } from "../../dmapi/ids.js";
import type { AuditEntry } from "../../dmapi/status.js";
import type { CopyStamp, Disposition, ManagerResult, RegistryChange, RegistrySnapshot, RegistryVersion, SessionRecord } from "../registry-document.js";
import { RegistryIndex } from "../registry-index.js";
import { AuditTrail } from "./audit.js";

const ANSWERED_FOR_MS = 86_400_000;
const ANSWERED_COUNT_MAX = 50_000;
/** Ids never come back, so an unknown id is a destroyed one; the list only tells people apart from never-known. */
const DESTROYED_COUNT_MAX = 1_024;

const NOTHING = { version: 0, sessions: [], dispositions: [] };

interface Answered {
  readonly result: ManagerResult;
  readonly atMs: number;
}

/** What has come of this copy since it was handed out last. */
export interface HandedOut {
  /** It goes on with this copy, version by version. */
  readonly registry: RegistryIndex;
  /** Sessions that were put or destroyed since; undefined: it is another index than before. */
  readonly touched: ReadonlySet<SessionId> | undefined;
}

export class RegistryCopy {
  #view = 0;
  #isInstalled = false;
  #index = new RegistryIndex(NOTHING);
  #touched: Set<SessionId> | undefined;
  #destroyed: SessionId[] = [];
  #answered = new Map<RequestId, Answered>();
  #highestSessionId = 0;
  #audit = new AuditTrail([]);
  #snapshot: RegistrySnapshot | undefined;

  /** It changes with each version. */
  get index(): RegistryIndex {
    return this.#index;
  }
  get version(): number {
    return this.#index.version;
  }
  get stamp(): CopyStamp {
    return { view: this.#view, version: this.version };
  }
  isCopy({ view, version }: CopyStamp): boolean {
    return this.#isInstalled && version > 0 && view === this.#view && version === this.version;
  }
  /** False in a new life until a manager has installed the registry here. */
  get isInstalled(): boolean {
    return this.#isInstalled;
  }
  get dispositions(): readonly Disposition[] {
    return this.#index.dispositions;
  }
  /** Changes within a day, the oldest first. */
  get audit(): readonly AuditEntry[] {
    return this.#audit.entries;
  }
  session(id: SessionId): SessionRecord | undefined {
    return this.#index.session(id);
  }
  sessions(): SessionRecord[] {
    return [...this.#index.eachSession()];
  }
  answered(request: RequestId): ManagerResult | undefined {
    return this.#answered.get(request)?.result;
  }

  /** Whether it was the next version; an older one is known already, a later one means that something is missing. */
  apply(change: RegistryVersion, atMs: number): boolean {
    if (change.version !== this.version + 1) return false;
    this.#index.apply(change);
    for (const each of change.changes) this.#change(each, atMs);
    if (change.audit !== undefined) this.#audit.add(change.audit);
    this.#forgetAnswers(atMs);
    this.#snapshot = undefined;
    return true;
  }

  install(snapshot: RegistrySnapshot, atMs: number): void {
    this.#view = snapshot.view;
    this.#isInstalled = true;
    this.#index = new RegistryIndex(snapshot);
    this.#touched = undefined;
    this.#destroyed = [...snapshot.destroyed];
    this.#highestSessionId = snapshot.highestSessionId;
    this.#audit = new AuditTrail(snapshot.audit ?? []);
    const known = this.#answered;
    this.#answered = new Map(snapshot.answered.map(({ request, result }) => [request, { result, atMs: known.get(request)?.atMs ?? atMs }]));
    this.#snapshot = undefined;
  }

  /** It is what the manager of that view goes on from. */
  confirm(view: number): void {
    this.#view = view;
    this.#snapshot = undefined;
  }

  forget(): void {
    this.install({ ...NOTHING, view: 0, destroyed: [], answered: [], highestSessionId: 0 }, 0);
    this.#isInstalled = false;
  }

  /** Test switch: as if the session node had lost its own record, and nothing else. */
  forgetSessionsOf(node: NodeId): void {
    this.#index = new RegistryIndex({ version: 0, sessions: this.sessions().filter((session) => session.node !== node), dispositions: this.dispositions });
    this.#touched = undefined;
    this.#view = 0;
    this.#snapshot = undefined;
  }

  /** Whether that copy is of the past (safety C10). */
  isAfter(snapshot: RegistrySnapshot): boolean {
    return compareCopies(this.stamp, snapshot) > 0;
  }

  /** To whom goes by it: asked for at each version, so nothing is copied. */
  handOut(): HandedOut {
    const touched = this.#touched;
    this.#touched = new Set();
    return { registry: this.#index, touched };
  }
  snapshot(): RegistrySnapshot {
    this.#snapshot ??= {
      view: this.#view, version: this.version, sessions: this.sessions(), destroyed: [...this.#destroyed], dispositions: this.dispositions,
      answered: [...this.#answered].map(([request, { result }]) => ({ request, result })), highestSessionId: this.#highestSessionId,
      audit: this.audit,
    };
    return this.#snapshot;
  }

  #change(change: RegistryChange, atMs: number): void {
    switch (change.kind) {
      case "session-put":
        this.#touched?.add(change.session.id);
        this.#highestSessionId = Math.max(this.#highestSessionId, change.session.id);
        return;
      case "session-destroyed":
        this.#touched?.add(change.id);
        this.#destroyed = [...this.#destroyed, change.id].slice(-DESTROYED_COUNT_MAX);
        return;
      case "dispositions-set":
        return;
      case "request-answered":
        this.#answered.set(change.request, { result: change.result, atMs });
    }
  }

  #forgetAnswers(atMs: number): void {
    for (const [request, answered] of this.#answered) {
      if (answered.atMs + ANSWERED_FOR_MS > atMs && this.#answered.size <= ANSWERED_COUNT_MAX) return;
      this.#answered.delete(request);
    }
  }
}

/** Positive when `a` is the later truth (safety C10). */
export function compareCopies(a: CopyStamp, b: CopyStamp): number {
  return a.view - b.view || a.version - b.version;
}
