/**
 * A directory on a shared file system as the lease machine uses it: atomic at the server, but seen through calls that may
 * fail before or after they took effect, listings that may be old, and a server that may answer a repeated request
 * (ENOENT for a rename that was done, EEXIST for a link that was made).
 *
 * Source    safety C8, H13.
 */
import type { VolumeAnswer, VolumeCall } from "../coordination/shared-volume/volume-call.js";
import type { Process, World } from "./world.js";

export interface DirectoryTroubles {
  /** Probability that a call fails without effect, fails with effect, or is answered as a repeated one. */
  lost: number;
  ambiguous: number;
  repeated: number;
  /** Probability that a client keeps a listing when it has made it, and for how long at most it then gives the old one. */
  stale: number;
  staleMs: number;
}

interface Content {
  text: string;
}

export class DirectoryModel {
  readonly #world: World;
  readonly troubles: DirectoryTroubles = { lost: 0, ambiguous: 0, repeated: 0, stale: 0, staleMs: 0 };
  readonly #files = new Map<string, Content>();
  /** By directory, in the order in which they came. */
  readonly #names = new Map<string, Set<string>>();
  /** Listings that clients keep. */
  readonly #kept = new Map<string, { readonly untilMs: number; readonly names: readonly string[] }>();
  readonly #locks = new Map<string, Process>();
  /** A view came in. */
  onLink: (path: string, text: string) => void = () => {};

  constructor(world: World) {
    this.#world = world;
  }

  /** The identity lock, which the driver takes before the machine starts. */
  lock(path: string, process: Process): boolean {
    if (this.#locks.has(path)) return false;
    this.#locks.set(path, process);
    if (!this.#files.has(path)) this.#add(path, { text: "" });
    process.onEnd(() => this.#locks.delete(path));
    return true;
  }
  names(directory: string): string[] {
    return [...(this.#names.get(directory) ?? [])];
  }
  #add(path: string, content: Content): void {
    this.#files.set(path, content);
    const [directory, name] = split(path);
    const names = this.#names.get(directory);
    if (names === undefined) this.#names.set(directory, new Set([name]));
    else names.add(name);
  }
  #remove(path: string): boolean {
    const [directory, name] = split(path);
    this.#names.get(directory)?.delete(name);
    return this.#files.delete(path);
  }
  read(path: string): string | undefined {
    return this.#files.get(path)?.text;
  }

  /** One call by `process`: performed at once, with what troubles there are. */
  perform(call: VolumeCall, process: Process): VolumeAnswer {
    const { random } = this.#world;
    const { lost, ambiguous, repeated } = this.troubles;
    const isLost = random.chance(lost);
    if (isLost) return failed("EIO", "lost");
    const isAmbiguous = random.chance(ambiguous);
    const isRepeated = random.chance(repeated);
    const answer = this.#do(call, process);
    if (isAmbiguous && random.chance(0.3) && changes(call)) return failed("EIO", "timed out");
    if (isRepeated && answer.kind === "done" && (call.kind === "rename" || call.kind === "link" || call.kind === "unlink")) {
      return this.#do(call, process); // the first answer was lost, the request came again
    }
    return answer;
  }

  #do(call: VolumeCall, process: Process): VolumeAnswer {
    switch (call.kind) {
      case "list":
        return { kind: "names", names: this.#list(call.directory, process) };
      case "read": {
        const file = this.#files.get(call.path);
        return file === undefined ? failed("ENOENT", call.path) : { kind: "text", text: file.text };
      }
      case "write": {
        const file = this.#files.get(call.path);
        if (call.isNew && file !== undefined) return failed("EEXIST", call.path);
        if (file === undefined) this.#add(call.path, { text: call.text });
        else file.text = call.text;
        return { kind: "done" };
      }
      case "rename": {
        const file = this.#files.get(call.from);
        if (file === undefined) return failed("ENOENT", call.from);
        if (this.#files.get(call.to) === file) return { kind: "done" }; // two names of one file: POSIX does nothing
        this.#remove(call.from);
        this.#add(call.to, file);
        return { kind: "done" };
      }
      case "link": {
        const file = this.#files.get(call.from);
        if (file === undefined) return failed("ENOENT", call.from);
        if (this.#files.has(call.to)) return failed("EEXIST", call.to);
        this.#add(call.to, file);
        if (call.to.startsWith("views/view.")) this.onLink(call.to, file.text);
        return { kind: "done" };
      }
      case "unlink":
        if (!this.#remove(call.path)) return failed("ENOENT", call.path);
        return { kind: "done" };
      case "sync-directory":
        return { kind: "done" };
      case "test-lock": {
        const holder = this.#locks.get(call.path);
        return { kind: "lock", isHeld: holder !== undefined && holder !== process };
      }
    }
  }

  #list(directory: string, process: Process): readonly string[] {
    const { random, nowMs } = this.#world;
    const { stale, staleMs } = this.troubles;
    if (stale === 0) return this.names(directory);
    const client = `${process.name} ${directory}`;
    const kept = this.#kept.get(client);
    if (kept !== undefined && kept.untilMs > nowMs) return kept.names;
    const names = this.names(directory);
    if (random.chance(stale)) this.#kept.set(client, { untilMs: nowMs + random.below(staleMs), names });
    return names;
  }
}

function split(path: string): [directory: string, name: string] {
  const at = path.indexOf("/");
  return [path.slice(0, at), path.slice(at + 1)];
}
function changes(call: VolumeCall): boolean {
  return call.kind === "rename" || call.kind === "link" || call.kind === "write" || call.kind === "unlink";
}
function failed(code: string, message: string): VolumeAnswer {
  return { kind: "failed", code, message };
}
