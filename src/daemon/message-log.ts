/**
 * The message log of a node: every message it sent to or received from another node, and on the manager each DMAPI
 * function it ran; the last `LOG_ENTRIES_MAX` in memory, all of them in a file of JSON lines if one is configured.
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

type Noted = Omit<LogEntry, "number" | "at">;

export class MessageLog {
  readonly #node: NodeId;
  readonly #file: WriteStream | undefined;
  /** Entry n at place n modulo LOG_ENTRIES_MAX. */
  readonly #ring: { readonly entry: Noted; readonly atMs: number }[] = [];
  readonly #waiters = new Set<() => void>();
  /** Highest number sent to each incarnation: what is not above it is sent again. */
  readonly #sent = new Map<string, number>();
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
    if (frame.body === undefined || this.#isRepeated(`to ${to}`, frame.body)) return;
    const stream = `${to} ${frame.toIncarnation} ${frame.fromIncarnation}`;
    const isAgain = frame.sequence !== undefined && frame.sequence <= (this.#sent.get(stream) ?? -1);
    if (frame.sequence !== undefined && !isAgain) this.#sent.set(stream, frame.sequence);
    this.#note(entryOf(this.#node, to, frame.body, frame.view, isAgain ? "sent again" : undefined));
  }

  received(frame: Frame): void {
    if (frame.body === undefined || this.#isRepeated(`from ${frame.from}`, frame.body)) return;
    this.#note(entryOf(frame.from, this.#node, frame.body, frame.view, undefined));
  }

  /** View messages are said again and again until they have done their work; only what is new in them is noted. */
  #isRepeated(peer: string, body: Message): boolean {
    if (body.kind !== "greeting" && body.kind !== "view-in-force" && body.kind !== "view-proposed" && body.kind !== "view-adopted") return false;
    const said = body.kind === "greeting" ? body.incarnation : body.kind === "view-proposed" ? body.view.number : body.number;
    const isRepeated = this.#lastSaid.get(`${peer} ${body.kind}`) === said;
    this.#lastSaid.set(`${peer} ${body.kind}`, said);
    return isRepeated;
  }

  /** The manager, on this node, runs a call for `from`. */
  managerRan(from: NodeId, call: ManagerCall, epoch: number): void {
    const session = "session" in call ? call.session : undefined;
    this.#note({ from, to: this.#node, kind: functionOf[call.kind], epoch, ...(session !== undefined && { session }), summary: summaryOfCall(call) });
  }

  /** Entries numbered above `after`, at most `max`; the oldest first. */
  after(after: number, max = ANSWER_ENTRIES_MAX): LogEntry[] {
    const first = Math.max(1, this.#count - LOG_ENTRIES_MAX + 1);
    const answer: LogEntry[] = [];
    for (let number = Math.max(after + 1, first); number <= this.#count && answer.length < Math.min(max, ANSWER_ENTRIES_MAX); number++) {
      const { entry, atMs } = this.#ring[number % LOG_ENTRIES_MAX]!;
      answer.push({ number, at: new Date(atMs).toISOString(), ...entry });
    }
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

  #note(entry: Noted): void {
    const number = ++this.#count;
    const atMs = Date.now();
    this.#ring[number % LOG_ENTRIES_MAX] = { entry, atMs };
    if (this.#file !== undefined) {
      if (number - this.#filed >= FILE_ENTRIES_TOGETHER_MAX) this.#writeFile();
      else this.#fileTimer ??= setTimeout(() => this.#writeFile(), FILE_AFTER_MS);
    }
    for (const wake of [...this.#waiters]) wake();
  }

  #writeFile(): void {
    clearTimeout(this.#fileTimer);
    this.#fileTimer = undefined;
    const first = this.#filed + 1;
    this.#filed = this.#count;
    if (this.#file === undefined || this.#file.destroyed || this.#file.writableLength >= FILE_BYTES_WAITING_MAX) return;
    let lines = "";
    for (let number = first; number <= this.#count; number++) {
      const { entry, atMs } = this.#ring[number % LOG_ENTRIES_MAX]!;
      lines += `${JSON.stringify({ number, at: new Date(atMs).toISOString(), ...entry })}\n`;
    }
    if (lines !== "") this.#file.write(lines);
  }
}

function entryOf(from: NodeId, to: NodeId, body: Message, epoch: number, remark: string | undefined): Noted {
  const session = "session" in body ? (body.session as SessionId) : sessionOf(body);
  const token = "token" in body ? (body.token as Token) : undefined;
  const summary = summaryOf(body);
  return { from, to, kind: body.kind, epoch, session, token, summary: remark === undefined ? summary : summary === undefined ? remark : `${summary}; ${remark}` };
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
      return `${body.event.type}${body.notice === undefined ? "" : " (notice)"} fs ${body.fs}`;
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
