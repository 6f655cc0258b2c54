/**
 * One node's copy of the registry. Every node has the whole of it, so whoever becomes manager can collect it from anyone.
 *
 * Versions are applied one by one in order; a whole copy is installed by a manager and replaces what was here, unless that
 * is later. Of two copies the one with the higher (view, version) is the truth, always: also against a session node's own
 * record. That view is the one in which their manager collected: under one manager the version alone counts.
 *
 * Owns      sessions, tombstones, dispositions, answers given within a day, the audit.
 * Not here  deciding what the next version is (session-manager.ts).
 * Source    safety C10, H5; requirements R2, R3, R4.
 */
import type { NodeId, RequestId, SessionId } from "../../dmapi/ids.js";
import type { AuditEntry } from "../../dmapi/status.js";
import type { CopyStamp, Disposition, ManagerResult, RegistryChange, RegistryContent, RegistrySnapshot, RegistryVersion, SessionRecord } from "../registry-document.js";
import { withAudit } from "./audit.js";
import { setDispositions, withoutGroup, withoutSession } from "./dispositions.js";

const ANSWERED_FOR_MS = 86_400_000;
const ANSWERED_COUNT_MAX = 50_000;
/** Ids never come back, so an unknown id is a destroyed one; the list only tells people apart from never-known. */
const DESTROYED_COUNT_MAX = 1_024;

interface Answered {
  readonly result: ManagerResult;
  readonly atMs: number;
}

export class RegistryCopy {
  #view = 0;
  #version = 0;
  #isInstalled = false;
  #sessions = new Map<SessionId, SessionRecord>();
  #destroyed: SessionId[] = [];
  #dispositions: readonly Disposition[] = [];
  #answered = new Map<RequestId, Answered>();
  #highestSessionId = 0;
  #audit: readonly AuditEntry[] = [];
  #snapshot: RegistrySnapshot | undefined;

  get version(): number {
    return this.#version;
  }
  get stamp(): CopyStamp {
    return { view: this.#view, version: this.#version };
  }
  isCopy({ view, version }: CopyStamp): boolean {
    return this.#isInstalled && version > 0 && view === this.#view && version === this.#version;
  }
  /** False in a new life until a manager has installed the registry here. */
  get isInstalled(): boolean {
    return this.#isInstalled;
  }
  get dispositions(): readonly Disposition[] {
    return this.#dispositions;
  }
  /** Changes within a day, the oldest first. */
  get audit(): readonly AuditEntry[] {
    return this.#audit;
  }
  session(id: SessionId): SessionRecord | undefined {
    return this.#sessions.get(id);
  }
  sessions(): SessionRecord[] {
    return [...this.#sessions.values()];
  }
  eachSession(): IterableIterator<SessionRecord> {
    return this.#sessions.values();
  }
  sessionCountOn(node: NodeId): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (session.node === node) count++;
    return count;
  }
  answered(request: RequestId): ManagerResult | undefined {
    return this.#answered.get(request)?.result;
  }

  /** Whether it was the next version; an older one is known already, a later one means that something is missing. */
  apply(change: RegistryVersion, atMs: number): boolean {
    if (change.version !== this.#version + 1) return false;
    this.#version = change.version;
    for (const each of change.changes) this.#change(each, atMs);
    this.#audit = withAudit(this.#audit, change.audit ?? []);
    this.#forgetAnswers(atMs);
    this.#snapshot = undefined;
    return true;
  }

  install(snapshot: RegistrySnapshot, atMs: number): void {
    this.#view = snapshot.view;
    this.#version = snapshot.version;
    this.#isInstalled = true;
    this.#sessions = new Map(snapshot.sessions.map((session) => [session.id, session]));
    this.#destroyed = [...snapshot.destroyed];
    this.#dispositions = snapshot.dispositions;
    this.#highestSessionId = snapshot.highestSessionId;
    this.#audit = snapshot.audit ?? [];
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
    this.install({ view: 0, version: 0, sessions: [], destroyed: [], dispositions: [], answered: [], highestSessionId: 0 }, 0);
    this.#isInstalled = false;
  }

  /** Test switch: as if the session node had lost its own record, and nothing else. */
  forgetSessionsOf(node: NodeId): void {
    for (const session of this.sessions()) if (session.node === node) this.#sessions.delete(session.id);
    this.#view = 0;
    this.#version = 0;
    this.#snapshot = undefined;
  }

  /** Whether that copy is of the past (safety C10). */
  isAfter(snapshot: RegistrySnapshot): boolean {
    return compareCopies({ view: this.#view, version: this.#version }, snapshot) > 0;
  }

  /** Without the answers, of which there may be many: it is asked for at each version. */
  content(): RegistryContent {
    return { version: this.#version, sessions: this.sessions(), dispositions: this.#dispositions };
  }
  snapshot(): RegistrySnapshot {
    this.#snapshot ??= {
      view: this.#view, version: this.#version, sessions: this.sessions(), destroyed: [...this.#destroyed], dispositions: this.#dispositions,
      answered: [...this.#answered].map(([request, { result }]) => ({ request, result })), highestSessionId: this.#highestSessionId,
      audit: this.#audit,
    };
    return this.#snapshot;
  }

  #change(change: RegistryChange, atMs: number): void {
    switch (change.kind) {
      case "session-put":
        this.#sessions.set(change.session.id, change.session);
        this.#highestSessionId = Math.max(this.#highestSessionId, change.session.id);
        return;
      case "session-destroyed":
        this.#destroy(change.id);
        return;
      case "dispositions-set":
        this.#dispositions = setDispositions(this.#dispositions, change);
        return;
      case "request-answered":
        this.#answered.set(change.request, { result: change.result, atMs });
    }
  }

  #destroy(id: SessionId): void {
    const group = this.#sessions.get(id)?.group;
    this.#sessions.delete(id);
    this.#destroyed = [...this.#destroyed, id].slice(-DESTROYED_COUNT_MAX);
    this.#dispositions = withoutSession(this.#dispositions, id);
    if (group === undefined || this.sessions().some((session) => session.group === group)) return;
    this.#dispositions = withoutGroup(this.#dispositions, group);
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
