/**
 * The message log of a node: every message it sent to or received from another node, and on the manager each DMAPI
 * function it ran; the last `LOG_ENTRIES_MAX` in memory, all of them in a file of JSON lines if one is configured.
 *
 * An entry makes no object of its own: tens of thousands that live just long enough to be moved by the collector would cost more
 * than the messages they tell of.
 *
 * Owns      the ring, the numbers of entries, whoever waits for a new one.
 * Source    requirements 1.2 (message log); dmapi/status.ts.
 */
import { createWriteStream, type WriteStream } from "node:fs";
import type { Frame, Message } from "../cluster/messages.js";
import type { ManagerCall } from "../cluster/registry-document.js";
import type { NodeId, SessionId, Token } from "../dmapi/ids.js";
import type { LogEntry } from "../dmapi/status.js";

export const LOG_ENTRIES_MAX = 20_000;
const ANSWER_ENTRIES_MAX = 2_000;
/** What waits to be written to a slow disk; beyond it the file loses entries, the ring does not. */
const FILE_BYTES_WAITING_MAX = 16 * 1024 * 1024;
/** Lines are made and written this long after the first of them, many at a time: users wait for what the log tells of. */
const FILE_AFTER_MS = 20;
const FILE_ENTRIES_TOGETHER_MAX = 1_000;

/** The functions of the standard that the manager runs for others (requirement R5); the rest keep their own names. */
const functionOf: Readonly<Record<ManagerCall["kind"], string>> = {
  "create-session": "dm_create_session",
  "assume-session": "dm_create_session (assume)",
  "modify-session": "dm_create_session (modify)",
  "destroy-session": "dm_destroy_session",
  "set-dispositions": "dm_set_disp",
  "announce-mount": "announce-mount",
  "move-manager": "move-manager",
  "fence-node": "fence-node",
};

/** Texts made once of few different parts; they begin anew when there are too many. */
class MadeTexts {
  readonly #made = new Map<string, Map<string, string>>();
  readonly #make: (first: string, second: string) => string;
  #count = 0;
  constructor(make: (first: string, second: string) => string) {
    this.#make = make;
  }
  of(first: string, second: string): string {
    const known = this.#made.get(first)?.get(second);
    if (known !== undefined) return known;
    if (++this.#count > MADE_TEXTS_MAX) {
      this.#made.clear();
      this.#count = 0;
    }
    const made = this.#make(first, second);
    const ofFirst = this.#made.get(first) ?? new Map<string, string>();
    this.#made.set(first, ofFirst.set(second, made));
    return made;
  }
}
const MADE_TEXTS_MAX = 4_096;
const eventWords = new MadeTexts((type, fs) => `${type} fs ${fs}`);
const quoted = new MadeTexts((name, text) => `${name}${JSON.stringify(text)}`);

interface LineMiddle {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly epoch: number;
  /** NaN: none. */
  readonly session: number;
  readonly summary: string | undefined;
  readonly text: string;
  readonly end: string;
}
/** The last entries, n at place n modulo their number. NaN: not there. */
class Ring {
  readonly #atMs = new Float64Array(LOG_ENTRIES_MAX);
  readonly #epochs = new Float64Array(LOG_ENTRIES_MAX);
  readonly #sessions = new Float64Array(LOG_ENTRIES_MAX);
  readonly #tokens = new Float64Array(LOG_ENTRIES_MAX);
  readonly #from: NodeId[] = [];
  readonly #to: NodeId[] = [];
  readonly #kinds: string[] = [];
  readonly #summaries: (string | undefined)[] = [];
  /** Of each kind what the last line of it had between its time and its end, but for the token. */
  readonly #middles = new Map<string, LineMiddle>();
  #lastMs = -1;
  #lastTime = "";

