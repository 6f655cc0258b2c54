/**
 * The applications' calls that are open, and what the core waits for on their behalf: volume jobs, the session manager.
 *
 * A call is answered once. When its caller gives up, what was begun for it goes on to its end and its answer is
 * dropped; `whenAbandoned` is for what must be undone.
 *
 * Source    dmapi/calls.ts; requirement R5.
 */
import type { DmCode } from "../../dmapi/errors.js";
import type { CallName } from "../../dmapi/calls.js";
import type { CallerInfo } from "../../dmapi/status.js";
import type { RequestId } from "../../dmapi/ids.js";
import type { VolumeJob, VolumeResult } from "../node-contract.js";
import type { ManagerCall, ManagerResult } from "../registry-document.js";
import type { Surroundings } from "../surroundings.js";

export interface Call {
  readonly call: number;
  readonly client: number;
  readonly name: CallName;
  readonly pid: number | undefined;
  readonly caller?: CallerInfo | undefined;
}
interface OpenCall {
  readonly call: Call;
  undo: (() => void)[] | undefined;
}
type Done = Extract<ManagerResult, { kind: "done" }>;

export class CallDesk {
  readonly #here: Surroundings;
  readonly #open = new Map<number, OpenCall>();
  readonly #jobs = new Map<number, (result: VolumeResult) => void>();
  readonly #asked = new Map<RequestId, { call: Call | undefined; then: (done: Done) => void; otherwise: () => void; sinceMs: number }>();
  /** Answered by the manager, but this node's copy of the registry has not come so far. */
  #unseen: { version: number; proceed: () => void }[] = [];
  #later: { atMs: number; proceed: () => void }[] = [];
  #jobsMade = 0;

  constructor(here: Surroundings) {
    this.#here = here;
  }

  open(call: Call): void {
    this.#open.set(call.call, { call, undo: undefined });
  }
  isOpen(call: number): boolean {
    return this.#open.has(call);
  }
  answer(call: number, result: unknown): void {
    if (this.#open.delete(call)) this.#here.emit({ kind: "answer-call", call, result });
  }
  refuse(call: number, code: DmCode, message: string): void {
    if (this.#open.delete(call)) this.#here.emit({ kind: "refuse-call", call, failure: { code, message } });
  }
  whenAbandoned(call: number, undo: () => void): void {
    const open = this.#open.get(call);
    if (open === undefined) return;
    open.undo ??= [];
    open.undo.push(undo);
  }
  abandoned(call: number): void {
    const open = this.#open.get(call);
    this.#open.delete(call);
    for (const undo of open?.undo ?? []) undo();
  }
  openCalls(): number[] {
    return [...this.#open.keys()];
  }
  callsOf(client: number): number[] {
    return [...this.#open.values()].filter(({ call }) => call.client === client).map(({ call }) => call.call);
  }

  job(work: VolumeJob, then: (result: VolumeResult) => void): void {
    this.#jobsMade += 1;
    this.#jobs.set(this.#jobsMade, then);
    this.#here.emit({ kind: "volume-job", job: this.#jobsMade, work });
  }
  jobDone(job: number, result: VolumeResult): void {
    const then = this.#jobs.get(job);
    this.#jobs.delete(job);
    then?.(result);
  }

  /** `then` runs once the manager has done it and this node's registry shows it; a failure answers the call, if there is one. */
  ask(call: Call | undefined, managerCall: ManagerCall, then: (done: Done) => void, otherwise: () => void = () => undefined): void {
    const request = this.#here.nextName("m");
    this.#asked.set(request, { call, then, otherwise, sinceMs: this.#here.nowMs });
    this.#here.emit({ kind: "ask-manager", request, call: managerCall, ...(call?.caller !== undefined && { caller: call.caller }) });
  }
  /** Calls that wait for the session manager. */
  managerAwaited(): { readonly call: Call; readonly sinceMs: number }[] {
    return [...this.#asked.values()].flatMap(({ call, sinceMs }) => (call === undefined ? [] : [{ call, sinceMs }]));
  }
  managerAnswered(request: RequestId, result: ManagerResult): void {
    const asked = this.#asked.get(request);
    if (asked === undefined) return;
    this.#asked.delete(request);
    if (result.kind === "failed") {
      if (asked.call !== undefined) this.refuse(asked.call.call, result.failure.code, result.failure.message);
      return asked.otherwise();
    }
    this.#unseen.push({ version: result.version, proceed: () => asked.then(result) });
    this.registryApplied();
  }
  registryApplied(): void {
    if (this.#unseen.length === 0) return;
    const version = this.#here.registry?.version ?? -1;
    const seen = this.#unseen.filter((waiting) => waiting.version <= version);
    this.#unseen = this.#unseen.filter((waiting) => waiting.version > version);
    for (const waiting of seen) waiting.proceed();
  }

  after(delayMs: number, then: () => void): void {
    this.#later.push({ atMs: this.#here.nowMs + delayMs, proceed: then });
  }
  get deadlineMs(): number {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const later of this.#later) dueMs = Math.min(dueMs, later.atMs);
    return dueMs;
  }
  timePassed(): void {
    if (this.#later.length === 0) return;
    const due = this.#later.filter((later) => later.atMs <= this.#here.nowMs);
    if (due.length === 0) return;
    this.#later = this.#later.filter((later) => later.atMs > this.#here.nowMs);
    for (const later of due) later.proceed();
  }

  /** Out of the view: no open call can be finished, and what the manager did for it is not known here. */
  excluded(): void {
    this.#asked.clear();
    this.#unseen = [];
    for (const open of [...this.#open.values()]) {
      this.refuse(open.call.call, "ENOTREADY", "this node was excluded from the cluster; try again when it has rejoined");
      for (const undo of open.undo ?? []) undo();
    }
  }
}
