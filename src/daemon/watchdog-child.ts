/**
 * The daemon's end of the watchdog: starts it, and tells it each second how far each reactor's tick is.
 *
 * Not here  what the watchdog does with it (watchdog.ts).
 * Source    safety H1.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Beat, connectionNow, type MountBeat } from "./watchdog.js";

const BEAT_MS = 1_000;

export class WatchdogChild {
  readonly #child: ChildProcess;
  readonly #beating: NodeJS.Timeout;
  readonly #mounts: () => readonly MountBeat[];

  /** @param mounts the FUSE connections served now and their ticks. @param lost told when the watchdog ends by itself. */
  constructor(limitMs: number, mounts: () => readonly MountBeat[], lost: (why: string) => void) {
    const program = fileURLToPath(new URL("./watchdog.js", import.meta.url));
    this.#child = spawn(process.execPath, ["--max-old-space-size=32", program, String(limitMs), String(process.pid)], {
      stdio: ["pipe", "ignore", "inherit"], cwd: "/",
    });
    this.#child.on("error", (error) => lost(error.message));
    this.#child.on("exit", (code, signal) => lost(`ended with ${signal ?? code}`));
    this.#child.stdin?.on("error", () => {}); // what follows is "exit"
    this.#mounts = mounts;
    this.#beating = setInterval(() => this.beat(), Math.min(BEAT_MS, Math.max(10, limitMs / 8)));
    this.beat();
  }

  /** Also to be called when a mount has come: what is not known is not watched. */
  beat(): void {
    this.#say({ mounts: this.#mounts().map((mount) => ({ ...mount, connection: connectionNow(mount.minor) })) });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** From now on this process must be gone within `leaveMs`, or it is killed. */
  leaveWithin(leaveMs: number): void {
    this.#say({ leaveMs });
  }

  stop(): Promise<void> {
    clearInterval(this.#beating);
    this.#child.removeAllListeners("exit");
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return Promise.resolve();
    const ended = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.stdin?.end();
    return ended;
  }

  #say(beat: Beat): void {
    if (this.#child.stdin?.writable) this.#child.stdin.write(`${JSON.stringify(beat)}\n`);
  }
}