  put(number: number, atMs: number, from: NodeId, to: NodeId, kind: string, epoch: number, session: SessionId | undefined, token: Token | undefined, summary: string | undefined): void {
    const place = number % LOG_ENTRIES_MAX;
    this.#atMs[place] = atMs;
    this.#epochs[place] = epoch;
    this.#sessions[place] = session ?? Number.NaN;
    this.#tokens[place] = token ?? Number.NaN;
    this.#from[place] = from;
    this.#to[place] = to;
    this.#kinds[place] = kind;
    this.#summaries[place] = summary;
  }
  entry(number: number): LogEntry {
    const place = number % LOG_ENTRIES_MAX;
    const [session, token, summary] = [this.#sessions[place]!, this.#tokens[place]!, this.#summaries[place]];
    return {
      number, at: this.#time(this.#atMs[place]!), from: this.#from[place]!, to: this.#to[place]!, kind: this.#kinds[place]!, epoch: this.#epochs[place]!,
      ...(!Number.isNaN(session) && { session: session as SessionId }), ...(!Number.isNaN(token) && { token: token as Token }), ...(summary !== undefined && { summary }),
    };
  }
  /** The same as JSON with a line's end, from texts that are mostly there already. */
  line(number: number): string {
    const place = number % LOG_ENTRIES_MAX;
    const token = this.#tokens[place]!;
    const { text, end } = this.#middle(place);
    const begin = `{"number":${number},"at":"${this.#time(this.#atMs[place]!)}"${text}`;
    return Number.isNaN(token) ? `${begin}${end}` : `${begin},"token":${token}${end}`;
  }
  #middle(place: number): LineMiddle {
    const [from, to, kind, epoch, session, summary] = [this.#from[place]!, this.#to[place]!, this.#kinds[place]!, this.#epochs[place]!, this.#sessions[place]!, this.#summaries[place]];
    const last = this.#middles.get(kind);
    if (last !== undefined && last.from === from && last.to === to && last.epoch === epoch && Object.is(last.session, session) && last.summary === summary) return last;
    const text = `${quoted.of(',"from":', from)}${quoted.of(',"to":', to)}${quoted.of(',"kind":', kind)},"epoch":${epoch}${Number.isNaN(session) ? "" : `,"session":${session}`}`;
    const middle = { from, to, epoch, session, summary, text, end: `${summary === undefined ? "" : quoted.of(',"summary":', summary)}}\n` };
    this.#middles.set(kind, middle);
    return middle;
  }
  #time(atMs: number): string {
    if (atMs !== this.#lastMs) this.#lastTime = new Date(atMs).toISOString();
    this.#lastMs = atMs;
    return this.#lastTime;
  }
}

export class MessageLog {
  readonly #node: NodeId;
  readonly #file: WriteStream | undefined;
  readonly #ring = new Ring();
  readonly #waiters = new Set<() => void>();
  /** Highest number sent to each node in its present life: what is not above it is sent again. */
  readonly #sent = new Map<NodeId, { readonly from: number; readonly to: number; sequence: number }>();
  readonly #lastSaid = new Map<string, number>();
  #count = 0;
  /** Entries up to this number have been handed to the file. */
  #filed = 0;
  #fileTimer: NodeJS.Timeout | undefined;

  /** @param failed told once when the file cannot be written; the ring goes on. */
  constructor(node: NodeId, path: string | undefined, failed: (why: string) => void) {
    this.#node = node;
    if (path === undefined) return;
    this.#file = createWriteStream(path, { flags: "a", mode: 0o600 });
    this.#file.on("error", (error) => failed(`${path}: ${error.message}`));
  }

  sent(to: NodeId, frame: Frame): void {
    const { body } = frame;
    if (body === undefined || this.#isRepeated("to", to, body)) return;
    this.#noteMessage(this.#node, to, body, frame.view, this.#isSentAgain(to, frame) ? "sent again" : undefined);
  }
  #isSentAgain(to: NodeId, { sequence, fromIncarnation, toIncarnation }: Frame): boolean {
    if (sequence === undefined) return false;
    const stream = this.#sent.get(to);
    if (stream?.from !== fromIncarnation || stream.to !== toIncarnation) this.#sent.set(to, { from: fromIncarnation, to: toIncarnation, sequence });
    else if (sequence <= stream.sequence) return true;
    else stream.sequence = sequence;
    return false;
  }

