/**
 * What became of each event on this node of late: a ring of numbers and names, written while events pass and made into
 * words only when somebody asks (`sluice trace ID`). An event is known by its token, also an asynchronous one.
 *
 * Owns      the last steps of all events, the oldest overwritten first.
 * Units     `atMs`: milliseconds of this node's monotonic clock.
 * Source    blueprint 7; requirement "no silent hang".
 */
import type { Token } from "../dmapi/ids.js";
import type { TraceRole, TraceStep } from "../dmapi/status.js";

export const TRACE_STEPS_MAX = 16_384;

/** What a step means, and in what role the node took it. `a` and `b` are its two particulars. */
const steps = {
  held: ["source", (a, b) => `a user's operation waits for its ${a} event${b === undefined || b === "" ? "" : ` on ${b}`}`],
  caused: ["source", (a, b) => `caused by ${a} (pid ${b})`],
  sent: ["source", (a, b) => `offered to session ${a} on ${b}`],
  ownerless: ["source", (a) => `no session takes ${a} events: waits for one`],
  hostless: ["source", (a, b) => `session ${a} is ${b}: waits for it`],
  renamed: ["source", (a) => `goes on under token ${a}`],
  standby: ["source", (a) => `given to the standby, session ${a}`],
  resumed: ["source", (a) => `over: the operation ${a === "continue" ? "goes on" : a === "enqueued" ? "goes on, the session has the event" : `fails with ${a}`}`],
  withdrawn: ["source", () => "withdrawn: nobody waits for it any more"],
  arrived: ["session", (a, b) => `in the queue of session ${a}, from ${b}`],
  delivered: ["session", (a, b) => `handed to the application of session ${a}${b === undefined ? "" : `, pid ${b}`}`],
  requeued: ["session", (a) => `back in the queue of session ${a}: its receiver did not keep it`],
  answered: ["session", (a, b) => `answered: ${a}${b === undefined ? "" : ` ${b}`}`],
  cancelled: ["session", () => "cancelled: its user is gone"],
  passed: ["session", (a, b) => `session ${a} has no application: handed over to session ${b}`],
  refused: ["session", (a, b) => `session ${a} has no application: fails with ${b}`],
  noted: ["application", (a) => String(a)],
  asked: ["rights", (a, b) => `right ${a} asked on ${b}`],
  granted: ["rights", (a, b) => `right ${a} granted on ${b}`],
  denied: ["rights", (a, b) => `right refused on ${b}: ${a}`],
  released: ["rights", (a) => (a === undefined ? "its rights released" : `right on ${a} released`)],
} as const satisfies Record<string, readonly [TraceRole, (a: Particular, b: Particular) => string]>;

type Particular = string | number | undefined;
export type StepName = keyof typeof steps;
const names = Object.keys(steps) as StepName[];
const numberOf = Object.fromEntries(names.map((name, at) => [name, at])) as Record<StepName, number>;

export class TraceRing {
  readonly #atMs = new Float64Array(TRACE_STEPS_MAX);
  readonly #tokens = new Float64Array(TRACE_STEPS_MAX);
  readonly #steps = new Uint8Array(TRACE_STEPS_MAX);
  readonly #a: Particular[] = [];
  readonly #b: Particular[] = [];
  #next = 0;

  note(atMs: number, token: Token, step: StepName, a?: Particular, b?: Particular): void {
    const at = this.#next;
    this.#next = at + 1 === TRACE_STEPS_MAX ? 0 : at + 1;
    this.#atMs[at] = atMs;
    this.#tokens[at] = token;
    this.#steps[at] = numberOf[step];
    this.#a[at] = a;
    this.#b[at] = b;
  }

  /** Of that event, the oldest first. */
  of(token: Token): TraceStep[] {
    const found: TraceStep[] = [];
    const size = this.#a.length;
    for (let behind = size; behind > 0; behind--) {
      const at = (this.#next - behind + TRACE_STEPS_MAX) % TRACE_STEPS_MAX;
      if (this.#tokens[at] !== token) continue;
      const step = names[this.#steps[at]!]!;
      const [role, text] = steps[step] as readonly [TraceRole, (a: Particular, b: Particular) => string];
      found.push({ atMs: this.#atMs[at]!, role, step, text: text(this.#a[at], this.#b[at]) });
    }
    return found;
  }
}
