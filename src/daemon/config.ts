/**
 * The configuration of one node, node.yaml: read, checked against one schema, defaults filled in.
 *
 * An error names the key, the value found and what is allowed; a key that nobody knows is refused, since a misspelt
 * option that is silently ignored is worse than none.
 *
 * Units     names end in Ms for milliseconds; paths are absolute.
 * Not here  what needs the machine to judge: whether backing exists and is private (prepare.ts).
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, normalize } from "node:path";
import { BACKLOG_MAX } from "../cluster/durable-events/log-writer.js";
import { defaultTimeouts, type NodeTimeouts } from "../cluster/node-contract.js";
import { type FsName, NAME_PATTERN, type NodeId } from "../dmapi/ids.js";
import { changed, type Fault, flag, listOf, map, oneOf, optional, placeText, type ReadOf, text, whole, withDefault, type WrittenOf } from "./fields.js";

/** The configuration is wrong; the text is for the administrator, one line for each fault. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const DAY_MS = 86_400_000;
/** The time to parse YAML grows with the square of the number of keys. */
const CONFIG_LENGTH_MAX = 64 * 1024;
/** Of a wrong value in a message. */
const SHOWN_LENGTH_MAX = 200;
const name = text((found) => NAME_PATTERN.test(found), "letters, digits, '_', '.', '-', beginning with a letter or digit, at most 63");
const path = changed(text((found) => isAbsolute(found) && !found.includes("\0"), "an absolute path"), trimmed);
const address = text(isAddress, "host:port with a port from 1 to 65535, such as 127.0.0.1:7801 or [::1]:7801");

/** Beside the cluster's own time-outs: those of this node's threads and links. */
const ownTimeouts = {
  /** A file server's thread (nfsd) waits so long for the answer to a data event, then is told to try again (EAGAIN); a day or more: without limit. */
  eventTimeoutMs: 86_400_000,
  /** How long a user's operation waits for the guard of a file before it fails (safety C1). */
  guardTimeoutMs: 30_000,
  /** A read interrupted later than this answers EINTR (safety H2). */
  interruptGraceMs: 1_000,
  /** A reactor whose tick stands still so long has its FUSE connection aborted (safety H1). */
  reactorLimitMs: 120_000,
  /** A link from which nothing is heard is taken down. */
  linkSilenceMs: 3_000,
  /** Users of a mount whose daemon has ended wait so long for the next one, then get an error (safety H11). */
  daemonAwaitedMs: 600_000,
  /** How long an orderly stop waits for applications and unmounts before it goes on without. */
  stopMs: 10_000,
};
export type Timeouts = NodeTimeouts & typeof ownTimeouts;
const timeoutDefaults: Timeouts = { ...defaultTimeouts, ...ownTimeouts };
const timeout = optional(whole(0, 365 * DAY_MS));
const timeouts = map(Object.fromEntries(Object.keys(timeoutDefaults).map((key) => [key, timeout])) as Record<keyof Timeouts, typeof timeout>);

const fileSystem = map({
  name,
  backing: path,
  /** Where users see it; absent: attached, not mounted. */
  mountpoint: optional(path),
  mode: withDefault(oneOf(["fast", "exact"]), "fast"),
  /** In mode fast: whether the kernel reads and writes files without regions by itself, where it can (decision 0009). */
  passthrough: withDefault(oneOf(["yes", "no"]), "yes"),
  /** Who asks the backing: "auto": of a local disk the reactor itself, as long as that answers at once; "workers": never the reactor (safety H1). */
  backingCalls: withDefault(oneOf(["auto", "workers"]), "auto"),
  autoMount: withDefault(flag, true),
  /** Where no other node mounts it, the kernel keeps names and attributes as long as the lease lasts; no: it always asks. */
  keepsNames: withDefault(flag, true),
  /** The same where others mount it too, with the permission of each (decision 0012). Not in all calls like the file system beneath: docs/posix.md. */
  keepsNamesBeside: withDefault(flag, true),
  /** "required": a mount waits for a session with a disposition for mount events (XDSM mount event). */
  mountEvents: withDefault(oneOf(["required", "optional"]), "optional"),
  /** How often a data event is raised again when its condition still holds after CONTINUE; -1 = always. */
  dataEventRetry: withDefault(whole(-1, 1_000), 2),
  /** A data event that no session takes: "wait" for one as long as timeouts.ownerTimeoutMs, then EIO; "error": EIO at once; "ignore": the operation goes on, save where bytes are not there. */
  ownerTimeout: withDefault(oneOf(["wait", "error", "ignore"]), "wait"),
  /** So much of the data of waiting writes is kept in memory; what is more waits in an unlinked file (safety M8). */
  heldBytesMax: withDefault(whole(0, 2 ** 40), 256 * 1024 * 1024),
});