  received(frame: Frame): void {
    const { body } = frame;
    if (body === undefined || this.#isRepeated("from", frame.from, body)) return;
    this.#noteMessage(frame.from, this.#node, body, frame.view, undefined);
  }
  #noteMessage(from: NodeId, to: NodeId, body: Message, epoch: number, remark: string | undefined): void {
    const session = "session" in body ? (body.session as SessionId) : sessionOf(body);
    const token = "token" in body ? (body.token as Token) : undefined;
    const summary = summaryOf(body);
    this.#note(from, to, body.kind, epoch, session, token, remark === undefined ? summary : summary === undefined ? remark : `${summary}; ${remark}`);
  }

  /** View messages are said again and again until they have done their work; only what is new in them is noted. */
  #isRepeated(way: "from" | "to", peer: NodeId, body: Message): boolean {
    if (body.kind !== "greeting" && body.kind !== "view-in-force" && body.kind !== "view-proposed" && body.kind !== "view-adopted") return false;
    const said = body.kind === "greeting" ? body.incarnation : body.kind === "view-proposed" ? body.view.number : body.number;
    const key = `${way} ${peer} ${body.kind}`;
    const isRepeated = this.#lastSaid.get(key) === said;
    this.#lastSaid.set(key, said);
    return isRepeated;
  }

  /** The manager, on this node, runs a call for `from`. */
  managerRan(from: NodeId, call: ManagerCall, epoch: number): void {
    const session = "session" in call ? call.session : undefined;
    this.#note(from, this.#node, functionOf[call.kind], epoch, session, undefined, summaryOfCall(call));
  }

