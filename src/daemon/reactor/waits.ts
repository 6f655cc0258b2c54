/**
 * What a task waits for from the main thread: answers to the events that it raised, and main's word on other matters; and how
 * such a wait ends otherwise.
 *
 * Owns      tasks that await main, events of interrupted reads that are kept for a while.
 * Not here  when an event is due (cluster/admission), who is interrupted when (held-operations.ts).
 * Source    safety C6, H2; XDSM 3.3.
 */
import type { AdmissionEffect } from "../../cluster/admission/operation.js";
import { errnoOf } from "../../dmapi/errors.js";
import { type DmEvent, eventTypes, type EventType, isDataEvent, isSynchronous } from "../../dmapi/events.js";
import type { OperationId } from "../../dmapi/ids.js";
import { errno } from "../../os/errno.js";
import type { ReactorCore } from "./core.js";
import { keptFor, serverLimitMs } from "./file-servers.js";
import { KeptEvents } from "./kept-events.js";
import type { Steps, Task } from "./task.js";

/** Names of counters, made once. */
const raisedCounters = Object.fromEntries(eventTypes.map((type) => [type, `events raised: ${type}`])) as Record<EventType, string>;

export class Waits {
  readonly #core: ReactorCore;
  /** Tasks that wait for main to say their operation may go on, other than for an event. */
  readonly #awaitingMain = new Map<OperationId, Task>();
  readonly #keptEvents = new KeptEvents();

  constructor(core: ReactorCore) {
    this.#core = core;
  }

  raise(effect: Extract<AdmissionEffect, { kind: "raise" }>): void {
    const task = this.#core.tasks.get(effect.operation);
    if (task === undefined) return;
    const event = this.#eventOf(task, effect.event);
    task.hasRaised = true;
    const process = this.#core.processOf(task);
    if (event.type === "read" && process !== undefined) {
      const joined = this.#keptEvents.join(effect.operation, keptFor(process).pid, event);
      if (joined !== undefined) {
        this.#core.count("reads that joined the event of their interrupted first try");
        if (joined.decision !== undefined) this.#core.step({ kind: "event-answered", operation: effect.operation, decision: joined.decision });
        return;
      }
      task.events.set("read", () => event);
    }
    if (isDataEvent(event.type)) this.#limitServer(task);
    this.#core.count(raisedCounters[event.type]);
    this.#core.post({
      kind: "event-held",
      held: { operation: effect.operation, event, isSynchronous: effect.event.kind === "post" ? false : isSynchronous(event.type), process },
    });
  }
  #eventOf(task: Task, event: Extract<AdmissionEffect, { kind: "raise" }>["event"]): DmEvent {
    switch (event.kind) {
      case "data": return { type: event.type, handle: event.handle, offset: event.offset, length: event.length };
      case "open-for-write": return { type: "write", handle: event.handle, offset: 0, length: 0 };
      case "nospace": return { type: "nospace", handle1: this.#core.handles.fsHandle, ...(task.inode === undefined ? {} : { handle2: this.#core.handleOf(task.inode) }) };
      case "listed":
      case "post": {
        const told = task.events.get(event.type)?.();
        if (told === undefined) throw new Error(`${task.call} raises ${event.type} and does not say what`);
        return told;
      }
    }
  }
  #limitServer(task: Task): void {
    const limitMs = serverLimitMs(task.process, this.#core.options.eventTimeoutMs);
    if (limitMs === undefined) return;
    const { operation } = task;
    this.#core.timers.after(limitMs, () => {
      if (operation !== undefined && this.#core.tasks.get(operation) === task && task.isSuspended && task.isInterruptible && task.hasRaised && !task.isDone) {
        this.#core.count("file server threads told to try again");
        this.interruptButKeepEvent(task, errno.EAGAIN);
      }
    });
  }

  /** Asks main for something and waits until it resumes the operation; 0 or a negative errno. */
  *awaitMain(task: Task, detail: string, ask: (operation: OperationId) => void): Steps<number> {
    const operation = this.#core.newOperation();
    if (task.operation !== undefined) this.#core.tasks.delete(task.operation); // it has run
    task.operation = operation;
    task.hold = { sinceMs: this.#core.timers.nowMs, cause: "members", detail, handle: undefined };
    task.hasRaised = true;
    task.isInterruptible = true;
    this.#core.tasks.set(operation, task);
    this.#awaitingMain.set(operation, task);
    ask(operation);
    const result = (yield) as number;
    this.#awaitingMain.delete(operation);
    this.#core.tasks.delete(operation);
    task.isInterruptible = false;
    task.hasRaised = false;
    task.hold = undefined;
    task.operation = undefined;
    return result;
  }
  resume(operation: OperationId, decision: { kind: "continue" } | { kind: "abort"; code: keyof typeof errnoOf }): void {
    const task = this.#awaitingMain.get(operation);
    if (task === undefined) {
      const waiting = this.#keptEvents.answered(operation, decision);
      if (waiting !== "kept") this.#core.step({ kind: "event-answered", operation: waiting, decision });
      return;
    }
    if (task.isSuspended) {
      task.isSuspended = false;
      this.#core.wake(task, decision.kind === "continue" ? 0 : -errnoOf[decision.code]);
    }
  }
  /** Ends a wait: its user is gone or was interrupted. An operation that already ran is answered as it ran. */
  interrupt(task: Task, code: number = errno.EINTR): void {
    if (!task.isSuspended || !task.isInterruptible) return;
    task.isSuspended = false;
    if (task.operation !== undefined) {
      if (!this.#awaitingMain.has(task.operation)) this.#core.step({ kind: "operation-gone", operation: task.operation });
      if (task.hasRaised) this.#core.post({ kind: "operation-gone", operation: this.#keptEvents.knownAs(task.operation) });
      this.#keptEvents.ended(task.operation);
    }
    this.#core.count("operations interrupted");
    this.#core.wake(task, task.isDone ? 0 : -code);
  }

  /** For a signal whose handler may try the same read again: its event stays open for a while and the retry joins it (safety H2). */
  interruptButKeepEvent(task: Task, code: number = errno.EINTR): void {
    const event = task.events.get("read")?.();
    const { operation, process } = task;
    if (!task.hasRaised || event?.type !== "read" || operation === undefined || process === undefined || !task.isSuspended) return this.interrupt(task, code);
    const known = this.#keptEvents.knownAs(operation);
    const { pid, forMs } = keptFor(process);
    this.#keptEvents.keep(operation, pid, event);
    this.#core.timers.after(forMs, () => {
      if (this.#keptEvents.drop(known)) this.#core.post({ kind: "operation-gone", operation: known });
    });
    task.hasRaised = false;
    this.interrupt(task, code);
  }
  describe(message: { operation: OperationId; cause: string; detail: string; token?: number; session?: number; leftMs?: number }): void {
    const hold = this.#core.tasks.get(this.#keptEvents.waiting(message.operation))?.hold;
    if (hold === undefined) return;
    const untilMs = message.leftMs === undefined ? undefined : this.#core.timers.nowMs + message.leftMs;
    Object.assign(hold, { described: { cause: message.cause, detail: message.detail, untilMs }, token: message.token, session: message.session });
  }
}