const schema = map({
  cluster: name,
  node: name,
  /** Where other nodes reach this one. */
  address,
  /** The unix socket for applications; descriptors are passed on `<socket>.fd`. */
  socket: path,
  /** Besides root: members of this group may connect. They are as good as root over the data. */
  applicationGroup: optional(whole(0, 2 ** 32 - 2)),
  coordination: map({
    driver: withDefault(oneOf(["shared-volume"]), "shared-volume"),
    directory: path,
    /** Heartbeat interval H, validity of a lease after its renewal, silence after which others take a node for dead (C8). */
    renewMs: optional(whole(10, 60_000)),
    holdMs: optional(whole(50, 600_000)),
    deadMs: optional(whole(100, 900_000)),
  }),
  eligible: withDefault(flag, true),
  preference: withDefault(whole(0, 1_000_000), 0),
  fileSystems: withDefault(listOf(fileSystem, "a list of file systems"), []),
  timeouts: withDefault(timeouts, {}),
  /** nice(2) value of the daemon: users, sessions and other nodes wait for it, so that it goes before ordinary programs. */
  niceness: withDefault(whole(-20, 19), -10),
  /** A mount goes on when its daemon is killed or restarted (Linux 6.9): a holder process keeps it for the next daemon. */
  survivesDaemon: withDefault(flag, true),
  /** Whether a mount is made where the kernel ends mounts whose requests wait for long (fs.fuse.*_request_timeout). */
  kernelRequestTimeouts: withDefault(oneOf(["refuse", "warn"]), "refuse"),
  /** Which mounts, preunmounts and unmounts of this node sessions are told of (cluster/node-contract.ts). */
  mountEvent: withDefault(oneOf(["all", "SessionNode", "LocalNode"]), "all"),
  /** Logged events of this node that one durable session has not acknowledged; operations that raise more wait. */
  durableBacklogMax: withDefault(whole(1, 10_000_000), BACKLOG_MAX),
  /** The message log as JSON lines, besides the ring in memory. */
  logFile: optional(path),
});

type Parsed = ReadOf<typeof schema>;
export type FileSystemConfig = Omit<Parsed["fileSystems"][number], "name"> & { readonly name: FsName };
export type NodeConfig = Omit<Parsed, "node" | "timeouts" | "fileSystems"> & {
  readonly node: NodeId;
  readonly timeouts: Timeouts;
  readonly fileSystems: readonly FileSystemConfig[];
};
/** What may be written in node.yaml; for those who write one. */
export type NodeConfigFile = WrittenOf<typeof schema>;

/** @throws ConfigError naming the file and every fault found. */
export function readConfig(file: string): NodeConfig {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError(`${file}: ${(error as Error).message}`, { cause: error });
  }
  return parseConfig(text, file);
}

/** @throws ConfigError; `origin` is what the text is called in messages. */
export function parseConfig(text: string, origin: string): NodeConfig {
  if (text.length > CONFIG_LENGTH_MAX) throw new ConfigError(`${origin}: ${text.length} characters; at most ${CONFIG_LENGTH_MAX} are allowed`);
  let raw: unknown;
  try {
    raw = writtenByProgram(text) ?? yaml().parse(text, { logLevel: "error" });
  } catch (error) {
    throw new ConfigError(`${origin}: not YAML: ${(error as Error).message}`, { cause: error });
  }
  const misfits: Fault[] = [];
  const read = schema.read(raw, [], misfits);
  if (misfits.length > 0) throw new ConfigError(misfits.map((fault) => `${origin}: ${describe(fault, raw)}`).join("\n"));
  const config = { ...read, timeouts: { ...timeoutDefaults, ...read.timeouts } } as unknown as NodeConfig;
  const faults = contradictions(config);
  if (faults.length > 0) throw new ConfigError(faults.map((fault) => `${origin}: ${fault}`).join("\n"));
  return config;
}

/** The YAML library is a good part of a daemon's start: it is loaded for files that people wrote. */
function yaml(): typeof import("yaml") {
  return createRequire(import.meta.url)("yaml") as typeof import("yaml");
}
/** JSON is YAML too. It must be what a program writes, to the last character: else a key that stands there twice would pass. */
function writtenByProgram(text: string): unknown {
  if (!text.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return `${JSON.stringify(value, undefined, 2)}\n` === text ? value : undefined;
  } catch {
    return undefined;
  }
}

function describe({ at, allowed, isUnknownKey }: Fault, raw: unknown): string {
  if (isUnknownKey) return `${placeText(at)}: unknown key; allowed: ${allowed}`;
  const found = at.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], raw);
  return `${placeText(at)}: found ${shown(found)}; allowed: ${allowed}`;
}
function shown(found: unknown): string {
  if (found === undefined) return "nothing";
  try {
    const text = JSON.stringify(found);
    return text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}...` : text;
  } catch {
    return "a value that contains itself"; // YAML allows it
  }
}

/** What each key allows alone, but not together. */
function contradictions(config: NodeConfig): string[] {
  const faults: string[] = [];
  for (const key of ["name", "backing", "mountpoint"] as const) {
    const seen = new Map<string, number>();
    for (const [at, each] of config.fileSystems.entries()) {
      const value = each[key];
      if (value === undefined) continue;
      const before = seen.get(value);
      if (before !== undefined) faults.push(`fileSystems[${at}].${key}: found ${JSON.stringify(value)}; allowed: another one than fileSystems[${before}].${key}`);
      seen.set(value, at);
    }
  }
  const { renewMs, holdMs, deadMs } = config.coordination;
  if (renewMs !== undefined && holdMs !== undefined && holdMs < 4 * renewMs) {
    faults.push(`coordination.holdMs: found ${holdMs}; allowed: at least 4 times renewMs (${renewMs})`);
  }
  if (renewMs !== undefined && holdMs !== undefined && deadMs !== undefined && deadMs < 1.25 * holdMs + 2 * renewMs) {
    faults.push(`coordination.deadMs: found ${deadMs}; allowed: at least 1.25 times holdMs plus 2 times renewMs (${1.25 * holdMs + 2 * renewMs})`);
  }
  return faults;
}

function trimmed(text: string): string {
  const clean = normalize(text);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}
function isAddress(text: string): boolean {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s[\]]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? 0);
  return port >= 1 && port <= 65_535;
}