  /** Entries numbered above `after`, at most `max`; the oldest first. */
  after(after: number, max = ANSWER_ENTRIES_MAX): LogEntry[] {
    const first = Math.max(1, this.#count - LOG_ENTRIES_MAX + 1);
    const answer: LogEntry[] = [];
    for (let number = Math.max(after + 1, first); number <= this.#count && answer.length < Math.min(max, ANSWER_ENTRIES_MAX); number++) answer.push(this.#ring.entry(number));
    return answer;
  }

  /** Calls `then` once: at the next entry, or after `waitMs`. What comes back gives the wait up. */
  wait(waitMs: number, then: () => void): () => void {
    const stop = () => {
      this.#waiters.delete(wake);
      clearTimeout(timer);
    };
    const wake = () => {
      stop();
      then();
    };
    const timer = setTimeout(wake, waitMs);
    this.#waiters.add(wake);
    return stop;
  }

  get count(): number {
    return this.#count;
  }

  async close(): Promise<void> {
    clearTimeout(this.#fileTimer);
    this.#writeFile();
    const file = this.#file;
    if (file !== undefined) await new Promise<void>((resolve) => (file.destroyed ? resolve() : file.end(() => resolve())));
  }

  #note(from: NodeId, to: NodeId, kind: string, epoch: number, session: SessionId | undefined, token: Token | undefined, summary: string | undefined): void {
    const number = ++this.#count;
    this.#ring.put(number, Date.now(), from, to, kind, epoch, session, token, summary);
    if (this.#file !== undefined) {
      if (number - this.#filed >= FILE_ENTRIES_TOGETHER_MAX) this.#writeFile();
      else this.#fileTimer ??= setTimeout(() => this.#writeFile(), FILE_AFTER_MS);
    }
    if (this.#waiters.size > 0) for (const wake of [...this.#waiters]) wake();
  }

  #writeFile(): void {
    clearTimeout(this.#fileTimer);
    this.#fileTimer = undefined;
    const first = this.#filed + 1;
    this.#filed = this.#count;
    if (this.#file === undefined || this.#file.destroyed || this.#file.writableLength >= FILE_BYTES_WAITING_MAX) return;
    let lines = "";
    for (let number = first; number <= this.#count; number++) lines += this.#ring.line(number);
    if (lines !== "") this.#file.write(lines);
  }
}

/** Of what the manager tells: the session it is about. */
function sessionOf(body: Message): SessionId | undefined {
  if (body.kind === "manager-result" && body.result.kind === "done") return body.result.session;
  if (body.kind !== "registry-changed") return undefined;
  for (const change of body.change.changes) {
    if (change.kind === "session-put") return change.session.id;
    if (change.kind === "session-destroyed") return change.id;
    if (change.kind === "dispositions-set" && change.owner.kind === "session") return change.owner.session;
  }
  return undefined;
}

/** One line for people: what a message carries besides its session and token. */
function summaryOf(body: Message): string | undefined {
  switch (body.kind) {
    case "manager-call":
      return `${body.call.kind} ${summaryOfCall(body.call)}`;
    case "manager-result":
      return body.result.kind === "failed" ? body.result.failure.code : `done, version ${body.result.version}`;
    case "registry-changed":
      return `version ${body.change.version}: ${body.change.changes.map(({ kind }) => kind).join(", ")}`;
    case "registry-acknowledged":
    case "registry-install-acknowledged":
      return `version ${body.version}`;
    case "registry-collected":
    case "registry-installed":
      return body.snapshot === undefined ? `the same copy, version ${body.copy?.version}` : `version ${body.snapshot.version}, ${body.snapshot.sessions.length} sessions`;
    case "view-proposed":
      return `view ${body.view.number}, manager ${body.view.manager}, members ${body.view.members.map(({ id }) => id).join(" ")}`;
    case "view-adopted":
    case "view-in-force":
      return `view ${body.number}`;
    case "event-raised":
      return eventWords.of(body.notice === undefined ? body.event.type : `${body.event.type} (notice)`, body.fs);
    case "events-raised":
      return `${body.events.length} events, the first ${eventWords.of(body.events[0]?.event.type ?? "none", body.fs)}, tokens ${firstAndLast(body.events.map(({ token }) => token))}`;
    case "events-enqueued":
      return `${body.tokens.length} events, tokens ${firstAndLast(body.tokens)}`;
    case "events-logged":
      return `${body.events.length} events through ${body.through} of life ${body.incarnation}`;
    case "events-acknowledged":
      return `through ${body.through} of life ${body.incarnation}`;
    case "event-answered":
      return body.response.kind === "abort" ? `abort ${body.response.code}` : body.response.kind;
    case "right-wanted":
    case "right-granted":
      return `${body.right} for ${body.holder}`;
    case "right-refused":
      return body.failure.code;
    case "fence-raised":
    case "fence-lowered":
      return body.fence;
    case "fences-told":
      return `view ${body.view}`;
    case "round-begun":
      return body.work.kind;
    default:
      return undefined;
  }
}

function firstAndLast(tokens: readonly Token[]): string {
  return `${tokens[0]} to ${tokens[tokens.length - 1]}`;
}

function summaryOfCall(call: ManagerCall): string {
  switch (call.kind) {
    case "create-session":
      return call.group === undefined ? `"${call.info}"` : `"${call.info}" in group ${call.group}`;
    case "assume-session":
    case "modify-session":
      return `${call.session} "${call.info}"`;
    case "destroy-session":
      return `${call.session}`;
    case "set-dispositions":
      return `${call.owner.kind === "session" ? call.owner.session : `group ${call.owner.group}`} ${call.fs}: ${call.events.join(" ")}`;
    case "announce-mount":
      return `${call.fs} ${call.isMounted ? "mounted" : "unmounted"}`;
    case "move-manager":
      return call.to;
    case "fence-node":
      return call.node;
  }
}
