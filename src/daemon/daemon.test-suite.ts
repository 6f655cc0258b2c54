/**
 * For tests: daemons as processes with everything they need in one temporary directory, which is left clean also on failure.
 */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connectionOf } from "../fuse/mount.js";
import { detach, mountedAt } from "./machine.js";
import { abortFile } from "./watchdog.js";

const program = fileURLToPath(new URL("./main.js", import.meta.url));

/** Where one test lives: backing, coordination, mount point, and the daemons it started. */
export class Stage {
  readonly top = mkdtempSync(join(tmpdir(), "sluice-test-"));
  readonly #port: number;
  readonly #running: Daemon[] = [];

  static async make(): Promise<Stage> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return new Stage(port);
  }
  private constructor(port: number) {
    this.#port = port;
    mkdirSync(this.backing, { mode: 0o700 });
  }
  get backing(): string {
    return join(this.top, "backing");
  }
  get mountpoint(): string {
    return join(this.top, "mnt");
  }
  get socket(): string {
    return join(this.top, "a.sock");
  }

  configure(change: (text: string) => string = (text) => text, name = "node.yaml"): string {
    const path = join(this.top, name);
    const text = `
cluster: t
node: a
address: 127.0.0.1:${this.#port}
socket: ${this.socket}
coordination: { directory: ${join(this.top, "coordination")}, renewMs: 100, holdMs: 2000, deadMs: 3000 }
fileSystems: [{ name: fs1, backing: ${this.backing}, mountpoint: ${this.mountpoint} }]
`;
    writeFileSync(path, change(text));
    return path;
  }
  daemon(...args: string[]): Daemon {
    return this.#started(new Daemon(args));
  }
  /** In a mount namespace of its own, in which this setting of the kernel reads so; the kernel itself goes by its own. */
  daemonThatReads(setting: string, value: string, ...args: string[]): Daemon {
    const file = join(this.top, "setting");
    writeFileSync(file, `${value}\n`);
    return this.#started(new Daemon(args, ["unshare", "-m", "--", "sh", "-ec", 'mount --bind "$1" "$2"; shift 2; exec "$@"', "sh", file, `/proc/sys/${setting}`]));
  }
  #started(daemon: Daemon): Daemon {
    this.#running.push(daemon);
    return daemon;
  }
  /** Safe to repeat. A killed daemon may be kept by its mount: the connection goes before its end is waited for. */
  async end(): Promise<void> {
    for (const { child } of this.#running) child.kill("SIGKILL");
    for (let left = mountedAt(this.mountpoint); left !== undefined; left = mountedAt(this.mountpoint)) {
      try {
        writeFileSync(abortFile(connectionOf(left.mountpoint)!), "1");
      } catch {
        // It has ended already.
      }
      assert.equal(detach(left.mountpoint), undefined);
    }
    for (const { ended } of this.#running) await ended;
    rmSync(this.top, { recursive: true, force: true, maxRetries: 5 }); // a holder may be leaving yet
  }
}

export class Daemon {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<number | null>;
  said = "";
  told = "";
  /** `under`: a command that becomes the daemon. */
  constructor(args: readonly string[], under: readonly string[] = []) {
    const [command, ...rest] = [...under, process.execPath, program, ...args];
    this.child = spawn(command!, rest, { cwd: "/" });
    this.child.stdout.on("data", (chunk: Buffer) => (this.said += chunk));
    this.child.stderr.on("data", (chunk: Buffer) => (this.told += chunk));
    this.ended = new Promise((resolve) => this.child.once("exit", (code) => resolve(code)));
  }
  ready(): Promise<void> {
    return this.until(() => this.said.endsWith("\n"), "ready");
  }
  async until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const giveUp = AbortSignal.timeout(30_000);
    const hadEnded = this.child.exitCode !== null;
    while (!(await holds())) {
      assert.ok(!giveUp.aborted && (hadEnded || this.child.exitCode === null), `${what}: ${this.told}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }
  get children(): number[] {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((each) => parentOf(each) === this.child.pid);
  }
}
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined; // it has ended
  }
}
